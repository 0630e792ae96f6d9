//! UpdateState, and what only classic has about a component's life: component updates, configuration validity,
//! PauseComponent, ResumeComponent, PutComponentMetric.
//!
//! Pausing is noted and shown, and stops nothing: there is no process here. Metrics are checked and thrown away; only
//! components whose name begins with `aws.` may send them.

use super::super::component::ReportedState;
use super::super::policy::Service;
use super::super::updates::{Question, Unasked, Validity};
use super::{Connection, EVENTS, Refusal, Source, optional_text};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;

impl Connection {
    pub(super) async fn update_state(&mut self, request: &Value, stream: i32) -> Result<(), Refusal> {
        let state = match request.get("state").and_then(Value::as_str) {
            Some("RUNNING") => ReportedState::Running,
            Some("ERRORED") => ReportedState::Errored,
            // Java's `State.valueOf` throws; the handler makes a ServiceError of it.
            Some(state) if self.is_classic() => {
                return Err(Refusal::Service(format!(
                    "No enum constant com.aws.greengrass.dependency.State.{state:.40}"
                )));
            }
            None if self.is_classic() => return Err(Refusal::Service(String::new())),
            _ => return Err(Refusal::InvalidArguments("Invalid component state.".into())),
        };
        self.shared.components.report(&self.component, state);
        self.answer(stream, "UpdateStateResponse", &json!({})).await
    }

    pub(super) async fn subscribe_to_component_updates(&mut self, stream: i32) -> Result<(), Refusal> {
        let model = ("SubscribeToComponentUpdatesResponse", "ComponentUpdatePolicyEvents");
        self.listen(Question::Update, stream, model).await
    }

    pub(super) async fn subscribe_to_validation(&mut self, stream: i32) -> Result<(), Refusal> {
        let model = ("SubscribeToValidateConfigurationUpdatesResponse", "ValidateConfigurationUpdateEvents");
        self.listen(Question::Validation, stream, model).await
    }

    async fn listen(
        &mut self,
        question: Question,
        stream: i32,
        (answer, event): (&str, &'static str),
    ) -> Result<(), Refusal> {
        self.room_for_a_stream()?;
        let (to, events) = mpsc::channel(EVENTS);
        let id = self.shared.updates.listen(question, &self.component, to);
        let answered = self.answer_open(stream, answer).await;
        self.forward(stream, Source::Question(question, id), events, event, |event| event);
        answered
    }

    pub(super) async fn defer_component_update(&mut self, request: &Value, stream: i32) -> Result<(), Refusal> {
        let recheck = match request.get("recheckAfterMs") {
            None | Some(Value::Null) => Duration::ZERO,
            // A negative number defers nothing.
            Some(value) => Duration::from_millis(value.as_f64().map_or(0.0, |ms| ms.max(0.0)) as u64),
        };
        let deployment = optional_text(request, "deploymentId")?;
        let deferred = self.shared.updates.defer(&self.component, deployment.unwrap_or_default(), recheck);
        match (deferred, deployment) {
            (Err(Unasked::NotSubscribed), _) => {
                let message = "Component is not subscribed to component update events";
                Err(Refusal::InvalidArguments(message.into()))
            }
            (_, None) => {
                let message = "Cannot defer the update, the deployment ID provided was null";
                Err(Refusal::InvalidArguments(message.into()))
            }
            (Err(Unasked::TooLate), _) => {
                Err(Refusal::Service("Time limit to respond to PreComponentUpdateEvent exceeded".into()))
            }
            (Ok(()), Some(_)) => self.answer(stream, "DeferComponentUpdateResponse", &json!({})).await,
        }
    }

    pub(super) async fn report_validity(&mut self, request: &Value, stream: i32) -> Result<(), Refusal> {
        let report = request.get("configurationValidityReport").unwrap_or(&Value::Null);
        let validity = match report.get("status").and_then(Value::as_str) {
            Some("ACCEPTED") => Validity::Accepted,
            Some("REJECTED") => {
                let message = report.get("message").and_then(Value::as_str).unwrap_or_default();
                Validity::Rejected(message.chars().take(1_000).collect())
            }
            _ => {
                return Err(Refusal::InvalidArguments(
                    "Cannot accept configuration validity report, the status was null".into(),
                ));
            }
        };
        let reported = self.shared.updates.report(&self.component, validity);
        let too_late = "Validation request either timed out or was never made";
        reported.map_err(|_| Refusal::InvalidArguments(too_late.into()))?;
        self.answer(stream, "SendConfigurationValidityReportResponse", &json!({})).await
    }

    pub(super) async fn pause_or_resume(
        &mut self,
        operation: &str,
        request: &Value,
        stream: i32,
    ) -> Result<(), Refusal> {
        let name = optional_text(request, "componentName")?.unwrap_or_default();
        if name.is_empty() {
            return Err(Refusal::InvalidArguments("Component name was null or empty".into()));
        }
        self.authorize(Service::Lifecycle, operation, name)?;
        let pause = operation.ends_with("PauseComponent");
        if !self.shared.components.contains(name) {
            let (message, kind) = (format!("Component with name {name} not found"), "Component");
            return Err(Refusal::NotFound { message, kind, name: name.to_owned() });
        }
        if !pause && !self.shared.components.paused(name) {
            return Err(Refusal::InvalidArguments(format!("Component {name} is not paused")));
        }
        self.shared.components.pause(name, pause);
        let model = if pause { "PauseComponentResponse" } else { "ResumeComponentResponse" };
        self.answer(stream, model, &json!({})).await
    }

    pub(super) async fn put_component_metric(
        &mut self,
        operation: &str,
        request: &Value,
        stream: i32,
    ) -> Result<(), Refusal> {
        self.authorize(Service::ComponentMetric, operation, "*")?;
        if !self.component.starts_with("aws.") {
            let (component, service) = (&self.component, Service::ComponentMetric.id());
            let message = format!("Principal {component} is not authorized to perform {service}:{operation} ");
            return Err(Refusal::Unauthorized(message));
        }
        let metrics = request.get("metrics").and_then(Value::as_array).filter(|metrics| !metrics.is_empty());
        let text = |metric: &Value, key| metric.get(key).and_then(Value::as_str).map_or(0, str::len);
        let valid = |metric: &Value| {
            (1..=32).contains(&text(metric, "name"))
                && text(metric, "unit") > 0
                && metric.get("value").and_then(Value::as_f64).is_some_and(|value| value >= 0.0)
        };
        if !metrics.is_some_and(|metrics| metrics.iter().all(valid)) {
            return Err(Refusal::InvalidArguments("Invalid argument found in PutComponentMetricRequest".into()));
        }
        self.answer(stream, "PutComponentMetricResponse", &json!({})).await
    }
}
