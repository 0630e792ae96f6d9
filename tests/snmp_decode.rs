//! The decoding of variables made up by a generator: any of them give an observation or none, and nothing unbounded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

use async_snmp::{Oid, Value};
use bytes::Bytes;
use jiff::Timestamp;
use printgate::domain::state::Level;
use printgate::snmp::decode::{self, mib::Mib};
use printgate::snmp::objects::{self, GROUPS};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Columns that the decoder looks at, with any index; sometimes an object that it does not.
fn any_oid() -> impl Strategy<Value = Vec<u32>> {
    let columns: Vec<Vec<u32>> = GROUPS
        .iter()
        .flat_map(|group| group.columns)
        .map(|(entry, column)| {
            let mut oid = entry.to_vec();
            oid.extend((*column != 0).then_some(*column));
            oid
        })
        .collect();
    let index = prop::collection::vec(prop_oneof![4 => 0u32..4, 1 => any::<u32>()], 0..4);
    let column = (prop::sample::select(columns), index).prop_map(|(mut oid, index)| {
        oid.extend(index);
        oid
    });
    let system = prop::sample::select(objects::SYSTEM.to_vec()).prop_map(<[u32]>::to_vec);
    prop_oneof![20 => column, 2 => system, 1 => prop::collection::vec(any::<u32>(), 0..140)]
}

fn any_value() -> impl Strategy<Value = Value> {
    let small = prop_oneof![-4i32..130, Just(1104), Just(808), Just(30_208)];
    prop_oneof![
        6 => small.prop_map(Value::Integer),
        2 => any::<i32>().prop_map(Value::Integer),
        4 => prop::collection::vec(any::<u8>(), 0..80).prop_map(|octets| Value::OctetString(Bytes::from(octets))),
        2 => "\\PC{0,40}".prop_map(|text| Value::OctetString(Bytes::from(text.into_bytes()))),
        1 => any::<u32>().prop_map(Value::Counter32),
        1 => any::<u64>().prop_map(Value::Counter64),
        1 => Just(Value::ObjectIdentifier(Oid::from_slice(objects::HR_DEVICE_PRINTER))),
        1 => prop::collection::vec(any::<u32>(), 0..20).prop_map(|arcs| Value::ObjectIdentifier(Oid::new(arcs))),
        1 => Just(Value::NoSuchObject),
        1 => Just(Value::EndOfMibView),
        1 => Just(Value::Null),
        1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(|octets| Value::Opaque(Bytes::from(octets))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("PRINTGATE_SOAK").is_some() { 50_000 } else { 300 }, ..ProptestConfig::default() })]

    #[test]
    fn any_variables_are_decoded_within_bounds(variables in prop::collection::vec((any_oid(), any_value()), 0..120)) {
        let mut mib = Mib::default();
        for (oid, value) in variables {
            mib.insert(&oid, value);
        }
        let _ = decode::wants_context(&mib);
        prop_assert!(decode::system_description(&mib).len() <= 255);
        let Some(o) = decode::observation(&mib, Timestamp::UNIX_EPOCH) else { return Ok(()) };
        prop_assert!(o.supplies.len() <= 64 && o.trays.len() <= 64 && o.reasons.len() <= 64);
        let keys: BTreeSet<_> = o.supplies.iter().map(|s| &s.key).collect();
        prop_assert_eq!(keys.len(), o.supplies.len());
        for supply in &o.supplies {
            prop_assert!(supply.description.len() <= 255 && !supply.description.chars().any(char::is_control));
            if let Level::Known(percent) = supply.level {
                prop_assert!(percent <= 100);
                prop_assert!(supply.raw_level.is_some_and(|raw| raw >= 0));
            }
        }
        prop_assert!(o.reasons.iter().all(|r| r.ends_with("-error") || r.ends_with("-warning") || r.ends_with("-report")));
        prop_assert!(o.counters.impressions.is_none_or(|n| n >= 0));
        prop_assert_eq!(decode::observation(&mib, Timestamp::UNIX_EPOCH), Some(o));
    }
}

#[test]
fn ten_thousand_rows_and_long_texts_are_cut() {
    let mut mib = Mib::default();
    let text = Value::OctetString(Bytes::from(vec![b'x'; 10_000]));
    for row in 0..10_000 {
        for column in [objects::SUPPLIES_DESCRIPTION, objects::SUPPLIES_LEVEL] {
            let mut oid = objects::PRT_SUPPLIES.to_vec();
            oid.extend([column, 1, row]);
            mib.insert(&oid, if column == objects::SUPPLIES_LEVEL { Value::Integer(5) } else { text.clone() });
        }
    }
    assert!(mib.len() <= decode::mib::MAX_VARIABLES);
    let started = Instant::now();
    let o = decode::observation(&mib, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(o.supplies.len(), 64);
    assert!(o.supplies.iter().all(|s| s.description.len() <= 255));
    // Far beyond what it takes; a runaway would not end at all.
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// Rows of two columns under any index: the printer is found where it is.
#[test]
fn the_printer_is_found_among_other_devices() {
    let printer = Value::ObjectIdentifier(Oid::from_slice(objects::HR_DEVICE_PRINTER));
    let other = Value::ObjectIdentifier(Oid::from_slice(&[1, 3, 6, 1, 2, 1, 25, 3, 1, 3]));
    let cell = |entry: objects::Arcs, column: u32, index: &[u32]| [entry, &[column], index].concat();
    for (index, wanted) in [(0, true), (1, true), (5, true), (4_711, true), (6, false)] {
        let mut mib = Mib::default();
        mib.insert(
            &cell(objects::HR_DEVICE, objects::HR_DEVICE_TYPE, &[index]),
            if wanted { printer.clone() } else { other.clone() },
        );
        mib.insert(&cell(objects::HR_DEVICE, objects::HR_DEVICE_TYPE, &[9]), other.clone());
        if wanted {
            mib.insert(
                &cell(objects::PRT_GENERAL, objects::GENERAL_SERIAL, &[index]),
                Value::OctetString("A1B2C3".into()),
            );
            mib.insert(
                &cell(objects::HR_DEVICE, objects::HR_DEVICE_DESCR, &[index]),
                Value::OctetString("Brother HL-1".into()),
            );
        }
        let o = decode::observation(&mib, Timestamp::UNIX_EPOCH);
        assert_eq!(o.is_some(), wanted, "{index}");
        if let Some(o) = o {
            assert_eq!((o.evidence.serial.as_deref(), o.evidence.make.as_deref()), (Some("A1B2C3"), Some("Brother")));
        }
    }
}
