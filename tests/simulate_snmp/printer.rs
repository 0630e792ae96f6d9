//! The objects of a simulated printer follow its state.

use crate::tools::{Lab, error, get, octets, printer, run, text, walk};
use printgate::simulate::{Order, printers_of, profiles};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

const ERROR_STATE: &str = "1.3.6.1.2.1.25.3.5.1.2.1";
const PRINTER_STATUS: &str = "1.3.6.1.2.1.25.3.5.1.1.1";
const DEVICE_STATUS: &str = "1.3.6.1.2.1.25.3.2.1.5.1";
const ALERTS: &str = "1.3.6.1.2.1.43.18.1.1";
const ALL_EVENTS: &str = "1.3.6.1.2.1.43.5.1.1.19.1";

async fn set(lab: &Lab, fault: &str) {
    lab.office.set_fault("P", fault.parse().unwrap()).unwrap();
}

#[tokio::test]
async fn out_of_paper_is_told_by_status_error_state_alert_and_input_level() {
    let lab = printer("office-colour", |_| {}).await;
    let agent = lab.agent();
    assert_eq!(get(agent, PRINTER_STATUS).await, "INTEGER: 3");
    assert_eq!(octets(&get(agent, ERROR_STATE).await)[0] & 0x40, 0);
    let before = get(agent, ALL_EVENTS).await;

    set(&lab, "out-of-paper").await;
    assert_eq!(octets(&get(agent, ERROR_STATE).await)[0] & 0x40, 0x40, "noPaper");
    assert_eq!(get(agent, PRINTER_STATUS).await, "INTEGER: 1");
    assert_eq!(get(agent, DEVICE_STATUS).await, "INTEGER: 5");
    let alerts = walk(agent, ALERTS).await;
    let of = |column: u32, value: &str| {
        let column = format!("{ALERTS}.{column}.1.");
        alerts.iter().any(|(oid, got)| oid.starts_with(&column) && got == value)
    };
    assert!(of(2, "INTEGER: 3") && of(4, "INTEGER: 8") && of(7, "INTEGER: 808"), "{alerts:?}");
    assert_eq!(get(agent, "1.3.6.1.2.1.43.8.2.1.10.1.1").await, "INTEGER: 0");
    assert_ne!(get(agent, ALL_EVENTS).await, before);

    lab.office.clear_fault("P", Some("out-of-paper")).unwrap();
    assert_eq!(get(agent, PRINTER_STATUS).await, "INTEGER: 3");
    let alerts = walk(agent, &format!("{ALERTS}.7")).await;
    assert!(!alerts.values().any(|code| code == "INTEGER: 808"), "{alerts:?}");
}

#[tokio::test]
async fn an_open_door_and_a_jam_show() {
    let lab = printer("office-colour", |_| {}).await;
    let agent = lab.agent();
    let cover = "1.3.6.1.2.1.43.6.1.1.3.1.1";
    assert_eq!(get(agent, cover).await, "INTEGER: 4");
    set(&lab, "door-open").await;
    assert_eq!(get(agent, cover).await, "INTEGER: 3");
    assert_eq!(octets(&get(agent, ERROR_STATE).await)[0] & 0x08, 0x08, "doorOpen");
    lab.office.clear_fault("P", None).unwrap();
    set(&lab, "jam").await;
    assert_eq!(octets(&get(agent, ERROR_STATE).await)[0] & 0x04, 0x04, "jammed");
}

#[tokio::test]
async fn a_level_follows_the_toner_and_the_error_state_says_low() {
    let lab = printer("office-colour", |_| {}).await;
    let agent = lab.agent();
    set(&lab, "toner-level:black:4").await;
    let level = async || get(agent, "1.3.6.1.2.1.43.11.1.1.9.1.1").await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while level().await != "INTEGER: 4" {
        assert!(std::time::Instant::now() < deadline, "{}", level().await);
    }
    assert_eq!(octets(&get(agent, ERROR_STATE).await)[0] & 0x20, 0x20, "lowToner");
}

#[tokio::test]
async fn who_it_is_stands_where_others_have_it() {
    let lab = printer("office-colour", |_| {}).await;
    let agent = lab.agent();
    let info = lab.office.printers().remove(0);
    assert_eq!(text(&get(agent, "1.3.6.1.2.1.43.5.1.1.17.1").await), info.serial);
    assert_eq!(text(&get(agent, "1.3.6.1.2.1.47.1.1.1.1.11.1").await), info.serial);
    assert_eq!(text(&get(agent, "1.3.6.1.2.1.25.3.2.1.3.1").await), format!("{} {}", info.make, info.model));
    assert_eq!(get(agent, "1.3.6.1.2.1.25.3.2.1.2.1").await, "OID: .1.3.6.1.2.1.25.3.1.5");
    assert!(get(agent, "1.3.6.1.2.1.1.2.0").await.starts_with("OID: .1.3.6.1.4.1."));
    assert_eq!(octets(&get(agent, "1.3.6.1.2.1.2.2.1.6.1").await).len(), 6);
    let device_id = text(&get(agent, "1.3.6.1.4.1.2699.1.2.1.2.1.1.3.1").await);
    assert!(device_id.contains(&format!("MFG:{};", info.make)), "{device_id}");
    assert!(device_id.contains(&format!("SN:{};", info.serial)), "{device_id}");
    let channels = walk(agent, "1.3.6.1.2.1.43.14.1.1.9").await;
    assert!(channels.values().any(|value| text(value) == format!("URI={}", info.uri)), "{channels:?}");
}

