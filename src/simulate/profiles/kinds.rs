//! The kinds of device.

use super::{AsleepSnmp, History, Media, Profile, Services, Snmp, SupplySpec, SupplyUnit, TraySpec};
use std::time::Duration;

const A4: Media = Media { name: "iso_a4_210x297mm", x: 21000, y: 29700 };
const A5: Media = Media { name: "iso_a5_148x210mm", x: 14800, y: 21000 };
const A3: Media = Media { name: "iso_a3_297x420mm", x: 29700, y: 42000 };
const LETTER: Media = Media { name: "na_letter_8.5x11in", x: 21590, y: 27940 };
const LEGAL: Media = Media { name: "na_legal_8.5x14in", x: 21590, y: 35560 };
const PHOTO: Media = Media { name: "na_index-4x6_4x6in", x: 10160, y: 15240 };
const LABEL_4X6: Media = Media { name: "na_index-4x6_4x6in", x: 10160, y: 15240 };
const LABEL_62: Media = Media { name: "om_dk-62x29mm_62x29mm", x: 6200, y: 2900 };

const IPP: &[&str] = &["_ipp", "_ipps"];
const EVERYTHING: &[&str] = &["_ipp", "_ipps", "_pdl-datastream", "_printer"];

const fn supply(kind: &'static str, description: &'static str, level: i32, impressions: u32) -> SupplySpec {
    SupplySpec {
        kind,
        description,
        rgb: "none",
        colorant: "none",
        level,
        receptacle: false,
        unit: SupplyUnit::Percent,
        capacity: 100,
        impressions,
    }
}

const fn toner(
    description: &'static str,
    rgb: &'static str,
    colorant: &'static str,
    level: i32,
    impressions: u32,
) -> SupplySpec {
    SupplySpec { rgb, colorant, ..supply("toner", description, level, impressions) }
}

const fn ink(description: &'static str, rgb: &'static str, colorant: &'static str, level: i32) -> SupplySpec {
    SupplySpec {
        rgb,
        colorant,
        unit: SupplyUnit::TenthsOfMillilitres,
        capacity: 120,
        ..supply("ink-cartridge", description, level, 500)
    }
}

