//! The `printgate` programs as child processes: the gateway, the stand-in nucleus, simulated printers.

use super::process::{Ended, Process};
use super::{START, try_until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the gateway may take to end after SIGTERM: the classic nucleus kills it after 5 s.
pub const STOP: Duration = Duration::from_secs(4);

/// A `printgate` command with a clean environment: `PATH`, `HOME`, the directory for temporary files and what `env` says.
pub fn printgate(arguments: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_printgate"));
    command.args(arguments).env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "PRINTGATE_LOG", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(env.iter().copied());
    command
}

/// A running gateway (`printgate run …`), its work directory and its log. It outlives restarts: the directory stays.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    arguments: Vec<String>,
    env: Vec<(String, String)>,
    directory: PathBuf,
}

impl Gateway {
    /// Starts `printgate run ARGUMENTS` in `directory` (made if missing); its log is `gateway.log` there.
    pub fn start(arguments: &[&str], env: &[(&str, &str)], directory: &Path) -> Gateway {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let env: Vec<(String, String)> = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let process = Gateway::spawn(&arguments, &env, directory);
        Gateway { process, arguments, env, directory: directory.to_owned() }
    }

    fn spawn(arguments: &[String], env: &[(String, String)], directory: &Path) -> Process {
        std::fs::create_dir_all(directory).unwrap();
        let arguments: Vec<&str> = ["run"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut command = printgate(&arguments, &env);
        command.current_dir(directory);
        Process::start("gateway", directory, command)
    }

    /// Starts it again after [`Process::kill`] or [`Process::terminate`], in the same directory with the same environment.
    pub fn restart(&mut self) {
        assert!(!self.process.is_running(), "stop the gateway before starting it again");
        self.process = Gateway::spawn(&self.arguments, &self.env, &self.directory);
    }

    /// SIGTERM; it must be gone within [`STOP`]. Says how it ended and how long that took.
    #[track_caller]
    pub fn stop(&mut self) -> Ended {
        self.process.terminate(STOP)
    }

    /// The work directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until its log holds `text`.
    #[track_caller]
    pub fn wait_for_log(&mut self, deadline: Duration, text: &str) {
        let log = self.process.log_path().to_owned();
        self.process.wait_until(deadline, &format!("{text:?} in its log"), || {
            let bytes = std::fs::read(&log).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(text).then_some(())
        });
    }
}

impl Deref for Gateway {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Gateway {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
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
    pub fn start(name: &str, arguments: &[&str], env: &[(&str, &str)], directory: &Path) -> JsonProcess {
        let mut process = Process::start_piped(name, directory, printgate(arguments, env));
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

/// The stand-in nucleus: `printgate nucleus --dir DIR --json`.
pub fn nucleus(directory: &Path, arguments: &[&str]) -> JsonProcess {
    lab("nucleus", &[], directory, arguments)
}

/// Simulated printers: `printgate simulate --printers N --dir DIR --json`.
pub fn simulate(printers: usize, directory: &Path, arguments: &[&str]) -> JsonProcess {
    lab("simulate", &["--printers", &printers.to_string()], directory, arguments)
}

fn lab(name: &str, own: &[&str], directory: &Path, more: &[&str]) -> JsonProcess {
    let path = directory.to_str().expect("a path in UTF-8");
    let mut arguments = vec![name];
    arguments.extend(own);
    arguments.extend(["--dir", path, "--json"]);
    arguments.extend(more);
    JsonProcess::start(name, &arguments, &[], directory)
}
