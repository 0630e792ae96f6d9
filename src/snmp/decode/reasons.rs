//! What stands in a printer's way, as IPP `printer-state-reasons` (RFC 8011 §5.4.12, names of PWG 5100.9), and its state.
//!
//! Alerts (prtAlertTable) come first: they are specific, and a row is there as long as the condition is. Covers
//! (prtCoverTable) and the bits of hrPrinterDetectedErrorState add only what the alerts do not speak of. The bits for
//! low paper, low and no toner, "offline" and "service requested" are set by many devices without a reason: low and no
//! toner yield to a measured level, "service requested" and overdue maintenance are told for the record only, and
//! "offline" only of a device that is down for no other reason.

use super::mib::{Mib, octets};
use crate::domain::state::{Level, PrinterStateEnum, Supply, family};
use crate::snmp::objects as o;

/// Reasons kept.
const MAX_REASONS: usize = 64;

/// hrDeviceStatus `down`.
const DOWN: i64 = 5;

/// hrDeviceStatus and hrPrinterStatus as printer-state (RFC 2790 hrPrinterStatus, the table in RFC 3805 §2.2.13.2).
pub(super) fn state(device: Option<i64>, printer: Option<i64>) -> Option<PrinterStateEnum> {
    match (device, printer) {
        // Warming up: coming on-line.
        (_, Some(5)) => Some(PrinterStateEnum::Idle),
        (Some(DOWN), _) => Some(PrinterStateEnum::Stopped),
        (_, Some(4)) => Some(PrinterStateEnum::Processing),
        (_, Some(3)) => Some(PrinterStateEnum::Idle),
        // Running and "other": standby.
        (Some(2), Some(1)) => Some(PrinterStateEnum::Idle),
        _ => None,
    }
}

/// All reasons, each once, alerts first.
pub(super) fn reasons(
    mib: &Mib,
    device: Option<u32>,
    status: Option<i64>,
    printer: Option<i64>,
    supplies: &[Supply],
) -> Vec<String> {
    let mut reasons = Reasons::default();
    for row in mib.rows(o::PRT_ALERT, device) {
        let (severity, group, code) =
            (row.int(o::ALERT_SEVERITY), row.int(o::ALERT_GROUP), row.int(o::ALERT_CODE).unwrap_or(2));
        if let Some((keyword, normal)) = alert_keyword(group, code, severity == Some(3)) {
            let suffix = match severity {
                _ if normal => "report",
                Some(3) => "error",
                Some(4) => "warning",
                // Of a "binary change" it is not known whether it still stands.
                _ => "report",
            };
            reasons.add(format!("{keyword}-{suffix}"));
        }
    }
    reasons.seal();
    let down = status == Some(DOWN);
    let suffix = if down { "error" } else { "warning" };
    for row in mib.rows(o::PRT_COVER, device) {
        match row.int(o::COVER_STATUS) {
            Some(3) => reasons.add_unless_told(format!("cover-open-{suffix}")),
            Some(5) => reasons.add_unless_told(format!("interlock-open-{suffix}")),
            _ => {}
        }
    }
    let bits = device
        .and_then(|device| mib.cell(o::HR_PRINTER, o::HR_PRINTER_ERRORS, device))
        .and_then(octets)
        .map_or(0, error_bits);
    for (bit, keyword, how) in BITS {
        if bits & bit == 0 {
            continue;
        }
        match how {
            How::Stops => reasons.add_unless_told(format!("{keyword}-{suffix}")),
            How::Warns => reasons.add_unless_told(format!("{keyword}-warning")),
            How::Records => reasons.add_unless_told(format!("{keyword}-report")),
            How::Toner if !toner_is_measured(supplies) => reasons.add_unless_told(format!(
                "{}-{}",
                if has_toner(supplies) { keyword } else { ink_keyword(keyword) },
                if down { "error" } else { "warning" }
            )),
            How::Toner => {}
            How::Offline if down && reasons.all.is_empty() => reasons.add("paused-warning".to_owned()),
            How::Offline => {}
        }
    }
    match printer {
        Some(5) => reasons.add_unless_told("warming-up-report".to_owned()),
        Some(1) if status == Some(2) => reasons.add_unless_told("standby-report".to_owned()),
        _ => {}
    }
    reasons.all
}

#[derive(Default)]
struct Reasons {
    all: Vec<String>,
    /// How many are of the best source.
    told: usize,
}

