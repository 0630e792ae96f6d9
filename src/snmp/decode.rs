//! What an agent said → [`Observation`]. Pure and total: any variables give an observation or none, in bounded time.
//!
//! Which device of the agent is the printer is found, not assumed: of the rows of hrDeviceTable that are printers and
//! the first indices of the Printer-MIB's tables the smallest in both, else the smallest of the Printer-MIB, else a
//! printer of a known printer maker's agent. Agents that list print queues of a computer (net-snmp, Windows) have no
//! Printer-MIB and are no printers here.
//!
//! Nothing is claimed that the agent did not say. What is kept is bounded: see the `MAX_` constants of [`mib`].

pub mod mib;
mod reasons;
mod supplies;
mod text;

use self::mib::{Mib, int, octets, oid};
use super::objects as o;
use crate::domain::identity;
use crate::domain::sighting::Evidence;
use crate::domain::state::naming::clean;
use crate::domain::state::{Capabilities, Counters, Observation, Source};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The observation in what an agent said, complete at `at`; `None` when it is no printer's.
pub fn observation(mib: &Mib, at: Timestamp) -> Option<Observation> {
    let device = device(mib)?;
    let charset = charset(mib, device.index, o::GENERAL_LOCALIZATION);
    let cell = |entry: o::Arcs, column: u32| mib.cell(entry, column, device.index?);
    let text_at = |value: Option<&async_snmp::Value>| {
        let text = text::text(value.and_then(octets)?, charset);
        (!text.is_empty()).then_some(text)
    };
    let status = cell(o::HR_DEVICE, o::HR_DEVICE_STATUS).and_then(int);
    let printer = cell(o::HR_PRINTER, o::HR_PRINTER_STATUS).and_then(int);
    let supplies = supplies::supplies(mib, device.index, charset);
    Some(Observation {
        at,
        source: Source::Snmp,
        evidence: evidence(mib, &device, text_at(cell(o::HR_DEVICE, o::HR_DEVICE_DESCR))),
        name: text_at(cell(o::PRT_GENERAL, o::GENERAL_NAME)).or_else(|| text_at(mib.get(o::SYS_NAME))),
        location: text_at(mib.get(o::SYS_LOCATION)),
        firmware: None,
        printer_state: reasons::state(status, printer),
        reasons: reasons::reasons(mib, device.index, status, printer, &supplies),
        message: console(mib, device.index),
        accepting: None,
        queued_jobs: None,
        up_time: mib.get(o::SYS_UP_TIME).and_then(int).map(|hundredths| hundredths / 100),
        trays: supplies::trays(mib, device.index, charset),
        counters: counters(mib, device.index),
        capabilities: capabilities(mib, device.index),
        supplies,
    })
}

/// What the agent says it is (sysDescr), for people.
pub fn system_description(mib: &Mib) -> String {
    mib.get(o::SYS_DESCR).and_then(octets).map(|octets| text::text(octets, None)).unwrap_or_default()
}

/// Whether an agent keeps its Printer-MIB elsewhere: a printer of HP's whose supplies are missing may have them in the
/// context `Jetdirect`.
pub fn wants_context(mib: &Mib) -> bool {
    enterprise(mib) == Some(11) && !mib.has(o::PRT_SUPPLIES)
}

/// The device of an agent that is the printer.
struct Device {
    /// hrDeviceIndex; `None` where the agent's Printer-MIB has none.
    index: Option<u32>,
}

