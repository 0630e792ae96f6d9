//! Captured answers of real printers, read by us, by CUPS (`*.expected.json`, `*.ipptool.txt`) and by the `ipp` crate.
//!
//! The captures are not part of the repository: `PRINTGATE_CORPUS` names the directory (default `../shared/corpus`).
//! Without it these tests say that they checked nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

use printgate::domain::state::{Level, PrinterStateEnum};
#[cfg(feature = "lab")]
use printgate::ipp::codec::{Attribute, Message};
use printgate::ipp::codec::{Limits, Parsed, Value, encode, parse};
use printgate::ipp::decode;
use printgate::ipp::response::{JobState, Response, Status};
use serde_json::Value as Json;
use std::path::PathBuf;

struct Capture {
    name: String,
    octets: Vec<u8>,
    parsed: Parsed,
    expected: Json,
    /// CUPS's listing of every attribute.
    listing: String,
}

fn captures() -> Vec<Capture> {
    let directory = std::env::var("PRINTGATE_CORPUS").unwrap_or_else(|_| "../shared/corpus".to_owned());
    let directory = PathBuf::from(directory).join("ipp");
    let Ok(entries) = std::fs::read_dir(&directory) else {
        println!("SKIPPED: no captures in {} (PRINTGATE_CORPUS)", directory.display());
        return vec![];
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "bin"));
    paths.sort();
    assert!(!paths.is_empty(), "no captures in {}", directory.display());
    let read = |path: PathBuf| {
        let octets = std::fs::read(&path).unwrap();
        Capture {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            parsed: parse(&octets, &Limits::DEFAULT).unwrap(),
            expected: serde_json::from_slice(&std::fs::read(path.with_extension("expected.json")).unwrap()).unwrap(),
            listing: std::fs::read_to_string(path.with_extension("ipptool.txt")).unwrap(),
            octets,
        }
    };
    let captures: Vec<_> = paths.into_iter().map(read).collect();
    println!("{} captures", captures.len());
    captures
}

/// CUPS refused to take two captures, which are requests, for answers, and printed its own complaint instead of a status.
fn cups_refused(capture: &Capture) -> bool {
    capture.expected["conformance_errors"].as_array().is_some_and(|errors| !errors.is_empty())
}

#[test]
fn every_capture_is_read_whole_and_can_be_written_again() {
    for capture in captures() {
        assert_eq!(capture.parsed.warnings, [], "{}", capture.name);
        assert_eq!(capture.parsed.consumed, capture.octets.len(), "{}", capture.name);
        if let Ok(again) = encode(&capture.parsed.message) {
            assert_eq!(again, capture.octets, "{}", capture.name);
        } else {
            println!("{}: breaks a length rule of RFC 8011, so it is not written again", capture.name);
        }
    }
}

#[test]
fn cups_sees_the_same_attributes_types_and_numbers() {
    let mut compared = 0;
    for capture in captures().iter().filter(|capture| !cups_refused(capture)) {
        let mut lines = capture.listing.lines().filter_map(cups_line).skip(3);
        for attribute in capture.parsed.message.groups.iter().flat_map(|group| &group.attributes) {
            if attribute.name == "status-message" {
                // Shown with the status instead.
                continue;
            }
            let Some((name, many, kind, values)) = lines.next() else {
                panic!("{}: CUPS does not see {}", capture.name, attribute.name);
            };
            let at = format!("{}: {name}", capture.name);
            assert_eq!(attribute.name, name, "{at}");
            assert_eq!(attribute.values.len() > 1, many, "{at}");
            assert_eq!(cups_type(&attribute.values), kind, "{at}");
            if let Some(ours) = cups_values(&attribute.values) {
                assert_eq!(ours, values, "{at}");
            }
            compared += 1;
        }
        assert!(lines.next().is_none_or(|(name, ..)| name.is_empty()), "{}: CUPS sees more", capture.name);
    }
    println!("{compared} attributes as CUPS sees them");
}

