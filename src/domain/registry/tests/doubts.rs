//! What must not be decided on little: silence, answers that say nothing, claims.

use super::*;

fn named(key: &str, e: Evidence, name: Option<&str>) -> Event {
    let identity = Identity { evidence: e, name: name.map(Into::into), location: None, pin: None };
    Event::ProbeAnswered { key: key.into(), identity: Box::new(identity) }
}

/// Two printers that have an id, and a key in common only since the second one was asked again.
fn clone_of(r: &mut Registry) -> (Sighting, Sighting, PrinterId) {
    let p = sighting("P", Ipp, "p.local", 1, evidence(None, Some(uuid(1))));
    let id = adopt(r, &p, evidence(Some("AAA111"), Some(uuid(1))), at(0));
    let q = sighting("Q", Ipp, "q.local", 2, evidence(None, Some(uuid(1))));
    r.apply(found(&q), at(1));
    let effects = r.apply(answered(&q.key, evidence(None, Some(uuid(1)))), at(2));
    assert_eq!(effects, [Effect::CheckNow(id.clone())]);
    (p, q, id)
}

#[test]
fn an_answer_without_keys_decides_no_contest() {
    let mut r = Registry::default();
    let (p, q, id) = clone_of(&mut r);
    r.apply(polled(&id, &p.key, evidence(None, None)), at(3));
    assert_eq!((r.owner(&q.key), r.quarantined()), (None, 1));
    // Its agent shows that it is still there: the other one is another printer.
    r.apply(places::over_snmp(&id, &p.key, evidence(Some("AAA111"), None)), at(4));
    assert!(r.owner(&q.key).is_some_and(|other| *other != id));
    // Of one that is silent it is decided at once.
    let mut r = Registry::default();
    let (_, q, id) = clone_of(&mut r);
    r.apply(Event::PollFailed { id: id.clone() }, at(3));
    assert_eq!(r.owner(&q.key), Some(&id));
}

#[test]
fn one_endpoint_that_failed_once_makes_no_clone_certain() {
    let mut r = Registry::default();
    let p = sighting("P", Ipp, "p.local", 1, evidence(None, Some(uuid(1))));
    let id = adopt(&mut r, &p, evidence(Some("AAA111"), Some(uuid(1))), at(0));
    r.apply(Event::EndpointFailed { id: id.clone(), key: p.key.clone() }, at(1));
    let q = sighting("Q", Ipp, "q.local", 2, evidence(None, Some(uuid(1))));
    r.apply(found(&q), at(1));
    let effects = r.apply(answered(&q.key, evidence(None, Some(uuid(1)))), at(2));
    assert_eq!((effects, r.owner(&q.key)), (vec![Effect::CheckNow(id)], None));
}

#[test]
fn two_ids_become_one_only_after_several_failed_polls() {
    let mut r = Registry::default();
    let p = sighting("P", Ipp, "p.local", 1, evidence(None, None));
    let q = sighting("Q", Ipp, "q.local", 2, evidence(None, None));
    let older = adopt(&mut r, &p, evidence(None, Some(uuid(1))), at(0));
    let younger = adopt(&mut r, &q, evidence(None, None), at(1));
    let effects = r.apply(polled(&younger, &q.key, evidence(None, Some(uuid(1)))), at(2));
    assert!(effects.contains(&Effect::CheckNow(older.clone())), "{effects:?}");
    for second in [3, 4] {
        assert_eq!(r.apply(Event::PollFailed { id: older.clone() }, at(second)), []);
    }
    let effects = r.apply(Event::PollFailed { id: older.clone() }, at(5));
    assert!(effects.contains(&Effect::Merged { survivor: older, absorbed: younger }), "{effects:?}");
}

#[test]
fn a_serial_that_was_only_announced_attaches_nothing_to_a_printer_that_answers() {
    let mut r = Registry::default();
    let p = sighting("P", Ipp, "p.local", 1, evidence(Some("AAA111"), None));
    let id = adopt(&mut r, &p, evidence(Some("AAA111"), None), at(0));
    let q = sighting("Q", Ipp, "q.local", 2, evidence(Some("AAA111"), None));
    r.apply(found(&q), at(1));
    let effects = r.apply(Event::ProbeFailed { key: q.key.clone() }, at(2));
    assert_eq!((effects, r.owner(&q.key)), (vec![Effect::CheckNow(id.clone())], None));
    r.apply(polled(&id, &p.key, evidence(Some("AAA111"), None)), at(3));
    assert_eq!(r.owner(&q.key), None);
    // It is asked again when it is seen a while later, unchanged.
    assert_eq!(r.apply(found(&q), at(60)), []);
    let effects = r.apply(found(&q), at(3 + 15 * 60));
    assert_eq!(effects, [Effect::Probe { key: q.key.clone(), endpoint: q.endpoint.clone() }]);
    r.apply(answered(&q.key, evidence(Some("BBB222"), None)), at(4 + 15 * 60));
    assert!(r.owner(&q.key).is_some_and(|other| *other != id));
}

