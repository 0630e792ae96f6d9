//! Takes documents in over a port that has no protocol of its own around them (AppSocket, and LPD's data files): PJL is
//! taken out, each document is spooled, told apart and counted, and becomes a job.
//!
//! A document begins with its first byte: a connection without one makes no job. It ends with UEL (where the device
//! knows PJL) or with the stream. One that is cut off is thrown away; a device with the habit `prints-partial` prints
//! what had arrived (`cut_off` in [`Document`]).

use super::device::{Refusal, Ticket};
use super::fault::Fault;
use super::language::{self, Language};
use super::paper::{self, Document, Via};
use super::pjl::{Command, Environment, Piece, Splitter};
use super::server::Shared;
use sha2::{Digest, Sha256};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// Largest document.
const MAX_DOCUMENT: u64 = 2 * 1024 * 1024 * 1024;
/// Longest wait for a place in the queue.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a document is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum IntakeError {
    #[error("the queue of the printer is full")]
    Full,
    #[error("the document is larger than {MAX_DOCUMENT} bytes")]
    TooLarge,
    #[error("the document cannot be stored: {0}")]
    Storage(#[from] io::Error),
}

/// What a piece of the stream led to.
#[derive(Debug)]
pub(super) enum Taken {
    Nothing,
    /// A PJL command, whose settings are in force.
    Command(Command),
    /// The document of this job is whole; it is not queued yet.
    Document(i32, Document),
}

/// How a transfer was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Connection,
    Power,
}

/// One stream.
pub(super) struct Intake {
    shared: Arc<Shared>,
    via: Via,
    splitter: Option<Splitter>,
    pub(super) environment: Environment,
    told: Option<Language>,
    current: Option<Incoming>,
}

/// A document that is arriving.
struct Incoming {
    job: i32,
    path: PathBuf,
    file: File,
    hash: Sha256,
    bytes: u64,
    head: Vec<u8>,
    told: Option<Language>,
}

impl Intake {
    pub(super) fn new(shared: Arc<Shared>, via: Via) -> Intake {
        let pjl = shared.device().profile.services.pjl;
        let splitter = pjl.then(Splitter::default);
        Intake { shared, via, splitter, environment: Environment::default(), told: None, current: None }
    }

    /// Whether the device knows PJL.
    pub(super) fn pjl(&self) -> bool {
        self.splitter.is_some()
    }

