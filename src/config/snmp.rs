//! The section `snmp`: whether and as whom printers are asked over SNMP.
//!
//! ```json
//! { "enabled": true, "port": 161, "communities": ["public", {"secret": "file:/etc/printgate/community"}],
//!   "users": [{ "name": "monitor", "auth": "SHA256", "authPassword": {"secret": "file:/etc/printgate/auth"},
//!               "privacy": "AES128", "privacyPassword": {"secret": "file:/etc/printgate/privacy"} }] }
//! ```
//!
//! A secret is a name or ARN of AWS Secrets Manager, or a file (`domain::secret`).
//! Users are tried first (SNMPv3), then communities with SNMPv2c, then with SNMPv1. Passwords come by reference only;
//! communities may stand there as they are, since everybody on the network can read them anyway.

use super::{Reader, Section};
use crate::domain::secret::SecretRef;
use serde_json::{Map, Value};
use std::fmt;

/// Logins of each kind.
const MAX_LOGINS: usize = 8;
/// Octets of a name or community.
const MAX_TEXT: usize = 255;
/// Authentication protocols (RFC 3414, RFC 7860).
const AUTH: [&str; 6] = ["MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512"];
/// Privacy protocols (RFC 3826, and the two drafts in use for longer keys: `C` is the one that Cisco began).
const PRIVACY: [&str; 5] = ["AES128", "AES192", "AES256", "AES192C", "AES256C"];

/// As whom printers are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snmp {
    /// Whether they are.
    pub enabled: bool,
    /// UDP port: 161 everywhere but in laboratories.
    pub port: u16,
    /// Communities, in the order in which they are tried.
    pub communities: Vec<Text>,
    /// SNMPv3 users, likewise.
    pub users: Vec<SnmpUser>,
}

impl Default for Snmp {
    fn default() -> Self {
        Self { enabled: true, port: 161, communities: vec![Text::Plain("public".to_owned())], users: Vec::new() }
    }
}

/// An SNMPv3 user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnmpUser {
    /// Its name.
    pub name: String,
    /// Protocol, one of `MD5`, `SHA1`, … and password of authentication.
    pub auth: Option<(String, SecretRef)>,
    /// Protocol, one of `AES128`, … and password of privacy. Only with authentication.
    pub privacy: Option<(String, SecretRef)>,
}

/// A text, or where it is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Text {
    /// As it is.
    Plain(String),
    /// Elsewhere.
    Secret(SecretRef),
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("Plain(…)"),
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

impl Reader {
    pub(super) fn snmp(&mut self, root: &Map<String, Value>, snmp: &mut Snmp) {
        let at = self.section(root, "snmp", &["enabled", "port", "communities", "users"]);
        self.boolean(&at, "enabled", &mut snmp.enabled);
        self.number(&at, "port", 1, 65_535, &mut snmp.port);
        if let Some(items) = self.items(&at, "communities") {
            snmp.communities = items
                .iter()
                .enumerate()
                .filter_map(|(place, item)| {
                    let path = format!("snmp.communities[{place}]");
                    match item {
                        Value::String(text) if !text.is_empty() && text.len() <= MAX_TEXT => {
                            Some(Text::Plain(text.clone()))
                        }
                        Value::Object(_) => self.secret(item, path).map(Text::Secret),
                        _ => {
                            self.error(path, "must be a community, or {\"secret\": …}");
                            None
                        }
                    }
                })
                .collect();
        }
        if let Some(items) = self.items(&at, "users") {
            let users = items.iter().enumerate();
            snmp.users = users.filter_map(|(place, item)| self.user(item, &format!("snmp.users[{place}]"))).collect();
        }
        if snmp.enabled && snmp.communities.is_empty() && snmp.users.is_empty() {
            self.error("snmp", "needs a community or a user, or enabled: false");
        }
    }

