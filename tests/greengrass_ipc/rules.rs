//! The rules of an IPC client, one by one.

use crate::server::*;
use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::{Header, HeaderValue};
use printgate::cloud::greengrass::connection::ConnectionLimits;
use printgate::cloud::greengrass::operations::{configuration_update, iot_core_message};
use printgate::cloud::greengrass::settings::{SOCKET_VARIABLE, TOKEN_VARIABLE};
use printgate::cloud::greengrass::{
    ConnectError, Connection, IpcError, IpcSettings, ReportedState, ServiceErrorKind, Token,
};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn service(error: IpcError) -> (ServiceErrorKind, String) {
    match error {
        IpcError::Service { kind, message, .. } => (kind, message),
        other => panic!("not an error of the nucleus: {other:?}"),
    }
}

fn limits_with(change: impl FnOnce(&mut ConnectionLimits)) -> ConnectionLimits {
    let mut limits = limits();
    change(&mut limits);
    limits
}

// ---- rule 1: ids ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_stream_ids_are_strictly_latest_plus_one_with_8_tasks_and_8000_publishes() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    let serving = tokio::spawn(async move {
        // `recv` fails on any id that is not latest+1.
        while let Some(request) = peer.try_recv().await {
            peer.ok(&request, "{}").await;
        }
        peer.latest
    });
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let client = client.clone();
        tasks.spawn(async move {
            for n in 0..1000 {
                client.publish_to_iot_core(&format!("t/{task}"), format!("{n}").as_bytes()).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    drop(client);
    assert_eq!(within("the server", serving).await.unwrap(), 8000);
}

#[tokio::test]
async fn rule_1_a_request_that_cannot_be_sent_takes_no_id() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    // A header value may have at most 32,767 bytes.
    let unencodable: &'static str = Box::leak("x".repeat(40_000).into_boxed_str());
    assert!(matches!(client.call(unencodable, &json!({})).await, Err(IpcError::Encode { .. })));
    let large = client.publish_to_iot_core("t", &[0; 7_500]).await;
    assert!(matches!(large, Err(IpcError::TooLarge { limit: 10_000, size, .. }) if size > 10_000), "{large:?}");
    let (answer, ()) = tokio::join!(client.update_state(ReportedState::Running), async {
        let request = peer.expect("UpdateState").await;
        assert_eq!(request.stream, 1, "the two that were not sent took no id");
        peer.ok(&request, "{}").await;
    });
    answer.unwrap();
}

#[tokio::test]
async fn rule_1_abandoned_requests_leave_no_gap_either() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    for _ in 0..50 {
        let call = client.update_state(ReportedState::Running);
        assert!(tokio::time::timeout(Duration::from_micros(1), call).await.is_err());
    }
    let (answer, ()) = tokio::join!(client.get_configuration(None, &[]), async {
        loop {
            let request = peer.recv().await;
            if request.operation() == "GetConfiguration" {
                break peer.ok(&request, r#"{"value":{}}"#).await;
            }
        }
    });
    answer.unwrap();
}

// ---- rule 2: whole frames ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_2_giving_up_never_cuts_a_frame_that_is_being_written() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(impatient()).await;
    // Nobody reads: the socket's buffer fills, the frame at its end is written in part, and all callers give up.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let client = client.clone();
        tasks.spawn(async move { client.publish_to_iot_core("t", &[7; 7_000]).await });
    }
    while let Some(outcome) = within("the callers", tasks.join_next()).await {
        assert!(matches!(outcome.unwrap(), Err(IpcError::Timeout { .. })));
    }
    // The nucleus wakes up: all that was begun comes whole and in order of ids, and a new request is answered.
    let answering = tokio::spawn(async move {
        while let Some(request) = peer.try_recv().await {
            peer.ok(&request, "{}").await;
        }
    });
    let mut answered = false;
    for _ in 0..200 {
        if client.update_state(ReportedState::Running).await.is_ok() {
            answered = true;
            break;
        }
    }
    assert!(answered);
    drop(client);
    within("the server", answering).await.unwrap();
}

