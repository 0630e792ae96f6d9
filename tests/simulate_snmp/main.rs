//! The SNMP agents of simulated printers, judged by Debian's net-snmp tools (`snmpget`, `snmpbulkwalk`, `snmpwalk`).

#![cfg(feature = "lab")]
// Helpers of tests say what they expect by unwrapping it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod faults;
mod printer;
mod recordings;
mod security;
mod tools;
