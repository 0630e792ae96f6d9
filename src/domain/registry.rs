//! The printers known and how each can be reached. A pure state machine: events in, effects out.
//!
//! ```text
//!  Sighting of an unknown key
//!      │
//!      ├─ same host as a known printer, same device ─────────────▶ attached (Changed)
//!      ▼
//!  quarantined ──Probe──▶ ProbeAnswered / ProbeFailed at its last endpoint
//!      │                        │
//!      │ Lost: gone             ├─ same device as a known printer ──▶ attached (Changed)
//!      ▼                        ├─ same UUID or MAC, but that printer lives elsewhere ──▶ contested ─CheckNow─┐
//!    (nothing)                  └─ nobody we know ──▶ adopted: the id is minted (Adopted)                     │
//!                                                              ▲                                              │
//!                        the old place still answers: another device with cloned evidence ◀───────────────────┤
//!                        the old place is silent: the device has moved, attached (Changed) ◀──────────────────┘
//!  adopted ── PollAnswered by another device ──▶ that endpoint is quarantined again
//!          ── PollAnswered with a serial known elsewhere ──▶ merged into the older one (Merged)
//! ```
//!
//! Invariants ([`Registry::check`]): an id is minted once and never changes; no two printers have one maker and serial;
//! a sighting's key belongs to one printer or one quarantined device; an absorbed id leads to exactly one survivor; at
//! most [`MAX_PRINTERS`] printers and quarantined devices, [`MAX_ENDPOINTS`] endpoints each.
//!
//! Announcements are claims: they attach an endpoint to a printer only on the same host, or a way to print without
//! questions (AppSocket, LPD) at the one printer's address. Everything else waits for what the device itself answers,
//! over IPP, or over SNMP at its address. What answers neither is adopted with what was announced.
//!
//! Not here: when to poll (`schedule`), whether it is online (`state`), storage (the hub hands out [`Printer`]s).

mod check;
mod places;
mod printer;
mod quarantine;
#[cfg(test)]
mod tests;

pub use printer::{Identity, KnownEndpoint, MAX_ENDPOINTS, Pin, Printer};
pub use quarantine::{contradicts, is_own_agent};

use super::endpoint::Endpoint;
use super::identity::{self, Reason, Verdict};
use super::ids::PrinterId;
use super::sighting::{Evidence, Sighting};
use super::state::Source;
use jiff::Timestamp;
use quarantine::{
    Quarantined, is_beside, is_neighbour, is_other_device, is_other_queue, overlaps, rank, see, shares_address,
    shares_place,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Printers and quarantined devices together; what comes beyond is refused and counted.
pub const MAX_PRINTERS: usize = 2_000;

/// The longest key of a sighting taken, in bytes. A DNS-SD name is at most 255.
const MAX_KEY_BYTES: usize = 512;

/// What the registry is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A discovery source saw something.
    Sighting(Box<Sighting>),
    /// A discovery source no longer sees it.
    Lost {
        /// The sighting's key.
        key: String,
    },
    /// It must not be connected any more.
    Withdrawn {
        /// The sighting's key.
        key: String,
    },
    /// The identity probe of an endpoint was answered.
    ProbeAnswered {
        /// The endpoint's key.
        key: String,
        /// Who it is.
        identity: Box<Identity>,
    },
    /// The identity probe of an endpoint failed.
    ProbeFailed {
        /// The endpoint's key.
        key: String,
    },
    /// A poll of a printer was answered.
    PollAnswered {
        /// The printer.
        id: PrinterId,
        /// Over which endpoint, or, over SNMP, at whose address.
        key: String,
        /// Who answered.
        identity: Box<Identity>,
        /// Over which protocol.
        over: Source,
    },
    /// One endpoint of a printer did not answer a poll; others may.
    EndpointFailed {
        /// The printer.
        id: PrinterId,
        /// Which endpoint.
        key: String,
    },
    /// A poll of a printer failed over all its endpoints.
    PollFailed {
        /// The printer.
        id: PrinterId,
    },
    /// The printer's TLS certificate is another one than before; it is trusted from now on.
    Repinned {
        /// The printer.
        id: PrinterId,
        /// Over which endpoint.
        key: String,
        /// The new certificate.
        pin: Pin,
    },
}

