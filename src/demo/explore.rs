//! What can be done while the demo stays up: commands that work when pasted.

use super::cloud::Cloud;
use super::documents::pdf;
use super::{COLOUR, Stage, THING};
use crate::nucleus::Nucleus;
use crate::simulate::Office;
use serde_json::{Value, json};

/// What stays up, and how to look at it.
pub(super) fn explore(stage: &Stage) -> (Vec<String>, Value) {
    let Stage { set, program, .. } = stage;
    let program = program.display();
    let root = set.place.root().display();
    let (host, port) = set.nucleus.as_ref().map(Nucleus::mqtt_address).unwrap_or_default();
    let broker = format!("-h {host} -p {port}");
    let infos = set.office.as_ref().map(Office::printers).unwrap_or_default();
    let heard = set.cloud.as_ref().map(Cloud::heard).unwrap_or_default();
    let id = heard
        .iter()
        .find(|h| h.text("code") == "printer-adopted" && h.text("message").starts_with(COLOUR))
        .map_or("PRINTER", |h| h.text("printer"));
    let url = set.documents.as_ref().map(|documents| {
        documents.put("another.pdf", pdf("Another page", &["Printed by hand, through the whole way."])).url
    });
    let ticket = json!({"jobId": "by-hand-1", "document": {"url": url.unwrap_or_default()}, "title": "By hand"});
    let shadow = format!("$aws/things/{THING}/shadow/name/{id}");
    let watch = format!(
        "mosquitto_sub {broker} -v -t 'printers/{THING}/#' -t '$aws/things/{THING}/shadow/name/+/update/accepted'"
    );
    let print = format!("mosquitto_pub {broker} -t 'printers/{THING}/{id}/print/submit' -m '{ticket}'");
    let ask = format!("mosquitto_rr {broker} -t '{shadow}/get' -e '{shadow}/get/accepted' -n");
    let probe =
        infos.first().map(|i| format!("{program} probe {}", i.uris.as_ref().unwrap_or(&i.uri))).unwrap_or_default();
    let socket = |name: &str| set.place.path(name).display().to_string();
    let cut = format!("echo '{{\"link\":\"cut\"}}' | socat - UNIX-CONNECT:{}", socket("nucleus-control.sock"));
    let fault = format!("{program} simulate --control {root}/paper {COLOUR} out-of-paper");
    let status = format!("{program} status --work-dir {root}/gateway");
    let lines = vec![
        "Everything stays up until Ctrl-C. In another terminal:".to_owned(),
        "watch what the cloud hears".to_owned(),
        format!("  {watch}"),
        "print something".to_owned(),
        format!("  {print}"),
        format!("ask for the shadow of {COLOUR}"),
        format!("  {ask}"),
        "ask a printer what the gateway asks it".to_owned(),
        format!("  {probe}"),
        "ask the gateway (also: printers, jobs, outbox, events)".to_owned(),
        format!("  {status}"),
        format!("take {COLOUR}'s paper away (and back: clear out-of-paper), cut the link (and back: restore)"),
        format!("  {fault}"),
        format!("  {cut}"),
        format!("The gateway's databases are in {root}/gateway, its log is {root}/gateway.log,"),
        format!("what was printed is in {root}/paper."),
    ];
    let detail = json!({"watch": watch, "print": print, "shadow": ask, "probe": probe, "status": status, "fault": fault, "cut": cut,
                        "directory": set.place.root(), "log": set.place.path("gateway.log")});
    (lines, detail)
}