fn device(mib: &Mib) -> Option<Device> {
    let mut types = o::HR_DEVICE.to_vec();
    types.push(o::HR_DEVICE_TYPE);
    let printers: BTreeSet<u32> = mib
        .below(&types)
        .filter(|(_, value)| oid(value) == Some(o::HR_DEVICE_PRINTER))
        .filter_map(|(rest, _)| rest.first().copied())
        .collect();
    let mut of_printer_mib = BTreeSet::new();
    let mut without_index = false;
    for (rest, _) in mib.below(o::PRT_GENERAL) {
        if let [_, device] = rest {
            of_printer_mib.insert(*device);
        }
    }
    for entry in [o::PRT_SUPPLIES, o::PRT_MARKER, o::PRT_INPUT] {
        for (rest, _) in mib.below(entry) {
            match rest {
                [_, device, _] => drop(of_printer_mib.insert(*device)),
                [_, _] => without_index = true,
                _ => {}
            }
        }
    }
    if let Some(index) = of_printer_mib.iter().find(|device| printers.contains(device)).or(of_printer_mib.first()) {
        return Some(Device { index: Some(*index) });
    }
    if without_index {
        return Some(Device { index: printers.first().copied() });
    }
    let has_status = |device: &&u32| {
        [o::HR_PRINTER_STATUS, o::HR_PRINTER_ERRORS].iter().any(|c| mib.cell(o::HR_PRINTER, *c, **device).is_some())
    };
    let of_maker = enterprise(mib).and_then(maker_of_enterprise).is_some();
    printers.iter().find(has_status).filter(|_| of_maker).map(|index| Device { index: Some(*index) })
}

fn evidence(mib: &Mib, device: &Device, description: Option<String>) -> Evidence {
    let id = mib.below(o::PPM_DEVICE_ID).find_map(|(_, value)| device_id(octets(value)?));
    // One that should hold a product's object identifier, but on some printers holds the IEEE 1284 device id.
    let id = id.or_else(|| device_id(octets(mib.cell(o::HR_DEVICE, o::HR_DEVICE_ID, device.index?)?)?));
    let (id_make, id_model, id_serial) = id.unwrap_or_default();
    // Net-SNMP and others put the model, firmware and more into one text.
    let description = description.map(|text| text.split([';', ',']).next().unwrap_or_default().trim().to_owned());
    let (make, model) =
        description.or(id_model).or_else(|| model_in_system(mib)).map_or((None, None), |text| make_and_model(&text));
    let make = make.or(id_make).or_else(|| enterprise(mib).and_then(maker_of_enterprise).map(str::to_owned));
    // A maker that is not known by name still stands in front of the model.
    let model = model.map(|model| match &make {
        Some(make) => without_maker(&model, make).unwrap_or(model),
        None => model,
    });
    let general = device.index.and_then(|device| mib.cell(o::PRT_GENERAL, o::GENERAL_SERIAL, device));
    let entity = mib.below(o::ENT_SERIAL).map(|(_, value)| value);
    let serials = general.into_iter().chain(entity).filter_map(octets).map(|octets| text::text(octets, None));
    let usable = |serial: &String| {
        let evidence =
            Evidence { make: make.clone(), model: model.clone(), serial: Some(serial.clone()), ..Evidence::default() };
        identity::canonical(&evidence).serial.is_some()
    };
    let serial = serials.chain(id_serial).find(usable);
    Evidence { serial, mac: mac(mib), make, model, uuid: None }
}

/// The model in sysDescr, for an agent that says it nowhere else: only behind a maker's name, and not where the text speaks
/// of a network card.
fn model_in_system(mib: &Mib) -> Option<String> {
    const CARDS: [&str; 8] = ["ethernet", "jetdirect", "server", "network", "built-in", "nc-", "lan ", "card"];
    let description = system_description(mib);
    let front = description.split([';', ',', '/']).next().unwrap_or_default();
    let lower = front.to_lowercase();
    if CARDS.iter().any(|card| lower.contains(card)) || make_and_model(front).0.is_none() {
        return None;
    }
    // What looks like a version ends the model.
    let version = |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    Some(front.split_whitespace().take_while(|word| !version(word) && *word != "version").collect::<Vec<_>>().join(" "))
}

