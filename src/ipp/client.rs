//! The IPP client of one printer: HTTP/1.1 POST (RFC 8010 §4), plain or over TLS (RFC 7472).
//!
//! What it keeps to:
//! - It connects only to the addresses it was given, which the caller resolved and checked, and never to a print port.
//! - Every step has a limit ([`Timeouts`]); an answer has a size limit that holds while it is read. Documents have a limit
//!   for standing still, and none for the whole unless set: a printer out of paper stalls for as long as it takes.
//! - A document is streamed in chunks of 64 KiB with its length in the HTTP head; it is never held in memory.
//! - `sent` counts document octets when they are handed over for writing, so it is above 0 before the first of them can
//!   have reached the socket; while it is 0 the printer has none of the document.
//! - An error says how far the request came ([`Progress`]), so that nobody has to guess whether a job may exist.
//! - Only idempotent requests are ever sent again by the client itself, once, when a kept connection turned out closed.
//!   Everything else goes over a fresh connection.
//! - An answer that comes before the document was read is returned. A success that comes so early is returned only after
//!   the rest of the document went out.
//! - Speaks IPP/2.0, and 1.1 for good after a printer refused 2.0 and took 1.1.
//! - TLS trusts on first use: printers sign their own certificates. The first certificate seen is reported and, within
//!   this client, pinned; another one than the pinned is [`Error::CertificateChanged`]. The handshake's signature is
//!   always checked.
//!
//! - Credentials go only to a printer that asks for HTTP Basic (see `auth`); one that asks in answer to a call gets the call
//!   again with them, one that asks in answer to a document does not: the document is used up.
//!
//! It does not resolve names, follow redirects, compress, or retry later.

mod auth;
mod body;
mod connection;
mod error;
mod tls;

pub use super::response::{JobInfo, JobState, Response, Status};
pub use auth::{Basic, PasswordSource, REFUSED_PAUSE};
pub use error::{Error, Progress, Refusal, Step};
pub use tls::Fingerprint;

use super::codec::{self, Limits, Version};
use super::request::Request;
use crate::domain::endpoint::{Endpoint, EndpointKind};
use body::RequestBody;
use connection::{Connection, Meter};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Which printer, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `printer-uri`, with an `ipp` or `ipps` scheme.
    pub uri: String,
    /// Where to connect, best first; at most four are tried. Resolved and checked by the caller.
    pub addresses: Vec<SocketAddr>,
    /// Host name or address literal without brackets: for the `Host` header and TLS.
    pub host: String,
    /// TCP port for the `Host` header.
    pub port: u16,
    /// TLS from the first byte.
    pub tls: bool,
    /// Resource path, with its leading slash.
    pub path: String,
    /// The certificate's SHA-256 that was seen before, if any was.
    pub pin: Option<Fingerprint>,
}

impl Target {
    /// The target of an endpoint, its addresses as they are. What cannot stand in a path is percent-encoded, in the path
    /// and in the URI alike.
    pub fn from_endpoint(endpoint: &Endpoint, pin: Option<Fingerprint>) -> Self {
        let endpoint = &Endpoint { path: encoded_path(&endpoint.path), ..endpoint.clone() };
        let address = |ip: &IpAddr| match ip {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                SocketAddr::V6(SocketAddrV6::new(*v6, endpoint.port, 0, endpoint.scope_id))
            }
            _ => SocketAddr::new(*ip, endpoint.port),
        };
        Self {
            uri: endpoint.uri(),
            addresses: endpoint.addresses.iter().map(address).collect(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            tls: endpoint.kind == EndpointKind::Ipps,
            path: endpoint.path.clone(),
            pin,
        }
    }
}

fn encoded_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        encoded.push('/');
    }
    for octet in path.bytes() {
        match octet {
            b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                encoded.push_str(&format!("%{octet:02X}"))
            }
            0x21..=0x7E => encoded.push(char::from(octet)),
            _ => encoded.push_str(&format!("%{octet:02X}")),
        }
    }
    encoded
}

