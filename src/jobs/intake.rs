//! What the cloud asks: tickets and controls.

use super::{LIVE_MAX, Owner, STORE_PAUSE, report};
use crate::cloud::Command;
use crate::cloud::wire::{Control, ControlAction};
use crate::document::SecretUrl;
use crate::domain::ids::{JobId, PrinterId};
use crate::domain::job::{Event, Job, Problem, State, Submission, submission};
use crate::domain::ticket::{ContentKey, DocumentRef, Parsed, Ticket, hex};
use crate::store::StoreError;
use crate::store::jobs::StatusRow;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::net::IpAddr;

impl Owner {
    pub(super) async fn command(&mut self, command: Command) {
        let outcome = match command {
            Command::Submit { printer, payload } => self.submit(&printer, &payload).await,
            Command::Control { printer, payload } => self.control(&printer, &payload).await,
        };
        if let Err(error) = outcome {
            // Not answered: by the delivery contract its sender sends it again.
            tracing::error!(%error, "a command could not be stored and is dropped");
        }
        self.wake.wake();
    }

    async fn submit(&mut self, printer: &str, payload: &[u8]) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let parsed = Ticket::parse(payload);
        let Ok(printer_id) = PrinterId::new(printer) else {
            let job_id = match &parsed {
                Ok(parsed) => Some(&parsed.ticket.job_id),
                Err(error) => error.job_id.as_ref(),
            };
            return self.refuse_loosely(printer, job_id, &unknown_printer(printer), now).await;
        };
        // Tickets for an id that was merged into another go to the survivor.
        let survivor = self.directory.borrow().get(&printer_id).map(|known| known.id.clone());
        let printer_id = survivor.unwrap_or(printer_id);
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                let problem = Problem::new("ticket-not-valid", Some(&error.field), error.to_string());
                return match error.job_id {
                    None => self.refuse_loosely(printer, None, &problem, now).await,
                    Some(id) => self.refuse(id, printer_id, rejected_content(payload), problem, now).await,
                };
            }
        };
        let ticket = &parsed.ticket;
        let content = ticket.content_key(&printer_id);
        let known = self.find(&ticket.job_id).await?;
        match submission(known.as_ref(), &content) {
            Submission::New => {}
            Submission::Repeat | Submission::Conflict
                if known.as_ref().is_some_and(|job| job.printer != printer_id) =>
            {
                return self.conflict(known, now).await;
            }
            Submission::Repeat => return self.repeat(known, ticket, now).await,
            Submission::Conflict => return self.conflict(known, now).await,
        }
        if let Err(problem) = self.acceptable(&printer_id, ticket) {
            return self.refuse(ticket.job_id.clone(), printer_id, content, problem, now).await;
        }
        self.accept(parsed, printer_id, now).await
    }

    async fn accept(&mut self, parsed: Parsed, printer: PrinterId, now: Timestamp) -> Result<(), StoreError> {
        let job = Job::accept(parsed.ticket, printer, self.fresh_stem(), now);
        if let Some(data) = parsed.data {
            // Durable before the job is: a job in the book has its document or a place to fetch it from.
            if let Err(error) = self.spool.store(job.stem.as_str(), data, None).await {
                let problem = Problem::new("spool-full", Some("document.data"), error.to_string());
                return self.refuse(job.id, job.printer, job.content, problem, now).await;
            }
        }
        self.insert(job).await
    }

    /// What can be said against a valid ticket before anything is fetched.
    fn acceptable(&self, printer: &PrinterId, ticket: &Ticket) -> Result<(), Problem> {
        match self.directory.borrow().get(printer) {
            None => return Err(unknown_printer(printer.as_str())),
            Some(known) => known.refuses.map_or(Ok(()), |refusal| Err(refusal.problem(printer)))?,
        }
        if self.jobs.len() >= LIVE_MAX {
            return Err(Problem::new(
                "too-many-jobs",
                None,
                format!("{LIVE_MAX} jobs wait already; cancel some or wait, then submit under a new jobId"),
            ));
        }
        let max = self.settings.max_document_bytes;
        let too_large = |size: u64| {
            let message = format!("the document has {size} octets; at most {max} are taken");
            Problem::new("document-too-large", Some("document.size"), message)
        };
        match &ticket.document {
            DocumentRef::Url { size: Some(size), .. } if *size > max => return Err(too_large(*size)),
            DocumentRef::Data { size, .. } if *size > max => return Err(too_large(*size)),
            DocumentRef::Url { url, .. } => {
                let refused = |reason: String| Problem::new("document-address-refused", Some("document.url"), reason);
                let url = SecretUrl::parse(url.expose()).map_err(|error| refused(error.to_string()))?;
                let host = url.host();
                if !self.settings.documents.allows_host(&host) {
                    return Err(refused(format!("documents are not fetched from {host}; see documents.allowedHosts")));
                }
                if let Ok(address) = host.parse::<IpAddr>() {
                    let checked = self.settings.documents.check(address, url.port());
                    checked.map_err(|error| refused(error.to_string()))?;
                }
                if crate::domain::net::is_print_port(url.port()) {
                    return Err(refused(format!("port {} is a print port", url.port())));
                }
            }
            DocumentRef::Data { .. } | DocumentRef::Spooled => {}
        }
        if ticket.not_after.is_some_and(|end| end < Timestamp::now()) {
            return Err(Problem::new("expired", Some("notAfter"), "notAfter is in the past"));
        }
        Ok(())
    }

    /// Ends what waits for printers that take nothing new. What such a printer has already is followed to its end; what can
    /// no longer be asked about is parked, for a person to look at the paper.
    pub(super) async fn end_what_is_refused(&mut self) {
        let mut ends = Vec::new();
        {
            let directory = self.directory.borrow();
            for job in self.jobs.values() {
                let Some(known) = directory.get(&job.printer) else { continue };
                let Some(refusal) = known.refuses else { continue };
                let problem = refusal.problem(&job.printer);
                match job.state {
                    State::Accepted | State::Fetching | State::Ready { .. } => {
                        ends.push((job.id.clone(), Event::Refused(problem)));
                    }
                    State::Sending { .. } | State::Printing { .. } | State::Canceling { .. }
                        if known.reach.is_empty() && !self.tasks.contains_key(&job.id) =>
                    {
                        let why =
                            format!("{}; what became of the job is not known, look at the paper", problem.message);
                        ends.push((job.id.clone(), Event::Lost { why }));
                    }
                    _ => {}
                }
            }
        }
        for (id, event) in ends {
            if self.resting(&id).is_none() && !self.change(&id, event).await {
                self.rest(&id, Some(STORE_PAUSE));
            }
        }
    }

    async fn repeat(&mut self, known: Option<Job>, ticket: &Ticket, now: Timestamp) -> Result<(), StoreError> {
        let Some(mut job) = known else { return Ok(()) };
        if job.refresh_url(ticket)
            && let Some(arrival) = self.arrivals.get(&job.id).copied()
        {
            self.store.save(&job, None).await?;
            self.jobs.insert(arrival, job.clone());
            self.rests.remove(&job.id);
        }
        let status = report::repeated(&self.gateway, &self.topics, &job, job.error.as_ref(), now);
        self.answer(Some(&job.id), status, now).await
    }

    async fn conflict(&mut self, known: Option<Job>, now: Timestamp) -> Result<(), StoreError> {
        let Some(job) = known else { return Ok(()) };
        let message = "this jobId names another job (printer, options or document differ); use a new jobId";
        let problem = Problem::new("jobid-conflict", Some("jobId"), message);
        let status = report::repeated(&self.gateway, &self.topics, &job, Some(&problem), now);
        self.answer(Some(&job.id), status, now).await
    }

    /// Rejects a ticket whose job can be named: it enters the book as rejected.
    async fn refuse(
        &mut self,
        id: JobId,
        printer: PrinterId,
        content: ContentKey,
        problem: Problem,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let known = self.find(&id).await?;
        match submission(known.as_ref(), &content) {
            Submission::New => {
                tracing::info!(job = id.as_str(), printer = printer.as_str(), problem = problem.message, "rejected");
                self.insert(Job::reject(id, printer, self.fresh_stem(), content, problem, now)).await
            }
            Submission::Repeat => {
                let Some(job) = known else { return Ok(()) };
                let status = report::repeated(&self.gateway, &self.topics, &job, job.error.as_ref(), now);
                self.answer(Some(&job.id), status, now).await
            }
            Submission::Conflict => self.conflict(known, now).await,
        }
    }

    /// Answers what never becomes a job.
    async fn refuse_loosely(
        &mut self,
        printer: &str,
        job_id: Option<&JobId>,
        problem: &Problem,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        match report::refused(&self.gateway, &self.topics, printer, job_id, problem, now) {
            Some(status) => self.answer(None, status, now).await,
            None => {
                tracing::warn!("a ticket under a topic that cannot be answered is ignored");
                Ok(())
            }
        }
    }

    async fn control(&mut self, printer: &str, payload: &[u8]) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let control = match Control::parse(payload) {
            Ok(control) => control,
            Err(error) => {
                let problem = Problem::new("control-not-valid", Some(error.field), error.message);
                let known = match &error.job_id {
                    Some(id) => self.find(id).await?,
                    None => None,
                };
                return match known {
                    Some(job) => {
                        let status = report::repeated(&self.gateway, &self.topics, &job, Some(&problem), now);
                        self.answer(Some(&job.id), status, now).await
                    }
                    None => {
                        tracing::warn!(printer, problem = problem.message, "a control message is not valid");
                        Ok(())
                    }
                };
            }
        };
        let Some(job) = self.find(&control.job_id).await? else {
            tracing::warn!(printer, job = control.job_id.as_str(), "a control message names an unknown job");
            return Ok(());
        };
        if self.survivor(printer) != self.survivor(job.printer.as_str()) {
            tracing::warn!(printer, job = job.id.as_str(), "a control message names a job of another printer");
            return Ok(());
        }
        if self.store.knows_command(&control.command_id).await? {
            return Ok(());
        }
        let attempt = control.attempt.unwrap_or(0);
        let event = match control.action {
            ControlAction::Cancel => Event::Cancel,
            ControlAction::Hold => Event::Hold,
            ControlAction::Release => Event::Release,
            ControlAction::Resend => Event::Resend(attempt),
            ControlAction::Confirm => Event::Confirm(attempt),
        };
        if self.try_change(&control.job_id, event).await? {
            self.rests.remove(&control.job_id);
            // After the change: what could not be stored is not known, and its sender's second try counts. A crash
            // in between does no harm either, because every action but the first of its kind changes nothing.
            return self.store.remember_command(&control.command_id, now).await;
        }
        let message = format!("the job is {} (attempt {}); this action does not apply", job.state.name(), job.attempt);
        let problem = Problem::new("not-applicable", Some("action"), message);
        let job = self.find(&control.job_id).await?.unwrap_or(job);
        let status = report::repeated(&self.gateway, &self.topics, &job, Some(&problem), now);
        self.answer(Some(&job.id), status, now).await?;
        self.store.remember_command(&control.command_id, now).await
    }

    /// The id that a printer has now, where it was merged into another.
    fn survivor(&self, printer: &str) -> String {
        let known = PrinterId::new(printer).ok().and_then(|id| self.directory.borrow().get(&id).cloned());
        known.map_or_else(|| printer.to_owned(), |known| known.id.to_string())
    }

    async fn find(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        match self.job(id) {
            Some(job) => Ok(Some(job.clone())),
            None => self.store.get(id).await,
        }
    }

    async fn insert(&mut self, job: Job) -> Result<(), StoreError> {
        let status = report::status(&self.gateway, &self.topics, &job);
        self.store.save(&job, Some(status)).await?;
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        self.put(arrival, job).await;
        Ok(())
    }

    async fn answer(&self, job: Option<&JobId>, status: StatusRow, now: Timestamp) -> Result<(), StoreError> {
        if !self.store.answer(job, status, now).await? {
            tracing::warn!("too many answers wait already; one is not stored");
        }
        Ok(())
    }
}

fn unknown_printer(printer: &str) -> Problem {
    let printer: String = printer.chars().filter(|c| !c.is_control()).take(80).collect();
    Problem::new(
        "unknown-printer",
        Some("printer"),
        format!("no printer {printer} is known to this gateway; the gateway's shadows name those that are"),
    )
}

/// Stands for the content of a ticket that cannot be read as one.
fn rejected_content(payload: &[u8]) -> ContentKey {
    ContentKey(format!("rejected-{}", hex(&Sha256::digest(payload))))
}
