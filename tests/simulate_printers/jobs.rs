//! Jobs: what is printed, counted, remembered, refused.

use crate::office::{HEAD, config, print_job, printer, sha256};
use crate::wire::fingerprint;
use printgate::simulate::{History, Office, Outcome, PrinterSpec, SimulateError};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_document_lands_on_disk_byte_for_byte_and_is_counted() {
    let lab = printer(|_| ()).await;
    let before: i64 = lab.attribute("printer-impressions-completed").await.parse().unwrap();
    let document = lab.pdf(5);
    let test = print_job(
        "ATTR integer copies 3\nATTR keyword sides two-sided-long-edge\nATTR rangeOfInteger page-ranges 1-2,4-4",
        "STATUS successful-ok\nEXPECT job-id OF-TYPE integer",
    );
    let ran = lab.ipptool(&test, &["-f", document.to_str().unwrap()]).await;
    assert!(ran.passed(), "{}", ran.text);
    let printed = lab.printed(1).await.remove(0);
    assert_eq!(lab.log(), vec![printed.clone()]);
    assert_eq!((printed.job_name.as_str(), printed.user.as_str()), ("Invoice 17", "alice"));
    assert_eq!((printed.copies, printed.impressions, printed.outcome), (3, 9, Outcome::Completed));
    assert_eq!(printed.file, "P/job-1-1.pdf");
    assert_eq!((printed.sha256.clone(), printed.tls), (sha256(&document), false));
    assert_eq!(std::fs::read(lab.dir.path().join("out/P/job-1-1.pdf")).unwrap(), std::fs::read(&document).unwrap());
    assert_eq!(lab.job(1, "job-state").await.as_deref(), Some("completed"));
    assert_eq!(lab.job(1, "job-impressions-completed").await.as_deref(), Some("9"));
    // Three copies of three pages on both sides: two sheets each.
    assert_eq!(lab.job(1, "job-media-sheets-completed").await.as_deref(), Some("6"));
    let after: i64 = lab.attribute("printer-impressions-completed").await.parse().unwrap();
    assert_eq!(after - before, 9);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_supported_is_named_and_with_fidelity_refused() {
    let lab = printer(|_| ()).await;
    let document = lab.pdf(1);
    let file = ["-f", document.to_str().unwrap()];
    let lenient = print_job(
        "ATTR integer copies 1000\nATTR keyword sides two-sided-long-edge\nATTR keyword x-smell lemon",
        "STATUS successful-ok-ignored-or-substituted-attributes\n\
         EXPECT copies IN-GROUP unsupported-attributes-tag WITH-VALUE 1000\n\
         EXPECT x-smell OF-TYPE unsupported IN-GROUP unsupported-attributes-tag\nEXPECT !sides\n\
         EXPECT job-id IN-GROUP job-attributes-tag",
    );
    let ran = lab.ipptool(&lenient, &file).await;
    assert!(ran.passed(), "{}", ran.text);
    lab.printed(1).await;
    let strict = print_job(
        "ATTR integer copies 1000",
        "STATUS client-error-attributes-or-values-not-supported\n\
         EXPECT copies IN-GROUP unsupported-attributes-tag WITH-VALUE 1000\nEXPECT !job-id",
    )
    .replace("ATTR name job-name", "ATTR boolean ipp-attribute-fidelity true\nATTR name job-name");
    let ran = lab.ipptool(&strict, &file).await;
    assert!(ran.passed(), "{}", ran.text);
    for (from, to, status) in [
        ("application/pdf", "application/postscript", "client-error-document-format-not-supported"),
        (
            "ATTR mimeMediaType",
            "ATTR keyword compression gzip\nATTR mimeMediaType",
            "client-error-compression-not-supported",
        ),
    ] {
        let test =
            print_job("ATTR integer copies 1", &format!("STATUS {status}\nEXPECT !job-id")).replacen(from, to, 1);
        let ran = lab.ipptool(&test, &file).await;
        assert!(ran.passed(), "{to}: {}", ran.text);
    }
    assert_eq!(lab.log().len(), 1, "only the first was printed");
    lab.office.shutdown().await;
}

fn create_job() -> String {
    format!(
        "{{\nOPERATION Create-Job\n{HEAD}ATTR name job-name tagged\nSTATUS successful-ok\n\
         EXPECT job-id OF-TYPE integer\nEXPECT job-state WITH-VALUE 4\nDISPLAY job-id\n}}\n"
    )
}

fn send_document(last: bool, status: &str) -> String {
    format!(
        "{{\nOPERATION Send-Document\n{HEAD}ATTR integer job-id 1\nATTR boolean last-document {last}\n\
         ATTR mimeMediaType document-format application/pdf\nFILE $filename\nSTATUS {status}\n}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn create_job_waits_for_its_document_and_takes_one() {
    let lab = printer(|_| ()).await;
    let document = lab.pdf(1);
    let file = ["-f", document.to_str().unwrap()];
    assert!(lab.ipptool(&create_job(), &[]).await.passed());
    assert_eq!(lab.job(1, "job-state").await.as_deref(), Some("pending-held"));
    let ran = lab.ipptool(&send_document(false, "successful-ok"), &file).await;
    assert!(ran.passed(), "{}", ran.text);
    assert_eq!(lab.job(1, "job-state").await.as_deref(), Some("pending-held"));
    let ran = lab.ipptool(&send_document(true, "server-error-multiple-document-jobs-not-supported"), &file).await;
    assert!(ran.passed(), "{}", ran.text);
    assert!(lab.log().is_empty(), "nothing printed before the last document");
    let close = format!("{{\nOPERATION Close-Job\n{HEAD}ATTR integer job-id 1\nSTATUS successful-ok\n}}\n");
    let ran = lab.ipptool(&close, &[]).await;
    assert!(ran.passed(), "{}", ran.text);
    assert_eq!(lab.printed(1).await[0].job_id, 1);
    let ran = lab.ipptool(&send_document(true, "client-error-not-possible"), &file).await;
    assert!(ran.passed(), "{}", ran.text);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_document_is_aborted_after_the_time_out() {
    let lab = printer(|spec| spec.time_out = Duration::from_millis(300)).await;
    assert!(lab.ipptool(&create_job(), &[]).await.passed());
    lab.job_shows(1, "job-state", "aborted").await;
    assert_eq!(lab.job(1, "job-impressions-completed").await.as_deref(), Some("0"));
    assert!(lab.log().is_empty());
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_prints_at_a_time_and_a_canceled_one_keeps_what_is_on_paper() {
    let lab = printer(|spec| spec.page_time = Duration::from_millis(50)).await;
    let document = lab.pdf(200);
    let file = ["-f", document.to_str().unwrap()];
    let job = print_job("ATTR integer copies 1", "STATUS successful-ok");
    assert!(lab.ipptool(&job, &file).await.passed());
    assert!(lab.ipptool(&job, &file).await.passed());
    lab.job_shows(1, "job-state", "processing").await;
    assert_eq!(lab.job(2, "job-state").await.as_deref(), Some("pending"));
    assert_eq!(lab.job(2, "number-of-intervening-jobs").await.as_deref(), Some("1"));
    assert_eq!(lab.attribute("queued-job-count").await, "2");
    assert_eq!(lab.attribute("printer-state").await, "processing");
    crate::office::until("a page of job 1", async || {
        lab.job(1, "job-impressions-completed").await.filter(|done| done != "0")
    })
    .await;
    for id in [2, 1] {
        let cancel = format!("{{\nOPERATION Cancel-Job\n{HEAD}ATTR integer job-id {id}\nSTATUS successful-ok\n}}\n");
        assert!(lab.ipptool(&cancel, &[]).await.passed());
        assert_eq!(lab.job(id, "job-state").await.as_deref(), Some("canceled"));
    }
    let log = lab.log();
    assert_eq!(log.len(), 1, "job 2 never reached paper");
    assert_eq!((log[0].job_id, log[0].outcome), (1, Outcome::Canceled));
    assert!(log[0].impressions >= 1 && log[0].impressions < 200);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_kept_or_forgotten_as_asked() {
    for (history, remembered) in
        [(History::Keep, true), (History::None, false), (History::Forget(Duration::from_millis(100)), false)]
    {
        let lab = printer(|spec| spec.history = Some(history)).await;
        let document = lab.pdf(1);
        let job = print_job("ATTR integer copies 1", "STATUS successful-ok");
        assert!(lab.ipptool(&job, &["-f", document.to_str().unwrap()]).await.passed());
        lab.printed(1).await;
        let list = format!(
            "{{\nOPERATION Get-Jobs\n{HEAD}ATTR keyword which-jobs completed\nATTR integer limit 20\n\
             ATTR keyword requested-attributes job-id,job-name\nSTATUS successful-ok\nDISPLAY job-name\n}}\n"
        );
        if remembered {
            assert_eq!(lab.ipptool(&list, &[]).await.value("job-name").as_deref(), Some("Invoice 17"));
        } else {
            crate::office::until("the job to be forgotten", async || {
                lab.ipptool(&list, &[]).await.value("job-name").is_none().then_some(())
            })
            .await;
            assert_eq!(lab.job(1, "job-state").await, None);
        }
        lab.office.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_same_directory_goes_on_where_it_was() {
    let mut lab = printer(|spec| spec.tls = true).await;
    let document = lab.pdf(4);
    let job = print_job("ATTR integer copies 1", "STATUS successful-ok");
    assert!(lab.ipptool(&job, &["-f", document.to_str().unwrap()]).await.passed());
    lab.printed(1).await;
    let (before, count) = (lab.office.printers().remove(0), lab.attribute("printer-impressions-completed").await);
    // It is made for the first TLS connection.
    let certificate = fingerprint(before.address).await;
    assert!(certificate.contains("sha256 Fingerprint="), "{certificate}");
    lab.office.shutdown().await;

    let mut spec = PrinterSpec::new("P", before.address.ip());
    spec.tls = true;
    lab.office = Office::start(config(vec![spec], lab.dir.path())).await.unwrap();
    let after = lab.office.printers().remove(0);
    lab.uri = after.uri.clone();
    assert_eq!((&after.uuid, &after.serial, &after.host), (&before.uuid, &before.serial, &before.host));
    assert_eq!(fingerprint(after.address).await, certificate);
    assert_eq!(lab.attribute("printer-impressions-completed").await, count);
    assert_eq!(lab.attribute("printer-uuid").await, format!("urn:uuid:{}", before.uuid));
    assert!(lab.attribute("printer-device-id").await.contains(&format!("SN:{};", before.serial)));
    assert!(lab.ipptool(&job, &["-f", document.to_str().unwrap()]).await.passed());
    assert_eq!(lab.printed(1).await[0].job_id, 2, "no document of the first run is overwritten");
    assert_eq!(lab.log().len(), 2);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_office_that_cannot_start_says_why_and_runs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let start = async |printers| Office::start(config(printers, dir.path())).await.err().expect("does not start");
    let spec = |name: &str| PrinterSpec::new(name, [127, 0, 84, 2].into());
    let same = start(vec![spec("A b"), spec("A/b")]).await;
    assert!(matches!(&same, SimulateError::SameName(name) if name == "A/b"), "{same}");
    let taken = std::net::TcpListener::bind("127.0.84.2:0").unwrap();
    let mut second = spec("second");
    second.port = taken.local_addr().unwrap().port();
    let refused = start(vec![spec("first"), second.clone()]).await;
    assert!(refused.to_string().contains("printer `second` cannot listen on 127.0.84.2:"), "{refused}");
    // Nothing of the failed start is left in the way.
    drop(taken);
    let office = Office::start(config(vec![spec("first"), second], dir.path())).await.unwrap();
    let again = start(vec![spec("third")]).await;
    assert!(again.to_string().contains("another process serves this directory"), "{again}");
    office.shutdown().await;
}
