//! A plain TCP client, TLS seen by `openssl`, the control socket and the command.

use crate::office::{DEADLINE, Lab, pdf, printer, run};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;
use tokio::time::timeout;

/// An IPP request without document: the fixed operation attributes, then these (value tag, name, value).
pub(crate) fn ipp_message(operation: u16, attributes: &[(u8, &str, &[u8])]) -> Vec<u8> {
    let mut message = vec![2, 0];
    message.extend(operation.to_be_bytes());
    message.extend(1u32.to_be_bytes());
    message.push(1);
    let fixed: [(u8, &str, &[u8]); 3] = [
        (0x47, "attributes-charset", b"utf-8"),
        (0x48, "attributes-natural-language", b"en"),
        (0x45, "printer-uri", b"ipp://localhost/ipp/print"),
    ];
    for (tag, name, value) in fixed.iter().chain(attributes) {
        message.push(*tag);
        message.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        message.extend(name.as_bytes());
        message.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        message.extend(*value);
    }
    message.push(3);
    message
}

/// Get-Printer-Attributes.
pub(crate) fn get_printer_attributes() -> Vec<u8> {
    ipp_message(0x000b, &[])
}

/// All that came back until the connection was closed.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    /// The connection was closed in order, not reset.
    pub(crate) whole: bool,
}

