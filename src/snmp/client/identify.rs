//! Who answers at an address, with few requests: what discovery needs to know of an agent before it is adopted.
//!
//! ```text
//! system group ─▶ the tables that tell a printer ─ something else? ─▶ done: no printer
//!                                │
//!                                ▼
//!   maker unknown? ─▶ one object of every maker ─▶ the maker's own objects ─▶ network cards and channels ─▶ done
//! ```
//!
//! A system group without a word in it is no end: views are narrowed, and some agents have none. Who shows nothing at all
//! of itself is not said to be no printer ([`Error::Mute`]).
//!
//! An agent of SNMPv2c that is a printer's costs four or five requests, one or two more where its maker is not named, and
//! where the system group is empty those with which the other versions were tried; what is something else costs two or
//! three, what shows no sign of anything up to two more; SNMPv1 gives one row for a request and
//! costs a few more. The verdict and the evidence are those of a full poll: both are made of the same objects by
//! [`decode::identified`].

use super::session::{Column, Session, column};
use super::{ANSWER, Client, Context, Error, How, JETDIRECT, Patience, failed};
use crate::snmp::decode::{self, Identified, mib::Mib};
use crate::snmp::objects as o;
use crate::snmp::vendors;
use std::net::SocketAddr;
use std::time::Duration;

/// The longest an identification takes.
pub const IDENTIFY_DEADLINE: Duration = Duration::from_secs(15);

const TABLES: &str = "the tables of a printer";
const OBJECTS: &str = "makers' objects";
const CHANNELS: &str = "network cards and channels";

/// What tells a printer from everything else: of tables of which only the existence counts, one row.
const TELLING: [Column; 12] = [
    column(o::HR_DEVICE, o::HR_DEVICE_TYPE, 8),
    column(o::HR_DEVICE, o::HR_DEVICE_DESCR, 8),
    column(o::HR_DEVICE, o::HR_DEVICE_ID, 4),
    column(o::HR_PRINTER, o::HR_PRINTER_STATUS, 4),
    column(o::PRT_GENERAL, o::GENERAL_NAME, 2),
    column(o::PRT_GENERAL, o::GENERAL_SERIAL, 2),
    column(o::PRT_INPUT, 0, 1),
    column(o::PRT_MARKER, 0, 1),
    column(o::PRT_SUPPLIES, 0, 1),
    column(o::PRINT_MIB, 0, 1),
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
        let asked = asked.unwrap_or_else(|_| {
            Err(Error::Limit { address, why: format!("it took longer than {} s", IDENTIFY_DEADLINE.as_secs()) })
        });
        self.remember(address, |memory| memory.ended(asked.is_ok()));
        asked
    }

    /// The maker's own objects, and before, where nothing names the maker, those that do.
    pub(super) async fn ask_objects(
        &self,
        address: SocketAddr,
        session: &mut Session,
        mib: &mut Mib,
    ) -> Result<(), Error> {
        if self.leaves_out(address, OBJECTS) {
            return Ok(());
        }
        for part in vendors::telling().chunks(vendors::TELLING_AT_ONCE) {
            if decode::knows_maker(mib) {
                break;
            }
            let asked = session.objects(part.iter().map(|object| object.oid).collect(), mib).await;
            self.judge(address, OBJECTS, asked)?;
        }
        let asked = session.objects(decode::own_objects(mib), mib).await;
        self.judge(address, OBJECTS, asked)
    }

    async fn ask_who(&self, address: SocketAddr, patience: Patience) -> Result<(Identified, How), Error> {
        let mut mib = Mib::default();
        let (attempt, mut session) = self.greet(address, patience, &mut mib).await?;
        let mut how = How { login: self.name(attempt), context: None, requests: 0 };
        // One row of each column with SNMPv1, a handful otherwise.
        let rounds = if session.is_bulk() { 2 } else { 8 };
        // Never left out: without them a printer may look like none.
        let told = session.columns(TELLING.into_iter(), rounds, &mut mib).await;
        told.map_err(|failure| failed(address, TABLES, failure))?;
        if decode::is_open(&mib) {
            let cells = decode::missing_cells(&mib)
                .into_iter()
                .map(|(entry, number, row)| Column { after: row.checked_sub(1), ..column(entry, number, 1) });
            let told = session.columns(cells, 2, &mut mib).await;
            told.map_err(|failure| failed(address, TABLES, failure))?;
            self.ask_objects(address, &mut session, &mut mib).await?;
        }
        if decode::says_nothing(&mib) {
            return Err(Error::Mute { address, login: self.name(attempt) });
        }
        if decode::identified(&mib).printer {
            let rounds = if session.is_bulk() { 3 } else { 16 };
            if !self.leaves_out(address, CHANNELS) {
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
        self.remember(address, |memory| memory.next_only = session.next_only);
        how.requests = how.requests.saturating_add(session.requests);
        Ok((decode::identified(&mib), how))
    }
}
