//! Printers as `printgate discover` shows them.

use crate::app::look::{Found, Looked};
use crate::cli::table::{Table, or_dash, plain};
use crate::domain::endpoint::EndpointKind;
use crate::domain::identity::{self, Fallback};
use crate::domain::ids::PrinterId;
use crate::domain::makers;
use crate::domain::registry::Standing;
use crate::domain::sighting::Evidence;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// One printer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Shown {
    pub(super) id: Option<String>,
    pub(super) name: String,
    /// The maker's usual name.
    pub(super) maker: Option<String>,
    /// As the device writes it.
    pub(super) make: Option<String>,
    pub(super) model: Option<String>,
    pub(super) serial: Option<String>,
    uuid: Option<String>,
    macs: Vec<String>,
    location: Option<String>,
    host: Option<String>,
    address: Option<IpAddr>,
    pub(super) addresses: Vec<IpAddr>,
    standing: &'static str,
    evidence: &'static str,
    sources: Vec<&'static str>,
    /// Whether it answered anything; nothing where it was not asked, or could not be.
    answered: Option<bool>,
    uri: Option<String>,
    formats: Vec<String>,
    endpoints: Vec<Way>,
}

/// One way to print to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Way {
    kind: EndpointKind,
    uri: String,
    addresses: Vec<IpAddr>,
    port: u16,
    priority: u8,
}

impl Shown {
    /// One that was found; its id only where it was asked who it is.
    pub(super) fn of(found: &Found, asked: bool) -> Self {
        let printer = &found.row.printer;
        let state = &found.row.state;
        let canonical = identity::canonical(&printer.evidence);
        let spelled = |canonical: &Option<String>, raw: &Option<String>| canonical.as_ref().and(raw.clone());
        let all = printer.preferred();
        let places = all.iter().filter(|e| e.endpoint.kind != EndpointKind::Snmp);
        let ways: Vec<Way> = places
            .map(|e| Way {
                kind: e.endpoint.kind,
                uri: e.endpoint.uri(),
                addresses: e.endpoint.addresses.clone(),
                port: e.endpoint.port,
                priority: e.priority,
            })
            .collect();
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in all.iter().flat_map(|e| &e.endpoint.addresses) {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        let mut sources: BTreeSet<&'static str> = all.iter().map(|e| source(&e.key)).collect();
        // Of one that waits for approval no state is kept, but it was asked who it is.
        sources.extend(all.iter().any(|e| e.answered.is_some() && e.endpoint.kind.is_ipp()).then_some("ipp"));
        sources.extend(state.ipp.last.as_ref().map(|_| "ipp"));
        sources.extend(state.snmp.last.as_ref().map(|_| "snmp"));
        let told = sources.contains("ipp") || sources.contains("snmp");
        let could_be_asked = told || all.iter().any(|e| e.endpoint.kind.is_ipp());
        let mut formats: BTreeSet<String> = all.iter().flat_map(|e| e.formats.iter().cloned()).collect();
        formats.extend(state.picture().capabilities.iter().flat_map(|(can, _)| can.formats.iter().cloned()));
        Self {
            id: asked.then(|| printer.id.to_string()),
            name: found.view.name.clone(),
            maker: maker(&printer.evidence),
            make: spelled(&canonical.make, &printer.evidence.make),
            model: spelled(&canonical.model, &printer.evidence.model),
            serial: spelled(&canonical.serial, &printer.evidence.serial),
            evidence: made_of(&printer.id, &canonical),
            uuid: canonical.uuid,
            macs: canonical.macs,
            location: printer.location.clone(),
            host: all.first().map(|e| e.endpoint.host.clone()),
            address: addresses.first().copied(),
            addresses,
            standing: if printer.standing == Standing::Pending { "pending" } else { "adopted" },
            sources: sources.into_iter().collect(),
            answered: (asked && could_be_asked).then_some(told),
            uri: ways.first().map(|way| way.uri.clone()),
            formats: formats.into_iter().collect(),
            endpoints: ways,
        }
    }

    fn row(&self) -> [String; 9] {
        let mut kinds: Vec<&str> = self.endpoints.iter().map(|way| way.kind.as_str()).collect();
        kinds.dedup();
        let evidence = std::iter::once(self.evidence).chain(self.sources.iter().copied());
        [
            self.name.clone(),
            or_dash(self.maker.as_ref()),
            or_dash(self.model.as_ref()),
            or_dash(self.serial.as_ref()),
            or_dash(self.address),
            if kinds.is_empty() { "-".to_owned() } else { kinds.join(",") },
            evidence.collect::<Vec<_>>().join(","),
            or_dash(self.id.as_ref()),
            match (self.answered, self.standing) {
                (Some(false), _) => "no answer".to_owned(),
                (_, "pending") => "waits for approval".to_owned(),
                _ => String::new(),
            },
        ]
    }
}

/// The maker's usual name, or as the device writes it.
fn maker(evidence: &Evidence) -> Option<String> {
    let make = evidence.make.as_deref()?;
    Some(makers::named(make).or_else(|| makers::of_text(make)).map_or(make, |maker| maker.name).to_owned())
}

fn source(key: &str) -> &'static str {
    match key.split_once(':') {
        Some(("list", _)) => "list",
        Some(("snmp", _)) => "snmp",
        _ => "mdns",
    }
}

