//! Finds printers by multicast DNS (RFC 6762) and DNS-SD (RFC 6763): browses `_ipp._tcp` and `_ipps._tcp` on all
//! interfaces, IPv4 and IPv6, and reports sightings. So it does with `_printer._tcp` (LPD) and `_pdl-datastream._tcp`
//! (AppSocket), which print whatever arrives: only jobs go there, and no IPP ever does.
//!
//! Invariants:
//! - The library's stream is drained at once into a bounded book; a slow receiver delays reports and loses none. (A
//!   subscriber that falls 1,000 events behind is dropped by the library without a word to it.)
//! - The end of a stream, and an mDNS engine that reaches no interface, are noticed and answered by a new engine after
//!   a back-off. What the new one does not tell again within [`RETELL`] is reported lost.
//! - The library keeps every service it hears of, about 3 KB each and without a limit. When it knows more than
//!   [`ENGINE_FACTOR`] times as many as the book may hold, it is replaced by a new one that knows none.
//! - Reports are changes: the same sighting is not reported twice.
//!
//! What it does not do: judge who the printer is, connect to it, or look beyond the link (other networks need the
//! configured list).

use super::book::{Book, Outcome, RawPort};
use super::record::{Announcement, Ignored};
use crate::domain::endpoint::EndpointKind;
use crate::domain::net::PrinterPolicy;
use crate::domain::retry::Backoff;
use crate::domain::sighting::DiscoveryEvent;
use futures_util::stream::{self, Stream, StreamExt};
use mdns_sd::{IfKind, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent};
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// The UDP port of mDNS.
pub const MDNS_PORT: u16 = 5353;

/// After a restart of the engine: how long until what was not heard again counts as lost. Host records live 120 s, and
/// the first queries go out within 7 s.
pub const RETELL: Duration = Duration::from_secs(150);

/// The engine may know this many times as many services as the book holds.
pub const ENGINE_FACTOR: usize = 2;

const IPP: &str = "_ipp._tcp.local.";
const IPPS: &str = "_ipps._tcp.local.";
const LPD: &str = "_printer._tcp.local.";
const APPSOCKET: &str = "_pdl-datastream._tcp.local.";

/// TXT strings and addresses taken over from one record.
const MAX_TXT: usize = 100;
const MAX_ADDRESSES: usize = 64;

/// What is browsed and where.
#[derive(Debug, Clone)]
pub struct MdnsOptions {
    /// Where printers may be.
    pub policy: PrinterPolicy,
    /// Browse on loopback interfaces too: for the demo and tests, and for printers on USB that `ipp-usb` announces.
    pub loopback: bool,
    /// Most instances kept; what is beyond is counted.
    pub max_instances: usize,
    /// How long a change must last before it is reported.
    pub settle: Duration,
    /// UDP port, [`MDNS_PORT`] everywhere but in tests.
    pub port: u16,
}

impl MdnsOptions {
    /// The usual: no loopback, 4,000 instances (a printer announces up to four), changes settle for a second.
    pub fn new(policy: PrinterPolicy) -> Self {
        Self { policy, loopback: false, max_instances: 4_000, settle: Duration::from_secs(1), port: MDNS_PORT }
    }
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Services resolved, each time.
    pub resolved: AtomicU64,
    /// Reports sent.
    pub reported: AtomicU64,
    /// Services left out because the book was full.
    pub overflow: AtomicU64,
    /// Engines started.
    pub starts: AtomicU64,
    /// Instances known now.
    pub instances: AtomicU64,
    ignored: Mutex<BTreeMap<String, u64>>,
}

impl Counters {
    /// Announcements that became no sighting, by reason.
    pub fn ignored(&self) -> BTreeMap<String, u64> {
        self.ignored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ignore(&self, reason: Ignored, count: u64) {
        if count > 0 {
            *self.ignored.lock().unwrap_or_else(PoisonError::into_inner).entry(reason.to_string()).or_default() +=
                count;
        }
    }
}

/// How the search is going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Not begun.
    Starting,
    /// Queries go out.
    Searching,
    /// The engine does not run, for this reason; it will be tried again.
    Failed(String),
}

/// The mDNS source.
#[derive(Debug)]
pub struct Mdns {
    options: MdnsOptions,
    backoff: Backoff,
    retell: Duration,
    counters: Arc<Counters>,
    health: watch::Sender<Health>,
}

