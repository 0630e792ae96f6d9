//! The owner with a book and a spool on disk, without printers: what it starts, keeps and lets go.

use super::*;
use crate::document::spool::SpoolLimits;
use crate::domain::job::{Document, Phase};
use crate::domain::net::PrinterPolicy;
use crate::domain::ticket::Ticket;
use work::Ended;

struct Rig {
    owner: Owner,
    spool: Spool,
    store: JobStore,
    _dir: tempfile::TempDir,
    _directory: watch::Sender<Arc<Directory>>,
}

fn accepted(id: &str, now: Timestamp) -> Job {
    let ticket = format!(r#"{{"jobId":"{id}","document":{{"url":"https://a.example/x"}}}}"#);
    let ticket = Ticket::parse(ticket.as_bytes()).unwrap().ticket;
    let mut bits = [0; 4];
    bits[..id.len().min(4)].copy_from_slice(&id.as_bytes()[..id.len().min(4)]);
    Job::accept(ticket, PrinterId::new("hp-1").unwrap(), TagStem::from_random(bits), now)
}

fn unconfirmed(id: &str, now: Timestamp) -> Job {
    let mut job = accepted(id, now);
    let document = Document { bytes: 4, sha256: "ab".into(), format: "application/pdf".into() };
    let start = Event::SendStarted { phase: Phase::Blind, printer_up_time: None, reasons: vec![] };
    for event in [Event::Fetched(document), start, Event::Lost { why: "x".into() }] {
        job.apply(event, now).unwrap();
    }
    job
}

/// An owner of a book with these jobs, each with a document in the spool.
async fn rig(jobs: &[Job]) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let store = JobStore::open(&dir.path().join("jobs.db"), "e").await.unwrap();
    let spool = Spool::open(dir.path().join("spool"), SpoolLimits { quota: 1 << 20, reserve: 0 }).await.unwrap();
    for job in jobs {
        store.save(job, None).await.unwrap();
        spool.store(job.stem.as_str(), b"%PDF".to_vec(), None).await.unwrap();
    }
    let (directory_in, directory) = watch::channel(Arc::default());
    let (_, commands) = mpsc::channel(1);
    let owner = Owner::load(Parts {
        gateway: GatewayName::new("gw").unwrap(),
        topics: Topics::new(&GatewayName::new("gw").unwrap()),
        transfers: watch::channel(0).0,
        store: store.clone(),
        spool: spool.clone(),
        fetcher: Fetcher::new(None).unwrap(),
        directory,
        networks: Arc::new(|| PrinterPolicy { allowed: Vec::new() }),
        places: PrintPlaces::default(),
        commands,
        wake: Wake::default(),
        poll_now: mpsc::channel(1).0,
        ask_agent: Arc::new(|question| panic!("{question:?}")),
        settings: Settings {
            max_document_bytes: 1 << 20,
            documents: DocumentPolicy { allowed_hosts: Vec::new(), allowed_networks: Vec::new() },
            fetch: fetch::Limits::default(),
            printers: Timeouts::default(),
            credentials: Credentials::default(),
            raw: raw::Limits::default(),
        },
    })
    .await
    .unwrap();
    Rig { owner, spool, store, _dir: dir, _directory: directory_in }
}

#[tokio::test]
async fn a_book_that_refuses_does_not_spin_the_loop() {
    let now = Timestamp::now();
    let mut late = accepted("late", now);
    late.expires_at = now - SignedDuration::from_secs(5);
    let mut rig = rig(&[late]).await;
    rig.store.refuse_writes().await;
    rig.owner.step().await;
    let due = rig.owner.step().await;
    assert!(due > Duration::from_secs(1), "the next try is in {due:?}");
}

#[tokio::test]
async fn a_ticket_that_never_failed_is_fetched_before_those_that_keep_failing() {
    let now = Timestamp::now();
    let jobs: Vec<Job> = ["a", "b", "c", "d", "e", "f"].iter().map(|id| accepted(id, now)).collect();
    let mut rig = rig(&jobs).await;
    for job in &jobs[..5] {
        rig.owner.rests.insert(job.id.clone(), Rest { until: None, failures: 7 });
    }
    rig.owner.step().await;
    assert_eq!(rig.owner.tasks.len(), FETCHES_MAX);
    assert!(rig.owner.tasks.contains_key(&jobs[5].id), "the fresh ticket waits behind failing ones");
}

#[tokio::test(start_paused = true)]
async fn a_rest_ends_whatever_the_time_of_day_says() {
    let job = accepted("a", Timestamp::now());
    let mut rig = rig(std::slice::from_ref(&job)).await;
    rig.owner.rest(&job.id, Some(SignedDuration::from_secs(30)));
    rig.owner.step().await;
    assert!(rig.owner.tasks.is_empty(), "it rests");
    tokio::time::advance(Duration::from_secs(31)).await;
    rig.owner.step().await;
    assert!(rig.owner.tasks.contains_key(&job.id), "the rest is over");
}

#[tokio::test]
async fn a_document_is_not_kept_for_ever_for_a_job_that_nobody_decides_on() {
    let now = Timestamp::now();
    let old = unconfirmed("old", now - UNCONFIRMED_FOLLOWED - SignedDuration::from_secs(60));
    let fresh = unconfirmed("new", now);
    let mut rig = rig(&[old.clone(), fresh.clone()]).await;
    rig.owner.housekeeping().await;
    assert_eq!(rig.spool.size(old.stem.as_str()).await.unwrap(), None);
    assert_eq!(rig.spool.size(fresh.stem.as_str()).await.unwrap(), Some(4));
    assert!(rig.owner.job(&old.id).is_some(), "a person may still confirm it");
}

