//! Fetches documents over https from places that are hostile until checked, into the spool.
//!
//! Invariants:
//! - https only, TLS 1.2 or 1.3, the system's certificate roots and, where configured, a file of further ones.
//! - Each hop (the URL and at most [`Limits::redirects`] redirects, followed by hand) is checked whole: scheme, no user
//!   and password, host allowed, no print port, and every address. A name is resolved once and exactly the addresses
//!   that passed are handed to the connector, so a second answer of the name server (DNS rebinding) changes nothing.
//! - No cookies, no proxies from the environment, no decompression, no `Referer`.
//! - Constant memory: one block of the spool and what is in flight.
//! - Every wait has a deadline: resolving, connecting, the answer's head, each pause of its body, and the whole.
//! - The size limit holds before reading (declared, `Content-Length`) and while reading. A document counts only after
//!   its size and SHA-256 are the ticket's, where the ticket has them.
//! - No error text holds a URL's query: a presigned URL is a secret.
//!
//! A transfer that breaks off goes on by `Range` with `If-Range` (RFC 9110 §13.1.5, §14) where the server gave a strong
//! `ETag`; otherwise it starts over. Across calls (after a restart of the gateway) a partial file is continued only
//! when the ticket has the document's SHA-256, because after a power loss a file may have its length but not its
//! content. If the hash of a continued document is wrong, the document is fetched once more from its start.
//!
//! What it does not do: wait between attempts and count them. That is the job worker's, told by
//! [`FetchError::classify`].

use super::spool::{Finished, Resume, Spool, SpoolError, SpoolWriter, Spooled};
use super::url::{InvalidUrl, SecretUrl};
use crate::domain::net::{AddressRefusal, DocumentPolicy};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Name look-ups under way at once. A look-up outlives its deadline (the C library cannot be told to stop), so the
/// threads that wait for dead name servers must be few.
const MAX_LOOKUPS: usize = 8;

/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 16;

/// What is fetched.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// From where.
    pub url: SecretUrl,
    /// The hash that the document must have.
    pub sha256: Option<[u8; 32]>,
    /// The size that the document must have, in bytes.
    pub size: Option<u64>,
    /// The largest document taken, in bytes.
    pub max_bytes: u64,
}

/// Deadlines and counts of one fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Resolving a host name.
    pub resolve: Duration,
    /// TCP and TLS to one host.
    pub connect: Duration,
    /// To the end of the answer's header, connecting included.
    pub head: Duration,
    /// The longest pause in an answer's body.
    pub idle: Duration,
    /// The whole fetch, redirects and resumed transfers included.
    pub total: Duration,
    /// Redirects followed.
    pub redirects: u32,
    /// Transfers begun within one call: the first one and those that go on after a break.
    pub transfers: u32,
}

impl Default for Limits {
    /// 10 s to resolve and to connect, 30 s for the head and for each pause, 15 min in all, 5 redirects, 4 transfers.
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(15 * 60),
            redirects: 5,
            transfers: 4,
        }
    }
}

/// Fetches documents. Holds the certificate roots; clones share them.
#[derive(Debug, Clone)]
pub struct Fetcher {
    tls: rustls::ClientConfig,
    lookups: Arc<Semaphore>,
}

impl Fetcher {
    /// Loads the system's certificate roots and those of `extra_roots`, a PEM file.
    ///
    /// A gateway without any root still starts: what fails is each fetch, with a text that says so.
    pub fn new(extra_roots: Option<&Path>) -> Result<Self, FetcherError> {
        let mut roots = rustls::RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "a certificate root of the system cannot be read");
        }
        roots.add_parsable_certificates(system.certs);
        if let Some(path) = extra_roots {
            let unreadable = |reason: String| FetcherError::Roots { path: path.to_owned(), reason };
            let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| unreadable(error.to_string()))?;
            if certificates.is_empty() {
                return Err(unreadable("it holds no certificate".into()));
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
            }
        }
        if roots.is_empty() {
            tracing::warn!("no certificate roots found: no document can be fetched (install ca-certificates)");
        }
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| FetcherError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls, lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) })
    }

    /// Fetches one document into the spool under `name`.
    ///
    /// Dropping the future is safe: it leaves at most a partial file for the next call.
    pub async fn fetch(
        &self,
        request: FetchRequest,
        policy: &DocumentPolicy,
        limits: &Limits,
        spool: &Spool,
        name: &str,
    ) -> Result<Spooled, FetchError> {
        if let Some(size) = request.size {
            if size > request.max_bytes {
                return Err(FetchError::TooLarge { max: request.max_bytes });
            }
            spool.check_room(size)?;
        }
        let job = Job { fetcher: self, request: &request, policy, limits };
        match timeout(limits.total, job.run(spool, name)).await {
            Ok(result) => result,
            Err(_) => {
                Err(FetchError::Slow { host: request.url.host(), what: "the whole document", after: limits.total })
            }
        }
    }
}

