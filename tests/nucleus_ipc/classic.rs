//! What only the classic nucleus does, and what neither runtime lets pass.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_wants_a_token_and_says_no() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = classic(dir.path(), false).await;
    for refused in [
        json!({"authToken": "AAAAAAAAAAAAAAAA"}),
        json!({"componentName": COMPONENT}),
        json!({"componentName": "someone.else"}),
        json!({}),
        json!(null),
    ] {
        let (mut ipc, answer) = Ipc::connect(&nucleus, refused.clone()).await;
        let answer = answer.expect("a CONNECT_ACK");
        assert_eq!((answer.kind, answer.flags, answer.svcuid), (5, 0, None), "{refused}");
        assert!(ipc.receive().await.is_none(), "{refused}");
    }
    // The protocol's version is no choice.
    let hello = json!({"authToken": token(&nucleus)}).to_string();
    for version in [&[][..], &[(":version", "0.2.0")]] {
        let mut ipc = Ipc::open(&nucleus).await;
        ipc.send(4, 0, 0, version, &hello).await;
        assert_eq!(ipc.receive().await.unwrap().flags, 0, "{version:?}");
        assert!(ipc.receive().await.is_none(), "{version:?}");
    }
    for wrong in [1, 3, 0, -1] {
        let mut ipc = Ipc::authenticated(&nucleus).await;
        ipc.request(1, "UpdateState", json!({"state": "RUNNING"})).await;
        assert_eq!(ipc.answer(1).await.kind, 0);
        ipc.request(wrong, "UpdateState", json!({"state": "RUNNING"})).await;
        assert!(ipc.receive().await.is_none(), "stream {wrong} after 1 was taken");
    }
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_answers_in_its_own_form() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = classic(dir.path(), false).await;
    let mut ipc = Ipc::authenticated(&nucleus).await;
    // An answer that is all there is ends its stream; that of a subscription does not.
    ipc.request(1, "UpdateState", json!({"state": "RUNNING"})).await;
    let answer = ipc.answer(1).await;
    assert_eq!((answer.kind, answer.flags), (0, 2));
    ipc.request(2, "SubscribeToIoTCore", json!({"topicName": "printers/#", "qos": "1"})).await;
    assert_eq!(ipc.answer(2).await.flags, 0);
    let mut refused = async |stream: i32, operation: &str, request: Value| {
        ipc.request(stream, operation, request).await;
        let answer = ipc.answer(stream).await;
        assert_eq!((answer.kind, answer.flags), (1, 2), "{operation}");
        (answer.model.unwrap_or_default(), answer.payload)
    };
    let nothing = json!({"message": "Key not found", "resourceType": "Configuration", "resourceName": ""});
    let key = refused(3, "GetConfiguration", json!({"keyPath": ["no"]})).await;
    assert_eq!(key, ("aws.greengrass#ResourceNotFoundError".into(), nothing));
    let (model, payload) = refused(4, "RestartComponent", json!({"componentName": "x"})).await;
    assert_eq!((model.as_str(), &payload["error"]), ("", &json!("Unsupported Operation")));
    assert_eq!(payload["message"], json!("aws.greengrass#RestartComponent is an unsupported operation."));
    // Java's handlers throw; the text is no JSON.
    assert_eq!(refused(5, "UpdateState", json!([])).await, (String::new(), Value::Null));
    assert_eq!(refused(6, "PublishToTopic", json!({"topic": "local/{iot:thingName}/x"})).await.1, Value::Null);
    for (stream, request, expected) in [
        (7, json!({"qos": "1", "payload": ""}), "Topic is required"),
        (8, json!({"topicName": "printers/a", "payload": ""}), "QoS is required"),
        (9, json!({"topicName": "printers/a", "qos": "1"}), "Payload is required"),
    ] {
        let (model, payload) = refused(stream, "PublishToIoTCore", request).await;
        assert_eq!((model.as_str(), payload), ("aws.greengrass#InvalidArgumentsError", json!({"message": expected})));
    }
    for (stream, request, expected) in [
        (10, json!({"valueToMerge": {"a": 1}}), "Timestamp is required"),
        (11, json!({"timestamp": 1.0}), "ValueToMerge is required"),
    ] {
        assert_eq!(refused(stream, "UpdateConfiguration", request).await.1["message"], json!(expected));
    }
    // Whole seconds do as well as a float, unlike on lite.
    let now = jiff::Timestamp::now().as_second() + 60;
    ipc.request(12, "UpdateConfiguration", json!({"valueToMerge": {"a": 1}, "timestamp": now})).await;
    assert_eq!(ipc.answer(12).await.kind, 0);
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_puts_in_the_thing_name_where_it_is_told_to() {
    for interpolate in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let nucleus = classic(dir.path(), interpolate).await;
        let mut ipc = Ipc::authenticated(&nucleus).await;
        ipc.request(1, "SubscribeToTopic", json!({"topic": "local/gw1/a"})).await;
        assert_eq!(ipc.answer(1).await.kind, i32::from(!interpolate));
        ipc.request(2, "GetConfiguration", json!({"keyPath": ["topic"]})).await;
        let expected = if interpolate { "x/gw1" } else { "x/{iot:thingName}" };
        assert_eq!(ipc.answer(2).await.payload["value"], json!({"topic": expected}));
        nucleus.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_too_large_closes_the_connection_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (lite, classic) = (nucleus(dir.path()).await, tempfile::tempdir().unwrap());
    let classic = self::classic(classic.path(), false).await;
    for (nucleus, length) in [(&lite, 10_013u32), (&classic, 16 * 1024 * 1024 + 13)] {
        let mut ipc = Ipc::authenticated(nucleus).await;
        // The length and no more: whoever waited for the rest would wait for ever.
        ipc.0.write_all(&[&length.to_be_bytes()[..], &[0; 8]].concat()).await.unwrap();
        assert!(ipc.receive().await.is_none(), "{length}");
    }
    // Lite fails a deployment for a resource that classic takes.
    let bad = json!({"accessControl": {"s": {"q": {"operations": ["*"], "resources": ["a?"]}}}});
    assert!(matches!(lite.set_config(COMPONENT, &bad), Err(NucleusError::Configuration { .. })));
    classic.set_config(COMPONENT, &bad).unwrap();
    lite.shutdown().await;
    classic.shutdown().await;
}

