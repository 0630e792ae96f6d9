//! Printers that answer garbage, nothing or without end, and announcements that point where nothing may be connected:
//! each harms its own status only, within its deadline and in little memory, while the good ones print.

use crate::common::avahi::Avahi;
use crate::common::gateway::Gateway;
use crate::common::https::HttpsFiles;
use crate::common::lab::{Nucleus, Simulated};
use crate::common::process::{Process, run};
use crate::common::{netns, pdf, try_until, wait_until};
use crate::support::{Cloud, FILES, LONG, Lab, THING, configuration, ticket};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// An address in no network of this machine, and yet here: whatever connects to it is seen.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(11, 99, 0, 1);

/// The longest deadline of one call to a printer is 60 s; a silent one has 35 s to begin its answer.
const DEADLINE: Duration = Duration::from_secs(75);

const GOOD: [&str; 3] = ["Reception", "Reception 2", "Reception 3"];

const BAD: [(&str, &str); 5] = [
    ("Reception 4", "garbage"),
    ("Reception 5", "garbage-http"),
    ("Reception 6", "nested"),
    ("Reception 7", "huge"),
    ("Reception 8", "trickle:1000"),
];

/// A TCP server that takes connections, says nothing and counts them.
struct Silent {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Silent {
    fn listen(address: impl Into<IpAddr>, port: u16) -> Silent {
        let listener = TcpListener::bind((address.into(), port)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for connection in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                open.push(connection);
            }
        });
        Silent { address, connections }
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Announces an address and a service there.
fn publish_elsewhere(
    avahi: &Avahi,
    directory: &Path,
    host: &str,
    address: Ipv4Addr,
    name: &str,
    port: u16,
) -> [Process; 2] {
    let mut record = Command::new("avahi-publish");
    record.args(["--address", "--no-reverse", host, &address.to_string()]);
    avahi.connect(&mut record);
    let mut service = Command::new("avahi-publish");
    service.args(["--service", "--host", host, name, "_ipp._tcp", &port.to_string(), "rp=ipp/print"]);
    avahi.connect(&mut service);
    let both =
        [Process::start("publish-address", directory, record), Process::start("publish-there", directory, service)];
    wait_until(LONG, "the announcement of what is elsewhere", || {
        avahi.browse("_ipp._tcp").iter().any(|found| found.address == address.to_string()).then_some(())
    });
    both
}

struct Scene {
    gateway: Gateway,
    cloud: Cloud,
    office: Simulated,
    files: HttpsFiles,
}

impl Scene {
    /// A job at each good printer, all at once; says how long the last one took.
    #[track_caller]
    fn print_everywhere(&self, printers: &BTreeMap<String, String>, round: &str) -> Duration {
        let start = Instant::now();
        let document = pdf::pdf(1, round);
        self.files.put(&format!("/{round}.pdf"), document.clone());
        let url = self.files.url_by_address(&format!("/{round}.pdf"));
        let job = |name: &str| format!("{round}-{}", name.to_lowercase().replace(' ', "-"));
        for name in GOOD {
            self.cloud.submit(&printers[name], &ticket(&job(name), &url, &document));
        }
        for name in GOOD {
            self.cloud.wait_status(&job(name), "completed");
        }
        start.elapsed()
    }
}

#[test]
fn they_harm_nobody_else() {
    netns::inside("bad_printers::they_harm_nobody_else", || {
        let directory = tempfile::tempdir().unwrap();
        let route = format!("{}/32", OUTSIDE);
        run(Command::new("ip").args(["route", "add", "local", &route, "dev", "lo"]));
        let avahi = Avahi::start();
        let files = HttpsFiles::start("documents.test", FILES.into());
        let mut arguments = ["--page-time", "1", "--profile", "mono-laser"].map(str::to_owned).to_vec();
        for (name, fault) in BAD {
            arguments.extend(["--fault".to_owned(), format!("{name}={fault}")]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let office = Simulated::start(9, &directory.path().join("office"), &arguments);

        // Never to be connected.
        let app_socket = Silent::listen(netns::OFFICE, 9100);
        let lpd = Silent::listen(netns::OFFICE, 515);
        let raw = Silent::listen(netns::OFFICE, 18_100);
        let outside = Silent::listen(OUTSIDE, 18_631);
        for listener in [&app_socket, &lpd, &raw, &outside] {
            // Ours, the only one: they can be reached.
            drop(TcpStream::connect(listener.address).unwrap());
            wait_until(LONG, "our own connection", || (listener.count() == 1).then_some(()));
        }
        // To be connected, in vain.
        let silent = Silent::listen(netns::OFFICE, 0);
        let silent_tls = Silent::listen(netns::OFFICE, 0);
        let _announced = [
            avahi.publish("On 9100", "_ipp._tcp", 9100, &["rp=ipp/print", "UUID=11111111-0000-4000-8000-000000000001"]),
            avahi.publish("On 515", "_ipp._tcp", 515, &["rp=ipp/print", "UUID=11111111-0000-4000-8000-000000000002"]),
            avahi.publish("Raw port", "_pdl-datastream._tcp", raw.address.port(), &["ty=Raw"]),
            avahi.publish("On a raw port", "_ipp._tcp", raw.address.port(), &["rp=ipp/print"]),
            avahi.publish(
                "Silent",
                "_ipp._tcp",
                silent.address.port(),
                &[
                    "rp=ipp/print",
                    "ty=Acme Mute",
                    "usb_MFG=Acme",
                    "usb_MDL=Mute",
                    "UUID=11111111-0000-4000-8000-000000000003",
                ],
            ),
            avahi.publish(
                "Silent TLS",
                "_ipps._tcp",
                silent_tls.address.port(),
                &[
                    "rp=ipp/print",
                    "ty=Acme Muter",
                    "usb_MFG=Acme",
                    "usb_MDL=Muter",
                    "UUID=11111111-0000-4000-8000-000000000004",
                ],
            ),
        ];
        let _elsewhere = publish_elsewhere(
            &avahi,
            directory.path(),
            "elsewhere.local",
            OUTSIDE,
            "Elsewhere",
            outside.address.port(),
        );

        let configuration = configuration(&files, 5353);
        let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &["--thing", THING]);
        let cloud = Cloud::start(nucleus.mqtt_port());
        let began = Instant::now();
        let gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
        let mut scene = Scene { gateway, cloud, office, files };

        // The good ones are found and print while the bad ones are asked.
        let good: BTreeMap<String, String> = GOOD
            .map(|name| {
                (name.to_owned(), scene.cloud.printer_where(name, |r| r["name"] == name && r["online"] == true))
            })
            .into();
        println!("the good ones are online after {:?}", began.elapsed());
        println!("their jobs took {:?}", scene.print_everywhere(&good, "first"));

        // Each bad one gets an id from what it announced, and a status of its own.
        let mut bad = BTreeMap::new();
        let names =
            BAD.iter().map(|(name, fault)| (*name, *fault)).chain([("Silent", "silent"), ("Silent TLS", "silent")]);
        for (name, what) in names {
            let left = DEADLINE.saturating_sub(began.elapsed());
            let id = scene.cloud.printer_within(left, name);
            println!("{name} ({what}): {id} after {:?}", began.elapsed());
            bad.insert(name, id);
        }
        for (name, id) in &bad {
            let reported = scene.cloud.get_shadow(id)["state"]["reported"].clone();
            let status = reported["status"].as_str().unwrap_or_default();
            assert!(["unknown", "offline"].contains(&status) && reported["online"] == false, "{name}: {reported}");
        }
        assert_eq!(
            scene.cloud.shadows().len(),
            9 + 2 + 1,
            "nine simulated ones, two silent ones, and a raw port that may be either's: {:?}",
            scene.cloud.shadows()
        );

        // A job for a bad one waits and says so; the others print meanwhile.
        let document = pdf::pdf(1, "waits");
        scene.files.put("/waits.pdf", document.clone());
        let url = scene.files.url_by_address("/waits.pdf");
        scene.cloud.submit(&bad["Reception 4"], &ticket("waits", &url, &document));
        let waits = scene.cloud.wait_status_where("waits", "a reason to wait", |status| {
            status["status"] == "ready" && status["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty())
        });
        println!("a job for garbage: {}", waits.last().unwrap()["reasons"]);
        println!("their jobs took {:?}", scene.print_everywhere(&good, "second"));

        // A good one turns bad, and good again.
        scene.office.set_fault("Reception 3", "garbage");
        scene.cloud.wait_status_of_printer(&good["Reception 3"], |status| status["online"] == false);
        scene.office.clear_faults("Reception 3");
        let offline = scene.cloud.watch().messages().len();
        wait_until(LONG, "it back online", || {
            let topic = format!("printers/{THING}/{}/status", good["Reception 3"]);
            let later = scene.cloud.watch().messages().split_off(offline);
            later.iter().any(|m| m.topic == topic && m.json()["online"] == true).then_some(())
        });
        println!("their jobs took {:?}", scene.print_everywhere(&good, "third"));

        let connections: Vec<usize> = [&app_socket, &lpd, &raw, &outside].map(Silent::count).into();
        assert_eq!(
            connections, [1; 4],
            "nobody else connected to ports 9100 and 515, to a raw port, outside the networks"
        );
        assert!(silent.count() > 0 && silent_tls.count() > 0, "the silent ones were asked");
        let printed = scene.office.printed();
        assert_eq!(printed.len(), 9, "{printed:?}");
        assert!(printed.iter().all(|p| GOOD.contains(&p["printer"].as_str().unwrap())), "{printed:?}");
        let (now, peak) = scene.gateway.memory();
        // A debug build's own file is half of it.
        let status = std::fs::read_to_string(format!("/proc/{}/status", scene.gateway.id())).unwrap();
        let anonymous = status.lines().find(|line| line.starts_with("RssAnon")).unwrap_or_default();
        println!(
            "the gateway's memory: {} KiB now, {} KiB at its peak, after {:?}; {anonymous}",
            now / 1024,
            peak / 1024,
            began.elapsed()
        );
        assert!(peak < 64 << 20, "{peak}");
        scene.cloud.assert_schemas();
        assert_eq!(scene.gateway.stop().code(), Some(0));
    });
}

#[test]
fn a_changed_certificate_is_told_and_printing_goes_on() {
    let mut lab = Lab::start(1, &["--tls", "--page-time", "1"], &json!({}));
    let printer = lab.cloud.printer_where("Colour online", |r| r["name"] == "Colour" && r["online"] == true);
    let document = pdf::pdf(1, "sealed");
    let url = lab.files.url_by_address("/sealed.pdf");
    lab.files.put("/sealed.pdf", document.clone());
    lab.cloud.submit(&printer, &ticket("before", &url, &document));
    lab.cloud.wait_status("before", "completed");
    let topic = format!("printers/{THING}/{printer}/event");
    // The first certificate counts as known once a poll over TLS has seen it; until then a change is none.
    let event = (0..5).find_map(|_| {
        lab.office.control(&json!({"do": "replace-certificate", "printer": "Colour"}));
        try_until(LONG / 4, || {
            let mut messages = lab.cloud.watch().messages().into_iter();
            messages.find(|message| message.topic == topic && message.json()["code"] == "certificate-changed")
        })
    });
    let event = event.expect("the event certificate-changed");
    lab.cloud.submit(&printer, &ticket("after", &url, &document));
    lab.cloud.wait_status("after", "completed");
    println!("{}", event.json()["message"]);
    assert_eq!(lab.printed("Colour"), [document.clone(), document]);
    assert_eq!(lab.cloud.shadows().len(), 1);
    lab.cloud.assert_schemas();
    assert_eq!(lab.gateway.stop().code(), Some(0));
}
