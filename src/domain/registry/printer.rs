//! One printer as the registry keeps and the store stores it.

use super::agents::is_of_agent;
use super::joins::{Because, Join, MAX_JOINS};
use super::quarantine::{instance, see};
use super::told::Told;
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::identity::{self, Facts, Key};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::{Evidence, Sighting};
use crate::domain::state::Source;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// Endpoints of one printer; beyond that the longest unseen goes.
pub const MAX_ENDPOINTS: usize = 16;

/// Aliases of one kind that a printer keeps.
pub const MAX_ALIASES: usize = 16;

/// Ids merged into a printer that it answers to; beyond that the oldest is forgotten, and jobs for it are refused.
pub const MAX_IDS: usize = 64;

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
    /// What the printer answered here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Box<Told>>,
    /// The id under which it was known before that printer was merged into this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<PrinterId>,
    /// When the printer last answered at these addresses, in this run.
    #[serde(skip)]
    pub answered: Option<Timestamp>,
    /// Since when a known printer is there: since the place was found, or found again after it was lost or did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The addresses under which it was seen of late, in this run: of two network cards, one or the other is announced.
    #[serde(skip)]
    pub recent: Vec<(IpAddr, Timestamp)>,
}

impl KnownEndpoint {
    /// The order of preference, smallest first: what answers, what is announced, TLS, priority, where it was found last,
    /// key. A service over IPP says itself who answers there; of the others the last one is where the printer moved to.
    pub fn rank(&self) -> (bool, bool, EndpointKind, u8, Reverse<Option<Timestamp>>, &str) {
        let since = self.since.filter(|_| !self.endpoint.kind.is_ipp());
        (self.failing_since.is_some(), self.lost, self.endpoint.kind, self.priority, Reverse(since), &self.key)
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
    /// Ids that were merged into it, oldest first, at most [`MAX_IDS`].
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
    /// Whether an administrator has yet to approve it.
    #[serde(default)]
    pub standing: Standing,
    /// Why what belongs to it belongs to it, oldest first, at most [`MAX_JOINS`](super::MAX_JOINS).
    #[serde(default)]
    pub joins: Vec<Join>,
    /// Everything by which it was ever known, at most [`MAX_ALIASES`] of a kind: what was longest unseen goes first.
    #[serde(default)]
    pub known: Vec<Alias>,
    /// Printers that share a key with it and are known to be others, at most [`MAX_JOINS`](super::MAX_JOINS).
    #[serde(default)]
    pub apart: Vec<PrinterId>,
    /// It was taken in on what was announced alone and never answered anything since.
    #[serde(default)]
    pub claimed: bool,
}

/// Something by which a printer is or was known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// What.
    #[serde(flatten)]
    pub key: Key,
    /// When it was last seen so.
    pub at: Timestamp,
}

