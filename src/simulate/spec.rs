//! What an office is to consist of, and who its printers are.

use super::auth::BasicAuth;
use super::fault::Fault;
use super::profiles::{self, Profile};
use super::snmp::Access;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What an office consists of.
#[derive(Debug, Clone)]
pub struct OfficeConfig {
    /// Its printers; names must differ.
    pub printers: Vec<PrinterSpec>,
    /// Where they print to; made when missing.
    pub out_dir: PathBuf,
    /// How they are announced; `None`: not at all.
    pub mdns: Option<Mdns>,
    /// UUIDs and serial numbers are derived from this and the printer's name, so they outlive a restart. Offices that
    /// run at the same time must differ in it.
    pub seed: String,
    /// Serves `simulate-control.sock` in `out_dir` (faults and power at run time, see the module `control`).
    pub control_socket: bool,
}

/// How printers are announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mdns {
    /// On which interfaces.
    pub interfaces: Interfaces,
    /// UDP port: 5353, or another for an office that only its own test sees.
    pub port: u16,
}

/// Network interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interfaces {
    /// Loopback over IPv4 only.
    Loopback,
    /// Every one.
    All,
    /// These.
    Named(Vec<String>),
}

impl Default for Mdns {
    fn default() -> Mdns {
        Mdns { interfaces: Interfaces::Loopback, port: 5353 }
    }
}

/// One printer to be simulated.
#[derive(Debug, Clone)]
pub struct PrinterSpec {
    /// Instance name that people see; unique within the office.
    pub name: String,
    /// What kind of device it is.
    pub profile: &'static Profile,
    /// Where it listens.
    pub address: IpAddr,
    /// TCP port; 0 takes a free one and keeps it over power cycles.
    pub port: u16,
    /// UDP port of its SNMP agent, when its profile has one: 0 takes a free one, `None` leaves it out.
    pub snmp_port: Option<u16>,
    /// Who may ask its SNMP agent.
    pub snmp_access: Access,
    /// A recording (`.snmprec`) that its SNMP agent serves instead of objects of its own.
    pub snmp_records: Option<PathBuf>,
    /// TCP port of AppSocket, likewise.
    pub appsocket_port: Option<u16>,
    /// TCP port of LPD, likewise.
    pub lpd_port: Option<u16>,
    /// The print server that it is behind: printers of one server share the address and the IPP, LPD and SNMP ports of
    /// the first of them. Each has an IPP path and an LPD queue (`port1`, `port2`, …) and an AppSocket port of its own.
    /// Without the first, nobody listens there.
    pub server: Option<String>,
    /// Asks for a user name and password (HTTP Basic).
    pub auth: Option<BasicAuth>,
    /// Speaks TLS as well, on the same port.
    pub tls: bool,
    /// `printer-location` and the TXT key `note`.
    pub location: String,
    /// DNS-SD priority, 0 to 99.
    pub priority: u8,
    /// What is wrong with it from the start.
    pub faults: Vec<Fault>,
    /// How long it remembers finished jobs; `None`: as its profile says.
    pub history: Option<History>,
    /// How long one impression takes.
    pub page_time: Duration,
    /// `multiple-operation-time-out`.
    pub time_out: Duration,
}

impl PrinterSpec {
    /// A printer of the default profile that takes 100 ms a page, speaks what the profile speaks and has nothing wrong with it.
    pub fn new(name: impl Into<String>, address: IpAddr) -> PrinterSpec {
        PrinterSpec {
            name: name.into(),
            profile: profiles::default_profile(),
            address,
            port: 0,
            snmp_port: Some(0),
            snmp_access: Access::default(),
            snmp_records: None,
            appsocket_port: Some(0),
            lpd_port: Some(0),
            server: None,
            auth: None,
            tls: false,
            location: "2nd floor".to_owned(),
            priority: 30,
            faults: Vec::new(),
            history: None,
            page_time: Duration::from_millis(100),
            time_out: Duration::from_secs(60),
        }
    }
}

/// How long a printer remembers finished jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// The last 2,000, until the power goes.
    Keep,
    /// So long.
    Forget(Duration),
    /// Not at all: a finished job is unknown at once.
    None,
}

