//! The variables of one poll, sorted, with limits; rows and cells of tables in them.

use crate::snmp::objects::Arcs;
use async_snmp::Value;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Variables kept of one agent.
pub const MAX_VARIABLES: usize = 8_192;
/// Octets of one value kept.
const MAX_OCTETS: usize = 4_096;
/// Numbers in an object identifier kept (RFC 2578 §3.5 allows 128).
const MAX_ARCS: usize = 128;
/// Rows of one table looked at.
const MAX_ROWS: usize = 64;

/// What an agent said, by object identifier. Exceptions (`noSuchObject` and the like) and NULL are not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mib {
    variables: BTreeMap<Vec<u32>, Value>,
}

impl Mib {
    /// Takes a variable; false when it is not kept.
    pub fn insert(&mut self, oid: &[u32], value: Value) -> bool {
        if value.is_exception() || value == Value::Null || oid.len() > MAX_ARCS {
            return false;
        }
        let value = match value {
            Value::OctetString(octets) if octets.len() > MAX_OCTETS => Value::OctetString(octets.slice(..MAX_OCTETS)),
            value => value,
        };
        if self.variables.len() >= MAX_VARIABLES && !self.variables.contains_key(oid) {
            return false;
        }
        self.variables.insert(oid.to_vec(), value);
        true
    }

    /// Takes what `other` says and this does not.
    pub fn fill_from(&mut self, other: Self) {
        for (oid, value) in other.variables {
            if self.variables.len() < MAX_VARIABLES {
                self.variables.entry(oid).or_insert(value);
            }
        }
    }

    /// How many variables it holds.
    pub fn len(&self) -> usize {
        self.variables.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// Whether anything is below an object identifier.
    pub fn has(&self, prefix: &[u32]) -> bool {
        self.below(prefix).next().is_some()
    }

    /// One variable.
    pub(super) fn get(&self, oid: &[u32]) -> Option<&Value> {
        self.variables.get(oid)
    }

    /// One variable; where the agent numbers its rows otherwise, the first of that column.
    pub(super) fn instance<'a>(&'a self, oid: &'a [u32]) -> Option<&'a Value> {
        let column = oid.split_last().map(|(_, column)| column).unwrap_or_default();
        let first = || self.below(column).find(|(rest, _)| rest.len() == 1).map(|(_, value)| value);
        self.get(oid).or_else(first)
    }

    /// Everything below an object identifier: the rest of each identifier, and the value.
    pub(super) fn below<'a>(&'a self, prefix: &'a [u32]) -> impl Iterator<Item = (&'a [u32], &'a Value)> {
        let from = (Bound::Excluded(prefix), Bound::Unbounded);
        self.variables.range::<[u32], _>(from).map_while(move |(oid, value)| Some((oid.strip_prefix(prefix)?, value)))
    }

    /// The rows of a table that belong to a device: those indexed by it and one more number, and those of agents that
    /// leave it out. In the order of their indices.
    pub(super) fn rows(&self, entry: Arcs, device: Option<u32>) -> Vec<Row<'_>> {
        let mut rows: BTreeMap<u32, BTreeMap<u32, &Value>> = BTreeMap::new();
        for (rest, value) in self.below(entry) {
            let Some((column, index)) = rest.split_first() else { continue };
            let row = match index {
                [row] => *row,
                [of, row] if device.is_none_or(|device| device == *of) => *row,
                _ => continue,
            };
            if rows.len() < MAX_ROWS || rows.contains_key(&row) {
                rows.entry(row).or_default().entry(*column).or_insert(value);
            }
        }
        rows.into_iter().map(|(index, cells)| Row { index, cells }).collect()
    }

    /// A cell of a table that has one row for each device.
    pub(super) fn cell(&self, entry: Arcs, column: u32, row: u32) -> Option<&Value> {
        let mut oid = entry.to_vec();
        oid.extend([column, row]);
        self.get(&oid)
    }
}

/// One row of a table.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// Its last index.
    pub(super) index: u32,
    cells: BTreeMap<u32, &'a Value>,
}

impl<'a> Row<'a> {
    pub(super) fn int(&self, column: u32) -> Option<i64> {
        int(self.cells.get(&column)?)
    }

    pub(super) fn octets(&self, column: u32) -> Option<&'a [u8]> {
        octets(self.cells.get(&column)?)
    }
}

/// A number of whatever type; agents mix them up.
pub(super) fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(i64::from(*n)),
        Value::Counter32(n) | Value::Gauge32(n) | Value::UInteger32(n) | Value::TimeTicks(n) => Some(i64::from(*n)),
        Value::Counter64(n) => i64::try_from(*n).ok(),
        _ => None,
    }
}

pub(super) fn octets(value: &Value) -> Option<&[u8]> {
    match value {
        Value::OctetString(octets) | Value::Opaque(octets) | Value::Nsap(octets) => Some(octets),
        _ => None,
    }
}

pub(super) fn oid(value: &Value) -> Option<&[u32]> {
    value.as_oid().map(async_snmp::Oid::arcs)
}
