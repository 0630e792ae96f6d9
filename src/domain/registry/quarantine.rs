//! A device that has no id yet, and what announcements alone say about which device an endpoint belongs to.

use super::printer::KnownEndpoint;
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::identity::{self, Facts, Fallback, Reason, Verdict, compare};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::{Evidence, Sighting};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// How soon an address must come back to count as that of a second network card.
const FLIP: SignedDuration = SignedDuration::from_mins(10);

/// Addresses of one endpoint that are watched.
const MAX_RECENT: usize = 16;

/// A device without an id yet.
#[derive(Debug)]
pub(super) struct Quarantined {
    pub(super) endpoints: Vec<KnownEndpoint>,
    /// What it answered itself.
    pub(super) answered: Evidence,
    /// When it last did.
    pub(super) answered_at: Option<Timestamp>,
    pub(super) name: String,
    pub(super) location: Option<String>,
    /// Keys of endpoints that were asked, in vain or not.
    pub(super) asked: BTreeSet<String>,
    /// The printer that it may be, while that one is checked.
    pub(super) contested: Option<Contest>,
    /// It may have no id: an administrator ignores or retired it. It stays here so that it is not asked again.
    pub(super) parked: bool,
    /// It answered nothing, and the printer that it says it is answers elsewhere: an old announcement of that one, or
    /// another device with a cloned value. It gets no id before it answers.
    pub(super) silent: bool,
    /// Since when.
    pub(super) silent_since: Option<Timestamp>,
    /// It waited for others at its address; see `patience`.
    pub(super) waited: bool,
    /// The printer that it says it is, which answers elsewhere.
    pub(super) doubted: Option<PrinterId>,
    /// It answered again and again without a key: the keys that it announces are not its own.
    pub(super) disowned: bool,
}

/// A printer that a device without an id may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contest {
    pub(super) printer: PrinterId,
    /// At its address, and by nothing else: the printer is it if it answers there, and is not it if it does not. Since
    /// when.
    pub(super) at_address: Option<Timestamp>,
    /// When the doubt came up.
    pub(super) since: Timestamp,
}

impl Quarantined {
    pub(super) fn new(endpoints: Vec<KnownEndpoint>, name: String, location: Option<String>) -> Self {
        let (asked, answered) = (BTreeSet::new(), Evidence::default());
        Self {
            endpoints,
            answered,
            answered_at: None,
            name,
            location,
            asked,
            contested: None,
            parked: false,
            silent: false,
            silent_since: None,
            waited: false,
            doubted: None,
            disowned: false,
        }
    }

