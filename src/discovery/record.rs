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
//! `_http._tcp` under its subtype `_printer` says only that there is a printer at these addresses ([`hint`]): it is never
//! a place to print to, and its port is never connected.
//!
//! ## What is no device ([`origin`])
//! | announced | told by |
//! |---|---|
//! | a queue that a computer shares | `printer-type`; subtype `_cups`; `rp=printers/…` or `classes/…` with `name @ host`, `ty` ending so, or `printer-state` (the book adds: more than three such queues on one host) |
//! | a printer on a computer's USB port (`ipp-usb`) | `usb_HWID` |
//! | what a gateway like this one announces for others | a key that begins with [`OWN_KEY`] |
//!
//! A share may come back as another printer, and a job sent to it may come back to us. So none of them is taken, unless
//! [`Accept`] says so; our own never are.
//!
//! ## TXT keys without effect here
//! `txtvers` (another version is read as this one), `qtotal` (only the first queue of a service is seen), `rfo` (fax),
//! `adminurl`, `TLS`, `air`, `kind`, `URF`, `Color` and its relatives: what the printer says itself when it is asked counts.
//!
//! Text from the network has control characters and text-direction marks removed and is cut to a length. Text that is not
//! UTF-8 is read as Latin-1.

use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::identity;
use crate::domain::makers;
use crate::domain::net::{AddressClass, AddressRefusal, PrinterPolicy, classify};
use crate::domain::sighting::{Evidence, Sighting};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Addresses kept of one service.
pub const MAX_ADDRESSES: usize = 8;
/// Document formats kept of one service.
pub const MAX_FORMATS: usize = 50;
/// Longest name, location, maker, model, in characters.
pub const MAX_TEXT: usize = 127;
/// Longest resource path, in bytes.
pub const MAX_PATH: usize = 255;
/// What gateways put before the TXT keys of what they announce themselves.
pub const OWN_KEY: &str = "printgate";
/// Longest full service name, in bytes: a DNS name and its escapes.
const MAX_KEY: usize = 500;

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
    /// A printer on the USB port of a computer.
    #[error("a printer on a computer's USB port")]
    OverUsb,
    /// What a gateway like this one announces for others.
    #[error("announced by a gateway")]
    Own,
    /// No address in an allowed network.
    #[error("no address in an allowed network")]
    OutsideNetworks,
    /// No instance name, or nothing readable in it.
    #[error("no name")]
    NoName,
}

/// What else than devices is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accept {
    /// Queues that computers share.
    pub shares: bool,
    /// Printers on computers' USB ports.
    pub usb: bool,
}

/// What stands behind an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A device on the network, as far as can be told.
    Device,
    /// A queue of a computer.
    Shared,
    /// A printer on a computer's USB port.
    Usb,
    /// A gateway like this one.
    Own,
}

/// A printer is said to be at these addresses; how to print to it is not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The full name of the service.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// Its host name without the trailing dot, or an address.
    pub host: String,
    /// Addresses in allowed networks, best first; never empty.
    pub addresses: Vec<IpAddr>,
    /// The interface of the link-local ones among them, else 0.
    pub scope_id: u32,
}

/// The key under which a service is reported: its full name, readable and bounded. Names that differ have keys that
/// differ, also where the difference cannot be shown.
pub fn key(fullname: &str) -> String {
    let mut readable = clean(fullname, MAX_KEY).unwrap_or_default();
    if readable == fullname && readable.len() <= MAX_KEY {
        return readable;
    }
    let hash: String = Sha256::digest(fullname).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    while readable.len() > MAX_KEY - hash.len() - 1 {
        readable.pop();
    }
    format!("{readable}#{hash}")
}

/// What `_http._tcp` with the subtype `_printer` says.
pub fn hint(record: &Announcement, policy: &PrinterPolicy) -> Result<Hint, Ignored> {
    let name = instance_name(record).ok_or(Ignored::NoName)?;
    refuse(origin(record), Accept::default())?;
    // As for AppSocket: the address counts, not the port.
    let place = Announcement { kind: EndpointKind::AppSocket, port: record.port.max(1), ..record.clone() };
    let (addresses, scope_id) = addresses(&place, policy, &[])?;
    let host = match host(&record.host) {
        Some(host) => host,
        None => addresses.first().map(IpAddr::to_string).ok_or(Ignored::OutsideNetworks)?,
    };
    Ok(Hint { key: key(&record.fullname), name, host, addresses, scope_id })
}

/// Makes a sighting of an announced service of a device. `raw_ports`: what this device announced for AppSocket and LPD.
pub fn sighting(record: &Announcement, policy: &PrinterPolicy, raw_ports: &[u16]) -> Result<Sighting, Ignored> {
    judge(record, policy, raw_ports, Accept::default())
}

