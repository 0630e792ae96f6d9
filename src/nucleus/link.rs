//! The nucleus's own connection to the broker: what nucleus lite's `iotcored` is.
//!
//! An ordinary MQTT 3.1.1 client, clean session, of the broker behind the nucleus. Its rules, measured on lite:
//! - no spooler: while the link is down a publish fails at once, and what the cloud sends is lost;
//! - at most 10 QoS 1 publishes wait for their PUBACK, for all components together; one more fails;
//! - what waits for its PUBACK when the link goes down is forgotten, though the component was told "published";
//! - an inbound payload over 4,980 bytes is dropped without a word;
//! - a message reaches each subscription it matches once: two that overlap get it twice. Brokers differ in what they do
//!   with overlapping filters of one client, so a filter that another one covers is not subscribed to at the broker
//!   (filters that overlap without one covering the other bring copies, where the broker sends them);
//! - a subscription is answered before the broker's SUBACK, and taken up again after every reconnect;
//! - small packets wait for the TCP acknowledgement of those before (Nagle's algorithm is on), which decides the echo
//!   rate: 22/s one at a time, 178/s with 8 and 221/s with 10 on their way (real lite: 22, 175, 227).
//!
//! ```text
//! Cut ──restore──▶ Connecting ──CONNACK──▶ Online
//!  ▲                │  ▲                     │
//!  └──────cut───────┴──┼──────cut────────────┤
//!                      └──connection lost────┘
//! ```
//! Cutting drops the TCP connection without a DISCONNECT, as a lost network would.

use super::topic;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Packet;
use rumqttc::{AsyncClient, Event, MqttOptions, PublishOptions};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Un-acknowledged QoS 1 publishes that lite keeps.
pub const MAX_IN_FLIGHT: usize = 10;
/// Largest inbound payload that lite's network buffer takes, bytes.
pub const MAX_INBOUND: usize = 4_980;
/// Subscriptions that lite holds for all components.
pub const MAX_SUBSCRIPTIONS: usize = 98;

const CHANNEL: usize = 512;
const KEEP_ALIVE_S: u16 = 30;
const MAX_PACKET: usize = 256 * 1024;
const RETRY: Duration = Duration::from_millis(300);
const CONNECT: Duration = Duration::from_secs(5);
/// How long a component that does not read may hold up everybody, before its messages are thrown away.
const STALL: Duration = Duration::from_secs(5);

/// A message for one subscription.
#[derive(Debug, Clone)]
pub(super) struct Inbound {
    pub(super) topic: String,
    pub(super) payload: bytes::Bytes,
}

/// Why lite answers `ServiceError` to a publish or a subscribe.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("not connected to AWS IoT Core")]
    Offline,
    #[error("{MAX_IN_FLIGHT} QoS 1 publishes wait for their PUBACK already")]
    InFlight,
    #[error("the topic or filter is not valid")]
    Topic,
    #[error("all {MAX_SUBSCRIPTIONS} subscriptions are in use")]
    Subscriptions,
    #[error("the request queue of the MQTT client is full")]
    Queue,
}

/// What the link did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkStatus {
    /// Connected to the broker.
    pub online: bool,
    /// Connected so many times.
    pub connects: u64,
    /// QoS 1 publishes waiting for their PUBACK.
    pub in_flight: usize,
    /// QoS 1 publishes that were forgotten because the link went down.
    pub forgotten: u64,
    /// Messages published for components.
    pub published: u64,
    /// Messages that came from the broker.
    pub received: u64,
    /// Of these, too large for lite.
    pub too_large: u64,
    /// Thrown away because a component did not read.
    pub stalled: u64,
    /// Subscriptions of all components.
    pub subscriptions: usize,
}

/// The link; cheap to clone, ends with its token.
#[derive(Clone)]
pub(super) struct Link {
    state: Arc<Mutex<State>>,
    wanted: Arc<watch::Sender<bool>>,
    online: watch::Receiver<bool>,
}

#[derive(Default)]
struct State {
    client: Option<AsyncClient>,
    status: LinkStatus,
    next: u64,
    subscriptions: HashMap<u64, Subscription>,
    /// What this connection is subscribed to at the broker.
    at_broker: BTreeMap<String, QoS>,
}