/// How long each step may take and how much an answer may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP connect, for each address.
    pub connect: Duration,
    /// TLS handshake.
    pub tls: Duration,
    /// From the request to the end of the answer's HTTP head. A sleeping printer takes up to 30 s.
    pub answer: Duration,
    /// Between two pieces of an answer's body.
    pub body_idle: Duration,
    /// A whole call without a document: connecting, asking again, the whole answer.
    pub call: Duration,
    /// A document: how long the printer may take no further octet. Paper, toner and people's lunch fit in.
    pub write_idle: Duration,
    /// A document: from its last octet to the end of the answer's HTTP head.
    pub document_answer: Duration,
    /// A document: everything; `None` means no limit.
    pub document: Option<Duration>,
    /// How long a connection is kept open for the next call; most printers close theirs within a minute.
    pub keep_idle: Duration,
    /// Octets of an answer.
    pub max_answer: usize,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(8),
            tls: Duration::from_secs(10),
            answer: Duration::from_secs(35),
            body_idle: Duration::from_secs(10),
            call: Duration::from_secs(60),
            write_idle: Duration::from_secs(600),
            document_answer: Duration::from_secs(300),
            document: None,
            keep_idle: Duration::from_secs(25),
            max_answer: Limits::DEFAULT.total_bytes,
        }
    }
}

/// A document to stream.
pub struct Document {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    len: u64,
}

impl Document {
    /// `len` octets from `reader`. Fewer is [`Error::Document`]; more are left unread.
    pub fn new(reader: impl AsyncRead + Send + 'static, len: u64) -> Self {
        Self { reader: Box::pin(reader), len }
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Requests under way at once: a document, a poll, and a question about the document's job.
const MAX_CONCURRENT: usize = 3;

/// The client of one printer. Cheap until used; share it by reference or `Arc`.
pub struct Client {
    target: Target,
    timeouts: Timeouts,
    tls: Option<tls::Tls>,
    basic: Option<Arc<Basic>>,
    permits: Semaphore,
    /// The connection kept for the next status call.
    kept: Arc<Mutex<Option<Kept>>>,
    request_id: AtomicU32,
    /// The printer takes 1.1 only.
    speak_1_1: AtomicBool,
    /// Whether 1.1 was already tried as the cure of a bad-request.
    tried_1_1: AtomicBool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("uri", &self.target.uri).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for `target`. Connects to nothing yet.
    pub fn new(target: Target, timeouts: Timeouts) -> Self {
        let tls = target.tls.then(|| tls::Tls::new(target.pin));
        Self {
            target,
            timeouts,
            tls,
            basic: None,
            permits: Semaphore::new(MAX_CONCURRENT),
            kept: Arc::default(),
            request_id: AtomicU32::new(1),
            speak_1_1: AtomicBool::new(false),
            tried_1_1: AtomicBool::new(false),
        }
    }

    /// The same client with credentials for a printer that asks.
    pub fn with_basic(mut self, basic: Option<Arc<Basic>>) -> Self {
        self.basic = basic;
        self
    }

    /// The target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The certificate of the first completed handshake; `None` before it, or without TLS. The caller stores it and
    /// pins it from then on.
    pub fn fingerprint_seen(&self) -> Option<Fingerprint> {
        self.tls.as_ref().and_then(tls::Tls::seen)
    }

    /// The version spoken now.
    pub fn version(&self) -> Version {
        if self.speak_1_1.load(Ordering::Relaxed) { Version::V1_1 } else { Version::V2_0 }
    }

    /// Asks once and gives the printer's answer, whatever its IPP status; ends within [`Timeouts::call`].
    pub async fn call(&self, request: Request) -> Result<Response, Error> {
        let attempt = Attempt::default();
        match tokio::time::timeout(self.timeouts.call, self.call_any_version(&request, &attempt)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.deadline(Step::Call, self.timeouts.call, attempt.progress())),
        }
    }

    /// Asks with a document (Print-Job, Send-Document) over a connection of its own.
    ///
    /// `sent` is set to the document octets handed over for writing as they are. A printer that refuses the IPP version
    /// gets no second try here, because the document is used up; the next request uses 1.1.
    pub async fn call_with_document(
        &self,
        request: Request,
        document: Document,
        sent: Arc<AtomicU64>,
    ) -> Result<Response, Error> {
        let attempt = Attempt::default();
        let version = self.version();
        let work = async {
            let _permit = self.permit().await?;
            let header = self.encode(&request, version)?;
            let mut connection = self.connect(&attempt).await?;
            let failed = body::Failed::default();
            let body = RequestBody::with_document(header, document, sent, Arc::clone(&failed), &connection.meter);
            let outcome = self.exchange(&mut connection, &request, body, Kind::Document).await;
            match (outcome, body::take(&failed)) {
                // The document broke off on our side: that is the cause, whatever the connection says of it.
                (Err(error), Some(source)) => {
                    Err(Error::Document { printer: self.printer(), progress: error.progress(), source })
                }
                (outcome, _) => outcome,
            }
        };
        let outcome = match self.timeouts.document {
            None => work.await,
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(outcome) => outcome,
                Err(_) => Err(self.deadline(Step::Call, limit, attempt.progress())),
            },
        };
        if let Ok(response) = &outcome
            && response.status() == Status::VERSION_NOT_SUPPORTED
        {
            self.speak_1_1.store(true, Ordering::Relaxed);
        }
        outcome
    }

