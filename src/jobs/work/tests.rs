//! What a task does when nobody answers.

use super::*;
use crate::document::spool::SpoolLimits;
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::ids::{PrinterId, TagStem};
use crate::domain::ticket::Ticket;
use crate::ipp::client::Timeouts;

fn accepted() -> Job {
    let now = Timestamp::now();
    let ticket = Ticket::parse(br#"{"jobId":"j","document":{"url":"https://a.example/x"}}"#).unwrap().ticket;
    let mut job = Job::accept(ticket, PrinterId::new("hp-1").unwrap(), TagStem::from_random([1; 4]), now);
    let document = Document { bytes: 4, sha256: "ab".into(), format: "application/pdf".into() };
    job.apply(Event::Fetched(document), now).unwrap();
    job
}

async fn outside(dir: &Path, reporter: mpsc::Sender<Report>) -> Outside {
    Outside {
        fetcher: Fetcher::new(None).unwrap(),
        spool: Spool::open(dir, SpoolLimits { quota: 1 << 20, reserve: 0 }).await.unwrap(),
        clients: Clients::new(Timeouts::default(), Default::default()),
        documents: Arc::default(),
        fetch_limits: Limits::default(),
        max_document_bytes: 1,
        no_create_job: NoCreateJob::default(),
        raw: raw::Limits::default(),
        gateway: "gw1".into(),
        reporter,
    }
}

/// A print port that takes one of these formats.
fn appsocket(port: u16, formats: &[&str]) -> Reach {
    let endpoint = Endpoint {
        kind: EndpointKind::AppSocket,
        host: "p.local".into(),
        addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        scope_id: 0,
        port,
        path: String::new(),
    };
    Reach { endpoint, pin: None, formats: formats.iter().map(|&format| format.to_owned()).collect() }
}

#[tokio::test]
async fn the_end_of_a_streamed_job_outlives_a_book_that_refuses_it_once() {
    let printer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = printer.local_addr().unwrap().port();
    let printing = tokio::spawn(async move {
        let (mut stream, _) = printer.accept().await.unwrap();
        let mut octets = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut octets).await.unwrap();
        octets
    });
    let dir = tempfile::tempdir().unwrap();
    let job = accepted();
    let (reporter, mut reports) = mpsc::channel::<Report>(4);
    let outside = outside(dir.path(), reporter).await;
    outside.spool.store(job.stem.as_str(), b"%PDF".to_vec(), None).await.unwrap();
    let mut owned = job.clone();
    let owner = tokio::spawn(async move {
        let mut refused = 0;
        while let Some(report) = reports.recv().await {
            let answer = match report.event {
                Event::HandedOver { .. } if refused == 0 => {
                    refused += 1;
                    Answer::NotStored
                }
                event => {
                    owned.apply(event, Timestamp::now()).unwrap();
                    Answer::Is(Box::new(owned.clone()))
                }
            };
            let _ = report.answer.send(answer);
        }
        (owned, refused)
    });
    let reach = vec![appsocket(port, &["application/pdf"])];
    let mut work = Work { outside, job, reach, told: (0, Instant::now()) };
    let rest = tokio::time::timeout(Duration::from_secs(20), work.run(Kind::Send)).await;
    assert!(matches!(rest, Ok(RestFor::Nothing)));
    drop(work);
    assert_eq!(printing.await.unwrap(), b"%PDF");
    let (job, refused) = owner.await.unwrap();
    assert_eq!((job.state.name(), refused), ("completed", 1));
}

#[tokio::test]
async fn a_printer_that_counts_fast_does_not_fill_the_book() {
    let printer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = printer.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = printer.accept().await.unwrap();
        let mut sent = Vec::new();
        while !sent.windows(4).any(|window| window == b"EOJ ") {
            assert!(stream.read_buf(&mut sent).await.unwrap() > 0);
        }
        let sent = String::from_utf8_lossy(&sent).into_owned();
        let name = sent.split("NAME = ").nth(1).unwrap().split('\r').next().unwrap().to_owned();
        let say = |what: &str| format!("@PJL USTATUS JOB\r\n{what}\r\nNAME={name}\r\n\x0c").into_bytes();
        stream.write_all(&say("START")).await.unwrap();
        // One by one: what comes at once would be one count anyway.
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for page in 1..=60 {
            pace.tick().await;
            stream.write_all(format!("@PJL USTATUS PAGE\r\n{page}\r\n\x0c").as_bytes()).await.unwrap();
        }
        stream.write_all(&say("END")).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let dir = tempfile::tempdir().unwrap();
    let job = accepted();
    let (reporter, mut reports) = mpsc::channel::<Report>(4);
    let outside = outside(dir.path(), reporter).await;
    outside.spool.store(job.stem.as_str(), b"%PDF".to_vec(), None).await.unwrap();
    let mut owned = job.clone();
    let owner = tokio::spawn(async move {
        let mut counted = Vec::new();
        while let Some(report) = reports.recv().await {
            if let Event::Progress { impressions: Some(pages), .. } = &report.event {
                counted.push(*pages);
            }
            owned.apply(report.event, Timestamp::now()).unwrap();
            let _ = report.answer.send(Answer::Is(Box::new(owned.clone())));
        }
        (owned, counted)
    });
    let reach = vec![appsocket(port, &["application/pdf", "application/vnd.hp-pjl"])];
    let mut work = Work { outside, job, reach, told: (0, Instant::now()) };
    let rest = tokio::time::timeout(Duration::from_secs(20), work.run(Kind::Send)).await;
    assert!(matches!(rest, Ok(RestFor::Nothing)));
    drop(work);
    let (job, counted) = owner.await.unwrap();
    assert_eq!((job.state.name(), job.pages.reported), ("completed", Some(60)));
    assert!((1..=3).contains(&counted.len()), "{counted:?}");
}

#[tokio::test]
async fn a_document_goes_to_the_print_port_that_takes_it() {
    let printer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = printer.local_addr().unwrap().port();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let job = accepted();
    let document = job.state.document().cloned().unwrap();
    let other = appsocket(port, &["application/postscript"]);
    let (reporter, _reports) = mpsc::channel(4);
    let outside = outside(dir.path(), reporter).await;
    for (reach, wanted) in [
        (vec![other.clone(), appsocket(port, &["application/pdf"])], "sent"),
        (vec![other.clone(), appsocket(nobody, &["application/pdf"])], "waiting"),
        (vec![appsocket(port, &[]), appsocket(port, &["application/pdf"])], "sent"),
        (vec![other.clone(), appsocket(port, &[])], "refused"),
        (vec![other], "refused"),
    ] {
        let work = Work { outside: outside.clone(), job: job.clone(), reach, told: (0, Instant::now()) };
        let found = match work.prepare(&document).await {
            Ok(_) => "sent",
            Err(Event::Waiting { outage: true, .. }) => "waiting",
            Err(Event::Refused(_)) => "refused",
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(found, wanted, "{:?}", work.reach);
    }
}

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
            let _ = report.answer.send(Answer::Is(Box::new(owned.clone())));
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
