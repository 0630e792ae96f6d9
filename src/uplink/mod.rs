//! The uplink: drains what waits in the store to the cloud, and hands on what the cloud asks.
//!
//! One owner loop: peek → publish → confirm. What is on its way lives in [`Window`] (messages) and [`Lane`] (shadow
//! updates), both pure; what waits lives in the two databases. A row is deleted only on its true echo, a shadow's
//! confirmed side moves only on `update/accepted` with our token.
//!
//! - Order: job statuses first, then events and statuses of printers, then telemetry, many records to a message.
//! - Channels wake, tables hold: [`Wake`] only says "look again"; losing a wake-up costs nothing but the next one.
//! - A runtime may lose its subscriptions without a word. When publishes are taken and no echo comes, the link is made
//!   anew; when nothing flows for an hour, a small probe asks for its own echo.
//! - Where one wildcard cannot cover all printers (a flat topic root, classic shadows of things) each printer has
//!   subscriptions of its own (`places`). What waits for a printer without a working one is held, with the reason, and
//!   goes out when it works; who is not served is told in the gateway's status.
//! - Commands go to the job book's owner through a bounded channel. Full: the command is dropped and counted; by the
//!   delivery contract the submitter sends it again.
//!
//! Not here: what messages say (`jobs`, `hub`), when the link is made anew (`cloud::greengrass::Link`).

mod naming;
mod places;
mod shadows;
mod status;
mod view;

pub use naming::take_over;
pub use places::Names;
pub use status::GatewayFacts;

use crate::cloud::Command;
use crate::cloud::greengrass::{Link, LinkEvent, PublishError, Runtime};
use crate::cloud::wire::{self, GatewayEvent, Inbound, ShadowAccepted, ShadowDelta, ShadowRejected, Topics};
use crate::domain::ids::{GatewayName, MessageId, PrinterId};
use crate::domain::lane::{self, Lane};
use crate::domain::outbox::{Allowance, Failure, Limits, Message, Progress, Rows, Window};
use crate::domain::subscriptions::Subscriptions;
use crate::store::gateway::GatewayStore;
use crate::store::jobs::JobStore;
use crate::store::{OutboxRow, StoreError, Wake};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Publishes whose echo or answer is open, of both kinds: nucleus lite allows 10 for all components together.
const OPEN_MAX: usize = 10;
/// Telemetry records looked at for one message.
const RECORDS_PEEKED: usize = 64;
/// Link events taken at once, so that their confirmations share a commit.
const EVENTS_AT_ONCE: usize = 64;
/// Rows looked at in one go while some of them cannot be sent, and rows that wait for their printer's subscription
/// before no more are looked at.
const AHEAD: usize = 256;
const SOON_MAX: usize = 512;
/// How often the gateway's status is sent when nothing changed.
const PERIODIC: Duration = Duration::from_secs(6 * 3600);
/// Silence after which a probe asks for its own echo: 24 a day, 48 messages with their echoes.
const PROBE_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// Silence in which a probe's echo was missed too: the way to the cloud was interrupted.
const AWAY: SignedDuration = SignedDuration::from_mins(75);
/// Silence after which an echo means that the way to the cloud was shut and is open again.
const SILENCE: SignedDuration = SignedDuration::from_secs(10);
/// Changes of the gateway's status that are told at once, each after a moment in which more may change; then as many in
/// each half hour. Errors of the configuration are always told at once.
const CHANGES_AT_ONCE: usize = 3;
const CHANGES_SETTLE: SignedDuration = SignedDuration::from_secs(2);
const CHANGES_PERIOD: SignedDuration = SignedDuration::from_mins(30);
/// Sends of one message without an echo before the link is made anew, and the pause between two such cures.
const DEAF_AFTER_TRIES: u32 = 4;
const CURE_PAUSE: SignedDuration = SignedDuration::from_secs(120);
/// Longest sleep of the loop.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// How long the last messages of a gateway that stops may take to be confirmed; less than `app` waits for the uplink.
const FAREWELL: Duration = Duration::from_millis(800);
/// Pause after the store refused, so that a full disk does not spin the loop.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// What the uplink works with.
pub struct Parts {
    /// Our thing name.
    pub gateway: GatewayName,
    /// How topics and shadows are named; what waits in the store is named so too ([`take_over`]).
    pub topics: Topics,
    /// The printers there are.
    pub names: watch::Receiver<Arc<Names>>,
    /// The link to the nucleus and its events.
    pub link: Link,
    /// What the link tells.
    pub events: mpsc::Receiver<LinkEvent>,
    /// The job book's file.
    pub jobs: JobStore,
    /// The gateway's file.
    pub store: GatewayStore,
    /// Where commands go.
    pub commands: mpsc::Sender<Command>,
    /// Where what shadows desire goes. Full: it is dropped, and asked for again (see `shadows`).
    pub desired: mpsc::Sender<(PrinterId, ShadowDelta)>,
    /// Whether shadows decide which printers are used: what they desire is asked for whenever the link comes up.
    pub shadows_approve: bool,
    /// Something new waits.
    pub wake: Wake,
    /// What the gateway's status tells besides the store's figures.
    pub facts: watch::Receiver<GatewayFacts>,
    /// The configuration changed at the nucleus.
    pub configuration_changed: Arc<Notify>,
    /// Limits of messages.
    pub limits: Limits,
    /// Limits of shadow updates.
    pub shadow_limits: lane::Limits,
    /// Cancelled before the uplink is, when the whole gateway stops: only then does it say "stopping".
    pub farewell: CancellationToken,
    /// Where others read how it goes.
    pub view: watch::Sender<Progress>,
}

