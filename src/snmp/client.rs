//! Asks agents over one UDP socket. A poll is: the system group, then each group of `objects::GROUPS` column by
//! column, then the maker's own objects, then, for an agent that keeps its Printer-MIB in another context, that part once
//! more. Who an agent is, is found out with fewer requests (`identify`).
//!
//! | what | limit |
//! |---|---|
//! | one request | 1–2 s, sent at most three times |
//! | a login found | 11 s, however many there are |
//! | a poll | [`POLL_DEADLINE`], [`MAX_REQUESTS`] requests, [`decode::mib::MAX_VARIABLES`] variables |
//! | a column | [`MAX_ROWS`] rows; ends where identifiers leave it or do not grow |
//! | what is remembered | [`MAX_REMEMBERED`] addresses, and as many SNMPv3 engines |
//!
//! Which of the configured logins an agent takes is tried in their order (SNMPv3 users, v2c, v1), each a little after the
//! one before, and remembered by address; after [`FORGET_AFTER`] questions in vain it is tried anew. A wrong community is
//! answered by silence, a wrong password by a complaint that is not signed and so counts for nothing: neither is told from
//! silence.
//!
//! Old agents: SNMPv1 refuses a whole Get for one object that is missing: it is asked again without it. An answer that
//! would be too big is asked for in halves. An agent that does not answer GetBulk is asked with GetNext. A group at which
//! an agent falls silent fails the poll twice and is then left out, but for a try now and then.
//!
//! Only answers from the address asked are taken. Nothing is ever set.

mod glance;
mod identify;
mod login;
mod memory;
mod session;

pub use glance::GLANCE_DEADLINE;
pub use identify::IDENTIFY_DEADLINE;
pub use login::{Login, User};
pub use memory::FORGET_AFTER;

use super::decode::{self, mib::Mib};
use super::objects::{GROUPS, Group};
use crate::domain::state::Observation;
use async_snmp::{EngineCache, UdpTransport};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use login::Version;
use memory::{Attempt, Context, Memory};
use session::Session;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The longest a poll takes.
pub const POLL_DEADLINE: Duration = Duration::from_secs(25);
/// Requests of one poll.
pub const MAX_REQUESTS: u32 = 400;
/// Rows of one column.
pub const MAX_ROWS: usize = 64;
/// Addresses whose login is remembered.
pub const MAX_REMEMBERED: usize = 4_096;

/// Between one login tried and the next, at most; with many of them less, so that the last is tried [`SPREAD`] after the
/// first.
const STAGGER: Duration = Duration::from_millis(250);
/// See there.
const SPREAD: Duration = Duration::from_millis(1_500);
/// The longest search for a login: what is left of [`IDENTIFY_DEADLINE`] and [`POLL_DEADLINE`] is for the questions.
const GREETING: Duration = Duration::from_secs(11);
/// How long a login may take to be answered, round after round.
const ROUNDS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3)];
/// Retransmissions of a request to an agent that is known to answer.
const RETRIES: u32 = 2;
/// Before each of them.
const ANSWER: Duration = Duration::from_millis(1_500);
/// The context in which some of HP's network cards keep the Printer-MIB.
const JETDIRECT: &str = "Jetdirect";

/// How long silence is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Two rounds, 3 to 6 s: something else is known of the printer already.
    Short,
    /// Three rounds, 6 to 11 s: enough for a device to wake up.
    Long,
}

/// How an agent was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct How {
    /// `SNMPv2c`, `SNMPv1`, `SNMPv3 user monitor`: no secrets.
    pub login: String,
    /// The context of its Printer-MIB, if not the usual one.
    pub context: Option<&'static str>,
    /// Requests sent, without retransmissions.
    pub requests: u32,
}

