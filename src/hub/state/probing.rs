//! Identity probes: who is at an endpoint that belongs to no printer yet. IPP is asked first, then, where the answer is
//! not strong and an agent speaks for the endpoint, SNMP; both answers together tell the registry who it is.

use super::{HubState, PollAnswer, PollError, PollRequest, Question, Target, identity_of};
use crate::domain::endpoint::Endpoint;
use crate::domain::identity;
use crate::domain::registry::{Event, contradicts, is_own_agent};
use crate::domain::state::Source;
use jiff::Timestamp;

impl HubState {
    /// Asks who is at an endpoint: over IPP where it speaks that and its port is no print port, else over SNMP.
    pub(super) fn probe(&mut self, key: String, endpoint: Endpoint, now: Timestamp) {
        if endpoint.kind.is_ipp() && !self.registry.is_print_place(&endpoint) {
            let question = Question { source: Source::Ipp, endpoint, pin: None, patient: true };
            self.ipp.waiting.push_back(PollRequest { target: Target::Probe { key }, question });
        } else if !self.probe_over_snmp(&key, None) {
            self.tell_registry(Event::ProbeFailed { key }, now);
        }
    }

    /// Whether a question would be put over IPP to a port that is known for AppSocket or LPD.
    pub(super) fn is_ipp_at_print_place(&self, question: &Question) -> bool {
        question.source == Source::Ipp && self.registry.is_print_place(&question.endpoint)
    }

    /// Asks the agent at an endpoint's address, after IPP (with its answer) or instead of it; false where none would speak
    /// for it.
    fn probe_over_snmp(&mut self, key: &str, answer: Option<PollAnswer>) -> bool {
        let endpoint = self.registry.endpoint(key).filter(|e| self.settings.snmp && is_own_agent(e)).cloned();
        let endpoint = endpoint.filter(|_| !self.registry.agent_is_shared(key));
        let Some(endpoint) = endpoint else { return false };
        let question = Question { source: Source::Snmp, endpoint, pin: None, patient: answer.is_none() };
        self.probing.insert(key.to_owned(), answer.map(Box::new));
        self.snmp.waiting.push_back(PollRequest { target: Target::Probe { key: key.to_owned() }, question });
        true
    }

    pub(super) fn probed(&mut self, key: String, result: Result<PollAnswer, PollError>, now: Timestamp) {
        match result {
            Ok(answer) if identity::is_strong(&answer.observation.evidence) => {
                self.probe_ended(key, Some(answer), None, now)
            }
            Ok(answer) => {
                if !self.probe_over_snmp(&key, Some(answer.clone())) {
                    self.probe_ended(key, Some(answer), None, now);
                }
            }
            Err(error) => {
                tracing::debug!(%key, %error, "an identity probe failed");
                if !self.probe_over_snmp(&key, None) {
                    self.probe_ended(key, None, None, now);
                }
            }
        }
    }

    pub(super) fn probed_over_snmp(&mut self, key: String, result: Result<PollAnswer, PollError>, now: Timestamp) {
        let over_ipp = self.probing.remove(&key).flatten().map(|answer| *answer);
        let over_snmp = result.inspect_err(|error| tracing::debug!(%key, %error, "an identity probe failed")).ok();
        // Another queue or port may have turned up beside it meanwhile.
        let over_snmp = over_snmp.filter(|_| !self.registry.agent_is_shared(&key));
        self.probe_ended(key, over_ipp, over_snmp, now);
    }

    /// All that can be asked was asked.
    fn probe_ended(&mut self, key: String, ipp: Option<PollAnswer>, snmp: Option<PollAnswer>, now: Timestamp) {
        let identity = match (&ipp, &snmp) {
            (None, None) => return self.tell_registry(Event::ProbeFailed { key }, now),
            (Some(ipp), None) => identity_of(ipp),
            (None, Some(snmp)) => identity_of(snmp),
            (Some(ipp), Some(snmp)) => {
                let (mut said, more) = (identity_of(ipp), identity_of(snmp));
                if !contradicts(&said.evidence, &more.evidence) {
                    said.evidence = identity::merge(&more.evidence, &said.evidence);
                    said.location = said.location.or(more.location);
                }
                said
            }
        };
        self.tell_registry(Event::ProbeAnswered { key: key.clone(), identity: Box::new(identity) }, now);
        // Who it turned out to be has just been observed.
        for answer in ipp.into_iter().chain(snmp) {
            let owner = self.registry.owner(&key).cloned();
            if let Some(id) = owner.filter(|id| !self.registry.contradicts(id, &answer.observation.evidence)) {
                self.observed(&id, answer, now);
            }
        }
    }
}
