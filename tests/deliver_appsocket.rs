//! AppSocket on the wire: netcat and socat as plain printers, and scripted ones that speak PJL, break off or stand still.

// The lints know `#[test]` functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::process::Process;
use printgate::deliver::appsocket;
use printgate::deliver::pjl::Wrapper;
use printgate::deliver::raw::{self, End, Limits, News};
use printgate::domain::endpoint::{Endpoint, EndpointKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(40);

fn quick() -> Limits {
    let second = Duration::from_secs(1);
    Limits {
        connect: 5 * second,
        answer: 5 * second,
        stall: 20 * second,
        told: second / 2,
        close: 3 * second,
        talk: second,
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        kind: EndpointKind::AppSocket,
        host: address.ip().to_string(),
        addresses: vec![address.ip()],
        scope_id: 0,
        port: address.port(),
        path: String::new(),
    }
}

/// A document of `len` octets that do not repeat soon.
fn document(directory: &Path, len: usize) -> (PathBuf, Vec<u8>) {
    let octets: Vec<u8> = (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
    let path = directory.join("document");
    std::fs::write(&path, &octets).unwrap();
    (path, octets)
}

fn wrapper() -> Wrapper {
    Wrapper::new("pgabcdef.1", "Invoice", "PCL", &[])
}

/// Sends to `address`; gives the end and what was told meanwhile.
async fn send(address: SocketAddr, wrapper: Option<Wrapper>, path: &Path, limits: &Limits) -> (End, Vec<News>) {
    let stream = raw::connect(&endpoint(address), limits).await.unwrap();
    let bytes = std::fs::metadata(path).unwrap().len();
    let (teller, mut news) = mpsc::channel(64);
    let end = tokio::time::timeout(PATIENCE, appsocket::send(stream, wrapper, (path, bytes), limits, &teller)).await;
    drop(teller);
    let mut told = Vec::new();
    while let Some(item) = news.recv().await {
        told.push(item);
    }
    (end.expect("it takes too long"), told)
}

fn free_port() -> u16 {
    StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads until `end` has been read, or the other side ended.
async fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = vec![0; 65_536];
    while !all.ends_with(end) {
        match stream.read(&mut piece).await.unwrap() {
            0 => break,
            read => all.extend_from_slice(&piece[..read]),
        }
    }
    all
}

/// Waits until something listens there, without connecting: a connection would be a print job.
fn wait_listening(process: &mut Process, port: u16) {
    let wanted = format!("0100007F:{port:04X} 00000000:0000 0A");
    process.wait_until(PATIENCE, "it listens", || {
        std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&wanted).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn netcat_and_socat_get_the_document_and_the_job_is_handed_over() {
    let directory = TempDir::new().unwrap();
    let (path, octets) = document(directory.path(), 3_000_000);
    let out = directory.path().join("printed");
    for program in ["nc", "socat"] {
        let port = free_port();
        let mut command = Command::new("sh");
        let line = match program {
            "nc" => format!("exec nc -l 127.0.0.1 {port} >{}", out.display()),
            _ => format!("exec socat -u TCP-LISTEN:{port},bind=127.0.0.1 CREATE:{}", out.display()),
        };
        command.args(["-c", &line]);
        let mut process = Process::start(program, directory.path(), command);
        wait_listening(&mut process, port);
        let (end, told) = send((Ipv4Addr::LOCALHOST, port).into(), None, &path, &quick()).await;
        assert!(matches!(&end, End::HandedOver(_)), "{program}: {end:?}");
        assert!(told.contains(&News::Sent), "{told:?}");
        process.wait(PATIENCE);
        assert!(std::fs::read(&out).unwrap() == octets, "{program} got something else");
        std::fs::remove_file(&out).unwrap();
    }
}

#[tokio::test]
async fn a_printer_that_speaks_pjl_tells_pages_trouble_and_the_end() {
    let directory = TempDir::new().unwrap();
    let (path, octets) = document(directory.path(), 100_000);
    let (listener, address) = listener().await;
    let printer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let wrapper = wrapper();
        let got = read_until(&mut stream, &wrapper.tail).await;
        assert!(got.starts_with(&wrapper.head));
        assert!(got[wrapper.head.len()..got.len() - wrapper.tail.len()] == octets[..]);
        for talk in [
            "@PJL USTATUS JOB\r\nSTART\r\nNAME=\"pgabcdef.1 Invoice\"\r\n\x0c",
            "@PJL USTATUS DEVICE\r\nCODE=41213\r\nDISPLAY=\"LOAD A4\"\r\nONLINE=TRUE\r\n\x0c",
            "@PJL USTATUS PAGE\r\n1\r\n\x0c",
            "@PJL USTATUS JOB\r\nEND\r\nNAME=\"pgabcdef.1 Invoice\"\r\nPAGES=2\r\n\x0c",
        ] {
            stream.write_all(talk.as_bytes()).await.unwrap();
        }
        let farewell = read_until(&mut stream, b"never").await;
        assert_eq!(farewell, Wrapper::farewell());
    });
    let (end, told) = send(address, Some(wrapper()), &path, &quick()).await;
    assert_eq!(end, End::Completed(Some(2)));
    assert_eq!(told, [News::Sent, News::Reasons(vec!["media-needed".into()]), News::Pages(1)]);
    printer.await.unwrap();
}

#[tokio::test]
async fn a_job_canceled_at_the_panel_is_canceled() {
    let directory = TempDir::new().unwrap();
    let (path, _) = document(directory.path(), 1_000);
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, &wrapper().tail).await;
        let talk = "@PJL USTATUS JOB\r\nCANCELED\r\nNAME=\"pgabcdef.1 Invoice\"\r\nPAGES=1\r\n\x0c";
        stream.write_all(talk.as_bytes()).await.unwrap();
        read_until(&mut stream, b"never").await;
    });
    assert_eq!(send(address, Some(wrapper()), &path, &quick()).await.0, End::Canceled(Some(1)));
}

