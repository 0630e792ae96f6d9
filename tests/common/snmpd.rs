//! SNMP by others: net-snmp's `snmpd` is the agent, with the rows of a printer served through its `pass_persist`.

use super::process::Process;
use super::{START, process};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use tempfile::TempDir;

/// Answers what snmpd asks on standard input from a file of `OID TYPE VALUE` lines, read anew for each question.
const PASS: &str = r#"
import sys
def key(oid): return [int(n) for n in oid.strip('.').split('.')]
def rows():
    lines = [line.rstrip('\n').split(' ', 2) for line in open(sys.argv[1]) if line.strip()]
    return sorted((key(oid), oid, kind, value) for oid, kind, value in lines)
def say(row):
    print('NONE' if row is None else '%s\n%s\n%s' % (row[1] if row[1].startswith('.') else '.' + row[1], row[2], row[3]), flush=True)
while True:
    line = sys.stdin.readline()
    if not line: break
    word = line.strip()
    if word == 'PING': print('PONG', flush=True)
    elif word in ('get', 'getnext'):
        asked = key(sys.stdin.readline())
        if word == 'get': say(next((row for row in rows() if row[0] == asked), None))
        else: say(next((row for row in rows() if row[0] > asked), None))
    else: print('NONE', flush=True)
"#;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Community `public`, SNMPv1 and v2c.
    Community,
    /// Community `public`, SNMPv1 only.
    V1Only,
    /// User `monitor`, SHA-256 `authsecret`, AES `privsecret`, nobody else.
    User,
}

/// A running `snmpd`.
#[derive(Debug)]
pub struct Snmpd {
    process: Process,
    address: SocketAddr,
    directory: TempDir,
}

impl Snmpd {
    /// Starts an agent at `address` and `port` (0: any that is free) with these rows: OID, type (of `pass_persist`), value.
    pub fn start(address: Ipv4Addr, port: u16, access: Access, rows: &[(&str, &str, &str)]) -> Snmpd {
        Snmpd::start_as("A printer of the tests", address, port, access, rows)
    }

    /// The same; it says that it is `description` (sysDescr).
    pub fn start_as(
        description: &str,
        address: Ipv4Addr,
        port: u16,
        access: Access,
        rows: &[(&str, &str, &str)],
    ) -> Snmpd {
        let port = if port == 0 { free_udp_port(address) } else { port };
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (pass, data, conf) = (at("pass.py"), at("rows"), at("snmpd.conf"));
        fs::write(&pass, PASS).unwrap();
        let access = match access {
            Access::Community => "rocommunity public default".to_owned(),
            Access::V1Only => "com2sec any default public\ngroup old v1 any\nview all included .1\n\
                               access old \"\" v1 noauth exact all none none"
                .to_owned(),
            Access::User => "createUser monitor SHA-256 authsecret AES privsecret\nrouser monitor priv".to_owned(),
        };
        // The program that is called is this very python, not a shim of it.
        let pass = format!("/usr/bin/env python3 {} {}", pass.display(), data.display());
        let text = format!(
            "agentAddress udp:{address}:{port}\n{access}\nsysDescr {description}\nsysLocation Room 1\nsysName agent\n\
             sysObjectID .1.3.6.1.4.1.11.2.3.9.1\n\
             pass_persist .1.3.6.1.2.1.43 {pass}\npass_persist .1.3.6.1.2.1.25.3 {pass}\n"
        );
        fs::write(&conf, text).unwrap();
        let mut command = Command::new("snmpd");
        let own = "hr_device,hr_disk,hr_network,hr_other,hr_partition,hr_print,hr_proc,hr_filesys,hr_storage,hr_system";
        command.args(["-f", "-Lo", "-C", "-c"]).arg(&conf).args(["-I", &format!("-{own}")]);
        command.env("SNMP_PERSISTENT_DIR", directory.path()).env("PATH", path());
        Snmpd::set_rows_in(&data, rows);
        let process = Process::start("snmpd", directory.path(), command);
        let mut snmpd = Snmpd { process, address: SocketAddr::from((address, port)), directory };
        let log = snmpd.process.log_path().to_owned();
        snmpd.process.wait_until(START, "the agent's first words", || {
            let bytes = fs::read(&log).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains("NET-SNMP version").then_some(())
        });
        snmpd
    }

    fn set_rows_in(data: &std::path::Path, rows: &[(&str, &str, &str)]) {
        let lines: String = rows.iter().map(|(oid, kind, value)| format!("{oid} {kind} {value}\n")).collect();
        let new = data.with_extension("new");
        fs::write(&new, lines).unwrap();
        fs::rename(&new, data).unwrap();
    }

