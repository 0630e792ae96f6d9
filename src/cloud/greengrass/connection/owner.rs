//! The owner task: stream ids, writing, reading, routing. Its invariants are in the module above.

use super::super::error::{IpcError, ServiceErrorKind, clean};
use super::super::frame::{FLAG_TERMINATE_STREAM, Frame, FrameReader, PRELUDE_LEN, message_type};
use super::{ConnectionLimits, Event, OUR_SIDE, OUT_HIGH_WATER, READ_CHUNK, RawEvent, Shared};
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

/// Bytes of PING answers that may wait to be written; further PINGs go unanswered until the peer reads.
const OUT_HARD_LIMIT: usize = 2 * OUT_HIGH_WATER;
/// Namespace of operations and models.
const NAMESPACE: &str = "aws.greengrass#";

/// A request's answer: the payload.
pub(super) type Answer = Result<Bytes, IpcError>;

/// A request on its way to the owner.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) operation: &'static str,
    pub(super) payload: Bytes,
    pub(super) waiter: Waiter,
}

/// Who waits for the answer.
#[derive(Debug)]
pub(super) enum Waiter {
    Call(oneshot::Sender<Answer>),
    Subscribe(oneshot::Sender<Answer>, EventSink),
}

impl Waiter {
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Call(reply) | Self::Subscribe(reply, _) => reply.is_closed(),
        }
    }

    fn fail(self, error: IpcError) {
        match self {
            Self::Call(reply) | Self::Subscribe(reply, _) => drop(reply.send(Err(error))),
        }
    }
}

/// The owner's end of a subscription's queue.
#[derive(Debug)]
pub(super) struct EventSink {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) queued_bytes: Arc<AtomicUsize>,
}

impl EventSink {
    /// Queues an event; false if it was dropped because the queue is full.
    fn offer(&self, frame: &Frame, limits: &ConnectionLimits) -> bool {
        let size = frame.payload.len();
        if self.queued_bytes.load(Ordering::Relaxed).saturating_add(size) > limits.queue_bytes {
            return false;
        }
        let model = frame.text("service-model-type").unwrap_or_default();
        let model = clean(model.strip_prefix(NAMESPACE).unwrap_or(model));
        // Copied: a slice would keep the whole read buffer alive while it waits.
        let payload = Bytes::copy_from_slice(&frame.payload);
        self.queued_bytes.fetch_add(size, Ordering::Relaxed);
        match self.events.try_send(Event::Message(RawEvent { model, payload })) {
            Ok(()) => true,
            Err(_) => {
                self.queued_bytes.fetch_sub(size, Ordering::Relaxed);
                // A closed queue is somebody who left, not a loss.
                self.events.is_closed()
            }
        }
    }

    /// Says why it ended. A full queue says it by closing.
    fn end(self, reason: &str) {
        let _ = self.events.try_send(Event::End(reason.to_owned()));
    }
}

