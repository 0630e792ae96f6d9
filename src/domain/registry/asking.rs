//! Devices that answered nothing and have no id are asked again: discovery sources tell changes alone, so one that slept when
//! it was first asked would stay unknown for as long as it says nothing new.
//!
//! Each is asked again after [`ASK_AGAIN`](super::seen::ASK_AGAIN) at the earliest, a few at a time, of each address one;
//! addresses that were asked longest ago come first, and at one address the device that was. So whoever announces thousands
//! of printers at one address makes only his own wait.

use super::quarantine::Quarantined;
use super::seen::ASK_AGAIN;
use super::{Effect, Registry};
use jiff::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;

/// Devices asked again at one time.
const ASKED_AT_ONCE: usize = 4;

impl Registry {
    /// Asks some of the devices again that were silent. To be called now and then.
    pub fn ask_again(&mut self, now: Timestamp) -> Vec<Effect> {
        // Of each address: when it was last asked, the device that was asked longest ago, and when.
        let mut lines: HashMap<Option<IpAddr>, (Option<Timestamp>, Option<Timestamp>, u64)> = HashMap::new();
        for (n, q) in self.quarantine.iter().filter(|(_, q)| waits(q)) {
            let address = q.endpoints.first().and_then(|e| e.endpoint.addresses.first()).copied();
            let line = lines.entry(address).or_insert((q.silent_since, q.silent_since, *n));
            line.0 = line.0.max(q.silent_since);
            if q.silent_since < line.1 {
                (line.1, line.2) = (q.silent_since, *n);
            }
        }
        let long_ago = |at: Option<Timestamp>| at.is_none_or(|at| now.duration_since(at).abs() >= ASK_AGAIN);
        let mut due: Vec<_> = lines.into_values().filter(|(_, oldest, _)| long_ago(*oldest)).collect();
        due.sort_unstable();
        let mut effects = Vec::new();
        for (.., n) in due.into_iter().take(ASKED_AT_ONCE) {
            if let Some(q) = self.quarantine.get_mut(&n) {
                // Those that come after it at its address have their turn before it.
                q.silent_since = Some(now);
            }
            self.wake(n, true, now, &mut effects);
        }
        effects
    }
}

fn waits(q: &Quarantined) -> bool {
    q.silent && !q.parked && q.contested.is_none()
}
