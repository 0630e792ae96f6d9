//! What the classic nucleus asks components before a deployment: may it go on, and is the new configuration valid.
//!
//! ```text
//!          ┌────────────── recheckAfterMs after it was asked ─────────────┐
//!          ▼                                                              │
//! asked: preUpdateEvent ──DeferComponentUpdate, recheckAfterMs > 0──▶ Deferred
//!   │          │
//!   │          └──DeferComponentUpdate, recheckAfterMs 0──▶ Proceeded
//!   ├──nobody subscribed──▶ Proceeded
//!   └──no answer within the deployment's timeout──▶ TimedOut (the deployment goes on, too)
//! ```
//! A component may defer without end. After the deployment comes `postUpdateEvent`. The real nucleus asks all that
//! subscribed and waits for the longest; here one component is asked. Local deployments ask nobody, so they are no
//! matter of this module. Only the last question to a component can be answered.

use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// A deployment is deferred for no longer than this at a time; the real nucleus has no bound.
const MAX_DEFERRAL: Duration = Duration::from_secs(24 * 3_600);

/// How a component took the news of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// It agreed, or nobody had subscribed, after so many deferrals.
    Proceeded {
        /// How often it deferred.
        deferrals: u32,
    },
    /// It said nothing within the deployment's timeout, after so many deferrals.
    TimedOut {
        /// How often it deferred.
        deferrals: u32,
    },
}

/// What a component says of a configuration that is about to be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validity {
    /// It is valid, or the component did not subscribe to being asked.
    Accepted,
    /// It is not, and why.
    Rejected(String),
    /// No report within the deployment's timeout: the deployment fails.
    NoReport,
}

/// Everything that is asked or listened to.
#[derive(Default)]
pub(super) struct Updates(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    update_listeners: BTreeMap<u64, Listener>,
    validation_listeners: BTreeMap<u64, Listener>,
    /// By component and deployment.
    deferrals: HashMap<(String, String), oneshot::Sender<Duration>>,
    /// By component.
    validations: HashMap<String, oneshot::Sender<Validity>>,
}

struct Listener {
    component: String,
    to: mpsc::Sender<Value>,
}

/// Which of the two subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Update,
    Validation,
}

/// Why an answer was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unasked {
    NotSubscribed,
    TooLate,
}

impl State {
    fn listeners(&mut self, question: Question) -> &mut BTreeMap<u64, Listener> {
        match question {
            Question::Update => &mut self.update_listeners,
            Question::Validation => &mut self.validation_listeners,
        }
    }

    /// Tells the component's listeners; false when none takes it.
    fn tell(&mut self, question: Question, component: &str, event: &Value) -> bool {
        let listeners = self.listeners(question).values().filter(|l| l.component == component);
        listeners.filter(|l| l.to.try_send(event.clone()).is_ok()).count() > 0
    }
}

