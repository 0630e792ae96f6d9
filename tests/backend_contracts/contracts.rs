//! Both contracts: the same story in the office, told by the same rules.

use crate::common::gateway::Gateway;
use crate::common::https::HttpsFiles;
use crate::common::lab::{Nucleus, Simulated};
use crate::common::mqtt::{Message, MqttWatch};
use crate::common::{pdf, wait_until};
use crate::sql::Rule;
use crate::support::{FILES, LONG, THING, configuration, mdns_port, merge, ticket};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tempfile::TempDir;

/// How a back end finds its way: its configuration of the gateway, and where it looks.
struct Contract {
    configuration: Value,
    /// Rules 1 to 4: a status, an error, a finished job, a ticket.
    rules: [&'static str; 4],
    /// The topic of a printer, before `/print/submit`.
    topics: fn(&str) -> String,
}

/// The usual set-up: a thing for each printer, topics without the gateway.
fn flat() -> Contract {
    Contract {
        configuration: json!({"cloud": {"topicRoot": "printers/{printer}", "shadows": "thing"}}),
        rules: [
            "SELECT state.reported.* as status, topic(3) as thing FROM '$aws/things/+/shadow/update/accepted'",
            "SELECT state.reported.* as status, topic(3) as thing FROM '$aws/things/+/shadow/update/accepted'
             WHERE state.reported.error_code <> 'OK'",
            "SELECT * FROM 'printers/+/print/status' WHERE status = 'completed'",
            "SELECT * FROM 'printers/+/print/submit'",
        ],
        topics: |printer| format!("printers/{printer}"),
    }
}

/// The default names: the same rules one level down.
fn default_names() -> Contract {
    Contract {
        configuration: json!({}),
        rules: [
            "SELECT state.reported.* as status, topic(6) as thing FROM '$aws/things/+/shadow/name/+/update/accepted'",
            "SELECT state.reported.* as status, topic(6) as thing FROM '$aws/things/+/shadow/name/+/update/accepted'
             WHERE state.reported.error_code <> 'OK'",
            "SELECT * FROM 'printers/+/+/print/status' WHERE status = 'completed'",
            "SELECT * FROM 'printers/+/+/print/submit'",
        ],
        topics: |printer| format!("printers/{THING}/{printer}"),
    }
}

/// A gateway, its office, and everything that passes the broker.
struct Bench {
    // Dropped in this order: the gateway first.
    gateway: Gateway,
    nucleus: Nucleus,
    office: Simulated,
    files: HttpsFiles,
    watch: MqttWatch,
    contract: Contract,
    _directory: TempDir,
}

impl Bench {
    fn start(contract: Contract, printers: usize) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let files = HttpsFiles::start("documents.test", FILES.into());
        let mdns = mdns_port();
        // Of a kind that announces itself.
        let arguments = ["--mdns-port", &mdns.to_string(), "--profile", "office-colour"];
        let arguments = if printers > 3 { &arguments[..] } else { &arguments[..2] };
        let office = Simulated::start(printers, &directory.path().join("office"), arguments);
        let mut all = configuration(&files, mdns);
        merge(&mut all, &contract.configuration);
        let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &all, &["--thing", THING]);
        let watch = nucleus.watch(&["printers/#", "$aws/things/#"]);
        let gateway = Gateway::start(&[], &nucleus.env(), &directory.path().join("gateway"));
        Bench { gateway, nucleus, office, files, watch, contract, _directory: directory }
    }

    /// What rule `n` (from 1) gave its actions so far.
    fn rule(&self, n: usize) -> Vec<Value> {
        outcomes(self.contract.rules[n - 1], &self.watch.messages())
    }

    /// Waits until what rule `n` gave holds such a one.
    #[track_caller]
    fn wait_rule(&self, n: usize, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let sql = self.contract.rules[n - 1];
        self.watch.wait_until(LONG, what, |messages| outcomes(sql, messages).into_iter().find(&wanted))
    }

    /// The things by the names that their printers give themselves.
    #[track_caller]
    fn things(&self, count: usize) -> BTreeMap<String, String> {
        let sql = self.contract.rules[0];
        self.watch.wait_until(LONG, "a status of each printer", |messages| {
            let named =
                |one: Value| Some((one["status"]["name"].as_str()?.to_owned(), one["thing"].as_str()?.to_owned()));
            let things: BTreeMap<String, String> = outcomes(sql, messages).into_iter().filter_map(named).collect();
            (things.len() == count).then_some(things)
        })
    }

    /// Submits until the gateway answers, as the delivery contract asks.
    #[track_caller]
    fn submit(&self, printer: &str, ticket: &Value) {
        let topic = (self.contract.topics)(printer);
        let answered = format!("{topic}/print/status");
        wait_until(LONG, "an answer to the ticket", || {
            self.nucleus.publish(&format!("{topic}/print/submit"), ticket);
            let is_answer = |m: &Message| m.topic == answered && m.json()["jobId"] == ticket["jobId"];
            crate::common::try_until(Duration::from_secs(5), || {
                self.watch.messages().iter().any(is_answer).then_some(())
            })
        });
    }
}