impl Reasons {
    fn add(&mut self, reason: String) {
        if self.all.len() < MAX_REASONS && !self.all.contains(&reason) {
            self.all.push(reason);
        }
    }

    fn seal(&mut self) {
        self.told = self.all.len();
    }

    fn add_unless_told(&mut self, reason: String) {
        if !self.all.iter().take(self.told).any(|told| family(told) == family(&reason)) {
            self.add(reason);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// An error where the device is down, a warning where it is not.
    Stops,
    Warns,
    Records,
    /// As `Stops`, unless the supplies' levels are known.
    Toner,
    Offline,
}

/// hrPrinterDetectedErrorState, bit 0 is the most significant of the first octet.
const BITS: [(u32, &str, How); 15] = [
    (1 << 26, "media-jam", How::Stops),
    (1 << 27, "door-open", How::Stops),
    (1 << 30, "media-empty", How::Stops),
    (1 << 28, "toner-empty", How::Toner),
    (1 << 29, "toner-low", How::Toner),
    (1 << 23, "input-tray-missing", How::Stops),
    (1 << 22, "output-tray-missing", How::Stops),
    (1 << 21, "marker-supply-missing", How::Stops),
    (1 << 19, "output-area-full", How::Stops),
    (1 << 20, "output-area-almost-full", How::Warns),
    (1 << 18, "media-empty", How::Warns),
    (1 << 31, "media-low", How::Warns),
    (1 << 25, "", How::Offline),
    (1 << 24, "service-needed", How::Records),
    (1 << 17, "service-needed", How::Records),
];

/// The first four octets, missing ones as 0.
fn error_bits(octets: &[u8]) -> u32 {
    let mut all = [0; 4];
    all.iter_mut().zip(octets).for_each(|(bits, octet)| *bits = *octet);
    u32::from_be_bytes(all)
}

fn consumed(supplies: &[Supply]) -> impl Iterator<Item = &Supply> {
    supplies
        .iter()
        .filter(|supply| !supply.receptacle && (supply.kind.contains("toner") || supply.kind.contains("ink")))
}

fn toner_is_measured(supplies: &[Supply]) -> bool {
    consumed(supplies).next().is_some() && consumed(supplies).all(|supply| matches!(supply.level, Level::Known(1..)))
}

fn has_toner(supplies: &[Supply]) -> bool {
    consumed(supplies).next().is_none() || consumed(supplies).any(|supply| supply.kind.contains("toner"))
}

fn ink_keyword(toner: &str) -> &'static str {
    if toner == "toner-empty" { "marker-supply-empty" } else { "marker-supply-low" }
}

/// PrtAlertCodeTC in its group as a keyword (PWG 5100.9 §8), and whether it describes normal operation. `None` for what
/// says nothing.
fn alert_keyword(group: Option<i64>, code: i64, critical: bool) -> Option<(String, bool)> {
    let fixed = |keyword: &str, normal: bool| Some((keyword.to_owned(), normal));
    if let Some((_, keyword)) = CODES.iter().find(|(number, _)| *number == code) {
        return fixed(keyword, false);
    }
    if (30_000..40_000).contains(&code) {
        let device = usize::try_from((code - 30_000) / 100).ok().and_then(|number| FINISHERS.get(number))?;
        let generic = generic(code % 100)?;
        return Some((format!("{device}-{}", generic.0), generic.1));
    }
    // PrtAlertGroupTC: 6 cover, 8 input, 9 output, 10 marker, 11 markerSupplies, 13 mediaPath.
    match (group, code) {
        (Some(6), 1 | 2) if critical => fixed("cover-open", false),
        (_, 8) => fixed("media-jam", false),
        (_, 3) => fixed("cover-open", false),
        (_, 5) => fixed("interlock-open", false),
        (_, 22) => fixed("paused", false),
        (Some(8), 9) => fixed("input-tray-missing", false),
        (Some(8), 12) => fixed("media-low", false),
        (Some(8), 13) => fixed("media-empty", false),
        (Some(9), 9) => fixed("output-tray-missing", false),
        (Some(9), 14) => fixed("output-area-almost-full", false),
        (Some(9), 15) => fixed("output-area-full", false),
        (Some(11), 9) => fixed("marker-supply-missing", false),
        (Some(11), 10 | 12) => fixed("marker-supply-low", false),
        (Some(11), 11 | 13) => fixed("marker-supply-empty", false),
        (Some(11), 14) => fixed("marker-waste-almost-full", false),
        (Some(11), 15) => fixed("marker-waste-full", false),
        (_, 23) => fixed("standby", true),
        (_, 24) => fixed("warming-up", true),
        (_, 3..=38) => generic(code).map(|(name, normal)| (format!("subunit-{name}"), normal)),
        _ if critical => fixed("other", false),
        _ => None,
    }
}

/// The codes any part may have, and whether they describe normal operation.
fn generic(code: i64) -> Option<(&'static str, bool)> {
    Some(match code {
        3 => ("cover-open", false),
        4 => ("cover-closed", true),
        5 => ("interlock-open", false),
        6 => ("interlock-closed", true),
        7 => ("configuration-change", true),
        8 => ("jam", false),
        9 => ("missing", false),
        10 => ("life-almost-over", false),
        11 => ("life-over", false),
        12 => ("almost-empty", false),
        13 => ("empty", false),
        14 => ("almost-full", false),
        15 => ("full", false),
        16 => ("near-limit", false),
        17 => ("at-limit", false),
        18 => ("opened", false),
        19 => ("closed", true),
        20 => ("turned-on", true),
        21 => ("turned-off", false),
        22 => ("offline", false),
        23 => ("power-saver", true),
        24 => ("warming-up", true),
        25 => ("added", true),
        26 => ("removed", false),
        27 => ("resource-added", true),
        28 => ("resource-removed", false),
        29 => ("recoverable-failure", false),
        30 => ("unrecoverable-failure", false),
        31 => ("recoverable-storage", false),
        32 => ("unrecoverable-storage", false),
        33 => ("motor-failure", false),
        34 => ("memory-exhausted", false),
        35 => ("under-temperature", false),
        36 => ("over-temperature", false),
        37 => ("timing-failure", false),
        38 => ("thermistor-failure", false),
        _ => return None,
    })
}

/// FinDeviceTypeTC as PWG 5100.9 names it, by number.
const FINISHERS: [&str; 19] = [
    "finisher",
    "finisher",
    "stapler",
    "stitcher",
    "folder",
    "binder",
    "trimmer",
    "die-cutter",
    "puncher",
    "perforater",
    "slitter",
    "separation-cutter",
    "imprinter",
    "wrapper",
    "bander",
    "make-envelope",
    "stacker",
    "sheet-rotator",
    "inserter",
];

/// The codes that one group has.
const CODES: [(i64, &str); 41] = [
    (501, "door-open"),
    (801, "input-tray-missing"),
    (802, "input-media-size-change"),
    (803, "input-media-weight-change"),
    (804, "input-media-type-change"),
    (805, "input-media-color-change"),
    (806, "input-media-form-parts-change"),
    (807, "media-low"),
    (808, "media-empty"),
    (809, "media-needed"),
    (810, "input-manual-input-request"),
    (811, "input-tray-position-failure"),
    (812, "input-tray-elevation-failure"),
    (813, "input-cannot-feed-size-selected"),
    (901, "output-tray-missing"),
    (902, "output-area-almost-full"),
    (903, "output-area-full"),
    (904, "output-mailbox-select-failure"),
    (1001, "fuser-under-temp"),
    (1002, "fuser-over-temp"),
    (1003, "marker-fuser-timing-failure"),
    (1004, "marker-fuser-thermistor-failure"),
    (1101, "toner-empty"),
    (1102, "marker-ink-empty"),
    (1103, "marker-print-ribbon-empty"),
    (1104, "toner-low"),
    (1105, "marker-ink-almost-empty"),
    (1106, "marker-print-ribbon-almost-empty"),
    (1107, "marker-waste-almost-full"),
    (1108, "marker-waste-ink-receptacle-almost-full"),
    (1109, "marker-waste-full"),
    (1110, "marker-waste-ink-receptacle-full"),
    (1111, "opc-near-eol"),
    (1112, "opc-life-over"),
    (1113, "developer-low"),
    (1114, "developer-empty"),
    (1115, "marker-toner-cartridge-missing"),
    (1301, "media-path-media-tray-missing"),
    (1302, "media-path-media-tray-almost-full"),
    (1303, "media-path-media-tray-full"),
    (1507, "interpreter-resource-unavailable"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use async_snmp::Value;
    use bytes::Bytes;

    fn bits(octets: &'static [u8], status: i64, supplies: &[Supply]) -> Vec<String> {
        let mut mib = Mib::default();
        let mut oid = o::HR_PRINTER.to_vec();
        oid.extend([o::HR_PRINTER_ERRORS, 1]);
        mib.insert(&oid, Value::OctetString(Bytes::from_static(octets)));
        reasons(&mib, Some(1), Some(status), Some(3), supplies)
    }

    fn alert(mib: &mut Mib, index: u32, severity: i32, group: i32, code: i32) {
        for (column, value) in [(o::ALERT_SEVERITY, severity), (o::ALERT_GROUP, group), (o::ALERT_CODE, code)] {
            let mut oid = o::PRT_ALERT.to_vec();
            oid.extend([column, 1, index]);
            mib.insert(&oid, Value::Integer(value));
        }
    }

    fn toner(level: Level) -> Supply {
        Supply {
            key: "black-toner".into(),
            kind: "toner".into(),
            color: Some("black".into()),
            description: String::new(),
            receptacle: false,
            level,
            raw_level: None,
            raw_max: None,
        }
    }

    #[test]
    fn bits_are_read_from_any_length_and_stop_only_a_device_that_is_down() {
        assert_eq!(bits(b"", 2, &[]), Vec::<String>::new());
        assert_eq!(bits(&[0], 2, &[]), Vec::<String>::new());
        assert_eq!(bits(&[0x40], 5, &[]), ["media-empty-error"]);
        assert_eq!(bits(&[0x40], 3, &[]), ["media-empty-warning"]);
        assert_eq!(bits(&[0x04, 0x00, 0x00, 0x00], 5, &[]), ["media-jam-error"]);
        assert_eq!(bits(&[0x00, 0x08, 0xff, 0xff, 0xff], 5, &[]), ["output-area-full-error"]);
        assert_eq!(bits(&[0x02], 2, &[]), Vec::<String>::new());
        assert_eq!(bits(&[0x02], 5, &[]), ["paused-warning"]);
        assert_eq!(bits(&[0x01], 5, &[]), ["service-needed-report"]);
    }

    #[test]
    fn a_toner_bit_yields_to_a_measured_level() {
        assert_eq!(bits(&[0x20], 2, &[toner(Level::Known(40))]), Vec::<String>::new());
        assert_eq!(bits(&[0x10], 5, &[toner(Level::Known(0))]), ["toner-empty-error"]);
        assert_eq!(bits(&[0x20], 3, &[toner(Level::SomeRemaining)]), ["toner-low-warning"]);
        let ink = Supply { kind: "ink".into(), ..toner(Level::Unknown) };
        assert_eq!(bits(&[0x20], 3, &[ink]), ["marker-supply-low-warning"]);
    }

    #[test]
    fn alerts_speak_first_and_once() {
        let mut mib = Mib::default();
        alert(&mut mib, 1, 3, 8, 808);
        alert(&mut mib, 2, 4, 11, 1104);
        alert(&mut mib, 3, 1, 5, 1);
        alert(&mut mib, 4, 5, 10, 1001);
        alert(&mut mib, 5, 3, 30, 30_208);
        alert(&mut mib, 6, 4, 5, 23);
        alert(&mut mib, 7, 3, 13, 8);
        alert(&mut mib, 8, 3, 99, 4_711);
        let mut oid = o::HR_PRINTER.to_vec();
        oid.extend([o::HR_PRINTER_ERRORS, 1]);
        // No paper, low toner, door open: only the door is news.
        mib.insert(&oid, Value::OctetString(Bytes::from_static(&[0x68])));
        assert_eq!(
            reasons(&mib, Some(1), Some(5), Some(1), &[]),
            [
                "media-empty-error",
                "toner-low-warning",
                "fuser-under-temp-report",
                "stapler-jam-error",
                "standby-report",
                "media-jam-error",
                "other-error",
                "door-open-error"
            ]
        );
    }

    #[test]
    fn hr_status_is_read_as_the_mib_combines_it() {
        use PrinterStateEnum::{Idle, Processing, Stopped};
        for (device, printer, want) in [
            (Some(2), Some(3), Some(Idle)),
            (Some(2), Some(4), Some(Processing)),
            (Some(2), Some(1), Some(Idle)),
            (Some(3), Some(3), Some(Idle)),
            (Some(3), Some(4), Some(Processing)),
            (Some(5), Some(1), Some(Stopped)),
            (Some(5), Some(5), Some(Idle)),
            (Some(5), None, Some(Stopped)),
            (Some(2), None, None),
            (None, Some(2), None),
            (Some(77), Some(-4), None),
        ] {
            assert_eq!(state(device, printer), want, "{device:?} {printer:?}");
        }
    }
}
