//! What an administrator decided about printers, as the configuration says it: who is taken in, who is who, what they
//! are called.
//!
//! A [`Selector`] names devices by something that is known of them. As text it is `KIND:VALUE`:
//!
//! | text | means |
//! |---|---|
//! | `id:hp-7k2m9q4xwp` | the printer with this id, or into which this id was merged |
//! | `serial:CN35T1M03Q` | the serial number |
//! | `uuid:…` | the UUID |
//! | `mac:d4:c9:ef:00:c3:a1` | the address of a network card |
//! | `host:laser.local` | the host name, as announced or configured: what a sweep found by its address has none |
//! | `name:Laser 2nd floor` | the announced instance name |
//! | `address:10.0.0.7`, `address:10.0.3.0/24` | its address, or a network that holds it |
//!
//! An address or network alone means `address:`, a printer's id alone `id:`.

use crate::domain::identity;
use crate::domain::ids::PrinterId;
use crate::domain::net::Network;
use crate::domain::sighting::Evidence;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Whether printers that turn up are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adoption {
    /// As soon as it is known who they are.
    #[default]
    Auto,
    /// When an administrator approves: in the configuration, or by desired `config.approved` of the printer's shadow.
    Approve,
}

/// What an administrator decided. The default decides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether new printers need approval.
    pub adoption: Adoption,
    /// Approved beforehand.
    pub approved: Vec<Selector>,
    /// Never taken in, and put away if they are in: no shadow, no polls, no jobs.
    pub ignored: Vec<Selector>,
    /// Gone for good: they are forgotten, and not found again while they stand here. An id names a device by the key it
    /// was made of: one that comes back with another serial number, UUID, first MAC address or, without any of these,
    /// host is another printer. Of ids that were merged, name the one that stays.
    pub retired: Vec<PrinterId>,
    /// Whoever matches is this printer, whatever the evidence says.
    pub pins: Vec<Pinned>,
    /// The ids of one device; the first one stays.
    pub merges: Vec<Vec<PrinterId>>,
    /// What never belongs to a printer, whatever the evidence says.
    pub splits: Vec<Split>,
    /// What printers are called. Changes no id.
    pub names: BTreeMap<PrinterId, String>,
    /// Nobody is asked: what is announced is taken in however much of it there is (see `room`).
    pub unasked: bool,
}

/// Why an administrator put a printer away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwanted {
    /// It is ignored.
    Ignored,
    /// It is retired.
    Retired,
}

/// Whoever `what` names is `printer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// What is seen.
    pub what: Selector,
    /// Who it is. The id need not be known yet: it is then given to the first device that matches.
    pub printer: PrinterId,
}

/// Whatever `what` names is not `printer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What is seen.
    pub what: Selector,
    /// Who it is not.
    pub printer: PrinterId,
}

/// Names devices by something that is known of them. See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// A printer's id.
    Id(PrinterId),
    /// Canonical serial number.
    Serial(String),
    /// Canonical UUID.
    Uuid(String),
    /// Canonical MAC address.
    Mac(String),
    /// Host name, lower case, without a trailing dot.
    Host(String),
    /// Announced instance name; compared without case.
    Name(String),
    /// Address, or network that holds it.
    Address(Network),
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSelector(String);

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(network) = network(text) {
            return Ok(Self::Address(network));
        }
        let wrong = |why: String| InvalidSelector(why);
        let Some((kind, value)) = text.split_once(':') else {
            return PrinterId::new(text).map(Self::Id).map_err(|_| {
                let forms = "id:, serial:, uuid:, mac:, host:, name: or address: and a value";
                wrong(format!("must be {forms}, an address, a network, or a printer's id"))
            });
        };
        let value = value.trim();
        let of = |evidence: Evidence| identity::canonical(&evidence);
        let some = || Some(value.to_owned());
        let canonical = match kind.trim() {
            "id" => PrinterId::new(value).ok().map(Self::Id),
            "serial" => of(Evidence { serial: some(), ..Evidence::default() }).serial.map(Self::Serial),
            "uuid" => of(Evidence { uuid: some(), ..Evidence::default() }).uuid.map(Self::Uuid),
            "mac" => {
                let mac = of(Evidence { macs: vec![value.to_owned()], ..Evidence::default() });
                mac.macs.into_iter().next().map(Self::Mac)
            }
            "host" => (!value.is_empty()).then(|| Self::Host(value.trim_end_matches('.').to_ascii_lowercase())),
            "name" => (!value.is_empty()).then(|| Self::Name(value.to_owned())),
            "address" => network(value).ok().map(Self::Address),
            other => return Err(wrong(format!("{other}: is no kind of selector"))),
        };
        canonical.ok_or_else(|| wrong(format!("{value:?} is no usable value for {}", kind.trim())))
    }
}

fn network(text: &str) -> Result<Network, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Network::new(address, if address.is_ipv4() { 32 } else { 128 }).map_err(|e| e.to_string()),
        Err(_) => text.parse::<Network>().map_err(|e| e.to_string()),
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "id:{id}"),
            Self::Serial(serial) => write!(f, "serial:{serial}"),
            Self::Uuid(uuid) => write!(f, "uuid:{uuid}"),
            Self::Mac(mac) => write!(f, "mac:{mac}"),
            Self::Host(host) => write!(f, "host:{host}"),
            Self::Name(name) => write!(f, "name:{name}"),
            Self::Address(network) => write!(f, "address:{network}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_and_print_themselves() {
        for (text, printed) in [
            ("10.0.0.7", "address:10.0.0.7/32"),
            ("10.0.3.0/24", "address:10.0.3.0/24"),
            ("fd00::7", "address:fd00::7/128"),
            ("hp-7k2m9q4xwp", "id:hp-7k2m9q4xwp"),
            ("mac:D4-C9-EF-00-C3-A1", "mac:d4c9ef00c3a1"),
            ("serial: cn35t1 ", "serial:CN35T1"),
            ("host:Laser.local.", "host:laser.local"),
            ("name:A: b", "name:A: b"),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.to_string(), printed);
            assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector, "{text}");
        }
        for text in ["", "serial:0", "uuid:1", "mac:000000000000", "colour:red", "address:10.0.0.0/99", "id:", "host:"]
        {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
