//! `printgate events`: what happened to the printers, newest first.

use super::Exit;
use super::ask::{self, Ask};
use super::table::{Table, or_dash};
use crate::console::client::escape;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Arguments of `printgate events`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only events of this printer, by id or name.
    #[arg(long)]
    printer: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    ask: Ask,
}

/// The answer's form.
#[derive(Debug, Serialize, Deserialize)]
struct All {
    events: Vec<Value>,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let mut path = format!("/v1/events?limit={}", args.limit);
    if let Some(printer) = &args.printer {
        path.push_str(&format!("&printer={}", escape(printer)));
    }
    ask::answer(&args.ask, &path, |all: &All| text(&all.events)).await
}

fn text(events: &[Value]) -> String {
    let mut table = Table::new(&["AT", "PRINTER", "TYPE", "CODE", "RAISED", "MESSAGE"]);
    for event in events {
        let text = |key: &str| or_dash(event.get(key).and_then(Value::as_str));
        let raised = match event.get("raised").and_then(Value::as_bool) {
            Some(true) => "raised",
            Some(false) => "cleared",
            None => "-",
        };
        table.row([text("at"), text("printer"), text("type"), text("code"), raised.to_owned(), text("message")]);
    }
    if table.is_empty() { "no events\n".to_owned() } else { table.render() }
}
