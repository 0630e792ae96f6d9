//! Requests to one agent with one login: the system group, and columns walked side by side.

use super::{MAX_REQUESTS, MAX_ROWS};
use crate::snmp::decode::mib::Mib;
use crate::snmp::objects::{Arcs, Group, SYSTEM};
use async_snmp::{
    Auth, Client, ClientBuilder, EngineCache, Error, ErrorKind, ErrorStatus, Oid, Retry, UdpHandle, UdpTransport,
    VarBind, Version,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Variables that one GetBulk asks for: about 1,400 octets of answer.
const BULK_VARIABLES: usize = 48;
/// Variables of one answer looked at.
const MAX_ANSWER: usize = 1_024;

/// Why a request or walk failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// No answer.
    Silent,
    /// The agent does not take the login.
    Refused(String),
    /// The poll's limit is reached.
    Limit(String),
    /// Anything else.
    Other(String),
}

pub(super) struct Session {
    client: Client<UdpHandle>,
    /// GetBulk is not to be used.
    pub(super) next_only: bool,
    /// Requests made.
    pub(super) requests: u32,
}

/// A column to be walked.
pub(super) struct Column {
    /// The entry of a table.
    pub(super) entry: &'static [u32],
    /// The column in it; 0 where the entry is the column.
    pub(super) number: u32,
    /// Rows that are of use.
    pub(super) rows: usize,
    /// The row to begin behind.
    pub(super) after: Option<u32>,
}

/// A column from its beginning.
pub(super) const fn column(entry: Arcs, number: u32, rows: usize) -> Column {
    Column { entry, number, rows, after: None }
}

/// One column under way.
struct Walk {
    column: Oid,
    last: Oid,
    rows: usize,
    limit: usize,
    open: bool,
}

impl Session {
    pub(super) fn new(
        transport: &UdpTransport,
        engines: &Arc<EngineCache>,
        address: SocketAddr,
        auth: Auth,
        answer: Duration,
        retries: u32,
    ) -> Result<Self, Box<Error>> {
        let handle = transport.handle(address)?.strict_source(true);
        let retry = Retry::fixed(retries, Duration::ZERO).unwrap_or_else(|_| Retry::none());
        let client = ClientBuilder::new(auth)
            .request_timeout(answer)
            .send_timeout(answer)
            .retry(retry)
            .max_oids_per_request(16)
            .engine_cache(engines.clone())
            .build_with_transport(handle)?;
        Ok(Self { client, next_only: false, requests: 0 })
    }

    /// Whether one request may bring several rows.
    pub(super) fn is_bulk(&self) -> bool {
        !self.next_only && self.client.version() != Version::V1
    }

    /// The system group. An agent that answers without any of it leaves `mib` empty.
    pub(super) async fn system(&mut self, mib: &mut Mib) -> Result<(), Failure> {
        let mut oids: Vec<Oid> = SYSTEM.iter().map(|arcs| Oid::from_slice(arcs)).collect();
        while !oids.is_empty() {
            self.count()?;
            match self.client.get_many(&oids).await {
                Ok(answer) => {
                    for variable in answer.varbinds.into_iter().take(MAX_ANSWER) {
                        if oids.contains(&variable.oid) {
                            mib.insert(variable.oid.arcs(), variable.value);
                        }
                    }
                    return Ok(());
                }
                // SNMPv1 answers all or nothing: without the one that is missing.
                Err(error) => match refused(&error, &oids) {
                    Some(place) => drop(oids.remove(place)),
                    None => return Err(failure(&error)),
                },
            }
        }
        Ok(())
    }

    /// Walks the columns of a group into `mib`.
    pub(super) async fn walk(&mut self, group: &Group, mib: &mut Mib) -> Result<(), Failure> {
        let columns = group.columns.iter().map(|(entry, number)| column(entry, *number, MAX_ROWS));
        self.columns(columns, u32::MAX, mib).await
    }

    /// The objects with these identifiers, each with the instance, in one request that no missing one spoils: what comes
    /// after the identifier without its last number is asked for.
    pub(super) async fn objects(&mut self, mut oids: Vec<Arcs>, mib: &mut Mib) -> Result<(), Failure> {
        // In order: what SNMPv1 says of the first behind the end then holds for the others.
        oids.sort_unstable();
        let columns = oids.into_iter().filter_map(|oid| Some(column(oid.split_last()?.1, 0, 1)));
        self.columns(columns, 4, mib).await
    }

