//! Captures of real agents, decoded and held against what independent programs make of the same capture.
//!
//! Skips, and says so, without the corpus (`PRINTGATE_CORPUS`, or `../shared/corpus`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

use async_snmp::{Oid, Value};
use bytes::Bytes;
use jiff::Timestamp;
use printgate::domain::identity;
use printgate::domain::state::{Level, Observation};
use printgate::snmp::decode::{self, mib::Mib};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[test]
fn captures_say_what_others_read_in_them() {
    let Some(corpus) = corpus() else { return };
    let mut tally: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    let mut printers = 0;
    for (name, mib) in captures(&corpus) {
        let expected: serde_json::Value =
            serde_json::from_slice(&std::fs::read(corpus.join(format!("expected/{name}.json"))).unwrap()).unwrap();
        let Some(observation) = decode::observation(&mib, Timestamp::UNIX_EPOCH) else {
            println!("{name}: no printer");
            continue;
        };
        printers += 1;
        println!("{name}: {}", line(&observation));
        for (what, judged) in judge(&expected, &observation) {
            let entry = tally.entry(what).or_default();
            match judged {
                Ok(()) => entry.0 += 1,
                Err(why) => entry.1.push(format!("{name}: {why}")),
            }
        }
    }
    println!("{printers} printers");
    for (what, (right, wrong)) in &tally {
        println!("{what}: {right} agree, {} differ {wrong:#?}", wrong.len());
        let unexplained: Vec<_> = wrong
            .iter()
            .filter(|why| !REVIEWED.iter().any(|(capture, of, _)| of == what && why.starts_with(capture)))
            .collect();
        assert!(unexplained.is_empty(), "{what}: {unexplained:#?}");
    }
    // What must not become less.
    for (what, least) in [("serial", 6), ("model", 16), ("supply", 73), ("tray", 17)] {
        let right = tally.get(what).map_or(0, |(right, _)| *right);
        assert!(right >= least, "{what}: {right} of at least {least}");
    }
}

#[test]
fn what_is_no_printer_is_none() {
    let Some(corpus) = corpus() else { return };
    let mut seen = 0;
    for (name, mib) in
        captures(&corpus).into_iter().filter(|(name, _)| name.starts_with("nonprinter") || name.contains("scanner"))
    {
        seen += 1;
        assert_eq!(decode::observation(&mib, Timestamp::UNIX_EPOCH), None, "{name}");
    }
    assert!(seen >= 5, "{seen}");
}

#[test]
fn a_printer_mib_kept_in_another_context_is_asked_for_and_joined() {
    let Some(corpus) = corpus() else { return };
    let all: BTreeMap<String, Mib> = captures(&corpus).into_iter().collect();
    let mut mib = all["hp-supplies-context-test"].clone();
    assert!(decode::wants_context(&mib));
    assert!(!decode::wants_context(&all["hp-color-laserjet-m452nw"]));
    mib.fill_from(all["hp-supplies-context-test@Jetdirect"].clone());
    let o = decode::observation(&mib, Timestamp::UNIX_EPOCH).unwrap();
    let levels: Vec<_> = o.supplies.iter().map(|s| (s.key.as_str(), s.level)).collect();
    assert_eq!(levels[0], ("black-toner", Level::Known(61)));
    assert_eq!(levels.len(), 4);
}

/// Differences that were looked at: the capture, what differs, why.
const REVIEWED: &[(&str, &str, &str)] = &[
    ("brother-", "serial", "only in the maker's own table; some redacted"),
    ("utax-p-4532dn", "serial", "only in the maker's own table"),
    ("brother-", "page count", "only in the maker's own table"),
    ("konica-minolta-bizhub-c3110", "model", "hrDeviceDescr is generic; theirs is from the maker's own table"),
    ("xerox-workcentre-7835-partial", "model", "not in the capture"),
];

