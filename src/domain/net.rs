//! Networks, kinds of addresses, print ports, and the two rules made of them: where a printer may be, and where a
//! document may come from. Pure: names are resolved elsewhere, the addresses come as arguments.
//!
//! Invariants:
//! - An IPv6 address that carries an IPv4 address (mapped, compatible, translated, 6to4, NAT64) is classed as the
//!   IPv4 address it leads to.
//! - No rule ever allows an unspecified, multicast or broadcast address, whatever networks are configured: on Linux a
//!   connection to `0.0.0.0` ends at the machine itself.
//! - The network and the broadcast address of an allowed IPv4 network of at most 30 bits are no printer's: what is sent to
//!   a broadcast address is sent to everybody. Of several networks the narrowest decides.
//! - A print port ([`is_print_port`]) is never allowed, for questions to printers and for documents. Only a job may
//!   connect one, at an endpoint that is there for it ([`PrinterPolicy::permit_job`]).
//!
//! Classes follow IANA's special-purpose address registries (RFC 6890 and its updates). What the registries do not
//! list as global and RFC 4291 does not give out is `Reserved`.

use super::endpoint::Endpoint;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Ports at which printers print whatever arrives: LPD, the raw ports of JetDirect and its relatives. Nothing of ours
/// ever connects to them outside a job that was sent there on purpose.
pub fn is_print_port(port: u16) -> bool {
    matches!(port, 515 | 6101 | 9100..=9109 | 9112..=9116 | 9999)
}

/// Where a printer may be connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrinterPolicy {
    /// Directly connected networks and configured ones.
    pub allowed: Vec<Network>,
}

impl PrinterPolicy {
    /// May IPP be spoken with a printer at this address and port? `raw_ports` are the ports that this printer
    /// announced for AppSocket or LPD.
    pub fn check(&self, address: IpAddr, port: u16, raw_ports: &[u16]) -> Result<(), AddressRefusal> {
        check_port(port)?;
        if raw_ports.contains(&port) {
            return Err(AddressRefusal::PrintPort(port));
        }
        self.check_address(address)
    }

    /// The endpoint with only those of its addresses that may be asked something; none, if its port may not, or if
    /// whatever is sent there is printed.
    pub fn permit(&self, endpoint: &Endpoint) -> Endpoint {
        let mut permitted = endpoint.clone();
        let may = |address: &IpAddr| endpoint.kind.is_ipp() && self.check(*address, endpoint.port, &[]).is_ok();
        permitted.addresses.retain(may);
        permitted
    }

    /// The endpoint with only those of its addresses to which a job may be sent. For AppSocket and LPD any port is a
    /// print port.
    pub fn permit_job(&self, endpoint: &Endpoint) -> Endpoint {
        if endpoint.kind.is_ipp() {
            return self.permit(endpoint);
        }
        let mut permitted = endpoint.clone();
        let may = |address: &IpAddr| endpoint.port != 0 && self.check_address(*address).is_ok();
        permitted.addresses.retain(|address| endpoint.kind.is_raw() && may(address));
        permitted
    }

    /// May a printer be at this address?
    pub fn check_address(&self, address: IpAddr) -> Result<(), AddressRefusal> {
        let class = classify(address);
        let narrowest = self.allowed.iter().filter(|network| network.contains(address)).max_by_key(|n| n.prefix());
        let Some(network) = narrowest.filter(|_| !class.is_never_a_host()) else {
            return Err(AddressRefusal::OutsideNetworks(address, class));
        };
        if network.is_edge(address) {
            return Err(AddressRefusal::NoHost(address, *network));
        }
        Ok(())
    }
}

/// Where a document may be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentPolicy {
    /// Host names that may be named in a URL.
    pub allowed_hosts: Vec<HostPattern>,
    /// Networks allowed besides global addresses: an object store in the office, a test server.
    pub allowed_networks: Vec<Network>,
}

impl Default for DocumentPolicy {
    /// Any host with a global address.
    fn default() -> Self {
        Self { allowed_hosts: vec![HostPattern::any()], allowed_networks: Vec::new() }
    }
}

