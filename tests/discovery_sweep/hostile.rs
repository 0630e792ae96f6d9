//! Agents that misbehave beside one that does not, non-printers, and another context.

use super::common::{corpus, netns};
use super::office::{office, printer};
use super::{client, communities, options, run, sweep};
use async_snmp::message::{CommunityMessage, V3Message};
use async_snmp::{DecodeConfig, Oid, PduType, Version};
use bytes::Bytes;
use printgate::discovery::sweep::Sweep;
use printgate::simulate::snmp::{Access, RecordAgent, Recording};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What came to an agent.
pub(crate) enum Asked {
    Community { version: Version, kind: PduType, id: i32, oids: Vec<Oid> },
    V3 { id: i32 },
}

/// Where an answer comes from.
#[derive(Clone, Copy)]
pub(crate) enum From {
    Itself,
    /// Another address, port 161.
    Address([u8; 4]),
    /// Another port.
    Port(u16),
}

/// Answers with whatever a function makes of a request.
pub(crate) struct Agent {
    requests: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Agent {
    pub(crate) async fn start(
        address: [u8; 4],
        from: From,
        answer: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::from(address), 161)).await.unwrap();
        let other = match from {
            From::Itself => None,
            From::Address(other) => Some(UdpSocket::bind((Ipv4Addr::from(other), 161)).await.unwrap()),
            From::Port(port) => Some(UdpSocket::bind((Ipv4Addr::from(address), port)).await.unwrap()),
        };
        let requests = Arc::new(AtomicU32::new(0));
        let count = requests.clone();
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, to) = socket.recv_from(&mut buffer).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let Some(asked) = asked(Bytes::copy_from_slice(&buffer[..length])) else { continue };
                for datagram in answer(&asked) {
                    // One that asks and does not listen any more.
                    let _ = other.as_ref().unwrap_or(&socket).send_to(&datagram, to).await;
                }
            }
        });
        Self { requests, task }
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn asked(request: Bytes) -> Option<Asked> {
    if let Ok(message) = CommunityMessage::decode(request.clone(), DecodeConfig::DEFAULT) {
        let version = message.value.version();
        let pdu = message.value.into_pdu()?;
        let oids = pdu.varbinds().iter().map(|variable| variable.oid.clone()).collect();
        return Some(Asked::Community { version, kind: pdu.pdu_type(), id: pdu.request_id(), oids });
    }
    let message = V3Message::decode(request, DecodeConfig::DEFAULT).ok()?.value;
    Some(Asked::V3 { id: message.msg_id() })
}

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut all = vec![tag];
    match content.len() {
        short @ 0..=127 => all.push(short as u8),
        long => {
            all.push(0x82);
            all.extend((long as u16).to_be_bytes());
        }
    }
    all.extend(content);
    all
}

fn integer(value: i32) -> Vec<u8> {
    tlv(2, &value.to_be_bytes())
}

