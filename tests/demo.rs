//! `printgate demo`: every step happens, and nothing is left behind, however it ends.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

use common::gateway::printgate;
use common::process::Process;
use common::{try_until, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The whole story, on a machine that has other things to do.
const STORY: Duration = Duration::from_secs(120);
/// From a signal to the end: the gateway's 4 s, and the rest.
const END: Duration = Duration::from_secs(15);

const STEPS: [&str; 16] = [
    "nucleus",
    "office",
    "gateway",
    "printers",
    "shadows",
    "submit",
    "printed",
    "label",
    "jam",
    "unjammed",
    "cut",
    "outage",
    "restored",
    "reconciled",
    "cleared",
    "drained",
];

/// A running demo whose temporary directory is a directory of its own.
struct Demo {
    process: Process,
    directory: tempfile::TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Demo {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        let mut command = printgate(&["demo", "--json"], &[]);
        command.args(arguments).env("TMPDIR", directory.path().join("tmp")).env_remove("PRINTGATE_LOG");
        let process = Process::start("demo", directory.path(), command);
        Demo { process, directory }
    }

    /// The JSON lines so far.
    fn told(&self) -> Vec<Value> {
        self.process.log().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    fn wait_for_step(&mut self, name: &str) -> Value {
        let log = self.process.log_path().to_owned();
        self.process.wait_until(STORY, &format!("step {name}"), || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|step| step["step"] == name)
        })
    }

    fn temporary(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    /// No file, and no process that was started with a path of ours.
    fn assert_nothing_left(&self) {
        let left: Vec<PathBuf> = std::fs::read_dir(self.temporary()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new());
        let gone = try_until(Duration::from_secs(2), || processes_of(&self.temporary()).is_empty().then_some(()));
        assert!(gone.is_some(), "{:?}", processes_of(&self.temporary()));
    }

    fn signal(&self, name: &str) {
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &self.process.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }
}

/// Processes with `path` in their command line.
fn processes_of(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let ids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    ids.filter(|id| id.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|id| std::fs::read(format!("/proc/{id}/cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(path))
        .collect()
}

#[test]
fn every_step_happens_and_nothing_is_left() {
    let mut demo = Demo::start(&["--exit"]);
    let ended = demo.process.wait(STORY);
    let told = demo.told();
    let (last, steps) = told.split_last().unwrap();
    assert!(steps.iter().all(|step| step["ok"] == true), "{}", demo.process.log());
    let names: Vec<&str> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, [&STEPS[..], &["end"]].concat());
    assert_eq!((last["ok"].as_bool(), ended.code()), (Some(true), Some(0)));
    let detail = |name: &str| &steps.iter().find(|step| step["step"] == name).unwrap()["detail"];

    assert_eq!(detail("printers")["printers"].as_object().unwrap().len(), 4);
    let menu_and_memo = detail("outage")["printed"].as_array().unwrap();
    assert_eq!(menu_and_memo.len(), 2);
    for printed in menu_and_memo.iter().chain([detail("printed")]) {
        assert_eq!((&printed["sha256"], &printed["tls"]), (&printed["documentSha256"], &true.into()));
    }
    assert_eq!((&menu_and_memo[0]["impressions"], &detail("outage")["heardByTheCloud"]), (&6.into(), &0.into()));
    for (job, statuses) in detail("restored")["statuses"].as_object().unwrap() {
        let seqs: Vec<u64> = statuses.as_array().unwrap().iter().map(|told| told["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "{job}");
    }
    let kept = &detail("restored")["kept"];
    assert!(kept["jobStatuses"].as_u64() >= Some(1) && kept["events"].as_u64() >= Some(1), "{kept}");
    assert_eq!(detail("reconciled")["reported"]["error_code"], "media-empty");
    let status = &detail("drained")["status"];
    assert_eq!((&status["outbox"]["depth"], &status["printers"]["known"]), (&0.into(), &4.into()));
    // The old laser told its pages over the back channel, and nothing was printed twice.
    let unjammed = detail("unjammed");
    assert_eq!(unjammed["last"]["pages"]["reported"], 5, "{unjammed}");
    assert_eq!((&unjammed["printed"]["via"], &unjammed["last"]["attempt"]), (&"appsocket".into(), &1.into()));
    demo.assert_nothing_left();
}

#[test]
fn it_stays_up_until_ctrl_c_and_the_commands_it_shows_work() {
    let mut demo = Demo::start(&[]);
    let explore = demo.wait_for_step("explore");
    let detail = &explore["detail"];
    let shell = |command: &str| {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let shadow: Value = serde_json::from_str(&shell(detail["shadow"].as_str().unwrap())).unwrap();
    assert_eq!(shadow["state"]["reported"]["name"], "Colour");
    assert!(shell(detail["probe"].as_str().unwrap()).contains("ColorJet"));
    assert!(shell(detail["status"].as_str().unwrap()).contains("4 known"));
    shell(detail["fault"].as_str().unwrap());
    shell(&detail["fault"].as_str().unwrap().replace("out-of-paper", "clear"));
    shell(detail["print"].as_str().unwrap());
    let printed = PathBuf::from(detail["directory"].as_str().unwrap()).join("paper/printed.jsonl");
    wait_until(Duration::from_secs(20), "the page printed by hand", || {
        std::fs::read_to_string(&printed).unwrap().contains("By hand").then_some(())
    });
    assert!(Path::new(detail["log"].as_str().unwrap()).is_file());

    // A terminal sends it to the gateway as well.
    let gateway = demo.wait_for_step("gateway")["detail"]["pid"].to_string();
    assert!(Command::new("kill").args(["-INT", &demo.process.id().to_string(), &gateway]).status().unwrap().success());
    assert_eq!(demo.process.wait(END).code(), Some(0), "{}", demo.process.log());
    demo.assert_nothing_left();
}

#[test]
fn a_signal_in_the_middle_of_the_story_ends_it_with_everything_gone() {
    for name in ["HUP", "TERM"] {
        let mut demo = Demo::start(&["--exit"]);
        demo.wait_for_step("printers");
        demo.signal(name);
        assert_eq!(demo.process.wait(END).code(), Some(1), "{}", demo.process.log());
        let told = demo.told();
        assert!(
            told.iter()
                .any(|step| step["ok"] == false
                    && step["detail"]["waitedFor"].as_str().is_some_and(|w| w.contains(name)))
        );
        demo.assert_nothing_left();
    }
}

#[test]
fn an_output_that_nobody_reads_any_more_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = printgate(&["demo", "--exit"], &[]);
    command.env("TMPDIR", directory.path()).env_remove("PRINTGATE_LOG");
    let logs = tempfile::tempdir().unwrap();
    let mut process = Process::start_piped("demo", logs.path(), command);
    let mut line = String::new();
    BufReader::new(process.stdout()).read_line(&mut line).unwrap();
    assert!(line.contains("nucleus"), "{line}");
    assert_eq!(process.wait(END).code(), Some(1), "{}", process.log());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    assert_eq!(processes_of(directory.path()), Vec::<String>::new());
}

#[test]
fn a_gateway_that_dies_fails_the_step_with_its_log() {
    let mut demo = Demo::start(&["--exit"]);
    let pid = demo.wait_for_step("gateway")["detail"]["pid"].to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    assert_eq!(demo.process.wait(END).code(), Some(1), "{}", demo.process.log());
    let told = demo.told();
    let failed = told.iter().find(|step| step["ok"] == false).unwrap();
    assert!(failed["detail"]["waitedFor"].as_str().unwrap().contains("ended by itself"), "{failed}");
    assert!(!failed["detail"]["log"].as_array().unwrap().is_empty(), "{failed}");
    assert_eq!(told.last().unwrap()["ok"], false);
    demo.assert_nothing_left();
}

#[test]
fn a_directory_to_keep_must_be_empty_and_is_kept() {
    let mut demo = Demo::start(&["--exit", "--keep", "."]);
    assert_eq!(demo.process.wait(END).code(), Some(2), "{}", demo.process.log());

    let kept = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&["--exit", "--keep", kept.path().to_str().unwrap()]);
    demo.wait_for_step("gateway");
    demo.signal("TERM");
    assert_eq!(demo.process.wait(END).code(), Some(1));
    assert!(kept.path().join("gateway/jobs.db").is_file());
    assert!(kept.path().join("gateway.log").is_file());
    let sockets = ["nucleus.sock", "nucleus-control.sock", "paper/simulate-control.sock"];
    assert!(sockets.iter().all(|name| !kept.path().join(name).exists()));
    demo.assert_nothing_left();
}
