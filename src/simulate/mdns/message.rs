//! DNS messages (RFC 1035 §4) as far as multicast DNS needs them.
//!
//! Names are kept in wire form: length-prefixed labels and the root. The parser takes anything from the network: it
//! ends, and reads at most [`MAX_QUESTIONS`] questions and as many records as the datagram holds; names have at most 255
//! bytes, and compression pointers lead back only, at most [`MAX_JUMPS`] times.

use std::collections::HashMap;

/// Questions of one message.
pub(super) const MAX_QUESTIONS: usize = 64;
const MAX_JUMPS: usize = 32;
const MAX_NAME: usize = 255;
/// Known answers with less time left than this are asked for again (half of the record's time, RFC 6762 §7.1).
const FRESH: u32 = 2_250;
const PTR: u16 = 12;
const IN: u16 = 1;
/// Answer, authoritative.
const RESPONSE: u16 = 0x8400;
/// Largest one-shot answer (RFC 6762 §6.7 leaves it to DNS).
const ONE_SHOT: usize = 8_000;
/// Longest time a one-shot asker is told to keep an answer, seconds.
const ONE_SHOT_TTL: u32 = 10;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: Vec<u8>,
    pub(super) kind: u16,
    class: u16,
}

/// What was received.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: u16,
    pub(super) is_answer: bool,
    /// More known answers follow.
    pub(super) truncated: bool,
    pub(super) questions: Vec<Question>,
    /// PTR records that the asker has: name and target in lower case.
    pub(super) known: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A record to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: Vec<u8>,
    pub(super) kind: u16,
    /// It replaces what others kept of this name and type.
    pub(super) flush: bool,
    pub(super) ttl: u32,
    pub(super) data: Data,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    Name(Vec<u8>),
    Srv { port: u16, target: Vec<u8> },
    Bytes(Vec<u8>),
}

/// Records that belong into one datagram.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) answers: Vec<Record>,
    pub(super) additional: Vec<Record>,
}

/// A name in wire form; labels are cut at 63 bytes.
pub(super) fn wire_name<'a>(labels: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut name = Vec::new();
    for label in labels {
        let mut end = label.len().min(63);
        while !label.is_char_boundary(end) {
            end -= 1;
        }
        if end > 0 {
            name.push(end as u8);
            name.extend_from_slice(label.as_bytes().get(..end).unwrap_or_default());
        }
    }
    name.push(0);
    name
}

