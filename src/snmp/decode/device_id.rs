//! IEEE 1284 device ids: `MFG:HP;CMD:PJL,PCL;MDL:LaserJet 4250;CLS:PRINTER;SN:…;`. Pure and total.
//!
//! Agents keep them in several places: the port monitor MIB, hrDeviceID (which should hold a product's object identifier),
//! and makers' own objects ([`crate::snmp::vendors`]), where a maker's object may speak of another maker's printer.
//!
//! What is read leniently:
//! - keys in any case, in their short and long forms (`MFG`, `MANUFACTURER`; `MDL`, `MODEL`; `SN`, `SERN`, `SERIAL NUMBER`),
//!   with spaces and line ends around them;
//! - two octets of length in front, as over USB;
//! - a model that is missing: the description instead;
//! - Epson's serial numbers, which are written as the hexadecimal digits of their characters.

use super::mib::{Mib, octets};
use crate::domain::makers;
use crate::domain::state::naming::clean;
use crate::snmp::objects as o;
use crate::snmp::vendors::{self, Form};

/// Octets that are looked at; the standard allows 1,023.
const MAX_OCTETS: usize = 2_048;
/// Pairs that are looked at.
const MAX_PAIRS: usize = 64;

const MAKE: &[&str] = &["MFG", "MANUFACTURER", "MFR", "VENDOR"];
const MODEL: &[&str] = &["MDL", "MODEL", "MODELNAME"];
const SERIAL: &[&str] = &["SN", "SERN", "SERIALNUMBER", "SERIALNO", "SERIAL", "SER"];
const CLASS: &[&str] = &["CLS", "CLASS"];
const DESCRIPTION: &[&str] = &["DES", "DESCRIPTION"];

/// What a device id says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DeviceId {
    pub(super) make: Option<String>,
    /// Without the maker in front, where that is one of the table.
    pub(super) model: Option<String>,
    pub(super) serial: Option<String>,
    /// It is the id of something else: a scanner, a fax.
    pub(super) other: bool,
}

/// The device ids of an agent, those of the standard places first. `device` is the printer's hrDeviceIndex.
pub(super) fn device_ids(mib: &Mib, device: Option<u32>) -> Vec<DeviceId> {
    let ids = [o::HR_DEVICE, &[o::HR_DEVICE_ID]].concat();
    let of_device = mib.below(&ids).filter(|(rest, _)| rest.first().copied() == device);
    let of_others = mib.below(&ids).filter(|(rest, _)| device.is_none() && rest.len() == 1);
    let of_makers = vendors::OBJECTS.iter().filter(|object| object.form == Form::DeviceId);
    let values = mib.below(o::PPM_DEVICE_ID).take(16).chain(of_device).chain(of_others.take(16));
    let values = values.map(|(_, value)| value).chain(of_makers.filter_map(|object| mib.instance(object.oid)));
    values.filter_map(|value| parse(octets(value)?)).collect()
}

/// Reads a device id; `None` for anything else.
pub(super) fn parse(octets: &[u8]) -> Option<DeviceId> {
    let octets = octets.get(..MAX_OCTETS).unwrap_or(octets);
    let octets = match octets {
        // A length below 1,024.
        [0..=3, _, rest @ ..] => rest,
        octets => octets,
    };
    let text: String = match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().copied().map(char::from).collect(),
    };
    let pairs: Vec<(String, String)> = text.split([';', '\0']).take(MAX_PAIRS).filter_map(pair).collect();
    let value = |keys: &[&str]| {
        let mut found = pairs.iter().filter(|(key, value)| keys.contains(&key.as_str()) && !value.is_empty());
        found.next().map(|(_, value)| value.clone())
    };
    let described = value(DESCRIPTION);
    let (make, model) = (value(MAKE), value(MODEL));
    // Any text may have a colon in it.
    if make.is_none() && model.is_none() {
        return None;
    }
    let model = model.or(described);
    let split = model.as_deref().map(makers::split);
    let named = split.filter(|split| !split.model.is_empty()).and_then(|split| split.maker);
    let make = named.map(|maker| maker.name.to_owned()).or(make);
    let bare = split.map(|split| split.model.to_owned()).filter(|model| !model.is_empty());
    Some(DeviceId {
        make,
        model: bare.or(model),
        serial: value(SERIAL).map(|serial| spelt_out(&serial).unwrap_or(serial)),
        other: value(CLASS).is_some_and(|class| is_other(&class)),
    })
}

/// `KEY:value`, the key as capital letters and digits.
fn pair(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once(':')?;
    let key: String = key.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    Some((key.to_ascii_uppercase(), clean(clean(value).trim_matches('"'))))
}

/// Whether a class is one of things that do not print.
fn is_other(class: &str) -> bool {
    let class = class.to_ascii_lowercase();
    !["print", "mfp", "mfd", "multi"].iter().any(|word| class.contains(word))
        && ["scan", "fax", "camera", "modem", "media", "net", "hdc", "fdc", "ports", "image"]
            .iter()
            .any(|word| class.contains(word))
}

