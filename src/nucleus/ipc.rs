//! The IPC server: Greengrass event-stream RPC on a Unix socket, as nucleus lite serves it.
//!
//! A connection begins with CONNECT on stream 0: `{"authToken": SVCUID}`, or `{"componentName": NAME}`, which answers a
//! fresh token in the header `svcuid` of the CONNECT_ACK (real lite proves the name by the process's systemd unit; here
//! any name that was configured will do). A refused one is closed without an answer.
//!
//! Each request opens a stream: its id is exactly one more than the last, otherwise the connection is closed. This is
//! the classic nucleus's rule, kept here because a client must hold it for both. A subscription's stream stays open
//! until the client sends the flag 2 (terminate) on it. An operation that is not served answers `ServiceError`.
//! Errors carry `_message` and `_errorCode` (not `message`) and the header `service-model-type`.
//!
//! A frame over 10,000 bytes, and a publish over 7,311 bytes of payload, close the connection with all subscriptions.

use super::component::{Components, ListenError, ReportedState};
use super::frame::{self, Frame, FrameError};
use super::gate::{Entered, Gate};
use super::link::{Inbound, Link, LinkError};
use super::policy;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at a time (lite's `GGL_IPC_MAX_CLIENTS`).
const MAX_CLIENTS: usize = 50;
/// Largest payload that lite's PublishToIoTCore takes, bytes (measured; base64 makes 9,748 of them).
pub const MAX_OUTBOUND: usize = 7_311;
/// Open streams of one connection.
const MAX_STREAMS: usize = 128;
/// Frames waiting for a component to read them; then whoever wants to send waits.
const QUEUE: usize = 64;
const EVENTS: usize = 64;
/// A component that takes nothing for so long is disconnected.
const WRITE: Duration = Duration::from_secs(30);
/// A new connection says CONNECT within this time.
const GREETING: Duration = Duration::from_secs(10);

/// What every connection shares.
pub(super) struct Shared {
    pub(super) thing_name: String,
    pub(super) components: Components,
    pub(super) link: Link,
    /// Shut while the nucleus restarts.
    pub(super) gate: Gate,
}

/// Accepts connections until `end`.
pub(super) async fn serve(listener: UnixListener, shared: Arc<Shared>, tasks: TaskTracker, end: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an IPC connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            tracing::warn!("more than {MAX_CLIENTS} IPC connections");
            continue;
        };
        let Some(entered) = shared.gate.enter() else { continue };
        let (shared, end) = (shared.clone(), end.clone());
        tasks.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = end.cancelled() => {}
                () = converse(stream, shared, entered) => {}
            }
        });
    }
}

/// One connection, from its greeting to its end.
async fn converse(stream: UnixStream, shared: Arc<Shared>, mut entered: Entered) {
    let (mut from, to) = stream.into_split();
    let greeting = tokio::time::timeout(GREETING, Frame::read(&mut from)).await;
    let frame = match greeting {
        Ok(Ok(Some(frame))) => frame,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::warn!(%error, "IPC connection closed before it was authenticated"),
        Err(_) => return tracing::warn!("IPC connection closed: no CONNECT within {} s", GREETING.as_secs()),
    };
    let (component, token) = match authenticate(&frame, &shared.components) {
        Ok(pair) => pair,
        Err(reason) => return tracing::warn!(reason, "IPC connection refused"),
    };
    let (queue, frames) = mpsc::channel(QUEUE);
    let writer = AbortOnDrop(tokio::spawn(write(to, frames)).abort_handle());
    let svcuid = token.as_deref().map(|t| ("svcuid", t));
    let ack = frame::encode(frame::CONNECT_ACK, frame::CONNECTION_ACCEPTED, 0, svcuid.as_slice(), Vec::new());
    let mut connection =
        Connection { component, shared, queue, last_stream: 0, streams: HashMap::new(), _writer: writer };
    connection.send(ack).await;
    connection.shared.components.connected(&connection.component, 1);
    let queue = connection.queue.clone();
    loop {
        let frame = tokio::select! {
            // The writer is gone: the component closed its side, or takes nothing.
            () = queue.closed() => break,
            () = entered.shut() => break,
            frame = Frame::read(&mut from) => frame,
        };
        let outcome = match frame {
            Ok(Some(frame)) => connection.handle(frame).await,
            Ok(None) => break,
            Err(FrameError::Io(error)) => {
                tracing::debug!(component = connection.component, %error, "IPC connection lost");
                break;
            }
            Err(error) => Err(Close(error.to_string())),
        };
        if let Err(Close(reason)) = outcome {
            tracing::warn!(component = connection.component, reason, "IPC connection closed");
            break;
        }
    }
    connection.end();
}