fn outcomes(sql: &str, messages: &[Message]) -> Vec<Value> {
    let rule = Rule::parse(sql).unwrap();
    messages.iter().filter_map(|message| rule.apply(&message.topic, &message.payload)).collect()
}

/// A morning in the office: printers come, two jobs are printed, a printer runs out of paper and gets some.
fn a_morning(contract: Contract) -> Bench {
    let mut bench = Bench::start(contract, 3);
    let things = bench.things(3);
    let (desk, colour) = (things["Reception"].clone(), things["Colour"].clone());

    // Rule 1: whoever keeps the latest status of each thing can show all of them.
    for thing in things.values() {
        let first = bench.wait_rule(1, "a status of a printer that answers", |one| {
            one["thing"] == thing.as_str() && one["status"]["status"] == "idle"
        });
        let error = if *thing == colour { "toner-low" } else { "OK" };
        assert_eq!(
            (&first["status"]["online"], &first["status"]["error_code"]),
            (&json!(true), &json!(error)),
            "{first}"
        );
    }

    // Rules 3 and 4: two jobs, submitted and completed.
    let mut submitted = Vec::new();
    for n in 1..=2 {
        let document = pdf::pdf(n, "morning");
        let path = format!("/morning-{n}.pdf");
        let url = bench.files.url_by_address(&path);
        bench.files.put(&path, document.clone());
        let ticket = ticket(&format!("job-{n}"), &url, &document);
        bench.submit(&desk, &ticket);
        bench.wait_rule(3, "the job completed", |one| one["jobId"] == ticket["jobId"]);
        submitted.push(ticket);
    }
    for ticket in &submitted {
        assert!(bench.rule(4).contains(ticket), "a rule on tickets sees what was submitted");
    }

    // Rule 2: an alarm for who has something wrong, when it begins; none for the end of it.
    let wrong = |alarms: &[Value]| -> BTreeSet<(String, String)> {
        let pair = |one: &Value| Some((one["thing"].as_str()?.into(), one["status"]["error_code"].as_str()?.into()));
        alarms.iter().map(|one| pair(one).expect("a thing and its error")).collect()
    };
    let toner = (colour.clone(), "toner-low".to_owned());
    assert_eq!(wrong(&bench.rule(2)), BTreeSet::from([toner.clone()]));
    bench.office.set_fault("Reception", "out-of-paper");
    bench.wait_rule(2, "an alarm", |one| one["thing"] == desk.as_str());
    bench.office.clear_faults("Reception");
    let (rule, messages) = (Rule::parse(bench.contract.rules[0]).unwrap(), bench.watch.messages().len());
    bench.watch.wait_until(LONG, "the end of the alarm", |all| {
        let over = |one: Value| one["thing"] == desk.as_str() && one["status"]["error_code"] == "OK";
        let new = all.iter().skip(messages.saturating_sub(1));
        new.filter_map(|message| rule.apply(&message.topic, &message.payload)).any(over).then_some(())
    });
    let alarms = wrong(&bench.rule(2));
    assert_eq!(alarms, BTreeSet::from([toner, (desk.clone(), "media-empty".to_owned())]), "{alarms:?}");

    // Each job is completed once, however often its message was delivered, and says which printer it was.
    let completed = bench.rule(3);
    let ids: BTreeSet<(String, String)> =
        completed.iter().map(|one| (one["jobId"].to_string(), one["id"].to_string())).collect();
    assert_eq!(ids.len(), 2, "{completed:#?}");
    assert!(completed.iter().all(|one| one["printer"] == desk.as_str() && one["gateway"] == THING), "{completed:#?}");
    assert_eq!(bench.gateway.stop().code(), Some(0));
    bench
}

