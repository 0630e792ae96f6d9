//! The cloud side: the Greengrass IPC client and the documents on the wire.
pub mod greengrass;
pub mod wire;
