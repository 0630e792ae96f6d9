//! One printer as the registry keeps and the store stores it.

use super::quarantine::{instance, see};
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::identity::{self, Reason, Verdict};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::{Evidence, Sighting};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Endpoints of one printer; beyond that the longest unseen goes.
pub const MAX_ENDPOINTS: usize = 16;

/// A failing endpoint of a printer that answers over another one is tried again after this time: TLS that broke once
/// must not mean plain text for ever.
const TRY_AGAIN: SignedDuration = SignedDuration::from_mins(30);

/// A TLS certificate by the SHA-256 of its DER form, trusted from first use; 64 hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin([u8; 32]);

impl Pin {
    /// The pin of a certificate's SHA-256.
    pub fn from_sha256(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The SHA-256.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> String {
        pin.to_string()
    }
}

impl TryFrom<String> for Pin {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        bytes.and_then(|b| b.try_into().ok()).map(Self).ok_or("a certificate pin is 64 hex digits")
    }
}

/// Who a device says it is when asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Evidence from its answer.
    pub evidence: Evidence,
    /// Its display name.
    pub name: Option<String>,
    /// Its location.
    pub location: Option<String>,
    /// The certificate it showed, over TLS.
    pub pin: Option<Pin>,
}

/// An endpoint with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownEndpoint {
    /// The sighting's key.
    pub key: String,
    /// How it is reached.
    pub endpoint: Endpoint,
    /// What was announced about who it is.
    pub announced: Evidence,
    /// Document formats announced or configured for it.
    #[serde(default)]
    pub formats: Vec<String>,
    /// DNS-SD priority, lower is preferred.
    pub priority: u8,
    /// Last sighting.
    pub last_seen: Timestamp,
    /// No longer announced.
    pub lost: bool,
    /// Polls over it fail, since then. Not stored: after a start everything is tried again.
    #[serde(skip)]
    pub failing_since: Option<Timestamp>,
    /// The certificate trusted.
    pub pin: Option<Pin>,
}

impl KnownEndpoint {
    /// The order of preference, smallest first: what answers, what is announced, TLS, priority, key.
    pub fn rank(&self) -> (bool, bool, EndpointKind, u8, &str) {
        (self.failing_since.is_some(), self.lost, self.endpoint.kind, self.priority, &self.key)
    }

    /// The service instance it belongs to.
    pub(super) fn instance(&self) -> &str {
        instance(&self.key)
    }
}

/// A printer with an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printer {
    /// Its id, for ever.
    pub id: PrinterId,
    /// Ids that were merged into it.
    #[serde(default)]
    pub aliases: Vec<PrinterId>,
    /// All evidence of who it is.
    pub evidence: Evidence,
    /// How it is reached, in no order; see [`Printer::preferred`].
    pub endpoints: Vec<KnownEndpoint>,
    /// The name a person sees.
    pub name: String,
    /// Where it stands.
    pub location: Option<String>,
    /// When it got its id.
    pub first_seen: Timestamp,
}

impl Printer {
    /// Its endpoints in the order to try them.
    pub fn preferred(&self) -> Vec<&KnownEndpoint> {
        let mut all: Vec<_> = self.endpoints.iter().collect();
        all.sort_by_key(|e| e.rank());
        all
    }

    /// The formats announced or configured for its AppSocket and LPD endpoints, where there are any.
    pub fn raw_formats(&self) -> Vec<(Endpoint, Vec<String>)> {
        let raw = self.endpoints.iter().filter(|e| !e.endpoint.kind.is_ipp() && !e.formats.is_empty());
        raw.map(|e| (e.endpoint.clone(), e.formats.clone())).collect()
    }

    /// Whether it has an endpoint that is announced and not known to fail.
    pub fn is_live(&self) -> bool {
        self.endpoints.iter().any(|e| !e.lost && e.failing_since.is_none())
    }

    /// Whether it can be asked over IPP.
    pub fn has_ipp(&self) -> bool {
        self.endpoints.iter().any(|e| e.endpoint.kind.is_ipp())
    }

    pub(super) fn endpoint_mut(&mut self, key: &str) -> Option<&mut KnownEndpoint> {
        self.endpoints.iter_mut().find(|e| e.key == key)
    }

