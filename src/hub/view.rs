//! What others may read of the printers: a snapshot per printer, replaced as a whole.

use super::Gone;
use crate::cloud::wire::PrinterCounts;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::PrinterId;
use crate::domain::job::presence::Who;
use crate::domain::registry::{Duplicate, Parked, Pin, Standing};
use crate::domain::state::{Capabilities, Status};
use jiff::Timestamp;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// One printer as job workers and the command line see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrinterView {
    /// Its id.
    pub id: PrinterId,
    /// Ids that lead to it too.
    pub aliases: Vec<PrinterId>,
    /// The name a person sees.
    pub name: String,
    /// Whether it is in use or waits for approval.
    pub standing: Standing,
    /// Where it stands.
    pub location: Option<String>,
    /// Maker and model, where known.
    pub make_and_model: String,
    /// How it is reached, in the order to try, each with the certificate trusted there.
    pub endpoints: Vec<(Endpoint, Option<Pin>)>,
    /// Formats announced or configured for its AppSocket and LPD endpoints, where there are any.
    pub formats: Vec<(Endpoint, Vec<String>)>,
    /// What it is known by, and the agent that speaks for it.
    pub who: Arc<Who>,
    /// What it does.
    pub status: Status,
    /// Whether it is taken to answer.
    pub online: bool,
    /// `OK` or the keyword of what is wrong.
    pub error_code: String,
    /// `printer-state-reasons` last observed.
    pub reasons: Vec<String>,
    /// Whether it takes jobs, if it says.
    pub accepting: Option<bool>,
    /// What it can do, as last observed.
    pub capabilities: Arc<Capabilities>,
    /// `printer-up-time` at `observed_at`, in seconds.
    pub up_time: Option<i64>,
    /// When it was last observed.
    pub observed_at: Option<Timestamp>,
}

/// What is known beside single printers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// Devices that wait for their identity probe.
    pub quarantined: usize,
    /// Devices that are ignored or retired and were seen since the start, at most `PARKED_MAX`.
    pub parked: Vec<Parked>,
    /// Questions who somebody is that are under way or wait for their place.
    pub asking: usize,
    /// Sightings that were not taken since the start.
    pub refused: u64,
    /// Printers that may be one.
    pub duplicates: Arc<Vec<Duplicate>>,
}

/// A printer that an administrator put away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutAway {
    /// Its id.
    pub id: PrinterId,
    /// Why.
    pub why: Gone,
    /// As it was, if it was put away in this run: what is under way there can be followed to its end.
    pub last: Option<Arc<PrinterView>>,
}

/// Ignored and retired devices that are told.
pub(super) const PARKED_MAX: usize = 500;

/// Put away printers that are kept; more are not told apart from unknown ones.
const PUT_AWAY_MAX: usize = 2_000;

/// A handle to the view; clones share it.
#[derive(Debug, Clone)]
pub struct Printers {
    map: Arc<RwLock<Map>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Map {
    views: HashMap<PrinterId, Arc<PrinterView>>,
    aliases: HashMap<PrinterId, PrinterId>,
    /// How many ways to print without questions (AppSocket, LPD) are at an address and port.
    raw: HashMap<(IpAddr, u16), usize>,
    /// How many are reached over IPP at an address.
    ipp: HashMap<IpAddr, usize>,
    put_away: HashMap<PrinterId, PutAway>,
    overview: Overview,
}

impl Map {
    fn insert(&mut self, view: Arc<PrinterView>) -> Option<Arc<PrinterView>> {
        let old = self.remove(&view.id);
        for alias in &view.aliases {
            self.aliases.insert(alias.clone(), view.id.clone());
        }
        for (endpoint, address) in places(&view) {
            if endpoint.kind.is_ipp() {
                *self.ipp.entry(address).or_default() += 1;
            } else {
                *self.raw.entry((address, endpoint.port)).or_default() += 1;
            }
        }
        self.views.insert(view.id.clone(), view);
        old
    }

    /// Takes out a view with all that leads to it.
    fn remove(&mut self, id: &PrinterId) -> Option<Arc<PrinterView>> {
        let old = self.views.remove(id)?;
        for alias in &old.aliases {
            if self.aliases.get(alias) == Some(id) {
                self.aliases.remove(alias);
            }
        }
        for (endpoint, address) in places(&old) {
            if endpoint.kind.is_ipp() {
                take_one(&mut self.ipp, &address);
            } else {
                take_one(&mut self.raw, &(address, endpoint.port));
            }
        }
        Some(old)
    }
}

fn places(view: &PrinterView) -> impl Iterator<Item = (&Endpoint, IpAddr)> {
    let endpoints = view.endpoints.iter().map(|(endpoint, _)| endpoint);
    endpoints.flat_map(|endpoint| endpoint.addresses.iter().map(move |address| (endpoint, address.to_canonical())))
}

fn take_one<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Default for Printers {
    fn default() -> Self {
        Self { map: Arc::default(), changed: watch::Sender::new(0) }
    }
}

impl Printers {
    /// The printer of an id, also of one that was merged into another.
    pub fn get(&self, id: &PrinterId) -> Option<Arc<PrinterView>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.views.get(id).or_else(|| map.views.get(map.aliases.get(id)?)).cloned()
    }

