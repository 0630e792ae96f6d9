//! The IPP codec against generated messages, mutated messages and messages made to hurt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

use printgate::ipp::codec::{
    Attribute, DateTime, EncodeError, Group, GroupTag, Limits, Message, OutOfBand, ParseError, Resolution, Value,
    Version, WarningKind, WithLanguage, encode, parse,
};
use printgate::ipp::decode;
use printgate::ipp::response::Response;
use proptest::prelude::*;
use std::path::PathBuf;

// ---- round trip

fn text(max: usize) -> impl Strategy<Value = String> {
    // Mostly plain, sometimes anything; cut to what its syntax allows.
    prop_oneof![4 => "[ -~]{0,40}", 1 => "\\PC{0,30}"]
        .prop_map(move |text| printgate::ipp::codec::cut(&text, max).to_owned())
}

fn simple_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i32>().prop_map(Value::Integer),
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(Value::Enum),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::OctetString),
        any::<[u8; 11]>().prop_map(|b| Value::DateTime(DateTime {
            year: u16::from_be_bytes([b[0], b[1]]),
            month: b[2],
            day: b[3],
            hour: b[4],
            minute: b[5],
            second: b[6],
            deci_second: b[7],
            direction: b[8],
            utc_hours: b[9],
            utc_minutes: b[10],
        })),
        any::<(i32, i32, i8)>().prop_map(|(x, y, unit)| Value::Resolution(Resolution { x, y, unit })),
        any::<(i32, i32)>().prop_map(|(lower, upper)| Value::Range { lower, upper }),
        (text(63), text(1023)).prop_map(|(language, text)| Value::TextWithLanguage(WithLanguage { language, text })),
        (text(63), text(255)).prop_map(|(language, text)| Value::NameWithLanguage(WithLanguage { language, text })),
        text(1023).prop_map(Value::Text),
        text(255).prop_map(Value::Name),
        text(255).prop_map(Value::Keyword),
        text(1023).prop_map(Value::Uri),
        text(63).prop_map(Value::UriScheme),
        text(63).prop_map(Value::Charset),
        text(63).prop_map(Value::NaturalLanguage),
        text(255).prop_map(Value::MimeMediaType),
        prop_oneof![
            Just(OutOfBand::Unsupported),
            Just(OutOfBand::Unknown),
            Just(OutOfBand::NoValue),
            Just(OutOfBand::NotSettable),
            Just(OutOfBand::DeleteAttribute),
            Just(OutOfBand::AdminDefine),
        ]
        .prop_map(Value::OutOfBand),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|data| Value::Other { tag: 0x7F, data }),
        Just(Value::Other { tag: 0x21, data: vec![1, 2] }),
        Just(Value::Other { tag: 0x22, data: vec![7] }),
    ]
}

