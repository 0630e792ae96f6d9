//! The registry: single rules by example, the invariants on random histories of a small office.

mod agents;
mod asking;
mod doubts;
mod model;
mod parting;
mod patience;
mod places;
mod room;
mod rules;

use super::*;
use crate::domain::endpoint::EndpointKind;
use crate::domain::identity::{self, Fallback};
use crate::domain::sighting::Evidence;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn uuid(n: u8) -> String {
    format!("1c852a4d-b800-1f08-abcd-d4c9ef00c3{n:02x}")
}

fn evidence(serial: Option<&str>, uuid: Option<String>) -> Evidence {
    Evidence { make: Some("HP".into()), model: Some("M402".into()), serial: serial.map(Into::into), uuid, macs: vec![] }
}

fn sighting(instance: &str, kind: EndpointKind, host: &str, ip: u8, evidence: Evidence) -> Sighting {
    let service = if kind == EndpointKind::Ipps { "_ipps" } else { "_ipp" };
    Sighting {
        key: format!("{instance}.{service}._tcp.local."),
        name: instance.into(),
        host: host.into(),
        endpoint: Endpoint {
            kind,
            host: host.into(),
            addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, ip))],
            scope_id: 0,
            port: 631,
            path: "/ipp/print".into(),
        },
        priority: 0,
        evidence,
        location: None,
        formats: vec![],
    }
}

fn found(s: &Sighting) -> Event {
    Event::Sighting(Box::new(s.clone()))
}

fn answered(key: &str, evidence: Evidence) -> Event {
    let identity = Identity { evidence, name: None, location: None, pin: None };
    Event::ProbeAnswered { key: key.into(), identity: Box::new(identity) }
}

fn polled(id: &PrinterId, key: &str, evidence: Evidence) -> Event {
    let identity = Identity { evidence, name: None, location: None, pin: None };
    Event::PollAnswered { id: id.clone(), key: key.into(), identity: Box::new(identity), over: Source::Ipp }
}

/// Takes a sighting and answers its probe; returns the id.
fn adopt(registry: &mut Registry, s: &Sighting, answer: Evidence, now: Timestamp) -> PrinterId {
    registry.apply(found(s), now);
    registry.apply(answered(&s.key, answer), now);
    registry.owner(&s.key).unwrap().clone()
}

use EndpointKind::{Ipp, Ipps};

#[test]
fn an_id_is_minted_only_after_the_probe_answered() {
    let mut r = Registry::default();
    let s = sighting("Laser", Ipp, "hp1.local", 1, evidence(None, Some(uuid(1))));
    let effects = r.apply(found(&s), at(0));
    assert_eq!(effects, [Effect::Probe { key: s.key.clone(), endpoint: s.endpoint.clone() }]);
    assert_eq!((r.printers().count(), r.quarantined()), (0, 1));
    // Seen again meanwhile: no second probe.
    assert_eq!(r.apply(found(&s), at(1)), []);
    let effects = r.apply(answered(&s.key, evidence(Some("PHB1234567"), None)), at(2));
    let id = r.owner(&s.key).unwrap().clone();
    assert_eq!(effects, [Effect::Adopted(id.clone())]);
    assert_eq!(id, identity::mint(&evidence(Some("PHB1234567"), None), &Fallback::default()));
}

#[test]
fn ipp_and_ipps_of_one_host_are_one_printer_and_tls_comes_first() {
    let mut r = Registry::default();
    let e = evidence(None, Some(uuid(1)));
    let plain = sighting("Laser", Ipp, "hp1.local", 1, e.clone());
    let tls = sighting("Laser", Ipps, "HP1.local", 1, e.clone());
    let id = adopt(&mut r, &plain, e.clone(), at(0));
    assert_eq!(r.apply(found(&tls), at(1)), [Effect::Changed(id.clone())]);
    let keys: Vec<_> = r.get(&id).unwrap().preferred().iter().map(|e| e.key.clone()).collect();
    assert_eq!(keys, [tls.key.clone(), plain.key.clone()]);

    // The same before the probe: one device waits, not two; TLS failing leaves the plain one to be asked.
    let mut r = Registry::default();
    r.apply(found(&plain), at(0));
    assert_eq!(r.apply(found(&tls), at(0)), []);
    assert_eq!(r.quarantined(), 1);
    let next = r.apply(Event::ProbeFailed { key: plain.key }, at(1));
    assert_eq!(next, [Effect::Probe { key: tls.key.clone(), endpoint: tls.endpoint }]);
    let effects = r.apply(Event::ProbeFailed { key: tls.key }, at(2));
    assert_eq!(effects, [Effect::Adopted(id)]);
}

