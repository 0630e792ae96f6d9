//! Makers' own objects, as data: what the standard MIBs leave out, or what a maker keeps in its own place.
//!
//! One row of [`OBJECTS`] is one object: whose agents are asked for it (the enterprise number in sysObjectID), what it
//! holds, in which form, its object identifier with the instance, and where that is known from. A new row is all that a
//! new object needs: a poll and an identification ask an agent for the rows of its enterprise, at most [`MAX_ASKED`], in one
//! request; of several rows for one thing the first that says something counts.
//!
//! An agent that does not name its maker is asked for one object of every maker ([`telling`]), [`TELLING_AT_ONCE`] in a
//! request, until one is there: the device id where the maker has such an object, else the model, else the serial number.
//!
//! The standard comes first: `prtGeneralSerialNumber` before a row of [`What::Serial`], `hrDeviceDescr` before one of
//! [`What::Model`], unless it names a platform or nothing. Agents are sold from one maker to another; an object under a
//! number says nothing of the maker's name.

use super::objects::Arcs;

/// Objects asked of one agent in one request.
pub const MAX_ASKED: usize = 12;

/// Objects of [`telling`] in one request: as many answers of the size of a device id fit into a datagram.
pub const TELLING_AT_ONCE: usize = 9;

/// One object of a maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object {
    /// The enterprise numbers of agents that are asked for it.
    pub asked_of: &'static [u32],
    /// What it holds.
    pub what: What,
    /// How it holds it.
    pub form: Form,
    /// Its object identifier, with the instance.
    pub oid: Arcs,
    /// Where that is known from.
    pub source: &'static str,
}

/// What an object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The serial number of the printer.
    Serial,
    /// The model, with or without the maker in front.
    Model,
    /// The version of the firmware.
    Firmware,
    /// An IEEE 1284 device id: maker, model, and on some the serial number.
    DeviceId,
}

/// How an object holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text, in whatever character set; control characters in front are a length or a symbol set.
    Text,
    /// `KEY:value;` pairs.
    DeviceId,
}

const fn row(asked_of: &'static [u32], what: What, form: Form, oid: Arcs, source: &'static str) -> Object {
    Object { asked_of, what, form, oid, source }
}

