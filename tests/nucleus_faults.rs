//! Faults on command and AWS's quotas, on the wire: the official Python client is the component, mosquitto_pub and
//! mosquitto_sub are the cloud.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;
mod nucleus_support;

use nucleus_support::{Component, SOON, nucleus, until};
use serde_json::json;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Waits for so many messages whose topics begin like that.
#[track_caller]
fn arrived(watch: &common::mqtt::MqttWatch, root: &str, count: usize) -> Vec<String> {
    watch.wait_until(SOON, &format!("{count} messages below {root}"), |messages| {
        let found = messages.iter().filter(|m| m.topic.starts_with(root)).map(|m| m.payload.clone());
        Some(found.collect::<Vec<_>>()).filter(|found| found.len() == count)
    })
}

fn payloads(watch: &common::mqtt::MqttWatch) -> Vec<String> {
    watch.messages().into_iter().map(|message| message.payload).collect()
}

#[test]
fn a_black_hole_answers_ok_and_nothing_arrives_in_either_direction() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &[]);
    let watch = nucleus.watch(&["printers/#"]);
    let mut component = Component::connect(&nucleus);
    component.subscribe("printers/gw1/+/print/submit", &nucleus);

    nucleus.control(&json!({"fault": "black-hole"}));
    for n in 0..30 {
        component.publish("printers/gw1/a/status", &format!("lost {n}")).expect("OK, though nothing arrives");
    }
    nucleus.publish("printers/gw1/a/print/submit", &json!("lost ticket"));
    let status = until(&nucleus, "the ticket at the nucleus", |s| s["faults"]["swallowedIn"].as_u64() > Some(0));
    assert_eq!((&status["link"]["online"], &status["faults"]["swallowedOut"]), (&json!(true), &json!(30)));

    // Without PUBACK lite takes ten.
    nucleus.control(&json!({"fault": "black-hole", "direction": "out", "acknowledged": false}));
    for _ in 0..10 {
        component.publish("printers/gw1/a/status", "lost").unwrap();
    }
    assert!(component.publish("printers/gw1/a/status", "lost").unwrap_err().starts_with("ServiceError"));

    nucleus.control(&json!({"fault": "none"}));
    component.publish("printers/gw1/a/status", "here").unwrap();
    watch.wait_for(SOON, "a publish after the black hole", |m| m.payload == "here");
    nucleus.publish("printers/gw1/a/print/submit", &json!("ticket"));
    assert_eq!(component.wait_for(1), ["\"ticket\""]);
    assert!(!payloads(&watch).iter().any(|payload| payload.starts_with("lost")), "{:?}", payloads(&watch));
}

#[test]
fn slow_deliveries_come_late_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &[]);
    let mut component = Component::connect(&nucleus);
    component.subscribe("printers/gw1/a/#", &nucleus);
    nucleus.control(&json!({"fault": "slow", "ms": 700}));
    let start = Instant::now();
    for n in 0..3 {
        nucleus.publish("printers/gw1/a/x", &json!(n));
    }
    assert_eq!(component.wait_for(3), ["0", "1", "2"]);
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
}

#[test]
fn deliveries_come_twice_and_in_another_order_and_the_seed_decides() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &[]);
    let mut component = Component::connect(&nucleus);
    component.subscribe("printers/gw1/a/#", &nucleus);
    let send = |component: &mut Component, count: usize, copies: usize| {
        let before = component.events().len();
        lines(nucleus.mqtt_port(), "printers/gw1/a/x", count);
        component.wait_for(before + copies).split_off(before)
    };

    nucleus.control(&json!({"fault": "duplicate", "every": 2}));
    assert_eq!(send(&mut component, 4, 6), ["0", "1", "1", "2", "3", "3"]);

    nucleus.control(&json!({"fault": "none"}));
    nucleus.control(&json!({"fault": "reorder", "window": 4, "seed": 7}));
    let first = send(&mut component, 4, 4);
    nucleus.control(&json!({"fault": "reorder", "window": 4, "seed": 7}));
    let second = send(&mut component, 4, 4);
    assert_eq!(first, second);
    assert_ne!(first, ["0", "1", "2", "3"]);
    let mut sorted = first;
    sorted.sort();
    assert_eq!(sorted, ["0", "1", "2", "3"]);
    // Fewer than the window: they come all the same.
    assert_eq!(send(&mut component, 1, 1), ["0"]);
    let status = nucleus.status();
    assert_eq!(status["faults"]["duplicated"], json!(2));
    assert!(status["faults"]["reordered"].as_u64() >= Some(4), "{status}");
}

