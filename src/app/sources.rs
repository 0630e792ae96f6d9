//! The sources of sightings: mDNS, the list of printers, the SNMP sweep. The same for the gateway and for one look around.

use super::{hinted, snmp_side, sweep_side, visits};
use crate::config::Config;
use crate::discovery::listed;
use crate::discovery::mdns::{Counters, Health, Mdns, MdnsOptions, RETELL};
use crate::discovery::print_places::{Held, PrintPlaces};
use crate::discovery::record::Accept;
use crate::discovery::sweep::Progress;
use crate::discovery::{local_networks, loopback_networks};
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::net::PrinterPolicy;
use crate::domain::sighting::DiscoveryEvent;
use crate::hub::{GivenName, Printers};
use crate::jobs::Networks;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How often the machine's networks are looked at.
const NETWORKS_LOOK: Duration = Duration::from_secs(30);
/// A name that was not looked up by then is not waited for by one look around.
const LOOKED_UP: Duration = Duration::from_secs(12);

/// At the start: how long mDNS has to say where print ports are before IPP is spoken where nobody announced it.
const FIRST_HEARD: Duration = Duration::from_secs(3);

/// How often it is looked whether sightings were refused, to be told again.
const REFUSED_LOOK: Duration = Duration::from_secs(15);
/// The same when they were refused again and again.
const REFUSED_LOOK_LONGEST: Duration = Duration::from_secs(600);

/// How long a change over mDNS must last before the gateway is told.
pub(super) const SETTLE: Duration = Duration::from_secs(1);

/// Keys of sightings from earlier runs.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// All.
    pub(super) known: Vec<String>,
    /// Those of the list of printers that are no longer in it.
    pub(super) forgotten: Vec<String>,
}

/// How the search for printers goes.
#[derive(Debug, Clone)]
pub(super) struct Searches {
    /// mDNS; nothing where it is not listened to.
    pub(super) mdns: watch::Receiver<Option<Browsing>>,
    /// The SNMP sweep; nothing where no network is swept.
    pub(super) sweep: Option<watch::Receiver<Progress>>,
    /// Entries of the list of printers.
    pub(super) listed: u64,
    /// Those that were reported so far, or could not be.
    looked_up: watch::Receiver<u64>,
    /// Places of the list to be asked, and how many were.
    bare: u64,
    visited: watch::Receiver<visits::Asked>,
}

impl Searches {
    /// Whether every entry of the list was reported, or asked, once.
    pub(super) fn listed_done(&self) -> bool {
        *self.looked_up.borrow() >= self.listed.saturating_sub(self.bare) && self.visited.borrow().count >= self.bare
    }

    /// Places of the list at which no printer is, by host, and why.
    pub(super) fn silent(&self) -> BTreeMap<String, String> {
        self.visited.borrow().silent.clone()
    }

    /// Whether every network was swept once, the time left, and what is being done.
    pub(super) fn sweep_progress(&self) -> (bool, Duration, Option<String>) {
        let Some(sweep) = &self.sweep else { return (true, Duration::ZERO, None) };
        let now = sweep.borrow();
        let done = now.sweeps > 0 || (now.trouble.is_some() && now.remaining_seconds.is_none());
        if done {
            return (true, Duration::ZERO, None);
        }
        let left = now.remaining_seconds.and_then(|left| Duration::try_from_secs_f64(left).ok()).unwrap_or_default();
        let text = format!(
            "sweeping: {} of {} addresses, pass {}, {} agents",
            now.asked,
            now.addresses,
            now.pass.max(1),
            now.answered
        );
        (false, left, Some(text))
    }
}

/// mDNS on the networks that the machine has now.
#[derive(Debug, Clone)]
pub(super) struct Browsing {
    pub(super) health: watch::Receiver<Health>,
    pub(super) counters: Arc<Counters>,
}