impl DocumentPolicy {
    /// May a URL name this host? Address literals come without brackets.
    pub fn allows_host(&self, host: &str) -> bool {
        self.allowed_hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// May this address and port be connected for a document?
    pub fn check(&self, address: IpAddr, port: u16) -> Result<(), AddressRefusal> {
        check_port(port)?;
        let class = classify(address);
        let allowed = match class {
            AddressClass::Global => true,
            _ if class.is_never_a_host() => false,
            _ => self.allowed_networks.iter().any(|network| network.contains(address)),
        };
        if allowed { Ok(()) } else { Err(AddressRefusal::OutsideNetworks(address, class)) }
    }
}

fn check_port(port: u16) -> Result<(), AddressRefusal> {
    match port {
        0 => Err(AddressRefusal::NoPort),
        port if is_print_port(port) => Err(AddressRefusal::PrintPort(port)),
        _ => Ok(()),
    }
}

/// Why an address or a port is not connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// Port 0 is no port.
    #[error("port 0 cannot be connected")]
    NoPort,
    /// The port prints whatever arrives.
    #[error("port {0} is a print port: whatever is sent there comes out on paper")]
    PrintPort(u16),
    /// The address is in none of the allowed networks.
    #[error("{0} ({1}) is not in an allowed network")]
    OutsideNetworks(IpAddr, AddressClass),
    /// The network's own or its broadcast address.
    #[error("{0} is the network's own or the broadcast address of {1}, not a host's")]
    NoHost(IpAddr, Network),
}

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// Reachable everywhere.
    Global,
    /// RFC 1918, RFC 4193 (`fc00::/7`), and the old site-local `fec0::/10`.
    Private,
    /// This machine.
    Loopback,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// `255.255.255.255`.
    Broadcast,
    /// RFC 5737, RFC 3849, RFC 9637.
    Documentation,
    /// `100.64.0.0/10` (RFC 6598).
    Cgnat,
    /// Benchmarking, protocol assignments, future use, Teredo, discard: nothing to connect to.
    Reserved,
}

impl AddressClass {
    /// Classes that no configuration can allow.
    fn is_never_a_host(self) -> bool {
        matches!(self, Self::Multicast | Self::Unspecified | Self::Broadcast)
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "a global address",
            Self::Private => "a private address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "an unspecified address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "an address for documentation",
            Self::Cgnat => "a carrier's shared address",
            Self::Reserved => "a reserved address",
        })
    }
}

/// Classes an address; an IPv4 address inside an IPv6 one decides.
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    match address.octets() {
        [0, ..] => AddressClass::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => AddressClass::Private,
        [100, 64..=127, ..] => AddressClass::Cgnat,
        [127, ..] => AddressClass::Loopback,
        [169, 254, ..] => AddressClass::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressClass::Documentation,
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => AddressClass::Reserved,
        [224..=239, ..] => AddressClass::Multicast,
        [255, 255, 255, 255] => AddressClass::Broadcast,
        [240..=255, ..] => AddressClass::Reserved,
        _ => AddressClass::Global,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    if address.is_unspecified() {
        return AddressClass::Unspecified;
    }
    if address.is_loopback() {
        return AddressClass::Loopback;
    }
    if let Some(inner) = embedded_v4(address) {
        return classify_v4(inner);
    }
    match address.segments() {
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => AddressClass::Private,
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => AddressClass::Documentation,
        // Teredo, ORCHID and the other protocol assignments of 2001::/23.
        [0x2001, 0..=0x01ff, ..] => AddressClass::Reserved,
        [0x2000..=0x3fff, ..] => AddressClass::Global,
        _ => AddressClass::Reserved,
    }
}

/// The IPv4 address to which an IPv6 address leads.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // ::a.b.c.d (compatible), ::ffff:a.b.c.d (mapped), ::ffff:0:a.b.c.d (translated, RFC 7915)
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(v4(high, low)),
        // NAT64 (RFC 6052). The local-use prefix 64:ff9b:1::/48 hides its IPv4 address and stays reserved.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        // 6to4 (RFC 3056)
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// A network in CIDR notation: `192.168.1.0/24`, `fd00::/8`; a bare address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    /// Host bits are zero.
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of `prefix` bits that `address` is in; the host bits are cleared.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, InvalidNetwork> {
        let address = match address {
            IpAddr::V4(v4) if prefix <= 32 => IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask_v4(prefix))),
            IpAddr::V6(v6) if prefix <= 128 => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask_v6(prefix))),
            _ => return Err(InvalidNetwork { text: format!("{address}/{prefix}"), rule: "the prefix is too long" }),
        };
        Ok(Self { address, prefix })
    }

    /// Is the address in it? An IPv4-mapped address counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(v4)) => u32::from(v4) & mask_v4(self.prefix) == u32::from(network),
            (IpAddr::V6(network), IpAddr::V6(v6)) => u128::from(v6) & mask_v6(self.prefix) == u128::from(network),
            _ => false,
        }
    }

    /// Is it the first or the last address of an IPv4 network that has both a name and a broadcast address for
    /// itself (RFC 3021: one of 31 bits has not)?
    fn is_edge(&self, address: IpAddr) -> bool {
        let (IpAddr::V4(first), IpAddr::V4(v4)) = (self.address, address.to_canonical()) else { return false };
        let last = u32::from(first) | !mask_v4(self.prefix);
        self.prefix <= 30 && (v4 == first || u32::from(v4) == last)
    }

    /// The first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that its addresses share.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0)
}

