//! Who an agent is, asked on the wire: the captures of the corpus served by an agent, the datagrams counted by a relay
//! between the two, and net-snmp's agent.
//!
//! What needs the corpus skips, and says so, without it (`PRINTGATE_CORPUS`, or `../shared/corpus`).
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

use async_snmp::{AuthProtocol, PrivProtocol};
use common::relay::Relay;
use common::snmpd::{Access, COLOUR_LASER, Snmpd};
use printgate::domain::endpoint::EndpointKind;
use printgate::domain::identity;
use printgate::simulate::snmp::{RecordAgent, Recording};
use printgate::snmp::client::{Client, Error, FORGET_AFTER, IDENTIFY_DEADLINE, Login, Patience, User};
use printgate::snmp::decode::{self, Channel, Identified};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;
use tokio::net::UdpSocket;

async fn client() -> Client {
    Client::open(vec![Login::Community("public".to_owned())]).await.unwrap()
}

fn captures() -> Vec<PathBuf> {
    let corpus = std::env::var_os("PRINTGATE_CORPUS").map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from);
    if !corpus.is_dir() {
        println!("SKIPPED: no corpus at {}", corpus.display());
        return vec![];
    }
    let captures = Recording::in_directory(&corpus.join("snmp")).unwrap();
    assert!(!captures.is_empty());
    captures
}

async fn serve(file: &Path) -> RecordAgent {
    let (recording, _) = Recording::load(file).unwrap();
    let access = printgate::simulate::snmp::Access::default();
    RecordAgent::start(Arc::new(recording), access, ([127, 0, 0, 1], 0).into()).await.unwrap()
}

