//! One connection to the nucleus, owned by one task.
//!
//! ```text
//! call / subscribe ──Command──▶ ┌ owner ───────────────────────────────┐ ──▶ out buffer ──▶ socket
//!        ▲                      │ latest stream id                     │
//!        └──oneshot── answer ◀──│ streams: id → Call | Subscription    │ ◀── frames ◀────── socket
//! Subscription ◀──bounded queue─└──────────────────────────────────────┘
//! ```
//!
//! Invariants:
//! - The owner alone allocates stream ids, encodes and writes, in that order of events: encode with latest+1, then
//!   take the id, then append the whole frame to the out buffer. Ids on the wire are 1, 2, 3, … without gap.
//! - The out buffer is written as the socket takes it, while reading goes on: a frame is never cut, and two peers that
//!   both write never wait for each other. No new request is taken while more than [`OUT_HIGH_WATER`] bytes wait.
//! - A caller waits on a oneshot with a deadline. When it gives up, a late answer is ignored; a late answer to a
//!   subscribe request ends the stream at the nucleus.
//! - A subscription's queue is bounded by messages and bytes. What does not fit is dropped, *newest first*: what was
//!   taken in is delivered in order, and the sender of the dropped message sees no echo or status and sends again.
//!   Each drop is counted.
//! - A subscription ends with a reason, its last value. Dropping it ends the stream at the nucleus.
//! - Every table and queue has a limit: commands, open streams, queued events, the size of a frame.
//!
//! An event of a subscription may come before the answer to the subscribe request (nucleus lite starts delivering
//! before it answers): the two are told apart by the model name, responses end in `Response`.

mod handshake;
mod owner;

pub use handshake::Credential;

use super::error::{ConnectError, IpcError};
use super::settings::Token;
use bytes::Bytes;
use handshake::handshake;
use owner::{Answer, Command, EventSink, Owner, Waiter, bad_answer};
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bytes that may wait to be written before no further request is taken.
pub const OUT_HIGH_WATER: usize = 64 * 1024;
/// Requests that may wait for the owner.
const COMMAND_QUEUE: usize = 64;
/// Least room for one read.
const READ_CHUNK: usize = 8 * 1024;
/// Why a connection ended that we gave up ourselves without saying more.
const OUR_SIDE: &str = "closed on our side";

/// Limits of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How long CONNECT and each request may take.
    pub timeout: Duration,
    /// The longest frame that is taken in, in bytes. Nucleus lite sends at most 10,000, classic about 180,000 with its
    /// default MQTT message size.
    pub max_inbound_frame: usize,
    /// The longest message that is sent, in bytes of headers, payload and checksum. Nucleus lite closes the
    /// connection, with all subscriptions, at more than 10,000.
    pub max_outbound_message: usize,
    /// Streams that may be open: requests under way and subscriptions.
    pub max_streams: usize,
    /// Events that may wait in one subscription.
    pub queue_messages: usize,
    /// Bytes of events that may wait in one subscription.
    pub queue_bytes: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_inbound_frame: 1024 * 1024,
            max_outbound_message: 10_000,
            max_streams: 256,
            queue_messages: 256,
            queue_bytes: 2 * 1024 * 1024,
        }
    }
}

/// A connection. Clones share it; it ends when the last clone is dropped, or by [`Connection::close`].
#[derive(Debug, Clone)]
pub struct Connection {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    ended: watch::Receiver<Option<String>>,
    limits: ConnectionLimits,
    /// Closes the connection when the last clone is dropped.
    _open: Arc<DropGuard>,
}

/// What callers and the owner share besides the command queue.
#[derive(Debug)]
struct Shared {
    /// Somebody gave up: the owner looks through its streams.
    abandoned: Notify,
    /// Somebody wants the connection closed, for the reason in `close_reason`.
    close: CancellationToken,
    close_reason: OnceLock<String>,
    /// Events dropped because their queue was full. Shared by all connections of a link.
    dropped: Arc<AtomicU64>,
}

impl Connection {
    /// Opens the socket, shows the credential and waits for CONNECT_ACK. With it comes the fresh token, where the
    /// nucleus sent one. `dropped` counts events that found their queue full.
    ///
    /// # Errors
    /// [`ConnectError`]; [`ConnectError::is_refusal`] tells "would not have us" from "not there".
    pub async fn connect(
        socket: &Path,
        credential: Credential<'_>,
        limits: ConnectionLimits,
        dropped: Arc<AtomicU64>,
    ) -> Result<(Self, Option<Token>), ConnectError> {
        let handshake = handshake(socket, credential, limits);
        let (stream, reader, token) = tokio::time::timeout(limits.timeout, handshake)
            .await
            .map_err(|_| ConnectError::Timeout { after: limits.timeout })??;
        let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
        let shared = Arc::new(Shared {
            abandoned: Notify::new(),
            close: CancellationToken::new(),
            close_reason: OnceLock::new(),
            dropped,
        });
        let (ended_tx, ended) = watch::channel(None);
        let (read_half, write_half) = stream.into_split();
        let owner = Owner::new(reader, shared.clone(), limits);
        tokio::spawn(async move {
            owner.run(read_half, write_half, command_queue, ended_tx).await;
        });
        let open = Arc::new(shared.close.clone().drop_guard());
        Ok((Self { commands, shared, ended, limits, _open: open }, token))
    }

