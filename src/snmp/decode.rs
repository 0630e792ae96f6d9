//! What an agent said → [`Observation`]. Pure and total: any variables give an observation or none, in bounded time.
//!
//! Whether the agent speaks for a printer, which of its devices that is, and why: `who`. Who that printer is:
//! `identity`, with makers' own objects ([`crate::snmp::vendors`]) and texts (`description`). Which ways to print it
//! lists: `channels`.
//!
//! Nothing is claimed that the agent did not say. What is kept is bounded: see the `MAX_` constants of [`mib`].

mod channels;
mod description;
mod device_id;
mod identity;
pub mod mib;
mod reasons;
mod supplies;
mod text;
mod who;

pub use self::channels::{Channel, MAX_CHANNELS, MAX_RAW_PORTS};
pub use self::who::Why;

use self::identity::Identity;
use self::mib::{Mib, int, octets};
use super::objects::{self as o, Arcs};
use super::vendors;
use crate::domain::makers;
use crate::domain::sighting::Evidence;
use crate::domain::state::naming::clean;
use crate::domain::state::{Capabilities, Counters, Observation, Source};
use jiff::Timestamp;
use std::sync::Arc;

/// The observation in what an agent said, complete at `at`; `None` when it is no printer's.
pub fn observation(mib: &Mib, at: Timestamp) -> Option<Observation> {
    let (why, device) = who::decide(mib);
    if !why.is_printer() {
        return None;
    }
    let Identity { evidence, firmware } = identity::identity(mib, device);
    let charset = charset(mib, device.index, o::GENERAL_LOCALIZATION);
    let cell = |entry: o::Arcs, column: u32| mib.cell(entry, column, device.index?);
    let text_at = |value: Option<&async_snmp::Value>| {
        let text = text::text(value.and_then(octets)?, charset);
        (!text.is_empty()).then_some(text)
    };
    let status = cell(o::HR_DEVICE, o::HR_DEVICE_STATUS).and_then(int);
    let printer = cell(o::HR_PRINTER, o::HR_PRINTER_STATUS).and_then(int);
    let supplies = supplies::supplies(mib, device.index, charset);
    Some(Observation {
        at,
        source: Source::Snmp,
        evidence,
        name: text_at(cell(o::PRT_GENERAL, o::GENERAL_NAME)).or_else(|| text_at(mib.get(o::SYS_NAME))),
        location: text_at(mib.get(o::SYS_LOCATION)),
        firmware,
        printer_state: reasons::state(status, printer),
        reasons: reasons::reasons(mib, device.index, status, printer, &supplies),
        message: console(mib, device.index),
        accepting: None,
        queued_jobs: None,
        up_time: mib.get(o::SYS_UP_TIME).and_then(int).map(|hundredths| hundredths / 100),
        trays: supplies::trays(mib, device.index, charset),
        counters: counters(mib, device.index),
        capabilities: Arc::new(capabilities(mib, device.index)),
        supplies,
    })
}

/// Who an agent is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identified {
    /// Whether it speaks for a printer.
    pub printer: bool,
    /// Why it does, or does not.
    pub why: Why,
    /// Who it says it is.
    pub evidence: Evidence,
    /// Version of its firmware.
    pub firmware: Option<String>,
    /// prtGeneralPrinterName, or sysName.
    pub name: Option<String>,
    /// sysLocation.
    pub location: Option<String>,
    /// sysDescr.
    pub description: String,
    /// The ways to print that it lists (prtChannelTable).
    pub channels: Vec<Channel>,
    /// Every port that it lists for AppSocket or LPD, also those that become no channel: no IPP there.
    pub raw_ports: Vec<u16>,
}

/// Who an agent is, from what it said. What is no printer's has a description and a reason, nothing else.
pub fn identified(mib: &Mib) -> Identified {
    let description = system_description(mib);
    let (why, device) = who::decide(mib);
    if !why.is_printer() {
        return Identified { why, description, ..Identified::default() };
    }
    let Identity { evidence, firmware } = identity::identity(mib, device);
    let general = device.index.and_then(|index| mib.cell(o::PRT_GENERAL, o::GENERAL_NAME, index));
    let charset = charset(mib, device.index, o::GENERAL_LOCALIZATION);
    let said = |value: Option<&async_snmp::Value>| {
        let text = text::text(value.and_then(octets)?, charset);
        (!text.is_empty()).then_some(text)
    };
    let name = said(general).or_else(|| said(mib.get(o::SYS_NAME)));
    let location = said(mib.get(o::SYS_LOCATION));
    let channels = channels::channels(mib, device.index);
    let raw_ports = channels::raw_ports(mib, device.index);
    Identified { printer: true, why, evidence, firmware, name, location, description, channels, raw_ports }
}

/// The objects of its maker to ask an agent for.
pub fn own_objects(mib: &Mib) -> Vec<Arcs> {
    let objects = who::enterprises(mib).into_iter().flat_map(vendors::of_enterprise);
    objects.map(|object| object.oid).collect()
}

/// Whether makers' own objects may tell more of what an agent is: it is a printer's, or shows no sign of anything.
pub fn is_open(mib: &Mib) -> bool {
    who::is_open(mib)
}

/// Whether the maker of the agent's printer is known.
pub fn knows_maker(mib: &Mib) -> bool {
    let (_, device) = who::decide(mib);
    who::enterprise_of(mib).and_then(makers::of_enterprise).is_some()
        || identity::identity(mib, device).evidence.make.is_some()
}

