//! Which printer gets which credentials: `printers.credentials` names a printer by its id, its host name or its address.

use crate::config::PrinterCredentials;
use crate::domain::endpoint::Endpoint;
use crate::domain::secret::SecretRef;
use crate::ipp::client::{Basic, PasswordSource};
use std::net::IpAddr;
use std::sync::Arc;

/// The configured credentials. Clones share what was learned: that a printer asks, that it refused.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    entries: Arc<Vec<(String, Arc<Basic>)>>,
}

impl Credentials {
    /// The credentials of a configuration; `password` makes the source of a secret.
    pub fn new(configured: &[PrinterCredentials], password: impl Fn(&SecretRef) -> PasswordSource) -> Self {
        let entry = |c: &PrinterCredentials| {
            let basic = Basic::new(c.user.clone(), password(&c.secret), c.allow_plain);
            (c.printer.clone(), Arc::new(basic))
        };
        Self { entries: Arc::new(configured.iter().map(entry).collect()) }
    }

    /// The credentials for an endpoint: by host name or address, or where `is_id` says that a text is its printer's id.
    pub fn find(&self, endpoint: &Endpoint, is_id: impl Fn(&str) -> bool) -> Option<Arc<Basic>> {
        self.named(endpoint, |name| name.eq_ignore_ascii_case(&endpoint.host) || is_id(name))
    }

    /// The same for an endpoint whose certificate was never seen. Anybody in the network can announce a host name, so that
    /// name alone gets no password.
    pub fn find_for_stranger(&self, endpoint: &Endpoint, is_id: impl Fn(&str) -> bool) -> Option<Arc<Basic>> {
        self.named(endpoint, is_id)
    }

    fn named(&self, endpoint: &Endpoint, is_meant: impl Fn(&str) -> bool) -> Option<Arc<Basic>> {
        let named = |name: &str| {
            is_meant(name) || name.parse::<IpAddr>().is_ok_and(|address| endpoint.addresses.contains(&address))
        };
        self.entries.iter().find(|(name, _)| named(name)).map(|(_, basic)| Arc::clone(basic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::EndpointKind;
    use crate::domain::secret::Secret;
    use serde_json::json;

    #[test]
    fn a_printer_is_named_by_id_host_or_address() {
        let value = json!({"printers": {"credentials": [
            {"printer": "Laser.local", "user": "a", "secret": "file:/a"},
            {"printer": "10.0.0.9", "user": "b", "secret": "file:/b"},
            {"printer": "hp-7k2m9q4xwp", "user": "c", "secret": "office/printers#c"},
        ]}});
        let configured = crate::config::check(&value).config.unwrap().printer_credentials;
        let credentials = Credentials::new(&configured, |_| Box::new(|| Box::pin(async { Ok(Secret::new("x")) })));
        let endpoint = |host: &str, address: &str| Endpoint {
            kind: EndpointKind::Ipps,
            host: host.into(),
            addresses: vec![address.parse().unwrap()],
            scope_id: 0,
            port: 631,
            path: "/".into(),
        };
        let user = |host: &str, address: &str, id: &str| {
            let endpoint = endpoint(host, address);
            credentials.find(&endpoint, |name| name == id).map(|basic| format!("{basic:?}"))
        };
        assert!(user("laser.LOCAL", "10.0.0.1", "").unwrap().contains("\"a\""));
        assert!(user("other.local", "10.0.0.9", "").unwrap().contains("\"b\""));
        assert!(user("other.local", "10.0.0.1", "hp-7k2m9q4xwp").unwrap().contains("\"c\""));
        assert_eq!(user("other.local", "10.0.0.1", "hp-other"), None);
        // One who only has the name, and whose certificate is not known.
        let stranger = |address: &str, id: &str| {
            credentials.find_for_stranger(&endpoint("laser.local", address), |name| name == id).is_some()
        };
        assert!(!stranger("10.0.0.1", ""));
        assert!(stranger("10.0.0.9", "") && stranger("10.0.0.1", "hp-7k2m9q4xwp"));
    }
}
