//! The hub's side of the composition: sightings in, polls over IPP and SNMP, commits to the store, the directory for jobs.

use super::sources::{self, Searches, networks};
use super::{Stores, agents, signed, snmp_side};
use crate::cloud::greengrass::secrets::Secrets;
use crate::cloud::wire::{self, ShadowDelta, Topics};
use crate::config::Config;
use crate::deliver::credentials::Credentials;
use crate::discovery::listed;
use crate::discovery::print_places::PrintPlaces;
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::ids::{GatewayName, PrinterId};
use crate::domain::registry::{Pin, Rules, Selector, Standing};
use crate::domain::schedule::Intervals;
use crate::domain::state::Source;
use crate::hub::{
    self, BoxFuture, Gone, HubOutput, HubPorts, HubSettings, HubState, PollAnswer, PollError, PollErrorKind, Poller,
    PrinterRow, PrinterView, Printers, Question, Record, RecordBody,
};
use crate::ipp::client::{Basic, Client, Error as IppError, Fingerprint, Target, Timeouts};
use crate::ipp::decode;
use crate::ipp::request::Request;
use crate::jobs::{AskAgent, Directory, Known, Networks, Reach, Refusal};
use crate::store::gateway::{Class, Commit, GatewayStore, Message};
use crate::store::{StoreError, Wake};
use crate::uplink::{Names, message_id};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Sightings that may wait for the hub.
const SIGHTINGS: usize = 256;
/// Pause after the store refused a commit.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// What the hub shares with the others.
pub(super) struct Ends<'a> {
    /// Its view, for all to read.
    pub(super) printers: &'a Printers,
    /// Where no IPP is spoken.
    pub(super) places: &'a PrintPlaces,
    /// Messages wait to be sent.
    pub(super) wake: &'a Wake,
    /// Printers to be polled at once.
    pub(super) poll_now: mpsc::Receiver<PrinterId>,
    /// What shadows desire.
    pub(super) desired: mpsc::Receiver<(PrinterId, ShadowDelta)>,
    /// Logins are resolved here.
    pub(super) secrets: Secrets,
    /// Its end.
    pub(super) cancel: &'a CancellationToken,
    /// For printers that ask.
    pub(super) credentials: &'a Credentials,
}

/// Starts the sources of sightings and the hub; with them comes what jobs ask agents with.
pub(super) async fn start(
    gateway: &GatewayName,
    topics: &Topics,
    config: &Config,
    stores: &Stores,
    ends: Ends<'_>,
) -> anyhow::Result<(JoinHandle<Result<(), String>>, Searches, AskAgent)> {
    let Ends { printers, places, wake, poll_now, desired, secrets, cancel, credentials } = ends;
    let mut rows = Vec::new();
    for body in stores.gateway.printers().await? {
        match serde_json::from_str::<PrinterRow>(&body) {
            Ok(row) => rows.push(row),
            Err(error) => tracing::error!(%error, "a printer's row does not read back; it will be found anew"),
        }
    }
    if !rows.is_empty() {
        tracing::info!(printers = rows.len(), "printers known");
    }

    let (sightings, discovery) = mpsc::channel(SIGHTINGS);
    let known = rows.iter().flat_map(|row| &row.printer.endpoints).map(|endpoint| endpoint.key.as_str());
    let forgotten = listed::forgotten(known, &config.printer_list);
    let known = rows.iter().flat_map(|row| &row.printer.endpoints).map(|endpoint| endpoint.key.clone()).collect();
    let snmp = snmp_side::start(&config.snmp, snmp_side::SecretSource::Nucleus(secrets), cancel.clone());
    let before = sources::Before { known, forgotten };
    let known = (printers, places);
    let searches = sources::start(config, before, sources::SETTLE, Some(&snmp), known, &sightings, cancel);
    let ask_agent = agents::ask(snmp.clone(), config.snmp.port, networks(config));
    let settings = HubSettings {
        gateway: gateway.clone(),
        intervals: Intervals { idle: signed(config.poll_idle), fast: signed(config.poll_busy), ..Intervals::default() },
        seed: seed(),
        snmp: config.snmp.enabled,
        rules: config.rules.clone(),
        given_names: sources::given_names(config),
    };
    printers.put_away(put_away(stores, config).await?);
    let mut state = HubState::new(settings, rows, Timestamp::now());
    // Before anything else runs: the first status counts them, and tickets for them are not for unknown printers. As they
    // were: what the rules make of them now is not durable yet, and of those that are put away jobs under way are followed.
    printers.publish(state.take_stored_views());
    let committer = Committer {
        gateway: gateway.clone(),
        topics: topics.clone(),
        store: stores.gateway.clone(),
        wake: wake.clone(),
    };
    let ports = HubPorts {
        discovery,
        poll_now,
        desired,
        poller: poller(networks(config), places.clone(), snmp, config.snmp.port, credentials.clone(), printers.clone()),
        commit: move |output| {
            let committer = committer.clone();
            async move { committer.commit(output).await }
        },
        printers: printers.clone(),
        clock: Arc::new(Timestamp::now),
        cancel: cancel.clone(),
    };
    let hub = tokio::spawn(async move { hub::run(state, ports).await.map(drop).map_err(|error| error.to_string()) });
    Ok((hub, searches, ask_agent))
}

