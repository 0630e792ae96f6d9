//! The door of the embedded broker: the port that everybody connects to, with AWS IoT Core's quotas at it.
//!
//! ```text
//! client ──TCP──▶ front ──TCP──▶ broker (another port, changes when the broker is killed)
//! ```
//! Every packet is read, held against [`Quotas`] and passed on unchanged. What AWS throws away is not passed on; where
//! AWS ends the connection it ends (to an MQTT 5 client it says why first). Deliveries that are too many wait here
//! (QoS 1) or are thrown away (QoS 0); what a persistent session had stored comes at its own rate, and messages that
//! come meanwhile wait behind it. Without quotas all is passed on.
//!
//! While there is no broker (it was killed), connections end with a reset as soon as they are made.
//!
//! What it does not do: account-wide quotas, one CONNECT a second of a client id, requests to `$aws` topics that AWS
//! does not know (AWS may end the connection).

use super::packet::{self, Connect, Packet};
use super::quota::{Bucket, Quotas};
use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt, BufReader, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const MAX_CLIENTS: usize = 256;
/// A new connection says CONNECT within this time.
const GREETING: Duration = Duration::from_secs(10);
const DIAL: Duration = Duration::from_secs(5);
/// A client that takes nothing for so long is disconnected.
const WRITE: Duration = Duration::from_secs(30);
/// Deliveries that wait for one client; more stay with the broker.
const WAITING: usize = 1_000;
const CHANNEL: usize = 64;
const BUFFER: usize = 16 * 1024;

/// What the front did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuotaStatus {
    /// Publishes thrown away because a connection published too many.
    pub throttled_in: u64,
    /// Deliveries at QoS 0 thrown away because a connection got too many.
    pub throttled_out: u64,
    /// Connections ended because a client broke a rule.
    pub closed: u64,
}

#[derive(Default)]
struct Counters {
    throttled_in: AtomicU64,
    throttled_out: AtomicU64,
    closed: AtomicU64,
}

/// A running front.
pub(super) struct Front {
    address: SocketAddr,
    counters: Arc<Counters>,
}

impl Front {
    /// Binds `127.0.0.1:port` (0: any) and relays to wherever `backend` says.
    pub(super) async fn start(
        port: u16,
        backend: watch::Receiver<Option<SocketAddr>>,
        quotas: Option<Quotas>,
        tasks: &TaskTracker,
        end: CancellationToken,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let shared = Arc::new(Shared { backend, quotas, counters: counters.clone() });
        tasks.spawn(serve(listener, shared, tasks.clone(), end));
        Ok(Self { address, counters })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn status(&self) -> QuotaStatus {
        let counters = &self.counters;
        QuotaStatus {
            throttled_in: counters.throttled_in.load(Ordering::Relaxed),
            throttled_out: counters.throttled_out.load(Ordering::Relaxed),
            closed: counters.closed.load(Ordering::Relaxed),
        }
    }
}

struct Shared {
    backend: watch::Receiver<Option<SocketAddr>>,
    quotas: Option<Quotas>,
    counters: Arc<Counters>,
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker, end: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (Ok((client, _)), Ok(permit)) = (accepted, room.clone().try_acquire_owned()) else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (shared, end) = (shared.clone(), end.clone());
        tasks.spawn(async move {
            let _permit = permit;
            let mut backend = shared.backend.clone();
            let Some(address) = *backend.borrow_and_update() else {
                // A reset rather than an end, as from a port where nobody listens.
                let _ = client.set_zero_linger();
                return;
            };
            tokio::select! {
                () = end.cancelled() => {}
                _ = backend.changed() => {}
                () = relay(client, address, &shared) => {}
            }
        });
    }
}

/// Why the front ends a connection: for the log, and the reason code for MQTT 5.
struct Violation {
    reason: &'static str,
    code: u8,
}

const fn violation(reason: &'static str, code: u8) -> Violation {
    Violation { reason, code }
}

