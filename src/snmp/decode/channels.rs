//! The ways to print that an agent lists (prtChannelTable, RFC 3805) → [`Channel`]s. Pure and total.
//!
//! | prtChannelType | becomes | from prtChannelInformation |
//! |---|---|---|
//! | chLPDServer(8) | LPD, port 515, queue `auto` | `Queue=`, `Port=` |
//! | chPort9100(11), chAppSocket(12), chBidirPortTCP(38) | AppSocket, port 9100 | `Port=` |
//! | chPortTCP(37) | AppSocket, only where a port is named | `Port=` |
//! | chIPP(44) | IPP or IPPS, port 631, `/ipp/print` | `URI=`, several |
//!
//! A channel that takes no data (prtChannelState printDataNotAccepted) is left out. A URI's host is not believed: it is the
//! agent's own address that is printed to. Refused are ports that belong to another service, IPP on a print port, and
//! paths that no URI can hold. At most [`MAX_CHANNELS`].
//!
//! Every port that a row of AppSocket or LPD names is a print port to us ([`raw_ports`]), also where the row becomes no
//! channel: nothing but a job is ever to arrive there.

use super::mib::{Mib, Row};
use super::text;
use crate::domain::endpoint::EndpointKind;
use crate::domain::net::is_print_port;
use crate::snmp::objects as o;

/// Channels kept of one agent.
pub const MAX_CHANNELS: usize = 16;

/// Ports of AppSocket and LPD kept of one agent.
pub const MAX_RAW_PORTS: usize = 32;

/// A way to print that an agent lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Over which protocol.
    pub kind: EndpointKind,
    /// TCP port.
    pub port: u16,
    /// As in an endpoint: resource path, `/QUEUE`, or nothing.
    pub path: String,
}

const LPD_SERVER: i64 = 8;
const PORT_9100: i64 = 11;
const APP_SOCKET: i64 = 12;
const PORT_TCP: i64 = 37;
const BIDIR_PORT_TCP: i64 = 38;
const IPP: i64 = 44;
const NOT_ACCEPTED: i64 = 4;

pub(super) fn channels(mib: &Mib, device: Option<u32>) -> Vec<Channel> {
    let mut found: Vec<Channel> = Vec::new();
    for row in mib.rows(o::PRT_CHANNEL, device) {
        if row.int(o::CHANNEL_STATE) == Some(NOT_ACCEPTED) {
            continue;
        }
        for channel in of_row(&row) {
            if found.len() < MAX_CHANNELS && !found.contains(&channel) {
                found.push(channel);
            }
        }
    }
    found
}

/// The ports at which the agent says that something prints whatever arrives.
pub(super) fn raw_ports(mib: &Mib, device: Option<u32>) -> Vec<u16> {
    let mut found: Vec<u16> = Vec::new();
    // Those of its other devices too: the address is the same.
    for row in mib.rows(o::PRT_CHANNEL, device).iter().chain(&mib.rows(o::PRT_CHANNEL, None)) {
        let usual = match row.int(o::CHANNEL_TYPE) {
            Some(LPD_SERVER) => Some(EndpointKind::Lpd.default_port()),
            Some(PORT_9100 | APP_SOCKET | BIDIR_PORT_TCP) => Some(EndpointKind::AppSocket.default_port()),
            Some(PORT_TCP) => None,
            _ => continue,
        };
        let information = row.octets(o::CHANNEL_INFORMATION).map(lines).unwrap_or_default();
        let named = values(&information, "port").into_iter().filter_map(|port| port.parse().ok());
        for port in named.chain(usual).filter(|port| *port != 0) {
            if found.len() < MAX_RAW_PORTS && !found.contains(&port) {
                found.push(port);
            }
        }
    }
    found
}

fn values<'a>(information: &'a [String], key: &str) -> Vec<&'a str> {
    let pairs = information.iter().filter_map(|line| line.split_once('='));
    pairs.filter(|(known, _)| known.trim().eq_ignore_ascii_case(key)).map(|(_, value)| value.trim()).collect()
}

fn of_row(row: &Row<'_>) -> Vec<Channel> {
    let information = row.octets(o::CHANNEL_INFORMATION).map(lines).unwrap_or_default();
    let values = |key: &str| values(&information, key);
    let port = values("port").first().map(|port| port.parse::<u16>());
    let port = |usual: Option<u16>| {
        let port = match &port {
            Some(port) => port.as_ref().ok().copied(),
            None => usual,
        };
        port.filter(|port| (*port > 1_023 && *port != EndpointKind::Ipp.default_port()) || Some(*port) == usual)
    };
    let socket = |usual: Option<u16>| {
        let channel = |port| Channel { kind: EndpointKind::AppSocket, port, path: String::new() };
        port(usual).map(channel).into_iter().collect()
    };
    match row.int(o::CHANNEL_TYPE) {
        Some(LPD_SERVER) => {
            let queue = values("queue").into_iter().chain(values("queue name")).find_map(path_of);
            let path = queue.filter(|path| path != "/").unwrap_or_else(|| "/auto".to_owned());
            port(Some(EndpointKind::Lpd.default_port()))
                .map(|port| Channel { kind: EndpointKind::Lpd, port, path })
                .into_iter()
                .collect()
        }
        Some(PORT_9100 | APP_SOCKET | BIDIR_PORT_TCP) => socket(Some(9_100)),
        Some(PORT_TCP) => socket(None),
        Some(IPP) => {
            let uris = values("uri");
            if uris.is_empty() {
                let port = EndpointKind::Ipp.default_port();
                return vec![Channel { kind: EndpointKind::Ipp, port, path: "/ipp/print".to_owned() }];
            }
            uris.into_iter().take(MAX_CHANNELS).filter_map(of_uri).collect()
        }
        _ => Vec::new(),
    }
}

/// Keywords and values, one on a line.
fn lines(octets: &[u8]) -> Vec<String> {
    let octets = octets.get(..1_024).unwrap_or(octets);
    let parts = octets.split(|b| matches!(b, b'\r' | b'\n' | 0 | b';')).take(64);
    parts.map(|part| text::text(part, None)).filter(|part| !part.is_empty()).collect()
}

/// The part of a URI that is believed: scheme, port, path.
fn of_uri(uri: &str) -> Option<Channel> {
    let (scheme, rest) = uri.split_once("://")?;
    let (kind, usual) = match scheme.to_ascii_lowercase().as_str() {
        "ipp" => (EndpointKind::Ipp, 631),
        "ipps" => (EndpointKind::Ipps, 631),
        "http" => (EndpointKind::Ipp, 80),
        "https" => (EndpointKind::Ipps, 443),
        _ => return None,
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let behind_host = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind);
    let port = match behind_host.rsplit_once(':') {
        Some((_, port)) => port.parse().ok()?,
        None => usual,
    };
    let path = if path.is_empty() { "/".to_owned() } else { path_of(path)? };
    (port != 0 && !is_print_port(port)).then_some(Channel { kind, port, path })
}

/// A path with its leading slash; nothing where it cannot stand in a URI as it is.
fn path_of(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
    let text = text.trim().trim_start_matches('/');
    (text.len() < 255 && text.bytes().all(plain)).then(|| format!("/{text}"))
}
