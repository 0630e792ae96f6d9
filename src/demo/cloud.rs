//! The cloud side: an ordinary MQTT client of the broker behind the nucleus, and everything it has heard.

use super::Unmet;
use jiff::Timestamp;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Packet;
use rumqttc::{AsyncClient, Event, MqttOptions, PublishOptions};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Messages remembered; what comes later is not needed for the story any more.
const MAX_HEARD: usize = 10_000;
/// Largest packet.
const MAX_PACKET: usize = 256 * 1024;
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(300);

/// One message as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) topic: String,
    /// Null when it is no JSON.
    pub(super) body: Value,
}

impl Heard {
    /// A text field of the message, empty when absent.
    pub(super) fn text(&self, field: &str) -> &str {
        self.body.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// When what it tells happened, as the gateway says.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.text("at").parse().ok()
    }
}

/// The client.
pub(super) struct Cloud {
    client: AsyncClient,
    thing: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    news: watch::Receiver<u64>,
    task: JoinHandle<()>,
    tokens: u32,
}

impl Cloud {
    /// Connects and subscribes to all that `thing` tells.
    pub(super) async fn connect(host: &str, port: u16, thing: &str) -> Result<Cloud, Unmet> {
        let filters = [
            format!("printers/{thing}/#"),
            format!("$aws/things/{thing}/shadow/name/+/update/accepted"),
            format!("$aws/things/{thing}/shadow/name/+/get/accepted"),
        ];
        let mut options = MqttOptions::new("demo-cloud", (host, port));
        options.set_keep_alive(30).set_clean_session(true).set_max_packet_size(MAX_PACKET, MAX_PACKET);
        let (client, mut events) = AsyncClient::builder(options).capacity(64).try_build()?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (tick, news) = watch::channel(0_u64);
        let (acknowledged, mut ready) = watch::channel(0_usize);
        let wanted = filters.len();
        let (log, subscriber) = (heard.clone(), client.clone());
        let task = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        for filter in &filters {
                            // Full only if the loop that empties the queue, this one, stood still.
                            let _ = subscriber.try_subscribe(filter.clone(), QoS::AtLeastOnce);
                        }
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => acknowledged.send_modify(|n| *n += 1),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let mut heard: MutexGuard<'_, Vec<Heard>> = log.lock().unwrap_or_else(PoisonError::into_inner);
                        if heard.len() < MAX_HEARD {
                            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                            let body = serde_json::from_slice(&publish.payload).unwrap_or_default();
                            heard.push(Heard { topic, body });
                        }
                        drop(heard);
                        tick.send_modify(|n| *n = n.wrapping_add(1));
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            }
        });
        let cloud = Cloud { client, thing: thing.to_owned(), heard, news, task, tokens: 0 };
        match tokio::time::timeout(CONNECT, ready.wait_for(|n| *n >= wanted)).await {
            Ok(Ok(_)) => Ok(cloud),
            _ => Err(Unmet(format!("the MQTT broker at {host}:{port} takes the cloud's subscriptions"))),
        }
    }

    /// Everything heard so far.
    pub(super) fn heard(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `find` finds something in what was heard so far; `what` says what is waited for.
    pub(super) async fn wait<T>(
        &self,
        within: Duration,
        what: &str,
        mut find: impl FnMut(&[Heard]) -> Option<T>,
    ) -> Result<T, Unmet> {
        let mut news = self.news.clone();
        let deadline = Instant::now() + within;
        loop {
            news.mark_unchanged();
            if let Some(found) = find(&self.heard()) {
                return Ok(found);
            }
            if !matches!(tokio::time::timeout_at(deadline, news.changed()).await, Ok(Ok(()))) {
                return Err(Unmet(format!("{what} (waited {} s)", within.as_secs())));
            }
        }
    }

    /// Waits until nothing arrived for `pause`; false when that did not happen within `within`.
    pub(super) async fn quiet(&self, pause: Duration, within: Duration) -> bool {
        let mut news = self.news.clone();
        let settled = async { while tokio::time::timeout(pause, news.changed()).await.is_ok_and(|r| r.is_ok()) {} };
        tokio::time::timeout(within, settled).await.is_ok()
    }

    /// Publishes a document, QoS 1.
    pub(super) async fn publish(&self, topic: &str, document: &Value) -> Result<(), Unmet> {
        let publish = self.client.publish(topic.to_owned(), document.to_string(), PublishOptions::at_least_once());
        match tokio::time::timeout(ANSWER, publish).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(Unmet(format!("the broker takes a message on {topic}"))),
        }
    }

    /// Asks the shadow service what a printer's shadow reports.
    pub(super) async fn shadow(&mut self, printer: &str) -> Result<Value, Unmet> {
        self.tokens += 1;
        let token = format!("demo-{}", self.tokens);
        let topic = format!("$aws/things/{}/shadow/name/{printer}/get", self.thing);
        self.publish(&topic, &json!({"clientToken": token})).await?;
        let answer = format!("{topic}/accepted");
        self.wait(ANSWER, &format!("the shadow service answers on {answer}"), |heard| {
            let found = heard.iter().rev().find(|h| h.topic == answer && h.text("clientToken") == token)?;
            found.body.pointer("/state/reported").cloned()
        })
        .await
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        // The broker goes next anyway.
        let _ = tokio::time::timeout(AGAIN, self.client.disconnect()).await;
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.task.abort();
    }
}
