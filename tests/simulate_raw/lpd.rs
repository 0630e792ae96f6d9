//! LPD: `rlpr` and its relatives, and octet by octet what they do not send.

use crate::lab::{DEADLINE, Lab, brief, pdf, printer, printer_with};
use printgate::simulate::Via;
use std::path::Path;
use std::process::Output;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

/// `rlpr`, `rlpq`, `rlprm` at this printer's queue.
pub(crate) async fn tool(lab: &Lab, name: &str, queue: &str, arguments: &[&str]) -> Output {
    let address = lab.lpd();
    let mut command = Command::new(name);
    command.args(["-N", "-H", &address.ip().to_string(), "-P", queue, &format!("--port={}", address.port())]);
    command.args(arguments).kill_on_drop(true);
    timeout(DEADLINE, command.output()).await.expect("ends in time").expect("package rlpr")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rlpr_prints_files_in_either_order() {
    let lab = printer("mono-laser").await;
    let (one, two) = (lab.write("one.pdf", &pdf(2)), lab.write("two.txt", b"two\x0ctwo\n"));
    let ran = tool(&lab, "rlpr", "lp", &["-J", "Invoice 17", "-U", "alice", text(&one)]).await;
    assert!(ran.status.success(), "{ran:?}");
    let printed = lab.printed(1).await;
    assert_eq!(brief(&printed[0]), (Via::Lpd, "application/pdf", 2, false));
    assert_eq!((printed[0].job_name.as_str(), lab.file(&printed[0])), ("Invoice 17", pdf(2)));
    let ran = tool(&lab, "rlpr", "lp", &["--send-data-first", "-#3", text(&two)]).await;
    assert!(ran.status.success(), "{ran:?}");
    let printed = lab.printed(2).await;
    assert_eq!((printed[1].copies, brief(&printed[1])), (3, (Via::Lpd, "text/plain", 6, false)));
    let ran = tool(&lab, "rlpr", "lp", &[text(&one), text(&two)]).await;
    assert!(ran.status.success(), "{ran:?}");
    let printed = lab.printed(4).await;
    assert_eq!((lab.file(&printed[2]), lab.file(&printed[3])), (pdf(2), b"two\x0ctwo\n".to_vec()));
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_those_of_the_device() {
    let lab = printer("old-mono").await;
    let file = lab.write("x.txt", b"x\n");
    for (queue, known) in [("raw", true), ("text", true), ("lp", false), ("raw2", false)] {
        let ran = tool(&lab, "rlpr", queue, &[text(&file)]).await;
        assert_eq!(ran.status.success(), known, "{queue}: {ran:?}");
        let first = exchange(&lab, &[format!("\x02{queue}\n").as_bytes()]).await;
        assert_eq!(first, [u8::from(!known)], "{queue}");
    }
    let shown = tool(&lab, "rlpq", "lp", &[]).await;
    assert!(String::from_utf8_lossy(&shown.stdout).contains("unknown printer: lp"), "{shown:?}");
    assert_eq!(lab.printed(2).await.len(), 2);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_told_and_jobs_are_removed() {
    let lab = printer_with("mono-laser", |spec| spec.faults = vec!["out-of-paper".parse().unwrap()]).await;
    let shown = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let file = lab.write("x.txt", b"x\n");
    assert!(tool(&lab, "rlpr", "lp", &["-J", "first", text(&file)]).await.status.success());
    assert!(tool(&lab, "rlpr", "lp", &["-J", "second", text(&file)]).await.status.success());
    let listed = shown(&tool(&lab, "rlpq", "lp", &[]).await);
    assert!(listed.contains("lp: Warning: lp is down:"), "{listed}");
    assert!(listed.contains("Rank   Owner      Job  Files                                 Total Size\n"), "{listed}");
    let lines: Vec<_> = listed.lines().filter(|line| line.starts_with("active ") || line.starts_with("1st ")).collect();
    assert!(lines.len() == 2 && lines[0].contains("first") && lines[1].contains("second"), "{listed}");
    let long = shown(&tool(&lab, "rlpq", "lp", &["-l"]).await);
    assert!(long.contains(": 1st") && long.contains("[job 002]\n\tsecond"), "{long}");
    // Others may not; the owner may.
    assert_eq!(exchange(&lab, &[b"\x05lp mallory 2\n"]).await, b"");
    let removed = shown(&tool(&lab, "rlprm", "lp", &["2"]).await);
    assert!(removed.contains("dfA002 dequeued"), "{removed}");
    lab.clear();
    let printed = lab.printed(1).await;
    assert_eq!(printed[0].job_name, "first");
    assert!(shown(&tool(&lab, "rlpq", "lp", &[]).await).contains("no entries"));
    assert_eq!(lab.log().len(), 1, "the second was removed");
    lab.office.shutdown().await;
}

/// Sends parts, each after one octet came back for the part before, and gives all that came.
async fn exchange(lab: &Lab, parts: &[&[u8]]) -> Vec<u8> {
    let work = async {
        let mut stream = TcpStream::connect(lab.lpd()).await.unwrap();
        let mut back = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                let mut octet = [0];
                if stream.read(&mut octet).await.unwrap_or(0) == 0 {
                    return back;
                }
                back.extend(octet);
            }
            stream.write_all(part).await.unwrap();
        }
        stream.shutdown().await.unwrap();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut back).await;
        back
    };
    timeout(DEADLINE, work).await.expect("an end in time")
}

