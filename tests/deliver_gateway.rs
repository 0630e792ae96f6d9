//! AppSocket and LPD printers behind the whole gateway: a listed printer gets its jobs, and nothing is printed twice
//! whatever happens to the gateway.

#![cfg(feature = "lab")]
// The lints know `#[test]` functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "whole_gateway/support.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod support;

use common::{pdf, wait_until};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use support::{LONG, Lab, ticket};

/// A document as far as it came, and whether it ended in order.
type Sheet = (Vec<u8>, bool);

/// A plain printer: prints whatever arrives, as far as it comes.
#[derive(Clone)]
struct Printer {
    port: u16,
    connections: Arc<AtomicUsize>,
    printed: Arc<Mutex<Vec<Sheet>>>,
    /// Out of paper: nothing more is taken.
    stands_still: Arc<AtomicBool>,
}

impl Printer {
    fn start(address: &str) -> Printer {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let printer = Printer {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            printed: Arc::default(),
            stands_still: Arc::default(),
        };
        let copy = printer.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                copy.connections.fetch_add(1, Ordering::SeqCst);
                copy.print(stream.unwrap());
            }
        });
        printer
    }

    fn print(&self, mut stream: TcpStream) {
        let mut document = Vec::new();
        let mut piece = vec![0; 16_384];
        let in_order = loop {
            while self.stands_still.load(Ordering::SeqCst) {
                std::thread::park_timeout(std::time::Duration::from_millis(5));
            }
            match stream.read(&mut piece) {
                Ok(0) => break true,
                Ok(read) => document.extend_from_slice(&piece[..read]),
                Err(_) => break false,
            }
        };
        if !document.is_empty() {
            self.printed.lock().unwrap().push((document, in_order));
        }
    }

    fn whole(&self) -> Vec<Vec<u8>> {
        let printed = self.printed.lock().unwrap();
        printed.iter().filter(|(_, in_order)| *in_order).map(|(document, _)| document.clone()).collect()
    }
}

const ADDRESS: &str = "127.0.61.9";

fn listed(port: u16, formats: &[&str]) -> Value {
    json!({"printers": {"list": [
        {"uri": format!("socket://{ADDRESS}:{port}"), "name": "Old laser", "formats": formats},
    ]}})
}

/// Larger than what fits into the buffers of both sides.
fn large() -> Vec<u8> {
    pdf::pdf_of_size(30_000_000)
}

/// Serves a document; gives its URL.
fn serve(lab: &Lab, path: &str, document: &[u8]) -> String {
    lab.files.put(path, document.to_vec());
    lab.files.url_by_address(path)
}

#[test]
fn a_listed_printer_prints_and_is_left_alone_otherwise() {
    let paper = Printer::start(ADDRESS);
    let lab = Lab::start(1, &[], &listed(paper.port, &["application/pdf"]));
    let id = lab.cloud.printer("Old laser");
    let document = pdf::pdf(2, "by hand");
    let url = serve(&lab, "/a.pdf", &document);
    assert_eq!(paper.connections.load(Ordering::SeqCst), 0, "connected without a job");

    let mut wanted = ticket("job-1", &url, &document);
    wanted["options"] = json!({"copies": 2, "sides": "two-sided-long-edge"});
    lab.cloud.submit_until_answered(&id, &wanted);
    let done = lab.cloud.wait_status("job-1", "completed");
    lab.cloud.assert_in_order("job-1", &["accepted", "fetching", "ready", "sending", "printing", "completed"]);
    let last = done.last().unwrap();
    assert_eq!((&last["reasons"], &last["pages"]["reported"]), (&json!(["handed-over"]), &Value::Null), "{last}");
    assert!(last["detail"].as_str().unwrap().contains("took the whole document"), "{last}");
    let sending = done.iter().find(|status| status["status"] == "sending").unwrap();
    assert_eq!(sending["reasons"], json!(["ignored-options.copies", "ignored-options.sides"]), "{sending}");
    wait_until(LONG, "the document on paper", || (paper.whole() == [document.clone()]).then_some(()));

    // What it does not take, and what a strict ticket asks in vain, never leaves the gateway.
    let text = b"plain text\n".to_vec();
    let mut refused = ticket("job-2", &serve(&lab, "/a.txt", &text), &text);
    refused["document"]["format"] = json!("text/plain");
    lab.cloud.submit(&id, &refused);
    let aborted = lab.cloud.wait_status("job-2", "aborted");
    assert_eq!(aborted.last().unwrap()["error"]["code"], "document-format-not-supported");
    let mut strict = ticket("job-3", &url, &document);
    strict["options"] = json!({"sides": "two-sided-long-edge"});
    strict["strict"] = json!(true);
    lab.cloud.submit(&id, &strict);
    let aborted = lab.cloud.wait_status("job-3", "aborted");
    assert_eq!(aborted.last().unwrap()["error"]["field"], "options.sides");
    assert_eq!(paper.connections.load(Ordering::SeqCst), 1);
    lab.cloud.assert_schemas();
}