/// Whether a printer is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is polled and takes jobs.
    #[default]
    Adopted,
    /// It waits for approval: it has an id and a shadow, is not polled and takes no jobs.
    Pending,
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
        let raw = self.endpoints.iter().filter(|e| e.endpoint.kind.is_raw() && !e.formats.is_empty());
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

    /// Whether it never answered anything.
    pub(super) fn is_claimed(&self) -> bool {
        self.claimed && self.endpoints.iter().all(|e| e.answered.is_none())
    }

    /// Takes an id of its own that led to another printer or name; returns those that are too many.
    pub(super) fn add_alias(&mut self, alias: PrinterId) -> Vec<PrinterId> {
        self.aliases.push(alias);
        let surplus = self.aliases.len().saturating_sub(MAX_IDS);
        self.aliases.drain(..surplus).collect()
    }

    pub(super) fn endpoint_mut(&mut self, key: &str) -> Option<&mut KnownEndpoint> {
        self.endpoints.iter_mut().find(|e| e.key == key)
    }

    /// Everything it is known by.
    pub fn facts(&self) -> Facts {
        let mut facts = Facts::of(&self.evidence);
        self.known.iter().for_each(|alias| facts.add(&alias.key));
        facts
    }

    /// Takes the place of a sighting, without what it says of who it is; true when something changed.
    pub(super) fn see(&mut self, s: &Sighting, now: Timestamp) -> bool {
        self.remember_place(&s.endpoint, now);
        let works = |e: &KnownEndpoint| !e.lost && e.failing_since.is_none();
        let worked = self.endpoints.iter().any(|e| e.key == s.key && works(e));
        let mut changed = see(&mut self.endpoints, s, now);
        if let Some(e) = self.endpoint_mut(&s.key) {
            // What its agent lists is told when the agent answers there.
            changed |= is_of_agent(&s.key) && e.failing_since.take().is_some();
            if !worked && works(e) {
                e.since = Some(now);
            }
        }
        changed
    }

    /// Takes evidence that is known to be its own. What a device answers outranks what was announced for it. True when
    /// something changed.
    pub(super) fn take(&mut self, evidence: &Evidence, answered: bool, now: Timestamp) -> bool {
        let merged = if answered {
            identity::merge(&self.evidence, evidence)
        } else {
            identity::merge(evidence, &self.evidence)
        };
        let mut changed = merged != self.evidence;
        self.evidence = merged;
        for key in Facts::of(evidence).keys() {
            changed |= self.remember(key, now);
        }
        changed
    }

    /// Takes maker and model, where nothing is known of them.
    pub(super) fn take_weak(&mut self, evidence: &Evidence, now: Timestamp) -> bool {
        let weak = Evidence { serial: None, uuid: None, macs: Vec::new(), ..evidence.clone() };
        self.take(&weak, false, now)
    }

    /// Notes by which host and addresses it is known.
    pub(super) fn remember_place(&mut self, place: &Endpoint, now: Timestamp) {
        let addresses = place.addresses.iter().take(MAX_ALIASES / 2).copied().map(Key::Address);
        let all: Vec<Key> = Key::host(&place.host).into_iter().chain(addresses).collect();
        for key in all {
            self.remember(key, now);
        }
    }

    /// Notes a key; true when it is new.
    pub(super) fn remember(&mut self, key: Key, now: Timestamp) -> bool {
        if let Some(alias) = self.known.iter_mut().find(|alias| alias.key == key) {
            alias.at = alias.at.max(now);
            return false;
        }
        let kind = std::mem::discriminant(&key);
        let alike = self.known.iter().filter(|alias| std::mem::discriminant(&alias.key) == kind).count();
        if alike >= MAX_ALIASES {
            let oldest = (0..self.known.len())
                .filter(|n| self.known.get(*n).is_some_and(|a| std::mem::discriminant(&a.key) == kind))
                .min_by_key(|n| self.known.get(*n).map(|alias| alias.at));
            oldest.map(|n| self.known.remove(n));
        }
        self.known.push(Alias { key, at: now });
        true
    }

    /// Notes why something belongs to it. The first join and the last ones are kept.
    pub(super) fn join(&mut self, what: &str, because: Because, value: String, now: Timestamp) {
        let same = |join: &Join| join.what == what && join.because == because && join.value == value;
        if self.joins.iter().any(same) {
            return;
        }
        if self.joins.len() >= MAX_JOINS {
            self.joins.remove(1);
        }
        self.joins.push(Join { what: what.to_owned(), because, value, at: now });
    }

    /// Takes what the device answered; true when something changed.
    pub(super) fn learn(&mut self, key: &str, who: &Identity, over: Option<Source>, now: Timestamp) -> bool {
        let before = (self.name.clone(), self.location.clone());
        let mut changed = self.take(&who.evidence, true, now) || self.claimed;
        changed |= self.note(key, &who.evidence, over, now);
        self.claimed = false;
        if let Some(name) = &who.name {
            self.name.clone_from(name);
        }
        if who.location.is_some() {
            self.location.clone_from(&who.location);
        }
        changed |= before != (self.name.clone(), self.location.clone());
        if let Some(e) = self.endpoint_mut(key) {
            changed |= e.failing_since.is_some() || (e.pin.is_none() && who.pin.is_some());
            e.failing_since = None;
            e.answered = Some(now);
            e.pin = e.pin.or(who.pin);
        }
        // What is asked over SNMP is tried again when its agent answers.
        for e in self.endpoints.iter_mut().filter(|e| e.key != key && e.endpoint.kind.is_ipp()) {
            let again = e.failing_since.is_some_and(|since| now.duration_since(since).abs() >= TRY_AGAIN);
            if again {
                e.failing_since = None;
                changed = true;
            }
        }
        changed
    }

    /// Fills gaps with what the agent at its address says; true when something changed.
    pub(super) fn learn_more(&mut self, key: &str, who: &Identity, now: Timestamp) -> bool {
        let location = self.location.clone().or_else(|| who.location.clone());
        let mut changed = self.take(&who.evidence, false, now) || location != self.location || self.claimed;
        changed |= self.note(key, &who.evidence, Some(Source::Snmp), now);
        self.location = location;
        self.claimed = false;
        changed
    }

    /// Places leave, as those of another device: what was said there and nowhere else is no evidence of this printer any
    /// more. What is known of it from long ago stays, and what no place is noted to have said.
    pub(super) fn leave(&mut self, leaving: &[KnownEndpoint]) {
        let leaves = |key: &str| leaving.iter().any(|e| e.key == key);
        self.endpoints.retain(|e| !leaves(&e.key));
        self.joins.retain(|join| !leaves(&join.what));
        let keys =
            |places: &[KnownEndpoint]| -> BTreeSet<Key> { places.iter().flat_map(KnownEndpoint::keys).collect() };
        let (mut gone, stay) = (keys(leaving), keys(&self.endpoints));
        gone.retain(|key| !stay.contains(key));
        self.known.retain(|alias| !gone.contains(&alias.key));
        let canonical = identity::canonical(&self.evidence);
        let (mut serials, mut uuids) = (gone.iter().filter_map(Key::serial), gone.iter());
        if canonical.serial.as_deref().is_some_and(|serial| serials.any(|other| other == serial)) {
            self.evidence.serial = None;
        }
        if canonical.uuid.is_some_and(|uuid| uuids.any(|key| *key == Key::Uuid(uuid.clone()))) {
            self.evidence.uuid = None;
        }
        self.evidence.macs.retain(|mac| !gone.contains(&Key::Mac(mac.clone())));
        let words: Vec<Evidence> = self.preferred().into_iter().map(KnownEndpoint::word).collect();
        let models = |places: &[KnownEndpoint]| -> BTreeSet<String> {
            let said = places.iter().flat_map(|e| [e.word(), e.announced.clone()]);
            said.filter_map(|said| identity::canonical(&said).model).collect()
        };
        let (there, here) = (models(leaving), models(&self.endpoints));
        // Not for the spelling of one model: only where what stays says another one.
        if canonical.model.is_some_and(|model| there.contains(&model) && !here.is_empty() && !here.contains(&model)) {
            (self.evidence.make, self.evidence.model) = (None, None);
            let announced = self.endpoints.iter().map(|e| (&e.announced.make, &e.announced.model));
            for (make, model) in words.iter().map(|word| (&word.make, &word.model)).chain(announced) {
                self.evidence.model = self.evidence.model.take().or_else(|| model.clone());
                self.evidence.make = self.evidence.make.take().or_else(|| make.clone());
            }
        }
        for word in words {
            self.evidence = identity::merge(&word, &self.evidence);
        }
    }

    /// Notes where something was answered.
    fn note(&mut self, key: &str, evidence: &Evidence, over: Option<Source>, now: Timestamp) -> bool {
        self.endpoint_mut(key).is_some_and(|e| e.told(evidence, over, now))
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
