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

#[test]
fn the_artifacts_are_where_the_build_puts_them() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let build = std::fs::read_to_string(root.join("artifacts/build")).unwrap();
    let place = format!("target=\"artifacts/{}/$version/$architecture\"", printgate::app::COMPONENT_NAME);
    assert!(build.contains(&place), "{place} is not in artifacts/build");
    for manifest in recipe()["Manifests"].as_array().unwrap() {
        let architecture = manifest["Platform"]["architecture"].as_str().unwrap();
        assert!(build.contains(architecture), "artifacts/build knows no {architecture}");
        let key = format!("{}/{}/{architecture}/printgate", printgate::app::COMPONENT_NAME, env!("CARGO_PKG_VERSION"));
        assert_eq!(manifest["Artifacts"][0]["URI"], format!("s3://BUCKET/{key}"));
    }
}

/// Every resource that the recipe lists, as service, policy and text.
fn resources(configuration: &Value) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for (service, policies) in configuration["accessControl"].as_object().unwrap() {
        for (policy, rule) in policies.as_object().unwrap() {
            for resource in rule["resources"].as_array().unwrap() {
                all.push((service.clone(), policy.clone(), resource.as_str().unwrap().to_owned()));
            }
        }
    }
    all
}

fn without(configuration: &Value, (service, policy, resource): &(String, String, String)) -> Value {
    let mut configuration = configuration.clone();
    let list = configuration["accessControl"][service][policy]["resources"].as_array_mut().unwrap();
    list.retain(|entry| entry != resource);
    configuration
}

#[test]
fn every_right_to_mqtt_is_needed() {
    // What is missed: the first words of the gateway's complaint, and the topic or filter it names.
    let missed = |operation: &str, resource: &str| match (operation, resource) {
        ("aws.greengrass#PublishToIoTCore", "printers/{iot:thingName}/*") => ("publishing to printers/gw1/", "status"),
        ("aws.greengrass#PublishToIoTCore", "$aws/things/{iot:thingName}/shadow/name/*/update") => {
            ("publishing to $aws/things/gw1/shadow/name/", "/update is not allowed")
        }
        ("aws.greengrass#SubscribeToIoTCore", "printers/{iot:thingName}/#") => {
            ("subscribing to printers/gw1/#", "is not allowed")
        }
        ("aws.greengrass#SubscribeToIoTCore", filter) if filter.starts_with("$aws/") => {
            let last = match filter.rsplit('/').next() {
                Some("accepted") => "update/accepted is not allowed",
                Some("rejected") => "update/rejected is not allowed",
                Some("delta") => "update/delta is not allowed",
                other => panic!("no test says what {other:?} is for"),
            };
            ("subscribing to $aws/things/gw1/shadow/name/+/", last)
        }
        other => panic!("no test says what {other:?} is for"),
    };
    let configuration = default_configuration();
    let mqtt: Vec<_> =
        resources(&configuration).into_iter().filter(|r| r.0 == "aws.greengrass.ipc.mqttproxy").collect();
    assert_eq!(mqtt.len(), 6);
    let directory = tempfile::tempdir().unwrap();
    let port = common::free_port().to_string();
    let _office = Simulated::start(
        1,
        &directory.path().join("office"),
        &["--address", "127.0.91.2", "--mdns-port", &port, "--page-time", "50"],
    );
    for (n, right) in mqtt.iter().enumerate() {
        let operation = configuration["accessControl"][&right.0][&right.1]["operations"][0].as_str().unwrap();
        let (complaint, about) = missed(operation, &right.2);
        let mut less = without(&configuration, right);
        less["discovery"] = json!({"loopback": true, "mdnsPort": port});
        less["spool"] = json!({"reserveBytes": 0});
        let component = ["--component", printgate::app::COMPONENT_NAME];
        let nucleus = Nucleus::start_with(&directory.path().join(format!("nucleus{n}")), &less, &component);
        let work = directory.path().join(format!("gateway{n}"));
        let mut gateway = Gateway::start(&[], &nucleus.env(), &work);
        gateway.wait_until(SOON, &format!("`{complaint}` in its log without {right:?}"), || {
            read(&work).lines().any(|line| line.contains(complaint) && line.contains(about)).then_some(())
        });
    }
}

#[test]
fn every_operation_has_its_own_policy_and_nothing_is_allowed_twice_or_wholesale() {
    let configuration = default_configuration();
    let all = resources(&configuration);
    for (service, policy, resource) in &all {
        let operations = configuration["accessControl"][service][policy]["operations"].as_array().unwrap();
        assert_eq!(operations.len(), 1, "{policy}: one operation, so that no resource is allowed for another");
        assert_ne!(operations[0], "*");
        assert!(policy.starts_with(printgate::app::COMPONENT_NAME), "{policy}: unique on the device");
        assert!(resource.contains("{iot:thingName}") || resource.contains(":secret:printgate/"), "{resource}");
    }
    let services: std::collections::BTreeSet<_> = all.iter().map(|(service, _, _)| service.as_str()).collect();
    let expected = ["aws.greengrass.SecretManager", "aws.greengrass.ipc.mqttproxy"];
    assert_eq!(services.into_iter().collect::<Vec<_>>(), expected);
}

/// Two readers of YAML agree on the recipe, and the stand-in takes it for both runtimes and processors.
#[test]
fn the_runner_reads_it_as_another_yaml_reader_does() {
    use printgate::nucleus::{Profile, Recipe};
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recipe/recipe.yaml");
    for profile in [Profile::Lite, Profile::Classic] {
        for architecture in ["amd64", "aarch64"] {
            let read = Recipe::load(&path, profile, architecture).unwrap();
            assert_eq!(read.configuration, default_configuration());
            assert_eq!(read.name, printgate::app::COMPONENT_NAME);
        }
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 16 * 1024, "AWS takes recipes of 16 KiB");
}

fn read(work: &Path) -> String {
    std::fs::read_to_string(work.join("gateway.log")).unwrap()
}
