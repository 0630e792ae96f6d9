//! Whether an agent speaks for a printer, and why. Pure and total.
//!
//! Strong evidence first; the first line that holds decides.
//!
//! | evidence | printer | why |
//! |---|---|---|
//! | tables of the Printer-MIB with markers, supplies or inputs, and the agent is not Microsoft's | yes | [`Why::PrinterMib`] |
//! | rows of hrDevicePrinter that net-snmp makes of a computer's print queues (index 1280…, 327680…), or of Microsoft's agent, or named like a computer's queues | no | [`Why::ComputerQueues`] |
//! | sysObjectID of another kind of agent (net-snmp, Microsoft, Cisco, … [`OTHER_AGENTS`]) | no | [`Why::OtherAgent`] |
//! | a description of something else: scanner, projector, switch, … | no | [`Why::OtherDevice`] |
//! | prtGeneralTable alone | yes | [`Why::PrinterMib`] |
//! | a print server beside which nothing else speaks of a printer: JetDirect EX, AXIS, Lantronix, D-Link, MarkNet, … | no | [`Why::EmptyPrintServer`] |
//! | an IEEE 1284 device id, unless of a scanner or fax | yes | [`Why::DeviceId`] |
//! | objects of a maker of printers that only its printers have | yes | [`Why::VendorObjects`] |
//! | anything else of the Printer-MIB | yes | [`Why::PrinterMib`] |
//! | an hrDeviceTable in which no device is a printer | no | [`Why::ListsNoPrinter`] |
//! | hrDevicePrinter or hrPrinterTable of an agent of a maker of printers, or of one that shows nothing of its system | yes | [`Why::HostResources`] |
//! | a description of a printer, or of the card in one | yes | [`Why::Description`] |
//! | sysObjectID of printers' agents ([`PRINTER_AGENTS`]) | yes | [`Why::ObjectId`] |
//! | nothing of that | no | [`Why::NothingOfAPrinter`] |
//!
//! A print server is a place for printers behind it, not a printer: it counts as one when it shows a printer (its
//! Printer-MIB), names one (`PID:`, `Attached to`), or carries the object identifier of another maker's printers, which such
//! servers take over from what is connected to them.
//!
//! Enterprise numbers prove nothing by themselves: servers, switches, projectors and cameras share them with printers.

use super::description::{Described, Nature, describe};
use super::device_id::device_ids;
use super::mib::{Mib, octets, oid};
use super::text;
use crate::domain::makers::{self, Maker};
use crate::snmp::objects::{self as o, Arcs};
use crate::snmp::vendors::{self, What};
use std::collections::BTreeSet;
use std::fmt;

/// Why an agent counts as a printer's, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Why {
    /// It has the Printer-MIB.
    PrinterMib,
    /// It lists an hrDevicePrinter.
    HostResources,
    /// It has the IEEE 1284 device id of a printer.
    DeviceId,
    /// Its maker's own objects are those of a printer.
    VendorObjects,
    /// sysDescr names a printer.
    Description,
    /// sysObjectID is that of printers.
    ObjectId,
    /// The printers it lists are print queues of a computer.
    ComputerQueues,
    /// sysObjectID is that of computers or network devices.
    OtherAgent,
    /// Its description is that of something else.
    OtherDevice,
    /// A print server without a sign of a printer.
    EmptyPrintServer,
    /// It lists its devices, and none is a printer.
    ListsNoPrinter,
    /// Nothing speaks of a printer.
    #[default]
    NothingOfAPrinter,
}

impl Why {
    /// Whether it makes a printer.
    pub fn is_printer(self) -> bool {
        matches!(
            self,
            Self::PrinterMib
                | Self::HostResources
                | Self::DeviceId
                | Self::VendorObjects
                | Self::Description
                | Self::ObjectId
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrinterMib => "it has the Printer-MIB",
            Self::HostResources => "it lists a printer (hrDeviceTable)",
            Self::DeviceId => "it has the device id of a printer (IEEE 1284)",
            Self::VendorObjects => "it has its maker's objects for printers",
            Self::Description => "it describes itself as a printer (sysDescr)",
            Self::ObjectId => "its object identifier is that of printers (sysObjectID)",
            Self::ComputerQueues => "the printers it lists are print queues of a computer",
            Self::OtherAgent => "its agent is that of a computer or network device (sysObjectID)",
            Self::OtherDevice => "it describes itself as something else (sysDescr)",
            Self::EmptyPrintServer => "a print server that names no printer",
            Self::ListsNoPrinter => "it lists its devices, and none is a printer (hrDeviceTable)",
            Self::NothingOfAPrinter => "nothing in it speaks of a printer",
        })
    }
}

