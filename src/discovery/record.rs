//! One announced print service → a sighting. Pure and total: whatever a device announces, this ends in a bounded
//! [`Sighting`] or in the reason why there is none.
//!
//! Formats: DNS-SD (RFC 6763), the TXT keys of Apple's Bonjour Printing Specification 1.2.1. Keys are compared without
//! case, the first of equal keys counts, a key without `=` says nothing.
//!
//! Leniency: a wrong value is left out and the record kept. `rp` defaults to `ipp/print`, for LPD to `auto`; `priority`
//! to 50, also when it is out of range. `pdl` may be cut off at 255 bytes; its last item is then dropped.
//!
//! AppSocket (`_pdl-datastream._tcp`) and LPD (`_printer._tcp`) become sightings of places to which jobs may be sent, and
//! nothing else ever is. Their port is the one announced; one below 1024 that is not LPD's belongs to another service, and
//! a document would be spoken to that. `_printer._tcp` with port 0 says that there is no LPD. The command set of the
//! device id (`usb_CMD`) adds to their formats, with PJL as `application/vnd.hp-pjl`.
//!
//! Text from the network has control characters and text-direction marks removed and is cut to a length.

use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::net::{AddressClass, AddressRefusal, PrinterPolicy, classify};
use crate::domain::sighting::{Evidence, Sighting};
use std::net::IpAddr;

/// Addresses kept of one service.
pub const MAX_ADDRESSES: usize = 8;
/// Document formats kept of one service.
pub const MAX_FORMATS: usize = 50;
/// Longest name, location, maker, model, in characters.
pub const MAX_TEXT: usize = 127;
/// Longest resource path, in bytes.
pub const MAX_PATH: usize = 255;
/// Longest full service name, in bytes (a DNS name and its escapes).
const MAX_KEY: usize = 1024;

/// A service as it was announced, before anything is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// By the service type.
    pub kind: EndpointKind,
    /// The service type with its domain: `_ipp._tcp.local.`
    pub service_type: String,
    /// The subtype under which it was found, if one is known.
    pub subtype: Option<String>,
    /// Instance and type: `Laser._ipp._tcp.local.`
    pub fullname: String,
    /// Target of the SRV record.
    pub host: String,
    /// Port of the SRV record.
    pub port: u16,
    /// Each address, with the index of the interface for IPv6 link-local ones (0 where there is none).
    pub addresses: Vec<(IpAddr, u32)>,
    /// TXT strings in their order: key, value.
    pub txt: Vec<(String, Vec<u8>)>,
}

/// Why an announced service is no printer for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Ignored {
    /// Port 0: a placeholder that only defends the name.
    #[error("port 0 is a placeholder")]
    Placeholder,
    /// The port prints whatever arrives.
    #[error("the port is a print port")]
    PrintPort,
    /// AppSocket or LPD on a port that belongs to something else.
    #[error("the port belongs to another service")]
    OtherService,
    /// A queue that a computer shares, not a device: what is sent there may come back as another printer.
    #[error("a queue shared by a computer")]
    SharedQueue,
    /// No address in an allowed network.
    #[error("no address in an allowed network")]
    OutsideNetworks,
    /// No instance name, or nothing readable in it.
    #[error("no name")]
    NoName,
}

/// The key under which a service is reported: its full name, readable and bounded.
pub fn key(fullname: &str) -> String {
    clean(fullname, MAX_KEY).unwrap_or_default()
}

