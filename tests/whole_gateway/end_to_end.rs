//! The whole way with real programs on every side: avahi announces CUPS's ippeveprinter, the gateway finds it, MQTT
//! clients of mosquitto play the cloud, and what ippeveprinter keeps is compared with what was submitted.

use crate::common::avahi::Avahi;
use crate::common::gateway::Gateway;
use crate::common::https::HttpsFiles;
use crate::common::lab::Nucleus;
use crate::common::mqtt::Mosquitto;
use crate::common::printer::{IppEvePrinter, Options};
use crate::common::{netns, pdf, wait_until};
use crate::support::{Cloud, LONG, THING, ticket};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Documents come from the office's own server: a private address, which the configuration allows.
fn configuration(files: &HttpsFiles) -> Value {
    json!({
        "poll": {"idleSeconds": 5, "busySeconds": 1},
        "documents": {"caFile": files.ca(), "allowedNetworks": ["10.77.0.0/24"], "allowedHosts": ["office.test"]},
        "spool": {"reserveBytes": 0},
    })
}

/// A printer whose jobs end when `gate` is there.
fn gated_printer(avahi: &Avahi, gate: &Path) -> IppEvePrinter {
    let script = format!("while [ ! -e '{}' ]; do sleep 0.1; done", gate.display());
    IppEvePrinter::start_with(avahi, "Front Desk", Options { script, ..Options::default() })
}

/// Waits until the printer has kept `documents`, byte for byte, in this order.
#[track_caller]
fn assert_on_paper(printer: &IppEvePrinter, documents: &[&[u8]]) {
    wait_until(LONG, "the documents as they were submitted", || {
        let kept: Vec<Vec<u8>> = printer.documents().iter().map(|file| fs::read(file).unwrap()).collect();
        (kept == documents).then_some(())
    });
}

fn first_light(broker: Option<&Mosquitto>) {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    fs::write(&gate, "").unwrap();
    let avahi = Avahi::start();
    let files = HttpsFiles::start("office.test", netns::OFFICE.into());
    let broker = broker.map(|broker| format!("127.0.0.1:{}", broker.port()));
    let mut arguments = vec!["--thing", THING];
    arguments.extend(broker.iter().flat_map(|broker| ["--broker", broker.as_str()]));
    let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration(&files), &arguments);
    let cloud = Cloud::start(nucleus.mqtt_port());
    let mut gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
    cloud.wait_online(1);

    // Found over mDNS, its shadow as an MQTT client sees it.
    let mut printer = gated_printer(&avahi, &gate);
    let id = cloud.printer_where("an idle printer in a shadow", |reported| reported["status"] == "idle");
    let shadow = cloud.get_shadow(&id);
    let reported = &shadow["state"]["reported"];
    assert_eq!(reported["name"], "Front Desk", "{shadow}");
    assert_eq!(
        (&reported["make"], &reported["model"], &reported["online"], &reported["gateway"]),
        (&json!("Acme"), &json!("Laser 9"), &json!(true), &json!(THING)),
        "{shadow}"
    );
    assert!(id.starts_with("acme-"), "{id}");

    // A ticket prints, over TLS, which this printer announces too.
    let first = pdf::pdf(2, "first");
    cloud.submit(&id, &ticket("job-1", &files.put("/first.pdf", first.clone()), &first));
    let done = cloud.wait_status("job-1", "completed");
    assert_on_paper(&printer, &[&first]);
    cloud.assert_in_order("job-1", &["accepted", "fetching", "ready", "sending", "printing", "completed"]);
    let log = printer.process().log();
    let created = log.find("Create-Job successful-ok").expect("a job of the gateway in the printer's log");
    assert!(log[..created].ends_with("Connection now encrypted.\n10.77.0.1 POST /ipp/print\n10.77.0.1 "), "{log}");
    let last = done.last().unwrap();
    assert_eq!((&last["attempt"], &last["bytes"]), (&json!(1), &json!(first.len())), "{last}");
    assert!(last["printerJobId"].as_i64().is_some_and(|id| id > 0), "{last}");

    // The link is cut while the next one prints; what happens meanwhile is kept and arrives afterwards.
    fs::remove_file(&gate).unwrap();
    let second = pdf::pdf(3, "second");
    cloud.submit(&id, &ticket("job-2", &files.put("/second.pdf", second.clone()), &second));
    cloud.wait_status("job-2", "printing");
    nucleus.link(false);
    fs::write(&gate, "").unwrap();
    wait_until(LONG, "the end of the job in the gateway's log", || {
        let log = gateway.log();
        log.lines().any(|line| line.contains("job-2") && line.contains("completed")).then_some(())
    });
    assert!(cloud.statuses("job-2").iter().all(|status| status["status"] != "completed"), "the link is cut");
    nucleus.link(true);
    cloud.wait_status("job-2", "completed");
    cloud.assert_in_order("job-2", &["accepted", "fetching", "ready", "sending", "printing", "completed"]);
    assert_on_paper(&printer, &[&first, &second]);

    // A restart changes nothing: the same id, and it still prints.
    let ended = gateway.stop();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    cloud.wait_gateway("the farewell", |status| status["event"] == "stopping");
    gateway.restart();
    cloud.wait_online(2);
    let third = pdf::pdf(1, "third");
    cloud.submit(&id, &ticket("job-3", &files.put("/third.pdf", third.clone()), &third));
    cloud.wait_status("job-3", "completed");
    cloud.assert_in_order("job-3", &["accepted", "fetching", "ready", "sending", "printing", "completed"]);
    assert_on_paper(&printer, &[&first, &second, &third]);
    assert_eq!(cloud.shadows(), BTreeSet::from([id]));
    let messages = cloud.assert_schemas();
    println!("{messages} messages satisfy their schemas; stopped within {:?}", ended.after);
    assert_eq!(gateway.stop().code(), Some(0));
}

