//! Answers of printers that are known: whether it is still that printer, who contests its id, and which two are one.

use super::joins::Because;
use super::printer::KnownEndpoint;
use super::quarantine::{Contest, Quarantined, contradicts, overlaps, shares_address};
use super::told::{last_shown, show_all};
use super::{Effect, Identity, MAX_JOINS, Owner, Printer, Registry};
use crate::domain::identity::{self, Facts, Key, Reason, Verdict};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::Evidence;
use crate::domain::state::Source;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// How close two answers at one address must be to be of one device, where their evidence has nothing in common.
pub(super) const AT_ONE_TIME: SignedDuration = SignedDuration::from_mins(2);

/// Polls in a row that must fail over all endpoints before a printer counts as gone, where two ids are at stake.
const SILENT_POLLS: u8 = 3;

/// Or one failed poll, and no answer for this long.
const SILENT_FOR: SignedDuration = SignedDuration::from_mins(10);

/// What a poll says of where a printer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands<'a> {
    /// It answered over this endpoint, with these keys, one of them its own.
    At(&'a str, &'a [Key]),
    /// Something answered at its place, and it may be any device: nothing is decided on it.
    Unknown,
    /// Nothing answered over all its endpoints.
    Silent,
}

/// What an agent said at a printer's address that has nothing in common with what is known of the printer: it is taken
/// when the printer answers there at the same time.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    key: String,
    who: Identity,
    at: Timestamp,
}

impl Registry {
    /// `over` is nothing for a probe, which asks over IPP and SNMP.
    pub(super) fn poll_answered(
        &mut self,
        id: &PrinterId,
        key: &str,
        who: &Identity,
        over: Option<Source>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let by_agent = over == Some(Source::Snmp);
        let takeover = by_agent && self.is_answer_of_registered(id, &who.evidence);
        let Some(printer) = self.printers.get(id) else { return };
        let Some(endpoint) = printer.endpoints.iter().find(|e| e.key == key).cloned() else { return };
        let parted = self.is_split_answer(id, &who.evidence);
        if by_agent && (endpoint.endpoint.kind.is_ipp() || printer.has_ipp()) {
            if takeover || parted || !self.agent_answered(id, &endpoint, who, now, effects) {
                // With an agent's own endpoint the answer of another device takes it along.
                if !endpoint.endpoint.kind.is_ipp() {
                    self.hand_over(id, endpoint, (who, over), now, effects);
                }
            }
            return;
        }
        if takeover || parted || self.is_answer_of_another(id, &endpoint, &who.evidence, now) {
            return self.hand_over(id, endpoint, (who, over), now, effects);
        }
        let Some(printer) = self.printers.get_mut(id) else { return };
        let mut changed = printer.learn(key, who, over, now);
        if let Some(heard) = self.heard.remove(id)
            && now.duration_since(heard.at).abs() <= AT_ONE_TIME
            && printer.endpoints.iter().any(|e| e.key == heard.key && shares_address(&e.endpoint, &endpoint.endpoint))
            && matches!(identity::same_device(&printer.evidence, &heard.who.evidence), Verdict::Open)
            && show_all(&printer.endpoints, &endpoint, &Facts::of(&who.evidence), &Facts::of(&heard.who.evidence))
        {
            printer.learn_more(&heard.key, &heard.who, now);
            let address = endpoint.endpoint.addresses.first().map(ToString::to_string).unwrap_or_default();
            printer.join(&heard.key, Because::Address, address, now);
            changed = true;
        }
        if changed {
            self.index_printer(id);
            effects.push(Effect::Changed(id.clone()));
            self.merge_twins(id, now, effects);
        }
    }

