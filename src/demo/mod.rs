//! The demo: a whole office on this machine, and a story told in plain lines.
//!
//! ```text
//!  this process                                             its own process
//!  cloud (MQTT client) ── broker ── stand-in nucleus ──IPC── printgate run
//!  document server ◀───────────────https──────────────────────┤
//!  simulated printers ◀──mDNS, SNMP, IPP over TLS, AppSocket──┘
//! ```
//! The gateway is the real program, started as a nucleus starts it: with the nucleus's environment, `PATH` and `HOME`,
//! and nothing else. What is told was observed from outside it: messages an MQTT client received, what the nucleus was
//! told, files on disk. Everything listens on loopback, on ports the kernel chose; mDNS runs on a port of its own, so
//! neither other offices nor real printers are met.
//!
//! Steps, in order: `nucleus`, `office`, `gateway`, `printers`, `shadows`, `submit`, `printed`, `label`, `jam`,
//! `unjammed`, `cut`, `outage`, `restored`, `reconciled`, `cleared`, `drained`; then `explore` (unless it is to exit) and `end`. Each has a deadline.
//! The first that fails ends the story; what was waited for and the last lines of the gateway's log are shown.
//!
//! Invariant: whatever ends the demo (its end, a failed step, SIGINT, SIGTERM, SIGHUP, SIGQUIT, a closed output), the
//! gateway's process, the sockets and the directory are gone when it returns, unless the directory is to be kept. Only
//! SIGKILL leaves things behind.

mod cloud;
mod documents;
mod explore;
mod gateway;
mod old_devices;
mod place;
mod records;
mod story;
mod tell;

use crate::nucleus::Nucleus;
use crate::simulate::Office;
use cloud::Cloud;
use documents::Documents;
use gateway::Gateway;
use place::Place;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tell::Tell;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use place::PlaceError;

/// The gateway's thing name in the demo.
pub const THING: &str = "demo-gateway";
/// The printer that runs out of paper, by its name in the office.
const COLOUR: &str = "Colour";
/// Deadline of what a step waits for, on a machine however busy; most takes a fraction of it.
const DEADLINE: Duration = Duration::from_secs(30);
/// Lines of the gateway's log that a failure shows.
const LOG_LINES: usize = 20;
/// How long the gateway may take to end: less than the classic nucleus gives it.
const STOP: Duration = Duration::from_secs(4);
/// How long its last message may take to the cloud.
const FAREWELL: Duration = Duration::from_millis(500);

/// How to run the demo.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// End after the story instead of staying up.
    pub exit: bool,
    /// One JSON object a step instead of text.
    pub json: bool,
    /// Run in this directory and leave everything there.
    pub keep: Option<PathBuf>,
}

/// Why the demo could not begin.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No directory to work in.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// This program's own file cannot be found, or signals cannot be caught.
    #[error("{what}: {error}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system says.
        error: std::io::Error,
    },
}

/// A step that did not happen: what was waited for, or what went wrong.
#[derive(Debug)]
struct Unmet(String);

impl<E: std::error::Error> From<E> for Unmet {
    fn from(error: E) -> Self {
        Unmet(error.to_string())
    }
}

/// What has been started so far.
struct Stage {
    set: Set,
    /// This program's own file.
    program: PathBuf,
    gateway: Option<Gateway>,
}

/// All but the gateway: what runs in this process.
struct Set {
    place: Place,
    documents: Option<Documents>,
    nucleus: Option<Nucleus>,
    office: Option<Office>,
    cloud: Option<Cloud>,
}

/// Runs the demo; true when every step happened.
///
/// # Errors
/// [`DemoError`], before anything was started.
pub async fn run(options: Options) -> Result<bool, DemoError> {
    let system = |what| move |error| DemoError::System { what, error };
    // Before anything is made, so that no signal finds it half done.
    let mut signals = Signals::catch().map_err(system("cannot catch signals"))?;
    let program = std::env::current_exe().map_err(system("cannot find this program's own file"))?;
    let place = Place::make(options.keep.as_deref())?;
    let set = Set { place, documents: None, nucleus: None, office: None, cloud: None };
    let mut stage = Stage { set, program, gateway: None };
    let mut tell = Tell::new(options.json);

    let told = tokio::select! {
        // Ctrl-C reaches the gateway too: its end is then no failure.
        biased;
        name = signals.recv() => Err(Unmet(format!("{name} ended the demo"))),
        told = story::tell(&mut stage, &mut tell) => told,
    };
    let mut ok = match told {
        Ok(()) => true,
        Err(Unmet(reason)) => {
            tell.failed(&reason, &stage.log_tail());
            false
        }
    };
    if ok && !options.exit {
        ok = stay(&mut stage, &mut tell, &mut signals).await;
    }
    ok &= stage.clear(&mut tell).await;
    tell.over(ok);
    Ok(ok)
}

