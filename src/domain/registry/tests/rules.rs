//! What an administrator decides, what is remembered, and what changes nothing.

use super::places::over_snmp;
use super::*;

fn agent(ip: u8, evidence: Evidence) -> Sighting {
    let address = format!("10.0.0.{ip}");
    Sighting { evidence, ..print_port(&format!("snmp:{address}"), EndpointKind::Snmp, &address, ip, 161, "") }
}

fn of(serial: Option<&str>, mac: &str) -> Evidence {
    Evidence { macs: vec![mac.into()], ..evidence(serial, None) }
}

pub(super) fn restarted(r: &Registry, rules: &Rules) -> (Registry, Vec<Effect>) {
    let rows = serde_json::to_string(&r.printers().cloned().collect::<Vec<_>>()).unwrap();
    let (r, effects) = Registry::restore(serde_json::from_str::<Vec<Printer>>(&rows).unwrap(), rules, at(1000));
    r.check().unwrap();
    (r, effects)
}

pub(super) fn id(text: &str) -> PrinterId {
    PrinterId::new(text).unwrap()
}

/// Two printers, A at .1 and B at .2, each known by its serial number.
pub(super) fn two() -> (Registry, Sighting, Sighting, PrinterId, PrinterId) {
    let mut r = Registry::default();
    let a = sighting("A", Ipp, "a.local", 1, evidence(None, Some(uuid(1))));
    let b = sighting("B", Ipp, "b.local", 2, evidence(None, Some(uuid(2))));
    let first = adopt(&mut r, &a, evidence(Some("AAA111"), Some(uuid(1))), at(0));
    let second = adopt(&mut r, &b, evidence(Some("BBB222"), Some(uuid(2))), at(1));
    (r, a, b, first, second)
}

#[test]
fn one_device_over_mdns_and_snmp_is_one_printer_with_one_id_in_either_order() {
    let said = of(Some("AAA111"), "001122000001");
    let all = identity::merge(&said, &evidence(None, Some(uuid(1))));
    let ipp = sighting("A", Ipp, "a.local", 1, evidence(None, Some(uuid(1))));
    let swept = agent(1, said);
    let mut r = Registry::default();
    let first = adopt(&mut r, &ipp, all.clone(), at(0));
    assert_eq!(r.apply(found(&swept), at(500)), [Effect::Changed(first.clone())]);
    assert_eq!(r.owner(&swept.key), Some(&first));

    let mut r = Registry::default();
    assert_eq!(r.apply(found(&swept), at(0)), [Effect::Adopted(first.clone())], "what it said itself needs no probe");
    assert_eq!(adopt(&mut r, &ipp, all, at(500)), first);
    assert_eq!(r.printers().count(), 1);
    let why = r.why(&first);
    assert_eq!((why[0].because, why[0].value.as_str()), (Because::First, "hp AAA111"));
    assert_eq!(
        (why[1].what.as_str(), why[1].because, why[1].value.as_str()),
        (ipp.key.as_str(), Because::Serial, "AAA111")
    );
}

#[test]
fn what_an_agent_and_ipp_say_at_one_address_at_one_time_is_of_one_printer() {
    let mut r = Registry::default();
    let ipp = sighting("A", Ipp, "a.local", 1, Evidence::default());
    let known = evidence(None, Some(uuid(1)));
    let first = adopt(&mut r, &ipp, known.clone(), at(0));
    let swept = agent(1, of(Some("AAA111"), "001122000001"));
    // Long after the last answer: asked first.
    assert_eq!(r.apply(found(&swept), at(5000)), [Effect::CheckNow(first.clone())]);
    r.apply(polled(&first, &ipp.key, known.clone()), at(5001));
    assert_eq!(r.owner(&swept.key), Some(&first));
    assert_eq!(r.get(&first).unwrap().evidence.serial.as_deref(), Some("AAA111"));

    // Nobody answers there any more: another printer has the address.
    let mut r = Registry::default();
    let first = adopt(&mut r, &ipp, known, at(0));
    r.apply(found(&swept), at(5000));
    r.apply(Event::PollFailed { id: first.clone() }, at(5001));
    assert_ne!(r.owner(&swept.key), Some(&first));
    assert_eq!(r.printers().count(), 2);
}