/// A way to print without questions, as announced or listed.
fn print_port(key: &str, kind: EndpointKind, host: &str, ip: u8, port: u16, path: &str) -> Sighting {
    let mut s = sighting(key, kind, host, ip, Evidence::default());
    (s.key, s.endpoint.port, s.endpoint.path) = (key.to_owned(), port, path.to_owned());
    s
}

#[test]
fn a_print_port_at_a_printers_address_is_that_printer_whichever_comes_first() {
    let e = evidence(None, Some(uuid(1)));
    let ipp = sighting("Laser", Ipp, "hp1.local", 1, e.clone());
    let listed = print_port("list:1", EndpointKind::AppSocket, "10.0.0.1", 1, 9100, "");
    let lpd = print_port("Other name._printer._tcp.local.", EndpointKind::Lpd, "hp1.local", 1, 515, "/auto");

    let mut r = Registry::default();
    let id = adopt(&mut r, &ipp, e.clone(), at(0));
    assert_eq!(r.apply(found(&listed), at(1)), [Effect::Changed(id.clone())]);
    assert_eq!(r.apply(found(&lpd), at(1)), [Effect::Changed(id.clone())]);
    assert_eq!(r.get(&id).unwrap().preferred()[0].endpoint.kind, Ipp, "IPP before the ports that answer nothing");
    assert_eq!(r.snmp_endpoint(&id).unwrap().key, ipp.key);

    // The list first, with an agent that says nothing of who it is.
    let mut r = Registry::default();
    r.apply(found(&listed), at(0));
    r.apply(Event::ProbeFailed { key: listed.key.clone() }, at(1));
    let listed_id = r.owner(&listed.key).unwrap().clone();
    r.apply(found(&ipp), at(2));
    r.apply(answered(&ipp.key, e), at(3));
    assert_eq!((r.owner(&ipp.key), r.printers().count()), (Some(&listed_id), 1));
}

#[test]
fn the_agent_of_a_print_server_speaks_for_none_of_its_ports_and_queues() {
    let mut r = Registry::default();
    for (n, port) in [9100, 9101, 9102].into_iter().enumerate() {
        let s = print_port(&format!("list:{n}"), EndpointKind::AppSocket, "10.0.0.5", 5, port, "");
        r.apply(found(&s), at(0));
        r.apply(Event::ProbeFailed { key: s.key.clone() }, at(1));
    }
    assert_eq!(r.printers().count(), 3, "three ports, three printers");
    assert!(r.printers().all(|p| r.snmp_endpoint(&p.id).is_none()));
    let queue = sighting("Q", Ipp, "cups.local", 6, evidence(None, Some(uuid(6))));
    let queue = Sighting { endpoint: Endpoint { path: "/printers/q".into(), ..queue.endpoint.clone() }, ..queue };
    let id = adopt(&mut r, &queue, Evidence::default(), at(2));
    assert_eq!(r.snmp_endpoint(&id), None);
}

#[test]
fn an_agent_that_says_little_leaves_the_id_to_what_the_printer_says_over_ipp() {
    let mut r = Registry::default();
    let raw = print_port("Laser._pdl-datastream._tcp.local.", EndpointKind::AppSocket, "hp1.local", 1, 9100, "");
    let ipp = sighting("Laser", Ipp, "hp1.local", 1, Evidence::default());
    r.apply(found(&raw), at(0));
    r.apply(found(&ipp), at(0));
    let weak = Evidence { make: Some("HP".into()), ..Evidence::default() };
    let next = r.apply(answered(&raw.key, weak), at(1));
    assert_eq!(next, [Effect::Probe { key: ipp.key.clone(), endpoint: ipp.endpoint.clone() }]);
    r.apply(answered(&ipp.key, evidence(Some("PHB1234567"), None)), at(2));
    let by_serial = identity::mint(&evidence(Some("PHB1234567"), None), &Fallback::default());
    assert_eq!(r.owner(&raw.key), Some(&by_serial));
}

