//! Who a device in quarantine is, once it was asked: a printer that is known, one that may be it and has to be asked
//! first, or a new one.

use super::contest::AT_ONE_TIME;
use super::joins::Because;
use super::printer::{KnownEndpoint, Printer, Standing};
use super::quarantine::{
    Contest, Quarantined, is_beside, is_other_device, is_other_queue, is_own_agent, is_own_claim, is_same_socket,
    overlaps, rank, shares_address, shares_place,
};
use super::{Effect, Identity, MAX_JOINS, Owner, Registry};
use crate::domain::endpoint::Endpoint;
use crate::domain::identity::{self, Facts, Key, Reason, Verdict, compare};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::Evidence;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Evidence without some of its keys.
fn without(evidence: &Evidence, keys: &BTreeSet<Key>) -> Evidence {
    let mut rest = evidence.clone();
    let canonical = identity::canonical(evidence);
    if canonical.uuid.is_some_and(|uuid| keys.contains(&Key::Uuid(uuid))) {
        rest.uuid = None;
    }
    rest.macs = canonical.macs.into_iter().filter(|mac| !keys.contains(&Key::Mac(mac.clone()))).collect();
    rest
}

/// Who a device in quarantine may be.
pub(super) enum Found {
    /// Nobody who is known.
    Nobody,
    /// This printer, without doubt.
    Certain(PrinterId, Because, String),
    /// This printer, unless that one answers at its old place.
    Moved(PrinterId, Because, String),
    /// This printer, if that one answers at the same address at the time when this one answered there.
    Beside(PrinterId, Timestamp),
}

impl Registry {
    pub(super) fn probe_answered(
        &mut self,
        n: u64,
        key: &str,
        who: &Identity,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Some(q) = self.quarantine.get_mut(&n) else { return };
        let (told, more) = (Facts::of(&q.answered), Facts::of(&who.evidence));
        let at_once = q.answered_at.is_none_or(|at| now.duration_since(at).abs() <= AT_ONE_TIME);
        let linked = match compare(&told, &more, &|_| false) {
            Verdict::Same(_) => true,
            Verdict::Open => at_once || !told.has_keys(),
            Verdict::Disputed(_) | Verdict::Different(_) => false,
        };
        if linked {
            q.answered = identity::merge(&q.answered, &who.evidence);
        } else {
            // Another one than the one that answered before: who is there now counts.
            q.answered = who.evidence.clone();
            q.refuted.clear();
            q.endpoints.iter_mut().for_each(|e| (e.answered, e.told) = (None, None));
        }
        q.answered_at = Some(now);
        q.asked.insert(key.to_owned());
        q.silent = false;
        if let Some(e) = q.endpoints.iter_mut().find(|e| e.key == key) {
            e.pin = e.pin.or(who.pin);
            e.answered = Some(now);
            e.told(&who.evidence, None, now);
        }
        if let Some(name) = &who.name {
            q.name.clone_from(name);
        }
        q.location = who.location.clone().or(q.location.take());
        let waits = q.contested.is_some() || q.parked;
        self.index_waiting(n);
        let Some(q) = self.quarantine.get(&n).filter(|_| !waits) else { return };
        // The agent said little: what the device says over IPP itself comes before the id is made.
        let over_ipp = q.endpoints.iter().any(|e| e.key == key && e.endpoint.kind.is_ipp());
        let unasked = q.endpoints.iter().filter(|e| e.endpoint.kind.is_ipp() && !q.asked.contains(&e.key));
        let next = unasked.min_by_key(|e| e.rank()).filter(|_| !over_ipp && !identity::is_strong(&q.answered));
        match next {
            Some(e) => effects.push(Effect::Probe { key: e.key.clone(), endpoint: e.endpoint.clone() }),
            None => self.conclude(n, now, effects),
        }
    }

    pub(super) fn probe_failed(&mut self, n: u64, key: String, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(q) = self.quarantine.get_mut(&n) else { return };
        q.asked.insert(key);
        if q.contested.is_none() && !q.parked && !q.silent && !self.probe_next(n, effects) {
            // Nobody answers: what was announced has to do.
            self.conclude(n, now, effects);
        }
    }