fn attribute(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Attribute> {
    ("[a-z][a-z0-9-]{0,30}", prop::collection::vec(value, 1..4)).prop_map(|(name, values)| Attribute { name, values })
}

fn value() -> impl Strategy<Value = Value> {
    simple_value()
        .prop_recursive(7, 40, 4, |inner| prop::collection::vec(attribute(inner), 0..4).prop_map(Value::Collection))
}

fn message() -> impl Strategy<Value = Message> {
    let tag = prop_oneof![Just(1u8), Just(2), Just(4), Just(5), Just(0x0A), Just(0x0F)].prop_map(GroupTag);
    let group =
        (tag, prop::collection::vec(attribute(value()), 0..6)).prop_map(|(tag, attributes)| Group { tag, attributes });
    (1u8..=9, any::<u8>(), any::<u16>(), any::<u32>(), prop::collection::vec(group, 0..4)).prop_map(
        |(major, minor, operation_or_status, request_id, groups)| Message {
            version: Version { major, minor },
            operation_or_status,
            request_id,
            groups,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read_back(message in message(), document in prop::collection::vec(any::<u8>(), 0..20)) {
        let octets = encode(&message).unwrap();
        let mut with_document = octets.clone();
        with_document.extend(&document);
        let parsed = parse(&with_document, &Limits::DEFAULT).unwrap();
        prop_assert_eq!(&parsed.message, &message);
        prop_assert_eq!(parsed.consumed, octets.len());
        prop_assert!(parsed.warnings.iter().all(|warning| warning.kind == WarningKind::WrongLength));
    }

    #[test]
    fn any_octets_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        check_one(&octets);
    }

    #[test]
    fn any_octets_behind_a_good_header_are_read(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut input = vec![2, 0, 0, 0, 0, 0, 0, 1, 4];
        input.extend(octets);
        check_one(&input);
    }
}

// ---- mutation

/// A small deterministic generator: a failure is repeated with its seed alone.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

#[test]
fn twenty_thousand_mutated_answers_harm_nobody() {
    let seed = match std::env::var("PRINTGATE_SEED") {
        Ok(text) => text.parse().expect("PRINTGATE_SEED is a number"),
        Err(_) => 20_261_120,
    };
    println!("seed {seed} (PRINTGATE_SEED)");
    let mut bases = vec![encode(&rich_answer()).unwrap(), encode(&jobs_answer()).unwrap()];
    let corpus = corpus_files();
    println!("{} captured answers besides our own", corpus.len());
    bases.extend(corpus);
    let mut random = Random(seed);
    for round in 0..20_000 {
        let mut octets = bases[round % bases.len()].clone();
        for _ in 0..=random.below(8) {
            mutate(&mut octets, &mut random);
        }
        let outcome = std::panic::catch_unwind(|| check_one(&octets));
        assert!(outcome.is_ok(), "seed {seed}, round {round}: {octets:02x?}");
    }
}

fn mutate(octets: &mut Vec<u8>, random: &mut Random) {
    if octets.is_empty() {
        return;
    }
    let at = random.below(octets.len());
    match random.below(8) {
        0 => octets[at] = random.next() as u8,
        1 => octets[at] ^= 1 << random.below(8),
        2 => octets.truncate(at),
        3 => {
            octets.remove(at);
        }
        4 => octets.insert(at, random.next() as u8),
        5 => {
            // A lying length, or a tag where none belongs.
            const ODD: [u8; 12] = [0x00, 0x01, 0x02, 0x03, 0x04, 0x10, 0x34, 0x37, 0x4A, 0x7F, 0x80, 0xFF];
            octets[at] = ODD[random.below(ODD.len())];
        }
        6 => {
            let end = (at + random.below(64)).min(octets.len());
            let piece = octets[at..end].to_vec();
            let to = random.below(octets.len());
            octets.splice(to..to, piece);
        }
        _ => {
            let end = (at + random.below(64)).min(octets.len());
            octets.drain(at..end);
        }
    }
}

/// Reads, decodes and shows `octets`, and checks that what is kept is in proportion to them.
fn check_one(octets: &[u8]) {
    let Ok(parsed) = parse(octets, &Limits::DEFAULT) else { return };
    assert!(parsed.consumed <= octets.len());
    let held = weight(&parsed.message);
    assert!(held <= 2048 + 120 * octets.len(), "{held} octets held of {}", octets.len());
    let response = Response::from(parsed);
    let _ = (response.status_message(), response.jobs(), response.job(), response.unsupported());
    if let Some(observation) = decode::observation(&response.message, jiff::Timestamp::UNIX_EPOCH) {
        assert!(serde_json::to_string(&observation).unwrap().len() < 512 * 1024);
        let keys: std::collections::BTreeSet<_> = observation.supplies.iter().map(|supply| &supply.key).collect();
        assert_eq!(keys.len(), observation.supplies.len());
    }
    // What was read and can be written reads the same.
    if let Ok(again) = encode(&response.message) {
        assert_eq!(parse(&again, &Limits::DEFAULT).unwrap().message, response.message);
    }
}

/// Octets on the heap, by capacity.
fn weight(message: &Message) -> usize {
    fn attributes(list: &Vec<Attribute>) -> usize {
        let own = list.capacity() * size_of::<Attribute>();
        own + list
            .iter()
            .map(|a| {
                a.name.capacity() + a.values.capacity() * size_of::<Value>() + a.values.iter().map(value).sum::<usize>()
            })
            .sum::<usize>()
    }
    fn value(value: &Value) -> usize {
        match value {
            Value::Collection(members) => attributes(members),
            Value::OctetString(data) | Value::Other { data, .. } => data.capacity(),
            Value::TextWithLanguage(with) | Value::NameWithLanguage(with) => {
                with.language.capacity() + with.text.capacity()
            }
            Value::Text(text)
            | Value::Name(text)
            | Value::Keyword(text)
            | Value::Uri(text)
            | Value::UriScheme(text)
            | Value::Charset(text)
            | Value::NaturalLanguage(text)
            | Value::MimeMediaType(text) => text.capacity(),
            _ => 0,
        }
    }
    message.groups.capacity() * size_of::<Group>()
        + message.groups.iter().map(|group| attributes(&group.attributes)).sum::<usize>()
}

fn corpus_files() -> Vec<Vec<u8>> {
    let directory = std::env::var("PRINTGATE_CORPUS").unwrap_or_else(|_| "../shared/corpus".to_owned());
    let Ok(entries) = std::fs::read_dir(PathBuf::from(directory).join("ipp")) else { return vec![] };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "bin"));
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

// ---- messages made to hurt

#[test]
fn a_320_kb_nested_collection_is_read_on_a_small_stack() {
    // Each level: a collection whose only member "a" is a collection.
    let mut octets = vec![2, 0, 0, 0, 0, 0, 0, 1, 4, 0x34, 0, 1, b'x', 0, 0];
    while octets.len() < 320 * 1024 {
        octets.extend([0x4A, 0, 0, 0, 1, b'a', 0x34, 0, 0, 0, 0]);
    }
    let name = Attribute::new("printer-name", Value::Name("still here".into()));
    let tail = encode(&answer(vec![Group::new(GroupTag::PRINTER, vec![name])])).unwrap();
    octets.extend(&tail[8..]);
    let worker = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        let parsed = parse(&octets, &Limits::DEFAULT).unwrap();
        assert!(parsed.warnings.iter().any(|warning| warning.kind == WarningKind::TooDeep));
        assert!(weight(&parsed.message) < 16 * 1024);
        // The group behind it is read all the same.
        assert_eq!(parsed.message.groups[1].get("printer-name").unwrap().text(), Some("still here"));
        assert_eq!(encode(&parsed.message).is_ok(), parsed.warnings.iter().all(|w| w.kind != WarningKind::NoValue));
    });
    worker.unwrap().join().unwrap();
}

