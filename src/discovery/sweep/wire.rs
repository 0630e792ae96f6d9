//! The datagrams of a sweep: small requests made once, and a reader for what comes back.
//!
//! | request | of | answered by |
//! |---|---|---|
//! | Get of sysObjectID.0, SNMPv2c | each community | agents of v2c |
//! | the same, SNMPv1 | each community | agents of v1 |
//! | Get of nothing by nobody, SNMPv3 | | agents of v3, with a Report of their engine (RFC 3414 §4), whoever their users are |
//!
//! The reader takes any octets: definite lengths that stay inside what they are in, at most four levels, nothing is
//! copied. Of an answer only its kind and its id count; what else is in it is not looked at. The id (request-id, or msgID)
//! has 30 bits, derived from the address with a key that nobody else knows.

/// Which request an answer is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// SNMPv1.
    V1,
    /// SNMPv2c.
    V2c,
    /// SNMPv3.
    V3,
}

/// A request, but for its id.
#[derive(Clone)]
pub(super) struct Question {
    kind: Kind,
    octets: Vec<u8>,
    /// Where the id goes.
    ids: Vec<usize>,
}

// Without the octets: the community is in them.
impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// In place of an id, until there is one: no other octets of a request are these.
const ID: [u8; 4] = [0x55, 0xAA, 0x5A, 0xA5];
/// `sysObjectID.0` as it is encoded.
const SYS_OBJECT_ID: [u8; 8] = [0x2B, 0x06, 0x01, 0x02, 0x01, 0x01, 0x02, 0x00];

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const GET: u8 = 0xA0;
const RESPONSE: u8 = 0xA2;
const REPORT: u8 = 0xA8;

impl Question {
    /// With a community, of at most 255 octets.
    pub(super) fn community(kind: Kind, community: &str) -> Self {
        let version = if kind == Kind::V1 { 0 } else { 1 };
        let variable = tlv(SEQUENCE, &[tlv(OID, &[SYS_OBJECT_ID.to_vec()]), tlv(NULL, &[])]);
        let pdu = get(tlv(SEQUENCE, &[variable]));
        let community = tlv(OCTETS, &[community.bytes().take(255).collect()]);
        Self::new(kind, tlv(SEQUENCE, &[integer(&[version]), community, pdu]))
    }

    /// Discovery of an SNMPv3 engine.
    pub(super) fn engine() -> Self {
        let empty = || tlv(OCTETS, &[]);
        // Answers may have 65,507 octets; reportable, neither authentication nor privacy; user-based security.
        let global = [integer(&ID), integer(&[0x00, 0xFF, 0xE3]), tlv(OCTETS, &[vec![0x04]]), integer(&[3])];
        let usm = tlv(SEQUENCE, &[empty(), integer(&[0]), integer(&[0]), empty(), empty(), empty()]);
        let scoped = tlv(SEQUENCE, &[empty(), empty(), get(tlv(SEQUENCE, &[]))]);
        Self::new(Kind::V3, tlv(SEQUENCE, &[integer(&[3]), tlv(SEQUENCE, &global), tlv(OCTETS, &[usm]), scoped]))
    }

    fn new(kind: Kind, octets: Vec<u8>) -> Self {
        let places = octets.windows(ID.len()).enumerate().filter(|(_, four)| *four == ID).map(|(place, _)| place);
        // A community that holds these very octets stands before the id.
        let ids: Vec<usize> = places.collect();
        let ids = if kind == Kind::V3 { ids } else { ids.last().copied().into_iter().collect() };
        Self { kind, octets, ids }
    }

    /// Which request it is.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The request with this id.
    pub(super) fn with_id(&mut self, id: u32) -> &[u8] {
        for place in &self.ids {
            if let Some(four) = self.octets.get_mut(*place..*place + ID.len()) {
                four.copy_from_slice(&id.to_be_bytes());
            }
        }
        &self.octets
    }
}

/// An id of these bits: four octets, not negative, in their shortest form.
pub(super) fn id(bits: u64) -> u32 {
    (bits as u32 & 0x3FFF_FFFF) | 0x4000_0000
}

fn get(variables: Vec<u8>) -> Vec<u8> {
    tlv(GET, &[integer(&ID), integer(&[0]), integer(&[0]), variables])
}

fn integer(octets: &[u8]) -> Vec<u8> {
    tlv(INTEGER, &[octets.to_vec()])
}

fn tlv(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let length: usize = parts.iter().map(Vec::len).sum();
    let mut octets = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => octets.push(short),
        _ => {
            let length = u16::try_from(length).unwrap_or(u16::MAX);
            octets.push(0x82);
            octets.extend(length.to_be_bytes());
        }
    }
    octets.extend(parts.iter().flatten());
    octets
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    /// To which request it is the answer.
    pub(super) kind: Kind,
    /// Its id.
    pub(super) id: u32,
}