impl State {
    /// Brings the broker's subscriptions in line: new ones first, so that nothing is missed in between.
    fn synchronize(&mut self) -> Result<(), LinkError> {
        let Some(client) = &self.client else { return Ok(()) };
        let wanted = widest(self.subscriptions.values().map(|s| (s.filter.as_str(), s.qos)));
        for (filter, qos) in &wanted {
            if self.at_broker.get(filter) != Some(qos) {
                client.try_subscribe(filter.clone(), *qos).map_err(|_| LinkError::Queue)?;
                self.at_broker.insert(filter.clone(), *qos);
            }
        }
        let gone: Vec<String> = self.at_broker.keys().filter(|f| !wanted.contains_key(*f)).cloned().collect();
        for filter in gone {
            client.try_unsubscribe(filter.clone()).map_err(|_| LinkError::Queue)?;
            self.at_broker.remove(&filter);
        }
        Ok(())
    }
}

/// The filters that no other one covers, each with the highest QoS of those it covers.
fn widest<'a>(filters: impl Iterator<Item = (&'a str, QoS)> + Clone) -> BTreeMap<String, QoS> {
    let covers = |wide: &str, narrow: &str| {
        topic::covers(wide, narrow) && !(narrow.starts_with('$') && wide.starts_with(['+', '#']))
    };
    let mut widest = BTreeMap::new();
    for (filter, _) in filters.clone() {
        if !filters.clone().any(|(other, _)| other != filter && covers(other, filter)) {
            let covered = filters.clone().filter(|(other, _)| covers(filter, other));
            let at_least_once = covered.clone().any(|(_, qos)| qos != QoS::AtMostOnce);
            widest.insert(filter.to_owned(), if at_least_once { QoS::AtLeastOnce } else { QoS::AtMostOnce });
        }
    }
    widest
}

struct Subscription {
    filter: String,
    qos: QoS,
    to: mpsc::Sender<Inbound>,
}

impl Link {
    /// Starts the task that keeps the link to `host:port` as `client_id`.
    pub(super) fn start(
        client_id: String,
        host: String,
        port: u16,
        end: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (wanted, wanted_rx) = watch::channel(true);
        let (online_tx, online) = watch::channel(false);
        let state = Arc::new(Mutex::new(State::default()));
        let link = Self { state: state.clone(), wanted: Arc::new(wanted), online };
        let task = async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = keep(&state, &online_tx, wanted_rx, &client_id, &host, port) => {}
            }
        };
        (link, task)
    }

    /// Wants the link up or down; returns at once.
    pub(super) fn want(&self, up: bool) {
        self.wanted.send_replace(up);
    }

    /// Waits until the link is up or down; false when `within` passed first.
    pub(super) async fn reached(&self, up: bool, within: Duration) -> bool {
        let mut online = self.online.clone();
        tokio::time::timeout(within, online.wait_for(|now| *now == up)).await.is_ok_and(|r| r.is_ok())
    }

    pub(super) fn status(&self) -> LinkStatus {
        let state = lock(&self.state);
        LinkStatus { subscriptions: state.subscriptions.len(), ..state.status }
    }

    /// Hands a message to the MQTT client. Ok means no more than that it was handed over.
    pub(super) fn publish(&self, topic: &str, payload: Vec<u8>, qos1: bool) -> Result<(), LinkError> {
        if !topic::valid_name(topic) {
            return Err(LinkError::Topic);
        }
        let mut state = lock(&self.state);
        let client = state.client.as_ref().ok_or(LinkError::Offline)?;
        if qos1 && state.status.in_flight >= MAX_IN_FLIGHT {
            return Err(LinkError::InFlight);
        }
        let options = if qos1 { PublishOptions::at_least_once() } else { PublishOptions::at_most_once() };
        client.try_publish(topic, payload, options).map_err(|_| LinkError::Queue)?;
        state.status.in_flight += usize::from(qos1);
        state.status.published += 1;
        Ok(())
    }

    /// Subscribes; the returned number ends it again. While the link is down lite takes subscriptions too.
    pub(super) fn subscribe(&self, filter: &str, qos1: bool, to: mpsc::Sender<Inbound>) -> Result<u64, LinkError> {
        if !topic::valid_filter(filter) {
            return Err(LinkError::Topic);
        }
        let qos = if qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let mut state = lock(&self.state);
        if state.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(LinkError::Subscriptions);
        }
        state.next += 1;
        let id = state.next;
        state.subscriptions.insert(id, Subscription { filter: filter.to_owned(), qos, to });
        if let Err(error) = state.synchronize() {
            state.subscriptions.remove(&id);
            return Err(error);
        }
        Ok(id)
    }

    /// Ends a subscription.
    pub(super) fn unsubscribe(&self, id: u64) {
        let mut state = lock(&self.state);
        state.subscriptions.remove(&id);
        if let Err(error) = state.synchronize() {
            tracing::warn!(%error, "could not unsubscribe");
        }
    }
}