    /// The agent at the address of a printer that speaks IPP: it may add to what the printer says itself, never take from
    /// it. False: it is another device's.
    fn agent_answered(
        &mut self,
        id: &PrinterId,
        endpoint: &KnownEndpoint,
        who: &Identity,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(printer) = self.printers.get(id) else { return true };
        let said = Facts::of(&who.evidence);
        let verdict = self.verdict(printer, &said, &endpoint.endpoint);
        if contradicts(&printer.evidence, &who.evidence)
            || matches!(verdict, Verdict::Different(_) | Verdict::Disputed(_))
        {
            return matches!(verdict, Verdict::Different(Reason::Model));
        }
        let answered = printer.endpoints.iter().filter(|e| e.endpoint.kind.is_ipp());
        let at_once = answered.filter_map(|e| e.answered.map(|at| (e, at))).any(|(e, at)| {
            now.duration_since(at).abs() <= AT_ONE_TIME && shares_address(&e.endpoint, &endpoint.endpoint)
        });
        let unlinked = verdict == Verdict::Open && said.has_keys() && printer.facts().has_keys();
        let vouched =
            at_once && show_all(&printer.endpoints, endpoint, &last_shown(&printer.endpoints, endpoint), &said);
        if unlinked && !vouched {
            if self.holder_of(&said, Some(id)).is_some() {
                return false;
            }
            let new = self.heard.get(id).is_none_or(|old| old.who.evidence != who.evidence);
            let heard = Heard { key: endpoint.key.clone(), who: who.clone(), at: now };
            self.heard.insert(id.clone(), heard);
            if new {
                effects.push(Effect::CheckNow(id.clone()));
            }
            return true;
        }
        let Some(printer) = self.printers.get_mut(id) else { return true };
        if printer.learn_more(&endpoint.key, who, now) {
            self.index_printer(id);
            effects.push(Effect::Changed(id.clone()));
            self.merge_twins(id, now, effects);
        }
        true
    }

    /// Whether an answer over an endpoint came from another device.
    fn is_answer_of_another(
        &self,
        id: &PrinterId,
        endpoint: &KnownEndpoint,
        answered: &Evidence,
        now: Timestamp,
    ) -> bool {
        let Some(printer) = self.printers.get(id) else { return false };
        let (known, said) = (printer.facts(), Facts::of(answered));
        match self.verdict_at(printer, &said, true) {
            Verdict::Same(_) | Verdict::Disputed(Reason::Serial) => false,
            Verdict::Open if !said.has_keys() || !known.has_keys() => false,
            // Nothing in common with what is known of it: its own word only if it is heard there otherwise too. Else it is
            // asked over everything at once, which tells.
            Verdict::Open => {
                let heard = printer.endpoints.iter().filter(|e| e.key != endpoint.key).any(|e| {
                    let at_once = e.answered.is_some_and(|at| now.duration_since(at).abs() <= AT_ONE_TIME);
                    at_once && shares_address(&e.endpoint, &endpoint.endpoint)
                });
                !heard || self.holder_of(&said, Some(id)).is_some()
            }
            Verdict::Disputed(_) => true,
            // Some devices make a new UUID at each start. Where more is known of it, it has to say that too; and what was
            // announced there comes from the device that is meant.
            Verdict::Different(Reason::Uuid) => {
                let announced = Facts::of(&endpoint.announced).uuids;
                let listed = endpoint.key.starts_with("list:") && announced.is_empty();
                let meant = listed || !announced.is_disjoint(&said.uuids);
                let more = [&known, &said].iter().any(|f| !f.serials.is_empty() || !f.macs.is_empty());
                let other = identity::products_differ(&printer.evidence, answered)
                    && identity::products_differ(&endpoint.announced, answered);
                !meant || more || other || self.holder_of(&said, Some(id)).is_some()
            }
            // Announced and answered models are often spelled differently: a model alone parts nothing.
            Verdict::Different(Reason::Model) => false,
            Verdict::Different(_) => true,
        }
    }

