//! The link cut and the gateway stopped at bad moments: everything arrives afterwards, in order, and nothing prints
//! twice.

use crate::common::https::Reply;
use crate::common::{pdf, wait_until};
use crate::support::{LONG, Lab, ticket};
use serde_json::{Value, json};
use std::sync::Arc;

const WHOLE_WAY: [&str; 6] = ["accepted", "fetching", "ready", "sending", "printing", "completed"];

#[test]
fn what_happened_while_the_link_was_cut_outlives_a_restart_and_arrives_in_order() {
    let mut lab = Lab::start(2, &["--page-time", "1"], &json!({}));
    let (colour, reception) = (lab.cloud.printer("Colour"), lab.cloud.printer("Reception"));
    let document = pdf::pdf(1, "buffered");
    let url = lab.files.url_by_address("/buffered.pdf");
    lab.files.put("/buffered.pdf", document.clone());
    lab.office.set_fault("Colour", "out-of-paper");
    for job in ["one", "two", "three"] {
        lab.cloud.submit(&colour, &ticket(job, &url, &document));
        lab.cloud.wait_status(job, if job == "one" { "printing" } else { "ready" });
    }

    lab.nucleus.link(false);
    let before = lab.cloud.watch().messages().len();
    lab.office.set_fault("Reception", "out-of-paper");
    lab.office.clear_faults("Colour");
    wait_until(LONG, "three jobs completed in the gateway's log", || {
        let log = lab.gateway.log();
        (log.lines().filter(|line| line.contains(r#"to="completed""#)).count() == 3).then_some(())
    });
    // In vain: nothing of the cloud comes through.
    lab.cloud.submit(&colour, &ticket("unheard", &url, &document));
    let ended = lab.gateway.stop();
    println!("stopped without a cloud within {:?}", ended.after);
    assert_eq!(ended.code(), Some(0));
    lab.gateway.restart();
    lab.gateway.wait_for_log(LONG, "printers known");
    let heard: Vec<_> = lab.cloud.watch().messages().split_off(before);
    assert!(heard.iter().all(|message| message.json()["jobId"] == "unheard"), "the link is cut: {heard:?}");

    lab.nucleus.link(true);
    for job in ["one", "two", "three"] {
        lab.cloud.wait_status(job, "completed");
        lab.cloud.assert_in_order(job, &WHOLE_WAY);
    }
    lab.cloud.wait_status_of_printer(&reception, |status| status["error_code"] == "media-empty");
    wait_until(LONG, "the shadow as the printer is", || {
        (lab.cloud.get_shadow(&reception)["state"]["reported"]["error_code"] == "media-empty").then_some(())
    });
    // The cloud submits again what was not answered, and once more.
    lab.cloud.submit_until_answered(&colour, &ticket("unheard", &url, &document));
    lab.cloud.submit(&colour, &ticket("unheard", &url, &document));
    lab.cloud.wait_status("unheard", "completed");
    assert_eq!(lab.printed("Colour").len(), 4);
    lab.cloud.assert_schemas();
    assert_eq!(lab.gateway.stop().code(), Some(0));
}

#[test]
fn a_stop_amid_fetching_and_sending_loses_nothing_and_doubles_nothing() {
    let mut lab = Lab::start(2, &["--page-time", "1"], &json!({}));
    let (colour, reception) = (lab.cloud.printer("Colour"), lab.cloud.printer("Reception"));
    let document = pdf::pdf_of_size(200_000);
    let url = lab.files.url_by_address("/large.pdf");
    lab.files.put("/large.pdf", document.clone());
    // The printer takes ten seconds to read it; a stop takes four at most.
    lab.office.set_fault("Reception", "slow-bytes:20000");
    let sending = ticket("sending", &url, &document);
    lab.cloud.submit(&reception, &sending);
    lab.cloud.wait_status("sending", "sending");
    // Half of it comes, then nothing more.
    let half = Reply::Cut { document: Arc::new(document.clone()), sent: document.len() / 2, hang: true };
    let fetching =
        ticket("fetching", &lab.files.reply("/hangs.pdf", half).replace("documents.test", "127.0.50.1"), &document);
    lab.cloud.submit(&colour, &fetching);
    lab.cloud.wait_status("fetching", "fetching");
    wait_until(LONG, "the request for it", || (lab.files.hits("/hangs.pdf") == 1).then_some(()));

    let ended = lab.gateway.stop();
    println!("stopped amid a transfer and a fetch within {:?}", ended.after);
    assert_eq!(ended.code(), Some(0));
    assert!(lab.office.printed().is_empty());
    lab.office.clear_faults("Reception");
    lab.files.put("/hangs.pdf", document.clone());
    lab.gateway.restart();
    for job in ["sending", "fetching"] {
        lab.cloud.wait_status(job, "completed");
    }
    lab.cloud.assert_in_order("fetching", &WHOLE_WAY);
    let attempts = lab.cloud.statuses("sending").last().unwrap()["attempt"].clone();
    println!("the transfer that was broken off completed at attempt {attempts}");

    // Tickets that come again print nothing.
    lab.cloud.wait_online(2);
    for (printer, ticket) in [(&reception, &sending), (&colour, &fetching)] {
        let job = ticket["jobId"].as_str().unwrap();
        let before = lab.cloud.statuses(job).len();
        lab.cloud.submit(printer, ticket);
        let again: Value = wait_until(LONG, "the state again", || lab.cloud.statuses(job).get(before).cloned());
        assert_eq!(again["status"], "completed", "{again}");
    }
    assert_eq!(lab.printed("Reception"), std::slice::from_ref(&document));
    assert_eq!(lab.printed("Colour"), [document]);
    lab.cloud.assert_schemas();
    assert_eq!(lab.gateway.stop().code(), Some(0));
}
