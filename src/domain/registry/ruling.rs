//! What an administrator decided, applied: to the rows at a start, and to what is seen later.
//!
//! | rule | at a start | later | taken away again |
//! |---|---|---|---|
//! | `ignored` | the printer is dropped | the device stays in quarantine, is not asked and gets no id | it is taken in when it is seen again |
//! | `retired` | the printer is dropped | a device whose id would be this one gets none | as for `ignored`; what was known of it is gone, so that its id is minted anew: the same one from the same evidence. With another first key it is another printer |
//! | `approved`, `adoption: auto` | a pending printer that matches is adopted | it is adopted at once | what is adopted stays adopted |
//! | `pins` | a printer that matches whole is merged into the id, or gets it; the old id stays an alias | whoever matches is that printer | the id and its aliases stay |
//! | `merges` | the printers are merged into the first | as soon as one of the others gets its id | they stay one, until a split parts them |
//! | `splits` | the endpoints that match leave the printer, with what was said there and nowhere else, and are a device of their own, under the id that it had before a merge; see `parting` | what matches never joins the printer | evidence decides again; two ids that are proven to be one are merged |
//! | `names` | shown instead of the printer's own | the same | the printer's own name is shown |

use super::joins::Because;
use super::printer::{KnownEndpoint, MAX_ENDPOINTS, MAX_IDS, Printer, Standing};
use super::quarantine::Quarantined;
use super::rules::{Adoption, Rules, Selector, Unwanted};
use super::{Effect, MAX_JOINS, MAX_PRINTERS, MAX_TOLD, Owner, Registry};
use crate::domain::identity::{self, Facts, Key};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::Sighting;
use jiff::Timestamp;

impl Registry {
    /// The registry as it was stored, under the rules of an administrator, and what these change. Rows beyond
    /// [`MAX_PRINTERS`], and of two rows that claim one id, key or alias the later one's claim, are dropped.
    pub fn restore(rows: impl IntoIterator<Item = Printer>, rules: &Rules, now: Timestamp) -> (Self, Vec<Effect>) {
        let mut registry = Self { rules: rules.clone(), ..Self::default() };
        let mut effects = Vec::new();
        for mut printer in rows.into_iter().take(MAX_PRINTERS) {
            if registry.is_taken(&printer.id) {
                continue;
            }
            printer.endpoints.retain(|e| !registry.owners.contains_key(&e.key));
            printer.endpoints.truncate(MAX_ENDPOINTS);
            printer.endpoints.iter_mut().filter_map(|e| e.told.as_mut()).for_each(|told| told.keys.truncate(MAX_TOLD));
            for e in &printer.endpoints {
                registry.owners.insert(e.key.clone(), Owner::Printer(printer.id.clone()));
            }
            printer.aliases.retain(|a| !registry.is_taken(a) && *a != printer.id);
            printer.aliases.drain(..printer.aliases.len().saturating_sub(MAX_IDS));
            if printer.claimed {
                registry.claimed.insert(printer.id.clone());
            }
            for alias in &printer.aliases {
                registry.aliases.insert(alias.clone(), printer.id.clone());
            }
            // Rows of older versions have no aliases.
            let places: Vec<_> = printer.endpoints.iter().map(|e| (e.endpoint.clone(), e.last_seen)).collect();
            let evidence = printer.evidence.clone();
            let since = printer.first_seen;
            for key in Facts::of(&evidence).keys() {
                if !printer.known.iter().any(|alias| alias.key == key) {
                    printer.remember(key, since);
                }
            }
            places.iter().for_each(|(place, at)| printer.remember_place(place, *at));
            printer.joins.truncate(MAX_JOINS);
            registry.printers.insert(printer.id.clone(), printer);
        }
        registry.index = registry.fresh_index();
        registry.rule(now, &mut effects);
        // What was not decided when the gateway stopped.
        let ids: Vec<PrinterId> = registry.printers.keys().cloned().collect();
        ids.iter().for_each(|id| registry.merge_twins(id, now, &mut effects));
        effects.dedup();
        (registry, effects)
    }