#[test]
fn a_gateway_that_is_killed_in_the_middle_does_not_print_again_by_itself() {
    let paper = Printer::start(ADDRESS);
    let mut lab = Lab::start(1, &[], &listed(paper.port, &["application/pdf"]));
    let id = lab.cloud.printer("Old laser");
    let document = large();
    let url = serve(&lab, "/large.pdf", &document);

    // Killed while the printer stands still: a part of the document has left.
    paper.stands_still.store(true, Ordering::SeqCst);
    lab.cloud.submit_until_answered(&id, &ticket("killed", &url, &document));
    lab.cloud.wait_status("killed", "sending");
    wait_until(LONG, "a connection", || (paper.connections.load(Ordering::SeqCst) == 1).then_some(()));
    lab.gateway.kill();
    paper.stands_still.store(false, Ordering::SeqCst);
    lab.gateway.restart();
    let parked = lab.cloud.wait_status("killed", "unconfirmed");
    assert_eq!(parked.last().unwrap()["reasons"], json!(["outcome-unknown"]));

    // It does not block the queue, and is not sent again until a person says so.
    let small = pdf::pdf(1, "next");
    let next = serve(&lab, "/next.pdf", &small);
    lab.cloud.wait_online(2);
    lab.cloud.submit_until_answered(&id, &ticket("next", &next, &small));
    lab.cloud.wait_status("next", "completed");
    assert_eq!(paper.whole(), std::slice::from_ref(&small));
    lab.cloud.control(&id, &json!({"commandId": "c1", "jobId": "killed", "attempt": 1, "action": "resend"}));
    lab.cloud.wait_status("killed", "completed");
    wait_until(LONG, "both on paper, once each", || (paper.whole() == [small.clone(), document.clone()]).then_some(()));

    // Canceled in the middle: the connection breaks off, and that is told.
    paper.stands_still.store(true, Ordering::SeqCst);
    lab.cloud.submit(&id, &ticket("canceled", &url, &document));
    let waits = lab
        .cloud
        .wait_status_where("canceled", "that it stands still", |status| status["reasons"] == json!(["timed-out"]));
    assert_eq!(waits.last().unwrap()["status"], "sending");
    lab.cloud.control(&id, &json!({"commandId": "c2", "jobId": "canceled", "action": "cancel"}));
    let canceled = lab.cloud.wait_status("canceled", "canceled");
    assert_eq!(canceled.last().unwrap()["reasons"], json!(["may-have-printed"]));
    paper.stands_still.store(false, Ordering::SeqCst);
    wait_until(LONG, "the connection reset", || (paper.printed.lock().unwrap().len() == 4).then_some(()));
    assert_eq!(paper.whole().len(), 2);
    lab.cloud.assert_schemas();
}

#[test]
fn a_printer_that_is_away_is_waited_for_without_an_attempt() {
    let gone = TcpListener::bind((ADDRESS, 0)).unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let lab = Lab::start(1, &[], &listed(port, &["application/pdf"]));
    let id = lab.cloud.printer("Old laser");
    let document = pdf::pdf(1, "later");
    let url = serve(&lab, "/later.pdf", &document);
    lab.cloud.submit_until_answered(&id, &ticket("later", &url, &document));
    let waits = lab
        .cloud
        .wait_status_where("later", "that it is away", |status| status["reasons"] == json!(["printer-unreachable"]));
    assert_eq!((&waits.last().unwrap()["status"], &waits.last().unwrap()["attempt"]), (&json!("ready"), &json!(0)));
    // Switched on: on the very port.
    let listener = TcpListener::bind((ADDRESS, port)).unwrap();
    let printer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        got
    });
    let done = lab.cloud.wait_status("later", "completed");
    assert_eq!(done.last().unwrap()["attempt"], 1);
    assert_eq!(printer.join().unwrap(), document);
}

/// Reads the commands and files of one LPD conversation, acknowledging everything; gives the files.
fn lpd_files(stream: &mut TcpStream) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut octet = [0];
        while stream.read(&mut octet).unwrap() == 1 && octet != *b"\n" {
            line.push(octet[0]);
        }
        if line.is_empty() {
            return files;
        }
        let line = String::from_utf8(line).unwrap();
        stream.write_all(&[0]).unwrap();
        if let Some((count, name)) = line[1..].split_once(' ') {
            let mut file = vec![0; count.parse::<usize>().unwrap() + 1];
            stream.read_exact(&mut file).unwrap();
            file.pop();
            files.push((name.to_owned(), file));
            stream.write_all(&[0]).unwrap();
        }
    }
}

