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

fn fails(state: &mut HubState, request: PollRequest, now: Timestamp) {
    let PollRequest { target, question } = request;
    let result = Box::new(Err(PollError::new(PollErrorKind::Timeout, "no answer")));
    state.apply(HubEvent::Polled { target, question: Box::new(question), result }, now);
}

/// An agent, or AppSocket that it lists, at an address.
fn swept(kind: EndpointKind, last: u8) -> Sighting {
    let mut seen = sighting(1, EndpointKind::AppSocket);
    let host = format!("10.0.9.{last}");
    let way = if kind == EndpointKind::Snmp { "" } else { "/appsocket:9100" };
    seen.key = format!("snmp:{host}{way}");
    seen.endpoint = Endpoint { kind, addresses: vec![[10, 0, 9, last].into()], host, ..seen.endpoint };
    seen.evidence = evidence(1);
    seen
}

fn asked_at(request: &PollRequest) -> String {
    request.question.endpoint.addresses[0].to_string()
}

/// Where jobs go, in the order to try.
fn ways(state: &mut HubState) -> Vec<String> {
    let views = state.take_views();
    let view = views.into_iter().find_map(|(_, view)| view).unwrap();
    view.endpoints.iter().map(|(endpoint, _)| endpoint.addresses[0].to_string()).collect()
}

#[test]
fn an_agent_that_moved_is_found_where_it_is_now_in_the_same_poll() {
    let mut state = HubState::new(HubSettings { snmp: true, ..settings() }, vec![], base());
    state.apply(found(swept(EndpointKind::Snmp, 10)), base());
    state.apply(found(swept(EndpointKind::AppSocket, 10)), base());
    let first = only(state.take_polls());
    says(&mut state, first, over_snmp(1), base());
    assert_eq!(ways(&mut state), ["10.0.9.10"]);
    // Its agent is seen elsewhere; at the old address nobody speaks SNMP, but something prints whatever arrives.
    state.apply(found(swept(EndpointKind::Snmp, 20)), base());
    let mut now = base();
    for round in 0..10 {
        now += Duration::from_secs(900);
        state.apply(HubEvent::Tick, now);
        while let Some(poll) = state.take_polls().pop() {
            match asked_at(&poll).as_str() {
                "10.0.9.10" => fails(&mut state, poll, now),
                _ => says(&mut state, poll, over_snmp(1), now),
            }
        }
        let id = state.registry().printers().next().unwrap().id.clone();
        assert_eq!(asked_at_next(&state, &id), "10.0.9.20", "round {round}");
        let output = state.take_output();
        assert!(!output.records.iter().any(|record| format!("{record:?}").contains("offline")), "{output:?}");
    }
    assert_eq!(ways(&mut state), Vec::<String>::new(), "no job goes to what is at the old address now");
    state.apply(found(swept(EndpointKind::AppSocket, 20)), now);
    assert_eq!(ways(&mut state), ["10.0.9.20"]);
}

fn asked_at_next(state: &HubState, id: &PrinterId) -> String {
    state.registry().snmp_endpoint(id).unwrap().endpoint.addresses[0].to_string()
}

#[test]
fn a_printer_that_is_off_has_failed_once_all_its_addresses_were_asked() {
    let mut state = HubState::new(HubSettings { snmp: true, ..settings() }, vec![], base());
    for last in 10..18 {
        state.apply(found(swept(EndpointKind::Snmp, last)), base());
    }
    let first = only(state.take_polls());
    says(&mut state, first, over_snmp(1), base());
    let mut now = base();
    let mut told = String::new();
    for _ in 0..5 {
        now += Duration::from_secs(900);
        state.apply(HubEvent::Tick, now);
        let mut asked = BTreeSet::new();
        while let Some(poll) = state.take_polls().pop() {
            assert!(asked.insert(asked_at(&poll)), "an address is asked once in a poll");
            fails(&mut state, poll, now);
        }
        assert!(asked.len() <= 4, "{asked:?}");
        told += &format!("{:?}", state.take_output().records);
    }
    assert!(told.contains("offline"), "{told}");
}

#[test]
fn a_silent_device_is_asked_again_by_and_by() {
    let mut state = HubState::new(settings(), vec![], base());
    // At one address, more of them than may have an id without an answer.
    let silent = |n: usize| {
        let mut seen = at(n, 9);
        seen.endpoint.port = 1_000 + u16::try_from(n).unwrap();
        seen
    };
    for n in 1..=9 {
        state.apply(found(silent(n)), base());
        let probe = only(state.take_polls());
        fails(&mut state, probe, base());
        drop(state.take_polls());
    }
    assert_eq!(state.registry().quarantined(), 1);
    let (mut now, mut probes) = (base(), 0);
    let waits = state.registry().printers().count();
    while state.registry().quarantined() > 0 && now < base() + Duration::from_secs(3_600) {
        now += Duration::from_secs(30);
        state.apply(HubEvent::Tick, now);
        for request in state.take_polls() {
            match &request.target {
                Target::Probe { key } => {
                    assert_eq!(*key, silent(9).key);
                    probes += 1;
                    says(&mut state, request, observation(9), now);
                }
                Target::Poll { .. } => fails(&mut state, request, now),
            }
        }
    }
    assert_eq!((probes, state.registry().printers().count()), (1, waits + 1));
}

#[test]
fn a_printer_whose_only_address_went_to_another_one_is_offline_by_and_by() {
    let mut state = HubState::new(settings(), vec![], base());
    state.apply(found(at(1, 1)), base());
    let probe = only(state.take_polls());
    says(&mut state, probe, observation(1), base());
    let id = state.registry().printers().next().unwrap().id.clone();
    let mut now = base() + Duration::from_secs(900);
    state.apply(HubEvent::Tick, now);
    let poll = only(state.take_polls());
    says(&mut state, poll, observation(77), now);
    assert_eq!(serials(&state).len(), 2);
    assert!(state.registry().get(&id).unwrap().endpoints.is_empty());
    let mut statuses = Vec::new();
    for _ in 0..5 {
        now += Duration::from_secs(30);
        state.apply(HubEvent::Tick, now);
        statuses.extend(status_of(&mut state, &id));
    }
    assert_eq!(statuses.last(), Some(&Status::Offline), "{statuses:?}");
    // It turns up elsewhere.
    let mut elsewhere = at(2, 2);
    elsewhere.evidence = evidence(1);
    state.apply(found(elsewhere), now);
    while let Some(request) = state.take_polls().pop() {
        says(&mut state, request, observation(1), now);
    }
    assert_eq!(status_of(&mut state, &id), [Status::Idle]);
    assert_eq!(state.registry().printers().count(), 2);
}

/// What is published of a printer since the last time.
fn status_of(state: &mut HubState, id: &PrinterId) -> Vec<Status> {
    let views = state.take_views();
    views.into_iter().filter(|(of, _)| of == id).filter_map(|(_, view)| view.map(|view| view.status)).collect()
}