/// Makes a sighting of an announced service. `raw_ports`: what this device announced for AppSocket and LPD.
pub fn sighting(record: &Announcement, policy: &PrinterPolicy, raw_ports: &[u16]) -> Result<Sighting, Ignored> {
    let txt = Txt(&record.txt);
    let name = instance_name(record).ok_or(Ignored::NoName)?;
    let path = match record.kind {
        EndpointKind::Ipps | EndpointKind::Ipp => path(txt.get("rp").as_deref().unwrap_or("ipp/print")),
        EndpointKind::Lpd => path(txt.get("rp").as_deref().filter(|queue| !queue.trim().is_empty()).unwrap_or("auto")),
        EndpointKind::AppSocket => String::new(),
    };
    if is_shared_queue(record, &txt, &name, &path) {
        return Err(Ignored::SharedQueue);
    }
    if !record.kind.is_ipp() && matches!(record.port, 1..=1023) && record.port != EndpointKind::Lpd.default_port() {
        return Err(Ignored::OtherService);
    }
    let (addresses, scope_id) = addresses(record, policy, raw_ports)?;
    let host = match host(&record.host) {
        Some(host) => host,
        None => addresses.first().map(IpAddr::to_string).ok_or(Ignored::OutsideNetworks)?,
    };
    let port = record.port;
    Ok(Sighting {
        key: key(&record.fullname),
        name,
        endpoint: Endpoint { kind: record.kind, host: host.clone(), addresses, scope_id, port, path },
        host,
        priority: priority(txt.get("priority").as_deref()),
        evidence: evidence(&txt, &record.host),
        location: txt.text("note"),
        formats: {
            let mut formats = formats(txt.get("pdl").as_deref());
            if !record.kind.is_ipp() {
                add_languages(&mut formats, &txt);
            }
            formats
        },
    })
}

/// The rule for an address: for IPP its port must be no print port, for the others it is one.
fn check(
    record: &Announcement,
    policy: &PrinterPolicy,
    address: IpAddr,
    raw_ports: &[u16],
) -> Result<(), AddressRefusal> {
    match record.port {
        0 => Err(AddressRefusal::NoPort),
        _ if record.kind.is_ipp() => policy.check(address, record.port, raw_ports),
        _ => policy.check_address(address),
    }
}

/// The addresses that may be connected, best first, and the interface of the link-local ones among them.
fn addresses(record: &Announcement, policy: &PrinterPolicy, raw_ports: &[u16]) -> Result<(Vec<IpAddr>, u32), Ignored> {
    let mut usable = Vec::new();
    let mut refusal = Ignored::OutsideNetworks;
    for (address, scope) in record.addresses.iter().take(64) {
        match check(record, policy, *address, raw_ports) {
            Ok(()) => usable.push((rank(*address), *address, *scope)),
            Err(AddressRefusal::NoPort) => refusal = Ignored::Placeholder,
            Err(AddressRefusal::PrintPort(_)) => refusal = Ignored::PrintPort,
            Err(AddressRefusal::OutsideNetworks(..)) => {}
        }
    }
    usable.sort_unstable();
    let is_link_local = |address: &IpAddr| address.is_ipv6() && classify(*address) == AddressClass::LinkLocal;
    // A link-local address means nothing without its interface, and an endpoint has room for one interface.
    let scope_id =
        usable.iter().filter(|(_, address, _)| is_link_local(address)).map(|(_, _, scope)| *scope).find(|s| *s != 0);
    let mut found: Vec<IpAddr> = usable
        .into_iter()
        .filter(|(_, address, scope)| !is_link_local(address) || Some(*scope) == scope_id)
        .map(|(_, address, _)| address)
        .collect();
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    if found.is_empty() {
        // Port and placeholder are told before networks: they are the stronger reason.
        return Err(match check(record, policy, IpAddr::from([0, 0, 0, 0]), raw_ports) {
            Err(AddressRefusal::NoPort) => Ignored::Placeholder,
            Err(AddressRefusal::PrintPort(_)) => Ignored::PrintPort,
            _ => refusal,
        });
    }
    let scope_id = if found.iter().any(is_link_local) { scope_id.unwrap_or(0) } else { 0 };
    Ok((found, scope_id))
}

