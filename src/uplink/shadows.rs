//! Shadows on their way: which updates start, what the service's answers mean, and what shadows desire.
//!
//! What is desired comes as a delta, once, and is lost when nobody listens. So for printers that wait for approval
//! `config` is reported again after each new link and with each probe of a silent one: where desired differs, the
//! service answers with the delta.

use super::{OPEN_MAX, Uplink, message_id, random};
use crate::cloud::wire::{ShadowDelta, ShadowRejected, ShadowUpdate};
use crate::domain::ids::PrinterId;
use crate::domain::shadow;
use crate::store::StoreError;
use jiff::Timestamp;

/// Codes that the same update would bring again (AWS IoT, Device Shadow error messages).
const REFUSALS: [i64; 6] = [400, 401, 403, 404, 413, 415];

impl Uplink {
    /// Starts updates of shadows that differ. Answers when the rate allows more, if some had to wait for it.
    pub(super) async fn start_shadows(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let open = (self.parts.limits.size - self.window.room()) + self.lane.len();
        let room = self.lane.room().min(OPEN_MAX.saturating_sub(open));
        if room == 0 {
            return Ok(None);
        }
        let mut busy = self.lane.busy(now);
        busy.extend(self.without_shadow());
        for row in self.parts.store.shadows_to_send(room, busy).await? {
            let Ok(printer) = PrinterId::new(row.printer.clone()) else { continue };
            let Some(topic) = self.topics.shadow_update(&printer).filter(|_| self.has_shadow(&row.printer)) else {
                continue;
            };
            let (latest, _) = shadow::fit(&row.latest, shadow::DOCUMENT_BYTES);
            let token = message_id();
            let Some(patch) = shadow::diff(&row.confirmed, &latest) else {
                // Equal in meaning, written differently: nothing to send.
                self.parts.store.shadow_confirmed(&row.printer, &row.latest).await?;
                continue;
            };
            let split = shadow::split(&patch, shadow::ANSWER_BYTES, token.as_str());
            if !split.left_out.is_empty() && self.unsendable.get(&row.printer) != Some(&split.left_out) {
                tracing::warn!(printer = row.printer, left_out = ?split.left_out, "too large for one shadow update");
                self.unsendable.insert(row.printer.clone(), split.left_out.clone());
            }
            let Some(first) = split.patches.into_iter().next() else {
                self.parts.store.shadow_confirmed(&row.printer, &row.latest).await?;
                continue;
            };
            let first = match self.topics.has_things() {
                true => shadow::with_core(&first, &latest, token.as_str()),
                false => first,
            };
            let update = ShadowUpdate::reported(first.clone(), token.to_string());
            let Ok(payload) = serde_json::to_vec(&update) else { continue };
            if !self.lane.start(&row.printer, token.as_str(), first, now) {
                return Ok(Some(self.lane.next_start(now)));
            }
            self.publish(token.to_string(), topic, payload, true);
        }
        Ok(None)
    }

    pub(super) async fn shadow_accepted(&mut self, printer: &str, patch: &serde_json::Value) {
        let outcome = match self.parts.store.shadow(printer).await {
            Ok(Some(row)) => {
                let mut confirmed = row.confirmed;
                shadow::apply(&mut confirmed, patch);
                self.parts.store.shadow_confirmed(printer, &confirmed).await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::error!(%error, printer, "an accepted shadow update is not remembered and will be sent again");
            self.lane.rest(printer.to_owned(), Timestamp::now(), random());
        }
    }

    /// `update/delta` came.
    pub(super) fn desired(&mut self, printer: &str, payload: &[u8]) {
        let (Ok(printer), Some(delta)) = (PrinterId::new(printer), ShadowDelta::parse(payload)) else { return };
        let wanted = delta.approved.is_some() || delta.name;
        if wanted && self.parts.desired.try_send((printer, delta)).is_err() {
            tracing::warn!("what a shadow desires was dropped: too much at once; it will be asked for again");
        }
    }

    /// Reports `config` again where an approval is waited for, or, where shadows decide, of all: an approval may have been
    /// taken back.
    pub(super) async fn ask_for_approvals(&mut self, of_all: bool) {
        if let Err(error) = self.parts.store.ask_for_approvals(of_all && self.parts.shadows_approve).await {
            tracing::warn!(%error, "approvals given while nobody listened are not asked for");
        }
    }

    /// `update/rejected` came.
    pub(super) fn shadow_rejected(&mut self, printer: &str, rejected: ShadowRejected) {
        let Some(token) = rejected.client_token else { return };
        let (code, message) = (rejected.code, rejected.message.unwrap_or_default());
        let now = Timestamp::now();
        if !REFUSALS.contains(&code) {
            if self.lane.failed(&token, now, random()) {
                tracing::warn!(printer, code, message, "the cloud rejected a shadow update; it will be tried again");
            }
            return;
        }
        let thing = PrinterId::new(printer).ok().and_then(|id| self.topics.thing(&id)).unwrap_or_default();
        let why = match code {
            404 if self.topics.has_things() => {
                format!("the thing {thing} does not exist: create it, or set cloud.shadows to \"named\"")
            }
            401 | 403 => format!("the core device's IoT policy does not allow the shadow of {thing} ({message})"),
            _ => format!("the shadow service refuses the update of {thing}: {code} {message}"),
        };
        if self.lane.refused(&token, why.clone(), now, random()) {
            self.unserved_changed = true;
            tracing::error!(printer, code, message, "{why}");
        }
    }
}