/// The device of an agent that is the printer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Device {
    /// hrDeviceIndex; `None` where the agent's Printer-MIB has none, or where it has no tables.
    pub(super) index: Option<u32>,
}

/// Decides, and finds the device.
pub(super) fn decide(mib: &Mib) -> (Why, Device) {
    let rows = Rows::of(mib);
    let device = Device { index: rows.device(mib) };
    (why(mib, &rows, device), device)
}

fn why(mib: &Mib, rows: &Rows, device: Device) -> Why {
    let agent = mib.get(o::SYS_OBJECT_ID).and_then(oid).unwrap_or_default();
    let microsoft = agent.starts_with(MICROSOFT);
    if rows.parts && !microsoft {
        return Why::PrinterMib;
    }
    let queues = || rows.printers.iter().any(|index| is_queue(*index)) || lists_computer(mib);
    if !rows.printers.is_empty() && (microsoft || queues()) {
        return Why::ComputerQueues;
    }
    if OTHER_AGENTS.iter().any(|(other, _)| agent.starts_with(other)) {
        return Why::OtherAgent;
    }
    let system = system(mib);
    let listed: Vec<Described> = rows.printers.iter().take(4).filter_map(|index| description_of(mib, *index)).collect();
    let encoded = encoded_text(agent).map(|text| describe(&text));
    let nature = |wanted: Nature| system.nature == wanted || encoded.as_ref().is_some_and(|text| text.nature == wanted);
    let general = !rows.general.is_empty();
    if nature(Nature::Other) || is_network_interface(agent) && !general {
        return Why::OtherDevice;
    }
    if general {
        return Why::PrinterMib;
    }
    let agent_of = printer_agent(agent);
    if system.nature == Nature::PrintServer {
        let another = agent_of.is_some_and(|maker| Some(maker.id) != system.maker.map(|maker| maker.id));
        let listed = listed.iter().any(|described| described.nature == Nature::Printer);
        return match (another, listed) {
            (true, _) => Why::ObjectId,
            (_, true) => Why::HostResources,
            _ => Why::EmptyPrintServer,
        };
    }
    if device_ids(mib, device.index).iter().any(|id| !id.other) {
        return Why::DeviceId;
    }
    if has_vendor_objects(mib) {
        return Why::VendorObjects;
    }
    if mib.has(o::PRINT_MIB) {
        return Why::PrinterMib;
    }
    if rows.lists_devices && rows.printers.is_empty() {
        return Why::ListsNoPrinter;
    }
    let speaks_of_one = matches!(system.nature, Nature::Printer | Nature::Card);
    let of_maker = agent_of.is_some() || speaks_of_one || enterprise(agent).and_then(makers::of_enterprise).is_some();
    let names_one = listed.iter().any(|described| described.nature == Nature::Printer);
    let listed = rows.printers.iter().any(|index| names_one || has_status(mib, *index));
    let bare = agent.is_empty() && mib.get(o::SYS_DESCR).is_none();
    if listed && (of_maker || names_one || bare) {
        return Why::HostResources;
    }
    if speaks_of_one {
        return Why::Description;
    }
    if agent_of.is_some() { Why::ObjectId } else { Why::NothingOfAPrinter }
}

/// What sysDescr says.
pub(super) fn system(mib: &Mib) -> Described {
    let text = mib.get(o::SYS_DESCR).and_then(octets).map(|octets| text::text(octets, None)).unwrap_or_default();
    describe(&text)
}

/// What hrDeviceDescr of a device says.
pub(super) fn description_of(mib: &Mib, index: u32) -> Option<Described> {
    Some(describe(&text::of_value(mib.cell(o::HR_DEVICE, o::HR_DEVICE_DESCR, index)?)?))
}

/// What hrDeviceDescr says of the printer: of its row, or where its tables number it otherwise, of the first row that
/// describes a printer.
pub(super) fn listed(mib: &Mib, device: Device) -> Option<Described> {
    let column = [o::HR_DEVICE, &[o::HR_DEVICE_DESCR]].concat();
    let of_others = || {
        let rows = mib.below(&column).take(MAX_LISTED).filter_map(|(_, value)| Some(describe(&text::of_value(value)?)));
        rows.into_iter().find(|described| described.nature == Nature::Printer && described.maker.is_some())
    };
    device.index.and_then(|index| description_of(mib, index)).or_else(of_others)
}

/// The number of the maker in sysObjectID; where that is missing, of the first of [`enterprises`].
pub(super) fn enterprise_of(mib: &Mib) -> Option<u32> {
    stated(mib).or_else(|| enterprises(mib).first().copied())
}

