//! What the tests of the whole gateway share: the cloud's view of it, held against the schemas, and the lab around it.

use crate::common::gateway::Gateway;
use crate::common::https::HttpsFiles;
use crate::common::lab::{Nucleus, Simulated};
use crate::common::mqtt::{Message, MqttWatch};
use crate::common::{try_until, wait_until};
use jsonschema::Validator;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything takes on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(40);

/// Thing name of every gateway under test.
pub(crate) const THING: &str = "gw1";

/// Where documents are served: the only address that is not global and yet allowed.
pub(crate) const FILES: Ipv4Addr = Ipv4Addr::new(127, 0, 50, 1);

/// What the cloud receives of one gateway.
pub(crate) struct Cloud {
    watch: MqttWatch,
    port: u16,
    schemas: HashMap<&'static str, Validator>,
}

impl Cloud {
    /// Listens to everything the gateway says and to the answers of the shadow service.
    pub(crate) fn start(port: u16) -> Cloud {
        let filters = [format!("printers/{THING}/#"), format!("$aws/things/{THING}/shadow/#")];
        let watch = MqttWatch::start(port, &[&filters[0], &filters[1]]);
        let schemas =
            ["print-status", "status", "event", "telemetry", "gateway-status", "shadow-update", "shadow-accepted"]
                .map(|name| (name, validator(name)));
        Cloud { watch, port, schemas: HashMap::from(schemas) }
    }

    /// Everything received.
    pub(crate) fn watch(&self) -> &MqttWatch {
        &self.watch
    }

    /// Waits until the shadow of the printer that calls itself `name` was accepted; gives the printer's id.
    #[track_caller]
    pub(crate) fn printer(&self, name: &str) -> String {
        self.printer_within(LONG, name)
    }

    /// The same with another deadline.
    #[track_caller]
    pub(crate) fn printer_within(&self, deadline: Duration, name: &str) -> String {
        let message = self.watch.wait_for(deadline, &format!("the shadow of {name:?}"), |message| {
            shadow_of(&message.topic).is_some() && message.json()["state"]["reported"]["name"] == name
        });
        shadow_of(&message.topic).unwrap().to_owned()
    }

