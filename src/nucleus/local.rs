//! Local publish/subscribe: messages between components that never leave the device.
//!
//! A message reaches every subscription whose topic or MQTT filter matches, each its own copy. On classic a
//! subscription may leave out what its own component sends (`RECEIVE_MESSAGES_FROM_OTHERS`, the default for filters
//! with a wildcard); lite has no such choice and sends everything. Nothing is kept for who subscribes later.
//!
//! A subscriber that does not read holds up the publisher for at most 5 s a message, then the message is lost to it and
//! counted. The real runtimes have no such bound: lite stalls, classic queues without end.

use super::topic;
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

const STALL: Duration = Duration::from_secs(5);

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct LocalMessage {
    pub(super) topic: Arc<str>,
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Json(Arc<Value>),
    Binary(Bytes),
}

/// All local subscriptions.
#[derive(Default)]
pub(super) struct LocalBus(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    subscriptions: BTreeMap<u64, Subscription>,
    stalled: u64,
}

struct Subscription {
    filter: String,
    /// Messages of this component are left out.
    except: Option<String>,
    to: mpsc::Sender<LocalMessage>,
}

impl LocalBus {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes; the returned number ends it again.
    pub(super) fn subscribe(&self, filter: &str, except: Option<String>, to: mpsc::Sender<LocalMessage>) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.subscriptions.insert(id, Subscription { filter: filter.to_owned(), except, to });
        id
    }

    pub(super) fn unsubscribe(&self, id: u64) {
        self.lock().subscriptions.remove(&id);
    }

    /// Sends a message of the component `from`.
    pub(super) async fn publish(&self, from: &str, message: LocalMessage) {
        let to: Vec<_> = {
            let state = self.lock();
            let matching = state.subscriptions.values().filter(|s| topic::matches(&s.filter, &message.topic));
            matching.filter(|s| s.except.as_deref() != Some(from)).map(|s| s.to.clone()).collect()
        };
        for subscription in to {
            let sent = subscription.send_timeout(message.clone(), STALL).await;
            if let Err(mpsc::error::SendTimeoutError::Timeout(_)) = sent {
                tracing::warn!(topic = &*message.topic, "a component does not read its local messages");
                self.lock().stalled += 1;
            }
        }
    }

    /// Subscriptions, and messages that were lost to components that did not read.
    pub(super) fn status(&self) -> (usize, u64) {
        let state = self.lock();
        (state.subscriptions.len(), state.stalled)
    }
}
