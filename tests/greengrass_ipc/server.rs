//! A nucleus whose every answer is written in the test.

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::{Buf, BytesMut};
use printgate::cloud::greengrass::connection::{ConnectionLimits, Credential};
use printgate::cloud::greengrass::{Connection, Token};
use printgate::domain::retry::Backoff;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

pub(crate) const MESSAGE: i32 = 0;
pub(crate) const ERROR: i32 = 1;
pub(crate) const PING: i32 = 2;
pub(crate) const PING_RESPONSE: i32 = 3;
pub(crate) const CONNECT: i32 = 4;
pub(crate) const CONNECT_ACK: i32 = 5;
pub(crate) const ACCEPTED: i32 = 1;
pub(crate) const TERMINATE: i32 = 2;

/// Every wait of a test ends, one way or the other.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// Limits with a deadline short enough to be met in a test.
pub(crate) fn limits() -> ConnectionLimits {
    ConnectionLimits { timeout: Duration::from_secs(10), ..ConnectionLimits::default() }
}

/// Limits under which every request gives up soon.
pub(crate) fn impatient() -> ConnectionLimits {
    ConnectionLimits { timeout: Duration::from_millis(300), ..ConnectionLimits::default() }
}

pub(crate) fn quick_backoff() -> Backoff {
    Backoff { base: Duration::from_millis(2), cap: Duration::from_millis(20) }
}

pub(crate) struct Server {
    pub(crate) path: PathBuf,
    listener: UnixListener,
    _dir: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ipc.sock");
        Self { listener: UnixListener::bind(&path).unwrap(), path, _dir: dir }
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = within("a connection", self.listener.accept()).await.unwrap();
        Peer { stream, bytes: BytesMut::new(), latest: 0, open: BTreeSet::new() }
    }

    /// Connects a client with a good token.
    pub(crate) async fn connect(&self, limits: ConnectionLimits) -> (Connection, Peer, Arc<AtomicU64>) {
        let dropped = Arc::new(AtomicU64::new(0));
        let token = Token::new("T1");
        let client = Connection::connect(&self.path, Credential::Token(&token), limits, dropped.clone());
        let (client, peer) = tokio::join!(client, async {
            let mut peer = self.accept().await;
            assert_eq!(peer.connect_message().await, json!({ "authToken": "T1" }));
            peer.accept_connect(None).await;
            peer
        });
        (client.unwrap().0, peer, dropped)
    }
}

/// A message as the server sees it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) kind: i32,
    pub(crate) flags: i32,
    pub(crate) stream: i32,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) raw_payload: Vec<u8>,
}

impl Received {
    /// The operation without its namespace.
    pub(crate) fn operation(&self) -> &str {
        self.headers.get("operation").map_or("", |o| o.strip_prefix("aws.greengrass#").unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.raw_payload).unwrap()
    }
}

/// The server's side of one connection.
pub(crate) struct Peer {
    pub(crate) stream: UnixStream,
    bytes: BytesMut,
    pub(crate) latest: i32,
    open: BTreeSet<i32>,
}

