//! Messages of versions 1 and 2c, and what all versions share: the encoding of a response PDU, and the room that an
//! agent's longest message leaves for variable bindings.

use super::answer::Reply;
use async_snmp::ber::EncodeBuf;
use async_snmp::message::CommunityMessage;
use async_snmp::pdu::Pdu;
use async_snmp::varbind::encode_varbind_list;
use async_snmp::{DecodeConfig, Version};
use bytes::Bytes;

/// Tag of a response PDU.
const RESPONSE: u8 = 0xa2;
/// Tag of a Report PDU.
pub(super) const REPORT: u8 = 0xa8;
/// Octets of a PDU around its variable bindings: three integers and two long heads.
const PDU_ROOM: usize = 26;
/// Octets of a message around community and PDU: one long head, the version, the community's head.
const MESSAGE_ROOM: usize = 12;

/// A request in a community's name.
pub(super) struct CommunityRequest {
    pub(super) version: Version,
    pub(super) community: Bytes,
    pub(super) pdu: Pdu,
}

impl CommunityRequest {
    /// `None` for what is none.
    pub(super) fn decode(datagram: Bytes) -> Option<CommunityRequest> {
        let message = CommunityMessage::decode(datagram, DecodeConfig::DEFAULT).ok()?.value;
        let community = Bytes::copy_from_slice(message.community().as_bytes());
        Some(CommunityRequest { version: message.version(), community, pdu: message.into_pdu()? })
    }

    /// Room for variable bindings in a message of so many octets.
    pub(super) fn room(&self, longest: usize) -> usize {
        longest.saturating_sub(PDU_ROOM + MESSAGE_ROOM + self.community.len())
    }

    /// The answer on the wire.
    pub(super) fn encode(&self, reply: &Reply) -> Option<Bytes> {
        let mut buffer = EncodeBuf::with_capacity(512);
        buffer
            .push_sequence(|buffer| {
                encode_pdu(buffer, RESPONSE, reply)?;
                buffer.push_octet_string(&self.community)?;
                buffer.push_integer(self.version.as_i32());
                Ok(())
            })
            .ok()?;
        Some(buffer.finish())
    }
}

/// A scoped PDU (RFC 3412 §6) with a response or a Report.
pub(super) fn encode_scoped(tag: Option<u8>, engine: &[u8], context: &[u8], reply: &Reply) -> Option<Bytes> {
    let mut buffer = EncodeBuf::with_capacity(512);
    buffer
        .push_sequence(|buffer| {
            encode_pdu(buffer, tag.unwrap_or(RESPONSE), reply)?;
            buffer.push_octet_string(context)?;
            buffer.push_octet_string(engine)
        })
        .ok()?;
    Some(buffer.finish())
}

/// Octets of a message of version 3 around its variable bindings, at most.
pub(super) fn v3_room(user: usize, context: usize) -> usize {
    // Header 30, security parameters 12 + engine 32 + user + 48 of authentication + 10 of privacy, padding 8.
    PDU_ROOM + 30 + 12 + 32 + user + 50 + 10 + 8 + 40 + context
}

/// The buffer is filled from the end.
fn encode_pdu(buffer: &mut EncodeBuf, tag: u8, reply: &Reply) -> async_snmp::Result<()> {
    buffer.push_constructed(tag, |buffer| {
        encode_varbind_list(buffer, &reply.varbinds)?;
        buffer.push_integer(reply.index);
        buffer.push_integer(reply.status);
        buffer.push_integer(reply.request_id);
        Ok(())
    })
}
