//! The runner: components as small shell scripts, and the real gateway with its real recipe.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

mod common;
mod nucleus_support;

use common::lab::{Nucleus, Simulated};
use common::process;
use nucleus_support::{Component, SOON, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A nucleus that runs a component whose lifecycle is given, in YAML's flow style.
struct Bench {
    nucleus: Nucleus,
    directory: tempfile::TempDir,
}

impl Bench {
    fn start(lifecycle: &str, arguments: &[&str]) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        // Another user must be able to come through.
        process::run(Command::new("chmod").arg("755").arg(directory.path()));
        let recipe = format!(
            r#"
RecipeFormatVersion: "2020-01-25"
ComponentName: com.example.Shell
ComponentVersion: "1.2.3"
ComponentConfiguration:
  DefaultConfiguration:
    greeting: {{words: hello}}
    accessControl:
      aws.greengrass.ipc.mqttproxy:
        com.example.Shell:mqttproxy:1:
          operations: ["aws.greengrass#PublishToIoTCore"]
          resources: ["own/{{iot:thingName}}/#"]
Manifests:
  - Platform: {{os: linux, runtime: "*"}}
    Lifecycle: {lifecycle}
    Artifacts:
      - URI: "s3://BUCKET/tools/tool.sh"
        Permission: {{Read: OWNER, Execute: OWNER}}
"#
        );
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        file("recipe.yaml", &recipe);
        file("artifacts/tools/tool.sh", "#!/bin/sh\necho tool \"$@\"\n");
        let (recipe, artifacts) = (directory.path().join("recipe.yaml"), directory.path().join("artifacts"));
        let mut all = vec!["--run", recipe.to_str().unwrap(), "--artifacts", artifacts.to_str().unwrap()];
        all.extend(arguments);
        let nucleus = Nucleus::start(&directory.path().join("nucleus"), &all);
        Bench { nucleus, directory }
    }

    fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        until(&self.nucleus, what, |status| condition(&status["runner"]))["runner"].clone()
    }

    fn reaches(&self, state: &str) -> Value {
        self.until(state, |runner| runner["state"] == state)
    }

    /// A file in the component's work directory, once it has so many lines.
    fn lines(&self, name: &str, count: usize) -> Vec<String> {
        let path = self.directory.path().join("nucleus/work/com.example.Shell").join(name);
        common::wait_until(SOON, &format!("{count} lines in {name}"), || {
            let text = std::fs::read_to_string(&path).ok()?;
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (lines.len() >= count && text.ends_with('\n')).then_some(lines)
        })
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("nucleus/logs/com.example.Shell.log")).unwrap_or_default()
    }
}

fn alive(pid: &str) -> bool {
    // A zombie has ended.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

#[test]
fn exit_0_is_finished_and_not_started_again_until_a_deployment() {
    let bench = Bench::start(
        r#"{install: "echo installed >> steps", run: "echo run >> steps; {artifacts:path}/tool.sh {configuration:/greeting/words} {iot:thingName}; echo oops >&2"}"#,
        &[],
    );
    let status = bench.reaches("FINISHED");
    assert_eq!((&status["starts"], &status["exitCode"], &status["pid"]), (&json!(1), &json!(0), &json!(null)));
    assert_eq!(bench.lines("steps", 2), ["installed", "run"]);
    let log = common::wait_until(SOON, "both streams in the log", || {
        Some(bench.log()).filter(|log| log.contains("stdout. tool hello gw1") && log.contains("stderr. oops"))
    });
    assert!(log.lines().all(|line| line.starts_with("20")), "each line has its time: {log}");
    // A deployment starts a lite component anew.
    bench.nucleus.configure(&json!({"greeting": {"words": "again"}}));
    bench.until("the second start", |runner| runner["starts"] == 2 && runner["state"] == "FINISHED");
    common::wait_until(SOON, "the new configuration", || bench.log().contains("tool again gw1").then_some(()));
    assert_eq!(bench.lines("steps", 3), ["installed", "run", "run"], "install is run once");
}

#[test]
fn three_errors_are_broken_and_each_start_has_a_new_token() {
    for profile in ["lite", "classic"] {
        let bench = Bench::start(r#"{run: "echo $SVCUID >> tokens; exit 3"}"#, &["--profile", profile]);
        let status = bench.reaches("BROKEN");
        assert_eq!((&status["starts"], &status["errors"], &status["exitCode"]), (&json!(3), &json!(3), &json!(3)));
        let mut tokens = bench.lines("tokens", 3);
        let last = tokens[2].clone();
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), 3, "{tokens:?}");
        // Only the newest is good: judged by the Python client.
        let env = |token: &str| {
            let mut env = bench.nucleus.env();
            env.iter_mut().filter(|(key, _)| key == "SVCUID").for_each(|(_, value)| token.clone_into(value));
            env
        };
        for token in tokens {
            let connected = Component::start(&env(&token)).ask(&json!({"do": "connect"}));
            assert_eq!(connected.is_ok(), token == last, "{token}: {connected:?}");
        }
        let answer = bench.nucleus.control(&json!({"run": "start"}));
        assert_eq!(answer["ok"], json!(true));
        bench.until("three more", |runner| runner["starts"] == 6 && runner["state"] == "BROKEN");
    }
}

