//! What mDNS says at this moment, bounded, and which changes of it have not been reported yet. No I/O; `now` is an
//! argument.
//!
//! Invariants:
//! - At most `max` instances and as many raw ports; what is beyond is counted, not kept.
//! - A full book is shared out by address, its services and its raw ports each for themselves: a newcomer takes the place of the youngest service of the address that has
//!   the most, unless that is its own. So one machine that announces thousands of printers pushes out its own only, and
//!   with thousands of addresses the oldest service goes, which had its time to be asked. What goes is reported lost,
//!   which takes no known printer away.
//! - The same sighting is not reported twice in a row, unless all are wanted again ([`Book::tell_again`]); a change that is
//!   undone before its time is not reported.
//! - `Lost` only after `Found`.
//! - An IPP service on a port that the same host announces for AppSocket or LPD is not reported, and is withdrawn, once,
//!   also if it was not reported in this run: it may be known from an earlier one.
//! - A raw port counts as long as it is announced; after a new search began, as long as that has told it again, like
//!   services. It is told to [`PrintPlaces`] whatever becomes of its service.
//! - More than [`MAX_PORTS`] queues of CUPS' kind on one host are those of a computer, whatever they say.

use super::print_places::PrintPlaces;
use super::record::{Accept, Announcement, Ignored, is_queue, judge, key};
use crate::domain::net::PrinterPolicy;
use crate::domain::sighting::{DiscoveryEvent, Sighting};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// AppSocket and LPD services are reported after so many times the settling time.
const RAW_WAITS: u32 = 3;

/// Printers that a print server without a computer has connections for.
pub(super) const MAX_PORTS: usize = 3;

/// A port announced for AppSocket or LPD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawPort {
    pub(super) host: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) port: u16,
}

impl RawPort {
    fn is_of(&self, record: &Announcement) -> bool {
        self.port == record.port
            && (self.host.eq_ignore_ascii_case(&record.host)
                || record.addresses.iter().any(|(address, _)| self.addresses.contains(address)))
    }
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
    /// It is in the book, and another one had to go.
    Replaced,
    /// It showed that so many services in the book are on a print port.
    Withdrew(u64),
}

#[derive(Debug)]
pub(super) struct Book {
    policy: PrinterPolicy,
    accept: Accept,
    max: usize,
    settle: Duration,
    entries: HashMap<String, Entry>,
    raw: HashMap<String, RawEntry>,
    /// Knows all raw ports of the book.
    places: PrintPlaces,
    /// IPP services on print ports: not in the book as long as they are. At most `max`.
    withdrawn: HashMap<String, Withdrawn>,
    /// Services that had to make room after they had been reported. At most `max`.
    pushed_out: VecDeque<(Instant, String)>,
    /// Queues of CUPS' kind by host in lower case. At most `max` hosts, of each no more than tell a computer.
    queues: HashMap<String, HashSet<String>>,
    /// When the change of which entry is to be reported.
    due: BTreeSet<(Instant, String)>,
    session: u64,
    /// Numbers entries by age.
    newest: u64,
}

#[derive(Debug)]
struct Withdrawn {
    record: Announcement,
    /// Whether it was reported.
    told: bool,
    session: u64,
}

#[derive(Debug)]
struct RawEntry {
    raw: RawPort,
    session: u64,
    /// Younger ones have higher numbers.
    number: u64,
}

#[derive(Debug)]
struct Entry {
    record: Announcement,
    /// What the record says now; `None` once it is gone or no longer acceptable.
    current: Option<Sighting>,
    reported: Option<Sighting>,
    /// Whether it is to be reported again, changed or not.
    again: bool,
    due: Option<Instant>,
    session: u64,
    /// Younger ones have higher numbers.
    number: u64,
}

impl Entry {
    fn address(&self) -> Option<IpAddr> {
        let sighting = self.current.as_ref().or(self.reported.as_ref())?;
        sighting.endpoint.addresses.first().copied()
    }
}

