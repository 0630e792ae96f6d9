//! Who a printer says it is: maker, model, serial number, UUID.

use super::{clean, decode_text, split_pairs, text};
use crate::domain::makers;
use crate::domain::sighting::Evidence;
use crate::ipp::codec::Group;

/// Evidence from `printer-device-id` (IEEE 1284), `printer-make-and-model`, `printer-serial-number` and `printer-uuid`.
pub(super) fn evidence(group: &Group) -> Evidence {
    let device_id = group
        .get("printer-device-id")
        .and_then(|attribute| attribute.first()?.as_octets())
        .map(|octets| split_pairs(&decode_text(octets), ':'))
        .unwrap_or_default();
    let id = |keys: &[&str]| {
        keys.iter().find_map(|key| device_id.get(*key)).map(|value| clean(value)).filter(|value| !value.is_empty())
    };
    // A CUPS queue appends its driver behind a comma.
    let full = text(group, "printer-make-and-model").map(|text| first_part(&text));
    let (make, model) = make_and_model(id(&["mfg", "manufacturer"]), id(&["mdl", "model"]), full);
    let serial = text(group, "printer-serial-number")
        .and_then(|serial| real_serial(&serial))
        .or_else(|| id(&["sn", "sern", "serialnumber"]).and_then(|serial| real_serial(&serial)));
    Evidence { make, model, serial, uuid: text(group, "printer-uuid").and_then(|text| uuid(&text)), macs: Vec::new() }
}

fn first_part(text: &str) -> String {
    text.split(',').next().unwrap_or_default().trim().to_owned()
}

/// Maker in its usual spelling and model without the maker in front.
///
/// The device id's maker counts first, since `printer-make-and-model` may leave the maker out ("ECOSYS M2040dn"). The
/// model is taken from `printer-make-and-model`, which people know, else from the device id.
fn make_and_model(
    id_make: Option<String>,
    id_model: Option<String>,
    full: Option<String>,
) -> (Option<String>, Option<String>) {
    let name = full.or(id_model).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return (id_make.map(|make| canonical(&make)), None);
    };
    let split = makers::split(&name);
    if let Some(maker) = split.maker {
        let make = id_make.map_or_else(|| maker.name.to_owned(), |id_make| canonical(&id_make));
        return (Some(make), (!split.model.is_empty()).then(|| split.model.to_owned()));
    }
    if let Some(id_make) = id_make {
        // A maker nobody listed, written in front of the model as well.
        let model = makers::without_maker(&name, Some(&id_make)).to_owned();
        return (Some(canonical(&id_make)), Some(model));
    }
    (makers::of_line(&name).map(|maker| maker.name.to_owned()), Some(name))
}

/// The usual spelling of a maker that is known, else the maker as it is written.
fn canonical(make: &str) -> String {
    makers::of_text(make).map_or_else(|| make.to_owned(), |maker| maker.name.to_owned())
}

/// A serial number, unless it is one of the fillers devices send for "none".
fn real_serial(text: &str) -> Option<String> {
    let serial = text.trim();
    let first = serial.chars().next()?;
    let filler = serial.len() < 4
        || serial.len() > 64
        || serial.chars().all(|c| c == first)
        || ["n/a", "none", "unknown", "not available", "serial number", "default", "0123456789", "1234567890"]
            .contains(&serial.to_ascii_lowercase().as_str());
    (!filler).then(|| serial.to_owned())
}

/// 32 hexadecimal digits in the usual grouping, lower case; not the all-zero one.
fn uuid(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_prefix("urn:").unwrap_or(&text);
    let text = text.strip_prefix("uuid:").unwrap_or(text);
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) || digits.bytes().all(|b| b == b'0') {
        return None;
    }
    let part = |from: usize, to: usize| digits.get(from..to);
    Some(format!("{}-{}-{}-{}-{}", part(0, 8)?, part(8, 12)?, part(12, 16)?, part(16, 20)?, part(20, 32)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(mfg: Option<&str>, mdl: Option<&str>, full: Option<&str>) -> (Option<String>, Option<String>) {
        make_and_model(mfg.map(str::to_owned), mdl.map(str::to_owned), full.map(str::to_owned))
    }

    #[test]
    fn makers_are_spelled_one_way_and_leave_the_model() {
        let some = |a: &str, b: &str| (Some(a.to_owned()), Some(b.to_owned()));
        assert_eq!(
            split(Some("Hewlett-Packard"), Some("HP LaserJet M605"), Some("HP LaserJet M605")),
            some("HP", "LaserJet M605")
        );
        assert_eq!(split(None, None, Some("CNMF720C Series")), some("Canon", "CNMF720C Series"));
        assert_eq!(split(None, None, Some("ECOSYS M2540dn")), some("Kyocera", "ECOSYS M2540dn"));
        assert_eq!(split(Some("Kyocera"), None, Some("ECOSYS M2040dn")), some("Kyocera", "ECOSYS M2040dn"));
        assert_eq!(split(Some("EPSON"), Some("XP-430 Series"), None), some("Epson", "XP-430 Series"));
        assert_eq!(split(Some("Acme"), None, Some("Acme Press 1")), some("Acme", "Press 1"));
        assert_eq!(split(None, None, Some("Hpress 3000")), (None, Some("Hpress 3000".into())));
        assert_eq!(split(None, None, Some("HP")), (Some("HP".into()), None));
        assert_eq!(split(None, None, None), (None, None));
    }

    #[test]
    fn fillers_are_no_serial_numbers() {
        for bad in ["", "0", "N/A", "XXXXXXXXXX", "0000000000", "unknown", "abc"] {
            assert_eq!(real_serial(bad), None, "{bad}");
        }
        assert_eq!(real_serial(" CN65FE30FX ").as_deref(), Some("CN65FE30FX"));
    }

    #[test]
    fn uuids_are_normalised_or_nothing() {
        let good = "1c852a4d-b800-1f08-abcd-a08cfd576b98";
        assert_eq!(uuid("urn:uuid:1C852A4D-B800-1F08-ABCD-A08CFD576B98").as_deref(), Some(good));
        assert_eq!(uuid("1c852a4db8001f08abcda08cfd576b98").as_deref(), Some(good));
        for bad in
            ["", "urn:uuid:", "urn:uuid:00000000-0000-0000-0000-000000000000", "printer", "1c852a4d-b800-1f08-abcd-é"]
        {
            assert_eq!(uuid(bad), None, "{bad}");
        }
    }
}
