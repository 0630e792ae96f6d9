//! `printgate discover` on a simulated office: each printer once, under the id that the gateway gives it, and what the
//! arguments choose.

#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;

use common::gateway::{Gateway, printgate};
use common::lab::{Nucleus, Simulated};
use common::netns;
use common::snmpd::{Access, COLOUR_LASER, Snmpd};
use common::wait_until;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn mdns_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port()
}

fn discover(port: u16, arguments: &[&str]) -> Output {
    let port = port.to_string();
    let all = [&["discover", "--loopback", "--mdns-port", &port], arguments].concat();
    printgate(&all, &[]).output().unwrap()
}

#[track_caller]
fn found(port: u16, arguments: &[&str]) -> Value {
    let output = discover(port, &[&["--json"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Ids by name.
fn ids(answer: &Value) -> BTreeMap<String, String> {
    let printers = answer["printers"].as_array().unwrap();
    let one = |p: &Value| (p["name"].as_str().unwrap().to_owned(), p["id"].as_str().unwrap_or_default().to_owned());
    let ids: BTreeMap<String, String> = printers.iter().map(one).collect();
    assert_eq!(ids.len(), printers.len(), "a printer is there twice: {answer}");
    ids
}

#[test]
fn each_printer_is_found_once_under_the_id_that_the_gateway_gives_it() {
    let directory = tempfile::tempdir().unwrap();
    let port = mdns_port();
    let office = Simulated::start(6, &directory.path().join("office"), &["--mdns-port", &port.to_string()]);
    let announced = office.printers().len();
    let answer = wait_until(LONG, "all printers, found by the command", || {
        let answer = found(port, &["--timeout", "2"]);
        (answer["printers"].as_array().unwrap().len() >= announced - 1).then_some(answer)
    });
    assert_eq!(answer["complete"], true);
    let by_command = ids(&answer);
    for printer in answer["printers"].as_array().unwrap() {
        assert!(printer["sources"].to_string().contains("mdns"), "{printer}");
        assert!(printer["maker"].is_string() && !printer["endpoints"].as_array().unwrap().is_empty(), "{printer}");
        if printer["serial"].is_string() {
            assert_eq!(printer["evidence"], "serial", "{printer}");
        }
    }

    let configuration = json!({"discovery": {"mdnsPort": port, "loopback": true}, "spool": {"reserveBytes": 0}});
    let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &[]);
    let gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
    let work = gateway.directory().to_str().unwrap().to_owned();
    let by_gateway = wait_until(LONG, "all printers, found by the gateway", || {
        let output = printgate(&["printers", "--json", "--work-dir", &work], &[]).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        (answer["printers"].as_array()?.len() >= by_command.len()).then(|| ids(&answer))
    });
    assert_eq!(by_command, by_gateway);

    // Nothing that the gateway does not know.
    let new = found(port, &["--timeout", "2", "--new", "--work-dir", &work]);
    assert_eq!(new["printers"], json!([]), "{new}");
    drop(gateway);
    let nobody = discover(port, &["--timeout", "1", "--new", "--work-dir", &work]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
}

#[test]
fn arguments_choose_and_places_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let port = mdns_port();
    let office = Simulated::start(2, &directory.path().join("office"), &["--mdns-port", &port.to_string()]);
    let printers = office.printers();
    let (one, other) = (&printers[0], &printers[1]);
    let (name, uri) = (one["name"].as_str().unwrap(), one["uri"].as_str().unwrap());
    wait_until(LONG, "both announced", || (ids(&found(port, &["--timeout", "2"])).len() == 2).then_some(()));

    // By name alone, without mDNS: the same id as when it is heard.
    let heard = found(port, &["--timeout", "2"]);
    let named = found(port, &["--no-mdns", "--list", uri]);
    let [printer] = &named["printers"].as_array().unwrap()[..] else { panic!("not one: {named}") };
    assert_eq!(printer["id"], ids(&heard)[name].as_str());
    assert_eq!(printer["sources"], json!(["ipp", "list"]));

    // What nobody is asked is known by what was announced, and has no id.
    let heard_only = found(port, &["--timeout", "2", "--no-probe"]);
    assert_eq!(heard_only["printers"].as_array().unwrap().len(), 2);
    assert!(
        heard_only["printers"].as_array().unwrap().iter().all(|p| p["id"].is_null() && p["sources"] == json!(["mdns"]))
    );

    // Filters.
    let maker = heard["printers"].as_array().unwrap().iter().find(|p| p["name"] == name).unwrap()["maker"].clone();
    let ours = found(port, &["--timeout", "2", "--maker", maker.as_str().unwrap()]);
    assert_eq!(ids(&ours).into_keys().collect::<Vec<_>>(), [name]);
    let none = found(port, &["--timeout", "2", "--address", "10.99.0.0/16"]);
    assert_eq!(none["printers"], json!([]));
    assert_ne!(other["name"], name);

    // A table for people; wrong arguments are usage errors.
    let table = discover(port, &["--timeout", "2", "--all"]);
    let table = String::from_utf8(table.stdout).unwrap();
    let header = table.lines().next().unwrap();
    for column in ["NAME", "MAKER", "MODEL", "SERIAL", "ADDRESS", "ENDPOINTS", "EVIDENCE", "ID"] {
        assert!(header.contains(column), "{table}");
    }
    for wrong in
        [&["--list", "http://x"][..], &["--sweep", "10.0.0.0/99"], &["--config", "/nowhere"], &["--timeout", "0"]]
    {
        assert_eq!(discover(port, wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn an_interrupt_shows_what_was_found() {
    let directory = tempfile::tempdir().unwrap();
    let port = mdns_port().to_string();
    let _office = Simulated::start(1, &directory.path().join("office"), &["--mdns-port", &port]);
    let arguments = ["discover", "--loopback", "--mdns-port", &port, "--timeout", "600", "--json"];
    let mut command = printgate(&arguments, &[("PRINTGATE_LOG", "info,async_snmp=off")]);
    let mut search = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(search.stderr.take().unwrap()).lines();
    // Ends with the process at the latest: a search that finds nothing is ended by the test's own deadline.
    let found = log.by_ref().map_while(Result::ok).find(|line| line.contains("printer found"));
    assert!(found.is_some(), "the search ended without finding anything");
    let pid = rustix::process::Pid::from_child(&search);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    std::thread::spawn(move || log.for_each(drop));
    let mut text = String::new();
    search.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(search.wait().unwrap().code(), Some(1), "there may be more");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&answer["complete"], &answer["printers"][0]["name"]), (&json!(false), &json!("Colour")));
}

#[test]
fn a_sweep_that_cannot_be_sent_says_so() {
    netns::inside("a_sweep_that_cannot_be_sent_says_so", || {
        // Nothing leads there.
        let output = printgate(&["discover", "--no-mdns", "--sweep", "10.99.0.0/29"], &[]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("questions of the sweep could not be sent: is there a route"), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "no printers found\n");
    });
}

/// A bare address: asked over SNMP and IPP how it is printed to, and called as the list calls it.
#[test]
fn an_address_alone_is_asked_how_it_is_printed_to() {
    let directory = tempfile::tempdir().unwrap();
    let port = mdns_port().to_string();
    let snmp = common::free_port();
    let office = directory.path().join("office");
    let office = Simulated::start(1, &office, &["--mdns-port", &port, "--snmp-port", &snmp.to_string()]);
    let address = office.printers()[0]["uri"]
        .as_str()
        .unwrap()
        .split(['/', ':'])
        .find(|part| part.starts_with("127."))
        .unwrap()
        .to_owned();
    let file = directory.path().join("gateway.json");
    let list = json!([{"uri": address, "name": "By the window"}]);
    std::fs::write(&file, json!({"printers": {"list": list}, "snmp": {"port": snmp}}).to_string()).unwrap();
    let arguments = ["--no-mdns", "--config", file.to_str().unwrap()];
    let answer = found(port.parse().unwrap(), &arguments);
    let [printer] = &answer["printers"].as_array().unwrap()[..] else { panic!("not one: {answer}") };
    assert_eq!((&printer["name"], &printer["address"]), (&json!("By the window"), &json!(address)));
    assert_eq!(printer["evidence"], "serial");
    assert!(printer["sources"].to_string().contains("snmp"), "{printer}");
    // A sweep of its network finds the same.
    let snmp = snmp.to_string();
    let swept = found(port.parse().unwrap(), &["--no-mdns", "--snmp-port", &snmp, "--sweep", &format!("{address}/32")]);
    assert_eq!(swept["printers"][0]["id"], printer["id"], "{swept}");
}

/// What a list names and what is no printer is told with its reason; a search without a source and a failed write are no
/// success.
#[test]
fn what_gave_nothing_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let port = mdns_port();
    let file = directory.path().join("places");
    std::fs::write(&file, "127.0.91.77\nipp://8.8.8.8/ipp/print\nno-such-host.invalid\n").unwrap();
    let arguments = ["--no-mdns", "--all", "--json", "--list", file.to_str().unwrap()];
    let output = discover(port, &arguments);
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let silent: BTreeMap<&str, &str> = answer["silent"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["place"].as_str().unwrap(), one["why"].as_str().unwrap()))
        .collect();
    assert_eq!(silent.len(), 3, "{answer}");
    assert!(silent["ipp://8.8.8.8/ipp/print"].contains("not in an allowed network"), "{silent:?}");
    assert!(silent["no-such-host.invalid"].contains("name"), "{silent:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(silent.keys().all(|place| told.contains(&format!("nothing found at {place}: "))), "{told}");

    for wrong in [&["--no-mdns"][..], &["--list", "./no/such/file"], &["--sweep", "10.0.0.0/15"]] {
        assert_eq!(discover(port, wrong).status.code(), Some(2), "{wrong:?}");
    }

    let arguments = ["discover", "--timeout", "1", "--mdns-port", &port.to_string()];
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = printgate(&arguments, &[]).stdout(full).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

/// A listed printer that does not answer is told as such; one that can only be printed to cannot be asked.
#[test]
fn a_listed_printer_that_does_not_answer_is_told() {
    let (port, gone) = (mdns_port(), common::free_port());
    let (uri, raw) = (format!("ipp://127.0.91.77:{gone}/ipp/print"), "socket://127.0.91.78");
    let look = |more: &[&str]| {
        let output = discover(port, &[&["--no-mdns", "--list", &uri, "--list", raw], more].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (told, trouble) = look(&["--json"]);
    let answer: Value = serde_json::from_str(&told).unwrap();
    let of = |uri: &str| answer["printers"].as_array().unwrap().iter().find(|printer| printer["uri"] == uri).unwrap();
    assert_eq!((&of(&uri)["answered"], &of(&uri)["sources"]), (&json!(false), &json!(["list"])));
    assert_eq!((&of(raw)["answered"], &of(raw)["sources"]), (&json!(null), &json!(["list"])));
    assert!(of(&uri)["id"].is_string(), "{answer}");
    let silent = answer["silent"].as_array().unwrap();
    assert_eq!((silent.len(), &silent[0]["place"]), (1, &json!(uri)), "{answer}");
    assert!(trouble.contains(&format!("nothing found at {uri}: it does not answer")), "{trouble}");
    let (table, _) = look(&[]);
    let line = |part: &str| table.lines().find(|line| line.contains(part)).unwrap().trim_end().to_owned();
    assert!(line("127.0.91.77").ends_with("no answer"), "{table}");
    assert!(!line("127.0.91.78").ends_with("no answer"), "{table}");
    let (told, trouble) = look(&["--json", "--no-probe"]);
    let answer: Value = serde_json::from_str(&told).unwrap();
    assert!(answer["printers"].as_array().unwrap().iter().all(|printer| printer["answered"].is_null()), "{answer}");
    assert_eq!((&answer["silent"], trouble.as_str()), (&json!([]), ""));
}

/// SNMPv3 with passwords from files, and several communities, on the command line.
#[test]
fn agents_are_asked_with_the_logins_of_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let (port, snmp) = (mdns_port(), common::snmpd::free_udp_port(Ipv4Addr::new(127, 0, 92, 10)));
    let _users_only = Snmpd::start(Ipv4Addr::new(127, 0, 92, 10), snmp, Access::User, COLOUR_LASER);
    let snmp = snmp.to_string();
    let office = directory.path().join("office");
    let arguments = ["--no-mdns", "--address", "127.0.92.20", "--snmp-port", &snmp, "--snmp-community", "accounting"];
    let office = Simulated::start(1, &office, &arguments);
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        // Or it is no secret.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let auth = format!("SHA256:{}", file("auth", "authsecret\n"));
    let privacy = format!("AES128:{}", file("privacy", "privsecret\n"));
    let wrong = format!("AES128:{}", file("wrong", "anothersecret\n"));
    let user = ["--snmp-user", "monitor", "--snmp-auth", &auth, "--snmp-privacy"];
    let places = ["--no-mdns", "--snmp-port", &snmp, "--sweep", "127.0.92.0/27"];
    let serials = |logins: &[&str]| -> BTreeSet<String> {
        let answer = found(port, &[&places[..], logins].concat());
        let printers = answer["printers"].as_array().unwrap().iter();
        printers.map(|printer| printer["serial"].as_str().unwrap().to_owned()).collect()
    };
    let (laser, simulated) = ("VNB3R12345".to_owned(), office.printers()[0]["serial"].as_str().unwrap().to_owned());
    let communities = ["--community", "public", "--community", "accounting"];
    assert_eq!(serials(&[&user[..], &[&privacy]].concat()), BTreeSet::from([laser.clone()]));
    assert_eq!(serials(&communities), BTreeSet::from([simulated.clone()]));
    let all = [&communities[..], &user, &[&privacy]].concat();
    assert_eq!(serials(&all), BTreeSet::from([laser, simulated]));
    assert_eq!(serials(&[&user[..], &[&wrong]].concat()), BTreeSet::new());

    // A password that is not there is told, without a word of the others, and is not waited for.
    let nowhere = format!("AES128:{}/nowhere", directory.path().display());
    let output = discover(port, &[&places[..], &user, &[&nowhere]].concat());
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("nowhere") && !told.contains("authsecret"), "{output:?}");
    assert!(told.contains("none of the SNMP logins can be used"), "{output:?}");
}

/// Whom the configuration ignores is listed as such, counted as such, and nothing new.
#[test]
fn ignored_printers_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let port = mdns_port();
    let office = Simulated::start(1, &directory.path().join("office"), &["--mdns-port", &port.to_string()]);
    let name = office.printers()[0]["name"].as_str().unwrap().to_owned();
    let configuration = json!({"discovery": {"mdnsPort": port, "loopback": true}, "spool": {"reserveBytes": 0},
                               "printers": {"ignore": [format!("name:{name}")]}});
    let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &[]);
    let gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
    let work = gateway.directory().to_str().unwrap().to_owned();
    let ask = |arguments: &[&str]| {
        let output = printgate(&[arguments, &["--json", "--work-dir", &work]].concat(), &[]).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).ok()
    };
    let status = wait_until(LONG, "the ignored printer counted", || {
        ask(&["status"]).filter(|status| status["discovery"]["putAway"] == 1)
    });
    assert_eq!((&status["discovery"]["quarantined"], &status["printers"]["known"]), (&json!(0), &json!(0)));
    let away = wait_until(LONG, "the ignored printer listed", || {
        ask(&["printers", "--put-away"]).filter(|away| away["putAway"][0]["name"] == name.as_str())
    });
    assert_eq!(away["putAway"][0]["why"], "ignored", "{away}");
    assert_eq!(found(port, &["--timeout", "2", "--new", "--work-dir", &work])["printers"], json!([]));
    let why = ask(&["printers", &name, "--why"]).unwrap();
    assert_eq!((&why["standing"], &why["id"]), (&json!("ignored"), &away["putAway"][0]["id"]));
}

/// What, which file, what to do; nothing is waited for.
#[test]
fn a_login_that_cannot_be_used_is_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let short = directory.path().join("short");
    std::fs::write(&short, "seven77\n").unwrap();
    std::fs::set_permissions(&short, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (file, why) in [(directory.path().join("missing"), "No such file"), (short, "8 octets or more")] {
        let file = file.to_str().unwrap();
        let auth = format!("SHA256:{file}");
        let user = ["--no-mdns", "--snmp-user", "monitor", "--snmp-auth", &auth];
        for place in [["--sweep", "127.0.93.0/30"], ["--list", "127.0.93.1"]] {
            let output = discover(mdns_port(), &[&user[..], &place].concat());
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            assert!(told.contains("user monitor") && told.contains(file) && told.contains(why), "{told}");
            assert!(told.contains("--community") && !told.contains("seven77"), "{told}");
        }
    }
}
