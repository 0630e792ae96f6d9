//! The asking side of a sweep: one socket for IPv4, one for IPv6 where it is swept; datagrams out at the machine's pace,
//! answers in as they come.

use super::wire::{self, Heard, Kind, Question};
use super::{Progress, Questions, SweepError, SweepOptions, UNSENT};
use crate::domain::net::PrinterPolicy;
use crate::domain::sweep::witness::Witnesses;
use crate::domain::sweep::{Answer, Machine, Step};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Datagrams read, and addresses asked, before the other has its turn.
const TURN: usize = 64;
/// Octets of an answer that are looked at: what is longer is cut, and its lengths then lie.
const LONGEST: usize = 2_048;
/// Octets that answers may wait in, where the system lets.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Octets that requests to unresolved neighbours may wait in: a datagram counts as 768 octets or more.
const SEND_BUFFER: usize = 1 << 20;
/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);
/// How long a full send buffer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The asking side of one sweep.
pub(super) struct Asking<'a> {
    v4: UdpSocket,
    v6: Option<UdpSocket>,
    port: u16,
    policy: &'a PrinterPolicy,
    progress: &'a watch::Sender<Progress>,
    machine: Machine,
    questions: Questions,
    keys: RandomState,
    found: mpsc::Sender<IpAddr>,
    began: Instant,
    ignored: BTreeMap<&'static str, u64>,
    /// Agents that are asked again.
    witnesses: Witnesses<Kind>,
    tell_next: Instant,
    /// What the send buffer had no room for.
    left: VecDeque<(IpAddr, usize)>,
}

/// For what an id is made.
#[derive(Hash)]
enum For {
    First,
    Again,
}

/// What became of a datagram.
enum Sent {
    Gone,
    Full,
}

