//! What a simulated printer tells of its state and its counters, true or not.

use super::condition::Problem;
use super::{Device, Job, Stage};
use crate::simulate::fault::{Fault, WrongCounts};
use std::time::Instant;

impl Device {
    /// `printer-state`: idle 3, processing 4, stopped 5.
    pub(in crate::simulate) fn state(&self) -> i32 {
        if self.stopped() {
            5
        } else if self.jobs.values().any(|job| matches!(job.stage, Stage::Printing { .. })) {
            4
        } else {
            3
        }
    }

    pub(in crate::simulate) fn stopped(&self) -> bool {
        self.problems().iter().any(|problem| problem.stops)
    }

    /// What it complains about.
    pub(in crate::simulate) fn problems(&self) -> Vec<Problem> {
        self.condition.problems(&self.faults)
    }

    /// `printer-state-reasons`.
    pub(in crate::simulate) fn reasons(&self) -> Vec<&'static str> {
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
    pub(in crate::simulate) fn message(&self, now: Instant) -> String {
        match (self.state(), self.problems().into_iter().next()) {
            (5, Some(problem)) => problem.text,
            (4, _) => "Printing".to_owned(),
            _ if self.asleep(now) => "Sleep".to_owned(),
            _ => "Ready".to_owned(),
        }
    }

    /// The firmware version it tells.
    pub(in crate::simulate) fn firmware(&self) -> &str {
        self.faults.firmware().unwrap_or(self.profile.firmware)
    }

    /// The UUID it tells, without `urn:uuid:`.
    pub(in crate::simulate) fn uuid(&self) -> &str {
        self.clone_of.as_ref().map_or(&self.identity.uuid, |other| &other.uuid)
    }

    /// The serial number it tells.
    pub(in crate::simulate) fn serial(&self) -> &str {
        match &self.clone_of {
            Some(other) if self.faults.iter().any(|fault| matches!(fault, Fault::CloneOf(_))) => &other.serial,
            _ => &self.identity.serial,
        }
    }

    /// A counter as the printer tells it: a life count, or what one job printed (`frozen` says where it stands then).
    pub(super) fn told(&self, count: i64, frozen: i64) -> i64 {
        match self.faults.wrong_counts() {
            None => count,
            Some(WrongCounts::Zero) => 0,
            Some(WrongCounts::Frozen) => frozen,
            Some(WrongCounts::Double) => count.saturating_mul(2),
        }
    }

    /// Impressions of its life, as it tells them.
    pub(in crate::simulate) fn told_impressions(&self) -> i64 {
        self.told(self.impressions, self.frozen.map_or(self.impressions, |frozen| frozen.0))
    }

    /// Impressions of a job, as it tells them.
    pub(in crate::simulate) fn told_of_job(&self, job: &Job) -> i64 {
        self.told(i64::from(job.told.unwrap_or(job.impressions_done)), 0)
    }

    /// Sheets of its life, as it tells them.
    pub(in crate::simulate) fn told_sheets(&self) -> i64 {
        self.told(self.sheets, self.frozen.map_or(self.sheets, |frozen| frozen.1))
    }

    /// Sheets of a job, as it tells them.
    pub(in crate::simulate) fn told_sheets_of(&self, job: &Job) -> i64 {
        self.told(i64::from(job.sheets(job.told.unwrap_or(job.impressions_done))), 0)
    }

    /// In power save: nothing to do for as long as its kind waits, or told to sleep.
    pub(in crate::simulate) fn asleep(&self, now: Instant) -> bool {
        let since = match self.idle_since {
            None => return self.queued() == 0,
            Some(since) => since,
        };
        let after = self.profile.sleeps_after;
        self.queued() == 0 && after.is_some_and(|after| now.saturating_duration_since(since) >= after)
    }

    /// Something woke it.
    pub(in crate::simulate) fn wake(&mut self, now: Instant) {
        self.idle_since = Some(now);
    }

    /// Goes to sleep now; a job in hand is ended first.
    pub(in crate::simulate) fn sleep(&mut self) {
        self.idle_since = None;
    }
}
