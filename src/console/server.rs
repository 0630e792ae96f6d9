//! The server of the control socket.

use super::{CONVERSATION, HEAD, MAX_CONNECTIONS, MAX_ROWS, SOCKET, api, peer};
use crate::cloud::wire::{Configuration, JobStatus, PrinterCounts};
use crate::domain::ids::{GatewayName, JobId};
use crate::domain::job::Job;
use crate::domain::outbox::Progress;
use crate::domain::registry;
use crate::domain::state::{Picture, PrinterState, Source};
use crate::store::gateway::GatewayStore;
use crate::store::jobs::{JobFilter, JobStore};
use crate::store::{Depth, StoreError, Wedged};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Entries of a list where the request does not say.
const ROWS: usize = 100;
/// Jobs shown with a printer.
const JOBS_OF_PRINTER: usize = 10;
/// Lines of a job's history.
const HISTORY: usize = 500;
/// Messages set aside that are shown.
const WEDGED: usize = 100;
/// Pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// What the running gateway shows of itself; replaced with each configuration.
pub struct Live {
    /// Its printers, by id.
    pub printers: Box<dyn Fn() -> Vec<api::Printer> + Send + Sync>,
    /// The way to the cloud.
    pub cloud: Box<dyn Fn() -> Progress + Send + Sync>,
    /// The configuration.
    pub config: Box<dyn Fn() -> Configuration + Send + Sync>,
    /// Its printers by what is known of them.
    pub counts: Box<dyn Fn() -> PrinterCounts + Send + Sync>,
    /// The search for printers.
    pub discovery: Box<dyn Fn() -> api::Discovery + Send + Sync>,
    /// Printers that were put away.
    pub put_away: Box<dyn Fn() -> Vec<api::PutAway> + Send + Sync>,
    /// Printers that may be one.
    pub duplicates: Box<dyn Fn() -> Vec<registry::Duplicate> + Send + Sync>,
}

/// What the control socket tells of.
#[derive(Clone)]
pub struct Console {
    shared: Arc<Shared>,
}

struct Shared {
    gateway: GatewayName,
    jobs: JobStore,
    store: GatewayStore,
    started_at: Timestamp,
    live: RwLock<Option<Arc<Live>>>,
}

impl Console {
    /// Tells of these databases; of what runs only once it does.
    pub fn new(gateway: GatewayName, jobs: JobStore, store: GatewayStore, now: Timestamp) -> Self {
        Self { shared: Arc::new(Shared { gateway, jobs, store, started_at: now, live: RwLock::default() }) }
    }

    /// This runs now.
    pub fn show(&self, live: Live) {
        *self.shared.live.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(live));
    }

    /// Serves the socket in `work_dir` until `cancel`, and removes it. What keeps it from serving is logged.
    pub async fn serve(self, work_dir: PathBuf, cancel: CancellationToken) {
        let path = work_dir.join(SOCKET);
        let listener = match bind(&path) {
            Ok(listener) => listener,
            Err(error) => {
                let socket = path.display();
                tracing::error!(%error, %socket, "no control socket: the command line cannot ask this gateway");
                return;
            }
        };
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let service = TowerToHyperService::new(router(self.shared));
        let accept = async {
            loop {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let Ok((stream, _)) = listener.accept().await else {
                    // Out of descriptors: others have to close some.
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let (service, cancel) = (service.clone(), cancel.clone());
                tokio::spawn(async move {
                    let _place = place;
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        _ = tokio::time::timeout(CONVERSATION, converse(stream, service)) => {}
                    }
                });
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = accept => {}
        }
        // Gone already, or the directory is: either is what was wanted.
        let _ = std::fs::remove_file(&path);
    }
}

/// Binds a control socket with mode 0660; one left over by a process that was killed is replaced, anything else that
/// stands there is not.
pub(crate) fn bind(path: &std::path::Path) -> std::io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, "another process serves this directory"));
    }
    if std::fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