impl Message {
    /// Reads a datagram; `None` when it is no message.
    pub(super) fn parse(bytes: &[u8]) -> Option<Message> {
        let mut reader = Reader { bytes, at: 0 };
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let (questions, answers) = (reader.u16()?, reader.u16()?);
        reader.skip(4)?;
        let mut message = Message {
            id,
            is_answer: flags & 0x8000 != 0,
            truncated: flags & 0x0200 != 0,
            questions: Vec::new(),
            known: Vec::new(),
        };
        if message.is_answer {
            return Some(message);
        }
        for _ in 0..questions {
            let question = Question { name: reader.name()?, kind: reader.u16()?, class: reader.u16()? };
            if message.questions.len() < MAX_QUESTIONS {
                message.questions.push(question);
            }
        }
        for _ in 0..answers {
            // What cannot be read ends the list: an answer too many does no harm.
            let Some((name, kind, ttl, end)) = reader.record_head() else { break };
            if kind == PTR && ttl >= FRESH {
                let Some(target) = reader.name() else { break };
                message.known.push((name.to_ascii_lowercase(), target.to_ascii_lowercase()));
            }
            reader.at = end;
        }
        Some(message)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u8(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    /// Name, type, time to live, and where the record ends; the reader is at its data.
    fn record_head(&mut self) -> Option<(Vec<u8>, u16, u32, usize)> {
        let (name, kind) = (self.name()?, self.u16()?);
        self.u16()?;
        let (ttl, length) = (self.u32()?, self.u16()?);
        let end = self.at.checked_add(usize::from(length)).filter(|end| *end <= self.bytes.len())?;
        Some((name, kind, ttl, end))
    }

    fn name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        let mut back = None;
        let mut jumps = 0;
        loop {
            let length = self.u8()?;
            match length & 0xc0 {
                0 if length == 0 => break,
                0 => {
                    name.push(length);
                    let label = self.bytes.get(self.at..self.at + usize::from(length))?;
                    name.extend_from_slice(label);
                    self.at += usize::from(length);
                    if name.len() >= MAX_NAME {
                        return None;
                    }
                }
                0xc0 => {
                    let here = self.at - 1;
                    let target = usize::from(length & 0x3f) << 8 | usize::from(self.u8()?);
                    back = back.or(Some(self.at));
                    jumps += 1;
                    if target >= here || jumps > MAX_JUMPS {
                        return None;
                    }
                    self.at = target;
                }
                _ => return None,
            }
        }
        if let Some(back) = back {
            self.at = back;
        }
        name.push(0);
        Some(name)
    }
}

/// Datagrams of at most this size, unless one group is larger.
pub(super) fn pack(groups: &[Group], largest: usize) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    let mut rest = groups;
    while !rest.is_empty() {
        let mut size = HEADER;
        let fits = rest.iter().take_while(|group| {
            size += group.size();
            size <= largest
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        let mut writer = Writer::new(0, &[]);
        writer.groups(now, None);
        datagrams.push(writer.bytes);
        rest = later;
    }
    datagrams
}

/// The answer to an asker that does not listen to the group: one datagram with the question in it.
pub(super) fn one_shot(id: u16, questions: &[Question], groups: &[Group]) -> Vec<Vec<u8>> {
    let mut size = HEADER + questions.iter().map(|question| question.name.len() + 4).sum::<usize>();
    let fits = groups.iter().take_while(|group| {
        size += group.size();
        size <= ONE_SHOT
    });
    let fits = fits.count();
    let mut writer = Writer::new(id, questions);
    writer.groups(groups.get(..fits).unwrap_or_default(), Some(ONE_SHOT_TTL));
    vec![writer.bytes]
}

const HEADER: usize = 12;

impl Group {
    /// Bytes it takes without compression.
    fn size(&self) -> usize {
        let data = |data: &Data| match data {
            Data::Name(name) => name.len(),
            Data::Srv { target, .. } => target.len() + 6,
            Data::Bytes(bytes) => bytes.len(),
        };
        self.answers.iter().chain(&self.additional).map(|record| record.name.len() + 10 + data(&record.data)).sum()
    }
}

struct Writer {
    bytes: Vec<u8>,
    /// Where names and their endings begin.
    names: HashMap<Vec<u8>, u16>,
}

impl Writer {
    fn new(id: u16, questions: &[Question]) -> Writer {
        let mut writer = Writer { bytes: Vec::new(), names: HashMap::new() };
        for number in [id, RESPONSE, u16::try_from(questions.len()).unwrap_or_default(), 0, 0, 0] {
            writer.u16(number);
        }
        for question in questions {
            writer.name(&question.name);
            writer.u16(question.kind);
            writer.u16(question.class & 0x7fff);
        }
        writer
    }

    fn u16(&mut self, number: u16) {
        self.bytes.extend(number.to_be_bytes());
    }

    fn set(&mut self, at: usize, number: usize) {
        let number = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
        if let Some(place) = self.bytes.get_mut(at..at + 2) {
            place.copy_from_slice(&number);
        }
    }

    fn groups(&mut self, groups: &[Group], one_shot: Option<u32>) {
        let (mut answers, mut additional) = (0, 0);
        for record in groups.iter().flat_map(|group| &group.answers) {
            self.record(record, one_shot);
            answers += 1;
        }
        for record in groups.iter().flat_map(|group| &group.additional) {
            self.record(record, one_shot);
            additional += 1;
        }
        self.set(6, answers);
        self.set(10, additional);
    }

    fn record(&mut self, record: &Record, one_shot: Option<u32>) {
        self.name(&record.name);
        self.u16(record.kind);
        self.u16(if record.flush && one_shot.is_none() { 0x8000 | IN } else { IN });
        let ttl = one_shot.map_or(record.ttl, |most| record.ttl.min(most));
        self.bytes.extend(ttl.to_be_bytes());
        let length = self.bytes.len();
        self.u16(0);
        match &record.data {
            Data::Name(name) => self.name(name),
            Data::Srv { port, target } => {
                self.bytes.extend([0; 4]);
                self.u16(*port);
                self.name(target);
            }
            Data::Bytes(bytes) => self.bytes.extend_from_slice(bytes),
        }
        self.set(length, self.bytes.len() - length - 2);
    }

    /// A name, with its ending replaced by a pointer to where that is already.
    fn name(&mut self, mut name: &[u8]) {
        while let Some((length, rest)) = name.split_first().filter(|(length, _)| **length > 0) {
            if let Some(at) = self.names.get(name) {
                let at = *at;
                self.u16(0xc000 | at);
                return;
            }
            if let Some(at) = u16::try_from(self.bytes.len()).ok().filter(|at| *at < 0x4000) {
                self.names.insert(name.to_vec(), at);
            }
            let (label, after) = rest.split_at(usize::from(*length).min(rest.len()));
            self.bytes.push(*length);
            self.bytes.extend_from_slice(label);
            name = after;
        }
        self.bytes.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(name: Vec<u8>, target: Vec<u8>) -> Record {
        Record { name, kind: PTR, flush: false, ttl: 4_500, data: Data::Name(target) }
    }

    /// What is written as an answer and asked with as a known answer is read back.
    #[test]
    fn records_are_read_back_from_compressed_names() {
        let kind = wire_name(["_ipp", "_tcp", "local"]);
        let names = ["Laser [2.floor]", "Photo", "Laser [2.floor]"];
        let targets: Vec<Vec<u8>> = names.iter().map(|name| wire_name([*name, "_ipp", "_tcp", "local"])).collect();
        let answers = targets.iter().map(|target| record(kind.clone(), target.clone())).collect();
        let mut bytes = pack(&[Group { answers, additional: Vec::new() }], 9_000).remove(0);
        assert!(bytes.len() < 120, "compressed: {}", bytes.len());
        bytes[2] = 0;
        let known = Message::parse(&bytes).unwrap().known;
        let expected: Vec<_> = targets.iter().map(|target| (kind.clone(), target.to_ascii_lowercase())).collect();
        assert_eq!(known, expected);
    }

    #[test]
    fn datagrams_keep_their_size_and_every_group() {
        let kind = wire_name(["_ipp", "_tcp", "local"]);
        let groups: Vec<Group> = (0..100)
            .map(|n| {
                let target = wire_name([format!("Printer {n}").as_str(), "_ipp", "_tcp", "local"]);
                Group { answers: vec![record(kind.clone(), target)], additional: Vec::new() }
            })
            .collect();
        let datagrams = pack(&groups, 500);
        assert!(datagrams.len() > 5 && datagrams.iter().all(|datagram| datagram.len() <= 500));
        let answers: usize = datagrams.iter().map(|datagram| usize::from(datagram[7])).sum();
        assert_eq!(answers, 100);
    }

    #[test]
    fn a_pointer_to_itself_ends() {
        let head = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for name in [[0xc0, 12, 0, 12, 0, 1], [0xc0, 13, 0, 12, 0, 1], [0x80, 0, 0, 12, 0, 1], [63, 0, 0, 12, 0, 1]] {
            assert!(Message::parse(&[head.as_slice(), &name].concat()).is_none());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_datagram_is_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::parse(&bytes);
        }

        /// Near to a real query, so that the reader gets further.
        #[test]
        fn any_names_are_read(tail in prop::collection::vec(prop::sample::select(vec![0u8, 1, 3, 12, 0xc0, 0xff, b'a']), 0..200)) {
            let bytes = [&[0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0], tail.as_slice()].concat();
            let _ = Message::parse(&bytes);
        }
    }
}
