//! What the control socket answers, as types that both sides share. Keys are camelCase; times are RFC 3339 in UTC.

use crate::domain::state::{Counters, Source, Supply, Tray};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The gateway at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its thing name.
    pub gateway: String,
    /// Version of the program.
    pub version: String,
    /// New after a lost job book.
    pub epoch: String,
    /// When the process started.
    pub started_at: Timestamp,
    /// `starting` until everything runs, then `running`.
    pub state: String,
    /// The way to the cloud.
    pub cloud: Cloud,
    /// The configuration.
    pub config: Config,
    /// Printers by what is known of them.
    pub printers: PrinterCounts,
    /// Jobs by state.
    pub jobs: BTreeMap<String, u64>,
    /// What waits for the cloud.
    pub outbox: OutboxTotals,
}

/// The way to the cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cloud {
    /// The nucleus is connected and took our subscriptions. Whether the cloud hears us, only `heardAt` tells.
    pub linked: bool,
    /// When the cloud's side was last heard.
    pub heard_at: Option<Timestamp>,
    /// Messages on their way.
    pub on_their_way: usize,
    /// How many may be on their way at once.
    pub window: usize,
    /// Shadow updates on their way.
    pub shadows_on_their_way: usize,
    /// Messages a second at most.
    pub messages_per_second: u32,
    /// Messages confirmed by their echo since the start.
    pub confirmed: u64,
    /// Messages sent again since the start.
    pub resent: u64,
    /// Echoes that were none.
    pub forged: u64,
    /// Commands dropped because the job book did not keep up.
    pub dropped_commands: u64,
}

/// The configuration in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The deployed one is in force; otherwise the last good one is.
    pub valid: bool,
    /// Why it is not.
    pub errors: Vec<String>,
}

/// Printers by what is known of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrinterCounts {
    /// All.
    pub known: u64,
    /// They answer.
    pub online: u64,
    /// They do not.
    pub offline: u64,
    /// Not asked yet, or not answered just now.
    pub unknown: u64,
}

/// What waits for the cloud, summed up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxTotals {
    /// Messages and records.
    pub depth: u64,
    /// Octets of payload.
    pub bytes: u64,
    /// When the oldest was stored.
    pub oldest: Option<Timestamp>,
    /// Set aside: sending them again would not help.
    pub wedged: u64,
    /// Given up for want of room since the database was made.
    pub dropped: u64,
    /// Shadows whose update waits.
    pub shadows: u64,
}

/// One printer in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Printer {
    /// Its id.
    pub id: String,
    /// The name a person sees.
    pub name: String,
    /// Maker and model.
    pub make_and_model: String,
    /// Where it stands.
    pub location: Option<String>,
    /// `idle`, `processing`, `stopped`, `offline` or `unknown`.
    pub status: String,
    /// Whether it is taken to answer.
    pub online: bool,
    /// `OK` or the keyword of what is wrong.
    pub error_code: String,
    /// `printer-state-reasons`.
    pub reasons: Vec<String>,
    /// How it is printed to, in the order to try.
    pub endpoints: Vec<Endpoint>,
    /// When it was last observed.
    pub observed_at: Option<Timestamp>,
    /// Ids that lead to it too.
    pub aliases: Vec<String>,
}

/// One way to print to a printer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `ipps`, `ipp`, `appsocket` or `lpd`.
    pub kind: String,
    /// Its URI.
    pub uri: String,
    /// The addresses that are connected.
    pub addresses: Vec<String>,
    /// SHA-256 of the certificate trusted there, hex.
    pub pin: Option<String>,
}

/// Everything known of one printer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrinterDetail {
    /// As in the list.
    #[serde(flatten)]
    pub printer: Printer,
    /// Serial number.
    pub serial: Option<String>,
    /// `printer-uuid`.
    pub uuid: Option<String>,
    /// Network card address.
    pub mac: Option<String>,
    /// Firmware version.
    pub firmware: Option<String>,
    /// When it got its id.
    pub first_seen: Option<Timestamp>,
    /// `ok`, `low`, `empty`, `jam` or `unknown`.
    pub paper_status: String,
    /// Supplies.
    pub supplies: Vec<Supply>,
    /// Input trays.
    pub trays: Vec<Tray>,
    /// Page counters.
    pub counters: Counters,
    /// Document formats it takes.
    pub formats: Vec<String>,
    /// Which protocol said it, by the name of the field.
    #[serde(default)]
    pub sources: BTreeMap<String, Source>,
    /// Its latest jobs, newest first.
    pub jobs: Vec<Job>,
}

/// One job in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// `jobId`.
    pub id: String,
    /// Where it prints.
    pub printer: String,
    /// Its state's name.
    pub state: String,
    /// Not started until released.
    pub held: bool,
    /// Title from the ticket.
    pub title: Option<String>,
    /// User from the ticket.
    pub user: Option<String>,
    /// Number of the latest attempt.
    pub attempt: u32,
    /// Why it waits or how it ended.
    pub reasons: Vec<String>,
    /// One line for a person.
    pub detail: Option<String>,
    /// When it entered the book.
    pub accepted_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Not started after this.
    pub expires_at: Timestamp,
    /// Octets of the document.
    pub bytes: Option<u64>,
    /// `job-id` at the printer.
    pub printer_job_id: Option<i32>,
    /// Pages asked for, reported, counted.
    pub pages: Value,
    /// Why it failed: `code`, `field`, `message`.
    pub error: Option<Value>,
}

/// One job and what became of it when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDetail {
    /// As in the list.
    #[serde(flatten)]
    pub job: Job,
    /// Its statuses, oldest first.
    pub history: Vec<Transition>,
}

/// One status of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// From 1.
    pub seq: u32,
    /// When.
    pub at: String,
    /// The state's name.
    pub state: String,
    /// One line for a person.
    pub detail: Option<String>,
}

/// What waits for the cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outbox {
    /// Sums.
    #[serde(flatten)]
    pub totals: OutboxTotals,
    /// The way to the cloud.
    pub cloud: Cloud,
    /// By class: `job`, `event`, `status`, `telemetry`, `gateway`.
    pub classes: BTreeMap<String, ClassDepth>,
    /// What is set aside, oldest first, at most 100.
    pub wedged_messages: Vec<Wedged>,
}

/// What waits of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassDepth {
    /// Messages or records.
    pub depth: u64,
    /// Octets of payload.
    pub bytes: u64,
    /// When the oldest was stored.
    pub oldest: Option<Timestamp>,
    /// Set aside.
    pub wedged: u64,
}

/// A message that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wedged {
    /// The payload's `id`.
    pub id: String,
    /// Where it would go.
    pub topic: String,
    /// Its job, or its class.
    pub about: Option<String>,
    /// Octets of payload.
    pub bytes: u64,
    /// When it was stored.
    pub at: Option<Timestamp>,
    /// Why it is set aside.
    pub why: String,
}
