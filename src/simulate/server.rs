//! The wire of one simulated printer: TCP, TLS, HTTP/1.1 (hyper), and the faults that live there.
//!
//! One port serves both `ipp` and `ipps`, as on real devices: a connection whose first byte is a TLS handshake record
//! is TLS. At most [`MAX_CONNECTIONS`] connections at a time; more wait in the listen queue. Every wait has a
//! deadline. A request is carried out in a task of its own, so that a document received whole is printed even when its
//! client has gone.

use super::attributes::Reach;
use super::device::{Device, Refusal};
use super::fault::{Fault, LossyOperation};
use super::frame::{self, Head};
use super::paper::{self, Document, Via};
use super::service::{self, Answer, Request, Step};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipp::model::{Operation, StatusCode as IppStatus};
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections of one printer at a time.
const MAX_CONNECTIONS: usize = 64;
/// Longest pause within a request.
const IDLE: Duration = Duration::from_secs(60);
/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Largest document.
const MAX_DOCUMENT: u64 = 2 * 1024 * 1024 * 1024;

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// What all tasks of one printer share.
pub(super) struct Shared {
    pub(super) device: Mutex<Device>,
    /// Wakes the printing task.
    pub(super) wake: Notify,
    /// Counts up whenever the printing task has gone over the device: something may have changed.
    pub(super) changed: watch::Sender<u64>,
    pub(super) reach: Reach,
    pub(super) tls: Mutex<Option<Arc<ServerConfig>>>,
    /// Its LPD queues: those of the profile, or its own behind a print server.
    pub(super) queues: Vec<String>,
    /// All printers of the print server that it is behind, itself among them; empty for a printer of its own.
    pub(super) server: Mutex<Vec<Weak<Shared>>>,
}

impl Shared {
    /// The device. A panic while it was held is a bug that shows elsewhere; the state itself stays consistent enough.
    pub(super) fn device(&self) -> MutexGuard<'_, Device> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The printers that are switched on behind this one's address, in the order of their queues, itself among them:
    /// one, but for a print server, whose IPP, LPD and SNMP ports serve all of them.
    pub(super) fn behind_address(self: &Arc<Self>) -> Vec<Arc<Shared>> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if server.is_empty() { vec![self.clone()] } else { server.iter().filter_map(Weak::upgrade).collect() }
    }

    /// The printer behind this address that an LPD queue leads to.
    pub(super) fn lpd_queue(self: &Arc<Self>, queue: &str) -> Option<Arc<Shared>> {
        self.behind_address().into_iter().find(|printer| printer.queues.iter().any(|name| name == queue))
    }

    /// Whether a connection that has just come, of whatever protocol, is to be closed at once (`drop-before`).
    pub(super) fn drops_before(&self) -> bool {
        self.device().faults.drops_before()
    }

    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Moves the printer's jobs on until the power goes.
pub(super) async fn print(shared: Arc<Shared>, off: CancellationToken) {
    loop {
        let next = shared.device().advance(Instant::now());
        shared.changed.send_modify(|count| *count = count.wrapping_add(1));
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = off.cancelled() => return,
            () = shared.wake.notified() => {}
            () = due => {}
        }
    }
}

/// Accepts connections until the power goes.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener, off: CancellationToken, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = tokio::select! {
            () = off.cancelled() => return,
            place = places.clone().acquire_owned() => place,
        };
        let Ok(place) = place else { return };
        let stream = tokio::select! {
            () = off.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors: connections have to end first.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (shared, off) = (shared.clone(), off.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = off.cancelled() => {}
                result = connection(shared, stream) => if let Err(error) = result {
                    tracing::debug!(%error, "connection ended");
                },
            }
            drop(place);
        });
    }
}