impl Book {
    pub(super) fn new(policy: PrinterPolicy, accept: Accept, max: usize, settle: Duration) -> Self {
        Self {
            policy,
            accept,
            max,
            settle,
            entries: HashMap::new(),
            raw: HashMap::new(),
            places: PrintPlaces::default(),
            withdrawn: HashMap::new(),
            pushed_out: VecDeque::new(),
            queues: HashMap::new(),
            due: BTreeSet::new(),
            session: 0,
            newest: 0,
        }
    }

    /// The same book, which tells its raw ports here.
    pub(super) fn telling(mut self, places: PrintPlaces) -> Self {
        self.places = places;
        self
    }

    /// A service was resolved, perhaps again.
    pub(super) fn seen(&mut self, record: Announcement, now: Instant) -> Outcome {
        let key = key(&record.fullname);
        self.count_queue(&record, &key, now);
        let result = self.judge(&record);
        let session = self.session;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.record = record;
            entry.session = session;
            entry.current = result.as_ref().ok().cloned();
            self.mark(&key, now);
            return result.map_or_else(Outcome::Ignored, |_| Outcome::Kept);
        }
        let seen = match result {
            Ok(seen) => seen,
            Err(reason) => {
                if reason == Ignored::PrintPort {
                    self.withdraw(key, record, now);
                }
                return Outcome::Ignored(reason);
            }
        };
        let full = self.entries.len() >= self.max;
        if full && !self.make_room(seen.endpoint.addresses.first().copied(), now) {
            return Outcome::Full;
        }
        self.withdrawn.remove(&key);
        self.newest += 1;
        let number = self.newest;
        let entry = Entry { record, current: Some(seen), reported: None, again: false, due: None, session, number };
        self.entries.insert(key.clone(), entry);
        self.mark(&key, now);
        if full { Outcome::Replaced } else { Outcome::Kept }
    }

    /// Notes an IPP service on a print port.
    fn withdraw(&mut self, key: String, record: Announcement, now: Instant) {
        let session = self.session;
        if let Some(known) = self.withdrawn.get_mut(&key) {
            (known.record, known.session) = (record, session);
        } else if self.withdrawn.len() < self.max {
            self.withdrawn.insert(key.clone(), Withdrawn { record, told: false, session });
            self.due.insert((now, key));
        }
    }

    /// Takes in what is no longer on a print port.
    fn readmit(&mut self, now: Instant) {
        let free = self.withdrawn.iter().filter(|(_, one)| self.judge(&one.record).is_ok());
        let free: Vec<String> = free.map(|(key, _)| key.clone()).collect();
        for key in free {
            if let Some(one) = self.withdrawn.remove(&key) {
                self.seen(one.record, now);
            }
        }
    }

    /// A service expired or said goodbye.
    pub(super) fn gone(&mut self, fullname: &str, now: Instant) {
        let key = key(fullname);
        self.withdrawn.remove(&key);
        if let Some(entry) = self.entries.get_mut(&key) {
            let host = entry.record.host.to_ascii_lowercase();
            // A computer stays one.
            if let Some(queues) = self.queues.get_mut(&host).filter(|queues| queues.len() <= MAX_PORTS) {
                queues.remove(instance(&key));
                if queues.is_empty() {
                    self.queues.remove(&host);
                }
            }
            entry.current = None;
            self.mark(&key, now);
        }
    }

    /// A raw port was announced.
    pub(super) fn raw_seen(&mut self, fullname: &str, raw: RawPort, now: Instant) -> Outcome {
        let key = key(fullname);
        let session = self.session;
        let known = self.raw.get_mut(&key);
        if let Some(entry) = known {
            entry.session = session;
            if entry.raw == raw {
                return Outcome::Kept;
            }
        }
        let mut pushed_out = None;
        if !self.raw.contains_key(&key) && self.raw.len() >= self.max {
            let all = self.raw.iter().map(|(key, entry)| (key, entry.raw.addresses.first().copied(), entry.number));
            let Some(other) = youngest_of_most(all, raw.addresses.first().copied()) else { return Outcome::Full };
            pushed_out = self.take_raw(&other);
        }
        let before = self.take_raw(&key);
        self.newest += 1;
        self.places.announced(&raw.addresses, raw.port);
        self.raw.insert(key, RawEntry { raw: raw.clone(), session, number: self.newest });
        let full = pushed_out.is_some();
        let concerned = [Some(raw), before, pushed_out];
        let outcome = self.judge_again(now, |record| concerned.iter().flatten().any(|raw| raw.is_of(record)));
        if concerned.iter().flatten().count() > 1 {
            self.readmit(now);
        }
        if full { Outcome::Replaced } else { outcome }
    }

    /// A raw port is no longer announced.
    pub(super) fn raw_gone(&mut self, fullname: &str, now: Instant) {
        if let Some(raw) = self.take_raw(&key(fullname)) {
            self.judge_again(now, |record| raw.is_of(record));
            self.readmit(now);
        }
    }

    fn take_raw(&mut self, key: &str) -> Option<RawPort> {
        let entry = self.raw.remove(key)?;
        self.places.ended(&entry.raw.addresses, entry.raw.port);
        Some(entry.raw)
    }

    /// Everything that was reported is to be reported again: who hears it had no room for all of it.
    pub(super) fn tell_again(&mut self, now: Instant) {
        for (key, entry) in &mut self.entries {
            if entry.reported.is_some() {
                entry.again = true;
                if entry.due.is_none() {
                    entry.due = Some(now);
                    self.due.insert((now, key.clone()));
                }
            }
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
        let old = self.raw.iter().filter(|(_, entry)| entry.session != self.session);
        let old: Vec<String> = old.map(|(key, _)| key.clone()).collect();
        for key in &old {
            self.take_raw(key);
        }
        let session = self.session;
        self.withdrawn.retain(|_, one| one.session == session);
        if !old.is_empty() {
            self.judge_again(now, |record| record.kind.is_ipp());
            self.readmit(now);
        }
    }

    /// When the next change is to be reported.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let pushed_out = self.pushed_out.front().map(|(at, _)| *at);
        pushed_out.into_iter().chain(self.due.first().map(|(at, _)| *at)).min()
    }

    /// The next change to report, if its time has come.
    pub(super) fn take(&mut self, now: Instant) -> Option<DiscoveryEvent> {
        // First of all: it may have come back meanwhile.
        if let Some((_, key)) = self.pushed_out.pop_front() {
            return Some(DiscoveryEvent::Lost { key });
        }
        while self.next_due().is_some_and(|at| at <= now) {
            let (at, key) = self.due.pop_first()?;
            let Some(entry) = self.entries.get_mut(&key) else {
                let untold = self.withdrawn.get_mut(&key).is_some_and(|one| !std::mem::replace(&mut one.told, true));
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
                let at_print_port = self.judge(&entry.record) == Err(Ignored::PrintPort);
                if at_print_port && self.withdrawn.len() < self.max {
                    // As soon as the port is none any more it comes back.
                    let one = Withdrawn { record: entry.record, told: true, session: entry.session };
                    self.withdrawn.insert(key.clone(), one);
                }
                if entry.reported.is_some() {
                    return Some(match at_print_port {
                        true => DiscoveryEvent::Withdrawn { key },
                        false => DiscoveryEvent::Lost { key },
                    });
                }
            } else if entry.current != entry.reported || entry.again {
                entry.again = false;
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
            let wait = if is_queue(&entry.record) {
                // Others on its host may tell that it is a computer's.
                self.settle * RAW_WAITS
            } else if !entry.record.kind.is_ipp() {
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

    fn judge(&self, record: &Announcement) -> Result<Sighting, Ignored> {
        let queues = is_queue(record).then(|| self.queues.get(&record.host.to_ascii_lowercase())).flatten();
        if !self.accept.shares && queues.is_some_and(|queues| queues.len() > MAX_PORTS) {
            return Err(Ignored::SharedQueue);
        }
        judge(record, &self.policy, &self.raw_ports(record), self.accept)
    }

    /// The ports that the host of a record announces for AppSocket and LPD. To those of such records it does not matter.
    fn raw_ports(&self, record: &Announcement) -> Vec<u16> {
        if !record.kind.is_ipp() {
            return Vec::new();
        }
        self.raw
            .values()
            .map(|entry| &entry.raw)
            .find(|raw| raw.is_of(record))
            .map(|raw| raw.port)
            .into_iter()
            .collect()
    }

    /// Counts the queues of a host.
    fn count_queue(&mut self, record: &Announcement, key: &str, now: Instant) {
        let host = record.host.to_ascii_lowercase();
        if !is_queue(record) || (self.queues.len() >= self.max && !self.queues.contains_key(&host)) {
            return;
        }
        let queues = self.queues.entry(host.clone()).or_default();
        if queues.len() <= MAX_PORTS && queues.insert(instance(key).to_owned()) && queues.len() > MAX_PORTS {
            self.judge_again(now, |record| is_queue(record) && record.host.eq_ignore_ascii_case(&host));
        }
    }

    /// Takes out a service of the address that has the most. False if that would be no other address than the newcomer's,
    /// or nobody listens.
    fn make_room(&mut self, newcomer: Option<IpAddr>, now: Instant) -> bool {
        if self.pushed_out.len() >= self.max {
            return false;
        }
        let all = self.entries.iter().map(|(key, entry)| (key, entry.address(), entry.number));
        let Some(key) = youngest_of_most(all, newcomer) else { return false };
        if self.entries.remove(&key).is_some_and(|entry| entry.reported.is_some()) {
            self.pushed_out.push_back((now, key));
        }
        true
    }

    /// What has changed for some services: they are judged again. How many are no longer acceptable?
    fn judge_again(&mut self, now: Instant, concerned: impl Fn(&Announcement) -> bool) -> Outcome {
        let mut withdrawn = 0;
        let mut changed = Vec::new();
        for (key, entry) in self.entries.iter().filter(|(_, entry)| concerned(&entry.record)) {
            let gone = entry.current.is_none() && entry.due.is_some();
            let current = self.judge(&entry.record).ok();
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
        Outcome::Withdrew(withdrawn)
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        for RawEntry { raw, .. } in self.raw.values() {
            self.places.ended(&raw.addresses, raw.port);
        }
    }
}

/// The key of the youngest of the address that has the most; where several have as many, of the one that has had them
/// longest. None if that would be no other than the newcomer's. `all`: key, address, number by age.
fn youngest_of_most<'a>(
    all: impl Iterator<Item = (&'a String, Option<IpAddr>, u64)>,
    newcomer: Option<IpAddr>,
) -> Option<String> {
    // Of each address: how many, the number of the oldest, the youngest and its key.
    let mut addresses: HashMap<Option<IpAddr>, (usize, u64, u64, &String)> = HashMap::new();
    for (key, address, number) in all {
        let share = addresses.entry(address).or_insert((0, number, number, key));
        share.0 += 1;
        share.1 = share.1.min(number);
        if number > share.2 {
            (share.2, share.3) = (number, key);
        }
    }
    let own = addresses.get(&newcomer).map_or(0, |share| share.0);
    let most = addresses.values().max_by_key(|share| (share.0, std::cmp::Reverse(share.1)))?;
    (most.0 > own).then(|| most.3.clone())
}

/// The instance of an IPP service: one queue may be announced as IPP and as IPPS.
fn instance(key: &str) -> &str {
    key.split("._ipp").next().unwrap_or(key)
}

#[cfg(test)]
mod tests;
