//! A Get-Printer-Attributes answer → [`Observation`] (RFC 8011 §5.4, PWG 5100.9, PWG 5100.13). Pure.
//!
//! Nothing is claimed that the printer did not say: an absent, out-of-band, mistyped or out-of-range value is `None` or
//! [`Level::Unknown`]; an unknown enum is `None`; a text is taken over with control characters removed and a length
//! limit. What is kept is bounded: see the `MAX_` constants.
//!
//! It does not merge observations, decide identity, or judge whether a printer is well.

mod evidence;
mod supplies;

pub use crate::domain::state::naming::clean;

use super::codec::{Attribute, Group, Message, Value};
use crate::domain::sighting::Evidence;
use crate::domain::state::naming::plain;
use crate::domain::state::{Capabilities, Counters, Level, Observation, PrinterStateEnum, Source, Tray};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a full poll asks for: everything [`observation`] looks at. Asked by name, because `all` makes some printers answer
/// with 100 KB of `media-col-database`, and because some leave out of `all` what they give when named.
pub const ATTRIBUTES: &[&str] = &[
    "printer-state",
    "printer-state-reasons",
    "printer-state-message",
    "printer-is-accepting-jobs",
    "queued-job-count",
    "printer-up-time",
    "printer-name",
    "printer-info",
    "printer-location",
    "printer-make-and-model",
    "printer-device-id",
    "printer-uuid",
    "printer-serial-number",
    "printer-firmware-string-version",
    "printer-firmware-name",
    "printer-supply",
    "printer-supply-description",
    "marker-names",
    "marker-types",
    "marker-colors",
    "marker-levels",
    "printer-input-tray",
    "media-col-ready",
    "media-ready",
    "printer-impressions-completed",
    "printer-pages-completed",
    "printer-media-sheets-completed",
    "document-format-supported",
    "media-supported",
    "media-default",
    "sides-supported",
    "color-supported",
    "print-color-mode-supported",
    "print-quality-supported",
    "copies-supported",
    "page-ranges-supported",
    "orientation-requested-supported",
    "media-source-supported",
    "operations-supported",
    "ipp-versions-supported",
    "printer-resolution-supported",
    "urf-supported",
    "multiple-operation-time-out",
];

/// What a poll between full polls asks for: state, supplies, trays, counters. The answer's capabilities and evidence are
/// then empty.
pub const STATE_ATTRIBUTES: &[&str] = &[
    "printer-state",
    "printer-state-reasons",
    "printer-state-message",
    "printer-is-accepting-jobs",
    "queued-job-count",
    "printer-up-time",
    "printer-supply",
    "printer-supply-description",
    "marker-names",
    "marker-types",
    "marker-colors",
    "marker-levels",
    "printer-input-tray",
    "media-col-ready",
    "printer-impressions-completed",
    "printer-pages-completed",
    "printer-media-sheets-completed",
];

/// `printer-state-reasons`.
const MAX_REASONS: usize = 64;
/// Supplies, and trays.
const MAX_PARTS: usize = 64;
/// Media names.
const MAX_MEDIA: usize = 100;
/// Entries of any other capability list.
const MAX_LIST: usize = 64;

/// The observation in the first printer group of `message`, complete at `at`; `None` without such a group, and where it
/// holds nothing of what a printer says of itself. Whether the answer's status was a success is for the caller to look
/// at.
pub fn observation(message: &Message, at: Timestamp) -> Option<Observation> {
    let group = message.group(super::codec::GroupTag::PRINTER)?;
    let info = text(group, "printer-info").or_else(|| text(group, "printer-name"));
    let observation = Observation {
        at,
        source: Source::Ipp,
        evidence: evidence::evidence(group),
        name: info,
        location: text(group, "printer-location"),
        firmware: firmware(group),
        printer_state: match int(group, "printer-state") {
            Some(3) => Some(PrinterStateEnum::Idle),
            Some(4) => Some(PrinterStateEnum::Processing),
            Some(5) => Some(PrinterStateEnum::Stopped),
            _ => None,
        },
        reasons: list(group, "printer-state-reasons", MAX_REASONS, |reason| {
            (reason != "none").then(|| reason.to_owned())
        }),
        message: text(group, "printer-state-message"),
        accepting: group.get("printer-is-accepting-jobs").and_then(Attribute::boolean),
        queued_jobs: count(group, "queued-job-count"),
        up_time: count(group, "printer-up-time"),
        supplies: supplies::supplies(group),
        trays: trays(group),
        counters: Counters {
            impressions: count(group, "printer-impressions-completed"),
            pages: count(group, "printer-pages-completed"),
            media_sheets: count(group, "printer-media-sheets-completed"),
        },
        capabilities: Arc::new(capabilities(group)),
    };
    (!says_nothing(&observation)).then_some(observation)
}

