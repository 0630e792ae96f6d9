//! A print port without a word of its own, and silent printers at its address.

use super::*;

fn raw(ip: u8) -> Sighting {
    let mut s = sighting("Raw port", Ipp, "office.local", ip, Evidence::default());
    s.key = "Raw port._pdl-datastream._tcp.local.".into();
    s.endpoint = Endpoint { kind: EndpointKind::AppSocket, port: 9100, path: String::new(), ..s.endpoint };
    s
}

fn silent(n: u8, port: u16) -> Sighting {
    let said = Evidence { uuid: Some(uuid(n)), ..evidence(None, None) };
    let mut s = sighting(&format!("Silent {n}"), Ipps, "office.local", 1, said);
    s.endpoint.port = port;
    s
}

fn failed(s: &Sighting) -> Event {
    Event::ProbeFailed { key: s.key.clone() }
}

/// Who is whose, by the names of what is announced, whatever the order of announcements and of failures.
fn outcome(order: &[&Sighting], failures: &[&Sighting]) -> Vec<(PrinterId, Vec<String>)> {
    let mut r = Registry::default();
    order.iter().for_each(|s| drop(r.apply(found(s), at(0))));
    failures.iter().enumerate().for_each(|(n, s)| drop(r.apply(failed(s), at(1 + n as i64))));
    assert_eq!((r.quarantined(), r.patient.len()), (0, 0));
    let mut keys = |p: &Printer| {
        let mut keys: Vec<String> = p.endpoints.iter().map(|e| e.key.clone()).collect();
        keys.sort();
        (p.id.clone(), keys)
    };
    r.printers().map(&mut keys).collect()
}

#[test]
fn the_order_of_silence_decides_nothing() {
    let (raw, one, two) = (raw(1), silent(1, 631), silent(2, 632));
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    // With one it is that one's, and the id comes from what that one says.
    let with_one = outcome(&[&one, &raw], &[&one, &raw]);
    assert_eq!(with_one.len(), 1);
    assert_eq!(with_one[0].1.len(), 2);
    assert_eq!(with_one[0].0, identity::mint(&one.evidence, &Fallback::default()));
    for [first, second] in [[&one, &raw], [&raw, &one]] {
        for failures in [[&one, &raw], [&raw, &one]] {
            assert_eq!(outcome(&[first, second], &failures), with_one);
        }
    }
    // With two it may be either's, and is nobody's.
    let all = [&raw, &one, &two];
    let with_two = outcome(&all, &all);
    assert_eq!(with_two.len(), 3);
    for order in orders.map(|order| order.map(|n| all[n])) {
        for failures in orders.map(|order| order.map(|n| all[n])) {
            assert_eq!(outcome(&order, &failures), with_two);
        }
    }
}

#[test]
fn it_does_not_wait_for_those_that_come_later() {
    let mut r = Registry::default();
    let (raw, one) = (raw(1), silent(1, 631));
    r.apply(found(&raw), at(0));
    r.apply(found(&one), at(0));
    r.apply(failed(&raw), at(1));
    assert_eq!(r.patient.len(), 1);
    for n in 2..40 {
        r.apply(found(&silent(n, 700 + u16::from(n))), at(2));
    }
    r.apply(failed(&one), at(3));
    assert_eq!((r.patient.len(), r.owner(&raw.key), r.quarantined()), (0, r.owner(&one.key), 38));
    assert!(r.owner(&raw.key).is_some());
}

#[test]
fn one_that_is_lost_is_not_waited_for() {
    let mut r = Registry::default();
    let (raw, one) = (raw(1), silent(1, 631));
    [&raw, &one].into_iter().for_each(|s| drop(r.apply(found(s), at(0))));
    r.apply(failed(&raw), at(1));
    assert_eq!(r.owner(&raw.key), None);
    r.apply(Event::Lost { key: one.key.clone() }, at(2));
    assert!(r.owner(&raw.key).is_some());
    assert_eq!((r.quarantined(), r.patient.len()), (0, 0));
}

#[test]
fn one_that_is_elsewhere_is_not_waited_for() {
    let mut r = Registry::default();
    let (raw, one) = (raw(7), silent(1, 631));
    [&raw, &one].into_iter().for_each(|s| drop(r.apply(found(s), at(0))));
    r.apply(failed(&raw), at(1));
    assert!(r.owner(&raw.key).is_some());
}
