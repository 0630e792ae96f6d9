//! Recordings walk out as they are: every capture of the corpus, by every version.

use crate::tools::{error, lines, run};
use printgate::simulate::snmp::{Access, RecordAgent, Recording, recorded_printers};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What net-snmp is to print of one line of a recording; `None` for what version 1 cannot carry.
fn expected(tag: &str, value: &str, version: &str) -> Option<String> {
    let hex = |octets: &[u8]| {
        if octets.is_empty() {
            return "\"\"".to_owned();
        }
        let octets: Vec<String> = octets.iter().map(|octet| format!("{octet:02X}")).collect();
        format!("Hex-STRING: {}", octets.join(" "))
    };
    Some(match tag {
        "2" => format!("INTEGER: {value}"),
        "4" => hex(value.as_bytes()),
        "4x" => {
            let digits: Vec<char> = value.chars().collect();
            let octet = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
            hex(&digits.chunks(2).map(octet).collect::<Vec<u8>>())
        }
        "5" => "NULL".to_owned(),
        "6" => format!("OID: .{}", value.trim_start_matches('.')),
        "64" => format!("IpAddress: {value}"),
        "65" => format!("Counter32: {value}"),
        "66" => format!("Gauge32: {value}"),
        "67" => value.to_owned(),
        "70" if version == "-v1" => return None,
        "70" => format!("Counter64: {value}"),
        other => panic!("a tag that the corpus did not have: {other}"),
    })
}

/// The objects of a file in their order, as net-snmp prints them. Read here, not by what is tested.
fn objects(file: &Path, version: &str) -> Vec<(String, String)> {
    let content = std::fs::read_to_string(file).unwrap();
    let mut sorted: BTreeMap<Vec<u32>, (String, String)> = BTreeMap::new();
    for line in content.lines().filter(|line| !line.is_empty()) {
        let [oid, tag, value] = line.splitn(3, '|').collect::<Vec<_>>().try_into().unwrap();
        let key = oid.split('.').map(|arc| arc.parse().unwrap()).collect();
        if let Some(value) = expected(tag, value, version) {
            sorted.entry(key).or_insert((oid.to_owned(), value));
        }
    }
    sorted.into_values().collect()
}

/// Every capture, context files apart.
fn captures() -> Option<Vec<PathBuf>> {
    let corpus = std::env::var_os("PRINTGATE_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"), PathBuf::from);
    if !corpus.is_dir() {
        println!("SKIPPED: no corpus at {} (set PRINTGATE_CORPUS)", corpus.display());
        return None;
    }
    let captures = Recording::in_directory(&corpus.join("snmp")).unwrap();
    assert!(!captures.is_empty());
    Some(captures)
}

async fn serve(file: &Path) -> RecordAgent {
    let (recording, bad) = Recording::load(file).unwrap();
    assert_eq!(bad, [], "{}", file.display());
    RecordAgent::start(Arc::new(recording), Access::default(), ([127, 0, 0, 1], 0).into()).await.unwrap()
}

/// Walks an agent from the root; net-snmp ends it with a line about the end of the view, or an empty one.
async fn walk(agent: &RecordAgent, command: &str, options: &[&str]) -> Vec<(String, String)> {
    let output = run(command, options, agent.address(), &[".1"]).await;
    assert!(output.status.success(), "{}", error(&output));
    let mut lines = lines(&output);
    lines.retain(|(_, value)| !value.starts_with("No more variables left"));
    lines
}

fn same(walked: &[(String, String)], expected: &[(String, String)], what: &str) {
    if let Some((got, wanted)) = walked.iter().zip(expected).find(|(got, wanted)| got != wanted) {
        panic!("{what}: walked {got:?}, recorded {wanted:?}");
    }
    assert_eq!(walked.len(), expected.len(), "{what}");
}

#[tokio::test]
async fn every_capture_walks_out_identical_over_v2c() {
    for file in captures().unwrap_or_default() {
        let agent = serve(&file).await;
        let walked = walk(&agent, "snmpbulkwalk", &["-v2c", "-c", "public"]).await;
        same(&walked, &objects(&file, "-v2c"), &file.display().to_string());
        agent.stop().await;
    }
}

