//! Tests of the book: changes, bounds, print ports, queues.

use super::*;
use crate::domain::endpoint::EndpointKind;
use proptest::prelude::*;

const SETTLE: Duration = Duration::from_secs(1);

fn book(max: usize) -> Book {
    Book::new(PrinterPolicy { allowed: vec!["10.0.0.0/8".parse().unwrap()] }, Accept::default(), max, SETTLE)
}

fn record(name: &str, note: &str, port: u16) -> Announcement {
    Announcement {
        kind: EndpointKind::Ipp,
        service_type: "_ipp._tcp.local.".into(),
        subtype: None,
        fullname: format!("{name}._ipp._tcp.local."),
        host: format!("{name}.local."),
        port,
        addresses: vec![("10.0.0.1".parse().unwrap(), 0)],
        txt: vec![("note".into(), note.into())],
    }
}

fn raw(host: &str, port: u16) -> RawPort {
    RawPort { host: host.into(), addresses: vec![], port }
}

fn all(book: &mut Book, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| book.take(now))
        .map(|event| match event {
            DiscoveryEvent::Found(seen) => format!("+{} {}", seen.name, seen.location.unwrap_or_default()),
            DiscoveryEvent::Lost { key } => format!("-{key}"),
            DiscoveryEvent::Withdrawn { key } => format!("!{key}"),
        })
        .collect()
}

#[test]
fn the_same_again_is_not_reported_and_a_change_is_once_it_settled() {
    let (mut book, t0) = (book(9), Instant::now());
    assert_eq!(book.seen(record("a", "x", 631), t0), Outcome::Kept);
    book.seen(record("a", "x", 631), t0);
    assert_eq!(all(&mut book, t0), ["+a x"]);
    book.seen(record("a", "x", 631), t0);
    assert_eq!(book.next_due(), None);
    book.seen(record("a", "y", 631), t0);
    book.seen(record("a", "z", 631), t0);
    assert_eq!(all(&mut book, t0).len(), 0);
    assert_eq!(all(&mut book, t0 + SETTLE), ["+a z"]);
}

#[test]
fn what_was_reported_is_reported_again_when_it_is_wanted() {
    let (mut book, t0) = (book(9), Instant::now());
    for name in ["a", "b", "c"] {
        book.seen(record(name, "x", 631), t0);
    }
    assert_eq!(all(&mut book, t0).len(), 3);
    book.gone("c._ipp._tcp.local.", t0);
    book.seen(record("b", "y", 631), t0);
    book.seen(record("new", "x", 4010), t0);
    book.tell_again(t0);
    assert_eq!(all(&mut book, t0), ["+a x"]);
    assert_eq!(all(&mut book, t0 + SETTLE), ["+b y", "-c._ipp._tcp.local.", "+new x"]);
    assert_eq!(book.next_due(), None);
}

#[test]
fn a_raw_port_of_an_older_search_counts_no_more() {
    let (mut book, t0) = (book(9), Instant::now());
    let places = PrintPlaces::default();
    book = book.telling(places.clone());
    let here: IpAddr = "10.0.0.1".parse().unwrap();
    let at_631 = RawPort { host: "a.local.".into(), addresses: vec![here], port: 631 };
    book.raw_seen("a._pdl-datastream._tcp.local.", at_631.clone(), t0);
    assert!(places.contains(here, 631));
    assert_eq!(book.seen(record("a", "x", 631), t0), Outcome::Ignored(Ignored::PrintPort));
    assert_eq!(all(&mut book, t0), ["!a._ipp._tcp.local."]);
    // Told again: it stays.
    book.new_session();
    book.raw_seen("a._pdl-datastream._tcp.local.", at_631, t0);
    book.seen(record("a", "x", 631), t0);
    book.drop_older_sessions(t0);
    assert!(places.contains(here, 631));
    assert_eq!(all(&mut book, t0 + SETTLE).len(), 0);
    // Not told again: the printer is back, without being announced anew.
    book.new_session();
    book.seen(record("a", "x", 631), t0);
    assert_eq!(all(&mut book, t0 + SETTLE).len(), 0);
    book.drop_older_sessions(t0 + SETTLE);
    assert!(!places.contains(here, 631));
    assert_eq!(all(&mut book, t0 + SETTLE * 2), ["+a x"]);
}

