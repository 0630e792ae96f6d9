//! One agent on one UDP socket: receives, answers, and misbehaves as the faults say.
//!
//! A datagram takes this way: version and community or user ([`CommunityRequest`], [`Engine`]); context; what there is
//! to answer from at this moment ([`Objects`]); the answer; what the faults make of it. Nothing is awaited on the way,
//! so one buffer a thread serves every agent, and an agent at rest owns nothing but its socket and a task.

use super::access::Access;
use super::answer::{Reply, answer};
use super::fault::SnmpFault;
use super::kind::{Kind, RECORDED_LONGEST};
use super::message::CommunityRequest;
use super::objects::{Looping, Objects};
use super::record::Recording;
use super::synthetic::{Layout, Moment, Printers};
use super::usm::{Engine, Received};
use crate::simulate::profiles::{AsleepSnmp, Snmp};
use crate::simulate::server::Shared;
use async_snmp::pdu::{Pdu, PduType};
use async_snmp::{ErrorStatus, Value, Version};
use bytes::Bytes;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest datagram.
const LONGEST_DATAGRAM: usize = 65_535;
/// Datagrams of one agent in a row before it asks whether there are more, which lets others have their turn.
const IN_A_ROW: usize = 32;
/// Answers that wait to be sent late; more are lost.
const MAX_LATE: usize = 256;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST_DATAGRAM]);
}

/// What an agent answers from.
pub(super) enum Source {
    /// A simulated printer.
    Live(Arc<Shared>),
    /// What was recorded of a real one; the faults are those of the printer in whose place it stands.
    Recorded(Arc<Recording>, Option<Arc<Shared>>),
}

/// One agent.
pub(super) struct Agent {
    source: Source,
    access: Access,
    versions: Snmp,
    kind: Option<&'static Kind>,
    longest: usize,
    engine: Option<Engine>,
    /// What was answered from last, of kinds that need it ([`Kind::stale`]).
    last: Mutex<Vec<Moment>>,
    late: AtomicUsize,
}

/// What goes back, and how much later.
struct Sent {
    answer: Bytes,
    after: Duration,
}

impl Agent {
    pub(super) fn new(source: Source, access: Access, now: Instant) -> Agent {
        let (versions, kind, enterprise, mac, longest) = match &source {
            Source::Live(shared) => {
                let device = shared.device();
                let kind = Moment::kind_of(device.profile);
                (device.profile.services.snmp, Some(kind), kind.enterprise, device.view(now).mac, kind.longest)
            }
            Source::Recorded(_, shared) => {
                let mut mac = [2, 0, 0, 0, 0, 0];
                match shared {
                    Some(shared) => mac = shared.device().view(now).mac,
                    None => getrandom::fill(mac.get_mut(1..).unwrap_or_default()).unwrap_or_default(),
                }
                (Snmp::V3, None, 32_473, mac, RECORDED_LONGEST)
            }
        };
        let engine = (versions == Snmp::V3 && !access.users.is_empty())
            .then(|| Engine::new(enterprise, mac, access.users.clone(), longest, now));
        Agent { source, access, versions, kind, longest, engine, last: Mutex::default(), late: AtomicUsize::new(0) }
    }

    /// Answers until the power goes.
    pub(super) async fn serve(self: Arc<Agent>, socket: Arc<UdpSocket>, off: CancellationToken, tasks: TaskTracker) {
        let cancelled = off.cancelled();
        tokio::pin!(cancelled);
        loop {
            let ready = tokio::select! {
                () = &mut cancelled => return,
                ready = socket.readable() => ready,
            };
            if ready.is_err() {
                return;
            }
            for _ in 0..IN_A_ROW {
                let received: io::Result<_> = BUFFER.with_borrow_mut(|buffer| {
                    let (length, from) = socket.try_recv_from(buffer)?;
                    Ok((self.handle(buffer.get(..length).unwrap_or_default(), Instant::now()), from))
                });
                match received {
                    Ok((Some(sent), from)) => self.send(sent, from, &socket, &off, &tasks),
                    Ok((None, _)) => {}
                    // A port unreachable of an earlier answer, for example.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {}
                }
            }
        }
    }

