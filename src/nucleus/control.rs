//! The control socket: JSON lines on a Unix socket, one request, one answer.
//!
//! | request | does |
//! |---|---|
//! | `{"link": "cut"}`, `{"link": "restore"}` | cuts or restores the nucleus's MQTT connection, answers when done |
//! | `{"config": {…}, "component": NAME}` | merges as a deployment would; the name may be left out when there is one component |
//! | `{"status": true}` | answers the status |
//!
//! Answers are `{"ok": true, …}` or `{"ok": false, "error": TEXT}`. A line has at most 64 KiB.

use super::NucleusHandle;
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

async fn obey(line: &[u8], handle: &NucleusHandle) -> Result<Value, String> {
    let request: Value = serde_json::from_slice(line).map_err(|error| format!("not a JSON line: {error}"))?;
    if let Some(link) = request.get("link") {
        let up = match link.as_str() {
            Some("cut") => false,
            Some("restore") => true,
            _ => return Err(format!("link is \"cut\" or \"restore\", not {link}")),
        };
        handle.set_link(up).await.map_err(|error| error.to_string())?;
        return Ok(json!({"online": up}));
    }
    if let Some(config) = request.get("config") {
        let named = request.get("component").and_then(Value::as_str).map(str::to_owned);
        let component = named.or_else(|| handle.only_component()).ok_or("say which component")?;
        handle.set_config(&component, config).map_err(|error| error.to_string())?;
        return Ok(json!({}));
    }
    if request.get("status").is_some() {
        return serde_json::to_value(handle.status()).map_err(|error| error.to_string());
    }
    Err("known requests: link, config, status".into())
}
