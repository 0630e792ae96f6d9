//! The inside of one simulated printer: its jobs, its paper path, its clock. No network here.
//!
//! One job prints at a time, in the order in which their documents were complete.
//!
//! ```text
//!  Create-Job ─▶ Waiting ──Send-Document──▶ Receiving ──whole──▶ Queued ─▶ Printing ─▶ Done(completed)
//!                 │  ▲                          ▲  │                        │   ▲
//!                 │  └── not the last document ─│──┤                 no paper   paper again
//!  Print-Job ─────│─────────────────────────────┘  │                        ▼   │
//!                 │                                │                       Stopped
//!                 ▼ time-out, closed while empty   ▼ connection lost
//!               Done(aborted)                    Done(aborted)       Cancel-Job: any of them ─▶ Done(canceled)
//! ```
//!
//! | stage | job-state | job-state-reasons |
//! |---|---|---|
//! | Waiting | pending-held 4 | job-incoming, job-data-insufficient |
//! | Receiving | pending 3 | job-incoming |
//! | Queued | pending 3 | none, or printer-stopped |
//! | Printing | processing 5 | job-printing |
//! | Stopped | processing-stopped 6 | printer-stopped |
//! | Done | canceled 7, aborted 8, completed 9 | job-canceled-by-user; aborted-by-system and the cause; job-completed-successfully |
//!
//! Invariants: a document that was not received whole never prints; one that was prints once, whether or not its
//! client is still there; the counters and `job-impressions-completed` move only with an impression on paper; the line in
//! `printed.jsonl` is on the disk before the job is completed. A power cut forgets every job.

mod condition;
mod raw;
mod view;

pub(super) use condition::Problem;

use super::fault::{Fault, Faults, WrongCounts};
use super::paper::{Document, Outcome, Paper, Printed, Via};
use super::profiles::Profile;
use super::values::members;
use super::{History, Identity};
use condition::Condition;
use ipp::attribute::IppAttribute;
use ipp::value::IppValue;
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Finished jobs kept in the history, whatever the profile says.
const MAX_HISTORY: usize = 2_000;
/// Lines kept in memory; all are in `printed.jsonl`.
const MAX_PRINTED: usize = 10_000;
/// Unfinished jobs at a time; more are answered with server-error-busy.
pub(super) const MAX_QUEUE: usize = 500;

/// What a job is asked to be printed like.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) name: String,
    pub(super) user: String,
    pub(super) copies: u32,
    pub(super) two_sided: bool,
    /// `page-ranges`, 1-based and inclusive; empty for all pages.
    pub(super) ranges: Vec<(u32, u32)>,
    /// The job template attributes that were accepted, as they came.
    pub(super) template: Vec<IppAttribute>,
    /// `document-format` as stated.
    pub(super) format: String,
}

/// Why a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Completed,
    Canceled,
    /// With the reason beside `aborted-by-system`.
    Aborted(&'static str),
}

#[derive(Debug)]
pub(super) enum Stage {
    Waiting { deadline: Instant, document: Option<Document> },
    Receiving,
    Queued { document: Document },
    Printing { document: Document, next_page: Instant },
    Stopped { document: Document },
    Done { end: End, at: Instant },
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: i32,
    pub(super) ticket: Ticket,
    pub(super) stage: Stage,
    /// Up-time at creation, at the start of printing and at the end, seconds.
    pub(super) created: i32,
    pub(super) processing: Option<i32>,
    pub(super) completed: Option<i32>,
    pub(super) created_at: Timestamp,
    pub(super) processing_at: Option<Timestamp>,
    pub(super) completed_at: Option<Timestamp>,
    /// Pages of one copy; known once the document is.
    pub(super) pages: u32,
    pub(super) bytes: u64,
    pub(super) documents: i32,
    pub(super) impressions_done: u32,
    /// What it says of them instead.
    pub(super) told: Option<u32>,
}

impl Job {
    /// `job-state` (RFC 8011 §5.3.7).
    pub(super) fn state(&self) -> i32 {
        match &self.stage {
            Stage::Waiting { .. } => 4,
            Stage::Receiving | Stage::Queued { .. } => 3,
            Stage::Printing { .. } => 5,
            Stage::Stopped { .. } => 6,
            Stage::Done { end: End::Canceled, .. } => 7,
            Stage::Done { end: End::Aborted(_), .. } => 8,
            Stage::Done { end: End::Completed, .. } => 9,
        }
    }

