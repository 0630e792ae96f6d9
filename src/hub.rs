//! The hub owns the registry of printers, the poll schedule and what each shadow should say.
//!
//! One task owns the state: `select` waits for discovery, for answers of polls and for the next poll's time; `apply`
//! is synchronous ([`HubState`]); what it brought forth is committed ([`HubOutput`]) before anything else happens.
//! Polls run beside it, at most [`MAX_POLLS`] over each protocol at a time, each within [`POLL_DEADLINE`]; a poll that fails, hangs or
//! panics is its own printer's failure only.
//!
//! ```text
//! discovery ─┐                         ┌─▶ commit(HubOutput): printer rows, latest shadow documents, records
//! answers  ──┼─▶ HubState::apply ─────┼─▶ polls
//! time     ──┘                         └─▶ Printers (the view that job workers read), after the commit
//! ```
//!
//! Invariants: rows and records of one step are handed over together, so that an event is told once across a crash;
//! nothing is handed over when nothing changed; the view never shows what is not durable.
//!
//! A printer is polled over each protocol it may answer, IPP and SNMP, each at its own pace: a silent agent delays no IPP
//! poll. A print port is never asked; what has nothing else is asked over SNMP at its address.
//!
//! Not here: IPP and SNMP (a [`Poller`] is injected), storage, message envelopes, the shadow's confirmed state.

mod records;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use records::{Book, Record, RecordBody, TELEMETRY_HEARTBEAT};
pub use state::{GivenName, HubSettings, HubState, MAX_POLLS};
pub use view::{Overview, PrinterView, Printers, PutAway};

use crate::cloud::wire::ShadowDelta;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::PrinterId;
use crate::domain::registry::{Pin, Printer};
use crate::domain::sighting::DiscoveryEvent;
use crate::domain::state::{Observation, PrinterState, Source};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin as PinBox;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// The longest a poll may take, whatever its own deadlines are.
pub const POLL_DEADLINE: Duration = Duration::from_secs(30);

/// Events taken into one commit at most.
const BATCH: usize = 64;

/// The longest sleep: the time of day may be set while sleeping.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What a poll learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollAnswer {
    /// What the printer said.
    pub observation: Observation,
    /// The certificate it showed, over TLS.
    pub fingerprint: Option<Pin>,
}

/// Why a poll failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PollError {
    /// What kind of failure.
    pub kind: PollErrorKind,
    /// For a person: address, what was tried, what came back. No secrets.
    pub message: String,
}

/// What kind of failure a poll had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollErrorKind {
    /// No connection, or it broke.
    Unreachable,
    /// A deadline passed.
    Timeout,
    /// Connected, but the answer was an error or no IPP.
    Answer,
    /// The TLS certificate is not the trusted one.
    CertificateChanged {
        /// The one it showed.
        presented: Pin,
    },
}

impl PollError {
    /// An error of a kind.
    pub fn new(kind: PollErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// A future as a [`Poller`] returns it.
pub type BoxFuture<T> = PinBox<Box<dyn Future<Output = T> + Send>>;

/// Asks a printer for its state and identity.
pub type Poller = Arc<dyn Fn(Question) -> BoxFuture<Result<PollAnswer, PollError>> + Send + Sync>;

/// What a [`Poller`] is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Over which protocol.
    pub source: Source,
    /// Where. Over SNMP only its addresses count: nothing is sent to its port.
    pub endpoint: Endpoint,
    /// The certificate trusted there; without one any is taken and told in the answer.
    pub pin: Option<Pin>,
    /// Whether silence is to be borne for long: nothing else is known of the printer.
    pub patient: bool,
}

/// The time of day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// One printer as it is stored and given back at the next start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrinterRow {
    /// Who it is and how it is reached.
    pub printer: Printer,
    /// What was last known of it.
    pub state: PrinterState,
    /// What the cloud has been told.
    #[serde(default)]
    pub book: Book,
    /// What its shadow desired last.
    #[serde(default)]
    pub desired: Desired,
}

