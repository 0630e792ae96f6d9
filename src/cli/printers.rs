//! `printgate printers [ID]`: the printers that the running gateway knows.

use super::Exit;
use super::ask::{self, Ask};
use super::jobs;
use super::table::{Table, ago, or_dash, plain, time};
use crate::console::api::{Printer, PrinterDetail};
use crate::console::client::escape;
use crate::domain::state::Level;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Arguments of `printgate printers`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Everything about one printer: its id, an id that was merged into it, or its name.
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    ask: Ask,
}

/// The answer's form.
#[derive(Debug, Serialize, Deserialize)]
struct All {
    printers: Vec<Printer>,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let now = Timestamp::now();
    match &args.id {
        None => ask::answer(&args.ask, "/v1/printers", |all: &All| list(&all.printers, now)).await,
        Some(id) => ask::answer(&args.ask, &format!("/v1/printers/{}", escape(id)), |one| detail(one, now)).await,
    }
}

fn list(printers: &[Printer], now: Timestamp) -> String {
    let mut table = Table::new(&["ID", "NAME", "STATUS", "ERROR", "LOCATION", "URI", "SEEN"]);
    for p in printers {
        table.row([
            p.id.clone(),
            p.name.clone(),
            p.status.clone(),
            p.error_code.clone(),
            or_dash(p.location.clone()),
            or_dash(p.endpoints.first().map(|e| e.uri.clone())),
            or_dash(p.observed_at.map(|at| ago(at, now))),
        ]);
    }
    if table.is_empty() { "no printers known yet\n".to_owned() } else { table.render() }
}

fn detail(one: &PrinterDetail, now: Timestamp) -> String {
    let p = &one.printer;
    let mut lines = vec![format!("{}  {}", p.id, plain(&p.name))];
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push(format!("{key:<13} {}", plain(&value)));
        }
    };
    line("device", Some(p.make_and_model.clone()));
    line("location", p.location.clone());
    line("serial", one.serial.clone());
    line("uuid", one.uuid.clone());
    line("mac", one.mac.clone());
    line("firmware", one.firmware.clone());
    let seen = p.observed_at.map_or_else(|| "never observed".to_owned(), |at| format!("observed {}", ago(at, now)));
    line("status", Some(format!("{} ({}), {seen}", p.status, p.error_code)));
    line("reasons", Some(p.reasons.join(", ")));
    line("paper", Some(one.paper_status.clone()));
    for e in &p.endpoints {
        let pin = e.pin.as_deref().map(|pin| format!(", certificate {}…", pin.get(..16).unwrap_or(pin)));
        line(&e.kind, Some(format!("{} ({}){}", e.uri, e.addresses.join(", "), pin.unwrap_or_default())));
    }
    for s in &one.supplies {
        let level = match s.level {
            Level::Known(percent) => format!("{percent} %"),
            Level::SomeRemaining => "some remaining".to_owned(),
            Level::Unknown => "unknown".to_owned(),
        };
        line("supply", Some(format!("{}: {level}", s.description)));
    }
    for t in &one.trays {
        let level = match t.level {
            Level::Known(percent) => format!("{percent} %"),
            Level::SomeRemaining => "some remaining".to_owned(),
            Level::Unknown => "unknown".to_owned(),
        };
        line("tray", Some(format!("{}: {} ({level})", t.name, or_dash(t.media.clone()))));
    }
    line("impressions", one.counters.impressions.map(|n| n.to_string()));
    line("formats", Some(one.formats.join(", ")));
    line("also called", Some(p.aliases.join(", ")));
    line("known since", one.first_seen.map(time));
    let mut text = lines.join("\n") + "\n";
    if !one.jobs.is_empty() {
        text.push_str("\nlatest jobs\n");
        text.push_str(&jobs::list(&one.jobs, now));
    }
    text
}
