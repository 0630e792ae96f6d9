//! Passwords by reference: where a configured secret comes from when it is needed.

use crate::config::Config;
use crate::deliver::credentials::Credentials;
use crate::domain::secret::{MAX_SECRET_BYTES, Secret, SecretRef};
use std::io::Read;
use std::path::Path;

/// The configured credentials; their passwords are fetched when a printer asks.
pub(super) fn credentials(config: &Config) -> Credentials {
    Credentials::new(&config.printer_credentials, |reference| {
        let reference = reference.clone();
        Box::new(move || Box::pin(resolve(reference.clone())))
    })
}

/// The value of a secret, or why it cannot be had.
async fn resolve(reference: SecretRef) -> Result<Secret, String> {
    match reference {
        SecretRef::File(path) => {
            let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
            read.map_err(|error| error.to_string())?
        }
        SecretRef::Manager { .. } => Err(format!("secret {reference} is not handed out by the nucleus")),
    }
}

/// A file's content without its last line end.
fn read_file(path: &Path) -> Result<Secret, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut octets = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() > MAX_SECRET_BYTES {
        return Err(format!("{}: is larger than {MAX_SECRET_BYTES} octets", path.display()));
    }
    if octets.ends_with(b"\n") {
        octets.pop();
        if octets.ends_with(b"\r") {
            octets.pop();
        }
    }
    if octets.is_empty() {
        return Err(format!("{}: is empty", path.display()));
    }
    Ok(Secret::new(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_a_secret_without_its_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let get = || resolve(SecretRef::File(path.clone()));
        assert!(get().await.unwrap_err().contains("password"));
        for (content, secret) in [("a b\n", Some("a b")), ("x\r\n", Some("x")), ("y", Some("y")), ("\n", None)] {
            std::fs::write(&path, content).unwrap();
            let got = get().await.ok();
            assert_eq!(got.as_ref().and_then(Secret::expose_text), secret);
        }
        std::fs::write(&path, vec![b'x'; MAX_SECRET_BYTES + 1]).unwrap();
        assert!(get().await.is_err());
    }
}
