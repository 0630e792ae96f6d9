//! The gateway is killed again and again on a job's way, and no job may notice: every one ends, none prints twice, none
//! is lost, and where the printer keeps a history none ends `unconfirmed`.
//!
//! The stand-in nucleus and the simulated printers stay up; the gateway is a child process that is killed (SIGKILL) and
//! started again in the same directory. The cloud's side follows the delivery contract: a ticket without any status
//! after a while is submitted again.
//!
//! `PRINTGATE_SEED` repeats a run's choices (its timing is the machine's), `PRINTGATE_CRASHES` says how many kills
//! (default 50), `PRINTGATE_SOAK=1` makes it 500.
#![cfg(feature = "lab")]
#![allow(unreachable_pub, reason = "one harness, many modules")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

#[path = "../common/mod.rs"]
mod common;

mod away;
mod book;
mod kills;
mod rig;
mod stops;
mod verdict;
