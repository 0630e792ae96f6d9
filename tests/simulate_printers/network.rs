//! Connections, addresses, certificates, passwords, power and print servers, as others see them.

use crate::office::{HEAD, Lab, config, ipptool, pdf, print_job, printer, run};
use crate::wire::{get_printer_attributes, ipp_message};
use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent};
use printgate::simulate::{
    BasicAuth, Certificate, Interfaces, Mdns, Office, OfficeConfig, Order, PrinterInfo, PrinterSpec,
};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

fn set(lab: &Lab, fault: &str) {
    lab.office.set_fault("P", fault.parse().unwrap()).unwrap();
}

fn order(text: &str) -> Order {
    text.parse().unwrap()
}

/// Posts an IPP message with curl: exit code, HTTP status, seconds until the answer began.
async fn curl(address: SocketAddr, message: &[u8], dir: &Path, arguments: &[&str]) -> (i32, String, f64) {
    let file = dir.join("message");
    std::fs::write(&file, message).unwrap();
    let mut command = Command::new("curl");
    command.args(["-sS", "-o", "/dev/null", "-w", "%{http_code} %{time_starttransfer}"]);
    command.args(["-H", "Content-Type: application/ipp", "--data-binary", &format!("@{}", file.display())]);
    command.args(arguments).arg(format!("http://{address}/ipp/print"));
    let output = run(command).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let (status, time) = text.split_once(' ').unwrap();
    (output.status.code().unwrap(), status.to_owned(), time.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_dropped_before_and_at_a_byte() {
    let lab = printer(|_| ()).await;
    let address = lab.office.printers()[0].address;
    let print = [ipp_message(0x0002, &[(0x42, "job-name", b"cut")]), pdf(30)].concat();
    let post = async |message: &[u8]| curl(address, message, lab.dir.path(), &[]).await.0;
    set(&lab, "drop-before:1");
    // Empty reply, or reset while sending.
    assert!(matches!(post(&print).await, 52 | 55 | 56));
    set(&lab, "drop-at:200:1");
    assert!(matches!(post(&print).await, 52 | 55 | 56));
    // Neither got as far as a job.
    assert_eq!(lab.job(1, "job-state").await, None);
    // One byte before the end of the request: the job is there and incomplete. Nothing past the end is waited for.
    let head = format!("POST /ipp/print HTTP/1.1\r\nHost: {address}\r\n");
    assert!(print.len() > 2 * head.len());
    set(&lab, &format!("drop-at:{}:1", print.len() - 1));
    assert!(matches!(post(&print).await, 52 | 55 | 56));
    lab.job_shows(1, "job-state", "aborted").await;
    assert_eq!(post(&print).await, 0);
    assert_eq!(lab.printed(1).await[0].job_id, 2);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_late() {
    let lab = printer(|_| ()).await;
    let address = lab.office.printers()[0].address;
    set(&lab, "answer-after:1");
    let (code, status, seconds) = curl(address, &get_printer_attributes(), lab.dir.path(), &[]).await;
    assert_eq!((code, status.as_str()), (0, "200"));
    assert!(seconds >= 1.0, "{seconds}");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_by_jobs_or_by_everything() {
    let auth = |everything| BasicAuth { user: "alice".into(), password: "s3 cret:ä".into(), everything };
    let print = [ipp_message(0x0002, &[(0x42, "job-name", b"mine")]), pdf(1)].concat();
    let lab = printer(|spec| spec.auth = Some(auth(false))).await;
    let address = lab.office.printers()[0].address;
    let post =
        async |lab: &Lab, message: &[u8], arguments: &[&str]| curl(address, message, lab.dir.path(), arguments).await.1;
    assert_eq!(post(&lab, &get_printer_attributes(), &[]).await, "200");
    assert!(lab.attribute("uri-authentication-supported").await.contains("basic"));
    assert_eq!(post(&lab, &print, &[]).await, "401");
    assert_eq!(post(&lab, &print, &["-u", "alice:wrong"]).await, "401");
    assert!(lab.log().is_empty());
    assert_eq!(post(&lab, &print, &["-u", "alice:s3 cret:ä"]).await, "200");
    lab.printed(1).await;
    // curl asks without, sees the challenge and asks again.
    assert_eq!(post(&lab, &print, &["--anyauth", "-u", "alice:s3 cret:ä"]).await, "200");
    assert!(!format!("{:?}", auth(true)).contains("s3"));
    lab.office.shutdown().await;
    let lab = printer(|spec| {
        spec.auth = Some(auth(true));
        spec.port = address.port();
    })
    .await;
    assert_eq!(post(&lab, &get_printer_attributes(), &[]).await, "401");
    assert_eq!(post(&lab, &get_printer_attributes(), &["-u", "alice:s3 cret:ä"]).await, "200");
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_can_be_expired_or_not_yet_valid() {
    let lab = printer(|spec| spec.tls = true).await;
    let address = lab.office.printers()[0].address;
    let verify = async || {
        let mut command = Command::new("sh");
        let script = "openssl s_client -connect \"$0\" </dev/null 2>&1 | grep -a 'verify error'";
        command.args(["-c", script, &address.to_string()]);
        String::from_utf8(run(command).await.stdout).unwrap()
    };
    assert!(verify().await.contains("self-signed certificate"));
    lab.office.order("P", Order::ReplaceCertificate(Certificate::Expired)).await.unwrap();
    assert!(verify().await.contains("certificate has expired"));
    lab.office.order("P", order("replace-certificate not-yet-valid")).await.unwrap();
    assert!(verify().await.contains("certificate is not yet valid"));
    lab.office.shutdown().await;
}

async fn office(dir: &Path, specs: Vec<PrinterSpec>) -> Office {
    Office::start(config(specs, dir)).await.unwrap()
}

async fn uuid_at(uri: &str, dir: &Path) -> Option<String> {
    let test = dir.join("uuid.test");
    let text = format!("{{\nOPERATION Get-Printer-Attributes\n{HEAD}STATUS successful-ok\nDISPLAY printer-uuid\n}}\n");
    std::fs::write(&test, text).unwrap();
    let uuid = ipptool(uri, &test, &[]).await.value("printer-uuid")?;
    uuid.strip_prefix("urn:uuid:").map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_printer_moves_and_two_swap_their_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let specs = ["A", "B"].map(|name| PrinterSpec::new(name, [127, 0, 84, 20 + u8::from(name == "B")].into()));
    let office = office(dir.path(), specs.to_vec()).await;
    let both = |office: &Office| -> [PrinterInfo; 2] { office.printers().try_into().unwrap() };
    let [a, b] = both(&office);
    office.order("A", order("move 127.0.84.29")).await.unwrap();
    let [moved, _] = both(&office);
    assert_eq!(moved.address, SocketAddr::new([127, 0, 84, 29].into(), a.address.port()));
    assert!(TcpStream::connect(a.address).await.is_err());
    assert_eq!(uuid_at(&moved.uri, dir.path()).await.as_ref(), Some(&a.uuid));
    office.order("A", order("swap B")).await.unwrap();
    let [after_a, after_b] = both(&office);
    assert_eq!((after_a.address, after_b.address), (b.address, moved.address));
    assert_eq!((after_a.snmp, after_a.appsocket, after_a.lpd), (b.snmp, b.appsocket, b.lpd));
    assert_eq!(uuid_at(&b.uri, dir.path()).await.as_ref(), Some(&a.uuid), "A answers where B was");
    assert_eq!(uuid_at(&moved.uri, dir.path()).await.as_ref(), Some(&b.uuid));
    office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_on_a_disk_survives_the_power() {
    let lab = printer(|_| ()).await;
    set(&lab, "out-of-paper");
    for pages in [1, 2] {
        let document = lab.pdf(pages);
        let ran = lab.ipptool(&print_job("", "STATUS successful-ok"), &["-f", document.to_str().unwrap()]).await;
        assert!(ran.passed(), "{}", ran.text);
    }
    lab.job_shows(1, "job-state", "processing-stopped").await;
    lab.office.order("P", order("power-off keep-queue")).await.unwrap();
    lab.office.order("P", order("power-on")).await.unwrap();
    lab.job_shows(1, "job-state", "processing-stopped").await;
    let created: i32 = lab.job(2, "time-at-creation").await.unwrap().parse().unwrap();
    assert!(created <= 0, "it was before the power came: {created}");
    lab.office.clear_fault("P", None).unwrap();
    let printed = lab.printed(2).await;
    assert_eq!(printed.iter().map(|line| (line.job_id, line.impressions)).collect::<Vec<_>>(), [(1, 1), (2, 2)]);
    lab.office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn power_can_go_without_a_goodbye() {
    let port = std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let specs = ["Silent", "Polite"].map(|name| PrinterSpec::new(name, [127, 0, 84, name.len() as u8 + 30].into()));
    let mdns = Mdns { interfaces: Interfaces::Loopback, port };
    let office = Office::start(OfficeConfig { mdns: Some(mdns), ..config(specs.to_vec(), dir.path()) }).await.unwrap();
    let browser = ServiceDaemon::new_with_port(port).unwrap();
    browser.disable_interface(IfKind::All).unwrap();
    browser.enable_interface(IfKind::LoopbackV4).unwrap();
    let events = browser.browse("_ipp._tcp.local.").unwrap();
    let (mut here, mut gone) = (BTreeSet::new(), BTreeSet::new());
    let until = async |here: &mut BTreeSet<String>, gone: &mut BTreeSet<String>, done: fn(usize, usize) -> bool| {
        let collect = async {
            while !done(here.len(), gone.len()) {
                match events.recv_async().await.unwrap() {
                    ServiceEvent::ServiceResolved(service) => drop(here.insert(service.get_fullname().to_owned())),
                    ServiceEvent::ServiceRemoved(_, name) => drop(gone.insert(name)),
                    _ => {}
                }
            }
        };
        timeout(Duration::from_secs(30), collect).await.expect("in time");
    };
    until(&mut here, &mut gone, |here, _| here == 2).await;
    office.order("Silent", order("power-off silent")).await.unwrap();
    assert!(TcpStream::connect(office.printers()[0].address).await.is_err());
    office.order("Polite", order("power-off")).await.unwrap();
    until(&mut here, &mut gone, |_, gone| gone > 0).await;
    assert_eq!(gone, BTreeSet::from(["Polite._ipp._tcp.local.".to_owned()]));
    browser.shutdown().unwrap();
    office.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_print_server_has_several_queues_behind_one_address() {
    let dir = tempfile::tempdir().unwrap();
    let specs = ["Q1", "Q2", "Q3"].map(|name| PrinterSpec {
        server: Some("server".into()),
        page_time: Duration::from_millis(5),
        ..PrinterSpec::new(name, [127, 0, 84, 40].into())
    });
    let office = office(dir.path(), specs.to_vec()).await;
    let infos = office.printers();
    let ports: BTreeSet<_> = infos.iter().map(|info| info.address).collect();
    assert_eq!(ports.len(), 1, "one IPP port");
    assert_eq!(infos.iter().map(|info| info.appsocket).collect::<BTreeSet<_>>().len(), 3, "three AppSocket ports");
    for (info, number) in infos.iter().zip(1..) {
        assert!(info.uri.ends_with(&format!("/ipp/port{number}")), "{}", info.uri);
        assert_eq!(uuid_at(&info.uri, dir.path()).await.as_ref(), Some(&info.uuid));
    }
    let document = dir.path().join("d.pdf");
    std::fs::write(&document, pdf(1)).unwrap();
    let test = dir.path().join("print.test");
    std::fs::write(&test, print_job("", "STATUS successful-ok")).unwrap();
    let ran = ipptool(&infos[1].uri, &test, &["-f", document.to_str().unwrap()]).await;
    assert!(ran.passed(), "{}", ran.text);
    let printed = crate::office::until("the job", async || office.printed().pop()).await;
    assert_eq!(printed.printer, "Q2");
    // A device behind it goes: its path is unknown, the others are there.
    office.power_off("Q2").await.unwrap();
    assert_eq!(uuid_at(&infos[1].uri, dir.path()).await, None);
    assert_eq!(uuid_at(&infos[2].uri, dir.path()).await.as_ref(), Some(&infos[2].uuid));
    office.shutdown().await;
}

/// What a client sees follows the call at once: there is nothing to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_there_when_the_call_returns() {
    let lab = printer(|_| ()).await;
    let begun = Instant::now();
    for _ in 0..5 {
        set(&lab, "jam");
        assert_eq!(lab.attribute("printer-state").await, "stopped");
        lab.office.clear_fault("P", Some("jam")).unwrap();
        assert_eq!(lab.attribute("printer-state").await, "idle");
    }
    println!("ten changes, each seen by ipptool: {:?}", begun.elapsed());
    lab.office.shutdown().await;
}
