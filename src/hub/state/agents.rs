//! Polls over SNMP. A printer that has no IPP is asked at each of its addresses in turn, at most [`MAX_TRIES`] in one poll,
//! until its agent answers: it may have moved, and another device may have the address it had. Where no agent of it answers,
//! the registry is told, so that no job goes there either as long as it answers elsewhere.

use super::{HubState, MAX_TRIES, PollAnswer, PollError, PollErrorKind, PollRequest, Question, Target, identity_of};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::PrinterId;
use crate::domain::registry::Event;
use crate::domain::schedule::Outcome;
use crate::domain::state::Source;
use jiff::Timestamp;
use std::net::IpAddr;

impl HubState {
    pub(super) fn start_snmp_poll(&mut self, id: PrinterId, now: Timestamp) {
        self.tried_agents.remove(&id);
        if !self.ask_agent(&id) {
            self.enroll(&id, now);
        }
    }

    /// Asks the agent at the best address that this poll has not tried; false when there is none.
    fn ask_agent(&mut self, id: &PrinterId) -> bool {
        let tried = self.tried_agents.get(id);
        let untried = |e: &Endpoint| {
            let address = agent_address(e);
            tried
                .is_none_or(|tried| tried.len() < MAX_TRIES && address.is_some_and(|address| !tried.contains(&address)))
        };
        let Some(e) = self.registry.snmp_endpoints(id).into_iter().find(|e| untried(&e.endpoint)) else { return false };
        let target = Target::Poll { id: id.clone(), key: e.key.clone() };
        let patient = !self.has_ipp(id);
        let question = Question { source: Source::Snmp, endpoint: e.endpoint.clone(), pin: None, patient };
        self.start(PollRequest { target, question });
        true
    }

    pub(super) fn polled_over_snmp(
        &mut self,
        id: PrinterId,
        key: String,
        question: &Question,
        result: Result<PollAnswer, PollError>,
        now: Timestamp,
    ) {
        if !self.printers.contains_key(&id) {
            return;
        }
        if self.registry.snmp_endpoint(&id).is_none() {
            // Another queue or port turned up beside it while it was asked: the agent speaks for neither.
            return self.enroll(&id, now);
        }
        // The agent at the address of a printer that says itself who it is: another device's, if it says something else.
        let by_ipp = self.registry.endpoint(&key).is_some_and(|e| e.kind.is_ipp());
        let result = result.and_then(|answer| {
            if by_ipp && self.registry.contradicts(&id, &answer.observation.evidence) {
                let message = "the SNMP agent at its address is another device's".to_owned();
                return Err(PollError::new(PollErrorKind::Answer, message));
            }
            Ok(answer)
        });
        match result {
            Ok(answer) => {
                let identity = Box::new(identity_of(&answer));
                let over = Source::Snmp;
                self.tell_registry(Event::PollAnswered { id: id.clone(), key: key.clone(), identity, over }, now);
                let owner = self.registry.owner(&key).cloned();
                if owner.as_ref() != Some(&id) && self.printers.contains_key(&id) {
                    // Another device has its address: it is somewhere else, or off.
                    self.no_agent(&id, question, "another device answers at its address".to_owned(), now);
                }
                if let Some(owner) = owner {
                    self.observed(&owner, answer, now);
                }
            }
            Err(error) => self.no_agent(&id, question, error.message, now),
        }
    }

    /// No agent of the printer answers there: it may have moved to another of its addresses. Only when none of them
    /// answers the poll has failed.
    fn no_agent(&mut self, id: &PrinterId, question: &Question, why: String, now: Timestamp) {
        let place = Box::new(question.endpoint.clone());
        self.tried_agents.entry(id.clone()).or_default().extend(agent_address(&place));
        self.tell_registry(Event::AgentFailed { id: id.clone(), place }, now);
        if !self.ask_agent(id) {
            self.tried_agents.remove(id);
            self.snmp_failed(id, why, now);
        }
    }

    fn snmp_failed(&mut self, id: &PrinterId, why: String, now: Timestamp) {
        let failures = self.failed(id, Source::Snmp, why, now);
        self.snmp.schedule.polled(id, Outcome::Silent(failures), now);
        if !self.has_ipp(id) {
            self.tell_registry(Event::PollFailed { id: id.clone() }, now);
        }
        self.enroll(id, now);
    }

    pub(super) fn start_snmp_poll_again(&mut self, id: &PrinterId, now: Timestamp) {
        if self.printers.contains_key(id) {
            self.snmp.schedule.polled(id, Outcome::Busy, now);
            self.enroll(id, now);
            if self.snmp.schedule.contains(id) {
                self.snmp.schedule.poll_now(id, now);
            }
        }
    }
}

/// The address at which the agent of an endpoint is asked, as a rule.
fn agent_address(endpoint: &Endpoint) -> Option<IpAddr> {
    let addresses = &endpoint.addresses;
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}
