//! What runs on the outside for one job: fetching its document, sending it, asking what became of it.
//!
//! A task holds a copy of its job. Whenever something happens it reports an event and waits until the owner has made
//! it durable; the owner's answer is the job as it now is, or none, and then the task ends. So Create-Job's answer is
//! stored before Send-Document begins, and an attempt is stored before anything of it is sent.
//!
//! Dropping a task at any point is safe: the book tells the next one where to look.
//!
//! IPP comes first: there a job can be asked for later. AppSocket and LPD (`streaming`) are for printers that have
//! nothing else, or at whose IPP addresses no IPP is spoken. What may have begun over one of them goes on over no other.

mod preparing;
mod streaming;

use super::{AskAgent, Directory, Known, Reach};
use crate::deliver::clients::Clients;
use crate::deliver::ipp::{self, LookError, Plan, SendError};
use crate::deliver::raw;
use crate::document::SecretUrl;
use crate::document::fetch::{Action, FetchError, FetchRequest, Fetcher, Limits};
use crate::document::format;
use crate::document::spool::{Spool, Spooled};
use crate::domain::ids::{JobId, PrinterId};
use crate::domain::job::judge::{Found, Verdict, judge};
use crate::domain::job::{Attempt, Document, Event, Job, Phase, Problem, State};
use crate::domain::net::DocumentPolicy;
use crate::domain::ticket::{DocumentRef, OnOutage, hex};
use crate::ipp::client::Client;
use jiff::{SignedDuration, Timestamp};
use preparing::Way;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// First and longest pause between two questions about a job at work.
const FOLLOW_FIRST: Duration = Duration::from_millis(300);
const FOLLOW_LONGEST: Duration = Duration::from_secs(5);
/// Questions without an answer after which the printer's present endpoints are taken.
const FOLLOW_FAILURES: u32 = 3;
/// Pause between two looks for a job that the printer does not show.
const NEXT_LOOK: Duration = Duration::from_secs(2);
/// How long a job must be absent before that counts. A connection that outlived us by what the kernel had buffered may
/// still wait in the printer's queue, whole; the printer lists the job only when it has read the request.
const ABSENT_FOR: Duration = Duration::from_secs(10);
/// How long a printer that does not answer is asked about an attempt before its outcome is called unknown.
const ASKED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Changes of reasons told at once; further ones at most so often.
const FLIPS_TOLD: u32 = 10;
const FLIPS_PAUSE: Duration = Duration::from_secs(60);
/// Reasons of a job that goes its way (RFC 8011 §5.3.8): they say no more than the state does, and would each make a
/// status of their own.
const ROUTINE: [&str; 9] = [
    "job-incoming",
    "job-interpreting",
    "job-outgoing",
    "job-printing",
    "job-queued",
    "job-queued-for-marker",
    "job-spooling",
    "job-streaming",
    "job-transforming",
];
/// Looks after Cancel-Job before the task rests and tries again.
const CANCEL_LOOKS: u32 = 40;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Gets the document into the spool.
    Fetch,
    /// Makes an attempt and follows it.
    Send,
    /// Finds out what became of an attempt, cancels it if that is wanted, and follows it.
    Settle,
}

/// An event, and where its durability is told.
pub(super) struct Report {
    pub(super) job: JobId,
    pub(super) event: Event,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What became of an event.
pub(super) enum Answer {
    /// Durable: the job as it now is.
    Is(Box<Job>),
    /// The job went another way, or needs nobody any more.
    Gone,
    /// The book refused; the job is as it was.
    NotStored,
}

/// A task ended.
pub(super) struct Ended {
    pub(super) job: JobId,
    pub(super) rest: RestFor,
}

/// How long its job is left alone.
pub(super) enum RestFor {
    Nothing,
    Backoff,
    /// The back-off, or longer where the other side asks for it.
    AtLeast(SignedDuration),
}

/// What tasks work with.
#[derive(Clone)]
pub(super) struct Outside {
    pub(super) fetcher: Fetcher,
    pub(super) spool: Spool,
    pub(super) clients: Clients,
    pub(super) documents: Arc<DocumentPolicy>,
    pub(super) fetch_limits: Limits,
    pub(super) max_document_bytes: u64,
    pub(super) no_create_job: NoCreateJob,
    /// Deadlines of AppSocket and LPD.
    pub(super) raw: raw::Limits,
    /// The gateway's name, for LPD.
    pub(super) gateway: String,
    pub(super) ask_agent: AskAgent,
    /// Printers to be polled at once.
    pub(super) poll_now: mpsc::Sender<PrinterId>,
    pub(super) reporter: mpsc::Sender<Report>,
}

/// Printers (by URI) that answered Create-Job with "not supported", whatever they list. Learned again after a restart.
#[derive(Clone, Default)]
pub(super) struct NoCreateJob(Arc<Mutex<HashSet<String>>>);

impl NoCreateJob {
    fn learn(&self, client: &Client) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(client.target().uri.clone());
    }

