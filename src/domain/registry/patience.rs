//! Who waits for whom: a device that is known by a print port alone, and says nothing of who it is, belongs to whatever
//! else is at its address. It waits until those are known that stood in line there before it: else chance would decide
//! whether it gets an id of its own, is joined to the right printer, or takes a stranger in.
//!
//! It waits for those only that were there when its turn came, and for none that waits for somebody itself: no
//! announcement can keep it waiting for good.

use super::quarantine::{Quarantined, shares_address};
use super::{Effect, Owner, Registry};
use crate::domain::identity::Facts;
use jiff::Timestamp;

impl Registry {
    /// Whether a quarantined device has to wait for others at its address; then it does.
    pub(super) fn has_patience(&mut self, n: u64) -> bool {
        let Some(q) = self.quarantine.get(&n).filter(|q| !q.waited) else { return false };
        let raw = q.endpoints.iter().all(|e| e.endpoint.kind.is_raw());
        if !raw || Facts::of(&q.evidence()).has_keys() {
            return false;
        }
        let before = self.asked_at_its_addresses(n, q);
        if before.is_empty() {
            return false;
        }
        self.patient.insert(n, before);
        true
    }

    /// Decides about those that have nobody left to wait for.
    pub(super) fn end_patience(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.patient.is_empty() {
            return;
        }
        let mut ready = Vec::new();
        let quarantine = &self.quarantine;
        self.patient.retain(|n, before| {
            while before.last().is_some_and(|n| !quarantine.get(n).is_some_and(is_being_asked)) {
                before.pop();
            }
            if before.is_empty() {
                ready.push(*n);
            }
            !before.is_empty() && quarantine.contains_key(n)
        });
        for n in ready {
            let Some(q) = self.quarantine.get_mut(&n) else { continue };
            q.waited = true;
            // A service of the same name may have joined it meanwhile.
            if !self.probe_next(n, effects) {
                self.conclude(n, now, effects);
            }
        }
    }

    /// Whether others than this one are being asked over IPP at its addresses.
    pub(super) fn is_asked_beside(&self, q: &Quarantined) -> bool {
        let own = q.endpoints.first().and_then(|e| self.owners.get(&e.key));
        let Some(Owner::Quarantined(n)) = own else { return false };
        !self.asked_at_its_addresses(*n, q).is_empty()
    }

    /// The devices that are being asked over IPP at the addresses of one.
    fn asked_at_its_addresses(&self, n: u64, q: &Quarantined) -> Vec<u64> {
        let around = q.endpoints.iter().flat_map(|e| self.at_addresses(&e.endpoint));
        let here = |other: &Quarantined| {
            let mut ways = other.endpoints.iter().filter(|o| o.endpoint.kind.is_ipp());
            ways.any(|o| q.endpoints.iter().any(|e| shares_address(&e.endpoint, &o.endpoint)))
        };
        let mut others: Vec<u64> = around
            .filter_map(|owner| if let Owner::Quarantined(other) = owner { Some(other) } else { None })
            .filter(|other| *other != n && !self.patient.contains_key(other))
            .filter(|other| self.quarantine.get(other).is_some_and(|q| is_being_asked(q) && here(q)))
            .collect();
        others.sort_unstable();
        others.dedup();
        others
    }
}

/// Whether it is still to be decided who a device is, without waiting for a printer's answer.
fn is_being_asked(q: &Quarantined) -> bool {
    !q.parked && !q.silent && q.contested.is_none()
}