    fn items<'a>(&mut self, at: &Section<'a>, key: &str) -> Option<&'a [Value]> {
        match at.get(key)? {
            Value::Array(items) if items.len() <= MAX_LOGINS => Some(items),
            _ => {
                self.error(at.path(key), format!("must be a list of at most {MAX_LOGINS}"));
                None
            }
        }
    }

    fn user(&mut self, item: &Value, path: &str) -> Option<SnmpUser> {
        let Value::Object(fields) = item else {
            self.error(path, "must be an object");
            return None;
        };
        self.known(fields, path, &["name", "auth", "authPassword", "privacy", "privacyPassword"]);
        let name = fields.get("name").and_then(Value::as_str).filter(|name| !name.is_empty() && name.len() <= 32);
        if name.is_none() {
            self.error(format!("{path}.name"), "must be a name of at most 32 octets");
        }
        let auth = self.protocol(fields, path, "auth", &AUTH);
        let privacy = self.protocol(fields, path, "privacy", &PRIVACY);
        if privacy.is_some() && auth.is_none() {
            self.error(format!("{path}.privacy"), "needs auth");
        }
        Some(SnmpUser { name: name?.to_owned(), auth, privacy })
    }

    fn protocol(
        &mut self,
        fields: &Map<String, Value>,
        path: &str,
        key: &str,
        protocols: &[&str],
    ) -> Option<(String, SecretRef)> {
        let present = |key: &str| fields.get(key).filter(|value| !value.is_null() && value.as_str() != Some(""));
        let password_key = format!("{key}Password");
        let (protocol, password) = (present(key), present(&password_key));
        if protocol.is_none() && password.is_none() {
            return None;
        }
        let plain: String =
            protocol.and_then(Value::as_str).unwrap_or_default().to_ascii_uppercase().replace(['-', '_'], "");
        let plain = if plain == "SHA" { "SHA1".to_owned() } else { plain };
        let known = protocols.contains(&plain.as_str());
        if !known {
            self.error(format!("{path}.{key}"), format!("must be one of {}", protocols.join(", ")));
        }
        let password = match password {
            Some(value) => self.secret(value, format!("{path}.{password_key}")),
            None => {
                self.error(format!("{path}.{password_key}"), "is missing: {\"secret\": \"file:/path\"}");
                None
            }
        };
        known.then_some(plain).zip(password)
    }

    fn secret(&mut self, value: &Value, path: String) -> Option<SecretRef> {
        let text =
            value.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.get("secret")?.as_str());
        let secret = text.and_then(|text| text.parse().ok());
        if secret.is_none() {
            self.error(path, "must be {\"secret\": …} with a secret's name or ARN, or file:/absolute/path");
        }
        secret
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use serde_json::json;

    #[test]
    fn users_and_communities_are_read_and_nothing_secret_shows() {
        let value = json!({"snmp": {"port": "1161", "communities": ["hidden", {"secret": "file:/c"}], "users": [
            {"name": "monitor", "auth": "sha-256", "authPassword": {"secret": "file:/a"},
             "privacy": "AES128", "privacyPassword": {"secret": "file:/p"}}]}});
        let snmp = check(&value).config.unwrap().snmp;
        assert_eq!((snmp.port, snmp.communities.len(), snmp.users.len()), (1161, 2, 1));
        assert_eq!(snmp.users[0].auth.as_ref().unwrap().0, "SHA256");
        assert!(!format!("{snmp:?}").contains("hidden"));
        assert!(!check(&json!({"snmp": {"enabled": "false", "communities": []}})).config.unwrap().snmp.enabled);
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        let value = json!({"snmp": {"communities": [3, {"secret": "file:relative"}], "users": [
            {"name": "", "auth": "ROT13", "authPassword": "plain"},
            {"name": "x", "privacy": "AES128"}, "y"]}});
        let errors = check(&value).config.unwrap_err();
        let paths: Vec<_> = errors.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "snmp.communities[0]",
                "snmp.communities[1]",
                "snmp.users[0].name",
                "snmp.users[0].auth",
                "snmp.users[0].authPassword",
                "snmp.users[1].privacyPassword",
                "snmp.users[2]"
            ]
        );
    }
}
