//! Who is who: canonical evidence, a stable id from it, and whether two records are one device.
//!
//! ## The ladder
//!
//! Strong keys are the serial number with its maker, the UUID and the addresses of network cards. A printer keeps all it
//! was ever known by (`registry`, aliases); what a device says is compared with all of them ([`compare`]). The first
//! line that applies decides.
//!
//! | evidence | verdict | what follows |
//! |---|---|---|
//! | serial numbers differ | different | apart, whatever else agrees |
//! | serial number and maker agree | same | one printer, wherever both are seen; where the serial was only announced, once the printer that has it is silent or turns out to be there too |
//! | … but all UUIDs and all network cards differ | disputed | one printer (it was rebuilt) once the old place is silent; while both answer, two, listed as possible duplicates |
//! | UUID agrees | same | at the same place at once; elsewhere when the old place does not answer any more; while both answer, two, and the UUID counts as cloned |
//! | … but the network cards differ, or each has another strong key that the other lacks | disputed | one printer on the same host, else two |
//! | … but the models differ | different | apart, except at the same place |
//! | a network card agrees | same | as for the UUID; two cards that agree suffice anywhere at once |
//! | … but the models differ | different | apart |
//! | UUIDs differ | different | apart; under one service name on one host an announced new UUID is the same printer, where nothing more is known of either |
//! | network cards differ | different | apart |
//! | models differ | different | apart, but never the reason to take an endpoint from a printer |
//! | a serial number of two makers | different | apart |
//! | nothing in common | open | by place: a service of the same name on the same host; a print port or an agent at the only printer's address. Strong keys that come with it are taken only when an answer bears them out at the same address at the same time |
//!
//! Host name, name and model, and the address by themselves join nothing over time: they make possible duplicates.
//! Two that have no strong key are one at the same time at one address, IPP port and queue, or under one host name.
//!
//! ## What counts as absent
//!
//! [`canonical`] drops what is known to identify nothing: the all-zero UUID and other repeated digits; serial numbers
//! such as `0`, `N/A`, `XXXXXXX`, `12345678` or the model's own name, and fewer than three characters; MAC addresses of
//! one byte throughout, for many receivers, or that somebody typed (`aabbccddeeff`, `001122334455`, `123456789abc`);
//! `localhost`. A serial number without a known maker is no key. A UUID or MAC
//! address that several printers have is learned to be cloned: it counts as absent elsewhere than at the place of one of
//! them. The node of a version 1 UUID is a MAC address that joins and never parts. Makers are brought to one name
//! (`Hewlett-Packard` and `HP` are `hp`), so that the spelling of a firmware changes nothing.
//!
//! Invariants: [`mint`] depends on canonical evidence only, never on addresses, order or time; evidence that differs
//! in spelling only gives the same id. [`same_device`] is symmetric, and two records whose serials differ are never the
//! same.
//!
//! Not here: when an id is minted and that it sticks, places and times (`registry`).

mod keys;

pub use keys::{Facts, Key, compare};

use super::ids::PrinterId;
use super::makers;
use super::sighting::{Evidence, in_order};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Weak evidence: what is left when a device says nothing of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fallback<'a> {
    /// Host name as announced.
    pub host: Option<&'a str>,
    /// Resource path; a queue's path (`/printers/laser`) tells queues of one host apart.
    pub path: Option<&'a str>,
    /// The port, where it tells printers of one host apart (AppSocket); the usual one does not.
    pub port: Option<u16>,
    /// The name a person sees.
    pub name: Option<&'a str>,
}

/// Whether two records are one device, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// One device.
    Same(Reason),
    /// Two devices.
    Different(Reason),
    /// This strong evidence agrees and all other strong evidence is in conflict: one device that was rebuilt, or a
    /// cloned value. Where and when they were seen decides.
    Disputed(Reason),
    /// The evidence does not say.
    Open,
}

