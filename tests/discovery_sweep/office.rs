//! Sweeps of simulated offices and of net-snmp's agent.

use super::common::snmpd::{Access as Who, COLOUR_LASER, Snmpd};
use super::common::{netns, process};
use super::{SWEEP, client, communities, networks, options, run, sweep};
use async_snmp::{AuthProtocol, PrivProtocol};
use mdns_sd::{ServiceDaemon, ServiceInfo};
use printgate::discovery::loopback_networks;
use printgate::discovery::mdns::{Mdns, MdnsOptions};
use printgate::discovery::print_places::PrintPlaces;
use printgate::discovery::sweep::Sweep;
use printgate::discovery::visit::{Place, Reason, Visited, visit};
use printgate::domain::endpoint::EndpointKind;
use printgate::domain::net::PrinterPolicy;
use printgate::domain::sighting::DiscoveryEvent;
use printgate::simulate::snmp::Access;
use printgate::simulate::{Office, OfficeConfig, PrinterSpec, profiles};
use printgate::snmp::client::{Client, Login, User};
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use tempfile::TempDir;
use tokio::net::UdpSocket;

/// An agent at 161, IPP at 631, no print ports.
pub(crate) fn printer(name: &str, address: [u8; 4], profile: &str) -> PrinterSpec {
    let mut spec = PrinterSpec::new(name, Ipv4Addr::from(address).into());
    spec.profile = profiles::profile(profile).unwrap();
    (spec.port, spec.snmp_port) = (631, Some(161));
    (spec.appsocket_port, spec.lpd_port) = (None, None);
    spec
}

pub(crate) async fn office(printers: Vec<PrinterSpec>) -> (Office, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let config = OfficeConfig {
        printers,
        out_dir: directory.path().to_owned(),
        mdns: None,
        seed: "sweep".to_owned(),
        control_socket: false,
    };
    (Office::start(config).await.unwrap(), directory)
}

#[test]
fn an_office_is_found_whatever_its_agents_speak() {
    netns::inside("office::an_office_is_found_whatever_its_agents_speak", || run(found()));
}

async fn found() {
    let mut other = printer("Other community", [127, 7, 0, 30], "office-colour");
    other.snmp_access = Access { communities: vec!["accounting".to_owned()], ..Access::default() };
    let printers =
        vec![printer("Colour", [127, 7, 0, 10], "office-colour"), printer("Old", [127, 7, 0, 20], "old-mono"), other];
    let (office, _directory) = office(printers).await;
    let users_only = Snmpd::start(Ipv4Addr::new(127, 7, 0, 40), 161, Who::User, COLOUR_LASER);
    let v1_only = Snmpd::start(Ipv4Addr::new(127, 7, 0, 50), 161, Who::V1Only, COLOUR_LASER);

    let user =
        User::new("monitor", Some((AuthProtocol::Sha256, "authsecret")), Some((PrivProtocol::Aes128, "privsecret")));
    let mut logins = communities(&["public", "accounting"]);
    logins.insert(0, Login::User(user.unwrap()));
    let mut source = Sweep::new(options(&["127.7.0.0/24"]), client(logins).await);
    let swept = sweep(&mut source).await;

    assert_eq!((swept.progress.addresses, swept.progress.answered, swept.progress.printers), (254, 5, 5));
    for address in ["127.7.0.10", "127.7.0.20", "127.7.0.30", "127.7.0.40", "127.7.0.50"] {
        let agent = swept.sighting(&format!("snmp:{address}"));
        assert_eq!((agent.endpoint.kind, agent.endpoint.port), (EndpointKind::Snmp, 161));
        assert_eq!(agent.endpoint.addresses, [address.parse::<std::net::IpAddr>().unwrap()]);
        assert!(agent.evidence.model.is_some(), "{agent:?}");
    }
    let laser = swept.sighting("snmp:127.7.0.40");
    assert_eq!(laser.evidence.serial.as_deref(), Some("VNB3R12345"));
    // IPP is there where it answers, with what it says of itself and what the agent says.
    let ipp = swept.sighting("snmp:127.7.0.10/ipp:631");
    assert_eq!((ipp.endpoint.kind, ipp.endpoint.path.as_str()), (EndpointKind::Ipp, "/ipp/print"));
    assert!(ipp.evidence.uuid.is_some() && ipp.evidence.serial.is_some(), "{:?}", ipp.evidence);
    assert!(!swept.keys().contains(&"snmp:127.7.0.40/ipp:631"));

    // The same again: nothing is lost. Then one falls silent, and is.
    assert_eq!(sweep(&mut source).await.lost, Vec::<String>::new());
    drop((users_only, v1_only));
    let after = sweep(&mut source).await;
    let mut lost = after.lost.clone();
    lost.sort();
    assert_eq!(lost, ["snmp:127.7.0.40", "snmp:127.7.0.50"]);
    assert_eq!(sweep(&mut source).await.lost, Vec::<String>::new(), "told once");
    office.shutdown().await;
}