/// How the uplink ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Cancelled,
    /// The nucleus refuses us for good, or a database is damaged: a new start helps.
    Refused(String),
}

/// Runs until `cancel`, or until the nucleus refuses us for good.
pub async fn run(parts: Parts, cancel: CancellationToken) -> Ended {
    let (results, outcomes) = mpsc::channel(OPEN_MAX * 2);
    let topics = parts.topics.clone();
    let subscriptions = (topics.filters_per_printer() > 0).then(|| Subscriptions::new(topics.is_shared()));
    let mut uplink = Uplink {
        runtime: parts.link.runtime(),
        subscriptions,
        unserved_changed: false,
        unserved: Vec::new(),
        unserved_news: false,
        window: Window::new(parts.limits.clone()),
        lane: Lane::new(parts.shadow_limits.clone()),
        topics,
        parts,
        up: false,
        results,
        heard: Timestamp::now(),
        approvals_missed: false,
        answered: false,
        published: false,
        cured: None,
        told: None,
        change_due: None,
        changes: Allowance::new(CHANGES_AT_ONCE, CHANGES_SETTLE, CHANGES_PERIOD),
        dropped_commands: 0,
        unsendable: BTreeMap::new(),
        done_jobs: Vec::new(),
        done_gateway: Vec::new(),
    };
    uplink.run(outcomes, cancel).await
}

struct Uplink {
    parts: Parts,
    topics: Topics,
    runtime: watch::Receiver<Runtime>,
    /// Only where printers need subscriptions of their own.
    subscriptions: Option<Subscriptions>,
    /// Who is not served may have changed since it was last looked at.
    unserved_changed: bool,
    /// Printers that are not served, and why.
    unserved: Vec<(String, String)>,
    /// The cloud was not told of these yet.
    unserved_news: bool,
    window: Window,
    lane: Lane,
    up: bool,
    results: mpsc::Sender<Sent>,
    /// When the cloud's side was last heard: an echo, or an answer to a shadow update.
    heard: Timestamp,
    /// What shadows desired may have been missed.
    approvals_missed: bool,
    /// It was heard in this run.
    answered: bool,
    /// The nucleus took the last publish.
    published: bool,
    /// When the link was last made anew for its silence.
    cured: Option<Timestamp>,
    /// The facts that the last status told, and when the next change is told.
    told: Option<GatewayFacts>,
    change_due: Option<Timestamp>,
    changes: Allowance,
    dropped_commands: u64,
    /// Parts of shadows that fit into no update, as last warned of: by printer.
    unsendable: BTreeMap<String, Vec<String>>,
    /// Rows that the cloud has and the store still holds: deleted before anything else is sent.
    done_jobs: Vec<i64>,
    done_gateway: Vec<i64>,
}