#[test]
fn chosen_echoes_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &[]);
    let watch = nucleus.watch(&["printers/#"]);
    let mut component = Component::connect(&nucleus);
    component.subscribe("printers/gw1/#", &nucleus);
    nucleus.control(&json!({"fault": "drop-echoes", "filter": "printers/gw1/+/status", "count": 2}));
    nucleus.publish("printers/gw1/a/status", &json!("from the cloud"));
    for n in 0..4 {
        component.publish("printers/gw1/a/status", &format!("own {n}")).unwrap();
    }
    component.publish("printers/gw1/a/event", "other topic").unwrap();
    assert_eq!(component.wait_for(4), ["\"from the cloud\"", "own 2", "own 3", "other topic"]);
    watch.wait_for(SOON, "all of them in the cloud", |m| m.payload == "other topic");
    assert!(payloads(&watch).contains(&"own 0".to_owned()), "the cloud has what the component does not see");
    assert_eq!(nucleus.status()["faults"]["active"], json!([]));

    nucleus.control(&json!({"fault": "drop-deliveries", "filter": "#", "count": 1}));
    nucleus.publish("printers/gw1/a/x", &json!(1));
    nucleus.publish("printers/gw1/a/x", &json!(2));
    assert_eq!(component.wait_for(5)[4], "2");
    let refused = nucleus.try_control(&json!({"fault": "drop-echoes", "filter": "a/#/b", "count": 1}));
    assert_eq!(refused["ok"], json!(false), "{refused}");
}

#[test]
fn a_restart_ends_connections_and_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &[]);
    let mut component = Component::connect(&nucleus);
    component.publish("printers/gw1/a", "before").unwrap();
    let old = nucleus.env();
    let answer = nucleus.control(&json!({"restart": true, "downMs": 50}));
    assert!(component.publish("printers/gw1/a", "x").is_err(), "the connection is gone");
    let mut late = Component::start(&old);
    assert!(late.ask(&json!({"do": "connect"})).is_err(), "the old token is refused");
    let token = old.iter().find(|(key, _)| key == "SVCUID").unwrap();
    assert_ne!(answer["env"]["SVCUID"], json!(token.1));
    let env: Vec<_> =
        answer["env"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
    let watch = nucleus.watch(&["printers/#"]);
    let mut fresh = Component::start(&env);
    fresh.ask(&json!({"do": "connect"})).unwrap();
    fresh.publish("printers/gw1/a", "after").unwrap();
    watch.wait_for(SOON, "a publish with the new token", |m| m.payload == "after");
    assert_eq!(nucleus.status()["link"]["connects"], json!(2));
}

