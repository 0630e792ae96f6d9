//! The stand-in nucleus's IPC, judged by the official AWS IoT client for Python, as lite (`tests/python/ipc.py`) and as
//! classic (`tests/python/classic.py`; what both do is in the former).
#![cfg(feature = "lab")]
// Tests say what they expect by unwrapping it, their helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use printgate::nucleus::{
    ComponentConfig, Nucleus, NucleusConfig, Profile, ReportedState, Secret, UpdateOutcome, Validity,
};
use serde_json::json;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const COMPONENT: &str = "dev.printgate.PrintGateway";
const OTHER: &str = "dev.printgate.Other";
const DEADLINE: Duration = Duration::from_secs(60);

struct Judge {
    nucleus: Nucleus,
    profile: Profile,
    // Removed last.
    _dir: tempfile::TempDir,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Judge {
    async fn start(profile: Profile) -> Self {
        let mut setup = Command::new(root().join("tests/python/setup.sh"));
        let setup = timeout(Duration::from_secs(300), setup.status()).await.unwrap().unwrap();
        assert!(setup.success(), "tests/python/setup.sh could not install the Python client");
        let dir = tempfile::tempdir().unwrap();
        let policy = |operations: &[&str], resources: &[&str]| {
            json!({"p": {
                "operations": operations.iter().map(|o| format!("aws.greengrass#{o}")).collect::<Vec<_>>(),
                "resources": resources,
            }})
        };
        let config = json!({
            "poll": {"seconds": 30, "enabled": true},
            "name": "{iot:thingName}",
            "accessControl": {
                "aws.greengrass.ipc.mqttproxy": policy(
                    &["PublishToIoTCore", "SubscribeToIoTCore"],
                    &["printers/{iot:thingName}/#", "$aws/things/{iot:thingName}/shadow/*"],
                ),
                "aws.greengrass.ipc.pubsub": {"p": {
                    "operations": ["*"], "resources": ["local/*", "$aws/things/gw-python/*"]}},
                "aws.greengrass.ShadowManager": policy(
                    &["GetThingShadow", "UpdateThingShadow", "DeleteThingShadow", "ListNamedShadowsForThing"],
                    &["$aws/things/gw-python/shadow/name/*", "gw-python"],
                ),
                "aws.greengrass.SecretManager": policy(&["GetSecretValue"], &["arn:*:secret:printers/*"]),
                "aws.greengrass.ipc.lifecycle": policy(&["PauseComponent", "ResumeComponent"], &[OTHER]),
            },
        });
        let other = json!({"x": "y", "accessControl": {
            "aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["local/*"]}}}});
        let component = |name: &str, config| ComponentConfig { name: name.into(), version: "1.0.0".into(), config };
        let mut settings = NucleusConfig::new(dir.path().join("ipc.sock"), "gw-python", component(COMPONENT, config));
        settings.components.push(component(OTHER, other));
        settings.profile = profile;
        settings.secrets = vec![
            Secret::text("printers/hp", "hunter2"),
            Secret::from_bytes("printers/key", vec![0xff, 0]),
            Secret::text("other", "x"),
        ];
        Self { nucleus: Nucleus::start(settings).await.unwrap(), profile, _dir: dir }
    }

    /// A scenario of the script that has it.
    fn python(&self, script: &str, scenario: &str) -> Command {
        let mut command = Command::new(root().join("target/venv/bin/python"));
        command.arg(format!("tests/python/{script}.py")).arg(scenario).arg(self.nucleus.mqtt_port().to_string());
        command.current_dir(root()).envs(self.nucleus.env(COMPONENT).unwrap().iter().cloned());
        let other = self.nucleus.env(OTHER).unwrap().iter().find(|(key, _)| key == "SVCUID").unwrap();
        command.env("OTHER_SVCUID", &other.1).env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn passes(&self, script: &str, scenario: &str) {
        check(self.python(script, scenario), &format!("{scenario} on {}", self.profile)).await;
    }

    /// A scenario of the classic nucleus that talks with the test.
    async fn talks(&self, scenario: &str) -> Talk {
        let mut command = self.python("classic", scenario);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Talk { stdin: child.stdin.take().unwrap(), child, lines }
    }
}

struct Talk {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Talk {
    async fn hears(&mut self, expected: &str) {
        let line = timeout(DEADLINE, self.lines.next_line()).await.unwrap().unwrap();
        assert_eq!(line.as_deref(), Some(expected));
    }

    async fn goes_on(&mut self) {
        self.stdin.write_all(b"\n").await.unwrap();
    }

    async fn ends(mut self) {
        let status = timeout(DEADLINE, self.child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}; see the standard error");
    }
}

async fn check(mut command: Command, scenario: &str) {
    let output = timeout(DEADLINE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{scenario} takes longer than {DEADLINE:?}")).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario}: {}\n{text}", output.status);
}

macro_rules! scenarios {
    ($module:ident $profile:ident: $($script:literal: $($name:ident)*);*) => { mod $module { use super::*; $( $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let judge = Judge::start(Profile::$profile).await;
            judge.passes($script, stringify!($name)).await;
            judge.nucleus.shutdown().await;
        }
    )* )* } };
}

scenarios! { lite Lite:
    "ipc":
        publish_reaches_the_cloud
        cloud_reaches_a_subscription
        overlapping_filters_deliver_to_each
        a_shadow_is_reached_through_mqtt
        configuration_is_read_as_text
        configuration_updates_are_told
        another_component_is_read_and_not_written
        topics_outside_of_the_policy_are_refused
        operations_of_the_classic_nucleus_are_refused
        an_oversize_publish_closes_the_connection
        local_messages_reach_components
        local_topics_outside_of_the_policy_are_refused
        lite_sends_wildcard_subscribers_everything
}

scenarios! { classic Classic:
    "ipc":
        publish_reaches_the_cloud
        cloud_reaches_a_subscription
        overlapping_filters_deliver_to_each
        a_shadow_is_reached_through_mqtt
        another_component_is_read_and_not_written
        topics_outside_of_the_policy_are_refused
        local_messages_reach_components
        local_topics_outside_of_the_policy_are_refused;
    "classic":
        configuration_keeps_its_types
        configuration_updates_keep_their_order
        an_oversize_publish_is_answered
        refused_requests_say_why
        wildcards_leave_out_the_own_messages
        shadows_are_kept_locally
        named_shadows_are_listed_in_pages
        shadow_requests_are_counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_reported() {
    let judge = Judge::start(Profile::Lite).await;
    assert_eq!(judge.nucleus.reported_state(COMPONENT), None);
    judge.passes("ipc", "state_is_reported").await;
    assert_eq!(judge.nucleus.reported_state(COMPONENT), Some(ReportedState::Running));
    judge.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_is_refused() {
    for profile in [Profile::Lite, Profile::Classic] {
        let judge = Judge::start(profile).await;
        let mut command = judge.python("ipc", "a_wrong_token_is_refused");
        command.env("SVCUID", "AAAAAAAAAAAAAAAA");
        check(command, "a_wrong_token_is_refused").await;
        judge.nucleus.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_publishes_fail_at_once_and_work_again_afterwards() {
    let judge = Judge::start(Profile::Lite).await;
    judge.nucleus.set_link(false).await.unwrap();
    judge.passes("ipc", "offline_publishes_fail_at_once").await;
    judge.nucleus.set_link(true).await.unwrap();
    judge.passes("ipc", "publish_reaches_the_cloud").await;
    judge.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_hands_out_secrets_and_their_new_versions() {
    let judge = Judge::start(Profile::Classic).await;
    let mut talk = judge.talks("secrets_are_handed_out").await;
    talk.hears("rotate").await;
    judge.nucleus.handle().put_secret(Secret::text("printers/hp", "hunter3")).unwrap();
    talk.goes_on().await;
    talk.ends().await;
    assert_eq!(judge.nucleus.status().secrets, ["other", "printers/hp", "printers/key"]);
    judge.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_asks_before_an_update() {
    let judge = Judge::start(Profile::Classic).await;
    let handle = judge.nucleus.handle();
    assert_eq!(handle.propose_update(COMPONENT, "d-0", DEADLINE).await, UpdateOutcome::Proceeded { deferrals: 0 });
    let mut talk = judge.talks("updates_are_deferred_and_allowed").await;
    talk.hears("propose d-1").await;
    let outcome = timeout(DEADLINE, handle.propose_update(COMPONENT, "d-1", DEADLINE)).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Proceeded { deferrals: 2 });
    handle.update_done(COMPONENT, "d-1");
    talk.hears("propose d-2").await;
    let outcome = handle.propose_update(COMPONENT, "d-2", Duration::from_millis(300)).await;
    assert_eq!(outcome, UpdateOutcome::TimedOut { deferrals: 0 });
    handle.update_done(COMPONENT, "d-2");
    talk.ends().await;
    judge.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_asks_whether_a_configuration_is_valid() {
    let judge = Judge::start(Profile::Classic).await;
    let handle = judge.nucleus.handle();
    let config = json!({"poll": {"seconds": -1}});
    assert_eq!(handle.validate_config(COMPONENT, "d-1", &config, DEADLINE).await, Validity::Accepted);
    let mut talk = judge.talks("a_new_configuration_is_judged").await;
    talk.hears("validate").await;
    let validity = handle.validate_config(COMPONENT, "d-1", &config, DEADLINE).await;
    assert_eq!(validity, Validity::Rejected("poll/seconds is negative".into()));
    let silent = handle.validate_config(COMPONENT, "d-2", &config, Duration::from_millis(200)).await;
    assert_eq!(silent, Validity::NoReport);
    talk.goes_on().await;
    talk.ends().await;
    judge.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_pauses_and_resumes_components() {
    let judge = Judge::start(Profile::Classic).await;
    let paused = || judge.nucleus.status().components[OTHER].paused;
    let mut talk = judge.talks("components_are_paused_and_resumed").await;
    talk.hears("paused").await;
    assert!(paused());
    talk.goes_on().await;
    talk.ends().await;
    assert!(!paused());
    judge.nucleus.shutdown().await;
}