impl FromStr for History {
    type Err = String;

    fn from_str(text: &str) -> Result<History, String> {
        match text.split_once(':') {
            None if text == "keep" => Ok(History::Keep),
            None if text == "none" => Ok(History::None),
            Some(("forget", seconds)) => match seconds.parse() {
                Ok(seconds) => Ok(History::Forget(Duration::from_secs(seconds))),
                Err(_) => Err(format!("`{seconds}` is no number of seconds")),
            },
            _ => Err(format!("`{text}` is no history: use keep, forget:SECONDS or none")),
        }
    }
}

/// Who a printer is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) location: String,
    /// Without `urn:uuid:`.
    pub(super) uuid: String,
    pub(super) serial: String,
    /// Host name without the trailing dot.
    pub(super) host: String,
}

impl Identity {
    pub(super) fn new(spec: &PrinterSpec, seed: &str) -> Identity {
        let hash = Sha256::digest(format!("printgate simulate\0{seed}\0{}", spec.name));
        let mut bytes = [0u8; 16];
        bytes.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
        // A random UUID in form (RFC 9562 §5.4).
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = data_encoding::HEXLOWER.encode(&bytes);
        let (a, rest) = hex.split_at(8);
        let (b, rest) = rest.split_at(4);
        let (c, rest) = rest.split_at(4);
        let (d, e) = rest.split_at(4);
        let serial: String = data_encoding::BASE32_NOPAD.encode(&hash).chars().take(10).collect();
        Identity {
            name: spec.name.clone(),
            location: spec.location.clone(),
            uuid: format!("{a}-{b}-{c}-{d}-{e}"),
            host: format!("{}{}.local", spec.profile.make.to_ascii_lowercase(), serial.to_ascii_lowercase()),
            serial,
        }
    }
}

/// What the printers of the profiles are called, and where they stand.
const PLACES: &[(&str, &str, &str)] = &[
    ("office-colour", "Colour", "2nd floor"),
    ("mono-laser", "Reception", "Ground floor"),
    ("label", "Labels", "Warehouse"),
    ("old-mono", "Archive", "Basement"),
    ("inkjet", "Photos", "Marketing"),
    ("mfp", "Copier", "Corridor"),
    ("print-server", "Workshop", "Workshop"),
];

/// Printers behind one print server.
const BEHIND_SERVER: usize = 3;

/// `count` printers of all profiles in turn, three behind each print server, at 127.0.83.1 and up, on free ports.
pub fn default_printers(count: u16) -> Vec<PrinterSpec> {
    printers_of(count, None, Ipv4Addr::new(127, 0, 83, 1))
}

/// `count` printers of this profile, or of all in turn, at this address and up, on free ports.
pub fn printers_of(count: u16, only: Option<&'static Profile>, first: Ipv4Addr) -> Vec<PrinterSpec> {
    let known = |key: &str| profiles::profile(key).filter(|profile| only.is_none_or(|only| only.key == profile.key));
    let kinds: Vec<_> =
        PLACES.iter().filter_map(|(key, name, location)| Some((known(key)?, *name, *location))).collect();
    let count = usize::from(count);
    let mut printers = Vec::with_capacity(count);
    for (index, (profile, name, location)) in (0u32..).zip(kinds.iter().copied().cycle()) {
        if printers.len() >= count {
            break;
        }
        let round = index as usize / kinds.len();
        let name = if round == 0 { name.to_owned() } else { format!("{name} {}", round + 1) };
        // Addresses that end in 0 or 255 are fine on loopback.
        let address = Ipv4Addr::from(u32::from(first).wrapping_add(index));
        let spec = PrinterSpec { profile, location: location.to_owned(), ..PrinterSpec::new(name, address.into()) };
        if profile.key == "print-server" {
            let behind = BEHIND_SERVER.min(count - printers.len());
            printers.extend(('A'..).take(behind).map(|letter| {
                let name = format!("{} {letter}", spec.name);
                PrinterSpec { name, server: Some(spec.name.clone()), ..spec.clone() }
            }));
        } else {
            printers.push(spec);
        }
    }
    printers
}
