//! How many IPC publishes the stand-in nucleus passes: from clients on the real socket through link and broker to an
//! MQTT subscriber.
//!
//! `cargo bench --bench nucleus_ipc` prints, for each case: publishes answered OK a second, publishes that reached the
//! subscriber a second, how many were refused, and processor time a publish of everything together: nucleus, broker,
//! clients and subscriber, which share this process. 8 clients, each with 16 requests on their way, 200 bytes of payload,
//! 3 s, AWS's quotas off. Nothing is asserted.
//!
//! What limits it: QoS 0 the processor (client, IPC, MQTT client, broker and subscriber share it; requests are served one
//! by one on each connection); QoS 1 on classic the 5 publishes that are on the wire at a time, as on the real one;
//! QoS 1 on lite Nagle's algorithm, which is played on purpose, and 10 publishes without an acknowledgement, beyond
//! which it refuses.
// A benchmark says what it expects by unwrapping it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use printgate::nucleus::{ComponentConfig, Nucleus, NucleusConfig, Profile};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Packet;
use rumqttc::{AsyncClient, Event, MqttOptions};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

const CLIENTS: usize = 8;
const WINDOW: i32 = 16;
const PAYLOAD: usize = 200;
const TIME: Duration = Duration::from_secs(3);
const COMPONENT: &str = "bench.Component";

#[tokio::main]
async fn main() {
    println!("{CLIENTS} clients, {WINDOW} requests on their way each, {PAYLOAD} bytes, {} s a case", TIME.as_secs());
    println!(
        "{:<8} {:<14} {:>12} {:>12} {:>10} {:>8}",
        "runtime", "operation", "answered/s", "arrived/s", "refused", "CPU us"
    );
    for (profile, what) in [
        (Profile::Classic, What::Mqtt(0)),
        (Profile::Classic, What::Mqtt(1)),
        (Profile::Lite, What::Mqtt(0)),
        (Profile::Lite, What::Mqtt(1)),
        (Profile::Classic, What::Local),
        (Profile::Lite, What::Local),
    ] {
        case(profile, what).await;
    }
}

#[derive(Clone, Copy)]
enum What {
    /// PublishToIoTCore with this QoS.
    Mqtt(u8),
    /// PublishToTopic to a subscriber on another connection.
    Local,
}

async fn case(profile: Profile, what: What) {
    let dir = tempfile::tempdir().unwrap();
    let everything = json!({"p": {"operations": ["*"], "resources": ["*"]}});
    let config = json!({"accessControl":
        {"aws.greengrass.ipc.mqttproxy": everything, "aws.greengrass.ipc.pubsub": everything}});
    let component = ComponentConfig { name: COMPONENT.into(), version: "1.0.0".into(), config };
    let mut config = NucleusConfig::new(dir.path().join("ipc.sock"), "gw1", component);
    config.profile = profile;
    config.quotas = None;
    let nucleus = Nucleus::start(config).await.unwrap();
    let arrived = Arc::new(AtomicU64::new(0));
    let (ready, subscribed) = oneshot::channel();
    let token = nucleus.env(COMPONENT).unwrap().iter().find(|(key, _)| key == "SVCUID").unwrap().1.clone();
    let socket = nucleus.ipc_socket().to_owned();
    let subscriber = match what {
        What::Mqtt(_) => tokio::spawn(cloud(nucleus.mqtt_port(), arrived.clone(), ready)),
        What::Local => tokio::spawn(local(socket.clone(), token.clone(), arrived.clone(), ready)),
    };
    subscribed.await.unwrap();
    let (started, used) = (Instant::now(), processor_time());
    let clients: Vec<_> =
        (0..CLIENTS).map(|n| tokio::spawn(client(socket.clone(), token.clone(), n, what, started))).collect();
    let (mut answered, mut refused) = (0, 0);
    for client in clients {
        let (ok, no) = client.await.unwrap();
        answered += ok;
        refused += no;
    }
    let answering = started.elapsed().as_secs_f64();
    // What is still on its way, the spooler's included.
    let mut last = (arrived.load(Ordering::Relaxed), Instant::now());
    while last.0 < answered && last.1.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = arrived.load(Ordering::Relaxed);
        if now > last.0 {
            last = (now, Instant::now());
        }
    }
    let arriving = last.1.duration_since(started).as_secs_f64();
    let name = match what {
        What::Mqtt(qos) => format!("IoTCore QoS {qos}"),
        What::Local => "Topic".to_owned(),
    };
    let each = (processor_time() - used).as_micros() / u128::from((answered + refused).max(1));
    let rate = |count: u64, seconds: f64| (count as f64 / seconds) as u64;
    let (answered, arrived) = (rate(answered, answering), rate(last.0, arriving));
    println!("{:<8} {name:<14} {answered:>12} {arrived:>12} {refused:>10} {each:>8}", profile.to_string());
    subscriber.abort();
    nucleus.shutdown().await;
}

