//! Where something is known to print whatever arrives (AppSocket, LPD), whatever the port's number: shared by all who ask
//! printers who they are, so that none of them speaks IPP there.
//!
//! | known from | until |
//! |---|---|
//! | what mDNS announces now, also what becomes no sighting | it is announced no more |
//! | what an agent lists at its own address, also ports that it names wrongly | it lists something else |
//! | a function of the maker: the registry's view, the list of printers | that says otherwise |
//!
//! At the start, and where the networks of the machine change, mDNS gets a moment ([`PrintPlaces::listen_first`]) to say
//! what is there before IPP is spoken at addresses that only an agent or a person named. A new search over mDNS begins with
//! what the one before had heard ([`PrintPlaces::hold`]), until it had the time to hear it again.
//!
//! Bounded: announcements at their source, agents by [`MAX_AGENTS`] with [`MAX_PORTS`] each. Beyond that agents' lists are
//! not kept; they still hold for the visit that read them.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Agents whose ports are kept.
pub const MAX_AGENTS: usize = 16_384;
/// Ports kept of one agent.
pub const MAX_PORTS: usize = 32;

type Known = dyn Fn(IpAddr, u16) -> bool + Send + Sync;

/// Where IPP is not spoken. Clones share what they know.
#[derive(Clone)]
pub struct PrintPlaces {
    heard: Arc<RwLock<Heard>>,
    known: Arc<Known>,
}

#[derive(Debug, Default)]
struct Heard {
    /// How often each is announced.
    announced: HashMap<(IpAddr, u16), u32>,
    listed: HashMap<IpAddr, Vec<u16>>,
    /// A visit speaks no IPP before this moment.
    not_before: Option<Instant>,
}

impl Default for PrintPlaces {
    fn default() -> Self {
        Self::new(|_, _| false)
    }
}

impl fmt::Debug for PrintPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrintPlaces").finish_non_exhaustive()
    }
}

impl PrintPlaces {
    /// Nothing heard yet; `known` tells what else is one.
    pub fn new(known: impl Fn(IpAddr, u16) -> bool + Send + Sync + 'static) -> Self {
        Self { heard: Arc::default(), known: Arc::new(known) }
    }

    /// From now on a visit speaks no IPP for so long: mDNS says first what is there.
    pub fn listen_first(&self, time: Duration) {
        self.heard.write().unwrap_or_else(PoisonError::into_inner).not_before = Instant::now().checked_add(time);
    }

    /// Waits for the moment before which visits speak no IPP.
    pub async fn gathered(&self) {
        let not_before = || self.heard.read().unwrap_or_else(PoisonError::into_inner).not_before;
        while let Some(at) = not_before().filter(|at| *at > Instant::now()) {
            sleep_until(at).await;
        }
    }

    /// What is announced now counts as announced until this is dropped, whatever ends meanwhile.
    pub fn hold(&self) -> Held {
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        for count in heard.announced.values_mut() {
            *count = count.saturating_add(1);
        }
        Held { keys: heard.announced.keys().copied().collect(), places: self.clone() }
    }

    /// Whether something there prints whatever arrives.
    pub fn contains(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        let heard = {
            let heard = self.heard.read().unwrap_or_else(PoisonError::into_inner);
            heard.announced.contains_key(&(address, port))
                || heard.listed.get(&address).is_some_and(|ports| ports.contains(&port))
        };
        heard || (self.known)(address, port)
    }

    /// The agent at an address answered, and lists these ports.
    pub fn listed(&self, address: IpAddr, ports: &[u16]) {
        let address = address.to_canonical();
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        if ports.is_empty() {
            heard.listed.remove(&address);
        } else if heard.listed.contains_key(&address) || heard.listed.len() < MAX_AGENTS {
            heard.listed.insert(address, ports.iter().copied().take(MAX_PORTS).collect());
        }
    }

    /// A service is announced for AppSocket or LPD; each one has its end.
    pub(super) fn announced(&self, addresses: &[IpAddr], port: u16) {
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        for address in addresses {
            let count = heard.announced.entry((address.to_canonical(), port)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// A service is announced no more.
    pub(super) fn ended(&self, addresses: &[IpAddr], port: u16) {
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        for address in addresses {
            heard.end((address.to_canonical(), port));
        }
    }
}

impl Heard {
    fn end(&mut self, place: (IpAddr, u16)) {
        if let Some(count) = self.announced.get_mut(&place) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.announced.remove(&place);
            }
        }
    }
}

/// See [`PrintPlaces::hold`].
#[derive(Debug)]
pub struct Held {
    keys: Vec<(IpAddr, u16)>,
    places: PrintPlaces,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut heard = self.places.heard.write().unwrap_or_else(PoisonError::into_inner);
        for place in &self.keys {
            heard.end(*place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_as_long_as_anybody_says_so() {
        let places = PrintPlaces::new(|_, port| port == 2_000);
        let here: IpAddr = "10.0.0.9".parse().unwrap();
        let mapped: IpAddr = "::ffff:10.0.0.9".parse().unwrap();
        let both = places.clone();
        places.announced(&[here], 631);
        places.announced(&[mapped], 631);
        both.ended(&[here], 631);
        assert!(both.contains(here, 631) && !both.contains(here, 632) && both.contains(here, 2_000));
        both.ended(&[here], 631);
        both.ended(&[here], 631);
        assert!(!places.contains(here, 631));
        places.listed(here, &[631, 9_100]);
        assert!(places.contains(mapped, 631));
        places.listed(here, &[9_100]);
        assert!(!places.contains(here, 631) && places.contains(here, 9_100));
    }

    #[test]
    fn what_is_held_outlives_its_end() {
        let places = PrintPlaces::default();
        let here: IpAddr = "10.0.0.9".parse().unwrap();
        places.announced(&[here], 631);
        let first = places.hold();
        places.ended(&[here], 631);
        let second = places.hold();
        drop(first);
        assert!(places.contains(here, 631), "the second holds what the first held");
        places.announced(&[here], 631);
        drop(second);
        assert!(places.contains(here, 631), "announced again");
        places.ended(&[here], 631);
        assert!(!places.contains(here, 631));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_waits_for_the_last_moment_named() {
        let places = PrintPlaces::default();
        let begun = Instant::now();
        places.gathered().await;
        places.listen_first(Duration::from_secs(3));
        let waits = tokio::spawn({
            let places = places.clone();
            async move { places.gathered().await }
        });
        // On the test's own clock.
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(2)).await;
        places.listen_first(Duration::from_secs(3));
        waits.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
}
