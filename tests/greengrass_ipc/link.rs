//! The link: what it does when things go away and come back.

use crate::server::*;
use bytes::Bytes;
use printgate::cloud::greengrass::{
    IpcError, IpcSettings, Link, LinkEvent, LinkSettings, PublishError, ReportedState, ServiceErrorKind, Token,
};
use printgate::domain::retry::Backoff;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn settings(socket: &Path, filters: &[&str], component: Option<&str>) -> LinkSettings {
    let ipc = IpcSettings {
        socket: socket.to_owned(),
        token: Token::new("T1"),
        thing_name: Some("gw-1".into()),
        component_name: component.map(str::to_owned),
    };
    let mut settings = LinkSettings::new(ipc, filters.iter().map(|f| (*f).to_owned()).collect());
    settings.limits = limits();
    settings.backoff = quick_backoff();
    settings.watch_configuration = false;
    settings
}

struct Running {
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
    cancel: CancellationToken,
}

fn start(settings: LinkSettings) -> Running {
    let (sender, events) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    Running { link: Link::start(settings, sender, cancel.clone()), events, cancel }
}

impl Running {
    async fn next(&mut self) -> LinkEvent {
        within("an event of the link", self.events.recv()).await.expect("the link ended")
    }

    async fn expect_up(&mut self, connection: u64) {
        assert_eq!(self.next().await, LinkEvent::Up { connection });
    }

    async fn expect_down(&mut self) -> String {
        match self.next().await {
            LinkEvent::Down { reason } => reason,
            other => panic!("not Down: {other:?}"),
        }
    }
}

/// Accepts the token and nothing else.
async fn accept_with(server: &Server, token: &str) -> Peer {
    let mut peer = server.accept().await;
    assert_eq!(peer.connect_message().await, json!({ "authToken": token }));
    peer.accept_connect(None).await;
    peer
}

/// Takes `count` subscribe requests and answers them; returns (filter, stream).
async fn subscribe_all(peer: &mut Peer, count: usize) -> Vec<(String, i32)> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let request = peer.expect("SubscribeToIoTCore").await;
        let asked = request.json();
        assert_eq!(asked["qos"], "1");
        streams.push((asked["topicName"].as_str().unwrap().to_owned(), request.stream));
        peer.subscribed(&request).await;
    }
    streams
}

#[tokio::test]
async fn up_comes_when_all_filters_are_in_and_messages_follow() {
    let server = Server::start();
    let mut running = start(settings(&server.path, &["a/#", "b/+"], None));
    let mut peer = accept_with(&server, "T1").await;
    let first = peer.expect("SubscribeToIoTCore").await;
    peer.subscribed(&first).await;
    // A filter that is in delivers, although the link is not up yet.
    peer.mqtt(first.stream, "a/1", b"\x00\xff").await;
    let payload = Bytes::from_static(b"\x00\xff");
    assert_eq!(running.next().await, LinkEvent::Message { topic: "a/1".into(), payload });
    let second = peer.expect("SubscribeToIoTCore").await;
    // A whole exchange later there is still no Up: the second filter is not in.
    let (published, ()) = tokio::join!(running.link.publish("t", Bytes::new()), async {
        let request = peer.expect("PublishToIoTCore").await;
        peer.ok(&request, "{}").await;
    });
    assert_eq!(published, Ok(()));
    assert!(running.events.try_recv().is_err());
    peer.subscribed(&second).await;
    running.expect_up(1).await;
    let filters: BTreeSet<_> = [first.json(), second.json()].map(|j| j["topicName"].to_string()).into();
    assert_eq!(filters, BTreeSet::from(["\"a/#\"".into(), "\"b/+\"".into()]));
}

