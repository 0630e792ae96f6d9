//! A fetch takes the same memory for a large document as for a small one. A file of its own: one process, one test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "lab")]

// The server's other answers are for other tests.
#[allow(dead_code)]
mod document_support;

use document_support::{Server, Step, head, ok};
use printgate::document::SecretUrl;
use printgate::document::fetch::{FetchError, FetchRequest, Fetcher, Limits};
use printgate::document::spool::{Spool, SpoolLimits};
use printgate::domain::net::{DocumentPolicy, HostPattern};

/// A line of `/proc/self/status` in KiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_large_document_takes_no_more_memory_than_a_small_one() {
    const LARGE: u64 = 96 << 20;
    let server = Server::start(|request| match request.target.as_str() {
        "/small" => ok(&[b'x'; 600_000]),
        _ => vec![head("HTTP/1.1 200 OK\nConnection: close\n\n"), Step::Endless(vec![b'x'; 65_536])],
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool"), SpoolLimits { quota: 1 << 30, reserve: 0 }).await.unwrap();
    let fetcher = Fetcher::new(Some(&server.roots)).unwrap();
    let policy = DocumentPolicy {
        allowed_hosts: vec![HostPattern::any()],
        allowed_networks: vec!["127.0.0.1/32".parse().unwrap()],
    };
    let request = |target: &str| {
        let url = SecretUrl::parse(&server.url(target)).unwrap();
        FetchRequest { url, sha256: None, size: None, max_bytes: LARGE }
    };
    let limits = Limits::default();
    fetcher.fetch(request("/small"), &policy, &limits, &spool, "small").await.unwrap();
    // Resets the peak to what is in use now (proc(5), clear_refs).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmRSS:");
    let error = fetcher.fetch(request("/large"), &policy, &limits, &spool, "large").await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { max: LARGE }), "{error}");
    let grown = memory("VmHWM:").saturating_sub(before);
    println!("96 MiB fetched in {grown} KiB more than a small document");
    assert!(grown < 8 * 1024, "{grown} KiB");
}