#[test]
fn the_worst_megabyte_of_values_stays_small() {
    for unit in [
        // Empty values of one attribute, attributes with one-octet names, groups, collections.
        &[0x44, 0, 0, 0, 0][..],
        &[0x44, 0, 1, b'a', 0, 0],
        &[0x04],
        &[0x34, 0, 0, 0, 0, 0x37, 0, 0, 0, 0],
        &[0x34, 0, 1, b'a', 0, 0, 0x4A, 0, 0, 0, 1, b'b', 0x21, 0, 0, 0, 0, 0x37, 0, 0, 0, 0],
        &[0x35, 0, 0, 0, 4, 0, 0, 0, 0],
    ] {
        let mut octets = vec![2, 0, 0, 0, 0, 0, 0, 1, 4, 0x44, 0, 1, b'x', 0, 0];
        while octets.len() + unit.len() < Limits::DEFAULT.total_bytes {
            octets.extend(unit);
        }
        octets.push(3);
        let parsed = parse(&octets, &Limits::DEFAULT).unwrap();
        let held = weight(&parsed.message);
        println!("{unit:02x?}: {held} octets held of {}, {} warnings", octets.len(), parsed.more_warnings);
        assert!(held < 20 * 1024 * 1024, "{held}");
    }
}

#[test]
fn a_message_over_the_limit_is_refused_not_read() {
    let mut octets = vec![2, 0, 0, 0, 0, 0, 0, 1, 4];
    while octets.len() <= Limits::DEFAULT.total_bytes {
        octets.extend([0x44, 0, 1, b'a', 0, 0]);
    }
    octets.push(3);
    assert_eq!(
        parse(&octets, &Limits::DEFAULT).unwrap_err(),
        ParseError::TooLarge { limit: Limits::DEFAULT.total_bytes }
    );
}

