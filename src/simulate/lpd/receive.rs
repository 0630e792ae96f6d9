//! "Receive a printer job" (RFC 1179 §6).

use super::Wire;
use super::wire::{Control, File, MAX_CONTROL, Size, Subcommand, number};
use crate::simulate::device::Job;
use crate::simulate::intake::{Cut, Intake, IntakeError, Taken};
use crate::simulate::paper::{Document, Via};
use crate::simulate::pjl::Piece;
use std::io;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Files of one connection.
const MAX_FILES: usize = 200;

/// Takes jobs until the stream ends.
pub(super) async fn job(wire: Wire, off: CancellationToken) -> io::Result<()> {
    let mut receiving = Receiving { wire, control: None, held: Vec::new(), intake: None, name: String::new() };
    let end = tokio::select! {
        () = off.cancelled() => None,
        end = receiving.run() => Some(end),
    };
    match end {
        // In order: what no control file named is printed.
        Some(Ok(true)) => {
            receiving.print_rest();
            receiving.wire.close().await
        }
        Some(Ok(false)) => {
            receiving.discard();
            Ok(())
        }
        Some(Err(error)) => {
            receiving.cut_off(Cut::Connection).await;
            Err(error)
        }
        None => {
            receiving.cut_off(Cut::Power).await;
            Ok(())
        }
    }
}

struct Receiving {
    wire: Wire,
    control: Option<Control>,
    /// Documents that are here and wait for their control file: the job of the printer, the document, the file's name.
    held: Vec<(i32, Document, String)>,
    /// The data file that is arriving, and its name.
    intake: Option<Intake>,
    name: String,
}

