//! PJL, to the byte: after the examples in HP's Printer Job Language Technical Reference Manual.

use crate::lab::{DEADLINE, Lab, brief, pdf, printer, printer_with, start};
use printgate::simulate::Via;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const UEL: &str = "\x1b%-12345X";

/// Sends PJL and gives what came back, readable.
async fn ask(lab: &Lab, commands: &str) -> String {
    let answer = lab.nc(format!("{UEL}{commands}{UEL}").as_bytes()).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pjl_is_taken_out_and_obeyed() {
    let lab = printer("mono-laser").await;
    let document = pdf(3);
    let head = format!(
        "{UEL}@PJL\r\n@PJL COMMENT made by a test\r\n@PJL JOB NAME = \"Invoice 17\"\r\n@PJL SET USERNAME=\"alice\"\r\n\
         @PJL SET COPIES = 2\r\n@PJL SET DUPLEX=ON\r\n@PJL ENTER LANGUAGE = PDF\r\n"
    );
    let tail = format!("{UEL}@PJL EOJ NAME = \"Invoice 17\"\r\n{UEL}");
    assert_eq!(lab.nc(&[head.as_bytes(), &document, tail.as_bytes()].concat()).await, b"");
    let printed = lab.printed(1).await;
    assert_eq!(brief(&printed[0]), (Via::Appsocket, "application/pdf", 6, false));
    assert_eq!((printed[0].job_name.as_str(), printed[0].user.as_str(), printed[0].copies), ("Invoice 17", "alice", 2));
    assert_eq!(lab.file(&printed[0]), document);
    // The settings ended with the job; UEL parts documents.
    lab.nc(format!("{UEL}@PJL ENTER LANGUAGE=PCL\none{UEL}two{UEL}\r\n").as_bytes()).await;
    let printed = lab.printed(3).await;
    assert_eq!(brief(&printed[1]), (Via::Appsocket, "application/vnd.hp-PCL", 1, false));
    assert_eq!(brief(&printed[2]), (Via::Appsocket, "text/plain", 1, false));
    assert_eq!((lab.file(&printed[1]), lab.file(&printed[2])), (b"one".to_vec(), b"two".to_vec()));
    assert_eq!(lab.printed_before_now().await.len(), 3);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_and_print_nothing() {
    let lab = printer("mono-laser").await;
    assert_eq!(
        ask(&lab, "@PJL\r\n@PJL ECHO 17:45:22.5 05-17-92\r\n@PJL INFO STATUS\r\n").await,
        "@PJL ECHO 17:45:22.5 05-17-92\r\n\x0c@PJL INFO STATUS\r\nCODE=10001\r\nDISPLAY=\"Ready\"\r\nONLINE=TRUE\r\n\x0c"
    );
    assert_eq!(ask(&lab, "@PJL INFO ID\n").await, "@PJL INFO ID\r\n\"Acme LP 40\"\r\n\x0c");
    assert_eq!(
        ask(&lab, "@PJL SET COPIES=3\n@PJL INQUIRE COPIES\n@PJL DINQUIRE COPIES\n@PJL INQUIRE LPARM : PCL NOVELTY\n")
            .await,
        "@PJL INQUIRE COPIES\r\n3\r\n\x0c@PJL DINQUIRE COPIES\r\n1\r\n\x0c@PJL INQUIRE LPARM:PCL NOVELTY\r\n\"?\"\r\n\x0c"
    );
    assert_eq!(
        ask(&lab, "@PJL USTATUS TIMED=30\n@PJL INFO USTATUS\n").await,
        "@PJL INFO USTATUS\r\nDEVICE=OFF [3 ENUMERATED]\r\n\tOFF\r\n\tON\r\n\tVERBOSE\r\nJOB=OFF [2 ENUMERATED]\r\n\
         \tOFF\r\n\tON\r\nPAGE=OFF [2 ENUMERATED]\r\n\tOFF\r\n\tON\r\nTIMED=30 [2 RANGE]\r\n\t5\r\n\t300\r\n\x0c"
    );
    let variables = ask(&lab, "@PJL INFO VARIABLES\n").await;
    assert!(variables.starts_with("@PJL INFO VARIABLES\r\nCOPIES=1 [2 RANGE]\r\n\t1\r\n\t999\r\n"), "{variables:?}");
    assert!(variables.contains("\r\nDUPLEX=OFF [2 ENUMERATED]\r\n\tOFF\r\n\tON\r\n"), "{variables:?}");
    let config = ask(&lab, "@PJL INFO CONFIG\n").await;
    assert!(config.starts_with("@PJL INFO CONFIG\r\nIN TRAYS [1 ENUMERATED]\r\n\tINTRAY1\r\n"), "{config:?}");
    assert!(config.contains("\r\nLANGUAGES [3 ENUMERATED]\r\n\tPDF\r\n\tPCL\r\n\tPWGRaster\r\n"), "{config:?}");
    for answer in [&variables, &config] {
        assert!(answer.ends_with("\r\n\x0c") && !answer.replace("\r\n", "").contains(['\r', '\n']), "{answer:?}");
    }
    let count = |answer: String| -> i64 {
        let number =
            answer.strip_prefix("@PJL INFO PAGECOUNT\r\nPAGECOUNT=").and_then(|rest| rest.strip_suffix("\r\n\x0c"));
        number.unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
    };
    let before = count(ask(&lab, "@PJL INFO PAGECOUNT\n").await);
    assert_eq!(lab.printed_before_now().await, [], "questions print nothing");
    assert_eq!(count(ask(&lab, "@PJL INFO PAGECOUNT\n").await), before + 1);
    // socat is served too, and so is a command without UEL.
    let mut socat = Command::new("socat");
    socat.args(["-t", "10", "-", &format!("TCP:{}", lab.appsocket())]);
    let answer = crate::lab::fed(socat, b"@PJL INFO ID\r\n").await;
    assert_eq!(answer.stdout, b"@PJL INFO ID\r\n\"Acme LP 40\"\r\n\x0c");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_code_tells_what_is_wrong() {
    let lab = printer("mono-laser").await;
    for (fault, code, online) in
        [("out-of-paper", "41104", "FALSE"), ("door-open", "40021", "FALSE"), ("jam", "42202", "FALSE")]
    {
        lab.set(fault);
        let answer = ask(&lab, "@PJL INFO STATUS\n").await;
        assert!(answer.contains(&format!("\r\nCODE={code}\r\n")), "{fault}: {answer:?}");
        assert!(answer.ends_with(&format!("ONLINE={online}\r\n\x0c")), "{fault}: {answer:?}");
        lab.clear();
    }
    lab.set("toner-level:black:3");
    let answer = ask(&lab, "@PJL INFO STATUS\n").await;
    assert!(answer.contains("CODE=10006\r\n") && answer.contains("ONLINE=TRUE"), "{answer:?}");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_and_pages_are_told_as_they_come() {
    let lab = printer("old-mono").await;
    let job = format!(
        "{UEL}@PJL\r\n@PJL USTATUS JOB = ON\r\n@PJL USTATUS PAGE = ON\r\n@PJL JOB NAME = \"JOB 88554\"\r\n\
         @PJL ENTER LANGUAGE = PCL\r\n\x1bEone\x0ctwo\x0cthree\x0cfour\x0c\x1bE{UEL}@PJL\r\n\
         @PJL EOJ NAME = \"End of JOB 88554\"\r\n{UEL}"
    );
    let answer = String::from_utf8(lab.nc(job.as_bytes()).await).unwrap();
    let pages: String = (1..=4).map(|page| format!("@PJL USTATUS PAGE\r\n{page}\r\n\x0c")).collect();
    assert_eq!(
        answer,
        format!(
            "@PJL USTATUS JOB\r\nSTART\r\nNAME=\"JOB 88554\"\r\n\x0c{pages}\
             @PJL USTATUS JOB\r\nEND\r\nNAME=\"End of JOB 88554\"\r\nPAGES=4\r\n\x0c"
        )
    );
    assert_eq!(lab.printed(1).await[0].impressions, 4, "on paper before its end is told");
    // Documents outside of a job: pages only; a job without a document ends with none.
    let loose = format!("{UEL}@PJL USTATUS JOB=ON\n@PJL USTATUS PAGE=ON\n@PJL ENTER LANGUAGE=PCL\nx{UEL}");
    assert_eq!(lab.nc(loose.as_bytes()).await, b"@PJL USTATUS PAGE\r\n1\r\n\x0c");
    let empty = ask(&lab, "@PJL USTATUS JOB=ON\n@PJL JOB\n@PJL EOJ\n").await;
    assert_eq!(empty, "@PJL USTATUS JOB\r\nSTART\r\n\x0c@PJL USTATUS JOB\r\nEND\r\nPAGES=0\r\n\x0c");
    let off = ask(&lab, "@PJL USTATUS JOB=ON\n@PJL USTATUSOFF\n@PJL JOB\n@PJL EOJ\n").await;
    assert_eq!(off, "");
    lab.office.shutdown().await;
}

/// Reads until what came holds `wanted`; gives all of it.
async fn read_until(child: &mut Child, seen: &mut String, wanted: &str) {
    let output = child.stdout.as_mut().unwrap();
    timeout(DEADLINE, async {
        let mut block = [0; 1024];
        while !seen.contains(wanted) {
            let count = output.read(&mut block).await.unwrap();
            assert!(count > 0, "closed after {seen:?}");
            seen.push_str(&String::from_utf8_lossy(&block[..count]));
        }
    })
    .await
    .unwrap_or_else(|_| panic!("waited for {wanted:?}, saw {seen:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_device_are_told_while_the_connection_is_open() {
    let lab = printer("mono-laser").await;
    let (ip, port) = (lab.appsocket().ip().to_string(), lab.appsocket().port().to_string());
    let mut nc = Command::new("nc");
    nc.args([&ip, &port]);
    let mut nc = start(nc);
    let mut stdin = nc.stdin.take().unwrap();
    let mut seen = String::new();
    stdin.write_all(format!("{UEL}@PJL USTATUS DEVICE=ON\n@PJL ECHO there\n").as_bytes()).await.unwrap();
    read_until(&mut nc, &mut seen, "\x0c").await;
    assert_eq!(seen, "@PJL ECHO there\r\n\x0c", "no status before a change");
    seen.clear();
    lab.set("door-open");
    read_until(&mut nc, &mut seen, "\x0c").await;
    assert_eq!(
        seen, "@PJL USTATUS DEVICE\r\nCODE=40021\r\nDISPLAY=\"Printer open\"\r\nONLINE=FALSE\r\n\x0c",
        "TRM page 7-35"
    );
    seen.clear();
    lab.clear();
    read_until(&mut nc, &mut seen, "CODE=10001").await;
    lab.set("slow-pages:100");
    seen.clear();
    stdin.write_all(b"@PJL ENTER LANGUAGE=PCL\nhello").await.unwrap();
    stdin.write_all(UEL.as_bytes()).await.unwrap();
    read_until(&mut nc, &mut seen, "CODE=10001").await;
    assert!(seen.starts_with("@PJL USTATUS DEVICE\r\nCODE=10023\r\n"), "printing, then ready: {seen:?}");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_is_told_when_asked_for() {
    let lab = printer("mono-laser").await;
    let (ip, port) = (lab.appsocket().ip().to_string(), lab.appsocket().port().to_string());
    let mut nc = Command::new("nc");
    nc.args([&ip, &port]);
    let mut nc = start(nc);
    let mut stdin = nc.stdin.take().unwrap();
    let begun = std::time::Instant::now();
    stdin.write_all(format!("{UEL}@PJL USTATUS TIMED=5\n").as_bytes()).await.unwrap();
    let mut seen = String::new();
    read_until(&mut nc, &mut seen, "\x0c").await;
    assert!(begun.elapsed() >= Duration::from_secs(4), "not at once");
    assert_eq!(seen, "@PJL USTATUS TIMED\r\nCODE=10001\r\nDISPLAY=\"Ready\"\r\nONLINE=TRUE\r\n\x0c");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printer_without_pjl_says_nothing_and_prints_it() {
    let lab = printer("label").await;
    assert_eq!(ask(&lab, "@PJL INFO STATUS\r\n").await, "");
    assert_eq!(lab.nc(b"~HS").await, b"", "nor does it answer in its own language");
    let printed = lab.printed(2).await;
    assert_eq!(lab.file(&printed[0]), format!("{UEL}@PJL INFO STATUS\r\n{UEL}").as_bytes());
    assert!(printed[0].garbage && printed[0].impressions == 1, "{:?}", printed[0]);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_canceled_is_told_so() {
    let lab = printer_with("old-mono", |spec| spec.faults = vec!["out-of-paper".parse().unwrap()]).await;
    let (ip, port) = (lab.appsocket().ip().to_string(), lab.appsocket().port().to_string());
    let mut nc = Command::new("nc");
    nc.args(["-N", &ip, &port]);
    let mut nc = start(nc);
    let mut stdin = nc.stdin.take().unwrap();
    let job = format!("{UEL}@PJL USTATUS JOB=ON\n@PJL JOB NAME=\"x\"\n@PJL ENTER LANGUAGE=PCL\nx{UEL}@PJL EOJ\n{UEL}");
    stdin.write_all(job.as_bytes()).await.unwrap();
    drop(stdin);
    let mut seen = String::new();
    read_until(&mut nc, &mut seen, "START").await;
    // Out of paper: it waits, and is listed. `lprm` takes it out.
    let port = format!("--port={}", lab.lpd().port());
    let arguments = ["-N", "-H", &ip, "-P", "raw", &port];
    let number = crate::lab::until("the job to be listed", || {
        let listed = std::process::Command::new("rlpq").args(arguments).output().expect("rlpq");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let line = listed.lines().find(|line| line.starts_with("active"))?.to_owned();
        line.split_whitespace().nth(2).map(str::to_owned)
    })
    .await;
    let removed = Command::new("rlprm").args(arguments).arg(&number).output().await.expect("rlprm");
    assert!(String::from_utf8_lossy(&removed.stdout).contains("dequeued"), "{removed:?}");
    read_until(&mut nc, &mut seen, "CANCELED\r\nNAME=\"x\"\r\n\x0c").await;
    assert!(timeout(DEADLINE, nc.wait()).await.unwrap().unwrap().success());
    assert_eq!(lab.log(), [], "nothing was printed");
    lab.office.shutdown().await;
}
