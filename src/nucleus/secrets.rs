//! The secrets that the classic nucleus's secret manager holds for its components.
//!
//! A secret is asked for by name or ARN, and by version id or stage (`AWSCURRENT` when neither is said). A new value
//! under a name takes `AWSCURRENT`; the value before it becomes `AWSPREVIOUS`, older ones are gone. Values are in memory
//! only, and neither `Debug` nor a log line ever shows one.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The largest secret that AWS Secrets Manager takes, octets.
pub const MAX_SECRET: usize = 65_536;
/// Secrets that one nucleus holds; the real one is bounded by its configuration.
const MAX_SECRETS: usize = 1_000;
const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// A secret for the components: a name and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Friendly name.
    pub name: String,
    /// Value.
    pub value: SecretValue,
}

impl Secret {
    /// A secret of text.
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: SecretValue::Text(value.into()) }
    }

    /// A secret read from a file: text where it is UTF-8, otherwise bytes.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let value = match String::from_utf8(bytes) {
            Ok(text) => SecretValue::Text(text),
            Err(error) => SecretValue::Binary(error.into_bytes()),
        };
        Self { name: name.into(), value }
    }
}

/// A secret's value. `Debug` shows its kind only.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretValue {
    /// `secretString`
    Text(String),
    /// `secretBinary`
    Binary(Vec<u8>),
}

impl SecretValue {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// As it stands in an answer.
    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "secretString": text }),
            Self::Binary(bytes) => json!({"secretBinary": BASE64_STANDARD.encode(bytes)}),
        }
    }
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(<redacted>)",
            Self::Binary(_) => "Binary(<redacted>)",
        })
    }
}

/// Why a secret was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The name is not one that AWS Secrets Manager takes.
    #[error("the secret name {0:?} is not 1 to 512 of A-Z a-z 0-9 / _ + = . @ -")]
    Name(String),
    /// The value is empty or too large.
    #[error("the secret {name} has {length} bytes; 1 to {MAX_SECRET} are a secret")]
    Length {
        /// Its name.
        name: String,
        /// Its length.
        length: usize,
    },
    /// There are too many.
    #[error("the stand-in holds at most {MAX_SECRETS} secrets")]
    TooMany,
}

/// Why a secret was not handed out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The request names none, or both a version and a stage.
    Request(&'static str),
    NotFound(String),
}

/// All secrets.
pub(super) struct Secrets {
    /// `arn:aws:secretsmanager:REGION:ACCOUNT:secret:`
    prefix: String,
    by_name: Mutex<BTreeMap<String, Versions>>,
}

/// The last two values of one secret.
struct Versions {
    arn: String,
    count: u32,
    current: SecretValue,
    previous: Option<SecretValue>,
}