fn stated(mib: &Mib) -> Option<u32> {
    mib.get(o::SYS_OBJECT_ID).and_then(oid).and_then(enterprise)
}

/// The numbers of the makers whose own objects an agent may have: the one in sysObjectID; where none of our rows are of
/// that, those of the maker that the agent names; else of the objects that it showed.
pub(super) fn enterprises(mib: &Mib) -> Vec<u32> {
    let has_rows = |number: &u32| vendors::of_enterprise(*number).next().is_some();
    if let Some(number) = stated(mib).filter(has_rows) {
        return vec![number];
    }
    let device = Device { index: Rows::of(mib).device(mib) };
    let id = device_ids(mib, device.index).into_iter().find_map(|id| makers::of_text(&id.make?));
    let named = listed(mib, device).and_then(|listed| listed.maker).or(id).or(system(mib).maker);
    let numbers = |maker: &Maker| {
        let of_house = makers::MAKERS.iter().filter(|other| other.id == maker.id);
        of_house.flat_map(|maker| maker.enterprises).copied().filter(has_rows).take(2).collect::<Vec<_>>()
    };
    let named = named.map(numbers).unwrap_or_default();
    if !named.is_empty() {
        return named;
    }
    let shown = vendors::OBJECTS.iter().filter(|object| mib.instance(object.oid).is_some());
    shown.filter_map(|object| enterprise(object.oid)).find(has_rows).into_iter().collect()
}

/// Whether an agent shows nothing by which a printer could be told from anything else.
pub(super) fn says_nothing(mib: &Mib) -> bool {
    let system = mib.get(o::SYS_DESCR).and_then(text::of_value).is_some() || mib.get(o::SYS_OBJECT_ID).is_some();
    !system && !mib.has(&[o::HR_DEVICE, &[o::HR_DEVICE_TYPE]].concat()) && decide(mib).0 == Why::NothingOfAPrinter
}

/// Whether makers' own objects may change what an agent is taken for: a printer's whose maker they may name, or one that
/// shows no sign of what it is.
pub(super) fn is_open(mib: &Mib) -> bool {
    let why = decide(mib).0;
    let of_maker = || stated(mib).is_none_or(|number| makers::of_enterprise(number).is_some());
    why.is_printer() || why == Why::NothingOfAPrinter && of_maker()
}

fn enterprise(agent: &[u32]) -> Option<u32> {
    agent.strip_prefix(o::ENTERPRISES)?.first().copied()
}

/// What the tables list.
struct Rows {
    /// Devices of type hrDevicePrinter.
    printers: BTreeSet<u32>,
    /// hrDeviceTable is there.
    lists_devices: bool,
    /// Devices that the Printer-MIB's tables of parts and its general table speak of.
    of_printer_mib: BTreeSet<u32>,
    /// Devices of prtGeneralTable.
    general: BTreeSet<u32>,
    /// Markers, supplies or inputs are there.
    parts: bool,
    /// Tables of parts leave the device out.
    without_index: bool,
}

impl Rows {
    fn of(mib: &Mib) -> Self {
        let mut types = o::HR_DEVICE.to_vec();
        types.push(o::HR_DEVICE_TYPE);
        let printers = mib.below(&types).filter(|(_, value)| oid(value) == Some(o::HR_DEVICE_PRINTER));
        // The table of what printers have besides has a row for each of them, and for nothing else.
        let statuses = mib.below(o::HR_PRINTER).filter_map(|(rest, _)| rest.get(1));
        let printers = printers.filter_map(|(rest, _)| rest.first()).chain(statuses).copied().collect();
        let lists_devices = mib.has(&types);
        let general: BTreeSet<u32> = mib
            .below(o::PRT_GENERAL)
            .filter_map(|(rest, _)| if let [_, device] = rest { Some(*device) } else { None })
            .collect();
        let mut rows = Self {
            printers,
            lists_devices,
            of_printer_mib: general.clone(),
            general,
            parts: false,
            without_index: false,
        };
        for entry in [o::PRT_SUPPLIES, o::PRT_MARKER, o::PRT_INPUT] {
            for (rest, _) in mib.below(entry) {
                rows.parts = true;
                match rest {
                    [_, device, _] => drop(rows.of_printer_mib.insert(*device)),
                    [_, _] => rows.without_index = true,
                    _ => {}
                }
            }
        }
        rows
    }

