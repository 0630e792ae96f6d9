//! Several ways to print at one address: one printer or several, and whose they are once an address changes hands.

use super::*;

fn known_by_answer(serial: Option<&str>, mac: &str, model: &str) -> Evidence {
    Evidence { macs: vec![mac.into()], model: Some(model.into()), ..evidence(serial, None) }
}

pub(super) fn over_snmp(id: &PrinterId, key: &str, evidence: Evidence) -> Event {
    let identity = Identity { evidence, name: None, location: None, pin: None };
    Event::PollAnswered { id: id.clone(), key: key.into(), identity: Box::new(identity), over: Source::Snmp }
}

/// Printers listed without a name: each is named by its host.
fn listed_by_host(kind: EndpointKind, host: &str, port: u16, path: &str) -> Sighting {
    let key = format!("list:{kind:?}://{host}:{port}{path}");
    Sighting { name: host.into(), ..print_port(&key, kind, host, 9, port, path) }
}

#[test]
fn ports_and_queues_of_one_print_server_stay_apart_without_names() {
    for host in ["10.0.0.9", "server.local"] {
        let ports = [9100, 9101, 9102, 4000].map(|port| listed_by_host(EndpointKind::AppSocket, host, port, ""));
        let queues = ["/a", "/b", "/c"].map(|queue| listed_by_host(EndpointKind::Lpd, host, 515, queue));
        for places in [&ports[..], &queues[..]] {
            let ids = |order: &mut dyn Iterator<Item = &Sighting>| -> BTreeMap<PrinterId, String> {
                let mut r = Registry::default();
                for s in order {
                    let effects = r.apply(found(s), at(0));
                    assert!(matches!(&effects[..], [Effect::Probe { .. }]), "{} was not asked: {effects:?}", s.key);
                    r.apply(Event::ProbeFailed { key: s.key.clone() }, at(1));
                }
                r.printers().map(|p| (p.id.clone(), p.endpoints[0].key.clone())).collect()
            };
            let forward = ids(&mut places.iter());
            assert_eq!(forward.len(), places.len(), "{forward:?}");
            assert_eq!(ids(&mut places.iter().rev()).len(), places.len());
            // Also when all of them are seen before the first answer.
            let mut r = Registry::default();
            places.iter().for_each(|s| drop(r.apply(found(s), at(0))));
            assert_eq!(r.quarantined(), places.len());
            places.iter().for_each(|s| drop(r.apply(Event::ProbeFailed { key: s.key.clone() }, at(1))));
            assert_eq!(r.printers().count(), places.len());
        }
    }
}

#[test]
fn every_endpoint_of_the_host_decides_not_only_the_first() {
    let mut r = Registry::default();
    let first = listed_by_host(EndpointKind::AppSocket, "10.0.0.9", 9100, "");
    let lpd = listed_by_host(EndpointKind::Lpd, "10.0.0.9", 515, "/a");
    let other = listed_by_host(EndpointKind::Lpd, "10.0.0.9", 515, "/b");
    let id = adopt(&mut r, &first, Evidence::default(), at(0));
    assert_eq!(r.apply(found(&lpd), at(1)), [Effect::Changed(id.clone())], "another way to print to the same one");
    assert!(matches!(&r.apply(found(&other), at(2))[..], [Effect::Probe { .. }]), "another queue");
}

#[test]
fn an_address_that_changed_hands_does_not_make_one_printer_of_two() {
    for (models, why) in [(["M402", "M402"], "MAC addresses differ"), (["M402", "C5235"], "models differ too")] {
        let mut r = Registry::default();
        let a = print_port("list:a", EndpointKind::AppSocket, "a.local", 1, 9100, "");
        let b = print_port("list:b", EndpointKind::AppSocket, "b.local", 2, 9100, "");
        let first = adopt(&mut r, &a, known_by_answer(None, "00:11:22:33:44:01", models[0]), at(0));
        let of_b = known_by_answer(Some("BBB222"), "00:11:22:33:44:02", models[1]);
        let second = adopt(&mut r, &b, of_b.clone(), at(1));
        assert_ne!(first, second);
        // A is off, and DHCP gave its address to B.
        let effects = r.apply(over_snmp(&first, &a.key, of_b), at(2));
        assert_eq!(r.printers().count(), 2, "{why}: {effects:?}");
        assert_eq!(r.get(&first).unwrap().evidence.serial, None, "{why}");
        assert_eq!(r.owner(&a.key), Some(&second), "{why}: what answers there is B");
    }
}