impl Secrets {
    pub(super) fn new(region: &str) -> Self {
        let prefix = format!("arn:aws:secretsmanager:{region}:000000000000:secret:");
        Self { prefix, by_name: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Versions>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a secret, or a new version of it. Returns its ARN.
    pub(super) fn put(&self, secret: Secret) -> Result<String, SecretError> {
        let Secret { name, value } = secret;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
        if !(1..=512).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(SecretError::Name(name));
        }
        if !(1..=MAX_SECRET).contains(&value.len()) {
            return Err(SecretError::Length { name, length: value.len() });
        }
        let mut secrets = self.lock();
        if let Some(versions) = secrets.get_mut(&name) {
            versions.previous = Some(std::mem::replace(&mut versions.current, value));
            versions.count += 1;
            return Ok(versions.arn.clone());
        }
        if secrets.len() >= MAX_SECRETS {
            return Err(SecretError::TooMany);
        }
        // AWS adds a hyphen and six characters to the name.
        let arn = format!("{}{name}-StandI", self.prefix);
        secrets.insert(name, Versions { arn: arn.clone(), count: 1, current: value, previous: None });
        Ok(arn)
    }

    /// The ARN that a name or an ARN stands for.
    pub(super) fn arn(&self, secret_id: Option<&str>) -> Result<String, Missing> {
        let id = secret_id.filter(|id| !id.is_empty()).ok_or(Missing::Request("SecretId absent in the request"))?;
        let secrets = self.lock();
        let found = secrets.iter().find(|(name, versions)| *name == id || versions.arn == id);
        found.map(|(_, v)| v.arn.clone()).ok_or_else(|| Missing::NotFound(format!("Secret not found {id}")))
    }

    /// The answer to GetSecretValue for what [`Secrets::arn`] found.
    pub(super) fn get(&self, arn: &str, version: Option<&str>, stage: Option<&str>) -> Result<Value, Missing> {
        let secrets = self.lock();
        let versions = secrets.values().find(|versions| versions.arn == arn);
        let versions = versions.ok_or_else(|| Missing::NotFound(format!("Secret not found {arn}")))?;
        let (current, previous) = (version_id(versions.count), version_id(versions.count.saturating_sub(1)));
        let is_current = match (version.filter(|v| !v.is_empty()), stage.filter(|s| !s.is_empty())) {
            (Some(_), Some(_)) => return Err(Missing::Request("Both versionId and Stage are set in the request")),
            (None, None | Some(CURRENT)) => true,
            (Some(version), None) if version == current => true,
            (Some(version), None) if version == previous => false,
            (None, Some(PREVIOUS)) => false,
            (Some(version), None) => {
                return Err(Missing::NotFound(format!("Version Id {version} not found for secret {arn}")));
            }
            (None, Some(stage)) => {
                return Err(Missing::NotFound(format!("Version stage {stage} not found for secret {arn}")));
            }
        };
        let (value, id, stage) = match (is_current, &versions.previous) {
            (true, _) => (&versions.current, current, CURRENT),
            (false, Some(value)) => (value, previous, PREVIOUS),
            (false, None) => {
                return Err(Missing::NotFound(format!("Version stage {PREVIOUS} not found for secret {arn}")));
            }
        };
        Ok(json!({"secretId": arn, "versionId": id, "versionStage": [stage], "secretValue": value.to_json()}))
    }

    /// Names and ARNs.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        self.lock().iter().map(|(name, versions)| (name.clone(), versions.arn.clone())).collect()
    }
}

/// As long as the version ids of AWS, and the same at every start.
fn version_id(count: u32) -> String {
    format!("00000000-0000-4000-8000-{count:012}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_name_and_arn_and_keeps_two_versions() {
        let secrets = Secrets::new("eu-central-1");
        let arn = secrets.put(Secret::text("printers/hp", "one")).unwrap();
        assert_eq!(arn, "arn:aws:secretsmanager:eu-central-1:000000000000:secret:printers/hp-StandI");
        assert_eq!((secrets.arn(Some("printers/hp")), secrets.arn(Some(&arn))), (Ok(arn.clone()), Ok(arn.clone())));
        let get = |version, stage| secrets.get(&arn, version, stage);
        let first = get(None, None).unwrap();
        assert_eq!(first["secretValue"], json!({"secretString": "one"}));
        assert_eq!(first["versionStage"], json!(["AWSCURRENT"]));
        assert!(matches!(get(None, Some("AWSPREVIOUS")), Err(Missing::NotFound(_))));
        secrets.put(Secret::from_bytes("printers/hp", vec![0xff, 0])).unwrap();
        assert_eq!(get(None, Some("AWSCURRENT")).unwrap()["secretValue"], json!({"secretBinary": "/wA="}));
        let before = get(None, Some("AWSPREVIOUS")).unwrap();
        assert_eq!(before["secretValue"], json!({"secretString": "one"}));
        assert_eq!(get(first["versionId"].as_str(), None).unwrap(), before);
        assert!(matches!(get(Some("x"), Some("y")), Err(Missing::Request(_))));
        assert!(matches!(get(None, Some("label")), Err(Missing::NotFound(_))));
        assert!(matches!(secrets.arn(Some("printers")), Err(Missing::NotFound(_))));
        assert!(matches!(secrets.arn(None), Err(Missing::Request(_))));
    }

    #[test]
    fn what_is_no_secret_is_not_taken() {
        let secrets = Secrets::new("r");
        assert!(matches!(secrets.put(Secret::text("a b", "x")), Err(SecretError::Name(_))));
        assert!(matches!(secrets.put(Secret::text("a", "")), Err(SecretError::Length { .. })));
        assert!(matches!(secrets.put(Secret::from_bytes("a", vec![0; 65_537])), Err(SecretError::Length { .. })));
    }

    #[test]
    fn a_value_is_never_shown() {
        let shown = format!("{:?} {:?}", Secret::text("n", "hunter2"), Secret::from_bytes("b", vec![0xff, 0x68]));
        assert!(!shown.contains("hunter2") && !shown.contains("104") && shown.contains("redacted"), "{shown}");
    }
}
