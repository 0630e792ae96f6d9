//! Where something is known to print whatever arrives (AppSocket, LPD), whatever the port's number: shared by all who ask
//! printers who they are, so that none of them speaks IPP there.
//!
//! | known from | until |
//! |---|---|
//! | what mDNS announces now, also what becomes no sighting | it is announced no more |
//! | what an agent lists at its own address, also ports that it names wrongly | it lists something else |
//! | a function of the maker: the registry's view, the list of printers | that says otherwise |
//!
//! At the start mDNS gets a moment ([`PrintPlaces::not_before`]) to say what is there before IPP is spoken at addresses
//! that only an agent or a person named.
//!
//! Bounded: announcements at their source, agents by [`MAX_AGENTS`] with [`MAX_PORTS`] each. Beyond that agents' lists are
//! not kept; they still hold for the visit that read them.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
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
    not_before: Option<Instant>,
}

#[derive(Debug, Default)]
struct Heard {
    /// How often each is announced.
    announced: HashMap<(IpAddr, u16), u32>,
    listed: HashMap<IpAddr, Vec<u16>>,
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
        Self { heard: Arc::default(), known: Arc::new(known), not_before: None }
    }

    /// The same, and a visit speaks no IPP before this moment.
    pub fn not_before(mut self, at: Instant) -> Self {
        self.not_before = Some(at);
        self
    }

    /// Waits for the moment before which visits speak no IPP.
    pub async fn gathered(&self) {
        if let Some(at) = self.not_before {
            sleep_until(at).await;
        }
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
            let place = (address.to_canonical(), port);
            if let Some(count) = heard.announced.get_mut(&place) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    heard.announced.remove(&place);
                }
            }
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
}
