//! What the simulated printers look like, as data: one [`Profile`] per kind of device.
//!
//! A profile names a maker and model, what the device takes and can do, and what stands in it (supplies, trays).
//! The values are invented but shaped like those of real devices of their class.

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
}

const A4: Media = Media { name: "iso_a4_210x297mm", x: 21000, y: 29700 };
const A5: Media = Media { name: "iso_a5_148x210mm", x: 14800, y: 21000 };
const A3: Media = Media { name: "iso_a3_297x420mm", x: 29700, y: 42000 };
const LETTER: Media = Media { name: "na_letter_8.5x11in", x: 21590, y: 27940 };
const LEGAL: Media = Media { name: "na_legal_8.5x14in", x: 21590, y: 35560 };
const LABEL_4X6: Media = Media { name: "na_index-4x6_4x6in", x: 10160, y: 15240 };
const LABEL_62: Media = Media { name: "om_dk-62x29mm_62x29mm", x: 6200, y: 2900 };

const fn toner(description: &'static str, rgb: &'static str, colorant: &'static str, level: i32) -> SupplySpec {
    SupplySpec { kind: "toner", description, rgb, colorant, level, receptacle: false }
}

/// All profiles; the first is the default.
pub static PROFILES: &[Profile] = &[
    Profile {
        key: "office-colour",
        make: "Northlight",
        model: "ColorJet Pro C451dn",
        firmware: "NL451_2026.03.1",
        commands: "PDF,PWGRaster,URF,PCL",
        formats: &["application/pdf", "image/urf", "image/pwg-raster", "image/jpeg"],
        color: true,
        duplex: true,
        pages_per_minute: 32,
        resolutions: &[600, 300],
        urf: &["V1.4", "W8", "SRGB24", "CP255", "RS300-600", "DM1", "IS1-4-7", "MT1-2-3", "OB9", "PQ3-4-5"],
        media: &[A4, A5, A3, LETTER, LEGAL],
        trays: &[
            TraySpec { source: "tray-1", capacity: 250, level: 180, media: "iso_a4_210x297mm" },
            TraySpec { source: "tray-2", capacity: 550, level: 400, media: "iso_a3_297x420mm" },
            TraySpec { source: "by-pass-tray", capacity: 100, level: 0, media: "na_letter_8.5x11in" },
        ],
        supplies: &[
            toner("Black Toner Cartridge NL-451K", "#000000", "black", 78),
            toner("Cyan Toner Cartridge NL-451C", "#00FFFF", "cyan", 54),
            toner("Magenta Toner Cartridge NL-451M", "#FF00FF", "magenta", 61),
            toner("Yellow Toner Cartridge NL-451Y", "#FFFF00", "yellow", 9),
            SupplySpec {
                kind: "waste-toner",
                description: "Waste Toner Box",
                rgb: "none",
                colorant: "none",
                level: 20,
                receptacle: true,
            },
        ],
        kind: "document,envelope",
        impressions_before: 12_840,
        services: Services { ipp: true, appsocket: true, pjl: true, lpd: &["lp", "print"], snmp: Snmp::V3 },
    },
    Profile {
        key: "mono-laser",
        make: "Acme",
        model: "LP 40",
        firmware: "40.11.7",
        commands: "PDF,PWGRaster,PCL",
        formats: &["application/pdf", "image/pwg-raster"],
        color: false,
        duplex: true,
        pages_per_minute: 40,
        resolutions: &[600],
        urf: &[],
        media: &[A4, A5, LETTER, LEGAL],
        trays: &[TraySpec { source: "tray-1", capacity: 250, level: 120, media: "iso_a4_210x297mm" }],
        supplies: &[
            toner("Black Cartridge A40X", "#000000", "black", 33),
            SupplySpec {
                kind: "opc",
                description: "Drum Unit A40D",
                rgb: "none",
                colorant: "none",
                level: -3,
                receptacle: false,
            },
        ],
        kind: "document",
        impressions_before: 90_210,
        services: Services { ipp: true, appsocket: true, pjl: true, lpd: &["lp"], snmp: Snmp::V2c },
    },
    Profile {
        key: "label",
        make: "Stripe",
        model: "L-203",
        firmware: "3.0.8",
        commands: "ZPL,PWGRaster",
        formats: &["application/vnd.zebra-zpl", "image/pwg-raster", "application/pdf"],
        color: false,
        duplex: false,
        pages_per_minute: 90,
        resolutions: &[203],
        urf: &[],
        media: &[LABEL_4X6, LABEL_62],
        trays: &[TraySpec { source: "main-roll", capacity: 450, level: -3, media: "na_index-4x6_4x6in" }],
        supplies: &[SupplySpec {
            kind: "ribbon-wax",
            description: "Thermal transfer ribbon",
            rgb: "#000000",
            colorant: "black",
            level: -2,
            receptacle: false,
        }],
        kind: "label,roll",
        impressions_before: 400_100,
        services: Services { ipp: true, appsocket: true, pjl: false, lpd: &[], snmp: Snmp::V2c },
    },
];

/// The profile of this name.
pub fn profile(key: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.key == key)
}

/// The default profile.
pub fn default_profile() -> &'static Profile {
    &PROFILES[0]
}
