//! What the integration tests share: real peers (avahi, ippeveprinter, mosquitto, an https file server) and the
//! `printgate` programs, each behind a guard that ends its processes when it is dropped.
//!
//! - A test that needs mDNS or fixed ports runs in a network of its own: [`netns::inside`].
//! - Nothing waits by the clock: [`wait_until`] polls a condition under a deadline.
//! - Every process writes into a log in its guard's directory; a failing test prints the ends of the logs.
//!
//! Every test crate compiles its own copy (`mod common;`) and uses a part of it.
#![allow(dead_code, reason = "each test crate uses a part of the harness")]
#![allow(unreachable_pub, reason = "one harness, many test crates")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

pub mod avahi;
pub mod gateway;
#[cfg(feature = "lab")]
pub mod https;
#[cfg(feature = "lab")]
pub mod lab;
pub mod mqtt;
pub mod netns;
pub mod packets;
pub mod pdf;
pub mod printer;
pub mod process;
pub mod relay;
pub mod snmpd;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a peer may take to start. Far more than it needs (well below 1 s), for loaded machines.
pub const START: Duration = Duration::from_secs(20);

/// Polls `condition` until it gives a value; fails the test when `deadline` has passed.
///
/// `what` completes "waited 5 s for …".
#[track_caller]
pub fn wait_until<T>(deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    match try_until(deadline, &mut condition) {
        Some(value) => value,
        None => panic!("waited {deadline:?} for {what}"),
    }
}

/// [`wait_until`] that gives `None` when the deadline has passed. Tries at least once.
pub fn try_until<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if start.elapsed() >= deadline {
            return None;
        }
        // The pace of the polling; what is waited for is the condition.
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A TCP port that was free on the loopback address a moment ago. Inside [`netns::inside`] nobody else can take it.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Real printers' answers; `None`, and a line that says so, where they are not there.
pub fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("PRINTGATE_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    println!("SKIPPED: no corpus at {} (set PRINTGATE_CORPUS)", path.display());
    None
}
