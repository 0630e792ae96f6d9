//! Finds printers by asking every address of configured networks for its SNMP agent, on one UDP socket; what answers is
//! visited ([`super::visit`]) and, if it is a printer, reported. Starts at once, and again every few hours.
//!
//! ```text
//! domain::sweep::Machine ─whom, when─▶ asking ─datagrams─▶ network
//!           ▲                            │ answers
//!           └───────── bits ─────────────┤
//!                                        ▼ addresses, at most QUEUE waiting
//!                                     visits (VISITS at once) ─sightings─▶ hub
//! ```
//!
//! - An answer counts only if it comes from an address and port that was asked, and carries the id that was made for this
//!   address with a key that is new for each sweep. Nothing is kept of an address but a bit. Everything else that comes
//!   is counted by reason ([`Progress::ignored`]) and dropped.
//! - Where visits fall behind (something answers for every address), asking waits for them.
//! - Agents that answered are asked again now and then: the rate follows what gets lost (`domain::sweep::pace`).
//! - Whom nobody may contact ([`PrinterPolicy`]) is not asked, whatever networks are named.
//! - What is found is reported in every sweep. Only what a sweep of this run reported is reported lost, which proves
//!   nothing: a printer may sleep. The agent and what it lists are lost when the agent stayed silent in a whole later sweep,
//!   or lists it no more; a way over IPP when the agent answered and IPP did not in two visits in a row, the second one
//!   [`AGAIN_SOON`] after the sweep.
//!
//! What it does not do: find printers that have SNMP switched off (they announce themselves, or are named), IPv6 networks
//! larger than a /112, broadcasts.

mod asking;
mod neighbours;
mod visits;
mod wire;

use super::local_networks;
use super::print_places::PrintPlaces;
use crate::domain::net::{Network, PrinterPolicy};
use crate::domain::sighting::DiscoveryEvent;
use crate::domain::sweep::pace::{Neighbours, Pace};
use crate::domain::sweep::plan::{self, MAX_OF_NETWORK};
use crate::domain::sweep::{Machine, Plan, PlanError};
use crate::snmp::client::{Client, Login};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use wire::{Kind, Question};

/// Agents that may wait for their visit.
pub const QUEUE: usize = 1_024;
/// Visits at once.
pub const VISITS: usize = 32;
/// Agents that are told of those that gave no printer.
pub const MAX_LEFT_OUT: usize = 200;
/// Printers whose sightings are remembered, to tell when they are lost.
pub const MAX_KNOWN: usize = 8_192;
/// How long after a sweep those are visited again whose IPP did not answer any more.
pub const AGAIN_SOON: Duration = Duration::from_secs(30);
/// Pause after a sweep that could not be done.
const AGAIN_AFTER_ERROR: Duration = Duration::from_secs(60);

/// What is swept, and how.
#[derive(Debug, Clone)]
pub struct SweepOptions {
    /// Networks to sweep.
    pub networks: Vec<Network>,
    /// The directly connected ones too, as far as they are no larger than a /16.
    pub connected: bool,
    /// Addresses left out.
    pub exclude: Vec<Network>,
    /// Most addresses of one sweep.
    pub max_addresses: u64,
    /// Requests a second.
    pub rate: u32,
    /// From the start of one sweep to the start of the next.
    pub every: Duration,
    /// UDP port of agents.
    pub port: u16,
    /// Where printers may be. Networks to sweep are not allowed by being named here.
    pub policy: PrinterPolicy,
    /// Where no IPP is spoken.
    pub places: PrintPlaces,
    /// Keys of sightings from earlier runs. Those of addresses that were asked who they are (`snmp:…`), by a sweep, a hint
    /// or a list, tell where to ask first; others tell no address.
    pub known: Vec<String>,
    /// Keys that an earlier sweep of this run reported: they are missed.
    pub reported: Vec<String>,
}