#[test]
fn a_printer_that_comes_back_with_one_key_known_from_long_ago_keeps_its_id() {
    let (r, a, _, first, _) = two();
    let (mut r, _) = restarted(&r, &Rules::default());
    r.apply(Event::Lost { key: a.key.clone() }, at(1001));
    // Firmware gives it a new UUID; the serial stays.
    let renewed = sighting("A2", Ipp, "a2.local", 7, Evidence::default());
    assert_eq!(adopt(&mut r, &renewed, evidence(Some("aaa111"), Some(uuid(9))), at(1002)), first);
    // Later only the new UUID is told, at a third place, under other names.
    let (mut r, _) = restarted(&r, &Rules::default());
    r.apply(Event::Lost { key: renewed.key.clone() }, at(1003));
    let third = sighting("A3", Ipp, "a3.local", 8, Evidence::default());
    assert_eq!(adopt(&mut r, &third, evidence(None, Some(uuid(9))), at(1004)), first);
    let known: Vec<String> = r.get(&first).unwrap().known.iter().map(|alias| alias.key.to_string()).collect();
    for key in ["hp AAA111", &uuid(1), &uuid(9), "a.local", "a3.local", "10.0.0.1", "10.0.0.7"] {
        assert!(known.iter().any(|k| k == key), "{key} is not among {known:?}");
    }
}

#[test]
fn addresses_announced_in_turn_settle_and_a_new_one_replaces_the_old() {
    let (mut r, a, _, first, _) = two();
    let other = Sighting {
        endpoint: Endpoint { addresses: vec!["10.0.0.9".parse().unwrap()], ..a.endpoint.clone() },
        ..a.clone()
    };
    let mut effects = 0;
    for n in 0..40 {
        effects += r.apply(found(if n % 2 == 0 { &other } else { &a }), at(60 + n)).len();
    }
    assert!(effects <= 2, "{effects} effects");
    assert_eq!(r.get(&first).unwrap().endpoints[0].endpoint.addresses.len(), 2);
    // One of them is gone for good.
    r.apply(found(&other), at(5000));
    assert_eq!(r.get(&first).unwrap().endpoints[0].endpoint.addresses, other.endpoint.addresses);
}

#[test]
fn two_printers_that_swap_addresses_swap_nothing_else() {
    let (mut r, a, b, first, second) = two();
    let (swept_a, swept_b) =
        (agent(1, of(Some("AAA111"), "001122000001")), agent(2, of(Some("BBB222"), "001122000002")));
    r.apply(found(&swept_a), at(10));
    r.apply(found(&swept_b), at(10));
    let at_address = |s: &Sighting, ip| Sighting {
        endpoint: Endpoint { addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, ip))], ..s.endpoint.clone() },
        ..s.clone()
    };
    r.apply(found(&at_address(&a, 2)), at(2000));
    r.apply(found(&agent(1, swept_b.evidence.clone())), at(2000));
    r.apply(found(&at_address(&b, 1)), at(2001));
    r.apply(found(&agent(2, swept_a.evidence.clone())), at(2001));
    assert_eq!((r.owner(&a.key), r.owner(&b.key)), (Some(&first), Some(&second)));
    assert_eq!((r.owner("snmp:10.0.0.1"), r.owner("snmp:10.0.0.2")), (Some(&second), Some(&first)));
    assert_eq!(r.get(&first).unwrap().evidence.serial.as_deref(), Some("AAA111"));
}

#[test]
fn a_cloned_serial_number_at_two_live_places_is_two_printers_that_may_be_one() {
    let mut r = Registry::default();
    let (a, b) = (agent(1, Evidence::default()), agent(2, Evidence::default()));
    let told = |uuid_of: u8, mac: &str| Evidence { uuid: Some(uuid(uuid_of)), ..of(Some("AAA111"), mac) };
    let first = adopt(&mut r, &a, told(1, "0011220000a1"), at(0));
    r.apply(found(&b), at(1));
    assert_eq!(r.apply(answered(&b.key, told(2, "0011220000a2")), at(2)), [Effect::CheckNow(first.clone())]);
    r.apply(over_snmp(&first, &a.key, told(1, "0011220000a1")), at(3));
    assert_eq!(r.printers().count(), 2);
    let doubts = r.possible_duplicates();
    assert_eq!((doubts.len(), doubts[0].because, doubts[0].value.as_str()), (1, Doubt::Serial, "hp AAA111"));
    let (r, effects) = restarted(&r, &Rules::default());
    assert_eq!((r.printers().count(), effects.len()), (2, 0));
}

