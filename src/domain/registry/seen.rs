//! What discovery sources say: which device an announcement belongs to, before anybody is asked.

use super::joins::Because;
use super::printer::{KnownEndpoint, MAX_ENDPOINTS, Printer};
use super::quarantine::{Quarantined, instance, is_neighbour, is_own_claim, see, shares_address};
use super::{Effect, MAX_KEY_BYTES, Owner, Registry};
use crate::domain::endpoint::EndpointKind;
use crate::domain::identity::{self, Facts, Reason, Verdict, compare};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::Sighting;
use crate::domain::state::Source;
use jiff::{SignedDuration, Timestamp};

/// A device that was silent is asked again after this time.
pub(super) const ASK_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// What a sighting under the key of a known printer says.
enum Again {
    /// It is that printer, and what is said of who it is may be taken.
    Same,
    /// Nothing new.
    Unchanged,
    /// It is that printer with a new UUID.
    Renewed,
    /// It is taken for that printer, but what is said of who it is has to be borne out by an answer.
    Unproven,
    /// The name belongs to another device now.
    Other,
}

impl Registry {
    pub(super) fn sighted(&mut self, s: Sighting, now: Timestamp, effects: &mut Vec<Effect>) {
        if s.key.is_empty() || s.key.len() > MAX_KEY_BYTES {
            return self.refuse(&s.key, "its name is empty or too long", effects);
        }
        if self.is_ignored(&s) {
            self.turn_away(&s);
            match self.owners.get(&s.key) {
                Some(Owner::Printer(id)) => {
                    let id = id.clone();
                    if let Some(printer) = self.printers.get_mut(&id).filter(|p| p.endpoints.len() > 1) {
                        let leaving: Vec<_> = printer.endpoints.iter().filter(|e| e.key == s.key).cloned().collect();
                        printer.leave(&leaving);
                    }
                    self.take_endpoint(&id, &s.key);
                    effects.push(Effect::Changed(id));
                }
                Some(Owner::Quarantined(_)) => self.lost(&s.key, now, effects),
                None => {}
            }
            return;
        }
        match self.owners.get(&s.key).cloned() {
            Some(Owner::Printer(id)) => match self.again(&id, &s) {
                Again::Other => {
                    // The name now belongs to another device.
                    self.take_endpoint(&id, &s.key);
                    effects.push(Effect::Changed(id));
                }
                again => {
                    let Some(printer) = self.printers.get_mut(&id) else { return };
                    let here = |e: &&KnownEndpoint| e.key == s.key;
                    let before = printer.endpoints.iter().find(here).map(|e| e.endpoint.clone());
                    let mut changed = printer.see(&s, now);
                    match again {
                        Again::Same => changed |= printer.take(&s.evidence, false, now),
                        Again::Renewed => {
                            changed |= printer.take(&s.evidence, false, now);
                            printer.evidence.uuid.clone_from(&s.evidence.uuid);
                        }
                        Again::Unproven => changed |= printer.take_weak(&s.evidence, now),
                        Again::Unchanged | Again::Other => {}
                    }
                    if matches!(again, Again::Unproven) && changed && Facts::of(&s.evidence).has_keys() {
                        effects.push(Effect::CheckNow(id.clone()));
                    }
                    if changed {
                        self.index_printer(&id);
                        effects.push(Effect::Changed(id.clone()));
                        self.merge_twins(&id, now, effects);
                    }
                    if before.is_some_and(|before| !shares_address(&before, &s.endpoint)) {
                        self.verify_elsewhere(&id, &[s.endpoint], now, effects);
                    }
                    return;
                }
            },
            Some(Owner::Quarantined(n)) => {
                let Some(q) = self.quarantine.get_mut(&n) else { return };
                let others = q.endpoints.iter().filter(|e| e.key != s.key).map(|e| &e.announced);
                let other = others
                    .chain([&q.answered])
                    .any(|known| matches!(identity::same_device(known, &s.evidence), Verdict::Different(_)));
                if !other {
                    let changed = see(&mut q.endpoints, &s, now);
                    self.index_waiting(n);
                    return self.wake(n, changed, now, effects);
                }
                self.lost(&s.key, now, effects);
            }
            None => {}
        }

        if self.attach_sighting(&s, now, effects) {
            return;
        }
        // Before it is compared with all that wait.
        let Some(room) = self.room_for(&s.endpoint) else { return self.refuse(&s.key, super::room::FULL, effects) };
        if self.join_waiting(&s, now, effects) {
            return;
        }
        self.take_room(room);
        let (n, identified) = (self.next, s.endpoint.kind == EndpointKind::Snmp && identity::is_strong(&s.evidence));
        self.next += 1;
        let mut endpoints = Vec::new();
        see(&mut endpoints, &s, now);
        let mut waiting = Quarantined::new(endpoints, s.name, s.location);
        self.owners.insert(s.key.clone(), Owner::Quarantined(n));
        if identified {
            // The device itself said so.
            waiting.asked.insert(s.key);
            for e in &mut waiting.endpoints {
                e.answered = Some(now);
                e.told(&s.evidence, Some(Source::Snmp), now);
            }
            waiting.answered = s.evidence;
            waiting.answered_at = Some(now);
            self.quarantine.insert(n, waiting);
            self.index_waiting(n);
            return self.conclude(n, now, effects);
        }
        effects.push(Effect::Probe { key: s.key, endpoint: s.endpoint });
        self.quarantine.insert(n, waiting);
        self.index_waiting(n);
    }