#[test]
fn tls_that_failed_is_tried_again_after_half_an_hour() {
    let mut r = Registry::default();
    let e = evidence(Some("PHB1234567"), Some(uuid(1)));
    let (plain, tls) = (sighting("A", Ipp, "a.local", 1, e.clone()), sighting("A", Ipps, "a.local", 1, e.clone()));
    let id = adopt(&mut r, &plain, e.clone(), at(0));
    r.apply(found(&tls), at(0));
    let first = |r: &Registry| r.get(&id).unwrap().preferred()[0].endpoint.kind;
    assert_eq!(first(&r), Ipps);
    let failed = Event::EndpointFailed { id: id.clone(), key: tls.key };
    assert_eq!(r.apply(failed.clone(), at(60)), [Effect::Changed(id.clone())]);
    assert_eq!(r.apply(failed, at(61)), []);
    r.apply(polled(&id, &plain.key, e.clone()), at(62));
    assert_eq!(first(&r), Ipp);
    assert_eq!(r.apply(polled(&id, &plain.key, e), at(60 + 30 * 60)), [Effect::Changed(id.clone())]);
    assert_eq!(first(&r), Ipps);
}

#[test]
fn a_new_address_or_name_keeps_the_id() {
    let mut r = Registry::default();
    let e = evidence(Some("PHB1234567"), Some(uuid(1)));
    let old = sighting("Laser", Ipp, "hp1.local", 1, evidence(None, Some(uuid(1))));
    let id = adopt(&mut r, &old, e.clone(), at(0));
    // The same service under another address.
    let moved = sighting("Laser", Ipp, "hp1.local", 77, evidence(None, Some(uuid(1))));
    assert_eq!(r.apply(found(&moved), at(10)), [Effect::Changed(id.clone())]);
    // Renamed, other host name, no goodbye: the serial decides.
    let renamed = sighting("Laser 2", Ipp, "hp1-2.local", 78, Evidence::default());
    assert_eq!(adopt(&mut r, &renamed, e, at(20)), id);
    assert_eq!(r.printers().count(), 1);
}

#[test]
fn cloned_uuids_do_not_join_two_printers_that_both_answer() {
    let mut r = Registry::default();
    let e = evidence(None, Some(uuid(1)));
    let a = sighting("A", Ipp, "a.local", 1, e.clone());
    let b = sighting("B", Ipp, "b.local", 2, e.clone());
    let first = adopt(&mut r, &a, e.clone(), at(0));
    r.apply(found(&b), at(1));
    assert_eq!(r.apply(answered(&b.key, e.clone()), at(2)), [Effect::CheckNow(first.clone())]);
    let effects = r.apply(polled(&first, &a.key, e.clone()), at(3));
    let second = r.owner(&b.key).unwrap().clone();
    assert_eq!(effects, [Effect::Adopted(second.clone())]);
    assert_ne!(first, second);

    // The same, but the old place is silent: the printer has moved.
    let mut r = Registry::default();
    let first = adopt(&mut r, &a, e.clone(), at(0));
    r.apply(found(&b), at(1));
    r.apply(answered(&b.key, e), at(2));
    assert_eq!(r.apply(Event::PollFailed { id: first.clone() }, at(3)), [Effect::Changed(first.clone())]);
    assert_eq!(r.owner(&b.key), Some(&first));
}

#[test]
fn an_address_taken_over_by_another_printer_is_taken_from_the_first() {
    let mut r = Registry::default();
    let a = sighting("A", Ipp, "a.local", 1, evidence(None, Some(uuid(1))));
    let first = adopt(&mut r, &a, evidence(Some("AAA111"), Some(uuid(1))), at(0));
    let effects = r.apply(polled(&first, &a.key, evidence(Some("BBB222"), Some(uuid(2)))), at(1));
    let second = r.owner(&a.key).unwrap().clone();
    assert_eq!(effects, [Effect::Changed(first.clone()), Effect::Adopted(second.clone())]);
    assert!(r.get(&first).unwrap().endpoints.is_empty());
    assert_ne!(first, second);
}

