//! Figures of the simulated office: `cargo bench --bench office [-- PRINTERS]`. It says what it measured and fails only
//! when something does not happen at all.
//!
//! - start of so many printers (default 5,000) until all listen, and the memory of the process then and after they have
//!   been browsed;
//! - mDNS: until another process' `mdns-sd` has resolved every announced IPP service;
//! - from a control command until an IPP answer shows it.

// What goes wrong ends the run.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent};
use serde_json::Value;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(300);
/// Commands timed.
const COMMANDS: usize = 200;

struct Office(Child);

impl Drop for Office {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let count: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(5_000);
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_printgate"))
        .args(["simulate", "--json", "--tls", "--address", "127.30.0.1"])
        .args(["--printers", &count.to_string(), "--mdns-port", &port.to_string(), "--dir"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let office = Office(child);
    let ready: Value = serde_json::from_str(&line).expect("it starts");
    let printers = ready["printers"].as_array().unwrap();
    println!("{count} printers, ready after {:?}, {}", begun.elapsed(), memory(office.0.id()));

    let ipp: Vec<&Value> =
        printers.iter().filter(|printer| printer["uri"].as_str().unwrap().starts_with("ipp")).collect();
    browse(port, ipp.len());
    println!("after browsing: {}", memory(office.0.id()));

    let printer = ipp.iter().find(|printer| printer["server"].is_null()).unwrap();
    command_to_effect(dir.path(), printer);
    println!("at the end: {}", memory(office.0.id()));
}

/// Resident memory of a process, now and at most.
fn memory(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}

/// Resolves every IPP service.
fn browse(port: u16, count: usize) {
    let browser = ServiceDaemon::new_with_port(port).unwrap();
    browser.disable_interface(IfKind::All).unwrap();
    browser.enable_interface(IfKind::LoopbackV4).unwrap();
    let begun = Instant::now();
    let events = browser.browse("_ipp._tcp.local.").unwrap();
    let mut found = HashSet::new();
    let mut at = Vec::new();
    while found.len() < count && begun.elapsed() < DEADLINE {
        if let Ok(ServiceEvent::ServiceResolved(service)) = events.recv_timeout(Duration::from_secs(1))
            && found.insert(service.get_fullname().to_owned())
            && found.len() * 2 == count
        {
            at.push(begun.elapsed());
        }
    }
    println!(
        "mDNS: {} of {count} IPP services resolved after {:?}, half of them after {at:?}",
        found.len(),
        begun.elapsed()
    );
    assert!(!found.is_empty(), "nothing is announced");
    let _ = browser.shutdown();
}

/// Sets and clears a fault, and asks the printer over one connection until it shows.
fn command_to_effect(dir: &Path, printer: &Value) {
    let mut control = BufReader::new(UnixStream::connect(dir.join("simulate-control.sock")).unwrap());
    let mut wire = BufReader::new(TcpStream::connect(printer["address"].as_str().unwrap()).unwrap());
    wire.get_ref().set_nodelay(true).unwrap();
    let mut say = |command: &str| {
        control.get_mut().write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        control.read_line(&mut answer).unwrap();
        assert!(answer.contains("\"ok\":true"), "{answer}");
    };
    let name = &printer["name"];
    let mut times = Vec::new();
    for round in 0..COMMANDS {
        let (action, stopped) = if round % 2 == 0 { ("set-fault", true) } else { ("clear-fault", false) };
        let begun = Instant::now();
        say(&format!("{{\"do\":\"{action}\",\"printer\":{name},\"fault\":\"jam\"}}"));
        while is_stopped(&mut wire) != stopped {
            assert!(begun.elapsed() < DEADLINE, "no effect");
        }
        times.push(begun.elapsed());
    }
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!("command to visible effect, {COMMANDS} times: median {:?}, 99 % {:?}, most {:?}", at(50), at(99), at(100));
}

/// Get-Printer-Attributes for `printer-state-reasons`.
fn is_stopped(wire: &mut BufReader<TcpStream>) -> bool {
    let mut message = vec![2, 0, 0, 0x0b, 0, 0, 0, 1, 1];
    for (tag, name, value) in [
        (0x47u8, "attributes-charset", "utf-8"),
        (0x48, "attributes-natural-language", "en"),
        (0x45, "printer-uri", "ipp://localhost/ipp/print"),
        (0x44, "requested-attributes", "printer-state-reasons"),
    ] {
        message.push(tag);
        for text in [name, value] {
            message.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            message.extend(text.as_bytes());
        }
    }
    message.push(3);
    let head = format!(
        "POST /ipp/print HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/ipp\r\nContent-Length: {}\r\n\r\n",
        message.len()
    );
    wire.get_mut().write_all(&[head.as_bytes(), &message].concat()).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        wire.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    wire.read_exact(&mut body).unwrap();
    body.windows(9).any(|part| part == b"media-jam")
}
