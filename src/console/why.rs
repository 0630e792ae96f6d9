//! Why a printer is who it is: its joins, and everything by which it was ever known.

use super::api::{Known, Place, Printer, PutAway, Why};
use crate::domain::identity::Key;
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
    // Earlier values are canonical; the present ones stand as the printer spells them.
    for alias in &printer.known {
        match &alias.key {
            Key::Serial(text) => add(&mut serials, text.split_once(' ').map_or(text.as_str(), |(_, serial)| serial)),
            Key::Uuid(uuid) => add(&mut uuids, uuid),
            Key::Mac(mac) => add(&mut macs, mac),
            Key::Host(host) => add(&mut hosts, host),
            Key::Address(address) => drop(addresses.insert(address.to_string())),
        }
    }
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

/// Adds a value, unless it is there in another spelling: MAC addresses have colons or dashes, host names may end in a dot.
fn add(values: &mut BTreeSet<String>, value: &str) {
    let plain = |text: &str| text.replace([':', '-'], "").trim_end_matches('.').to_ascii_lowercase();
    if values.iter().all(|known| plain(known) != plain(value)) {
        values.insert(value.to_owned());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::{Endpoint, EndpointKind};
    use crate::domain::registry::{Event, Registry};
    use crate::domain::sighting::{Evidence, Sighting};
    use jiff::Timestamp;

    fn agent(serial: &str, mac: &str) -> Event {
        let evidence = Evidence {
            make: Some("HP".into()),
            model: Some("M402".into()),
            serial: Some(serial.into()),
            uuid: None,
            macs: vec![mac.into()],
        };
        let endpoint = Endpoint {
            kind: EndpointKind::Snmp,
            host: "10.0.0.9".into(),
            addresses: vec!["10.0.0.9".parse().unwrap()],
            scope_id: 0,
            port: 161,
            path: String::new(),
        };
        Event::Sighting(Box::new(Sighting {
            key: "snmp:10.0.0.9".into(),
            name: "Laser".into(),
            host: "10.0.0.9".into(),
            endpoint,
            priority: 50,
            evidence,
            location: None,
            formats: vec![],
        }))
    }

    #[test]
    fn everything_by_which_a_printer_was_ever_known_is_shown_once() {
        let mut registry = Registry::default();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        registry.apply(agent("CNB1234567", "001122334455"), now);
        let mut printer = registry.printers().next().unwrap().clone();
        let alias = |key: Key| registry::Alias { key, at: now };
        printer.known.extend([
            alias(Key::Serial("hp OLDBOARD1".into())),
            alias(Key::Uuid("1c852a4d-b800-1f08-abcd-d4c9ef00c3a1".into())),
            alias(Key::Mac("aabbccddeeff".into())),
            alias(Key::Mac("001122334455".into())),
            alias(Key::Host("before.local".into())),
            alias(Key::Address("10.0.0.11".parse().unwrap())),
            alias(Key::Address("10.0.1.1".parse().unwrap())),
        ]);
        printer.evidence.macs = vec!["00:11:22:33:44:55".into()];
        printer.endpoints[0].announced.macs.clear();
        printer.endpoints[0].endpoint.host = "Now.local.".into();
        printer.known.push(alias(Key::Host("now.local".into())));
        let known = known(&printer);
        assert_eq!(known.serials, ["CNB1234567", "OLDBOARD1"]);
        assert_eq!(known.uuids, ["1c852a4d-b800-1f08-abcd-d4c9ef00c3a1"]);
        assert_eq!(known.macs, ["00:11:22:33:44:55", "aabbccddeeff"]);
        assert_eq!(known.hosts, ["Now.local.", "before.local"]);
        assert_eq!(known.addresses, ["10.0.0.11", "10.0.0.9", "10.0.1.1"]);
    }
}
