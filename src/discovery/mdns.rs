//! Finds printers by multicast DNS (RFC 6762) and DNS-SD (RFC 6763): browses `_ipp._tcp` and `_ipps._tcp` on all
//! interfaces, IPv4 and IPv6, and reports sightings. So it does with `_printer._tcp` (LPD) and `_pdl-datastream._tcp`
//! (AppSocket), which print whatever arrives: only jobs go there, and no IPP ever does. `_ipp-tls._tcp` is an old name of
//! `_ipps._tcp`. `_http._tcp` is browsed under its subtype `_printer` alone and becomes a hint ([`Mdns::hints`]). The
//! subtype `_cups` of the IPP types only tells queues of computers from devices.
//!
//! Invariants:
//! - The library's stream is drained at once into a bounded book; a slow receiver delays reports and loses none. (A
//!   subscriber that falls 1,000 events behind is dropped by the library without a word to it.)
//! - The end of a stream, and an mDNS engine that reaches no interface, are noticed and answered by a new engine after
//!   a back-off. What the new one does not tell again within [`RETELL`] is reported lost.
//! - The library keeps every record it hears of, about 3 KB for each service, without a limit, and looks through all of
//!   them for every new one. When it knows more services than the book may hold and a quarter more, or records of other
//!   kinds beyond what belongs to those, it is replaced at once by a new one that knows none: under a flood that bounds
//!   memory and the time for each answer, and what is really there answers the new one's questions.
//! - What found no room in the book, or lost its own there, is heard again when there is room: an engine tells nothing
//!   twice, so it is replaced too.
//! - Reports are changes: the same sighting is not reported twice, unless all are wanted again ([`Mdns::asked_by`]).
//!
//! What it does not do: judge who the printer is, connect to it, or look beyond the link (other networks need the
//! configured list).

use super::book::{Book, Outcome, RawPort};
use super::hints::{HintBook, Hints};
use super::print_places::PrintPlaces;
use super::record::{self, Accept, Announcement, Ignored, Origin};
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

/// Records of each kind that an engine may keep for a service that it may know: a service has one SRV and one TXT record,
/// and addresses on several interfaces.
const RECORDS_PER_SERVICE: usize = 4;

/// Under a flood: the time from one engine's start to the next one's, at least. Doubled, up to [`LONGEST`], with each
/// engine that lived shorter than [`QUICK`]: what is announced faster than that answers a question, and asking again
/// makes everybody on the link say everything again.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(8);
const QUICK: Duration = Duration::from_secs(10);

/// How often the engine is asked how much it keeps.
const LOOK: Duration = Duration::from_secs(5);

const IPP: &str = "_ipp._tcp.local.";
const IPPS: &str = "_ipps._tcp.local.";
const IPPS_OLD: &str = "_ipp-tls._tcp.local.";
const LPD: &str = "_printer._tcp.local.";
const APPSOCKET: &str = "_pdl-datastream._tcp.local.";
const WEB: &str = "_printer._sub._http._tcp.local.";
const SHARED: &str = "_cups._sub._ipp._tcp.local.";
const SHARED_TLS: &str = "_cups._sub._ipps._tcp.local.";
const BROWSED: [&str; 8] = [IPP, IPPS, IPPS_OLD, LPD, APPSOCKET, WEB, SHARED, SHARED_TLS];

/// TXT strings and addresses taken over from one record.
const MAX_TXT: usize = 100;
const MAX_ADDRESSES: usize = 64;

/// What is browsed and where.
#[derive(Debug, Clone)]
pub struct MdnsOptions {
    /// Where printers may be.
    pub policy: PrinterPolicy,
    /// Browse on loopback interfaces too: for the demo and tests.
    pub loopback: bool,
    /// What else than devices is taken. Printers on USB are announced on loopback interfaces, which are browsed for them.
    pub accept: Accept,
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
        Self {
            policy,
            loopback: false,
            accept: Accept::default(),
            max_instances: 4_000,
            settle: Duration::from_secs(1),
            port: MDNS_PORT,
        }
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
    /// Engines replaced because they knew too much.
    pub floods: AtomicU64,
    /// Instances known now.
    pub instances: AtomicU64,
    ignored: Mutex<BTreeMap<String, u64>>,
    left_out: Mutex<BTreeMap<String, String>>,
}

/// Services that are told by name of those that became no sighting.
const MAX_LEFT_OUT: usize = 200;