#[test]
fn a_service_that_was_withdrawn_comes_back_with_its_port() {
    let (mut book, t0) = (book(9), Instant::now());
    book.seen(record("a", "x", 631), t0);
    assert_eq!(all(&mut book, t0), ["+a x"]);
    book.raw_seen("a._pdl-datastream._tcp.local.", raw("a.local.", 631), t0);
    assert_eq!(all(&mut book, t0 + SETTLE), ["!a._ipp._tcp.local."]);
    book.raw_gone("a._pdl-datastream._tcp.local.", t0 + SETTLE);
    assert_eq!(all(&mut book, t0 + SETTLE * 2), ["+a x"]);
}

#[test]
fn a_flood_of_raw_ports_leaves_room_for_those_of_others() {
    let (mut book, t0) = (book(20), Instant::now());
    let places = PrintPlaces::default();
    book = book.telling(places.clone());
    let at = |last: u8, port: u16| {
        let address = IpAddr::from([10, 0, 0, last]);
        RawPort { host: format!("h{last}.local."), addresses: vec![address], port }
    };
    for port in 0..100 {
        let outcome = book.raw_seen(&format!("flood{port}._printer._tcp.local."), at(66, 2_000 + port), t0);
        assert_eq!(outcome == Outcome::Full, port >= 20, "{port}");
    }
    for last in 1..=9 {
        let name = format!("p{last}._pdl-datastream._tcp.local.");
        assert_eq!(book.raw_seen(&name, at(last, 631), t0), Outcome::Replaced, "{last}");
        assert!(places.contains(IpAddr::from([10, 0, 0, last]), 631));
    }
    assert_eq!(book.raw.len(), 20);
    assert_eq!((0..100).filter(|port| places.contains(IpAddr::from([10, 0, 0, 66]), 2_000 + port)).count(), 11);
    drop(book);
    assert!(!places.contains(IpAddr::from([10, 0, 0, 1]), 631));
}

#[test]
fn goodbye_and_hello_within_the_settling_time_is_nothing() {
    let (mut book, t0) = (book(9), Instant::now());
    book.seen(record("a", "x", 631), t0);
    all(&mut book, t0);
    book.gone("a._ipp._tcp.local.", t0);
    book.seen(record("a", "x", 631), t0);
    assert_eq!(all(&mut book, t0 + SETTLE).len(), 0);
    book.gone("a._ipp._tcp.local.", t0);
    assert_eq!(all(&mut book, t0 + SETTLE), ["-a._ipp._tcp.local."]);
    assert_eq!(book.len(), 0);
    book.gone("a._ipp._tcp.local.", t0);
    assert_eq!(all(&mut book, t0 + SETTLE * 2).len(), 0);
}

#[test]
fn what_was_never_reported_is_never_lost() {
    let (mut book, t0) = (book(9), Instant::now());
    book.seen(record("a", "x", 631), t0);
    book.gone("a._ipp._tcp.local.", t0);
    assert_eq!(all(&mut book, t0 + SETTLE).len(), 0);
    assert_eq!(book.len(), 0);
}

#[test]
fn a_device_is_known_by_its_ipp_service_before_its_raw_port() {
    let (mut book, t0) = (book(9), Instant::now());
    let port = Announcement {
        kind: EndpointKind::AppSocket,
        service_type: "_pdl-datastream._tcp.local.".into(),
        fullname: "a._pdl-datastream._tcp.local.".into(),
        txt: vec![],
        ..record("a", "", 9100)
    };
    book.seen(port, t0);
    book.seen(record("a", "x", 8631), t0 + SETTLE);
    assert_eq!(all(&mut book, t0 + SETTLE).len(), 0);
    assert_eq!(all(&mut book, t0 + SETTLE * 2), ["+a x"]);
    assert_eq!(all(&mut book, t0 + SETTLE * 3), ["+a "]);
}