/// IPv4 before IPv6, and what works from everywhere before what works on one link.
fn rank(address: IpAddr) -> u8 {
    match (address, classify(address)) {
        (IpAddr::V4(_), AddressClass::LinkLocal) => 4,
        (IpAddr::V4(_), AddressClass::Loopback) => 1,
        (IpAddr::V4(_), _) => 0,
        (IpAddr::V6(_), AddressClass::LinkLocal) => 3,
        (IpAddr::V6(_), _) => 2,
    }
}

/// A queue of CUPS or of another print server. `rp=printers/…` alone proves nothing: some devices use it too.
fn is_shared_queue(record: &Announcement, txt: &Txt<'_>, name: &str, path: &str) -> bool {
    let subtype_cups = record.subtype.as_deref().is_some_and(|subtype| subtype.starts_with("_cups."));
    let path_of_queue = path.starts_with("/printers/") || path.starts_with("/classes/");
    txt.has("printer-type") || subtype_cups || (path_of_queue && (name.contains(" @ ") || txt.has("printer-state")))
}

/// What a person sees: the full name without the type.
fn instance_name(record: &Announcement) -> Option<String> {
    let cut = record.fullname.len().checked_sub(record.service_type.len())?;
    let (instance, service_type) = record.fullname.split_at_checked(cut)?;
    let known = service_type.eq_ignore_ascii_case(&record.service_type);
    let instance = if known { instance.strip_suffix('.')? } else { record.fullname.split("._ipp").next()? };
    clean(&unescape(instance), MAX_TEXT)
}

/// Takes back the escapes of DNS presentation format: `\.`, `\\`, `\032`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match (*first, behind) {
            (b'\\', [a @ b'0'..=b'2', b @ b'0'..=b'9', c @ b'0'..=b'9', tail @ ..]) => {
                let code = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
                bytes.push(u8::try_from(code).unwrap_or(b'?'));
                rest = tail;
            }
            (b'\\', [next @ (b'.' | b'\\'), tail @ ..]) => {
                bytes.push(*next);
                rest = tail;
            }
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A host name that can stand in a URI: letters, digits, `-`, `_`, `.`; no trailing dot.
fn host(text: &str) -> Option<String> {
    let host = text.strip_suffix('.').unwrap_or(text);
    let fits = (1..=253).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !host.starts_with(['.', '-']);
    fits.then(|| host.to_owned())
}