// ---- rule 3: unknown things, PING ----

#[tokio::test]
async fn rule_3_unknown_headers_types_and_fields_are_ignored() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    let (answer, ()) = tokio::join!(client.get_configuration(None, &["poll"]), async {
        let request = peer.expect("GetConfiguration").await;
        for kind in [8, 99, -1, i32::MAX, i32::MIN] {
            peer.send(&frame(kind, 0, request.stream, vec![text("x", "y")], "{}")).await;
        }
        peer.send(&frame(3, 0, 0, vec![], "")).await;
        peer.send(&frame(CONNECT_ACK, 0, 0, vec![], "")).await;
        peer.send(&answer(MESSAGE, 0, 4711, "aws.greengrass#IoTCoreMessage", "{}")).await;
        peer.send(&encode(vec![], b"no headers at all")).await;
        peer.send(&encode(vec![text(":message-type", "not a number")], b"")).await;
        let every_type = vec![
            Header::new("a", HeaderValue::Bool(true)),
            Header::new("b", HeaderValue::Byte(1)),
            Header::new("c", HeaderValue::Int16(2)),
            Header::new("d", HeaderValue::Int64(3)),
            Header::new("e", HeaderValue::ByteArray(vec![0, 1].into())),
            Header::new("f", HeaderValue::Uuid(5)),
            Header::new("", HeaderValue::String("".to_owned().into())),
            text(":content-type", "application/json"),
            text("service-model-type", "aws.greengrass#GetConfigurationResponse"),
        ];
        let payload = r#"{"componentName":"c","new":[{"deep":1}],"value":{"poll":"30"}}"#;
        peer.send(&frame(MESSAGE, TERMINATE | 64, request.stream, every_type, payload)).await;
    });
    assert_eq!(answer.unwrap(), json!({ "poll": "30" }));
}

#[tokio::test]
async fn rule_3_a_ping_is_answered_with_its_payload() {
    let server = Server::start();
    let (_client, mut peer, _) = server.connect(limits()).await;
    for payload in ["", "are you there"] {
        peer.send(&frame(PING, 0, 0, vec![], payload)).await;
        let pong = peer.recv().await;
        assert_eq!((pong.kind, pong.raw_payload.as_slice()), (PING_RESPONSE, payload.as_bytes()));
    }
}

// ---- rule 4: errors ----

