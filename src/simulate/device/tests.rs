//! The paper path under random sequences of what clients, paper and power do.

use super::*;
use crate::simulate::paper::PrintLog;
use crate::simulate::{PrinterSpec, profiles};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Create,
    Begin(usize),
    End(usize, u32, bool),
    Abort(usize),
    Close(usize),
    Cancel(usize),
    Paper(bool),
    Pass(u64),
    PowerCut,
}

fn step() -> impl Strategy<Value = Step> {
    let job = 0..6usize;
    prop_oneof![
        3 => Just(Step::Create),
        4 => job.clone().prop_map(Step::Begin),
        4 => (job.clone(), 1..4u32, any::<bool>()).prop_map(|(job, pages, last)| Step::End(job, pages, last)),
        1 => job.clone().prop_map(Step::Abort),
        1 => job.clone().prop_map(Step::Close),
        1 => job.prop_map(Step::Cancel),
        2 => any::<bool>().prop_map(Step::Paper),
        6 => (0..3_000u64).prop_map(Step::Pass),
        1 => Just(Step::PowerCut),
    ]
}

fn ticket(copies: u32) -> Ticket {
    Ticket {
        name: "n".into(),
        user: "u".into(),
        copies,
        two_sided: false,
        ranges: Vec::new(),
        template: Vec::new(),
        format: "application/pdf".into(),
    }
}

fn device(dir: &std::path::Path, now: Instant) -> Device {
    let spec = PrinterSpec::new("P", [127, 0, 0, 1].into());
    let paper = Paper::open(PrintLog::open(dir).unwrap(), "P").unwrap();
    let identity = Identity::new(&spec, "test");
    let second = Duration::from_secs(1);
    Device::new(identity, profiles::default_profile(), History::Keep, second, 5 * second, paper, now)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// A document prints at most once and only when whole; whole, and nothing in its way, it prints; counters are
    /// exactly what the log says.
    #[test]
    fn every_whole_document_prints_once(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut now = Instant::now();
        let mut device = device(dir.path(), now);
        let before = device.impressions;
        let mut ids = Vec::new();
        // Jobs whose document was taken, and those of them that nothing stopped.
        let (mut whole, mut due) = (Vec::new(), Vec::new());
        // Jobs to which a client is sending; the printer may have dropped them meanwhile.
        let mut sending = Vec::new();
        for step in steps {
            let id = |n: &usize| ids.get(n % ids.len().max(1)).copied().unwrap_or(0);
            match &step {
                Step::Create => ids.push(device.create(ticket(2), now).unwrap()),
                Step::Begin(n) => {
                    if device.begin_document(id(n)).is_ok() {
                        sending.push(id(n));
                        std::fs::write(device.paper.incoming(id(n)), b"x").unwrap();
                    }
                }
                Step::End(n, ..) | Step::Abort(n) if !sending.contains(&id(n)) => {}
                Step::End(n, pages, last) => {
                    sending.retain(|job| *job != id(n));
                    let file = device.paper.incoming(id(n));
                    let document =
                        Document { file, format: "application/pdf".into(), sha256: String::new(), bytes: 1, pages: *pages, via: Default::default(), garbage: false, cut_off: false };
                    let receiving = device.jobs.get(&id(n)).is_some_and(|job| matches!(job.stage, Stage::Receiving));
                    prop_assert_eq!(device.end_document(id(n), document, *last, now).is_ok(), receiving);
                    if receiving {
                        whole.push(id(n));
                        due.extend(last.then_some(id(n)));
                    }
                }
                Step::Abort(n) => {
                    sending.retain(|job| *job != id(n));
                    device.abort_document(id(n), "submission-interrupted", now);
                }
                Step::Close(n) => {
                    let has = device.jobs.get(&id(n)).is_some_and(|job| {
                        matches!(&job.stage, Stage::Waiting { document: Some(_), .. })
                    });
                    let _ = device.close(id(n), now);
                    due.extend(has.then_some(id(n)));
                }
                Step::Cancel(n) => {
                    let canceled = device.cancel(id(n), now).is_ok();
                    due.retain(|job| !canceled || *job != id(n));
                }
                Step::Paper(true) => drop(device.faults.clear("out-of-paper")),
                Step::Paper(false) => device.faults.set(Fault::OutOfPaper),
                Step::Pass(millis) => now += Duration::from_millis(*millis),
                Step::PowerCut => {
                    device.power_off(false, now);
                    let printed: Vec<i32> = completed(&device);
                    due.retain(|job| printed.contains(job));
                    device.power_on(now);
                }
            }
            device.advance(now);
            let printing = device.jobs.values().filter(|job| matches!(job.state(), 5 | 6)).count();
            prop_assert!(printing <= 1, "one at a time");
            let on_paper: i64 = device.printed.iter().map(|line| i64::from(line.impressions)).sum();
            let in_hand: i64 = device
                .jobs
                .values()
                .filter(|job| !job.is_done())
                .map(|job| i64::from(job.impressions_done))
                .sum();
            prop_assert_eq!(device.impressions - before, on_paper + in_hand);
        }
        device.faults.clear_all();
        while let Some(next) = device.advance(now) {
            now = next;
        }
        let mut printed = completed(&device);
        let log: Vec<Printed> = std::fs::read_to_string(dir.path().join("printed.jsonl"))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        prop_assert_eq!(&log, &device.printed.iter().cloned().collect::<Vec<_>>());
        prop_assert!(printed.iter().all(|id| whole.contains(id)));
        printed.sort_unstable();
        due.sort_unstable();
        prop_assert_eq!(printed, due);
        for line in log.iter().filter(|line| line.outcome == Outcome::Completed) {
            prop_assert!(dir.path().join(&line.file).exists());
        }
        // Beside what was printed only what is still arriving.
        let arriving = device.jobs.values().filter(|job| matches!(job.stage, Stage::Receiving)).count();
        let left = std::fs::read_dir(dir.path().join("P")).unwrap().count();
        prop_assert_eq!(left, log.len() + arriving);
    }
}

