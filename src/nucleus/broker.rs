//! The MQTT broker behind the stand-in nucleus: the crate `mqtt5`, embedded, on a loopback port.
//!
//! It speaks MQTT 3.1.1 and 5, keeps everything in memory, takes any client without credentials (it listens on loopback
//! only) and ends with the nucleus. Unlike AWS IoT it delivers one copy of a message for each matching filter of a
//! client, and takes QoS 2 and retained messages on `$` topics.
//!
//! `rumqttd` was tried and cannot carry device shadows: it refuses every subscription to a topic that begins with `$`.

use mqtt5::broker::config::{StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerConfig, MqttBroker};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::task::JoinHandle;

/// AWS IoT takes payloads of 128 KiB; the rest is room for topic and properties.
const MAX_PACKET: usize = 128 * 1024 + 4096;
/// How long an orderly end may take before the broker's task is aborted.
const SHUTDOWN: Duration = Duration::from_secs(2);
const START: Duration = Duration::from_secs(10);

/// A running broker. Dropping it without [`EmbeddedBroker::shutdown`] aborts its task.
pub(super) struct EmbeddedBroker {
    address: SocketAddr,
    stop: mqtt5::broker::server::BrokerShutdownHandle,
    task: JoinHandle<()>,
}

impl EmbeddedBroker {
    /// Binds `127.0.0.1:port` (0: the kernel picks a free one, so two nuclei never race for it) and starts to serve.
    pub(super) async fn start(port: u16) -> Result<Self, String> {
        let mut storage = StorageConfig::new().with_backend(StorageBackend::Memory);
        storage.enable_persistence = false;
        storage.max_queued_messages_per_client = 1_000;
        let config = BrokerConfig::new()
            .with_bind_address(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .with_storage(storage)
            .with_sys_topics_enabled(false)
            .with_max_packet_size(MAX_PACKET)
            .with_max_clients(256)
            .with_max_retained_messages(1_000);
        let mut broker = MqttBroker::with_config(config).await.map_err(|e| e.to_string())?;
        let address = broker.local_addr().ok_or("it has no address")?;
        let stop = broker.shutdown_handle();
        let mut ready = broker.ready_receiver();
        let task = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                tracing::error!(%error, "the embedded MQTT broker ended");
            }
        });
        match tokio::time::timeout(START, ready.wait_for(|ready| *ready)).await {
            Ok(Ok(_)) => Ok(Self { address, stop, task }),
            Ok(Err(_)) | Err(_) => {
                task.abort();
                Err(format!("it was not ready within {} s", START.as_secs()))
            }
        }
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it and its connections.
    pub(super) async fn shutdown(mut self) {
        self.stop.shutdown();
        if tokio::time::timeout(SHUTDOWN, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}