    /// Takes a sighting; true when something changed.
    pub(super) fn see(&mut self, s: &Sighting, now: Timestamp) -> bool {
        // Where announcements and answers differ, the answers stay.
        let evidence = identity::merge(&s.evidence, &self.evidence);
        let evidence = match identity::same_device(&self.evidence, &s.evidence) {
            // Same name, same host, another UUID: some devices make one at each start.
            Verdict::Different(Reason::Uuid) => Evidence { uuid: s.evidence.uuid.clone(), ..evidence },
            _ => evidence,
        };
        let known = evidence == self.evidence;
        self.evidence = evidence;
        see(&mut self.endpoints, s, now) || !known
    }

    /// Whether a sighting under a key of this printer is still this printer. A UUID that differs under the same name
    /// on the same host is taken for a device that makes a new one at each start.
    pub(super) fn takes_again(&self, s: &Sighting) -> bool {
        let unchanged = self.endpoints.iter().any(|e| e.key == s.key && e.announced == s.evidence);
        if unchanged || identity::same_uuid(&self.evidence, &s.evidence) {
            return true;
        }
        match identity::same_device(&self.evidence, &s.evidence) {
            Verdict::Same(_) | Verdict::Open => true,
            Verdict::Different(Reason::Uuid) => {
                self.endpoints.iter().any(|e| e.key == s.key && e.endpoint.host.eq_ignore_ascii_case(&s.endpoint.host))
            }
            Verdict::Different(_) => false,
        }
    }

    /// Whether an answer over `endpoint` came from another device. A UUID that differs from ours, but is the one
    /// announced there, is a new UUID of the same device (see [`Printer::takes_again`]).
    pub(super) fn is_answer_of_another(&self, endpoint: &KnownEndpoint, answered: &Evidence) -> bool {
        match identity::same_device(&self.evidence, answered) {
            Verdict::Same(_) | Verdict::Open => false,
            Verdict::Different(Reason::Uuid) => {
                let announced = identity::canonical(&endpoint.announced).uuid;
                announced.is_some() && announced != identity::canonical(answered).uuid
            }
            // Announced and answered models are often spelled differently: a model alone parts nothing, another
            // network card with it does.
            Verdict::Different(Reason::Model) => identity::macs_differ(&self.evidence, answered),
            Verdict::Different(_) => true,
        }
    }

    /// Takes what the device answered; true when something changed.
    pub(super) fn learn(&mut self, key: &str, who: &Identity, now: Timestamp) -> bool {
        let before = (self.evidence.clone(), self.name.clone(), self.location.clone());
        self.evidence = identity::merge(&self.evidence, &who.evidence);
        if let Some(name) = &who.name {
            self.name.clone_from(name);
        }
        if who.location.is_some() {
            self.location.clone_from(&who.location);
        }
        let mut changed = before != (self.evidence.clone(), self.name.clone(), self.location.clone());
        if let Some(e) = self.endpoint_mut(key) {
            changed |= e.failing_since.is_some() || (e.pin.is_none() && who.pin.is_some());
            e.failing_since = None;
            e.pin = e.pin.or(who.pin);
        }
        for e in self.endpoints.iter_mut().filter(|e| e.key != key) {
            let again = e.failing_since.is_some_and(|since| now.duration_since(since).abs() >= TRY_AGAIN);
            if again {
                e.failing_since = None;
                changed = true;
            }
        }
        changed
    }

    /// Fills gaps with what the agent at its address says; true when something changed.
    pub(super) fn learn_more(&mut self, who: &Identity) -> bool {
        let evidence = identity::merge(&who.evidence, &self.evidence);
        let location = self.location.clone().or_else(|| who.location.clone());
        let changed = evidence != self.evidence || location != self.location;
        self.evidence = evidence;
        self.location = location;
        changed
    }

    /// Drops endpoints beyond [`MAX_ENDPOINTS`], lost and longest unseen first; returns their keys.
    pub(super) fn drop_surplus(&mut self) -> Vec<String> {
        if self.endpoints.len() <= MAX_ENDPOINTS {
            return Vec::new();
        }
        self.endpoints.sort_by(|a, b| (a.lost, b.last_seen, &a.key).cmp(&(b.lost, a.last_seen, &b.key)));
        self.endpoints.split_off(MAX_ENDPOINTS).into_iter().map(|e| e.key).collect()
    }
}
