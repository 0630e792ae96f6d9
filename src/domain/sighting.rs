//! A sighting: one observation of a possible printer by one discovery source. Sightings are claims, not facts;
//! identity is decided from the evidence in them and from what the device itself answers.

use super::endpoint::Endpoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a device said of who it is. Every field is a claim and may be absent, empty-handed or wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "StoredEvidence")]
pub struct Evidence {
    /// Maker as the device writes it.
    pub make: Option<String>,
    /// Model without the maker in front.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// `printer-uuid` without `urn:uuid:`, lower case.
    pub uuid: Option<String>,
    /// Addresses of its network cards, 12 lower-case hex digits each, sorted, at most [`MAX_MACS`].
    pub macs: Vec<String>,
}

/// Network cards of one device; more are not kept.
pub const MAX_MACS: usize = 8;

/// As rows hold it: older ones have one `mac`.
#[derive(Deserialize)]
struct StoredEvidence {
    make: Option<String>,
    model: Option<String>,
    serial: Option<String>,
    uuid: Option<String>,
    mac: Option<String>,
    #[serde(default)]
    macs: Vec<String>,
}

impl From<StoredEvidence> for Evidence {
    fn from(stored: StoredEvidence) -> Self {
        let StoredEvidence { make, model, serial, uuid, mac, macs } = stored;
        Self { make, model, serial, uuid, macs: in_order(macs.into_iter().chain(mac)) }
    }
}

/// The addresses of network cards as [`Evidence::macs`] holds them: sorted, each once, at most [`MAX_MACS`].
pub fn in_order(macs: impl IntoIterator<Item = String>) -> Vec<String> {
    let macs: BTreeSet<String> = macs.into_iter().collect();
    macs.into_iter().take(MAX_MACS).collect()
}

/// One discovery source's word about one service instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_one_network_card_read_back() {
        let old = r#"{"make":"HP","model":null,"serial":"A1","uuid":null,"mac":"d4c9ef00c3a1"}"#;
        let read: Evidence = serde_json::from_str(old).unwrap();
        assert_eq!(read.macs, ["d4c9ef00c3a1"]);
        let again: Evidence = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
        assert_eq!(again, read);
        assert_eq!(serde_json::from_str::<Evidence>(r#"{"mac":null}"#).unwrap(), Evidence::default());
    }
}
