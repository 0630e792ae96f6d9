//! The hub's state and its synchronous step: [`HubState::apply`] takes an event, the `take_` functions hand out what it
//! brought forth. No I/O, no clock.

mod probing;

use super::records::{self, Book, Record};
use super::{
    HubEvent, HubOutput, PollAnswer, PollError, PollErrorKind, PollRequest, PrinterRow, PrinterView, Question, Target,
};
use crate::domain::ids::{GatewayName, PrinterId};
use crate::domain::registry::{Effect, Event, Identity, KnownEndpoint, Pin, Printer, Registry};
use crate::domain::schedule::{Intervals, Outcome, Schedule};
use crate::domain::shadow;
use crate::domain::sighting::DiscoveryEvent;
use crate::domain::state::{Observation, PrinterState, ReportContext, Source, Status, reported};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Polls under way at a time over one protocol.
pub const MAX_POLLS: usize = 16;

/// Records about one printer at once. A flapping printer must not fill the outbox.
const RECORDS_AT_ONCE: i32 = 60;

/// Records about one printer in the long run: one in this time.
const RECORD_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// How long a printer with an alert is polled often, since its reasons last changed. An alert may stand for weeks.
const RESTLESS: SignedDuration = SignedDuration::from_mins(10);

/// A certificate is replaced at most this often; one that changes faster counts as a failure.
const REPIN_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// Endpoints of one printer tried in one poll.
const MAX_TRIES: usize = 4;

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
}

/// What the hub knows. See the module.
#[derive(Debug)]
pub struct HubState {
    settings: HubSettings,
    registry: Registry,
    ipp: Lane,
    snmp: Lane,
    printers: BTreeMap<PrinterId, Entry>,
    /// What probes were answered over IPP, or that they were not, while the same device is asked over SNMP.
    probing: BTreeMap<String, Option<Box<PollAnswer>>>,
    /// Endpoints that a poll under way has tried in vain.
    tried: BTreeMap<PrinterId, BTreeSet<String>>,
    to_start: Vec<PollRequest>,
    /// Printers of which something durable changed.
    dirty: BTreeSet<PrinterId>,
    /// Printers whose shadow document may have changed; after a start, all of them: a new version may say more.
    stale_shadows: BTreeSet<PrinterId>,
    /// Printers whose view changed.
    stale_views: BTreeSet<PrinterId>,
    deletes: Vec<PrinterId>,
    records: Vec<Record>,
    deferred: u64,
}

/// The polls over one protocol.
#[derive(Debug)]
struct Lane {
    schedule: Schedule,
    /// Probes that wait for one of [`MAX_POLLS`] places: at most one for each quarantined device.
    waiting: VecDeque<PollRequest>,
    under_way: usize,
}

impl Lane {
    fn new(settings: &HubSettings) -> Self {
        let schedule = Schedule::new(settings.intervals, settings.seed);
        Self { schedule, waiting: VecDeque::new(), under_way: 0 }
    }

    fn next_due(&self) -> Option<Timestamp> {
        if self.under_way >= MAX_POLLS { None } else { self.schedule.next_due() }
    }
}