/// The component's name, and a fresh token when it came by name.
fn authenticate(frame: &Frame, components: &Components) -> Result<(String, Option<String>), &'static str> {
    if frame.kind != frame::CONNECT || frame.stream != 0 || frame.flags != 0 {
        return Err("the first message is not a CONNECT on stream 0 without flags");
    }
    if frame.version.as_deref().is_some_and(|v| v != "0.1.0") {
        return Err("the protocol version is not 0.1.0");
    }
    let payload: Value = serde_json::from_slice(&frame.payload).map_err(|_| "the CONNECT payload is no JSON")?;
    let text = |key: &str| payload.get(key).map(|v| v.as_str().ok_or("a CONNECT field is no text")).transpose();
    match (text("authToken")?, text("componentName")?) {
        (Some(token), name) => {
            let component = components.by_token(token).ok_or("the token is not known")?;
            if name.is_some_and(|name| name != component) {
                return Err("the component name does not belong to the token");
            }
            Ok((component, None))
        }
        (None, Some(name)) => {
            let token = new_token().ok_or("no random numbers")?;
            if !components.add_token(name, token.clone()) {
                return Err("the component is not known");
            }
            Ok((name.to_owned(), Some(token)))
        }
        (None, None) => Err("neither authToken nor componentName"),
    }
}

/// A token in lite's format: 16 characters of base64. `None` when the system has no random numbers.
pub(super) fn new_token() -> Option<String> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).ok()?;
    Some(BASE64_STANDARD.encode(bytes))
}

