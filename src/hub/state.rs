//! The hub's state and its synchronous step: [`HubState::apply`] takes an event, the `take_` functions hand out what it
//! brought forth. No I/O, no clock.

mod agents;
mod effects;
mod probing;
mod shared;
mod telling;
mod waiting;

use super::records::{self, Book, Record};
use super::{
    Desired, Gone, HubEvent, PollAnswer, PollError, PollErrorKind, PollRequest, PrinterRow, PrinterView, Question,
    Target,
};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{GatewayName, PrinterId};
use crate::domain::registry::{Duplicate, Event, Identity, Parked, Pin, Printer, Registry, Rules, Standing};
use crate::domain::schedule::{Intervals, Outcome, Schedule};
use crate::domain::sighting::DiscoveryEvent;
use crate::domain::state::{OFFLINE_AFTER, Observation, PrinterState, Source, Status};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use waiting::Waiting;

/// Polls under way at a time over one protocol.
pub const MAX_POLLS: usize = 16;

/// Of these, places that probes leave to polls that are due: known printers keep working while thousands are announced.
/// The others go to probes first: polls that take long must not keep new printers waiting.
const POLLS_AT_LEAST: usize = 4;

/// Records about one printer at once. A flapping printer must not fill the outbox.
const RECORDS_AT_ONCE: i32 = 60;

/// Records about one printer in the long run: one in this time.
const RECORD_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// How long a printer with an alert is polled often, since its reasons last changed. An alert may stand for weeks.
const RESTLESS: SignedDuration = SignedDuration::from_mins(10);

/// A certificate is replaced at most this often; one that changes faster counts as a failure.
const REPIN_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// Endpoints of one printer tried in one poll; over SNMP, addresses.
const MAX_TRIES: usize = 4;

/// How often some of the devices that answered nothing are asked again.
const ASK_AGAIN_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// How the hub works.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// The gateway's thing name.
    pub gateway: GatewayName,
    /// How often printers are polled.
    pub intervals: Intervals,
    /// Random: spreads the polls of many gateways.
    pub seed: u64,
    /// Whether printers are asked over SNMP too.
    pub snmp: bool,
    /// What an administrator decided.
    pub rules: Rules,
    /// Names given in the list of printers.
    pub given_names: Vec<GivenName>,
}

/// A name given to what stands in the list of printers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenName {
    /// The sighting's key, where one way to print is listed; else whatever is at `host`.
    pub key: Option<String>,
    /// Host name or address literal.
    pub host: String,
    /// The name.
    pub name: String,
}

impl GivenName {
    /// Whether this printer is meant.
    pub fn is_of(&self, printer: &Printer) -> bool {
        let at_host = |e: &Endpoint| {
            let address = self.host.parse::<std::net::IpAddr>();
            e.host.eq_ignore_ascii_case(&self.host) || address.is_ok_and(|address| e.addresses.contains(&address))
        };
        printer.endpoints.iter().any(|e| match &self.key {
            Some(key) => e.key == *key,
            None => at_host(&e.endpoint),
        })
    }
}

/// What the hub knows. See the module.
#[derive(Debug)]
pub struct HubState {
    settings: HubSettings,
    registry: Registry,
    ipp: Lane,
    snmp: Lane,
    printers: BTreeMap<PrinterId, Entry>,
    /// What probes were answered over IPP and to which question, or that they were not, while the same device is asked
    /// over SNMP.
    probing: BTreeMap<String, Option<Box<(Question, PollAnswer)>>>,
    /// Endpoints that a poll under way has tried in vain.
    tried: BTreeMap<PrinterId, BTreeSet<String>>,
    /// Addresses that a poll under way has asked over SNMP in vain.
    tried_agents: BTreeMap<PrinterId, BTreeSet<IpAddr>>,
    /// When silent devices were last asked again.
    asked_again: Option<Timestamp>,
    to_start: Vec<PollRequest>,
    /// Printers as they were stored, until the first tick.
    restored: Vec<PrinterId>,
    /// Printers of which something durable changed.
    dirty: BTreeSet<PrinterId>,
    /// Printers whose shadow document may have changed; after a start, all of them: a new version may say more.
    stale_shadows: BTreeSet<PrinterId>,
    /// Printers whose view changed.
    stale_views: BTreeSet<PrinterId>,
    deletes: Vec<(PrinterId, Gone)>,
    /// Deleted by an administrator's decision, not yet published.
    put_away: Vec<(PrinterId, Gone)>,
    /// Printers that are asked whether they still are where they were, because another device says it is them.
    checks: BTreeSet<PrinterId>,
    /// Views of the printers as they were stored, until they are published.
    stored: Vec<(PrinterId, Option<PrinterView>)>,
    /// Possible duplicates as last looked for, when, and whether printers changed since.
    doubts: Arc<Vec<Duplicate>>,
    doubts_at: Option<Timestamp>,
    parked: Vec<Parked>,
    parked_count: usize,
    parked_at: Option<Timestamp>,
    doubts_stale: bool,
    records: Vec<Record>,
    deferred: u64,
    refusals: effects::Refusals,
    shared: shared::Shared,
}

