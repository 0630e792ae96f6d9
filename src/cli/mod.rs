//! The command line: one file per subcommand.
//!
//! Exit codes everywhere: 0 done, 1 failed, 2 usage (arguments or configuration). With `--json` standard output
//! carries JSON and nothing else; logs and progress go to standard error.

mod ask;
pub mod completions;
pub mod config;
pub mod discover;
pub mod events;
pub mod jobs;
pub mod outbox;
pub mod printers;
pub mod probe;
pub mod run;
pub mod status;
mod table;

#[cfg(feature = "lab")]
pub mod demo;
#[cfg(feature = "lab")]
pub mod nucleus;
#[cfg(feature = "lab")]
pub mod simulate;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The print gateway for AWS IoT Greengrass.
#[derive(Debug, Parser)]
#[command(name = "printgate", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway: what the Greengrass recipe starts.
    Run(run::Args),
    /// Look around once for printers and show them as a table.
    Discover(discover::Args),
    /// Ask one printer who it is, how it is and what it can do.
    Probe(probe::Args),
    /// Show the running gateway at a glance.
    Status(status::Args),
    /// List the printers of the running gateway, or show one.
    Printers(printers::Args),
    /// List the jobs of the running gateway, or show one with its history.
    Jobs(jobs::Args),
    /// Show what waits for the cloud.
    Outbox(outbox::Args),
    /// List what happened to the printers, newest first.
    Events(events::Args),
    /// Work with configuration files.
    Config(config::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// A whole office on this machine: stand-in nucleus, simulated printers, the gateway, and a story told in plain lines.
    #[cfg(feature = "lab")]
    Demo(demo::Args),
    /// Run the stand-in Greengrass nucleus: IPC on a Unix socket, an MQTT broker, device shadows.
    #[cfg(feature = "lab")]
    Nucleus(nucleus::Args),
    /// Run simulated printers on loopback addresses.
    #[cfg(feature = "lab")]
    Simulate(Box<simulate::Args>),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Done,
    /// 1
    Failed,
    /// 2
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
        })
    }
}

/// Runs one command to its end.
pub fn main(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("printgate: cannot start the runtime: {error}");
            return Exit::Failed.into();
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Discover(args) => discover::run(args).await,
            Command::Probe(args) => probe::run(args).await,
            Command::Status(args) => status::run(args).await,
            Command::Printers(args) => printers::run(args).await,
            Command::Jobs(args) => jobs::run(args).await,
            Command::Outbox(args) => outbox::run(args).await,
            Command::Events(args) => events::run(args).await,
            Command::Config(args) => config::run(args).await,
            Command::Completions(args) => Ok(completions::run(&args)),
            #[cfg(feature = "lab")]
            Command::Demo(args) => demo::run(args).await,
            #[cfg(feature = "lab")]
            Command::Nucleus(args) => nucleus::run(args).await,
            #[cfg(feature = "lab")]
            Command::Simulate(args) => simulate::run(*args).await,
        }
    });
    // Blocking threads (name look-ups, a stuck disk) never hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("printgate: {error:#}");
            Exit::Failed.into()
        }
    }
}

/// Writes to standard output. That nobody reads it to its end (`| head`) is no failure; anything else is.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}

/// Starts logging to standard error: `PRINTGATE_LOG` (an `EnvFilter` expression) over `default`; JSON lines when asked.
pub fn start_logging(default: &str, json: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = std::env::var("PRINTGATE_LOG")
        .ok()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    // Colours only for people: a component's log is a file or the journal.
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // A second call (tests in one process) finds logging started, which is what was wanted.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}
