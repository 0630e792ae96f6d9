//! What became of an attempt? The rule by which another attempt is allowed, and nothing weaker.
//!
//! After a lost connection, a crash or a cancellation the printer is asked, and its answer is judged. Another attempt
//! is allowed only on proof that nothing printed:
//!
//! 1. no document byte was written (the attempt never got past Create-Job; an orphan is canceled first);
//! 2. the printer's final IPP answer was an error (handled where the answer arrives, not here);
//! 3. the job is canceled or aborted with 0 impressions, or still waits for its document (then it is canceled first).
//!    Many printers never count: their 0 counts only for a job that they never began, or never had whole. Where another
//!    job in the list has impressions, the printer does count, and its 0 is taken as it is;
//! 4. the printer's history provably covers the attempt: no restart since, the completed list still holds a job that
//!    ended before the attempt began, and ours is in neither list.
//!
//! In 4 the older job's end counts and not its creation: printers forget jobs in the order in which they ended. A job
//! that was created early and ended late (held, or an orphan that timed out) outlives ours in the list.
//!
//! Absence from a list is no proof, and neither is an unchanged page counter. For AppSocket and LPD only 1 counts, and
//! that is seen by who writes: a look afterwards proves nothing ([`Phase::Streaming`]).

use super::{Attempt, Event, Phase, State};
use jiff::Timestamp;

/// Seconds by which `printer-up-time` and our clock may disagree without meaning a restart.
const CLOCK_SLACK: i64 = 10;

/// `job-state` (RFC 8011 §5.3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// 3
    Pending,
    /// 4
    PendingHeld,
    /// 5
    Processing,
    /// 6
    ProcessingStopped,
    /// 7
    Canceled,
    /// 8
    Aborted,
    /// 9
    Completed,
}

impl JobState {
    /// From the enum's value; none for values of no standard.
    pub fn from_enum(value: i32) -> Option<Self> {
        Some(match value {
            3 => JobState::Pending,
            4 => JobState::PendingHeld,
            5 => JobState::Processing,
            6 => JobState::ProcessingStopped,
            7 => JobState::Canceled,
            8 => JobState::Aborted,
            9 => JobState::Completed,
            _ => return None,
        })
    }

    /// Whether the printer will do nothing more with the job. Some printers say so while pages still come out; their
    /// reasons tell.
    pub fn is_final(self) -> bool {
        matches!(self, JobState::Canceled | JobState::Aborted | JobState::Completed)
    }
}

/// Our job as the printer shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `job-id`.
    pub id: i32,
    /// `job-state`.
    pub state: JobState,
    /// `job-state-reasons` without `none`.
    pub reasons: Vec<String>,
    /// `job-impressions-completed`, else `job-media-sheets-completed`.
    pub impressions: Option<u32>,
    /// `time-at-processing` is there: the printer began to print it.
    pub began: bool,
}

impl Found {
    /// The printer expects (more of) the document, or still reads it: `job-incoming`, `job-data-insufficient`
    /// (RFC 8011 §5.3.8).
    pub fn lacks_document(&self) -> bool {
        self.reasons.iter().any(|reason| reason == "job-incoming" || reason == "job-data-insufficient")
    }

    /// Of a job that ended after it was seen waiting for its document, at a printer that does not count: nothing of it is
    /// on paper. The last octet may have come between the look and Cancel-Job, and then it was begun.
    pub fn ended_waiting(&self) -> bool {
        self.impressions.is_none() && !self.began
    }

    /// Of a job that ended: nothing of it is on paper. `submission-interrupted`: it was never whole (RFC 8011 §5.3.8).
    fn ended_unprinted(&self) -> bool {
        self.impressions == Some(0) && (!self.began || self.reasons.iter().any(|r| r == "submission-interrupted"))
    }
}

/// What the printer answered when asked for an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Our job, by id or by tag.
    pub found: Option<Found>,
    /// `printer-up-time` now, seconds.
    pub printer_up_time: Option<i64>,
    /// Smallest `time-at-completed` in the completed list, on the printer's up-time clock.
    pub earliest_end: Option<i64>,
    /// Some job in the lists has impressions: the printer counts them.
    pub counts: bool,
    /// Both job lists were read whole (not cut by a limit, no error).
    pub lists_complete: bool,
}