    fn rule(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let rules = self.rules.clone();
        let ids: Vec<PrinterId> = self.printers.keys().cloned().collect();
        for id in &ids {
            let Some(printer) = self.printers.get(id) else { continue };
            let retired = rules.retired.iter().any(|r| r == id || printer.aliases.contains(r));
            if retired || rules.ignored.iter().any(|selector| matches_printer(selector, printer)) {
                // Whichever of its ids was named, none of them comes back in this run.
                self.unwanted.extend(printer.aliases.iter().chain([id]).cloned());
                self.drop_printer(id);
                let why = if retired { Unwanted::Retired } else { Unwanted::Ignored };
                effects.push(Effect::Dropped { id: id.clone(), why });
            }
        }
        rules.splits.iter().for_each(|split| self.part_by_rule(split, now, effects));
        for pin in &rules.pins {
            let matching: Vec<PrinterId> = self
                .printers
                .values()
                .filter(|p| p.id != pin.printer && whole_printer(&pin.what, p))
                .map(|p| p.id.clone())
                .collect();
            for id in matching {
                let target = self.get(&pin.printer).map(|p| p.id.clone());
                match target {
                    Some(target) if target == id => {}
                    Some(target) => self.absorb(&target, &id, Because::Pinned, pin.what.to_string(), now, effects),
                    None => self.rename(&id, &pin.printer, Because::Pinned, pin.what.to_string(), now, effects),
                }
            }
        }
        let ids: Vec<PrinterId> = self.printers.keys().cloned().collect();
        ids.iter().for_each(|id| self.merge_by_rule(id, now, effects));
        for id in ids {
            let Some(printer) = self.printers.get(&id) else { continue };
            if printer.standing == Standing::Pending && self.standing_of(printer) == Standing::Adopted {
                if let Some(printer) = self.printers.get_mut(&id) {
                    printer.standing = Standing::Adopted;
                }
                effects.push(Effect::Adopted(id));
            }
        }
    }

    /// Takes a printer out; its aliases go with it.
    fn drop_printer(&mut self, id: &PrinterId) {
        let Some(printer) = self.printers.remove(id) else { return };
        printer.endpoints.iter().for_each(|e| drop(self.owners.remove(&e.key)));
        printer.aliases.iter().for_each(|alias| drop(self.aliases.remove(alias)));
        self.index_printer(id);
    }

