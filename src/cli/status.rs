//! `printgate status`: the running gateway at a glance.

use super::Exit;
use super::ask::{self, Ask};
use super::table::{ago, bytes, plain, span, time};
use crate::console::api::{Discovery, OutboxTotals, Status, Sweep};
use crate::domain::outbox::Progress;
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
        format!(
            "printers  {} known: {} online, {} offline, {} unknown, {} waiting for approval",
            p.known, p.online, p.offline, p.unknown, p.pending
        ),
        format!("jobs      {}", if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }),
        format!("outbox    {}", outbox(&status.outbox, now)),
    ];
    if status.state == "running" {
        lines.extend(discovery(&status.discovery, now));
    }
    if status.config.valid {
        lines.push("config    valid".to_owned());
    } else if status.state == "running" {
        lines.push("config    the deployed one is not valid; the last good one is in force:".to_owned());
        lines.extend(status.config.errors.iter().map(|error| format!("          {}", plain(error))));
    }
    lines.join("\n") + "\n"
}

/// The search for printers, a line for each source.
fn discovery(search: &Discovery, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(mdns) = &search.mdns {
        let failure = mdns.failure.as_ref().map(|why| format!(" ({})", plain(why))).unwrap_or_default();
        let mut line = format!("mdns      {}{failure}, {} services", mdns.health, mdns.instances);
        let ignored: u64 = mdns.ignored.values().sum();
        if ignored > 0 {
            let by_reason: Vec<String> =
                mdns.ignored.iter().map(|(reason, count)| format!("{count} {}", plain(reason))).collect();
            line.push_str(&format!("; {ignored} announcements ignored: {}", by_reason.join(", ")));
        }
        if mdns.overflow > 0 {
            line.push_str(&format!("; {} left out, too many are announced", mdns.overflow));
        }
        lines.push(line);
    }
    if let Some(sweep) = &search.sweep {
        lines.push(format!("sweep     {}", swept(sweep, now)));
    }
    let mut parts = Vec::new();
    for (count, what) in [
        (search.listed, "listed by hand"),
        (search.quarantined, "being asked who they are"),
        (search.pending, "waiting for approval (`printgate printers --pending`)"),
        (search.put_away, "ignored or retired (`printgate printers --put-away`)"),
        (search.refused, "sightings refused"),
        (search.duplicates, "possible duplicates (`printgate printers --duplicates`)"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if !parts.is_empty() {
        lines.push(format!("found     {}", parts.join(", ")));
    }
    lines
}

/// The sweep in one line.
fn swept(sweep: &Sweep, now: Timestamp) -> String {
    let found = format!("{} agents, {} printers", sweep.answered, sweep.printers);
    let mut line = match (sweep.seconds_left, sweep.next) {
        (Some(left), _) => {
            let pass = format!("pass {} of {}", sweep.pass, sweep.passes.max(sweep.pass));
            format!("{pass}, {} of {} addresses, about {left} s left; {found}", sweep.asked, sweep.addresses)
        }
        (None, Some(next)) => {
            format!("{} addresses, {found}; next in {}", sweep.addresses, span(next.duration_since(now)))
        }
        (None, None) => "not begun".to_owned(),
    };
    if let Some(trouble) = &sweep.trouble {
        line.push_str(&format!(" ({})", plain(trouble)));
    }
    line
}

/// The way to the cloud in one line.
pub(super) fn cloud(cloud: &Progress, now: Timestamp) -> String {
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
    use crate::cloud::wire::{Configuration, PrinterCounts};
    use crate::console::api::Mdns;

    #[test]
    fn a_glance_says_what_is_wrong() {
        let at = |s: i64| Timestamp::from_second(1_800_000_000 + s).unwrap();
        let mut status = Status {
            gateway: "gw1".into(),
            version: "0.1.0".into(),
            epoch: "e".into(),
            started_at: at(0),
            state: "running".into(),
            cloud: Progress { linked: true, heard_at: Some(at(8)), window: 8, ..Progress::default() },
            config: Configuration { valid: true, errors: vec![] },
            printers: PrinterCounts { known: 3, online: 2, offline: 1, unknown: 0, pending: 0 },
            jobs: [("completed".to_owned(), 2)].into(),
            outbox: OutboxTotals::default(),
            discovery: Discovery {
                mdns: Some(Mdns { health: "searching".into(), instances: 9, ..Mdns::default() }),
                quarantined: 1,
                put_away: 2,
                ..Discovery::default()
            },
        };
        assert_eq!(
            text(&status, at(10)),
            "gw1, printgate 0.1.0, running since 2027-01-15T08:00:00Z (10 s ago)\n\
             cloud     linked, last heard 2 s ago, 0 of 8 messages on their way\n\
             printers  3 known: 2 online, 1 offline, 0 unknown, 0 waiting for approval\n\
             jobs      2 completed\n\
             outbox    empty\n\
             mdns      searching, 9 services\n\
             found     1 being asked who they are, 2 ignored or retired (`printgate printers --put-away`)\n\
             config    valid\n"
        );
        status.config = Configuration { valid: false, errors: vec!["poll.idleSeconds: must be a whole number".into()] };
        status.outbox = OutboxTotals { depth: 4, bytes: 2_048, oldest: Some(at(0)), wedged: 1, ..status.outbox };
        let told = text(&status, at(10));
        assert!(told.contains("4 waiting (2 KiB, the oldest from 10 s ago), 1 set aside"), "{told}");
        assert!(told.ends_with("          poll.idleSeconds: must be a whole number\n"), "{told}");
    }
}