async fn relay(client: TcpStream, backend: SocketAddr, shared: &Shared) {
    let broker = match tokio::time::timeout(DIAL, TcpStream::connect(backend)).await {
        Ok(Ok(broker)) => broker,
        Ok(Err(_)) | Err(_) => return,
    };
    // A relay must not add the delays of Nagle's algorithm to those of the two ends.
    if client.set_nodelay(true).is_err() || broker.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let mut from_client = BufReader::with_capacity(BUFFER, from_client);
    let mut to_broker = BufWriter::with_capacity(BUFFER, to_broker);
    let first = tokio::time::timeout(GREETING, Packet::read(&mut from_client)).await;
    let Ok(Ok(Some(first))) = first else { return };
    let Some(connect) = (first.kind() == packet::CONNECT).then(|| first.connect()).flatten() else { return };
    if to_broker.write_all(&first.bytes).await.is_err() || to_broker.flush().await.is_err() {
        return;
    }
    let level = connect.level;
    let (say, farewell) = mpsc::channel(1);
    let inward = async {
        match upstream(&mut from_client, &mut to_broker, &connect, shared).await {
            Some(violation) => {
                shared.counters.closed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(client = connect.client_id, reason = violation.reason, "MQTT connection closed");
                if level >= 5 && say.send(vec![0xe0, 1, violation.code]).await.is_ok() {
                    // The other direction ends the connection once it is written.
                    say.closed().await;
                }
            }
            // The client closed, perhaps after a DISCONNECT: what it wrote is with the broker.
            None => drop(to_broker.shutdown().await),
        }
    };
    let outward = downstream(from_broker, to_client, level, shared, farewell);
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}

/// From the client to the broker, until it closes (`None`) or must be closed.
async fn upstream(
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut BufWriter<OwnedWriteHalf>,
    connect: &Connect,
    shared: &Shared,
) -> Option<Violation> {
    let mut rules = shared.quotas.as_ref().map(|quotas| Rules::new(quotas, connect.level));
    loop {
        let packet = match Packet::read(from).await {
            Ok(Some(packet)) => packet,
            Ok(None) => return None,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Some(violation("a packet that is not MQTT, or far too large", 0x95));
            }
            Err(_) => return None,
        };
        let pass = match &mut rules {
            None => true,
            Some(rules) => {
                let wait = rules.octets.borrow(u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX), Instant::now());
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                match rules.check(&packet) {
                    Ok(pass) => pass,
                    Err(violation) => return Some(violation),
                }
            }
        };
        if pass {
            to.write_all(&packet.bytes).await.ok()?;
        } else {
            shared.counters.throttled_in.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(client = connect.client_id, "publish throttled");
        }
        if from.buffer().is_empty() {
            to.flush().await.ok()?;
        }
    }
}

/// One connection against the quotas.
struct Rules<'a> {
    quotas: &'a Quotas,
    level: u8,
    publishes: Bucket,
    octets: Bucket,
    filters: BTreeSet<String>,
}

impl<'a> Rules<'a> {
    fn new(quotas: &'a Quotas, level: u8) -> Self {
        let now = Instant::now();
        Self {
            quotas,
            level,
            publishes: Bucket::new(quotas.messages_per_second, now),
            octets: Bucket::new(quotas.octets_per_second, now),
            filters: BTreeSet::new(),
        }
    }