#[test]
fn the_book_is_bounded() {
    let (mut book, t0) = (book(2), Instant::now());
    for name in ["a", "b"] {
        assert_eq!(book.seen(record(name, "", 631), t0), Outcome::Kept);
    }
    assert_eq!(book.seen(record("c", "", 631), t0), Outcome::Full);
    assert_eq!(book.seen(record("b", "new", 631), t0), Outcome::Kept);
    assert_eq!(book.len(), 2);
    assert_eq!(book.raw_seen("r1", raw("x", 1), t0), Outcome::Withdrew(0));
    assert_eq!(book.raw_seen("r2", raw("x", 2), t0), Outcome::Withdrew(0));
    assert_eq!(book.raw_seen("r2", raw("x", 2), t0), Outcome::Kept);
    assert_eq!(book.raw_seen("r3", raw("x", 3), t0), Outcome::Full);
    // Gone makes room, once it was reported.
    all(&mut book, t0);
    book.gone("a._ipp._tcp.local.", t0);
    all(&mut book, t0 + SETTLE);
    assert_eq!(book.seen(record("c", "", 631), t0), Outcome::Kept);
}

#[test]
fn an_announced_raw_port_is_never_ipp() {
    let (mut book, t0) = (book(9), Instant::now());
    // Known before.
    book.raw_seen("a._pdl-datastream._tcp.local.", raw("a.local.", 4000), t0);
    assert_eq!(book.seen(record("a", "", 4000), t0), Outcome::Ignored(Ignored::PrintPort));
    assert_eq!(book.seen(record("b", "", 4000), t0), Outcome::Kept);
    assert_eq!(all(&mut book, t0), ["!a._ipp._tcp.local."], "it may be known from an earlier run");
    book.seen(record("a", "", 4000), t0);
    assert_eq!(all(&mut book, t0).len(), 0, "a print port may be announced at once after it");
    assert_eq!(all(&mut book, t0 + SETTLE), ["+b "]);
    // Known afterwards, by its address.
    let by_address = RawPort { host: "other.local.".into(), addresses: vec!["10.0.0.1".parse().unwrap()], port: 4000 };
    assert_eq!(book.raw_seen("b._printer._tcp.local.", by_address, t0), Outcome::Withdrew(1));
    assert_eq!(all(&mut book, t0 + SETTLE), ["!b._ipp._tcp.local."]);
}

fn at(name: &str, address: &str) -> Announcement {
    Announcement { addresses: vec![(address.parse().unwrap(), 0)], ..record(name, "", 631) }
}

#[test]
fn one_machine_that_announces_thousands_pushes_out_its_own_only() {
    let (mut book, t0) = (book(10), Instant::now());
    book.seen(at("real1", "10.0.0.1"), t0);
    for n in 0..50 {
        let outcome = book.seen(at(&format!("fake{n}"), "10.0.0.66"), t0);
        assert_eq!(outcome, if n < 9 { Outcome::Kept } else { Outcome::Full });
    }
    assert_eq!(all(&mut book, t0).len(), 10);
    // A printer that comes later finds its place.
    assert_eq!(book.seen(at("real2", "10.0.0.2"), t0), Outcome::Replaced);
    assert_eq!(book.next_due(), Some(t0));
    assert_eq!(all(&mut book, t0), ["-fake8._ipp._tcp.local.", "+real2 "]);
    // One that was pushed out and comes again is first lost, then found.
    for name in ["real3", "real4", "real5", "real6"] {
        book.seen(at(name, &name.replace("real", "10.0.0.")), t0);
    }
    assert_eq!(book.len(), 10);
    assert_eq!(book.seen(at("fake4", "10.0.0.7"), t0), Outcome::Replaced);
    let told = all(&mut book, t0);
    assert_eq!(
        told.iter().filter(|told| told.contains("fake4")).collect::<Vec<_>>(),
        ["-fake4._ipp._tcp.local.", "+fake4 "]
    );
}

#[test]
fn of_thousands_of_addresses_the_oldest_goes() {
    let (mut book, t0) = (book(3), Instant::now());
    for n in 1..=5 {
        book.seen(at(&format!("p{n}"), &format!("10.0.0.{n}")), t0);
        all(&mut book, t0);
    }
    let mut left: Vec<_> = book.entries.keys().map(|key| key.split('.').next().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, ["p3", "p4", "p5"]);
    // Nobody listens: at some time nothing more can be pushed out.
    for n in 6..=50 {
        book.seen(at(&format!("p{n}"), &format!("10.0.0.{n}")), t0);
    }
    assert!(book.pushed_out.len() <= 3 && book.len() == 3);
}

