//! The shadow service as an MQTT client of the broker: requests in, answers out.
//!
//! It lives on when the broker is killed, and its documents with it. Requests that come while it is away are lost, as
//! all QoS 0 and QoS 1 messages to a client without a session.

use super::{Answered, Shadows, Things};
use crate::nucleus::broker::Backend;
use crate::nucleus::quota::Quotas;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Packet;
use rumqttc::{AsyncClient, Event, MqttOptions, PublishOptions};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

const CHANNEL: usize = 4_096;
const MAX_PACKET: usize = 256 * 1024;
const RETRY: Duration = Duration::from_millis(300);
/// Requests under way, of all things.
const UNDER_WAY: usize = 65_536;
const FILTERS: [&str; 6] = [
    "$aws/things/+/shadow/get",
    "$aws/things/+/shadow/update",
    "$aws/things/+/shadow/delete",
    "$aws/things/+/shadow/name/+/get",
    "$aws/things/+/shadow/name/+/update",
    "$aws/things/+/shadow/name/+/delete",
];

/// Serves until dropped. `ready` becomes true once the broker has confirmed the subscriptions.
pub(crate) async fn serve(
    client_id: String,
    mut backend: Backend,
    things: Things,
    quotas: Option<Quotas>,
    ready: watch::Sender<bool>,
) {
    let shadows = Mutex::new(Shadows::new(things, quotas));
    while let Some((host, port)) = backend.address().await {
        connected(&client_id, &host, port, &shadows, &ready).await;
        tokio::time::sleep(RETRY).await;
    }
}

/// One connection, until it is lost.
async fn connected(client_id: &str, host: &str, port: u16, shadows: &Mutex<Shadows>, ready: &watch::Sender<bool>) {
    let mut options = MqttOptions::new(client_id, (host, port));
    options.set_keep_alive(30).set_clean_session(true).set_max_packet_size(MAX_PACKET, MAX_PACKET);
    let (client, mut events) = match AsyncClient::builder(options).capacity(CHANNEL).try_build() {
        Ok(pair) => pair,
        Err(error) => return tracing::error!(%error, "the shadow service's MQTT client cannot be made"),
    };
    // The service answers at once; only the nucleus's own link has the runtime's delays.
    events.network_options.set_tcp_nodelay(true);
    let (under_way, due) = mpsc::channel(UNDER_WAY);
    let receive = async {
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
                    let (now, instant) = (jiff::Timestamp::now().as_second(), Instant::now());
                    let Some(answered) = lock(shadows).handle(topic, &publish.payload, now, instant) else { continue };
                    match answered.after {
                        None => say(&client, answered.answers),
                        Some(after) => {
                            if let Err(mpsc::error::TrySendError::Full((_, answered))) =
                                under_way.try_send((instant + after, answered))
                            {
                                lock(shadows).answered(&answered.thing);
                            }
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => return tracing::warn!(%error, "the shadow service lost the broker"),
            }
        }
    };
    tokio::select! {
        () = receive => {}
        () = answer(due, &client, shadows) => {}
    }
    lock(shadows).nothing_under_way();
}

/// Answers each request when its time has come; they take equally long, so they come in order.
async fn answer(mut due: mpsc::Receiver<(Instant, Answered)>, client: &AsyncClient, shadows: &Mutex<Shadows>) {
    while let Some((at, answered)) = due.recv().await {
        tokio::time::sleep_until(at.into()).await;
        lock(shadows).answered(&answered.thing);
        say(client, answered.answers);
    }
}

fn say(client: &AsyncClient, answers: Vec<(String, serde_json::Value)>) {
    for (topic, answer) in answers {
        if let Err(error) = client.try_publish(topic, answer.to_string(), PublishOptions::at_least_once()) {
            tracing::warn!(%error, "an answer of the shadow service is lost");
        }
    }
}

/// A panic while the lock was held leaves plain data behind, so the poison is ignored.
fn lock(shadows: &Mutex<Shadows>) -> MutexGuard<'_, Shadows> {
    shadows.lock().unwrap_or_else(PoisonError::into_inner)
}
