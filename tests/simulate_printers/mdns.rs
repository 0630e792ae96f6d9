//! Announcements, seen by another process's responder and by a browser in this one.
//!
//! On a port of its own, so that tests and offices at work do not see each other.

use crate::office::DEADLINE;
use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent};
use printgate::simulate::{Interfaces, Mdns, Office, OfficeConfig, PrinterSpec};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const COLOUR: [&str; 3] = ["office-colour", "inkjet", "mfp"];

/// A UDP port that nobody uses now.
fn free_port() -> u16 {
    std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

async fn simulate(port: u16, printers: u8, dir: &std::path::Path) -> (Child, Vec<Value>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_printgate"))
        .args(["simulate", "--json", "--tls", "--address", "127.0.86.1", "--mdns-port", &port.to_string()])
        .args(["--printers", &printers.to_string(), "--dir"])
        .arg(dir)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    (child, ready["printers"].as_array().unwrap().clone())
}

/// Collects services until there are `count`.
async fn resolved(events: &Receiver<ServiceEvent>, count: usize) -> BTreeMap<String, Box<ResolvedService>> {
    let mut found = BTreeMap::new();
    let collect = async {
        while found.len() < count {
            if let ServiceEvent::ServiceResolved(service) = events.recv_async().await.expect("the daemon runs") {
                found.insert(service.get_fullname().to_owned(), service);
            }
        }
    };
    let in_time = timeout(DEADLINE, collect).await;
    assert!(in_time.is_ok(), "found only {:?}", found.keys());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn printers_at_several_addresses_are_found_from_another_process_and_say_goodbye() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let browser = ServiceDaemon::new_with_port(port).unwrap();
    browser.disable_interface(IfKind::All).unwrap();
    browser.enable_interface(IfKind::LoopbackV4).unwrap();
    let (ipp, ipps) = (browser.browse("_ipp._tcp.local.").unwrap(), browser.browse("_ipps._tcp.local.").unwrap());
    let begun = Instant::now();
    // Five of them speak IPP; the old laser does not and is not announced at all.
    let (mut child, printers) = simulate(port, 6, dir.path()).await;
    let ready = begun.elapsed();
    let (plain, tls) = (resolved(&ipp, 5).await, resolved(&ipps, 5).await);
    println!("5 printers: process ready after {ready:?}, all resolved after {:?}", begun.elapsed());
    for printer in printers.iter().filter(|printer| printer["profile"] != "old-mono") {
        let text = |key: &str| printer[key].as_str().unwrap();
        for (found, kind) in [(&plain, "_ipp"), (&tls, "_ipps")] {
            let service = &found[&format!("{}.{kind}._tcp.local.", text("name"))];
            let addresses: Vec<String> = service.get_addresses_v4().iter().map(ToString::to_string).collect();
            assert_eq!(format!("{}:{}", addresses.join(","), service.get_port()), text("address"));
            assert_eq!(service.get_hostname().trim_end_matches('.'), text("host"));
            let txt = |key| service.get_property_val_str(key).unwrap_or_default();
            assert_eq!(txt("UUID"), text("uuid"));
            assert_eq!(txt("rp"), "ipp/print");
            assert_eq!(txt("ty"), format!("{} {}", text("make"), text("model")));
            assert_eq!((txt("txtvers"), txt("priority"), txt("TLS")), ("1", "30", "1.3"));
            assert!(txt("pdl").contains("application/pdf") && txt("adminurl").starts_with("http://"));
            assert_eq!(txt("Color"), if COLOUR.contains(&text("profile")) { "T" } else { "F" });
        }
    }
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &child.id().unwrap().to_string()]);
    assert!(crate::office::run(kill).await.status.success());
    let mut gone = 0;
    let goodbyes = async {
        while gone < 5 {
            if let ServiceEvent::ServiceRemoved(..) = ipp.recv_async().await.expect("the daemon runs") {
                gone += 1;
            }
        }
    };
    assert!(timeout(DEADLINE, goodbyes).await.is_ok(), "only {gone} goodbyes");
    let status = timeout(Duration::from_secs(5), child.wait()).await.expect("ends in time").unwrap();
    assert_eq!(status.code(), Some(0));
    browser.shutdown().unwrap();
}

/// What the gateway's browser needs to find printers on loopback: nothing but the default, in which loopback is on.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_with_default_settings_finds_printers_on_loopback() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let (mut child, _) = simulate(port, 2, dir.path()).await;
    let browser = ServiceDaemon::new_with_port(port).unwrap();
    let found = browser.browse("_ipp._tcp.local.").unwrap();
    resolved(&found, 2).await;
    let subtype = browser.browse("_print._sub._ipp._tcp.local.").unwrap();
    resolved(&subtype, 2).await;
    browser.shutdown().unwrap();
    child.kill().await.unwrap();
}