/// Why a poll failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket cannot be opened.
    #[error("no UDP socket for SNMP: {0}")]
    Socket(String),
    /// No login is configured.
    #[error("no SNMP community and no SNMPv3 user is configured")]
    NoLogin,
    /// Nothing came back.
    #[error(
        "{address} does not answer SNMP ({tried}): it is off or asleep, SNMP is switched off there, or the community or \
         password is another one"
    )]
    Silent {
        /// Whom.
        address: SocketAddr,
        /// What was tried.
        tried: String,
    },
    /// The agent does not take a user.
    #[error("{address} refuses {login}: {why}")]
    Refused {
        /// Who.
        address: SocketAddr,
        /// Which login.
        login: String,
        /// What it says.
        why: String,
    },
    /// It stopped answering.
    #[error("{address} stopped answering SNMP at {group}")]
    Stalled {
        /// Who.
        address: SocketAddr,
        /// At what.
        group: &'static str,
    },
    /// The poll took too long or too many requests.
    #[error("the SNMP poll of {address} was given up: {why}")]
    Limit {
        /// Who.
        address: SocketAddr,
        /// Which limit.
        why: String,
    },
    /// It answers, and shows nothing by which a printer could be told.
    #[error("{address} answers SNMP ({login}), but shows nothing of itself: the view for that login may be narrowed")]
    Mute {
        /// Who.
        address: SocketAddr,
        /// Which login.
        login: String,
    },
    /// It answers, and is no printer.
    #[error("{address} answers SNMP, but lists no printer ({description})")]
    NoPrinter {
        /// Who.
        address: SocketAddr,
        /// Its sysDescr.
        description: String,
    },
    /// Anything else.
    #[error("{address}: SNMP: {why}")]
    Other {
        /// Who.
        address: SocketAddr,
        /// What happened.
        why: String,
    },
}

impl Error {
    /// Whether it is a matter of waiting longer.
    pub fn is_deadline(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Stalled { .. } | Self::Limit { .. })
    }
}

/// Asks agents. Clones share the socket and what is remembered.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    transport: UdpTransport,
    engines: Arc<EngineCache>,
    logins: Vec<Login>,
    memory: Mutex<HashMap<SocketAddr, Memory>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("logins", &self.inner.logins).finish_non_exhaustive()
    }
}