/// What a printer's shadow desired last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The shadow's version then.
    pub version: u64,
    /// The delta's time, seconds since 1970.
    pub timestamp: i64,
    /// Why `approved` was not obeyed.
    pub refused: Option<String>,
    /// Whether it desired a name, which the configuration gives.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub name: bool,
}

/// Why a printer is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It is another one.
    Merged,
    /// An administrator does not want it.
    Ignored,
    /// An administrator retired it.
    Retired,
}

impl Gone {
    /// As its shadow's `status` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Ignored => "ignored",
            Self::Retired => "retired",
        }
    }
}

impl PrinterRow {
    /// The printer's id, the row's key.
    pub fn id(&self) -> &PrinterId {
        &self.printer.id
    }
}

/// What one step wants made durable, all of it in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HubOutput {
    /// Rows to insert or replace, by id.
    pub saves: Vec<PrinterRow>,
    /// Printers that are no more, and why: their rows go, their shadows say so.
    pub deletes: Vec<(PrinterId, Gone)>,
    /// What each shadow should report now: the whole document, normalized and fitted.
    pub shadows: Vec<(PrinterId, Value)>,
    /// Messages to the cloud, in order.
    pub records: Vec<Record>,
}

impl HubOutput {
    /// Whether there is nothing to make durable.
    pub fn is_empty(&self) -> bool {
        self.saves.is_empty() && self.deletes.is_empty() && self.shadows.is_empty() && self.records.is_empty()
    }
}

/// What the hub is told.
#[derive(Debug, Clone, PartialEq)]
pub enum HubEvent {
    /// From a discovery source.
    Discovery(DiscoveryEvent),
    /// A poll ended.
    Polled {
        /// Which.
        target: Target,
        /// What was asked, and where.
        question: Box<Question>,
        /// How. Boxed: much larger than the other variants.
        result: Box<Result<PollAnswer, PollError>>,
    },
    /// A printer should be polled at once (a job of it ended, a person asked).
    PollNow(PrinterId),
    /// A printer's shadow desires something.
    Desired {
        /// The printer.
        id: PrinterId,
        /// What.
        delta: ShadowDelta,
    },
    /// Time passed.
    Tick,
}

/// What a poll is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To learn who answers at a new endpoint.
    Probe {
        /// The endpoint's key.
        key: String,
    },
    /// To learn a printer's state.
    Poll {
        /// The printer.
        id: PrinterId,
        /// The endpoint's key.
        key: String,
    },
}

/// A poll to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollRequest {
    /// What it is for; comes back with the answer.
    pub target: Target,
    /// What is asked.
    pub question: Question,
}

/// Why the hub ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum HubError<E: std::error::Error + 'static> {
    /// What it learned could not be made durable.
    #[error("what was learned of the printers could not be stored: {0}")]
    Commit(#[source] E),
}

/// Everything the loop needs from outside.
pub struct HubPorts<C> {
    /// Sightings. Bounded by its maker; when it ends, the hub goes on with what it knows.
    pub discovery: mpsc::Receiver<DiscoveryEvent>,
    /// Wishes to poll a printer at once. Bounded; a sender drops the wish when it is full.
    pub poll_now: mpsc::Receiver<PrinterId>,
    /// What shadows desire. Bounded; what does not fit is asked for again by the uplink.
    pub desired: mpsc::Receiver<(PrinterId, ShadowDelta)>,
    /// Asks printers.
    pub poller: Poller,
    /// Makes outputs durable; awaited before anything else happens.
    pub commit: C,
    /// The view that others read; filled from the rows at once.
    pub printers: Printers,
    /// The time of day.
    pub clock: Clock,
    /// Ends the loop.
    pub cancel: CancellationToken,
}