    fn knows(&self, client: &Client) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&client.target().uri)
    }
}

/// The printer that a job is for.
#[derive(Default)]
pub(super) struct Target {
    /// The ways to reach it, best first.
    pub(super) reach: Vec<Reach>,
    /// What is known of it.
    known: Option<Arc<Known>>,
    /// Everybody who is known.
    directory: Arc<Directory>,
}

impl Target {
    /// As it is known now; without a way, if it is not.
    pub(super) fn find(printer: &PrinterId, directory: &Arc<Directory>) -> Self {
        let Some(known) = directory.get(printer) else { return Self::default() };
        Self { reach: known.reach.clone(), known: Some(Arc::clone(known)), directory: Arc::clone(directory) }
    }
}

/// Runs one task to its end.
pub(super) async fn run(outside: Outside, kind: Kind, job: Job, target: Target, cancel: CancellationToken) -> Ended {
    let id = job.id.clone();
    let mut work = Work { outside, job, target, told: (0, Instant::now()) };
    let rest = tokio::select! {
        () = cancel.cancelled() => RestFor::Nothing,
        rest = work.run(kind) => rest,
    };
    Ended { job: id, rest }
}

struct Work {
    outside: Outside,
    job: Job,
    target: Target,
    /// How many changes of the printer's reasons were told, and when the last one was.
    told: (u32, Instant),
}

/// The owner did not take the event: the job went another way, or the book refused.
struct Overtaken;

impl Work {
    async fn run(&mut self, kind: Kind) -> RestFor {
        let outcome = match kind {
            Kind::Fetch => self.fetch().await,
            Kind::Send => self.send().await,
            Kind::Settle => self.settle().await,
        };
        outcome.unwrap_or(RestFor::Backoff)
    }

    /// Reports an event and waits for its durability.
    async fn tell(&mut self, event: Event) -> Result<(), Overtaken> {
        match self.report(event).await {
            Answer::Is(job) => self.job = *job,
            Answer::Gone | Answer::NotStored => return Err(Overtaken),
        }
        Ok(())
    }

    async fn report(&self, event: Event) -> Answer {
        let (answer, answered) = oneshot::channel();
        let report = Report { job: self.job.id.clone(), event, answer };
        if self.outside.reporter.send(report).await.is_err() {
            return Answer::Gone;
        }
        answered.await.unwrap_or(Answer::Gone)
    }

    // --- fetching -----------------------------------------------------------------------------------------------

    async fn fetch(&mut self) -> Result<RestFor, Overtaken> {
        let name = self.job.stem.as_str().to_owned();
        let wanted = match &self.job.ticket.document {
            DocumentRef::Url { sha256, .. } => sha256.clone(),
            DocumentRef::Data { sha256, .. } => Some(sha256.clone()),
            DocumentRef::Spooled => None,
        };
        // Whole files of an earlier run, and inline data, lie there already.
        let spooled = match self.outside.spool.read_back(&name).await {
            Ok(Some(found)) if wanted.is_none() || wanted.as_deref() == Some(hex(&found.sha256).as_str()) => found,
            Ok(_) => match self.download(&name).await {
                Ok(spooled) => spooled,
                Err(Failed::Refused(problem)) => {
                    self.tell(Event::Refused(problem)).await?;
                    return Ok(RestFor::Nothing);
                }
                Err(Failed::Later(problem, pause)) => {
                    self.tell(Event::FetchDelayed(problem)).await?;
                    return Ok(pause.map_or(RestFor::Backoff, RestFor::AtLeast));
                }
            },
            Err(error) => {
                self.tell(Event::FetchDelayed(Problem::new("spool-unavailable", None, error.to_string()))).await?;
                return Ok(RestFor::Backoff);
            }
        };
        match document(&self.job, &spooled) {
            Ok(document) => self.tell(Event::Fetched(document)).await?,
            Err(problem) => self.tell(Event::Refused(problem)).await?,
        }
        Ok(RestFor::Nothing)
    }