    async fn call_any_version(&self, request: &Request, attempt: &Attempt) -> Result<Response, Error> {
        let _permit = self.permit().await?;
        let version = self.version();
        let response = self.call_version(request, version, attempt).await?;
        let refused = match response.status() {
            Status::VERSION_NOT_SUPPORTED => true,
            // Some printers mean the version when they say bad-request: worth one try in a client's life.
            Status::BAD_REQUEST => !self.tried_1_1.swap(true, Ordering::Relaxed),
            _ => false,
        };
        if version == Version::V1_1 || !refused {
            return Ok(response);
        }
        let again = self.call_version(request, Version::V1_1, attempt).await?;
        if matches!(again.status(), Status::VERSION_NOT_SUPPORTED | Status::BAD_REQUEST) {
            return Ok(response);
        }
        self.speak_1_1.store(true, Ordering::Relaxed);
        Ok(again)
    }

    async fn call_version(&self, request: &Request, version: Version, attempt: &Attempt) -> Result<Response, Error> {
        match self.call_once(request, version, attempt).await {
            // Nothing was carried out.
            Err(Error::Http { refusal: Refusal::CredentialsWanted, .. }) => {
                self.call_once(request, version, attempt).await
            }
            outcome => outcome,
        }
    }

    async fn call_once(&self, request: &Request, version: Version, attempt: &Attempt) -> Result<Response, Error> {
        let header = self.encode(request, version)?;
        if request.operation.is_idempotent()
            && let Some(mut connection) = self.take_kept().await
        {
            attempt.connected(&connection.meter);
            let body = RequestBody::small(header.clone(), &connection.meter);
            match self.exchange(&mut connection, request, body, Kind::Call).await {
                // The printer closed the connection while it lay idle: nothing was answered, so ask anew.
                Err(Error::Lost { .. }) if !connection.meter.answered() => {}
                outcome => return self.keep(connection, outcome),
            }
        }
        let mut connection = self.connect(attempt).await?;
        let body = RequestBody::small(header, &connection.meter);
        let outcome = self.exchange(&mut connection, request, body, Kind::Call).await;
        self.keep(connection, outcome)
    }

