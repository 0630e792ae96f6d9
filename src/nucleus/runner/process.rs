//! One process of a component: its files, variables, user, log, and its end.

use super::RunnerError;
use super::recipe::scalar;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// The log is put aside (as `.log.1`) when it has so many octets; one old one is kept.
const MAX_LOG: u64 = 1024 * 1024;
/// A longer line is cut into pieces.
const MAX_LINE: u64 = 8 * 1024;

/// Where a component's files are, below the nucleus's root.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) root: PathBuf,
    pub(super) artifacts: PathBuf,
    pub(super) unpacked: PathBuf,
    pub(super) work: PathBuf,
    pub(super) log: PathBuf,
}

impl Places {
    pub(super) fn new(root: &Path, name: &str, version: &str) -> Self {
        Self {
            root: root.to_owned(),
            artifacts: root.join("packages/artifacts").join(name).join(version),
            unpacked: root.join("packages/artifacts-unarchived").join(name).join(version),
            work: root.join("work").join(name),
            log: root.join("logs").join(format!("{name}.log")),
        }
    }
}

/// Who the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl User {
    /// `USER` or `USER:GROUP`, as names or numbers.
    pub(super) fn find(text: &str) -> Result<Self, RunnerError> {
        let unknown = || RunnerError::User(text.to_owned());
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let row = entry("/etc/passwd", user).ok_or_else(unknown)?;
        let field = |row: &[String], n: usize| row.get(n).and_then(|field| field.parse().ok()).ok_or_else(unknown);
        let gid = match group {
            Some(group) => field(&entry("/etc/group", group).ok_or_else(unknown)?, 2)?,
            None => field(&row, 3)?,
        };
        Ok(Self { uid: field(&row, 2)?, gid })
    }
}

/// The line of a name or number.
fn entry(file: &str, name: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut rows = text.lines().map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
    rows.find(|row| row.first().is_some_and(|n| n == name) || row.get(2).is_some_and(|n| n == name))
}

/// Puts `{artifacts:path}` and its like in their places; what is not known stays as it is.
pub(super) fn interpolate(text: &str, places: &Places, thing_name: &str, configuration: &Value) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let value = behind.split_once('}').and_then(|(name, after)| {
            let value = match name {
                "artifacts:path" => places.artifacts.display().to_string(),
                "artifacts:decompressedPath" => places.unpacked.display().to_string(),
                "work:path" => places.work.display().to_string(),
                "kernel:rootPath" => places.root.display().to_string(),
                "iot:thingName" => thing_name.to_owned(),
                _ => {
                    let value = configuration.pointer(name.strip_prefix("configuration:")?)?;
                    scalar(value).unwrap_or_else(|| value.to_string())
                }
            };
            Some((value, after))
        });
        match value {
            Some((value, after)) => {
                out.push_str(&value);
                rest = after;
            }
            None => {
                out.push('{');
                rest = behind;
            }
        }
    }
    out + rest
}

/// Makes a directory, for the component alone where it is the component's.
pub(super) fn directory(path: &Path, user: Option<User>) -> Result<(), RunnerError> {
    let failed = |error| RunnerError::Write { path: path.to_owned(), error };
    std::fs::create_dir_all(path).map_err(failed)?;
    match user {
        Some(user) => chown(path, Some(user.uid), Some(user.gid)).map_err(failed),
        None => Ok(()),
    }
}

/// Copies an artifact to its place.
pub(super) fn stage(from: &Path, to: &Path, mode: u32, user: Option<User>) -> Result<(), RunnerError> {
    let failed = |error| RunnerError::Artifact { from: from.to_owned(), error };
    // One from an earlier run cannot be written to, and may be running.
    let _ = std::fs::remove_file(to);
    std::fs::copy(from, to).map_err(failed)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    match user {
        Some(user) => chown(to, Some(user.uid), Some(user.gid)).map_err(failed),
        None => Ok(()),
    }
}

/// A running script with all that it started.
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
}

