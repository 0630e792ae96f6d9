//! What the Python client cannot show of the stand-in nucleus: frames by hand, a broker that does not acknowledge, the
//! link cut, the control socket, the command.
#![cfg(feature = "lab")]
// Tests say what they expect by unwrapping it, their helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_id_that_is_not_the_next_one_closes_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = nucleus(dir.path()).await;
    for wrong in [1, 3, 0, -1] {
        let mut ipc = Ipc::authenticated(&nucleus).await;
        ipc.request(1, "UpdateState", json!({"state": "RUNNING"})).await;
        assert_eq!(ipc.answer(1).await.model.as_deref(), Some("aws.greengrass#UpdateStateResponse"));
        ipc.request(wrong, "UpdateState", json!({"state": "RUNNING"})).await;
        assert!(ipc.receive().await.is_none(), "stream {wrong} after 1 was taken");
    }
    let mut ipc = Ipc::authenticated(&nucleus).await;
    ipc.request(1, "NoSuchThing", json!({})).await;
    let answer = ipc.answer(1).await;
    assert_eq!((answer.kind, answer.flags), (1, 2));
    assert_eq!(answer.model.as_deref(), Some("aws.greengrass#ServiceError"));
    assert_eq!(answer.payload["_errorCode"], json!("ServiceError"));
    assert!(answer.payload["_message"].is_string() && answer.payload.get("message").is_none());
    // The end of a stream that is closed already is nothing; a ping is answered.
    ipc.send(0, 2, 1, &[], "").await;
    ipc.send(2, 0, 0, &[], "").await;
    assert_eq!(ipc.answer(0).await.kind, 3);
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_comes_back_by_name_with_a_fresh_token() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = nucleus(dir.path()).await;
    let (_ipc, answer) = Ipc::connect(&nucleus, json!({"componentName": COMPONENT})).await;
    let fresh = answer.unwrap().svcuid.expect("a token");
    assert!(fresh.len() == 16 && fresh != token(&nucleus));
    let (_again, answer) = Ipc::connect(&nucleus, json!({"authToken": fresh, "componentName": COMPONENT})).await;
    assert_eq!(answer.unwrap().flags, 1);
    let _first = Ipc::authenticated(&nucleus).await;
    until("three connections", || nucleus.status().components[COMPONENT].connections == 3).await;
    for refused in [
        json!({"authToken": "AAAAAAAAAAAAAAAA"}),
        json!({"componentName": "someone.else"}),
        json!({"authToken": fresh, "componentName": "someone.else"}),
        json!({"authToken": 1}),
        json!({}),
        json!(null),
    ] {
        assert!(Ipc::connect(&nucleus, refused.clone()).await.1.is_none(), "{refused}");
    }
    // A request before CONNECT, and bytes that are no frame.
    let mut ipc = Ipc::open(&nucleus).await;
    ipc.request(1, "UpdateState", json!({"state": "RUNNING"})).await;
    assert!(ipc.receive().await.is_none());
    let mut ipc = Ipc::open(&nucleus).await;
    ipc.0.write_all(&[0xff; 64]).await.unwrap();
    assert!(ipc.receive().await.is_none());
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_wants_a_token_and_says_no() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = classic(dir.path(), false).await;
    for refused in [
        json!({"authToken": "AAAAAAAAAAAAAAAA"}),
        json!({"componentName": COMPONENT}),
        json!({"componentName": "someone.else"}),
        json!({}),
        json!(null),
    ] {
        let (mut ipc, answer) = Ipc::connect(&nucleus, refused.clone()).await;
        let answer = answer.expect("a CONNECT_ACK");
        assert_eq!((answer.kind, answer.flags, answer.svcuid), (5, 0, None), "{refused}");
        assert!(ipc.receive().await.is_none(), "{refused}");
    }
    // The protocol's version is no choice.
    let hello = json!({"authToken": token(&nucleus)}).to_string();
    for version in [&[][..], &[(":version", "0.2.0")]] {
        let mut ipc = Ipc::open(&nucleus).await;
        ipc.send(4, 0, 0, version, &hello).await;
        assert_eq!(ipc.receive().await.unwrap().flags, 0, "{version:?}");
        assert!(ipc.receive().await.is_none(), "{version:?}");
    }
    for wrong in [1, 3, 0, -1] {
        let mut ipc = Ipc::authenticated(&nucleus).await;
        ipc.request(1, "UpdateState", json!({"state": "RUNNING"})).await;
        assert_eq!(ipc.answer(1).await.kind, 0);
        ipc.request(wrong, "UpdateState", json!({"state": "RUNNING"})).await;
        assert!(ipc.receive().await.is_none(), "stream {wrong} after 1 was taken");
    }
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_answers_in_its_own_form() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = classic(dir.path(), false).await;
    let mut ipc = Ipc::authenticated(&nucleus).await;
    // An answer that is all there is ends its stream; that of a subscription does not.
    ipc.request(1, "UpdateState", json!({"state": "RUNNING"})).await;
    let answer = ipc.answer(1).await;
    assert_eq!((answer.kind, answer.flags), (0, 2));
    ipc.request(2, "SubscribeToIoTCore", json!({"topicName": "printers/#", "qos": "1"})).await;
    assert_eq!(ipc.answer(2).await.flags, 0);
    let mut refused = async |stream: i32, operation: &str, request: Value| {
        ipc.request(stream, operation, request).await;
        let answer = ipc.answer(stream).await;
        assert_eq!((answer.kind, answer.flags), (1, 2), "{operation}");
        (answer.model.unwrap_or_default(), answer.payload)
    };
    let nothing = json!({"message": "Key not found", "resourceType": "Configuration", "resourceName": ""});
    let key = refused(3, "GetConfiguration", json!({"keyPath": ["no"]})).await;
    assert_eq!(key, ("aws.greengrass#ResourceNotFoundError".into(), nothing));
    let (model, payload) = refused(4, "RestartComponent", json!({"componentName": "x"})).await;
    assert_eq!((model.as_str(), &payload["error"]), ("", &json!("Unsupported Operation")));
    assert_eq!(payload["message"], json!("aws.greengrass#RestartComponent is an unsupported operation."));
    // Java's handlers throw; the text is no JSON.
    assert_eq!(refused(5, "UpdateState", json!([])).await, (String::new(), Value::Null));
    assert_eq!(refused(6, "PublishToTopic", json!({"topic": "local/{iot:thingName}/x"})).await.1, Value::Null);
    for (stream, request, expected) in [
        (7, json!({"qos": "1", "payload": ""}), "Topic is required"),
        (8, json!({"topicName": "printers/a", "payload": ""}), "QoS is required"),
        (9, json!({"topicName": "printers/a", "qos": "1"}), "Payload is required"),
    ] {
        let (model, payload) = refused(stream, "PublishToIoTCore", request).await;
        assert_eq!((model.as_str(), payload), ("aws.greengrass#InvalidArgumentsError", json!({"message": expected})));
    }
    for (stream, request, expected) in [
        (10, json!({"valueToMerge": {"a": 1}}), "Timestamp is required"),
        (11, json!({"timestamp": 1.0}), "ValueToMerge is required"),
    ] {
        assert_eq!(refused(stream, "UpdateConfiguration", request).await.1["message"], json!(expected));
    }
    // Whole seconds do as well as a float, unlike on lite.
    let now = jiff::Timestamp::now().as_second() + 60;
    ipc.request(12, "UpdateConfiguration", json!({"valueToMerge": {"a": 1}, "timestamp": now})).await;
    assert_eq!(ipc.answer(12).await.kind, 0);
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_puts_in_the_thing_name_where_it_is_told_to() {
    for interpolate in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let nucleus = classic(dir.path(), interpolate).await;
        let mut ipc = Ipc::authenticated(&nucleus).await;
        ipc.request(1, "SubscribeToTopic", json!({"topic": "local/gw1/a"})).await;
        assert_eq!(ipc.answer(1).await.kind, i32::from(!interpolate));
        ipc.request(2, "GetConfiguration", json!({"keyPath": ["topic"]})).await;
        let expected = if interpolate { "x/gw1" } else { "x/{iot:thingName}" };
        assert_eq!(ipc.answer(2).await.payload["value"], json!({"topic": expected}));
        nucleus.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_too_large_closes_the_connection_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (lite, classic) = (nucleus(dir.path()).await, tempfile::tempdir().unwrap());
    let classic = self::classic(classic.path(), false).await;
    for (nucleus, length) in [(&lite, 10_013u32), (&classic, 16 * 1024 * 1024 + 13)] {
        let mut ipc = Ipc::authenticated(nucleus).await;
        // The length and no more: whoever waited for the rest would wait for ever.
        ipc.0.write_all(&[&length.to_be_bytes()[..], &[0; 8]].concat()).await.unwrap();
        assert!(ipc.receive().await.is_none(), "{length}");
    }
    // Lite fails a deployment for a resource that classic takes.
    let bad = json!({"accessControl": {"s": {"q": {"operations": ["*"], "resources": ["a?"]}}}});
    assert!(matches!(lite.set_config(COMPONENT, &bad), Err(NucleusError::Configuration { .. })));
    classic.set_config(COMPONENT, &bad).unwrap();
    lite.shutdown().await;
    classic.shutdown().await;
}