/// Publishes for [`TIME`]; returns how many were answered OK and how many refused.
async fn client(socket: PathBuf, token: String, n: usize, what: What, started: Instant) -> (u64, u64) {
    let (mut from, mut to) = connect(&socket, &token).await;
    let payload = BASE64_STANDARD.encode(vec![b'x'; PAYLOAD]);
    let (operation, body) = match what {
        What::Mqtt(qos) => {
            let body = json!({"topicName": format!("bench/{n}"), "qos": qos.to_string(), "payload": payload});
            ("PublishToIoTCore", body)
        }
        What::Local => {
            let message = json!({"binaryMessage": {"message": payload}});
            ("PublishToTopic", json!({"topic": format!("bench/{n}"), "publishMessage": message}))
        }
    };
    let (operation, body) = (format!("aws.greengrass#{operation}"), body.to_string());
    let (mut stream, mut open, mut answered, mut refused) = (0, 0, 0, 0);
    loop {
        let mut bytes = Vec::new();
        while open < WINDOW && started.elapsed() < TIME {
            stream += 1;
            open += 1;
            encode(&mut bytes, 0, stream, &[("operation", &operation)], &body);
        }
        to.write_all(&bytes).await.unwrap();
        if open == 0 {
            return (answered, refused);
        }
        match receive(&mut from).await {
            0 => answered += 1,
            _ => {
                refused += 1;
                // As a client does: not again at once.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        open -= 1;
    }
}

/// The cloud: counts what arrives.
async fn cloud(port: u16, arrived: Arc<AtomicU64>, ready: oneshot::Sender<()>) {
    let options = MqttOptions::new("bench-cloud", ("127.0.0.1", port));
    let (client, mut events) = AsyncClient::builder(options).capacity(64).try_build().unwrap();
    events.network_options.set_tcp_nodelay(true);
    client.subscribe("bench/#", QoS::AtMostOnce).await.unwrap();
    let mut ready = Some(ready);
    loop {
        match events.poll().await.unwrap() {
            Event::Incoming(Packet::SubAck(_)) => ready.take().unwrap().send(()).unwrap(),
            Event::Incoming(Packet::Publish(_)) => drop(arrived.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

/// A local subscriber: counts what arrives.
async fn local(socket: PathBuf, token: String, arrived: Arc<AtomicU64>, ready: oneshot::Sender<()>) {
    let (mut from, mut to) = connect(&socket, &token).await;
    let mut mode = vec![];
    let request = json!({"topic": "bench/#", "receiveMode": "RECEIVE_ALL_MESSAGES"}).to_string();
    encode(&mut mode, 0, 1, &[("operation", "aws.greengrass#SubscribeToTopic")], &request);
    to.write_all(&mode).await.unwrap();
    assert_eq!(receive(&mut from).await, 0);
    ready.send(()).unwrap();
    loop {
        receive(&mut from).await;
        arrived.fetch_add(1, Ordering::Relaxed);
    }
}

/// What this process used so far (Linux counts it in hundredths of a second).
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // utime and stime are the 14th and 15th field; the second one, in parentheses, may have spaces.
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

type Half = BufReader<tokio::net::unix::OwnedReadHalf>;

async fn connect(socket: &PathBuf, token: &str) -> (Half, tokio::net::unix::OwnedWriteHalf) {
    let (from, mut to) = UnixStream::connect(socket).await.unwrap().into_split();
    let mut from = BufReader::with_capacity(64 * 1024, from);
    let mut hello = Vec::new();
    encode(&mut hello, 4, 0, &[(":version", "0.1.0")], &json!({"authToken": token}).to_string());
    to.write_all(&hello).await.unwrap();
    assert_eq!(receive(&mut from).await, 5);
    (from, to)
}

fn encode(to: &mut Vec<u8>, kind: i32, stream: i32, texts: &[(&str, &str)], payload: &str) {
    let mut message = Message::new(payload.as_bytes().to_vec())
        .add_header(Header::new(":message-type", HeaderValue::Int32(kind)))
        .add_header(Header::new(":message-flags", HeaderValue::Int32(0)))
        .add_header(Header::new(":stream-id", HeaderValue::Int32(stream)));
    for (name, text) in texts {
        message = message.add_header(Header::new(name.to_string(), HeaderValue::String(text.to_string().into())));
    }
    write_message_to(&message, to).unwrap();
}

/// The message type of the next frame.
async fn receive(from: &mut Half) -> i32 {
    let mut bytes = vec![0; 4];
    from.read_exact(&mut bytes).await.unwrap();
    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    bytes.resize(length, 0);
    from.read_exact(&mut bytes[4..]).await.unwrap();
    let message = read_message_from(&bytes[..]).unwrap();
    let kind = message.headers().iter().find(|h| h.name().as_str() == ":message-type").unwrap();
    kind.value().as_int32().unwrap()
}