    /// A device that was silent, and whose printer answers elsewhere, is asked once more when it is seen changed, and, where
    /// it is seen or that printer answers, after a while.
    pub(super) fn wake(&mut self, n: u64, changed: bool, now: Timestamp, effects: &mut Vec<Effect>) {
        let long = |at: Timestamp| now.duration_since(at).abs() >= ASK_AGAIN;
        let due = |q: &Quarantined| q.silent && (changed || q.silent_since.is_none_or(long));
        let Some(q) = self.quarantine.get_mut(&n).filter(|q| due(q)) else { return };
        q.silent = false;
        q.asked.clear();
        self.probe_next(n, effects);
    }

    /// Whether a sighting under a key of this printer is still this printer.
    fn again(&self, id: &PrinterId, s: &Sighting) -> Again {
        let Some(printer) = self.printers.get(id) else { return Again::Other };
        let Some(old) = printer.endpoints.iter().find(|e| e.key == s.key) else { return Again::Other };
        if self.is_split(id, s) {
            return Again::Other;
        }
        let (known, said) = (printer.facts(), Facts::of(&s.evidence));
        let anothers = self.holder_of(&said, Some(id)).is_some();
        if old.announced == s.evidence && old.endpoint.addresses == s.endpoint.addresses && !anothers {
            return Again::Unchanged;
        }
        // An address is no name: what answers there says who it is.
        let by_address = s.endpoint.kind == EndpointKind::Snmp;
        let same_host = !by_address && old.endpoint.host.eq_ignore_ascii_case(&s.endpoint.host);
        match self.verdict(printer, &said, &s.endpoint) {
            Verdict::Same(_) | Verdict::Disputed(Reason::Serial) => Again::Same,
            Verdict::Disputed(_) if same_host && is_own_claim(&known, old) => Again::Same,
            // Some devices make a new UUID at each start. Where more is known of it, an answer has to say so.
            Verdict::Different(Reason::Uuid)
                if same_host && !anothers && !identity::products_differ(&old.announced, &s.evidence) =>
            {
                let before = Facts::of(&old.announced).uuids;
                let its_own = !before.is_disjoint(&known.uuids);
                let moved = old.endpoint.addresses != s.endpoint.addresses;
                match known.serials.is_empty() && known.macs.is_empty() {
                    true if its_own => Again::Renewed,
                    // It never announced what it is known by, and is somewhere else now.
                    _ if moved && !its_own => Again::Other,
                    _ => Again::Unproven,
                }
            }
            Verdict::Disputed(_) | Verdict::Different(_) => Again::Other,
            Verdict::Open if !said.has_keys() => Again::Unproven,
            // It was taken in without these keys, or before: another printer has them.
            Verdict::Open if anothers && !known.has_keys() && old.announced == s.evidence => Again::Unproven,
            Verdict::Open if !known.has_keys() && (!anothers || !by_address) => Again::Same,
            Verdict::Open if anothers || by_address => Again::Other,
            Verdict::Open => Again::Unproven,
        }
    }

