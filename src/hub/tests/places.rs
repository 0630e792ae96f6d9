//! Endpoints that share a place, and protocols that are no longer asked.

use super::snmp::{agent_answers, over_snmp};
use super::*;

fn settings(snmp: bool) -> HubSettings {
    HubSettings { snmp, ..super::settings() }
}

fn at(n: usize, kind: EndpointKind, port: u16, path: &str) -> Sighting {
    let mut seen = sighting(n, kind);
    seen.key = format!("list:{kind:?}:{port}{path}");
    (seen.endpoint.port, seen.endpoint.path) = (port, path.to_owned());
    seen
}

pub(super) fn found(seen: Sighting) -> HubEvent {
    HubEvent::Discovery(DiscoveryEvent::Found(Box::new(seen)))
}

fn withdrawn(seen: &Sighting) -> HubEvent {
    HubEvent::Discovery(DiscoveryEvent::Withdrawn { key: seen.key.clone() })
}

/// Answers every question until none is left: over IPP and SNMP as printer 1. Returns what was asked.
pub(super) fn answer_all(state: &mut HubState, now: Timestamp) -> Vec<Question> {
    let mut asked = Vec::new();
    loop {
        let requests = state.take_polls();
        if requests.is_empty() {
            return asked;
        }
        for PollRequest { target, question } in requests {
            let source = question.source;
            let said = if source == Source::Ipp { observation(1) } else { over_snmp(1) };
            asked.push(question.clone());
            let question = Box::new(question);
            let result = Box::new(Ok(PollAnswer { observation: said, fingerprint: None }));
            state.apply(HubEvent::Polled { target, question, result }, now);
        }
    }
}

/// The last status told of each printer.
fn told(records: &[Record]) -> HashMap<PrinterId, (bool, String)> {
    let statuses = records.iter().filter_map(|r| match &r.body {
        RecordBody::Status(s) => Some((r.printer.clone(), (s.online, s.status.clone()))),
        _ => None,
    });
    statuses.collect()
}

#[tokio::test(start_paused = true)]
async fn the_agent_of_a_print_server_makes_no_printer_of_its_queues() {
    for places in [
        [at(1, EndpointKind::Lpd, 515, "/a"), at(1, EndpointKind::Lpd, 515, "/b")],
        [at(1, EndpointKind::AppSocket, 4000, ""), at(1, EndpointKind::AppSocket, 4001, "")],
    ] {
        let office = Arc::new(Office::default());
        office.agents.lock().unwrap().insert(host(1), agent_answers(over_snmp(1)));
        let mut hub = Hub::start(office, vec![]);
        for seen in places {
            hub.see(seen).await;
        }
        hub.until_adopted(2).await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(hub.printers.all().len(), 2);
        assert_eq!(hub.events("printer-merged"), []);
        hub.stop().await;
    }
}

#[test]
fn a_protocol_no_longer_asked_is_forgotten_and_the_cloud_told() {
    let mut state = HubState::new(settings(true), vec![], base());
    let (ipp, raw) = (sighting(1, EndpointKind::Ipp), sighting(1, EndpointKind::AppSocket));
    state.apply(found(ipp.clone()), base());
    state.apply(found(raw.clone()), base());
    answer_all(&mut state, base());
    let first = state.take_output();
    let id = first.saves[0].id().clone();
    assert_eq!(told(&first.records)[&id], (true, "idle".to_owned()));
    // IPP is withdrawn: only the agent is left to say how it is.
    state.apply(withdrawn(&ipp), base());
    let row = state.take_output().saves.remove(0);
    assert_eq!((row.state.ipp.last.is_some(), row.state.snmp.last.is_some()), (false, true));
    // Both are gone: nothing is known of it, and that is said.
    state.apply(withdrawn(&raw), base());
    let output = state.take_output();
    assert_eq!(told(&output.records)[&id], (false, "unknown".to_owned()));
    assert_eq!(output.shadows[0].1["status"], "unknown");
    assert_eq!(state.take_views()[0].1.as_ref().map(|v| (v.online, v.status)), Some((false, Status::Unknown)));
}