    /// Who it says it is: what it answered, and what was announced for it as far as an answer bears that out. Where it
    /// answered nothing that identifies it, what was announced, unless that is disowned.
    pub(super) fn evidence(&self) -> Evidence {
        let mut evidence = self.answered.clone();
        let mut endpoints: Vec<_> = self.endpoints.iter().collect();
        endpoints.sort_by_key(|e| e.rank());
        for announced in endpoints.into_iter().map(|e| &e.announced) {
            let (told, more) = (Facts::of(&evidence), Facts::of(announced));
            let linked = match compare(&told, &more, &|_| false) {
                Verdict::Same(_) => true,
                Verdict::Open if self.disowned => !more.has_keys(),
                Verdict::Open => !told.has_keys() || !more.has_keys(),
                Verdict::Disputed(_) | Verdict::Different(_) => false,
            };
            if linked {
                evidence = identity::merge(announced, &evidence);
            } else if evidence.make.is_none() && evidence.model.is_none() {
                evidence.make.clone_from(&announced.make);
                evidence.model.clone_from(&announced.model);
            }
        }
        evidence
    }

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
pub(super) fn is_neighbour(endpoints: &[KnownEndpoint], verdict: Verdict, name: &str, s: &Sighting) -> bool {
    let here: Vec<_> = endpoints.iter().filter(|e| e.endpoint.host.eq_ignore_ascii_case(&s.endpoint.host)).collect();
    if here.is_empty() {
        return false;
    }
    match verdict {
        Verdict::Same(_) => true,
        Verdict::Disputed(_) | Verdict::Different(_) => false,
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
        EndpointKind::Lpd | EndpointKind::Snmp => true,
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

/// Whether two endpoints are one socket and one queue behind it, over TLS or not.
pub(super) fn is_same_socket(a: &Endpoint, b: &Endpoint) -> bool {
    a.kind.is_ipp() && b.kind.is_ipp() && a.port == b.port && shares_address(a, b) && !is_other_queue(a, b)
}

/// Whether two endpoints are at one host or address.
pub(super) fn shares_place(a: &Endpoint, b: &Endpoint) -> bool {
    a.host.eq_ignore_ascii_case(&b.host) || shares_address(a, b)
}

pub(super) fn shares_address(a: &Endpoint, b: &Endpoint) -> bool {
    a.addresses.iter().any(|address| b.addresses.contains(address))
}

/// Whether what was announced at an endpoint of a printer holds a key of it: not what another device announced before this
/// one answered there, nor a name that holds none.
pub(super) fn is_own_claim(printer: &Facts, e: &KnownEndpoint) -> bool {
    matches!(compare(printer, &Facts::of(&e.announced), &|_| false), Verdict::Same(_))
}

/// Whether what an agent at a device's address says is of another device. Makers are no ground: a printer sold under
/// several names has its real maker's agent. Nor is the spelling of the model, unless
/// the MAC addresses differ too.
pub fn contradicts(a: &Evidence, b: &Evidence) -> bool {
    match identity::same_device(a, b) {
        Verdict::Same(_) | Verdict::Open | Verdict::Disputed(_) => false,
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
        told: None,
        of: None,
        answered: None,
        since: None,
        recent: Vec::new(),
    };
    let Some(old) = endpoints.iter_mut().find(|e| e.key == s.key) else {
        endpoints.push(new);
        return true;
    };
    let mut new = KnownEndpoint { pin: old.pin, since: old.since, told: old.told.take(), of: old.of.take(), ..new };
    let (addresses, recent) = steady(old, &new.endpoint, now);
    new.endpoint.addresses = addresses;
    let moved = old.endpoint.addresses.iter().collect::<BTreeSet<_>>() != new.endpoint.addresses.iter().collect();
    let new = KnownEndpoint { answered: old.answered.filter(|_| !moved), recent, ..new };
    let changed =
        old.endpoint != new.endpoint || old.announced != new.announced || old.priority != new.priority || old.lost;
    let more = old.formats != new.formats;
    // A new word about an unchanged place does not mean that it works again.
    let failing_since = old.failing_since.filter(|_| !changed);
    *old = KnownEndpoint { failing_since, ..new };
    changed || more
}

/// The addresses of an endpoint that was seen again. Two network cards of one printer are often announced in turn: an
/// address that comes back soon after another one took its place belongs to the printer too, and from then on the order
/// in which they are announced changes nothing. What is not seen for [`FLIP`] is dropped.
fn steady(old: &KnownEndpoint, seen: &Endpoint, now: Timestamp) -> (Vec<IpAddr>, Vec<(IpAddr, Timestamp)>) {
    let is_fresh = |at: &Timestamp| now.duration_since(*at).abs() < FLIP;
    let mut recent: Vec<(IpAddr, Timestamp)> = old.recent.iter().filter(|(_, at)| is_fresh(at)).copied().collect();
    if old.recent.is_empty() && is_fresh(&old.last_seen) {
        recent.extend(old.endpoint.addresses.iter().map(|a| (*a, old.last_seen)));
    }
    let known = |address: &IpAddr| recent.iter().any(|(a, _)| a == address);
    let current = &old.endpoint.addresses;
    let same_place = old.endpoint.host.eq_ignore_ascii_case(&seen.host) && old.endpoint.scope_id == seen.scope_id;
    let came_back = seen.addresses.iter().any(|a| known(a) && !current.contains(a));
    let subset = seen.addresses.iter().all(|a| current.contains(a)) && current.iter().all(known);
    let addresses = if same_place && subset {
        current.clone()
    } else if same_place && came_back {
        let still = current.iter().filter(|a| known(a) && !seen.addresses.contains(a));
        seen.addresses.iter().chain(still).copied().take(MAX_RECENT).collect()
    } else {
        seen.addresses.clone()
    };
    recent.retain(|(a, _)| !seen.addresses.contains(a));
    recent.extend(seen.addresses.iter().map(|a| (*a, now)));
    let surplus = recent.len().saturating_sub(MAX_RECENT);
    recent.drain(..surplus);
    (addresses, recent)
}
