//! What the gateway tells: bodies of [`Message`](super::Message).

use crate::domain::ids::{JobId, PrinterId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One job transition (`…/{printer}/print/status`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobReport {
    /// The printer as the submitter wrote it: a rejected ticket may name one that does not exist.
    pub printer: String,
    /// The job. Text, not `JobId`: a rejected ticket's own name for itself may be no valid one.
    pub job_id: String,
    /// Number of this report within its job, from 1 without gaps.
    pub seq: u64,
    /// Which attempt at printing it is about; 0 before the first.
    pub attempt: u32,
    /// The state entered.
    pub status: JobStatus,
    /// Whether the job is held.
    pub held: bool,
    /// Keywords that say why (`job-state-reasons`, `printer-state-reasons`, our own).
    #[serde(default)]
    pub reasons: Vec<String>,
    /// One sentence for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Page figures, where any is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<Pages>,
    /// Document bytes handed to the printer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// `job-id` at the printer (RFC 8011 §5.3.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printer_job_id: Option<i32>,
    /// What went wrong, in aborted, rejected and refused commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobError>,
}

/// The states of a job; DESIGN's names in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// The ticket is durable.
    Accepted,
    /// The document is being fetched.
    Fetching,
    /// The document is spooled and checked; waits for the printer.
    Ready,
    /// An attempt has begun: bytes may be under way.
    Sending,
    /// The printer has the whole document.
    Printing,
    /// A cancel is under way.
    Canceling,
    /// Parked: whether it printed is not known.
    Unconfirmed,
    /// Printed.
    Completed,
    /// Ended by a person.
    Canceled,
    /// Ended by an error.
    Aborted,
    /// Never accepted.
    Rejected,
    /// Its time ran out before the first byte.
    Expired,
}

impl JobStatus {
    /// Every state in the order of a job's way.
    pub const ALL: [JobStatus; 12] = [
        Self::Accepted,
        Self::Fetching,
        Self::Ready,
        Self::Sending,
        Self::Printing,
        Self::Canceling,
        Self::Unconfirmed,
        Self::Completed,
        Self::Canceled,
        Self::Aborted,
        Self::Rejected,
        Self::Expired,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Fetching => "fetching",
            Self::Ready => "ready",
            Self::Sending => "sending",
            Self::Printing => "printing",
            Self::Canceling => "canceling",
            Self::Unconfirmed => "unconfirmed",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
            Self::Aborted => "aborted",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }

    /// The state of a name on the wire.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled | Self::Aborted | Self::Rejected | Self::Expired)
    }
}

impl std::fmt::Display for JobStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Page figures of a job, each with its own source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pages {
    /// Pages of the document times copies, as asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<u64>,
    /// `job-impressions-completed` or `job-media-sheets-completed`, as the printer says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<u64>,
    /// Difference of the printer's page counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<u64>,
}

/// What went wrong with a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobError {
    /// A keyword for machines (`jobid-conflict`, `hash-mismatch`).
    pub code: String,
    /// The path of the wrong field in the ticket (`document.url`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// A sentence for a person.
    pub message: String,
}

/// A printer's status, sent on change (`…/{printer}/status`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrinterReport {
    /// The printer.
    pub printer: PrinterId,
    /// Whether it answers.
    pub online: bool,
    /// `idle`, `processing`, `stopped`, `offline` or `unknown`.
    pub status: String,
    /// `OK`, or the most severe reason's keyword without its suffix.
    pub error_code: String,
    /// `printer-state-reasons` as the device says them.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Percent by colour, only where known.
    #[serde(default)]
    pub ink_level: BTreeMap<String, u8>,
    /// `ok`, `low`, `empty` or `unknown`.
    pub paper_status: String,
}

/// An alert raised or cleared (`…/{printer}/event`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventReport {
    /// The printer.
    pub printer: PrinterId,
    /// The same for an alert's raising and its clearing.
    pub event_id: String,
    /// How severe.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// A keyword (`media-empty`, `possible-duplicate`).
    pub code: String,
    /// A sentence for a person.
    pub message: String,
    /// A measured value that belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// True when raised, false when cleared.
    pub raised: bool,
    /// What it was concluded from.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub evidence: Map<String, Value>,
}

/// How severe an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// Needs attention now: nothing prints.
    Error,
    /// Needs attention soon.
    Warning,
    /// For the record.
    Info,
    /// About the gateway's own work.
    Diagnostic,
}

/// A batch of telemetry (`…/telemetry`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Telemetry {
    /// In the order of their time, at least one.
    pub records: Vec<TelemetryRecord>,
}

/// What one printer looked like at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TelemetryRecord {
    /// The printer.
    pub printer: PrinterId,
    /// When it was observed.
    pub at: Timestamp,
    /// `idle`, `processing`, `stopped`, `offline` or `unknown`.
    pub status: String,
    /// Pages over the printer's life, where said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<i64>,
    /// Which counter `pages` is: `impressions`, `pages` or `sheets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_source: Option<String>,
    /// Level of each supply: percent, `some-remaining` or `unknown`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub supplies: Map<String, Value>,
    /// Jobs in the printer's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<i64>,
}