#[test]
fn a_signal_nobody_sent_is_an_error_on_classic_and_an_end_on_lite() {
    let lifecycle = r#"{run: "echo x >> starts; kill -TERM $$"}"#;
    let classic = Bench::start(lifecycle, &["--profile", "classic"]);
    assert_eq!(classic.reaches("BROKEN")["signal"], json!(15));
    let lite = Bench::start(lifecycle, &[]);
    assert_eq!(lite.reaches("FINISHED")["starts"], json!(1));
}

#[test]
fn stopping_is_sigterm_to_all_of_it_and_sigkill_when_that_is_not_enough() {
    let gentle =
        r#"{run: "trap 'echo bye >> said; exit 0' TERM; sleep 1000 & echo $! >> pids; while :; do wait; done"}"#;
    let bench = Bench::start(gentle, &["--stop-ms", "20000"]);
    let pid = bench.lines("pids", 1)[0].clone();
    assert!(alive(&pid));
    let answer = bench.nucleus.control(&json!({"run": "stop"}));
    assert_eq!((&answer["runner"]["state"], &answer["runner"]["killed"]), (&json!("STOPPED"), &json!(false)));
    assert_eq!(bench.lines("said", 1), ["bye"]);
    common::wait_until(SOON, "the end of its child", || (!alive(&pid)).then_some(()));

    let deaf = r#"{run: "trap '' TERM; sleep 1000 & echo $! >> pids; while :; do wait; done"}"#;
    let bench = Bench::start(deaf, &["--stop-ms", "300"]);
    let pid = bench.lines("pids", 1)[0].clone();
    let answer = bench.nucleus.control(&json!({"run": "stop"}));
    let runner = &answer["runner"];
    assert_eq!((&runner["state"], &runner["killed"], &runner["signal"]), (&json!("STOPPED"), &json!(true), &json!(9)));
    common::wait_until(SOON, "the end of its child", || (!alive(&pid)).then_some(()));
}

