//! Finding printers: each source emits sightings.
pub mod listed;
pub mod mdns;
pub mod networks;
pub mod record;

mod book;

pub use networks::{local_networks, loopback_networks};
