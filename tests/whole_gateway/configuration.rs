//! Configuration: every error at once, at each place where one can come in; and what stays in force meanwhile.

use crate::common::gateway::printgate;
use crate::common::{pdf, wait_until};
use crate::support::{LONG, Lab, ticket};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;

/// Three errors, and what is named in the message of each.
fn three_errors() -> Value {
    json!({
        "printers": {"allowedNetworks": ["10.0.0.0/8", "10.0.0.0/99"]},
        "poll": {"idleSeconds": "soon"},
        "documents": {"maxBytes": -1},
    })
}

const PATHS: [&str; 3] = ["printers.allowedNetworks[1]", "poll.idleSeconds", "documents.maxBytes"];

fn file(directory: &Path, text: &str) -> PathBuf {
    let file = directory.join("printgate.json");
    std::fs::write(&file, text).unwrap();
    file
}

fn run(arguments: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = printgate(arguments, env).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn check_tells_all_errors_with_their_paths() {
    let directory = tempfile::tempdir().unwrap();
    let bad = file(directory.path(), &three_errors().to_string());
    let bad = bad.to_str().unwrap();
    let (code, text, _) = run(&["config", "check", bad], &[]);
    assert_eq!(code, Some(2), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("error")).count(), 3, "{text}");
    for path in PATHS {
        assert!(text.contains(&format!("{path}: must be ")), "{path} in:\n{text}");
    }
    let (code, text, _) = run(&["config", "check", "--json", bad], &[]);
    assert_eq!(code, Some(2), "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["valid"], false);
    let paths: Vec<&str> = answer["errors"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect();
    assert_eq!(paths, PATHS);
    assert!(answer["errors"].as_array().unwrap().iter().all(|e| e["message"].as_str().unwrap().starts_with("must be")));

    for text in ["", "{", "[]", "7"] {
        let not_json = file(directory.path(), text);
        assert_eq!(run(&["config", "check", not_json.to_str().unwrap()], &[]).0, Some(2), "{text:?}");
    }
    let nowhere = directory.path().join("nowhere.json");
    let (code, _, error) = run(&["config", "check", nowhere.to_str().unwrap()], &[]);
    assert!(code == Some(2) && error.contains("nowhere.json"), "{code:?} {error}");
    let good = file(directory.path(), r#"{"poll": {"idleSeconds": "30"}, "newer": {"key": 1}}"#);
    let (code, text, _) = run(&["config", "check", "--json", good.to_str().unwrap()], &[]);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["valid"], &answer["warnings"][0]["path"]), (Some(0), &json!(true), &json!("newer")));
}

#[test]
fn run_refuses_a_file_with_errors_and_an_environment_without_a_nucleus() {
    let directory = tempfile::tempdir().unwrap();
    let work = directory.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let work_dir = work.to_str().unwrap();
    let bad = file(directory.path(), &three_errors().to_string());
    let env = [
        ("SVCUID", "token"),
        ("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", "/nowhere/nucleus.sock"),
        ("AWS_IOT_THING_NAME", "gw1"),
    ];
    let (code, _, error) = run(&["run", "--work-dir", work_dir, "--config", bad.to_str().unwrap()], &env);
    assert_eq!(code, Some(2), "{error}");
    for path in PATHS {
        assert!(error.contains(&format!("{path}: must be ")), "{path} in:\n{error}");
    }
    assert_eq!(std::fs::read_dir(&work).unwrap().count(), 0, "nothing is made for a configuration that is not valid");

    let (code, _, error) = run(&["run", "--work-dir", work_dir], &[]);
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains("SVCUID") && error.contains("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"),
        "{error}"
    );
    for (arguments, word) in
        [(&["run", "--no-such-option"][..], "--no-such-option"), (&["prnt"], "prnt"), (&[], "Usage")]
    {
        let (code, _, error) = run(arguments, &[]);
        assert!(code == Some(2) && error.contains(word), "{arguments:?}: {code:?} {error}");
    }
}

