//! Captures of real agents, decoded and held against what independent programs make of the same capture.
//!
//! Skips, and says so, without the corpus (`PRINTGATE_CORPUS`, or `../shared/corpus`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod corpus_support;

use async_snmp::Oid;
use corpus_support::{BRANDS, OTHERWISE, captures, corpus};
use jiff::Timestamp;
use printgate::domain::identity;
use printgate::domain::sighting::Evidence;
use printgate::domain::state::{Level, Observation};
use printgate::snmp::decode::{self, mib::Mib};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;

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
    for (what, least) in [("serial", 17), ("model", 21), ("firmware", 14), ("supply", 73), ("tray", 17)] {
        let right = tally.get(what).map_or(0, |(right, _)| *right);
        assert!(right >= least, "{what}: {right} of at least {least}");
    }
}

/// Every capture of a printer is one, with a maker; nothing else is.
#[test]
fn printers_are_printers_and_nothing_else_is() {
    let Some(corpus) = corpus() else { return };
    let (mut printers, mut others, mut wrong) = (0, 0, Vec::new());
    for (name, mib) in captures(&corpus) {
        // The other context of an agent, not an agent.
        if name.contains('@') {
            continue;
        }
        let identified = decode::identified(&mib);
        let e = &identified.evidence;
        println!(
            "{name}: {} ({}) {:?} {:?} {:?} {:?} macs {:?} {:?}",
            identified.printer,
            identified.why,
            e.make,
            e.model,
            e.serial,
            identified.firmware,
            e.macs,
            identified.channels
        );
        let expected = !(name.starts_with("nonprinter") || name.contains("scanner"));
        if expected {
            printers += 1
        } else {
            others += 1
        }
        if identified.printer != expected {
            wrong.push(format!("{name}: {} ({})", identified.printer, identified.why));
        }
        assert_eq!(decode::observation(&mib, Timestamp::UNIX_EPOCH).is_some(), identified.printer, "{name}");
        if !identified.printer {
            assert_eq!(*e, Evidence::default(), "{name}");
            continue;
        }
        let maker = identity::canonical(e).make.unwrap_or_default();
        let (_, brand) = BRANDS.iter().find(|(front, _)| name.starts_with(front)).unwrap_or(&("", ""));
        if maker != *brand {
            wrong.push(format!("{name}: maker {maker:?}, not {brand:?}"));
        }
    }
    println!("{printers} printers, {others} others");
    let unexplained: Vec<_> =
        wrong.iter().filter(|why| !OTHERWISE.iter().any(|(capture, _)| why.starts_with(capture))).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    assert!(printers >= 60 && others >= 5, "{printers} {others}");
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
    ("brother-", "page count", "only in the maker's own table"),
    ("hp-supplies-context-test:", "supply", "in the capture of the other context"),
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
    if let Some(theirs) = text("firmware") {
        let ours = observation.firmware.clone();
        judged.push(("firmware", agree(ours.as_deref() == Some(theirs.as_str()), format!("{ours:?}"), theirs)));
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
        "{:?} {:?} serial {:?} macs {:?}; {:?} {:?}; {:?}; {:?}; trays {:?}; {:?} {:?} {:?}",
        e.make,
        o.evidence.model,
        e.serial,
        e.macs,
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

/// Captures cut, mixed and spoilt: an answer in bounded time, whatever is left.
#[test]
fn captures_changed_anywhere_are_decoded_within_bounds() {
    use async_snmp::Value;
    let Some(corpus) = corpus() else { return };
    let files: Vec<Vec<Vec<u8>>> = std::fs::read_dir(corpus.join("snmp"))
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .filter(|text| text.len() < 60_000)
        .map(|text| text.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect())
        .collect();
    let lines =
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u32>()), 0..60);
    let octets = prop::collection::vec(any::<u8>(), 0..300);
    let cases = if std::env::var_os("PRINTGATE_SOAK").is_some() { 20_000 } else { 200 };
    let mut runner = TestRunner::new(Config { cases, ..Config::default() });
    let whole = any::<prop::sample::Index>();
    let outcome = runner.run(&(whole, any::<u32>(), lines, octets), |(whole, keep, lines, octets)| {
        let mut mib = Mib::default();
        // A part of one capture, lines of others, and values that are none.
        let part =
            files[whole.index(files.len())].iter().enumerate().filter(|(at, _)| keep.rotate_left(*at as u32) & 1 == 0);
        let mut text = part.flat_map(|(_, line)| [line.as_slice(), b"\n"].concat()).collect::<Vec<u8>>();
        for (file, line, _) in &lines {
            let file = &files[file.index(files.len())];
            text.extend_from_slice(&file[line.index(file.len())]);
            text.push(b'\n');
        }
        mib.fill_from(corpus_support::read(&text));
        for (_, line, number) in &lines {
            let known: Vec<&[u32]> = corpus_support::IDENTITY_OBJECTS.to_vec();
            let oid = known[line.index(known.len())];
            let value = match number % 4 {
                0 => Value::Integer(*number as i32),
                1 => Value::Null,
                _ => Value::OctetString(
                    octets.iter().rev().take(*number as usize % 300).copied().collect::<Vec<u8>>().into(),
                ),
            };
            mib.insert(oid, value);
        }
        let told = decode::identified(&mib);
        prop_assert_eq!(told.printer, told.why.is_printer());
        let e = &told.evidence;
        let texts = [&e.make, &e.model, &e.serial, &told.firmware, &told.name, &told.location];
        for text in texts.into_iter().flatten() {
            prop_assert!(!text.is_empty() && text.len() <= 512 && !text.chars().any(char::is_control), "{text:?}");
        }
        prop_assert!(told.channels.len() <= decode::MAX_CHANNELS && e.macs.len() <= 8);
        prop_assert!(told.channels.iter().all(|channel| channel.port != 0 && channel.path.len() <= 255));
        let observed = decode::observation(&mib, Timestamp::UNIX_EPOCH);
        prop_assert_eq!(observed.is_some(), told.printer);
        if let Some(observed) = observed {
            prop_assert_eq!(&observed.evidence, e);
        }
        Ok(())
    });
    outcome.unwrap();
}
