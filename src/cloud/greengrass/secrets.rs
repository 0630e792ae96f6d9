//! Secrets: from AWS Secrets Manager through the nucleus, or from a file on the gateway.
//!
//! `GetSecretValue` exists on nucleus classic, where the component `aws.greengrass.SecretManager` keeps the secrets
//! listed in its configuration, offline too, and the recipe's accessControl allows the operation. Nucleus lite has no
//! such operation: there a secret is a file that the component's user may read and not everybody may.
//!
//! [`Secrets`] keeps what it resolved for [`KEEP`]; an older value is served on when its source does not answer just
//! then. [`Secrets::refresh`] asks at once, for when a device refused the value: the secret may have been rotated.
//!
//! Invariants: no value in an error, a log line or `Debug`; at most [`MAX_KEPT`] values are kept; every wait has a
//! deadline. Not here: the value's use.

use super::error::{IpcError, ServiceErrorKind, clean};
use super::link::Link;
use crate::domain::secret::{MAX_SECRET_BYTES, Secret, SecretRef};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

/// How long a value is taken to be the present one.
pub const KEEP: Duration = Duration::from_secs(600);
/// Least time between two questions for one secret by [`Secrets::refresh`].
pub const REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// Values kept at most; more are asked for each time.
pub const MAX_KEPT: usize = 256;
/// How long a file may take: it may lie on a network's disk.
const FILE_TIME: Duration = Duration::from_secs(5);

/// Why there is no value; for the person who wrote the reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The runtime hands out no secrets, or not this one just now.
    #[error(
        "the nucleus does not hand out the secret {id} ({message}): on nucleus classic deploy \
         aws.greengrass.SecretManager with it; on nucleus lite put it into a file and write file:/absolute/path"
    )]
    NotOffered {
        /// Name or ARN.
        id: String,
        /// The nucleus' words.
        message: String,
    },
    /// The recipe does not allow it.
    #[error(
        "reading the secret {id} is not allowed ({message}): the component's accessControl for \
         aws.greengrass.SecretManager must allow aws.greengrass#GetSecretValue on it"
    )]
    Unauthorized {
        /// Name or ARN.
        id: String,
        /// The nucleus' words.
        message: String,
    },
    /// The secret manager does not have it.
    #[error(
        "the nucleus does not have the secret {id} ({message}): it must be in cloudSecrets of the configuration of \
         aws.greengrass.SecretManager"
    )]
    NotFound {
        /// Name or ARN.
        id: String,
        /// The nucleus' words.
        message: String,
    },
    /// No answer; asking again later may help.
    #[error("the secret {id} could not be asked for: {error}")]
    Unavailable {
        /// Name or ARN.
        id: String,
        /// What happened.
        error: IpcError,
    },
    /// The secret is not the JSON object that the reference takes it for.
    #[error("the secret {id} is no JSON object with a text under {key:?}")]
    NoKey {
        /// Name or ARN.
        id: String,
        /// The member that was meant.
        key: String,
    },
    /// The file does not give it.
    #[error("the secret in {path} cannot be used: {reason}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl SecretError {
    /// Whether asking again later may help without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A secret's value without a nucleus: only files give it.
///
/// # Errors
/// [`SecretError::File`], also for what is no file.
pub async fn from_file(reference: &SecretRef) -> Result<Secret, SecretError> {
    let SecretRef::File(path) = reference else {
        let reason = "without a nucleus only file:/absolute/path can be read".to_owned();
        return Err(SecretError::File { path: reference.to_string().into(), reason });
    };
    match tokio::time::timeout(FILE_TIME, read(path)).await {
        Ok(outcome) => outcome.map_err(|reason| SecretError::File { path: path.clone(), reason }),
        Err(_) => Err(SecretError::File { path: path.clone(), reason: format!("no answer in {FILE_TIME:?}") }),
    }
}

