//! The job book's owner: takes tickets and controls, decides who may fetch and send, and persists before anything acts.
//!
//! One loop owns every live job. Work on the outside (fetching, sending, asking printers) runs in tasks, at most one
//! for each job, that report events and wait until these are durable: see `work`. A task never changes a
//! job, the owner never waits for a printer.
//!
//! - A transition and the status that tells of it commit in one transaction; only then does anything act on it.
//! - One job at a time to a printer, by priority, then arrival; printers are independent of each other.
//! - After a restart whatever was under way is looked at first (see `domain::job::judge`), never simply done again.
//! - If the store refuses (disk full), nothing acts: the task ends and the job is looked at again later.
//!
//! Not here: the rules (`domain::job`), the conversations with printers (`deliver`), the way to the cloud (`uplink`).

mod intake;
mod known;
mod report;
mod work;

pub use known::{AgentQuestion, AskAgent, Directory, Known, Networks, Reach, Refusal};

use crate::cloud::Command;
use crate::cloud::wire::Topics;
use crate::deliver::clients::Clients;
use crate::deliver::credentials::Credentials;
use crate::deliver::raw;
use crate::discovery::print_places::PrintPlaces;
use crate::document::fetch::{self, Fetcher};
use crate::document::spool::Spool;
use crate::domain::ids::{GatewayName, JobId, PrinterId, TagStem};
use crate::domain::job::{Event, Job, Outcome, State, UNCONFIRMED_FOLLOWED, next_to_send};
use crate::domain::net::DocumentPolicy;
use crate::domain::retry::Backoff;
use crate::domain::ticket::DocumentRef;
use crate::ipp::client::Timeouts;
use crate::store::jobs::{JobStore, is_live};
use crate::store::{StoreError, Wake};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use work::{Answer, Ended, Kind, Report};

/// Fetches at once.
const FETCHES_MAX: usize = 4;
/// Conversations with printers at once.
const CONVERSATIONS_MAX: usize = 64;
/// Live jobs; a ticket beyond them is rejected.
const LIVE_MAX: usize = 20_000;
/// Longest sleep of the loop.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How often an unconfirmed job is looked for.
const UNCONFIRMED_LOOKS: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(3600));
/// Conversations about parked jobs at once, one at a printer: they never take the places of jobs that wait.
const PARKED_MAX: usize = 8;
/// Rounds of asking a printer to cancel a job that goes on all the same; about six minutes.
const CANCEL_ROUNDS: u32 = 12;
/// Pause after the store refused.
const STORE_PAUSE: SignedDuration = SignedDuration::from_secs(5);
/// How often finished jobs are looked through.
const HOUSEKEEPING: Duration = Duration::from_secs(3600);

/// Limits and rules of jobs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest document, octets.
    pub max_document_bytes: u64,
    /// Where documents may come from.
    pub documents: DocumentPolicy,
    /// Deadlines of a fetch.
    pub fetch: fetch::Limits,
    /// Deadlines of conversations with printers.
    pub printers: Timeouts,
    /// Credentials for printers that ask.
    pub credentials: Credentials,
    /// Deadlines of AppSocket and LPD.
    pub raw: raw::Limits,
}

/// What the owner works with.
pub struct Parts {
    /// Our thing name.
    pub gateway: GatewayName,
    /// How topics are named.
    pub topics: Topics,
    /// Told how many documents are on their way to printers.
    pub transfers: watch::Sender<usize>,
    /// The book.
    pub store: JobStore,
    /// Documents.
    pub spool: Spool,
    /// Fetches documents.
    pub fetcher: Fetcher,
    /// Known printers.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// Where printers may be contacted.
    pub networks: Networks,
    /// Where no IPP is spoken.
    pub places: PrintPlaces,
    /// What the cloud asks.
    pub commands: mpsc::Receiver<Command>,
    /// Statuses wait to be sent.
    pub wake: Wake,
    /// Printers to be polled at once: a job of theirs ended, so that counters and state changed, or they are not where
    /// they were. A wish; dropped when it is full.
    pub poll_now: mpsc::Sender<PrinterId>,
    /// Asks agents who they are.
    pub ask_agent: AskAgent,
    /// Limits and rules.
    pub settings: Settings,
}