#[derive(Debug, Default)]
struct Entry {
    state: PrinterState,
    book: Book,
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
        for row in rows {
            printers.insert(row.id().clone(), Entry { state: row.state, book: row.book, ..Entry::default() });
            known.push(row.printer);
        }
        let registry = Registry::restore(known);
        printers.retain(|id, _| registry.get(id).is_some_and(|p| p.id == *id));
        for id in printers.keys() {
            if !registry.ipp_endpoints(id).is_empty() {
                ipp.schedule.restored(id, now);
            }
            if settings.snmp && registry.snmp_endpoint(id).is_some() {
                snmp.schedule.restored(id, now);
            }
        }
        let stale_views: BTreeSet<PrinterId> = printers.keys().cloned().collect();
        Self {
            settings,
            registry,
            ipp,
            snmp,
            printers,
            probing: BTreeMap::new(),
            tried: BTreeMap::new(),
            to_start: Vec::new(),
            dirty: BTreeSet::new(),
            stale_shadows: stale_views.clone(),
            stale_views,
            deletes: Vec::new(),
            records: Vec::new(),
            deferred: 0,
        }
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
            HubEvent::Polled { target, source, result } => {
                let lane = self.lane(source);
                lane.under_way = lane.under_way.saturating_sub(1);
                match (target, source) {
                    (Target::Probe { key }, Source::Ipp) => self.probed(key, *result, now),
                    (Target::Probe { key }, Source::Snmp) => self.probed_over_snmp(key, *result, now),
                    (Target::Poll { id, key }, Source::Ipp) => self.polled(id, key, *result, now),
                    (Target::Poll { id, key }, Source::Snmp) => self.polled_over_snmp(id, key, *result, now),
                }
            }
            HubEvent::PollNow(id) => {
                if let Some(id) = self.registry.get(&id).map(|p| p.id.clone()) {
                    self.poll_now(&id, now);
                }
            }
            HubEvent::Tick => self.tick(now),
        }
        self.fill_places(now);
    }

    /// When the next poll is due; nothing while all places are taken, since the end of a poll wakes the loop.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.ipp.next_due().into_iter().chain(self.snmp.next_due()).min()
    }

    /// The polls to start now.
    pub fn take_polls(&mut self) -> Vec<PollRequest> {
        std::mem::take(&mut self.to_start)
    }

    /// What is to be made durable now.
    pub fn take_output(&mut self) -> HubOutput {
        let mut output = HubOutput {
            deletes: std::mem::take(&mut self.deletes),
            records: std::mem::take(&mut self.records),
            ..HubOutput::default()
        };
        let context = ReportContext { gateway: self.settings.gateway.as_str() };
        for id in std::mem::take(&mut self.stale_shadows) {
            let (Some(printer), Some(entry)) = (self.registry.get(&id), self.printers.get_mut(&id)) else { continue };
            let whole = reported(printer, &entry.state, context);
            let (document, left_out) = shadow::fit(&whole, shadow::DOCUMENT_BYTES);
            let hash: [u8; 32] = Sha256::digest(document.to_string()).into();
            if entry.shadow != Some(hash) {
                if !left_out.is_empty() {
                    tracing::debug!(printer = %id, ?left_out, "the shadow does not hold everything");
                }
                entry.shadow = Some(hash);
                output.shadows.push((id, document));
            }
        }
        for id in std::mem::take(&mut self.dirty) {
            let (Some(printer), Some(entry)) = (self.registry.get(&id), self.printers.get(&id)) else { continue };
            let row = PrinterRow { printer: printer.clone(), state: entry.state.clone(), book: entry.book.clone() };
            output.saves.push(row);
        }
        output
    }

    /// The views that changed; `None` for a printer that is no more. To be published after the output is durable.
    pub fn take_views(&mut self) -> Vec<(PrinterId, Option<PrinterView>)> {
        let stale = std::mem::take(&mut self.stale_views);
        stale.into_iter().map(|id| (id.clone(), self.view(&id))).collect()
    }

    fn view(&self, id: &PrinterId) -> Option<PrinterView> {
        let printer = self.registry.get(id).filter(|p| p.id == *id)?;
        let state = &self.printers.get(id)?.state;
        let picture = state.picture();
        // The time of observation belongs to the up-time.
        let timed = state.ipp.last.as_ref().or(state.snmp.last.as_ref());
        // IPP at a print port is a broken page on paper.
        let is_way = |e: &&KnownEndpoint| !e.endpoint.kind.is_ipp() || !self.registry.is_print_place(&e.endpoint);
        let ways = printer.preferred().into_iter().filter(is_way);
        let make_and_model = [&printer.evidence.make, &printer.evidence.model];
        Some(PrinterView {
            id: id.clone(),
            aliases: printer.aliases.clone(),
            name: printer.name.clone(),
            location: printer.location.clone(),
            make_and_model: make_and_model.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" "),
            endpoints: ways.map(|e| (e.endpoint.clone(), e.pin)).collect(),
            formats: printer.raw_formats(),
            status: state.status(),
            online: state.online(),
            error_code: state.error_code(),
            reasons: state.reasons(),
            accepting: picture.accepting.map(|(accepting, _)| accepting),
            capabilities: picture.capabilities.map(|(c, _)| c.clone()).unwrap_or_default(),
            up_time: timed.and_then(|o| o.up_time),
            observed_at: timed.map(|o| o.at),
        })
    }

    fn tick(&mut self, now: Timestamp) {
        // After a start, what was asked before over a protocol that is asked no more.
        let all: Vec<PrinterId> = self.printers.keys().cloned().collect();
        all.iter().for_each(|id| self.forget_unasked(id, now));
        let ids: Vec<PrinterId> =
            self.printers.iter().filter(|(_, e)| e.book.heartbeat_due(now)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.tell_cloud(&id, now);
        }
    }

    fn lane(&mut self, source: Source) -> &mut Lane {
        match source {
            Source::Ipp => &mut self.ipp,
            Source::Snmp => &mut self.snmp,
        }
    }

    /// Gives free places to probes first, then to printers that are due.
    fn fill_places(&mut self, now: Timestamp) {
        for source in [Source::Ipp, Source::Snmp] {
            while self.lane(source).under_way < MAX_POLLS
                && let Some(request) = self.lane(source).waiting.pop_front()
            {
                match request.target {
                    // What was not known as a print port when the probe began to wait.
                    Target::Probe { key } if self.is_ipp_at_print_place(&request.question) => {
                        self.probe(key, request.question.endpoint, now);
                    }
                    target => self.start(PollRequest { target, ..request }),
                }
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
        self.lane(request.question.source).under_way += 1;
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

    fn start_snmp_poll(&mut self, id: PrinterId, now: Timestamp) {
        match self.registry.snmp_endpoint(&id) {
            Some(e) => {
                let target = Target::Poll { id: id.clone(), key: e.key.clone() };
                let patient = !self.has_ipp(&id);
                let question = Question { source: Source::Snmp, endpoint: e.endpoint.clone(), pin: None, patient };
                self.start(PollRequest { target, question });
            }
            None => self.enroll(&id, now),
        }
    }

    fn has_ipp(&self, id: &PrinterId) -> bool {
        !self.registry.ipp_endpoints(id).is_empty()
    }

    /// Polls a printer over what tells most about it.
    fn poll_now(&mut self, id: &PrinterId, now: Timestamp) {
        if self.has_ipp(id) {
            self.ipp.schedule.poll_now(id, now);
        } else if self.snmp.schedule.contains(id) {
            self.snmp.schedule.poll_now(id, now);
        }
    }

    /// Keeps a printer in those schedules over whose protocols it can be asked, and forgets what the others told.
    fn enroll(&mut self, id: &PrinterId, now: Timestamp) {
        match (self.has_ipp(id), self.ipp.schedule.contains(id)) {
            (true, false) => self.ipp.schedule.poll_now(id, now),
            (false, true) => self.ipp.schedule.remove(id),
            _ => {}
        }
        let agent = self.settings.snmp && self.registry.snmp_endpoint(id).is_some();
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

    fn tell_registry(&mut self, event: Event, now: Timestamp) {
        let announcement = matches!(event, Event::Sighting(_) | Event::Lost { .. } | Event::Withdrawn { .. });
        let raw = match &event {
            Event::Sighting(s) if !s.endpoint.kind.is_ipp() => Some(s.endpoint.clone()),
            _ => None,
        };
        for effect in self.registry.apply(event, now) {
            match effect {
                Effect::Probe { key, endpoint } => {
                    self.probe(key, endpoint, now);
                }
                Effect::Adopted(id) => {
                    self.printers.entry(id.clone()).or_default();
                    self.enroll(&id, now);
                    self.poll_now(&id, now);
                    if let Some(printer) = self.registry.get(&id) {
                        tracing::info!(printer = %id, name = %printer.name, "printer found");
                        self.records.push(records::adopted(&id, &printer.name, now));
                    }
                    self.mark(id);
                }
                Effect::Changed(id) => {
                    self.enroll(&id, now);
                    let live = self.registry.get(&id).is_some_and(Printer::is_live);
                    let online = self.printers.get(&id).is_some_and(|e| e.state.online());
                    if announcement && live != online {
                        // Gone from the network, or there again: ask rather than guess.
                        self.poll_now(&id, now);
                    }
                    self.mark(id);
                }
                Effect::CheckNow(id) => self.poll_now(&id, now),
                Effect::Merged { survivor, absorbed } => {
                    tracing::info!(%survivor, %absorbed, "two ids are one printer");
                    self.merge(&survivor, &absorbed);
                    self.enroll(&survivor, now);
                    self.records.push(records::merged(&survivor, &absorbed, now));
                    self.deletes.push(absorbed);
                    self.mark(survivor);
                }
                Effect::Refused { key, reason } => tracing::warn!(%key, reason, "a sighting was refused"),
            }
        }
        for id in raw.map(|raw| self.registry.printers_at_port(&raw)).unwrap_or_default() {
            // IPP is no longer a way to ask it, or to print.
            self.enroll(&id, now);
            self.stale_views.insert(id);
        }
    }

    fn merge(&mut self, survivor: &PrinterId, absorbed: &PrinterId) {
        self.ipp.schedule.remove(absorbed);
        self.snmp.schedule.remove(absorbed);
        self.tried.remove(absorbed);
        self.dirty.remove(absorbed);
        self.stale_shadows.remove(absorbed);
        self.stale_views.insert(absorbed.clone());
        if let Some(gone) = self.printers.remove(absorbed) {
            let stays = self.printers.entry(survivor.clone()).or_default();
            if gone.state.observed_at() > stays.state.observed_at() {
                stays.state = gone.state;
            }
        }
    }

    /// Something durable of the printer changed.
    fn mark(&mut self, id: PrinterId) {
        self.stale_shadows.insert(id.clone());
        self.stale_views.insert(id.clone());
        self.dirty.insert(id);
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

    fn polled_over_snmp(&mut self, id: PrinterId, key: String, result: Result<PollAnswer, PollError>, now: Timestamp) {
        if !self.printers.contains_key(&id) {
            return;
        }
        if self.registry.snmp_endpoint(&id).is_none() {
            // Another queue or port turned up beside it while it was asked: the agent speaks for neither.
            return self.enroll(&id, now);
        }
        // The agent at the address of a printer that says itself who it is: another device's, if it says something else.
        let by_ipp = self.registry.endpoint(&key).is_some_and(|e| e.kind.is_ipp());
        let result = result.and_then(|answer| {
            if by_ipp && self.registry.contradicts(&id, &answer.observation.evidence) {
                let message = "the SNMP agent at its address is another device's".to_owned();
                return Err(PollError::new(PollErrorKind::Answer, message));
            }
            Ok(answer)
        });
        match result {
            Ok(answer) => {
                let identity = Box::new(identity_of(&answer));
                let over = Source::Snmp;
                self.tell_registry(Event::PollAnswered { id: id.clone(), key: key.clone(), identity, over }, now);
                let owner = self.registry.owner(&key).cloned();
                if owner.as_ref() != Some(&id) && self.printers.contains_key(&id) {
                    // Another device has its address: it is somewhere else, or off.
                    self.snmp_failed(&id, "another device answers at its address".to_owned(), now);
                }
                if let Some(owner) = owner {
                    self.observed(&owner, answer, now);
                }
            }
            Err(error) => self.snmp_failed(&id, error.message, now),
        }
    }

    fn snmp_failed(&mut self, id: &PrinterId, why: String, now: Timestamp) {
        let failures = self.failed(id, Source::Snmp, why, now);
        self.snmp.schedule.polled(id, Outcome::Silent(failures), now);
        if !self.has_ipp(id) {
            self.tell_registry(Event::PollFailed { id: id.clone() }, now);
        }
        self.enroll(id, now);
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
            self.records.push(records::certificate_changed(id, &printer.name, &uri, &pin.to_string(), now));
        }
        self.start_poll_again(id.clone(), now);
        true
    }

    fn observed(&mut self, id: &PrinterId, answer: PollAnswer, now: Timestamp) {
        let has_ipp = self.has_ipp(id);
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
        let Some(entry) = self.printers.get_mut(id) else { return 1 };
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

    fn tell_cloud(&mut self, id: &PrinterId, now: Timestamp) {
        let (Some(printer), Some(entry)) = (self.registry.get(id), self.printers.get_mut(id)) else { return };
        if entry.allowance.is_used_up(now) {
            self.deferred += 1;
            return;
        }
        let told = entry.book.tell(id, &printer.name, &entry.state, now);
        if !told.is_empty() {
            entry.allowance.use_up(told.len(), now);
            self.records.extend(told);
            self.dirty.insert(id.clone());
        }
    }
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