    /// Walks columns side by side into `mib`, each to its end or to its number of rows, with so many requests at most.
    pub(super) async fn columns(
        &mut self,
        columns: impl Iterator<Item = Column>,
        rounds: u32,
        mib: &mut Mib,
    ) -> Result<(), Failure> {
        let walks = columns.map(|Column { entry, number, rows: limit, after }| {
            let column = if number == 0 { Oid::from_slice(entry) } else { Oid::from_slice(entry).child(number) };
            let last = after.map_or_else(|| column.clone(), |row| column.child(row));
            Walk { last, column, rows: 0, limit, open: true }
        });
        let mut walks: Vec<Walk> = walks.collect();
        let mut width = walks.len();
        let one_row = walks.iter().all(|walk| walk.limit == 1);
        let mut bulk = self.is_bulk() && !one_row;
        let mut rounds = rounds;
        let mut repetitions = (BULK_VARIABLES / width.max(1)).clamp(1, 16);
        let mut proven = false;
        loop {
            let open: Vec<usize> =
                walks.iter().enumerate().filter(|(_, walk)| walk.open).map(|(place, _)| place).take(width).collect();
            if open.is_empty() || rounds == 0 {
                return Ok(());
            }
            rounds -= 1;
            self.count()?;
            let oids: Vec<Oid> =
                open.iter().filter_map(|place| walks.get(*place)).map(|walk| walk.last.clone()).collect();
            let answer = if bulk {
                self.client.get_bulk(&oids, 0, u32::try_from(repetitions).unwrap_or(1)).await
            } else {
                self.client.get_next_many(&oids).await.map(|answer| answer.varbinds)
            };
            match answer {
                Ok(variables) => {
                    proven = true;
                    take(&mut walks, &open, variables, mib);
                }
                Err(error) if is_too_big(&error) && bulk && repetitions > 1 => repetitions /= 2,
                Err(error) if is_too_big(&error) && bulk => bulk = false,
                Err(error) if is_too_big(&error) && width > 1 => width = width.div_ceil(2),
                Err(error) if is_too_big(&error) => close(&mut walks, &open),
                // Some agents fail at GetBulk, or say nothing: in smaller steps, then.
                Err(error) if bulk && !proven && (is_status(&error) || error.kind() == ErrorKind::Timeout) => {
                    bulk = false;
                    width = width.min(4);
                    if error.kind() == ErrorKind::Timeout {
                        self.next_only = true;
                    }
                }
                Err(error) if bulk && is_status(&error) => bulk = false,
                Err(error) => match refused(&error, &oids).and_then(|place| open.get(place)) {
                    // SNMPv1 has no other word for the end: nothing comes after this one, nor after those behind it.
                    Some(place) => close_from(&mut walks, *place),
                    None if is_status(&error) => close(&mut walks, &open),
                    None => return Err(failure(&error)),
                },
            }
        }
    }

    fn count(&mut self) -> Result<(), Failure> {
        self.requests += 1;
        if self.requests > MAX_REQUESTS {
            return Err(Failure::Limit(format!("it wanted more than {MAX_REQUESTS} requests")));
        }
        Ok(())
    }
}

/// Takes an answer's variables: the k-th belongs to the column asked for in the k-th place, round and round.
fn take(walks: &mut [Walk], open: &[usize], variables: Vec<VarBind>, mib: &mut Mib) {
    // An answer cut off by its size says nothing of the columns behind the cut.
    let said = variables.len();
    let mut ended = vec![false; open.len()];
    let mut grew = vec![false; open.len()];
    for (k, variable) in variables.into_iter().take(MAX_ANSWER).enumerate() {
        let place = k % open.len().max(1);
        let (Some(index), Some(ended), Some(grew)) = (open.get(place), ended.get_mut(place), grew.get_mut(place))
        else {
            break;
        };
        let Some(walk) = walks.get_mut(*index).filter(|_| !*ended) else { continue };
        // Out of the column, or not further than before: an agent that goes round in circles.
        let inside = variable.oid.starts_with(&walk.column) && variable.oid > walk.last;
        if !inside || variable.value.is_exception() || walk.rows >= walk.limit {
            *ended = true;
            continue;
        }
        *grew = true;
        walk.rows += 1;
        mib.insert(variable.oid.arcs(), variable.value);
        walk.last = variable.oid;
    }
    for (place, index) in open.iter().enumerate() {
        let silent = place >= said && said > 0;
        let over = ended.get(place).copied().unwrap_or(true) || !grew.get(place).copied().unwrap_or(false);
        let done = over && !silent;
        if let Some(walk) = walks.get_mut(*index) {
            walk.open = !done && walk.rows < walk.limit;
        }
    }
}

fn close(walks: &mut [Walk], places: &[usize]) {
    for place in places {
        if let Some(walk) = walks.get_mut(*place) {
            walk.open = false;
        }
    }
}

fn close_from(walks: &mut [Walk], place: usize) {
    let Some(last) = walks.get(place).map(|walk| walk.last.clone()) else { return };
    for walk in walks.iter_mut().filter(|walk| walk.last >= last) {
        walk.open = false;
    }
}

fn is_status(error: &Error) -> bool {
    matches!(error.exchange_source(), Error::Snmp { .. })
}

fn is_too_big(error: &Error) -> bool {
    matches!(error.exchange_source(), Error::Snmp { status: ErrorStatus::TooBig, .. })
}

/// Which of the objects asked for an error names.
fn refused(error: &Error, oids: &[Oid]) -> Option<usize> {
    let Error::Snmp { status, index, oid, .. } = error.exchange_source() else { return None };
    if *status == ErrorStatus::TooBig {
        return None;
    }
    let by_name = oid.as_ref().and_then(|oid| oids.iter().position(|asked| asked == &**oid));
    by_name.or_else(|| usize::try_from(*index).ok()?.checked_sub(1).filter(|place| *place < oids.len()))
}

fn failure(error: &Error) -> Failure {
    match (error.kind(), error.exchange_source()) {
        (ErrorKind::Timeout, _) => Failure::Silent,
        (ErrorKind::Auth | ErrorKind::Report, source) => Failure::Refused(source.to_string()),
        (_, source) => Failure::Other(source.to_string()),
    }
}
