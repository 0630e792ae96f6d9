//! What the commands that ask a running gateway share.

use super::Exit;
use crate::console::SOCKET;
use crate::console::client::{self, ClientError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Where a component's work directory is on the two runtimes.
const USUAL_PLACES: [&str; 2] =
    ["/greengrass/v2/work/dev.printgate.PrintGateway", "/var/lib/greengrass/work/dev.printgate.PrintGateway"];

/// Which gateway to ask, and how to answer.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Ask {
    /// Work directory of the running gateway. Without it: $PRINTGATE_WORK_DIR, this directory, or the usual places of
    /// the component.
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl Ask {
    /// The gateway of a work directory, or the one that is found.
    pub(super) fn of(work_dir: Option<PathBuf>) -> Self {
        Self { work_dir, json: false }
    }

    /// Asks, or says why not.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        client::get(&self.socket(), path).await
    }

    fn socket(&self) -> PathBuf {
        let given = self.work_dir.clone().or_else(|| std::env::var_os("PRINTGATE_WORK_DIR").map(PathBuf::from));
        if let Some(dir) = given {
            return dir.join(SOCKET);
        }
        let places = std::iter::once(".").chain(USUAL_PLACES).map(|dir| Path::new(dir).join(SOCKET));
        let mut there = places.filter(|path| path.exists());
        there.next().unwrap_or_else(|| Path::new(USUAL_PLACES[0]).join(SOCKET))
    }
}

/// Shows an answer as JSON or as text; a refusal as a line on standard error.
pub(super) async fn answer<T: DeserializeOwned + Serialize>(
    ask: &Ask,
    path: &str,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<Exit> {
    match ask.get::<T>(path).await {
        Ok(value) => {
            let text = if ask.json { serde_json::to_string_pretty(&value)? + "\n" } else { text(&value) };
            super::print(&text)?;
            Ok(Exit::Done)
        }
        Err(ClientError::Refused { status: 400, message, .. }) => {
            eprintln!("printgate: {message}");
            Ok(Exit::Usage)
        }
        Err(error) => {
            eprintln!("printgate: {error}");
            Ok(Exit::Failed)
        }
    }
}
