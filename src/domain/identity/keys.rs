//! Strong keys, and what two sets of facts say of whether they are of one device. The ladder is in the module above.

use super::{Reason, Verdict, canonical, canonical_host, models_conflict};
use crate::domain::makers;
use crate::domain::sighting::Evidence;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// Something by which a device is known: canonical, so that equal keys are equal values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum Key {
    /// Canonical maker, a space, serial number.
    Serial(String),
    /// UUID.
    Uuid(String),
    /// Address of a network card.
    Mac(String),
    /// Host name. Weak.
    Host(String),
    /// Address. Weak.
    Address(IpAddr),
}

impl Key {
    /// The key of a host name; nothing for one that names no host.
    pub fn host(text: &str) -> Option<Self> {
        canonical_host(text).map(Self::Host)
    }

    /// The serial number without its maker, of a key that is one.
    pub fn serial(&self) -> Option<&str> {
        let Self::Serial(text) = self else { return None };
        text.split_once(' ').map(|(_, serial)| serial)
    }

    /// Whether it identifies a device.
    pub fn is_strong(&self) -> bool {
        matches!(self, Self::Serial(_) | Self::Uuid(_) | Self::Mac(_))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(text) | Self::Uuid(text) | Self::Mac(text) | Self::Host(text) => f.write_str(text),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// What is known of a device's identity: from one word of it, or gathered over its life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Serial numbers with the maker, where that is known.
    pub serials: BTreeSet<(Option<String>, String)>,
    /// UUIDs.
    pub uuids: BTreeSet<String>,
    /// Addresses of network cards that it told.
    pub macs: BTreeSet<String>,
    /// Addresses of network cards from the node part of version 1 UUIDs (RFC 9562 §5.1). They join, they never part.
    pub nodes: BTreeSet<String>,
    /// Model.
    pub model: Option<String>,
}

impl Facts {
    /// The facts of one record.
    pub fn of(evidence: &Evidence) -> Self {
        let Evidence { make, model, serial, uuid, macs } = canonical(evidence);
        let nodes = uuid.as_deref().and_then(node).into_iter().collect();
        Self {
            serials: serial.into_iter().map(|serial| (make.clone(), serial)).collect(),
            uuids: uuid.into_iter().collect(),
            macs: macs.into_iter().collect(),
            nodes,
            model,
        }
    }

    /// Adds a key known from earlier.
    pub fn add(&mut self, key: &Key) {
        match key {
            Key::Serial(text) => {
                if let Some((make, serial)) = text.split_once(' ') {
                    self.serials.insert((Some(make.to_owned()), serial.to_owned()));
                }
            }
            Key::Uuid(uuid) => {
                self.nodes.extend(node(uuid));
                self.uuids.insert(uuid.clone());
            }
            Key::Mac(mac) => {
                self.macs.insert(mac.clone());
            }
            Key::Host(_) | Key::Address(_) => {}
        }
    }

    /// The strong keys: a serial number counts with its maker only.
    pub fn keys(&self) -> Vec<Key> {
        let serials = self
            .serials
            .iter()
            .filter_map(|(make, serial)| make.as_ref().map(|make| Key::Serial(format!("{make} {serial}"))));
        let uuids = self.uuids.iter().cloned().map(Key::Uuid);
        let macs = self.macs.iter().cloned().map(Key::Mac);
        serials.chain(uuids).chain(macs).collect()
    }

    /// Also the addresses from the node parts of UUIDs.
    pub fn keys_and_nodes(&self) -> BTreeSet<Key> {
        self.keys().into_iter().chain(self.nodes.iter().cloned().map(Key::Mac)).collect()
    }

    /// The first value on which a verdict of this reason rests.
    pub fn value_of(&self, reason: Reason) -> String {
        let value = match reason {
            Reason::Serial => self.serials.first().map(|(_, serial)| serial),
            Reason::Uuid => self.uuids.first(),
            Reason::Mac => self.macs.first().or(self.nodes.first()),
            Reason::Model => self.model.as_ref(),
        };
        value.cloned().unwrap_or_default()
    }

