//! Tests of the reading of records.

use super::*;
use proptest::prelude::*;

fn policy() -> PrinterPolicy {
    PrinterPolicy { allowed: ["192.168.0.0/16", "fe80::/10", "fd00::/8"].map(|n| n.parse().unwrap()).into() }
}

fn record(txt: &[&str]) -> Announcement {
    Announcement {
        kind: EndpointKind::Ipp,
        service_type: "_ipp._tcp.local.".into(),
        subtype: None,
        fullname: "Acme LP 40 [2nd]._ipp._tcp.local.".into(),
        host: "acme.local.".into(),
        port: 631,
        addresses: vec![("192.168.1.9".parse().unwrap(), 0)],
        txt: txt
            .iter()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()))
            .collect(),
    }
}

fn made(txt: &[&str]) -> Sighting {
    sighting(&record(txt), &policy(), &[]).unwrap()
}

#[test]
fn a_full_record_becomes_a_sighting() {
    let seen = made(&[
        "txtvers=1",
        "rp=ipp/print",
        "ty=Acme LP 40",
        "usb_MFG=Acme",
        "usb_MDL=Acme LP 40",
        "pdl=application/PDF,image/urf,,image/urf",
        "UUID=6F0C1C5E-0b6b-4a7e-9d55-001122334455",
        "priority=30",
        "note=2nd floor",
    ]);
    assert_eq!(seen.name, "Acme LP 40 [2nd]");
    assert_eq!(seen.key, "Acme LP 40 [2nd]._ipp._tcp.local.");
    assert_eq!((seen.host.as_str(), seen.endpoint.uri().as_str()), ("acme.local", "ipp://acme.local/ipp/print"));
    assert_eq!((seen.evidence.make.as_deref(), seen.evidence.model.as_deref()), (Some("Acme"), Some("LP 40")));
    assert_eq!(seen.evidence.uuid.as_deref(), Some("6f0c1c5e-0b6b-4a7e-9d55-001122334455"));
    assert_eq!((seen.priority, seen.location.as_deref()), (30, Some("2nd floor")));
    assert_eq!(seen.formats, ["application/pdf", "image/urf"]);
}

#[test]
fn an_empty_record_is_still_a_printer() {
    let seen = made(&[]);
    assert_eq!((seen.endpoint.path.as_str(), seen.priority), ("/ipp/print", 50));
    assert_eq!(seen.evidence, Evidence::default());
    assert_eq!((seen.location, seen.formats), (None, vec![]));
}

#[test]
fn wrong_values_fall_back() {
    for (txt, priority) in [("priority=100", 50), ("priority=-1", 50), ("priority=", 50), ("priority= 0", 0)] {
        assert_eq!(made(&[txt]).priority, priority, "{txt}");
    }
    for (txt, path) in [
        ("rp=/ipp/print", "/ipp/print"),
        ("rp=//a", "/a"),
        ("rp=", "/"),
        ("RP=ipp", "/ipp"),
        ("rp=a b?c#d", "/a%20b%3Fc%23d"),
        ("rp=a\r\nb", "/ab"),
        ("rp=ü", "/%C3%BC"),
    ] {
        assert_eq!(made(&[txt]).endpoint.path, path, "{txt}");
    }
    assert_eq!(made(&["UUID=00000000-0000-0000-0000-000000000000"]).evidence.uuid, None);
    assert_eq!(made(&["UUID=6f0c1c5e"]).evidence.uuid, None);
    assert_eq!(made(&["mac=00:1B:a9:0b:a7:52"]).evidence.macs, ["001ba90ba752"]);
    assert_eq!(made(&["note=\x1b[31mred\u{202e}\n"]).location.as_deref(), Some("[31mred"));
}