/// What follows from a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Proved: nothing printed.
    NothingPrinted(&'static str),
    /// It waits for its document: cancel it there, then it is proved.
    CancelOrphan(i32),
    /// The printer has it and works on it.
    InProgress(Found),
    /// It printed.
    Completed(Found),
    /// It was canceled at the printer, and may have printed something.
    Canceled(Found),
    /// It was aborted by the printer, and may have printed something.
    Aborted(Found),
    /// Not known.
    Unknown(&'static str),
}

/// What follows for an attempt over AppSocket or LPD whose connection is gone and did not tell how it ended: after a
/// restart, or because a cancel broke it off. Nothing can be asked, so nothing is taken for unprinted. `None`: it is
/// parked already, or there is no such attempt.
pub fn interrupted(state: &State) -> Option<Event> {
    let attempt = state.attempt().filter(|attempt| matches!(attempt.phase, Phase::Streaming { .. }))?;
    let why = match state {
        State::Canceling { .. } if !attempt.delivered => {
            return Some(Event::PrinterCanceled { impressions: None, reasons: vec!["may-have-printed".into()] });
        }
        State::Sending { .. } => "the transfer was interrupted; how much of the document the printer has is not known",
        State::Printing { .. } | State::Canceling { .. } => {
            "the printer has the document; the connection that would have told its end is gone"
        }
        _ => return None,
    };
    Some(Event::Lost { why: why.into() })
}

/// Judges a look at the printer.
pub fn judge(attempt: &Attempt, look: &Look, now: Timestamp) -> Verdict {
    if matches!(attempt.phase, Phase::Streaming { .. }) {
        return Verdict::Unknown("AppSocket and LPD have no jobs to ask for");
    }
    let no_document_byte = attempt.phase == Phase::Creating;
    match &look.found {
        Some(found) => match found.state {
            JobState::Pending | JobState::PendingHeld | JobState::Processing | JobState::ProcessingStopped
                if no_document_byte || waits_for_document(found) =>
            {
                Verdict::CancelOrphan(found.id)
            }
            JobState::Pending | JobState::PendingHeld | JobState::Processing | JobState::ProcessingStopped => {
                Verdict::InProgress(found.clone())
            }
            _ if no_document_byte => Verdict::NothingPrinted("no document byte was sent"),
            JobState::Canceled | JobState::Aborted
                if found.ended_unprinted() || (look.counts && found.impressions == Some(0)) =>
            {
                Verdict::NothingPrinted("the printer ended the job with 0 impressions")
            }
            JobState::Completed => Verdict::Completed(found.clone()),
            JobState::Canceled => Verdict::Canceled(found.clone()),
            JobState::Aborted => Verdict::Aborted(found.clone()),
        },
        None if no_document_byte => Verdict::NothingPrinted("no document byte was sent"),
        None if !look.lists_complete => Verdict::Unknown("the printer does not list its jobs"),
        None if !runs_since(attempt, look, now) => {
            Verdict::Unknown("the printer does not know the job and may have restarted since")
        }
        None if !covers(attempt, look) => {
            Verdict::Unknown("the printer does not know the job and its history may not reach back to it")
        }
        None => Verdict::NothingPrinted("the printer's history covers the attempt and does not hold the job"),
    }
}

fn waits_for_document(found: &Found) -> bool {
    found.impressions.unwrap_or(0) == 0
        && matches!(found.state, JobState::Pending | JobState::PendingHeld)
        && found.lacks_document()
}

fn runs_since(attempt: &Attempt, look: &Look, now: Timestamp) -> bool {
    let (Some(then), Some(up)) = (attempt.printer_up_time, look.printer_up_time) else { return false };
    let elapsed = now.duration_since(attempt.at).as_secs();
    elapsed >= 0 && up >= then.saturating_add(elapsed).saturating_sub(CLOCK_SLACK)
}

fn covers(attempt: &Attempt, look: &Look) -> bool {
    match (attempt.printer_up_time, look.earliest_end) {
        // A job from before the printer's start carries a time of 0 or less and would prove nothing about this run.
        (Some(then), Some(end)) => end > 0 && end < then,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(phase: Phase) -> Attempt {
        Attempt {
            number: 1,
            tag: "pgabc.1".into(),
            at: "2026-01-01T00:00:00Z".parse().unwrap(),
            printer_up_time: Some(1000),
            phase,
            delivered: false,
        }
    }

    fn found(state: JobState, impressions: Option<u32>) -> Found {
        Found { id: 7, state, reasons: vec![], impressions, began: false }
    }

    fn later(seconds: i64) -> Timestamp {
        attempt(Phase::Blind).at + jiff::SignedDuration::from_secs(seconds)
    }

    fn look(found: Option<Found>) -> Look {
        Look { found, printer_up_time: Some(1030), earliest_end: Some(500), counts: false, lists_complete: true }
    }

    #[test]
    fn without_a_document_byte_nothing_can_have_printed() {
        let attempt = attempt(Phase::Creating);
        assert!(matches!(judge(&attempt, &Look::default(), later(5)), Verdict::NothingPrinted(_)));
        let orphan = look(Some(found(JobState::PendingHeld, None)));
        assert_eq!(judge(&attempt, &orphan, later(5)), Verdict::CancelOrphan(7));
    }

    #[test]
    fn absence_is_proof_only_where_history_covers_the_attempt() {
        let blind = attempt(Phase::Blind);
        assert!(matches!(judge(&blind, &look(None), later(30)), Verdict::NothingPrinted(_)));
        let restarted = Look { printer_up_time: Some(12), ..look(None) };
        assert!(matches!(judge(&blind, &restarted, later(30)), Verdict::Unknown(_)));
        let forgot = Look { earliest_end: None, ..look(None) };
        assert!(matches!(judge(&blind, &forgot, later(30)), Verdict::Unknown(_)));
        let younger = Look { earliest_end: Some(1001), ..look(None) };
        assert!(matches!(judge(&blind, &younger, later(30)), Verdict::Unknown(_)));
        let cut = Look { lists_complete: false, ..look(None) };
        assert!(matches!(judge(&blind, &cut, later(30)), Verdict::Unknown(_)));
        assert!(matches!(judge(&blind, &look(None), later(-30)), Verdict::Unknown(_)), "our clock went back");
    }

    #[test]
    fn an_ended_job_is_proof_only_with_zero_impressions() {
        let created = attempt(Phase::Created { printer_job_id: 7 });
        for state in [JobState::Canceled, JobState::Aborted] {
            assert!(matches!(
                judge(&created, &look(Some(found(state, Some(0)))), later(5)),
                Verdict::NothingPrinted(_)
            ));
            assert!(!matches!(judge(&created, &look(Some(found(state, None))), later(5)), Verdict::NothingPrinted(_)));
            assert!(!matches!(
                judge(&created, &look(Some(found(state, Some(1)))), later(5)),
                Verdict::NothingPrinted(_)
            ));
        }
    }

    #[test]
    fn zero_impressions_of_a_job_that_began_prove_nothing_unless_it_was_never_whole() {
        let created = attempt(Phase::Created { printer_job_id: 7 });
        let mut began = found(JobState::Aborted, Some(0));
        began.began = true;
        assert!(matches!(judge(&created, &look(Some(began.clone())), later(5)), Verdict::Aborted(_)));
        began.reasons = vec!["aborted-by-system".into(), "submission-interrupted".into()];
        assert!(matches!(judge(&created, &look(Some(began)), later(5)), Verdict::NothingPrinted(_)));
    }

    #[test]
    fn a_job_that_was_begun_between_the_look_and_its_cancellation_may_have_printed() {
        let mut ended = found(JobState::Canceled, None);
        assert!(ended.ended_waiting());
        ended.began = true;
        assert!(!ended.ended_waiting());
        assert!(!found(JobState::Canceled, Some(1)).ended_waiting());
    }

    #[test]
    fn zero_impressions_are_taken_as_they_are_from_a_printer_that_counts() {
        let created = attempt(Phase::Created { printer_job_id: 7 });
        let mut began = found(JobState::Canceled, Some(0));
        began.began = true;
        let counting = Look { counts: true, ..look(Some(began.clone())) };
        assert!(matches!(judge(&created, &counting, later(5)), Verdict::NothingPrinted(_)));
        began.impressions = None;
        let silent = Look { counts: true, ..look(Some(began)) };
        assert!(matches!(judge(&created, &silent, later(5)), Verdict::Canceled(_)));
    }

    #[test]
    fn a_job_that_waits_for_its_document_is_canceled_and_one_at_work_is_followed() {
        let created = attempt(Phase::Created { printer_job_id: 7 });
        let mut waiting = found(JobState::PendingHeld, Some(0));
        waiting.reasons = vec!["job-incoming".into()];
        assert_eq!(judge(&created, &look(Some(waiting)), later(5)), Verdict::CancelOrphan(7));
        let working = look(Some(found(JobState::Processing, Some(0))));
        assert!(matches!(judge(&created, &working, later(5)), Verdict::InProgress(_)));
    }
}