const fn waste(kind: &'static str, description: &'static str, level: i32, impressions: u32) -> SupplySpec {
    SupplySpec { receptacle: true, ..supply(kind, description, level, impressions) }
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
            toner("Black Toner Cartridge NL-451K", "#000000", "black", 78, 6_900),
            toner("Cyan Toner Cartridge NL-451C", "#00FFFF", "cyan", 54, 5_000),
            toner("Magenta Toner Cartridge NL-451M", "#FF00FF", "magenta", 61, 5_000),
            toner("Yellow Toner Cartridge NL-451Y", "#FFFF00", "yellow", 9, 5_000),
            waste("waste-toner", "Waste Toner Box", 20, 30_000),
        ],
        kind: "document,envelope",
        impressions_before: 12_840,
        services: Services { ipp: true, appsocket: true, pjl: true, lpd: &["lp", "print"], snmp: Snmp::V3 },
        announces: EVERYTHING,
        covers: &["Front cover", "Rear cover"],
        console_lines: 2,
        history: History::Keep,
        sleeps_after: Some(Duration::from_secs(900)),
        asleep: AsleepSnmp::Answers,
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
            toner("Black Cartridge A40X", "#000000", "black", 33, 10_200),
            supply("opc", "Drum Unit A40D", -3, 0),
        ],
        kind: "document",
        impressions_before: 90_210,
        services: Services { ipp: true, appsocket: true, pjl: true, lpd: &["lp"], snmp: Snmp::V2c },
        announces: EVERYTHING,
        covers: &["Front door"],
        console_lines: 2,
        history: History::Forget(Duration::from_secs(300)),
        sleeps_after: Some(Duration::from_secs(60)),
        asleep: AsleepSnmp::Slow(Duration::from_millis(1_500)),
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
            rgb: "#000000",
            colorant: "black",
            unit: SupplyUnit::Metres,
            capacity: -2,
            ..supply("ribbon-wax", "Thermal transfer ribbon", -2, 0)
        }],
        kind: "label,roll",
        impressions_before: 400_100,
        services: Services { ipp: true, appsocket: true, pjl: false, lpd: &[], snmp: Snmp::V2c },
        announces: &["_ipp", "_ipps", "_pdl-datastream"],
        covers: &["Print head"],
        console_lines: 1,
        history: History::Forget(Duration::from_secs(120)),
        sleeps_after: None,
        asleep: AsleepSnmp::Answers,
    },
    Profile {
        key: "old-mono",
        make: "Hartwell",
        model: "LaserMate 4000",
        firmware: "R.25.47 1999",
        commands: "PJL,PCL,POSTSCRIPT",
        formats: &["application/vnd.hp-pcl", "application/postscript"],
        color: false,
        duplex: false,
        pages_per_minute: 17,
        resolutions: &[600],
        urf: &[],
        media: &[A4, LETTER, LEGAL],
        trays: &[TraySpec { source: "tray-1", capacity: 500, level: -3, media: "iso_a4_210x297mm" }],
        supplies: &[SupplySpec {
            unit: SupplyUnit::Impressions,
            capacity: 10_000,
            ..toner("Toner Cartridge", "#000000", "black", 41, 10_000)
        }],
        kind: "document",
        impressions_before: 1_204_377,
        services: Services { ipp: false, appsocket: true, pjl: true, lpd: &["raw", "text"], snmp: Snmp::V1 },
        announces: &[],
        covers: &["Top cover"],
        console_lines: 2,
        history: History::None,
        sleeps_after: Some(Duration::from_secs(1800)),
        asleep: AsleepSnmp::Answers,
    },
    Profile {
        key: "inkjet",
        make: "Lumen",
        model: "InkWorks 5200",
        firmware: "LW5200.2417A",
        commands: "URF,PWGRaster,JPEG",
        formats: &["image/urf", "image/pwg-raster", "image/jpeg", "application/pdf"],
        color: true,
        duplex: true,
        pages_per_minute: 15,
        resolutions: &[300, 600],
        urf: &["V1.4", "W8", "SRGB24", "CP1", "RS300-600", "DM1", "IS1-2", "MT1-8-11", "OB9", "PQ3-4-5"],
        media: &[A4, A5, LETTER, PHOTO],
        trays: &[TraySpec { source: "main", capacity: 150, level: 90, media: "iso_a4_210x297mm" }],
        supplies: &[
            ink("Black ink 52BK", "#000000", "black", 66),
            ink("Cyan ink 52C", "#00FFFF", "cyan", 40),
            ink("Magenta ink 52M", "#FF00FF", "magenta", 38),
            ink("Yellow ink 52Y", "#FFFF00", "yellow", 71),
            waste("waste-ink", "Maintenance box", 30, 20_000),
        ],
        kind: "document,photo",
        impressions_before: 3_310,
        services: Services { ipp: true, appsocket: true, pjl: false, lpd: &["PASSTHRU"], snmp: Snmp::V2c },
        announces: EVERYTHING,
        covers: &["Scanner lid", "Rear cover"],
        console_lines: 4,
        history: History::None,
        sleeps_after: Some(Duration::from_secs(300)),
        asleep: AsleepSnmp::Silent,
    },
    Profile {
        key: "mfp",
        make: "Corona",
        model: "WorkCentre MX 6071",
        firmware: "075.040.003.21300",
        commands: "PDF,PS,PCL,PWGRaster,URF",
        formats: &["application/pdf", "application/postscript", "image/urf", "image/pwg-raster", "image/jpeg"],
        color: true,
        duplex: true,
        pages_per_minute: 60,
        resolutions: &[600, 1200],
        urf: &["V1.4", "W8", "SRGB24", "CP255", "RS600", "DM1", "FN3-20-28", "IS1-2-3-4", "MT1-2", "OB9", "PQ4"],
        media: &[A4, A5, A3, LETTER, LEGAL],
        trays: &[
            TraySpec { source: "tray-1", capacity: 520, level: 310, media: "iso_a4_210x297mm" },
            TraySpec { source: "tray-2", capacity: 520, level: 520, media: "iso_a3_297x420mm" },
            TraySpec { source: "large-capacity", capacity: 2_000, level: 1_450, media: "iso_a4_210x297mm" },
            TraySpec { source: "by-pass-tray", capacity: 100, level: 0, media: "iso_a5_148x210mm" },
        ],
        supplies: &[
            toner("Black Toner 006R01", "#000000", "black", 64, 26_000),
            toner("Cyan Toner 006R02", "#00FFFF", "cyan", 80, 15_000),
            toner("Magenta Toner 006R03", "#FF00FF", "magenta", 77, 15_000),
            toner("Yellow Toner 006R04", "#FFFF00", "yellow", 51, 15_000),
            supply("opc", "Drum Cartridge R1", 88, 150_000),
            supply("fuser", "Fuser", 93, 360_000),
            supply("transfer-unit", "Transfer Belt Cleaner", 90, 200_000),
            waste("waste-toner", "Waste Toner Container", 35, 43_000),
            SupplySpec { unit: SupplyUnit::Items, capacity: 5_000, ..supply("staples", "Staple Cartridge", 72, 0) },
        ],
        kind: "document,envelope,large-format",
        impressions_before: 388_214,
        services: Services { ipp: true, appsocket: true, pjl: true, lpd: &["lp"], snmp: Snmp::V3 },
        announces: EVERYTHING,
        covers: &["Front cover", "Left side cover A", "Finisher front cover"],
        console_lines: 4,
        history: History::Keep,
        sleeps_after: Some(Duration::from_secs(600)),
        asleep: AsleepSnmp::Slow(Duration::from_millis(800)),
    },
    Profile {
        key: "print-server",
        make: "Portico",
        model: "PS-3 print server",
        firmware: "6.7.2b",
        commands: "PDF,PWGRaster,PCL",
        formats: &["application/pdf", "image/pwg-raster"],
        color: false,
        duplex: true,
        pages_per_minute: 24,
        resolutions: &[600],
        urf: &[],
        media: &[A4, LETTER],
        trays: &[TraySpec { source: "tray-1", capacity: 250, level: 200, media: "iso_a4_210x297mm" }],
        supplies: &[toner("Black toner", "#000000", "black", 50, 3_000)],
        kind: "document",
        impressions_before: 22_000,
        services: Services { ipp: true, appsocket: true, pjl: false, lpd: &["queue"], snmp: Snmp::V2c },
        announces: IPP,
        covers: &["Top cover"],
        console_lines: 1,
        history: History::Forget(Duration::from_secs(60)),
        sleeps_after: None,
        asleep: AsleepSnmp::Answers,
    },
];