    /// Another device answers at a printer's endpoint: the endpoint is that one's.
    fn hand_over(
        &mut self,
        id: &PrinterId,
        endpoint: KnownEndpoint,
        (who, over): (&Identity, Option<Source>),
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let key = endpoint.key.clone();
        self.take_endpoint(id, &key);
        effects.push(Effect::Changed(id.clone()));
        // It answers: what does not makes room.
        if !self.make_room(&endpoint.endpoint) {
            return self.refuse(&key, super::room::FULL, effects);
        }
        let n = self.next;
        self.next += 1;
        self.owners.insert(key.clone(), Owner::Quarantined(n));
        let place = endpoint.endpoint.clone();
        let said = Facts::of(&who.evidence);
        let disputed = self
            .printers
            .get(id)
            .is_some_and(|printer| matches!(self.verdict_at(printer, &said, true), Verdict::Disputed(_)));
        let mut endpoint = KnownEndpoint {
            pin: who.pin,
            failing_since: None,
            answered: Some(now),
            told: None,
            of: None,
            // What was announced there was of the one before.
            announced: Evidence::default(),
            ..endpoint
        };
        endpoint.told(&who.evidence, over, now);
        let mut waiting = Quarantined::new(vec![endpoint], who.name.clone().unwrap_or_default(), who.location.clone());
        waiting.answered = who.evidence.clone();
        waiting.answered_at = Some(now);
        let known = said.keys().iter().any(|key| self.holders(key).next().is_some());
        let enough = !disputed && (identity::is_strong(&who.evidence) || known) || !place.kind.is_ipp();
        self.quarantine.insert(n, waiting);
        self.index_waiting(n);
        if enough {
            self.conclude(n, now, effects);
        } else {
            // What it is over all protocols, before it gets an id.
            effects.push(Effect::Probe { key, endpoint: place });
        }
    }

    /// Whether an answer proves that this printer is where it was taken for: by a key of it, or, of one that has none, at
    /// all.
    pub(super) fn proves(&self, id: &PrinterId, answered: &Evidence) -> bool {
        let Some(printer) = self.printers.get(id) else { return false };
        let (known, said) = (printer.facts(), Facts::of(answered));
        !known.has_keys() || known.keys().iter().any(|key| said.keys().contains(key))
    }

    /// Decides about devices that may be `id`, now that it is known whether that one still answers, and where.
    pub(super) fn settle_contests(
        &mut self,
        id: &PrinterId,
        stands: Stands<'_>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let waiting: Vec<u64> = self.contests.get(id).into_iter().flatten().copied().collect();
        for n in waiting {
            let Some(q) = self.quarantine.get(&n) else { continue };
            // Settled, or the printer was merged, by what was decided about one before.
            let Some(contest) = q.contested.clone().filter(|contest| contest.printer == *id) else { continue };
            let at = if let Stands::At(key, _) = stands { Some(key) } else { None };
            let place = at.and_then(|key| self.printers.get(id)?.endpoints.iter().find(|e| e.key == key));
            let answered = || q.endpoints.iter().filter(|o| o.answered.is_some());
            let together = place.is_some_and(|e| answered().any(|o| shares_address(&e.endpoint, &o.endpoint)));
            let address = || {
                let first = q.endpoints.first().and_then(|e| e.endpoint.addresses.first());
                first.map(ToString::to_string).unwrap_or_default()
            };
            if let Some(since) = contest.at_address {
                let fresh = now.duration_since(since).abs() <= AT_ONE_TIME;
                if together && fresh {
                    let value = address();
                    self.attach(n, id, Because::Address, value, now, effects);
                    continue;
                }
            }
            // The answer may have told more about the printer that is contested: look again.
            let found = self.find_known(q);
            match found {
                super::conclude::Found::Certain(known, because, value) => {
                    self.attach(n, &known, because, value, now, effects);
                }
                super::conclude::Found::Moved(known, ..) if known != *id => {
                    self.leave_contest(n);
                    self.contest(n, Contest { printer: known, at_address: None, since: now }, effects);
                }
                // It shows more of the printer than what answered at the old place: that may be a clone.
                super::conclude::Found::Moved(known, because, value)
                    if stands == Stands::Silent || self.outweighs(id, q, stands) =>
                {
                    self.attach(n, &known, because, value, now, effects);
                }
                super::conclude::Found::Moved(..) if stands == Stands::Unknown => {}
                // It shows a better key than the old place, where only a clone may be. The agent there may still say more.
                super::conclude::Found::Moved(known, because, value) if self.outranks(id, q, stands) => {
                    if now.duration_since(contest.since).abs() >= SILENT_FOR {
                        self.attach(n, &known, because, value, now, effects);
                    }
                }
                super::conclude::Found::Moved(..) if self.is_disowned(q) => self.disown(n, now, effects),
                super::conclude::Found::Moved(..) if !Facts::of(&q.answered).has_keys() => self.silence(n, id, now),
                _ => self.adopt(n, now, effects),
            }
        }
        let silent = self.quarantine.iter().filter(|(_, q)| q.silent && q.doubted.as_ref() == Some(id));
        let silent: Vec<u64> = silent.map(|(n, _)| *n).collect();
        silent.into_iter().for_each(|n| self.wake(n, false, now, effects));
        self.settle_twins(id, stands, now, effects);
    }

