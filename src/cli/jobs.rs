//! `printgate jobs [ID]`: the job book of the running gateway.

use super::Exit;
use super::ask::{self, Ask};
use super::table::{Table, ago, bytes, or_dash, plain, time};
use crate::console::api::{Job, JobDetail};
use crate::console::client::escape;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Arguments of `printgate jobs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Everything about one job.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Only jobs of this printer, by id or name.
    #[arg(long, conflicts_with = "id")]
    printer: Option<String>,
    /// Only jobs in this state.
    #[arg(long, conflicts_with = "id")]
    state: Option<String>,
    /// At most so many, newest first.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000), conflicts_with = "id")]
    limit: u16,
    #[command(flatten)]
    ask: Ask,
}

/// The answer's form.
#[derive(Debug, Serialize, Deserialize)]
struct All {
    jobs: Vec<Job>,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let now = Timestamp::now();
    if let Some(id) = &args.id {
        return ask::answer(&args.ask, &format!("/v1/jobs/{}", escape(id)), |one| detail(one, now)).await;
    }
    let mut path = format!("/v1/jobs?limit={}", args.limit);
    for (key, value) in [("printer", &args.printer), ("state", &args.state)] {
        if let Some(value) = value {
            path.push_str(&format!("&{key}={}", escape(value)));
        }
    }
    ask::answer(
        &args.ask,
        &path,
        |all: &All| {
            if all.jobs.is_empty() { "no jobs\n".to_owned() } else { list(&all.jobs, now) }
        },
    )
    .await
}

/// Jobs as a table.
pub(super) fn list(jobs: &[Job], now: Timestamp) -> String {
    let mut table = Table::new(&["JOB", "PRINTER", "STATE", "CHANGED", "PAGES", "TITLE", "DETAIL"]);
    for job in jobs {
        let state = if job.held { format!("{} (held)", job.state) } else { job.state.clone() };
        table.row([
            job.id.clone(),
            job.printer.clone(),
            state,
            ago(job.updated_at, now),
            pages(job),
            or_dash(job.title.clone()),
            why(job),
        ]);
    }
    table.render()
}

/// The best page count there is, with its source.
fn pages(job: &Job) -> String {
    let count = ["reported", "counted", "requested"]
        .into_iter()
        .find_map(|source| Some(format!("{} {source}", job.pages.get(source)?.as_u64()?)));
    or_dash(count)
}

fn why(job: &Job) -> String {
    let error = job.error.as_ref().and_then(|error| error.get("message")?.as_str());
    let text = error.map(str::to_owned).or_else(|| job.detail.clone()).unwrap_or_else(|| job.reasons.join(", "));
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn detail(one: &JobDetail, now: Timestamp) -> String {
    let job = &one.job;
    let mut lines = vec![format!("{}  {}{}", plain(&job.id), job.state, if job.held { " (held)" } else { "" })];
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push(format!("{key:<10} {}", plain(&value)));
        }
    };
    line("printer", Some(job.printer.clone()));
    line("title", job.title.clone());
    line("user", job.user.clone());
    line("detail", job.detail.clone());
    line("reasons", Some(job.reasons.join(", ")));
    if let Some(error) = &job.error {
        let text = |key: &str| error.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let field = error.get("field").and_then(|f| f.as_str()).map(|f| format!(" ({f})")).unwrap_or_default();
        line("error", Some(format!("{}{field}: {}", text("code"), text("message"))));
    }
    line("pages", Some(pages(job)).filter(|pages| pages != "-"));
    line("document", job.bytes.map(bytes));
    line("attempt", Some(job.attempt).filter(|n| *n > 0).map(|n| n.to_string()));
    line("at printer", job.printer_job_id.map(|id| format!("job-id {id}")));
    line("accepted", Some(format!("{} ({})", time(job.accepted_at), ago(job.accepted_at, now))));
    line("not after", Some(time(job.expires_at)));
    let mut table = Table::new(&["SEQ", "AT", "STATE", "DETAIL"]);
    for step in &one.history {
        table.row([step.seq.to_string(), step.at.clone(), step.state.clone(), or_dash(step.detail.clone())]);
    }
    lines.join("\n") + "\n\n" + &table.render()
}
