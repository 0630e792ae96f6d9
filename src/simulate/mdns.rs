//! The responder of an office (RFC 6762): thousands of services, and a printer that can vanish without a goodbye.
//!
//! A small responder of its own, beside the `mdns-sd` that the gateway browses with, because of what was found with
//! `mdns-sd` as the responder: it cannot leave out the goodbye, probes and announces each name by itself, and walks all
//! its services for every question. And a gateway should not be tested with its own responder only.
//!
//! - It answers questions for PTR (types, subtypes, `_services._dns-sd._udp`), SRV, TXT, A and ANY; leaves out what the
//!   asker knows already (RFC 6762 §7.1), waiting [`MORE_KNOWN`] for more of that when the question says so (§7.2).
//! - Everything is multicast, also where a unicast answer was asked for (§5.4 allows it): on a host with several
//!   sockets on the port a unicast datagram reaches only one of them. Askers from another port get the one-shot unicast
//!   answer of §6.7.
//! - New services are announced twice, a second apart. Names are not probed: the office's names must be its own.
//! - Answers are cut into datagrams, and these are sent at [`RATE`] at most, so that listeners keep up: at four times
//!   this rate a browser of 4,444 services lost so many that asking again took it minutes instead of half a minute.
//!
//! ## On loopback
//! Linux' `lo` has no MULTICAST flag and no multicast route; joining the group and sending with 127.0.0.1 as the
//! interface works all the same, and everyone who does that shares the port (`SO_REUSEADDR`, `SO_REUSEPORT`). avahi
//! takes part when told to use `lo` and when MULTICAST is set on it.
//!
//! It does not do IPv6.

mod announce;
mod message;
mod zone;

pub(super) use announce::{Announcement, services};

use super::{Interfaces, Mdns};
use message::Message;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zone::{Asked, Service, Zone};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// How long further known answers are waited for.
const MORE_KNOWN: Duration = Duration::from_millis(450);
/// Askers whose further known answers are waited for at a time.
const MAX_WAITING: usize = 64;
/// Known answers kept of one asker.
const MAX_KNOWN: usize = 20_000;
/// Between the two announcements.
const AGAIN: Duration = Duration::from_secs(1);
/// Before the first, for what else begins at the same time.
const GATHER: Duration = Duration::from_millis(20);
/// Services announced in one go.
const BATCH: usize = 250;
/// Bytes sent within [`PAUSE`] on one interface.
const RATE: usize = 16 * 1024;
const PAUSE: Duration = Duration::from_millis(10);
/// Largest datagram on loopback, and elsewhere.
const LOOPBACK_DATAGRAM: usize = 8_000;
const DATAGRAM: usize = 1_440;
/// Answers waiting to be sent on one interface; more are dropped, as a busy responder does.
const MAX_SENDING: usize = 256;
/// Longest wait for goodbyes to be sent.
const GOODBYE: Duration = Duration::from_secs(5);