    async fn download(&self, name: &str) -> Result<Spooled, Failed> {
        let DocumentRef::Url { url, sha256, size } = &self.job.ticket.document else {
            let message = "the document is no longer in the spool and came with no URL; submit it under a new jobId";
            return Err(Failed::Refused(Problem::new("document-lost", Some("document"), message)));
        };
        let url = SecretUrl::parse(url.expose()).map_err(|error| {
            Failed::Refused(Problem::new("document-address-refused", Some("document.url"), error.to_string()))
        })?;
        let request = FetchRequest {
            url,
            sha256: sha256.as_deref().and_then(hash),
            size: *size,
            max_bytes: self.outside.max_document_bytes,
        };
        let outside = &self.outside;
        let fetched =
            outside.fetcher.fetch(request, &outside.documents, &outside.fetch_limits, &outside.spool, name).await;
        fetched.map_err(|error| {
            let problem = Problem::new(fetch_code(&error), Some(error.field()), error.to_string());
            match error.classify() {
                Action::Permanent => Failed::Refused(problem),
                Action::Retry => {
                    let pause = error.retry_after().and_then(|pause| SignedDuration::try_from(pause).ok());
                    Failed::Later(problem, pause)
                }
            }
        })
    }

    // --- sending ------------------------------------------------------------------------------------------------

    async fn send(&mut self) -> Result<RestFor, Overtaken> {
        let Some(document) = self.job.state.document().cloned() else { return Ok(RestFor::Nothing) };
        let way = match self.prepare(&document).await {
            Ok(way) => way,
            Err(event) => {
                let final_word = matches!(event, Event::Refused(_));
                self.tell(event).await?;
                return Ok(if final_word { RestFor::Nothing } else { RestFor::Backoff });
            }
        };
        if self.job.met_outage && self.job.ticket.on_outage == OnOutage::Expire {
            // The printer is back, and the job is not wanted any more.
            self.tell(Event::Expire("outage")).await?;
            return Ok(RestFor::Nothing);
        }
        let path = match self.spooled().await {
            Ok(path) => path,
            Err(problem) => {
                self.tell(Event::Refused(problem)).await?;
                return Ok(RestFor::Nothing);
            }
        };
        match way {
            Way::Ipp(client, plan) => self.send_ipp(&client, plan, (&path, document.bytes)).await,
            Way::Streaming(ready) => self.stream(ready, (&path, document.bytes)).await,
        }
    }

    /// Where the document lies.
    async fn spooled(&self) -> Result<PathBuf, Problem> {
        let lost = |message: String| Problem::new("document-lost", Some("document"), message);
        let name = self.job.stem.as_str();
        if let Ok(None) = self.outside.spool.size(name).await {
            return Err(lost("the document is no longer in the spool; submit it under a new jobId".into()));
        }
        self.outside.spool.path(name).map_err(|error| lost(error.to_string()))
    }