#[test]
fn a_model_of_another_card_is_another_device_and_a_spelling_is_not() {
    let mut r = Registry::default();
    let a = print_port("list:a", EndpointKind::AppSocket, "a.local", 1, 9100, "");
    let first = adopt(&mut r, &a, known_by_answer(None, "00:11:22:33:44:01", "M402"), at(0));
    // Spelled in another way by the same network card.
    r.apply(over_snmp(&first, &a.key, known_by_answer(None, "00:11:22:33:44:01", "X9")), at(1));
    assert_eq!(r.owner(&a.key), Some(&first));
    let stranger = known_by_answer(Some("CCC333"), "00:11:22:33:44:03", "C5235");
    assert!(r.contradicts(&first, &stranger));
    r.apply(over_snmp(&first, &a.key, stranger), at(2));
    assert_eq!(r.printers().count(), 2);
    assert_ne!(r.owner(&a.key), Some(&first));
    assert_eq!(r.get(&first).unwrap().evidence.serial, None);
}

#[test]
fn what_turns_up_at_the_stale_address_of_a_lost_printer_is_not_glued_to_it() {
    let raw = |key: &str, host: &str| print_port(key, EndpointKind::AppSocket, host, 1, 9100, "");
    // A print port at the address of a printer that is switched off.
    let mut r = Registry::default();
    let old = sighting("Old", Ipp, "old.local", 1, Evidence::default());
    let id = adopt(&mut r, &old, Evidence::default(), at(0));
    r.apply(Event::Lost { key: old.key.clone() }, at(1));
    let new = raw("New._pdl-datastream._tcp.local.", "new.local");
    assert!(matches!(&r.apply(found(&new), at(2))[..], [Effect::Probe { .. }]));
    r.apply(Event::ProbeFailed { key: new.key.clone() }, at(3));
    assert_ne!(r.owner(&new.key), Some(&id));

    // The other way round: what speaks IPP at the address of a print port that is no longer announced.
    let mut r = Registry::default();
    let id = adopt(&mut r, &new, Evidence::default(), at(0));
    r.apply(Event::Lost { key: new.key.clone() }, at(1));
    assert_ne!(adopt(&mut r, &old, Evidence::default(), at(2)), id);
}

#[test]
fn another_model_at_a_printers_address_is_not_taken_for_it() {
    let model = |model: &str, uuid: Option<String>| Evidence { model: Some(model.into()), ..evidence(None, uuid) };
    for (uuids, one) in [([None, None], false), ([Some(uuid(1)), Some(uuid(1))], true)] {
        let mut r = Registry::default();
        let ipp = sighting("A", Ipp, "a.local", 1, Evidence::default());
        let id = adopt(&mut r, &ipp, model("M402", uuids[0].clone()), at(0));
        let mut raw = print_port("B._pdl-datastream._tcp.local.", EndpointKind::AppSocket, "b.local", 1, 9100, "");
        raw.evidence = model("C5235", uuids[1].clone());
        r.apply(found(&raw), at(1));
        assert_eq!(r.owner(&raw.key) == Some(&id), one);

        let mut r = Registry::default();
        let id = adopt(&mut r, &raw, raw.evidence.clone(), at(0));
        // What answers with another model under one UUID may be a clone.
        assert_ne!(adopt(&mut r, &ipp, model("M402", uuids[0].clone()), at(1)), id);
    }
}
