//! Version 3: the User-based Security Model of one agent (RFC 3414), which is the authoritative engine.
//!
//! | what arrives | what it gets (when the reportable flag is set) |
//! |---|---|
//! | no or another engine id (discovery) | Report usmStatsUnknownEngineIDs |
//! | unknown user | Report usmStatsUnknownUserNames |
//! | more security than the user has | Report usmStatsUnsupportedSecLevels |
//! | wrong digest | Report usmStatsWrongDigests |
//! | other engineBoots, or engineTime more than 150 s off | Report usmStatsNotInTimeWindows, authenticated |
//! | cannot be decrypted | Report usmStatsDecryptionErrors |
//! | unknown context | Report snmpUnknownContexts |
//! | less security than the user has | error-status authorizationError |
//!
//! The engine id is made of the enterprise and the MAC address (RFC 3411 §5, format 3). engineBoots is the number of
//! seconds between 2024 and the power on: it only grows, and needs no storage.

use super::access::User;
use super::answer::Reply;
use super::message::{REPORT, encode_scoped, v3_room};
use async_snmp::ber::{Decoder, EncodeBuf};
use async_snmp::message::{MsgFlags, MsgGlobalData, RawMsgData, RawV3Message, ScopedPdu, SecurityLevel};
use async_snmp::message_size::{MessageSize, UDP_RECEIVE_LIMITS};
use async_snmp::pdu::Pdu;
use async_snmp::v3::{DesSaltState, LocalizedKey, PrivKey, PrivProtocol, SaltCounter, UsmSecurityParams};
use async_snmp::{DecodeConfig, Oid, Value, VarBind};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Seconds that engineTime may differ (RFC 3414 §2.2.3).
const WINDOW: u32 = 150;
/// 2024-01-01 as Unix time.
const EPOCH: i64 = 1_704_067_200;

/// usmStats… (1.3.6.1.6.3.15.1.1.x.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stat {
    UnsupportedSecLevels = 1,
    NotInTimeWindows = 2,
    UnknownUserNames = 3,
    UnknownEngineIds = 4,
    WrongDigests = 5,
    DecryptionErrors = 6,
}

/// The engine of one agent from one power on to the next off.
pub(super) struct Engine {
    id: Bytes,
    boots: u32,
    started: Instant,
    users: Arc<[User]>,
    longest: MessageSize,
    /// What was used so far; the keys of the others need not be derived.
    keys: Mutex<HashMap<usize, Arc<Keys>>>,
    salt: Option<SaltCounter>,
    des: Option<DesSaltState>,
    reports: [AtomicU32; 8],
}

struct Keys {
    auth: LocalizedKey,
    privacy: Option<PrivKey>,
}

/// A request that passed.
pub(super) struct Secured {
    pub(super) pdu: Pdu,
    pub(super) context: Bytes,
    /// Less security than the user has.
    pub(super) unauthorized: bool,
    message: i32,
    user: Bytes,
    level: SecurityLevel,
    keys: Option<Arc<Keys>>,
    longest: usize,
    reportable: bool,
}

/// What becomes of a datagram.
pub(super) enum Received {
    Request(Box<Secured>),
    /// A Report goes back.
    Report(Bytes),
    Nothing,
}

impl Engine {
    pub(super) fn new(enterprise: u32, mac: [u8; 6], users: Arc<[User]>, longest: usize, now: Instant) -> Engine {
        let mut id = (enterprise | 0x8000_0000).to_be_bytes().to_vec();
        id.push(3);
        id.extend_from_slice(&mac);
        let boots = u32::try_from(jiff::Timestamp::now().as_second().saturating_sub(EPOCH)).unwrap_or(1);
        Engine {
            id: id.into(),
            boots: boots.clamp(1, i32::MAX.unsigned_abs() - 1),
            started: now,
            users,
            longest: MessageSize::new(longest.max(484)).unwrap_or(UDP_RECEIVE_LIMITS.advertised()),
            keys: Mutex::default(),
            salt: SaltCounter::new().ok(),
            des: DesSaltState::install(|_| Ok::<(), std::io::Error>(())).ok(),
            reports: Default::default(),
        }
    }