#[test]
fn a_killed_broker_ends_connections_forgets_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &[]);
    let port = nucleus.mqtt_port().to_string();
    let retained = Command::new("mosquitto_pub").args(["-p", &port, "-t", "kept", "-m", "x", "-r", "-q", "1"]).status();
    assert!(retained.unwrap().success());
    let asks = |wait: &str| {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-p", &port, "-t", "kept", "-C", "1", "-W", wait]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(asks("10"), "x\n");
    let mut component = Component::connect(&nucleus);
    component.subscribe("printers/gw1/#", &nucleus);
    nucleus.control(&json!({"broker": "kill", "downMs": 300}));
    assert_eq!(asks("1"), "", "a killed broker remembers nothing");
    until(&nucleus, "the link again", |s| s["link"]["online"] == true && s["link"]["connects"] == 2);
    // The subscription is taken up again: until then the echo is missing.
    let end = Instant::now() + SOON;
    while component.events().is_empty() {
        assert!(Instant::now() < end, "no echo after the broker came back");
        let _ = component.publish("printers/gw1/a", "again");
        std::thread::sleep(Duration::from_millis(100));
    }
    // The shadow service lives on, too.
    let shadows = nucleus.watch(&["$aws/things/+/shadow/+/+"]);
    let end = Instant::now() + SOON;
    while shadows.messages().is_empty() {
        assert!(Instant::now() < end, "no answer of the shadow service");
        nucleus.publish("$aws/things/t/shadow/get", &json!({}));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_script_does_it_at_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("faults");
    std::fs::write(&script, "# two\nat 300ms {\"fault\": \"slow\", \"ms\": 5}\nat 0.1s {\"link\": \"cut\"}\n").unwrap();
    let nucleus = nucleus(directory.path(), &["--script", script.to_str().unwrap()]);
    let status = until(&nucleus, "both faults", |s| s["faults"]["active"] != json!([]));
    assert_eq!(status["link"]["online"], json!(false), "the earlier one was done before");
    assert_eq!(status["faults"]["active"][0]["ms"], json!(5));

    std::fs::write(&script, "at 1 {}").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_printgate"));
    command.args(["nucleus", "--script", script.to_str().unwrap(), "--dir"]).arg(directory.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 1"), "{output:?}");
}

// --- classic ---------------------------------------------------------------------------------------------------------

#[test]
fn classic_spools_while_offline_until_the_spooler_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &["--profile", "classic", "--no-quotas"]);
    let watch = nucleus.watch(&["printers/#"]);
    let mut component = Component::connect(&nucleus);
    nucleus.link(false);
    assert!(component.publish_qos_0("printers/gw1/a", "0").unwrap_err().contains("ServiceError"), "QoS 0 is not kept");
    for n in 0..10 {
        component.publish("printers/gw1/a", &n.to_string()).expect("kept");
    }
    let big = "x".repeat(7_000);
    let fill = json!({"do": "publish", "topic": "printers/gw1/big", "payload": big, "repeat": 400});
    let refused = component.ask(&fill).unwrap_err();
    assert!(refused.starts_with("ServiceError"), "{refused}");
    let status = nucleus.status();
    assert_eq!((&status["link"]["spooled"], &status["link"]["spooledBytes"]), (&json!(384), &json!(2_618_010)));
    nucleus.link(true);
    let messages = arrived(&watch, "printers/gw1/", 384);
    let small: Vec<_> = messages.iter().filter(|payload| payload.len() == 1).collect();
    assert_eq!(small, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "first in, first out");
    until(&nucleus, "an empty spooler", |s| s["link"]["spooled"] == 0);
    assert!(component.publish("printers/gw1/a", &"x".repeat(131_073)).is_err(), "over 128 KiB");
}

#[test]
fn classic_has_five_in_flight_and_loses_the_spooler_with_the_nucleus() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &["--profile", "classic"]);
    let watch = nucleus.watch(&["printers/#"]);
    let mut component = Component::connect(&nucleus);
    nucleus.control(&json!({"fault": "black-hole", "direction": "out", "acknowledged": false}));
    for n in 0..20 {
        component.publish("printers/gw1/a", &format!("lost {n}")).expect("in the spooler");
    }
    let status = nucleus.status();
    assert_eq!((&status["link"]["inFlight"], &status["link"]["spooled"]), (&json!(5), &json!(20)));
    let answer = nucleus.control(&json!({"restart": true}));
    nucleus.control(&json!({"fault": "none"}));
    assert_eq!(nucleus.status()["link"]["spooled"], json!(0));
    let env: Vec<_> =
        answer["env"].as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect();
    let mut fresh = Component::start(&env);
    fresh.ask(&json!({"do": "connect"})).unwrap();
    fresh.publish("printers/gw1/a", "here").unwrap();
    watch.wait_for(SOON, "a publish after the restart", |m| m.payload == "here");
    assert_eq!(payloads(&watch), ["here"]);
}

#[test]
fn a_full_spooler_gives_up_qos_0_first() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &["--profile", "classic"]);
    let mut component = Component::connect(&nucleus);
    nucleus.control(&json!({"fault": "black-hole", "direction": "out", "acknowledged": false}));
    let payload = "x".repeat(7_000);
    let mut fill = |qos: u8, repeat: usize| {
        let topic = "printers/gw1/a";
        component.ask(&json!({"do": "publish", "topic": topic, "payload": payload, "qos": qos, "repeat": repeat}))
    };
    // Five are on the wire for ever, so that ten at QoS 0 wait behind them, and then as many as fit.
    fill(1, 5).unwrap();
    fill(0, 10).unwrap();
    fill(1, 374 - 15).unwrap();
    assert_eq!(nucleus.status()["link"]["dropped"], json!(0));
    fill(1, 10).expect("those at QoS 0 make room");
    assert_eq!(nucleus.status()["link"]["dropped"], json!(10));
    assert!(fill(1, 1).unwrap_err().starts_with("ServiceError"));
    assert!(fill(0, 1).unwrap_err().starts_with("ServiceError"));
    assert_eq!(nucleus.status()["link"]["spooled"], json!(374));
}

