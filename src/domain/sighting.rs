//! A sighting: one observation of a possible printer by one discovery source. Sightings are claims, not facts;
//! identity is decided from the evidence in them and from what the device itself answers.

use super::endpoint::Endpoint;
use serde::{Deserialize, Serialize};

/// What a device said of who it is. Every field is a claim and may be absent, empty-handed or wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Maker as the device writes it.
    pub make: Option<String>,
    /// Model without the maker in front.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// `printer-uuid` without `urn:uuid:`, lower case.
    pub uuid: Option<String>,
    /// Network card address, 12 lower-case hex digits.
    pub mac: Option<String>,
}

/// One discovery source's word about one service instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Stable within its source: for mDNS the full service name (`Laser._ipp._tcp.local.`).
    pub key: String,
    /// The instance name a person sees (`HP LaserJet [2nd floor]`), unescaped, control characters removed.
    pub name: String,
    /// Host name of the SRV target, without the trailing dot.
    pub host: String,
    /// How it can be printed to.
    pub endpoint: Endpoint,
    /// DNS-SD `priority`, 0 to 99, lower is preferred.
    pub priority: u8,
    /// Who it says it is.
    pub evidence: Evidence,
    /// Location from the record's `note`.
    pub location: Option<String>,
    /// Document formats from `pdl`, lower case.
    pub formats: Vec<String>,
}

/// What a discovery source reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscoveryEvent {
    /// Seen, or seen changed. Boxed: much larger than the other variant.
    Found(Box<Sighting>),
    /// Its record expired or said goodbye. Not proof that the printer is gone.
    Lost {
        /// The sighting's `key`.
        key: String,
    },
    /// It must not be connected any more: its port turned out to be a print port.
    Withdrawn {
        /// The sighting's `key`.
        key: String,
    },
}