async fn converse(stream: UnixStream, service: TowerToHyperService<Router>) {
    let allowed = peer::is_allowed(&stream);
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(16 * 1024);
    let io = TokioIo::new(stream);
    // A client that goes away in between is no news.
    if allowed {
        let _ = builder.serve_connection(io, service).await;
    } else {
        let refused = TowerToHyperService::new(Router::new().fallback(|| async {
            failure(StatusCode::FORBIDDEN, "not-allowed", "only root, the gateway's user and its group may ask")
        }));
        let _ = builder.serve_connection(io, refused).await;
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/printers", get(printers))
        .route("/v1/printers/{id}", get(printer))
        .route("/v1/printers/{id}/why", get(why))
        .route("/v1/put-away", get(all_put_away))
        .route("/v1/duplicates", get(duplicates))
        .route("/v1/jobs", get(jobs))
        .route("/v1/jobs/{id}", get(job_detail))
        .route("/v1/outbox", get(outbox))
        .route("/v1/events", get(events))
        .fallback(|| async { failure(StatusCode::NOT_FOUND, "no-such-path", "the control socket knows no such path") })
        .method_not_allowed_fallback(|| async {
            failure(StatusCode::METHOD_NOT_ALLOWED, "only-get", "the control socket only answers GET")
        })
        .with_state(shared)
}

/// Why there is no answer, in the form of this API.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": {"code": self.code, "message": self.message}}))).into_response()
    }
}

fn failure(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { status, code, message: message.into() }
}

/// An answer, or why there is none.
type Answer<T> = Result<Json<T>, Refusal>;

