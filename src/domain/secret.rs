//! Secrets: how a configuration points to one, and the value itself, which nothing shows.
//!
//! A reference is text: the name or the ARN of a secret in AWS Secrets Manager (`office/printers`), with `#key` behind
//! it where the secret is a JSON object and one of its members is meant (`office/printers#password`), or
//! `file:/absolute/path` for a file on the gateway. References are no secrets; they may be logged.
//!
//! A [`Secret`] has no `Display`, no `Serialize`, and `Debug` shows nothing of it, its length neither. Its memory is
//! overwritten when it is dropped; copies that other libraries make are beyond its reach.
//!
//! Not here: where the value comes from (`cloud::greengrass::secrets`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The most bytes a secret may have: what AWS Secrets Manager takes.
pub const MAX_SECRET_BYTES: usize = 65_536;
/// The most characters a reference may have.
const MAX_REFERENCE: usize = 2_048;
const FILE: &str = "file:";

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretRef {
    /// In AWS Secrets Manager, handed out by the nucleus.
    Manager {
        /// Name or ARN.
        id: String,
        /// Which member of the JSON object in it; without one the whole text.
        key: Option<String>,
    },
    /// In a file on the gateway, without its last line end.
    File(PathBuf),
}

/// Why a text is no reference to a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a secret's name or ARN, with #key behind it for a member of a JSON secret, or file:/absolute/path")]
pub struct InvalidSecretRef;

impl FromStr for SecretRef {
    type Err = InvalidSecretRef;

    fn from_str(text: &str) -> Result<Self, InvalidSecretRef> {
        if text.len() > MAX_REFERENCE || text.chars().any(char::is_control) {
            return Err(InvalidSecretRef);
        }
        if let Some(path) = text.strip_prefix(FILE) {
            let path = Path::new(path);
            // A path that ends with a slash names no file.
            let names_a_file = path.is_absolute() && path.file_name().is_some() && !text.ends_with('/');
            return if names_a_file { Ok(Self::File(path.to_owned())) } else { Err(InvalidSecretRef) };
        }
        let (id, key) = match text.split_once('#') {
            Some((id, key)) => (id, Some(key)),
            None => (text, None),
        };
        // The characters of names and ARNs (AWS Secrets Manager, CreateSecret).
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-:!".contains(c);
        if id.is_empty() || !id.chars().all(allowed) || key.is_some_and(str::is_empty) {
            return Err(InvalidSecretRef);
        }
        Ok(Self::Manager { id: id.to_owned(), key: key.map(str::to_owned) })
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager { id, key: None } => f.write_str(id),
            Self::Manager { id, key: Some(key) } => write!(f, "{id}#{key}"),
            Self::File(path) => write!(f, "{FILE}{}", path.display()),
        }
    }
}

/// A secret's value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes a value over.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(value.into())
    }

    /// The value, for the place where it is used and nowhere else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as text, if it is text.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Without it the compiler may leave out what nobody reads any more.
        std::hint::black_box(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_written_back() {
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:office/printers-AbCdEf";
        for text in ["office/printers", arn, "office/printers#password", "file:/etc/printgate/snmp.key"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
        let reference: SecretRef = "a#b".parse().unwrap();
        assert_eq!(reference, SecretRef::Manager { id: "a".into(), key: Some("b".into()) });
        assert_eq!("file:/a b".parse(), Ok(SecretRef::File("/a b".into())));
        for bad in
            ["", "#key", "a#", "a b", "a\n", "file:", "file:relative", "file:/dir/", "file:/", &"x".repeat(3_000)]
        {
            assert_eq!(bad.parse::<SecretRef>(), Err(InvalidSecretRef), "{bad}");
        }
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(secret.expose_text(), Some("hunter2"));
        for shown in [format!("{secret:?}"), format!("{:#?}", Some(&secret))] {
            assert!(!shown.contains("hunter2") && !shown.contains('7'), "{shown}");
        }
    }
}