#[test]
fn the_same_name_and_model_make_possible_duplicates_and_nothing_more() {
    let mut r = Registry::default();
    for (n, host) in [(1, "a.local"), (2, "b.local")] {
        let s = Sighting { name: "Laser".into(), ..sighting(host, Ipp, host, n, Evidence::default()) };
        adopt(&mut r, &s, evidence(None, None), at(i64::from(n)));
    }
    assert_eq!(r.printers().count(), 2);
    assert_eq!(r.possible_duplicates()[0].because, Doubt::NameAndModel);
}

#[test]
fn ignored_and_retired_printers_go_and_are_not_found_again_until_the_rule_is_taken_away() {
    let (r, a, b, first, second) = two();
    let ignored: Selector = "serial:AAA111".parse().unwrap();
    let rules = Rules { ignored: vec![ignored], retired: vec![second.clone()], ..Rules::default() };
    let (mut r, effects) = restarted(&r, &rules);
    let dropped = |id: &PrinterId, why| Effect::Dropped { id: id.clone(), why };
    let mut dropped = [dropped(&first, Unwanted::Ignored), dropped(&second, Unwanted::Retired)];
    dropped.sort_by_key(|e| effects.iter().position(|f| f == e));
    assert_eq!(effects, dropped);
    for (s, serial, n) in [(&a, "AAA111", 1), (&b, "BBB222", 2)] {
        r.apply(found(s), at(1001));
        assert_eq!(r.apply(answered(&s.key, evidence(Some(serial), Some(uuid(n)))), at(1002)), []);
        assert_eq!(r.apply(found(s), at(1003)), [], "it is not asked again");
    }
    assert_eq!((r.printers().count(), r.quarantined(), r.parked_count()), (0, 0, 2));
    let (mut r, _) = restarted(&r, &Rules::default());
    assert_eq!(adopt(&mut r, &a, evidence(Some("AAA111"), Some(uuid(1))), at(1004)), first);
    // By address nobody is asked at all.
    let rules = Rules { ignored: vec!["10.0.0.0/24".parse().unwrap()], ..Rules::default() };
    let mut r = Registry::restore([], &rules, at(0)).0;
    assert_eq!((r.apply(found(&a), at(0)), r.quarantined()), (vec![], 0));
}

#[test]
fn a_retired_host_is_no_printer_with_keys_of_its_own() {
    let s = sighting("A", Ipp, "a.local", 1, Evidence::default());
    let mut r = Registry::default();
    let old = adopt(&mut r, &s, Evidence::default(), at(0));
    let rules = Rules { retired: vec![old.clone()], ..Rules::default() };
    let (mut r, _) = restarted(&r, &rules);
    r.apply(found(&s), at(1001));
    assert_eq!(r.apply(answered(&s.key, Evidence::default()), at(1002)), [], "the same again");
    let (mut r, _) = restarted(&r, &rules);
    // Its successor has the name of the place.
    assert_ne!(adopt(&mut r, &s, evidence(Some("NEW111"), Some(uuid(1))), at(1003)), old);
}

#[test]
fn retired_or_ignored_by_the_id_of_long_ago_is_put_away_for_that_reason() {
    let (r, a, _, first, second) = two();
    let merges = Rules { merges: vec![vec![second.clone(), first.clone()]], ..Rules::default() };
    let (r, _) = restarted(&r, &merges);
    for (rules, why) in [
        (Rules { retired: vec![first.clone()], ..Rules::default() }, Unwanted::Retired),
        (Rules { ignored: vec![Selector::Id(first.clone())], ..Rules::default() }, Unwanted::Ignored),
    ] {
        let (mut r, effects) = restarted(&r, &rules);
        assert_eq!(effects, [Effect::Dropped { id: second.clone(), why }]);
        // The device under the id that was not named.
        let b = sighting("B", Ipp, "b.local", 2, evidence(None, Some(uuid(2))));
        for (s, serial, n) in [(&a, "AAA111", 1), (&b, "BBB222", 2)] {
            r.apply(found(s), at(1001));
            assert_eq!(r.apply(answered(&s.key, evidence(Some(serial), Some(uuid(n)))), at(1002)), []);
        }
        assert_eq!((r.printers().count(), r.quarantined(), r.parked_count()), (0, 0, 2));
    }
}