/// What one capture's expectation knows, each agreed with or not.
fn judge(expected: &serde_json::Value, observation: &Observation) -> Vec<(&'static str, Result<(), String>)> {
    let mut judged = Vec::new();
    let text = |key: &str| expected[key].as_str().map(str::to_owned);
    let agree = |same: bool, ours: String, theirs: String| {
        if same { Ok(()) } else { Err(format!("ours {ours}, theirs {theirs}")) }
    };
    if let Some(theirs) = text("serial") {
        let ours = observation.evidence.serial.clone();
        judged.push(("serial", agree(ours.as_deref() == Some(theirs.as_str()), format!("{ours:?}"), theirs)));
    }
    if let Some(theirs) = text("model") {
        let e = &observation.evidence;
        let ours = [&e.make, &e.model].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        let plain = |text: &str| text.to_lowercase().replace(" series", "");
        let same = plain(&ours).contains(&plain(&theirs))
            || plain(&theirs).contains(&plain(e.model.as_deref().unwrap_or("-")));
        judged.push(("model", agree(same, ours, theirs)));
    }
    if let Some(theirs) = expected["pagecount"].as_i64() {
        let ours = observation.counters.impressions;
        judged.push(("page count", agree(ours == Some(theirs), format!("{ours:?}"), theirs.to_string())));
    }
    for supply in expected["supplies"].as_array().into_iter().flatten() {
        let (Some(oid), Some(percent)) = (supply["level_oid"].as_str(), supply["percent"].as_u64()) else { continue };
        let Ok(oid) = Oid::parse(oid.trim_start_matches('.')) else { continue };
        let of_supplies = oid.arcs().starts_with(&[1, 3, 6, 1, 2, 1, 43, 11]);
        let of_trays = oid.arcs().starts_with(&[1, 3, 6, 1, 2, 1, 43, 8]);
        let description = supply["description"].as_str().unwrap_or_default();
        let raw = |key: &str| supply[key].as_str().and_then(|text| text.parse::<i64>().ok());
        let level = if of_supplies {
            let mut ours = observation.supplies.iter();
            let found = ours.find(|s| {
                s.description.trim() == description.trim()
                    && s.raw_level == raw("raw_level")
                    && s.raw_max == raw("raw_max")
            });
            found.map(|s| s.level)
        } else if of_trays {
            observation.trays.iter().find(|t| t.name.trim() == description.trim()).map(|t| t.level)
        } else {
            // From a maker's own table.
            continue;
        };
        let convention = supply["percent_is_source_convention"] == true;
        let same = match level {
            // What others call 50 % for "some".
            Some(Level::SomeRemaining) => convention,
            Some(Level::Known(ours)) => !convention && u64::from(ours).abs_diff(percent) <= 1,
            _ => false,
        };
        let what = if of_supplies { "supply" } else { "tray" };
        judged.push((what, agree(same, format!("{description} {level:?}"), supply.to_string())));
    }
    judged
}

fn line(o: &Observation) -> String {
    let e = identity::canonical(&o.evidence);
    format!(
        "{:?} {:?} serial {:?} mac {:?}; {:?} {:?}; {:?}; {:?}; trays {:?}; {:?} {:?} {:?}",
        e.make,
        o.evidence.model,
        e.serial,
        e.mac,
        o.printer_state,
        o.reasons,
        o.supplies.iter().map(|s| format!("{}={:?}", s.key, s.level)).collect::<Vec<_>>(),
        o.counters,
        o.trays.iter().map(|t| format!("{}={:?}", t.name, t.level)).collect::<Vec<_>>(),
        o.capabilities.formats,
        o.message,
        o.location,
    )
}

fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("PRINTGATE_CORPUS").map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from);
    if path.join("snmp").is_dir() {
        return Some(path);
    }
    println!("SKIPPED: no corpus at {}", path.display());
    None
}

fn captures(corpus: &Path) -> Vec<(String, Mib)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(corpus.join("snmp")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        all.push((name, read(&std::fs::read(&path).unwrap())));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// `OID|TAG|VALUE` lines; `x` behind the tag: the value in hexadecimal.
fn read(text: &[u8]) -> Mib {
    let mut mib = Mib::default();
    for line in text.split(|b| *b == b'\n') {
        let mut parts = line.splitn(3, |b| *b == b'|');
        let (Some(oid), Some(tag), Some(value)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let Ok(oid) = Oid::parse(std::str::from_utf8(oid).unwrap()) else { continue };
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        let number = || String::from_utf8_lossy(value).trim().parse::<i64>().ok();
        let unsigned = || number().map(|n| n as u32);
        let octets = |tag: &[u8]| {
            if tag.ends_with(b"x") {
                data_encoding::HEXLOWER_PERMISSIVE.decode(value).ok().map(Bytes::from)
            } else {
                Some(Bytes::copy_from_slice(value))
            }
        };
        let value = match tag {
            b"2" => number().map(|n| Value::Integer(n as i32)),
            b"4" | b"4x" => octets(tag).map(Value::OctetString),
            b"6" => Oid::parse(String::from_utf8_lossy(value).trim()).ok().map(Value::ObjectIdentifier),
            b"65" => unsigned().map(Value::Counter32),
            b"66" => unsigned().map(Value::Gauge32),
            b"67" => unsigned().map(Value::TimeTicks),
            b"70" => number().map(|n| Value::Counter64(n as u64)),
            _ => None,
        };
        if let Some(value) = value {
            mib.insert(oid.arcs(), value);
        }
    }
    mib
}