    /// Sends `request` (a JSON object) as `operation` (without namespace) and returns the answer's JSON object.
    ///
    /// # Errors
    /// [`IpcError`]; after `Timeout` and `Closed` the request may have been carried out.
    pub async fn call(&self, operation: &'static str, request: &Value) -> Result<Value, IpcError> {
        let (reply, answer) = oneshot::channel();
        let payload = self.send(operation, request, Waiter::Call(reply), answer).await?;
        parse_object(operation, &payload)
    }

    /// Like [`Connection::call`], but the stream stays open for events.
    ///
    /// # Errors
    /// [`IpcError`]; no subscription exists then.
    pub async fn subscribe(&self, operation: &'static str, request: &Value) -> Result<Subscription, IpcError> {
        let (reply, answer) = oneshot::channel();
        let (events, queue) = mpsc::channel(self.limits.queue_messages.max(1));
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let waiter = Waiter::Subscribe(reply, EventSink { events, queued_bytes: queued_bytes.clone() });
        // Made first, so that giving up at any point below drops it, which ends the stream.
        let subscription = Subscription { queue, queued_bytes, shared: self.shared.clone(), ended: self.ended.clone() };
        self.send(operation, request, waiter, answer).await?;
        Ok(subscription)
    }

    /// Waits until the connection has ended and says why.
    pub async fn ended(&self) -> String {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the owner task is gone".to_owned(),
        }
    }

    /// Ends the connection: requests under way fail, subscriptions end, all with this reason.
    pub fn close(&self, reason: &str) {
        // The first reason stands.
        let _ = self.shared.close_reason.set(reason.to_owned());
        self.shared.close.cancel();
    }

    async fn send(
        &self,
        operation: &'static str,
        request: &Value,
        waiter: Waiter,
        answer: oneshot::Receiver<Answer>,
    ) -> Result<Bytes, IpcError> {
        let command = Command { operation, payload: request.to_string().into(), waiter };
        // Dropped with this future, whether it ends or is given up: the owner then looks for closed waiters.
        let mut abandon = Abandon { shared: Some(&self.shared) };
        let exchange = async {
            if self.commands.send(command).await.is_err() {
                return Err(self.closed_error());
            }
            match answer.await {
                Ok(answer) => answer,
                Err(_) => Err(self.closed_error()),
            }
        };
        let answer = tokio::time::timeout(self.limits.timeout, exchange).await;
        match answer {
            Ok(answer) => {
                abandon.shared = None;
                answer
            }
            Err(_) => Err(IpcError::Timeout { operation: operation.to_owned(), after: self.limits.timeout }),
        }
    }

    fn closed_error(&self) -> IpcError {
        let reason = self.ended.borrow().clone();
        IpcError::Closed { reason: reason.unwrap_or_else(|| OUR_SIDE.to_owned()) }
    }
}

/// The open end of a subscription. Dropping it ends the stream at the nucleus.
#[derive(Debug)]
pub struct Subscription {
    queue: mpsc::Receiver<Event>,
    queued_bytes: Arc<AtomicUsize>,
    shared: Arc<Shared>,
    ended: watch::Receiver<Option<String>>,
}

/// One event as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// The `service-model-type`, without namespace; empty where absent.
    pub model: String,
    /// The JSON payload.
    pub payload: Bytes,
}

/// What travels in a subscription's queue.
#[derive(Debug)]
enum Event {
    Message(RawEvent),
    End(String),
}

impl Subscription {
    /// The next event, or the reason why there will be none any more. Cancel-safe.
    ///
    /// # Errors
    /// The reason for the end, for people.
    pub async fn recv(&mut self) -> Result<RawEvent, String> {
        match self.queue.recv().await {
            Some(Event::Message(event)) => {
                self.queued_bytes.fetch_sub(event.payload.len(), Ordering::Relaxed);
                Ok(event)
            }
            Some(Event::End(reason)) => {
                self.queue.close();
                Err(reason)
            }
            None => Err(self.ended.borrow().clone().unwrap_or_else(|| "the nucleus ended the subscription".to_owned())),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.queue.close();
        self.shared.abandoned.notify_one();
    }
}

/// Wakes the owner when a caller stops waiting.
struct Abandon<'a> {
    shared: Option<&'a Shared>,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared {
            shared.abandoned.notify_one();
        }
    }
}

fn parse_object(operation: &'static str, payload: &[u8]) -> Result<Value, IpcError> {
    if payload.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_slice::<Value>(payload) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(bad_answer(operation, "not a JSON object")),
        Err(error) => Err(bad_answer(operation, &error.to_string())),
    }
}