async fn write(mut to: OwnedWriteHalf, mut frames: mpsc::Receiver<Bytes>) {
    while let Some(frame) = frames.recv().await {
        match tokio::time::timeout(WRITE, to.write_all(&frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => return tracing::warn!("a component takes nothing for {} s: disconnected", WRITE.as_secs()),
        }
    }
}

/// Why the connection must end.
struct Close(String);

/// What is answered instead of a result.
enum Refusal {
    Service(String),
    Unauthorized,
    NotFound(&'static str),
    InvalidArguments(&'static str),
    /// No answer at all: the connection ends.
    Close(String),
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        Refusal::Service(error.to_string())
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An open subscription.
struct Stream {
    kind: StreamKind,
    id: u64,
    _forwarder: AbortOnDrop,
}

enum StreamKind {
    IotCore,
    Configuration,
}

struct Connection {
    component: String,
    shared: Arc<Shared>,
    queue: mpsc::Sender<Bytes>,
    last_stream: i32,
    streams: HashMap<i32, Stream>,
    _writer: AbortOnDrop,
}

impl Connection {
    async fn handle(&mut self, frame: Frame) -> Result<(), Close> {
        match frame.kind {
            frame::PING => {
                let answer = frame::encode(frame::PING_RESPONSE, 0, 0, &[], frame.payload.to_vec());
                self.send(answer).await;
                return Ok(());
            }
            frame::PING_RESPONSE => return Ok(()),
            frame::APPLICATION_MESSAGE => {}
            kind => return Err(Close(format!("a message of type {kind} is not for a server"))),
        }
        if frame.stream <= 0 {
            return Err(Close(format!("a request on stream {}", frame.stream)));
        }
        if frame.flags & frame::TERMINATE_STREAM != 0 {
            if frame.stream > self.last_stream {
                return Err(Close(format!("the end of stream {}, which was never opened", frame.stream)));
            }
            if let Some(stream) = self.streams.remove(&frame.stream) {
                self.release(stream);
            }
            return Ok(());
        }
        if Some(frame.stream) != self.last_stream.checked_add(1) {
            return Err(Close(format!("stream {} after stream {}", frame.stream, self.last_stream)));
        }
        self.last_stream = frame.stream;
        let operation = frame.operation.as_deref().unwrap_or_default();
        let outcome = match serde_json::from_slice(&frame.payload) {
            Ok(request @ Value::Object(_)) => self.operate(operation, &request, frame.stream).await,
            Ok(_) | Err(_) => Err(Refusal::Service("The payload is not a JSON object.".into())),
        };
        let (code, message) = match outcome {
            Ok(()) => return Ok(()),
            Err(Refusal::Close(reason)) => return Err(Close(reason)),
            Err(Refusal::Service(message)) => ("ServiceError", message),
            Err(Refusal::Unauthorized) => ("UnauthorizedError", "IPC Operation not authorized.".into()),
            Err(Refusal::NotFound(message)) => ("ResourceNotFoundError", message.to_owned()),
            Err(Refusal::InvalidArguments(message)) => ("InvalidArgumentsError", message.to_owned()),
        };
        tracing::debug!(component = self.component, operation, code, message, "IPC request refused");
        let model = format!("aws.greengrass#{code}");
        let headers = [(":content-type", "application/json"), ("service-model-type", model.as_str())];
        let payload = json!({"_message": message, "_errorCode": code}).to_string().into_bytes();
        let answer = frame::encode(frame::APPLICATION_ERROR, frame::TERMINATE_STREAM, frame.stream, &headers, payload);
        self.send(answer).await;
        Ok(())
    }

    async fn operate(&mut self, operation: &str, request: &Value, stream: i32) -> Result<(), Refusal> {
        match operation.strip_prefix("aws.greengrass#") {
            Some("PublishToIoTCore") => self.publish(operation, request, stream).await,
            Some("SubscribeToIoTCore") => self.subscribe(operation, request, stream).await,
            Some("GetConfiguration") => self.get_configuration(request, stream).await,
            Some("UpdateConfiguration") => self.update_configuration(request, stream).await,
            Some("SubscribeToConfigurationUpdate") => self.subscribe_to_configuration(request, stream).await,
            Some("UpdateState") => self.update_state(request, stream).await,
            _ => Err(Refusal::Service(format!("Unsupported operation {operation:.80}."))),
        }
    }

    async fn publish(&mut self, operation: &str, request: &Value, stream: i32) -> Result<(), Refusal> {
        let topic = topic_name(request)?;
        let qos1 = qos(request)?;
        let payload = match request.get("payload") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(text)) => {
                BASE64_STANDARD.decode(text).map_err(|_| Refusal::Service("Payload is not valid base64.".into()))?
            }
            Some(_) => return Err(Refusal::Service("Received invalid parameters.".into())),
        };
        if payload.len() > MAX_OUTBOUND {
            return Err(Refusal::Close(format!("a publish of {} bytes; {MAX_OUTBOUND} fit", payload.len())));
        }
        self.authorize(operation, topic)?;
        self.shared.link.publish(topic, payload, qos1)?;
        self.answer(stream, "PublishToIoTCoreResponse", &json!({})).await
    }

    async fn subscribe(&mut self, operation: &str, request: &Value, stream: i32) -> Result<(), Refusal> {
        let filter = topic_name(request)?;
        let qos1 = qos(request)?;
        self.authorize(operation, filter)?;
        self.room_for_a_stream()?;
        let (to, messages) = mpsc::channel::<Inbound>(EVENTS);
        let id = self.shared.link.subscribe(filter, qos1, to)?;
        // Answered first, forwarded afterwards: an event must never come before the answer.
        let answered = self.answer(stream, "SubscribeToIoTCoreResponse", &json!({})).await;
        let event = |message: Inbound| {
            let payload = BASE64_STANDARD.encode(&message.payload);
            json!({"message": {"topicName": message.topic, "payload": payload}})
        };
        self.forward(stream, StreamKind::IotCore, id, messages, "IoTCoreMessage", event);
        answered
    }

    async fn get_configuration(&mut self, request: &Value, stream: i32) -> Result<(), Refusal> {
        let name = component_name(request, &self.component)?;
        let path = key_path(request)?;
        let value = self.shared.components.read(name, &path).ok_or(Refusal::NotFound("Key not found."))?;
        let value = match (path.last(), value) {
            // A leaf comes wrapped into a map with its own key.
            (Some(key), value) if !value.is_object() => json!({ key: value }),
            (_, value) => value,
        };
        self.answer(stream, "GetConfigurationResponse", &json!({"componentName": name, "value": value})).await
    }

    async fn update_configuration(&mut self, request: &Value, stream: i32) -> Result<(), Refusal> {
        let invalid = Refusal::InvalidArguments("Received invalid parameters.");
        let path = key_path(request).map_err(|_| Refusal::InvalidArguments("Received invalid parameters."))?;
        let Some(value) = request.get("valueToMerge").filter(|v| !v.is_null()).cloned() else { return Err(invalid) };
        // Lite takes a JSON float only: 1700000000.0, not 1700000000.
        let Some(seconds) = request.get("timestamp").and_then(|t| t.as_f64().filter(|_| t.is_f64())) else {
            return Err(invalid);
        };
        let protected = path.first().is_some_and(|key| key == "accessControl")
            || path.is_empty() && value.get("accessControl").is_some();
        if protected {
            return Err(Refusal::InvalidArguments("Config update is not allowed for following field [accessControl]"));
        }
        // A float that does not fit is clamped by `as`.
        let at_ms = (seconds * 1_000.0) as i64;
        self.shared
            .components
            .merge(&self.component, &path, value, at_ms)
            .map_err(|error| Refusal::Service(format!("Failed to update the configuration: {error}.")))?;
        self.answer(stream, "UpdateConfigurationResponse", &json!({})).await
    }

    async fn subscribe_to_configuration(&mut self, request: &Value, stream: i32) -> Result<(), Refusal> {
        let name = component_name(request, &self.component)?.to_owned();
        if name != self.component {
            return Err(Refusal::Service("Only the own configuration is served by this stand-in.".into()));
        }
        let path = key_path(request)?;
        self.room_for_a_stream()?;
        let (to, changes) = mpsc::channel(EVENTS);
        let id = self.shared.components.listen(&name, path, to).map_err(|error| match error {
            ListenError::NotFound => Refusal::NotFound("Key not found"),
            ListenError::TooMany => Refusal::Service("Failed to subscribe to configuration update.".into()),
        })?;
        let answered = self.answer(stream, "SubscribeToConfigurationUpdateResponse", &json!({})).await;
        let event =
            move |path: Vec<String>| json!({"configurationUpdateEvent": {"componentName": name, "keyPath": path}});
        self.forward(stream, StreamKind::Configuration, id, changes, "ConfigurationUpdateEvents", event);
        answered
    }

    async fn update_state(&mut self, request: &Value, stream: i32) -> Result<(), Refusal> {
        let state = match request.get("state").and_then(Value::as_str) {
            Some("RUNNING") => ReportedState::Running,
            Some("ERRORED") => ReportedState::Errored,
            _ => return Err(Refusal::InvalidArguments("Invalid component state.")),
        };
        self.shared.components.report(&self.component, state);
        self.answer(stream, "UpdateStateResponse", &json!({})).await
    }

    fn authorize(&self, operation: &str, resource: &str) -> Result<(), Refusal> {
        let access = self.shared.components.read(&self.component, &["accessControl".to_owned()]);
        let allowed = access.is_some_and(|access| {
            policy::allows(&access, policy::MQTT_PROXY, operation, resource, &self.shared.thing_name)
        });
        allowed.then_some(()).ok_or(Refusal::Unauthorized)
    }

    fn room_for_a_stream(&self) -> Result<(), Refusal> {
        if self.streams.len() < MAX_STREAMS { Ok(()) } else { Err(Refusal::Service("Too many open streams.".into())) }
    }

    async fn answer(&self, stream: i32, model: &str, payload: &Value) -> Result<(), Refusal> {
        let frame = message(stream, model, payload);
        let frame = frame.ok_or_else(|| Refusal::Service("The answer does not fit into the IPC buffer.".into()))?;
        self.send(Some(frame)).await;
        Ok(())
    }

    /// Sends the events of one subscription until it ends. One that does not fit into the buffer is skipped, as on lite.
    fn forward<T: Send + 'static>(
        &mut self,
        stream: i32,
        kind: StreamKind,
        id: u64,
        mut events: mpsc::Receiver<T>,
        model: &'static str,
        to_json: impl Fn(T) -> Value + Send + 'static,
    ) {
        let queue = self.queue.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let Some(frame) = message(stream, model, &to_json(event)) else {
                    tracing::warn!(model, "an event does not fit into the IPC buffer");
                    continue;
                };
                if queue.send(frame).await.is_err() {
                    return;
                }
            }
        });
        let forwarder = AbortOnDrop(task.abort_handle());
        self.streams.insert(stream, Stream { kind, id, _forwarder: forwarder });
    }

    /// `None`: nothing that fits a frame, which only our own constants decide.
    async fn send(&self, frame: Option<Bytes>) {
        if let Some(frame) = frame {
            // The writer is gone: the read side ends the connection.
            let _ = self.queue.send(frame).await;
        }
    }

    fn release(&self, stream: Stream) {
        match stream.kind {
            StreamKind::IotCore => self.shared.link.unsubscribe(stream.id),
            StreamKind::Configuration => self.shared.components.unlisten(&self.component, stream.id),
        }
    }

    fn end(mut self) {
        for (_, stream) in std::mem::take(&mut self.streams) {
            self.release(stream);
        }
        self.shared.components.connected(&self.component, -1);
    }
}