/// What a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Serial and maker.
    Serial,
    /// UUID.
    Uuid,
    /// MAC address.
    Mac,
    /// Model, where everything stronger agrees or is missing.
    Model,
}

/// The evidence with each value in its one spelling, and absent where it identifies nothing.
pub fn canonical(evidence: &Evidence) -> Evidence {
    let make = evidence.make.as_deref().and_then(plain).map(|m| canonical_maker(&m));
    let model = evidence.model.as_deref().and_then(plain).map(|m| without_maker(&m, make.as_deref()));
    let models = [evidence.model.as_deref(), model.as_deref()];
    let serial = evidence.serial.as_deref().and_then(|s| canonical_serial(s, models));
    let uuid = evidence.uuid.as_deref().and_then(canonical_uuid);
    let macs = in_order(evidence.macs.iter().filter_map(|mac| canonical_mac(mac)));
    Evidence { make, model, serial, uuid, macs }
}

/// The id for this evidence: canonical maker, a dash, ten base-32 characters of a hash of the strongest evidence.
pub fn mint(evidence: &Evidence, fallback: &Fallback<'_>) -> PrinterId {
    let mut all = candidates(evidence, fallback);
    if all.is_empty() { hashed("printer", "nothing", &[]) } else { all.swap_remove(0) }
}

/// The ids this evidence allows, strongest first. The second and later ones serve only where the first is taken by a
/// device known to be another one (a UUID cloned over a fleet). Never empty.
pub fn candidates(evidence: &Evidence, fallback: &Fallback<'_>) -> Vec<PrinterId> {
    let e = canonical(evidence);
    let prefix = e.make.as_deref().unwrap_or("printer");
    let model = e.model.as_deref().unwrap_or_default();
    let mut ids = Vec::new();
    if let (Some(serial), Some(make)) = (&e.serial, &e.make) {
        ids.push(hashed(prefix, "serial", &[make, serial]));
    }
    if let Some(uuid) = &e.uuid {
        ids.push(hashed(prefix, "uuid", &[uuid]));
    }
    if let Some(mac) = e.macs.first() {
        ids.push(hashed(prefix, "mac", &[mac]));
    }
    // The first port of a print server has the id of its host or name, the others one of their own.
    let port = fallback.port.filter(|port| *port != 9100).map(|port| port.to_string());
    if let Some(port) = &port {
        let host = fallback.host.unwrap_or_default().to_ascii_lowercase();
        ids.push(hashed(prefix, "port", &[&host, port]));
    }
    if let Some(host) = fallback.host.and_then(canonical_host) {
        ids.push(hashed(prefix, "host", &[&host, queue_path(fallback.path).unwrap_or_default()]));
    }
    let name = fallback.name.and_then(plain).unwrap_or_default().to_lowercase();
    ids.push(hashed(prefix, "name", &[&name, model]));
    // Last resort, for two devices that agree in all of the above: everything together.
    let host = fallback.host.unwrap_or_default();
    ids.push(hashed(prefix, "all", &[&name, model, host, fallback.path.unwrap_or_default()]));
    ids
}

/// Whether two records are of one device, by the ladder of the module, where nothing is known of cloned values.
pub fn same_device(a: &Evidence, b: &Evidence) -> Verdict {
    compare(&Facts::of(a), &Facts::of(b), &|_| false)
}

/// Whether the evidence holds the strongest there is: serial and maker. Nothing that comes later changes the id then.
pub fn is_strong(evidence: &Evidence) -> bool {
    let e = canonical(evidence);
    e.serial.is_some() && e.make.is_some()
}

/// Whether both name one usable UUID. Under one name or on one host that is enough: models are spelled in many ways.
pub fn same_uuid(a: &Evidence, b: &Evidence) -> bool {
    let uuid = |e: &Evidence| e.uuid.as_deref().and_then(canonical_uuid);
    uuid(a).is_some_and(|a| uuid(b).is_some_and(|b| a == b))
}

