//! system, interfaces (RFC 1213), HOST-RESOURCES-MIB (RFC 2790) and ENTITY-MIB (RFC 6933).

use super::{Builder, MIB_2, Moment, integer, text};
use crate::simulate::snmp::kind::ErrorState;
use async_snmp::{Oid, Value};
use bytes::Bytes;

/// system, interfaces, host and entityMIB below mib-2.
const SYSTEM: u32 = 1;
const INTERFACES: u32 = 2;
const HOST: u32 = 25;
const ENTITY: u32 = 47;
/// hrDeviceIndex of the printer's network card: far from the printers.
const CARD: u32 = 100;

pub(super) fn lay_out(b: &mut Builder<'_>) {
    system(b);
    interfaces(b);
    host(b);
    entity(b);
}

/// hrDeviceType: hrDeviceTypes.n.
fn device_type(n: u32) -> Value {
    Value::ObjectIdentifier(Oid::new(MIB_2.into_iter().chain([HOST, 3, 1, n])))
}

/// hrDeviceEntry.
fn hr_device(column: u32) -> [u32; 5] {
    [HOST, 3, 2, 1, column]
}

fn system(b: &mut Builder<'_>) {
    let kind = b.moment.kind;
    let object_id = Oid::new([1, 3, 6, 1, 4, 1, kind.enterprise].into_iter().chain(kind.product.iter().copied()));
    b.read(&[SYSTEM, 1], &[0], 0, |m, _| text(&describe(m)));
    b.fixed(&[SYSTEM, 2], &[0], Value::ObjectIdentifier(object_id));
    b.read(&[SYSTEM, 3], &[0], 0, |m, _| Value::TimeTicks(m.view.up_time_ticks));
    b.fixed(&[SYSTEM, 4], &[0], text(""));
    b.read(&[SYSTEM, 5], &[0], 0, |m, _| text(m.view.host.split('.').next().unwrap_or_default()));
    b.read(&[SYSTEM, 6], &[0], 0, |m, _| text(&m.view.location));
    b.fixed(&[SYSTEM, 7], &[0], Value::Integer(72));
}

/// sysDescr: of the card where the kind has one of its own, else of the printer.
fn describe(m: &Moment) -> String {
    match m.kind.card {
        Some(card) => format!("{card} {},MID {:.8}", m.view.firmware, m.view.serial),
        None => format!("{} {}; firmware {}; S/N {}", m.view.make, m.view.model, m.view.firmware, m.view.serial),
    }
}

fn interfaces(b: &mut Builder<'_>) {
    b.fixed(&[INTERFACES, 1], &[0], Value::Integer(2));
    let if_entry = |column| [INTERFACES, 2, 1, column];
    for (index, kind, mtu, speed, name) in [(1, 6, 1500, 100_000_000, "eth0"), (2, 24, 65_536, 10_000_000, "lo")] {
        b.fixed(&if_entry(1), &[index], integer(index.into()));
        b.fixed(&if_entry(2), &[index], text(name));
        b.fixed(&if_entry(3), &[index], Value::Integer(kind));
        b.fixed(&if_entry(4), &[index], Value::Integer(mtu));
        b.fixed(&if_entry(5), &[index], Value::Gauge32(speed));
        b.fixed(&if_entry(7), &[index], Value::Integer(1));
        b.fixed(&if_entry(8), &[index], Value::Integer(1));
        b.fixed(&if_entry(9), &[index], Value::TimeTicks(0));
    }
    b.read(&if_entry(6), &[1], 0, |m, _| Value::OctetString(Bytes::copy_from_slice(&m.view.mac)));
    b.fixed(&if_entry(6), &[2], text(""));
}

fn host(b: &mut Builder<'_>) {
    let device = b.moment.kind.device;
    b.read(&[HOST, 1, 1], &[0], 0, |m, _| Value::TimeTicks(m.view.up_time_ticks));
    b.fixed(&[HOST, 2, 2], &[0], Value::Integer(262_144));
    // Devices before the printer, on kinds whose printer is not the first: the processor and others.
    for index in 1..device {
        b.fixed(&hr_device(1), &[index], integer(index.into()));
        b.fixed(&hr_device(2), &[index], device_type(if index == 1 { 3 } else { 1 }));
        b.fixed(&hr_device(3), &[index], text(if index == 1 { "Processor" } else { "" }));
        b.fixed(&hr_device(4), &[index], Value::ObjectIdentifier(Oid::new([0, 0])));
        b.fixed(&hr_device(5), &[index], Value::Integer(2));
        b.fixed(&hr_device(6), &[index], Value::Counter32(0));
    }
    b.fixed(&hr_device(1), &[CARD], integer(CARD.into()));
    b.fixed(&hr_device(2), &[CARD], device_type(4));
    b.fixed(&hr_device(3), &[CARD], text("Ethernet 10/100"));
    b.fixed(&hr_device(4), &[CARD], Value::ObjectIdentifier(Oid::new([0, 0])));
    b.fixed(&hr_device(5), &[CARD], Value::Integer(2));
    b.fixed(&hr_device(6), &[CARD], Value::Counter32(0));
    b.fixed(&[HOST, 3, 4, 1, 1], &[CARD], Value::Integer(1));
}

