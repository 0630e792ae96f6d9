//! The control socket: `DIR/simulate-control.sock`, a Unix stream socket. One JSON object a line in, one a line out.
//!
//! ```text
//! {"do":"set-fault","printer":"Reception","fault":"slow-pages:2000"}   → {"ok":true}
//! {"do":"clear-fault","printer":"Reception","fault":"slow-pages"}      → {"ok":true,"cleared":true}
//! {"do":"clear-fault","printer":"Reception"}                           clears all of them
//! {"do":"power-off","printer":"Reception"}                             → {"ok":true}
//! {"do":"power-on","printer":"Reception"}                              → {"ok":true}
//! {"do":"replace-certificate","printer":"Reception"}                   → {"ok":true}
//! {"do":"order","printer":"Reception","order":"power-off keep-queue"}  → {"ok":true}, any of the orders of `order`
//! {"do":"printers"}                                                    → {"ok":true,"printers":[…]}
//! {"do":"printed"}                                                     → {"ok":true,"printed":[…]}
//! anything else                                                        → {"ok":false,"error":"…"}
//! ```

use super::{Fault, Inner, Order};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Its name in the directory of the office.
pub(super) const SOCKET: &str = "simulate-control.sock";
/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Connections at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 16;
/// Longest line that is read.
const MAX_LINE: u64 = 4096;

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Command {
    SetFault { printer: String, fault: String },
    ClearFault { printer: String, fault: Option<String> },
    PowerOff { printer: String },
    PowerOn { printer: String },
    Order { printer: String, order: String },
    ReplaceCertificate { printer: String },
    Printers,
    Printed,
}

/// Serves the socket until cancelled.
pub(super) async fn serve(office: Arc<Inner>, listener: UnixListener, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "control socket");
                    return;
                }
            },
        };
        // One of the tasks is this one.
        if tasks.len() > MAX_CONNECTIONS {
            continue;
        }
        let (office, stop) = (office.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                result = talk(office, stream) => if let Err(error) = result {
                    tracing::debug!(%error, "control connection ended");
                },
            }
        });
    }
}

async fn talk(office: Arc<Inner>, stream: UnixStream) -> io::Result<()> {
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    loop {
        let mut line = Vec::new();
        let read = (&mut input).take(MAX_LINE).read_until(b'\n', &mut line).await?;
        if read == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(command) => carry_out(&office, command).await.unwrap_or_else(|error| failed(&error)),
            Err(error) => failed(&error.to_string()),
        };
        output.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

fn failed(error: &str) -> Value {
    json!({"ok": false, "error": error})
}

async fn carry_out(office: &Inner, command: Command) -> Result<Value, String> {
    let text = |error: super::SimulateError| error.to_string();
    match command {
        Command::SetFault { printer, fault } => {
            let fault: Fault = fault.parse().map_err(|error: super::UnknownFault| error.to_string())?;
            office.set_fault(&printer, fault).map_err(text)?;
        }
        Command::ClearFault { printer, fault } => {
            let cleared = office.clear_fault(&printer, fault.as_deref()).map_err(text)?;
            return Ok(json!({"ok": true, "cleared": cleared}));
        }
        Command::PowerOff { printer } => {
            let order = Order::PowerOff { keep_queue: false, silent: false };
            office.order(&printer, order).await.map_err(text)?;
        }
        Command::PowerOn { printer } => {
            office.order(&printer, Order::PowerOn).await.map_err(text)?;
        }
        Command::Order { printer, order } => {
            let order: Order = order.parse().map_err(|error: super::UnknownOrder| error.to_string())?;
            let clears = matches!(order, Order::Clear(_));
            let done = office.order(&printer, order).await.map_err(text)?;
            if clears {
                return Ok(json!({"ok": true, "cleared": done}));
            }
        }
        Command::ReplaceCertificate { printer } => {
            office.replace_certificate(&printer, super::Certificate::Valid).map_err(text)?;
        }
        Command::Printers => return Ok(json!({"ok": true, "printers": office.printers()})),
        Command::Printed => return Ok(json!({"ok": true, "printed": office.printed()})),
    }
    Ok(json!({"ok": true}))
}

/// Sends one command to the office in this directory and gives back its answer: the client's side of the socket.
///
/// # Errors
/// When no office runs there or it does not answer.
pub async fn ask(directory: &Path, command: &Value) -> io::Result<Value> {
    let work = async {
        let mut stream = UnixStream::connect(directory.join(SOCKET)).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await?;
        serde_json::from_str(&answer).map_err(io::Error::other)
    };
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
