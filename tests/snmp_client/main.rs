//! The SNMP client against net-snmp's agent and against agents that misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

#[path = "../common/mod.rs"]
mod common;
mod hostile;

use async_snmp::{AuthProtocol, PrivProtocol};
use common::gateway::printgate;
use common::process;
use common::snmpd::{Access, COLOUR_LASER, Snmpd};
use printgate::domain::state::{Level, Observation, PrinterStateEnum};
use printgate::snmp::client::{Client, Error, Login, Patience, User};
use std::net::Ipv4Addr;

pub(crate) async fn client(communities: &[&str]) -> Client {
    Client::open(communities.iter().map(|community| Login::Community((*community).to_owned())).collect()).await.unwrap()
}

/// The colour laser, whichever way it was asked.
fn assert_colour_laser(o: &Observation) {
    let e = &o.evidence;
    assert_eq!(
        (e.make.as_deref(), e.model.as_deref(), e.serial.as_deref()),
        (Some("HP"), Some("Color LaserJet M452nw"), Some("VNB3R12345"))
    );
    assert_eq!((o.printer_state, o.location.as_deref()), (Some(PrinterStateEnum::Idle), Some("Room 1")));
    assert_eq!(o.reasons, ["toner-low-warning"], "the alert, and not the bit once more");
    let supplies: Vec<_> = o.supplies.iter().map(|s| (s.key.as_str(), s.level, s.receptacle)).collect();
    assert_eq!(
        supplies,
        [
            ("black-toner", Level::Known(63), false),
            ("cyan-toner", Level::Known(5), false),
            ("waste-toner", Level::SomeRemaining, true)
        ]
    );
    assert_eq!(o.supplies[1].raw_level, Some(115));
    assert_eq!(o.counters.impressions, Some(4711));
    let tray = &o.trays[0];
    assert_eq!((tray.name.as_str(), tray.level, tray.capacity), ("Tray 2", Level::SomeRemaining, Some(250)));
    assert_eq!(tray.media.as_deref(), Some("iso_a4_210x297mm"));
    assert_eq!(o.capabilities.formats, ["application/vnd.hp-pcl", "application/postscript"]);
}

#[tokio::test]
async fn version_2c_with_what_snmpget_reads_from_the_same_agent() {
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::Community, COLOUR_LASER);
    let (o, how) = client(&["public"]).await.poll(snmpd.address(), Patience::Long).await.unwrap();
    assert_colour_laser(&o);
    println!("{how:?}");
    assert_eq!((how.login.as_str(), how.context), ("SNMPv2c", None));
    assert!(how.requests <= 24, "{how:?}");
    let theirs = snmpd.snmpget(&["-v2c", "-c", "public"], ".1.3.6.1.2.1.43.10.2.1.4.3.1");
    assert_eq!(Some(theirs.parse().unwrap()), o.counters.impressions);
}

#[test]
fn probe_shows_what_the_agent_says() {
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::Community, COLOUR_LASER);
    let uri = format!("snmp://{}", snmpd.address());
    let text = process::run(&mut printgate(&["probe", &uri], &[]));
    for shown in ["VNB3R12345", "63 %", "4711 impressions", "toner-low-warning", "SNMPv2c"] {
        assert!(text.contains(shown), "{shown} in\n{text}");
    }
    let json = process::run(&mut printgate(&["probe", "--json", &uri], &[]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["login"], &json["observation"]["source"]), (&"SNMPv2c".into(), &"snmp".into()));
    assert_eq!(json["observation"]["supplies"][1]["raw_level"], 115);
    let wrong = printgate(&["probe", "--json", "--timeout", "2", "--community", "office", &uri], &[]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stdout).contains("error"));
    assert_eq!(printgate(&["probe", "snmp://a b"], &[]).output().unwrap().status.code(), Some(2));
}

#[tokio::test]
async fn version_1_where_nothing_else_is_answered_and_it_is_remembered() {
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::V1Only, COLOUR_LASER);
    let client = client(&["public"]).await;
    let (o, how) = client.poll(snmpd.address(), Patience::Long).await.unwrap();
    assert_colour_laser(&o);
    assert_eq!(how.login, "SNMPv1");
    let (again, how) = client.poll(snmpd.address(), Patience::Long).await.unwrap();
    assert_colour_laser(&again);
    println!("{how:?}");
    let theirs = snmpd.snmpget(&["-v1", "-c", "public"], ".1.3.6.1.2.1.43.5.1.1.17.3");
    assert_eq!(theirs.trim_matches('"'), "VNB3R12345");
}

#[tokio::test]
async fn version_3_with_authentication_and_privacy() {
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::User, COLOUR_LASER);
    let user = |auth: &str, privacy: &str| {
        let user = User::new("monitor", Some((AuthProtocol::Sha256, auth)), Some((PrivProtocol::Aes128, privacy)));
        Login::User(user.unwrap())
    };
    let logins = vec![Login::Community("public".into()), user("authsecret", "privsecret")];
    let client = Client::open(logins).await.unwrap();
    let (o, how) = client.poll(snmpd.address(), Patience::Long).await.unwrap();
    assert_colour_laser(&o);
    assert_eq!(how.login, "SNMPv3 user monitor");
    let theirs = [
        "-v3",
        "-u",
        "monitor",
        "-l",
        "authPriv",
        "-a",
        "SHA-256",
        "-A",
        "authsecret",
        "-x",
        "AES",
        "-X",
        "privsecret",
    ];
    assert_eq!(snmpd.snmpget(&theirs, ".1.3.6.1.2.1.43.10.2.1.4.3.1"), "4711");

    let wrong = Client::open(vec![user("not this one", "privsecret")]).await.unwrap();
    let error = wrong.poll(snmpd.address(), Patience::Short).await.unwrap_err();
    println!("{error}");
    // The agent's complaint is not signed, so it counts for nothing: to us it is silence.
    assert!(matches!(&error, Error::Silent { tried, .. } if tried.contains("monitor")), "{error:?}");
    assert!(!error.to_string().contains("not this one"));
}

#[tokio::test]
async fn the_community_that_works_is_found_among_several() {
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::Community, COLOUR_LASER);
    let (o, _) = client(&["office", "public"]).await.poll(snmpd.address(), Patience::Long).await.unwrap();
    assert_colour_laser(&o);
    let error = client(&["office"]).await.poll(snmpd.address(), Patience::Short).await.unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert!(!error.to_string().contains("office"), "{error}");
}

#[tokio::test]
async fn an_agent_without_a_printer_is_told_from_a_printer() {
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::Community, &COLOUR_LASER[..1]);
    let error = client(&["public"]).await.poll(snmpd.address(), Patience::Long).await.unwrap_err();
    assert!(
        matches!(&error, Error::NoPrinter { description, .. } if description == "A printer of the tests"),
        "{error}"
    );
}