/// Runs until `cancel`; transfers under way go on until they are through, or until `hurry`. Ends early only if the book
/// cannot be read.
pub async fn run(parts: Parts, cancel: CancellationToken, hurry: CancellationToken) -> Result<(), StoreError> {
    let mut owner = Owner::load(parts).await?;
    owner.run(cancel).await;
    owner.stop(hurry).await;
    Ok(())
}

struct Owner {
    gateway: GatewayName,
    topics: Topics,
    transfers: watch::Sender<usize>,
    store: JobStore,
    spool: Spool,
    directory: watch::Receiver<Arc<Directory>>,
    networks: Networks,
    places: PrintPlaces,
    commands: mpsc::Receiver<Command>,
    wake: Wake,
    settings: Settings,
    outside: work::Outside,
    /// Live jobs in order of arrival.
    jobs: BTreeMap<u64, Job>,
    arrivals: HashMap<JobId, u64>,
    next_arrival: u64,
    tasks: HashMap<JobId, Running>,
    running: JoinSet<Ended>,
    reports: mpsc::Receiver<Report>,
    /// Jobs that are not looked at before this.
    rests: HashMap<JobId, Rest>,
    /// URLs were erased from the book since its log was last truncated.
    erased: bool,
    stopping: bool,
    commands_open: bool,
}

struct Running {
    task: tokio::task::Id,
    kind: Kind,
    printer: PrinterId,
    cancel: CancellationToken,
}

#[derive(Default)]
struct Rest {
    /// Not by the time of day, which may be set back.
    until: Option<Instant>,
    failures: u32,
}

impl Rest {
    /// What is left of it.
    fn left(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}

impl Owner {
    async fn load(parts: Parts) -> Result<Self, StoreError> {
        let (reporter, reports) = mpsc::channel(CONVERSATIONS_MAX);
        let mut jobs = BTreeMap::new();
        let mut arrivals = HashMap::new();
        let mut next_arrival = 0;
        for job in parts.store.live().await? {
            arrivals.insert(job.id.clone(), next_arrival);
            jobs.insert(next_arrival, job);
            next_arrival += 1;
        }
        sweep(&parts.spool, jobs.values()).await;
        if !jobs.is_empty() {
            tracing::info!(jobs = jobs.len(), "jobs found in the book");
        }
        let outside = work::Outside {
            fetcher: parts.fetcher,
            spool: parts.spool.clone(),
            clients: Clients::new(parts.settings.printers.clone(), parts.settings.credentials.clone()),
            documents: Arc::new(parts.settings.documents.clone()),
            fetch_limits: parts.settings.fetch,
            max_document_bytes: parts.settings.max_document_bytes,
            no_create_job: work::NoCreateJob::default(),
            raw: parts.settings.raw.clone(),
            gateway: parts.gateway.as_str().to_owned(),
            ask_agent: parts.ask_agent,
            poll_now: parts.poll_now,
            reporter,
        };
        Ok(Self {
            topics: parts.topics,
            transfers: parts.transfers,
            gateway: parts.gateway,
            store: parts.store,
            spool: parts.spool,
            directory: parts.directory,
            networks: parts.networks,
            places: parts.places,
            commands: parts.commands,
            wake: parts.wake,
            settings: parts.settings,
            outside,
            jobs,
            arrivals,
            next_arrival,
            tasks: HashMap::new(),
            running: JoinSet::new(),
            reports,
            rests: HashMap::new(),
            // The log of an earlier run may hold URLs.
            erased: true,
            stopping: false,
            commands_open: true,
        })
    }