#[test]
fn a_second_queue_at_the_address_silences_the_agent_for_both() {
    let mut state = HubState::new(settings(true), vec![], base());
    state.apply(found(at(1, EndpointKind::Lpd, 515, "/a")), base());
    answer_all(&mut state, base());
    let id = state.take_output().saves[0].id().clone();
    let later = base() + Duration::from_secs(600);
    state.apply(found(at(1, EndpointKind::Lpd, 515, "/b")), later);
    state.apply(HubEvent::Tick, later);
    assert_eq!(answer_all(&mut state, later), [], "the server's agent speaks for neither");
    let output = state.take_output();
    assert_eq!(state.registry().printers().count(), 2, "{:#?}", state.registry());
    assert!(output.saves.iter().all(|row| row.state == PrinterState::default()));
    assert_eq!(told(&output.records)[&id], (false, "unknown".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_restart_without_snmp_forgets_what_snmp_said() {
    let office = Arc::new(Office::default());
    office.agents.lock().unwrap().insert(host(1), agent_answers(over_snmp(1)));
    let mut hub = Hub::start(office, vec![]);
    hub.see(sighting(1, EndpointKind::AppSocket)).await;
    let id = hub.until_adopted(1).await.remove(0);
    let rows = hub.stored();
    hub.stop().await;
    let mut hub = Hub::start(Arc::new(Office::default()), rows);
    hub.until("the word that nothing is known", |outputs| {
        let records: Vec<_> = outputs.iter().flat_map(|o| o.records.clone()).collect();
        told(&records).get(&id) == Some(&(false, "unknown".to_owned()))
    })
    .await;
    assert!(hub.stored().iter().all(|row| row.state.snmp.last.is_none()));
    hub.stop().await;
}

#[test]
fn ipp_is_never_spoken_at_a_port_known_as_a_print_port() {
    let raw = at(1, EndpointKind::AppSocket, 4000, "");
    let mut ipp = at(1, EndpointKind::Ipp, 4000, "/ipp/print");
    (ipp.name, ipp.endpoint.host) = ("Other".into(), "other.local".into());
    for raw_first in [true, false] {
        let mut state = HubState::new(settings(false), vec![], base());
        let order = if raw_first { [&raw, &ipp] } else { [&ipp, &raw] };
        for seen in order {
            state.apply(found(seen.clone()), base());
            if seen.key == ipp.key || raw_first {
                let asked = answer_all(&mut state, base());
                assert_eq!(asked.is_empty(), raw_first, "{asked:?}");
            }
        }
        // From now on nothing is asked there, and no job goes there over IPP.
        let views = state.take_views();
        let ways = views.iter().flat_map(|(_, v)| v.iter().flat_map(|v| &v.endpoints));
        assert!(ways.clone().count() > 0 && ways.clone().all(|(e, _)| !e.kind.is_ipp()), "{views:?}");
        for hour in 1..5 {
            let now = base() + Duration::from_secs(hour * 3_600);
            state.apply(HubEvent::Tick, now);
            assert_eq!(answer_all(&mut state, now), [], "raw first: {raw_first}");
        }
        assert!(state.take_output().saves.iter().all(|row| row.state.ipp.last.is_none()));
    }
}

#[test]
fn a_probe_that_waits_for_its_place_is_not_sent_to_what_became_a_print_port() {
    let mut state = HubState::new(settings(false), vec![], base());
    for n in 10..10 + MAX_POLLS {
        state.apply(found(sighting(n, EndpointKind::Ipp)), base());
    }
    state.apply(found(at(1, EndpointKind::Ipp, 4000, "/ipp/print")), base());
    state.apply(found(at(1, EndpointKind::AppSocket, 4000, "")), base());
    let asked = answer_all(&mut state, base());
    assert!(asked.iter().all(|q| q.endpoint.port != 4000), "{asked:?}");
}
