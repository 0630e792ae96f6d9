//! The stand-in nucleus's IPC, judged by the official AWS IoT client for Python (`tests/python/ipc.py`).
#![cfg(feature = "lab")]
// Tests say what they expect by unwrapping it, their helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use printgate::nucleus::{ComponentConfig, Nucleus, NucleusConfig, ReportedState};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const COMPONENT: &str = "dev.printgate.PrintGateway";
const DEADLINE: Duration = Duration::from_secs(60);

struct Judge {
    nucleus: Nucleus,
    // Removed last.
    _dir: tempfile::TempDir,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Judge {
    async fn start() -> Self {
        let mut setup = Command::new(root().join("tests/python/setup.sh"));
        let setup = tokio::time::timeout(Duration::from_secs(300), setup.status()).await.unwrap().unwrap();
        assert!(setup.success(), "tests/python/setup.sh could not install the Python client");
        let dir = tempfile::tempdir().unwrap();
        let config = json!({
            "poll": {"seconds": 30, "enabled": true},
            "accessControl": {"aws.greengrass.ipc.mqttproxy": {"dev.printgate.PrintGateway:mqttproxy:1": {
                "operations": ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"],
                "resources": ["printers/{iot:thingName}/#", "$aws/things/{iot:thingName}/shadow/*"],
            }}},
        });
        let component = ComponentConfig { name: COMPONENT.into(), version: "1.0.0".into(), config };
        let config = NucleusConfig::new(dir.path().join("ipc.sock"), "gw-python", component);
        Self { nucleus: Nucleus::start(config).await.unwrap(), _dir: dir }
    }

    fn python(&self, scenario: &str) -> Command {
        let mut command = Command::new(root().join("target/venv/bin/python"));
        command.arg(Path::new("tests/python/ipc.py")).arg(scenario).arg(self.nucleus.mqtt_port().to_string());
        command.current_dir(root()).envs(self.nucleus.env(COMPONENT).unwrap().iter().cloned());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn passes(&self, scenario: &str) {
        check(self.python(scenario), scenario).await;
    }
}

async fn check(mut command: Command, scenario: &str) {
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{scenario} takes longer than {DEADLINE:?}")).unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scenario}: {}\n{text}", output.status);
}

macro_rules! scenarios {
    ($($name:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let judge = Judge::start().await;
            judge.passes(stringify!($name)).await;
            judge.nucleus.shutdown().await;
        }
    )* };
}

scenarios! {
    publish_reaches_the_cloud
    cloud_reaches_a_subscription
    overlapping_filters_deliver_to_each
    a_shadow_is_reached_through_mqtt
    configuration_is_read_as_text
    configuration_updates_are_told
    topics_outside_of_the_policy_are_refused
    operations_of_the_classic_nucleus_are_refused
    an_oversize_publish_closes_the_connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_reported() {
    let judge = Judge::start().await;
    assert_eq!(judge.nucleus.reported_state(COMPONENT), None);
    judge.passes("state_is_reported").await;
    assert_eq!(judge.nucleus.reported_state(COMPONENT), Some(ReportedState::Running));
    judge.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_is_refused() {
    let judge = Judge::start().await;
    let mut command = judge.python("a_wrong_token_is_refused");
    command.env("SVCUID", "AAAAAAAAAAAAAAAA");
    check(command, "a_wrong_token_is_refused").await;
    judge.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_publishes_fail_at_once_and_work_again_afterwards() {
    let judge = Judge::start().await;
    judge.nucleus.set_link(false).await.unwrap();
    judge.passes("offline_publishes_fail_at_once").await;
    judge.nucleus.set_link(true).await.unwrap();
    judge.passes("publish_reaches_the_cloud").await;
    judge.nucleus.shutdown().await;
}
