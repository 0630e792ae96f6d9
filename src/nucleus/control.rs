//! The control socket: JSON lines on a Unix socket, one request, one answer.
//!
//! | request | does |
//! |---|---|
//! | `{"link": "cut"}`, `{"link": "restore"}` | cuts or restores the nucleus's MQTT connection, answers when done |
//! | `{"config": {…}, "component": NAME}` | merges as a deployment would; the name may be left out when there is one component |
//! | `{"fault": …}` | puts a fault in force: see [`faults`](super::faults) |
//! | `{"restart": true, "downMs": 500}` | restarts the nucleus: connections end, tokens change; answers when it serves again, with the new environment |
//! | `{"broker": "kill", "downMs": 500}` | kills the embedded broker with its sessions; answers when an empty one serves |
//! | `{"run": "stop"}`, `{"run": "start"}` | stops the component under the [runner](super::runner) and waits until it is gone; starts it anew |
//! | `{"env": true, "component": NAME}` | answers the environment of the component's process |
//! | `{"secret": …}`, `{"update": …}`, `{"updateDone": …}` | secrets and updates: see [`request`](super::request) |
//! | `{"status": true}` | answers the status |
//!
//! Answers are `{"ok": true, …}` or `{"ok": false, "error": TEXT}`. A line has at most 64 KiB. A [script](super::script)
//! has the same requests with times.

use super::NucleusHandle;
use super::command::MAX_DOWN;
use super::faults::Fault;
use super::request;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const MAX_LINE: u64 = 64 * 1024;
const MAX_CLIENTS: usize = 8;
const IDLE: Duration = Duration::from_secs(600);
const WRITE: Duration = Duration::from_secs(5);

/// Accepts connections until `end`.
pub(super) async fn serve(listener: UnixListener, handle: NucleusHandle, tasks: TaskTracker, end: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (Ok((stream, _)), Ok(permit)) = (accepted, room.clone().try_acquire_owned()) else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (handle, end) = (handle.clone(), end.clone());
        tasks.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = end.cancelled() => {}
                () = converse(stream, &handle) => {}
            }
        });
    }
}

async fn converse(stream: UnixStream, handle: &NucleusHandle) {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut from).take(MAX_LINE);
        let read = tokio::time::timeout(IDLE, limited.read_until(b'\n', &mut line)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return;
        }
        let answer = match obey(&line, handle).await {
            Ok(mut answer) => {
                answer["ok"] = json!(true);
                answer
            }
            Err(error) => json!({"ok": false, "error": error}),
        };
        let written = tokio::time::timeout(WRITE, to.write_all(format!("{answer}\n").as_bytes())).await;
        // A line that was cut at the limit leaves a rest that is no request.
        if !matches!(written, Ok(Ok(()))) || line.last() != Some(&b'\n') {
            return;
        }
    }
}

/// Does what a request asks for.
pub(super) async fn obey(line: &[u8], handle: &NucleusHandle) -> Result<Value, String> {
    let request: Value = serde_json::from_slice(line).map_err(|error| format!("not a JSON line: {error}"))?;
    if let Some(link) = request.get("link") {
        let up = match link.as_str() {
            Some("cut") => false,
            Some("restore") => true,
            _ => return Err(format!("link is \"cut\" or \"restore\", not {link}")),
        };
        handle.set_link(up).await.map_err(text)?;
        return Ok(json!({"online": up}));
    }
    if let Some(config) = request.get("config") {
        handle.set_config(&component(&request, handle)?, config).map_err(text)?;
        handle.redeployed().await;
        return Ok(json!({}));
    }
    if request.get("fault").is_some() {
        let fault: Fault = serde_json::from_value(request).map_err(|error| format!("no such fault: {error}"))?;
        handle.set_fault(&fault).map_err(text)?;
        return Ok(json!({}));
    }
    if request.get("restart").is_some() {
        handle.restart(down(&request)?).await.map_err(text)?;
        return Ok(json!({"env": handle.only_component().and_then(|name| environment(&name, handle))}));
    }
    if let Some(broker) = request.get("broker") {
        if broker != "kill" {
            return Err(format!("broker is \"kill\", not {broker}"));
        }
        handle.kill_broker(down(&request)?).await.map_err(text)?;
        return Ok(json!({}));
    }
    if let Some(run) = request.get("run") {
        if handle.runner_status().is_none() {
            return Err("this nucleus runs no component".into());
        }
        match run.as_str() {
            Some("stop") => handle.stop_component().await,
            Some("start") => handle.start_component().await,
            _ => return Err(format!("run is \"start\" or \"stop\", not {run}")),
        }
        return Ok(json!({"runner": handle.runner_status()}));
    }
    if request.get("env").is_some() {
        let component = component(&request, handle)?;
        let environment = environment(&component, handle);
        return Ok(json!({"env": environment.ok_or_else(|| format!("there is no component {component}"))?}));
    }
    if request.get("status").is_some() {
        return serde_json::to_value(handle.status()).map_err(text);
    }
    if let Some(answer) = request::obey(&request, handle).await {
        return answer;
    }
    Err("known requests: secret, update, updateDone, link, config, fault, restart, broker, run, env, status".into())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn component(request: &Value, handle: &NucleusHandle) -> Result<String, String> {
    let named = request.get("component").and_then(Value::as_str).map(str::to_owned);
    named.or_else(|| handle.only_component()).ok_or_else(|| "say which component".to_owned())
}

fn environment(component: &str, handle: &NucleusHandle) -> Option<Value> {
    let pairs = handle.env(component)?.into_iter().map(|(key, value)| (key, Value::String(value)));
    Some(Value::Object(pairs.collect()))
}

/// `downMs`: how long something stays away.
fn down(request: &Value) -> Result<Duration, String> {
    match request.get("downMs") {
        None => Ok(Duration::ZERO),
        Some(ms) => match ms.as_u64().map(Duration::from_millis) {
            Some(down) if down <= MAX_DOWN => Ok(down),
            _ => Err(format!("downMs is 0 to {}", MAX_DOWN.as_millis())),
        },
    }
}
