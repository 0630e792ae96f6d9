//! Identifiers as newtypes: what is wrong about one is found where it enters, nowhere else.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl InvalidId {
    /// The rule that was broken, in words for the person who wrote the text.
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and makes the identifier of it.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok(Self(text))
                } else {
                    let text = text.chars().take(80).collect();
                    Err(InvalidId { what: $what, text, rule: $rule })
                }
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $rule })
            }
        }
    };
}

text_id!(
    /// A printer's stable name: canonical maker, a dash, ten base-32 characters (`hp-7k2m9q4xwp`).
    /// It is also the printer's shadow name, hence at most 64 characters (AWS IoT `ShadowName`).
    PrinterId,
    "printer id",
    "1 to 64 lower-case letters, digits and dashes",
    |t| (1..=64).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);

impl PrinterId {
    /// Makes an id of a canonical maker and the first 50 bits of `hash`. Total: what of `maker` may not stand in an id
    /// is left out, and what is longer than 53 characters is cut.
    pub fn from_maker_and_hash(maker: &str, hash: &[u8]) -> Self {
        let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
        let maker: String = maker.chars().filter(allowed).take(53).collect();
        let hash: String = base32_lower(hash).chars().take(10).collect();
        Self(format!("{maker}-{hash}"))
    }
}

text_id!(
    /// The submitter's name of a job, the idempotency key within a gateway.
    JobId,
    "job id",
    "1 to 128 of the characters A-Z a-z 0-9 _ . : -",
    |t| (1..=128).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-'))
);

text_id!(
    /// The gateway's thing name (AWS IoT `ThingName`).
    GatewayName,
    "thing name",
    "1 to 128 of the characters A-Z a-z 0-9 : _ -",
    |t| (1..=128).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-'))
);

text_id!(
    /// The random identifier of one message to the cloud: 26 lower-case base-32 characters (128 random bits).
    MessageId,
    "message id",
    "26 lower-case base-32 characters",
    |t| t.len() == 26 && t.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
);

impl MessageId {
    /// Makes an identifier of 128 random bits.
    pub fn from_random(bits: [u8; 16]) -> Self {
        Self(base32_lower(&bits))
    }
}

/// The random stem of a job's tags: `pg` and six base-32 characters. With the attempt behind it (`pg7k2m9q.2`) it
/// opens the IPP `job-name` and finds the job again at a printer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TagStem(String);

impl TagStem {
    /// Makes a stem of 32 random bits (30 are used).
    pub fn from_random(bits: [u8; 4]) -> Self {
        let text = base32_lower(&bits);
        Self(format!("pg{}", &text[..6]))
    }

    /// A stem read back from the job book.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The tag of one attempt.
    pub fn tag(&self, attempt: u32) -> String {
        format!("{}.{attempt}", self.0)
    }

    /// The stem as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lower-case base 32 (RFC 4648 §6 alphabet) without padding.
pub fn base32_lower(bytes: &[u8]) -> String {
    let mut text = data_encoding::BASE32_NOPAD.encode(bytes);
    text.make_ascii_lowercase();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printer_ids_take_only_shadow_safe_text() {
        assert!(PrinterId::new("hp-7k2m9q4xwp").is_ok());
        for bad in ["", "HP-1", "a b", "a/b", "a+b", "ü", &"x".repeat(65)] {
            assert!(PrinterId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn job_ids_never_contain_topic_or_path_separators() {
        assert!(JobId::new("inv-2026-00017").is_ok());
        for bad in ["", "a/b", "a#", "a b", "a\n", &"x".repeat(129)] {
            assert!(JobId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn message_ids_are_26_characters_and_parse_back() {
        let id = MessageId::from_random([7; 16]);
        assert_eq!(MessageId::new(id.as_str()), Ok(id.clone()));
    }

    #[test]
    fn a_tag_is_stem_dot_attempt() {
        let stem = TagStem::from_random([1, 2, 3, 4]);
        assert_eq!(stem.as_str().len(), 8);
        assert_eq!(stem.tag(2), format!("{}.2", stem.as_str()));
    }
}