    /// Of the printers in hrDeviceTable and the first indices of the Printer-MIB's tables the smallest in both, else the
    /// smallest of the Printer-MIB, else the first printer with a status, else the first printer.
    fn device(&self, mib: &Mib) -> Option<u32> {
        let both = self.of_printer_mib.iter().find(|device| self.printers.contains(device));
        if let Some(index) = both.or(self.of_printer_mib.first()) {
            return Some(*index);
        }
        if self.without_index {
            return self.printers.first().copied();
        }
        self.printers.iter().find(|index| has_status(mib, **index)).or(self.printers.first()).copied()
    }
}

fn has_status(mib: &Mib, index: u32) -> bool {
    [o::HR_PRINTER_STATUS, o::HR_PRINTER_ERRORS].iter().any(|column| mib.cell(o::HR_PRINTER, *column, index).is_some())
}

/// net-snmp numbers devices by kind: printers have 5 in the high half of 16 bits, or of 32.
fn is_queue(index: u32) -> bool {
    index >> 8 == 5 || index >> 16 == 5
}

/// Whether what an agent lists are the parts and print queues of a computer, by their names.
fn lists_computer(mib: &Mib) -> bool {
    let column = [o::HR_DEVICE, &[o::HR_DEVICE_DESCR]].concat();
    mib.below(&column).take(MAX_LISTED).filter_map(|(_, value)| text::of_value(value)).any(|text| {
        let text = text.to_lowercase();
        OF_COMPUTERS.iter().any(|name| text.contains(name))
    })
}

fn has_vendor_objects(mib: &Mib) -> bool {
    let told = |object: &vendors::Object| {
        matches!(object.what, What::Serial | What::Model) && mib.instance(object.oid).and_then(text::of_value).is_some()
    };
    vendors::OBJECTS.iter().any(told)
}

/// The maker whose printers have this object identifier.
fn printer_agent(agent: &[u32]) -> Option<&'static Maker> {
    let known = PRINTER_AGENTS.iter().any(|prefix| agent.starts_with(prefix));
    let exact = agent == JETDIRECT_OLD;
    enterprise(agent).filter(|_| known || exact).and_then(makers::of_enterprise)
}

/// Epson writes the product into the object identifier: `1248.1.1.2.1.3.LENGTH.characters`.
fn encoded_text(agent: &[u32]) -> Option<String> {
    let rest = agent.strip_prefix(EPSON_TEXT)?;
    let text: Option<String> =
        rest.iter().skip(1).take(64).map(|arc| char::from_u32(*arc).filter(|c| *c >= ' ')).collect();
    text.filter(|text| !text.is_empty())
}

/// The model in such an object identifier (`AL-CX11`); `EEPS2` and the like name a platform.
pub(super) fn encoded_model(mib: &Mib) -> Option<String> {
    let text = encoded_text(mib.get(o::SYS_OBJECT_ID).and_then(oid)?)?;
    (text.contains('-') && text.contains(|c: char| c.is_ascii_digit())).then_some(text)
}

/// Epson's `Network Interface Unit`: scanners and projectors have it, printers name their kind (`EEPS2`, `AL-CX11`).
fn is_network_interface(agent: &[u32]) -> bool {
    encoded_text(agent).is_some_and(|text| text.eq_ignore_ascii_case("Network Interface Unit"))
}

/// Rows of hrDeviceTable looked at for their names.
const MAX_LISTED: usize = 64;
/// In the names of what computers list and printers do not.
const OF_COMPUTERS: &[&str] = &[
    "microsoft print to pdf",
    "microsoft xps",
    "send to onenote",
    "onenote (desktop)",
    "adobe pdf",
    "pdfcreator",
    "root print queue",
    "sh file or directory",
    "genuineintel",
    "authenticamd",
    "intel64 family",
    "amd64 family",
    "x86 family",
    "wan miniport",
];
const EPSON_TEXT: Arcs = &[1, 3, 6, 1, 4, 1, 1248, 1, 1, 2, 1, 3];
const MICROSOFT: Arcs = &[1, 3, 6, 1, 4, 1, 311];
/// Early JetDirect cards have this and nothing behind.
const JETDIRECT_OLD: Arcs = &[1, 3, 6, 1, 4, 1, 11, 1];