    /// Whether there is any strong key.
    pub fn has_keys(&self) -> bool {
        self.serials.iter().any(|(make, _)| make.is_some()) || !self.uuids.is_empty() || !self.macs.is_empty()
    }
}

/// Whether two sets of facts are of one device. `worthless` says which UUIDs and MAC addresses are known to be on several
/// devices: they count as absent.
pub fn compare(a: &Facts, b: &Facts, worthless: &dyn Fn(&Key) -> bool) -> Verdict {
    let useful_uuids = |f: &Facts| -> BTreeSet<String> {
        f.uuids.iter().filter(|u| !worthless(&Key::Uuid((*u).clone()))).cloned().collect()
    };
    let (uuids_a, uuids_b) = (useful_uuids(a), useful_uuids(b));
    let uuid_shared = !uuids_a.is_disjoint(&uuids_b);
    let uuids_apart = !uuids_a.is_empty() && !uuids_b.is_empty() && !uuid_shared;
    let cards = |f: &Facts, uuids: &BTreeSet<String>| -> BTreeSet<String> {
        // The node of a UUID that counts as absent does so too.
        let nodes = uuids.iter().filter_map(|uuid| node(uuid));
        f.macs.iter().cloned().chain(nodes).filter(|mac| !worthless(&Key::Mac(mac.clone()))).collect()
    };
    let mac_shared = !cards(a, &uuids_a).is_disjoint(&cards(b, &uuids_b));
    let macs_apart = !a.macs.is_empty() && !b.macs.is_empty() && a.macs.is_disjoint(&b.macs);
    let models_apart = matches!((&a.model, &b.model), (Some(a), Some(b)) if models_conflict(a, b));

    let mut foreign = false;
    if !a.serials.is_empty() && !b.serials.is_empty() {
        let pairs = || a.serials.iter().flat_map(|x| b.serials.iter().map(move |y| (x, y)));
        if !pairs().any(|((_, x), (_, y))| x == y) {
            return Verdict::Different(Reason::Serial);
        }
        let one = pairs().any(|((make_x, x), (make_y, y))| {
            x == y && matches!((make_x, make_y), (Some(x), Some(y)) if makers::related(x, y))
        });
        if one {
            return if uuids_apart && macs_apart && !mac_shared {
                Verdict::Disputed(Reason::Serial)
            } else {
                Verdict::Same(Reason::Serial)
            };
        }
        // One number of two makers; where a maker is not known, the number says nothing.
        foreign = pairs().all(|((x, _), (y, _))| x.is_some() && y.is_some());
    }
    if uuid_shared {
        // Not by the node of the very UUID they share.
        let mac_shared = !a.macs.is_disjoint(&b.macs);
        // Each has something else to be known by, and they share none of it: a cloned UUID looks like that too.
        let others = |f: &Facts| !f.serials.is_empty() || !f.macs.is_empty();
        let unproven = others(a) && others(b);
        return match (mac_shared, macs_apart || unproven, models_apart) {
            (false, true, _) => Verdict::Disputed(Reason::Uuid),
            (false, _, true) => Verdict::Different(Reason::Model),
            _ => Verdict::Same(Reason::Uuid),
        };
    }
    if mac_shared {
        return if models_apart { Verdict::Different(Reason::Model) } else { Verdict::Same(Reason::Mac) };
    }
    if uuids_apart {
        Verdict::Different(Reason::Uuid)
    } else if macs_apart {
        Verdict::Different(Reason::Mac)
    } else if models_apart {
        Verdict::Different(Reason::Model)
    } else if foreign {
        Verdict::Different(Reason::Serial)
    } else {
        Verdict::Open
    }
}

/// The network card's address in a version 1 UUID. A random node has the multicast bit set.
fn node(uuid: &str) -> Option<String> {
    let version_1 = uuid.get(14..15) == Some("1");
    uuid.get(24..).filter(|_| version_1).and_then(super::canonical_mac)
}