    /// Takes a datagram apart as RFC 3414 §3.2 says.
    pub(super) fn receive(&self, datagram: &Bytes, now: Instant) -> Received {
        self.secured(datagram, now).unwrap_or(Received::Nothing)
    }

    fn secured(&self, datagram: &Bytes, now: Instant) -> Option<Received> {
        let raw = RawV3Message::decode(datagram.clone(), DecodeConfig::DEFAULT).ok()?.value;
        let security = UsmSecurityParams::decode(raw.security_params().clone(), DecodeConfig::DEFAULT).ok()?.value;
        let (flags, message) = (raw.global_data().msg_flags(), raw.msg_id());
        let report = |stat, key| Some(self.report(flags, message, security.username(), stat, key, now));
        if security.engine_id() != &self.id {
            return report(Stat::UnknownEngineIds, None);
        }
        let Some(index) = self.users.iter().position(|user| user.name().as_bytes() == security.username().as_ref())
        else {
            return report(Stat::UnknownUserNames, None);
        };
        let user = self.users.get(index)?;
        let level = raw.security_level();
        if level.requires_auth() && !user.authenticates() || level.requires_priv() && !user.encrypts() {
            return report(Stat::UnsupportedSecLevels, None);
        }
        let keys = if level.requires_auth() { Some(self.keys(index, user)?) } else { None };
        if let Some(keys) = &keys {
            if !genuine(&keys.auth, datagram).unwrap_or(false) {
                return report(Stat::WrongDigests, None);
            }
            if security.engine_boots() != self.boots || security.engine_time().abs_diff(self.time(now)) > WINDOW {
                return report(Stat::NotInTimeWindows, Some(&keys.auth));
            }
        }
        let scoped = match raw.msg_data() {
            RawMsgData::Plaintext { data, .. } => data.clone(),
            RawMsgData::Encrypted(data) => {
                let key = keys.as_ref().and_then(|keys| keys.privacy.as_ref())?;
                let (boots, time) = (security.engine_boots(), security.engine_time());
                match key.decrypt(data, boots, time, security.priv_params()) {
                    Ok(scoped) => scoped,
                    Err(_) => return report(Stat::DecryptionErrors, None),
                }
            }
        };
        let Ok(scoped) = ScopedPdu::decode(&mut Decoder::new(scoped)) else {
            // Decrypted with the wrong key, most likely.
            return if level.requires_priv() { report(Stat::DecryptionErrors, None) } else { None };
        };
        Some(Received::Request(Box::new(Secured {
            context: scoped.context_name.clone(),
            pdu: scoped.pdu.clone(),
            unauthorized: user.authenticates() != level.requires_auth() || user.encrypts() != level.requires_priv(),
            message,
            user: security.username().clone(),
            level,
            keys,
            longest: raw.global_data().msg_max_size().as_usize().min(self.longest.as_usize()),
            reportable: flags.reportable,
        })))
    }

    /// Room for variable bindings in an answer to this.
    pub(super) fn room(&self, request: &Secured) -> usize {
        request.longest.saturating_sub(v3_room(request.user.len(), request.context.len()))
    }

    /// The answer on the wire.
    pub(super) fn encode(&self, request: &Secured, reply: &Reply, now: Instant) -> Option<Bytes> {
        let scoped = encode_scoped(None, &self.id, &request.context, reply)?;
        let keys = request.keys.as_deref();
        self.message(request.message, request.level, &request.user, scoped, keys, now)
    }

    /// snmpUnknownContexts (RFC 3413 §3.2), at the level of the request.
    pub(super) fn unknown_context(&self, request: &Secured, now: Instant) -> Option<Bytes> {
        if !request.reportable {
            return None;
        }
        let oid = Oid::from_slice(&[1, 3, 6, 1, 6, 3, 12, 1, 5, 0]);
        let reply = report_of(oid, self.count(7), request.pdu.request_id());
        let scoped = encode_scoped(Some(REPORT), &self.id, &[], &reply)?;
        self.message(request.message, request.level, &request.user, scoped, request.keys.as_deref(), now)
    }

