//! What the cloud is told of a printer: status, events, telemetry. Each is told when it changed, once.
//!
//! The [`Book`] keeps what was told and is stored with the printer, in the transaction that stores the records: after a
//! crash nothing is told twice and nothing is left out.
//!
//! An alert is raised when its keyword appears among the reasons and cleared when it is gone; both carry one event id.
//! A change of severity raises it again under the same id. While a printer does not answer, its alerts stay as they
//! were; `offline` is an alert of its own.

use super::Gone;
use crate::cloud::wire::{EventKind, EventReport, PrinterReport, TelemetryRecord};
use crate::domain::ids::{PrinterId, base32_lower};
use crate::domain::state::{PrinterState, Severity, Status, alerts};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Telemetry is sent this often even when nothing changed.
pub const TELEMETRY_HEARTBEAT: SignedDuration = SignedDuration::from_hours(6);

/// A printer that changes all the time (it prints) has no more telemetry than this.
const TELEMETRY_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// Alerts of one printer at a time; more are not told.
const MAX_ALERTS: usize = 32;

/// The alert of a printer that answers SNMP, but no longer IPP.
const IPP_LOST: &str = "ipp-not-answering";

/// Reasons in a status message.
const MAX_REASONS: usize = 16;

/// The longest text in a record, in bytes.
const TEXT_BYTES: usize = 160;

/// A message to the cloud without its envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When it happened.
    pub at: Timestamp,
    /// The printer.
    pub printer: PrinterId,
    /// What is told.
    pub body: RecordBody,
}

/// What a record tells.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordBody {
    /// For the printer's `status` topic.
    Status(PrinterReport),
    /// For the printer's `event` topic.
    Event(EventReport),
    /// For a batch on the gateway's `telemetry` topic.
    Telemetry(TelemetryRecord),
}

/// What the cloud has been told of a printer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// The last status.
    status: Option<PrinterReport>,
    /// The last telemetry.
    telemetry: Option<TelemetryRecord>,
    /// The alerts raised, by code.
    raised: BTreeMap<String, Raised>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Raised {
    event_id: String,
    kind: EventKind,
}

impl Book {
    /// The records that tell what is new in `state`; they count as told from now on.
    pub(super) fn tell(&mut self, id: &PrinterId, name: &str, state: &PrinterState, now: Timestamp) -> Vec<Record> {
        let mut bodies = Vec::new();
        let status = status(id, state);
        if self.status.as_ref() != Some(&status) {
            self.status = Some(status.clone());
            bodies.push(RecordBody::Status(status));
        }
        self.tell_alerts(id, name, state, now, &mut bodies);
        if let Some(record) = self.telemetry(id, state, now) {
            self.telemetry = Some(record.clone());
            bodies.push(RecordBody::Telemetry(record));
        }
        bodies.into_iter().map(|body| Record { at: now, printer: id.clone(), body }).collect()
    }

    /// Whether nothing was told yet.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// When telemetry is due although nothing changed.
    pub(super) fn heartbeat_due(&self, now: Timestamp) -> bool {
        self.telemetry.as_ref().is_some_and(|t| now.duration_since(t.at).abs() >= TELEMETRY_HEARTBEAT)
    }

    fn tell_alerts(
        &mut self,
        id: &PrinterId,
        name: &str,
        state: &PrinterState,
        now: Timestamp,
        bodies: &mut Vec<RecordBody>,
    ) {
        let mut current: BTreeMap<String, (EventKind, String)> = alerts(&state.reasons())
            .into_iter()
            .take(MAX_ALERTS)
            .map(|(code, alert)| {
                let kind = match alert.severity {
                    Severity::Error => EventKind::Error,
                    Severity::Warning => EventKind::Warning,
                    Severity::Info => EventKind::Info,
                };
                (clip(&code), (kind, clip(&alert.reason)))
            })
            .collect();
        if state.status() == Status::Offline {
            let why = state.failure().map(clip).unwrap_or_default();
            current.insert("offline".into(), (EventKind::Warning, why));
        }
        if state.is_ipp_lost() {
            let why = state.ipp.failure.as_deref().map(clip).unwrap_or_default();
            current.insert(IPP_LOST.into(), (EventKind::Warning, why));
        }

        let gone: Vec<String> = self.raised.keys().filter(|code| !current.contains_key(*code)).cloned().collect();
        for code in gone {
            if let Some(raised) = self.raised.remove(&code) {
                let message = format!("{}: {} is over", clip(name), words(&code));
                bodies.push(event(id, raised.event_id, raised.kind, code, message, false, Map::new()));
            }
        }
        for (code, (kind, evidence)) in current {
            if self.raised.get(&code).is_some_and(|r| r.kind == kind) {
                continue;
            }
            let known = self.raised.get(&code).map(|r| r.event_id.clone());
            let event_id = known.unwrap_or_else(|| event_id(id, &code, now));
            self.raised.insert(code.clone(), Raised { event_id: event_id.clone(), kind });
            let message = format!("{}: {}", clip(name), words(&code));
            let field = if code == "offline" || code == IPP_LOST { "failure" } else { "reason" };
            let evidence = Map::from_iter([(field.to_owned(), Value::from(evidence))]);
            bodies.push(event(id, event_id, kind, code, message, true, evidence));
        }
    }

