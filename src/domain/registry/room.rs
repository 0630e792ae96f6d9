//! Who gets a place when there are few: anybody in the network can announce thousands of printers.
//!
//! - Printers that never answered anything get an id on what was announced alone (one that knows only AppSocket answers
//!   nothing): [`MAX_CLAIMED_AT`] at one address, [`MAX_CLAIMED`] in all. More of them wait in quarantine until they answer,
//!   are seen changed, or are lost. What an administrator lists or pins does not count.
//! - When all [`MAX_PRINTERS`](super::MAX_PRINTERS) places are taken, a newcomer gets that of the device that was asked in
//!   vain and is longest unseen; where there is none, that of a device from the most crowded address that was not asked
//!   yet, if the newcomer's address is less crowded.
//!
//! No printer with an id gives its place away: it may have jobs.

use super::quarantine::{Quarantined, shares_place};
use super::{Effect, MAX_PRINTERS, Printer, Registry};
use crate::domain::endpoint::Endpoint;
use std::cmp::Reverse;

/// Printers that never answered anything, in all.
pub const MAX_CLAIMED: usize = 256;

/// Printers that never answered anything, at one address or host.
pub const MAX_CLAIMED_AT: usize = 8;

/// Why a sighting is refused when all places are taken.
pub(super) const FULL: &str = "the gateway knows as many printers as it can";

/// A place for a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// That of this quarantined device.
    Of(u64),
}

impl Registry {
    /// Whether a quarantined device answered nothing, and as many such printers are known as may be.
    pub(super) fn is_one_claim_too_many(&mut self, n: u64) -> bool {
        let Some(q) = self.quarantine.get(&n).filter(|q| q.answered_at.is_none()) else { return false };
        let listed = |key: &str| key.starts_with("list:") && !key.contains("._tcp.");
        if q.endpoints.iter().any(|e| listed(&e.key)) || self.pinned_device(q).is_some() {
            return false;
        }
        let printers = &self.printers;
        self.claimed.retain(|id| printers.get(id).is_some_and(Printer::is_claimed));
        let here = |p: &&Printer| {
            p.endpoints.iter().any(|e| q.endpoints.iter().any(|o| shares_place(&e.endpoint, &o.endpoint)))
        };
        let there = self.claimed.iter().filter_map(|id| printers.get(id)).filter(here);
        self.claimed.len() >= MAX_CLAIMED || there.count() >= MAX_CLAIMED_AT
    }

    /// It waits until it answers.
    pub(super) fn hold(&mut self, n: u64, effects: &mut Vec<Effect>) {
        let Some(mut q) = self.leave_quarantine(n) else { return };
        let key = q.endpoints.first().map(|e| e.key.clone()).unwrap_or_default();
        q.contested = None;
        q.silent = true;
        self.quarantine.insert(n, q);
        self.index_waiting(n);
        self.refuse(&key, "it answers nothing, and the gateway knows enough such printers", effects);
    }

    /// The place that a device at this endpoint gets; nothing where there is none for it.
    pub(super) fn room_for(&self, place: &Endpoint) -> Option<Room> {
        if self.printers.len() + self.quarantine.len() < MAX_PRINTERS {
            return Some(Room::Free);
        }
        let unheard = || self.quarantine.iter().filter(|(_, q)| q.answered_at.is_none());
        let seen = |q: &Quarantined| q.endpoints.iter().map(|e| e.last_seen).max();
        let in_vain = |q: &Quarantined| q.silent || q.endpoints.iter().all(|e| q.asked.contains(&e.key));
        let oldest = unheard().filter(|(_, q)| in_vain(q)).min_by_key(|(_, q)| seen(q));
        if let Some((n, _)) = oldest {
            return Some(Room::Of(*n));
        }
        let here = self.crowd(place);
        if here >= MAX_CLAIMED_AT {
            return None;
        }
        let crowd = |q: &Quarantined| q.endpoints.iter().map(|e| self.crowd(&e.endpoint)).min().unwrap_or_default();
        let crowded = unheard().map(|(n, q)| (crowd(q), Reverse(seen(q)), *n)).max()?;
        (crowded.0 > here + 1).then_some(Room::Of(crowded.2))
    }

    /// Clears a place that was found.
    pub(super) fn take_room(&mut self, room: Room) {
        let Room::Of(n) = room else { return };
        let Some(q) = self.leave_quarantine(n) else { return };
        // As one that was refused: whoever tells of it may do so again when there is room.
        self.refused = self.refused.saturating_add(1);
        q.endpoints.iter().for_each(|e| drop(self.owners.remove(&e.key)));
    }

    /// Clears a place for a device at this endpoint; false where there is none for it.
    pub(super) fn make_room(&mut self, place: &Endpoint) -> bool {
        let room = self.room_for(place);
        if let Some(room) = room {
            self.take_room(room);
        }
        room.is_some()
    }
}
