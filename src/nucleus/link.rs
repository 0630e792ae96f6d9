//! The nucleus's own connection to the cloud: what `iotcored` is on lite, and `MqttClient` on classic.
//!
//! MQTT 3.1.1 clients of the broker behind the nucleus. For both runtimes:
//! - a message reaches each subscription it matches once: two that overlap get it twice. Brokers differ in what they do
//!   with overlapping filters of one client, so a filter that another one covers is not subscribed to at the broker
//!   (filters that overlap without one covering the other bring copies, where the broker sends them);
//! - a subscription is answered before the broker's SUBACK, and taken up again after every reconnect;
//! - an inbound payload over the runtime's limit is dropped without a word.
//!
//! **Lite**, measured: one connection, clean session.
//! - No spooler: while the link is down a publish fails at once, and what the cloud sends is lost.
//! - At most 10 QoS 1 publishes wait for their PUBACK, for all components together; one more fails.
//! - What waits for its PUBACK when the link goes down is forgotten, though the component was told "published".
//! - Small packets wait for the TCP acknowledgement of those before (Nagle's algorithm is on), which decides the echo
//!   rate: 22/s one at a time, 178/s with 8 and 221/s with 10 on their way (real lite: 22, 175, 227).
//!
//! **Classic**, read in its source: a persistent session, and a spooler.
//! - A publish goes into the [`spooler`] and is answered; 5 at a time are on the wire. Offline it waits there, but for
//!   QoS 0, which fails. The nucleus itself refuses what AWS would end the connection for (payload over 128 KiB, topic
//!   over 256 octets or 7 slashes).
//! - Of 50 subscriptions on a connection the next one opens another (`thing#2`); connections stay until the end.
//! - What the cloud sends while the link is down is kept by the broker and comes afterwards; how fast is the broker's
//!   to say (the embedded one: 10/s, as AWS IoT).
//! - MQTT 3.1.1 here, where the real one speaks MQTT 5 by default: no reason codes, no message expiry.

mod connection;
mod courier;
mod spooler;

use self::spooler::{Refused, Spooler};
use super::faults::{Faults, Outbound};
use super::profile::{Limits, Profile};
use super::quota::Quotas;
use super::topic;
use rumqttc::mqttbytes::QoS;
use rumqttc::{AsyncClient, PublishOptions};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Un-acknowledged QoS 1 publishes that lite keeps.
pub const MAX_IN_FLIGHT: usize = 10;
/// Largest inbound payload that lite's network buffer takes, bytes.
pub const MAX_INBOUND: usize = 4_980;
/// Subscriptions that lite holds for all components.
pub const MAX_SUBSCRIPTIONS: usize = 98;

/// Connections that classic opens at most; with 50 subscriptions each, more than components can have.
const MAX_CONNECTIONS: usize = 32;
/// Messages between the connection and the courier.
const ARRIVALS: usize = 64;
/// How often classic looks for publishes that are overdue.
const TICK: Duration = Duration::from_secs(1);

/// A message for one subscription.
#[derive(Debug, Clone)]
pub(super) struct Inbound {
    pub(super) topic: String,
    pub(super) payload: bytes::Bytes,
}

/// Why a `ServiceError` is answered to a publish or a subscribe.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("not connected to AWS IoT Core")]
    Offline,
    #[error("Device is offline. Dropping QoS 0 message.")]
    OfflineQos0,
    #[error("{MAX_IN_FLIGHT} QoS 1 publishes wait for their PUBACK already")]
    InFlight,
    #[error("the topic or filter is not valid")]
    Topic,
    #[error("the payload has {0} bytes; {1} fit")]
    Payload(usize, usize),
    #[error("Message spool is full. Message could not be added.")]
    SpoolFull,
    #[error("Message is larger than the size of message spool.")]
    SpoolTooSmall,
    #[error("all {0} subscriptions are in use")]
    Subscriptions(usize),
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
    /// QoS 1 publishes that were forgotten because the link went down (lite).
    pub forgotten: u64,
    /// Messages published for components.
    pub published: u64,
    /// Messages that came from the broker.
    pub received: u64,
    /// Of these, too large for the runtime.
    pub too_large: u64,
    /// Thrown away because a component did not read.
    pub stalled: u64,
    /// Subscriptions of all components.
    pub subscriptions: usize,
    /// MQTT connections (classic opens more than one).
    pub connections: usize,
    /// Messages in the spooler, those on the wire included (classic).
    pub spooled: usize,
    /// Octets of payload in the spooler (classic).
    pub spooled_bytes: usize,
    /// Messages that the spooler gave up (classic).
    pub dropped: u64,
}

