//! Runs a component from its recipe, as a nucleus would.
//!
//! ```text
//!            start                 exit 0
//! STOPPED ─────────▶ STARTING ──▶ RUNNING ──────▶ FINISHED
//!    ▲                  │  ▲         │ other exit, or install failed
//!    │ SIGTERM, SIGKILL │  │ again   ▼
//!    └──────────────────┴──┴───── ERRORED ──third error in an hour──▶ BROKEN
//! ```
//! | | lite | classic |
//! |---|---|---|
//! | environment | SVCUID, IPC socket, thing name, region, GGC_VERSION, root CA; PATH | the same and GREENGRASS_COMPONENT_VERSION; PATH, HOME, LANG |
//! | started again after an error | after 1 s | at once |
//! | an end by SIGTERM, SIGINT, SIGHUP, SIGPIPE that nobody asked for | as exit 0 (systemd: a clean end) | an error |
//! | a deployment changes the configuration | the component is restarted | it is told |
//! | the nucleus restarts | the component lives on, and comes back by its name | the component is restarted with it |
//! | from SIGTERM to SIGKILL | 90 s | 5 s |
//!
//! Files lie below the root as a nucleus has them: `packages/artifacts/NAME/VERSION/` (copies, read-only),
//! `work/NAME/` (the working directory), `logs/NAME.log` (standard output and error, 2 MiB at most). Artifacts come from
//! a directory in the bucket's place: `s3://BUCKET/KEY` is `DIRECTORY/KEY`. Every start has a new token; the one before
//! is refused from then on. Signals go to the whole process group. `install` is run once, before the first `run`.
//!
//! The user is the present one, or another when this runs as root and one is named (as `posixUser` is): by setuid
//! instead of `sudo`, with the same outcome, no capabilities and no other groups. The IPC socket is given to its group.
//!
//! What it does not do: limits of memory and processor, dependencies, credentials (TES), the state that a component
//! reports of itself (`UpdateState`), and all that [`recipe`] refuses. A nucleus that is killed leaves its component
//! behind.

mod process;
pub(super) mod recipe;

pub use self::recipe::Recipe;

use self::process::{Log, Places, Process, User};
use super::{NucleusHandle, Profile, ipc};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// `MAXIMUM_CONTINUAL_ERROR` of classic, `StartLimitBurst` of lite.
const MAX_ERRORS: usize = 3;
/// `DEFAULT_ERROR_RESET_TIME` of classic, `StartLimitIntervalSec` of lite.
const ERROR_WINDOW: Duration = Duration::from_secs(3_600);
const COMMANDS: usize = 16;

/// How to run a component.
#[derive(Debug, Clone)]
pub struct RunnerConfig {
    /// The recipe.
    pub recipe: Recipe,
    /// The directory in the place of the S3 bucket.
    pub artifacts: PathBuf,
    /// Where `packages`, `work` and `logs` are made.
    pub root: PathBuf,
    /// `USER` or `USER:GROUP`; only as root.
    pub user: Option<String>,
    /// From SIGTERM to SIGKILL; `None`: the runtime's time.
    pub stop: Option<Duration>,
    /// Before a start after an error; `None`: the runtime's time.
    pub restart: Option<Duration>,
}

/// Why a component does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// A recipe cannot be read.
    #[error("cannot read the recipe {path}: {error}")]
    Read {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A recipe is not what a nucleus takes.
    #[error("the recipe: {0}")]
    Recipe(String),
    /// An artifact is not there.
    #[error("cannot take the artifact {from}: {error}; artifacts/build makes the gateway's")]
    Artifact {
        /// Where.
        from: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file or directory cannot be made.
    #[error("cannot write {path}: {error}")]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// There is no such user.
    #[error("there is no user or group {0}")]
    User(String),
    /// Only root may start processes of another user.
    #[error("only root can run a component as {0}")]
    NotRoot(String),
    /// It is not configured.
    #[error("the nucleus was started without the component {0}")]
    NoComponent(String),
    /// It is running already.
    #[error("a component is run already")]
    Already,
}

/// Where a component is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunnerState {
    /// `install` runs, or the wait before another start.
    Starting,
    /// `run` runs.
    Running,
    /// SIGTERM was sent.
    Stopping,
    /// Ended on command.
    Stopped,
    /// Ended by itself with 0; it is not started again.
    Finished,
    /// Ended otherwise; it will be started again.
    Errored,
    /// Ended otherwise three times in an hour; it is not started again.
    Broken,
}

/// What is known of the component's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunnerStatus {
    /// Component name.
    pub component: String,
    /// State.
    pub state: RunnerState,
    /// Process id of the script, which leads its group.
    pub pid: Option<u32>,
    /// How many times `run` was started.
    pub starts: u64,
    /// Errors in the last hour.
    pub errors: usize,
    /// How it ended last: exit code.
    pub exit_code: Option<i32>,
    /// How it ended last: signal.
    pub signal: Option<i32>,
    /// Whether it ended last by our SIGKILL, because SIGTERM was not enough.
    pub killed: bool,
    /// Its log.
    pub log: PathBuf,
}

