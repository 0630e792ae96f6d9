//! What a simulated printer shows of itself at one moment, whatever the protocol: the one source of its SNMP objects,
//! its PJL status and, where IPP says the same, its IPP attributes. Built from the device's state on every question.

use super::profiles::{AsleepSnmp, SupplySpec, TraySpec};

/// One printer at one moment. Numbers are in the units of the Printer-MIB (RFC 3805) where it has the object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    pub(super) name: String,
    pub(super) make: &'static str,
    pub(super) model: &'static str,
    pub(super) serial: String,
    pub(super) firmware: String,
    pub(super) location: String,
    pub(super) uuid: String,
    pub(super) mac: [u8; 6],
    /// Host name without the trailing dot.
    pub(super) host: String,
    /// sysUpTime, hundredths of a second.
    pub(super) up_time_ticks: u32,
    /// In power save: answers, slowly and with old values, as its kind does.
    pub(super) asleep: bool,
    /// What its SNMP agent does meanwhile.
    pub(super) asleep_snmp: AsleepSnmp,
    /// `printer-state`: idle 3, processing 4, stopped 5.
    pub(super) state: i32,
    /// `printer-state-reasons` without `none`.
    pub(super) reasons: Vec<String>,
    pub(super) supplies: Vec<SupplyView>,
    pub(super) trays: Vec<TrayView>,
    pub(super) covers: Vec<CoverView>,
    pub(super) alerts: Vec<AlertView>,
    /// prtAlertAllEvents: alerts raised and cleared since power on.
    pub(super) alert_events: u32,
    /// prtAlertCriticalEvents.
    pub(super) critical_events: u32,
    /// prtGeneralConfigChanges.
    pub(super) config_changes: u32,
    /// prtMarkerLifeCount, impressions.
    pub(super) life_count: i64,
    /// prtMarkerPowerOnCount, impressions.
    pub(super) power_on_count: i64,
    /// prtConsoleDisplayBufferText, line by line.
    pub(super) console: Vec<String>,
    /// Jobs that have not ended.
    pub(super) queued: usize,
}

/// One supply.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SupplyView {
    pub(super) spec: &'static SupplySpec,
    /// Percent, as IPP's `marker-levels`: −2 unknown, −3 some remaining.
    pub(super) percent: i32,
    /// prtMarkerSuppliesSupplyUnit.
    pub(super) unit: i32,
    /// prtMarkerSuppliesMaxCapacity: −1 other, −2 unknown.
    pub(super) max: i64,
    /// prtMarkerSuppliesLevel in that unit (of a waste box what is in it): −1 other, −2 unknown, −3 some remaining.
    pub(super) level: i64,
}

/// One input tray.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TrayView {
    pub(super) spec: &'static TraySpec,
    /// prtInputCurrentLevel.
    pub(super) level: i64,
    /// prtInputStatus.
    pub(super) status: i32,
}

/// One cover.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CoverView {
    pub(super) description: String,
    pub(super) open: bool,
}

/// One row of prtAlertTable.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AlertView {
    /// prtAlertIndex.
    pub(super) index: u32,
    /// prtAlertSeverityLevel.
    pub(super) severity: i32,
    /// prtAlertTrainingLevel.
    pub(super) training: i32,
    /// prtAlertGroup.
    pub(super) group: i32,
    /// prtAlertGroupIndex.
    pub(super) group_index: i32,
    /// prtAlertCode.
    pub(super) code: i32,
    /// prtAlertDescription.
    pub(super) description: String,
    /// prtAlertTime, sysUpTime ticks.
    pub(super) time: u32,
}
