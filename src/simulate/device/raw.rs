//! What raw ports need of the device.

use super::{Device, End, Stage};
use crate::simulate::paper::{Document, Outcome};
use std::time::Instant;

impl Device {
    /// Puts a document that is arriving on paper at once, all of it, just before the power goes.
    pub(in crate::simulate) fn print_at_once(&mut self, id: i32, document: Document) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| matches!(job.stage, Stage::Receiving)) else { return };
        job.pages = document.pages;
        job.bytes = document.bytes;
        job.documents = 1;
        job.impressions_done = job.impressions();
        let (impressions, sheets) = (job.impressions_done, job.sheets(job.impressions_done));
        let now = Instant::now();
        job.stage = Stage::Printing { document, next_page: now };
        self.impressions += i64::from(impressions);
        self.sheets += i64::from(sheets);
        self.stop(id, Outcome::PowerOff);
        self.end(id, End::Aborted("submission-interrupted"), now);
    }
}
