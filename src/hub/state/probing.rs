//! Identity probes: who is at an endpoint that belongs to no printer yet. IPP is asked first, then, where the answer is
//! not strong and an agent speaks for the endpoint, SNMP; both answers together tell the registry who it is.
//!
//! For each key at most one probe waits over each protocol. It asks where the endpoint is when its turn comes, not where it
//! was before; an answer from where the endpoint no longer is counts for nothing.

use super::{
    HubState, MAX_POLLS, POLLS_AT_LEAST, PollAnswer, PollError, PollRequest, Question, Target, identity_of, is_still,
};
use crate::domain::endpoint::Endpoint;
use crate::domain::identity;
use crate::domain::registry::{Event, contradicts, is_own_agent};
use crate::domain::state::Source;
use jiff::Timestamp;

impl HubState {
    /// Asks who is at an endpoint: over IPP where it speaks that and its port is no print port, else over SNMP.
    pub(super) fn probe(&mut self, key: String, endpoint: Endpoint, now: Timestamp) {
        if endpoint.kind.is_ipp() && !self.registry.is_print_place(&endpoint) {
            self.wait(Source::Ipp, key, &endpoint);
        } else if !self.probe_over_snmp(&key, None) {
            self.tell_registry(Event::ProbeFailed { key }, now);
        }
    }

    /// Asks the agent at an endpoint's address, after IPP (with its answer) or instead of it; false where none would speak
    /// for it.
    fn probe_over_snmp(&mut self, key: &str, answer: Option<(Question, PollAnswer)>) -> bool {
        let endpoint = self.registry.endpoint(key).filter(|e| self.settings.snmp && is_own_agent(e)).cloned();
        let endpoint = endpoint.filter(|_| !self.registry.agent_is_shared(key));
        let Some(endpoint) = endpoint else { return false };
        self.probing.insert(key.to_owned(), answer.map(Box::new));
        self.wait(Source::Snmp, key.to_owned(), &endpoint);
        true
    }

    /// Lets a probe wait for its place. One that is under way is enough: if it was asked at another place, it is asked again
    /// when it ends.
    fn wait(&mut self, source: Source, key: String, endpoint: &Endpoint) {
        let lane = self.lane(source);
        if lane.probes.contains(&key) {
            return;
        }
        lane.waiting.push(key, endpoint.addresses.first().copied());
        let (lane, registry, probing) = match source {
            Source::Ipp => (&mut self.ipp, &self.registry, None),
            Source::Snmp => (&mut self.snmp, &self.registry, Some(&mut self.probing)),
        };
        if lane.waiting.is_full() {
            let gone = lane.waiting.retain(|key| registry.endpoint(key).is_some());
            if let Some(probing) = probing {
                gone.iter().for_each(|key| drop(probing.remove(key)));
            }
        }
    }

    /// The next probe, of those that are still wanted. While printers wait to be polled, some places are theirs.
    pub(super) fn next_probe(&mut self, source: Source, now: Timestamp) -> Option<String> {
        let lane = self.lane(source);
        let polls_wait = lane.schedule.next_due().is_some_and(|due| due <= now);
        if polls_wait && lane.probes.len() >= MAX_POLLS - POLLS_AT_LEAST {
            return None;
        }
        while let Some(key) = self.lane(source).waiting.pop() {
            if self.registry.endpoint(&key).is_some() {
                return Some(key);
            }
            if source == Source::Snmp {
                self.probing.remove(&key);
            }
        }
        None
    }

    /// Asks, where the endpoint is now.
    pub(super) fn start_probe(&mut self, key: String, source: Source, now: Timestamp) {
        let Some(endpoint) = self.registry.endpoint(&key).cloned() else { return };
        // What was not known as a print port when the probe began to wait.
        if source == Source::Ipp && (!endpoint.kind.is_ipp() || self.registry.is_print_place(&endpoint)) {
            return self.probe(key, endpoint, now);
        }
        let patient = source == Source::Ipp || self.probing.get(&key).is_none_or(Option::is_none);
        let question = Question { source, endpoint, pin: None, patient };
        self.start(PollRequest { target: Target::Probe { key }, question });
    }

    pub(super) fn probed(
        &mut self,
        key: String,
        question: &Question,
        result: Result<PollAnswer, PollError>,
        now: Timestamp,
    ) {
        match result {
            Ok(answer) if identity::is_strong(&answer.observation.evidence) => {
                self.probe_ended(key, Some(answer), None, now)
            }
            Ok(answer) => {
                if !self.probe_over_snmp(&key, Some((question.clone(), answer.clone()))) {
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
        let over_ipp = self.probing.remove(&key).flatten();
        let moved =
            self.registry.endpoint(&key).filter(|e| over_ipp.as_ref().is_some_and(|both| !is_still(&both.0, e)));
        if let Some(endpoint) = moved.cloned() {
            // Between the two answers: they need not be of one device.
            return self.probe(key, endpoint, now);
        }
        let over_ipp = over_ipp.map(|both| both.1);
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
