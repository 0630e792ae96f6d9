//! `printgate printers [ID]`: the printers that the running gateway knows, and why it takes them for who they are.

use super::Exit;
use super::ask::{self, Ask};
use super::jobs;
use super::table::{Table, ago, or_dash, plain, time};
use crate::console::api::{AllPutAway, Duplicates, Printer, PrinterDetail, Why};
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
    /// Only those that wait for approval.
    #[arg(long, conflicts_with = "id")]
    pending: bool,
    /// Those that the configuration ignores or retired.
    #[arg(long, conflicts_with_all = ["id", "pending", "duplicates"])]
    put_away: bool,
    /// Pairs of printers that may be one, and what speaks for it.
    #[arg(long, conflicts_with_all = ["id", "pending"])]
    duplicates: bool,
    /// Why all that was seen of this printer is taken for this printer.
    #[arg(long, requires = "id")]
    why: bool,
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
        None if args.duplicates => ask::answer(&args.ask, "/v1/duplicates", duplicates).await,
        None if args.put_away => ask::answer(&args.ask, "/v1/put-away", put_away).await,
        None => {
            let path = if args.pending { "/v1/printers?standing=pending" } else { "/v1/printers" };
            ask::answer(&args.ask, path, |all: &All| list(&all.printers, args.pending, now)).await
        }
        Some(id) if args.why => {
            let path = format!("/v1/printers/{}/why", escape(id));
            ask::answer(&args.ask, &path, |one: &Why| why(one, now)).await
        }
        Some(id) => ask::answer(&args.ask, &format!("/v1/printers/{}", escape(id)), |one| detail(one, now)).await,
    }
}

fn list(printers: &[Printer], pending: bool, now: Timestamp) -> String {
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
    match table.is_empty() {
        true if pending => "no printer waits for approval\n".to_owned(),
        true => "no printers known yet\n".to_owned(),
        false => table.render(),
    }
}

fn put_away(all: &AllPutAway) -> String {
    let mut table = Table::new(&["ID", "WHY", "NAME", "DEVICE", "SERIAL", "ADDRESS"]);
    for one in &all.put_away {
        table.row([
            one.id.clone(),
            one.why.clone(),
            or_dash(Some(&one.name).filter(|name| !name.is_empty())),
            or_dash(Some(&one.make_and_model).filter(|device| !device.is_empty())),
            or_dash(one.serial.as_ref()),
            or_dash(one.addresses.first()),
        ]);
    }
    if table.is_empty() { "no printer is ignored or retired\n".to_owned() } else { table.render() }
}

fn duplicates(all: &Duplicates) -> String {
    let mut table = Table::new(&["PRINTER", "MAY BE", "BECAUSE", "VALUE"]);
    for pair in &all.duplicates {
        table.row([pair.a.to_string(), pair.b.to_string(), pair.because.to_string(), pair.value.clone()]);
    }
    if table.is_empty() {
        return "no two printers look like one\n".to_owned();
    }
    let help = "They are one: \"printers\": {\"merge\": [[ID, ID]]} in the configuration; the first id stays.\n";
    table.render() + help
}