    /// Whether a device that answered shows more of a printer than what answered at the printer's place.
    fn outweighs(&self, id: &PrinterId, q: &Quarantined, stands: Stands<'_>) -> bool {
        let Stands::At(_, shown) = stands else { return false };
        Facts::of(&q.answered).has_keys() && self.shows_more(id, &Facts::of(&q.evidence()), shown)
    }

    /// Whether a device answered with a key of a printer that outranks all that was answered at the printer's place: serial
    /// numbers are cloned least, UUIDs most.
    fn outranks(&self, id: &PrinterId, q: &Quarantined, stands: Stands<'_>) -> bool {
        let (Stands::At(_, shown), Some(printer)) = (stands, self.printers.get(id)) else { return false };
        let known: BTreeSet<Key> = printer.facts().keys().into_iter().collect();
        let best = |keys: &[Key]| keys.iter().filter(|key| known.contains(*key)).map(grade).max();
        best(&Facts::of(&q.answered).keys()) > best(shown)
    }

    /// Whether these facts show all keys of a printer that an answer showed, and another one.
    fn shows_more(&self, id: &PrinterId, facts: &Facts, said: &[Key]) -> bool {
        let Some(printer) = self.printers.get(id) else { return false };
        let known: BTreeSet<Key> = printer.facts().keys().into_iter().collect();
        let of = |keys: &[Key]| -> BTreeSet<Key> { keys.iter().filter(|key| known.contains(*key)).cloned().collect() };
        let (claimed, shown) = (of(&facts.keys()), of(said));
        claimed.len() > shown.len() && claimed.is_superset(&shown)
    }

    /// Nothing answers at its place, or nothing that says who it is, and the printer that it says it is does so elsewhere.
    fn silence(&mut self, n: u64, id: &PrinterId, now: Timestamp) {
        self.leave_contest(n);
        if let Some(q) = self.quarantine.get_mut(&n) {
            q.silent = true;
            q.silent_since = Some(now);
            q.doubted = Some(id.clone());
        }
    }

    /// Whether a device that was asked again answered without a key once more: it is there, and is not the printer that it
    /// announces.
    fn is_disowned(&self, q: &Quarantined) -> bool {
        let again = q.silent_since.zip(q.answered_at).is_some_and(|(silent, answered)| answered > silent);
        again && !q.disowned && !Facts::of(&q.answered).has_keys()
    }

    /// It gets an id by its host or name, and is listed as a possible duplicate.
    fn disown(&mut self, n: u64, now: Timestamp, effects: &mut Vec<Effect>) {
        self.leave_contest(n);
        if let Some(q) = self.quarantine.get_mut(&n) {
            q.disowned = true;
        }
        self.index_waiting(n);
        self.conclude(n, now, effects);
    }

    fn leave_contest(&mut self, n: u64) {
        let Some(mut q) = self.leave_quarantine(n) else { return };
        q.contested = None;
        self.quarantine.insert(n, q);
        self.index_waiting(n);
    }

    /// Whether a printer is no longer announced anywhere, or has not answered several polls in a row. One failed poll is
    /// a lost packet.
    pub(super) fn is_gone(&self, printer: &Printer) -> bool {
        let failed = self.failures.get(&printer.id).is_some_and(|polls| *polls >= SILENT_POLLS);
        failed || printer.endpoints.iter().all(|e| e.lost)
    }

    /// The same after a failed poll, where an answer long ago counts too.
    fn is_silent(&self, printer: &Printer, now: Timestamp) -> bool {
        let last = printer.endpoints.iter().filter_map(|e| e.answered).max();
        self.is_gone(printer) || last.is_some_and(|at| now.duration_since(at).abs() >= SILENT_FOR)
    }

