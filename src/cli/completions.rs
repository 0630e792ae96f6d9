//! `printgate completions SHELL`: a completion script on standard output.

use super::{Cli, Exit};
use clap::CommandFactory;
use clap_complete::Shell;

/// Arguments of `printgate completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell.
    #[arg(value_parser = shell, value_name = "bash|zsh|fish")]
    shell: Shell,
}

fn shell(text: &str) -> Result<Shell, String> {
    match text {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("use bash, zsh or fish".to_owned()),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "printgate", &mut script);
    // A closed pipe (`| head`) is no failure.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
    Exit::Done
}
