//! Documents for the tickets: small PDFs, served over https under a certificate authority of their own.
//!
//! HTTP/1.1, GET, on a free port of 127.0.0.1. A document is given out only under its whole URL, query included, as a
//! presigned URL is.

use super::Unmet;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Longest connection: a gateway fetches a few kilobytes.
const CONNECTION: Duration = Duration::from_secs(60);

type Files = Arc<Mutex<HashMap<String, Bytes>>>;

/// The server; ends when dropped.
pub(super) struct Documents {
    address: SocketAddr,
    files: Files,
    task: JoinHandle<()>,
}

/// A document as a ticket names it.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) url: String,
    pub(super) sha256: String,
    pub(super) size: usize,
}

impl Documents {
    /// Serves, and writes the authority's certificate to `ca_file`.
    pub(super) async fn start(ca_file: &Path) -> Result<Documents, Unmet> {
        let (ca, config) = certificates()?;
        std::fs::write(ca_file, ca)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let files = Files::default();
        let task = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), files.clone()));
        Ok(Documents { address, files, task })
    }

    /// Serves `document` under a URL that nobody can guess.
    pub(super) fn put(&self, name: &str, document: Vec<u8>) -> Served {
        let mut bits = [0; 16];
        // The system's random source does not fail once the system is up.
        let _ = getrandom::fill(&mut bits);
        let target = format!("/{name}?signature={}", data_encoding::HEXLOWER.encode(&bits));
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(&document));
        let served = Served { url: format!("https://{}{target}", self.address), sha256, size: document.len() };
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(target, document.into());
        served
    }
}

impl Drop for Documents {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, files: Files) {
    // Connections end with this set, which ends with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let (acceptor, files) = (acceptor.clone(), files.clone());
                connections.spawn(async move {
                    let _ = tokio::time::timeout(CONNECTION, answer(stream, acceptor, files)).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor, files: Files) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let respond = service_fn(|request: Request<hyper::body::Incoming>| {
        let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let file = files.lock().unwrap_or_else(PoisonError::into_inner).get(&target).cloned();
        let response = match file {
            Some(bytes) if request.method() == Method::GET => {
                let mut response = Response::new(Full::new(bytes));
                let kind = header::HeaderValue::from_static("application/pdf");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            _ => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        };
        std::future::ready(Ok::<_, Infallible>(response))
    });
    // A client that goes away early has its reasons.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), respond)
        .await;
}

/// An authority (as PEM) and a server configuration with a certificate under it, for 127.0.0.1.
fn certificates() -> Result<(String, rustls::ServerConfig), Unmet> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "printgate demo authority");
    let ca_key = KeyPair::generate()?;
    let ca = params.self_signed(&ca_key)?;
    let issuer = Issuer::new(params, ca_key);

    let mut params = CertificateParams::new(vec![Ipv4Addr::LOCALHOST.to_string()])?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name.push(DnType::CommonName, "printgate demo documents");
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((ca.pem(), config))
}

/// A PDF of one A4 page: a title with a rule under it, and lines of text. What is not ASCII is left out.
pub(super) fn pdf(title: &str, lines: &[&str]) -> Vec<u8> {
    let mut content = format!("BT /F2 26 Tf 72 740 Td ({}) Tj ET\n0.8 w 72 726 m 523 726 l S\n", escaped(title));
    content += "BT /F1 13 Tf 20 TL 72 692 Td\n";
    for line in lines {
        content += &format!("({}) Tj T*\n", escaped(line));
    }
    content += "ET";
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Count 1 /Kids [3 0 R] >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] \
         /Resources << /Font << /F1 5 0 R /F2 6 0 R >> >> /Contents 4 0 R >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold >>".to_owned(),
    ];
    let mut file = String::from("%PDF-1.4\n");
    let mut table = String::from("0000000000 65535 f \n");
    for (number, object) in (1..).zip(&objects) {
        table += &format!("{:010} 00000 n \n", file.len());
        file += &format!("{number} 0 obj\n{object}\nendobj\n");
    }
    let (start, size) = (file.len(), objects.len() + 1);
    file += &format!("xref\n0 {size}\n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    file.into_bytes()
}

/// Parentheses and backslashes are special in a PDF string.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()) {
        if matches!(c, '(' | ')' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_a_pdf_points_at_its_objects() {
        let file = String::from_utf8(pdf("A (title)", &["one", "two \\ü"])).unwrap();
        assert!(file.starts_with("%PDF-1.4\n") && file.ends_with("%%EOF\n"));
        assert!(file.contains("(A \\(title\\))") && file.contains("(two \\\\)"));
        let start: usize = file.rsplit("startxref\n").next().unwrap().lines().next().unwrap().parse().unwrap();
        let entries: Vec<&str> = file[start..].lines().skip(3).take(6).collect();
        for (number, entry) in (1..).zip(entries) {
            let offset: usize = entry[..10].parse().unwrap();
            assert!(file[offset..].starts_with(&format!("{number} 0 obj\n")), "{entry}");
        }
    }
}
