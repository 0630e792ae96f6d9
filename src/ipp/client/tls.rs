//! TLS to devices that sign their own certificates: trust on first use, by the SHA-256 of the certificate.
//!
//! Names, issuers and dates are not looked at: a printer's certificate is rarely right in any of them. What counts is that
//! it is the same certificate as before, and that the other side holds its key (the handshake's signature is checked).

use super::lock;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// SHA-256 of a certificate's DER octets; written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The text is not 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a certificate fingerprint is 64 hexadecimal digits (SHA-256)")]
pub struct InvalidFingerprint;

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;
    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| InvalidFingerprint)?;
        bytes.try_into().map(Self).map_err(|_| InvalidFingerprint)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidFingerprint;
    fn try_from(text: String) -> Result<Self, InvalidFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

/// TLS for one printer.
pub(super) struct Tls {
    /// Shared with the verifier inside the connector.
    pin: Arc<Mutex<Option<Fingerprint>>>,
    /// The certificate of the first completed handshake.
    seen: Mutex<Option<Fingerprint>>,
    connector: Mutex<Option<TlsConnector>>,
}

/// How a handshake failed.
pub(super) enum Failure {
    Changed { expected: Fingerprint, seen: Fingerprint },
    Other(io::Error),
}

impl Tls {
    pub(super) fn new(pin: Option<Fingerprint>) -> Self {
        Self { pin: Arc::new(Mutex::new(pin)), seen: Mutex::new(None), connector: Mutex::new(None) }
    }

    pub(super) fn seen(&self) -> Option<Fingerprint> {
        *lock(&self.seen)
    }

    pub(super) async fn handshake(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let connector = self.connector().map_err(|error| Failure::Other(io::Error::other(error)))?;
        // A host name that TLS cannot name (an underscore, a space) goes without SNI.
        let name = ServerName::try_from(host.to_owned())
            .or_else(|_| ServerName::try_from("printer.invalid".to_owned()))
            .map_err(|error| Failure::Other(io::Error::other(error)))?;
        match connector.connect(name, tcp).await {
            Ok(stream) => {
                let certificates = stream.get_ref().1.peer_certificates();
                if let Some(certificate) = certificates.and_then(<[_]>::first) {
                    let fingerprint = Fingerprint::of(certificate);
                    lock(&self.seen).get_or_insert(fingerprint);
                    lock(&self.pin).get_or_insert(fingerprint);
                }
                Ok(stream)
            }
            Err(error) => Err(changed(&error).unwrap_or(Failure::Other(error))),
        }
    }

    fn connector(&self) -> Result<TlsConnector, rustls::Error> {
        let mut place = lock(&self.connector);
        if let Some(connector) = place.as_ref() {
            return Ok(connector.clone());
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier { pin: Arc::clone(&self.pin), provider: Arc::clone(&provider) };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        // One server: room for a few tickets, not the default's 256.
        config.resumption = Resumption::in_memory_sessions(4);
        Ok(place.insert(Arc::new(config).into()).clone())
    }
}

/// Digs the verifier's own error out of what the stream reports.
fn changed(error: &io::Error) -> Option<Failure> {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) =
        error.get_ref()?.downcast_ref::<rustls::Error>()?
    else {
        return None;
    };
    let changed = other.0.downcast_ref::<Changed>()?;
    Some(Failure::Changed { expected: changed.expected, seen: changed.seen })
}

#[derive(Debug, thiserror::Error)]
#[error("the certificate changed from {expected} to {seen}")]
struct Changed {
    expected: Fingerprint,
    seen: Fingerprint,
}

#[derive(Debug)]
struct Verifier {
    pin: Arc<Mutex<Option<Fingerprint>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = Fingerprint::of(end_entity);
        match *lock(&self.pin) {
            Some(expected) if expected != seen => {
                let changed = Changed { expected, seen };
                Err(CertificateError::Other(rustls::OtherError(Arc::new(changed))).into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