    /// All printers, by id.
    pub fn all(&self) -> Vec<Arc<PrinterView>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = map.views.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Whether a printer takes whatever arrives at this port (AppSocket, LPD).
    pub fn is_print_port(&self, address: IpAddr, port: u16) -> bool {
        self.map.read().unwrap_or_else(PoisonError::into_inner).raw.contains_key(&(address.to_canonical(), port))
    }

    /// Whether a printer is reached over IPP at this address.
    pub fn speaks_ipp(&self, address: IpAddr) -> bool {
        self.map.read().unwrap_or_else(PoisonError::into_inner).ipp.contains_key(&address.to_canonical())
    }

    /// How many printers answer.
    pub fn counts(&self) -> PrinterCounts {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let mut counts = PrinterCounts { known: map.views.len() as u64, ..PrinterCounts::default() };
        for view in map.views.values() {
            match view.status {
                _ if view.standing == Standing::Pending => counts.pending += 1,
                Status::Offline => counts.offline += 1,
                Status::Unknown => counts.unknown += 1,
                _ => counts.online += 1,
            }
        }
        counts
    }

    /// What is known beside single printers.
    pub fn overview(&self) -> Overview {
        self.map.read().unwrap_or_else(PoisonError::into_inner).overview.clone()
    }

    /// The printers that an administrator put away.
    pub fn all_put_away(&self) -> Vec<PutAway> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).put_away.values().cloned().collect()
    }

    /// Tells when anything changed but the time of observation and the up-time: a number that grows.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// These were put away. Before their views are removed.
    pub fn put_away(&self, gone: Vec<(PrinterId, Gone)>) {
        if gone.is_empty() {
            return;
        }
        {
            let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
            for (id, why) in gone {
                if map.put_away.len() < PUT_AWAY_MAX || map.put_away.contains_key(&id) {
                    let last = map.views.get(&id).cloned();
                    map.put_away.insert(id.clone(), PutAway { id, why, last });
                }
            }
        }
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Replaces what is known beside single printers.
    pub fn tell(&self, overview: Overview) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if map.overview != overview {
            map.overview = overview;
        }
    }

    /// Replaces or, for `None`, removes views. For the hub, and for tests of what reads the view.
    pub fn publish(&self, views: Vec<(PrinterId, Option<PrinterView>)>) {
        if views.is_empty() {
            return;
        }
        let mut news = false;
        {
            let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
            for (id, view) in views {
                let Some(view) = view else {
                    news |= map.remove(&id).is_some();
                    continue;
                };
                map.put_away.remove(&id);
                let old = map.insert(Arc::new(view.clone()));
                let timeless = |v: &PrinterView| PrinterView { up_time: None, observed_at: None, ..v.clone() };
                news |= old.is_none_or(|old| timeless(&old) != timeless(&view));
            }
        }
        if !news {
            return;
        }
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::EndpointKind;

    fn id(text: &str) -> PrinterId {
        PrinterId::new(text).unwrap()
    }

    fn view(
        of: &str,
        aliases: &[&str],
        kind: EndpointKind,
        address: &str,
        port: u16,
    ) -> (PrinterId, Option<PrinterView>) {
        let address: IpAddr = address.parse().unwrap();
        let endpoint = Endpoint {
            kind,
            host: address.to_string(),
            addresses: vec![address],
            scope_id: 0,
            port,
            path: String::new(),
        };
        let view = PrinterView {
            id: id(of),
            aliases: aliases.iter().map(|alias| id(alias)).collect(),
            name: of.into(),
            standing: Standing::Adopted,
            location: None,
            make_and_model: String::new(),
            who: Arc::default(),
            endpoints: vec![(endpoint, None)],
            formats: vec![],
            status: Status::Idle,
            online: true,
            error_code: "OK".into(),
            reasons: vec![],
            accepting: None,
            capabilities: Default::default(),
            up_time: None,
            observed_at: None,
        };
        (id(of), Some(view))
    }

    #[test]
    fn places_and_aliases_are_those_of_the_present_views() {
        let (raw, ipp) = (EndpointKind::AppSocket, EndpointKind::Ipp);
        let printers = Printers::default();
        let here: IpAddr = "10.0.0.1".parse().unwrap();
        printers
            .publish(vec![view("hp-1", &[], raw, "10.0.0.1", 9100), view("hp-2", &[], raw, "::ffff:10.0.0.1", 9100)]);
        assert!(printers.is_print_port(here, 9100) && !printers.is_print_port(here, 631) && !printers.speaks_ipp(here));
        // One of them is the other one.
        printers.publish(vec![view("hp-1", &["hp-2"], ipp, "10.0.0.1", 631), (id("hp-2"), None)]);
        assert!(!printers.is_print_port(here, 9100) && printers.speaks_ipp(here));
        assert_eq!(printers.get(&id("hp-2")).unwrap().id, id("hp-1"));
        // The alias is forgotten; the printer goes.
        for n in 0..50 {
            printers.publish(vec![view("hp-1", &[&format!("hp-a{n}")], ipp, &format!("10.0.1.{n}"), 631)]);
        }
        assert_eq!(printers.map.read().unwrap().aliases.len(), 1);
        assert!(printers.get(&id("hp-2")).is_none() && printers.get(&id("hp-a49")).is_some());
        printers.publish(vec![(id("hp-1"), None)]);
        let map = printers.map.read().unwrap();
        assert_eq!((map.aliases.len(), map.raw.len(), map.ipp.len(), map.views.len()), (0, 0, 0, 0));
    }
}
