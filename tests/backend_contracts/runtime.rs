//! What back ends and deployments meet beside the rules: an update announced while a document is sent, a thing that
//! nobody made.

use crate::common::gateway::Gateway;
use crate::common::https::HttpsFiles;
use crate::common::lab::{Nucleus as Child, Simulated};
use crate::common::mqtt::{self, Message, MqttWatch};
use crate::support::{FILES, LONG, THING, configuration, mdns_port, merge, ticket};
use jiff::Timestamp;
use printgate::nucleus::{ComponentConfig, Nucleus, NucleusConfig, Profile, UpdateOutcome};
use serde_json::json;
use std::time::Duration;

const COMPONENT: &str = "dev.printgate.PrintGateway";

/// A whole gateway under nucleus classic: a deployment comes while a document is half way to a slow printer.
#[test]
fn a_deployment_waits_until_the_printer_has_the_whole_document() {
    let directory = tempfile::tempdir().unwrap();
    let files = HttpsFiles::start("documents.test", FILES.into());
    let mdns = mdns_port();
    let office = Simulated::start(2, &directory.path().join("office"), &["--mdns-port", &mdns.to_string()]);
    let mut config = configuration(&files, mdns);
    merge(
        &mut config,
        &json!({"accessControl": {"aws.greengrass.ipc.mqttproxy": {"dev.printgate:mqttproxy:1": {
            "operations": ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"],
            "resources": ["*"],
        }}}}),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let component = ComponentConfig { name: COMPONENT.into(), version: "0.1.0".into(), config };
    let mut settings = NucleusConfig::new(directory.path().join("nucleus.sock"), THING, component);
    settings.profile = Profile::Classic;
    let nucleus = runtime.block_on(Nucleus::start(settings)).unwrap();
    let handle = nucleus.handle();
    let propose = |deployment: &str| {
        let asked = handle.propose_update(COMPONENT, deployment, Duration::from_secs(30));
        runtime.block_on(async { tokio::time::timeout(LONG, asked).await }).expect("the end of the deferrals")
    };
    let watch = MqttWatch::start(nucleus.mqtt_port(), &["printers/#", "$aws/things/#"]);
    let env = nucleus.env(COMPONENT).unwrap().to_vec();
    let mut gateway = Gateway::start(&[], &env, &directory.path().join("gateway"));

    let shadow = watch.wait_for(LONG, "the shadow of Reception", |message| {
        message.topic.ends_with("/update/accepted") && message.json()["state"]["reported"]["name"] == "Reception"
    });
    let printer = shadow.topic.split('/').nth(5).unwrap().to_owned();
    assert_eq!(propose("quiet"), UpdateOutcome::Proceeded { deferrals: 0 }, "nothing is being sent");

    office.set_fault("Reception", "slow-bytes:20000");
    let document = vec![b' '; 200_000];
    let document = [b"%PDF-1.4\n".as_slice(), &document, b"\n%%EOF\n"].concat();
    let url = files.url_by_address("/slow.pdf");
    files.put("/slow.pdf", document.clone());
    let submit = format!("printers/{THING}/{printer}/print/submit");
    mqtt::publish(nucleus.mqtt_port(), &submit, &ticket("slow", &url, &document).to_string());
    let status_of = |wanted: &'static str| {
        move |message: &Message| {
            message.topic.ends_with("/print/status")
                && message.json()["jobId"] == "slow"
                && message.json()["status"] == wanted
        }
    };
    watch.wait_for(LONG, "the document on its way", status_of("sending"));
    let outcome = propose("busy");
    let went_on = Timestamp::now();
    assert!(matches!(outcome, UpdateOutcome::Proceeded { deferrals: 1.. }), "{outcome:?}");
    let printing = watch.wait_for(LONG, "the document at the printer", status_of("printing")).json();
    let sent: Timestamp = printing["at"].as_str().unwrap().parse().unwrap();
    assert!(sent <= went_on, "the update went on at {went_on}, before {printing}");
    assert_eq!(gateway.stop().code(), Some(0));
    runtime.block_on(nucleus.shutdown());
}

/// Mapping `thing` where only some things were made: those without are named, with what helps; the others work.
#[test]
fn a_thing_that_nobody_made_is_named_and_harms_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let files = HttpsFiles::start("documents.test", FILES.into());
    let mdns = mdns_port();
    let _office = Simulated::start(2, &directory.path().join("office"), &["--mdns-port", &mdns.to_string()]);
    let mut config = configuration(&files, mdns);
    merge(&mut config, &json!({"cloud": {"shadows": "thing", "thingName": "{printer}"}}));
    // The simulated printers are the same each time, and so are their ids.
    let arguments = ["--thing", THING, "--registered-thing", THING, "--registered-thing", "acme-7ljrr5ilup"];
    let nucleus = Child::start_with(&directory.path().join("nucleus"), &config, &arguments);
    let watch = nucleus.watch(&["printers/#", "$aws/things/#"]);
    let _gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
    let accepted = "$aws/things/acme-7ljrr5ilup/shadow/update/accepted";
    watch.wait_for(LONG, "the shadow of the thing that exists", |message| message.topic == accepted);
    let told = watch.wait_for(LONG, "the other one in the gateway's status", |message| {
        message.topic == format!("printers/{THING}/status") && message.json()["unserved"]["count"] == 1
    });
    let told = told.json()["unserved"]["printers"][0].clone();
    let printer = told["printer"].as_str().unwrap();
    let reason = format!("the thing {printer} does not exist: create it, or set cloud.shadows to \"named\"");
    assert_eq!(told["reason"], reason.as_str());
    // Its other messages come.
    let topic = format!("printers/{THING}/{printer}/status");
    watch.wait_for(LONG, "the status of the printer without a thing", |message| message.topic == topic);
}
