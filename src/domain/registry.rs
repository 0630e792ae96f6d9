//! The printers known and how each can be reached. A pure state machine: events in, effects out.
//!
//! ```text
//!  Sighting of an unknown key
//!      │
//!      ├─ a service of a known printer's host; a print port or agent at the only printer's address ──▶ attached (Changed)
//!      ├─ ignored by an administrator ──▶ (nothing)
//!      ▼
//!  quarantined ──Probe──▶ ProbeAnswered / ProbeFailed at its last endpoint; an agent's own strong word needs none
//!      │                     │
//!      │ Lost: gone          ├─ pinned, or a known printer by a strong key, without doubt ──▶ attached (Changed)
//!      ▼                     ├─ ignored or retired ──▶ parked: no id, not asked again
//!    (nothing)               ├─ a key of a printer that lives elsewhere, or a printer at its address that has nothing
//!                            │  in common with it ──▶ contested ──CheckNow──┐
//!                            └─ nobody we know ──▶ the id is minted         │
//!                                        │                                  │
//!                                        │     answers elsewhere ◀──────────┤ (two; of a device that never answered:
//!                                        │                                  │  silent, no id before it answers)
//!                                        │     does not answer, or answers  │
//!                                        │     at the same address ◀────────┘ (one: attached, Changed)
//!                                        ▼
//!              pending ◀──(adoption: approve)── id ──(auto, or approved beforehand)──▶ adopted
//!                 └───────────── Approved{true} (Adopted) ─▶◀─ Approved{false} (Pending) ─────┘
//!
//!  adopted, pending ── answer of another device ──▶ that endpoint is quarantined again (Changed)
//!                   ── an answer brings a key of another printer ──▶ merged into the older one (Merged), at once or
//!                      when the other one turns out to be silent
//!                   ── Lost, PollFailed, long absence ──▶ stays
//!                   ── ignored or retired by an administrator, at a start ──▶ gone (Dropped)
//! ```
//!
//! Offline is the state's matter: absence removes no printer. What an administrator decides is in `ruling`.
//!
//! Invariants ([`Registry::check`]): an id is minted once and never changes; two printers have one maker and serial only
//! where all their other strong evidence is in conflict; a sighting's key belongs to one printer or one quarantined
//! device; an absorbed id leads to exactly one survivor; the index holds what the printers hold; at most [`MAX_PRINTERS`]
//! printers and quarantined devices, [`MAX_ENDPOINTS`] endpoints, [`MAX_JOINS`] joins and [`MAX_ALIASES`] aliases of a
//! kind each. Printers that never answered anything have few of the places; see `room`.
//!
//! Announcements are claims: they attach an endpoint to a printer only on the same host, or a way to print without
//! questions (AppSocket, LPD) at the one printer's address. Everything else waits for what the device itself answers,
//! over IPP, or over SNMP at its address. What answers neither is adopted with what was announced. No id is made of a UUID
//! or MAC address that another live device has too which is certainly another one by the rest; whoever got such an id
//! before that was known keeps it.
//!
//! Strong keys get into a printer's evidence only with another key of it in the same word, as its first ones, or heard at
//! its address within two minutes of an answer of it, if both together show all that was ever answered there: a cloned
//! UUID and the agent of another device do not. What was answered is kept with its place; see `told` and `parting`.
//!
//! Silence takes time where two ids are at stake: they become one after three failed polls in a row, or a failed one and
//! ten minutes without an answer. A device without an id may be a printer that was silent over all its endpoints once. An
//! answer at a printer's place that holds no key of it is neither: contests wait for a later one. A serial number that was
//! only announced is a claim that a printer which answers elsewhere does not have to share. Two devices without any key
//! at one address, port and queue are one.
//!
//! A print port that says nothing of itself waits for what else is asked at its address, so that its id does not hang on
//! who answers first; see `patience`.
//!
//! Limits: a printer that answers without a key, whose agent is silent too, keeps those who say that they are it waiting;
//! a device that answers without a key under a serial of a printer that answers elsewhere gets no id and is asked again.
//! An address that changes hands between two such answers joins two printers until the next poll; a UUID without
//! any other key that is at two places at once makes two printers.
//!
//! Not here: when to poll (`schedule`), whether it is online (`state`), storage (the hub hands out [`Printer`]s).

