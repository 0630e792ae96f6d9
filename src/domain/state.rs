//! What is known of a printer: observations (what one poll learned) and the state made of them.
//! Never more than is known: a level is three-valued, counts name their source, absent means absent.

mod merged;
pub mod naming;
mod picture;
mod reasons;
mod report;

pub use merged::{Heard, OFFLINE_AFTER, PaperStatus, PrinterState, Status};
pub use picture::Picture;
pub use reasons::{Alert, Severity, alerts, error_code, family};
pub use report::{ReportContext, reported};

use super::sighting::Evidence;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which protocol an observation came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Internet Printing Protocol.
    Ipp,
    /// Simple Network Management Protocol: Host Resources MIB and Printer-MIB.
    Snmp,
}

/// `printer-state` (RFC 8011 §5.4.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrinterStateEnum {
    /// 3
    Idle,
    /// 4
    Processing,
    /// 5
    Stopped,
}

/// How full a supply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "level", content = "percent")]
pub enum Level {
    /// Percent of capacity, 0 to 100.
    Known(u8),
    /// Not empty, but how much is not said (−3 in the Printer-MIB and IPP).
    SomeRemaining,
    /// Nothing is known (−2, −1, out of range, absent).
    Unknown,
}

/// One supply as a device describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supply {
    /// Stable key within the printer: `black-toner`, `waste-toner-2`; lower case, digits, dashes.
    pub key: String,
    /// Kind: IPP `marker-types` keyword without the colour (`toner`, `ink`, `waste-toner`, `opc`, `fuser`, …).
    pub kind: String,
    /// Colorant in lower case (`black`, `cyan`, …), if it has one.
    pub color: Option<String>,
    /// The device's own description, control characters removed.
    pub description: String,
    /// True for what fills up (waste) instead of being used up.
    pub receptacle: bool,
    /// How full.
    pub level: Level,
    /// The level as the device sent it.
    pub raw_level: Option<i64>,
    /// The capacity as the device sent it.
    pub raw_max: Option<i64>,
}

/// One input tray.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tray {
    /// Name as the device writes it.
    pub name: String,
    /// Media in it: a PWG 5101.1 name, or what the device says.
    pub media: Option<String>,
    /// How full.
    pub level: Level,
    /// Sheets it holds, where said.
    pub capacity: Option<i64>,
}

/// Page counters; each is absent unless the device said it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// `printer-impressions-completed`.
    pub impressions: Option<i64>,
    /// `printer-pages-completed`.
    pub pages: Option<i64>,
    /// `printer-media-sheets-completed`.
    pub media_sheets: Option<i64>,
}

/// What the printer can do, as far as jobs need it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Capabilities {
    /// `document-format-supported`, lower case.
    pub formats: Vec<String>,
    /// `media-supported` (bounded, first 100).
    pub media: Vec<String>,
    /// `media-default`.
    pub media_default: Option<String>,
    /// `sides-supported`.
    pub sides: Vec<String>,
    /// `color-supported`.
    pub color: Option<bool>,
    /// `print-color-mode-supported`.
    pub color_modes: Vec<String>,
    /// `print-quality-supported` enums.
    pub qualities: Vec<i32>,
    /// Upper end of `copies-supported`.
    pub copies_max: Option<i32>,
    /// `page-ranges-supported`.
    pub page_ranges: Option<bool>,
    /// `orientation-requested-supported` enums.
    pub orientations: Vec<i32>,
    /// `media-source-supported`.
    pub media_sources: Vec<String>,
    /// `operations-supported` codes.
    pub operations: Vec<i32>,
    /// `ipp-versions-supported`.
    pub ipp_versions: Vec<String>,
    /// `printer-resolution-supported` in dpi (x, y).
    pub resolutions: Vec<(i32, i32)>,
    /// `urf-supported`.
    pub urf: Vec<String>,
    /// `multiple-operation-time-out`, seconds.
    pub multiple_operation_time_out: Option<i32>,
}

/// What one poll over one protocol learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When the answer was complete.
    pub at: Timestamp,
    /// Over which protocol.
    pub source: Source,
    /// Who it says it is.
    pub evidence: Evidence,
    /// `printer-info` or `printer-name`.
    pub name: Option<String>,
    /// `printer-location`.
    pub location: Option<String>,
    /// Firmware version(s), one text.
    pub firmware: Option<String>,
    /// `printer-state`; absent when missing or out of range.
    pub printer_state: Option<PrinterStateEnum>,
    /// `printer-state-reasons` verbatim without `none`, deduplicated, bounded.
    pub reasons: Vec<String>,
    /// `printer-state-message`.
    pub message: Option<String>,
    /// `printer-is-accepting-jobs`.
    pub accepting: Option<bool>,
    /// `queued-job-count`.
    pub queued_jobs: Option<i64>,
    /// `printer-up-time`, seconds since the printer started.
    pub up_time: Option<i64>,
    /// Supplies in the device's order.
    pub supplies: Vec<Supply>,
    /// Input trays in the device's order.
    pub trays: Vec<Tray>,
    /// Counters.
    pub counters: Counters,
    /// Capabilities. By far the largest part, and the same for all printers of a model: shared.
    #[serde(with = "content")]
    pub capabilities: Arc<Capabilities>,
}

/// What is shared in memory is stored as its content.
mod content {
    use super::{Arc, Capabilities};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(shared: &Arc<Capabilities>, to: S) -> Result<S::Ok, S::Error> {
        shared.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Capabilities>, D::Error> {
        Capabilities::deserialize(from).map(Arc::new)
    }
}