fn message(stream: i32, model: &str, payload: &Value) -> Option<Bytes> {
    let model = format!("aws.greengrass#{model}");
    let headers = [(":content-type", "application/json"), ("service-model-type", model.as_str())];
    frame::encode(frame::APPLICATION_MESSAGE, 0, stream, &headers, payload.to_string().into_bytes())
}

fn topic_name(request: &Value) -> Result<&str, Refusal> {
    request
        .get("topicName")
        .and_then(Value::as_str)
        .ok_or_else(|| Refusal::Service("Received invalid parameters.".into()))
}

/// True for QoS 1; 0 when absent. Given as number or text; AWS IoT has no QoS 2.
fn qos(request: &Value) -> Result<bool, Refusal> {
    let qos = match request.get("qos") {
        None | Some(Value::Null) => Some(0),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_i64(),
    };
    match qos {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        _ => Err(Refusal::Service("'qos' not a valid value.".into())),
    }
}

fn component_name<'a>(request: &'a Value, own: &'a str) -> Result<&'a str, Refusal> {
    match request.get("componentName") {
        None | Some(Value::Null) => Ok(own),
        Some(Value::String(name)) => Ok(name),
        Some(_) => Err(Refusal::Service("Received invalid parameters.".into())),
    }
}

fn key_path(request: &Value) -> Result<Vec<String>, Refusal> {
    let list = match request.get("keyPath") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Refusal::Service("Received invalid parameters.".into())),
    };
    let keys: Option<Vec<String>> = list.iter().map(|key| key.as_str().map(str::to_owned)).collect();
    keys.ok_or_else(|| Refusal::Service("Received invalid parameters.".into()))
}
