//! The Device Shadow service behind the stand-in nucleus: an MQTT client of the same broker.
//!
//! Serves `$aws/things/{thing}/shadow` (classic) and `$aws/things/{thing}/shadow/name/{shadow}` (named) with
//! `get`, `update`, `delete` → `accepted`, `rejected`, and for updates `delta` and `documents`. Every thing is taken to
//! exist. The documents live in memory; [`document`] has their rules.
//!
//! Other than AWS IoT: answers go through the broker, so anyone may subscribe to them; nothing is throttled; a shadow
//! that was deleted keeps its version for as long as the nucleus runs (AWS: 48 hours).

pub mod document;

use self::document::{Document, Rejection, Request};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Packet;
use rumqttc::{AsyncClient, Event, MqttOptions, PublishOptions};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;

/// Shadows kept, deleted ones included; the next new one is answered 429.
pub const MAX_SHADOWS: usize = 10_000;

const CHANNEL: usize = 4_096;
const MAX_PACKET: usize = 256 * 1024;
const RETRY: Duration = Duration::from_millis(300);
const FILTERS: [&str; 6] = [
    "$aws/things/+/shadow/get",
    "$aws/things/+/shadow/update",
    "$aws/things/+/shadow/delete",
    "$aws/things/+/shadow/name/+/get",
    "$aws/things/+/shadow/name/+/update",
    "$aws/things/+/shadow/name/+/delete",
];

