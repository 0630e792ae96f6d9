//! The lab as child processes: the stand-in nucleus and the simulated printers.

use super::gateway::printgate;
use super::mqtt::{self, MqttWatch};
use super::process::Process;
use super::{START, try_until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The stand-in nucleus: `printgate nucleus`, with the cloud's side of its broker.
#[derive(Debug)]
pub struct Nucleus {
    process: JsonProcess,
}

impl Nucleus {
    /// Starts `printgate nucleus --dir DIRECTORY --json ARGUMENTS` and waits until it serves.
    pub fn start(directory: &Path, arguments: &[&str]) -> Nucleus {
        Nucleus { process: lab("nucleus", directory, arguments) }
    }

    /// The same with the component's configuration.
    pub fn start_with(directory: &Path, configuration: &Value, arguments: &[&str]) -> Nucleus {
        std::fs::create_dir_all(directory).unwrap();
        let file = directory.join("configuration.json");
        std::fs::write(&file, configuration.to_string()).unwrap();
        let mut all = vec!["--config", file.to_str().expect("a path in UTF-8")];
        all.extend(arguments);
        Nucleus::start(directory, &all)
    }

    /// The environment that it gives its component.
    pub fn env(&self) -> Vec<(String, String)> {
        let env = self.ready().get("env").and_then(Value::as_object).expect("`env` in its first line");
        env.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    }

    /// The thing name of the gateway.
    pub fn thing(&self) -> String {
        self.text("/thing")
    }

    /// The broker's port on 127.0.0.1.
    pub fn mqtt_port(&self) -> u16 {
        u16::try_from(self.number("/mqtt/port")).expect("a port")
    }

    /// Subscribes as the cloud.
    pub fn watch(&self, filters: &[&str]) -> MqttWatch {
        MqttWatch::start(self.mqtt_port(), filters)
    }

    /// Publishes as the cloud.
    #[track_caller]
    pub fn publish(&self, topic: &str, payload: &Value) {
        mqtt::publish(self.mqtt_port(), topic, &payload.to_string());
    }

    /// Cuts or restores the link between the nucleus and the cloud; returns when it is done.
    #[track_caller]
    pub fn link(&self, up: bool) {
        self.control(&json!({"link": if up { "restore" } else { "cut" }}));
    }

    /// Merges into the component's configuration, as a deployment would.
    #[track_caller]
    pub fn configure(&self, configuration: &Value) {
        self.control(&json!({"config": configuration}));
    }

    /// What it says about itself.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.control(&json!({"status": true}))
    }
}

/// Simulated printers: `printgate simulate`.
#[derive(Debug)]
pub struct Simulated {
    process: JsonProcess,
}

impl Simulated {
    /// Starts `printgate simulate --printers COUNT --dir DIRECTORY --json ARGUMENTS` and waits until they serve.
    pub fn start(count: usize, directory: &Path, arguments: &[&str]) -> Simulated {
        let count = count.to_string();
        let mut all = vec!["--printers", &count];
        all.extend(arguments);
        Simulated { process: lab("simulate", directory, &all) }
    }

    /// The printers: `name`, `uri`, `uuid`, `serial`, `files` and more.
    pub fn printers(&self) -> Vec<Value> {
        self.ready().get("printers").and_then(Value::as_array).expect("`printers` in its first line").clone()
    }

    /// What they have printed so far, in order.
    #[track_caller]
    pub fn printed(&self) -> Vec<Value> {
        self.control(&json!({"do": "printed"}))["printed"].as_array().expect("a list").clone()
    }

    /// Sets a fault of a printer (`slow-pages:2000`).
    #[track_caller]
    pub fn set_fault(&self, printer: &str, fault: &str) {
        self.control(&json!({"do": "set-fault", "printer": printer, "fault": fault}));
    }

    /// Clears all faults of a printer.
    #[track_caller]
    pub fn clear_faults(&self, printer: &str) {
        self.control(&json!({"do": "clear-fault", "printer": printer}));
    }