fn why(one: &Why, now: Timestamp) -> String {
    let mut text = format!("{}  {} ({})\n\n", one.id, plain(&one.name), one.standing);
    let mut joins = Table::new(&["WHAT", "BECAUSE", "VALUE", "WHEN"]);
    for join in &one.joins {
        joins.row([join.what.clone(), join.because.to_string(), join.value.clone(), time(join.at)]);
    }
    if one.standing == "ignored" || one.standing == "retired" {
        let key = if one.standing == "retired" { "printers.retired" } else { "printers.ignore" };
        text.push_str(&format!("{key} in the configuration names it: it is not asked, and prints nothing\n"));
    } else if joins.is_empty() {
        text.push_str("nothing is stored of why; it will be with the next change\n");
    } else {
        text.push_str(&joins.render());
    }
    text.push('\n');
    for (key, values) in [
        ("ids", &one.known.ids),
        ("serials", &one.known.serials),
        ("uuids", &one.known.uuids),
        ("macs", &one.known.macs),
        ("hosts", &one.known.hosts),
        ("addresses", &one.known.addresses),
    ] {
        if !values.is_empty() {
            text.push_str(&format!("{key:<13} {}\n", plain(&values.join(", "))));
        }
    }
    let mut places = Table::new(&["ENDPOINT", "SOURCE", "ADDRESSES", "SEEN"]);
    for place in &one.places {
        let seen = if place.lost { "not announced any more".to_owned() } else { ago(place.last_seen, now) };
        places.row([place.uri.clone(), place.source.clone(), place.addresses.join(", "), seen]);
    }
    if !places.is_empty() {
        text.push('\n');
        text.push_str(&places.render());
    }
    for pair in &one.duplicates {
        let other = if pair.a.as_str() == one.id { &pair.b } else { &pair.a };
        text.push_str(&format!("may be {other}: {} {}\n", pair.because, plain(&pair.value)));
    }
    text
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
    line("standing", (p.standing == "pending").then(|| "waits for approval".to_owned()));
    line("location", p.location.clone());
    line("serial", one.serial.clone());
    line("uuid", one.uuid.clone());
    line("mac", Some(one.macs.join(", ")));
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn what_joined_a_printer_is_told_with_everything_it_is_known_by() {
        let one: Why = serde_json::from_value(json!({
            "id": "hp-a", "name": "Laser", "standing": "adopted",
            "joins": [{"what": "Laser._ipp._tcp.local.", "because": "first", "value": "", "at": at(0)},
                      {"what": "snmp:10.0.0.7", "because": "serial", "value": "CN1", "at": at(60)}],
            "known": {"ids": ["hp-a", "hp-b"], "serials": ["CN1"], "addresses": ["10.0.0.7"]},
            "places": [{"key": "snmp:10.0.0.7", "source": "snmp", "uri": "snmp://10.0.0.7", "host": "10.0.0.7",
                        "addresses": ["10.0.0.7"], "lastSeen": at(60), "lost": false}],
            "duplicates": [{"a": "hp-a", "b": "hp-c", "because": "name-and-model", "value": "laser"}],
        }))
        .unwrap();
        assert_eq!(
            why(&one, at(90)),
            "hp-a  Laser (adopted)\n\n\
             WHAT                    BECAUSE        VALUE  WHEN\n\
             Laser._ipp._tcp.local.  first seen            2027-01-15T08:00:00Z\n\
             snmp:10.0.0.7           serial number  CN1    2027-01-15T08:01:00Z\n\n\
             ids           hp-a, hp-b\n\
             serials       CN1\n\
             addresses     10.0.0.7\n\n\
             ENDPOINT         SOURCE  ADDRESSES  SEEN\n\
             snmp://10.0.0.7  snmp    10.0.0.7   30 s ago\n\
             may be hp-c: same name and model laser\n"
        );
    }

    #[test]
    fn possible_duplicates_come_with_what_to_do() {
        let pair = json!({"a": "hp-a", "b": "hp-c", "because": "host", "value": "laser.local"});
        let all: Duplicates = serde_json::from_value(json!({ "duplicates": [pair] })).unwrap();
        let text = duplicates(&all);
        assert!(text.contains("hp-a     hp-c    same host  laser.local") && text.contains("\"merge\""), "{text}");
        assert_eq!(duplicates(&Duplicates::default()), "no two printers look like one\n");
        let away: AllPutAway = serde_json::from_value(json!({"putAway": [
            {"id": "hp-a", "why": "ignored", "name": "Laser", "addresses": ["10.0.0.7", "fe80::1"]},
            {"id": "hp-b", "why": "retired"}]}))
        .unwrap();
        let lines = "hp-a  ignored  Laser  -       -       10.0.0.7\nhp-b  retired  -      -       -       -\n";
        assert!(put_away(&away).ends_with(lines), "{}", put_away(&away));
        assert_eq!(list(&[], true, at(0)), "no printer waits for approval\n");
    }
}
