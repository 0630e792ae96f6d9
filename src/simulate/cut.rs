//! A connection that the fault `drop-at` resets at a byte.

use super::server::Shared;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Reads at most so many bytes, then resets the connection.
pub(super) struct Cut {
    stream: TcpStream,
    /// Bytes left to read; `None`: all.
    left: Option<u64>,
    /// The byte is reached: nothing is written any more either.
    reset: bool,
    shared: Arc<Shared>,
}

impl Cut {
    pub(super) fn new(stream: TcpStream, shared: Arc<Shared>) -> Cut {
        let left = shared.device().faults.drop_at();
        Cut { stream, left, reset: false, shared }
    }
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let Some(left) = self.left else { return Pin::new(&mut self.stream).poll_read(context, buffer) };
        if left == 0 {
            if self.shared.device().faults.used_drop_at() {
                // The connection is closed by a reset when the stream is dropped.
                let _ = self.stream.set_zero_linger();
                self.reset = true;
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            // Another connection used the fault up.
            self.left = None;
            return self.poll_read(context, buffer);
        }
        let mut block = [0; 4096];
        let most = buffer.remaining().min(block.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut part = ReadBuf::new(block.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        buffer.put_slice(part.filled());
        self.left = Some(left.saturating_sub(part.filled().len() as u64));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
