//! Tickets that are wrong in every way we know: each is answered with its reason, none prints, and the job that prints
//! beside them and the one that follows notice nothing.

use crate::common::https::Reply;
use crate::common::{pdf, wait_until};
use crate::support::{Cloud, LONG, Lab, THING, sha256, ticket};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Largest document of these tests.
const MAX_BYTES: usize = 100_000;

/// A job's statuses, of which the last must say why it ended so.
#[track_caller]
fn assert_refused(cloud: &Cloud, job: &str, status: &str, field: &str) {
    let statuses = cloud.wait_status(job, status);
    let last = statuses.last().unwrap();
    let error = &last["error"];
    assert_eq!((&last["status"], &error["field"]), (&json!(status), &json!(field)), "{job}: {last}");
    assert!(error["message"].as_str().is_some_and(|text| text.len() > 10), "{job} says no reason: {last}");
    assert!(error["code"].as_str().is_some_and(|code| !code.is_empty()), "{job} has no code: {last}");
    println!("{job}: {status}, {}: {}", error["code"], error["message"]);
}

#[test]
fn each_is_answered_and_nothing_is_printed_or_disturbed() {
    let mut lab = Lab::start(
        2,
        &["--page-time", "1"],
        &json!({"documents": {"maxBytes": MAX_BYTES, "timeoutSeconds": 20,
                "allowedHosts": ["127.0.50.1", "127.0.50.2", "localhost", "10.9.9.9", "169.254.169.254", "[::ffff:10.9.9.9]"]}}),
    );
    let colour = lab.cloud.printer("Colour");
    let reception = lab.cloud.printer("Reception");
    let document = pdf::pdf(1, "good");
    let good = |job: &str, path: &str| ticket(job, &lab.files.url_by_address(path), &document);
    lab.files.put("/good.pdf", document.clone());

    // It prints all the time, a page every second.
    lab.office.set_fault("Reception", "slow-pages:1000");
    let bystander = pdf::pdf(6, "bystander");
    lab.files.put("/bystander.pdf", bystander.clone());
    lab.cloud.submit(&reception, &ticket("bystander", &lab.files.url_by_address("/bystander.pdf"), &bystander));
    lab.cloud.wait_status("bystander", "printing");

    // --- refused as they stand ---
    let with = |job: &str, pointer: &str, value: Value| {
        let mut ticket = good(job, "/good.pdf");
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        ticket.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
        ticket
    };
    let without = |job: &str, parent: &str, key: &str| {
        let mut ticket = good(job, "/good.pdf");
        ticket.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
        ticket
    };
    let url = |job: &str, url: &str| with(job, "/document/url", json!(url));
    let port = lab.files.address().port();
    let rejected = [
        (without("no-document", "", "document"), "document"),
        (without("no-url", "/document", "url"), "document"),
        (with("document-a-list", "/document", json!([1])), "document"),
        (with("copies-a-word", "/options", json!({"copies": "two"})), "options.copies"),
        (with("no-copies", "/options", json!({"copies": 0})), "options.copies"),
        (with("ranges-backwards", "/options", json!({"pageRanges": "7-3"})), "options.pageRanges"),
        (with("hash-no-hash", "/document/sha256", json!("beef")), "document.sha256"),
        (with("size-negative", "/document/size", json!(-1)), "document.size"),
        (with("s3-and-url", "/document/s3", json!({"bucket": "b", "key": "k"})), "document"),
        (with("priority-500", "/priority", json!(500)), "priority"),
        (with("too-large-as-declared", "/document/size", json!(MAX_BYTES + 1)), "document.size"),
        (with("expired", "/notAfter", json!("2020-01-01T00:00:00Z")), "notAfter"),
        (with("no-time", "/notAfter", json!("tomorrow")), "notAfter"),
        (url("plain-http", &format!("http://127.0.50.1:{port}/good.pdf")), "document.url"),
        (url("file-url", "file:///etc/passwd"), "document.url"),
        (url("no-url-at-all", "good.pdf"), "document.url"),
        (url("with-password", &format!("https://u:p@127.0.50.1:{port}/good.pdf")), "document.url"),
        (url("private-address", "https://10.9.9.9/good.pdf"), "document.url"),
        (url("private-in-ipv6", "https://[::ffff:10.9.9.9]/good.pdf"), "document.url"),
        (url("cloud-metadata", "https://169.254.169.254/latest/"), "document.url"),
        (url("host-not-allowed", "https://elsewhere.example/good.pdf"), "document.url"),
        (url("port-9100", "https://127.0.50.1:9100/good.pdf"), "document.url"),
        (url("port-515", "https://127.0.50.1:515/good.pdf"), "document.url"),
    ];
    for (ticket, _) in &rejected {
        lab.cloud.submit(&colour, ticket);
    }
    for (ticket, field) in &rejected {
        assert_refused(&lab.cloud, ticket["jobId"].as_str().unwrap(), "rejected", field);
    }

    // Not even a name for the job: answered on the printer's topic without one.
    for (payload, field) in
        [("", ""), ("{", ""), ("[1,2]", ""), ("{\"document\":{}}", "jobId"), ("{\"jobId\":\"a/b\"}", "jobId")]
    {
        let before = lab.cloud.statuses("").len();
        lab.cloud.submit_text(&colour, payload);
        let all = wait_until(LONG, &format!("an answer to {payload:?}"), || {
            Some(lab.cloud.statuses("")).filter(|all| all.len() > before)
        });
        let last = all.last().unwrap();
        assert_eq!((&last["status"], &last["printer"]), (&json!("rejected"), &json!(colour)), "{payload:?}: {last}");
        assert_eq!(last["error"]["field"].as_str().unwrap_or_default(), field, "{payload:?}: {last}");
    }

    // A printer that is not there, and one whose name is no name.
    for (job, printer) in [("nobody", "acme-aaaaaaaaaa"), ("no-name", "No_Printer!")] {
        lab.cloud.submit(printer, &good(job, "/good.pdf"));
        assert_refused(&lab.cloud, job, "rejected", "printer");
        assert_eq!(lab.cloud.statuses(job).last().unwrap()["printer"], printer);
    }

    // --- found out while fetching ---
    let files = &lab.files;
    let document_of = |size: usize| Arc::new(pdf::pdf_of_size(size));
    let wrong = pdf::pdf(1, "evil");
    assert_eq!(wrong.len(), document.len(), "only the hash tells them apart");
    files.put("/wrong.pdf", wrong);
    files.reply("/large.pdf", Reply::Document(document_of(MAX_BYTES + 1)));
    files.reply("/large-unsized.pdf", Reply::Unsized(document_of(MAX_BYTES * 3)));
    files.reply("/endless", Reply::Endless);
    files.put("/page.html", "<!DOCTYPE html><html><body>Please sign in</body></html>");
    files.put("/paper.ps", "%!PS-Adobe-3.0\nshowpage\n");
    files.put("/empty.pdf", "");
    files.reply("/gone.pdf", Reply::Status(410));
    files.reply("/forbidden.pdf", Reply::Status(403));
    files.reply("/to-private", Reply::Redirect("https://10.9.9.9/secret".into()));
    files.reply("/to-print-port", Reply::Redirect("https://127.0.50.1:9100/".into()));
    files.reply("/to-http", Reply::Redirect(format!("http://127.0.50.1:{port}/good.pdf")));
    files.reply("/to-itself", Reply::Redirect(files.url_by_address("/to-itself")));
    let bare = |job: &str, path: &str| json!({"jobId": job, "document": {"url": files.url_by_address(path)}});
    let mut wrong_size = good("wrong-size", "/good.pdf");
    wrong_size["document"]["size"] = json!(document.len() + 1);
    let mut html = bare("html", "/page.html");
    html["document"]["format"] = json!("application/pdf");
    let mut strict = with("strict-tray", "/options", json!({"tray": "tray-9"}));
    strict["strict"] = json!(true);
    let aborted = [
        (good("wrong-hash", "/wrong.pdf"), "document.sha256"),
        (wrong_size, "document.size"),
        (bare("large", "/large.pdf"), "document.size"),
        (bare("large-unsized", "/large-unsized.pdf"), "document.size"),
        (bare("endless", "/endless"), "document.size"),
        (good("endless-declared", "/endless"), "document.size"),
        (html, "document.format"),
        (bare("html-undeclared", "/page.html"), "document.format"),
        (bare("postscript", "/paper.ps"), "document.format"),
        (bare("empty", "/empty.pdf"), "document.size"),
        (bare("not-there", "/nothing.pdf"), "document.url"),
        (bare("gone", "/gone.pdf"), "document.url"),
        (bare("forbidden", "/forbidden.pdf"), "document.url"),
        (bare("to-private", "/to-private"), "document.url"),
        (bare("to-print-port", "/to-print-port"), "document.url"),
        (bare("to-http", "/to-http"), "document.url"),
        (bare("to-itself", "/to-itself"), "document.url"),
        (url("private-by-name", &format!("https://localhost:{port}/good.pdf")), "document.url"),
        (strict, "options.tray"),
    ];
    for (ticket, _) in &aborted {
        lab.cloud.submit(&colour, ticket);
    }
    for (ticket, field) in &aborted {
        let job = ticket["jobId"].as_str().unwrap();
        assert_refused(&lab.cloud, job, "aborted", field);
    }

    // --- a job that exists ---
    lab.cloud.submit(&colour, &good("good", "/good.pdf"));
    lab.cloud.wait_status("good", "completed");
    let hits = lab.files.hits("/good.pdf");
    // The same ticket again, with a fresh signature in its URL: the state again.
    let before = lab.cloud.statuses("good").len();
    lab.cloud.submit(&colour, &good("good", "/good.pdf?X-Amz-Signature=fresh"));
    let again = wait_until(LONG, "the state again", || {
        Some(lab.cloud.statuses("good")).filter(|statuses| statuses.len() > before)
    });
    let (first, last) = (&again[before - 1], again.last().unwrap());
    assert_eq!((&last["status"], &last["seq"], &last["error"]), (&json!("completed"), &first["seq"], &Value::Null));
    // Another content under its name: the state unchanged, and why.
    lab.cloud.submit(&colour, &with("good", "/options", json!({"copies": 2})));
    lab.cloud.submit(&reception, &good("good", "/good.pdf"));
    let conflicts = wait_until(LONG, "two conflicts", || {
        let statuses = lab.cloud.statuses("good");
        let conflicts: Vec<Value> =
            statuses.into_iter().filter(|status| status["error"]["code"] == "jobid-conflict").collect();
        (conflicts.len() == 2).then_some(conflicts)
    });
    for conflict in conflicts {
        assert_eq!((&conflict["status"], &conflict["printer"]), (&json!("completed"), &json!(colour)), "{conflict}");
        assert_eq!(conflict["error"]["field"], "jobId", "{conflict}");
    }
    assert_eq!(lab.files.hits("/good.pdf"), hits, "nothing is fetched again");

    // --- a flood of garbage, and a good ticket behind it ---
    let before = lab.cloud.statuses("").len();
    flood(&lab, &colour, 300);
    wait_until(LONG, "answers to garbage", || (lab.cloud.statuses("").len() > before).then_some(()));
    let mut after = good("after", "/good.pdf");
    after["title"] = json!("After the flood");
    lab.cloud.submit_until_answered(&colour, &after);
    lab.cloud.wait_status("after", "completed");
    println!("{} of 300 garbage messages were answered", lab.cloud.statuses("").len() - before);

    // --- nothing else happened ---
    lab.cloud.wait_status("bystander", "completed");
    lab.cloud.assert_in_order("bystander", &["accepted", "fetching", "ready", "sending", "printing", "completed"]);
    assert_eq!(lab.cloud.statuses("bystander").last().unwrap()["attempt"], 1);
    assert_eq!(lab.printed("Reception"), [bystander]);
    assert_eq!(lab.printed("Colour"), [document.clone(), document]);
    lab.cloud.assert_schemas();
    let (_, peak) = lab.gateway.memory();
    println!("the gateway's peak: {} KiB", peak / 1024);
    assert!(peak < 64 << 20, "{peak}");
    assert_eq!(lab.gateway.stop().code(), Some(0));
}

