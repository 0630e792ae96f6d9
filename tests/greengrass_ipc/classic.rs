//! What only nucleus classic has: secrets, and announcements of updates; and filters that come and go.

use crate::server::*;
use printgate::cloud::greengrass::deferral;
use printgate::cloud::greengrass::{
    IpcSettings, Link, LinkEvent, LinkSettings, Runtime, SecretError, Secrets, Token, secrets,
};
use printgate::domain::secret::SecretRef;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const VALUE: &str = "correct-horse-battery";

struct Running {
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
    updates: mpsc::Receiver<printgate::cloud::greengrass::PreUpdate>,
    cancel: CancellationToken,
}

/// A link to `server`, with these filters and announcements of updates asked for.
fn start(server: &Server, filters: Option<Vec<String>>) -> Running {
    let ipc = IpcSettings {
        socket: server.path.clone(),
        token: Token::new("T1"),
        thing_name: Some("gw-1".into()),
        component_name: None,
    };
    let mut settings = LinkSettings::new(ipc, Vec::new());
    let (announced, updates) = mpsc::channel(4);
    (settings.filters, settings.updates) = (filters, Some(announced));
    (settings.limits, settings.backoff, settings.watch_configuration) = (limits(), quick_backoff(), false);
    let (sender, events) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    Running { link: Link::start(settings, sender, cancel.clone()), events, updates, cancel }
}

impl Running {
    async fn next(&mut self) -> LinkEvent {
        within("an event of the link", self.events.recv()).await.expect("the link ended")
    }
}

async fn accept(server: &Server) -> Peer {
    let mut peer = server.accept().await;
    peer.connect_message().await;
    peer.accept_connect(None).await;
    peer
}

async fn refuse_updates(peer: &mut Peer) {
    let asked = peer.expect("SubscribeToComponentUpdates").await;
    let payload = json!({"_message": "Unsupported operation.", "_errorCode": "ServiceError"}).to_string();
    peer.error(&asked, "aws.greengrass#ServiceError", &payload).await;
}

fn manager(text: &str) -> SecretRef {
    text.parse().unwrap()
}

/// Answers one `GetSecretValue` and says which secret was asked for.
async fn hand_out(peer: &mut Peer, value: Value) -> String {
    let request = peer.expect("GetSecretValue").await;
    let answer = json!({"secretId": "arn", "versionId": "v", "versionStage": ["AWSCURRENT"], "secretValue": value});
    peer.ok(&request, &answer.to_string()).await;
    request.json()["secretId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_secret_is_asked_for_once_and_kept_until_it_is_refreshed() {
    let server = Server::start();
    let mut running = start(&server, Some(Vec::new()));
    let mut peer = accept(&server).await;
    refuse_updates(&mut peer).await;
    assert_eq!(running.next().await, LinkEvent::Up { connection: 1 });
    let secrets = Secrets::new(running.link.clone());
    let reference = manager("office/printers#password");
    let document = json!({"secretString": json!({"user": "u", "password": VALUE}).to_string()});
    let (secret, asked) = tokio::join!(secrets.get(&reference), hand_out(&mut peer, document));
    assert_eq!(asked, "office/printers", "the key is ours alone");
    assert_eq!(secret.unwrap().expose_text(), Some(VALUE));
    // Neither of these asks: the value is new.
    assert_eq!(secrets.get(&reference).await.unwrap().expose_text(), Some(VALUE));
    assert_eq!(secrets.refresh(&reference).await.unwrap().expose_text(), Some(VALUE));
    let binary = json!({"secretBinary": data_encoding::BASE64.encode(b"\x00\xffkey")});
    let reference = manager("arn:aws:secretsmanager:eu-central-1:123456789012:secret:k-AbCdEf");
    let (secret, _) = tokio::join!(secrets.get(&reference), hand_out(&mut peer, binary));
    assert_eq!(secret.unwrap().expose(), b"\x00\xffkey");
}

#[tokio::test]
async fn each_refusal_says_what_helps_and_nothing_shows_a_value() {
    let shown = Arc::new(Mutex::new(String::new()));
    let writer = shown.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || Sink(writer.clone()))
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let server = Server::start();
    let mut running = start(&server, Some(Vec::new()));
    let mut peer = accept(&server).await;
    refuse_updates(&mut peer).await;
    assert_eq!(running.next().await, LinkEvent::Up { connection: 1 });
    let secrets = Secrets::new(running.link.clone());
    let mut said = String::new();
    for (model, message, wanted) in [
        ("ServiceError", "Unsupported operation.", "file:/absolute/path"),
        ("UnauthorizedError", "not authorized", "aws.greengrass.SecretManager must allow"),
        ("ResourceNotFoundError", "Secret not found", "cloudSecrets"),
    ] {
        let reference = manager("office/printers");
        let (outcome, ()) = tokio::join!(secrets.get(&reference), async {
            let request = peer.expect("GetSecretValue").await;
            let payload = json!({"message": message}).to_string();
            peer.error(&request, &format!("aws.greengrass#{model}"), &payload).await;
        });
        let error = outcome.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(wanted) && text.contains("office/printers") && text.contains(message), "{text}");
        assert!(!error.is_transient());
    }
    // Values that are not what they should be: the errors name the secret, never its value.
    let reference = manager("office/printers#password");
    for value in [
        json!({"secretString": VALUE}),
        json!({"secretString": json!({"password": {"inner": VALUE}}).to_string()}),
        json!({"secretString": json!({"other": VALUE}).to_string()}),
        json!({"secretBinary": format!("*{VALUE}")}),
        json!({"secretOther": VALUE}),
        json!(VALUE),
    ] {
        let (outcome, _) = tokio::join!(secrets.get(&reference), hand_out(&mut peer, value));
        let error = outcome.unwrap_err();
        write!(said, "{error} {error:?}").unwrap();
    }
    let good = json!({"secretString": json!({"password": VALUE}).to_string()});
    let (secret, _) = tokio::join!(secrets.get(&reference), hand_out(&mut peer, good));
    write!(said, "{secret:?} {secrets:?} {reference:?}").unwrap();
    tracing::error!(?secret, ?secrets, "as a careless line would log it");
    said.push_str(&shown.lock().unwrap());
    assert!(said.contains("as a careless line"), "the log was captured");
    assert!(!said.contains(VALUE), "{said}");
    running.cancel.cancel();
}

