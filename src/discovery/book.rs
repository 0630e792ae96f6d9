//! What mDNS says at this moment, bounded, and which changes of it have not been reported yet. No I/O; `now` is an
//! argument.
//!
//! Invariants:
//! - At most `max` instances and as many raw ports; what is beyond is counted, not kept.
//! - The same sighting is never reported twice in a row; a change that is undone before its time is not reported.
//! - `Lost` only after `Found`.
//! - An IPP service on a port that the same host announces for AppSocket or LPD is not reported, and is withdrawn, once,
//!   also if it was not reported in this run: it may be known from an earlier one.

use super::record::{Announcement, Ignored, key, sighting};
use crate::domain::net::PrinterPolicy;
use crate::domain::sighting::{DiscoveryEvent, Sighting};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// AppSocket and LPD services are reported after so many times the settling time.
const RAW_WAITS: u32 = 3;

/// A port announced for AppSocket or LPD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawPort {
    pub(super) host: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) port: u16,
}

/// What happened to an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is in the book.
    Kept,
    /// It is no printer for us.
    Ignored(Ignored),
    /// There is no room for another one.
    Full,
    /// It showed that so many services in the book are on a print port.
    Withdrew(u64),
}

#[derive(Debug)]
pub(super) struct Book {
    policy: PrinterPolicy,
    max: usize,
    settle: Duration,
    entries: HashMap<String, Entry>,
    raw: HashMap<String, RawPort>,
    /// IPP services on print ports that are not in the book, and whether their withdrawal was reported. At most `max`.
    withdrawn: HashMap<String, bool>,
    /// When the change of which entry is to be reported.
    due: BTreeSet<(Instant, String)>,
    session: u64,
}

#[derive(Debug)]
struct Entry {
    record: Announcement,
    /// What the record says now; `None` once it is gone or no longer acceptable.
    current: Option<Sighting>,
    reported: Option<Sighting>,
    due: Option<Instant>,
    session: u64,
}

impl Book {
    pub(super) fn new(policy: PrinterPolicy, max: usize, settle: Duration) -> Self {
        let (entries, raw, withdrawn, due) = (HashMap::new(), HashMap::new(), HashMap::new(), BTreeSet::new());
        Self { policy, max, settle, entries, raw, withdrawn, due, session: 0 }
    }

    /// A service was resolved, perhaps again.
    pub(super) fn seen(&mut self, record: Announcement, now: Instant) -> Outcome {
        let key = key(&record.fullname);
        let result = sighting(&record, &self.policy, &self.raw_ports(&record));
        let (session, full) = (self.session, self.entries.len() >= self.max);
        match self.entries.get_mut(&key) {
            Some(entry) => {
                entry.record = record;
                entry.session = session;
                entry.current = result.as_ref().ok().cloned();
                self.mark(&key, now);
            }
            None if full && result.is_ok() => return Outcome::Full,
            None => {
                let room = self.withdrawn.len() < self.max;
                if result.as_ref().is_err_and(|e| *e == Ignored::PrintPort)
                    && room
                    && !self.withdrawn.contains_key(&key)
                {
                    self.withdrawn.insert(key.clone(), false);
                    self.due.insert((now, key.clone()));
                }
                if let Ok(seen) = &result {
                    self.withdrawn.remove(&key);
                    let entry = Entry { record, current: Some(seen.clone()), reported: None, due: None, session };
                    self.entries.insert(key.clone(), entry);
                    self.mark(&key, now);
                }
            }
        }
        match result {
            Ok(_) => Outcome::Kept,
            Err(reason) => Outcome::Ignored(reason),
        }
    }

