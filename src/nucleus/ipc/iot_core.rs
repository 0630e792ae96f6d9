//! PublishToIoTCore and SubscribeToIoTCore: the link, for components.
//!
//! An OK says as little as on the real runtimes. Lite takes a missing QoS as 0 and a missing payload as empty; classic
//! wants both. Retained messages, user properties and the rest of MQTT 5 are ignored.

use super::super::link::{Inbound, LinkError};
use super::super::policy::Service;
use super::{Connection, EVENTS, Refusal, Source, optional_text};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;

impl Connection {
    pub(super) async fn publish_to_iot_core(
        &mut self,
        operation: &str,
        request: &Value,
        stream: i32,
    ) -> Result<(), Refusal> {
        let topic = self.topic(request)?;
        if self.is_classic() {
            self.authorize(Service::MqttProxy, operation, topic)?;
        }
        let payload = match request.get("payload") {
            None | Some(Value::Null) if self.is_classic() => {
                return Err(Refusal::InvalidArguments("Payload is required".into()));
            }
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(text)) => BASE64_STANDARD.decode(text).map_err(|_| self.no_base64())?,
            Some(_) => return Err(Refusal::Service("Received invalid parameters.".into())),
        };
        let qos1 = self.qos(request)?;
        let limit = self.shared.profile.limits().outbound;
        if payload.len() > limit {
            let length = payload.len();
            return Err(if self.is_classic() {
                let message = format!("The publishing message size {length} exceeds the limit of {limit} bytes");
                Refusal::Service(format!("Publish to topic {topic} failed: {message}"))
            } else {
                Refusal::Close(format!("a publish of {length} bytes; {limit} fit"))
            });
        }
        if !self.is_classic() {
            self.authorize(Service::MqttProxy, operation, topic)?;
        }
        self.shared.link.publish(topic, payload, qos1).map_err(|error| self.link_error("Publish to", topic, error))?;
        self.answer(stream, "PublishToIoTCoreResponse", &json!({})).await
    }

    pub(super) async fn subscribe_to_iot_core(
        &mut self,
        operation: &str,
        request: &Value,
        stream: i32,
    ) -> Result<(), Refusal> {
        let filter = self.topic(request)?;
        if self.is_classic() {
            self.authorize(Service::MqttProxy, operation, filter)?;
        }
        let qos1 = self.qos(request)?;
        if !self.is_classic() {
            self.authorize(Service::MqttProxy, operation, filter)?;
        }
        self.room_for_a_stream()?;
        let (to, messages) = mpsc::channel::<Inbound>(EVENTS);
        let subscribed = self.shared.link.subscribe(filter, qos1, to);
        let id = subscribed.map_err(|error| self.link_error("Subscribe to", filter, error))?;
        // Answered first, forwarded afterwards: an event must never come before the answer.
        let answered = self.answer_open(stream, "SubscribeToIoTCoreResponse").await;
        let event = |message: Inbound| {
            let payload = BASE64_STANDARD.encode(&message.payload);
            json!({"message": {"topicName": message.topic, "payload": payload}})
        };
        self.forward(stream, Source::IotCore(id), messages, "IoTCoreMessage", event);
        answered
    }

    fn topic<'a>(&self, request: &'a Value) -> Result<&'a str, Refusal> {
        match optional_text(request, "topicName") {
            Ok(Some(topic)) => Ok(topic),
            Ok(None) if self.is_classic() => Err(Refusal::InvalidArguments("Topic is required".into())),
            Ok(None) | Err(_) => Err(Refusal::Service("Received invalid parameters.".into())),
        }
    }

    /// True for QoS 1. Given as number or text; AWS IoT has no QoS 2.
    fn qos(&self, request: &Value) -> Result<bool, Refusal> {
        let text = match request.get("qos") {
            None | Some(Value::Null) if self.is_classic() => {
                return Err(Refusal::InvalidArguments("QoS is required".into()));
            }
            None | Some(Value::Null) => return Ok(false),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        match text.as_str() {
            "0" => Ok(false),
            "1" => Ok(true),
            _ if self.is_classic() => Err(Refusal::InvalidArguments(format!("Invalid QoS value: {text:.20}"))),
            _ => Err(Refusal::Service("'qos' not a valid value.".into())),
        }
    }

    fn no_base64(&self) -> Refusal {
        if self.is_classic() { Refusal::Internal } else { Refusal::Service("Payload is not valid base64.".into()) }
    }

    fn link_error(&self, what: &str, topic: &str, error: LinkError) -> Refusal {
        if self.is_classic() { Refusal::Service(format!("{what} topic {topic} failed: {error}")) } else { error.into() }
    }
}