fn store_failure(error: StoreError) -> Refusal {
    failure(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", error.to_string())
}

type Shown = State<Arc<Shared>>;

impl Shared {
    fn live(&self) -> Option<Arc<Live>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn printers(&self) -> Vec<api::Printer> {
        self.live().map(|live| (live.printers)()).unwrap_or_default()
    }

    fn cloud(&self) -> Progress {
        self.live().map(|live| (live.cloud)()).unwrap_or_default()
    }

    /// The printer of an id, of an id merged into it, or of a name that only one has.
    fn find(&self, wanted: &str) -> Option<api::Printer> {
        let all = self.printers();
        let by_id = all.iter().find(|p| p.id == wanted || p.aliases.iter().any(|alias| alias == wanted));
        if let Some(found) = by_id {
            return Some(found.clone());
        }
        let mut named = all.iter().filter(|p| p.name.to_lowercase() == wanted.to_lowercase());
        named.next().filter(|_| named.next().is_none()).cloned()
    }

    fn put_away(&self) -> Vec<api::PutAway> {
        self.live().map(|live| (live.put_away)()).unwrap_or_default()
    }

    /// The one that was put away with this id, or alone bears this name.
    fn find_put_away(&self, wanted: &str) -> Option<api::PutAway> {
        let all = self.put_away();
        if let Some(found) = all.iter().find(|one| one.id == wanted) {
            return Some(found.clone());
        }
        let mut named = all.iter().filter(|one| one.name.to_lowercase() == wanted.to_lowercase());
        named.next().filter(|_| named.next().is_none()).cloned()
    }

    /// No printer that is in use is called so.
    fn unknown_printer(&self, id: &str) -> Refusal {
        if let Some(one) = self.find_put_away(id) {
            let message = format!(
                "`{id}` ({}) is {}: `printgate printers {} --why` says what is known of it",
                one.id, one.why, one.id
            );
            return failure(StatusCode::NOT_FOUND, "printer-put-away", message);
        }
        let message =
            format!("no printer has the id `{id}` (or alone bears that name); `printgate printers` lists them");
        failure(StatusCode::NOT_FOUND, "unknown-printer", message)
    }

    async fn totals(&self) -> Result<api::OutboxTotals, StoreError> {
        let both = self.jobs.depth().await? + self.store.depth().await?;
        Ok(api::OutboxTotals {
            depth: both.rows,
            bytes: both.bytes,
            oldest: both.oldest.and_then(at),
            wedged: both.wedged,
            dropped: self.store.dropped().await?,
            shadows: self.store.shadows_waiting().await?,
        })
    }
}

async fn status(State(shared): Shown) -> Answer<api::Status> {
    let live = shared.live();
    Ok(Json(api::Status {
        gateway: shared.gateway.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: shared.jobs.epoch.clone(),
        started_at: shared.started_at,
        state: if live.is_some() { "running" } else { "starting" }.to_owned(),
        cloud: shared.cloud(),
        config: live.as_ref().map(|live| (live.config)()).unwrap_or_default(),
        printers: live.as_ref().map(|live| (live.counts)()).unwrap_or_default(),
        jobs: shared.jobs.counts().await.map_err(store_failure)?.into_iter().collect(),
        outbox: shared.totals().await.map_err(store_failure)?,
        discovery: live.as_ref().map(|live| (live.discovery)()).unwrap_or_default(),
    }))
}

/// What a list of printers may be asked for.
#[derive(Debug, Default, Deserialize)]
struct Standing {
    standing: Option<String>,
}

async fn printers(State(shared): Shown, Query(asked): Query<Standing>) -> Answer<serde_json::Value> {
    let mut printers = shared.printers();
    printers.retain(|printer| asked.standing.as_ref().is_none_or(|standing| *standing == printer.standing));
    Ok(Json(json!({"printers": printers})))
}

async fn why(State(shared): Shown, Path(id): Path<String>) -> Answer<api::Why> {
    let Some(printer) = shared.find(&id) else {
        let one = shared.find_put_away(&id).ok_or_else(|| shared.unknown_printer(&id))?;
        return Ok(Json(super::why::of_put_away(one)));
    };
    let row = shared.store.printer(&printer.id).await.map_err(store_failure)?;
    let stored: Option<Stored> = row.and_then(|row| serde_json::from_str(&row).ok());
    let duplicates = shared.live().map(|live| (live.duplicates)()).unwrap_or_default();
    Ok(Json(super::why::of(&printer, stored.map(|stored| stored.printer), duplicates)))
}

async fn all_put_away(State(shared): Shown) -> Json<api::AllPutAway> {
    Json(api::AllPutAway { put_away: shared.put_away() })
}

async fn duplicates(State(shared): Shown) -> Json<api::Duplicates> {
    let duplicates = shared.live().map(|live| (live.duplicates)()).unwrap_or_default();
    Json(api::Duplicates { duplicates })
}

/// The part of a stored printer that is shown.
#[derive(Deserialize)]
struct Stored {
    printer: registry::Printer,
    state: PrinterState,
}

async fn printer(State(shared): Shown, Path(id): Path<String>) -> Answer<api::PrinterDetail> {
    let printer = shared.find(&id).ok_or_else(|| shared.unknown_printer(&id))?;
    let row = shared.store.printer(&printer.id).await.map_err(store_failure)?;
    let stored: Option<Stored> = row.and_then(|row| serde_json::from_str(&row).ok());
    let filter = JobFilter { printer: Some(printer.id.clone()), state: None, limit: JOBS_OF_PRINTER };
    let jobs = shared.jobs.list(filter).await.map_err(store_failure)?;
    let evidence = stored.as_ref().map(|s| s.printer.evidence.clone()).unwrap_or_default();
    let state = stored.as_ref().map(|s| s.state.clone()).unwrap_or_default();
    let picture = state.picture();
    Ok(Json(api::PrinterDetail {
        printer,
        serial: evidence.serial,
        uuid: evidence.uuid,
        macs: evidence.macs,
        firmware: picture.firmware.map(|(firmware, _)| firmware.to_owned()),
        first_seen: stored.as_ref().map(|s| s.printer.first_seen),
        paper_status: state.paper_status().as_str().to_owned(),
        supplies: picture.supplies.0.to_vec(),
        trays: picture.trays.0.to_vec(),
        counters: picture.counters.map(|(counters, _)| counters.clone()).unwrap_or_default(),
        formats: picture.capabilities.map(|(c, _)| c.formats.clone()).unwrap_or_default(),
        sources: sources(&picture),
        jobs: jobs.iter().map(job_row).collect(),
    }))
}

/// Which protocol said what.
fn sources(picture: &Picture<'_>) -> BTreeMap<String, Source> {
    let some = |there: bool, source: Source| there.then_some(source);
    [
        ("status", picture.printer_state.map(|(_, source)| source)),
        ("supplies", some(!picture.supplies.0.is_empty(), picture.supplies.1)),
        ("trays", some(!picture.trays.0.is_empty(), picture.trays.1)),
        ("counters", picture.counters.map(|(_, source)| source)),
        ("firmware", picture.firmware.map(|(_, source)| source)),
        ("formats", picture.capabilities.map(|(_, source)| source)),
    ]
    .into_iter()
    .filter_map(|(key, source)| Some((key.to_owned(), source?)))
    .collect()
}

/// What a list of jobs or events may be asked for.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    printer: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
}

impl Wanted {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(ROWS).clamp(1, MAX_ROWS)
    }
}

/// The query, or what is wrong with it in our form.
type Asked = Result<Query<Wanted>, axum::extract::rejection::QueryRejection>;

