//! The hub's side of the composition: mDNS in, polls over IPP and SNMP, commits to the store, the directory for jobs.

use super::{Stores, signed, snmp_side};
use crate::cloud::greengrass::secrets::Secrets;
use crate::cloud::wire::{self, Topics};
use crate::config::Config;
use crate::deliver::credentials::Credentials;
use crate::discovery::listed;
use crate::discovery::mdns::{Mdns, MdnsOptions};
use crate::discovery::{local_networks, loopback_networks};
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::ids::{GatewayName, PrinterId};
use crate::domain::net::PrinterPolicy;
use crate::domain::registry::Pin;
use crate::domain::schedule::Intervals;
use crate::domain::sighting::DiscoveryEvent;
use crate::domain::state::Source;
use crate::hub::{
    self, BoxFuture, HubOutput, HubPorts, HubSettings, HubState, PollAnswer, PollError, PollErrorKind, Poller,
    PrinterRow, PrinterView, Printers, Question, Record, RecordBody,
};
use crate::ipp::client::{Basic, Client, Error as IppError, Fingerprint, Target, Timeouts};
use crate::ipp::decode;
use crate::ipp::request::Request;
use crate::jobs::{Directory, Known, Networks, Reach};
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
/// How often the machine's networks are looked at.
const NETWORKS_LOOK: Duration = Duration::from_secs(30);
/// Pause after the store refused a commit.
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// What the hub shares with the others.
pub(super) struct Ends<'a> {
    /// Its view, for all to read.
    pub(super) printers: &'a Printers,
    /// Messages wait to be sent.
    pub(super) wake: &'a Wake,
    /// Printers to be polled at once.
    pub(super) poll_now: mpsc::Receiver<PrinterId>,
    /// Logins are resolved here.
    pub(super) secrets: Secrets,
    /// Its end.
    pub(super) cancel: &'a CancellationToken,
    /// For printers that ask.
    pub(super) credentials: &'a Credentials,
}

/// Starts mDNS and the hub.
pub(super) async fn start(
    gateway: &GatewayName,
    topics: &Topics,
    config: &Config,
    stores: &Stores,
    ends: Ends<'_>,
) -> anyhow::Result<JoinHandle<Result<(), String>>> {
    let Ends { printers, wake, poll_now, secrets, cancel, credentials } = ends;
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
    tokio::spawn(named_by_hand(config.clone(), forgotten, sightings.clone(), cancel.clone()));
    let snmp = snmp_side::start(&config.snmp, secrets, cancel.clone());
    if config.mdns {
        tokio::spawn(browse(config.clone(), sightings, cancel.clone()));
    }
    let settings = HubSettings {
        gateway: gateway.clone(),
        intervals: Intervals { idle: signed(config.poll_idle), fast: signed(config.poll_busy), ..Intervals::default() },
        seed: seed(),
        snmp: config.snmp.enabled,
    };
    let mut state = HubState::new(settings, rows, Timestamp::now());
    // Before anything else runs: the first status counts them, and tickets for them are not for unknown printers.
    printers.publish(state.take_views());
    let committer = Committer {
        gateway: gateway.clone(),
        topics: topics.clone(),
        store: stores.gateway.clone(),
        wake: wake.clone(),
    };
    let ports = HubPorts {
        discovery,
        poll_now,
        poller: poller(networks(config), snmp, config.snmp.port, credentials.clone(), printers.clone()),
        commit: move |output| {
            let committer = committer.clone();
            async move { committer.commit(output).await }
        },
        printers: printers.clone(),
        clock: Arc::new(Timestamp::now),
        cancel: cancel.clone(),
    };
    Ok(tokio::spawn(async move { hub::run(state, ports).await.map_err(|error| error.to_string()) }))
}

