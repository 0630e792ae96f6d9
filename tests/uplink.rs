//! The uplink against a scripted nucleus: what confirms a message, and what does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

#[path = "greengrass_ipc/server.rs"]
#[allow(dead_code, reason = "the server has more than one test program")]
mod server;

use jiff::{SignedDuration, Timestamp};
use printgate::cloud::greengrass::{IpcSettings, Link, LinkSettings, Token};
use printgate::cloud::wire::Topics;
use printgate::domain::ids::GatewayName;
use printgate::domain::{lane, outbox};
use printgate::store::Wake;
use printgate::store::gateway::{Class, Commit, GatewayStore, Message};
use printgate::store::jobs::JobStore;
use printgate::uplink::{self, Ended, GatewayFacts};
use serde_json::{Value, json};
use server::{Peer, Received, Server, limits, quick_backoff, within};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Fixture {
    server: Server,
    store: GatewayStore,
    wake: Wake,
    cancel: CancellationToken,
    uplink: JoinHandle<Ended>,
    _facts: watch::Sender<GatewayFacts>,
    _commands: mpsc::Receiver<printgate::cloud::Command>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let jobs = JobStore::open(&directory.path().join("jobs.db"), "e").await.unwrap();
        let store = GatewayStore::open(&directory.path().join("gateway.db"), "e").await.unwrap();
        let server = Server::start();
        let gateway = GatewayName::new("gw1").unwrap();
        let ipc = IpcSettings {
            socket: server.path.clone(),
            token: Token::new("T1"),
            thing_name: Some("gw1".into()),
            component_name: None,
        };
        let mut settings = LinkSettings::new(ipc, Topics::new(&gateway).filters());
        (settings.limits, settings.backoff, settings.watch_configuration) = (limits(), quick_backoff(), false);
        let (link_events, events) = mpsc::channel(64);
        let cancel = CancellationToken::new();
        let link = Link::start(settings, link_events, cancel.clone());
        let (commands_in, commands) = mpsc::channel(8);
        let (facts_in, facts) = watch::channel(GatewayFacts::default());
        let wake = Wake::default();
        let parts = uplink::Parts {
            gateway,
            link,
            events,
            jobs,
            store: store.clone(),
            commands: commands_in,
            wake: wake.clone(),
            facts,
            configuration_changed: Arc::new(Notify::new()),
            farewell: CancellationToken::new(),
            view: tokio::sync::watch::Sender::default(),
            limits: outbox::Limits {
                echo_timeout: SignedDuration::from_millis(100),
                longest_pause: SignedDuration::from_millis(200),
                deaf_after: SignedDuration::from_millis(500),
                ..outbox::Limits::default()
            },
            shadow_limits: lane::Limits {
                longest_rest: std::time::Duration::from_millis(50),
                ..lane::Limits::default()
            },
        };
        let uplink = tokio::spawn(uplink::run(parts, cancel.clone()));
        Self { server, store, wake, cancel, uplink, _facts: facts_in, _commands: commands, _directory: directory }
    }

    async fn put(&self, id: &str, payload: Vec<u8>) {
        let message =
            Message { class: Class::Event, message: id.into(), topic: "printers/gw1/hp-1/event".into(), payload };
        self.store.commit(Commit { messages: vec![message], ..Commit::default() }, Timestamp::now()).await.unwrap();
        self.wake.wake();
    }

    /// Waits until so many messages wait and so many are set aside. The store is asked again and again: it tells nobody.
    async fn depth(&self, rows: u64, wedged: u64) {
        let reached = async {
            loop {
                let depth = self.store.depth().await.unwrap();
                if (depth.rows, depth.wedged) == (rows, wedged) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        within("the outbox", reached).await;
    }

    async fn stop(self) {
        self.cancel.cancel();
        assert_eq!(within("the end", self.uplink).await.unwrap(), Ended::Cancelled);
    }
}

/// A nucleus that takes whatever it is told.
struct Nucleus {
    peer: Peer,
    /// Streams of the subscriptions, by filter.
    streams: BTreeMap<String, i32>,
}

impl Nucleus {
    async fn accept(server: &Server) -> Self {
        let mut peer = server.accept().await;
        peer.connect_message().await;
        peer.accept_connect(None).await;
        let mut streams = BTreeMap::new();
        for _ in 0..4 {
            let request = peer.expect("SubscribeToIoTCore").await;
            streams.insert(request.json()["topicName"].as_str().unwrap().to_owned(), request.stream);
            peer.subscribed(&request).await;
        }
        Self { peer, streams }
    }

    /// The next publish: its topic and payload. It is answered with OK.
    async fn published(&mut self) -> (String, Vec<u8>) {
        let request = self.peer.expect("PublishToIoTCore").await;
        self.peer.ok(&request, "{}").await;
        content(&request)
    }

    /// The next publish on `topic`; what else comes is echoed.
    async fn published_on(&mut self, topic: &str) -> Vec<u8> {
        loop {
            let (found, payload) = self.published().await;
            if found == topic {
                return payload;
            }
            self.echo(&found, &payload).await;
        }
    }

    async fn echo(&mut self, topic: &str, payload: &[u8]) {
        self.peer.mqtt(self.streams["printers/gw1/#"], topic, payload).await;
    }

    /// Echoes whatever comes from now on.
    fn echo_all(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            while let Some(request) = self.peer.try_recv().await {
                if request.operation() == "PublishToIoTCore" {
                    self.peer.ok(&request, "{}").await;
                    let (topic, payload) = content(&request);
                    self.echo(&topic, &payload).await;
                }
            }
        })
    }

    async fn shadow(&mut self, leaf: &str, payload: &Value) {
        let stream = self.streams[&format!("$aws/things/gw1/shadow/name/+/update/{leaf}")];
        let topic = format!("$aws/things/gw1/shadow/name/hp-1/update/{leaf}");
        self.peer.mqtt(stream, &topic, payload.to_string().as_bytes()).await;
    }
}

