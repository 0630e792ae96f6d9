//! The contracts with back ends: what the rules of usual AWS IoT set-ups make of a gateway's messages, under the default
//! names and under the flat root with a thing for each printer.
//!
//! A whole gateway prints in a simulated office; a mosquitto client records everything on the broker with its topic, and
//! the rules' statements are evaluated over the record ([`sql`]) as AWS IoT would message by message.

#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../whole_gateway/support.rs"]
#[allow(dead_code, reason = "the tests of the whole gateway use more of it")]
mod support;

mod contracts;
mod runtime;
mod sql;