/// Starts all sources that the configuration names; without `snmp` only those that ask nobody.
pub(super) fn start(
    config: &Config,
    before: Before,
    settle: Duration,
    snmp: Option<&snmp_side::Clients>,
    (printers, places): (&Printers, &PrintPlaces),
    sightings: &mpsc::Sender<DiscoveryEvent>,
    cancel: &CancellationToken,
) -> Searches {
    let (told, looked_up) = watch::channel(0);
    let (named, by_hand) = mpsc::channel(16);
    let (again, asked) = watch::channel(0);
    tokio::spawn(tell_again(printers.clone(), again, cancel.clone()));
    tokio::spawn(count(by_hand, sightings.clone(), told));
    tokio::spawn(named_by_hand(config.clone(), before.forgotten, asked.clone(), named, cancel.clone()));
    let (done, visited) = watch::channel(visits::Asked::default());
    let bare: Vec<_> = config.printer_list.iter().filter(|p| p.kind == EndpointKind::Snmp).cloned().collect();
    let bare_count = bare.len() as u64;
    let mut sweep = None;
    match snmp {
        None => done.send_modify(|asked| {
            asked.count = bare_count;
            let why = || "an address alone says nothing until it is asked".to_owned();
            asked.silent = bare.iter().map(|printer| (printer.host.clone(), why())).collect();
        }),
        Some(snmp) => {
            let (clients, events, port, allowed) = (snmp.clone(), sightings.clone(), config.snmp.port, config.clone());
            let (ended, no_ipp) = (cancel.clone(), places.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = visits::run(bare, port, clients, (|| policy(&allowed), no_ipp), events, done) => {}
                }
            });
            let swept = config.sweep.is_wanted() && config.snmp.enabled;
            let allowed = config.clone();
            let told = (move || policy(&allowed), places.clone());
            let progress =
                sweep_side::start(config, before.known, snmp.clone(), told, sightings.clone(), cancel.clone());
            sweep = swept.then_some(progress);
        }
    }
    let (seen, mdns) = watch::channel(None);
    if config.mdns {
        let (snmp, printers, places) = (snmp.cloned(), printers.clone(), places.clone());
        let around = Around { settle, snmp, printers, places, asked };
        tokio::spawn(browse(config.clone(), around, sightings.clone(), seen, cancel.clone()));
    }
    let listed = config.printer_list.len() as u64;
    Searches { mdns, sweep, listed, looked_up, bare: bare_count, visited }
}

/// The names that the list of printers gives.
pub(super) fn given_names(config: &Config) -> Vec<GivenName> {
    let named = config.printer_list.iter().filter(|printer| printer.named);
    named
        .map(|printer| GivenName {
            key: (printer.kind != EndpointKind::Snmp).then(|| listed::key(printer)),
            host: printer.host.clone(),
            name: printer.name.clone(),
        })
        .collect()
}

/// Hands on what was named by hand, and counts it. What is not reported within the time of a look-up does not count.
async fn count(
    mut by_hand: mpsc::Receiver<DiscoveryEvent>,
    sightings: mpsc::Sender<DiscoveryEvent>,
    told: watch::Sender<u64>,
) {
    let mut seen = BTreeSet::new();
    let give_up = tokio::time::sleep(LOOKED_UP);
    tokio::pin!(give_up);
    loop {
        tokio::select! {
            event = by_hand.recv() => {
                let Some(event) = event else { return };
                let key = match &event {
                    DiscoveryEvent::Found(sighting) => Some(sighting.key.clone()),
                    _ => None,
                };
                if sightings.send(event).await.is_err() {
                    return;
                }
                if key.is_some_and(|key| seen.insert(key)) {
                    told.send_modify(|count| *count = count.saturating_add(1));
                }
            }
            () = &mut give_up, if !give_up.is_elapsed() => told.send_modify(|count| *count = u64::MAX),
        }
    }
}

/// Asks the sources that tell changes alone to tell all again, as long as sightings are refused: under a flood there may
/// be no room for a printer when it is heard first.
async fn tell_again(printers: Printers, again: watch::Sender<u64>, cancel: CancellationToken) {
    let (mut pause, mut before) = (REFUSED_LOOK, printers.overview().refused);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let refused = printers.overview().refused;
        pause = if refused == before { REFUSED_LOOK } else { (pause * 2).min(REFUSED_LOOK_LONGEST) };
        if refused != before {
            before = refused;
            again.send_replace(refused);
        }
    }
}