    async fn run(&mut self, cancel: CancellationToken) {
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        let mut directory_open = true;
        let mut reachable = self.directory.borrow().clone();
        loop {
            let due = self.step().await;
            self.tell_transfers();
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(report) = self.reports.recv() => self.take_report(report).await,
                Some(ended) = self.running.join_next() => self.task_ended(ended),
                command = self.commands.recv(), if self.commands_open => match command {
                    Some(command) => self.command(command).await,
                    None => self.commands_open = false,
                },
                changed = self.directory.changed(), if directory_open => {
                    directory_open = changed.is_ok();
                    let known = self.directory.borrow_and_update().clone();
                    if known != reachable {
                        self.wake_waiting();
                        reachable = Arc::clone(&known);
                    }
                    self.outside.clients.keep(known.values().flat_map(|known| &known.reach).map(|reach| (&reach.endpoint, reach.pin)));
                }
                _ = housekeeping.tick() => self.housekeeping().await,
                () = tokio::time::sleep(due) => {}
            }
        }
    }

    /// No new work; what transfers goes on until `hurry`, everything else is dropped where it is: the book knows.
    async fn stop(&mut self, hurry: CancellationToken) {
        self.stopping = true;
        for task in self.tasks.values().filter(|task| task.kind != Kind::Send) {
            task.cancel.cancel();
        }
        // A job that the printer has whole needs us no more, where it can be asked for later.
        while self.tasks.keys().any(|id| self.job(id).is_some_and(|job| job.state.needs_connection())) {
            tokio::select! {
                Some(report) = self.reports.recv() => self.take_report(report).await,
                Some(ended) = self.running.join_next() => self.task_ended(ended),
                () = hurry.cancelled() => break,
            }
        }
        self.running.abort_all();
    }

    /// Tells how many documents are on their way: an update of components waits for them.
    fn tell_transfers(&self) {
        let sends = self.tasks.iter().filter(|(_, task)| task.kind == Kind::Send);
        let under_way = sends.filter(|(id, _)| self.job(id).is_some_and(|job| job.state.needs_connection())).count();
        self.transfers.send_if_modified(|told| std::mem::replace(told, under_way) != under_way);
    }

    /// Starts whatever may start. Answers how long nothing more can happen by itself.
    async fn step(&mut self) -> Duration {
        let now = Timestamp::now();
        let mut due = LONGEST_SLEEP;
        let mut wake_in = |pause: Duration| due = due.min(pause.max(Duration::from_millis(1)));
        let overdue: Vec<JobId> = self.jobs.values().filter(|j| j.is_overdue(now)).map(|j| j.id.clone()).collect();
        for id in overdue {
            if self.resting(&id).is_none() && !self.change(&id, Event::Expire("not-after")).await {
                self.rest(&id, Some(STORE_PAUSE));
            }
        }
        self.end_what_is_refused().await;
        let fetching = self.jobs.values().any(|job| matches!(job.state, State::Accepted | State::Fetching));
        if self.erased && !fetching {
            // A presigned URL is a secret: it leaves the database's log too, once nothing more is being fetched.
            self.erased = false;
            if let Err(error) = self.store.truncate_log().await {
                tracing::warn!(%error, "fetched URLs stay in the database's log until housekeeping");
            }
        }
        let fetches = self.tasks.values().filter(|task| task.kind == Kind::Fetch).count();
        let mut conversations = self.tasks.len() - fetches;
        let mut starts: Vec<(JobId, Kind)> = Vec::new();
        let mut to_fetch: Vec<(u32, u64, JobId)> = Vec::new();
        let mut by_printer: BTreeMap<&PrinterId, Vec<&Job>> = BTreeMap::new();
        let mut parked: BTreeMap<&PrinterId, JobId> = BTreeMap::new();
        let mut uncancelable: Vec<JobId> = Vec::new();
        for (arrival, job) in &self.jobs {
            if matches!(job.state, State::Accepted | State::Fetching | State::Ready { .. }) {
                // One that is overdue already could not be stored; its rest says when to try again.
                wake_in(Duration::try_from(job.expires_at.duration_since(now)).unwrap_or(LONGEST_SLEEP));
            }
            if matches!(job.state, State::Ready { .. }) || job.state.occupies_printer() {
                by_printer.entry(&job.printer).or_default().push(job);
            }
            if self.tasks.contains_key(&job.id) {
                continue;
            }
            if let Some(left) = self.resting(&job.id) {
                wake_in(left);
                continue;
            }
            match &job.state {
                State::Accepted | State::Fetching => {
                    let failures = self.rests.get(&job.id).map_or(0, |rest| rest.failures);
                    to_fetch.push((failures, *arrival, job.id.clone()));
                }
                State::Unconfirmed { since, .. } if now.duration_since(*since) > UNCONFIRMED_FOLLOWED => {}
                State::Unconfirmed { .. } => {
                    parked.entry(&job.printer).or_insert_with(|| job.id.clone());
                }
                State::Canceling { .. }
                    if self.rests.get(&job.id).is_some_and(|rest| rest.failures >= CANCEL_ROUNDS)
                        && !job.reasons.iter().any(|reason| reason == "printer-unreachable") =>
                {
                    uncancelable.push(job.id.clone());
                }
                State::Sending { .. } | State::Printing { .. } | State::Canceling { .. }
                    if conversations < CONVERSATIONS_MAX =>
                {
                    conversations += 1;
                    starts.push((job.id.clone(), Kind::Settle));
                }
                _ => {}
            }
        }
        for (printer, jobs) in by_printer {
            let busy = self.tasks.values().any(|task| task.kind == Kind::Send && task.printer == *printer);
            let Some(next) = next_to_send(jobs) else { continue };
            let resting = self.resting(&next.id).is_some();
            if !busy && !resting && !self.tasks.contains_key(&next.id) && conversations < CONVERSATIONS_MAX {
                conversations += 1;
                starts.push((next.id.clone(), Kind::Send));
            }
        }
        let places = PARKED_MAX.min(CONVERSATIONS_MAX.saturating_sub(conversations));
        starts.extend(parked.into_values().take(places).map(|id| (id, Kind::Settle)));
        // A host that hangs holds up its own documents, not everybody's: who failed less comes first.
        to_fetch.sort_unstable();
        let places = FETCHES_MAX.saturating_sub(fetches);
        starts.extend(to_fetch.into_iter().take(places).map(|(_, _, id)| (id, Kind::Fetch)));
        for id in uncancelable {
            // While it is canceling, the printer's queue stands still.
            let why = "the printer was asked to cancel the job and goes on with it";
            self.change(&id, Event::Lost { why: why.into() }).await;
        }
        for (id, kind) in starts {
            self.start(&id, kind).await;
        }
        due
    }

