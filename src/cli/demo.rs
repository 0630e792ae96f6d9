//! `printgate demo`

use super::Exit;
use crate::demo::{self, DemoError, Options};
use std::path::PathBuf;

/// Arguments of `printgate demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End after the story instead of staying up; exit code 0 only if every step happened.
    #[arg(long)]
    exit: bool,
    /// Print one JSON object per step.
    #[arg(long)]
    json: bool,
    /// Run in DIR (new or empty) and keep databases, logs and printed pages there.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    // Silent unless asked: a link that is cut on purpose is no news.
    super::start_logging("off", args.json);
    match demo::run(Options { exit: args.exit, json: args.json, keep: args.keep }).await {
        Ok(true) => Ok(Exit::Done),
        Ok(false) => Ok(Exit::Failed),
        Err(DemoError::Place(error)) => {
            eprintln!("printgate demo: {error}");
            Ok(Exit::Usage)
        }
        Err(error) => Err(error.into()),
    }
}
