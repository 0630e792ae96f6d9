//! Where mDNS says that a printer is, without saying how to print to it: `_http._tcp` with the subtype `_printer`.
//!
//! Old printers often announce only that, LPD and AppSocket. Nothing is connected here; whoever reads the hints asks the
//! address over SNMP or IPP. The present hints are one value that readers look at when it changes: no queue, nothing to
//! lose. At most [`MAX_HINTS`]; a full book is shared out by address as that of services is (see `book`): one machine that
//! announces thousands of them pushes out its own only.

use super::book::youngest_of_most;
use super::record::Hint;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Hints kept at a time.
pub const MAX_HINTS: usize = 1_000;

/// The present hints by key.
pub type Hints = Arc<BTreeMap<String, Hint>>;

/// What is known now, and the searches that said so.
#[derive(Debug)]
pub(super) struct HintBook {
    known: BTreeMap<String, Known>,
    told: watch::Sender<Hints>,
    session: u64,
    newest: u64,
}

#[derive(Debug)]
struct Known {
    hint: Hint,
    /// The search that said so last.
    session: u64,
    /// Younger ones have higher numbers.
    number: u64,
}

impl HintBook {
    pub(super) fn new(told: watch::Sender<Hints>) -> Self {
        Self { known: BTreeMap::new(), told, session: 0, newest: 0 }
    }

    /// A hint was seen, perhaps again; false if there is no room, or another one had to go.
    pub(super) fn seen(&mut self, hint: Hint) -> bool {
        let mut fits = true;
        if !self.known.contains_key(&hint.key) && self.known.len() >= MAX_HINTS {
            let all = self.known.iter().map(|(key, one)| (key, one.hint.addresses.first().copied(), one.number));
            let Some(other) = youngest_of_most(all, hint.addresses.first().copied()) else { return false };
            self.known.remove(&other);
            fits = false;
        }
        if let Some(known) = self.known.get_mut(&hint.key) {
            known.session = self.session;
            if known.hint != hint {
                known.hint = hint;
                self.tell();
            }
            return true;
        }
        self.newest += 1;
        let known = Known { session: self.session, number: self.newest, hint };
        self.known.insert(known.hint.key.clone(), known);
        self.tell();
        fits
    }

    /// A service expired or said goodbye.
    pub(super) fn gone(&mut self, key: &str) {
        if self.known.remove(key).is_some() {
            self.tell();
        }
    }

    /// A new search begins, which will say again what is there.
    pub(super) fn new_session(&mut self) {
        self.session += 1;
    }

    /// Drops what the present search has not said again.
    pub(super) fn drop_older_sessions(&mut self) {
        let (before, session) = (self.known.len(), self.session);
        self.known.retain(|_, known| known.session == session);
        if self.known.len() != before {
            self.tell();
        }
    }

    fn tell(&self) {
        let hints = self.known.iter().map(|(key, known)| (key.clone(), known.hint.clone())).collect();
        self.told.send_replace(Arc::new(hints));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(n: usize, name: &str) -> Hint {
        let addresses = vec!["10.0.0.1".parse().unwrap()];
        Hint { key: format!("k{n}"), name: name.into(), host: "h".into(), addresses, scope_id: 0 }
    }

    #[test]
    fn one_machine_with_thousands_of_hints_pushes_out_its_own_only() {
        let told = watch::Sender::new(Hints::default());
        let reader = told.subscribe();
        let mut book = HintBook::new(told);
        for n in 0..2 * MAX_HINTS {
            assert_eq!(book.seen(hint(n, "fake")), n < MAX_HINTS);
        }
        let real = Hint { addresses: vec!["10.0.0.2".parse().unwrap()], ..hint(9_999, "real") };
        assert!(!book.seen(real.clone()), "another one had to go");
        assert_eq!(reader.borrow().len(), MAX_HINTS);
        assert_eq!(reader.borrow()["k9999"], real);
        assert!(book.seen(real));
    }

    #[test]
    fn the_present_hints_are_told_and_bounded() {
        let told = watch::Sender::new(Hints::default());
        let mut reader = told.subscribe();
        let mut book = HintBook::new(told);
        assert!(book.seen(hint(0, "a")));
        assert!(reader.has_changed().unwrap());
        assert_eq!(reader.borrow_and_update()["k0"].name, "a");
        book.seen(hint(0, "a"));
        assert!(!reader.has_changed().unwrap(), "the same again is no news");
        book.seen(hint(0, "b"));
        assert_eq!(reader.borrow_and_update()["k0"].name, "b");
        for n in 1..MAX_HINTS {
            assert!(book.seen(hint(n, "a")));
        }
        assert!(!book.seen(hint(MAX_HINTS, "a")));
        book.gone("k1");
        assert_eq!(reader.borrow_and_update().len(), MAX_HINTS - 1);
        book.new_session();
        book.seen(hint(2, "a"));
        book.drop_older_sessions();
        assert_eq!(reader.borrow_and_update().keys().collect::<Vec<_>>(), ["k2"]);
    }
}