/// What a link needs to know.
pub(super) struct Settings {
    pub(super) thing_name: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) profile: Profile,
    pub(super) faults: Arc<Faults>,
}

/// The link; cheap to clone, ends with its token.
#[derive(Clone)]
pub(super) struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    limits: Limits,
    state: Mutex<State>,
    wanted: watch::Sender<bool>,
    online: watch::Sender<Online>,
    arrivals: mpsc::Sender<Inbound>,
    tasks: TaskTracker,
    end: CancellationToken,
}

/// Which connections are up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Online {
    first: bool,
    any: bool,
}

#[derive(Default)]
struct State {
    status: LinkStatus,
    next: u64,
    subscriptions: HashMap<u64, Subscription>,
    connections: Vec<Connection>,
    per_connection: usize,
    spooler: Option<Spooler>,
    /// Of those in flight, how many a black hole took (lite).
    swallowed: usize,
}

struct Subscription {
    filter: String,
    qos: QoS,
    to: mpsc::Sender<Inbound>,
}

#[derive(Default)]
struct Connection {
    client: Option<AsyncClient>,
    /// What this connection should be subscribed to.
    assigned: BTreeMap<String, QoS>,
    /// What it is subscribed to at the broker.
    at_broker: BTreeMap<String, QoS>,
    /// Spooled messages handed to the MQTT client that have no packet identifier yet.
    handed: VecDeque<u64>,
    /// Packet identifier to spooled message.
    packets: HashMap<u16, u64>,
}

impl Link {
    /// Starts the tasks that keep the link.
    pub(super) fn start(settings: Settings, tasks: &TaskTracker, end: CancellationToken) -> Self {
        let limits = settings.profile.limits();
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        let state = State {
            connections: vec![Connection::default()],
            per_connection: if limits.more_connections { limits.subscriptions } else { usize::MAX },
            spooler: limits.spooler.map(|room| Spooler::new(room, limits.in_flight)),
            ..State::default()
        };
        let inner = Arc::new(Inner {
            settings,
            limits,
            state: Mutex::new(state),
            wanted: watch::Sender::new(true),
            online: watch::Sender::new(Online::default()),
            arrivals,
            tasks: tasks.clone(),
            end,
        });
        Inner::spawn(&inner, |inner| async move { courier::carry(&inner, arrived).await });
        Inner::spawn(&inner, |inner| async move { connection::keep(&inner, 0).await });
        if limits.spooler.is_some() {
            Inner::spawn(&inner, |inner| async move { inner.tick().await });
        }
        Self { inner }
    }

    /// Wants the link up or down; returns at once.
    pub(super) fn want(&self, up: bool) {
        self.inner.wanted.send_replace(up);
    }

    /// Whether it is wanted up.
    pub(super) fn wanted(&self) -> bool {
        *self.inner.wanted.borrow()
    }

    /// Waits until the link is up (its first connection) or down (all of them); false when `within` passed first.
    pub(super) async fn reached(&self, up: bool, within: Duration) -> bool {
        let mut online = self.inner.online.subscribe();
        let reached = online.wait_for(|now| if up { now.first } else { !now.any });
        tokio::time::timeout(within, reached).await.is_ok_and(|r| r.is_ok())
    }

    pub(super) fn status(&self) -> LinkStatus {
        let state = self.inner.lock();
        let mut status = state.status;
        status.subscriptions = state.subscriptions.len();
        status.connections = state.connections.iter().filter(|c| c.client.is_some()).count();
        if let Some(spooler) = &state.spooler {
            status.in_flight = spooler.in_flight();
            status.spooled = spooler.len();
            status.spooled_bytes = spooler.size();
            status.dropped = spooler.dropped();
        }
        status
    }

    /// Takes a message for the cloud. On lite Ok means that it was handed to the MQTT client, on classic that it is in
    /// the spooler; never more than that.
    pub(super) fn publish(&self, topic: &str, payload: Vec<u8>, qos1: bool) -> Result<(), LinkError> {
        if !topic::valid_name(topic) {
            return Err(LinkError::Topic);
        }
        let mut state = self.inner.lock();
        if state.spooler.is_some() {
            return state.spool(topic, payload, qos1, &self.inner);
        }
        let client = state.connections.first().and_then(|c| c.client.clone()).ok_or(LinkError::Offline)?;
        if qos1 && state.status.in_flight >= self.inner.limits.in_flight {
            return Err(LinkError::InFlight);
        }
        let waits = match self.inner.settings.faults.outbound(topic, &payload) {
            Outbound::Pass => {
                client.try_publish(topic, payload, options(qos1)).map_err(|_| LinkError::Queue)?;
                qos1
            }
            Outbound::Swallow { acknowledged } => {
                let waits = qos1 && !acknowledged;
                state.swallowed += usize::from(waits);
                waits
            }
        };
        state.status.in_flight += usize::from(waits);
        state.status.published += 1;
        Ok(())
    }