/// Well-formed and empty: such an answer is no sign of a working printer.
fn says_nothing(o: &Observation) -> bool {
    let state = o.printer_state.is_none() && o.reasons.is_empty() && o.message.is_none() && o.accepting.is_none();
    let figures = o.queued_jobs.is_none() && o.up_time.is_none() && o.counters == Counters::default();
    let parts = o.supplies.is_empty() && o.trays.is_empty() && *o.capabilities == Capabilities::default();
    let identity = o.evidence == Evidence::default() && o.name.is_none() && o.location.is_none();
    state && figures && parts && identity && o.firmware.is_none()
}

fn firmware(group: &Group) -> Option<String> {
    let versions = list(group, "printer-firmware-string-version", 16, |version| Some(version.to_owned()));
    // Some firmwares give one long list in one text: cut like any other text.
    let joined = clean(&versions.join(", "));
    (!joined.is_empty()).then_some(joined)
}

/// Trays from `printer-input-tray` (PWG 5100.13: `key=value;` pairs), or, without it, the sources that
/// `media-col-ready` names.
fn trays(group: &Group) -> Vec<Tray> {
    let ready = ready_media(group);
    let mut trays: Vec<Tray> = Vec::new();
    let rows: Vec<_> = values(group, "printer-input-tray")
        .iter()
        .take(MAX_PARTS)
        .filter_map(|row| row.as_octets().map(pairs))
        .collect();
    let name_of = |pairs: &BTreeMap<String, String>| pairs.get("name").map(|name| clean(name)).unwrap_or_default();
    let is_other = |pairs: &BTreeMap<String, String>| pairs.get("type").is_some_and(|kind| kind == "other");
    for pairs in &rows {
        let name = name_of(pairs);
        // "auto" is a way to choose a tray, not a tray. Some printers write it as a row of type "other" with the name of
        // the tray it would choose.
        let again = is_other(pairs) && rows.iter().any(|row| !is_other(row) && name_of(row) == name);
        if name.is_empty() || name.eq_ignore_ascii_case("auto") || again {
            continue;
        }
        let number = |key: &str| pairs.get(key).and_then(|text| text.trim().parse::<i64>().ok());
        let (level, max) = (number("level"), number("maxcapacity"));
        let said = pairs.get("medianame").map(|media| clean(media)).filter(|media| {
            !media.is_empty() && !media.eq_ignore_ascii_case("other") && !media.eq_ignore_ascii_case("unknown")
        });
        trays.push(Tray {
            media: said.or_else(|| ready.get(&plain(&name)).cloned()),
            level: percent(level, max),
            capacity: max.filter(|max| *max > 0 && pairs.get("unit").is_none_or(|unit| unit != "percent")),
            name,
        });
    }
    if trays.is_empty() {
        let sources = ready.into_iter().filter(|(source, _)| source != "auto").take(MAX_PARTS);
        trays = sources
            .map(|(name, media)| Tray { name, media: Some(media), level: Level::Unknown, capacity: None })
            .collect();
    }
    trays
}

/// Media in each source that `media-col-ready` names, by its plain name. A source with two different media is left out.
fn ready_media(group: &Group) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    let values = group.get("media-col-ready").map(|attribute| attribute.values.as_slice()).unwrap_or_default();
    for members in values.iter().take(MAX_PARTS).filter_map(Value::as_collection) {
        let member = |name: &str| super::codec::find(members, name);
        let Some(source) = member("media-source").and_then(Attribute::text).map(|source| plain(&clean(source))) else {
            continue;
        };
        let named = ["media-size-name", "media-key"].iter().find_map(|name| member(name)?.text()).map(clean);
        let Some(media) = named.filter(|name| !name.is_empty()).or_else(|| size_name(member("media-size")?)) else {
            continue;
        };
        let entry = found.entry(source).or_insert_with(|| Some(media.clone()));
        if entry.as_ref() != Some(&media) {
            *entry = None;
        }
    }
    found.into_iter().filter_map(|(source, media)| Some((source, media?))).collect()
}

/// A size in hundredths of a millimetre as a PWG 5101.1 name; the common ones by their registered names.
fn size_name(size: &Attribute) -> Option<String> {
    let members = size.first()?.as_collection()?;
    let dimension = |name: &str| super::codec::find(members, name)?.int().filter(|n| *n > 0);
    let (x, y) = (dimension("x-dimension")?, dimension("y-dimension")?);
    let name = match (x, y) {
        (21000, 29700) => "iso_a4_210x297mm",
        (29700, 42000) => "iso_a3_297x420mm",
        (14800, 21000) => "iso_a5_148x210mm",
        (10500, 14800) => "iso_a6_105x148mm",
        (17600, 25000) => "iso_b5_176x250mm",
        (18200, 25700) => "jis_b5_182x257mm",
        (11000, 22000) => "iso_dl_110x220mm",
        (16200, 22900) => "iso_c5_162x229mm",
        (21590, 27940) => "na_letter_8.5x11in",
        (21590, 35560) => "na_legal_8.5x14in",
        (27940, 43180) => "na_ledger_11x17in",
        (18415, 26670) => "na_executive_7.25x10.5in",
        (10160, 15240) => "na_index-4x6_4x6in",
        (12700, 17780) => "na_5x7_5x7in",
        (10477, 24130) => "na_number-10_4.125x9.5in",
        _ => {
            let mm = |hundredths: i32| f64::from(hundredths) / 100.0;
            return Some(format!("custom_{x}x{y}_{}x{}mm", mm(x), mm(y)));
        }
    };
    Some(name.to_owned())
}

