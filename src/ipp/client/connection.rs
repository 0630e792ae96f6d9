//! One connection: TCP, TLS, the HTTP exchange, and a meter of what went over it.

use super::body::RequestBody;
use super::error::{Error, Progress, Refusal, Step};
use super::{Attempt, Client, Kind, Response, Target, Task, lock, tls};
use crate::domain::net::is_print_port;
use crate::ipp::request::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// Addresses tried for one connection.
const MAX_ADDRESSES: usize = 4;

/// What hyper may buffer, reading or writing: also the limit of an answer's HTTP head.
const MAX_BUFFER: usize = 128 * 1024;

pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    /// Moves the connection's bytes.
    driver: Task<hyper::Result<()>>,
    pub(super) meter: Arc<Meter>,
}

impl Connection {
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether a kept connection can take a request; the last exchange may still be finishing.
    pub(super) async fn is_reusable(&mut self) -> bool {
        matches!(timeout(Duration::from_millis(100), self.sender.ready()).await, Ok(Ok(())))
    }
}

impl Client {
    /// A fresh connection, to the first address that takes one.
    pub(super) async fn connect(&self, attempt: &Attempt) -> Result<Connection, Error> {
        attempt.connecting();
        for address in &self.target.addresses {
            if is_print_port(address.port()) {
                return Err(Error::PrintPort { printer: self.printer(), address: *address });
            }
        }
        let mut failure = Error::Target { printer: self.printer(), reason: "no address is known".to_owned() };
        for &address in self.target.addresses.iter().take(MAX_ADDRESSES) {
            match timeout(self.timeouts.connect, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return self.set_up(tcp, address, attempt).await,
                Ok(Err(source)) => failure = Error::Connect { printer: self.printer(), address, source },
                Err(_) => failure = self.deadline(Step::Connect, self.timeouts.connect, Progress::NotConnected),
            }
        }
        Err(failure)
    }

    async fn set_up(&self, tcp: TcpStream, address: SocketAddr, attempt: &Attempt) -> Result<Connection, Error> {
        // Small requests and the last piece of a document should not wait for acknowledgements.
        let _ = tcp.set_nodelay(true);
        let meter = Arc::new(Meter::new());
        attempt.connected(&meter);
        let Some(tls) = &self.tls else {
            return self.http(Metered { inner: tcp, meter: Arc::clone(&meter) }, meter).await;
        };
        match timeout(self.timeouts.tls, tls.handshake(&self.target.host, tcp)).await {
            Ok(Ok(stream)) => self.http(Metered { inner: stream, meter: Arc::clone(&meter) }, meter).await,
            Ok(Err(tls::Failure::Changed { expected, seen })) => {
                Err(Error::CertificateChanged { printer: self.printer(), expected, seen })
            }
            Ok(Err(tls::Failure::Other(source))) => Err(Error::Tls { printer: self.printer(), address, source }),
            Err(_) => Err(self.deadline(Step::Tls, self.timeouts.tls, Progress::Connected)),
        }
    }