/// Whether both name a usable MAC address, and not the same. By itself no ground: a printer may have several cards.
pub fn macs_differ(a: &Evidence, b: &Evidence) -> bool {
    let (a, b) = (canonical(a).macs, canonical(b).macs);
    !a.is_empty() && !b.is_empty() && !share(&a, &b)
}

/// Whether the two can not be one product: makers that have nothing to do with each other, or models of which neither
/// text is within the other. What is missing parts nothing. Stricter than a verdict: for what no key bears out.
pub fn products_differ(a: &Evidence, b: &Evidence) -> bool {
    let (a, b) = (canonical(a), canonical(b));
    let letters = |text: &str| -> String { text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
    let makers = matches!((&a.make, &b.make), (Some(a), Some(b)) if !makers::related(a, b));
    let models = match (&a.model, &b.model) {
        (Some(a), Some(b)) => {
            let (a, b) = (letters(a), letters(b));
            !a.contains(&b) && !b.contains(&a)
        }
        _ => false,
    };
    makers || models
}

fn share(a: &[String], b: &[String]) -> bool {
    a.iter().any(|mac| b.contains(mac))
}

/// Whether two model texts can not mean one model: both have words with digits, and none of the one is within one of
/// the other. `ENVY 4500` and `ENVY 4500 series` agree, so do `MF6100` and `CNMF6100 Series`; `M402` and `M404` do not.
fn models_conflict(a: &str, b: &str) -> bool {
    let words = |t: &str| -> Vec<String> {
        t.split(|c: char| !c.is_alphanumeric())
            .filter(|w| w.chars().any(|c| c.is_ascii_digit()))
            .map(str::to_owned)
            .collect()
    };
    let (a, b) = (words(a), words(b));
    !a.is_empty()
        && !b.is_empty()
        && !a.iter().any(|x| b.iter().any(|y| x.contains(y.as_str()) || y.contains(x.as_str())))
}

/// `known` with the gaps filled from `more`, and with the values of `more` where both say something: what a device
/// answers itself (`more`) outranks what was announced for it.
pub fn merge(known: &Evidence, more: &Evidence) -> Evidence {
    let c = canonical(more);
    // Values that canonicalisation rejects do not overwrite; otherwise the device's own spelling is kept.
    let pick = |usable: bool, new: &Option<String>, old: &Option<String>| {
        if usable { new.clone() } else { old.clone().or_else(|| new.clone()) }
    };
    Evidence {
        make: pick(c.make.is_some(), &more.make, &known.make),
        model: pick(c.model.is_some(), &more.model, &known.model),
        serial: pick(c.serial.is_some(), &more.serial, &known.serial),
        uuid: pick(c.uuid.is_some(), &more.uuid, &known.uuid),
        macs: in_order(c.macs.iter().chain(&canonical(known).macs).cloned()),
    }
}

/// The path where it names a queue of a print server, nothing for a printer's own resource.
pub fn queue_path(path: Option<&str>) -> Option<&str> {
    path.filter(|p| !matches!(p.trim_end_matches('/'), "" | "/ipp" | "/ipp/print" | "/ipp/printer" | "/ipp/port1"))
}

fn hashed(prefix: &str, kind: &str, parts: &[&str]) -> PrinterId {
    let mut hash = Sha256::new();
    hash.update(kind.as_bytes());
    for part in parts {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    PrinterId::from_maker_and_hash(prefix, &hash.finalize())
}

/// The one name of a maker: lower case, letters, digits and dashes, at most 24 characters, never empty. Makers with several
/// names have theirs in [`makers`]; what is not there keeps its first word.
pub fn canonical_maker(text: &str) -> String {
    if let Some(maker) = makers::of_text(text) {
        return maker.id.to_owned();
    }
    let lower = text.trim().to_lowercase();
    let first = lower.split([' ', ',', ';', '/', '(']).find(|w| !w.is_empty()).unwrap_or_default();
    let mut slug = String::new();
    for c in first.chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == 24 {
            break;
        }
    }
    let slug = slug.trim_matches('-');
    if let Some(maker) = makers::of_text(slug) {
        return maker.id.to_owned();
    }
    plain(slug).unwrap_or_else(|| "printer".to_owned())
}

/// The model in lower case with single spaces, without its maker in front (however often).
fn without_maker(model: &str, make: Option<&str>) -> String {
    let lower = model.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    makers::without_maker(&words.join(" "), make).to_owned()
}

/// Trims, drops control characters, and takes words that mean "nothing" for nothing.
pub fn plain(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(256).collect();
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let nothing = matches!(
        lower.as_str(),
        "" | "unknown" | "none" | "n/a" | "na" | "null" | "(null)" | "-" | "default" | "generic"
    );
    (!nothing).then(|| text.to_owned())
}

/// Upper case without spaces, or nothing for fillers: one character repeated (`0`, `XXXXXXX`), the counting row
/// (`1234567890`), words for "not set", fewer than 3 characters, the model's own name.
fn canonical_serial(text: &str, models: [Option<&str>; 2]) -> Option<String> {
    let serial: String = plain(text)?.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_uppercase();
    let mut chars = serial.chars();
    let first = chars.next()?;
    let repeated = chars.all(|c| c == first);
    let counting = serial.len() >= 6 && ("1234567890".starts_with(&serial) || "0123456789".starts_with(&serial));
    let words = matches!(
        serial.as_str(),
        "SERIAL"
            | "SERIALNUMBER"
            | "SN"
            | "NOTSET"
            | "NOTAVAILABLE"
            | "NOTSPECIFIED"
            | "TOBEFILLEDBYO.E.M."
            | "INVALID"
    );
    let is_model = models
        .into_iter()
        .flatten()
        .any(|m| m.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_uppercase() == serial);
    (serial.len() >= 3 && !repeated && !counting && !words && !is_model).then_some(serial)
}

/// Lower case in 8-4-4-4-12 form without `urn:uuid:`, or nothing: not that form, or one digit repeated.
pub fn canonical_uuid(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let uuid = lower.strip_prefix("urn:uuid:").unwrap_or(&lower);
    let well_formed = uuid.len() == 36
        && uuid.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
    let mut digits = uuid.bytes().filter(|b| *b != b'-');
    let first = digits.next()?;
    (well_formed && !digits.all(|b| b == first)).then(|| uuid.to_owned())
}

/// 12 lower-case hex digits, or nothing: zeros, ones, a multicast address.
pub fn canonical_mac(text: &str) -> Option<String> {
    let mac: String =
        text.trim().to_ascii_lowercase().chars().filter(|c| !matches!(c, ':' | '-' | '.' | ' ')).collect();
    let first = u8::from_str_radix(mac.get(..2)?, 16).ok()?;
    let hex = mac.len() == 12 && mac.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && first & 1 == 0 && !is_placeholder(&mac)).then_some(mac)
}