struct Sink(Arc<Mutex<String>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_kept_secret_outlives_the_connection_and_one_never_asked_for_says_why() {
    let server = Server::start();
    let mut running = start(&server, Some(Vec::new()));
    let mut peer = accept(&server).await;
    refuse_updates(&mut peer).await;
    assert_eq!(running.next().await, LinkEvent::Up { connection: 1 });
    let secrets = Secrets::new(running.link.clone());
    let reference = manager("a");
    let (secret, _) = tokio::join!(secrets.get(&reference), hand_out(&mut peer, json!({"secretString": VALUE})));
    secret.unwrap();
    drop(peer);
    let down = running.next().await;
    assert!(matches!(down, LinkEvent::Down { .. }), "{down:?}");
    assert!(secrets.get(&reference).await.is_ok());
    running.cancel.cancel();
    running.link.ended().await;
    let error = secrets.get(&manager("b")).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("not connected"), "{error}");
}

#[tokio::test]
async fn a_file_is_a_secret_where_not_everybody_may_read_it() {
    let server = Server::start();
    let running = start(&server, Some(Vec::new()));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let reference: SecretRef = format!("file:{}", path.display()).parse().unwrap();
    let resolve = async || secrets::resolve(&running.link, &reference).await;
    let reason = async || match resolve().await.unwrap_err() {
        SecretError::File { path: named, reason } => {
            assert_eq!(named, path);
            reason
        }
        other => panic!("{other}"),
    };
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    assert!(reason().await.contains("No such file"));
    std::fs::write(&path, format!("{VALUE}\n")).unwrap();
    mode(0o644);
    assert!(reason().await.contains("chmod o-rwx"));
    mode(0o640);
    assert_eq!(resolve().await.unwrap().expose_text(), Some(VALUE), "without its line end");
    std::fs::write(&path, "\n").unwrap();
    assert!(reason().await.contains("empty"));
    std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
    assert!(reason().await.contains("longer"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(reason().await.contains("not a file"));
}

/// The next answer to an announced update: deployment and pause.
async fn deferral_of(peer: &mut Peer) -> (String, u64) {
    let request = peer.expect("DeferComponentUpdate").await;
    peer.ok(&request, "{}").await;
    let answer = request.json();
    (answer["deploymentId"].as_str().unwrap().to_owned(), answer["recheckAfterMs"].as_u64().unwrap())
}

async fn announce(peer: &mut Peer, stream: i32, deployment: &str) {
    let event = json!({"preUpdateEvent": {"deploymentId": deployment, "isGgcRestarting": false}}).to_string();
    peer.message(MESSAGE, 0, stream, "aws.greengrass#ComponentUpdatePolicyEvents", &event).await;
}

#[tokio::test]
async fn an_announced_update_waits_for_transfers_and_goes_on_when_they_ended() {
    let server = Server::start();
    let running = start(&server, Some(Vec::new()));
    let mut runtime = running.link.runtime();
    let (transfers, under_way) = watch::channel(1);
    let longest = Duration::from_secs(600);
    tokio::spawn(deferral::run(running.link.clone(), running.updates, under_way, longest));
    let mut peer = accept(&server).await;
    let asked = peer.expect("SubscribeToComponentUpdates").await;
    peer.subscribed(&asked).await;
    within("the runtime", runtime.wait_for(|runtime| *runtime == Runtime::Classic)).await.unwrap();
    announce(&mut peer, asked.stream, "d1").await;
    let (deployment, pause) = deferral_of(&mut peer).await;
    assert_eq!((deployment.as_str(), pause), ("d1", deferral::RECHECK.as_millis() as u64));
    // What comes after the update is nothing to answer.
    let after = json!({"postUpdateEvent": {"deploymentId": "d0"}}).to_string();
    peer.message(MESSAGE, 0, asked.stream, "aws.greengrass#ComponentUpdatePolicyEvents", &after).await;
    transfers.send_replace(0);
    announce(&mut peer, asked.stream, "d1").await;
    assert_eq!(deferral_of(&mut peer).await, ("d1".to_owned(), 0));
    // Time over at the nucleus: it says so, and nothing comes of it.
    transfers.send_replace(2);
    announce(&mut peer, asked.stream, "d2").await;
    let request = peer.expect("DeferComponentUpdate").await;
    let payload = json!({"message": "Time limit to respond to PreComponentUpdateEvent exceeded"}).to_string();
    peer.error(&request, "aws.greengrass#ServiceError", &payload).await;
    announce(&mut peer, asked.stream, "d2").await;
    assert!(deferral_of(&mut peer).await.1 > 0);
}

#[tokio::test]
async fn a_runtime_that_announces_no_updates_is_asked_once() {
    let server = Server::start();
    let mut running = start(&server, Some(Vec::new()));
    let mut peer = accept(&server).await;
    refuse_updates(&mut peer).await;
    assert_eq!(running.next().await, LinkEvent::Up { connection: 1 });
    within("the runtime", running.link.runtime().wait_for(|runtime| *runtime == Runtime::Lite)).await.unwrap();
    drop(peer);
    assert!(matches!(running.next().await, LinkEvent::Down { .. }));
    let mut peer = accept(&server).await;
    assert_eq!(running.next().await, LinkEvent::Up { connection: 2 });
    // The next thing it hears of us is something else.
    let link = running.link.clone();
    tokio::spawn(async move { link.get_configuration(&[]).await });
    peer.expect("GetConfiguration").await;
}

#[tokio::test]
async fn filters_come_and_go_while_the_link_runs_and_each_tells_of_itself() {
    let set = |filters: &[&str]| filters.iter().map(|filter| (*filter).to_owned()).collect::<BTreeSet<_>>();
    let server = Server::start();
    let mut running = start(&server, None);
    let mut peer = accept(&server).await;
    refuse_updates(&mut peer).await;
    // What `Up` stands for is told later; others may come before it.
    running.link.keep_filters(set(&["p/a/#"]));
    let a = peer.expect("SubscribeToIoTCore").await;
    peer.subscribed(&a).await;
    assert_eq!(running.next().await, LinkEvent::Filter { filter: "p/a/#".into(), missing: None });
    running.link.subscribe(vec!["g/#".into()]);
    running.link.subscribe(vec!["ignored".into()]);
    let fixed = peer.expect("SubscribeToIoTCore").await;
    assert_eq!(fixed.json()["topicName"], "g/#");
    peer.subscribed(&fixed).await;
    assert_eq!(running.next().await, LinkEvent::Up { connection: 1 });
    // One goes, one comes; the one that stays is not touched.
    running.link.keep_filters(set(&["p/b/#"]));
    let (mut ended, mut b) = (false, None);
    while !ended || b.is_none() {
        let message = peer.recv().await;
        if message.headers.contains_key("operation") {
            b = Some(message);
        } else {
            assert_eq!((message.stream, message.flags), (a.stream, TERMINATE));
            ended = true;
        }
    }
    let b = b.unwrap();
    assert_eq!(b.json()["topicName"], "p/b/#");
    // It is refused: the link stays up, the filter says why, and it is tried again.
    peer.error(&b, "aws.greengrass#ServiceError", &json!({"_message": "no subscription left"}).to_string()).await;
    match running.next().await {
        LinkEvent::Filter { filter, missing: Some(why) } => {
            assert!(filter == "p/b/#" && why.contains("no subscription left"), "{filter}: {why}");
        }
        other => panic!("{other:?}"),
    }
    let b = peer.expect("SubscribeToIoTCore").await;
    peer.subscribed(&b).await;
    assert_eq!(running.next().await, LinkEvent::Filter { filter: "p/b/#".into(), missing: None });
    // With the connection it is missing, and the next connection has it again.
    drop(peer);
    let gone = running.next().await;
    assert!(matches!(&gone, LinkEvent::Filter { missing: Some(_), .. }), "{gone:?}");
    assert!(matches!(running.next().await, LinkEvent::Down { .. }));
    let mut peer = accept(&server).await;
    let mut filters = BTreeSet::new();
    for _ in 0..2 {
        let request = peer.expect("SubscribeToIoTCore").await;
        filters.insert(request.json()["topicName"].as_str().unwrap().to_owned());
        peer.subscribed(&request).await;
    }
    assert_eq!(filters, set(&["g/#", "p/b/#"]));
    let events = [running.next().await, running.next().await];
    assert!(events.contains(&LinkEvent::Up { connection: 2 }), "{events:?}");
    assert!(events.contains(&LinkEvent::Filter { filter: "p/b/#".into(), missing: None }), "{events:?}");
}
