//! Printers named by hand in the configuration → sightings.
//!
//! - An address is taken as it is; a host name is looked up at the start and again every `LOOKUP_AGAIN`: printers get
//!   new addresses. A look-up that fails is tried again with a growing pause, and the addresses known so far stay.
//! - Only addresses in allowed networks become part of a sighting; a printer that has none is not reported.
//! - Nothing is connected here.
//!
//! A sighting's key is `list:` and the URI, so that an entry that is gone from the configuration can be told from what
//! mDNS found ([`forgotten`]).

use crate::config::ListedPrinter;
use crate::domain::endpoint::Endpoint;
use crate::domain::net::PrinterPolicy;
use crate::domain::retry::Backoff;
use crate::domain::sighting::{DiscoveryEvent, Evidence, Sighting};
use futures_util::stream::{self, StreamExt};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

/// How often a host name is looked up again.
const LOOKUP_AGAIN: Duration = Duration::from_secs(300);
/// Longest look-up.
const LOOKUP_WAIT: Duration = Duration::from_secs(10);
/// Look-ups at once.
const LOOKUPS: usize = 8;
/// How often addresses are held against the allowed networks.
const ROUND: Duration = Duration::from_secs(15);
/// Addresses kept of one name.
const MAX_ADDRESSES: usize = 8;
const PREFIX: &str = "list:";

/// The key of a listed printer's sighting.
pub fn key(printer: &ListedPrinter) -> String {
    format!("{PREFIX}{}", endpoint(printer, Vec::new()).uri())
}

/// Of the keys known from earlier runs, those of printers that are no longer in the list.
pub fn forgotten<'a>(known: impl Iterator<Item = &'a str>, list: &[ListedPrinter]) -> Vec<String> {
    let wanted: Vec<String> = list.iter().map(key).collect();
    let gone = |key: &&str| key.starts_with(PREFIX) && !wanted.iter().any(|wanted| wanted == key);
    known.filter(gone).map(str::to_owned).collect()
}

/// Reports the printers of the list, and changes of their addresses, until the receiver is gone; all of them again when
/// `asked` changes.
pub async fn run(
    list: Vec<ListedPrinter>,
    policy: impl Fn() -> PrinterPolicy,
    mut asked: watch::Receiver<u64>,
    events: mpsc::Sender<DiscoveryEvent>,
) {
    let mut entries: Vec<Entry> = list.into_iter().map(Entry::new).collect();
    loop {
        let now = Instant::now();
        let due = entries.iter_mut().filter(|entry| entry.next.is_some_and(|next| next <= now));
        stream::iter(due).for_each_concurrent(LOOKUPS, Entry::look_up).await;
        let policy = policy();
        for entry in &mut entries {
            let Some(seen) = entry.sighting(&policy) else { continue };
            if entry.reported.as_ref() != Some(&seen) {
                entry.reported = Some(seen.clone());
                if events.send(DiscoveryEvent::Found(Box::new(seen))).await.is_err() {
                    return;
                }
            }
        }
        let next = entries.iter().filter_map(|entry| entry.next).min();
        let pause = next.map_or(ROUND, |next| next.saturating_duration_since(Instant::now()).min(ROUND));
        tokio::select! {
            () = sleep(pause.max(Duration::from_millis(100))) => {}
            Ok(()) = asked.changed() => entries.iter_mut().for_each(|entry| entry.reported = None),
            () = events.closed() => return,
        }
    }
}

struct Entry {
    printer: ListedPrinter,
    addresses: Vec<IpAddr>,
    /// When its name is looked up next; never for an address.
    next: Option<Instant>,
    failures: u32,
    /// Whether it was told that none of its addresses is allowed.
    warned: bool,
    reported: Option<Sighting>,
}

impl Entry {
    fn new(printer: ListedPrinter) -> Self {
        let literal = printer.host.parse::<IpAddr>().ok();
        let next = literal.is_none().then(Instant::now);
        Self { printer, addresses: literal.into_iter().collect(), next, failures: 0, warned: false, reported: None }
    }