enum Command {
    Start,
    Stop,
}

/// A component under its runner. Dropping it changes nothing.
#[derive(Clone)]
pub(super) struct Runner {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<RunnerStatus>,
    patience: Duration,
}

impl Runner {
    /// Prepares files and directories and starts the component. The task serves until the runner's command channel
    /// is closed.
    pub(super) fn start(
        config: &RunnerConfig,
        handle: NucleusHandle,
        profile: Profile,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<>), RunnerError> {
        let recipe = config.recipe.clone();
        let user = match &config.user {
            Some(name) if !rustix::process::geteuid().is_root() => return Err(RunnerError::NotRoot(name.clone())),
            Some(name) => Some(User::find(name)?),
            None => None,
        };
        let environment = handle.env(&recipe.name).ok_or_else(|| RunnerError::NoComponent(recipe.name.clone()))?;
        let places = Places::new(&config.root, &recipe.name, &recipe.version);
        process::directory(&places.artifacts, None)?;
        process::directory(&places.unpacked, None)?;
        process::directory(&places.work, user)?;
        process::directory(&config.root.join("logs"), None)?;
        for artifact in &recipe.artifacts {
            process::stage(
                &config.artifacts.join(&artifact.key),
                &places.artifacts.join(&artifact.file),
                artifact.mode,
                user,
            )?;
        }
        let socket = environment.iter().find(|(key, _)| key.ends_with("SOCKET_FILEPATH_FOR_COMPONENT"));
        if let (Some(user), Some((_, socket))) = (user, socket) {
            let failed = |error| RunnerError::Write { path: PathBuf::from(socket), error };
            std::os::unix::fs::chown(socket, None, Some(user.gid)).map_err(failed)?;
        }
        let log = Log::open(&places.log)?;
        let status = RunnerStatus {
            component: recipe.name.clone(),
            state: RunnerState::Starting,
            pid: None,
            starts: 0,
            errors: 0,
            exit_code: None,
            signal: None,
            killed: false,
            log: places.log.clone(),
        };
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (status, watched) = watch::channel(status);
        let patience = config.stop.unwrap_or(profile.limits().stop);
        let usual = match profile {
            Profile::Lite => Duration::from_secs(1),
            Profile::Classic => Duration::ZERO,
        };
        let supervisor = Supervisor {
            recipe,
            places,
            user,
            log,
            handle,
            profile,
            patience,
            pause: config.restart.unwrap_or(usual),
            status,
            errors: VecDeque::new(),
            installed: false,
        };
        Ok((Self { commands, status: watched, patience }, supervisor.serve(receiver)))
    }

    pub(super) fn status(&self) -> RunnerStatus {
        self.status.borrow().clone()
    }

    /// Starts it again whatever its state, as a deployment does: its errors are forgotten.
    pub(super) async fn start_again(&self) {
        let _ = self.commands.send(Command::Start).await;
    }

    /// Stops it and waits until it is gone.
    pub(super) async fn stop(&self) {
        let mut status = self.status.clone();
        if self.commands.send(Command::Stop).await.is_err() {
            return;
        }
        // Killing takes up to 5 s more.
        let gone = status.wait_for(|s| s.state == RunnerState::Stopped);
        let _ = tokio::time::timeout(self.patience + Duration::from_secs(6), gone).await;
    }
}

struct Supervisor {
    recipe: Recipe,
    places: Places,
    user: Option<User>,
    log: Arc<Log>,
    handle: NucleusHandle,
    profile: Profile,
    patience: Duration,
    pause: Duration,
    status: watch::Sender<RunnerStatus>,
    errors: VecDeque<Instant>,
    installed: bool,
}

/// How one start ended.
enum Ended {
    /// Exit 0, or what counts as such.
    Well,
    Badly,
    /// On command.
    Told(Command),
    /// The nucleus ends, and it is stopped.
    Over,
}

