//! Finding printers: each source emits sightings.
pub mod hints;
pub mod listed;
pub mod mdns;
pub mod networks;
pub mod print_places;
pub mod record;
pub mod sweep;
pub mod visit;

mod book;

pub use networks::{local_networks, loopback_networks};
