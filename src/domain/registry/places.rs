//! What stands at one address: whose agent answers there, and which ways to print lie side by side.

use super::printer::{KnownEndpoint, Printer};
use super::quarantine::{is_beside, is_other_device, is_other_queue, is_own_agent, shares_address, shares_place};
use super::{Owner, Registry};
use crate::domain::endpoint::Endpoint;
use crate::domain::identity::{self, Facts, Reason, Verdict};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::Evidence;
use std::collections::BTreeSet;

impl Registry {
    /// The endpoint at whose address an SNMP agent speaks for this printer; none where it may speak for another: at the
    /// address of a print server's queue or further port, or of several printers of one kind.
    pub fn snmp_endpoint(&self, id: &PrinterId) -> Option<&KnownEndpoint> {
        self.snmp_endpoints(id).into_iter().next()
    }

    /// All such endpoints, in the order to try them.
    pub fn snmp_endpoints(&self, id: &PrinterId) -> Vec<&KnownEndpoint> {
        let Some(printer) = self.printers.get(id) else { return Vec::new() };
        let is_me = |owner: &Owner| matches!(owner, Owner::Printer(other) if other == id);
        let mut own = printer.preferred();
        own.retain(|e| is_own_agent(&e.endpoint));
        if own.is_empty() {
            return own;
        }
        let mine = || printer.endpoints.iter().filter(|e| !e.lost).map(|e| &e.endpoint);
        let around: BTreeSet<Owner> = mine().flat_map(|e| self.at_place(e)).filter(|o| !is_me(o)).collect();
        let shared = self.endpoints_of(&around).filter(|(_, o)| !o.lost).any(|(owner, o)| match owner {
            Owner::Printer(_) => mine().any(|e| shares_address(e, &o.endpoint) && is_beside(e, &o.endpoint)),
            // What waits for its probe may still turn out to be this printer on another port, but never its other queue.
            Owner::Quarantined(_) => mine().any(|e| shares_place(e, &o.endpoint) && is_other_queue(e, &o.endpoint)),
        });
        if shared { Vec::new() } else { own }
    }

    /// The one printer that is at the address of this endpoint now, where a print port or an agent there can only be its
    /// own: no print server, no other queue or port beside it, no other device by what is said of it.
    pub(super) fn only_printer_at(&self, place: &Endpoint, evidence: &Evidence) -> Option<&Printer> {
        if !is_own_agent(place) {
            return None;
        }
        let at = |p: &&Printer| p.endpoints.iter().any(|e| !e.lost && shares_address(&e.endpoint, place));
        let mut there = self.printers_at([place], false).into_iter().filter(at);
        let only = there.next().filter(|_| there.next().is_none())?;
        let queues = only.endpoints.iter().any(|e| !is_own_agent(&e.endpoint) || is_beside(&e.endpoint, place));
        (!queues && !is_other_device(&only.evidence, evidence)).then_some(only)
    }

    /// Whether what an agent says at this printer's address is of another printer that is known: it has the serial of that
    /// one, this one has none, and the MAC address or the model is another one. DHCP gave the address away.
    pub(super) fn is_answer_of_registered(&self, id: &PrinterId, answered: &Evidence) -> bool {
        let Some(printer) = self.printers.get(id) else { return false };
        let parted = || {
            identity::macs_differ(&printer.evidence, answered)
                || matches!(identity::same_device(&printer.evidence, answered), Verdict::Different(_))
        };
        let anothers = || {
            let same = |p: &Printer| identity::same_device(&p.evidence, answered) == Verdict::Same(Reason::Serial);
            let keys = Facts::of(answered).keys();
            keys.iter().flat_map(|key| self.holders(key)).any(|p| p.id != *id && same(p))
        };
        identity::canonical(&printer.evidence).serial.is_none()
            && identity::canonical(answered).serial.is_some()
            && parted()
            && anothers()
    }

    /// Whether the agent at an endpoint's address may speak for another printer too: another queue or port lies beside it,
    /// of a printer or of a device that waits for its probe.
    pub fn agent_is_shared(&self, key: &str) -> bool {
        let (Some(owner), Some(endpoint)) = (self.owners.get(key), self.endpoint(key)) else { return false };
        let others: BTreeSet<Owner> = self.at_place(endpoint).into_iter().filter(|other| other != owner).collect();
        self.endpoints_of(&others)
            .filter(|(_, o)| !o.lost)
            .any(|(_, o)| shares_place(&o.endpoint, endpoint) && is_beside(&o.endpoint, endpoint))
    }

    /// The endpoints of some owners.
    fn endpoints_of<'a>(&'a self, owners: &'a BTreeSet<Owner>) -> impl Iterator<Item = (&'a Owner, &'a KnownEndpoint)> {
        owners.iter().flat_map(|owner| {
            let endpoints = match owner {
                Owner::Printer(id) => self.printers.get(id).map(|p| &p.endpoints),
                Owner::Quarantined(n) => self.quarantine.get(n).map(|q| &q.endpoints),
            };
            endpoints.into_iter().flatten().map(move |e| (owner, e))
        })
    }

    /// Whether an endpoint's port is known for AppSocket or LPD at its host or address, also from earlier runs: outside a
    /// job nothing is connected there, and IPP is never spoken.
    pub fn is_print_place(&self, endpoint: &Endpoint) -> bool {
        self.endpoints_of(&self.at_place(endpoint))
            .map(|(_, e)| &e.endpoint)
            .any(|raw| raw.port == endpoint.port && raw.kind.is_raw() && shares_place(raw, endpoint))
    }

    /// The endpoints over which a printer may be asked over IPP, in the order to try them.
    pub fn ipp_endpoints(&self, id: &PrinterId) -> Vec<&KnownEndpoint> {
        let all = self.printers.get(id).map(Printer::preferred).unwrap_or_default();
        all.into_iter().filter(|e| e.endpoint.kind.is_ipp() && !self.is_print_place(&e.endpoint)).collect()
    }

    /// The printers with an IPP endpoint where this way to print is.
    pub fn printers_at_port(&self, raw: &Endpoint) -> Vec<PrinterId> {
        let here = |e: &KnownEndpoint| {
            e.endpoint.port == raw.port && e.endpoint.kind.is_ipp() && shares_place(&e.endpoint, raw)
        };
        let there = self.printers_of(self.at_place(raw)).into_iter();
        there.filter(|p| p.endpoints.iter().any(here)).map(|p| p.id.clone()).collect()
    }
}