    async fn look_up(&mut self) {
        let place = (self.printer.host.clone(), self.printer.port);
        let found = timeout(LOOKUP_WAIT, tokio::net::lookup_host(place)).await;
        let pause = match found {
            Ok(Ok(found)) => {
                let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).take(64).collect();
                // IPv4 first: what printers do best.
                addresses.sort_unstable();
                addresses.dedup();
                self.failures = 0;
                self.warned &= addresses == self.addresses;
                self.addresses = addresses;
                LOOKUP_AGAIN
            }
            failed => {
                let why = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("no answer within {LOOKUP_WAIT:?}"),
                };
                if self.failures == 0 {
                    tracing::warn!(host = self.printer.host, why, "a listed printer's name cannot be looked up yet");
                }
                self.failures = self.failures.saturating_add(1);
                Backoff::new(Duration::from_secs(2), LOOKUP_AGAIN).delay(self.failures, u64::from(self.failures))
            }
        };
        self.next = Instant::now().checked_add(pause);
    }

    fn sighting(&mut self, policy: &PrinterPolicy) -> Option<Sighting> {
        let mut addresses = self.addresses.clone();
        addresses.retain(|address| policy.check_address(*address).is_ok());
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            if !self.addresses.is_empty() && !std::mem::replace(&mut self.warned, true) {
                let uri = endpoint(&self.printer, Vec::new()).uri();
                tracing::warn!(uri, addresses = ?self.addresses, "a listed printer is in no allowed network");
            }
            return None;
        }
        Some(Sighting {
            key: key(&self.printer),
            name: self.printer.name.clone(),
            host: self.printer.host.clone(),
            endpoint: endpoint(&self.printer, addresses),
            priority: 50,
            evidence: Evidence::default(),
            location: None,
            formats: self.printer.formats.clone(),
        })
    }
}

fn endpoint(printer: &ListedPrinter, addresses: Vec<IpAddr>) -> Endpoint {
    let ListedPrinter { kind, host, port, path, .. } = printer.clone();
    Endpoint { kind, host, addresses, scope_id: 0, port, path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(value: serde_json::Value) -> Vec<ListedPrinter> {
        crate::config::check(&json!({"printers": {"list": value}})).config.unwrap().printer_list
    }

    fn policy() -> PrinterPolicy {
        PrinterPolicy { allowed: vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.0/8".parse().unwrap()] }
    }

    #[tokio::test]
    async fn addresses_and_names_are_reported_once_and_only_in_allowed_networks() {
        let list = list(json!([
            {"uri": "socket://10.0.0.9", "name": "Old laser", "formats": ["application/postscript"]},
            {"uri": "lpd://8.8.8.8/q"},
            {"uri": "lpd://localhost:1515/q"},
        ]));
        let (sender, mut events) = mpsc::channel(8);
        let (again, asked) = watch::channel(0);
        let task = tokio::spawn(run(list, policy, asked, sender));
        let mut seen = Vec::new();
        for _ in 0..2 {
            match tokio::time::timeout(Duration::from_secs(20), events.recv()).await {
                Ok(Some(DiscoveryEvent::Found(sighting))) => seen.push(*sighting),
                other => panic!("{other:?}"),
            }
        }
        seen.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(seen[0].key, "list:lpd://localhost:1515/q");
        assert_eq!(seen[0].endpoint.addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!((seen[1].name.as_str(), seen[1].endpoint.uri().as_str()), ("Old laser", "socket://10.0.0.9"));
        assert_eq!(seen[1].formats, ["application/postscript"]);
        assert!(events.try_recv().is_err());
        again.send_replace(1);
        for _ in 0..2 {
            let told = tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap();
            assert!(matches!(told, Some(DiscoveryEvent::Found(sighting)) if seen.contains(&sighting)));
        }
        drop(events);
        tokio::time::timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
    }

    #[test]
    fn what_is_no_longer_listed_is_known_by_its_key() {
        let list = list(json!([{"uri": "socket://10.0.0.9"}]));
        let known = ["list:socket://10.0.0.9", "list:socket://10.0.0.8", "Laser._ipp._tcp.local."];
        assert_eq!(forgotten(known.into_iter(), &list), ["list:socket://10.0.0.8"]);
    }
}