    pub(super) fn reasons(&self, printer_stopped: bool) -> Vec<&'static str> {
        match &self.stage {
            Stage::Waiting { .. } => vec!["job-incoming", "job-data-insufficient"],
            Stage::Receiving => vec!["job-incoming"],
            Stage::Queued { .. } if printer_stopped => vec!["printer-stopped"],
            Stage::Queued { .. } => vec!["none"],
            Stage::Printing { .. } => vec!["job-printing"],
            Stage::Stopped { .. } => vec!["printer-stopped"],
            Stage::Done { end: End::Completed, .. } => vec!["job-completed-successfully"],
            Stage::Done { end: End::Canceled, .. } => vec!["job-canceled-by-user"],
            Stage::Done { end: End::Aborted("aborted-by-system"), .. } => vec!["aborted-by-system"],
            Stage::Done { end: End::Aborted(cause), .. } => vec!["aborted-by-system", cause],
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done { .. })
    }

    /// Impressions of all copies.
    pub(super) fn impressions(&self) -> u32 {
        self.pages.saturating_mul(self.ticket.copies)
    }

    /// Staples it takes: one a copy, when it is to be stapled.
    fn staples(&self) -> u32 {
        let staple = |value: &IppValue| *value == IppValue::Enum(4);
        let asked = |a: &IppAttribute| a.name().as_str() == "finishings" && members(a.value()).iter().any(staple);
        if self.ticket.template.iter().any(asked) { self.ticket.copies } else { 0 }
    }

    /// Sheets that so many impressions take.
    pub(super) fn sheets(&self, impressions: u32) -> u32 {
        if !self.ticket.two_sided || self.pages == 0 {
            return impressions;
        }
        let per_copy = self.pages.div_ceil(2);
        impressions / self.pages * per_copy + (impressions % self.pages).div_ceil(2)
    }
}

/// Why a request about a job cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No job of this id is known.
    NotFound,
    /// The job is in a state that does not allow it.
    NotPossible,
    /// The job has its document already.
    SecondDocument,
    /// The job was canceled meanwhile.
    Canceled,
    /// Too many jobs.
    Full,
    /// The document cannot be stored.
    Storage,
}

/// One printer between power on and power off, and its counters beyond.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) profile: &'static Profile,
    pub(super) identity: Identity,
    pub(super) history: History,
    pub(super) faults: Faults,
    /// How long one impression takes.
    pub(super) page_time: Duration,
    /// `multiple-operation-time-out`.
    pub(super) time_out: Duration,
    pub(super) jobs: BTreeMap<i32, Job>,
    pub(super) impressions: i64,
    pub(super) sheets: i64,
    pub(super) paper: Paper,
    /// The last [`MAX_PRINTED`] lines of this run.
    pub(super) printed: VecDeque<Printed>,
    pub(super) boot: Instant,
    boot_at: Timestamp,
    /// Up-time of the last change of printer-state.
    pub(super) state_changed: i32,
    last_state: i32,
    last_job: i32,
    pub(super) condition: Condition,
    /// Impressions when the power came.
    impressions_at_power_on: i64,
    /// Since when it has had nothing to do; `None`: told to sleep now.
    idle_since: Option<Instant>,
    /// What impressions and sheets were when the fault `wrong-counts:frozen` was seen.
    frozen: Option<(i64, i64)>,
    /// Identity of the printer whose clone it is.
    pub(super) clone_of: Option<Identity>,
    /// Ids in the order in which their documents were complete.
    queue: Vec<i32>,
}

impl Device {
    pub(super) fn new(
        identity: Identity,
        profile: &'static Profile,
        history: History,
        page_time: Duration,
        time_out: Duration,
        paper: Paper,
        now: Instant,
    ) -> Device {
        let impressions = profile.impressions_before + paper.impressions;
        Device {
            profile,
            identity,
            history,
            faults: Faults::default(),
            page_time,
            time_out,
            jobs: BTreeMap::new(),
            impressions,
            sheets: impressions * 2 / 3,
            last_job: paper.last_job,
            paper,
            printed: VecDeque::new(),
            boot: now,
            boot_at: Timestamp::now(),
            state_changed: 1,
            last_state: 3,
            condition: Condition::new(profile),
            impressions_at_power_on: impressions,
            idle_since: Some(now),
            frozen: None,
            clone_of: None,
            queue: Vec::new(),
        }
    }

