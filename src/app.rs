//! The composition root: build, spawn, shutdown order. Nothing is decided here.
//!
//! ```text
//! start:    databases → link to the nucleus → configuration → spool → { hub ◀ sources, jobs, uplink } → RUNNING
//! new configuration:  the same in-process, from the databases on
//! SIGTERM:  sources, hub → jobs (transfers under way get their grace) → uplink (says "stopping") → link
//! ```
//!
//! The whole stop takes less than 4 s: the classic nucleus kills after 5.
//!
//! Configuration: of the nucleus, or of a file. An invalid one changes nothing: the last valid one stays in force,
//! across restarts too, and the gateway's status tells every error. A gateway that never had a valid one runs on the
//! defaults. Only an invalid *file* ends the program, because whoever named it stands beside it.

mod agents;
mod configuration;
mod console_side;
mod hinted;
mod hub_side;
pub mod look;
mod secrets;
mod snmp_side;
mod sources;
mod sweep_side;
mod visits;

use crate::cloud::greengrass::secrets::Secrets;
use crate::cloud::greengrass::{IpcError, IpcSettings, Link, LinkSettings, ReportedState, deferral};
use crate::cloud::wire::{Configuration, Topics};
use crate::config::{self, Config};
use crate::console::Console;
use crate::deliver::raw;
use crate::document::fetch::{self, Fetcher};
use crate::document::spool::{Spool, SpoolLimits};
use crate::domain::ids::GatewayName;
use crate::domain::net::DocumentPolicy;
use crate::domain::registry::Adoption;
use crate::domain::{lane, outbox};
use crate::hub::Printers;
use crate::ipp::client::Timeouts;
use crate::jobs;
use crate::store::Wake;
use crate::store::gateway::GatewayStore;
use crate::store::jobs::JobStore;
use crate::uplink::{self, Ended, GatewayFacts};
use anyhow::Context;
use configuration::{FollowConfiguration, first_configuration, read_file};
use jiff::{SignedDuration, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The component's name where the recipe does not say another in `PRINTGATE_COMPONENT_NAME`.
pub const COMPONENT_NAME: &str = "dev.printgate.PrintGateway";

/// Events of the link that may wait for the uplink.
const LINK_EVENTS: usize = 256;
/// Announced updates that may wait for their answers: there is one deployment at a time.
const UPDATES: usize = 8;
/// IPC streams: subscriptions of single printers, where they need them, and requests.
const MAX_STREAMS: usize = 640;
/// Commands that may wait for the job book's owner.
const COMMANDS: usize = 64;
/// Parts of the stop.
const JOBS_GRACE: Duration = Duration::from_millis(2_000);
const JOBS_STOP: Duration = Duration::from_millis(500);
/// How long transfers under way may go on when only the configuration changed.
const RECONFIGURE_GRACE: Duration = Duration::from_secs(30);
const UPLINK_STOP: Duration = Duration::from_millis(1_000);
const CONSOLE_STOP: Duration = Duration::from_millis(200);

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Databases and spool lie here.
    pub work_dir: PathBuf,
    /// Configuration from a file instead of the nucleus.
    pub config_file: Option<PathBuf>,
}

/// How the gateway ended.
#[derive(Debug)]
pub enum Outcome {
    /// It was asked to.
    Stopped,
    /// The nucleus refuses us for good: a restart brings a new token.
    Refused(String),
    /// The file's configuration is not valid.
    InvalidConfiguration(Vec<config::Finding>),
}

/// Runs the gateway until `stop`.
pub async fn run(options: Options, ipc: IpcSettings, stop: CancellationToken) -> anyhow::Result<Outcome> {
    let mut ipc = ipc;
    ipc.component_name.get_or_insert_with(|| COMPONENT_NAME.to_owned());
    let gateway = ipc.thing_name.clone().unwrap_or_default();
    let gateway = GatewayName::new(gateway).context("AWS_IOT_THING_NAME")?;
    let from_file = match options.config_file.as_deref().map(read_file).transpose()? {
        None => None,
        Some(checked) => match checked.config {
            Ok(config) => Some(config),
            Err(errors) => return Ok(Outcome::InvalidConfiguration(errors)),
        },
    };
    let stores = Stores::open(&options.work_dir).await?;
    let console = Console::new(gateway.clone(), stores.jobs.clone(), stores.gateway.clone(), Timestamp::now());
    // Not of one configuration: it answers while another one is taken up.
    let serving = CancellationToken::new();
    let server = tokio::spawn(console.clone().serve(options.work_dir.clone(), serving.clone()));
    let outcome = generations(&options, &gateway, &ipc, &stores, &console, from_file, stop).await;
    serving.cancel();
    let _ = tokio::time::timeout(CONSOLE_STOP, server).await;
    outcome
}

