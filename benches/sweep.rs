//! How fast, how complete and how honest the SNMP sweep is, beside onesixtyone: `cargo bench --bench sweep` (as root;
//! packages onesixtyone, iproute2 and util-linux).
//!
//! It starts itself again in a network namespace and joins another one to it, in which 1,000 simulated printers listen on
//! addresses of a routed /16. The rest of the /16 is a black hole there: no answer of any kind, as behind a real router.
//!
//! | measured | beside |
//! |---|---|
//! | full rate: time until the last of 1,000 agents answered, and until all were identified as printers | onesixtyone, without pauses |
//! | resident memory of the process that swept, and what it holds more than before | |
//! | default rate (`RATE=N` for another): the estimate at 0, 10, 25, 50 and 75 % of the time, and how wrong it was | |
//! | a directly connected /22, 60 agents among silent addresses: found, passes, time | |
//!
//! Figures go to standard output; nothing is asserted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a measurement that cannot be made ends")]

use printgate::discovery::sweep::{Progress, Sweep, SweepOptions};
use printgate::domain::net::{Network, PrinterPolicy};
use printgate::domain::sighting::DiscoveryEvent;
use printgate::snmp::client::{Client, Login};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const MARK: &str = "PRINTGATE_BENCH_NETNS";
/// Groups of agents over the /16, and agents of each.
const GROUPS: [u8; 4] = [3, 70, 140, 220];
const OF_GROUP: u32 = 250;

const SETUP: &str = r#"
mount -t tmpfs tmpfs /run
ip link set lo up
ip netns add far
ip link add near0 type veth peer name far0
ip link set far0 netns far
ip address add 10.98.0.1/30 dev near0
ip link set near0 up
ip -n far link set lo up
ip -n far link set far0 up
ip -n far address add 10.98.0.2/30 dev far0
ip route add 10.99.0.0/16 via 10.98.0.2
ip -n far route add blackhole 10.99.0.0/16
ip link add near1 type veth peer name far1
ip link set far1 netns far
ip address add 10.88.0.1/22 dev near1
ip link set near1 up
ip -n far link set far1 up
exec "$@"
"#;

