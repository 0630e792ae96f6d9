//! The link: the supervisor that keeps a connection to the nucleus, with all subscriptions, for as long as the gateway
//! runs.
//!
//! ```text
//!              connect: token, then component name
//!   ┌────────┐ ────────────────────────────────▶ ┌───────────┐ all filters in ┌──────┐
//!   │  away  │                                   │ connected │ ─────────────▶ │  up  │
//!   └────────┘ ◀──────────── connection ended ── └───────────┘ ◀───────────── └──────┘
//!       │  ▲ backoff 0.2 s … 30 s                             a subscription ended
//!       │  └──┘
//!       └─▶ Refused: both credentials refused, several times in a row. The only end besides `cancel`.
//! ```
//!
//! - [`LinkEvent::Up`] means: all filters are subscribed, what comes from now on arrives. After each `Up` ask again for
//!   what may have been missed, and read the configuration again.
//! - [`LinkEvent::Down`] means: messages may be missed from now on. Publishing may still work (a single subscription
//!   can be what is missing); it answers for itself.
//! - A filter whose subscription fails or ends is subscribed again, each on its own, with backoff, on the same
//!   connection: nucleus lite can refuse subscriptions while it is offline.
//! - After [`TIMEOUTS_TO_RECONNECT`] requests in a row without an answer the connection is given up and made anew.
//! - Refusal for good: `refusals_explicit` rounds in a row in which the nucleus refused every credential we have with
//!   CONNECT_ACK (nucleus classic; a restart of the component brings a good token), or `refusals_silent` rounds in
//!   which it hung up on them instead. Nucleus lite refuses that way, but it also hangs up when it has too many clients
//!   or is stopping, so this takes about three quarters of an hour: both runtimes give up on a component that ends three
//!   times within one. Any other outcome starts the count again.
//!
//! Consumer contract: read the events without long pauses. Messages wait in bounded queues, one for each filter, while
//! the consumer is busy; what does not fit is dropped and counted ([`Link::dropped`]), the socket is never stalled.
//! Messages of one filter stay in order; between filters there is none.
//! `Up`, `Down` and `Refused` are never dropped: the supervisor waits with them, and with everything else it would do.
//! Messages may arrive before the first `Up` (their filter is in, others are not) and a few after `Down`.

use super::connection::{Connection, ConnectionLimits, Credential, RawEvent, Subscription};
use super::error::{ConnectError, IpcError, PublishError, ServiceErrorKind};
use super::operations::{ReportedState, configuration_update, iot_core_message};
use super::settings::{IpcSettings, Token};
use crate::domain::retry::Backoff;
use bytes::Bytes;
use serde_json::Value;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Requests in a row without an answer after which the connection is made anew.
pub const TIMEOUTS_TO_RECONNECT: u32 = 3;

/// What the link tells its consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// All filters are subscribed.
    Up {
        /// Counts from 1; a new number means that messages may have been missed before.
        connection: u64,
    },
    /// Messages may be missed from now on. Also sent before the first `Up`, when there is something to say.
    Down {
        /// Why, for people.
        reason: String,
    },
    /// A message that came over MQTT.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Bytes,
    },
    /// A part of the configuration changed: read it again.
    ConfigurationChanged {
        /// Whose configuration.
        component: String,
        /// Which part.
        key_path: Vec<String>,
    },
    /// The nucleus refuses us for good: leave with a non-zero code, so that it starts us again with a new token. The
    /// link has ended.
    Refused {
        /// Why, for people.
        reason: String,
    },
}

/// How the link behaves.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Where the nucleus is and who we are.
    pub ipc: IpcSettings,
    /// MQTT filters to keep subscribed; disjoint, because overlapping ones multiply deliveries on nucleus lite.
    pub filters: Vec<String>,
    /// Whether to keep a subscription to our configuration.
    pub watch_configuration: bool,
    /// Limits of each connection, with the deadline of requests.
    pub limits: ConnectionLimits,
    /// The largest payload of a publish in bytes. 7,311 is what nucleus lite takes at best; the whole message with its
    /// topic is checked against `limits.max_outbound_message` besides.
    pub max_payload: usize,
    /// Waiting times between attempts to connect, and to subscribe.
    pub backoff: Backoff,
    /// Rounds of clear refusals that are final.
    pub refusals_explicit: u32,
    /// Rounds of being hung up on that are final.
    pub refusals_silent: u32,
}

