//! One MQTT connection of the nucleus, from wish to end.
//!
//! ```text
//! Cut ──restore──▶ Connecting ──CONNACK──▶ Online
//!  ▲                │  ▲                     │
//!  └──────cut───────┴──┼──────cut────────────┤
//!                      └──connection lost────┘
//! ```
//! Cutting drops the TCP connection without a DISCONNECT, as a lost network would.

use super::{Inner, State};
use crate::nucleus::profile::Profile;
use rumqttc::mqttbytes::v4::Packet;
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing};
use std::time::Duration;

pub(super) const CHANNEL: usize = 512;
const MAX_PACKET: usize = 256 * 1024;
const RETRY: Duration = Duration::from_millis(300);
const CONNECT: Duration = Duration::from_secs(5);

/// Connects whenever the link is wanted, until dropped.
pub(super) async fn keep(inner: &Inner, index: usize) {
    let mut wanted = inner.wanted.subscribe();
    loop {
        if wanted.wait_for(|up| *up).await.is_err() {
            return;
        }
        let cut = async {
            // An error means that every handle is gone, and with them the wish to be connected.
            let _ = wanted.wait_for(|up| !*up).await;
        };
        let lost = tokio::select! {
            () = cut => false,
            () = connected(inner, index) => true,
        };
        inner.lock().offline(index);
        inner.tell();
        if lost {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// One connection, from its first packet to its end.
async fn connected(inner: &Inner, index: usize) {
    let (host, port) = (inner.settings.host.as_str(), inner.settings.port);
    let name = &inner.settings.thing_name;
    // As the classic nucleus names them: `thing`, `thing#2`, `thing#3`.
    let client_id = if index == 0 { name.clone() } else { format!("{name}#{}", index + 1) };
    let classic = inner.settings.profile == Profile::Classic;
    let mut options = MqttOptions::new(client_id, (host, port));
    options.set_keep_alive(if classic { 60 } else { 30 });
    options.set_clean_session(!classic).set_max_packet_size(MAX_PACKET, MAX_PACKET);
    let (client, mut events) = match AsyncClient::builder(options).capacity(CHANNEL).try_build() {
        Ok(pair) => pair,
        Err(error) => return tracing::error!(%error, "the MQTT client cannot be made"),
    };
    let mut up = false;
    loop {
        let next = events.poll();
        let event = if up {
            next.await
        } else {
            match tokio::time::timeout(CONNECT, next).await {
                Ok(event) => event,
                Err(_) => return tracing::warn!(host, port, "the broker does not answer"),
            }
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(ack))) => {
                up = true;
                inner.lock().online(index, client.clone(), ack.session_present, inner);
                inner.tell();
            }
            Ok(Event::Outgoing(Outgoing::Publish(id))) => inner.lock().sent(index, id, inner),
            Ok(Event::Incoming(Packet::PubAck(ack))) => inner.lock().acknowledged(index, ack.pkid, inner),
            Ok(Event::Incoming(Packet::Publish(publish))) => inner.arrived(&publish.topic, publish.payload).await,
            Ok(_) => {}
            Err(error) => return tracing::warn!(%error, "the link to the broker is lost"),
        }
    }
}

impl State {
    fn online(&mut self, index: usize, client: AsyncClient, session_present: bool, inner: &Inner) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.client = Some(client);
        if !session_present {
            connection.at_broker.clear();
        }
        if let Err(error) = self.synchronize() {
            tracing::warn!(%error, "could not subscribe again");
        }
        if index == 0 {
            self.status.online = true;
            self.status.connects += 1;
            self.pump(inner);
        }
    }

    fn offline(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.client = None;
        connection.handed.clear();
        connection.packets.clear();
        if index > 0 {
            return;
        }
        self.status.online = false;
        self.swallowed = 0;
        match &mut self.spooler {
            Some(spooler) => spooler.offline(),
            None => {
                self.status.forgotten += self.status.in_flight as u64;
                self.status.in_flight = 0;
            }
        }
    }

    /// The MQTT client wrote a publish and gave it this packet identifier (0: QoS 0).
    fn sent(&mut self, index: usize, id: u16, inner: &Inner) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if id > 0
            && let Some(spooled) = connection.handed.pop_front()
        {
            connection.packets.insert(id, spooled);
        }
        self.pump(inner);
    }

    fn acknowledged(&mut self, index: usize, id: u16, inner: &Inner) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let spooled = connection.packets.remove(&id);
        match &mut self.spooler {
            Some(spooler) => spooled.into_iter().for_each(|id| spooler.done(id)),
            None => self.status.in_flight = self.status.in_flight.saturating_sub(1),
        }
        self.pump(inner);
    }
}
