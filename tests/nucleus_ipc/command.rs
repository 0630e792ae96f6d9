//! The control socket, the command, other brokers, sockets left behind.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_socket_cuts_restores_and_deploys() {
    let dir = tempfile::tempdir().unwrap();
    let nucleus = nucleus(dir.path()).await;
    let stream = UnixStream::connect(nucleus.control_socket().unwrap()).await.unwrap();
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from).lines();
    let mut ask = async |request: &str| -> Value {
        to.write_all(format!("{request}\n").as_bytes()).await.unwrap();
        let line = timeout(DEADLINE, from.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!(ask(r#"{"link":"cut"}"#).await, json!({"ok": true, "online": false}));
    assert_eq!(ask(r#"{"status":true}"#).await["link"]["online"], json!(false));
    assert_eq!(ask(r#"{"link":"restore"}"#).await, json!({"ok": true, "online": true}));
    assert!(nucleus.status().link.online);
    let mut ipc = Ipc::authenticated(&nucleus).await;
    ipc.request(1, "SubscribeToConfigurationUpdate", json!({"keyPath": []})).await;
    ipc.answer(1).await;
    assert_eq!(ask(r#"{"config":{"poll":{"seconds":5}}}"#).await, json!({"ok": true}));
    let event = ipc.answer(1).await;
    assert_eq!(event.model.as_deref(), Some("aws.greengrass#ConfigurationUpdateEvents"));
    let expected = json!({"configurationUpdateEvent": {"componentName": COMPONENT, "keyPath": ["poll", "seconds"]}});
    assert_eq!(event.payload, expected);
    ipc.request(2, "GetConfiguration", json!({"keyPath": ["poll", "seconds"]})).await;
    assert_eq!(ipc.answer(2).await.payload["value"], json!({"seconds": "5"}));
    // What only classic has is told from outside, too.
    assert_eq!(ask(r#"{"status":true}"#).await["profile"], json!("lite"));
    let secret = ask(r#"{"secret":"printers/hp","value":"hunter2"}"#).await;
    assert_eq!(secret["arn"], json!("arn:aws:secretsmanager:eu-central-1:000000000000:secret:printers/hp-StandI"));
    assert_eq!(ask(r#"{"status":true}"#).await["secrets"], json!(["printers/hp"]));
    let proceeded = json!({"ok": true, "outcome": "proceeded", "deferrals": 0});
    assert_eq!(ask(r#"{"update":"d-1","timeoutMs":100}"#).await, proceeded);
    assert_eq!(ask(r#"{"updateDone":"d-1"}"#).await, json!({"ok": true}));
    for bad in [
        "{",
        "{}",
        r#"{"secret":"a b","value":"x"}"#,
        r#"{"secret":"a"}"#,
        r#"{"update":1}"#,
        r#"{"link":"up"}"#,
        r#"{"config":1}"#,
        r#"{"config":{},"component":"x"}"#,
    ] {
        let answer = ask(bad).await;
        assert!(answer["ok"] == json!(false) && answer["error"].is_string(), "{bad}: {answer}");
    }
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_in_use_is_left_alone_and_a_dead_one_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let first = nucleus(dir.path()).await;
    let second = Nucleus::start(NucleusConfig::new(dir.path().join("ipc.sock"), "gw2", component())).await;
    assert!(matches!(second, Err(NucleusError::InUse(_))));
    let _ipc = Ipc::authenticated(&first).await;
    first.shutdown().await;
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "sockets are left behind");
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("ipc.sock")).unwrap());
    let third = nucleus(dir.path()).await;
    let _ipc = Ipc::authenticated(&third).await;
    third.shutdown().await;
    let long = dir.path().join("x".repeat(120));
    let failed = Nucleus::start(NucleusConfig::new(long, "gw1", component())).await;
    assert!(matches!(failed, Err(NucleusError::SocketPath(_))));
    // A start that fails later leaves nothing behind either.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = NucleusConfig::new(dir.path().join("ipc.sock"), "gw1", component());
    config.mqtt_port = taken.local_addr().unwrap().port();
    assert!(matches!(Nucleus::start(config).await, Err(NucleusError::Broker { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a socket is left behind");
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// A Debian mosquitto that listens already.
async fn mosquitto(port: u16) -> Child {
    let mut command = Command::new("mosquitto");
    command.args(["-p", &port.to_string()]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    let end = Instant::now() + DEADLINE;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < end, "mosquitto does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child
}

/// Asks for the classic shadow until its answer comes; the subscription to the answer is on stream 1.
async fn shadow_answers(ipc: &mut Ipc, thing: &str, streams: std::ops::Range<i32>) {
    for stream in streams {
        ipc.publish(stream, &format!("$aws/things/{thing}/shadow/get"), b"").await;
        ipc.answer(stream).await;
        if let Some(event) = ipc.event().await {
            let expected = json!(format!("$aws/things/{thing}/shadow/get/rejected"));
            assert_eq!(event.payload["message"]["topicName"], expected);
            return;
        }
    }
    panic!("the shadow service does not answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn link_and_shadows_outlive_a_killed_broker() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().await;
    let mut broker = mosquitto(port).await;
    let mut component = component();
    component.config["accessControl"]["aws.greengrass.ipc.mqttproxy"]["p"]["resources"] = json!(["*"]);
    let mut config = NucleusConfig::new(dir.path().join("ipc.sock"), "gw1", component);
    config.broker = Some(("127.0.0.1".into(), port));
    let nucleus = Nucleus::start(config).await.unwrap();
    let mut ipc = Ipc::authenticated(&nucleus).await;
    ipc.request(1, "SubscribeToIoTCore", json!({"topicName": "$aws/things/gw1/shadow/get/+", "qos": "1"})).await;
    ipc.answer(1).await;
    shadow_answers(&mut ipc, "gw1", 2..100).await;
    broker.kill().await.unwrap();
    until("the loss of the link", || !nucleus.status().link.online).await;
    let _broker = mosquitto(port).await;
    until("the link's return", || nucleus.status().link.online).await;
    while ipc.event().await.is_some() {}
    let next = ipc.next_stream();
    shadow_answers(&mut ipc, "gw1", next..next + 100).await;
    nucleus.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_plays_classic_and_never_shows_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hp");
    std::fs::write(&file, "hunter2\n").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_printgate"))
        .args(["nucleus", "--json", "--profile", "classic", "--interpolate", "--dir"])
        .arg(dir.path().join("n"))
        .arg("--secret")
        .arg(format!("printers/hp={}", file.display()))
        .env("PRINTGATE_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut log = Vec::new();
        stderr.read_to_end(&mut log).await.map(|_| log)
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&ready["profile"], &ready["env"]["GGC_VERSION"]), (&json!("classic"), &json!("2.15.0")));
    let path = ready["env"]["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"].as_str().unwrap();
    let mut ipc = Ipc(UnixStream::connect(path).await.unwrap(), VecDeque::new(), 0);
    let hello = json!({"authToken": ready["env"]["SVCUID"]}).to_string();
    ipc.send(4, 0, 0, &[(":version", "0.1.0")], &hello).await;
    assert_eq!(ipc.receive().await.unwrap().flags, 1);
    ipc.request(1, "GetSecretValue", json!({"secretId": "printers/hp"})).await;
    let secret = ipc.answer(1).await.payload;
    assert_eq!(secret["secretValue"], json!({"secretString": "hunter2"}));
    ipc.request(2, "GetThingShadow", json!({"thingName": "gw1", "shadowName": "hp"})).await;
    assert_eq!(ipc.answer(2).await.model.as_deref(), Some("aws.greengrass#ResourceNotFoundError"));
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    assert_eq!(timeout(DEADLINE, child.wait()).await.unwrap().unwrap().code(), Some(0));
    let log = String::from_utf8_lossy(&log.await.unwrap().unwrap()).into_owned();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "there is no log: {log}");
    assert!(!log.contains("hunter2"), "the log shows a secret");
    // What is wrong is said before anything is made.
    let mut wrong = Command::new(env!("CARGO_BIN_EXE_printgate"));
    wrong.args(["nucleus", "--secret", "x=/nowhere", "--dir"]).arg(dir.path().join("m"));
    let output = timeout(DEADLINE, wrong.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the secret x: cannot read /nowhere"));
    assert!(!dir.path().join("m").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_serves_until_sigterm_beside_any_broker() {
    let dir = tempfile::tempdir().unwrap();
    let broker = free_port().await;
    let _mosquitto = mosquitto(broker).await;
    let sockets = dir.path().join("nucleus");
    let mut child = Command::new(env!("CARGO_BIN_EXE_printgate"))
        .arg("nucleus")
        .args(["--json", "--thing", "gw9", "--broker", &format!("127.0.0.1:{broker}"), "--dir"])
        .arg(&sockets)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&ready["event"], &ready["mqtt"]["port"]), (&json!("ready"), &json!(broker)));
    assert_eq!(ready["env"]["AWS_IOT_THING_NAME"], json!("gw9"));
    let path = ready["env"]["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"].as_str().unwrap();
    let mut ipc = Ipc(UnixStream::connect(path).await.unwrap(), VecDeque::new(), 0);
    let hello = json!({"authToken": ready["env"]["SVCUID"]}).to_string();
    ipc.send(4, 0, 0, &[(":version", "0.1.0")], &hello).await;
    assert_eq!(ipc.receive().await.unwrap().flags, 1);
    // A shadow through the real broker: the default configuration allows every topic.
    ipc.request(1, "SubscribeToIoTCore", json!({"topicName": "$aws/things/gw9/shadow/get/+", "qos": 1})).await;
    ipc.answer(1).await;
    shadow_answers(&mut ipc, "gw9", 2..100).await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let status = timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(std::fs::read_dir(&sockets).unwrap().count(), 0, "sockets are left behind");
}