#[test]
fn the_usual_rules_on_a_flat_root_with_a_thing_for_each_printer() {
    let bench = a_morning(flat());
    // Each status is whole: a table that keeps the last one of each thing always says online and error_code.
    for one in bench.rule(1) {
        assert!(one["status"]["online"].is_boolean() && one["status"]["error_code"].is_string(), "{one}");
        assert_ne!(one["thing"], THING, "the gateway's own thing is left alone");
    }
    let messages = bench.watch.messages();
    let named = messages.iter().filter(|message| message.topic.contains("/shadow/name/")).count();
    assert_eq!(named, 0, "no named shadows under this mapping");
    let own = |topic: &str| Some(topic.strip_prefix(&format!("printers/{THING}/"))?.to_owned());
    let own: BTreeSet<String> = messages.iter().filter_map(|message| own(&message.topic)).collect();
    let known = ["status", "telemetry", "echo"].map(str::to_owned).into();
    assert!(own.is_subset(&known), "under the gateway's name are only its own topics: {own:?}");
}

#[test]
fn the_same_rules_one_level_down_under_the_default_names() {
    let bench = a_morning(default_names());
    // The rules of the other contract see nothing of this one.
    for sql in flat().rules {
        let seen = outcomes(sql, &bench.watch.messages());
        assert!(seen.is_empty(), "{sql}: {seen:#?}");
    }
    // A printer's status is told whole on its own topic.
    let statuses = outcomes("SELECT *, topic(3) as thing FROM 'printers/+/+/status'", &bench.watch.messages());
    assert!(!statuses.is_empty());
    for one in statuses {
        assert!(one["online"].is_boolean() && one["error_code"].is_string(), "{one}");
        assert_eq!(one["printer"], one["thing"], "{one}");
    }
}

/// Nucleus lite has few subscriptions: who gets none is named, everybody else is served.
#[test]
fn a_flat_root_serves_as_many_printers_as_the_runtime_has_subscriptions_for() {
    let contract = Contract { configuration: json!({"cloud": {"topicRoot": "printers/{printer}"}}), ..flat() };
    let bench = Bench::start(contract, 32);
    let topic = format!("printers/{THING}/status");
    let status = bench.watch.wait_until(LONG, "two printers too many in the gateway's status", |messages| {
        let mut statuses = messages.iter().filter(|message| message.topic == topic).map(Message::json);
        statuses.rfind(|status| status["unserved"]["count"] == 2)
    });
    let unserved: BTreeSet<String> = status["unserved"]["printers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert!(one["reason"].as_str().unwrap().contains("more than 30 printers"), "{status}");
            one["printer"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(unserved.len(), 2, "{status}");
    // The statuses of all others come, each on its printer's own topic; those of the two wait.
    let told = bench.watch.wait_until(LONG, "the statuses of thirty printers", |messages| {
        let statuses = outcomes("SELECT topic(2) as printer FROM 'printers/+/status' WHERE online = true", messages);
        let told: BTreeSet<String> = statuses.iter().map(|one| one["printer"].as_str().unwrap().to_owned()).collect();
        (told.len() == 30).then_some(told)
    });
    assert!(told.is_disjoint(&unserved), "{told:?}");
    let link = &bench.nucleus.status()["link"];
    assert_eq!(link["subscriptions"], 34, "one a printer, one for the gateway, three for its shadows: {link}");
}
