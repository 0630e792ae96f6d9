//! The life of a print job: one state machine, one transition table.
//!
//! ```text
//!             ┌────────────── Cancel / Expire ──────────────┐
//! (ticket) ─▶ accepted ─▶ fetching ─▶ ready ─▶ sending ─▶ printing ─▶ completed
//!     │           │           │         ▲ │       │ │  ╲      │ │
//!     ▼           └───────────┴─ abort ─│─┴──▶ aborted  ╲     │ └──▶ canceled, aborted
//!  rejected                             │         │ ╲    ╲    │
//!                                       ├─────────┘  ╲    ▼   ▼
//!                     NothingPrinted ───┘ (proved)    ▶ canceling ─▶ canceled | completed | unconfirmed
//!                     Resend (a person) ◀── unconfirmed ◀── Lost (sending, printing, canceling)
//!                                               └─ late evidence ─▶ printing | completed | canceled | aborted
//! sending, printing, canceling ── HandedOver (AppSocket, LPD: taken whole, nothing reported) ──▶ completed
//! ```
//!
//! Invariants
//! - `attempt` grows by one with each `SendStarted`; each attempt has its own tag.
//! - Another attempt starts only after [`Event::NothingPrinted`] (a proof, see [`judge`]) or a person's `Resend`. What a
//!   printer had whole is resent only by a person, whatever its history says later.
//! - `seq` grows by one with each status that goes out; statuses of one job are told in its order.
//! - `completed canceled aborted rejected expired` are final: nothing leaves them but a person's `Resend` (aborted).
//! - Applying an event never does anything but change this value: the owner persists, then acts.

pub mod judge;
pub mod presence;
mod table;

use super::endpoint::EndpointKind;
use super::ids::{JobId, PrinterId, TagStem};
use super::ticket::{ContentKey, DocumentRef, OnOutage, Options, Ticket};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Attempts after which a job whose transfers keep failing is given up as aborted.
pub const ATTEMPTS_MAX: u32 = 20;
/// A ticket without `notAfter` expires after this.
pub const DEFAULT_EXPIRY: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long an unconfirmed job is followed and keeps its spool file.
pub const UNCONFIRMED_FOLLOWED: SignedDuration = SignedDuration::from_hours(24);
/// Most reasons carried in one status.
const REASONS_MAX: usize = 16;

/// A document in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Octets.
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// MIME type to send as `document-format`.
    pub format: String,
}

/// How far an attempt got, as far as the book knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "phase")]
pub enum Phase {
    /// Create-Job may have been sent; certainly no document byte was.
    Creating,
    /// The printer's job id is stored; document bytes may be on their way.
    Created {
        /// `job-id`.
        printer_job_id: i32,
    },
    /// Print-Job (no Create-Job there): request and document in one; anything may have happened.
    Blind,
    /// AppSocket or LPD: document bytes may be on their way. There is no job id, and nothing to ask later: what the
    /// connection itself does not tell is never known.
    Streaming {
        /// Which of the two.
        over: EndpointKind,
    },
}

/// One try at one printer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// First word of the IPP `job-name`.
    pub tag: String,
    /// When it began, by our clock.
    pub at: Timestamp,
    /// `printer-up-time` just before it began, seconds.
    pub printer_up_time: Option<i64>,
    /// How far it got.
    pub phase: Phase,
    /// The printer said that it has the whole document, or was seen at work on it.
    #[serde(default)]
    pub delivered: bool,
}

impl Attempt {
    /// The printer's id of the job where it is known.
    pub fn printer_job_id(&self) -> Option<i32> {
        match self.phase {
            Phase::Created { printer_job_id } => Some(printer_job_id),
            Phase::Creating | Phase::Blind | Phase::Streaming { .. } => None,
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum State {
    /// In the book.
    Accepted,
    /// Its document is being fetched.
    Fetching,
    /// Its document is in the spool; waits for its turn, its printer, its release.
    Ready {
        /// What to print.
        document: Document,
    },
    /// An attempt is under way; its outcome is not known yet.
    Sending {
        /// What to print.
        document: Document,
        /// The attempt.
        attempt: Attempt,
    },
    /// The printer has the whole document.
    Printing {
        /// What to print.
        document: Document,
        /// The attempt.
        attempt: Attempt,
    },
    /// To be canceled at the printer.
    Canceling {
        /// What to print.
        document: Document,
        /// The attempt.
        attempt: Attempt,
    },
    /// What became of it is not known; parked.
    Unconfirmed {
        /// What to print.
        document: Document,
        /// The attempt whose outcome is open.
        attempt: Attempt,
        /// Since when.
        since: Timestamp,
    },
    /// Printed, as far as the printer says. With the reason `handed-over`: taken whole by a printer that says nothing.
    Completed,
    /// Canceled.
    Canceled,
    /// Failed.
    Aborted {
        /// Kept for a resend where it was fetched.
        document: Option<Document>,
    },
    /// Never accepted.
    Rejected,
    /// Too late.
    Expired,
}

impl State {
    /// The state's name on the wire and in the job book.
    pub fn name(&self) -> &'static str {
        match self {
            State::Accepted => "accepted",
            State::Fetching => "fetching",
            State::Ready { .. } => "ready",
            State::Sending { .. } => "sending",
            State::Printing { .. } => "printing",
            State::Canceling { .. } => "canceling",
            State::Unconfirmed { .. } => "unconfirmed",
            State::Completed => "completed",
            State::Canceled => "canceled",
            State::Aborted { .. } => "aborted",
            State::Rejected => "rejected",
            State::Expired => "expired",
        }
    }

    /// Nothing more happens by itself.
    pub fn is_final(&self) -> bool {
        matches!(self, State::Completed | State::Canceled | State::Aborted { .. } | State::Rejected | State::Expired)
    }

    /// Occupies its printer: the next job of that printer waits.
    pub fn occupies_printer(&self) -> bool {
        matches!(self, State::Sending { .. } | State::Printing { .. } | State::Canceling { .. })
    }

    /// Its outcome depends on a connection that is open now: a transfer, or over AppSocket and LPD the wait for its end,
    /// which nobody can ask for later.
    pub fn needs_connection(&self) -> bool {
        match self {
            State::Sending { .. } => true,
            State::Printing { attempt, .. } => matches!(attempt.phase, Phase::Streaming { .. }),
            _ => false,
        }
    }

    /// The attempt under way or open.
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            State::Sending { attempt, .. }
            | State::Printing { attempt, .. }
            | State::Canceling { attempt, .. }
            | State::Unconfirmed { attempt, .. } => Some(attempt),
            _ => None,
        }
    }