/// The printers that were put away in earlier runs, and those that the configuration retires.
async fn put_away(stores: &Stores, config: &Config) -> anyhow::Result<Vec<(PrinterId, Gone)>> {
    let stored = stores.gateway.put_away().await?.into_iter().filter_map(|(id, why)| {
        let why = if why == Gone::Retired.as_str() { Gone::Retired } else { Gone::Ignored };
        Some((PrinterId::new(id).ok()?, why))
    });
    let stored = stored.filter(|(id, why)| stands(&config.rules, id, *why));
    Ok(stored.chain(config.rules.retired.iter().map(|id| (id.clone(), Gone::Retired))).collect())
}

/// Whether the rule by which a printer was put away may still be there. Which of the other selectors named it is not
/// known any more.
fn stands(rules: &Rules, id: &PrinterId, why: Gone) -> bool {
    let names = |selector: &Selector| !matches!(selector, Selector::Id(other) if other != id);
    match why {
        Gone::Retired => rules.retired.contains(id),
        _ => rules.ignored.iter().any(names),
    }
}

/// Keeps the job book's directory in step with the hub's view.
pub(super) fn directory(
    printers: &Printers,
    cancel: &CancellationToken,
    tasks: &mut Vec<JoinHandle<()>>,
) -> watch::Receiver<Arc<Directory>> {
    follow(printers, cancel, tasks, |printers, sender| drop(sender.send_replace(Arc::new(snapshot(printers)))))
}

/// Keeps the uplink's list of printers in step with the hub's view.
pub(super) fn names(
    printers: &Printers,
    cancel: &CancellationToken,
    tasks: &mut Vec<JoinHandle<()>>,
) -> watch::Receiver<Arc<Names>> {
    follow(printers, cancel, tasks, |printers, sender| {
        let all = printers.all();
        // Those that were put away have a shadow that is to say so.
        let gone = printers.all_put_away().into_iter().map(|gone| gone.id);
        let mut aliases: Vec<PrinterId> =
            all.iter().flat_map(|view| view.aliases.iter().cloned()).chain(gone).collect();
        aliases.sort();
        aliases.dedup();
        let now = Arc::new(Names { printers: all.iter().map(|view| view.id.clone()).collect(), aliases });
        sender.send_if_modified(|names| {
            let news = *names != now;
            *names = now;
            news
        });
    })
}

/// What `tell` makes of the hub's view, told once at the start and again after each change.
fn follow<T: Default + Send + Sync + 'static>(
    printers: &Printers,
    cancel: &CancellationToken,
    tasks: &mut Vec<JoinHandle<()>>,
    tell: impl Fn(&Printers, &watch::Sender<T>) + Send + 'static,
) -> watch::Receiver<T> {
    let mut changed = printers.changed();
    let (printers, cancel) = (printers.clone(), cancel.clone());
    let (sender, receiver) = watch::channel(T::default());
    tell(&printers, &sender);
    tasks.push(tokio::spawn(async move {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                news = changed.changed() => if news.is_err() { return },
            }
            tell(&printers, &sender);
        }
    }));
    receiver
}

