//! Agents that misbehave: a UDP socket with hand-made answers.

use super::client;
use async_snmp::message::CommunityMessage;
use async_snmp::{DecodeConfig, Oid, PduType, Version};
use bytes::Bytes;
use printgate::snmp::client::{Error, MAX_REQUESTS, MAX_ROWS, Patience};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// A request as an agent sees it.
struct Asked {
    version: Version,
    kind: PduType,
    id: i32,
    oids: Vec<Oid>,
}

/// Answers with whatever a function makes of a request: any number of datagrams.
struct Agent {
    address: SocketAddr,
    requests: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Agent {
    async fn start(answer: impl Fn(&Asked) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let requests = Arc::new(AtomicU32::new(0));
        let count = requests.clone();
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let request = Bytes::copy_from_slice(&buffer[..length]);
                let message = CommunityMessage::decode(request, DecodeConfig::DEFAULT).unwrap().value;
                let version = message.version();
                let pdu = message.into_pdu().unwrap();
                let asked = Asked {
                    version,
                    kind: pdu.pdu_type(),
                    id: pdu.request_id(),
                    oids: pdu.varbinds().iter().map(|variable| variable.oid.clone()).collect(),
                };
                count.fetch_add(1, Ordering::SeqCst);
                for datagram in answer(&asked) {
                    socket.send_to(&datagram, from).await.unwrap();
                }
            }
        });
        Self { address, requests, task }
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

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
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

fn integer(n: i32) -> Vec<u8> {
    tlv(2, &n.to_be_bytes())
}

fn object(oid: &Oid) -> Vec<u8> {
    tlv(6, &oid.to_ber().unwrap())
}

fn response(asked: &Asked, id: i32, error: (i32, i32), variables: &[(Oid, Vec<u8>)]) -> Vec<u8> {
    let list: Vec<u8> =
        variables.iter().flat_map(|(oid, value)| tlv(0x30, &[object(oid), value.clone()].concat())).collect();
    let pdu = [integer(id), integer(error.0), integer(error.1), tlv(0x30, &list)].concat();
    let version = if asked.version == Version::V1 { 0 } else { 1 };
    tlv(0x30, &[integer(version), tlv(4, b"public"), tlv(0xa2, &pdu)].concat())
}

/// What a modest printer says to the first question, so that the walks begin.
fn system(asked: &Asked) -> Option<Vec<u8>> {
    (asked.kind == PduType::GetRequest).then(|| {
        let variables: Vec<_> = asked.oids.iter().map(|oid| (oid.clone(), tlv(4, b"x"))).collect();
        response(asked, asked.id, (0, 0), &variables)
    })
}

#[tokio::test]
async fn silence_ends_in_time_and_says_what_was_tried() {
    let agent = Agent::start(|_| vec![]).await;
    let started = Instant::now();
    let error = client(&["public"]).await.poll(agent.address, Patience::Short).await.unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert!(error.to_string().contains("SNMPv2c, SNMPv1"), "{error}");
    // Two rounds of two logins.
    assert_eq!(agent.requests(), 4);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn garbage_wrong_ids_and_strangers_count_for_nothing() {
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let stranger = stranger.into_std().unwrap();
    let agent = Agent::start(move |asked| {
        let right = system(asked).unwrap_or_else(|| {
            let end: Vec<_> = asked.oids.iter().map(|oid| (oid.clone(), vec![0x82, 0])).collect();
            response(asked, asked.id, (0, 0), &end)
        });
        let other = Asked { version: asked.version, kind: asked.kind, id: asked.id ^ 0x5555, oids: asked.oids.clone() };
        let wrong_id = response(&other, other.id, (0, 0), &[(asked.oids[0].clone(), tlv(4, b"forged"))]);
        let mut cut = right.clone();
        cut.truncate(right.len() / 2);
        vec![vec![], vec![0xff; 600], wrong_id, cut, b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), right]
    })
    .await;
    drop(stranger);
    let (mib, how) = client(&["public"]).await.read(agent.address, Patience::Short).await.unwrap();
    assert_eq!(mib.len(), 5, "only the system group, from the right answer: {mib:?}");
    assert_eq!(how.login, "SNMPv2c");
}

