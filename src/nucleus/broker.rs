//! The MQTT broker behind the stand-in nucleus: the crate `mqtt5`, embedded, on loopback, behind the
//! [front](super::front) that everybody connects to.
//!
//! It speaks MQTT 3.1.1 and 5, keeps everything in memory, takes any client without credentials (it listens on loopback
//! only) and ends with the nucleus. It can be killed: every connection ends, sessions and retained messages are gone,
//! and after a while an empty one serves on the same port. Unlike AWS IoT it delivers one copy of a message for each
//! matching filter of a client, and takes retained messages on `$` topics.
//!
//! `rumqttd` was tried and cannot carry device shadows: it refuses every subscription to a topic that begins with `$`.

use super::front::{Front, QuotaStatus};
use super::quota::Quotas;
use mqtt5::broker::config::{StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerConfig, MqttBroker};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// AWS IoT takes payloads of 128 KiB; the rest is room for topic and properties.
const MAX_PACKET: usize = 128 * 1024 + 4096;
/// How long an orderly end may take before the broker's task is aborted.
const SHUTDOWN: Duration = Duration::from_secs(2);
const START: Duration = Duration::from_secs(10);

/// Where a broker is: it moves when the embedded one is killed.
#[derive(Debug, Clone)]
pub(super) enum Backend {
    /// Another broker.
    Fixed(String, u16),
    /// The embedded one, behind the front; `None` while it is dead.
    Embedded(watch::Receiver<Option<SocketAddr>>),
}

impl Backend {
    /// Its present address; waits while there is none. `None`: it will not come back.
    pub(super) async fn address(&mut self) -> Option<(String, u16)> {
        match self {
            Self::Fixed(host, port) => Some((host.clone(), *port)),
            Self::Embedded(address) => {
                let address = address.wait_for(Option::is_some).await.ok()?;
                address.map(|address| (address.ip().to_string(), address.port()))
            }
        }
    }
}

/// The broker with its front.
pub(super) struct Broker {
    front: Front,
    backend: watch::Sender<Option<SocketAddr>>,
    running: Mutex<Option<EmbeddedBroker>>,
}

impl Broker {
    /// Starts it on `127.0.0.1:port` (0: the kernel picks a free one, so two nuclei never race for it).
    pub(super) async fn start(
        port: u16,
        quotas: Option<Quotas>,
        tasks: &TaskTracker,
        end: CancellationToken,
    ) -> Result<Self, String> {
        let running = EmbeddedBroker::start().await?;
        let (backend, receiver) = watch::channel(Some(running.address));
        let front = Front::start(port, receiver, quotas, tasks, end).await.map_err(|e| e.to_string())?;
        Ok(Self { front, backend, running: Mutex::new(Some(running)) })
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// Behind the front, without quotas: for the services of AWS itself.
    pub(super) fn backend(&self) -> Backend {
        Backend::Embedded(self.backend.subscribe())
    }

    pub(super) fn status(&self) -> QuotaStatus {
        self.front.status()
    }

    /// Kills it with all that it knows; returns when, `down` later, an empty one serves.
    pub(super) async fn kill(&self, down: Duration) -> Result<(), String> {
        let mut running = self.running.lock().await;
        self.backend.send_replace(None);
        // Its task is aborted with it; an orderly end would say farewell.
        drop(running.take());
        tokio::time::sleep(down).await;
        let started = EmbeddedBroker::start().await?;
        self.backend.send_replace(Some(started.address));
        *running = Some(started);
        Ok(())
    }

    /// Ends it and its connections.
    pub(super) async fn shutdown(&self) {
        self.backend.send_replace(None);
        // Held while a killed one is awaited; then there is none to end.
        if let Ok(mut running) = tokio::time::timeout(SHUTDOWN, self.running.lock()).await
            && let Some(running) = running.take()
        {
            running.shutdown().await;
        }
    }
}

/// A running broker. Dropping it without [`EmbeddedBroker::shutdown`] aborts its task.
struct EmbeddedBroker {
    address: SocketAddr,
    stop: mqtt5::broker::server::BrokerShutdownHandle,
    task: JoinHandle<()>,
}

impl EmbeddedBroker {
    /// Binds a free port of 127.0.0.1 and starts to serve.
    async fn start() -> Result<Self, String> {
        let mut storage = StorageConfig::new().with_backend(StorageBackend::Memory);
        // Without it sessions are not kept; with this backend it is memory all the same.
        storage.enable_persistence = true;
        storage.max_queued_messages_per_client = 1_000;
        let config = BrokerConfig::new()
            .with_bind_address(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
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

    async fn shutdown(mut self) {
        self.stop.shutdown();
        if tokio::time::timeout(SHUTDOWN, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.stop.shutdown();
        self.task.abort();
    }
}
