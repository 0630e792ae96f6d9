//! The Greengrass IPC client: AWS event-stream frames with JSON payloads over the nucleus' Unix socket.
//!
//! Our own, on AWS's frame codec (`aws-smithy-eventstream`), because it has to keep these rules on both runtimes
//! (classic and lite):
//!
//! 1. New stream ids are strictly latest+1 on the wire. The owner task of [`connection`] allocates, encodes and
//!    writes; a frame that cannot be encoded uses up no id.
//! 2. A frame is written whole. Callers wait on a oneshot; giving up waiting never cuts a frame.
//! 3. Unknown headers, message types and fields are ignored. PING is answered with PING_RESPONSE.
//! 4. Errors carry `message` (classic) or `_message` and `_errorCode` (lite); the kind is the `service-model-type`.
//! 5. The socket is always drained, into bounded queues; what does not fit is dropped and counted.
//! 6. Requests have a deadline; a subscription signals its end.
//! 7. There is no default token and no default path.
//! 8. After a loss: the same token, then the component name; for ever, unless the nucleus refuses us for good.
//!
//! | module | owns |
//! |---|---|
//! | [`settings`] | what the nucleus put into the environment |
//! | [`frame`] | frames in and out |
//! | [`connection`] | one connection: the owner task, requests, subscriptions |
//! | [`operations`] | one function per IPC operation |
//! | [`link`] | the supervisor that the rest of the gateway uses |
//! | [`secrets`] | secrets by reference, kept for a while |
//! | [`deferral`] | deployments wait while documents are being sent |
//! | [`error`] | what can go wrong, for people and for code |
//!
//! What it does not do: it confirms nothing (a publish that succeeds proves nothing on either runtime), it keeps
//! no queue of what could not be sent (the outbox does), and it speaks no MQTT.

pub mod connection;
pub mod deferral;
pub mod error;
pub mod frame;
pub mod link;
pub mod operations;
pub mod secrets;
pub mod settings;

pub use connection::{Connection, Subscription};
pub use error::{ConnectError, IpcError, PublishError, ServiceErrorKind};
pub use link::{Link, LinkEvent, LinkSettings, Runtime};
pub use operations::{PreUpdate, ReportedState};
pub use secrets::{SecretError, Secrets};
pub use settings::{IpcSettings, IpcSettingsError, Token};
