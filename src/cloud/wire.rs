//! The documents on the wire, as types: what the gateway says to the cloud and what the cloud says to it.
//!
//! Every document is one JSON object in UTF-8. What the gateway sends is a [`Message`]: the envelope `id` (random),
//! `at` (RFC 3339, UTC) and `gateway`, with the fields of one body beside them. The schemas in `docs/schema/` are
//! generated from these types ([`schemas`]); a test holds them together.
//!
//! | topic | type |
//! |---|---|
//! | `…/{printer}/print/submit` | [`Ticket`] (how to write one; `domain::ticket` reads what arrives) |
//! | `…/{printer}/print/control` | [`Control`] |
//! | `…/{printer}/print/status` | [`Message`]`<`[`JobReport`]`>` |
//! | `…/{printer}/status` | [`Message`]`<`[`PrinterReport`]`>` |
//! | `…/{printer}/event` | [`Message`]`<`[`EventReport`]`>` |
//! | `…/telemetry` | [`Message`]`<`[`Telemetry`]`>` |
//! | `…/status` | [`Message`]`<`[`GatewayReport`]`>` |
//! | `…/echo`, `…/{printer}/echo` | [`Message`]`<`[`EchoProbe`]`>` |
//! | `$aws/things/…/shadow/…/update` | [`ShadowUpdate`], answered by [`ShadowAccepted`] or [`ShadowRejected`] |
//!
//! Invariants: a document sent is at most [`MAX_MESSAGE_BYTES`] long ([`encode`] refuses more, so a caller clips its
//! texts before); fields that are not known are absent, never `null`. Reading is lenient: unknown fields are ignored.
//!
//! Not here: what a ticket may say (`domain::ticket`), what a shadow contains (`domain::state`), confirmation.

mod control;
mod reports;
mod shadow;
mod ticket;
mod topics;

pub use control::{Control, ControlAction, ControlError};
pub use reports::{
    Configuration, EventKind, EventReport, GatewayEvent, GatewayReport, JobError, JobReport, JobStatus, OutboxState,
    Pages, PrinterCounts, PrinterReport, Telemetry, TelemetryRecord, UnservedPrinter, UnservedPrinters,
    telemetry_batches,
};
pub use shadow::{NotBoolean, ShadowAccepted, ShadowDelta, ShadowRejected, ShadowState, ShadowUpdate};
pub use ticket::{ColorMode, DocumentSource, OnOutage, S3Object, Ticket, TicketDocument, TicketOptions};
pub use topics::{Inbound, Topics};

use crate::domain::ids::{GatewayName, MessageId};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

/// The longest document sent, in bytes: what comes back through nucleus lite (4,980 B) with a margin.
pub const MAX_MESSAGE_BYTES: usize = 4_096;

/// A message of the gateway: the envelope and one body, side by side in one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Message<B> {
    /// Random identifier: the same message sent twice carries the same one.
    pub id: MessageId,
    /// When what it tells happened, by the gateway's clock.
    pub at: Timestamp,
    /// The gateway's thing name.
    pub gateway: GatewayName,
    /// What it tells.
    #[serde(flatten)]
    pub body: B,
}

impl<B> Message<B> {
    /// Puts `body` in an envelope.
    pub fn new(id: MessageId, at: Timestamp, gateway: GatewayName, body: B) -> Self {
        Self { id, at, gateway, body }
    }
}

/// The body of the probe on `…/echo`: nothing but the envelope, whose coming back is the message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EchoProbe {}

/// The `id` of a message that came in, for finding what it is the echo of. Nothing for what is no message.
pub fn message_id(payload: &[u8]) -> Option<MessageId> {
    #[derive(Deserialize)]
    struct Id {
        id: MessageId,
    }
    serde_json::from_slice::<Id>(payload).ok().map(|message| message.id)
}

/// Why a document was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("the {what} document is {bytes} bytes long, {MAX_MESSAGE_BYTES} are allowed: shorten its texts and lists")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
    /// A value JSON cannot carry.
    #[error("the {what} document is not JSON: {error}")]
    NotJson {
        /// Which document.
        what: &'static str,
        /// The reason.
        #[source]
        error: serde_json::Error,
    },
}

/// Encodes a document of at most [`MAX_MESSAGE_BYTES`]; `what` names it in the error.
pub fn encode<T: Serialize>(what: &'static str, document: &T) -> Result<Vec<u8>, EncodeError> {
    let bytes = serde_json::to_vec(document).map_err(|error| EncodeError::NotJson { what, error })?;
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(EncodeError::TooLarge { what, bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Shortens a text to at most `max` bytes at a character boundary, marking the cut with `…` where it fits.
pub fn clip(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mark = if max >= 3 { "…" } else { "" };
    let mut end = max.saturating_sub(mark.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    format!("{}{mark}", text.get(..end).unwrap_or_default())
}

/// The schema of each document, with the stem of its file in `docs/schema/`.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    let mut all = vec![
        ("print-status", schema_for!(Message<JobReport>)),
        ("status", schema_for!(Message<PrinterReport>)),
        ("event", schema_for!(Message<EventReport>)),
        ("telemetry", schema_for!(Message<Telemetry>)),
        ("gateway-status", schema_for!(Message<GatewayReport>)),
        ("ticket", schema_for!(Ticket)),
        ("control", schema_for!(Control)),
        ("shadow-update", schema_for!(ShadowUpdate)),
        ("shadow-accepted", schema_for!(ShadowAccepted)),
        ("shadow-rejected", schema_for!(ShadowRejected)),
    ];
    for (name, schema) in &mut all {
        schema.insert("title".into(), (*name).into());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_never_splits_a_character_and_never_exceeds() {
        assert_eq!(clip("short", 10), "short");
        for max in 0..12 {
            let cut = clip("äöüäöüäöü", max);
            assert!(cut.len() <= max, "{cut} {max}");
        }
        assert_eq!(clip("abcdefgh", 6), "abc…");
    }

    #[test]
    fn an_echo_is_known_by_its_id() {
        let id = MessageId::from_random([3; 16]);
        let gateway = GatewayName::new("gw").unwrap();
        let message = Message::new(id.clone(), Timestamp::UNIX_EPOCH, gateway, EchoProbe {});
        let bytes = encode("echo", &message).unwrap();
        assert_eq!(message_id(&bytes), Some(id));
        assert_eq!(serde_json::from_slice::<Message<EchoProbe>>(&bytes).unwrap(), message);
        for bad in ["", "[]", "{}", r#"{"id":7}"#, r#"{"id":"short"}"#, "{\"id\":"] {
            assert_eq!(message_id(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn an_oversized_document_is_refused_with_its_length() {
        let error = encode("test", &"x".repeat(5_000)).unwrap_err();
        assert!(matches!(error, EncodeError::TooLarge { bytes: 5_002, .. }), "{error}");
    }
}
