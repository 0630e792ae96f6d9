//! Hints of mDNS: where a printer is said to be without a way to print, the address is asked over SNMP and IPP who it is.
//!
//! Each address is asked [`GATHER`] after its hint came, when the other services of the device have had their time, and
//! again every [`AGAIN`] as long as the hint stands. One that comes and goes is not asked more often. An address at which a
//! printer over IPP is known is not asked: that one has said who it is. At most [`AT_ONCE`] at a time; hints are bounded at
//! their source.

use super::snmp_side::Clients;
use crate::discovery::hints::{Hints, MAX_HINTS};
use crate::discovery::print_places::PrintPlaces;
use crate::discovery::visit::{Place, Reason, Visited, visit};
use crate::domain::net::PrinterPolicy;
use crate::domain::sighting::DiscoveryEvent;
use crate::hub::Printers;
use futures_util::stream::{self, StreamExt};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

/// From the hint to the question.
const GATHER: Duration = Duration::from_secs(3);
/// How often an address is asked again.
const AGAIN: Duration = Duration::from_secs(3600);
/// Addresses asked at a time.
const AT_ONCE: usize = 4;
/// Addresses remembered, present and gone; beyond, those that are gone are forgotten.
const REMEMBERED: usize = 4 * MAX_HINTS;

/// Asks until the source of the hints or the listener is gone.
pub(super) async fn run(
    mut hints: watch::Receiver<Hints>,
    port: u16,
    clients: Clients,
    policy: impl Fn() -> PrinterPolicy,
    printers: &Printers,
    places: PrintPlaces,
    sightings: mpsc::Sender<DiscoveryEvent>,
) {
    // When each is asked next.
    let mut next: HashMap<(IpAddr, u32), Instant> = HashMap::new();
    loop {
        let present: HashSet<(IpAddr, u32)> = hints
            .borrow_and_update()
            .values()
            .filter_map(|hint| Some((*hint.addresses.first()?, hint.scope_id)))
            .collect();
        let now = Instant::now();
        plan(&mut next, &present, now);
        let by_ipp = speaking_ipp(printers);
        let due = next.iter_mut().filter(|(place, at)| **at <= now && present.contains(*place));
        let mut due: Vec<_> = due.map(|(place, at)| (*place, at)).collect();
        due.retain_mut(|((address, _), at)| {
            let known = by_ipp.contains(address);
            if known {
                **at = now + AGAIN;
            }
            !known
        });
        let (client, policy) = (clients.now(), policy());
        let (client, policy, places, sightings) = (client.as_ref(), &policy, &places, &sightings);
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |((address, scope_id), at)| async move {
                let place = Place { address, scope_id, port };
                match visit(client, policy, places, place, Reason::Named).await {
                    Visited::Printer(seen) => {
                        for sighting in seen {
                            let _ = sightings.send(DiscoveryEvent::Found(Box::new(sighting))).await;
                        }
                    }
                    other => tracing::debug!(%address, ?other, "no printer answers where mDNS says that one is"),
                }
                *at = Instant::now() + AGAIN;
            })
            .await;
        let wake = next
            .iter()
            .filter(|(place, _)| present.contains(*place))
            .map(|(_, at)| at)
            .min()
            .map_or(AGAIN, |at| at.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = sleep(wake) => {}
            news = hints.changed() => if news.is_err() { return },
            () = sightings.closed() => return,
        }
    }
}

/// When each address that is hinted at is asked. One that was asked keeps its time when its hint goes and comes again.
fn plan(next: &mut HashMap<(IpAddr, u32), Instant>, present: &HashSet<(IpAddr, u32)>, now: Instant) {
    let full = next.len() > REMEMBERED;
    next.retain(|place, at| present.contains(place) || (*at > now && !full));
    for place in present {
        next.entry(*place).or_insert(now + GATHER);
    }
}

/// The addresses of printers that are reached over IPP.
fn speaking_ipp(printers: &Printers) -> HashSet<IpAddr> {
    let views = printers.all();
    let endpoints = views.iter().flat_map(|view| &view.endpoints).filter(|(endpoint, _)| endpoint.kind.is_ipp());
    endpoints.flat_map(|(endpoint, _)| endpoint.addresses.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_that_comes_and_goes_is_not_asked_more_often() {
        let place = (IpAddr::from([10, 0, 0, 1]), 0);
        let (there, gone) = (HashSet::from([place]), HashSet::new());
        let (mut next, begun) = (HashMap::new(), Instant::now());
        plan(&mut next, &there, begun);
        assert_eq!(next[&place], begun + GATHER);
        // Asked.
        next.insert(place, begun + AGAIN);
        for seconds in 1..600 {
            let now = begun + Duration::from_secs(seconds);
            plan(&mut next, if seconds % 2 == 0 { &there } else { &gone }, now);
            assert_eq!(next[&place], begun + AGAIN);
        }
        plan(&mut next, &gone, begun + AGAIN);
        assert!(next.is_empty());
    }
}