/// Below these object identifiers are printers, their cards, and print servers.
#[rustfmt::skip]
const PRINTER_AGENTS: &[Arcs] = &[
    &[1, 3, 6, 1, 4, 1, 11, 2, 3, 9],
    &[1, 3, 6, 1, 4, 1, 128, 2, 1],
    &[1, 3, 6, 1, 4, 1, 236, 11, 5],
    &[1, 3, 6, 1, 4, 1, 253, 8, 62, 1],
    &[1, 3, 6, 1, 4, 1, 297, 1, 11, 93],
    &[1, 3, 6, 1, 4, 1, 367, 1, 1],
    &[1, 3, 6, 1, 4, 1, 641, 1],
    &[1, 3, 6, 1, 4, 1, 641, 2],
    &[1, 3, 6, 1, 4, 1, 674, 10898],
    &[1, 3, 6, 1, 4, 1, 683, 6],
    &[1, 3, 6, 1, 4, 1, 1129, 1, 2],
    &[1, 3, 6, 1, 4, 1, 1129, 2, 3],
    &[1, 3, 6, 1, 4, 1, 1248, 1, 1, 2, 1, 3],
    &[1, 3, 6, 1, 4, 1, 1347, 40],
    &[1, 3, 6, 1, 4, 1, 1347, 41],
    &[1, 3, 6, 1, 4, 1, 1602, 4],
    &[1, 3, 6, 1, 4, 1, 2001, 1, 1, 1, 1],
    &[1, 3, 6, 1, 4, 1, 2385, 3, 1],
    &[1, 3, 6, 1, 4, 1, 2435, 2, 3, 9],
    &[1, 3, 6, 1, 4, 1, 10642, 1],
    &[1, 3, 6, 1, 4, 1, 18334, 1, 1, 1],
    &[1, 3, 6, 1, 4, 1, 18334, 1, 2, 1],
    &[1, 3, 6, 1, 4, 1, 40093, 1],
];

/// Below these are computers and network devices. Printers with such an agent show the Printer-MIB.
#[rustfmt::skip]
const OTHER_AGENTS: &[(Arcs, &str)] = &[
    (&[1, 3, 6, 1, 4, 1, 2], "IBM: servers, switches, AIX"),
    (&[1, 3, 6, 1, 4, 1, 9], "Cisco"),
    (&[1, 3, 6, 1, 4, 1, 11, 2, 3, 7], "HP: ProCurve switches"),
    (&[1, 3, 6, 1, 4, 1, 11, 2, 3, 10], "HP: HP-UX"),
    (&[1, 3, 6, 1, 4, 1, 11, 2, 14], "HP: ICF network devices"),
    (&[1, 3, 6, 1, 4, 1, 42], "Sun"),
    (&[1, 3, 6, 1, 4, 1, 43], "3Com"),
    (&[1, 3, 6, 1, 4, 1, 63], "Apple"),
    (&[1, 3, 6, 1, 4, 1, 232], "Compaq, HPE: servers, iLO"),
    (&[1, 3, 6, 1, 4, 1, 311], "Microsoft"),
    (&[1, 3, 6, 1, 4, 1, 318], "APC"),
    (&[1, 3, 6, 1, 4, 1, 343], "Intel"),
    (&[1, 3, 6, 1, 4, 1, 534], "Eaton"),
    (&[1, 3, 6, 1, 4, 1, 674, 10892], "Dell: servers"),
    (&[1, 3, 6, 1, 4, 1, 674, 10895], "Dell: switches"),
    (&[1, 3, 6, 1, 4, 1, 674, 11000], "Dell: storage"),
    (&[1, 3, 6, 1, 4, 1, 789], "NetApp"),
    (&[1, 3, 6, 1, 4, 1, 890], "ZyXEL"),
    (&[1, 3, 6, 1, 4, 1, 1916], "Extreme"),
    (&[1, 3, 6, 1, 4, 1, 1991], "Brocade"),
    (&[1, 3, 6, 1, 4, 1, 2021], "ucd-snmp"),
    (&[1, 3, 6, 1, 4, 1, 2636], "Juniper"),
    (&[1, 3, 6, 1, 4, 1, 6527], "Nokia"),
    (&[1, 3, 6, 1, 4, 1, 6574], "Synology"),
    (&[1, 3, 6, 1, 4, 1, 6876], "VMware"),
    (&[1, 3, 6, 1, 4, 1, 8072], "net-snmp"),
    (&[1, 3, 6, 1, 4, 1, 12325], "FreeBSD"),
    (&[1, 3, 6, 1, 4, 1, 12356], "Fortinet"),
    (&[1, 3, 6, 1, 4, 1, 14823], "Aruba"),
    (&[1, 3, 6, 1, 4, 1, 14988], "MikroTik"),
    (&[1, 3, 6, 1, 4, 1, 24681], "QNAP"),
    (&[1, 3, 6, 1, 4, 1, 25461], "Palo Alto"),
    (&[1, 3, 6, 1, 4, 1, 25506], "H3C"),
    (&[1, 3, 6, 1, 4, 1, 41112], "Ubiquiti"),
    (&[1, 3, 6, 1, 4, 1, 47196], "HPE Aruba"),
    (&[1, 3, 6, 1, 4, 1, 55062], "QNAP"),
];