fn http_head(length: usize) -> String {
    format!(
        "POST /ipp/print HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/ipp\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )
}

fn address(lab: &Lab) -> SocketAddr {
    lab.office.printers()[0].address
}

/// Posts a request and reads to the end.
pub(crate) async fn post(lab: &Lab, message: &[u8], document: &[u8]) -> Reply {
    let work = async {
        let mut stream = TcpStream::connect(address(lab)).await.unwrap();
        let request = [http_head(message.len() + document.len()).as_bytes(), message, document].concat();
        // The printer may have closed already; what it sent tells.
        let _ = stream.write_all(&request).await;
        let mut bytes = Vec::new();
        let whole = stream.read_to_end(&mut bytes).await.is_ok();
        Reply { bytes, whole }
    };
    timeout(Duration::from_secs(60), work).await.expect("an end in time")
}

/// Posts a request and records the size and time of the first reads.
pub(crate) async fn post_slowly(lab: &Lab, message: &[u8], reads: usize) -> Vec<(usize, Instant)> {
    let mut stream = TcpStream::connect(address(lab)).await.unwrap();
    stream.write_all(http_head(message.len()).as_bytes()).await.unwrap();
    stream.write_all(message).await.unwrap();
    let mut seen = Vec::new();
    let mut block = [0; 1024];
    while seen.len() < reads {
        let n = timeout(DEADLINE, stream.read(&mut block)).await.unwrap().unwrap();
        assert!(n > 0, "closed after {seen:?}");
        seen.push((n, Instant::now()));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dies_within_a_document_prints_nothing() {
    let lab = printer(|_| ()).await;
    let message = ipp_message(0x0002, &[(0x42, "job-name", b"cut")]);
    let document = pdf(50);
    // Every cut: after the IPP attributes, within the document, one byte before its end.
    for (job, cut) in [(1, 1), (2, document.len() / 2), (3, document.len() - 1)] {
        let mut stream = TcpStream::connect(address(&lab)).await.unwrap();
        stream.write_all(http_head(message.len() + document.len()).as_bytes()).await.unwrap();
        stream.write_all(&message).await.unwrap();
        stream.write_all(&document[..cut]).await.unwrap();
        lab.job_shows(job, "job-state-reasons", "job-incoming").await;
        drop(stream);
        lab.job_shows(job, "job-state", "aborted").await;
        assert_eq!(lab.job(job, "job-impressions-completed").await.as_deref(), Some("0"));
    }
    // A chunked body without its last chunk is incomplete too.
    let mut stream = TcpStream::connect(address(&lab)).await.unwrap();
    let head =
        "POST /ipp/print HTTP/1.1\r\nHost: x\r\nContent-Type: application/ipp\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = [message.as_slice(), &document].concat();
    stream.write_all(format!("{head}{:x}\r\n", body.len()).as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    stream.write_all(b"\r\n").await.unwrap();
    lab.job_shows(4, "job-state-reasons", "job-incoming").await;
    drop(stream);
    lab.job_shows(4, "job-state", "aborted").await;
    assert!(lab.log().is_empty());
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_whole_prints_once_though_its_client_is_gone() {
    let lab = printer(|_| ()).await;
    let message = ipp_message(0x0002, &[(0x42, "job-name", b"gone")]);
    let document = pdf(2);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address(&lab)).await.unwrap();
        let request = [http_head(message.len() + document.len()).as_bytes(), &message, &document].concat();
        stream.write_all(&request).await.unwrap();
        drop(stream);
    }
    let printed = lab.printed(20).await;
    let ids: std::collections::BTreeSet<i32> = printed.iter().map(|line| line.job_id).collect();
    assert_eq!((ids.len(), printed.len()), (20, 20));
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_ipp_is_refused_politely() {
    let lab = printer(|_| ()).await;
    for body in [b"hello".as_slice(), &[0xff; 4000], &[2, 0, 0, 11, 0, 0, 0, 1, 1, 0x34, 0xff]] {
        let reply = post(&lab, body, b"").await;
        assert!(reply.bytes.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&reply.bytes));
    }
    // A text-with-language value whose inner length points outside: the ipp crate panics on it.
    let evil = ipp_message(0x000b, &[(0x35, "message", &[0xff, 0xff, 1, 2])]);
    post(&lab, &evil, b"").await;
    assert_eq!(lab.attribute("printer-state").await, "idle");
    lab.office.shutdown().await;
}

pub(crate) async fn fingerprint(address: SocketAddr) -> String {
    let mut command = Command::new("sh");
    let script =
        "openssl s_client -connect \"$0\" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256 -subject";
    command.args(["-c", script, &address.to_string()]);
    let output = run(command).await;
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_speaks_tls_too_with_a_certificate_that_can_change() {
    let lab = printer(|spec| spec.tls = true).await;
    let info = lab.office.printers().remove(0);
    let first = fingerprint(info.address).await;
    assert!(first.contains("sha256 Fingerprint=") && first.contains(&info.host), "{first}");
    assert_eq!(first, fingerprint(info.address).await);
    lab.office.replace_certificate("P").unwrap();
    assert_ne!(first, fingerprint(info.address).await);
    // A TLS client prints.
    let document = lab.pdf(1);
    let test = crate::office::print_job("ATTR integer copies 1", "STATUS successful-ok");
    let file = lab.dir.path().join("tls.test");
    std::fs::write(&file, test).unwrap();
    let uris = info.uris.unwrap();
    let ran = crate::office::ipptool(&uris, &file, &["-f", document.to_str().unwrap()]).await;
    assert!(ran.passed(), "{}", ran.text);
    lab.printed(1).await;
    assert!(lab.attribute("printer-uri-supported").await.contains(&uris));
    lab.office.shutdown().await;
}

struct Control(Lines<BufReader<tokio::net::unix::OwnedReadHalf>>, tokio::net::unix::OwnedWriteHalf);

impl Control {
    async fn open(path: &std::path::Path) -> Control {
        let (input, output) = UnixStream::connect(path).await.unwrap().into_split();
        Control(BufReader::new(input).lines(), output)
    }

    async fn say(&mut self, line: &str) -> Value {
        self.1.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let answer = timeout(DEADLINE, self.0.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_socket_sets_faults_and_power() {
    let lab = printer(|_| ()).await;
    let mut control = Control::open(lab.office.control_socket().unwrap()).await;
    let ok = json!({"ok": true});
    assert_eq!(control.say(r#"{"do":"set-fault","printer":"P","fault":"out-of-paper"}"#).await, ok);
    assert_eq!(lab.attribute("printer-state").await, "stopped");
    let cleared = control.say(r#"{"do":"clear-fault","printer":"P","fault":"out-of-paper"}"#).await;
    assert_eq!(cleared, json!({"ok": true, "cleared": true}));
    assert_eq!(lab.attribute("printer-state").await, "idle");
    assert_eq!(control.say(r#"{"do":"power-off","printer":"P"}"#).await, ok);
    assert!(TcpStream::connect(address(&lab)).await.is_err());
    assert_eq!(control.say(r#"{"do":"power-on","printer":"P"}"#).await, ok);
    assert_eq!(control.say(r#"{"do":"printers"}"#).await["printers"][0]["name"], "P");
    for wrong in [
        "no json",
        r#"{"do":"dance"}"#,
        r#"{"do":"set-fault","printer":"Q","fault":"busy"}"#,
        r#"{"do":"set-fault","printer":"P","fault":"flat-tyre"}"#,
    ] {
        assert_eq!(control.say(wrong).await["ok"], false, "{wrong}");
    }
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_where_it_is_and_ends_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_printgate"))
        .args(["simulate", "--no-mdns", "--json", "--printers", "4", "--address", "127.0.85.1", "--tls"])
        .args(["--fault", "Labels=busy", "--dir"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let names: Vec<&str> = ready["printers"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Colour", "Reception", "Labels", "Archive"]);
    assert!(ready["printers"][2]["uris"].as_str().unwrap().starts_with("ipps://127.0.85.3:"));
    assert!(ready["printers"][3]["uri"].as_str().unwrap().starts_with("socket://127.0.85.4:"));
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &child.id().unwrap().to_string()]);
    assert!(run(kill).await.status.success());
    let status = timeout(Duration::from_secs(4), child.wait()).await.expect("ends in time").unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(!dir.path().join("simulate-control.sock").exists());

    let mut wrong = Command::new(env!("CARGO_BIN_EXE_printgate"));
    wrong.args(["simulate", "--no-mdns", "--fault", "Nobody=busy", "--dir"]).arg(dir.path());
    let output = run(wrong).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no printer is called `Nobody`"));
}
