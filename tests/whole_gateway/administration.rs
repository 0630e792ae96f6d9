//! What an administrator decides, through the nucleus and through shadows: who is taken in, who is who, what it is called.

use crate::common::gateway::printgate;
use crate::common::{pdf, wait_until};
use crate::support::{LONG, Lab, ticket};
use serde_json::{Value, json};
use std::path::Path;

/// Puts desired state into a printer's shadow, as a cloud back end does.
fn desire(lab: &Lab, printer: &str, config: &Value) {
    let topic = format!("$aws/things/gw1/shadow/name/{printer}/update");
    lab.nucleus.publish(&topic, &json!({"state": {"desired": {"config": config}}}));
}

/// Waits until the shadow service holds this of a printer.
#[track_caller]
fn wait_shadow(lab: &Lab, printer: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let documents = format!("$aws/things/gw1/shadow/name/{printer}/update/documents");
    lab.cloud.watch().wait_until(LONG, what, |messages| {
        let latest = messages.iter().rev().find(|message| message.topic == documents)?;
        let reported = latest.json()["current"]["state"]["reported"].clone();
        wanted(&reported).then_some(reported)
    })
}

/// Waits until so many printers have a shadow; gives name and id of each.
#[track_caller]
fn by_name(lab: &Lab, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| lab.cloud.printer(name)).collect()
}

