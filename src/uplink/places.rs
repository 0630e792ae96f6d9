//! Subscriptions of single printers: who gets one, what is sent meanwhile, who is told of.

use super::{Uplink, message_id};
use crate::cloud::greengrass::Runtime;
use crate::cloud::wire::{self, Inbound};
use crate::domain::ids::PrinterId;
use crate::domain::outbox::{Failure, Message, Rows};
use crate::domain::subscriptions::{Standing, Wanted};
use crate::store::OutboxRow;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Printers with subscriptions of their own on nucleus lite, and all our subscriptions there: it holds about 98 for all
/// components.
pub(super) const LITE_PRINTERS: usize = 30;
const LITE_SUBSCRIPTIONS: usize = 94;
/// The same on nucleus classic, which opens another MQTT connection for each 50.
const CLASSIC_SUBSCRIPTIONS: usize = 500;
/// Probes of subscriptions on their way at once: they share the window with everything else.
const PROBES: usize = 2;

/// The printers there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Their ids.
    pub printers: Vec<PrinterId>,
    /// Ids of others that were merged into these: tickets may still come for them.
    pub aliases: Vec<PrinterId>,
}

/// Rows by what can be done with them now.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) send: Vec<OutboxRow>,
    /// Rows of printers whose subscription is not proved yet.
    pub(super) soon: Vec<i64>,
    /// Rows that cannot be confirmed, by the reason.
    pub(super) hold: BTreeMap<String, Vec<i64>>,
    /// Others may wait behind rows that cannot be sent.
    pub(super) more: bool,
}

impl Uplink {
    /// Gives out the subscriptions that this runtime has.
    pub(super) fn give_places(&mut self) {
        let names = self.parts.names.borrow_and_update().clone();
        let each = self.topics.filters_per_printer();
        let fixed = self.topics.filters().len();
        let places = match *self.runtime.borrow_and_update() {
            Runtime::Classic => CLASSIC_SUBSCRIPTIONS.saturating_sub(fixed) / each.max(1),
            Runtime::Lite | Runtime::Unknown => {
                LITE_PRINTERS.min(LITE_SUBSCRIPTIONS.saturating_sub(fixed) / each.max(1))
            }
        };
        let Some(subscriptions) = &mut self.subscriptions else { return };
        let wanted = |names: &[PrinterId]| -> Vec<Wanted> {
            let one = |id: &PrinterId| Wanted { name: id.to_string(), filters: self.topics.printer_filters(id) };
            names.iter().map(one).collect()
        };
        let given_up = subscriptions.give_places(wanted(&names.printers), wanted(&names.aliases), places);
        self.parts.link.keep_filters(subscriptions.filters());
        self.unserved_changed = true;
        self.withdraw(given_up);
    }

    /// One of our printers' filters is in, or missing.
    pub(super) fn filter_changed(&mut self, filter: &str, missing: Option<String>) {
        let Some(subscriptions) = &mut self.subscriptions else { return };
        let given_up = subscriptions.filter(filter, missing);
        self.unserved_changed = true;
        self.withdraw(given_up);
    }

    /// The echo of a printer's own message came: its subscription works, and what was held for it goes.
    pub(super) async fn heard_of(&mut self, printer: &str) {
        let Some(subscriptions) = &mut self.subscriptions else { return };
        if !self.topics.is_shared() || !subscriptions.heard(printer) {
            return;
        }
        self.unserved_changed = true;
        tracing::debug!(printer, "its subscription works");
        let prefix = self.topics.printer_prefix(printer);
        let released = match self.parts.jobs.release(&prefix).await {
            Ok(jobs) => self.parts.store.release(&prefix).await.map(|others| jobs + others),
            Err(error) => Err(error),
        };
        match released {
            Ok(0) => {}
            Ok(released) => tracing::info!(printer, released, "what was held for it goes out"),
            Err(error) => tracing::error!(%error, printer, "what was held for it stays until the next start"),
        }
    }

    /// Asks printers' subscriptions for their own echo, a few at a time.
    pub(super) fn probe_printers(&mut self, now: Timestamp) {
        let Some(subscriptions) = &mut self.subscriptions else { return };
        let most = PROBES.min(self.window.room());
        let (started, given_up) = subscriptions.probe(most, now, || message_id().to_string());
        self.unserved_changed |= !given_up.is_empty();
        self.withdraw(given_up);
        for (printer, id) in started {
            let Ok(id) = id.try_into() else { continue };
            let document = wire::Message::new(id, now, self.parts.gateway.clone(), wire::EchoProbe {});
            if let Ok(payload) = wire::encode("echo", &document) {
                let (id, topic) = (document.id.to_string(), self.topics.printer_probe(&printer));
                self.window.admit(Message { id, topic, payload, rows: Rows::Volatile, job: None }, now);
            }
        }
    }

    fn withdraw(&mut self, probes: impl IntoIterator<Item = String>) {
        for probe in probes {
            self.window.failed(&probe, Failure::Never);
        }
    }

    /// Whether an update of this printer's shadow would be answered. One that was found just now is in no list yet.
    pub(super) fn has_shadow(&self, printer: &str) -> bool {
        let subscriptions = self.subscriptions.as_ref().filter(|_| self.topics.has_things());
        subscriptions.is_none_or(|all| all.filters_of(printer) == Standing::Served)
    }

    /// Names whose shadow cannot be answered now.
    pub(super) fn without_shadow(&self) -> Vec<String> {
        let Some(subscriptions) = self.subscriptions.as_ref().filter(|_| self.topics.has_things()) else {
            return Vec::new();
        };
        let names = self.parts.names.borrow();
        let names = names.printers.iter().chain(&names.aliases).map(PrinterId::as_str);
        names.filter(|name| subscriptions.filters_of(name) != Standing::Served).map(str::to_owned).collect()
    }

    /// Sorts what waits by whether its echo would come back.
    pub(super) fn sort(&self, rows: Vec<OutboxRow>) -> Sorted {
        let mut sorted = Sorted::default();
        for row in rows {
            let standing = match self.topics.parse(&row.topic) {
                Some(Inbound::Echo { printer: Some(printer) }) if self.topics.is_shared() => {
                    self.subscriptions.as_ref().map_or(Standing::Served, |all| all.topics(printer))
                }
                Some(Inbound::Echo { .. }) => Standing::Served,
                _ => Standing::Not("its topic is none of the configured topic root".to_owned()),
            };
            match standing {
                Standing::Served => sorted.send.push(row),
                Standing::Soon => sorted.soon.push(row.row),
                Standing::Not(why) => sorted.hold.entry(why).or_default().push(row.row),
            }
        }
        sorted.more = !sorted.soon.is_empty() || !sorted.hold.is_empty();
        sorted
    }

    /// Notes who is not served any more or again; the cloud is told with the next change of the gateway's status.
    pub(super) fn look_at_unserved(&mut self, now: Timestamp) {
        if !std::mem::take(&mut self.unserved_changed) {
            return;
        }
        let mut unserved = self.subscriptions.as_ref().map(|all| all.unserved()).unwrap_or_default();
        unserved.extend(self.lane.refusals());
        if unserved == self.unserved {
            return;
        }
        for (printer, reason) in unserved.iter().filter(|one| !self.unserved.contains(one)) {
            tracing::warn!(printer, reason, "a printer is not served by the cloud");
        }
        self.unserved = unserved;
        self.unserved_news = true;
        self.change_due.get_or_insert(self.changes.due(now));
    }
}
