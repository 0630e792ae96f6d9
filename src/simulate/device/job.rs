//! One job of a simulated printer: what it asks for, and where it is.

use crate::simulate::paper::Document;
use crate::simulate::values::members;
use ipp::attribute::IppAttribute;
use ipp::value::IppValue;
use jiff::Timestamp;
use std::time::Instant;

/// What a job is asked to be printed like.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Ticket {
    pub(in crate::simulate) name: String,
    pub(in crate::simulate) user: String,
    pub(in crate::simulate) copies: u32,
    pub(in crate::simulate) two_sided: bool,
    /// `page-ranges`, 1-based and inclusive; empty for all pages.
    pub(in crate::simulate) ranges: Vec<(u32, u32)>,
    /// The job template attributes that were accepted, as they came.
    pub(in crate::simulate) template: Vec<IppAttribute>,
    /// `document-format` as stated.
    pub(in crate::simulate) format: String,
}

/// Why a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) enum End {
    Completed,
    Canceled,
    /// With the reason beside `aborted-by-system`.
    Aborted(&'static str),
}

#[derive(Debug)]
pub(in crate::simulate) enum Stage {
    Waiting { deadline: Instant, document: Option<Document> },
    Receiving,
    Queued { document: Document },
    Printing { document: Document, next_page: Instant },
    Stopped { document: Document },
    Done { end: End, at: Instant },
}

#[derive(Debug)]
pub(in crate::simulate) struct Job {
    pub(in crate::simulate) id: i32,
    pub(in crate::simulate) ticket: Ticket,
    pub(in crate::simulate) stage: Stage,
    /// Up-time at creation, at the start of printing and at the end, seconds.
    pub(in crate::simulate) created: i32,
    pub(in crate::simulate) processing: Option<i32>,
    pub(in crate::simulate) completed: Option<i32>,
    pub(in crate::simulate) created_at: Timestamp,
    pub(in crate::simulate) processing_at: Option<Timestamp>,
    pub(in crate::simulate) completed_at: Option<Timestamp>,
    /// Pages of one copy; known once the document is.
    pub(in crate::simulate) pages: u32,
    pub(in crate::simulate) bytes: u64,
    pub(in crate::simulate) documents: i32,
    pub(in crate::simulate) impressions_done: u32,
    /// What it says of them instead.
    pub(in crate::simulate) told: Option<u32>,
}

impl Job {
    /// `job-state` (RFC 8011 §5.3.7).
    pub(in crate::simulate) fn state(&self) -> i32 {
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

    pub(in crate::simulate) fn reasons(&self, printer_stopped: bool) -> Vec<&'static str> {
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

    pub(in crate::simulate) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done { .. })
    }

    /// Impressions of all copies.
    pub(in crate::simulate) fn impressions(&self) -> u32 {
        self.pages.saturating_mul(self.ticket.copies)
    }

    /// Staples it takes: one a copy, when it is to be stapled.
    pub(super) fn staples(&self) -> u32 {
        let staple = |value: &IppValue| *value == IppValue::Enum(4);
        let asked = |a: &IppAttribute| a.name().as_str() == "finishings" && members(a.value()).iter().any(staple);
        if self.ticket.template.iter().any(asked) { self.ticket.copies } else { 0 }
    }

    /// Sheets that so many impressions take.
    pub(in crate::simulate) fn sheets(&self, impressions: u32) -> u32 {
        if !self.ticket.two_sided || self.pages == 0 {
            return impressions;
        }
        let per_copy = self.pages.div_ceil(2);
        impressions / self.pages * per_copy + (impressions % self.pages).div_ceil(2)
    }
}

/// Why a request about a job cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) enum Refusal {
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