    /// Waits for an accepted shadow update with this in `reported`; gives the printer's id.
    #[track_caller]
    pub(crate) fn printer_where(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> String {
        let message = self.watch.wait_for(LONG, what, |message| {
            shadow_of(&message.topic).is_some() && wanted(&message.json()["state"]["reported"])
        });
        shadow_of(&message.topic).unwrap().to_owned()
    }

    /// Waits for a status of this printer as wanted.
    #[track_caller]
    pub(crate) fn wait_status_of_printer(&self, printer: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let topic = format!("printers/{THING}/{printer}/status");
        self.watch.wait_for(LONG, "a status of the printer", |m| m.topic == topic && wanted(&m.json())).json()
    }

    /// The ids of all printers whose shadow was accepted so far.
    pub(crate) fn shadows(&self) -> BTreeSet<String> {
        self.watch.messages().iter().filter_map(|m| shadow_of(&m.topic).map(str::to_owned)).collect()
    }

    /// The shadow as the cloud asks for it.
    #[track_caller]
    pub(crate) fn get_shadow(&self, printer: &str) -> Value {
        let token = format!("get-{}", self.watch.messages().len());
        let topic = format!("$aws/things/{THING}/shadow/name/{printer}/get");
        crate::common::mqtt::publish(self.port, &topic, &json!({ "clientToken": token }).to_string());
        let accepted = format!("{topic}/accepted");
        let answer = self.watch.wait_for(LONG, "get/accepted", |message| {
            message.topic == accepted && message.json()["clientToken"] == token.as_str()
        });
        answer.json()
    }

    /// Publishes a ticket (or what should be none) with mosquitto_pub.
    #[track_caller]
    pub(crate) fn submit(&self, printer: &str, ticket: &Value) {
        self.submit_text(printer, &ticket.to_string());
    }

    /// The same for any text.
    #[track_caller]
    pub(crate) fn submit_text(&self, printer: &str, payload: &str) {
        crate::common::mqtt::publish(self.port, &format!("printers/{THING}/{printer}/print/submit"), payload);
    }

    /// Submits as the delivery contract asks: no status after a while, then the same ticket again.
    #[track_caller]
    pub(crate) fn submit_until_answered(&self, printer: &str, ticket: &Value) {
        let job = ticket["jobId"].as_str().expect("a job id");
        wait_until(LONG, "an answer to the ticket", || {
            self.submit(printer, ticket);
            try_until(Duration::from_secs(5), || (!self.statuses(job).is_empty()).then_some(()))
        });
    }

    /// Publishes a control message.
    #[track_caller]
    pub(crate) fn control(&self, printer: &str, control: &Value) {
        let topic = format!("printers/{THING}/{printer}/print/control");
        crate::common::mqtt::publish(self.port, &topic, &control.to_string());
    }

    /// All statuses of a job so far, once each (by `id`), in the order of their arrival.
    pub(crate) fn statuses(&self, job: &str) -> Vec<Value> {
        statuses(&self.watch.messages(), job)
    }

    /// Waits until a job has this status; gives all its statuses.
    #[track_caller]
    pub(crate) fn wait_status(&self, job: &str, status: &str) -> Vec<Value> {
        self.wait_status_where(job, &format!("status {status}"), |value| value["status"] == status)
    }

    /// Waits until one of a job's statuses is as wanted; gives all its statuses.
    #[track_caller]
    pub(crate) fn wait_status_where(&self, job: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.watch.wait_until(LONG, &format!("{what} of job {job}"), |messages| {
            Some(statuses(messages, job)).filter(|statuses| statuses.iter().any(&wanted))
        })
    }

    /// Waits for a gateway status as wanted.
    #[track_caller]
    pub(crate) fn wait_gateway(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let topic = format!("printers/{THING}/status");
        self.watch.wait_for(LONG, what, |message| message.topic == topic && wanted(&message.json())).json()
    }

    /// Waits until the gateway has come online `times` times: commands reach it from then on.
    #[track_caller]
    pub(crate) fn wait_online(&self, times: usize) {
        let topic = format!("printers/{THING}/status");
        self.watch.wait_until(LONG, &format!("the gateway online ({times})"), |messages| {
            let online: BTreeSet<String> = messages
                .iter()
                .filter(|message| message.topic == topic)
                .map(Message::json)
                .filter(|status| status["event"] == "online")
                .map(|status| status["id"].to_string())
                .collect();
            (online.len() >= times).then_some(())
        });
    }

    /// The statuses of one job, in order of `seq` without a gap, as its complete way.
    #[track_caller]
    pub(crate) fn assert_in_order(&self, job: &str, way: &[&str]) {
        let statuses = self.statuses(job);
        let seqs: Vec<u64> = statuses.iter().map(|status| status["seq"].as_u64().unwrap()).collect();
        let wanted: Vec<u64> = (1..=statuses.len() as u64).collect();
        assert_eq!(seqs, wanted, "the statuses of {job} are not in order: {statuses:#?}");
        let mut states: Vec<&str> = statuses.iter().map(|status| status["status"].as_str().unwrap()).collect();
        states.dedup();
        assert_eq!(states, way, "{statuses:#?}");
    }

    /// Every message of the gateway so far satisfies its schema. Gives how many were looked at.
    #[track_caller]
    pub(crate) fn assert_schemas(&self) -> usize {
        let mut count = 0;
        for message in self.watch.messages() {
            let Some(schema) = schema_of(&message.topic) else { continue };
            let value = message.json();
            if value["state"].get("desired").is_some() {
                // What the cloud desires is no word of the gateway's.
                continue;
            }
            let errors: Vec<String> = self.schemas[schema]
                .iter_errors(&value)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{} is not a valid {schema}: {errors:?}\n{}", message.topic, message.payload);
            if message.topic.starts_with("printers/") {
                assert_eq!(value["gateway"], THING, "{}", message.payload);
            }
            count += 1;
        }
        count
    }
}

/// `$aws/things/gw1/shadow/name/{ID}/update/accepted`
fn shadow_of(topic: &str) -> Option<&str> {
    topic.strip_prefix(&format!("$aws/things/{THING}/shadow/name/"))?.strip_suffix("/update/accepted")
}

/// The schema for what the gateway sends on `topic`; nothing for what others send.
fn schema_of(topic: &str) -> Option<&'static str> {
    let levels: Vec<&str> = topic.split('/').collect();
    match levels.as_slice() {
        ["printers", _, "status"] => Some("gateway-status"),
        ["printers", _, "telemetry"] => Some("telemetry"),
        ["printers", _, _, "status"] => Some("status"),
        ["printers", _, _, "event"] => Some("event"),
        ["printers", _, _, "print", "status"] => Some("print-status"),
        ["$aws", _, _, "shadow", "name", _, "update"] => Some("shadow-update"),
        ["$aws", _, _, "shadow", "name", _, "update", "accepted"] => Some("shadow-accepted"),
        _ => None,
    }
}