/// The rows of one printer.
pub(super) fn printer(b: &mut Builder<'_>) {
    let device = b.device;
    b.fixed(&hr_device(1), &[device], integer(device.into()));
    b.fixed(&hr_device(2), &[device], device_type(5));
    b.read(&hr_device(3), &[device], 0, |m, _| text(&format!("{} {}", m.view.make, m.view.model)));
    b.fixed(&hr_device(4), &[device], Value::ObjectIdentifier(Oid::new([0, 0])));
    b.read(&hr_device(5), &[device], 0, |m, _| Value::Integer(device_status(m)));
    b.read(&hr_device(6), &[device], 0, |m, _| Value::Counter32(m.view.critical_events));
    b.read(&[HOST, 3, 5, 1, 1], &[device], 0, |m, _| Value::Integer(printer_status(m)));
    b.read(&[HOST, 3, 5, 1, 2], &[device], 0, |m, _| Value::OctetString(error_state(m).into()));
}

/// hrDeviceStatus, with [`printer_status`] as RFC 3805 §2.2.13.2 combines them.
fn device_status(m: &Moment) -> i32 {
    if m.view.state == 5 || m.view.alerts.iter().any(|alert| alert.severity == 3) {
        5
    } else if m.view.alerts.is_empty() {
        2
    } else {
        3
    }
}

/// hrPrinterStatus: other 1, idle 3, printing 4.
fn printer_status(m: &Moment) -> i32 {
    match m.view.state {
        4 if device_status(m) != 5 => 4,
        3 if device_status(m) != 5 && !m.view.asleep => 3,
        _ => 1,
    }
}

/// Keywords of printer-state-reasons (RFC 8011 §5.4.12, PWG 5100.9) and the bits of hrPrinterDetectedErrorState, the
/// first octet in the higher half.
const ERROR_BITS: &[(&str, u16)] = &[
    ("media-low", 0x8000),
    ("media-empty", 0x4000),
    ("media-needed", 0x4000),
    ("toner-low", 0x2000),
    ("marker-supply-low", 0x2000),
    ("toner-empty", 0x1000),
    ("marker-supply-empty", 0x1000),
    ("door-open", 0x0800),
    ("cover-open", 0x0800),
    ("interlock-open", 0x0800),
    ("media-jam", 0x0400),
    ("offline", 0x0200),
    ("shutdown", 0x0200),
    ("paused", 0x0200),
    ("service", 0x0100),
    ("fuser", 0x0100),
    ("opc-life-over", 0x0100),
    ("marker-waste-full", 0x0100),
    ("waste-toner-full", 0x0100),
    ("stapler-empty", 0x0100),
    ("input-tray-missing", 0x0080),
    ("output-tray-missing", 0x0040),
    ("marker-supply-missing", 0x0020),
    ("toner-cartridge-missing", 0x0020),
    ("output-area-almost-full", 0x0010),
    ("output-area-full", 0x0008),
    ("input-media-supply-empty", 0x0004),
    ("opc-near-eol", 0x0002),
    ("developer-low", 0x0002),
];

/// hrPrinterDetectedErrorState, bit 0 being the highest of the first octet.
fn error_state(m: &Moment) -> Vec<u8> {
    let mut bits = 0;
    for reason in &m.view.reasons {
        bits |= ERROR_BITS.iter().filter(|(word, _)| reason.starts_with(word)).fold(0, |bits, (_, bit)| bits | bit);
    }
    // inputTrayEmpty: a row says of one tray what media-empty says of all.
    if m.view.alerts.iter().any(|alert| alert.code == 808) {
        bits |= 0x0004;
    }
    let octets = u16::to_be_bytes(bits);
    match (m.kind.error_state, octets) {
        (ErrorState::Needed, [0, 0]) => Vec::new(),
        (ErrorState::One, [first, _]) | (ErrorState::Needed, [first, 0]) => vec![first],
        (ErrorState::Two | ErrorState::Needed, both) => both.to_vec(),
    }
}

fn entity(b: &mut Builder<'_>) {
    let physical = |column| [ENTITY, 1, 1, 1, 1, column];
    b.read(&physical(2), &[1], 0, |m, _| text(&format!("{} {}", m.view.make, m.view.model)));
    b.fixed(&physical(3), &[1], Value::ObjectIdentifier(Oid::new([0, 0])));
    b.fixed(&physical(4), &[1], Value::Integer(0));
    b.fixed(&physical(5), &[1], Value::Integer(3));
    b.fixed(&physical(6), &[1], Value::Integer(-1));
    b.fixed(&physical(7), &[1], text("Printer"));
    b.read(&physical(9), &[1], 0, |m, _| text(&m.view.firmware));
    b.read(&physical(11), &[1], 0, |m, _| text(&m.view.serial));
    b.read(&physical(12), &[1], 0, |m, _| text(m.view.make));
    b.read(&physical(13), &[1], 0, |m, _| text(m.view.model));
    b.fixed(&physical(16), &[1], Value::Integer(2));
}
