//! What the nucleus keeps of each component: tokens, configuration, reported state, who listens to changes.

use super::configuration::{ACCESS_CONTROL, Configuration, ConfigurationError, Merged, Rules};
use super::policy::{Access, Service};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Tokens of one component that stay good: the first (from its environment) and the newest from reconnects.
const MAX_TOKENS: usize = 8;
/// Configuration subscriptions to one component.
const MAX_LISTENERS: usize = 64;

/// What a component last said of itself with UpdateState.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ReportedState {
    /// `RUNNING`
    Running,
    /// `ERRORED`
    Errored,
}

/// All components, behind one lock that is never held across an await.
pub(super) struct Components {
    rules: Rules,
    all: Mutex<BTreeMap<String, Component>>,
}

struct Component {
    tokens: VecDeque<String>,
    configuration: Configuration,
    /// `accessControl` of the configuration, read.
    access: Arc<Access>,
    reported: Option<ReportedState>,
    paused: bool,
    connections: usize,
    listeners: Vec<Listener>,
    next_listener: u64,
}

struct Listener {
    id: u64,
    path: Vec<String>,
    to: mpsc::Sender<Vec<String>>,
}

/// Why a component could not subscribe to a configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ListenError {
    NotFound,
    TooMany,
}

impl Components {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, all: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Component>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a component with its first token and its configuration as deployed at `at_ms`.
    pub(super) fn add(&self, name: &str, token: String, config: &Value, at_ms: i64) -> Result<(), ConfigurationError> {
        let configuration = Configuration::deployed(config, at_ms, self.rules.clone())?;
        let component = Component {
            tokens: VecDeque::from([token]),
            access: Arc::new(self.access(&configuration)),
            configuration,
            reported: None,
            paused: false,
            connections: 0,
            listeners: Vec::new(),
            next_listener: 0,
        };
        self.lock().insert(name.to_owned(), component);
        Ok(())
    }

    fn access(&self, configuration: &Configuration) -> Access {
        let access = configuration.read(&[ACCESS_CONTROL.to_owned()]).unwrap_or_default();
        Access::parse(&access, self.rules.profile, &self.rules.thing_name)
    }

    /// The component that `token` belongs to.
    pub(super) fn by_token(&self, token: &str) -> Option<String> {
        let components = self.lock();
        components.iter().find(|(_, c)| c.tokens.iter().any(|t| t == token)).map(|(name, _)| name.clone())
    }

    /// Adds a token to a component; false when there is no such component.
    pub(super) fn add_token(&self, name: &str, token: String) -> bool {
        let mut components = self.lock();
        let Some(component) = components.get_mut(name) else { return false };
        if component.tokens.len() >= MAX_TOKENS {
            component.tokens.remove(1);
        }
        component.tokens.push_back(token);
        true
    }

    /// Whether the component's `accessControl` allows it.
    pub(super) fn allows(&self, name: &str, service: Service, operation: &str, resource: &str) -> bool {
        let access = self.lock().get(name).map(|c| c.access.clone());
        access.is_some_and(|access| access.allows(service, operation, resource))
    }

    /// A new token in the place of all that there were; false when there is no such component.
    pub(super) fn replace_tokens(&self, name: &str, token: String) -> bool {
        let mut components = self.lock();
        let Some(component) = components.get_mut(name) else { return false };
        component.tokens = VecDeque::from([token]);
        true
    }

    /// The token that a component's process is started with.
    pub(super) fn first_token(&self, name: &str) -> Option<String> {
        self.lock().get(name)?.tokens.front().cloned()
    }

    pub(super) fn connected(&self, name: &str, delta: isize) {
        if let Some(component) = self.lock().get_mut(name) {
            component.connections = component.connections.saturating_add_signed(delta);
        }
    }

    pub(super) fn connections(&self, name: &str) -> usize {
        self.lock().get(name).map_or(0, |c| c.connections)
    }

    pub(super) fn read(&self, name: &str, path: &[String]) -> Option<Value> {
        self.lock().get(name)?.configuration.read(path)
    }

    /// A component's own write.
    pub(super) fn update(
        &self,
        name: &str,
        path: &[String],
        value: Value,
        at_ms: i64,
        now_ms: i64,
    ) -> Result<Merged, ConfigurationError> {
        let mut components = self.lock();
        let Some(component) = components.get_mut(name) else { return Ok(Merged::default()) };
        let merged = component.configuration.update(path, value, at_ms, now_ms)?;
        component.tell(&merged.told);
        Ok(merged)
    }

    /// A deployment's write. `None`: no such component.
    pub(super) fn deploy(&self, name: &str, config: &Value, at_ms: i64) -> Option<Result<(), ConfigurationError>> {
        let mut components = self.lock();
        let component = components.get_mut(name)?;
        let written = match component.configuration.deploy(config, at_ms) {
            Ok(written) => written,
            Err(error) => return Some(Err(error)),
        };
        component.access = Arc::new(self.access(&component.configuration));
        component.tell(&written);
        Some(Ok(()))
    }

    pub(super) fn listen(
        &self,
        name: &str,
        path: Vec<String>,
        to: mpsc::Sender<Vec<String>>,
    ) -> Result<u64, ListenError> {
        let mut components = self.lock();
        let component = components.get_mut(name).ok_or(ListenError::NotFound)?;
        component.configuration.read(&path).ok_or(ListenError::NotFound)?;
        if component.listeners.len() >= MAX_LISTENERS {
            return Err(ListenError::TooMany);
        }
        component.next_listener += 1;
        let id = component.next_listener;
        component.listeners.push(Listener { id, path, to });
        Ok(id)
    }

    pub(super) fn unlisten(&self, name: &str, id: u64) {
        if let Some(component) = self.lock().get_mut(name) {
            component.listeners.retain(|l| l.id != id);
        }
    }

    pub(super) fn report(&self, name: &str, state: ReportedState) {
        if let Some(component) = self.lock().get_mut(name) {
            component.reported = Some(state);
        }
    }

    pub(super) fn reported(&self, name: &str) -> Option<ReportedState> {
        self.lock().get(name)?.reported
    }

    /// Pauses or resumes; false when there is no such component.
    pub(super) fn pause(&self, name: &str, paused: bool) -> bool {
        self.lock().get_mut(name).map(|c| c.paused = paused).is_some()
    }

    pub(super) fn paused(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|c| c.paused)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }
}

impl Component {
    /// A listener whose queue is full misses the event: it reads the whole configuration on any of those before it.
    fn tell(&self, written: &[Vec<String>]) {
        for path in written {
            for listener in self.listeners.iter().filter(|l| path.starts_with(&l.path)) {
                if listener.to.try_send(path.clone()).is_err() {
                    tracing::warn!("a component does not read its configuration events");
                }
            }
        }
    }
}
