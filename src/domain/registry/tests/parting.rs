//! What leaves a printer takes along what was said there; what comes back is who it was.

use super::rules::{id, restarted, two};
use super::*;

fn split(what: &str, printer: &PrinterId) -> Split {
    Split { what: what.parse().unwrap(), printer: printer.clone() }
}

fn merged(r: &Registry, first: &PrinterId, second: &PrinterId) -> Registry {
    let rules = Rules { merges: vec![vec![first.clone(), second.clone()]], ..Rules::default() };
    let (r, _) = restarted(r, &rules);
    assert_eq!(r.printers().count(), 1);
    r
}

#[test]
fn what_was_answered_is_kept_with_its_place_and_rows_without_it_still_load() {
    let (r, a, ..) = two();
    let e = r.printers().flat_map(|p| &p.endpoints).find(|e| e.key == a.key).unwrap();
    let told: Vec<String> = e.told.as_ref().unwrap().keys.iter().map(|told| told.key.to_string()).collect();
    assert_eq!(told, ["hp AAA111", &uuid(1)]);
    let mut row = serde_json::to_value(r.printers().next().unwrap()).unwrap();
    for e in row["endpoints"].as_array_mut().unwrap() {
        assert!(e.as_object_mut().unwrap().remove("told").is_some());
    }
    let old: Printer = serde_json::from_value(row).unwrap();
    assert_eq!((old.endpoints[0].told.clone(), old.endpoints[0].of.clone()), (None, None));
}

#[test]
fn a_split_by_an_answered_value_parts_the_place_and_gives_the_old_id_back() {
    let (r, a, b, first, second) = two();
    let one = merged(&r, &first, &second);
    for what in ["serial:BBB222", "host:b.local", "10.0.0.2", &format!("id:{second}"), &format!("uuid:{}", uuid(2))] {
        let rules = Rules { splits: vec![split(what, &first)], ..Rules::default() };
        let (two, effects) = restarted(&one, &rules);
        assert!(effects.contains(&Effect::Adopted(second.clone())), "{what}: {effects:?}");
        assert_eq!((two.owner(&a.key), two.owner(&b.key)), (Some(&first), Some(&second)), "{what}");
        let (p, q) = (two.get(&first).unwrap(), two.get(&second).unwrap());
        assert_eq!((&p.id, &q.id, p.aliases.len()), (&first, &second, 0), "{what}");
        assert_eq!((p.evidence.serial.as_deref(), q.evidence.serial.as_deref()), (Some("AAA111"), Some("BBB222")));
        let keys = |p: &Printer| p.known.iter().map(|alias| alias.key.to_string()).collect::<BTreeSet<_>>();
        assert!(keys(p).is_disjoint(&keys(q)), "{what}: {:?} {:?}", keys(p), keys(q));
        let why: Vec<String> = two.why(&first).into_iter().map(|join| join.what).collect();
        assert_eq!(why, [a.key.as_str()], "{what}");
        // The same again changes nothing, and without the rule they stay who they are: nothing joins them.
        let (again, effects) = restarted(&two, &rules);
        assert_eq!((again.printers().count(), effects), (2, vec![]), "{what}");
        let (mut free, effects) = restarted(&two, &Rules::default());
        assert_eq!((free.printers().count(), effects), (2, vec![]), "{what}");
        free.apply(polled(&second, &b.key, evidence(Some("BBB222"), Some(uuid(2)))), at(2000));
        assert_eq!(free.owner(&b.key), Some(&second));
    }
}

#[test]
fn a_split_outranks_a_merge_and_may_be_written_from_either_id() {
    let (r, a, b, first, second) = two();
    let one = merged(&r, &first, &second);
    for split in [split("host:b.local", &first), split("host:a.local", &second)] {
        let rules = Rules {
            merges: vec![vec![first.clone(), second.clone()]],
            splits: vec![split.clone()],
            ..Rules::default()
        };
        let (two, _) = restarted(&one, &rules);
        assert_eq!((two.owner(&a.key), two.owner(&b.key)), (Some(&first), Some(&second)), "{split:?}");
        let (two, effects) = restarted(&two, &rules);
        assert_eq!((two.printers().count(), effects), (2, vec![]), "{split:?}");
        // Without the split the merge holds again.
        let rules = Rules { splits: vec![], ..rules };
        assert_eq!(restarted(&two, &rules).0.printers().count(), 1);
    }
}