    async fn send_ipp(&mut self, client: &Arc<Client>, plan: Plan, file: (&Path, u64)) -> Result<RestFor, Overtaken> {
        let mut plan = plan;
        plan.create_job &= !self.outside.no_create_job.knows(client);
        self.tell(Event::SendStarted {
            phase: if plan.create_job { Phase::Creating } else { Phase::Blind },
            printer_up_time: plan.printer_up_time,
            reasons: plan.ignored.iter().map(|option| format!("ignored-{option}")).collect(),
        })
        .await?;
        let Some(attempt) = self.job.state.attempt().cloned() else { return Err(Overtaken) };
        let ticket = self.job.ticket.clone();
        let sent = if plan.create_job {
            match ipp::create_job(client, &plan, &ticket, &attempt.tag).await {
                Ok(id) => {
                    self.tell(Event::JobCreated(id)).await?;
                    ipp::send_document(client, &plan, &ticket, &attempt.tag, id, file).await.map(|_| Some(id))
                }
                Err(error) => Err(error),
            }
        } else {
            ipp::print_job(client, &plan, &ticket, &attempt.tag, file).await
        };
        match sent {
            Ok(id) => {
                self.tell(Event::Sent(id)).await?;
                self.follow(client).await
            }
            Err(SendError::Ambiguous(why)) => {
                tracing::warn!(job = self.job.id.as_str(), why, "a transfer broke off; asking the printer");
                self.settle().await
            }
            Err(SendError::NothingPrinted(why)) => {
                if self.job.state.attempt().is_some_and(|a| a.phase == Phase::Creating) {
                    // The answer to Create-Job may have been lost: an orphan is looked for.
                    return self.settle().await;
                }
                self.drop_orphan(client).await;
                self.tell(Event::NothingPrinted { why }).await?;
                Ok(RestFor::Backoff)
            }
            Err(SendError::NoSuchOperation(why)) if !plan.create_job => {
                let problem = Problem::new("operation-not-supported", None, why);
                self.tell(Event::PrinterAborted { impressions: None, problem }).await?;
                Ok(RestFor::Nothing)
            }
            Err(SendError::NoSuchOperation(why)) => {
                self.outside.no_create_job.learn(client);
                self.drop_orphan(client).await;
                self.tell(Event::NothingPrinted { why }).await?;
                Ok(RestFor::Nothing)
            }
            Err(SendError::Refused(problem)) => {
                self.drop_orphan(client).await;
                self.tell(Event::PrinterAborted { impressions: None, problem }).await?;
                Ok(RestFor::Nothing)
            }
        }
    }

    fn over_ipp(&self) -> impl Iterator<Item = &Reach> {
        self.target.reach.iter().filter(|reach| reach.endpoint.kind.is_ipp())
    }

    /// The attempt's job at the printer will get no document: cancel it, as far as that can be done now.
    async fn drop_orphan(&self, client: &Client) {
        if let Some(id) = self.job.state.attempt().and_then(Attempt::printer_job_id)
            && let Err(error) = ipp::cancel(client, &self.job.ticket, id).await
        {
            tracing::debug!(%error, id, "an empty job stays at the printer until its time-out there");
        }
    }

    // --- following ----------------------------------------------------------------------------------------------

