//! Addresses that change hands just before a job: nothing comes out at a printer that was not meant.
//!
//! The offices stand in a network of their own, on the usual ports, and are found by a sweep.

#![cfg(feature = "lab")]
// The lints know `#[test]` functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "whole_gateway/support.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod support;

use common::gateway::Gateway;
use common::https::HttpsFiles;
use common::lab::{Nucleus, Simulated};
use common::snmpd::{Access, COLOUR_LASER, Snmpd};
use common::{netns, pdf, wait_until};
use printgate::domain::identity::{self, Reason, Verdict};
use printgate::snmp::client::{Client, Login, Patience};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use support::{Cloud, LONG, THING, ticket};

/// An office at 127.11.0.10 and on, and a gateway that polls it once a minute.
struct Office {
    // Dropped in this order: the gateway first.
    _gateway: Gateway,
    _nucleus: Nucleus,
    cloud: Cloud,
    printers: Simulated,
    files: HttpsFiles,
    _directory: tempfile::TempDir,
}

impl Office {
    fn start(count: usize, arguments: &[&str], more: &Value) -> Office {
        let directory = tempfile::tempdir().unwrap();
        let usual = ["--seed", "q", "--address", "127.11.0.10", "--no-mdns", "--page-time", "5"];
        let printers = Simulated::start(count, &directory.path().join("office"), &[&usual[..], arguments].concat());
        let files = HttpsFiles::start("office.test", netns::OFFICE.into());
        let mut configuration = json!({
            "discovery": {"mdns": false, "loopback": true, "sweep": {"networks": ["127.11.0.0/28"]}},
            "poll": {"idleSeconds": 60},
            "documents": {"caFile": files.ca(), "allowedNetworks": ["10.77.0.0/24"], "allowedHosts": ["office.test"]},
            "spool": {"reserveBytes": 0},
        });
        support::merge(&mut configuration, more);
        let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &["--thing", THING]);
        let cloud = Cloud::start(nucleus.mqtt_port());
        let mut gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
        // From here on only polls and jobs look who is where.
        gateway.wait_for_log(LONG, "networks swept");
        Office { _gateway: gateway, _nucleus: nucleus, cloud, printers, files, _directory: directory }
    }

    fn serial(&self, printer: &str) -> String {
        let printers = self.printers.printers();
        printers.iter().find(|p| p["name"] == printer).unwrap()["serial"].as_str().unwrap().to_owned()
    }

    /// The id of a printer, once it was polled.
    fn id(&self, printer: &str) -> String {
        let serial = self.serial(printer);
        let id = self.cloud.printer_where(printer, |reported| reported["serial"] == serial.as_str());
        self.cloud.wait_status_of_printer(&id, |status| status["online"] == true);
        id
    }

    fn order(&self, printer: &str, order: &str) {
        self.printers.control(&json!({"do": "order", "printer": printer, "order": order}));
    }

    /// At which printers something came out, in order.
    fn paper(&self) -> Vec<String> {
        self.printers.printed().iter().map(|printed| printed["printer"].as_str().unwrap().to_owned()).collect()
    }

    fn submit(&self, id: &str, job: &str, format: &str) {
        let document = match format {
            POSTSCRIPT => format!("%!PS\n({job}) show showpage\n").into_bytes(),
            _ => pdf::pdf(1, job),
        };
        let url = self.files.put(&format!("/{job}.ps"), document.clone());
        let mut ticket = ticket(job, &url, &document);
        ticket["document"]["format"] = json!(format);
        self.cloud.submit_until_answered(id, &ticket);
    }
}

const RAW: [&str; 8] = ["--profile", "old-mono", "--snmp-port", "161", "--appsocket-port", "9100", "--lpd-port", "515"];
const POSTSCRIPT: &str = "application/postscript";

#[test]
fn a_job_follows_its_printer_when_two_swap_their_addresses() {
    netns::inside("a_job_follows_its_printer_when_two_swap_their_addresses", || {
        let office = Office::start(2, &RAW, &json!({}));
        let (one, two) = (office.id("Archive"), office.id("Archive 2"));
        office.order("Archive", "swap \"Archive 2\"");
        office.submit(&one, "first", POSTSCRIPT);
        office.cloud.wait_status("first", "completed");
        wait_until(LONG, "paper", || (!office.paper().is_empty()).then_some(()));
        assert_eq!(office.paper(), ["Archive"]);
        office.submit(&two, "second", POSTSCRIPT);
        office.cloud.wait_status("second", "completed");
        wait_until(LONG, "paper", || (office.paper().len() == 2).then_some(()));
        assert_eq!(office.paper(), ["Archive", "Archive 2"]);
    });
}

/// Nobody asks an agent: the answer over IPP says who is there.
#[test]
fn a_job_over_ipp_follows_its_printer_too() {
    netns::inside("a_job_over_ipp_follows_its_printer_too", || {
        let no_others = ["--snmp-port", "none", "--appsocket-port", "none", "--lpd-port", "none"];
        let arguments = [&["--profile", "office-colour", "--port", "631"][..], &no_others].concat();
        let list: Vec<Value> =
            [10, 11].map(|last| json!({"uri": format!("ipp://127.11.0.{last}:631/ipp/print")})).into();
        let office = Office::start(2, &arguments, &json!({"printers": {"list": list}}));
        let (one, two) = (office.id("Colour"), office.id("Colour 2"));
        office.order("Colour", "swap \"Colour 2\"");
        office.submit(&one, "first", "application/pdf");
        office.cloud.wait_status("first", "completed");
        office.submit(&two, "second", "application/pdf");
        office.cloud.wait_status("second", "completed");
        assert_eq!(office.paper(), ["Colour", "Colour 2"]);
    });
}

#[test]
fn a_printer_without_an_agent_gets_its_jobs_as_ever() {
    netns::inside("a_printer_without_an_agent_gets_its_jobs_as_ever", || {
        let arguments =
            ["--profile", "old-mono", "--snmp-port", "none", "--appsocket-port", "9100", "--lpd-port", "none"];
        let list = json!([{"uri": "socket://127.11.0.10:9100", "name": "Plain", "formats": [POSTSCRIPT]}]);
        let office = Office::start(1, &arguments, &json!({"printers": {"list": list}}));
        let id = office.cloud.printer("Plain");
        office.submit(&id, "plain", POSTSCRIPT);
        office.cloud.wait_status("plain", "completed");
        wait_until(LONG, "paper", || (office.paper() == ["Archive"]).then_some(()));
    });
}

/// What a job waits for: one request, and it tells who the agent is as all of them do.
#[tokio::test]
async fn an_agent_that_is_known_is_asked_with_one_request() {
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::Community, COLOUR_LASER);
    let client = Client::open(vec![Login::Community("public".to_owned())]).await.unwrap();
    let all = client.identify(snmpd.address(), Patience::Long).await.unwrap();
    let (told, how) = client.glance(snmpd.address()).await.unwrap();
    assert_eq!((how.requests, told.printer), (1, true), "{told:?}");
    assert_eq!(told.evidence.serial.as_deref(), Some("VNB3R12345"));
    assert_eq!(identity::same_device(&told.evidence, &all.evidence), Verdict::Same(Reason::Serial));
}
