//! Frames of the event-stream RPC protocol.
//!
//! ```text
//! u32 total length · u32 length of headers · u32 CRC-32 of these 8 bytes · headers · payload · u32 CRC-32 of all before
//! ```
//!
//! Big-endian, CRC-32 as in IEEE 802.3. A header is a u8-counted name, a u8 type and a value. Every message carries
//! `:message-type`, `:message-flags` and `:stream-id` as i32. Encoding and the headers are the codec crate's; this
//! module finds the frames in a stream of bytes: bounded (a length above the limit ends the connection before
//! anything is kept for it) and incremental (bytes may come one by one).

use super::error::clean;
use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::{Buf, Bytes, BytesMut};

/// Protocol version in the `:version` header of CONNECT.
pub const VERSION: &str = "0.1.0";
/// Length of the prelude: two lengths and their checksum.
pub const PRELUDE_LEN: usize = 12;
/// The shortest frame: a prelude and the checksum.
pub const MIN_FRAME_LEN: usize = 16;
/// Flag of CONNECT_ACK: accepted.
pub const FLAG_CONNECTION_ACCEPTED: i32 = 1;
/// Flag of the last message of a stream.
pub const FLAG_TERMINATE_STREAM: i32 = 2;

/// `:message-type`. Types not listed are ignored where they arrive.
pub mod message_type {
    /// Request, response or event.
    pub const APPLICATION_MESSAGE: i32 = 0;
    /// Error answer.
    pub const APPLICATION_ERROR: i32 = 1;
    /// To be answered with [`PING_RESPONSE`].
    pub const PING: i32 = 2;
    /// Answer to [`PING`].
    pub const PING_RESPONSE: i32 = 3;
    /// First message of a client.
    pub const CONNECT: i32 = 4;
    /// Answer to [`CONNECT`].
    pub const CONNECT_ACK: i32 = 5;
    /// The peer found a fault in the protocol and is about to close.
    pub const PROTOCOL_ERROR: i32 = 6;
    /// The peer failed and is about to close.
    pub const INTERNAL_ERROR: i32 = 7;
}

/// Why bytes are not a frame. All of them end the connection: there is no way to find the next frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is above the limit.
    #[error("the nucleus sent a frame of {size} bytes, more than the {limit} that are allowed")]
    TooLarge {
        /// Length as announced.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Lengths or checksum of the prelude make no sense.
    #[error("the nucleus sent bytes that are no frame: {0}")]
    Malformed(String),
    /// A message cannot be encoded.
    #[error("{0}")]
    Encode(String),
}

/// One message with its three common headers read.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// `:message-type`; −1 where absent or of another type, so that it is ignored like any unknown one.
    pub message_type: i32,
    /// `:message-flags`; 0 where absent.
    pub flags: i32,
    /// `:stream-id`; 0 where absent.
    pub stream_id: i32,
    headers: Vec<Header>,
    /// The payload, JSON where there is one.
    pub payload: Bytes,
}

impl Frame {
    /// A message without further headers.
    pub fn new(message_type: i32, flags: i32, stream_id: i32, payload: impl Into<Bytes>) -> Self {
        Self { message_type, flags, stream_id, headers: Vec::new(), payload: payload.into() }
    }

    /// Adds a text header.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push(Header::new(name, HeaderValue::String(value.to_owned().into())));
        self
    }

    /// A text header's value; names compare without regard to case.
    pub fn text(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().find(|h| h.name().as_str().eq_ignore_ascii_case(name))?.value();
        value.as_string().ok().map(|s| s.as_str())
    }

    /// True if the sender ends the stream with this message.
    pub fn terminates(&self) -> bool {
        self.flags & FLAG_TERMINATE_STREAM != 0
    }

    /// The frame's bytes.
    ///
    /// # Errors
    /// [`FrameError::Encode`] where a header is longer than the protocol allows.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let mut headers = vec![
            Header::new(":message-type", HeaderValue::Int32(self.message_type)),
            Header::new(":message-flags", HeaderValue::Int32(self.flags)),
            Header::new(":stream-id", HeaderValue::Int32(self.stream_id)),
        ];
        headers.extend(self.headers.iter().cloned());
        let message = Message::new_from_parts(headers, self.payload.clone());
        let mut bytes = Vec::with_capacity(256 + self.payload.len());
        write_message_to(&message, &mut bytes).map_err(|e| FrameError::Encode(e.to_string()))?;
        Ok(bytes)
    }

    fn from_message(message: Message) -> Self {
        let number = |name: &str| {
            message.headers().iter().find(|h| h.name().as_str() == name).and_then(|h| h.value().as_int32().ok())
        };
        Self {
            message_type: number(":message-type").unwrap_or(-1),
            flags: number(":message-flags").unwrap_or(0),
            stream_id: number(":stream-id").unwrap_or(0),
            headers: message.headers().to_vec(),
            payload: message.payload().clone(),
        }
    }
}

/// Finds frames in what has been read so far.
#[derive(Debug)]
pub struct FrameReader {
    bytes: BytesMut,
    limit: usize,
}

impl FrameReader {
    /// A reader that accepts frames of up to `limit` bytes in all.
    pub fn new(limit: usize) -> Self {
        Self { bytes: BytesMut::new(), limit }
    }

    /// Where the next bytes go. Never holds more than one unfinished frame and one read.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// True if the last frame is incomplete.
    pub fn is_mid_frame(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The next whole frame, `None` while it is incomplete.
    ///
    /// # Errors
    /// [`FrameError`]; the reader is of no use afterwards.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(prelude) = self.bytes.first_chunk::<PRELUDE_LEN>() else { return Ok(None) };
        let (total, crc) = check_prelude(prelude);
        if !crc {
            return Err(FrameError::Malformed("the checksum of the prelude is wrong".into()));
        }
        if total > self.limit {
            return Err(FrameError::TooLarge { size: total, limit: self.limit });
        }
        if total < MIN_FRAME_LEN {
            return Err(FrameError::Malformed(format!("a length of {total} bytes")));
        }
        if self.bytes.len() < total {
            self.bytes.reserve(total - self.bytes.len());
            return Ok(None);
        }
        let mut frame = self.bytes.split_to(total).freeze();
        let message = read_message_from(&mut frame).map_err(|e| FrameError::Malformed(clean(&e.to_string())))?;
        if frame.has_remaining() {
            return Err(FrameError::Malformed("lengths that do not add up".into()));
        }
        Ok(Some(Frame::from_message(message)))
    }
}

/// The total length, and whether the checksum holds.
fn check_prelude(prelude: &[u8; PRELUDE_LEN]) -> (usize, bool) {
    let [a, b, c, d, h1, h2, h3, h4, w, x, y, z] = *prelude;
    let total = u32::from_be_bytes([a, b, c, d]);
    let crc = crc32(&[a, b, c, d, h1, h2, h3, h4]);
    (usize::try_from(total).unwrap_or(usize::MAX), crc == u32::from_be_bytes([w, x, y, z]))
}

/// CRC-32 (IEEE 802.3), bit by bit: eight bytes a frame do not need a table. Checked here, before the rest of the
/// frame has come, because a wrong length would otherwise be waited for.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let mask = (crc & 1).wrapping_neg();
            crc = (crc >> 1) ^ (0xEDB8_8320 & mask);
        }
    }
    !crc
}