/// Reports the printers of the configuration's list, and takes back those that are no longer in it.
async fn named_by_hand(
    config: Config,
    forgotten: Vec<String>,
    asked: watch::Receiver<u64>,
    sightings: mpsc::Sender<DiscoveryEvent>,
    cancel: CancellationToken,
) {
    let list: Vec<_> = config.printer_list.iter().filter(|p| p.kind != EndpointKind::Snmp).cloned().collect();
    let work = async {
        for key in forgotten {
            if sightings.send(DiscoveryEvent::Withdrawn { key }).await.is_err() {
                return;
            }
        }
        if !list.is_empty() {
            listed::run(list, || policy(&config), asked, sightings.clone()).await;
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = work => {}
    }
}

/// What mDNS runs with.
struct Around {
    /// How long a change must last before it is told.
    settle: Duration,
    /// For hints; without, they are not followed.
    snmp: Option<snmp_side::Clients>,
    /// Who is known already.
    printers: Printers,
    /// Where no IPP is spoken.
    places: PrintPlaces,
    /// All is told again when this changes.
    asked: watch::Receiver<u64>,
}

/// Runs mDNS, anew whenever the machine's networks are others: a gateway may start before its network does. What the one
/// before had reported and the new one does not find within [`RETELL`] is reported lost.
async fn browse(
    config: Config,
    around: Around,
    sightings: mpsc::Sender<DiscoveryEvent>,
    seen: watch::Sender<Option<Browsing>>,
    cancel: CancellationToken,
) {
    let Around { settle, snmp, printers, places, asked } = around;
    let mut reported = Reported::default();
    let mut held = None;
    loop {
        let policy = policy(&config);
        let mut options = MdnsOptions::new(policy.clone());
        options.loopback = config.loopback;
        options.port = config.mdns_port;
        options.settle = settle;
        options.accept = Accept { shares: config.accept_shares, usb: config.accept_usb };
        let moved = async {
            loop {
                tokio::time::sleep(NETWORKS_LOOK).await;
                if self::policy(&config) != policy {
                    // Before the present search ends, and with it what it heard.
                    return places.hold();
                }
            }
        };
        let mdns = Mdns::new(options).telling(places.clone()).asked_by(asked.clone());
        let (found, heard) = mpsc::channel(16);
        let allowed = || self::policy(&config);
        let (hints, port) = (mdns.hints(), config.snmp.port);
        let hinted = async {
            if let Some(clients) = snmp.clone() {
                hinted::run(hints, port, clients, allowed, &printers, places.clone(), sightings.clone()).await;
            }
        };
        let told_again = hold_until_told_again(held.take());
        seen.send_replace(Some(Browsing { health: mdns.health(), counters: mdns.counters() }));
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = async { tokio::join!(mdns.run(found), reported.pass_on(heard, &sightings), hinted, told_again) } => return,
            heard = moved => {
                tracing::info!("the networks of this machine changed; looking for printers anew");
                places.listen_first(FIRST_HEARD);
                held = Some(heard);
            }
        }
    }
}

/// Ends what is held when the search that runs beside this has had the time to hear it again.
async fn hold_until_told_again(held: Option<Held>) {
    if held.is_some() {
        tokio::time::sleep(RETELL).await;
    }
}

/// What mDNS reported and has not taken back, across its restarts.
#[derive(Debug, Default)]
struct Reported {
    keys: BTreeSet<String>,
}

impl Reported {
    /// Hands on what one run of mDNS reports, until it ends; what runs before had reported and this one does not within
    /// [`RETELL`] is lost. Dropped between two events, it loses at most one that was not handed on: its key is known, so
    /// that it is lost or found in the next run.
    async fn pass_on(&mut self, mut heard: mpsc::Receiver<DiscoveryEvent>, sightings: &mpsc::Sender<DiscoveryEvent>) {
        let mut untold = self.keys.clone();
        let retell = tokio::time::sleep(RETELL);
        tokio::pin!(retell);
        loop {
            let event = tokio::select! {
                event = heard.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
                () = &mut retell, if !untold.is_empty() => {
                    while let Some(key) = untold.first().cloned() {
                        if sightings.send(DiscoveryEvent::Lost { key: key.clone() }).await.is_err() {
                            return;
                        }
                        untold.remove(&key);
                        self.keys.remove(&key);
                    }
                    continue;
                }
            };
            let over = match &event {
                DiscoveryEvent::Found(sighting) => {
                    untold.remove(&sighting.key);
                    self.keys.insert(sighting.key.clone());
                    None
                }
                DiscoveryEvent::Lost { key } | DiscoveryEvent::Withdrawn { key } => {
                    untold.remove(key);
                    Some(key.clone())
                }
            };
            if sightings.send(event).await.is_err() {
                return;
            }
            if let Some(key) = over {
                self.keys.remove(&key);
            }
        }
    }
}