/// [`sighting`], with what else is taken.
pub fn judge(
    record: &Announcement,
    policy: &PrinterPolicy,
    raw_ports: &[u16],
    accept: Accept,
) -> Result<Sighting, Ignored> {
    let txt = Txt(&record.txt);
    let name = instance_name(record).ok_or(Ignored::NoName)?;
    let path = match record.kind {
        EndpointKind::Ipps | EndpointKind::Ipp => path(txt.get("rp").as_deref().unwrap_or("ipp/print")),
        EndpointKind::Lpd => path(txt.get("rp").as_deref().filter(|queue| !queue.trim().is_empty()).unwrap_or("auto")),
        EndpointKind::AppSocket | EndpointKind::Snmp => String::new(),
    };
    refuse(origin(record), accept)?;
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
            Err(_) => {}
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

/// What stands behind an announcement, by what it says itself.
pub fn origin(record: &Announcement) -> Origin {
    let txt = Txt(&record.txt);
    let subtype_cups =
        record.subtype.as_deref().is_some_and(|subtype| subtype.to_ascii_lowercase().starts_with("_cups."));
    let at_host = |text: Option<String>| text.is_some_and(|text| text.contains(" @ "));
    let told = || at_host(instance_name(record)) || at_host(txt.text("ty")) || txt.has("printer-state");
    if record.txt.iter().any(|(key, _)| key.get(..OWN_KEY.len()).is_some_and(|key| key.eq_ignore_ascii_case(OWN_KEY))) {
        Origin::Own
    } else if txt.has("printer-type") || subtype_cups || (is_queue(record) && told()) {
        Origin::Shared
    } else if txt.has("usb_HWID") {
        Origin::Usb
    } else {
        Origin::Device
    }
}

/// Whether its path is that of a queue of CUPS. That alone proves nothing: some devices use it too.
pub fn is_queue(record: &Announcement) -> bool {
    let path = Txt(&record.txt).get("rp").unwrap_or_default();
    let path = path.trim_start_matches('/');
    record.kind.is_ipp() && (path.starts_with("printers/") || path.starts_with("classes/"))
}

fn refuse(origin: Origin, accept: Accept) -> Result<(), Ignored> {
    match origin {
        Origin::Shared if !accept.shares => Err(Ignored::SharedQueue),
        Origin::Usb if !accept.usb => Err(Ignored::OverUsb),
        Origin::Own => Err(Ignored::Own),
        _ => Ok(()),
    }
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
    let ty = txt.text("ty").map(without_language).filter(|ty| is_something(ty));
    let product = txt.text("product").map(|product| {
        let product = product.strip_prefix('(').unwrap_or(&product);
        without_language(product.strip_suffix(')').unwrap_or(product).to_owned())
    });
    let product = product.filter(|product| is_something(product) && !product.contains("Ghostscript"));
    let mfg = txt.first_text(&["usb_MFG", "usb_MANUFACTURER", "usb_MANU", "MFG", "MANU", "MANUFACTURER"]);
    let mdl = txt.first_text(&["usb_MDL", "usb_MODEL", "MDL", "MODEL"]).filter(|model| is_something(model));
    let named = mdl.or(ty.clone()).or(product.clone());
    let make = mfg.filter(|make| is_something(make)).or_else(|| {
        let texts = || [&ty, &product, &named].into_iter().flatten();
        let written = |text: &String| Some(makers::split(text).written.to_owned()).filter(|make| !make.is_empty());
        let line = |text: &String| makers::of_line(text).map(|maker| maker.name.to_owned());
        texts().find_map(written).or_else(|| texts().find_map(line))
    });
    let model = named.map(|model| makers::without_maker(&model, make.as_deref()).to_owned());
    Evidence {
        make,
        model,
        serial: txt.first_text(&["usb_SER", "usb_SN"]).filter(|serial| is_something(serial)),
        uuid: txt.get("UUID").as_deref().and_then(identity::canonical_uuid),
        macs: txt
            .get("mac")
            .as_deref()
            .and_then(identity::canonical_mac)
            .or_else(|| mac_in_host(host))
            .into_iter()
            .collect(),
    }
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

/// Whether a text is more than a filler.
fn is_something(text: &str) -> bool {
    identity::plain(text).is_some()
}

/// Brother puts the address into the host name: `BRNB42200415BAA`, `BRW10B1DFA23670`.
fn mac_in_host(host: &str) -> Option<String> {
    let label = host.split('.').next()?;
    let digits = label.strip_prefix("BRN").or_else(|| label.strip_prefix("BRW"))?;
    identity::canonical_mac(digits).filter(|_| digits.len() == 12)
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
        let value = value.get(..1024).unwrap_or(value);
        match std::str::from_utf8(value) {
            Ok(text) => Some(text.to_owned()),
            // Latin-1, as old devices write it.
            Err(_) => Some(value.iter().map(|byte| char::from(*byte)).collect()),
        }
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
mod tests;