#[tokio::test]
async fn every_profile_walks_to_its_end_in_order() {
    for profile in profiles::PROFILES {
        let lab = printer(profile.key, |_| {}).await;
        let Some(agent) = lab.office.printers()[0].snmp else { continue };
        // snmpwalk itself complains of identifiers that do not increase.
        let output = run("snmpwalk", &["-v1", "-c", "public"], agent, &[".1"]).await;
        assert!(output.status.success(), "{}: {}", profile.key, error(&output));
        let walked = crate::tools::lines(&output);
        for needed in ["1.3.6.1.2.1.1.2.0", "1.3.6.1.2.1.43.", "1.3.6.1.4.1.2699.1.2.1.2.1.1.3.1"] {
            assert!(walked.iter().any(|(oid, _)| oid.starts_with(needed)), "{}: {needed}", profile.key);
        }
        lab.office.shutdown().await;
    }
}

#[tokio::test]
async fn version_1_only_fails_a_whole_get_and_leaves_2c_and_3_unanswered() {
    let lab = printer("old-mono", |_| {}).await;
    let agent = lab.agent();
    let known = "1.3.6.1.2.1.1.1.0";
    let output = run("snmpget", &["-v1", "-c", "public", "-Cf"], agent, &[known, "1.3.6.1.2.1.43.99.1.0"]).await;
    let told = error(&output);
    assert!(!output.status.success() && told.contains("noSuchName"), "{told}");
    assert!(told.contains("43.99.1.0"), "the index tells which: {told}");
    for version in [&["-v2c", "-c", "public"][..], &["-v3", "-u", "noauth", "-l", "noAuthNoPriv"]] {
        let options = [version, &["-t", "0.2", "-r", "0"]].concat();
        let told = error(&run("snmpget", &options, agent, &[known]).await);
        assert!(told.contains("Timeout") || told.contains("No response"), "{told}");
    }
}

#[tokio::test]
async fn version_2c_answers_what_it_knows_and_marks_the_rest() {
    let lab = printer("office-colour", |_| {}).await;
    let oids = ["1.3.6.1.2.1.1.5.0", "1.3.6.1.2.1.43.99.1.0", "1.3.6.1.2.1.43.5.1.1.17.9"];
    let output = run("snmpget", &["-v2c", "-c", "public"], lab.agent(), &oids).await;
    let lines = crate::tools::lines(&output);
    assert!(lines[0].1.starts_with("Hex-STRING"), "{lines:?}");
    assert!(lines[1].1.contains("No Such Object"), "{lines:?}");
    assert!(lines[2].1.contains("No Such Instance"), "{lines:?}");
    let set = run("snmpset", &["-v2c", "-c", "public"], lab.agent(), &["1.3.6.1.2.1.43.5.1.1.3.1", "i", "4"]).await;
    assert!(error(&set).contains("notWritable"), "{}", error(&set));
}

