//! The life of a job along its table: what applies where, what it tells, and what it never does.

use super::*;
use crate::domain::ticket::{ContentKey, Ticket};
use proptest::prelude::*;
use serde_json::json;

fn now(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn job(extra: serde_json::Value) -> Job {
    let mut ticket = json!({"jobId":"j1","document":{"url":"https://a.example/x?sig=1"}});
    for (key, value) in extra.as_object().unwrap() {
        ticket[key] = value.clone();
    }
    let parsed = Ticket::parse(ticket.to_string().as_bytes()).unwrap();
    Job::accept(parsed.ticket, PrinterId::new("hp-1").unwrap(), TagStem::from_random([1; 4]), now(0))
}

fn document() -> Document {
    Document { bytes: 10, sha256: "ab".into(), format: "application/pdf".into() }
}

fn sent(extra: serde_json::Value) -> Job {
    let mut job = job(extra);
    for event in [Event::FetchStarted, Event::Fetched(document()), start(), Event::JobCreated(4)] {
        job.apply(event, now(1)).unwrap();
    }
    job
}

fn start() -> Event {
    Event::SendStarted { phase: Phase::Creating, printer_up_time: Some(100), reasons: vec![] }
}

fn stream() -> Event {
    let phase = Phase::Streaming { over: EndpointKind::AppSocket };
    Event::SendStarted { phase, printer_up_time: None, reasons: vec![] }
}

#[test]
fn a_streamed_job_is_handed_over_without_pages_or_parked_for_a_person() {
    let mut job = job(json!({}));
    for event in [Event::Fetched(document()), stream()] {
        job.apply(event, now(1)).unwrap();
    }
    let begun = job.clone();
    job.apply(Event::Sent(None), now(2)).unwrap();
    job.apply(Event::HandedOver { how: "it closed".into() }, now(3)).unwrap();
    assert_eq!((job.state.name(), &job.reasons[..]), ("completed", &["handed-over".to_owned()][..]));
    assert_eq!((job.pages.reported, job.detail.as_deref()), (None, Some("it closed")));

    let mut lost = begun;
    lost.apply(Event::Lost { why: "killed".into() }, now(2)).unwrap();
    // No look can prove anything, whatever it says.
    assert!(lost.apply(Event::NothingPrinted { why: "a list".into() }, now(3)).is_err());
    let look =
        judge::Look { printer_up_time: Some(10), lists_complete: true, earliest_end: Some(1), ..Default::default() };
    let attempt = lost.state.attempt().unwrap();
    assert!(matches!(judge::judge(attempt, &look, now(99)), judge::Verdict::Unknown(_)));
    assert_eq!(lost.state.name(), "unconfirmed");
    lost.apply(Event::Resend(1), now(4)).unwrap();
    assert_eq!(lost.state.name(), "ready");
}

#[test]
fn the_straight_way() {
    let mut job = sent(json!({}));
    assert_eq!(job.seq, 4, "accepted, fetching, ready, sending");
    assert_eq!(job.ticket.document, DocumentRef::Spooled, "the URL is erased once fetched");
    job.apply(Event::Sent(Some(4)), now(2)).unwrap();
    job.apply(Event::PrinterCompleted { impressions: Some(3) }, now(3)).unwrap();
    assert_eq!((job.state.name(), job.seq, job.pages.reported), ("completed", 6, Some(3)));
    assert_eq!(job.printer_job_id, Some(4));
}

#[test]
fn a_held_job_does_not_start_but_can_be_canceled_and_expires() {
    let mut job = job(json!({"hold":true,"notAfter":"2026-11-20T12:00:00Z"}));
    job.apply(Event::Fetched(document()), now(1)).unwrap();
    assert!(!job.is_startable());
    assert!(job.apply(start(), now(2)).is_err());
    assert!(job.is_overdue(now(100_000_000)));
    job.apply(Event::Release, now(2)).unwrap();
    assert!(job.is_startable());
    assert_eq!(job.apply(Event::Release, now(2)), Ok(Outcome::Nothing));
}

#[test]
fn each_attempt_has_its_own_tag() {
    let mut job = sent(json!({}));
    let first = job.state.attempt().unwrap().tag.clone();
    job.apply(Event::NothingPrinted { why: "x".into() }, now(2)).unwrap();
    job.apply(start(), now(3)).unwrap();
    let second = job.state.attempt().unwrap().tag.clone();
    assert_ne!(first, second);
    assert!(second.ends_with(".2"));
    assert_eq!(job.printer_job_id, None);
}

#[test]
fn failing_transfers_end_after_a_stated_number() {
    let mut job = sent(json!({}));
    for n in 1..ATTEMPTS_MAX {
        job.apply(Event::NothingPrinted { why: "x".into() }, now(2)).unwrap();
        job.apply(start(), now(3)).unwrap();
        assert_eq!(job.attempt, n + 1);
    }
    job.apply(Event::NothingPrinted { why: "x".into() }, now(2)).unwrap();
    assert_eq!(job.state.name(), "aborted");
}

#[test]
fn resend_and_confirm_name_the_attempt_they_decide_on() {
    let mut job = sent(json!({}));
    job.apply(Event::Lost { why: "silence".into() }, now(2)).unwrap();
    assert!(job.apply(Event::Resend(2), now(3)).is_err());
    assert!(job.apply(Event::Confirm(0), now(3)).is_err());
    let mut again = job.clone();
    again.apply(Event::Resend(1), now(3)).unwrap();
    assert_eq!(again.state.name(), "ready");
    job.apply(Event::Confirm(1), now(3)).unwrap();
    assert_eq!(job.state.name(), "completed");
}

#[test]
fn canceling_waits_for_the_printers_word() {
    let mut job = sent(json!({}));
    job.apply(Event::Cancel, now(2)).unwrap();
    assert_eq!(job.state.name(), "canceling");
    let mut printed = job.clone();
    printed.apply(Event::PrinterCompleted { impressions: None }, now(3)).unwrap();
    assert_eq!(printed.state.name(), "completed");
    job.apply(Event::NothingPrinted { why: "orphan canceled".into() }, now(3)).unwrap();
    assert_eq!(job.state.name(), "canceled");
}

#[test]
fn priority_then_arrival_and_one_at_a_time() {
    let mut a = job(json!({"jobId":"a"}));
    let mut b = job(json!({"jobId":"b","priority":80}));
    let mut c = job(json!({"jobId":"c","priority":80}));
    for job in [&mut a, &mut b, &mut c] {
        job.apply(Event::Fetched(document()), now(1)).unwrap();
    }
    assert_eq!(next_to_send([&a, &b, &c]).unwrap().id.as_str(), "b");
    b.apply(Event::Hold, now(1)).unwrap();
    assert_eq!(next_to_send([&a, &b, &c]).unwrap().id.as_str(), "c");
    c.apply(start(), now(1)).unwrap();
    assert!(next_to_send([&a, &b, &c]).is_none(), "one job at a time");
    c.apply(Event::Lost { why: "x".into() }, now(1)).unwrap();
    assert_eq!(next_to_send([&a, &b, &c]).unwrap().id.as_str(), "a", "a parked job blocks nobody");
}

#[test]
fn the_idempotency_rule() {
    let job = job(json!({}));
    assert_eq!(submission(None, &job.content), Submission::New);
    assert_eq!(submission(Some(&job), &job.content), Submission::Repeat);
    assert_eq!(submission(Some(&job), &ContentKey("other".into())), Submission::Conflict);
}

#[test]
fn a_fresh_url_replaces_the_old_one_only_before_the_fetch_is_done() {
    let mut known = job(json!({}));
    let mut fresh = known.ticket.clone();
    fresh.document = DocumentRef::Url {
        url: crate::domain::ticket::DocumentUrl::new("https://a.example/x?sig=2"),
        sha256: None,
        size: None,
    };
    assert!(known.refresh_url(&fresh));
    assert!(!known.refresh_url(&fresh), "the same again changes nothing");
    known.apply(Event::Fetched(document()), now(1)).unwrap();
    assert!(!known.refresh_url(&fresh));
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::FetchStarted),
        Just(Event::FetchDelayed(Problem::new("x", None, "x"))),
        Just(Event::Fetched(document())),
        Just(Event::Refused(Problem::new("x", None, "x"))),
        Just(Event::Waiting { reasons: vec!["printer-unreachable".into()], detail: None, outage: true }),
        Just(start()),
        Just(Event::SendStarted { phase: Phase::Blind, printer_up_time: None, reasons: vec![] }),
        Just(stream()),
        Just(Event::HandedOver { how: "x".into() }),
        (1..9i32).prop_map(Event::JobCreated),
        proptest::option::of(1..9i32).prop_map(Event::Sent),
        Just(Event::Progress { reasons: vec!["media-empty".into()], impressions: Some(1) }),
        Just(Event::NothingPrinted { why: "x".into() }),
        Just(Event::PrinterCompleted { impressions: Some(1) }),
        Just(Event::PrinterCanceled { impressions: None, reasons: vec![] }),
        Just(Event::PrinterAborted { impressions: None, problem: Problem::new("x", None, "x") }),
        Just(Event::Lost { why: "x".into() }),
        Just(Event::Cancel),
        Just(Event::Hold),
        Just(Event::Release),
        (0..4u32).prop_map(Event::Resend),
        (0..4u32).prop_map(Event::Confirm),
        Just(Event::Expire("outage")),
    ]
}