#[tokio::test]
async fn what_a_canceled_fetch_left_is_removed() {
    let job = accepted("a", Timestamp::now());
    let mut rig = rig(std::slice::from_ref(&job)).await;
    // The task of the fetch still writes when the job is canceled.
    let mut writer = rig.spool.writer(job.stem.as_str(), crate::document::spool::Resume::No).await.unwrap();
    writer.write(b"part").await.unwrap();
    writer.flush().await.unwrap();
    assert!(rig.owner.change(&job.id, Event::Cancel).await);
    drop(writer);
    rig.owner.housekeeping().await;
    assert_eq!(rig.spool.used(), 0);
}

#[tokio::test]
async fn a_server_that_asks_for_no_pause_gets_one_that_grows() {
    let job = accepted("a", Timestamp::now());
    let mut rig = rig(std::slice::from_ref(&job)).await;
    for _ in 0..8 {
        rig.owner.task_ended(Ok(Ended { job: job.id.clone(), rest: work::RestFor::AtLeast(SignedDuration::ZERO) }));
    }
    let left = rig.owner.resting(&job.id).unwrap_or_default();
    assert!(left > Duration::from_secs(10), "after eight failures it rests for {left:?}");
    rig.owner
        .task_ended(Ok(Ended { job: job.id.clone(), rest: work::RestFor::AtLeast(SignedDuration::from_mins(30)) }));
    assert!(rig.owner.resting(&job.id).unwrap_or_default() > Duration::from_secs(29 * 60));
}

#[tokio::test]
async fn a_task_learns_whether_the_book_refused_or_the_job_is_gone() {
    let job = unconfirmed("a", Timestamp::now());
    let mut rig = rig(std::slice::from_ref(&job)).await;
    let file = rusqlite::Connection::open(rig._dir.path().join("jobs.db")).unwrap();
    file.execute_batch("CREATE TRIGGER refuse BEFORE UPDATE ON job BEGIN SELECT RAISE(ABORT, 'no room'); END").unwrap();
    let mut answers = Vec::new();
    for _ in 0..3 {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let event = Event::PrinterCompleted { impressions: None };
        rig.owner.take_report(Report { job: job.id.clone(), event, answer }).await;
        answers.push(match answered.await.unwrap() {
            Answer::Is(_) => "is",
            Answer::Gone => "gone",
            Answer::NotStored => "not stored",
        });
        file.execute_batch("DROP TRIGGER IF EXISTS refuse").unwrap();
    }
    // The second one is stored: a finished job needs nobody any more.
    assert_eq!(answers, ["not stored", "gone", "gone"]);
    assert_eq!(rig.store.get(&job.id).await.unwrap().unwrap().state.name(), "completed");
}

#[tokio::test]
async fn a_command_that_could_not_be_carried_out_is_taken_again() {
    let job = accepted("a", Timestamp::now());
    let mut rig = rig(std::slice::from_ref(&job)).await;
    let file = rusqlite::Connection::open(rig._dir.path().join("jobs.db")).unwrap();
    file.execute_batch("CREATE TRIGGER refuse BEFORE UPDATE ON job BEGIN SELECT RAISE(ABORT, 'no room'); END").unwrap();
    let cancel = || Command::Control {
        printer: "hp-1".into(),
        payload: br#"{"commandId":"c1","jobId":"a","action":"cancel"}"#.to_vec().into(),
    };
    rig.owner.command(cancel()).await;
    file.execute_batch("DROP TRIGGER refuse").unwrap();
    rig.owner.command(cancel()).await;
    let state = rig.store.get(&job.id).await.unwrap().unwrap().state;
    assert_eq!(state.name(), "canceled");
}

#[tokio::test]
async fn a_command_under_another_printers_topic_changes_nothing() {
    let job = accepted("a", Timestamp::now());
    let mut rig = rig(std::slice::from_ref(&job)).await;
    let payload = br#"{"commandId":"c1","jobId":"a","action":"cancel"}"#.to_vec().into();
    rig.owner.command(Command::Control { printer: "hp-2".into(), payload }).await;
    let state = rig.store.get(&job.id).await.unwrap().unwrap().state;
    assert_eq!(state.name(), "accepted");
}

#[tokio::test]
async fn what_waits_for_a_printer_that_takes_nothing_new_ends_and_says_why() {
    let now = Timestamp::now();
    let printer = PrinterId::new("hp-1").unwrap();
    for (refusal, code) in [
        (Refusal::NotApproved, "printer-not-approved"),
        (Refusal::Ignored, "printer-ignored"),
        (Refusal::Retired, "printer-retired"),
    ] {
        let mut sending = accepted("sending", now);
        let document = Document { bytes: 4, sha256: "ab".into(), format: "application/pdf".into() };
        let start = Event::SendStarted { phase: Phase::Blind, printer_up_time: None, reasons: vec![] };
        for event in [Event::Fetched(document), start] {
            sending.apply(event, now).unwrap();
        }
        let mut rig = rig(&[accepted("waits", now), sending]).await;
        let known = Known { id: printer.clone(), reach: Vec::new(), refuses: Some(refusal), who: Arc::default() };
        rig._directory.send_replace(Arc::new([(printer.clone(), Arc::new(known))].into()));
        rig.owner.end_what_is_refused().await;
        let waited = rig.store.get(&JobId::new("waits").unwrap()).await.unwrap().unwrap();
        assert_eq!((waited.state.name(), waited.error.unwrap().code.as_str()), ("aborted", code));
        // What may be on paper is never told to have failed.
        let sent = rig.store.get(&JobId::new("sending").unwrap()).await.unwrap().unwrap();
        assert_eq!(sent.state.name(), "unconfirmed");
    }
}