#[test]
fn one_socket_seen_by_name_and_by_address_is_one_printer() {
    let mut r = Registry::default();
    let by_name = sighting("Laser", Ipp, "laser.local", 5, evidence(None, None));
    let id = adopt(&mut r, &by_name, evidence(None, None), at(0));
    let listed = Sighting { key: "list:10.0.0.5".into(), ..sighting("x", Ipp, "10.0.0.5", 5, Evidence::default()) };
    assert_eq!(adopt(&mut r, &listed, evidence(None, None), at(1)), id);
    // Another queue of the address is another printer.
    let mut queue = Sighting { key: "list:queue".into(), ..listed };
    queue.endpoint.path = "/printers/other".into();
    assert_ne!(adopt(&mut r, &queue, evidence(None, None), at(2)), id);
}

#[test]
fn a_second_printer_of_one_default_name_does_not_become_the_first_one() {
    let mut r = Registry::default();
    let listed = |ip: u8| {
        let s = sighting("HP M402", Ipp, &format!("10.0.0.{ip}"), ip, Evidence::default());
        Sighting { key: format!("list:{ip}"), ..s }
    };
    let (first, second) = (listed(1), listed(2));
    let id = adopt(&mut r, &first, evidence(None, None), at(0));
    r.apply(Event::Lost { key: first.key }, at(1));
    assert_ne!(adopt(&mut r, &second, evidence(None, None), at(2)), id);
}

#[test]
fn a_device_that_is_lost_contests_nothing_any_more() {
    let mut r = Registry::default();
    let (_, q, _) = clone_of(&mut r);
    r.apply(Event::Lost { key: q.key }, at(3));
    assert_eq!((r.quarantined(), r.contests.len()), (0, 0));
}

#[test]
fn a_printer_keeps_its_name_when_an_agent_answers_for_it() {
    let mut r = Registry::default();
    let p = sighting("P", Ipp, "p.local", 1, Evidence::default());
    r.apply(found(&p), at(0));
    r.apply(named(&p.key, evidence(Some("AAA111"), None), Some("Second floor")), at(1));
    let mut s = print_port("snmp:10.0.0.2", EndpointKind::Snmp, "10.0.0.2", 2, 161, "");
    (s.evidence, s.name) = (evidence(Some("AAA111"), None), String::new());
    r.apply(found(&s), at(2));
    let id = r.owner(&s.key).unwrap();
    assert_eq!((Some(id), r.get(id).unwrap().name.as_str()), (r.owner(&p.key), "Second floor"));
}

#[test]
fn printers_known_to_be_two_stay_two_when_one_of_them_turns_out_to_be_a_third() {
    for older_first in [true, false] {
        let mut r = Registry::default();
        let [a, b, c] = [("A", 1), ("B", 2), ("C", 3)]
            .map(|(name, n)| sighting(name, Ipp, &format!("{}.local", name.to_lowercase()), n, Evidence::default()));
        if older_first {
            adopt(&mut r, &c, evidence(Some("CCC333"), None), at(0));
        }
        let cloned = || evidence(None, Some(uuid(1)));
        let first = adopt(&mut r, &a, cloned(), at(1));
        r.apply(found(&b), at(2));
        r.apply(answered(&b.key, cloned()), at(3));
        r.apply(polled(&first, &a.key, cloned()), at(4));
        let second = r.owner(&b.key).unwrap().clone();
        assert_eq!(r.get(&second).unwrap().apart, std::slice::from_ref(&first));
        if !older_first {
            adopt(&mut r, &c, evidence(Some("CCC333"), None), at(5));
        }
        for s in 6..10 {
            r.apply(Event::PollFailed { id: second.clone() }, at(s));
        }
        r.apply(polled(&first, &a.key, evidence(Some("CCC333"), Some(uuid(1)))), at(10));
        assert_eq!(r.printers().count(), 2, "A is C, and B is another one");
        let survivor = r.get(&first).unwrap().id.clone();
        assert_eq!(r.owner(&c.key), Some(&survivor));
        assert_eq!(r.get(&second).unwrap().apart, std::slice::from_ref(&survivor));
        assert_eq!(r.get(&survivor).unwrap().apart, [second]);
    }
}

#[test]
fn another_product_under_the_name_and_host_of_one_with_a_new_uuid_is_another_printer() {
    let product = |make: &str, model: &str, n| {
        let made = Evidence { make: Some(make.into()), model: Some(model.into()), ..evidence(None, Some(uuid(n))) };
        (sighting("Front Desk", Ipp, "desk.local", 1, made.clone()), made)
    };
    let mut r = Registry::default();
    let (laser, said) = product("Acme", "LaserX", 1);
    let first = adopt(&mut r, &laser, said, at(0));
    // The same product with another UUID: it made a new one.
    let (again, said) = product("Acme", "LaserX", 2);
    r.apply(found(&again), at(10));
    r.apply(polled(&first, &again.key, said), at(11));
    assert_eq!(r.owner(&laser.key), Some(&first));
    // Another maker's, or another model.
    for (n, (make, model)) in [("Zeta", "Inky"), ("Zeta", "Jet")].into_iter().enumerate() {
        let before = r.owner(&laser.key).unwrap().clone();
        let (other, said) = product(make, model, 3 + n as u8);
        r.apply(found(&other), at(20 + n as i64));
        assert_eq!(r.owner(&other.key), None);
        r.apply(answered(&other.key, said), at(21 + n as i64));
        r.apply(Event::PollFailed { id: before.clone() }, at(22 + n as i64));
        assert_ne!(r.owner(&other.key), Some(&before), "{model}");
    }
    assert_eq!(r.printers().count(), 3);
    assert_eq!(r.get(&first).unwrap().evidence.make.as_deref(), Some("Acme"));
}
