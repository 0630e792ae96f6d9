//! An office that announces itself over mDNS: `cargo bench --bench announced [-- PRINTERS]` (default 1,000). It says what
//! it measured and fails only when something does not happen at all.
//!
//! - a gateway with an empty database: until each printer is adopted, each once, and its memory then and at most;
//! - `printgate discover`: how many it shows, and its memory at most.
//!
//! Every printer announces IPP, IPPS, AppSocket and LPD and has an address of its own on loopback. Printers and nucleus are
//! processes of their own: what is measured holds nothing of them. Memory is resident memory; of it `anon` is what the
//! process allocated, `file` what it has mapped of its binary and libraries, which the system can take back. That differs
//! between profiles: what gateways get is built with `cargo build --profile dist --no-default-features`, and measured with
//! `PRINTGATE_MEASURED` set to its path.

// What goes wrong ends the run.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(300);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn printgate(arguments: &[&str]) -> Command {
    command(env!("CARGO_BIN_EXE_printgate").into(), arguments)
}

/// The program that is measured.
fn measured(arguments: &[&str]) -> Command {
    let other = std::env::var_os("PRINTGATE_MEASURED");
    command(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_printgate").into()), arguments)
}

fn command(program: std::ffi::OsString, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stderr(Stdio::null());
    command
}

/// Starts a command that says in a line of JSON when it is ready.
fn start(arguments: &[&str]) -> (Running, Value) {
    let mut child = printgate(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (Running(child), serde_json::from_str(&line).expect("it starts"))
}

fn main() {
    let count: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let port = std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let text = [count.to_string(), port.to_string()];
    let begun = Instant::now();
    let office = ["simulate", "--json", "--tls", "--profile", "mono-laser", "--address", "127.30.0.1"];
    let ports = ["--printers", &text[0], "--mdns-port", &text[1], "--dir", &path("office")];
    let (_office, ready) = start(&[&office[..], &ports].concat());
    let printers = ready["printers"].as_array().unwrap();
    let names: BTreeSet<&str> = printers.iter().map(|printer| printer["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), count);
    println!("{count} printers, ready after {:?}", begun.elapsed());

    let configuration = json!({
        "discovery": {"mdnsPort": port, "loopback": true},
        "spool": {"reserveBytes": 0},
    });
    std::fs::write(path("configuration"), configuration.to_string()).unwrap();
    let (_nucleus, ready) =
        start(&["nucleus", "--json", "--thing", "gw1", "--dir", &path("nucleus"), "--config", &path("configuration")]);
    let env = ready["env"].as_object().unwrap().clone();
    adopt(dir.path(), &env, &names);
    discover(port, count);
}

/// A gateway, until it has adopted everybody.
fn adopt(dir: &Path, env: &serde_json::Map<String, Value>, names: &BTreeSet<&str>) {
    let work = dir.join("gateway");
    std::fs::create_dir(&work).unwrap();
    let begun = Instant::now();
    let mut command = measured(&["run"]);
    command.envs(env.iter().map(|(name, value)| (name, value.as_str().unwrap()))).current_dir(&work);
    let gateway = Running(command.stdout(Stdio::null()).spawn().unwrap());
    let most = Most::of(gateway.0.id());
    let (mut adopted, mut half) = (0, None);
    while adopted < names.len() && begun.elapsed() < DEADLINE {
        // The pace of the questions, which cost the gateway time too.
        std::thread::sleep(Duration::from_millis(250));
        adopted = known(&work).len();
        if adopted * 2 >= names.len() && half.is_none() {
            half = Some(begun.elapsed());
        }
    }
    println!(
        "gateway: {adopted} adopted after {:?}, half of them after {half:?}; {}",
        begun.elapsed(),
        Usage::of(gateway.0.id()).unwrap_or_default()
    );
    let known = known(&work);
    let theirs: BTreeSet<&str> = known.iter().filter_map(|printer| printer["name"].as_str()).collect();
    assert!(theirs == *names && known.len() == names.len(), "{} printers, {} names", known.len(), theirs.len());
    // The polls and messages that follow.
    std::thread::sleep(Duration::from_secs(20));
    println!("gateway 20 s later: {}", Usage::of(gateway.0.id()).unwrap_or_default());
    drop(gateway);
    println!("gateway at most: {}", most.usage());
}

/// The printers that a gateway lists.
fn known(work: &Path) -> Vec<Value> {
    let output = printgate(&["printers", "--json"]).current_dir(work).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    value.as_array().or_else(|| value["printers"].as_array()).cloned().unwrap_or_default()
}

/// One look around.
fn discover(port: u16, count: usize) {
    let begun = Instant::now();
    let arguments = ["discover", "--json", "--loopback", "--timeout", "15", "--mdns-port", &port.to_string()];
    let mut child = measured(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        output.read_to_end(&mut text).unwrap();
        text
    });
    let most = Most::of(child.id());
    child.wait().unwrap();
    let most = most.usage();
    let shown: Value = serde_json::from_slice(&reader.join().unwrap()).unwrap();
    println!(
        "discover: {} of {count} printers, {:?}; {most}",
        shown["printers"].as_array().unwrap().len(),
        begun.elapsed()
    );
}

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The memory and processor time of a process at their most, looked at until it ends.
struct Most(std::thread::JoinHandle<Usage>);

impl Most {
    fn of(pid: u32) -> Self {
        Self(std::thread::spawn(move || {
            let mut most = Usage::default();
            while let Some(now) = Usage::of(pid) {
                most = most.max(now);
                std::thread::sleep(LOOK);
            }
            most
        }))
    }

    /// Once the process has ended.
    fn usage(self) -> String {
        self.0.join().unwrap().to_string()
    }
}

/// Resident memory of a process in KiB, and its processor time in ms.
#[derive(Debug, Default, Clone, Copy)]
struct Usage {
    resident: u64,
    peak: u64,
    anon: u64,
    file: u64,
    processor: u64,
}

impl Usage {
    /// Nothing of a process that has ended.
    fn of(pid: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        Some(Self {
            resident: field("VmRSS")?,
            peak: field("VmHWM")?,
            anon: field("RssAnon")?,
            file: field("RssFile")?,
            // User and system time in hundredths of a second.
            processor: (ticks(11) + ticks(12)) * 10,
        })
    }

    fn max(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            peak: self.peak.max(other.peak),
            anon: self.anon.max(other.anon),
            file: self.file.max(other.file),
            processor: self.processor.max(other.processor),
        }
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resident, peak, anon, file, processor } = self;
        write!(
            f,
            "{resident} KiB resident ({anon} anon, {file} file), {peak} at most; {processor} ms of processor time"
        )
    }
}
