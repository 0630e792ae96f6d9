//! Who may ask an agent, and what they know: communities (versions 1 and 2c) and users (version 3).
//!
//! Without anything else said there is the community `public`, and these users, all with the authentication password
//! `authentication` and the privacy password `privacy-of-print`:
//!
//! | user | authentication | privacy |
//! |---|---|---|
//! | `noauth` | – | – |
//! | `auth-md5` | HMAC-MD5-96 | – |
//! | `auth-sha` | HMAC-SHA-96 | – |
//! | `auth-sha512` | HMAC-SHA-512 | – |
//! | `priv-des` | HMAC-MD5-96 | DES |
//! | `priv-aes` | HMAC-SHA-96 | AES-128 |
//! | `priv-aes256` | HMAC-SHA-256 | AES-256 |
//!
//! A user asks at the level of its credentials; at a lower one the agent answers authorizationError.

use async_snmp::v3::{AuthProtocol, MasterKeys, PrivProtocol};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, OnceLock};

/// Authentication password of the users that are there without being configured.
pub const DEFAULT_AUTH_PASSWORD: &str = "authentication";
/// Privacy password likewise.
pub const DEFAULT_PRIV_PASSWORD: &str = "privacy-of-print";
/// Shortest password (RFC 3414 §11.2).
const MIN_PASSWORD: usize = 8;

/// The communities and users of an agent.
#[derive(Debug, Clone)]
pub struct Access {
    /// Communities that may read.
    pub communities: Vec<String>,
    /// Users of version 3; an agent of a kind that speaks it.
    pub users: Arc<[User]>,
}

impl Default for Access {
    fn default() -> Access {
        // One list for all agents: its keys are derived once.
        static USERS: LazyLock<Arc<[User]>> = LazyLock::new(default_users);
        Access { communities: vec!["public".to_owned()], users: USERS.clone() }
    }
}

/// One user of the User-based Security Model (RFC 3414).
#[derive(Clone)]
pub struct User {
    name: String,
    auth: Option<(AuthProtocol, String)>,
    privacy: Option<(PrivProtocol, String)>,
    /// Keys before localization: a megabyte of hashing each, so only when somebody asks.
    master: OnceLock<Option<MasterKeys>>,
}

impl User {
    /// usmUserName.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn authenticates(&self) -> bool {
        self.auth.is_some()
    }

    pub(super) fn encrypts(&self) -> bool {
        self.privacy.is_some()
    }

    pub(super) fn privacy(&self) -> Option<PrivProtocol> {
        self.privacy.as_ref().map(|(protocol, _)| *protocol)
    }

    /// The keys before localization; none without authentication.
    pub(super) fn master(&self) -> Option<&MasterKeys> {
        let derive = || {
            let (protocol, password) = self.auth.as_ref()?;
            let keys = MasterKeys::new(*protocol, password.as_bytes()).ok()?;
            match &self.privacy {
                None => Some(keys),
                Some((protocol, password)) => keys.with_privacy(*protocol, password.as_bytes()).ok(),
            }
        };
        self.master.get_or_init(derive).as_ref()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (auth, privacy) = (self.auth.as_ref().map(|(p, _)| *p), self.privacy());
        f.debug_struct("User").field("name", &self.name).field("auth", &auth).field("privacy", &privacy).finish()
    }
}

/// `NAME`, `NAME:AUTH:PASSWORD` or `NAME:AUTH:PASSWORD:PRIV:PASSWORD` with AUTH of MD5, SHA, SHA-224, SHA-256, SHA-384,
/// SHA-512 and PRIV of DES, 3DES, AES, AES-192, AES-256 (after Blumenthal) and the `-C` variants (after Reeder).
impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<User, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default().to_owned();
        if name.is_empty() || name.len() > 32 {
            return Err("a user name has 1 to 32 octets".to_owned());
        }
        let rest: Vec<&str> = parts.collect();
        let (auth, privacy) = match rest.as_slice() {
            [] => (None, None),
            [auth, password] => (Some((auth_protocol(auth)?, long_enough(password)?)), None),
            [auth, auth_password, privacy, priv_password] => (
                Some((auth_protocol(auth)?, long_enough(auth_password)?)),
                Some((priv_protocol(privacy)?, long_enough(priv_password)?)),
            ),
            _ => return Err("write NAME, NAME:AUTH:PASSWORD or NAME:AUTH:PASSWORD:PRIV:PASSWORD".to_owned()),
        };
        Ok(User { name, auth, privacy, master: OnceLock::new() })
    }
}

fn auth_protocol(text: &str) -> Result<AuthProtocol, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no authentication: use MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512"))
}

fn priv_protocol(text: &str) -> Result<PrivProtocol, String> {
    match text.to_ascii_uppercase().as_str() {
        "AES-192" | "AES192" => Ok(PrivProtocol::Aes192Blumenthal),
        "AES-256" | "AES256" => Ok(PrivProtocol::Aes256Blumenthal),
        "AES-192-C" | "AES192C" => Ok(PrivProtocol::Aes192Reeder),
        "AES-256-C" | "AES256C" => Ok(PrivProtocol::Aes256Reeder),
        other => other.parse().map_err(|_| {
            format!("`{text}` is no privacy: use DES, 3DES, AES, AES-192, AES-256, AES-192-C or AES-256-C")
        }),
    }
}

fn long_enough(password: &str) -> Result<String, String> {
    if password.len() < MIN_PASSWORD {
        return Err(format!("passwords have at least {MIN_PASSWORD} octets"));
    }
    Ok(password.to_owned())
}

fn default_users() -> Arc<[User]> {
    let user = |name: &str, auth: Option<AuthProtocol>, privacy: Option<PrivProtocol>| User {
        name: name.to_owned(),
        auth: auth.map(|protocol| (protocol, DEFAULT_AUTH_PASSWORD.to_owned())),
        privacy: privacy.map(|protocol| (protocol, DEFAULT_PRIV_PASSWORD.to_owned())),
        master: OnceLock::new(),
    };
    Arc::new([
        user("noauth", None, None),
        user("auth-md5", Some(AuthProtocol::Md5), None),
        user("auth-sha", Some(AuthProtocol::Sha1), None),
        user("auth-sha512", Some(AuthProtocol::Sha512), None),
        user("priv-des", Some(AuthProtocol::Md5), Some(PrivProtocol::Des)),
        user("priv-aes", Some(AuthProtocol::Sha1), Some(PrivProtocol::Aes128)),
        user("priv-aes256", Some(AuthProtocol::Sha256), Some(PrivProtocol::Aes256Blumenthal)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_and_their_passwords_not_shown() {
        let user: User = "watch:SHA-256:twelve-chars:AES-256:other-twelve".parse().unwrap();
        assert!(user.authenticates() && user.encrypts());
        let shown = format!("{user:?}");
        assert!(!shown.contains("twelve"), "{shown}");
        for bad in [
            "",
            "x:SHA",
            "x:SHA:short",
            "x:ROT13:long-enough",
            "x:SHA:long-enough:AES",
            "x:SHA:long-enough:XOR:long-enough",
        ] {
            assert!(bad.parse::<User>().is_err(), "{bad}");
        }
    }
}