#[test]
fn what_is_no_ipp_is_refused() {
    assert_eq!(parse(b"", &Limits::DEFAULT).unwrap_err(), ParseError::TooShort { length: 0 });
    assert_eq!(parse(&[2, 0, 0], &Limits::DEFAULT).unwrap_err(), ParseError::TooShort { length: 3 });
    for garbage in [&b"<html><body>Not found"[..], b"HTTP/1.1 200 OK", &[0; 40], &[0xFF; 40]] {
        assert!(matches!(parse(garbage, &Limits::DEFAULT), Err(ParseError::NotIpp { .. })));
    }
}

#[test]
fn a_cut_off_answer_keeps_what_came_before() {
    let whole = encode(&rich_answer()).unwrap();
    let full = parse(&whole, &Limits::DEFAULT).unwrap();
    assert!(full.warnings.is_empty());
    for end in 8..whole.len() {
        let parsed = parse(&whole[..end], &Limits::DEFAULT).unwrap();
        assert!(parsed.warnings.iter().any(|warning| warning.kind == WarningKind::CutOff), "{end}");
        // Attributes come in the same order with the same names, as far as they go.
        let names = |message: &Message| -> Vec<String> {
            message.groups.iter().flat_map(|group| group.attributes.iter().map(|a| a.name.clone())).collect()
        };
        assert!(names(&full.message).starts_with(&names(&parsed.message)), "{end}");
    }
}

#[test]
fn latin_1_and_wrong_lengths_are_read_with_a_warning() {
    let mut octets = vec![1, 1, 0, 0, 0, 0, 0, 1, 4];
    octets.extend([0x41, 0, 1, b'a', 0, 2, 0xFC, b'x']);
    octets.extend([0x21, 0, 1, b'b', 0, 2, 0, 7]);
    octets.extend([0x13, 0, 1, b'c', 0, 0]);
    octets.push(3);
    let parsed = parse(&octets, &Limits::DEFAULT).unwrap();
    let group = &parsed.message.groups[0];
    assert_eq!(group.get("a").unwrap().text(), Some("üx"));
    assert_eq!(group.get("b").unwrap().first(), Some(&Value::Other { tag: 0x21, data: vec![0, 7] }));
    assert_eq!(group.get("b").unwrap().int(), None);
    assert_eq!(group.get("c").unwrap().first(), Some(&Value::OutOfBand(OutOfBand::NoValue)));
    let kinds: Vec<_> = parsed.warnings.iter().map(|warning| (warning.offset, warning.kind)).collect();
    assert_eq!(kinds, [(9, WarningKind::NotUtf8), (17, WarningKind::WrongLength)]);
}

#[test]
fn collections_of_careless_printers_are_read() {
    let mut octets = vec![2, 0, 0, 0, 0, 0, 0, 1, 4];
    octets.extend([0x34, 0, 1, b'x', 0, 0]);
    // A member named like an attribute, and one that is never closed.
    octets.extend([0x21, 0, 1, b'm', 0, 4, 0, 0, 0, 5]);
    octets.extend([0x4A, 0, 0, 0, 1, b'n', 0x44, 0, 0, 0, 1, b'k']);
    // The next group begins, then values that belong to nothing.
    octets.extend([4, 0x44, 0, 0, 0, 1, b'z', 0x37, 0, 0, 0, 0, 0x4A, 0, 0, 0, 1, b'q', 3]);
    let parsed = parse(&octets, &Limits::DEFAULT).unwrap();
    let members = parsed.message.groups[0].get("x").unwrap().first().unwrap().as_collection().unwrap();
    assert_eq!((members[0].name.as_str(), members[0].int()), ("m", Some(5)));
    assert_eq!((members[1].name.as_str(), members[1].text()), ("n", Some("k")));
    let kinds: Vec<_> = parsed.warnings.iter().map(|warning| warning.kind).collect();
    use WarningKind::{NamedMember, OpenCollection, Stray};
    assert_eq!(kinds, [NamedMember, OpenCollection, Stray, Stray, Stray]);
}