#[tokio::test]
async fn events_that_are_not_understood_are_passed_over() {
    let server = Server::start();
    let mut running = start(settings(&server.path, &["a/#"], None));
    let mut peer = accept_with(&server, "T1").await;
    let (_, stream) = subscribe_all(&mut peer, 1).await.remove(0);
    running.expect_up(1).await;
    for payload in
        ["", "[]", "{}", "{\"message\":{}}", "{\"message\":{\"topicName\":\"t\",\"payload\":\"*\"}}", "\u{1}"]
    {
        peer.message(MESSAGE, 0, stream, "aws.greengrass#IoTCoreMessage", payload).await;
    }
    peer.message(MESSAGE, 0, stream, "aws.greengrass#IoTCoreMessage", &"[".repeat(9_000)).await;
    peer.mqtt(stream, "a/1", b"").await;
    assert_eq!(running.next().await, LinkEvent::Message { topic: "a/1".into(), payload: Bytes::new() });
}

#[tokio::test]
async fn rule_8_after_a_loss_the_same_token_then_the_component_name_then_the_fresh_token() {
    let server = Server::start();
    let mut running = start(settings(&server.path, &["a/#"], Some("com.example.Printgate")));
    let mut peer = accept_with(&server, "T1").await;
    subscribe_all(&mut peer, 1).await;
    running.expect_up(1).await;

    // The connection is lost; the same token is still good.
    drop(peer);
    assert!(running.expect_down().await.contains("connection to the nucleus ended"));
    let mut peer = accept_with(&server, "T1").await;
    subscribe_all(&mut peer, 1).await;
    running.expect_up(2).await;

    // The nucleus was restarted and does not know the token: lite hangs up. The component name brings a fresh one.
    drop(peer);
    running.expect_down().await;
    let mut refusing = server.accept().await;
    assert_eq!(refusing.connect_message().await, json!({ "authToken": "T1" }));
    drop(refusing);
    let mut peer = server.accept().await;
    assert_eq!(peer.connect_message().await, json!({ "componentName": "com.example.Printgate" }));
    peer.accept_connect(Some("T2")).await;
    subscribe_all(&mut peer, 1).await;
    running.expect_up(3).await;

    // From now on the fresh token.
    drop(peer);
    running.expect_down().await;
    let mut peer = accept_with(&server, "T2").await;
    subscribe_all(&mut peer, 1).await;
    running.expect_up(4).await;
}

#[tokio::test]
async fn rule_8_clear_refusals_of_both_credentials_are_final_after_some_rounds() {
    let server = Server::start();
    let mut settings = settings(&server.path, &[], Some("com.example.Printgate"));
    settings.refusals_explicit = 3;
    let mut running = start(settings);
    for _ in 0..3 {
        for credential in ["authToken", "componentName"] {
            let mut peer = server.accept().await;
            assert!(peer.connect_message().await.get(credential).is_some());
            peer.refuse_connect().await;
        }
    }
    assert!(running.expect_down().await.contains("refused our token"));
    let LinkEvent::Refused { reason } = running.next().await else { panic!("not refused") };
    assert!(reason.contains("token") && reason.contains("component name") && !reason.contains("T1"), "{reason}");
    within("the end of the link", running.link.ended()).await;
    assert_eq!(running.events.recv().await, None);
}

#[tokio::test]
async fn rule_8_hanging_up_on_both_credentials_is_final_after_more_rounds() {
    let server = Server::start();
    let mut settings = settings(&server.path, &[], None);
    settings.refusals_explicit = 2;
    settings.refusals_silent = 4;
    let mut running = start(settings);
    for _ in 0..4 {
        let mut peer = server.accept().await;
        peer.connect_message().await;
    }
    running.expect_down().await;
    assert!(matches!(running.next().await, LinkEvent::Refused { .. }));
}

#[tokio::test]
async fn rule_8_a_refusal_is_forgotten_when_the_nucleus_takes_us_again() {
    let server = Server::start();
    let mut settings = settings(&server.path, &[], None);
    settings.refusals_explicit = 2;
    let mut running = start(settings);
    for connection in 1..=4 {
        let mut peer = server.accept().await;
        peer.connect_message().await;
        peer.refuse_connect().await;
        drop(peer);
        running.expect_down().await;
        let peer = accept_with(&server, "T1").await;
        running.expect_up(connection).await;
        drop(peer);
        running.expect_down().await;
    }
}

