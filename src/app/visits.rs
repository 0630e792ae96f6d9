//! Bare addresses and host names of the list of printers: each is asked over SNMP and IPP who it is, at the start, again with
//! a growing pause until a printer answers, and from then on every [`AGAIN`], for what changes at it.
//!
//! What does not answer any more is not reported as lost: absence retires no printer, and its polls tell that it is offline.
//! One whose entry is taken out of the list stays known, for the same reason; `printers.ignore` puts it away.

use super::snmp_side::Clients;
use crate::config::ListedPrinter;
use crate::discovery::print_places::PrintPlaces;
use crate::discovery::visit::{Place, Reason, Visited, visit};
use crate::domain::net::PrinterPolicy;
use crate::domain::retry::Backoff;
use crate::domain::sighting::DiscoveryEvent;
use crate::snmp::client::Client;
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
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
    let mut visits: Vec<Visit> =
        list.into_iter().map(|printer| Visit { printer, next: Instant::now(), failures: 0, visited: false }).collect();
    loop {
        let now = Instant::now();
        let client = clients.now();
        let (policy, client) = (policy(), client.as_ref());
        let asking = Asking { client, port, policy: &policy, places: &places };
        let due = visits.iter_mut().filter(|one| one.next <= now);
        let (asking, sightings, done) = (&asking, &sightings, &done);
        stream::iter(due).for_each_concurrent(AT_ONCE, |one| one.go(asking, sightings, done)).await;
        let next = visits.iter().map(|one| one.next).min().unwrap_or(now);
        tokio::select! {
            () = sleep(next.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))) => {}
            () = sightings.closed() => return,
        }
    }
}

/// With what, and where one may ask.
struct Asking<'a> {
    client: Option<&'a Client>,
    port: u16,
    policy: &'a PrinterPolicy,
    places: &'a PrintPlaces,
}

/// One entry of the list.
struct Visit {
    printer: ListedPrinter,
    next: Instant,
    failures: u32,
    visited: bool,
}

impl Visit {
    async fn go(&mut self, asking: &Asking<'_>, sightings: &mpsc::Sender<DiscoveryEvent>, done: &watch::Sender<Asked>) {
        let Asking { client, port, policy, places } = *asking;
        let host = self.printer.host.clone();
        let mut found = false;
        let mut why = "its name has no address".to_owned();
        for address in addresses(&host).await {
            let place = Place { address, scope_id: 0, port };
            match visit(client, policy, places, place, Reason::Named).await {
                Visited::Printer(seen) => {
                    for sighting in seen {
                        found = true;
                        if sightings.send(DiscoveryEvent::Found(Box::new(sighting))).await.is_err() {
                            return;
                        }
                    }
                }
                Visited::NotPrinter { description } => why = format!("its agent is no printer's: {description}"),
                Visited::NoLogin { why: answer } => {
                    why = format!("no printer answers there over IPP, and over SNMP: {answer}")
                }
                Visited::NotAllowed => why = not_allowed(policy, address),
            }
            if found {
                break;
            }
        }
        if !found && self.failures == 0 {
            tracing::warn!(host, why, "no printer is found at a listed place yet");
        }
        self.failures = if found { 0 } else { self.failures.saturating_add(1) };
        let pause = if found { AGAIN } else { PAUSES.delay(self.failures, u64::from(self.failures)) };
        self.next = Instant::now().checked_add(pause).unwrap_or(self.next);
        let first = !std::mem::replace(&mut self.visited, true);
        done.send_modify(|asked| {
            asked.count = asked.count.saturating_add(u64::from(first));
            match found {
                true => drop(asked.silent.remove(&self.printer.host)),
                false => drop(asked.silent.insert(self.printer.host.clone(), why)),
            }
        });
    }
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