/// Runs under one configuration after the other.
async fn generations(
    options: &Options,
    gateway: &GatewayName,
    ipc: &IpcSettings,
    stores: &Stores,
    console: &Console,
    from_file: Option<Config>,
    stop: CancellationToken,
) -> anyhow::Result<Outcome> {
    let mut current: Option<Config> = from_file.clone();
    loop {
        let start = Generation::start(options, gateway, ipc, stores, console, current.take(), from_file.is_some());
        let run = tokio::select! {
            biased;
            // The nucleus may take its time to answer; what is started by then ends with the process.
            () = stop.cancelled() => return Ok(Outcome::Stopped),
            run = start => run?,
        };
        match run.until_end(&stop).await {
            End::Stopped => return Ok(Outcome::Stopped),
            End::Refused(reason) => return Ok(Outcome::Refused(reason)),
            End::Failed(reason) => anyhow::bail!(reason),
            End::NewConfiguration(config) => {
                tracing::info!("a new configuration takes effect");
                current = Some(*config);
            }
        }
    }
}

#[derive(Clone)]
struct Stores {
    jobs: JobStore,
    gateway: GatewayStore,
}

impl Stores {
    async fn open(dir: &Path) -> anyhow::Result<Self> {
        let epoch = uplink::message_id().to_string();
        let jobs = JobStore::open(&dir.join("jobs.db"), &epoch).await?;
        let gateway = GatewayStore::open(&dir.join("gateway.db"), &epoch).await?;
        for aside in [&jobs.set_aside, &gateway.set_aside].into_iter().flatten() {
            tracing::error!(file = %aside.display(), "a damaged database was set aside; a fresh one takes its place");
        }
        Ok(Self { jobs, gateway })
    }
}

/// Everything that runs under one configuration.
struct Generation {
    uplink: JoinHandle<Ended>,
    /// Ends early, with the reason, when the job book cannot be read.
    jobs: JoinHandle<Result<(), String>>,
    /// Ends early, with the reason, when nothing can be stored any more.
    hub: JoinHandle<Result<(), String>>,
    others: Vec<JoinHandle<()>>,
    new_configuration: mpsc::Receiver<Config>,
    cancel_others: CancellationToken,
    cancel_jobs: CancellationToken,
    /// Transfers under way are not waited for any longer.
    hurry: CancellationToken,
    cancel_uplink: CancellationToken,
    farewell: CancellationToken,
    cancel_link: CancellationToken,
}

enum End {
    Stopped,
    Refused(String),
    Failed(String),
    NewConfiguration(Box<Config>),
}