/// Reads a datagram; `None` if it is no answer.
pub(super) fn read(datagram: &[u8]) -> Option<Heard> {
    let mut message = Reader(Reader(datagram).take(SEQUENCE)?);
    let kind = match message.number()? {
        0 => Kind::V1,
        1 => Kind::V2c,
        3 => Kind::V3,
        _ => return None,
    };
    if kind == Kind::V3 {
        let mut global = Reader(message.take(SEQUENCE)?);
        let id = global.number()?;
        let (_size, _flags) = (global.number()?, global.take(OCTETS)?);
        message.take(OCTETS)?;
        let mut scoped = Reader(message.take(SEQUENCE)?);
        let (_engine, _context) = (scoped.take(OCTETS)?, scoped.take(OCTETS)?);
        scoped.take(REPORT)?;
        return Some(Heard { kind, id });
    }
    message.take(OCTETS)?;
    let mut pdu = Reader(message.take(RESPONSE)?);
    let id = pdu.number()?;
    let (_status, _index, _variables) = (pdu.number()?, pdu.number()?, pdu.take(SEQUENCE)?);
    Some(Heard { kind, id })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The contents of the next element, if it has this tag.
    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let (_, rest) = self.0.split_first().filter(|(tag, _)| **tag == wanted)?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ 0..=0x7F => (usize::from(short), rest),
            long @ 0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7F))?;
                (
                    octets
                        .iter()
                        .try_fold(0_usize, |length, octet| length.checked_mul(256)?.checked_add(usize::from(*octet)))?,
                    rest,
                )
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(contents)
    }

    /// A number from 0 to 2^32 - 1.
    fn number(&mut self) -> Option<u32> {
        let octets = self.take(INTEGER)?;
        if octets.is_empty() || octets.len() > 5 || octets.first().is_some_and(|first| first & 0x80 != 0) {
            return None;
        }
        let value = octets.iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
        u32::try_from(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_snmp::message::{CommunityMessage, V3Message};
    use async_snmp::{DecodeConfig, Version};
    use proptest::prelude::*;

    /// What an agent answers to a request: the same with another PDU type.
    fn answer(request: &[u8], from: u8, to: u8) -> Vec<u8> {
        let mut octets = request.to_vec();
        let place = octets.iter().rposition(|octet| *octet == from).unwrap();
        octets[place] = to;
        octets
    }

    #[test]
    fn requests_are_what_the_standard_says() {
        for (kind, version, community) in
            [(Kind::V1, Version::V1, "public".to_owned()), (Kind::V2c, Version::V2c, "x".repeat(200))]
        {
            let octets = Question::community(kind, &community).with_id(id(0x1234)).to_vec();
            let message = CommunityMessage::decode(octets.into(), DecodeConfig::STRICT).unwrap().value;
            assert_eq!((message.version(), message.community().as_bytes()), (version, community.as_bytes()));
            let pdu = message.into_pdu().unwrap();
            assert_eq!(pdu.request_id(), 0x4000_1234);
            assert_eq!(pdu.varbinds()[0].oid.to_string(), "1.3.6.1.2.1.1.2.0");
        }
        let octets = Question::engine().with_id(id(7)).to_vec();
        let message = V3Message::decode(octets.into(), DecodeConfig::STRICT).unwrap().value;
        assert_eq!(message.msg_id(), 0x4000_0007);
    }

    #[test]
    fn answers_are_known_by_their_kind_and_id() {
        for kind in [Kind::V1, Kind::V2c] {
            let mut question = Question::community(kind, "public");
            let request = question.with_id(id(99)).to_vec();
            assert_eq!(read(&request), None, "a request is no answer");
            assert_eq!(read(&answer(&request, GET, RESPONSE)), Some(Heard { kind, id: id(99) }));
        }
        let request = Question::engine().with_id(id(5)).to_vec();
        assert_eq!(read(&request), None);
        assert_eq!(read(&answer(&request, GET, REPORT)), Some(Heard { kind: Kind::V3, id: id(5) }));
        assert!(!format!("{:?}", Question::community(Kind::V1, "hidden")).contains("hidden"));
    }

    #[test]
    fn a_community_that_looks_like_an_id_is_left_alone() {
        let community = String::from_utf8(vec![0x55, 0x5A, 0x5A]).unwrap();
        let mut question = Question::community(Kind::V2c, &community);
        question.with_id(id(1));
        let octets = question.with_id(id(2)).to_vec();
        let message = CommunityMessage::decode(octets.into(), DecodeConfig::STRICT).unwrap().value;
        assert_eq!(message.community().as_bytes(), community.as_bytes());
    }

    #[test]
    fn lying_lengths_are_no_answers() {
        let request = Question::community(Kind::V2c, "public").with_id(id(9)).to_vec();
        let good = answer(&request, GET, RESPONSE);
        for length in 0..good.len() {
            assert_eq!(read(&good[..length]), None);
        }
        for (place, octets) in [(1, [0x84, 0xFF, 0xFF, 0xFF, 0xFF]), (1, [0x80, 0, 0, 0, 0]), (1, [0x88, 1, 1, 1, 1])] {
            let mut bad = good.clone();
            bad.splice(place..=place, octets);
            assert_eq!(read(&bad), None);
        }
        let mut padded = good.clone();
        padded.extend([0; 40]);
        assert!(read(&padded).is_some());
    }

    proptest! {
        #[test]
        fn any_octets_are_borne(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&octets);
        }

        #[test]
        fn changed_answers_are_borne(place in 0_usize..48, octet: u8, engine: bool) {
            let request = if engine { Question::engine() } else { Question::community(Kind::V1, "public") }.with_id(id(3)).to_vec();
            let mut changed = answer(&request, GET, if engine { REPORT } else { RESPONSE });
            let place = place % changed.len();
            changed[place] = octet;
            let _ = read(&changed);
        }

        #[test]
        fn every_id_has_its_shortest_form(bits: u64) {
            prop_assert!((0x4000_0000..=0x7FFF_FFFF).contains(&id(bits)));
        }
    }
}
