//! Where a printer's agent answers, and what that says of the ways to print there that cannot be asked themselves.
//!
//! An address may be given away: what takes whatever arrives at the old one is another printer then. So what is asked over
//! SNMP alone (AppSocket, LPD, the agent itself) fails with its agent and works again with it; and once the agent answers
//! elsewhere, what it had listed at the old address is lost: no job goes there ([`Printer::is_left`]) before an agent of this
//! printer is seen there again. What an administrator lists by hand stays a way to print, the last one.

use super::printer::{KnownEndpoint, Printer};
use super::quarantine::shares_address;
use super::{Effect, Owner, Registry};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::PrinterId;
use jiff::Timestamp;

/// Whether a sighting's key is that of an agent, or of something that it lists.
pub(super) fn is_of_agent(key: &str) -> bool {
    key.starts_with("snmp:")
}

impl Registry {
    /// No agent of a printer answers at a place that is not asked over IPP.
    pub(super) fn agent_failed(&mut self, id: &PrinterId, place: &Endpoint, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(printer) = self.printers.get_mut(id).filter(|_| !place.kind.is_ipp()) else { return };
        let there = |e: &KnownEndpoint| match e.endpoint.addresses.is_empty() {
            true => e.endpoint.host.eq_ignore_ascii_case(&place.host),
            false => e.endpoint.addresses.iter().all(|address| place.addresses.contains(address)),
        };
        let mut changed = false;
        for e in printer.endpoints.iter_mut().filter(|e| !e.endpoint.kind.is_ipp() && there(e)) {
            changed |= e.failing_since.is_none();
            e.failing_since.get_or_insert(now);
        }
        if changed {
            effects.push(Effect::Changed(id.clone()));
        }
    }

    /// A printer answered at this endpoint: so what cannot be asked itself works there, and what its agent listed where it
    /// does not answer is a thing of the past.
    pub(super) fn place_works(&mut self, id: &PrinterId, key: &str, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.owners.get(key) != Some(&Owner::Printer(id.clone())) {
            return;
        }
        let Some(printer) = self.printers.get_mut(id) else { return };
        let Some(place) = printer.endpoints.iter().find(|e| e.key == key).map(|e| e.endpoint.clone()) else { return };
        let mut changed = false;
        for e in printer.endpoints.iter_mut().filter(|e| !e.endpoint.kind.is_ipp()) {
            if shares_address(&e.endpoint, &place) {
                if e.failing_since.take().is_some() {
                    e.since = Some(now);
                    changed = true;
                }
            } else if e.failing_since.is_some() && is_of_agent(&e.key) && !e.lost {
                e.lost = true;
                changed = true;
            }
        }
        if changed {
            effects.push(Effect::Changed(id.clone()));
        }
    }
}

impl Printer {
    /// Whether a way to print that cannot be asked itself is where the printer is no more: its agent was seen elsewhere and
    /// does not answer there.
    pub fn is_left(&self, way: &KnownEndpoint) -> bool {
        let by_hand = way.key.starts_with("list:");
        if !way.endpoint.kind.is_raw() || by_hand || !(way.lost || way.failing_since.is_some()) {
            return false;
        }
        let works = |e: &&KnownEndpoint| is_of_agent(&e.key) && !e.lost && e.failing_since.is_none();
        let mut agents = self.endpoints.iter().filter(works).peekable();
        agents.peek().is_some() && agents.all(|e| !shares_address(&e.endpoint, &way.endpoint))
    }
}