/// Every operation with every kind of nonsense in every field: an answer, and the connection lives on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_harms_the_nucleus() {
    let long = "x".repeat(3_000);
    let fields = "topicName topic qos payload publishMessage receiveMode componentName keyPath valueToMerge timestamp \
        state thingName shadowName pageSize nextToken secretId versionId versionStage deploymentId recheckAfterMs \
        configurationValidityReport metrics";
    let operations = "PublishToIoTCore SubscribeToIoTCore PublishToTopic SubscribeToTopic GetConfiguration \
        UpdateConfiguration SubscribeToConfigurationUpdate UpdateState GetThingShadow UpdateThingShadow \
        DeleteThingShadow ListNamedShadowsForThing GetSecretValue SubscribeToComponentUpdates DeferComponentUpdate \
        SubscribeToValidateConfigurationUpdates SendConfigurationValidityReport PauseComponent ResumeComponent \
        PutComponentMetric NoSuchOperation";
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("printers/a"),
        json!("?{${"),
        json!(long),
        json!([]),
        json!([1, {}]),
        json!({}),
        json!({"jsonMessage": {"message": 1}}),
        json!({"status": "REJECTED", "message": []}),
        json!([{"name": "a", "unit": "b", "value": -1}]),
    ];
    let lite = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for nucleus in [nucleus(lite.path()).await, classic(dir.path(), true).await] {
        let mut ipc = Ipc::authenticated(&nucleus).await;
        for operation in operations.split_whitespace() {
            for value in &values {
                let all: serde_json::Map<_, _> =
                    fields.split_whitespace().map(|field| (field.to_owned(), value.clone())).collect();
                // As large as lite lets it be.
                let all = if value.to_string().len() > 100 {
                    json!({"topicName": value, "topic": value,
                    "thingName": value})
                } else {
                    Value::Object(all)
                };
                let stream = ipc.next_stream();
                ipc.request(stream, operation, all).await;
                ipc.answer(stream).await;
                ipc.send(0, 2, stream, &[], "").await;
            }
        }
        // Nothing is left open, and it still serves.
        let stream = ipc.next_stream();
        ipc.request(stream, "GetConfiguration", json!({})).await;
        assert_eq!(ipc.answer(stream).await.kind, 0);
        let status = nucleus.status();
        assert_eq!((status.link.subscriptions, status.local.subscriptions), (0, 0));
        nucleus.shutdown().await;
    }
}
