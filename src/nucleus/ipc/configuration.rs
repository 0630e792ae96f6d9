//! GetConfiguration, UpdateConfiguration, SubscribeToConfigurationUpdate. Both runtimes let a component read and watch
//! another one's configuration, and write its own.

use super::super::component::ListenError;
use super::super::configuration::{ACCESS_CONTROL, ConfigurationError};
use super::{Connection, EVENTS, Refusal, Source, optional_text};
use serde_json::{Value, json};
use tokio::sync::mpsc;

impl Connection {
    pub(super) async fn get_configuration(&mut self, request: &Value, stream: i32) -> Result<(), Refusal> {
        let name = optional_text(request, "componentName")?.unwrap_or(&self.component);
        let path = key_path(request)?;
        let value = self.shared.components.read(name, &path).ok_or_else(Refusal::no_key)?;
        let value = match (path.last(), value) {
            // A leaf comes wrapped into a map with its own key.
            (Some(key), value) if !value.is_object() => json!({ key: value }),
            (_, value) => value,
        };
        self.answer(stream, "GetConfigurationResponse", &json!({"componentName": name, "value": value})).await
    }

    pub(super) async fn update_configuration(&mut self, request: &Value, stream: i32) -> Result<(), Refusal> {
        let invalid = |classic: &str| {
            let message = if self.is_classic() { classic } else { "Received invalid parameters." };
            Refusal::InvalidArguments(message.to_owned())
        };
        let path = key_path(request).map_err(|_| invalid("KeyPath is no list of texts"))?;
        let timestamp = match request.get("timestamp").filter(|t| !t.is_null()) {
            None => return Err(invalid("Timestamp is required")),
            // Lite takes a JSON float only: 1700000000.0, not 1700000000.
            Some(timestamp) if self.is_classic() || timestamp.is_f64() => timestamp.as_f64(),
            Some(_) => None,
        };
        let seconds = timestamp.ok_or_else(|| invalid("Timestamp is no number"))?;
        let value = request.get("valueToMerge").filter(|v| !v.is_null()).cloned();
        let value = value.ok_or_else(|| invalid("ValueToMerge is required"))?;
        if self.is_classic() && !value.is_object() {
            return Err(Refusal::Internal);
        }
        let protected = path.first().is_some_and(|key| key == ACCESS_CONTROL)
            || path.is_empty() && value.get(ACCESS_CONTROL).is_some();
        if protected {
            let fields = if self.is_classic() { "fields" } else { "field" };
            let message = format!("Config update is not allowed for following {fields} [{ACCESS_CONTROL}]");
            return Err(Refusal::InvalidArguments(message));
        }
        // A float that does not fit is clamped by `as`.
        let at_ms = (seconds * 1_000.0) as i64;
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let merged = self.shared.components.update(&self.component, &path, value, at_ms, now_ms);
        match merged {
            Ok(merged) if merged.older => {
                let message = "Proposed timestamp is older than the config's latest modified timestamp";
                return Err(Refusal::FailedUpdateCondition(message.into()));
            }
            Ok(_) => {}
            Err(error @ ConfigurationError::Mismatch { .. }) if self.is_classic() => {
                return Err(Refusal::Service(error.to_string()));
            }
            Err(error) => return Err(Refusal::Service(format!("Failed to update the configuration: {error}."))),
        }
        self.answer(stream, "UpdateConfigurationResponse", &json!({})).await
    }

    pub(super) async fn subscribe_to_configuration(&mut self, request: &Value, stream: i32) -> Result<(), Refusal> {
        let name = optional_text(request, "componentName")?.unwrap_or(&self.component).to_owned();
        let path = key_path(request)?;
        self.room_for_a_stream()?;
        let (to, changes) = mpsc::channel(EVENTS);
        let id = self.shared.components.listen(&name, path, to).map_err(|error| match error {
            ListenError::NotFound => Refusal::no_key(),
            ListenError::TooMany => Refusal::Service("Failed to subscribe to configuration update.".into()),
        })?;
        let answered = self.answer_open(stream, "SubscribeToConfigurationUpdateResponse").await;
        let source = Source::Configuration { component: name.clone(), id };
        let event =
            move |path: Vec<String>| json!({"configurationUpdateEvent": {"componentName": name, "keyPath": path}});
        self.forward(stream, source, changes, "ConfigurationUpdateEvents", event);
        answered
    }
}

fn key_path(request: &Value) -> Result<Vec<String>, Refusal> {
    let list = match request.get("keyPath") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Refusal::Service("Received invalid parameters.".into())),
    };
    let keys: Option<Vec<String>> = list.iter().map(|key| key.as_str().map(str::to_owned)).collect();
    keys.ok_or_else(|| Refusal::Service("Received invalid parameters.".into()))
}
