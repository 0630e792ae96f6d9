//! Readers of the corpus: SNMP captures and announced records.
//!
//! `PRINTGATE_CORPUS` names the directory (default `../shared/corpus`); without it a test says that it skips.
#![allow(dead_code, reason = "each test uses a part")]

use async_snmp::{Oid, Value};
use bytes::Bytes;
use printgate::discovery::record::Announcement;
use printgate::domain::endpoint::EndpointKind;
use printgate::snmp::decode::mib::Mib;
use std::path::{Path, PathBuf};

/// Objects in which printers say who they are.
pub(crate) const IDENTITY_OBJECTS: &[&[u32]] = &[
    &[1, 3, 6, 1, 2, 1, 1, 1, 0],
    &[1, 3, 6, 1, 2, 1, 1, 2, 0],
    &[1, 3, 6, 1, 2, 1, 1, 5, 0],
    &[1, 3, 6, 1, 2, 1, 2, 2, 1, 6, 1],
    &[1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 3, 1],
    &[1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 4, 1],
    &[1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 16, 1],
    &[1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 17, 1],
    &[1, 3, 6, 1, 2, 1, 43, 14, 1, 1, 2, 1, 1],
    &[1, 3, 6, 1, 2, 1, 43, 14, 1, 1, 9, 1, 1],
    &[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 11, 1],
    &[1, 3, 6, 1, 4, 1, 2699, 1, 2, 1, 2, 1, 1, 3, 1],
    &[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 4, 2, 1, 1, 3, 3, 0],
];

/// The directory, if it is there.
pub(crate) fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("PRINTGATE_CORPUS").map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from);
    if path.join("snmp").is_dir() {
        return Some(path);
    }
    println!("SKIPPED: no corpus at {}", path.display());
    None
}

/// Every SNMP capture by its name.
pub(crate) fn captures(corpus: &Path) -> Vec<(String, Mib)> {
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
pub(crate) fn read(text: &[u8]) -> Mib {
    let mut mib = Mib::default();
    for line in text.split(|b| *b == b'\n') {
        let mut parts = line.splitn(3, |b| *b == b'|');
        let (Some(oid), Some(tag), Some(value)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let Ok(oid) = Oid::parse(std::str::from_utf8(oid).unwrap().trim_start_matches('.')) else { continue };
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
            b"6" => Oid::parse(String::from_utf8_lossy(value).trim().trim_start_matches('.'))
                .ok()
                .map(Value::ObjectIdentifier),
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

/// `[_ipp._tcp]` sections of `key=value` lines; `txt=` lines are strings of the TXT record.
pub(crate) fn records(text: &str) -> Vec<Announcement> {
    let mut records: Vec<Announcement> = Vec::new();
    for line in text.lines() {
        if let Some(service_type) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            records.push(Announcement {
                kind: if service_type.starts_with("_ipps") { EndpointKind::Ipps } else { EndpointKind::Ipp },
                service_type: format!("{service_type}.local."),
                subtype: None,
                fullname: String::new(),
                host: String::new(),
                port: 631,
                addresses: vec![("192.0.2.7".parse().unwrap(), 0)],
                txt: Vec::new(),
            });
        }
        let (Some(record), Some((key, value))) = (records.last_mut(), line.split_once('=')) else { continue };
        match key {
            "instance" => record.fullname = format!("{value}.{}", record.service_type),
            "host" => record.host = format!("{value}."),
            "port" => record.port = value.parse().unwrap_or(631),
            "txt" => {
                if let Some((key, value)) = value.split_once('=') {
                    record.txt.push((key.to_owned(), value.as_bytes().to_vec()));
                }
            }
            _ => {}
        }
    }
    records
}

/// The maker of a capture by its name, first fitting.
pub(crate) const BRANDS: &[(&str, &str)] = &[
    ("toshiba-", "toshiba"),
    ("xerox-fuji-", "fujifilm"),
    ("brother-", "brother"),
    ("canon-", "canon"),
    ("dell-", "dell"),
    ("develop-", "develop"),
    ("epson-", "epson"),
    ("fujifilm-", "fujifilm"),
    ("gestetner-", "gestetner"),
    ("hp-", "hp"),
    ("konica-", "konica-minolta"),
    ("kyocera-", "kyocera"),
    ("lanier-", "lanier"),
    ("lexmark-", "lexmark"),
    ("nrg-", "nrg"),
    ("oki-", "oki"),
    ("pantum-", "pantum"),
    ("ricoh-", "ricoh"),
    ("samsung-", "samsung"),
    ("savin-", "savin"),
    ("sharp-", "sharp"),
    ("tsc-", "tsc"),
    ("utax-", "utax"),
    ("xerox-", "xerox"),
    ("zebra-", "zebra"),
];

/// Captures that are taken for something else than their name says, and why that is right.
pub(crate) const OTHERWISE: &[(&str, &str)] = &[
    ("konica-minolta-bizhub-c3110: maker \"develop\"", "the maker's own object names a Develop; both are of one house"),
    ("kyocera-tk3130-partial: maker", "supplies only; the name is not in the capture"),
    ("pantum-single-index-partial: maker", "supplies only; the name is not in the capture"),
    ("xerox-workcentre-7835-partial: maker", "supplies only; the name is not in the capture"),
];