async fn connection(
    shared: Arc<Shared>,
    mut stream: TcpStream,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    timeout(IDLE, stream.peek(&mut first)).await??;
    let noise = shared.device().faults.has(&Fault::GarbageHttp);
    match shared.tls() {
        Some(config) if first == [0x16] => {
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            let mut stream = timeout(HANDSHAKE, acceptor.accept(stream)).await??;
            if noise { talk_noise(&mut stream).await? } else { talk_http(shared, stream, true).await? }
        }
        _ if noise => talk_noise(&mut stream).await?,
        _ => talk_http(shared, stream, false).await?,
    }
    Ok(())
}

async fn talk_noise(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> io::Result<()> {
    let mut request = [0; 1024];
    let _ = timeout(IDLE, stream.read(&mut request)).await??;
    stream.write_all(&noise(4096)).await?;
    stream.shutdown().await
}

async fn talk_http<S>(shared: Arc<Shared>, stream: S, tls: bool) -> Result<(), hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let service = service_fn(move |request| {
        let work = tokio::spawn(respond(shared.clone(), request, tls));
        async move { work.await.unwrap_or(Err(Dropped)) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer, as the fault says")]
struct Dropped;

async fn respond(shared: Arc<Shared>, request: hyper::Request<Incoming>, tls: bool) -> Result<Response<Body>, Dropped> {
    let is_ipp = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().unwrap_or_default().trim() == "application/ipp");
    if request.method() == Method::GET || request.method() == Method::HEAD {
        return Ok(if request.uri().path() == "/icon.png" { icon() } else { page(&shared) });
    }
    if request.method() != Method::POST {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "use POST"));
    }
    if !matches!(request.uri().path(), "/ipp/print" | "/ipp/print/" | "/ipp") && !is_job_path(request.uri().path()) {
        return Ok(plain(StatusCode::NOT_FOUND, "the printer is at /ipp/print"));
    }
    if !is_ipp {
        return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "use application/ipp"));
    }
    let mut upload = Upload { shared: shared.clone(), body: request.into_body(), ahead: Bytes::new(), tls };
    let Some(request) = upload.head().await else {
        return Ok(plain(StatusCode::BAD_REQUEST, "no IPP request"));
    };
    let answer = carry_out(&shared, &request, &mut upload).await?;
    let lossy = [
        (Operation::PrintJob, LossyOperation::PrintJob),
        (Operation::CreateJob, LossyOperation::CreateJob),
        (Operation::SendDocument, LossyOperation::SendDocument),
    ];
    for (operation, lossy) in lossy {
        if request.is(operation) && shared.device().faults.loses_answer(lossy) {
            return Err(Dropped);
        }
    }
    let spoilt = shared.device().faults.iter().find_map(|fault| spoilt_body(fault, &request, &answer));
    Ok(ipp_response(spoilt.unwrap_or_else(|| full(answer))))
}

/// `/ipp/print/7`: clients post job requests to the job's own path.
fn is_job_path(path: &str) -> bool {
    path.strip_prefix("/ipp/print/").is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()))
}

/// The encoded answer, after whatever had to be received.
async fn carry_out(shared: &Arc<Shared>, request: &Request, upload: &mut Upload) -> Result<Bytes, Dropped> {
    let reach = &shared.reach;
    let has_document = if request.is(Operation::PrintJob) || request.is(Operation::SendDocument) {
        upload.has_more().await?
    } else {
        false
    };
    let step = service::begin(&mut shared.device(), reach, request, has_document, Instant::now());
    shared.wake.notify_one();
    let answer = match step {
        Step::Answer(answer) => {
            upload.drain().await;
            answer
        }
        Step::Receive { job, last, unsupported } => match upload.receive(job, last).await {
            Ok(()) => service::job_answer(&shared.device(), reach, job, unsupported),
            Err(Failure::Gone(cause)) => {
                tracing::info!(job, cause, "document incomplete: job aborted");
                return Err(Dropped);
            }
            Err(Failure::Refused(answer)) => {
                upload.drain().await;
                answer
            }
        },
    };
    Ok(answer.encode(request).into())
}

