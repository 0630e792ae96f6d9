//! The IPC server: Greengrass event-stream RPC on a Unix socket, as the chosen runtime serves it.
//!
//! A connection begins with CONNECT on stream 0: `{"authToken": SVCUID}`. Lite takes `{"componentName": NAME}`, too,
//! and answers a fresh token in the header `svcuid` of the CONNECT_ACK (real lite proves the name by the process's
//! systemd unit; here any name that was configured will do); on classic a new token comes with a new process only. A
//! refused one is closed: lite says nothing before, classic answers a CONNECT_ACK without the flag 1 (accepted).
//!
//! Each request opens a stream: its id is exactly one more than the last, otherwise the connection is closed. This is
//! the classic nucleus's rule, kept on lite because a client must hold it for both. A subscription's stream stays open
//! until the client sends the flag 2 (terminate) on it; other answers carry that flag on classic, and 0 on lite.
//!
//! | | lite | classic |
//! |---|---|---|
//! | an error's payload | `_message`, `_errorCode` | `message`; `resourceType`, `resourceName` |
//! | an operation that is not served | `ServiceError` | an error without `service-model-type`: `error`, `message` |
//! | a request that is no JSON object | `ServiceError` | `InternalServerError` as plain text, without a type |
//! | a publish that is too large | closes the connection with all subscriptions | `ServiceError` |
//!
//! | operations | module |
//! |---|---|
//! | PublishToIoTCore, SubscribeToIoTCore | `iot_core` |
//! | GetConfiguration, UpdateConfiguration, SubscribeToConfigurationUpdate | `configuration` |
//! | PublishToTopic, SubscribeToTopic | `pubsub` |
//! | UpdateState; classic: component updates, validity reports, Pause/ResumeComponent, PutComponentMetric | `lifecycle` |
//! | classic: GetThingShadow, UpdateThingShadow, DeleteThingShadow, ListNamedShadowsForThing | `shadows` |
//! | classic: GetSecretValue | `secret` |
//!
//! Not served, though both real runtimes do: RestartComponent, CreateLocalDeployment, ValidateAuthorizationToken.

mod configuration;
mod iot_core;
mod lifecycle;
mod pubsub;
mod secret;
mod shadows;

use super::component::Components;
use super::frame::{self, Frame, FrameError};
use super::gate::{Entered, Gate};
use super::link::{Link, LinkError};
use super::local::LocalBus;
use super::local_shadows::LocalShadows;
use super::policy::Service;
use super::profile::Profile;
use super::secrets::Secrets;
use super::updates::{Question, Updates};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Open streams of one connection; neither real runtime has this bound.
const MAX_STREAMS: usize = 256;
/// Frames waiting for a component to read them; then whoever wants to send waits.
const QUEUE: usize = 64;
const EVENTS: usize = 64;
/// A component that takes nothing for so long is disconnected.
const WRITE: Duration = Duration::from_secs(30);
/// Frames that wait are written together up to this many bytes.
const WRITE_TOGETHER: usize = 64 * 1024;
const READ_BUFFER: usize = 16 * 1024;
/// A new connection says CONNECT within this time.
const GREETING: Duration = Duration::from_secs(10);

/// What every connection shares.
pub(super) struct Shared {
    pub(super) thing_name: String,
    pub(super) profile: Profile,
    pub(super) components: Components,
    pub(super) link: Link,
    pub(super) local: LocalBus,
    pub(super) shadows: LocalShadows,
    pub(super) secrets: Secrets,
    pub(super) updates: Updates,
    /// Shut while the nucleus restarts.
    pub(super) gate: Gate,
}