/// The objects.
#[rustfmt::skip]
pub static OBJECTS: &[Object] = &[
    // HP
    row(&[11], What::DeviceId, Form::DeviceId, &[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 1, 1, 7, 0], "OpenPrinting CUPS backend/snmp.txt"),
    row(&[11], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 4, 2, 1, 1, 3, 3, 0], "glpi-agent HPNetPeripheral; HP-LASERJET-COMMON-MIB serial-number"),
    row(&[11], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 4, 2, 1, 1, 3, 2, 0], "glpi-agent HPNetPeripheral; model-number"),
    row(&[11], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 4, 2, 1, 1, 3, 6, 0], "glpi-agent HPNetPeripheral; fw-rom-revision"),
    row(&[11], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 11, 2, 3, 9, 4, 2, 1, 1, 3, 5, 0], "LibreNMS jetdirect; fw-rom-datecode"),
    // Brother
    row(&[2435], What::DeviceId, Form::DeviceId, &[1, 3, 6, 1, 4, 1, 2435, 2, 3, 9, 1, 1, 7, 0], "PyPI brother; brieee1284id"),
    row(&[2435], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 2435, 2, 3, 9, 4, 2, 1, 5, 5, 1, 0], "PyPI brother; brInfoSerialNumber"),
    row(&[2435], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 2435, 2, 3, 9, 4, 2, 1, 5, 5, 17, 0], "PyPI brother; brInfoDeviceRomVersion"),
    row(&[2435], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 2435, 2, 4, 3, 2435, 5, 13, 3, 0], "glpi-agent BrotherNetConfig; brpsServerDescription"),
    row(&[2435], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 2435, 2, 4, 3, 1240, 6, 5, 0], "glpi-agent BrotherNetConfig; brpsFirmwareDescription"),
    // Kyocera, UTAX, Triumph-Adler
    row(&[1347], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 1347, 43, 5, 1, 1, 1, 1], "LibreNMS kyocera, utax"),
    row(&[1347], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 1347, 43, 5, 1, 1, 28, 1], "glpi-agent Kyocera; LibreNMS kyocera, utax"),
    row(&[1347], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 1347, 43, 5, 4, 1, 5, 1, 1], "glpi-agent Kyocera; LibreNMS kyocera, utax"),
    // Ricoh and its brands
    row(&[367], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 367, 3, 2, 1, 1, 1, 1, 0], "glpi-agent Ricoh; ricohSysName"),
    row(&[367], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 367, 3, 2, 1, 1, 1, 2, 0], "glpi-agent Ricoh; ricohSysVers"),
    row(&[367], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 367, 3, 2, 1, 2, 1, 4, 0], "glpi-agent Ricoh; ricohEngSerialNumber"),
    // Konica Minolta, Develop, Olivetti
    row(&[18334], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 18334, 1, 1, 1, 1, 6, 2, 1, 0], "glpi-agent Konica; LibreNMS konica"),
    row(&[18334], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 18334, 1, 1, 1, 1, 6, 1, 0], "LibreNMS konica"),
    // Lexmark, and what Lexmark makes for others
    row(&[641], What::DeviceId, Form::DeviceId, &[1, 3, 6, 1, 4, 1, 641, 2, 1, 2, 1, 3, 1], "LibreNMS dell-laser; 1284 device id"),
    row(&[641], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 641, 2, 1, 2, 1, 6, 1], "glpi-agent Lexmark; CUPS"),
    row(&[641], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 641, 6, 2, 3, 1, 5, 1], "LEXMARK-PVT-MIB prtgenSerialNo"),
    row(&[641], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 641, 6, 2, 3, 1, 4, 1], "LEXMARK-PVT-MIB prtgenPrinterName"),
    row(&[641], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 641, 2, 1, 2, 1, 2, 1], "CUPS backend/snmp.txt"),
    row(&[641], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 641, 2, 1, 2, 1, 4, 1], "LEXMARK-MPS-MIB, unconfirmed"),
    // Dell (made by Lexmark, Xerox)
    row(&[674], What::DeviceId, Form::DeviceId, &[1, 3, 6, 1, 4, 1, 674, 10898, 100, 2, 1, 2, 1, 3, 1], "LibreNMS dell-laser"),
    row(&[674], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 674, 10898, 100, 2, 1, 2, 1, 6, 1], "FusionInventory"),
    row(&[674], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 674, 10898, 100, 2, 1, 2, 1, 2, 1], "CUPS backend/snmp.txt"),
    row(&[674], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 253, 8, 53, 3, 2, 1, 3, 1], "FusionInventory, for Dell Color Laser"),
    // Xerox, Fujifilm
    row(&[253, 297], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 253, 8, 53, 3, 2, 1, 3, 1], "glpi-agent Xerox; xcmGenBaseSerialNumber"),
    row(&[253], What::DeviceId, Form::DeviceId, &[1, 3, 6, 1, 4, 1, 253, 8, 51, 1, 2, 1, 20, 1], "LibreNMS xerox"),
    // Tektronix
    row(&[128, 253], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 128, 2, 1, 3, 1, 2, 0], "CUPS backend/snmp.txt"),
    // Canon
    row(&[1602], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 1602, 1, 1, 1, 1, 0], "glpi-agent Canon; LibreNMS canonprinter"),
    row(&[1602], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 1602, 1, 1, 1, 4, 0], "glpi-agent Canon; LibreNMS canonprinter"),
    row(&[1602], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 1602, 1, 2, 1, 4, 0], "glpi-agent Canon"),
    row(&[1602], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 1602, 1, 2, 1, 8, 1, 3, 1, 1], "glpi-agent Canon"),
    // Epson
    row(&[1248], What::DeviceId, Form::DeviceId, &[1, 3, 6, 1, 4, 1, 1248, 1, 2, 2, 1, 1, 1, 1, 1], "OpenPrinting CUPS backend/snmp.txt"),
    row(&[1248], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 1248, 1, 2, 2, 1, 1, 1, 2, 1], "glpi-agent Epson"),
    row(&[1248], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 1248, 1, 2, 2, 1, 1, 1, 5, 1], "glpi-agent Epson"),
    row(&[1248], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 1248, 1, 2, 2, 2, 1, 1, 2, 1, 1], "glpi-agent Epson; epsonPrinterFirmware version"),
    // Samsung, and what Samsung makes for others
    row(&[236], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 236, 11, 5, 1, 1, 1, 1, 0], "LibreNMS samsungprinter"),
    row(&[236], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 236, 11, 5, 1, 1, 1, 2, 0], "LibreNMS samsungprinter"),
    row(&[236], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 236, 11, 5, 1, 1, 1, 4, 0], "SAMSUNG-PRINTER-EXT-MIB"),
    // OKI
    row(&[2001], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 2001, 1, 1, 1, 1, 11, 1, 10, 25, 0], "glpi-agent Oki"),
    row(&[2001], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 2001, 1, 1, 1, 1, 11, 1, 10, 45, 0], "glpi-agent Oki"),
    // Sharp
    row(&[2385], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 2385, 2, 1, 1, 2, 1, 2, 1], "LibreNMS sharp"),
    row(&[2385], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 2385, 2, 1, 3, 2, 1, 4, 13501, 1302, 1], "LibreNMS sharp"),
    // Toshiba e-STUDIO, Toshiba TEC labels
    row(&[1129], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 1129, 1, 2, 1, 1, 1, 2, 1, 0], "glpi-agent Toshiba; tecModel"),
    row(&[1129], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 1129, 1, 2, 1, 1, 1, 1, 2, 0], "glpi-agent Toshiba; tecFirmware"),
    row(&[1129], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 1129, 2, 3, 50, 1, 2, 3, 1, 3, 1, 1], "common scripts for e-STUDIO"),
    row(&[1129], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 1129, 2, 3, 50, 1, 2, 4, 1, 62, 1, 1], "OpenVAS gb_toshiba_printer_snmp"),
    // Zebra
    row(&[10642], What::Model, Form::Text, &[1, 3, 6, 1, 4, 1, 10642, 1, 1, 0], "LibreNMS zebra"),
    row(&[10642], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 10642, 1, 2, 0], "LibreNMS zebra"),
    row(&[10642], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 10642, 200, 19, 5, 0], "glpi-agent Zebra; zqlZebraQLSerial"),
    row(&[10642], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 10642, 1, 9, 0], "glpi-agent Zebra; zbrGenInfoUniqueId"),
    row(&[683], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 683, 1, 5, 0], "LibreNMS zebra; ESI-MIB genSerialNumber"),
    row(&[683], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 683, 1, 9, 0], "LibreNMS zebra; ESI-MIB genVersion"),
    // Pantum
    row(&[40093], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 40093, 1, 1, 1, 5, 0], "glpi-agent Pantum"),
    row(&[40093], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 40093, 6, 1, 2, 0], "glpi-agent Pantum"),
    row(&[40093], What::Serial, Form::Text, &[1, 3, 6, 1, 4, 1, 40093, 10, 1, 1, 4, 0], "glpi-agent Pantum"),
    row(&[40093], What::Firmware, Form::Text, &[1, 3, 6, 1, 4, 1, 40093, 1, 1, 1, 1, 0], "facts of glpi-agent Pantum"),
];

