//! net-snmp's commands, their output taken apart, and an office of one printer.

use printgate::simulate::{Office, OfficeConfig, PrinterSpec, profiles};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

/// Longest wait for a command.
const DEADLINE: Duration = Duration::from_secs(120);

/// Numbers only, strings in hexadecimal, no hints of any MIB, no shortening.
const PLAIN: [&str; 6] = ["-m", "", "-M", "/nonexistent", "-OnxeUtb", "-Ih"];

/// Runs a net-snmp command against an agent.
pub(crate) async fn run(command: &str, options: &[&str], agent: SocketAddr, oids: &[&str]) -> Output {
    let output = Command::new(command)
        .args(PLAIN)
        .args(["-t", "5", "-r", "1"])
        .args(options)
        .arg(agent.to_string())
        .args(oids)
        .env("SNMPCONFPATH", "/nonexistent")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(DEADLINE, output).await.expect("in time").expect("net-snmp's tools are installed")
}

/// What a command printed: object, type and value of each line; a hexadecimal value goes over several.
pub(crate) fn lines(output: &Output) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<(String, String)> = Vec::new();
    // Version 1 says so at the end of a walk, in a line of its own.
    for line in text.lines().filter(|line| *line != "End of MIB") {
        match line.strip_prefix('.').and_then(|line| line.split_once(" = ")) {
            Some((oid, value)) => lines.push((oid.to_owned(), value.trim().to_owned())),
            None => {
                let (_, value) = lines.last_mut().expect("an object before its second line");
                value.push(' ');
                value.push_str(line.trim());
            }
        }
    }
    lines
}

/// `snmpget -v2c` of one object.
pub(crate) async fn get(agent: SocketAddr, oid: &str) -> String {
    let output = run("snmpget", &["-v2c", "-c", "public"], agent, &[oid]).await;
    assert!(output.status.success(), "{}", error(&output));
    lines(&output).pop().expect("one object").1
}

/// `snmpbulkwalk -v2c` below an object.
pub(crate) async fn walk(agent: SocketAddr, oid: &str) -> BTreeMap<String, String> {
    let output = run("snmpbulkwalk", &["-v2c", "-c", "public"], agent, &[oid]).await;
    assert!(output.status.success(), "{}", error(&output));
    lines(&output).into_iter().collect()
}

/// What a command complained of.
pub(crate) fn error(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

/// The text of a `Hex-STRING: …` or `STRING: "…"`.
pub(crate) fn text(value: &str) -> String {
    String::from_utf8(octets(value)).unwrap()
}

/// The octets of a string value.
pub(crate) fn octets(value: &str) -> Vec<u8> {
    match value.strip_prefix("Hex-STRING:") {
        Some(hex) => hex.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect(),
        None if value == "\"\"" => Vec::new(),
        None => panic!("no string: {value}"),
    }
}

/// An office whose files go when it goes.
pub(crate) struct Lab {
    pub(crate) office: Office,
    _dir: TempDir,
}

impl Lab {
    /// Where the agent of the first printer listens.
    pub(crate) fn agent(&self) -> SocketAddr {
        self.office.printers()[0].snmp.expect("it has an agent")
    }
}

/// One printer called `P` of this profile, unannounced; `change` makes it what the test needs.
pub(crate) async fn printer(profile: &str, change: impl FnOnce(&mut PrinterSpec)) -> Lab {
    let mut spec = PrinterSpec::new("P", [127, 0, 85, 1].into());
    spec.profile = profiles::profile(profile).expect("a profile of this name");
    change(&mut spec);
    office(vec![spec]).await
}

/// An unannounced office of these printers.
pub(crate) async fn office(printers: Vec<PrinterSpec>) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let office = Office::start(config(printers, dir.path())).await.unwrap();
    Lab { office, _dir: dir }
}

fn config(printers: Vec<PrinterSpec>, dir: &Path) -> OfficeConfig {
    OfficeConfig { printers, out_dir: dir.join("out"), mdns: None, seed: "test".to_owned(), control_socket: false }
}
