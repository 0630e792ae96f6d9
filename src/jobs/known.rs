//! What jobs know of printers, and whom they may ask.

use crate::domain::endpoint::Endpoint;
use crate::domain::ids::PrinterId;
use crate::domain::job::Problem;
use crate::domain::job::presence::{Said, Who};
use crate::domain::net::PrinterPolicy;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// One way to reach a printer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Where.
    pub endpoint: Endpoint,
    /// SHA-256 of the certificate that was seen there before.
    pub pin: Option<[u8; 32]>,
    /// Document formats that are known to be taken there, for AppSocket and LPD; IPP is asked.
    pub formats: Vec<String>,
}

/// A known printer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its id: another than the one asked for where that was merged into this one.
    pub id: PrinterId,
    /// The ways to reach it, best first. What is under way at one that takes nothing new is followed to its end.
    pub reach: Vec<Reach>,
    /// Why it takes nothing new: what waits for it ends, and tickets for it are rejected.
    pub refuses: Option<Refusal>,
    /// What it is known by, and the agent that speaks for it.
    pub who: Arc<Who>,
}

/// Why a printer takes no jobs, by an administrator's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It waits for approval.
    NotApproved,
    /// It is ignored by the configuration.
    Ignored,
    /// It is retired.
    Retired,
}

impl Refusal {
    pub(super) fn problem(self, printer: &PrinterId) -> Problem {
        let (code, message) = match self {
            Self::NotApproved => (
                "printer-not-approved",
                format!(
                    "{printer} waits for approval: set config.approved to true in the desired state of its shadow, or name \
                     it in printers.approved of the configuration, then submit again"
                ),
            ),
            Self::Ignored => (
                "printer-ignored",
                format!(
                    "{printer} is ignored by the configuration (printers.ignore); take it out there to print on it"
                ),
            ),
            Self::Retired => (
                "printer-retired",
                format!("{printer} is retired (printers.retired); submit the job to another printer"),
            ),
        };
        Problem::new(code, Some("printer"), message)
    }
}

/// Where printers may be contacted now: networks come and go, and what is stored may lie outside of them.
pub type Networks = Arc<dyn Fn() -> PrinterPolicy + Send + Sync>;

/// Every known printer by each of its ids.
pub type Directory = HashMap<PrinterId, Arc<Known>>;

/// A question to the SNMP agent at an address; no print port is touched by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentQuestion {
    /// Where.
    pub address: IpAddr,
    /// For a link-local address.
    pub scope_id: u32,
    /// All that an agent tells of who it is; without, what one request brings.
    pub thorough: bool,
}

/// Asks an agent who it is.
pub type AskAgent = Arc<dyn Fn(AgentQuestion) -> BoxFuture<'static, Said> + Send + Sync>;