/// Reports the printers of the configuration's list, and takes back those that are no longer in it.
async fn named_by_hand(
    config: Config,
    forgotten: Vec<String>,
    sightings: mpsc::Sender<DiscoveryEvent>,
    cancel: CancellationToken,
) {
    let list = config.printer_list.clone();
    let work = async {
        for key in forgotten {
            if sightings.send(DiscoveryEvent::Withdrawn { key }).await.is_err() {
                return;
            }
        }
        if !list.is_empty() {
            listed::run(list, || policy(&config), sightings.clone()).await;
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = work => {}
    }
}

/// Runs mDNS, anew whenever the machine's networks are others: a gateway may start before its network does.
async fn browse(config: Config, sightings: mpsc::Sender<DiscoveryEvent>, cancel: CancellationToken) {
    loop {
        let policy = policy(&config);
        let mut options = MdnsOptions::new(policy.clone());
        options.loopback = config.loopback;
        options.port = config.mdns_port;
        let moved = async {
            loop {
                tokio::time::sleep(NETWORKS_LOOK).await;
                if self::policy(&config) != policy {
                    return;
                }
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = Mdns::new(options).run(sightings.clone()) => return,
            () = moved => tracing::info!("the networks of this machine changed; looking for printers anew"),
        }
    }
}

/// Keeps the job book's directory in step with the hub's view.
pub(super) fn directory(
    printers: &Printers,
    cancel: &CancellationToken,
    tasks: &mut Vec<JoinHandle<()>>,
) -> watch::Receiver<Arc<Directory>> {
    let mut changed = printers.changed();
    let printers = printers.clone();
    let (sender, receiver) = watch::channel(Arc::new(snapshot(&printers)));
    let cancel = cancel.clone();
    tasks.push(tokio::spawn(async move {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                news = changed.changed() => if news.is_err() { return },
            }
            sender.send_replace(Arc::new(snapshot(&printers)));
        }
    }));
    receiver
}

/// Keeps the uplink's list of printers in step with the hub's view.
pub(super) fn names(
    printers: &Printers,
    cancel: &CancellationToken,
    tasks: &mut Vec<JoinHandle<()>>,
) -> watch::Receiver<Arc<Names>> {
    let mut changed = printers.changed();
    let printers = printers.clone();
    let list = |printers: &Printers| {
        let all = printers.all();
        let aliases = all.iter().flat_map(|view| view.aliases.iter().cloned()).collect();
        Arc::new(Names { printers: all.iter().map(|view| view.id.clone()).collect(), aliases })
    };
    let (sender, receiver) = watch::channel(list(&printers));
    let cancel = cancel.clone();
    tasks.push(tokio::spawn(async move {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                news = changed.changed() => if news.is_err() { return },
            }
            let now = list(&printers);
            sender.send_if_modified(|names| {
                let news = *names != now;
                *names = now;
                news
            });
        }
    }));
    receiver
}

fn snapshot(printers: &Printers) -> Directory {
    let mut directory = Directory::new();
    for view in printers.all() {
        let reach = view
            .endpoints
            .iter()
            .map(|(endpoint, pin)| Reach {
                endpoint: endpoint.clone(),
                pin: pin.as_ref().map(|pin| *pin.as_bytes()),
                formats: formats(&view, endpoint),
            })
            .collect();
        let known = Arc::new(Known { id: view.id.clone(), reach });
        for alias in &view.aliases {
            directory.insert(alias.clone(), Arc::clone(&known));
        }
        directory.insert(view.id.clone(), known);
    }
    directory
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

/// Where printers may be contacted, looked up anew each time.
pub(super) fn networks(config: &Config) -> Networks {
    let config = config.clone();
    Arc::new(move || policy(&config))
}

/// Printers may be where the gateway is connected directly, and where the configuration says.
fn policy(config: &Config) -> PrinterPolicy {
    let mut allowed = local_networks();
    if config.loopback {
        allowed.extend(loopback_networks());
    }
    allowed.extend(config.printer_networks.iter().cloned());
    PrinterPolicy { allowed }
}

/// One poll: Get-Printer-Attributes, or what the SNMP agent says. IPP clients are not kept between polls a minute apart:
/// printers close by then.
fn poller(
    networks: Networks,
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
                Box::pin(poll(policy.permit(endpoint), question.pin, basic))
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
        let message = format!("{}: no address of it is in an allowed network", endpoint.uri());
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
        commit.gone = output.deletes.iter().map(ToString::to_string).collect();
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
