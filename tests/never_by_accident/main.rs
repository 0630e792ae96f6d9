//! Nothing is printed by accident: a whole cycle of discovery and polling, and later a job, of the real gateway against
//! simulated and real printers, with every packet recorded by `tcpdump`.

#![cfg(feature = "lab")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

#[path = "../common/mod.rs"]
mod common;

#[path = "../whole_gateway/support.rs"]
#[allow(dead_code, reason = "the tests of the whole gateway use all of it")]
mod support;

mod cycle;
mod job;
mod recording;