#[tokio::test]
async fn rule_4_errors_of_both_runtimes_are_read() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    let ns = "aws.greengrass#";
    let cases = [
        // Nucleus classic: `message`.
        (format!("{ns}ServiceError"), r#"{"message":"spool is full"}"#, ServiceErrorKind::Service, "spool is full"),
        (format!("{ns}UnauthorizedError"), r#"{"message":"no"}"#, ServiceErrorKind::Unauthorized, "no"),
        (format!("{ns}InvalidArgumentsError"), r#"{"message":"m"}"#, ServiceErrorKind::InvalidArguments, "m"),
        (format!("{ns}ConflictError"), r#"{"message":"m","context":{}}"#, ServiceErrorKind::Conflict, "m"),
        // Nucleus lite: `_message` and `_errorCode`.
        (
            format!("{ns}ResourceNotFoundError"),
            r#"{"_message":"Key not found.","_errorCode":"ResourceNotFoundError"}"#,
            ServiceErrorKind::ResourceNotFound,
            "Key not found.",
        ),
        // No model: the code says it.
        (String::new(), r#"{"_message":"m","_errorCode":"UnauthorizedError"}"#, ServiceErrorKind::Unauthorized, "m"),
        // Unknown kinds, no words, no JSON.
        (format!("{ns}NewError"), "{}", ServiceErrorKind::Other("NewError".into()), "no further words"),
        (format!("{ns}ServiceError"), "plain\u{7} text", ServiceErrorKind::Service, "plain text"),
        (format!("{ns}ServiceError"), r#"{"message":7}"#, ServiceErrorKind::Service, "no further words"),
    ];
    for (model, payload, kind, words) in cases {
        let (answer, ()) = tokio::join!(client.get_configuration(None, &["x"]), async {
            let request = peer.expect("GetConfiguration").await;
            peer.error(&request, &model, payload).await;
        });
        assert_eq!(service(answer.unwrap_err()), (kind, words.to_owned()), "{model} {payload}");
    }
}

#[tokio::test]
async fn rule_4_an_error_without_the_last_message_flag_is_ended_by_the_client() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    let (answer, ()) = tokio::join!(client.subscribe_to_iot_core("a/#"), async {
        let request = peer.expect("SubscribeToIoTCore").await;
        peer.message(ERROR, 0, request.stream, "aws.greengrass#ServiceError", r#"{"message":"offline"}"#).await;
    });
    assert_eq!(service(answer.unwrap_err()).1, "offline");
    let end = peer.recv().await;
    assert_eq!((end.stream, end.flags), (1, TERMINATE));
}

// ---- rule 5: the socket is drained ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_5_a_flooded_subscription_that_nobody_reads_stalls_nothing_and_counts_what_it_drops() {
    let server = Server::start();
    let (client, mut peer, dropped) = server.connect(limits_with(|l| l.queue_messages = 100)).await;
    let (subscription, stream) = tokio::join!(client.subscribe_to_iot_core("t/#"), async {
        let request = peer.expect("SubscribeToIoTCore").await;
        peer.subscribed(&request).await;
        request.stream
    });
    let mut subscription = subscription.unwrap();
    // 5,000 × 4 KB is far more than any socket buffer: `mqtt` fails if the client does not read.
    for n in 0..5_000u32 {
        peer.mqtt(stream, &format!("t/{n}"), &[1; 4_000]).await;
    }
    let (answer, ()) = tokio::join!(client.update_state(ReportedState::Running), async {
        let request = peer.expect("UpdateState").await;
        peer.ok(&request, "{}").await;
    });
    answer.unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 4_900);
    // The oldest are kept, in order; the newest are dropped.
    for n in 0..100 {
        let message = iot_core_message(&subscription.recv().await.unwrap()).unwrap().unwrap();
        assert_eq!(message.topic, format!("t/{n}"));
    }
    peer.mqtt(stream, "t/after", b"").await;
    let message = iot_core_message(&within("room again", subscription.recv()).await.unwrap()).unwrap().unwrap();
    assert_eq!(message.topic, "t/after");
}

#[tokio::test]
async fn rule_5_a_queue_is_bounded_in_bytes_too() {
    let server = Server::start();
    let (client, mut peer, dropped) = server.connect(limits_with(|l| l.queue_bytes = 20_000)).await;
    let (subscription, stream) = tokio::join!(client.subscribe_to_iot_core("t/#"), async {
        let request = peer.expect("SubscribeToIoTCore").await;
        peer.subscribed(&request).await;
        request.stream
    });
    let mut subscription = subscription.unwrap();
    // 6,000 bytes are 8,000 in base64: two fit.
    for round in 1..=3 {
        for _ in 0..5 {
            peer.mqtt(stream, "t", &[1; 6_000]).await;
        }
        peer.send(&frame(PING, 0, 0, vec![], "")).await;
        assert_eq!(peer.recv().await.kind, PING_RESPONSE);
        assert_eq!(dropped.load(Ordering::Relaxed), 3 * round);
        subscription.recv().await.unwrap();
        subscription.recv().await.unwrap();
    }
}

#[tokio::test]
async fn rule_5_open_streams_are_bounded() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits_with(|l| l.max_streams = 2)).await;
    let nothing = json!({});
    let waiting = async { tokio::join!(client.call("A", &nothing), client.call("B", &nothing)) };
    let ((a, b), ()) = tokio::join!(waiting, async {
        let (first, second) = (peer.expect("A").await, peer.expect("B").await);
        let busy = client.call("C", &json!({})).await;
        assert!(matches!(busy, Err(IpcError::Busy { limit: 2, .. })), "{busy:?}");
        // Answers may come in any order.
        peer.ok(&second, r#"{"n":2}"#).await;
        peer.ok(&first, r#"{"n":1}"#).await;
    });
    assert_eq!((a.unwrap(), b.unwrap()), (json!({"n":1}), json!({"n":2})));
}

#[tokio::test]
async fn rule_5_a_frame_above_the_limit_ends_the_connection_before_it_is_read() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits_with(|l| l.max_inbound_frame = 50_000)).await;
    let (answer, ()) = tokio::join!(client.get_configuration(None, &[]), async {
        let request = peer.expect("GetConfiguration").await;
        let large = answer(MESSAGE, TERMINATE, request.stream, "", &"x".repeat(60_000));
        peer.send(&large[..12]).await;
    });
    let reason = answer.unwrap_err().to_string();
    assert!(reason.contains("60126 bytes") && reason.contains("50000"), "{reason}");
}

// ---- rule 6: deadlines and ends ----

#[tokio::test]
async fn rule_6_requests_time_out_and_late_answers_are_ignored() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(impatient()).await;
    let timeout = client.get_configuration(None, &[]).await;
    assert!(matches!(timeout, Err(IpcError::Timeout { .. })), "{timeout:?}");
    let late = peer.expect("GetConfiguration").await;
    peer.ok(&late, r#"{"value":"late"}"#).await;
    // Nothing is sent on the stream that is over: nucleus classic would close the connection. `recv` checks it.
    let (answer, ()) = tokio::join!(client.get_configuration(None, &[]), async {
        let request = peer.expect("GetConfiguration").await;
        peer.ok(&request, r#"{"value":"now"}"#).await;
    });
    assert_eq!(answer.unwrap(), json!("now"));
}

#[tokio::test]
async fn rule_6_subscribing_times_out_and_a_late_answer_ends_the_stream() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(impatient()).await;
    let timeout = client.subscribe_to_iot_core("a").await;
    assert!(matches!(timeout, Err(IpcError::Timeout { .. })));
    let late = peer.expect("SubscribeToIoTCore").await;
    peer.subscribed(&late).await;
    let end = peer.recv().await;
    assert_eq!((end.stream, end.flags, end.operation()), (late.stream, TERMINATE, ""));
}

#[tokio::test]
async fn rule_6_connecting_times_out() {
    let server = Server::start();
    let token = Token::new("T1");
    let connect = Connection::connect(
        &server.path,
        printgate::cloud::greengrass::connection::Credential::Token(&token),
        impatient(),
        Arc::default(),
    );
    let (outcome, _peer) = tokio::join!(connect, server.accept());
    assert!(matches!(outcome, Err(ConnectError::Timeout { .. })));
}

#[tokio::test]
async fn rule_6_a_subscription_signals_its_end_whatever_ended_it() {
    let server = Server::start();
    for how in ["terminate", "terminate with a last event", "error", "close", "close mid-frame", "protocol error"] {
        let (client, mut peer, _) = server.connect(limits()).await;
        let (subscription, stream) = tokio::join!(client.subscribe_to_iot_core("a/#"), async {
            let request = peer.expect("SubscribeToIoTCore").await;
            peer.subscribed(&request).await;
            request.stream
        });
        let mut subscription = subscription.unwrap();
        peer.mqtt(stream, "a/1", b"x").await;
        let last = mqtt_payload("a/2", b"y");
        match how {
            "terminate" => peer.message(MESSAGE, TERMINATE, stream, "", "").await,
            "terminate with a last event" => {
                peer.message(MESSAGE, TERMINATE, stream, "aws.greengrass#IoTCoreMessage", &last).await;
            }
            "error" => {
                peer.message(ERROR, TERMINATE, stream, "aws.greengrass#ServiceError", r#"{"_message":"gone"}"#).await;
            }
            "close" => drop(peer),
            "close mid-frame" => {
                let whole = answer(MESSAGE, 0, stream, "aws.greengrass#IoTCoreMessage", &last);
                peer.send(&whole[..whole.len() / 2]).await;
                drop(peer);
            }
            _ => peer.send(&frame(6, 0, 0, vec![], r#"{"message":"bad id"}"#)).await,
        }
        assert!(within("the event before the end", subscription.recv()).await.is_ok(), "{how}");
        if how == "terminate with a last event" {
            assert!(within("the last event", subscription.recv()).await.is_ok());
        }
        let reason = within("the end", subscription.recv()).await.unwrap_err();
        let expected = match how {
            "error" => "gone",
            "close" => "closed",
            "close mid-frame" => "middle of a frame",
            "protocol error" => "bad id",
            _ => "ended the subscription",
        };
        assert!(reason.contains(expected), "{how}: {reason}");
        // And it stays ended.
        assert!(within("the end again", subscription.recv()).await.is_err());
    }
}

#[tokio::test]
async fn rule_6_dropping_a_subscription_ends_the_stream_at_the_nucleus() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    let (subscription, stream) = tokio::join!(client.subscribe_to_iot_core("a/#"), async {
        let request = peer.expect("SubscribeToIoTCore").await;
        peer.subscribed(&request).await;
        request.stream
    });
    drop(subscription.unwrap());
    let end = peer.recv().await;
    assert_eq!((end.kind, end.stream, end.flags), (MESSAGE, stream, TERMINATE));
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_connection_even_if_the_nucleus_does_not_read() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(impatient()).await;
    let (subscription, ()) = tokio::join!(client.subscribe_to_iot_core("a/#"), async {
        let request = peer.expect("SubscribeToIoTCore").await;
        peer.subscribed(&request).await;
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        tasks.spawn(async move { client.publish_to_iot_core("t", &[7; 7_000]).await });
    }
    while within("the callers", tasks.join_next()).await.is_some() {}
    drop(client);
    let reason = within("the end", subscription.unwrap().recv()).await.unwrap_err();
    assert!(reason.contains("our side"), "{reason}");
}

#[tokio::test]
async fn rule_6_a_lost_connection_fails_what_waits() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    let (answer, ()) = tokio::join!(client.get_configuration(None, &[]), async {
        peer.expect("GetConfiguration").await;
        drop(peer);
    });
    assert!(matches!(answer, Err(IpcError::Closed { .. })), "{answer:?}");
    assert!(matches!(client.update_state(ReportedState::Running).await, Err(IpcError::Closed { .. })));
    assert!(within("the reason", client.ended()).await.contains("closed"));
}

#[tokio::test]
async fn an_event_before_the_answer_to_subscribe_is_kept() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    let (subscription, ()) = tokio::join!(client.subscribe_to_iot_core("a/#"), async {
        let request = peer.expect("SubscribeToIoTCore").await;
        peer.mqtt(request.stream, "a/1", b"early").await;
        peer.subscribed(&request).await;
        peer.mqtt(request.stream, "a/2", b"").await;
    });
    let mut subscription = subscription.unwrap();
    for topic in ["a/1", "a/2"] {
        let event = within("an event", subscription.recv()).await.unwrap();
        assert_eq!(iot_core_message(&event).unwrap().unwrap().topic, topic);
    }
}

// ---- rule 7: no defaults ----

#[test]
fn rule_7_there_is_no_default_token_and_no_default_path() {
    let env = |present: &'static [&'static str]| {
        move |name: &str| present.contains(&name).then(|| format!("value of {name}"))
    };
    for present in [&[][..], &[SOCKET_VARIABLE], &[TOKEN_VARIABLE]] {
        let words = IpcSettings::from_env(env(present)).unwrap_err().to_string();
        assert!(words.contains(SOCKET_VARIABLE) && words.contains(TOKEN_VARIABLE), "{words}");
        assert!(words.contains("Deploy printgate"), "says what to do: {words}");
    }
    assert!(IpcSettings::from_env(|_| Some("  ".to_owned())).is_err(), "blank is as good as absent");
    let settings = IpcSettings::from_env(env(&[SOCKET_VARIABLE, TOKEN_VARIABLE])).unwrap();
    assert_eq!(settings.thing_name, None);
    assert_eq!(settings.token.expose(), "value of SVCUID");
    assert!(!format!("{settings:?}").contains("value of SVCUID"), "the token is a secret");
}

// ---- the wire, as the official client writes it ----

/// The frames that the official Python client (awsiotsdk 1.31.0) sent for the same calls. Header names, types and
/// values and the JSON payload must be the same; the order of headers carries no meaning.
#[tokio::test]
async fn our_messages_equal_the_official_clients() {
    let official: Vec<Received> = include_str!("official_client.hex")
        .lines()
        .map(|line| {
            let bytes = data_encoding::HEXLOWER.decode(line.as_bytes()).unwrap();
            decode(read_message_from(&mut bytes.as_slice()).unwrap())
        })
        .collect();
    let server = Server::start();
    let token = Token::new("tok");
    let connect = Connection::connect(
        &server.path,
        printgate::cloud::greengrass::connection::Credential::Token(&token),
        limits(),
        Arc::default(),
    );
    let mut ours = Vec::new();
    let (client, mut peer) = tokio::join!(connect, async {
        let mut peer = server.accept().await;
        ours.push(peer.recv().await);
        peer.accept_connect(None).await;
        peer
    });
    let client = client.unwrap().0;
    let calls = async {
        client.publish_to_iot_core("t/x", b"hello").await.unwrap();
        client.get_configuration(None, &["a"]).await.unwrap();
        client.update_state(ReportedState::Running).await.unwrap();
        let messages = client.subscribe_to_iot_core("t/#").await.unwrap();
        let configuration = client.subscribe_to_configuration_update(None, &[]).await.unwrap();
        drop(messages);
        configuration
    };
    let (configuration, ()) = tokio::join!(calls, async {
        for _ in 0..6 {
            let message = peer.recv().await;
            if message.operation().starts_with("Subscribe") {
                peer.subscribed(&message).await;
            } else if message.flags == 0 {
                peer.ok(&message, r#"{"value":{}}"#).await;
            }
            ours.push(message);
        }
    });
    assert_eq!(ours.len(), official.len());
    for (our, official) in ours.iter().zip(&official) {
        assert_eq!((our.kind, our.flags, our.stream), (official.kind, official.flags, official.stream));
        assert_eq!(our.headers, official.headers);
        if !official.raw_payload.is_empty() {
            assert_eq!(our.json(), official.json());
        }
    }
    drop(configuration);
}

#[tokio::test]
async fn configuration_updates_arrive() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    let (subscription, ()) = tokio::join!(client.subscribe_to_configuration_update(None, &[]), async {
        let request = peer.expect("SubscribeToConfigurationUpdate").await;
        peer.subscribed(&request).await;
        let event = r#"{"configurationUpdateEvent":{"componentName":"c","keyPath":["poll","seconds"]}}"#;
        peer.message(MESSAGE, 0, request.stream, "aws.greengrass#ConfigurationUpdateEvents", event).await;
    });
    let event = within("the event", subscription.unwrap().recv()).await.unwrap();
    let update = configuration_update(&event).unwrap().unwrap();
    assert_eq!((update.component.as_str(), update.key_path.as_slice()), ("c", &["poll".into(), "seconds".into()][..]));
}
