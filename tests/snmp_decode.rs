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

const PRINTER: &str = "1.3.6.1.2.1.25.3.1.5";

/// An agent with these objects: a value that is an object identifier in dots is one, a number is one, the rest is text.
fn agent(objects: &[(&str, &str)]) -> Mib {
    let mut mib = Mib::default();
    for (oid, value) in objects {
        let parsed = value.starts_with("1.3.6.").then(|| Oid::parse(value).unwrap());
        let value = match (parsed, value.parse::<i32>()) {
            (Some(oid), _) => Value::ObjectIdentifier(oid),
            (None, Ok(number)) => Value::Integer(number),
            (None, Err(_)) => Value::OctetString(Bytes::copy_from_slice(value.as_bytes())),
        };
        mib.insert(Oid::parse(oid).unwrap().arcs(), value);
    }
    mib
}

const DESCR: &str = "1.3.6.1.2.1.1.1.0";
const OBJECT: &str = "1.3.6.1.2.1.1.2.0";
const TYPE: &str = "1.3.6.1.2.1.25.3.2.1.2.";
const DEVICE: &str = "1.3.6.1.2.1.25.3.2.1.3.";
const STATUS: &str = "1.3.6.1.2.1.25.3.5.1.1.";

#[test]
fn what_only_looks_like_a_printer_is_none() {
    let row = |prefix: &str, index: u32| format!("{prefix}{index}");
    let listed = |descr: &str, object: &str, index: u32, device: &str| {
        let (kind, name, status) = (row(TYPE, index), row(DEVICE, index), row(STATUS, index));
        agent(&[(DESCR, descr), (OBJECT, object), (&kind, PRINTER), (&name, device), (&status, "3")])
    };
    let bare = |descr: &str, object: &str| agent(&[(DESCR, descr), (OBJECT, object)]);
    let windows =
        "Hardware: Intel64 Family 6 Model 85 - Software: Windows Version 10.0 (Build 17763 Multiprocessor Free)";
    let net_snmp = "1.3.6.1.4.1.8072.3.2.10";
    for (what, mib) in [
        ("Windows with print queues", listed(windows, "1.3.6.1.4.1.311.1.1.3.1.2", 1, "Microsoft Print To PDF")),
        (
            "Windows with a printer's driver",
            listed(windows, "1.3.6.1.4.1.311.1.1.3.1.1", 3, "HP LaserJet 400 M401 PCL 6"),
        ),
        ("a computer's queue", listed("Linux files 5.10.0 #1 SMP x86_64", net_snmp, 1280, "HP LaserJet 4250")),
        ("failed lpstat", listed("LT2-S", "1.3.6.1.4.1.35616.5", 1280, "sh file or directory\n")),
        ("32 bits of net-snmp", listed("Linux (none) 2.6.28.9", net_snmp, 327_680, "Generic")),
        ("a NAS that shares a printer", listed("Linux nas 4.4.59", "1.3.6.1.4.1.6574.1", 1, "Brother HL-2270DW")),
        ("a projector", bare("EPSON EB-L1500U Projector", "1.3.6.1.4.1.1248.4.1")),
        (
            "a scanner's box",
            bare("EPSON 10/100/1000 Ethernet USB Ext. Scan Server", "1.3.6.1.4.1.1248.1.1.2.1.3.2.65.66"),
        ),
        (
            "Epson's interface without a printer",
            bare(
                "EPSON Network",
                "1.3.6.1.4.1.1248.1.1.2.1.3.22.78.101.116.119.111.114.107.32.73.110.116.101.114.102.97.99.101.32.85.110.105.116",
            ),
        ),
        ("a switch of HP's", bare("HP J9776A 2530-24G Switch, revision YA.16.10", "1.3.6.1.4.1.11.2.3.7.11.141")),
        ("ProCurve", bare("ProCurve J4900B Switch 2626", "1.3.6.1.4.1.11.2.3.7.11.45")),
        ("iLO", bare("Integrated Lights-Out 4 2.70", "1.3.6.1.4.1.232.9.4.10")),
        (
            "a server of Dell's",
            bare("Dell Out-of-band SNMP Agent for Remote Access Controller", "1.3.6.1.4.1.674.10892.5"),
        ),
        ("a switch of Dell's", bare("Dell Networking N2048, 6.3.1.8, Linux 3.6.5", "1.3.6.1.4.1.674.10895.3056")),
        ("a camera of Axis's", bare(" ; AXIS M3045-V; Network Camera; 9.80.3; Jan 2021", "1.3.6.1.4.1.368.1.1")),
        ("a camera of Canon's", bare("Canon Network Camera VB-H43", "1.3.6.1.4.1.1602.5.1")),
        ("a display of Sharp's", bare("SHARP PN-HW431 Display", "1.3.6.1.4.1.2385.9")),
        ("a telephone system", bare("Panasonic KX-NS700 PBX", "1.3.6.1.4.1.258.1")),
        ("a WLAN controller of Samsung's", bare("Samsung WEC8500 Wireless Controller", "1.3.6.1.4.1.236.4.1.10")),
        ("a UPS of Toshiba's", bare("TOSHIBA 4400 UPS", "1.3.6.1.4.1.186.1")),
        ("a UPS", bare("APC Web/SNMP Management Card (MB:v4.1.0 PF:v6.5.6)", "1.3.6.1.4.1.318.1.3.27")),
        ("a router", bare("Cisco IOS Software, C2960 Software", "1.3.6.1.4.1.9.1.716")),
        ("AIX", bare("IBM PowerPC CHRP Computer Machine Type: 0x0800004c", "1.3.6.1.4.1.2.3.1.2.1.1.3")),
        ("a print server alone", bare("AXIS 5470e Network Print Server V6.21", "1.3.6.1.4.1.368.1")),
        (
            "a JetDirect alone",
            bare("HP ETHERNET MULTI-ENVIRONMENT,ROM R.22.01,JETDIRECT,JD95", "1.3.6.1.4.1.11.2.3.9.1"),
        ),
        ("a print server of D-Link's", bare("D-Link DP-301P+ Print Server", "1.3.6.1.4.1.171.11.10")),
        ("nothing", Mib::default()),
    ] {
        let told = decode::identified(&mib);
        println!("{what}: {}", told.why);
        assert!(!told.printer, "{what}: {told:?}");
        assert_eq!(decode::observation(&mib, Timestamp::UNIX_EPOCH), None, "{what}");
    }
}