#[test]
fn an_address_that_was_named_is_asked_over_ipp_too() {
    netns::inside("office::an_address_that_was_named_is_asked_over_ipp_too", || run(named()));
}

async fn named() {
    let mut silent = printer("No agent", [127, 7, 1, 10], "office-colour");
    silent.snmp_port = None;
    silent.tls = true;
    let mut both = printer("Both", [127, 7, 1, 20], "office-colour");
    (both.appsocket_port, both.lpd_port) = (Some(9_100), Some(0));
    let (office, _directory) = office(vec![silent, both, printer("IPP alone", [127, 7, 1, 21], "office-colour")]).await;
    let lpd = office.printers()[1].lpd.unwrap().port();
    let policy = PrinterPolicy { allowed: loopback_networks() };
    let client = client(communities(&["public"])).await;
    let ask = async |address: [u8; 4], client: Option<&Client>, reason| {
        let place = Place { address: Ipv4Addr::from(address).into(), scope_id: 0, port: 161 };
        match visit(client, &policy, &PrintPlaces::default(), place, reason).await {
            Visited::Printer(sightings) => sightings.into_iter().map(|seen| seen.key).collect(),
            other => vec![format!("{other:?}")],
        }
    };
    assert_eq!(
        ask([127, 7, 1, 10], Some(&client), Reason::Named).await,
        ["snmp:127.7.1.10/ipp:631", "snmp:127.7.1.10/ipps:631"]
    );
    assert_eq!(
        ask([127, 7, 1, 20], Some(&client), Reason::Named).await,
        [
            "snmp:127.7.1.20".to_owned(),
            "snmp:127.7.1.20/ipp:631".to_owned(),
            "snmp:127.7.1.20/appsocket:9100".to_owned(),
            format!("snmp:127.7.1.20/lpd:{lpd}/auto"),
        ]
    );
    // An agent lists what its printer listens for.
    assert_eq!(
        ask([127, 7, 1, 21], Some(&client), Reason::Named).await,
        ["snmp:127.7.1.21", "snmp:127.7.1.21/ipp:631"]
    );
    assert_eq!(ask([127, 7, 1, 20], None, Reason::Named).await, ["snmp:127.7.1.20/ipp:631"]);
    // With as many communities as there may be, too.
    let many = self::client((0..8).map(|n| Login::Community(format!("community{n}"))).collect()).await;
    assert_eq!(ask([127, 7, 1, 20], Some(&many), Reason::Named).await, ["snmp:127.7.1.20/ipp:631"]);
    let nobody = ask([127, 7, 1, 30], Some(&client), Reason::Named).await;
    assert!(nobody[0].starts_with("NoLogin") && nobody[0].contains("does not answer SNMP"), "{nobody:?}");
    office.shutdown().await;
}

#[test]
fn a_small_network_of_ipv6_is_swept() {
    netns::inside("office::a_small_network_of_ipv6_is_swept", || {
        // Everything in it is here, and nothing of it is an address of this machine.
        std::fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").unwrap();
        process::run(Command::new("ip").args(["-6", "route", "add", "local", "fd00:88::/112", "dev", "lo"]));
        run(async {
            let mut spec = printer("Six", [127, 7, 2, 1], "office-colour");
            spec.address = "fd00:88::af".parse().unwrap();
            let (office, _directory) = office(vec![spec]).await;
            let mut options = options(&["fd00:88::/118"]);
            options.policy.allowed = networks(&["fd00:88::/112"]);
            let mut source = Sweep::new(options, client(communities(&["public"])).await);
            let swept = sweep(&mut source).await;
            assert_eq!(swept.progress.addresses, 1_024);
            let ways = ["", "/ipp:631"].map(|way| format!("snmp:fd00:88::af{way}"));
            assert_eq!(swept.keys(), ways);
            office.shutdown().await;
        });
    });
}

#[test]
fn no_ipp_at_a_port_that_is_said_to_print() {
    netns::inside("office::no_ipp_at_a_port_that_is_said_to_print", || run(said_to_print()));
}

