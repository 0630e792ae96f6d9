//! The harness itself: a test's own network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

use common::netns;
use std::net::{TcpListener, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

#[test]
fn the_network_is_its_own() {
    netns::inside("the_network_is_its_own", || {
        let table = std::fs::read_to_string("/proc/self/net/dev").unwrap();
        let mut interfaces: Vec<&str> =
            table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
        interfaces.sort_unstable();
        assert_eq!(interfaces, ["lo", "office0", "office1"]);
        // Nothing routes to the real network.
        let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
        assert!(probe.connect("192.0.2.1:9").is_err(), "a route out of the test's network");
        // Any port may be taken: here we are root.
        for port in [53, 631, 8883] {
            TcpListener::bind((netns::OFFICE, port)).unwrap();
        }
    });
}

#[test]
fn names_are_those_of_the_test() {
    netns::inside("names_are_those_of_the_test", || {
        let resolve = |name: &str| (name, 1).to_socket_addrs().map(|found| found.map(|a| a.ip()).collect::<Vec<_>>());
        assert_eq!(resolve(netns::INTERNET_NAME).unwrap(), [netns::INTERNET]);
        assert_eq!(resolve("office.test").unwrap(), [netns::OFFICE]);
        let start = Instant::now();
        assert!(resolve("nowhere.example").is_err());
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "an unknown name fails soon, not after {:?}",
            start.elapsed()
        );
    });
}

#[test]
#[should_panic(expected = "failed inside its network namespace")]
fn a_failure_inside_fails_the_test() {
    netns::inside("a_failure_inside_fails_the_test", || {
        // Ends the inner process at once: a panic would be what the attribute expects, and pass inside.
        std::process::exit(3);
    });
}

#[test]
#[should_panic(expected = "no test is called")]
fn a_wrong_name_fails_the_test() {
    netns::inside("a_name_that_nobody_has", || {});
}

#[cfg(feature = "lab")]
#[test]
fn documents_come_from_an_address_that_looks_public() {
    use common::https::HttpsFiles;
    use common::process;
    use std::net::IpAddr;
    use std::process::Command;

    netns::inside("documents_come_from_an_address_that_looks_public", || {
        let files = HttpsFiles::start(netns::INTERNET_NAME, IpAddr::V4(netns::INTERNET));
        let url = files.put("/inv.pdf", "a document");
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "--cacert"]).arg(files.ca()).arg(&url);
        curl.env_remove("https_proxy").env_remove("HTTPS_PROXY").env_remove("ALL_PROXY");
        assert_eq!(process::run(&mut curl), "a document");
        assert_eq!(files.hits("/inv.pdf"), 1);
    });
}