    async fn start(&mut self, id: &JobId, kind: Kind) {
        if kind == Kind::Fetch && !self.change(id, Event::FetchStarted).await {
            self.rest(id, Some(STORE_PAUSE));
            return;
        }
        let Some(job) = self.job(id).cloned() else { return };
        let mut target = work::Target::find(&job.printer, &self.directory.borrow());
        if kind != Kind::Fetch {
            let policy = (self.networks)();
            for reach in &mut target.reach {
                reach.endpoint = policy.permit_job(&reach.endpoint);
                let (port, is_ipp) = (reach.endpoint.port, reach.endpoint.kind.is_ipp());
                // What is heard of a port may not have become an endpoint.
                reach.endpoint.addresses.retain(|address| !is_ipp || !self.places.contains(*address, port));
            }
            target.reach.retain(|reach| !reach.endpoint.addresses.is_empty());
        }
        let cancel = CancellationToken::new();
        let printer = job.printer.clone();
        let task = self.running.spawn(work::run(self.outside.clone(), kind, job, target, cancel.clone())).id();
        self.tasks.insert(id.clone(), Running { task, kind, printer, cancel });
    }

    fn task_ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(ended) => {
                self.tasks.remove(&ended.job);
                match ended.rest {
                    work::RestFor::Nothing => {
                        self.rests.remove(&ended.job);
                    }
                    work::RestFor::Backoff => self.rest(&ended.job, None),
                    work::RestFor::AtLeast(pause) => {
                        self.rest(&ended.job, None);
                        let asked = Instant::now().checked_add(pause.try_into().unwrap_or_default());
                        if let Some(rest) = self.rests.get_mut(&ended.job) {
                            rest.until = rest.until.max(asked);
                        }
                    }
                }
                match self.job(&ended.job).map(|job| &job.state) {
                    None => drop(self.rests.remove(&ended.job)),
                    Some(State::Unconfirmed { .. }) => {
                        let failures = self.rests.get(&ended.job).map_or(0, |rest| rest.failures);
                        let pause = UNCONFIRMED_LOOKS.delay(failures, u64::from(failures));
                        self.rest(&ended.job, SignedDuration::try_from(pause).ok());
                    }
                    Some(_) => {}
                }
            }
            // A task never panics by our rules; if one does, its job is free again and is looked at first.
            Err(error) if error.is_panic() => {
                tracing::error!(%error, "a task failed; its job will be looked at again");
                let failed = self.tasks.iter().find(|(_, task)| task.task == error.id()).map(|(id, _)| id.clone());
                if let Some(id) = failed {
                    self.tasks.remove(&id);
                    self.rest(&id, None);
                }
            }
            Err(_) => {}
        }
    }

    /// Printers are reached anew, or otherwise: whoever waits for one looks at once.
    fn wake_waiting(&mut self) {
        for (id, rest) in &mut self.rests {
            let job = self.arrivals.get(id).and_then(|arrival| self.jobs.get(arrival));
            if job.is_some_and(|job| !matches!(job.state, State::Accepted | State::Fetching)) {
                rest.until = None;
            }
        }
    }

    /// How long a job is still left alone.
    fn resting(&self, id: &JobId) -> Option<Duration> {
        self.rests.get(id).and_then(Rest::left)
    }

    fn rest(&mut self, id: &JobId, pause: Option<SignedDuration>) {
        let rest = self.rests.entry(id.clone()).or_default();
        let pause = pause.unwrap_or_else(|| {
            let rule = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
            let pause = rule.delay(rest.failures, id.as_str().len() as u64 + u64::from(rest.failures));
            SignedDuration::try_from(pause).unwrap_or(STORE_PAUSE)
        });
        rest.failures = rest.failures.saturating_add(1);
        rest.until = Instant::now().checked_add(pause.try_into().unwrap_or_default());
    }

    async fn take_report(&mut self, report: Report) {
        // Once the end was asked for no attempt begins any more.
        let too_late = self.stopping && matches!(report.event, Event::SendStarted { .. });
        let changed = if too_late { Ok(false) } else { self.try_change(&report.job, report.event).await };
        let answer = match changed {
            Ok(true) => self.job(&report.job).cloned().map_or(Answer::Gone, |job| Answer::Is(Box::new(job))),
            Ok(false) => Answer::Gone,
            Err(error) => {
                not_stored(&report.job, &error);
                Answer::NotStored
            }
        };
        // A task that went away has no use for the answer.
        let _ = report.answer.send(answer);
    }

    /// Applies an event, durably. True: the job is as the event says. False: the event does not apply, or could not
    /// be stored; nothing changed.
    async fn change(&mut self, id: &JobId, event: Event) -> bool {
        self.try_change(id, event).await.unwrap_or_else(|error| {
            not_stored(id, &error);
            false
        })
    }

    /// The same, where the reason matters. False: the event does not apply.
    async fn try_change(&mut self, id: &JobId, event: Event) -> Result<bool, StoreError> {
        let Some(arrival) = self.arrivals.get(id).copied() else { return Ok(false) };
        let Some(job) = self.jobs.get(&arrival) else { return Ok(false) };
        let had_url = matches!(job.ticket.document, DocumentRef::Url { .. });
        let mut changed = job.clone();
        let name_before = job.state.name();
        match changed.apply(event, Timestamp::now()) {
            Err(error) => {
                tracing::debug!(%error, "an event does not apply");
                Ok(false)
            }
            Ok(Outcome::Nothing) => Ok(true),
            Ok(outcome) => {
                let status =
                    (outcome == Outcome::Status).then(|| report::status(&self.gateway, &self.topics, &changed));
                self.store.save(&changed, status).await?;
                if outcome == Outcome::Status {
                    self.wake.wake();
                }
                self.erased |= had_url && !matches!(changed.ticket.document, DocumentRef::Url { .. });
                if changed.state.is_final() && changed.attempt > 0 {
                    // Full: the printer is polled soon enough by itself.
                    let _ = self.outside.poll_now.try_send(changed.printer.clone());
                }
                if changed.state.name() != name_before {
                    tracing::info!(
                        job = id.as_str(),
                        printer = changed.printer.as_str(),
                        from = name_before,
                        to = changed.state.name(),
                        attempt = changed.attempt,
                        detail = changed.detail.as_deref().unwrap_or_default(),
                        "job"
                    );
                }
                self.put(arrival, changed).await;
                Ok(true)
            }
        }
    }

    /// Takes a stored job into memory, or out of it when nothing more happens to it.
    async fn put(&mut self, arrival: u64, job: Job) {
        let id = job.id.clone();
        let stops_task = match job.state {
            State::Canceling { .. } => {
                self.tasks.get(&id).is_some_and(|task| task.kind != Kind::Settle)
                    || self.jobs.get(&arrival).is_some_and(|old| !matches!(old.state, State::Canceling { .. }))
            }
            _ => job.state.is_final() && self.tasks.get(&id).is_some_and(|task| task.kind == Kind::Fetch),
        };
        if stops_task && let Some(task) = self.tasks.get(&id) {
            task.cancel.cancel();
        }
        if job.state.document().is_none()
            && job.state.is_final()
            && let Err(error) = self.spool.delete(job.stem.as_str()).await
        {
            tracing::debug!(%error, job = id.as_str(), "a document stays in the spool until the next start");
        }
        if is_live(&job) {
            self.arrivals.insert(id, arrival);
            self.jobs.insert(arrival, job);
        } else {
            self.arrivals.remove(&id);
            self.rests.remove(&id);
            self.jobs.remove(&arrival);
        }
    }

    fn job(&self, id: &JobId) -> Option<&Job> {
        self.arrivals.get(id).and_then(|arrival| self.jobs.get(arrival))
    }

    /// A stem that no live job has.
    fn fresh_stem(&self) -> TagStem {
        loop {
            let mut bits = [0; 4];
            // The system's random source does not fail once the system is up.
            let _ = getrandom::fill(&mut bits);
            let stem = TagStem::from_random(bits);
            if !self.jobs.values().any(|job| job.stem == stem) {
                return stem;
            }
        }
    }

    async fn housekeeping(&mut self) {
        self.erased = true;
        match self.store.forget_old(Timestamp::now()).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "finished jobs older than 90 days are forgotten"),
            Err(error) => tracing::warn!(%error, "old jobs could not be forgotten"),
        }
        let keep = SignedDuration::from_hours(24);
        let now = Timestamp::now();
        let old: Vec<u64> = self
            .jobs
            .iter()
            .filter(|(_, job)| matches!(job.state, State::Aborted { .. }) && now.duration_since(job.updated_at) > keep)
            .map(|(arrival, _)| *arrival)
            .collect();
        for arrival in old {
            if let Some(job) = self.jobs.remove(&arrival) {
                self.arrivals.remove(&job.id);
                let _ = self.spool.delete(job.stem.as_str()).await;
            }
        }
        // Also what could not be removed when its job ended, because its fetch was still writing.
        sweep(&self.spool, self.jobs.values()).await;
    }
}

fn not_stored(id: &JobId, error: &StoreError) {
    tracing::error!(%error, job = id.as_str(), "a job could not be stored; it stays as it was");
}

/// Removes the documents that no job waits for: a parked job keeps its own only as long as it is followed.
async fn sweep(spool: &Spool, jobs: impl Iterator<Item = &Job>) {
    let now = Timestamp::now();
    let waits = |job: &&Job| match &job.state {
        State::Unconfirmed { since, .. } => now.duration_since(*since) <= UNCONFIRMED_FOLLOWED,
        _ => true,
    };
    let wanted: HashSet<String> = jobs.filter(waits).map(|job| job.stem.as_str().to_owned()).collect();
    match spool.sweep(wanted).await {
        Ok(swept) if swept.files > 0 => tracing::info!(files = swept.files, "removed documents nobody waits for"),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the spool could not be swept"),
    }
}

#[cfg(test)]
mod tests;