impl Process {
    /// Starts `sh -c SCRIPT` in a process group of its own.
    pub(super) fn start(
        script: &str,
        environment: &BTreeMap<String, String>,
        work: &Path,
        user: Option<User>,
        log: &Arc<Log>,
    ) -> std::io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script).env_clear().envs(environment).current_dir(work).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        if let Some(user) = user {
            // The standard library gives up root's other groups with it.
            command.uid(user.uid).gid(user.gid);
        }
        let mut child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(out) = child.stdout.take() {
            tokio::spawn(copy(out, "stdout", log.clone()));
        }
        if let Some(err) = child.stderr.take() {
            tokio::spawn(copy(err, "stderr", log.clone()));
        }
        Ok(Self { child, group })
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end. Cancel safe.
    pub(super) async fn wait(&mut self) -> std::io::Result<std::process::ExitStatus> {
        self.child.wait().await
    }

    /// SIGTERM to all of it, SIGKILL when it is still there after `patience`. True when it had to be killed.
    pub(super) async fn stop(&mut self, patience: Duration) -> bool {
        self.signal(Signal::TERM);
        let killed = tokio::time::timeout(patience, self.child.wait()).await.is_err();
        self.sweep();
        if killed {
            // After SIGKILL to the group only the reaping is left; the deadline is for what cannot be.
            let _ = tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await;
        }
        killed
    }

    /// SIGKILL to whatever of its group is left.
    pub(super) fn sweep(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // Nobody there any more is as good.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its number may be another's once it was waited for and the whole group is gone: swept before then.
        if self.child.id().is_some() {
            self.sweep();
        }
    }
}

/// Lines of the component, each with its time and where it came from, until the pipe is closed.
async fn copy(from: impl AsyncRead + Unpin, stream: &'static str, log: Arc<Log>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(1..) => log.write(stream, &line),
            Ok(_) | Err(_) => return,
        }
    }
}

/// A component's log file, bounded.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: Mutex<Option<(File, u64)>>,
}

impl Log {
    /// Opens or continues it.
    pub(super) fn open(path: &Path) -> Result<Arc<Self>, RunnerError> {
        let failed = |error| RunnerError::Write { path: path.to_owned(), error };
        let file = File::options().create(true).append(true).open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Arc::new(Self { path: path.to_owned(), file: Mutex::new(Some((file, length))) }))
    }

    /// Writes one line. A log that cannot be written is no reason to stop the component.
    pub(super) fn write(&self, stream: &str, line: &[u8]) {
        let mut text = format!("{:.3} {stream}. ", jiff::Timestamp::now()).into_bytes();
        text.extend_from_slice(line);
        if text.last() != Some(&b'\n') {
            text.push(b'\n');
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.as_ref().is_some_and(|(_, length)| *length > MAX_LOG) {
            let old = self.path.with_extension("log.1");
            *file = std::fs::rename(&self.path, old).and_then(|()| File::create(&self.path)).ok().map(|file| (file, 0));
        }
        if let Some((file, length)) = file.as_mut() {
            *length += text.len() as u64;
            if let Err(error) = file.write_all(&text) {
                tracing::warn!(%error, "cannot write the component's log");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_put_in_and_unknown_ones_left() {
        let places = Places::new(Path::new("/gg"), "c", "1.0.0");
        let configuration = json!({"a": {"b": "x"}, "n": 5, "o": {"k": true}});
        let put = |text: &str| interpolate(text, &places, "gw1", &configuration);
        assert_eq!(
            put("exec {artifacts:path}/x --for {iot:thingName}"),
            "exec /gg/packages/artifacts/c/1.0.0/x --for gw1"
        );
        assert_eq!(put("{work:path} {kernel:rootPath}"), "/gg/work/c /gg");
        assert_eq!(put("{configuration:/a/b} {configuration:/n} {configuration:/o}"), r#"x 5 {"k":true}"#);
        assert_eq!(put("${HOME} {configuration:/no} {x {iot:thingName} {"), "${HOME} {configuration:/no} {x gw1 {");
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(User::find("root").unwrap(), User { uid: 0, gid: 0 });
        assert_eq!(User::find("0:0").unwrap(), User { uid: 0, gid: 0 });
        assert!(User::find("no-such-user").is_err() && User::find("root:no-such-group").is_err());
    }

    #[test]
    fn the_log_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.log");
        let log = Log::open(&path).unwrap();
        for _ in 0..400 {
            log.write("stdout", &[b'x'; 8_000]);
        }
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert!(size(&path) <= MAX_LOG + 9_000 && size(&path.with_extension("log.1")) <= MAX_LOG + 9_000);
    }
}
