//! What stands at one address: whose agent answers there, and which ways to print lie side by side.

use super::Registry;
use super::printer::{KnownEndpoint, Printer};
use super::quarantine::{is_beside, is_other_device, is_other_queue, is_own_agent, shares_address, shares_place};
use crate::domain::endpoint::Endpoint;
use crate::domain::identity::{self, Reason, Verdict};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::{Evidence, Sighting};

impl Registry {
    /// The endpoint at whose address an SNMP agent speaks for this printer; none where it may speak for another: at the
    /// address of a print server's queue or further port, or of several printers of one kind.
    pub fn snmp_endpoint(&self, id: &PrinterId) -> Option<&KnownEndpoint> {
        let printer = self.printers.get(id)?;
        let best = printer.preferred().into_iter().find(|e| is_own_agent(&e.endpoint))?;
        let others = self.printers.values().filter(|p| p.id != *id).flat_map(|p| &p.endpoints);
        let shared = others.filter(|o| !o.lost).any(|o| {
            let mine = printer.endpoints.iter().filter(|e| !e.lost);
            mine.filter(|e| shares_address(&e.endpoint, &o.endpoint)).any(|e| is_beside(&e.endpoint, &o.endpoint))
        });
        // What waits for its probe may still turn out to be this printer on another port, but never its other queue.
        let waiting = self.quarantine.values().flat_map(|q| &q.endpoints).filter(|o| !o.lost);
        let shared = shared
            || waiting.map(|o| &o.endpoint).any(|o| {
                let mine = printer.endpoints.iter().filter(|e| !e.lost).map(|e| &e.endpoint);
                mine.filter(|e| shares_place(e, o)).any(|e| is_other_queue(e, o))
            });
        (!shared).then_some(best)
    }

    /// The one printer at the address of a sighting that can only be printed to.
    pub(super) fn printer_at_print_port(&self, s: &Sighting) -> Option<&Printer> {
        if s.endpoint.kind.is_ipp() || !is_own_agent(&s.endpoint) {
            return None;
        }
        let at = |p: &&Printer| p.endpoints.iter().any(|e| !e.lost && shares_address(&e.endpoint, &s.endpoint));
        let mut there = self.printers.values().filter(at);
        let only = there.next().filter(|_| there.next().is_none())?;
        let queues = only.endpoints.iter().any(|e| !is_own_agent(&e.endpoint) || is_beside(&e.endpoint, &s.endpoint));
        (!queues && !is_other_device(&only.evidence, &s.evidence)).then_some(only)
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
            self.printers.values().any(|p| p.id != *id && same(p))
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
        self.known_endpoints()
            .filter(|o| !o.lost && self.owners.get(&o.key) != Some(owner))
            .any(|o| shares_place(&o.endpoint, endpoint) && is_beside(&o.endpoint, endpoint))
    }

    /// All endpoints, of printers and of devices that wait for their probe.
    fn known_endpoints(&self) -> impl Iterator<Item = &KnownEndpoint> {
        let waiting = self.quarantine.values().flat_map(|q| &q.endpoints);
        self.printers.values().flat_map(|p| &p.endpoints).chain(waiting)
    }

    /// Whether an endpoint's port is known for AppSocket or LPD at its host or address, also from earlier runs: outside a
    /// job nothing is connected there, and IPP is never spoken.
    pub fn is_print_place(&self, endpoint: &Endpoint) -> bool {
        self.known_endpoints()
            .map(|e| &e.endpoint)
            .any(|raw| raw.port == endpoint.port && !raw.kind.is_ipp() && shares_place(raw, endpoint))
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
        self.printers.values().filter(|p| p.endpoints.iter().any(here)).map(|p| p.id.clone()).collect()
    }
}
