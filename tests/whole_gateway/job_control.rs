//! Control messages: what each does to a job, and what happens to those that do not apply.

use crate::common::{pdf, wait_until};
use crate::support::{LONG, Lab, ticket};
use serde_json::{Value, json};

#[test]
fn jobs_are_canceled_held_released_and_nothing_else() {
    let mut lab = Lab::start(1, &["--page-time", "1"], &json!({}));
    let printer = lab.cloud.printer("Colour");
    let document = pdf::pdf(1, "controlled");
    let url = lab.files.url_by_address("/controlled.pdf");
    lab.files.put("/controlled.pdf", document.clone());
    let submit = |job: &str| lab.cloud.submit(&printer, &ticket(job, &url, &document));
    let control = |command: &str, job: &str, action: &str| {
        lab.cloud.control(&printer, &json!({"commandId": command, "jobId": job, "action": action}));
    };

    // Out of paper: one job stands in the printer, the next one waits behind it.
    lab.office.set_fault("Colour", "out-of-paper");
    submit("in-printer");
    lab.cloud.wait_status("in-printer", "printing");
    let said = lab.cloud.wait_status_where("in-printer", "a reason", |status| {
        status["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty())
    });
    println!("out of paper, as the job says it: {}", said.last().unwrap()["reasons"]);
    submit("queued");
    lab.cloud.wait_status("queued", "ready");

    // The queued one ends where it is, the other one at the printer.
    control("c-1", "queued", "cancel");
    let canceled = lab.cloud.wait_status("queued", "canceled");
    assert_eq!(canceled.last().unwrap()["attempt"], 0);
    control("c-2", "in-printer", "cancel");
    lab.cloud.wait_status("in-printer", "canceled");
    let states = |job: &str| -> Vec<String> {
        lab.cloud.statuses(job).iter().map(|status| status["status"].as_str().unwrap().to_owned()).collect()
    };
    assert!(states("in-printer").contains(&"canceling".to_owned()), "{:?}", states("in-printer"));
    lab.office.clear_faults("Colour");

    // Held from the start: nothing is sent until it is released.
    let mut held = ticket("held", &url, &document);
    held["hold"] = json!(true);
    lab.cloud.submit(&printer, &held);
    let ready = lab.cloud.wait_status("held", "ready");
    assert_eq!(ready.last().unwrap()["held"], true);
    // What was submitted later overtakes it.
    submit("overtakes");
    lab.cloud.wait_status("overtakes", "completed");
    assert!(!states("held").contains(&"sending".to_owned()), "{:?}", states("held"));
    control("c-3", "held", "release");
    lab.cloud.wait_status("held", "completed");

    // Held and released while it waits behind another.
    lab.office.set_fault("Colour", "out-of-paper");
    submit("blocks");
    lab.cloud.wait_status("blocks", "printing");
    submit("later");
    lab.cloud.wait_status("later", "ready");
    control("c-4", "later", "hold");
    lab.cloud.wait_status_where("later", "hold", |status| status["held"] == true);
    lab.office.clear_faults("Colour");
    lab.cloud.wait_status("blocks", "completed");
    control("c-5", "later", "release");
    lab.cloud.wait_status("later", "completed");

    // What does not apply is told with the present state.
    let refused = |command: &str, job: &str, action: &str, attempt: Option<u32>| -> Value {
        let mut message = json!({"commandId": command, "jobId": job, "action": action});
        if let Some(attempt) = attempt {
            message["attempt"] = json!(attempt);
        }
        let before = lab.cloud.statuses(job).len();
        lab.cloud.control(&printer, &message);
        wait_until(LONG, &format!("an answer to {message}"), || lab.cloud.statuses(job).get(before).cloned())
    };
    for (command, job, action, attempt, field) in [
        ("c-6", "later", "resend", Some(1), "action"),
        ("c-7", "later", "cancel", None, "action"),
        ("c-8", "later", "hold", None, "action"),
        ("c-9", "later", "confirm", Some(1), "action"),
        ("c-10", "later", "resend", None, "attempt"),
        ("c-11", "later", "explode", None, "action"),
        ("", "later", "cancel", None, "commandId"),
    ] {
        let answer = refused(command, job, action, attempt);
        assert_eq!((&answer["status"], &answer["error"]["field"]), (&json!("completed"), &json!(field)), "{answer}");
    }

    // A known command and an unknown job are not answered: what comes after them is.
    let before = (lab.cloud.statuses("later").len(), lab.cloud.statuses("nobody-knows").len());
    control("c-7", "later", "cancel");
    control("c-12", "nobody-knows", "cancel");
    lab.cloud.control(&printer, &json!("no control message"));
    refused("c-13", "held", "hold", None);
    assert_eq!((lab.cloud.statuses("later").len(), lab.cloud.statuses("nobody-knows").len()), before);

    assert_eq!(lab.printed("Colour").len(), 4, "overtakes, held, blocks, later");
    lab.cloud.assert_schemas();
    assert_eq!(lab.gateway.stop().code(), Some(0));
}
