//! Keepers: each keeps one subscription of one connection, subscribing again with backoff when it fails or ends, and
//! passes its events on. A keeper ends with its connection, whose owner drops it, or when nobody wants its events.

use super::{LinkEvent, Runtime, Shared, random};
use crate::cloud::greengrass::connection::{Connection, RawEvent, Subscription};
use crate::cloud::greengrass::error::{IpcError, ServiceErrorKind};
use crate::cloud::greengrass::operations::{PreUpdate, configuration_update, iot_core_message, pre_update};
use crate::domain::retry::Backoff;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A filter's word to the supervisor.
pub(super) struct FilterReport {
    pub(super) key: FilterKey,
    /// Why it is not subscribed; `None` once it is.
    pub(super) missing: Option<String>,
}

/// Which filter a word is about.
#[derive(Debug, Clone)]
pub(super) enum FilterKey {
    /// One of those that `Up` stands for.
    Fixed(usize),
    /// One of the others; the number tells one keeper from the next one of the same filter.
    More { filter: String, serial: u64 },
}

/// Keeps one subscription on one connection.
pub(super) struct Keeper {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) backoff: Backoff,
}

impl Keeper {
    pub(super) async fn keep_filter(self, key: FilterKey, filter: String, reports: mpsc::Sender<FilterReport>) {
        let mut attempt = 0;
        loop {
            let outcome = self.connection.subscribe_to_iot_core(&filter).await;
            let missing = match self.shared.watch_timeouts(&self.connection, outcome) {
                Ok(subscription) => {
                    if reports.send(FilterReport { key: key.clone(), missing: None }).await.is_err() {
                        return;
                    }
                    let Some(ended) = self.forward(subscription, &mut attempt, message_event, &self.events).await
                    else {
                        return;
                    };
                    format!("the subscription to {filter} ended: {ended}")
                }
                Err(IpcError::Service { kind: ServiceErrorKind::Unauthorized, message, .. }) => {
                    // Only a deployment helps: ask seldom.
                    attempt = u32::MAX;
                    format!(
                        "subscribing to {filter} is not allowed ({message}): the component's accessControl for \
                         aws.greengrass.ipc.mqttproxy must allow aws.greengrass#SubscribeToIoTCore on it"
                    )
                }
                Err(error) => format!("cannot subscribe to {filter}: {error}"),
            };
            if reports.send(FilterReport { key: key.clone(), missing: Some(missing) }).await.is_err() {
                return;
            }
            self.pause(&mut attempt).await;
        }
    }

    pub(super) async fn keep_configuration(self) {
        let mut attempt = 0;
        loop {
            let outcome = self.connection.subscribe_to_configuration_update(None, &[]).await;
            match self.shared.watch_timeouts(&self.connection, outcome) {
                Ok(subscription) => {
                    let forward = self.forward(subscription, &mut attempt, configuration_event, &self.events);
                    let Some(ended) = forward.await else { return };
                    tracing::info!(reason = %ended, "the subscription to the configuration ended");
                }
                Err(error) => {
                    // Not needed to work: a change is then seen at the next `Up` or start.
                    tracing::debug!(%error, "no subscription to the configuration");
                    attempt = u32::MAX;
                }
            }
            self.pause(&mut attempt).await;
        }
    }

    /// Announcements of updates; ends for good where the runtime does not know them.
    pub(super) async fn keep_updates(self, updates: mpsc::Sender<PreUpdate>) {
        let mut attempt = 0;
        loop {
            let outcome = self.connection.subscribe_to_component_updates().await;
            match self.shared.watch_timeouts(&self.connection, outcome) {
                Ok(subscription) => {
                    self.shared.runtime.send_replace(Runtime::Classic);
                    let Some(ended) = self.forward(subscription, &mut attempt, pre_update, &updates).await else {
                        return;
                    };
                    tracing::info!(reason = %ended, "the subscription to announcements of updates ended");
                }
                Err(error @ IpcError::Service { .. }) => {
                    tracing::debug!(%error, "this runtime does not announce updates");
                    self.shared.runtime.send_if_modified(|runtime| {
                        let news = *runtime == Runtime::Unknown;
                        if news {
                            *runtime = Runtime::Lite;
                        }
                        news
                    });
                    return;
                }
                Err(error) => tracing::debug!(%error, "no subscription to announcements of updates yet"),
            }
            self.pause(&mut attempt).await;
        }
    }

    /// Passes events on until the subscription ends, and says why it ended; `None` if nobody wants them any more.
    async fn forward<E>(
        &self,
        mut subscription: Subscription,
        attempt: &mut u32,
        read: fn(&RawEvent) -> Result<Option<E>, String>,
        to: &mpsc::Sender<E>,
    ) -> Option<String> {
        loop {
            let event = match subscription.recv().await {
                Ok(event) => event,
                Err(ended) => return Some(ended),
            };
            // It delivers, so what comes next is a new trouble.
            *attempt = 0;
            match read(&event) {
                Ok(Some(event)) => to.send(event).await.ok()?,
                Ok(None) => tracing::trace!(model = %event.model, "ignoring an event of another kind"),
                Err(error) => tracing::warn!(%error, model = %event.model, "ignoring an event that is not understood"),
            }
        }
    }

    async fn pause(&self, attempt: &mut u32) {
        tokio::time::sleep(self.backoff.delay(*attempt, random())).await;
        *attempt = attempt.saturating_add(1);
    }
}

fn message_event(event: &RawEvent) -> Result<Option<LinkEvent>, String> {
    let message = iot_core_message(event)?;
    Ok(message.map(|m| LinkEvent::Message { topic: m.topic, payload: m.payload }))
}

fn configuration_event(event: &RawEvent) -> Result<Option<LinkEvent>, String> {
    let update = configuration_update(event)?;
    Ok(update.map(|u| LinkEvent::ConfigurationChanged { component: u.component, key_path: u.key_path }))
}
