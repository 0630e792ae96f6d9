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

use super::error::{ConnectError, IpcError, ServiceErrorKind, clean};
use super::frame::{FLAG_CONNECTION_ACCEPTED, FLAG_TERMINATE_STREAM, Frame, FrameReader, VERSION, message_type};
use super::settings::Token;
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Bytes that may wait to be written before no further request is taken.
pub const OUT_HIGH_WATER: usize = 64 * 1024;
/// Bytes of PING answers that may wait to be written; further PINGs go unanswered until the peer reads.
const OUT_HARD_LIMIT: usize = 2 * OUT_HIGH_WATER;
/// Requests that may wait for the owner.
const COMMAND_QUEUE: usize = 64;
/// Least room for one read.
const READ_CHUNK: usize = 8 * 1024;
/// Why a connection ended that we gave up ourselves without saying more.
const OUR_SIDE: &str = "closed on our side";
/// Namespace of operations and models.
const NAMESPACE: &str = "aws.greengrass#";

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

/// What is shown to the nucleus to be let in.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// `{"authToken": …}`: both runtimes.
    Token(&'a Token),
    /// `{"componentName": …}`: nucleus lite, which checks that our process belongs to the component and answers with a
    /// fresh token.
    ComponentName(&'a str),
}

impl Credential<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::ComponentName(_) => "component name",
        }
    }

    fn payload(self) -> Vec<u8> {
        match self {
            Self::Token(token) => serde_json::json!({ "authToken": token.expose() }),
            Self::ComponentName(name) => serde_json::json!({ "componentName": name }),
        }
        .to_string()
        .into_bytes()
    }
}

/// A connection. Clones share it; it ends when the last clone is dropped, or by [`Connection::close`].
#[derive(Debug, Clone)]
pub struct Connection {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    ended: watch::Receiver<Option<String>>,
    limits: ConnectionLimits,
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
        let owner = Owner {
            reader,
            out: BytesMut::new(),
            latest_stream_id: 0,
            streams: HashMap::new(),
            shared: shared.clone(),
            limits,
        };
        tokio::spawn(async move {
            owner.run(read_half, write_half, command_queue, ended_tx).await;
        });
        Ok((Self { commands, shared, ended, limits }, token))
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

type Answer = Result<Bytes, IpcError>;

#[derive(Debug)]
struct Command {
    operation: &'static str,
    payload: Bytes,
    waiter: Waiter,
}

#[derive(Debug)]
enum Waiter {
    Call(oneshot::Sender<Answer>),
    Subscribe(oneshot::Sender<Answer>, EventSink),
}

impl Waiter {
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Call(reply) | Self::Subscribe(reply, _) => reply.is_closed(),
        }
    }

    fn fail(self, error: IpcError) {
        match self {
            Self::Call(reply) | Self::Subscribe(reply, _) => drop(reply.send(Err(error))),
        }
    }
}

/// The owner's end of a subscription's queue.
#[derive(Debug)]
struct EventSink {
    events: mpsc::Sender<Event>,
    queued_bytes: Arc<AtomicUsize>,
}

impl EventSink {
    /// Queues an event; false if it was dropped because the queue is full.
    fn offer(&self, frame: &Frame, limits: &ConnectionLimits) -> bool {
        let size = frame.payload.len();
        if self.queued_bytes.load(Ordering::Relaxed).saturating_add(size) > limits.queue_bytes {
            return false;
        }
        let model = frame.text("service-model-type").unwrap_or_default();
        let model = clean(model.strip_prefix(NAMESPACE).unwrap_or(model));
        // Copied: a slice would keep the whole read buffer alive while it waits.
        let payload = Bytes::copy_from_slice(&frame.payload);
        self.queued_bytes.fetch_add(size, Ordering::Relaxed);
        match self.events.try_send(Event::Message(RawEvent { model, payload })) {
            Ok(()) => true,
            Err(_) => {
                self.queued_bytes.fetch_sub(size, Ordering::Relaxed);
                // A closed queue is somebody who left, not a loss.
                self.events.is_closed()
            }
        }
    }

    /// Says why it ended. A full queue says it by closing.
    fn end(self, reason: &str) {
        let _ = self.events.try_send(Event::End(reason.to_owned()));
    }
}