#[test]
fn a_uuid_made_anew_at_each_start_keeps_the_id() {
    let mut r = Registry::default();
    let first = sighting("A", Ipp, "a.local", 1, evidence(None, Some(uuid(1))));
    let id = adopt(&mut r, &first, evidence(None, Some(uuid(1))), at(0));
    let again = sighting("A", Ipp, "a.local", 1, evidence(None, Some(uuid(2))));
    assert_eq!(r.apply(found(&again), at(1)), [Effect::Changed(id.clone())]);
    // That it was answered there is new, and no more than that.
    let renewed = polled(&id, &again.key, evidence(None, Some(uuid(2))));
    assert_eq!(r.apply(renewed.clone(), at(2)), [Effect::Changed(id.clone())]);
    assert_eq!(r.apply(renewed, at(3)), []);
    assert_eq!(r.printers().count(), 1);
}

#[test]
fn a_serial_learned_late_merges_into_the_older_id_which_answers_for_both() {
    let mut r = Registry::default();
    let a = sighting("A", Ipp, "a.local", 1, evidence(None, Some(uuid(1))));
    let b = sighting("B", Ipp, "b.local", 2, evidence(None, Some(uuid(2))));
    let older = adopt(&mut r, &a, evidence(Some("SER123"), Some(uuid(1))), at(0));
    let younger = adopt(&mut r, &b, evidence(None, Some(uuid(2))), at(5));
    let effects = r.apply(polled(&younger, &b.key, evidence(Some("ser123"), Some(uuid(2)))), at(6));
    assert!(effects.contains(&Effect::Merged { survivor: older.clone(), absorbed: younger.clone() }), "{effects:?}");
    assert_eq!(r.get(&younger).map(|p| &p.id), Some(&older));
    assert_eq!(r.printers().count(), 1);
    // Stored and restored, the alias still leads there and the id is not minted for anybody else.
    let restored = Registry::restore(r.printers().cloned(), &Rules::default(), at(9)).0;
    assert_eq!(restored.get(&younger).map(|p| &p.id), Some(&older));
    assert_eq!(restored.check(), Ok(()));
}

#[test]
fn a_contest_is_looked_at_again_when_the_contested_printer_tells_its_serial() {
    let mut r = Registry::default();
    // Nobody answered at A, so that its printer has no serial; its UUID was announced.
    let a = sighting("A", Ipp, "a.local", 1, evidence(None, Some(uuid(3))));
    r.apply(found(&a), at(0));
    r.apply(Event::ProbeFailed { key: a.key.clone() }, at(1));
    let first = r.owner(&a.key).unwrap().clone();
    let b = sighting("B", Ipp, "b.local", 2, evidence(None, Some(uuid(1))));
    let second = adopt(&mut r, &b, evidence(Some("AAA111"), Some(uuid(1))), at(2));
    // B's place answers with that UUID and a serial: the first printer is asked whether it is still there.
    let serial = evidence(Some("CCC333"), Some(uuid(3)));
    let effects = r.apply(polled(&second, &b.key, serial.clone()), at(3));
    assert_eq!(effects, [Effect::Changed(second.clone()), Effect::CheckNow(first.clone())]);
    // It is, and tells the same serial: one printer in two places, not a second one.
    r.apply(polled(&first, &a.key, serial), at(4));
    assert_eq!((r.owner(&a.key), r.owner(&b.key)), (Some(&first), Some(&first)));
    assert_eq!((r.printers().count(), r.quarantined()), (2, 0));
}

#[test]
fn a_serial_that_is_only_announced_joins_too() {
    let mut r = Registry::default();
    let a = sighting("A", Ipp, "a.local", 1, Evidence::default());
    let b = sighting("B", Ipp, "b.local", 2, Evidence::default());
    let older = adopt(&mut r, &a, evidence(Some("AAA111"), None), at(0));
    r.apply(found(&b), at(1));
    r.apply(Event::ProbeFailed { key: b.key.clone() }, at(1));
    let younger = r.owner(&b.key).unwrap().clone();
    let b = Sighting { evidence: evidence(Some("AAA111"), None), ..b };
    let effects = r.apply(found(&b), at(2));
    assert!(effects.contains(&Effect::Merged { survivor: older.clone(), absorbed: younger }), "{effects:?}");
    assert_eq!(r.owner(&b.key), Some(&older));
}

