//! How the agent of a kind of device is built, as data: enterprise, hrDeviceIndex, message sizes, habits, and where its
//! vendor keeps what. The profiles' makers are invented; their agents are shaped like those of the vendors named here,
//! as rebadged devices are (sysObjectID tells the vendor of the controller, not the name on the case).

use crate::simulate::profiles::{Profile, Snmp};

/// One kind of agent.
#[derive(Debug)]
pub(super) struct Kind {
    /// Profiles of which it is.
    pub(super) profiles: &'static [&'static str],
    /// Private enterprise number: of sysObjectID and the engine id.
    pub(super) enterprise: u32,
    /// sysObjectID behind 1.3.6.1.4.1.ENTERPRISE.
    pub(super) product: &'static [u32],
    /// hrDeviceIndex of the (first) printer.
    pub(super) device: u32,
    /// Longest message it sends, octets.
    pub(super) longest: usize,
    /// Octets of hrPrinterDetectedErrorState.
    pub(super) error_state: ErrorState,
    /// sysDescr tells of the network card instead of the printer.
    pub(super) card: Option<&'static str>,
    /// Contexts in which it serves the same objects, besides the nameless one.
    pub(super) contexts: &'static [&'static str],
    /// Tells what it knew last while the printer sleeps: the card is awake, the printer behind it is not asked.
    pub(super) stale: bool,
    /// Leaves prtGeneralSerialNumber empty.
    pub(super) hides_serial: bool,
    /// Its private objects.
    pub(super) vendor: &'static [(&'static [u32], Private)],
}

/// How long hrPrinterDetectedErrorState is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorState {
    /// Always one octet: what the second would say is lost.
    One,
    /// Always two octets.
    Two,
    /// As many as are needed; none without an error.
    Needed,
}

/// What a private object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Private {
    /// Serial number.
    Serial,
    /// Firmware.
    Firmware,
    /// Model.
    Model,
    /// IEEE 1284 device id.
    DeviceId,
    /// All impressions.
    Total,
    /// First line of the display.
    Display,
    /// Name given to the printer.
    Name,
    /// Brother's block of maintenance percentages.
    BrotherMaintenance,
    /// Brother's block of counters.
    BrotherCounters,
}

/// As HP builds them.
static HP: Kind = Kind {
    profiles: &["office-colour"],
    enterprise: 11,
    product: &[2, 3, 9, 1],
    device: 1,
    longest: 1472,
    error_state: ErrorState::Two,
    card: None,
    contexts: &["Jetdirect"],
    stale: false,
    hides_serial: false,
    vendor: &[
        (&[11, 2, 3, 9, 1, 1, 7, 0], Private::DeviceId),
        (&[11, 2, 3, 9, 4, 2, 1, 1, 3, 2, 0], Private::Model),
        (&[11, 2, 3, 9, 4, 2, 1, 1, 3, 3, 0], Private::Serial),
        (&[11, 2, 3, 9, 4, 2, 1, 1, 3, 6, 0], Private::Firmware),
        (&[11, 2, 3, 9, 4, 2, 1, 4, 1, 2, 5, 0], Private::Total),
    ],
};

/// As HP built them: a JetDirect card in a printer of the nineties, version 1.
static JETDIRECT: Kind = Kind {
    profiles: &["old-mono", "print-server"],
    enterprise: 11,
    product: &[2, 3, 9, 1],
    device: 1,
    longest: 484,
    error_state: ErrorState::One,
    card: Some("HP ETHERNET MULTI-ENVIRONMENT,ROM A.08.32,JETDIRECT,JD33,EEPROM"),
    contexts: &[],
    stale: false,
    hides_serial: true,
    vendor: &[
        (&[11, 2, 3, 9, 1, 1, 7, 0], Private::DeviceId),
        (&[11, 2, 3, 9, 4, 2, 1, 1, 3, 3, 0], Private::Serial),
        (&[11, 2, 3, 9, 4, 2, 1, 4, 1, 2, 5, 0], Private::Total),
    ],
};

