//! AppSocket, PJL and LPD of the simulated printers, judged by others: `nc` and `socat`, `curl` and `openssl` for what
//! gets there by accident, the back ends `socket` and `lpd` of CUPS, `rlpr`, `rlpq` and `rlprm`.

#![cfg(feature = "lab")]
// Helpers of tests say what they expect by unwrapping it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod appsocket;
mod cups;
mod faults;
mod lab;
mod lpd;
mod pjl;
