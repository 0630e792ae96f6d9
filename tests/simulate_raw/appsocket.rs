//! What comes in on port 9100 is printed: by format, by accident, in turn.

use crate::lab::{DEADLINE, brief, nc, pdf, printer, printer_with, sha256, start, until};
use printgate::simulate::{Outcome, Via};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_prints_what_comes_over_it() {
    let lab = printer("mono-laser").await;
    let document = pdf(3);
    assert_eq!(lab.nc(&document).await, b"");
    let printed = lab.printed(1).await;
    assert_eq!(brief(&printed[0]), (Via::Appsocket, "application/pdf", 3, false));
    assert_eq!(lab.file(&printed[0]), document);
    assert_eq!((printed[0].sha256.as_str(), printed[0].bytes), (sha256(&document).as_str(), document.len() as u64));
    assert_eq!(printed[0].outcome, Outcome::Completed);
    assert_eq!(lab.log(), printed);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_is_a_page_and_no_byte_is_none() {
    let lab = printer("mono-laser").await;
    let (ip, port) = (lab.appsocket().ip().to_string(), lab.appsocket().port().to_string());
    let scan = Command::new("nc").args(["-z", &ip, &port]).output().await.unwrap();
    assert!(scan.status.success(), "the port is open");
    assert_eq!(lab.printed_before_now().await, [], "connected, closed, no byte");
    for byte in [&b"\n"[..], b"\0", b"x", b"\x1b", b"@", b"\x0c"] {
        lab.nc(byte).await;
    }
    let printed = lab.printed(7).await;
    assert!(printed.iter().all(|line| line.impressions == 1 && line.format == "text/plain"), "{printed:#?}");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_language_comes_out_as_garbage() {
    let lab = printer("mono-laser").await;
    let address = lab.appsocket();
    // A browser, a TLS scanner, and a document of a language that this device has not.
    let curl = Command::new("curl").args(["-s", "-m", "2", &format!("http://{address}/")]).output().await.unwrap();
    assert!(!curl.status.success(), "no HTTP is spoken here");
    let mut openssl = Command::new("timeout");
    openssl.args(["2", "openssl", "s_client", "-connect", &address.to_string()]);
    assert!(!crate::lab::fed(openssl, b"").await.status.success(), "nor TLS");
    lab.nc(b"%!PS-Adobe-3.0\n%%Pages: 9\nshowpage\n").await;
    lab.nc(b"Dear printer,\x0cthis is text.\n").await;
    let printed = lab.printed(4).await;
    assert!(lab.file(&printed[0]).starts_with(b"GET / HTTP/1.1\r\n"));
    assert!(lab.file(&printed[1]).starts_with(b"\x16\x03"));
    for line in &printed[..3] {
        assert!(line.garbage && line.format == "text/plain" && line.impressions >= 1, "{line:?}");
    }
    assert_eq!(brief(&printed[3]), (Via::Appsocket, "text/plain", 2, false));
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_counted_in_each_language() {
    let pwg = [b"RaS2".as_slice(), b"PwgRaster\0", &[0; 1786], b"rows", b"PwgRaster\0", &[0; 1786]].concat();
    let pcl = b"\x1bE\x1b&l2A one\x0c\x1b*b4W\x0c\x0c\x0c\x0c two\x0c\x1bE";
    let text = "line\r\n".repeat(150);
    for (profile, document, format, pages) in [
        ("office-colour", pdf(4), "application/pdf", 4),
        ("office-colour", b"\xff\xd8\xff\xe0 jpeg".to_vec(), "image/jpeg", 1),
        ("office-colour", b"UNIRAST\0\0\0\0\x05 rows".to_vec(), "image/urf", 5),
        ("office-colour", pwg, "image/pwg-raster", 2),
        ("mono-laser", pcl.to_vec(), "application/vnd.hp-PCL", 2),
        ("mono-laser", text.into_bytes(), "text/plain", 3),
        ("old-mono", b"%!PS\nshowpage showpage\n".to_vec(), "application/postscript", 2),
        ("mfp", b"%!PS-Adobe-3.0\n%%Pages: (atend)\n%%Trailer\n%%Pages: 6\n".to_vec(), "application/postscript", 6),
        ("label", b"^XA^FO50,50^FDone^FS^XZ\n^XA^PQ3^XZ".to_vec(), "application/vnd.zebra-zpl", 4),
    ] {
        let lab = printer(profile).await;
        assert_eq!(lab.nc(&document).await, b"", "{profile} {format}");
        let printed = lab.printed(1).await;
        assert_eq!(brief(&printed[0]), (Via::Appsocket, format, pages, false), "{profile}");
        assert_eq!(lab.file(&printed[0]), document);
        lab.office.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_document_goes_through_whole() {
    let lab = printer("mono-laser").await;
    // Full of beginnings of UEL, none of them whole.
    let body = b"\x1b%-1234\x1b%-12345Y\x1b\x1b%".repeat(100_000);
    let document = [&pdf(2)[..], &body].concat();
    lab.nc(&document).await;
    let printed = lab.printed(1).await;
    assert_eq!((printed[0].sha256.as_str(), printed[0].impressions), (sha256(&document).as_str(), 2));
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_waits_for_the_first() {
    let lab = printer("mono-laser").await;
    let mut first = TcpStream::connect(lab.appsocket()).await.unwrap();
    first.write_all(b"first").await.unwrap();
    let address = lab.appsocket();
    let second = tokio::spawn(async move { nc(address, b"second").await });
    // The first is being read, the second is not: only one file is arriving.
    lab.arriving(1).await;
    assert!(!second.is_finished());
    first.write_all(b" and last").await.unwrap();
    first.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(DEADLINE, first.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(second.await.unwrap().status.success());
    let printed = lab.printed(2).await;
    let texts: Vec<_> = printed.iter().map(|line| lab.file(line)).collect();
    assert_eq!(texts, [b"first and last".to_vec(), b"second".to_vec()]);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_is_refused_by_habit() {
    let lab = printer_with("mono-laser", |spec| spec.faults = vec!["refuse-second".parse().unwrap()]).await;
    let address = lab.appsocket();
    let mut first = Command::new("nc");
    first.arg("-N").arg(address.ip().to_string()).arg(address.port().to_string());
    let mut first = start(first);
    let mut stdin = first.stdin.take().unwrap();
    stdin.write_all(b"first").await.unwrap();
    lab.arriving(1).await;
    // The port is closed as soon as the first is there.
    until("the port to close", || std::net::TcpStream::connect(address).is_err().then_some(())).await;
    let refused = nc(address, b"second").await;
    assert!(!refused.status.success(), "{refused:?}");
    drop(stdin);
    assert!(timeout(DEADLINE, first.wait()).await.unwrap().unwrap().success());
    lab.clear();
    until("the port to open again", || std::net::TcpStream::connect(address).ok()).await;
    assert_eq!(lab.printed_before_now().await.len(), 1, "the first only");
    lab.office.shutdown().await;
}