/// Accepts connections until `end`.
pub(super) async fn serve(listener: UnixListener, shared: Arc<Shared>, tasks: TaskTracker, end: CancellationToken) {
    let most = shared.profile.limits().ipc_connections;
    let room = Arc::new(Semaphore::new(most));
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
            tracing::warn!("more than {most} IPC connections");
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
    let max = shared.profile.limits().frame;
    let (from, to) = stream.into_split();
    let mut from = BufReader::with_capacity(READ_BUFFER, from);
    let greeting = tokio::time::timeout(GREETING, Frame::read(&mut from, max)).await;
    let frame = match greeting {
        Ok(Ok(Some(frame))) => frame,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::warn!(%error, "IPC connection closed before it was authenticated"),
        Err(_) => return tracing::warn!("IPC connection closed: no CONNECT within {} s", GREETING.as_secs()),
    };
    let (queue, frames) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write(to, frames));
    let ack = |flags, headers: &[(&str, &str)]| frame::encode(frame::CONNECT_ACK, flags, 0, headers, Vec::new(), max);
    let (component, token) = match authenticate(&frame, &shared.components, shared.profile) {
        Ok(pair) => pair,
        Err(reason) => {
            tracing::warn!(reason, "IPC connection refused");
            if let Some(ack) = ack(0, &[]).filter(|_| shared.profile == Profile::Classic) {
                let _ = queue.send(ack).await;
            }
            // The writer ends with its queue, after the answer.
            return;
        }
    };
    let svcuid = token.as_deref().map(|t| ("svcuid", t));
    let ack = ack(frame::CONNECTION_ACCEPTED, svcuid.as_slice());
    let writer = AbortOnDrop(writer.abort_handle());
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
            frame = Frame::read(&mut from, max) => frame,
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
fn authenticate(
    frame: &Frame,
    components: &Components,
    profile: Profile,
) -> Result<(String, Option<String>), &'static str> {
    if frame.kind != frame::CONNECT || frame.stream != 0 || frame.flags != 0 {
        return Err("the first message is not a CONNECT on stream 0 without flags");
    }
    let version = frame.version.as_deref().or((profile == Profile::Lite).then_some("0.1.0"));
    if version != Some("0.1.0") {
        return Err("the protocol version is not 0.1.0");
    }
    let payload: Value = serde_json::from_slice(&frame.payload).map_err(|_| "the CONNECT payload is no JSON")?;
    let text = |key: &str| payload.get(key).map(|v| v.as_str().ok_or("a CONNECT field is no text")).transpose();
    match (text("authToken")?, text("componentName")?) {
        (Some(token), name) => {
            let component = components.by_token(token).ok_or("the token is not known")?;
            if profile == Profile::Lite && name.is_some_and(|name| name != component) {
                return Err("the component name does not belong to the token");
            }
            Ok((component, None))
        }
        (None, Some(name)) if profile.reconnects_by_name() => {
            let token = new_token().ok_or("no random numbers")?;
            if !components.add_token(name, token.clone()) {
                return Err("the component is not known");
            }
            Ok((name.to_owned(), Some(token)))
        }
        (None, Some(_)) => Err("a component of the classic nucleus needs its token"),
        (None, None) => Err("neither authToken nor componentName"),
    }
}

/// A token of 16 characters of base64, as lite's. `None` when the system has no random numbers.
pub(super) fn new_token() -> Option<String> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).ok()?;
    Some(BASE64_STANDARD.encode(bytes))
}