#[test]
fn many_queues_on_one_host_are_a_computers() {
    let (mut book, t0) = (book(9), Instant::now());
    let queue = |name: &str, host: &str| Announcement {
        host: host.into(),
        txt: vec![("rp".into(), format!("printers/{name}").into())],
        ..record(name, "", 631)
    };
    for name in ["a", "b", "c"] {
        assert_eq!(book.seen(queue(name, "box.local."), t0), Outcome::Kept);
        assert_eq!(book.seen(queue(&format!("pc-{name}"), "pc.local."), t0), Outcome::Kept);
    }
    // The same queue over TLS is no further one.
    let tls = Announcement {
        kind: EndpointKind::Ipps,
        service_type: "_ipps._tcp.local.".into(),
        fullname: "a._ipps._tcp.local.".into(),
        ..queue("a", "box.local.")
    };
    assert_eq!(book.seen(tls, t0), Outcome::Kept);
    assert_eq!(book.seen(queue("pc-d", "PC.local."), t0), Outcome::Ignored(Ignored::SharedQueue));
    assert_eq!(all(&mut book, t0 + SETTLE * 2).len(), 0, "what may be a computer's is waited for");
    let mut told = all(&mut book, t0 + SETTLE * 3);
    told.sort();
    assert_eq!(told, ["+a ", "+a ", "+b ", "+c "]);
    // Wanted: taken.
    book.accept.shares = true;
    assert_eq!(book.seen(queue("pc-d", "pc.local."), t0), Outcome::Kept);
}

#[test]
fn what_a_new_subscription_does_not_tell_again_is_lost() {
    let (mut book, t0) = (book(9), Instant::now());
    book.seen(record("a", "", 631), t0);
    book.seen(record("b", "", 631), t0);
    all(&mut book, t0);
    book.new_session();
    book.seen(record("a", "", 631), t0);
    book.drop_older_sessions(t0);
    assert_eq!(all(&mut book, t0 + SETTLE), ["-b._ipp._tcp.local."]);
}

proptest! {
    /// Whatever happens in whatever order, a listener's picture ends as the book's, and events alternate properly.
    #[test]
    fn a_listener_ends_with_the_present_picture(steps in proptest::collection::vec((0_u8..5, 0_u8..4, 0_u16..3, 0_u64..3), 0..80)) {
        let mut book = book(3);
        let mut now = Instant::now();
        let mut picture: HashMap<String, Sighting> = HashMap::new();
        let mut listen = |book: &mut Book, now| -> Result<(), TestCaseError> {
            while let Some(event) = book.take(now) {
                match event {
                    DiscoveryEvent::Found(seen) => {
                        let again = picture.insert(seen.key.clone(), (*seen).clone());
                        prop_assert_ne!(again.as_ref(), Some(&*seen));
                    }
                    DiscoveryEvent::Lost { key } => prop_assert!(picture.remove(&key).is_some()),
                    // Perhaps known from an earlier run.
                    DiscoveryEvent::Withdrawn { key } => drop(picture.remove(&key)),
                }
            }
            Ok(())
        };
        for (what, who, value, pause) in steps {
            let name = format!("p{who}");
            match what {
                0 | 1 => { book.seen(record(&name, &value.to_string(), 4000 + value), now); }
                2 => book.gone(&format!("{name}._ipp._tcp.local."), now),
                3 => { book.raw_seen(&name, raw(&format!("{name}.local."), 4000 + value), now); }
                _ => book.raw_gone(&name, now),
            }
            now += Duration::from_millis(pause * 700);
            listen(&mut book, now)?;
            prop_assert!(book.len() <= 3 && book.raw.len() <= 3 && book.withdrawn.len() <= 3);
        }
        listen(&mut book, now + SETTLE)?;
        let current: HashMap<String, Sighting> =
            book.entries.iter().filter_map(|(key, entry)| Some((key.clone(), entry.current.clone()?))).collect();
        prop_assert_eq!(picture, current);
        prop_assert!(book.due.is_empty());
    }
}