/// Serves until dropped. `ready` becomes true once the broker has confirmed the subscriptions.
pub(super) async fn serve(client_id: String, host: String, port: u16, ready: watch::Sender<bool>) {
    let mut options = MqttOptions::new(client_id, (host, port));
    options.set_keep_alive(30).set_clean_session(true).set_max_packet_size(MAX_PACKET, MAX_PACKET);
    let (client, mut events) = match AsyncClient::builder(options).capacity(CHANNEL).try_build() {
        Ok(pair) => pair,
        Err(error) => return tracing::error!(%error, "the shadow service's MQTT client cannot be made"),
    };
    // The service answers at once; only the nucleus's own link has lite's delays.
    events.network_options.set_tcp_nodelay(true);
    let mut shadows = Shadows::default();
    let mut confirmed = 0;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                confirmed = 0;
                for filter in FILTERS {
                    if let Err(error) = client.try_subscribe(filter, QoS::AtLeastOnce) {
                        tracing::error!(%error, filter, "the shadow service cannot subscribe");
                    }
                }
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                confirmed += 1;
                if confirmed == FILTERS.len() {
                    ready.send_replace(true);
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let Ok(topic) = std::str::from_utf8(&publish.topic) else { continue };
                let now = jiff::Timestamp::now().as_second();
                for (topic, answer) in shadows.answer(topic, &publish.payload, now) {
                    let payload = answer.to_string();
                    if let Err(error) = client.try_publish(topic, payload, PublishOptions::at_least_once()) {
                        tracing::warn!(%error, "an answer of the shadow service is lost");
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the shadow service lost the broker");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// All shadows.
#[derive(Debug, Default)]
pub struct Shadows {
    documents: HashMap<String, Document>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Get,
    Update,
    Delete,
}

/// What to publish under a request's topic: the last level and the payload.
type Answers = Vec<(&'static str, Value)>;

/// A request's topic, taken apart.
struct Address<'a> {
    /// `$aws/things/T/shadow` or `$aws/things/T/shadow/name/S`.
    prefix: &'a str,
    /// As it stands in messages: `T` or `T~S`.
    name: String,
    operation: Operation,
}

impl<'a> Address<'a> {
    /// `None`: not a request to the service, or names that AWS IoT does not allow.
    fn parse(topic: &'a str) -> Option<Self> {
        let (prefix, operation) = topic.rsplit_once('/')?;
        let operation = match operation {
            "get" => Operation::Get,
            "update" => Operation::Update,
            "delete" => Operation::Delete,
            _ => return None,
        };
        let (thing, shadow) = prefix.strip_prefix("$aws/things/")?.split_once("/shadow")?;
        let valid = |text: &str, longest: usize, more: &str| {
            (1..=longest).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || ":_-".contains(c) || more.contains(c))
        };
        if !valid(thing, 128, "") {
            return None;
        }
        let name = match shadow.strip_prefix("/name/") {
            Some(shadow) if valid(shadow, 64, "$") => format!("{thing}~{shadow}"),
            None if shadow.is_empty() => thing.to_owned(),
            _ => return None,
        };
        Some(Self { prefix, name, operation })
    }
}

impl Shadows {
    /// Handles one message at `now` (epoch seconds) and returns what to publish, in order.
    pub fn answer(&mut self, topic: &str, payload: &[u8], now: i64) -> Vec<(String, Value)> {
        let Some(address) = Address::parse(topic) else { return Vec::new() };
        let at = |suffix: &str| format!("{topic}/{suffix}");
        match self.apply(&address, payload, now) {
            Ok(answers) => answers.into_iter().map(|(suffix, answer)| (at(suffix), answer)).collect(),
            Err((rejection, token)) => {
                let mut answer = json!({"code": rejection.code, "message": rejection.message, "timestamp": now});
                if let (Some(token), Value::Object(map)) = (token, &mut answer) {
                    map.insert("clientToken".into(), token.into());
                }
                vec![(at("rejected"), answer)]
            }
        }
    }

    fn apply(
        &mut self,
        address: &Address<'_>,
        payload: &[u8],
        now: i64,
    ) -> Result<Answers, (Rejection, Option<String>)> {
        if address.operation == Operation::Update {
            let request = Request::parse_update(payload)?;
            let token = request.client_token.clone();
            if !self.documents.contains_key(address.prefix) && self.documents.len() >= MAX_SHADOWS {
                return Err((Rejection::new(429, "The stand-in keeps no more shadows"), token));
            }
            let mut document = self.documents.get(address.prefix).cloned().unwrap_or_default();
            let accepted = document.update(&request, now).map_err(|rejection| (rejection, token))?;
            self.documents.insert(address.prefix.to_owned(), document);
            let mut answers = vec![("accepted", accepted.accepted), ("documents", accepted.documents)];
            answers.extend(accepted.delta.map(|delta| ("delta", delta)));
            return Ok(answers);
        }
        let request = Request::parse_bare(payload)?;
        let document = self.documents.get_mut(address.prefix);
        let answer = match address.operation {
            Operation::Delete => document.and_then(|d| d.delete(&request, now)),
            Operation::Get | Operation::Update => document.and_then(|d| d.get(&request, now)),
        };
        match answer {
            Some(answer) => Ok(vec![("accepted", answer)]),
            None => {
                let message = format!("No shadow exists with name: '{}'", address.name);
                Err((Rejection::new(404, message), request.client_token))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_with_names_that_aws_allows_are_answered() {
        for (topic, name) in [
            ("$aws/things/gw/shadow/get", Some("gw")),
            ("$aws/things/gw:1/shadow/name/hp-1/update", Some("gw:1~hp-1")),
            ("$aws/things/gw/shadow/name/$x/delete", Some("gw~$x")),
            ("$aws/things/gw/shadow/name//get", None),
            ("$aws/things/gw/shadow/name/a b/get", None),
            ("$aws/things//shadow/get", None),
            ("$aws/things/g\u{fc}/shadow/get", None),
            ("$aws/things/gw/shadow/update/accepted", None),
            ("$aws/things/gw/shadow/x/get", None),
            ("$aws/things/gw/jobs/get", None),
        ] {
            assert_eq!(Address::parse(topic).map(|a| a.name).as_deref(), name, "{topic}");
        }
        assert!(Address::parse(&format!("$aws/things/{}/shadow/get", "x".repeat(129))).is_none());
        assert!(Address::parse(&format!("$aws/things/x/shadow/name/{}/get", "x".repeat(65))).is_none());
    }

    #[test]
    fn classic_and_named_shadows_are_apart() {
        let mut shadows = Shadows::default();
        let update = br#"{"state":{"reported":{"a":1}}}"#;
        let topics: Vec<_> =
            shadows.answer("$aws/things/gw/shadow/update", update, 1).into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(topics, ["$aws/things/gw/shadow/update/accepted", "$aws/things/gw/shadow/update/documents"]);
        let answers = shadows.answer("$aws/things/gw/shadow/name/p/get", br#"{"clientToken":"t"}"#, 5);
        let expected =
            json!({"code": 404, "message": "No shadow exists with name: 'gw~p'", "timestamp": 5, "clientToken": "t"});
        assert_eq!(answers, [("$aws/things/gw/shadow/name/p/get/rejected".to_owned(), expected)]);
    }

    #[test]
    fn the_number_of_shadows_is_bounded() {
        let mut shadows = Shadows::default();
        let update = br#"{"state":{}}"#;
        for n in 0..MAX_SHADOWS {
            shadows.answer(&format!("$aws/things/t{n}/shadow/update"), update, 1);
        }
        let answer = shadows.answer("$aws/things/more/shadow/update", update, 1);
        assert_eq!(answer.first().map(|(_, a)| a["code"].clone()), Some(json!(429)));
        let answer = shadows.answer("$aws/things/t0/shadow/update", update, 1);
        assert_eq!(answer.first().map(|(_, a)| a["version"].clone()), Some(json!(2)));
    }
}