/// Texts as makers write them, each with what is in it.
#[test]
fn printers_are_read_from_what_makers_write() {
    for (what, objects, wanted) in [
        (
            "model, serial number, firmware in hrDeviceDescr, behind another maker's agent",
            &[
                (OBJECT, "1.3.6.1.4.1.674.10898.1"),
                ("1.3.6.1.2.1.25.3.2.1.2.1", PRINTER),
                ("1.3.6.1.2.1.25.3.2.1.3.1", "Dell S5830dn 7XQ1R92 LW62.DN4.P636"),
                ("1.3.6.1.2.1.43.10.2.1.3.1.1", "7"),
            ][..],
            ("Dell", "S5830dn", "7XQ1R92", "LW62.DN4.P636"),
        ),
        (
            "a name comes before a number",
            &[
                (DESCR, "TOSHIBA e-STUDIO305CS version NH41.CM.N321 kernel 2.6.28.10.1 All-N-1"),
                (OBJECT, "1.3.6.1.4.1.641.2.71565569"),
                ("1.3.6.1.4.1.641.2.1.2.1.6.1", "7014123FF0001"),
            ],
            ("Toshiba", "e-STUDIO305CS", "7014123FF0001", "NH41.CM.N321"),
        ),
        (
            "a product behind PID",
            &[
                (
                    DESCR,
                    "HP ETHERNET MULTI-ENVIRONMENT,SN:CNBJL00199,FN:JK0086J,SVCID:17036,PID:HP LaserJet P2015 Series",
                ),
                (OBJECT, "1.3.6.1.4.1.11.2.3.9.1"),
            ],
            ("HP", "LaserJet P2015 Series", "CNBJL00199", ""),
        ),
        (
            "the maker's objects of a card that names no model",
            &[
                (DESCR, "Brother NC-8300h, Firmware Ver.1.05 (09.05.26),MID 84UB03"),
                (OBJECT, "1.3.6.1.4.1.2435.2.3.9.1"),
                ("1.3.6.1.4.1.2435.2.3.9.1.1.7.0", "MFG:Brother;CMD:PJL,PCL;MDL:MFC-9840CDW;CLS:PRINTER;"),
                ("1.3.6.1.4.1.2435.2.3.9.4.2.1.5.5.1.0", "E67123B8J123456"),
                ("1.3.6.1.4.1.2435.2.3.9.4.2.1.5.5.17.0", "1.14"),
            ],
            ("Brother", "MFC-9840CDW", "E67123B8J123456", "1.14"),
        ),
        (
            "units and serial number behind semicolons",
            &[(
                DESCR,
                "Samsung SCX-5835_5935 Series; V2.01.00.36 Jun-20-2012;Engine 1.00.17;NIC V4.01.02;S/N Z2PVBAAB300123L",
            )],
            ("Samsung", "SCX-5835_5935 Series", "Z2PVBAAB300123L", "2.01.00.36"),
        ),
        (
            "an old print server of Zebra's",
            &[
                (DESCR, "ZebraNet Wired PS"),
                (OBJECT, "1.3.6.1.4.1.683.6"),
                ("1.3.6.1.2.1.25.3.2.1.2.1", PRINTER),
                ("1.3.6.1.4.1.683.1.5.0", "79071-000123"),
                ("1.3.6.1.4.1.683.1.9.0", "V1.01.18"),
            ],
            ("Zebra", "", "79071-000123", "V1.01.18"),
        ),
        (
            "a platform in hrDeviceDescr, the model in the maker's object",
            &[
                (OBJECT, "1.3.6.1.4.1.18334.1.1.1.2.1.117.2.2"),
                ("1.3.6.1.2.1.25.3.2.1.2.1", PRINTER),
                ("1.3.6.1.2.1.25.3.2.1.3.1", "Generic 28C-1"),
                ("1.3.6.1.2.1.43.10.2.1.3.1.1", "7"),
                ("1.3.6.1.4.1.18334.1.1.1.1.6.2.1.0", "KONICA MINOLTA bizhub C284e"),
                ("1.3.6.1.2.1.43.5.1.1.17.1", "A5C1021001234"),
            ],
            ("Konica Minolta", "bizhub C284e", "A5C1021001234", ""),
        ),
        (
            "a generic description and the maker's own objects",
            &[
                (DESCR, "KYOCERA Document Solutions Printing System"),
                (OBJECT, "1.3.6.1.4.1.1347.41"),
                ("1.3.6.1.2.1.43.5.1.1.17.1", "0"),
                ("1.3.6.1.4.1.1347.43.5.1.1.1.1", "TASKalfa 3252ci"),
                ("1.3.6.1.4.1.1347.43.5.1.1.28.1", "VCH8300123"),
                ("1.3.6.1.4.1.1347.43.5.4.1.5.1.1", "2RL_2000.002.403"),
            ],
            ("Kyocera", "TASKalfa 3252ci", "VCH8300123", "2RL_2000.002.403"),
        ),
        (
            "a card of a maker in another's case",
            &[
                (DESCR, "HP ETHERNET MULTI-ENVIRONMENT,ROM J.sp.00,JETDIRECT EX,JD28 EEPROM 5.58"),
                (OBJECT, "1.3.6.1.4.1.1347.41"),
            ],
            ("HP", "", "", ""),
        ),
        (
            "a printer on an agent of computers",
            &[
                (DESCR, "Linux Pantum 3.10.0 armv7l"),
                (OBJECT, "1.3.6.1.4.1.8072.3.2.10"),
                ("1.3.6.1.2.1.25.3.2.1.2.1", PRINTER),
                ("1.3.6.1.2.1.25.3.2.1.3.1", "Pantum BM5100ADW Series"),
                ("1.3.6.1.2.1.43.5.1.1.17.1", "CG3C123456"),
                ("1.3.6.1.2.1.43.10.2.1.3.1.1", "7"),
            ],
            ("Pantum", "BM5100ADW Series", "CG3C123456", ""),
        ),
    ] {
        let told = decode::identified(&agent(objects));
        let e = &told.evidence;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let ours = (text(&e.make), text(&e.model), text(&e.serial), text(&told.firmware));
        assert!(told.printer, "{what}: {}", told.why);
        assert_eq!((ours.0.as_str(), ours.1.as_str(), ours.2.as_str(), ours.3.as_str()), wanted, "{what}");
    }
}