/// `583344433130343434353037` is `X3DC10444507`: letters and digits of both kinds, or it is taken for what it is.
fn spelt_out(serial: &str) -> Option<String> {
    if serial.len() < 16 {
        return None;
    }
    let octets = data_encoding::HEXUPPER_PERMISSIVE.decode(serial.as_bytes()).ok()?;
    let fits = octets.iter().all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit());
    let mixed = octets.iter().any(u8::is_ascii_uppercase) && octets.iter().any(u8::is_ascii_digit);
    if fits && mixed { String::from_utf8(octets).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(id: &[u8]) -> (String, String, String) {
        let id = parse(id).unwrap();
        (id.make.unwrap_or_default(), id.model.unwrap_or_default(), id.serial.unwrap_or_default())
    }

    #[test]
    fn keys_of_all_forms_are_read() {
        for (id, make, model, serial) in [
            (&b"MFG:HP;CMD:PJL;MDL:HP LaserJet 4250;CLS:PRINTER;SN:CNBX1;"[..], "HP", "LaserJet 4250", "CNBX1"),
            (b"MANUFACTURER:Hewlett-Packard;COMMAND SET:PJL;MODEL:HP Color LaserJet;", "HP", "Color LaserJet", ""),
            (b"mfr: Acme ;\r\n model : Press 1 ;\r\nSerial Number : 77A1 ;", "Acme", "Press 1", "77A1"),
            (b"MFG:Brother;MDL:DCP-1618W;SERN:E71234;", "Brother", "DCP-1618W", "E71234"),
            (b"\x00\x20MFG:Canon;MDL:MF410 Series;S/N:9;", "Canon", "MF410 Series", "9"),
            (b"\x00\x41MFG:Canon;MDL:MF410 Series;", "Canon", "MF410 Series", ""),
            (b"COMMAND SET:;MODEL:Dell Laser Printer 5310n", "Dell", "Laser Printer 5310n", ""),
            (b"MFG:Xerox;DES:Xerox Phaser 4510;", "Xerox", "Phaser 4510", ""),
            (b"MFG:\"Oc\xe9\";MDL:\"VarioPrint 2045\";", "Océ", "VarioPrint 2045", ""),
            (b"MFG:EPSON;MDL:WF-3720 Series;SN:583344433130343434353037;", "EPSON", "WF-3720 Series", "X3DC10444507"),
            (b"MDL:T1;SN:3132333435363738;", "", "T1", "3132333435363738"),
            (b"MFG:Brother;MDL:HL-1;\0\0\0\0", "Brother", "HL-1", ""),
            // The maker is all there is of the model.
            (b"MFG:HP;MDL:HP;", "HP", "HP", ""),
        ] {
            assert_eq!(read(id), (make.to_owned(), model.to_owned(), serial.to_owned()), "{id:?}");
        }
        for text in [&b""[..], b"A printer", b"Location: 1; Room: 2", b"CMD:PJL;CLS:PRINTER;", b"MFG:;MDL:;", b"\0\0"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        let other = |class: &str| parse(format!("MFG:A;CLS:{class};").as_bytes()).unwrap().other;
        assert!(other("SCANNER") && other("FAX") && !other("PRINTER") && !other("Printer,Scanner") && !other("X"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            make in "[A-Z][a-z]{3,8}", model in "[A-Z]{2}-[0-9]{3,6}[a-z]{0,3}", serial in "[A-Z0-9]{4,15}",
            keys in (0..MAKE.len(), 0..MODEL.len(), 0..SERIAL.len()), lower: bool, space in "[ \r\n]{0,2}", length: bool,
            pad in 0usize..4, order in Just(vec![0, 1, 2]).prop_shuffle(),
        ) {
            prop_assume!(makers::of_text(&make).is_none() && makers::of_text(&model).is_none());
            let pairs = [(MAKE[keys.0], &make), (MODEL[keys.1], &model), (SERIAL[keys.2], &serial)];
            let text: String = order.iter().map(|place| {
                let (key, value) = pairs[*place];
                let key = if lower { key.to_lowercase() } else { key.to_owned() };
                format!("{space}{key}{space}:{space}{value}{space};")
            }).collect();
            let mut octets = if length { vec![0, text.len() as u8] } else { vec![] };
            octets.extend_from_slice(text.as_bytes());
            octets.resize(octets.len() + pad, 0);
            prop_assert_eq!(read(&octets), (make, model, serial));
        }

        #[test]
        fn any_octets_are_read_or_refused(octets: Vec<u8>, front in "(MFG:|mdl:|\0\u{1}MFG:|)") {
            let octets = [front.as_bytes(), &octets].concat();
            if let Some(id) = parse(&octets) {
                for text in [id.make, id.model, id.serial].into_iter().flatten() {
                    prop_assert!(!text.is_empty() && text.len() <= 512 && !text.chars().any(char::is_control));
                }
            }
        }
    }
}