    /// Probes the best endpoint that has not been asked yet; false when there is none.
    pub(super) fn probe_next(&mut self, n: u64, effects: &mut Vec<Effect>) -> bool {
        let Some(q) = self.quarantine.get(&n) else { return true };
        let next = q.endpoints.iter().filter(|e| !q.asked.contains(&e.key)).min_by_key(|e| e.rank());
        if let Some(e) = next {
            effects.push(Effect::Probe { key: e.key.clone(), endpoint: e.endpoint.clone() });
        }
        next.is_some()
    }

    /// Decides who a quarantined device is.
    pub(super) fn conclude(&mut self, n: u64, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(q) = self.quarantine.get(&n) else { return };
        if self.is_unwanted(q) {
            if let Some(q) = self.quarantine.get_mut(&n) {
                q.parked = true;
            }
            return;
        }
        if self.has_patience(n) {
            return;
        }
        let Some(q) = self.quarantine.get(&n) else { return };
        match self.find_known(q) {
            Found::Nobody => self.adopt(n, now, effects),
            Found::Certain(id, because, value) => self.attach(n, &id, because, value, now, effects),
            Found::Moved(printer, ..) => {
                self.contest(n, Contest { printer, at_address: None, since: now }, effects);
            }
            Found::Beside(printer, answered) => {
                self.contest(n, Contest { printer, at_address: Some(answered), since: now }, effects);
            }
        }
    }

    pub(super) fn contest(&mut self, n: u64, contest: Contest, effects: &mut Vec<Effect>) {
        effects.push(Effect::CheckNow(contest.printer.clone()));
        self.contests.entry(contest.printer.clone()).or_default().insert(n);
        if let Some(q) = self.quarantine.get_mut(&n) {
            q.contested = Some(contest);
        }
    }

    /// The printer a quarantined device is, as far as the evidence says.
    pub(super) fn find_known(&self, q: &Quarantined) -> Found {
        if let Some(id) = self.pinned_device(q) {
            if let Some(printer) = self.get(&id) {
                return Found::Certain(printer.id.clone(), Because::Pinned, id.to_string());
            }
            return Found::Nobody;
        }
        let evidence = q.evidence();
        let facts = Facts::of(&evidence);
        let mut best: Option<(bool, u8, Found)> = None;
        for key in facts.keys_and_nodes() {
            for printer in self.holders(&key).take(MAX_JOINS) {
                let Some((certain, reason)) = self.is_known_as(printer, q, &facts) else { continue };
                let grade = (!certain, rank(reason));
                if best.as_ref().is_none_or(|(doubt, rank, _)| grade < (*doubt, *rank)) {
                    let (because, value) = (Because::from(reason), facts.value_of(reason));
                    let id = printer.id.clone();
                    let found =
                        if certain { Found::Certain(id, because, value) } else { Found::Moved(id, because, value) };
                    best = Some((grade.0, grade.1, found));
                }
            }
        }
        if let Some((.., found)) = best {
            return found;
        }
        match self.find_by_place(q, &facts) {
            Found::Certain(id, ..) | Found::Moved(id, ..) | Found::Beside(id, _) if q.refuted.contains(&id) => {
                Found::Nobody
            }
            found => found,
        }
    }

    /// Whether a quarantined device is this printer by a strong key, and whether without doubt.
    fn is_known_as(&self, printer: &Printer, q: &Quarantined, facts: &Facts) -> Option<(bool, Reason)> {
        if self.is_split_device(&printer.id, q) || q.refuted.contains(&printer.id) {
            return None;
        }
        let together = overlaps(&printer.endpoints, &q.endpoints);
        let beside = printer.endpoints.iter().filter(|e| !e.lost).any(|e| {
            q.endpoints.iter().any(|o| shares_address(&e.endpoint, &o.endpoint) && is_beside(&e.endpoint, &o.endpoint))
        });
        let moved = self.is_gone(printer) || together;
        match self.verdict_at(printer, facts, together) {
            // What is only announced is a claim: the printer that has the serial is asked first.
            Verdict::Same(Reason::Serial) => {
                let told = !Facts::of(&q.answered).serials.is_disjoint(&facts.serials);
                Some((moved || told, Reason::Serial))
            }
            Verdict::Disputed(Reason::Serial) => Some((moved, Reason::Serial)),
            Verdict::Same(reason) if !beside => {
                let cards = printer.facts().macs.intersection(&facts.macs).count();
                Some((moved || cards > 1, reason))
            }
            Verdict::Disputed(reason) if !beside => {
                let known = printer.facts();
                // Said under the host name itself: an answer may come from another device at an old address.
                let host = |e: &KnownEndpoint| e.endpoint.host.parse::<std::net::IpAddr>().is_err();
                let said = |o: &KnownEndpoint| {
                    let announced = Facts::of(&o.announced);
                    let others = |f: &Facts| !f.serials.is_empty() || !f.macs.is_empty();
                    others(&announced) && !announced.uuids.is_disjoint(&facts.uuids)
                };
                let same = |e: &KnownEndpoint| {
                    let here = |o: &KnownEndpoint| o.endpoint.host.eq_ignore_ascii_case(&e.endpoint.host);
                    host(e) && is_own_claim(&known, e) && q.endpoints.iter().any(|o| here(o) && said(o))
                };
                printer.endpoints.iter().any(same).then_some((true, reason))
            }
            _ => None,
        }
    }