/// The polls over one protocol.
#[derive(Debug)]
struct Lane {
    schedule: Schedule,
    /// Probes that wait for one of [`MAX_POLLS`] places: one for a key.
    waiting: Waiting,
    under_way: usize,
    /// Of these, probes: the keys they are for.
    probes: BTreeSet<String>,
}

impl Lane {
    fn new(settings: &HubSettings) -> Self {
        let schedule = Schedule::new(settings.intervals, settings.seed);
        Self { schedule, waiting: Waiting::default(), under_way: 0, probes: BTreeSet::new() }
    }

    fn next_due(&self) -> Option<Timestamp> {
        if self.under_way >= MAX_POLLS { None } else { self.schedule.next_due() }
    }
}

#[derive(Debug, Default)]
struct Entry {
    state: PrinterState,
    book: Book,
    desired: Desired,
    /// Hash of the shadow document handed out last in this run.
    shadow: Option<[u8; 32]>,
    /// When its reasons last changed in this run.
    reasons_since: Option<Timestamp>,
    /// When its certificate was last replaced in this run.
    repinned: Option<Timestamp>,
    /// What it may still have told.
    allowance: Allowance,
}

/// A bucket of records per printer: holds [`RECORDS_AT_ONCE`], one more every [`RECORD_EVERY`]. While it is empty nothing
/// is told; what happens meanwhile is told as one difference later.
#[derive(Debug, Default)]
struct Allowance {
    /// The time up to which records are used up; in the past when the bucket is full.
    used_until: Option<Timestamp>,
}

impl Allowance {
    fn is_used_up(&self, now: Timestamp) -> bool {
        let full = RECORD_EVERY.saturating_mul(RECORDS_AT_ONCE);
        self.used_until.is_some_and(|until| {
            let debt = until.duration_since(now);
            // Further ahead than records can have brought it: the clock was set back.
            debt >= full && debt <= full.saturating_mul(3)
        })
    }

    fn use_up(&mut self, records: usize, now: Timestamp) {
        let longest = RECORD_EVERY.saturating_mul(RECORDS_AT_ONCE.saturating_mul(3));
        let from = self.used_until.filter(|t| *t > now && t.duration_since(now) <= longest).unwrap_or(now);
        let cost = RECORD_EVERY.saturating_mul(i32::try_from(records).unwrap_or(i32::MAX));
        self.used_until = from.checked_add(cost).ok();
    }
}

impl HubState {
    /// The state as it was stored.
    pub fn new(settings: HubSettings, rows: Vec<PrinterRow>, now: Timestamp) -> Self {
        let (mut ipp, mut snmp) = (Lane::new(&settings), Lane::new(&settings));
        let mut printers = BTreeMap::new();
        let mut known = Vec::new();
        let mut shared = shared::Shared::default();
        for mut row in rows {
            for last in [&mut row.state.ipp.last, &mut row.state.snmp.last].into_iter().flatten() {
                last.capabilities = shared.one(std::mem::take(&mut last.capabilities));
            }
            let entry = Entry { state: row.state, book: row.book, desired: row.desired, ..Entry::default() };
            printers.insert(row.printer.id.clone(), entry);
            known.push(row.printer);
        }
        let stored = telling::stored_views(&settings, &known, &printers, now);
        let (registry, effects) = Registry::restore(known, &settings.rules, now);
        for printer in registry.printers().filter(|p| p.standing == Standing::Adopted && printers.contains_key(&p.id)) {
            if !registry.ipp_endpoints(&printer.id).is_empty() {
                ipp.schedule.restored(&printer.id, now);
            }
            if settings.snmp && registry.snmp_endpoint(&printer.id).is_some() {
                snmp.schedule.restored(&printer.id, now);
            }
        }
        let stale_views: BTreeSet<PrinterId> = printers.keys().cloned().collect();
        let mut state = Self {
            settings,
            registry,
            ipp,
            snmp,
            printers,
            probing: BTreeMap::new(),
            tried: BTreeMap::new(),
            tried_agents: BTreeMap::new(),
            asked_again: None,
            to_start: Vec::new(),
            restored: stale_views.iter().cloned().collect(),
            dirty: BTreeSet::new(),
            stale_shadows: stale_views.clone(),
            stale_views,
            deletes: Vec::new(),
            put_away: Vec::new(),
            checks: BTreeSet::new(),
            stored,
            doubts: Arc::default(),
            doubts_at: None,
            parked: Vec::new(),
            parked_count: 0,
            parked_at: None,
            doubts_stale: true,
            records: Vec::new(),
            deferred: 0,
            refusals: effects::Refusals::default(),
            shared,
        };
        effects.into_iter().for_each(|effect| state.carry_out(effect, false, now));
        let registry = &state.registry;
        state.printers.retain(|id, _| registry.get(id).is_some_and(|p| p.id == *id));
        state
    }