/// A subcommand for a file.
fn head(code: u8, count: impl std::fmt::Display, name: &str) -> Vec<u8> {
    [&[code][..], format!("{count} {name}\n").as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_octet_is_as_rfc_1179_has_it() {
    let lab = printer("mono-laser").await;
    let control = b"Hhost\nPalice\nJnumbers\nfdfA001host\nUdfA001host\nNx\n";
    let control_head = head(2, control.len(), "cfA001host");
    let control_body = [control.as_slice(), b"\0"].concat();
    // Control file first, all in order.
    let back = exchange(&lab, &[b"\x02lp\n", &control_head, &control_body, &head(3, 2, "dfA001host"), b"a\n\0"]).await;
    assert_eq!(back, [0; 5]);
    // Data first.
    let back = exchange(&lab, &[b"\x02lp\n", &head(3, 2, "dfA001host"), b"b\n\0", &control_head, &control_body]).await;
    assert_eq!(back, [0; 5]);
    // Unknown length: 0, and more than 32 bits; the end of the stream ends the file, acknowledged.
    for (count, document) in [("0", b"c\n"), ("4294967295", b"d\n"), ("125899906843000", b"e\n")] {
        let parts = [b"\x02lp\n", control_head.as_slice(), &control_body, &head(3, count, "dfA001host"), document];
        assert_eq!(exchange(&lab, &parts).await, [0; 5], "{count}");
    }
    // No control file at all.
    let back = exchange(&lab, &[b"\x02lp\n", &head(3, 2, "dfA001host"), b"f\n\0"]).await;
    assert_eq!(back, [0; 3]);
    let printed = lab.printed(6).await;
    let texts: Vec<_> = printed.iter().map(|line| lab.file(line)).collect();
    assert_eq!(texts, [b"a\n", b"b\n", b"c\n", b"d\n", b"e\n", b"f\n"]);
    assert!(printed[..5].iter().all(|line| (line.job_name.as_str(), line.user.as_str()) == ("numbers", "alice")));
    assert_eq!(printed[5].user, "");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_is_not_printed() {
    let lab = printer("mono-laser").await;
    let control = b"Palice\nfdfA001host\n\0";
    let control_head = head(2, control.len() - 1, "cfA001host");
    let data_head = head(3, 100, "dfA001host");
    // Fewer octets than said; aborted; control file without data; no subcommand; not LPD at all.
    let back = exchange(&lab, &[b"\x02lp\n", &control_head, control, &data_head, b"too short"]).await;
    assert_eq!(back, [0; 4]);
    let back = exchange(&lab, &[b"\x02lp\n", &head(3, 1, "dfA001host"), b"x\0", b"\x01\n"]).await;
    assert_eq!(back, [0; 4]);
    assert_eq!(exchange(&lab, &[b"\x02lp\n", &control_head, control]).await, [0; 3]);
    assert_eq!(exchange(&lab, &[b"\x02lp\n", b"\x09what\n"]).await, [0, 1]);
    assert_eq!(exchange(&lab, &[b"GET / HTTP/1.1\r\n\r\n"]).await, [1]);
    assert_eq!(exchange(&lab, &[b"\x01lp\n"]).await, [0], "print any waiting jobs");
    let long = vec![b'a'; 100_000];
    assert_eq!(exchange(&lab, &[&long]).await, b"", "a line without end");
    assert_eq!(lab.printed_before_now().await, []);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pjl_in_a_data_file_is_obeyed_without_an_answer() {
    let lab = printer("mono-laser").await;
    let document = b"\x1b%-12345X@PJL INFO ID\n@PJL SET COPIES=2\n@PJL ENTER LANGUAGE=PCL\nhi\x1b%-12345X";
    let file = lab.write("x.prn", document);
    assert!(tool(&lab, "rlpr", "lp", &[text(&file)]).await.status.success());
    let printed = lab.printed(1).await;
    assert_eq!((printed[0].copies, lab.file(&printed[0])), (2, b"hi".to_vec()));
    lab.office.shutdown().await;
}
