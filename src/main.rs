//! Arguments, logging, exit code; nothing else.

use clap::Parser;
use printgate::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(cli::Cli::parse())
}