impl Generation {
    async fn start(
        options: &Options,
        gateway: &GatewayName,
        ipc: &IpcSettings,
        stores: &Stores,
        console: &Console,
        config: Option<Config>,
        config_is_fixed: bool,
    ) -> anyhow::Result<Self> {
        let cancel_link = CancellationToken::new();
        let (link_events, events) = mpsc::channel(LINK_EVENTS);
        let (announced, updates) = mpsc::channel(UPDATES);
        let mut settings = LinkSettings::new(ipc.clone(), Vec::new());
        // What to subscribe to is in the configuration, which comes over this link.
        (settings.filters, settings.updates) = (None, Some(announced));
        settings.limits.max_streams = MAX_STREAMS;
        let link = Link::start(settings, link_events, cancel_link.clone());
        let (config, told) = match config {
            Some(config) => (config, Configuration { valid: true, errors: Vec::new() }),
            None => first_configuration(&link, &stores.gateway).await,
        };
        let topics = Topics::with(gateway, &config.naming);
        uplink::take_over(gateway, &config.naming, &stores.jobs, &stores.gateway).await?;
        link.subscribe(topics.filters());

        let limits = SpoolLimits { quota: config.spool_max_bytes, reserve: config.spool_reserve_bytes };
        let spool = Spool::open(options.work_dir.join("spool"), limits).await?;
        let fetcher = match Fetcher::new(config.document_ca_file.as_deref()) {
            Ok(fetcher) => fetcher,
            Err(error) => {
                // A wrong file must not stop the gateway: what works yesterday without it goes on.
                tracing::error!(%error, "documents.caFile is not used");
                Fetcher::new(None)?
            }
        };

        let wake = Wake::default();
        let printers = Printers::default();
        let configuration_changed = Arc::new(Notify::new());
        let (commands_in, commands) = mpsc::channel(COMMANDS);
        let (poll, poll_now) = mpsc::channel(COMMANDS);
        let (desired_in, desired) = mpsc::channel(COMMANDS);
        let cancel_others = CancellationToken::new();
        let cancel_jobs = CancellationToken::new();
        let cancel_uplink = CancellationToken::new();
        let farewell = CancellationToken::new();
        let mut others = Vec::new();

        let secrets = Secrets::new(link.clone());
        let credentials = secrets::credentials(&config, &secrets);
        let places = sources::print_places(&config, &printers);
        let ends = hub_side::Ends {
            printers: &printers,
            places: &places,
            wake: &wake,
            poll_now,
            desired,
            secrets,
            cancel: &cancel_others,
            credentials: &credentials,
        };
        // In this order: a ticket may come at once, and must find the printers of earlier runs in the directory.
        let (hub, searches, ask_agent) = hub_side::start(gateway, &topics, &config, stores, ends).await?;
        let (facts_in, facts) = watch::channel(GatewayFacts { printers: printers.counts(), config: told });
        let directory = hub_side::directory(&printers, &cancel_others, &mut others);
        let names = hub_side::names(&printers, &cancel_others, &mut others);
        if config.mdns {
            tracing::info!("looking for printers over mDNS");
        }

        let view = watch::Sender::default();
        console.show(console_side::live(printers.clone(), view.subscribe(), facts.clone(), searches));
        let uplink = uplink::Parts {
            gateway: gateway.clone(),
            topics: topics.clone(),
            names,
            link: link.clone(),
            events,
            jobs: stores.jobs.clone(),
            store: stores.gateway.clone(),
            commands: commands_in,
            desired: desired_in,
            shadows_approve: config.rules.adoption == Adoption::Approve,
            wake: wake.clone(),
            facts,
            configuration_changed: Arc::clone(&configuration_changed),
            limits: outbox::Limits {
                size: config.window,
                per_second: config.messages_per_second,
                ..outbox::Limits::default()
            },
            shadow_limits: lane::Limits {
                in_flight: config.shadows_in_flight,
                per_second: config.shadow_requests_per_second,
                ..lane::Limits::default()
            },
            farewell: farewell.clone(),
            view,
        };
        let uplink = tokio::spawn(uplink::run(uplink, cancel_uplink.clone()));

        let (transfers, under_way) = watch::channel(0);
        others.push(tokio::spawn(deferral::run(link.clone(), updates, under_way, config.defer_updates)));
        let parts = jobs::Parts {
            gateway: gateway.clone(),
            topics,
            transfers,
            store: stores.jobs.clone(),
            spool,
            fetcher,
            directory,
            networks: sources::networks(&config),
            places,
            commands,
            wake,
            poll_now: poll,
            ask_agent,
            settings: jobs::Settings {
                max_document_bytes: config.document_max_bytes,
                documents: DocumentPolicy {
                    allowed_hosts: config.document_hosts.clone(),
                    allowed_networks: config.document_networks.clone(),
                },
                fetch: fetch::Limits { total: config.document_timeout, ..fetch::Limits::default() },
                printers: Timeouts::default(),
                credentials,
                raw: raw::Limits::default(),
            },
        };
        let jobs_cancel = cancel_jobs.clone();
        let hurry = CancellationToken::new();
        let jobs_hurry = hurry.clone();
        let jobs = tokio::spawn(async move {
            jobs::run(parts, jobs_cancel, jobs_hurry)
                .await
                .map_err(|error| format!("the job book cannot be read: {error}"))
        });

        let (new_configuration_in, new_configuration) = mpsc::channel(1);
        let follow = FollowConfiguration {
            link: link.clone(),
            store: stores.gateway.clone(),
            in_force: config,
            fixed: config_is_fixed,
            changed: configuration_changed,
            printers,
            facts: facts_in,
            new_configuration: new_configuration_in,
        };
        others.push(tokio::spawn(follow.run(cancel_others.clone())));
        others.push(tokio::spawn(report_running(link, cancel_others.clone())));
        Ok(Self {
            uplink,
            jobs,
            hub,
            others,
            new_configuration,
            cancel_others,
            cancel_jobs,
            hurry,
            cancel_uplink,
            farewell,
            cancel_link,
        })
    }

