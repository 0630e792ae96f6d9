//! Line Printer Daemon (RFC 1179) of a simulated printer.

use super::server::Shared;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Accepts connections until the power goes.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener, off: CancellationToken, tasks: TaskTracker) {
    let _ = (shared, listener, tasks);
    off.cancelled().await;
}
