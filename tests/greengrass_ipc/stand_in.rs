//! Secrets and announced updates against the stand-in nucleus, which plays classic here: the same client, a whole nucleus
//! and a whole gateway.

#![cfg(feature = "lab")]

use crate::server::within;
use printgate::cloud::greengrass::deferral;
use printgate::cloud::greengrass::{
    IpcSettings, Link, LinkEvent, LinkSettings, PreUpdate, Runtime, SecretError, Secrets, secrets,
};
use printgate::domain::secret::SecretRef;
use printgate::nucleus::{ComponentConfig, Nucleus, NucleusConfig, Profile, Secret, UpdateOutcome};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const COMPONENT: &str = "dev.printgate.PrintGateway";
const TIMEOUT: Duration = Duration::from_secs(30);

/// A nucleus with the component's rights, and a link of the component to it.
struct Bench {
    nucleus: Nucleus,
    link: Link,
    updates: mpsc::Receiver<PreUpdate>,
    events: mpsc::Receiver<LinkEvent>,
    _directory: TempDir,
}

impl Bench {
    async fn start(profile: Profile, secrets: &[(&str, &str)], allowed: &[&str]) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let rights = json!({"accessControl": {"aws.greengrass.SecretManager": {"dev.printgate:secrets:1": {
            "operations": ["aws.greengrass#GetSecretValue"], "resources": allowed,
        }}}});
        let nucleus = nucleus(&directory, profile, secrets, &rights).await;
        let mut settings = LinkSettings::new(ipc(&nucleus), Vec::new());
        let (announced, updates) = mpsc::channel(4);
        settings.updates = Some(announced);
        let (sender, events) = mpsc::channel(64);
        let link = Link::start(settings, sender, CancellationToken::new());
        let mut bench = Bench { nucleus, link, updates, events, _directory: directory };
        let up = within("the link", bench.events.recv()).await;
        assert_eq!(up, Some(LinkEvent::Up { connection: 1 }));
        let wanted = if profile == Profile::Classic { Runtime::Classic } else { Runtime::Lite };
        within("the runtime", bench.link.runtime().wait_for(|runtime| *runtime == wanted)).await.unwrap();
        bench
    }
}

async fn nucleus(directory: &TempDir, profile: Profile, secrets: &[(&str, &str)], config: &Value) -> Nucleus {
    let component = ComponentConfig { name: COMPONENT.into(), version: "0.1.0".into(), config: config.clone() };
    let mut settings = NucleusConfig::new(directory.path().join("nucleus.sock"), "gw1", component);
    settings.profile = profile;
    settings.secrets = secrets.iter().map(|(name, value)| Secret::text(*name, *value)).collect();
    Nucleus::start(settings).await.unwrap()
}

fn ipc(nucleus: &Nucleus) -> IpcSettings {
    let env = nucleus.env(COMPONENT).unwrap();
    let value = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    IpcSettings { component_name: Some(COMPONENT.into()), ..IpcSettings::from_env(value).unwrap() }
}

fn reference(text: &str) -> SecretRef {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_those_of_the_secret_manager_as_the_recipe_allows() {
    let held = [("office/printers", r#"{"user":"gateway","password":"s3cret"}"#), ("other", "hidden")];
    let bench = Bench::start(Profile::Classic, &held, &["*office/*"]).await;
    let secrets = Secrets::new(bench.link.clone());
    let password = reference("office/printers#password");
    assert_eq!(secrets.get(&password).await.unwrap().expose_text(), Some("s3cret"));
    let arn = bench.nucleus.handle().put_secret(Secret::text("office/printers", r#"{"password":"rotated"}"#)).unwrap();
    assert_eq!(secrets.get(&password).await.unwrap().expose_text(), Some("s3cret"), "kept");
    let now = secrets::resolve(&bench.link, &reference(&format!("{arn}#password"))).await.unwrap();
    assert_eq!(now.expose_text(), Some("rotated"));
    let refused = secrets.get(&reference("other")).await.unwrap_err();
    assert!(matches!(refused, SecretError::Unauthorized { .. }), "{refused}");
    let unknown = secrets.get(&reference("office/unknown")).await.unwrap_err();
    assert!(matches!(unknown, SecretError::NotFound { .. }), "{unknown}");
    bench.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lite_has_no_secrets_and_says_what_to_do() {
    let bench = Bench::start(Profile::Lite, &[], &["*"]).await;
    let error = secrets::resolve(&bench.link, &reference("office/printers")).await.unwrap_err();
    assert!(matches!(error, SecretError::NotOffered { .. }), "{error}");
    assert!(error.to_string().contains("write file:/absolute/path"), "{error}");
    bench.nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_waits_for_transfers_no_longer_than_allowed() {
    let bench = Bench::start(Profile::Classic, &[], &[]).await;
    let (transfers, under_way) = watch::channel(0);
    tokio::spawn(deferral::run(bench.link.clone(), bench.updates, under_way, Duration::from_secs(1)));
    let handle = bench.nucleus.handle();
    let outcome = within("the first update", handle.propose_update(COMPONENT, "d1", TIMEOUT)).await;
    assert_eq!(outcome, UpdateOutcome::Proceeded { deferrals: 0 });
    transfers.send_replace(1);
    // The transfer never ends; the deployment goes on all the same.
    let outcome = within("the second update", handle.propose_update(COMPONENT, "d2", TIMEOUT)).await;
    assert!(matches!(outcome, UpdateOutcome::Proceeded { deferrals: 1.. }), "{outcome:?}");
    bench.nucleus.shutdown().await;
}