fn capabilities(group: &Group) -> Capabilities {
    let keywords = |name: &str| list(group, name, MAX_LIST, |keyword| Some(keyword.to_owned()));
    let ints = |name: &str, max: usize| {
        let mut numbers: Vec<i32> = Vec::new();
        for number in values(group, name).iter().filter_map(Value::as_int) {
            if numbers.len() < max && !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    };
    let mut resolutions: Vec<(i32, i32)> = Vec::new();
    for value in values(group, "printer-resolution-supported") {
        if let Value::Resolution(resolution) = value
            && let Some(dpi) = resolution.dpi()
            && !resolutions.contains(&dpi)
            && resolutions.len() < MAX_LIST
        {
            resolutions.push(dpi);
        }
    }
    Capabilities {
        formats: list(group, "document-format-supported", MAX_LIST, |format| Some(format.to_ascii_lowercase())),
        media: list(group, "media-supported", MAX_MEDIA, |media| Some(media.to_owned())),
        media_default: text(group, "media-default"),
        sides: keywords("sides-supported"),
        color: group.get("color-supported").and_then(Attribute::boolean),
        color_modes: keywords("print-color-mode-supported"),
        qualities: ints("print-quality-supported", MAX_LIST),
        copies_max: match group.get("copies-supported").and_then(Attribute::first) {
            Some(Value::Range { upper, .. }) | Some(Value::Integer(upper)) => Some(*upper).filter(|max| *max > 0),
            _ => None,
        },
        page_ranges: group.get("page-ranges-supported").and_then(Attribute::boolean),
        orientations: ints("orientation-requested-supported", MAX_LIST),
        media_sources: keywords("media-source-supported"),
        operations: ints("operations-supported", 128),
        ipp_versions: keywords("ipp-versions-supported"),
        resolutions,
        urf: keywords("urf-supported"),
        multiple_operation_time_out: int(group, "multiple-operation-time-out").filter(|seconds| *seconds > 0),
    }
}

/// A level with its capacity, by the Printer-MIB's rules (RFC 3805 prtMarkerSuppliesLevel, prtInputCurrentLevel): −3 some,
/// −2 unknown, −1 no limit; a percentage only where both are sensible.
fn percent(level: Option<i64>, max: Option<i64>) -> Level {
    match (level, max) {
        (Some(-3), _) => Level::SomeRemaining,
        (Some(level), Some(max)) if max > 0 && (0..=max).contains(&level) => {
            // Rounded down, so that 100 means full and 0 means less than one percent.
            match level.checked_mul(100).map(|hundredfold| hundredfold / max).map(u8::try_from) {
                Some(Ok(percent)) => Level::Known(percent),
                _ => Level::Unknown,
            }
        }
        _ => Level::Unknown,
    }
}

/// `key=value;` pairs (PWG 5100.13, IEEE 1284 device ids with `:`), keys in lower case. The first of a key counts.
fn pairs(octets: &[u8]) -> BTreeMap<String, String> {
    split_pairs(&decode_text(octets), '=')
}

fn split_pairs(text: &str, separator: char) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for pair in text.split(';').take(MAX_PARTS) {
        if let Some((key, value)) = pair.split_once(separator) {
            let key = key.trim().to_ascii_lowercase();
            pairs.entry(key).or_insert_with(|| value.trim().to_owned());
        }
    }
    pairs
}

fn decode_text(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().copied().map(char::from).collect(),
    }
}

fn values<'g>(group: &'g Group, name: &str) -> &'g [Value] {
    group.get(name).map(|attribute| attribute.values.as_slice()).unwrap_or_default()
}

/// The first value as clean text; `None` when there is none.
fn text(group: &Group, name: &str) -> Option<String> {
    let text = clean(group.get(name)?.text()?);
    (!text.is_empty()).then_some(text)
}

fn int(group: &Group, name: &str) -> Option<i32> {
    group.get(name).and_then(Attribute::int)
}

/// A number that counts something.
fn count(group: &Group, name: &str) -> Option<i64> {
    int(group, name).filter(|n| *n >= 0).map(i64::from)
}

/// The text values, each once, at most `max`.
fn list(group: &Group, name: &str, max: usize, keep: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for value in values(group, name).iter().filter_map(Value::as_text) {
        if kept.len() >= max {
            break;
        }
        let value = clean(value);
        if let Some(value) = keep(&value)
            && !value.is_empty()
            && !kept.contains(&value)
        {
            kept.push(value);
        }
    }
    kept
}
