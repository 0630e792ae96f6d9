//! The section `discovery`: how printers are looked for.
//!
//! ```json
//! { "mdns": true, "mdnsPort": 5353, "loopback": false, "computerQueues": false, "usb": false,
//!   "sweep": { "networks": ["10.20.0.0/16", "10.21.4.0/24"], "exclude": ["10.20.9.0/24"], "connected": false,
//!              "ratePerSecond": 1000, "everyHours": 6, "maxAddresses": 262144 } }
//! ```
//!
//! | key of `sweep` | default | |
//! |---|---|---|
//! | `networks` | none | networks in which every address is asked for its SNMP agent; printers in them may be contacted, as in `printers.allowedNetworks` |
//! | `exclude` | none | addresses and networks that are left out |
//! | `connected` | false | the directly connected IPv4 networks are swept too |
//! | `ratePerSecond` | 1000 | requests a second, about 90 octets each |
//! | `everyHours` | 6 | from one sweep to the next |
//! | `maxAddresses` | 262144 | addresses in all; a network larger than a /16 (IPv6: /112) needs more than the default |
//!
//! `computerQueues` takes queues that computers share over mDNS too, `usb` printers on a computer's USB port: neither is the
//! device itself, so neither is taken by default.
//!
//! Without `networks` and `connected` nothing is swept. SNMP's logins are those of the section `snmp`.

use super::{Config, Reader};
use crate::domain::net::Network;
use crate::domain::sweep::plan::{self, DEFAULT_MAX_ADDRESSES, MOST_ADDRESSES, Plan};
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::time::Duration;

/// Networks in a list.
const MAX_NETWORKS: usize = 256;
/// Requests a second.
const MAX_RATE: u64 = 100_000;

/// Which networks are swept, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepConfig {
    /// Networks.
    pub networks: Vec<Network>,
    /// Addresses left out.
    pub exclude: Vec<Network>,
    /// The directly connected networks too.
    pub connected: bool,
    /// Requests a second.
    pub rate: u32,
    /// From one sweep to the next.
    pub every: Duration,
    /// Addresses in all.
    pub max_addresses: u64,
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            exclude: Vec::new(),
            connected: false,
            rate: 1_000,
            every: Duration::from_secs(6 * 3600),
            max_addresses: DEFAULT_MAX_ADDRESSES,
        }
    }
}

impl SweepConfig {
    /// Whether anything is swept.
    pub fn is_wanted(&self) -> bool {
        self.connected || !self.networks.is_empty()
    }
}

impl Reader {
    pub(super) fn discovery(&mut self, root: &Map<String, Value>, config: &mut Config) {
        let at = self.section(root, "discovery", &["mdns", "mdnsPort", "loopback", "computerQueues", "usb", "sweep"]);
        self.boolean(&at, "mdns", &mut config.mdns);
        self.number(&at, "mdnsPort", 1024, 65_535, &mut config.mdns_port);
        self.boolean(&at, "loopback", &mut config.loopback);
        self.boolean(&at, "computerQueues", &mut config.accept_shares);
        self.boolean(&at, "usb", &mut config.accept_usb);
        match at.get("sweep") {
            None => {}
            Some(Value::Object(fields)) => self.sweep(fields, config.loopback, &mut config.sweep),
            Some(_) => self.error("discovery.sweep", "must be an object with networks, or connected: true"),
        }
    }

    fn sweep(&mut self, fields: &Map<String, Value>, loopback: bool, sweep: &mut SweepConfig) {
        let path = "discovery.sweep";
        self.known(fields, path, &["networks", "exclude", "connected", "ratePerSecond", "everyHours", "maxAddresses"]);
        let at = super::Section { name: path, fields: Some(fields) };
        self.boolean(&at, "connected", &mut sweep.connected);
        self.number(&at, "ratePerSecond", 1, MAX_RATE, &mut sweep.rate);
        let mut hours = sweep.every.as_secs() / 3600;
        self.number(&at, "everyHours", 1, 24 * 30, &mut hours);
        sweep.every = Duration::from_secs(hours.saturating_mul(3600));
        self.number(&at, "maxAddresses", 1, MOST_ADDRESSES, &mut sweep.max_addresses);
        let before = self.errors.len();
        self.networks(&at, "networks", &mut sweep.networks);
        self.networks(&at, "exclude", &mut sweep.exclude);
        for (key, count) in [("networks", sweep.networks.len()), ("exclude", sweep.exclude.len())] {
            if count > MAX_NETWORKS {
                self.error(at.path(key), format!("must be a list of at most {MAX_NETWORKS}"));
            }
        }
        // Places count only where every item of the list was one.
        if self.errors.len() > before {
            return;
        }
        for (place, network) in sweep.networks.iter().enumerate() {
            if let Some(why) = why_not(network, loopback, sweep.max_addresses) {
                self.error(format!("{}[{place}]", at.path("networks")), why);
            }
        }
        if self.errors.len() == before
            && let Err(error) = Plan::new(&sweep.networks, &sweep.exclude, sweep.max_addresses, 0)
        {
            self.error(at.path("networks"), error.to_string());
        }
    }
}