mod agents;
mod asking;
mod check;
mod conclude;
mod contest;
mod index;
mod joins;
mod parked;
mod parting;
mod patience;
mod places;
mod printer;
mod quarantine;
mod room;
mod rules;
mod ruling;
mod seen;
#[cfg(test)]
mod tests;
mod told;
mod verify;

pub use joins::{Because, Doubt, Duplicate, Join, MAX_DUPLICATES, MAX_JOINS};
pub use parked::Parked;
pub use printer::{Alias, Identity, KnownEndpoint, MAX_ALIASES, MAX_ENDPOINTS, MAX_IDS, Pin, Printer, Standing};
pub use quarantine::{contradicts, is_own_agent};
pub use room::{MAX_CLAIMED, MAX_CLAIMED_AT};
pub use rules::{Adoption, Pinned, Rules, Selector, Split, Unwanted};
pub use told::{MAX_TOLD, Told, ToldKey};

use super::endpoint::{Endpoint, EndpointKind};
use super::identity::Facts;
use super::ids::PrinterId;
use super::sighting::{Evidence, Sighting};
use super::state::Source;
use contest::{Heard, Stands};
use index::Index;
use jiff::Timestamp;
use quarantine::Quarantined;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Printers and quarantined devices together; what comes beyond is refused and counted.
pub const MAX_PRINTERS: usize = 2_000;

/// The longest key of a sighting taken, in bytes. A DNS-SD name is at most 255.
const MAX_KEY_BYTES: usize = 512;

/// What the registry is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A discovery source saw something.
    Sighting(Box<Sighting>),
    /// A discovery source no longer sees it.
    Lost {
        /// The sighting's key.
        key: String,
    },
    /// It must not be connected any more.
    Withdrawn {
        /// The sighting's key.
        key: String,
    },
    /// The identity probe of an endpoint was answered.
    ProbeAnswered {
        /// The endpoint's key.
        key: String,
        /// Who it is.
        identity: Box<Identity>,
    },
    /// The identity probe of an endpoint failed.
    ProbeFailed {
        /// The endpoint's key.
        key: String,
    },
    /// A poll of a printer was answered.
    PollAnswered {
        /// The printer.
        id: PrinterId,
        /// Over which endpoint, or, over SNMP, at whose address.
        key: String,
        /// Who answered.
        identity: Box<Identity>,
        /// Over which protocol.
        over: Source,
    },
    /// One endpoint of a printer did not answer a poll; others may.
    EndpointFailed {
        /// The printer.
        id: PrinterId,
        /// Which endpoint.
        key: String,
    },
    /// No agent of a printer answered over SNMP at the addresses of this endpoint: nobody did, or another device.
    AgentFailed {
        /// The printer.
        id: PrinterId,
        /// Where it was asked.
        place: Box<Endpoint>,
    },
    /// A poll of a printer failed over all its endpoints.
    PollFailed {
        /// The printer.
        id: PrinterId,
    },
    /// The printer's TLS certificate is another one than before; it is trusted from now on.
    Repinned {
        /// The printer.
        id: PrinterId,
        /// Over which endpoint.
        key: String,
        /// The new certificate.
        pin: Pin,
    },
    /// An administrator approved a printer, or took the approval back.
    Approved {
        /// The printer.
        id: PrinterId,
        /// Whether it is approved.
        approved: bool,
    },
}