    /// Subscribes; the returned number ends it again. Subscriptions are taken while the link is down, too.
    pub(super) fn subscribe(&self, filter: &str, qos1: bool, to: mpsc::Sender<Inbound>) -> Result<u64, LinkError> {
        if !topic::valid_filter(filter) || self.classic() && !Quotas::default().allows_topic(filter) {
            return Err(LinkError::Topic);
        }
        let qos = if qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let mut state = self.inner.lock();
        let limits = self.inner.limits;
        let most = if limits.more_connections { limits.subscriptions * MAX_CONNECTIONS } else { limits.subscriptions };
        if state.subscriptions.len() >= most {
            return Err(LinkError::Subscriptions(most));
        }
        state.next += 1;
        let id = state.next;
        state.subscriptions.insert(id, Subscription { filter: filter.to_owned(), qos, to });
        let outcome = self.synchronize(&mut state);
        if outcome.is_err() {
            state.subscriptions.remove(&id);
        }
        outcome.map(|()| id)
    }

    /// Ends a subscription.
    pub(super) fn unsubscribe(&self, id: u64) {
        let mut state = self.inner.lock();
        state.subscriptions.remove(&id);
        if let Err(error) = self.synchronize(&mut state) {
            tracing::warn!(%error, "could not unsubscribe");
        }
    }

    /// Brings the broker in line, on more connections if need be.
    fn synchronize(&self, state: &mut State) -> Result<(), LinkError> {
        let before = state.connections.len();
        let outcome = state.synchronize();
        for index in before..state.connections.len() {
            Inner::spawn(&self.inner, move |inner| async move { connection::keep(&inner, index).await });
        }
        outcome
    }

    /// A fault began or ended: what a black hole took will never be acknowledged, so it is forgotten.
    pub(super) fn faults_changed(&self) {
        let mut state = self.inner.lock();
        let swallowed = std::mem::take(&mut state.swallowed);
        state.status.in_flight = state.status.in_flight.saturating_sub(swallowed);
        state.status.forgotten += swallowed as u64;
    }

    /// The nucleus restarts, and this is down: what it held in memory is gone.
    pub(super) fn forget(&self) {
        let mut state = self.inner.lock();
        if let Some(spooler) = &mut state.spooler {
            spooler.clear();
        }
        for connection in &mut state.connections {
            connection.at_broker.clear();
        }
    }

    fn classic(&self) -> bool {
        self.inner.settings.profile == Profile::Classic
    }
}

fn options(qos1: bool) -> PublishOptions {
    if qos1 { PublishOptions::at_least_once() } else { PublishOptions::at_most_once() }
}

impl Inner {
    /// A panic while the lock was held leaves plain data behind, so the poison is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task until the nucleus ends.
    fn spawn<F: Future<Output = ()> + Send + 'static>(this: &Arc<Self>, task: impl FnOnce(Arc<Self>) -> F) {
        let end = this.end.clone();
        let task = task(this.clone());
        this.tasks.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Tells whoever waits which connections are up.
    fn tell(&self) {
        let state = self.lock();
        let up = |connection: &Connection| connection.client.is_some();
        let online = Online { first: state.connections.first().is_some_and(up), any: state.connections.iter().any(up) };
        self.online.send_replace(online);
    }

    /// A message came from the broker.
    async fn arrived(&self, topic: &[u8], payload: bytes::Bytes) {
        let Ok(topic) = std::str::from_utf8(topic) else { return };
        {
            let mut state = self.lock();
            state.status.received += 1;
            if payload.len() > self.limits.inbound {
                state.status.too_large += 1;
                return;
            }
        }
        // An error: the nucleus ends.
        let _ = self.arrivals.send(Inbound { topic: topic.to_owned(), payload }).await;
    }

    /// Classic tries again what got no PUBACK.
    async fn tick(&self) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            let mut state = self.lock();
            if let Some(spooler) = &mut state.spooler {
                spooler.overdue(Instant::now());
            }
            state.pump(self);
        }
    }
}

