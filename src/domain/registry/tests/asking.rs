//! Silent devices are asked again, and do not stay unknown.

use super::*;

const LONG: i64 = 900;

/// One of several at one address.
fn quiet(n: u32, last: u8) -> Sighting {
    let mut s = sighting(
        &format!("Q{n} of {last}"),
        Ipp,
        &format!("q{last}.local"),
        last,
        evidence(Some(&format!("SER{last:02}{n:04}")), None),
    );
    s.endpoint.port = 1_000 + u16::try_from(n).unwrap();
    s
}

fn probes(effects: &[Effect]) -> Vec<String> {
    let key = |e: &Effect| if let Effect::Probe { key, .. } = e { Some(key.clone()) } else { None };
    effects.iter().filter_map(key).collect()
}

fn silent(r: &mut Registry, s: &Sighting, now: Timestamp) {
    for key in probes(&r.apply(found(s), now)) {
        r.apply(Event::ProbeFailed { key }, now);
    }
}

/// `count` silent devices at one address, of which as many as may be have an id.
fn crowd(r: &mut Registry, count: u32, last: u8) {
    for n in 0..count {
        silent(r, &quiet(n, last), at(0));
    }
    assert_eq!(r.quarantined(), count as usize - MAX_CLAIMED_AT);
}

#[test]
fn one_that_slept_is_asked_again_and_gets_its_id() {
    let mut r = Registry::default();
    crowd(&mut r, 9, 1);
    let last = quiet(8, 1);
    assert_eq!(r.ask_again(at(LONG - 1)), []);
    assert_eq!(probes(&r.ask_again(at(LONG))), std::slice::from_ref(&last.key));
    assert_eq!(r.ask_again(at(LONG)), [], "it is being asked");
    // In vain: it is held again, without being counted as refused again, and asked again later.
    assert_eq!(r.apply(Event::ProbeFailed { key: last.key.clone() }, at(LONG + 9)), []);
    assert_eq!((r.quarantined(), r.refused()), (1, 1));
    assert_eq!(r.ask_again(at(2 * LONG)), []);
    assert_eq!(probes(&r.ask_again(at(2 * LONG + 9))), std::slice::from_ref(&last.key));
    r.apply(answered(&last.key, last.evidence.clone()), at(2 * LONG + 10));
    assert!(r.owner(&last.key).is_some());
    assert_eq!(r.ask_again(at(9 * LONG)), []);
}

#[test]
fn a_few_at_a_time_and_by_address_in_turn() {
    let mut r = Registry::default();
    crowd(&mut r, 200, 1);
    for last in 2..=9 {
        (0..9).for_each(|n| silent(&mut r, &quiet(n, last), at(0)));
    }
    assert_eq!(r.quarantined(), 192 + 8);
    let mut asked: Vec<String> = Vec::new();
    for round in 0..8 {
        let keys = probes(&r.ask_again(at(LONG + 30 * round)));
        assert!(keys.len() <= 4, "{keys:?}");
        for key in keys {
            r.apply(Event::ProbeFailed { key: key.clone() }, at(LONG + 30 * round));
            asked.push(key);
        }
    }
    // All those at other addresses had their turn, the crowd waits for its own.
    let at_address = |last: u8| asked.iter().filter(|key| key.contains(&format!(" of {last}."))).count();
    for last in 2..=9 {
        assert_eq!(at_address(last), 1, "{last}");
    }
    assert!(at_address(1) >= 3);
}

#[test]
fn a_new_way_to_a_silent_device_is_asked() {
    let mut r = Registry::default();
    let p = sighting("P", Ipp, "p.local", 1, evidence(Some("AAA111"), None));
    let id = adopt(&mut r, &p, evidence(Some("AAA111"), None), at(0));
    let q = sighting("Q", Ipp, "q.local", 2, evidence(Some("AAA111"), None));
    r.apply(found(&q), at(1));
    r.apply(Event::ProbeFailed { key: q.key.clone() }, at(2));
    r.apply(polled(&id, &p.key, evidence(Some("AAA111"), None)), at(3));
    assert_eq!(r.owner(&q.key), None, "the one that has the serial answers elsewhere");
    let tls = sighting("Q", Ipps, "q.local", 2, evidence(Some("AAA111"), None));
    assert_eq!(probes(&r.apply(found(&tls), at(4))), [tls.key]);
}