/// Runs the hub until it is cancelled or cannot commit. On cancel, polls under way are dropped: they change nothing. Gives
/// back what it knows.
pub async fn run<C, F, E>(mut state: HubState, ports: HubPorts<C>) -> Result<HubState, HubError<E>>
where
    C: FnMut(HubOutput) -> F,
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + 'static,
{
    let HubPorts { mut discovery, mut poll_now, mut desired, poller, mut commit, printers, clock, cancel } = ports;
    let mut polls = Polls::new(poller);
    let (mut sighted, mut wished, mut desiring) = (true, true, true);
    // What is durable comes first: the rules, and the first tick, may change it.
    printers.publish(state.take_stored_views());
    state.apply(HubEvent::Tick, clock());
    loop {
        let output = state.take_output();
        if !output.is_empty() {
            commit(output).await.map_err(HubError::Commit)?;
        }
        printers.put_away(state.take_put_away());
        printers.publish(state.take_views());
        printers.tell(state.overview(clock()));
        for request in state.take_polls() {
            polls.start(request);
        }

        let now = clock();
        let wait = state.next_due().map_or(LONGEST_SLEEP, |due| {
            let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
            wait.clamp(Duration::from_millis(1), LONGEST_SLEEP)
        });
        let event = tokio::select! {
            () = cancel.cancelled() => return Ok(state),
            Some(event) = polls.next() => event,
            event = discovery.recv(), if sighted => match event {
                Some(event) => HubEvent::Discovery(event),
                None => { sighted = false; continue }
            },
            id = poll_now.recv(), if wished => match id {
                Some(id) => HubEvent::PollNow(id),
                None => { wished = false; continue }
            },
            said = desired.recv(), if desiring => match said {
                Some((id, delta)) => HubEvent::Desired { id, delta },
                None => { desiring = false; continue }
            },
            () = tokio::time::sleep(wait) => HubEvent::Tick,
        };
        state.apply(event, clock());
        // What else is there already goes into the same commit.
        for _ in 1..BATCH {
            let event = polls.try_next().or_else(|| discovery.try_recv().ok().map(HubEvent::Discovery));
            let Some(event) = event else { break };
            state.apply(event, clock());
        }
        state.apply(HubEvent::Tick, clock());
    }
}

/// The polls under way.
struct Polls {
    poller: Poller,
    tasks: JoinSet<Result<PollAnswer, PollError>>,
    targets: HashMap<Id, (Target, Question)>,
}

type Joined = Result<(Id, Result<PollAnswer, PollError>), JoinError>;

impl Polls {
    fn new(poller: Poller) -> Self {
        Self { poller, tasks: JoinSet::new(), targets: HashMap::new() }
    }

    fn start(&mut self, request: PollRequest) {
        let PollRequest { target, question } = request;
        let (uri, asked) = (question.endpoint.uri(), question.clone());
        let poller = self.poller.clone();
        let handle = self.tasks.spawn(async move {
            // Called inside the task: a panic while the future is made is contained too.
            let poll = poller(question);
            tokio::time::timeout(POLL_DEADLINE, poll).await.unwrap_or_else(|_| {
                let message = format!("{uri} did not answer within {} s", POLL_DEADLINE.as_secs());
                Err(PollError::new(PollErrorKind::Timeout, message))
            })
        });
        self.targets.insert(handle.id(), (target, asked));
    }

    /// The next poll to end; never ends while none is under way. Cancel-safe.
    async fn next(&mut self) -> Option<HubEvent> {
        match self.tasks.join_next_with_id().await {
            Some(joined) => self.event(joined),
            None => std::future::pending().await,
        }
    }

    fn try_next(&mut self) -> Option<HubEvent> {
        let joined = self.tasks.try_join_next_with_id()?;
        self.event(joined)
    }

    fn event(&mut self, joined: Joined) -> Option<HubEvent> {
        let (id, result) = match joined {
            Ok((id, result)) => (id, result),
            Err(error) => {
                tracing::error!(%error, "a poll ended abnormally");
                let message = format!("the poll ended abnormally: {error}");
                (error.id(), Err(PollError::new(PollErrorKind::Answer, message)))
            }
        };
        let (target, question) = self.targets.remove(&id)?;
        Some(HubEvent::Polled { target, question: Box::new(question), result: Box::new(result) })
    }
}
