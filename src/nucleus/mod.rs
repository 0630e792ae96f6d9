//! The stand-in Greengrass nucleus, as `lite` or `classic`: what the demo and the tests run the gateway against.
//!
//! ```text
//! component ──IPC, Unix socket──▶ ipc ──▶ link ──MQTT, TCP──▶ broker ◀──MQTT── any client: "the cloud"
//!                                  │                           ▲
//!                                  └─▶ component (configuration)└── shadow service
//! ```
//! - `profile`: how the two runtimes differ;
//! - `ipc`: the event-stream protocol, tokens, `accessControl`, the runtime's operations, sizes and answers;
//! - `local`, `local_shadows`, `secrets`, `updates`: what components reach without the cloud;
//! - `link`: the nucleus's MQTT connections, as lite and classic have them; `faults` is what can be wrong with them;
//! - `broker`: the crate `mqtt5`, embedded behind `front`, which has AWS's `quota`s, or any other broker by address;
//! - [`shadow`]: the Device Shadow service, an MQTT client of the same broker;
//! - `runner`: runs a component from its recipe;
//! - `control`: a Unix socket with JSON lines, to break things or deploy a configuration; `script`: the same from a file.
//!
//! Nothing between component and cloud is short-circuited: every byte goes over the IPC socket and over TCP.
//!
//! What it does not do: TLS and certificates, IoT policies, Jobs, rules, local deployments,
//! synchronization of local shadows with the cloud. State is in memory and ends with it.

mod broker;
mod command;
mod component;
mod configuration;
mod control;
pub mod faults;
mod frame;
mod front;
mod gate;
mod ipc;
mod link;
mod local;
mod local_shadows;
mod packet;
mod policy;
mod profile;
mod quota;
mod request;
mod runner;
mod script;
mod secrets;
pub mod shadow;
mod topic;
mod updates;

pub use self::component::ReportedState;
pub use self::configuration::ConfigurationError;
pub use self::front::QuotaStatus;
pub use self::link::{LinkStatus, MAX_IN_FLIGHT, MAX_INBOUND, MAX_SUBSCRIPTIONS};
pub use self::profile::{Limits, Profile};
pub use self::quota::Quotas;
pub use self::runner::recipe::architecture;
pub use self::runner::{Recipe, RunnerConfig, RunnerError, RunnerState, RunnerStatus};
pub use self::script::{Script, ScriptError};
pub use self::secrets::{MAX_SECRET, Secret, SecretError, SecretValue};
pub use self::updates::{UpdateOutcome, Validity};

use self::broker::{Backend, Broker};
use self::component::Components;
use self::configuration::Rules;
use self::faults::{FaultStatus, Faults};
use self::gate::Gate;
use self::ipc::Shared;
use self::link::Link;
use self::runner::Runner;
use self::secrets::Secrets;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Everything is connected within this time, or `start` fails.
const START: Duration = Duration::from_secs(10);
/// A change of the link takes effect within this time.
const LINK: Duration = Duration::from_secs(10);
const SHUTDOWN: Duration = Duration::from_secs(3);
/// `sun_path` of a Unix socket address, without the final zero.
const MAX_SOCKET_PATH: usize = 107;

/// How to run a stand-in nucleus.
#[derive(Debug, Clone)]
pub struct NucleusConfig {
    /// Where the IPC socket is made. The directory must exist; a dead socket there is replaced.
    pub ipc_socket: PathBuf,
    /// Where the control socket is made, if at all.
    pub control_socket: Option<PathBuf>,
    /// Port of the embedded broker on 127.0.0.1; 0 takes a free one. Ignored with `broker`.
    pub mqtt_port: u16,
    /// Another broker instead of the embedded one, as host and port (plain TCP, no credentials).
    pub broker: Option<(String, u16)>,
    /// The core device's thing name.
    pub thing_name: String,
    /// The AWS region that components are told.
    pub region: String,
    /// The components that may connect.
    pub components: Vec<ComponentConfig>,
    /// Which runtime is played.
    pub profile: Profile,
    /// The classic nucleus's `interpolateComponentConfiguration`: `{iot:thingName}` in a deployed configuration is
    /// replaced. Without it that happens in `accessControl` for MQTT only. Lite has no such choice.
    pub interpolate: bool,
    /// What the classic nucleus's secret manager holds.
    pub secrets: Vec<Secret>,
    /// What AWS allows; `None`: everything, for benchmarks. The broker's quotas are those of the embedded one.
    pub quotas: Option<Quotas>,
    /// The things that may have shadows.
    pub things: shadow::Things,
}

