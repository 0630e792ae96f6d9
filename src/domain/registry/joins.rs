//! Why what belongs to a printer belongs to it, and which printers may be one.

use super::index::Mark;
use super::quarantine::{is_other_queue, shares_place};
use super::{Owner, Registry};
use crate::domain::identity::{Facts, Key, Reason};
use crate::domain::ids::PrinterId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// Joins kept for one printer; beyond that the oldest but the first goes.
pub const MAX_JOINS: usize = 32;

/// Possible duplicates told at a time.
pub const MAX_DUPLICATES: usize = 500;

/// Printers with one value of which the pairs are told.
const MAX_ALIKE: usize = 12;

/// Why one sighting or alias belongs to a printer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// What joined: the key of a sighting, or the id of a printer that was merged into it.
    pub what: String,
    /// By which evidence.
    pub because: Because,
    /// Its value: the serial number, the UUID, the address. Empty where there is none.
    pub value: String,
    /// When.
    pub at: Timestamp,
}

/// By which evidence something joined a printer, strong to weak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// The first that was seen of it.
    First,
    /// An administrator pinned it.
    Pinned,
    /// An administrator merged two ids.
    MergedByRule,
    /// The serial number, and the maker.
    Serial,
    /// The UUID.
    Uuid,
    /// The address of a network card.
    Mac,
    /// The host and the name of the service are the same, and nothing stronger speaks against it.
    Host,
    /// The name and model are the same, and nothing stronger speaks against it.
    Name,
    /// It is the one printer at this address.
    Address,
}

impl From<Reason> for Because {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Serial => Self::Serial,
            Reason::Uuid => Self::Uuid,
            Reason::Mac => Self::Mac,
            Reason::Model => Self::Name,
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first seen",
            Self::Pinned => "pinned",
            Self::MergedByRule => "merged by the configuration",
            Self::Serial => "serial number",
            Self::Uuid => "UUID",
            Self::Mac => "MAC address",
            Self::Host => "host",
            Self::Name => "name and model",
            Self::Address => "address",
        })
    }
}

/// Two printers that may be one: too little to merge them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// The one with the smaller id.
    pub a: PrinterId,
    /// The other.
    pub b: PrinterId,
    /// What they have in common.
    pub because: Doubt,
    /// Its value.
    pub value: String,
}

/// What two printers have in common that does not suffice to merge them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// One serial number and maker, but other strong evidence is in conflict.
    Serial,
    /// One UUID, at different places at once.
    Uuid,
    /// One address of a network card, at different places at once.
    Mac,
    /// One host.
    Host,
    /// One name and model.
    NameAndModel,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serial => "same serial number, but other evidence is in conflict",
            Self::Uuid => "same UUID at different places",
            Self::Mac => "same MAC address at different places",
            Self::Host => "same host",
            Self::NameAndModel => "same name and model",
        })
    }
}

impl Registry {
    /// Why each sighting and alias belongs to a printer, oldest first; empty for an id that is not known.
    pub fn why(&self, id: &PrinterId) -> Vec<Join> {
        self.get(id).map(|printer| printer.joins.clone()).unwrap_or_default()
    }

    /// Printers that may be one, and why they are kept apart; not those that are certainly two: by ids, at most [`MAX_DUPLICATES`].
    pub fn possible_duplicates(&self) -> Vec<Duplicate> {
        let mut found: BTreeMap<(&PrinterId, &PrinterId), (Doubt, String)> = BTreeMap::new();
        for (mark, owners) in self.index.shared() {
            let Some((doubt, value)) = doubt(mark) else { continue };
            let ids = owners.iter().filter_map(|owner| match owner {
                Owner::Printer(id) => Some(id),
                Owner::Quarantined(_) => None,
            });
            // Of a whole fleet with one value, enough to see it.
            let ids: Vec<&PrinterId> = ids.take(MAX_ALIKE).collect();
            for (n, a) in ids.iter().enumerate() {
                for b in ids.iter().skip(n + 1) {
                    let pair = if a < b { (*a, *b) } else { (*b, *a) };
                    let known = found.get(&pair).is_some_and(|(known, old)| (*known, old) <= (doubt, &value));
                    if !known && !self.lie_beside(pair.0, pair.1) && !self.share_by_chance(pair, doubt) {
                        found.insert(pair, (doubt, value.clone()));
                    }
                }
            }
        }
        // A printer without any key that announces another one's.
        for printer in self.printers.values().filter(|p| !p.facts().has_keys()) {
            for key in printer.endpoints.iter().flat_map(|e| Facts::of(&e.announced).keys()) {
                let Some((doubt, value)) = doubt(&Mark::Key(key.clone())) else { continue };
                for other in self.holders(&key).take(MAX_ALIKE) {
                    let pair = (&printer.id).min(&other.id);
                    found.entry((pair, (&printer.id).max(&other.id))).or_insert((doubt, value.clone()));
                }
            }
        }
        let duplicate = |((a, b), (because, value)): ((&PrinterId, &PrinterId), _)| Duplicate {
            a: a.clone(),
            b: b.clone(),
            because,
            value,
        };
        found.into_iter().map(duplicate).take(MAX_DUPLICATES).collect()
    }

    /// Whether two printers have each a serial number of its own, or else a UUID and a network card: what they share is that
    /// of a kind then, or cloned over a fleet, and nobody has to look.
    fn share_by_chance(&self, (a, b): (&PrinterId, &PrinterId), doubt: Doubt) -> bool {
        let (Some(a), Some(b)) = (self.printers.get(a), self.printers.get(b)) else { return true };
        let (a, b) = (a.facts(), b.facts());
        let differ = |a: &BTreeSet<String>, b: &BTreeSet<String>| !a.is_empty() && !b.is_empty() && a.is_disjoint(b);
        let numbers = |f: &Facts| f.serials.iter().map(|(_, serial)| serial.clone()).collect();
        doubt != Doubt::Serial
            && (differ(&numbers(&a), &numbers(&b)) || (differ(&a.uuids, &b.uuids) && differ(&a.macs, &b.macs)))
    }

    /// Whether two printers are queues or ports of one print server.
    fn lie_beside(&self, a: &PrinterId, b: &PrinterId) -> bool {
        let (Some(a), Some(b)) = (self.printers.get(a), self.printers.get(b)) else { return true };
        a.endpoints.iter().any(|x| {
            let mut others = b.endpoints.iter();
            others.any(|y| shares_place(&x.endpoint, &y.endpoint) && is_other_queue(&x.endpoint, &y.endpoint))
        })
    }
}

/// What it means that two printers have this in common; nothing for an address, which changes hands.
fn doubt(mark: &Mark) -> Option<(Doubt, String)> {
    match mark {
        Mark::Key(key) => {
            let doubt = match key {
                Key::Serial(_) => Doubt::Serial,
                Key::Uuid(_) => Doubt::Uuid,
                Key::Mac(_) => Doubt::Mac,
                Key::Host(_) | Key::Address(_) => return None,
            };
            Some((doubt, key.to_string()))
        }
        Mark::Host(host) if host.parse::<IpAddr>().is_err() => Some((Doubt::Host, host.clone())),
        Mark::Name(name) => Some((Doubt::NameAndModel, name.clone())),
        Mark::Serial(_) | Mark::Host(_) | Mark::Address(_) => None,
    }
}