impl Mdns {
    /// Makes a source; nothing happens before [`Mdns::run`].
    pub fn new(options: MdnsOptions) -> Self {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let health = watch::Sender::new(Health::Starting);
        Self { options, backoff, retell: RETELL, counters: Arc::default(), health }
    }

    /// What it counts.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// How it is going.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Searches until the receiver of `events` is gone. The channel may be small: nothing is lost when it is full.
    /// Dropping the future ends the search.
    pub async fn run(self, events: mpsc::Sender<DiscoveryEvent>) {
        let options = self.options.clone();
        self.run_on(events, move || Engine::start(&options)?.browse(&[IPP, IPPS, LPD, APPSOCKET])).await;
    }

    /// [`Mdns::run`] on any engine.
    async fn run_on(
        self,
        events: mpsc::Sender<DiscoveryEvent>,
        mut start: impl FnMut() -> Result<Search, mdns_sd::Error>,
    ) {
        let options = &self.options;
        let mut book = Book::new(options.policy.clone(), options.max_instances, options.settle);
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let ended = match start() {
                Ok(search) => self.session(search, &events, &mut book).await,
                Err(error) => Ended::Failed(error.to_string()),
            };
            let reason = match ended {
                Ended::NobodyListens => return,
                Ended::Failed(reason) => reason,
            };
            // A session that held for a while was no failed attempt.
            failures = if begun.elapsed() > Duration::from_secs(120) { 0 } else { failures + 1 };
            let wait = self.backoff.delay(failures, getrandom::u64().unwrap_or_default());
            tracing::warn!(%reason, ?wait, "mDNS stopped and will be started again");
            self.health.send_replace(Health::Failed(reason));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = events.closed() => return,
            }
        }
    }

    /// One engine's life.
    async fn session(&self, mut search: Search, events: &mpsc::Sender<DiscoveryEvent>, book: &mut Book) -> Ended {
        self.counters.starts.fetch_add(1, Ordering::Relaxed);
        book.new_session();
        let mut retell = Some(Instant::now() + self.retell);
        let mut known = HashSet::new();
        loop {
            let due = book.next_due();
            let ready = due.is_some_and(|at| at <= Instant::now());
            let wake = [due.filter(|_| !ready), retell].into_iter().flatten().min();
            tokio::select! {
                event = search.events.next() => match event {
                    Some(Some(event)) => {
                        // Hashes are enough to count, and a name may be found on each interface.
                        match &event {
                            ServiceEvent::ServiceFound(_, name) => drop(known.insert(hash(name))),
                            ServiceEvent::ServiceRemoved(_, name) => drop(known.remove(&hash(name))),
                            _ => {}
                        }
                        if known.len() > self.options.max_instances.saturating_mul(ENGINE_FACTOR) {
                            let count = known.len();
                            return Ended::Failed(format!("{count} services are announced, more than can be kept"));
                        }
                        if let Err(reason) = self.apply(event, book) {
                            return Ended::Failed(reason);
                        }
                    }
                    Some(None) | None => return Ended::Failed("a subscription ended".into()),
                },
                permit = events.reserve(), if ready => {
                    let Ok(permit) = permit else { return Ended::NobodyListens };
                    if let Some(event) = book.take(Instant::now()) {
                        self.counters.reported.fetch_add(1, Ordering::Relaxed);
                        // Before the event, so that whoever reads it finds the counters of it.
                        self.counters.instances.store(book.len() as u64, Ordering::Relaxed);
                        permit.send(event);
                    }
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    let now = Instant::now();
                    if retell.is_some_and(|at| at <= now) {
                        retell = None;
                        book.drop_older_sessions(now);
                    }
                }
                () = events.closed() => return Ended::NobodyListens,
            }
            self.counters.instances.store(book.len() as u64, Ordering::Relaxed);
        }
    }

    fn apply(&self, event: ServiceEvent, book: &mut Book) -> Result<(), String> {
        let now = Instant::now();
        match event {
            ServiceEvent::ServiceResolved(service) => {
                self.counters.resolved.fetch_add(1, Ordering::Relaxed);
                let Some(kind) = kind(&service.ty_domain) else { return Ok(()) };
                if !kind.is_ipp() {
                    // First of all, whatever else is wrong with it: no IPP at this port.
                    self.count(book.raw_seen(&service.fullname, raw_port(&service), now), &service.fullname);
                }
                self.count(book.seen(announcement(&service, kind), now), &service.fullname);
            }
            ServiceEvent::ServiceRemoved(service_type, fullname) => {
                if !kind(&service_type).is_some_and(EndpointKind::is_ipp) {
                    book.raw_gone(&fullname, now);
                }
                book.gone(&fullname, now);
            }
            ServiceEvent::SearchStarted(text) => {
                // The library says only here whether it got a socket and an interface.
                if text.contains(" on 0 interfaces") {
                    return Err("no interface takes part in multicast DNS".into());
                }
                self.health.send_replace(Health::Searching);
            }
            // Found without an address yet; and whatever later versions add.
            _ => {}
        }
        Ok(())
    }

    fn count(&self, outcome: Outcome, fullname: &str) {
        match outcome {
            Outcome::Kept => {}
            Outcome::Withdrew(count) => self.counters.ignore(Ignored::PrintPort, count),
            Outcome::Full => {
                self.counters.overflow.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Ignored(reason) => {
                tracing::debug!(service = ?fullname, %reason, "not a printer for us");
                self.counters.ignore(reason, 1);
            }
        }
    }
}