#[test]
fn pjl_tells_pages_where_it_is_spoken_and_lpd_takes_copies() {
    // A printer that speaks PJL: it reports what it finds wrapped, and closes like any other otherwise.
    let pjl = TcpListener::bind((ADDRESS, 0)).unwrap();
    let pjl_port = pjl.local_addr().unwrap().port();
    let (heard, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in pjl.incoming() {
            let mut stream = stream.unwrap();
            let mut got = Vec::new();
            let mut piece = [0; 4096];
            let told = loop {
                match stream.read(&mut piece).unwrap() {
                    0 => break false,
                    read => got.extend_from_slice(&piece[..read]),
                }
                let text = String::from_utf8_lossy(&got);
                if let Some((_, name)) = text.rsplit_once("@PJL EOJ NAME = \"pg")
                    && text.ends_with("\x1b%-12345X")
                {
                    let name = name.split('"').next().unwrap();
                    for what in ["START\r\n", "END\r\n"] {
                        let pages = if what.starts_with("END") { "PAGES=3\r\n" } else { "" };
                        let said = format!("@PJL USTATUS JOB\r\n{what}NAME=\"pg{name}\"\r\n{pages}\x0c");
                        stream.write_all(said.as_bytes()).unwrap();
                    }
                    break true;
                }
            };
            // Ours to end.
            let _ = stream.read_to_end(&mut Vec::new());
            heard.send((got, told)).unwrap();
        }
    });
    // At an address of its own: at one address it would be one printer.
    let lpd = TcpListener::bind(("127.0.61.11", 0)).unwrap();
    let lpd_port = lpd.local_addr().unwrap().port();
    let server = std::thread::spawn(move || lpd_files(&mut lpd.accept().unwrap().0));
    let pcl = "application/vnd.hp-pcl";
    let lab = Lab::start(
        1,
        &[],
        &json!({"printers": {"list": [
            {"uri": format!("socket://{ADDRESS}:{pjl_port}"), "name": "Talks", "formats": [pcl, "application/vnd.hp-pjl"]},
            {"uri": format!("lpd://127.0.61.11:{lpd_port}/PASSTHRU"), "name": "Queue", "formats": [pcl]},
        ]}}),
    );
    let ticket = |job: &str, path: &str, document: &[u8]| {
        let mut ticket = ticket(job, &serve(&lab, path, document), document);
        ticket["document"]["format"] = json!(pcl);
        ticket["title"] = json!("a\"b\nc");
        ticket
    };
    let id = lab.cloud.printer("Talks");
    let document = b"\x1bEthree pages\x0c\x0c\x0c\x1bE".to_vec();
    let mut wrapped = ticket("wrapped", "/p.pcl", &document);
    wrapped["options"] = json!({"copies": 2});
    wrapped["strict"] = json!(true);
    lab.cloud.submit_until_answered(&id, &wrapped);
    let done = lab.cloud.wait_status("wrapped", "completed");
    let last = done.last().unwrap();
    assert_eq!((&last["pages"]["reported"], &last["reasons"]), (&json!(3), &json!([])), "{last}");
    let (got, told) = hear.recv_timeout(LONG).unwrap();
    let text = String::from_utf8_lossy(&got);
    assert!(told && text.contains("@PJL SET COPIES = 2\r\n@PJL ENTER LANGUAGE = PCL\r\n\x1bEthree pages"), "{text:?}");
    assert!(text.contains("a_b c\"\r\n"), "{text:?}");

    // A document with PJL of its own could end the wrapper: it goes as it is, and no page count is believed.
    let own =
        b"\x1b%-12345X@PJL JOB NAME=\"x\"\r\n@PJL ENTER LANGUAGE=PCL\r\n\x1bE\x0c\x1b%-12345X@PJL EOJ\r\n\x1b%-12345X";
    lab.cloud.submit(&id, &ticket("own", "/own.pcl", own));
    let done = lab.cloud.wait_status("own", "completed");
    assert_eq!(done.last().unwrap()["reasons"], json!(["handed-over"]));
    assert_eq!(hear.recv_timeout(LONG).unwrap(), (own.to_vec(), false));

    let id = lab.cloud.printer("Queue");
    let mut copies = ticket("copies", "/c.pcl", &document);
    copies["options"] = json!({"copies": 2});
    copies["strict"] = json!(true);
    lab.cloud.submit_until_answered(&id, &copies);
    let done = lab.cloud.wait_status("copies", "completed");
    assert_eq!(done.last().unwrap()["reasons"], json!(["handed-over"]));
    let files = server.join().unwrap();
    let control = String::from_utf8(files[0].1.clone()).unwrap();
    assert_eq!(control.lines().filter(|line| line.starts_with("ldfA")).count(), 2, "{control:?}");
    assert!(control.starts_with("Hgw1\nPalice\nJpg") && control.contains(".1 a\"b c\n"), "{control:?}");
    assert_eq!(files[1].1, document);
    lab.cloud.assert_schemas();
}
