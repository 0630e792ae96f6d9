//! A printer that does not tell the truth about its jobs, its counters or itself.

use crate::office::{Lab, config, ipptool, print_job, printer};
use printgate::simulate::{Office, PrinterSpec};

async fn print(lab: &Lab, pages: usize) {
    let document = lab.pdf(pages);
    let test = print_job("ATTR integer copies 1", "STATUS successful-ok");
    let ran = lab.ipptool(&test, &["-f", document.to_str().unwrap()]).await;
    assert!(ran.passed(), "{}", ran.text);
}

fn set(lab: &Lab, fault: &str) {
    lab.office.set_fault("P", fault.parse().unwrap()).unwrap();
}

async fn count(lab: &Lab) -> i64 {
    lab.attribute("printer-impressions-completed").await.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn false_completed_leaves_nothing_on_paper() {
    let lab = printer(|_| ()).await;
    let before = count(&lab).await;
    set(&lab, "false-completed");
    print(&lab, 3).await;
    lab.job_shows(1, "job-state", "completed").await;
    assert_eq!(lab.job(1, "job-impressions-completed").await.as_deref(), Some("3"));
    assert_eq!(count(&lab).await, before, "the counter of the engine is true");
    assert!(lab.log().is_empty());
    assert_eq!(std::fs::read_dir(lab.dir.path().join("out/P")).unwrap().count(), 0);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn false_aborted_is_on_paper() {
    let lab = printer(|_| ()).await;
    let before = count(&lab).await;
    set(&lab, "false-aborted");
    print(&lab, 3).await;
    lab.job_shows(1, "job-state", "aborted").await;
    assert_eq!(lab.job(1, "job-impressions-completed").await.as_deref(), Some("0"));
    assert_eq!(lab.job(1, "job-state-reasons").await.as_deref(), Some("aborted-by-system"));
    assert_eq!((lab.log()[0].impressions, count(&lab).await), (3, before + 3));
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_zero_frozen_or_double() {
    let lab = printer(|_| ()).await;
    let before = count(&lab).await;
    for (number, (how, told, of_job)) in
        (1..).zip([("zero", 0, "0"), ("frozen", before + 2, "0"), ("double", (before + 6) * 2, "4")])
    {
        set(&lab, &format!("wrong-counts:{how}"));
        print(&lab, 2).await;
        lab.job_shows(number, "job-state", "completed").await;
        assert_eq!(count(&lab).await, told, "{how}");
        assert_eq!(lab.job(number, "job-impressions-completed").await.as_deref(), Some(of_job), "{how}");
    }
    lab.office.clear_fault("P", None).unwrap();
    assert_eq!(count(&lab).await, before + 6);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_firmware() {
    let lab = printer(|_| ()).await;
    let first = lab.attribute("printer-firmware-string-version").await;
    set(&lab, "firmware:NL451 2027.01 beta");
    assert_eq!(lab.attribute("printer-firmware-string-version").await, "NL451 2027.01 beta");
    lab.office.clear_fault("P", Some("firmware")).unwrap();
    assert_eq!(lab.attribute("printer-firmware-string-version").await, first);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_has_the_uuid_of_another_and_its_serial_number() {
    let dir = tempfile::tempdir().unwrap();
    let specs =
        ["A", "B"].into_iter().zip(1..).map(|(name, host)| PrinterSpec::new(name, [127, 0, 84, 10 + host].into()));
    let office = Office::start(config(specs.collect(), dir.path())).await.unwrap();
    let (a, b) = (office.printers().remove(0), office.printers().remove(1));
    let test = dir.path().join("t.test");
    let head = crate::office::HEAD;
    let text = format!(
        "{{\nOPERATION Get-Printer-Attributes\n{head}STATUS successful-ok\n\
         DISPLAY printer-uuid\nDISPLAY printer-serial-number\n}}\n"
    );
    std::fs::write(&test, text).unwrap();
    let identity = async || {
        let ran = ipptool(&b.uri, &test, &[]).await;
        (ran.value("printer-uuid").unwrap(), ran.value("printer-serial-number").unwrap())
    };
    let urn = |uuid: &str| format!("urn:uuid:{uuid}");
    assert_eq!(identity().await, (urn(&b.uuid), b.serial.clone()));
    office.set_fault("B", "clone-uuid-of:A".parse().unwrap()).unwrap();
    assert_eq!(identity().await, (urn(&a.uuid), b.serial.clone()));
    office.set_fault("B", "clone-of:A".parse().unwrap()).unwrap();
    assert_eq!(identity().await, (urn(&a.uuid), a.serial.clone()));
    office.clear_fault("B", None).unwrap();
    assert_eq!(identity().await, (urn(&b.uuid), b.serial.clone()));
    assert!(office.set_fault("B", "clone-of:C".parse().unwrap()).is_err());
    office.shutdown().await;
}
