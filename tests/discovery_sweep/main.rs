//! The SNMP sweep on real wires, in network namespaces of its own: simulated offices, net-snmp's agent, agents that
//! misbehave, non-printers, and a directly connected network with silent addresses.
#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

#[path = "../common/mod.rs"]
mod common;
mod gateway;
mod hostile;
mod loss;
mod office;
mod wire;

use printgate::discovery::loopback_networks;
use printgate::discovery::sweep::{Progress, Sweep, SweepOptions};
use printgate::domain::net::{Network, PrinterPolicy};
use printgate::domain::sighting::{DiscoveryEvent, Sighting};
use printgate::snmp::client::{Client, Login};
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc;

/// Far longer than any of these sweeps takes.
pub(crate) const SWEEP: Duration = Duration::from_secs(120);

pub(crate) fn run<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(body)
}

pub(crate) fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(crate) fn communities(texts: &[&str]) -> Vec<Login> {
    texts.iter().map(|text| Login::Community((*text).to_owned())).collect()
}

/// Loopback networks, fast.
pub(crate) fn options(texts: &[&str]) -> SweepOptions {
    let mut options = SweepOptions::new(networks(texts), PrinterPolicy { allowed: loopback_networks() });
    options.rate = 2_000;
    options
}

/// What came of a sweep.
pub(crate) struct Swept {
    pub(crate) found: Vec<Sighting>,
    pub(crate) lost: Vec<String>,
    pub(crate) progress: Progress,
}

impl Swept {
    pub(crate) fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.found.iter().map(|seen| seen.key.as_str()).collect();
        keys.sort_unstable();
        keys
    }

    #[track_caller]
    pub(crate) fn sighting(&self, key: &str) -> &Sighting {
        let found = self.found.iter().find(|seen| seen.key == key);
        found.unwrap_or_else(|| panic!("{key} is not among {:?}", self.keys()))
    }

    pub(crate) fn ignored(&self, reason: &str) -> u64 {
        self.progress.ignored.get(reason).copied().unwrap_or_default()
    }
}

pub(crate) async fn client(logins: Vec<Login>) -> Client {
    Client::open(logins).await.unwrap()
}

/// One sweep with everything that it reports.
pub(crate) async fn sweep(sweep: &mut Sweep) -> Swept {
    let (sender, mut events) = mpsc::channel(16);
    let progress = sweep.progress();
    let collect = async {
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        while let Some(event) = events.recv().await {
            match event {
                DiscoveryEvent::Found(sighting) => found.push(*sighting),
                DiscoveryEvent::Lost { key } => lost.push(key),
                DiscoveryEvent::Withdrawn { key } => panic!("{key} withdrawn"),
            }
        }
        (found, lost)
    };
    let once = async {
        let done = sweep.once(&sender).await;
        drop(sender);
        done
    };
    let (done, (found, lost)) =
        tokio::time::timeout(SWEEP, async { tokio::join!(once, collect) }).await.expect("the sweep ends");
    done.unwrap();
    let progress = progress.borrow().clone();
    println!("{progress:?}");
    Swept { found, lost, progress }
}