#[tokio::test]
async fn an_agent_that_goes_round_in_circles_ends_the_column_not_the_gateway() {
    let agent = Agent::start(|asked| {
        if let Some(answer) = system(asked) {
            return vec![answer];
        }
        // Always the same two rows of each column, again and again.
        let mut variables = Vec::new();
        for row in [1, 2, 1, 2] {
            for oid in &asked.oids {
                let column = Oid::from_slice(&oid.arcs()[..oid.arcs().len().min(11)]);
                variables.push((column.child(1).child(row), integer(7)));
            }
        }
        vec![response(asked, asked.id, (0, 0), &variables)]
    })
    .await;
    let (_, how) = client(&["public"]).await.read(agent.address, Patience::Short).await.unwrap();
    assert!(how.requests < 40, "{how:?}");
}

#[tokio::test]
async fn endless_tables_are_cut() {
    let agent = Agent::start(|asked| {
        if let Some(answer) = system(asked) {
            return vec![answer];
        }
        // The next row always exists.
        let mut at = asked.oids.clone();
        let mut variables = Vec::new();
        for _ in 0..8 {
            for oid in &mut at {
                let arcs = oid.arcs();
                let (last, front) = arcs.split_last().unwrap();
                *oid = if arcs.len() <= 11 { oid.child(1).child(1) } else { Oid::from_slice(front).child(last + 1) };
                variables.push((oid.clone(), tlv(4, &[b'z'; 64])));
            }
        }
        vec![response(asked, asked.id, (0, 0), &variables)]
    })
    .await;
    let client = client(&["public"]).await;
    let read = timeout(Duration::from_secs(60), client.read(agent.address, Patience::Short));
    let (mib, how) = read.await.unwrap().unwrap();
    println!("{} variables, {how:?}", mib.len());
    assert!(how.requests <= MAX_REQUESTS && mib.len() <= 60 * MAX_ROWS, "{how:?} {}", mib.len());
}

#[tokio::test]
async fn an_object_that_is_missing_costs_a_version_1_agent_one_question_more() {
    let agent = Agent::start(|asked| {
        if asked.version != Version::V1 {
            return vec![];
        }
        let missing = asked.oids.iter().position(|oid| oid.arcs().ends_with(&[6, 0]));
        let answer = match (asked.kind, missing) {
            (PduType::GetRequest, Some(place)) => response(asked, asked.id, (2, place as i32 + 1), &[]),
            (PduType::GetRequest, None) => return vec![system(asked).unwrap()],
            // The end of everything.
            _ => response(asked, asked.id, (2, 1), &[]),
        };
        vec![answer]
    })
    .await;
    let (mib, how) = client(&["public"]).await.read(agent.address, Patience::Long).await.unwrap();
    assert_eq!((how.login.as_str(), mib.len()), ("SNMPv1", 4));
}

#[tokio::test]
async fn too_big_is_asked_for_in_smaller_pieces() {
    let agent = Agent::start(|asked| {
        if let Some(answer) = system(asked) {
            return vec![answer];
        }
        if asked.kind == PduType::GetBulkRequest || asked.oids.len() > 2 {
            return vec![response(asked, asked.id, (1, 0), &[])];
        }
        let row = |oid: &Oid| {
            let arcs = oid.arcs();
            // One row for each column, then out of it.
            if arcs.len() <= 11 { oid.child(1).child(1) } else { Oid::from_slice(&[1, 3, 9]) }
        };
        let variables: Vec<_> = asked.oids.iter().map(|oid| (row(oid), integer(1))).collect();
        vec![response(asked, asked.id, (0, 0), &variables)]
    })
    .await;
    let (mib, how) = client(&["public"]).await.read(agent.address, Patience::Short).await.unwrap();
    println!("{} variables, {how:?}", mib.len());
    assert!(mib.len() > 30, "{}", mib.len());
}

#[tokio::test]
async fn an_agent_that_hangs_at_a_table_fails_twice_and_is_then_read_without_it() {
    let supplies = Oid::from_slice(&[1, 3, 6, 1, 2, 1, 43, 11]);
    let agent = Agent::start(move |asked| {
        if let Some(answer) = system(asked) {
            return vec![answer];
        }
        if asked.oids.iter().any(|oid| oid.starts_with(&supplies)) {
            return vec![];
        }
        let end: Vec<_> = asked.oids.iter().map(|oid| (oid.clone(), vec![0x82, 0])).collect();
        vec![response(asked, asked.id, (0, 0), &end)]
    })
    .await;
    let client = client(&["public"]).await;
    for _ in 0..2 {
        let error = client.read(agent.address, Patience::Short).await.unwrap_err();
        assert!(matches!(&error, Error::Stalled { group: "prtMarkerSuppliesTable", .. }), "{error}");
    }
    assert_eq!(client.read(agent.address, Patience::Short).await.unwrap().0.len(), 5);
}