#[test]
fn the_writer_refuses_what_the_rfc_forbids() {
    let with = |attribute: Attribute| encode(&answer(vec![Group::new(GroupTag::JOB, vec![attribute])]));
    assert!(matches!(with(Attribute::new("", Value::Integer(1))), Err(EncodeError::Name { .. })));
    assert!(matches!(with(Attribute::new("x".repeat(256), Value::Integer(1))), Err(EncodeError::Name { .. })));
    assert!(matches!(with(Attribute::set("x", vec![])), Err(EncodeError::NoValue { .. })));
    for value in [
        Value::Name("x".repeat(256)),
        Value::Keyword("x".repeat(256)),
        Value::Text("x".repeat(1024)),
        Value::Uri("x".repeat(1024)),
        Value::Charset("x".repeat(64)),
        Value::OctetString(vec![0; 32_768]),
        Value::NameWithLanguage(WithLanguage { language: "en".into(), text: "x".repeat(256) }),
    ] {
        assert!(matches!(with(Attribute::new("a", value)), Err(EncodeError::ValueTooLong { .. })));
    }
    for (tag, data) in
        [(0x03, vec![]), (0x34, vec![]), (0x37, vec![]), (0x41, vec![b'x']), (0x21, vec![0; 4]), (0x13, vec![])]
    {
        assert!(matches!(with(Attribute::new("a", Value::Other { tag, data })), Err(EncodeError::ValueTag { .. })));
    }
    let nested = |depth: usize| {
        (0..depth).fold(Value::Integer(1), |inner, _| Value::Collection(vec![Attribute::new("m", inner)]))
    };
    assert!(with(Attribute::new("a", nested(8))).is_ok());
    assert!(matches!(with(Attribute::new("a", nested(9))), Err(EncodeError::TooDeep { .. })));
    let bad_group = encode(&answer(vec![Group::new(GroupTag(3), vec![])]));
    assert!(matches!(bad_group, Err(EncodeError::GroupTag { tag: 3 })));
}

// ---- messages to begin with

fn answer(groups: Vec<Group>) -> Message {
    Message { version: Version::V2_0, operation_or_status: 0, request_id: 1, groups }
}

fn rich_answer() -> Message {
    let keyword = |text: &str| Value::Keyword(text.to_owned());
    let octets = |text: &str| Value::OctetString(text.as_bytes().to_vec());
    let size = |x: i32, y: i32| {
        Value::Collection(vec![
            Attribute::new("x-dimension", Value::Integer(x)),
            Attribute::new("y-dimension", Value::Integer(y)),
        ])
    };
    let media = |source: &str, x: i32, y: i32| {
        Value::Collection(vec![
            Attribute::new("media-size", size(x, y)),
            Attribute::new("media-source", keyword(source)),
        ])
    };
    answer(vec![
        Group::new(
            GroupTag::OPERATION,
            vec![
                Attribute::new("attributes-charset", Value::Charset("utf-8".into())),
                Attribute::new("attributes-natural-language", Value::NaturalLanguage("en".into())),
                Attribute::new("status-message", Value::Text("ok".into())),
            ],
        ),
        Group::new(GroupTag::UNSUPPORTED, vec![Attribute::new("x", Value::OutOfBand(OutOfBand::Unsupported))]),
        Group::new(
            GroupTag::PRINTER,
            vec![
                Attribute::new("printer-state", Value::Enum(3)),
                Attribute::set("printer-state-reasons", vec![keyword("media-low-warning"), keyword("none")]),
                Attribute::new("printer-is-accepting-jobs", Value::Boolean(true)),
                Attribute::new("printer-up-time", Value::Integer(4711)),
                Attribute::new("printer-make-and-model", Value::Text("HP LaserJet 4250".into())),
                Attribute::new("printer-device-id", Value::Text("MFG:HP;MDL:LaserJet 4250;SN:CNBX1234;".into())),
                Attribute::new("printer-uuid", Value::Uri("urn:uuid:1c852a4d-b800-1f08-abcd-a08cfd576b98".into())),
                Attribute::set(
                    "printer-supply",
                    vec![
                        octets(
                            "type=toner;maxcapacity=100;level=63;class=supplyThatIsConsumed;unit=percent;colorantname=black;",
                        ),
                        octets("type=wasteToner;maxcapacity=100;level=-3;class=receptacleThatIsFilled;unit=percent;"),
                    ],
                ),
                Attribute::set("marker-names", vec![Value::Name("Black".into()), Value::Name("Waste".into())]),
                Attribute::set("marker-levels", vec![Value::Integer(63), Value::Integer(-3)]),
                Attribute::set("marker-types", vec![keyword("toner"), keyword("waste-toner")]),
                Attribute::set(
                    "printer-input-tray",
                    vec![
                        octets("type=other;maxcapacity=250;level=100;status=0;name=auto;"),
                        octets("type=other;maxcapacity=250;level=100;status=0;name=tray-1;"),
                        octets("type=sheetFeedAutoRemovableTray;maxcapacity=250;level=100;status=0;name=tray-1;"),
                    ],
                ),
                Attribute::set("media-col-ready", vec![media("tray-1", 21000, 29700), media("manual", 10000, 20000)]),
                Attribute::new("copies-supported", Value::Range { lower: 1, upper: 99 }),
                Attribute::set(
                    "printer-resolution-supported",
                    vec![
                        Value::Resolution(Resolution { x: 300, y: 300, unit: 3 }),
                        Value::Resolution(Resolution { x: 600, y: 600, unit: 3 }),
                    ],
                ),
                Attribute::set(
                    "document-format-supported",
                    vec![Value::MimeMediaType("application/pdf".into()), Value::MimeMediaType("image/urf".into())],
                ),
                Attribute::new(
                    "printer-info",
                    Value::TextWithLanguage(WithLanguage { language: "de".into(), text: "Drucker im Flur".into() }),
                ),
            ],
        ),
    ])
}