impl SweepOptions {
    /// The usual: 1,000 requests a second, every 6 hours, port 161.
    pub fn new(networks: Vec<Network>, policy: PrinterPolicy) -> Self {
        Self {
            networks,
            connected: false,
            exclude: Vec::new(),
            max_addresses: plan::DEFAULT_MAX_ADDRESSES,
            rate: 1_000,
            every: Duration::from_secs(6 * 3600),
            port: 161,
            policy,
            places: PrintPlaces::default(),
            known: Vec::new(),
            reported: Vec::new(),
        }
    }
}

/// The reason under which [`Progress::ignored`] counts questions that the system would not send.
pub const UNSENT: &str = "could not be sent";

/// How a sweep is going.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Networks that are swept, the directly connected ones included.
    pub networks: Vec<String>,
    /// Addresses in them, without our own and those left out.
    pub addresses: u32,
    /// Of them: asked in this pass.
    pub asked: u32,
    /// Requests sent in this sweep.
    pub sent: u64,
    /// Agents that answered in this sweep.
    pub answered: u32,
    /// Of them: those visited so far.
    pub visited: u32,
    /// Of those: printers.
    pub printers: u32,
    /// Agents that are no printers.
    pub not_printers: u32,
    /// Agents that take none of our logins, or stopped answering.
    pub no_login: u32,
    /// The pass, from 1.
    pub pass: u32,
    /// How many there will be, as far as is known.
    pub passes: u32,
    /// Requests a second, as they may go now.
    pub rate: u32,
    /// Seconds until this sweep is done, as far as is known; none when none is under way.
    pub remaining_seconds: Option<f64>,
    /// Datagrams that came and were ignored, and requests that were not sent, by reason.
    pub ignored: BTreeMap<&'static str, u64>,
    /// Agents that gave no printer and why; the first [`MAX_LEFT_OUT`].
    pub left_out: BTreeMap<IpAddr, String>,
    /// Sweeps done.
    pub sweeps: u64,
    /// When this or the last sweep began.
    pub began: Option<Timestamp>,
    /// When the next one begins; none while one is under way.
    pub next: Option<Timestamp>,
    /// Why the last one was not done, or what of it was left out.
    pub trouble: Option<String>,
}

/// Why a sweep is not done.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The networks are too large.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No socket.
    #[error("no UDP socket for the sweep: {0}")]
    Socket(#[from] std::io::Error),
    /// Nobody listens any more.
    #[error("the sweep was ended")]
    Ended,
}

/// The sweeping source.
#[derive(Debug)]
pub struct Sweep {
    options: SweepOptions,
    client: Client,
    progress: watch::Sender<Progress>,
    /// Addresses that come first.
    first: BTreeSet<IpAddr>,
    /// The keys of the sightings at each address that were reported.
    known: BTreeMap<IpAddr, BTreeSet<String>>,
    /// Those of them over IPP that did not answer in the last visit.
    missing: BTreeSet<String>,
    /// What was reported since, address by address, and is not yet in `known`: a sweep may be cut short.
    fresh: visits::Found,
}

impl Sweep {
    /// Makes a source; nothing happens before [`Sweep::run`]. The logins of `client` are those that are asked with.
    pub fn new(options: SweepOptions, client: Client) -> Self {
        let mut known: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        let first = options.known.iter().take(MAX_KNOWN * 4).filter_map(|key| super::visit::address_of(key)).collect();
        for key in options.reported.iter().take(MAX_KNOWN * 4) {
            if let Some(address) = super::visit::address_of(key) {
                known.entry(address).or_default().insert(key.clone());
            }
        }
        Self {
            options,
            client,
            progress: watch::Sender::default(),
            first,
            known,
            missing: BTreeSet::new(),
            fresh: visits::Found::new(),
        }
    }