/// What the registry wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask this endpoint who it is and answer with `ProbeAnswered` or `ProbeFailed`.
    Probe {
        /// The endpoint's key.
        key: String,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// A printer got its id.
    Adopted(PrinterId),
    /// A printer's endpoints, names or evidence changed.
    Changed(PrinterId),
    /// Poll this printer now: another device claims to be it.
    CheckNow(PrinterId),
    /// Two ids were one device.
    Merged {
        /// Whose id stays.
        survivor: PrinterId,
        /// Whose id is an alias from now on; its row is to be deleted.
        absorbed: PrinterId,
    },
    /// A sighting was not taken.
    Refused {
        /// Its key, clipped.
        key: String,
        /// Why.
        reason: &'static str,
    },
}

/// The printers known. See the module.
#[derive(Debug, Default)]
pub struct Registry {
    printers: BTreeMap<PrinterId, Printer>,
    quarantine: BTreeMap<u64, Quarantined>,
    owners: HashMap<String, Owner>,
    aliases: HashMap<PrinterId, PrinterId>,
    next: u64,
    refused: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    Printer(PrinterId),
    Quarantined(u64),
}

impl Registry {
    /// The registry as it was stored. Rows beyond [`MAX_PRINTERS`], and of two rows that claim one id, key or alias
    /// the later one's claim, are dropped.
    pub fn restore(rows: impl IntoIterator<Item = Printer>) -> Self {
        let mut registry = Self::default();
        for mut printer in rows.into_iter().take(MAX_PRINTERS) {
            if registry.is_taken(&printer.id) {
                continue;
            }
            printer.endpoints.retain(|e| !registry.owners.contains_key(&e.key));
            printer.endpoints.truncate(MAX_ENDPOINTS);
            for e in &printer.endpoints {
                registry.owners.insert(e.key.clone(), Owner::Printer(printer.id.clone()));
            }
            printer.aliases.retain(|a| !registry.is_taken(a));
            for alias in &printer.aliases {
                registry.aliases.insert(alias.clone(), printer.id.clone());
            }
            registry.printers.insert(printer.id.clone(), printer);
        }
        registry
    }

    /// The printer of an id, also of one that was absorbed.
    pub fn get(&self, id: &PrinterId) -> Option<&Printer> {
        self.printers.get(id).or_else(|| self.printers.get(self.aliases.get(id)?))
    }

    /// The printer an endpoint's key belongs to.
    pub fn owner(&self, key: &str) -> Option<&PrinterId> {
        match self.owners.get(key)? {
            Owner::Printer(id) => Some(id),
            Owner::Quarantined(_) => None,
        }
    }

    /// The endpoint of a key, of a printer or of a device that waits for its probe.
    pub fn endpoint(&self, key: &str) -> Option<&Endpoint> {
        let endpoints = match self.owners.get(key)? {
            Owner::Printer(id) => &self.printers.get(id)?.endpoints,
            Owner::Quarantined(n) => &self.quarantine.get(n)?.endpoints,
        };
        endpoints.iter().find(|e| e.key == key).map(|e| &e.endpoint)
    }

    /// Whether evidence is of another device than this printer, by more than the spelling of its model.
    pub fn contradicts(&self, id: &PrinterId, evidence: &Evidence) -> bool {
        self.printers.get(id).is_some_and(|p| contradicts(&p.evidence, evidence))
    }

    /// All printers, by id.
    pub fn printers(&self) -> impl Iterator<Item = &Printer> {
        self.printers.values()
    }

    /// How many devices wait for their probe.
    pub fn quarantined(&self) -> usize {
        self.quarantine.len()
    }