    async fn until_end(mut self, stop: &CancellationToken) -> End {
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => End::Stopped,
            ended = &mut self.uplink => match ended {
                Ok(Ended::Refused(reason)) => End::Refused(reason),
                Ok(Ended::Cancelled) => End::Stopped,
                Err(error) => End::Failed(format!("the uplink failed: {error}")),
            },
            // A gateway without jobs or without printers must not look like one that works: a restart may help.
            ended = &mut self.jobs => End::Failed(why("the job book's owner", ended)),
            ended = &mut self.hub => End::Failed(why("the hub", ended)),
            Some(config) = self.new_configuration.recv() => End::NewConfiguration(Box::new(config)),
        };
        self.cancel_others.cancel();
        self.cancel_jobs.cancel();
        if !self.jobs.is_finished() {
            if matches!(end, End::NewConfiguration(_)) {
                // Nobody waits with a SIGKILL: a transfer may end properly.
                tokio::select! {
                    _ = tokio::time::timeout(RECONFIGURE_GRACE, &mut self.jobs) => {}
                    () = stop.cancelled() => {}
                }
            }
            if !self.jobs.is_finished() && tokio::time::timeout(JOBS_GRACE, &mut self.jobs).await.is_err() {
                self.hurry.cancel();
            }
            if !self.jobs.is_finished() && tokio::time::timeout(JOBS_STOP, &mut self.jobs).await.is_err() {
                self.jobs.abort();
            }
        }
        if matches!(end, End::Stopped) {
            self.farewell.cancel();
        }
        self.cancel_uplink.cancel();
        if !self.uplink.is_finished() && tokio::time::timeout(UPLINK_STOP, &mut self.uplink).await.is_err() {
            self.uplink.abort();
        }
        self.cancel_link.cancel();
        self.hub.abort();
        if !self.hub.is_finished() {
            // Aborted: only that it does not run beside the next generation's matters.
            let _ = self.hub.await;
        }
        self.others.iter().for_each(JoinHandle::abort);
        for other in self.others {
            // Aborted or ended: only that nothing of this generation runs any more matters.
            let _ = other.await;
        }
        end
    }
}

fn why(who: &str, ended: Result<Result<(), String>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => format!("{who} ended by itself"),
        Ok(Err(reason)) => reason,
        Err(error) => format!("{who} failed: {error}"),
    }
}

/// Tells the nucleus that the component runs, until it has heard.
async fn report_running(link: Link, cancel: CancellationToken) {
    let mut pause = Duration::from_millis(50);
    let told = async {
        loop {
            match link.update_state(ReportedState::Running).await {
                Ok(()) => return,
                // A runtime that does not know the operation does not wait for it either.
                Err(error @ IpcError::Service { .. }) => {
                    tracing::debug!(%error, "the nucleus does not take a state");
                    return;
                }
                Err(error) => tracing::debug!(%error, "the state is not reported yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = told => {}
    }
}

/// Pauses of configuration as the hub's clock counts.
fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::greengrass::Token;

    pub(super) fn nobody_there(dir: &Path) -> IpcSettings {
        IpcSettings {
            socket: dir.join("ipc.sock"),
            token: Token::new("T1"),
            thing_name: Some("gw1".into()),
            component_name: None,
        }
    }

    #[tokio::test]
    async fn a_stop_is_obeyed_while_the_nucleus_does_not_answer_yet() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { work_dir: dir.path().to_owned(), config_file: None };
        let stop = CancellationToken::new();
        stop.cancel();
        let run = run(options, nobody_there(dir.path()), stop);
        let ended = tokio::time::timeout(Duration::from_secs(4), run).await;
        assert!(matches!(ended, Ok(Ok(Outcome::Stopped))), "{ended:?}");
    }

    #[tokio::test]
    async fn a_gateway_whose_job_book_or_hub_fails_ends_and_says_why() {
        type Task = JoinHandle<Result<(), String>>;
        let runs = || -> Task { tokio::spawn(std::future::pending()) };
        let fails = |why: &'static str| -> Task { tokio::spawn(async move { Err(why.to_owned()) }) };
        let panics = || -> Task { tokio::spawn(async { panic!("a fault") }) };
        for (jobs, hub, reason) in [
            (fails("no book"), runs(), "no book"),
            (runs(), fails("no disk"), "no disk"),
            (panics(), runs(), "the job book's owner failed: task"),
        ] {
            let cancel_uplink = CancellationToken::new();
            let cancelled = cancel_uplink.clone();
            let (_new_configuration, new_configuration) = mpsc::channel(1);
            let generation = Generation {
                uplink: tokio::spawn(async move {
                    cancelled.cancelled().await;
                    Ended::Cancelled
                }),
                jobs,
                hub,
                others: Vec::new(),
                new_configuration,
                cancel_others: CancellationToken::new(),
                cancel_jobs: CancellationToken::new(),
                hurry: CancellationToken::new(),
                cancel_uplink,
                farewell: CancellationToken::new(),
                cancel_link: CancellationToken::new(),
            };
            let stop = CancellationToken::new();
            let end = tokio::time::timeout(Duration::from_secs(4), generation.until_end(&stop)).await;
            assert!(matches!(&end, Ok(End::Failed(why)) if why.starts_with(reason)), "{reason}");
        }
    }
}
