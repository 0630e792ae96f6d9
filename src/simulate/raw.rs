//! What AppSocket and LPD share on the wire: reading and answering as the faults of the printer have it.

use super::fault::{Fault, Faults, LossyOperation};
use super::server::Shared;
use super::spoil::noise;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};

/// Bytes read at once.
pub(super) const BLOCK: usize = 64 * 1024;
/// Bytes of noise in place of an answer.
const NOISE: usize = 64;

/// Ends a connection with a reset instead of an end of stream.
pub(super) fn reset(stream: &TcpStream) {
    // Without it the end is in order unless bytes were left unread; no reason to fail.
    let _ = stream.set_zero_linger();
}

/// Reads one connection.
pub(super) struct Reading {
    shared: Arc<Shared>,
    /// Bytes read.
    total: u64,
    /// When the printer is ready for more.
    next: Instant,
}

impl Reading {
    pub(super) fn new(shared: Arc<Shared>) -> Reading {
        Reading { shared, total: 0, next: Instant::now() }
    }

    /// How many bytes may be read now, given those of the document; `None` while the printer reads nothing.
    pub(super) fn room(&self, document: u64) -> Option<usize> {
        let device = self.shared.device();
        let faults = &device.faults;
        let left = |limit: Option<u64>, done: u64| limit.map(|limit| limit.saturating_sub(done));
        let stall = left(faults.stall(), self.total);
        if stall == Some(0) {
            return None;
        }
        let slow = faults.bytes_per_second().map(|rate| rate.div_ceil(20));
        let limits = [stall, slow, left(faults.drop_at(), self.total), left(faults.drop_after(), document)];
        let room = limits.into_iter().flatten().min().unwrap_or(u64::MAX);
        Some(usize::try_from(room).unwrap_or(BLOCK).clamp(1, BLOCK))
    }

    /// Reads at most `room` bytes; 0 at the end of the stream. Nothing is lost when it is dropped in between.
    pub(super) async fn read(
        &mut self,
        input: &mut (impl AsyncRead + Unpin),
        block: &mut [u8],
        room: usize,
    ) -> io::Result<usize> {
        sleep_until(self.next.into()).await;
        let count = input.read(block.get_mut(..room).unwrap_or_default()).await?;
        self.total += count as u64;
        if let Some(rate) = self.shared.device().faults.bytes_per_second() {
            self.next = Instant::now() + Duration::from_secs_f64(count as f64 / rate.max(1) as f64);
        }
        Ok(count)
    }

    /// Whether the connection is to be dropped here, which counts as one use.
    pub(super) fn dropped(&self, document: u64) -> bool {
        let mut device = self.shared.device();
        let faults: &mut Faults = &mut device.faults;
        if faults.drop_at().is_some_and(|limit| self.total >= limit) {
            faults.used_drop_at();
            return true;
        }
        if faults.drop_after().is_some_and(|limit| document > 0 && document >= limit) {
            faults.used_drop();
            return true;
        }
        false
    }
}

/// Sends an answer: late, lost (where the fault names its operation), as noise, byte by byte. False when it was lost.
///
/// # Errors
/// The client has gone, or does not read for `patience` (between bytes, where they come one by one).
pub(super) async fn send(
    shared: &Shared,
    operation: Option<LossyOperation>,
    answer: &[u8],
    output: &mut (impl AsyncWrite + Unpin),
    patience: Duration,
) -> io::Result<bool> {
    let (late, garbage, trickle) = {
        let mut device = shared.device();
        if operation.is_some_and(|operation| device.faults.loses_answer(operation)) {
            return Ok(false);
        }
        (device.faults.answer_after(), device.faults.has(&Fault::Garbage), device.faults.trickle())
    };
    sleep(Duration::from_secs(late.unwrap_or_default().into())).await;
    let noise = garbage.then(|| noise(NOISE));
    let answer = noise.as_deref().unwrap_or(answer);
    let step = if trickle.is_some() { 1 } else { answer.len().max(1) };
    for (index, part) in answer.chunks(step).enumerate() {
        if index > 0 {
            sleep(Duration::from_millis(trickle.unwrap_or_default())).await;
        }
        timeout(patience, output.write_all(part)).await??;
    }
    timeout(patience, output.flush()).await??;
    Ok(true)
}
