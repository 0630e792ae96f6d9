//! One function per IPC operation: JSON in, JSON out, over [`Connection::call`] and [`Connection::subscribe`].
//! Blobs are base64 text. Fields that we do not know are ignored.

use super::connection::{Connection, RawEvent, Subscription};
use super::error::{IpcError, clean};
use crate::domain::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a component may say of itself (`UpdateState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedState {
    /// It does its work.
    Running,
    /// It cannot.
    Errored,
}

/// A message that came over MQTT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IotCoreMessage {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
}

/// A part of a component's configuration changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationUpdate {
    /// Whose configuration.
    pub component: String,
    /// Which part.
    pub key_path: Vec<String>,
}

impl Connection {
    /// `PublishToIoTCore` with QoS 1. Success means that the nucleus has it, nothing more.
    ///
    /// # Errors
    /// [`IpcError`]
    pub async fn publish_to_iot_core(&self, topic: &str, payload: &[u8]) -> Result<(), IpcError> {
        let request = json!({ "topicName": topic, "qos": "1", "payload": STANDARD.encode(payload) });
        self.call("PublishToIoTCore", &request).await.map(drop)
    }

    /// `SubscribeToIoTCore` with QoS 1; read its events with [`iot_core_message`]. Nucleus lite answers before the
    /// broker has confirmed: a message published at once after it can be missed.
    ///
    /// # Errors
    /// [`IpcError`]
    pub async fn subscribe_to_iot_core(&self, filter: &str) -> Result<Subscription, IpcError> {
        self.subscribe("SubscribeToIoTCore", &json!({ "topicName": filter, "qos": "1" })).await
    }

    /// `GetConfiguration` of our own component, or of `component`: the answer's `value`. For an object that is the
    /// object; for a leaf both runtimes wrap it as `{"last key": leaf}`.
    ///
    /// # Errors
    /// [`IpcError`]; a path that does not exist is a `ResourceNotFoundError`.
    pub async fn get_configuration(&self, component: Option<&str>, key_path: &[&str]) -> Result<Value, IpcError> {
        let mut answer = self.call("GetConfiguration", &configuration_request(component, key_path)).await?;
        match answer.get_mut("value") {
            Some(value) => Ok(value.take()),
            None => Err(IpcError::BadAnswer { operation: "GetConfiguration".into(), reason: "no `value`".into() }),
        }
    }

    /// `SubscribeToConfigurationUpdate`; read its events with [`configuration_update`].
    ///
    /// # Errors
    /// [`IpcError`]
    pub async fn subscribe_to_configuration_update(
        &self,
        component: Option<&str>,
        key_path: &[&str],
    ) -> Result<Subscription, IpcError> {
        self.subscribe("SubscribeToConfigurationUpdate", &configuration_request(component, key_path)).await
    }

    /// `UpdateState`.
    ///
    /// # Errors
    /// [`IpcError`]
    pub async fn update_state(&self, state: ReportedState) -> Result<(), IpcError> {
        let state = match state {
            ReportedState::Running => "RUNNING",
            ReportedState::Errored => "ERRORED",
        };
        self.call("UpdateState", &json!({ "state": state })).await.map(drop)
    }
}

/// A deployment is about to touch components; it waits for one answer to this event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreUpdate {
    /// Which deployment; goes into the answer.
    pub deployment: String,
    /// Whether the nucleus itself is restarted.
    pub nucleus_restarts: bool,
}

impl Connection {
    /// `GetSecretValue` of the version `AWSCURRENT`: the answer's `secretValue`. Nucleus classic only.
    ///
    /// # Errors
    /// [`IpcError`]
    pub async fn get_secret_value(&self, id: &str) -> Result<Secret, IpcError> {
        let mut answer = self.call("GetSecretValue", &json!({ "secretId": id })).await?;
        let bad = |reason: &str| IpcError::BadAnswer { operation: "GetSecretValue".into(), reason: reason.to_owned() };
        let Some(Value::Object(mut value)) = answer.get_mut("secretValue").map(Value::take) else {
            return Err(bad("no `secretValue`"));
        };
        match (value.remove("secretString"), value.remove("secretBinary")) {
            (Some(Value::String(text)), _) => Ok(Secret::new(text)),
            // What does not decode is not quoted: it may be most of the secret.
            (_, Some(Value::String(text))) => {
                STANDARD.decode(text).map(Secret::new).map_err(|_| bad("`secretBinary` is not base64"))
            }
            _ => Err(bad("neither `secretString` nor `secretBinary`")),
        }
    }

    /// `SubscribeToComponentUpdates`; read its events with [`pre_update`]. Nucleus classic only.
    ///
    /// # Errors
    /// [`IpcError`]
    pub async fn subscribe_to_component_updates(&self) -> Result<Subscription, IpcError> {
        self.subscribe("SubscribeToComponentUpdates", &json!({})).await
    }

    /// `DeferComponentUpdate`: the one answer to a [`PreUpdate`]. With 0 ms the update goes on, otherwise the nucleus
    /// asks again after `recheck_after_ms`.
    ///
    /// # Errors
    /// [`IpcError`]; a `ServiceError` where the nucleus waits no more.
    pub async fn defer_component_update(
        &self,
        deployment: &str,
        message: &str,
        recheck_after_ms: u64,
    ) -> Result<(), IpcError> {
        let request = json!({ "deploymentId": deployment, "message": message, "recheckAfterMs": recheck_after_ms });
        self.call("DeferComponentUpdate", &request).await.map(drop)
    }
}

/// Reads an event of `SubscribeToComponentUpdates`. `None` if it announces nothing.
///
/// # Errors
/// What is wrong with it, for a log line.
pub fn pre_update(event: &RawEvent) -> Result<Option<PreUpdate>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload {
        pre_update_event: Option<Event>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        deployment_id: String,
        #[serde(default)]
        is_ggc_restarting: bool,
    }
    let event = parse::<Payload>(event)?.pre_update_event;
    Ok(event.map(|e| PreUpdate { deployment: e.deployment_id, nucleus_restarts: e.is_ggc_restarting }))
}

/// Reads an event of `SubscribeToIoTCore`. `None` if it is not one.
///
/// # Errors
/// What is wrong with it, for a log line.
pub fn iot_core_message(event: &RawEvent) -> Result<Option<IotCoreMessage>, String> {
    #[derive(Deserialize)]
    struct Payload {
        message: Option<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        #[serde(rename = "topicName")]
        topic_name: String,
        // An empty MQTT payload may come as no field at all.
        payload: Option<String>,
    }
    let Some(message) = parse::<Payload>(event)?.message else { return Ok(None) };
    let payload = STANDARD.decode(message.payload.unwrap_or_default()).map_err(|e| format!("payload: {e}"))?;
    Ok(Some(IotCoreMessage { topic: message.topic_name, payload: payload.into() }))
}

/// Reads an event of `SubscribeToConfigurationUpdate`. `None` if it is not one.
///
/// # Errors
/// What is wrong with it, for a log line.
pub fn configuration_update(event: &RawEvent) -> Result<Option<ConfigurationUpdate>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload {
        configuration_update_event: Option<Update>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Update {
        #[serde(default)]
        component_name: String,
        #[serde(default)]
        key_path: Vec<String>,
    }
    let update = parse::<Payload>(event)?.configuration_update_event;
    Ok(update.map(|u| ConfigurationUpdate { component: u.component_name, key_path: u.key_path }))
}

fn parse<T: for<'a> Deserialize<'a>>(event: &RawEvent) -> Result<T, String> {
    serde_json::from_slice(&event.payload).map_err(|e| clean(&e.to_string()))
}

fn configuration_request(component: Option<&str>, key_path: &[&str]) -> Value {
    let mut request = json!({ "keyPath": key_path });
    if let (Some(component), Some(fields)) = (component, request.as_object_mut()) {
        fields.insert("componentName".to_owned(), component.into());
    }
    request
}