    /// Weak evidence: the id that would be minted, and who else is at the address.
    fn find_by_place(&self, q: &Quarantined, facts: &Facts) -> Found {
        let evidence = q.evidence();
        if let Some(found) = self.find_by_socket(q, facts) {
            return found;
        }
        if !facts.has_keys()
            && let Some(printer) = self.get(&identity::mint(&evidence, &q.fallback()))
        {
            // A name or host that both have says nothing of two queues or ports that lie side by side.
            let beside = printer.endpoints.iter().any(|e| {
                let mut others = q.endpoints.iter().map(|o| &o.endpoint);
                others.any(|o| shares_place(&e.endpoint, o) && is_other_queue(&e.endpoint, o))
            });
            let same = self.verdict_at(printer, facts, false) == Verdict::Open;
            let host = q.fallback().host.unwrap_or_default().to_owned();
            let together = overlaps(&printer.endpoints, &q.endpoints);
            // An id of name and model alone is that of any printer of the kind, unless the place is the same.
            let named = Key::host(&host).is_some_and(|key| {
                printer.known.iter().any(|alias| alias.key == key)
                    || printer.endpoints.iter().any(|e| e.endpoint.host.eq_ignore_ascii_case(&host))
            });
            return match same && (named || together) && !beside && !self.is_split_device(&printer.id, q) {
                true if self.is_gone(printer) || together => Found::Certain(printer.id.clone(), Because::Host, host),
                true => Found::Moved(printer.id.clone(), Because::Host, host),
                false => Found::Nobody,
            };
        }
        // What answers at the address of a printer may be that printer in other words.
        let live = |e: &&KnownEndpoint| !e.lost;
        let places = || q.endpoints.iter().map(|e| &e.endpoint);
        let at =
            |p: &&Printer| p.endpoints.iter().filter(live).any(|e| places().any(|o| shares_address(&e.endpoint, o)));
        let mut there = self.printers_at(places(), false).into_iter().filter(at);
        let Some(only) = there.next().filter(|_| there.next().is_none()) else { return Found::Nobody };
        let beside = only.endpoints.iter().any(|e| places().any(|o| is_beside(&e.endpoint, o)));
        let own = places().all(is_own_agent) && only.endpoints.iter().all(|e| is_own_agent(&e.endpoint));
        if !own || beside || self.is_split_device(&only.id, q) {
            return Found::Nobody;
        }
        let address = || {
            let shared = |o: &&Endpoint| only.endpoints.iter().any(|e| shares_address(&e.endpoint, o));
            places().find(shared).and_then(|o| o.addresses.first()).map(ToString::to_string).unwrap_or_default()
        };
        let (verdict, known) = (self.verdict_at(only, facts, true), only.facts());
        if facts.has_keys() && known.has_keys() {
            // A device that answers, and another word of it: they are one if both are heard there at one time.
            let there = |o: &KnownEndpoint| only.endpoints.iter().any(|e| shares_address(&e.endpoint, &o.endpoint));
            let heard = q.endpoints.iter().filter(|o| there(o)).filter_map(|o| o.answered).max();
            let answered = heard.filter(|_| Facts::of(&q.answered).has_keys());
            let open = matches!(verdict, Verdict::Open | Verdict::Different(Reason::Uuid));
            return answered.filter(|_| open).map_or(Found::Nobody, |at| Found::Beside(only.id.clone(), at));
        }
        // Of several that are asked at the address of a print port any may be its printer.
        let silent = if only.has_ipp() { places().all(|o| !o.kind.is_ipp()) } else { !self.is_asked_beside(q) };
        if verdict == Verdict::Open && silent && !is_other_device(&only.evidence, &evidence) {
            return Found::Certain(only.id.clone(), Because::Address, address());
        }
        Found::Nobody
    }