impl Peer {
    /// The next message, `None` at the end. Breaking the rules of nucleus classic fails the test.
    pub(crate) async fn try_recv(&mut self) -> Option<Received> {
        loop {
            if self.bytes.len() >= 4 {
                let total = (&self.bytes[..4]).get_u32() as usize;
                if self.bytes.len() >= total {
                    let mut frame = self.bytes.split_to(total).freeze();
                    let received = decode(read_message_from(&mut frame).expect("a whole, valid frame"));
                    assert!(frame.is_empty());
                    self.enforce(&received);
                    return Some(received);
                }
            }
            match within("bytes from the client", self.stream.read_buf(&mut self.bytes)).await {
                Ok(0) | Err(_) => {
                    assert!(self.bytes.is_empty(), "the client left in the middle of a frame");
                    return None;
                }
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn recv(&mut self) -> Received {
        self.try_recv().await.expect("the client left")
    }

    fn enforce(&mut self, received: &Received) {
        match received.kind {
            MESSAGE => {
                assert!(received.stream > 0, "an application message on stream 0");
                if received.stream > self.latest {
                    assert_eq!(received.stream, self.latest + 1, "stream ids must be strictly latest+1");
                    assert!(received.headers.contains_key("operation"), "a new stream needs an operation");
                    assert_eq!(received.flags, 0, "nucleus lite refuses requests with flags");
                    self.latest = received.stream;
                    self.open.insert(received.stream);
                } else {
                    assert!(self.open.contains(&received.stream), "a message on a stream that is not open");
                    if received.flags & TERMINATE != 0 {
                        self.open.remove(&received.stream);
                    }
                }
            }
            CONNECT | PING_RESPONSE => assert_eq!((received.stream, received.flags), (0, 0)),
            other => panic!("a client never sends message type {other}"),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within("the client to read", self.stream.write_all(bytes)).await.unwrap();
    }

    /// Sends a message; a TERMINATE flag closes the stream on this side.
    pub(crate) async fn message(&mut self, kind: i32, flags: i32, stream: i32, model: &str, payload: &str) {
        if flags & TERMINATE != 0 && kind <= ERROR {
            self.open.remove(&stream);
        }
        self.send(&answer(kind, flags, stream, model, payload)).await;
    }

    /// The CONNECT message's payload.
    pub(crate) async fn connect_message(&mut self) -> Value {
        let connect = self.recv().await;
        assert_eq!(connect.kind, CONNECT);
        assert_eq!(connect.headers.get(":version").map(String::as_str), Some("0.1.0"));
        connect.json()
    }

    pub(crate) async fn accept_connect(&mut self, fresh_token: Option<&str>) {
        let mut extra = vec![];
        if let Some(token) = fresh_token {
            extra.push(text("svcuid", token));
        }
        self.send(&frame(CONNECT_ACK, ACCEPTED, 0, extra, "")).await;
    }

    pub(crate) async fn refuse_connect(&mut self) {
        self.send(&frame(CONNECT_ACK, 0, 0, vec![], "")).await;
    }

    /// Takes a request, which must be `operation`, and returns it.
    pub(crate) async fn expect(&mut self, operation: &str) -> Received {
        let request = self.recv().await;
        assert_eq!((request.kind, request.operation()), (MESSAGE, operation), "{request:?}");
        request
    }

    /// Answers a call as nucleus classic does: with the last message of its stream.
    pub(crate) async fn ok(&mut self, request: &Received, payload: &str) {
        let model = format!("{}Response", request.headers["operation"]);
        self.message(MESSAGE, TERMINATE, request.stream, &model, payload).await;
    }

    /// Answers a subscribe request.
    pub(crate) async fn subscribed(&mut self, request: &Received) {
        let model = format!("{}Response", request.headers["operation"]);
        self.message(MESSAGE, 0, request.stream, &model, "{}").await;
    }

    pub(crate) async fn error(&mut self, request: &Received, model: &str, payload: &str) {
        self.message(ERROR, TERMINATE, request.stream, model, payload).await;
    }

    /// Sends an MQTT message on a subscription.
    pub(crate) async fn mqtt(&mut self, stream: i32, topic: &str, payload: &[u8]) {
        self.message(MESSAGE, 0, stream, "aws.greengrass#IoTCoreMessage", &mqtt_payload(topic, payload)).await;
    }
}

pub(crate) fn mqtt_payload(topic: &str, payload: &[u8]) -> String {
    use base64::Engine;
    let payload = base64::engine::general_purpose::STANDARD.encode(payload);
    json!({ "message": { "topicName": topic, "payload": payload } }).to_string()
}

pub(crate) fn answer(kind: i32, flags: i32, stream: i32, model: &str, payload: &str) -> Vec<u8> {
    let extra = vec![text(":content-type", "application/json"), text("service-model-type", model)];
    frame(kind, flags, stream, extra, payload)
}

pub(crate) fn text(name: &'static str, value: &str) -> Header {
    Header::new(name, HeaderValue::String(value.to_owned().into()))
}

pub(crate) fn frame(kind: i32, flags: i32, stream: i32, extra: Vec<Header>, payload: &str) -> Vec<u8> {
    let mut headers = vec![
        Header::new(":message-type", HeaderValue::Int32(kind)),
        Header::new(":message-flags", HeaderValue::Int32(flags)),
        Header::new(":stream-id", HeaderValue::Int32(stream)),
    ];
    headers.extend(extra);
    encode(headers, payload.as_bytes())
}

pub(crate) fn encode(headers: Vec<Header>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message_to(&Message::new_from_parts(headers, payload.to_vec()), &mut bytes).unwrap();
    bytes
}

pub(crate) fn decode(message: Message) -> Received {
    let number = |name: &str| {
        let header = message.headers().iter().find(|h| h.name().as_str() == name);
        header.unwrap_or_else(|| panic!("no {name}")).value().as_int32().expect("an i32")
    };
    let texts = message.headers().iter().filter_map(|h| {
        let value = h.value().as_string().ok()?;
        Some((h.name().as_str().to_owned(), value.as_str().to_owned()))
    });
    Received {
        kind: number(":message-type"),
        flags: number(":message-flags"),
        stream: number(":stream-id"),
        headers: texts.collect(),
        raw_payload: message.payload().to_vec(),
    }
}