    /// The spooled document that this state still needs.
    pub fn document(&self) -> Option<&Document> {
        match self {
            State::Ready { document }
            | State::Sending { document, .. }
            | State::Printing { document, .. }
            | State::Canceling { document, .. }
            | State::Unconfirmed { document, .. } => Some(document),
            State::Aborted { document } => document.as_ref(),
            _ => None,
        }
    }
}

/// Page counts; each names its source and is absent where that source is silent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// What the ticket asked for, where that can be told.
    pub requested: Option<u32>,
    /// `job-impressions-completed` (or sheets where that is all there is).
    pub reported: Option<u32>,
    /// Growth of the printer's own counter.
    pub counted: Option<u32>,
}

/// Why a job failed or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable keyword (`jobid-conflict`, `document-too-large`, …).
    pub code: String,
    /// Path of the ticket's field that is to blame, where one is.
    pub field: Option<String>,
    /// For the person who meets it: what was tried, what came back, what to do.
    pub message: String,
}

impl Problem {
    /// Makes a problem.
    pub fn new(code: &str, field: Option<&str>, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), field: field.map(str::to_owned), message: message.into() }
    }
}

/// A job as the book holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The submitter's name of it.
    pub id: JobId,
    /// Where it prints.
    pub printer: PrinterId,
    /// Stem of its tags.
    pub stem: TagStem,
    /// What makes a second ticket the same job.
    pub content: ContentKey,
    /// What was asked. The document's URL is erased once it is spooled.
    pub ticket: Ticket,
    /// When it entered the book.
    pub accepted_at: Timestamp,
    /// Not started after this.
    pub expires_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Where it stands.
    pub state: State,
    /// Number of the latest attempt; 0 before the first.
    pub attempt: u32,
    /// Number of the latest status; 0 before the first.
    pub seq: u32,
    /// Not started until released.
    pub held: bool,
    /// Keywords of why it waits or how it ended.
    pub reasons: Vec<String>,
    /// One line for a person.
    pub detail: Option<String>,
    /// Page counts.
    pub pages: Pages,
    /// Why it failed.
    pub error: Option<Problem>,
    /// The printer's id of the latest attempt, kept after the end.
    pub printer_job_id: Option<i32>,
    /// Octets of the document, kept after the end.
    pub bytes: Option<u64>,
    /// The printer or the link was away while this job was ready.
    #[serde(default)]
    pub met_outage: bool,
}