    /// A device without any key at the socket of a printer without any: one of them was seen by name, the other by address.
    fn find_by_socket(&self, q: &Quarantined, facts: &Facts) -> Option<Found> {
        if facts.has_keys() {
            return None;
        }
        let around = q.endpoints.iter().flat_map(|o| self.at_addresses(&o.endpoint)).collect();
        self.printers_of(around).into_iter().find_map(|printer| {
            let works = |e: &&KnownEndpoint| !e.lost && e.failing_since.is_none();
            let shared = |o: &&KnownEndpoint| {
                printer.endpoints.iter().filter(works).any(|e| is_same_socket(&e.endpoint, &o.endpoint))
            };
            let place = q.endpoints.iter().find(shared)?;
            let open = !printer.facts().has_keys() && self.verdict_at(printer, facts, true) == Verdict::Open;
            let address = place.endpoint.addresses.first().map(ToString::to_string).unwrap_or_default();
            (open && !self.is_split_device(&printer.id, q))
                .then(|| Found::Certain(printer.id.clone(), Because::Address, address))
        })
    }

    pub(super) fn adopt(&mut self, n: u64, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.is_one_claim_too_many(n) {
            return self.hold(n, now, effects);
        }
        let worthless = self.worthless_of(n);
        let Some(q) = self.leave_quarantine(n) else { return };
        let evidence = q.evidence();
        let claimed = q.answered_at.is_none();
        let pinned = self.pinned_device(&q).filter(|id| !self.is_taken(id));
        let is_pinned = pinned.is_some();
        let because = if is_pinned { Because::Pinned } else { Because::First };
        let ids = identity::candidates(&without(&evidence, &worthless), &q.fallback());
        let back = || self.own_old_id(&q, &ids);
        let id = pinned.or_else(back).or_else(|| ids.iter().find(|id| !self.is_taken(id)).cloned());
        let Some(id) = id else {
            let key = q.endpoints.first().map(|e| e.key.clone()).unwrap_or_default();
            q.endpoints.iter().for_each(|e| drop(self.owners.remove(&e.key)));
            return self.refuse(&key, "nothing tells it from a printer already known", effects);
        };
        self.take_back(&id, effects);
        let mut printer = Printer {
            id: id.clone(),
            aliases: Vec::new(),
            evidence: evidence.clone(),
            endpoints: q.endpoints,
            name: q.name,
            location: q.location,
            first_seen: now,
            standing: Standing::Adopted,
            joins: Vec::new(),
            known: Vec::new(),
            apart: Vec::new(),
            claimed,
        };
        printer.take(&evidence, true, now);
        let (value, keys): (String, Vec<_>) = (
            Facts::of(&evidence).keys().first().map(Key::to_string).unwrap_or_default(),
            printer.endpoints.iter().map(|e| (e.key.clone(), e.endpoint.clone())).collect(),
        );
        for (key, place) in keys {
            printer.join(&key, because, value.clone(), now);
            printer.remember_place(&place, now);
            self.owners.insert(key, Owner::Printer(id.clone()));
        }
        printer.standing = self.standing_of(&printer);
        effects.push(match printer.standing {
            Standing::Adopted => Effect::Adopted(id.clone()),
            Standing::Pending => Effect::Pending(id.clone()),
        });
        self.printers.insert(id.clone(), printer);
        if claimed {
            self.claimed.insert(id.clone());
        }
        self.index_printer(&id);
        self.merge_by_rule(&id, now, effects);
        if is_pinned {
            // The printer of this serial number is the pinned one, whatever it was called.
            self.merge_twins(&id, now, effects);
        }
        self.part_from_holders(&id);
    }