fn snapshot(printers: &Printers) -> Directory {
    let mut directory = Directory::new();
    for view in printers.all() {
        let refuses = (view.standing == Standing::Pending).then_some(Refusal::NotApproved);
        enter(&mut directory, &view, refuses);
    }
    for gone in printers.all_put_away() {
        let refusal = if gone.why == Gone::Retired { Refusal::Retired } else { Refusal::Ignored };
        match &gone.last {
            Some(view) => enter(&mut directory, view, Some(refusal)),
            None => {
                let id = gone.id.clone();
                let known = Known { id, reach: Vec::new(), refuses: Some(refusal), who: Arc::default() };
                directory.entry(gone.id).or_insert_with(|| Arc::new(known));
            }
        }
    }
    directory
}

fn enter(directory: &mut Directory, view: &PrinterView, refuses: Option<Refusal>) {
    let reach = |(endpoint, pin): &(Endpoint, Option<Pin>)| Reach {
        endpoint: endpoint.clone(),
        pin: pin.as_ref().map(|pin| *pin.as_bytes()),
        formats: formats(view, endpoint),
    };
    let reach = view.endpoints.iter().map(reach).collect();
    let known = Known { id: view.id.clone(), reach, refuses, who: Arc::clone(&view.who) };
    let known = Arc::new(known);
    for id in view.aliases.iter().chain([&view.id]) {
        directory.entry(id.clone()).or_insert_with(|| Arc::clone(&known));
    }
}

/// What an AppSocket or LPD endpoint takes: what was announced or configured for it, else what the printer says of
/// itself.
fn formats(view: &PrinterView, endpoint: &Endpoint) -> Vec<String> {
    if endpoint.kind.is_ipp() {
        return Vec::new();
    }
    let named = view.formats.iter().find(|(known, _)| known == endpoint).map(|(_, formats)| formats.clone());
    named.unwrap_or_else(|| view.capabilities.formats.clone())
}

/// One poll: Get-Printer-Attributes, or what the SNMP agent says. IPP clients are not kept between polls a minute apart:
/// printers close by then.
pub(super) fn poller(
    networks: Networks,
    places: PrintPlaces,
    snmp: snmp_side::Clients,
    port: u16,
    credentials: Credentials,
    printers: Printers,
) -> Poller {
    Arc::new(move |question: Question| -> BoxFuture<Result<PollAnswer, PollError>> {
        let policy = networks();
        match question.source {
            Source::Ipp => {
                let endpoint = &question.endpoint;
                let is_id = |name: &str| is_printer(&printers, name, endpoint);
                let basic = match question.pin {
                    None if endpoint.kind == EndpointKind::Ipps => credentials.find_for_stranger(endpoint, is_id),
                    _ => credentials.find(endpoint, is_id),
                };
                let mut permitted = policy.permit(endpoint);
                // What an agent or mDNS says of a port may not have become an endpoint.
                permitted.addresses.retain(|address| !places.contains(*address, endpoint.port));
                Box::pin(poll(permitted, question.pin, basic))
            }
            Source::Snmp => Box::pin(snmp_side::poll(snmp.clone(), port, policy, question)),
        }
    })
}

/// Whether a text is the id of the printer with this endpoint.
fn is_printer(printers: &Printers, id: &str, endpoint: &Endpoint) -> bool {
    let view = PrinterId::new(id).ok().and_then(|id| printers.get(&id));
    view.is_some_and(|view| view.endpoints.iter().any(|(known, _)| known == endpoint))
}

async fn poll(endpoint: Endpoint, pin: Option<Pin>, basic: Option<Arc<Basic>>) -> Result<PollAnswer, PollError> {
    if endpoint.addresses.is_empty() {
        let message = format!(
            "{}: no address of it is in an allowed network, or its port is announced as a print port",
            endpoint.uri()
        );
        return Err(PollError::new(PollErrorKind::Unreachable, message));
    }
    let target = Target::from_endpoint(&endpoint, pin.map(|pin| Fingerprint(*pin.as_bytes())));
    let client = Client::new(target, Timeouts::default()).with_basic(basic);
    let response = client.call(Request::get_printer_attributes(decode::ATTRIBUTES, None)).await.map_err(poll_error)?;
    if !response.is_success() {
        let status = response.status();
        let words = status.keyword().map_or_else(|| format!("0x{:04x}", status.0), str::to_owned);
        let message = format!("{}: Get-Printer-Attributes: {words}", endpoint.uri());
        return Err(PollError::new(PollErrorKind::Answer, message));
    }
    let Some(observation) = decode::observation(&response.message, Timestamp::now()) else {
        let message = format!("{}: the answer says nothing of the printer", endpoint.uri());
        return Err(PollError::new(PollErrorKind::Answer, message));
    };
    Ok(PollAnswer {
        observation,
        fingerprint: client.fingerprint_seen().map(|fingerprint| Pin::from_sha256(fingerprint.0)),
    })
}

