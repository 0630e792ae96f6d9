//! What a task does when nobody answers.

use super::*;
use crate::document::spool::SpoolLimits;
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::ids::{PrinterId, TagStem};
use crate::domain::job::presence::{Agent, Said, Who};
use crate::domain::sighting::Evidence;
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
        ask_agent: nobody(),
        poll_now: mpsc::channel(4).0,
        reporter,
    }
}

fn known(reach: Vec<Reach>) -> Target {
    Target { reach, ..Target::default() }
}

/// Nobody is to be asked.
fn nobody() -> AskAgent {
    Arc::new(|question| panic!("{question:?}"))
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
    let mut work = Work { outside, job, target: known(reach), told: (0, Instant::now()) };
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
    let mut work = Work { outside, job, target: known(reach), told: (0, Instant::now()) };
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
        let work = Work { outside: outside.clone(), job: job.clone(), target: known(reach), told: (0, Instant::now()) };
        let found = match work.prepare(&document).await {
            Ok(_) => "sent",
            Err(Event::Waiting { outage: true, .. }) => "waiting",
            Err(Event::Refused(_)) => "refused",
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(found, wanted, "{:?}", work.target.reach);
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
        ask_agent: nobody(),
        poll_now: mpsc::channel(4).0,
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
        target: known(vec![Reach { endpoint, pin: None, formats: Vec::new() }]),
        told: (0, Instant::now()),
    };
    let rest = tokio::time::timeout(Duration::from_secs(20), work.follow(&client)).await;
    assert!(matches!(rest, Ok(Ok(RestFor::Backoff))), "it stays with the address that nobody answers at");
    drop(work);
    let job = owner.await.unwrap();
    assert_eq!((job.state.name(), job.reasons), ("printing", vec!["printer-unreachable".to_owned()]));
}

fn said(serial: &str) -> Said {
    let serial = Some(serial.to_owned());
    Said::Identity(Box::new(Evidence { make: Some("HP".into()), serial, ..Evidence::default() }))
}

/// A printer with a serial number, of which its agent told.
fn with_agent(name: &str, serial: &str, answers: bool) -> Arc<Known> {
    let Said::Identity(told) = said(serial) else { panic!() };
    let facts = crate::domain::identity::Facts::of(&told);
    let who = Arc::new(Who::new(facts, Some(Agent { answers, told: *told })));
    Arc::new(Known { id: PrinterId::new(name).unwrap(), reach: Vec::new(), refuses: None, who })
}

#[tokio::test]
async fn nothing_is_connected_before_the_agent_said_who_is_there() {
    let printer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = printer.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let job = accepted();
    let document = job.state.document().cloned().unwrap();
    let silent = || Said::Nothing("it is silent".into());
    let other = with_agent("hp-2", "SER222", true);
    // What one request brings, what all bring, whether the agent is taken to answer; what comes of it, how often it was
    // asked, and who is to be polled.
    for (glance, thorough, answers, wanted, asked, polled) in [
        (said("SER111"), silent(), true, "sent", 1, vec![]),
        (said("SER222"), said("SER222"), true, "other-printer-at-address", 2, vec!["hp-1", "hp-2"]),
        (said("SER333"), said("SER333"), false, "other-printer-at-address", 2, vec!["hp-1"]),
        (said("SER333"), said("SER111"), true, "sent", 2, vec![]),
        (silent(), silent(), true, "printer-unreachable", 1, vec!["hp-1"]),
        (silent(), silent(), false, "sent", 1, vec![]),
    ] {
        let (reporter, _reports) = mpsc::channel(4);
        let (poll_now, mut polls) = mpsc::channel(4);
        let questions = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&questions);
        let answer = (glance.clone(), thorough.clone());
        let ask_agent: AskAgent = Arc::new(move |question| {
            told.lock().unwrap().push(question.thorough);
            let said = if question.thorough { answer.1.clone() } else { answer.0.clone() };
            Box::pin(std::future::ready(said))
        });
        let outside = Outside { ask_agent, poll_now, ..outside(dir.path(), reporter).await };
        let ours = with_agent("hp-1", "SER111", answers);
        let everybody = [ours.clone(), other.clone()].map(|known| (known.id.clone(), known));
        // Both ways are at one address: who is there is asked once.
        let lpd = Endpoint { kind: EndpointKind::Lpd, ..appsocket(1, &[]).endpoint };
        let formats = vec!["application/pdf".to_owned()];
        let reach = vec![appsocket(port, &["application/pdf"]), Reach { endpoint: lpd, pin: None, formats }];
        let target = Target { reach, known: Some(ours), directory: Arc::new(everybody.into()) };
        let work = Work { outside, job: job.clone(), target, told: (0, Instant::now()) };
        let found = match work.prepare(&document).await {
            Ok(_) => "sent".to_owned(),
            Err(Event::Waiting { reasons, outage: true, .. }) => reasons.join(" "),
            Err(other) => panic!("{other:?}"),
        };
        let questions = questions.lock().unwrap().clone();
        assert_eq!((found.as_str(), questions.len()), (wanted, asked), "{glance:?} {thorough:?}");
        assert!(!questions[0], "all that an agent tells is asked for first");
        let connected = tokio::time::timeout(Duration::from_millis(50), printer.accept()).await.is_ok();
        assert_eq!(connected, wanted == "sent", "{glance:?} {thorough:?}");
        let mut told: Vec<String> = Vec::new();
        while let Ok(id) = polls.try_recv() {
            told.push(id.to_string());
        }
        told.sort();
        told.dedup();
        assert_eq!(told, polled, "{glance:?} {thorough:?}");
    }
}