#[test]
fn an_invalid_deployment_leaves_the_last_good_one_in_force() {
    let mut lab = Lab::start(1, &["--page-time", "1"], &json!({}));
    let printer = lab.cloud.printer("Colour");
    let document = pdf::pdf(1, "configured");
    let url = lab.files.url_by_address("/configured.pdf");
    lab.files.put("/configured.pdf", document.clone());
    lab.cloud.submit(&printer, &ticket("before", &url, &document));
    lab.cloud.wait_status("before", "completed");

    // At run time: refused, told, and everything goes on.
    let good =
        json!({"printers": {"allowedNetworks": []}, "poll": {"idleSeconds": 5}, "documents": {"maxBytes": 1_000_000}});
    lab.nucleus.configure(&three_errors());
    let told = lab.cloud.wait_gateway("three errors", |status| status["config"]["valid"] == false);
    assert_three(&told);
    lab.cloud.submit(&printer, &ticket("meanwhile", &url, &document));
    lab.cloud.wait_status("meanwhile", "completed");

    // Across a restart: the last good one, from the gateway's own memory.
    assert_eq!(lab.gateway.stop().code(), Some(0));
    lab.gateway.restart();
    lab.cloud.wait_online(2);
    let told = lab.cloud.wait_gateway("three errors after the restart", |status| {
        status["config"]["valid"] == false && status["event"] == "online"
    });
    assert_three(&told);
    lab.cloud.submit_until_answered(&printer, &ticket("after", &url, &document));
    lab.cloud.wait_status("after", "completed");

    // Valid again.
    lab.nucleus.configure(&good);
    let id = told["id"].clone();
    let topic = "printers/gw1/status";
    lab.cloud.watch().wait_until(LONG, "a valid configuration", |messages| {
        let mut statuses = messages.iter().filter(|m| m.topic == topic).map(|m| m.json()).skip_while(|s| s["id"] != id);
        statuses.any(|status| status["config"] == json!({"valid": true, "errors": []})).then_some(())
    });
    assert_eq!(lab.printed("Colour").len(), 3);
    lab.cloud.assert_schemas();
}

#[track_caller]
fn assert_three(status: &Value) {
    let errors: Vec<&str> =
        status["config"]["errors"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    for (error, path) in errors.iter().zip(PATHS) {
        assert!(error.starts_with(&format!("{path}: must be ")), "{errors:?}");
    }
}

#[test]
fn a_change_takes_effect_at_once_and_loses_no_job() {
    let mut lab = Lab::start(1, &["--page-time", "1"], &json!({}));
    let printer = lab.cloud.printer("Colour");
    let document = pdf::pdf(1, "changed");
    let url = lab.files.url_by_address("/changed.pdf");
    lab.files.put("/changed.pdf", document.clone());
    // One job stands in the printer, one waits behind it.
    lab.office.set_fault("Colour", "out-of-paper");
    for job in ["in-printer", "behind"] {
        lab.cloud.submit(&printer, &ticket(job, &url, &document));
    }
    lab.cloud.wait_status("in-printer", "printing");
    lab.cloud.wait_status("behind", "ready");

    lab.nucleus.configure(&json!({"documents": {"allowedHosts": ["elsewhere.example"]}}));
    lab.gateway.wait_for_log(LONG, "a new configuration takes effect");
    lab.cloud.submit_until_answered(&printer, &ticket("not-any-more", &url, &document));
    let refused = lab.cloud.wait_status("not-any-more", "rejected");
    assert_eq!(refused.last().unwrap()["error"]["field"], "document.url");

    lab.nucleus.configure(&json!({"documents": {"allowedHosts": ["127.0.50.1"], "maxBytes": 500}}));
    wait_until(LONG, "the second change", || {
        (lab.gateway.log().matches("a new configuration takes effect").count() == 2).then_some(())
    });
    lab.cloud.submit_until_answered(&printer, &ticket("too-large-now", &url, &document));
    let refused = lab.cloud.wait_status("too-large-now", "rejected");
    assert_eq!(refused.last().unwrap()["error"]["code"], "document-too-large");

    lab.office.clear_faults("Colour");
    for job in ["in-printer", "behind"] {
        lab.cloud.wait_status(job, "completed");
        lab.cloud.assert_in_order(job, &["accepted", "fetching", "ready", "sending", "printing", "completed"]);
        assert_eq!(lab.cloud.statuses(job).last().unwrap()["attempt"], 1);
    }
    assert_eq!(lab.printed("Colour"), [document.clone(), document]);
    assert!(
        !lab.cloud.watch().messages().iter().any(|message| message.json()["event"] == "stopping"),
        "a new configuration is no stop"
    );
    lab.cloud.assert_schemas();
    assert_eq!(lab.gateway.stop().code(), Some(0));
}

#[test]
fn a_known_printer_outside_the_allowed_networks_is_left_alone() {
    let lab = Lab::start(1, &["--page-time", "1"], &json!({}));
    let printer = lab.cloud.printer("Colour");
    lab.nucleus.configure(&json!({"discovery": {"loopback": false}}));
    lab.cloud.wait_online(2);
    let document = pdf::pdf(1, "narrowed");
    let url = lab.files.url_by_address("/narrowed.pdf");
    lab.files.put("/narrowed.pdf", document.clone());
    lab.cloud.submit_until_answered(&printer, &ticket("narrowed", &url, &document));
    let waits = |status: &Value| status["reasons"].to_string().contains("printer-unreachable");
    lab.cloud.wait_status_where("narrowed", "waits", waits);
    assert!(lab.printed("Colour").is_empty());
    lab.nucleus.configure(&json!({"discovery": {"loopback": true}}));
    lab.cloud.wait_status("narrowed", "completed");
    assert_eq!(lab.printed("Colour").len(), 1);
}
