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
mod job;
mod raw;
mod told;
mod view;

pub(super) use job::{End, Job, Refusal, Stage, Ticket};

use super::fault::{Fault, Faults, WrongCounts};
use super::paper::{Document, Outcome, Paper, Printed, Via};
use super::profiles::Profile;
use super::{History, Identity};
use condition::Condition;
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Finished jobs kept in the history, whatever the profile says.
const MAX_HISTORY: usize = 2_000;
/// Lines kept in memory; all are in `printed.jsonl`.
const MAX_PRINTED: usize = 10_000;
/// Unfinished jobs at a time; more are answered with server-error-busy.
pub(super) const MAX_QUEUE: usize = 500;

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
    /// Up-time of the last change of what is neither state nor counter.
    pub(super) config_changed: i32,
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
            config_changed: 1,
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
        self.config_changed = 1;
        self.last_state = 3;
        self.impressions_at_power_on = self.impressions;
        self.condition.restart();
        self.condition.note(&self.problems(), 0);
        self.wake(now);
    }

    /// Carries out what is due and says when something will be due next.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Instant> {
        let changes = self.condition.config_changes;
        let moves = self.condition.follow(&self.faults, now);
        if changes != self.condition.config_changes {
            self.config_changed = self.up_time(now);
        }
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