#[tokio::test]
async fn a_small_agent_says_too_big_and_a_walk_still_works() {
    let lab = printer("old-mono", |_| {}).await;
    let agent = lab.agent();
    let many: Vec<String> = (1..=9).flat_map(|_| ["1.3.6.1.2.1.1.1.0".to_owned()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let told = error(&run("snmpget", &["-v1", "-c", "public", "-Cf"], agent, &many).await);
    assert!(told.contains("tooBig"), "{told}");
    // A small agent of version 2c cuts its GetBulk answers short.
    let lab = printer("mono-laser", |_| {}).await;
    assert!(walk(lab.agent(), "1.3.6.1.2.1.43").await.len() > 50);
}

#[tokio::test]
async fn a_printer_that_is_off_is_silent_and_comes_back_at_the_same_port_with_a_new_clock() {
    let lab = printer("office-colour", |_| {}).await;
    let agent = lab.agent();
    let up_time = async || get(agent, "1.3.6.1.2.1.1.3.0").await.parse::<u32>().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while up_time().await < 50 {
        assert!(std::time::Instant::now() < deadline, "its clock does not go");
    }
    lab.office.power_off("P").await.unwrap();
    let told =
        error(&run("snmpget", &["-v2c", "-c", "public", "-t", "0.2", "-r", "0"], agent, &["1.3.6.1.2.1.1.3.0"]).await);
    assert!(told.contains("Timeout") || told.contains("refused"), "{told}");
    let on = std::time::Instant::now();
    lab.office.power_on("P").await.unwrap();
    assert_eq!(lab.agent(), agent);
    let (up, elapsed) = (u128::from(up_time().await) * 10, on.elapsed().as_millis());
    assert!(up <= elapsed, "it counts from 0 again: up {up} ms, {elapsed} ms after it was switched on");
}

#[tokio::test]
async fn printers_behind_a_print_server_are_rows_of_one_agent() {
    let printers = printers_of(3, profiles::profile("print-server"), [127, 0, 85, 30].into());
    let names: Vec<String> = printers.iter().map(|spec| spec.name.clone()).collect();
    let lab = crate::tools::office(printers).await;
    let agent = lab.agent();
    let walked = walk_v1(agent, "1.3.6.1.2.1").await;
    let of_kind = |(oid, value): (&String, &String)| {
        let row = oid.strip_prefix("1.3.6.1.2.1.25.3.2.1.2.")?;
        (value == "OID: .1.3.6.1.2.1.25.3.1.5").then(|| row.to_owned())
    };
    let devices: Vec<String> = walked.iter().filter_map(of_kind).collect();
    assert_eq!(devices, ["1", "2", "3"]);
    let told: BTreeSet<&String> = (1..=3).map(|device| &walked[&format!("1.3.6.1.2.1.43.5.1.1.16.{device}")]).collect();
    assert_eq!(told.len(), 3, "each has its name: {told:?}");

    // What is wrong with one is told of that one.
    lab.office.set_fault(&names[1], "out-of-paper".parse().unwrap()).unwrap();
    let walked = walk_v1(agent, "1.3.6.1.2.1").await;
    let state = |device: u32| octets(&walked[&format!("1.3.6.1.2.1.25.3.5.1.2.{device}")])[0] & 0x40;
    assert_eq!([state(1), state(2), state(3)], [0, 0x40, 0]);
    let alerts: Vec<_> = walked.keys().filter(|oid| oid.starts_with("1.3.6.1.2.1.43.18.1.1.7.")).collect();
    assert!(alerts.iter().any(|oid| oid.starts_with("1.3.6.1.2.1.43.18.1.1.7.2.")), "{alerts:?}");
    assert_eq!(walked.keys().filter(|oid| oid.starts_with("1.3.6.1.2.1.43.10.2.1.4.")).count(), 3);
}

async fn walk_v1(agent: SocketAddr, oid: &str) -> BTreeMap<String, String> {
    let output = run("snmpwalk", &["-v1", "-c", "public"], agent, &[oid]).await;
    assert!(output.status.success(), "{}", error(&output));
    crate::tools::lines(&output).into_iter().collect()
}

#[tokio::test]
async fn a_sleeping_printer_is_silent_slow_or_stale_as_its_kind_is() {
    let quick = ["-v2c", "-c", "public", "-t", "0.3", "-r", "0"];
    // Says nothing.
    let lab = printer("inkjet", |_| {}).await;
    lab.office.order("P", Order::Sleep).await.unwrap();
    let told = error(&run("snmpget", &quick, lab.agent(), &["1.3.6.1.2.1.1.5.0"]).await);
    assert!(told.contains("Timeout"), "{told}");
    lab.office.order("P", Order::Wake).await.unwrap();
    get(lab.agent(), "1.3.6.1.2.1.1.5.0").await;

    // Answers late, and does not know of the door that was opened meanwhile.
    let lab = printer("mono-laser", |_| {}).await;
    let cover = "1.3.6.1.2.1.43.6.1.1.3.1.1";
    assert_eq!(get(lab.agent(), cover).await, "INTEGER: 4");
    lab.office.order("P", Order::Sleep).await.unwrap();
    let told = error(&run("snmpget", &quick, lab.agent(), &[cover]).await);
    assert!(told.contains("Timeout"), "{told}");
    set(&lab, "door-open").await;
    assert_eq!(get(lab.agent(), cover).await, "INTEGER: 4");
    lab.office.order("P", Order::Wake).await.unwrap();
    assert_eq!(get(lab.agent(), cover).await, "INTEGER: 3");

    // Answers as ever, and says that it is on standby: running and other.
    let lab = printer("office-colour", |_| {}).await;
    set(&lab, "toner-level:yellow:60").await;
    assert_eq!(get(lab.agent(), PRINTER_STATUS).await, "INTEGER: 3");
    lab.office.order("P", Order::Sleep).await.unwrap();
    assert_eq!(get(lab.agent(), PRINTER_STATUS).await, "INTEGER: 1");
    assert_eq!(get(lab.agent(), DEVICE_STATUS).await, "INTEGER: 2");
}
