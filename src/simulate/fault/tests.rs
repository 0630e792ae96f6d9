//! The grammar of faults, one-to-one, and the set.

use super::*;
use proptest::prelude::*;

#[test]
fn texts_and_faults_are_one_to_one() {
    for text in [
        "out-of-paper",
        "slow-pages:250",
        "slow-bytes:1000",
        "drop-after:100",
        "drop-after:0:2",
        "lose-answer",
        "lose-answer:3",
        "lose-answer:create-job",
        "lose-answer:send-document:1",
        "garbage",
        "garbage-http",
        "trickle:1000",
        "huge:100000000",
        "nested:320000",
        "busy",
        "lose-answer:lpd:1",
        "lose-answer:appsocket",
        "stall:0",
        "stall:100",
        "prints-partial",
        "refuse-second",
        "no-create-job",
        "snmp-silent",
        "snmp-slow:5000",
        "snmp-loop",
    ] {
        assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
    }
    for text in ["", "paper", "slow-pages", "slow-bytes:0", "drop-after:x", "busy:1", "lose-answer:0", "huge:1:2"] {
        assert_eq!(text.parse::<Fault>(), Err(UnknownFault(text.to_owned())), "{text}");
    }
}

#[test]
fn a_counted_fault_clears_itself() {
    let mut faults = Faults::default();
    faults.set("lose-answer:create-job:2".parse().unwrap());
    assert!(!faults.loses_answer(LossyOperation::PrintJob));
    assert!(faults.loses_answer(LossyOperation::CreateJob));
    assert!(faults.loses_answer(LossyOperation::CreateJob));
    assert!(!faults.loses_answer(LossyOperation::CreateJob));
    faults.set("drop-after:10".parse().unwrap());
    faults.used_drop();
    assert_eq!(faults.drop_after(), Some(10));
}

/// Texts as they can stand in a fault: no outer white space, no control characters.
fn free_text() -> impl Strategy<Value = String> {
    "[^\\p{C}\\s]([^\\p{C}]{0,20}[^\\p{C}\\s])?".prop_filter("not too long", |text| text.len() <= MAX_TEXT)
}

fn fault() -> impl Strategy<Value = Fault> {
    let times = || prop::option::of(1..u32::MAX);
    let operation = prop::sample::select(vec![
        None,
        Some(LossyOperation::PrintJob),
        Some(LossyOperation::CreateJob),
        Some(LossyOperation::SendDocument),
    ]);
    let plain = vec![
        Fault::OutOfPaper,
        Fault::Jam,
        Fault::DoorOpen,
        Fault::WasteFull,
        Fault::StaplesEmpty,
        Fault::Garbage,
        Fault::GarbageHttp,
        Fault::Busy,
        Fault::NoCreateJob,
        Fault::PrintsPartial,
        Fault::RefuseSecond,
        Fault::FalseCompleted,
        Fault::FalseAborted,
    ];
    prop_oneof![
        4 => prop::sample::select(plain),
        1 => any::<u32>().prop_map(Fault::Sheets),
        1 => ("[a-z-]{1,12}", 0..=100u8, any::<u32>())
            .prop_map(|(colour, percent, seconds)| Fault::TonerLevel { colour, percent, seconds }),
        1 => any::<u64>().prop_map(Fault::SlowPages),
        1 => (1..u64::MAX).prop_map(Fault::SlowBytes),
        1 => times().prop_map(|times| Fault::DropBefore { times }),
        1 => (any::<u64>(), times()).prop_map(|(bytes, times)| Fault::DropAt { bytes, times }),
        1 => (any::<u64>(), times()).prop_map(|(bytes, times)| Fault::DropAfter { bytes, times }),
        1 => (operation, times()).prop_map(|(operation, times)| Fault::LoseAnswer { operation, times }),
        1 => any::<u32>().prop_map(Fault::AnswerAfter),
        1 => any::<u64>().prop_map(Fault::Trickle),
        1 => any::<u64>().prop_map(Fault::Huge),
        1 => any::<u64>().prop_map(Fault::Nested),
        1 => prop::sample::select(WrongCounts::ALL.map(|(how, _)| how).to_vec()).prop_map(Fault::WrongCounts),
        1 => any::<u64>().prop_map(|bytes| Fault::Stall { bytes }),
        1 => free_text().prop_map(Fault::Firmware),
        1 => free_text().prop_map(Fault::CloneOf),
        1 => free_text().prop_map(Fault::CloneUuidOf),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_fault_is_its_text(fault in fault()) {
        prop_assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault));
    }

    /// Any text is a fault that says the same again, or none.
    #[test]
    fn any_text_is_read(text in "[a-z-]{0,16}(:[a-z0-9:]{0,12})?") {
        if let Ok(fault) = text.parse::<Fault>() {
            prop_assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault));
        }
    }
}

#[test]
fn supplies_have_a_fault_each_and_are_cleared_alone() {
    let mut faults = Faults::default();
    for text in ["toner-level:black:5", "toner-level:cyan:7", "toner-level:black:3:60", "jam"] {
        faults.set(text.parse().unwrap());
    }
    let texts = |faults: &Faults| faults.iter().map(Fault::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&faults), ["toner-level:cyan:7", "toner-level:black:3:60", "jam"]);
    assert!(faults.clear("toner-level:cyan"));
    assert!(!faults.clear("toner-level:bla"));
    assert!(faults.clear("toner-level"));
    assert_eq!(texts(&faults), ["jam"]);
}
