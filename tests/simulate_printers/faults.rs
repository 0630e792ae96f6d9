//! Each fault, seen on the wire.

use crate::office::{HEAD, Lab, pdf, print_job, printer, until};
use crate::wire::{Reply, get_printer_attributes, ipp_message, post, post_slowly};
use printgate::simulate::Fault;
use std::time::{Duration, Instant};

async fn print(lab: &Lab, status: &str) {
    let document = lab.pdf(3);
    let test = print_job("ATTR integer copies 1", &format!("STATUS {status}"));
    let ran = lab.ipptool(&test, &["-f", document.to_str().unwrap()]).await;
    assert!(ran.passed(), "{}", ran.text);
}

fn set(lab: &Lab, fault: &str) {
    lab.office.set_fault("P", fault.parse().unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_paper_stops_the_job_until_there_is_paper() {
    let lab = printer(|spec| spec.faults = vec![Fault::OutOfPaper]).await;
    print(&lab, "successful-ok").await;
    lab.job_shows(1, "job-state", "processing-stopped").await;
    assert_eq!(lab.job(1, "job-state-reasons").await.as_deref(), Some("printer-stopped"));
    assert_eq!(lab.attribute("printer-state").await, "stopped");
    assert!(lab.attribute("printer-state-reasons").await.contains("media-empty-error"));
    assert_eq!(lab.job(1, "job-impressions-completed").await.as_deref(), Some("0"));
    assert!(lab.log().is_empty());
    assert!(lab.office.clear_fault("P", Some("out-of-paper")).unwrap());
    assert_eq!(lab.printed(1).await[0].impressions, 3);
    assert_eq!(lab.attribute("printer-state").await, "idle");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_pages_and_slow_bytes_take_their_time() {
    let lab = printer(|_| ()).await;
    set(&lab, "slow-pages:200");
    let begun = Instant::now();
    print(&lab, "successful-ok").await;
    lab.printed(1).await;
    assert!(begun.elapsed() >= Duration::from_millis(600), "three pages of 200 ms");
    lab.office.clear_fault("P", None).unwrap();
    set(&lab, "slow-bytes:1000");
    let begun = Instant::now();
    print(&lab, "successful-ok").await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "some 400 bytes at 1000 a second");
    lab.printed(2).await;
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_connection_prints_nothing_and_ends_aborted() {
    let lab = printer(|_| ()).await;
    set(&lab, "drop-after:100:1");
    let message = ipp_message(0x0002, &[(0x42, "job-name", b"half"), (0x49, "document-format", b"application/pdf")]);
    let reply = post(&lab, &message, &pdf(200)).await;
    assert!(reply.bytes.is_empty(), "no answer: {reply:?}");
    lab.job_shows(1, "job-state", "aborted").await;
    assert_eq!(lab.job(1, "job-impressions-completed").await.as_deref(), Some("0"));
    // It was for one time only.
    print(&lab, "successful-ok").await;
    assert_eq!(lab.printed(1).await[0].job_id, 2);
    assert_eq!(lab.log().len(), 1);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_means_printed_once_and_not_answered() {
    let lab = printer(|_| ()).await;
    set(&lab, "lose-answer:print-job:1");
    let message = ipp_message(0x0002, &[(0x42, "job-name", b"pgtag.1 x")]);
    let reply = post(&lab, &message, &pdf(2)).await;
    assert!(reply.bytes.is_empty(), "no answer: {reply:?}");
    let printed = lab.printed(1).await;
    assert_eq!((printed[0].job_name.as_str(), printed[0].impressions), ("pgtag.1 x", 2));
    let list = format!(
        "{{\nOPERATION Get-Jobs\n{HEAD}ATTR keyword which-jobs completed\n\
         ATTR keyword requested-attributes job-name\nSTATUS successful-ok\nDISPLAY job-name\n}}\n"
    );
    assert_eq!(lab.ipptool(&list, &[]).await.value("job-name").as_deref(), Some("pgtag.1 x"));
    // Create-Job can be lost too: an orphan without a document.
    set(&lab, "lose-answer:create-job:1");
    let reply = post(&lab, &ipp_message(0x0005, &[(0x42, "job-name", b"pgtag.2 x")]), b"").await;
    assert!(reply.bytes.is_empty());
    lab.job_shows(2, "job-state", "pending-held").await;
    assert_eq!(lab.log().len(), 1);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_garbage_under_ipp_or_instead_of_http() {
    let lab = printer(|_| ()).await;
    set(&lab, "garbage");
    let Reply { bytes, .. } = post(&lab, &get_printer_attributes(), b"").await;
    assert!(bytes.starts_with(b"HTTP/1.1 200 OK") && bytes.len() > 4096);
    assert!(!lab.ipptool(&format!("{{\nOPERATION Get-Printer-Attributes\n{HEAD}}}\n"), &[]).await.passed());
    lab.office.clear_fault("P", None).unwrap();
    set(&lab, "garbage-http");
    let Reply { bytes, .. } = post(&lab, &get_printer_attributes(), b"").await;
    assert!(!bytes.starts_with(b"HTTP") && !bytes.is_empty());
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickle_comes_byte_by_byte() {
    let lab = printer(|spec| spec.faults = vec![Fault::Trickle(50)]).await;
    let reads = post_slowly(&lab, &get_printer_attributes(), 10).await;
    // The HTTP head may come at once; after it every read is one byte in its own chunk.
    assert!(reads.iter().skip(1).all(|(bytes, _)| *bytes <= 8), "{reads:?}");
    let gaps: Vec<Duration> = reads.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    assert!(gaps.iter().sum::<Duration>() >= Duration::from_millis(300), "{gaps:?}");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_and_nested_answers_have_their_size() {
    let lab = printer(|spec| spec.faults = vec![Fault::Huge(100_000_000)]).await;
    let reply = post(&lab, &get_printer_attributes(), b"").await;
    assert!(reply.bytes.len() > 100_000_000 && reply.whole, "{} bytes", reply.bytes.len());
    lab.office.clear_fault("P", None).unwrap();
    lab.office.set_fault("P", Fault::Nested(320_000)).unwrap();
    let reply = post(&lab, &get_printer_attributes(), b"").await;
    assert!((320_000..330_000).contains(&reply.bytes.len()), "{} bytes", reply.bytes.len());
    let deep = reply.bytes.windows(11).filter(|w| w == b"\x4a\x00\x00\x00\x01m\x34\x00\x00\x00\x00").count();
    assert_eq!(deep, 20_000);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_refuses_new_jobs_only() {
    let lab = printer(|spec| spec.faults = vec![Fault::Busy]).await;
    print(&lab, "server-error-busy").await;
    assert_eq!(lab.attribute("printer-state").await, "idle");
    assert!(lab.log().is_empty());
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_create_job_there_is_only_print_job() {
    let lab = printer(|spec| spec.faults = vec![Fault::NoCreateJob]).await;
    let operations = lab.attribute("operations-supported").await;
    assert!(operations.contains("Print-Job") && !operations.contains("Create-Job"), "{operations}");
    let test = format!("{{\nOPERATION Create-Job\n{HEAD}STATUS server-error-operation-not-supported\n}}\n");
    assert!(lab.ipptool(&test, &[]).await.passed());
    print(&lab, "successful-ok").await;
    lab.printed(1).await;
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_forgets_the_queue_and_restarts_the_clock() {
    let lab = printer(|spec| spec.page_time = Duration::from_secs(3600)).await;
    print(&lab, "successful-ok").await;
    lab.job_shows(1, "job-state", "processing").await;
    // The restart shows on a clock of seconds.
    until("the clock to move", async || (lab.attribute("printer-up-time").await != "1").then_some(())).await;
    let address = lab.office.printers()[0].address;
    lab.office.power_off("P").await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens");
    lab.office.power_on("P").await.unwrap();
    assert_eq!(lab.office.printers()[0].address, address);
    let up: i32 = lab.attribute("printer-up-time").await.parse().unwrap();
    assert!(up <= 2, "{up}");
    assert_eq!(lab.job(1, "job-state").await, None);
    assert!(lab.log().is_empty());
    let left = std::fs::read_dir(lab.dir.path().join("out/P")).unwrap().count();
    assert_eq!(left, 0, "no document is left over");
    lab.office.shutdown().await;
}