/// What can happen to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its fetch begins (again).
    FetchStarted,
    /// Its fetch failed for now.
    FetchDelayed(Problem),
    /// Its document is durable in the spool.
    Fetched(Document),
    /// It ends without anything sent: the document or the printer's capabilities say so.
    Refused(Problem),
    /// Ready, but not startable now.
    Waiting {
        /// Why.
        reasons: Vec<String>,
        /// One line for a person.
        detail: Option<String>,
        /// The printer or link is away.
        outage: bool,
    },
    /// An attempt begins: persisted before the first byte.
    SendStarted {
        /// `Creating`, `Blind` or `Streaming`.
        phase: Phase,
        /// `printer-up-time` just before.
        printer_up_time: Option<i64>,
        /// What the printer will ignore of the ticket's options.
        reasons: Vec<String>,
    },
    /// Create-Job answered: persisted before the first document byte.
    JobCreated(i32),
    /// The printer has the whole document and answered so, or was found working on it.
    Sent(Option<i32>),
    /// Word from the printer about a job that goes on.
    Progress {
        /// `job-state-reasons` and the printer's.
        reasons: Vec<String>,
        /// `job-impressions-completed`.
        impressions: Option<u32>,
    },
    /// Proved: nothing of the attempt printed.
    NothingPrinted {
        /// How it is known, and why the attempt failed.
        why: String,
    },
    /// Over AppSocket or LPD the printer took the whole document and ended the connection in order. It says nothing of
    /// pages.
    HandedOver {
        /// What is known, for a person.
        how: String,
    },
    /// `job-state` completed.
    PrinterCompleted {
        /// `job-impressions-completed`.
        impressions: Option<u32>,
    },
    /// `job-state` canceled.
    PrinterCanceled {
        /// `job-impressions-completed`.
        impressions: Option<u32>,
        /// `job-state-reasons`.
        reasons: Vec<String>,
    },
    /// `job-state` aborted, or a final refusal by the printer.
    PrinterAborted {
        /// `job-impressions-completed`.
        impressions: Option<u32>,
        /// What the printer said.
        problem: Problem,
    },
    /// The outcome cannot be known now.
    Lost {
        /// Why.
        why: String,
    },
    /// A person's or the cloud's wish.
    Cancel,
    /// Blocks ready → sending.
    Hold,
    /// Ends a hold.
    Release,
    /// Another attempt by a person's decision; names the attempt it decides on.
    Resend(u32),
    /// A person saw the paper; names the attempt.
    Confirm(u32),
    /// `notAfter` passed (`not-after`), or the ticket does not want to have waited out an `outage`.
    Expire(&'static str),
}

/// An event that does not apply in the state at hand. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("job {job} is {state}: {event} does not apply")]
pub struct NotApplicable {
    /// Which job.
    pub job: JobId,
    /// Its state.
    pub state: &'static str,
    /// The event.
    pub event: String,
}

/// What a change asks of the owner, beyond persisting the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The change is visible: a status goes out in the same transaction. `seq` was raised.
    Status,
    /// Persist, but say nothing.
    Silent,
    /// Nothing changed.
    Nothing,
}

/// What to do with a ticket whose id may be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// Unknown id: a new job.
    New,
    /// Same content: tell the present state again; take the fresh URL if the document is not fetched yet.
    Repeat,
    /// Other content: tell the present state with `jobid-conflict`.
    Conflict,
}

/// The idempotency rule of DESIGN §5.2.
pub fn submission(known: Option<&Job>, content: &ContentKey) -> Submission {
    match known {
        None => Submission::New,
        Some(job) if job.content == *content => Submission::Repeat,
        Some(_) => Submission::Conflict,
    }
}

impl Job {
    /// A job for a valid ticket.
    pub fn accept(ticket: Ticket, printer: PrinterId, stem: TagStem, now: Timestamp) -> Job {
        let content = ticket.content_key(&printer);
        let default_end = now.checked_add(DEFAULT_EXPIRY).unwrap_or(now);
        Job {
            id: ticket.job_id.clone(),
            printer,
            stem,
            content,
            accepted_at: now,
            expires_at: ticket.not_after.unwrap_or(default_end),
            updated_at: now,
            state: State::Accepted,
            attempt: 0,
            seq: 1,
            held: ticket.hold,
            reasons: Vec::new(),
            detail: None,
            pages: Pages::default(),
            error: None,
            printer_job_id: None,
            bytes: None,
            met_outage: false,
            ticket,
        }
    }

    /// A job for a ticket that is refused; `content` stands for what was refused.
    pub fn reject(
        id: JobId,
        printer: PrinterId,
        stem: TagStem,
        content: ContentKey,
        problem: Problem,
        now: Timestamp,
    ) -> Job {
        let ticket = Ticket {
            job_id: id,
            document: DocumentRef::Spooled,
            format: None,
            options: Options::default(),
            title: None,
            user: None,
            priority: 50,
            hold: false,
            strict: false,
            not_after: None,
            on_outage: OnOutage::Print,
        };
        let mut job = Job::accept(ticket, printer, stem, now);
        job.content = content;
        job.state = State::Rejected;
        job.error = Some(problem);
        job
    }

    /// May an attempt start now?
    pub fn is_startable(&self) -> bool {
        matches!(self.state, State::Ready { .. }) && !self.held
    }

    /// Is it too late to start? Only before the first byte.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Accepted | State::Fetching | State::Ready { .. }) && now > self.expires_at
    }

    /// Replaces the document's URL by a fresh one while it is not fetched yet. True if it did.
    pub fn refresh_url(&mut self, ticket: &Ticket) -> bool {
        let waiting = matches!(self.state, State::Accepted | State::Fetching);
        if waiting && self.ticket.document != ticket.document && matches!(ticket.document, DocumentRef::Url { .. }) {
            self.ticket.document = ticket.document.clone();
            return true;
        }
        false
    }
}

/// Which of a printer's jobs comes next: priority, then arrival. `jobs` is in order of arrival.
pub fn next_to_send<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Option<&'a Job> {
    let mut best: Option<&Job> = None;
    for job in jobs {
        if job.state.occupies_printer() {
            return None;
        }
        if job.is_startable() && best.is_none_or(|best| job.ticket.priority > best.ticket.priority) {
            best = Some(job);
        }
    }
    best
}

#[cfg(test)]
mod tests;