/// Every operation with every kind of nonsense in every field: an answer, and the connection lives on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_harms_the_nucleus() {
    let long = "x".repeat(3_000);
    let fields = "topicName topic qos payload publishMessage receiveMode componentName keyPath valueToMerge timestamp \
        state thingName shadowName pageSize nextToken secretId versionId versionStage deploymentId recheckAfterMs \
        configurationValidityReport metrics";
    let operations = "PublishToIoTCore SubscribeToIoTCore PublishToTopic SubscribeToTopic GetConfiguration \
        UpdateConfiguration SubscribeToConfigurationUpdate UpdateState GetThingShadow UpdateThingShadow \
        DeleteThingShadow ListNamedShadowsForThing GetSecretValue SubscribeToComponentUpdates DeferComponentUpdate \
        SubscribeToValidateConfigurationUpdates SendConfigurationValidityReport PauseComponent ResumeComponent \
        PutComponentMetric NoSuchOperation";
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("printers/a"),
        json!("?{${"),
        json!(long),
        json!([]),
        json!([1, {}]),
        json!({}),
        json!({"jsonMessage": {"message": 1}}),
        json!({"status": "REJECTED", "message": []}),
        json!([{"name": "a", "unit": "b", "value": -1}]),
    ];
    let lite = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for nucleus in [nucleus(lite.path()).await, classic(dir.path(), true).await] {
        let mut ipc = Ipc::authenticated(&nucleus).await;
        for operation in operations.split_whitespace() {
            for value in &values {
                let all: serde_json::Map<_, _> =
                    fields.split_whitespace().map(|field| (field.to_owned(), value.clone())).collect();
                // As large as lite lets it be.
                let all = if value.to_string().len() > 100 {
                    json!({"topicName": value, "topic": value,
                    "thingName": value})
                } else {
                    Value::Object(all)
                };
                let stream = ipc.next_stream();
                ipc.request(stream, operation, all).await;
                ipc.answer(stream).await;
                ipc.send(0, 2, stream, &[], "").await;
            }
        }
        // Nothing is left open, and it still serves.
        let stream = ipc.next_stream();
        ipc.request(stream, "GetConfiguration", json!({})).await;
        assert_eq!(ipc.answer(stream).await.kind, 0);
        let status = nucleus.status();
        assert_eq!((status.link.subscriptions, status.local.subscriptions), (0, 0));
        nucleus.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deployed_counts_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = nucleus(dir.path()).await;
    let mut ipc = Ipc::authenticated(&nucleus).await;
    ipc.publish(1, "elsewhere", b"x").await;
    assert_eq!(ipc.answer(1).await.model.as_deref(), Some("aws.greengrass#UnauthorizedError"));
    let more = json!({"accessControl": {"aws.greengrass.ipc.mqttproxy": {"q": {
        "operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["elsewhere"]}}}});
    nucleus.set_config(COMPONENT, &more).unwrap();
    ipc.publish(2, "elsewhere", b"x").await;
    assert_eq!(ipc.answer(2).await.model.as_deref(), Some("aws.greengrass#PublishToIoTCoreResponse"));
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_link_is_cut_nothing_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = nucleus(dir.path()).await;
    let mut ipc = Ipc::authenticated(&nucleus).await;
    ipc.request(1, "SubscribeToIoTCore", json!({"topicName": "printers/#", "qos": "1"})).await;
    assert_eq!(ipc.answer(1).await.model.as_deref(), Some("aws.greengrass#SubscribeToIoTCoreResponse"));
    nucleus.set_link(false).await.unwrap();
    ipc.publish(2, "printers/a", b"lost").await;
    assert_eq!(ipc.answer(2).await.model.as_deref(), Some("aws.greengrass#ServiceError"));
    let port = nucleus.mqtt_port().to_string();
    let mut cloud = Command::new("mosquitto_pub");
    cloud.args(["-p", &port, "-q", "1", "-t", "printers/a", "-m", "missed"]);
    assert!(timeout(DEADLINE, cloud.status()).await.unwrap().unwrap().success());
    nucleus.set_link(true).await.unwrap();
    // The subscription is taken up again by itself; the first message it brings is not the missed one.
    for stream in 3.. {
        assert!(stream < 200, "the subscription did not come back");
        ipc.publish(stream, "printers/a", b"back").await;
        assert_eq!(ipc.answer(stream).await.model.as_deref(), Some("aws.greengrass#PublishToIoTCoreResponse"));
        if let Some(event) = ipc.event().await {
            assert_eq!((event.stream, event.model.as_deref()), (1, Some("aws.greengrass#IoTCoreMessage")));
            assert_eq!(event.payload["message"]["payload"], json!(BASE64_STANDARD.encode("back")));
            break;
        }
    }
    nucleus.shutdown().await;
}

/// An MQTT broker that takes publishes and never acknowledges them.
async fn black_hole(publishes: Arc<AtomicUsize>) -> u16 {
    async fn serve(mut stream: TcpStream, publishes: Arc<AtomicUsize>) -> std::io::Result<()> {
        loop {
            let kind = stream.read_u8().await? >> 4;
            let (mut length, mut shift) = (0usize, 0);
            loop {
                let byte = stream.read_u8().await?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            match kind {
                1 => stream.write_all(&[0x20, 2, 0, 0]).await?,
                3 => drop(publishes.fetch_add(1, Ordering::SeqCst)),
                8 => stream.write_all(&[0x90, 3, body[0], body[1], 1]).await?,
                12 => stream.write_all(&[0xd0, 0]).await?,
                _ => {}
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, publishes.clone()));
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_publishes_without_an_acknowledgement_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let publishes = Arc::new(AtomicUsize::new(0));
    let mut config = NucleusConfig::new(dir.path().join("ipc.sock"), "gw1", component());
    config.broker = Some(("127.0.0.1".into(), black_hole(publishes.clone()).await));
    let nucleus = Nucleus::start(config).await.unwrap();
    let mut ipc = Ipc::authenticated(&nucleus).await;
    for stream in 1..=10 {
        ipc.publish(stream, "printers/a", b"x").await;
        assert_eq!(ipc.answer(stream).await.model.as_deref(), Some("aws.greengrass#PublishToIoTCoreResponse"));
    }
    ipc.publish(11, "printers/a", b"x").await;
    assert_eq!(ipc.answer(11).await.model.as_deref(), Some("aws.greengrass#ServiceError"));
    ipc.request(12, "PublishToIoTCore", json!({"topicName": "printers/a", "qos": "0", "payload": ""})).await;
    assert_eq!(ipc.answer(12).await.model.as_deref(), Some("aws.greengrass#PublishToIoTCoreResponse"));
    until("11 publishes at the broker", || publishes.load(Ordering::SeqCst) == 11).await;
    // All ten were told to be published, and all are forgotten.
    nucleus.set_link(false).await.unwrap();
    assert_eq!((nucleus.status().link.in_flight, nucleus.status().link.forgotten), (0, 10));
    nucleus.set_link(true).await.unwrap();
    ipc.publish(13, "printers/a", b"x").await;
    assert_eq!(ipc.answer(13).await.model.as_deref(), Some("aws.greengrass#PublishToIoTCoreResponse"));
    until("the new publish at the broker", || publishes.load(Ordering::SeqCst) == 12).await;
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_are_as_few_as_on_lite_and_end_with_their_stream_or_connection() {
    const MODEL: &str = "aws.greengrass#SubscribeToIoTCoreResponse";
    let dir = tempfile::tempdir().unwrap();
    let mut config = NucleusConfig::new(dir.path().join("ipc.sock"), "gw1", component());
    // AWS ends a connection with more than 50; here it is about lite's own number.
    config.quotas = None;
    let nucleus = Nucleus::start(config).await.unwrap();
    let mut ipc = Ipc::authenticated(&nucleus).await;
    let request = |n: i32| json!({"topicName": format!("printers/{n}/#"), "qos": "0"});
    for stream in 1..=98 {
        ipc.request(stream, "SubscribeToIoTCore", request(stream)).await;
        assert_eq!(ipc.answer(stream).await.model.as_deref(), Some(MODEL));
    }
    ipc.request(99, "SubscribeToIoTCore", request(99)).await;
    assert_eq!(ipc.answer(99).await.model.as_deref(), Some("aws.greengrass#ServiceError"));
    ipc.send(0, 2, 7, &[], "").await;
    ipc.request(100, "SubscribeToIoTCore", request(100)).await;
    assert_eq!(ipc.answer(100).await.model.as_deref(), Some(MODEL));
    assert_eq!(nucleus.status().link.subscriptions, 98);
    drop(ipc);
    until("the end of the subscriptions", || nucleus.status().link.subscriptions == 0).await;
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_socket_cuts_restores_and_deploys() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = nucleus(dir.path()).await;
    let stream = UnixStream::connect(nucleus.control_socket().unwrap()).await.unwrap();
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from).lines();
    let mut ask = async |request: &str| -> Value {
        to.write_all(format!("{request}\n").as_bytes()).await.unwrap();
        let line = timeout(DEADLINE, from.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!(ask(r#"{"link":"cut"}"#).await, json!({"ok": true, "online": false}));
    assert_eq!(ask(r#"{"status":true}"#).await["link"]["online"], json!(false));
    assert_eq!(ask(r#"{"link":"restore"}"#).await, json!({"ok": true, "online": true}));
    assert!(nucleus.status().link.online);
    let mut ipc = Ipc::authenticated(&nucleus).await;
    ipc.request(1, "SubscribeToConfigurationUpdate", json!({"keyPath": []})).await;
    ipc.answer(1).await;
    assert_eq!(ask(r#"{"config":{"poll":{"seconds":5}}}"#).await, json!({"ok": true}));
    let event = ipc.answer(1).await;
    assert_eq!(event.model.as_deref(), Some("aws.greengrass#ConfigurationUpdateEvents"));
    let expected = json!({"configurationUpdateEvent": {"componentName": COMPONENT, "keyPath": ["poll", "seconds"]}});
    assert_eq!(event.payload, expected);
    ipc.request(2, "GetConfiguration", json!({"keyPath": ["poll", "seconds"]})).await;
    assert_eq!(ipc.answer(2).await.payload["value"], json!({"seconds": "5"}));
    // What only classic has is told from outside, too.
    assert_eq!(ask(r#"{"status":true}"#).await["profile"], json!("lite"));
    let secret = ask(r#"{"secret":"printers/hp","value":"hunter2"}"#).await;
    assert_eq!(secret["arn"], json!("arn:aws:secretsmanager:eu-central-1:000000000000:secret:printers/hp-StandI"));
    assert_eq!(ask(r#"{"status":true}"#).await["secrets"], json!(["printers/hp"]));
    let proceeded = json!({"ok": true, "outcome": "proceeded", "deferrals": 0});
    assert_eq!(ask(r#"{"update":"d-1","timeoutMs":100}"#).await, proceeded);
    assert_eq!(ask(r#"{"updateDone":"d-1"}"#).await, json!({"ok": true}));
    for bad in [
        "{",
        "{}",
        r#"{"secret":"a b","value":"x"}"#,
        r#"{"secret":"a"}"#,
        r#"{"update":1}"#,
        r#"{"link":"up"}"#,
        r#"{"config":1}"#,
        r#"{"config":{},"component":"x"}"#,
    ] {
        let answer = ask(bad).await;
        assert!(answer["ok"] == json!(false) && answer["error"].is_string(), "{bad}: {answer}");
    }
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_in_use_is_left_alone_and_a_dead_one_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let first = nucleus(dir.path()).await;
    let second = Nucleus::start(NucleusConfig::new(dir.path().join("ipc.sock"), "gw2", component())).await;
    assert!(matches!(second, Err(NucleusError::InUse(_))));
    let _ipc = Ipc::authenticated(&first).await;
    first.shutdown().await;
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "sockets are left behind");
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("ipc.sock")).unwrap());
    let third = nucleus(dir.path()).await;
    let _ipc = Ipc::authenticated(&third).await;
    third.shutdown().await;
    let long = dir.path().join("x".repeat(120));
    let failed = Nucleus::start(NucleusConfig::new(long, "gw1", component())).await;
    assert!(matches!(failed, Err(NucleusError::SocketPath(_))));
    // A start that fails later leaves nothing behind either.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = NucleusConfig::new(dir.path().join("ipc.sock"), "gw1", component());
    config.mqtt_port = taken.local_addr().unwrap().port();
    assert!(matches!(Nucleus::start(config).await, Err(NucleusError::Broker { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a socket is left behind");
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// A Debian mosquitto that listens already.
async fn mosquitto(port: u16) -> Child {
    let mut command = Command::new("mosquitto");
    command.args(["-p", &port.to_string()]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    let end = Instant::now() + DEADLINE;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < end, "mosquitto does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child
}

/// Asks for the classic shadow until its answer comes; the subscription to the answer is on stream 1.
async fn shadow_answers(ipc: &mut Ipc, thing: &str, streams: std::ops::Range<i32>) {
    for stream in streams {
        ipc.publish(stream, &format!("$aws/things/{thing}/shadow/get"), b"").await;
        ipc.answer(stream).await;
        if let Some(event) = ipc.event().await {
            let expected = json!(format!("$aws/things/{thing}/shadow/get/rejected"));
            assert_eq!(event.payload["message"]["topicName"], expected);
            return;
        }
    }
    panic!("the shadow service does not answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn link_and_shadows_outlive_a_killed_broker() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().await;
    let mut broker = mosquitto(port).await;
    let mut component = component();
    component.config["accessControl"]["aws.greengrass.ipc.mqttproxy"]["p"]["resources"] = json!(["*"]);
    let mut config = NucleusConfig::new(dir.path().join("ipc.sock"), "gw1", component);
    config.broker = Some(("127.0.0.1".into(), port));
    let nucleus = Nucleus::start(config).await.unwrap();
    let mut ipc = Ipc::authenticated(&nucleus).await;
    ipc.request(1, "SubscribeToIoTCore", json!({"topicName": "$aws/things/gw1/shadow/get/+", "qos": "1"})).await;
    ipc.answer(1).await;
    shadow_answers(&mut ipc, "gw1", 2..100).await;
    broker.kill().await.unwrap();
    until("the loss of the link", || !nucleus.status().link.online).await;
    let _broker = mosquitto(port).await;
    until("the link's return", || nucleus.status().link.online).await;
    while ipc.event().await.is_some() {}
    let next = ipc.next_stream();
    shadow_answers(&mut ipc, "gw1", next..next + 100).await;
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_plays_classic_and_never_shows_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hp");
    std::fs::write(&file, "hunter2\n").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_printgate"))
        .args(["nucleus", "--json", "--profile", "classic", "--interpolate", "--dir"])
        .arg(dir.path().join("n"))
        .arg("--secret")
        .arg(format!("printers/hp={}", file.display()))
        .env("PRINTGATE_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut log = Vec::new();
        stderr.read_to_end(&mut log).await.map(|_| log)
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&ready["profile"], &ready["env"]["GGC_VERSION"]), (&json!("classic"), &json!("2.15.0")));
    let path = ready["env"]["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"].as_str().unwrap();
    let mut ipc = Ipc(UnixStream::connect(path).await.unwrap(), VecDeque::new(), 0);
    let hello = json!({"authToken": ready["env"]["SVCUID"]}).to_string();
    ipc.send(4, 0, 0, &[(":version", "0.1.0")], &hello).await;
    assert_eq!(ipc.receive().await.unwrap().flags, 1);
    ipc.request(1, "GetSecretValue", json!({"secretId": "printers/hp"})).await;
    let secret = ipc.answer(1).await.payload;
    assert_eq!(secret["secretValue"], json!({"secretString": "hunter2"}));
    ipc.request(2, "GetThingShadow", json!({"thingName": "gw1", "shadowName": "hp"})).await;
    assert_eq!(ipc.answer(2).await.model.as_deref(), Some("aws.greengrass#ResourceNotFoundError"));
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    assert_eq!(timeout(DEADLINE, child.wait()).await.unwrap().unwrap().code(), Some(0));
    let log = String::from_utf8_lossy(&log.await.unwrap().unwrap()).into_owned();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "there is no log: {log}");
    assert!(!log.contains("hunter2"), "the log shows a secret");
    // What is wrong is said before anything is made.
    let mut wrong = Command::new(env!("CARGO_BIN_EXE_printgate"));
    wrong.args(["nucleus", "--secret", "x=/nowhere", "--dir"]).arg(dir.path().join("m"));
    let output = timeout(DEADLINE, wrong.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the secret x: cannot read /nowhere"));
    assert!(!dir.path().join("m").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_serves_until_sigterm_beside_any_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = free_port().await;
    let _mosquitto = mosquitto(broker).await;
    let sockets = dir.path().join("nucleus");
    let mut child = Command::new(env!("CARGO_BIN_EXE_printgate"))
        .arg("nucleus")
        .args(["--json", "--thing", "gw9", "--broker", &format!("127.0.0.1:{broker}"), "--dir"])
        .arg(&sockets)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&ready["event"], &ready["mqtt"]["port"]), (&json!("ready"), &json!(broker)));
    assert_eq!(ready["env"]["AWS_IOT_THING_NAME"], json!("gw9"));
    let path = ready["env"]["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"].as_str().unwrap();
    let mut ipc = Ipc(UnixStream::connect(path).await.unwrap(), VecDeque::new(), 0);
    let hello = json!({"authToken": ready["env"]["SVCUID"]}).to_string();
    ipc.send(4, 0, 0, &[(":version", "0.1.0")], &hello).await;
    assert_eq!(ipc.receive().await.unwrap().flags, 1);
    // A shadow through the real broker: the default configuration allows every topic.
    ipc.request(1, "SubscribeToIoTCore", json!({"topicName": "$aws/things/gw9/shadow/get/+", "qos": 1})).await;
    ipc.answer(1).await;
    shadow_answers(&mut ipc, "gw9", 2..100).await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let status = timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(std::fs::read_dir(&sockets).unwrap().count(), 0, "sockets are left behind");
}
