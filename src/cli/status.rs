//! `printgate status`: the running gateway at a glance.

use super::Exit;
use super::ask::{self, Ask};
use super::table::{ago, bytes, plain, time};
use crate::console::api::{Cloud, OutboxTotals, Status};
use jiff::Timestamp;

/// Arguments of `printgate status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    ask: Ask,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    ask::answer(&args.ask, "/v1/status", |status| text(status, Timestamp::now())).await
}

fn text(status: &Status, now: Timestamp) -> String {
    let counts: Vec<String> = status.jobs.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let p = status.printers;
    let mut lines = vec![
        format!(
            "{}, printgate {}, {} since {} ({})",
            status.gateway,
            status.version,
            status.state,
            time(status.started_at),
            ago(status.started_at, now)
        ),
        format!("cloud     {}", cloud(&status.cloud, now)),
        format!("printers  {} known: {} online, {} offline, {} unknown", p.known, p.online, p.offline, p.unknown),
        format!("jobs      {}", if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }),
        format!("outbox    {}", outbox(&status.outbox, now)),
    ];
    if status.config.valid {
        lines.push("config    valid".to_owned());
    } else if status.state == "running" {
        lines.push("config    the deployed one is not valid; the last good one is in force:".to_owned());
        lines.extend(status.config.errors.iter().map(|error| format!("          {}", plain(error))));
    }
    lines.join("\n") + "\n"
}

/// The way to the cloud in one line.
pub(super) fn cloud(cloud: &Cloud, now: Timestamp) -> String {
    let heard = cloud.heard_at.map_or_else(|| "not heard yet".to_owned(), |at| format!("last heard {}", ago(at, now)));
    let linked = if cloud.linked { "linked" } else { "no link to the nucleus" };
    format!("{linked}, {heard}, {} of {} messages on their way", cloud.on_their_way, cloud.window)
}

/// What waits in one line.
pub(super) fn outbox(totals: &OutboxTotals, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if totals.depth > 0 {
        let oldest = totals.oldest.map(|at| format!(", the oldest from {}", ago(at, now))).unwrap_or_default();
        parts.push(format!("{} waiting ({}{oldest})", totals.depth, bytes(totals.bytes)));
    }
    if totals.shadows > 0 {
        parts.push(format!("{} shadows to update", totals.shadows));
    }
    if totals.wedged > 0 {
        parts.push(format!("{} set aside (see `printgate outbox`)", totals.wedged));
    }
    if totals.dropped > 0 {
        parts.push(format!("{} given up for want of room", totals.dropped));
    }
    if parts.is_empty() { "empty".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::api::{Config, PrinterCounts};

    #[test]
    fn a_glance_says_what_is_wrong() {
        let at = |s: i64| Timestamp::from_second(1_800_000_000 + s).unwrap();
        let mut status = Status {
            gateway: "gw1".into(),
            version: "0.1.0".into(),
            epoch: "e".into(),
            started_at: at(0),
            state: "running".into(),
            cloud: Cloud { linked: true, heard_at: Some(at(8)), window: 8, ..Cloud::default() },
            config: Config { valid: true, errors: vec![] },
            printers: PrinterCounts { known: 3, online: 2, offline: 1, unknown: 0 },
            jobs: [("completed".to_owned(), 2)].into(),
            outbox: OutboxTotals::default(),
        };
        assert_eq!(
            text(&status, at(10)),
            "gw1, printgate 0.1.0, running since 2027-01-15T08:00:00Z (10 s ago)\n\
             cloud     linked, last heard 2 s ago, 0 of 8 messages on their way\n\
             printers  3 known: 2 online, 1 offline, 0 unknown\n\
             jobs      2 completed\n\
             outbox    empty\n\
             config    valid\n"
        );
        status.config = Config { valid: false, errors: vec!["poll.idleSeconds: must be a whole number".into()] };
        status.outbox = OutboxTotals { depth: 4, bytes: 2_048, oldest: Some(at(0)), wedged: 1, ..status.outbox };
        let told = text(&status, at(10));
        assert!(told.contains("4 waiting (2 KiB, the oldest from 10 s ago), 1 set aside"), "{told}");
        assert!(told.ends_with("          poll.idleSeconds: must be a whole number\n"), "{told}");
    }
}
