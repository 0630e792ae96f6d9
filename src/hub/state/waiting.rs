//! Probes that wait for a place, handed out by address in turn: whoever announces thousands of printers at one address
//! waits in its own line. Addresses that were not asked before go first: a printer that was just switched on does not
//! wait for all those that were asked and did not answer.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

/// Addresses remembered as asked; then all are forgotten.
const MAX_ASKED: usize = 8_192;

/// Probes that may wait before it is looked which of them are still wanted: twice as many as there can be quarantined
/// devices; or, where more than half as many are wanted, twice those.
const FULL: usize = 2 * crate::domain::registry::MAX_PRINTERS;

/// See the module.
#[derive(Debug)]
pub(super) struct Waiting {
    lines: HashMap<Option<IpAddr>, VecDeque<String>>,
    /// The line in which a key waits.
    keys: HashMap<String, Option<IpAddr>>,
    /// Whose turn it is: addresses not asked before, then the others. Each address with a line is in one of them.
    fresh: VecDeque<Option<IpAddr>>,
    again: VecDeque<Option<IpAddr>>,
    asked: HashSet<Option<IpAddr>>,
    full: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            keys: HashMap::new(),
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            asked: HashSet::new(),
            full: FULL,
        }
    }
}

impl Waiting {
    /// Lets a key wait; one that waits at this address keeps its place.
    pub(super) fn push(&mut self, key: String, address: Option<IpAddr>) {
        match self.keys.insert(key.clone(), address) {
            Some(before) if before == address => return,
            Some(before) => self.leave(before, &key),
            None => {}
        }
        let line = self.lines.entry(address).or_default();
        if line.is_empty() {
            if self.asked.contains(&address) { self.again.push_back(address) } else { self.fresh.push_back(address) }
        }
        line.push_back(key);
    }

    /// The next to be asked.
    pub(super) fn pop(&mut self) -> Option<String> {
        let address = self.fresh.pop_front().or_else(|| self.again.pop_front())?;
        let line = self.lines.get_mut(&address)?;
        let key = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&address);
        } else {
            self.again.push_back(address);
        }
        if self.asked.len() >= MAX_ASKED {
            self.asked.clear();
        }
        self.asked.insert(address);
        if let Some(key) = &key {
            self.keys.remove(key);
        }
        key
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it is time to look which are still wanted.
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= self.full
    }

    /// Keeps those for which this holds, and answers the others. Not due again before as many have come as there are.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) -> Vec<String> {
        let gone: Vec<String> = self.keys.keys().filter(|key| !keep(key)).cloned().collect();
        for key in &gone {
            self.keys.remove(key);
        }
        let keys = &self.keys;
        for line in self.lines.values_mut() {
            line.retain(|key| keys.contains_key(key));
        }
        self.drop_empty_lines();
        self.full = FULL.max(self.keys.len().saturating_mul(2));
        gone
    }

    fn leave(&mut self, address: Option<IpAddr>, key: &str) {
        if let Some(line) = self.lines.get_mut(&address) {
            line.retain(|waits| waits != key);
            if line.is_empty() {
                self.drop_empty_lines();
            }
        }
    }

    fn drop_empty_lines(&mut self) {
        self.lines.retain(|_, line| !line.is_empty());
        let lines = &self.lines;
        self.fresh.retain(|address| lines.contains_key(address));
        self.again.retain(|address| lines.contains_key(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> Option<IpAddr> {
        Some([10, 0, 0, last].into())
    }

    fn next(waiting: &mut Waiting) -> Option<String> {
        waiting.pop()
    }

    #[test]
    fn a_newcomer_does_not_wait_behind_thousands_at_one_address() {
        let mut waiting = Waiting::default();
        for n in 0..1_000 {
            waiting.push(format!("fake{n}"), at(66));
        }
        assert_eq!(next(&mut waiting).as_deref(), Some("fake0"));
        waiting.push("real".into(), at(7));
        assert_eq!(next(&mut waiting).as_deref(), Some("real"));
        assert_eq!(next(&mut waiting).as_deref(), Some("fake1"));
        // Nor behind addresses that were asked before.
        for n in 0..50 {
            waiting.push(format!("old{n}"), at(7));
        }
        waiting.push("new".into(), at(8));
        assert_eq!(next(&mut waiting).as_deref(), Some("new"));
        assert_eq!(next(&mut waiting).as_deref(), Some("fake2"));
        assert_eq!(next(&mut waiting).as_deref(), Some("old0"));
        assert_eq!(waiting.len(), 997 + 49);
    }

    #[test]
    fn all_get_their_turn_and_what_is_dropped_is_gone() {
        let mut waiting = Waiting::default();
        for n in 0..20_u8 {
            waiting.push(format!("k{n}"), at(n % 5));
        }
        let gone = waiting.retain(|key| !key.ends_with('1'));
        assert_eq!(gone.len(), 2);
        let mut got: Vec<String> = std::iter::from_fn(|| next(&mut waiting)).collect();
        got.sort();
        got.dedup();
        assert_eq!((got.len(), waiting.len(), waiting.lines.len()), (18, 0, 0));
    }

    #[test]
    fn a_key_waits_once_where_it_was_last_seen() {
        let mut waiting = Waiting::default();
        for n in 0..10_000_u32 {
            waiting.push("flapping".into(), at((n % 3) as u8));
            waiting.push("steady".into(), at(0));
        }
        assert_eq!((waiting.len(), waiting.is_full()), (2, false));
        assert_eq!(waiting.lines.values().map(VecDeque::len).sum::<usize>(), 2);
        let got: Vec<String> = std::iter::from_fn(|| waiting.pop()).collect();
        assert_eq!(got, ["steady", "flapping"]);
    }

    #[test]
    fn keys_that_come_and_go_are_looked_through_once_for_as_many_as_wait() {
        let mut waiting = Waiting::default();
        let mut looked = 0;
        for n in 0..100_000_u32 {
            waiting.push(format!("k{n}"), at((n % 200) as u8));
            if waiting.is_full() {
                looked += 1;
                // All that ever came in the first 3 000 are still there.
                waiting.retain(|key| key.len() <= 4 || key < "k3");
            }
            assert!(waiting.len() < 100_000);
        }
        assert!(looked < 20, "{looked}");
    }
}
