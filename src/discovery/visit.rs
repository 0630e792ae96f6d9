//! One address asked who it is: over SNMP, and over IPP at port 631. A printer becomes sightings, anything else a word.
//!
//! | sighting | key | when |
//! |---|---|---|
//! | the agent | `snmp:ADDRESS` | it speaks for a printer |
//! | AppSocket, LPD | `snmp:ADDRESS/appsocket:9100`, `snmp:ADDRESS/lpd:515/QUEUE` | the agent lists it; nothing is connected |
//! | IPP, IPPS | `snmp:ADDRESS/ipp:631`, `snmp:ADDRESS/ipps:631` | Get-Printer-Attributes was answered by a printer |
//!
//! Over IPP are asked: printers, agents that take none of our logins or stop answering, and, when asked for by hand, also
//! addresses without an agent; never what said over SNMP that it is no printer. The path is `/ipp/print`, or what the agent lists for
//! port 631. Where something prints whatever arrives no IPP is spoken, whatever the port's number: what the agent lists for
//! AppSocket or LPD, and what is known elsewhere ([`PrintPlaces`]).
//!
//! What SNMP and IPP say at one address in one visit is taken together as long as it does not contradict itself.
//!
//! Invariants: no other port than the agent's and 631 is contacted; only addresses that the policy allows; every visit
//! ends within the limits of its clients.

use super::print_places::PrintPlaces;
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::identity::{self, Verdict};
use crate::domain::net::PrinterPolicy;
use crate::domain::sighting::{Evidence, Sighting};
use crate::domain::state::Observation;
use crate::ipp::client::{Client as IppClient, Target, Timeouts};
use crate::ipp::decode;
use crate::ipp::request::Request;
use crate::snmp::client::{Client, Error, Patience};
use crate::snmp::decode::Identified;
use jiff::Timestamp;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// The port of IPP and IPPS (RFC 8010, RFC 7472), the only one besides the agent's that is contacted.
pub const IPP_PORT: u16 = 631;
/// Where IPP Everywhere printers take jobs.
const IPP_PATH: &str = "/ipp/print";
/// Ways to print taken from one agent.
const MAX_CHANNELS: usize = 8;
/// Paths asked over IPP.
const MAX_PATHS: usize = 2;

/// An address to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which.
    pub address: IpAddr,
    /// Interface index, for IPv6 link-local addresses.
    pub scope_id: u32,
    /// The agent's UDP port.
    pub port: u16,
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visited {
    /// A printer: the first sighting is the agent's, if there is one.
    Printer(Vec<Sighting>),
    /// An agent that speaks for no printer.
    NotPrinter {
        /// What it says it is (sysDescr).
        description: String,
    },
    /// An agent may be there, but it does not tell who it is, and nothing does over IPP.
    NoLogin {
        /// What came of asking.
        why: String,
    },
    /// It was not asked: it is in no allowed network.
    NotAllowed,
}

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An agent answered a sweep there.
    Swept,
    /// A person named the address: it is asked with more patience, and over IPP even without an agent.
    Named,
}

/// The key of the agent at an address.
pub fn key(address: IpAddr) -> String {
    format!("{PREFIX}{address}")
}

/// The address in a key of a sighting from here.
pub fn address_of(key: &str) -> Option<IpAddr> {
    key.strip_prefix(PREFIX)?.split('/').next()?.parse().ok()
}

const PREFIX: &str = "snmp:";

/// Asks one place. Without a client only IPP is asked, and only if the address was named. What the agent lists becomes known
/// to `places`.
pub async fn visit(
    client: Option<&Client>,
    policy: &PrinterPolicy,
    places: &PrintPlaces,
    place: Place,
    reason: Reason,
) -> Visited {
    if policy.check_address(place.address).is_err() {
        return Visited::NotAllowed;
    }
    let agent = match place.address {
        IpAddr::V6(v6) => SocketAddr::V6(SocketAddrV6::new(v6, place.port, 0, place.scope_id)),
        v4 => SocketAddr::new(v4, place.port),
    };
    let patience = if reason == Reason::Named { Patience::Long } else { Patience::Short };
    let identified = match client {
        Some(client) => client.identify(agent, patience).await,
        None => Err(Error::NoLogin),
    };
    match identified {
        Ok(who) if !who.printer => Visited::NotPrinter { description: who.description },
        Ok(who) => Visited::Printer(printer(policy, places, place, &who).await),
        Err(error) => match ask_ipp(policy, places, &[], place, &[IPP_PATH.to_owned()]).await {
            found if !found.is_empty() => {
                Visited::Printer(found.into_iter().map(|found| ipp_sighting(place, found, None)).collect())
            }
            _ => Visited::NoLogin { why: error.to_string() },
        },
    }
}

/// The sightings of a printer whose agent answered.
async fn printer(policy: &PrinterPolicy, places: &PrintPlaces, place: Place, who: &Identified) -> Vec<Sighting> {
    places.listed(place.address, &who.raw_ports);
    let mut paths: Vec<String> = Vec::new();
    for channel in who.channels.iter().filter(|channel| channel.kind.is_ipp() && channel.port == IPP_PORT) {
        if !channel.path.is_empty() && !paths.contains(&channel.path) && paths.len() < MAX_PATHS {
            paths.push(channel.path.clone());
        }
    }
    if paths.is_empty() {
        paths.push(IPP_PATH.to_owned());
    }
    let found = ask_ipp(policy, places, &who.raw_ports, place, &paths).await;
    let mut evidence = who.evidence.clone();
    for (_, seen) in &found {
        evidence = together(&evidence, &seen.evidence);
    }
    let fallback = evidence.model.clone().unwrap_or_else(|| place.address.to_string());
    let name = who.name.clone().filter(|name| !name.is_empty()).unwrap_or(fallback);
    let sighting = |kind: EndpointKind, port: u16, path: &str, key: String| Sighting {
        key,
        name: name.clone(),
        host: place.address.to_string(),
        endpoint: endpoint(place, kind, port, path),
        priority: 50,
        evidence: evidence.clone(),
        location: who.location.clone(),
        formats: Vec::new(),
    };
    let mut sightings = vec![sighting(EndpointKind::Snmp, place.port, "", key(place.address))];
    for (endpoint, seen) in found {
        sightings.push(ipp_sighting(place, (endpoint, seen), Some(&evidence)));
    }
    let raw = who.channels.iter().filter(|channel| channel.kind.is_raw() && channel.port != 0);
    for channel in raw.take(MAX_CHANNELS) {
        let place_key = way_key(place.address, channel.kind, channel.port, &channel.path);
        if sightings.iter().all(|known| known.key != place_key) {
            sightings.push(sighting(channel.kind, channel.port, &channel.path, place_key));
        }
    }
    sightings
}