    fn encode(&self, request: &Request, version: Version) -> Result<bytes::Bytes, Error> {
        let id = self.request_id.fetch_add(1, Ordering::Relaxed) % 0x7FFF_FFFF + 1;
        let octets = request.encode(version, id, &self.target.uri).map_err(|source| Error::Request {
            printer: self.printer(),
            operation: request.operation.name(),
            source,
        })?;
        Ok(octets.into())
    }

    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        match tokio::time::timeout(self.timeouts.call, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.deadline(Step::Turn, self.timeouts.call, Progress::NotConnected)),
        }
    }

    async fn take_kept(&self) -> Option<Connection> {
        let mut connection = lock(&self.kept).take()?.connection;
        connection.is_reusable().await.then_some(connection)
    }

    fn keep(&self, connection: Connection, outcome: Result<Response, Error>) -> Result<Response, Error> {
        if outcome.is_ok() && !connection.is_closed() {
            let since = Instant::now();
            let closer = Kept::close_later(&self.kept, since, self.timeouts.keep_idle);
            lock(&self.kept).get_or_insert(Kept { connection, since, _closer: closer });
        }
        outcome
    }

    fn printer(&self) -> String {
        self.target.uri.clone()
    }

    fn deadline(&self, step: Step, limit: Duration, progress: Progress) -> Error {
        Error::Deadline { printer: self.printer(), step, limit, progress }
    }

    fn parse(&self, body: &[u8]) -> Result<Response, Error> {
        let limits = Limits { total_bytes: self.timeouts.max_answer, ..Limits::DEFAULT };
        match codec::parse(body, &limits) {
            Ok(parsed) => {
                if let Some(warning) = parsed.warnings.first() {
                    tracing::debug!(printer = %self.target.uri, %warning, "malformed answer read as far as it goes");
                }
                Ok(parsed.into())
            }
            Err(source) => Err(Error::Answer { printer: self.printer(), reason: source.to_string() }),
        }
    }
}

/// A connection that waits for the next call, and the task that closes it when none comes.
struct Kept {
    connection: Connection,
    since: Instant,
    _closer: Task<()>,
}

impl Kept {
    fn close_later(place: &Arc<Mutex<Option<Kept>>>, since: Instant, after: Duration) -> Task<()> {
        let place = Arc::downgrade(place);
        Task(tokio::spawn(async move {
            tokio::time::sleep_until(since + after).await;
            if let Some(place) = place.upgrade() {
                // Another one may lie there by now.
                let _closed = lock(&place).take_if(|kept| kept.since == since);
            }
        }))
    }
}

/// A task that ends with its owner.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Which limits an exchange is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Call,
    Document,
}

/// How far the latest attempt of one call came, to be read also when the call is cut short from outside.
#[derive(Default)]
struct Attempt {
    meter: Mutex<Option<Arc<Meter>>>,
}

impl Attempt {
    fn connecting(&self) {
        *lock(&self.meter) = None;
    }

    fn connected(&self, meter: &Arc<Meter>) {
        *lock(&self.meter) = Some(Arc::clone(meter));
    }

    fn progress(&self) -> Progress {
        lock(&self.meter).as_ref().map_or(Progress::NotConnected, |meter| meter.progress())
    }
}

/// A lock whose holder never panics halfway through a change: poison says nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_fit_for_http_and_stay_as_they_are_where_they_fit() {
        for (path, fit) in [
            ("/ipp/print", "/ipp/print"),
            ("printers/Front%20Desk?x=1", "/printers/Front%20Desk?x=1"),
            ("/a b/ü\r\n", "/a%20b/%C3%BC%0D%0A"),
            ("", "/"),
        ] {
            assert_eq!(encoded_path(path), fit);
            assert!(fit.parse::<hyper::Uri>().is_ok());
        }
    }

    #[test]
    fn a_scope_goes_only_with_a_link_local_address() {
        let endpoint = Endpoint {
            kind: EndpointKind::Ipps,
            host: "p.local".into(),
            addresses: vec!["fe80::1".parse().unwrap(), "fd00::1".parse().unwrap(), "10.0.0.1".parse().unwrap()],
            scope_id: 3,
            port: 631,
            path: "/ipp/print".into(),
        };
        let target = Target::from_endpoint(&endpoint, None);
        let shown: Vec<_> = target.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["[fe80::1%3]:631", "[fd00::1]:631", "10.0.0.1:631"]);
        assert_eq!((target.uri.as_str(), target.tls), ("ipps://p.local/ipp/print", true));
    }
}