/// The resource path with its leading slash; what a URI cannot hold is percent-encoded.
fn path(rp: &str) -> String {
    let rp = rp.trim().trim_start_matches('/');
    let mut path = String::from("/");
    for byte in rp.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte);
        let room = if plain { 1 } else { 3 };
        if path.len() + room > MAX_PATH {
            break;
        }
        match byte {
            _ if plain => path.push(char::from(byte)),
            0..=0x1f | 0x7f => {}
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

fn priority(text: Option<&str>) -> u8 {
    text.and_then(|text| text.trim().parse().ok()).filter(|priority| *priority <= 99).unwrap_or(50)
}

fn formats(pdl: Option<&str>) -> Vec<String> {
    let Some(pdl) = pdl else { return Vec::new() };
    let mut items: Vec<&str> = pdl.split(',').collect();
    // "pdl=" and 251 bytes fill a TXT string: the list may have been cut in the middle of its last item.
    if pdl.len() >= 251 && items.len() > 1 {
        items.pop();
    }
    let mut formats = Vec::new();
    for item in items {
        let format = item.trim().to_ascii_lowercase();
        let fits = (3..=MAX_TEXT).contains(&format.len())
            && format.contains('/')
            && format.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\<>".contains(&b));
        if fits && !formats.contains(&format) && formats.len() < MAX_FORMATS {
            formats.push(format);
        }
    }
    formats
}

/// Adds the languages of the device id's command set.
fn add_languages(formats: &mut Vec<String>, txt: &Txt<'_>) {
    let Some(commands) = txt.first_text(&["usb_CMD", "CMD", "usb_COMMAND SET", "COMMAND SET"]) else { return };
    for language in commands.split(',').take(MAX_FORMATS) {
        let format = match language.trim().to_ascii_uppercase().as_str() {
            "PJL" => "application/vnd.hp-pjl",
            "PCL" | "PCL5" | "PCL5E" | "PCL5C" => "application/vnd.hp-pcl",
            "PCLXL" | "PCL6" => "application/vnd.hp-pclxl",
            "POSTSCRIPT" | "PS" | "PS3" => "application/postscript",
            "PDF" => "application/pdf",
            "JPEG" | "JPG" => "image/jpeg",
            _ => continue,
        };
        if !formats.iter().any(|known| known == format) && formats.len() < MAX_FORMATS {
            formats.push(format.to_owned());
        }
    }
}

fn evidence(txt: &Txt<'_>, host: &str) -> Evidence {
    let ty = txt.text("ty").map(without_language).filter(|ty| !is_nothing(ty));
    let product = txt.text("product").map(|product| {
        let product = product.strip_prefix('(').unwrap_or(&product);
        without_language(product.strip_suffix(')').unwrap_or(product).to_owned())
    });
    let product = product.filter(|product| !is_nothing(product) && !product.contains("Ghostscript"));
    let mfg = txt.first_text(&["usb_MFG", "usb_MANUFACTURER", "usb_MANU", "MFG", "MANU", "MANUFACTURER"]);
    let mdl = txt.first_text(&["usb_MDL", "usb_MODEL", "MDL", "MODEL"]).filter(|model| !is_nothing(model));
    let named = mdl.or(ty.clone()).or(product.clone());
    let make = mfg.filter(|make| !is_nothing(make)).or_else(|| {
        [&ty, &product, &named].into_iter().flatten().find_map(|text| known_maker(text).map(str::to_owned))
    });
    let model = named.map(|model| without_maker(&model, make.as_deref()));
    Evidence {
        make,
        model,
        serial: txt.first_text(&["usb_SER", "usb_SN"]).filter(|serial| !is_nothing(serial)),
        uuid: txt.get("UUID").as_deref().and_then(uuid),
        mac: txt.get("mac").as_deref().and_then(mac).or_else(|| mac_in_host(host)),
    }
}

/// Makers as they stand in front of model names.
const MAKERS: &[&str] = &[
    "Hewlett-Packard",
    "Hewlett Packard",
    "HP",
    "Konica Minolta",
    "Fuji Xerox",
    "FUJIFILM",
    "Brother",
    "Canon",
    "Dell",
    "Develop",
    "Epson",
    "Gestetner",
    "Kodak",
    "Kyocera",
    "Lanier",
    "Lexmark",
    "NRG",
    "OKI",
    "Okidata",
    "Olivetti",
    "Panasonic",
    "Pantum",
    "Ricoh",
    "Samsung",
    "Savin",
    "Sharp",
    "TA Triumph-Adler",
    "Toshiba",
    "TSC",
    "UTAX",
    "Xerox",
    "Zebra",
];

/// The known maker that a text begins with, as the text writes it.
fn known_maker(text: &str) -> Option<&str> {
    MAKERS.iter().find_map(|maker| {
        let (start, rest) = text.split_at_checked(maker.len())?;
        (start.eq_ignore_ascii_case(maker) && (rest.is_empty() || rest.starts_with(' '))).then_some(start)
    })
}

/// A model without the maker in front, however the two write the maker.
fn without_maker(model: &str, make: Option<&str>) -> String {
    let mut rest = model;
    // Twice, for "Hewlett-Packard HP LaserJet".
    for _ in 0..2 {
        let stated = make.filter(|make| {
            rest.get(..make.len()).is_some_and(|start| start.eq_ignore_ascii_case(make))
                && rest.get(make.len()..).is_some_and(|behind| behind.starts_with(' '))
        });
        let Some(maker) = stated.or_else(|| known_maker(rest)) else { break };
        match rest.get(maker.len()..).map(str::trim_start) {
            Some(behind) if !behind.is_empty() => rest = behind,
            _ => break,
        }
    }
    rest.to_owned()
}

/// Some devices glue the language of an IPP text to it: `HL-L2390DW[en]`.
fn without_language(text: String) -> String {
    let cut = text.strip_suffix(']').and_then(|open| open.rsplit_once('['));
    match cut {
        Some((front, tag))
            if (2..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') =>
        {
            front.trim_end().to_owned()
        }
        _ => text,
    }
}

/// Fillers that stand where nothing is known.
fn is_nothing(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "" | "unknown" | "none" | "n/a" | "null" | "generic" | "(null)")
}

/// 36 characters, lower case, without `urn:uuid:`; not all zero.
fn uuid(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_prefix("urn:uuid:").unwrap_or(&text);
    let shaped = text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() });
    (shaped && text.bytes().any(|b| !matches!(b, b'0' | b'-'))).then(|| text.to_owned())
}