#[tokio::test]
async fn an_end_of_another_job_or_before_the_last_octet_is_none() {
    let directory = TempDir::new().unwrap();
    let (path, _) = document(directory.path(), 2_000_000);
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let early = "@PJL USTATUS JOB\r\nEND\r\nNAME=\"pgabcdef.1 Invoice\"\r\nPAGES=9\r\n\x0c";
        stream.write_all(early.as_bytes()).await.unwrap();
        read_until(&mut stream, &wrapper().tail).await;
        let other = "@PJL USTATUS JOB\r\nEND\r\nNAME=\"pgother2.1 Invoice\"\r\nPAGES=9\r\n\x0c";
        stream.write_all(other.as_bytes()).await.unwrap();
        // Closes when we do.
        read_until(&mut stream, b"never").await;
    });
    let (end, _) = send(address, Some(wrapper()), &path, &quick()).await;
    assert!(matches!(&end, End::HandedOver(_)), "{end:?}");
}

#[tokio::test]
async fn a_printer_that_tells_of_the_job_but_not_of_its_end_leaves_it_unknown() {
    let directory = TempDir::new().unwrap();
    let (path, _) = document(directory.path(), 1_000);
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, &wrapper().tail).await;
        let talk = "@PJL USTATUS JOB\r\nSTART\r\nNAME=\"pgabcdef.1 Invoice\"\r\n\x0c";
        stream.write_all(talk.as_bytes()).await.unwrap();
    });
    let (end, _) = send(address, Some(wrapper()), &path, &quick()).await;
    assert!(matches!(&end, End::Unknown(why) if why.contains("without telling its end")), "{end:?}");
}

/// What a printer does with the connection, and what may be claimed then.
#[tokio::test]
async fn one_that_talks_on_and_never_tells_the_end_is_not_waited_for_for_ever() {
    let directory = TempDir::new().unwrap();
    let (path, _) = document(directory.path(), 1000);
    let (listener, address) = listener().await;
    let printing = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, &wrapper().tail).await;
        stream.write_all(b"@PJL USTATUS JOB\r\nSTART\r\nNAME=\"pgabcdef.1 Invoice\"\r\n\x0c").await.unwrap();
        // Words now and then, until we go.
        while stream.write_all(b"@PJL USTATUS PAGE\r\n1\r\n\x0c").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let limits = Limits { stall: Duration::from_secs(1), ..quick() };
    let (end, _) = send(address, Some(wrapper()), &path, &limits).await;
    assert!(matches!(&end, End::Unknown(why) if why.contains("did not tell the end")), "{end:?}");
    printing.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_anywhere_leaves_the_outcome_unknown() {
    let directory = TempDir::new().unwrap();
    let (path, octets) = document(directory.path(), 1_000_000);
    // Closes after so many octets. Before the first one too: they lie in buffers, and nobody knows who read them.
    for read in [0, 1, 1_000, octets.len() / 2, octets.len() - 1] {
        let (listener, address) = listener().await;
        let printer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut taken = vec![0; read];
            stream.read_exact(&mut taken).await.unwrap();
            if read + 1 == 1_000_000 {
                // The last octet has to be there, or it would be none that is lost.
                stream.peek(&mut [0]).await.unwrap();
            }
        });
        let (end, _) = send(address, None, &path, &quick()).await;
        printer.await.unwrap();
        assert!(matches!(&end, End::Unknown(_)), "after {read} octets: {end:?}");
    }
}