/// Why a network cannot be swept.
fn why_not(network: &Network, loopback: bool, max_addresses: u64) -> Option<String> {
    let address = network.address();
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_multicast() || address.is_unspecified() || matches!(address, IpAddr::V4(v4) if v4.octets()[0] >= 240)
    {
        return Some(format!("{network} is no network of hosts"));
    }
    if link_local {
        return Some(format!("{network} is link-local: printers there are found by mDNS"));
    }
    if address.is_loopback() && !loopback {
        return Some(format!("{network} is this machine: only for simulated printers, with discovery.loopback: true"));
    }
    plan::check_network(network, max_addresses).err().map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Finding, check};
    use super::*;
    use serde_json::json;

    fn errors(sweep: Value) -> Vec<Finding> {
        check(&json!({"discovery": {"sweep": sweep}})).config.unwrap_err()
    }

    #[test]
    fn nothing_is_swept_unless_it_is_said() {
        for value in [json!({}), json!({"discovery": {"mdns": "false"}}), json!({"discovery": {"sweep": {}}})] {
            let config = check(&value).config.unwrap();
            assert!(!config.sweep.is_wanted(), "{value}");
        }
    }

    #[test]
    fn a_sweep_is_read_with_numbers_as_texts() {
        let checked = check(&json!({"discovery": {"mdnsPort": "5454", "sweep": {
            "networks": ["10.20.0.0/16", "10.21.4.0/24", "fd00::/112"], "exclude": ["10.20.9.0/24", "10.20.1.1"],
            "connected": "true", "ratePerSecond": "50", "everyHours": "24.0", "maxAddresses": "200000"}}}));
        assert!(checked.warnings.is_empty());
        let config = checked.config.unwrap();
        let sweep = &config.sweep;
        assert_eq!((sweep.networks.len(), sweep.exclude.len(), sweep.connected), (3, 2, true));
        assert_eq!((sweep.rate, sweep.every, sweep.max_addresses), (50, Duration::from_secs(86_400), 200_000));
        assert!(sweep.is_wanted() && config.mdns && config.mdns_port == 5454);
        let large = json!({"discovery": {"sweep": {"networks": ["10.0.0.0/13"], "maxAddresses": 1_000_000}}});
        assert!(check(&large).config.is_ok());
        let simulated = json!({"discovery": {"loopback": true, "sweep": {"networks": ["127.1.0.0/24"]}}});
        assert!(check(&simulated).config.is_ok());
    }

    #[test]
    fn a_typing_error_is_refused_in_words() {
        let found = errors(json!({"networks": ["10.0.0.0/8"]}));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "discovery.sweep.networks[0]");
        assert!(found[0].message.starts_with("10.0.0.0/8 has 16,777,214 addresses"), "{}", found[0].message);
        assert!(found[0].message.contains("a typing error?"));
    }

    #[test]
    fn every_error_is_told_with_its_place() {
        let found = errors(json!({
            "networks": ["127.0.0.0/24", "224.0.0.0/24", "169.254.0.0/16", "10.1.0.0/16", "fd00::/64", "::/0"],
            "ratePerSecond": 0, "everyHours": "never", "maxAddresses": 1_048_577, "connected": 1}));
        let paths: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "discovery.sweep.connected",
                "discovery.sweep.ratePerSecond",
                "discovery.sweep.everyHours",
                "discovery.sweep.maxAddresses",
                "discovery.sweep.networks[0]",
                "discovery.sweep.networks[1]",
                "discovery.sweep.networks[2]",
                "discovery.sweep.networks[4]",
                "discovery.sweep.networks[5]",
            ]
        );
        assert_eq!(errors(json!({"networks": ["x"], "exclude": "10.0.0.1"})).len(), 2);
        assert_eq!(errors(json!("10.0.0.0/24"))[0].path, "discovery.sweep");
        let many: Vec<String> = (0..5).map(|n| format!("10.{n}.0.0/16")).collect();
        let found = errors(json!({"networks": many}));
        assert_eq!((found.len(), found[0].path.as_str()), (1, "discovery.sweep.networks"));
    }
}