fn completed(device: &Device) -> Vec<i32> {
    device.printed.iter().filter(|line| line.outcome == Outcome::Completed).map(|line| line.job_id).collect()
}

/// Faults that raise alerts, as a printer with everything can have them.
const TROUBLES: [&str; 9] = [
    "out-of-paper",
    "jam",
    "door-open",
    "waste-full",
    "staples-empty",
    "sheets:5",
    "toner-level:black:0",
    "toner-level:black:5",
    "toner-level:cyan:3:2",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    /// The alert table has a row for each problem and no other; indices rise; the counters count what is raised and
    /// cleared; the printer is stopped if and only if something critical is in the table.
    #[test]
    fn the_alert_table_follows_what_is_wrong(steps in prop::collection::vec((0..TROUBLES.len() + 1, 0..1_500u64), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut now = Instant::now();
        let mut device = device(dir.path(), now);
        device.profile = profiles::profile("mfp").unwrap();
        device.condition = Condition::new(device.profile);
        let (mut events, mut critical, mut last) = (0, 0, 0);
        let mut rows: Vec<u32> = Vec::new();
        for (which, millis) in steps {
            match TROUBLES.get(which).map(|text| text.parse::<Fault>().unwrap()) {
                None => device.faults.clear_all(),
                Some(fault) if device.faults.has(&fault) => drop(device.faults.clear(&fault.to_string())),
                Some(fault) => device.faults.set(fault),
            }
            now += Duration::from_millis(millis);
            device.advance(now);
            let view = device.view(now);
            let indices: Vec<u32> = view.alerts.iter().map(|alert| alert.index).collect();
            prop_assert!(indices.is_sorted_by(|a, b| a < b), "{indices:?}");
            let raised: Vec<_> = view.alerts.iter().filter(|alert| !rows.contains(&alert.index)).collect();
            prop_assert!(raised.iter().all(|alert| alert.index > last), "no index comes again");
            events += u32::try_from(raised.len() + rows.iter().filter(|row| !indices.contains(row)).count()).unwrap();
            critical += u32::try_from(raised.iter().filter(|alert| alert.severity == 3).count()).unwrap();
            last = indices.iter().copied().max().unwrap_or(last).max(last);
            rows = indices;
            prop_assert_eq!((view.alert_events, view.critical_events), (events, critical));
            prop_assert_eq!(view.alerts.len(), device.problems().len());
            prop_assert_eq!(view.state == 5, view.alerts.iter().any(|alert| alert.severity == 3));
            // The view tells the same with and without the device having been moved on.
            prop_assert_eq!(device.view(now), view);
        }
        device.faults.clear_all();
        device.advance(now);
        prop_assert!(device.view(now).alerts.is_empty());
    }
}

#[test]
fn it_sleeps_after_the_time_of_its_kind_and_a_job_keeps_it_awake() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let mut device = device(dir.path(), now);
    let after = device.profile.sleeps_after.unwrap();
    assert!(!device.view(now + after - Duration::from_secs(1)).asleep);
    let later = now + after;
    assert!(device.view(later).asleep);
    let job = device.create(ticket(1), later).unwrap();
    assert!(!device.view(later + 2 * after).asleep, "a job waits");
    device.cancel(job, later).unwrap();
    assert!(!device.view(later).asleep);
    assert!(device.view(later + after).asleep);
}
