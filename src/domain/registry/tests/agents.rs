//! A printer whose agent moves, and the ways to print that it leaves behind.

use super::places::over_snmp;
use super::*;

fn said() -> Evidence {
    Evidence { macs: vec!["001122000001".into()], ..evidence(Some("AAA111"), None) }
}

/// What a visit of an agent reports: the agent, and AppSocket, which it lists.
fn visited(ip: u8) -> [Sighting; 2] {
    let host = format!("10.0.0.{ip}");
    let agent = print_port(&format!("snmp:{host}"), EndpointKind::Snmp, &host, ip, 161, "");
    let raw = print_port(&format!("snmp:{host}/appsocket:9100"), EndpointKind::AppSocket, &host, ip, 9100, "");
    [agent, raw].map(|s| Sighting { evidence: said(), ..s })
}

fn see(r: &mut Registry, ip: u8, now: Timestamp) {
    visited(ip).iter().for_each(|s| drop(r.apply(found(s), now)));
    r.check().unwrap();
}

fn fails(r: &mut Registry, id: &PrinterId, ip: u8, now: Timestamp) {
    let place = Box::new(visited(ip)[0].endpoint.clone());
    r.apply(Event::AgentFailed { id: id.clone(), place }, now);
}

fn answers(r: &mut Registry, id: &PrinterId, ip: u8, now: Timestamp) {
    r.apply(over_snmp(id, &visited(ip)[1].key, said()), now);
    r.check().unwrap();
}

/// The addresses of AppSocket in the order to try them, without those that are left.
fn ways(r: &Registry, id: &PrinterId) -> Vec<String> {
    let p = r.get(id).unwrap();
    let ways = p.preferred().into_iter().filter(|e| e.endpoint.kind.is_raw() && !p.is_left(e));
    ways.map(|e| e.endpoint.addresses[0].to_string()).collect()
}

fn asked(r: &Registry, id: &PrinterId) -> String {
    r.snmp_endpoint(id).unwrap().endpoint.addresses[0].to_string()
}

#[test]
fn an_agent_that_moved_is_asked_and_printed_to_where_it_is_now() {
    for (from, to) in [(10, 20), (20, 10)] {
        let (old, new) = (format!("10.0.0.{from}"), format!("10.0.0.{to}"));
        let mut r = Registry::default();
        see(&mut r, from, at(0));
        let id = r.owner(&visited(from)[0].key).unwrap().clone();
        answers(&mut r, &id, from, at(50));
        see(&mut r, to, at(100));
        assert_eq!(r.printers().count(), 1);
        assert_eq!((asked(&r, &id), ways(&r, &id)), (new.clone(), vec![new.clone(), old.clone()]), "seen there last");
        // Whatever is at the old address now, no job goes there.
        fails(&mut r, &id, from, at(200));
        answers(&mut r, &id, to, at(201));
        assert_eq!(ways(&r, &id), std::slice::from_ref(&new));
        // After a start neither.
        let rows = serde_json::to_string(&r.printers().cloned().collect::<Vec<_>>()).unwrap();
        let rows: Vec<Printer> = serde_json::from_str(&rows).unwrap();
        let mut r = Registry::restore(rows, &Rules::default(), at(300)).0;
        assert_eq!((asked(&r, &id), ways(&r, &id)), (new.clone(), vec![new.clone()]));
        // It moves back.
        see(&mut r, from, at(400));
        assert_eq!((asked(&r, &id), ways(&r, &id)), (old.clone(), vec![old, new]));
    }
}

#[test]
fn a_printer_that_is_off_keeps_its_ways_and_one_with_two_addresses_both() {
    let mut r = Registry::default();
    see(&mut r, 10, at(0));
    let id = r.owner(&visited(10)[0].key).unwrap().clone();
    fails(&mut r, &id, 10, at(100));
    assert_eq!(ways(&r, &id), ["10.0.0.10"]);
    let p = r.get(&id).unwrap();
    assert!(p.endpoints.iter().all(|e| e.failing_since == Some(at(100))) && !p.is_live());
    answers(&mut r, &id, 10, at(200));
    assert!(r.get(&id).unwrap().endpoints.iter().all(|e| e.failing_since.is_none()));
    // Two network cards, swept again and again: the order stays.
    see(&mut r, 20, at(300));
    let order = ways(&r, &id);
    assert_eq!(order.len(), 2);
    for sweep in 1..5 {
        for ip in if sweep % 2 == 0 { [10, 20] } else { [20, 10] } {
            see(&mut r, ip, at(300 + 21_600 * sweep));
        }
        answers(&mut r, &id, 20, at(400 + 21_600 * sweep));
        assert_eq!(ways(&r, &id), order);
    }
}

#[test]
fn what_is_listed_by_hand_is_printed_to_all_the_same() {
    let mut r = Registry::default();
    see(&mut r, 10, at(0));
    let id = r.owner(&visited(10)[0].key).unwrap().clone();
    r.apply(found(&print_port("list:1", EndpointKind::AppSocket, "10.0.0.10", 10, 9100, "")), at(1));
    see(&mut r, 20, at(100));
    fails(&mut r, &id, 10, at(200));
    answers(&mut r, &id, 20, at(201));
    assert_eq!(ways(&r, &id), ["10.0.0.20", "10.0.0.10"]);
}

#[test]
fn a_silent_agent_says_nothing_of_ipp() {
    let mut r = Registry::default();
    let ipp = sighting("A", Ipp, "a.local", 10, evidence(Some("AAA111"), None));
    let id = adopt(&mut r, &ipp, evidence(Some("AAA111"), None), at(0));
    let place = Box::new(ipp.endpoint.clone());
    assert_eq!(r.apply(Event::AgentFailed { id: id.clone(), place }, at(1)), []);
    see(&mut r, 10, at(2));
    let place = Box::new(visited(10)[0].endpoint.clone());
    assert_eq!(r.apply(Event::AgentFailed { id: id.clone(), place }, at(3)), [Effect::Changed(id.clone())]);
    let failing = |r: &Registry| r.get(&id).unwrap().endpoints.iter().filter(|e| e.failing_since.is_some()).count();
    assert_eq!(failing(&r), 2);
    // The printer answers over IPP there: what else is there is tried again.
    r.apply(polled(&id, &ipp.key, evidence(Some("AAA111"), None)), at(4));
    assert_eq!(failing(&r), 0);
}