/// Why a text is not a network or a host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not valid: {rule}")]
pub struct InvalidNetwork {
    text: String,
    rule: &'static str,
}

impl InvalidNetwork {
    fn new(text: &str, rule: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), rule }
    }
}

const NETWORK_RULE: &str = "a network is an address and a prefix length, such as 192.168.1.0/24 or fd00::/8";

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let wrong = || InvalidNetwork::new(text, NETWORK_RULE);
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix = match prefix {
            Some(digits) if digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
            None if address.is_ipv4() => 32,
            None => 128,
        };
        Self::new(address, prefix).map_err(|_| wrong())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;
    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl schemars::JsonSchema for Network {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": NETWORK_RULE })
    }
}

/// A rule about host names: `*` (any), `*.example.com` (any name below it, not itself), or one exact host.
/// Case and a trailing dot do not matter; international names are compared in their ASCII form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern(String);

const HOST_RULE: &str = "a host pattern is *, *.example.com or an exact host name or address";

impl HostPattern {
    /// Matches every host.
    pub fn any() -> Self {
        Self("*".into())
    }

    /// Does `host` (a name, or an address without brackets) match?
    pub fn matches(&self, host: &str) -> bool {
        let Some(host) = normal_host(host) else { return false };
        match self.0.strip_prefix('*') {
            Some("") => true,
            // `suffix` begins with its dot, so `*.a.b` never matches `xa.b`, and something must stand before it.
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix) && host.parse::<IpAddr>().is_err(),
            None => host == self.0,
        }
    }
}

/// A host as it is compared: lower case, ASCII, no trailing dot, no brackets.
fn normal_host(host: &str) -> Option<String> {
    let bare = host.strip_suffix('.').unwrap_or(host);
    let bare = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(bare);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    match url::Host::parse(bare) {
        Ok(url::Host::Domain(domain)) if domain.len() <= 253 => Some(domain),
        Ok(url::Host::Ipv4(address)) => Some(address.to_string()),
        _ => None,
    }
}

impl FromStr for HostPattern {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let wrong = || InvalidNetwork::new(text, HOST_RULE);
        if text == "*" {
            return Ok(Self::any());
        }
        let (star, rest) = match text.strip_prefix("*.") {
            Some(rest) => ("*.", rest),
            None => ("", text),
        };
        let host = normal_host(rest).filter(|host| !host.is_empty() && !host.contains('*')).ok_or_else(wrong)?;
        if !star.is_empty() && host.parse::<IpAddr>().is_ok() {
            return Err(wrong());
        }
        Ok(Self(format!("{star}{host}")))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HostPattern {
    type Error = InvalidNetwork;
    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> String {
        pattern.0
    }
}

impl schemars::JsonSchema for HostPattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HostPattern".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": HOST_RULE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_permitted_addresses_of_an_endpoint_are_left() {
        let policy = PrinterPolicy { allowed: vec!["10.1.0.0/16".parse().unwrap()] };
        let mut endpoint = Endpoint {
            kind: crate::domain::endpoint::EndpointKind::Ipp,
            host: "p.local".into(),
            addresses: vec!["10.1.2.3".parse().unwrap(), "8.8.8.8".parse().unwrap()],
            scope_id: 0,
            port: 631,
            path: "/".into(),
        };
        assert_eq!(policy.permit(&endpoint).addresses, ["10.1.2.3".parse::<IpAddr>().unwrap()]);
        assert_eq!(policy.permit_job(&endpoint).addresses, policy.permit(&endpoint).addresses);
        endpoint.port = 9100;
        assert!(policy.permit(&endpoint).addresses.is_empty() && policy.permit_job(&endpoint).addresses.is_empty());
        // Announced for AppSocket: for jobs, and for nothing else, on whatever port.
        endpoint.kind = crate::domain::endpoint::EndpointKind::AppSocket;
        for port in [9100, 4000] {
            endpoint.port = port;
            assert!(policy.permit(&endpoint).addresses.is_empty(), "{port}");
            assert_eq!(policy.permit_job(&endpoint).addresses, ["10.1.2.3".parse::<IpAddr>().unwrap()]);
        }
        endpoint.port = 0;
        assert!(policy.permit_job(&endpoint).addresses.is_empty());
    }