impl LinkSettings {
    /// Settings for nucleus lite, which fit nucleus classic too.
    pub fn new(ipc: IpcSettings, filters: Vec<String>) -> Self {
        Self {
            ipc,
            filters,
            watch_configuration: true,
            limits: ConnectionLimits::default(),
            max_payload: 7_311,
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(30)),
            refusals_explicit: 8,
            refusals_silent: 120,
        }
    }
}

/// A handle to the link. Clones are cheap and share it.
#[derive(Debug, Clone)]
pub struct Link {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connection: Mutex<Option<Connection>>,
    dropped: Arc<AtomicU64>,
    timeouts: AtomicU32,
    max_payload: usize,
    ended: CancellationToken,
}

impl Link {
    /// Starts the supervisor. It runs until `cancel`, until `Refused`, or until the events' receiver is gone.
    pub fn start(settings: LinkSettings, events: mpsc::Sender<LinkEvent>, cancel: CancellationToken) -> Link {
        let shared = Arc::new(Shared {
            connection: Mutex::new(None),
            dropped: Arc::default(),
            timeouts: AtomicU32::new(0),
            max_payload: settings.max_payload,
            ended: CancellationToken::new(),
        });
        let supervisor = Supervisor {
            token: settings.ipc.token.clone(),
            settings,
            events,
            shared: shared.clone(),
            ups: 0,
            last_down: None,
            refusals: 0,
            silent_refusals: 0,
        };
        let ended = shared.ended.clone().drop_guard();
        tokio::spawn(async move {
            let _ended = ended;
            let shared = supervisor.shared.clone();
            cancel.run_until_cancelled_owned(supervisor.run()).await;
            shared.set_connection(None);
        });
        Link { shared }
    }

    /// Publishes with QoS 1. Success means that the nucleus has the message, nothing more: only its echo, or
    /// `update/accepted`, says that the cloud has it.
    ///
    /// # Errors
    /// [`PublishError`]
    pub async fn publish(&self, topic: &str, payload: Bytes) -> Result<(), PublishError> {
        let (size, limit) = (payload.len(), self.shared.max_payload);
        if size > limit {
            return Err(PublishError::TooLarge { size, limit });
        }
        let connection = self.shared.connection().ok_or(PublishError::NotConnected)?;
        let outcome = connection.publish_to_iot_core(topic, &payload).await;
        self.shared.watch_timeouts(&connection, outcome).map_err(|error| PublishError::classify(topic, error))
    }

    /// Our own component's configuration at `key_path`, see [`Connection::get_configuration`].
    ///
    /// # Errors
    /// [`IpcError`]
    pub async fn get_configuration(&self, key_path: &[&str]) -> Result<Value, IpcError> {
        let connection = self.shared.connection().ok_or(IpcError::NotConnected)?;
        let outcome = connection.get_configuration(None, key_path).await;
        self.shared.watch_timeouts(&connection, outcome)
    }

    /// Tells the nucleus how we are.
    ///
    /// # Errors
    /// [`IpcError`]
    pub async fn update_state(&self, state: ReportedState) -> Result<(), IpcError> {
        let connection = self.shared.connection().ok_or(IpcError::NotConnected)?;
        let outcome = connection.update_state(state).await;
        self.shared.watch_timeouts(&connection, outcome)
    }

    /// Gives up the present connection and makes a new one, with new subscriptions. For a consumer that finds out that
    /// nothing arrives although publishing succeeds: when nucleus lite's MQTT daemon is restarted, its IPC daemon can
    /// lose the subscriptions without telling anybody. Does nothing while there is no connection.
    pub fn reconnect(&self, reason: &str) {
        if let Some(connection) = self.shared.connection() {
            connection.close(reason);
        }
    }

    /// Messages dropped because the consumer was busy and their queue full.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// True while there is a connection; whether all filters are subscribed is what `Up` and `Down` say.
    pub fn is_connected(&self) -> bool {
        self.shared.connection().is_some()
    }

    /// Waits until the supervisor has ended.
    pub async fn ended(&self) {
        self.shared.ended.cancelled().await;
    }
}

impl Shared {
    fn connection(&self) -> Option<Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_connection(&self, connection: Option<Connection>) {
        self.timeouts.store(0, Ordering::Relaxed);
        let old = std::mem::replace(&mut *self.connection.lock().unwrap_or_else(PoisonError::into_inner), connection);
        if let Some(old) = old {
            old.close("not needed any more");
        }
    }

