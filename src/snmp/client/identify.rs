//! Who answers at an address, with few requests: what discovery needs to know of an agent before it is adopted.
//!
//! ```text
//! system group ─ other agent's? ─▶ the tables that tell a printer ─ none? ─▶ done: no printer
//!                                              │
//!                                              ▼
//!                   the maker's own objects ─▶ network cards and channels ─▶ done
//! ```
//!
//! An agent of SNMPv2c that is a printer's costs four or five requests, any other two; SNMPv1 gives one row for a request and
//! costs a few more. The verdict and the evidence are those of a full poll: both are made of the same objects by
//! [`decode::identified`].

use super::session::Column;
use super::{ANSWER, Client, Context, Error, How, JETDIRECT, Patience};
use crate::snmp::decode::{self, Identified, mib::Mib};
use crate::snmp::objects as o;
use std::net::SocketAddr;
use std::time::Duration;

/// The longest an identification takes.
pub const IDENTIFY_DEADLINE: Duration = Duration::from_secs(15);

const TABLES: &str = "the tables of a printer";
const CHANNELS: &str = "network cards and channels";

pub(super) const fn column(entry: o::Arcs, number: u32, rows: usize) -> Column {
    Column { entry, number, rows }
}

/// What tells a printer from everything else: of tables of which only the existence counts, one row.
const TELLING: [Column; 11] = [
    column(o::HR_DEVICE, o::HR_DEVICE_TYPE, 8),
    column(o::HR_DEVICE, o::HR_DEVICE_DESCR, 8),
    column(o::HR_DEVICE, o::HR_DEVICE_ID, 4),
    column(o::HR_PRINTER, o::HR_PRINTER_STATUS, 4),
    column(o::PRT_GENERAL, o::GENERAL_NAME, 2),
    column(o::PRT_GENERAL, o::GENERAL_SERIAL, 2),
    column(o::PRT_INPUT, 0, 1),
    column(o::PRT_MARKER, 0, 1),
    column(o::PRT_SUPPLIES, 0, 1),
    column(o::PPM_DEVICE_ID, 0, 1),
    column(o::ENT_SERIAL, 0, 4),
];

/// Network cards and the ways to print.
const PLACES: [Column; 5] = [
    column(o::IF_ENTRY, o::IF_TYPE, 8),
    column(o::IF_ENTRY, o::IF_PHYS_ADDRESS, 8),
    column(o::PRT_CHANNEL, o::CHANNEL_TYPE, 16),
    column(o::PRT_CHANNEL, o::CHANNEL_STATE, 16),
    column(o::PRT_CHANNEL, o::CHANNEL_INFORMATION, 16),
];

impl Client {
    /// Who answers at an address, and whether it is a printer: what discovery needs to know.
    pub async fn identify(&self, address: SocketAddr, patience: Patience) -> Result<Identified, Error> {
        self.identify_how(address, patience).await.map(|(identified, _)| identified)
    }

    /// The same, and how the agent was asked.
    pub async fn identify_how(&self, address: SocketAddr, patience: Patience) -> Result<(Identified, How), Error> {
        let asked = tokio::time::timeout(IDENTIFY_DEADLINE, self.ask_who(address, patience)).await;
        asked.unwrap_or_else(|_| {
            Err(Error::Limit { address, why: format!("it took longer than {} s", IDENTIFY_DEADLINE.as_secs()) })
        })
    }

    async fn ask_who(&self, address: SocketAddr, patience: Patience) -> Result<(Identified, How), Error> {
        let mut mib = Mib::default();
        let (attempt, mut session) = self.greet(address, patience, &mut mib).await?;
        let mut how = How { login: self.name(attempt), context: None, requests: 0 };
        // One row of each column with SNMPv1, a handful otherwise.
        let rounds = if session.is_bulk() { 2 } else { 4 };
        if !self.has_stalled(address, TABLES) {
            let told = session.columns(TELLING.into_iter(), rounds, &mut mib).await;
            self.judge(address, TABLES, told)?;
        }
        if decode::identified(&mib).printer {
            self.ask_objects(address, &mut session, &mut mib).await?;
            let rounds = if session.is_bulk() { 3 } else { 16 };
            if !self.has_stalled(address, CHANNELS) {
                let told = session.columns(PLACES.into_iter(), rounds, &mut mib).await;
                self.judge(address, CHANNELS, told)?;
            }
            let context = self.memory(address).context;
            let wanted = context == Context::Present
                || (context == Context::NotTried
                    && decode::wants_context(&mib)
                    && mib.has(o::HR_DEVICE)
                    && decode::identified(&mib).evidence.serial.is_none());
            if wanted {
                let mut elsewhere = self.session(address, attempt, Some(JETDIRECT), ANSWER, 0)?;
                let mut found = Mib::default();
                // That nothing comes back is no error: the poll finds out for good.
                let told = elsewhere.columns(TELLING.into_iter(), rounds, &mut found).await;
                how.requests = elsewhere.requests;
                if told.is_ok() && !found.is_empty() {
                    how.context = Some(JETDIRECT);
                    mib.fill_from(found);
                }
            }
        }
        self.remember(address, |memory| {
            memory.next_only = session.next_only;
            memory.failures = 0;
        });
        how.requests = how.requests.saturating_add(session.requests);
        Ok((decode::identified(&mib), how))
    }
}
