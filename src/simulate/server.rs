//! The wire of one simulated printer: TCP, TLS, HTTP/1.1 (hyper), and the faults that live there.
//!
//! One port serves both `ipp` and `ipps`, as on real devices: a connection whose first byte is a TLS handshake record
//! is TLS. At most [`MAX_CONNECTIONS`] connections at a time; more wait in the listen queue. Every wait has a
//! deadline. A request is carried out in a task of its own, so that a document received whole is printed even when its
//! client has gone.

use super::attributes::Reach;
use super::auth::BasicAuth;
use super::cut::Cut;
use super::device::Device;
use super::fault::{Fault, LossyOperation};
use super::service::{self, Request, Step};
use super::spoil::{noise, spoilt_body};
use super::tls::Certificates;
use super::upload::{Failure, Upload};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipp::model::Operation;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections of one printer at a time.
const MAX_CONNECTIONS: usize = 64;
/// Longest pause within a request.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// Longest TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
pub(super) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// What all tasks of one printer share.
pub(super) struct Shared {
    pub(super) device: Mutex<Device>,
    /// Wakes the printing task.
    pub(super) wake: Notify,
    /// Counts up whenever the printing task has gone over the device: something may have changed.
    pub(super) changed: watch::Sender<u64>,
    pub(super) reach: Mutex<Reach>,
    /// `None`: it speaks no TLS.
    pub(super) tls: Option<Certificates>,
    /// Who may print.
    pub(super) auth: Option<BasicAuth>,
    /// It is switched on.
    pub(super) on: AtomicBool,
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
        if server.is_empty() {
            return vec![self.clone()];
        }
        server.iter().filter_map(Weak::upgrade).filter(|printer| printer.on.load(Ordering::Relaxed)).collect()
    }

    /// The printer behind this address that an LPD queue leads to.
    pub(super) fn lpd_queue(self: &Arc<Self>, queue: &str) -> Option<Arc<Shared>> {
        self.behind_address().into_iter().find(|printer| printer.queues.iter().any(|name| name == queue))
    }

    /// Whether a connection that has just come, of whatever protocol, is to be closed at once (`drop-before`).
    pub(super) fn drops_before(&self) -> bool {
        self.device().faults.drops_before()
    }

    /// All printers of its print server, from the first.
    pub(super) fn join_server(&self, printers: Vec<Weak<Shared>>) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = printers;
    }

    /// Where it can be reached, as it says itself.
    pub(super) fn reach(&self) -> Reach {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

async fn connection(shared: Arc<Shared>, stream: TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if shared.drops_before() {
        return Ok(());
    }
    stream.set_nodelay(true)?;
    let mut first = [0];
    timeout(IDLE, stream.peek(&mut first)).await??;
    let noise = shared.device().faults.has(&Fault::GarbageHttp);
    let mut stream = Cut::new(stream, shared.clone());
    match &shared.tls {
        Some(certificates) if first == [0x16] => {
            let acceptor = tokio_rustls::TlsAcceptor::from(certificates.config()?);
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
    let path = request.uri().path();
    let Some(shared) = shared.behind_address().into_iter().find(|printer| printer.reach().serves(path)) else {
        return Ok(plain(StatusCode::NOT_FOUND, "no printer is there: the first is at /ipp/print"));
    };
    if !is_ipp {
        return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "use application/ipp"));
    }
    let authorization = request.headers().get(header::AUTHORIZATION).cloned();
    let mut upload = Upload { shared: shared.clone(), body: request.into_body(), ahead: Bytes::new(), tls };
    let Some(request) = upload.head().await else {
        return Ok(plain(StatusCode::BAD_REQUEST, "no IPP request"));
    };
    shared.device().wake(Instant::now());
    if let Some(auth) = &shared.auth
        && auth.guards(&request)
        && !auth.accepts(authorization.as_ref())
    {
        upload.drain().await;
        return Ok(challenge(&shared));
    }
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
    let late = shared.device().faults.answer_after();
    if let Some(seconds) = late {
        sleep(Duration::from_secs(seconds.into())).await;
    }
    let spoilt = shared.device().faults.iter().find_map(|fault| spoilt_body(fault, &request, &answer));
    Ok(ipp_response(spoilt.unwrap_or_else(|| full(answer))))
}

/// The encoded answer, after whatever had to be received.
async fn carry_out(shared: &Arc<Shared>, request: &Request, upload: &mut Upload) -> Result<Bytes, Dropped> {
    let reach = &shared.reach();
    let has_document = if request.is(Operation::PrintJob) || request.is(Operation::SendDocument) {
        upload.has_more().await.ok_or(Dropped)?
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

pub(super) fn full(bytes: Bytes) -> Body {
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

/// 401, with what is asked for (RFC 7617).
fn challenge(shared: &Shared) -> Response<Body> {
    let mut response = plain(StatusCode::UNAUTHORIZED, "user name and password, please");
    // Printer names may have characters that a header cannot carry.
    let realm: String = shared.device().identity.name.chars().filter(char::is_ascii_alphanumeric).collect();
    if let Ok(value) = header::HeaderValue::from_str(&format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
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
    let (profile, message) = (device.profile, device.message(Instant::now()));
    let text = format!("{}\n{} {}\n{message}\n", device.identity.name, profile.make, profile.model);
    Response::new(full(text.into()))
}
