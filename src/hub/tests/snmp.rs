//! Printers polled over SNMP, alone and beside IPP.

use super::*;
use crate::domain::identity;

/// What an agent says of printer `n`.
pub(super) fn over_snmp(n: usize) -> Observation {
    Observation {
        source: Source::Snmp,
        name: Some("agent".into()),
        accepting: None,
        queued_jobs: None,
        ..observation(n)
    }
}

impl Office {
    fn agent(&self, n: usize, behaviour: Behaviour) {
        self.agents.lock().unwrap().insert(host(n), behaviour);
    }
}

pub(super) fn agent_answers(observation: Observation) -> Behaviour {
    Behaviour::Answers(Box::new(PollAnswer { observation, fingerprint: None }))
}

#[tokio::test(start_paused = true)]
async fn a_printer_known_by_a_print_port_alone_is_adopted_and_followed_over_snmp() {
    let office = Arc::new(Office::default());
    office.agent(1, agent_answers(over_snmp(1)));
    let mut hub = Hub::start(office.clone(), vec![]);
    hub.see(sighting(1, EndpointKind::AppSocket)).await;
    let id = hub.until_adopted(1).await.remove(0);
    assert!(id.as_str().starts_with("hp-"), "{id}: by the serial that the agent said");
    let view = hub.printers.get(&id).unwrap();
    assert_eq!((view.name.as_str(), view.status, view.online), ("P1", Status::Idle, true));
    assert_eq!(view.endpoints[0].0.kind, EndpointKind::AppSocket);
    // The same device over another print port: one printer.
    hub.see(sighting(1, EndpointKind::Lpd)).await;
    let mut troubled = over_snmp(1);
    troubled.reasons = vec!["media-jam-error".into()];
    troubled.printer_state = Some(PrinterStateEnum::Stopped);
    office.agent(1, agent_answers(troubled));
    hub.until("the jam", |o| events(o, "media-jam").len() == 1).await;
    assert_eq!(hub.printers.all().len(), 1);
    assert_eq!(hub.printers.get(&id).unwrap().endpoints.len(), 2);
    let document = hub.outputs.borrow().iter().flat_map(|o| o.shadows.clone()).last().unwrap().1;
    assert_eq!(document["sources"]["status"], "snmp");
    office.agent(1, Behaviour::Refuses(PollErrorKind::Timeout));
    hub.until("offline", |o| events(o, "offline").len() == 1).await;
    // A restart remembers, and asks over SNMP again.
    let rows = hub.stored();
    hub.stop().await;
    office.agent(1, agent_answers(over_snmp(1)));
    let mut hub = Hub::start(office, rows);
    hub.until("online again", |o| events(o, "offline").iter().any(|e| !e.raised)).await;
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_answers_nothing_is_adopted_as_announced_and_nothing_is_claimed_of_it() {
    let office = Arc::new(Office::default());
    office.agent(9, Behaviour::Hangs);
    let mut hub = Hub::start(office.clone(), vec![]);
    for kind in [EndpointKind::AppSocket, EndpointKind::Lpd] {
        let n = if kind == EndpointKind::Lpd { 2 } else { 1 };
        let mut seen = sighting(n, kind);
        seen.evidence.make = Some("Zebra".into());
        hub.see(seen).await;
    }
    let ids = hub.until_adopted(2).await;
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    for id in &ids {
        let view = hub.printers.get(id).unwrap();
        assert_eq!((view.status, view.online, view.error_code.as_str()), (Status::Unknown, false, "unknown"), "{id}");
        assert!(id.as_str().starts_with("zebra-"), "{id}");
    }
    assert_eq!(hub.events("offline"), [], "silence is no sign of anything");
    // Two printers, two hours, in the end one question in ten minutes each.
    assert!(hub.office.asked() < 60, "{}", hub.office.asked());
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_protocols_one_printer_and_either_keeps_it_online() {
    let office = Arc::new(Office::default());
    let mut said = observation(1);
    said.evidence.serial = None;
    said.evidence.uuid = Some("1c852a4d-b800-1f08-abcd-d4c9ef00c3a1".into());
    office.set(&host(1), EndpointKind::Ipp, agent_answers(said));
    let mut more = over_snmp(1);
    more.reasons = vec!["toner-low-warning".into()];
    office.agent(1, agent_answers(more));
    let mut hub = Hub::start(office.clone(), vec![]);
    hub.see(sighting(1, EndpointKind::Ipp)).await;
    let id = hub.until_adopted(1).await.remove(0);
    let by_serial = identity::mint(&evidence(1), &identity::Fallback::default());
    assert_eq!(id, by_serial, "the id is made when both were asked: of the serial, which only the agent says");
    hub.until("the reason of the agent", |o| events(o, "toner-low").len() == 1).await;
    assert_eq!(hub.printers.get(&id).unwrap().name, "Laser 1", "an agent names no printer");

    office.set(&host(1), EndpointKind::Ipp, Behaviour::Refuses(PollErrorKind::Unreachable));
    hub.until("the word that IPP is gone", |o| events(o, "ipp-not-answering").len() == 1).await;
    let view = hub.printers.get(&id).unwrap();
    assert_eq!((view.online, view.status), (true, Status::Idle));
    assert_eq!(hub.events("offline"), []);
    office.agent(1, Behaviour::Refuses(PollErrorKind::Timeout));
    hub.until("offline", |o| events(o, "offline").len() == 1).await;
    office.set(&host(1), EndpointKind::Ipp, answers(1, None));
    hub.until("back", |o| events(o, "offline").len() == 2).await;
    assert!(hub.printers.get(&id).unwrap().online, "SNMP failing does not make it offline");
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_of_another_device_says_nothing_of_this_one() {
    let office = Arc::new(Office::default());
    office.set(&host(1), EndpointKind::Ipp, answers(1, None));
    let mut stranger = over_snmp(7);
    stranger.reasons = vec!["media-jam-error".into()];
    office.agent(1, agent_answers(stranger));
    let mut hub = Hub::start(office.clone(), vec![]);
    hub.see(sighting(1, EndpointKind::Ipp)).await;
    let id = hub.until_adopted(1).await.remove(0);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let view = hub.printers.get(&id).unwrap();
    assert_eq!((view.reasons.len(), view.online, hub.printers.all().len()), (0, true, 1));
    // Where it is known by a print port alone, another agent is another printer: the address changed hands.
    office.agent(2, agent_answers(over_snmp(2)));
    hub.see(sighting(2, EndpointKind::AppSocket)).await;
    hub.until_adopted(2).await;
    office.agent(2, agent_answers(over_snmp(3)));
    hub.until_adopted(3).await;
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn where_several_printers_share_an_address_its_agent_speaks_for_none() {
    let office = Arc::new(Office::default());
    office.agent(1, agent_answers(over_snmp(7)));
    let mut hub = Hub::start(office.clone(), vec![]);
    for port in [8_631, 8_632] {
        let mut seen = sighting(1, EndpointKind::Ipp);
        (seen.key, seen.name) = (format!("P{port}._ipp._tcp.local."), format!("P{port}"));
        seen.endpoint.port = port;
        seen.evidence.uuid = Some(format!("1c852a4d-b800-1f08-abcd-d4c9ef00{port}"));
        seen.host = format!("p{port}.local");
        seen.endpoint.host = seen.host.clone();
        let mut said = observation(port as usize);
        said.evidence.uuid = seen.evidence.uuid.clone();
        office.set(&seen.host, EndpointKind::Ipp, agent_answers(said));
        office.agents.lock().unwrap().insert(seen.host.clone(), agent_answers(over_snmp(7)));
        hub.see(seen).await;
    }
    hub.until_adopted(2).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(hub.printers.all().len(), 2);
    assert_eq!(hub.events("printer-merged"), []);
    hub.stop().await;
}
