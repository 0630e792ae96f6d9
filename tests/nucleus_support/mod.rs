//! The official Python client as a component that tests tell what to do.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "one driver, several test programs")]

use crate::common::lab::Nucleus;
use crate::common::process;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What has to happen happens within this time.
pub const SOON: Duration = Duration::from_secs(30);
/// `tests/python/component.py` with the environment that the nucleus gives.
pub struct Component {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<Value>,
    events: Vec<(String, String)>,
}

impl Component {
    /// Starts it and connects.
    pub fn connect(nucleus: &Nucleus) -> Component {
        let mut component = Component::start(&nucleus.env());
        assert_eq!(component.ask(&json!({"do": "connect"})), Ok(()));
        component
    }

    /// Starts it, not yet connected.
    pub fn start(env: &[(String, String)]) -> Component {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        process::run(Command::new("sh").arg(root.join("tests/python/setup.sh")));
        let mut command = Command::new(root.join("target/venv/bin/python"));
        command.arg(root.join("tests/python/component.py")).envs(env.iter().cloned());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if to.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Component { child, stdin, lines, events: Vec::new() }
    }

    /// Asks for something; the error is its kind.
    pub fn ask(&mut self, request: &Value) -> Result<(), String> {
        self.stdin.write_all(format!("{request}\n").as_bytes()).unwrap();
        loop {
            let line = self.lines.recv_timeout(SOON).expect("an answer of the Python client");
            if line["ok"] == json!(true) {
                return Ok(());
            }
            if let Some(error) = line["error"].as_str() {
                return Err(format!("{error}: {}", line["message"].as_str().unwrap_or_default()));
            }
            self.keep(&line);
        }
    }

    /// Publishes at QoS 1.
    pub fn publish(&mut self, topic: &str, payload: &str) -> Result<(), String> {
        self.ask(&json!({"do": "publish", "topic": topic, "payload": payload}))
    }

    /// Publishes at QoS 0.
    pub fn publish_qos_0(&mut self, topic: &str, payload: &str) -> Result<(), String> {
        self.ask(&json!({"do": "publish", "topic": topic, "payload": payload, "qos": 0}))
    }

    /// Subscribes, and returns once the subscription holds: a subscribe is answered before SUBACK.
    pub fn subscribe(&mut self, filter: &str, nucleus: &Nucleus) {
        assert_eq!(self.ask(&json!({"do": "subscribe", "topic": filter})), Ok(()));
        let topic = filter.replace(['+', '#'], "probe");
        let end = Instant::now() + SOON;
        while !self.events.iter().any(|(_, payload)| payload == "probe") {
            assert!(Instant::now() < end, "the subscription to {filter} never delivered");
            crate::common::mqtt::publish(nucleus.mqtt_port(), &topic, "probe");
            self.wait(Duration::from_millis(200));
        }
        // Behind the last probe: nothing of them is under way any more.
        crate::common::mqtt::publish(nucleus.mqtt_port(), &topic, "last probe");
        while !self.events.iter().any(|(_, payload)| payload == "last probe") {
            assert!(Instant::now() < end, "the subscription to {filter} ended");
            self.wait(Duration::from_millis(200));
        }
        self.events.clear();
    }

    /// Everything that came so far.
    pub fn events(&mut self) -> Vec<String> {
        while let Ok(line) = self.lines.try_recv() {
            self.keep(&line);
        }
        self.events.iter().map(|(_, payload)| payload.clone()).collect()
    }

    /// Waits until `count` messages have come.
    pub fn wait_for(&mut self, count: usize) -> Vec<String> {
        let end = Instant::now() + SOON;
        while self.events().len() < count {
            assert!(Instant::now() < end, "{count} messages did not come: {:?}", self.events());
            self.wait(Duration::from_millis(100));
        }
        self.events()
    }

    fn wait(&mut self, longest: Duration) {
        if let Ok(line) = self.lines.recv_timeout(longest) {
            self.keep(&line);
        }
    }

    fn keep(&mut self, line: &Value) {
        let text = |key: &str| line["event"][key].as_str().unwrap_or_default().to_owned();
        self.events.push((text("topic"), text("payload")));
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `printgate nucleus` in `directory`.
pub fn nucleus(directory: &Path, arguments: &[&str]) -> Nucleus {
    Nucleus::start(&directory.join("nucleus"), arguments)
}

/// Waits for a condition of the nucleus's status.
#[track_caller]
pub fn until(nucleus: &Nucleus, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + SOON;
    loop {
        let status = nucleus.status();
        if condition(&status) {
            return status;
        }
        assert!(Instant::now() < end, "{what} did not happen: {status:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