/// Get-Printer-Attributes, plain and over TLS: where a printer answers. `raw_ports` are those that its agent lists.
async fn ask_ipp(
    policy: &PrinterPolicy,
    places: &PrintPlaces,
    raw_ports: &[u16],
    place: Place,
    paths: &[String],
) -> Vec<(Endpoint, Observation)> {
    let mut found = Vec::new();
    places.gathered().await;
    for kind in [EndpointKind::Ipp, EndpointKind::Ipps] {
        for path in paths {
            let endpoint = policy.permit(&endpoint(place, kind, IPP_PORT, path));
            if endpoint.addresses.is_empty() {
                return found;
            }
            // Each time anew: it may have been announced meanwhile. Then what answered there was no printer's IPP either.
            let refused = policy.check(place.address, IPP_PORT, raw_ports).is_err();
            if refused || places.contains(place.address, IPP_PORT) {
                tracing::debug!(address = %place.address, "no IPP is spoken there: the port is announced as a print port");
                return Vec::new();
            }
            let client = IppClient::new(Target::from_endpoint(&endpoint, None), timeouts());
            match client.call(Request::get_printer_attributes(decode::ATTRIBUTES, None)).await {
                Ok(response) if response.is_success() => {
                    if let Some(seen) = decode::observation(&response.message, Timestamp::now()) {
                        found.push((endpoint, seen));
                        break;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(uri = endpoint.uri(), %error, "no IPP there");
                    // Nobody listens: TLS would not be answered either.
                    if error.nothing_written() && kind == EndpointKind::Ipp {
                        return found;
                    }
                }
            }
        }
    }
    found
}

fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(3),
        tls: Duration::from_secs(8),
        answer: Duration::from_secs(10),
        body_idle: Duration::from_secs(5),
        call: Duration::from_secs(20),
        ..Timeouts::default()
    }
}

fn ipp_sighting(place: Place, (endpoint, seen): (Endpoint, Observation), more: Option<&Evidence>) -> Sighting {
    let evidence = more.map_or_else(|| seen.evidence.clone(), |more| together(more, &seen.evidence));
    let fallback = evidence.model.clone().unwrap_or_else(|| place.address.to_string());
    Sighting {
        key: way_key(
            place.address,
            endpoint.kind,
            endpoint.port,
            if endpoint.path == IPP_PATH { "" } else { &endpoint.path },
        ),
        name: seen.name.filter(|name| !name.is_empty()).unwrap_or(fallback),
        host: endpoint.host.clone(),
        endpoint,
        priority: 50,
        evidence,
        location: seen.location,
        formats: seen.capabilities.formats,
    }
}

/// What two protocols say of the device at one address; the second alone where they contradict each other.
fn together(known: &Evidence, more: &Evidence) -> Evidence {
    match identity::same_device(known, more) {
        Verdict::Different(_) => more.clone(),
        _ => identity::merge(known, more),
    }
}

fn way_key(address: IpAddr, kind: EndpointKind, port: u16, path: &str) -> String {
    format!("{PREFIX}{address}/{}:{port}{path}", kind.as_str())
}

fn endpoint(place: Place, kind: EndpointKind, port: u16, path: &str) -> Endpoint {
    let Place { address, scope_id, .. } = place;
    Endpoint { kind, host: address.to_string(), addresses: vec![address], scope_id, port, path: path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_their_address() {
        for text in ["10.0.0.9", "fd00::9"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(address_of(&key(address)), Some(address));
            let way = way_key(address, EndpointKind::Lpd, 515, "/auto");
            assert_eq!(way, format!("snmp:{text}/lpd:515/auto"));
            assert_eq!(address_of(&way), Some(address));
        }
        assert_eq!(address_of("list:socket://10.0.0.9"), None);
        assert_eq!(address_of("snmp:nowhere"), None);
    }

    #[test]
    fn contradicting_evidence_is_not_mixed() {
        let of = |serial: &str, uuid: Option<&str>| Evidence {
            make: Some("HP".into()),
            serial: Some(serial.into()),
            uuid: uuid.map(str::to_owned),
            ..Evidence::default()
        };
        let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        assert_eq!(together(&of("CNB1234567", None), &of("CNB1234567", Some(uuid))).uuid.as_deref(), Some(uuid));
        let other = of("CNB7654321", None);
        assert_eq!(together(&of("CNB1234567", Some(uuid)), &other), other);
    }

    #[tokio::test]
    async fn what_is_not_allowed_is_not_asked() {
        let place = Place { address: "192.0.2.1".parse().unwrap(), scope_id: 0, port: 161 };
        let visited = visit(None, &PrinterPolicy::default(), &PrintPlaces::default(), place, Reason::Named).await;
        assert_eq!(visited, Visited::NotAllowed);
    }
}
