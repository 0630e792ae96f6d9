//! What vendors keep below their enterprise, for the kinds that have it.

use super::{Builder, Moment, Read, counter, text};
use crate::simulate::snmp::kind::Private;
use async_snmp::Value;

pub(super) fn lay_out(b: &mut Builder<'_>) {
    for (object, private) in b.moment.kind.vendor {
        b.private(object, 0, read(*private));
    }
}

fn read(private: Private) -> Read {
    match private {
        Private::Serial => |m, _| text(&m.view.serial),
        Private::Firmware => |m, _| text(&m.view.firmware),
        Private::Model => |m, _| text(m.view.model),
        Private::DeviceId => |m, _| text(&m.device_id),
        Private::Total => |m, _| counter(m.view.life_count),
        Private::Display => |m, _| text(m.view.console.first().map_or("", String::as_str)),
        Private::Name => |m, _| text(&m.view.name),
        Private::BrotherMaintenance => |m, _| Value::OctetString(maintenance(m).into()),
        Private::BrotherCounters => |m, _| Value::OctetString(counters(m).into()),
    }
}

/// Records of code, 1, 4 and a number of four octets, ended by 0xff: what is left of a supply in hundredths of a percent.
fn maintenance(m: &Moment) -> Vec<u8> {
    let code = |kind: &str, colorant: &str| match (kind, colorant) {
        ("opc", _) => Some(0x41),
        ("toner", "black") => Some(0x6f),
        ("toner", "cyan") => Some(0x70),
        ("toner", "magenta") => Some(0x71),
        ("toner", "yellow") => Some(0x72),
        _ => None,
    };
    let records = m.view.supplies.iter().filter_map(|supply| {
        let percent = u32::try_from(supply.percent).ok()?;
        Some((code(supply.spec.kind, supply.spec.colorant)?, percent.saturating_mul(100)))
    });
    block(records)
}

/// The same form with counters: 0x00 all, 0x01 black and white, 0x02 colour.
fn counters(m: &Moment) -> Vec<u8> {
    let total = u32::try_from(m.view.life_count).unwrap_or(u32::MAX);
    block([(0x00, total), (0x01, total), (0x02, 0)].into_iter())
}

fn block(records: impl Iterator<Item = (u8, u32)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (code, number) in records {
        block.extend_from_slice(&[code, 1, 4]);
        block.extend_from_slice(&number.to_be_bytes());
    }
    block.push(0xff);
    block
}
