//! # printgate
//!
//! An AWS IoT Greengrass v2 component, one binary, that gives an office's ordinary printers a place in AWS IoT:
//! it finds them, maps each to a device shadow, prints jobs that the cloud submits, and keeps everything in SQLite
//! while the link is down.
//!
//! ## The crate map
//!
//! Dependencies point down; siblings do not import each other; [`app`] wires them.
//!
//! ```text
//! main → cli → app → {hub, jobs, uplink, console} → {discovery, deliver} → {ipp, snmp, document, store, cloud} → domain
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`cli`] | one file per subcommand: arguments in, tables or JSON out, exit code |
//! | [`app`] | composition root: build, spawn, shutdown order |
//! | [`config`] | the configuration as deployed → valid by construction |
//! | [`hub`] | registry, poll schedule and what each shadow should say |
//! | [`jobs`] | the job book; one worker per printer |
//! | [`uplink`] | drains the outbox: peek → publish → confirm |
//! | [`console`] | the control socket and its client |
//! | [`domain`] | pure rules and state machines; takes `now` as an argument |
//! | [`discovery`] | mDNS, SNMP sweep, named places → sightings |
//! | [`ipp`] | bounded IPP codec, client, decoding of answers |
//! | [`snmp`] | SNMP client, decoding of Host Resources and Printer-MIB |
//! | [`deliver`] | one file per kind of endpoint |
//! | [`document`] | fetch and spool |
//! | [`store`] | one thread per SQLite file |
//! | [`cloud`] | the Greengrass IPC client and the wire documents |
//! | `nucleus`, `simulate`, `demo` | feature `lab`: the stand-in nucleus, simulated printers, the demo |

pub mod app;
pub mod cli;
pub mod cloud;
pub mod config;
pub mod console;
pub mod deliver;
pub mod discovery;
pub mod document;
pub mod domain;
pub mod hub;
pub mod ipp;
pub mod jobs;
pub mod snmp;
pub mod store;
pub mod uplink;

#[cfg(feature = "lab")]
pub mod demo;
#[cfg(feature = "lab")]
pub mod nucleus;
#[cfg(feature = "lab")]
pub mod simulate;