fn validator(name: &str) -> Validator {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{name}.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn statuses(messages: &[Message], job: &str) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let all = messages.iter().filter(|message| message.topic.ends_with("/print/status")).map(Message::json);
    all.filter(|value| value["jobId"] == job && seen.insert(value["id"].to_string())).collect()
}

/// A ticket for a document at `url`.
pub(crate) fn ticket(job: &str, url: &str, document: &[u8]) -> Value {
    json!({"jobId": job, "document": {"url": url, "sha256": sha256(document), "size": document.len(),
           "format": "application/pdf"}, "title": format!("Test {job}"), "user": "alice"})
}

/// Lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A UDP port that was free a moment ago: mDNS of one test only.
pub(crate) fn mdns_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port()
}

/// A gateway between a stand-in nucleus and a simulated office, on loopback, with documents over https.
pub(crate) struct Lab {
    // Dropped in this order: the gateway first.
    /// The gateway.
    pub(crate) gateway: Gateway,
    /// Its nucleus.
    pub(crate) nucleus: Nucleus,
    /// What the cloud sees.
    pub(crate) cloud: Cloud,
    /// The printers: `Colour`, `Reception`, `Labels`, then `Colour 2` and so on.
    pub(crate) office: Simulated,
    /// Documents.
    pub(crate) files: HttpsFiles,
    directory: TempDir,
}

impl Lab {
    /// Starts everything; `more` is merged into the gateway's configuration, `simulate` are more arguments of it.
    pub(crate) fn start(printers: usize, simulate: &[&str], more: &Value) -> Lab {
        let directory = tempfile::tempdir().unwrap();
        let files = HttpsFiles::start("documents.test", FILES.into());
        let mdns_port = mdns_port();
        let port = mdns_port.to_string();
        let mut arguments = vec!["--mdns-port", &port];
        arguments.extend(simulate);
        let office = Simulated::start(printers, &directory.path().join("office"), &arguments);
        let mut configuration = configuration(&files, mdns_port);
        merge(&mut configuration, more);
        let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &["--thing", THING]);
        let cloud = Cloud::start(nucleus.mqtt_port());
        let gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
        Lab { gateway, nucleus, cloud, office, files, directory }
    }

    /// The jobs that the printer of this name has put on paper, as their documents.
    pub(crate) fn printed(&self, printer: &str) -> Vec<Vec<u8>> {
        let all = self.office.printed();
        let ours = all.iter().filter(|printed| printed["printer"] == printer);
        let office = self.directory.path().join("office");
        ours.map(|printed| std::fs::read(office.join(printed["file"].as_str().unwrap())).unwrap()).collect()
    }
}

/// The configuration of a gateway that finds printers on loopback and takes documents from `files`.
pub(crate) fn configuration(files: &HttpsFiles, mdns_port: u16) -> Value {
    json!({
        "discovery": {"mdnsPort": mdns_port, "loopback": true},
        "poll": {"idleSeconds": 5, "busySeconds": 1},
        "documents": {"caFile": files.ca(), "allowedNetworks": [FILES.to_string()]},
        "spool": {"reserveBytes": 0},
    })
}

/// Merges objects recursively; anything else is replaced.
pub(crate) fn merge(target: &mut Value, more: &Value) {
    match (target, more) {
        (Value::Object(target), Value::Object(more)) => {
            for (key, value) in more {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, more) => *target = more.clone(),
    }
}