impl NucleusConfig {
    /// Lite, one component, an embedded broker on a free port, no control socket, region `eu-central-1`, no secrets.
    pub fn new(ipc_socket: impl Into<PathBuf>, thing_name: impl Into<String>, component: ComponentConfig) -> Self {
        Self {
            ipc_socket: ipc_socket.into(),
            control_socket: None,
            mqtt_port: 0,
            broker: None,
            thing_name: thing_name.into(),
            region: "eu-central-1".into(),
            components: vec![component],
            profile: Profile::default(),
            interpolate: false,
            secrets: Vec::new(),
            quotas: Some(Quotas::default()),
            things: shadow::Things::default(),
        }
    }
}

/// One component as it would have been deployed.
#[derive(Debug, Clone)]
pub struct ComponentConfig {
    /// Component name, reverse DNS.
    pub name: String,
    /// Component version, told in its environment.
    pub version: String,
    /// The configuration: a JSON object, with `accessControl` in it.
    pub config: Value,
}

/// Why a nucleus did not start, or did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum NucleusError {
    /// The socket's path is too long for the kernel.
    #[error("the socket path {0} is longer than {MAX_SOCKET_PATH} bytes: choose a shorter directory")]
    SocketPath(PathBuf),
    /// Another process listens there.
    #[error("another nucleus listens on {0}: stop it or choose another directory")]
    InUse(PathBuf),
    /// A socket cannot be made.
    #[error("cannot make the socket {path}: {error}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the kernel says.
        error: std::io::Error,
    },
    /// The embedded broker does not start.
    #[error("the embedded MQTT broker does not start on 127.0.0.1:{port}: {reason}")]
    Broker {
        /// The port asked for; 0 is any.
        port: u16,
        /// The broker's words.
        reason: String,
    },
    /// The broker cannot be reached.
    #[error("no MQTT broker answers at {host}:{port} within {} s", START.as_secs())]
    Unreachable {
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
    /// A configuration is not valid.
    #[error("the configuration of {component}: {error}")]
    Configuration {
        /// Component name.
        component: String,
        /// What is wrong.
        error: ConfigurationError,
    },
    /// A secret is not one.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There is no such component.
    #[error("there is no component {0}")]
    NoComponent(String),
    /// A fault cannot be put in force.
    #[error("{0}")]
    Fault(String),
    /// No random numbers for a token.
    #[error("the system gives no random numbers for a token")]
    Random,
    /// The link did not change in time.
    #[error("the link is still {} after {} s", if *.0 { "down" } else { "up" }, LINK.as_secs())]
    Link(bool),
}

/// What the nucleus is doing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The runtime that is played.
    pub profile: Profile,
    /// The connection to the broker.
    pub link: LinkStatus,
    /// Each component's state as it reported it, and its open IPC connections.
    pub components: BTreeMap<String, ComponentStatus>,
    /// Local publish/subscribe.
    pub local: LocalStatus,
    /// The names of the secrets; their values are shown nowhere.
    pub secrets: Vec<String>,
    /// The faults in force, and what they did.
    pub faults: FaultStatus,
    /// What the embedded broker's quotas did; absent with another broker.
    pub quotas: Option<QuotaStatus>,
    /// The component's process, if the nucleus runs it.
    pub runner: Option<RunnerStatus>,
}