/// Why no fetcher could be made.
#[derive(Debug, thiserror::Error)]
pub enum FetcherError {
    /// The file of certificate roots is unusable.
    #[error("cannot take certificate roots from {path}: {reason}")]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library refused its settings.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// What to do about a failed fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The same request may work later.
    Retry,
    /// It never will: the ticket or the document must change.
    Permanent,
}

/// Why a document was not fetched. Texts go into ticket answers: short, and without the URL's query.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A redirect leads to something that is no document URL.
    #[error("{host} redirects to a URL that is not allowed: {reason}")]
    Redirect {
        /// Who redirects.
        host: String,
        /// What is wrong with the new URL.
        reason: InvalidUrl,
    },
    /// Redirects without end.
    #[error("more than {max} redirects")]
    Redirects {
        /// How many are followed.
        max: u32,
    },
    /// The host is not in the list of allowed hosts.
    #[error("documents are not fetched from {host}: it is not an allowed host")]
    Host {
        /// The host.
        host: String,
    },
    /// The port or every address of the host is refused.
    #[error("documents are not fetched from {host}: {refusal}")]
    Address {
        /// The host.
        host: String,
        /// Why.
        refusal: AddressRefusal,
    },
    /// The name has no address now.
    #[error("{host} cannot be resolved: {reason}")]
    Resolve {
        /// The host.
        host: String,
        /// The resolver's word.
        reason: String,
    },
    /// No connection, or TLS failed.
    #[error("{host} cannot be reached: {reason}")]
    Connect {
        /// The host.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// A deadline passed.
    #[error("{host} was too slow: no {what} within {after:?}")]
    Slow {
        /// The host.
        host: String,
        /// What was awaited.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The server refused.
    #[error("{host} answered {status}{hint}", hint = hint(*status))]
    Status {
        /// The host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// How long the server asks to wait, at most an hour.
        retry_after: Option<Duration>,
    },
    /// The answer is not the document as it is.
    #[error("{host} sent {what}")]
    Answer {
        /// The host.
        host: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The transfer broke off.
    #[error("the transfer from {host} broke off after {bytes} bytes: {reason}")]
    Broken {
        /// The host.
        host: String,
        /// Bytes in the spool.
        bytes: u64,
        /// What went wrong.
        reason: String,
    },
    /// Larger than allowed.
    #[error("the document is larger than {max} bytes, the most that is taken")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// Not the size in the ticket.
    #[error("the document has {found} bytes, the ticket says {wanted}")]
    Size {
        /// Bytes found: those announced, or those that arrived.
        found: u64,
        /// Bytes in the ticket.
        wanted: u64,
    },
    /// Nothing in it.
    #[error("the document is empty")]
    Empty,
    /// Not the hash in the ticket.
    #[error("the document's sha256 is {found}, not the one in the ticket")]
    Hash {
        /// The hash found, in hexadecimal digits.
        found: String,
    },
    /// The spool did not take it.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => ": the URL may have expired; submit the ticket again with a fresh one",
        404 | 410 => ": there is no such document",
        _ => "",
    }
}

impl FetchError {
    /// Is it worth trying again? What may be an outage (names, connections, TLS with a wrong clock, 5xx) is retried;
    /// what depends on the ticket or the document is not.
    pub fn classify(&self) -> Action {
        let retry = match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Slow { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            Self::Spool(error) => error.is_temporary(),
            Self::Redirect { .. } | Self::Redirects { .. } | Self::Host { .. } | Self::Address { .. } => false,
            Self::Answer { .. } | Self::TooLarge { .. } | Self::Size { .. } | Self::Empty | Self::Hash { .. } => false,
        };
        if retry { Action::Retry } else { Action::Permanent }
    }

    /// The ticket's field that the failure is about.
    pub fn field(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::Size { .. } | Self::Empty => "document.size",
            Self::Hash { .. } => "document.sha256",
            Self::Spool(_) => "document",
            _ => "document.url",
        }
    }

    /// How long the server asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// One call of [`Fetcher::fetch`].
struct Job<'a> {
    fetcher: &'a Fetcher,
    request: &'a FetchRequest,
    policy: &'a DocumentPolicy,
    limits: &'a Limits,
}