    /// Gives a printer another id; the old one stays its alias.
    fn rename(
        &mut self,
        old: &PrinterId,
        new: &PrinterId,
        because: Because,
        value: String,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut printer) = self.printers.remove(old) else { return };
        self.index_printer(old);
        printer.id = new.clone();
        printer.join(old.as_str(), because, value, now);
        printer.add_alias(old.clone()).iter().for_each(|old| drop(self.aliases.remove(old)));
        printer.endpoints.iter().for_each(|e| drop(self.owners.insert(e.key.clone(), Owner::Printer(new.clone()))));
        printer.aliases.iter().for_each(|alias| drop(self.aliases.insert(alias.clone(), new.clone())));
        if printer.claimed {
            self.claimed.insert(new.clone());
        }
        self.printers.insert(new.clone(), printer);
        self.index_printer(new);
        self.follow(old, new);
        effects.push(Effect::Merged { survivor: new.clone(), absorbed: old.clone() });
        effects.push(Effect::Changed(new.clone()));
    }

    /// What was noted of a printer under its old id is noted under the new one, be it its own or that of the printer that
    /// took it in.
    pub(super) fn follow(&mut self, old: &PrinterId, new: &PrinterId) {
        if let Some(waiting) = self.contests.remove(old) {
            for n in &waiting {
                if let Some(contest) = self.quarantine.get_mut(n).and_then(|q| q.contested.as_mut()) {
                    contest.printer = new.clone();
                }
            }
            self.contests.entry(new.clone()).or_default().extend(waiting);
        }
        if let Some(others) = self.twins.remove(old) {
            self.twins.entry(new.clone()).or_default().extend(others);
        }
        for (id, others) in &mut self.twins {
            if others.remove(old) {
                others.insert(new.clone());
            }
            others.remove(id);
        }
        self.twins.retain(|_, others| !others.is_empty());
        if let Some(heard) = self.heard.remove(old) {
            self.heard.insert(new.clone(), heard);
        }
        for printer in self.printers.values_mut().filter(|p| p.apart.contains(old)) {
            let known = printer.id == *new || printer.apart.contains(new);
            match known {
                true => printer.apart.retain(|other| other != old),
                false => printer.apart.iter_mut().filter(|o| *o == old).for_each(|o| o.clone_from(new)),
            }
        }
    }

    /// Merges a printer as an administrator says.
    pub(super) fn merge_by_rule(&mut self, id: &PrinterId, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(group) = self.rules.merges.iter().find(|group| group.contains(id)) else { return };
        let Some(first) = group.first().cloned() else { return };
        let others: Vec<PrinterId> = group.iter().skip(1).filter(|o| self.printers.contains_key(*o)).cloned().collect();
        for other in others {
            let target = self.get(&first).map(|p| p.id.clone());
            match target {
                Some(target) if self.are_two(&target, &other) => {}
                Some(target) => {
                    self.absorb(&target, &other, Because::MergedByRule, first.to_string(), now, effects);
                }
                None => self.rename(&other, &first, Because::MergedByRule, first.to_string(), now, effects),
            }
        }
    }

    fn are_two(&self, a: &PrinterId, b: &PrinterId) -> bool {
        let both = self.printers.get(a).zip(self.printers.get(b));
        both.is_some_and(|(a, b)| self.are_split(a, b))
    }

    /// The standing of a printer that gets its id.
    pub(super) fn standing_of(&self, printer: &Printer) -> Standing {
        let approved = || self.rules.approved.iter().any(|selector| matches_printer(selector, printer));
        if self.rules.adoption == Adoption::Auto || approved() { Standing::Adopted } else { Standing::Pending }
    }

    pub(super) fn approve(&mut self, id: PrinterId, approved: bool, effects: &mut Vec<Effect>) {
        let Some(printer) = self.printers.get(&id) else { return };
        // What the configuration approves, nobody else takes back.
        let standing = if approved { Standing::Adopted } else { self.standing_of(printer) };
        if printer.standing == standing {
            return;
        }
        if let Some(printer) = self.printers.get_mut(&id) {
            printer.standing = standing;
        }
        effects.push(if standing == Standing::Adopted { Effect::Adopted(id) } else { Effect::Pending(id) });
    }

    /// Whether a device in quarantine may have no id.
    pub(super) fn is_unwanted(&self, q: &Quarantined) -> bool {
        let ignored = |selector: &Selector| match selector {
            Selector::Id(id) => self.would_be(q, id),
            _ => matches_device(selector, q),
        };
        self.rules.ignored.iter().any(ignored)
            || self.rules.retired.iter().chain(&self.unwanted).any(|id| self.would_be(q, id))
    }

    fn would_be(&self, q: &Quarantined, id: &PrinterId) -> bool {
        if self.get(id).is_some() {
            return false;
        }
        let evidence = q.evidence();
        let e = identity::canonical(&evidence);
        // The ids of strong keys come first. A device that has any is not meant by its host or name: another one may have
        // had these before.
        let strong = [e.serial.is_some() && e.make.is_some(), e.uuid.is_some(), !e.macs.is_empty()];
        let strong = strong.into_iter().filter(|has| *has).count();
        let ids = identity::candidates(&evidence, &q.fallback());
        ids.iter().take(if strong == 0 { ids.len() } else { strong }).any(|would_be| would_be == id)
    }

    /// Whether something that is seen is not to be asked who it is: it is ignored whoever it is.
    pub(super) fn is_ignored(&self, s: &Sighting) -> bool {
        self.rules.ignored.iter().any(|selector| matches_sighting(selector, s))
    }

    /// The id that an administrator gave to what is seen.
    pub(super) fn pinned_sighting(&self, s: &Sighting) -> Option<PrinterId> {
        self.rules.pins.iter().find(|pin| matches_sighting(&pin.what, s)).map(|pin| pin.printer.clone())
    }

    /// The id that an administrator gave to a device in quarantine.
    pub(super) fn pinned_device(&self, q: &Quarantined) -> Option<PrinterId> {
        self.rules.pins.iter().find(|pin| matches_device(&pin.what, q)).map(|pin| pin.printer.clone())
    }

    /// Whether an administrator says that what is seen is not this printer.
    pub(super) fn is_split(&self, id: &PrinterId, s: &Sighting) -> bool {
        self.splits_of(id).any(|what| matches_sighting(what, s))
    }

    pub(super) fn is_split_device(&self, id: &PrinterId, q: &Quarantined) -> bool {
        let would_be = |id: &PrinterId| {
            let evidence = q.evidence();
            let strong = Facts::of(&evidence).keys().len();
            identity::candidates(&evidence, &q.fallback()).iter().take(strong).any(|candidate| candidate == id)
        };
        let was = |id: &PrinterId| q.endpoints.iter().any(|e| e.of.as_ref() == Some(id));
        let is_meant = |what: &Selector| match what {
            Selector::Id(other) => was(other) || would_be(other),
            _ => matches_device(what, q),
        };
        // A split from an id that this device had, before it was merged, parts it too.
        let mut own = self.rules.splits.iter().filter(|split| split.printer != *id && was(&split.printer));
        let printer = self.printers.get(id);
        self.splits_of(id).any(is_meant) || own.any(|split| printer.is_some_and(|p| matches_printer(&split.what, p)))
    }

    pub(super) fn splits_of<'a>(&'a self, id: &'a PrinterId) -> impl Iterator<Item = &'a Selector> {
        let of = move |printer: &PrinterId| printer == id || self.aliases.get(printer) == Some(id);
        self.rules.splits.iter().filter(move |split| of(&split.printer)).map(|split| &split.what)
    }
}

