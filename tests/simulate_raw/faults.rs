//! Each fault of a raw port, seen on the wire.

use crate::lab::{DEADLINE, Lab, nc, pdf, printer, sha256, start, until};
use crate::lpd::tool;
use printgate::simulate::Outcome;
use std::process::Output;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

const ID: &[u8] = b"\x1b%-12345X@PJL INFO ID\r\n\x1b%-12345X";
const ID_ANSWER: &[u8] = b"@PJL INFO ID\r\n\"Acme LP 40\"\r\n\x0c";

async fn rlpr(lab: &Lab, document: &[u8]) -> Output {
    let file = lab.write("document", document);
    tool(lab, "rlpr", "lp", &["--timeout=3", file.to_str().unwrap()]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_connection_prints_nothing() {
    let lab = printer("mono-laser").await;
    let document = "line\n".repeat(1000).into_bytes();
    for fault in ["drop-before:1", "drop-at:100:1", "drop-after:100:1"] {
        lab.set(fault);
        nc(lab.appsocket(), &document).await;
        lab.set(fault);
        let ran = rlpr(&lab, &document).await;
        assert!(!ran.status.success(), "{fault}: {ran:?}");
    }
    assert_eq!(lab.printed_before_now().await, [], "and each was for one time only");
    assert!(rlpr(&lab, b"x\n").await.status.success());
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_habit_what_came_is_printed() {
    let lab = printer("mono-laser").await;
    lab.set("prints-partial");
    let document = "page\x0c".repeat(1000).into_bytes();
    lab.set("drop-after:102:1");
    nc(lab.appsocket(), &document).await;
    let printed = lab.printed(1).await;
    assert_eq!(lab.file(&printed[0]), document[..102], "to the byte");
    assert_eq!((printed[0].outcome, printed[0].impressions), (Outcome::Partial, 21));
    lab.set("drop-after:102:1");
    assert!(!rlpr(&lab, &document).await.status.success());
    let printed = lab.printed(2).await;
    assert_eq!(lab.file(&printed[1]), document[..102], "LPD, to the byte");
    assert_eq!(printed[1].outcome, Outcome::Partial);
    // A client that dies (and not one that ends its stream).
    let mut client = TcpStream::connect(lab.appsocket()).await.unwrap();
    client.write_all(&document[..50]).await.unwrap();
    lab.arriving(1).await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(lab.printed(3).await[2].outcome, Outcome::Partial);
    // The power goes.
    let mut client = TcpStream::connect(lab.appsocket()).await.unwrap();
    client.write_all(&document[..15]).await.unwrap();
    let file = until("the bytes to arrive", || {
        let mut files = std::fs::read_dir(lab.info().files).unwrap().map(|file| file.unwrap().path());
        files.find(|file| file.extension().is_some_and(|part| part == "part") && file.metadata().unwrap().len() == 15)
    });
    file.await;
    lab.office.power_off("P").await.unwrap();
    let last = lab.log().pop().unwrap();
    assert_eq!((last.outcome, last.impressions, last.bytes), (Outcome::PowerOff, 3, 15));
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_habit_power_off_leaves_nothing() {
    let lab = printer("mono-laser").await;
    let mut client = TcpStream::connect(lab.appsocket()).await.unwrap();
    client.write_all(b"page\x0c").await.unwrap();
    lab.arriving(1).await;
    lab.office.power_off("P").await.unwrap();
    assert_eq!(timeout(DEADLINE, client.read(&mut [0])).await.unwrap().unwrap_or(0), 0, "the connection broke");
    assert!(!nc(lab.appsocket(), b"x").await.status.success(), "nobody is there");
    lab.office.power_on("P").await.unwrap();
    assert_eq!(lab.printed_before_now().await, []);
    lab.arriving(0).await;
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_lost_late_noise_or_slow() {
    let lab = printer("mono-laser").await;
    lab.set("lose-answer:appsocket:1");
    assert_eq!(lab.nc(ID).await, b"", "lost");
    assert_eq!(lab.nc(ID).await, ID_ANSWER, "once");
    lab.set("answer-after:1");
    let begun = Instant::now();
    assert_eq!(lab.nc(ID).await, ID_ANSWER);
    assert!(begun.elapsed() >= Duration::from_secs(1), "late");
    lab.clear();
    lab.set("garbage");
    let noise = lab.nc(ID).await;
    assert!(!noise.is_empty() && !noise.starts_with(b"@PJL"), "{noise:?}");
    lab.clear();
    lab.set("trickle:40");
    let begun = Instant::now();
    assert_eq!(lab.nc(ID).await, ID_ANSWER);
    assert!(begun.elapsed() >= Duration::from_millis(40) * (ID_ANSWER.len() as u32 - 1), "byte by byte");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_acknowledgement_of_lpd_is_lost_late_or_noise() {
    let lab = printer("mono-laser").await;
    lab.set("lose-answer:lpd:1");
    let ran = rlpr(&lab, b"lost\n").await;
    assert!(!ran.status.success(), "{ran:?}");
    assert_eq!(lab.file(&lab.printed(1).await[0]), b"lost\n", "printed all the same");
    lab.set("garbage");
    assert!(!rlpr(&lab, b"noise\n").await.status.success());
    lab.clear();
    lab.set("answer-after:1");
    let begun = Instant::now();
    assert!(rlpr(&lab, b"late\n").await.status.success());
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(lab.file(&lab.printed(2).await[1]), b"late\n");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_printer_refuses() {
    let lab = printer("mono-laser").await;
    let begun = Instant::now();
    lab.set("busy");
    until("the port to close", || std::net::TcpStream::connect(lab.appsocket()).is_err().then_some(())).await;
    assert!(begun.elapsed() < DEADLINE);
    assert!(!nc(lab.appsocket(), b"x").await.status.success(), "refused");
    assert!(!rlpr(&lab, b"x\n").await.status.success(), "LPD says no");
    lab.clear();
    until("the port to open", || std::net::TcpStream::connect(lab.appsocket()).ok()).await;
    assert_eq!(lab.printed_before_now().await, []);
    assert!(rlpr(&lab, b"x\n").await.status.success());
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_read_slowly() {
    let lab = printer("mono-laser").await;
    lab.set("slow-bytes:1000");
    let document = vec![b'x'; 500];
    for count in [1, 2] {
        let begun = Instant::now();
        if count == 1 {
            lab.nc(&document).await;
        } else {
            assert!(rlpr(&lab, &document).await.status.success());
        }
        assert_eq!(lab.file(&lab.printed(count).await[count - 1]), document);
        assert!(begun.elapsed() >= Duration::from_millis(400), "500 bytes at 1000 a second");
    }
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_printer_closes_the_window() {
    let lab = printer("mono-laser").await;
    lab.set("stall:1000");
    let document = [pdf(1), vec![b' '; 64 << 20]].concat();
    let address = lab.appsocket();
    let mut command = Command::new("nc");
    command.arg("-N").arg(address.ip().to_string()).arg(address.port().to_string());
    let mut nc = start(command);
    let mut stdin = nc.stdin.take().unwrap();
    let whole = document.clone();
    let mut feed = tokio::spawn(async move { stdin.write_all(&whole).await });
    lab.arriving(1).await;
    assert!(timeout(Duration::from_secs(2), &mut feed).await.is_err(), "64 MiB do not fit into the window");
    let mut arrived = std::fs::read_dir(lab.info().files).unwrap().map(|file| file.unwrap().path());
    let arrived = arrived.find(|path| path.extension().is_some_and(|part| part == "part")).unwrap();
    assert_eq!(arrived.metadata().unwrap().len(), 1000, "read so far and no further");
    lab.clear();
    timeout(DEADLINE, feed).await.unwrap().unwrap().unwrap();
    assert_eq!(lab.printed(1).await[0].sha256, sha256(&document));
    lab.set("stall");
    let ran = rlpr(&lab, b"x\n").await;
    assert!(!ran.status.success(), "LPD: {ran:?}");
    lab.clear();
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_is_a_lie() {
    let lab = printer("mono-laser").await;
    lab.set("false-completed");
    let job =
        b"\x1b%-12345X@PJL USTATUS JOB=ON\n@PJL JOB\n@PJL ENTER LANGUAGE=PCL\nhi\x1b%-12345X@PJL EOJ\n\x1b%-12345X";
    let answer = String::from_utf8(lab.nc(job).await).unwrap();
    assert!(answer.ends_with("@PJL USTATUS JOB\r\nEND\r\nPAGES=1\r\n\x0c"), "{answer:?}");
    assert!(rlpr(&lab, b"x\n").await.status.success(), "acknowledged");
    timeout(DEADLINE, async {
        while !String::from_utf8_lossy(&tool(&lab, "rlpq", "lp", &[]).await.stdout).contains("no entries") {}
    })
    .await
    .expect("an empty queue");
    lab.clear();
    assert_eq!(lab.printed_before_now().await, [], "and nothing is on paper");
    lab.office.shutdown().await;
}
