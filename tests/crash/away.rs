//! What printers do while the gateway is dead, at the instants that chance seldom meets.

use super::common::process;
use super::rig::{Desk, Plan, Rig, seed};
use super::verdict;
use printgate::simulate::History;
use std::process::{Command, Stdio};
use std::time::Duration;

/// For what a printer or the gateway has to do in between.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_job_canceled_at_the_printer_meanwhile_ends_canceled() {
    let plan = Plan { name: "Slow pages", page_time: Duration::from_secs(30), pages: (1, 1), ..Plan::default() };
    let mut rig = Rig::start(seed(), 87, &[plan]);
    let job = rig.submit_plainly(0);
    let id = rig.wait_for_status(SOON, &job, "printing").printer_job.expect("its id at the printer");
    rig.gateway.kill();
    ask(&rig.desks[0], "Cancel-Job", &format!("ATTR integer job-id {id}"));
    rig.restart();
    rig.wait_for_status(SOON, &job, "canceled");
    rig.wait_for_ends(SOON);
    verdict::statuses_are_in_order(&rig);
    assert!(rig.printed().is_empty());
}

/// The connection of a dead gateway holds the whole request, and the printer reads it only later. Until then the job is
/// in none of its lists, though its history reaches back far enough.
#[test]
fn a_request_that_the_printer_reads_late_is_not_sent_again() {
    let plan = Plan { name: "Late reader", faults: &["no-create-job"], pages: (1, 1), ..Plan::default() };
    let mut rig = Rig::start(seed(), 88, &[plan]);
    let before = rig.submit_plainly(0);
    rig.wait_for_status(SOON, &before, "completed");
    // The printer's clock counts seconds, and its history must show that the job before ended before this attempt.
    let ended = rig.printed()[0].at;
    assert!(rig.try_until(SOON, |_| jiff::Timestamp::now().duration_since(ended).as_secs() >= 2));
    rig.set_fault(0, "slow-bytes:150");
    let job = rig.submit_plainly(0);
    rig.wait_for_status(SOON, &job, "sending");
    // That the request has left us shows nowhere; it takes milliseconds, and the printer reads it for seconds.
    let _ = rig.try_until(Duration::from_millis(300), |_| false);
    rig.gateway.kill();
    rig.office.clear_fault("Late reader", Some("slow-bytes")).unwrap();
    rig.restart();
    rig.wait_for_ends(SOON);
    verdict::statuses_are_in_order(&rig);
    let end = rig.wait_for_status(SOON, &job, "completed");
    assert_eq!(end.attempt, 1, "the request was whole:\n{}", verdict::whole_story(&rig, &job));
    verdict::all_printed_once(&rig);
}

/// A printer forgets jobs some time after they ended. One that was created before ours and ended after it is still
/// listed when ours is forgotten: the list does not cover our attempt, however old that job is.
#[test]
fn an_old_job_that_ended_late_proves_nothing() {
    let plan = Plan {
        name: "Forgets soon",
        history: History::Forget(Duration::from_secs(4)),
        pages: (1, 1),
        time_out: Duration::from_secs(12),
        ..Plan::default()
    };
    let mut rig = Rig::start(seed(), 89, &[plan]);
    ask(&rig.desks[0], "Create-Job", "ATTR name job-name somebody-else");
    rig.set_fault(0, "no-create-job");
    rig.set_fault(0, "slow-bytes:700");
    let job = rig.submit_plainly(0);
    rig.wait_for_status(SOON, &job, "sending");
    let _ = rig.try_until(Duration::from_millis(300), |_| false);
    rig.gateway.kill();
    rig.office.clear_fault("Forgets soon", Some("slow-bytes")).unwrap();
    assert!(rig.try_until(SOON, |rig| rig.printed().len() == 1), "the whole document was on its way");
    let forgotten = rig.try_until(SOON, |rig| {
        let listed = completed_jobs(&rig.desks[0]);
        listed.contains("somebody-else") && !listed.contains(&job)
    });
    assert!(forgotten, "{}", completed_jobs(&rig.desks[0]));
    rig.restart();
    rig.wait_for_status(SOON, &job, "unconfirmed");
    verdict::statuses_are_in_order(&rig);
    verdict::none_printed_twice(&rig);
}

/// Sends a printer an operation with ipptool; fails unless it succeeds.
fn ask(desk: &Desk, operation: &str, attributes: &str) {
    let test = format!(
        "{{\nOPERATION {operation}\nGROUP operation-attributes-tag\nATTR charset attributes-charset utf-8\n\
         ATTR language attributes-natural-language en\nATTR uri printer-uri $uri\n{attributes}\nSTATUS successful-ok\n}}\n"
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ask.test");
    std::fs::write(&file, test).unwrap();
    process::run(Command::new("ipptool").args(["-tv", &desk.uri]).arg(&file));
}

/// The printer's list of finished jobs, as text.
fn completed_jobs(desk: &Desk) -> String {
    let mut command = Command::new("ipptool");
    let output = command.args(["-tv", &desk.uri, "get-completed-jobs.test"]).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
