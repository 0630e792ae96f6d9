//! What an administrator parts from a printer: the places that leave it take along what was said there and nowhere else,
//! and the device there gets its old id back, if it had one before it was merged.
//!
//! Which places leave: those that a split's selector names by host, name, address, id, or by a key that was announced or
//! answered there. Of a split from an id that was merged into another printer, that id's places leave that are not named.
//! Where both ask, a split outranks a merge. An id of the configuration's pins and merges is never absorbed by another.

use super::printer::{KnownEndpoint, Printer};
use super::quarantine::{Quarantined, instance, shares_place};
use super::rules::{Selector, Split};
use super::ruling::{matches_endpoint, matches_facts, matches_key, matches_printer};
use super::{Effect, Owner, Registry};
use crate::domain::identity::{self, Facts, Verdict, compare};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::Evidence;
use jiff::Timestamp;

impl Registry {
    /// Applies one split to the rows, at a start.
    pub(super) fn part_by_rule(&mut self, split: &Split, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(printer) = self.get(&split.printer) else { return };
        let id = printer.id.clone();
        let is_meant = |e: &&KnownEndpoint| is_split_place(&split.what, e);
        let merged = |e: &&KnownEndpoint| id != split.printer && e.of.as_ref() == Some(&split.printer);
        let others = printer.endpoints.iter().filter(merged).filter(|e| !is_meant(e));
        let mut leaving: Vec<KnownEndpoint> = others.cloned().collect();
        if leaving.is_empty() {
            leaving = printer.endpoints.iter().filter(is_meant).cloned().collect();
        }
        let Some(printer) = self.printers.get_mut(&id) else { return };
        let before = printer.known.len();
        printer.leave(&leaving);
        if id == split.printer {
            printer.known.retain(|alias| !matches_key(&split.what, &alias.key));
            forget_evidence(&split.what, printer);
        }
        if leaving.is_empty() && printer.known.len() == before {
            return;
        }
        leaving.iter().for_each(|e| drop(self.owners.remove(&e.key)));
        self.index_printer(&id);
        effects.push(Effect::Changed(id));
        for endpoints in devices(leaving) {
            let n = self.next;
            self.next += 1;
            endpoints.iter().for_each(|e| drop(self.owners.insert(e.key.clone(), Owner::Quarantined(n))));
            self.quarantine.insert(n, parted(endpoints));
            self.index_waiting(n);
            self.conclude(n, now, effects);
        }
    }

    /// The id that a device had before it was merged into a printer of which an administrator says that it is not.
    pub(super) fn own_old_id(&self, q: &Quarantined, candidates: &[PrinterId]) -> Option<PrinterId> {
        let merged = q.endpoints.iter().filter_map(|e| e.of.as_ref());
        let is_own = |id: &&PrinterId| {
            let survivor = self.aliases.get(*id).filter(|_| !self.printers.contains_key(*id));
            survivor.is_some_and(|survivor| self.is_split_device(survivor, q))
        };
        merged.chain(candidates).find(is_own).cloned()
    }

    /// Takes an id back from the printer that it led to.
    pub(super) fn take_back(&mut self, id: &PrinterId, effects: &mut Vec<Effect>) {
        let Some(survivor) = self.aliases.remove(id) else { return };
        if let Some(printer) = self.printers.get_mut(&survivor) {
            printer.aliases.retain(|alias| alias != id);
            printer.joins.retain(|join| join.what != id.as_str());
            effects.push(Effect::Changed(survivor));
        }
    }

    /// Whether an administrator says that who answered so is not this printer.
    pub(super) fn is_split_answer(&self, id: &PrinterId, answered: &Evidence) -> bool {
        let said = Facts::of(answered);
        said.has_keys() && self.splits_of(id).any(|what| matches_facts(what, &said))
    }

    /// Whether an administrator gave this id to a device.
    pub(super) fn is_named(&self, id: &PrinterId) -> bool {
        let merged = self.rules.merges.iter().any(|group| group.first() == Some(id));
        merged || self.is_pin(id)
    }

    fn is_pin(&self, id: &PrinterId) -> bool {
        self.rules.pins.iter().any(|pin| pin.printer == *id)
    }

    /// Whether an administrator says of two printers that they are two.
    pub(super) fn are_split(&self, a: &Printer, b: &Printer) -> bool {
        self.splits_of(&a.id).any(|what| matches_printer(what, b))
            || self.splits_of(&b.id).any(|what| matches_printer(what, a))
            || (self.is_pin(&a.id) && self.is_pin(&b.id))
    }
}

/// Whether a place is meant by a split: by where it is, or by what was said there.
fn is_split_place(what: &Selector, e: &KnownEndpoint) -> bool {
    if let Selector::Id(id) = what {
        let word = e.word();
        let strong = Facts::of(&word).keys().len();
        let fallback = identity::Fallback::default();
        return e.of.as_ref() == Some(id)
            || identity::candidates(&word, &fallback).iter().take(strong).any(|c| c == id);
    }
    let mut told = Facts::default();
    e.told_keys().for_each(|key| told.add(key));
    matches_endpoint(what, e, "") || matches_facts(what, &told)
}

/// The devices behind places that leave a printer: those that are known to be different are different.
fn devices(places: Vec<KnownEndpoint>) -> Vec<Vec<KnownEndpoint>> {
    let mut devices: Vec<Vec<KnownEndpoint>> = Vec::new();
    for place in places {
        let said = facts(&place);
        let is_same = |device: &&mut Vec<KnownEndpoint>| {
            device.iter().all(|e| match compare(&facts(e), &said, &|_| false) {
                Verdict::Same(_) => true,
                Verdict::Open => e.of == place.of || shares_place(&e.endpoint, &place.endpoint),
                Verdict::Disputed(_) | Verdict::Different(_) => false,
            })
        };
        match devices.iter_mut().find(is_same) {
            Some(device) => device.push(place),
            None => devices.push(vec![place]),
        }
    }
    devices
}

fn facts(e: &KnownEndpoint) -> Facts {
    Facts::of(&identity::merge(&e.announced, &e.word()))
}

/// A device without an id, with what it answered while it was taken for a printer.
fn parted(endpoints: Vec<KnownEndpoint>) -> Quarantined {
    let name = endpoints.first().map(|e| instance(&e.key).trim_end_matches('.').to_owned()).unwrap_or_default();
    let mut answered = Evidence::default();
    let mut words: Vec<&KnownEndpoint> = endpoints.iter().filter(|e| e.told.is_some()).collect();
    words.sort_by_key(|e| std::cmp::Reverse(e.rank()));
    for e in words {
        answered = identity::merge(&answered, &e.word());
    }
    let told = endpoints.iter().filter_map(|e| e.told.as_ref()).flat_map(|told| &told.keys);
    let answered_at = told.map(|known| known.at).max();
    Quarantined { answered, answered_at, ..Quarantined::new(endpoints, name, None) }
}

/// What is split off a printer is no evidence of it any more.
fn forget_evidence(what: &Selector, printer: &mut Printer) {
    let evidence = &mut printer.evidence;
    let canonical = identity::canonical(evidence);
    match what {
        Selector::Serial(serial) if canonical.serial.as_ref() == Some(serial) => evidence.serial = None,
        Selector::Uuid(uuid) if canonical.uuid.as_ref() == Some(uuid) => evidence.uuid = None,
        Selector::Mac(mac) => evidence.macs.retain(|m| m != mac),
        _ => {}
    }
}