/// Divides records into batches that each fit one message with its envelope, in order. A record that fits no message
/// by itself (it cannot be made by this crate: supplies are bounded) stands alone and `encode` refuses it.
pub fn telemetry_batches(records: Vec<TelemetryRecord>) -> Vec<Telemetry> {
    // Envelope: id 26, at ≤ 30, gateway ≤ 128, keys and punctuation.
    const ENVELOPE: usize = 260;
    let mut batches: Vec<Telemetry> = Vec::new();
    let mut room = 0usize;
    for record in records {
        let bytes = serde_json::to_vec(&record).map_or(super::MAX_MESSAGE_BYTES, |v| v.len()) + 1;
        match batches.last_mut() {
            Some(batch) if bytes <= room => {
                room -= bytes;
                batch.records.push(record);
            }
            _ => {
                room = (super::MAX_MESSAGE_BYTES - ENVELOPE).saturating_sub(bytes);
                batches.push(Telemetry { records: vec![record] });
            }
        }
    }
    batches
}

/// The gateway's own status (`…/status`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayReport {
    /// Why it is sent.
    pub event: GatewayEvent,
    /// The gateway's version.
    pub version: String,
    /// New after a lost database.
    pub epoch: String,
    /// How many printers.
    pub printers: PrinterCounts,
    /// How many jobs in each state that has any.
    #[serde(default)]
    pub jobs: BTreeMap<JobStatus, u64>,
    /// What waits for the cloud.
    pub outbox: OutboxState,
    /// Printers that the cloud cannot reach or is not told of, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unserved: Option<UnservedPrinters>,
    /// Whether the deployed configuration is in force.
    pub config: Configuration,
}

/// Printers that the cloud cannot reach or is not told of: no subscription is left or allowed for them, or the service
/// refuses their shadows. What waits for them is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnservedPrinters {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub printers: Vec<UnservedPrinter>,
}

/// One printer that the cloud cannot reach or is not told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnservedPrinter {
    /// The printer's id, or another name that leads to it.
    pub printer: String,
    /// Why, and what helps.
    pub reason: String,
}

/// Why a gateway status is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GatewayEvent {
    /// The link is there again, or for the first time.
    Online,
    /// Something in it changed.
    Change,
    /// Every 6 h.
    Periodic,
    /// The gateway stops in an orderly way.
    Stopping,
}

/// How many printers the gateway knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrinterCounts {
    /// All with an id.
    pub known: u64,
    /// Of these, those that answer.
    pub online: u64,
    /// Of these, those that are offline.
    pub offline: u64,
    /// Of these, those of which it is not known.
    pub unknown: u64,
    /// Of these, those that wait for approval.
    #[serde(default)]
    pub pending: u64,
}

/// What waits for the cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutboxState {
    /// Messages.
    pub depth: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Time of the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// Messages given up since the database was made, because a documented limit said so.
    pub dropped: u64,
}

/// Whether the deployed configuration is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// False: the last valid one, or the defaults, are in force.
    pub valid: bool,
    /// All errors, each with its path.
    #[serde(default)]
    pub errors: Vec<String>,
}

impl JobReport {
    /// A report without figures, reasons or error; `seq` and `attempt` as given.
    pub fn new(printer: impl Into<String>, job_id: &JobId, seq: u64, attempt: u32, status: JobStatus) -> Self {
        Self {
            printer: printer.into(),
            job_id: job_id.to_string(),
            seq,
            attempt,
            status,
            held: false,
            reasons: Vec::new(),
            detail: None,
            pages: None,
            bytes: None,
            printer_job_id: None,
            error: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::wire::{Message, encode};
    use crate::domain::ids::{GatewayName, MessageId};

    #[test]
    fn every_status_has_one_name_for_serde_and_for_us() {
        for status in JobStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(JobStatus::from_wire(status.as_str()), Some(status));
        }
        assert_eq!(JobStatus::from_wire("Completed"), None);
    }

    #[test]
    fn telemetry_is_divided_so_that_every_batch_fits_and_nothing_is_lost_or_reordered() {
        let record = |n: i64| TelemetryRecord {
            printer: PrinterId::new("hp-7k2m9q4xwp").unwrap(),
            at: Timestamp::from_second(1_800_000_000 + n).unwrap(),
            status: "idle".into(),
            pages: Some(n),
            pages_source: Some("impressions".into()),
            supplies: (0..n % 7).map(|i| (format!("supply-{i}"), 50.into())).collect(),
            queued: None,
        };
        let records: Vec<_> = (0..200).map(record).collect();
        let batches = telemetry_batches(records.clone());
        assert!(batches.len() > 1 && batches.len() < 20, "{}", batches.len());
        for batch in &batches {
            let gateway = GatewayName::new("g".repeat(128)).unwrap();
            let at = "2026-11-20T12:00:00.123456789Z".parse().unwrap();
            let message = Message::new(MessageId::from_random([1; 16]), at, gateway, batch.clone());
            assert!(encode("telemetry", &message).is_ok());
        }
        assert_eq!(batches.into_iter().flat_map(|b| b.records).collect::<Vec<_>>(), records);
    }
}