/// Where no IPP is spoken: what the sources hear, what the hub knows, and what the list of printers says.
pub(super) fn print_places(config: &Config, printers: &Printers) -> PrintPlaces {
    let (printers, list) = (printers.clone(), config.printer_list.clone());
    let places = PrintPlaces::new(move |address, port| {
        let listed = list.iter().filter(|printer| printer.kind.is_raw() && printer.port == port);
        let is_raw = |endpoint: &Endpoint| {
            endpoint.kind.is_raw() && endpoint.port == port && endpoint.addresses.contains(&address)
        };
        listed.into_iter().any(|printer| printer.host.parse() == Ok(address))
            || printers.all().iter().any(|view| view.endpoints.iter().any(|(endpoint, _)| is_raw(endpoint)))
    });
    if config.mdns {
        places.listen_first(FIRST_HEARD);
    }
    places
}

/// Where printers may be contacted, looked up anew each time.
pub(super) fn networks(config: &Config) -> Networks {
    let config = config.clone();
    Arc::new(move || policy(&config))
}

/// Printers may be where the gateway is connected directly, and where the configuration says.
pub(super) fn policy(config: &Config) -> PrinterPolicy {
    let mut allowed = local_networks();
    // Printers on USB are announced there.
    if config.loopback || config.accept_usb {
        allowed.extend(loopback_networks());
    }
    allowed.extend(config.printer_networks.iter().cloned());
    allowed.extend(config.sweep.networks.iter().copied());
    PrinterPolicy { allowed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::Endpoint;
    use crate::domain::sighting::{Evidence, Sighting};
    use tokio::time::{Instant, timeout};

    fn found(key: &str) -> DiscoveryEvent {
        let endpoint = Endpoint {
            kind: EndpointKind::Ipp,
            host: "p.local".into(),
            addresses: vec![],
            scope_id: 0,
            port: 631,
            path: "/ipp/print".into(),
        };
        DiscoveryEvent::Found(Box::new(Sighting {
            key: key.into(),
            name: key.into(),
            host: "p.local".into(),
            endpoint,
            priority: 0,
            evidence: Evidence::default(),
            location: None,
            formats: vec![],
        }))
    }

    fn lost(key: &str) -> DiscoveryEvent {
        DiscoveryEvent::Lost { key: key.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_new_search_does_not_find_again_is_lost() {
        let mut reported = Reported::default();
        let (sightings, mut told) = mpsc::channel(16);
        let (first, heard) = mpsc::channel(16);
        for event in [found("stays"), found("goes"), found("gone"), lost("gone")] {
            first.send(event).await.unwrap();
        }
        drop(first);
        reported.pass_on(heard, &sightings).await;
        for _ in 0..4 {
            told.recv().await.unwrap();
        }
        // The networks changed.
        let (second, heard) = mpsc::channel(16);
        second.send(found("stays")).await.unwrap();
        let begun = Instant::now();
        let hands_on = reported.pass_on(heard, &sightings);
        let reads = async {
            let events = [told.recv().await.unwrap(), told.recv().await.unwrap()];
            assert_eq!(events, [found("stays"), lost("goes")]);
            assert_eq!(begun.elapsed().as_secs(), RETELL.as_secs());
            drop(second);
        };
        timeout(Duration::from_secs(600), async { tokio::join!(hands_on, reads) }).await.unwrap();
        assert_eq!(reported.keys, BTreeSet::from(["stays".to_owned()]));
        assert!(told.try_recv().is_err(), "nothing is told twice");
    }
}