    /// `printer-up-time`: seconds since power on, from 1.
    pub(super) fn up_time(&self, now: Instant) -> i32 {
        i32::try_from(now.saturating_duration_since(self.boot).as_secs()).unwrap_or(i32::MAX - 1).saturating_add(1)
    }

    /// The wall clock at an up-time.
    pub(super) fn at_up_time(&self, seconds: i32) -> Option<Timestamp> {
        self.boot_at.checked_add(jiff::SignedDuration::from_secs(i64::from(seconds) - 1)).ok()
    }

    /// `printer-state`: idle 3, processing 4, stopped 5.
    pub(super) fn state(&self) -> i32 {
        if self.stopped() {
            5
        } else if self.jobs.values().any(|job| matches!(job.stage, Stage::Printing { .. })) {
            4
        } else {
            3
        }
    }

    pub(super) fn stopped(&self) -> bool {
        self.problems().iter().any(|problem| problem.stops)
    }

    /// What it complains about.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.condition.problems(&self.faults)
    }

    /// `printer-state-reasons`.
    pub(super) fn reasons(&self) -> Vec<&'static str> {
        let mut reasons: Vec<&'static str> = Vec::new();
        for problem in self.problems() {
            if !reasons.contains(&problem.reason) {
                reasons.push(problem.reason);
            }
        }
        let waits = self.jobs.values().any(|job| matches!(job.stage, Stage::Stopped { .. }));
        if waits && reasons.contains(&"media-empty-error") {
            reasons.push("media-needed-error");
        }
        if reasons.is_empty() {
            reasons.push("none");
        }
        reasons
    }

    /// `printer-state-message`, and the display's first line.
    pub(super) fn message(&self, now: Instant) -> String {
        match (self.state(), self.problems().into_iter().next()) {
            (5, Some(problem)) => problem.text,
            (4, _) => "Printing".to_owned(),
            _ if self.asleep(now) => "Sleep".to_owned(),
            _ => "Ready".to_owned(),
        }
    }

    /// The firmware version it tells.
    pub(super) fn firmware(&self) -> &str {
        self.faults.firmware().unwrap_or(self.profile.firmware)
    }

    /// The UUID it tells, without `urn:uuid:`.
    pub(super) fn uuid(&self) -> &str {
        self.clone_of.as_ref().map_or(&self.identity.uuid, |other| &other.uuid)
    }

    /// The serial number it tells.
    pub(super) fn serial(&self) -> &str {
        match &self.clone_of {
            Some(other) if self.faults.iter().any(|fault| matches!(fault, Fault::CloneOf(_))) => &other.serial,
            _ => &self.identity.serial,
        }
    }

    /// A counter as the printer tells it: a life count, or what one job printed (`frozen` says where it stands then).
    fn told(&self, count: i64, frozen: i64) -> i64 {
        match self.faults.wrong_counts() {
            None => count,
            Some(WrongCounts::Zero) => 0,
            Some(WrongCounts::Frozen) => frozen,
            Some(WrongCounts::Double) => count.saturating_mul(2),
        }
    }

    /// Impressions of its life, as it tells them.
    pub(super) fn told_impressions(&self) -> i64 {
        self.told(self.impressions, self.frozen.map_or(self.impressions, |frozen| frozen.0))
    }

    /// Impressions of a job, as it tells them.
    pub(super) fn told_of_job(&self, job: &Job) -> i64 {
        self.told(i64::from(job.told.unwrap_or(job.impressions_done)), 0)
    }

    /// Sheets of its life, as it tells them.
    pub(super) fn told_sheets(&self) -> i64 {
        self.told(self.sheets, self.frozen.map_or(self.sheets, |frozen| frozen.1))
    }

    /// Sheets of a job, as it tells them.
    pub(super) fn told_sheets_of(&self, job: &Job) -> i64 {
        self.told(i64::from(job.sheets(job.told.unwrap_or(job.impressions_done))), 0)
    }

    /// In power save: nothing to do for as long as its kind waits, or told to sleep.
    pub(super) fn asleep(&self, now: Instant) -> bool {
        let since = match self.idle_since {
            None => return self.queued() == 0,
            Some(since) => since,
        };
        let after = self.profile.sleeps_after;
        self.queued() == 0 && after.is_some_and(|after| now.saturating_duration_since(since) >= after)
    }

    /// Something woke it.
    pub(super) fn wake(&mut self, now: Instant) {
        self.idle_since = Some(now);
    }

    /// Goes to sleep now; a job in hand is ended first.
    pub(super) fn sleep(&mut self) {
        self.idle_since = None;
    }

    /// Jobs that have not ended.
    pub(super) fn queued(&self) -> usize {
        self.jobs.values().filter(|job| !job.is_done()).count()
    }

    /// Unfinished jobs that print before this one.
    pub(super) fn intervening(&self, id: i32) -> i32 {
        let before = self.queue.iter().take_while(|queued| **queued != id).count();
        i32::try_from(before).unwrap_or(i32::MAX)
    }

    /// A new job that waits for its document.
    pub(super) fn create(&mut self, ticket: Ticket, now: Instant) -> Result<i32, Refusal> {
        if self.queued() >= MAX_QUEUE {
            return Err(Refusal::Full);
        }
        self.wake(now);
        self.last_job = self.last_job.checked_add(1).unwrap_or(1);
        let job = Job {
            id: self.last_job,
            ticket,
            stage: Stage::Waiting { deadline: now + self.time_out, document: None },
            created: self.up_time(now),
            processing: None,
            completed: None,
            created_at: Timestamp::now(),
            processing_at: None,
            completed_at: None,
            pages: 0,
            bytes: 0,
            documents: 0,
            impressions_done: 0,
            told: None,
        };
        self.jobs.insert(job.id, job);
        Ok(self.last_job)
    }

    /// A document of this job begins to arrive.
    pub(super) fn begin_document(&mut self, id: i32) -> Result<(), Refusal> {
        let job = self.jobs.get_mut(&id).ok_or(Refusal::NotFound)?;
        match &job.stage {
            Stage::Waiting { document: None, .. } => {
                job.stage = Stage::Receiving;
                Ok(())
            }
            Stage::Waiting { .. } => Err(Refusal::SecondDocument),
            _ => Err(Refusal::NotPossible),
        }
    }

    /// The document is here, whole.
    pub(super) fn end_document(
        &mut self,
        id: i32,
        document: Document,
        last: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let deadline = now + self.time_out;
        let receiving = |job: &&mut Job| matches!(job.stage, Stage::Receiving);
        let Some(job) = self.jobs.get_mut(&id).filter(receiving) else {
            // Canceled, or forgotten in a power cut, while it arrived.
            if self.jobs.get(&id).is_none_or(Job::is_done) {
                self.paper.discard(id);
            }
            return Err(Refusal::Canceled);
        };
        job.bytes = document.bytes;
        job.documents = 1;
        job.pages = pages_in(document.pages, &job.ticket.ranges);
        if last {
            job.stage = Stage::Queued { document };
            self.queue.push(id);
        } else {
            job.stage = Stage::Waiting { deadline, document: Some(document) };
        }
        Ok(())
    }

    /// An empty last document: the job is closed.
    pub(super) fn close(&mut self, id: i32, now: Instant) -> Result<(), Refusal> {
        let job = self.jobs.get_mut(&id).ok_or(Refusal::NotFound)?;
        match &mut job.stage {
            Stage::Waiting { document, .. } => match document.take() {
                Some(document) => {
                    job.stage = Stage::Queued { document };
                    self.queue.push(id);
                }
                None => self.end(id, End::Aborted("job-data-insufficient"), now),
            },
            _ => return Err(Refusal::NotPossible),
        }
        Ok(())
    }

    /// The document will never be whole.
    pub(super) fn abort_document(&mut self, id: i32, cause: &'static str, now: Instant) {
        if self.jobs.get(&id).is_some_and(|job| matches!(job.stage, Stage::Receiving)) {
            self.end(id, End::Aborted(cause), now);
        }
    }

    /// Cancel-Job.
    pub(super) fn cancel(&mut self, id: i32, now: Instant) -> Result<(), Refusal> {
        match self.jobs.get(&id) {
            None => Err(Refusal::NotFound),
            Some(job) if job.is_done() => Err(Refusal::NotPossible),
            Some(_) => {
                self.stop(id, Outcome::Canceled);
                self.end(id, End::Canceled, now);
                Ok(())
            }
        }
    }

    /// Pulls the plug: what is half printed stays on paper. Without `keep_queue` everything else is forgotten; with it,
    /// jobs whose documents are whole are kept, as on a disk, and the one in hand goes on where it stopped.
    pub(super) fn power_off(&mut self, keep_queue: bool, now: Instant) {
        let up_time = self.up_time(now);
        let ids: Vec<i32> = self.jobs.keys().copied().collect();
        for id in ids {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            job.stage = match std::mem::replace(&mut job.stage, Stage::Receiving) {
                Stage::Queued { document } | Stage::Printing { document, .. } | Stage::Stopped { document }
                    if keep_queue =>
                {
                    Stage::Queued { document }
                }
                Stage::Done { end, at } if keep_queue => Stage::Done { end, at },
                other => {
                    job.stage = other;
                    self.stop(id, Outcome::PowerOff);
                    self.paper.discard(id);
                    self.jobs.remove(&id);
                    self.queue.retain(|queued| *queued != id);
                    continue;
                }
            };
            // Events of an earlier life have negative times (RFC 8011 §5.3.14).
            job.created -= up_time;
            job.processing = job.processing.map(|at| at - up_time);
            job.completed = job.completed.map(|at| at - up_time);
        }
    }

    /// The clock starts again at 1.
    pub(super) fn power_on(&mut self, now: Instant) {
        self.boot = now;
        self.boot_at = Timestamp::now();
        self.state_changed = 1;
        self.last_state = 3;
        self.impressions_at_power_on = self.impressions;
        self.condition.restart();
        self.wake(now);
    }

    /// Carries out what is due and says when something will be due next.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Instant> {
        let moves = self.condition.follow(&self.faults, now);
        self.follow_counts();
        self.time_outs(now);
        self.forget(now);
        while let Some(id) = self.queue.first().copied() {
            if !self.print(id, now) {
                break;
            }
        }
        // The last sheet may just have gone.
        self.condition.note(&self.problems(), self.ticks(now));
        let state = self.state();
        if state != self.last_state {
            self.last_state = state;
            self.state_changed = self.up_time(now);
        }
        let forget_after = self.forget_after();
        self.jobs
            .values()
            .filter_map(|job| match &job.stage {
                Stage::Waiting { deadline, .. } => Some(*deadline),
                Stage::Printing { next_page, .. } => Some(*next_page),
                Stage::Done { at, .. } => forget_after.map(|after| *at + after),
                Stage::Receiving | Stage::Queued { .. } | Stage::Stopped { .. } => None,
            })
            .chain(moves)
            .min()
    }

    /// sysUpTime, hundredths of a second.
    fn ticks(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.boot).as_millis() / 10).unwrap_or(u32::MAX)
    }

    fn follow_counts(&mut self) {
        let frozen = self.faults.wrong_counts() == Some(WrongCounts::Frozen);
        self.frozen = frozen.then(|| self.frozen.unwrap_or((self.impressions, self.sheets)));
    }

    /// Moves the job at the head of the queue on; true when it has left the queue.
    fn print(&mut self, id: i32, now: Instant) -> bool {
        let mut stopped = self.stopped();
        let page_time = self.faults.page_millis().map_or(self.page_time, Duration::from_millis);
        let up_time = self.up_time(now);
        let Some(job) = self.jobs.get_mut(&id) else {
            self.queue.retain(|queued| *queued != id);
            return true;
        };
        let stage = std::mem::replace(&mut job.stage, Stage::Receiving);
        job.stage = match stage {
            Stage::Queued { document } => {
                job.processing = Some(up_time);
                job.processing_at = Some(Timestamp::now());
                Stage::Printing { document, next_page: now + page_time }
            }
            Stage::Stopped { document } if !stopped => Stage::Printing { document, next_page: now + page_time },
            other => other,
        };
        let nothing_on_paper = self.faults.has(&Fault::FalseCompleted);
        loop {
            let Some(job) = self.jobs.get_mut(&id) else { return true };
            let total = job.impressions();
            match &mut job.stage {
                Stage::Printing { document, .. } if stopped => {
                    job.stage = Stage::Stopped { document: document.clone() };
                    return false;
                }
                Stage::Printing { next_page, .. } if job.impressions_done < total => {
                    if *next_page > now {
                        return false;
                    }
                    *next_page += page_time;
                    if nothing_on_paper {
                        let told = job.told.unwrap_or(job.impressions_done) + 1;
                        job.told = Some(told);
                        if told < total {
                            continue;
                        }
                        // What was put out before the fault was set is out.
                        self.stop(id, Outcome::Canceled);
                        self.end(id, End::Completed, now);
                        return true;
                    }
                    let sheets = job.sheets(job.impressions_done);
                    job.impressions_done += 1;
                    let sheets = job.sheets(job.impressions_done) - sheets;
                    self.sheets += i64::from(sheets);
                    self.impressions += 1;
                    self.condition.impression(sheets);
                    // It may have been the last sheet.
                    stopped = job.impressions_done < total && self.stopped();
                }
                Stage::Printing { .. } => {
                    self.condition.stapled(job.staples());
                    let end = match self.put_out(id, Outcome::Completed) {
                        Ok(()) if self.faults.has(&Fault::FalseAborted) => {
                            if let Some(job) = self.jobs.get_mut(&id) {
                                job.told = Some(0);
                            }
                            End::Aborted("aborted-by-system")
                        }
                        Ok(()) => End::Completed,
                        Err(error) => {
                            tracing::error!(printer = %self.identity.name, job = id, %error, "cannot write the output");
                            End::Aborted("document-access-error")
                        }
                    };
                    self.end(id, end, now);
                    return true;
                }
                _ => return false,
            }
        }
    }

    /// Records what is on paper of a job that ends in between.
    fn stop(&mut self, id: i32, outcome: Outcome) {
        let begun = self.jobs.get(&id).is_some_and(|job| !job.is_done() && job.impressions_done > 0);
        if begun && let Err(error) = self.put_out(id, outcome) {
            tracing::error!(printer = %self.identity.name, job = id, %error, "cannot write the output");
        }
    }

    fn put_out(&mut self, id: i32, outcome: Outcome) -> std::io::Result<()> {
        let Some(job) = self.jobs.get(&id) else { return Ok(()) };
        let (Stage::Printing { document, .. } | Stage::Stopped { document }) = &job.stage else { return Ok(()) };
        let line = Printed {
            printer: self.identity.name.clone(),
            job_id: id,
            job_name: job.ticket.name.clone(),
            user: job.ticket.user.clone(),
            file: String::new(),
            format: document.format.clone(),
            sha256: document.sha256.clone(),
            bytes: document.bytes,
            tls: document.via == Via::Ipps,
            via: document.via,
            garbage: document.garbage,
            copies: job.ticket.copies,
            impressions: job.impressions_done,
            outcome: if document.cut_off && outcome == Outcome::Completed { Outcome::Partial } else { outcome },
            at: Timestamp::now(),
        };
        let line = self.paper.print(document, line)?;
        if self.printed.len() == MAX_PRINTED {
            self.printed.pop_front();
        }
        self.printed.push_back(line);
        Ok(())
    }

    fn end(&mut self, id: i32, end: End, now: Instant) {
        let up_time = self.up_time(now);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.stage = Stage::Done { end, at: now };
            job.completed = Some(up_time);
            job.completed_at = Some(Timestamp::now());
        }
        // Told to sleep, it sleeps once the queue is empty.
        if self.idle_since.is_some() {
            self.idle_since = Some(now);
        }
        self.paper.discard(id);
        self.queue.retain(|queued| *queued != id);
        if self.history == History::None {
            self.jobs.remove(&id);
        }
        let done: Vec<i32> = self.jobs.values().filter(|job| job.is_done()).map(|job| job.id).collect();
        for id in done.iter().take(done.len().saturating_sub(MAX_HISTORY)) {
            self.jobs.remove(id);
        }
    }

    fn time_outs(&mut self, now: Instant) {
        let late: Vec<i32> = self
            .jobs
            .values()
            .filter(|job| matches!(&job.stage, Stage::Waiting { deadline, .. } if *deadline <= now))
            .map(|job| job.id)
            .collect();
        for id in late {
            self.end(id, End::Aborted("submission-interrupted"), now);
        }
    }

    fn forget_after(&self) -> Option<Duration> {
        match self.history {
            History::Forget(after) => Some(after),
            History::Keep | History::None => None,
        }
    }

    fn forget(&mut self, now: Instant) {
        if let Some(after) = self.forget_after() {
            self.jobs.retain(|_, job| !matches!(job.stage, Stage::Done { at, .. } if at + after <= now));
        }
    }
}

/// How many of `pages` lie in the ranges (all when there are none); at least 1, because a printer prints something.
fn pages_in(pages: u32, ranges: &[(u32, u32)]) -> u32 {
    if ranges.is_empty() {
        return pages.max(1);
    }
    let inside = (1..=pages).filter(|page| ranges.iter().any(|(from, to)| (from..=to).contains(&page))).count();
    u32::try_from(inside).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests;