    /// Asks after a job that the printer has until the printer says how it ended.
    async fn follow(&mut self, client: &Arc<Client>) -> Result<RestFor, Overtaken> {
        let mut pause = FOLLOW_FIRST;
        let mut failures = 0;
        loop {
            let Some(attempt) = self.job.state.attempt().cloned() else { return Ok(RestFor::Nothing) };
            let Some(id) = attempt.printer_job_id() else { return self.settle().await };
            match ipp::job(client, &self.job.ticket, id).await {
                Ok(Some(info)) if ipp::is_ours(&info, &self.job.ticket, &attempt) => {
                    failures = 0;
                    if let Some(found) = ipp::found(&info)
                        && let Some(event) = ended(&found)
                    {
                        self.tell(event).await?;
                        return Ok(RestFor::Nothing);
                    }
                    let impressions = info.impressions_completed.and_then(|n| u32::try_from(n).ok());
                    self.progress(info.reasons, impressions).await?;
                }
                Ok(_) => return self.settle().await,
                Err(error) => {
                    failures += 1;
                    if failures >= FOLLOW_FAILURES {
                        // It may have another address or certificate by now: the next task knows its present ones.
                        return self.not_reached(&attempt, error.to_string()).await;
                    }
                    self.progress(vec!["printer-unreachable".into()], None).await?;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(FOLLOW_LONGEST);
        }
    }

    async fn progress(&mut self, mut reasons: Vec<String>, impressions: Option<u32>) -> Result<(), Overtaken> {
        reasons.retain(|reason| !ROUTINE.contains(&reason.as_str()));
        let known = self.job.pages.reported;
        if self.job.reasons == reasons && (impressions.is_none() || impressions == known) {
            return Ok(());
        }
        if self.job.reasons != reasons {
            // A printer that flips its reasons is told of now and then, not each time.
            let flips = self.told.0 >= FLIPS_TOLD && self.told.1.elapsed() < FLIPS_PAUSE;
            if flips {
                return Ok(());
            }
            self.told = (self.told.0 + 1, Instant::now());
        }
        self.tell(Event::Progress { reasons, impressions }).await
    }

    /// Finds out what became of the open attempt.
    async fn settle(&mut self) -> Result<RestFor, Overtaken> {
        let mut looks = 0;
        let mut absent_since: Option<Instant> = None;
        // Once seen waiting for its document, a job that ends canceled printed nothing, unless the printer counts.
        let mut waited_for_document = false;
        loop {
            let Some(attempt) = self.job.state.attempt().cloned() else { return Ok(RestFor::Nothing) };
            if matches!(attempt.phase, Phase::Streaming { .. }) {
                return self.settle_stream().await;
            }
            let canceling = matches!(self.job.state, State::Canceling { .. });
            let parked = matches!(self.job.state, State::Unconfirmed { .. });
            let (client, look) = match self.look(&attempt).await {
                Ok(found) => found,
                Err(why) => return self.not_reached(&attempt, why).await,
            };
            looks += 1;
            let mut verdict = judge(&attempt, &look, Timestamp::now());
            if waited_for_document
                && let Verdict::Canceled(found) | Verdict::Aborted(found) = &verdict
                && found.ended_waiting()
            {
                verdict = Verdict::NothingPrinted("the job was canceled while it waited for its document");
            }
            // Parked: what the printer had whole is not sent again, and an end at its panel is its word.
            let has_whole_document = matches!(self.job.state, State::Printing { .. }) || (parked && attempt.delivered);
            match verdict {
                Verdict::NothingPrinted(why) => {
                    if look.found.is_none() && attempt.phase != Phase::Creating && !passed(&mut absent_since) {
                        tokio::time::sleep(NEXT_LOOK).await;
                        continue;
                    }
                    let event = match &look.found {
                        // It had the document and was ended there, by a person or by the printer: its word, no retry.
                        Some(found) if has_whole_document => ended(found),
                        None if parked && has_whole_document => None,
                        None if has_whole_document => Some(Event::Lost { why: why.to_owned() }),
                        _ => Some(Event::NothingPrinted { why: why.to_owned() }),
                    };
                    if let Some(event) = event {
                        self.tell(event).await?;
                    }
                    return Ok(RestFor::Backoff);
                }
                // It said that it has the whole document: what it lists is behind what it said.
                Verdict::CancelOrphan(_) if has_whole_document => {
                    tokio::time::sleep(FOLLOW_LONGEST).await;
                }
                Verdict::CancelOrphan(id) => {
                    waited_for_document = true;
                    if let Err(error) = ipp::cancel(&client, &self.job.ticket, id).await {
                        return self.not_reached(&attempt, error.to_string()).await;
                    }
                }
                Verdict::InProgress(found) if canceling => {
                    if let Err(error) = ipp::cancel(&client, &self.job.ticket, found.id).await {
                        return self.not_reached(&attempt, error.to_string()).await;
                    }
                    self.progress(found.reasons, found.impressions).await?;
                }
                // A printer that prints while it receives, and lacks the rest of the document: our connection is gone,
                // so it ends the job by itself. How much of it printed is known then.
                Verdict::InProgress(found) if !has_whole_document && !parked && found.lacks_document() => {
                    if Timestamp::now().duration_since(attempt.at) > ASKED_FOR {
                        let why = "the printer waits for the rest of the document and does not end the job";
                        self.tell(Event::Lost { why: why.into() }).await?;
                        return Ok(RestFor::Nothing);
                    }
                    self.progress(found.reasons, found.impressions).await?;
                }
                Verdict::InProgress(found) => {
                    if !matches!(self.job.state, State::Printing { .. }) || attempt.printer_job_id() != Some(found.id) {
                        if matches!(self.job.state, State::Printing { .. }) {
                            // Print-Job gave no id and the list did: nothing to store, the tag finds it again.
                            self.progress(found.reasons, found.impressions).await?;
                            tokio::time::sleep(FOLLOW_LONGEST).await;
                            continue;
                        }
                        self.tell(Event::Sent(Some(found.id))).await?;
                    }
                    return Box::pin(self.follow(&client)).await;
                }
                Verdict::Completed(found) | Verdict::Canceled(found) | Verdict::Aborted(found) => {
                    if let Some(event) = ended(&found) {
                        self.tell(event).await?;
                    }
                    return Ok(RestFor::Nothing);
                }
                Verdict::Unknown(why) => {
                    // The printer may be too busy to list its jobs, or have the request still before it. What it had
                    // taken whole and does not know any more does not come back, so then there is nothing to wait for.
                    let hopeless = has_whole_document && look.lists_complete;
                    if !parked && !hopeless && !passed(&mut absent_since) {
                        tokio::time::sleep(NEXT_LOOK).await;
                        continue;
                    }
                    if !parked {
                        self.tell(Event::Lost { why: why.to_owned() }).await?;
                    }
                    return Ok(RestFor::Backoff);
                }
            }
            if looks >= CANCEL_LOOKS {
                return Ok(RestFor::Backoff);
            }
            tokio::time::sleep(FOLLOW_FIRST).await;
        }
    }

    async fn look(&self, attempt: &Attempt) -> Result<(Arc<Client>, crate::domain::job::judge::Look), String> {
        let mut unreachable = Vec::new();
        for reach in self.over_ipp() {
            let client = self.outside.clients.get(&self.job.printer, &reach.endpoint, reach.pin);
            match ipp::look(&client, &self.job.ticket, attempt, &|said| self.is_another(said)).await {
                Ok(look) => return Ok((client, look)),
                Err(LookError::Another(said)) => unreachable.push(self.met_another(&reach.endpoint.uri(), &said)),
                Err(LookError::Unreachable(error)) => unreachable.push(error.to_string()),
            }
        }
        Err(if unreachable.is_empty() { "no way to reach the printer is known".into() } else { unreachable.join("; ") })
    }

    async fn not_reached(&mut self, attempt: &Attempt, why: String) -> Result<RestFor, Overtaken> {
        if matches!(self.job.state, State::Unconfirmed { .. }) {
            return Ok(RestFor::Backoff);
        }
        if Timestamp::now().duration_since(attempt.at) > ASKED_FOR {
            self.tell(Event::Lost { why }).await?;
            return Ok(RestFor::Nothing);
        }
        self.progress(vec!["printer-unreachable".into()], None).await?;
        Ok(RestFor::Backoff)
    }
}

/// Whether [`ABSENT_FOR`] has passed since the first call.
fn passed(since: &mut Option<Instant>) -> bool {
    since.get_or_insert_with(Instant::now).elapsed() >= ABSENT_FOR
}

enum Failed {
    Refused(Problem),
    Later(Problem, Option<SignedDuration>),
}

/// What the printer's final word about a job means.
fn ended(found: &Found) -> Option<Event> {
    use crate::domain::job::judge::JobState;
    match found.state {
        JobState::Completed => Some(Event::PrinterCompleted { impressions: found.impressions }),
        JobState::Canceled => {
            Some(Event::PrinterCanceled { impressions: found.impressions, reasons: found.reasons.clone() })
        }
        JobState::Aborted => {
            let reasons = if found.reasons.is_empty() { "no reason given".into() } else { found.reasons.join(", ") };
            let message = format!("the printer aborted the job ({reasons}); see its panel, then resend");
            let code = found.reasons.first().map_or("aborted-by-printer", String::as_str);
            Some(Event::PrinterAborted { impressions: found.impressions, problem: Problem::new(code, None, message) })
        }
        JobState::Pending | JobState::PendingHeld | JobState::Processing | JobState::ProcessingStopped => None,
    }
}

/// The spooled document as the job needs it: its format is the ticket's, else what its first bytes show.
fn document(job: &Job, spooled: &Spooled) -> Result<Document, Problem> {
    if let Some(declared) = &job.ticket.format {
        format::check(declared, spooled.sniffed)
            .map_err(|error| Problem::new("document-format-mismatch", Some("document.format"), error.to_string()))?;
    }
    let format = job.ticket.format.clone().or(spooled.sniffed.map(str::to_owned));
    Ok(Document {
        bytes: spooled.bytes,
        sha256: hex(&spooled.sha256),
        format: format.unwrap_or_else(|| "application/octet-stream".into()),
    })
}

fn hash(hex: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?.try_into().ok()
}

fn fetch_code(error: &FetchError) -> &'static str {
    match error {
        FetchError::Host { .. } | FetchError::Address { .. } | FetchError::Redirect { .. } => {
            "document-address-refused"
        }
        FetchError::TooLarge { .. } => "document-too-large",
        FetchError::Hash { .. } => "document-hash-mismatch",
        FetchError::Size { .. } | FetchError::Empty => "document-size-mismatch",
        FetchError::Spool(_) => "spool-unavailable",
        _ => "document-access-error",
    }
}

#[cfg(test)]
mod tests;
