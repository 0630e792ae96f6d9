//! The certificate of a simulated printer: self-signed, kept in its directory, replaceable at run time.
//!
//! `DIR/PRINTER/tls-cert.pem` and `tls-key.pem`; what is there is used, so a certificate of one's own can be put there.
//! Otherwise one is made when the first TLS connection comes, so that thousands of printers start quickly. Keys are
//! ECDSA P-256: `ring` makes no RSA keys, so there is no weak one.

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// What a new certificate is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// Valid now.
    Valid,
    /// It ended long ago.
    Expired,
    /// It begins far in the future.
    NotYetValid,
}

/// Where a printer's certificate is, and the configuration made of it.
pub(super) struct Certificates {
    directory: PathBuf,
    host: String,
    config: Mutex<Option<Arc<ServerConfig>>>,
    address: IpAddr,
}

impl Certificates {
    /// Reads the certificate that is in the directory; one is made later when there is none.
    pub(super) fn open(directory: &Path, host: &str, address: IpAddr) -> io::Result<Certificates> {
        let there = directory.join("tls-cert.pem").exists();
        let config = if there { Some(load(directory)?) } else { None };
        Ok(Certificates { directory: directory.to_owned(), host: host.to_owned(), config: Mutex::new(config), address })
    }

    /// What new connections are accepted with.
    pub(super) fn config(&self) -> io::Result<Arc<ServerConfig>> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        match &*config {
            Some(config) => Ok(config.clone()),
            None => {
                make(&self.directory, &self.host, self.address, Certificate::Valid)?;
                Ok(config.insert(load(&self.directory)?).clone())
            }
        }
    }

    /// Makes a new key and certificate for connections from now on.
    pub(super) fn replace(&self, kind: Certificate) -> io::Result<()> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        make(&self.directory, &self.host, self.address, kind)?;
        *config = Some(load(&self.directory)?);
        Ok(())
    }
}

fn make(directory: &Path, host: &str, address: IpAddr, kind: Certificate) -> io::Result<()> {
    let mut params = CertificateParams::new(vec![host.to_owned(), address.to_string()]).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, host);
    match kind {
        Certificate::Valid => {}
        Certificate::Expired => {
            params.not_before = date_time_ymd(2011, 3, 1);
            params.not_after = date_time_ymd(2021, 3, 1);
        }
        Certificate::NotYetValid => {
            params.not_before = date_time_ymd(2091, 3, 1);
            params.not_after = date_time_ymd(2101, 3, 1);
        }
    }
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    fs::write(directory.join("tls-key.pem"), key.serialize_pem())?;
    fs::write(directory.join("tls-cert.pem"), certificate.pem())
}

fn load(directory: &Path) -> io::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(directory.join("tls-cert.pem"))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(directory.join("tls-key.pem")).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}