impl Client {
    /// Opens the socket. Needs a Tokio runtime.
    pub async fn open(logins: Vec<Login>) -> Result<Self, Error> {
        if logins.is_empty() {
            return Err(Error::NoLogin);
        }
        // A machine without IPv6 has no such address.
        let transport = match UdpTransport::bind("[::]:0").await {
            Ok(transport) => transport,
            Err(_) => UdpTransport::bind("0.0.0.0:0").await.map_err(|error| Error::Socket(error.to_string()))?,
        };
        // Without a capacity it keeps whoever answered.
        let engines = Arc::new(EngineCache::new().with_max_capacity(MAX_REMEMBERED));
        let inner = Inner { transport, engines, logins, memory: Mutex::new(HashMap::new()) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The logins it asks with, in their order.
    pub fn logins(&self) -> &[Login] {
        &self.inner.logins
    }

    /// One poll of the agent at an address.
    pub async fn poll(&self, address: SocketAddr, patience: Patience) -> Result<(Observation, How), Error> {
        let (mib, how) = self.read(address, patience).await?;
        match decode::observation(&mib, Timestamp::now()) {
            Some(observation) => Ok((observation, how)),
            None => Err(Error::NoPrinter { address, description: decode::system_description(&mib) }),
        }
    }

    /// Everything a poll looks at, not yet interpreted.
    pub async fn read(&self, address: SocketAddr, patience: Patience) -> Result<(Mib, How), Error> {
        let read = tokio::time::timeout(POLL_DEADLINE, self.read_all(address, patience)).await;
        let read = read.unwrap_or_else(|_| {
            Err(Error::Limit { address, why: format!("it took longer than {} s", POLL_DEADLINE.as_secs()) })
        });
        self.remember(address, |memory| memory.ended(read.is_ok()));
        read
    }

    async fn read_all(&self, address: SocketAddr, patience: Patience) -> Result<(Mib, How), Error> {
        let memory = self.memory(address);
        let mut mib = Mib::default();
        let (attempt, mut session) = self.greet(address, patience, &mut mib).await?;
        for group in GROUPS.iter().filter(|group| !group.of_printer || memory.context != Context::Present) {
            self.walk(address, &mut session, group, &mut mib).await?;
        }
        if decode::is_open(&mib) {
            self.ask_objects(address, &mut session, &mut mib).await?;
        }
        let next_only = session.next_only;
        let mut how = How { login: self.name(attempt), context: None, requests: session.requests };
        if memory.context == Context::Present || (memory.context == Context::NotTried && decode::wants_context(&mib)) {
            let (found, requests) = self.read_context(address, attempt, memory.context, next_only).await?;
            how.requests = how.requests.saturating_add(requests);
            if !found.is_empty() {
                how.context = Some(JETDIRECT);
                mib.fill_from(found);
            }
        }
        self.remember(address, |memory| memory.next_only = next_only);
        Ok((mib, how))
    }

    /// Finds out how the agent is to be asked, and asks for its system group.
    async fn greet(&self, address: SocketAddr, patience: Patience, mib: &mut Mib) -> Result<(Attempt, Session), Error> {
        let memory = self.memory(address);
        let (attempt, mut session) = match memory.attempt {
            Some(attempt) => {
                let mut session = self.session(address, attempt, None, ANSWER, RETRIES)?;
                session.system(mib).await.map_err(|error| self.explain(address, attempt, error))?;
                (attempt, session)
            }
            None => self.find_login(address, patience, mib).await?,
        };
        self.remember(address, |memory| memory.attempt = Some(attempt));
        session.next_only = memory.next_only;
        Ok((attempt, session))
    }

    /// The Printer-MIB in the other context. One that is tried for the first time may be absent: silence is then no error.
    async fn read_context(
        &self,
        address: SocketAddr,
        attempt: Attempt,
        known: Context,
        next_only: bool,
    ) -> Result<(Mib, u32), Error> {
        let first = known == Context::NotTried;
        let mut session = self.session(address, attempt, Some(JETDIRECT), ANSWER, if first { 1 } else { RETRIES })?;
        session.next_only = next_only;
        let mut found = Mib::default();
        for group in GROUPS.iter().filter(|group| group.of_printer) {
            match self.walk(address, &mut session, group, &mut found).await {
                Ok(()) => {}
                Err(_) if first && found.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        let context = if found.is_empty() { Context::Absent } else { Context::Present };
        self.remember(address, |memory| memory.context = context);
        Ok((found, session.requests))
    }

    async fn walk(
        &self,
        address: SocketAddr,
        session: &mut Session,
        group: &Group,
        mib: &mut Mib,
    ) -> Result<(), Error> {
        if self.leaves_out(address, group.name) {
            return Ok(());
        }
        let walked = session.walk(group, mib).await;
        self.judge(address, group.name, walked)
    }

    /// Whether an agent always falls silent at this part: it is left out then.
    fn leaves_out(&self, address: SocketAddr, part: &'static str) -> bool {
        self.memory(address).leaves_out(part, Instant::now())
    }

    fn judge(
        &self,
        address: SocketAddr,
        part: &'static str,
        result: Result<(), session::Failure>,
    ) -> Result<(), Error> {
        match result {
            Ok(()) => {
                self.remember(address, |memory| memory.answered(part));
                Ok(())
            }
            Err(session::Failure::Silent) => {
                let mut borne = false;
                self.remember(address, |memory| borne = memory.stalled(part, Instant::now()));
                if borne { Ok(()) } else { Err(Error::Stalled { address, group: part }) }
            }
            Err(failure) => Err(failed(address, part, failure)),
        }
    }

    /// Tries the logins, each a little after the one before, until one is answered.
    async fn find_login(
        &self,
        address: SocketAddr,
        patience: Patience,
        mib: &mut Mib,
    ) -> Result<(Attempt, Session), Error> {
        let attempts = self.attempts();
        let rounds = if patience == Patience::Long { ROUNDS.len() } else { 2 };
        let give_up = Instant::now() + GREETING;
        let stagger = stagger(attempts.len());
        let mut refused = None;
        let mut bare = None;
        'rounds: for answer in ROUNDS.iter().take(rounds) {
            let mut running = FuturesUnordered::new();
            for (place, attempt) in attempts.iter().enumerate() {
                let mut session = self.session(address, *attempt, None, *answer, 0)?;
                running.push(async move {
                    tokio::time::sleep(stagger.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX))).await;
                    let mut mib = Mib::default();
                    let result = session.system(&mut mib).await;
                    (*attempt, session, result.map(|()| mib))
                });
            }
            loop {
                let (attempt, session, result) = match tokio::time::timeout_at(give_up, running.next()).await {
                    Ok(Some(tried)) => tried,
                    Ok(None) => break,
                    Err(_) => break 'rounds,
                };
                match result {
                    Ok(found) if !found.is_empty() => {
                        *mib = found;
                        return self.found(address, attempt, session.requests);
                    }
                    Ok(_) => bare = bare.or(Some((attempt, session.requests))),
                    Err(session::Failure::Silent) => {}
                    Err(failure) => refused = Some(self.explain(address, attempt, failure)),
                }
            }
            if bare.is_some() {
                break;
            }
        }
        // An answer without a word in it is one too; another login may have been shown more.
        if let Some((attempt, requests)) = bare {
            return self.found(address, attempt, requests);
        }
        Err(refused.unwrap_or_else(|| Error::Silent {
            address,
            tried: attempts.iter().map(|attempt| self.name(*attempt)).collect::<Vec<_>>().join(", "),
        }))
    }

    /// The session with an agent that takes this.
    fn found(&self, address: SocketAddr, attempt: Attempt, requests: u32) -> Result<(Attempt, Session), Error> {
        let mut session = self.session(address, attempt, None, ANSWER, RETRIES)?;
        session.requests = requests;
        Ok((attempt, session))
    }

    /// SNMPv3 users, then communities over v2c, then over v1.
    fn attempts(&self) -> Vec<Attempt> {
        let of = |version: Version| {
            let logins = self.inner.logins.iter().enumerate();
            logins.filter(move |(_, login)| login.takes(version)).map(move |(login, _)| Attempt { login, version })
        };
        of(Version::V3).chain(of(Version::V2c)).chain(of(Version::V1)).collect()
    }

    fn session(
        &self,
        address: SocketAddr,
        attempt: Attempt,
        context: Option<&str>,
        answer: Duration,
        retries: u32,
    ) -> Result<Session, Error> {
        let Inner { transport, engines, logins, .. } = &*self.inner;
        let login = logins.get(attempt.login).ok_or(Error::NoLogin)?;
        let auth = login.auth(attempt.version, context);
        Session::new(transport, engines, address, auth, answer, retries)
            .map_err(|error| Error::Other { address, why: error.to_string() })
    }

    fn name(&self, attempt: Attempt) -> String {
        self.inner.logins.get(attempt.login).map(|login| login.name(attempt.version)).unwrap_or_default()
    }

    fn explain(&self, address: SocketAddr, attempt: Attempt, failure: session::Failure) -> Error {
        match failure {
            session::Failure::Silent => Error::Silent { address, tried: self.name(attempt) },
            session::Failure::Refused(why) => Error::Refused { address, login: self.name(attempt), why },
            session::Failure::Limit(why) => Error::Limit { address, why },
            session::Failure::Other(why) => Error::Other { address, why },
        }
    }

    fn memory(&self, address: SocketAddr) -> Memory {
        let memory = self.inner.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(&address).cloned().unwrap_or_default()
    }

    fn remember(&self, address: SocketAddr, change: impl FnOnce(&mut Memory)) {
        let mut memory = self.inner.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= MAX_REMEMBERED && !memory.contains_key(&address) {
            // Any: what is forgotten is found out again.
            let any = memory.keys().next().copied();
            any.and_then(|any| memory.remove(&any));
        }
        change(memory.entry(address).or_default());
    }
}

/// Between one of so many logins and the next.
fn stagger(logins: usize) -> Duration {
    let gaps = u32::try_from(logins.saturating_sub(1)).unwrap_or(u32::MAX);
    SPREAD.checked_div(gaps).unwrap_or(STAGGER).min(STAGGER)
}

/// Why a part of a poll failed.
fn failed(address: SocketAddr, part: &'static str, failure: session::Failure) -> Error {
    match failure {
        session::Failure::Silent => Error::Stalled { address, group: part },
        session::Failure::Limit(why) => Error::Limit { address, why },
        session::Failure::Refused(why) | session::Failure::Other(why) => Error::Other { address, why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_logins_as_there_may_be_have_their_turn() {
        assert_eq!([0, 1, 2, 7].map(stagger), [STAGGER; 4]);
        // 8 users, 8 communities with two versions each.
        for logins in 8..=24_u32 {
            let last = stagger(logins as usize) * (logins - 1);
            assert!(last <= SPREAD && last > SPREAD - Duration::from_millis(1), "{last:?}");
        }
        let rounds: Duration = ROUNDS.iter().map(|answer| *answer + SPREAD).sum();
        assert!(rounds <= GREETING && GREETING < IDENTIFY_DEADLINE, "{rounds:?}");
    }
}
