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
    pub capabilities: Capabilities,
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
    put_away: HashMap<PrinterId, PutAway>,
    overview: Overview,
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
                    news |= map.views.remove(&id).is_some();
                    continue;
                };
                map.put_away.remove(&id);
                for alias in &view.aliases {
                    map.aliases.insert(alias.clone(), id.clone());
                }
                let old = map.views.insert(id, Arc::new(view.clone()));
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