impl Job<'_> {
    async fn run(&self, spool: &Spool, name: &str) -> Result<Spooled, FetchError> {
        let resume = if self.request.sha256.is_some() { Resume::Yes } else { Resume::No };
        let mut writer = spool.writer(name, resume).await?;
        let mut continued = writer.bytes() > 0;
        let mut transfers = 0;
        loop {
            if writer.bytes() > 0 && writer.noted().is_none() {
                writer.restart().await?;
                continued = false;
            }
            let before = writer.bytes();
            transfers += 1;
            match self.transfer(&mut writer).await {
                Ok(()) => {}
                Err(error @ (FetchError::Broken { .. } | FetchError::Slow { .. })) => {
                    writer.flush().await?;
                    // Going on at once pays only where something came; otherwise the worker waits and tries again.
                    if transfers >= self.limits.transfers || writer.bytes() <= before {
                        return Err(error);
                    }
                    tracing::debug!(url = %self.request.url, %error, "the transfer goes on");
                    continued = true;
                    continue;
                }
                Err(error) => {
                    if error.classify() == Action::Permanent {
                        writer.discard().await?;
                    }
                    return Err(error);
                }
            }
            let finished = writer.finish().await?;
            match self.verify(&finished) {
                Ok(()) => return Ok(finished.commit().await?),
                Err(_) if continued => {
                    tracing::debug!(url = %self.request.url, "the continued document is wrong; it starts over");
                    writer = finished.restart().await?;
                    continued = false;
                }
                Err(error) => {
                    finished.discard().await?;
                    return Err(error);
                }
            }
        }
    }

    /// Is what was written what the ticket says?
    fn verify(&self, finished: &Finished) -> Result<(), FetchError> {
        if let Some(wanted) = self.request.size.filter(|wanted| *wanted != finished.bytes) {
            return Err(FetchError::Size { found: finished.bytes, wanted });
        }
        if self.request.sha256.is_some_and(|wanted| wanted != finished.sha256) {
            return Err(FetchError::Hash { found: data_encoding::HEXLOWER.encode(&finished.sha256) });
        }
        if finished.bytes == 0 {
            return Err(FetchError::Empty);
        }
        Ok(())
    }

    /// Asks once for the document, or for what is missing of it, and writes what comes.
    async fn transfer(&self, writer: &mut SpoolWriter) -> Result<(), FetchError> {
        let range = writer.noted().filter(|_| writer.bytes() > 0).map(|etag| (writer.bytes(), etag.to_owned()));
        let (mut host, mut response) = self.ask(range.as_ref()).await?;
        let useless = match response.status() {
            StatusCode::PARTIAL_CONTENT => range.as_ref().is_some_and(|range| !continues(response.headers(), range)),
            StatusCode::RANGE_NOT_SATISFIABLE => range.is_some(),
            _ => false,
        };
        if useless {
            // What is here is not a part of what is there now.
            writer.restart().await?;
            (host, response) = self.ask(None).await?;
        }
        check_status(&host, &response)?;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            if writer.bytes() == 0 {
                return Err(FetchError::Answer { host, what: "a part of the document without being asked for one" });
            }
        } else {
            if writer.bytes() > 0 {
                writer.restart().await?;
            }
            writer.note(strong_etag(response.headers())).await?;
        }
        let announced = response.content_length();
        if let Some(length) = announced {
            self.check_size(writer.bytes().saturating_add(length), true)?;
        }
        let framed = announced.is_some() || response.headers().contains_key(header::TRANSFER_ENCODING);
        loop {
            let chunk = match timeout(self.limits.idle, response.chunk()).await {
                Err(_) => return Err(FetchError::Slow { host, what: "further byte", after: self.limits.idle }),
                Ok(Err(error)) => return Err(self.broken(host, writer, reason(error))),
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
            };
            self.check_size(writer.bytes().saturating_add(chunk.len() as u64), false)?;
            writer.write(&chunk).await?;
        }
        // An answer that ends with its connection may have ended too early.
        if !framed && self.request.size.is_some_and(|wanted| writer.bytes() < wanted) {
            return Err(self.broken(host, writer, "the connection was closed".into()));
        }
        Ok(())
    }

    fn broken(&self, host: String, writer: &SpoolWriter, reason: String) -> FetchError {
        FetchError::Broken { host, bytes: writer.bytes(), reason }
    }

    /// Checks a size, announced in full or counted so far.
    fn check_size(&self, bytes: u64, whole: bool) -> Result<(), FetchError> {
        if bytes > self.request.max_bytes {
            return Err(FetchError::TooLarge { max: self.request.max_bytes });
        }
        match self.request.size {
            Some(wanted) if bytes > wanted || (whole && bytes != wanted) => {
                Err(FetchError::Size { found: bytes, wanted })
            }
            _ => Ok(()),
        }
    }

    /// Sends the request and follows redirects by hand. `range`: the bytes that are here, and their validator.
    async fn ask(&self, range: Option<&(u64, String)>) -> Result<(String, Response), FetchError> {
        let mut url = self.request.url.clone();
        for _ in 0..=self.limits.redirects {
            let (host, response) = self.hop(&url, range).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((host, response));
            }
            let Some(location) = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()) else {
                return Err(FetchError::Answer { host, what: "a redirect without a readable target" });
            };
            url = url.join(location).map_err(|reason| FetchError::Redirect { host, reason })?;
        }
        Err(FetchError::Redirects { max: self.limits.redirects })
    }

    /// One request to one host whose addresses were checked.
    async fn hop(&self, url: &SecretUrl, range: Option<&(u64, String)>) -> Result<(String, Response), FetchError> {
        let host = url.host();
        let addresses = self.addresses(&host, url.port()).await?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.fetcher.tls.clone())
            .dns_resolver(Arc::new(Pinned(addresses)))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .https_only(true)
            .http1_only()
            .no_proxy()
            .referer(false)
            .connect_timeout(self.limits.connect)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("printgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| FetchError::Connect { host: host.clone(), reason: reason(error) })?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some((from, etag)) = range
            && let (Ok(bytes), Ok(etag)) =
                (HeaderValue::from_str(&format!("bytes={from}-")), HeaderValue::from_str(etag))
        {
            headers.insert(header::RANGE, bytes);
            headers.insert(header::IF_RANGE, etag);
        }
        match timeout(self.limits.head, client.get(url.expose()).headers(headers).send()).await {
            Err(_) => Err(FetchError::Slow { host, what: "answer", after: self.limits.head }),
            Ok(Err(error)) => Err(FetchError::Connect { host, reason: reason(error) }),
            Ok(Ok(response)) => Ok((host, response)),
        }
    }

    /// The addresses of a host that may be connected; an error if there is none.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, FetchError> {
        if !self.policy.allows_host(host) {
            return Err(FetchError::Host { host: host.to_owned() });
        }
        let refused = |refusal| FetchError::Address { host: host.to_owned(), refusal };
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                // The port is judged before anybody is asked for the name.
                check_port(self.policy, port).map_err(refused)?;
                self.resolve(host, port).await?
            }
        };
        let mut allowed = Vec::new();
        let mut refusal = None;
        for address in found {
            match self.policy.check(address.ip(), port) {
                Ok(()) if allowed.len() < MAX_ADDRESSES => allowed.push(address),
                Ok(()) => {}
                Err(error) => refusal = Some(error),
            }
        }
        match refusal {
            Some(refusal) if allowed.is_empty() => Err(refused(refusal)),
            _ if allowed.is_empty() => {
                Err(FetchError::Resolve { host: host.to_owned(), reason: "it has no address".into() })
            }
            _ => Ok(allowed),
        }
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, FetchError> {
        let failed = |reason: String| FetchError::Resolve { host: host.to_owned(), reason };
        let slow = || FetchError::Slow { host: host.to_owned(), what: "address", after: self.limits.resolve };
        let lookup = async {
            let permit = self.fetcher.lookups.clone().acquire_owned().await.map_err(|e| failed(e.to_string()))?;
            let name = host.to_owned();
            // In a task of its own, so that the permit is held until the look-up ends and not until we stop waiting.
            let task = tokio::spawn(async move {
                let found = tokio::net::lookup_host((name, port)).await.map(Iterator::collect::<Vec<_>>);
                drop(permit);
                found
            });
            task.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))
        };
        timeout(self.limits.resolve, lookup).await.map_err(|_| slow())?
    }
}