    /// Gives a sighting to the printer it belongs to without a question: a service of its host, the one printer at the
    /// address of a print port, or what an agent says itself.
    fn attach_sighting(&mut self, s: &Sighting, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let said = Facts::of(&s.evidence);
        let pinned = self.pinned_sighting(s).filter(|id| self.get(id).is_some());
        let found = pinned.map(|id| (id, Because::Pinned, String::new()));
        let found = found.or_else(|| self.neighbour(s, &said)).or_else(|| {
            let alone = s.endpoint.kind.is_raw() || s.endpoint.kind == EndpointKind::Snmp;
            let only = self.only_printer_at(&s.endpoint, &s.evidence).filter(|_| alone)?;
            let (verdict, known) = (self.verdict(only, &said, &s.endpoint), only.facts());
            let proven = match verdict {
                Verdict::Same(_) => true,
                Verdict::Open => !said.has_keys() || (s.endpoint.kind == EndpointKind::Snmp && !known.has_keys()),
                _ => false,
            };
            let address = s.endpoint.addresses.first().map(ToString::to_string).unwrap_or_default();
            proven.then(|| (only.id.clone(), Because::Address, address))
        });
        let Some((id, because, value)) = found else { return false };
        let id = self.get(&id).map_or(id, |p| p.id.clone());
        if self.is_split(&id, s) {
            return false;
        }
        let Some(printer) = self.printers.get(&id) else { return false };
        let linked = match self.verdict(printer, &said, &s.endpoint) {
            Verdict::Same(_) => true,
            Verdict::Open => !printer.facts().has_keys(),
            _ => because == Because::Pinned,
        };
        let Some(printer) = self.printers.get_mut(&id) else { return false };
        printer.see(s, now);
        if linked {
            printer.take(&s.evidence, false, now);
        } else {
            printer.take_weak(&s.evidence, now);
        }
        printer.join(&s.key, because, value, now);
        let dropped = printer.drop_surplus();
        self.owners.insert(s.key.clone(), Owner::Printer(id.clone()));
        dropped.iter().for_each(|key| drop(self.owners.remove(key)));
        self.index_printer(&id);
        effects.push(Effect::Changed(id.clone()));
        self.merge_twins(&id, now, effects);
        true
    }

    /// The printer on the host of a sighting that it belongs to.
    fn neighbour(&self, s: &Sighting, said: &Facts) -> Option<(PrinterId, Because, String)> {
        let anothers = self.holder_of(said, None);
        let at = |p: &&Printer| {
            let verdict = self.verdict(p, said, &s.endpoint);
            // What is known of somebody else is not joined by the name of a service.
            let free = verdict != Verdict::Open || anothers.as_ref().is_none_or(|id| *id == p.id);
            free && is_neighbour(&p.endpoints, verdict, &p.name, s) && !self.is_split(&p.id, s)
        };
        let printer = self.printers_at([&s.endpoint], true).into_iter().find(at)?;
        let (because, value) = match self.verdict(printer, said, &s.endpoint) {
            Verdict::Same(reason) => (Because::from(reason), said.value_of(reason)),
            _ => (Because::Host, s.endpoint.host.clone()),
        };
        Some((printer.id.clone(), because, value))
    }

    /// Adds a sighting to a device that waits for its probe on the same host.
    fn join_waiting(&mut self, s: &Sighting, now: Timestamp, effects: &mut Vec<Effect>) -> bool {
        let said = Facts::of(&s.evidence);
        let keys = said.has_keys();
        let waiting = self.waiting_at_host(&s.endpoint).find_map(|n| {
            let q = self.quarantine.get(&n)?;
            let named_alike = q.name == s.name || q.endpoints.iter().any(|e| e.instance() == instance(&s.key));
            if !keys && !named_alike {
                return None;
            }
            let verdict = compare(&Facts::of(&q.evidence()), &said, &|_| false);
            is_neighbour(&q.endpoints, verdict, &q.name, s).then_some(n)
        });
        let Some((n, q)) = waiting.and_then(|n| Some((n, self.quarantine.get_mut(&n)?))) else { return false };
        if q.endpoints.len() >= MAX_ENDPOINTS {
            self.refuse(&s.key, "the device has too many endpoints", effects);
            return true;
        }
        see(&mut q.endpoints, s, now);
        self.owners.insert(s.key.clone(), Owner::Quarantined(n));
        self.index_waiting(n);
        self.wake(n, true, now, effects);
        true
    }

    /// Unlike one that is lost, it is not kept to be asked again.
    pub(super) fn withdrawn(&mut self, key: &str, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(Owner::Printer(id)) = self.owners.get(key).cloned() else { return self.lost(key, now, effects) };
        self.take_endpoint(&id, key);
        effects.push(Effect::Changed(id));
    }

    pub(super) fn lost(&mut self, key: &str, now: Timestamp, effects: &mut Vec<Effect>) {
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
                    self.leave_quarantine(n);
                } else {
                    let waits = q.contested.is_some() || q.parked || q.silent;
                    self.index_waiting(n);
                    if !waits && !self.probe_next(n, effects) {
                        // Its probe's answer will find no owner, and all others have failed.
                        self.conclude(n, now, effects);
                    }
                }
            }
            None => {}
        }
    }

    /// Takes an endpoint from a printer.
    pub(super) fn take_endpoint(&mut self, id: &PrinterId, key: &str) {
        if let Some(printer) = self.printers.get_mut(id) {
            printer.endpoints.retain(|e| e.key != key);
        }
        self.owners.remove(key);
        self.index_printer(id);
    }
}