    /// Counts requests without an answer; enough of them in a row end the connection.
    fn watch_timeouts<T>(&self, connection: &Connection, outcome: Result<T, IpcError>) -> Result<T, IpcError> {
        match &outcome {
            Err(IpcError::Timeout { .. }) => {
                if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_TO_RECONNECT {
                    connection.close("the nucleus does not answer");
                }
            }
            Ok(_) | Err(IpcError::Service { .. }) => self.timeouts.store(0, Ordering::Relaxed),
            Err(_) => {}
        }
        outcome
    }
}

/// The receiver of the events is gone: nobody to work for.
struct Unwanted;

/// How a round of attempts to connect ended.
enum Round {
    Connected(Connection),
    /// Worth another round.
    Failed(String),
    /// Refused for good.
    Refused(String),
}

struct Supervisor {
    settings: LinkSettings,
    events: mpsc::Sender<LinkEvent>,
    shared: Arc<Shared>,
    token: Token,
    ups: u64,
    /// The reason of the last `Down`, if no `Up` followed: the same is not said twice.
    last_down: Option<String>,
    refusals: u32,
    silent_refusals: u32,
}

impl Supervisor {
    async fn run(mut self) {
        let _ = self.supervise().await;
    }

    async fn supervise(&mut self) -> Result<(), Unwanted> {
        let mut attempt = 0;
        loop {
            match self.connect().await {
                Round::Connected(connection) => {
                    self.shared.set_connection(Some(connection.clone()));
                    let outcome = self.serve(&connection, &mut attempt).await;
                    self.shared.set_connection(None);
                    let reason = outcome?;
                    self.down(format!("the connection to the nucleus ended: {reason}")).await?;
                }
                Round::Failed(reason) => self.down(reason).await?,
                Round::Refused(reason) => return self.emit(LinkEvent::Refused { reason }).await,
            }
            tokio::time::sleep(self.settings.backoff.delay(attempt, random())).await;
            attempt = attempt.saturating_add(1);
        }
    }

    /// One round: the token, and where that is refused the component name.
    async fn connect(&mut self) -> Round {
        let token_error = match self.try_connect(Credential::Token(&self.token)).await {
            Ok((connection, _)) => return self.connected(connection, None),
            Err(error) => error,
        };
        if !token_error.is_refusal() {
            return self.failed(token_error.to_string());
        }
        let Some(name) = self.settings.ipc.component_name.as_deref() else {
            let clear = matches!(token_error, ConnectError::Refused { .. });
            return self.refused(clear, token_error.to_string());
        };
        match self.try_connect(Credential::ComponentName(name)).await {
            Ok((connection, token)) => self.connected(connection, token),
            Err(error) if error.is_refusal() => {
                let clear = matches!(token_error, ConnectError::Refused { .. })
                    && matches!(error, ConnectError::Refused { .. });
                self.refused(clear, format!("{token_error}; then: {error}"))
            }
            Err(error) => self.failed(error.to_string()),
        }
    }

    async fn try_connect(&self, credential: Credential<'_>) -> Result<(Connection, Option<Token>), ConnectError> {
        let dropped = self.shared.dropped.clone();
        Connection::connect(&self.settings.ipc.socket, credential, self.settings.limits, dropped).await
    }

    fn connected(&mut self, connection: Connection, fresh: Option<Token>) -> Round {
        if let Some(token) = fresh {
            self.token = token;
        }
        self.refusals = 0;
        self.silent_refusals = 0;
        Round::Connected(connection)
    }

    fn failed(&mut self, reason: String) -> Round {
        self.refusals = 0;
        self.silent_refusals = 0;
        Round::Failed(reason)
    }

    fn refused(&mut self, clear: bool, reason: String) -> Round {
        self.silent_refusals = self.silent_refusals.saturating_add(1);
        self.refusals = if clear { self.refusals.saturating_add(1) } else { 0 };
        if self.refusals >= self.settings.refusals_explicit || self.silent_refusals >= self.settings.refusals_silent {
            Round::Refused(reason)
        } else {
            Round::Failed(reason)
        }
    }