/// A publish ended.
struct Sent {
    id: String,
    shadow: bool,
    outcome: Result<(), PublishError>,
}

impl Uplink {
    async fn run(&mut self, mut outcomes: mpsc::Receiver<Sent>, cancel: CancellationToken) -> Ended {
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        let mut periodic = tokio::time::interval(PERIODIC);
        periodic.reset();
        let mut facts_open = true;
        let mut places_open = self.subscriptions.is_some();
        self.give_places();
        loop {
            let pause = match self.step().await {
                Ok(due) => until(due),
                Err(error) if error.is_damage() => return Ended::Refused(error.to_string()),
                Err(error) => {
                    tracing::error!(%error, "what waits for the cloud cannot be read or marked; trying again");
                    STORE_PAUSE
                }
            };
            self.publish_view();
            let wake = self.parts.wake.clone();
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    if self.parts.farewell.is_cancelled() && self.up {
                        let said = self.say_farewell(&mut events, &mut outcomes);
                        // What is not confirmed by then is kept and goes out after the next start.
                        let _ = tokio::time::timeout(FAREWELL, said).await;
                    }
                    return Ended::Cancelled;
                }
                taken = self.parts.events.recv_many(&mut events, EVENTS_AT_ONCE) => {
                    if taken == 0 {
                        return if cancel.is_cancelled() {
                            Ended::Cancelled
                        } else {
                            Ended::Refused("the link to the nucleus ended".into())
                        };
                    }
                    if let Some(reason) = self.take_events(&mut events).await {
                        return Ended::Refused(reason);
                    }
                }
                Some(sent) = outcomes.recv() => self.sent(sent).await,
                changed = self.parts.facts.changed(), if facts_open => {
                    facts_open = changed.is_ok();
                    if facts_open {
                        self.facts_changed().await;
                    }
                }
                changed = self.parts.names.changed(), if places_open => {
                    places_open = changed.is_ok();
                    self.give_places();
                }
                Ok(()) = self.runtime.changed() => self.give_places(),
                _ = periodic.tick() => self.tell_status(GatewayEvent::Periodic).await,
                () = wake.woken() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Tells the cloud that the gateway stops, and drains what waits until all of it is confirmed.
    async fn say_farewell(&mut self, events: &mut Vec<LinkEvent>, outcomes: &mut mpsc::Receiver<Sent>) {
        self.tell_status(GatewayEvent::Stopping).await;
        loop {
            let Ok(due) = self.step().await else { return };
            if self.window.room() >= self.parts.limits.size {
                return;
            }
            tokio::select! {
                biased;
                taken = self.parts.events.recv_many(events, EVENTS_AT_ONCE) => {
                    if taken == 0 || self.take_events(events).await.is_some() {
                        return;
                    }
                }
                Some(sent) = outcomes.recv() => self.sent(sent).await,
                () = tokio::time::sleep(until(due)) => {}
            }
        }
    }

    /// Admits what waits and sends what is due. Answers when to look again.
    async fn step(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let now = Timestamp::now();
        for printer in self.lane.overdue(now, random()) {
            tracing::debug!(printer, "no answer to a shadow update; it will be tried again");
        }
        // What cannot be deleted would be taken for new, and sent again as fast as its echoes come.
        self.delete_confirmed().await?;
        if !self.up {
            return Ok(None);
        }
        self.look_at_unserved(now);
        self.tell_due_change(now).await;
        let missed = std::mem::take(&mut self.approvals_missed);
        if self.probe(now) || missed {
            self.ask_for_approvals(missed).await;
        }
        self.probe_printers(now);
        self.cure_deafness(now);
        let mut due = self.start_shadows(now).await?;
        self.admit(now).await?;
        while let Some(message) = self.window.next_send(now, random()) {
            self.publish(message.id, message.topic, message.payload, false);
        }
        let probes = self.subscriptions.as_ref().and_then(Subscriptions::next_due);
        for other in [self.window.next_due(now), self.lane.next_due(now), self.change_due, probes] {
            due = match (due, other) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        Ok(due)
    }

    /// Errors of the configuration are told at once; counts settle first, and have an allowance.
    async fn facts_changed(&mut self) {
        let facts = self.parts.facts.borrow().clone();
        if self.told.as_ref().is_none_or(|told| told.config != facts.config) {
            self.tell_status(GatewayEvent::Change).await;
            return;
        }
        self.change_due.get_or_insert(self.changes.due(Timestamp::now()));
    }

    async fn tell_due_change(&mut self, now: Timestamp) {
        if self.change_due.is_none_or(|due| due > now) {
            return;
        }
        self.change_due = None;
        if self.told.as_ref() == Some(&*self.parts.facts.borrow()) && !self.unserved_news {
            return;
        }
        self.changes.told(now);
        self.tell_status(GatewayEvent::Change).await;
    }

    /// Something came back. After a silence that means that the way is open again: what waited out its pauses goes now.
    fn heard_now(&mut self) {
        let now = Timestamp::now();
        let silence = now.duration_since(self.heard).abs();
        if silence > SILENCE {
            self.window.link_up(now);
        }
        // Its own echo was not answered either: what shadows desired meanwhile may be lost.
        self.approvals_missed |= silence > AWAY;
        self.heard = now;
        self.answered = true;
    }

    /// Asks for its own echo when nothing else told for long that the way to the cloud and back is open; whether it did.
    fn probe(&mut self, now: Timestamp) -> bool {
        if !self.window.is_empty() || now.duration_since(self.heard).abs() < PROBE_AFTER {
            return false;
        }
        let id = message_id();
        let document = wire::Message::new(id.clone(), now, self.parts.gateway.clone(), wire::EchoProbe {});
        if let Ok(payload) = wire::encode("echo", &document) {
            let (id, topic) = (id.to_string(), self.topics.echo_probe());
            self.window.admit(Message { id, topic, payload, rows: Rows::Volatile, job: None }, now);
        }
        true
    }

    /// Makes the link anew when publishes are taken and nothing comes back.
    fn cure_deafness(&mut self, now: Timestamp) {
        let deaf = self.published
            // A single printer's subscription may not work for reasons of its own.
            && self.window.most_tries(|message| !self.topics.is_printer_probe(&message.topic)) >= DEAF_AFTER_TRIES
            && now.duration_since(self.heard).abs() > self.parts.limits.deaf_after
            && self.cured.is_none_or(|cured| now.duration_since(cured).abs() > CURE_PAUSE);
        if deaf {
            self.cured = Some(now);
            self.up = false;
            self.parts.link.reconnect("publishes are taken, but nothing comes back");
        }
    }

    fn room(&self) -> usize {
        let open = (self.parts.limits.size - self.window.room()) + self.lane.len();
        self.window.room().min(OPEN_MAX.max(self.parts.limits.size).saturating_sub(open))
    }

    async fn admit(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let mut soon = Vec::new();
        let mut ahead = 0;
        while self.room() > 0 {
            let busy = [self.window.job_rows(), soon.clone()].concat();
            let sorted = self.sort(self.parts.jobs.peek(self.room().max(ahead), busy).await?);
            for row in sorted.send {
                let rows = Rows::Job(row.row);
                self.window.admit(message(row, rows), now);
            }
            for (why, rows) in &sorted.hold {
                self.parts.jobs.hold(rows.clone(), why).await?;
            }
            soon.extend(sorted.soon);
            if !sorted.more || soon.len() >= SOON_MAX {
                break;
            }
            ahead = AHEAD;
        }
        let mut soon = Vec::new();
        let mut ahead = 0;
        while self.room() > 0 {
            let busy = [self.window.gateway_rows(), soon.clone()].concat();
            let sorted = self.sort(self.parts.store.peek(self.room().max(ahead), busy).await?);
            for row in sorted.send {
                let rows = Rows::Gateway(vec![row.row]);
                self.window.admit(message(row, rows), now);
            }
            for (why, rows) in &sorted.hold {
                self.parts.store.hold(rows.clone(), why).await?;
            }
            soon.extend(sorted.soon);
            if !sorted.more || soon.len() >= SOON_MAX {
                break;
            }
            ahead = AHEAD;
        }
        while self.room() > 0 {
            let records = self.parts.store.peek_telemetry(RECORDS_PEEKED, self.window.gateway_rows()).await?;
            let Some(batch) = self.batch(records, now).await? else { break };
            if !self.window.admit(batch, now) {
                break;
            }
        }
        Ok(())
    }

    /// One telemetry message of as many records as fit.
    async fn batch(&mut self, records: Vec<OutboxRow>, now: Timestamp) -> Result<Option<Message>, StoreError> {
        let mut rows = Vec::new();
        let mut parsed = Vec::new();
        for record in records {
            match serde_json::from_slice::<wire::TelemetryRecord>(&record.payload) {
                Ok(value) => {
                    rows.push(record.row);
                    parsed.push(value);
                }
                Err(error) => self.parts.store.wedge(record.row, &format!("does not read back: {error}")).await?,
            }
        }
        let Some(telemetry) = wire::telemetry_batches(parsed).into_iter().next() else { return Ok(None) };
        rows.truncate(telemetry.records.len());
        let id = message_id();
        let document = wire::Message::new(id.clone(), now, self.parts.gateway.clone(), telemetry);
        match wire::encode("telemetry", &document) {
            Ok(payload) => Ok(Some(Message {
                id: id.to_string(),
                topic: self.topics.telemetry(),
                payload,
                rows: Rows::Gateway(rows),
                job: None,
            })),
            Err(error) => {
                for row in rows {
                    self.parts.store.wedge(row, &error.to_string()).await?;
                }
                Ok(None)
            }
        }
    }

    fn publish(&self, id: String, topic: String, payload: Vec<u8>, shadow: bool) {
        let (link, results) = (self.parts.link.clone(), self.results.clone());
        tokio::spawn(async move {
            let outcome = link.publish(&topic, payload.into()).await;
            // The receiver is gone only when the uplink has ended.
            let _ = results.send(Sent { id, shadow, outcome }).await;
        });
    }

    /// A publish that succeeded proves nothing; one that failed may have to be set aside.
    async fn sent(&mut self, sent: Sent) {
        self.published = sent.outcome.is_ok();
        let Err(error) = sent.outcome else { return };
        let failure = match &error {
            PublishError::TooLarge { .. } => Failure::Never,
            PublishError::Unauthorized { .. } => {
                tracing::error!(%error, "a message cannot be published");
                Failure::Later
            }
            _ => {
                tracing::debug!(%error, id = sent.id, "a publish failed; it will be tried again");
                Failure::Later
            }
        };
        if sent.shadow {
            self.lane.failed(&sent.id, Timestamp::now(), random());
            return;
        }
        if let Some(message) = self.window.failed(&sent.id, failure) {
            tracing::error!(%error, topic = message.topic, "a message is set aside");
            let why = error.to_string();
            let outcome = match message.rows {
                Rows::Job(row) => self.parts.jobs.wedge(row, &why).await,
                Rows::Gateway(rows) => {
                    let mut outcome = Ok(());
                    for row in rows {
                        outcome = outcome.and(self.parts.store.wedge(row, &why).await);
                    }
                    outcome
                }
                Rows::Volatile => Ok(()),
            };
            if let Err(error) = outcome {
                tracing::error!(%error, "a message could not be marked as set aside");
            }
        }
    }

    /// Applies what the link told; the next step deletes what it confirmed. Answers why the nucleus refuses us, if it does.
    async fn take_events(&mut self, events: &mut Vec<LinkEvent>) -> Option<String> {
        let mut refused = None;
        for event in events.drain(..) {
            match event {
                LinkEvent::Up { connection } => {
                    tracing::info!(connection, "connected to the nucleus");
                    let now = Timestamp::now();
                    self.up = true;
                    self.window.link_up(now);
                    self.lane.link_up();
                    self.parts.configuration_changed.notify_one();
                    self.ask_for_approvals(true).await;
                    self.tell_status(GatewayEvent::Online).await;
                }
                LinkEvent::Down { reason } => {
                    tracing::warn!(reason, "not connected to the nucleus; everything is kept");
                    self.up = false;
                }
                LinkEvent::Filter { filter, missing } => self.filter_changed(&filter, missing),
                LinkEvent::ConfigurationChanged { .. } => self.parts.configuration_changed.notify_one(),
                LinkEvent::Refused { reason } => refused = Some(reason),
                LinkEvent::Message { topic, payload } => {
                    if let Some(message) = self.message(&topic, payload).await {
                        match message.rows {
                            Rows::Job(row) => self.done_jobs.push(row),
                            Rows::Gateway(rows) => self.done_gateway.extend(rows),
                            Rows::Volatile => {}
                        }
                    }
                }
            }
        }
        refused
    }

    /// Deletes what the cloud is known to have. An error keeps it for the next try.
    async fn delete_confirmed(&mut self) -> Result<(), StoreError> {
        if !self.done_jobs.is_empty() {
            self.parts.jobs.confirmed(self.done_jobs.clone()).await?;
            self.done_jobs.clear();
        }
        if !self.done_gateway.is_empty() {
            self.parts.store.confirmed(self.done_gateway.clone()).await?;
            self.done_gateway.clear();
        }
        Ok(())
    }

    /// Something arrived. Answers the message that it confirms.
    async fn message(&mut self, topic: &str, payload: bytes::Bytes) -> Option<Message> {
        match self.topics.parse(topic)? {
            Inbound::Echo { printer } => {
                #[derive(serde::Deserialize)]
                struct Id {
                    id: String,
                }
                let id: Id = serde_json::from_slice(&payload).ok()?;
                let echo = self.window.echo(topic, &id.id, &payload);
                if echo.is_some() {
                    self.heard_now();
                    if let Some(printer) = printer {
                        self.heard_of(printer).await;
                    }
                }
                echo
            }
            Inbound::Submit { printer } => {
                self.command(Command::Submit { printer: printer.to_owned(), payload });
                None
            }
            Inbound::Control { printer } => {
                self.command(Command::Control { printer: printer.to_owned(), payload });
                None
            }
            Inbound::ShadowAccepted { printer } => {
                let token = ShadowAccepted::parse(&payload)?.client_token?;
                if let Some(patch) = self.lane.accepted(printer, &token) {
                    self.heard_now();
                    // It may have been refused before.
                    self.unserved_changed |= !self.unserved.is_empty();
                    self.shadow_accepted(printer, &patch).await;
                }
                None
            }
            Inbound::ShadowRejected { printer } => {
                self.shadow_rejected(printer, ShadowRejected::parse(&payload)?);
                None
            }
            Inbound::ShadowDelta { printer } => {
                self.desired(printer, &payload);
                None
            }
        }
    }

    fn command(&mut self, command: Command) {
        if self.parts.commands.try_send(command).is_err() {
            self.dropped_commands += 1;
            tracing::warn!(
                dropped = self.dropped_commands,
                "a command was dropped: too many at once; its sender will send it again"
            );
        }
    }

    async fn tell_status(&mut self, event: GatewayEvent) {
        let facts = self.parts.facts.borrow().clone();
        let Parts { gateway, jobs, store, .. } = &self.parts;
        if let Err(error) = status::store(gateway, &self.topics, jobs, store, &facts, &self.unserved, event).await {
            tracing::error!(%error, "the gateway's status could not be stored");
            return;
        }
        self.told = Some(facts);
        self.unserved_news = false;
    }
}

fn message(row: OutboxRow, rows: Rows) -> Message {
    Message { id: row.message, topic: row.topic, payload: row.payload, rows, job: row.job }
}

/// A fresh message id.
pub fn message_id() -> MessageId {
    let mut bits = [0; 16];
    // The system's random source does not fail once the system is up; zeros would only make an id less random.
    let _ = getrandom::fill(&mut bits);
    MessageId::from_random(bits)
}

fn random() -> u64 {
    let mut bits = [0; 8];
    let _ = getrandom::fill(&mut bits);
    u64::from_ne_bytes(bits)
}

fn until(due: Option<Timestamp>) -> Duration {
    match due {
        None => LONGEST_SLEEP,
        Some(due) => {
            let pause = due.duration_since(Timestamp::now());
            Duration::try_from(pause).unwrap_or(Duration::ZERO).clamp(Duration::from_millis(1), LONGEST_SLEEP)
        }
    }
}
