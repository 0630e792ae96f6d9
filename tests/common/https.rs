//! Documents over https, from a server that also misbehaves on request, under a certificate authority of its own.
//!
//! HTTP/1.1, GET and HEAD, one request per connection, `Range: bytes=FIRST-[LAST]`. It runs on a thread of its own, so
//! blocking and asynchronous tests can both use it.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::collections::HashMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a path answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The document.
    Document(Arc<Vec<u8>>),
    /// The document without a Content-Length: it ends where the connection does.
    Unsized(Arc<Vec<u8>>),
    /// Only a status, with an empty body.
    Status(u16),
    /// 302 to this URL.
    Redirect(String),
    /// Bytes without end and without a Content-Length.
    Endless,
    /// Announces the document, sends its first `sent` bytes, then closes (`hang`: keeps the connection open instead).
    Cut {
        /// The document.
        document: Arc<Vec<u8>>,
        /// How many of its bytes are sent.
        sent: usize,
        /// Whether the connection stays open in silence.
        hang: bool,
    },
}

/// The server; dropping it ends it with all connections.
#[derive(Debug)]
pub struct HttpsFiles {
    name: String,
    address: SocketAddr,
    ca: PathBuf,
    state: Arc<State>,
    // Dropped before the directory.
    runtime: Option<Runtime>,
    directory: TempDir,
}

#[derive(Debug, Default)]
struct State {
    replies: Mutex<HashMap<String, Reply>>,
    requests: Mutex<Vec<Request>>,
}

/// One request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The value of the `Range` field.
    pub range: Option<String>,
}

impl Request {
    /// The path without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

impl HttpsFiles {
    /// Serves on a free port of `ip` under a certificate for `name` and for `ip`.
    pub fn start(name: &str, ip: IpAddr) -> HttpsFiles {
        let directory = tempfile::tempdir().unwrap();
        let (ca_pem, config) = certificates(name, ip);
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, ca_pem).unwrap();
        let state = Arc::new(State::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((ip, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&state)));
        HttpsFiles { name: name.to_owned(), address, ca, state, runtime: Some(runtime), directory }
    }

    /// Serves `document` under `path` (`/inv.pdf`); gives its URL.
    pub fn put(&self, path: &str, document: impl Into<Vec<u8>>) -> String {
        self.reply(path, Reply::Document(Arc::new(document.into())))
    }

    /// Answers `path` with `reply` from now on; gives its URL.
    pub fn reply(&self, path: &str, reply: Reply) -> String {
        assert!(path.starts_with('/'), "{path}");
        self.state.replies.lock().unwrap().insert(path.to_owned(), reply);
        self.url(path)
    }

    /// `https://NAME:PORT/PATH`
    pub fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.name, self.address.port())
    }

    /// The same with the address in place of the name.
    pub fn url_by_address(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests came for `path`.
    pub fn hits(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path() == path).count()
    }

    /// All requests so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The authority's certificate, a PEM file.
    pub fn ca(&self) -> &Path {
        &self.ca
    }
}

impl Drop for HttpsFiles {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Never waits, so that dropping is allowed inside another runtime too.
            runtime.shutdown_background();
        }
    }
}

/// An authority and a certificate under it.
fn certificates(name: &str, ip: IpAddr) -> (String, ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(rcgen::DnType::CommonName, "printgate test authority");
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);

    let mut params = CertificateParams::new(vec![name.to_owned(), ip.to_string()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (ca.pem(), config)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    while let Ok((connection, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            // A client that goes away early is what some tests want.
            let _ = tokio::time::timeout(Duration::from_secs(120), answer(connection, acceptor, state)).await;
        });
    }
}

async fn answer(connection: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) -> std::io::Result<()> {
    let mut stream = acceptor.accept(connection).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16_384 {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let range = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("range").then(|| value.trim().to_owned())
    });
    let request = Request { method, target, range };
    let reply = state.replies.lock().unwrap().get(request.path()).cloned();
    state.requests.lock().unwrap().push(request.clone());

    let body = request.method == "GET";
    match reply {
        Some(Reply::Document(document)) => {
            let (status, part) = match part(request.range.as_deref(), document.len()) {
                Some((first, last)) => (
                    format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{}", document.len()),
                    &document[first..=last],
                ),
                None => ("200 OK".to_owned(), &document[..]),
            };
            stream.write_all(header(&status, Some(part.len())).as_bytes()).await?;
            if body {
                stream.write_all(part).await?;
            }
        }
        Some(Reply::Unsized(document)) => {
            stream.write_all(header("200 OK", None).as_bytes()).await?;
            if body {
                stream.write_all(&document).await?;
            }
        }
        Some(Reply::Status(status)) => stream.write_all(header(&format!("{status} Test"), Some(0)).as_bytes()).await?,
        Some(Reply::Redirect(url)) => {
            stream.write_all(header(&format!("302 Found\r\nLocation: {url}"), Some(0)).as_bytes()).await?;
        }
        Some(Reply::Endless) => {
            stream.write_all(header("200 OK", None).as_bytes()).await?;
            if body {
                // Until the client goes away.
                loop {
                    stream.write_all(&[b'x'; 8192]).await?;
                }
            }
        }
        Some(Reply::Cut { document, sent, hang }) => {
            stream.write_all(header("200 OK", Some(document.len())).as_bytes()).await?;
            stream.write_all(&document[..sent.min(document.len())]).await?;
            stream.flush().await?;
            if hang {
                // Until the client gives up.
                let _ = stream.read_u8().await;
            } else {
                // No TLS farewell: the connection just ends.
                return Ok(());
            }
        }
        None => stream.write_all(header("404 Not Found", Some(0)).as_bytes()).await?,
    }
    stream.shutdown().await
}

fn header(status: &str, length: Option<usize>) -> String {
    let mut header = format!("HTTP/1.1 {status}\r\nConnection: close\r\nAccept-Ranges: bytes\r\n");
    if let Some(length) = length {
        let _ = write!(header, "Content-Length: {length}\r\n");
    }
    header + "\r\n"
}

/// `bytes=100-199`, `bytes=100-`: the first and the last byte. Anything else asks for the whole.
fn part(range: Option<&str>, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range?.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last = last.parse().unwrap_or(usize::MAX).min(length.checked_sub(1)?);
    (first <= last).then_some((first, last))
}
