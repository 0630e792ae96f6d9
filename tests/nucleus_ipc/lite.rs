//! What lite does on the wire, and the rules that it shares with classic.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_id_that_is_not_the_next_one_closes_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = nucleus(dir.path()).await;
    for wrong in [1, 3, 0, -1] {
        let mut ipc = Ipc::authenticated(&nucleus).await;
        ipc.request(1, "UpdateState", json!({"state": "RUNNING"})).await;
        assert_eq!(ipc.answer(1).await.model.as_deref(), Some("aws.greengrass#UpdateStateResponse"));
        ipc.request(wrong, "UpdateState", json!({"state": "RUNNING"})).await;
        assert!(ipc.receive().await.is_none(), "stream {wrong} after 1 was taken");
    }
    let mut ipc = Ipc::authenticated(&nucleus).await;
    ipc.request(1, "NoSuchThing", json!({})).await;
    let answer = ipc.answer(1).await;
    assert_eq!((answer.kind, answer.flags), (1, 2));
    assert_eq!(answer.model.as_deref(), Some("aws.greengrass#ServiceError"));
    assert_eq!(answer.payload["_errorCode"], json!("ServiceError"));
    assert!(answer.payload["_message"].is_string() && answer.payload.get("message").is_none());
    // The end of a stream that is closed already is nothing; a ping is answered.
    ipc.send(0, 2, 1, &[], "").await;
    ipc.send(2, 0, 0, &[], "").await;
    assert_eq!(ipc.answer(0).await.kind, 3);
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_comes_back_by_name_with_a_fresh_token() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = nucleus(dir.path()).await;
    let (_ipc, answer) = Ipc::connect(&nucleus, json!({"componentName": COMPONENT})).await;
    let fresh = answer.unwrap().svcuid.expect("a token");
    assert!(fresh.len() == 16 && fresh != token(&nucleus));
    let (_again, answer) = Ipc::connect(&nucleus, json!({"authToken": fresh, "componentName": COMPONENT})).await;
    assert_eq!(answer.unwrap().flags, 1);
    let _first = Ipc::authenticated(&nucleus).await;
    until("three connections", || nucleus.status().components[COMPONENT].connections == 3).await;
    for refused in [
        json!({"authToken": "AAAAAAAAAAAAAAAA"}),
        json!({"componentName": "someone.else"}),
        json!({"authToken": fresh, "componentName": "someone.else"}),
        json!({"authToken": 1}),
        json!({}),
        json!(null),
    ] {
        assert!(Ipc::connect(&nucleus, refused.clone()).await.1.is_none(), "{refused}");
    }
    // A request before CONNECT, and bytes that are no frame.
    let mut ipc = Ipc::open(&nucleus).await;
    ipc.request(1, "UpdateState", json!({"state": "RUNNING"})).await;
    assert!(ipc.receive().await.is_none());
    let mut ipc = Ipc::open(&nucleus).await;
    ipc.0.write_all(&[0xff; 64]).await.unwrap();
    assert!(ipc.receive().await.is_none());
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deployed_counts_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = nucleus(dir.path()).await;
    let mut ipc = Ipc::authenticated(&nucleus).await;
    ipc.publish(1, "elsewhere", b"x").await;
    assert_eq!(ipc.answer(1).await.model.as_deref(), Some("aws.greengrass#UnauthorizedError"));
    let more = json!({"accessControl": {"aws.greengrass.ipc.mqttproxy": {"q": {
        "operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["elsewhere"]}}}});
    nucleus.set_config(COMPONENT, &more).unwrap();
    ipc.publish(2, "elsewhere", b"x").await;
    assert_eq!(ipc.answer(2).await.model.as_deref(), Some("aws.greengrass#PublishToIoTCoreResponse"));
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_link_is_cut_nothing_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = nucleus(dir.path()).await;
    let mut ipc = Ipc::authenticated(&nucleus).await;
    ipc.request(1, "SubscribeToIoTCore", json!({"topicName": "printers/#", "qos": "1"})).await;
    assert_eq!(ipc.answer(1).await.model.as_deref(), Some("aws.greengrass#SubscribeToIoTCoreResponse"));
    nucleus.set_link(false).await.unwrap();
    ipc.publish(2, "printers/a", b"lost").await;
    assert_eq!(ipc.answer(2).await.model.as_deref(), Some("aws.greengrass#ServiceError"));
    let port = nucleus.mqtt_port().to_string();
    let mut cloud = Command::new("mosquitto_pub");
    cloud.args(["-p", &port, "-q", "1", "-t", "printers/a", "-m", "missed"]);
    assert!(timeout(DEADLINE, cloud.status()).await.unwrap().unwrap().success());
    nucleus.set_link(true).await.unwrap();
    // The subscription is taken up again by itself; the first message it brings is not the missed one.
    for stream in 3.. {
        assert!(stream < 200, "the subscription did not come back");
        ipc.publish(stream, "printers/a", b"back").await;
        assert_eq!(ipc.answer(stream).await.model.as_deref(), Some("aws.greengrass#PublishToIoTCoreResponse"));
        if let Some(event) = ipc.event().await {
            assert_eq!((event.stream, event.model.as_deref()), (1, Some("aws.greengrass#IoTCoreMessage")));
            assert_eq!(event.payload["message"]["payload"], json!(BASE64_STANDARD.encode("back")));
            break;
        }
    }
    nucleus.shutdown().await;
}

/// An MQTT broker that takes publishes and never acknowledges them.
async fn black_hole(publishes: Arc<AtomicUsize>) -> u16 {
    async fn serve(mut stream: TcpStream, publishes: Arc<AtomicUsize>) -> std::io::Result<()> {
        loop {
            let kind = stream.read_u8().await? >> 4;
            let (mut length, mut shift) = (0usize, 0);
            loop {
                let byte = stream.read_u8().await?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            match kind {
                1 => stream.write_all(&[0x20, 2, 0, 0]).await?,
                3 => drop(publishes.fetch_add(1, Ordering::SeqCst)),
                8 => stream.write_all(&[0x90, 3, body[0], body[1], 1]).await?,
                12 => stream.write_all(&[0xd0, 0]).await?,
                _ => {}
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, publishes.clone()));
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_publishes_without_an_acknowledgement_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let publishes = Arc::new(AtomicUsize::new(0));
    let mut config = NucleusConfig::new(dir.path().join("ipc.sock"), "gw1", component());
    config.broker = Some(("127.0.0.1".into(), black_hole(publishes.clone()).await));
    let nucleus = Nucleus::start(config).await.unwrap();
    let mut ipc = Ipc::authenticated(&nucleus).await;
    for stream in 1..=10 {
        ipc.publish(stream, "printers/a", b"x").await;
        assert_eq!(ipc.answer(stream).await.model.as_deref(), Some("aws.greengrass#PublishToIoTCoreResponse"));
    }
    ipc.publish(11, "printers/a", b"x").await;
    assert_eq!(ipc.answer(11).await.model.as_deref(), Some("aws.greengrass#ServiceError"));
    ipc.request(12, "PublishToIoTCore", json!({"topicName": "printers/a", "qos": "0", "payload": ""})).await;
    assert_eq!(ipc.answer(12).await.model.as_deref(), Some("aws.greengrass#PublishToIoTCoreResponse"));
    until("11 publishes at the broker", || publishes.load(Ordering::SeqCst) == 11).await;
    // All ten were told to be published, and all are forgotten.
    nucleus.set_link(false).await.unwrap();
    assert_eq!((nucleus.status().link.in_flight, nucleus.status().link.forgotten), (0, 10));
    nucleus.set_link(true).await.unwrap();
    ipc.publish(13, "printers/a", b"x").await;
    assert_eq!(ipc.answer(13).await.model.as_deref(), Some("aws.greengrass#PublishToIoTCoreResponse"));
    until("the new publish at the broker", || publishes.load(Ordering::SeqCst) == 12).await;
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_are_as_few_as_on_lite_and_end_with_their_stream_or_connection() {
    const MODEL: &str = "aws.greengrass#SubscribeToIoTCoreResponse";
    let dir = tempfile::tempdir().unwrap();
    let mut config = NucleusConfig::new(dir.path().join("ipc.sock"), "gw1", component());
    // AWS ends a connection with more than 50; here it is about lite's own number.
    config.quotas = None;
    let nucleus = Nucleus::start(config).await.unwrap();
    let mut ipc = Ipc::authenticated(&nucleus).await;
    let request = |n: i32| json!({"topicName": format!("printers/{n}/#"), "qos": "0"});
    for stream in 1..=98 {
        ipc.request(stream, "SubscribeToIoTCore", request(stream)).await;
        assert_eq!(ipc.answer(stream).await.model.as_deref(), Some(MODEL));
    }
    ipc.request(99, "SubscribeToIoTCore", request(99)).await;
    assert_eq!(ipc.answer(99).await.model.as_deref(), Some("aws.greengrass#ServiceError"));
    ipc.send(0, 2, 7, &[], "").await;
    ipc.request(100, "SubscribeToIoTCore", request(100)).await;
    assert_eq!(ipc.answer(100).await.model.as_deref(), Some(MODEL));
    assert_eq!(nucleus.status().link.subscriptions, 98);
    drop(ipc);
    until("the end of the subscriptions", || nucleus.status().link.subscriptions == 0).await;
    nucleus.shutdown().await;
}