    /// Whether the packet is passed on.
    fn check(&mut self, packet: &Packet) -> Result<bool, Violation> {
        const MALFORMED: Violation = violation("a malformed packet", 0x81);
        match packet.kind() {
            packet::CONNECT => Err(violation("a second CONNECT", 0x82)),
            packet::PUBLISH => {
                let publish = packet.publish(self.level).ok_or(MALFORMED)?;
                if publish.qos > 1 {
                    return Err(violation("QoS 2", 0x9b));
                }
                if publish.payload > self.quotas.payload {
                    return Err(violation("a payload over the limit", 0x95));
                }
                // A topic alias of MQTT 5 leaves the topic empty.
                if !self.quotas.allows_topic(publish.topic) {
                    return Err(violation("a topic that is too long or has too many slashes", 0x90));
                }
                Ok(self.publishes.take(1, Instant::now()))
            }
            packet::SUBSCRIBE => {
                let filters = packet.filters(self.level).ok_or(MALFORMED)?;
                if filters.len() > self.quotas.filters {
                    return Err(violation("too many topic filters in one SUBSCRIBE", 0x97));
                }
                if filters.iter().any(|filter| !self.quotas.allows_topic(filter)) {
                    return Err(violation("a topic filter that is too long or has too many slashes", 0x8f));
                }
                self.filters.extend(filters.into_iter().map(str::to_owned));
                if self.filters.len() > self.quotas.subscriptions {
                    return Err(violation("too many subscriptions on one connection", 0x97));
                }
                Ok(true)
            }
            packet::UNSUBSCRIBE => {
                for filter in packet.filters(self.level).ok_or(MALFORMED)? {
                    self.filters.remove(filter);
                }
                Ok(true)
            }
            _ => Ok(true),
        }
    }
}