    /// A record when something in it changed or the heartbeat is due. The time, and the queue's length by itself, are
    /// no change; a printer that never answered has no telemetry.
    fn telemetry(&self, id: &PrinterId, state: &PrinterState, now: Timestamp) -> Option<TelemetryRecord> {
        state.observed_at()?;
        let pages = state.pages();
        let record = TelemetryRecord {
            printer: id.clone(),
            at: now,
            status: state.status().as_str().to_owned(),
            pages: pages.map(|(n, _)| n),
            pages_source: pages.map(|(_, source)| source.to_owned()),
            supplies: state.supply_levels().into_iter().take(32).map(|(k, v)| (clip(&k), v)).collect(),
            queued: state.picture().queued_jobs.map(|(jobs, _)| jobs),
        };
        let same = |t: &TelemetryRecord| TelemetryRecord { at: now, queued: record.queued, ..t.clone() } == record;
        let told = self.telemetry.as_ref().is_some_and(same);
        let paused = |t: &TelemetryRecord| now.duration_since(t.at).abs() < TELEMETRY_PAUSE;
        let pause = self.telemetry.as_ref().is_some_and(paused);
        ((!told && !pause) || self.heartbeat_due(now)).then_some(record)
    }
}

/// A printer was found and has its id.
pub(super) fn adopted(id: &PrinterId, name: &str, now: Timestamp) -> Record {
    one_shot(id, "printer-adopted", EventKind::Info, format!("{}: found", clip(name)), Map::new(), now)
}

/// A printer was found and waits for approval.
pub(super) fn pending(id: &PrinterId, name: &str, now: Timestamp) -> Record {
    let message = format!("{}: waits for approval: config.approved in its shadow, or printers.approved", clip(name));
    one_shot(id, "printer-pending", EventKind::Info, message, Map::new(), now)
}

/// A printer was put away by an administrator's decision.
pub(super) fn dropped(id: &PrinterId, why: Gone, now: Timestamp) -> Record {
    let (code, message) = match why {
        Gone::Retired => ("printer-retired", format!("{id} is retired: it is forgotten, and takes no jobs")),
        _ => ("printer-ignored", format!("{id} is ignored by the configuration: it is forgotten, and takes no jobs")),
    };
    one_shot(id, code, EventKind::Info, message, Map::new(), now)
}

/// Two ids were one printer.
pub(super) fn merged(survivor: &PrinterId, absorbed: &PrinterId, now: Timestamp) -> Record {
    let message = format!("{absorbed} is the same printer as {survivor}: jobs for it go there from now on");
    let evidence = Map::from_iter([("absorbed".to_owned(), json!(absorbed))]);
    one_shot(survivor, "printer-merged", EventKind::Info, message, evidence, now)
}

/// The printer's certificate is another one.
pub(super) fn certificate_changed(id: &PrinterId, name: &str, uri: &str, new: &str, now: Timestamp) -> Record {
    let message = format!("{}: the TLS certificate changed; the new one is trusted from now on", clip(name));
    let evidence = Map::from_iter([("uri".to_owned(), clip(uri).into()), ("sha256".to_owned(), new.into())]);
    one_shot(id, "certificate-changed", EventKind::Warning, message, evidence, now)
}

/// An event that is never cleared.
fn one_shot(
    id: &PrinterId,
    code: &str,
    kind: EventKind,
    message: String,
    evidence: Map<String, Value>,
    now: Timestamp,
) -> Record {
    let body = event(id, event_id(id, code, now), kind, code.to_owned(), message, true, evidence);
    Record { at: now, printer: id.clone(), body }
}

fn event(
    id: &PrinterId,
    event_id: String,
    kind: EventKind,
    code: String,
    message: String,
    raised: bool,
    evidence: Map<String, Value>,
) -> RecordBody {
    RecordBody::Event(EventReport { printer: id.clone(), event_id, kind, code, message, value: None, raised, evidence })
}

fn status(id: &PrinterId, state: &PrinterState) -> PrinterReport {
    PrinterReport {
        printer: id.clone(),
        online: state.online(),
        status: state.status().as_str().to_owned(),
        error_code: clip(&state.error_code()),
        reasons: state.reasons().iter().take(MAX_REASONS).map(|r| clip(r)).collect(),
        ink_level: state.ink_level().into_iter().take(16).map(|(k, v)| (clip(&k), v)).collect(),
        paper_status: state.paper_status().as_str().to_owned(),
    }
}

/// 16 characters made of the printer, the code and the time of raising.
fn event_id(id: &PrinterId, code: &str, now: Timestamp) -> String {
    let digest = Sha256::digest(format!("{id}\n{code}\n{}", now.as_nanosecond()));
    base32_lower(&digest).chars().take(16).collect()
}

fn clip(text: &str) -> String {
    crate::cloud::wire::clip(text, TEXT_BYTES)
}

/// A keyword as words: `media-empty` is `media empty`.
fn words(code: &str) -> String {
    code.replace('-', " ")
}
