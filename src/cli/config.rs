//! `printgate config check FILE`: is this configuration valid?

use super::Exit;
use crate::config::{self, Finding};
use std::path::PathBuf;

/// Arguments of `printgate config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check a configuration file: all errors at once, each with its path. Exit code 2 if there are any.
    Check {
        /// A JSON file of the form of the component's configuration.
        file: PathBuf,
        /// Print JSON: {"valid", "errors": [{"path", "message"}], "warnings": […]}.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let Command::Check { file, json } = args.command;
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("printgate: cannot read {}: {error}", file.display());
            return Ok(Exit::Usage);
        }
    };
    let checked = config::parse(&text);
    let errors = checked.config.err().unwrap_or_default();
    if json {
        let answer = serde_json::json!({"valid": errors.is_empty(), "errors": errors, "warnings": checked.warnings});
        super::print(&format!("{answer:#}\n"))?;
    } else {
        let line = |kind: &str, finding: &Finding| format!("{}: {kind}: {finding}\n", file.display());
        let mut text: String = errors.iter().map(|finding| line("error", finding)).collect();
        text.extend(checked.warnings.iter().map(|finding| line("warning", finding)));
        if errors.is_empty() {
            text.push_str(&format!("{}: valid\n", file.display()));
        }
        super::print(&text)?;
    }
    Ok(if errors.is_empty() { Exit::Done } else { Exit::Usage })
}
