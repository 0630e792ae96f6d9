//! The cloud side: the Greengrass IPC client and the documents on the wire.
pub mod greengrass;
pub mod wire;

use bytes::Bytes;

/// A message from the cloud that asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A ticket.
    Submit {
        /// The printer as the topic names it.
        printer: String,
        /// The message.
        payload: Bytes,
    },
    /// Something about a job.
    Control {
        /// The printer as the topic names it.
        printer: String,
        /// The message.
        payload: Bytes,
    },
}