/// Asks for a secret's present value.
///
/// # Errors
/// [`SecretError`]
pub async fn resolve(link: &Link, reference: &SecretRef) -> Result<Secret, SecretError> {
    match reference {
        SecretRef::File(_) => from_file(reference).await,
        SecretRef::Manager { id, key } => {
            let secret = link.get_secret_value(id).await.map_err(|error| classify(id, error))?;
            match key {
                None => Ok(secret),
                Some(key) => {
                    member(&secret, key).ok_or_else(|| SecretError::NoKey { id: id.clone(), key: key.clone() })
                }
            }
        }
    }
}

/// Secrets that were asked for, kept for a while. Clones share them.
#[derive(Debug, Clone)]
pub struct Secrets {
    link: Link,
    kept: Arc<Mutex<BTreeMap<SecretRef, Kept>>>,
}

#[derive(Debug, Clone)]
struct Kept {
    secret: Secret,
    at: Instant,
}

impl Secrets {
    /// Nothing asked for yet.
    pub fn new(link: Link) -> Self {
        Self { link, kept: Arc::default() }
    }

    /// A secret's value, at most [`KEEP`] old where its source answers.
    ///
    /// # Errors
    /// [`SecretError`]
    pub async fn get(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        self.not_older_than(reference, KEEP).await
    }

    /// A secret's value, asked for anew unless that was done in the last [`REFRESH_PAUSE`].
    ///
    /// # Errors
    /// [`SecretError`]
    pub async fn refresh(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        self.not_older_than(reference, REFRESH_PAUSE).await
    }

    async fn not_older_than(&self, reference: &SecretRef, age: Duration) -> Result<Secret, SecretError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(reference).cloned();
        if let Some(kept) = &kept
            && kept.at.elapsed() < age
        {
            return Ok(kept.secret.clone());
        }
        match (resolve(&self.link, reference).await, kept) {
            (Ok(secret), _) => {
                let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                if all.len() < MAX_KEPT || all.contains_key(reference) {
                    all.insert(reference.clone(), Kept { secret: secret.clone(), at: Instant::now() });
                }
                Ok(secret)
            }
            (Err(error), Some(kept)) if error.is_transient() => {
                tracing::debug!(%error, "the last known value of a secret is used");
                Ok(kept.secret)
            }
            (Err(error), _) => {
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(reference);
                Err(error)
            }
        }
    }
}

fn classify(id: &str, error: IpcError) -> SecretError {
    let id = id.to_owned();
    match error {
        IpcError::Service { kind: ServiceErrorKind::Unauthorized, message, .. } => {
            SecretError::Unauthorized { id, message }
        }
        IpcError::Service { kind: ServiceErrorKind::ResourceNotFound, message, .. } => {
            SecretError::NotFound { id, message }
        }
        IpcError::Service { message, .. } => SecretError::NotOffered { id, message },
        error => SecretError::Unavailable { id, error },
    }
}

fn member(secret: &Secret, key: &str) -> Option<Secret> {
    let mut value: serde_json::Value = serde_json::from_slice(secret.expose()).ok()?;
    match value.get_mut(key).map(serde_json::Value::take) {
        Some(serde_json::Value::String(text)) => Some(Secret::new(text)),
        _ => None,
    }
}

async fn read(path: &Path) -> Result<Secret, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let said = |error: std::io::Error| clean(&error.to_string());
    let metadata = tokio::fs::metadata(path).await.map_err(said)?;
    // A pipe would hold up whoever opens it.
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err("every user of this machine may use it: take that away with chmod o-rwx".to_owned());
    }
    let mut bytes = Vec::with_capacity(256);
    let file = tokio::fs::File::open(path).await.map_err(said)?;
    file.take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut bytes).await.map_err(said)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    match bytes.len() {
        0 => Err("it is empty".to_owned()),
        length if length > MAX_SECRET_BYTES => Err(format!("it is longer than {MAX_SECRET_BYTES} bytes")),
        _ => Ok(Secret::new(bytes)),
    }
}