    /// Bytes of the document that is arriving.
    pub(super) fn bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.bytes)
    }

    /// Cuts a block into pieces, to be given to [`Intake::take`] in order.
    pub(super) fn split(&mut self, block: &[u8]) -> Vec<Piece> {
        match &mut self.splitter {
            Some(splitter) => splitter.feed(block),
            None => vec![Piece::Document(block.to_vec())],
        }
    }

    /// The pieces that the end of the stream leaves, [`Piece::Exit`] last.
    pub(super) fn finish(&mut self) -> Vec<Piece> {
        let mut pieces = self.splitter.as_mut().map(std::mem::take).map(Splitter::finish).unwrap_or_default();
        pieces.push(Piece::Exit);
        pieces
    }

    /// Takes one piece.
    ///
    /// # Errors
    /// [`IntakeError`]; the document is thrown away.
    pub(super) async fn take(&mut self, piece: Piece) -> Result<Taken, IntakeError> {
        match piece {
            Piece::Command(command) => {
                self.settings(&command);
                Ok(Taken::Command(command))
            }
            Piece::Document(bytes) => {
                let stored = self.store(&bytes).await;
                if stored.is_err() {
                    self.throw_away("document-access-error");
                }
                stored.map(|()| Taken::Nothing)
            }
            Piece::Exit => {
                self.told = None;
                let Some(current) = self.current.take() else { return Ok(Taken::Nothing) };
                let job = current.job;
                let document = self.whole(current).await.inspect_err(|_| {
                    self.shared.device().abort_document(job, "document-access-error", Instant::now());
                })?;
                Ok(Taken::Document(job, document))
            }
        }
    }

    /// The stream was cut off.
    pub(super) async fn cut_off(&mut self, cut: Cut) {
        let Some(current) = self.current.take() else { return };
        let job = current.job;
        if !self.shared.device().faults.has(&Fault::PrintsPartial) {
            self.shared.device().abort_document(job, "submission-interrupted", Instant::now());
            self.shared.wake.notify_one();
            return;
        }
        let document = match self.whole(current).await {
            Ok(document) => Document { cut_off: true, ..document },
            Err(error) => {
                tracing::error!(job, %error, "cannot store a document");
                self.shared.device().abort_document(job, "document-access-error", Instant::now());
                return;
            }
        };
        let mut device = self.shared.device();
        match cut {
            // The power goes in a moment: what is on paper by then is all of what had arrived.
            Cut::Power => device.print_at_once(job, document),
            // Refused when it was canceled meanwhile, and then it is gone already.
            Cut::Connection => drop(device.end_document(job, document, true, Instant::now())),
        }
        drop(device);
        self.shared.wake.notify_one();
    }

    /// Throws away what is arriving.
    pub(super) fn throw_away(&mut self, cause: &'static str) {
        if let Some(current) = self.current.take() {
            self.shared.device().abort_document(current.job, cause, Instant::now());
            self.shared.wake.notify_one();
        }
    }

    fn settings(&mut self, command: &Command) {
        match command {
            Command::Job { name } => {
                self.environment = Environment::default();
                self.environment.job_name.clone_from(name);
            }
            Command::EndOfJob { .. } | Command::Reset => self.environment = Environment::default(),
            Command::Set { variable, value } => self.environment.set(variable, value),
            Command::Enter { language } => self.told = Language::named(language),
            _ => {}
        }
    }

    async fn store(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.current.is_none() {
            self.current = Some(self.begin().await?);
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        current.bytes += bytes.len() as u64;
        if current.bytes > MAX_DOCUMENT {
            return Err(IntakeError::TooLarge);
        }
        current.hash.update(bytes);
        let wanted = language::HEAD.saturating_sub(current.head.len());
        current.head.extend(bytes.iter().take(wanted));
        current.file.write_all(bytes).await?;
        Ok(())
    }

    /// A job for the document that begins.
    async fn begin(&self) -> Result<Incoming, IntakeError> {
        let ticket = Ticket {
            name: self.environment.job_name.clone().unwrap_or_default(),
            user: self.environment.user.clone().unwrap_or_default(),
            copies: self.environment.copies(),
            two_sided: self.environment.two_sided(),
            ranges: Vec::new(),
            template: Vec::new(),
            format: "application/octet-stream".to_owned(),
        };
        let mut changed = self.shared.changed.subscribe();
        let place = async {
            loop {
                match self.create(ticket.clone()) {
                    Err(Refusal::Full) => {}
                    result => return result,
                }
                // The sender lives in `shared`.
                let _ = changed.changed().await;
            }
        };
        let created = timeout(PATIENCE, place).await.map_err(|_| IntakeError::Full)?;
        let (job, path) = created.map_err(|_| IntakeError::Full)?;
        let file = File::create(&path).await?;
        Ok(Incoming { job, path, file, hash: Sha256::new(), bytes: 0, head: Vec::new(), told: self.told })
    }

    fn create(&self, ticket: Ticket) -> Result<(i32, PathBuf), Refusal> {
        let mut device = self.shared.device();
        let job = device.create(ticket, Instant::now())?;
        device.begin_document(job)?;
        Ok((job, device.paper.incoming(job)))
    }

    async fn whole(&self, mut current: Incoming) -> Result<Document, IntakeError> {
        current.file.flush().await?;
        let taken = language::recognise(&current.head, current.told, self.shared.device().profile);
        let format = taken.language.format();
        let path = current.path.clone();
        let pages = tokio::task::spawn_blocking(move || paper::count_pages(&path, format))
            .await
            .map_err(io::Error::other)
            .and_then(|pages| pages)?;
        Ok(Document {
            file: current.path,
            format: format.to_owned(),
            sha256: data_encoding::HEXLOWER.encode(&current.hash.finalize()),
            bytes: current.bytes,
            pages,
            via: self.via,
            garbage: taken.garbage,
            cut_off: false,
        })
    }
}
