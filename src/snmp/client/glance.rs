//! Whether an agent still is who it was, with one request: what a job waits for.
//!
//! What is asked for tells one printer from another: system group, description, serial number, network cards. An agent that
//! tells more (in its maker's objects, in another context) is told apart by `identify`: this is a quick yes, never a no.

use super::session::{Column, column};
use super::{ANSWER, Client, Error, How, Patience};
use crate::snmp::decode::{self, Identified, mib::Mib};
use crate::snmp::objects as o;
use std::net::SocketAddr;
use std::time::Duration;

/// The longest it takes.
pub const GLANCE_DEADLINE: Duration = Duration::from_secs(4);

/// The request is sent once more when no answer comes.
const AGAIN: u32 = 1;
/// Of the system group.
const SYSTEM: o::Arcs = &[1, 3, 6, 1, 2, 1, 1];

/// As many as leave room for the rows of network cards in one answer.
const ASKED: [Column; 9] = [
    column(SYSTEM, 1, 1),
    column(SYSTEM, 2, 1),
    column(SYSTEM, 5, 1),
    column(o::HR_DEVICE, o::HR_DEVICE_TYPE, 5),
    column(o::HR_DEVICE, o::HR_DEVICE_DESCR, 5),
    column(o::PRT_GENERAL, o::GENERAL_SERIAL, 2),
    column(o::PRT_INPUT, 0, 1),
    column(o::IF_ENTRY, o::IF_TYPE, 5),
    column(o::IF_ENTRY, o::IF_PHYS_ADDRESS, 5),
];

impl Client {
    /// Who answers at an address, as far as one request tells of an agent whose login is known.
    pub async fn glance(&self, address: SocketAddr) -> Result<(Identified, How), Error> {
        let asked = tokio::time::timeout(GLANCE_DEADLINE, self.ask_again(address)).await;
        asked.unwrap_or_else(|_| {
            Err(Error::Limit { address, why: format!("it took longer than {} s", GLANCE_DEADLINE.as_secs()) })
        })
    }

    async fn ask_again(&self, address: SocketAddr) -> Result<(Identified, How), Error> {
        let memory = self.memory(address);
        let mut mib = Mib::default();
        let (attempt, mut session) = match memory.attempt {
            Some(attempt) => {
                let mut session = self.session(address, attempt, None, ANSWER, AGAIN)?;
                session.next_only = memory.next_only;
                (attempt, session)
            }
            None => self.greet(address, Patience::Short, &mut mib).await?,
        };
        // SNMPv1 gives a row for a request.
        let rounds = if session.is_bulk() { 1 } else { 4 };
        let told = session.columns(ASKED.into_iter(), rounds, &mut mib).await;
        told.map_err(|failure| self.explain(address, attempt, failure))?;
        let how = How { login: self.name(attempt), context: None, requests: session.requests };
        Ok((decode::identified(&mib), how))
    }
}
