//! The recipe: its rights are enough for all that the gateway does, and for nothing else that it would need.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

use common::gateway::Gateway;
use common::lab::{Nucleus, Simulated};
use common::process;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// The recipe as JSON, read by a YAML reader that is not ours.
fn recipe() -> Value {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut setup = Command::new("sh");
    setup.arg(root.join("tests/python/setup.sh"));
    process::run(&mut setup);
    let mut read = Command::new(root.join("target/venv/bin/python"));
    read.args(["-c", "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)"]);
    read.arg(root.join("recipe/recipe.yaml"));
    let output = read.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn default_configuration() -> Value {
    recipe()["ComponentConfiguration"]["DefaultConfiguration"].clone()
}

#[test]
fn the_default_configuration_is_valid_and_the_keys_fit_both_runtimes() {
    let recipe = recipe();
    let checked = printgate::config::check(&recipe["ComponentConfiguration"]["DefaultConfiguration"]);
    assert!(checked.config.is_ok(), "{:?}", checked.config);
    assert_eq!(checked.warnings, vec![]);
    assert_eq!(recipe["ComponentName"], printgate::app::COMPONENT_NAME);
    assert_eq!(recipe["ComponentVersion"], env!("CARGO_PKG_VERSION"));
    for manifest in recipe["Manifests"].as_array().unwrap() {
        assert_eq!(manifest["Platform"]["runtime"], "*");
        assert!(manifest["Lifecycle"]["run"].as_str().unwrap().starts_with("exec "), "signals must reach the binary");
        assert_eq!(manifest["Artifacts"][0]["Permission"]["Execute"], "OWNER");
    }
}

#[test]
fn its_rights_are_enough_for_a_whole_job() {
    let directory = tempfile::tempdir().unwrap();
    let port = common::free_port().to_string();
    let mut configuration = default_configuration();
    configuration["discovery"] = json!({"loopback": true, "mdnsPort": port});
    configuration["spool"] = json!({"reserveBytes": 0});
    let component = ["--component", printgate::app::COMPONENT_NAME];
    let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &component);
    let office = Simulated::start(
        1,
        &directory.path().join("office"),
        &["--address", "127.0.91.1", "--mdns-port", &port, "--page-time", "50"],
    );
    let watch = nucleus.watch(&["printers/#", "$aws/things/+/shadow/#"]);
    let work = directory.path().join("gateway");
    let mut gateway = Gateway::start(&[], &nucleus.env(), &work);
    let accepted = watch.wait_for(SOON, "a shadow", |m| m.topic.ends_with("/update/accepted"));
    let printer = accepted.topic.split('/').nth(5).unwrap().to_owned();
    let ticket = json!({"jobId": "j1", "document": {"data": "JVBERi0xLjQKL1R5cGUgL1BhZ2UKJSVFT0YK"}});
    nucleus.publish(&format!("printers/gw1/{printer}/print/submit"), &ticket);
    let status = format!("printers/gw1/{printer}/print/status");
    watch.wait_for(SOON, "the end of the job", |m| m.topic == status && m.json()["status"] == "completed");
    assert_eq!(office.printed().len(), 1);
    assert_eq!(gateway.stop().code(), Some(0));
    // Whatever may not be published or subscribed would be said here.
    let log = read(&work);
    assert!(!log.contains("not allowed") && !log.contains("Unauthorized"), "{log}");
}

fn read(work: &Path) -> String {
    std::fs::read_to_string(work.join("gateway.log")).unwrap()
}
