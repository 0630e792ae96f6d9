//! Hints of mDNS: where a printer is said to be without a way to print, the address is asked over SNMP and IPP who it is.
//!
//! Each address is asked [`GATHER`] after its hint came, when the other services of the device have had their time, and
//! again every [`AGAIN`] as long as the hint stands. One that comes and goes is not asked more often. An address at which a
//! printer over IPP is known is not asked: that one has said who it is. At most [`AT_ONCE`] at a time; hints are bounded at
//! their source.
//!
//! An address where nobody answers takes its time, and anybody can name thousands: addresses that were never asked take
//! turns, the newest and the longest waiting, with those that are asked again. So a printer that is named amid thousands of
//! others is asked soon, and none waits for good.
//!
//! When a hint names another address than before, what was reported at the one before is lost, unless another hint names it.

use super::snmp_side::Clients;
use crate::discovery::hints::{Hints, MAX_HINTS};
use crate::discovery::print_places::PrintPlaces;
use crate::discovery::visit::{Place, Reason, Visited, visit};
use crate::domain::net::PrinterPolicy;
use crate::domain::sighting::DiscoveryEvent;
use crate::hub::Printers;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// From the hint to the question.
const GATHER: Duration = Duration::from_secs(3);
/// How often an address is asked again.
const AGAIN: Duration = Duration::from_secs(3600);
/// Addresses asked at a time.
const AT_ONCE: usize = 4;
/// Addresses remembered, present and gone; beyond, those that are gone are forgotten. As many hints, with what was reported.
const REMEMBERED: usize = 4 * MAX_HINTS;

/// An address, with the interface where that matters.
type Spot = (IpAddr, u32);

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
    let (mut turns, mut told) = (Turns::default(), Told::default());
    let mut visits: JoinSet<(Spot, Vec<String>)> = JoinSet::new();
    loop {
        let named: BTreeMap<String, Spot> = hints
            .borrow_and_update()
            .iter()
            .filter_map(|(key, hint)| Some((key.clone(), (*hint.addresses.first()?, hint.scope_id))))
            .collect();
        for key in told.left(&named) {
            let _ = sightings.send(DiscoveryEvent::Lost { key }).await;
        }
        let now = Instant::now();
        turns.plan(&named.values().copied().collect(), now);
        while visits.len() < AT_ONCE
            && let Some(spot) = turns.next(now)
        {
            let (address, scope_id) = spot;
            if printers.speaks_ipp(address) {
                continue;
            }
            let (client, policy) = (clients.now(), policy());
            let (places, sightings) = (places.clone(), sightings.clone());
            visits.spawn(async move {
                let place = Place { address, scope_id, port };
                let mut keys = Vec::new();
                match visit(client.as_ref(), &policy, &places, place, Reason::Named).await {
                    Visited::Printer(seen) => {
                        for sighting in seen {
                            keys.push(sighting.key.clone());
                            let _ = sightings.send(DiscoveryEvent::Found(Box::new(sighting))).await;
                        }
                    }
                    other => tracing::debug!(%address, ?other, "no printer answers where mDNS says that one is"),
                }
                (spot, keys)
            });
        }
        // With all places taken the end of a visit comes first.
        let wake = if visits.len() < AT_ONCE { turns.wake(now) } else { AGAIN };
        tokio::select! {
            Some(visited) = visits.join_next() => match visited {
                Ok((spot, keys)) => told.reported(&named, spot, keys),
                Err(error) => tracing::error!(%error, "asking who is at an address ended abnormally"),
            },
            () = sleep(wake) => {}
            news = hints.changed() => if news.is_err() { return },
            () = sightings.closed() => return,
        }
    }
}

/// When each address is asked.
#[derive(Debug, Default)]
struct Turns {
    spots: HashMap<Spot, Turn>,
    newest: u64,
    turn: usize,
}

#[derive(Debug)]
struct Turn {
    at: Instant,
    /// Younger ones have higher numbers.
    number: u64,
    asked: bool,
    present: bool,
}

impl Turns {
    /// These are hinted at now. One that was asked keeps its time when its hint goes and comes again.
    fn plan(&mut self, present: &HashSet<Spot>, now: Instant) {
        let full = self.spots.len() > REMEMBERED;
        self.spots.retain(|spot, turn| {
            turn.present = present.contains(spot);
            turn.present || (turn.at > now && !full)
        });
        for spot in present {
            let newest = &mut self.newest;
            self.spots.entry(*spot).or_insert_with(|| {
                *newest += 1;
                Turn { at: now + GATHER, number: *newest, asked: false, present: true }
            });
        }
    }

    /// The next to be asked, if its time has come: it is asked now, and again later.
    fn next(&mut self, now: Instant) -> Option<Spot> {
        let due = || self.spots.iter().filter(|(_, turn)| turn.present && turn.at <= now);
        let newest = || due().filter(|(_, turn)| !turn.asked).max_by_key(|(_, turn)| turn.number);
        let oldest = || due().filter(|(_, turn)| !turn.asked).min_by_key(|(_, turn)| turn.number);
        let again = || due().filter(|(_, turn)| turn.asked).min_by_key(|(_, turn)| turn.at);
        let first = match self.turn % 3 {
            0 => newest(),
            1 => oldest(),
            _ => again(),
        };
        let spot = *first.or_else(newest).or_else(again)?.0;
        self.turn = self.turn.wrapping_add(1);
        let turn = self.spots.get_mut(&spot)?;
        (turn.asked, turn.at) = (true, now + AGAIN);
        Some(spot)
    }

