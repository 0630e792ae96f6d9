//! What the registry wants done, and what an administrator desires of a printer.
//!
//! Standing of a printer here: an adopted one is in the schedules; a pending one is in none, nothing is known of how it
//! is, and its shadow says `pending`; one that is dropped leaves nothing but a shadow that says why.
//!
//! Desired `config.approved` counts under `printers.adopt: "approve"`: `true` adopts, `false` takes back to pending. What
//! is older than the last one taken, by version and time, is dropped (a shadow that was deleted counts its versions anew). What cannot be obeyed
//! is reported in `config.refused` with the reason; so is `false` under `auto`, where `printers.ignore` is the way, and a
//! desired `config.name`, for which `printers.names` is.

use super::{Entry, HubState};
use crate::cloud::wire::ShadowDelta;
use crate::domain::ids::PrinterId;
use crate::domain::registry::{Adoption, Effect, Event, Printer, Standing, Unwanted};
use crate::domain::state::{PrinterState, Source};
use crate::hub::{Desired, Gone, records};
use jiff::{SignedDuration, Timestamp};

/// How often refused sightings are told in the log.
const REFUSALS_PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// Refused sightings that are not told yet: whoever floods the gateway must not flood its log.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: u64,
    told: Option<Timestamp>,
}

impl Refusals {
    /// Counts one; the count since the last line where it is time for one.
    fn tell(&mut self, now: Timestamp) -> Option<u64> {
        self.count += 1;
        if self.told.is_some_and(|told| now.duration_since(told).abs() < REFUSALS_PAUSE) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

impl HubState {
    pub(super) fn tell_registry(&mut self, event: Event, now: Timestamp) {
        let announcement = matches!(event, Event::Sighting(_) | Event::Lost { .. } | Event::Withdrawn { .. });
        let raw = match &event {
            Event::Sighting(s) if s.endpoint.kind.is_raw() => Some(s.endpoint.clone()),
            _ => None,
        };
        match &event {
            Event::PollFailed { id } => drop(self.checks.remove(id)),
            Event::PollAnswered { id, over, .. } if *over == Source::Ipp || !self.has_ipp(id) => {
                self.checks.remove(id);
            }
            _ => {}
        }
        for effect in self.registry.apply(event, now) {
            self.carry_out(effect, announcement, now);
        }
        for id in raw.map(|raw| self.registry.printers_at_port(&raw)).unwrap_or_default() {
            // IPP is no longer a way to ask it, or to print.
            self.enroll(&id, now);
            self.stale_views.insert(id);
        }
    }

    pub(super) fn carry_out(&mut self, effect: Effect, announcement: bool, now: Timestamp) {
        match effect {
            Effect::Probe { key, endpoint } => {
                self.probe(key, endpoint, now);
            }
            Effect::Adopted(id) => {
                self.printers.entry(id.clone()).or_default();
                self.enroll(&id, now);
                self.poll_now(&id, now);
                if let Some(printer) = self.registry.get(&id) {
                    let name = self.name(printer);
                    tracing::info!(printer = %id, name, "printer found");
                    self.records.push(records::adopted(&id, &name, now));
                }
                self.doubts_stale = true;
                self.mark(id);
            }
            Effect::Pending(id) => self.wait_for_approval(id, now),
            Effect::Dropped { id, why } => {
                let why = match why {
                    Unwanted::Retired => Gone::Retired,
                    Unwanted::Ignored => Gone::Ignored,
                };
                tracing::info!(printer = %id, why = why.as_str(), "a printer is put away");
                self.forget(&id);
                self.records.push(records::dropped(&id, why, now));
                self.doubts_stale = true;
                self.deletes.push((id, why));
            }
            Effect::Changed(id) => {
                self.enroll(&id, now);
                let live = self.registry.get(&id).is_some_and(Printer::is_live);
                let online = self.printers.get(&id).is_some_and(|e| e.state.online());
                if announcement && live != online {
                    // Gone from the network, or there again: ask rather than guess.
                    self.poll_now(&id, now);
                }
                self.doubts_stale = true;
                self.mark(id);
            }
            // One that waits for approval too: another device claims its id.
            Effect::CheckNow(id) => self.check_now(id, now),
            Effect::Merged { survivor, absorbed } => {
                tracing::info!(%survivor, %absorbed, "two ids are one printer");
                self.merge(&survivor, &absorbed);
                self.enroll(&survivor, now);
                self.records.push(records::merged(&survivor, &absorbed, now));
                self.deletes.push((absorbed, Gone::Merged));
                self.doubts_stale = true;
                self.mark(survivor);
            }
            Effect::Refused { key, reason } => {
                if let Some(refused) = self.refusals.tell(now) {
                    tracing::warn!(%key, reason, refused, "sightings were refused; this is the last one");
                }
            }
        }
    }

    /// It has its id and a shadow, and that is all.
    fn wait_for_approval(&mut self, id: PrinterId, now: Timestamp) {
        let entry = self.printers.entry(id.clone()).or_default();
        entry.state = PrinterState::default();
        self.tried.remove(&id);
        self.enroll(&id, now);
        if let Some(printer) = self.registry.get(&id) {
            let name = self.name(printer);
            tracing::info!(printer = %id, name, "a printer waits for approval");
            self.records.push(records::pending(&id, &name, now));
        }
        // What was told of it while it was in use is over.
        self.tell_cloud(&id, now);
        self.doubts_stale = true;
        self.mark(id);
    }

    /// What the printer's shadow desires.
    pub(super) fn desired(&mut self, id: PrinterId, delta: &ShadowDelta, now: Timestamp) {
        let known = self.registry.get(&id).is_some_and(|printer| printer.id == id);
        let Some(entry) = self.printers.get_mut(&id).filter(|_| known) else { return };
        if delta.approved.is_none() && !delta.name {
            return;
        }
        let last = &entry.desired;
        if delta.version < last.version && delta.timestamp <= last.timestamp {
            tracing::debug!(printer = %id, version = delta.version, "an older desired state is dropped");
            return;
        }
        let before = entry.desired.clone();
        let ShadowDelta { version, timestamp, approved, name } = *delta;
        entry.desired = Desired { version, timestamp, refused: None, name };
        let refused = match approved {
            // Not desired, or as it is.
            None => None,
            Some(Err(_)) => Some("must be true or false"),
            Some(Ok(false)) if self.settings.rules.adoption == Adoption::Auto => {
                Some("printers.adopt is auto: put the printer into printers.ignore of the configuration")
            }
            Some(Ok(approved)) => {
                self.tell_registry(Event::Approved { id: id.clone(), approved }, now);
                let obeyed = self.is_pending(&id) != approved;
                (!obeyed).then_some("the configuration decides otherwise; see printers.approved and printers.adopt")
            }
        };
        if let Some(entry) = self.printers.get_mut(&id) {
            entry.desired.refused = refused.map(str::to_owned);
            if entry.desired != before {
                self.mark(id);
            }
        }
    }

    /// Whether a printer waits for approval.
    pub(super) fn is_pending(&self, id: &PrinterId) -> bool {
        self.registry.get(id).is_some_and(|printer| printer.standing == Standing::Pending)
    }

    /// Takes a printer that is no more out of everything but the rows.
    fn forget(&mut self, id: &PrinterId) -> Option<Entry> {
        self.ipp.schedule.remove(id);
        self.snmp.schedule.remove(id);
        self.tried.remove(id);
        self.tried_agents.remove(id);
        self.checks.remove(id);
        self.dirty.remove(id);
        self.stale_shadows.remove(id);
        self.stale_views.insert(id.clone());
        self.printers.remove(id)
    }

    fn merge(&mut self, survivor: &PrinterId, absorbed: &PrinterId) {
        let Some(gone) = self.forget(absorbed) else { return };
        let pending = self.is_pending(survivor);
        // A survivor that is new is the absorbed one under another name: what was told of it stays told. What its shadow
        // desired was desired of another shadow, with versions of its own.
        let book = (!self.printers.contains_key(survivor)).then_some(gone.book);
        let stays = self.printers.entry(survivor.clone()).or_default();
        if let Some(book) = book {
            stays.book = book;
        }
        if !pending && gone.state.observed_at() > stays.state.observed_at() {
            stays.state = gone.state;
        }
    }

    /// Something durable of the printer changed.
    pub(super) fn mark(&mut self, id: PrinterId) {
        self.stale_shadows.insert(id.clone());
        self.stale_views.insert(id.clone());
        self.dirty.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_sightings_are_told_once_a_minute_with_their_count() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut refusals = Refusals::default();
        assert_eq!(refusals.tell(at(0)), Some(1));
        assert!((1..60).all(|second| refusals.tell(at(second)).is_none()));
        assert_eq!(refusals.tell(at(60)), Some(60));
        assert_eq!(refusals.tell(at(61)), None);
    }
}
