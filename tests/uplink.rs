//! The uplink against a scripted nucleus: what confirms a message, and what does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

#[path = "greengrass_ipc/server.rs"]
#[allow(dead_code, reason = "the server has more than one test program")]
mod server;

use jiff::{SignedDuration, Timestamp};
use printgate::cloud::greengrass::{IpcSettings, Link, LinkSettings, Token};
use printgate::cloud::wire::Topics;
use printgate::domain::ids::{GatewayName, PrinterId};
use printgate::domain::naming::{Naming, Shadows};
use printgate::domain::{lane, outbox};
use printgate::store::Wake;
use printgate::store::gateway::{Class, Commit, GatewayStore, Message};
use printgate::store::jobs::JobStore;
use printgate::uplink::{self, Ended, GatewayFacts, Names};
use serde_json::{Value, json};
use server::{Peer, Received, Server, limits, quick_backoff, within};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Fixture {
    names: watch::Sender<Arc<Names>>,
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
        Self::start_with(&Naming::default(), &[]).await
    }

    /// With other names of topics and shadows, and these printers.
    async fn start_with(naming: &Naming, printers: &[&str]) -> Self {
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
        let topics = Topics::with(&gateway, naming);
        let mut settings = LinkSettings::new(ipc, topics.filters());
        (settings.limits, settings.backoff, settings.watch_configuration) = (limits(), quick_backoff(), false);
        let (link_events, events) = mpsc::channel(64);
        let cancel = CancellationToken::new();
        let link = Link::start(settings, link_events, cancel.clone());
        let (commands_in, commands) = mpsc::channel(8);
        let (facts_in, facts) = watch::channel(GatewayFacts::default());
        let wake = Wake::default();
        let (names, printers) = watch::channel(names(printers));
        let parts = uplink::Parts {
            gateway,
            topics,
            names: printers,
            link,
            events,
            jobs,
            store: store.clone(),
            commands: commands_in,
            desired: mpsc::channel(1).0,
            shadows_approve: false,
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
        Self {
            names,
            server,
            store,
            wake,
            cancel,
            uplink,
            _facts: facts_in,
            _commands: commands,
            _directory: directory,
        }
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

fn names(printers: &[&str]) -> Arc<Names> {
    let printers = printers.iter().map(|id| PrinterId::new(*id).unwrap()).collect();
    Arc::new(Names { printers, aliases: Vec::new() })
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

/// A nucleus for printers with subscriptions of their own: it takes whatever is subscribed to and delivers by filter.
struct Broker {
    peer: Peer,
    streams: BTreeMap<String, i32>,
}

impl Broker {
    async fn accept(server: &Server) -> Self {
        let mut peer = server.accept().await;
        peer.connect_message().await;
        peer.accept_connect(None).await;
        Self { peer, streams: BTreeMap::new() }
    }

    /// The next publish; what is subscribed to and unsubscribed from before it is taken.
    async fn published(&mut self) -> (String, Vec<u8>) {
        loop {
            let request = self.peer.recv().await;
            match request.headers.get("operation").map(String::as_str) {
                Some("aws.greengrass#SubscribeToIoTCore") => {
                    self.streams.insert(request.json()["topicName"].as_str().unwrap().to_owned(), request.stream);
                    self.peer.subscribed(&request).await;
                }
                Some("aws.greengrass#PublishToIoTCore") => {
                    self.peer.ok(&request, "{}").await;
                    return content(&request);
                }
                Some(other) => panic!("{other}"),
                None => self.streams.retain(|_, stream| *stream != request.stream),
            }
        }
    }

    /// Delivers to the subscription that covers the topic; false where none does.
    async fn deliver(&mut self, topic: &str, payload: &[u8]) -> bool {
        let covers = |filter: &str| filter.strip_suffix('#').map_or(filter == topic, |head| topic.starts_with(head));
        let Some(stream) = self.streams.iter().find(|(filter, _)| covers(filter)).map(|(_, stream)| *stream) else {
            return false;
        };
        self.peer.mqtt(stream, topic, payload).await;
        true
    }

    /// Echoes everything until `wanted` is published, which is answered with its payload and echoed too.
    async fn until(&mut self, wanted: impl Fn(&str, &Value) -> bool) -> Value {
        let search = async {
            loop {
                let (topic, payload) = self.published().await;
                self.deliver(&topic, &payload).await;
                let value: Value = serde_json::from_slice(&payload).unwrap();
                if wanted(&topic, &value) {
                    return value;
                }
            }
        };
        within("a publish", search).await
    }
}

fn flat(things: bool) -> Naming {
    let shadows = if things { Shadows::Thing("prn-{printer}".parse().unwrap()) } else { Shadows::Named };
    Naming { root: "printers/{printer}".parse().unwrap(), shadows }
}

fn event(printer: &str, id: &str) -> Commit {
    let payload = json!({"id": id, "printer": printer}).to_string().into_bytes();
    let topic = format!("printers/{printer}/event");
    Commit { messages: vec![Message { class: Class::Event, message: id.into(), topic, payload }], ..Commit::default() }
}

#[tokio::test]
async fn under_a_flat_root_nothing_is_sent_for_a_printer_before_its_own_echo_came() {
    let fixture = Fixture::start_with(&flat(false), &["hp-1"]).await;
    fixture.store.commit(event("hp-1", "abcdefghijklmnopqrstuvwxyz"), Timestamp::now()).await.unwrap();
    let mut broker = Broker::accept(&fixture.server).await;
    let mut probe = Vec::new();
    // Its probe goes out, again and again while it is not echoed, and nothing else of the printer.
    for _ in 0..4 {
        let (topic, payload) = broker.published().await;
        match topic.as_str() {
            "printers/hp-1/echo" => probe = payload,
            "printers/gw1/status" => assert!(broker.deliver(&topic, &payload).await),
            other => panic!("{other} before the echo of the probe"),
        }
    }
    fixture.depth(1, 0).await;
    assert!(broker.deliver("printers/hp-1/echo", &probe).await);
    broker.until(|topic, _| topic == "printers/hp-1/event").await;
    fixture.depth(0, 0).await;
    let filters: Vec<_> = broker.streams.keys().map(String::as_str).collect();
    let named = |answer: &str| format!("$aws/things/gw1/shadow/name/+/update/{answer}");
    let mut wanted = ["accepted", "delta", "rejected"].map(named).to_vec();
    wanted.extend(["printers/gw1/#".into(), "printers/hp-1/#".into()]);
    assert_eq!(filters, wanted);
    fixture.stop().await;
}

#[tokio::test]
async fn who_gets_no_subscription_is_told_of_and_what_waits_for_it_is_held_until_a_place_is_free() {
    let ids: Vec<String> = (0..32).map(|n| format!("hp-{n:02}")).collect();
    let printers: Vec<&str> = ids.iter().map(String::as_str).collect();
    let fixture = Fixture::start_with(&flat(false), &printers).await;
    fixture.store.commit(event("hp-31", "abcdefghijklmnopqrstuvwxyz"), Timestamp::now()).await.unwrap();
    let mut broker = Broker::accept(&fixture.server).await;
    let status = broker.until(|topic, status| topic == "printers/gw1/status" && status["unserved"].is_object()).await;
    assert_eq!(status["unserved"]["count"], 2, "{status}");
    assert_eq!(status["unserved"]["printers"][1]["printer"], "hp-31");
    let reason = status["unserved"]["printers"][1]["reason"].as_str().unwrap();
    assert!(reason.contains("more than 30 printers"), "{reason}");
    assert_eq!(broker.streams.keys().filter(|filter| filter.starts_with("printers/hp-")).count(), 30);
    assert!(!broker.deliver("printers/hp-31/print/submit", b"{}").await);
    let held = async { while fixture.store.depth().await.unwrap().wedged != 1 {} };
    within("the row to be held", held).await;
    fixture.names.send_replace(names(&[&printers[..10], &printers[12..]].concat()));
    broker.until(|topic, _| topic == "printers/hp-31/event").await;
    fixture.depth(0, 0).await;
    assert!(!broker.streams.contains_key("printers/hp-10/#"), "unsubscribed with its printer");
    fixture.stop().await;
}

#[tokio::test]
async fn a_thing_that_does_not_exist_is_told_of_with_what_helps() {
    let fixture = Fixture::start_with(&flat(true), &["hp-1"]).await;
    let latest = json!({"online": true});
    let commit = Commit { shadows: vec![("hp-1".into(), latest.clone())], ..Commit::default() };
    fixture.store.commit(commit, Timestamp::now()).await.unwrap();
    let mut broker = Broker::accept(&fixture.server).await;
    let update = "$aws/things/prn-hp-1/shadow/update";
    let request = broker.until(|topic, _| topic == update).await;
    let answer = json!({"code": 404, "message": "Thing not found", "clientToken": request["clientToken"]});
    assert!(broker.deliver(&format!("{update}/rejected"), answer.to_string().as_bytes()).await);
    let status = broker.until(|topic, status| topic == "printers/gw1/status" && status["unserved"].is_object()).await;
    let told = &status["unserved"]["printers"][0];
    assert_eq!(told["printer"], "hp-1");
    let reason = "the thing prn-hp-1 does not exist: create it, or set cloud.shadows to \"named\"";
    assert_eq!(told["reason"], reason, "{status}");
    // Somebody makes it: the next try is accepted, and the cloud hears that all is well.
    let request = broker.until(|topic, _| topic == update).await;
    let answer = json!({"state": {"reported": latest}, "version": 1, "clientToken": request["clientToken"]});
    assert!(broker.deliver(&format!("{update}/accepted"), answer.to_string().as_bytes()).await);
    let confirmed = async { while fixture.store.shadow("hp-1").await.unwrap().unwrap().confirmed != latest {} };
    within("the confirmation", confirmed).await;
    broker.until(|topic, status| topic == "printers/gw1/status" && status["unserved"].is_null()).await;
    fixture.stop().await;
}

#[tokio::test]
async fn another_topic_root_takes_over_what_waits_under_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = JobStore::open(&directory.path().join("jobs.db"), "e").await.unwrap();
    let store = GatewayStore::open(&directory.path().join("gateway.db"), "e").await.unwrap();
    let gateway = GatewayName::new("gw1").unwrap();
    let topic = "printers/gw1/hp-1/event".to_owned();
    let message = Message { class: Class::Event, message: "m".into(), topic: topic.clone(), payload: b"{}".to_vec() };
    let commit =
        Commit { messages: vec![message], shadows: vec![("hp-1".into(), json!({"a": 1}))], ..Commit::default() };
    store.commit(commit, Timestamp::now()).await.unwrap();
    store.shadow_confirmed("hp-1", &json!({"a": 1})).await.unwrap();
    let waiting = async || store.peek(1, vec![]).await.unwrap().into_iter().map(|row| row.topic).next();
    let confirmed = async || store.shadow("hp-1").await.unwrap().unwrap().confirmed;
    uplink::take_over(&gateway, &Naming::default(), &jobs, &store).await.unwrap();
    assert_eq!((waiting().await, confirmed().await), (Some(topic.clone()), json!({"a": 1})));
    for _ in 0..2 {
        uplink::take_over(&gateway, &flat(true), &jobs, &store).await.unwrap();
        assert_eq!((waiting().await, confirmed().await), (Some("printers/hp-1/event".into()), json!({})));
    }
    let row = store.peek(1, vec![]).await.unwrap()[0].row;
    store.hold(vec![row], "no place").await.unwrap();
    assert_eq!(waiting().await, None);
    uplink::take_over(&gateway, &Naming::default(), &jobs, &store).await.unwrap();
    assert_eq!(waiting().await, Some(topic));
}