#[test]
fn an_answer_that_a_split_names_is_not_that_printers() {
    let (r, a, _, first, _) = two();
    let rules = Rules { splits: vec![split("serial:CCC333", &first)], ..Rules::default() };
    let (mut r, _) = restarted(&r, &rules);
    // Nothing else would tell: the same UUID at the same place.
    let mut said = evidence(Some("CCC333"), Some(uuid(1)));
    r.printers.get_mut(&first).unwrap().evidence.serial = None;
    r.printers.get_mut(&first).unwrap().known.retain(|alias| alias.key.serial().is_none());
    r.index_printer(&first);
    r.apply(polled(&first, &a.key, said.clone()), at(1001));
    r.apply(answered(&a.key, said.clone()), at(1002));
    assert!(r.owner(&a.key).is_some_and(|other| *other != first));
    said.serial = None;
    assert_eq!(r.get(&first).unwrap().evidence.serial, None);
}

#[test]
fn a_pinned_id_is_that_of_the_device_whatever_it_was_called_elsewhere() {
    let (r, a, _, first, _) = two();
    let rules = Rules {
        pins: vec![Pinned { what: "host:desk.local".parse().unwrap(), printer: id("front-desk") }],
        ..Rules::default()
    };
    let (mut r, _) = restarted(&r, &rules);
    // The device of the first printer turns up at the pinned place.
    let s = sighting("Desk", Ipp, "desk.local", 9, Evidence::default());
    assert_eq!(adopt(&mut r, &s, evidence(Some("AAA111"), Some(uuid(1))), at(1001)), id("front-desk"));
    assert_eq!(r.get(&first).map(|p| p.id.clone()), Some(id("front-desk")));
    assert_eq!(r.owner(&a.key), Some(&id("front-desk")));
    r.check().unwrap();
}

#[test]
fn one_serial_number_under_two_names_of_one_maker_is_one_printer() {
    let named = |make: &str| Evidence { make: Some(make.into()), ..evidence(Some("AAA111"), None) };
    let mut r = Registry::default();
    let a = sighting("A", Ipp, "a.local", 1, Evidence::default());
    let first = adopt(&mut r, &a, named("Samsung"), at(0));
    let b = sighting("B", Ipp, "b.local", 2, Evidence::default());
    assert_eq!(adopt(&mut r, &b, named("HP"), at(1)), first);
    // Of makers that have nothing to do with each other the number says nothing, also in the list of doubts.
    let c = sighting("C", Ipp, "c.local", 3, Evidence::default());
    assert_ne!(adopt(&mut r, &c, named("Kyocera"), at(2)), first);
    assert_eq!((r.printers().count(), r.possible_duplicates()), (2, vec![]));
}

#[test]
fn what_is_ignored_at_one_place_is_no_evidence_of_the_printer_any_more() {
    let (r, a, b, first, second) = two();
    let one = merged(&r, &first, &second);
    // The rows were stored before the network was ignored: what is seen there leaves.
    let (mut r, _) = restarted(&one, &Rules::default());
    r.rules.ignored = vec!["10.0.0.2".parse().unwrap()];
    r.apply(found(&b), at(1001));
    let printer = r.get(&first).unwrap();
    assert_eq!((r.owner(&a.key), r.owner(&b.key)), (Some(&first), None));
    assert!(printer.known.iter().all(|alias| alias.key != identity::Key::Uuid(uuid(2))));
}

#[test]
fn a_value_that_several_different_printers_announce_makes_no_id_in_any_order() {
    // One card's address on three models, and no serial number anywhere.
    let all: Vec<Sighting> = (1..=3)
        .map(|n| {
            let model = Some(format!("M40{n}"));
            let e = Evidence { model, macs: vec!["00:1b:a9:10:20:30".into()], ..evidence(None, None) };
            sighting(&format!("P{n}"), Ipp, &format!("p{n}.local"), n, e)
        })
        .collect();
    let ids = |order: &[usize]| -> BTreeMap<String, PrinterId> {
        let mut r = Registry::default();
        let mut checks = Vec::new();
        order.iter().for_each(|n| drop(r.apply(found(&all[*n]), at(0))));
        for n in order {
            let s = &all[*n];
            checks.extend(r.apply(answered(&s.key, s.evidence.clone()), at(1)));
        }
        assert!(checks.iter().all(|effect| matches!(effect, Effect::Adopted(_))), "{checks:?}");
        all.iter().map(|s| (s.key.clone(), r.owner(&s.key).unwrap().clone())).collect()
    };
    let forward = ids(&[0, 1, 2]);
    assert_eq!(forward.values().collect::<BTreeSet<_>>().len(), 3);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(ids(&order), forward, "{order:?}");
    }
}

