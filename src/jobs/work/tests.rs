//! What a task does when nobody answers.

use super::*;
use crate::document::spool::SpoolLimits;
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::ids::{PrinterId, TagStem};
use crate::domain::ticket::Ticket;
use crate::ipp::client::Timeouts;

#[tokio::test]
async fn a_job_is_not_followed_at_one_address_when_nobody_answers_there() {
    let now = Timestamp::now();
    let ticket = Ticket::parse(br#"{"jobId":"j","document":{"url":"https://a.example/x"}}"#).unwrap().ticket;
    let mut job = Job::accept(ticket, PrinterId::new("hp-1").unwrap(), TagStem::from_random([1; 4]), now);
    let document = Document { bytes: 4, sha256: "ab".into(), format: "application/pdf".into() };
    let start = Event::SendStarted { phase: Phase::Creating, printer_up_time: None, reasons: vec![] };
    for event in [Event::Fetched(document), start, Event::JobCreated(7), Event::Sent(Some(7))] {
        job.apply(event, now).unwrap();
    }
    // Nobody listens here any more: the printer has another address by now.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = Endpoint {
        kind: EndpointKind::Ipp,
        host: "p.local".into(),
        addresses: vec![gone.ip()],
        scope_id: 0,
        port: gone.port(),
        path: "/ipp/print".into(),
    };
    let dir = tempfile::tempdir().unwrap();
    let (reporter, mut reports) = mpsc::channel::<Report>(4);
    let outside = Outside {
        fetcher: Fetcher::new(None).unwrap(),
        spool: Spool::open(dir.path(), SpoolLimits::default()).await.unwrap(),
        clients: Clients::new(Timeouts::default(), Default::default()),
        documents: Arc::default(),
        fetch_limits: Limits::default(),
        max_document_bytes: 1,
        no_create_job: NoCreateJob::default(),
        raw: raw::Limits::default(),
        gateway: "gw1".into(),
        reporter,
    };
    let mut owned = job.clone();
    let owner = tokio::spawn(async move {
        while let Some(report) = reports.recv().await {
            owned.apply(report.event, Timestamp::now()).unwrap();
            let _ = report.answer.send(Some(owned.clone()));
        }
        owned
    });
    let client = outside.clients.get(&job.printer, &endpoint, None);
    let mut work = Work {
        outside,
        job,
        reach: vec![Reach { endpoint, pin: None, formats: Vec::new() }],
        told: (0, Instant::now()),
    };
    let rest = tokio::time::timeout(Duration::from_secs(20), work.follow(&client)).await;
    assert!(matches!(rest, Ok(Ok(RestFor::Backoff))), "it stays with the address that nobody answers at");
    drop(work);
    let job = owner.await.unwrap();
    assert_eq!((job.state.name(), job.reasons), ("printing", vec!["printer-unreachable".to_owned()]));
}