/// What is known of local publish/subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalStatus {
    /// Open subscriptions.
    pub subscriptions: usize,
    /// Messages thrown away because a component did not read.
    pub stalled: u64,
}

/// What is known of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentStatus {
    /// The last UpdateState; absent before the first.
    pub state: Option<ReportedState>,
    /// Open IPC connections.
    pub connections: usize,
    /// Whether another component paused it (classic).
    pub paused: bool,
}

/// A running stand-in nucleus. End it with [`Nucleus::shutdown`]; dropping it ends everything too, without waiting.
pub struct Nucleus {
    handle: NucleusHandle,
    ipc_socket: SocketFile,
    control_socket: Option<SocketFile>,
    mqtt: (String, u16),
    environment: Arc<BTreeMap<String, Vec<(String, String)>>>,
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Nucleus {
    /// Starts broker, shadow service, link and IPC server. When it returns, all of them are connected and serving.
    pub async fn start(config: NucleusConfig) -> Result<Self, NucleusError> {
        let end = CancellationToken::new();
        // Whatever fails below, what was started before it ends.
        let guard = end.clone().drop_guard();
        let tasks = TaskTracker::new();
        let (profile, interpolate) = (config.profile, config.interpolate);
        let components = Components::new(Rules { profile, thing_name: config.thing_name.clone(), interpolate });
        let mut environment = BTreeMap::new();
        for component in &config.components {
            let now_ms = jiff::Timestamp::now().as_millisecond();
            let token = ipc::new_token().ok_or(NucleusError::Random)?;
            environment.insert(component.name.clone(), component_environment(&config, component, &token));
            components
                .add(&component.name, token, &component.config, now_ms)
                .map_err(|error| NucleusError::Configuration { component: component.name.clone(), error })?;
        }
        let secrets = Secrets::new(&config.region);
        for secret in config.secrets {
            secrets.put(secret)?;
        }
        let (listener, ipc_socket) = listen(&config.ipc_socket).await?;
        let (control, control_socket) = match &config.control_socket {
            Some(path) => listen(path).await.map(|(listener, file)| (Some(listener), Some(file)))?,
            None => (None, None),
        };
        let (broker, mqtt) = match &config.broker {
            Some(address) => (None, address.clone()),
            None => {
                let port = config.mqtt_port;
                let started = Broker::start(port, config.quotas.clone(), &tasks, end.clone()).await;
                let broker = started.map_err(|reason| NucleusError::Broker { port, reason })?;
                let address: SocketAddr = broker.address();
                (Some(Arc::new(broker)), (address.ip().to_string(), address.port()))
            }
        };
        let (host, port) = mqtt.clone();
        let backend = broker.as_ref().map_or(Backend::Fixed(host.clone(), port), |broker| broker.backend());
        let (ready, mut shadows_ready) = watch::channel(false);
        let shadow_client = format!("{}-shadow-service", config.thing_name);
        let shadows = shadow::serve(shadow_client, backend, config.things.clone(), config.quotas.clone(), ready);
        let ended = end.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = shadows => {}
            }
        });
        // As on AWS, the nucleus connects under the thing's name.
        let faults = Arc::new(Faults::default());
        let settings = link::Settings {
            thing_name: config.thing_name.clone(),
            host: host.clone(),
            port,
            profile: config.profile,
            faults: faults.clone(),
        };
        let link = Link::start(settings, &tasks, end.clone());
        let ready = tokio::time::timeout(START, shadows_ready.wait_for(|ready| *ready)).await;
        if !matches!(ready, Ok(Ok(_))) || !link.reached(true, START).await {
            return Err(NucleusError::Unreachable { host, port });
        }
        let shared = Arc::new(Shared {
            profile,
            thing_name: config.thing_name.clone(),
            components,
            link,
            secrets,
            local: Default::default(),
            shadows: Default::default(),
            updates: Default::default(),
            gate: Gate::default(),
        });
        let environment = Arc::new(environment);
        let handle = NucleusHandle {
            shared: shared.clone(),
            broker,
            faults,
            environment: environment.clone(),
            profile: config.profile,
            runner: Arc::default(),
        };
        tasks.spawn(ipc::serve(listener, shared, tasks.clone(), end.clone()));
        if let Some(control) = control {
            tasks.spawn(control::serve(control, handle.clone(), tasks.clone(), end.clone()));
        }
        guard.disarm();
        Ok(Self { handle, ipc_socket, control_socket, mqtt, environment, tasks, end })
    }

    /// Where any MQTT client plays the cloud: host and port.
    pub fn mqtt_address(&self) -> (&str, u16) {
        (&self.mqtt.0, self.mqtt.1)
    }

    /// The broker's port.
    pub fn mqtt_port(&self) -> u16 {
        self.mqtt.1
    }

    /// The IPC socket.
    pub fn ipc_socket(&self) -> &Path {
        &self.ipc_socket.0
    }

    /// The control socket, if there is one.
    pub fn control_socket(&self) -> Option<&Path> {
        self.control_socket.as_ref().map(|file| file.0.as_path())
    }

    /// The environment that a nucleus gives `component`'s process, its token included.
    pub fn env(&self, component: &str) -> Option<&[(String, String)]> {
        self.environment.get(component).map(Vec::as_slice)
    }

    /// The controls, to be passed around.
    pub fn handle(&self) -> NucleusHandle {
        self.handle.clone()
    }

    /// See [`NucleusHandle::set_link`].
    pub async fn set_link(&self, up: bool) -> Result<(), NucleusError> {
        self.handle.set_link(up).await
    }

    /// See [`NucleusHandle::set_config`].
    pub fn set_config(&self, component: &str, config: &Value) -> Result<(), NucleusError> {
        self.handle.set_config(component, config)
    }

    /// See [`NucleusHandle::reported_state`].
    pub fn reported_state(&self, component: &str) -> Option<ReportedState> {
        self.handle.reported_state(component)
    }

    /// See [`NucleusHandle::status`].
    pub fn status(&self) -> Status {
        self.handle.status()
    }

    /// Closes every connection, ends all tasks and the broker, and removes the sockets. Takes at most 5 s, and
    /// before that the time that a component under a runner takes to stop.
    pub async fn shutdown(self) {
        self.handle.stop_component().await;
        self.end.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN, self.tasks.wait()).await.is_err() {
            tracing::warn!("the nucleus's tasks did not end in time");
        }
        if let Some(broker) = &self.handle.broker {
            broker.shutdown().await;
        }
    }
}