#[test]
fn classic_gets_afterwards_what_came_while_it_was_offline_ten_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &["--profile", "classic"]);
    let mut component = Component::connect(&nucleus);
    component.subscribe("printers/gw1/#", &nucleus);
    nucleus.link(false);
    for n in 0..12 {
        nucleus.publish("printers/gw1/a", &json!(n));
    }
    let start = Instant::now();
    nucleus.link(true);
    let expected: Vec<_> = (0..12).map(|n| n.to_string()).collect();
    assert_eq!(component.wait_for(12), expected);
    assert!(start.elapsed() >= Duration::from_millis(1_000), "{:?}", start.elapsed());
}

#[test]
fn classic_opens_another_connection_for_the_51st_subscription() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &["--profile", "classic"]);
    let mut component = Component::connect(&nucleus);
    for n in 0..50 {
        component.ask(&json!({"do": "subscribe", "topic": format!("printers/p{n}/print/submit")})).unwrap();
    }
    assert_eq!(nucleus.status()["link"]["connections"], json!(1));
    component.subscribe("printers/p50/print/submit", &nucleus);
    let status = nucleus.status();
    assert_eq!((&status["link"]["connections"], &status["link"]["subscriptions"]), (&json!(2), &json!(51)));
    // Its client id is the second one's: who takes it over ends that connection, and the nucleus makes it anew.
    let port = nucleus.mqtt_port().to_string();
    let mut thief = Command::new("mosquitto_sub");
    let mut thief = thief.args(["-p", &port, "-i", "gw1#2", "-t", "x"]).stdout(Stdio::null()).spawn().unwrap();
    for n in [0, 50] {
        nucleus.publish(&format!("printers/p{n}/print/submit"), &json!(n));
    }
    let _ = thief.kill();
    let _ = thief.wait();
    let end = Instant::now() + SOON;
    while !["0", "50"].iter().all(|n| component.events().iter().any(|event| event == n)) {
        assert!(Instant::now() < end, "{:?}", component.events());
        nucleus.publish("printers/p50/print/submit", &json!(50));
        std::thread::sleep(Duration::from_millis(100));
    }
}

// --- quotas ----------------------------------------------------------------------------------------------------------

/// mosquitto_pub that publishes each line of its input on one connection.
fn lines(port: u16, topic: &str, count: usize) {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-p", &port.to_string(), "-t", topic, "-q", "0", "-l"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for n in 0..count {
        writeln!(stdin, "{n}").unwrap();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_connection_publishes_a_hundred_messages_a_second_and_the_rest_is_thrown_away() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &[]);
    let watch = nucleus.watch(&["burst/#"]);
    lines(nucleus.mqtt_port(), "burst/a", 400);
    let status = until(&nucleus, "throttling", |s| s["quotas"]["throttledIn"].as_u64() > Some(0));
    assert_eq!(status["quotas"]["closed"], json!(0), "the connection stays");
    nucleus.publish("burst/end", &json!("end"));
    watch.wait_for(SOON, "the end", |m| m.topic == "burst/end");
    let through = watch.messages().iter().filter(|m| m.topic == "burst/a").count() as u64;
    let thrown = nucleus.status()["quotas"]["throttledIn"].as_u64().unwrap();
    let late = nucleus.status()["quotas"]["throttledOut"].as_u64().unwrap();
    assert_eq!(through + thrown + late, 400);
    assert!((100..350).contains(&through), "{through}");

    let free = tempfile::tempdir().unwrap();
    let nucleus = nucleus_support::nucleus(free.path(), &["--no-quotas"]);
    let watch = nucleus.watch(&["burst/#"]);
    lines(nucleus.mqtt_port(), "burst/a", 400);
    arrived(&watch, "burst/a", 400);
}