/// Agents with a narrowed view, or of which only a part is known: no sysDescr, no sysObjectID.
#[test]
fn printers_that_show_little_of_themselves_are_read() {
    for (what, objects, wanted) in [
        (
            "a device id instead of an object identifier, and nothing else",
            &[("1.3.6.1.2.1.25.3.2.1.4.1", "MFG:Pantum;CMD:PJL,PCL;MDL:M7100DW series;CLS:PRINTER;SERN:CC1A001;")][..],
            ("Pantum", "M7100DW series", "CC1A001"),
        ),
        (
            "the port monitor's device id",
            &[("1.3.6.1.4.1.2699.1.2.1.2.1.1.3.1", "MANUFACTURER:Canon;MODEL:LBP6670;SN:LPA1234;")],
            ("Canon", "LBP6670", "LPA1234"),
        ),
        (
            "device index 0",
            &[
                ("1.3.6.1.2.1.25.3.2.1.3.1", "HP Officejet Pro 8600"),
                ("1.3.6.1.2.1.43.11.1.1.6.0.1", "black ink"),
                ("1.3.6.1.2.1.43.5.1.1.17.0", "CN1A2B3C4D"),
            ],
            ("HP", "Officejet Pro 8600", "CN1A2B3C4D"),
        ),
        (
            "a device id in HP's place, of another maker's printer, and that maker's own objects",
            &[
                ("1.3.6.1.4.1.11.2.3.9.1.1.7.0", "MFG:KYOCERA;MDL:FS-1370DN;CLS:PRINTER;"),
                ("1.3.6.1.4.1.1347.43.5.1.1.28.1", "QUV9600664"),
            ],
            ("Kyocera", "FS-1370DN", "QUV9600664"),
        ),
        (
            "the maker's objects at another index",
            &[("1.3.6.1.4.1.641.2.1.2.1.2.2", "Lexmark MS810"), ("1.3.6.1.4.1.641.2.1.2.1.6.2", "40645AAB12")],
            ("Lexmark", "MS810", "40645AAB12"),
        ),
        (
            "a serial number that is a number, in the only row there is",
            &[
                ("1.3.6.1.2.1.25.3.2.1.2.1", PRINTER),
                ("1.3.6.1.2.1.25.3.2.1.3.1", "RICOH SP 4510DN"),
                ("1.3.6.1.2.1.43.11.1.1.6.1.1", "toner"),
                ("1.3.6.1.2.1.43.5.1.1.17.7", "70452311"),
            ],
            ("Ricoh", "SP 4510DN", "70452311"),
        ),
        (
            "the product's name as the printer's",
            &[("1.3.6.1.2.1.43.5.1.1.16.1", "Lexmark MX611dhe"), ("1.3.6.1.2.1.43.5.1.1.17.1", "701633HH01")],
            ("Lexmark", "MX611dhe", "701633HH01"),
        ),
        ("a status", &[(STATUS_1, "3"), ("1.3.6.1.2.1.25.3.2.1.3.1", "OKI B431")], ("OKI", "B431", "")),
        ("a localization", &[("1.3.6.1.2.1.43.7.1.1.4.1.1", "106")], ("", "", "")),
    ] {
        let told = decode::identified(&agent(objects));
        let e = &told.evidence;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let ours = (text(&e.make), text(&e.model), text(&e.serial));
        assert!(told.printer, "{what}: {}", told.why);
        assert_eq!((ours.0.as_str(), ours.1.as_str(), ours.2.as_str()), wanted, "{what}");
        assert!(!decode::says_nothing(&agent(objects)), "{what}");
    }
    for (what, objects) in [
        (
            "a computer's queues",
            &[
                ("1.3.6.1.2.1.25.3.2.1.2.1", PRINTER),
                ("1.3.6.1.2.1.25.3.2.1.3.1", "Microsoft Print To PDF"),
                ("1.3.6.1.2.1.25.3.2.1.2.2", PRINTER),
                ("1.3.6.1.2.1.25.3.2.1.3.2", "HP LaserJet 4250 PCL 6"),
                (STATUS_1, "3"),
            ][..],
        ),
        ("a scanner's device id", &[("1.3.6.1.2.1.25.3.2.1.4.1", "MFG:EPSON;MDL:DS-860;CLS:SCANNER;")]),
        ("a network card's address", &[("1.3.6.1.2.1.2.2.1.6.1", "abcdef")]),
    ] {
        assert!(!decode::identified(&agent(objects)).printer, "{what}");
    }
    assert!(decode::says_nothing(&Mib::default()));
    assert!(!decode::says_nothing(&agent(&[(DESCR, "A thing")])));
}

