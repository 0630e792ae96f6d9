//! Line Printer Daemon (RFC 1179) of a simulated printer.
//!
//! ```text
//! client                               printer
//! 02 queue LF                          0, or 1: no such queue, busy
//! 02 count SP cfA123host LF            0
//! count octets, 0                      0: the control file is here
//! 03 count SP dfA123host LF            0, or 2: no place in the queue
//! count octets, 0                      0: the data file is here; with the control file: printed
//! …                                    end of the stream
//! 01 queue LF                          0: jobs print by themselves
//! 03|04 queue [list] LF                the queue's state as text, end of the stream
//! 05 queue agent [list] LF             what was removed, as text, end of the stream
//! ```
//!
//! - Control file first or data files first; several data files a job, each becomes a job of the printer. One is printed
//!   once it and the control file that names it are there; what no control file names is printed at the end of the
//!   stream, as printers do that look at the data only.
//! - A count of 0, or of more than 32 bits, stands for the rest of the stream; it is acknowledged then.
//! - An aborted or broken job prints nothing of what had not been acknowledged with its control file (but see
//!   `prints-partial`).
//! - PJL is taken out of data files; LPD has no way to answer it.
//! - Any source port will do (RFC 1179 §3.1 wants 721–731, which hardly any device insists on).
//! - Who may remove a job: its owner, and root.
//!
//! Behind a print server its queues lead to several printers; faults are those of the printer that a queue leads to,
//! or, before that is known, of the one that listens.

mod queue;
mod receive;
mod wire;

use super::fault::{Fault, LossyOperation};
use super::raw;
use super::server::Shared;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::Command;

/// Connections of one printer at a time; more wait.
const MAX_CONNECTIONS: usize = 16;
/// Longest pause within a request.
const IDLE: Duration = Duration::from_secs(90);
/// Longest wait for a client that does not read.
const WRITE: Duration = Duration::from_secs(30);
/// Pause after a failure to accept.
const RETRY: Duration = Duration::from_millis(100);

/// Accepts connections until the power goes.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener, off: CancellationToken, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            () = off.cancelled() => return,
            accepted = accepted => match accepted {
                (place, Ok((stream, _))) => (place, stream),
                (_, Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(RETRY).await;
                    continue;
                }
            },
        };
        let (shared, off) = (shared.clone(), off.clone());
        tasks.spawn(async move {
            if shared.drops_before() {
                raw::reset(&stream);
                return;
            }
            if let Err(error) = serve(shared, stream, off).await {
                tracing::debug!(%error, "LPD connection ended");
            }
            drop(place);
        });
    }
}

/// Carries out one command; a connection has one (RFC 1179 §3.2).
async fn serve(shared: Arc<Shared>, stream: TcpStream, off: CancellationToken) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(shared.clone(), stream);
    let command = tokio::select! {
        () = off.cancelled() => return Ok(()),
        line = wire.line() => match line? {
            Some(line) => Command::parse(&line),
            None => return Ok(()),
        },
    };
    let known = |queue: &str| shared.lpd_queue(queue);
    let refuse = |queue: &str| format!("unknown printer: {queue}\n");
    let text = match command {
        Command::Receive { queue } => {
            let Some(printer) = known(&queue) else { return wire.octet(1).await };
            wire.shared = printer.clone();
            wire.reading = raw::Reading::new(printer.clone());
            if printer.device().faults.has(&Fault::Busy) {
                return wire.octet(1).await;
            }
            return receive::job(wire, off).await;
        }
        Command::Print { queue } => return wire.octet(u8::from(known(&queue).is_none())).await,
        Command::State { queue, long, list } => match known(&queue) {
            Some(printer) => queue::state(&printer, &queue, long, &list, Instant::now()),
            None => refuse(&queue),
        },
        Command::Remove { queue, agent, list } => match known(&queue) {
            Some(printer) => queue::remove(&printer, &agent, &list, Instant::now()),
            None => refuse(&queue),
        },
        Command::Unknown => return wire.octet(1).await,
    };
    tokio::select! {
        () = off.cancelled() => return Ok(()),
        sent = wire.answer(text.as_bytes()) => sent?,
    }
    wire.close().await
}

/// One connection, as the faults of its printer have it.
struct Wire {
    shared: Arc<Shared>,
    stream: TcpStream,
    reading: raw::Reading,
    /// Read but not used yet.
    ahead: Vec<u8>,
    /// A fault has dropped the connection.
    dropped: bool,
}

impl Wire {
    fn new(shared: Arc<Shared>, stream: TcpStream) -> Wire {
        Wire { reading: raw::Reading::new(shared.clone()), shared, stream, ahead: Vec::new(), dropped: false }
    }

    /// The next bytes, `most` of them at most, within a document of which so many bytes are here; empty at the end of
    /// the stream.
    async fn next(&mut self, most: u64, document: Option<u64>) -> io::Result<Vec<u8>> {
        let most = usize::try_from(most).unwrap_or(raw::BLOCK);
        if !self.ahead.is_empty() {
            let rest = self.ahead.split_off(most.min(self.ahead.len()));
            return Ok(std::mem::replace(&mut self.ahead, rest));
        }
        let mut changed = self.shared.changed.subscribe();
        let room = loop {
            match self.reading.room(document.unwrap_or_default()) {
                Some(room) => break room.min(most),
                // Reads nothing until the fault goes; the sender lives in `shared`.
                None => drop(changed.changed().await),
            }
        };
        let mut block = vec![0; room];
        let count = timeout(IDLE, self.reading.read(&mut self.stream, &mut block, room)).await??;
        if self.reading.dropped(document.map_or(0, |document| document.saturating_add(count as u64))) {
            self.dropped = true;
            raw::reset(&self.stream);
        }
        block.truncate(count);
        Ok(block)
    }

    /// Fails where the fault has dropped the connection, once what came before was taken.
    fn still_there(&self) -> io::Result<()> {
        if self.dropped { Err(io::Error::other("dropped, as the fault says")) } else { Ok(()) }
    }

    /// A line without its LF; `None` when the stream ends before it, or it is too long.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            // One by one: what follows the line is counted on its own.
            let block = self.next(1, None).await?;
            self.still_there()?;
            match block.first() {
                None => return Ok(None),
                Some(b'\n') => return Ok(Some(line)),
                Some(_) if line.len() + 1 >= wire::MAX_LINE => return Ok(None),
                Some(byte) => line.push(*byte),
            }
        }
    }

    /// An acknowledgement; 0 is yes.
    async fn octet(&mut self, octet: u8) -> io::Result<()> {
        self.answer(&[octet]).await
    }

    async fn answer(&mut self, answer: &[u8]) -> io::Result<()> {
        self.still_there()?;
        raw::send(&self.shared, None, answer, &mut self.stream, WRITE).await.map(drop)
    }

    /// The acknowledgement of a whole file; the last one of a job may be lost, which is an error.
    async fn received(&mut self, last: bool) -> io::Result<()> {
        let operation = last.then_some(LossyOperation::Lpd);
        match raw::send(&self.shared, operation, &[0], &mut self.stream, WRITE).await? {
            true => Ok(()),
            false => Err(io::Error::other("closed without an acknowledgement, as the fault says")),
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        timeout(WRITE, self.stream.shutdown()).await??;
        // A client that still writes gets to read the answer before it is reset.
        let mut rest = [0; 1024];
        while timeout(Duration::from_secs(1), self.stream.read(&mut rest)).await.is_ok_and(|n| n.is_ok_and(|n| n > 0)) {
        }
        Ok(())
    }
}