/// 12 lower-case hexadecimal digits of an address written with or without separators.
fn mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.' | ' ')).take(13).collect();
    let shaped = digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    (shaped && digits != "000000000000" && !digits.eq_ignore_ascii_case("ffffffffffff"))
        .then(|| digits.to_ascii_lowercase())
}

/// Brother puts the address into the host name: `BRNB42200415BAA`, `BRW10B1DFA23670`.
fn mac_in_host(host: &str) -> Option<String> {
    let label = host.split('.').next()?;
    let digits = label.strip_prefix("BRN").or_else(|| label.strip_prefix("BRW"))?;
    mac(digits).filter(|_| digits.len() == 12)
}

/// Text without control characters and direction marks, trimmed, at most `max` characters; `None` if nothing is left.
fn clean(text: &str, max: usize) -> Option<String> {
    let harmless = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let text: String = text.chars().filter(harmless).take(max).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// TXT strings with the lookup of RFC 6763 §6.4.
struct Txt<'a>(&'a [(String, Vec<u8>)]);

impl Txt<'_> {
    fn get(&self, key: &str) -> Option<String> {
        let (_, value) = self.0.iter().take(256).find(|(known, _)| known.eq_ignore_ascii_case(key))?;
        Some(String::from_utf8_lossy(value.get(..1024).unwrap_or(value)).into_owned())
    }

    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| known.eq_ignore_ascii_case(key))
    }

    fn text(&self, key: &str) -> Option<String> {
        clean(&self.get(key)?, MAX_TEXT)
    }

    fn first_text(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.text(key))
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(made(&["mac=00:1B:a9:0b:a7:52"]).evidence.mac.as_deref(), Some("001ba90ba752"));
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
        assert_eq!(
            check(|r| r.subtype = Some("_cups._sub._ipp._tcp.local.".into()), &[], &[]),
            Err(Ignored::SharedQueue)
        );
        assert_eq!(
            check(|r| r.fullname = "a @ b._ipp._tcp.local.".into(), &["rp=printers/a"], &[]),
            Err(Ignored::SharedQueue)
        );
        // A device may use that path.
        assert!(check(|_| {}, &["rp=printers/HP_LaserJet_CP1025nw"], &[]).is_ok());
        assert_eq!(
            check(|r| r.addresses = vec![("8.8.8.8".parse().unwrap(), 0)], &[], &[]),
            Err(Ignored::OutsideNetworks)
        );
        assert_eq!(check(|r| r.addresses.clear(), &[], &[]), Err(Ignored::OutsideNetworks));
        assert_eq!(check(|r| r.fullname = "._ipp._tcp.local.".into(), &[], &[]), Err(Ignored::NoName));
        assert_eq!(check(|r| r.fullname = "\u{1}._ipp._tcp.local.".into(), &[], &[]), Err(Ignored::NoName));
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
        let wanted: Vec<IpAddr> =
            ["192.168.1.8", "192.168.1.9", "fd00::1", "fe80::1"].map(|t| t.parse().unwrap()).into();
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
                prop_assert!(seen.key.chars().count() <= MAX_KEY);
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
}
