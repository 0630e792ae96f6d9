//! Devices that an administrator ignores or retired: they stay in quarantine, or are turned away at once where what they
//! announce is ignored, and are not asked. Here they are told.

use super::quarantine::instance;
use super::{Evidence, PrinterId, Registry};
use crate::domain::identity::{self, Fallback};
use crate::domain::sighting::Sighting;
use std::net::IpAddr;

/// Devices turned away that are remembered.
const MAX_TURNED_AWAY: usize = 500;

/// A device that gets no id, by an administrator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The id that it would have.
    pub id: PrinterId,
    /// As it announced itself.
    pub name: String,
    /// Whether its id is among the retired ones; otherwise it is ignored.
    pub retired: bool,
    /// What it announced or answered.
    pub evidence: Evidence,
    /// Where it was seen.
    pub addresses: Vec<IpAddr>,
}

impl Registry {
    /// How many devices are ignored or retired.
    pub fn parked_count(&self) -> usize {
        self.quarantine.values().filter(|q| q.parked).count() + self.turned_away.len()
    }

    /// Devices that are ignored or retired, at most `max`.
    pub fn parked(&self, max: usize) -> Vec<Parked> {
        let parked = self.quarantine.values().filter(|q| q.parked).take(max);
        let of = parked.filter_map(|q| {
            let evidence = q.evidence();
            let ids = identity::candidates(&evidence, &q.fallback());
            let retired = ids.iter().find(|id| self.rules.retired.contains(id));
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in q.endpoints.iter().flat_map(|e| &e.endpoint.addresses) {
                if !addresses.contains(address) {
                    addresses.push(*address);
                }
            }
            Some(Parked {
                retired: retired.is_some(),
                id: retired.or(ids.first())?.clone(),
                name: q.name.clone(),
                evidence,
                addresses,
            })
        });
        of.chain(self.turned_away.values().cloned()).take(max).collect()
    }

    /// Remembers what is ignored by what it announces: one entry for all that is seen at one address.
    pub(super) fn turn_away(&mut self, s: &Sighting) {
        let name = instance(&s.key);
        let place = s.endpoint.addresses.first().map_or_else(|| name.to_owned(), ToString::to_string);
        if self.turned_away.len() >= MAX_TURNED_AWAY || self.turned_away.contains_key(&place) {
            return;
        }
        let fallback = Fallback { host: Some(&s.host), path: Some(&s.endpoint.path), port: None, name: Some(&s.name) };
        let one = Parked {
            id: identity::mint(&s.evidence, &fallback),
            name: s.name.clone(),
            retired: false,
            evidence: s.evidence.clone(),
            addresses: s.endpoint.addresses.clone(),
        };
        self.turned_away.insert(place, one);
    }
}