    /// How it is going.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The same source, which tells its progress here.
    pub fn telling(mut self, progress: watch::Sender<Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// The keys of all that was reported and not lost, also where a sweep was cut short: for the next one.
    pub fn reported(&self) -> Vec<String> {
        self.known.values().chain(self.fresh.values()).flatten().collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Sweeps again and again, until the receiver is gone.
    pub async fn run(&mut self, events: mpsc::Sender<DiscoveryEvent>) {
        loop {
            let began = tokio::time::Instant::now();
            let mut pause = self.options.every;
            match self.once(&events).await {
                Ok(()) => {
                    let Progress { addresses, answered, printers, no_login, passes, ref ignored, .. } =
                        *self.progress.borrow();
                    let seconds = began.elapsed().as_secs();
                    tracing::info!(
                        addresses,
                        agents = answered,
                        printers,
                        no_login,
                        passes,
                        seconds,
                        ?ignored,
                        "networks swept"
                    );
                }
                Err(SweepError::Ended) => return,
                Err(error) => {
                    tracing::error!(%error, "networks are not swept");
                    self.progress.send_modify(|progress| {
                        progress.trouble = Some(error.to_string());
                        progress.remaining_seconds = None;
                    });
                    pause = pause.min(AGAIN_AFTER_ERROR);
                }
            }
            if !self.missing.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(AGAIN_SOON.min(pause)) => {}
                    () = events.closed() => return,
                }
                if self.visit_missing(&events).await.is_err() {
                    return;
                }
            }
            let left = (began + pause).saturating_duration_since(tokio::time::Instant::now());
            self.progress.send_modify(|progress| {
                progress.next = Timestamp::now().checked_add(left).ok();
            });
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = events.closed() => return,
            }
        }
    }

    /// One sweep, and the visits that follow from it.
    ///
    /// # Errors
    /// Networks that are too large, no socket, or nobody to report to.
    pub async fn once(&mut self, events: &mpsc::Sender<DiscoveryEvent>) -> Result<(), SweepError> {
        let keys = RandomState::new();
        let Target { routed, connected, networks, trouble } = self.target(keys.hash_one("order"))?;
        let neighbours = neighbours::look();
        let slow = Neighbours::new(neighbours.table, neighbours.alive.len());
        let first = self.first.iter().chain(self.known.keys()).copied().collect::<BTreeSet<_>>();
        let first: Vec<IpAddr> = first.into_iter().chain(neighbours.alive).collect();
        let has_v6 = routed.has_v6() || connected.has_v6();
        let questions = Questions::new(self.client.logins());
        let pace = Pace::new(self.options.rate);
        let machine = Machine::new(routed, connected, slow, &first, pace, questions.costs());
        let addresses = machine.count();
        self.progress.send_modify(|progress| {
            let sweeps = progress.sweeps;
            *progress = Progress { networks, addresses, sweeps, trouble, ..Progress::default() };
            progress.began = Some(Timestamp::now());
        });
        if let Some(trouble) = &self.progress.borrow().trouble {
            tracing::warn!(trouble, "not everything is swept");
        }
        let (found, queue) = mpsc::channel(QUEUE);
        let asking =
            asking::Asking::open(&self.options, &self.progress, machine, questions, keys, has_v6, found).await?;
        let visiting = visits::Visits::new(&self.options, &self.client, &self.progress, events, &mut self.fresh);
        let (machine, visited) = tokio::join!(asking.run(events), visiting.run(queue));
        let machine = machine?;
        visited?;
        self.take_over(events).await?;
        // Who stayed silent, though asked.
        let silent: Vec<IpAddr> = self.known.keys().copied().filter(|address| machine.is_silent(*address)).collect();
        for address in silent {
            // Without its agent nothing is known of its IPP.
            let keys = self.known.get(&address).into_iter().flatten().filter(|key| is_ipp(key)).cloned().collect();
            self.remember(address, keys, events).await?;
        }
        self.progress.send_modify(|progress| {
            progress.sweeps += 1;
            progress.remaining_seconds = None;
        });
        Ok(())
    }

    /// Visits those again whose IPP did not answer.
    ///
    /// # Errors
    /// Nobody to report to.
    pub async fn visit_missing(&mut self, events: &mpsc::Sender<DiscoveryEvent>) -> Result<(), SweepError> {
        let missing: BTreeSet<IpAddr> = self.missing.iter().filter_map(|key| super::visit::address_of(key)).collect();
        let (again, queue) = mpsc::channel(QUEUE);
        for address in missing {
            // What has no room waits for the next sweep.
            let _ = again.try_send(address);
        }
        drop(again);
        // It is no part of a sweep's count.
        let progress = watch::Sender::default();
        visits::Visits::new(&self.options, &self.client, &progress, events, &mut self.fresh).run(queue).await?;
        self.take_over(events).await
    }

    /// Takes over what the visits found.
    async fn take_over(&mut self, events: &mpsc::Sender<DiscoveryEvent>) -> Result<(), SweepError> {
        while let Some((address, keys)) = self.fresh.first_key_value().map(|(address, keys)| (*address, keys.clone())) {
            self.visited(address, keys, events).await?;
            self.fresh.remove(&address);
        }
        Ok(())
    }

    /// Takes over what a visit found; what is over IPP is missed once before it is lost.
    async fn visited(
        &mut self,
        address: IpAddr,
        mut keys: BTreeSet<String>,
        events: &mpsc::Sender<DiscoveryEvent>,
    ) -> Result<(), SweepError> {
        for key in &keys {
            self.missing.remove(key);
        }
        let before = self.known.get(&address).cloned().unwrap_or_default();
        let agent_answered = keys.contains(&super::visit::key(address));
        for key in before.into_iter().filter(|_| !keys.is_empty()).collect::<BTreeSet<_>>().difference(&keys.clone()) {
            if !agent_answered || (is_ipp(key) && self.missing.insert(key.clone())) {
                keys.insert(key.clone());
            }
        }
        self.remember(address, keys, events).await
    }

    /// Takes over what is at an address now, and reports what is there no more.
    async fn remember(
        &mut self,
        address: IpAddr,
        keys: BTreeSet<String>,
        events: &mpsc::Sender<DiscoveryEvent>,
    ) -> Result<(), SweepError> {
        let before = self.known.get(&address).cloned().unwrap_or_default();
        for key in before.difference(&keys) {
            // Known until it is told: cut short here, the next sweep tells.
            events.send(DiscoveryEvent::Lost { key: key.clone() }).await.map_err(|_| SweepError::Ended)?;
            self.missing.remove(key);
            self.known.entry(address).or_default().remove(key);
        }
        match keys.is_empty() {
            true => drop(self.known.remove(&address)),
            false => drop(self.known.insert(address, keys)),
        }
        while self.known.len() > MAX_KNOWN {
            for key in self.known.pop_last().into_iter().flat_map(|(_, keys)| keys) {
                self.missing.remove(&key);
            }
        }
        Ok(())
    }

    /// Whom to ask: what lies behind routers, and what is directly connected.
    fn target(&self, seed: u64) -> Result<Target, SweepError> {
        let SweepOptions { networks, connected, exclude, max_addresses, .. } = &self.options;
        let local = local_networks();
        let mut networks = networks.clone();
        let mut left_out = Vec::new();
        if *connected {
            let usable = |network: &&Network| network.address().is_ipv4() && !is_link_local(network);
            for network in local.iter().filter(usable) {
                match plan::check_network(network, MAX_OF_NETWORK) {
                    Ok(()) => networks.push(*network),
                    Err(error) => left_out.push(error.to_string()),
                }
            }
            if !local.iter().any(|network| usable(&network)) {
                left_out.push("no IPv4 network is directly connected: is the network up?".to_owned());
            }
        }
        networks.sort_unstable();
        networks.dedup();
        let mut exclude = exclude.clone();
        exclude.extend(own_addresses());
        // All of them, for the bound.
        Plan::new(&networks, &exclude, *max_addresses, seed)?;
        let near: Vec<Network> = networks.iter().flat_map(|a| local.iter().filter_map(|b| common(a, b))).collect();
        let connected = Plan::new(&near, &exclude, *max_addresses, seed)?;
        exclude.extend(&local);
        let routed = Plan::new(&networks, &exclude, *max_addresses, seed)?;
        let trouble = (!left_out.is_empty()).then(|| left_out.join("; "));
        Ok(Target { routed, connected, networks: networks.iter().map(ToString::to_string).collect(), trouble })
    }
}