#[test]
fn makers_and_models_are_told_apart() {
    for (txt, make, model) in [
        (
            &["ty=HP LaserJet P3010 Series", "usb_MFG=Hewlett-Packard", "usb_MDL=HP LaserJet P3010 Series"][..],
            Some("Hewlett-Packard"),
            Some("LaserJet P3010 Series"),
        ),
        (&["product=(Hewlett-Packard HP LaserJet CP 1025nw)"], Some("Hewlett-Packard"), Some("LaserJet CP 1025nw")),
        (&["ty=EPSON XP-410 Series"], Some("EPSON"), Some("XP-410 Series")),
        (&["ty=Brother HL-L2390DW[en]"], Some("Brother"), Some("HL-L2390DW")),
        (&["ty=Unknown", "product=(GPL Ghostscript)"], None, None),
        (&["ty=Superprint 9"], None, Some("Superprint 9")),
        (&["ty=HP"], Some("HP"), Some("HP")),
        (&["usb_MFG=Xerox", "usb_MDL=Xeroxish 1"], Some("Xerox"), Some("Xeroxish 1")),
    ] {
        let evidence = made(txt).evidence;
        assert_eq!((evidence.make.as_deref(), evidence.model.as_deref()), (make, model), "{txt:?}");
    }
}

#[test]
fn a_cut_list_of_formats_loses_its_last_item() {
    let whole = ["application/vnd.hp-pcl"; 11].join(",");
    let cut: String = whole.chars().take(251).collect();
    assert_eq!(formats(Some(&cut)), ["application/vnd.hp-pcl"]);
}

#[test]
fn what_is_no_printer_is_ignored_with_its_reason() {
    let check = |change: fn(&mut Announcement), txt: &[&str], raw: &[u16]| {
        let mut record = record(txt);
        change(&mut record);
        sighting(&record, &policy(), raw).map(|seen| seen.name)
    };
    assert_eq!(check(|r| r.port = 0, &[], &[]), Err(Ignored::Placeholder));
    assert_eq!(check(|r| r.port = 9100, &[], &[]), Err(Ignored::PrintPort));
    assert_eq!(check(|r| r.port = 4000, &[], &[4000]), Err(Ignored::PrintPort));
    assert!(check(|r| r.port = 4000, &[], &[4001]).is_ok());
    assert_eq!(check(|_| {}, &["printer-type=0x9056"], &[]), Err(Ignored::SharedQueue));
    assert_eq!(check(|r| r.subtype = Some("_cups._sub._ipp._tcp.local.".into()), &[], &[]), Err(Ignored::SharedQueue));
    assert_eq!(
        check(|r| r.fullname = "a @ b._ipp._tcp.local.".into(), &["rp=printers/a"], &[]),
        Err(Ignored::SharedQueue)
    );
    // A device may use that path.
    assert!(check(|_| {}, &["rp=printers/HP_LaserJet_CP1025nw"], &[]).is_ok());
    assert_eq!(check(|r| r.addresses = vec![("8.8.8.8".parse().unwrap(), 0)], &[], &[]), Err(Ignored::OutsideNetworks));
    assert_eq!(check(|r| r.addresses.clear(), &[], &[]), Err(Ignored::OutsideNetworks));
    assert_eq!(check(|r| r.fullname = "._ipp._tcp.local.".into(), &[], &[]), Err(Ignored::NoName));
    assert_eq!(check(|r| r.fullname = "\u{1}._ipp._tcp.local.".into(), &[], &[]), Err(Ignored::NoName));
}

#[test]
fn computers_and_gateways_are_told_from_devices() {
    let origin_of = |change: fn(&mut Announcement), txt: &[&str]| {
        let mut record = record(txt);
        change(&mut record);
        origin(&record)
    };
    for (origin, txt) in [
        (Origin::Device, &["ty=Acme", "usb_MFG=Acme", "usb_SER=1"][..]),
        (Origin::Shared, &["Printer-Type=0x4"]),
        (Origin::Shared, &["rp=/printers/q", "ty=Acme LP 40 @ pc"]),
        (Origin::Shared, &["rp=classes/all", "printer-state=3"]),
        (Origin::Device, &["rp=ipp/print", "ty=Acme @ home"]),
        (Origin::Usb, &["usb_HWID=VID_03F0&PID_0017"]),
        (Origin::Own, &["printgate-gateway=gw1", "printer-type=0x4"]),
    ] {
        assert_eq!(origin_of(|_| {}, txt), origin, "{txt:?}");
    }
    assert_eq!(origin_of(|r| r.subtype = Some("_CUPS._sub._ipp._tcp.local.".into()), &[]), Origin::Shared);
    let accept = |txt, accept| judge(&record(txt), &policy(), &[], accept).map(|seen| seen.name);
    let all = Accept { shares: true, usb: true };
    assert!(accept(&["printer-type=0x4"], all).is_ok());
    assert!(accept(&["usb_HWID=x"], all).is_ok());
    assert_eq!(accept(&["usb_HWID=x"], Accept { shares: true, usb: false }), Err(Ignored::OverUsb));
    assert_eq!(accept(&["printgate-gateway=gw1"], all), Err(Ignored::Own));
}

