//! A request PDU in, a response PDU out: RFC 1157 §4.1 for version 1, RFC 3416 §4.2 for the others.
//!
//! | | version 1 | versions 2c and 3 |
//! |---|---|---|
//! | Get of an unknown object | noSuchName, the whole request fails | noSuchObject or noSuchInstance in its place |
//! | GetNext behind the last | noSuchName | endOfMibView |
//! | Counter64 | as if it were not there | served |
//! | answer longer than the agent sends | tooBig, bindings as asked | tooBig without bindings; GetBulk is cut short |
//! | Set | noSuchName | notWritable |
//!
//! Other PDUs (responses, traps, informs) get no answer.

use super::objects::Objects;
use async_snmp::pdu::{Pdu, PduType};
use async_snmp::{ErrorStatus, Oid, Value, VarBind, Version};

/// A response before it is encoded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) request_id: i32,
    /// error-status.
    pub(super) status: i32,
    /// error-index.
    pub(super) index: i32,
    pub(super) varbinds: Vec<VarBind>,
}

impl Reply {
    pub(super) fn error(pdu: &Pdu, version: Version, status: ErrorStatus, index: usize) -> Reply {
        // An error carries the bindings of the request; only tooBig since version 2 carries none (RFC 3416 §4.2.1).
        let varbinds = match (version, status) {
            (Version::V2c | Version::V3, ErrorStatus::TooBig) => Vec::new(),
            _ => pdu.varbinds().to_vec(),
        };
        let index = i32::try_from(index).unwrap_or(i32::MAX);
        Reply { request_id: pdu.request_id(), status: status.as_i32(), index, varbinds }
    }
}

/// The answer, when there is one. `room` is how many bytes of variable bindings fit the agent's longest message.
pub(super) fn answer(pdu: &Pdu, version: Version, objects: &dyn Objects, room: usize) -> Option<Reply> {
    let reply = match pdu.pdu_type() {
        PduType::GetRequest => each(pdu, version, |oid| get(objects, version, oid)),
        PduType::GetNextRequest => each(pdu, version, |oid| next(objects, version, oid)),
        PduType::GetBulkRequest if version != Version::V1 => return Some(bulk(pdu, objects, room)),
        PduType::SetRequest => {
            let status = if version == Version::V1 { ErrorStatus::NoSuchName } else { ErrorStatus::NotWritable };
            Reply::error(pdu, version, status, usize::from(!pdu.varbinds().is_empty()))
        }
        _ => return None,
    };
    let length: usize = reply.varbinds.iter().map(VarBind::encoded_size).sum();
    if length > room && reply.status == 0 {
        return Some(Reply::error(pdu, version, ErrorStatus::TooBig, 0));
    }
    Some(reply)
}

fn each(pdu: &Pdu, version: Version, find: impl Fn(&Oid) -> Option<VarBind>) -> Reply {
    let mut varbinds = Vec::with_capacity(pdu.varbinds().len());
    for (index, asked) in pdu.varbinds().iter().enumerate() {
        match find(&asked.oid) {
            Some(varbind) => varbinds.push(varbind),
            None => return Reply::error(pdu, version, ErrorStatus::NoSuchName, index + 1),
        }
    }
    Reply { request_id: pdu.request_id(), status: 0, index: 0, varbinds }
}

/// `None`: noSuchName.
fn get(objects: &dyn Objects, version: Version, oid: &Oid) -> Option<VarBind> {
    let value = match (objects.get(oid), version) {
        (Some(Value::Counter64(_)) | None, Version::V1) => return None,
        (Some(value), _) => value,
        (None, _) if oid.parent().is_some_and(|parent| objects.knows(&parent)) => Value::NoSuchInstance,
        (None, _) => Value::NoSuchObject,
    };
    Some(VarBind::new(oid.clone(), value))
}

/// `None`: noSuchName.
fn next(objects: &dyn Objects, version: Version, oid: &Oid) -> Option<VarBind> {
    let mut found = objects.next(oid);
    if version == Version::V1 {
        // Ends, as the identifiers increase, even where a looping agent goes round: not more than a walk's worth.
        for _ in 0..MAX_SKIPPED {
            match found {
                Some((at, Value::Counter64(_))) => found = objects.next(&at),
                _ => break,
            }
        }
        return found
            .filter(|(_, value)| !matches!(value, Value::Counter64(_)))
            .map(|(oid, value)| VarBind::new(oid, value));
    }
    Some(match found {
        Some((oid, value)) => VarBind::new(oid, value),
        None => VarBind::new(oid.clone(), Value::EndOfMibView),
    })
}

/// Counter64 objects in a row that version 1 passes over.
const MAX_SKIPPED: usize = 10_000;

/// GetBulk (RFC 3416 §4.2.3): as many bindings as fit, whole rows not being required.
fn bulk(pdu: &Pdu, objects: &dyn Objects, room: usize) -> Reply {
    let (non_repeaters, repetitions) = pdu.get_bulk_fields().unwrap_or((0, 0));
    let single = usize::try_from(non_repeaters).unwrap_or(usize::MAX).min(pdu.varbinds().len());
    let (single, repeated) = pdu.varbinds().split_at(single);
    let mut reply = Reply { request_id: pdu.request_id(), status: 0, index: 0, varbinds: Vec::new() };
    let mut left = room;
    let mut push = |reply: &mut Reply, varbind: VarBind| {
        let length = varbind.encoded_size();
        let fits = length <= left;
        if fits {
            left -= length;
            reply.varbinds.push(varbind);
        }
        fits
    };
    for asked in single {
        let Some(varbind) = next(objects, Version::V2c, &asked.oid) else { return reply };
        if !push(&mut reply, varbind) {
            return Reply::error(pdu, Version::V2c, ErrorStatus::TooBig, 0);
        }
    }
    let mut cursors: Vec<Oid> = repeated.iter().map(|asked| asked.oid.clone()).collect();
    for _ in 0..repetitions {
        let mut ended = true;
        for cursor in &mut cursors {
            let Some(varbind) = next(objects, Version::V2c, cursor) else { return reply };
            ended &= matches!(varbind.value, Value::EndOfMibView);
            *cursor = varbind.oid.clone();
            if !push(&mut reply, varbind) {
                // Not even one fits: say so instead of an empty answer that looks like the end.
                let nothing = reply.varbinds.is_empty();
                return if nothing { Reply::error(pdu, Version::V2c, ErrorStatus::TooBig, 0) } else { reply };
            }
        }
        if ended {
            break;
        }
    }
    reply
}