#[test]
fn what_answers_without_a_key_under_anothers_serial_is_asked_again_and_then_seen() {
    let mut r = Registry::default();
    let p = sighting("P", Ipp, "p.local", 1, evidence(Some("AAA111"), None));
    let first = adopt(&mut r, &p, evidence(Some("AAA111"), None), at(0));
    let q = sighting("Q", Ipp, "q.local", 2, evidence(Some("AAA111"), None));
    let alive = || polled(&first, &p.key, evidence(Some("AAA111"), None));
    r.apply(found(&q), at(1));
    assert_eq!(r.apply(answered(&q.key, evidence(None, None)), at(2)), [Effect::CheckNow(first.clone())]);
    r.apply(alive(), at(3));
    assert_eq!((r.owner(&q.key), r.quarantined()), (None, 1));
    // Nobody announces anything any more: the printer's polls are the clock.
    assert_eq!(r.apply(alive(), at(60)), []);
    let probe = Effect::Probe { key: q.key.clone(), endpoint: q.endpoint.clone() };
    assert_eq!(r.apply(alive(), at(3 + 15 * 60)), [probe]);
    assert_eq!(r.apply(answered(&q.key, evidence(None, None)), at(1000)), [Effect::CheckNow(first.clone())]);
    let effects = r.apply(alive(), at(1001));
    let second = r.owner(&q.key).unwrap().clone();
    assert_eq!(effects, [Effect::Adopted(second.clone())]);
    assert_ne!(first, second);
    let doubts = r.possible_duplicates();
    assert_eq!((doubts.len(), doubts[0].because), (1, Doubt::Serial));
    // What it announces again changes nothing.
    assert_eq!(r.apply(found(&q), at(1002)), []);
    let moved = sighting("Q", Ipp, "q.local", 3, evidence(Some("AAA111"), None));
    r.apply(found(&moved), at(1003));
    let (r, _) = restarted(&r, &Rules::default());
    assert_eq!((r.printers().count(), r.owner(&q.key)), (2, Some(&second)));
}

#[test]
fn an_agent_and_a_cloned_uuid_at_an_address_that_changed_hands_make_no_printer_of_two() {
    // P tells its serial number to the agent, the UUID of the fleet over IPP; Q has that UUID too, and a card.
    let card = || Evidence { macs: vec!["00:1b:a9:10:20:30".into()], ..evidence(None, None) };
    let mut r = Registry::default();
    let p = sighting("P", Ipp, "p.local", 1, Evidence::default());
    let first = adopt(&mut r, &p, evidence(Some("AAA111"), Some(uuid(1))), at(0));
    let q = sighting("Q", Ipp, "q.local", 2, Evidence::default());
    r.apply(found(&q), at(700));
    r.apply(answered(&q.key, Evidence { uuid: Some(uuid(1)), ..card() }), at(700));
    r.apply(polled(&first, &p.key, evidence(None, Some(uuid(1)))), at(701));
    let second = r.owner(&q.key).unwrap().clone();
    assert_ne!(first, second);
    // They swap addresses: at P's place Q answers, to the agent's question and to the printer's.
    r.printers.get_mut(&second).unwrap().known.retain(|alias| alias.key.to_string() != "001ba9102030");
    r.printers.get_mut(&second).unwrap().evidence.macs.clear();
    r.index_printer(&second);
    r.apply(places::over_snmp(&first, &p.key, card()), at(5000));
    r.apply(polled(&first, &p.key, evidence(None, Some(uuid(1)))), at(5001));
    assert_eq!(r.get(&first).unwrap().evidence.macs, Vec::<String>::new());
    // The other way round.
    r.apply(polled(&first, &p.key, evidence(None, Some(uuid(1)))), at(6000));
    r.apply(places::over_snmp(&first, &p.key, card()), at(6001));
    assert_eq!(r.get(&first).unwrap().evidence.macs, Vec::<String>::new());
}

#[test]
fn a_late_announcement_is_not_taken_for_the_word_of_who_answers_there_now() {
    let mut r = Registry::default();
    let told = |serial, mac: &str| Evidence { macs: vec![mac.into()], ..evidence(serial, Some(uuid(1))) };
    let s = sighting("D", Ipp, "d.local", 1, told(None, "001ba9000001"));
    let first = adopt(&mut r, &s, told(None, "001ba9000001"), at(0));
    // Another device with the UUID of the fleet has the address.
    r.apply(polled(&first, &s.key, evidence(Some("BBB222"), Some(uuid(1)))), at(700));
    r.apply(answered(&s.key, evidence(Some("BBB222"), Some(uuid(1)))), at(701));
    let second = r.owner(&s.key).unwrap().clone();
    assert_ne!(first, second);
    // The first one is seen under its name again, elsewhere.
    let s = sighting("D", Ipp, "d.local", 3, told(None, "001ba9000001"));
    r.apply(found(&s), at(1400));
    assert_eq!(r.get(&second).unwrap().evidence.macs, Vec::<String>::new());
}

