//! The body of an HTTP request: the IPP header in one piece, then the document in chunks.

use super::connection::Meter;
use super::{Document, lock};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// Octets read and handed over at once.
const CHUNK: usize = 64 * 1024;

/// Where a body leaves the reason when the document breaks off.
pub(super) type Failed = Arc<Mutex<Option<io::Error>>>;

/// The reason, if the document broke off.
pub(super) fn take(failed: &Failed) -> Option<io::Error> {
    lock(failed).take()
}

pub(super) struct RequestBody {
    header: Option<Bytes>,
    document: Option<Streaming>,
    /// Told when the last octet was handed over.
    meter: Arc<Meter>,
}

struct Streaming {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    left: u64,
    sent: Arc<AtomicU64>,
    failed: Failed,
    /// Room for the next chunk; empty while there is none.
    buffer: Vec<u8>,
}

impl RequestBody {
    pub(super) fn small(header: Bytes, meter: &Arc<Meter>) -> Self {
        Self { header: Some(header), document: None, meter: Arc::clone(meter) }
    }

    pub(super) fn with_document(
        header: Bytes,
        document: Document,
        sent: Arc<AtomicU64>,
        failed: Failed,
        meter: &Arc<Meter>,
    ) -> Self {
        let Document { reader, len } = document;
        let streaming = Streaming { reader, left: len, sent, failed, buffer: Vec::new() };
        Self { header: Some(header), document: Some(streaming), meter: Arc::clone(meter) }
    }

    fn left(&self) -> u64 {
        let header = self.header.as_ref().map_or(0, |header| header.len() as u64);
        header + self.document.as_ref().map_or(0, |document| document.left)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let frame = match (this.header.take(), &mut this.document) {
            (Some(header), _) => Poll::Ready(Some(Ok(Frame::data(header)))),
            (None, Some(document)) if document.left > 0 => {
                document.poll_chunk(cx).map(|chunk| Some(chunk.map(Frame::data)))
            }
            _ => Poll::Ready(None),
        };
        if this.left() == 0 {
            this.meter.set_body_done();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

impl Streaming {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let size = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        self.buffer.resize(size, 0);
        let mut buffer = ReadBuf::new(&mut self.buffer);
        let outcome = match self.reader.as_mut().poll_read(cx, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(outcome) => outcome,
        };
        let read = buffer.filled().len();
        if let Err(error) = outcome.and_then(|()| if read == 0 { Err(short(self.left)) } else { Ok(()) }) {
            self.buffer = Vec::new();
            let copy = io::Error::new(error.kind(), error.to_string());
            *lock(&self.failed) = Some(error);
            return Poll::Ready(Err(copy));
        }
        self.buffer.truncate(read);
        self.left -= read as u64;
        // Counted before it is handed over: nobody can have written it yet.
        self.sent.fetch_add(read as u64, Ordering::SeqCst);
        Poll::Ready(Ok(std::mem::take(&mut self.buffer).into()))
    }
}

fn short(left: u64) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ends {left} octets too early"))
}
