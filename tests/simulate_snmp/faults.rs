//! Every fault of an agent as net-snmp meets it.

use crate::tools::{Lab, error, lines, octets, printer, run};
use std::process::Output;
use std::time::{Duration, Instant};

const SYS_NAME: &str = "1.3.6.1.2.1.1.5.0";
const LIFE_COUNT: &str = "1.3.6.1.2.1.43.10.2.1.4.1.1";
const QUICK: [&str; 7] = ["-v2c", "-c", "public", "-t", "0.3", "-r", "0"];

async fn with(fault: &str) -> Lab {
    let lab = printer("office-colour", |_| {}).await;
    lab.office.set_fault("P", fault.parse().unwrap()).unwrap();
    lab
}

async fn get(lab: &Lab, oids: &[&str]) -> Output {
    run("snmpget", &QUICK, lab.agent(), oids).await
}

/// No answer that net-snmp takes, and one again when the fault is cleared.
async fn no_answer(fault: &str) {
    let lab = with(fault).await;
    let output = get(&lab, &[SYS_NAME]).await;
    assert!(!output.status.success() && error(&output).contains("Timeout"), "{fault}: {}", error(&output));
    let kind = fault.split(':').next().unwrap();
    assert!(lab.office.clear_fault("P", Some(kind)).unwrap());
    let output = get(&lab, &[SYS_NAME]).await;
    assert!(output.status.success(), "{fault} is cleared: {}", error(&output));
}

#[tokio::test]
async fn silent() {
    no_answer("snmp-silent").await;
}

#[tokio::test]
async fn garbage() {
    no_answer("snmp-garbage").await;
}

#[tokio::test]
async fn truncated() {
    no_answer("snmp-truncated").await;
}

#[tokio::test]
async fn wrong_id() {
    no_answer("snmp-wrong-id").await;
}

#[tokio::test]
async fn slow() {
    no_answer("snmp-slow:1500").await;
    let lab = with("snmp-slow:700").await;
    let began = Instant::now();
    let output = run("snmpget", &["-v2c", "-c", "public", "-t", "20", "-r", "0"], lab.agent(), &[SYS_NAME]).await;
    assert!(output.status.success(), "{}", error(&output));
    assert!(began.elapsed() >= Duration::from_millis(700));
}

#[tokio::test]
async fn looping() {
    let lab = with("snmp-loop").await;
    let walk = run("snmpwalk", &["-v2c", "-c", "public"], lab.agent(), &["1.3.6.1.2.1.43.11"]).await;
    assert!(error(&walk).contains("OID not increasing"), "{}", error(&walk));
    // Without that check it would go on for ever: the same rows come again.
    let bulk =
        run("snmpbulkget", &["-v2c", "-c", "public", "-Cn0", "-Cr12"], lab.agent(), &["1.3.6.1.2.1.43.11.1.1.9.1.1"]);
    let rows: Vec<String> = lines(&bulk.await).into_iter().map(|(oid, _)| oid).collect();
    assert_eq!(rows.len(), 12);
    assert!(rows.iter().filter(|oid| oid.ends_with(".9.1.1")).count() >= 2, "{rows:?}");
    let system = run("snmpwalk", &["-v2c", "-c", "public"], lab.agent(), &["1.3.6.1.2.1.1"]).await;
    assert!(system.status.success(), "the system group is as ever");
}

#[tokio::test]
async fn gen_err() {
    let lab = with("snmp-gen-err").await;
    let output = run("snmpget", &[&QUICK[..], &["-Cf"]].concat(), lab.agent(), &[SYS_NAME]).await;
    assert!(error(&output).contains("genError"), "{}", error(&output));
}

#[tokio::test]
async fn too_big() {
    let lab = with("snmp-too-big").await;
    let output = run("snmpget", &[&QUICK[..], &["-Cf"]].concat(), lab.agent(), &[SYS_NAME]).await;
    assert!(error(&output).contains("tooBig"), "{}", error(&output));
}

#[tokio::test]
async fn wrong_count() {
    let lab = with("snmp-wrong-count").await;
    let output = get(&lab, &[SYS_NAME, LIFE_COUNT]).await;
    assert_eq!(lines(&output).len(), 1, "{}", error(&output));
}

#[tokio::test]
async fn wrong_type() {
    let lab = with("snmp-wrong-type").await;
    let value = lines(&get(&lab, &[LIFE_COUNT]).await).pop().unwrap().1;
    let text = String::from_utf8(octets(&value)).unwrap();
    assert!(text.parse::<u32>().is_ok(), "{value}");
}
