//! How many queues of CUPS' kind each host announces: more than [`MAX_PORTS`] are those of a computer.
//!
//! Invariants: every queue that is announced is counted once for its host, whatever becomes of its record, until it is
//! gone or a new search does not tell it again; at most `max` hosts, of each at most [`MAX_KEYS`] services. With more it is a
//! computer until a search tells fewer. A computer stays one as long as any of its queues is announced: else the last three
//! of many would be taken for printers. Where there are too many hosts, one with the fewest queues makes room, the youngest
//! of these: whoever announces queues of thousands of hosts hides no computer.

use super::MAX_PORTS;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// Services counted of one host.
const MAX_KEYS: usize = 16;

#[derive(Debug)]
pub(super) struct Queues {
    max: usize,
    /// By host in lower case.
    hosts: HashMap<String, Host>,
    /// The host for which a service is counted.
    of: HashMap<String, String>,
    newest: u64,
}

#[derive(Debug, Default)]
struct Host {
    /// Its services, each with the last search that told it.
    keys: HashMap<String, u64>,
    /// The last search that told more than are kept.
    more: Option<u64>,
    computer: bool,
    /// Younger ones have higher numbers.
    number: u64,
}

impl Host {
    fn judge(&mut self) {
        let queues: HashSet<&str> = self.keys.keys().map(|key| instance(key)).collect();
        self.computer = queues.len() > MAX_PORTS || self.more.is_some();
    }
}

impl Queues {
    pub(super) fn new(max: usize) -> Self {
        Self { max, hosts: HashMap::new(), of: HashMap::new(), newest: 0 }
    }

    /// Whether a host, in lower case, is known to be a computer.
    pub(super) fn is_computer(&self, host: &str) -> bool {
        self.hosts.get(host).is_some_and(|host| host.computer)
    }

    /// A queue was announced, perhaps again; true if its host turns out to be a computer.
    pub(super) fn count(&mut self, host: &str, key: &str, session: u64) -> bool {
        if self.of.get(key).is_some_and(|before| before != host) {
            self.uncount(key);
        }
        if !self.hosts.contains_key(host) && self.hosts.len() >= self.max {
            let fewest = self.hosts.iter().min_by_key(|(_, host)| (host.keys.len(), Reverse(host.number)));
            let Some(fewest) = fewest.map(|(name, _)| name.clone()) else { return false };
            self.drop_host(&fewest);
        }
        let newest = &mut self.newest;
        let known = self.hosts.entry(host.to_owned()).or_insert_with(|| {
            *newest += 1;
            Host { number: *newest, ..Host::default() }
        });
        if known.keys.len() >= MAX_KEYS && !known.keys.contains_key(key) {
            known.more = Some(session);
            return !std::mem::replace(&mut known.computer, true);
        }
        known.keys.insert(key.to_owned(), session);
        self.of.insert(key.to_owned(), host.to_owned());
        if known.computer {
            return false;
        }
        known.judge();
        known.computer
    }

    /// A service is announced no more.
    pub(super) fn uncount(&mut self, key: &str) {
        let Some(name) = self.of.remove(key) else { return };
        if let Some(host) = self.hosts.get_mut(&name) {
            host.keys.remove(key);
            if host.keys.is_empty() && host.more.is_none() {
                self.hosts.remove(&name);
            }
        }
    }

    /// Forgets what this search has not told.
    pub(super) fn drop_others(&mut self, session: u64) {
        let of = &mut self.of;
        self.hosts.retain(|_, host| {
            host.keys.retain(|key, told| {
                let stays = *told == session;
                if !stays {
                    of.remove(key);
                }
                stays
            });
            host.more = host.more.filter(|told| *told == session);
            host.judge();
            !host.keys.is_empty() || host.more.is_some()
        });
    }

    fn drop_host(&mut self, name: &str) {
        if let Some(host) = self.hosts.remove(name) {
            host.keys.keys().for_each(|key| drop(self.of.remove(key)));
        }
    }
}

/// The instance of an IPP service: one queue may be announced as IPP and as IPPS.
fn instance(key: &str) -> &str {
    key.split("._ipp").next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: usize) -> String {
        format!("q{name}._ipp._tcp.local.")
    }

    #[test]
    fn every_queue_that_ends_is_uncounted_and_a_computer_stays_one_while_it_has_any() {
        let mut queues = Queues::new(9);
        let told: Vec<bool> = (0..9).map(|n| queues.count("pc", &key(n), 0)).collect();
        assert_eq!(told.iter().position(|told| *told), Some(MAX_PORTS));
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        for n in 0..9 {
            assert!(queues.is_computer("pc"));
            queues.uncount(&key(n));
        }
        assert!(!queues.is_computer("pc"));
        assert_eq!((queues.hosts.len(), queues.of.len()), (0, 0));
        // One queue over TLS too; one that moves to another host.
        for name in ["a._ipp._tcp.local.", "a._ipps._tcp.local.", "b._ipp._tcp.local.", "c._ipp._tcp.local."] {
            assert!(!queues.count("box", name, 0));
        }
        queues.count("other", "a._ipp._tcp.local.", 0);
        assert!(queues.count("box", "d._ipps._tcp.local.", 0), "it is announced there over TLS still");
        assert_eq!(queues.of["a._ipp._tcp.local."], "other");
    }

    #[test]
    fn more_than_are_kept_are_forgotten_with_their_search() {
        let mut queues = Queues::new(9);
        (0..40).for_each(|n| _ = queues.count("pc", &key(n), 0));
        assert_eq!((queues.of.len(), queues.is_computer("pc")), (MAX_KEYS, true));
        (0..40).for_each(|n| queues.uncount(&key(n)));
        assert!(queues.is_computer("pc"), "it is not known that these were all");
        queues.count("pc", &key(1), 1);
        queues.drop_others(1);
        assert_eq!((queues.of.len(), queues.is_computer("pc")), (1, false));
        queues.drop_others(2);
        assert_eq!((queues.hosts.len(), queues.of.len()), (0, 0));
    }

    #[test]
    fn a_flood_of_hosts_hides_no_computer() {
        let mut queues = Queues::new(10);
        (0..5).for_each(|n| _ = queues.count("old", &key(n), 0));
        (0..1_000).for_each(|n| _ = queues.count(&format!("fake{n}"), &key(10_000 + n), 0));
        assert_eq!((queues.hosts.len(), queues.of.len()), (10, 5 + 9));
        (100..105).for_each(|n| _ = queues.count("new", &key(n), 0));
        assert!(queues.is_computer("old") && queues.is_computer("new"));
    }
}