    /// Replaces the rows.
    pub fn set_rows(&self, rows: &[(&str, &str, &str)]) {
        Self::set_rows_in(&self.directory.path().join("rows"), rows);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `snmpget` with these arguments says of an object.
    #[track_caller]
    pub fn snmpget(&self, arguments: &[&str], oid: &str) -> String {
        let mut command = Command::new("snmpget");
        command.args(["-Oqvn", "-t", "5"]).args(arguments).arg(self.address.to_string()).arg(oid);
        process::run(&mut command).trim().to_owned()
    }

    /// The process: to freeze and thaw it.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// A UDP port that was free a moment ago.
pub fn free_udp_port(address: Ipv4Addr) -> u16 {
    UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap().port()
}

/// A colour laser as the third device of its agent, low on cyan, idle.
pub const COLOUR_LASER: &[(&str, &str, &str)] = &[
    (".1.3.6.1.2.1.25.3.2.1.2.1", "objectid", ".1.3.6.1.2.1.25.3.1.3"),
    (".1.3.6.1.2.1.25.3.2.1.2.3", "objectid", ".1.3.6.1.2.1.25.3.1.5"),
    (".1.3.6.1.2.1.25.3.2.1.3.1", "string", "A processor"),
    (".1.3.6.1.2.1.25.3.2.1.3.3", "string", "HP Color LaserJet M452nw"),
    (".1.3.6.1.2.1.25.3.2.1.5.3", "integer", "3"),
    (".1.3.6.1.2.1.25.3.5.1.1.3", "integer", "3"),
    (".1.3.6.1.2.1.25.3.5.1.2.3", "octet", "20"),
    (".1.3.6.1.2.1.43.5.1.1.2.3", "integer", "1"),
    (".1.3.6.1.2.1.43.5.1.1.16.3", "string", "NPI1234"),
    (".1.3.6.1.2.1.43.5.1.1.17.3", "string", "VNB3R12345"),
    (".1.3.6.1.2.1.43.7.1.1.4.3.1", "integer", "106"),
    (".1.3.6.1.2.1.43.8.2.1.8.3.1", "integer", "8"),
    (".1.3.6.1.2.1.43.8.2.1.9.3.1", "integer", "250"),
    (".1.3.6.1.2.1.43.8.2.1.10.3.1", "integer", "-3"),
    (".1.3.6.1.2.1.43.8.2.1.12.3.1", "string", "iso_a4_210x297mm"),
    (".1.3.6.1.2.1.43.8.2.1.13.3.1", "string", "Tray 2"),
    (".1.3.6.1.2.1.43.10.2.1.3.3.1", "integer", "7"),
    (".1.3.6.1.2.1.43.10.2.1.4.3.1", "counter", "4711"),
    (".1.3.6.1.2.1.43.11.1.1.3.3.1", "integer", "1"),
    (".1.3.6.1.2.1.43.11.1.1.3.3.2", "integer", "2"),
    (".1.3.6.1.2.1.43.11.1.1.3.3.3", "integer", "0"),
    (".1.3.6.1.2.1.43.11.1.1.4.3.1", "integer", "3"),
    (".1.3.6.1.2.1.43.11.1.1.4.3.2", "integer", "3"),
    (".1.3.6.1.2.1.43.11.1.1.4.3.3", "integer", "4"),
    (".1.3.6.1.2.1.43.11.1.1.5.3.1", "integer", "3"),
    (".1.3.6.1.2.1.43.11.1.1.5.3.2", "integer", "3"),
    (".1.3.6.1.2.1.43.11.1.1.5.3.3", "integer", "4"),
    (".1.3.6.1.2.1.43.11.1.1.6.3.1", "string", "Cartridge CF410A"),
    (".1.3.6.1.2.1.43.11.1.1.6.3.2", "string", "Cartridge CF411A"),
    (".1.3.6.1.2.1.43.11.1.1.6.3.3", "string", "Waste"),
    (".1.3.6.1.2.1.43.11.1.1.7.3.1", "integer", "19"),
    (".1.3.6.1.2.1.43.11.1.1.7.3.2", "integer", "7"),
    (".1.3.6.1.2.1.43.11.1.1.7.3.3", "integer", "19"),
    (".1.3.6.1.2.1.43.11.1.1.8.3.1", "integer", "100"),
    (".1.3.6.1.2.1.43.11.1.1.8.3.2", "integer", "2300"),
    (".1.3.6.1.2.1.43.11.1.1.8.3.3", "integer", "-2"),
    (".1.3.6.1.2.1.43.11.1.1.9.3.1", "integer", "63"),
    (".1.3.6.1.2.1.43.11.1.1.9.3.2", "integer", "115"),
    (".1.3.6.1.2.1.43.11.1.1.9.3.3", "integer", "-3"),
    (".1.3.6.1.2.1.43.12.1.1.4.3.1", "string", "black"),
    (".1.3.6.1.2.1.43.12.1.1.4.3.2", "string", "cyan"),
    (".1.3.6.1.2.1.43.15.1.1.2.3.1", "integer", "3"),
    (".1.3.6.1.2.1.43.15.1.1.2.3.2", "integer", "6"),
    (".1.3.6.1.2.1.43.18.1.1.2.3.1", "integer", "4"),
    (".1.3.6.1.2.1.43.18.1.1.4.3.1", "integer", "11"),
    (".1.3.6.1.2.1.43.18.1.1.7.3.1", "integer", "1104"),
];