/// ippeveprinter's word about a job: aborted, then printed by a person's wish; and canceled while it prints.
fn aborted_resent_canceled() {
    let directory = tempfile::tempdir().unwrap();
    let (good, gate) = (directory.path().join("good"), directory.path().join("gate"));
    fs::write(&gate, "").unwrap();
    let avahi = Avahi::start();
    let files = HttpsFiles::start("office.test", netns::OFFICE.into());
    let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration(&files), &["--thing", THING]);
    let cloud = Cloud::start(nucleus.mqtt_port());
    let mut gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
    let script = format!("while [ ! -e '{}' ]; do sleep 0.1; done; [ -e '{}' ]", gate.display(), good.display());
    let printer = IppEvePrinter::start_with(&avahi, "Moody", Options { script, ..Options::default() });
    let id = cloud.printer_where("an idle printer in a shadow", |reported| reported["status"] == "idle");

    let document = pdf::pdf(1, "moody");
    let url = files.put("/moody.pdf", document.clone());
    cloud.submit(&id, &ticket("fails", &url, &document));
    let aborted = cloud.wait_status("fails", "aborted");
    let last = aborted.last().unwrap();
    println!("aborted by the printer: {}", last["error"]);
    assert!(last["error"]["code"].as_str().is_some_and(|code| !code.is_empty()), "{last}");
    fs::write(&good, "").unwrap();
    cloud.control(&id, &json!({"commandId": "again", "jobId": "fails", "attempt": 1, "action": "resend"}));
    let done = cloud.wait_status("fails", "completed");
    assert_eq!(done.last().unwrap()["attempt"], 2);
    cloud.assert_in_order(
        "fails",
        &[
            "accepted",
            "fetching",
            "ready",
            "sending",
            "printing",
            "aborted",
            "ready",
            "sending",
            "printing",
            "completed",
        ],
    );
    assert_on_paper(&printer, &[&document, &document]);

    fs::remove_file(&gate).unwrap();
    cloud.submit(&id, &ticket("unwanted", &url, &document));
    cloud.wait_status("unwanted", "printing");
    cloud.control(&id, &json!({"commandId": "stop-it", "jobId": "unwanted", "action": "cancel"}));
    cloud.wait_status("unwanted", "canceling");
    fs::write(&gate, "").unwrap();
    cloud.wait_status("unwanted", "canceled");
    cloud.assert_in_order(
        "unwanted",
        &["accepted", "fetching", "ready", "sending", "printing", "canceling", "canceled"],
    );
    cloud.assert_schemas();
    assert_eq!(gateway.stop().code(), Some(0));
}

#[test]
fn a_real_printer_aborts_a_job_and_cancels_one() {
    netns::inside("end_to_end::a_real_printer_aborts_a_job_and_cancels_one", aborted_resent_canceled);
}

#[test]
fn a_real_printer_its_shadow_and_jobs_through_mosquitto() {
    netns::inside("end_to_end::a_real_printer_its_shadow_and_jobs_through_mosquitto", || {
        first_light(Some(&Mosquitto::start()))
    });
}

#[test]
fn the_same_through_the_embedded_broker() {
    netns::inside("end_to_end::the_same_through_the_embedded_broker", || first_light(None));
}
