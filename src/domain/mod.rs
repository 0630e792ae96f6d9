//! Pure rules and state machines. Nothing here reads a clock, a random source, the environment, the disk or the
//! network: `now` and random seeds come as arguments, effects are returned as values. `tests/architecture.rs` and
//! clippy's `disallowed_methods` hold this.

#![deny(clippy::disallowed_methods)]

pub mod endpoint;
pub mod identity;
pub mod ids;
pub mod job;
pub mod lane;
pub mod makers;
pub mod naming;
pub mod net;
pub mod outbox;
pub mod registry;
pub mod retry;
pub mod schedule;
pub mod secret;
pub mod shadow;
pub mod sighting;
pub mod state;
pub mod subscriptions;
pub mod sweep;
pub mod ticket;
