//! Follows the jobs of one connection, for `USTATUS JOB`, `PAGE` and `DEVICE`.

use crate::simulate::device::{Device, End, Stage};
use crate::simulate::paper::Outcome;
use crate::simulate::pjl::{Channel, JobEvent, job_status, page_status, status_code};
use std::collections::VecDeque;
use std::time::Instant;

/// Jobs of one connection that are followed at a time; of more, the oldest is let go.
const MAX_FOLLOWED: usize = 100;
/// Documents of one job.
const MAX_DOCUMENTS: usize = 1000;

/// What is known of the jobs of a connection.
#[derive(Debug, Default)]
pub(super) struct Follow {
    jobs: VecDeque<PjlJob>,
    /// The code that was told last; `None` before anything was.
    pub(super) device_code: Option<u32>,
}

/// What lies between JOB and EOJ, or a document outside.
#[derive(Debug, Default)]
struct PjlJob {
    /// Begun with `@PJL JOB`.
    stated: bool,
    started: bool,
    name: Option<String>,
    closed: bool,
    canceled: bool,
    /// Those that have not ended, with the pages that were seen.
    documents: VecDeque<(i32, u32)>,
    /// Pages of those that have.
    pages: u32,
    /// Pages that were told.
    told: u32,
}

impl Follow {
    /// `@PJL JOB`. One within another belongs to it, and its EOJ ends both.
    pub(super) fn open(&mut self, name: Option<String>) {
        if self.jobs.back().is_none_or(|job| job.closed || !job.stated) {
            self.close(None);
            self.push(PjlJob { stated: true, name, ..PjlJob::default() });
        }
    }

    /// `@PJL EOJ` with its name, or the end of the connection.
    pub(super) fn close(&mut self, end_of_job: Option<Option<String>>) {
        if let Some(job) = self.jobs.back_mut().filter(|job| !job.closed) {
            job.closed = true;
            job.name = end_of_job.flatten().or(job.name.take());
        }
    }

    /// A document was queued as this job of the printer.
    pub(super) fn document(&mut self, id: i32) {
        if self.jobs.back().is_none_or(|job| job.closed) {
            self.push(PjlJob { closed: true, ..PjlJob::default() });
        }
        if let Some(job) = self.jobs.back_mut().filter(|job| job.documents.len() < MAX_DOCUMENTS) {
            job.documents.push_back((id, 0));
        }
    }

    fn push(&mut self, job: PjlJob) {
        if self.jobs.len() == MAX_FOLLOWED {
            self.jobs.pop_front();
        }
        self.jobs.push_back(job);
    }

    /// Something is still to be told.
    pub(super) fn pending(&self, channel: &Channel) -> bool {
        (channel.job || channel.page) && !self.jobs.is_empty()
    }

    /// What is to be told now, in order.
    pub(super) fn news(&mut self, channel: &Channel, device: &Device, now: Instant) -> Vec<Vec<u8>> {
        let mut news = Vec::new();
        if channel.device {
            let view = device.view(now);
            let code = status_code(&view);
            // The state at the time of the request is where changes are counted from.
            if self.device_code.is_some_and(|told| told != code) {
                news.push(Channel::device_status(&view));
            }
            self.device_code = Some(code);
        }
        for job in &mut self.jobs {
            job.news(channel, device, &mut news);
            if !job.is_over() {
                break;
            }
        }
        while self.jobs.front().is_some_and(PjlJob::is_over) {
            self.jobs.pop_front();
        }
        news
    }
}

impl PjlJob {
    fn is_over(&self) -> bool {
        self.closed && self.documents.is_empty()
    }

    fn news(&mut self, channel: &Channel, device: &Device, news: &mut Vec<Vec<u8>>) {
        if self.stated && !std::mem::replace(&mut self.started, true) && channel.job {
            news.push(job_status(JobEvent::Start, self.name.as_deref()));
        }
        while let Some((id, seen)) = self.documents.front().copied() {
            let (pages, end) = progress(device, id, seen);
            let total = self.pages.saturating_add(pages);
            if channel.page {
                news.extend((self.told..total).map(|page| page_status(page.saturating_add(1))));
            }
            self.told = total;
            match end {
                None => {
                    if let Some(front) = self.documents.front_mut() {
                        front.1 = pages;
                    }
                    break;
                }
                Some(end) => {
                    self.canceled |= end != End::Completed;
                    self.pages = total;
                    self.documents.pop_front();
                }
            }
        }
        if self.stated && self.is_over() && channel.job {
            let event = if self.canceled { JobEvent::Canceled } else { JobEvent::End(self.pages) };
            news.push(job_status(event, self.name.as_deref()));
        }
    }
}

/// Impressions of a job, as the printer tells them, and its end once it has one. A job that the device has forgotten already is looked for on paper.
fn progress(device: &Device, id: i32, seen: u32) -> (u32, Option<End>) {
    if let Some(job) = device.jobs.get(&id) {
        let end = match job.stage {
            Stage::Done { end, .. } => Some(end),
            _ => None,
        };
        return (u32::try_from(device.told_of_job(job)).unwrap_or(u32::MAX), end);
    }
    match device.printed.iter().rev().find(|printed| printed.job_id == id) {
        Some(printed) if matches!(printed.outcome, Outcome::Completed | Outcome::Partial) => {
            (printed.impressions, Some(End::Completed))
        }
        Some(printed) => (printed.impressions, Some(End::Canceled)),
        None => (seen, Some(End::Canceled)),
    }
}