/// What the registry wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask this endpoint who it is and answer with `ProbeAnswered` or `ProbeFailed`.
    Probe {
        /// The endpoint's key.
        key: String,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// A printer got its id, or one that waited was approved: it is polled and takes jobs.
    Adopted(PrinterId),
    /// A printer has its id and waits for approval: no polls, no jobs, but a shadow so that it can be approved.
    Pending(PrinterId),
    /// A printer is ignored or retired by an administrator: its row, shadow and schedule go.
    Dropped {
        /// The printer.
        id: PrinterId,
        /// By which decision.
        why: Unwanted,
    },
    /// A printer's endpoints, names or evidence changed.
    Changed(PrinterId),
    /// Poll this printer now: another device claims to be it.
    CheckNow(PrinterId),
    /// Two ids were one device.
    Merged {
        /// Whose id stays.
        survivor: PrinterId,
        /// Whose id is an alias from now on; its row is to be deleted.
        absorbed: PrinterId,
    },
    /// A sighting was not taken.
    Refused {
        /// Its key, clipped.
        key: String,
        /// Why.
        reason: &'static str,
    },
}

/// The printers known. See the module.
#[derive(Debug, Default)]
pub struct Registry {
    printers: BTreeMap<PrinterId, Printer>,
    quarantine: BTreeMap<u64, Quarantined>,
    owners: HashMap<String, Owner>,
    aliases: HashMap<PrinterId, PrinterId>,
    next: u64,
    refused: u64,
    rules: Rules,
    index: Index,
    /// Quarantined devices that may be a printer, by that printer.
    contests: BTreeMap<PrinterId, BTreeSet<u64>>,
    /// Printers that may be one, seen at two places: the one that is asked, and the others.
    twins: BTreeMap<PrinterId, BTreeSet<PrinterId>>,
    /// What agents said that is not borne out yet.
    heard: BTreeMap<PrinterId, Heard>,
    /// What is ignored by what it announces, by address or name: it is never asked.
    turned_away: BTreeMap<String, Parked>,
    /// Printers that may never have answered anything; see `room`.
    claimed: BTreeSet<PrinterId>,
    /// Ids of printers that were dropped at this start, their aliases among them.
    unwanted: BTreeSet<PrinterId>,
    /// Polls in a row that failed over all endpoints.
    failures: BTreeMap<PrinterId, u8>,
    /// Quarantined devices that wait for others at their address, and those others; see `patience`.
    patient: BTreeMap<u64, Vec<u64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Owner {
    Printer(PrinterId),
    Quarantined(u64),
}

impl Registry {
    /// The printer of an id, also of one that was absorbed.
    pub fn get(&self, id: &PrinterId) -> Option<&Printer> {
        self.printers.get(id).or_else(|| self.printers.get(self.aliases.get(id)?))
    }

    /// The printer an endpoint's key belongs to.
    pub fn owner(&self, key: &str) -> Option<&PrinterId> {
        match self.owners.get(key)? {
            Owner::Printer(id) => Some(id),
            Owner::Quarantined(_) => None,
        }
    }

    /// The endpoint of a key, of a printer or of a device that waits for its probe.
    pub fn endpoint(&self, key: &str) -> Option<&Endpoint> {
        let endpoints = match self.owners.get(key)? {
            Owner::Printer(id) => &self.printers.get(id)?.endpoints,
            Owner::Quarantined(n) => &self.quarantine.get(n)?.endpoints,
        };
        endpoints.iter().find(|e| e.key == key).map(|e| &e.endpoint)
    }

    /// Whether evidence is of another device than this printer, by more than the spelling of its model.
    pub fn contradicts(&self, id: &PrinterId, evidence: &Evidence) -> bool {
        self.printers.get(id).is_some_and(|p| contradicts(&p.evidence, evidence))
    }

    /// All printers, by id.
    pub fn printers(&self) -> impl Iterator<Item = &Printer> {
        self.printers.values()
    }

    /// All printers, by id.
    pub fn into_printers(self) -> impl Iterator<Item = Printer> {
        self.printers.into_values()
    }