    #[test]
    fn print_ports_are_exactly_the_listed_ones() {
        let found: Vec<u16> = (0..=u16::MAX).filter(|port| is_print_port(*port)).collect();
        let mut wanted = vec![515, 6101];
        wanted.extend(9100..=9109);
        wanted.extend(9112..=9116);
        wanted.push(9999);
        assert_eq!(found, wanted);
    }

    #[test]
    fn addresses_fall_into_their_class() {
        use AddressClass::*;
        for (text, class) in [
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("10.0.0.1", Private),
            ("100.64.0.1", Cgnat),
            ("100.128.0.1", Global),
            ("127.255.0.1", Loopback),
            ("169.254.169.254", LinkLocal),
            ("172.15.0.1", Global),
            ("172.31.255.255", Private),
            ("172.32.0.1", Global),
            ("192.0.0.170", Reserved),
            ("192.0.2.1", Documentation),
            ("192.168.0.1", Private),
            ("198.18.0.1", Reserved),
            ("224.0.0.251", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Broadcast),
            ("52.216.8.1", Global),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::127.0.0.1", Loopback),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:0:169.254.169.254", LinkLocal),
            ("64:ff9b::a00:1", Private),
            ("64:ff9b::8.8.8.8", Global),
            ("64:ff9b:1::8.8.8.8", Reserved),
            ("2002:7f00:1::1", Loopback),
            ("2002:808:808::1", Global),
            ("2001:db8::1", Documentation),
            ("3fff::1", Documentation),
            ("2001::1", Reserved),
            ("2600:1f00::1", Global),
            ("fc00::1", Private),
            ("fd00:ec2::254", Private),
            ("fe80::1", LinkLocal),
            ("fec0::1", Private),
            ("ff02::fb", Multicast),
            ("100::1", Reserved),
            ("4000::1", Reserved),
        ] {
            assert_eq!(classify(ip(text)), class, "{text}");
        }
    }

    #[test]
    fn networks_parse_print_and_contain() {
        let office: Network = "192.168.7.9/24".parse().unwrap();
        assert_eq!(office.to_string(), "192.168.7.0/24");
        assert!(office.contains(ip("192.168.7.255")));
        assert!(office.contains(ip("::ffff:192.168.7.1")));
        assert!(!office.contains(ip("192.168.8.0")));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains(ip("8.8.8.8")));
        assert!(!"0.0.0.0/0".parse::<Network>().unwrap().contains(ip("2600::1")));
        assert_eq!("::1".parse::<Network>().unwrap().to_string(), "::1/128");
        for bad in ["", "/", "10.0.0.0/33", "::/129", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0/8", "a/8", "::/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_string(&office).unwrap(), "\"192.168.7.0/24\"");
        assert!(serde_json::from_str::<Network>("\"10.0.0.0/40\"").is_err());
    }

    #[test]
    fn host_patterns_match_whole_labels() {
        let below: HostPattern = "*.Example.com".parse().unwrap();
        assert!(below.matches("a.example.com") && below.matches("A.B.EXAMPLE.COM."));
        assert!(
            !below.matches("example.com") && !below.matches("badexample.com") && !below.matches("a.example.com.evil")
        );
        let exact: HostPattern = "bücher.example".parse().unwrap();
        assert!(exact.matches("xn--bcher-kva.example") && !exact.matches("a.xn--bcher-kva.example"));
        assert!(HostPattern::any().matches("x") && HostPattern::any().matches("::1"));
        let literal: HostPattern = "[2001:DB8::1]".parse().unwrap();
        assert!(literal.matches("2001:db8:0::1"));
        for bad in ["", "*.", "**", "a.*.b", "*x", "a b", "*.10.0.0.1", "a/b"] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_printer_is_only_where_it_may_be() {
        let policy = PrinterPolicy { allowed: vec!["10.0.0.0/8".parse().unwrap(), "0.0.0.0/0".parse().unwrap()] };
        assert_eq!(policy.check(ip("10.1.2.3"), 631, &[]), Ok(()));
        assert_eq!(policy.check(ip("10.1.2.3"), 9100, &[]), Err(AddressRefusal::PrintPort(9100)));
        assert_eq!(policy.check(ip("10.1.2.3"), 4010, &[4010]), Err(AddressRefusal::PrintPort(4010)));
        assert_eq!(policy.check(ip("10.1.2.3"), 0, &[]), Err(AddressRefusal::NoPort));
        assert!(policy.check(ip("fe80::1"), 631, &[]).is_err());
        assert!(policy.check(ip("0.0.0.0"), 631, &[]).is_err());
        assert!(policy.check(ip("224.0.0.251"), 631, &[]).is_err());
    }

    #[test]
    fn no_printer_is_at_the_edge_of_a_network() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Network>>();
        let mut policy = PrinterPolicy {
            allowed: networks(&["10.9.0.0/16", "10.9.0.0/24", "10.9.7.0/31", "10.9.8.0/30", "fd00::/64"]),
        };
        for good in ["10.9.0.2", "10.9.1.255", "10.9.2.0", "10.9.7.0", "10.9.7.1", "10.9.8.1", "fd00::2", "fd00::"] {
            assert_eq!(policy.check_address(ip(good)), Ok(()), "{good}");
        }
        for edge in ["10.9.0.255", "10.9.0.0", "10.9.255.255", "10.9.8.3", "10.9.8.0", "::ffff:10.9.0.255"] {
            assert!(matches!(policy.check_address(ip(edge)), Err(AddressRefusal::NoHost(..))), "{edge}");
        }
        // Said explicitly, it is meant.
        policy.allowed.extend(networks(&["10.9.0.255/32"]));
        assert_eq!(policy.check_address(ip("10.9.0.255")), Ok(()));
        // A narrower network in which it is a host.
        policy.allowed = networks(&["10.9.0.0/24", "10.9.0.0/23"]);
        assert!(policy.check_address(ip("10.9.0.255")).is_err());
        policy.allowed = networks(&["10.9.0.0/23", "10.9.0.254/31"]);
        assert_eq!(policy.check_address(ip("10.9.0.255")), Ok(()));
    }

    #[test]
    fn a_document_comes_from_global_addresses_unless_allowed() {
        let mut policy = DocumentPolicy::default();
        assert_eq!(policy.check(ip("8.8.8.8"), 443), Ok(()));
        assert!(policy.check(ip("8.8.8.8"), 9100).is_err());
        for inside in
            ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1", "100.100.100.200"]
        {
            assert!(policy.check(ip(inside), 443).is_err(), "{inside}");
        }
        policy.allowed_networks = vec!["10.0.0.0/8".parse().unwrap()];
        assert_eq!(policy.check(ip("10.0.0.1"), 443), Ok(()));
        // A tunnelled private address is not the private address.
        assert!(policy.check(ip("64:ff9b::a00:1"), 443).is_err());
    }

    proptest! {
        #[test]
        fn a_network_contains_what_it_was_made_of(bits: u128, v6: bool, prefix in 0_u8..=128) {
            let address = if v6 { IpAddr::V6(bits.into()) } else { IpAddr::V4((bits as u32).into()) };
            if let Ok(network) = Network::new(address, prefix) {
                // A mapped address is looked up among IPv4 networks.
                prop_assume!(address.to_canonical() == address);
                prop_assert!(network.contains(address));
                prop_assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
            }
        }

        #[test]
        fn parsers_are_total(text in "\\PC{0,60}") {
            let _ = text.parse::<Network>();
            if let Ok(pattern) = text.parse::<HostPattern>() {
                prop_assert_eq!(pattern.to_string().parse::<HostPattern>().unwrap(), pattern);
            }
            let _ = HostPattern::any().matches(&text);
        }

        #[test]
        fn a_mapped_address_has_the_class_of_the_address_inside(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(classify(IpAddr::V6(v4.to_ipv6_mapped())), classify(IpAddr::V4(v4)));
        }
    }
}