fn content(request: &Received) -> (String, Vec<u8>) {
    let request = request.json();
    let payload = data_encoding::BASE64.decode(request["payload"].as_str().unwrap().as_bytes()).unwrap();
    (request["topicName"].as_str().unwrap().to_owned(), payload)
}

const EVENT: &str = "printers/gw1/hp-1/event";

#[tokio::test]
async fn only_the_true_echo_deletes_a_message() {
    let fixture = Fixture::start().await;
    let mut nucleus = Nucleus::accept(&fixture.server).await;
    let payload = br#"{"id":"abcdefghijklmnopqrstuvwxyz","x":1}"#.to_vec();
    fixture.put("abcdefghijklmnopqrstuvwxyz", payload.clone()).await;
    assert_eq!(nucleus.published_on(EVENT).await, payload);
    let forged = br#"{"id":"abcdefghijklmnopqrstuvwxyz","x":2}"#;
    nucleus.echo(EVENT, forged).await;
    nucleus.echo("printers/gw1/hp-2/event", &payload).await;
    nucleus.echo(EVENT, br#"{"id":"bbcdefghijklmnopqrstuvwxyz","x":1}"#).await;
    // It comes again, the same octets, so none of these has counted.
    assert_eq!(nucleus.published_on(EVENT).await, payload);
    assert_eq!(nucleus.published_on(EVENT).await, payload);
    fixture.depth(1, 0).await;
    nucleus.echo_all();
    fixture.depth(0, 0).await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_link_that_takes_everything_and_brings_nothing_back_is_made_anew() {
    let fixture = Fixture::start().await;
    let mut deaf = Nucleus::accept(&fixture.server).await;
    fixture.put("abcdefghijklmnopqrstuvwxyz", br#"{"id":"abcdefghijklmnopqrstuvwxyz"}"#.to_vec()).await;
    while let Some(request) = within("the end of the deaf connection", deaf.peer.try_recv()).await {
        if request.operation() == "PublishToIoTCore" {
            deaf.peer.ok(&request, "{}").await;
        }
    }
    let mut nucleus = Nucleus::accept(&fixture.server).await;
    nucleus.published_on(EVENT).await;
    nucleus.echo_all();
    fixture.depth(0, 0).await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_message_that_no_nucleus_takes_is_set_aside_and_blocks_nothing() {
    let fixture = Fixture::start().await;
    let mut nucleus = Nucleus::accept(&fixture.server).await;
    fixture.put("abcdefghijklmnopqrstuvwxyz", vec![b'x'; 9_000]).await;
    fixture.put("bbcdefghijklmnopqrstuvwxyz", br#"{"id":"bbcdefghijklmnopqrstuvwxyz"}"#.to_vec()).await;
    let payload = nucleus.published_on(EVENT).await;
    nucleus.echo(EVENT, &payload).await;
    nucleus.echo_all();
    fixture.depth(0, 1).await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_shadow_is_confirmed_by_its_own_token_alone() {
    let fixture = Fixture::start().await;
    let mut nucleus = Nucleus::accept(&fixture.server).await;
    let latest = json!({"online": true, "ink_level": {"black": 30}});
    let commit = Commit { shadows: vec![("hp-1".into(), latest.clone())], ..Commit::default() };
    fixture.store.commit(commit, Timestamp::now()).await.unwrap();
    fixture.wake.wake();
    let update = "$aws/things/gw1/shadow/name/hp-1/update";
    let first: Value = serde_json::from_slice(&nucleus.published_on(update).await).unwrap();
    assert_eq!(first["state"]["reported"], latest);
    let somebody = json!({"state": {"reported": latest}, "version": 1, "clientToken": "somebody-else"});
    nucleus.shadow("accepted", &somebody).await;
    nucleus
        .shadow("rejected", &json!({"code": 429, "message": "slow down", "clientToken": first["clientToken"]}))
        .await;
    // Rejected: it comes again under a new token; the stranger's acceptance has not counted.
    let second: Value = serde_json::from_slice(&nucleus.published_on(update).await).unwrap();
    assert_eq!(second["state"]["reported"], latest);
    assert_ne!(second["clientToken"], first["clientToken"]);
    let accepted = json!({"state": {"reported": latest}, "version": 2, "clientToken": second["clientToken"]});
    nucleus.shadow("accepted", &accepted).await;
    let confirmed = async {
        while fixture.store.shadow("hp-1").await.unwrap().unwrap().confirmed != latest {
            tokio::task::yield_now().await;
        }
    };
    within("the confirmation", confirmed).await;
    fixture.stop().await;
}

#[tokio::test]
async fn a_confirmed_message_that_cannot_be_deleted_is_not_sent_again_and_again() {
    let fixture = Fixture::start().await;
    let file = rusqlite::Connection::open(fixture._directory.path().join("gateway.db")).unwrap();
    file.execute_batch(
        "CREATE TRIGGER refuse BEFORE DELETE ON outbox WHEN old.class = 'event'
         BEGIN SELECT RAISE(ABORT, 'no room'); END",
    )
    .unwrap();
    let mut nucleus = Nucleus::accept(&fixture.server).await;
    let payload = br#"{"id":"abcdefghijklmnopqrstuvwxyz"}"#.to_vec();
    fixture.put("abcdefghijklmnopqrstuvwxyz", payload.clone()).await;
    let mut times = 0;
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), async {
        loop {
            assert_eq!(nucleus.published_on(EVENT).await, payload);
            nucleus.echo(EVENT, &payload).await;
            times += 1;
        }
    })
    .await;
    // One more may have been under way when the echo of the first came.
    assert!((1..=2).contains(&times), "sent {times} times in a second");
    file.execute_batch("DROP TRIGGER refuse").unwrap();
    fixture.depth(0, 0).await;
    fixture.stop().await;
}