/// The running gateway's word.
fn told(directory: &Path, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.extend(["--json", "--work-dir", directory.to_str().unwrap()]);
    let output = printgate(&all, &[]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn serial(lab: &Lab, name: &str) -> String {
    let printers = lab.office.printers();
    let printer = printers.iter().find(|printer| printer["name"] == name).expect("a printer of that name");
    printer["serial"].as_str().unwrap().to_owned()
}

fn a_document(lab: &Lab, path: &str) -> (String, Vec<u8>) {
    let document = pdf::pdf(1, path);
    lab.files.put(path, document.clone());
    (lab.files.url_by_address(path), document)
}

/// Submits until the job is rejected; the error's code.
#[track_caller]
fn rejected(lab: &Lab, printer: &str, job: &str) -> String {
    let (url, document) = a_document(lab, "/rejected.pdf");
    lab.cloud.submit_until_answered(printer, &ticket(job, &url, &document));
    let last = lab.cloud.wait_status(job, "rejected").pop().unwrap();
    assert_eq!(last["error"]["field"], "printer");
    assert!(
        last["error"]["message"].as_str().is_some_and(|text| text.contains("printers.") || text.contains("config."))
    );
    last["error"]["code"].as_str().unwrap().to_owned()
}

#[track_caller]
fn prints(lab: &Lab, printer: &str, job: &str) {
    let (url, document) = a_document(lab, "/prints.pdf");
    lab.cloud.submit_until_answered(printer, &ticket(job, &url, &document));
    lab.cloud.wait_status(job, "completed");
}

#[test]
fn a_printer_waits_until_its_shadow_approves_it() {
    let mut lab = Lab::start(2, &["--page-time", "1"], &json!({"printers": {"adopt": "approve"}}));
    let id = lab.cloud.printer_where("a printer that waits", |reported| reported["status"] == "pending");
    let shadow = wait_shadow(&lab, &id, "a whole shadow", |reported| reported["serial"].is_string());
    assert_eq!((&shadow["approved"], &shadow["online"]), (&json!(false), &json!(false)));
    assert!(shadow["name"].is_string() && shadow["address"].is_string(), "{shadow}");
    assert!(shadow.get("supplies").is_none() && shadow.get("error_code").is_none(), "{shadow}");
    assert_eq!(rejected(&lab, &id, "too-early"), "printer-not-approved");
    let directory = lab.gateway.directory().to_owned();
    wait_until(LONG, "both printers in the list of those that wait", || {
        let pending = told(&directory, &["printers", "--pending"]);
        (pending["printers"].as_array().map(Vec::len) == Some(2)).then_some(())
    });
    lab.cloud.wait_gateway("two that wait", |status| status["printers"]["pending"] == 2);
    assert_eq!(told(&directory, &["status"])["discovery"]["pending"], 2);

    // Unknown keys beside it are nobody's business.
    desire(&lab, &id, &json!({"approved": true, "colour": "red"}));
    let shadow = wait_shadow(&lab, &id, "an approved printer", |reported| reported["status"] == "idle");
    assert_eq!((&shadow["approved"], &shadow["config"]), (&json!(true), &json!({"approved": true})));
    assert!(shadow["supplies"].is_object(), "{shadow}");
    prints(&lab, &id, "approved");

    // Nobody listens while the gateway is away: it asks when it is back.
    assert_eq!(lab.gateway.stop().code(), Some(0));
    let other = lab.cloud.shadows().into_iter().find(|other| *other != id).expect("the other printer's shadow");
    desire(&lab, &other, &json!({"approved": true}));
    lab.gateway.restart();
    wait_shadow(&lab, &other, "the other one approved", |reported| reported["status"] == "idle");
    prints(&lab, &id, "still-approved");

    // And back.
    desire(&lab, &id, &json!({"approved": false}));
    wait_shadow(&lab, &id, "one that waits again", |reported| {
        reported["status"] == "pending" && reported.get("supplies").is_none()
    });
    assert_eq!(rejected(&lab, &id, "taken-back"), "printer-not-approved");
    lab.cloud.assert_schemas();
}

#[test]
fn approvals_and_names_come_by_configuration_too() {
    let mut lab = Lab::start(2, &["--page-time", "1"], &json!({"printers": {"adopt": "approve"}}));
    let id = lab.cloud.printer_where("a printer that waits", |reported| reported["status"] == "pending");
    let shadow = wait_shadow(&lab, &id, "a whole shadow", |reported| reported["serial"].is_string());
    let selector = format!("serial:{}", shadow["serial"].as_str().unwrap());
    lab.nucleus.configure(&json!({"printers": {"approved": [selector], "names": {&id: "Front desk"}}}));
    wait_shadow(&lab, &id, "approved and named", |reported| {
        reported["status"] == "idle" && reported["name"] == "Front desk"
    });
    prints(&lab, &id, "approved-by-configuration");
    lab.gateway.stop();
    lab.gateway.restart();
    prints(&lab, &id, "after-the-restart");
    let printers = told(lab.gateway.directory(), &["printers"]);
    let found = printers["printers"].as_array().unwrap().iter().find(|p| p["id"] == id.as_str()).unwrap().clone();
    assert_eq!((&found["name"], &found["standing"]), (&json!("Front desk"), &json!("adopted")));
    lab.cloud.assert_schemas();
}

#[test]
fn what_is_retired_or_ignored_is_put_away_and_its_jobs_end() {
    let mut lab = Lab::start(2, &["--page-time", "1"], &json!({}));
    let ids = by_name(&lab, &["Colour", "Reception"]);
    let [colour, reception] = &ids[..] else { unreachable!() };
    let (url, document) = a_document(&lab, "/waits.pdf");
    let mut held = ticket("held", &url, &document);
    held["hold"] = json!(true);
    lab.cloud.submit_until_answered(colour, &held);
    lab.cloud.wait_status_where("held", "held and ready", |s| s["status"] == "ready" && s["held"] == true);

    let ignore = format!("serial:{}", serial(&lab, "Reception"));
    lab.nucleus.configure(&json!({"printers": {"retired": [colour], "ignore": [ignore]}}));
    let ended = lab.cloud.wait_status("held", "aborted").pop().unwrap();
    assert_eq!(ended["error"]["code"], "printer-retired");
    wait_shadow(&lab, colour, "a retired printer", |reported| {
        *reported == json!({"status": "retired", "error_code": "retired", "online": false})
    });
    wait_shadow(&lab, reception, "an ignored printer", |reported| reported["status"] == "ignored");
    for restarted in [false, true] {
        if restarted {
            lab.gateway.stop();
            lab.gateway.restart();
            lab.cloud.wait_online(3);
        }
        assert_eq!(rejected(&lab, colour, &format!("retired-{restarted}")), "printer-retired");
        assert_eq!(rejected(&lab, reception, &format!("ignored-{restarted}")), "printer-ignored");
        assert_eq!(told(lab.gateway.directory(), &["printers"])["printers"], json!([]));
    }

    // Taken back, they are who they were.
    lab.nucleus.configure(&json!({"printers": {"retired": [], "ignore": []}}));
    wait_shadow(&lab, colour, "the printer again", |reported| reported["status"] == "idle");
    wait_shadow(&lab, reception, "the other again", |reported| reported["status"] == "idle");
    prints(&lab, colour, "again");
    lab.cloud.assert_schemas();
}

#[test]
fn printers_are_pinned_and_merged_by_configuration() {
    let mut lab = Lab::start(3, &["--page-time", "1"], &json!({}));
    let ids = by_name(&lab, &["Colour", "Reception", "Labels"]);
    let [colour, reception, labels] = &ids[..] else { unreachable!() };
    let directory = lab.gateway.directory().to_owned();
    let why = told(&directory, &["printers", colour, "--why"]);
    assert!(why["joins"].as_array().is_some_and(|joins| !joins.is_empty()), "{why}");
    assert_eq!(why["known"]["serials"], json!([serial(&lab, "Colour")]));

    lab.nucleus.configure(&json!({"printers": {"merge": [[colour, reception]]}}));
    wait_shadow(&lab, reception, "a merged printer", |reported| reported["status"] == "merged");
    prints(&lab, reception, "by-the-old-id");
    assert_eq!(lab.cloud.statuses("by-the-old-id").last().unwrap()["printer"], colour.as_str());
    lab.gateway.stop();
    lab.gateway.restart();
    lab.cloud.wait_online(3);
    let printers = told(&directory, &["printers"]);
    assert_eq!(printers["printers"].as_array().map(Vec::len), Some(2), "{printers}");
    let why = told(&directory, &["printers", reception, "--why"]);
    assert_eq!(why["known"]["ids"], json!([colour, reception]));

    // Pinned to an id of the administrator's: the old one leads there.
    let pin = json!({"what": format!("serial:{}", serial(&lab, "Labels")), "printer": "label-printer"});
    lab.nucleus.configure(&json!({"printers": {"pins": [pin]}}));
    lab.cloud.watch().wait_for(LONG, "the pinned printer's shadow", |message| {
        message.topic == "$aws/things/gw1/shadow/name/label-printer/update/accepted"
            && message.json()["state"]["reported"]["status"] == "idle"
    });
    prints(&lab, "label-printer", "under-its-new-id");
    prints(&lab, labels, "under-its-old-id");
    assert_eq!(lab.cloud.statuses("under-its-old-id").last().unwrap()["printer"], "label-printer");
    lab.cloud.assert_schemas();
}
