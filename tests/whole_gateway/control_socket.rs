//! The control socket of a running gateway, asked by curl and by the command line.

use crate::common::gateway::printgate;
use crate::common::{pdf, wait_until};
use crate::support::{LONG, Lab, ticket};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Asks with curl: HTTP status and body.
fn curl(socket: &Path, arguments: &[&str], path: &str) -> (u16, Value) {
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}", "--unix-socket"])
        .arg(socket)
        .args(arguments)
        .arg(format!("http://printgate{path}"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn ask(directory: &Path, arguments: &[&str]) -> Output {
    let mut all = arguments.to_vec();
    let directory = directory.to_str().unwrap();
    all.extend(["--work-dir", directory]);
    printgate(&all, &[]).output().unwrap()
}

#[track_caller]
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_running_gateway_tells_of_itself() {
    let mut lab = Lab::start(2, &["--page-time", "1"], &json!({}));
    let id = lab.cloud.printer("Colour");
    let document = pdf::pdf(2, "asked");
    lab.files.put("/asked.pdf", document.clone());
    let url = lab.files.url_by_address("/asked.pdf");
    lab.cloud.submit(&id, &ticket("asked-1", &url, &document));
    lab.cloud.wait_status("asked-1", "completed");
    let directory = lab.gateway.directory().to_owned();
    let socket = directory.join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);

    // By curl, an HTTP client that we did not write.
    let (code, status) = wait_until(LONG, "both printers and an empty outbox", || {
        let answer = curl(&socket, &[], "/v1/status");
        (answer.1["printers"]["online"] == 2 && answer.1["outbox"]["depth"] == 0).then_some(answer)
    });
    assert_eq!((code, &status["gateway"], &status["state"]), (200, &json!("gw1"), &json!("running")));
    assert_eq!(status["jobs"], json!({"completed": 1}));
    assert_eq!(status["config"], json!({"valid": true, "errors": []}));
    assert!(status["cloud"]["heardAt"].is_string() && status["cloud"]["confirmed"].as_u64() > Some(3), "{status}");
    let (_, printers) = curl(&socket, &[], "/v1/printers");
    assert_eq!(printers["printers"].as_array().map(Vec::len), Some(2));
    let (_, detail) = curl(&socket, &[], "/v1/printers/Colour");
    assert_eq!((&detail["id"], &detail["jobs"][0]["id"]), (&json!(id), &json!("asked-1")));
    assert!(detail["supplies"].as_array().is_some_and(|s| s.len() >= 4), "{detail}");
    let (_, job) = curl(&socket, &[], "/v1/jobs/asked-1");
    let states: Vec<&str> = job["history"].as_array().unwrap().iter().map(|h| h["state"].as_str().unwrap()).collect();
    assert!(states.starts_with(&["accepted"]) && states.ends_with(&["completed"]), "{states:?}");
    assert!(!job.to_string().contains("/asked.pdf"), "the document's URL is a secret: {job}");
    let (_, events) = curl(&socket, &[], &format!("/v1/events?printer={id}&limit=5"));
    assert!(events["events"].as_array().is_some_and(|e| !e.is_empty() && e.len() <= 5), "{events}");

    // What is not there, and what is not done.
    for (arguments, path, code, keyword) in [
        (&[][..], "/v1/printers/none", 404, "unknown-printer"),
        (&[], "/v1/jobs/none", 404, "unknown-job"),
        (&[], "/v1/jobs?state=lost", 400, "unknown-state"),
        (&[], "/v1/jobs?limit=many", 400, "bad-query"),
        (&[], "/etc/passwd", 404, "no-such-path"),
        (&["--request", "DELETE"], "/v1/jobs/asked-1", 405, "only-get"),
    ] {
        let (status, body) = curl(&socket, arguments, path);
        assert_eq!((status, &body["error"]["code"]), (code, &json!(keyword)), "{path}: {body}");
    }

    // By the command line.
    let shown = text(&ask(&directory, &["status"]));
    assert!(shown.contains("gw1, printgate") && shown.contains("jobs      1 completed"), "{shown}");
    let shown = text(&ask(&directory, &["printers"]));
    assert!(shown.starts_with("ID ") && shown.contains(&id) && shown.contains("Reception"), "{shown}");
    let shown = text(&ask(&directory, &["printers", "colour"]));
    assert!(shown.contains("Yellow Toner") && shown.contains("latest jobs") && shown.contains("asked-1"), "{shown}");
    let shown = text(&ask(&directory, &["jobs", "--printer", "Colour", "--state", "completed"]));
    assert!(shown.contains("asked-1") && shown.contains("2 reported"), "{shown}");
    assert!(text(&ask(&directory, &["jobs", "--printer", "Reception"])).contains("no jobs"));
    assert!(text(&ask(&directory, &["jobs", "asked-1"])).contains("SEQ"));
    assert!(text(&ask(&directory, &["outbox"])).contains("CLASS"));
    assert!(text(&ask(&directory, &["events"])).contains("CODE"));
    for command in [&["status"][..], &["printers"], &["jobs"], &["outbox"], &["events"]] {
        let mut with_json = command.to_vec();
        with_json.push("--json");
        serde_json::from_str::<Value>(&text(&ask(&directory, &with_json))).unwrap();
    }
    let unknown = ask(&directory, &["jobs", "none"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no job has the id `none`"), "{unknown:?}");
    assert_eq!(ask(&directory, &["jobs", "--state", "lost"]).status.code(), Some(2));

    // It goes with the gateway, and says so; a gateway that was killed leaves a socket that the next one replaces.
    lab.gateway.kill();
    assert!(socket.exists());
    lab.gateway.restart();
    wait_until(LONG, "an answer after a kill", || ask(&directory, &["status"]).status.success().then_some(()));
    lab.gateway.stop();
    assert!(!socket.exists());
    let nobody = ask(&directory, &["status"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no gateway answers at"), "{nobody:?}");
}

#[test]
fn strangers_are_refused_and_slow_ones_hold_nobody_up() {
    let lab = Lab::start(1, &[], &json!({}));
    lab.cloud.wait_online(1);
    let socket = lab.gateway.directory().join("control.sock");
    assert_eq!(curl(&socket, &[], "/v1/status").0, 200);

    // Connections that say nothing: more than there are places. Each loses its place after a few seconds.
    let silent: Vec<_> = (0..20).map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap()).collect();
    wait_until(LONG, "an answer beside silent connections", || {
        (curl(&socket, &[], "/v1/status").0 == 200).then_some(())
    });
    drop(silent);

    if Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n") {
        // As another user, past the file's mode: the credentials are looked at too.
        for directory in lab.gateway.directory().ancestors().take_while(|path| path.starts_with(std::env::temp_dir())) {
            if directory != std::env::temp_dir() {
                std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
        let as_nobody = |groups: &str| {
            let output = Command::new("setpriv")
                .args(["--reuid=65534", "--regid=65534", groups, "curl", "--silent", "--max-time", "20"])
                .args(["--write-out", "%{http_code}", "--output", "/dev/null", "--unix-socket"])
                .arg(&socket)
                .arg("http://printgate/v1/status")
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(as_nobody("--clear-groups"), "403");
        assert_eq!(as_nobody("--groups=0"), "200", "a member of the gateway's group may ask");
    } else {
        println!("not root: what another user is answered is not tried");
    }
}

#[test]
fn completion_scripts_are_what_their_shells_take() {
    for (shell, check) in [
        ("bash", "source FILE && complete -p printgate"),
        ("zsh", "autoload -U compinit && compinit -D && source FILE && whence _printgate"),
        ("fish", "source FILE && complete -C 'printgate out' | string match -r outbox"),
    ] {
        let script = text(&printgate(&["completions", shell], &[]).output().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("script");
        std::fs::write(&file, script).unwrap();
        let line = check.replace("FILE", file.to_str().unwrap());
        let output = Command::new(shell).args(["-c", &line]).env("HOME", directory.path()).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run {shell}: {error}; `tests/run` installs it"));
        assert!(output.status.success(), "{shell}: {output:?}");
    }
    assert_eq!(printgate(&["completions", "tcsh"], &[]).output().unwrap().status.code(), Some(2));
}
