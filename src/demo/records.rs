//! What is read out of the messages that the cloud heard.

use super::cloud::{Cloud, Heard};
use super::{DEADLINE, THING, Unmet};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Statuses after which nothing follows by itself.
const ENDS: [&str; 6] = ["completed", "canceled", "aborted", "rejected", "expired", "unconfirmed"];

/// One status of a job as the cloud keeps it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Told {
    pub(super) seq: u64,
    pub(super) status: String,
    pub(super) at: Timestamp,
}

pub(super) fn of_job<'h>(heard: &'h [Heard], job: &'h str) -> impl Iterator<Item = &'h Heard> {
    heard.iter().filter(move |h| h.topic.ends_with("/print/status") && h.text("jobId") == job)
}

/// A job's statuses in the order in which they arrived first, deduplicated by id.
pub(super) fn statuses(heard: &[Heard], job: &str) -> Vec<Told> {
    let mut ids = BTreeSet::new();
    of_job(heard, job)
        .filter(|h| ids.insert(h.text("id").to_owned()))
        .filter_map(|h| {
            let seq = h.body.get("seq")?.as_u64()?;
            Some(Told { seq, status: h.text("status").to_owned(), at: h.at()? })
        })
        .collect()
}

/// Waits until the job is completed, and checks that its statuses came in order, each once, none left out.
pub(super) async fn completed(cloud: &Cloud, job: &str) -> Result<Vec<Told>, Unmet> {
    let what = format!("a final status of {job}");
    let path = cloud.wait(DEADLINE, &what, |heard| {
        let path = statuses(heard, job);
        path.iter().any(|told| ENDS.contains(&told.status.as_str())).then_some(path)
    });
    let path = path.await?;
    let in_order = path.iter().zip(1..).all(|(told, seq)| told.seq == seq);
    if !in_order {
        return Err(Unmet(format!("statuses of {job} with seq 1, 2, 3 …, each once, not {}", way(&path))));
    }
    match path.last() {
        Some(last) if last.status == "completed" => Ok(path),
        _ => {
            let heard = cloud.heard();
            let error = of_job(&heard, job).last().and_then(|h| h.body.get("error")).map(plain).unwrap_or_default();
            Err(Unmet(format!("{job} completed, not {} {error}", way(&path))))
        }
    }
}

/// `1 accepted, 2 fetching, …`
pub(super) fn way(path: &[Told]) -> String {
    path.iter().map(|told| format!("{} {}", told.seq, told.status)).collect::<Vec<_>>().join(", ")
}

/// What happened during the outage and arrived after it.
#[derive(Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    pub(super) job_statuses: usize,
    pub(super) printer_statuses: usize,
    pub(super) events: usize,
    pub(super) telemetry_records: usize,
    /// Copies beyond the first of any message.
    pub(super) duplicates: usize,
}

impl Kept {
    pub(super) fn count(heard: &[Heard], cut: Timestamp, restored: Timestamp) -> Kept {
        let mut kept = Kept::default();
        let mut ids = BTreeSet::new();
        let within = |at: Option<Timestamp>| at.is_some_and(|at| cut <= at && at <= restored);
        for message in heard.iter().filter(|h| h.topic.starts_with("printers/")) {
            let id = message.text("id");
            if id.is_empty() {
                continue;
            }
            if !ids.insert(id.to_owned()) {
                kept.duplicates += 1;
                continue;
            }
            let leaf = message.topic.rsplit('/').next().unwrap_or_default();
            if leaf == "telemetry" {
                let records =
                    message.body.get("records").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let at = |record: &Value| record.get("at").and_then(Value::as_str).and_then(|at| at.parse().ok());
                kept.telemetry_records += records.iter().filter(|record| within(at(record))).count();
            } else if within(message.at()) {
                match leaf {
                    _ if message.topic.ends_with("/print/status") => kept.job_statuses += 1,
                    "status" => kept.printer_statuses += 1,
                    "event" => kept.events += 1,
                    _ => {}
                }
            }
        }
        kept
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.job_statuses, "job status", "job statuses"),
            (self.printer_statuses, "printer status", "printer statuses"),
            (self.events, "event", "events"),
            (self.telemetry_records, "telemetry record", "telemetry records"),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(n, _, _)| *n > 0)
            .map(|(n, one, many)| format!("{n} {}", if n == 1 { one } else { many }))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

pub(super) fn is_alert(message: &Heard, printer: &str, code: &str, raised: bool) -> bool {
    message.topic == format!("printers/{THING}/{printer}/event")
        && message.text("code") == code
        && message.body.get("raised") == Some(&json!(raised))
}

/// Hour, minute and second of what a message tells.
pub(super) fn clock(message: &Heard) -> String {
    message.at().map(|at| at.strftime("%H:%M:%S UTC").to_string()).unwrap_or_default()
}

/// A value as people read it: texts without quotes.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether the gateway's last word to the cloud is that it stops.
pub(super) async fn heard_stopping(cloud: &Cloud, within: Duration) -> bool {
    let topic = format!("printers/{THING}/status");
    let last = |heard: &[Heard]| {
        let last = heard.iter().rev().find(|h| h.topic == topic)?;
        (last.text("event") == "stopping").then_some(())
    };
    cloud.wait(within, "the status `stopping`", last).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(topic: &str, body: Value) -> Heard {
        Heard { topic: topic.to_owned(), body }
    }

    fn status(id: &str, seq: u64, status: &str, at: &str) -> Heard {
        let body = json!({"id": id, "jobId": "j", "seq": seq, "status": status, "at": at});
        heard("printers/demo-gateway/p/print/status", body)
    }

    #[test]
    fn statuses_are_deduplicated_by_id_and_keep_the_order_of_arrival() {
        let first = "2026-11-20T12:00:01Z";
        let all =
            [status("a", 1, "accepted", first), status("c", 3, "ready", first), status("a", 1, "accepted", first)];
        assert_eq!(way(&statuses(&all, "j")), "1 accepted, 3 ready");
        assert_eq!(statuses(&all, "k"), vec![]);
    }

    #[test]
    fn only_what_happened_during_the_outage_counts_as_kept() {
        let (before, within, after) = ("2026-11-20T12:00:00Z", "2026-11-20T12:00:02Z", "2026-11-20T12:00:09Z");
        let telemetry = json!({"id": "t", "at": after, "records": [{"at": before}, {"at": within}]});
        let all = [
            status("a", 1, "accepted", before),
            status("b", 2, "ready", within),
            status("b", 2, "ready", within),
            heard("printers/demo-gateway/p/event", json!({"id": "e", "at": within})),
            heard("printers/demo-gateway/p/status", json!({"id": "s", "at": after})),
            heard("printers/demo-gateway/telemetry", telemetry),
            heard("$aws/things/demo-gateway/shadow/name/p/update/accepted", json!({"id": "x", "at": within})),
        ];
        let kept = Kept::count(&all, "2026-11-20T12:00:01Z".parse().unwrap(), "2026-11-20T12:00:05Z".parse().unwrap());
        assert_eq!(kept.to_string(), "1 job status, 1 event, 1 telemetry record");
        assert_eq!(kept.duplicates, 1);
    }
}