    /// Keeps all subscriptions of one connection until it ends; returns the reason.
    async fn serve(&mut self, connection: &Connection, attempt: &mut u32) -> Result<String, Unwanted> {
        let count = self.settings.filters.len();
        let (reports, mut inbox) = mpsc::channel(count.max(1));
        // Dropped, and with it all keepers and their subscriptions, when this connection is over.
        let mut keepers = JoinSet::new();
        for (index, filter) in self.settings.filters.iter().enumerate() {
            keepers.spawn(self.keeper(connection).keep_filter(index, filter.clone(), reports.clone()));
        }
        if self.settings.watch_configuration {
            keepers.spawn(self.keeper(connection).keep_configuration());
        }
        let mut subscribed = vec![false; count];
        let mut up = false;
        loop {
            if !up && subscribed.iter().all(|s| *s) {
                up = true;
                *attempt = 0;
                self.ups += 1;
                self.last_down = None;
                self.emit(LinkEvent::Up { connection: self.ups }).await?;
            }
            tokio::select! {
                // First: the end of the connection explains the end of its subscriptions.
                biased;
                reason = connection.ended() => return Ok(reason),
                () = self.events.closed() => return Err(Unwanted),
                Some(report) = inbox.recv() => {
                    let FilterReport { index, missing } = report;
                    if let Some(state) = subscribed.get_mut(index) {
                        *state = missing.is_none();
                    }
                    if let Some(reason) = missing {
                        up = false;
                        self.down(reason).await?;
                    }
                }
            }
        }
    }

    fn keeper(&self, connection: &Connection) -> Keeper {
        Keeper {
            connection: connection.clone(),
            shared: self.shared.clone(),
            events: self.events.clone(),
            backoff: self.settings.backoff,
        }
    }

    async fn down(&mut self, reason: String) -> Result<(), Unwanted> {
        if self.last_down.as_ref() == Some(&reason) {
            return Ok(());
        }
        tracing::warn!(%reason, "the link to the nucleus is down");
        self.last_down = Some(reason.clone());
        self.emit(LinkEvent::Down { reason }).await
    }

    async fn emit(&self, event: LinkEvent) -> Result<(), Unwanted> {
        self.events.send(event).await.map_err(|_| Unwanted)
    }
}

/// A filter's word to the supervisor.
struct FilterReport {
    index: usize,
    /// Why it is not subscribed; `None` once it is.
    missing: Option<String>,
}

/// Keeps one subscription on one connection.
struct Keeper {
    connection: Connection,
    shared: Arc<Shared>,
    events: mpsc::Sender<LinkEvent>,
    backoff: Backoff,
}

impl Keeper {
    async fn keep_filter(self, index: usize, filter: String, reports: mpsc::Sender<FilterReport>) {
        let mut attempt = 0;
        loop {
            let outcome = self.connection.subscribe_to_iot_core(&filter).await;
            let missing = match self.shared.watch_timeouts(&self.connection, outcome) {
                Ok(subscription) => {
                    if reports.send(FilterReport { index, missing: None }).await.is_err() {
                        return;
                    }
                    let Some(ended) = self.forward(subscription, &mut attempt, message_event).await else { return };
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
            if reports.send(FilterReport { index, missing: Some(missing) }).await.is_err() {
                return;
            }
            self.pause(&mut attempt).await;
        }
    }

    async fn keep_configuration(self) {
        let mut attempt = 0;
        loop {
            let outcome = self.connection.subscribe_to_configuration_update(None, &[]).await;
            match self.shared.watch_timeouts(&self.connection, outcome) {
                Ok(subscription) => {
                    let Some(ended) = self.forward(subscription, &mut attempt, configuration_event).await else {
                        return;
                    };
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

    /// Passes events on until the subscription ends, and says why it ended; `None` if nobody wants them any more.
    async fn forward(
        &self,
        mut subscription: Subscription,
        attempt: &mut u32,
        read: fn(&RawEvent) -> Result<Option<LinkEvent>, String>,
    ) -> Option<String> {
        loop {
            let event = match subscription.recv().await {
                Ok(event) => event,
                Err(ended) => return Some(ended),
            };
            // It delivers, so what comes next is a new trouble.
            *attempt = 0;
            match read(&event) {
                Ok(Some(event)) => self.events.send(event).await.ok()?,
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

/// Bits for spreading attempts; without a source of randomness they are merely not spread.
fn random() -> u64 {
    let mut bits = [0; 8];
    match getrandom::fill(&mut bits) {
        Ok(()) => u64::from_ne_bytes(bits),
        Err(_) => u64::MAX,
    }
}