/// An agent lists port 631 for AppSocket, mDNS announces it so for another address; a third one says nothing of it.
async fn said_to_print() {
    let addresses = [1, 2, 3].map(|last| Ipv4Addr::new(127, 7, 3, last));
    let listeners = addresses.map(|address| {
        let listener = std::net::TcpListener::bind((address, 631)).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let channel =
        [(".1.3.6.1.2.1.43.14.1.1.2.3.1", "integer", "11"), (".1.3.6.1.2.1.43.14.1.1.9.3.1", "string", "Port=631")];
    let rows: Vec<_> = COLOUR_LASER.iter().chain(&channel).copied().collect();
    let _lists = Snmpd::start(addresses[0], 161, Who::Community, &rows);
    let _plain = Snmpd::start(addresses[1], 161, Who::Community, COLOUR_LASER);

    let policy = PrinterPolicy { allowed: loopback_networks() };
    let places = PrintPlaces::default();
    let port = std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let mut heard = MdnsOptions::new(policy.clone());
    (heard.loopback, heard.port) = (true, port);
    let (events, _told) = tokio::sync::mpsc::channel(16);
    let listening = tokio::spawn(Mdns::new(heard).telling(places.clone()).run(events));
    let responder = ServiceDaemon::new_with_port(port).unwrap();
    let raw = "_pdl-datastream._tcp.local.";
    let service = ServiceInfo::new(raw, "Raw", "raw.local.", addresses[1].to_string(), 631, None).unwrap();
    responder.register(service).unwrap();
    let deadline = Instant::now() + SWEEP;
    while !places.contains(addresses[1].into(), 631) {
        assert!(Instant::now() < deadline, "the announcement is heard");
        tokio::task::yield_now().await;
    }

    let mut swept_with = options(&["127.7.3.0/29"]);
    swept_with.places = places.clone();
    let swept = sweep(&mut Sweep::new(swept_with, client(communities(&["public"])).await)).await;
    assert!(swept.keys().contains(&"snmp:127.7.3.1") && swept.keys().contains(&"snmp:127.7.3.2"), "{:?}", swept.keys());
    let client = client(communities(&["public"])).await;
    for (address, listener) in addresses.into_iter().zip(&listeners) {
        let place = Place { address: address.into(), scope_id: 0, port: 161 };
        if address == addresses[2] {
            // Somebody who takes connections and says nothing.
            let taken = tokio::net::TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
            tokio::select! {
                _ = visit(Some(&client), &policy, &places, place, Reason::Named) => panic!("it is asked over IPP"),
                connected = taken.accept() => drop(connected.unwrap()),
            }
        } else {
            visit(Some(&client), &policy, &places, place, Reason::Named).await;
            assert!(listener.accept().is_err(), "{address} was contacted");
        }
    }
    listening.abort();
    let _ = responder.shutdown();
}

#[test]
fn a_printer_whose_agent_stalls_is_asked_over_ipp() {
    netns::inside("office::a_printer_whose_agent_stalls_is_asked_over_ipp", || run(stalls()));
}

async fn stalls() {
    let address = Ipv4Addr::new(127, 7, 5, 10);
    let mut silent = printer("Half awake", address.octets(), "office-colour");
    silent.snmp_port = None;
    let (office, _directory) = office(vec![silent]).await;
    let behind = Snmpd::start(Ipv4Addr::LOCALHOST, 1_161, Who::Community, COLOUR_LASER);
    // Passes on Get and nothing else.
    let socket = UdpSocket::bind((address, 161)).await.unwrap();
    let agent = tokio::spawn(async move {
        let (mut client, mut datagram) = (None, vec![0; 65_535]);
        loop {
            let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
            let datagram = &datagram[..length];
            if from == behind.address() {
                socket.send_to(datagram, client.unwrap()).await.unwrap();
            } else if datagram.windows(7).any(|seven| seven == b"public\xA0") {
                client = Some(from);
                socket.send_to(datagram, behind.address()).await.unwrap();
            }
        }
    });
    let policy = PrinterPolicy { allowed: loopback_networks() };
    let client = client(communities(&["public"])).await;
    let place = Place { address: address.into(), scope_id: 0, port: 161 };
    let visited = visit(Some(&client), &policy, &PrintPlaces::default(), place, Reason::Swept).await;
    let Visited::Printer(sightings) = visited else { panic!("{visited:?}") };
    assert_eq!(sightings.into_iter().map(|seen| seen.key).collect::<Vec<_>>(), ["snmp:127.7.5.10/ipp:631"]);
    agent.abort();
    office.shutdown().await;
}

#[test]
fn a_way_over_ipp_is_lost_when_it_failed_twice() {
    netns::inside("office::a_way_over_ipp_is_lost_when_it_failed_twice", || run(failed_twice()));
}

async fn failed_twice() {
    let at = [127, 7, 4, 10];
    let ipp = "snmp:127.7.4.10/ipp:631";
    let (office, _directory) = office(vec![printer("Both", at, "office-colour")]).await;
    let mut options = options(&["127.7.4.0/28"]);
    // From another source, in an earlier run.
    options.known = vec!["snmp:127.7.4.11/ipp:631".to_owned()];
    let mut source = Sweep::new(options, client(communities(&["public"])).await);
    assert!(sweep(&mut source).await.keys().contains(&ipp));
    office.shutdown().await;
    // The same agent, and nobody at 631.
    let _agent = Snmpd::start(Ipv4Addr::from(at), 161, Who::Community, COLOUR_LASER);
    let once = sweep(&mut source).await;
    assert!(once.keys().contains(&"snmp:127.7.4.10") && !once.lost.iter().any(|key| key == ipp), "{:?}", once.lost);
    let (events, mut told) = tokio::sync::mpsc::channel(64);
    source.visit_missing(&events).await.unwrap();
    drop(events);
    let mut lost = Vec::new();
    while let Some(event) = told.recv().await {
        if let DiscoveryEvent::Lost { key } = event {
            lost.push(key);
        }
    }
    assert_eq!(lost, [ipp]);
    assert_eq!(sweep(&mut source).await.lost, Vec::<String>::new(), "told once");
}

#[test]
fn what_a_sweep_reported_before_it_was_cut_short_is_missed() {
    netns::inside("office::what_a_sweep_reported_before_it_was_cut_short_is_missed", || run(cut_short()));
}

async fn cut_short() {
    let (office, _directory) = office(vec![printer("First", [127, 7, 6, 10], "office-colour")]).await;
    let mut options = options(&["127.7.6.0/24"]);
    (options.rate, options.known) = (10, vec!["snmp:127.7.6.10".to_owned()]);
    let client = client(communities(&["public"])).await;
    let mut source = Sweep::new(options.clone(), client.clone());
    let (events, mut told) = tokio::sync::mpsc::channel(64);
    let key = tokio::select! {
        swept = source.once(&events) => panic!("{swept:?}"),
        event = told.recv() => match event {
            Some(DiscoveryEvent::Found(seen)) => seen.key,
            other => panic!("{other:?}"),
        },
    };
    assert_eq!(key, "snmp:127.7.6.10");
    office.shutdown().await;
    // As when there are more logins.
    options.reported = source.reported();
    (options.networks, options.rate) = (networks(&["127.7.6.8/29"]), 1_000);
    let lost = sweep(&mut Sweep::new(options, client)).await.lost;
    assert!(lost.contains(&key), "{lost:?}");
}

#[test]
fn an_agent_is_left_alone_and_may_die() {
    netns::inside("office::an_agent_is_left_alone_and_may_die", || run(left_alone()));
}

async fn left_alone() {
    let asked = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
    let mut agents = Vec::new();
    for (asked, (address, answers)) in asked.iter().zip([([127, 7, 8, 10], u32::MAX), ([127, 7, 8, 20], 1)]) {
        let socket = UdpSocket::bind((Ipv4Addr::from(address), 161)).await.unwrap();
        let asked = asked.clone();
        agents.push(tokio::spawn(async move {
            let mut datagram = vec![0; 2_048];
            loop {
                let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
                let count = asked.fetch_add(1, Ordering::SeqCst);
                // A Get becomes its answer; anything else is not understood.
                let Some(at) = datagram[..length].windows(7).position(|seven| seven == b"public\xA0") else { continue };
                datagram[at + 6] = 0xA2;
                if count < answers {
                    socket.send_to(&datagram[..length], from).await.unwrap();
                }
            }
        }));
    }
    let mut options = options(&["127.7.8.0/26"]);
    options.rate = 30;
    let swept = sweep(&mut Sweep::new(options, client(communities(&["public"])).await)).await;
    agents.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!((swept.progress.answered, swept.progress.rate), (2, 30));
    // The sweep's question, the visit's with their repetitions, and one each two seconds.
    let asked = asked.map(|asked| asked.load(Ordering::SeqCst));
    println!("{asked:?} in {} requests", swept.progress.sent);
    assert!(asked.iter().all(|asked| *asked <= 25), "{asked:?}");
}