fn poll_error(error: IppError) -> PollError {
    let kind = match &error {
        IppError::CertificateChanged { seen, .. } => {
            PollErrorKind::CertificateChanged { presented: Pin::from_sha256(seen.0) }
        }
        error if error.is_deadline() => PollErrorKind::Timeout,
        IppError::Http { .. } | IppError::Answer { .. } => PollErrorKind::Answer,
        _ => PollErrorKind::Unreachable,
    };
    PollError::new(kind, error.to_string())
}

/// Makes the hub's output durable, messages in their envelopes.
#[derive(Clone)]
struct Committer {
    gateway: GatewayName,
    topics: Topics,
    store: GatewayStore,
    wake: Wake,
}

impl Committer {
    /// Tries until it is durable: what the hub decided is never lost to a full disk, it only waits.
    async fn commit(&self, output: HubOutput) -> Result<(), StoreError> {
        let commit = self.rows(output);
        loop {
            match self.store.commit(commit.clone(), Timestamp::now()).await {
                Ok(dropped) => {
                    if dropped > 0 {
                        tracing::warn!(dropped, "the outbox is full: the oldest messages were given up");
                    }
                    self.wake.wake();
                    return Ok(());
                }
                Err(error) if matches!(error, StoreError::Closed(_)) || error.is_damage() => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "what was learned of the printers waits for the disk");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    fn rows(&self, output: HubOutput) -> Commit {
        let mut commit = Commit { shadows: Vec::new(), ..Commit::default() };
        for row in &output.saves {
            match serde_json::to_string(row) {
                Ok(body) => commit.printers.push((row.id().to_string(), body)),
                Err(error) => tracing::error!(%error, "a printer's row cannot be written"),
            }
        }
        commit.gone = output.deletes.iter().map(|(id, why)| (id.to_string(), why.as_str())).collect();
        commit.shadows = output.shadows.into_iter().map(|(id, document)| (id.to_string(), document)).collect();
        commit.messages = output.records.into_iter().filter_map(|record| self.message(record)).collect();
        commit
    }

    fn message(&self, record: Record) -> Option<Message> {
        let id = message_id();
        let (class, topic, payload) = match record.body {
            RecordBody::Status(report) => {
                let document = wire::Message::new(id.clone(), record.at, self.gateway.clone(), report);
                (Class::Status, self.topics.printer_status(&record.printer), wire::encode("status", &document))
            }
            RecordBody::Event(report) => {
                let document = wire::Message::new(id.clone(), record.at, self.gateway.clone(), report);
                (Class::Event, self.topics.event(&record.printer), wire::encode("event", &document))
            }
            RecordBody::Telemetry(record) => {
                (Class::Telemetry, String::new(), wire::encode("telemetry record", &record))
            }
        };
        match payload {
            Ok(payload) => Some(Message { class, message: id.to_string(), topic, payload }),
            Err(error) => {
                tracing::error!(%error, printer = record.printer.as_str(), "a message is not sent");
                None
            }
        }
    }
}

fn seed() -> u64 {
    let mut bits = [0; 8];
    // The system's random source does not fail once the system is up; zeros would only spread polls less.
    let _ = getrandom::fill(&mut bits);
    u64::from_ne_bytes(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_put_away_stays_so_only_while_a_rule_says_so() {
        let (a, b) = (PrinterId::new("hp-a").unwrap(), PrinterId::new("hp-b").unwrap());
        let none = Rules::default();
        assert!(!stands(&none, &a, Gone::Ignored) && !stands(&none, &a, Gone::Retired));
        let ignored = |text: &str| Rules { ignored: vec![text.parse().unwrap()], ..Rules::default() };
        assert!(stands(&ignored("id:hp-a"), &a, Gone::Ignored));
        assert!(!stands(&ignored("id:hp-b"), &a, Gone::Ignored), "another one is named");
        assert!(stands(&ignored("10.0.0.0/24"), &a, Gone::Ignored), "it may be meant");
        let retired = Rules { retired: vec![b.clone()], ..Rules::default() };
        assert!(stands(&retired, &b, Gone::Retired) && !stands(&retired, &a, Gone::Retired));
    }
}