    /// Decides about printers that share a key with `id` and were seen elsewhere.
    fn settle_twins(&mut self, id: &PrinterId, stands: Stands<'_>, now: Timestamp, effects: &mut Vec<Effect>) {
        let silent = || self.printers.get(id).is_none_or(|p| self.is_silent(p, now));
        if stands == Stands::Unknown || (stands == Stands::Silent && !silent()) {
            // Two ids stay two until a later poll says more.
            return;
        }
        for other in self.twins.remove(id).unwrap_or_default() {
            let (Some(a), Some(b)) = (self.printers.get(id), self.printers.get(&other)) else { continue };
            let more = match stands {
                Stands::At(_, said) => self.shows_more(id, &b.facts(), said),
                Stands::Unknown => false,
                Stands::Silent => true,
            };
            let one = overlaps(&a.endpoints, &b.endpoints) || more;
            if one && let Some((reason, value)) = self.twin_reason(id, &other) {
                self.unite(id, &other, Because::from(reason), value, now, effects);
                return self.merge_twins(id, now, effects);
            }
            self.part(id, &other, effects);
        }
    }

    /// Two printers are known to be two.
    fn part(&mut self, a: &PrinterId, b: &PrinterId, effects: &mut Vec<Effect>) {
        for (id, other) in [(a, b), (b, a)] {
            if let Some(printer) = self.printers.get_mut(id)
                && !printer.apart.contains(other)
                && printer.apart.len() < MAX_JOINS
            {
                printer.apart.push(other.clone());
                effects.push(Effect::Changed(id.clone()));
            }
        }
    }

    /// A printer that got its id although others have a key of it is another one.
    pub(super) fn part_from_holders(&mut self, id: &PrinterId) {
        let Some(printer) = self.printers.get(id) else { return };
        let keys = printer.facts().keys_and_nodes();
        let others: BTreeSet<PrinterId> = keys
            .iter()
            .flat_map(|key| self.holders(key).take(MAX_JOINS))
            // What an administrator parted is apart while the rule stands.
            .filter(|p| p.id != *id && !self.are_split(p, printer))
            .map(|p| p.id.clone())
            .collect();
        let mut effects = Vec::new();
        others.iter().for_each(|other| self.part(id, other, &mut effects));
    }

    /// Why two printers are one, if they are.
    fn twin_reason(&self, a: &PrinterId, b: &PrinterId) -> Option<(Reason, String)> {
        let (a, b) = (self.printers.get(a)?, self.printers.get(b)?);
        if self.are_split(a, b) {
            return None;
        }
        let (facts_a, facts_b) = (a.facts(), b.facts());
        // Both have it, so that it is with two already; what a third one has proves nothing.
        let worthless = |key: &Key| self.holders(key).take(3).count() > 2;
        match identity::compare(&facts_a, &facts_b, &worthless) {
            Verdict::Same(reason) | Verdict::Disputed(reason @ Reason::Serial) => {
                let shared: Vec<Key> =
                    facts_a.keys_and_nodes().intersection(&facts_b.keys_and_nodes()).cloned().collect();
                let value = shared.first().map(Key::to_string).unwrap_or_default();
                Some((reason, value))
            }
            _ => None,
        }
    }

    /// Merges printers that turned out to be one; where only a place can tell, the other one is asked first.
    pub(super) fn merge_twins(&mut self, id: &PrinterId, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut id = id.clone();
        loop {
            let Some(printer) = self.printers.get(&id) else { return };
            let keys = printer.facts().keys_and_nodes();
            let twins: BTreeSet<PrinterId> = keys
                .iter()
                .flat_map(|key| self.holders(key).take(MAX_JOINS))
                .filter(|p| p.id != id)
                .map(|p| p.id.clone())
                .collect();
            let mut next = None;
            for other in twins {
                let Some((reason, value)) = self.twin_reason(&id, &other) else { continue };
                let (Some(a), Some(b)) = (self.printers.get(&id), self.printers.get(&other)) else { continue };
                let conflict = matches!(identity::same_device(&a.evidence, &b.evidence), Verdict::Disputed(_));
                let certain = reason == Reason::Serial && !conflict;
                let cards = a.facts().macs.intersection(&b.facts().macs).count() > 1;
                let known_apart = a.apart.contains(&other) || b.apart.contains(&id);
                let together = overlaps(&a.endpoints, &b.endpoints) && !is_queue_beside(a, b);
                if certain || (!known_apart && (cards || together || self.is_gone(a) || self.is_gone(b))) {
                    next = Some((other, reason, value));
                    break;
                }
                if !known_apart && self.twins.entry(other.clone()).or_default().insert(id.clone()) {
                    effects.push(Effect::CheckNow(other));
                }
            }
            let Some((other, reason, value)) = next else { return };
            id = self.unite(&id, &other, Because::from(reason), value, now, effects);
        }
    }