fn name(file: &Path) -> String {
    file.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Whether a capture says what SNMPv2-MIB asks of every agent.
fn has_system_group(file: &Path) -> bool {
    std::fs::read_to_string(file).unwrap().lines().any(|line| line.starts_with("1.3.6.1.2.1.1."))
}

#[tokio::test]
async fn every_capture_is_told_with_few_requests_and_as_a_poll_tells_it() {
    let (mut printers, mut others, mut most) = (0, 0, 0);
    for file in captures() {
        let name = name(&file);
        // Without a system group the other versions are tried too.
        let more = if has_system_group(&file) { 0 } else { 5 };
        let agent = serve(&file).await;
        let relay = Relay::start(agent.address(), false).await;
        let client = client().await;
        let told =
            client.identify(relay.address, Patience::Long).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let asked = relay.asked();
        println!("{name}: {} ({}), {asked} requests, {:?}", told.printer, told.why, told.channels);
        if told.printer {
            printers += 1;
            assert!(asked <= 7 + more, "{name}: {asked} requests");
        } else {
            others += 1;
            assert!(asked <= 3 + more, "{name}: {asked} requests for what is no printer");
        }
        most = most.max(asked);
        // As a whole poll sees it.
        let (mib, _) = client.read(relay.address, Patience::Long).await.unwrap();
        let polled = decode::identified(&mib);
        assert_eq!(told.printer, polled.printer, "{name}");
        assert_eq!(identity::canonical(&told.evidence), identity::canonical(&polled.evidence), "{name}");
        assert_eq!(
            (&told.name, &told.location, &told.firmware),
            (&polled.name, &polled.location, &polled.firmware),
            "{name}"
        );
        agent.stop().await;
    }
    println!("{printers} printers, {others} others, at most {most} requests");
}

#[tokio::test]
async fn version_1_tells_the_same_with_more_requests() {
    for file in captures() {
        let name = name(&file);
        let agent = serve(&file).await;
        let (new, old) = (Relay::start(agent.address(), false).await, Relay::start(agent.address(), true).await);
        let told = client().await.identify(new.address, Patience::Long).await.unwrap();
        let (told_old, how) = client().await.identify_how(old.address, Patience::Long).await.unwrap();
        assert_eq!(how.login, "SNMPv1", "{name}");
        let asked = old.asked();
        println!("{name}: {asked} requests");
        assert!(asked <= 40, "{name}: {asked} requests");
        assert_eq!(identity::canonical(&told.evidence), identity::canonical(&told_old.evidence), "{name}");
        assert_eq!((told.printer, &told.channels), (told_old.printer, &told_old.channels), "{name}");
        agent.stop().await;
    }
}

fn colour_laser_with(
    rows: &[(&'static str, &'static str, &'static str)],
) -> Vec<(&'static str, &'static str, &'static str)> {
    COLOUR_LASER.iter().chain(rows).copied().collect()
}

fn assert_colour_laser(told: &Identified) {
    let e = &told.evidence;
    assert_eq!(
        (e.make.as_deref(), e.model.as_deref(), e.serial.as_deref()),
        (Some("HP"), Some("Color LaserJet M452nw"), Some("VNB3R12345"))
    );
    assert_eq!((told.name.as_deref(), told.location.as_deref()), (Some("NPI1234"), Some("Room 1")));
}

/// net-snmp's agent lists ways to print with its own ports, queues and addresses, some of which are lies.
#[tokio::test]
async fn the_ways_to_print_are_those_of_prt_channel_table() {
    let channels = [
        (".1.3.6.1.2.1.43.14.1.1.2.3.1", "integer", "8"),
        (".1.3.6.1.2.1.43.14.1.1.2.3.2", "integer", "11"),
        (".1.3.6.1.2.1.43.14.1.1.2.3.3", "integer", "37"),
        (".1.3.6.1.2.1.43.14.1.1.2.3.4", "integer", "44"),
        (".1.3.6.1.2.1.43.14.1.1.2.3.5", "integer", "37"),
        (".1.3.6.1.2.1.43.14.1.1.2.3.6", "integer", "44"),
        (".1.3.6.1.2.1.43.14.1.1.2.3.7", "integer", "34"),
        (".1.3.6.1.2.1.43.14.1.1.2.3.8", "integer", "37"),
        (".1.3.6.1.2.1.43.14.1.1.2.3.9", "integer", "37"),
        (".1.3.6.1.2.1.43.14.1.1.2.3.10", "integer", "8"),
        // Takes no data.
        (".1.3.6.1.2.1.43.14.1.1.6.3.2", "integer", "4"),
        (".1.3.6.1.2.1.43.14.1.1.9.3.1", "string", "Queue=PASSTHRU"),
        (".1.3.6.1.2.1.43.14.1.1.9.3.3", "string", "Port=9101"),
        (".1.3.6.1.2.1.43.14.1.1.9.3.4", "string", "URI=ipps://printer.example:443/ipp/port2"),
        (".1.3.6.1.2.1.43.14.1.1.9.3.5", "string", "Port=0"),
        // Printing over IPP on a port that prints whatever comes.
        (".1.3.6.1.2.1.43.14.1.1.9.3.6", "string", "URI=ipp://printer.example:9100/ipp"),
        (".1.3.6.1.2.1.43.14.1.1.9.3.8", "string", "Port=22"),
        (".1.3.6.1.2.1.43.14.1.1.9.3.9", "string", "Port=99999"),
        (".1.3.6.1.2.1.43.14.1.1.9.3.10", "string", "Port=1515"),
    ];
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::Community, &colour_laser_with(&channels));
    let told = client().await.identify(snmpd.address(), Patience::Long).await.unwrap();
    assert_colour_laser(&told);
    let channel = |kind, port, path: &str| Channel { kind, port, path: path.to_owned() };
    assert_eq!(
        told.channels,
        [
            channel(EndpointKind::Lpd, 515, "/PASSTHRU"),
            channel(EndpointKind::AppSocket, 9_101, ""),
            channel(EndpointKind::Ipps, 443, "/ipp/port2"),
            channel(EndpointKind::Lpd, 1_515, "/auto"),
        ]
    );
    assert_eq!(snmpd.snmpget(&["-v2c", "-c", "public"], ".1.3.6.1.2.1.43.14.1.1.9.3.3").trim_matches('"'), "Port=9101");
}

#[tokio::test]
async fn version_1_and_version_3_of_another_agent_say_the_same() {
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::V1Only, COLOUR_LASER);
    let told = client().await.identify(snmpd.address(), Patience::Long).await.unwrap();
    assert_colour_laser(&told);
    drop(snmpd);
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::User, COLOUR_LASER);
    let auth = Some((AuthProtocol::Sha256, "authsecret"));
    let user = User::new("monitor", auth, Some((PrivProtocol::Aes128, "privsecret")));
    let client = Client::open(vec![Login::User(user.unwrap())]).await.unwrap();
    assert_colour_laser(&client.identify(snmpd.address(), Patience::Long).await.unwrap());
}

/// An agent that lists devices without a printer among them is asked no more.
#[tokio::test]
async fn what_is_no_printer_costs_two_requests() {
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::Community, &COLOUR_LASER[..1]);
    let relay = Relay::start(snmpd.address(), false).await;
    let told = client().await.identify(relay.address, Patience::Long).await.unwrap();
    assert!(!told.printer, "{told:?}");
    assert_eq!(told.why.to_string(), "it lists its devices, and none is a printer (hrDeviceTable)");
    assert_eq!(relay.asked(), 2);
}