fn main() {
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    if std::env::var_os(MARK).is_none() {
        let me = std::env::current_exe().unwrap();
        let status = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", SETUP, "sh"])
            .arg(me)
            .env(MARK, "yes")
            .status()
            .expect("unshare (package util-linux)");
        assert!(status.success(), "a network namespace is needed: run it as root ({status})");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut offices = Vec::new();
    for group in GROUPS {
        let first = Ipv4Addr::new(10, 99, group, 3);
        offices.push(Office::start(first, OF_GROUP, "lo", 32, directory.path()));
    }
    let near: Vec<(Ipv4Addr, u32)> =
        [([10, 88, 0, 40], 20), ([10, 88, 1, 250], 20), ([10, 88, 3, 100], 20)].map(|(a, n)| (a.into(), n)).to_vec();
    for (first, count) in near {
        offices.push(Office::start(first, count, "far1", 22, directory.path()));
    }
    let agents = |v: &[Office]| v.iter().map(|office| office.agents.len()).sum::<usize>();
    println!("routed /16 with {} agents; connected /22 with {}", agents(&offices[..4]), agents(&offices[4..]));

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let before = memory("VmRSS:");
    let mut full = Vec::new();
    for run in 1..=3 {
        let peer = onesixtyone();
        println!("run {run}: onesixtyone: {} found, {:.2} s", peer.0, peer.1.as_secs_f64());
        let swept = runtime.block_on(sweep("10.99.0.0/16", 100_000));
        println!(
            "run {run}: printgate, full rate: {} agents answered after {:.2} s ({:.2} of onesixtyone), {} printers \
             identified after {:.2} s; all {} passes after {:.2} s, {} requests",
            swept.progress.answered,
            swept.last_answer.as_secs_f64(),
            swept.last_answer.as_secs_f64() / peer.1.as_secs_f64(),
            swept.progress.printers,
            swept.last_printer.as_secs_f64(),
            swept.progress.passes,
            swept.over.as_secs_f64(),
            swept.progress.sent,
        );
        println!("  ignored: {:?}", swept.progress.ignored);
        full.push(swept);
    }
    println!(
        "resident: {:.1} MB before, {:.1} MB after, {:.1} MB at most ({} sightings kept)",
        before,
        memory("VmRSS:"),
        memory("VmHWM:"),
        full.iter().map(|swept| swept.keys.len()).sum::<usize>()
    );

    let swept = runtime.block_on(sweep("10.88.0.0/22", 100_000));
    println!(
        "connected /22: {} of {} agents, {} printers, {} passes, last answer after {:.2} s, over after {:.2} s",
        swept.progress.answered,
        agents(&offices[4..]),
        swept.progress.printers,
        swept.progress.passes,
        swept.last_answer.as_secs_f64(),
        swept.over.as_secs_f64()
    );

    let rate = std::env::var("RATE").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let swept = runtime.block_on(sweep("10.99.0.0/16", rate));
    println!("{rate} requests/s: {} agents, over after {:.1} s", swept.progress.answered, swept.over.as_secs_f64());
    let over = swept.over.as_secs_f64();
    for share in [0.0, 0.1, 0.25, 0.5, 0.75] {
        let at = over * share;
        let Some((when, estimate)) = swept.estimates.iter().find(|(when, _)| when.as_secs_f64() >= at) else {
            continue;
        };
        let truth = over - when.as_secs_f64();
        println!(
            "  after {:.1} s: estimate {estimate:.1} s, truth {truth:.1} s, {:+.1} %",
            when.as_secs_f64(),
            100.0 * (estimate - truth) / truth
        );
    }
}

struct Swept {
    progress: Progress,
    keys: BTreeSet<String>,
    last_answer: Duration,
    last_printer: Duration,
    over: Duration,
    estimates: Vec<(Duration, f64)>,
}

async fn sweep(network: &str, rate: u32) -> Swept {
    let network: Network = network.parse().unwrap();
    let mut options = SweepOptions::new(vec![network], PrinterPolicy { allowed: vec![network] });
    options.rate = rate;
    let client = Client::open(vec![Login::Community("public".to_owned())]).await.unwrap();
    let mut source = Sweep::new(options, client);
    let mut progress = source.progress();
    let (sender, mut events) = mpsc::channel(64);
    let began = Instant::now();
    let watching = tokio::spawn(async move {
        let (mut estimates, mut answered, mut printers) = (Vec::new(), 0, 0);
        let (mut last_answer, mut last_printer) = (Duration::ZERO, Duration::ZERO);
        while progress.changed().await.is_ok() {
            let now = progress.borrow_and_update().clone();
            if now.answered > answered {
                (answered, last_answer) = (now.answered, began.elapsed());
            }
            if now.printers > printers {
                (printers, last_printer) = (now.printers, began.elapsed());
            }
            if let Some(remaining) = now.remaining_seconds {
                estimates.push((began.elapsed(), remaining));
            }
        }
        (estimates, last_answer, last_printer)
    });
    let collecting = tokio::spawn(async move {
        let mut keys = BTreeSet::new();
        while let Some(event) = events.recv().await {
            if let DiscoveryEvent::Found(sighting) = event {
                keys.insert(sighting.key);
            }
        }
        keys
    });
    source.once(&sender).await.unwrap();
    let over = began.elapsed();
    let progress = source.progress().borrow().clone();
    drop((source, sender));
    let (estimates, last_answer, last_printer) = watching.await.unwrap();
    Swept { progress, keys: collecting.await.unwrap(), last_answer, last_printer, over, estimates }
}

/// Agents that it found, and the time it took.
fn onesixtyone() -> (usize, Duration) {
    let began = Instant::now();
    let output = Command::new("onesixtyone").args(["-w", "0", "10.99.0.0/16", "public"]).output();
    let output = output.expect("onesixtyone (package onesixtyone)");
    let took = began.elapsed();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: BTreeSet<&str> =
        text.lines().filter(|line| line.contains("[public]")).filter_map(|line| line.split(' ').next()).collect();
    (found.len(), took)
}

/// Simulated printers in the far namespace, in a process of their own.
struct Office {
    child: Child,
    agents: BTreeSet<String>,
}

impl Office {
    fn start(first: Ipv4Addr, count: u32, device: &str, prefix: u8, directory: &std::path::Path) -> Self {
        let batch: String = (0..count)
            .map(|n| format!("address add {}/{prefix} dev {device}\n", Ipv4Addr::from(u32::from(first) + n)))
            .collect();
        let file = directory.join(format!("{first}.batch"));
        std::fs::write(&file, batch).unwrap();
        assert!(Command::new("ip").args(["-n", "far", "-batch"]).arg(&file).status().unwrap().success());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", "far", env!("CARGO_BIN_EXE_printgate"), "simulate", "--json", "--no-mdns"]);
        command.args(["--profile", "office-colour", "--port", "0", "--snmp-port", "161", "--appsocket-port", "none"]);
        command.args(["--lpd-port", "none", "--seed", &first.to_string(), "--printers", &count.to_string()]);
        command.args(["--address", &first.to_string(), "--dir"]).arg(directory.join(first.to_string()));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let printers = ready["printers"].as_array().unwrap();
        let agents = printers.iter().filter_map(|printer| Some(printer["snmp"].as_str()?.to_owned())).collect();
        Self { child, agents }
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory of this process, MB.
fn memory(which: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1_000.0
}
