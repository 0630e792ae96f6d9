//! What must hold when the dust has settled.

use super::rig::{Rig, Status, is_final};
use printgate::simulate::Outcome;
use std::collections::BTreeMap;

/// What the cloud may see after what (`domain::job`'s table). A state may follow itself: held, reasons, page counts.
fn may_follow(before: &str, after: &str) -> bool {
    let next: &[&str] = match before {
        "accepted" => &["fetching", "ready", "aborted", "canceled", "expired"],
        "fetching" => &["ready", "aborted", "canceled", "expired"],
        "ready" => &["sending", "aborted", "canceled", "expired"],
        "sending" => &["ready", "printing", "canceling", "completed", "canceled", "aborted", "unconfirmed"],
        "printing" => &["canceling", "completed", "canceled", "aborted", "unconfirmed"],
        "canceling" => &["canceled", "completed", "unconfirmed"],
        "unconfirmed" => &["ready", "printing", "completed", "canceled", "aborted"],
        "aborted" => &["ready"],
        _ => &[],
    };
    before == after || next.contains(&after)
}

/// Statuses of each job are told in order, without a gap, along the arrows.
pub fn statuses_are_in_order(rig: &Rig) {
    let mut by_job: BTreeMap<&str, Vec<&Status>> = BTreeMap::new();
    for status in &rig.statuses {
        by_job.entry(&status.job).or_default().push(status);
    }
    for name in rig.jobs.keys() {
        let told = by_job.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        let story = || story(told);
        let first = told.first().unwrap_or_else(|| panic!("{name}: not one status"));
        assert_eq!((first.seq, first.status.as_str()), (1, "accepted"), "{name} begins otherwise:\n{}", story());
        for pair in told.windows(2) {
            let (before, after) = (pair[0], pair[1]);
            if before.seq == after.seq {
                // The answer to a ticket that came again.
                assert_eq!(before.status, after.status, "{name}: two states under one number:\n{}", story());
                continue;
            }
            assert_eq!(after.seq, before.seq + 1, "{name}: a gap, or out of order:\n{}", story());
            assert!(may_follow(&before.status, &after.status), "{name}: not a transition:\n{}", story());
        }
    }
}

/// Every job completed, and is on paper once; one that was to be canceled is canceled, and not whole on paper, or came
/// to its end before that.
pub fn all_printed_once(rig: &Rig) {
    for (name, job) in &rig.jobs {
        let end = rig.latest.get(name).map_or("never heard of", String::as_str);
        assert!(
            rig.statuses.iter().filter(|status| status.job == *name).all(|status| status.status != "unconfirmed"),
            "{name} was parked:\n{}",
            whole_story(rig, name)
        );
        match (end, papers(rig, name)) {
            ("completed", (1, 0)) => {}
            ("canceled", (0, 0 | 1)) if job.unwanted => {}
            (end, papers) => {
                let story = whole_story(rig, name);
                panic!("{name} on {} is {end} and on paper (whole, in part) {papers:?}:\n{story}", job.printer);
            }
        }
    }
    assert!(rig.printed().len() <= rig.jobs.len(), "something was printed that nobody asked for");
}

/// No job is on paper twice; completed ones are there once; what is not on paper is parked and not forgotten.
pub fn none_printed_twice(rig: &Rig) {
    for (name, job) in &rig.jobs {
        let end = rig.latest.get(name).map_or("never heard of", String::as_str);
        assert!(is_final(end) || end == "unconfirmed", "{name} on {}: {end}\n{}", job.printer, whole_story(rig, name));
        match (end, papers(rig, name)) {
            ("completed", (1, 0)) | ("unconfirmed", (0 | 1, 0)) => {}
            ("unconfirmed" | "canceled", (0, 0 | 1)) if job.unwanted => {}
            (_, papers) => panic!("{name} is {end} and on paper {papers:?}:\n{}", whole_story(rig, name)),
        }
    }
}

/// How often a job is on paper as a whole, and in part.
fn papers(rig: &Rig, name: &str) -> (usize, usize) {
    let job = &rig.jobs[name];
    let printed = rig.printed();
    let ours = printed.iter().filter(|printed| printed.sha256 == job.sha256 || printed.job_name.ends_with(name));
    let (whole, part): (Vec<_>, Vec<_>) = ours.partition(|printed| printed.outcome == Outcome::Completed);
    for printed in whole.iter().chain(&part) {
        assert_eq!(printed.sha256, job.sha256, "{name}: another document under its name");
        assert_eq!(printed.printer, job.printer, "{name}: on another printer");
    }
    (whole.len(), part.len())
}

fn story(told: &[&Status]) -> String {
    let line =
        |status: &&Status| format!("  {} {} attempt {} {}", status.seq, status.status, status.attempt, status.detail);
    told.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// All that is known about a job.
pub fn whole_story(rig: &Rig, name: &str) -> String {
    let told: Vec<&Status> = rig.statuses.iter().filter(|status| status.job == name).collect();
    let papers: Vec<String> = rig
        .printed()
        .iter()
        .filter(|printed| printed.job_name.ends_with(name))
        .map(|printed| format!("  on paper: {printed:?}"))
        .collect();
    format!("{}\n{}", story(&told), papers.join("\n"))
}
