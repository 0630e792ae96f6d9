//! A child process that does not outlive its guard.
//!
//! Children stay in the test's process group, so a runner that ends a hung test ends them too.

use super::try_until;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running program; dropping it kills it with all its descendants.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// How a program ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// From the request to stop until it was gone.
    pub after: Duration,
}

impl Process {
    /// Starts `command`; standard error, and standard output unless it was piped, go to `DIR/NAME.log`.
    pub fn start(name: &str, directory: &Path, mut command: Command) -> Process {
        Process::start_with(name, directory, &mut command, false)
    }

    /// The same with standard output piped, to be taken with [`Process::stdout`].
    pub fn start_piped(name: &str, directory: &Path, mut command: Command) -> Process {
        Process::start_with(name, directory, &mut command, true)
    }

    fn start_with(name: &str, directory: &Path, command: &mut Command, piped: bool) -> Process {
        fs::create_dir_all(directory).unwrap();
        let log = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stderr(file.try_clone().unwrap());
        command.stdout(if piped { Stdio::piped() } else { Stdio::from(file) });
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {name} ({command:?}): {error}; `tests/run` installs what is missing")
        });
        Process { name: name.to_owned(), child, log }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Standard output of a process started with [`Process::start_piped`], once.
    pub fn stdout(&mut self) -> std::process::ChildStdout {
        self.child.stdout.take().expect("started with a pipe, taken once")
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Where its log is.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Waits like [`super::wait_until`], and fails at once when the program has ended.
    #[track_caller]
    pub fn wait_until<T>(&mut self, deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        let found = try_until(deadline, || match condition() {
            Some(value) => Some(Ok(value)),
            None => self.child.try_wait().unwrap().map(Err),
        });
        match found {
            Some(Ok(value)) => value,
            Some(Err(status)) => {
                panic!("{} ended ({status}) after {:?} instead of {what}:\n{}", self.name, start.elapsed(), self.log())
            }
            None => panic!("waited {deadline:?} for {what} of {}:\n{}", self.name, self.log()),
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> Ended {
        let start = Instant::now();
        let status = try_until(deadline, || self.child.try_wait().unwrap())
            .unwrap_or_else(|| panic!("{} still runs after {deadline:?}:\n{}", self.name, self.log()));
        Ended { status, after: start.elapsed() }
    }

    /// SIGTERM, then its end within `deadline`.
    #[track_caller]
    pub fn terminate(&mut self, deadline: Duration) -> Ended {
        signal("TERM", &[self.id()]);
        self.wait(deadline)
    }

    /// SIGKILL: no farewell, as after a power cut.
    pub fn kill(&mut self) -> Ended {
        let start = Instant::now();
        self.child.kill().unwrap();
        Ended { status: self.child.wait().unwrap(), after: start.elapsed() }
    }

    /// Stops it in its tracks (SIGSTOP): it hangs, its connections stay open.
    pub fn freeze(&self) {
        signal("STOP", &[self.id()]);
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) {
        signal("CONT", &[self.id()]);
    }

    /// Resident memory in bytes, the peak with it: `(now, peak)`.
    pub fn memory(&self) -> (u64, u64) {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0 kB");
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let descendants = descendants(self.id());
            let _ = self.child.kill();
            let _ = self.child.wait();
            signal("KILL", &descendants);
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            println!("--- the end of the log of {} ---", self.name);
            for line in &lines[lines.len().saturating_sub(60)..] {
                println!("{line}");
            }
        }
    }
}

impl Ended {
    /// The exit code; `None` after a signal.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// Runs a program to its end; fails the test unless it succeeds. Gives its standard output.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout
}

fn signal(name: &str, processes: &[u32]) {
    if processes.is_empty() {
        return;
    }
    let ids = processes.iter().map(u32::to_string);
    // A process that has ended meanwhile is no failure.
    let _ = Command::new("kill").arg(format!("-{name}")).args(ids).stderr(Stdio::null()).status();
}

/// Children, their children, and so on.
fn descendants(id: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|word| word.parse().ok()) {
                all.push(child);
                open.push(child);
            }
        }
    }
    all
}
