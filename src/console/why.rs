//! Why a printer is who it is: its joins, and everything by which it was ever known.

use super::api::{Known, Place, Printer, PutAway, Why};
use crate::domain::registry::{self, Because, Duplicate, KnownEndpoint};
use std::collections::BTreeSet;

/// Of one printer as shown and as stored; `duplicates` are everybody's.
pub(super) fn of(printer: &Printer, stored: Option<registry::Printer>, mut duplicates: Vec<Duplicate>) -> Why {
    duplicates.retain(|pair| pair.a.as_str() == printer.id || pair.b.as_str() == printer.id);
    Why {
        id: printer.id.clone(),
        name: printer.name.clone(),
        standing: printer.standing.clone(),
        known: stored.as_ref().map(known).unwrap_or_default(),
        places: stored.iter().flat_map(|stored| stored.endpoints.iter().map(place)).collect(),
        joins: stored.map(|stored| stored.joins).unwrap_or_default(),
        duplicates,
    }
}

/// Of one that was put away: nothing was joined to it, and this much is known.
pub(super) fn of_put_away(one: PutAway) -> Why {
    Why {
        known: Known {
            ids: vec![one.id.clone()],
            serials: one.serial.into_iter().collect(),
            uuids: one.uuid.into_iter().collect(),
            macs: one.macs,
            hosts: Vec::new(),
            addresses: one.addresses,
        },
        id: one.id,
        name: one.name,
        standing: one.why,
        joins: Vec::new(),
        places: Vec::new(),
        duplicates: Vec::new(),
    }
}

fn known(printer: &registry::Printer) -> Known {
    let evidence = std::iter::once(&printer.evidence).chain(printer.endpoints.iter().map(|e| &e.announced));
    let joined = |because: Because| printer.joins.iter().filter(move |join| join.because == because);
    let values = |because: Because| joined(because).map(|join| join.value.clone()).filter(|value| !value.is_empty());
    let (mut serials, mut uuids, mut macs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for e in evidence {
        serials.extend(e.serial.clone());
        uuids.extend(e.uuid.clone());
        macs.extend(e.macs.iter().cloned());
    }
    serials.extend(values(Because::Serial));
    uuids.extend(values(Because::Uuid));
    macs.extend(values(Because::Mac));
    let mut hosts: BTreeSet<String> = printer.endpoints.iter().map(|e| e.endpoint.host.clone()).collect();
    hosts.extend(values(Because::Host));
    let addresses = printer.endpoints.iter().flat_map(|e| e.endpoint.addresses.iter().map(ToString::to_string));
    let mut addresses: BTreeSet<String> = addresses.collect();
    addresses.extend(values(Because::Address));
    let ids = std::iter::once(&printer.id).chain(&printer.aliases).map(ToString::to_string);
    let all = |values: BTreeSet<String>| values.into_iter().collect();
    Known {
        ids: ids.collect(),
        serials: all(serials),
        uuids: all(uuids),
        macs: all(macs),
        hosts: all(hosts),
        addresses: all(addresses),
    }
}

fn place(known: &KnownEndpoint) -> Place {
    let source = match known.key.split_once(':') {
        Some(("list", _)) => "list",
        Some(("snmp", _)) => "snmp",
        _ => "mdns",
    };
    Place {
        key: known.key.clone(),
        source: source.to_owned(),
        uri: known.endpoint.uri(),
        host: known.endpoint.host.clone(),
        addresses: known.endpoint.addresses.iter().map(ToString::to_string).collect(),
        last_seen: known.last_seen,
        lost: known.lost,
    }
}
