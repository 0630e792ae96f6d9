//! Who a printer is: maker, model, serial number, firmware, network cards. Pure and total.
//!
//! Each value has an order of places; the first place that says something usable counts.
//!
//! | value | places |
//! |---|---|
//! | maker | the name in hrDeviceDescr, in the IEEE 1284 device id, in the maker's model object, in sysDescr; the product line; the enterprise number |
//! | model | hrDeviceDescr, the maker's model object where that names a platform or nothing, the device id, sysDescr, prtGeneralPrinterName where it begins with a known product line, sysObjectID of Epson's |
//! | serial number | prtGeneralSerialNumber, the maker's object, the device id, sysDescr, hrDeviceDescr, entPhysicalSerialNum |
//! | firmware | the maker's object, sysDescr, hrDeviceDescr |
//!
//! A name comes before a number: agents are sold from one maker to another.

use super::description::{Described, Nature, describe};
use super::mib::{Mib, int, octets};
use super::text;
use super::who::{self, Device};
use crate::domain::identity;
use crate::domain::makers;
use crate::domain::sighting::Evidence;
use crate::domain::state::naming::clean;
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
    let listed = device.index.and_then(|index| who::description_of(mib, index)).unwrap_or_default();
    let listed = if is_useful(&listed) { listed } else { Described { model: None, ..listed } };
    // A computer's description says nothing of the printer in it.
    let system = Some(who::system(mib)).filter(|system| system.nature != Nature::Other).unwrap_or_default();
    let id = device_id(mib, device, &own);
    let model_object = own.model.as_deref().map(describe).unwrap_or_default();
    let name = general(mib, device, o::GENERAL_NAME).filter(|name| makers::of_line(name).is_some());
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

    let entity = mib.below(o::ENT_SERIAL).filter_map(|(_, value)| octets(value)).map(|octets| text::text(octets, None));
    let usable = |serial: &String| {
        let evidence =
            Evidence { make: make.clone(), model: model.clone(), serial: Some(serial.clone()), ..Evidence::default() };
        identity::canonical(&evidence).serial.is_some()
    };
    let stated = [general(mib, device, o::GENERAL_SERIAL), own.serial, id.serial, system.serial, listed.serial];
    let serial = stated.into_iter().flatten().chain(entity.take(16)).find(usable);
    let firmware = own.firmware.or(system.firmware).or(listed.firmware);
    Identity { evidence: Evidence { make, model, serial, macs: macs(mib), uuid: None }, firmware }
}

/// A text of prtGeneralTable.
fn general(mib: &Mib, device: Device, column: u32) -> Option<String> {
    let text = text::text(octets(mib.cell(o::PRT_GENERAL, column, device.index?)?)?, None);
    (!text.is_empty()).then_some(text)
}

fn is_useful(listed: &Described) -> bool {
    !matches!(listed.nature, Nature::Other | Nature::Card | Nature::PrintServer)
}

/// What the maker's own objects say.
#[derive(Default)]
struct Own {
    serial: Option<String>,
    model: Option<String>,
    firmware: Option<String>,
    device_id: Option<DeviceId>,
}

impl Own {
    fn of(mib: &Mib) -> Self {
        let mut own = Self::default();
        let Some(number) = who::enterprise_of(mib) else { return own };
        for object in vendors::of_enterprise(number) {
            let Some(octets) = mib.get(object.oid).and_then(octets) else { continue };
            let text = text::text(octets, None);
            let text = Some(text).filter(|text| text.chars().any(char::is_alphanumeric));
            match object.what {
                What::Serial => own.serial = own.serial.or(text),
                What::Model => own.model = own.model.or(text),
                What::Firmware => own.firmware = own.firmware.or(text.map(|text| version(&text))),
                What::DeviceId => own.device_id = own.device_id.or_else(|| parse_device_id(octets)),
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

/// Maker, model and serial number of an IEEE 1284 device id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct DeviceId {
    make: Option<String>,
    model: Option<String>,
    serial: Option<String>,
}

/// From the port monitor MIB, from hrDeviceID, which should hold a product's object identifier but on some printers holds
/// this, or from the maker's object.
fn device_id(mib: &Mib, device: Device, own: &Own) -> DeviceId {
    let of_ports = mib.below(o::PPM_DEVICE_ID).take(16).find_map(|(_, value)| parse_device_id(octets(value)?));
    let of_device = || parse_device_id(octets(mib.cell(o::HR_DEVICE, o::HR_DEVICE_ID, device.index?)?)?);
    of_ports.or_else(of_device).or_else(|| own.device_id.clone()).unwrap_or_default()
}

/// `MFG:HP;MDL:LaserJet 4250;SN:…;`
fn parse_device_id(octets: &[u8]) -> Option<DeviceId> {
    let id = String::from_utf8_lossy(octets.get(..1_024).unwrap_or(octets)).into_owned();
    let value = |keys: &[&str]| {
        id.split(';').take(64).find_map(|pair| {
            let (key, value) = pair.split_once(':')?;
            let known = keys.iter().any(|wanted| key.trim().eq_ignore_ascii_case(wanted));
            let value = clean(value);
            (known && !value.is_empty()).then_some(value)
        })
    };
    let model = value(&["MDL", "MODEL"])?;
    let make = value(&["MFG", "MANUFACTURER"]);
    let split = makers::split(&model);
    let make = split.maker.map(|maker| maker.name.to_owned()).filter(|_| !split.model.is_empty()).or(make);
    let model = if split.model.is_empty() { model.clone() } else { split.model.to_owned() };
    Some(DeviceId { make, model: Some(model), serial: value(&["SN", "SERN", "SERIALNUMBER", "SER"]) })
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
