//! One condition behind the IPP attributes: supplies, sheets, covers, alerts, sleep.

use crate::office::{Lab, print_job, printer, run, until};
use printgate::simulate::profiles::profile;
use printgate::simulate::{Order, PrinterSpec};
use tokio::process::Command;

fn set(lab: &Lab, fault: &str) {
    lab.office.set_fault("P", fault.parse().unwrap()).unwrap();
}

fn clear(lab: &Lab, fault: &str) {
    assert!(lab.office.clear_fault("P", Some(fault)).unwrap(), "{fault} was set");
}

async fn print(lab: &Lab, pages: usize) {
    let document = lab.pdf(pages);
    let test = print_job("ATTR integer copies 1", "STATUS successful-ok");
    let ran = lab.ipptool(&test, &["-f", document.to_str().unwrap()]).await;
    assert!(ran.passed(), "{}", ran.text);
}

fn of(key: &'static str) -> impl FnOnce(&mut PrinterSpec) {
    move |spec| spec.profile = profile(key).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn supplies_and_sheets_fall_with_impressions_and_the_waste_box_fills() {
    let lab = printer(|_| ()).await;
    assert!(lab.attribute("marker-levels").await.starts_with("78,54,61,9,20"));
    assert!(lab.attribute("printer-input-tray").await.contains("maxcapacity=250;level=180;"));
    print(&lab, 120).await;
    lab.printed(1).await;
    // 6,900 impressions from a black cartridge, 5,000 from the others.
    assert!(lab.attribute("marker-levels").await.starts_with("77,52,59,7,21"));
    assert!(lab.attribute("printer-supply").await.contains("type=toner;unit=percent;maxcapacity=100;level=77;"));
    assert!(lab.attribute("printer-input-tray").await.contains("maxcapacity=250;level=60;"));
    // Nobody stops a printer without a fault: the tray is filled when it is empty.
    print(&lab, 70).await;
    lab.printed(2).await;
    assert!(lab.attribute("printer-input-tray").await.contains("maxcapacity=250;level=240;"));
    assert_eq!(lab.attribute("printer-state").await, "idle");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tray_with_so_many_sheets_ends_within_a_job() {
    let lab = printer(|_| ()).await;
    set(&lab, "sheets:3");
    print(&lab, 5).await;
    lab.job_shows(1, "job-state", "processing-stopped").await;
    assert_eq!(lab.job(1, "job-impressions-completed").await.as_deref(), Some("3"));
    let reasons = lab.attribute("printer-state-reasons").await;
    assert!(reasons.contains("media-empty-error") && reasons.contains("media-needed-error"), "{reasons}");
    assert_eq!(lab.attribute("printer-state-message").await, "Out of paper: fill tray-1");
    clear(&lab, "sheets");
    assert_eq!(lab.printed(1).await[0].impressions, 5);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jam_door_and_waste_stop_the_printer_and_staples_do_not() {
    let lab = printer(of("mfp")).await;
    for (fault, reason, state) in [
        ("jam", "media-jam-error", "stopped"),
        ("door-open", "cover-open-error", "stopped"),
        ("waste-full", "marker-waste-full-error", "stopped"),
        ("toner-level:cyan:0", "toner-empty-error", "stopped"),
        ("toner-level:cyan:4", "toner-low-warning", "idle"),
        ("toner-level:waste-toner:95", "marker-waste-almost-full-warning", "idle"),
        ("toner-level:opc:0", "opc-life-over-error", "stopped"),
        ("staples-empty", "stapler-empty-warning", "idle"),
    ] {
        set(&lab, fault);
        assert_eq!(lab.attribute("printer-state-reasons").await, reason, "{fault}");
        assert_eq!(lab.attribute("printer-state").await, state, "{fault}");
        clear(&lab, fault);
        assert_eq!(lab.attribute("printer-state-reasons").await, "none", "{fault}");
    }
    set(&lab, "staples-empty");
    let supplies = lab.attribute("printer-supply").await;
    assert!(supplies.contains("type=staples;unit=items;maxcapacity=5000;level=0;"), "{supplies}");
    lab.office.shutdown().await;

    let lab = printer(|_| ()).await;
    let error = lab.office.set_fault("P", "staples-empty".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "`P`: `staples-empty`: it has no stapler");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ink_and_impressions_have_their_own_units() {
    let lab = printer(of("inkjet")).await;
    set(&lab, "toner-level:black:50");
    let supplies = lab.attribute("printer-supply").await;
    assert!(supplies.contains("type=inkCartridge;unit=tenthsOfMilliliters;maxcapacity=120;level=60;"), "{supplies}");
    assert!(lab.attribute("marker-levels").await.starts_with("50,"));
    set(&lab, "toner-level:black:0");
    assert_eq!(lab.attribute("printer-state-reasons").await, "marker-supply-empty-error");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_falls_over_time_and_a_fresh_supply_ends_it() {
    let lab = printer(|_| ()).await;
    set(&lab, "toner-level:black:70:2");
    let mut seen = Vec::new();
    until("the level to arrive", async || {
        let levels = lab.attribute("marker-levels").await;
        let black: i32 = levels.split(',').next().unwrap().parse().unwrap();
        seen.push(black);
        (black == 70).then_some(())
    })
    .await;
    assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
    assert!(seen.iter().any(|level| (71..78).contains(level)), "on its way: {seen:?}");
    clear(&lab, "toner-level:black");
    assert!(lab.attribute("marker-levels").await.starts_with("78,"));
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_have_rising_indices() {
    let lab = printer(|_| ()).await;
    // The yellow cartridge is low from the start.
    let alert = lab.attribute("printer-alert").await;
    assert!(alert.contains("code=markerTonerAlmostEmpty;index=1;severity=warning;"), "{alert}");
    assert!(alert.contains("group=markerSupplies;groupindex=4;"), "{alert}");
    for index in [2, 3] {
        set(&lab, "jam");
        let alert = lab.attribute("printer-alert").await;
        assert!(alert.contains(&format!("code=jam;index={index};severity=critical;")), "{alert}");
        clear(&lab, "jam");
        assert!(!lab.attribute("printer-alert").await.contains("jam"));
    }
    lab.office.power_off("P").await.unwrap();
    lab.office.power_on("P").await.unwrap();
    set(&lab, "door-open");
    let alert = lab.attribute("printer-alert").await;
    assert!(alert.contains("code=coverOpen;index=2;"), "the table begins anew: {alert}");
    lab.office.shutdown().await;
}

async fn display(lab: &Lab) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", &format!("http://{}/", lab.office.printers()[0].address)]);
    String::from_utf8(run(curl).await.stdout).unwrap().lines().last().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sleeps_when_told_and_an_ipp_request_wakes_it() {
    let lab = printer(|_| ()).await;
    assert_eq!(display(&lab).await, "Ready");
    lab.office.order("P", Order::Sleep).await.unwrap();
    assert_eq!(display(&lab).await, "Sleep");
    assert_eq!(lab.attribute("printer-state").await, "idle");
    assert_eq!(display(&lab).await, "Ready");
    lab.office.order("P", Order::Sleep).await.unwrap();
    print(&lab, 1).await;
    lab.printed(1).await;
    assert_eq!(display(&lab).await, "Ready");
    lab.office.shutdown().await;
}
