//! The harness itself: the lab's programs, with mosquitto's clients and ipptool on their other sides.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

use common::lab::{Nucleus, Simulated};
use common::{pdf, process, wait_until};
use serde_json::json;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn the_nucleus_gives_an_environment_and_a_broker() {
    let directory = tempfile::tempdir().unwrap();
    let mut nucleus = Nucleus::start(directory.path(), &["--thing", "gw7"]);
    assert_eq!(nucleus.thing(), "gw7");
    let env = nucleus.env();
    for name in ["SVCUID", "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", "AWS_IOT_THING_NAME"] {
        assert!(env.iter().any(|(n, value)| n == name && !value.is_empty()), "{name} in {env:?}");
    }
    let watch = nucleus.watch(&["printers/#"]);
    nucleus.publish("printers/gw7/x", &json!({"a": 1}));
    assert_eq!(
        watch.wait_for(SOON, "the message", |message| message.topic == "printers/gw7/x").json(),
        json!({"a": 1})
    );
    nucleus.link(false);
    nucleus.link(true);
    nucleus.configure(&json!({"anything": true}));
    assert!(nucleus.status().is_object());
    assert_eq!(nucleus.try_control(&json!({"nonsense": 1}))["ok"], json!(false));
    assert_eq!(nucleus.terminate(SOON).code(), Some(0));
}

#[test]
fn simulated_printers_print_and_fail_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let mut office = Simulated::start(2, directory.path(), &["--no-mdns", "--page-time", "1"]);
    let printers = office.printers();
    assert_eq!(printers.len(), 2);
    let name = printers[0]["name"].as_str().unwrap();
    let uri = printers[0]["uri"].as_str().unwrap();
    let file = directory.path().join("a.pdf");
    std::fs::write(&file, pdf::pdf(1, "simulated")).unwrap();
    let mut print = Command::new("ipptool");
    print.args(["-T", "10", "-d", "filetype=application/pdf", "-f"]).arg(&file).args([uri, "print-job.test"]);
    process::run(&mut print);
    wait_until(SOON, "the printed document", || (office.printed().len() == 1).then_some(()));
    office.set_fault(name, "out-of-paper");
    office.clear_faults(name);
    office.power(name, false);
    assert!(!print.output().unwrap().status.success(), "a printer that is off");
    office.power(name, true);
    process::run(&mut print);
    assert_eq!(office.terminate(SOON).code(), Some(0));
}
