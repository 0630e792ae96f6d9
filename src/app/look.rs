//! One look around for printers, by the same sources, probes and registry as the gateway's, with nothing stored and nothing
//! told to anybody.
//!
//! ```text
//! sources ──sightings──▶ hub (registry, probes, state) ──commit──▶ rows in memory ──▶ [`Looked`]
//! ```
//!
//! It ends when mDNS was listened to for as long as asked, every network was swept and every listed place was asked, and
//! nobody is being asked, or waits to be asked, who he is (at most `PROBES_END` after the sources); or when it is stopped. Then what was
//! found so far is handed out.
//!
//! The ids are those that a gateway with an empty database and the same rules gives.

use super::sources::{self, Before, Searches, networks};
use super::{hub_side, snmp_side};
use crate::config::Config;
use crate::deliver::credentials::Credentials;
use crate::discovery::listed;
use crate::discovery::mdns::Health;
use crate::domain::endpoint::EndpointKind;
use crate::domain::ids::{GatewayName, PrinterId};
use crate::domain::registry::Duplicate;
use crate::domain::schedule::Intervals;
use crate::domain::sighting::DiscoveryEvent;
use crate::hub::{
    self, BoxFuture, HubOutput, HubPorts, HubSettings, HubState, PollAnswer, PollError, PollErrorKind, Poller,
    PrinterRow, PrinterView, Printers, Question,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long probes may go on after the sources have ended.
const PROBES_END: Duration = Duration::from_secs(60);
/// How often it is looked whether all is done.
const ROUND: Duration = Duration::from_millis(100);
/// Longest look-up of a name for which nothing was found.
const LOOK_UP: Duration = Duration::from_secs(5);
/// Rounds in which nothing may be under way before it is taken to be over.
const QUIET_ROUNDS: u32 = 3;
/// Changes over mDNS within one look belong to it.
const SETTLE: Duration = Duration::from_millis(100);
/// Of a listed printer that gave no answer.
const NO_ANSWER: &str = "it does not answer; a gateway takes it in all the same, as offline, and asks again and again";
/// Sightings that may wait.
const SIGHTINGS: usize = 256;

/// How to look.
#[derive(Debug, Clone)]
pub struct LookOptions {
    /// Sources, networks, logins and rules, as a gateway has them.
    pub config: Config,
    /// How long to listen to mDNS.
    pub listen: Duration,
    /// Whether devices are asked who they are, or only heard.
    pub probe: bool,
}

/// A printer that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Who it is, how it is reached and what it said, as the gateway would store it.
    pub row: PrinterRow,
    /// As the gateway would show it.
    pub view: PrinterView,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LookProgress {
    /// From 0 to 1.
    pub done: f64,
    /// The time left, estimated.
    pub left: Duration,
    /// What is being done.
    pub doing: String,
    /// Printers so far, in the order of their ids: id, name, maker and model, address.
    pub found: Vec<(String, String)>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// Printers, by id.
    pub printers: Vec<Found>,
    /// Those of them that may be one.
    pub duplicates: Vec<Duplicate>,
    /// Announcements that are no printers to be taken, by reason.
    pub ignored: BTreeMap<String, u64>,
    /// What came during a sweep and was no answer, by reason.
    pub datagrams: BTreeMap<String, u64>,
    /// What was left out, by name or address, and why; a few hundred at most.
    pub left_out: BTreeMap<String, String>,
    /// Entries of the list of printers that gave none: where, and why.
    pub silent: Vec<(String, String)>,
    /// Why mDNS was not listened to.
    pub mdns_failed: Option<String>,
    /// Why networks were not swept, or what of them was left out.
    pub sweep_trouble: Option<String>,
    /// Whether it was not stopped before its end.
    pub complete: bool,
}

/// Looks until all is done or `stop`.
pub async fn look(options: LookOptions, progress: watch::Sender<LookProgress>, stop: CancellationToken) -> Looked {
    let LookOptions { config, listen, probe } = options;
    let cancel = CancellationToken::new();
    let (sightings, discovery) = mpsc::channel(SIGHTINGS);
    let clients = match probe {
        true => snmp_side::start(&config.snmp, snmp_side::SecretSource::Files, cancel.clone()),
        false => watch::channel(None).1,
    };
    let printers = Printers::default();
    let places = sources::print_places(&config, &printers);
    let (known, asked) = ((&printers, &places), probe.then_some(&clients));
    let mut searches = sources::start(&config, Before::default(), SETTLE, asked, known, &sightings, &cancel);
    let rows: Arc<Mutex<BTreeMap<PrinterId, PrinterRow>>> = Arc::default();
    let Ok(gateway) = GatewayName::new("discover") else { return Looked::default() };
    let settings = HubSettings {
        gateway,
        // Who it is is all that is wanted: nobody is asked twice.
        intervals: Intervals { idle: SignedDuration::from_hours(24), ..Intervals::default() },
        seed: 0,
        snmp: config.snmp.enabled,
        rules: config.rules.clone(),
        given_names: sources::given_names(&config),
    };
    let poller = match probe {
        true => {
            let port = config.snmp.port;
            hub_side::poller(networks(&config), places, clients, port, Credentials::default(), printers.clone())
        }
        false => nobody_is_asked(),
    };
    let stored = Arc::clone(&rows);
    let ports = HubPorts {
        discovery,
        poll_now: mpsc::channel(1).1,
        desired: mpsc::channel(1).1,
        poller,
        commit: move |output: HubOutput| {
            let mut rows = stored.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, _) in &output.deletes {
                rows.remove(id);
            }
            rows.extend(output.saves.into_iter().map(|row| (row.id().clone(), row)));
            std::future::ready(Ok::<(), std::io::Error>(()))
        },
        printers: printers.clone(),
        clock: Arc::new(Timestamp::now),
        cancel: cancel.clone(),
    };
    let state = HubState::new(settings, Vec::new(), Timestamp::now());
    let hub = tokio::spawn(hub::run(state, ports));

    let complete = tokio::select! {
        () = stop.cancelled() => false,
        () = until_done(&config, listen, &mut searches, &sightings, &printers, &progress) => true,
    };
    let mdns = searches.mdns.borrow().clone();
    let mdns_failed = mdns.as_ref().and_then(|mdns| match &*mdns.health.borrow() {
        Health::Failed(why) => Some(why.clone()),
        _ => None,
    });
    let swept = searches.sweep.as_ref().map(|sweep| sweep.borrow().clone());
    cancel.cancel();
    // Ends at once; what it had to say is in the rows.
    let _ = hub.await;
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    let silent = silent(&config, probe, &searches, &rows).await;
    let views = printers.all().into_iter().map(|view| (*view).clone());
    let found = views.filter_map(|view| Some(Found { row: rows.get(&view.id)?.clone(), view }));
    let ignored = mdns.as_ref().map(|mdns| mdns.counters.ignored()).unwrap_or_default();
    let mut left_out = mdns.map(|mdns| mdns.counters.left_out()).unwrap_or_default();
    let mut datagrams = BTreeMap::new();
    if let Some(sweep) = &swept {
        datagrams.extend(sweep.ignored.iter().map(|(reason, count)| ((*reason).to_owned(), *count)));
        left_out.extend(sweep.left_out.iter().map(|(address, why)| (address.to_string(), why.clone())));
    }
    Looked {
        printers: found.collect(),
        duplicates: printers.overview().duplicates.to_vec(),
        ignored,
        datagrams,
        left_out,
        silent,
        sweep_trouble: swept.and_then(|sweep| sweep.trouble),
        mdns_failed,
        complete,
    }
}