impl<'a> Asking<'a> {
    /// Opens the sockets.
    pub(super) async fn open(
        options: &'a SweepOptions,
        progress: &'a watch::Sender<Progress>,
        machine: Machine,
        questions: Questions,
        keys: RandomState,
        v6: bool,
        found: mpsc::Sender<IpAddr>,
    ) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            v4: socket(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).await?,
            v6: if v6 { Some(socket(IpAddr::V6(Ipv6Addr::UNSPECIFIED)).await?) } else { None },
            port: options.port,
            policy: &options.policy,
            progress,
            machine,
            questions,
            keys,
            found,
            began: now,
            ignored: BTreeMap::new(),
            witnesses: Witnesses::default(),
            tell_next: now,
            left: VecDeque::new(),
        })
    }

    /// Asks until the sweep is over; gives the machine back, which knows who answered.
    pub(super) async fn run<T>(mut self, listener: &mpsc::Sender<T>) -> Result<Machine, SweepError> {
        let mut buffer = vec![0; LONGEST];
        loop {
            let more = self.hear(&mut buffer);
            let now = Instant::now();
            self.ask_again();
            if now >= self.tell_next {
                self.tell(now);
            }
            if listener.is_closed() || self.found.is_closed() {
                return Err(SweepError::Ended);
            }
            let wait = match self.ask() {
                Next::Over => break,
                Next::More => None,
                Next::At(at) => Some(at),
                Next::Full => {
                    tokio::select! {
                        () = self.writable() => {}
                        () = self.readable() => {}
                        () = sleep_until(now + PATIENCE) => {}
                    }
                    continue;
                }
            };
            match wait {
                Some(at) if !more => tokio::select! {
                    () = sleep_until(at.min(self.tell_next)) => {}
                    () = self.readable() => {}
                    () = listener.closed() => return Err(SweepError::Ended),
                },
                _ => tokio::task::yield_now().await,
            }
        }
        self.tell(Instant::now());
        Ok(self.machine)
    }

    /// Asks as many as may be asked now.
    fn ask(&mut self) -> Next {
        while let Some((address, place)) = self.left.front().copied() {
            if matches!(self.send(address, place), Sent::Full) {
                return Next::Full;
            }
            self.left.pop_front();
        }
        for _ in 0..TURN {
            // Room for the answers of one turn: else visits are behind, and asking waits.
            if self.found.capacity() < TURN {
                return Next::At(Instant::now() + Duration::from_millis(50));
            }
            let now = self.began.elapsed();
            match self.machine.next(now) {
                Step::Over => return Next::Over,
                Step::Wait(at) => return Next::At(self.began + at),
                Step::Ask { address, pass } => {
                    if self.policy.check_address(address).is_err() {
                        self.count("not in an allowed network");
                        continue;
                    }
                    let usual = self.questions.usual.len();
                    let questions = if pass == 1 { usual } else { usual + self.questions.more.len() };
                    for place in 0..questions {
                        if !self.left.is_empty() || matches!(self.send(address, place), Sent::Full) {
                            self.left.push_back((address, place));
                        }
                    }
                    if !self.left.is_empty() {
                        return Next::Full;
                    }
                }
            }
        }
        Next::More
    }

    /// Sends a question, by its place among all of them.
    fn send(&mut self, address: IpAddr, place: usize) -> Sent {
        let id = self.id(address, For::First);
        let usual = self.questions.usual.len();
        let question = match place.checked_sub(usual) {
            None => self.questions.usual.get_mut(place),
            Some(place) => self.questions.more.get_mut(place),
        };
        let Some(question) = question else { return Sent::Gone };
        let sent = send(&self.v4, self.v6.as_ref(), SocketAddr::new(address, self.port), question, id);
        self.sent(sent)
    }

    fn sent(&mut self, sent: io::Result<()>) -> Sent {
        let Err(error) = sent else { return Sent::Gone };
        match Errno::from_io_error(&error) {
            _ if error.kind() == ErrorKind::WouldBlock => return Sent::Full,
            Some(Errno::NOBUFS | Errno::NOMEM) => {
                self.count("the system had no room");
                self.machine.refused(self.began.elapsed());
            }
            // An unreachable network, a firewall's word.
            _ => self.count(UNSENT),
        }
        Sent::Gone
    }

    /// Asks an agent that has answered once more: does it still?
    fn ask_again(&mut self) {
        let now = self.began.elapsed();
        for _ in 0..self.witnesses.late(now) {
            self.machine.told(false, now);
        }
        let Some((address, kind)) = self.witnesses.due(now) else { return };
        let id = self.id(address, For::Again);
        let Questions { usual, more } = &mut self.questions;
        let question = usual.iter_mut().chain(more).find(|question| question.kind() == kind);
        let to = SocketAddr::new(address, self.port);
        if question.is_none_or(|question| send(&self.v4, self.v6.as_ref(), to, question, id).is_err()) {
            self.witnesses.unsent(address);
        }
    }

    /// Takes what has come; true: there may be more.
    fn hear(&mut self, buffer: &mut [u8]) -> bool {
        for _ in 0..TURN {
            let mut came = self.v4.try_recv_from(buffer);
            if let (Err(error), Some(v6)) = (&came, &self.v6)
                && error.kind() == ErrorKind::WouldBlock
            {
                came = v6.try_recv_from(buffer);
            }
            match came {
                Ok((length, from)) => self.heard(buffer.get(..length).unwrap_or_default(), from),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => self.count("an error was received"),
            }
        }
        true
    }

    fn heard(&mut self, datagram: &[u8], from: SocketAddr) {
        let address = from.ip().to_canonical();
        if from.port() != self.port || !self.machine.covers(address) {
            return self.count("from somebody who was not asked");
        }
        let Some(Heard { kind, id }) = wire::read(datagram) else { return self.count("no SNMP answer") };
        if id == self.id(address, For::Again) {
            let now = self.began.elapsed();
            if let Some(lost) = self.witnesses.answered(address, now) {
                (0..lost).for_each(|_| self.machine.told(false, now));
                self.machine.told(true, now);
            }
            return;
        }
        if id != self.id(address, For::First) {
            return self.count("a wrong id");
        }
        match self.machine.answered(address, self.questions.is_usual(kind)) {
            Answer::NotAsked => self.count("from somebody who was not asked"),
            Answer::Again => self.count("a further answer"),
            Answer::New => match self.found.try_send(address) {
                Ok(()) => self.witnesses.add(address, kind, self.began.elapsed()),
                Err(_) => {
                    self.count("more answers than can be looked at");
                    self.machine.forget(address);
                }
            },
        }
    }

    fn id(&self, address: IpAddr, reason: For) -> u32 {
        wire::id(self.keys.hash_one((address, reason)))
    }

    fn count(&mut self, reason: &'static str) {
        *self.ignored.entry(reason).or_default() += 1;
    }

    fn tell(&mut self, now: Instant) {
        self.tell_next = now + TELL;
        let measure = self.machine.measure(now.saturating_duration_since(self.began));
        self.progress.send_modify(|progress| {
            progress.asked = measure.asked;
            progress.sent = measure.sent;
            progress.answered = measure.answered;
            progress.pass = u32::try_from(measure.pass).unwrap_or(u32::MAX);
            progress.passes = u32::try_from(measure.passes).unwrap_or(u32::MAX);
            progress.rate = measure.rate as u32;
            progress.remaining_seconds = Some(measure.remaining.as_secs_f64());
            progress.ignored.clone_from(&self.ignored);
        });
    }

    /// The socket that what is left goes through has room.
    async fn writable(&self) {
        let socket = match (self.left.front(), &self.v6) {
            (Some((address, _)), Some(v6)) if address.is_ipv6() => v6,
            _ => &self.v4,
        };
        let _ = socket.writable().await;
    }

    async fn readable(&self) {
        let v6 = async {
            match &self.v6 {
                Some(v6) => drop(v6.readable().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.v4.readable() => {}
            () = v6 => {}
        }
    }
}

enum Next {
    Over,
    More,
    At(Instant),
    Full,
}

fn send(v4: &UdpSocket, v6: Option<&UdpSocket>, to: SocketAddr, question: &mut Question, id: u32) -> io::Result<()> {
    let socket = if to.is_ipv4() { v4 } else { v6.ok_or(ErrorKind::Unsupported)? };
    socket.try_send_to(question.with_id(id), to).map(drop)
}

async fn socket(any: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((any, 0)).await?;
    // As far as the system lets; less is slower, not wrong.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
    let _ = sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER);
    Ok(socket)
}
