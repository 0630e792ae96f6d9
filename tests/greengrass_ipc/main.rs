//! The Greengrass IPC client against a scripted nucleus on a Unix socket.
//!
//! The server side (`server.rs`) is written on the frame codec alone, shares no code with the client, and enforces
//! what the classic nucleus enforces: stream ids strictly latest+1, no message on a stream that is not open.

// Helpers of tests say what they expect by unwrapping it, as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod classic;
mod hostile;
mod link;
mod rules;
mod server;
mod stand_in;