    /// How many sightings were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes one event.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Sighting(sighting) => self.sighted(*sighting, now, &mut effects),
            Event::Lost { key } => self.lost(&key, now, &mut effects),
            Event::Withdrawn { key } => self.withdrawn(&key, now, &mut effects),
            Event::ProbeAnswered { key, identity } => match self.owners.get(&key).cloned() {
                Some(Owner::Quarantined(n)) => self.probe_answered(n, &key, &identity, now, &mut effects),
                Some(Owner::Printer(id)) => self.poll_answered(&id, &key, &identity, Source::Ipp, now, &mut effects),
                None => {}
            },
            Event::ProbeFailed { key } => {
                if let Some(Owner::Quarantined(n)) = self.owners.get(&key).cloned() {
                    self.probe_failed(n, key, now, &mut effects);
                }
            }
            Event::PollAnswered { id, key, identity, over } => {
                self.poll_answered(&id, &key, &identity, over, now, &mut effects);
                // An answer of another device at the old place says nothing about this one. Whether a printer still is at
                // its place is asked over IPP, where it has that.
                let decides = over == Source::Ipp || !self.printers.get(&id).is_some_and(Printer::has_ipp);
                if decides && self.owner(&key) == Some(&id) {
                    self.settle_contests(&id, true, now, &mut effects);
                }
            }
            Event::EndpointFailed { id, key } => {
                let endpoint = self.printers.get_mut(&id).and_then(|p| p.endpoint_mut(&key));
                if let Some(e) = endpoint.filter(|e| e.failing_since.is_none()) {
                    e.failing_since = Some(now);
                    effects.push(Effect::Changed(id));
                }
            }
            Event::PollFailed { id } => self.settle_contests(&id, false, now, &mut effects),
            Event::Repinned { id, key, pin } => {
                if let Some(e) = self.printers.get_mut(&id).and_then(|p| p.endpoint_mut(&key)) {
                    e.pin = Some(pin);
                    effects.push(Effect::Changed(id));
                }
            }
        }
        debug_assert_eq!(self.check(), Ok(()));
        effects.dedup();
        effects
    }

    fn sighted(&mut self, s: Sighting, now: Timestamp, effects: &mut Vec<Effect>) {
        if s.key.is_empty() || s.key.len() > MAX_KEY_BYTES {
            return self.refuse(&s.key, "its name is empty or too long", effects);
        }
        match self.owners.get(&s.key).cloned() {
            Some(Owner::Printer(id)) => {
                let Some(printer) = self.printers.get_mut(&id) else { return };
                if printer.takes_again(&s) {
                    if printer.see(&s, now) {
                        effects.push(Effect::Changed(id.clone()));
                        self.merge_twins(&id, effects);
                    }
                    return;
                }
                // The name now belongs to another device.
                printer.endpoints.retain(|e| e.key != s.key);
                self.owners.remove(&s.key);
                effects.push(Effect::Changed(id));
            }
            Some(Owner::Quarantined(n)) => {
                if let Some(q) = self.quarantine.get_mut(&n) {
                    q.evidence = identity::merge(&q.evidence, &s.evidence);
                    see(&mut q.endpoints, &s, now);
                }
                return;
            }
            None => {}
        }

        let neighbour = self.printers.values().find(|p| is_neighbour(&p.endpoints, &p.evidence, &p.name, &s));
        let neighbour = neighbour.or_else(|| self.printer_at_print_port(&s));
        if let Some(id) = neighbour.map(|p| p.id.clone()) {
            if let Some(printer) = self.printers.get_mut(&id) {
                printer.see(&s, now);
                let dropped = printer.drop_surplus();
                self.owners.insert(s.key, Owner::Printer(id.clone()));
                dropped.iter().for_each(|key| drop(self.owners.remove(key)));
                effects.push(Effect::Changed(id.clone()));
                self.merge_twins(&id, effects);
            }
            return;
        }
        let waiting = self.quarantine.iter_mut().find(|(_, q)| is_neighbour(&q.endpoints, &q.evidence, &q.name, &s));
        if let Some((n, q)) = waiting {
            if q.endpoints.len() >= MAX_ENDPOINTS {
                return self.refuse(&s.key, "the device has too many endpoints", effects);
            }
            q.evidence = identity::merge(&q.evidence, &s.evidence);
            see(&mut q.endpoints, &s, now);
            self.owners.insert(s.key, Owner::Quarantined(*n));
            return;
        }
        if self.printers.len() + self.quarantine.len() >= MAX_PRINTERS {
            return self.refuse(&s.key, "the gateway knows as many printers as it can", effects);
        }

        let mut endpoints = Vec::new();
        see(&mut endpoints, &s, now);
        let n = self.next;
        self.next += 1;
        effects.push(Effect::Probe { key: s.key.clone(), endpoint: s.endpoint });
        self.owners.insert(s.key, Owner::Quarantined(n));
        let waiting = Quarantined {
            endpoints,
            evidence: s.evidence,
            name: s.name,
            location: s.location,
            asked: BTreeSet::new(),
            contested: None,
        };
        self.quarantine.insert(n, waiting);
    }

    fn refuse(&mut self, key: &str, reason: &'static str, effects: &mut Vec<Effect>) {
        self.refused += 1;
        effects.push(Effect::Refused { key: key.chars().take(120).collect(), reason });
    }

    /// Unlike one that is lost, it is not kept to be asked again.
    fn withdrawn(&mut self, key: &str, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(Owner::Printer(id)) = self.owners.get(key).cloned() else { return self.lost(key, now, effects) };
        self.owners.remove(key);
        if let Some(printer) = self.printers.get_mut(&id) {
            printer.endpoints.retain(|e| e.key != key);
            effects.push(Effect::Changed(id));
        }
    }

    fn lost(&mut self, key: &str, now: Timestamp, effects: &mut Vec<Effect>) {
        match self.owners.get(key).cloned() {
            Some(Owner::Printer(id)) => {
                if let Some(e) = self.printers.get_mut(&id).and_then(|p| p.endpoint_mut(key))
                    && !e.lost
                {
                    e.lost = true;
                    effects.push(Effect::Changed(id));
                }
            }
            Some(Owner::Quarantined(n)) => {
                self.owners.remove(key);
                let Some(q) = self.quarantine.get_mut(&n) else { return };
                q.endpoints.retain(|e| e.key != key);
                if q.endpoints.is_empty() {
                    self.quarantine.remove(&n);
                } else if q.contested.is_none() && !self.probe_next(n, effects) {
                    // Its probe's answer will find no owner, and all others have failed.
                    self.conclude(n, now, effects);
                }
            }
            None => {}
        }
    }

    fn probe_answered(&mut self, n: u64, key: &str, who: &Identity, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(q) = self.quarantine.get_mut(&n) else { return };
        q.evidence = identity::merge(&q.evidence, &who.evidence);
        q.asked.insert(key.to_owned());
        if let Some(e) = q.endpoints.iter_mut().find(|e| e.key == key) {
            e.pin = e.pin.or(who.pin);
        }
        if let Some(name) = &who.name {
            q.name.clone_from(name);
        }
        q.location = who.location.clone().or(q.location.take());
        if q.contested.is_some() {
            return;
        }
        // The agent said little: what the device says over IPP itself comes before the id is made.
        let over_ipp = q.endpoints.iter().any(|e| e.key == key && e.endpoint.kind.is_ipp());
        let unasked = q.endpoints.iter().filter(|e| e.endpoint.kind.is_ipp() && !q.asked.contains(&e.key));
        let next = unasked.min_by_key(|e| e.rank()).filter(|_| !over_ipp && !identity::is_strong(&q.evidence));
        match next {
            Some(e) => effects.push(Effect::Probe { key: e.key.clone(), endpoint: e.endpoint.clone() }),
            None => self.conclude(n, now, effects),
        }
    }

    fn probe_failed(&mut self, n: u64, key: String, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(q) = self.quarantine.get_mut(&n) else { return };
        q.asked.insert(key);
        if q.contested.is_none() && !self.probe_next(n, effects) {
            // Nobody answers: what was announced has to do.
            self.conclude(n, now, effects);
        }
    }

    /// Probes the best endpoint that has not been asked yet; false when there is none.
    fn probe_next(&mut self, n: u64, effects: &mut Vec<Effect>) -> bool {
        let Some(q) = self.quarantine.get(&n) else { return true };
        let next = q.endpoints.iter().filter(|e| !q.asked.contains(&e.key)).min_by_key(|e| e.rank());
        if let Some(e) = next {
            effects.push(Effect::Probe { key: e.key.clone(), endpoint: e.endpoint.clone() });
        }
        next.is_some()
    }

    /// Decides who a quarantined device is.
    fn conclude(&mut self, n: u64, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(q) = self.quarantine.get(&n) else { return };
        let Some((known, certain)) = self.find_known(q) else { return self.adopt(n, now, effects) };
        let moved = self.printers.get(&known).is_none_or(|p| !p.is_live() || overlaps(&p.endpoints, &q.endpoints));
        if certain || moved {
            self.attach(n, &known, now, effects);
        } else {
            if let Some(q) = self.quarantine.get_mut(&n) {
                q.contested = Some(known.clone());
            }
            effects.push(Effect::CheckNow(known));
        }
    }

    /// The printer a quarantined device is, and whether the evidence (the serial) leaves no doubt.
    fn find_known(&self, q: &Quarantined) -> Option<(PrinterId, bool)> {
        let mut found: Option<(Reason, &Printer)> = None;
        for printer in self.printers.values() {
            if let Verdict::Same(reason) = identity::same_device(&printer.evidence, &q.evidence)
                && found.is_none_or(|(best, _)| rank(reason) < rank(best))
            {
                found = Some((reason, printer));
            }
        }
        if let Some((reason, printer)) = found {
            return Some((printer.id.clone(), reason == Reason::Serial));
        }
        // Weak evidence: the id itself, which is made of the strongest there is.
        let id = identity::mint(&q.evidence, &q.fallback());
        let Some(printer) = self.get(&id) else {
            // A printer known only by a print port, and what turns up beside it at its address, are one device.
            let at = |p: &&Printer| {
                let here = |e: &KnownEndpoint| q.endpoints.iter().any(|o| shares_address(&e.endpoint, &o.endpoint));
                !p.has_ipp() && p.endpoints.iter().any(|e| !e.lost && here(e))
            };
            let own = q.endpoints.iter().all(|e| is_own_agent(&e.endpoint));
            let mut there = self.printers.values().filter(at);
            let only = there.next().filter(|_| own && there.next().is_none())?;
            let beside = only.endpoints.iter().any(|e| q.endpoints.iter().any(|o| is_beside(&e.endpoint, &o.endpoint)));
            let same = !beside && !is_other_device(&only.evidence, &q.evidence);
            return same.then(|| (only.id.clone(), false));
        };
        // A name or host that both have says nothing of two queues or ports that lie side by side.
        let beside = printer.endpoints.iter().any(|e| {
            let mut others = q.endpoints.iter().map(|o| &o.endpoint);
            others.any(|o| shares_place(&e.endpoint, o) && is_other_queue(&e.endpoint, o))
        });
        let other = matches!(identity::same_device(&printer.evidence, &q.evidence), Verdict::Different(_));
        (!other && !beside).then(|| (printer.id.clone(), false))
    }

    fn adopt(&mut self, n: u64, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(q) = self.quarantine.remove(&n) else { return };
        let ids = identity::candidates(&q.evidence, &q.fallback());
        let Some(id) = ids.into_iter().find(|id| !self.is_taken(id)) else {
            let key = q.endpoints.first().map(|e| e.key.clone()).unwrap_or_default();
            q.endpoints.iter().for_each(|e| drop(self.owners.remove(&e.key)));
            return self.refuse(&key, "nothing tells it from a printer already known", effects);
        };
        for e in &q.endpoints {
            self.owners.insert(e.key.clone(), Owner::Printer(id.clone()));
        }
        let printer = Printer {
            id: id.clone(),
            aliases: Vec::new(),
            evidence: q.evidence,
            endpoints: q.endpoints,
            name: q.name,
            location: q.location,
            first_seen: now,
        };
        self.printers.insert(id.clone(), printer);
        effects.push(Effect::Adopted(id));
    }

    fn attach(&mut self, n: u64, known: &PrinterId, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(printer) = self.printers.get_mut(known) else { return self.adopt(n, now, effects) };
        let Some(q) = self.quarantine.remove(&n) else { return };
        for e in q.endpoints {
            self.owners.insert(e.key.clone(), Owner::Printer(known.clone()));
            printer.endpoints.retain(|old| old.key != e.key);
            printer.endpoints.push(e);
        }
        printer.drop_surplus().iter().for_each(|key| drop(self.owners.remove(key)));
        printer.evidence = identity::merge(&printer.evidence, &q.evidence);
        printer.name = q.name;
        printer.location = q.location.or(printer.location.take());
        effects.push(Effect::Changed(known.clone()));
        self.merge_twins(known, effects);
    }

    fn poll_answered(
        &mut self,
        id: &PrinterId,
        key: &str,
        who: &Identity,
        over: Source,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let takeover = over == Source::Snmp && self.is_answer_of_registered(id, &who.evidence);
        let Some(printer) = self.printers.get_mut(id) else { return };
        let Some(endpoint) = printer.endpoints.iter().find(|e| e.key == key).cloned() else { return };
        if over == Source::Snmp && endpoint.endpoint.kind.is_ipp() {
            // The agent at a printer's address: it may add to what the printer says itself, never take from it.
            if !contradicts(&printer.evidence, &who.evidence) && printer.learn_more(who) {
                effects.push(Effect::Changed(id.clone()));
                self.merge_twins(id, effects);
            }
            return;
        }
        if takeover || printer.is_answer_of_another(&endpoint, &who.evidence) {
            printer.endpoints.retain(|e| e.key != key);
            effects.push(Effect::Changed(id.clone()));
            if self.printers.len() + self.quarantine.len() >= MAX_PRINTERS {
                self.owners.remove(key);
                return self.refuse(key, "the gateway knows as many printers as it can", effects);
            }
            let n = self.next;
            self.next += 1;
            self.owners.insert(key.to_owned(), Owner::Quarantined(n));
            let waiting = Quarantined {
                endpoints: vec![KnownEndpoint { pin: who.pin, failing_since: None, ..endpoint }],
                evidence: who.evidence.clone(),
                name: who.name.clone().unwrap_or_default(),
                location: who.location.clone(),
                asked: BTreeSet::new(),
                contested: None,
            };
            self.quarantine.insert(n, waiting);
            return self.conclude(n, now, effects);
        }
        let learned = if over == Source::Snmp && printer.has_ipp() {
            printer.learn_more(who)
        } else {
            printer.learn(key, who, now)
        };
        if learned {
            effects.push(Effect::Changed(id.clone()));
            self.merge_twins(id, effects);
        }
    }

    /// Decides about devices that claim to be `id`, now that it is known whether the old place still answers.
    fn settle_contests(&mut self, id: &PrinterId, answered: bool, now: Timestamp, effects: &mut Vec<Effect>) {
        let waiting: Vec<u64> =
            self.quarantine.iter().filter(|(_, q)| q.contested.as_ref() == Some(id)).map(|(n, _)| *n).collect();
        for n in waiting {
            // The answer may have told more about the printer that is contested: look again.
            match self.quarantine.get(&n).and_then(|q| self.find_known(q)) {
                Some((known, true)) => self.attach(n, &known, now, effects),
                _ if answered => self.adopt(n, now, effects),
                Some((known, false)) => self.attach(n, &known, now, effects),
                None => self.adopt(n, now, effects),
            }
        }
    }

    /// Merges printers that turned out to be one by maker and serial: the older one's id stays.
    fn merge_twins(&mut self, id: &PrinterId, effects: &mut Vec<Effect>) {
        let mut id = id.clone();
        loop {
            let Some(printer) = self.printers.get(&id) else { return };
            let twin = self.printers.values().find(|p| {
                let same = || identity::same_device(&p.evidence, &printer.evidence);
                p.id != id && matches!(same(), Verdict::Same(Reason::Serial))
            });
            let Some(twin) = twin else { return };
            let twin_stays = (twin.first_seen, &twin.id) < (printer.first_seen, &printer.id);
            let (survivor, absorbed) =
                if twin_stays { (twin.id.clone(), id.clone()) } else { (id.clone(), twin.id.clone()) };
            let Some(gone) = self.printers.remove(&absorbed) else { return };
            let Some(stays) = self.printers.get_mut(&survivor) else { return };
            for e in gone.endpoints {
                self.owners.insert(e.key.clone(), Owner::Printer(survivor.clone()));
                stays.endpoints.push(e);
            }
            stays.drop_surplus().iter().for_each(|key| drop(self.owners.remove(key)));
            stays.evidence = identity::merge(&gone.evidence, &stays.evidence);
            for alias in gone.aliases.into_iter().chain([absorbed.clone()]) {
                self.aliases.insert(alias.clone(), survivor.clone());
                stays.aliases.push(alias);
            }
            for q in self.quarantine.values_mut().filter(|q| q.contested.as_ref() == Some(&absorbed)) {
                q.contested = Some(survivor.clone());
            }
            effects.push(Effect::Merged { survivor: survivor.clone(), absorbed });
            effects.push(Effect::Changed(survivor.clone()));
            id = survivor;
        }
    }

    fn is_taken(&self, id: &PrinterId) -> bool {
        self.printers.contains_key(id) || self.aliases.contains_key(id)
    }
}
