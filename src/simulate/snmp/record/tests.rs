//! Tests of recordings.

use super::*;
use proptest::prelude::*;

fn value(tag: &str, text: &str) -> Result<Value, String> {
    value_of(tag.as_bytes(), text.as_bytes())
}

#[test]
fn every_tag_is_read() {
    for (tag, text, expected) in [
        ("2", "-3", Value::Integer(-3)),
        ("4", "a|b", Value::OctetString(Bytes::from_static(b"a|b"))),
        ("4x", "00FFab", Value::OctetString(Bytes::from_static(b"\x00\xff\xab"))),
        ("4x", "", Value::OctetString(Bytes::new())),
        ("4e", "a\\n\\x7f\\\\", Value::OctetString(Bytes::from_static(b"a\n\x7f\\"))),
        ("5", "", Value::Null),
        ("6", "1.3.6.1", Value::ObjectIdentifier(Oid::from_slice(&[1, 3, 6, 1]))),
        ("64", "10.0.0.1", Value::IpAddress([10, 0, 0, 1])),
        ("64x", "0a000001", Value::IpAddress([10, 0, 0, 1])),
        ("40x", "0a000001", Value::IpAddress([10, 0, 0, 1])),
        ("65", "4294967295", Value::Counter32(u32::MAX)),
        ("66", "7", Value::Gauge32(7)),
        ("67", "8", Value::TimeTicks(8)),
        ("67x", "ff", Value::TimeTicks(255)),
        ("68x", "9f7804", Value::Opaque(Bytes::from_static(b"\x9f\x78\x04"))),
        ("70", "18446744073709551615", Value::Counter64(u64::MAX)),
        ("65:numeric", "min=3,max=9,initial=5", Value::Counter32(5)),
        ("66:numeric", "min=3", Value::Gauge32(3)),
    ] {
        assert_eq!(value(tag, text), Ok(expected), "{tag}|{text}");
    }
    for (tag, text) in [
        ("2", "2147483648"),
        ("2", "x"),
        ("4x", "0"),
        ("64", "1.2.3"),
        ("65", "-1"),
        ("99", "1"),
        ("", ""),
        ("2:error", "a"),
        ("6", ""),
    ] {
        assert!(value(tag, text).is_err(), "{tag}|{text}");
    }
}

#[test]
fn bad_and_double_lines_are_reported_with_their_numbers() {
    let mut recording = Recording::default();
    let bad =
        recording.add("", b"# a comment\n1.3.6.1.9|2|1\r\n\nnonsense\n1.3.6.1.2|4|late\n.1.3.6.1.9|2|7\n1.3|77|x\n");
    let shown: Vec<(usize, &str)> = bad.iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
    assert_eq!(
        shown,
        [
            (4, "this is not OID|TAG|VALUE"),
            (6, "1.3.6.1.9 stands in line 2 already, which is served"),
            (7, "`77` is no tag of this format"),
        ]
    );
    assert_eq!(recording.objects(), 2);
    let objects = recording.context("").unwrap();
    let first = objects.after(&Oid::from_slice(&[1])).unwrap();
    assert_eq!(first.0.to_string(), "1.3.6.1.2");
    assert_eq!(objects.get(&Oid::from_slice(&[1, 3, 6, 1, 9])), Some(&Value::Integer(1)));
}

#[test]
fn contexts_are_the_files_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("a.snmprec", "1.3.6.1.1|2|1\n");
    write("a@Jetdirect.snmprec", "1.3.6.1.2|2|2\n1.3.6.1.3|2|3\n");
    write("b@Only.snmprec", "1.3.6.1.1|2|1\n");
    write("ab.snmprec", "1.3.6.1.1|2|1\n");
    write("a.txt", "");
    let (recording, bad) = Recording::load(&directory.path().join("a.snmprec")).unwrap();
    assert_eq!(
        (recording.contexts().collect::<Vec<_>>(), recording.objects(), bad),
        (vec!["", "Jetdirect"], 3, vec![])
    );
    let found = Recording::in_directory(directory.path()).unwrap();
    let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.snmprec", "ab.snmprec", "b@Only.snmprec"]);
    assert!(Recording::load(&directory.path().join("missing.snmprec")).is_err());
}

/// Lines that look like lines.
fn line() -> impl Strategy<Value = String> {
    let oid = prop_oneof!["[.0-9]{0,40}", "1\\.3\\.6(\\.[0-9]{1,11}){0,140}"];
    let tag = prop_oneof!["(2|4|5|6|40|64|65|66|67|68|70|71)[xe]?(:numeric|:error)?", "\\PC{0,6}"];
    (oid, tag, "\\PC{0,40}").prop_map(|(oid, tag, value)| format!("{oid}|{tag}|{value}"))
}

proptest! {
    #[test]
    fn no_octets_break_it(file in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let mut recording = Recording::default();
        let bad = recording.add("", &file);
        let lines = file.split(|octet| *octet == b'\n').count();
        prop_assert!(bad.len() + recording.objects() <= lines);
    }

    #[test]
    fn every_line_is_served_or_reported_and_what_is_served_is_encodable(lines in proptest::collection::vec(line(), 0..20)) {
        let mut recording = Recording::default();
        let bad = recording.add("", lines.join("\n").as_bytes());
        // A line with a line break in it, or a comment or an empty one, cannot be made by `line`.
        prop_assert_eq!(bad.len() + recording.objects(), lines.len());
        let objects = recording.context("").unwrap();
        let mut at = Oid::from_slice(&[0]);
        while let Some((oid, value)) = objects.after(&at) {
            let mut buffer = async_snmp::ber::EncodeBuf::new();
            prop_assert!(async_snmp::VarBind::new(oid.clone(), value.clone()).encode(&mut buffer).is_ok());
            at = oid.clone();
        }
    }
}