#[test]
fn a_web_page_of_a_printer_is_a_hint() {
    let mut web = record(&["path=/"]);
    (web.service_type, web.fullname) = ("_http._tcp.local.".into(), "Old Laser._http._tcp.local.".into());
    web.port = 80;
    let made = hint(&web, &policy()).unwrap();
    assert_eq!((made.name.as_str(), made.host.as_str()), ("Old Laser", "acme.local"));
    assert_eq!(made.addresses, ["192.168.1.9".parse::<IpAddr>().unwrap()]);
    // Its port is never used.
    web.port = 0;
    assert!(hint(&web, &policy()).is_ok());
    web.addresses = vec![("8.8.8.8".parse().unwrap(), 0), ("127.0.0.1".parse().unwrap(), 0)];
    assert_eq!(hint(&web, &policy()), Err(Ignored::OutsideNetworks));
}

#[test]
fn names_that_look_alike_have_keys_that_differ() {
    let plain = key("Laser._ipp._tcp.local.");
    assert_eq!(plain, "Laser._ipp._tcp.local.");
    for odd in ["Laser\u{1}._ipp._tcp.local.", " Laser._ipp._tcp.local.", "La\u{202e}ser._ipp._tcp.local."] {
        let odd = key(odd);
        assert!(odd.starts_with("Laser._ipp._tcp.local.#") && odd.len() <= MAX_KEY, "{odd}");
    }
    assert_ne!(key(&"a".repeat(600)), key(&"a".repeat(601)));
    assert!(key(&"\u{1f5a8}".repeat(300)).len() <= MAX_KEY);
}

#[test]
fn text_of_old_devices_is_read_as_latin_1() {
    let mut latin = record(&[]);
    latin.txt = vec![("note".into(), b"B\xfcro".to_vec())];
    assert_eq!(sighting(&latin, &policy(), &[]).unwrap().location.as_deref(), Some("Büro"));
}

#[test]
fn appsocket_and_lpd_are_places_for_jobs() {
    let raw = |kind, port, txt: &[&str]| {
        let mut record = record(txt);
        (record.kind, record.port) = (kind, port);
        (record.service_type, record.fullname) = match kind {
            EndpointKind::Lpd => ("_printer._tcp.local.".into(), "Old._printer._tcp.local.".into()),
            _ => ("_pdl-datastream._tcp.local.".into(), "Old._pdl-datastream._tcp.local.".into()),
        };
        sighting(&record, &policy(), &[port]).map(|seen| (seen.name, seen.endpoint.uri(), seen.formats))
    };
    let uri = |kind, port, txt: &[&str]| raw(kind, port, txt).map(|(_, uri, _)| uri);
    let (socket, lpd) = (EndpointKind::AppSocket, EndpointKind::Lpd);
    assert_eq!(uri(socket, 9100, &["rp=x"]), Ok("socket://acme.local".into()));
    assert_eq!(uri(socket, 9101, &[]), Ok("socket://acme.local:9101".into()));
    for (txt, queue) in [(&[][..], "auto"), (&["rp="], "auto"), (&["rp=PASSTHRU"], "PASSTHRU")] {
        assert_eq!(uri(lpd, 515, txt), Ok(format!("lpd://acme.local/{queue}")));
    }
    // The flagship that only defends the name.
    assert_eq!(uri(lpd, 0, &[]), Err(Ignored::Placeholder));
    for port in [22, 80, 631] {
        assert_eq!(uri(socket, port, &[]), Err(Ignored::OtherService), "{port}");
    }
    assert_eq!(uri(lpd, 515, &["printer-type=0x4"]), Err(Ignored::SharedQueue));
    let (name, _, formats) =
        raw(socket, 9100, &["pdl=application/postscript", "usb_CMD=PJL,PCL,PostScript,XYZ"]).unwrap();
    assert_eq!(name, "Old");
    assert_eq!(formats, ["application/postscript", "application/vnd.hp-pjl", "application/vnd.hp-pcl"]);
}