/// The port's part of the policy, with an address that is no reason to refuse.
fn check_port(policy: &DocumentPolicy, port: u16) -> Result<(), AddressRefusal> {
    match policy.check(IpAddr::from([8, 8, 8, 8]), port) {
        Err(error @ (AddressRefusal::NoPort | AddressRefusal::PrintPort(_))) => Err(error),
        _ => Ok(()),
    }
}

/// A resolver that knows one answer: the addresses that were checked.
#[derive(Debug)]
struct Pinned(Vec<SocketAddr>);

impl reqwest::dns::Resolve for Pinned {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let addresses: reqwest::dns::Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

fn check_status(host: &str, response: &Response) -> Result<(), FetchError> {
    let status = response.status();
    if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(|seconds: u64| Duration::from_secs(seconds.min(3600)));
        return Err(FetchError::Status { host: host.to_owned(), status: status.as_u16(), retry_after });
    }
    match response.headers().get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(FetchError::Answer { host: host.to_owned(), what: "compressed content, which was not asked for" })
        }
        _ => Ok(()),
    }
}

/// The validator with which a transfer can go on, if the server gave one and serves ranges.
fn strong_etag(headers: &HeaderMap) -> Option<String> {
    if headers.get(header::ACCEPT_RANGES).is_some_and(|value| value.as_bytes() == b"none") {
        return None;
    }
    let etag = headers.get(header::ETAG)?.to_str().ok()?;
    let strong = etag.len() <= 256 && etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"');
    strong.then(|| etag.to_owned())
}

