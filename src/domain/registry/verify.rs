//! A printer that turned up at another place may have left what its agent listed where it was: two printers that swap
//! addresses would keep each other's ways to print. So the agents at its other addresses are asked who they are; whose
//! they turn out to be, takes over everything that was listed there.

use super::agents::is_of_agent;
use super::printer::KnownEndpoint;
use super::quarantine::shares_address;
use super::{Effect, Owner, Registry};
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::ids::PrinterId;
use jiff::{SignedDuration, Timestamp};

/// A printer with several network cards is found at all of them within moments.
const JUST_NOW: SignedDuration = SignedDuration::from_secs(10);

impl Registry {
    /// Asks the agents of a printer that are not at one of these places, and were not heard just now.
    pub(super) fn verify_elsewhere(
        &self,
        id: &PrinterId,
        here: &[Endpoint],
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let Some(printer) = self.printers.get(id) else { return };
        let elsewhere = |e: &&KnownEndpoint| {
            let agent = e.endpoint.kind == EndpointKind::Snmp && is_of_agent(&e.key) && !e.lost;
            let heard = e.answered.map_or(e.last_seen, |at| at.max(e.last_seen));
            agent
                && now.duration_since(heard).abs() > JUST_NOW
                && !here.iter().any(|place| shares_address(place, &e.endpoint))
        };
        for e in printer.endpoints.iter().filter(elsewhere).filter(|e| !self.agent_is_shared(&e.key)) {
            effects.push(Effect::Probe { key: e.key.clone(), endpoint: e.endpoint.clone() });
        }
    }

    /// Takes from a printer what the agent at a place listed there besides the place itself.
    pub(super) fn take_listed_there(&mut self, id: &PrinterId, place: &KnownEndpoint) -> Vec<KnownEndpoint> {
        let Some(printer) = self.printers.get_mut(id).filter(|_| is_of_agent(&place.key)) else { return Vec::new() };
        let there = |e: &KnownEndpoint| {
            is_of_agent(&e.key) && e.key != place.key && shares_address(&e.endpoint, &place.endpoint)
        };
        let taken: Vec<KnownEndpoint> = printer.endpoints.extract_if(.., |e| there(e)).collect();
        taken.iter().for_each(|e| drop(self.owners.remove(&e.key)));
        self.index_printer(id);
        taken
    }

    /// Where a key of a printer's endpoint leads.
    pub(super) fn place_of(&self, key: &str) -> Option<(PrinterId, Endpoint)> {
        let Some(Owner::Printer(id)) = self.owners.get(key) else { return None };
        Some((id.clone(), self.endpoint(key)?.clone()))
    }
}