/// A panic while the lock was held leaves plain data behind, so the poison is ignored.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects whenever the link is wanted, until dropped.
async fn keep(
    state: &Mutex<State>,
    online: &watch::Sender<bool>,
    mut wanted: watch::Receiver<bool>,
    client_id: &str,
    host: &str,
    port: u16,
) {
    loop {
        if wanted.wait_for(|up| *up).await.is_err() {
            return;
        }
        let cut = async {
            // An error means that every handle is gone, and with them the wish to be connected.
            let _ = wanted.wait_for(|up| !*up).await;
        };
        let lost = tokio::select! {
            () = cut => false,
            () = connected(state, online, client_id, host, port) => true,
        };
        offline(state);
        online.send_replace(false);
        if lost {
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn offline(state: &Mutex<State>) {
    let mut state = lock(state);
    state.client = None;
    state.status.online = false;
    state.status.forgotten += state.status.in_flight as u64;
    state.status.in_flight = 0;
}

/// One connection, from its first packet to its end.
async fn connected(state: &Mutex<State>, online: &watch::Sender<bool>, client_id: &str, host: &str, port: u16) {
    let mut options = MqttOptions::new(client_id, (host, port));
    options.set_keep_alive(KEEP_ALIVE_S).set_clean_session(true).set_max_packet_size(MAX_PACKET, MAX_PACKET);
    let (client, mut events) = match AsyncClient::builder(options).capacity(CHANNEL).try_build() {
        Ok(pair) => pair,
        Err(error) => {
            tracing::error!(%error, "the MQTT client cannot be made");
            return;
        }
    };
    let mut up = false;
    loop {
        let next = events.poll();
        let event = if up {
            next.await
        } else {
            match tokio::time::timeout(CONNECT, next).await {
                Ok(event) => event,
                Err(_) => return tracing::warn!(host, port, "the broker does not answer"),
            }
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                up = true;
                let mut state = lock(state);
                state.client = Some(client.clone());
                state.at_broker.clear();
                if let Err(error) = state.synchronize() {
                    tracing::warn!(%error, "could not subscribe again");
                }
                state.status.online = true;
                state.status.connects += 1;
                drop(state);
                online.send_replace(true);
            }
            Ok(Event::Incoming(Packet::PubAck(_))) => {
                let mut state = lock(state);
                state.status.in_flight = state.status.in_flight.saturating_sub(1);
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                deliver(state, &publish.topic, publish.payload).await;
            }
            Ok(_) => {}
            Err(error) => return tracing::warn!(%error, "the link to the broker is lost"),
        }
    }
}

/// Gives a message to every subscription it matches, each its own copy.
async fn deliver(state: &Mutex<State>, topic: &[u8], payload: bytes::Bytes) {
    let Ok(topic) = std::str::from_utf8(topic) else { return };
    let to: Vec<_> = {
        let mut state = lock(state);
        state.status.received += 1;
        if payload.len() > MAX_INBOUND {
            state.status.too_large += 1;
            return;
        }
        let matching = state.subscriptions.values().filter(|s| topic::matches(&s.filter, topic));
        matching.map(|s| s.to.clone()).collect()
    };
    for subscription in to {
        let message = Inbound { topic: topic.to_owned(), payload: payload.clone() };
        // Waiting here holds up everybody, as on lite; the deadline is ours.
        if let Err(mpsc::error::SendTimeoutError::Timeout(_)) = subscription.send_timeout(message, STALL).await {
            lock(state).status.stalled += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_widest_filters_are_subscribed_to() {
        use QoS::{AtLeastOnce as One, AtMostOnce as Zero};
        let widest = |filters: &[(&str, QoS)]| widest(filters.iter().copied()).into_iter().collect::<Vec<_>>();
        let owned = |filters: &[(&str, QoS)]| filters.iter().map(|(f, q)| ((*f).to_owned(), *q)).collect::<Vec<_>>();
        assert_eq!(widest(&[("a/b", Zero), ("a/b", One)]), owned(&[("a/b", One)]));
        assert_eq!(widest(&[("a/#", Zero), ("a/+/c", One), ("b", Zero)]), owned(&[("a/#", One), ("b", Zero)]));
        assert_eq!(widest(&[("a/+/c", Zero), ("a/b/+", Zero)]), owned(&[("a/+/c", Zero), ("a/b/+", Zero)]));
        assert_eq!(widest(&[("#", Zero), ("$aws/x", One)]), owned(&[("#", Zero), ("$aws/x", One)]));
        assert_eq!(widest(&[]), []);
    }
}
