//! The gateway as a program, with everything it meets: real and simulated printers, a nucleus, a broker, documents over
//! https; what the cloud sees of it is held against the schemas in `docs/schema/`.

#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

#[path = "../common/mod.rs"]
mod common;

mod administration;
mod bad_printers;
mod bad_tickets;
mod configuration;
mod control_socket;
mod end_to_end;
mod job_control;
mod outage;
mod support;