fn wanted(asked: Asked, shared: &Shared) -> Result<Wanted, Refusal> {
    let Query(mut wanted) = asked.map_err(|error| failure(StatusCode::BAD_REQUEST, "bad-query", error.body_text()))?;
    if let Some(name) = &wanted.printer {
        // Jobs of a printer that is no longer there may be asked for too.
        wanted.printer = Some(shared.find(name).map_or_else(|| name.clone(), |printer| printer.id));
    }
    Ok(wanted)
}

async fn jobs(State(shared): Shown, asked: Asked) -> Answer<serde_json::Value> {
    let wanted = wanted(asked, &shared)?;
    if let Some(state) = &wanted.state
        && JobStatus::from_wire(state).is_none()
    {
        let message =
            format!("`{state}` is no state of a job: use {}", JobStatus::ALL.map(JobStatus::as_str).join(", "));
        return Err(failure(StatusCode::BAD_REQUEST, "unknown-state", message));
    }
    let limit = wanted.limit();
    let filter = JobFilter { printer: wanted.printer, state: wanted.state, limit };
    let jobs = shared.jobs.list(filter).await.map_err(store_failure)?;
    Ok(Json(json!({"jobs": jobs.iter().map(job_row).collect::<Vec<_>>()})))
}

async fn job_detail(State(shared): Shown, Path(id): Path<String>) -> Answer<api::JobDetail> {
    let unknown = || {
        let message = format!("no job has the id `{id}`; `printgate jobs` lists the latest");
        failure(StatusCode::NOT_FOUND, "unknown-job", message)
    };
    let job_id = JobId::new(id.clone()).map_err(|_| unknown())?;
    let job = shared.jobs.get(&job_id).await.map_err(store_failure)?.ok_or_else(unknown)?;
    let history = shared.jobs.history(&job_id, HISTORY).await.map_err(store_failure)?;
    let history = history
        .into_iter()
        .map(|line| api::Transition { seq: line.seq, at: line.at, state: line.state, detail: line.detail })
        .collect();
    Ok(Json(api::JobDetail { job: job_row(&job), history }))
}

async fn outbox(State(shared): Shown) -> Answer<api::Outbox> {
    let mut classes: BTreeMap<String, api::ClassDepth> = BTreeMap::new();
    classes.insert("job".to_owned(), class(shared.jobs.depth().await.map_err(store_failure)?));
    for (name, depth) in shared.store.depths().await.map_err(store_failure)? {
        classes.insert(name, class(depth));
    }
    let mut wedged = shared.jobs.wedged(WEDGED).await.map_err(store_failure)?;
    wedged.extend(shared.store.wedged(WEDGED).await.map_err(store_failure)?);
    wedged.sort_by_key(|row| row.at);
    wedged.truncate(WEDGED);
    Ok(Json(api::Outbox {
        totals: shared.totals().await.map_err(store_failure)?,
        cloud: shared.cloud(),
        classes,
        wedged_messages: wedged.into_iter().map(wedged_row).collect(),
    }))
}

async fn events(State(shared): Shown, asked: Asked) -> Answer<serde_json::Value> {
    let wanted = wanted(asked, &shared)?;
    let limit = wanted.limit();
    let events = shared.store.events(wanted.printer, limit).await.map_err(store_failure)?;
    let events: Vec<serde_json::Value> = events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
    Ok(Json(json!({"events": events})))
}

fn class(depth: Depth) -> api::ClassDepth {
    api::ClassDepth { depth: depth.rows, bytes: depth.bytes, oldest: depth.oldest.and_then(at), wedged: depth.wedged }
}

fn wedged_row(row: Wedged) -> api::Wedged {
    api::Wedged { id: row.message, topic: row.topic, about: row.about, bytes: row.bytes, at: at(row.at), why: row.why }
}

fn at(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}

fn job_row(job: &Job) -> api::Job {
    api::Job {
        id: job.id.to_string(),
        printer: job.printer.to_string(),
        state: job.state.name().to_owned(),
        held: job.held,
        title: job.ticket.title.clone(),
        user: job.ticket.user.clone(),
        attempt: job.attempt,
        reasons: job.reasons.clone(),
        detail: job.detail.clone(),
        accepted_at: job.accepted_at,
        updated_at: job.updated_at,
        expires_at: job.expires_at,
        bytes: job.bytes,
        printer_job_id: job.printer_job_id,
        pages: json!(job.pages),
        error: job.error.as_ref().map(|problem| json!(problem)),
    }
}