struct Target {
    routed: Plan,
    connected: Plan,
    networks: Vec<String>,
    trouble: Option<String>,
}

/// What is asked in each pass.
struct Questions {
    /// In every pass; then what is asked from the second on besides.
    usual: Vec<Question>,
    more: Vec<Question>,
}

impl Questions {
    /// Communities over v2c at once, and over v1 when that is not answered; SNMPv3 at once if there are users, else late:
    /// an agent that takes no login of ours may still be a printer, which IPP tells.
    fn new(logins: &[Login]) -> Self {
        let communities: BTreeSet<&str> = logins.iter().filter_map(Login::community).collect();
        let of = |kind: Kind| communities.iter().map(move |community| Question::community(kind, community));
        let (mut usual, mut more): (Vec<Question>, Vec<Question>) = (of(Kind::V2c).collect(), of(Kind::V1).collect());
        let users = communities.len() < logins.len();
        if users || usual.is_empty() {
            usual.push(Question::engine())
        } else {
            more.push(Question::engine())
        }
        Self { usual, more }
    }

    /// Requests for one address, by pass.
    fn costs(&self) -> [u32; crate::domain::sweep::PASSES] {
        let (usual, all) = (self.usual.len(), self.usual.len() + self.more.len());
        [usual, all, all].map(|requests| u32::try_from(requests).unwrap_or(u32::MAX))
    }