async fn write(mut to: OwnedWriteHalf, mut frames: mpsc::Receiver<Bytes>) {
    let mut together = Vec::new();
    while let Some(frame) = frames.recv().await {
        together.clear();
        together.extend_from_slice(&frame);
        while together.len() < WRITE_TOGETHER {
            let Ok(frame) = frames.try_recv() else { break };
            together.extend_from_slice(&frame);
        }
        match tokio::time::timeout(WRITE, to.write_all(&together)).await {
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
    Unauthorized(String),
    NotFound {
        message: String,
        kind: &'static str,
        name: String,
    },
    InvalidArguments(String),
    Conflict(String),
    /// Classic: an UpdateConfiguration that came too late.
    FailedUpdateCondition(String),
    /// Classic: what its handlers throw and nobody has modelled.
    Internal,
    /// No operation of this runtime.
    Unsupported,
    /// No answer at all: the connection ends.
    Close(String),
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        Refusal::Service(error.to_string())
    }
}

impl Refusal {
    /// What lite and classic say alike of a missing configuration key.
    fn no_key() -> Self {
        Self::NotFound { message: "Key not found".into(), kind: "Configuration", name: String::new() }
    }

    /// The model's name and message; `None` for what has no model.
    fn model(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Service(message) => Some(("ServiceError", message)),
            Self::Unauthorized(message) => Some(("UnauthorizedError", message)),
            Self::NotFound { message, .. } => Some(("ResourceNotFoundError", message)),
            Self::InvalidArguments(message) => Some(("InvalidArgumentsError", message)),
            Self::Conflict(message) => Some(("ConflictError", message)),
            Self::FailedUpdateCondition(message) => Some(("FailedUpdateConditionCheckError", message)),
            Self::Internal | Self::Unsupported | Self::Close(_) => None,
        }
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
    source: Source,
    _forwarder: AbortOnDrop,
}

/// Where its events come from.
enum Source {
    IotCore(u64),
    Configuration { component: String, id: u64 },
    Local(u64),
    Question(Question, u64),
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
                let answer = frame::encode(frame::PING_RESPONSE, 0, 0, &[], frame.payload.to_vec(), self.max_frame());
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
            Ok(_) | Err(_) if self.is_classic() => Err(Refusal::Internal),
            Ok(_) | Err(_) => Err(Refusal::Service("The payload is not a JSON object.".into())),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Refusal::Close(reason)) => Err(Close(reason)),
            Err(refusal) => {
                self.refuse(frame.stream, operation, &refusal).await;
                Ok(())
            }
        }
    }

    async fn operate(&mut self, operation: &str, request: &Value, stream: i32) -> Result<(), Refusal> {
        let Some(name) = operation.strip_prefix("aws.greengrass#") else { return Err(Refusal::Unsupported) };
        match name {
            "PublishToIoTCore" => self.publish_to_iot_core(operation, request, stream).await,
            "SubscribeToIoTCore" => self.subscribe_to_iot_core(operation, request, stream).await,
            "PublishToTopic" => self.publish_to_topic(operation, request, stream).await,
            "SubscribeToTopic" => self.subscribe_to_topic(operation, request, stream).await,
            "GetConfiguration" => self.get_configuration(request, stream).await,
            "UpdateConfiguration" => self.update_configuration(request, stream).await,
            "SubscribeToConfigurationUpdate" => self.subscribe_to_configuration(request, stream).await,
            "UpdateState" => self.update_state(request, stream).await,
            _ if !self.is_classic() => Err(Refusal::Unsupported),
            "GetThingShadow" | "UpdateThingShadow" | "DeleteThingShadow" => {
                self.thing_shadow(operation, request, stream).await
            }
            "ListNamedShadowsForThing" => self.list_named_shadows(operation, request, stream).await,
            "GetSecretValue" => self.get_secret_value(operation, request, stream).await,
            "SubscribeToComponentUpdates" => self.subscribe_to_component_updates(stream).await,
            "DeferComponentUpdate" => self.defer_component_update(request, stream).await,
            "SubscribeToValidateConfigurationUpdates" => self.subscribe_to_validation(stream).await,
            "SendConfigurationValidityReport" => self.report_validity(request, stream).await,
            "PauseComponent" | "ResumeComponent" => self.pause_or_resume(operation, request, stream).await,
            "PutComponentMetric" => self.put_component_metric(operation, request, stream).await,
            _ => Err(Refusal::Unsupported),
        }
    }

    async fn refuse(&self, stream: i32, operation: &str, refusal: &Refusal) {
        const JSON: (&str, &str) = (":content-type", "application/json");
        let send = async |headers: &[(&str, &str)], payload: Vec<u8>| {
            let kind = frame::APPLICATION_ERROR;
            let answer = frame::encode(kind, frame::TERMINATE_STREAM, stream, headers, payload, self.max_frame());
            self.send(answer).await;
        };
        let unsupported = format!("{operation:.80} is an unsupported operation.");
        let Some((code, message)) = refusal.model().or((!self.is_classic()).then_some(("ServiceError", &*unsupported)))
        else {
            tracing::debug!(component = self.component, operation, "IPC request refused");
            return match refusal {
                Refusal::Unsupported => {
                    let payload = json!({"error": "Unsupported Operation", "message": unsupported});
                    send(&[JSON], payload.to_string().into_bytes()).await;
                }
                _ => send(&[(":content-type", "text/plain")], b"InternalServerError".to_vec()).await,
            };
        };
        tracing::debug!(component = self.component, operation, code, message, "IPC request refused");
        let payload = match refusal {
            _ if !self.is_classic() => json!({"_message": message, "_errorCode": code}),
            Refusal::NotFound { kind, name, .. } => {
                json!({"message": message, "resourceType": kind, "resourceName": name})
            }
            _ => json!({ "message": message }),
        };
        let model = format!("aws.greengrass#{code}");
        send(&[JSON, ("service-model-type", &model)], payload.to_string().into_bytes()).await;
    }

    fn is_classic(&self) -> bool {
        self.shared.profile == Profile::Classic
    }

    fn max_frame(&self) -> usize {
        self.shared.profile.limits().frame
    }

    fn authorize(&self, service: Service, operation: &str, resource: &str) -> Result<(), Refusal> {
        if self.shared.components.allows(&self.component, service, operation, resource) {
            return Ok(());
        }
        Err(Refusal::Unauthorized(match self.shared.profile {
            Profile::Lite => "IPC Operation not authorized.".into(),
            Profile::Classic => {
                let (component, service) = (&self.component, service.id());
                format!(
                    "Principal {component} is not authorized to perform {service}:{operation} on resource {resource}"
                )
            }
        }))
    }

    fn room_for_a_stream(&self) -> Result<(), Refusal> {
        if self.streams.len() < MAX_STREAMS { Ok(()) } else { Err(Refusal::Service("Too many open streams.".into())) }
    }

    /// Answers a request that is done with it.
    async fn answer(&self, stream: i32, model: &str, payload: &Value) -> Result<(), Refusal> {
        let flags = if self.is_classic() { frame::TERMINATE_STREAM } else { 0 };
        self.answer_with(flags, stream, model, payload).await
    }

    /// Answers a request whose stream stays open.
    async fn answer_open(&self, stream: i32, model: &str) -> Result<(), Refusal> {
        self.answer_with(0, stream, model, &json!({})).await
    }

    async fn answer_with(&self, flags: i32, stream: i32, model: &str, payload: &Value) -> Result<(), Refusal> {
        let frame = message(flags, stream, model, payload, self.max_frame());
        let frame = frame.ok_or_else(|| Refusal::Service("The answer does not fit into the IPC buffer.".into()))?;
        self.send(Some(frame)).await;
        Ok(())
    }

    /// Sends the events of one subscription until it ends. One that does not fit into the buffer is skipped, as on lite.
    fn forward<T: Send + 'static>(
        &mut self,
        stream: i32,
        source: Source,
        mut events: mpsc::Receiver<T>,
        model: &'static str,
        to_json: impl Fn(T) -> Value + Send + 'static,
    ) {
        let (queue, max) = (self.queue.clone(), self.max_frame());
        let task = tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let Some(frame) = message(0, stream, model, &to_json(event), max) else {
                    tracing::warn!(model, "an event does not fit into the IPC buffer");
                    continue;
                };
                if queue.send(frame).await.is_err() {
                    return;
                }
            }
        });
        self.streams.insert(stream, Stream { source, _forwarder: AbortOnDrop(task.abort_handle()) });
    }

    /// `None`: nothing that fits a frame, which only our own constants decide.
    async fn send(&self, frame: Option<Bytes>) {
        if let Some(frame) = frame {
            // The writer is gone: the read side ends the connection.
            let _ = self.queue.send(frame).await;
        }
    }

    fn release(&self, stream: Stream) {
        match stream.source {
            Source::IotCore(id) => self.shared.link.unsubscribe(id),
            Source::Configuration { component, id } => self.shared.components.unlisten(&component, id),
            Source::Local(id) => self.shared.local.unsubscribe(id),
            Source::Question(question, id) => self.shared.updates.unlisten(question, id),
        }
    }

    fn end(mut self) {
        for (_, stream) in std::mem::take(&mut self.streams) {
            self.release(stream);
        }
        self.shared.components.connected(&self.component, -1);
    }
}

fn message(flags: i32, stream: i32, model: &str, payload: &Value, max: usize) -> Option<Bytes> {
    let model = format!("aws.greengrass#{model}");
    let headers = [(":content-type", "application/json"), ("service-model-type", model.as_str())];
    frame::encode(frame::APPLICATION_MESSAGE, flags, stream, &headers, payload.to_string().into_bytes(), max)
}

/// A text in a request; `None` when it is absent or null.
fn optional_text<'a>(request: &'a Value, key: &str) -> Result<Option<&'a str>, Refusal> {
    match request.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::Service("Received invalid parameters.".into())),
    }
}

fn epoch_seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}