impl Supervisor {
    async fn serve(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let next = match self.once(&mut commands).await {
                Ended::Over => return,
                Ended::Told(command) => command,
                Ended::Well => {
                    self.state(RunnerState::Finished);
                    self.idle(&mut commands).await
                }
                Ended::Badly if self.too_many_errors() => {
                    tracing::warn!(component = self.recipe.name, "BROKEN: {MAX_ERRORS} errors in an hour");
                    self.state(RunnerState::Broken);
                    self.idle(&mut commands).await
                }
                Ended::Badly => {
                    self.state(RunnerState::Errored);
                    match tokio::time::timeout(self.pause, commands.recv()).await {
                        Err(_) => continue,
                        Ok(command) => command.unwrap_or(Command::Stop),
                    }
                }
            };
            if matches!(next, Command::Stop) {
                self.state(RunnerState::Stopped);
                if commands.is_closed() {
                    return;
                }
                self.idle(&mut commands).await;
            }
            if commands.is_closed() {
                return;
            }
            self.errors.clear();
        }
    }

    /// Waits to be started again.
    async fn idle(&mut self, commands: &mut mpsc::Receiver<Command>) -> Command {
        loop {
            match commands.recv().await {
                Some(Command::Stop) => self.state(RunnerState::Stopped),
                Some(command) => return command,
                None => return Command::Stop,
            }
        }
    }

    fn state(&self, state: RunnerState) {
        tracing::info!(component = self.recipe.name, ?state, "component");
        let errors = self.errors.len();
        self.status.send_modify(|status| {
            status.state = state;
            status.errors = errors;
            status.pid = status.pid.filter(|_| matches!(state, RunnerState::Running | RunnerState::Stopping));
        });
    }

    fn too_many_errors(&mut self) -> bool {
        let now = Instant::now();
        self.errors.push_back(now);
        while self.errors.front().is_some_and(|at| now.duration_since(*at) > ERROR_WINDOW) {
            self.errors.pop_front();
        }
        self.errors.len() >= MAX_ERRORS
    }

    /// One start, from its token to its end.
    async fn once(&mut self, commands: &mut mpsc::Receiver<Command>) -> Ended {
        self.state(RunnerState::Starting);
        let Some(token) = ipc::new_token() else {
            tracing::error!("no random numbers for a token");
            return Ended::Badly;
        };
        self.handle.shared.components.replace_tokens(&self.recipe.name, token);
        if !self.installed
            && let Some(step) = self.recipe.install.clone()
        {
            match self.step(&step, commands, false).await {
                Ended::Well => self.installed = true,
                other => return other,
            }
        }
        let run = self.recipe.run.clone();
        self.step(&run, commands, true).await
    }

    async fn step(&self, step: &recipe::Step, commands: &mut mpsc::Receiver<Command>, run: bool) -> Ended {
        let configuration = self.handle.config(&self.recipe.name).unwrap_or_default();
        let script = self.interpolate(&step.script, &configuration);
        let environment = self.environment(step, &configuration);
        let user = self.user.filter(|_| !step.privileged);
        let started = Process::start(&script, &environment, &self.places.work, user, &self.log);
        let mut process = match started {
            Ok(process) => process,
            Err(error) => {
                let text = format!("cannot start {script:.200}: {error}");
                self.log.write("nucleus", text.as_bytes());
                return Ended::Badly;
            }
        };
        let pid = process.id();
        self.status.send_modify(|status| {
            status.pid = pid;
            if run {
                status.starts += 1;
                status.state = RunnerState::Running;
            }
        });
        let overdue = async {
            match step.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let status = tokio::select! {
            status = process.wait() => status,
            () = overdue => {
                self.log.write("nucleus", b"the step takes too long");
                process.stop(self.patience).await;
                return Ended::Badly;
            }
            command = commands.recv() => {
                self.state(RunnerState::Stopping);
                let killed = process.stop(self.patience).await;
                let status = process.wait().await;
                self.ended(status.ok(), killed);
                return match command {
                    Some(command) => Ended::Told(command),
                    None => { self.state(RunnerState::Stopped); Ended::Over }
                };
            }
        };
        process.sweep();
        let status = status.ok();
        self.ended(status, false);
        let clean = match status {
            Some(status) if status.success() => true,
            // systemd takes these for a clean end: SIGHUP, SIGINT, SIGPIPE, SIGTERM.
            Some(status) => run && self.profile == Profile::Lite && matches!(status.signal(), Some(1 | 2 | 13 | 15)),
            None => false,
        };
        if clean { Ended::Well } else { Ended::Badly }
    }

    fn ended(&self, exit: Option<std::process::ExitStatus>, killed: bool) {
        self.status.send_modify(|status| {
            status.exit_code = exit.and_then(|exit| exit.code());
            status.signal = exit.and_then(|exit| exit.signal());
            status.killed = killed;
        });
    }

    fn interpolate(&self, text: &str, configuration: &Value) -> String {
        let thing = &self.handle.shared.thing_name;
        process::interpolate(text, &self.places, thing, configuration)
    }

    /// What the runtime gives the process.
    fn environment(&self, step: &recipe::Step, configuration: &Value) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let inherited: &[&str] = match self.profile {
            Profile::Lite => &["PATH"],
            Profile::Classic => &["PATH", "HOME", "LANG"],
        };
        for key in inherited {
            if let Ok(value) = std::env::var(key) {
                all.insert((*key).to_owned(), value);
            }
        }
        all.extend(self.handle.env(&self.recipe.name).into_iter().flatten());
        if self.profile == Profile::Lite {
            all.remove("GREENGRASS_COMPONENT_VERSION");
        }
        let root_ca = self.places.root.join("AmazonRootCA1.pem");
        all.insert("GG_ROOT_CA_PATH".into(), root_ca.display().to_string());
        for (key, value) in &step.environment {
            all.insert(key.clone(), self.interpolate(value, configuration));
        }
        all
    }
}