    /// Makes one printer of two: the older one's id stays. Returns it.
    fn unite(
        &mut self,
        a: &PrinterId,
        b: &PrinterId,
        because: Because,
        value: String,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> PrinterId {
        // What an administrator named stays.
        let since = |id: &PrinterId| self.printers.get(id).map(|p| (!self.is_named(id), p.first_seen, p.id.clone()));
        let (survivor, absorbed) = if since(b) < since(a) { (b, a) } else { (a, b) };
        self.absorb(survivor, absorbed, because, value, now, effects);
        survivor.clone()
    }

    /// Takes one printer into another.
    pub(super) fn absorb(
        &mut self,
        survivor: &PrinterId,
        absorbed: &PrinterId,
        because: Because,
        value: String,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if survivor == absorbed || !self.printers.contains_key(survivor) {
            return;
        }
        let Some(gone) = self.printers.remove(absorbed) else { return };
        self.index_printer(absorbed);
        let Some(stays) = self.printers.get_mut(survivor) else { return };
        for mut e in gone.endpoints {
            self.owners.insert(e.key.clone(), Owner::Printer(survivor.clone()));
            e.of.get_or_insert_with(|| absorbed.clone());
            stays.endpoints.push(e);
        }
        stays.drop_surplus().iter().for_each(|key| drop(self.owners.remove(key)));
        stays.evidence = identity::merge(&gone.evidence, &stays.evidence);
        for alias in gone.known {
            stays.remember(alias.key, alias.at);
        }
        for join in gone.joins {
            stays.join(&join.what, join.because, join.value, join.at);
        }
        stays.join(absorbed.as_str(), because, value, now);
        stays.claimed &= gone.claimed;
        for other in gone.apart.into_iter().chain(std::mem::take(&mut stays.apart)) {
            if other != *survivor
                && other != *absorbed
                && !stays.apart.contains(&other)
                && stays.apart.len() < MAX_JOINS
            {
                stays.apart.push(other);
            }
        }
        if gone.standing == super::Standing::Adopted && stays.standing == super::Standing::Pending {
            stays.standing = super::Standing::Adopted;
            effects.push(Effect::Adopted(survivor.clone()));
        }
        for alias in gone.aliases.into_iter().chain([absorbed.clone()]) {
            self.aliases.insert(alias.clone(), survivor.clone());
            stays.add_alias(alias).iter().for_each(|old| drop(self.aliases.remove(old)));
        }
        self.failures.remove(absorbed);
        self.heard.remove(absorbed);
        self.follow(absorbed, survivor);
        self.index_printer(survivor);
        effects.push(Effect::Merged { survivor: survivor.clone(), absorbed: absorbed.clone() });
        effects.push(Effect::Changed(survivor.clone()));
    }
}

/// How far a key is to be trusted where two places show different ones.
fn grade(key: &Key) -> u8 {
    match key {
        Key::Serial(_) => 3,
        Key::Mac(_) => 2,
        Key::Uuid(_) => 1,
        Key::Host(_) | Key::Address(_) => 0,
    }
}

/// Whether two printers are two queues or ports of one place.
fn is_queue_beside(a: &super::Printer, b: &super::Printer) -> bool {
    a.endpoints.iter().any(|x| {
        b.endpoints
            .iter()
            .any(|y| shares_address(&x.endpoint, &y.endpoint) && super::quarantine::is_beside(&x.endpoint, &y.endpoint))
    })
}