enum Ended {
    NobodyListens,
    Failed(String),
}

type Events = Pin<Box<dyn Stream<Item = Option<ServiceEvent>> + Send>>;

/// All events of all browsed types; `None` when one of the streams ended.
struct Search {
    events: stream::SelectAll<Events>,
    /// Kept as long as its events are read.
    _engine: Option<Engine>,
}

/// The library's engine (a thread), stopped when dropped.
struct Engine(ServiceDaemon);

impl Engine {
    fn start(options: &MdnsOptions) -> Result<Self, mdns_sd::Error> {
        let engine = Self(ServiceDaemon::new_with_port(options.port)?);
        if !options.loopback {
            engine.0.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        }
        Ok(engine)
    }

    fn browse(self, types: &[&str]) -> Result<Search, mdns_sd::Error> {
        let mut streams = Vec::new();
        for service_type in types {
            streams.push(marked(self.0.browse(service_type)?.into_stream()));
        }
        Ok(Search { events: stream::select_all(streams), _engine: Some(self) })
    }
}

/// A stream whose end can be seen among others.
fn marked(events: impl Stream<Item = ServiceEvent> + Send + 'static) -> Events {
    Box::pin(events.map(Some).chain(stream::iter([None])))
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The command queue may be full for a moment; the thread then lives until its own next look.
        for _ in 0..3 {
            if !matches!(self.0.shutdown(), Err(mdns_sd::Error::Again)) {
                break;
            }
        }
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The protocol of a browsed type.
fn kind(service_type: &str) -> Option<EndpointKind> {
    let is = |known: &str| service_type.eq_ignore_ascii_case(known);
    [
        (IPP, EndpointKind::Ipp),
        (IPPS, EndpointKind::Ipps),
        (APPSOCKET, EndpointKind::AppSocket),
        (LPD, EndpointKind::Lpd),
    ]
    .into_iter()
    .find_map(|(known, kind)| is(known).then_some(kind))
}

fn announcement(service: &ResolvedService, kind: EndpointKind) -> Announcement {
    let txt = service.txt_properties.iter().take(MAX_TXT);
    Announcement {
        kind,
        service_type: service.ty_domain.clone(),
        subtype: service.sub_ty_domain.clone(),
        fullname: service.fullname.clone(),
        host: service.host.clone(),
        port: service.port,
        addresses: service.addresses.iter().take(MAX_ADDRESSES).map(scoped).collect(),
        txt: txt.filter_map(|entry| Some((entry.key().to_owned(), entry.val()?.to_vec()))).collect(),
    }
}

fn raw_port(service: &ResolvedService) -> RawPort {
    let addresses = service.addresses.iter().take(MAX_ADDRESSES).map(ScopedIp::to_ip_addr).collect();
    RawPort { host: service.host.clone(), addresses, port: service.port }
}

fn scoped(address: &ScopedIp) -> (std::net::IpAddr, u32) {
    match address {
        ScopedIp::V6(v6) => ((*v6.addr()).into(), v6.scope_id().index),
        other => (other.to_ip_addr(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdns_sd::ServiceInfo;

    fn resolved(name: &str) -> ServiceEvent {
        let info = ServiceInfo::new(IPP, name, "acme.local.", "10.0.0.9", 631, &[("ty", "x")][..]).unwrap();
        ServiceEvent::ServiceResolved(Box::new(info.as_resolved_service()))
    }

    /// An engine that tells `events` and then ends or stays silent.
    fn engine(events: Vec<ServiceEvent>, ends: bool) -> Search {
        let told = stream::iter(events);
        let one = if ends { marked(told) } else { marked(told.chain(stream::pending())) };
        Search { events: stream::select_all([one, marked(stream::pending())]), _engine: None }
    }

    fn source() -> Mdns {
        let mut options = MdnsOptions::new(PrinterPolicy { allowed: vec!["10.0.0.0/8".parse().unwrap()] });
        options.settle = Duration::from_millis(5);
        let mut mdns = Mdns::new(options);
        mdns.backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(5));
        mdns.retell = Duration::from_millis(300);
        mdns
    }

    async fn next(events: &mut mpsc::Receiver<DiscoveryEvent>) -> String {
        match tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap() {
            DiscoveryEvent::Found(seen) => format!("+{}", seen.name),
            DiscoveryEvent::Lost { key } | DiscoveryEvent::Withdrawn { key } => {
                format!("-{}", key.split('.').next().unwrap())
            }
        }
    }

    #[tokio::test]
    async fn an_engine_that_ends_is_replaced_and_what_is_not_told_again_is_lost() {
        let mdns = source();
        let counters = mdns.counters();
        let (sender, mut events) = mpsc::channel(1);
        let mut lives = 0;
        let search = tokio::spawn(mdns.run_on(sender, move || {
            lives += 1;
            match lives {
                1 => Ok(engine(vec![resolved("a"), resolved("b")], true)),
                2 => Err(mdns_sd::Error::Msg("no engine".into())),
                _ => Ok(engine(vec![resolved("b"), resolved("c")], false)),
            }
        }));
        let mut told = vec![];
        while told.len() < 4 {
            told.push(next(&mut events).await);
        }
        told.sort();
        // `b` was told by both engines and is reported once.
        assert_eq!(told, ["+a", "+b", "+c", "-a"]);
        assert_eq!(counters.starts.load(Ordering::Relaxed), 2);
        drop(events);
        tokio::time::timeout(Duration::from_secs(20), search).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_engine_without_interfaces_is_reported_and_tried_again() {
        let mdns = source();
        let (counters, mut health) = (mdns.counters(), mdns.health());
        let (sender, events) = mpsc::channel(1);
        let search = tokio::spawn(mdns.run_on(sender, || {
            let text = "_ipp._tcp.local. on 0 interfaces []".to_owned();
            Ok(engine(vec![ServiceEvent::SearchStarted(text)], false))
        }));
        let failed = health.wait_for(|health| matches!(health, Health::Failed(_)));
        let Health::Failed(reason) = failed.await.unwrap().clone() else { unreachable!() };
        assert!(reason.contains("no interface"), "{reason}");
        let deadline = Instant::now() + Duration::from_secs(20);
        while counters.starts.load(Ordering::Relaxed) < 3 {
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        drop(events);
        tokio::time::timeout(Duration::from_secs(20), search).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_engine_that_knows_too_much_is_replaced() {
        let mut mdns = source();
        mdns.options.max_instances = 10;
        let counters = mdns.counters();
        let (sender, mut events) = mpsc::channel(1);
        let mut lives = 0;
        let search = tokio::spawn(mdns.run_on(sender, move || {
            lives += 1;
            let found = |n: usize| ServiceEvent::ServiceFound(IPP.into(), n.to_string());
            let gone = |n: usize| ServiceEvent::ServiceRemoved(IPP.into(), n.to_string());
            Ok(match lives {
                1 => engine((0..21).map(found).collect(), false),
                // Many, but never at once.
                _ => engine((0..500).flat_map(|n| [found(n), gone(n)]).chain([resolved("a")]).collect(), false),
            })
        }));
        assert_eq!(next(&mut events).await, "+a");
        assert_eq!(counters.starts.load(Ordering::Relaxed), 2);
        drop(events);
        tokio::time::timeout(Duration::from_secs(20), search).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn nobody_listening_ends_the_search_while_it_waits() {
        let mut mdns = source();
        mdns.backoff = Backoff::new(Duration::from_secs(3600), Duration::from_secs(3600));
        let (sender, events) = mpsc::channel(1);
        let mut health = mdns.health();
        let search = tokio::spawn(mdns.run_on(sender, || Err(mdns_sd::Error::Msg("no engine".into()))));
        health.wait_for(|health| matches!(health, Health::Failed(_))).await.unwrap();
        drop(events);
        tokio::time::timeout(Duration::from_secs(20), search).await.unwrap().unwrap();
    }
}