/// `        name (1setOf type) = values`
fn cups_line(line: &str) -> Option<(&str, bool, &str, &str)> {
    let (head, values) = line.strip_prefix("        ")?.split_once(") = ")?;
    let (name, kind) = head.split_once(" (")?;
    if name.is_empty() || name.contains(' ') {
        return None;
    }
    let many = kind.strip_prefix("1setOf ");
    Some((name, many.is_some(), many.unwrap_or(kind), values))
}

/// CUPS names the type of the first value.
fn cups_type(values: &[Value]) -> &'static str {
    match values[0].tag() {
        0x10 => "unsupported",
        0x12 => "unknown",
        0x13 => "no-value",
        0x21 => "integer",
        0x22 => "boolean",
        0x23 => "enum",
        0x30 => "octetString",
        0x31 => "dateTime",
        0x32 => "resolution",
        0x33 => "rangeOfInteger",
        0x34 => "collection",
        0x35 => "textWithLanguage",
        0x36 => "nameWithLanguage",
        0x41 => "textWithoutLanguage",
        0x42 => "nameWithoutLanguage",
        0x44 => "keyword",
        0x45 => "uri",
        0x46 => "uriScheme",
        0x47 => "charset",
        0x48 => "naturalLanguage",
        0x49 => "mimeMediaType",
        _ => "?",
    }
}

/// The values as CUPS lists them; `None` where it writes them another way (names for enums, escaped text).
fn cups_values(values: &[Value]) -> Option<String> {
    let shown: Option<Vec<String>> = values
        .iter()
        .map(|value| match value {
            Value::Integer(n) => Some(n.to_string()),
            Value::Boolean(b) => Some(b.to_string()),
            Value::Range { lower, upper } => Some(format!("{lower}-{upper}")),
            Value::Resolution(r) if r.x == r.y && r.unit == 3 => Some(format!("{}dpi", r.x)),
            Value::Charset(text) | Value::NaturalLanguage(text) | Value::UriScheme(text) => Some(text.clone()),
            Value::Keyword(text) | Value::MimeMediaType(text) | Value::Uri(text)
                if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b)) =>
            {
                Some(text.clone())
            }
            Value::DateTime(dt) if dt.utc_hours == 0 && dt.utc_minutes == 0 => Some(format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                dt.year, dt.month, dt.day, dt.hour, dt.minute, dt.second
            )),
            _ => None,
        })
        .collect();
    Some(shown?.join(","))
}