/// Maker, model and serial of an IEEE 1284 device id (`MFG:HP;MDL:LaserJet 4250;SN:…;`).
fn device_id(octets: &[u8]) -> Option<(Option<String>, Option<String>, Option<String>)> {
    let id = text_of_id(octets);
    let value = |keys: [&str; 2]| {
        id.split(';').take(64).find_map(|pair| {
            let (key, value) = pair.split_once(':')?;
            let known = keys.iter().any(|wanted| key.trim().eq_ignore_ascii_case(wanted));
            let value = clean(value);
            (known && !value.is_empty()).then_some(value)
        })
    };
    let model = value(["MDL", "MODEL"])?;
    Some((value(["MFG", "MANUFACTURER"]), Some(model), value(["SN", "SERN"])))
}

fn text_of_id(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets.get(..1_024).unwrap_or(octets)).into_owned()
}

/// A maker known by name in front of a model, and the model without it.
fn make_and_model(text: &str) -> (Option<String>, Option<String>) {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let front = |count: usize| words.get(..count).unwrap_or_default().join(" ");
    let rest = |count: usize| words.get(count..).unwrap_or_default().join(" ");
    // The longest name: "KONICA MINOLTA", not "KONICA".
    let known = (1..=words.len().min(4)).rev().find(|count| identity::is_maker(&front(*count)));
    match known {
        Some(count) if count < words.len() => (some(front(count)), some(rest(count))),
        _ => (None, some(rest(0))),
    }
}

/// The model behind this maker's name; `None` where the name does not stand in front of it.
fn without_maker(model: &str, make: &str) -> Option<String> {
    let front = model.get(..make.len())?;
    let rest = model.get(make.len()..)?;
    let stands_there = !make.is_empty() && front.eq_ignore_ascii_case(make) && rest.starts_with(' ');
    stands_there.then(|| rest.trim().to_owned()).filter(|rest| !rest.is_empty())
}

/// The first Ethernet card's address (IF-MIB ifPhysAddress), 12 hex digits.
fn mac(mib: &Mib) -> Option<String> {
    let column = |number: u32| [o::IF_ENTRY, &[number]].concat();
    let (types, addresses) = (column(o::IF_TYPE), column(o::IF_PHYS_ADDRESS));
    let of_type = |wanted: Option<i64>| {
        mib.below(&addresses).find_map(|(index, value)| {
            let kind = mib.get(&[&types, index].concat()).and_then(int);
            let octets: &[u8; 6] = octets(value)?.try_into().ok()?;
            let mac = data_encoding::HEXLOWER.encode(octets);
            let usable = identity::canonical(&Evidence { mac: Some(mac.clone()), ..Evidence::default() }).mac.is_some();
            (usable && kind == wanted).then_some(mac)
        })
    };
    // ethernetCsmacd, ieee80211, or where the agent does not say.
    of_type(Some(6)).or_else(|| of_type(Some(71))).or_else(|| of_type(None))
}

/// What the first marker has counted in its life.
fn counters(mib: &Mib, device: Option<u32>) -> Counters {
    let rows = mib.rows(o::PRT_MARKER, device);
    let count = rows.iter().find_map(|row| Some((row.int(o::MARKER_UNIT), row.int(o::MARKER_LIFE_COUNT)?)));
    match count.filter(|(_, count)| *count >= 0) {
        // impressions
        Some((Some(7), count)) => Counters { impressions: Some(count), ..Counters::default() },
        // sheets
        Some((Some(8), count)) => Counters { media_sheets: Some(count), ..Counters::default() },
        _ => Counters::default(),
    }
}

