//! A printer is found and keeps its id, whatever happens to its place: real gateways, real and simulated printers, and
//! what the cloud sees.

#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

#[path = "whole_gateway/support.rs"]
#[allow(dead_code, reason = "the tests of the whole gateway use all of it")]
mod support;

use common::avahi::Avahi;
use common::gateway::{Gateway, printgate};
use common::lab::{Nucleus, Simulated};
use common::mqtt::Message;
use common::packets::{self, Announced, Wire};
use common::printer::{IppEvePrinter, Options};
use common::process::{self, Process};
use common::{START, free_port, netns, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use support::{Cloud, LONG, THING, mdns_port};

/// A gateway with its nucleus and what the cloud sees of it.
struct Site {
    // Dropped in this order: the gateway first.
    gateway: Gateway,
    nucleus: Nucleus,
    cloud: Cloud,
}

impl Site {
    fn start(directory: &Path, discovery: Value) -> Site {
        Site::with(directory, json!({ "discovery": discovery }))
    }

    fn with(directory: &Path, mut configuration: Value) -> Site {
        configuration["poll"] = json!({"idleSeconds": 5, "busySeconds": 1});
        configuration["spool"] = json!({"reserveBytes": 0});
        let nucleus = Nucleus::start_with(&directory.join("nucleus"), &configuration, &["--thing", THING]);
        let cloud = Cloud::start(nucleus.mqtt_port());
        let gateway = Gateway::start(&[], &nucleus.env(), &directory.join("gateway"));
        Site { gateway, nucleus, cloud }
    }

    /// What `printgate status` says.
    fn status(&self) -> Option<Value> {
        let output = printgate(&["status", "--json"], &[]).current_dir(self.gateway.directory()).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// What it says of mDNS when that is as wanted.
    #[track_caller]
    fn mdns(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_until(LONG * 2, what, || {
            self.status().map(|mut status| status["discovery"]["mdns"].take()).filter(&wanted)
        })
    }

    /// Waits until so many printers have a shadow; their ids.
    #[track_caller]
    fn ids(&mut self, count: usize) -> BTreeSet<String> {
        let cloud = &self.cloud;
        self.gateway.wait_until(LONG, "all shadows", || (cloud.shadows().len() >= count).then(|| cloud.shadows()))
    }
}

#[test]
fn a_printer_that_is_started_again_keeps_its_id() {
    netns::inside("a_printer_that_is_started_again_keeps_its_id", || {
        let directory = tempfile::tempdir().unwrap();
        let avahi = Avahi::start();
        let site = Site::start(directory.path(), json!({}));
        let options = Options { port: free_port(), ..Options::default() };
        let mut printer = IppEvePrinter::start_with(&avahi, "Front Desk", options.clone());
        let id = site.cloud.printer("Front Desk");
        site.cloud.wait_status_of_printer(&id, |status| status["online"] == true);

        printer.process().kill();
        site.cloud.wait_status_of_printer(&id, |status| status["online"] == false);
        drop(printer);
        // On another port: nothing of the old place is left.
        let options = Options { port: free_port(), ..options };
        let _printer = IppEvePrinter::start_with(&avahi, "Front Desk", options);
        site.cloud.watch().wait_until(LONG, "the printer online again", |messages| last_is_online(messages, &id));
        assert_eq!(site.cloud.shadows(), BTreeSet::from([id]));
    });
}

/// `Reception 2` says the serial number and the UUID of `Reception`: the same device, with another address, port, host
/// name and instance name.
#[test]
fn a_printer_that_comes_back_elsewhere_under_another_name_keeps_its_id() {
    let directory = tempfile::tempdir().unwrap();
    let port = mdns_port();
    let arguments = ["--mdns-port", &port.to_string(), "--profile", "mono-laser"];
    let office = Simulated::start(2, &directory.path().join("office"), &arguments);
    let silent = |printer: &str| {
        office.control(&json!({"do": "order", "printer": printer, "order": "power-off silent"}));
    };
    silent("Reception 2");
    let mut site = Site::start(directory.path(), json!({"mdnsPort": port, "loopback": true}));
    let ids = site.ids(1);
    let id = site.cloud.printer("Reception");
    assert_eq!(ids, BTreeSet::from([id.clone()]));
    let address = |reported: &Value| reported["address"].as_str().map(str::to_owned);
    let before = address(&site.cloud.get_shadow(&id)["state"]["reported"]);

    silent("Reception");
    office.set_fault("Reception 2", "clone-of:Reception");
    office.power("Reception 2", true);
    let again = site.cloud.printer_where("the printer at another address", |reported| {
        address(reported).is_some_and(|now| Some(now) != before)
    });
    assert_eq!(again, id);
    // And it stays one while it is polled there.
    site.cloud.watch().wait_until(LONG, "the printer online", |messages| last_is_online(messages, &id));
    assert_eq!(site.cloud.shadows(), BTreeSet::from([id]));
}

#[test]
fn an_empty_database_and_the_same_evidence_give_the_same_ids() {
    let directory = tempfile::tempdir().unwrap();
    let port = mdns_port();
    let office = Simulated::start(6, &directory.path().join("office"), &["--mdns-port", &port.to_string(), "--tls"]);
    // `Archive` announces nothing.
    let printers = office.printers().len() - 1;
    let discovery = json!({"mdnsPort": port, "loopback": true});
    let first = Site::start(&directory.path().join("first"), discovery.clone()).ids(printers);
    let second = Site::start(&directory.path().join("second"), discovery).ids(printers);
    assert_eq!(first.len(), printers, "{first:?}");
    assert_eq!(first, second);
}

/// Its records expire: it sleeps, or its network loses multicast. It stays known and is asked as before, also when it
/// answers nothing for a while.
#[test]
fn a_printer_whose_records_expire_stays_known() {
    let directory = tempfile::tempdir().unwrap();
    let office = Simulated::start(1, &directory.path().join("office"), &["--no-mdns"]);
    let printer = office.printers().remove(0);
    let (address, port) = printer["address"].as_str().unwrap().split_once(':').unwrap();
    let name = printer["name"].as_str().unwrap();
    let mdns = mdns_port();
    let mut site = Site::start(directory.path(), json!({"mdnsPort": mdns, "loopback": true}));
    let wire = Wire::new(mdns);
    let announced = Announced {
        name: name.as_bytes(),
        kind: "_ipp",
        subtype: None,
        host: "sleeper",
        address: address.parse().unwrap(),
        port: port.parse().unwrap(),
        txt: packets::txt(&["rp=ipp/print", "ty=Acme"]),
        ttl: 3,
    };
    let cloud = &site.cloud;
    let ids = site.gateway.wait_until(LONG, "its shadow", || {
        wire.announce(&announced);
        Some(cloud.shadows()).filter(|ids| !ids.is_empty())
    });
    let id = ids.first().unwrap().clone();
    let work = site.gateway.directory().to_owned();
    site.gateway.wait_until(LONG, "the end of its records", || {
        let mut command = printgate(&["status", "--json"], &[]);
        let status: Value = serde_json::from_str(&process::run(command.current_dir(&work))).unwrap();
        (status["discovery"]["mdns"]["instances"] == 0).then_some(())
    });
    // Only a poll can tell this.
    office.set_fault(name, "out-of-paper");
    let status = cloud.wait_status_of_printer(&id, |status| status["error_code"] != "OK");
    assert_eq!(status["online"], true, "{status}");

    office.power(name, false);
    cloud.wait_status_of_printer(&id, |status| status["online"] == false);
    office.power(name, true);
    cloud.watch().wait_until(LONG, "the printer online again", |messages| last_is_online(messages, &id));
    assert_eq!(cloud.shadows(), BTreeSet::from([id]));
}

/// A network on the other end of two cables, without IPv4: there, a printer has link-local addresses on both.
#[test]
fn a_printer_with_link_local_addresses_on_two_interfaces_is_reached_over_either() {
    netns::inside("a_printer_with_link_local_addresses_on_two_interfaces_is_reached_over_either", || {
        let directory = tempfile::tempdir().unwrap();
        let ip = |arguments: &str| process::run(Command::new("ip").args(arguments.split(' ')));
        let mut sleep = Command::new("unshare");
        sleep.args(["--net", "sleep", "infinity"]);
        let mut far = Process::start("far", directory.path(), sleep);
        let pid = far.id().to_string();
        // It is in a network of its own once that has another number than ours.
        let number = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        far.wait_until(START, "its own network", || (number(&pid) != number("self")).then_some(()));
        let inside = |program: &str| {
            let mut command = Command::new("nsenter");
            command.args(["--net", "--target", &pid, program]);
            command
        };
        ip("link add office2 type veth peer name office3");
        for (near, other) in [("office0", "office1"), ("office2", "office3")] {
            ip(&format!("link set {other} netns {pid}"));
            ip(&format!("link set {near} up"));
            process::run(inside("ip").args(["link", "set", other, "up"]));
        }
        let avahi = Avahi::start_in(inside("avahi-daemon"), &["office1", "office3"]);
        let (spool, port) = (directory.path().join("spool"), free_port().to_string());
        std::fs::create_dir(&spool).unwrap();
        let mut command = inside("ippeveprinter");
        command.args(["-p", &port, "-k", "-d"]).arg(&spool).arg("-K").arg(&spool);
        command.args(["-f", "application/pdf", "-M", "Acme", "-m", "Laser 9", "-v", "Far Away"]);
        avahi.connect(&mut command);
        let printer = Process::start("ippeveprinter", directory.path(), command);
        let mut site = Site::start(directory.path(), json!({}));
        let id = site.cloud.printer("Far Away");
        site.cloud.wait_status_of_printer(&id, |status| status["online"] == true);
        let address =
            |site: &Site| site.cloud.get_shadow(&id)["state"]["reported"]["address"].as_str().unwrap().to_owned();
        assert!(address(&site).starts_with("fe80:"), "{}", address(&site));

        // Either cable is pulled in turn; questions go over the other.
        for (down, up) in [("office0", "office2"), ("office2", "office0")] {
            ip(&format!("link set {up} up"));
            ip(&format!("link set {down} down"));
            let asked = || printer.log().matches("Get-Printer-Attributes successful-ok").count();
            let before = asked();
            site.gateway
                .wait_until(LONG * 2, "questions over the other cable", || (asked() > before + 1).then_some(()));
        }
        assert_eq!(site.cloud.shadows(), BTreeSet::from([id]));
    });
}

/// As ipp-usb announces what is on the machine's USB port.
#[test]
fn a_printer_on_usb_is_taken_only_where_the_configuration_says_so() {
    netns::inside("a_printer_on_usb_is_taken_only_where_the_configuration_says_so", || {
        let directory = tempfile::tempdir().unwrap();
        let avahi = Avahi::start();
        let arguments = ["--no-mdns", "--address", "127.0.0.1", "--port", "60000", "--snmp-port", "none"];
        let ports = ["--appsocket-port", "none", "--lpd-port", "none", "--profile", "office-colour"];
        let office = Simulated::start(1, &directory.path().join("office"), &[&arguments[..], &ports].concat());
        let printer = office.printers().remove(0);
        let uuid = format!("UUID={}", printer["uuid"].as_str().unwrap().trim_start_matches("urn:uuid:"));
        let txt = ["rp=ipp/print", "ty=Acme", "usb_MFG=Acme", "usb_MDL=Laser", "usb_HWID=VID_03F0&PID_1234", &uuid];
        let wire = Wire::new(5353);
        let announced = Announced {
            name: b"Acme Laser (USB)",
            kind: "_ipp",
            subtype: None,
            host: "office",
            address: Ipv4Addr::LOCALHOST,
            port: 60_000,
            txt: packets::txt(&txt),
            ttl: 120,
        };
        let site = Site::start(directory.path(), json!({}));
        site.mdns("the search", |mdns| mdns["health"] == "searching");
        for _ in 0..5 {
            wire.announce(&announced);
        }
        let _desk = IppEvePrinter::start(&avahi, "Front Desk");
        let desk = wait_until(LONG, "the printer on the network", || {
            wire.announce(&announced);
            site.cloud.shadows().first().cloned()
        });
        site.cloud.wait_status_of_printer(&desk, |status| status["online"] == true);
        assert_eq!(site.cloud.printer("Front Desk"), desk);
        assert_eq!(site.cloud.shadows(), BTreeSet::from([desk.clone()]));

        site.nucleus.configure(&json!({"discovery": {"usb": true}}));
        let both = wait_until(LONG, "the printer on USB", || {
            wire.announce(&announced);
            Some(site.cloud.shadows()).filter(|ids| ids.len() >= 2)
        });
        let usb = both.into_iter().find(|id| *id != desk).unwrap();
        site.cloud.wait_status_of_printer(&usb, |status| status["online"] == true);
        let reported = site.cloud.get_shadow(&usb)["state"]["reported"].clone();
        assert_eq!((&reported["serial"], &reported["address"]), (&printer["serial"], &json!("127.0.0.1")));
    });
}

/// Named by hand, and not there: the gateway keeps it as offline, and it stays the same when it comes.
#[test]
fn a_listed_printer_that_does_not_answer_is_known_as_offline() {
    let directory = tempfile::tempdir().unwrap();
    let office = Simulated::start(1, &directory.path().join("office"), &["--no-mdns", "--snmp-port", "none"]);
    let printer = office.printers().remove(0);
    let name = printer["name"].as_str().unwrap();
    office.power(name, false);
    let configuration = json!({
        "discovery": {"mdns": false, "loopback": true},
        "printers": {"list": [{"uri": printer["uri"], "name": "By the window"}]},
    });
    let site = Site::with(directory.path(), configuration);
    let id = site.cloud.printer("By the window");
    site.cloud.wait_status_of_printer(&id, |status| status["online"] == false);
    office.power(name, true);
    site.cloud.watch().wait_until(LONG, "the printer online", |messages| last_is_online(messages, &id));
    site.cloud.printer_where("its serial number", |reported| reported["serial"] == printer["serial"]);
    assert_eq!(site.cloud.shadows(), BTreeSet::from([id]));
}

/// The last status of a printer.
fn last_status(messages: &[Message], id: &str) -> Option<Value> {
    let topic = format!("printers/{THING}/{id}/status");
    messages.iter().rfind(|message| message.topic == topic).map(Message::json)
}

/// Whether the last status of a printer says that it is online.
fn last_is_online(messages: &[Message], id: &str) -> Option<()> {
    (last_status(messages, id)?["online"] == true).then_some(())
}
