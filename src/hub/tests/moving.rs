//! Printers that move while they are asked, that cannot be asked, and the places of those who wait.

use super::places::found;
use super::snmp::over_snmp;
use super::*;
use std::collections::BTreeSet;

/// The same service at another address.
fn at(n: usize, last: u8) -> Sighting {
    let mut seen = sighting(n, EndpointKind::Ipp);
    seen.endpoint.addresses = vec![[10, 0, 9, last].into()];
    seen
}

fn lost(seen: &Sighting) -> HubEvent {
    HubEvent::Discovery(DiscoveryEvent::Lost { key: seen.key.clone() })
}

fn says(state: &mut HubState, request: PollRequest, observation: Observation, now: Timestamp) {
    let PollRequest { target, question } = request;
    let result = Box::new(Ok(PollAnswer { observation, fingerprint: None }));
    state.apply(HubEvent::Polled { target, question: Box::new(question), result }, now);
}

fn only<T: std::fmt::Debug>(mut all: Vec<T>) -> T {
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn serials(state: &HubState) -> Vec<String> {
    state.registry().printers().filter_map(|p| p.evidence.serial.clone()).collect()
}

#[test]
fn a_probe_answered_from_where_the_endpoint_no_longer_is_counts_for_nothing() {
    let mut state = HubState::new(settings(), vec![], base());
    state.apply(found(at(1, 1)), base());
    let at_old_place = only(state.take_polls());
    // It moves while it is asked, and another device takes its address and answers.
    state.apply(lost(&at(1, 1)), base());
    state.apply(found(at(1, 2)), base());
    assert_eq!(state.take_polls(), [], "one question at a time");
    says(&mut state, at_old_place, observation(77), base());
    assert_eq!(state.registry().printers().count(), 0, "{:?}", state.registry());
    let again = only(state.take_polls());
    assert_eq!(again.question.endpoint.addresses, at(1, 2).endpoint.addresses);
    says(&mut state, again, observation(1), base());
    assert_eq!(serials(&state), ["SER00001"]);
}

#[test]
fn a_probe_that_waits_asks_where_the_endpoint_is_when_its_turn_comes() {
    let mut state = HubState::new(settings(), vec![], base());
    for n in 10..10 + MAX_POLLS {
        state.apply(found(sighting(n, EndpointKind::Ipp)), base());
    }
    let mut under_way = state.take_polls();
    for round in 0..20 {
        state.apply(found(at(1, round)), base());
        state.apply(lost(&at(1, round)), base());
    }
    state.apply(found(at(1, 99)), base());
    assert_eq!(state.overview(base()).asking, MAX_POLLS + 1, "one waits for its key");
    says(&mut state, under_way.remove(0), observation(10), base());
    let next = state.take_polls();
    let asked = next.iter().find(|r| r.target == Target::Probe { key: at(1, 99).key }).unwrap();
    assert_eq!(asked.question.endpoint.addresses, at(1, 99).endpoint.addresses);
}

#[test]
fn two_answers_at_two_places_are_not_taken_for_one_device() {
    let mut state = HubState::new(HubSettings { snmp: true, ..settings() }, vec![], base());
    state.apply(found(at(1, 1)), base());
    let ipp = only(state.take_polls());
    let weak = Observation { evidence: Evidence { serial: None, ..evidence(1) }, ..observation(1) };
    says(&mut state, ipp, weak, base());
    let snmp = only(state.take_polls());
    assert_eq!(snmp.question.source, Source::Snmp);
    state.apply(lost(&at(1, 1)), base());
    state.apply(found(at(1, 2)), base());
    says(&mut state, snmp, over_snmp(77), base());
    assert_eq!(state.registry().printers().count(), 0, "{:?}", state.registry());
    for request in state.take_polls() {
        assert_eq!(request.question.endpoint.addresses, at(1, 2).endpoint.addresses);
        let said = if request.question.source == Source::Ipp { observation(1) } else { over_snmp(1) };
        says(&mut state, request, said, base());
    }
    assert_eq!(serials(&state), ["SER00001"]);
}

#[test]
fn a_poll_answered_from_where_the_printer_no_longer_is_counts_for_nothing() {
    let mut state = HubState::new(settings(), vec![], base());
    state.apply(found(at(1, 1)), base());
    let asked = only(state.take_polls());
    says(&mut state, asked, observation(1), base());
    let later = base() + Duration::from_secs(600);
    state.apply(HubEvent::Tick, later);
    let poll = only(state.take_polls());
    state.apply(found(at(1, 2)), later);
    state.take_output();
    says(&mut state, poll, observation(77), later);
    assert_eq!(serials(&state), ["SER00001"]);
    let again = only(state.take_polls());
    assert_eq!(again.question.endpoint.addresses, at(1, 2).endpoint.addresses);
    says(&mut state, again, observation(1), later);
    assert_eq!(serials(&state), ["SER00001"]);
}

/// Of one that tells its UUID and no serial number: seen elsewhere, it may be a copy.
fn by_uuid(n: usize) -> Observation {
    let uuid = Some(format!("1c852a4d-b800-1f08-abcd-d4c9ef00c3{n:02x}"));
    Observation { evidence: Evidence { serial: None, uuid, ..evidence(n) }, ..observation(n) }
}

#[test]
fn one_that_cannot_be_asked_does_not_keep_another_waiting_for_its_answer() {
    let mut state = HubState::new(settings(), vec![], base());
    let mut raw = sighting(1, EndpointKind::AppSocket);
    raw.evidence = by_uuid(1).evidence;
    state.apply(found(raw), base());
    state.apply(HubEvent::Tick, base());
    assert_eq!(state.take_polls(), [], "there is nothing to ask it");
    assert_eq!(state.registry().printers().count(), 1);
    // Elsewhere a device says that it is this one.
    state.apply(found(at(2, 2)), base());
    let asked = only(state.take_polls());
    says(&mut state, asked, by_uuid(1), base());
    assert_eq!(
        (state.registry().quarantined(), state.overview(base()).asking),
        (1, 1),
        "it may be the one that is known"
    );
    state.apply(HubEvent::Tick, base());
    assert_eq!(state.registry().quarantined(), 0, "{:?}", state.registry());
    assert_eq!(state.overview(base()).asking, 0);
    assert_eq!(state.registry().printers().count(), 1, "it moved");
}

#[test]
fn one_that_can_no_longer_be_asked_does_not_keep_another_waiting_either() {
    let mut state = HubState::new(settings(), vec![], base());
    let mut raw = sighting(1, EndpointKind::AppSocket);
    raw.evidence = by_uuid(1).evidence;
    state.apply(found(raw), base());
    state.apply(found(at(1, 1)), base());
    let asked = only(state.take_polls());
    says(&mut state, asked, by_uuid(1), base());
    state.apply(found(at(2, 2)), base());
    let asked = only(state.take_polls());
    says(&mut state, asked, by_uuid(1), base());
    assert_eq!((state.registry().quarantined(), state.overview(base()).asking), (1, 1));
    // It is asked where it was, and meanwhile that is withdrawn.
    drop(state.take_polls());
    state.apply(HubEvent::Discovery(DiscoveryEvent::Withdrawn { key: at(1, 1).key }), base());
    state.apply(HubEvent::Tick, base());
    assert_eq!((state.registry().quarantined(), state.overview(base()).asking), (0, 0));
}

#[test]
fn of_sixteen_places_four_stay_for_polls_that_are_due() {
    let mut state = HubState::new(settings(), vec![], base());
    let printers: Vec<usize> = (1..=30).collect();
    let number = |request: &PollRequest| -> usize {
        let host = request.question.endpoint.host.trim_start_matches('p').trim_end_matches(".local");
        host.parse().unwrap()
    };
    for n in &printers {
        state.apply(found(sighting(*n, EndpointKind::Ipp)), base());
    }
    loop {
        let requests = state.take_polls();
        if requests.is_empty() {
            break;
        }
        for request in requests {
            let said = observation(number(&request));
            says(&mut state, request, said, base());
        }
    }
    assert_eq!(state.registry().printers().count(), printers.len());
    // All are due, and many are announced that never answer.
    let later = base() + Duration::from_secs(3_600);
    for n in 101..=160 {
        state.apply(found(sighting(n, EndpointKind::Ipp)), later);
    }
    let (mut polled, mut probes) = (BTreeSet::new(), 0);
    let mut started = state.take_polls();
    while polled.len() < printers.len() {
        let of_probes = |r: &PollRequest| matches!(r.target, Target::Probe { .. });
        probes += started.iter().filter(|r| of_probes(r)).count();
        let waiting = printers.len() - polled.len() > MAX_POLLS;
        assert!(!waiting || probes <= MAX_POLLS - 4, "{probes} probes while polls are due");
        started.retain(|r| !of_probes(r));
        assert!(!started.is_empty(), "only {} were polled", polled.len());
        for request in std::mem::take(&mut started) {
            let n = number(&request);
            polled.insert(n);
            says(&mut state, request, observation(n), later);
            started.extend(state.take_polls());
        }
    }
    probes += started.len();
    assert_eq!(probes, MAX_POLLS, "without polls that are due, all places are theirs");
}