/// The rows for agents of an enterprise.
pub fn of_enterprise(number: u32) -> impl Iterator<Item = &'static Object> {
    OBJECTS.iter().filter(move |object| object.asked_of.contains(&number)).take(MAX_ASKED)
}

/// One object of every maker, that by which its printers are best known; the makers in the order of the rows.
pub fn telling() -> Vec<&'static Object> {
    let mut best: Vec<(u8, &Object)> = Vec::new();
    for object in OBJECTS {
        let rank = match object.what {
            What::DeviceId => 0,
            What::Model => 1,
            What::Serial => 2,
            What::Firmware => continue,
        };
        match best.iter_mut().find(|(_, known)| known.oid.get(..7) == object.oid.get(..7)) {
            Some(known) if rank < known.0 => *known = (rank, object),
            Some(_) => {}
            None => best.push((rank, object)),
        }
    }
    best.into_iter().map(|(_, object)| object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::makers;
    use crate::snmp::objects::ENTERPRISES;

    #[test]
    fn every_row_can_be_asked_for_and_says_where_it_is_from() {
        for (place, object) in OBJECTS.iter().enumerate() {
            assert!(object.oid.starts_with(ENTERPRISES) && object.oid.len() > 9, "{object:?}");
            assert!(!object.source.is_empty() && !object.asked_of.is_empty(), "{object:?}");
            for number in object.asked_of {
                assert!(makers::of_enterprise(*number).is_some(), "{number} is in no row of makers");
                assert!(of_enterprise(*number).any(|asked| asked == object), "{object:?} is beyond what is asked");
            }
            let twice = OBJECTS.iter().skip(place + 1).any(|other| {
                other.oid == object.oid && other.asked_of.iter().any(|number| object.asked_of.contains(number))
            });
            assert!(!twice, "{object:?} twice");
            assert_eq!(object.what == What::DeviceId, object.form == Form::DeviceId, "{object:?}");
        }
    }

    #[test]
    fn every_maker_with_rows_has_one_that_tells() {
        let telling = telling();
        for object in OBJECTS.iter().filter(|object| object.what != What::Firmware) {
            let of_maker = telling.iter().filter(|told| told.oid[6] == object.oid[6]).count();
            assert_eq!(of_maker, 1, "{object:?}");
        }
        let brother = telling.iter().find(|told| told.oid[6] == 2435);
        assert_eq!(brother.map(|told| told.what), Some(What::DeviceId));
        assert!(telling.len() <= 3 * TELLING_AT_ONCE, "{} objects", telling.len());
    }
}
