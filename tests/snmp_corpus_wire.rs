//! Captures of real agents served by an agent on loopback and identified by the client, over SNMPv2c and SNMPv1: what a
//! capture holds is of use only where the client asks for it.
//!
//! Skips, and says so, without the corpus (`PRINTGATE_CORPUS`, or `../shared/corpus`).

#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;
mod corpus_support;

use common::relay::Relay;
use corpus_support::{BRANDS, OTHERWISE, captures, corpus};
use futures_util::StreamExt;
use printgate::domain::identity;
use printgate::domain::sighting::Evidence;
use printgate::simulate::snmp::{Access, RecordAgent, Recording};
use printgate::snmp::client::{Client, How, Login, Patience};
use printgate::snmp::decode::{self, Identified};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

/// What the client makes of a capture, how it was asked, and with how many datagrams.
async fn identify(file: &Path, only_v1: bool) -> (Identified, How, u32) {
    let (recording, _) = Recording::load(file).unwrap();
    let agent = RecordAgent::start(Arc::new(recording), Access::default(), (Ipv4Addr::LOCALHOST, 0).into());
    let agent = agent.await.unwrap();
    let relay = Relay::start(agent.address(), only_v1).await;
    let client = Client::open(vec![Login::Community("public".to_owned())]).await.unwrap();
    let (told, how) = client.identify_how(relay.address, Patience::Long).await.unwrap_or_else(|error| {
        panic!("{}: {error}", file.display());
    });
    let asked = relay.asked();
    agent.stop().await;
    (told, how, asked)
}

struct Found {
    name: String,
    told: Identified,
    asked: u32,
    old: Identified,
    asked_old: u32,
}

#[tokio::test]
async fn every_capture_is_identified_over_the_wire() {
    let Some(corpus) = corpus() else { return };
    let whole: std::collections::BTreeMap<_, _> = captures(&corpus).into_iter().collect();
    // The other context of an agent is no agent.
    let files = Recording::in_directory(&corpus.join("snmp")).unwrap();
    let files = files.into_iter().filter(|file| !file.to_string_lossy().contains('@'));
    let found = futures_util::stream::iter(files).map(|file| async move {
        let (told, how, asked) = identify(&file, false).await;
        assert_eq!(how.login, "SNMPv2c", "{}", file.display());
        let (old, how, asked_old) = identify(&file, true).await;
        assert_eq!(how.login, "SNMPv1", "{}", file.display());
        Found { name: file.file_stem().unwrap().to_string_lossy().into_owned(), told, asked, old, asked_old }
    });
    let found: Vec<Found> = found.buffered(8).collect().await;
    let mut wrong = Vec::new();
    let mut models = 0;
    for Found { name, told, asked, old, asked_old } in &found {
        let e = &told.evidence;
        println!(
            "{name}: {} ({}), {asked} requests, {asked_old} over SNMPv1: {:?} {:?} {:?} {:?} {:?}",
            told.printer, told.why, e.make, e.model, e.serial, e.macs, told.firmware
        );
        let expected = !(name.starts_with("nonprinter") || name.contains("scanner"));
        if told.printer != expected {
            wrong.push(format!("{name}: {} ({})", told.printer, told.why));
        }
        if old != told {
            wrong.push(format!("{name}: over SNMPv1: {old:?}, not {told:?}"));
        }
        let decoded = decode::identified(&whole[name]);
        if identity::canonical(&decoded.evidence) != identity::canonical(e) || decoded.firmware != told.firmware {
            wrong.push(format!("{name}: in the whole capture: {decoded:?}, not {told:?}"));
        }
        // Without a system group the login is looked for in all versions, and every maker's object is asked for.
        let most = match told.printer {
            true if told.description.is_empty() => 10,
            true => 5,
            false => 3,
        };
        let most_old = 20;
        if *asked > most || *asked_old > most_old {
            wrong.push(format!("{name}: {asked} requests, {asked_old} over SNMPv1"));
        }
        if told.printer {
            wrong.extend(judge(&corpus, name, e));
            models += u32::from(e.model.is_some());
        }
    }
    let printers: Vec<u32> = found.iter().filter(|found| found.told.printer).map(|found| found.asked).collect();
    println!(
        "{} printers ({models} with a model), {} others; requests of a printer: {:.1}, at most {}",
        printers.len(),
        found.len() - printers.len(),
        f64::from(printers.iter().sum::<u32>()) / printers.len() as f64,
        printers.iter().max().unwrap(),
    );
    let reviewed = |why: &&String| REVIEWED.iter().chain(OTHERWISE).any(|(capture, _)| why.starts_with(capture));
    wrong.iter().filter(reviewed).for_each(|why| println!("reviewed: {why}"));
    let unexplained: Vec<_> = wrong.iter().filter(|why| !reviewed(why)).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    assert!(printers.len() >= 66 && found.len() >= 71, "{} of {}", printers.len(), found.len());
}

/// Maker by the capture's name; model and serial number as others read them in it.
fn judge(corpus: &Path, name: &str, evidence: &Evidence) -> Vec<String> {
    let expected = std::fs::read(corpus.join(format!("expected/{name}.json"))).unwrap();
    let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
    let mut wrong = Vec::new();
    let maker = identity::canonical(evidence).make.unwrap_or_default();
    let (_, brand) = BRANDS.iter().find(|(front, _)| name.starts_with(front)).unwrap_or(&("", ""));
    if maker != *brand {
        wrong.push(format!("{name}: maker {maker:?}, not {brand:?}"));
    }
    if let Some(theirs) = expected["model"].as_str() {
        let plain = |text: &str| text.to_lowercase().replace(" series", "");
        let (theirs, model) = (plain(theirs), plain(evidence.model.as_deref().unwrap_or("-")));
        let ours = plain(evidence.make.as_deref().unwrap_or_default()) + " " + &model;
        if !ours.contains(&theirs) && !theirs.contains(&model) {
            wrong.push(format!("{name}: model {:?}, not {theirs:?}", evidence.model));
        }
    }
    if let Some(theirs) = expected["serial"].as_str()
        && evidence.serial.as_deref() != Some(theirs)
    {
        wrong.push(format!("{name}: serial number {:?}, not {theirs:?}", evidence.serial));
    }
    wrong
}

/// Differences that were looked at, and why they are right.
const REVIEWED: &[(&str, &str)] =
    &[("xerox-workcentre-7835-partial: model", "supplies only; the name is not in the capture")];
