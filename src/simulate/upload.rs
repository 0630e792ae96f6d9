//! The body of one IPP request: its head, and the document that it carries.

use super::device::Refusal;
use super::frame::{self, Head};
use super::paper::{self, Document, Via};
use super::server::{IDLE, Shared};
use super::service::{self, Answer, Request};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use ipp::model::StatusCode as IppStatus;
use sha2::{Digest, Sha256};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

/// Largest document.
const MAX_DOCUMENT: u64 = 2 * 1024 * 1024 * 1024;

/// Why a document was not taken.
pub(super) enum Failure {
    /// The client went, stalled, or the fault cut the connection.
    Gone(&'static str),
    Refused(Answer),
}

/// The body of one request.
pub(super) struct Upload {
    pub(super) shared: Arc<Shared>,
    pub(super) body: Incoming,
    /// Read but not used yet.
    pub(super) ahead: Bytes,
    /// It comes over TLS.
    pub(super) tls: bool,
}

impl Upload {
    /// The IPP request at the beginning of the body.
    pub(super) async fn head(&mut self) -> Option<Request> {
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

    /// Whether there is a document; `None` when the client is gone.
    pub(super) async fn has_more(&mut self) -> Option<bool> {
        match self.frame().await {
            Ok(Some(data)) => {
                self.ahead = data;
                Some(true)
            }
            Ok(None) => Some(false),
            Err(_) => None,
        }
    }

    /// Reads the rest of a body that nobody wants, so that the client gets to read the answer.
    pub(super) async fn drain(&mut self) {
        let mut seen = 0;
        while let Ok(Some(data)) = self.frame().await {
            seen += data.len() as u64;
            if seen > MAX_DOCUMENT {
                return;
            }
        }
    }

    /// Receives the document of a job; whatever goes wrong, the job is aborted.
    pub(super) async fn receive(&mut self, job: i32, last: bool) -> Result<(), Failure> {
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