#[tokio::test]
async fn rule_8_a_nucleus_that_is_not_there_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("later.sock");
    let mut settings = settings(&socket, &[], None);
    settings.refusals_explicit = 1;
    settings.refusals_silent = 1;
    let mut running = start(settings);
    let reason = running.expect_down().await;
    assert!(reason.contains("later.sock") && reason.contains("Is the nucleus running"), "{reason}");
    assert_eq!(running.link.publish("t", Bytes::new()).await, Err(PublishError::NotConnected));
    assert_eq!(running.link.update_state(ReportedState::Running).await, Err(IpcError::NotConnected));
    // It comes late; the same reason was not said twice meanwhile.
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let serving = async {
        let (mut stream, _) = within("the link", listener.accept()).await.unwrap();
        use tokio::io::AsyncWriteExt;
        stream.write_all(&frame(CONNECT_ACK, ACCEPTED, 0, vec![], "")).await.unwrap();
        stream
    };
    let (_stream, ()) = tokio::join!(serving, running.expect_up(1));
}

#[tokio::test]
async fn a_failing_subscription_is_repeated_on_the_same_connection() {
    let server = Server::start();
    let mut running = start(settings(&server.path, &["a/#"], None));
    let mut peer = accept_with(&server, "T1").await;
    for _ in 0..3 {
        let request = peer.expect("SubscribeToIoTCore").await;
        peer.error(&request, "aws.greengrass#ServiceError", r#"{"_message":"offline"}"#).await;
    }
    let reason = running.expect_down().await;
    assert!(reason.contains("a/#") && reason.contains("offline"), "{reason}");
    // Publishing may be tried meanwhile; it answers for itself.
    let link = running.link.clone();
    let (published, ()) = tokio::join!(link.publish("a/1", Bytes::new()), async {
        loop {
            let request = peer.recv().await;
            if request.operation() == "PublishToIoTCore" {
                break peer.error(&request, "aws.greengrass#ServiceError", r#"{"_message":"offline"}"#).await;
            }
            peer.error(&request, "aws.greengrass#ServiceError", r#"{"_message":"offline"}"#).await;
        }
    });
    let offline = PublishError::Service { kind: ServiceErrorKind::Service, message: "offline".into() };
    assert_eq!(published, Err(offline));
    subscribe_all(&mut peer, 1).await;
    running.expect_up(1).await;
}

#[tokio::test]
async fn a_filter_that_is_not_allowed_says_what_to_do_and_is_asked_for_seldom() {
    let server = Server::start();
    let mut settings = settings(&server.path, &["secret/#"], None);
    settings.backoff.base = Duration::from_millis(1);
    settings.backoff.cap = Duration::from_secs(3600);
    let mut running = start(settings);
    let mut peer = accept_with(&server, "T1").await;
    let request = peer.expect("SubscribeToIoTCore").await;
    peer.error(&request, "aws.greengrass#UnauthorizedError", "{}").await;
    let reason = running.expect_down().await;
    assert!(reason.contains("secret/#") && reason.contains("accessControl"), "{reason}");
    let link = running.link.clone();
    for _ in 0..300 {
        let (published, ()) = tokio::join!(link.publish("t", Bytes::new()), async {
            // Fails on any other request.
            let request = peer.expect("PublishToIoTCore").await;
            peer.ok(&request, "{}").await;
        });
        published.unwrap();
    }
}

#[tokio::test]
async fn a_subscription_that_ends_is_down_until_it_is_in_again() {
    let server = Server::start();
    let mut running = start(settings(&server.path, &["a/#"], None));
    let mut peer = accept_with(&server, "T1").await;
    let (_, stream) = subscribe_all(&mut peer, 1).await.remove(0);
    running.expect_up(1).await;
    peer.message(MESSAGE, TERMINATE, stream, "", "").await;
    assert!(running.expect_down().await.contains("a/# ended"));
    subscribe_all(&mut peer, 1).await;
    running.expect_up(2).await;
}

#[tokio::test]
async fn publish_errors_are_classified() {
    let server = Server::start();
    let mut settings = settings(&server.path, &[], None);
    settings.backoff.base = Duration::from_secs(3600);
    settings.backoff.cap = Duration::from_secs(3600);
    let mut running = start(settings);
    let mut peer = accept_with(&server, "T1").await;
    running.expect_up(1).await;
    let link = running.link.clone();

    let (ok, ()) = tokio::join!(link.publish("t", Bytes::from_static(b"x")), async {
        let request = peer.expect("PublishToIoTCore").await;
        assert_eq!(request.json(), json!({ "topicName": "t", "qos": "1", "payload": "eA==" }));
        peer.ok(&request, "{}").await;
    });
    assert_eq!(ok, Ok(()));

    // Too large is found before anything is sent: by payload, and by the whole message with its topic.
    let payload = link.publish("t", Bytes::from(vec![0; 7_312])).await;
    assert_eq!(payload, Err(PublishError::TooLarge { size: 7_312, limit: 7_311 }));
    let message = link.publish(&"t".repeat(200), Bytes::from(vec![0; 7_311])).await;
    assert!(matches!(message, Err(PublishError::TooLarge { limit: 10_000, .. })), "{message:?}");

    for (model, expected) in [
        ("UnauthorizedError", PublishError::Unauthorized { topic: "t".into(), message: "m".into() }),
        ("ServiceError", PublishError::Service { kind: ServiceErrorKind::Service, message: "m".into() }),
        ("NewError", PublishError::Service { kind: ServiceErrorKind::Other("NewError".into()), message: "m".into() }),
    ] {
        let (answer, ()) = tokio::join!(link.publish("t", Bytes::new()), async {
            let request = peer.expect("PublishToIoTCore").await;
            peer.error(&request, &format!("aws.greengrass#{model}"), r#"{"message":"m"}"#).await;
        });
        assert_eq!(answer, Err(expected));
    }

    let (closed, ()) = tokio::join!(link.publish("t", Bytes::new()), async {
        peer.expect("PublishToIoTCore").await;
        drop(peer);
    });
    assert!(matches!(closed, Err(PublishError::Closed { .. })), "{closed:?}");
    running.expect_down().await;
    assert_eq!(link.publish("t", Bytes::new()).await, Err(PublishError::NotConnected));
}

#[tokio::test]
async fn a_nucleus_that_does_not_answer_is_connected_anew() {
    let server = Server::start();
    let mut settings = settings(&server.path, &[], None);
    settings.limits = impatient();
    let mut running = start(settings);
    let mut mute = accept_with(&server, "T1").await;
    running.expect_up(1).await;
    for _ in 0..3 {
        assert!(matches!(running.link.publish("t", Bytes::new()).await, Err(PublishError::Timeout(_))));
        mute.expect("PublishToIoTCore").await;
    }
    running.expect_down().await;
    assert!(mute.try_recv().await.is_none());
    let _peer = accept_with(&server, "T1").await;
    running.expect_up(2).await;
}

#[tokio::test]
async fn a_consumer_that_hears_nothing_can_ask_for_a_new_connection() {
    let server = Server::start();
    let mut running = start(settings(&server.path, &["a/#"], None));
    running.link.reconnect("there is none to give up");
    let mut peer = accept_with(&server, "T1").await;
    subscribe_all(&mut peer, 1).await;
    running.expect_up(1).await;
    running.link.reconnect("no echo for a minute");
    assert!(running.expect_down().await.contains("no echo for a minute"));
    while peer.try_recv().await.is_some() {}
    let mut peer = accept_with(&server, "T1").await;
    subscribe_all(&mut peer, 1).await;
    running.expect_up(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_stalls_nobody_and_what_is_dropped_is_counted() {
    let server = Server::start();
    let mut settings = settings(&server.path, &["a/#"], None);
    settings.limits.queue_messages = 50;
    let (sender, mut events) = mpsc::channel(1);
    let link = Link::start(settings, sender, CancellationToken::new());
    let mut peer = accept_with(&server, "T1").await;
    let (_, stream) = subscribe_all(&mut peer, 1).await.remove(0);
    assert_eq!(within("up", events.recv()).await, Some(LinkEvent::Up { connection: 1 }));
    for n in 0..3_000u32 {
        peer.mqtt(stream, &format!("a/{n}"), &[0; 2_000]).await;
    }
    let (published, ()) = tokio::join!(link.publish("t", Bytes::new()), async {
        let request = peer.expect("PublishToIoTCore").await;
        peer.ok(&request, "{}").await;
    });
    assert_eq!(published, Ok(()));
    // All 3,000 were read before the answer. One waits in the channel, one with the forwarder, 50 in the queue.
    let dropped = link.dropped();
    assert!((2_948..=2_950).contains(&dropped), "{dropped}");
    for n in 0..3_000 - dropped {
        let event = within("a message", events.recv()).await;
        assert!(matches!(&event, Some(LinkEvent::Message { topic, .. }) if *topic == format!("a/{n}")), "{event:?}");
    }
}

#[tokio::test]
async fn configuration_changes_are_reported_and_not_needed_for_up() {
    let server = Server::start();
    let mut settings = settings(&server.path, &[], None);
    settings.watch_configuration = true;
    let mut running = start(settings);
    let mut peer = accept_with(&server, "T1").await;
    running.expect_up(1).await;
    let request = peer.expect("SubscribeToConfigurationUpdate").await;
    assert_eq!(request.json(), json!({ "keyPath": [] }));
    peer.error(&request, "aws.greengrass#ServiceError", "{}").await;
    let request = peer.expect("SubscribeToConfigurationUpdate").await;
    peer.subscribed(&request).await;
    let event = r#"{"configurationUpdateEvent":{"componentName":"c","keyPath":["poll"]}}"#;
    peer.message(MESSAGE, 0, request.stream, "aws.greengrass#ConfigurationUpdateEvents", event).await;
    let changed = LinkEvent::ConfigurationChanged { component: "c".into(), key_path: vec!["poll".into()] };
    assert_eq!(running.next().await, changed);
}

/// 200 connections that end badly, each in another way, with publishes under way all the time: the link comes back, and
/// a publish that succeeded was answered by the nucleus.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_survives_200_bad_connections() {
    let server = Server::start();
    let mut settings = settings(&server.path, &["a/#", "b/#"], Some("com.example.Printgate"));
    settings.backoff = Backoff { base: Duration::from_micros(200), cap: Duration::from_millis(1) };
    settings.refusals_explicit = u32::MAX;
    settings.refusals_silent = u32::MAX;
    let mut running = start(settings);
    let link = running.link.clone();
    let stop = CancellationToken::new();
    let publishing = tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            // Sent or not, the next one follows; a lost connection must not leave it waiting.
            if link.publish("t", Bytes::from_static(b"x")).await == Err(PublishError::NotConnected) {
                tokio::task::yield_now().await;
            }
        }
    }));
    // Events are read all the time, as the contract asks.
    let reading = tokio::spawn(async move {
        let (mut ups, mut downs) = (0, 0);
        while let Some(event) = running.events.recv().await {
            match event {
                LinkEvent::Up { connection } => {
                    ups += 1;
                    assert_eq!(connection, ups);
                }
                LinkEvent::Down { .. } => downs += 1,
                LinkEvent::Message { topic, .. } if topic == "a/last" => break,
                LinkEvent::Message { .. } | LinkEvent::ConfigurationChanged { .. } | LinkEvent::Filter { .. } => {}
                LinkEvent::Refused { reason } => panic!("{reason}"),
            }
        }
        (running, ups, downs)
    });
    for n in 0..200 {
        let mut peer = server.accept().await;
        peer.connect_message().await;
        match n % 8 {
            0 => peer.refuse_connect().await,
            1 => {}
            2 => peer.send(&frame(CONNECT_ACK, ACCEPTED, 0, vec![], "")[..20]).await,
            3 => peer.send(&[0xff; 40]).await,
            fault => {
                peer.accept_connect(None).await;
                let mut streams = Vec::new();
                // Half a frame can be on its way when the server leaves, so requests are taken while they come.
                while streams.len() < 2 {
                    let request = peer.recv().await;
                    match request.operation() {
                        "SubscribeToIoTCore" if fault == 4 => break,
                        "SubscribeToIoTCore" if fault == 5 && streams.is_empty() => {
                            peer.error(&request, "aws.greengrass#ServiceError", "{}").await;
                            break;
                        }
                        "SubscribeToIoTCore" => {
                            peer.subscribed(&request).await;
                            streams.push(request.stream);
                        }
                        _ => peer.ok(&request, "{}").await,
                    }
                }
                match (fault, streams.first()) {
                    (6, Some(stream)) => {
                        let event = answer(MESSAGE, 0, *stream, "aws.greengrass#IoTCoreMessage", "{}");
                        peer.send(&event[..event.len() - 3]).await;
                    }
                    (7, Some(stream)) => {
                        peer.mqtt(*stream, "a/1", b"x").await;
                        peer.send(&frame(7, 0, 0, vec![], "{}")).await;
                    }
                    _ => {}
                }
            }
        }
    }
    // A good one at last. The round of a refused token may still be at its component name: any credential will do.
    let mut peer = server.accept().await;
    peer.connect_message().await;
    peer.accept_connect(None).await;
    let (mut streams, mut published) = (Vec::new(), 0);
    while streams.len() < 2 || published < 100 {
        let request = peer.recv().await;
        if request.operation() == "SubscribeToIoTCore" {
            peer.subscribed(&request).await;
            streams.push((request.json()["topicName"].as_str().unwrap().to_owned(), request.stream));
        } else {
            peer.ok(&request, "{}").await;
            published += 1;
        }
    }
    stop.cancel();
    within("the publisher", publishing).await.unwrap();
    let stream = streams.iter().find(|(filter, _)| filter == "a/#").unwrap().1;
    peer.mqtt(stream, "a/last", b"").await;
    let (running, ups, downs) = within("the events", reading).await.unwrap();
    // Two of the eight ways get as far as Up, but the news may be overtaken by the loss.
    assert!(ups >= 1 && downs >= 25, "{ups} ups, {downs} downs");
    assert!(running.link.is_connected());
}

#[tokio::test]
async fn cancel_ends_the_link_and_the_connection() {
    let server = Server::start();
    let mut running = start(settings(&server.path, &["a/#"], None));
    let mut peer = accept_with(&server, "T1").await;
    subscribe_all(&mut peer, 1).await;
    running.expect_up(1).await;
    running.cancel.cancel();
    within("the end of the link", running.link.ended()).await;
    while peer.try_recv().await.is_some() {}
    assert_eq!(running.link.publish("t", Bytes::new()).await, Err(PublishError::NotConnected));
    assert_eq!(running.events.recv().await, None);
}

#[tokio::test]
async fn a_link_whose_consumer_is_gone_ends() {
    let server = Server::start();
    let running = start(settings(&server.path, &[], None));
    let mut peer = accept_with(&server, "T1").await;
    drop(running.events);
    within("the end of the link", running.link.ended()).await;
    assert!(peer.try_recv().await.is_none());
}