async fn until_done(
    config: &Config,
    listen: Duration,
    searches: &mut Searches,
    sightings: &mpsc::Sender<DiscoveryEvent>,
    printers: &Printers,
    progress: &watch::Sender<LookProgress>,
) {
    let begun = Instant::now();
    let listen = if config.mdns { listen } else { Duration::ZERO };
    let mut sources_end = None;
    let mut quiet = 0;
    let mut round = tokio::time::interval(ROUND);
    while quiet < QUIET_ROUNDS {
        round.tick().await;
        let passed = begun.elapsed();
        let asking = printers.overview().asking;
        let (swept, sweep_left, sweeping) = searches.sweep_progress();
        let left = listen.saturating_sub(passed).max(sweep_left);
        let waits = sightings.capacity() < sightings.max_capacity() || asking > 0;
        let searched = passed >= listen && swept && searches.listed_done();
        if searched {
            sources_end.get_or_insert_with(Instant::now);
        }
        let over = sources_end.is_some_and(|end: Instant| end.elapsed() >= PROBES_END);
        quiet = if searched && (!waits || over) { quiet + 1 } else { 0 };
        let doing = match (passed < listen, sweeping, asking) {
            (_, Some(text), _) => text,
            (true, None, _) => "listening".to_owned(),
            (false, None, 0) => "done".to_owned(),
            (false, None, n) => format!("asking {n} who they are"),
        };
        let total = passed.saturating_add(left).as_secs_f64();
        let done = if total > 0.0 { passed.as_secs_f64() / total } else { 1.0 };
        let found = printers.all().iter().map(|view| (view.id.to_string(), line(view))).collect();
        progress.send_replace(LookProgress { done, left, doing, found });
    }
}