impl Receiving {
    /// True when the stream ended in order; false when the client took its job back or was refused.
    async fn run(&mut self) -> io::Result<bool> {
        self.wire.octet(0).await?;
        for _ in 0..MAX_FILES {
            let Some(line) = self.wire.line().await? else { return Ok(true) };
            match Subcommand::parse(&line) {
                Subcommand::Abort => {
                    self.wire.octet(0).await?;
                    return Ok(false);
                }
                Subcommand::Control { size, .. } => {
                    let Size::Octets(size @ 0..=MAX_CONTROL) = size else {
                        self.wire.octet(1).await?;
                        return Ok(false);
                    };
                    self.wire.octet(0).await?;
                    let control = Control::parse(&self.control_file(size).await?);
                    // A second one begins the next job.
                    if self.control.replace(control).is_some() {
                        self.print_rest();
                    }
                    let last = self.print_named();
                    self.wire.received(last).await?;
                }
                Subcommand::Data { size, name } => {
                    self.wire.octet(0).await?;
                    let accepted = self.data_file(size, name).await?;
                    if !accepted {
                        self.wire.octet(2).await?;
                        return Ok(false);
                    }
                    let last = self.print_named() || size == Size::ToTheEnd;
                    if size == Size::ToTheEnd {
                        self.print_rest();
                    }
                    self.wire.received(last).await?;
                    if size == Size::ToTheEnd {
                        return Ok(true);
                    }
                }
                Subcommand::Unknown => {
                    self.wire.octet(1).await?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn control_file(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let block = self.block(size - bytes.len() as u64, None).await?;
            self.wire.still_there()?;
            bytes.extend(block);
        }
        self.zero().await?;
        Ok(bytes)
    }

    /// False when the printer has no place for it.
    async fn data_file(&mut self, size: Size, name: String) -> io::Result<bool> {
        self.name = name;
        let mut intake = Intake::new(self.wire.shared.clone(), Via::Lpd);
        let control = self.control.as_ref();
        intake.environment.user = control.map(|control| control.user.clone());
        intake.environment.job_name = control.map(|control| control.job.clone());
        self.intake = Some(intake);
        let mut seen = 0;
        loop {
            let block = match size {
                Size::Octets(size) if seen == size => break,
                Size::Octets(size) => self.block(size - seen, Some(seen)).await?,
                Size::ToTheEnd => self.wire.next(u64::MAX, Some(seen)).await?,
            };
            if block.is_empty() {
                break;
            }
            seen += block.len() as u64;
            let pieces = self.intake.as_mut().map(|intake| intake.split(&block)).unwrap_or_default();
            if !self.take(pieces).await {
                return Ok(false);
            }
            self.wire.still_there()?;
        }
        if size != Size::ToTheEnd {
            self.zero().await?;
        }
        let pieces = self.intake.as_mut().map(Intake::finish).unwrap_or_default();
        let accepted = self.take(pieces).await;
        self.intake = None;
        Ok(accepted)
    }

    async fn take(&mut self, pieces: Vec<Piece>) -> bool {
        let Some(intake) = &mut self.intake else { return true };
        for piece in pieces {
            match intake.take(piece).await {
                Ok(Taken::Document(job, document)) => self.held.push((job, document, self.name.clone())),
                Ok(_) => {}
                Err(error) => {
                    if !matches!(error, IntakeError::Full) {
                        tracing::warn!(%error, "LPD");
                    }
                    intake.throw_away("document-access-error");
                    return false;
                }
            }
        }
        true
    }

    /// At most `most` bytes of a file; the end of the stream is an error.
    async fn block(&mut self, most: u64, document: Option<u64>) -> io::Result<Vec<u8>> {
        let block = self.wire.next(most, document).await?;
        if block.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(block) }
    }

    /// The zero octet behind a file. A client that leaves it out and waits is waited for; one that goes on, or ends, is
    /// let go.
    async fn zero(&mut self) -> io::Result<()> {
        let block = self.wire.next(1, None).await?;
        self.wire.still_there()?;
        if block.first().is_some_and(|octet| *octet != 0) {
            self.wire.ahead = block;
        }
        Ok(())
    }

    /// Prints the documents that the control file names; true when there was one.
    fn print_named(&mut self) -> bool {
        let Some(control) = &self.control else { return false };
        let before = self.held.len();
        let held = std::mem::take(&mut self.held);
        for (job, document, name) in held {
            match control.files.iter().find(|file| file.name == name) {
                Some(file) => submit(&self.wire, job, document, Some((control, file))),
                None => self.held.push((job, document, name)),
            }
        }
        self.held.len() < before
    }

    /// Prints what no control file names.
    fn print_rest(&mut self) {
        for (job, document, _) in std::mem::take(&mut self.held) {
            submit(&self.wire, job, document, None);
        }
    }

    fn discard(&mut self) {
        if let Some(intake) = &mut self.intake {
            intake.throw_away("job-canceled-by-user");
        }
        let mut device = self.wire.shared.device();
        for (job, _, _) in std::mem::take(&mut self.held) {
            device.abort_document(job, "submission-interrupted", Instant::now());
        }
        drop(device);
        self.wire.shared.wake.notify_one();
    }

    async fn cut_off(&mut self, cut: Cut) {
        if let Some(mut intake) = self.intake.take() {
            intake.cut_off(cut).await;
        }
        self.discard();
    }
}

/// Queues a document, with what the control file says of it.
fn submit(wire: &Wire, id: i32, document: Document, said: Option<(&Control, &File)>) {
    let mut device = wire.shared.device();
    if let Some((control, file)) = said
        && let Some(Job { ticket, .. }) = device.jobs.get_mut(&id)
    {
        ticket.user.clone_from(&control.user);
        ticket.name = control.title(file);
        ticket.copies = ticket.copies.saturating_mul(file.copies).min(999);
        tracing::debug!(job = id, host = control.host, number = number(&file.name), "LPD job");
    }
    // Refused when it was canceled meanwhile, and then it is gone already.
    let _ = device.end_document(id, document, true, Instant::now());
    drop(device);
    wire.shared.wake.notify_one();
}