/// One open stream.
#[derive(Debug)]
enum Stream {
    /// Waits for its first answer.
    Waiting { operation: &'static str, waiter: Waiter },
    /// Answered and delivering.
    Delivering { operation: &'static str, sink: EventSink },
}

struct Owner {
    reader: FrameReader,
    out: BytesMut,
    latest_stream_id: i32,
    streams: HashMap<i32, Stream>,
    shared: Arc<Shared>,
    limits: ConnectionLimits,
}

impl Owner {
    /// Runs the connection to its end. The reason is in `ended` before anybody who waits hears of it.
    async fn run(
        mut self,
        mut read_half: OwnedReadHalf,
        mut write_half: OwnedWriteHalf,
        mut commands: mpsc::Receiver<Command>,
        ended: watch::Sender<Option<String>>,
    ) {
        let reason = loop {
            // Frames first: the handshake may have read more than CONNECT_ACK.
            if let Err(reason) = self.take_frames() {
                break reason;
            }
            let may_take = self.out.len() < OUT_HIGH_WATER;
            self.reader.buffer().reserve(READ_CHUNK);
            // Every branch is cancel-safe: a losing branch has read, written and taken nothing.
            tokio::select! {
                read = read_half.read_buf(self.reader.buffer()) => match read {
                    Ok(0) if self.reader.is_mid_frame() => break "the nucleus closed it in the middle of a frame".to_owned(),
                    Ok(0) => break "the nucleus closed it".to_owned(),
                    Ok(_) => {}
                    Err(error) => break format!("reading failed: {error}"),
                },
                written = write_half.write_buf(&mut self.out), if !self.out.is_empty() => match written {
                    Ok(0) => break "the nucleus takes no more bytes".to_owned(),
                    Ok(_) => {}
                    Err(error) => break format!("writing failed: {error}"),
                },
                command = commands.recv(), if may_take => match command {
                    Some(command) => if let Err(reason) = self.start(command) { break reason },
                    None => break OUR_SIDE.to_owned(),
                },
                () = self.shared.abandoned.notified() => self.forget_abandoned(),
                () = self.shared.close.cancelled() => {
                    break self.shared.close_reason.get().cloned().unwrap_or_else(|| OUR_SIDE.to_owned());
                }
            }
        };
        tracing::debug!(%reason, "IPC connection ended");
        ended.send_replace(Some(reason.clone()));
        commands.close();
        while let Ok(command) = commands.try_recv() {
            command.waiter.fail(IpcError::Closed { reason: reason.clone() });
        }
        for (_, stream) in self.streams.drain() {
            match stream {
                Stream::Waiting { waiter, .. } => waiter.fail(IpcError::Closed { reason: reason.clone() }),
                Stream::Delivering { sink, .. } => sink.end(&reason),
            }
        }
    }

    /// Opens a stream for a request. `Err` ends the connection.
    fn start(&mut self, command: Command) -> Result<(), String> {
        let Command { operation, payload, waiter } = command;
        if waiter.is_abandoned() {
            return Ok(());
        }
        if self.streams.len() >= self.limits.max_streams {
            waiter.fail(IpcError::Busy { operation: operation.to_owned(), limit: self.limits.max_streams });
            return Ok(());
        }
        let Some(stream_id) = self.latest_stream_id.checked_add(1) else {
            let reason = "all stream ids of this connection are used up".to_owned();
            waiter.fail(IpcError::Closed { reason: reason.clone() });
            return Err(reason);
        };
        let frame = Frame::new(message_type::APPLICATION_MESSAGE, 0, stream_id, payload)
            .with("operation", &format!("{NAMESPACE}{operation}"))
            .with(":content-type", "application/json")
            .with("service-model-type", &format!("{NAMESPACE}{operation}Request"));
        let bytes = match frame.encode() {
            Ok(bytes) => bytes,
            Err(error) => {
                waiter.fail(IpcError::Encode { operation: operation.to_owned(), reason: error.to_string() });
                return Ok(());
            }
        };
        let size = bytes.len().saturating_sub(super::frame::PRELUDE_LEN);
        if size > self.limits.max_outbound_message {
            let limit = self.limits.max_outbound_message;
            waiter.fail(IpcError::TooLarge { operation: operation.to_owned(), size, limit });
            return Ok(());
        }
        // Only a frame that will be on the wire takes an id.
        self.latest_stream_id = stream_id;
        self.out.extend_from_slice(&bytes);
        self.streams.insert(stream_id, Stream::Waiting { operation, waiter });
        Ok(())
    }

    /// Handles all whole frames that have been read. `Err` ends the connection.
    fn take_frames(&mut self) -> Result<(), String> {
        while let Some(frame) = self.reader.next_frame().map_err(|e| e.to_string())? {
            match frame.message_type {
                message_type::APPLICATION_MESSAGE | message_type::APPLICATION_ERROR => self.route(&frame),
                message_type::PING => self.answer_ping(frame),
                message_type::PROTOCOL_ERROR | message_type::INTERNAL_ERROR => {
                    let what =
                        if frame.message_type == message_type::PROTOCOL_ERROR { "a protocol" } else { "an internal" };
                    return Err(format!("the nucleus reported {what} error: {}", error_text(&frame.payload).0));
                }
                other => tracing::trace!(message_type = other, "ignoring a message of another type"),
            }
        }
        Ok(())
    }

    fn route(&mut self, frame: &Frame) {
        let stream_id = frame.stream_id;
        let Some(stream) = self.streams.remove(&stream_id) else {
            tracing::trace!(stream_id, "ignoring a message of a stream that is not open");
            return;
        };
        let is_error = frame.message_type == message_type::APPLICATION_ERROR;
        let keep = match stream {
            Stream::Waiting { operation, waiter: Waiter::Subscribe(reply, sink) }
                if !is_error && !frame.terminates() && is_event(frame) =>
            {
                self.deliver(operation, &sink, frame);
                Some(Stream::Waiting { operation, waiter: Waiter::Subscribe(reply, sink) })
            }
            Stream::Waiting { operation, waiter } if is_error => {
                waiter.fail(service_error(operation, frame));
                None
            }
            Stream::Waiting { waiter: Waiter::Call(reply), .. } => {
                // An answer that nobody waits for any more is as good as none.
                let _ = reply.send(Ok(frame.payload.clone()));
                // A call has one answer. Nucleus lite does not mark it as the last; there is nothing to end there.
                return;
            }
            Stream::Waiting { operation, waiter: Waiter::Subscribe(reply, sink) } => {
                let taken = reply.send(Ok(frame.payload.clone())).is_ok();
                taken.then_some(Stream::Delivering { operation, sink })
            }
            Stream::Delivering { operation, sink } if is_error => {
                sink.end(&service_error(operation, frame).to_string());
                None
            }
            Stream::Delivering { operation, sink } => {
                // The last message of a stream may be empty.
                if !(frame.terminates() && frame.payload.is_empty()) {
                    self.deliver(operation, &sink, frame);
                }
                Some(Stream::Delivering { operation, sink })
            }
        };
        match keep {
            Some(Stream::Delivering { sink, .. }) if frame.terminates() => {
                sink.end("the nucleus ended the subscription")
            }
            Some(Stream::Waiting { operation, waiter }) if frame.terminates() => {
                waiter.fail(bad_answer(operation, "the stream ended before the answer"));
            }
            Some(stream) => drop(self.streams.insert(stream_id, stream)),
            // Nobody wants the stream any more and the nucleus has not ended it itself.
            None if !frame.terminates() => self.terminate(stream_id),
            None => {}
        }
    }

    fn deliver(&self, operation: &str, sink: &EventSink, frame: &Frame) {
        if !sink.offer(frame, &self.limits) {
            let dropped = self.shared.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // Powers of two: a flood is reported, and does not become one in the log.
            if dropped.is_power_of_two() {
                tracing::warn!(operation, dropped, "an event was dropped because its queue is full");
            }
        }
    }

    fn answer_ping(&mut self, ping: Frame) {
        let pong = Frame::new(message_type::PING_RESPONSE, 0, 0, ping.payload);
        match pong.encode() {
            Ok(bytes) if self.out.len() + bytes.len() <= OUT_HARD_LIMIT => self.out.extend_from_slice(&bytes),
            _ => tracing::debug!("a PING was not answered: too much waits to be written already"),
        }
    }

    /// Lets go of the streams whose callers or subscribers are gone. Only a delivering subscription is ended at the
    /// nucleus at once. A call ends with its answer anyway, and a subscribe request is kept until its answer: a message
    /// on a stream that the nucleus has just ended itself is a protocol error to nucleus classic, which then closes the
    /// connection.
    fn forget_abandoned(&mut self) {
        let mut ended = Vec::new();
        self.streams.retain(|stream_id, stream| match stream {
            Stream::Waiting { waiter: waiter @ Waiter::Call(_), .. } => !waiter.is_abandoned(),
            Stream::Waiting { waiter: Waiter::Subscribe(..), .. } => true,
            Stream::Delivering { sink, .. } => {
                let gone = sink.events.is_closed();
                if gone {
                    ended.push(*stream_id);
                }
                !gone
            }
        });
        ended.sort_unstable();
        for stream_id in ended {
            self.terminate(stream_id);
        }
    }

    /// Tells the nucleus that a stream is over.
    fn terminate(&mut self, stream_id: i32) {
        let last = Frame::new(message_type::APPLICATION_MESSAGE, FLAG_TERMINATE_STREAM, stream_id, Bytes::new());
        match last.encode() {
            Ok(bytes) => self.out.extend_from_slice(&bytes),
            Err(error) => tracing::debug!(%error, "cannot end a stream"),
        }
    }
}

/// CONNECT and CONNECT_ACK. What was read behind CONNECT_ACK stays in the reader.
async fn handshake(
    socket: &Path,
    credential: Credential<'_>,
    limits: ConnectionLimits,
) -> Result<(UnixStream, FrameReader, Option<Token>), ConnectError> {
    let socket_error =
        |error: std::io::Error| ConnectError::Socket { path: socket.to_owned(), reason: error.to_string() };
    let closed = |reason: String| ConnectError::ClosedBeforeAck { credential: credential.name(), reason };
    let connect = Frame::new(message_type::CONNECT, 0, 0, credential.payload()).with(":version", VERSION);
    let bytes = connect.encode().map_err(|e| ConnectError::Encode(e.to_string()))?;
    let mut stream = UnixStream::connect(socket).await.map_err(socket_error)?;
    stream.write_all(&bytes).await.map_err(|e| closed(e.to_string()))?;
    let mut reader = FrameReader::new(limits.max_inbound_frame);
    loop {
        while let Some(frame) = reader.next_frame().map_err(|e| closed(e.to_string()))? {
            match frame.message_type {
                message_type::CONNECT_ACK if frame.flags & FLAG_CONNECTION_ACCEPTED != 0 => {
                    let token = frame.text("svcuid").filter(|t| !t.is_empty()).map(Token::new);
                    return Ok((stream, reader, token));
                }
                message_type::CONNECT_ACK => return Err(ConnectError::Refused { credential: credential.name() }),
                message_type::PROTOCOL_ERROR | message_type::INTERNAL_ERROR => {
                    return Err(closed(error_text(&frame.payload).0));
                }
                _ => {}
            }
        }
        reader.buffer().reserve(READ_CHUNK);
        match stream.read_buf(reader.buffer()).await {
            Ok(0) => return Err(closed("end of stream".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(closed(error.to_string())),
        }
    }
}

/// True for a message that cannot be the answer to a subscribe request.
fn is_event(frame: &Frame) -> bool {
    frame.text("service-model-type").is_some_and(|model| !model.is_empty() && !model.ends_with("Response"))
}

fn service_error(operation: &str, frame: &Frame) -> IpcError {
    let (message, code) = error_text(&frame.payload);
    let model = frame.text("service-model-type").filter(|m| !m.is_empty()).or(code.as_deref()).unwrap_or_default();
    IpcError::Service { operation: operation.to_owned(), kind: ServiceErrorKind::parse(model), message }
}

/// The words and the code of an error answer: `message` (classic), `_message` and `_errorCode` (lite).
fn error_text(payload: &[u8]) -> (String, Option<String>) {
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(payload) else {
        return (clean(&String::from_utf8_lossy(payload)), None);
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(clean);
    let words = text("message").or_else(|| text("_message")).filter(|t| !t.is_empty());
    (words.unwrap_or_else(|| "no further words".to_owned()), text("_errorCode"))
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

fn bad_answer(operation: &str, reason: &str) -> IpcError {
    IpcError::BadAnswer { operation: operation.to_owned(), reason: clean(reason) }
}
