//! Floods: who announces thousands of printers keeps no real one out.

use super::*;

fn fake(n: usize, addresses: usize) -> Sighting {
    let mut s = sighting(&format!("F{n}"), Ipp, &format!("f{n}.local"), 0, Evidence::default());
    s.endpoint.addresses = vec![IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + u32::try_from(n % addresses).unwrap()))];
    // At one port there is one printer, whatever it is called.
    s.endpoint.port = 10_000 + u16::try_from(n / addresses).unwrap();
    s
}

/// Announced, and silent when asked.
fn silent(r: &mut Registry, s: &Sighting, now: Timestamp) {
    for effect in r.apply(found(s), now) {
        if let Effect::Probe { key, .. } = effect {
            r.apply(Event::ProbeFailed { key }, now);
        }
    }
}

/// Fifty printers that answer, at addresses from `first` on: each is adopted, once.
fn real_ones_get_in(r: &mut Registry, first: u32, now: Timestamp) {
    let mut ids = BTreeSet::new();
    for n in 0..50u32 {
        let mut s = sighting(&format!("R{n}"), Ipp, &format!("r{n}.local"), 0, Evidence::default());
        s.endpoint.addresses = vec![IpAddr::V4(Ipv4Addr::from(first + n))];
        r.apply(found(&s), now);
        r.apply(answered(&s.key, evidence(Some(&format!("REAL{n:04}")), None)), now);
        ids.insert(r.owner(&s.key).unwrap_or_else(|| panic!("{} is not adopted", s.key)).clone());
    }
    assert_eq!(ids.len(), 50);
    assert_eq!(r.check(), Ok(()));
}

#[test]
fn ten_thousand_silent_fakes_keep_no_real_printer_out() {
    for (addresses, claimed) in [(1, MAX_CLAIMED_AT), (250, MAX_CLAIMED)] {
        let mut r = Registry::default();
        for n in 0..10_000 {
            silent(&mut r, &fake(n, addresses), at(i64::try_from(n).unwrap() / 100));
        }
        assert_eq!(r.printers().count(), claimed);
        assert_eq!(r.printers().count() + r.quarantined(), MAX_PRINTERS);
        real_ones_get_in(&mut r, 0x0a02_0000, at(200));
        assert_eq!(r.printers().count(), claimed + 50);
    }
}

#[test]
fn ten_thousand_fakes_that_nobody_asked_yet_keep_no_real_printer_out() {
    for addresses in [1, 250] {
        let mut r = Registry::default();
        for n in 0..10_000 {
            r.apply(found(&fake(n, addresses)), at(0));
        }
        assert_eq!((r.printers().count(), r.quarantined()), (0, MAX_PRINTERS));
        real_ones_get_in(&mut r, 0x0a02_0000, at(200));
    }
}

#[test]
fn what_never_answered_waits_when_enough_such_are_known_and_gets_its_id_when_it_answers() {
    let mut r = Registry::default();
    let all: Vec<Sighting> = (0..=MAX_CLAIMED_AT).map(|n| fake(n, 1)).collect();
    all.iter().for_each(|s| silent(&mut r, s, at(0)));
    let last = &all[MAX_CLAIMED_AT];
    assert_eq!((r.printers().count(), r.quarantined(), r.refused()), (MAX_CLAIMED_AT, 1, 1));
    // What an administrator lists is taken.
    let listed = print_port("list:socket://10.1.0.0:9105", EndpointKind::AppSocket, "10.1.0.0", 0, 9105, "");
    let place = Endpoint { addresses: last.endpoint.addresses.clone(), ..listed.endpoint.clone() };
    silent(&mut r, &Sighting { endpoint: place, ..listed.clone() }, at(1));
    assert!(r.owner(&listed.key).is_some());
    // One that answers after all counts no more, also after a start.
    let first = r.owner(&all[0].key).unwrap().clone();
    r.apply(polled(&first, &all[0].key, evidence(Some("AAA111"), None)), at(2));
    assert!(!r.get(&first).unwrap().claimed);
    r.apply(answered(&last.key, evidence(Some("BBB222"), None)), at(3));
    assert!(r.owner(&last.key).is_some());
    // Those that are lost go.
    silent(&mut r, &fake(90, 1), at(4));
    silent(&mut r, &fake(91, 1), at(4));
    let waiting = r.quarantined();
    r.apply(Event::Lost { key: fake(91, 1).key }, at(5));
    assert_eq!(r.quarantined(), waiting - 1);
}

#[test]
fn where_nobody_is_asked_all_are_taken_in() {
    let rules = Rules { unasked: true, ..Rules::default() };
    let mut r = Registry::restore(Vec::new(), &rules, at(0)).0;
    for n in 0..1_000 {
        silent(&mut r, &fake(n, 10), at(0));
    }
    assert_eq!((r.printers().count(), r.quarantined(), r.refused()), (1_000, 0, 0));
}
