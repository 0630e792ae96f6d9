//! What the Python client cannot show of the stand-in nucleus: frames by hand, a broker that does not acknowledge, the
//! link cut, the control socket, the command.
#![cfg(feature = "lab")]
// Tests say what they expect by unwrapping it, their helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod classic;
mod command;
mod lite;

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use printgate::nucleus::{ComponentConfig, Nucleus, NucleusConfig, NucleusError, Profile};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

const DEADLINE: Duration = Duration::from_secs(20);
const COMPONENT: &str = "dev.printgate.PrintGateway";

fn component() -> ComponentConfig {
    let config = json!({"accessControl": {"aws.greengrass.ipc.mqttproxy": {"p": {
        "operations": ["*"], "resources": ["printers/*"]}}}});
    ComponentConfig { name: COMPONENT.into(), version: "1.0.0".into(), config }
}

async fn classic(dir: &Path, interpolate: bool) -> Nucleus {
    let mut config = NucleusConfig::new(dir.join("ipc.sock"), "gw1", component());
    config.components[0].config["accessControl"]["aws.greengrass.ipc.pubsub"] =
        json!({"p": {"operations": ["*"], "resources": ["local/{iot:thingName}/*"]}});
    config.components[0].config["topic"] = json!("x/{iot:thingName}");
    config.profile = Profile::Classic;
    config.interpolate = interpolate;
    Nucleus::start(config).await.unwrap()
}

async fn nucleus(dir: &Path) -> Nucleus {
    let mut config = NucleusConfig::new(dir.join("ipc.sock"), "gw1", component());
    config.control_socket = Some(dir.join("control.sock"));
    Nucleus::start(config).await.unwrap()
}

fn token(nucleus: &Nucleus) -> String {
    nucleus.env(COMPONENT).unwrap().iter().find(|(key, _)| key == "SVCUID").unwrap().1.clone()
}

/// A frame as it came.
struct Frame {
    kind: i32,
    flags: i32,
    stream: i32,
    model: Option<String>,
    svcuid: Option<String>,
    payload: Value,
}

/// The socket, what came while an answer was awaited, and the last stream.
struct Ipc(UnixStream, VecDeque<Frame>, i32);

impl Ipc {
    async fn open(nucleus: &Nucleus) -> Self {
        Self(UnixStream::connect(nucleus.ipc_socket()).await.unwrap(), VecDeque::new(), 0)
    }

    async fn connect(nucleus: &Nucleus, payload: Value) -> (Self, Option<Frame>) {
        let mut ipc = Self::open(nucleus).await;
        ipc.send(4, 0, 0, &[(":version", "0.1.0")], &payload.to_string()).await;
        let answer = ipc.receive().await;
        (ipc, answer)
    }

    async fn authenticated(nucleus: &Nucleus) -> Self {
        let (ipc, answer) = Self::connect(nucleus, json!({"authToken": token(nucleus)})).await;
        let answer = answer.expect("accepted");
        assert_eq!((answer.kind, answer.flags, answer.svcuid), (5, 1, None));
        ipc
    }

    async fn send(&mut self, kind: i32, flags: i32, stream: i32, texts: &[(&str, &str)], payload: &str) {
        let mut message = Message::new(payload.as_bytes().to_vec())
            .add_header(Header::new(":message-type", HeaderValue::Int32(kind)))
            .add_header(Header::new(":message-flags", HeaderValue::Int32(flags)))
            .add_header(Header::new(":stream-id", HeaderValue::Int32(stream)));
        for (name, text) in texts {
            message = message.add_header(Header::new(name.to_string(), HeaderValue::String(text.to_string().into())));
        }
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        // The server may have closed already; what matters is what is received.
        let _ = self.0.write_all(&bytes).await;
    }

    async fn request(&mut self, stream: i32, operation: &str, payload: Value) {
        let operation = format!("aws.greengrass#{operation}");
        self.2 = stream;
        self.send(0, 0, stream, &[("operation", &operation), ("unknown", "ignored")], &payload.to_string()).await;
    }

    fn next_stream(&self) -> i32 {
        self.2 + 1
    }

    async fn publish(&mut self, stream: i32, topic: &str, payload: &[u8]) {
        let payload = BASE64_STANDARD.encode(payload);
        self.request(stream, "PublishToIoTCore", json!({"topicName": topic, "qos": "1", "payload": payload})).await;
    }

    /// `None`: the server closed the connection.
    async fn receive(&mut self) -> Option<Frame> {
        let read = async {
            let mut bytes = vec![0; 4];
            self.0.read_exact(&mut bytes).await.ok()?;
            let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            bytes.resize(length, 0);
            self.0.read_exact(&mut bytes[4..]).await.ok()?;
            Some(read_message_from(&bytes[..]).unwrap())
        };
        let message = timeout(DEADLINE, read).await.expect("no frame in time")?;
        let find = |name: &str| message.headers().iter().find(|h| h.name().as_str() == name).map(Header::value);
        let number = |name| find(name).unwrap().as_int32().unwrap();
        let text = |name| find(name).map(|v| v.as_string().unwrap().as_str().to_owned());
        Some(Frame {
            kind: number(":message-type"),
            flags: number(":message-flags"),
            stream: number(":stream-id"),
            model: text("service-model-type"),
            svcuid: text("svcuid"),
            payload: serde_json::from_slice(message.payload()).unwrap_or(Value::Null),
        })
    }

    /// The next frame of that stream; events of others are kept for `event`.
    async fn answer(&mut self, stream: i32) -> Frame {
        loop {
            let frame = self.receive().await.expect("an answer");
            if frame.stream == stream {
                return frame;
            }
            self.1.push_back(frame);
        }
    }

    /// The next event, if one comes soon.
    async fn event(&mut self) -> Option<Frame> {
        match self.1.pop_front() {
            Some(frame) => Some(frame),
            None => timeout(Duration::from_millis(200), self.receive()).await.ok().flatten(),
        }
    }
}

/// Waits for a condition; panics with `what` after the deadline.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
