//! Who is known by which key, and who is at which place: so that an event touches those it may concern and no others.

use super::printer::Printer;
use super::quarantine::Quarantined;
use super::{Owner, Registry};
use crate::domain::endpoint::Endpoint;
use crate::domain::identity::{Facts, Key};
use crate::domain::ids::PrinterId;
use crate::domain::makers;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// What is looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Mark {
    /// A strong key of a printer, or of a device that waits.
    Key(Key),
    /// A serial number of a printer, whoever its maker is.
    Serial(String),
    /// The host of an endpoint, lower case.
    Host(String),
    /// An address of an endpoint.
    Address(IpAddr),
    /// The name and model of a printer.
    Name(String),
}

/// The index. Kept up to date by [`Registry::index_printer`] and [`Registry::index_waiting`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    by_mark: HashMap<Mark, BTreeSet<Owner>>,
    by_owner: HashMap<Owner, BTreeSet<Mark>>,
}

impl Index {
    pub(super) fn set(&mut self, owner: &Owner, marks: BTreeSet<Mark>) {
        let old = if marks.is_empty() {
            self.by_owner.remove(owner)
        } else {
            self.by_owner.insert(owner.clone(), marks.clone())
        };
        let old = old.unwrap_or_default();
        for gone in old.difference(&marks) {
            if let Some(owners) = self.by_mark.get_mut(gone) {
                owners.remove(owner);
                if owners.is_empty() {
                    self.by_mark.remove(gone);
                }
            }
        }
        for new in marks.difference(&old) {
            self.by_mark.entry(new.clone()).or_default().insert(owner.clone());
        }
    }

    fn owners<'a>(&'a self, mark: &Mark) -> impl Iterator<Item = &'a Owner> + use<'a> {
        self.by_mark.get(mark).into_iter().flatten()
    }

    /// All marks that several have.
    pub(super) fn shared(&self) -> impl Iterator<Item = (&Mark, &BTreeSet<Owner>)> {
        self.by_mark.iter().filter(|(_, owners)| owners.len() > 1)
    }
}

