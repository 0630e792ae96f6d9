//! SIGKILL at points all along a job's way.

use super::book::Entry;
use super::rig::{Plan, Rig, is_final, seed};
use super::verdict;
use printgate::simulate::History;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// For what has to happen once nothing is killed any more.
const SETTLE: Duration = Duration::from_secs(150);

/// What has not happened after this is not waited for: the kill comes anyway.
const NEVER: Duration = Duration::from_secs(3);

/// What the next kill waits for.
#[derive(Debug)]
enum Trigger {
    /// Time alone.
    After(Duration),
    /// The cloud hears that some job is in this state.
    Told(&'static str),
    /// The gateway logs that some job has come into this state: the moment after the book has it.
    Logged(&'static str),
    /// A printer has so many bytes of a document that had not begun before.
    Received(u64),
    /// Something more is on paper.
    Printed,
}

/// How many kills.
fn kills() -> usize {
    if std::env::var("PRINTGATE_SOAK").is_ok_and(|soak| soak == "1") {
        return 500;
    }
    std::env::var("PRINTGATE_CRASHES").ok().map_or(50, |text| text.parse().expect("PRINTGATE_CRASHES"))
}

#[test]
fn a_killed_gateway_loses_nothing_and_prints_nothing_twice() {
    let kills = kills();
    let ms = Duration::from_millis;
    let plans = [
        Plan { name: "Plain", ..Plan::default() },
        Plan { name: "Print-Job only", faults: &["no-create-job"], ..Plan::default() },
        Plan {
            name: "Slow reader",
            faults: &["slow-bytes:40000"],
            mishaps: &["drop-after:20000:1"],
            bytes: (20_000, 60_000),
            ..Plan::default()
        },
        Plan {
            name: "Slow reader, Print-Job only",
            faults: &["no-create-job", "slow-bytes:40000"],
            mishaps: &["drop-after:20000:1", "lose-answer:print-job:1"],
            bytes: (20_000, 60_000),
            ..Plan::default()
        },
        // More than the socket's buffers take: part of the document is still with us when we die.
        Plan { name: "Large", faults: &["slow-bytes:6000000"], bytes: (4_000_000, 8_000_000), ..Plan::default() },
        Plan { name: "Slow pages", page_time: ms(200), pages: (2, 8), ..Plan::default() },
        Plan {
            name: "Forgets to answer",
            mishaps: &["lose-answer:create-job:1", "lose-answer:send-document:1"],
            page_time: ms(100),
            ..Plan::default()
        },
        Plan {
            name: "Forgets to answer, Print-Job only",
            faults: &["no-create-job"],
            mishaps: &["lose-answer:print-job:1"],
            page_time: ms(100),
            ..Plan::default()
        },
    ];
    let mut rig = Rig::start(seed(), 84, &plans);
    let started = Instant::now();
    warm_up(&mut rig);
    let census = kill_all_along(&mut rig, kills);
    settle(&mut rig);
    report(&rig, &census, started);
    verdict::statuses_are_in_order(&rig);
    verdict::all_printed_once(&rig);
    no_spool_files_left(&mut rig);
    if kills >= 50 {
        for state in ["fetching", "ready", "sending", "printing"] {
            let met = census.iter().filter(|(name, _)| name.starts_with(state)).map(|(_, n)| n).sum::<usize>();
            assert!(met >= 5, "only {met} attempts were met in {state}: {census:?}");
        }
    }
}

#[test]
fn a_printer_without_a_history_parks_and_never_prints_twice() {
    let plans = [
        Plan { name: "Forgets at once", history: History::None, ..Plan::default() },
        Plan { name: "Forgets soon", history: History::Forget(Duration::from_secs(2)), ..Plan::default() },
        Plan {
            name: "Forgets at once, Print-Job only",
            history: History::None,
            faults: &["no-create-job", "slow-bytes:40000"],
            bytes: (20_000, 40_000),
            ..Plan::default()
        },
        Plan {
            name: "Forgets soon, Print-Job only",
            history: History::Forget(Duration::from_secs(2)),
            faults: &["no-create-job"],
            mishaps: &["lose-answer:print-job:1"],
            page_time: Duration::from_millis(150),
            ..Plan::default()
        },
    ];
    let mut rig = Rig::start(seed(), 85, &plans);
    let started = Instant::now();
    let census = kill_all_along(&mut rig, 10);
    let over = rig.try_until(SETTLE, |rig| {
        rig.open().iter().all(|name| rig.latest.get(*name).is_some_and(|status| status == "unconfirmed"))
    });
    assert!(over, "these are neither over nor parked: {:?}", rig.open());
    rig.wait_for_empty_outbox(SETTLE);
    rig.pump();
    report(&rig, &census, started);
    verdict::statuses_are_in_order(&rig);
    verdict::none_printed_twice(&rig);
}

/// One job on each printer: a history that begins before any attempt under test.
fn warm_up(rig: &mut Rig) {
    for desk in 0..rig.desks.len() {
        rig.submit(desk);
    }
    rig.wait_for_ends(SETTLE);
}

/// Kills the gateway so many times. How many attempts of jobs were met in which state; one that was met in the same
/// state again does not count again.
fn kill_all_along(rig: &mut Rig, kills: usize) -> BTreeMap<String, usize> {
    let mut met = BTreeSet::new();
    for kill in 1..=kills {
        more_work(rig);
        if kill % 8 == 0 {
            // A while without kills: absence at a printer counts only after a while, and holds up what comes after.
            let _ = rig.try_until(Duration::from_secs(14), |rig| rig.open().is_empty());
            more_work(rig);
        }
        let trigger = trigger(rig);
        wait_for(rig, &trigger);
        let book = rig.crash();
        let open: Vec<Entry> = book.jobs.into_iter().filter(|entry| !is_final(&entry.state)).collect();
        let line = open.iter().map(|entry| format!("{} {}", entry.id, entry.state)).collect::<Vec<_>>().join(", ");
        println!("kill {kill} at {trigger:?}: {line}");
        met.extend(open);
        if rig.random.percent(20) {
            let names: Vec<String> = rig.jobs.keys().cloned().collect();
            let name = rig.random.pick(&names).clone();
            rig.submit_again(&name);
        }
    }
    let mut census = BTreeMap::new();
    for entry in met {
        *census.entry(entry.state).or_default() += 1;
    }
    census
}

/// Every printer has something to do, and now and then something goes wrong with it.
fn more_work(rig: &mut Rig) {
    for desk in 0..rig.desks.len() {
        if rig.load(desk) < 2 && rig.random.percent(60) {
            rig.submit(desk);
        }
        let mishaps = rig.desks[desk].mishaps.clone();
        if !mishaps.is_empty() && rig.random.percent(25) {
            let mishap = *rig.random.pick(&mishaps);
            rig.set_fault(desk, mishap);
        }
    }
}

fn trigger(rig: &mut Rig) -> Trigger {
    match rig.random.between(1, 100) {
        1..=25 => Trigger::After(Duration::from_millis(rig.random.between(0, 2_000))),
        26..=45 => {
            let states = ["fetching", "ready", "sending", "sending", "printing", "completed"];
            Trigger::Logged(rig.random.pick::<&'static str>(&states))
        }
        46..=60 => {
            let states = ["accepted", "fetching", "ready", "sending", "printing", "completed"];
            Trigger::Told(rig.random.pick::<&'static str>(&states))
        }
        61..=85 => {
            let most = *rig.random.pick(&[1, 10_000, 60_000, 3_000_000]);
            Trigger::Received(rig.random.between(1, most))
        }
        _ => Trigger::Printed,
    }
}

fn wait_for(rig: &mut Rig, trigger: &Trigger) {
    let told = rig.statuses.len();
    let printed = rig.printed().len();
    let begun = rig.incoming();
    let start = Instant::now();
    let log = rig.gateway.log().len();
    if let Trigger::Logged(state) = trigger {
        let line = format!("to=\"{state}\"");
        while start.elapsed() < NEVER && !rig.gateway.log()[log..].contains(&line) {
            // The pace of the polling: finer than that of the harness, to be there before the next step.
            std::thread::park_timeout(Duration::from_millis(1));
        }
        return;
    }
    // What does not come is no failure: the kill comes anyway.
    let _ = rig.try_until(NEVER, |rig| match trigger {
        Trigger::Logged(_) => true,
        Trigger::After(pause) => start.elapsed() >= *pause,
        Trigger::Told(state) => rig.statuses[told..].iter().any(|status| status.status == *state),
        Trigger::Received(bytes) => {
            let before = |path| begun.iter().find(|(known, _)| known == path).map_or(0, |(_, length)| *length);
            rig.incoming().iter().any(|(path, length)| length >= bytes && before(path) < *bytes)
        }
        Trigger::Printed => rig.printed().len() > printed,
    });
}

fn settle(rig: &mut Rig) {
    rig.wait_for_ends(SETTLE);
    rig.wait_for_empty_outbox(SETTLE);
    rig.pump();
}

fn report(rig: &Rig, census: &BTreeMap<String, usize>, started: Instant) {
    let attempts: u64 = rig
        .jobs
        .keys()
        .map(|name| rig.statuses.iter().filter(|s| s.job == *name).map(|s| s.attempt).max().unwrap_or(0))
        .sum();
    let parked = rig.latest.values().filter(|status| *status == "unconfirmed").count();
    println!(
        "{} jobs, {attempts} attempts, {} on paper, {parked} parked, {} statuses, {} tickets sent again, {:.0?}",
        rig.jobs.len(),
        rig.printed().len(),
        rig.statuses.len(),
        rig.resubmitted,
        started.elapsed()
    );
    println!("attempts met in a state: {census:?}");
}

/// The last start clears what a kill between the book and the file left.
fn no_spool_files_left(rig: &mut Rig) {
    assert_eq!(rig.gateway.stop().code(), Some(0));
    rig.restart();
    let empty = rig.try_until(Duration::from_secs(20), |rig| rig.spool().is_empty());
    assert!(empty, "documents of jobs that are over: {:?}", rig.spool());
}