/// From the broker to the client, until either is gone or the farewell is said.
async fn downstream(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    level: u8,
    shared: &Shared,
    mut farewell: mpsc::Receiver<Vec<u8>>,
) {
    let (queue, mut packets) = mpsc::channel(CHANNEL);
    // Reading a packet must not be broken off half way: a task of its own, that ends with the channel.
    let reader = tokio::spawn(async move {
        let mut from = BufReader::with_capacity(BUFFER, from);
        while let Ok(Some(packet)) = Packet::read(&mut from).await {
            if queue.send(packet).await.is_err() {
                return;
            }
        }
    });
    let _reader = AbortOnDrop(reader.abort_handle());
    let mut to = BufWriter::with_capacity(BUFFER, to);
    let mut pace = shared.quotas.as_ref().map(Pace::new);
    loop {
        let now = Instant::now();
        let due = pace.as_mut().and_then(|pace| pace.due(now));
        let full = pace.as_ref().is_some_and(|pace| pace.waiting.len() >= WAITING);
        let packet = tokio::select! {
            bytes = farewell.recv() => {
                if let Some(bytes) = bytes {
                    let _ = tokio::time::timeout(WRITE, async { to.write_all(&bytes).await?; to.flush().await }).await;
                }
                break;
            }
            () = until(due) => pace.as_mut().and_then(|pace| pace.next(Instant::now())),
            packet = packets.recv(), if !full => match packet {
                None => break,
                Some(packet) => match &mut pace {
                    None => Some(packet),
                    Some(pace) => match pace.admit(packet, level, Instant::now()) {
                        Admitted::Now(packet) => Some(packet),
                        Admitted::Later => None,
                        Admitted::Never => {
                            shared.counters.throttled_out.fetch_add(1, Ordering::Relaxed);
                            None
                        }
                    },
                },
            },
        };
        let Some(packet) = packet else { continue };
        let written = async {
            to.write_all(&packet.bytes).await?;
            if packets.is_empty() { to.flush().await } else { Ok(()) }
        };
        if !matches!(tokio::time::timeout(WRITE, written).await, Ok(Ok(()))) {
            break;
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

enum Admitted {
    Now(Packet),
    Later,
    Never,
}

/// The rate of deliveries to one connection.
struct Pace {
    usual: Bucket,
    /// Until what a persistent session had stored is delivered.
    backlog: Option<Bucket>,
    waiting: VecDeque<Packet>,
    backlog_per_second: u32,
    /// Until when what comes is taken for the backlog: the broker sends it right after CONNACK.
    backlog_until: Option<Instant>,
}

/// A broker has sent all that it had stored so long after CONNACK, unless something waits here still.
const BACKLOG: Duration = Duration::from_millis(500);

impl Pace {
    fn new(quotas: &Quotas) -> Self {
        Self {
            usual: Bucket::new(quotas.messages_per_second, Instant::now()),
            backlog: None,
            waiting: VecDeque::new(),
            backlog_per_second: quotas.backlog_per_second,
            backlog_until: None,
        }
    }

    fn bucket(&mut self, now: Instant) -> &mut Bucket {
        if self.waiting.is_empty() && self.backlog_until.is_none_or(|until| until <= now) {
            self.backlog = None;
        }
        self.backlog.as_mut().unwrap_or(&mut self.usual)
    }

    fn admit(&mut self, packet: Packet, level: u8, now: Instant) -> Admitted {
        match packet.kind() {
            packet::CONNACK => {
                if packet.session_present() {
                    self.backlog = Some(Bucket::holding(self.backlog_per_second, 1, now));
                    self.backlog_until = Some(now + BACKLOG);
                }
                return Admitted::Now(packet);
            }
            packet::PUBLISH => {}
            _ => return Admitted::Now(packet),
        }
        if self.waiting.is_empty() && self.bucket(now).take(1, now) {
            return Admitted::Now(packet);
        }
        let in_backlog = self.backlog.is_some();
        if !in_backlog && packet.publish(level).is_none_or(|publish| publish.qos == 0) {
            return Admitted::Never;
        }
        self.waiting.push_back(packet);
        Admitted::Later
    }

    /// When the next one that waits may go.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        Some(self.bucket(now).ready_at(now))
    }

    fn next(&mut self, now: Instant) -> Option<Packet> {
        if self.waiting.is_empty() || !self.bucket(now).take(1, now) {
            return None;
        }
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn packet(bytes: &[u8]) -> Packet {
        Packet::read(&mut &*bytes).await.unwrap().unwrap()
    }

    async fn publish(qos: u8) -> Packet {
        packet(if qos == 0 { b"\x30\x03\0\x01a" } else { b"\x32\x05\0\x01a\0\x01" }).await
    }

    #[tokio::test]
    async fn of_too_many_deliveries_qos_1_waits_and_qos_0_is_thrown_away() {
        let (quotas, now) = (Quotas::default(), Instant::now());
        let mut pace = Pace::new(&quotas);
        for _ in 0..100 {
            assert!(matches!(pace.admit(publish(1).await, 4, now), Admitted::Now(_)));
        }
        assert!(matches!(pace.admit(publish(0).await, 4, now), Admitted::Never));
        assert!(matches!(pace.admit(publish(1).await, 4, now), Admitted::Later));
        assert!(matches!(pace.admit(packet(b"\x40\x02\0\x01").await, 4, now), Admitted::Now(_)), "a PUBACK");
        assert!(pace.next(now).is_none());
        let due = pace.due(now).unwrap();
        assert!(due > now && due < now + Duration::from_millis(20));
        assert!(pace.next(due).is_some());
        assert_eq!(pace.due(due), None);
    }

    #[tokio::test]
    async fn what_a_session_had_stored_comes_at_its_own_rate_and_nothing_is_lost() {
        let (quotas, start) = (Quotas::default(), Instant::now());
        let mut pace = Pace::new(&quotas);
        assert!(matches!(pace.admit(packet(b"\x20\x02\x01\0").await, 4, start), Admitted::Now(_)));
        assert!(matches!(pace.admit(publish(1).await, 4, start), Admitted::Now(_)));
        for qos in [1, 0, 1] {
            assert!(matches!(pace.admit(publish(qos).await, 4, start), Admitted::Later));
        }
        let mut at = start;
        for _ in 0..3 {
            at = pace.due(at).unwrap();
            assert!(pace.next(at).is_some());
        }
        assert!(at >= start + Duration::from_millis(299), "{:?}", at - start);
        // Once that is over the usual rate holds.
        let later = start + Duration::from_secs(2);
        for _ in 0..50 {
            assert!(matches!(pace.admit(publish(1).await, 4, later), Admitted::Now(_)));
        }
    }
}