#[test]
fn a_new_id_takes_along_what_was_noted_under_the_old_one() {
    let mut r = Registry::default();
    let e = evidence(None, Some(uuid(1)));
    let (a, b) = (sighting("A", Ipp, "a.local", 1, e.clone()), sighting("B", Ipp, "b.local", 2, e.clone()));
    let first = adopt(&mut r, &a, e.clone(), at(0));
    r.apply(found(&b), at(1));
    r.apply(answered(&b.key, e.clone()), at(2));
    r.apply(polled(&first, &a.key, e), at(3));
    let second = r.owner(&b.key).unwrap().clone();
    assert!(r.get(&second).unwrap().apart.contains(&first));
    let rules = Rules {
        pins: vec![Pinned { what: "host:a.local".parse().unwrap(), printer: id("front-desk") }],
        ..Rules::default()
    };
    let (r, _) = restarted(&r, &rules);
    assert_eq!(r.get(&second).unwrap().apart, [id("front-desk")]);
    assert_eq!(r.printers().count(), 2);
}

#[test]
fn a_printer_answers_to_its_latest_ids_only() {
    let (r, .., first, _) = two();
    let mut printer = r.get(&first).unwrap().clone();
    for n in 0..MAX_IDS {
        assert!(printer.add_alias(id(&format!("old-{n}"))).is_empty());
    }
    assert_eq!(printer.add_alias(id("newest")), [id("old-0")]);
    assert_eq!(printer.aliases.len(), MAX_IDS);
}

#[test]
fn printers_that_an_administrator_parted_may_have_one_serial_number() {
    let (r, a, b, first, second) = two();
    let split = Split { what: "host:b.local".parse().unwrap(), printer: first.clone() };
    let rules = Rules { splits: vec![split], ..Rules::default() };
    let (mut r, _) = restarted(&r, &rules);
    r.apply(polled(&second, &b.key, evidence(Some("BBB222"), None)), at(1001));
    let printer = r.printers.get_mut(&second).unwrap();
    printer.evidence.serial = Some("AAA111".into());
    r.index_printer(&second);
    assert_eq!((r.owner(&a.key), r.check()), (Some(&first), Ok(())));
    r.rules = Rules::default();
    assert!(r.check().is_err());
}

#[test]
fn approval_is_waited_for_where_it_is_asked_for() {
    let approved = vec!["serial:BBB222".parse().unwrap()];
    let rules = Rules { adoption: Adoption::Approve, approved, ..Rules::default() };
    let mut r = Registry::restore([], &rules, at(0)).0;
    let (_, a, b, ..) = two();
    r.apply(found(&a), at(0));
    let effects = r.apply(answered(&a.key, evidence(Some("AAA111"), None)), at(1));
    let first = r.owner(&a.key).unwrap().clone();
    assert_eq!(effects, [Effect::Pending(first.clone())]);
    let second = adopt(&mut r, &b, evidence(Some("BBB222"), None), at(2));
    assert_eq!(r.get(&second).unwrap().standing, Standing::Adopted);
    let approve = |approved| Event::Approved { id: first.clone(), approved };
    assert_eq!(r.apply(approve(true), at(3)), [Effect::Adopted(first.clone())]);
    assert_eq!(r.apply(approve(true), at(3)), []);
    assert_eq!(r.apply(approve(false), at(4)), [Effect::Pending(first.clone())]);
    let (r, effects) = restarted(&r, &Rules::default());
    assert_eq!(effects, [Effect::Adopted(first.clone())]);
    assert_eq!(r.get(&first).unwrap().standing, Standing::Adopted);
}

#[test]
fn a_pin_gives_the_id_whatever_the_evidence_says() {
    let (r, a, _, first, second) = two();
    // An id that is not known yet.
    let pin = |what: &str, printer: &PrinterId| Pinned { what: what.parse().unwrap(), printer: printer.clone() };
    let rules = Rules { pins: vec![pin("serial:AAA111", &id("front-desk"))], ..Rules::default() };
    let (again, effects) = restarted(&r, &rules);
    assert!(effects.contains(&Effect::Merged { survivor: id("front-desk"), absorbed: first.clone() }), "{effects:?}");
    assert_eq!(again.get(&first).map(|p| p.id.clone()), Some(id("front-desk")));
    let mut fresh = Registry::restore([], &rules, at(0)).0;
    assert_eq!(adopt(&mut fresh, &a, evidence(Some("AAA111"), None), at(1)), id("front-desk"));
    // One that is: what is at the place is that printer.
    let rules = Rules { pins: vec![pin("host:new.local", &second)], ..Rules::default() };
    let (mut r, _) = restarted(&r, &rules);
    let new = sighting("N", Ipp, "new.local", 9, evidence(None, Some(uuid(7))));
    r.apply(found(&new), at(1001));
    assert_eq!(r.owner(&new.key), Some(&second));
    assert!(r.why(&second).iter().any(|join| join.because == Because::Pinned));
}