/// Stays up until a signal comes. False when the gateway ended by itself, or nobody reads any more.
async fn stay(stage: &mut Stage, tell: &mut Tell, signals: &mut Signals) -> bool {
    tell.begin("explore", "Ctrl-C");
    let (lines, detail) = explore::explore(stage);
    if tell.done(&lines, detail).is_err() {
        return false;
    }
    let ended = async {
        match &mut stage.gateway {
            Some(gateway) => gateway.ended().await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        biased;
        _ = signals.recv() => None,
        ended = ended => Some(ended),
    };
    let Some(ended) = ended else { return true };
    tell.begin("explore", "Ctrl-C");
    tell.failed(&format!("the gateway ended by itself: {ended}"), &stage.log_tail());
    false
}

impl Stage {
    fn log_tail(&self) -> Vec<String> {
        self.gateway.as_ref().map(|gateway| gateway.log_tail(LOG_LINES)).unwrap_or_default()
    }

    /// Ends everything, in the order of dependence, and tells so. False when the gateway did not end as it should, or
    /// something was left behind.
    async fn clear(mut self, tell: &mut Tell) -> bool {
        tell.begin("end", "the gateway's end");
        let stopped = match self.gateway.take() {
            Some(gateway) => Some(gateway.stop(STOP).await),
            None => None,
        };
        let mut farewell = false;
        if let Some(cloud) = self.set.cloud.take() {
            farewell = stopped.is_some() && records::heard_stopping(&cloud, FAREWELL).await;
            cloud.close().await;
        }
        if let Some(office) = self.set.office.take() {
            office.shutdown().await;
        }
        if let Some(nucleus) = self.set.nucleus.take() {
            nucleus.shutdown().await;
        }
        drop(self.set.documents.take());
        let kept = self.set.place.kept();
        let root = self.set.place.root().display().to_string();
        let removed = self.set.place.remove();

        let gateway_well = stopped.as_ref().is_none_or(gateway::Stopped::is_well);
        if let Err(error) = &removed {
            tell.failed(&format!("cannot remove {root}: {error}"), &[]);
            return false;
        }
        if !gateway_well {
            let how = stopped.map(|s| s.to_string()).unwrap_or_default();
            tell.failed(&format!("SIGTERM ends the gateway with exit code 0 within {} s; {how}", STOP.as_secs()), &[]);
            return false;
        }
        let rest = if kept { format!("Everything is kept in {root}") } else { format!("{root} is removed") };
        let seconds = stopped.as_ref().map(|s| s.after.as_secs_f64());
        let said = if farewell { "; the cloud heard it say `stopping`" } else { "" };
        let lines = match &stopped {
            Some(stopped) => vec![format!("SIGTERM to the gateway: {stopped}{said}. {rest}.")],
            None => vec![format!("{rest}.")],
        };
        let detail =
            json!({"gatewayStoppedSeconds": seconds, "saidStopping": farewell, "directory": root, "kept": kept});
        tell.done(&lines, detail).is_ok()
    }
}

/// The signals that end the demo.
struct Signals([(Signal, &'static str); 4]);

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self([
            (signal(SignalKind::interrupt())?, "SIGINT"),
            (signal(SignalKind::terminate())?, "SIGTERM"),
            (signal(SignalKind::hangup())?, "SIGHUP"),
            (signal(SignalKind::quit())?, "SIGQUIT"),
        ]))
    }

    /// The next one's name. Cancel-safe.
    async fn recv(&mut self) -> &'static str {
        let [a, b, c, d] = &mut self.0;
        tokio::select! {
            _ = a.0.recv() => a.1,
            _ = b.0.recv() => b.1,
            _ = c.0.recv() => c.1,
            _ = d.0.recv() => d.1,
        }
    }
}
