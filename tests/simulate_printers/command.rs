//! `printgate simulate` with a script, and its client for a running office.

use crate::office::{DEADLINE, run, until};
use serde_json::Value;
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

fn simulate(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_printgate"));
    command.args(["simulate", "--no-mdns", "--json", "--printers", "9", "--address", "127.0.87.1", "--dir"]).arg(dir);
    command.kill_on_drop(true);
    command
}

async fn start(dir: &Path, arguments: &[&str]) -> (Child, Vec<Value>) {
    let mut command = simulate(dir);
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().expect("it starts");
    let ready: Value = serde_json::from_str(&line).unwrap();
    (child, ready["printers"].as_array().unwrap().clone())
}

async fn control(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_printgate"));
    command.args(["simulate", "--control"]).arg(dir).args(words);
    run(command).await
}

async fn display(printer: &Value) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", &format!("http://{}/", printer["address"].as_str().unwrap())]);
    let text = String::from_utf8(run(curl).await.stdout).unwrap();
    text.lines().last().unwrap_or("nobody there").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_office_of_all_kinds_is_ruled_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let (_child, printers) = start(dir.path(), &[]).await;
    let text = |printer: &Value, key: &str| printer[key].as_str().unwrap_or("-").to_owned();
    let profiles: Vec<String> = printers.iter().map(|printer| text(printer, "profile")).collect();
    assert_eq!(
        profiles,
        [
            "office-colour",
            "mono-laser",
            "label",
            "old-mono",
            "inkjet",
            "mfp",
            "print-server",
            "print-server",
            "print-server"
        ]
    );
    let uris: Vec<String> = printers.iter().map(|printer| text(printer, "uri")).collect();
    assert!(uris[3].starts_with("socket://127.0.87.4:"), "{uris:?}");
    assert!(uris[8].starts_with("ipp://127.0.87.7:") && uris[8].ends_with("/ipp/port3"), "{uris:?}");
    let copier = &printers[5];
    assert_eq!(display(copier).await, "Ready");
    assert!(control(dir.path(), &["Copier", "waste-full"]).await.status.success());
    assert_eq!(display(copier).await, "Waste Toner Container full");
    assert!(control(dir.path(), &["Copier", "clear", "waste-full"]).await.status.success());
    assert_eq!(display(copier).await, "Ready");
    let listed: Value = serde_json::from_slice(&control(dir.path(), &[]).await.stdout).unwrap();
    assert_eq!(listed["printers"].as_array(), Some(&printers));
    for (words, code, error) in [
        (["Copier", "explode"].as_slice(), 2, "`explode` is no order"),
        (&["Nobody", "jam"], 1, "no printer is called `Nobody`"),
        (&["Labels", "waste-full"], 1, "it has no waste box"),
        (&["Labels"], 2, "write PRINTER and an order"),
    ] {
        let output = control(dir.path(), words).await;
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(error), "{text}");
    }
    let nobody = tempfile::tempdir().unwrap();
    assert!(!control(nobody.path(), &["Copier", "jam"]).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_checked_at_the_start_and_carried_out_in_its_times() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("day.script");
    std::fs::write(&script, "at 1s Reception jam\nat 1s Nobody jam\nat soon Reception clear\n").unwrap();
    let mut wrong = simulate(&dir.path().join("out"));
    wrong.arg("--script").arg(&script);
    let output = run(wrong).await;
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("line 2: no printer is called `Nobody`") && text.contains("line 3: `soon` is no time"),
        "{text}"
    );

    let text = "# paper and power\nat 200ms Reception out-of-paper\nat 3s Reception clear out-of-paper\n\
                at 3s Copier power-off keep-queue\nat 5s Copier power-on\n";
    std::fs::write(&script, text).unwrap();
    let (_child, printers) = start(&dir.path().join("out"), &["--script", script.to_str().unwrap()]).await;
    for (printer, shows) in [(1, "Out of paper: fill tray-1"), (1, "Ready"), (5, "nobody there"), (5, "Ready")] {
        until(shows, async || (display(&printers[printer]).await == shows).then_some(())).await;
    }
}