#[test]
fn merges_and_splits_hold_across_starts() {
    let (r, a, b, first, second) = two();
    let merges = Rules { merges: vec![vec![second.clone(), first.clone()]], ..Rules::default() };
    let (one, effects) = restarted(&r, &merges);
    assert!(effects.contains(&Effect::Merged { survivor: second.clone(), absorbed: first.clone() }), "{effects:?}");
    assert_eq!((one.owner(&a.key), one.printers().count()), (Some(&second), 1));
    assert_eq!(one.get(&first).map(|p| &p.id), Some(&second));

    let split = |what: &str| Split { what: what.parse().unwrap(), printer: second.clone() };
    let rules = Rules {
        splits: vec![split("host:a.local"), split("serial:AAA111"), split(&format!("uuid:{}", uuid(1)))],
        ..Rules::default()
    };
    let (mut two, _) = restarted(&one, &rules);
    let own = two.owner(&a.key).unwrap().clone();
    assert_ne!(own, second);
    assert_eq!((two.owner(&b.key), two.printers().count()), (Some(&second), 2));
    two.apply(polled(&own, &a.key, evidence(Some("AAA111"), Some(uuid(1)))), at(1001));
    let (again, effects) = restarted(&two, &rules);
    assert_eq!((again.owner(&a.key), again.owner(&b.key), effects), (Some(&own), Some(&second), vec![]));
}

#[test]
fn two_thousand_printers_are_looked_up_not_searched() {
    let mut r = Registry::default();
    let kinds = [(Ipp, "ipp"), (Ipps, "ipps")];
    for n in 0..MAX_PRINTERS {
        let ip = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + u32::try_from(n).unwrap()));
        let host = format!("p{n}.local");
        for (kind, _) in kinds {
            let mut s = sighting(&format!("P{n}"), kind, &host, 0, evidence(None, None));
            s.endpoint.addresses = vec![ip];
            r.apply(found(&s), at(0));
            if kind == Ipp {
                r.apply(answered(&s.key, evidence(Some(&format!("SER{n:05}")), None)), at(0));
            }
        }
        let mut raw =
            print_port(&format!("P{n}._pdl-datastream._tcp.local."), EndpointKind::AppSocket, &host, 0, 9100, "");
        (raw.endpoint.addresses, raw.name) = (vec![ip], format!("P{n}"));
        r.apply(found(&raw), at(0));
        let mut swept = print_port(&format!("snmp:{ip}"), EndpointKind::Snmp, &ip.to_string(), 0, 161, "");
        (swept.endpoint.addresses, swept.evidence) = (vec![ip], evidence(Some(&format!("SER{n:05}")), None));
        r.apply(found(&swept), at(0));
    }
    assert_eq!((r.printers().count(), r.quarantined()), (MAX_PRINTERS, 0));
    assert!(r.printers().all(|p| p.endpoints.len() == 4));
    r.check().unwrap();
}

/// What is found only where an agent is: the agent, and the print ports that it lists.
fn listed(ip: u8, said: &Evidence) -> [Sighting; 2] {
    let address = format!("10.0.0.{ip}");
    let key = format!("snmp:{address}/appsocket:9100");
    let raw = print_port(&key, EndpointKind::AppSocket, &address, ip, 9100, "");
    [agent(ip, said.clone()), Sighting { evidence: said.clone(), ..raw }]
}

