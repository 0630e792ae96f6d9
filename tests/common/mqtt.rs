//! MQTT by others: the mosquitto broker and its command-line clients.

use super::process::{self, Process};
use super::{START, free_port};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A mosquitto broker on a loopback port, for tests that need a broker and no nucleus.
#[derive(Debug)]
pub struct Mosquitto {
    process: Process,
    port: u16,
    directory: TempDir,
}

impl Mosquitto {
    /// Starts it and waits until it takes a message.
    pub fn start() -> Mosquitto {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let configuration = directory.path().join("mosquitto.conf");
        // `user root`: it would give up root for a user that cannot read this directory.
        let text = format!("user root\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(&configuration).env("PATH", search_path());
        let mut process = Process::start("mosquitto", directory.path(), command);
        process.wait_until(START, "an open port", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Mosquitto { process, port, directory }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process: freeze it, kill it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Publishes with mosquitto_pub at QoS 1 to a broker on 127.0.0.1; returns once the broker has it.
#[track_caller]
pub fn publish(port: u16, topic: &str, payload: &str) {
    process::run(&mut mosquitto_pub(port, topic, payload));
}

fn mosquitto_pub(port: u16, topic: &str, payload: &str) -> Command {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-t", topic, "-m", payload]);
    command
}

/// One message that [`MqttWatch`] received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic.
    pub topic: String,
    /// Payload as text.
    pub payload: String,
}

impl Message {
    /// The payload as JSON; `Null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap_or(Value::Null)
    }
}

/// A mosquitto_sub that keeps everything it receives, in order.
#[derive(Debug)]
pub struct MqttWatch {
    process: Process,
    received: Arc<Received>,
    directory: TempDir,
}

#[derive(Debug, Default)]
struct Received {
    messages: Mutex<Vec<Message>>,
    more: Condvar,
}

/// A test that receives more than this is broken.
const MOST: usize = 100_000;

impl MqttWatch {
    /// Subscribes to `filters` at a broker on 127.0.0.1 and returns once the subscription holds.
    pub fn start(port: u16, filters: &[&str]) -> MqttWatch {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-F", "%j"]);
        for filter in filters {
            command.args(["-t", filter]);
        }
        // Subscribed last: when its message comes, the filters before it hold.
        let probe = format!("harness/watch/{}", std::process::id() as u64 * 1000 + unique());
        command.args(["-t", &probe]);
        let mut process = Process::start_piped("mosquitto_sub", directory.path(), command);
        let received = Arc::new(Received::default());
        let lines = BufReader::new(process.stdout()).lines();
        std::thread::spawn({
            let received = Arc::clone(&received);
            move || {
                for message in lines.map_while(Result::ok).filter_map(|line| message(&line)) {
                    let mut messages = received.messages.lock().unwrap();
                    assert!(messages.len() < MOST, "more than {MOST} messages");
                    messages.push(message);
                    received.more.notify_all();
                }
            }
        });
        process.wait_until(START, "its subscription", || {
            let _ = mosquitto_pub(port, &probe, "").output();
            let messages = received.messages.lock().unwrap();
            messages.iter().any(|message| message.topic == probe).then_some(())
        });
        received.messages.lock().unwrap().retain(|message| !message.topic.starts_with("harness/watch/"));
        MqttWatch { process, received, directory }
    }

    /// Everything received so far.
    pub fn messages(&self) -> Vec<Message> {
        let messages = self.received.messages.lock().unwrap();
        messages.iter().filter(|message| !message.topic.starts_with("harness/watch/")).cloned().collect()
    }

    /// The first message, old or new, for which `wanted` holds; fails the test when `deadline` has passed.
    #[track_caller]
    pub fn wait_for(&self, deadline: Duration, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        self.wait_until(deadline, what, |messages| messages.iter().find(|message| wanted(message)).cloned())
    }

    /// Waits until `condition` over everything received gives a value.
    #[track_caller]
    pub fn wait_until<T>(&self, deadline: Duration, what: &str, condition: impl Fn(&[Message]) -> Option<T>) -> T {
        let end = Instant::now() + deadline;
        let mut messages = self.received.messages.lock().unwrap();
        loop {
            if let Some(value) = condition(&messages) {
                return value;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seen: Vec<String> =
                    messages.iter().map(|message| format!("{} {}", message.topic, message.payload)).collect();
                // The lock is poisoned by a panic while it is held.
                drop(messages);
                panic!("waited {deadline:?} for {what}; received {}:\n{}", seen.len(), seen.join("\n"));
            }
            messages = self.received.more.wait_timeout(messages, left).unwrap().0;
        }
    }

    /// Stops and continues the client, as a network that hangs would.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A line of `-F %j`: `{"tst":…,"topic":"a/b","qos":1,"retain":0,"payloadlen":2,"payload":"{}"}`.
fn message(line: &str) -> Option<Message> {
    let line: Value = serde_json::from_str(line).ok()?;
    let payload = line.get("payload").and_then(Value::as_str).unwrap_or_default();
    Some(Message { topic: line.get("topic")?.as_str()?.to_owned(), payload: payload.to_owned() })
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Debian keeps daemons in /usr/sbin, which is not in everybody's search path.
fn search_path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}