/// In a network namespace of its own, with an avahi-daemon and a bus of its own.
const AVAHI: &str = r#"
set -e
cd "$1"
ip link set lo up
ip link set lo multicast on
mkdir -p /run/avahi-daemon
mount -t tmpfs none /run/avahi-daemon
cat > bus.conf <<END
<busconfig><type>system</type><listen>unix:path=$PWD/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow send_requested_reply="true"/><allow receive_type="method_call"/><allow receive_type="method_return"/>
<allow receive_type="error"/><allow receive_type="signal"/></policy></busconfig>
END
printf '[server]\nuse-ipv6=no\nallow-interfaces=lo\n[wide-area]\nenable-wide-area=no\n' > avahi.conf
dbus-daemon --config-file="$PWD/bus.conf" --nofork --nopidfile 2>bus.log &
export DBUS_SYSTEM_BUS_ADDRESS="unix:path=$PWD/bus"
until [ -S bus ]; do sleep 0.05; done
avahi-daemon -f "$PWD/avahi.conf" --no-drop-root --no-chroot --no-rlimits >avahi.log 2>&1 &
"$2" simulate --json --tls --printers 3 --dir "$PWD/out" > ready.json &
n=0
until avahi-browse -rpt "$3" > found 2>/dev/null && [ "$(grep -c '^=' found)" = 3 ]; do
  n=$((n + 1)); [ $n -lt 40 ] || { cat avahi.log bus.log found >&2; exit 1; }
done
cat found
"#;

#[tokio::test(flavor = "multi_thread")]
async fn avahi_finds_the_printers() {
    let namespace = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut try_it = Command::new("unshare");
    try_it.args(namespace).arg("true");
    if !crate::office::run(try_it).await.status.success() {
        assert!(std::env::var_os("CI").is_none(), "no network namespace can be made here");
        eprintln!("SKIPPED: no network namespace can be made here (needs root)");
        return;
    }
    for (service, key) in
        [("_ipps._tcp", "address"), ("_print._sub._ipp._tcp", "address"), ("_pdl-datastream._tcp", "appsocket")]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("unshare");
        command.args(namespace).args(["sh", "-c", AVAHI, "sh"]).arg(dir.path());
        command.args([env!("CARGO_BIN_EXE_printgate"), service]);
        let output = crate::office::run(command).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let ready = std::fs::read_to_string(dir.path().join("ready.json")).unwrap();
        let ready: Value = serde_json::from_str(&ready).unwrap();
        for printer in ready["printers"].as_array().unwrap() {
            let value = |key: &str| printer[key].as_str().unwrap();
            let (host, port) = value(key).split_once(':').unwrap();
            let line = text.lines().find(|line| {
                line.starts_with("=;lo;IPv4;") && line.contains(&format!(";{};{host};{port};", value("host")))
            });
            let line = line.unwrap_or_else(|| panic!("{printer} is not in {text}"));
            assert!(line.contains(&format!("\"UUID={}\"", value("uuid"))), "{line}");
        }
    }
}

/// What another printer's UUID looks like to a browser, and that it is gone with the fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_clone_announces_the_uuid_of_another() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let specs =
        ["Right", "Clone"].map(|name| PrinterSpec::new(name, [127, 0, 84, 50 + u8::from(name == "Clone")].into()));
    let mdns = Mdns { interfaces: Interfaces::Loopback, port };
    let config = crate::office::config(specs.to_vec(), dir.path());
    let office = Office::start(OfficeConfig { mdns: Some(mdns), ..config }).await.unwrap();
    // A browser of its own for each look: one that knows both records keeps them for a second (RFC 6762 §10.2).
    let shows = async |uuid: &str| {
        let browser = ServiceDaemon::new_with_port(port).unwrap();
        browser.disable_interface(IfKind::All).unwrap();
        browser.enable_interface(IfKind::LoopbackV4).unwrap();
        let events = browser.browse("_ipp._tcp.local.").unwrap();
        let wait = async {
            loop {
                if let ServiceEvent::ServiceResolved(service) = events.recv_async().await.expect("the daemon runs")
                    && service.get_fullname().starts_with("Clone.")
                {
                    return service.get_property_val_str("UUID").map(str::to_owned);
                }
            }
        };
        assert_eq!(timeout(DEADLINE, wait).await.expect("it is announced").as_deref(), Some(uuid));
        browser.shutdown().unwrap();
    };
    let infos = office.printers();
    shows(&infos[1].uuid).await;
    office.set_fault("Clone", "clone-uuid-of:Right".parse().unwrap()).unwrap();
    shows(&infos[0].uuid).await;
    office.clear_fault("Clone", None).unwrap();
    shows(&infos[1].uuid).await;
    office.shutdown().await;
}