    async fn http<S>(&self, stream: Metered<S>, meter: Arc<Meter>) -> Result<Connection, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            // Old firmware compares header names with their case.
            .title_case_headers(true)
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.lost(&error, &meter))?;
        Ok(Connection { sender, driver: Task(tokio::spawn(connection)), meter })
    }

    /// One request and its answer.
    pub(super) async fn exchange(
        &self,
        connection: &mut Connection,
        request: &Request,
        body: RequestBody,
        kind: Kind,
    ) -> Result<Response, Error> {
        let meter = Arc::clone(&connection.meter);
        let authorization = self.authorization().await?;
        let authorized = authorization.is_some();
        meter.begin();
        let sending = connection.sender.send_request(self.http_request(body, authorization)?);
        let head = self.wait_for_head(sending, &meter, kind).await?;
        self.check_head(&head, authorized)?;
        let octets = self.read_body(head.into_body(), &meter).await?;
        let response = self.parse(&octets)?;
        tracing::trace!(
            printer = %self.target.uri, operation = request.operation.name(), status = %response.status(), "answered"
        );
        if kind == Kind::Document && response.is_success() {
            self.finish_document(connection).await?;
        }
        Ok(response)
    }

    fn http_request(
        &self,
        body: RequestBody,
        authorization: Option<header::HeaderValue>,
    ) -> Result<hyper::Request<RequestBody>, Error> {
        let mut request = hyper::Request::post(&self.target.path);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request
            .header(header::HOST, host_header(&self.target))
            .header(header::USER_AGENT, concat!("printgate/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, "application/ipp")
            .header(header::ACCEPT, "application/ipp")
            .body(body)
            .map_err(|error| Error::Target { printer: self.printer(), reason: error.to_string() })
    }

    /// Waits for the answer's HTTP head: for a call under one limit from now, for a document under limits that begin anew
    /// with every octet the printer takes.
    async fn wait_for_head(
        &self,
        sending: impl Future<Output = hyper::Result<hyper::Response<Incoming>>>,
        meter: &Meter,
        kind: Kind,
    ) -> Result<hyper::Response<Incoming>, Error> {
        let started = Instant::now();
        tokio::pin!(sending);
        loop {
            let (since, limit, step) = match kind {
                Kind::Call => (started, self.timeouts.answer, Step::Answer),
                Kind::Document if meter.body_done() => {
                    (meter.last_write(), self.timeouts.document_answer, Step::Answer)
                }
                Kind::Document => (meter.last_write(), self.timeouts.write_idle, Step::Document),
            };
            let deadline = since + limit;
            if Instant::now() >= deadline {
                return Err(self.deadline(step, limit, meter.progress()));
            }
            tokio::select! {
                biased;
                head = &mut sending => return head.map_err(|error| self.lost(&error, meter)),
                // Another limit holds from here on.
                () = meter.done.notified() => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    fn check_head(&self, head: &hyper::Response<Incoming>, authorized: bool) -> Result<(), Error> {
        let status = head.status().as_u16();
        let refusal = match status {
            200 => return Ok(()),
            401 => self.challenged(head.headers(), authorized),
            403 => Refusal::Forbidden,
            404 | 405 | 410 => Refusal::Path,
            426 => Refusal::UpgradeToTls,
            300..=399 => Refusal::Redirect {
                location: head
                    .headers()
                    .get(header::LOCATION)
                    .and_then(|location| location.to_str().ok())
                    .map(|location| location.chars().take(200).collect()),
            },
            408 | 429 | 500..=599 => Refusal::Unavailable,
            _ => Refusal::Other,
        };
        Err(Error::Http { printer: self.printer(), status, refusal })
    }

    /// Reads an answer, never more than its limit.
    async fn read_body(&self, mut body: Incoming, meter: &Meter) -> Result<Vec<u8>, Error> {
        let limit = self.timeouts.max_answer;
        let too_large =
            || Error::Answer { printer: self.printer(), reason: format!("it is larger than {limit} octets") };
        if hyper::body::Body::size_hint(&body).lower() > limit as u64 {
            return Err(too_large());
        }
        // Covers an answer of one octet now and then; for calls [`Timeouts::call`] covers the rest too.
        let deadline = Instant::now() + self.timeouts.call;
        let mut octets = Vec::new();
        loop {
            let (until, step, wait) = match Instant::now() + self.timeouts.body_idle {
                idle if idle < deadline => (idle, Step::Body, self.timeouts.body_idle),
                _ => (deadline, Step::Call, self.timeouts.call),
            };
            let frame = match tokio::time::timeout_at(until, body.frame()).await {
                Ok(None) => return Ok(octets),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(self.lost(&error, meter)),
                Err(_) => return Err(self.deadline(step, wait, meter.progress())),
            };
            if let Some(data) = frame.data_ref() {
                if octets.len() + data.len() > limit {
                    return Err(too_large());
                }
                octets.extend_from_slice(data);
            }
        }
    }

    /// Lets the rest of the document go out after an early success: it is a success only once the printer has it all.
    async fn finish_document(&self, connection: &mut Connection) -> Result<(), Error> {
        let Connection { sender, driver, meter } = connection;
        loop {
            let deadline = meter.last_write() + self.timeouts.write_idle;
            if Instant::now() >= deadline {
                return Err(self.deadline(Step::Document, self.timeouts.write_idle, Progress::RequestWritten));
            }
            tokio::select! {
                biased;
                ready = sender.ready() => {
                    if ready.is_ok() || (meter.body_done() && !meter.write_failed()) {
                        return Ok(());
                    }
                    break;
                }
                _ = &mut driver.0 => break,
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
        if meter.body_done() && !meter.write_failed() {
            return Ok(());
        }
        let reason = "the printer reported success and closed before it had the whole document".to_owned();
        Err(Error::Lost { printer: self.printer(), reason, progress: Progress::RequestWritten })
    }

    fn lost(&self, error: &hyper::Error, meter: &Meter) -> Error {
        if error.is_parse() {
            let reason = format!("it is no HTTP answer ({error})");
            return Error::Answer { printer: self.printer(), reason };
        }
        let reason = match (lock(&meter.write_error).as_ref(), std::error::Error::source(error)) {
            (Some(write), _) => format!("writing failed ({write})"),
            (None, Some(source)) => format!("{error} ({source})"),
            (None, None) => error.to_string(),
        };
        Error::Lost { printer: self.printer(), reason, progress: meter.progress() }
    }
}

fn host_header(target: &Target) -> String {
    let host = match target.host.parse::<std::net::Ipv6Addr>() {
        Ok(v6) => format!("[{v6}]"),
        Err(_) => target.host.clone(),
    };
    format!("{host}:{}", target.port)
}

/// What went over a connection. All on the inside of TLS: octets count when they are offered, not when they left.
pub(super) struct Meter {
    base: Instant,
    /// Whether the present request was offered to the socket.
    attempted: AtomicBool,
    /// Whether anything was read since the present request began.
    read: AtomicBool,
    /// Milliseconds from `base` to the last write that took something, or to the request's begin.
    last_write: AtomicU64,
    body_done: AtomicBool,
    /// Wakes who waits under the limit for writing.
    done: Notify,
    write_error: Mutex<Option<io::Error>>,
}

impl Meter {
    fn new() -> Self {
        Self {
            base: Instant::now(),
            attempted: AtomicBool::new(false),
            read: AtomicBool::new(false),
            last_write: AtomicU64::new(0),
            body_done: AtomicBool::new(false),
            done: Notify::new(),
            write_error: Mutex::new(None),
        }
    }

    fn begin(&self) {
        self.attempted.store(false, Ordering::SeqCst);
        self.read.store(false, Ordering::SeqCst);
        self.body_done.store(false, Ordering::SeqCst);
        self.touch();
    }

    fn touch(&self) {
        let elapsed = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_write.store(elapsed, Ordering::Relaxed);
    }

    fn last_write(&self) -> Instant {
        self.base + Duration::from_millis(self.last_write.load(Ordering::Relaxed))
    }

    fn body_done(&self) -> bool {
        self.body_done.load(Ordering::SeqCst)
    }

    fn write_failed(&self) -> bool {
        lock(&self.write_error).is_some()
    }

    /// The last octet of the request was handed over.
    pub(super) fn set_body_done(&self) {
        self.body_done.store(true, Ordering::SeqCst);
        self.done.notify_one();
    }

    /// Whether the printer said anything since the request began.
    pub(super) fn answered(&self) -> bool {
        self.read.load(Ordering::SeqCst)
    }

    pub(super) fn progress(&self) -> Progress {
        if self.attempted.load(Ordering::SeqCst) { Progress::RequestWritten } else { Progress::Connected }
    }
}

/// A stream with a [`Meter`]. A failed write is noted and then waits for ever: a printer that refuses a document answers,
/// closes, and makes our next write fail, while its answer lies ready to be read. Reading finds that answer, or the end.
struct Metered<S> {
    inner: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    fn written(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(count)) => {
                self.meter.touch();
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => self.failed(error),
            Poll::Pending => Poll::Pending,
        }
    }

    fn failed<T>(&self, error: io::Error) -> Poll<T> {
        lock(&self.meter.write_error).get_or_insert(error);
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.meter.read.store(true, Ordering::SeqCst);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.meter.write_failed() {
            return Poll::Pending;
        }
        this.meter.attempted.store(true, Ordering::SeqCst);
        let outcome = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.written(outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.meter.write_failed() {
            return Poll::Pending;
        }
        this.meter.attempted.store(true, Ordering::SeqCst);
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.meter.write_failed() {
            return Poll::Pending;
        }
        match Pin::new(&mut this.inner).poll_flush(cx) {
            Poll::Ready(Err(error)) => this.failed(error),
            outcome => outcome,
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.meter.write_failed() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