    /// Whether a kind of request is sent in every pass.
    fn is_usual(&self, kind: Kind) -> bool {
        self.usual.iter().any(|question| question.kind() == kind)
    }
}

/// Whether a key is of a way to print over IPP.
fn is_ipp(key: &str) -> bool {
    key.split('/').nth(1).is_some_and(|way| way.starts_with("ipp"))
}

/// The smaller of two networks, if it lies in the other.
fn common(a: &Network, b: &Network) -> Option<Network> {
    let (small, large) = if a.prefix() >= b.prefix() { (a, b) } else { (b, a) };
    large.contains(small.address()).then_some(*small)
}

fn is_link_local(network: &Network) -> bool {
    matches!(network.address(), IpAddr::V4(v4) if v4.is_link_local())
}

/// The addresses of this machine, as networks of one.
fn own_addresses() -> Vec<Network> {
    let own = if_addrs::get_if_addrs().unwrap_or_default();
    let network = |address: IpAddr| Network::new(address, if address.is_ipv4() { 32 } else { 128 }).ok();
    own.iter().filter_map(|interface| network(interface.ip())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_in_which_pass() {
        let community = |text: &str| Login::Community(text.to_owned());
        let user = || Login::User(crate::snmp::client::User::new("u", None, None).unwrap());
        for (logins, costs, usual) in [
            (vec![community("a")], [1, 3, 3], [false, true, false]),
            (vec![community("a"), community("a"), user()], [2, 3, 3], [false, true, true]),
            (vec![community("a"), community("b"), user()], [3, 5, 5], [false, true, true]),
            (vec![user()], [1, 1, 1], [false, false, true]),
        ] {
            let questions = Questions::new(&logins);
            assert_eq!(questions.costs(), costs);
            assert_eq!([Kind::V1, Kind::V2c, Kind::V3].map(|kind| questions.is_usual(kind)), usual);
        }
    }

    #[test]
    fn the_common_part_of_networks() {
        let net = |text: &str| text.parse::<Network>().unwrap();
        assert_eq!(common(&net("10.0.0.0/8"), &net("10.1.0.0/16")), Some(net("10.1.0.0/16")));
        assert_eq!(common(&net("10.1.2.0/24"), &net("10.1.0.0/16")), Some(net("10.1.2.0/24")));
        assert_eq!(common(&net("10.1.2.0/24"), &net("10.2.0.0/16")), None);
        assert_eq!(common(&net("::/0"), &net("10.2.0.0/16")), None);
    }
}
