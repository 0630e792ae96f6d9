//! The back ends of CUPS, run by hand as the scheduler runs them.

use crate::lab::{Lab, brief, cups_backend, pdf, printer};
use printgate::simulate::Via;
use std::process::Output;
use tokio::process::Command;
use tokio::time::{Duration, timeout};

/// `BACKEND job user title copies options file`, with its back-channel (descriptor 3) in a file, or closed.
async fn backend(lab: &Lab, name: &str, uri: &str, copies: &str, file: &[u8], back_channel: bool) -> Output {
    // Some back ends are for root only, who need not be here; a copy will do.
    let program = lab.dir.path().join(name);
    std::fs::copy(cups_backend(name), &program).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let document = lab.write("document", file);
    let mut command = Command::new("sh");
    // 4 is the side channel: open, with nothing in it, or the document would get this number.
    let descriptor = if back_channel { "3>\"$BACK\"" } else { "3</dev/null" };
    command.args(["-c", &format!("rm -f \"$SIDE\"; mkfifo \"$SIDE\"; exec \"$@\" {descriptor} 4<>\"$SIDE\""), "sh"]);
    command.env("SIDE", lab.dir.path().join("side"));
    command.arg(program).args(["17", "alice", "Invoice 17", copies, ""]).arg(document);
    command.env("DEVICE_URI", uri).env("BACK", lab.dir.path().join("back")).env("LC_ALL", "C").kill_on_drop(true);
    timeout(Duration::from_secs(60), command.output()).await.expect("ends in time").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_back_end_prints() {
    let lab = printer("mono-laser").await;
    let uri = format!("socket://{}", lab.appsocket());
    let document = pdf(2);
    let ran = backend(&lab, "socket", &uri, "1", &document, false).await;
    assert!(ran.status.success(), "{ran:?}");
    let printed = lab.printed(1).await;
    assert_eq!(brief(&printed[0]), (Via::Appsocket, "application/pdf", 2, false));
    assert_eq!(lab.file(&printed[0]), document);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_back_end_hears_the_back_channel() {
    let lab = printer("mono-laser").await;
    let uri = format!("socket://{}", lab.appsocket());
    let job = b"\x1b%-12345X@PJL USTATUS JOB=ON\n@PJL JOB NAME=\"x\"\n@PJL INFO ID\n@PJL ENTER LANGUAGE=PCL\nhi\x1b%-12345X@PJL EOJ\n\x1b%-12345X";
    let ran = backend(&lab, "socket", &uri, "1", job, true).await;
    assert!(ran.status.success(), "{ran:?}");
    let back = std::fs::read_to_string(lab.dir.path().join("back")).unwrap();
    assert_eq!(
        back,
        "@PJL USTATUS JOB\r\nSTART\r\nNAME=\"x\"\r\n\x0c@PJL INFO ID\r\n\"Acme LP 40\"\r\n\x0c\
         @PJL USTATUS JOB\r\nEND\r\nNAME=\"x\"\r\nPAGES=1\r\n\x0c",
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lpd_back_end_prints_in_every_order() {
    let lab = printer("mono-laser").await;
    let document = pdf(2);
    for (index, (options, copies, expected)) in [
        ("", "1", 1),
        ("?order=data,control", "1", 1),
        ("?reserve=rfc1179&manual_copies=off", "3", 3),
        ("?mode=stream", "1", 1),
    ]
    .into_iter()
    .enumerate()
    {
        let uri = format!("lpd://{}/lp{options}", lab.lpd());
        let ran = backend(&lab, "lpd", &uri, copies, &document, false).await;
        assert!(ran.status.success(), "{options}: {ran:?}");
        let printed = lab.printed(index + 1).await;
        let line = &printed[index];
        assert_eq!(brief(line), (Via::Lpd, "application/pdf", 2 * expected, false), "{options}");
        assert_eq!((line.user.as_str(), line.copies), ("alice", expected), "{options}");
        assert!(line.job_name.contains("Invoice"), "{options}: {line:?}");
        assert_eq!(lab.file(line), document, "{options}");
    }
    lab.office.shutdown().await;
}
