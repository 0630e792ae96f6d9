//! A script of faults with times: what happens to a nucleus, and when.
//!
//! ```text
//! # comment
//! at 10s    {"link": "cut"}
//! at 70s    {"link": "restore"}
//! at 1500ms {"fault": "slow", "ms": 300}
//! at 2m     {"broker": "kill", "downMs": 1000}
//! ```
//! The times count from the start, as `ms`, `s` or `m` with an optional fraction; the requests are those of the control
//! socket. Lines are done in order of time, those of one time in order of the file, and each when the one before is
//! done. A file has at most 10,000 lines and lasts at most 7 days.

use super::{NucleusHandle, control};
use serde_json::Value;
use std::time::Duration;

const MAX_LINES: usize = 10_000;
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// A script, checked as far as that is possible without a nucleus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    lines: Vec<(Duration, String)>,
}

/// What is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A line is not understood.
    #[error("line {line}: {reason}; want `at 10s {{\"fault\": \"slow\", \"ms\": 300}}`")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There are too many.
    #[error("a script has at most {MAX_LINES} lines")]
    TooLong,
}

impl Script {
    /// Reads a script's text.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut lines = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if number >= MAX_LINES {
                return Err(ScriptError::TooLong);
            }
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                lines.push(parse(line).map_err(|reason| ScriptError::Line { line: number + 1, reason })?);
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        Ok(Self { lines })
    }

    /// Does what it says; ends with its last line. What fails is logged, and the rest goes on.
    pub async fn play(&self, handle: &NucleusHandle) {
        let start = tokio::time::Instant::now();
        for (at, request) in &self.lines {
            tokio::time::sleep_until(start + *at).await;
            match control::obey(request.as_bytes(), handle).await {
                Ok(_) => tracing::info!(at_ms = at.as_millis() as u64, request, "script"),
                Err(error) => tracing::error!(at_ms = at.as_millis() as u64, request, error, "script"),
            }
        }
    }
}

fn parse(line: &str) -> Result<(Duration, String), String> {
    let rest = line.strip_prefix("at ").ok_or("it does not begin with `at`")?.trim_start();
    let (time, request) = rest.split_once(char::is_whitespace).ok_or("there is no request")?;
    let (number, unit) = time.split_at(time.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(time.len()));
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("`{time:.40}` has no unit: ms, s or m")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{time:.40}` is no time"))?;
    let at = Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("`{time:.40}` is no time"))?;
    if at > LONGEST {
        return Err(format!("`{time:.40}` is later than 7 days"));
    }
    match serde_json::from_str(request.trim()) {
        Ok(Value::Object(_)) => Ok((at, request.trim().to_owned())),
        Ok(_) => Err("the request is no JSON object".into()),
        Err(error) => Err(format!("the request is no JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_have_units_and_the_order_is_theirs() {
        let script =
            Script::parse("# c\n\nat 2s {\"b\":1}\nat 1500ms {\"a\":1}\n at 0.5m   {\"c\":1}  \nat 2s {\"d\":1}")
                .unwrap();
        let lines: Vec<_> = script.lines.iter().map(|(at, text)| (at.as_millis(), text.as_str())).collect();
        assert_eq!(lines, [(1500, "{\"a\":1}"), (2000, "{\"b\":1}"), (2000, "{\"d\":1}"), (30_000, "{\"c\":1}")]);
    }

    #[test]
    fn the_line_that_is_wrong_is_named() {
        for bad in
            ["in 2s {}", "at 2s", "at 2 {}", "at -1s {}", "at xs {}", "at 1h {}", "at 2s []", "at 2s {", "at 99999m {}"]
        {
            let error = Script::parse(&format!("at 1s {{}}\n{bad}")).unwrap_err();
            assert!(matches!(error, ScriptError::Line { line: 2, .. }), "{bad}: {error}");
        }
        assert_eq!(Script::parse(&"\n".repeat(10_001)), Err(ScriptError::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(at |[0-9.]{0,4}|ms|s|m| |\\{|\\}|\\PC){0,30}") {
            let _ = Script::parse(&text);
        }
    }
}
