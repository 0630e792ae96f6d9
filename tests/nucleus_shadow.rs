//! The stand-in nucleus's Device Shadow service, as mosquitto_pub and mosquitto_sub see it.
#![cfg(feature = "lab")]
// Tests say what they expect by unwrapping it, their helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use printgate::nucleus::shadow::Things;
use printgate::nucleus::{ComponentConfig, Nucleus, NucleusConfig, Quotas};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

const DEADLINE: Duration = Duration::from_secs(20);
const THING: &str = "gw-shadow";
const SHADOW: &str = "$aws/things/gw-shadow/shadow/name/hp-1";

struct Cloud {
    nucleus: Nucleus,
    port: String,
    lines: Lines<BufReader<ChildStdout>>,
    _sub: Child,
    _dir: tempfile::TempDir,
}

impl Cloud {
    /// A nucleus and a subscriber to everything that the shadow service says.
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut NucleusConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let component = ComponentConfig { name: "c".into(), version: "1.0.0".into(), config: json!({}) };
        let mut config = NucleusConfig::new(dir.path().join("ipc.sock"), THING, component);
        change(&mut config);
        let nucleus = Nucleus::start(config).await.unwrap();
        let port = nucleus.mqtt_port().to_string();
        let mut sub = Command::new("mosquitto_sub")
            .args(["-p", &port, "-q", "1", "-F", "%t %p"])
            .args(["-t", "ready", "-t", "$aws/things/+/shadow/+/+", "-t", "$aws/things/+/shadow/name/+/+/+"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(sub.stdout.take().unwrap()).lines();
        let mut cloud = Self { nucleus, port, lines, _sub: sub, _dir: dir };
        // mosquitto_sub does not say when it is subscribed: knock until it answers.
        let end = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < end, "mosquitto_sub was never subscribed");
            cloud.publish("ready", b"now").await;
            if timeout(Duration::from_millis(200), cloud.lines.next_line()).await.is_ok() {
                return cloud;
            }
        }
    }

    async fn publish(&self, topic: &str, payload: &[u8]) {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-p", &self.port, "-q", "1", "-t", topic]).arg(if payload.is_empty() { "-n" } else { "-s" });
        let mut child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stdin, payload).await.unwrap();
        drop(stdin);
        assert!(timeout(DEADLINE, child.wait()).await.unwrap().unwrap().success());
    }

    /// Publishes each line on one connection, as fast as it goes.
    async fn publish_lines(&self, topic: &str, lines: &[String]) {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-p", &self.port, "-q", "1", "-l", "-t", topic]);
        let mut child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stdin, (lines.join("\n") + "\n").as_bytes()).await.unwrap();
        drop(stdin);
        assert!(timeout(DEADLINE, child.wait()).await.unwrap().unwrap().success());
    }

    /// The codes and client tokens of so many rejections.
    async fn rejections(&mut self, count: usize) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        for _ in 0..count {
            let (topic, answer) = self.next().await;
            assert!(topic.ends_with("/rejected"), "{topic}");
            all.push((answer["code"].as_u64().unwrap(), answer["clientToken"].as_str().unwrap().to_owned()));
        }
        all
    }

    /// The next message, its topic shortened by the shadow's.
    async fn next(&mut self) -> (String, Value) {
        let end = Instant::now() + DEADLINE;
        loop {
            let line = timeout_at(end, self.lines.next_line()).await.expect("no answer in time").unwrap().unwrap();
            let (topic, payload) = line.split_once(' ').unwrap();
            if topic != "ready" {
                let topic = topic.strip_prefix(SHADOW).map_or(topic, |rest| rest.trim_start_matches('/'));
                return (topic.to_owned(), serde_json::from_str(payload).unwrap());
            }
        }
    }

    async fn ask(&mut self, operation: &str, payload: Value) -> (String, Value) {
        let payload = if payload.is_null() { String::new() } else { payload.to_string() };
        self.publish(&format!("{SHADOW}/{operation}"), payload.as_bytes()).await;
        self.next().await
    }

    async fn rejected(&mut self, operation: &str, payload: Value) -> u64 {
        let (topic, answer) = self.ask(operation, payload).await;
        assert_eq!(topic, format!("{operation}/rejected"), "{answer}");
        assert!(answer["timestamp"].is_i64() && answer["message"].is_string(), "{answer}");
        answer["code"].as_u64().unwrap()
    }

    /// An accepted update: its answer, with `update/documents` taken off.
    async fn accepted(&mut self, payload: Value) -> Value {
        let (topic, answer) = self.ask("update", payload).await;
        assert_eq!(topic, "update/accepted", "{answer}");
        let (topic, documents) = self.next().await;
        assert_eq!(topic, "update/documents", "{documents}");
        assert_eq!(documents["current"]["version"], answer["version"]);
        answer
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_lives_from_404_to_delete_and_back() {
    let mut cloud = Cloud::start().await;
    assert_eq!(cloud.rejected("get", Value::Null).await, 404);
    assert_eq!(cloud.rejected("delete", Value::Null).await, 404);
    let answer = cloud.accepted(json!({"state": {"reported": {"status": "idle"}}, "clientToken": "t1"})).await;
    assert_eq!((&answer["version"], &answer["clientToken"]), (&json!(1), &json!("t1")));
    assert_eq!(answer["state"], json!({"reported": {"status": "idle"}}));
    assert!(answer["metadata"]["reported"]["status"]["timestamp"].as_i64().unwrap() > 1_700_000_000);

    cloud.accepted(json!({"state": {"desired": {"poll": 60}}})).await;
    let (topic, delta) = cloud.next().await;
    assert_eq!((topic.as_str(), &delta["state"]), ("update/delta", &json!({"poll": 60})));
    assert_eq!((&delta["version"], delta["metadata"]["poll"]["timestamp"].is_i64()), (&json!(2), true));
    cloud.accepted(json!({"state": {"reported": {"poll": 60}}, "version": 2})).await;
    assert_eq!(cloud.rejected("update", json!({"state": {"reported": {"poll": 1}}, "version": 2})).await, 409);

    let (topic, document) = cloud.ask("get", json!({"clientToken": "t2"})).await;
    assert_eq!((topic.as_str(), &document["clientToken"]), ("get/accepted", &json!("t2")));
    assert_eq!(document["state"], json!({"desired": {"poll": 60}, "reported": {"poll": 60, "status": "idle"}}));
    assert_eq!(document["version"], json!(3));

    let (topic, deleted) = cloud.ask("delete", Value::Null).await;
    assert_eq!((topic.as_str(), &deleted["version"]), ("delete/accepted", &json!(3)));
    assert_eq!(cloud.rejected("get", Value::Null).await, 404);
    let answer = cloud.accepted(json!({"state": {"reported": {"status": "new"}}})).await;
    assert_eq!(answer["version"], json!(4), "the counter survives a delete");
    cloud.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_refuses_it_refuses_with_its_code() {
    let mut cloud = Cloud::start().await;
    let large = json!({"state": {"reported": {"a": "x".repeat(8_192)}}});
    assert_eq!(cloud.rejected("update", large).await, 413);
    cloud.accepted(json!({"state": {"reported": {"a": "x".repeat(8_100)}}})).await;
    let small = json!({"state": {"reported": {"b": "y".repeat(80)}}});
    assert_eq!(cloud.rejected("update", small).await, 413, "the merged state is measured");
    let deep = json!({"state": {"reported": {"1": {"2": {"3": {"4": {"5": {"6": {"7": 1}}}}}}}}});
    assert_eq!(cloud.rejected("update", deep).await, 400);
    assert_eq!(cloud.rejected("update", json!({"state": {"reported": {"l": [null]}}})).await, 400);
    assert_eq!(cloud.rejected("update", json!({"state": {}, "clientToken": "t".repeat(65)})).await, 400);
    assert_eq!(cloud.rejected("update", json!({"reported": {}})).await, 400);
    cloud.publish(&format!("{SHADOW}/update"), b"{no json").await;
    assert_eq!(cloud.next().await.1["code"], json!(400));
    cloud.publish(&format!("{SHADOW}/update"), b"\xff\xfe").await;
    assert_eq!(cloud.next().await.1["code"], json!(415));
    cloud.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_things_classic_shadow_is_another_one() {
    let mut cloud = Cloud::start().await;
    cloud.publish("$aws/things/prn-1/shadow/update", br#"{"state":{"reported":{"a":1}}}"#).await;
    assert_eq!(cloud.next().await.0, "$aws/things/prn-1/shadow/update/accepted");
    assert_eq!(cloud.next().await.0, "$aws/things/prn-1/shadow/update/documents");
    cloud.publish("$aws/things/prn-1/shadow/name/a/get", b"").await;
    assert_eq!(cloud.next().await.0, "$aws/things/prn-1/shadow/name/a/get/rejected");
    cloud.publish("$aws/things/prn-1/shadow/get", b"").await;
    let (topic, answer) = cloud.next().await;
    assert_eq!((topic.as_str(), &answer["version"]), ("$aws/things/prn-1/shadow/get/accepted", &json!(1)));
    cloud.nucleus.shutdown().await;
}

fn gets(count: usize) -> Vec<String> {
    (0..count).map(|n| json!({"clientToken": n.to_string()}).to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thing_has_ten_requests_in_flight_and_twenty_a_second() {
    // So slow that nothing is answered before all have come.
    let slow = Quotas { shadow_time: Duration::from_secs(3), ..Quotas::default() };
    let mut cloud = Cloud::start_with(|config| config.quotas = Some(slow)).await;
    cloud.publish_lines(&format!("{SHADOW}/get"), &gets(12)).await;
    let answers = cloud.rejections(12).await;
    let expected: Vec<_> =
        (10..12).map(|n| (429, n.to_string())).chain((0..10).map(|n| (404, n.to_string()))).collect();
    assert_eq!(answers, expected, "the eleventh is rejected at once, the others take their time");
    cloud.nucleus.shutdown().await;

    let quick = Quotas { shadow_time: Duration::ZERO, ..Quotas::default() };
    let mut cloud = Cloud::start_with(|config| config.quotas = Some(quick)).await;
    cloud.publish_lines(&format!("{SHADOW}/get"), &gets(60)).await;
    let answers = cloud.rejections(60).await;
    let taken = answers.iter().filter(|(code, _)| *code == 404).count();
    assert!((20..55).contains(&taken), "{taken} of 60 in a moment");
    assert!(answers.iter().all(|(code, _)| [404, 429].contains(code)));
    // It is the thing's quota: another one has its own, and its shadows share it.
    cloud.publish_lines(&format!("{SHADOW}/get"), &gets(40)).await;
    cloud.publish("$aws/things/other/shadow/get", br#"{"clientToken":"other"}"#).await;
    assert!(cloud.rejections(41).await.contains(&(404, "other".into())));
    cloud.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_quotas_every_request_is_served() {
    let mut cloud = Cloud::start_with(|config| config.quotas = None).await;
    cloud.publish_lines(&format!("{SHADOW}/get"), &gets(300)).await;
    assert!(cloud.rejections(300).await.iter().all(|(code, _)| *code == 404));
    cloud.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thing_that_is_not_registered_is_not_found() {
    let things = Things::Only([THING.to_owned()].into());
    let mut cloud = Cloud::start_with(|config| config.things = things).await;
    cloud.publish("$aws/things/prn-1/shadow/update", br#"{"state":{},"clientToken":"t"}"#).await;
    let (topic, answer) = cloud.next().await;
    assert_eq!(topic, "$aws/things/prn-1/shadow/update/rejected");
    assert_eq!((&answer["code"], &answer["message"]), (&json!(404), &json!("Thing not found")));
    cloud.accepted(json!({"state": {"reported": {"a": 1}}})).await;
    cloud.nucleus.shutdown().await;
}