    /// How many devices wait until it is known who they are; not those that an administrator ignores or retired.
    pub fn quarantined(&self) -> usize {
        self.quarantine.values().filter(|q| !q.parked).count()
    }

    /// How many sightings were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes one event.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Sighting(sighting) => self.sighted(*sighting, now, &mut effects),
            Event::Lost { key } => self.lost(&key, now, &mut effects),
            Event::Withdrawn { key } => self.withdrawn(&key, now, &mut effects),
            Event::ProbeAnswered { key, identity } => match self.owners.get(&key).cloned() {
                Some(Owner::Quarantined(n)) => self.probe_answered(n, &key, &identity, now, &mut effects),
                Some(Owner::Printer(id)) => {
                    let agent = self.endpoint(&key).is_some_and(|e| e.kind == EndpointKind::Snmp);
                    let over = agent.then_some(Source::Snmp);
                    self.poll_answered(&id, &key, &identity, over, now, &mut effects);
                    self.place_works(&id, &key, now, &mut effects);
                }
                None => {}
            },
            Event::ProbeFailed { key } => {
                if let Some(Owner::Quarantined(n)) = self.owners.get(&key).cloned() {
                    self.probe_failed(n, key, now, &mut effects);
                } else if let Some((id, place)) = self.place_of(&key) {
                    self.agent_failed(&id, &place, now, &mut effects);
                }
            }
            Event::PollAnswered { id, key, identity, over } => {
                let said = identity.evidence.clone();
                self.poll_answered(&id, &key, &identity, Some(over), now, &mut effects);
                self.place_works(&id, &key, now, &mut effects);
                // An answer of another device at the old place says nothing about this one. Whether a printer still is at
                // its place is asked over IPP, where it has that.
                // Unless its agent shows a key of it there.
                let proven = self.proves(&id, &said);
                let has_ipp = self.printers.get(&id).is_some_and(Printer::has_ipp);
                let decides = over == Source::Ipp || !has_ipp || (proven && Facts::of(&said).has_keys());
                if decides && self.owner(&key) == Some(&id) {
                    self.failures.remove(&id);
                    let shown = Facts::of(&said).keys();
                    let stands = if proven { Stands::At(&key, &shown) } else { Stands::Unknown };
                    self.settle_contests(&id, stands, now, &mut effects);
                }
            }
            Event::EndpointFailed { id, key } => {
                let endpoint = self.printers.get_mut(&id).and_then(|p| p.endpoint_mut(&key));
                if let Some(e) = endpoint.filter(|e| e.failing_since.is_none()) {
                    e.failing_since = Some(now);
                    effects.push(Effect::Changed(id));
                }
            }
            Event::AgentFailed { id, place } => self.agent_failed(&id, &place, now, &mut effects),
            Event::PollFailed { id } => {
                if self.printers.contains_key(&id) {
                    let failures = self.failures.entry(id.clone()).or_default();
                    *failures = failures.saturating_add(1);
                }
                self.settle_contests(&id, Stands::Silent, now, &mut effects);
            }
            Event::Repinned { id, key, pin } => {
                if let Some(e) = self.printers.get_mut(&id).and_then(|p| p.endpoint_mut(&key)) {
                    e.pin = Some(pin);
                    effects.push(Effect::Changed(id));
                }
            }
            Event::Approved { id, approved } => self.approve(id, approved, &mut effects),
        }
        self.end_patience(now, &mut effects);
        // The whole is checked after every event of a small office, and in tests.
        debug_assert!(self.printers.len() + self.quarantine.len() > 64 || self.check().is_ok(), "{:?}", self.check());
        effects.dedup();
        effects
    }

    fn refuse(&mut self, key: &str, reason: &'static str, effects: &mut Vec<Effect>) {
        self.refused += 1;
        effects.push(Effect::Refused { key: key.chars().take(120).collect(), reason });
    }

    fn is_taken(&self, id: &PrinterId) -> bool {
        self.printers.contains_key(id) || self.aliases.contains_key(id)
    }
}