    /// How often a printer's news had to wait because it had too many, since the start.
    pub fn deferred(&self) -> u64 {
        self.deferred
    }

    /// The printers known.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes one event.
    pub fn apply(&mut self, event: HubEvent, now: Timestamp) {
        match event {
            HubEvent::Discovery(DiscoveryEvent::Found(sighting)) => self.tell_registry(Event::Sighting(sighting), now),
            HubEvent::Discovery(DiscoveryEvent::Lost { key }) => self.tell_registry(Event::Lost { key }, now),
            HubEvent::Discovery(DiscoveryEvent::Withdrawn { key }) => self.tell_registry(Event::Withdrawn { key }, now),
            HubEvent::Polled { target, question, result } => self.answered(target, &question, *result, now),
            HubEvent::PollNow(id) => {
                if let Some(id) = self.registry.get(&id).map(|p| p.id.clone()) {
                    self.poll_now(&id, now);
                }
            }
            HubEvent::Desired { id, delta } => self.desired(id, &delta, now),
            HubEvent::Tick => self.tick(now),
        }
        self.fill_places(now);
    }

    /// When the next poll is due; nothing while all places are taken, since the end of a poll wakes the loop.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.ipp.next_due().into_iter().chain(self.snmp.next_due()).min()
    }

    /// How many are being asked who they are, or wait for it, or for the answer of the printer that they may be.
    fn asking(&self) -> usize {
        let lanes = [&self.ipp, &self.snmp];
        lanes.iter().map(|lane| lane.waiting.len() + lane.probes.len()).sum::<usize>() + self.checks.len()
    }

    fn tick(&mut self, now: Timestamp) {
        self.check_stranded(now);
        if self.asked_again.is_none_or(|at| now.duration_since(at).abs() >= ASK_AGAIN_EVERY) {
            self.asked_again = Some(now);
            for effect in self.registry.ask_again(now) {
                self.carry_out(effect, false, now);
            }
            self.miss_the_unreachable(now);
        }
        // What was asked before the start over a protocol that is asked no more.
        for id in std::mem::take(&mut self.restored) {
            self.forget_unasked(&id, now);
        }
        let ids: Vec<PrinterId> =
            self.printers.iter().filter(|(_, e)| e.book.heartbeat_due(now)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.tell_cloud(&id, now);
        }
    }

    /// Printers that no place is known of, since another device has it now, miss their polls: by and by they are offline.
    fn miss_the_unreachable(&mut self, now: Timestamp) {
        let nowhere = |id: &&PrinterId| self.registry.get(id).is_some_and(|printer| printer.endpoints.is_empty());
        let missed = |entry: &Entry| entry.state.heard(Source::Ipp).failures < OFFLINE_AFTER;
        let of = self.printers.iter().filter(|(_, entry)| missed(entry)).map(|(id, _)| id);
        let ids: Vec<PrinterId> = of.filter(nowhere).cloned().collect();
        for id in ids {
            self.failed(
                &id,
                Source::Ipp,
                "another device has its address, and it was not found elsewhere".to_owned(),
                now,
            );
        }
    }

    fn lane(&mut self, source: Source) -> &mut Lane {
        match source {
            Source::Ipp => &mut self.ipp,
            Source::Snmp => &mut self.snmp,
        }
    }

    /// A question was answered, or not. Where it was asked is no longer where its endpoint is: the answer may be anybody's,
    /// and it is asked anew.
    fn answered(&mut self, target: Target, question: &Question, result: Result<PollAnswer, PollError>, now: Timestamp) {
        let source = question.source;
        let lane = self.lane(source);
        lane.under_way = lane.under_way.saturating_sub(1);
        if let Target::Probe { key } = &target {
            lane.probes.remove(key);
        }
        let (Target::Probe { key } | Target::Poll { key, .. }) = &target;
        let moved = self.registry.endpoint(key).filter(|e| !is_still(question, e)).cloned();
        if moved.is_some() {
            tracing::debug!(key, ?source, "it moved while it was asked; it is asked again");
        }
        match (target, source, moved) {
            (Target::Probe { key }, _, Some(endpoint)) => self.probe(key, endpoint, now),
            (Target::Poll { id, .. }, Source::Ipp, Some(_)) => self.start_poll_again(id, now),
            (Target::Poll { id, .. }, Source::Snmp, Some(_)) => self.start_snmp_poll_again(&id, now),
            (Target::Probe { key }, Source::Ipp, None) => self.probed(key, question, result, now),
            (Target::Probe { key }, Source::Snmp, None) => self.probed_over_snmp(key, result, now),
            (Target::Poll { id, key }, Source::Ipp, None) => self.polled(id, key, result, now),
            (Target::Poll { id, key }, Source::Snmp, None) => self.polled_over_snmp(id, key, question, result, now),
        }
    }

    /// Gives free places to probes first, then to printers that are due.
    fn fill_places(&mut self, now: Timestamp) {
        for source in [Source::Ipp, Source::Snmp] {
            while self.lane(source).under_way < MAX_POLLS
                && let Some(key) = self.next_probe(source, now)
            {
                self.start_probe(key, source, now);
            }
            let lane = self.lane(source);
            for id in lane.schedule.due(now, MAX_POLLS.saturating_sub(lane.under_way)) {
                match source {
                    Source::Ipp => self.start_poll(id, now),
                    Source::Snmp => self.start_snmp_poll(id, now),
                }
            }
        }
    }

    fn start(&mut self, request: PollRequest) {
        let lane = self.lane(request.question.source);
        lane.under_way += 1;
        if let Target::Probe { key } = &request.target {
            lane.probes.insert(key.clone());
        }
        self.to_start.push(request);
    }

    /// Starts a poll of the best endpoint that this poll has not tried, or ends the poll as failed.
    fn start_poll(&mut self, id: PrinterId, now: Timestamp) {
        let tried = self.tried.get(&id);
        let untried = |key: &String| tried.is_none_or(|t| t.len() < MAX_TRIES && !t.contains(key));
        let best = self.registry.ipp_endpoints(&id).into_iter().find(|e| untried(&e.key));
        let next = best.map(|best| {
            let target = Target::Poll { id: id.clone(), key: best.key.clone() };
            let question =
                Question { source: Source::Ipp, endpoint: best.endpoint.clone(), pin: best.pin, patient: true };
            PollRequest { target, question }
        });
        match next {
            Some(request) => self.start(request),
            None => {
                let failure = "no address of it is known".to_owned();
                self.poll_failed(&id, failure, now);
            }
        }
    }

    fn has_ipp(&self, id: &PrinterId) -> bool {
        !self.registry.ipp_endpoints(id).is_empty()
    }

    /// Polls a printer over what tells most about it; never one that waits for approval.
    fn poll_now(&mut self, id: &PrinterId, now: Timestamp) {
        if !self.is_pending(id) {
            self.ask_now(id, now);
        }
    }

    /// False: nothing of it can be asked.
    fn ask_now(&mut self, id: &PrinterId, now: Timestamp) -> bool {
        if self.has_ipp(id) {
            self.ipp.schedule.poll_now(id, now);
        } else if self.settings.snmp && self.registry.snmp_endpoint(id).is_some() {
            self.snmp.schedule.poll_now(id, now);
        } else {
            return false;
        }
        true
    }

    /// Another device says it is this printer: asks it whether it still is where it was.
    fn check_now(&mut self, id: PrinterId, now: Timestamp) {
        self.ask_now(&id, now);
        self.checks.insert(id);
    }

    /// Of a printer that cannot be asked no answer ever comes: that counts as silence. Also of one that could be asked when
    /// the check began.
    fn check_stranded(&mut self, now: Timestamp) {
        let waits = |id: &PrinterId| self.ipp.schedule.contains(id) || self.snmp.schedule.contains(id);
        let stranded: Vec<PrinterId> = self.checks.iter().filter(|id| !waits(id)).cloned().collect();
        for id in stranded {
            if !self.ask_now(&id, now) {
                self.tell_registry(Event::PollFailed { id }, now);
            }
        }
    }

    /// Keeps a printer in those schedules over whose protocols it can be asked, and forgets what the others told.
    fn enroll(&mut self, id: &PrinterId, now: Timestamp) {
        let asked = !self.is_pending(id);
        match (asked && self.has_ipp(id), self.ipp.schedule.contains(id)) {
            (true, false) => self.ipp.schedule.poll_now(id, now),
            (false, true) => self.ipp.schedule.remove(id),
            _ => {}
        }
        let agent = asked && self.settings.snmp && self.registry.snmp_endpoint(id).is_some();
        match (agent, self.snmp.schedule.contains(id)) {
            (true, false) => self.snmp.schedule.poll_now(id, now),
            (false, true) => self.snmp.schedule.remove(id),
            _ => {}
        }
        self.forget_unasked(id, now);
    }

    /// Forgets what protocols told over which the printer is no longer asked, and tells the cloud.
    fn forget_unasked(&mut self, id: &PrinterId, now: Timestamp) {
        let (ipp, snmp) = (self.ipp.schedule.contains(id), self.snmp.schedule.contains(id));
        let Some(entry) = self.printers.get_mut(id) else { return };
        let before = entry.state.reasons();
        let mut forgotten = !ipp && entry.state.forget(Source::Ipp);
        forgotten |= !snmp && entry.state.forget(Source::Snmp);
        if forgotten {
            if before != entry.state.reasons() {
                entry.reasons_since = Some(now);
            }
            self.mark(id.clone());
            self.tell_cloud(id, now);
        }
    }

    fn polled(&mut self, id: PrinterId, key: String, result: Result<PollAnswer, PollError>, now: Timestamp) {
        // Merged into another one meanwhile: that one has its own polls.
        if !self.printers.contains_key(&id) {
            return;
        }
        match result {
            Ok(answer) => {
                self.tried.remove(&id);
                let identity = Box::new(identity_of(&answer));
                let over = Source::Ipp;
                self.tell_registry(Event::PollAnswered { id: id.clone(), key: key.clone(), identity, over }, now);
                match self.registry.owner(&key).cloned() {
                    Some(owner) => {
                        self.observed(&owner, answer, now);
                        if owner != id {
                            // The answer was another printer's: this one is still to be asked.
                            self.start_poll_again(id, now);
                        }
                    }
                    None => self.start_poll_again(id, now),
                }
            }
            Err(error) => {
                if let PollErrorKind::CertificateChanged { presented } = error.kind
                    && self.repin(&id, &key, presented, now)
                {
                    return;
                }
                self.tried.entry(id.clone()).or_default().insert(key.clone());
                self.tell_registry(Event::EndpointFailed { id: id.clone(), key }, now);
                let tried = self.tried.get(&id).map_or(0, BTreeSet::len);
                let endpoints = self.registry.ipp_endpoints(&id).len();
                if tried < endpoints.min(MAX_TRIES) {
                    self.start_poll(id, now);
                } else {
                    self.poll_failed(&id, error.message, now);
                }
            }
        }
    }

    /// Asks the printer anew, over what endpoints it has left, when it is next due: at once.
    fn start_poll_again(&mut self, id: PrinterId, now: Timestamp) {
        if self.printers.contains_key(&id) {
            self.ipp.schedule.polled(&id, Outcome::Busy, now);
            self.enroll(&id, now);
            self.poll_now(&id, now);
        }
    }

    /// Trust on first use, warn on change: the new certificate is trusted, and the printer asked again. False: it
    /// changed a short time ago already, which is a failure like any other.
    fn repin(&mut self, id: &PrinterId, key: &str, pin: Pin, now: Timestamp) -> bool {
        if let Some(entry) = self.printers.get_mut(id) {
            if entry.repinned.is_some_and(|at| now.duration_since(at).abs() < REPIN_PAUSE) {
                let minutes = REPIN_PAUSE.as_mins();
                tracing::warn!(printer = %id, "its TLS certificate changed twice within {minutes} minutes");
                return false;
            }
            entry.repinned = Some(now);
        }
        self.tell_registry(Event::Repinned { id: id.clone(), key: key.to_owned(), pin }, now);
        if let Some(printer) = self.registry.get(id) {
            let uri = printer.endpoints.iter().find(|e| e.key == key).map(|e| e.endpoint.uri()).unwrap_or_default();
            tracing::warn!(printer = %id, %uri, "the printer's TLS certificate changed");
            let name = self.name(printer);
            self.records.push(records::certificate_changed(id, &name, &uri, &pin.to_string(), now));
        }
        self.start_poll_again(id.clone(), now);
        true
    }

    fn observed(&mut self, id: &PrinterId, mut answer: PollAnswer, now: Timestamp) {
        if self.is_pending(id) {
            // Only who it is was to be learned.
            return self.enroll(id, now);
        }
        let has_ipp = self.has_ipp(id);
        let said = std::mem::take(&mut answer.observation.capabilities);
        answer.observation.capabilities = self.shared.one(said);
        let Some(entry) = self.printers.get_mut(id) else { return };
        let source = answer.observation.source;
        let before = entry.state.clone();
        entry.state.observed(answer.observation);
        let (old, new) = (before.heard(source).last.as_ref(), entry.state.heard(source).last.as_ref());
        let up_time = |o: Option<&Observation>| o.and_then(|o| o.up_time);
        let restarted = up_time(old).zip(up_time(new)).is_some_and(|(old, new)| new < old);
        let news = restarted || !entry.state.says_the_same(&before);
        if before.reasons() != entry.state.reasons() {
            entry.reasons_since = Some(now);
        }
        let restless = entry.reasons_since.is_some_and(|at| now.duration_since(at).abs() < RESTLESS);
        let busy = entry.state.status() == Status::Processing || (restless && entry.state.has_alert());
        // What IPP tells of a busy printer need not be told twice.
        let outcome = if busy && (source == Source::Ipp || !has_ipp) { Outcome::Busy } else { Outcome::Quiet };
        self.lane(source).schedule.polled(id, outcome, now);
        self.enroll(id, now);
        self.stale_views.insert(id.clone());
        if news {
            self.mark(id.clone());
        }
        self.tell_cloud(id, now);
    }

    fn poll_failed(&mut self, id: &PrinterId, why: String, now: Timestamp) {
        self.tried.remove(id);
        let failures = self.failed(id, Source::Ipp, why, now);
        self.ipp.schedule.polled(id, Outcome::Silent(failures), now);
        self.tell_registry(Event::PollFailed { id: id.clone() }, now);
        self.enroll(id, now);
    }

    /// Takes note of a failed poll; how many in a row failed.
    fn failed(&mut self, id: &PrinterId, source: Source, why: String, now: Timestamp) -> u32 {
        tracing::debug!(printer = %id, ?source, %why, "a poll failed");
        let pending = self.is_pending(id);
        let Some(entry) = self.printers.get_mut(id).filter(|_| !pending) else { return 1 };
        let before = entry.state.clone();
        entry.state.failed(source, why);
        let news = !entry.state.says_the_same(&before);
        let failures = entry.state.heard(source).failures;
        if news {
            self.mark(id.clone());
        }
        self.tell_cloud(id, now);
        failures
    }
}

/// Whether what was asked is where the endpoint is now: over SNMP only its addresses count. An address that came to it
/// meanwhile takes nothing from an answer.
fn is_still(question: &Question, now: &Endpoint) -> bool {
    let asked = &question.endpoint;
    let there = match asked.addresses.is_empty() {
        true => now.addresses.is_empty() && asked.host == now.host,
        false => asked.scope_id == now.scope_id && asked.addresses.iter().all(|a| now.addresses.contains(a)),
    };
    there && (question.source == Source::Snmp || (asked.port == now.port && asked.path == now.path))
}

fn identity_of(answer: &PollAnswer) -> Identity {
    let o = &answer.observation;
    Identity {
        evidence: o.evidence.clone(),
        // What an agent is called (sysName) is rarely what people call the printer.
        name: o.name.clone().filter(|_| o.source == Source::Ipp),
        location: o.location.clone(),
        pin: answer.fingerprint,
    }
}
