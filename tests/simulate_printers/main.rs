//! The simulated printers, judged by others: Debian's `ipptool` and `openssl`, a second `mdns-sd` in another process,
//! and a plain TCP client for what no proper client sends.

#![cfg(feature = "lab")]
// Helpers of tests say what they expect by unwrapping it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod command;
mod condition;
mod conformance;
mod faults;
mod jobs;
mod lies;
mod mdns;
mod network;
mod office;
mod wire;
