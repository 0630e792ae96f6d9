//! Bare addresses and host names of the list of printers: each is asked over SNMP and IPP who it is, at the start, again with
//! a growing pause until a printer answers, and from then on every [`AGAIN`], for what changes at it.
//!
//! What does not answer any more is not reported as lost: absence retires no printer, and its polls tell that it is offline.
//! What was reported at an address is lost when the name has others and not that one any more. At most [`AT_ONCE`] are asked
//! at a time, who waits longest first: one that takes long delays no other for longer than that. One whose entry is taken out of the list stays known, for the same reason; `printers.ignore` puts it away.

use super::snmp_side::Clients;
use crate::config::ListedPrinter;
use crate::discovery::print_places::PrintPlaces;
use crate::discovery::visit::{Place, Reason, Visited, visit};
use crate::domain::net::PrinterPolicy;
use crate::domain::retry::Backoff;
use crate::domain::sighting::DiscoveryEvent;
use crate::snmp::client::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How often a place where a printer answered is asked again.
const AGAIN: Duration = Duration::from_secs(3600);
/// Pauses while none answers.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(15), Duration::from_secs(900));
/// Places asked at once.
const AT_ONCE: usize = 8;
/// Addresses of one host name that are asked.
const ADDRESSES: usize = 4;
/// Longest look-up of a name.
const LOOK_UP: Duration = Duration::from_secs(10);

/// What came of asking the places of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Places that were asked.
    pub(super) count: u64,
    /// Those at which no printer is, by host, and why.
    pub(super) silent: BTreeMap<String, String>,
}

