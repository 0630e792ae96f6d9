//! The gateway's process: `printgate run`, started as a nucleus starts a component.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How much of the log's end is looked at.
const TAIL_BYTES: u64 = 64 * 1024;

/// A running gateway; killed when dropped.
pub(super) struct Gateway {
    child: Child,
    log: PathBuf,
    /// Process id.
    pub(super) pid: u32,
}

/// How it ended after SIGTERM.
#[derive(Debug)]
pub(super) struct Stopped {
    status: io::Result<ExitStatus>,
    killed: bool,
    /// From the signal to its end.
    pub(super) after: Duration,
}

impl Gateway {
    /// Starts `PROGRAM run --work-dir WORK` in `work`, its standard error in `log`.
    pub(super) fn start(
        program: &Path,
        work: &Path,
        log: &Path,
        environment: &[(String, String)],
    ) -> io::Result<Gateway> {
        let mut command = Command::new(program);
        command.arg("run").arg("--work-dir").arg(work).current_dir(work).env_clear();
        let inherited = |name: &str| std::env::var_os(name).map(|value| (OsString::from(name), value));
        command.envs(["PATH", "HOME"].into_iter().filter_map(inherited));
        command.envs(environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?).kill_on_drop(true);
        let child = command.spawn()?;
        let pid = child.id().unwrap_or_default();
        Ok(Gateway { child, log: log.to_owned(), pid })
    }

    /// Waits for its end, and says how it ended. Cancel-safe.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// SIGTERM; SIGKILL when it is still there after `within`.
    pub(super) async fn stop(mut self, within: Duration) -> Stopped {
        let asked = Instant::now();
        // No id: it has ended and was waited for.
        if let Some(pid) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            // It may have ended this moment.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let (status, killed) = match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => (status, false),
            Err(_) => {
                let _ = self.child.kill().await;
                (self.child.wait().await, true)
            }
        };
        Stopped { status, killed, after: asked.elapsed() }
    }

    /// The last lines of its log.
    pub(super) fn log_tail(&self, lines: usize) -> Vec<String> {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        all.iter().skip(all.len().saturating_sub(lines)).map(|line| (*line).to_owned()).collect()
    }
}

impl Stopped {
    /// By itself and with exit code 0.
    pub(super) fn is_well(&self) -> bool {
        !self.killed && self.status.as_ref().is_ok_and(ExitStatus::success)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.after.as_secs_f64();
        match &self.status {
            Ok(_) if self.killed => write!(f, "it did not end within {seconds:.1} s and was killed"),
            Ok(status) => match status.code() {
                Some(code) => write!(f, "it ended after {seconds:.1} s with exit code {code}"),
                None => write!(f, "it ended after {seconds:.1} s: {status}"),
            },
            Err(error) => write!(f, "its end is not known: {error}"),
        }
    }
}
