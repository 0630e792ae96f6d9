//! What the simulated printers look like, as data: one [`Profile`] per kind of device.
//!
//! A profile names a maker and model, what the device takes and can do, and what stands in it (supplies, trays).
//! The values are invented but shaped like those of real devices of their class. The data are in `kinds`.

mod kinds;

pub use kinds::PROFILES;

use super::spec::History;
use std::time::Duration;

/// One kind of device.
#[derive(Debug)]
pub struct Profile {
    /// The word on the command line.
    pub key: &'static str,
    /// Maker as the device writes it.
    pub make: &'static str,
    /// Model without the maker.
    pub model: &'static str,
    /// `printer-firmware-string-version`.
    pub firmware: &'static str,
    /// Command sets for the IEEE 1284 device id.
    pub commands: &'static str,
    /// `document-format-supported` without `application/octet-stream`, the default first.
    pub formats: &'static [&'static str],
    /// Prints in colour.
    pub color: bool,
    /// Prints both sides.
    pub duplex: bool,
    /// `pages-per-minute`.
    pub pages_per_minute: i32,
    /// `printer-resolution-supported` in dpi, the default first.
    pub resolutions: &'static [i32],
    /// `urf-supported`; empty without AirPrint raster.
    pub urf: &'static [&'static str],
    /// Media it takes, the default first.
    pub media: &'static [Media],
    /// Its input trays in order.
    pub trays: &'static [TraySpec],
    /// Its supplies in order.
    pub supplies: &'static [SupplySpec],
    /// `printer-kind` and the TXT key `kind`.
    pub kind: &'static str,
    /// Impressions a device of this kind had printed before it was simulated.
    pub impressions_before: i64,
    /// The protocols it speaks.
    pub services: Services,
    /// DNS-SD service types under which it announces itself, of those that it speaks.
    pub announces: &'static [&'static str],
    /// Its covers and doors; the first is the one that `door-open` opens.
    pub covers: &'static [&'static str],
    /// Lines of its display.
    pub console_lines: usize,
    /// How long it remembers finished jobs.
    pub history: History,
    /// When it goes to sleep with nothing to do; `None`: never.
    pub sleeps_after: Option<Duration>,
    /// Its SNMP agent while it sleeps.
    pub asleep: AsleepSnmp,
}

/// What an SNMP agent does while its printer sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsleepSnmp {
    /// Answers as ever.
    Answers,
    /// Answers so much later.
    Slow(Duration),
    /// Says nothing.
    Silent,
}

/// The protocols a kind of device speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Services {
    /// IPP (and, where the office asks for it, IPPS).
    pub ipp: bool,
    /// AppSocket.
    pub appsocket: bool,
    /// AppSocket and LPD understand PJL and answer it.
    pub pjl: bool,
    /// LPD queues; empty without LPD.
    pub lpd: &'static [&'static str],
    /// SNMP.
    pub snmp: Snmp,
}

/// The SNMP of a kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snmp {
    /// None.
    None,
    /// Version 1 only: one unknown object fails the whole Get.
    V1,
    /// Versions 1 and 2c.
    V2c,
    /// Versions 1, 2c and 3.
    V3,
}

/// One size of media.
#[derive(Debug)]
pub struct Media {
    /// PWG 5101.1 self-describing name.
    pub name: &'static str,
    /// Width in hundredths of a millimetre.
    pub x: i32,
    /// Length in hundredths of a millimetre.
    pub y: i32,
}

/// One input tray.
#[derive(Debug, PartialEq, Eq)]
pub struct TraySpec {
    /// `media-source` keyword and the tray's name.
    pub source: &'static str,
    /// Sheets it holds.
    pub capacity: i32,
    /// Sheets in it.
    pub level: i32,
    /// PWG name of the media in it.
    pub media: &'static str,
}

/// One supply.
#[derive(Debug, PartialEq, Eq)]
pub struct SupplySpec {
    /// `marker-types` keyword, also the type in `printer-supply` (camel case is made of it).
    pub kind: &'static str,
    /// Its description.
    pub description: &'static str,
    /// `marker-colors` value; `none` for what has no colour.
    pub rgb: &'static str,
    /// Colorant in lower case; `none` for what has no colour.
    pub colorant: &'static str,
    /// Level in percent; −3 some left, −2 unknown.
    pub level: i32,
    /// Fills up instead of being used up.
    pub receptacle: bool,
    /// What its capacity is counted in.
    pub unit: SupplyUnit,
    /// prtMarkerSuppliesMaxCapacity in its unit; −2 unknown.
    pub capacity: i32,
    /// Impressions from full to empty (or from empty to full); 0: its level does not move with impressions.
    pub impressions: u32,
}

impl SupplySpec {
    /// Whether a fault that names this colour or type means it.
    pub fn is_called(&self, word: &str) -> bool {
        if self.colorant == "none" { self.kind == word } else { self.colorant == word }
    }
}

/// PrtMarkerSuppliesSupplyUnitTC (RFC 3805), of which a few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SupplyUnit {
    /// Percent.
    Percent,
    /// Impressions.
    Impressions,
    /// Items (staples).
    Items,
    /// Tenths of millilitres.
    TenthsOfMillilitres,
    /// Metres (ribbon).
    Metres,
}

impl SupplyUnit {
    /// The number in the MIB.
    pub fn code(self) -> i32 {
        match self {
            SupplyUnit::Percent => 19,
            SupplyUnit::Impressions => 7,
            SupplyUnit::Items => 18,
            SupplyUnit::TenthsOfMillilitres => 15,
            SupplyUnit::Metres => 17,
        }
    }

    /// The word in `printer-supply` (PWG 5100.13 §5.6.43).
    pub fn keyword(self) -> &'static str {
        match self {
            SupplyUnit::Percent => "percent",
            SupplyUnit::Impressions => "impressions",
            SupplyUnit::Items => "items",
            SupplyUnit::TenthsOfMillilitres => "tenthsOfMilliliters",
            SupplyUnit::Metres => "meters",
        }
    }
}

/// The profile of this name.
pub fn profile(key: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.key == key)
}

/// The default profile.
pub fn default_profile() -> &'static Profile {
    &PROFILES[0]
}
