//! A cycle of discovery and polling of an office with everything in it.
//!
//! ```text
//! 10.77.0.1        ippeveprinter "Front Desk", announced by avahi
//! 10.77.0.30       nobody: records of avahi that point IPP at print ports
//! 10.77.0.40       snmpd with a printer's rows, announced as AppSocket and as a web page
//! 10.77.0.50 – 56  the simulated office: IPP 631, SNMP 161, AppSocket 9100, LPD 515, announced by its own responder
//! 11.22.33.44, 127.0.0.1   outside the allowed networks, and announced as printers
//! ```

use crate::common::avahi::Avahi;
use crate::common::gateway::Gateway;
use crate::common::https::HttpsFiles;
use crate::common::lab::{Nucleus, Simulated};
use crate::common::mqtt::Message;
use crate::common::printer::IppEvePrinter;
use crate::common::process::{self, Process};
use crate::common::snmpd::{Access, COLOUR_LASER, Snmpd};
use crate::common::{START, netns, wait_until};
use crate::recording::{Recording, SYN};
use crate::support::{Cloud, LONG, THING, sha256};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

/// Every port at which printers print whatever arrives.
fn print_ports() -> Vec<u16> {
    [515, 6101, 9999].into_iter().chain(9100..=9109).chain(9112..=9116).collect()
}

/// Announced for AppSocket, and for IPP too.
const TRAP: u16 = 4010;

/// Another host that avahi announces.
pub(crate) fn host(avahi: &Avahi, directory: &Path, name: &str, address: Ipv4Addr) -> Process {
    let mut command = Command::new("avahi-publish");
    command.args(["--address", "--no-reverse", name]).arg(address.to_string());
    avahi.connect(&mut command);
    let mut process = Process::start(&format!("publish-{name}"), directory, command);
    let log = process.log_path().to_owned();
    process.wait_until(START, "an established address", || {
        fs::read_to_string(&log).unwrap_or_default().contains("Established under name").then_some(())
    });
    process
}

/// Someone who would take what is sent to print ports.
struct Listeners(Vec<(Ipv4Addr, u16, TcpListener)>);

impl Listeners {
    /// At all print ports of these addresses where nobody listens yet.
    fn start(addresses: &[Ipv4Addr], more: &[(Ipv4Addr, u16)]) -> Listeners {
        let all = addresses.iter().flat_map(|address| print_ports().into_iter().map(|port| (*address, port)));
        let bound = all.chain(more.iter().copied()).filter_map(|(address, port)| {
            let listener = TcpListener::bind((address, port)).ok()?;
            listener.set_nonblocking(true).unwrap();
            Some((address, port, listener))
        });
        Listeners(bound.collect())
    }

    /// Whoever connected.
    fn contacts(&self) -> Vec<(Ipv4Addr, u16)> {
        self.0.iter().filter(|(_, _, listener)| listener.accept().is_ok()).map(|(a, p, _)| (*a, *p)).collect()
    }
}

#[test]
fn no_print_port_is_contacted_before_a_job() {
    netns::inside("cycle::no_print_port_is_contacted_before_a_job", || cycle(&json!({})));
}

/// Every address is asked over SNMP too, once at the start.
#[test]
fn no_print_port_is_contacted_by_a_sweep() {
    let discovery = json!({"sweep": {"networks": ["10.77.0.0/26"]}});
    netns::inside("cycle::no_print_port_is_contacted_by_a_sweep", || cycle(&discovery));
}