/// Of which evidence an id is made.
fn made_of(id: &PrinterId, evidence: &Evidence) -> &'static str {
    let make = &evidence.make;
    let only = |evidence: Evidence| identity::mint(&Evidence { make: make.clone(), ..evidence }, &Fallback::default());
    let serial = Evidence { serial: evidence.serial.clone(), ..Evidence::default() };
    if evidence.serial.is_some() && only(serial) == *id {
        return "serial";
    }
    if evidence.uuid.is_some() && only(Evidence { uuid: evidence.uuid.clone(), ..Evidence::default() }) == *id {
        return "uuid";
    }
    let of_mac = |mac: &String| only(Evidence { macs: vec![mac.clone()], ..Evidence::default() }) == *id;
    if evidence.macs.iter().any(of_mac) { "mac" } else { "name" }
}

/// All of them as JSON.
pub(super) fn json(printers: &[Shown], looked: &Looked, all: bool) -> anyhow::Result<String> {
    let mut value = json!({"complete": looked.complete, "printers": printers, "duplicates": looked.duplicates});
    value["silent"] = looked.silent.iter().map(|(place, why)| json!({"place": place, "why": why})).collect();
    if all {
        value["ignored"] = json!(looked.ignored);
        value["datagrams"] = json!(looked.datagrams);
        value["leftOut"] = looked.left_out.iter().map(|(what, why)| json!({"what": what, "why": why})).collect();
    }
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// All of them as a table.
pub(super) fn table(printers: &[Shown], looked: &Looked, all: bool) -> String {
    let mut table = Table::new(&["NAME", "MAKER", "MODEL", "SERIAL", "ADDRESS", "ENDPOINTS", "EVIDENCE", "ID", ""]);
    printers.iter().for_each(|printer| table.row(printer.row()));
    let mut text = if table.is_empty() { "no printers found\n".to_owned() } else { table.render() };
    for pair in &looked.duplicates {
        text.push_str(&format!("{} and {} may be one: {} {}\n", pair.a, pair.b, pair.because, pair.value));
    }
    if all {
        for (what, why) in &looked.left_out {
            text.push_str(&format!("left out: {}: {}\n", plain(what), plain(why)));
        }
        for (all, what) in [(&looked.ignored, "announcements"), (&looked.datagrams, "datagrams")] {
            for (reason, count) in all {
                text.push_str(&format!("ignored: {count} {what}: {reason}\n"));
            }
        }
    }
    if !looked.complete {
        text.push_str("stopped before the end\n");
    }
    text
}
