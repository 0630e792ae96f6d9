//! IPC frames: AWS event-stream messages with the headers of Greengrass IPC, within the runtime's size.
//!
//! Frame: u32 total length, u32 headers length, u32 CRC of these, headers, payload, u32 CRC of all (big-endian). The
//! codec is `aws-smithy-eventstream`; here are the length check before anything is read, the deadline, and the headers
//! `:message-type`, `:message-flags`, `:stream-id`.

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

pub(super) const APPLICATION_MESSAGE: i32 = 0;
pub(super) const APPLICATION_ERROR: i32 = 1;
pub(super) const PING: i32 = 2;
pub(super) const PING_RESPONSE: i32 = 3;
pub(super) const CONNECT: i32 = 4;
pub(super) const CONNECT_ACK: i32 = 5;

pub(super) const CONNECTION_ACCEPTED: i32 = 1;
pub(super) const TERMINATE_STREAM: i32 = 2;

/// Length of the prelude: two lengths and their CRC.
const PRELUDE: usize = 12;
/// A frame's memory grows by so much at a time, as its bytes come: a length alone costs nothing.
const CHUNK: usize = 64 * 1024;
/// Once a frame began its rest follows within this time.
const REST: Duration = Duration::from_secs(10);

/// Why no frame could be read. Each ends the connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("reading from the component: {0}")]
    Io(#[from] std::io::Error),
    #[error("a frame of {0} bytes does not fit into the {1} bytes of the IPC buffer")]
    TooLong(usize, usize),
    #[error("a frame stopped half way for {} s", REST.as_secs())]
    Stalled,
    #[error("not an event-stream frame: {0}")]
    Malformed(String),
    #[error("the header {0} is missing or of the wrong type")]
    Header(&'static str),
}

/// One message with its common headers taken out.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: i32,
    pub(super) flags: i32,
    pub(super) stream: i32,
    /// Header `operation`, on requests.
    pub(super) operation: Option<String>,
    /// Header `:version`, on connect.
    pub(super) version: Option<String>,
    pub(super) payload: Bytes,
}

impl Frame {
    /// Reads the next frame, of which at most `max` bytes follow the prelude; `None` at an orderly end.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin), max: usize) -> Result<Option<Self>, FrameError> {
        // The wait for a frame's first byte has no deadline: a component may be silent for days.
        let mut first = [0];
        if from.read(&mut first).await? == 0 {
            return Ok(None);
        }
        let rest_of_frame = async {
            let mut bytes = vec![0; PRELUDE];
            bytes[..1].copy_from_slice(&first);
            from.read_exact(&mut bytes[1..]).await?;
            let total = bytes.first_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b)) as usize;
            if total < PRELUDE + 4 {
                return Err(FrameError::Malformed(format!("a length of {total} bytes")));
            }
            if total > PRELUDE + max {
                return Err(FrameError::TooLong(total, max));
            }
            while bytes.len() < total {
                let at = bytes.len();
                bytes.resize(total.min(at + CHUNK), 0);
                if let Some(rest) = bytes.get_mut(at..) {
                    from.read_exact(rest).await?;
                }
            }
            Ok(bytes)
        };
        let bytes = tokio::time::timeout(REST, rest_of_frame).await.map_err(|_| FrameError::Stalled)??;
        Self::decode(&bytes).map(Some)
    }

    /// Decodes one whole frame.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let message = read_message_from(bytes).map_err(|e| FrameError::Malformed(e.to_string()))?;
        let find = |name: &str| message.headers().iter().find(|h| h.name().as_str() == name).map(Header::value);
        let number = |name: &'static str| match find(name) {
            Some(HeaderValue::Int32(value)) => Ok(*value),
            _ => Err(FrameError::Header(name)),
        };
        let text = |name: &'static str| match find(name) {
            Some(HeaderValue::String(value)) => Ok(Some(value.as_str().to_owned())),
            Some(_) => Err(FrameError::Header(name)),
            None => Ok(None),
        };
        Ok(Self {
            kind: number(":message-type")?,
            flags: number(":message-flags")?,
            stream: number(":stream-id")?,
            operation: text("operation")?,
            version: text(":version")?,
            payload: message.payload().clone(),
        })
    }
}

/// Encodes one frame; `None` when it takes more than `max` bytes or a text does not fit into a header.
pub(super) fn encode(
    kind: i32,
    flags: i32,
    stream: i32,
    texts: &[(&str, &str)],
    payload: Vec<u8>,
    max: usize,
) -> Option<Bytes> {
    let mut headers = vec![
        Header::new(":message-type", HeaderValue::Int32(kind)),
        Header::new(":message-flags", HeaderValue::Int32(flags)),
        Header::new(":stream-id", HeaderValue::Int32(stream)),
    ];
    for (name, text) in texts {
        headers.push(Header::new((*name).to_owned(), HeaderValue::String((*text).to_owned().into())));
    }
    let mut bytes = Vec::with_capacity(payload.len() + 256);
    write_message_to(&Message::new_from_parts(headers, payload), &mut bytes).ok()?;
    (bytes.len() <= max).then(|| bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 10_000;

    fn sample() -> Bytes {
        encode(0, 0, 7, &[("operation", "aws.greengrass#UpdateState")], b"{}".to_vec(), MAX).unwrap()
    }

    #[tokio::test]
    async fn a_frame_is_read_back_as_written() {
        let bytes = [sample(), sample()].concat();
        let mut from = &bytes[..];
        for _ in 0..2 {
            let frame = Frame::read(&mut from, MAX).await.unwrap().unwrap();
            assert_eq!((frame.kind, frame.flags, frame.stream), (0, 0, 7));
            assert_eq!(frame.operation.as_deref(), Some("aws.greengrass#UpdateState"));
            assert_eq!(&frame.payload[..], b"{}");
        }
        assert!(Frame::read(&mut from, MAX).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_length_is_checked_before_anything_is_kept() {
        let mut bytes = sample().to_vec();
        bytes[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(Frame::read(&mut &bytes[..], MAX).await, Err(FrameError::TooLong(..))));
        bytes[..4].copy_from_slice(&3u32.to_be_bytes());
        assert!(matches!(Frame::read(&mut &bytes[..], MAX).await, Err(FrameError::Malformed(_))));
        assert!(encode(0, 0, 1, &[], vec![0; MAX], MAX).is_none());
    }

    #[tokio::test]
    async fn a_large_frame_is_read_in_pieces() {
        let payload: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        let bytes = encode(0, 0, 1, &[], payload.clone(), 1 << 20).unwrap();
        let frame = Frame::read(&mut &bytes[..], 1 << 20).await.unwrap().unwrap();
        assert_eq!(&frame.payload[..], &payload[..]);
        assert!(matches!(Frame::read(&mut &bytes[..bytes.len() - 1], 1 << 20).await, Err(FrameError::Io(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0usize..90, byte: u8, cut in 0usize..90, junk: Vec<u8>) {
            let mut bytes = sample().to_vec();
            let at = at.min(bytes.len() - 1);
            bytes[at] ^= byte;
            let _ = Frame::decode(&bytes);
            let _ = Frame::decode(&bytes[..cut.min(bytes.len())]);
            let _ = Frame::decode(&junk);
        }
    }
}
