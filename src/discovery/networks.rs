//! The networks this machine is directly connected to: where printers may be when nothing else is configured.

use crate::domain::net::{AddressClass, Network, classify};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Interfaces looked at.
const MAX_INTERFACES: usize = 256;

/// The networks of all interfaces that are up, except loopback interfaces, whatever else their addresses are, and
/// point-to-point links (VPNs, cellular modems: what is behind them is no office). Empty when the machine has none, or when the system does not say.
///
/// An IPv6 link-local network (`fe80::/64`) is among them wherever IPv6 is on.
pub fn local_networks() -> Vec<Network> {
    let interfaces = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "the network interfaces cannot be listed");
            return Vec::new();
        }
    };
    let loopback: Vec<String> =
        interfaces.iter().filter(|interface| interface.is_loopback()).map(|interface| interface.name.clone()).collect();
    let mut networks: Vec<Network> = interfaces
        .into_iter()
        .take(MAX_INTERFACES)
        .filter(|interface| interface.is_oper_up() && !loopback.contains(&interface.name) && !interface.is_p2p())
        .filter_map(|interface| match interface.addr {
            if_addrs::IfAddr::V4(v4) => of_interface(v4.ip.into(), v4.prefixlen),
            if_addrs::IfAddr::V6(v6) => of_interface(v6.ip.into(), v6.prefixlen),
        })
        .collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}

/// `127.0.0.0/8` and `::1`: for the demo and tests, never a default.
pub fn loopback_networks() -> Vec<Network> {
    [(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8), (IpAddr::V6(Ipv6Addr::LOCALHOST), 128)]
        .into_iter()
        .filter_map(|(address, prefix)| Network::new(address, prefix).ok())
        .collect()
}

/// An interface's network. A prefix of zero is a misconfiguration and would allow everything.
fn of_interface(address: IpAddr, prefix: u8) -> Option<Network> {
    let useless = matches!(classify(address), AddressClass::Unspecified | AddressClass::Multicast);
    if prefix == 0 || useless { None } else { Network::new(address, prefix).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_this_machine_are_in_the_local_networks_and_loopback_is_not() {
        let networks = local_networks();
        for interface in if_addrs::get_if_addrs().unwrap() {
            let inside = networks.iter().any(|network| network.contains(interface.ip()));
            let expected = interface.is_oper_up() && interface.name != "lo" && !interface.is_p2p();
            assert_eq!(inside, expected, "{interface:?} {networks:?}");
        }
        assert!(!networks.iter().any(|network| network.contains("127.0.0.1".parse().unwrap())));
        assert!(loopback_networks().iter().any(|network| network.contains("127.9.0.1".parse().unwrap())));
    }

    #[test]
    fn a_network_of_everything_is_none() {
        assert_eq!(of_interface("10.0.0.1".parse().unwrap(), 0), None);
        assert_eq!(of_interface("10.0.0.1".parse().unwrap(), 8).unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(of_interface("0.0.0.0".parse().unwrap(), 8), None);
    }
}