#[test]
fn a_device_whose_last_hope_is_lost_is_adopted_from_what_was_announced() {
    let mut r = Registry::default();
    let e = evidence(None, Some(uuid(1)));
    let (plain, tls) = (sighting("A", Ipp, "a.local", 1, e.clone()), sighting("A", Ipps, "a.local", 1, e));
    r.apply(found(&tls), at(0));
    r.apply(found(&plain), at(0));
    let next = r.apply(Event::ProbeFailed { key: tls.key.clone() }, at(1));
    assert_eq!(next, [Effect::Probe { key: plain.key.clone(), endpoint: plain.endpoint }]);
    // The one whose probe is open goes away: its answer will find no owner, and nobody else is left to ask.
    let effects = r.apply(Event::Lost { key: plain.key }, at(2));
    let id = r.owner(&tls.key).unwrap().clone();
    assert_eq!((effects, r.quarantined()), (vec![Effect::Adopted(id)], 0));
}

#[test]
fn an_empty_database_mints_the_same_ids() {
    let sightings: Vec<_> = (0..9)
        .map(|n| {
            let (instance, host) = (format!("P{n}"), format!("p{n}.local"));
            let e = if n % 3 == 0 { Evidence::default() } else { evidence(None, Some(uuid(n))) };
            sighting(&instance, Ipp, &host, n, e)
        })
        .collect();
    let ids = |order: &mut dyn Iterator<Item = &Sighting>| -> BTreeSet<PrinterId> {
        let mut r = Registry::default();
        for s in order {
            r.apply(found(s), at(0));
            r.apply(Event::ProbeFailed { key: s.key.clone() }, at(1));
        }
        r.printers().map(|p| p.id.clone()).collect()
    };
    let forward = ids(&mut sightings.iter());
    assert_eq!(forward.len(), 9);
    assert_eq!(forward, ids(&mut sightings.iter().rev()));
}

#[test]
fn the_registry_is_bounded_and_says_what_it_refuses() {
    let mut r = Registry::default();
    for n in 0..MAX_PRINTERS + 5 {
        let e = Evidence::default();
        r.apply(found(&sighting(&format!("P{n}"), Ipp, &format!("p{n}.local"), 1, e)), at(0));
    }
    assert_eq!((r.quarantined(), r.refused()), (MAX_PRINTERS, 5));
    let long = sighting(&"x".repeat(600), Ipp, "h.local", 1, Evidence::default());
    assert!(matches!(&r.apply(found(&long), at(0))[..], [Effect::Refused { key, .. }] if key.len() <= 120));
    let mut r = Registry::default();
    let e = evidence(None, Some(uuid(1)));
    let id = adopt(&mut r, &sighting("A", Ipp, "a.local", 1, e.clone()), e.clone(), at(0));
    for n in 0..40 {
        r.apply(found(&sighting(&format!("A{n}"), Ipp, "a.local", 1, e.clone())), at(n));
    }
    assert_eq!(r.get(&id).unwrap().endpoints.len(), MAX_ENDPOINTS);
}

/// A small office: devices with a serial each, most without it in their announcements, some sharing a UUID, seen under
/// changing names and hosts.
#[derive(Debug, Clone)]
enum Step {
    See { device: u8, place: u8, tls: bool },
    Answer { slot: usize },
    Fail { slot: usize },
    Poll { slot: usize, device: Option<u8> },
    Lose { place: u8, tls: bool },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let tls = any::<bool>;
    prop_oneof![
        4 => (0..4u8, 0..6u8, tls()).prop_map(|(device, place, tls)| Step::See { device, place, tls }),
        4 => any::<usize>().prop_map(|slot| Step::Answer { slot }),
        1 => any::<usize>().prop_map(|slot| Step::Fail { slot }),
        3 => (any::<usize>(), proptest::option::of(0..4u8)).prop_map(|(slot, device)| Step::Poll { slot, device }),
        1 => (0..6u8, tls()).prop_map(|(place, tls)| Step::Lose { place, tls }),
        1 => Just(Step::Restart),
    ]
}