impl Counters {
    /// Announcements that became no sighting, by reason.
    pub fn ignored(&self) -> BTreeMap<String, u64> {
        self.ignored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The services that became no sighting and why, by name; the first 200.
    pub fn left_out(&self) -> BTreeMap<String, String> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn leave_out(&self, service: &str, reason: Ignored) {
        let mut all = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MAX_LEFT_OUT || all.contains_key(service) {
            all.insert(service.to_owned(), reason.to_string());
        }
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
    hints: watch::Sender<Hints>,
    places: PrintPlaces,
    /// All is reported again when this changes.
    asked: watch::Receiver<u64>,
}

impl Mdns {
    /// Makes a source; nothing happens before [`Mdns::run`].
    pub fn new(options: MdnsOptions) -> Self {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let health = watch::Sender::new(Health::Starting);
        let hints = watch::Sender::new(Hints::default());
        let places = PrintPlaces::default();
        let asked = watch::channel(0).1;
        Self { options, backoff, retell: RETELL, counters: Arc::default(), health, hints, places, asked }
    }

    /// The same source, which tells here what it hears of AppSocket and LPD.
    pub fn telling(mut self, places: PrintPlaces) -> Self {
        self.places = places;
        self
    }

    /// The same source, which reports again all that is there whenever this changes.
    pub fn asked_by(mut self, asked: watch::Receiver<u64>) -> Self {
        self.asked = asked;
        self
    }

    /// What it counts.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// How it is going.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Where a printer is said to be, without a way to print.
    pub fn hints(&self) -> watch::Receiver<Hints> {
        self.hints.subscribe()
    }

    /// Searches until the receiver of `events` is gone. The channel may be small: nothing is lost when it is full.
    /// Dropping the future ends the search.
    pub async fn run(self, events: mpsc::Sender<DiscoveryEvent>) {
        let options = self.options.clone();
        self.run_on(events, move || Engine::start(&options)?.browse(&BROWSED)).await;
    }

    /// [`Mdns::run`] on any engine.
    async fn run_on(
        self,
        events: mpsc::Sender<DiscoveryEvent>,
        mut start: impl FnMut() -> Result<Search, mdns_sd::Error>,
    ) {
        let options = &self.options;
        let mut books = Books {
            book: Book::new(options.policy.clone(), options.accept, options.max_instances, options.settle)
                .telling(self.places.clone()),
            hints: HintBook::new(self.hints.clone()),
            shared: HashSet::new(),
        };
        let (mut failures, mut quick) = (0, 0_u32);
        loop {
            let begun = Instant::now();
            let ended = match start() {
                Ok(search) => self.session(search, &events, &mut books).await,
                Err(error) => Ended::Failed(error.to_string()),
            };
            let reason = match ended {
                Ended::NobodyListens => return,
                Ended::KnowsTooMuch(count) => {
                    self.counters.floods.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(count, "more is announced over mDNS than can be kept; the search begins anew");
                    let pause = SHORTEST.saturating_mul(1 << quick.min(8)).min(LONGEST);
                    quick = if begun.elapsed() < QUICK { quick.saturating_add(1) } else { 0 };
                    tokio::select! {
                        () = sleep_until(begun + pause) => continue,
                        () = events.closed() => return,
                    }
                }
                Ended::HasRoom => {
                    tracing::info!("there is room for more of what is announced over mDNS; the search begins anew");
                    continue;
                }
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
    async fn session(&self, mut search: Search, events: &mpsc::Sender<DiscoveryEvent>, books: &mut Books) -> Ended {
        self.counters.starts.fetch_add(1, Ordering::Relaxed);
        books.book.new_session();
        books.hints.new_session();
        books.shared.clear();
        let mut retell = Some(Instant::now() + self.retell);
        let mut look = Instant::now() + LOOK;
        let mut known = HashSet::new();
        let max = self.options.max_instances;
        let most = max.saturating_add(max / 4);
        let (begun, overflow) = (Instant::now(), self.counters.overflow.load(Ordering::Relaxed));
        let mut asked = self.asked.clone();
        loop {
            let due = books.book.next_due();
            let ready = due.is_some_and(|at| at <= Instant::now());
            let wake = [due.filter(|_| !ready), retell, Some(look)].into_iter().flatten().min();
            tokio::select! {
                event = search.events.next() => match event {
                    Some(Some(event)) => {
                        // Hashes are enough to count, and a name may be found on each interface.
                        match &event {
                            ServiceEvent::ServiceFound(_, name) => drop(known.insert(hash(name))),
                            ServiceEvent::ServiceRemoved(_, name) => drop(known.remove(&hash(name))),
                            _ => {}
                        }
                        if known.len() > most {
                            return Ended::KnowsTooMuch(known.len());
                        }
                        if let Err(reason) = self.apply(event, books) {
                            return Ended::Failed(reason);
                        }
                    }
                    Some(None) | None => return Ended::Failed("a subscription ended".into()),
                },
                permit = events.reserve(), if ready => {
                    let Ok(permit) = permit else { return Ended::NobodyListens };
                    if let Some(event) = books.book.take(Instant::now()) {
                        self.counters.reported.fetch_add(1, Ordering::Relaxed);
                        // Before the event, so that whoever reads it finds the counters of it.
                        self.counters.instances.store(books.book.len() as u64, Ordering::Relaxed);
                        permit.send(event);
                    }
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    let now = Instant::now();
                    if retell.is_some_and(|at| at <= now) {
                        retell = None;
                        books.book.drop_older_sessions(now);
                        books.hints.drop_older_sessions();
                    }
                    if look <= now {
                        look = now + LOOK;
                        let kept = search.records();
                        if kept > most.saturating_mul(RECORDS_PER_SERVICE) {
                            return Ended::KnowsTooMuch(kept);
                        }
                        let left_out = self.counters.overflow.load(Ordering::Relaxed) > overflow;
                        if left_out && books.book.len() <= max - max / 4 && begun.elapsed() >= QUICK {
                            return Ended::HasRoom;
                        }
                    }
                }
                () = changed(&mut asked) => books.book.tell_again(Instant::now()),
                () = events.closed() => return Ended::NobodyListens,
            }
            self.counters.instances.store(books.book.len() as u64, Ordering::Relaxed);
        }
    }

    fn apply(&self, event: ServiceEvent, books: &mut Books) -> Result<(), String> {
        let now = Instant::now();
        match event {
            ServiceEvent::ServiceResolved(service) => {
                self.counters.resolved.fetch_add(1, Ordering::Relaxed);
                match role(&service.ty_domain) {
                    Some(Role::Way(kind)) => self.way(&service, kind, &mut books.book, &books.shared, now),
                    Some(Role::Hint) => {
                        let web = announcement(&service, EndpointKind::AppSocket);
                        let outcome = match record::hint(&web, &self.options.policy) {
                            Ok(hint) => {
                                if books.hints.seen(hint) {
                                    Outcome::Kept
                                } else {
                                    Outcome::Full
                                }
                            }
                            Err(reason) => Outcome::Ignored(reason),
                        };
                        self.count(outcome, &service.fullname);
                    }
                    Some(Role::Shared(kind)) => {
                        if books.shared.len() < self.options.max_instances {
                            books.shared.insert(hash(&service.fullname));
                        }
                        self.way(&service, kind, &mut books.book, &books.shared, now);
                    }
                    None => {}
                }
            }
            ServiceEvent::ServiceRemoved(service_type, fullname) => match role(&service_type) {
                Some(Role::Way(kind)) => {
                    if kind.is_raw() {
                        books.book.raw_gone(&fullname, now);
                    }
                    books.book.gone(&fullname, now);
                }
                Some(Role::Hint) => books.hints.gone(&record::key(&fullname)),
                Some(Role::Shared(_)) => drop(books.shared.remove(&hash(&fullname))),
                None => {}
            },
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

    /// A way to print was announced.
    fn way(&self, service: &ResolvedService, kind: EndpointKind, book: &mut Book, shared: &HashSet<u64>, now: Instant) {
        let mut announced = announcement(service, kind);
        if kind.is_raw() {
            // First of all, whatever else is wrong with it: no IPP at this port.
            self.count(book.raw_seen(&service.fullname, raw_port(service), now), &service.fullname);
        }
        if shared.contains(&hash(&service.fullname)) {
            announced.subtype = Some(SHARED.to_owned());
        }
        let usb = record::origin(&announced) == Origin::Usb;
        // What is announced for this machine's own ports is there alone, though its host name has other addresses too.
        let here = usb && announced.addresses.iter().any(|(address, _)| address.is_loopback());
        // Loopback is browsed for printers on USB alone.
        if here || (!usb && !self.options.loopback) {
            announced.addresses.retain(|(address, _)| address.is_loopback() == here);
        }
        self.count(book.seen(announced, now), &service.fullname);
    }

    fn count(&self, outcome: Outcome, fullname: &str) {
        match outcome {
            Outcome::Kept => {}
            Outcome::Withdrew(count) => self.counters.ignore(Ignored::PrintPort, count),
            Outcome::Full | Outcome::Replaced => {
                self.counters.overflow.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Ignored(reason) => {
                tracing::debug!(service = ?fullname, %reason, "not a printer for us");
                self.counters.leave_out(fullname, reason);
                self.counters.ignore(reason, 1);
            }
        }
    }
}

enum Ended {
    NobodyListens,
    /// So many services or records.
    KnowsTooMuch(usize),
    /// Something found no room in the book, which has some now.
    HasRoom,
    Failed(String),
}

/// What was heard, over all engines.
struct Books {
    book: Book,
    hints: HintBook,
    /// Services that this engine found under the subtype of computers' queues, by hash. At most `max_instances`.
    shared: HashSet<u64>,
}

/// What is made of a browsed type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A way to print.
    Way(EndpointKind),
    /// A printer is there.
    Hint,
    /// A way to print that is a computer's.
    Shared(EndpointKind),
}

type Events = Pin<Box<dyn Stream<Item = Option<ServiceEvent>> + Send>>;

/// All events of all browsed types; `None` when one of the streams ended.
struct Search {
    events: stream::SelectAll<Events>,
    /// Kept as long as its events are read.
    engine: Option<Engine>,
    /// Its answer to the last question how much it keeps, when it comes.
    metrics: Option<mdns_sd::Receiver<mdns_sd::Metrics>>,
}

impl Search {
    /// How many records the engine kept when it was asked last; asks again.
    fn records(&mut self) -> usize {
        let told = self.metrics.take().and_then(|answer| answer.try_recv().ok()).unwrap_or_default();
        self.metrics = self.engine.as_ref().and_then(|engine| engine.0.get_metrics().ok());
        let kept = told.iter().filter(|(name, _)| name.starts_with("cached-")).map(|(_, count)| *count);
        usize::try_from(kept.max().unwrap_or_default()).unwrap_or_default()
    }
}

/// The library's engine (a thread), stopped when dropped.
struct Engine(ServiceDaemon);

impl Engine {
    fn start(options: &MdnsOptions) -> Result<Self, mdns_sd::Error> {
        let engine = Self(ServiceDaemon::new_with_port(options.port)?);
        if !options.loopback && !options.accept.usb {
            engine.0.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        }
        Ok(engine)
    }

    fn browse(self, types: &[&str]) -> Result<Search, mdns_sd::Error> {
        let mut streams = Vec::new();
        for service_type in types {
            streams.push(marked(self.0.browse(service_type)?.into_stream()));
        }
        Ok(Search { events: stream::select_all(streams), engine: Some(self), metrics: None })
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

/// Waits for the next change; for ever, where there will be none.
async fn changed(asked: &mut watch::Receiver<u64>) {
    if asked.changed().await.is_err() {
        std::future::pending().await
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// What is made of a browsed type.
fn role(service_type: &str) -> Option<Role> {
    [
        (IPP, Role::Way(EndpointKind::Ipp)),
        (IPPS, Role::Way(EndpointKind::Ipps)),
        (IPPS_OLD, Role::Way(EndpointKind::Ipps)),
        (APPSOCKET, Role::Way(EndpointKind::AppSocket)),
        (LPD, Role::Way(EndpointKind::Lpd)),
        (WEB, Role::Hint),
        (SHARED, Role::Shared(EndpointKind::Ipp)),
        (SHARED_TLS, Role::Shared(EndpointKind::Ipps)),
    ]
    .into_iter()
    .find_map(|(known, role)| service_type.eq_ignore_ascii_case(known).then_some(role))
}

fn announcement(service: &ResolvedService, kind: EndpointKind) -> Announcement {
    let txt = service.txt_properties.iter().take(MAX_TXT);
    Announcement {
        kind,
        service_type: service.ty_domain.rsplit("._sub.").next().unwrap_or_default().to_owned(),
        subtype: service.sub_ty_domain.clone(),
        fullname: service.fullname.clone(),
        host: service.host.clone(),
        port: service.port,
        addresses: service.addresses.iter().take(MAX_ADDRESSES).map(scoped).collect(),
        txt: txt.filter_map(|entry| Some((entry.key().to_owned(), entry.val()?.to_vec()))).collect(),
    }
}

fn raw_port(service: &ResolvedService) -> RawPort {
    let mut addresses: Vec<_> = service.addresses.iter().take(MAX_ADDRESSES).map(ScopedIp::to_ip_addr).collect();
    addresses.sort_unstable();
    addresses.dedup();
    RawPort { host: service.host.clone(), addresses, port: service.port }
}

fn scoped(address: &ScopedIp) -> (std::net::IpAddr, u32) {
    match address {
        ScopedIp::V6(v6) => ((*v6.addr()).into(), v6.scope_id().index),
        other => (other.to_ip_addr(), 0),
    }
}

#[cfg(test)]
mod tests;