fn cycle(discovery: &Value) {
    let directory = tempfile::tempdir().unwrap();
    let at = |last: u8| Ipv4Addr::new(10, 77, 0, last);
    for last in [30, 40].into_iter().chain(50..=56) {
        // Here, and no addresses of the gateway's machine: those are not swept, and avahi would say that they are all its
        // own host's.
        let address = format!("{}/32", at(last));
        process::run(Command::new("ip").args(["route", "add", "local", &address, "dev", "lo"]));
    }
    let recording = Recording::start(directory.path());

    let arguments = ["--interface", netns::INTERFACE, "--address", "10.77.0.50", "--tls", "--port", "631"];
    let ports = ["--snmp-port", "161", "--appsocket-port", "9100", "--lpd-port", "515"];
    let office = Simulated::start(7, &directory.path().join("office"), &[&arguments[..], &ports].concat());
    let archive = office.printers().into_iter().find(|printer| printer["name"] == "Archive").unwrap();
    let archive: Ipv4Addr = archive["appsocket"].as_str().unwrap().split(':').next().unwrap().parse().unwrap();
    let snmpd = Snmpd::start(at(40), 161, Access::Community, COLOUR_LASER);
    let avahi = Avahi::start();
    let _desk = IppEvePrinter::start(&avahi, "Front Desk");
    let _hosts = [
        host(&avahi, directory.path(), "trap.local", at(30)),
        host(&avahi, directory.path(), "npi1234.local", at(40)),
        host(&avahi, directory.path(), "archive.local", archive),
        host(&avahi, directory.path(), "public.local", netns::INTERNET),
        host(&avahi, directory.path(), "self.local", Ipv4Addr::LOCALHOST),
    ];
    let web = "--subtype=_printer._sub._http._tcp";
    let records: Vec<Process> = [
        ("Old Laser", "_pdl-datastream._tcp", 9100, &["--host=npi1234.local", "ty=HP Color LaserJet M452nw"][..]),
        ("Old Laser", "_http._tcp", 9101, &["--host=npi1234.local", web]),
        ("Old Archive", "_pdl-datastream._tcp", 9100, &["--host=archive.local", "pdl=application/postscript"]),
        ("Old Archive", "_http._tcp", 80, &["--host=archive.local", web]),
        ("Trap jet", "_ipp._tcp", 9100, &["--host=trap.local", "rp=ipp/print"]),
        ("Trap queue", "_ipp._tcp", 515, &["--host=trap.local", "rp=ipp/print"]),
        ("Trap zebra", "_ipps._tcp", 6101, &["--host=trap.local"]),
        ("Trap twice", "_pdl-datastream._tcp", TRAP, &["--host=trap.local"]),
        // A printer is said to be there; its usual IPP port is announced for AppSocket.
        ("Trap ipp", "_pdl-datastream._tcp", 631, &["--host=trap.local"]),
        ("Trap ipp", "_http._tcp", 80, &["--host=trap.local", web]),
        ("Trap twice", "_ipp._tcp", TRAP, &["--host=trap.local", "rp=ipp/print"]),
        ("Public", "_ipp._tcp", 631, &["--host=public.local", "rp=ipp/print"]),
        ("Self", "_ipp._tcp", 631, &["--host=self.local", "rp=ipp/print"]),
    ]
    .map(|(name, kind, port, txt)| avahi.publish(name, kind, port, txt))
    .into();
    let outside = [(netns::INTERNET, 631), (Ipv4Addr::LOCALHOST, 631), (at(30), TRAP), (at(30), 631)];
    let addresses: Vec<Ipv4Addr> = [1, 30, 40].into_iter().chain(50..=56).map(at).collect();
    let listeners = Listeners::start(&addresses, &outside);
    assert!(listeners.0.len() > 150, "{}", listeners.0.len());

    let files = HttpsFiles::start("office.test", netns::OFFICE.into());
    let configuration = json!({
        "discovery": discovery,
        "poll": {"idleSeconds": 5, "busySeconds": 1},
        "documents": {"caFile": files.ca(), "allowedNetworks": ["10.77.0.0/24"], "allowedHosts": ["office.test"]},
        "spool": {"reserveBytes": 0},
    });
    let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &["--thing", THING]);
    let cloud = Cloud::start(nucleus.mqtt_port());
    let mut gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));

    // Everybody is found and has been polled more than once, over each protocol.
    let wanted = ["Colour", "Reception", "Labels", "Photos", "Copier", "Workshop A", "Front Desk"];
    gateway.wait_until(LONG, "all printers", || {
        // Old printers are called as they were announced or as their agents say, whatever comes first.
        let names = names(&cloud.watch().messages());
        let all = !discovery["sweep"].is_null() || wanted.iter().all(|name| names.contains(*name));
        (all && cloud.shadows().len() >= wanted.len() + 2).then_some(())
    });
    let ipp = [50, 51, 52, 54, 55, 56];
    let snmp = [40, 50, 51, 52, 53, 54, 55];
    gateway.wait_until(LONG * 2, "polls", || {
        let polled = |last: &u8, filter: &str| recording.count(&format!("dst host {} and {filter}", at(*last))) >= 3;
        let over_ipp = ipp.iter().all(|last| polled(last, &format!("dst port 631 and ({SYN})")));
        let over_snmp = snmp.iter().all(|last| polled(last, "udp dst port 161"));
        (over_ipp && over_snmp).then_some(())
    });
    recording.catch_up();

    // Nobody was at a print port.
    assert_eq!(recording.contacts(&[&print_ports()[..], &[TRAP]].concat()), Vec::<String>::new());
    assert_eq!(listeners.contacts(), []);
    // Nothing went outside the office.
    let known = "dst net 10.77.0.0/24 or dst net 127.0.0.0/8 or dst net 224.0.0.0/4";
    assert_eq!(recording.packets(&format!("ip and not ({known})")), Vec::<String>::new());
    let known = "dst net fe80::/10 or dst net ff00::/8 or dst host ::1";
    assert_eq!(recording.packets(&format!("ip6 and not ({known})")), Vec::<String>::new());
    assert_eq!(recording.packets(&format!("dst host 127.0.0.1 and dst port 631 and ({SYN})")), Vec::<String>::new());
    assert_eq!(recording.packets(&format!("dst host {} and dst port 631 and ({SYN})", at(30))), Vec::<String>::new());
    // The traps are no printers, but for the one that takes jobs.
    let names = names(&cloud.watch().messages());
    for trap in ["Trap jet", "Trap queue", "Trap zebra", "Public", "Self"] {
        assert!(!names.contains(trap), "{trap}: {names:?}");
    }

    // The recording sees a job.
    let address = archive.to_string();
    let id = cloud.printer_where("the old printer", |reported| reported["address"] == address.as_str());
    let page = b"%!PS\n(one page) show showpage\n".to_vec();
    let url = files.put("/page.ps", page.clone());
    cloud.submit_until_answered(
        &id,
        &json!({
            "jobId": "job-1",
            "document": {"url": url, "sha256": sha256(&page), "size": page.len(), "format": "application/postscript"},
        }),
    );
    wait_until(LONG, "the document on paper", || {
        office.printed().iter().any(|printed| printed["printer"] == "Archive").then_some(())
    });
    recording.catch_up();
    let contacts = recording.contacts(&print_ports());
    let jobs = recording.count(&format!("dst host {archive} and dst port 9100 and ({SYN})"));
    assert!(jobs >= 1 && contacts.len() == jobs, "{contacts:?}");
    assert_eq!(listeners.contacts(), []);
    drop((snmpd, records));
}

/// What the printers of all accepted shadows are called.
fn names(messages: &[Message]) -> BTreeSet<String> {
    let accepted = messages.iter().filter(|message| message.topic.ends_with("/update/accepted"));
    accepted.filter_map(|message| Some(message.json()["state"]["reported"]["name"].as_str()?.to_owned())).collect()
}
