//! `printgate run`: the gateway, as the Greengrass recipe starts it.

use super::Exit;
use crate::app::{self, Options, Outcome};
use crate::cloud::greengrass::IpcSettings;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Arguments of `printgate run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Read the configuration from this JSON file instead of asking the nucleus for it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where databases and documents are kept. The nucleus starts components in their work directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    work_dir: PathBuf,
    /// Log as JSON lines.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    // The SNMP library warns of every datagram that is not as it should be: what matters of it is in our own words.
    super::start_logging("info,async_snmp=off", args.json);
    let ipc = match IpcSettings::from_env(|name| std::env::var(name).ok()) {
        Ok(ipc) => ipc,
        Err(error) => {
            eprintln!("printgate: {error}");
            return Ok(Exit::Usage);
        }
    };
    if ipc.thing_name.is_none() {
        eprintln!(
            "printgate: the environment lacks AWS_IOT_THING_NAME, which a Greengrass nucleus gives to its components; \
             start the gateway through the nucleus, or through `printgate nucleus`"
        );
        return Ok(Exit::Usage);
    }
    let stop = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let signals = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("asked to stop");
        signals.cancel();
    });
    let options = Options { work_dir: args.work_dir, config_file: args.config.clone() };
    match app::run(options, ipc, stop).await? {
        Outcome::Stopped => Ok(Exit::Done),
        Outcome::Refused(reason) => {
            eprintln!("printgate: {reason}");
            Ok(Exit::Failed)
        }
        Outcome::InvalidConfiguration(errors) => {
            let file = args.config.unwrap_or_default();
            for error in errors {
                eprintln!("printgate: {}: {error}", file.display());
            }
            Ok(Exit::Usage)
        }
    }
}