impl Drop for Nucleus {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// The name of a socket that was made, removed with its owner.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already, or the directory is: either is what was wanted.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The controls of a running nucleus; cheap to clone.
#[derive(Clone)]
pub struct NucleusHandle {
    shared: Arc<Shared>,
    broker: Option<Arc<Broker>>,
    faults: Arc<Faults>,
    environment: Arc<BTreeMap<String, Vec<(String, String)>>>,
    profile: Profile,
    runner: Arc<OnceLock<Runner>>,
}

impl NucleusHandle {
    /// Cuts the link to the broker (as a lost network would) or restores it, and waits until that is so.
    pub async fn set_link(&self, up: bool) -> Result<(), NucleusError> {
        self.shared.link.want(up);
        if self.shared.link.reached(up, LINK).await { Ok(()) } else { Err(NucleusError::Link(up)) }
    }

    /// Merges `config` into a component's configuration as a deployment would, and tells its subscribers.
    pub fn set_config(&self, component: &str, config: &Value) -> Result<(), NucleusError> {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let outcome = self.shared.components.deploy(component, config, now_ms);
        let outcome = outcome.ok_or_else(|| NucleusError::NoComponent(component.to_owned()))?;
        outcome.map_err(|error| NucleusError::Configuration { component: component.to_owned(), error })
    }