proptest! {
    /// Random events: the invariants of the header hold after each, and a stored job reads back as it was.
    #[test]
    fn invariants_hold_for_any_events(events in proptest::collection::vec(any_event(), 0..60)) {
        let mut job = job(json!({}));
        for (i, event) in events.into_iter().enumerate() {
            let before = job.clone();
            let person = matches!(event, Event::Resend(_));
            let proof = matches!(event, Event::NothingPrinted { .. });
            let result = job.apply(event.clone(), now(i as i64));
            match &result {
                Err(_) | Ok(Outcome::Nothing) => prop_assert_eq!(&job, &before, "{:?}", event),
                Ok(Outcome::Status) => prop_assert_eq!(job.seq, before.seq + 1),
                Ok(Outcome::Silent) => {
                    prop_assert_eq!(job.seq, before.seq);
                    prop_assert_eq!(job.state.name(), before.state.name());
                }
            }
            if before.state.is_final() && result.is_ok() {
                prop_assert!(person, "{:?} left a final state", event);
            }
            if before.state.attempt().is_some() && matches!(job.state, State::Ready { .. }) {
                prop_assert!(person || proof, "{:?} allowed another attempt", event);
            }
            prop_assert!(job.attempt <= before.attempt + 1);
            if let Some(attempt) = job.state.attempt() {
                prop_assert_eq!(attempt.number, job.attempt);
                prop_assert_eq!(&attempt.tag, &job.stem.tag(job.attempt));
            }
            let stored = serde_json::to_string(&job).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Job>(&stored).unwrap(), &job);
        }
    }
}