fn truth(device: u8) -> Evidence {
    // Devices 0 and 1 share a UUID.
    evidence(Some(&format!("SERIAL{device}")), Some(uuid(device.max(1))))
}

fn announced(device: u8) -> Evidence {
    match device {
        2 => Evidence::default(),
        3 => truth(device),
        _ => Evidence { serial: None, ..truth(device) },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn never_two_printers_with_one_serial_and_never_a_broken_invariant(steps in proptest::collection::vec(step(), 1..60)) {
        let mut r = Registry::default();
        // Who is at which key in truth, and which probes are open.
        let mut there: BTreeMap<String, u8> = BTreeMap::new();
        let mut probes: Vec<String> = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            let now = at(n as i64);
            let take = |probes: &mut Vec<String>, slot: usize| {
                (!probes.is_empty()).then(|| probes.remove(slot % probes.len()))
            };
            let event = match step {
                Step::See { device, place, tls } => {
                    let kind = if tls { Ipps } else { Ipp };
                    let s = sighting(&format!("P{place}"), kind, &format!("h{place}.local"), place, announced(device));
                    there.insert(s.key.clone(), device);
                    found(&s)
                }
                Step::Answer { slot } => {
                    let Some(key) = take(&mut probes, slot) else { continue };
                    let Some(device) = there.get(&key) else { continue };
                    answered(&key, truth(*device))
                }
                Step::Fail { slot } => {
                    let Some(key) = take(&mut probes, slot) else { continue };
                    Event::ProbeFailed { key }
                }
                Step::Poll { slot, device } => {
                    let all: Vec<_> = r.printers()
                        .flat_map(|p| p.endpoints.iter().map(|e| (p.id.clone(), e.key.clone()))).collect();
                    if all.is_empty() { continue }
                    let (id, key) = &all[slot % all.len()];
                    match device.or(there.get(key).copied()) {
                        Some(device) => polled(id, key, truth(device)),
                        None => Event::PollFailed { id: id.clone() },
                    }
                }
                Step::Lose { place, tls } => {
                    let service = if tls { "_ipps" } else { "_ipp" };
                    Event::Lost { key: format!("P{place}.{service}._tcp.local.") }
                }
                Step::Restart => {
                    let rows = serde_json::to_string(&r.printers().cloned().collect::<Vec<_>>()).unwrap();
                    let rows = serde_json::from_str::<Vec<Printer>>(&rows).unwrap();
                    r = Registry::restore(rows, &Rules::default(), now).0;
                    probes.clear();
                    prop_assert_eq!(r.check(), Ok(()));
                    continue;
                }
            };
            let before: BTreeSet<_> = r.printers().map(|p| p.id.clone()).collect();
            for effect in r.apply(event, now) {
                match effect {
                    Effect::Probe { key, .. } => probes.push(key),
                    Effect::Adopted(id) => prop_assert!(r.get(&id).is_some()),
                    _ => {}
                }
            }
            prop_assert_eq!(r.check(), Ok(()));
            // Ids stick: every one that was there still leads to a printer.
            for id in before {
                prop_assert!(r.get(&id).is_some(), "{} is gone", id);
            }
            let mut serials = BTreeSet::new();
            for p in r.printers() {
                if let Some(serial) = &p.evidence.serial {
                    prop_assert!(serials.insert(serial.clone()), "{} twice", serial);
                }
            }
        }
    }
}

#[test]
fn an_endpoint_whose_port_turned_out_to_be_a_print_port_is_asked_no_more() {
    let mut r = Registry::default();
    let s = sighting("a", Ipp, "a.local", 1, Evidence::default());
    let id = adopt(&mut r, &s, Evidence::default(), at(0));
    r.apply(Event::Lost { key: s.key.clone() }, at(1));
    assert_eq!(r.get(&id).unwrap().preferred().len(), 1, "what is only lost is asked again");
    let effects = r.apply(Event::Withdrawn { key: s.key.clone() }, at(2));
    assert_eq!(effects, [Effect::Changed(id.clone())]);
    assert!(r.get(&id).unwrap().preferred().is_empty());
    assert_eq!(r.owner(&s.key), None);
    r.check().unwrap();
}