#[test]
fn printers_known_by_their_agents_alone_that_swap_addresses_swap_their_print_ports() {
    let mut r = Registry::default();
    let said = [of(Some("AAA111"), "001122000001"), of(Some("BBB222"), "001122000002")];
    for (ip, said) in [(1, &said[0]), (2, &said[1])] {
        listed(ip, said).iter().for_each(|s| drop(r.apply(found(s), at(0))));
    }
    let ids = ["snmp:10.0.0.1", "snmp:10.0.0.2"].map(|key| r.owner(key).unwrap().clone());
    assert_ne!(ids[0], ids[1]);
    // The first one is polled, and the second one answers: it is asked whether it is still where it was, too.
    let effects = r.apply(over_snmp(&ids[0], "snmp:10.0.0.1", said[1].clone()), at(100));
    let asked = |e: &Effect| matches!(e, Effect::Probe { key, .. } if key == "snmp:10.0.0.2");
    assert!(effects.iter().any(asked), "{effects:?}");
    assert_eq!(r.owner("snmp:10.0.0.1/appsocket:9100"), Some(&ids[1]));
    r.apply(answered("snmp:10.0.0.2", said[0].clone()), at(101));
    for (ip, id) in [(1, &ids[1]), (2, &ids[0])] {
        for key in [format!("snmp:10.0.0.{ip}"), format!("snmp:10.0.0.{ip}/appsocket:9100")] {
            assert_eq!(r.owner(&key), Some(id), "{key}");
        }
    }
    assert_eq!(r.printers().map(|p| p.endpoints.len()).collect::<Vec<_>>(), [2, 2]);
    // Each is there, and nothing more is asked.
    for (ip, id, said) in [(2, &ids[0], &said[0]), (1, &ids[1], &said[1])] {
        let effects = r.apply(over_snmp(id, &format!("snmp:10.0.0.{ip}"), said.clone()), at(102));
        assert!(!effects.iter().any(|e| matches!(e, Effect::Probe { .. })), "{effects:?}");
    }
}

#[test]
fn a_printer_announced_at_another_address_leaves_what_an_agent_listed_where_it_was() {
    let (mut r, a, b, first, second) = two();
    let said = [of(Some("AAA111"), "001122000001"), of(Some("BBB222"), "001122000002")];
    for (ip, said) in [(1, &said[0]), (2, &said[1])] {
        listed(ip, said).iter().for_each(|s| drop(r.apply(found(s), at(10))));
    }
    assert_eq!(r.owner("snmp:10.0.0.1/appsocket:9100"), Some(&first));
    let at_address = |s: &Sighting, ip| Sighting {
        endpoint: Endpoint { addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, ip))], ..s.endpoint.clone() },
        ..s.clone()
    };
    let mut asked = Vec::new();
    for (s, ip) in [(&a, 2), (&b, 1)] {
        asked.extend(r.apply(found(&at_address(s, ip)), at(2000)).into_iter().filter_map(|e| match e {
            Effect::Probe { key, .. } => Some(key),
            _ => None,
        }));
    }
    assert_eq!(asked, ["snmp:10.0.0.1", "snmp:10.0.0.2"]);
    r.apply(answered("snmp:10.0.0.1", said[1].clone()), at(2001));
    r.apply(answered("snmp:10.0.0.2", said[0].clone()), at(2001));
    for (ip, id) in [(1, &second), (2, &first)] {
        assert_eq!(r.owner(&format!("snmp:10.0.0.{ip}/appsocket:9100")), Some(id));
    }
    assert_eq!((r.owner(&a.key), r.owner(&b.key)), (Some(&first), Some(&second)));
    // One that left nothing but an empty place: what was listed there works no more.
    let mut r = Registry::default();
    for s in listed(1, &said[0]).iter().chain(&listed(3, &said[0])) {
        r.apply(found(s), at(0));
    }
    let id = r.owner("snmp:10.0.0.3").unwrap().clone();
    r.apply(Event::ProbeFailed { key: "snmp:10.0.0.1".into() }, at(20));
    let printer = r.get(&id).unwrap();
    let failing = |ip: u8| {
        let there = |e: &&KnownEndpoint| e.key.starts_with(&format!("snmp:10.0.0.{ip}"));
        printer.endpoints.iter().filter(there).filter(|e| e.failing_since.is_some()).count()
    };
    assert_eq!((failing(1), failing(3)), (2, 0));
}

#[test]
fn printers_with_a_serial_number_each_are_no_possible_duplicates() {
    let mut r = Registry::default();
    for (n, host, serial) in [(1, "a.local", Some("AAA111")), (2, "b.local", Some("BBB222")), (3, "c.local", None)] {
        let s = Sighting { name: "Laser".into(), ..sighting(host, Ipp, host, n, Evidence::default()) };
        adopt(&mut r, &s, evidence(serial, None), at(i64::from(n)));
    }
    let doubts = r.possible_duplicates();
    assert!(doubts.iter().all(|d| d.because == Doubt::NameAndModel));
    assert_eq!(doubts.len(), 2, "the one without a number may be either: {doubts:?}");
}
