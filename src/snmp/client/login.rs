//! Who asks: communities for SNMPv1 and v2c, users for SNMPv3 (RFC 3414). Secrets do not show in `Debug`.

use async_snmp::v3::MasterKeys;
use async_snmp::{Auth, AuthProtocol, PrivProtocol, UsmConfig};
use std::fmt;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2c,
    V3,
}

/// A community or a user.
#[derive(Clone)]
pub enum Login {
    /// For SNMPv2c and SNMPv1.
    Community(String),
    /// For SNMPv3.
    User(User),
}

/// An SNMPv3 user with its keys.
#[derive(Clone)]
pub struct User {
    name: String,
    keys: Option<MasterKeys>,
}

impl User {
    /// A user; with a password for authentication, and one for privacy. Passwords have at least 8 octets. Derives the keys,
    /// which takes some milliseconds; DES and 3DES are not supported.
    pub fn new(
        name: &str,
        auth: Option<(AuthProtocol, &str)>,
        privacy: Option<(PrivProtocol, &str)>,
    ) -> Result<Self, String> {
        let keys = match (auth, privacy) {
            (None, None) => None,
            (None, Some(_)) => return Err("privacy needs authentication".to_owned()),
            (Some((protocol, password)), privacy) => {
                if password.len() < 8 || privacy.is_some_and(|(_, password)| password.len() < 8) {
                    return Err("a password has at least 8 octets".to_owned());
                }
                let keys = MasterKeys::new(protocol, password.as_bytes()).map_err(|error| error.to_string())?;
                Some(match privacy {
                    None => keys,
                    Some((PrivProtocol::Des | PrivProtocol::Des3, _)) => {
                        return Err("DES and 3DES are not supported; use AES".to_owned());
                    }
                    Some((protocol, password)) => {
                        keys.with_privacy(protocol, password.as_bytes()).map_err(|error| error.to_string())?
                    }
                })
            }
        };
        Ok(Self { name: name.to_owned(), keys })
    }
}

impl Login {
    /// The community, where it is one. A secret.
    pub fn community(&self) -> Option<&str> {
        match self {
            Self::Community(community) => Some(community),
            Self::User(_) => None,
        }
    }

    pub(super) fn takes(&self, version: Version) -> bool {
        matches!((self, version), (Self::Community(_), Version::V1 | Version::V2c) | (Self::User(_), Version::V3))
    }

    /// Without secrets.
    pub(super) fn name(&self, version: Version) -> String {
        match (self, version) {
            (Self::User(user), _) => format!("SNMPv3 user {}", user.name),
            (Self::Community(_), Version::V1) => "SNMPv1".to_owned(),
            (Self::Community(_), _) => "SNMPv2c".to_owned(),
        }
    }

    /// For one context: SNMPv3 names it; with communities, `community@context` is the custom.
    pub(super) fn auth(&self, version: Version, context: Option<&str>) -> Auth {
        match self {
            Self::Community(community) => {
                let community = match context {
                    Some(context) => format!("{community}@{context}"),
                    None => community.clone(),
                };
                if version == Version::V1 { Auth::v1(community) } else { Auth::v2c(community) }
            }
            Self::User(user) => {
                let mut usm = UsmConfig::new(user.name.clone().into_bytes());
                if let Some(keys) = &user.keys
                    // Cannot fail: the keys were made for the same backend.
                    && let Ok(with_keys) = usm.clone().with_master_keys(keys.clone())
                {
                    usm = with_keys;
                }
                if let Some(context) = context {
                    usm = usm.context_name(context.to_owned().into_bytes());
                }
                Auth::from(usm)
            }
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Community(_) => f.write_str("Community(…)"),
            Self::User(user) => user.fmt(f),
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("keys", &self.keys.as_ref().map(|_| "…")).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let user = User::new(
            "monitor",
            Some((AuthProtocol::Sha256, "authsecret")),
            Some((PrivProtocol::Aes128, "privsecret")),
        );
        let logins = [Login::Community("comsecret".into()), Login::User(user.unwrap())];
        let shown = format!("{logins:?} {:?}", logins.each_ref().map(|login| login.name(Version::V2c)));
        assert!(!shown.contains("secret") && shown.contains("monitor"), "{shown}");
    }

    #[test]
    fn what_cannot_be_a_user_says_why() {
        for (auth, privacy, why) in [
            (None, Some((PrivProtocol::Aes128, "long enough")), "privacy needs authentication"),
            (Some((AuthProtocol::Sha1, "short")), None, "8 octets"),
            (Some((AuthProtocol::Sha1, "long enough")), Some((PrivProtocol::Des, "long enough")), "DES"),
        ] {
            assert!(User::new("u", auth, privacy).unwrap_err().contains(why));
        }
    }
}