    fn send(
        self: &Arc<Agent>,
        sent: Sent,
        to: SocketAddr,
        socket: &Arc<UdpSocket>,
        off: &CancellationToken,
        tasks: &TaskTracker,
    ) {
        if sent.after.is_zero() {
            // A full send buffer loses the answer, as the network may.
            let _ = socket.try_send_to(&sent.answer, to);
            return;
        }
        if self.late.fetch_add(1, Ordering::Relaxed) >= MAX_LATE {
            self.late.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let (agent, socket, off) = (self.clone(), socket.clone(), off.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = off.cancelled() => {}
                () = tokio::time::sleep(sent.after) => {
                    let _ = socket.try_send_to(&sent.answer, to);
                }
            }
            agent.late.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// The answer to a datagram, when there is one.
    fn handle(&self, datagram: &[u8], now: Instant) -> Option<Sent> {
        let (faults, asleep) = self.state(now);
        if faults.contains(&SnmpFault::Silent) || asleep == AsleepSnmp::Silent {
            return None;
        }
        let slow = faults.iter().find_map(|fault| match fault {
            SnmpFault::Slow(millis) => Some(Duration::from_millis(*millis)),
            _ => None,
        });
        let asleep = match asleep {
            AsleepSnmp::Slow(after) => after,
            AsleepSnmp::Answers | AsleepSnmp::Silent => Duration::ZERO,
        };
        let after = slow.unwrap_or_default() + asleep;
        let datagram = Bytes::copy_from_slice(datagram);
        let mut answer = match version_of(&datagram)? {
            3 => self.user(&datagram, &faults, now)?,
            _ => self.community(datagram, &faults, now)?,
        };
        if faults.contains(&SnmpFault::Garbage) {
            answer = noise(answer.len());
        }
        if faults.contains(&SnmpFault::Truncated) {
            answer.truncate(answer.len() / 2);
        }
        Some(Sent { answer, after })
    }

    /// What is wrong with the agent, and how it is while the printer sleeps.
    fn state(&self, now: Instant) -> (Vec<SnmpFault>, AsleepSnmp) {
        match &self.source {
            Source::Live(shared) | Source::Recorded(_, Some(shared)) => {
                let device = shared.device();
                let asleep = if device.asleep(now) { device.profile.asleep } else { AsleepSnmp::Answers };
                (device.faults.snmp().collect(), asleep)
            }
            Source::Recorded(_, None) => (Vec::new(), AsleepSnmp::Answers),
        }
    }

    fn community(&self, datagram: Bytes, faults: &[SnmpFault], now: Instant) -> Option<Bytes> {
        let request = CommunityRequest::decode(datagram)?;
        if request.version == Version::V2c && self.versions == Snmp::V1 {
            return None;
        }
        // A wrong community gets no answer (RFC 1157 §4.1).
        let context = self.context_of(std::str::from_utf8(&request.community).ok()?)?;
        let room = request.room(self.longest);
        let reply = self.reply(&request.pdu, request.version, &context, room, faults, now)??;
        request.encode(&reply)
    }

    fn user(&self, datagram: &Bytes, faults: &[SnmpFault], now: Instant) -> Option<Bytes> {
        let engine = self.engine.as_ref()?;
        let request = match engine.receive(datagram, now) {
            Received::Request(request) => request,
            Received::Report(report) => return Some(report),
            Received::Nothing => return None,
        };
        if request.unauthorized {
            let reply = Reply::error(&request.pdu, Version::V3, ErrorStatus::AuthorizationError, 0);
            return engine.encode(&request, &reply, now);
        }
        let context = std::str::from_utf8(&request.context).ok()?;
        let room = engine.room(&request);
        match self.reply(&request.pdu, Version::V3, context, room, faults, now) {
            Some(reply) => engine.encode(&request, &reply?, now),
            None => engine.unknown_context(&request, now),
        }
    }

    /// The context that a community stands for: a configured community for the nameless one, `COMMUNITY@CONTEXT` or
    /// the name of a context for that.
    fn context_of(&self, community: &str) -> Option<String> {
        let configured = |name: &str| self.access.communities.iter().any(|known| known == name);
        if configured(community) {
            return Some(String::new());
        }
        let context = match community.split_once('@') {
            Some((name, context)) if configured(name) => context,
            Some(_) => return None,
            None => community,
        };
        self.has_context(context).then(|| context.to_owned())
    }

    fn has_context(&self, name: &str) -> bool {
        match &self.source {
            Source::Recorded(recording, _) => recording.context(name).is_some(),
            Source::Live(_) => name.is_empty() || self.kind.is_some_and(|kind| kind.contexts.contains(&name)),
        }
    }

    /// `None`: no such context. `Some(None)`: a request that gets no answer.
    fn reply(
        &self,
        pdu: &Pdu,
        version: Version,
        context: &str,
        room: usize,
        faults: &[SnmpFault],
        now: Instant,
    ) -> Option<Option<Reply>> {
        if !self.has_context(context) {
            return None;
        }
        let status = match faults {
            faults if faults.contains(&SnmpFault::GenErr) => Some(ErrorStatus::GenErr),
            faults if faults.contains(&SnmpFault::TooBig) => Some(ErrorStatus::TooBig),
            _ => None,
        };
        let asked = matches!(
            pdu.pdu_type(),
            PduType::GetRequest | PduType::GetNextRequest | PduType::GetBulkRequest | PduType::SetRequest
        );
        let mut reply = match status {
            Some(status) if asked => {
                Some(Reply::error(pdu, version, status, usize::from(status == ErrorStatus::GenErr)))
            }
            _ => self.with_objects(context, now, |objects| {
                if faults.contains(&SnmpFault::Loop) {
                    answer(pdu, version, &Looping(objects), room)
                } else {
                    answer(pdu, version, objects, room)
                }
            }),
        };
        if let Some(reply) = &mut reply {
            spoil(reply, faults);
        }
        Some(reply)
    }

    /// What is there to answer from: of a sleeping printer whose card knows nothing new, what it was when it was asked
    /// last; only the clock goes on.
    fn awake(&self, now: Vec<Moment>) -> Vec<Moment> {
        let stale = self.kind.is_some_and(|kind| kind.stale) && now.iter().any(|moment| moment.view.asleep);
        if !stale {
            return now;
        }
        let mut last = std::mem::take(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner));
        if last.len() != now.len() {
            return now;
        }
        for (old, new) in last.iter_mut().zip(&now) {
            old.view.up_time_ticks = new.view.up_time_ticks;
        }
        last
    }

    fn with_objects<T>(&self, context: &str, now: Instant, ask: impl FnOnce(&dyn Objects) -> Option<T>) -> Option<T> {
        match &self.source {
            Source::Recorded(recording, _) => ask(recording.context(context)?),
            Source::Live(shared) => {
                let kind = self.kind?;
                let behind = shared.behind_address();
                let moments = behind.iter().map(|shared| moment(shared, kind, now)).collect();
                let moments = self.awake(moments);
                let layout = Layout::of(&moments);
                let answer = ask(&Printers { layout: &layout, moments: &moments });
                if kind.stale {
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) = moments;
                }
                answer
            }
        }
    }
}