/// The encoding of an OID, without tag and length.
fn oid(arcs: &[u32]) -> Vec<u8> {
    let mut octets = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for arc in &arcs[2..] {
        let mut groups = vec![(arc & 0x7F) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        octets.extend(groups.iter().rev());
    }
    octets
}

pub(crate) fn response(version: Version, id: i32, variables: &[(Vec<u32>, Vec<u8>)]) -> Vec<u8> {
    let list: Vec<u8> =
        variables.iter().flat_map(|(name, value)| tlv(0x30, &[tlv(6, &oid(name)), value.clone()].concat())).collect();
    let pdu = tlv(0xA2, &[integer(id), integer(0), integer(0), tlv(0x30, &list)].concat());
    let version = if version == Version::V1 { 0 } else { 1 };
    tlv(0x30, &[integer(version), tlv(4, b"public"), pdu].concat())
}

/// What a Get of the sweep is answered with.
pub(crate) fn right(asked: &Asked, more: i32) -> Vec<Vec<u8>> {
    match asked {
        Asked::Community { version, id, oids, .. } => {
            let variables: Vec<_> = oids.iter().map(|name| (name.arcs().to_vec(), tlv(4, b"a thing"))).collect();
            vec![response(*version, id.wrapping_add(more), &variables)]
        }
        Asked::V3 { .. } => vec![],
    }
}

/// A Report of unknown engines, by this engine.
fn report(id: i32, engine: &[u8]) -> Vec<u8> {
    let global = [integer(id), integer(65_507), tlv(4, &[0]), integer(3)].concat();
    let usm = tlv(0x30, &[tlv(4, engine), integer(1), integer(100), tlv(4, b""), tlv(4, b""), tlv(4, b"")].concat());
    let unknown = oid(&[1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0]);
    let variable = tlv(0x30, &[tlv(6, &unknown), tlv(0x41, &[1])].concat());
    let pdu = tlv(0xA8, &[integer(id), integer(0), integer(0), tlv(0x30, &variable)].concat());
    let scoped = tlv(0x30, &[tlv(4, engine), tlv(4, b""), pdu].concat());
    tlv(0x30, &[integer(3), tlv(0x30, &global), tlv(4, &usm), scoped].concat())
}

#[test]
fn hostile_agents_are_counted_and_ignored() {
    netns::inside("hostile::hostile_agents_are_counted_and_ignored", || run(hostile()));
}

async fn hostile() {
    let (office, _directory) = office(vec![printer("Good", [127, 8, 0, 100], "office-colour")]).await;
    let wrong_id = Agent::start([127, 8, 0, 1], From::Itself, |asked| right(asked, 1)).await;
    let lying = Agent::start([127, 8, 0, 2], From::Itself, |asked| {
        let mut datagrams = right(asked, 0);
        for datagram in &mut datagrams {
            datagram.splice(1..2, [0x84, 0x7F, 0xFF, 0xFF, 0xFF]);
        }
        datagrams.push(vec![]);
        datagrams.push(vec![0xFF; 4_000]);
        datagrams
    });
    // With the right id, from an address that is swept too, from one that is not, and from another port.
    let beside = Agent::start([127, 8, 0, 3], From::Address([127, 8, 0, 33]), |asked| right(asked, 0));
    let outside = Agent::start([127, 8, 0, 4], From::Address([127, 9, 0, 4]), |asked| right(asked, 0));
    let port = Agent::start([127, 8, 0, 5], From::Port(1_161), |asked| right(asked, 0));
    let flood = Agent::start([127, 8, 0, 6], From::Itself, |asked| (0..200).flat_map(|_| right(asked, 0)).collect());
    // Another engine in each answer.
    let engines = Agent::start([127, 8, 0, 7], From::Itself, {
        let count = AtomicU32::new(0);
        move |asked| match asked {
            Asked::V3 { id } => {
                let n = count.fetch_add(1, Ordering::SeqCst);
                vec![report(*id, &[&[0x80, 0, 0, 11, 5][..], &n.to_be_bytes()].concat())]
            }
            Asked::Community { .. } => vec![],
        }
    });
    // Every column goes on for ever.
    let endless = Agent::start([127, 8, 0, 8], From::Itself, |asked| match asked {
        Asked::Community { kind: PduType::GetRequest, .. } => right(asked, 0),
        Asked::Community { version, id, oids, .. } => {
            let variables: Vec<_> = oids
                .iter()
                .map(|name| {
                    let mut arcs = name.arcs().to_vec();
                    match arcs.last_mut().filter(|_| name.arcs().len() > 11) {
                        Some(last) => *last += 1,
                        None => arcs.extend([1, 1]),
                    }
                    (arcs, integer(7))
                })
                .collect();
            vec![response(*version, *id, &variables)]
        }
        Asked::V3 { .. } => vec![],
    });
    let (lying, beside, outside, port, flood, engines, endless) =
        (lying.await, beside.await, outside.await, port.await, flood.await, engines.await, endless.await);

    let mut source = Sweep::new(options(&["127.8.0.0/24"]), client(communities(&["public"])).await);
    let swept = sweep(&mut source).await;
    let printers: Vec<&str> = swept.keys().into_iter().filter(|key| !key.contains('/')).collect();
    assert!(printers.contains(&"snmp:127.8.0.100"), "{printers:?}");
    for address in
        ["127.8.0.1", "127.8.0.2", "127.8.0.3", "127.8.0.33", "127.8.0.4", "127.8.0.5", "127.8.0.6", "127.8.0.7"]
    {
        assert!(!printers.contains(&format!("snmp:{address}").as_str()), "{printers:?}");
    }
    // The good one, the flood, the engines, the endless one; nobody else counts as having answered.
    assert_eq!(swept.progress.answered, 4);
    assert!(swept.ignored("a wrong id") >= 4, "its own, and the one from beside: {:?}", swept.progress.ignored);
    assert!(swept.ignored("no SNMP answer") >= 6);
    assert!(swept.ignored("from somebody who was not asked") >= 4);
    assert!(swept.ignored("a further answer") >= 199);
    for (agent, most) in [(&wrong_id, 10), (&lying, 10), (&beside, 10), (&outside, 10), (&port, 10), (&engines, 40)] {
        assert!((1..=most).contains(&agent.requests()), "{}", agent.requests());
    }
    assert!(flood.requests() < 500 && endless.requests() < 1_200, "{} {}", flood.requests(), endless.requests());
    office.shutdown().await;
}

#[test]
fn what_is_no_printer_is_not_reported() {
    netns::inside("hostile::what_is_no_printer_is_not_reported", || run(non_printers()));
}

/// A Windows host with a print queue in hrDeviceTable, a switch, and an agent that knows only the system group.
const NON_PRINTERS: [(&str, &str); 3] = [
    (
        "127.8.1.1",
        "1.3.6.1.2.1.1.1.0|4|Hardware: Intel64 - Software: Windows Version 6.3\n\
         1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.311.1.1.3.1.2\n\
         1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.5\n\
         1.3.6.1.2.1.25.3.2.1.3.1|4|Microsoft XPS Document Writer\n\
         1.3.6.1.2.1.25.3.5.1.1.1|2|3\n",
    ),
    (
        "127.8.1.2",
        "1.3.6.1.2.1.1.1.0|4|24-port switch\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.11.2.3.7.11.1\n\
         1.3.6.1.2.1.2.2.1.3.1|2|6\n",
    ),
    ("127.8.1.3", "1.3.6.1.2.1.1.1.0|4|Linux\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.8072.3.2.10\n"),
];

async fn non_printers() {
    let directory = tempfile::tempdir().unwrap();
    let mut agents = Vec::new();
    for (address, text) in NON_PRINTERS {
        let path = directory.path().join(format!("{address}.snmprec"));
        std::fs::write(&path, text).unwrap();
        agents.push(serve(&path, address).await);
    }
    let mut source = Sweep::new(options(&["127.8.1.0/24"]), client(communities(&["public"])).await);
    let swept = sweep(&mut source).await;
    assert_eq!(swept.keys(), Vec::<&str>::new());
    assert_eq!((swept.progress.answered, swept.progress.not_printers, swept.progress.printers), (3, 3, 0));
}

#[test]
fn a_printer_whose_tables_are_in_another_context_is_one() {
    netns::inside("hostile::a_printer_whose_tables_are_in_another_context_is_one", || {
        let Some(corpus) = corpus() else { return };
        run(async {
            let _agent = serve(&corpus.join("snmp/hp-color-laserjet-m452nw-context.snmprec"), "127.8.2.9").await;
            let mut source = Sweep::new(options(&["127.8.2.0/26"]), client(communities(&["public"])).await);
            let swept = sweep(&mut source).await;
            assert_eq!(swept.progress.printers, 1);
            assert_eq!(swept.sighting("snmp:127.8.2.9").evidence.make.as_deref(), Some("HP"));
        });
    });
}

async fn serve(path: &std::path::Path, address: &str) -> RecordAgent {
    let (recording, bad) = Recording::load(path).unwrap();
    assert!(bad.is_empty(), "{bad:?}");
    let address = SocketAddr::new(address.parse().unwrap(), 161);
    RecordAgent::start(Arc::new(recording), Access::default(), address).await.unwrap()
}
