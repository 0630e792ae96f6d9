//! A script: orders at times, one a line.
//!
//! ```text
//! # Two minutes of an ordinary day. Times are counted from the start of the script.
//! at 10s Reception out-of-paper
//! at 25s Reception clear out-of-paper
//! at 1.5m "Colour 2" toner-level:black:3:60
//! at 500ms Labels power-off keep-queue
//! ```
//!
//! A line: `at`, a time (`ms`, `s` or `m`, with a decimal fraction), the name of a printer, an order (see `order`). Names
//! and words with white space stand in double quotes. Lines may stand in any order; those of one time are carried out in
//! the order of the lines. Empty lines and what begins with `#` say nothing.
//!
//! Everything that can be wrong is told before anything begins, with the numbers of the lines. An order that fails later
//! (a port was taken) is a warning in the log, and the script goes on. At most [`MAX_LINES`] lines.

use super::Inner;
use super::fault::Fault;
use super::order::{Order, words};
use super::spec::PrinterSpec;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Lines of a script.
const MAX_LINES: usize = 10_000;
/// Latest time in a script.
const MAX_TIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Orders at times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    at: Duration,
    printer: String,
    order: Order,
}

/// All that is wrong with a script: line numbers from 1, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptErrors(pub Vec<(usize, String)>);

impl fmt::Display for ScriptErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, error)) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}line {line}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ScriptErrors {}

impl Script {
    /// Reads a script for these printers.
    ///
    /// # Errors
    /// Every line that is wrong.
    pub fn parse(text: &str, printers: &[PrinterSpec]) -> Result<Script, ScriptErrors> {
        let (mut steps, mut errors) = (Vec::new(), Vec::new());
        for (line, number) in text.lines().zip(1..) {
            if number > MAX_LINES {
                errors.push((number, format!("a script has at most {MAX_LINES} lines")));
                break;
            }
            match step(line, printers) {
                Ok(step) => steps.extend(step),
                Err(error) => errors.push((number, error)),
            }
        }
        steps.sort_by_key(|step| step.at);
        if errors.is_empty() { Ok(Script(steps)) } else { Err(ScriptErrors(errors)) }
    }

    /// How many orders it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Carries it out.
    pub(super) async fn run(self, office: Arc<Inner>, stop: CancellationToken) {
        let begin = Instant::now();
        for Step { at, printer, order } in self.0 {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(begin + at) => {}
            }
            match office.order(&printer, order.clone()).await {
                Ok(_) => tracing::info!(%printer, %order, "script"),
                Err(error) => tracing::warn!(%printer, %order, %error, "script"),
            }
        }
    }
}

fn step(line: &str, printers: &[PrinterSpec]) -> Result<Option<Step>, String> {
    let words = words(line).ok_or("a quote is not closed")?;
    let (at, printer, order) = match words.as_slice() {
        [] => return Ok(None),
        [first, ..] if first.starts_with('#') => return Ok(None),
        [first, at, printer, order @ ..] if first == "at" && !order.is_empty() => (at, printer, order),
        _ => return Err("write: at TIME PRINTER ORDER".to_owned()),
    };
    let at = time(at).ok_or_else(|| format!("`{at}` is no time: write 500ms, 10s or 1.5m, at most a week"))?;
    let order = Order::from_words(order).map_err(|error| error.to_string())?;
    check(printers, printer, &order)?;
    Ok(Some(Step { at, printer: printer.clone(), order }))
}

/// Whether the printers are there and can have what is ordered.
fn check(printers: &[PrinterSpec], printer: &str, order: &Order) -> Result<(), String> {
    let find = |name: &str| {
        let missing = || super::SimulateError::NoSuchPrinter(name.to_owned()).to_string();
        printers.iter().find(|spec| spec.name == name).ok_or_else(missing)
    };
    let spec = find(printer)?;
    match order {
        Order::Set(fault) => {
            if let Fault::CloneOf(other) | Fault::CloneUuidOf(other) = fault {
                find(other)?;
            }
            fault.fits(spec.profile).map_err(|why| format!("`{printer}` cannot have `{fault}`: {why}"))
        }
        Order::Swap(other) => find(other).map(drop),
        Order::ReplaceCertificate(_) if !spec.tls => Err(format!("`{printer}` speaks no TLS")),
        _ => Ok(()),
    }
}

fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = number.parse().ok().filter(|_| plain)?;
    Duration::try_from_secs_f64(number * seconds).ok().filter(|time| *time <= MAX_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::default_printers;

    #[test]
    fn lines_are_read_and_ordered() {
        let text = "# a day\n\nat 25s Reception clear out-of-paper\nat 10s Reception out-of-paper\n\
                    at 1.5m \"Colour\" firmware:\"V 2\"\n  at 500ms Labels power-off keep-queue silent  \n";
        let script = Script::parse(text, &default_printers(3)).unwrap();
        let steps: Vec<String> =
            script.0.iter().map(|step| format!("{:?} {} {}", step.at, step.printer, step.order)).collect();
        assert_eq!(
            steps,
            [
                "500ms Labels power-off keep-queue silent",
                "10s Reception out-of-paper",
                "25s Reception clear out-of-paper",
                "90s Colour \"firmware:V 2\"",
            ]
        );
    }

    #[test]
    fn all_errors_are_told_with_their_lines() {
        let text = "at 10s Reception out-of-paper\nat ten Reception jam\nat 1s Nobody jam\nat 1s Reception\n\
                    at 1s Reception explode\nat 1s Reception waste-full\nat 1s Reception swap Nobody\n\
                    at 1s \"Reception jam\nat 1s Reception clone-of:Nobody\nat 1s Reception replace-certificate\n\
                    at 999h Reception jam\nat 1..5s Reception jam";
        let errors = Script::parse(text, &default_printers(3)).unwrap_err();
        let lines: Vec<usize> = errors.0.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, (2..=12).collect::<Vec<_>>(), "{errors}");
        let text = errors.to_string();
        for part in ["`ten` is no time", "no printer is called `Nobody`", "line 4: write: at", "`explode` is no order"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("line 6: `Reception` cannot have `waste-full`: it has no waste box"), "{text}");
    }
}
