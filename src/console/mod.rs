//! The control socket: HTTP/1.1 on the Unix socket `control.sock` in the gateway's work directory, and its client.
//!
//! Only looks: nothing here changes anything. The command line ([`client`]) talks to the running gateway over it and
//! never opens the databases.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | [`api::Status`] |
//! | `GET /v1/printers` | `{"printers": [`[`api::Printer`]`…]}` |
//! | `GET /v1/printers/ID` | [`api::PrinterDetail`]; ID is a printer's id, one merged into it, or its name |
//! | `GET /v1/jobs?printer=&state=&limit=` | `{"jobs": [`[`api::Job`]`…]}`, newest first |
//! | `GET /v1/jobs/ID` | [`api::JobDetail`] |
//! | `GET /v1/outbox` | [`api::Outbox`] |
//! | `GET /v1/events?printer=&limit=` | `{"events": […]}`, newest first, each as it was sent to the cloud |
//! | anything else | status 400, 404, 405 or 503 with `{"error": {"code", "message"}}` |
//!
//! ## Who may ask
//! The socket has mode 0660, and the other side's credentials are checked: root, the gateway's own user, and members of
//! its group. Anybody else gets status 403.
//!
//! ## Limits
//! [`MAX_CONNECTIONS`] at a time (more wait in the listen queue), [`CONVERSATION`] for a whole connection,
//! [`HEAD`] for a request's head; lists have at most [`MAX_ROWS`] entries. A failure here never ends the gateway: it
//! goes on without a control socket and says so in its log.

pub mod api;
pub mod client;
mod peer;
mod server;
mod why;

#[cfg(feature = "lab")]
pub(crate) use server::bind;
pub use server::{Console, Live};

use std::time::Duration;

/// Name of the socket in the work directory.
pub const SOCKET: &str = "control.sock";
/// Connections at a time.
pub const MAX_CONNECTIONS: usize = 16;
/// Longest life of a connection.
pub const CONVERSATION: Duration = Duration::from_secs(60);
/// Longest wait for a request's head.
pub const HEAD: Duration = Duration::from_secs(5);
/// Entries of a list.
pub const MAX_ROWS: usize = 1_000;
