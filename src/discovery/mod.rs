//! Finding printers: each source emits sightings.
pub mod mdns;