fn jobs_answer() -> Message {
    let job = |id: i32| {
        Group::new(
            GroupTag::JOB,
            vec![
                Attribute::new("job-id", Value::Integer(id)),
                Attribute::new("job-name", Value::Name(format!("pg7k2m9q.{id} Invoice"))),
                Attribute::new("job-state", Value::Enum(9)),
                Attribute::new("job-state-reasons", Value::Keyword("job-completed-successfully".into())),
                Attribute::new("time-at-creation", Value::Integer(100 + id)),
                Attribute::new("time-at-completed", Value::OutOfBand(OutOfBand::NoValue)),
            ],
        )
    };
    answer((1..20).map(job).collect())
}

#[test]
fn our_own_answer_is_decoded() {
    let octets = encode(&rich_answer()).unwrap();
    let parsed = parse(&octets, &Limits::DEFAULT).unwrap();
    let o = decode::observation(&parsed.message, jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(o.evidence.make.as_deref(), Some("HP"));
    assert_eq!(o.evidence.model.as_deref(), Some("LaserJet 4250"));
    assert_eq!(o.evidence.serial.as_deref(), Some("CNBX1234"));
    assert_eq!(o.name.as_deref(), Some("Drucker im Flur"));
    assert_eq!(o.reasons, ["media-low-warning"]);
    let keys: Vec<_> = o.supplies.iter().map(|supply| (supply.key.as_str(), supply.receptacle)).collect();
    assert_eq!(keys, [("black-toner", false), ("waste-toner", true)]);
    assert_eq!(o.trays.len(), 1);
    assert_eq!(o.trays[0].media.as_deref(), Some("iso_a4_210x297mm"));
    assert_eq!(o.trays[0].level, printgate::domain::state::Level::Known(40));
    assert_eq!(o.capabilities.copies_max, Some(99));
    assert_eq!(o.capabilities.resolutions, [(300, 300), (600, 600)]);
}

#[test]
fn an_answer_that_says_nothing_of_the_printer_is_no_observation() {
    let of = |attributes: Vec<Attribute>| {
        decode::observation(&answer(vec![Group::new(GroupTag::PRINTER, attributes)]), jiff::Timestamp::UNIX_EPOCH)
    };
    assert_eq!(of(Vec::new()), None);
    assert_eq!(of(vec![Attribute::new("nested", Value::Keyword("x".into()))]), None);
    let reasons = Attribute::new("printer-state-reasons", Value::Keyword("none".into()));
    assert_eq!(of(vec![reasons]), None);
    assert!(of(vec![Attribute::new("printer-up-time", Value::Integer(7))]).is_some());
}