/// Whether an agent answered without a word of what it is: its view may be narrowed for the login.
pub fn says_nothing(mib: &Mib) -> bool {
    who::says_nothing(mib)
}

/// Cells that say who the printer is and that are missing behind the rows which are there, as of a table that was not
/// walked to its end: entry, column, and row.
pub fn missing_cells(mib: &Mib) -> Vec<(Arcs, u32, u32)> {
    let Some(index) = who::decide(mib).1.index else { return vec![] };
    let cells = [
        (o::HR_DEVICE, o::HR_DEVICE_DESCR),
        (o::HR_DEVICE, o::HR_DEVICE_ID),
        (o::PRT_GENERAL, o::GENERAL_NAME),
        (o::PRT_GENERAL, o::GENERAL_SERIAL),
    ];
    let is_behind = |(entry, number): &(Arcs, u32)| {
        let column = [*entry, &[*number]].concat();
        let last = mib.below(&column).last().and_then(|(rest, _)| rest.first().copied());
        last.is_some_and(|last| last < index)
    };
    cells.into_iter().filter(is_behind).map(|(entry, number)| (entry, number, index)).collect()
}

/// What the agent says it is (sysDescr), for people.
pub fn system_description(mib: &Mib) -> String {
    mib.get(o::SYS_DESCR).and_then(octets).map(|octets| text::text(octets, None)).unwrap_or_default()
}

/// Whether an agent keeps its Printer-MIB elsewhere: a printer of HP's whose supplies are missing may have them in the
/// context `Jetdirect`.
pub fn wants_context(mib: &Mib) -> bool {
    who::enterprise_of(mib) == Some(11) && !mib.has(o::PRT_SUPPLIES)
}

/// What the first marker has counted in its life.
fn counters(mib: &Mib, device: Option<u32>) -> Counters {
    let rows = mib.rows(o::PRT_MARKER, device);
    let count = rows.iter().find_map(|row| Some((row.int(o::MARKER_UNIT), row.int(o::MARKER_LIFE_COUNT)?)));
    match count.filter(|(_, count)| *count >= 0) {
        // impressions
        Some((Some(7), count)) => Counters { impressions: Some(count), ..Counters::default() },
        // sheets
        Some((Some(8), count)) => Counters { media_sheets: Some(count), ..Counters::default() },
        _ => Counters::default(),
    }
}

fn capabilities(mib: &Mib, device: Option<u32>) -> Capabilities {
    let mut formats: Vec<String> = Vec::new();
    for family in mib.rows(o::PRT_INTERPRETER, device).iter().filter_map(|row| row.int(o::INTERPRETER_FAMILY)) {
        if let Some((_, format)) = LANGUAGES.iter().find(|(number, _)| *number == family)
            && !formats.iter().any(|known| known == format)
        {
            formats.push((*format).to_owned());
        }
    }
    let paths = mib.rows(o::PRT_MEDIA_PATH, device);
    let has = |number: i64| paths.iter().any(|row| row.int(o::MEDIA_PATH_TYPE) == Some(number));
    let mut sides = Vec::new();
    for (number, keyword) in [(5, "one-sided"), (3, "two-sided-long-edge"), (4, "two-sided-short-edge")] {
        if has(number) {
            sides.push(keyword.to_owned());
        }
    }
    Capabilities { formats, sides, ..Capabilities::default() }
}

/// The lines of the device's display.
fn console(mib: &Mib, device: Option<u32>) -> Option<String> {
    let charset = charset(mib, device, o::GENERAL_CONSOLE_LOCALIZATION);
    let lines = mib.below(o::CONSOLE_TEXT).take(16).filter(|(rest, _)| rest.first().copied() == device);
    let lines = lines.filter_map(|(_, value)| octets(value)).map(|octets| text::text(octets, charset));
    let text = clean(&lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" / "));
    (!text.is_empty()).then_some(text)
}

/// The IANA number of the character set of the localization that a column of prtGeneralTable names.
fn charset(mib: &Mib, device: Option<u32>, which: u32) -> Option<i64> {
    let device = device?;
    let localization = mib.cell(o::PRT_GENERAL, which, device).and_then(int);
    let rows = mib.rows(o::PRT_LOCALIZATION, Some(device));
    let row = rows.iter().find(|row| Some(i64::from(row.index)) == localization).or(rows.first())?;
    row.int(o::LOCALIZATION_CHARSET)
}

/// PrtInterpreterLangFamilyTC as media types, where there is one.
const LANGUAGES: [(i64, &str); 21] = [
    (3, "application/vnd.hp-pcl"),
    (4, "application/vnd.hp-hpgl"),
    // Not a format to print, but how jobs are wrapped and their end is told.
    (5, "application/vnd.hp-pjl"),
    (6, "application/postscript"),
    (9, "application/vnd.epson.escpr"),
    (40, "image/tiff"),
    (47, "application/vnd.hp-pclxl"),
    (54, "application/pdf"),
    (61, "image/jpeg"),
    (66, "application/vnd.ms-xpsdocument"),
    (67, "application/oxps"),
    (73, "application/pdf"),
    (74, "application/pdf"),
    (75, "application/pdf"),
    (76, "application/pdf"),
    (77, "application/pdf"),
    (78, "application/postscript"),
    (79, "application/postscript"),
    (82, "application/vnd.hp-pcl"),
    (84, "image/pwg-raster"),
    (85, "image/urf"),
];