/// What a [`Moody`] agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Mood {
    /// Answers everything to `public`.
    Well,
    /// Answers Get only.
    Stalling,
    /// Answers to `office` instead of `public`.
    Renamed,
}

/// Passes datagrams to an agent and its answers back, as its mood is.
struct Moody {
    address: SocketAddr,
    mood: Arc<AtomicU8>,
    task: tokio::task::JoinHandle<()>,
}

impl Moody {
    async fn start(agent: SocketAddr) -> Moody {
        let inside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = inside.local_addr().unwrap();
        let outside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        outside.connect(agent).await.unwrap();
        let mood = Arc::new(AtomicU8::new(Mood::Well as u8));
        let now = mood.clone();
        let task = tokio::spawn(async move {
            let (mut question, mut answer) = (vec![0; 65_535], vec![0; 65_535]);
            let mut client = None;
            loop {
                tokio::select! {
                    got = inside.recv_from(&mut question) => {
                        let (length, from) = got.unwrap();
                        let question = &mut question[..length];
                        let mood = now.load(Ordering::SeqCst);
                        let community: &[u8] = if mood == Mood::Renamed as u8 { b"office" } else { b"public" };
                        let Some(at) = question.windows(6).position(|six| six == community) else { continue };
                        // The PDU's type comes behind the community.
                        if mood == Mood::Stalling as u8 && question[at + 6] != 0xA0 {
                            continue;
                        }
                        client = Some(from);
                        question[at..at + 6].copy_from_slice(b"public");
                        outside.send(question).await.unwrap();
                    }
                    got = outside.recv(&mut answer) => {
                        let Ok(length) = got else { continue };
                        let answer = &mut answer[..length];
                        if now.load(Ordering::SeqCst) == Mood::Renamed as u8 {
                            let at = answer.windows(6).position(|six| six == b"public").unwrap();
                            answer[at..at + 6].copy_from_slice(b"office");
                        }
                        inside.send_to(answer, client.unwrap()).await.unwrap();
                    }
                }
            }
        });
        Moody { address, mood, task }
    }

    fn is(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Nothing but its tables tells that this one is a printer.
#[tokio::test]
async fn a_printer_that_stalled_twice_is_still_a_printer() {
    let network_card = "HP ETHERNET MULTI-ENVIRONMENT";
    let snmpd = Snmpd::start_as(network_card, Ipv4Addr::LOCALHOST, 0, Access::Community, COLOUR_LASER);
    let agent = Moody::start(snmpd.address()).await;
    let client = client().await;
    assert!(client.identify(agent.address, Patience::Short).await.unwrap().printer);
    agent.is(Mood::Stalling);
    for _ in 0..2 {
        let told = client.identify(agent.address, Patience::Short).await;
        assert!(matches!(told, Err(Error::Stalled { .. })), "{told:?}");
    }
    agent.is(Mood::Well);
    let told = client.identify(agent.address, Patience::Short).await.unwrap();
    assert!(told.printer, "{told:?}");
    assert_eq!(told.evidence.serial.as_deref(), Some("VNB3R12345"));
}

#[tokio::test]
async fn another_community_is_found_after_some_questions_in_vain() {
    let snmpd = Snmpd::start(Ipv4Addr::LOCALHOST, 0, Access::Community, COLOUR_LASER);
    let agent = Moody::start(snmpd.address()).await;
    let logins = ["public", "office"].map(|community| Login::Community(community.to_owned()));
    let client = Client::open(logins.to_vec()).await.unwrap();
    assert!(client.identify(agent.address, Patience::Short).await.unwrap().printer);
    agent.is(Mood::Renamed);
    for _ in 0..FORGET_AFTER {
        let told = client.identify(agent.address, Patience::Short).await;
        assert!(matches!(told, Err(Error::Silent { .. })), "{told:?}");
    }
    assert!(client.identify(agent.address, Patience::Short).await.unwrap().printer);
}

/// As many logins as the configuration takes.
#[tokio::test]
async fn silence_is_silence_with_many_logins_too() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let user = |n: usize| Login::User(User::new(&format!("user{n}"), None, None).unwrap());
    let logins = (0..8).map(user).chain((0..8).map(|n| Login::Community(format!("community{n}"))));
    let client = Client::open(logins.collect()).await.unwrap();
    let begun = Instant::now();
    let error = client.identify(silent.local_addr().unwrap(), Patience::Long).await.unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert!(begun.elapsed() < IDENTIFY_DEADLINE, "{:?}", begun.elapsed());
}
