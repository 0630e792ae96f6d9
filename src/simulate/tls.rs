//! The certificate of a simulated printer: self-signed, kept in its directory, replaceable at run time.
//!
//! `DIR/PRINTER/tls-cert.pem` and `tls-key.pem`; what is there is used, so a certificate of one's own can be put there.

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// Loads the certificate of this directory, or makes one.
pub(super) fn load_or_make(directory: &Path, host: &str, address: IpAddr) -> io::Result<Arc<ServerConfig>> {
    if !directory.join("tls-cert.pem").exists() {
        make(directory, host, address)?;
    }
    load(directory)
}

/// Makes a new key and certificate in this directory.
pub(super) fn make(directory: &Path, host: &str, address: IpAddr) -> io::Result<()> {
    let mut params = CertificateParams::new(vec![host.to_owned(), address.to_string()]).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, host);
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    fs::write(directory.join("tls-key.pem"), key.serialize_pem())?;
    fs::write(directory.join("tls-cert.pem"), certificate.pem())
}

pub(super) fn load(directory: &Path) -> io::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(directory.join("tls-cert.pem"))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(directory.join("tls-key.pem")).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}
