//! Discovery end to end: services announced on loopback, found, changed and lost; a flood from the wire; the command.
//!
//! Each test uses a UDP port of its own instead of 5353, so that tests and the machine's own mDNS do not hear each
//! other.
// The lints know `#[test]` functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::avahi::Avahi;
use common::gateway::printgate;
use common::packets::{self, Announced, Wire};
use common::{netns, process, wait_until};
use mdns_sd::{ServiceDaemon, ServiceInfo};
use printgate::discovery::loopback_networks;
use printgate::discovery::mdns::{Counters, Health, Mdns, MdnsOptions};
use printgate::discovery::record::{Accept, Ignored};
use printgate::domain::endpoint::EndpointKind;
use printgate::domain::net::PrinterPolicy;
use printgate::domain::sighting::{DiscoveryEvent, Sighting};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout, timeout_at};

const PATIENCE: Duration = Duration::from_secs(30);

fn free_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

fn options(port: u16) -> MdnsOptions {
    let mut options = MdnsOptions::new(PrinterPolicy { allowed: loopback_networks() });
    options.loopback = true;
    options.settle = Duration::from_millis(200);
    options.port = port;
    options
}

/// A search under way.
struct Search {
    events: mpsc::Receiver<DiscoveryEvent>,
    counters: Arc<Counters>,
    task: tokio::task::JoinHandle<()>,
}

impl Search {
    /// Begins and waits until queries go out.
    async fn start(options: MdnsOptions) -> Self {
        let (sender, events) = mpsc::channel(1);
        let mdns = Mdns::new(options);
        let (counters, mut health) = (mdns.counters(), mdns.health());
        let task = tokio::spawn(mdns.run(sender));
        timeout(PATIENCE, health.wait_for(|health| *health == Health::Searching)).await.unwrap().unwrap();
        Self { events, counters, task }
    }

    async fn next(&mut self) -> DiscoveryEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("nothing was reported").unwrap()
    }

    async fn found(&mut self) -> Sighting {
        match self.next().await {
            DiscoveryEvent::Found(seen) => *seen,
            lost => panic!("{lost:?}"),
        }
    }

    async fn end(self) {
        drop(self.events);
        timeout(PATIENCE, self.task).await.expect("the search ends when nobody listens").unwrap();
    }
}