#[test]
fn what_aws_ends_the_connection_for_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &[]);
    let port = nucleus.mqtt_port().to_string();
    // The reason code with which the broker said farewell, if it did.
    let runs = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let output =
            command.args(["-p", &port, "-V", "5", "-d"]).args(arguments).stdin(Stdio::null()).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        let code = text.split("Received DISCONNECT (").nth(1).and_then(|rest| rest.split(')').next()?.parse().ok());
        code.unwrap_or(0)
    };
    let publish = |arguments: &[&str]| runs("mosquitto_pub", arguments);
    assert_eq!(publish(&["-q", "1", "-t", "1/2/3/4/5/6/7/8", "-m", "x"]), 0, "seven slashes");
    assert_eq!(publish(&["-q", "1", "-t", "$aws/rules/r/1/2/3/4/5/6/7/8", "-m", "x"]), 0, "basic ingest");
    let file = directory.path().join("payload");
    std::fs::write(&file, vec![b'x'; 128 * 1024]).unwrap();
    assert_eq!(publish(&["-q", "1", "-t", "a", "-f", file.to_str().unwrap()]), 0, "128 KiB");
    std::fs::write(&file, vec![b'x'; 128 * 1024 + 1]).unwrap();
    let long = "x".repeat(257);
    for (arguments, code) in [
        (&["-q", "1", "-t", "1/2/3/4/5/6/7/8/9", "-m", "x"][..], 0x90),
        (&["-q", "1", "-t", &long, "-m", "x"], 0x90),
        (&["-q", "1", "-t", "a", "-f", file.to_str().unwrap()], 0x95),
        (&["-q", "2", "-t", "a", "-m", "x"], 0x9b),
    ] {
        assert_eq!(publish(arguments), code, "{:?}", &arguments[..4]);
    }
    let filters = |count: usize| (0..count).flat_map(|n| ["-t".to_owned(), format!("f/{n}")]).collect::<Vec<_>>();
    let subscribe = |count: usize| {
        let filters = filters(count);
        let mut arguments = vec!["-E", "-W", "5"];
        arguments.extend(filters.iter().map(String::as_str));
        runs("mosquitto_sub", &arguments)
    };
    assert_eq!(subscribe(8), 0, "eight filters in one SUBSCRIBE");
    assert_eq!(subscribe(9), 0x97, "nine");
    assert_eq!(nucleus.status()["quotas"]["closed"], json!(5));
}

#[test]
fn the_component_meets_the_quotas_too() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &[]);
    let mut component = Component::connect(&nucleus);
    // Lite passes on what AWS ends the connection for.
    component.publish("printers/1/2/3/4/5/6/7/8", "x").unwrap();
    until(&nucleus, "a new connection", |s| s["quotas"]["closed"] == 1 && s["link"]["connects"] == 2);
    // Over a hundred a second: no PUBACK, and after ten of those nothing more at QoS 1.
    let burst = json!({"do": "publish", "topic": "printers/a", "payload": "x", "qos": 0, "repeat": 300});
    component.ask(&burst).unwrap();
    until(&nucleus, "throttling", |s| s["quotas"]["throttledIn"].as_u64() > Some(0));
}

#[test]
fn a_persistent_session_of_anyone_drips_ten_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let nucleus = nucleus(directory.path(), &[]);
    let port = nucleus.mqtt_port().to_string();
    let session = |count: &str| {
        let mut command = Command::new("mosquitto_sub");
        command.args(["-p", &port, "-c", "-i", "kept", "-q", "1", "-t", "drip/#", "-C", count, "-W", "20"]);
        command
    };
    let first = session("1").stdout(Stdio::piped()).spawn().unwrap();
    let watch = nucleus.watch(&["drip/#"]);
    let end = Instant::now() + SOON;
    let mut first = first;
    while first.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end);
        nucleus.publish("drip/first", &json!("first"));
        std::thread::sleep(Duration::from_millis(50));
    }
    for n in 0..15 {
        nucleus.publish("drip/a", &json!(n));
    }
    arrived(&watch, "drip/a", 15);
    let start = Instant::now();
    let output = session("15").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.lines().filter(|line| *line != "\"first\"").count() >= 13, "{text}");
    assert!(start.elapsed() >= Duration::from_millis(1_200), "{:?}", start.elapsed());
}