/// Why a document was not taken.
enum Failure {
    /// The client went, stalled, or the fault cut the connection.
    Gone(&'static str),
    Refused(Answer),
}

/// The body of one request.
struct Upload {
    shared: Arc<Shared>,
    body: Incoming,
    /// Read but not used yet.
    ahead: Bytes,
    /// It comes over TLS.
    tls: bool,
}

impl Upload {
    /// The IPP request at the beginning of the body.
    async fn head(&mut self) -> Option<Request> {
        let mut bytes = Vec::new();
        loop {
            match frame::head(&bytes) {
                Head::Ends(end) => {
                    self.ahead = Bytes::copy_from_slice(bytes.get(end..)?);
                    bytes.truncate(end);
                    return Request::parse(bytes);
                }
                Head::Open => bytes.extend_from_slice(&self.frame().await.ok()??),
                Head::Malformed => return None,
            }
        }
    }

    /// The next piece of the body, at the rate the printer reads; `None` at its proper end.
    async fn frame(&mut self) -> Result<Option<Bytes>, &'static str> {
        if !self.ahead.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ahead)));
        }
        loop {
            let frame = match timeout(IDLE, self.body.frame()).await {
                Err(_) => return Err("the client stalled"),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err("the connection was lost"),
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers carry nothing for us.
            let Ok(data) = frame.into_data() else { continue };
            let rate = self.shared.device().faults.bytes_per_second();
            if let Some(rate) = rate {
                sleep(Duration::from_secs_f64(data.len() as f64 / rate as f64)).await;
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    async fn has_more(&mut self) -> Result<bool, Dropped> {
        match self.frame().await {
            Ok(Some(data)) => {
                self.ahead = data;
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(_) => Err(Dropped),
        }
    }

    /// Reads the rest of a body that nobody wants, so that the client gets to read the answer.
    async fn drain(&mut self) {
        let mut seen = 0;
        while let Ok(Some(data)) = self.frame().await {
            seen += data.len() as u64;
            if seen > MAX_DOCUMENT {
                return;
            }
        }
    }

    /// Receives the document of a job; whatever goes wrong, the job is aborted.
    async fn receive(&mut self, job: i32, last: bool) -> Result<(), Failure> {
        let result = self.store(job).await;
        let mut device = self.shared.device();
        let now = Instant::now();
        let result = match result {
            Ok(document) => {
                device.end_document(job, document, last, now).map_err(|error| Failure::Refused(service::refusal(error)))
            }
            Err((failure, cause)) => {
                device.abort_document(job, cause, now);
                Err(failure)
            }
        };
        drop(device);
        self.shared.wake.notify_one();
        result
    }

    async fn store(&mut self, job: i32) -> Result<Document, (Failure, &'static str)> {
        let interrupted = |cause| (Failure::Gone(cause), "submission-interrupted");
        let storage = |error: io::Error| {
            tracing::error!(job, %error, "cannot store a document");
            (Failure::Refused(service::refusal(Refusal::Storage)), "document-access-error")
        };
        let (path, stated, profile): (PathBuf, _, _) = {
            let device = self.shared.device();
            let stated = device.jobs.get(&job).map(|job| job.ticket.format.clone()).unwrap_or_default();
            (device.paper.incoming(job), stated, device.profile)
        };
        let mut file = File::create(&path).await.map_err(storage)?;
        let mut hash = Sha256::new();
        let mut bytes = 0u64;
        let mut start = Vec::new();
        loop {
            let limit = self.shared.device().faults.drop_after();
            if limit.is_some_and(|limit| bytes >= limit) {
                self.shared.device().faults.used_drop();
                return Err(interrupted("dropped, as the fault says"));
            }
            let Some(data) = self.frame().await.map_err(interrupted)? else { break };
            bytes += data.len() as u64;
            if bytes > MAX_DOCUMENT {
                let status = IppStatus::ClientErrorRequestEntityTooLong;
                let answer = Answer::refuse(status, "the document is too large");
                return Err((Failure::Refused(answer), "document-access-error"));
            }
            hash.update(&data);
            if start.len() < 16 {
                start.extend(data.iter().take(16));
            }
            file.write_all(&data).await.map_err(storage)?;
        }
        file.flush().await.map_err(storage)?;
        let format = if stated == "application/octet-stream" {
            match paper::sniff(&start, profile) {
                Some(format) => format.to_owned(),
                None => {
                    let refused = Failure::Refused(service::format_refused(&stated));
                    return Err((refused, "unsupported-document-format"));
                }
            }
        } else {
            stated.to_ascii_lowercase()
        };
        let (counted, kind) = (path.clone(), format.clone());
        let pages = tokio::task::spawn_blocking(move || paper::count_pages(&counted, &kind))
            .await
            .map_err(io::Error::other)
            .and_then(|pages| pages)
            .map_err(storage)?;
        let sha256 = data_encoding::HEXLOWER.encode(&hash.finalize());
        let via = if self.tls { Via::Ipps } else { Via::Ipp };
        Ok(Document { file: path, format, sha256, bytes, pages, via, garbage: false, cut_off: false })
    }
}

/// What a fault sends instead of the answer.
fn spoilt_body(fault: &Fault, request: &Request, answer: &Bytes) -> Option<Body> {
    let head = |rest: &[u8]| {
        let mut head = Answer::new(IppStatus::SuccessfulOk).encode(request);
        head.pop(); // the end-of-attributes tag
        head.extend_from_slice(&[0x04]);
        head.extend_from_slice(rest);
        head
    };
    match fault {
        Fault::Garbage => Some(full(noise(4096).into())),
        Fault::Trickle(millis) => {
            let (answer, pause) = (answer.clone(), Duration::from_millis(*millis));
            let bytes = stream::unfold(0, move |at| {
                let byte = (at < answer.len()).then(|| answer.slice(at..=at));
                async move {
                    let byte = byte?;
                    sleep(pause).await;
                    Some((Ok(Frame::data(byte)), at + 1))
                }
            });
            Some(BodyExt::boxed_unsync(StreamBody::new(bytes)))
        }
        Fault::Huge(bytes) => {
            let begin = Bytes::from(head(b"\x41\x00\x0ehuge-attribute\x00\x01x"));
            let value: Vec<u8> = [b"\x41\x00\x00\x03\xff".as_slice(), &[b'x'; 1023]].concat();
            let block = Bytes::from(value.repeat(64));
            let blocks = bytes.div_ceil(block.len() as u64);
            let parts = (0..blocks + 2).map(move |index| match index {
                0 => begin.clone(),
                index if index <= blocks => block.clone(),
                _ => Bytes::from_static(&[0x03]),
            });
            Some(BodyExt::boxed_unsync(StreamBody::new(stream::iter(parts.map(|part| Ok(Frame::data(part)))))))
        }
        Fault::Nested(bytes) => {
            let depth = usize::try_from(bytes / 16).unwrap_or(1).max(1);
            let mut body = head(b"\x34\x00\x06nested\x00\x00");
            body.extend(b"\x4a\x00\x00\x00\x01m\x34\x00\x00\x00\x00".repeat(depth));
            body.extend(b"\x37\x00\x00\x00\x00".repeat(depth + 1));
            body.push(0x03);
            Some(full(body.into()))
        }
        _ => None,
    }
}

/// The same noise every time: a test that fails can be repeated.
pub(super) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(bytes)
    .collect()
}

fn full(bytes: Bytes) -> Body {
    BodyExt::boxed_unsync(Full::new(bytes))
}

fn ipp_response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/ipp"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(full(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// One black pixel, where `printer-icons` points.
fn icon() -> Response<Body> {
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01\x48\xaf\xa4\x71\0\0\0\0IEND\xaeB`\x82";
    let mut response = Response::new(full(Bytes::from_static(PNG)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("image/png"));
    response
}

/// The printer's own page, where `printer-more-info` points.
fn page(shared: &Shared) -> Response<Body> {
    let device = shared.device();
    let state = match device.state() {
        3 => "idle",
        4 => "processing",
        _ => "stopped",
    };
    let text = format!("{}\n{} {}\n{state}\n", device.identity.name, device.profile.make, device.profile.model);
    Response::new(full(text.into()))
}