/// As Kyocera builds them: one sysObjectID for every model.
static KYOCERA: Kind = Kind {
    profiles: &["mfp"],
    enterprise: 1347,
    product: &[41],
    device: 1,
    longest: 1472,
    error_state: ErrorState::Two,
    card: None,
    contexts: &[],
    stale: true,
    hides_serial: false,
    vendor: &[
        (&[1347, 40, 10, 1, 1, 5, 1], Private::Name),
        (&[1347, 43, 5, 1, 1, 28, 1], Private::Serial),
        (&[1347, 43, 5, 4, 1, 5, 1, 1], Private::Firmware),
        (&[1347, 43, 10, 1, 1, 12, 1, 1], Private::Total),
    ],
};

/// As Brother builds them: a network card of its own, the true percentages in a private block.
static BROTHER: Kind = Kind {
    profiles: &["mono-laser"],
    enterprise: 2435,
    product: &[2, 3, 9, 1],
    device: 1,
    longest: 484,
    error_state: ErrorState::One,
    card: Some("NC-8300h, Firmware Ver."),
    contexts: &[],
    stale: true,
    hides_serial: true,
    vendor: &[
        (&[2435, 2, 3, 9, 1, 1, 7, 0], Private::DeviceId),
        (&[2435, 2, 3, 9, 4, 2, 1, 5, 4, 5, 2, 0], Private::Display),
        (&[2435, 2, 3, 9, 4, 2, 1, 5, 5, 1, 0], Private::Serial),
        (&[2435, 2, 3, 9, 4, 2, 1, 5, 5, 8, 0], Private::BrotherMaintenance),
        (&[2435, 2, 3, 9, 4, 2, 1, 5, 5, 10, 0], Private::BrotherCounters),
        (&[2435, 2, 3, 9, 4, 2, 1, 5, 5, 17, 0], Private::Firmware),
    ],
};

/// As Zebra builds them.
static ZEBRA: Kind = Kind {
    profiles: &["label"],
    enterprise: 10642,
    product: &[1, 1],
    device: 1,
    longest: 1472,
    error_state: ErrorState::Needed,
    card: None,
    contexts: &[],
    stale: false,
    hides_serial: true,
    vendor: &[
        (&[10642, 1, 1, 0], Private::Model),
        (&[10642, 1, 2, 0], Private::Firmware),
        (&[10642, 1, 4, 0], Private::Name),
        (&[10642, 1, 9, 0], Private::Serial),
        (&[10642, 200, 17, 3, 0], Private::Total),
    ],
};

/// As Epson builds them: the printer is not the first device.
static EPSON: Kind = Kind {
    profiles: &["inkjet"],
    enterprise: 1248,
    product: &[1, 1, 2, 1, 3],
    device: 3,
    longest: 1472,
    error_state: ErrorState::Needed,
    card: Some("EPSON Built-in 11b/g/n Print Server"),
    contexts: &[],
    stale: false,
    hides_serial: false,
    vendor: &[
        (&[11, 2, 3, 9, 1, 1, 7, 0], Private::DeviceId),
        (&[1248, 1, 2, 2, 1, 1, 1, 2, 1], Private::Model),
        (&[1248, 1, 2, 2, 1, 1, 1, 5, 1], Private::Serial),
        (&[1248, 1, 2, 2, 2, 1, 1, 4], Private::Firmware),
    ],
};

/// An enterprise nobody knows, and a small first version.
static PLAIN: Kind = Kind {
    profiles: &[],
    enterprise: 32_473,
    product: &[1],
    device: 1,
    longest: 484,
    error_state: ErrorState::Two,
    card: None,
    contexts: &[],
    stale: false,
    hides_serial: false,
    vendor: &[],
};

/// The agent of this profile.
pub(super) fn kind(profile: &Profile) -> &'static Kind {
    let fallback = if profile.services.snmp == Snmp::V3 { &HP } else { &PLAIN };
    [&HP, &JETDIRECT, &KYOCERA, &BROTHER, &ZEBRA, &EPSON]
        .into_iter()
        .find(|kind| kind.profiles.contains(&profile.key))
        .unwrap_or(fallback)
}

/// A recording is served with the longest message that Ethernet carries whole.
pub(super) const RECORDED_LONGEST: usize = 1472;