impl Registry {
    /// The printers that have this strong key; of a serial number, also under another name of its maker.
    pub(super) fn holders<'a>(&'a self, key: &Key) -> impl Iterator<Item = &'a Printer> + use<'a> {
        let serial = match key {
            Key::Serial(text) => text.split_once(' ').map(|(make, serial)| (make.to_owned(), serial.to_owned())),
            _ => None,
        };
        let mark = serial.as_ref().map_or_else(|| Mark::Key(key.clone()), |(_, serial)| Mark::Serial(serial.clone()));
        // Printers come first in the order of owners.
        let ids = self.index.owners(&mark).map_while(|owner| match owner {
            Owner::Printer(id) => Some(id),
            Owner::Quarantined(_) => None,
        });
        let has = move |printer: &&Printer| {
            serial.as_ref().is_none_or(|(make, serial)| {
                let named = |(other, s): &(Option<String>, String)| {
                    s == serial && other.as_ref().is_some_and(|other| makers::related(make, other))
                };
                printer.facts().serials.iter().any(named)
            })
        };
        ids.filter_map(|id| self.printers.get(id)).filter(has)
    }

    /// Who has this strong key, with an id or without.
    pub(super) fn owners_of<'a>(&'a self, key: &Key) -> impl Iterator<Item = &'a Owner> + use<'a> {
        self.index.owners(&Mark::Key(key.clone()))
    }

    /// Who has endpoints at the host or an address of this one.
    pub(super) fn at_place(&self, place: &Endpoint) -> BTreeSet<Owner> {
        let host = Mark::Host(place.host.to_ascii_lowercase());
        let mut owners: BTreeSet<Owner> = self.index.owners(&host).cloned().collect();
        owners.extend(self.at_addresses(place));
        owners
    }

    /// Who has endpoints at an address of this one.
    pub(super) fn at_addresses(&self, place: &Endpoint) -> BTreeSet<Owner> {
        place.addresses.iter().flat_map(|a| self.index.owners(&Mark::Address(*a))).cloned().collect()
    }

    /// The printers with endpoints at an address of these, or, where asked for, at a host of them. What waits there, of
    /// which there may be very many, is passed over.
    pub(super) fn printers_at<'a>(&self, places: impl IntoIterator<Item = &'a Endpoint>, hosts: bool) -> Vec<&Printer> {
        let mut ids: BTreeSet<&PrinterId> = BTreeSet::new();
        for place in places {
            let host = hosts.then(|| Mark::Host(place.host.to_ascii_lowercase()));
            for mark in host.into_iter().chain(place.addresses.iter().copied().map(Mark::Address)) {
                // Printers come first in the order of owners.
                ids.extend(self.index.owners(&mark).map_while(|owner| match owner {
                    Owner::Printer(id) => Some(id),
                    Owner::Quarantined(_) => None,
                }));
            }
        }
        ids.into_iter().filter_map(|id| self.printers.get(id)).collect()
    }

    /// The devices that wait at the host of an endpoint, in the order in which they came.
    pub(super) fn waiting_at_host(&self, place: &Endpoint) -> impl Iterator<Item = u64> + use<'_> {
        let owners = self.index.by_mark.get(&Mark::Host(place.host.to_ascii_lowercase()));
        let waiting = owners.into_iter().flat_map(|owners| owners.range(Owner::Quarantined(0)..));
        waiting.filter_map(|owner| match owner {
            Owner::Printer(_) => None,
            Owner::Quarantined(n) => Some(*n),
        })
    }

    /// How many are at the emptiest address of an endpoint; without addresses, at its host.
    pub(super) fn crowd(&self, place: &Endpoint) -> usize {
        let count = |mark: &Mark| self.index.by_mark.get(mark).map_or(0, BTreeSet::len);
        let emptiest = place.addresses.iter().map(|a| count(&Mark::Address(*a))).min();
        emptiest.unwrap_or_else(|| count(&Mark::Host(place.host.to_ascii_lowercase())))
    }

    /// The printers among owners.
    pub(super) fn printers_of(&self, owners: BTreeSet<Owner>) -> Vec<&Printer> {
        let id = |owner| match owner {
            Owner::Printer(id) => Some(id),
            Owner::Quarantined(_) => None,
        };
        owners.into_iter().filter_map(id).filter_map(|id| self.printers.get(&id)).collect()
    }

    pub(super) fn index_printer(&mut self, id: &PrinterId) {
        let marks = self.printers.get(id).map(marks_of_printer).unwrap_or_default();
        self.index.set(&Owner::Printer(id.clone()), marks);
    }

    pub(super) fn index_waiting(&mut self, n: u64) {
        let marks = self.quarantine.get(&n).map(marks_of_waiting).unwrap_or_default();
        self.index.set(&Owner::Quarantined(n), marks);
    }

    /// The index made anew.
    pub(super) fn fresh_index(&self) -> Index {
        let mut index = Index::default();
        for (id, printer) in &self.printers {
            index.set(&Owner::Printer(id.clone()), marks_of_printer(printer));
        }
        for (n, q) in &self.quarantine {
            index.set(&Owner::Quarantined(*n), marks_of_waiting(q));
        }
        index
    }
}

fn marks_of_printer(printer: &Printer) -> BTreeSet<Mark> {
    let facts = printer.facts();
    let mut marks: BTreeSet<Mark> = facts.keys_and_nodes().into_iter().map(Mark::Key).collect();
    let serials = facts.serials.iter().filter(|(make, _)| make.is_some());
    marks.extend(serials.map(|(_, serial)| Mark::Serial(serial.clone())));
    marks.extend(printer.endpoints.iter().flat_map(|e| marks_of_place(&e.endpoint)));
    if let Some(model) = facts.model {
        marks.insert(Mark::Name(format!("{}, {model}", printer.name.to_lowercase())));
    }
    marks
}

fn marks_of_waiting(q: &Quarantined) -> BTreeSet<Mark> {
    let keys = Facts::of(&q.evidence()).keys().into_iter().map(Mark::Key);
    keys.chain(q.endpoints.iter().flat_map(|e| marks_of_place(&e.endpoint))).collect()
}

fn marks_of_place(place: &Endpoint) -> impl Iterator<Item = Mark> {
    let host = Mark::Host(place.host.to_ascii_lowercase());
    std::iter::once(host).chain(place.addresses.iter().copied().map(Mark::Address))
}