fn capabilities(mib: &Mib, device: Option<u32>) -> Capabilities {
    let mut formats: Vec<String> = Vec::new();
    for family in mib.rows(o::PRT_INTERPRETER, device).iter().filter_map(|row| row.int(o::INTERPRETER_FAMILY)) {
        if let Some((_, format)) = LANGUAGES.iter().find(|(number, _)| *number == family)
            && !formats.iter().any(|known| known == format)
        {
            formats.push((*format).to_owned());
        }
    }
    let paths = mib.rows(o::PRT_MEDIA_PATH, device);
    let has = |number: i64| paths.iter().any(|row| row.int(o::MEDIA_PATH_TYPE) == Some(number));
    let mut sides = Vec::new();
    for (number, keyword) in [(5, "one-sided"), (3, "two-sided-long-edge"), (4, "two-sided-short-edge")] {
        if has(number) {
            sides.push(keyword.to_owned());
        }
    }
    Capabilities { formats, sides, ..Capabilities::default() }
}

/// The lines of the device's display.
fn console(mib: &Mib, device: Option<u32>) -> Option<String> {
    let charset = charset(mib, device, o::GENERAL_CONSOLE_LOCALIZATION);
    let lines = mib.below(o::CONSOLE_TEXT).take(16).filter(|(rest, _)| rest.first().copied() == device);
    let lines = lines.filter_map(|(_, value)| octets(value)).map(|octets| text::text(octets, charset));
    let text = clean(&lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" / "));
    (!text.is_empty()).then_some(text)
}

/// The IANA number of the character set of the localization that a column of prtGeneralTable names.
fn charset(mib: &Mib, device: Option<u32>, which: u32) -> Option<i64> {
    let device = device?;
    let localization = mib.cell(o::PRT_GENERAL, which, device).and_then(int);
    let rows = mib.rows(o::PRT_LOCALIZATION, Some(device));
    let row = rows.iter().find(|row| Some(i64::from(row.index)) == localization).or(rows.first())?;
    row.int(o::LOCALIZATION_CHARSET)
}

/// The number of the maker in sysObjectID.
fn enterprise(mib: &Mib) -> Option<u32> {
    oid(mib.get(o::SYS_OBJECT_ID)?)?.strip_prefix(o::ENTERPRISES)?.first().copied()
}

fn maker_of_enterprise(number: u32) -> Option<&'static str> {
    MAKERS.iter().find(|(enterprise, _)| *enterprise == number).map(|(_, maker)| *maker)
}

/// Makers of printers by IANA enterprise number. The agent may be another maker's: a name in the model comes before it.
const MAKERS: [(u32, &str); 19] = [
    (11, "HP"),
    (128, "Tektronix"),
    (236, "Samsung"),
    (253, "Xerox"),
    (297, "Fujifilm"),
    (367, "Ricoh"),
    (641, "Lexmark"),
    (674, "Dell"),
    (683, "Zebra"),
    (1129, "Toshiba"),
    (1248, "Epson"),
    (1347, "Kyocera"),
    (1602, "Canon"),
    (2001, "OKI"),
    (2385, "Sharp"),
    (2435, "Brother"),
    (10642, "Zebra"),
    (18334, "Konica Minolta"),
    (40093, "Pantum"),
];

/// PrtInterpreterLangFamilyTC as media types, where there is one.
const LANGUAGES: [(i64, &str); 21] = [
    (3, "application/vnd.hp-pcl"),
    (4, "application/vnd.hp-hpgl"),
    // Not a format to print, but how jobs are wrapped and their end is told.
    (5, "application/vnd.hp-pjl"),
    (6, "application/postscript"),
    (9, "application/vnd.epson.escpr"),
    (40, "image/tiff"),
    (47, "application/vnd.hp-pclxl"),
    (54, "application/pdf"),
    (61, "image/jpeg"),
    (66, "application/vnd.ms-xpsdocument"),
    (67, "application/oxps"),
    (73, "application/pdf"),
    (74, "application/pdf"),
    (75, "application/pdf"),
    (76, "application/pdf"),
    (77, "application/pdf"),
    (78, "application/postscript"),
    (79, "application/postscript"),
    (82, "application/vnd.hp-pcl"),
    (84, "image/pwg-raster"),
    (85, "image/urf"),
];
