//! A gateway, a simulated office and net-snmp's agent at a printer's address: what the cloud sees comes from both.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

use common::gateway::Gateway;
use common::lab::{Nucleus, Simulated};
use common::mqtt::{Message, MqttWatch};
use common::snmpd::{Access, COLOUR_LASER, Snmpd, free_udp_port};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Longer than anything takes on a loaded machine.
const LONG: Duration = Duration::from_secs(60);

fn shadow(message: &Message) -> Option<Value> {
    let accepted = message.topic.starts_with("$aws/things/") && message.topic.ends_with("/update/accepted");
    accepted.then(|| message.json()["state"]["reported"].clone())
}

/// Waits until the shadow, all updates of it together, is as wanted.
#[track_caller]
fn wait_shadow(watch: &MqttWatch, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    watch.wait_until(LONG, what, |messages| {
        let mut whole = json!({});
        for reported in messages.iter().filter_map(shadow) {
            merge(&mut whole, &reported);
        }
        Some(whole).filter(&wanted)
    })
}

/// As the shadow service merges: null removes.
fn merge(target: &mut Value, more: &Value) {
    match (target, more) {
        (Value::Object(target), Value::Object(more)) => {
            for (key, value) in more {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, more) => *target = more.clone(),
    }
}

#[test]
fn the_shadow_is_made_of_both_protocols_and_either_keeps_the_printer_online() {
    let directory = tempfile::tempdir().unwrap();
    let mdns_port = free_udp_port(Ipv4Addr::UNSPECIFIED);
    let port = mdns_port.to_string();
    let office = Simulated::start(1, &directory.path().join("office"), &["--mdns-port", &port]);
    let printer = office.printers().remove(0);
    let (name, uri) = (printer["name"].as_str().unwrap(), printer["uri"].as_str().unwrap());
    let address: Ipv4Addr = uri.split("://").nth(1).unwrap().split([':', '/']).next().unwrap().parse().unwrap();

    // The agent says the serial that the printer says.
    let serial = printer["serial"].as_str().unwrap();
    let rows: Vec<(&str, &str, &str)> = COLOUR_LASER
        .iter()
        .map(|(oid, kind, value)| (*oid, *kind, if *value == "VNB3R12345" { serial } else { value }))
        .collect();
    let snmpd = Snmpd::start(address, 0, Access::Community, &rows);
    println!("agent {}, printer {uri}, serial {serial}", snmpd.address());

    let configuration = json!({
        "discovery": {"mdnsPort": mdns_port, "loopback": true},
        "poll": {"idleSeconds": 5, "busySeconds": 1},
        "snmp": {"port": snmpd.address().port()},
        "spool": {"reserveBytes": 0},
    });
    let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &["--thing", "gw1"]);
    let watch = MqttWatch::start(nucleus.mqtt_port(), &["printers/gw1/#", "$aws/things/gw1/shadow/#"]);
    let gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));

    let first = wait_shadow(&watch, "the shadow", |s| s["online"] == true);
    assert_eq!((&first["serial"], first.get("sources")), (&json!(serial), None), "IPP says everything already");

    // Paper runs out: only the agent says so.
    let mut empty = rows.clone();
    empty.extend([
        (".1.3.6.1.2.1.43.18.1.1.2.3.2", "integer", "3"),
        (".1.3.6.1.2.1.43.18.1.1.4.3.2", "integer", "8"),
        (".1.3.6.1.2.1.43.18.1.1.7.3.2", "integer", "808"),
    ]);
    snmpd.set_rows(&empty);
    let both = wait_shadow(&watch, "media-empty", |s| s["error_code"] == "media-empty" && s["paper_status"] == "empty");
    assert_eq!((&both["sources"]["status"], &both["sources"]["reasons"]), (&json!("ipp"), &json!("ipp+snmp")));
    let independent = snmpd.snmpget(&["-v1", "-c", "public"], ".1.3.6.1.2.1.43.18.1.1.7.3.2");
    assert_eq!(independent, "808");

    // IPP is gone: the agent speaks alone, and the cloud is told.
    office.power(name, false);
    let alone = wait_shadow(&watch, "a shadow from SNMP alone", |s| s["sources"]["status"] == "snmp");
    assert_eq!((&alone["online"], &alone["status"]), (&json!(true), &json!("idle")));
    watch.wait_for(LONG, "the event ipp-not-answering", |message| {
        message.topic.ends_with("/event") && message.json()["code"] == "ipp-not-answering"
    });
    let supplies = wait_shadow(&watch, "the agent's supplies", |s| s["sources"]["supplies"] == "snmp");
    assert_eq!(supplies["ink_level"]["cyan"], 5);

    // The agent too: offline. And back.
    snmpd.process().freeze();
    wait_shadow(&watch, "offline", |s| s["online"] == false && s["error_code"] == "offline");
    snmpd.process().thaw();
    wait_shadow(&watch, "online again", |s| s["online"] == true && s["error_code"] == "media-empty");
    drop(gateway);
}
