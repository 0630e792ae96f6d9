//! Printers of an office that are nothing but a recording: an SNMP agent, and no other protocol.

use super::record::{RecordError, Recording};
use crate::simulate::profiles::{AsleepSnmp, Media, Profile, Services, Snmp};
use crate::simulate::spec::{History, PrinterSpec};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Of a printer that only has the agent of a recording.
static RECORDED: Profile = Profile {
    key: "recorded",
    make: "Recorded",
    model: "SNMP agent",
    firmware: "",
    commands: "",
    formats: &["application/octet-stream"],
    color: false,
    duplex: false,
    pages_per_minute: 1,
    resolutions: &[600],
    urf: &[],
    media: &[Media { name: "iso_a4_210x297mm", x: 21000, y: 29700 }],
    trays: &[],
    supplies: &[],
    kind: "document",
    impressions_before: 0,
    services: Services { ipp: false, appsocket: false, pjl: false, lpd: &[], snmp: Snmp::V3 },
    announces: &[],
    covers: &[],
    console_lines: 1,
    history: History::Keep,
    sleeps_after: None,
    asleep: AsleepSnmp::Answers,
};

/// A printer for each recording, named after its file, at this address and up. Of a directory every recording in it
/// is taken, in the order of their names; contexts (`NAME@CONTEXT.snmprec`) go with their recording.
///
/// # Errors
/// [`RecordError`] when a directory cannot be read; the files are read when the office starts.
pub fn recorded_printers(paths: &[PathBuf], first: Ipv4Addr) -> Result<Vec<PrinterSpec>, RecordError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(Recording::in_directory(path)?);
        } else {
            files.push(path.clone());
        }
    }
    let mut names = BTreeSet::new();
    let spec = |(file, offset): (PathBuf, u32)| {
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut name = stem.clone();
        for number in 2.. {
            if names.insert(name.clone()) {
                break;
            }
            name = format!("{stem} {number}");
        }
        let address = Ipv4Addr::from(u32::from(first).wrapping_add(offset));
        PrinterSpec { profile: &RECORDED, snmp_records: Some(file), ..PrinterSpec::new(name, address.into()) }
    };
    Ok(files.into_iter().zip(0..).map(spec).collect())
}