impl Updates {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes a component; the returned number ends it again.
    pub(super) fn listen(&self, question: Question, component: &str, to: mpsc::Sender<Value>) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.listeners(question).insert(id, Listener { component: component.to_owned(), to });
        id
    }

    pub(super) fn unlisten(&self, question: Question, id: u64) {
        self.lock().listeners(question).remove(&id);
    }

    /// Asks whether a deployment may go on, again after each deferral.
    pub(super) async fn propose(&self, component: &str, deployment: &str, timeout: Duration) -> UpdateOutcome {
        let key = (component.to_owned(), deployment.to_owned());
        let event = json!({"preUpdateEvent": {"deploymentId": deployment, "isGgcRestarting": false}});
        let mut deferrals = 0;
        loop {
            let (answer, answered) = oneshot::channel();
            let asked_at = Instant::now();
            {
                let mut state = self.lock();
                state.deferrals.clear();
                // Kept before the event goes out: the answer may be quick.
                state.deferrals.insert(key.clone(), answer);
                if !state.tell(Question::Update, component, &event) {
                    state.deferrals.remove(&key);
                    return UpdateOutcome::Proceeded { deferrals };
                }
            }
            match tokio::time::timeout(timeout, answered).await {
                Ok(Ok(Duration::ZERO)) => return UpdateOutcome::Proceeded { deferrals },
                Ok(Ok(recheck)) => {
                    deferrals = deferrals.saturating_add(1);
                    tokio::time::sleep_until(asked_at + recheck.min(MAX_DEFERRAL)).await;
                }
                // Nobody answers any more, or another deployment asks.
                Ok(Err(_)) | Err(_) => {
                    self.lock().deferrals.remove(&key);
                    return UpdateOutcome::TimedOut { deferrals };
                }
            }
        }
    }

    /// Tells that the deployment is done.
    pub(super) fn finish(&self, component: &str, deployment: &str) {
        let event = json!({"postUpdateEvent": {"deploymentId": deployment}});
        self.lock().tell(Question::Update, component, &event);
    }

    /// A component's DeferComponentUpdate.
    pub(super) fn defer(&self, component: &str, deployment: &str, recheck: Duration) -> Result<(), Unasked> {
        let mut state = self.lock();
        if !state.update_listeners.values().any(|l| l.component == component) {
            return Err(Unasked::NotSubscribed);
        }
        let asked = state.deferrals.remove(&(component.to_owned(), deployment.to_owned()));
        asked.and_then(|answer| answer.send(recheck).ok()).ok_or(Unasked::TooLate)
    }

    /// Asks whether a configuration is valid.
    pub(super) async fn validate(
        &self,
        component: &str,
        deployment: &str,
        configuration: &Value,
        timeout: Duration,
    ) -> Validity {
        let event = json!({"validateConfigurationUpdateEvent":
            {"configuration": configuration, "deploymentId": deployment}});
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.lock();
            state.validations.insert(component.to_owned(), answer);
            if !state.tell(Question::Validation, component, &event) {
                state.validations.remove(component);
                return Validity::Accepted;
            }
        }
        match tokio::time::timeout(timeout, answered).await {
            Ok(Ok(validity)) => validity,
            Ok(Err(_)) | Err(_) => {
                self.lock().validations.remove(component);
                Validity::NoReport
            }
        }
    }

    /// A component's SendConfigurationValidityReport.
    pub(super) fn report(&self, component: &str, validity: Validity) -> Result<(), Unasked> {
        let asked = self.lock().validations.remove(component);
        asked.and_then(|answer| answer.send(validity).ok()).ok_or(Unasked::TooLate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_deployment_waits_for_what_the_component_says() {
        let updates = std::sync::Arc::new(Updates::default());
        assert_eq!(updates.propose("c", "d", MINUTE).await, UpdateOutcome::Proceeded { deferrals: 0 });
        assert_eq!(updates.defer("c", "d", MINUTE), Err(Unasked::NotSubscribed));
        let (to, mut events) = mpsc::channel(4);
        let id = updates.listen(Question::Update, "c", to);
        assert_eq!(updates.defer("c", "d", MINUTE), Err(Unasked::TooLate));
        let asking = tokio::spawn({
            let updates = updates.clone();
            async move { updates.propose("c", "d", MINUTE).await }
        });
        let started = Instant::now();
        for recheck in [Duration::from_secs(90), Duration::from_secs(30), Duration::ZERO] {
            let event = events.recv().await.unwrap();
            assert_eq!(event, json!({"preUpdateEvent": {"deploymentId": "d", "isGgcRestarting": false}}));
            assert_eq!(updates.defer("c", "other", recheck), Err(Unasked::TooLate));
            assert_eq!(updates.defer("c", "d", recheck), Ok(()));
        }
        assert_eq!(asking.await.unwrap(), UpdateOutcome::Proceeded { deferrals: 2 });
        assert_eq!(started.elapsed().as_secs(), 120);
        updates.finish("c", "d");
        assert_eq!(events.recv().await.unwrap(), json!({"postUpdateEvent": {"deploymentId": "d"}}));
        assert_eq!(updates.propose("c", "d", MINUTE).await, UpdateOutcome::TimedOut { deferrals: 0 });
        assert_eq!(updates.defer("c", "d", MINUTE), Err(Unasked::TooLate));
        updates.unlisten(Question::Update, id);
        assert_eq!(updates.propose("c", "d", MINUTE).await, UpdateOutcome::Proceeded { deferrals: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_configuration_is_judged_once() {
        let updates = std::sync::Arc::new(Updates::default());
        assert_eq!(updates.validate("c", "d", &json!({}), MINUTE).await, Validity::Accepted);
        let (to, mut events) = mpsc::channel(4);
        updates.listen(Question::Validation, "c", to);
        let asking = tokio::spawn({
            let updates = updates.clone();
            async move { updates.validate("c", "d", &json!({"a": 1}), MINUTE).await }
        });
        let event = events.recv().await.unwrap();
        let expected = json!({"configuration": {"a": 1}, "deploymentId": "d"});
        assert_eq!(event, json!({"validateConfigurationUpdateEvent": expected}));
        assert_eq!(updates.report("c", Validity::Rejected("no".into())), Ok(()));
        assert_eq!(updates.report("c", Validity::Accepted), Err(Unasked::TooLate));
        assert_eq!(asking.await.unwrap(), Validity::Rejected("no".into()));
        assert_eq!(updates.validate("c", "d", &json!({}), MINUTE).await, Validity::NoReport);
    }
}
