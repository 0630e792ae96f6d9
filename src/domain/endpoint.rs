//! A way to print, or to ask: which protocol, at which addresses, under which path.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The protocols a document can travel over, best first, and the one over which a printer is only asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointKind {
    /// IPP over TLS from the first byte (RFC 7472).
    Ipps,
    /// IPP over plain HTTP (RFC 8010).
    Ipp,
    /// The document as it is, over TCP, usually port 9100 ("raw", "JetDirect").
    AppSocket,
    /// Line Printer Daemon (RFC 1179).
    Lpd,
    /// An SNMP agent (RFC 3805): tells of the printer, takes no documents.
    Snmp,
}

impl EndpointKind {
    /// The port that its URI leaves out.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Ipps | Self::Ipp => 631,
            Self::AppSocket => 9100,
            Self::Lpd => 515,
            Self::Snmp => 161,
        }
    }

    /// The name in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipps => "ipps",
            Self::Ipp => "ipp",
            Self::AppSocket => "appsocket",
            Self::Lpd => "lpd",
            Self::Snmp => "snmp",
        }
    }

    /// Whether whatever is sent there comes out on paper: AppSocket and LPD.
    pub fn is_raw(self) -> bool {
        matches!(self, Self::AppSocket | Self::Lpd)
    }

    /// Whether it may be asked questions. A print port never is: whatever is written there may come out on paper.
    pub fn is_ipp(self) -> bool {
        matches!(self, Self::Ipps | Self::Ipp)
    }
}

/// Where and how one printer takes documents.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which protocol.
    pub kind: EndpointKind,
    /// Host name as announced (`printer.local`, without a trailing dot) or an address literal: goes into the URI.
    pub host: String,
    /// The addresses under which the host was seen, best first. Never looked up again: these are what is connected.
    pub addresses: Vec<IpAddr>,
    /// Interface index for IPv6 link-local addresses; 0 where none is needed.
    #[serde(default)]
    pub scope_id: u32,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// Resource path with its leading slash (`/ipp/print`); for LPD the queue (`/auto`), for AppSocket empty.
    pub path: String,
}

impl Endpoint {
    /// The `printer-uri` (RFC 8011 §5.4.1): scheme, host, port when it is not the usual one, path. AppSocket and LPD are
    /// written as CUPS writes them (`socket://`, `lpd://`).
    pub fn uri(&self) -> String {
        let scheme = match self.kind {
            EndpointKind::Ipps => "ipps",
            EndpointKind::Ipp => "ipp",
            EndpointKind::AppSocket => "socket",
            EndpointKind::Lpd => "lpd",
            EndpointKind::Snmp => "snmp",
        };
        let host = match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
            _ => self.host.clone(),
        };
        if self.port == self.kind.default_port() {
            format!("{scheme}://{host}{}", self.path)
        } else {
            format!("{scheme}://{host}:{}{}", self.port, self.path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_leaves_out_the_default_port_and_brackets_ipv6() {
        let mut e = Endpoint {
            kind: EndpointKind::Ipp,
            host: "p.local".into(),
            addresses: vec![],
            scope_id: 0,
            port: 631,
            path: "/ipp/print".into(),
        };
        assert_eq!(e.uri(), "ipp://p.local/ipp/print");
        e.port = 8631;
        e.host = "fe80::1".into();
        e.kind = EndpointKind::Ipps;
        assert_eq!(e.uri(), "ipps://[fe80::1]:8631/ipp/print");
    }
}