/// Asks until nobody listens any more. `done` tells how many places were asked, and where nothing was found.
pub(super) async fn run(
    list: Vec<ListedPrinter>,
    port: u16,
    mut clients: Clients,
    (policy, places): (impl Fn() -> PrinterPolicy, PrintPlaces),
    sightings: mpsc::Sender<DiscoveryEvent>,
    done: watch::Sender<Asked>,
) {
    if list.is_empty() {
        return;
    }
    // Without one only IPP is asked.
    clients.first().await;
    let mut entries: Vec<Entry> = list.into_iter().map(Entry::new).collect();
    let mut visits: JoinSet<(usize, Visit)> = JoinSet::new();
    loop {
        let now = Instant::now();
        while visits.len() < AT_ONCE
            && let Some((n, entry)) = next_due(&mut entries, now)
        {
            // Asked again also if this should come to nothing.
            entry.next = now + AGAIN;
            let asking = Asking { client: clients.now(), port, policy: policy(), places: places.clone() };
            let (host, sightings) = (entry.printer.host.clone(), sightings.clone());
            visits.spawn(async move { (n, go(&host, &asking, &sightings).await) });
        }
        let next = entries.iter().map(|entry| entry.next).min().unwrap_or(now);
        // With all places taken the end of a visit comes first.
        let wake = if visits.len() < AT_ONCE { next.saturating_duration_since(now) } else { AGAIN };
        tokio::select! {
            Some(visited) = visits.join_next() => match visited {
                Ok((n, visit)) => {
                    for key in ended(&mut entries, n, visit, &done) {
                        if sightings.send(DiscoveryEvent::Lost { key }).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::error!(%error, "asking a listed place ended abnormally"),
            },
            () = sleep(wake.max(Duration::from_millis(100))) => {}
            () = sightings.closed() => return,
        }
    }
}

/// The entry whose time came first.
fn next_due(entries: &mut [Entry], now: Instant) -> Option<(usize, &mut Entry)> {
    entries.iter_mut().enumerate().filter(|(_, entry)| entry.next <= now).min_by_key(|(_, entry)| entry.next)
}

/// Takes what came of a visit; returns what was reported at addresses that no name stands for any more.
fn ended(entries: &mut [Entry], n: usize, visit: Visit, done: &watch::Sender<Asked>) -> Vec<String> {
    let Some(entry) = entries.get_mut(n) else { return Vec::new() };
    let Visit { found, why, named, told } = visit;
    let host = entry.printer.host.clone();
    if !found && entry.failures == 0 {
        tracing::warn!(host, why, "no printer is found at a listed place yet");
    }
    entry.failures = if found { 0 } else { entry.failures.saturating_add(1) };
    let pause = if found { AGAIN } else { PAUSES.delay(entry.failures, u64::from(entry.failures)) };
    entry.next = Instant::now().checked_add(pause).unwrap_or(entry.next);
    let first = !std::mem::replace(&mut entry.visited, true);
    let mut left = Vec::new();
    // A name that is not known at the moment says nothing.
    if !named.is_empty() {
        entry.told.retain(|address, keys| {
            let stays = named.contains(address);
            if !stays {
                left.append(keys);
            }
            stays
        });
    }
    entry.told.extend(told);
    done.send_modify(|asked| {
        asked.count = asked.count.saturating_add(u64::from(first));
        match found {
            true => drop(asked.silent.remove(&host)),
            false => drop(asked.silent.insert(host, why)),
        }
    });
    let still: BTreeSet<&String> = entries.iter().flat_map(|entry| entry.told.values().flatten()).collect();
    left.retain(|key| !still.contains(key));
    left
}

/// With what, and where one may ask.
struct Asking {
    client: Option<Client>,
    port: u16,
    policy: PrinterPolicy,
    places: PrintPlaces,
}

/// One entry of the list.
struct Entry {
    printer: ListedPrinter,
    next: Instant,
    failures: u32,
    visited: bool,
    /// The keys that were reported at its addresses, as long as it names them.
    told: BTreeMap<IpAddr, Vec<String>>,
}

impl Entry {
    fn new(printer: ListedPrinter) -> Self {
        Self { printer, next: Instant::now(), failures: 0, visited: false, told: BTreeMap::new() }
    }
}

/// What came of asking at one host.
struct Visit {
    found: bool,
    /// Why no printer was found.
    why: String,
    /// Its addresses, as far as they are asked.
    named: Vec<IpAddr>,
    /// What was reported, and where.
    told: BTreeMap<IpAddr, Vec<String>>,
}

/// Asks at the addresses of a host until a printer answers.
async fn go(host: &str, asking: &Asking, sightings: &mpsc::Sender<DiscoveryEvent>) -> Visit {
    let Asking { client, port, policy, places } = asking;
    let why = "its name has no address".to_owned();
    let mut result = Visit { found: false, why, named: addresses(host).await, told: BTreeMap::new() };
    for address in result.named.clone() {
        let place = Place { address, scope_id: 0, port: *port };
        match visit(client.as_ref(), policy, places, place, Reason::Named).await {
            Visited::Printer(seen) => {
                for sighting in seen {
                    result.found = true;
                    result.told.entry(address).or_default().push(sighting.key.clone());
                    if sightings.send(DiscoveryEvent::Found(Box::new(sighting))).await.is_err() {
                        return result;
                    }
                }
            }
            Visited::NotPrinter { description } => result.why = format!("its agent is no printer's: {description}"),
            Visited::NoLogin { why } => {
                result.why = format!("no printer answers there over IPP, and over SNMP: {why}");
            }
            Visited::NotAllowed => result.why = not_allowed(policy, address),
        }
        if result.found {
            break;
        }
    }
    result
}

fn not_allowed(policy: &PrinterPolicy, address: IpAddr) -> String {
    policy.check_address(address).err().map_or_else(String::new, |refusal| refusal.to_string())
}

/// The addresses of a host, IPv4 first.
async fn addresses(host: &str) -> Vec<IpAddr> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return vec![address];
    }
    let Ok(Ok(found)) = timeout(LOOK_UP, tokio::net::lookup_host((host, 0))).await else { return Vec::new() };
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).take(64).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entries(hosts: &[&str]) -> Vec<Entry> {
        let list: Vec<_> = hosts.iter().map(|host| json!({"uri": host})).collect();
        let list = crate::config::check(&json!({"printers": {"list": list}})).config.unwrap().printer_list;
        assert_eq!(list.len(), hosts.len());
        list.into_iter().map(Entry::new).collect()
    }

    fn visit_of(named: &[u8], at: Option<u8>) -> Visit {
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        let told = at.map(|last| (address(last), vec![format!("snmp:10.0.0.{last}")]));
        let named = named.iter().map(|last| address(*last)).collect();
        Visit { found: at.is_some(), why: "nobody".into(), named, told: told.into_iter().collect() }
    }

    #[tokio::test]
    async fn what_a_name_no_longer_stands_for_is_lost() {
        let (done, asked) = watch::channel(Asked::default());
        let mut entries = entries(&["printer.example", "also.example"]);
        let key = |last: u8| vec![format!("snmp:10.0.0.{last}")];
        assert!(ended(&mut entries, 0, visit_of(&[1], Some(1)), &done).is_empty());
        assert!(ended(&mut entries, 1, visit_of(&[], None), &done).is_empty());
        assert_eq!((asked.borrow().count, asked.borrow().silent.len()), (2, 1));
        // Silent, not looked up, or with another address besides: it may still be there.
        for named in [&[1_u8][..], &[], &[1, 2]] {
            assert!(ended(&mut entries, 0, visit_of(named, None), &done).is_empty());
        }
        assert_eq!(ended(&mut entries, 0, visit_of(&[2], Some(2)), &done), key(1));
        assert!(ended(&mut entries, 0, visit_of(&[2], Some(2)), &done).is_empty(), "once");
        // Another name stands for it.
        assert!(ended(&mut entries, 1, visit_of(&[2], Some(2)), &done).is_empty());
        assert!(ended(&mut entries, 0, visit_of(&[3], Some(3)), &done).is_empty());
        assert_eq!(ended(&mut entries, 1, visit_of(&[4], None), &done), key(2));
        assert_eq!((asked.borrow().count, asked.borrow().silent.keys().next().unwrap().as_str()), (2, "also.example"));
    }

    #[tokio::test]
    async fn who_waits_longest_is_asked_first() {
        let mut entries = entries(&["a.example", "b.example", "c.example"]);
        let now = Instant::now();
        entries[1].next = now - Duration::from_secs(9);
        entries[2].next = now + Duration::from_secs(9);
        assert_eq!(next_due(&mut entries, now).map(|(n, _)| n), Some(1));
        entries[1].next = now + AGAIN;
        assert_eq!(next_due(&mut entries, now).map(|(n, _)| n), Some(0));
        entries[0].next = now + AGAIN;
        assert!(next_due(&mut entries, now).is_none());
    }
}
