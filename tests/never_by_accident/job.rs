//! A job for a printer whose IPP port is one that prints whatever arrives, as only its agent says.

use crate::common::avahi::Avahi;
use crate::common::gateway::{Gateway, printgate};
use crate::common::https::HttpsFiles;
use crate::common::lab::Nucleus;
use crate::common::snmpd::{Access, COLOUR_LASER, Snmpd};
use crate::common::{netns, process, wait_until};
use crate::cycle::host;
use crate::recording::{Recording, SYN};
use crate::support::{Cloud, LONG, THING, sha256};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

/// Its agent lists AppSocket at 631, which is no way to print that we take; mDNS announces IPP there.
#[test]
fn no_job_goes_over_ipp_to_a_port_that_an_agent_lists_for_appsocket() {
    netns::inside("job::no_job_goes_over_ipp_to_a_port_that_an_agent_lists_for_appsocket", || {
        let directory = tempfile::tempdir().unwrap();
        let there = Ipv4Addr::new(10, 77, 0, 40);
        // Here, and no address of the gateway's machine: those are not swept.
        process::run(Command::new("ip").args(["route", "add", "local", "10.77.0.40/32", "dev", "lo"]));
        let recording = Recording::start(directory.path());
        let listener = TcpListener::bind((there, 631)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let channel =
            [(".1.3.6.1.2.1.43.14.1.1.2.3.1", "integer", "11"), (".1.3.6.1.2.1.43.14.1.1.9.3.1", "string", "Port=631")];
        let rows: Vec<_> = COLOUR_LASER.iter().chain(&channel).copied().collect();
        let _agent = Snmpd::start(there, 161, Access::Community, &rows);
        let avahi = Avahi::start();

        let files = HttpsFiles::start("office.test", netns::OFFICE.into());
        let configuration = json!({
            "discovery": {"sweep": {"networks": ["10.77.0.40/32"]}},
            "poll": {"idleSeconds": 5, "busySeconds": 1},
            "documents": {"caFile": files.ca(), "allowedNetworks": ["10.77.0.0/24"], "allowedHosts": ["office.test"]},
            "spool": {"reserveBytes": 0},
        });
        let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &["--thing", THING]);
        let cloud = Cloud::start(nucleus.mqtt_port());
        let mut gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
        let id = cloud.printer_where("the printer", |reported| reported["serial"] == "VNB3R12345");
        // The agent has been visited; from now on it is known what its ports are.
        gateway.wait_for_log(LONG, "networks swept");

        let _host = host(&avahi, directory.path(), "npi1234.local", there);
        let txt = ["--host=npi1234.local", "rp=ipp/print", "ty=HP Color LaserJet M452nw"];
        let _ipp = avahi.publish("Laser", "_ipp._tcp", 631, &txt);
        wait_until(LONG, "its IPP endpoint", || {
            let mut command = printgate(&["printers", &id, "--json"], &[]);
            let output = command.current_dir(gateway.directory()).output().unwrap();
            let told: Value = serde_json::from_slice(&output.stdout).ok()?;
            told.to_string().contains("ipp://npi1234.local").then_some(())
        });
        let page = b"%PDF-1.4\n".to_vec();
        let url = files.put("/page.pdf", page.clone());
        cloud.submit_until_answered(
            &id,
            &json!({
                "jobId": "job-1",
                "document": {"url": url, "sha256": sha256(&page), "size": page.len(), "format": "application/pdf"},
            }),
        );
        cloud.wait_status_where("job-1", "a printer that is not reached", |status| {
            status["reasons"].as_array().is_some_and(|reasons| reasons.contains(&json!("printer-unreachable")))
        });
        recording.catch_up();
        let contacts = recording.packets(&format!("dst host {there} and dst port 631 and ({SYN})"));
        assert_eq!(contacts, Vec::<String>::new());
        assert!(listener.accept().is_err());
    });
}
