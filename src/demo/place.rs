//! The demo's directory: mode 0700, under the temporary directory unless it is to be kept, removed with its owner.
//!
//! ```text
//! ROOT/gateway/        the gateway's work directory
//! ROOT/gateway.log     what the gateway wrote to standard error
//! ROOT/paper/          what the printers printed
//! ROOT/documents-ca.pem, nucleus.sock, nucleus-control.sock
//! ```

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A socket's path has at most 107 bytes; what is added to the root has at most 30.
const MAX_ROOT: usize = 77;

/// Why there is no directory.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It holds something already.
    #[error("{0} is not empty: --keep wants a new or an empty directory")]
    NotEmpty(PathBuf),
    /// Sockets could not be made in it.
    #[error("the path {0} is longer than {MAX_ROOT} bytes, which sockets in it would not fit: choose a shorter one")]
    TooLong(PathBuf),
    /// It cannot be made or read.
    #[error("cannot make the directory {path}: {error}")]
    Make {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A directory, removed when dropped unless it is kept.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    keep: bool,
    removed: bool,
}

impl Place {
    /// Makes `keep` or a fresh directory.
    pub(super) fn make(keep: Option<&Path>) -> Result<Self, PlaceError> {
        let place = match keep {
            Some(path) => Self { root: kept(path)?, keep: true, removed: false },
            None => Self { root: fresh()?, keep: false, removed: false },
        };
        for part in ["gateway", "paper"] {
            let path = place.path(part);
            make(&path, true).map_err(|error| PlaceError::Make { path, error })?;
        }
        Ok(place)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn kept(&self) -> bool {
        self.keep
    }

    /// Removes it, unless it is kept.
    pub(super) fn remove(mut self) -> io::Result<()> {
        self.removed = true;
        if self.keep { Ok(()) } else { std::fs::remove_dir_all(&self.root) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep && !self.removed {
            // Nobody is left to be told.
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

fn kept(path: &Path) -> Result<PathBuf, PlaceError> {
    let failed = |error| PlaceError::Make { path: path.to_owned(), error };
    make(path, true).map_err(failed)?;
    let root = path.canonicalize().map_err(failed)?;
    if std::fs::read_dir(&root).map_err(failed)?.next().is_some() {
        return Err(PlaceError::NotEmpty(root));
    }
    if root.as_os_str().len() > MAX_ROOT { Err(PlaceError::TooLong(root)) } else { Ok(root) }
}

fn fresh() -> Result<PathBuf, PlaceError> {
    let mut bits = [0; 5];
    // The system's random source does not fail once the system is up; a name that exists is refused below.
    let _ = getrandom::fill(&mut bits);
    let name = format!("printgate-demo-{}", data_encoding::BASE32_NOPAD.encode(&bits).to_ascii_lowercase());
    let mut root = std::env::temp_dir().join(&name);
    if root.as_os_str().len() > MAX_ROOT {
        root = Path::new("/tmp").join(&name);
    }
    make(&root, false).map_err(|error| PlaceError::Make { path: root.clone(), error })?;
    Ok(root)
}

fn make(path: &Path, may_exist: bool) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(may_exist).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_fresh_one_is_private_and_goes_with_its_owner() {
        let place = Place::make(None).unwrap();
        let root = place.root().to_owned();
        assert_eq!(std::fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(place.path("gateway").join("file"), "x").unwrap();
        drop(place);
        assert!(!root.exists());
    }

    #[test]
    fn a_kept_one_stays_and_must_be_empty_and_short() {
        let parent = tempfile::tempdir().unwrap();
        let wanted = parent.path().join("kept");
        Place::make(Some(&wanted)).unwrap().remove().unwrap();
        assert!(wanted.join("gateway").is_dir());
        assert!(matches!(Place::make(Some(&wanted)), Err(PlaceError::NotEmpty(_))));
        let long = parent.path().join("x".repeat(MAX_ROOT));
        assert!(matches!(Place::make(Some(&long)), Err(PlaceError::TooLong(_))));
    }
}