impl State {
    /// Classic: into the spooler, and on.
    fn spool(&mut self, topic: &str, payload: Vec<u8>, qos1: bool, inner: &Inner) -> Result<(), LinkError> {
        if payload.len() > inner.limits.outbound {
            return Err(LinkError::Payload(payload.len(), inner.limits.outbound));
        }
        if !Quotas::default().allows_topic(topic) {
            return Err(LinkError::Topic);
        }
        let Some(spooler) = &mut self.spooler else { return Err(LinkError::Offline) };
        if !qos1 && !self.status.online {
            return Err(LinkError::OfflineQos0);
        }
        spooler.add(topic, payload, qos1).map_err(|refused| match refused {
            Refused::Full => LinkError::SpoolFull,
            Refused::TooLarge => LinkError::SpoolTooSmall,
        })?;
        self.status.published += 1;
        self.pump(inner);
        Ok(())
    }

    /// Classic: sends what waits, as far as there is room on the wire.
    fn pump(&mut self, inner: &Inner) {
        let (Some(spooler), Some(connection)) = (&mut self.spooler, self.connections.first_mut()) else { return };
        let Some(client) = &connection.client else { return };
        // A place in the MQTT client's queue for each that may come.
        while client_has_room(connection.handed.len())
            && let Some(next) = spooler.next(Instant::now())
        {
            let id = next.id;
            match inner.settings.faults.outbound(&next.topic, &next.payload) {
                Outbound::Pass => match client.try_publish(next.topic, next.payload, options(next.qos1)) {
                    Ok(_) if next.qos1 => connection.handed.push_back(id),
                    Ok(_) => spooler.done(id),
                    Err(_) => return spooler.give_back(id),
                },
                Outbound::Swallow { acknowledged } if acknowledged || !next.qos1 => spooler.done(id),
                // Waits for a PUBACK that never comes.
                Outbound::Swallow { .. } => {}
            }
        }
    }

    /// Brings the broker's subscriptions in line: new ones first, so that nothing is missed in between.
    fn synchronize(&mut self) -> Result<(), LinkError> {
        let wanted = widest(self.subscriptions.values().map(|s| (s.filter.as_str(), s.qos)));
        for connection in &mut self.connections {
            connection.assigned.retain(|filter, _| wanted.contains_key(filter));
        }
        for (filter, qos) in wanted {
            let there = self.connections.iter().position(|c| c.assigned.contains_key(&filter));
            let room = || self.connections.iter().position(|c| c.assigned.len() < self.per_connection);
            let index = there.or_else(room).unwrap_or(self.connections.len());
            if index == self.connections.len() {
                self.connections.push(Connection::default());
            }
            if let Some(connection) = self.connections.get_mut(index) {
                connection.assigned.insert(filter, qos);
            }
        }
        self.connections.iter_mut().try_for_each(Connection::synchronize)
    }
}

impl Connection {
    fn synchronize(&mut self) -> Result<(), LinkError> {
        let Some(client) = &self.client else { return Ok(()) };
        for (filter, qos) in &self.assigned {
            if self.at_broker.get(filter) != Some(qos) {
                client.try_subscribe(filter.clone(), *qos).map_err(|_| LinkError::Queue)?;
                self.at_broker.insert(filter.clone(), *qos);
            }
        }
        let gone: Vec<String> = self.at_broker.keys().filter(|f| !self.assigned.contains_key(*f)).cloned().collect();
        for filter in gone {
            client.try_unsubscribe(filter.clone()).map_err(|_| LinkError::Queue)?;
            self.at_broker.remove(&filter);
        }
        Ok(())
    }
}

fn client_has_room(handed: usize) -> bool {
    handed < connection::CHANNEL / 2
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

    #[test]
    fn the_51st_filter_of_a_connection_opens_another() {
        let mut state = State { connections: vec![Connection::default()], per_connection: 50, ..State::default() };
        for n in 0..101 {
            let (to, _) = mpsc::channel(1);
            state.subscriptions.insert(n, Subscription { filter: format!("t/{n}"), qos: QoS::AtMostOnce, to });
            state.synchronize().unwrap();
        }
        let sizes = |state: &State| state.connections.iter().map(|c| c.assigned.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&state), [50, 50, 1]);
        state.subscriptions.remove(&0);
        state.synchronize().unwrap();
        assert_eq!(sizes(&state), [49, 50, 1], "the others stay where they are");
    }
}