#[test]
fn observations_say_what_cups_says() {
    let mut supplies = 0;
    // One answer lists the twelve queues of a print server: which one is meant is not for the decoder to say.
    for capture in captures().into_iter().filter(|capture| capture.name != "cups-get-printers-multi") {
        let name = &capture.name;
        let expected = &capture.expected;
        let response = Response::from(capture.parsed.clone());
        if !cups_refused(&capture) {
            assert_eq!(response.status().to_string(), expected["status_code"].as_str().unwrap(), "{name}");
        }
        let Some(o) = decode::observation(&response.message, jiff::Timestamp::UNIX_EPOCH) else {
            assert!(expected["state"].is_null() && expected["model"].is_null(), "{name}");
            continue;
        };
        let state = match o.printer_state {
            Some(PrinterStateEnum::Idle) => Some(3),
            Some(PrinterStateEnum::Processing) => Some(4),
            Some(PrinterStateEnum::Stopped) => Some(5),
            None => None,
        };
        assert_eq!(state, expected["state"].as_i64(), "{name}");
        let mut reasons = texts(&expected["state_reasons"]);
        reasons.retain(|reason| reason != "none");
        reasons.dedup();
        for reason in &reasons {
            assert!(o.reasons.contains(reason), "{name}: {reason}");
        }
        assert!(o.reasons.iter().all(|reason| reasons.contains(reason)), "{name}: {:?}", o.reasons);
        let uuid = expected["uuid"].as_str().map(|uuid| uuid.trim_start_matches("urn:uuid:").to_ascii_lowercase());
        assert_eq!(o.evidence.uuid, uuid, "{name}");
        let firmware = texts(&expected["firmware"]);
        assert_eq!(o.firmware.unwrap_or_default(), firmware.join(", "), "{name}");
        if let Some(model) = expected["model"].as_str() {
            let (make, ours) = (o.evidence.make.unwrap_or_default(), o.evidence.model.unwrap_or_default());
            assert!(model.ends_with(&ours) && !ours.is_empty(), "{name}: {ours:?} of {model:?}");
            let vendor = name.split('-').next().unwrap();
            let known = !matches!(vendor, "apple" | "cups" | "odd");
            assert!(!known || make.eq_ignore_ascii_case(vendor), "{name}: {make:?}");
        }
        let device_id = expected["manufacturer_model_device_id"].as_str().unwrap_or_default();
        let serial = device_id.split(';').find_map(|pair| pair.strip_prefix("SN:"));
        assert_eq!(o.evidence.serial.as_deref(), serial, "{name}");
        let theirs = expected["supplies"].as_array().cloned().unwrap_or_default();
        assert_eq!(o.supplies.len(), theirs.len(), "{name}");
        for supply in &theirs {
            let percent = supply["percent"].as_i64().unwrap();
            let level = match percent {
                0..=100 => Level::Known(percent as u8),
                -3 => Level::SomeRemaining,
                _ => Level::Unknown,
            };
            let color = match supply["color"].as_str().unwrap().to_ascii_uppercase().as_str() {
                "#000000" | "#101010" => "black",
                "#00FFFF" | "#00CFFF" => "cyan",
                "#FF00FF" | "#F200FF" => "magenta",
                "#FFFF00" | "#FFDA00" => "yellow",
                "#00FFFF#FF00FF#FFFF00" => "tri-color",
                // Samsung's black toner.
                "#FFFFFF" => "black",
                "NONE" => "",
                other => panic!("{name}: {other}"),
            };
            let found = o
                .supplies
                .iter()
                .any(|ours| ours.level == level && ours.color.as_deref().unwrap_or_default().ends_with(color));
            assert!(found, "{name}: {supply} in {:?}", o.supplies);
            supplies += 1;
        }
    }
    println!("{supplies} supplies as CUPS sees them");
}

fn texts(json: &Json) -> Vec<String> {
    match json {
        Json::String(text) => vec![text.clone()],
        Json::Array(list) => list.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
        _ => vec![],
    }
}

#[test]
fn jobs_are_read_from_the_captured_lists() {
    for capture in captures() {
        let jobs = Response::from(capture.parsed).jobs();
        match capture.name.as_str() {
            "xerox-b210-get-jobs" => {
                assert_eq!(jobs.len(), 1);
                assert_eq!((jobs[0].id, jobs[0].state), (3679, Some(JobState::PendingHeld)));
                assert_eq!(jobs[0].name.as_deref(), Some("blank_A4.pdf"));
            }
            "kyocera-ecosys-m2540dn-get-jobs" => assert!(!jobs.is_empty() && jobs.iter().all(|job| job.id > 0)),
            _ => assert!(jobs.is_empty(), "{}", capture.name),
        }
    }
    assert_eq!(Status(0x0503), Status::VERSION_NOT_SUPPORTED);
}

/// The `ipp` crate panics and overflows the stack on bad input: it sees captures only, on a large stack, and its panics
/// are its own affair.
#[cfg(feature = "lab")]
#[test]
fn the_ipp_crate_reads_the_same() {
    let worker = std::thread::Builder::new().stack_size(64 * 1024 * 1024).spawn(|| {
        let captures = captures();
        let (mut judged, mut compared) = (0, 0);
        for capture in &captures {
            let octets = capture.octets.clone();
            let verdict =
                std::panic::catch_unwind(|| ipp::parser::IppParser::new(std::io::Cursor::new(octets)).parse());
            match verdict {
                Ok(Ok(theirs)) => {
                    compared += judge(&capture.name, &capture.parsed.message, &theirs);
                    judged += 1;
                }
                Ok(Err(error)) => println!("{}: the ipp crate refuses it: {error}", capture.name),
                Err(_) => println!("{}: the ipp crate panics", capture.name),
            }
        }
        println!("{judged} of {} captures, {compared} values as the ipp crate reads them", captures.len());
        assert!(judged * 10 >= captures.len() * 8, "the judge refused too many");
    });
    worker.unwrap().join().unwrap();
}