#[test]
fn an_answer_of_long_ago_proves_nothing_of_who_is_at_the_address_now() {
    let mut r = Registry::default();
    let agents = Evidence { macs: vec!["001ba9000001".into()], ..evidence(None, None) };
    let d = sighting("D", Ipp, "d.local", 1, Evidence::default());
    let tls = sighting("D", Ipps, "d.local", 1, Evidence::default());
    r.apply(found(&d), at(0));
    r.apply(found(&tls), at(0));
    // It said little: it is asked over TLS too, and that takes long.
    r.apply(answered(&d.key, evidence(None, Some(uuid(1)))), at(1));
    let first = r.owner(&d.key).unwrap().clone();
    // Another device with that UUID and a serial number answers at both: they wait to be asked over everything.
    let stranger = || evidence(Some("BBB222"), Some(uuid(1)));
    r.apply(found(&tls), at(2));
    let card = Evidence { macs: vec!["001ba9000002".into()], ..evidence(None, Some(uuid(1))) };
    r.apply(places::over_snmp(&first, &d.key, card), at(2));
    r.apply(polled(&first, &d.key, stranger()), at(700));
    assert_eq!((r.owner(&d.key), r.quarantined()), (None, 1));
    // Long after, a third device has the address.
    let mut s = print_port("snmp:10.0.0.1", EndpointKind::Snmp, "10.0.0.1", 1, 161, "");
    s.evidence = agents.clone();
    r.apply(Event::Withdrawn { key: tls.key }, at(4000));
    r.apply(found(&s), at(5000));
    r.apply(answered(&s.key, agents.clone()), at(5001));
    let third = r.owner(&s.key).unwrap().clone();
    r.apply(Event::ProbeFailed { key: d.key.clone() }, at(5002));
    r.apply(places::over_snmp(&third, &s.key, agents), at(5003));
    assert_ne!(r.owner(&d.key), Some(&third));
}

#[test]
fn a_better_key_elsewhere_outranks_a_uuid_at_the_old_place() {
    // The card's address moved away; a device with the UUID of the fleet answers at the old place.
    let card = || Evidence { macs: vec!["001ba9000001".into()], ..evidence(None, None) };
    let mut r = Registry::default();
    let p = sighting("P", Ipp, "p.local", 1, Evidence::default());
    let first = adopt(&mut r, &p, Evidence { uuid: Some(uuid(1)), ..card() }, at(0));
    let mut s = print_port("snmp:10.0.0.2", EndpointKind::Snmp, "10.0.0.2", 2, 161, "");
    s.evidence = card();
    r.apply(found(&s), at(700));
    assert_eq!(r.apply(answered(&s.key, card()), at(701)), [Effect::CheckNow(first.clone())]);
    let clone = || polled(&first, &p.key, evidence(None, Some(uuid(1))));
    r.apply(clone(), at(702));
    // The agent at the old place may still show the card there.
    assert_eq!((r.owner(&s.key), r.quarantined()), (None, 1));
    r.apply(clone(), at(702 + 600));
    assert_eq!(r.owner(&s.key), Some(&first));
}

#[test]
fn a_host_name_at_a_place_that_changed_hands_outranks_no_key() {
    let told = |mac: &str| Evidence { macs: vec![mac.into()], ..evidence(None, Some(uuid(1))) };
    let agent = |mac: &str| Evidence { uuid: None, ..told(mac) };
    let mut r = Registry::default();
    let mut lpd = print_port("A._printer._tcp.local.", EndpointKind::Lpd, "a.local", 1, 515, "/auto");
    lpd.evidence = told("001ba9000001");
    let first = adopt(&mut r, &lpd, agent("001ba9000001"), at(0));
    // The address changes hands: the place under the first one's host name is the second one's now.
    r.apply(places::over_snmp(&first, &lpd.key, agent("001ba9000002")), at(700));
    let second = r.owner(&lpd.key).unwrap().clone();
    let b = sighting("B", Ipp, "b.local", 1, told("001ba9000002"));
    assert_eq!(adopt(&mut r, &b, told("001ba9000002"), at(1400)), second);
    // The first one again, under its host name, with the UUID that both have.
    let a = sighting("A", Ipp, "a.local", 5, told("001ba9000001"));
    assert_eq!(adopt(&mut r, &a, told("001ba9000001"), at(2100)), first);
    assert_eq!(r.printers().count(), 2);
}
