//! The harness itself: real printers, announced by a real avahi, in a network of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

use common::avahi::Avahi;
use common::gateway::printgate;
use common::printer::{IppEvePrinter, Options};
use common::{netns, pdf, process, wait_until};
use mdns_sd::{ServiceDaemon, ServiceEvent};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn a_printer_is_found_and_prints() {
    netns::inside("a_printer_is_found_and_prints", || {
        let avahi = Avahi::start();
        let printer = IppEvePrinter::start(&avahi, "Front Desk");

        // avahi's own browser.
        let found = wait_until(Duration::from_secs(20), "avahi-browse to find it", || {
            avahi.browse("_ipp._tcp").into_iter().find(|found| found.name == r"Front\032Desk")
        });
        assert_eq!(found.host, "office.local");
        assert_eq!(found.address, netns::OFFICE.to_string());
        assert_eq!(found.port, printer.port());
        assert!(found.txt.contains("\"rp=ipp/print\""), "{}", found.txt);

        // The browser that the gateway uses.
        let (resolved, took) = browse("_ipp._tcp.local.", "Front Desk");
        println!("mdns-sd resolved it after {took:?}");
        assert_eq!(resolved.get_port(), printer.port());
        assert!(resolved.get_addresses_v4().contains(&netns::OFFICE), "{resolved:?}");
        assert_eq!(resolved.get_property_val_str("rp"), Some("ipp/print"));

        // A document arrives byte for byte.
        let document = pdf::pdf(2, "Hello (paper)");
        let file = printer.spool().parent().unwrap().join("hello.pdf");
        fs::write(&file, &document).unwrap();
        printer.print(&file, "application/pdf");
        wait_until(Duration::from_secs(20), "the document as it was sent", || {
            let kept = printer.documents();
            (kept.len() == 1 && fs::read(&kept[0]).unwrap() == document).then_some(())
        });
    });
}

#[test]
fn a_printer_speaks_tls_on_the_same_port() {
    netns::inside("a_printer_speaks_tls_on_the_same_port", || {
        let avahi = Avahi::start();
        let printer = IppEvePrinter::start(&avahi, "Front Desk");
        assert!(printer.ask_securely("get-printer-attributes.test").contains("printer-state (enum) = idle"));
        // The gateway's client reads the same printer both ways.
        for uri in [printer.uri(), printer.secure_uri()] {
            let text = process::run(&mut printgate(&["probe", &uri], &[]));
            assert!(text.contains("Front Desk") && text.contains("Laser 9"), "{uri}:\n{text}");
        }
    });
}

#[test]
fn a_printer_that_fails_aborts_the_job() {
    netns::inside("a_printer_that_fails_aborts_the_job", || {
        let avahi = Avahi::start();
        let options = Options { script: "exit 1".to_owned(), ..Options::default() };
        let printer = IppEvePrinter::start_with(&avahi, "Jammed", options);
        let file = printer.spool().parent().unwrap().join("hello.pdf");
        fs::write(&file, pdf::pdf(1, "never")).unwrap();
        printer.print(&file, "application/pdf");
        wait_until(Duration::from_secs(20), "an aborted job", || {
            printer.ask("get-completed-jobs.test").contains("job-state (enum) = aborted").then_some(())
        });
    });
}

#[test]
fn announcements_come_and_go() {
    netns::inside("announcements_come_and_go", || {
        let avahi = Avahi::start();
        let announced = avahi.publish("Ghost", "_ipp._tcp", 9100, &["rp=ipp/print"]);
        assert_eq!(browse("_ipp._tcp.local.", "Ghost").0.get_port(), 9100);
        drop(announced);
        wait_until(Duration::from_secs(20), "the announcement to be withdrawn", || {
            avahi.browse("_ipp._tcp").is_empty().then_some(())
        });
    });
}

#[test]
fn several_printers_stand_side_by_side() {
    netns::inside("several_printers_stand_side_by_side", || {
        let avahi = Avahi::start();
        let printers = ["One", "Two", "Three"].map(|name| IppEvePrinter::start(&avahi, name));
        let mut found = wait_until(Duration::from_secs(20), "all of them", || {
            Some(avahi.browse("_ipps._tcp")).filter(|found| found.len() == printers.len())
        });
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let ports = |name: &str| printers.iter().find(|printer| printer.name() == name).unwrap().port();
        let expected: Vec<(&str, u16)> = ["One", "Three", "Two"].iter().map(|name| (*name, ports(name))).collect();
        let found: Vec<(&str, u16)> = found.iter().map(|found| (found.name.as_str(), found.port)).collect();
        assert_eq!(found, expected);
    });
}

#[test]
fn without_the_network_nobody_is_found() {
    netns::inside("without_the_network_nobody_is_found", || {
        netns::add_address("10.77.0.20/24");
        let listener = TcpListener::bind("10.77.0.20:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap();

        let avahi = Avahi::start();
        let _announced = avahi.publish("Ghost", "_ipp._tcp", 631, &[]);
        wait_until(Duration::from_secs(20), "the service", || (avahi.browse("_ipp._tcp").len() == 1).then_some(()));
        netns::office(false);
        wait_until(Duration::from_secs(20), "its loss", || avahi.browse("_ipp._tcp").is_empty().then_some(()));
        netns::office(true);
        wait_until(Duration::from_secs(20), "its return", || (avahi.browse("_ipp._tcp").len() == 1).then_some(()));
    });
}

/// Waits until the crate mdns-sd has resolved the instance.
fn browse(service: &str, name: &str) -> (mdns_sd::ResolvedService, Duration) {
    let start = Instant::now();
    let daemon = ServiceDaemon::new().unwrap();
    let events = daemon.browse(service).unwrap();
    loop {
        let left = Duration::from_secs(20).saturating_sub(start.elapsed());
        let event = events.recv_timeout(left).expect("mdns-sd resolves it within 20 s");
        if let ServiceEvent::ServiceResolved(resolved) = event
            && resolved.get_fullname() == format!("{name}.{service}")
        {
            let took = start.elapsed();
            let _ = daemon.shutdown().map(|stopped| stopped.recv_timeout(Duration::from_secs(5)));
            return (*resolved, took);
        }
    }
}