    /// A service expired or said goodbye.
    pub(super) fn gone(&mut self, fullname: &str, now: Instant) {
        let key = key(fullname);
        self.withdrawn.remove(&key);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.current = None;
            self.mark(&key, now);
        }
    }

    /// A raw port was announced.
    pub(super) fn raw_seen(&mut self, fullname: &str, raw: RawPort, now: Instant) -> Outcome {
        let key = key(fullname);
        if !self.raw.contains_key(&key) && self.raw.len() >= self.max {
            return Outcome::Full;
        }
        if self.raw.get(&key) != Some(&raw) {
            self.raw.insert(key, raw);
            return Outcome::Withdrew(self.judge_again(now));
        }
        Outcome::Kept
    }

    /// A raw port is no longer announced.
    pub(super) fn raw_gone(&mut self, fullname: &str, now: Instant) {
        if self.raw.remove(&key(fullname)).is_some() {
            self.judge_again(now);
        }
    }

    /// A new subscription begins, which will tell again what is there.
    pub(super) fn new_session(&mut self) {
        self.session += 1;
    }

    /// Takes what the present subscription has not told again for gone.
    pub(super) fn drop_older_sessions(&mut self, now: Instant) {
        let old: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.session != self.session)
            .map(|(key, _)| key.clone())
            .collect();
        for key in old {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.current = None;
            }
            self.mark(&key, now);
        }
    }

    /// When the next change is to be reported.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next change to report, if its time has come.
    pub(super) fn take(&mut self, now: Instant) -> Option<DiscoveryEvent> {
        while self.next_due().is_some_and(|at| at <= now) {
            let (at, key) = self.due.pop_first()?;
            let Some(entry) = self.entries.get_mut(&key) else {
                let untold = self.withdrawn.get_mut(&key).is_some_and(|told| !std::mem::replace(told, true));
                if untold {
                    return Some(DiscoveryEvent::Withdrawn { key });
                }
                continue;
            };
            if entry.due != Some(at) {
                continue;
            }
            entry.due = None;
            if entry.current.is_none() {
                let Some(entry) = self.entries.remove(&key) else { continue };
                if entry.reported.is_some() {
                    let judged = sighting(&entry.record, &self.policy, &self.raw_ports(&entry.record));
                    return Some(match judged {
                        Err(Ignored::PrintPort) => DiscoveryEvent::Withdrawn { key },
                        _ => DiscoveryEvent::Lost { key },
                    });
                }
            } else if entry.current != entry.reported {
                entry.reported = entry.current.clone();
                return entry.current.clone().map(|seen| DiscoveryEvent::Found(Box::new(seen)));
            }
        }
        None
    }

    /// Instances in the book.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Notes that an entry may have changed. What was never reported is reported at once (AppSocket and LPD later than
    /// IPP), changes after they settled:
    /// a service comes piece by piece (IPv4, then IPv6), and a restarting device says goodbye and hello.
    fn mark(&mut self, key: &str, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.due.is_none() && (entry.current != entry.reported || entry.current.is_none()) {
            let wait = if !entry.record.kind.is_ipp() {
                // A device that speaks IPP too is to be known by that first: a job that comes at once would go over the
                // poorer protocol, and nobody could say what became of it.
                self.settle * RAW_WAITS
            } else if entry.reported.is_some() || !matches!(entry.record.port, 443 | 631) {
                // Any port but the usual ones may be announced as a print port a moment later: that is waited for.
                self.settle
            } else {
                Duration::ZERO
            };
            let at = now + wait;
            entry.due = Some(at);
            self.due.insert((at, key.to_owned()));
        }
    }

    /// The ports that the host of a record announces for AppSocket and LPD. To those of such records it does not matter.
    fn raw_ports(&self, record: &Announcement) -> Vec<u16> {
        if !record.kind.is_ipp() {
            return Vec::new();
        }
        let same_device = |raw: &RawPort| {
            raw.host.eq_ignore_ascii_case(&record.host)
                || record.addresses.iter().any(|(address, _)| raw.addresses.contains(address))
        };
        // Most services are on 631; asking for equal ports first keeps this cheap in a large office.
        self.raw
            .values()
            .filter(|raw| raw.port == record.port && same_device(raw))
            .map(|raw| raw.port)
            .take(1)
            .collect()
    }

    /// The raw ports changed: every service is judged again. How many are no longer acceptable?
    fn judge_again(&mut self, now: Instant) -> u64 {
        let mut withdrawn = 0;
        let mut changed = Vec::new();
        for (key, entry) in &self.entries {
            let gone = entry.current.is_none() && entry.due.is_some();
            let current = sighting(&entry.record, &self.policy, &self.raw_ports(&entry.record)).ok();
            if !gone && current != entry.current {
                changed.push((key.clone(), current));
            }
        }
        for (key, current) in changed {
            withdrawn += u64::from(current.is_none());
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.current = current;
            }
            self.mark(&key, now);
        }
        withdrawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::EndpointKind;
    use proptest::prelude::*;

    const SETTLE: Duration = Duration::from_secs(1);

    fn book(max: usize) -> Book {
        Book::new(PrinterPolicy { allowed: vec!["10.0.0.0/8".parse().unwrap()] }, max, SETTLE)
    }

    fn record(name: &str, note: &str, port: u16) -> Announcement {
        Announcement {
            kind: EndpointKind::Ipp,
            service_type: "_ipp._tcp.local.".into(),
            subtype: None,
            fullname: format!("{name}._ipp._tcp.local."),
            host: format!("{name}.local."),
            port,
            addresses: vec![("10.0.0.1".parse().unwrap(), 0)],
            txt: vec![("note".into(), note.into())],
        }
    }

    fn raw(host: &str, port: u16) -> RawPort {
        RawPort { host: host.into(), addresses: vec![], port }
    }

    fn all(book: &mut Book, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| book.take(now))
            .map(|event| match event {
                DiscoveryEvent::Found(seen) => format!("+{} {}", seen.name, seen.location.unwrap_or_default()),
                DiscoveryEvent::Lost { key } => format!("-{key}"),
                DiscoveryEvent::Withdrawn { key } => format!("!{key}"),
            })
            .collect()
    }

    #[test]
    fn the_same_again_is_not_reported_and_a_change_is_once_it_settled() {
        let (mut book, t0) = (book(9), Instant::now());
        assert_eq!(book.seen(record("a", "x", 631), t0), Outcome::Kept);
        book.seen(record("a", "x", 631), t0);
        assert_eq!(all(&mut book, t0), ["+a x"]);
        book.seen(record("a", "x", 631), t0);
        assert_eq!(book.next_due(), None);
        book.seen(record("a", "y", 631), t0);
        book.seen(record("a", "z", 631), t0);
        assert_eq!(all(&mut book, t0).len(), 0);
        assert_eq!(all(&mut book, t0 + SETTLE), ["+a z"]);
    }

    #[test]
    fn goodbye_and_hello_within_the_settling_time_is_nothing() {
        let (mut book, t0) = (book(9), Instant::now());
        book.seen(record("a", "x", 631), t0);
        all(&mut book, t0);
        book.gone("a._ipp._tcp.local.", t0);
        book.seen(record("a", "x", 631), t0);
        assert_eq!(all(&mut book, t0 + SETTLE).len(), 0);
        book.gone("a._ipp._tcp.local.", t0);
        assert_eq!(all(&mut book, t0 + SETTLE), ["-a._ipp._tcp.local."]);
        assert_eq!(book.len(), 0);
        book.gone("a._ipp._tcp.local.", t0);
        assert_eq!(all(&mut book, t0 + SETTLE * 2).len(), 0);
    }

    #[test]
    fn what_was_never_reported_is_never_lost() {
        let (mut book, t0) = (book(9), Instant::now());
        book.seen(record("a", "x", 631), t0);
        book.gone("a._ipp._tcp.local.", t0);
        assert_eq!(all(&mut book, t0 + SETTLE).len(), 0);
        assert_eq!(book.len(), 0);
    }

    #[test]
    fn a_device_is_known_by_its_ipp_service_before_its_raw_port() {
        let (mut book, t0) = (book(9), Instant::now());
        let port = Announcement {
            kind: EndpointKind::AppSocket,
            service_type: "_pdl-datastream._tcp.local.".into(),
            fullname: "a._pdl-datastream._tcp.local.".into(),
            txt: vec![],
            ..record("a", "", 9100)
        };
        book.seen(port, t0);
        book.seen(record("a", "x", 8631), t0 + SETTLE);
        assert_eq!(all(&mut book, t0 + SETTLE).len(), 0);
        assert_eq!(all(&mut book, t0 + SETTLE * 2), ["+a x"]);
        assert_eq!(all(&mut book, t0 + SETTLE * 3), ["+a "]);
    }

    #[test]
    fn the_book_is_bounded() {
        let (mut book, t0) = (book(2), Instant::now());
        for name in ["a", "b"] {
            assert_eq!(book.seen(record(name, "", 631), t0), Outcome::Kept);
        }
        assert_eq!(book.seen(record("c", "", 631), t0), Outcome::Full);
        assert_eq!(book.seen(record("b", "new", 631), t0), Outcome::Kept);
        assert_eq!(book.len(), 2);
        assert_eq!(book.raw_seen("r1", raw("x", 1), t0), Outcome::Withdrew(0));
        assert_eq!(book.raw_seen("r2", raw("x", 2), t0), Outcome::Withdrew(0));
        assert_eq!(book.raw_seen("r2", raw("x", 2), t0), Outcome::Kept);
        assert_eq!(book.raw_seen("r3", raw("x", 3), t0), Outcome::Full);
        // Gone makes room, once it was reported.
        all(&mut book, t0);
        book.gone("a._ipp._tcp.local.", t0);
        all(&mut book, t0 + SETTLE);
        assert_eq!(book.seen(record("c", "", 631), t0), Outcome::Kept);
    }

    #[test]
    fn an_announced_raw_port_is_never_ipp() {
        let (mut book, t0) = (book(9), Instant::now());
        // Known before.
        book.raw_seen("a._pdl-datastream._tcp.local.", raw("a.local.", 4000), t0);
        assert_eq!(book.seen(record("a", "", 4000), t0), Outcome::Ignored(Ignored::PrintPort));
        assert_eq!(book.seen(record("b", "", 4000), t0), Outcome::Kept);
        assert_eq!(all(&mut book, t0), ["!a._ipp._tcp.local."], "it may be known from an earlier run");
        book.seen(record("a", "", 4000), t0);
        assert_eq!(all(&mut book, t0).len(), 0, "a print port may be announced at once after it");
        assert_eq!(all(&mut book, t0 + SETTLE), ["+b "]);
        // Known afterwards, by its address.
        let by_address =
            RawPort { host: "other.local.".into(), addresses: vec!["10.0.0.1".parse().unwrap()], port: 4000 };
        assert_eq!(book.raw_seen("b._printer._tcp.local.", by_address, t0), Outcome::Withdrew(1));
        assert_eq!(all(&mut book, t0 + SETTLE), ["!b._ipp._tcp.local."]);
    }

    #[test]
    fn what_a_new_subscription_does_not_tell_again_is_lost() {
        let (mut book, t0) = (book(9), Instant::now());
        book.seen(record("a", "", 631), t0);
        book.seen(record("b", "", 631), t0);
        all(&mut book, t0);
        book.new_session();
        book.seen(record("a", "", 631), t0);
        book.drop_older_sessions(t0);
        assert_eq!(all(&mut book, t0 + SETTLE), ["-b._ipp._tcp.local."]);
    }

    proptest! {
        /// Whatever happens in whatever order, a listener's picture ends as the book's, and events alternate properly.
        #[test]
        fn a_listener_ends_with_the_present_picture(steps in proptest::collection::vec((0_u8..5, 0_u8..4, 0_u16..3, 0_u64..3), 0..80)) {
            let mut book = book(3);
            let mut now = Instant::now();
            let mut picture: HashMap<String, Sighting> = HashMap::new();
            let mut listen = |book: &mut Book, now| -> Result<(), TestCaseError> {
                while let Some(event) = book.take(now) {
                    match event {
                        DiscoveryEvent::Found(seen) => {
                            let again = picture.insert(seen.key.clone(), (*seen).clone());
                            prop_assert_ne!(again.as_ref(), Some(&*seen));
                        }
                        DiscoveryEvent::Lost { key } => prop_assert!(picture.remove(&key).is_some()),
                        // Perhaps known from an earlier run.
                        DiscoveryEvent::Withdrawn { key } => drop(picture.remove(&key)),
                    }
                }
                Ok(())
            };
            for (what, who, value, pause) in steps {
                let name = format!("p{who}");
                match what {
                    0 | 1 => { book.seen(record(&name, &value.to_string(), 4000 + value), now); }
                    2 => book.gone(&format!("{name}._ipp._tcp.local."), now),
                    3 => { book.raw_seen(&name, raw(&format!("{name}.local."), 4000 + value), now); }
                    _ => book.raw_gone(&name, now),
                }
                now += Duration::from_millis(pause * 700);
                listen(&mut book, now)?;
                prop_assert!(book.len() <= 3 && book.raw.len() <= 3 && book.withdrawn.len() <= 3);
            }
            listen(&mut book, now + SETTLE)?;
            let current: HashMap<String, Sighting> =
                book.entries.iter().filter_map(|(key, entry)| Some((key.clone(), entry.current.clone()?))).collect();
            prop_assert_eq!(picture, current);
            prop_assert!(book.due.is_empty());
        }
    }
}
