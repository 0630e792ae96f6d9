//! Tests of the SNMP agent.

use super::*;
use async_snmp::message::CommunityMessage;
use async_snmp::{DecodeConfig, Oid, VarBind};
use proptest::prelude::*;
use std::sync::LazyLock;

static AGENT: LazyLock<Agent> = LazyLock::new(|| {
    let mut recording = Recording::default();
    let lines: Vec<String> = (1..200)
        .map(|n| format!("1.3.6.1.2.1.43.{}.{n}|{}", n % 7, if n % 5 == 0 { "70|7" } else { "4x|00ff00ff00ff00ff" }))
        .collect();
    assert_eq!(recording.add("", lines.join("\n").as_bytes()), []);
    Agent::new(Source::Recorded(Arc::new(recording), None), Access::default(), Instant::now())
});

fn request(version: u8, kind: u8, first: i32, second: i32, oids: &[Vec<u32>]) -> Vec<u8> {
    let mut buffer = async_snmp::ber::EncodeBuf::new();
    let varbinds: Vec<VarBind> = oids.iter().map(|arcs| VarBind::null(Oid::from_slice(arcs))).collect();
    buffer
        .push_sequence(|buffer| {
            buffer.push_constructed(kind, |buffer| {
                async_snmp::varbind::encode_varbind_list(buffer, &varbinds)?;
                buffer.push_integer(second);
                buffer.push_integer(first);
                buffer.push_integer(42);
                Ok(())
            })?;
            buffer.push_octet_string(b"public")?;
            buffer.push_integer(version.into());
            Ok(())
        })
        .unwrap();
    buffer.finish_vec()
}

fn arcs() -> impl Strategy<Value = Vec<u32>> {
    let near = (0..8u32, 0..210u32).prop_map(|(a, b)| vec![1, 3, 6, 1, 2, 1, 43, a, b]);
    let far = proptest::collection::vec(any::<u32>(), 0..30).prop_map(|rest| [vec![1, 3], rest].concat());
    prop_oneof![near, far]
}

proptest! {
    #[test]
    fn no_datagram_breaks_it(datagram in proptest::collection::vec(any::<u8>(), 0..600)) {
        AGENT.handle(&datagram, Instant::now());
    }

    #[test]
    fn answers_are_well_formed_and_no_longer_than_the_agent_sends(
        version in 0..2u8,
        kind in 0xa0..0xa8u8,
        first in any::<i32>(),
        second in any::<i32>(),
        oids in proptest::collection::vec(arcs(), 0..40),
    ) {
        if let Some(sent) = AGENT.handle(&request(version, kind, first, second, &oids), Instant::now()) {
            // A refusal carries the bindings of the request, however many these were.
            let message = CommunityMessage::decode(sent.answer.clone(), DecodeConfig::STRICT).unwrap().value;
            let pdu = message.into_pdu().unwrap();
            prop_assert_eq!(pdu.request_id(), 42);
            prop_assert!(pdu.error_status() != 0 || sent.answer.len() <= AGENT.longest, "{}", sent.answer.len());
        }
    }

    #[test]
    fn a_request_changed_anywhere_does_not_break_it(
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
        kind in 0xa0..0xa8u8,
        oids in proptest::collection::vec(arcs(), 1..5),
    ) {
        for version in [0, 1, 3] {
            let mut datagram = request(version, kind, 0, 10, &oids);
            let at = at.index(datagram.len());
            datagram[at] = to;
            AGENT.handle(&datagram, Instant::now());
        }
    }
}