fn service(kind: &str, name: &str, port: u16, txt: &[(&str, &str)]) -> ServiceInfo {
    ServiceInfo::new(&format!("_{kind}._tcp.local."), name, "acme.local.", "127.0.0.1", port, txt).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_printer_is_found_changed_and_lost() {
    let port = free_port();
    let office = ServiceDaemon::new_with_port(port).unwrap();
    let name = "Acme LP 4.0 [2nd floor] \u{fc}";
    let txt = [("ty", "Acme LP 4.0"), ("rp", "ipp/print"), ("note", "2nd floor"), ("pdl", "application/pdf,image/urf")];
    office.register(service("ipp", name, 8631, &txt)).unwrap();

    let mut search = Search::start(options(port)).await;
    let seen = search.found().await;
    assert_eq!(seen.name, name);
    assert_eq!((seen.host.as_str(), seen.endpoint.kind), ("acme.local", EndpointKind::Ipp));
    assert_eq!(seen.endpoint.uri(), "ipp://acme.local:8631/ipp/print");
    assert_eq!(seen.endpoint.addresses, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(seen.evidence.model.as_deref(), Some("Acme LP 4.0"));
    assert_eq!((seen.location.as_deref(), seen.formats.len()), (Some("2nd floor"), 2));

    let moved = [("ty", "Acme LP 4.0"), ("rp", "ipp/print"), ("note", "cellar")];
    office.register(service("ipp", name, 8631, &moved)).unwrap();
    let changed = search.found().await;
    assert_eq!((&changed.key, changed.location.as_deref()), (&seen.key, Some("cellar")));

    let fullname = service("ipp", name, 8631, &moved).get_fullname().to_owned();
    office.unregister(&fullname).unwrap();
    match search.next().await {
        DiscoveryEvent::Lost { key } => assert_eq!(key, seen.key),
        found => panic!("{found:?}"),
    }
    assert_eq!(search.counters.reported.load(Ordering::Relaxed), 3);
    assert_eq!(search.counters.instances.load(Ordering::Relaxed), 0);
    search.end().await;
    office.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_printed_to_is_not_reported() {
    let port = free_port();
    let office = ServiceDaemon::new_with_port(port).unwrap();
    // Registered first, so that whatever is reported before the good ones would show.
    office.register(service("pdl-datastream", "Raw", 4010, &[])).unwrap();
    office.register(service("ipp", "Raw", 4010, &[("ty", "Trap")])).unwrap();
    office.register(service("ipp", "Jet", 9100, &[("ty", "Trap")])).unwrap();
    office.register(service("ipp", "Queue @ pc", 4631, &[("rp", "printers/q"), ("printer-type", "0x9056")])).unwrap();
    let mut elsewhere = service("ipp", "Elsewhere", 4632, &[]);
    elsewhere =
        ServiceInfo::new(elsewhere.get_type(), "Elsewhere", "far.local.", "203.0.113.9", 4632, &[("ty", "x")][..])
            .unwrap();
    office.register(elsewhere).unwrap();
    office.register(service("ipps", "Good", 4633, &[("rp", "/secure")])).unwrap();

    let mut search = Search::start(options(port)).await;
    let mut seen = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Judged: `Jet` and `Raw` for their ports (`Raw` perhaps only after it was reported), the queue as a queue.
        let ignored = search.counters.ignored();
        let count = |reason: Ignored| ignored.get(&reason.to_string()).copied().unwrap_or_default();
        let judged = count(Ignored::PrintPort) >= 2 && count(Ignored::SharedQueue) >= 1;
        let whole = ["Good._ipps", "Raw._pdl-datastream"].iter().all(|key| seen.contains_key(*key));
        if judged && whole && !seen.contains_key("Raw._ipp") {
            break;
        }
        let pause = Instant::now() + Duration::from_millis(50);
        match timeout_at(pause, search.events.recv()).await {
            Ok(Some(DiscoveryEvent::Found(found))) => {
                let key = found.key.trim_end_matches("._tcp.local.").to_owned();
                seen.insert(key, *found);
            }
            // Taken back whether or not it was told of: an earlier run may have stored it.
            Ok(Some(DiscoveryEvent::Withdrawn { key })) => {
                assert!(key.starts_with("Raw._ipp.") || key.starts_with("Jet._ipp."), "{key}");
                seen.remove("Raw._ipp");
            }
            Ok(Some(DiscoveryEvent::Lost { key })) => panic!("{key} is lost"),
            Ok(None) => panic!("the search ended"),
            Err(_) => assert!(Instant::now() < deadline, "{seen:?} {ignored:?}"),
        }
    }
    let names: Vec<_> = seen.keys().map(String::as_str).collect();
    // Where the trap stood, jobs may go as they are, and no question ever.
    assert_eq!(names, ["Good._ipps", "Raw._pdl-datastream"]);
    assert_eq!(seen["Raw._pdl-datastream"].endpoint.uri(), "socket://acme.local:4010");
    assert_eq!(seen["Good._ipps"].endpoint.uri(), "ipps://acme.local:4633/secure");
    search.end().await;
    office.shutdown().unwrap();
}

/// Announced by avahi, listed by the command.
#[test]
fn discover_shows_printers_without_ipp() {
    netns::inside("discover_shows_printers_without_ipp", || {
        let avahi = Avahi::start();
        let txt = ["txtvers=1", "ty=Acme LP 9", "pdl=application/vnd.hp-PCL", "usb_CMD=PJL,PCL"];
        let _socket = avahi.publish("Old Laser", "_pdl-datastream._tcp", 9100, &txt);
        let _queue = avahi.publish("Old Laser", "_printer._tcp", 515, &["txtvers=1", "rp=PASSTHRU", "ty=Acme LP 9"]);
        // The flagship of a printer without LPD.
        let _flagship = avahi.publish("Placeholder", "_printer._tcp", 0, &[]);
        let shown = wait_until(PATIENCE, "both ways to print", || {
            let mut command = printgate(&["discover", "--json", "--timeout", "3"], &[]);
            let shown: serde_json::Value = serde_json::from_str(&process::run(&mut command)).unwrap();
            (shown["printers"][0]["endpoints"].as_array().is_some_and(|ways| ways.len() == 2)).then_some(shown)
        });
        let printers = shown["printers"].as_array().unwrap();
        assert_eq!(printers.len(), 1, "{shown}");
        let uris: Vec<&str> =
            printers[0]["endpoints"].as_array().unwrap().iter().map(|way| way["uri"].as_str().unwrap()).collect();
        assert_eq!(uris, ["socket://office.local", "lpd://office.local/PASSTHRU"]);
        let formats = &printers[0]["formats"];
        assert_eq!(*formats, serde_json::json!(["application/vnd.hp-pcl", "application/vnd.hp-pjl"]));
    });
}

/// One of very many.
fn fake(wire: &Wire, number: usize, address: Ipv4Addr) {
    say(wire, number, address, 4_500);
}

/// One of them goes.
fn goodbye(wire: &Wire, number: usize) {
    say(wire, number, Ipv4Addr::LOCALHOST, 0);
}

fn say(wire: &Wire, number: usize, address: Ipv4Addr, ttl: u32) {
    let (name, host) = (format!("Printer {number}"), format!("p{number}"));
    let (port, txt) = (9991, packets::txt(&["ty=Any"]));
    wire.announce(&Announced {
        name: name.as_bytes(),
        kind: "_ipp",
        subtype: None,
        host: &host,
        address,
        port,
        txt,
        ttl,
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_bounded_and_a_slow_listener_loses_nothing_of_what_is_kept() {
    const KEPT: usize = 1_200;
    let port = free_port();
    let mut options = options(port);
    options.max_instances = KEPT;
    // The channel holds one event and nobody reads it yet.
    let mut search = Search::start(options).await;
    let wire = Wire::new(port);
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    // More than the library's own 1,000, each one sent until it arrived (UDP may drop some).
    while search.counters.overflow.load(Ordering::Relaxed) < 100 {
        let resolved = search.counters.resolved.load(Ordering::Relaxed);
        fake(&wire, number, Ipv4Addr::LOCALHOST);
        number += 1;
        while search.counters.resolved.load(Ordering::Relaxed) == resolved && number % 50 == 0 {
            fake(&wire, number - 1, Ipv4Addr::LOCALHOST);
            tokio::task::yield_now().await;
            assert!(Instant::now() < deadline, "{:?}", search.counters);
        }
        assert!(Instant::now() < deadline, "{:?}", search.counters);
    }
    assert_eq!(search.counters.instances.load(Ordering::Relaxed), KEPT as u64);
    assert_eq!(search.counters.starts.load(Ordering::Relaxed), 1);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < KEPT {
        let found = search.found().await;
        assert!(seen.insert(found.key.clone()), "{} was reported twice", found.key);
    }
    search.end().await;
}

/// Ten thousand fakes a minute and more, from one address: a printer that comes meanwhile is found, and nothing grows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_printer_is_found_in_the_middle_of_a_flood() {
    found_in_a_flood(|_| Ipv4Addr::new(127, 1, 0, 7)).await;
}

/// The same from very many addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_printer_is_found_in_the_middle_of_a_flood_from_everywhere() {
    found_in_a_flood(|number| Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number as u32)).await;
}

async fn found_in_a_flood(address: impl Fn(usize) -> Ipv4Addr) {
    const KEPT: usize = 300;
    // Twelve thousand a minute, as far as the machine comes after. Three engines need fewer than a tenth of the last.
    const EVERY: Duration = Duration::from_millis(5);
    const LAST: usize = 20_000;
    let port = free_port();
    let mut options = options(port);
    options.max_instances = KEPT;
    let mut search = Search::start(options).await;
    let wire = Wire::new(port);
    let office = ServiceDaemon::new_with_port(port).unwrap();
    let mut pace = tokio::time::interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = search.counters.clone();
    let (mut number, mut switched_on, mut found) = (0, false, false);
    while !found || count(&counters.floods) < 2 {
        tokio::select! {
            _ = pace.tick() => {
                number += 1;
                fake(&wire, number, address(number));
            }
            event = search.events.recv() => {
                let event = event.expect("the search goes on");
                found |= matches!(&event, DiscoveryEvent::Found(seen) if seen.name == "Real");
            }
        }
        // The book is full of fakes long before the printer is switched on.
        if !switched_on && count(&counters.overflow) >= 20 {
            office.register(service("ipp", "Real", 8631, &[("ty", "Acme")])).unwrap();
            switched_on = true;
        }
        assert!(count(&counters.instances) <= KEPT as u64);
        assert!(number < LAST, "on: {switched_on}, found: {found}; {counters:?}");
    }
    search.end().await;
    office.shutdown().unwrap();
}

/// All fakes are at the printer's own address: nobody makes room for it before they are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_found_no_room_is_found_when_there_is_some() {
    const KEPT: usize = 40;
    let port = free_port();
    let mut options = options(port);
    options.max_instances = KEPT;
    let mut search = Search::start(options).await;
    let counters = search.counters.clone();
    let (wire, office) = (Wire::new(port), ServiceDaemon::new_with_port(port).unwrap());
    let (mut told, mut refused) = (0, false);
    // Reads what is reported until the condition holds; meanwhile they are announced again and again.
    let deadline = Instant::now() + PATIENCE;
    while !refused {
        match timeout(Duration::from_millis(100), search.events.recv()).await {
            Ok(Some(DiscoveryEvent::Found(seen))) => {
                assert_ne!(seen.name, "Real");
                told += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) if told < KEPT => (0..KEPT).for_each(|number| fake(&wire, number, Ipv4Addr::LOCALHOST)),
            Err(_) => office.register(service("ipp", "Real", 8631, &[("ty", "Acme")])).unwrap(),
        }
        refused = counters.overflow.load(Ordering::Relaxed) > 0;
        assert!(Instant::now() < deadline, "{counters:?}");
    }
    let deadline = Instant::now() + PATIENCE * 2;
    let mut lost = 0;
    loop {
        // A goodbye counts after a second, from the last one on.
        match timeout(Duration::from_secs(3), search.events.recv()).await {
            Ok(Some(DiscoveryEvent::Found(seen))) => {
                assert_eq!(seen.name, "Real");
                break;
            }
            Ok(Some(DiscoveryEvent::Lost { .. })) => lost += 1,
            Ok(other) => panic!("{other:?}"),
            Err(_) if lost < KEPT => (0..KEPT).for_each(|number| goodbye(&wire, number)),
            Err(_) => {}
        }
        assert!(Instant::now() < deadline, "{lost} lost; {counters:?}");
    }
    search.end().await;
    office.shutdown().unwrap();
}

/// Straight from the wire, as no decent responder would send it: each is counted or made harmless, and what is in order
/// is found after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_announcements_are_counted_and_harm_nothing() {
    let port = free_port();
    let mut search = Search::start(options(port)).await;
    let wire = Wire::new(port);
    let local = Ipv4Addr::LOCALHOST;
    let usual = Announced {
        name: b"Usual",
        kind: "_ipp",
        subtype: None,
        host: "usual",
        address: local,
        port: 8631,
        txt: vec![0],
        ttl: 60,
    };
    let huge: Vec<u8> = (0..30).flat_map(|n| packets::txt(&[&format!("k{n}={}", "x".repeat(250))])).collect();
    let mut found = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        for announced in [
            Announced { name: b"Placeholder", port: 0, ..usual.clone() },
            Announced { name: b"Jet", port: 9100, ..usual.clone() },
            Announced { name: b"Queue", port: 515, ..usual.clone() },
            Announced { name: b"Public", host: "public", address: Ipv4Addr::new(203, 0, 113, 9), ..usual.clone() },
            Announced { name: b"Nowhere", host: "nowhere", address: Ipv4Addr::UNSPECIFIED, ..usual.clone() },
            Announced { name: b"\x01\x02\x7f", ..usual.clone() },
            Announced { name: b"Pri\x1b[31mnter", ..usual.clone() },
            Announced { name: b"Huge", txt: huge.clone(), ..usual.clone() },
            // Lengths that lie.
            Announced { name: b"Lying", txt: vec![200, b'a', b'=', b'b'], ..usual.clone() },
            Announced { name: b"Usual", ..usual.clone() },
        ] {
            wire.announce(&announced);
        }
        while let Ok(event) = timeout_at(Instant::now() + Duration::from_millis(100), search.events.recv()).await {
            if let Some(DiscoveryEvent::Found(seen)) = event {
                found.insert(seen.name.clone(), *seen);
            }
        }
        let ignored = search.counters.ignored();
        let reasons = [Ignored::Placeholder, Ignored::PrintPort, Ignored::OutsideNetworks, Ignored::NoName];
        let counted = reasons.iter().all(|reason| ignored.get(&reason.to_string()).is_some_and(|count| *count > 0));
        if counted && ["Usual", "Huge"].iter().all(|name| found.contains_key(*name)) {
            break;
        }
        assert!(Instant::now() < deadline, "{found:#?} {ignored:?}");
    }
    for bad in ["Placeholder", "Jet", "Queue", "Public", "Nowhere"] {
        assert!(!found.contains_key(bad), "{bad}");
    }
    assert!(found.values().all(|seen| !seen.name.chars().any(char::is_control) && seen.evidence == Default::default()));
    assert_eq!(search.counters.starts.load(Ordering::Relaxed), 1);
    search.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn computers_gateways_and_web_pages_are_told_from_devices() {
    let port = free_port();
    let office = ServiceDaemon::new_with_port(port).unwrap();
    let put = |kind: &str, name: &str, txt: &[(&str, &str)]| {
        office.register(service(kind, name, 4700, txt)).unwrap();
    };
    put("ipp", "Shared @ pc", &[("rp", "printers/a"), ("printer-type", "0x4")]);
    put("ipp", "On USB", &[("usb_HWID", "VID_03F0")]);
    put("ipp", "Ours", &[("printgate-gateway", "gw1")]);
    put("ipp-tls", "Old name", &[("rp", "ipp")]);
    let wire = Wire::new(port);
    let by_subtype = |kind: &'static str, subtype: &'static str, name: &'static str, address: Ipv4Addr| Announced {
        name: name.as_bytes(),
        kind,
        subtype: Some(subtype),
        host: "other",
        address,
        port: 4800,
        txt: vec![0],
        ttl: 120,
    };
    let hints = [
        by_subtype("_http", "_printer", "Old Laser", Ipv4Addr::LOCALHOST),
        by_subtype("_ipp", "_cups", "By subtype", Ipv4Addr::LOCALHOST),
    ];
    let look = async |accept: Accept, wanted: &[&str]| {
        let mut options = options(port);
        options.accept = accept;
        let (sender, mut events) = mpsc::channel(1);
        let mdns = Mdns::new(options);
        let (counters, told) = (mdns.counters(), mdns.hints());
        let task = tokio::spawn(mdns.run(sender));
        let mut found = BTreeMap::new();
        let deadline = Instant::now() + PATIENCE;
        while found.len() < wanted.len() || told.borrow().is_empty() {
            // Again and again: nobody may listen yet.
            hints.iter().for_each(|announced| wire.announce(announced));
            match timeout(Duration::from_millis(200), events.recv()).await {
                Ok(Some(DiscoveryEvent::Found(seen))) => drop(found.insert(seen.name.clone(), *seen)),
                Ok(other) => panic!("{other:?}"),
                Err(_) => assert!(Instant::now() < deadline, "{found:?} {counters:?}"),
            }
        }
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, wanted);
        assert_eq!(found["Old name"].endpoint.uri(), "ipps://acme.local:4700/ipp");
        let all = told.borrow().clone();
        let hint = all.values().next().unwrap();
        assert_eq!((hint.name.as_str(), hint.addresses.as_slice()), ("Old Laser", &["127.0.0.1".parse().unwrap()][..]));
        let deadline = Instant::now() + PATIENCE;
        let not_taken: &[Ignored] =
            if accept.shares { &[Ignored::Own] } else { &[Ignored::Own, Ignored::SharedQueue, Ignored::OverUsb] };
        while !not_taken.iter().all(|reason| counters.ignored().contains_key(&reason.to_string())) {
            assert!(Instant::now() < deadline, "{counters:?}");
            tokio::task::yield_now().await;
        }
        drop(events);
        timeout(PATIENCE, task).await.unwrap().unwrap();
    };
    look(Accept::default(), &["Old name"]).await;
    let all = Accept { shares: true, usb: true };
    look(all, &["By subtype", "Old name", "On USB", "Shared @ pc"]).await;
    office.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_shows_what_is_announced() {
    let port = free_port();
    let office = ServiceDaemon::new_with_port(port).unwrap();
    office
        .register(service(
            "ipp",
            "Acme LP",
            8631,
            &[("ty", "Acme LP"), ("UUID", "6F0C1C5E-0b6b-4a7e-9d55-001122334455")],
        ))
        .unwrap();
    office.register(service("ipps", "Acme LP", 8632, &[("ty", "Acme LP")])).unwrap();
    // A new name is defended for a second before it is announced; the command is asked after that.
    let mut search = Search::start(options(port)).await;
    search.found().await;
    search.found().await;
    search.end().await;
    let discover = |more: &[&str]| {
        let port = port.to_string();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_printgate"))
            .args(["discover", "--loopback", "--mdns-port", &port])
            .args(more)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap()
    };
    let value: serde_json::Value = serde_json::from_str(&discover(&["--json", "--timeout", "3"])).unwrap();
    let printers = value["printers"].as_array().unwrap();
    assert_eq!(printers.len(), 1, "{value}");
    assert_eq!(printers[0]["name"], "Acme LP");
    assert_eq!(printers[0]["address"], "127.0.0.1");
    assert_eq!(printers[0]["uuid"], "6f0c1c5e-0b6b-4a7e-9d55-001122334455");
    let uris: Vec<_> =
        printers[0]["endpoints"].as_array().unwrap().iter().map(|way| way["uri"].as_str().unwrap()).collect();
    assert_eq!(uris, ["ipps://acme.local:8632/ipp/print", "ipp://acme.local:8631/ipp/print"]);
    let text = discover(&["--timeout", "3"]);
    assert!(text.starts_with("NAME") && text.contains("Acme LP"), "{text}");
    office.shutdown().unwrap();
}

#[test]
fn the_command_finds_nothing_without_failing_and_refuses_wrong_arguments() {
    let port = free_port().to_string();
    let run = |args: &[&str]| std::process::Command::new(env!("CARGO_BIN_EXE_printgate")).args(args).output().unwrap();
    let nothing = run(&["discover", "--timeout", "1", "--mdns-port", &port, "--loopback", "--json"]);
    assert_eq!(nothing.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_slice(&nothing.stdout).unwrap();
    assert_eq!(value["printers"], serde_json::json!([]));
    assert_eq!(run(&["discover", "--timeout", "0"]).status.code(), Some(2));
}