const STATUS_1: &str = "1.3.6.1.2.1.25.3.5.1.1.1";

proptest! {
    /// A value stays what it is, whatever the field around it and the character set.
    #[test]
    fn a_serial_number_is_read_in_every_form(
        serial in "[A-Z]{2}[0-9]{4,8}[A-Z]", front in 0usize..3, behind in 0usize..9, form in 0usize..6, index in 0u32..4,
    ) {
        let wide = |little: bool| -> Vec<u8> {
            let units = serial.encode_utf16().chain(std::iter::repeat_n(0, behind));
            units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
        };
        let octets = match form {
            0 => [vec![b' '; front], serial.clone().into_bytes(), vec![b' '; behind]].concat(),
            1 => [vec![0; front], serial.clone().into_bytes(), vec![0; behind]].concat(),
            2 => [serial.clone().into_bytes(), vec![0xff; behind + 2]].concat(),
            3 => wide(true),
            4 => wide(false),
            _ => [&b"\xef\xbb\xbf"[..], serial.as_bytes(), b"\0rest"].concat(),
        };
        let mut mib = agent(&[(DESCR, "Brother HL-1")]);
        let oid = |column: u32| [objects::PRT_GENERAL, &[column, index]].concat();
        mib.insert(&oid(objects::GENERAL_SERIAL), Value::OctetString(Bytes::from(octets)));
        prop_assert_eq!(decode::identified(&mib).evidence.serial, Some(serial));
    }
}
