//! The harness itself: broker, https server, PDFs, processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

use common::gateway::printgate;
use common::mqtt::{self, Mosquitto, MqttWatch};
use common::process::Process;
use common::{pdf, try_until};
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn messages_reach_the_watch_in_order() {
    let broker = Mosquitto::start();
    let watch = MqttWatch::start(broker.port(), &["printers/#", "other"]);
    for number in 0..20 {
        mqtt::publish(broker.port(), "printers/gw/status", &format!("{{\"n\":{number},\"text\":\"ä \\\"q\\\"\"}}"));
    }
    mqtt::publish(broker.port(), "unheard", "x");
    mqtt::publish(broker.port(), "other", "not JSON");
    let last = watch.wait_for(SOON, "the last message", |message| message.topic == "other");
    assert_eq!(last.payload, "not JSON");
    assert!(last.json().is_null());
    let numbers: Vec<u64> = watch.messages()[..20].iter().map(|m| m.json()["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..20).collect::<Vec<u64>>());
    assert_eq!(watch.messages()[0].json()["text"], "ä \"q\"");
    assert_eq!(watch.messages().len(), 21);
}

#[test]
fn processes_end_with_their_guard() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 1000 & echo $! >child; wait"]).current_dir(&directory);
    let mut parent = Process::start("parent", directory.path(), command);
    let file = directory.path().join("child");
    let child = parent
        .wait_until(SOON, "its child", || std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n')));
    let running = |id: &str| {
        // A zombie has ended; who should reap it is not ours to say.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    };
    assert!(running(&child) && running(&parent.id().to_string()));
    let id = parent.id().to_string();
    drop(parent);
    assert!(!running(&id));
    try_until(SOON, || (!running(&child)).then_some(())).expect("the grandchild ends too");
}

#[test]
fn a_process_says_how_it_ended() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap 'exit 7' TERM; echo trapped; while :; do sleep 0.01; done"]);
    let mut process = Process::start("trap", directory.path(), command);
    let log = process.log_path().to_owned();
    process.wait_until(SOON, "its trap", || std::fs::read_to_string(&log).unwrap().contains("trapped").then_some(()));
    let ended = process.terminate(SOON);
    assert_eq!((ended.code(), ended.signal()), (Some(7), None));
    let mut command = Command::new("sleep");
    command.arg("1000");
    let mut process = Process::start("sleep", directory.path(), command);
    assert!(process.memory().0 > 0);
    assert_eq!(process.kill().signal(), Some(9));
}

#[test]
#[should_panic(expected = "ended (exit status: 3)")]
fn waiting_for_a_process_that_has_ended_fails_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exit 3"]);
    Process::start("gone", directory.path(), command).wait_until(Duration::from_secs(1000), "a miracle", || None::<()>);
}

#[test]
fn the_programs_start_with_a_clean_environment() {
    let output = printgate(&["--version"], &[]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("printgate {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(printgate(&["no-such-command"], &[]).output().unwrap().status.code(), Some(2));
    let command = printgate(&["run"], &[("SVCUID", "token")]);
    assert!(command.get_envs().any(|(name, value)| name == "SVCUID" && value.is_some_and(|value| value == "token")));
    assert!(!command.get_envs().any(|(name, _)| name == "CARGO_MANIFEST_DIR"));
}

#[test]
fn waiting_has_a_deadline() {
    let start = Instant::now();
    assert_eq!(try_until(Duration::from_millis(50), || None::<()>), None);
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[test]
fn pdfs_are_valid() {
    for (document, pages) in
        [(pdf::pdf(1, "a"), 1), (pdf::pdf(12, "(un)balanced ( \\ ü"), 12), (pdf::pdf_of_size(300_000), 1)]
    {
        assert!(document.starts_with(b"%PDF-1.4\n") && document.ends_with(b"%%EOF\n"));
        let text = String::from_utf8(document.clone()).unwrap();
        assert!(text.contains(&format!("/Count {pages} ")));
        // Every entry of the table points at its object, `startxref` at the table.
        let (_, start) = text.rsplit_once("startxref\n").unwrap();
        let table: usize = start.lines().next().unwrap().parse().unwrap();
        assert!(text[table..].starts_with("xref\n0 "));
        let entries: Vec<usize> = text[table..]
            .lines()
            .filter(|line| line.ends_with(" n "))
            .map(|line| line[..10].parse().unwrap())
            .collect();
        assert_eq!(entries.len(), 3 + 2 * pages);
        for (index, offset) in entries.into_iter().enumerate() {
            assert!(text[offset..].starts_with(&format!("{} 0 obj\n", index + 1)), "object {}", index + 1);
        }
    }
    assert_eq!(pdf::pdf_of_size(1_000_000).len(), 1_000_000);
    assert_eq!(pdf::pdf(3, "x"), pdf::pdf(3, "x"));
}

#[cfg(feature = "lab")]
mod https {
    use super::common::https::{HttpsFiles, Reply};
    use super::common::{pdf, process};
    use super::{Command, Duration, SOON};
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    /// curl is the judge.
    fn curl(files: &HttpsFiles, url: &str, more: &[&str]) -> std::process::Output {
        let resolve = format!("files.example:{}:{}", files.address().port(), files.address().ip());
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--max-time", "20", "--resolve", &resolve, "--cacert"])
            .arg(files.ca())
            .args(more)
            .arg(url);
        command.env_remove("https_proxy").env_remove("HTTPS_PROXY").env("NO_PROXY", "*");
        command.output().expect("curl")
    }

    #[test]
    fn documents_arrive_whole_in_parts_and_broken() {
        let files = HttpsFiles::start("files.example", IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
        let document = pdf::pdf_of_size(200_000);
        let url = files.put("/a.pdf", document.clone());
        assert_eq!(curl(&files, &url, &[]).stdout, document);
        assert_eq!(curl(&files, &format!("{url}?sig=1"), &[]).stdout, document);
        assert_eq!(curl(&files, &files.url_by_address("/a.pdf"), &[]).stdout, document);
        assert_eq!(curl(&files, &url, &["-r", "100-199"]).stdout, document[100..200]);
        assert_eq!(curl(&files, &url, &["-r", "150000-"]).stdout, document[150_000..]);
        assert_eq!(files.hits("/a.pdf"), 5);
        assert_eq!(files.requests()[3].range.as_deref(), Some("bytes=100-199"));
        assert_eq!(files.requests()[1].target, "/a.pdf?sig=1");

        let code = |path: &str, more: &[&str]| curl(&files, &files.url(path), more).status.code();
        assert_eq!(code("/missing", &["-f"]), Some(22));
        files.reply("/gone", Reply::Status(410));
        assert_eq!(code("/gone", &["-f"]), Some(22));
        files.reply("/there", Reply::Redirect(url.clone()));
        assert_eq!(curl(&files, &files.url("/there"), &["-L"]).stdout, document);
        let url = files.reply("/unsized", Reply::Unsized(Arc::new(document.clone())));
        assert_eq!(curl(&files, &url, &[]).stdout, document);
        files.reply("/endless", Reply::Endless);
        let endless =
            curl(&files, &files.url("/endless"), &["--max-time", "1", "-o", "/dev/null", "-w", "%{size_download}"]);
        assert_eq!(endless.status.code(), Some(28), "it ends only with the client's patience");
        assert!(String::from_utf8_lossy(&endless.stdout).parse::<u64>().unwrap() > 100_000);
        let document = Arc::new(document);
        files.reply("/cut", Reply::Cut { document: Arc::clone(&document), sent: 1000, hang: false });
        assert!(matches!(code("/cut", &[]), Some(18 | 56)), "a transfer that ends early");
        files.reply("/hang", Reply::Cut { document, sent: 1000, hang: true });
        assert_eq!(code("/hang", &["--max-time", "1"]), Some(28));
    }

    #[test]
    fn the_certificate_is_under_the_authority() {
        let files = HttpsFiles::start("files.example", IpAddr::V4(Ipv4Addr::LOCALHOST));
        let url = files.put("/a", "a");
        let mut stranger = Command::new("curl");
        stranger.args(["-sS", "--max-time", "20", "--resolve"]);
        stranger.arg(format!("files.example:{}:127.0.0.1", files.address().port())).arg(&url).env("NO_PROXY", "*");
        assert_eq!(stranger.output().unwrap().status.code(), Some(60), "a client that does not know the authority");
        let text = process::run(Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(files.ca()));
        assert!(text.contains("CA:TRUE"), "{text}");
        assert!(Duration::ZERO < SOON);
    }
}
