//! SIGTERM in each phase of a job: the gateway ends in time, with success, and goes on where it was.

use super::common::gateway::STOP;
use super::rig::{Plan, Rig, seed};
use super::verdict;
use std::time::Duration;

/// For what a printer or the gateway has to do in between.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_gateway_that_is_asked_to_stop_ends_in_time_and_goes_on() {
    let plans = [
        Plan { name: "Quick", ..Plan::default() },
        // Some 15 s for a document: far more than the grace.
        Plan { name: "Slow reader", faults: &["slow-bytes:20000"], bytes: (300_000, 300_000), ..Plan::default() },
        Plan {
            name: "Slow reader, Print-Job only",
            faults: &["slow-bytes:20000", "no-create-job"],
            bytes: (300_000, 300_000),
            ..Plan::default()
        },
        Plan { name: "Slow pages", page_time: Duration::from_secs(2), pages: (3, 3), ..Plan::default() },
    ];
    let mut rig = Rig::start(seed(), 86, &plans);

    stop(&mut rig, "idle");
    rig.restart();
    for desk in [0, 3] {
        rig.submit(desk);
    }
    rig.wait_for_ends(SOON);

    let fetching = rig.submit_held_back(0, Duration::from_secs(20));
    rig.wait_for_status(SOON, &fetching, "fetching");
    let document = rig.jobs[&fetching].path.clone();
    assert!(rig.try_until(SOON, |rig| rig.files.hits(&document) > 0), "the document is asked for");
    stop(&mut rig, "fetching");
    rig.restart();
    rig.hand_out_documents();

    for desk in [1, 2] {
        let sending = rig.submit_plainly(desk);
        rig.wait_for_status(SOON, &sending, "sending");
        assert!(rig.try_until(SOON, |rig| rig.incoming().iter().any(|(_, bytes)| *bytes > 0)), "bytes at the printer");
        stop(&mut rig, "sending");
        assert_eq!(rig.book().state(&sending).map(|state| state.starts_with("sending")), Some(true));
        // Otherwise the next attempt takes as long again.
        rig.office.clear_fault(plans[desk].name, Some("slow-bytes")).unwrap();
        rig.restart();
        assert!(rig.try_until(SOON, |rig| !rig.open().contains(&sending.as_str())), "{sending} does not end");
    }

    let printing = rig.submit_plainly(3);
    rig.wait_for_status(SOON, &printing, "printing");
    stop(&mut rig, "printing");
    rig.restart();

    rig.wait_for_ends(SOON);
    rig.wait_for_empty_outbox(SOON);
    rig.pump();
    verdict::statuses_are_in_order(&rig);
    verdict::all_printed_once(&rig);
}

fn stop(rig: &mut Rig, phase: &str) {
    let ended = rig.gateway.stop();
    println!("{phase}: ended after {:?}", ended.after);
    assert_eq!(ended.code(), Some(0), "stopped while {phase}: {:?}", ended.status);
    assert!(ended.after < STOP);
}