#[tokio::test]
async fn one_that_takes_everything_and_never_closes_is_not_waited_for_for_ever() {
    let directory = TempDir::new().unwrap();
    let (path, _) = document(directory.path(), 1_000);
    let (listener, address) = listener().await;
    let (done, wait) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, b"never").await;
        let _ = wait.await;
    });
    let (end, told) = send(address, None, &path, &quick()).await;
    assert!(matches!(&end, End::Unknown(why) if why.contains("did not close")), "{end:?}");
    assert_eq!(told, [News::Sent]);
    drop(done);
}

#[tokio::test]
async fn a_printer_out_of_paper_is_waited_for_and_told_of() {
    let directory = TempDir::new().unwrap();
    let (path, octets) = document(directory.path(), 20_000_000);
    let (listener, address) = listener().await;
    let stream = raw::connect(&endpoint(address), &quick()).await.unwrap();
    let (teller, mut news) = mpsc::channel(64);
    let bytes = octets.len() as u64;
    let sending = tokio::spawn(async move {
        let limits = quick();
        appsocket::send(stream, None, (&path, bytes), &limits, &teller).await
    });
    let (mut printer, _) = listener.accept().await.unwrap();
    // Nothing is read: buffers fill, then it stands still.
    assert_eq!(news.recv().await, Some(News::Reasons(vec!["timed-out".into()])));
    // Paper.
    let got = read_until(&mut printer, b"never").await;
    drop(printer);
    assert!(got == octets);
    assert_eq!(news.recv().await, Some(News::Reasons(vec![])));
    assert_eq!(news.recv().await, Some(News::Sent));
    assert!(matches!(sending.await.unwrap(), End::HandedOver(_)));
}

#[tokio::test]
async fn one_that_never_goes_on_ends_unknown() {
    let directory = TempDir::new().unwrap();
    let (path, _) = document(directory.path(), 20_000_000);
    let (listener, address) = listener().await;
    let (done, wait) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (_stream, _) = listener.accept().await.unwrap();
        let _ = wait.await;
    });
    let limits = Limits { stall: Duration::from_secs(2), ..quick() };
    let (end, told) = send(address, None, &path, &limits).await;
    assert!(matches!(&end, End::Unknown(why) if why.contains("no further octet")), "{end:?}");
    assert_eq!(told, [News::Reasons(vec!["timed-out".into()])]);
    drop(done);
}

#[tokio::test]
async fn nothing_is_sent_where_nobody_listens_and_when_the_document_is_gone() {
    let error = raw::connect(&endpoint((Ipv4Addr::LOCALHOST, free_port()).into()), &quick()).await.unwrap_err();
    assert!(error.contains("cannot connect to 127.0.0.1"), "{error}");
    let (_listener, address) = listener().await;
    let stream = raw::connect(&endpoint(address), &quick()).await.unwrap();
    let (teller, _news) = mpsc::channel(1);
    let end = appsocket::send(stream, None, (Path::new("/nowhere/at/all"), 5), &quick(), &teller).await;
    assert!(matches!(end, End::NothingSent(_)), "{end:?}");
}

#[tokio::test]
async fn a_transfer_that_is_dropped_resets_the_connection() {
    let directory = TempDir::new().unwrap();
    let (path, octets) = document(directory.path(), 20_000_000);
    let (listener, address) = listener().await;
    let stream = raw::connect(&endpoint(address), &quick()).await.unwrap();
    let bytes = octets.len() as u64;
    let sending = tokio::spawn(async move {
        let (teller, _news) = mpsc::channel(64);
        let limits = quick();
        appsocket::send(stream, None, (&path, bytes), &limits, &teller).await
    });
    let (mut printer, _) = listener.accept().await.unwrap();
    printer.read_exact(&mut [0; 1_000]).await.unwrap();
    sending.abort();
    let mut rest = Vec::new();
    let error = printer.read_to_end(&mut rest).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