    /// Switches a printer off or on.
    #[track_caller]
    pub fn power(&self, printer: &str, on: bool) {
        self.control(&json!({"do": if on { "power-on" } else { "power-off" }, "printer": printer}));
    }
}

/// A `printgate` command that prints JSON lines, the first when it is ready.
#[derive(Debug)]
pub struct JsonProcess {
    process: Process,
    ready: Value,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl JsonProcess {
    /// Starts it with its log in `DIRECTORY/NAME.log` and waits for its first line.
    pub fn start(name: &str, arguments: &[&str], directory: &Path) -> JsonProcess {
        Self::start_command(name, printgate(arguments, &[]), directory)
    }

    /// The same with a command that runs it in its own way.
    pub fn start_command(name: &str, command: std::process::Command, directory: &Path) -> JsonProcess {
        let mut process = Process::start_piped(name, directory, command);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let output = BufReader::new(process.stdout()).lines();
        std::thread::spawn({
            let lines = Arc::clone(&lines);
            move || {
                for line in output.map_while(Result::ok) {
                    // With --json, standard output carries JSON and nothing else; a line that is none stays visible.
                    let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                    lines.lock().unwrap().push(value);
                }
            }
        });
        let ready =
            process.wait_until(START, "a line that says it is ready", || lines.lock().unwrap().first().cloned());
        assert!(ready.is_object(), "{name}: the first line is no JSON object: {ready}");
        JsonProcess { process, ready, lines }
    }

    /// Its first line.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// A text member of its first line, by JSON pointer (`/socket`).
    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        let value = self.ready.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no text at {pointer} in {}", self.ready)).to_owned()
    }

    /// A number of its first line, by JSON pointer (`/mqttPort`).
    #[track_caller]
    pub fn number(&self, pointer: &str) -> u64 {
        let value = self.ready.pointer(pointer).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("no number at {pointer} in {}", self.ready))
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// The first line for which `wanted` holds.
    #[track_caller]
    pub fn wait_for(&self, deadline: Duration, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = try_until(deadline, || self.lines.lock().unwrap().iter().find(|line| wanted(line)).cloned());
        found.unwrap_or_else(|| panic!("waited {deadline:?} for {what}; lines so far: {:#?}", self.lines()))
    }
}

impl Deref for JsonProcess {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for JsonProcess {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl JsonProcess {
    /// Sends one line to its control socket (`control` of its first line) and gives the answer; fails unless it is `ok`.
    #[track_caller]
    pub fn control(&self, request: &Value) -> Value {
        let answer = self.try_control(request);
        assert_eq!(answer["ok"], json!(true), "{request} was answered {answer}");
        answer
    }

    /// [`JsonProcess::control`] for requests that may be refused.
    pub fn try_control(&self, request: &Value) -> Value {
        let mut stream = UnixStream::connect(self.text("/control")).expect("its control socket");
        stream.set_read_timeout(Some(START)).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("an answer in time");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{request} was answered {line:?}: {error}"))
    }
}

impl Deref for Nucleus {
    type Target = JsonProcess;

    fn deref(&self) -> &JsonProcess {
        &self.process
    }
}

impl DerefMut for Nucleus {
    fn deref_mut(&mut self) -> &mut JsonProcess {
        &mut self.process
    }
}

impl Deref for Simulated {
    type Target = JsonProcess;

    fn deref(&self) -> &JsonProcess {
        &self.process
    }
}

impl DerefMut for Simulated {
    fn deref_mut(&mut self) -> &mut JsonProcess {
        &mut self.process
    }
}

fn lab(name: &str, directory: &Path, more: &[&str]) -> JsonProcess {
    let mut arguments = vec![name, "--dir", directory.to_str().expect("a path in UTF-8"), "--json"];
    arguments.extend(more);
    JsonProcess::start(name, &arguments, directory)
}