/// What can happen around a job at an AppSocket printer.
#[derive(Debug, Clone, Copy)]
enum Step {
    Connect,
    Octet,
    WholeDocument,
    Close,
    Break,
    Crash,
    Cancel,
    Resend,
}

proptest! {
    /// Whatever happens in whatever order: octets of the document leave in one attempt, and in one more for each resend
    /// by a person; and nothing is called completed that was not closed in order.
    #[test]
    fn nothing_is_streamed_twice_by_itself(steps in proptest::collection::vec(prop_oneof![
        4 => Just(Step::Connect), 4 => Just(Step::Octet), 3 => Just(Step::WholeDocument), 1 => Just(Step::Close),
        2 => Just(Step::Break), 2 => Just(Step::Crash), 1 => Just(Step::Cancel), 1 => Just(Step::Resend),
    ], 0..60)) {
        let mut job = job(json!({}));
        job.apply(Event::Fetched(document()), now(0)).unwrap();
        let (mut streamed, mut resent, mut closed) = (0, 0, false);
        // The process's own knowledge: a connection, and whether the first octet and the last were written.
        let mut line: Option<(bool, bool)> = None;
        for (i, step) in steps.into_iter().enumerate() {
            let mut apply = |event: Event| job.apply(event, now(i as i64)).is_ok();
            match (step, &mut line) {
                (Step::Connect, None) => line = apply(stream()).then_some((false, false)),
                (Step::Octet, Some((first, _))) => streamed += i32::from(!std::mem::replace(first, true)),
                (Step::WholeDocument, Some((true, whole @ false))) => *whole = apply(Event::Sent(None)),
                (Step::Close, Some((_, true))) => {
                    line = None;
                    closed |= apply(Event::HandedOver { how: "x".into() });
                }
                (Step::Break, Some((first, _))) => {
                    let event = if *first { Event::Lost { why: "x".into() } }
                        else { Event::NothingPrinted { why: "x".into() } };
                    line = None;
                    apply(event);
                }
                (Step::Crash, _) => {
                    line = None;
                    job = serde_json::from_str(&serde_json::to_string(&job).unwrap()).unwrap();
                    if let Some(event) = judge::interrupted(&job.state) {
                        prop_assert!(job.apply(event, now(i as i64)).is_ok());
                    }
                }
                // It stops the task, and with it the connection.
                (Step::Cancel, _) if apply(Event::Cancel) => {
                    line = None;
                    if let Some(event) = judge::interrupted(&job.state) {
                        prop_assert!(job.apply(event, now(i as i64)).is_ok());
                    }
                }
                (Step::Resend, None) => {
                    let attempt = job.attempt;
                    resent += i32::from(job.apply(Event::Resend(attempt), now(i as i64)).is_ok());
                }
                _ => {}
            }
            prop_assert!(streamed <= 1 + resent, "streamed {streamed} times with {resent} resends");
            prop_assert!(closed || !matches!(job.state, State::Completed));
        }
    }
}

#[test]
fn a_parked_job_that_the_printer_had_whole_is_never_sent_again_by_itself() {
    let mut whole = sent(json!({}));
    for event in [Event::Sent(Some(4)), Event::Lost { why: "gone from the list".into() }] {
        whole.apply(event, now(2)).unwrap();
    }
    assert!(whole.apply(Event::NothingPrinted { why: "not in the history".into() }, now(3)).is_err());
    assert_eq!(whole.state.name(), "unconfirmed");
    whole.apply(Event::Resend(1), now(4)).unwrap();

    let mut broken_off = sent(json!({}));
    broken_off.apply(Event::Lost { why: "x".into() }, now(2)).unwrap();
    broken_off.apply(Event::NothingPrinted { why: "proof".into() }, now(3)).unwrap();
    assert_eq!(broken_off.state.name(), "ready");
}
