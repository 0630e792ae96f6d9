//! What others may read of the printers: a snapshot per printer, replaced as a whole.

use crate::cloud::wire::PrinterCounts;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::PrinterId;
use crate::domain::registry::Pin;
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
    /// Where it stands.
    pub location: Option<String>,
    /// Maker and model, where known.
    pub make_and_model: String,
    /// How it is reached, in the order to try, each with the certificate trusted there.
    pub endpoints: Vec<(Endpoint, Option<Pin>)>,
    /// Formats announced or configured for its AppSocket and LPD endpoints, where there are any.
    pub formats: Vec<(Endpoint, Vec<String>)>,
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
                Status::Offline => counts.offline += 1,
                Status::Unknown => counts.unknown += 1,
                _ => counts.online += 1,
            }
        }
        counts
    }

    /// Tells when anything changed but the time of observation and the up-time: a number that grows.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
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