/// One open stream.
#[derive(Debug)]
enum Stream {
    /// Waits for its first answer.
    Waiting { operation: &'static str, waiter: Waiter },
    /// Answered and delivering.
    Delivering { operation: &'static str, sink: EventSink },
}

/// The state of one connection.
pub(super) struct Owner {
    reader: FrameReader,
    out: BytesMut,
    latest_stream_id: i32,
    streams: HashMap<i32, Stream>,
    shared: Arc<Shared>,
    limits: ConnectionLimits,
}

impl Owner {
    /// An owner that goes on where the handshake stopped reading.
    pub(super) fn new(reader: FrameReader, shared: Arc<Shared>, limits: ConnectionLimits) -> Self {
        Self { reader, out: BytesMut::new(), latest_stream_id: 0, streams: HashMap::new(), shared, limits }
    }

    /// Runs the connection to its end. The reason is in `ended` before anybody who waits hears of it.
    pub(super) async fn run(
        mut self,
        mut read_half: OwnedReadHalf,
        mut write_half: OwnedWriteHalf,
        mut commands: mpsc::Receiver<Command>,
        ended: watch::Sender<Option<String>>,
    ) {
        let reason = loop {
            // Frames first: the handshake may have read more than CONNECT_ACK.
            if let Err(reason) = self.take_frames() {
                break reason;
            }
            let may_take = self.out.len() < OUT_HIGH_WATER;
            self.reader.buffer().reserve(READ_CHUNK);
            // Every branch is cancel-safe: a losing branch has read, written and taken nothing.
            tokio::select! {
                read = read_half.read_buf(self.reader.buffer()) => match read {
                    Ok(0) if self.reader.is_mid_frame() => break "the nucleus closed it in the middle of a frame".to_owned(),
                    Ok(0) => break "the nucleus closed it".to_owned(),
                    Ok(_) => {}
                    Err(error) => break format!("reading failed: {error}"),
                },
                written = write_half.write_buf(&mut self.out), if !self.out.is_empty() => match written {
                    Ok(0) => break "the nucleus takes no more bytes".to_owned(),
                    Ok(_) => {}
                    Err(error) => break format!("writing failed: {error}"),
                },
                command = commands.recv(), if may_take => match command {
                    Some(command) => if let Err(reason) = self.start(command) { break reason },
                    None => break OUR_SIDE.to_owned(),
                },
                () = self.shared.abandoned.notified() => self.forget_abandoned(),
                () = self.shared.close.cancelled() => {
                    break self.shared.close_reason.get().cloned().unwrap_or_else(|| OUR_SIDE.to_owned());
                }
            }
        };
        tracing::debug!(%reason, "IPC connection ended");
        ended.send_replace(Some(reason.clone()));
        commands.close();
        while let Ok(command) = commands.try_recv() {
            command.waiter.fail(IpcError::Closed { reason: reason.clone() });
        }
        for (_, stream) in self.streams.drain() {
            match stream {
                Stream::Waiting { waiter, .. } => waiter.fail(IpcError::Closed { reason: reason.clone() }),
                Stream::Delivering { sink, .. } => sink.end(&reason),
            }
        }
    }

    /// Opens a stream for a request. `Err` ends the connection.
    fn start(&mut self, command: Command) -> Result<(), String> {
        let Command { operation, payload, waiter } = command;
        if waiter.is_abandoned() {
            return Ok(());
        }
        if self.streams.len() >= self.limits.max_streams {
            waiter.fail(IpcError::Busy { operation: operation.to_owned(), limit: self.limits.max_streams });
            return Ok(());
        }
        let Some(stream_id) = self.latest_stream_id.checked_add(1) else {
            let reason = "all stream ids of this connection are used up".to_owned();
            waiter.fail(IpcError::Closed { reason: reason.clone() });
            return Err(reason);
        };
        let frame = Frame::new(message_type::APPLICATION_MESSAGE, 0, stream_id, payload)
            .with("operation", &format!("{NAMESPACE}{operation}"))
            .with(":content-type", "application/json")
            .with("service-model-type", &format!("{NAMESPACE}{operation}Request"));
        let bytes = match frame.encode() {
            Ok(bytes) => bytes,
            Err(error) => {
                waiter.fail(IpcError::Encode { operation: operation.to_owned(), reason: error.to_string() });
                return Ok(());
            }
        };
        let size = bytes.len().saturating_sub(PRELUDE_LEN);
        if size > self.limits.max_outbound_message {
            let limit = self.limits.max_outbound_message;
            waiter.fail(IpcError::TooLarge { operation: operation.to_owned(), size, limit });
            return Ok(());
        }
        // Only a frame that will be on the wire takes an id.
        self.latest_stream_id = stream_id;
        self.out.extend_from_slice(&bytes);
        self.streams.insert(stream_id, Stream::Waiting { operation, waiter });
        Ok(())
    }

    /// Handles all whole frames that have been read. `Err` ends the connection.
    fn take_frames(&mut self) -> Result<(), String> {
        while let Some(frame) = self.reader.next_frame().map_err(|e| e.to_string())? {
            match frame.message_type {
                message_type::APPLICATION_MESSAGE | message_type::APPLICATION_ERROR => self.route(&frame),
                message_type::PING => self.answer_ping(frame),
                message_type::PROTOCOL_ERROR | message_type::INTERNAL_ERROR => {
                    let what =
                        if frame.message_type == message_type::PROTOCOL_ERROR { "a protocol" } else { "an internal" };
                    return Err(format!("the nucleus reported {what} error: {}", error_text(&frame.payload).0));
                }
                other => tracing::trace!(message_type = other, "ignoring a message of another type"),
            }
        }
        Ok(())
    }

    fn route(&mut self, frame: &Frame) {
        let stream_id = frame.stream_id;
        let Some(stream) = self.streams.remove(&stream_id) else {
            tracing::trace!(stream_id, "ignoring a message of a stream that is not open");
            return;
        };
        let is_error = frame.message_type == message_type::APPLICATION_ERROR;
        let keep = match stream {
            Stream::Waiting { operation, waiter: Waiter::Subscribe(reply, sink) }
                if !is_error && !frame.terminates() && is_event(frame) =>
            {
                self.deliver(operation, &sink, frame);
                Some(Stream::Waiting { operation, waiter: Waiter::Subscribe(reply, sink) })
            }
            Stream::Waiting { operation, waiter } if is_error => {
                waiter.fail(service_error(operation, frame));
                None
            }
            Stream::Waiting { waiter: Waiter::Call(reply), .. } => {
                // An answer that nobody waits for any more is as good as none.
                let _ = reply.send(Ok(frame.payload.clone()));
                // A call has one answer. Nucleus lite does not mark it as the last; there is nothing to end there.
                return;
            }
            Stream::Waiting { operation, waiter: Waiter::Subscribe(reply, sink) } => {
                let taken = reply.send(Ok(frame.payload.clone())).is_ok();
                taken.then_some(Stream::Delivering { operation, sink })
            }
            Stream::Delivering { operation, sink } if is_error => {
                sink.end(&service_error(operation, frame).to_string());
                None
            }
            Stream::Delivering { operation, sink } => {
                // The last message of a stream may be empty.
                if !(frame.terminates() && frame.payload.is_empty()) {
                    self.deliver(operation, &sink, frame);
                }
                Some(Stream::Delivering { operation, sink })
            }
        };
        match keep {
            Some(Stream::Delivering { sink, .. }) if frame.terminates() => {
                sink.end("the nucleus ended the subscription")
            }
            Some(Stream::Waiting { operation, waiter }) if frame.terminates() => {
                waiter.fail(bad_answer(operation, "the stream ended before the answer"));
            }
            Some(stream) => drop(self.streams.insert(stream_id, stream)),
            // Nobody wants the stream any more and the nucleus has not ended it itself.
            None if !frame.terminates() => self.terminate(stream_id),
            None => {}
        }
    }

    fn deliver(&self, operation: &str, sink: &EventSink, frame: &Frame) {
        if !sink.offer(frame, &self.limits) {
            let dropped = self.shared.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // Powers of two: a flood is reported, and does not become one in the log.
            if dropped.is_power_of_two() {
                tracing::warn!(operation, dropped, "an event was dropped because its queue is full");
            }
        }
    }

    fn answer_ping(&mut self, ping: Frame) {
        let pong = Frame::new(message_type::PING_RESPONSE, 0, 0, ping.payload);
        match pong.encode() {
            Ok(bytes) if self.out.len() + bytes.len() <= OUT_HARD_LIMIT => self.out.extend_from_slice(&bytes),
            _ => tracing::debug!("a PING was not answered: too much waits to be written already"),
        }
    }

    /// Lets go of the streams whose callers or subscribers are gone. Only a delivering subscription is ended at the
    /// nucleus at once. A call ends with its answer anyway, and a subscribe request is kept until its answer: a message
    /// on a stream that the nucleus has just ended itself is a protocol error to nucleus classic, which then closes the
    /// connection.
    fn forget_abandoned(&mut self) {
        let mut ended = Vec::new();
        self.streams.retain(|stream_id, stream| match stream {
            Stream::Waiting { waiter: waiter @ Waiter::Call(_), .. } => !waiter.is_abandoned(),
            Stream::Waiting { waiter: Waiter::Subscribe(..), .. } => true,
            Stream::Delivering { sink, .. } => {
                let gone = sink.events.is_closed();
                if gone {
                    ended.push(*stream_id);
                }
                !gone
            }
        });
        ended.sort_unstable();
        for stream_id in ended {
            self.terminate(stream_id);
        }
    }

    /// Tells the nucleus that a stream is over.
    fn terminate(&mut self, stream_id: i32) {
        let last = Frame::new(message_type::APPLICATION_MESSAGE, FLAG_TERMINATE_STREAM, stream_id, Bytes::new());
        match last.encode() {
            Ok(bytes) => self.out.extend_from_slice(&bytes),
            Err(error) => tracing::debug!(%error, "cannot end a stream"),
        }
    }
}

/// True for a message that cannot be the answer to a subscribe request.
fn is_event(frame: &Frame) -> bool {
    frame.text("service-model-type").is_some_and(|model| !model.is_empty() && !model.ends_with("Response"))
}

fn service_error(operation: &str, frame: &Frame) -> IpcError {
    let (message, code) = error_text(&frame.payload);
    let model = frame.text("service-model-type").filter(|m| !m.is_empty()).or(code.as_deref()).unwrap_or_default();
    IpcError::Service { operation: operation.to_owned(), kind: ServiceErrorKind::parse(model), message }
}

/// The words and the code of an error answer: `message` (classic), `_message` and `_errorCode` (lite).
pub(super) fn error_text(payload: &[u8]) -> (String, Option<String>) {
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(payload) else {
        return (clean(&String::from_utf8_lossy(payload)), None);
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(clean);
    let words = text("message").or_else(|| text("_message")).filter(|t| !t.is_empty());
    (words.unwrap_or_else(|| "no further words".to_owned()), text("_errorCode"))
}

/// An answer that is not what the operation promises.
pub(super) fn bad_answer(operation: &str, reason: &str) -> IpcError {
    IpcError::BadAnswer { operation: operation.to_owned(), reason: clean(reason) }
}
