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
//! - Filters can be added and taken away while it runs ([`Link::keep_filters`]): those of single printers, where no
//!   wildcard covers them. They have no part in `Up` and `Down`; each tells of itself with [`LinkEvent::Filter`], and
//!   all of them are told missing when their connection ends.
//! - The link asks once whether the runtime announces updates of components; that also tells classic from lite
//!   ([`Link::runtime`]). Lite is not asked again.
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

mod keeper;

use self::keeper::{FilterKey, FilterReport, Keeper};
use super::connection::{Connection, ConnectionLimits, Credential};
use super::error::{ConnectError, IpcError, PublishError};
use super::operations::{PreUpdate, ReportedState};
use super::settings::{IpcSettings, Token};
use crate::domain::retry::Backoff;
use crate::domain::secret::Secret;
use bytes::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Requests in a row without an answer after which the connection is made anew.
pub const TIMEOUTS_TO_RECONNECT: u32 = 3;

/// Words of filters that may wait for the supervisor.
const REPORTS: usize = 16;

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
    /// One of the filters that [`Link::keep_filters`] asked for is subscribed, or is not any more.
    Filter {
        /// Which.
        filter: String,
        /// Why it is missing; `None` once it is subscribed.
        missing: Option<String>,
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

/// Which Greengrass runtime this is, as far as it has shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Runtime {
    /// Not known yet.
    #[default]
    Unknown,
    /// It announces updates of components, as nucleus classic does.
    Classic,
    /// It does not know that operation, as nucleus lite.
    Lite,
}

/// What is to be subscribed.
#[derive(Debug, Clone, Default)]
struct Wanted {
    /// What `Up` stands for; unknown until the configuration is.
    fixed: Option<Arc<[String]>>,
    more: Arc<BTreeSet<String>>,
}

