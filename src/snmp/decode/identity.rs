//! Who a printer is: maker, model, serial number, firmware, network cards. Pure and total.
//!
//! Each value has an order of places; the first place that says something usable counts.
//!
//! | value | places |
//! |---|---|
//! | maker | the name in hrDeviceDescr, in the IEEE 1284 device id, in the maker's model object, in sysDescr; the product line; the enterprise number |
//! | model | hrDeviceDescr, the maker's model object where that names a platform or nothing, the device id, sysDescr, prtGeneralPrinterName where it names a product, sysObjectID of Epson's |
//! | serial number | prtGeneralSerialNumber, the maker's object, the device id, sysDescr, hrDeviceDescr, entPhysicalSerialNum |
//! | firmware | the maker's object, sysDescr, hrDeviceDescr |
//!
//! A name comes before a number: agents are sold from one maker to another.

use super::description::{Described, Nature, describe};
use super::device_id::device_ids;
use super::mib::{Mib, int, octets};
use super::text;
use super::who::{self, Device};
use crate::domain::identity;
use crate::domain::makers;
use crate::domain::sighting::Evidence;
use crate::snmp::objects as o;
use crate::snmp::vendors::{self, What};

/// What an agent says of who its printer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) evidence: Evidence,
    pub(super) firmware: Option<String>,
}

pub(super) fn identity(mib: &Mib, device: Device) -> Identity {
    let own = Own::of(mib);
    let listed = who::listed(mib, device).unwrap_or_default();
    let listed = if is_useful(&listed) { listed } else { Described { model: None, ..listed } };
    // A computer's description says nothing of the printer in it.
    let system = Some(who::system(mib)).filter(|system| system.nature != Nature::Other).unwrap_or_default();
    let id = device_ids(mib, device.index).into_iter().find(|id| !id.other).unwrap_or_default();
    let model_object = own.model.as_deref().map(describe).unwrap_or_default();
    let name = general(mib, device, o::GENERAL_NAME).filter(|name| names_product(name));
    let named = name.as_deref().map(describe).unwrap_or_default();

    let id_maker = id.make.as_deref().and_then(makers::of_text);
    let maker = listed
        .maker
        .or(id_maker)
        .or(model_object.maker)
        .or(if id.make.is_some() { None } else { system.maker })
        .or(if id.make.is_some() { None } else { named.maker });
    let make = maker
        .map(|maker| maker.name.to_owned())
        .or(id.make)
        .or_else(|| who::enterprise_of(mib).and_then(makers::of_enterprise).map(|maker| maker.name.to_owned()));
    let encoded = who::encoded_model(mib);
    // Behind a maker's name: elsewhere it is any text.
    let system_model = system.model.filter(|_| system.maker.is_some());
    let model = listed.model.or(model_object.model).or(id.model).or(system_model).or(named.model).or(encoded);
    // A maker that no table knows stands in front of the model as well.
    let model = model.map(|model| makers::without_maker(&model, make.as_deref()).to_owned());

    let entity = mib.below(o::ENT_SERIAL).filter_map(|(_, value)| text::of_value(value));
    let usable = |serial: &String| {
        let evidence =
            Evidence { make: make.clone(), model: model.clone(), serial: Some(serial.clone()), ..Evidence::default() };
        identity::canonical(&evidence).serial.is_some()
    };
    let general = general(mib, device, o::GENERAL_SERIAL).into_iter().chain(own.serials);
    let stated = [id.serial, system.serial, listed.serial].into_iter().flatten();
    let serial = general.chain(stated).chain(entity.take(16)).find(usable);
    let firmware = own.firmware.or(system.firmware).or(listed.firmware);
    Identity { evidence: Evidence { make, model, serial, macs: macs(mib), uuid: None }, firmware }
}

/// A text of prtGeneralTable: of the printer's row, or of the only one.
fn general(mib: &Mib, device: Device, column: u32) -> Option<String> {
    let column = [o::PRT_GENERAL, &[column]].concat();
    let mut rows = mib.below(&column).filter(|(rest, _)| rest.len() < 2);
    let (first, second) = (rows.next(), rows.next());
    let of_device = device.index.and_then(|index| mib.get(&[column.as_slice(), &[index]].concat()));
    text::of_value(of_device.or(first.filter(|_| second.is_none()).map(|(_, value)| value))?)
}

/// Whether a name that an administrator may have given is that of a product: it begins with a product line, or with a maker
/// and has a number in it.
fn names_product(name: &str) -> bool {
    let split = makers::split(name);
    let numbered = || split.model.split_whitespace().any(|word| word.chars().filter(char::is_ascii_digit).count() > 2);
    makers::of_line(name).is_some() || makers::of_line(split.model).is_some() || split.maker.is_some() && numbered()
}

fn is_useful(listed: &Described) -> bool {
    !matches!(listed.nature, Nature::Other | Nature::Card | Nature::PrintServer)
}

/// What the maker's own objects say.
#[derive(Default)]
struct Own {
    serials: Vec<String>,
    model: Option<String>,
    firmware: Option<String>,
}

impl Own {
    fn of(mib: &Mib) -> Self {
        let mut own = Self::default();
        for object in who::enterprises(mib).into_iter().flat_map(vendors::of_enterprise) {
            let text = mib.instance(object.oid).and_then(text::of_value);
            let text = text.filter(|text| text.chars().any(char::is_alphanumeric));
            match object.what {
                What::Serial => own.serials.extend(text),
                What::Model => own.model = own.model.or(text),
                What::Firmware => own.firmware = own.firmware.or(text.map(|text| version(&text))),
                // Read where they all are.
                What::DeviceId => {}
            }
        }
        own
    }
}

/// `Firmware Ver.1.01 (08.12.12)` is version 1.01.
fn version(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.find("ver.").and_then(|at| text.get(at + 4..)).and_then(|rest| rest.split_whitespace().next()) {
        Some(version) if lower.starts_with("firmware") => version.to_owned(),
        _ => text.to_owned(),
    }
}

/// The addresses of its network cards (IF-MIB ifPhysAddress), 12 hex digits each; interfaces of other types (loopback,
/// tunnels, bridges) only where the agent says of none that it is a card.
fn macs(mib: &Mib) -> Vec<String> {
    let column = |number: u32| [o::IF_ENTRY, &[number]].concat();
    let (types, addresses) = (column(o::IF_TYPE), column(o::IF_PHYS_ADDRESS));
    let of_type = |wanted: &[Option<i64>]| {
        let macs = mib.below(&addresses).filter_map(|(index, value)| {
            let kind = mib.get(&[&types, index].concat()).and_then(int);
            let octets: &[u8; 6] = octets(value)?.try_into().ok()?;
            let mac = data_encoding::HEXLOWER.encode(octets);
            wanted.contains(&kind).then_some(mac)
        });
        identity::canonical(&Evidence { macs: macs.take(64).collect(), ..Evidence::default() }).macs
    };
    // ethernetCsmacd, fastEther, fastEtherFX, ieee80211, gigabitEthernet, or where the agent does not say.
    let cards = of_type(&[Some(6), Some(62), Some(69), Some(71), Some(117)]);
    if cards.is_empty() { of_type(&[None]) } else { cards }
}
