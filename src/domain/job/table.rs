//! The transition table of a job: which event leads from which state to which. Its diagram stands in the header of
//! [`super`]. Whatever is not listed does not apply, and changes nothing.

use super::{
    ATTEMPTS_MAX, Attempt, DEFAULT_EXPIRY, Document, Event, Job, NotApplicable, Outcome, Phase, Problem, REASONS_MAX,
    State,
};
use crate::domain::ticket::DocumentRef;
use jiff::Timestamp;

impl Job {
    /// The transition table.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Result<Outcome, NotApplicable> {
        let state = self.state.clone();
        let outcome = match (state, event) {
            // Flags: any state in which they still mean something.
            (State::Accepted | State::Fetching | State::Ready { .. }, Event::Hold) => {
                if std::mem::replace(&mut self.held, true) { Outcome::Nothing } else { Outcome::Status }
            }
            (State::Accepted | State::Fetching | State::Ready { .. }, Event::Release) => {
                if std::mem::replace(&mut self.held, false) { Outcome::Status } else { Outcome::Nothing }
            }

            // Before the document is here.
            (State::Accepted, Event::FetchStarted) => self.enter(State::Fetching),
            (State::Fetching, Event::FetchStarted) => Outcome::Nothing,
            (State::Fetching, Event::FetchDelayed(problem)) => {
                let changed = self.reasons != [problem.code.clone()];
                self.reasons = vec![problem.code];
                self.detail = Some(problem.message);
                if changed { Outcome::Status } else { Outcome::Silent }
            }
            (State::Accepted | State::Fetching, Event::Fetched(document)) => {
                self.bytes = Some(document.bytes);
                self.ticket.document = DocumentRef::Spooled;
                self.enter(State::Ready { document })
            }
            (State::Accepted | State::Fetching, Event::Refused(problem)) => self.abort(None, problem),

            // Waiting for its turn.
            (State::Ready { .. }, Event::Waiting { mut reasons, detail, outage }) => {
                reasons.truncate(REASONS_MAX);
                self.met_outage |= outage;
                let changed = self.reasons != reasons;
                self.reasons = reasons;
                self.detail = detail;
                if changed { Outcome::Status } else { Outcome::Silent }
            }
            (State::Ready { document }, Event::Refused(problem)) => self.abort(Some(document), problem),
            (State::Ready { document }, Event::SendStarted { phase, printer_up_time, reasons }) if !self.held => {
                self.attempt += 1;
                self.printer_job_id = None;
                self.pages.reported = None;
                let tag = self.stem.tag(self.attempt);
                let attempt = Attempt { number: self.attempt, tag, at: now, printer_up_time, phase, delivered: false };
                let outcome = self.enter(State::Sending { document, attempt });
                self.reasons = reasons;
                outcome
            }

            // Ends before the first byte.
            (State::Accepted | State::Fetching | State::Ready { .. }, Event::Cancel) => {
                self.ticket.document = DocumentRef::Spooled;
                self.enter(State::Canceled)
            }
            (State::Accepted | State::Fetching | State::Ready { .. }, Event::Expire(why)) => {
                self.ticket.document = DocumentRef::Spooled;
                let outcome = self.enter(State::Expired);
                self.reasons = vec![why.to_owned()];
                outcome
            }

            // An attempt under way.
            (State::Sending { document, mut attempt }, Event::JobCreated(id)) if attempt.phase == Phase::Creating => {
                attempt.phase = Phase::Created { printer_job_id: id };
                self.printer_job_id = Some(id);
                self.state = State::Sending { document, attempt };
                Outcome::Silent
            }
            (State::Canceling { document, mut attempt }, Event::JobCreated(id)) if attempt.phase == Phase::Creating => {
                attempt.phase = Phase::Created { printer_job_id: id };
                self.printer_job_id = Some(id);
                self.state = State::Canceling { document, attempt };
                Outcome::Silent
            }
            (
                State::Sending { document, mut attempt } | State::Unconfirmed { document, mut attempt, .. },
                Event::Sent(id),
            ) => {
                self.learn_id(&mut attempt, id);
                attempt.delivered = true;
                self.enter(State::Printing { document, attempt })
            }
            (State::Canceling { document, mut attempt }, Event::Sent(id)) => {
                self.learn_id(&mut attempt, id);
                self.state = State::Canceling { document, attempt };
                Outcome::Silent
            }
            (State::Sending { document, .. }, Event::NothingPrinted { why }) => {
                if self.attempt >= ATTEMPTS_MAX {
                    let problem = Problem::new(
                        "too-many-attempts",
                        None,
                        format!("{ATTEMPTS_MAX} attempts failed; the last one: {why}. Check the printer, then resend"),
                    );
                    self.abort(Some(document), problem)
                } else {
                    let outcome = self.enter(State::Ready { document });
                    self.reasons = vec!["retrying".into()];
                    self.detail = Some(why);
                    outcome
                }
            }
            (State::Unconfirmed { document, attempt, .. }, Event::NothingPrinted { why })
                if !attempt.delivered && !matches!(attempt.phase, Phase::Streaming { .. }) =>
            {
                let outcome = self.enter(State::Ready { document });
                self.reasons = vec!["retrying".into()];
                self.detail = Some(why);
                outcome
            }
            (State::Canceling { .. }, Event::NothingPrinted { why }) => {
                let outcome = self.enter(State::Canceled);
                self.detail = Some(why);
                outcome
            }
            (
                State::Sending { document, attempt }
                | State::Printing { document, attempt }
                | State::Canceling { document, attempt },
                Event::Lost { why },
            ) => {
                let outcome = self.enter(State::Unconfirmed { document, attempt, since: now });
                self.detail = Some(why);
                self.reasons = vec!["outcome-unknown".into()];
                outcome
            }

            (State::Sending { .. } | State::Printing { .. } | State::Canceling { .. }, Event::HandedOver { how }) => {
                let outcome = self.enter(State::Completed);
                self.reasons = vec!["handed-over".into()];
                self.detail = Some(how);
                outcome
            }

            // Word from the printer.
            (
                State::Sending { .. } | State::Printing { .. } | State::Canceling { .. } | State::Unconfirmed { .. },
                Event::Progress { mut reasons, impressions },
            ) => {
                reasons.truncate(REASONS_MAX);
                let changed = self.reasons != reasons;
                self.reasons = reasons;
                // Impressions alone make no status: they would be told page by page.
                self.report(impressions);
                if changed { Outcome::Status } else { Outcome::Silent }
            }
            (
                State::Sending { .. } | State::Printing { .. } | State::Canceling { .. } | State::Unconfirmed { .. },
                Event::PrinterCompleted { impressions },
            ) => {
                self.report(impressions);
                self.enter(State::Completed)
            }
            (
                State::Sending { .. } | State::Printing { .. } | State::Canceling { .. } | State::Unconfirmed { .. },
                Event::PrinterCanceled { impressions, mut reasons },
            ) => {
                self.report(impressions);
                reasons.truncate(REASONS_MAX);
                let outcome = self.enter(State::Canceled);
                self.reasons = reasons;
                outcome
            }
            (State::Canceling { .. }, Event::PrinterAborted { impressions, problem }) => {
                self.report(impressions);
                let outcome = self.enter(State::Canceled);
                self.detail = Some(problem.message);
                outcome
            }
            (
                State::Sending { document, .. }
                | State::Printing { document, .. }
                | State::Unconfirmed { document, .. },
                Event::PrinterAborted { impressions, problem },
            ) => {
                self.report(impressions);
                self.abort(Some(document), problem)
            }

            // A person's or the cloud's wish.
            (State::Sending { document, attempt } | State::Printing { document, attempt }, Event::Cancel) => {
                self.enter(State::Canceling { document, attempt })
            }
            (State::Canceling { .. }, Event::Cancel) => Outcome::Nothing,
            (
                State::Unconfirmed { document, .. } | State::Aborted { document: Some(document) },
                Event::Resend(attempt),
            ) if attempt == self.attempt => {
                self.error = None;
                self.held = false;
                self.expires_at = now.checked_add(DEFAULT_EXPIRY).unwrap_or(now);
                self.enter(State::Ready { document })
            }
            (State::Unconfirmed { .. }, Event::Confirm(attempt)) if attempt == self.attempt => {
                let outcome = self.enter(State::Completed);
                self.detail = Some("confirmed by a person".into());
                outcome
            }

            (state, event) => {
                // The Debug text of an event carries no secret: documents are named by hash, URLs never travel in it.
                let event = format!("{event:?}").split([' ', '(', '{']).next().unwrap_or_default().to_lowercase();
                return Err(NotApplicable { job: self.id.clone(), state: state.name(), event });
            }
        };
        if outcome == Outcome::Status {
            self.seq += 1;
        }
        if outcome != Outcome::Nothing {
            self.updated_at = now;
        }
        Ok(outcome)
    }

    fn enter(&mut self, state: State) -> Outcome {
        self.state = state;
        self.reasons = Vec::new();
        self.detail = None;
        Outcome::Status
    }

    fn abort(&mut self, document: Option<Document>, problem: Problem) -> Outcome {
        let outcome = self.enter(State::Aborted { document });
        self.ticket.document = DocumentRef::Spooled;
        self.reasons = vec![problem.code.clone()];
        self.error = Some(problem);
        outcome
    }

    fn report(&mut self, impressions: Option<u32>) {
        if impressions.is_some() {
            self.pages.reported = impressions;
        }
    }

    fn learn_id(&mut self, attempt: &mut Attempt, id: Option<i32>) {
        if let Some(printer_job_id) = id {
            attempt.phase = Phase::Created { printer_job_id };
            self.printer_job_id = Some(printer_job_id);
        }
    }
}
