//! What the control socket answers, as types that both sides share. Keys are camelCase; times are RFC 3339 in UTC.

use crate::cloud::wire::{Configuration, PrinterCounts};
use crate::domain::outbox::Progress;
use crate::domain::registry::{Duplicate, Join};
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
    pub cloud: Progress,
    /// The configuration.
    pub config: Configuration,
    /// Printers by what is known of them.
    pub printers: PrinterCounts,
    /// Jobs by state.
    pub jobs: BTreeMap<String, u64>,
    /// What waits for the cloud.
    pub outbox: OutboxTotals,
    /// The search for printers.
    #[serde(default)]
    pub discovery: Discovery,
}

/// The search for printers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Discovery {
    /// What is heard over mDNS; absent where it is not listened to.
    pub mdns: Option<Mdns>,
    /// The SNMP sweep; absent where no network is swept.
    pub sweep: Option<Sweep>,
    /// Entries of the list of printers.
    pub listed: u64,
    /// Devices that wait until it is known who they are.
    pub quarantined: u64,
    /// Printers that wait for approval.
    pub pending: u64,
    /// Printers that an administrator ignores or retired.
    pub put_away: u64,
    /// Sightings that were not taken since the start.
    pub refused: u64,
    /// Pairs of printers that may be one.
    pub duplicates: u64,
}

/// mDNS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mdns {
    /// `starting`, `searching` or `failed`.
    pub health: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// Services known now.
    pub instances: u64,
    /// Services resolved, each time.
    pub resolved: u64,
    /// Sightings reported.
    pub reported: u64,
    /// Services left out because too many are announced.
    pub overflow: u64,
    /// Starts of the engine.
    pub starts: u64,
    /// Announcements that became no sighting, by reason.
    pub ignored: BTreeMap<String, u64>,
}

/// The SNMP sweep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sweep {
    /// `sweeping` or `resting`.
    pub state: String,
    /// Networks that are swept.
    pub networks: Vec<String>,
    /// Which pass it is, from 1.
    pub pass: u64,
    /// Of how many, as far as is known.
    pub passes: u64,
    /// Addresses asked in this pass.
    pub asked: u64,
    /// Addresses to ask.
    pub addresses: u64,
    /// Agents that answered.
    pub answered: u64,
    /// Printers among them.
    pub printers: u64,
    /// Agents that are no printers.
    pub not_printers: u64,
    /// Agents that take none of the logins.
    pub no_login: u64,
    /// Requests a second, as they may go now.
    pub rate: u64,
    /// Sweeps done.
    pub sweeps: u64,
    /// Seconds until this sweep is done, estimated.
    pub seconds_left: Option<u64>,
    /// When the next one begins.
    pub next: Option<Timestamp>,
    /// Why the last one was not done, or what of it was left out.
    pub trouble: Option<String>,
    /// Datagrams that were ignored, by reason.
    pub ignored: BTreeMap<String, u64>,
}

/// Printers that an administrator put away, and devices that were never taken in because of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllPutAway {
    /// By id.
    pub put_away: Vec<PutAway>,
}

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PutAway {
    /// Its id, or the one that it would have.
    pub id: String,
    /// `ignored` or `retired`.
    pub why: String,
    /// Its name; empty where nothing was seen of it since the start.
    pub name: String,
    /// Maker and model.
    pub make_and_model: String,
    /// Serial number.
    pub serial: Option<String>,
    /// `printer-uuid`.
    pub uuid: Option<String>,
    /// Addresses of its network cards.
    pub macs: Vec<String>,
    /// Where it was seen.
    pub addresses: Vec<String>,
}

/// Printers that may be one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Duplicates {
    /// Pairs.
    pub duplicates: Vec<Duplicate>,
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
    /// `adopted`, or `pending`: it waits for approval.
    #[serde(default)]
    pub standing: String,
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
    /// Addresses of its network cards.
    #[serde(default)]
    pub macs: Vec<String>,
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

/// Why a printer is who it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `adopted`, `pending`, `ignored` or `retired`.
    pub standing: String,
    /// Why what belongs to it belongs to it, oldest first.
    pub joins: Vec<Join>,
    /// Everything by which it was ever known.
    pub known: Known,
    /// Where it was seen.
    pub places: Vec<Place>,
    /// Printers that may be this one.
    pub duplicates: Vec<Duplicate>,
}

/// Everything by which a printer was ever known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// Its id, and those merged into it.
    pub ids: Vec<String>,
    /// Serial numbers.
    pub serials: Vec<String>,
    /// UUIDs.
    pub uuids: Vec<String>,
    /// Addresses of its network cards.
    pub macs: Vec<String>,
    /// Host names.
    pub hosts: Vec<String>,
    /// Network addresses.
    pub addresses: Vec<String>,
}

/// Where a printer was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// How its source names it.
    pub key: String,
    /// `mdns`, `snmp`, `list`.
    pub source: String,
    /// The URI.
    pub uri: String,
    /// Host name.
    pub host: String,
    /// Addresses.
    pub addresses: Vec<String>,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// No longer announced.
    pub lost: bool,
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
    pub cloud: Progress,
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
