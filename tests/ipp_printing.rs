//! The IPP client and `printgate probe` against CUPS's `ippeveprinter`, plain and over TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

use common::avahi::Avahi;
use common::gateway::printgate;
use common::printer::{IppEvePrinter, Options};
use common::{netns, pdf, process, wait_until};
use printgate::domain::endpoint::{Endpoint, EndpointKind};
use printgate::ipp::client::{Client, Document, Error, Fingerprint, JobState, Status, Target, Timeouts};
use printgate::ipp::codec::{Attribute, Value, Version};
use printgate::ipp::decode;
use printgate::ipp::request::{JOB_ATTRIBUTES, JobRequest, Request, WhichJobs};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn client(printer: &IppEvePrinter, kind: EndpointKind, pin: Option<Fingerprint>) -> Client {
    let endpoint = Endpoint {
        kind,
        host: "127.0.0.1".to_owned(),
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        scope_id: 0,
        port: printer.port(),
        path: "/ipp/print".to_owned(),
    };
    Client::new(Target::from_endpoint(&endpoint, pin), Timeouts::default())
}

/// A printer that can make itself a certificate: it looks for a directory for it.
fn with_tls(avahi: &Avahi, name: &str, keys: &tempfile::TempDir) -> IppEvePrinter {
    let arguments = vec!["-K".to_owned(), keys.path().to_str().unwrap().to_owned()];
    IppEvePrinter::start_with(avahi, name, Options { arguments, ..Options::default() })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_job_goes_its_whole_way() {
    netns::inside("a_job_goes_its_whole_way", || {
        let avahi = Avahi::start();
        let keys = tempfile::tempdir().unwrap();
        let printer = with_tls(&avahi, "Front Desk", &keys);
        let document = pdf::pdf_of_size(3_000_000);
        for (number, kind) in [EndpointKind::Ipp, EndpointKind::Ipps].into_iter().enumerate() {
            block_on(print(&printer, &client(&printer, kind, None), &document, number + 1));
        }
    });
}

async fn print(printer: &IppEvePrinter, client: &Client, document: &[u8], number: usize) {
    // Who and how it is.
    let response = client.call(Request::get_printer_attributes(decode::ATTRIBUTES, None)).await.unwrap();
    assert!(response.is_success() && response.warnings.is_empty());
    let seen = decode::observation(&response.message, jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(seen.evidence.make.as_deref(), Some("Acme"));
    assert_eq!(seen.evidence.model.as_deref(), Some("Laser 9"));
    assert!(seen.evidence.uuid.is_some());
    assert!(seen.capabilities.formats.contains(&"application/pdf".to_owned()));
    assert_eq!(client.version(), Version::V2_0);
    // A job without a document, then its document.
    let tag = format!("pgabcdef.{number}");
    let job = JobRequest {
        user: "alice".to_owned(),
        name: format!("{tag} Rechnung für März"),
        attributes: vec![Attribute::new("copies", Value::Integer(1))],
        ..JobRequest::default()
    };
    assert!(client.call(Request::validate_job(job.clone())).await.unwrap().is_success());
    let created = client.call(Request::create_job(job)).await.unwrap();
    let id = created.job().unwrap().id;
    let sent = Arc::new(AtomicU64::new(0));
    let send = Request::send_document(id, "alice", "Rechnung", Some("application/pdf"), true);
    let owned = document.to_vec();
    let reader = Document::new(std::io::Cursor::new(owned), document.len() as u64);
    let answer = client.call_with_document(send, reader, Arc::clone(&sent)).await.unwrap();
    assert!(answer.is_success(), "{:?}", answer.status());
    assert_eq!(sent.load(Ordering::SeqCst), document.len() as u64);
    // The printer's word for it.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let done = loop {
        let job = client.call(Request::get_job_attributes(id, "alice", JOB_ATTRIBUTES)).await.unwrap().job().unwrap();
        if job.is_finished() {
            break job;
        }
        assert!(tokio::time::Instant::now() < deadline, "{job:?}");
        // The pace of the polling; what is waited for is the job's end.
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(done.state, Some(JobState::Completed));
    assert!(done.name.as_deref().unwrap().starts_with(&tag));
    let list = Request::get_jobs(WhichJobs::Completed, "alice", Some(20), JOB_ATTRIBUTES);
    let jobs = client.call(list).await.unwrap().jobs();
    let ours = jobs.iter().find(|job| job.id == id).unwrap();
    assert_eq!(ours.user.as_deref(), Some("alice"));
    assert!(ours.time_at_creation.is_some() && ours.time_at_completed.is_some());
    let kept = printer.documents();
    assert_eq!(fs::read(&kept[number - 1]).unwrap(), document);
    // A final job cannot be canceled, and an unknown one is not found.
    assert!(!client.call(Request::cancel_job(id, "alice")).await.unwrap().is_success());
    let unknown = client.call(Request::get_job_attributes(9999, "alice", &[])).await.unwrap();
    assert_eq!(unknown.status(), Status::NOT_FOUND);
    assert_eq!(client.fingerprint_seen().is_some(), client.target().tls);
    if let Some(fingerprint) = client.fingerprint_seen() {
        let pinned = self::client(printer, EndpointKind::Ipps, Some(fingerprint));
        assert!(pinned.call(Request::get_printer_attributes(&[], None)).await.unwrap().is_success());
        let wrong = self::client(printer, EndpointKind::Ipps, Some(Fingerprint([1; 32])));
        let error = wrong.call(Request::get_printer_attributes(&[], None)).await.unwrap_err();
        assert!(matches!(error, Error::CertificateChanged { .. }), "{error}");
    }
}

#[test]
fn a_job_that_waits_is_canceled() {
    netns::inside("a_job_that_waits_is_canceled", || {
        let avahi = Avahi::start();
        let printer = IppEvePrinter::start_with(&avahi, "Busy", Options::default());
        block_on(async {
            let client = client(&printer, EndpointKind::Ipp, None);
            let job = JobRequest { user: "alice".into(), name: "pgabcdef.1 x".into(), ..JobRequest::default() };
            let id = client.call(Request::create_job(job)).await.unwrap().job().unwrap().id;
            let waiting = client.call(Request::get_job_attributes(id, "alice", &[])).await.unwrap().job().unwrap();
            assert!(!waiting.is_finished(), "{waiting:?}");
            assert!(client.call(Request::cancel_job(id, "alice")).await.unwrap().is_success());
            let job = client.call(Request::get_job_attributes(id, "alice", &[])).await.unwrap().job().unwrap();
            assert_eq!(job.state, Some(JobState::Canceled));
        });
        assert!(printer.documents().is_empty());
    });
}

#[test]
fn probe_shows_a_printer_and_tells_failure_from_misuse() {
    netns::inside("probe_shows_a_printer_and_tells_failure_from_misuse", || {
        let avahi = Avahi::start();
        let keys = tempfile::tempdir().unwrap();
        let mut printer = with_tls(&avahi, "Front Desk", &keys);
        let port = printer.port();

        let text = process::run(&mut printgate(&["probe", &printer.uri()]));
        for wanted in ["Make        Acme", "Model       Laser 9", "State       idle", "Supplies    ", "application/pdf"]
        {
            assert!(text.contains(wanted), "{wanted:?} in:\n{text}");
        }

        // An address alone: TLS first, the usual paths.
        let json = process::run(&mut printgate(&["probe", "--json", &format!("127.0.0.1:{port}")]));
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(report["uri"], format!("ipps://127.0.0.1:{port}/ipp/print"));
        assert_eq!(report["certificate"].as_str().unwrap().len(), 64);
        assert_eq!(report["observation"]["evidence"]["model"], "Laser 9");
        assert!(!report["endpoints"].as_array().unwrap().is_empty());
        assert_eq!(report["warnings"].as_array().unwrap().len(), 0);

        let ended = |arguments: &[&str]| {
            let output = printgate(arguments).output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, out, error) = ended(&["probe", "127.0.0.1:9100"]);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(error.contains("9100"), "{error}");
        assert_eq!(ended(&["probe"]).0, Some(2));
        printer.process().kill();
        let (code, out, _) = ended(&["probe", "--json", "--timeout", "5", &format!("127.0.0.1:{port}")]);
        assert_eq!(code, Some(1));
        let failure: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(failure["attempts"].as_array().unwrap().len(), 2, "one for each protocol: {out}");
        let (code, out, error) = ended(&["probe", "no-such-printer.test"]);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(error.contains("no-such-printer.test"), "{error}");
    });
}

#[test]
fn a_frozen_printer_ends_a_probe_in_time() {
    netns::inside("a_frozen_printer_ends_a_probe_in_time", || {
        let avahi = Avahi::start();
        let mut printer = IppEvePrinter::start(&avahi, "Frozen");
        let uri = printer.uri();
        printer.process().freeze();
        let mut probe: Command = printgate(&["probe", "--timeout", "1", &uri]);
        let started = std::time::Instant::now();
        let output = probe.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(started.elapsed() < Duration::from_secs(5));
        printer.process().thaw();
        wait_until(Duration::from_secs(10), "the printer to answer again", || {
            printgate(&["probe", &uri]).output().unwrap().status.success().then_some(())
        });
    });
}