#[test]
fn the_component_ends_with_the_nucleus() {
    let mut bench = Bench::start(r#"{run: "echo $$ >> pids; exec sleep 1000"}"#, &[]);
    let pid = bench.lines("pids", 1)[0].clone();
    assert_eq!(bench.nucleus.terminate(Duration::from_secs(20)).code(), Some(0));
    assert!(!alive(&pid));
}

#[test]
fn the_environment_is_the_runtimes() {
    let lifecycle =
        r#"{setenv: {OWN: "{work:path}"}, run: "env > all; pwd > where; echo end >> all; exec sleep 1000"}"#;
    for (profile, version) in [("lite", "2.6.0"), ("classic", "2.15.0")] {
        let bench = Bench::start(lifecycle, &["--profile", profile, "--thing", "gw7"]);
        common::wait_until(SOON, "the whole environment", || {
            bench.lines("all", 1).contains(&"end".into()).then_some(())
        });
        let lines = bench.lines("all", 1);
        let value = |key: &str| lines.iter().find_map(|line| line.strip_prefix(&format!("{key}=")));
        let work = bench.directory.path().join("nucleus/work/com.example.Shell").canonicalize().unwrap();
        assert_eq!(bench.lines("where", 1), [work.to_str().unwrap()]);
        assert_eq!(value("OWN"), work.to_str());
        assert_eq!(value("AWS_IOT_THING_NAME"), Some("gw7"));
        assert_eq!((value("AWS_REGION"), value("AWS_DEFAULT_REGION")), (Some("eu-central-1"), Some("eu-central-1")));
        assert!(value("SVCUID").is_some() && value("GG_ROOT_CA_PATH").is_some() && value("PATH").is_some());
        assert!(value("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT").is_some());
        assert_eq!(value("GGC_VERSION"), Some(version));
        let classic = profile == "classic";
        assert_eq!(value("GREENGRASS_COMPONENT_VERSION"), classic.then_some("1.2.3"));
        assert_eq!(value("HOME").is_some(), classic, "nothing else is inherited");
        assert!(value("CARGO_MANIFEST_DIR").is_none());
    }
}

#[test]
fn as_root_it_runs_as_whom_it_is_told() {
    if process::run(Command::new("id").arg("-u")).trim() != "0" {
        println!("skipped: only root can run a component as another user");
        return;
    }
    let lifecycle = r#"{install: {Script: "id -un >> who", RequiresPrivilege: true}, run: "id -un >> who2; id -G >> groups; {artifacts:path}/tool.sh >> who2; echo x > own; exec sleep 1000"}"#;
    let bench = Bench::start(lifecycle, &["--user", "nobody"]);
    assert_eq!(bench.lines("who", 1), ["root"]);
    assert_eq!(bench.lines("who2", 2), ["nobody", "tool"]);
    assert_eq!(bench.lines("groups", 1)[0].split(' ').count(), 1, "no other groups");
}

#[test]
fn a_wrong_recipe_is_a_usage_error_that_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let recipe = directory.path().join("recipe.yaml");
    std::fs::write(&recipe, "RecipeFormatVersion: \"2020-01-25\"\nComponentName: c\nComponentVersion: \"1\"\n")
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_printgate"));
    command.args(["nucleus", "--dir"]).arg(directory.path()).arg("--run").arg(&recipe).args(["--artifacts", "/"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no manifest fits"), "{output:?}");
}

// --- the real thing --------------------------------------------------------------------------------------------------

/// The directory in the bucket's place, with the binary under test where the recipe expects the released one.
fn bucket(directory: &Path) -> PathBuf {
    let architecture = if std::env::consts::ARCH == "x86_64" { "amd64" } else { std::env::consts::ARCH };
    let path = format!("{}/{}/{architecture}", printgate::app::COMPONENT_NAME, env!("CARGO_PKG_VERSION"));
    let path = directory.join("bucket").join(path);
    std::fs::create_dir_all(&path).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_printgate"), path.join("printgate")).unwrap();
    directory.join("bucket")
}

/// A job from the cloud to paper, then a restart of the nucleus, then another job.
fn a_job_before_and_after_a_restart(profile: &str, address: &str) {
    let directory = tempfile::tempdir().unwrap();
    let port = common::free_port().to_string();
    let bucket = bucket(directory.path());
    let recipe = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recipe/recipe.yaml");
    let office = Simulated::start(
        1,
        &directory.path().join("office"),
        &["--address", address, "--mdns-port", &port, "--page-time", "50"],
    );
    let configuration = json!({"discovery": {"loopback": true, "mdnsPort": port}, "spool": {"reserveBytes": 0}});
    let arguments = ["--profile", profile, "--run", recipe.to_str().unwrap(), "--artifacts", bucket.to_str().unwrap()];
    let nucleus = Nucleus::start_with(&directory.path().join("nucleus"), &configuration, &arguments);
    let watch = nucleus.watch(&["printers/#", "$aws/things/+/shadow/#"]);
    let accepted = watch.wait_for(SOON, "a shadow", |m| m.topic.ends_with("/update/accepted"));
    let printer = accepted.topic.split('/').nth(5).unwrap().to_owned();
    let print = |job: &str| {
        let ticket = json!({"jobId": job, "document": {"data": "JVBERi0xLjQKL1R5cGUgL1BhZ2UKJSVFT0YK"}});
        let status = format!("printers/gw1/{printer}/print/status");
        // As the back end's contract has it: no status, the same ticket again.
        common::wait_until(SOON, "the end of the job", || {
            nucleus.publish(&format!("printers/gw1/{printer}/print/submit"), &ticket);
            std::thread::park_timeout(Duration::from_millis(500));
            let done = |m: &common::mqtt::Message| {
                m.topic == status && m.json()["jobId"] == job && m.json()["status"] == "completed"
            };
            watch.messages().iter().any(done).then_some(())
        });
    };
    print("j1");
    let before = nucleus.status()["runner"].clone();
    assert_eq!((&before["state"], &before["starts"]), (&json!("RUNNING"), &json!(1)));
    nucleus.control(&json!({"restart": true, "downMs": 200}));
    print("j2");
    let after = nucleus.status()["runner"].clone();
    let lives_on = profile == "lite";
    assert_eq!(after["pid"] == before["pid"], lives_on, "{after}");
    assert_eq!(after["starts"], json!(if lives_on { 1 } else { 2 }));
    assert_eq!(office.printed().len(), 2);
    let stopped = nucleus.control(&json!({"run": "stop"}));
    let runner = &stopped["runner"];
    assert_eq!((&runner["exitCode"], &runner["killed"]), (&json!(0), &json!(false)), "SIGTERM is enough");
    let log = directory.path().join("nucleus/logs").join(format!("{}.log", printgate::app::COMPONENT_NAME));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains("Unauthorized") && !log.contains("panicked"), "{log}");
}

#[test]
fn the_gateway_runs_from_its_recipe_on_lite() {
    a_job_before_and_after_a_restart("lite", "127.0.92.1");
}

#[test]
fn the_gateway_runs_from_its_recipe_on_classic() {
    a_job_before_and_after_a_restart("classic", "127.0.92.2");
}