/// Is a 206 the rest of the same document? `range`: the bytes that are here, and their validator.
fn continues(headers: &HeaderMap, range: &(u64, String)) -> bool {
    strong_etag(headers).as_ref() == Some(&range.1) && continues_at(headers, range.0)
}

/// Is it the rest from byte `from` on? `Content-Range: bytes FROM-LAST/TOTAL` (RFC 9110 §14.4).
fn continues_at(headers: &HeaderMap, from: u64) -> bool {
    let parse = || -> Option<bool> {
        let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some(first == from && last >= first && total.parse::<u64>().ok()? == last.checked_add(1)?)
    };
    parse().unwrap_or(false)
}

/// The cause of a failure in words, without the URL.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    // The outer texts ("error sending request") say nothing; the innermost says it.
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn only_the_exact_rest_continues_a_document() {
        for (value, from, continues) in [
            ("bytes 10-99/100", 10, true),
            ("bytes 10-98/100", 10, false),
            ("bytes 11-99/100", 10, false),
            ("bytes 10-99/*", 10, false),
            ("bytes 10-9/10", 10, false),
            ("bytes */100", 10, false),
            ("items 10-99/100", 10, false),
            ("bytes 0-18446744073709551615/0", 0, false),
            ("", 0, false),
        ] {
            assert_eq!(continues_at(&headers(header::CONTENT_RANGE, value), from), continues, "{value}");
        }
    }

    #[test]
    fn only_strong_validators_count() {
        assert_eq!(strong_etag(&headers(header::ETAG, "\"a-1\"")), Some("\"a-1\"".into()));
        for weak in ["W/\"a\"", "\"\"", "a", "\"", ""] {
            assert_eq!(strong_etag(&headers(header::ETAG, weak)), None, "{weak}");
        }
    }
}