/// The responder of an office, on one or more interfaces.
pub(super) struct Responder {
    zone: Arc<Mutex<Zone>>,
    links: Vec<Way>,
    /// There are new services.
    fresh: Arc<Notify>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The way out of one interface: its queue, and the largest datagram.
type Way = (mpsc::Sender<Send>, usize);

/// Datagrams for one interface.
struct Send {
    datagrams: Vec<Vec<u8>>,
    /// `None`: the group.
    to: Option<SocketAddr>,
    sent: Option<oneshot::Sender<()>>,
}

/// One interface.
struct Link {
    socket: UdpSocket,
    group: SocketAddr,
    largest: usize,
}

impl Responder {
    /// Joins the group on these interfaces.
    pub(super) fn start(config: &Mdns) -> io::Result<Responder> {
        let zone = Arc::new(Mutex::new(Zone::default()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut links = Vec::new();
        for address in addresses(&config.interfaces)? {
            let link = Arc::new(Link {
                socket: join(address, config.port)?,
                group: SocketAddr::from((GROUP, config.port)),
                largest: if address.is_loopback() { LOOPBACK_DATAGRAM } else { DATAGRAM },
            });
            let (sender, queue) = mpsc::channel(MAX_SENDING);
            tasks.spawn(send(link.clone(), queue));
            tasks.spawn(answer(link.clone(), zone.clone(), sender.clone(), stop.clone()));
            links.push((sender, link.largest));
        }
        let fresh = Arc::new(Notify::new());
        tasks.spawn(announce(zone.clone(), links.clone(), fresh.clone(), stop.clone()));
        Ok(Responder { zone, links, fresh, stop, tasks })
    }

    /// Announces services from now on; gives back what to call them by later.
    pub(super) fn register(&self, services: Vec<Service>) -> Vec<Vec<u8>> {
        let keys: Vec<Vec<u8>> = services.iter().map(Service::key).collect();
        {
            let mut zone = self.zone();
            services.into_iter().for_each(|service| zone.add(service));
            zone.fresh.extend(keys.iter().cloned());
        }
        self.fresh.notify_one();
        keys
    }

    /// Takes services away, with a goodbye or in silence.
    pub(super) async fn unregister(&self, keys: &[Vec<u8>], goodbye: bool) {
        let records: Vec<_> = {
            let mut zone = self.zone();
            let gone: Vec<Service> = keys.iter().filter_map(|key| zone.remove(key)).collect();
            gone.iter().map(Service::goodbye).collect()
        };
        if !goodbye || records.is_empty() {
            return;
        }
        let mut waiting = Vec::new();
        for (link, largest) in &self.links {
            let (sent, done) = oneshot::channel();
            let datagrams = message::pack(&records, *largest);
            let send = link.send(Send { datagrams, to: None, sent: Some(sent) });
            if let Ok(Ok(())) = timeout(GOODBYE, send).await {
                waiting.push(done);
            }
        }
        for done in waiting {
            let _ = timeout(GOODBYE, done).await;
        }
    }

    /// Ends; what was announced and not taken away is left to expire.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = timeout(Duration::from_millis(100), self.tasks.wait()).await;
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        lock(&self.zone)
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

/// IPv4 addresses of the interfaces.
fn addresses(interfaces: &Interfaces) -> io::Result<Vec<Ipv4Addr>> {
    if *interfaces == Interfaces::Loopback {
        return Ok(vec![Ipv4Addr::LOCALHOST]);
    }
    let mut found: Vec<Ipv4Addr> = Vec::new();
    let mut names = Vec::new();
    for interface in if_addrs::get_if_addrs()? {
        let wanted = match interfaces {
            Interfaces::Named(wanted) => wanted.contains(&interface.name),
            Interfaces::Loopback | Interfaces::All => true,
        };
        // One address of each interface is enough to name it.
        if let (true, IpAddr::V4(address)) = (wanted && !names.contains(&interface.name), interface.ip()) {
            names.push(interface.name);
            found.push(address);
        }
    }
    if let Interfaces::Named(wanted) = interfaces
        && let Some(missing) = wanted.iter().find(|name| !names.contains(name))
    {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no interface {missing} with an IPv4 address")));
    }
    Ok(found)
}

fn join(interface: Ipv4Addr, port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Best effort: the system may grant less.
    let _ = socket.set_recv_buffer_size(1024 * 1024);
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
    // Only what comes in on this interface.
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v4(false)?;
    socket.join_multicast_v4(&GROUP, &interface)?;
    socket.set_multicast_if_v4(&interface)?;
    socket.set_multicast_ttl_v4(255)?;
    UdpSocket::from_std(socket.into())
}

/// Sends what is queued, at a rate that listeners can follow.
async fn send(link: Arc<Link>, mut queue: mpsc::Receiver<Send>) {
    let mut since = 0;
    while let Some(Send { datagrams, to, sent }) = queue.recv().await {
        let to = to.unwrap_or(link.group);
        for datagram in datagrams {
            if since > RATE {
                sleep(PAUSE).await;
                since = 0;
            }
            since += datagram.len();
            if let Err(error) = link.socket.send_to(&datagram, to).await {
                tracing::debug!(%error, %to, "mDNS datagram not sent");
            }
        }
        if let Some(sent) = sent {
            let _ = sent.send(());
        }
    }
}

/// An asker whose known answers are not all here.
struct Waiting {
    asked: Asked,
    until: Instant,
}

/// Answers questions and announces what is new.
async fn answer(link: Arc<Link>, zone: Arc<Mutex<Zone>>, queue: mpsc::Sender<Send>, stop: CancellationToken) {
    let mut waiting: HashMap<SocketAddr, Waiting> = HashMap::new();
    let mut block = vec![0; 9_000];
    loop {
        let due = waiting.values().map(|waiting| waiting.until).min();
        tokio::select! {
            () = stop.cancelled() => return,
            received = link.socket.recv_from(&mut block) => {
                let Ok((length, from)) = received else { continue };
                let Some(message) = block.get(..length).and_then(Message::parse) else { continue };
                if message.is_answer {
                    continue;
                }
                take(&link, &zone, &queue, &mut waiting, message, from);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
        let now = Instant::now();
        let ready: Vec<SocketAddr> = waiting.iter().filter(|(_, w)| w.until <= now).map(|(from, _)| *from).collect();
        for from in ready {
            if let Some(Waiting { asked, .. }) = waiting.remove(&from) {
                reply(&link, &zone, &queue, &asked, from);
            }
        }
    }
}

fn take(
    link: &Link,
    zone: &Mutex<Zone>,
    queue: &mpsc::Sender<Send>,
    waiting: &mut HashMap<SocketAddr, Waiting>,
    message: Message,
    from: SocketAddr,
) {
    let more = message.truncated;
    if let Some(known) = waiting.get_mut(&from) {
        let room = MAX_KNOWN.saturating_sub(known.asked.known.len());
        known.asked.known.extend(message.known.into_iter().take(room));
        known.asked.questions.extend(message.questions.into_iter().take(message::MAX_QUESTIONS));
        known.asked.questions.truncate(message::MAX_QUESTIONS);
        if more {
            known.until = Instant::now() + MORE_KNOWN;
        }
        return;
    }
    let asked = Asked { id: message.id, questions: message.questions, known: message.known.into_iter().collect() };
    if asked.questions.is_empty() {
        return;
    }
    if more && waiting.len() < MAX_WAITING {
        waiting.insert(from, Waiting { asked, until: Instant::now() + MORE_KNOWN });
    } else {
        reply(link, zone, queue, &asked, from);
    }
}

fn reply(link: &Link, zone: &Mutex<Zone>, queue: &mpsc::Sender<Send>, asked: &Asked, from: SocketAddr) {
    let groups = lock(zone).answer(asked);
    if groups.is_empty() {
        return;
    }
    let legacy = from.port() != link.group.port();
    let (datagrams, to) = if legacy {
        (message::one_shot(asked.id, &asked.questions, &groups), Some(from))
    } else {
        (message::pack(&groups, link.largest), None)
    };
    if queue.try_send(Send { datagrams, to, sent: None }).is_err() {
        tracing::debug!(%from, "mDNS answer dropped: too much to send");
    }
}

/// Announces what is new, twice.
async fn announce(zone: Arc<Mutex<Zone>>, links: Vec<Way>, fresh: Arc<Notify>, stop: CancellationToken) {
    let mut again: VecDeque<(Instant, Vec<Vec<u8>>)> = VecDeque::new();
    loop {
        let due = again.front().map(|(at, _)| *at);
        let keys = tokio::select! {
            () = stop.cancelled() => return,
            () = fresh.notified() => {
                sleep(GATHER).await;
                let keys = std::mem::take(&mut lock(&zone).fresh);
                again.push_back((Instant::now() + AGAIN, keys.clone()));
                keys
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                again.pop_front().map(|(_, keys)| keys).unwrap_or_default()
            }
        };
        for keys in keys.chunks(BATCH) {
            let groups = lock(&zone).groups(keys);
            for (link, largest) in &links {
                let send = link.send(Send { datagrams: message::pack(&groups, *largest), to: None, sent: None });
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = send => {}
                }
            }
        }
    }
}
