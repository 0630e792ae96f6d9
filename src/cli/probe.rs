//! `printgate probe`

use super::Exit;

/// Arguments of `printgate probe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let _ = args.json;
    anyhow::bail!("not built yet")
}