    /// How long until the next one's time.
    fn wake(&self, now: Instant) -> Duration {
        let times = self.spots.values().filter(|turn| turn.present).map(|turn| turn.at);
        times.min().map_or(AGAIN, |at| at.saturating_duration_since(now))
    }
}

/// What was reported for which hint, and where that was.
#[derive(Debug, Default)]
struct Told {
    hints: BTreeMap<String, (Spot, Vec<String>)>,
}

impl Told {
    /// A printer was found where these hints say; without sightings nothing was.
    fn reported(&mut self, named: &BTreeMap<String, Spot>, spot: Spot, keys: Vec<String>) {
        if keys.is_empty() {
            return;
        }
        for hint in named.iter().filter(|(_, of)| **of == spot).map(|(hint, _)| hint) {
            if self.hints.len() >= REMEMBERED {
                self.hints.retain(|hint, _| named.contains_key(hint));
            }
            self.hints.insert(hint.clone(), (spot, keys.clone()));
        }
    }

    /// What was reported where no hint says any more that it is, because it names another address now.
    fn left(&mut self, named: &BTreeMap<String, Spot>) -> Vec<String> {
        let there: HashSet<Spot> = named.values().copied().collect();
        let mut left = Vec::new();
        self.hints.retain(|hint, (spot, keys)| {
            let moved = named.get(hint).is_some_and(|now| now != spot);
            if moved && !there.contains(spot) {
                left.append(keys);
            }
            !moved
        });
        left.sort_unstable();
        left.dedup();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(n: u32) -> Spot {
        (IpAddr::V4((0x0a00_0000 + n).into()), 0)
    }

    #[test]
    fn a_hint_that_comes_and_goes_is_not_asked_more_often() {
        let (there, gone) = (HashSet::from([spot(1)]), HashSet::new());
        let (mut turns, begun) = (Turns::default(), Instant::now());
        turns.plan(&there, begun);
        assert_eq!((turns.next(begun), turns.wake(begun)), (None, GATHER));
        assert_eq!(turns.next(begun + GATHER), Some(spot(1)));
        for seconds in 4..600 {
            let now = begun + Duration::from_secs(seconds);
            turns.plan(if seconds % 2 == 0 { &there } else { &gone }, now);
            assert_eq!(turns.next(now), None);
        }
        turns.plan(&there, begun + AGAIN + GATHER);
        assert_eq!(turns.next(begun + AGAIN + GATHER), Some(spot(1)));
        turns.plan(&gone, begun + AGAIN * 3);
        assert!(turns.spots.is_empty());
    }

    #[test]
    fn one_named_amid_many_is_asked_soon_and_none_waits_for_good() {
        let (mut turns, begun) = (Turns::default(), Instant::now());
        let mut present: HashSet<Spot> = (0..150).map(spot).collect();
        turns.plan(&present, begun);
        let mut now = begun + GATHER;
        let mut asked: HashSet<Spot> = (0..12).filter_map(|_| turns.next(now)).collect();
        present.insert(spot(5_000));
        turns.plan(&present, now);
        now += GATHER;
        let soon: Vec<Spot> = (0..3).filter_map(|_| turns.next(now)).collect();
        assert!(soon.contains(&spot(5_000)), "{soon:?}");
        asked.extend(soon);
        // New ones all the time: the old ones have their turns all the same.
        for n in 0..500 {
            present.insert(spot(10_000 + n));
            turns.plan(&present, now);
            now += GATHER;
            let next = turns.next(now);
            present.retain(|one| Some(*one) != next);
            asked.extend(next);
        }
        assert_eq!((0..150).filter(|n| !asked.contains(&spot(*n))).count(), 0);
    }

    #[test]
    fn what_is_known_is_asked_again_while_new_ones_come() {
        let (mut turns, begun) = (Turns::default(), Instant::now());
        turns.plan(&HashSet::from([spot(1)]), begun);
        assert_eq!(turns.next(begun + GATHER), Some(spot(1)));
        turns.plan(&(1..500).map(spot).collect(), begun + AGAIN);
        let later = begun + AGAIN + GATHER;
        assert!((0..3).filter_map(|_| turns.next(later)).any(|asked| asked == spot(1)));
    }

    #[test]
    fn what_a_hint_no_longer_names_is_lost() {
        let mut told = Told::default();
        let named = |all: &[(&str, u32)]| all.iter().map(|(hint, n)| ((*hint).to_owned(), spot(*n))).collect();
        let key = |n: u32| vec![format!("snmp:{n}")];
        told.reported(&named(&[("a", 1), ("b", 2), ("same", 2)]), spot(1), key(1));
        told.reported(&named(&[("a", 1), ("b", 2), ("same", 2)]), spot(2), key(2));
        told.reported(&named(&[("a", 1)]), spot(1), vec![]);
        assert!(told.left(&named(&[("a", 1), ("b", 2)])).is_empty());
        // A hint that is gone is not one that moved; what another one names stays.
        assert!(told.left(&named(&[])).is_empty());
        assert!(told.left(&named(&[("b", 3), ("same", 2)])).is_empty());
        assert_eq!(told.left(&named(&[("a", 9), ("same", 2)])), key(1));
        assert!(told.left(&named(&[("a", 10), ("same", 2)])).is_empty(), "once");
        assert_eq!(told.left(&named(&[("same", 4)])), key(2));
    }
}
