//! Answers as the hostile faults send them.

use super::fault::Fault;
use super::server::{Body, full};
use super::service::{Answer, Request};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use ipp::model::StatusCode as IppStatus;
use std::time::Duration;
use tokio::time::sleep;

/// What a fault sends instead of the answer.
pub(super) fn spoilt_body(fault: &Fault, request: &Request, answer: &Bytes) -> Option<Body> {
    let head = |rest: &[u8]| {
        let mut head = Answer::new(IppStatus::SuccessfulOk).encode(request);
        head.pop(); // the end-of-attributes tag
        head.extend_from_slice(&[0x04]);
        head.extend_from_slice(rest);
        head
    };
    match fault {
        Fault::Garbage => Some(full(noise(4096).into())),
        Fault::Trickle(millis) => {
            let (answer, pause) = (answer.clone(), Duration::from_millis(*millis));
            let bytes = stream::unfold(0, move |at| {
                let byte = (at < answer.len()).then(|| answer.slice(at..=at));
                async move {
                    let byte = byte?;
                    sleep(pause).await;
                    Some((Ok(Frame::data(byte)), at + 1))
                }
            });
            Some(BodyExt::boxed_unsync(StreamBody::new(bytes)))
        }
        Fault::Huge(bytes) => {
            let begin = Bytes::from(head(b"\x41\x00\x0ehuge-attribute\x00\x01x"));
            let value: Vec<u8> = [b"\x41\x00\x00\x03\xff".as_slice(), &[b'x'; 1023]].concat();
            let block = Bytes::from(value.repeat(64));
            let blocks = bytes.div_ceil(block.len() as u64);
            let parts = (0..blocks + 2).map(move |index| match index {
                0 => begin.clone(),
                index if index <= blocks => block.clone(),
                _ => Bytes::from_static(&[0x03]),
            });
            Some(BodyExt::boxed_unsync(StreamBody::new(stream::iter(parts.map(|part| Ok(Frame::data(part)))))))
        }
        Fault::Nested(bytes) => {
            let depth = usize::try_from(bytes / 16).unwrap_or(1).max(1);
            let mut body = head(b"\x34\x00\x06nested\x00\x00");
            body.extend(b"\x4a\x00\x00\x00\x01m\x34\x00\x00\x00\x00".repeat(depth));
            body.extend(b"\x37\x00\x00\x00\x00".repeat(depth + 1));
            body.push(0x03);
            Some(full(body.into()))
        }
        _ => None,
    }
}

/// The same noise every time: a test that fails can be repeated.
pub(super) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(bytes)
    .collect()
}
