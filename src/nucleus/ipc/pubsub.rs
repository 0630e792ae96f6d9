//! PublishToTopic and SubscribeToTopic: local messages, JSON objects or bytes.
//!
//! Numbers in a JSON message come back as floats on classic, whose Gson has no integers.

use super::super::configuration::as_gson;
use super::super::local::{Body, LocalMessage};
use super::super::policy::Service;
use super::super::topic::MAX_TOPIC;
use super::{Connection, EVENTS, Refusal, Source, optional_text};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What lite's IPC and local bus say of a request that is not of their form.
const INVALID: &str = "Received invalid parameters.";

impl Connection {
    pub(super) async fn publish_to_topic(
        &mut self,
        operation: &str,
        request: &Value,
        stream: i32,
    ) -> Result<(), Refusal> {
        let topic = self.local_topic(request, "Publish topic must not be null")?;
        self.authorize(Service::PubSub, operation, topic)?;
        if self.is_classic() && topic.contains(['+', '#', '*']) {
            return Err(Refusal::InvalidArguments("Publish topic must not contain a wildcard.".into()));
        }
        let body = self.body(request)?;
        let message = LocalMessage { topic: topic.into(), body };
        self.shared.local.publish(&self.component, message).await;
        self.answer(stream, "PublishToTopicResponse", &json!({})).await
    }

    pub(super) async fn subscribe_to_topic(
        &mut self,
        operation: &str,
        request: &Value,
        stream: i32,
    ) -> Result<(), Refusal> {
        let filter = self.local_topic(request, "Subscribe topic must not be empty")?;
        self.authorize(Service::PubSub, operation, filter)?;
        let from_others = match optional_text(request, "receiveMode")? {
            _ if !self.is_classic() => false,
            Some("RECEIVE_MESSAGES_FROM_OTHERS") => true,
            Some("RECEIVE_ALL_MESSAGES") => false,
            Some(_) => return Err(Refusal::Internal),
            None => filter.contains(['+', '#']),
        };
        self.room_for_a_stream()?;
        let (to, messages) = mpsc::channel(EVENTS);
        let id = self.shared.local.subscribe(filter, from_others.then(|| self.component.clone()), to);
        let answered = self.answer_open(stream, "SubscribeToTopicResponse").await;
        self.forward(stream, Source::Local(id), messages, "SubscriptionResponseMessage", event);
        answered
    }

    fn local_topic<'a>(&self, request: &'a Value, missing: &str) -> Result<&'a str, Refusal> {
        match optional_text(request, "topic")? {
            Some(topic) if topic.len() <= MAX_TOPIC && !topic.is_empty() => Ok(topic),
            Some("") | None if self.is_classic() => Err(Refusal::InvalidArguments(missing.into())),
            _ => Err(Refusal::Service(INVALID.into())),
        }
    }

    /// Exactly one of `jsonMessage` and `binaryMessage`.
    fn body(&self, request: &Value) -> Result<Body, Refusal> {
        let invalid = || if self.is_classic() { Refusal::Internal } else { Refusal::Service(INVALID.into()) };
        let of = |kind| request.get("publishMessage")?.get(kind).filter(|m| !m.is_null());
        match (of("jsonMessage"), of("binaryMessage")) {
            (Some(json), None) => match json.get("message") {
                Some(value @ Value::Object(_)) if self.is_classic() => Ok(Body::Json(Arc::new(as_gson(value.clone())))),
                Some(value @ Value::Object(_)) => Ok(Body::Json(Arc::new(value.clone()))),
                _ => Err(invalid()),
            },
            (None, Some(binary)) => {
                let text = binary.get("message").and_then(Value::as_str);
                let bytes = text.and_then(|text| BASE64_STANDARD.decode(text).ok());
                bytes.map(|bytes| Body::Binary(bytes.into())).ok_or_else(invalid)
            }
            _ => Err(invalid()),
        }
    }
}

fn event(LocalMessage { topic, body }: LocalMessage) -> Value {
    let context = json!({"topic": &*topic});
    match body {
        Body::Json(message) => json!({"jsonMessage": {"message": &*message, "context": context}}),
        Body::Binary(bytes) => {
            json!({"binaryMessage": {"message": BASE64_STANDARD.encode(&bytes), "context": context}})
        }
    }
}
