//! A whole gateway that finds its printers by sweeping.

use super::common::gateway::Gateway;
use super::common::lab::{Nucleus, Simulated};
use super::common::mqtt::MqttWatch;
use super::common::netns;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// Longer than anything takes on a loaded machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_gateway_adopts_what_it_finds_in_the_networks_of_its_configuration() {
    netns::inside("gateway::a_gateway_adopts_what_it_finds_in_the_networks_of_its_configuration", || {
        let directory = tempfile::tempdir().unwrap();
        let arguments = [
            "--no-mdns",
            "--address",
            "127.11.0.10",
            "--port",
            "631",
            "--snmp-port",
            "161",
            "--profile",
            "office-colour",
            "--appsocket-port",
            "none",
            "--lpd-port",
            "none",
        ];
        let office = Simulated::start(3, &directory.path().join("office"), &arguments);
        let serials: BTreeSet<String> =
            office.printers().iter().map(|printer| printer["serial"].as_str().unwrap().to_owned()).collect();
        let configuration = json!({
            "discovery": {"mdns": false, "loopback": true, "sweep": {"networks": ["127.11.0.0/26"], "everyHours": "1"}},
            "poll": {"idleSeconds": 5, "busySeconds": 1},
            "spool": {"reserveBytes": 0},
        });
        let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &["--thing", "gw1"]);
        let watch = MqttWatch::start(nucleus.mqtt_port(), &["$aws/things/gw1/shadow/#"]);
        let mut gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
        gateway.wait_for_log(LONG, "networks swept");
        watch.wait_until(LONG, "the shadows of all printers", |messages| {
            let accepted = messages.iter().filter(|message| message.topic.ends_with("/update/accepted"));
            let told: BTreeSet<String> = accepted
                .filter_map(|message| Some(message.json()["state"]["reported"]["serial"].as_str()?.to_owned()))
                .collect();
            (told == serials).then_some(())
        });
    });
}
