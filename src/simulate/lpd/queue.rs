//! The queue as LPD tells it, and jobs taken out of it.
//!
//! RFC 1179 leaves the text open; it is that of BSD's `lpq`, which clients print as it comes and some read:
//!
//! ```text
//! lp is ready and printing
//! Rank   Owner      Job  Files                                 Total Size
//! active alice      12   Invoice 17                            1234 bytes
//! 1st    bob        13   stdin                                 99 bytes
//! ```

use super::wire::listed;
use crate::simulate::device::{Device, Job, Stage};
use crate::simulate::server::Shared;
use std::time::Instant;

/// Jobs that are listed.
const MAX_LISTED: usize = 500;

/// The state of a queue, short or long.
pub(super) fn state(printer: &Shared, queue: &str, long: bool, list: &[String], now: Instant) -> String {
    let device = printer.device();
    let view = device.view(now);
    let jobs: Vec<&Job> = waiting(&device).collect();
    let mut text = match (view.state, jobs.is_empty()) {
        (5, _) => {
            let console = view.console.first().map_or("stopped", String::as_str);
            format!("{queue}: Warning: {queue} is down: {console}\n")
        }
        (_, true) => return "no entries\n".to_owned(),
        (_, false) => format!("{queue} is ready and printing\n"),
    };
    let jobs: Vec<&Job> =
        jobs.into_iter().filter(|job| listed(list, &job.ticket.user, &[job.id])).take(MAX_LISTED).collect();
    if jobs.is_empty() {
        text.push_str("no entries\n");
        return text;
    }
    if !long {
        text.push_str("Rank   Owner      Job  Files                                 Total Size\n");
    }
    for (rank, job) in jobs.into_iter().enumerate() {
        let (rank, owner) = (rank_of(rank, job), name(&job.ticket.user));
        let (id, title, bytes) = (job.id, name(&job.ticket.name), job.bytes);
        text.push_str(&if long {
            format!("\n{owner}: {rank:<32} [job {id:03}]\n\t{title:<32} {bytes} bytes\n")
        } else {
            format!("{rank:<6} {owner:<10} {id:<4} {title:<37} {bytes} bytes\n")
        });
    }
    text
}

/// Removes jobs (RFC 1179 §5.5): those of the list that the agent may remove; without a list the one that prints.
pub(super) fn remove(printer: &Shared, agent: &str, list: &[String], now: Instant) -> String {
    let mut device = printer.device();
    let may = |job: &&Job| agent == "root" || job.ticket.user == agent;
    let jobs: Vec<i32> = if list.is_empty() {
        waiting(&device).take(1).filter(may).map(|job| job.id).collect()
    } else {
        waiting(&device).filter(|job| listed(list, &job.ticket.user, &[job.id])).filter(may).map(|job| job.id).collect()
    };
    let mut text = String::new();
    for id in jobs {
        if device.cancel(id, now).is_ok() {
            text.push_str(&format!("dfA{:03} dequeued\n", id % 1000));
        }
    }
    drop(device);
    printer.wake.notify_one();
    text
}

/// Jobs that have not ended, in the order in which they print; those still arriving last.
fn waiting(device: &Device) -> impl Iterator<Item = &Job> {
    let mut jobs: Vec<&Job> = device.jobs.values().filter(|job| !job.is_done()).collect();
    jobs.sort_by_key(|job| {
        let arriving = matches!(job.stage, Stage::Receiving | Stage::Waiting { .. });
        (arriving, device.intervening(job.id), job.id)
    });
    jobs.into_iter()
}

fn rank_of(rank: usize, job: &Job) -> String {
    if matches!(job.stage, Stage::Printing { .. } | Stage::Stopped { .. }) {
        return "active".to_owned();
    }
    let ending = match (rank % 10, rank % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{rank}{ending}")
}

/// What fits into a column; `-` for nothing.
fn name(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(36).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}
