//! What was answered at one place, as far as it was taken for the printer's own: so that what a printer is known by can be
//! told apart again when one of its places turns out to be another device's.
//!
//! Kept with the endpoint and stored with it: the keys, each with the protocol and the time, and the last maker and model.
//! What was announced there stands beside it ([`KnownEndpoint::announced`]). Rows of older versions have none of it.

use super::printer::KnownEndpoint;
use super::quarantine::shares_address;
use crate::domain::identity::{self, Facts, Key};
use crate::domain::sighting::Evidence;
use crate::domain::state::Source;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Keys kept for one place; beyond that the longest unheard goes.
pub const MAX_TOLD: usize = 16;

/// What was answered at one place. See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Maker, as last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make: Option<String>,
    /// Model, as last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Keys, at most [`MAX_TOLD`].
    pub keys: Vec<ToldKey>,
}

/// A key that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldKey {
    /// Which.
    #[serde(flatten)]
    pub key: Key,
    /// Over which protocol; nothing where IPP and SNMP were asked together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Source>,
    /// When it was last answered.
    pub at: Timestamp,
}

impl KnownEndpoint {
    /// Notes an answer. True when there is something new in it.
    pub(super) fn told(&mut self, evidence: &Evidence, over: Option<Source>, now: Timestamp) -> bool {
        let canonical = identity::canonical(evidence);
        let keys = Facts::of(evidence).keys();
        if self.told.is_none() && keys.is_empty() && canonical.make.is_none() && canonical.model.is_none() {
            return false;
        }
        let told = self.told.get_or_insert_default();
        let mut changed = false;
        let words =
            [(canonical.make, &evidence.make, &mut told.make), (canonical.model, &evidence.model, &mut told.model)];
        for (usable, new, old) in words {
            if usable.is_some() && new != old {
                old.clone_from(new);
                changed = true;
            }
        }
        for key in keys {
            changed |= !told.keys.iter().any(|known| known.key == key);
            let alike = |known: &&mut ToldKey| known.key == key && (known.over == over || known.over.is_none());
            if let Some(known) = told.keys.iter_mut().find(alike) {
                (known.over, known.at) = (over.or(known.over), known.at.max(now));
                continue;
            }
            told.keys.push(ToldKey { key, over, at: now });
            if told.keys.len() > MAX_TOLD
                && let Some(oldest) = (0..told.keys.len()).min_by_key(|n| told.keys.get(*n).map(|known| known.at))
            {
                told.keys.remove(oldest);
            }
        }
        changed
    }

    /// The keys that were answered here.
    pub(super) fn told_keys(&self) -> impl Iterator<Item = &Key> {
        self.told.iter().flat_map(|told| &told.keys).map(|known| &known.key)
    }

    /// The keys that were answered or announced here, and the host and addresses.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let place = Key::host(&self.endpoint.host).into_iter();
        let place = place.chain(self.endpoint.addresses.iter().copied().map(Key::Address));
        Facts::of(&self.announced).keys().into_iter().chain(self.told_keys().cloned()).chain(place)
    }

    /// The keys of the last answer over IPP here, if that was then.
    fn last_keys(&self) -> impl Iterator<Item = &Key> {
        let last = |known: &&ToldKey| known.over != Some(Source::Snmp) && self.answered == Some(known.at);
        self.told.iter().flat_map(|told| &told.keys).filter(last).map(|known| &known.key)
    }

    /// Everything that was said here of who it is: an answer outranks what was announced.
    pub(super) fn word(&self) -> Evidence {
        let mut said = Evidence::default();
        if let Some(told) = &self.told {
            said = Evidence { make: told.make.clone(), model: told.model.clone(), ..said };
            let mut keys: Vec<&ToldKey> = told.keys.iter().collect();
            keys.sort_by_key(|known| known.at);
            for known in keys {
                match &known.key {
                    Key::Serial(text) => {
                        if let Some((make, serial)) = text.split_once(' ') {
                            said.make.get_or_insert_with(|| make.to_owned());
                            said.serial = Some(serial.to_owned());
                        }
                    }
                    Key::Uuid(uuid) => said.uuid = Some(uuid.clone()),
                    Key::Mac(mac) => said.macs.push(mac.clone()),
                    Key::Host(_) | Key::Address(_) => {}
                }
            }
            said.macs = crate::domain::sighting::in_order(said.macs);
        }
        said
    }
}

/// Whether an answer over IPP at a place and what an agent says there at the same time show together every key that was
/// answered there before. If not, both may come from another device that has the address now, and a cloned UUID.
pub(super) fn show_all(endpoints: &[KnownEndpoint], place: &KnownEndpoint, over_ipp: &Facts, agent: &Facts) -> bool {
    let shown: BTreeSet<Key> = over_ipp.keys().into_iter().chain(agent.keys()).collect();
    let here = endpoints.iter().filter(|e| shares_address(&e.endpoint, &place.endpoint));
    here.flat_map(KnownEndpoint::told_keys).all(|key| shown.contains(key))
}

/// The keys of the last answer over IPP at the address of a place.
pub(super) fn last_shown(endpoints: &[KnownEndpoint], place: &KnownEndpoint) -> Facts {
    let here = endpoints.iter().filter(|e| e.endpoint.kind.is_ipp() && shares_address(&e.endpoint, &place.endpoint));
    let last = here.max_by_key(|e| e.answered);
    let mut facts = Facts::default();
    last.into_iter().flat_map(KnownEndpoint::last_keys).for_each(|key| facts.add(key));
    facts
}