#[tokio::test]
async fn every_capture_walks_out_identical_over_v1_but_for_counter64() {
    for file in captures().unwrap_or_default() {
        let agent = serve(&file).await;
        let walked = walk(&agent, "snmpwalk", &["-v1", "-c", "public"]).await;
        same(&walked, &objects(&file, "-v1"), &file.display().to_string());
        agent.stop().await;
    }
}

#[tokio::test]
async fn captures_walk_out_identical_over_v3() {
    for file in captures().unwrap_or_default().into_iter().step_by(7) {
        let agent = serve(&file).await;
        let user = ["-v3", "-l", "authPriv", "-u", "priv-aes", "-a", "SHA", "-A", "authentication", "-x", "AES"];
        let options = [user.as_slice(), &["-X", "privacy-of-print"]].concat();
        let walked = walk(&agent, "snmpbulkwalk", &options).await;
        same(&walked, &objects(&file, "-v3"), &file.display().to_string());
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_context_is_reached_by_community_and_by_context_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jet.snmprec");
    std::fs::write(&file, "1.3.6.1.2.1.1.1.0|4|plain\n").unwrap();
    std::fs::write(directory.path().join("jet@Jetdirect.snmprec"), "1.3.6.1.2.1.1.1.0|4x|00ff\n").unwrap();
    let agent = serve(&file).await;
    let sys_descr = "1.3.6.1.2.1.1.1.0";
    let ask = async |options: &[&str]| {
        let output = run("snmpget", options, agent.address(), &[sys_descr]).await;
        if output.status.success() { lines(&output).pop().unwrap().1 } else { error(&output) }
    };
    let plain = "Hex-STRING: 70 6C 61 69 6E";
    let inside = "Hex-STRING: 00 FF";
    assert_eq!(ask(&["-v2c", "-c", "public"]).await, plain);
    assert_eq!(ask(&["-v2c", "-c", "public@Jetdirect"]).await, inside);
    assert_eq!(ask(&["-v1", "-c", "Jetdirect"]).await, inside);
    let user = ["-v3", "-l", "authNoPriv", "-u", "auth-md5", "-a", "MD5", "-A", "authentication"];
    assert_eq!(ask(&user).await, plain);
    assert_eq!(ask(&[&user[..], &["-n", "Jetdirect"]].concat()).await, inside);
    let unknown = ask(&[&user[..], &["-n", "Elsewhere"]].concat()).await;
    assert!(unknown.contains("Bad context"), "{unknown}");
    let nobody = ask(&["-v2c", "-c", "public@Elsewhere", "-t", "0.2", "-r", "0"]).await;
    assert!(nobody.contains("Timeout"), "{nobody}");
    agent.stop().await;
}

#[tokio::test]
async fn a_directory_of_recordings_is_an_office_of_agents() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("first.snmprec", "1.3.6.1.2.1.1.5.0|4x|01\n");
    write("first@Inside.snmprec", "1.3.6.1.2.1.1.5.0|4x|02\n");
    write("second.snmprec", "1.3.6.1.2.1.1.5.0|4x|03\nnonsense\n");
    let printers = recorded_printers(&[directory.path().to_owned()], [127, 0, 85, 20].into()).unwrap();
    let lab = crate::tools::office(printers).await;
    let agents: Vec<_> =
        lab.office.printers().iter().map(|printer| (printer.name.clone(), printer.snmp.unwrap())).collect();
    assert_eq!(agents.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    let sys_name = "1.3.6.1.2.1.1.5.0";
    assert_eq!(crate::tools::get(agents[0].1, sys_name).await, "Hex-STRING: 01");
    assert_eq!(crate::tools::get(agents[1].1, sys_name).await, "Hex-STRING: 03");
    let inside = run("snmpget", &["-v2c", "-c", "public@Inside"], agents[0].1, &[sys_name]).await;
    assert_eq!(lines(&inside).pop().unwrap().1, "Hex-STRING: 02");
    // Faults reach it like any other.
    lab.office.set_fault("second", "snmp-gen-err".parse().unwrap()).unwrap();
    let output = run("snmpget", &["-v2c", "-c", "public", "-Cf"], agents[1].1, &[sys_name]).await;
    assert!(error(&output).contains("genError"), "{}", error(&output));
    lab.office.shutdown().await;
}