    fn report(
        &self,
        flags: MsgFlags,
        message: i32,
        user: &Bytes,
        stat: Stat,
        key: Option<&LocalizedKey>,
        now: Instant,
    ) -> Received {
        let count = self.count(stat as usize);
        if !flags.reportable {
            return Received::Nothing;
        }
        let oid = Oid::from_slice(&[1, 3, 6, 1, 6, 3, 15, 1, 1, stat as u32, 0]);
        let keys = key.map(|key| Keys { auth: key.clone(), privacy: None });
        let level = if keys.is_some() { SecurityLevel::AuthNoPriv } else { SecurityLevel::NoAuthNoPriv };
        let sent = encode_scoped(Some(REPORT), &self.id, &[], &report_of(oid, count, 0))
            .and_then(|scoped| self.message(message, level, user, scoped, keys.as_ref(), now));
        sent.map_or(Received::Nothing, Received::Report)
    }

    /// One more of these; how many there are.
    fn count(&self, index: usize) -> u32 {
        self.reports.get(index).map_or(1, |counter| counter.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }

    fn message(
        &self,
        id: i32,
        level: SecurityLevel,
        user: &Bytes,
        scoped: Bytes,
        keys: Option<&Keys>,
        now: Instant,
    ) -> Option<Bytes> {
        let mut security = UsmSecurityParams::new(self.id.clone(), self.boots, self.time(now), user.clone()).ok()?;
        if level.requires_auth() {
            security = security.with_auth_placeholder(keys?.auth.mac_len()).ok()?;
        }
        let mut data = scoped;
        if level.requires_priv() {
            let key = keys?.privacy.as_ref()?;
            let (cipher, salt) = match key.protocol() {
                PrivProtocol::Des | PrivProtocol::Des3 => key.encrypt_des_family(&data, self.des.as_ref()?),
                _ => key.encrypt_aes(&data, self.boots, self.time(now), self.salt.as_ref()?),
            }
            .ok()?;
            security = security.with_priv_params(salt).ok()?;
            data = cipher;
        }
        let security = security.encode().ok()?;
        let global = MsgGlobalData::new(id, self.longest, MsgFlags::new(level, false)).ok()?;
        let mut buffer = EncodeBuf::with_capacity(data.len() + 160);
        buffer
            .push_sequence(|buffer| {
                if level.requires_priv() {
                    buffer.push_octet_string(&data)?;
                } else {
                    buffer.push_bytes(&data);
                }
                buffer.push_octet_string(&security)?;
                global.encode(buffer)?;
                buffer.push_integer(3);
                Ok(())
            })
            .ok()?;
        let mut message = buffer.finish_vec();
        if level.requires_auth() {
            let (at, length) = UsmSecurityParams::find_auth_params_offset(&message)?;
            let digest = keys?.auth.compute_hmac(&message).ok()?;
            message
                .get_mut(at..at.checked_add(length)?)
                .filter(|place| place.len() == digest.len())?
                .copy_from_slice(&digest);
        }
        Some(message.into())
    }

    /// snmpEngineTime, seconds since power on.
    fn time(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.started).as_secs()).unwrap_or(u32::MAX)
    }

    fn keys(&self, index: usize, user: &User) -> Option<Arc<Keys>> {
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = known.get(&index) {
            return Some(keys.clone());
        }
        let (auth, privacy) = user.master()?.localize(&self.id).ok()?;
        let keys = Arc::new(Keys { auth, privacy });
        known.insert(index, keys.clone());
        Some(keys)
    }
}

/// Whether the digest is right: it was made with zeros in its own place (RFC 3414 §6.3.2).
fn genuine(key: &LocalizedKey, datagram: &[u8]) -> Option<bool> {
    let (at, length) = UsmSecurityParams::find_auth_params_offset(datagram)?;
    let mut message = datagram.to_vec();
    let place = message.get_mut(at..at.checked_add(length)?).filter(|place| place.len() == key.mac_len())?;
    let digest = place.to_vec();
    place.fill(0);
    key.verify_hmac(&message, &digest).ok()
}

fn report_of(oid: Oid, count: u32, request_id: i32) -> Reply {
    Reply { request_id, status: 0, index: 0, varbinds: vec![VarBind::new(oid, Value::Counter32(count))] }
}
