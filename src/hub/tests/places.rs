//! Endpoints that share a place, and protocols that are no longer asked.

use super::snmp::{agent_answers, over_snmp};
use super::*;

fn settings(snmp: bool) -> HubSettings {
    HubSettings { gateway: GatewayName::new("gw").unwrap(), intervals: Intervals::default(), seed: 3, snmp }
}

fn at(n: usize, kind: EndpointKind, port: u16, path: &str) -> Sighting {
    let mut seen = sighting(n, kind);
    seen.key = format!("list:{kind:?}:{port}{path}");
    (seen.endpoint.port, seen.endpoint.path) = (port, path.to_owned());
    seen
}

fn found(seen: Sighting) -> HubEvent {
    HubEvent::Discovery(DiscoveryEvent::Found(Box::new(seen)))
}

fn withdrawn(seen: &Sighting) -> HubEvent {
    HubEvent::Discovery(DiscoveryEvent::Withdrawn { key: seen.key.clone() })
}

/// Answers every question until none is left: over IPP and SNMP as printer 1. Returns what was asked.
fn answer_all(state: &mut HubState, now: Timestamp) -> Vec<Question> {
    let mut asked = Vec::new();
    loop {
        let requests = state.take_polls();
        if requests.is_empty() {
            return asked;
        }
        for PollRequest { target, question } in requests {
            let source = question.source;
            let said = if source == Source::Ipp { observation(1) } else { over_snmp(1) };
            asked.push(question);
            let result = Box::new(Ok(PollAnswer { observation: said, fingerprint: None }));
            state.apply(HubEvent::Polled { target, source, result }, now);
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
