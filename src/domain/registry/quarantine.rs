//! A device that has no id yet, and what announcements alone say about which device an endpoint belongs to.

use super::printer::KnownEndpoint;
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::identity::{self, Fallback, Reason, Verdict};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::{Evidence, Sighting};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// A device without an id yet.
#[derive(Debug)]
pub(super) struct Quarantined {
    pub(super) endpoints: Vec<KnownEndpoint>,
    pub(super) evidence: Evidence,
    pub(super) name: String,
    pub(super) location: Option<String>,
    /// Keys of endpoints that were asked, in vain or not.
    pub(super) asked: BTreeSet<String>,
    /// The printer it claims to be, while that one is checked.
    pub(super) contested: Option<PrinterId>,
}

impl Quarantined {
    pub(super) fn fallback(&self) -> Fallback<'_> {
        let first = self.endpoints.iter().min_by_key(|e| e.rank());
        Fallback {
            host: first.map(|e| e.endpoint.host.as_str()),
            path: first.map(|e| e.endpoint.path.as_str()),
            // One of several ports of a print server: the host alone does not say which.
            port: first.map(|e| &e.endpoint).filter(|e| e.kind == EndpointKind::AppSocket).map(|e| e.port),
            name: Some(&self.name),
        }
    }
}

pub(super) fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::Serial => 0,
        Reason::Uuid => 1,
        Reason::Mac => 2,
        Reason::Model => 3,
    }
}

/// Whether a sighting is another endpoint of a device, from what was announced alone: the same host, and the same
/// device by evidence or, where the evidence does not say, the same name and no other queue or port beside it.
pub(super) fn is_neighbour(endpoints: &[KnownEndpoint], evidence: &Evidence, name: &str, s: &Sighting) -> bool {
    let here: Vec<_> = endpoints.iter().filter(|e| e.endpoint.host.eq_ignore_ascii_case(&s.endpoint.host)).collect();
    if here.is_empty() {
        return false;
    }
    if identity::same_uuid(evidence, &s.evidence) {
        return true;
    }
    match identity::same_device(evidence, &s.evidence) {
        Verdict::Same(_) => true,
        Verdict::Different(_) => false,
        Verdict::Open => {
            let named_alike = name == s.name || here.iter().any(|e| e.instance() == instance(&s.key));
            named_alike && !here.iter().any(|e| is_other_queue(&e.endpoint, &s.endpoint))
        }
    }
}

/// The part of a DNS-SD service name that is shared by the services of one device.
pub(super) fn instance(key: &str) -> &str {
    key.split_once("._").map_or(key, |(instance, _)| instance)
}

/// Whether an SNMP agent at an endpoint's address is the printer's own: not where the endpoint is a queue of a print
/// server, or one of its ports behind the first.
pub fn is_own_agent(endpoint: &Endpoint) -> bool {
    match endpoint.kind {
        EndpointKind::Ipp | EndpointKind::Ipps => identity::queue_path(Some(&endpoint.path)).is_none(),
        EndpointKind::AppSocket => !(9101..=9109).contains(&endpoint.port),
        EndpointKind::Lpd => true,
    }
}

/// Whether two endpoints of one host are two queues of it, or two ports of a print server.
pub(super) fn is_other_queue(a: &Endpoint, b: &Endpoint) -> bool {
    let queue = |e: &Endpoint| identity::queue_path(Some(&e.path)).map(str::to_owned);
    match (a.kind, b.kind) {
        (EndpointKind::Lpd, EndpointKind::Lpd) => a.path != b.path,
        (EndpointKind::AppSocket, EndpointKind::AppSocket) => a.port != b.port,
        (a_kind, b_kind) if a_kind.is_ipp() && b_kind.is_ipp() => queue(a) != queue(b),
        // A queue's name says nothing where only one of the two has queues.
        _ => false,
    }
}

/// Whether endpoints of two printers at one address mean that there are two: the same kind of way to print, but another
/// queue or port.
pub(super) fn is_beside(a: &Endpoint, b: &Endpoint) -> bool {
    let alike = a.kind == b.kind || (a.kind.is_ipp() && b.kind.is_ipp());
    alike && (a.port != b.port || is_other_queue(a, b))
}

/// Whether two endpoints are at one host or address.
pub(super) fn shares_place(a: &Endpoint, b: &Endpoint) -> bool {
    a.host.eq_ignore_ascii_case(&b.host) || shares_address(a, b)
}

pub(super) fn shares_address(a: &Endpoint, b: &Endpoint) -> bool {
    a.addresses.iter().any(|address| b.addresses.contains(address))
}

/// Whether what an agent at a device's address says is of another device. Makers are no ground: a printer sold under
/// several names has its real maker's agent. Nor is the spelling of the model, unless
/// the MAC addresses differ too.
pub fn contradicts(a: &Evidence, b: &Evidence) -> bool {
    match identity::same_device(a, b) {
        Verdict::Same(_) | Verdict::Open => false,
        Verdict::Different(Reason::Model) => identity::macs_differ(a, b),
        Verdict::Different(Reason::Serial) => {
            let serial = |e: &Evidence| identity::canonical(e).serial;
            serial(a) != serial(b)
        }
        Verdict::Different(_) => true,
    }
}

/// Whether evidence parts two devices that share nothing but an address: there the model counts, unless a UUID joins.
pub(super) fn is_other_device(a: &Evidence, b: &Evidence) -> bool {
    let models = identity::same_device(a, b) == Verdict::Different(Reason::Model);
    contradicts(a, b) || (models && !identity::same_uuid(a, b))
}

pub(super) fn overlaps(a: &[KnownEndpoint], b: &[KnownEndpoint]) -> bool {
    a.iter().any(|x| {
        b.iter().any(|y| {
            x.endpoint.host.eq_ignore_ascii_case(&y.endpoint.host)
                || x.endpoint.addresses.iter().any(|ip| y.endpoint.addresses.contains(ip))
        })
    })
}

/// Takes a sighting into a list of endpoints; true when something besides the time changed.
pub(super) fn see(endpoints: &mut Vec<KnownEndpoint>, s: &Sighting, now: Timestamp) -> bool {
    let new = KnownEndpoint {
        key: s.key.clone(),
        endpoint: s.endpoint.clone(),
        announced: s.evidence.clone(),
        formats: s.formats.clone(),
        priority: s.priority,
        last_seen: now,
        lost: false,
        failing_since: None,
        pin: None,
    };
    let Some(old) = endpoints.iter_mut().find(|e| e.key == s.key) else {
        endpoints.push(new);
        return true;
    };
    let new = KnownEndpoint { pin: old.pin, ..new };
    let changed =
        old.endpoint != new.endpoint || old.announced != new.announced || old.priority != new.priority || old.lost;
    let more = old.formats != new.formats;
    // A new word about an unchanged place does not mean that it works again.
    let failing_since = old.failing_since.filter(|_| !changed);
    *old = KnownEndpoint { failing_since, ..new };
    changed || more
}