#[test]
fn addresses_come_best_first_and_link_local_ones_with_their_interface() {
    let mut record = record(&[]);
    record.addresses = ["fe80::2", "fd00::1", "192.168.1.9", "8.8.8.8", "fe80::1", "192.168.1.8"]
        .iter()
        .map(|text| (text.parse().unwrap(), if text.starts_with("fe80::2") { 7 } else { 3 }))
        .collect();
    let endpoint = sighting(&record, &policy(), &[]).unwrap().endpoint;
    let wanted: Vec<IpAddr> = ["192.168.1.8", "192.168.1.9", "fd00::1", "fe80::1"].map(|t| t.parse().unwrap()).into();
    assert_eq!((endpoint.addresses, endpoint.scope_id), (wanted, 3));
    record.addresses.retain(|(address, _)| !address.to_string().starts_with("fe80"));
    assert_eq!(sighting(&record, &policy(), &[]).unwrap().endpoint.scope_id, 0);
    // Without an interface it leads nowhere.
    record.addresses = vec![("fe80::1".parse().unwrap(), 0)];
    assert_eq!(sighting(&record, &policy(), &[]).unwrap_err(), Ignored::OutsideNetworks);
}

#[test]
fn a_host_that_no_uri_can_hold_is_replaced_by_the_address() {
    let mut record = record(&[]);
    record.host = "my printer/../.local.".into();
    let seen = sighting(&record, &policy(), &[]).unwrap();
    assert_eq!(seen.endpoint.uri(), "ipp://192.168.1.9/ipp/print");
}

#[test]
fn names_are_unescaped() {
    assert_eq!(unescape(r"HP 1\.5 \(x\)\032\\ \3"), r"HP 1.5 \(x\) \ \3");
    assert_eq!(unescape(r"\195\188\999"), "ü\\999");
}

proptest! {
    #[test]
    fn any_record_ends_in_a_bounded_sighting_or_a_reason(
        fullname in "\\PC{0,300}(\\._ipp\\._tcp\\.local\\.)?",
        host in "\\PC{0,300}",
        port: u16,
        subtype in proptest::option::of("\\PC{0,40}"),
        kind in prop_oneof![Just(EndpointKind::Ipps), Just(EndpointKind::AppSocket), Just(EndpointKind::Lpd)],
        addresses in proptest::collection::vec((any::<IpAddr>(), any::<u32>()), 0..40),
        txt in proptest::collection::vec(
            (prop_oneof![
                Just("rp".to_owned()), Just("ty".to_owned()), Just("product".to_owned()), Just("pdl".to_owned()),
                Just("UUID".to_owned()), Just("usb_MFG".to_owned()), Just("usb_MDL".to_owned()),
                Just("priority".to_owned()), Just("note".to_owned()), Just("mac".to_owned()), "\\PC{0,20}",
            ], proptest::collection::vec(any::<u8>(), 0..300)), 0..60),
    ) {
        let record = Announcement {
            kind, service_type: "_ipp._tcp.local.".into(), subtype, fullname, host, port, addresses, txt,
        };
        let all = PrinterPolicy { allowed: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()] };
        if let Ok(seen) = sighting(&record, &all, &[]) {
            let texts = [Some(&seen.name), seen.location.as_ref(), seen.evidence.make.as_ref(), seen.evidence.model.as_ref()];
            for text in texts.into_iter().flatten() {
                prop_assert!(!text.is_empty() && text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control));
            }
            prop_assert!(seen.key.len() <= MAX_KEY);
            let path = &seen.endpoint.path;
            prop_assert!((path.starts_with('/') || kind == EndpointKind::AppSocket) && path.len() <= MAX_PATH);
            prop_assert!(seen.priority <= 99 && seen.formats.len() <= MAX_FORMATS);
            prop_assert!((1..=MAX_ADDRESSES).contains(&seen.endpoint.addresses.len()));
            let print_port = crate::domain::net::is_print_port(seen.endpoint.port);
            prop_assert!(seen.endpoint.port != 0 && !(print_port && kind.is_ipp()));
            prop_assert!(url::Url::parse(&seen.endpoint.uri()).is_ok(), "{}", seen.endpoint.uri());
        }
    }
}