    /// The UUIDs and MAC addresses of a waiting device that other live devices have too, which are certainly others by
    /// what else is known of them: no id is made of these.
    fn worthless_of(&self, n: u64) -> BTreeSet<Key> {
        let Some(q) = self.quarantine.get(&n) else { return BTreeSet::new() };
        let facts = Facts::of(&q.evidence());
        let mut keys = facts.keys();
        keys.retain(|key| key.serial().is_none());
        let others = |key: &Key| {
            let worthless = |other: &Key| other == key;
            let apart = |other: &Facts| matches!(compare(&facts, other, &worthless), Verdict::Different(_));
            let live = |endpoints: &[KnownEndpoint]| endpoints.iter().any(|e| !e.lost);
            self.owners_of(key).take(MAX_JOINS).any(|owner| match owner {
                Owner::Printer(id) => self.printers.get(id).is_some_and(|p| live(&p.endpoints) && apart(&p.facts())),
                Owner::Quarantined(m) if *m == n => false,
                Owner::Quarantined(m) => self.quarantine.get(m).is_some_and(|o| apart(&Facts::of(&o.evidence()))),
            })
        };
        keys.into_iter().filter(others).collect()
    }

    pub(super) fn attach(
        &mut self,
        n: u64,
        known: &PrinterId,
        because: Because,
        value: String,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if !self.printers.contains_key(known) {
            return self.adopt(n, now, effects);
        }
        let Some(q) = self.leave_quarantine(n) else { return };
        let evidence = q.evidence();
        // An address alone says nothing of what was only announced.
        let (Some(printer), answered) = (self.printers.get_mut(known), Facts::of(&q.answered).has_keys()) else {
            return;
        };
        let over_ipp = q.endpoints.iter().any(|e| e.endpoint.kind.is_ipp() && e.answered.is_some());
        let here: Vec<Endpoint> = q.endpoints.iter().map(|e| e.endpoint.clone()).collect();
        for mut e in q.endpoints {
            e.since = Some(now);
            self.owners.insert(e.key.clone(), Owner::Printer(known.clone()));
            printer.endpoints.retain(|old| old.key != e.key);
            printer.join(&e.key, because, value.clone(), now);
            printer.remember_place(&e.endpoint, now);
            printer.endpoints.push(e);
        }
        printer.drop_surplus().iter().for_each(|key| drop(self.owners.remove(key)));
        printer.take(&evidence, answered, now);
        if !q.name.trim().is_empty() && (over_ipp || printer.name.trim().is_empty()) {
            printer.name = q.name;
        }
        printer.location = q.location.or(printer.location.take());
        self.index_printer(known);
        effects.push(Effect::Changed(known.clone()));
        if answered {
            self.verify_elsewhere(known, &here, now, effects);
        }
        self.merge_twins(known, now, effects);
    }

    pub(super) fn leave_quarantine(&mut self, n: u64) -> Option<Quarantined> {
        let q = self.quarantine.remove(&n)?;
        self.index_waiting(n);
        if let Some(contest) = &q.contested
            && let Some(waiting) = self.contests.get_mut(&contest.printer)
        {
            waiting.remove(&n);
            if waiting.is_empty() {
                self.contests.remove(&contest.printer);
            }
        }
        Some(q)
    }

    /// What a printer's facts and others say, seen at a place.
    pub(super) fn verdict(&self, printer: &Printer, facts: &Facts, place: &Endpoint) -> Verdict {
        let together = printer.endpoints.iter().any(|e| !e.lost && shares_place(&e.endpoint, place));
        match self.verdict_at(printer, facts, together) {
            // Under one UUID at one place, models are spelled in many ways.
            Verdict::Different(Reason::Model) if together && !printer.facts().uuids.is_disjoint(&facts.uuids) => {
                Verdict::Same(Reason::Uuid)
            }
            verdict => verdict,
        }
    }

    /// The same, with the facts seen at the printer's own place or elsewhere: a UUID or MAC address that several printers
    /// have proves nothing elsewhere.
    pub(super) fn verdict_at(&self, printer: &Printer, facts: &Facts, together: bool) -> Verdict {
        let worthless = |key: &Key| !together && self.holders(key).take(2).count() > 1;
        compare(&printer.facts(), facts, &worthless)
    }

    /// The one printer, but for `except`, that has a strong key of these facts.
    pub(super) fn holder_of(&self, facts: &Facts, except: Option<&PrinterId>) -> Option<PrinterId> {
        facts.keys().iter().find_map(|key| {
            let mut holders = self.holders(key).filter(|p| Some(&p.id) != except);
            let only = holders.next().filter(|_| holders.next().is_none())?;
            let shared = except.is_some_and(|id| self.holders(key).any(|p| p.id == *id));
            (!shared && matches!(self.verdict_at(only, facts, false), Verdict::Same(_))).then(|| only.id.clone())
        })
    }
}