/// Whether a selector names this printer, by anything that is known of it.
pub(super) fn matches_printer(selector: &Selector, printer: &Printer) -> bool {
    match selector {
        Selector::Id(id) => printer.id == *id || printer.aliases.contains(id),
        // Where it was once says nothing of where it is.
        Selector::Address(_) | Selector::Host(_) => {
            printer.endpoints.iter().any(|e| matches_endpoint(selector, e, &printer.name))
        }
        Selector::Name(_) => {
            matches_name(selector, &printer.name)
                || printer.endpoints.iter().any(|e| matches_endpoint(selector, e, &printer.name))
        }
        _ => matches_facts(selector, &printer.facts()),
    }
}

/// Whether a selector names all of a printer, not one of its places.
fn whole_printer(selector: &Selector, printer: &Printer) -> bool {
    match selector {
        Selector::Address(_) | Selector::Host(_) => {
            !printer.endpoints.is_empty()
                && printer.endpoints.iter().all(|e| matches_endpoint(selector, e, &printer.name))
        }
        _ => matches_printer(selector, printer),
    }
}

fn matches_device(selector: &Selector, q: &Quarantined) -> bool {
    matches_facts(selector, &Facts::of(&q.evidence()))
        || matches_name(selector, &q.name)
        || q.endpoints.iter().any(|e| matches_endpoint(selector, e, &q.name))
}

fn matches_sighting(selector: &Selector, s: &Sighting) -> bool {
    match selector {
        Selector::Host(host) => is_host(host, &s.endpoint.host),
        Selector::Name(_) => matches_name(selector, &s.name),
        Selector::Address(network) => s.endpoint.addresses.iter().any(|address| network.contains(*address)),
        _ => matches_facts(selector, &Facts::of(&s.evidence)),
    }
}

pub(super) fn matches_endpoint(selector: &Selector, e: &KnownEndpoint, name: &str) -> bool {
    match selector {
        Selector::Host(host) => is_host(host, &e.endpoint.host),
        Selector::Name(_) => {
            matches_name(selector, super::quarantine::instance(&e.key).trim_end_matches('.'))
                || matches_name(selector, name)
        }
        Selector::Address(network) => e.endpoint.addresses.iter().any(|address| network.contains(*address)),
        _ => matches_facts(selector, &Facts::of(&e.announced)),
    }
}

pub(super) fn matches_facts(selector: &Selector, facts: &Facts) -> bool {
    match selector {
        Selector::Serial(serial) => facts.serials.iter().any(|(_, s)| s == serial),
        Selector::Uuid(uuid) => facts.uuids.contains(uuid),
        Selector::Mac(mac) => facts.macs.contains(mac) || facts.nodes.contains(mac),
        _ => false,
    }
}

pub(super) fn matches_key(selector: &Selector, key: &Key) -> bool {
    match (selector, key) {
        (Selector::Serial(serial), Key::Serial(key)) => key.split_once(' ').is_some_and(|(_, s)| s == serial),
        (Selector::Uuid(a), Key::Uuid(b)) | (Selector::Mac(a), Key::Mac(b)) | (Selector::Host(a), Key::Host(b)) => {
            a == b
        }
        (Selector::Address(network), Key::Address(address)) => network.contains(*address),
        _ => false,
    }
}

fn matches_name(selector: &Selector, name: &str) -> bool {
    matches!(selector, Selector::Name(wanted) if wanted.to_lowercase() == name.to_lowercase())
}

fn is_host(wanted: &str, host: &str) -> bool {
    wanted.eq_ignore_ascii_case(host.trim_end_matches('.'))
}