fn moment(shared: &Shared, kind: &'static Kind, now: Instant) -> Moment {
    let (view, profile) = {
        let device = shared.device();
        (device.view(now), device.profile)
    };
    let device_id = format!(
        "MFG:{};MDL:{};CMD:{};CLS:PRINTER;DES:{} {};SN:{};",
        view.make, view.model, profile.commands, view.make, view.model, view.serial
    );
    let reach = shared.reach();
    Moment { view, profile, kind, uri: reach.uri, ports: reach.ports, device_id }
}

/// What the faults make of an answer before it is encoded.
fn spoil(reply: &mut Reply, faults: &[SnmpFault]) {
    if faults.contains(&SnmpFault::WrongId) {
        reply.request_id = reply.request_id.wrapping_add(1);
    }
    if faults.contains(&SnmpFault::WrongCount) {
        reply.varbinds.pop();
    }
    if faults.contains(&SnmpFault::WrongType) {
        for varbind in &mut reply.varbinds {
            let number = match &varbind.value {
                Value::Integer(number) => number.to_string(),
                Value::Counter32(number) | Value::Gauge32(number) => number.to_string(),
                _ => continue,
            };
            varbind.value = Value::OctetString(number.into());
        }
    }
}

/// The version field of a message: 0, 1 or 3.
fn version_of(datagram: &Bytes) -> Option<i32> {
    let mut decoder = async_snmp::ber::Decoder::new(datagram.clone());
    let mut message = decoder.read_sequence().ok()?;
    message.read_integer().ok()
}

/// Octets that are no BER.
fn noise(length: usize) -> Bytes {
    let mut noise = vec![0xff; length.max(1)];
    let _ = getrandom::fill(noise.get_mut(1..).unwrap_or_default());
    noise.into()
}

#[cfg(test)]
mod tests;
