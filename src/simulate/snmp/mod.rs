//! The SNMP agents of simulated printers: versions 1, 2c and 3, over UDP.
//!
//! An agent serves either objects that live with its printer (`synthetic`) or a recording of a real agent
//! ([`Recording`]). What kind of agent it is goes by the printer's profile (`kind`), who may ask by [`Access`], what is
//! wrong with it by [`fault::SnmpFault`].
//!
//! - Version 1 only: messages of the others get no answer; one unknown object fails a whole Get.
//! - Contexts: in versions 1 and 2c the community `COMMUNITY@CONTEXT`, or the context's name alone; in version 3 the
//!   contextName.
//! - Codec, keys, digests and ciphers are those of the `async-snmp` crate; its `Agent` is not used: it answers as one
//!   should, and these agents must be able not to (one version only, small messages, wrong answers); and it keeps a
//!   receive buffer of 64 KiB each.
//!
//! ## Many agents
//! An agent is a socket and a task; the receive buffer belongs to the thread, which instances there are to the kind of
//! device, keys are derived when a user first asks. Measured by `cargo bench --bench snmp_agent` (release build, two
//! cores, the client in the same process on one socket):
//!
//! - 5,000 printers with an IPP port and an agent each, without mDNS: 39 MB resident, 42 MB after 600,000 requests;
//! - Get of 1 object: 95,000 answers/s, 13 µs of processor time each (agents 1.2 cores, client 0.5);
//! - Get of 7 objects, as a poll asks: 80,000 answers/s, 16 µs each;
//! - GetBulk of 20: 60,000 answers/s, 23 µs each;
//! - while several builds ran on the same two cores: 29,000, 18,000 and 17,000 answers/s.
//!
//! What it does not do: Set (every object is read-only), notifications, views (who may read may read all), TCP.

mod access;
mod agent;
mod answer;
pub mod fault;
mod kind;
mod message;
mod objects;
mod record;
mod recorded;
mod synthetic;
mod usm;

pub use access::{Access, DEFAULT_AUTH_PASSWORD, DEFAULT_PRIV_PASSWORD, User};
pub use record::{BadLine, RecordError, Recording};
pub use recorded::recorded_printers;

use super::server::Shared;
use agent::{Agent, Source};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest wait for an agent to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Serves the agent of a printer at this UDP address (port 0: a free one) until the power goes; gives back where it
/// listens.
pub(super) async fn start(
    shared: Arc<Shared>,
    recording: Option<Arc<Recording>>,
    access: Access,
    address: SocketAddr,
    off: CancellationToken,
    tasks: &TaskTracker,
) -> io::Result<SocketAddr> {
    let source = match recording {
        Some(recording) => Source::Recorded(recording, Some(shared)),
        None => Source::Live(shared),
    };
    serve(source, access, address, off, tasks).await
}

async fn serve(
    source: Source,
    access: Access,
    address: SocketAddr,
    off: CancellationToken,
    tasks: &TaskTracker,
) -> io::Result<SocketAddr> {
    let socket = Arc::new(UdpSocket::bind(address).await?);
    let address = socket.local_addr()?;
    let agent = Arc::new(Agent::new(source, access, Instant::now()));
    tasks.spawn(agent.serve(socket, off, tasks.clone()));
    Ok(address)
}

/// A recording served on its own, without an office.
pub struct RecordAgent {
    address: SocketAddr,
    off: CancellationToken,
    tasks: TaskTracker,
}

impl RecordAgent {
    /// Serves a recording at this UDP address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(recording: Arc<Recording>, access: Access, address: SocketAddr) -> io::Result<RecordAgent> {
        let (off, tasks) = (CancellationToken::new(), TaskTracker::new());
        let address = serve(Source::Recorded(recording, None), access, address, off.clone(), &tasks).await?;
        Ok(RecordAgent { address, off, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it.
    pub async fn stop(self) {
        self.off.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(SHUTDOWN, self.tasks.wait()).await;
    }
}

impl Drop for RecordAgent {
    fn drop(&mut self) {
        self.off.cancel();
    }
}