#[cfg(feature = "lab")]
fn judge(name: &str, ours: &Message, theirs: &ipp::request::IppRequestResponse) -> usize {
    assert_eq!(ours.operation_or_status, theirs.header().operation_or_status as u16, "{name}");
    assert_eq!(ours.request_id, theirs.header().request_id as u32, "{name}");
    let groups = theirs.attributes().groups();
    assert_eq!(ours.groups.len(), groups.len(), "{name}");
    let mut compared = 0;
    for (our_group, their_group) in ours.groups.iter().zip(groups) {
        assert_eq!(our_group.tag.0, their_group.tag() as u8, "{name}");
        assert_eq!(our_group.attributes.len(), their_group.attributes().len(), "{name}");
        for (our, their) in our_group.attributes.iter().zip(their_group.attributes()) {
            assert_eq!(our.name, their.name().as_str(), "{name}");
            compared += judge_attribute(name, our, their.value());
        }
    }
    compared
}

#[cfg(feature = "lab")]
fn judge_attribute(name: &str, our: &Attribute, their: &ipp::value::IppValue) -> usize {
    let at = format!("{name}: {}", our.name);
    match their {
        ipp::value::IppValue::Array(list) => {
            assert_eq!(our.values.len(), list.len(), "{at}");
            our.values.iter().zip(list).map(|(our, their)| judge_value(&at, our, their)).sum()
        }
        single => {
            assert_eq!(our.values.len(), 1, "{at}");
            judge_value(&at, &our.values[0], single)
        }
    }
}

#[cfg(feature = "lab")]
fn judge_value(at: &str, our: &Value, their: &ipp::value::IppValue) -> usize {
    use ipp::value::IppValue as Theirs;
    // What the crate writes for the value, behind its length, against what we read: an octet-for-octet verdict.
    let theirs = their.to_bytes();
    let theirs = theirs.get(2..).unwrap_or_default();
    match (our, their) {
        (Value::Collection(members), Theirs::Collection(map)) => {
            // The crate loses its place in members with several values; those collections it cannot judge.
            if members.iter().any(|member| member.values.len() != 1) {
                return 0;
            }
            assert_eq!(members.len(), map.len(), "{at}");
            let judged = members.iter().map(|member| {
                let (_, their) = map.iter().find(|(name, _)| name.as_str() == member.name).expect(at);
                judge_value(at, &member.values[0], their)
            });
            judged.sum()
        }
        (Value::OutOfBand(_), _) => {
            assert!(matches!(their, Theirs::NoValue | Theirs::Other { .. }), "{at}: {their:?}");
            1
        }
        _ => {
            assert_eq!(our.tag(), their.to_tag(), "{at}");
            assert_eq!(written(our), theirs, "{at}");
            1
        }
    }
}

/// The octets of one value, from our writer.
#[cfg(feature = "lab")]
fn written(value: &Value) -> Vec<u8> {
    use printgate::ipp::codec::{Group, GroupTag, Version};
    let group = Group::new(GroupTag::JOB, vec![Attribute::new("a", value.clone())]);
    let message = Message { version: Version::V2_0, operation_or_status: 0, request_id: 1, groups: vec![group] };
    let octets = encode(&message).unwrap();
    // Header 8, group 1, tag 1, name 2 + 1, length 2; end 1.
    octets[15..octets.len() - 1].to_vec()
}