/// How the link behaves.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Where the nucleus is and who we are.
    pub ipc: IpcSettings,
    /// MQTT filters to keep subscribed; disjoint, because overlapping ones multiply deliveries on nucleus lite.
    /// `None`: [`Link::subscribe`] tells them later; there is no `Up` before.
    pub filters: Option<Vec<String>>,
    /// Where announcements of updates go; bounded, one that finds it full waits with those behind it. `None`: the
    /// runtime is not asked for them.
    pub updates: Option<mpsc::Sender<PreUpdate>>,
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
            filters: Some(filters),
            updates: None,
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
    wanted: watch::Sender<Wanted>,
    runtime: watch::Sender<Runtime>,
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
            wanted: watch::Sender::new(Wanted {
                fixed: settings.filters.clone().map(Into::into),
                more: Arc::default(),
            }),
            runtime: watch::Sender::new(Runtime::Unknown),
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

    /// Tells the filters that `Up` stands for, where the settings did not. Only the first time counts.
    pub fn subscribe(&self, filters: Vec<String>) {
        self.shared.wanted.send_if_modified(|wanted| {
            let first = wanted.fixed.is_none();
            if first {
                wanted.fixed = Some(filters.into());
            }
            first
        });
    }

    /// Keeps these filters subscribed besides, and no others that an earlier call asked for.
    pub fn keep_filters(&self, filters: BTreeSet<String>) {
        self.shared.wanted.send_if_modified(|wanted| {
            let news = *wanted.more != filters;
            if news {
                wanted.more = Arc::new(filters);
            }
            news
        });
    }

    /// Which runtime this is, as far as it has shown.
    pub fn runtime(&self) -> watch::Receiver<Runtime> {
        self.shared.runtime.subscribe()
    }

    /// A secret's value, see [`Connection::get_secret_value`]; [`super::secrets`] says what an error means.
    ///
    /// # Errors
    /// [`IpcError`]
    pub async fn get_secret_value(&self, id: &str) -> Result<Secret, IpcError> {
        let connection = self.shared.connection().ok_or(IpcError::NotConnected)?;
        let outcome = connection.get_secret_value(id).await;
        self.shared.watch_timeouts(&connection, outcome)
    }

    /// Answers an announced update, see [`Connection::defer_component_update`].
    ///
    /// # Errors
    /// [`IpcError`]
    pub async fn defer_component_update(
        &self,
        deployment: &str,
        message: &str,
        recheck_after_ms: u64,
    ) -> Result<(), IpcError> {
        let connection = self.shared.connection().ok_or(IpcError::NotConnected)?;
        let outcome = connection.defer_component_update(deployment, message, recheck_after_ms).await;
        self.shared.watch_timeouts(&connection, outcome)
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
        let (reports, mut inbox) = mpsc::channel(REPORTS);
        // Dropped, and with it all keepers and their subscriptions, when this connection is over.
        let mut keepers = JoinSet::new();
        if self.settings.watch_configuration {
            keepers.spawn(self.keeper(connection).keep_configuration());
        }
        if let Some(updates) = self.settings.updates.clone()
            && *self.shared.runtime.borrow() != Runtime::Lite
        {
            keepers.spawn(self.keeper(connection).keep_updates(updates));
        }
        let mut wanted = self.shared.wanted.subscribe();
        let mut fixed: Option<Vec<bool>> = None;
        let mut more: BTreeMap<String, Kept> = BTreeMap::new();
        let mut serial = 0;
        let mut up = false;
        let reason = loop {
            let filters = wanted.borrow_and_update().clone();
            if fixed.is_none()
                && let Some(filters) = filters.fixed
            {
                for (index, filter) in filters.iter().enumerate() {
                    let key = FilterKey::Fixed(index);
                    keepers.spawn(self.keeper(connection).keep_filter(key, filter.clone(), reports.clone()));
                }
                fixed = Some(vec![false; filters.len()]);
            }
            more.retain(|filter, kept| {
                let keep = filters.more.contains(filter);
                if !keep {
                    kept.keeper.abort();
                }
                keep
            });
            for filter in filters.more.iter() {
                if !more.contains_key(filter) {
                    serial += 1;
                    let key = FilterKey::More { filter: filter.clone(), serial };
                    let keeper =
                        keepers.spawn(self.keeper(connection).keep_filter(key, filter.clone(), reports.clone()));
                    more.insert(filter.clone(), Kept { keeper, serial, subscribed: false });
                }
            }
            if !up && fixed.as_ref().is_some_and(|fixed| fixed.iter().all(|subscribed| *subscribed)) {
                up = true;
                *attempt = 0;
                self.ups += 1;
                self.last_down = None;
                self.emit(LinkEvent::Up { connection: self.ups }).await?;
            }
            tokio::select! {
                // First: the end of the connection explains the end of its subscriptions.
                biased;
                reason = connection.ended() => break reason,
                () = self.events.closed() => return Err(Unwanted),
                Some(FilterReport { key, missing }) = inbox.recv() => match key {
                    FilterKey::Fixed(index) => {
                        if let Some(state) = fixed.as_mut().and_then(|fixed| fixed.get_mut(index)) {
                            *state = missing.is_none();
                        }
                        if let Some(reason) = missing {
                            up = false;
                            self.down(reason).await?;
                        }
                    }
                    FilterKey::More { filter, serial } => {
                        // Another one may be kept for this filter by now, or none.
                        let kept = more.get_mut(&filter).filter(|kept| kept.serial == serial);
                        if let Some(kept) = kept {
                            kept.subscribed = missing.is_none();
                            self.emit(LinkEvent::Filter { filter, missing }).await?;
                        }
                    }
                },
                // The sender is ours: it does not end.
                Ok(()) = wanted.changed() => {}
                // Who has ended is not wanted any more.
                Some(_) = keepers.join_next() => {}
            }
        };
        for (filter, _) in more.into_iter().filter(|(_, kept)| kept.subscribed) {
            self.emit(LinkEvent::Filter { filter, missing: Some(reason.clone()) }).await?;
        }
        Ok(reason)
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

/// A filter that is kept besides.
struct Kept {
    keeper: AbortHandle,
    serial: u64,
    subscribed: bool,
}

/// Bits for spreading attempts; without a source of randomness they are merely not spread.
fn random() -> u64 {
    let mut bits = [0; 8];
    match getrandom::fill(&mut bits) {
        Ok(()) => u64::from_ne_bytes(bits),
        Err(_) => u64::MAX,
    }
}
