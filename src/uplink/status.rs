//! The gateway's own status: composed of what the store counts and what the rest of the gateway says.

use super::message_id;
use crate::cloud::wire::{
    self, Configuration, GatewayEvent, GatewayReport, JobStatus, OutboxState, PrinterCounts, Topics, UnservedPrinter,
    UnservedPrinters, clip,
};
use crate::domain::ids::GatewayName;
use crate::store::StoreError;
use crate::store::gateway::{Class, Commit, GatewayStore, Message};
use crate::store::jobs::JobStore;
use jiff::Timestamp;

/// Most configuration errors told, and octets of each: the whole message stays within its limit.
const ERRORS_MAX: usize = 12;
const ERROR_BYTES: usize = 160;
/// The same of printers that are not served.
const UNSERVED_MAX: usize = 5;
const REASON_BYTES: usize = 160;

/// What the status tells besides the store's figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GatewayFacts {
    /// Printers by what is known of them.
    pub printers: PrinterCounts,
    /// Whether the deployed configuration is in force.
    pub config: Configuration,
}

/// Puts a status into the outbox, in place of one that still waits there.
pub(super) async fn store(
    gateway: &GatewayName,
    topics: &Topics,
    jobs: &JobStore,
    store: &GatewayStore,
    facts: &GatewayFacts,
    unserved: &[(String, String)],
    event: GatewayEvent,
) -> Result<(), StoreError> {
    let now = Timestamp::now();
    let depth = jobs.depth().await? + store.depth().await?;
    let mut config = facts.config.clone();
    config.errors.truncate(ERRORS_MAX);
    config.errors.iter_mut().for_each(|error| *error = clip(error, ERROR_BYTES));
    let report = GatewayReport {
        event,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: jobs.epoch.clone(),
        printers: facts.printers,
        jobs: jobs
            .counts()
            .await?
            .into_iter()
            .filter_map(|(state, count)| Some((JobStatus::from_wire(&state)?, count)))
            .collect(),
        outbox: OutboxState {
            depth: depth.rows,
            bytes: depth.bytes,
            oldest: depth.oldest.and_then(|s| Timestamp::from_second(s).ok()),
            dropped: store.dropped().await?,
        },
        unserved: (!unserved.is_empty()).then(|| UnservedPrinters {
            count: unserved.len() as u64,
            printers: unserved.iter().take(UNSERVED_MAX).map(told).collect(),
        }),
        config,
    };
    let id = message_id();
    let document = wire::Message::new(id.clone(), now, gateway.clone(), report);
    match wire::encode("gateway status", &document) {
        Ok(payload) => {
            let message =
                Message { class: Class::Gateway, message: id.to_string(), topic: topics.gateway_status(), payload };
            store.commit(Commit { messages: vec![message], ..Commit::default() }, now).await.map(drop)
        }
        Err(error) => {
            tracing::error!(%error, "the gateway's status is not sent");
            Ok(())
        }
    }
}

fn told((printer, reason): &(String, String)) -> UnservedPrinter {
    UnservedPrinter { printer: clip(printer, 64), reason: clip(reason, REASON_BYTES) }
}