/// The entries of the list of printers that gave none, or one that gave no answer, and why.
async fn silent(
    config: &Config,
    probe: bool,
    searches: &Searches,
    rows: &BTreeMap<PrinterId, PrinterRow>,
) -> Vec<(String, String)> {
    let endpoints = || rows.values().flat_map(|row| row.printer.endpoints.iter().map(move |e| (row, e)));
    let known: BTreeSet<&str> = endpoints().map(|(_, e)| e.key.as_str()).collect();
    // One printer may have several; it is enough that it answered at one of them.
    let answered = |row: &PrinterRow| {
        let state = &row.state;
        state.ipp.last.is_some()
            || state.snmp.last.is_some()
            || row.printer.endpoints.iter().any(|e| e.answered.is_some())
    };
    let mute = |key: &str| endpoints().any(|(row, e)| e.key == key && e.endpoint.kind.is_ipp() && !answered(row));
    let (mut silent, asked) = (Vec::new(), searches.silent());
    let policy = sources::policy(config);
    for printer in &config.printer_list {
        if printer.kind == EndpointKind::Snmp {
            silent.extend(asked.get(&printer.host).map(|why| (printer.host.clone(), why.clone())));
            continue;
        }
        let key = listed::key(printer);
        if known.contains(key.as_str()) {
            if probe && mute(&key) {
                silent.push((endpoint_of(&key).to_owned(), NO_ANSWER.to_owned()));
            }
            continue;
        }
        let addresses: Result<Vec<IpAddr>, String> = match printer.host.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => match timeout(LOOK_UP, tokio::net::lookup_host((printer.host.as_str(), printer.port))).await {
                Ok(Ok(found)) => Ok(found.map(|address| address.ip()).collect()),
                Ok(Err(error)) => Err(format!("its name cannot be looked up: {error}")),
                Err(_) => Err(format!("its name is not looked up within {LOOK_UP:?}")),
            },
        };
        let why = addresses.map_or_else(
            |why| why,
            |addresses| {
                let checked: Vec<_> = addresses.iter().map(|address| policy.check_address(*address)).collect();
                match checked.iter().find_map(|checked| checked.as_ref().err()) {
                    Some(refusal) if checked.iter().all(Result::is_err) => refusal.to_string(),
                    _ => "nothing there says who it is, or it belongs to nothing that may be taken in".to_owned(),
                }
            },
        );
        silent.push((endpoint_of(&key).to_owned(), why));
    }
    silent
}

fn endpoint_of(key: &str) -> &str {
    key.split_once(':').map_or(key, |(_, uri)| uri)
}

fn line(view: &PrinterView) -> String {
    let address = view.endpoints.iter().flat_map(|(endpoint, _)| &endpoint.addresses).next();
    let address = address.map(ToString::to_string).unwrap_or_default();
    [view.name.as_str(), &view.make_and_model, &address].join("  ")
}

/// Fails every question without asking it.
fn nobody_is_asked() -> Poller {
    Arc::new(|question: Question| -> BoxFuture<Result<PollAnswer, PollError>> {
        let message = format!("{} is not asked", question.endpoint.uri());
        Box::pin(std::future::ready(Err(PollError::new(PollErrorKind::Unreachable, message))))
    })
}
