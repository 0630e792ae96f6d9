//! `printgate discover`: one look around for printers, a table or JSON.
//!
//! Only listens to what printers announce over multicast DNS; connects to none of them.

use super::Exit;
use crate::discovery::mdns::{Health, Mdns, MdnsOptions};
use crate::discovery::{local_networks, loopback_networks};
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::net::PrinterPolicy;
use crate::domain::sighting::{DiscoveryEvent, Sighting};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Arguments of `printgate discover`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// How long to look, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Look on loopback interfaces too: simulated printers, printers on USB.
    #[arg(long)]
    loopback: bool,
    /// The UDP port of multicast DNS.
    #[arg(long, value_name = "PORT", default_value_t = crate::discovery::mdns::MDNS_PORT, hide = true)]
    mdns_port: u16,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    super::start_logging("error", false);
    let mut allowed = local_networks();
    if args.loopback {
        allowed.extend(loopback_networks());
    }
    let mut options = MdnsOptions::new(PrinterPolicy { allowed });
    options.loopback = args.loopback;
    options.port = args.mdns_port;
    // Changes within one look belong to it.
    options.settle = Duration::from_millis(100);

    let progress = std::io::stderr().is_terminal();
    if progress {
        eprintln!("looking for printers for {} s …", args.timeout);
    }
    let (sightings, health) = look(options, Duration::from_secs(args.timeout), progress).await;
    if let Health::Failed(reason) = health {
        anyhow::bail!("cannot look for printers: mDNS did not start: {reason}");
    }
    let printers = group(sightings);
    let text = if args.json { json(&printers)? } else { table(&printers) };
    // A closed pipe (`| head`) is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(Exit::Done)
}

/// Collects what is announced for a while.
async fn look(options: MdnsOptions, duration: Duration, progress: bool) -> (Vec<Sighting>, Health) {
    let (sender, mut events) = mpsc::channel(64);
    let mdns = Mdns::new(options);
    let health = mdns.health();
    let deadline = Instant::now() + duration;
    let search = tokio::spawn(mdns.run(sender));
    let mut seen = BTreeMap::new();
    while let Ok(Some(event)) = timeout_at(deadline, events.recv()).await {
        match event {
            DiscoveryEvent::Found(sighting) => {
                if progress && !seen.contains_key(&sighting.key) {
                    eprintln!("  {}", sighting.name);
                }
                seen.insert(sighting.key.clone(), *sighting);
            }
            DiscoveryEvent::Lost { key } | DiscoveryEvent::Withdrawn { key } => {
                seen.remove(&key);
            }
        }
    }
    let health = health.borrow().clone();
    drop(events);
    // Ends at once: nobody listens any more. The engine says goodbye on its way out.
    let _ = search.await;
    (seen.into_values().collect(), health)
}

/// One printer as announced: the services of one name on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Printer {
    name: String,
    make: Option<String>,
    model: Option<String>,
    address: Option<IpAddr>,
    uri: String,
    uuid: Option<String>,
    location: Option<String>,
    host: String,
    formats: Vec<String>,
    endpoints: Vec<Way>,
}

/// One way to print to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Way {
    kind: EndpointKind,
    uri: String,
    addresses: Vec<IpAddr>,
    port: u16,
    priority: u8,
}

/// Groups services by instance name and host, IPPS before IPP.
fn group(mut sightings: Vec<Sighting>) -> Vec<Printer> {
    sightings.sort_by(|a, b| (&a.name, &a.host, a.endpoint.kind).cmp(&(&b.name, &b.host, b.endpoint.kind)));
    let mut printers: Vec<Printer> = Vec::new();
    for seen in sightings {
        let Endpoint { kind, ref addresses, port, .. } = seen.endpoint;
        let uri = seen.endpoint.uri();
        let way = Way { kind, uri: uri.clone(), addresses: addresses.clone(), port, priority: seen.priority };
        match printers.last_mut() {
            Some(printer) if printer.name == seen.name && printer.host == seen.host => {
                let evidence = seen.evidence;
                printer.make = printer.make.take().or(evidence.make);
                printer.model = printer.model.take().or(evidence.model);
                printer.uuid = printer.uuid.take().or(evidence.uuid);
                printer.location = printer.location.take().or(seen.location);
                printer.endpoints.push(way);
            }
            _ => printers.push(Printer {
                name: seen.name,
                make: seen.evidence.make,
                model: seen.evidence.model,
                address: addresses.first().copied(),
                uri,
                uuid: seen.evidence.uuid,
                location: seen.location,
                host: seen.host,
                formats: seen.formats,
                endpoints: vec![way],
            }),
        }
    }
    printers
}

fn json(printers: &[Printer]) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&serde_json::json!({ "printers": printers }))? + "\n")
}

fn table(printers: &[Printer]) -> String {
    if printers.is_empty() {
        return "no printers found\n".into();
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    let mut rows = vec![["NAME", "MAKE", "MODEL", "ADDRESS", "URI", "UUID"].map(String::from)];
    rows.extend(printers.iter().map(|printer| {
        let address = printer.address.map_or_else(|| "-".into(), |address| address.to_string());
        let (make, model, uuid) = (text(&printer.make), text(&printer.model), text(&printer.uuid));
        [printer.name.clone(), make, model, address, printer.uri.clone(), uuid]
    }));
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sighting::Evidence;

    fn seen(name: &str, kind: EndpointKind, uuid: Option<&str>) -> Sighting {
        let addresses = vec!["10.0.0.9".parse().unwrap()];
        let host = "p.local".to_owned();
        let endpoint =
            Endpoint { kind, host: host.clone(), addresses, scope_id: 0, port: 631, path: "/ipp/print".into() };
        let evidence = Evidence { make: Some("Acme".into()), uuid: uuid.map(String::from), ..Evidence::default() };
        let key = format!("{name}.{kind:?}");
        Sighting { key, name: name.into(), host, endpoint, priority: 50, evidence, location: None, formats: vec![] }
    }

    #[test]
    fn one_row_for_each_printer_with_the_best_way_first() {
        let printers = group(vec![
            seen("B", EndpointKind::Ipp, None),
            seen("A", EndpointKind::Ipp, Some("u-1")),
            seen("A", EndpointKind::Ipps, None),
        ]);
        assert_eq!(
            table(&printers),
            "NAME  MAKE  MODEL  ADDRESS   URI                       UUID\n\
             A     Acme  -      10.0.0.9  ipps://p.local/ipp/print  u-1\n\
             B     Acme  -      10.0.0.9  ipp://p.local/ipp/print   -\n"
        );
        let value: serde_json::Value = serde_json::from_str(&json(&printers).unwrap()).unwrap();
        assert_eq!(value["printers"][0]["endpoints"][1]["uri"], "ipp://p.local/ipp/print");
        assert_eq!(table(&[]), "no printers found\n");
    }
}
