//! prtAlertTable (RFC 3805): a row for each thing that is wrong now. prtAlertIndex itself is not accessible.

use super::{MIB_2, PRINTER_MIB};
use crate::simulate::view::{AlertView, View};
use async_snmp::{Oid, Value};
use bytes::Bytes;

/// prtAlertEntry below mib-2.
const ENTRY: [u32; 4] = [PRINTER_MIB, 18, 1, 1];
/// Columns: prtAlertSeverityLevel to prtAlertTime.
const COLUMNS: std::ops::RangeInclusive<u32> = 2..=9;
/// prtAlertLocation: unknown.
const UNKNOWN: i32 = -2;

/// The value of this instance.
pub(super) fn get<'a>(mut devices: impl Iterator<Item = (u32, &'a View)>, oid: &Oid) -> Option<Value> {
    match oid.arcs().strip_prefix(MIB_2.as_slice())?.strip_prefix(ENTRY.as_slice())? {
        [column, at, index] => {
            let (_, view) = devices.find(|(device, _)| device == at)?;
            view.alerts.iter().find(|alert| alert.index == *index).and_then(|alert| value(alert, *column))
        }
        _ => None,
    }
}

/// The first instance behind this identifier.
pub(super) fn next<'a>(devices: impl Iterator<Item = (u32, &'a View)>, oid: &Oid) -> Option<(Oid, Value)> {
    let mut rows: Vec<(u32, &AlertView)> =
        devices.flat_map(|(device, view)| view.alerts.iter().map(move |alert| (device, alert))).collect();
    rows.sort_by_key(|(device, alert)| (*device, alert.index));
    COLUMNS
        .flat_map(|column| rows.iter().map(move |(device, alert)| (column, *device, *alert)))
        .map(|(column, device, alert)| {
            (Oid::new(MIB_2.into_iter().chain(ENTRY).chain([column, device, alert.index])), column, alert)
        })
        .find(|(at, ..)| at > oid)
        .and_then(|(at, column, alert)| Some((at, value(alert, column)?)))
}

fn value(alert: &AlertView, column: u32) -> Option<Value> {
    Some(match column {
        2 => Value::Integer(alert.severity),
        3 => Value::Integer(alert.training),
        4 => Value::Integer(alert.group),
        5 => Value::Integer(alert.group_index),
        6 => Value::Integer(UNKNOWN),
        7 => Value::Integer(alert.code),
        8 => Value::OctetString(Bytes::copy_from_slice(alert.description.as_bytes())),
        9 => Value::TimeTicks(alert.time),
        _ => return None,
    })
}