#[test]
fn garbage_and_forgeries_on_every_topic_are_ignored() {
    let mut lab = Lab::start(1, &["--page-time", "1"], &json!({}));
    let printer = lab.cloud.printer("Colour");
    let document = pdf::pdf(1, "unmoved");
    let url = lab.files.url_by_address("/unmoved.pdf");
    lab.files.put("/unmoved.pdf", document.clone());
    let port = lab.nucleus.mqtt_port();

    let shadow = format!("$aws/things/{THING}/shadow/name");
    let deep = "[".repeat(3_000);
    let long = "x".repeat(4_000);
    let forged =
        json!({"id": "aaaaaaaaaaaaaaaaaaaaaaaaaa", "gateway": THING, "jobId": "unmoved", "status": "completed"});
    let accepted = json!({"state": {"reported": {"name": "Forged", "online": false}}, "version": 1, "timestamp": 1, "clientToken": "forged"});
    for topic in [
        format!("printers/{THING}"),
        format!("printers/{THING}/status"),
        format!("printers/{THING}/echo"),
        format!("printers/{THING}/telemetry"),
        format!("printers/{THING}/{printer}/status"),
        format!("printers/{THING}/{printer}/event"),
        format!("printers/{THING}/{printer}/print/status"),
        format!("printers/{THING}/{printer}/print/control"),
        format!("printers/{THING}/{printer}/print/submit/more"),
        format!("printers/{THING}/{printer}/print"),
        format!("printers/{THING}//print/control"),
        format!("printers/{THING}/{printer}/{printer}/{printer}/{printer}"),
        format!("{shadow}/{printer}/update/accepted"),
        format!("{shadow}/{printer}/update/rejected"),
        format!("{shadow}/{printer}/update/delta"),
        format!("{shadow}/no-such-printer/update/delta"),
    ] {
        for payload in ["", "nonsense", "[]", "{}", &deep, &long, &forged.to_string(), &accepted.to_string()] {
            crate::common::mqtt::publish(port, &topic, payload);
        }
    }
    // Another shadow's desired state asks for what is not obeyed.
    let desired = json!({"state": {"desired": {"config": {"name": 7}, "online": false, "status": "on fire"}}});
    crate::common::mqtt::publish(port, &format!("{shadow}/{printer}/update"), &desired.to_string());

    lab.cloud.submit(&printer, &ticket("unmoved", &url, &document));
    lab.cloud.wait_status_where("unmoved", "the true end", |status| {
        status["status"] == "completed" && status["seq"].as_u64().is_some_and(|seq| seq > 1)
    });
    assert_eq!(lab.printed("Colour"), [document]);
    let shadow = lab.cloud.get_shadow(&printer);
    let reported = &shadow["state"]["reported"];
    assert_eq!((&reported["name"], &reported["online"]), (&json!("Colour"), &json!(true)), "{shadow}");
    let (_, peak) = lab.gateway.memory();
    assert!(peak < 64 << 20, "{peak}");
    assert_eq!(lab.gateway.stop().code(), Some(0));
}

/// Publishes `count` messages of garbage as fast as clients can: AWS takes 100 a second from each.
fn flood(lab: &Lab, printer: &str, count: usize) {
    let topic = format!("printers/{THING}/{printer}/print/submit");
    for first in (0..count).step_by(100) {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &lab.nucleus.mqtt_port().to_string(), "-q", "1", "-t", &topic, "-l"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        for number in first..count.min(first + 100) {
            let garbage = sha256(&number.to_be_bytes()).repeat(1 + number % 20);
            writeln!(input, "{{\"{garbage}").unwrap();
        }
        drop(input);
        assert!(child.wait().unwrap().success());
    }
}
