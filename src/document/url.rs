//! A document's URL as a secret: a presigned URL is a key to the document for whoever reads it.

use std::fmt;
use url::{Host, Url};

/// The longest URL taken, in bytes. Presigned URLs with session tokens reach 2 KB.
pub(super) const MAX_URL_BYTES: usize = 8 * 1024;

/// A URL that never shows its query, its fragment or a user's password: `Debug` and `Display` give scheme, host and
/// path only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SecretUrl(Url);

/// Why a text cannot be a document's URL. Never contains the URL's secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Not a URL at all.
    #[error("it is not a URL")]
    NotAUrl,
    /// Longer than 8 KiB.
    #[error("it is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    /// Anything but https.
    #[error("its scheme is {0}; only https is taken")]
    NotHttps(String),
    /// `https://user:password@host/`.
    #[error("it carries a user name or password")]
    UserInfo,
    /// Without a host there is nobody to ask.
    #[error("it has no host")]
    NoHost,
}

impl SecretUrl {
    /// Takes an absolute https URL without user and password.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > MAX_URL_BYTES {
            return Err(InvalidUrl::TooLong);
        }
        Self::check(Url::parse(text).map_err(|_| InvalidUrl::NotAUrl)?)
    }

    /// The URL that a redirect from this one leads to: `location` may be relative.
    pub(super) fn join(&self, location: &str) -> Result<Self, InvalidUrl> {
        if location.len() > MAX_URL_BYTES {
            return Err(InvalidUrl::TooLong);
        }
        Self::check(self.0.join(location).map_err(|_| InvalidUrl::NotAUrl)?)
    }

    fn check(mut url: Url) -> Result<Self, InvalidUrl> {
        if url.scheme() != "https" {
            return Err(InvalidUrl::NotHttps(url.scheme().chars().take(16).collect()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::UserInfo);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(InvalidUrl::NoHost);
        }
        url.set_fragment(None);
        Ok(Self(url))
    }

    /// The host as it is resolved and matched: a name in ASCII, or an address without brackets.
    pub fn host(&self) -> String {
        match self.0.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        }
    }

    /// The port, 443 where none is written.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// The whole URL with its secrets: for the store and the request, nowhere else.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The URL without its query: what stays the same when a document is signed again.
    pub fn without_query(&self) -> String {
        let mut url = self.0.clone();
        url.set_query(None);
        url.into()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bounded: a path may be long, and this goes into logs and answers.
        let text = self.without_query();
        match text.char_indices().nth(200) {
            Some((cut, _)) => write!(f, "{}…", text.get(..cut).unwrap_or_default()),
            None => f.write_str(&text),
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_not_shown() {
        let url = SecretUrl::parse("https://b.example/inv/1.pdf?X-Amz-Signature=SECRET#SECRET").unwrap();
        for text in [format!("{url}"), format!("{url:?}"), format!("{:?}", Some(&url))] {
            assert!(text.contains("b.example/inv/1.pdf") && !text.contains("SECRET"), "{text}");
        }
        assert!(url.expose().ends_with("Signature=SECRET"));
    }

    #[test]
    fn only_https_with_a_host_and_without_a_user() {
        assert_eq!(SecretUrl::parse("http://a/"), Err(InvalidUrl::NotHttps("http".into())));
        assert_eq!(SecretUrl::parse("file:///etc/passwd"), Err(InvalidUrl::NotHttps("file".into())));
        assert_eq!(SecretUrl::parse("https://u:p@a/"), Err(InvalidUrl::UserInfo));
        assert_eq!(SecretUrl::parse("https://"), Err(InvalidUrl::NotAUrl));
        assert_eq!(SecretUrl::parse("inv.pdf"), Err(InvalidUrl::NotAUrl));
        assert_eq!(SecretUrl::parse(&format!("https://a/{}", "x".repeat(9000))), Err(InvalidUrl::TooLong));
        // The many spellings of 127.0.0.1 are one address once parsed.
        for text in ["https://0x7f.1/", "https://2130706433/", "https://127.1/"] {
            assert_eq!(SecretUrl::parse(text).unwrap().host(), "127.0.0.1");
        }
        assert_eq!(SecretUrl::parse("https://[::1]:8443/").unwrap().host(), "::1");
    }

    proptest! {
        #[test]
        fn parsing_and_showing_are_total(text in "(https://)?\\PC{0,300}", location in "\\PC{0,80}") {
            if let Ok(url) = SecretUrl::parse(&text) {
                let shown = format!("{url}");
                prop_assert!(!shown.contains('?'));
                let _ = url.join(&location);
            }
        }
    }
}
