//! The gateway as a child process.

use super::process::{Ended, Process};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long the gateway may take to end after SIGTERM: the classic nucleus kills it after 5 s.
pub const STOP: Duration = Duration::from_secs(4);

/// A `printgate` command with a clean environment: the search path, the home directory, how much is logged, and `env`.
pub fn printgate(arguments: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_printgate"));
    command.args(arguments).env_clear();
    for name in ["PATH", "HOME", "TMPDIR", "PRINTGATE_LOG", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(env.iter().copied());
    command
}

/// A running gateway (`printgate run …`), its work directory and its log. It outlives restarts: the directory stays.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    arguments: Vec<String>,
    env: Vec<(String, String)>,
    directory: PathBuf,
}

impl Gateway {
    /// Starts `printgate run ARGUMENTS` in `directory` (made if missing); its log is `gateway.log` there.
    ///
    /// `env` is what a nucleus gives its component, `Nucleus::env()` for example.
    pub fn start(arguments: &[&str], env: &[(String, String)], directory: &Path) -> Gateway {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let process = Gateway::spawn(&arguments, env, directory);
        Gateway { process, arguments, env: env.to_vec(), directory: directory.to_owned() }
    }

    fn spawn(arguments: &[String], env: &[(String, String)], directory: &Path) -> Process {
        std::fs::create_dir_all(directory).unwrap();
        let mut command = printgate(&["run"], &[]);
        command.args(arguments).envs(env.iter().cloned()).current_dir(directory);
        Process::start("gateway", directory, command)
    }

    /// Starts it again after [`Process::kill`] or [`Process::terminate`], in the same directory with the same environment.
    pub fn restart(&mut self) {
        assert!(!self.process.is_running(), "stop the gateway before starting it again");
        self.process = Gateway::spawn(&self.arguments, &self.env, &self.directory);
    }

    /// SIGTERM; it must be gone within [`STOP`]. Says how it ended and how long that took.
    #[track_caller]
    pub fn stop(&mut self) -> Ended {
        self.process.terminate(STOP)
    }

    /// The work directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until its log holds `text`.
    #[track_caller]
    pub fn wait_for_log(&mut self, deadline: Duration, text: &str) {
        let log = self.process.log_path().to_owned();
        self.process.wait_until(deadline, &format!("{text:?} in its log"), || {
            let bytes = std::fs::read(&log).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(text).then_some(())
        });
    }
}

impl Deref for Gateway {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Gateway {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