    /// A component's configuration as it stands.
    pub fn config(&self, component: &str) -> Option<Value> {
        self.shared.components.read(component, &[])
    }

    /// What a component last said with UpdateState.
    pub fn reported_state(&self, component: &str) -> Option<ReportedState> {
        self.shared.components.reported(component)
    }

    /// Everything at a glance.
    pub fn status(&self) -> Status {
        let components = &self.shared.components;
        let one = |name: String| {
            let status = ComponentStatus {
                state: components.reported(&name),
                connections: components.connections(&name),
                paused: components.paused(&name),
            };
            (name, status)
        };
        let (subscriptions, stalled) = self.shared.local.status();
        Status {
            profile: self.shared.profile,
            link: self.shared.link.status(),
            components: components.names().into_iter().map(one).collect(),
            local: LocalStatus { subscriptions, stalled },
            secrets: self.shared.secrets.names().into_iter().map(|(name, _)| name).collect(),
            faults: self.faults.status(),
            quotas: self.broker.as_ref().map(|broker| broker.status()),
            runner: self.runner_status(),
        }
    }

    /// The runtime that is played.
    pub fn profile(&self) -> Profile {
        self.shared.profile
    }

    /// Adds a secret, or a new version of it: the value before becomes `AWSPREVIOUS`. Returns its ARN.
    pub fn put_secret(&self, secret: Secret) -> Result<String, NucleusError> {
        Ok(self.shared.secrets.put(secret)?)
    }

    /// Asks a component that subscribed to component updates whether a deployment may go on, and waits as the classic
    /// nucleus does: up to `timeout` (`componentUpdatePolicy.timeoutInSeconds`, 60 s by default) for an answer, and
    /// again after each deferral, of which there may be any number. On lite, and without a subscription, it may go on at
    /// once. After the deployment call [`NucleusHandle::update_done`].
    pub async fn propose_update(&self, component: &str, deployment_id: &str, timeout: Duration) -> UpdateOutcome {
        self.shared.updates.propose(component, deployment_id, timeout).await
    }

    /// Tells a component that a deployment is done (`postUpdateEvent`).
    pub fn update_done(&self, component: &str, deployment_id: &str) {
        self.shared.updates.finish(component, deployment_id);
    }

    /// Asks a component that subscribed to it whether the configuration that a deployment brings is valid.
    pub async fn validate_config(
        &self,
        component: &str,
        deployment_id: &str,
        config: &Value,
        timeout: Duration,
    ) -> Validity {
        self.shared.updates.validate(component, deployment_id, config, timeout).await
    }

    /// The only component's name; `None` when there are several.
    fn only_component(&self) -> Option<String> {
        let mut names = self.shared.components.names();
        if names.len() == 1 { names.pop() } else { None }
    }
}

/// What the runtime sets for a component's process, as far as it exists here.
fn component_environment(config: &NucleusConfig, component: &ComponentConfig, token: &str) -> Vec<(String, String)> {
    let socket = config.ipc_socket.to_string_lossy();
    let pairs = [
        ("SVCUID", token),
        ("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", &socket),
        ("AWS_IOT_THING_NAME", &config.thing_name),
        ("AWS_REGION", &config.region),
        ("AWS_DEFAULT_REGION", &config.region),
        ("GGC_VERSION", config.profile.version()),
        ("GREENGRASS_COMPONENT_VERSION", &component.version),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Binds a Unix socket, in the place of a dead one if need be; only the owner and its group may connect.
async fn listen(path: &Path) -> Result<(UnixListener, SocketFile), NucleusError> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    if path.as_os_str().as_bytes().len() > MAX_SOCKET_PATH {
        return Err(NucleusError::SocketPath(path.to_owned()));
    }
    let failed = |error| NucleusError::Socket { path: path.to_owned(), error };
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
        if UnixStream::connect(path).await.is_ok() {
            return Err(NucleusError::InUse(path.to_owned()));
        }
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok((listener, file))
}
