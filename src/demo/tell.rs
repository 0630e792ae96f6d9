//! How the story is told: text for people, or one JSON object a line.
//!
//! ```text
//! {"step":"nucleus","ok":true,"seconds":0.21,"detail":{…}}     one per step; seconds: how long the step took
//! {"ok":true,"seconds":14.2}                                   the last line
//! ```
//! A step that failed has `"ok":false` and `detail.waitedFor`, `detail.log`. Text goes to standard output, a failure to
//! standard error; what is being waited for is shown on standard error while it lasts, if that is a terminal.

use serde_json::{Value, json};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

/// Column at which continued lines begin.
const INDENT: &str = "           ";

/// Tells the story.
pub(super) struct Tell {
    json: bool,
    progress: bool,
    begun: Instant,
    step: &'static str,
    step_begun: Instant,
}

impl Tell {
    pub(super) fn new(json: bool) -> Self {
        let progress = !json && io::stderr().is_terminal();
        Self { json, progress, begun: Instant::now(), step: "start", step_begun: Instant::now() }
    }

    /// A step begins: `waiting` says what it waits for.
    pub(super) fn begin(&mut self, step: &'static str, waiting: &str) {
        self.step = step;
        self.step_begun = Instant::now();
        if self.progress {
            let _ = write!(io::stderr(), "\r\x1b[K… waiting for {waiting}");
        }
    }

    /// The step happened.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub(super) fn done(&mut self, lines: &[String], detail: Value) -> io::Result<()> {
        self.wipe();
        let mut out = io::stdout().lock();
        if self.json {
            let seconds = rounded(self.step_begun);
            writeln!(out, "{}", json!({"step": self.step, "ok": true, "seconds": seconds, "detail": detail}))?;
        } else {
            let mut lines = lines.iter();
            if let Some(first) = lines.next() {
                writeln!(out, "[{:6.1} s] {first}", self.begun.elapsed().as_secs_f64())?;
            }
            for line in lines {
                writeln!(out, "{INDENT}{line}")?;
            }
        }
        out.flush()
    }

    /// The step did not happen.
    pub(super) fn failed(&mut self, reason: &str, log: &[String]) {
        self.wipe();
        let seconds = rounded(self.step_begun);
        // Whoever does not read any more need not be told.
        if self.json {
            let detail = json!({"waitedFor": reason, "log": log});
            let line = json!({"step": self.step, "ok": false, "seconds": seconds, "detail": detail});
            let _ = writeln!(io::stdout(), "{line}");
            return;
        }
        let mut error = io::stderr().lock();
        let _ = writeln!(error, "printgate demo: step `{}` did not happen ({seconds} s): {reason}", self.step);
        if !log.is_empty() {
            let _ = writeln!(error, "The last lines of the gateway's log:");
        }
        for line in log {
            let _ = writeln!(error, "  {line}");
        }
    }

    /// The last word.
    pub(super) fn over(&mut self, ok: bool) {
        self.wipe();
        if self.json {
            let _ = writeln!(io::stdout(), "{}", json!({"ok": ok, "seconds": rounded(self.begun)}));
        }
    }

    fn wipe(&self) {
        if self.progress {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn rounded(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
}