/// Whether twelve hexadecimal digits are a value that somebody typed: one byte throughout, digits or pairs of digits that
/// count (`123456789abc`, `001122334455`, `aabbccddeeff`), or nothing behind the mark of a locally administered address.
fn is_placeholder(mac: &str) -> bool {
    let digits: Vec<u32> = mac.chars().filter_map(|c| c.to_digit(16)).collect();
    let bytes: Vec<u32> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte * 16 + digit)).collect();
    // 9 is followed by 0 or a, f by 0.
    let counts = |all: &[u32]| {
        let up = all.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 16 || (pair[0] == 9 && pair[1] == 0));
        up || all.windows(2).all(|pair| pair[0] == (pair[1] + 1) % 16)
    };
    let doubled = bytes.iter().all(|byte| byte / 16 == byte % 16);
    let firsts: Vec<u32> = digits.iter().step_by(2).copied().collect();
    let local = bytes.first().is_some_and(|byte| byte & 2 != 0);
    bytes.windows(2).all(|pair| pair[0] == pair[1])
        || counts(&digits)
        || (doubled && counts(&firsts))
        || (local && (counts(&bytes) || bytes.iter().skip(1).all(|byte| *byte == 0)))
}

/// Lower case without trailing dot, or nothing: an address, `localhost`.
fn canonical_host(text: &str) -> Option<String> {
    let host = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let local = matches!(host.as_str(), "" | "localhost" | "localhost.localdomain" | "localhost.local");
    (!local && host.parse::<IpAddr>().is_err() && host.len() <= 255).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn evidence(make: &str, model: &str, serial: &str, uuid: &str, mac: &str) -> Evidence {
        let some = |t: &str| (!t.is_empty()).then(|| t.to_owned());
        Evidence {
            make: some(make),
            model: some(model),
            serial: some(serial),
            uuid: some(uuid),
            macs: some(mac).into_iter().collect(),
        }
    }

    const UUID: &str = "1c852a4d-b800-1f08-abcd-d4c9ef00c3a1";

    #[test]
    fn spelling_changes_nothing() {
        let none = Fallback::default();
        let a = mint(&evidence("Hewlett-Packard", "ENVY 4500", "cn35t1m03q05x4", "", ""), &none);
        let b = mint(&evidence("HP", "HP ENVY 4500 series", " CN35T1M03Q05X4 ", UUID, "d4c9ef00c3a1"), &none);
        assert_eq!(a, b);
        assert!(a.as_str().starts_with("hp-") && a.as_str().len() == 13, "{a}");
        let c = mint(&evidence("HP", "", "", &format!("urn:uuid:{}", UUID.to_uppercase()), ""), &none);
        assert_eq!(c, mint(&evidence("hp", "x", "XXXXXXX", UUID, ""), &none));
    }

    #[test]
    fn fillers_identify_nothing() {
        for serial in ["0", "XXXXXXX", "00000000", "N/A", "unknown", "1234567890", "LaserJet 400", "400", "  ", "\0\0"]
        {
            let e = canonical(&evidence("HP", "LaserJet 400", serial, "", ""));
            // A part of the model's name is not the model's name: a short serial stays a serial.
            assert_eq!(e.serial.is_some(), serial == "400", "{serial}");
        }
        for uuid in ["", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "123", "é"] {
            assert_eq!(canonical(&evidence("", "", "", uuid, "")).uuid, None, "{uuid}");
        }
        for mac in ["000000000000", "00:00:00:00:00:00", "ffffffffffff", "0100005e0001", "12345", "é2345"] {
            assert_eq!(canonical(&evidence("", "", "", "", mac)).macs, Vec::<String>::new(), "{mac}");
        }
        assert_eq!(canonical(&evidence("", "", "", "", "D4:C9:EF:00:C3:A1")).macs, ["d4c9ef00c3a1"]);
    }

    #[test]
    fn makers_have_one_name() {
        for (text, want) in [
            ("Hewlett-Packard", "hp"),
            ("HP Inc.", "hp"),
            ("KONICA MINOLTA", "konica-minolta"),
            ("Kyocera Mita", "kyocera"),
            ("KYOCERA Document Solutions", "kyocera"),
            ("FUJI XEROX", "fujifilm"),
            ("Acme & Söhne", "acme"),
            ("Hpx", "hpx"),
            ("日本", "printer"),
            ("", "printer"),
        ] {
            assert_eq!(canonical_maker(text), want, "{text}");
        }
    }

    #[test]
    fn serial_decides_before_uuid_and_cloned_uuids_do_not_join_models() {
        let a = evidence("HP", "M402", "PHB1234567", UUID, "");
        assert_eq!(
            same_device(&a, &evidence("HP", "M402", "PHB7654321", UUID, "")),
            Verdict::Different(Reason::Serial)
        );
        let other_uuid = UUID.replace('4', "5");
        assert_eq!(
            same_device(&a, &evidence("Hewlett Packard", "HP M402", "PHB1234567", &other_uuid, "")),
            Verdict::Same(Reason::Serial)
        );
        assert_eq!(same_device(&a, &evidence("HP", "M402", "", UUID, "")), Verdict::Same(Reason::Uuid));
        assert_eq!(same_device(&a, &evidence("HP", "M404", "", UUID, "")), Verdict::Different(Reason::Model));
        assert_eq!(same_device(&a, &evidence("HP", "M402", "", "", "")), Verdict::Open);
    }

    #[test]
    fn mac_addresses_that_somebody_typed_are_none() {
        for typed in [
            "aa:bb:cc:dd:ee:ff",
            "00:11:22:33:44:55",
            "12:34:56:78:9a:bc",
            "123456789012",
            "fe:dc:ba:98:76:54",
            "66:66:66:66:66:66",
            "00:00:00:00:00:00",
            "02:00:00:00:00:00",
            "02:03:04:05:06:07",
            "ffffffffffff",
        ] {
            assert_eq!(canonical_mac(typed), None, "{typed}");
        }
        for real in
            ["d4:c9:ef:00:c3:a1", "00:11:22:33:44:01", "00:00:74:12:34:56", "02:00:00:00:00:01", "00:1b:a9:10:20:30"]
        {
            assert!(canonical_mac(real).is_some(), "{real}");
        }
    }

    #[test]
    fn weak_evidence_tells_hosts_and_queues_apart() {
        let e = evidence("", "Generic", "", "", "");
        let host = |host, path| mint(&e, &Fallback { host: Some(host), path: Some(path), port: None, name: Some("P") });
        assert_ne!(host("a.local", "/ipp/print"), host("b.local", "/ipp/print"));
        assert_ne!(host("a.local", "/printers/x"), host("a.local", "/printers/y"));
        assert_eq!(host("A.local.", "/ipp/print"), host("a.local", "/"));
        // An address is not a name: it identifies nothing.
        assert_eq!(host("10.0.0.1", "/"), host("10.0.0.2", "/"));
    }

    #[test]
    fn what_the_device_answers_outranks_what_was_announced_except_fillers() {
        let announced = evidence("HP", "M402", "PHB1234567", UUID, "");
        let answered = evidence("Hewlett-Packard", "LaserJet M402", "XXXXXXX", "", "d4c9ef00c3a1");
        let merged = merge(&announced, &answered);
        assert_eq!(merged.serial.as_deref(), Some("PHB1234567"));
        assert_eq!(merged.model.as_deref(), Some("LaserJet M402"));
        assert_eq!(merged.uuid.as_deref(), Some(UUID));
        assert_eq!(merged.macs, ["d4c9ef00c3a1"]);
    }

    fn any_evidence() -> impl Strategy<Value = Evidence> {
        let text = || proptest::option::of("\\PC{0,20}");
        (text(), text(), text(), text(), text()).prop_map(|(make, model, serial, uuid, mac)| Evidence {
            make,
            model,
            serial,
            uuid,
            macs: mac.into_iter().collect(),
        })
    }

    proptest! {
        #[test]
        fn minting_is_total_and_stable(e in any_evidence(), host in "\\PC{0,20}", name in "\\PC{0,20}") {
            let fallback = Fallback { host: Some(&host), path: None, port: None, name: Some(&name) };
            let all = candidates(&e, &fallback);
            prop_assert!(!all.is_empty());
            prop_assert_eq!(&mint(&e, &fallback), &all[0]);
            // Canonical evidence is its own canonical form, as far as identity goes.
            prop_assert_eq!(mint(&canonical(&e), &fallback), mint(&e, &fallback));
        }

        #[test]
        fn verdicts_are_symmetric(a in any_evidence(), b in any_evidence()) {
            prop_assert_eq!(same_device(&a, &b), same_device(&b, &a));
        }
    }
}
