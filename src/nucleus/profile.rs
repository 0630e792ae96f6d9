//! The two Greengrass runtimes, as data: what each allows and how it behaves.
//!
//! | | lite | classic |
//! |---|---|---|
//! | outbound payload | 7,311 B; one more byte closes the IPC connection | 128 KiB |
//! | inbound payload | 4,980 B; larger ones vanish | 128 KiB |
//! | QoS 1 publishes without PUBACK | 10 for all components | 5 on the wire, the rest waits in the spooler |
//! | spooler | none: a publish while offline fails | memory, 2.5 MiB of payload |
//! | subscriptions | 98 for all components | 50 a connection, any number of connections |
//! | an IPC frame | 10,000 B, in and out | 16 MiB |
//! | IPC errors | `_message`, `_errorCode` | `message` |
//! | scalars of the configuration | strings | as deployed; numbers that a component wrote are floats |
//! | a leaf of the configuration | 1,024 B | – |
//! | an UpdateConfiguration older than what is there | OK, ignored | `FailedUpdateConditionCheckError` |
//! | `{iot:thingName}` in `accessControl` | everywhere | for MQTT; elsewhere with `interpolateComponentConfiguration` |
//! | SIGKILL after SIGTERM | 90 s | 5 s |
//! | after a lost IPC connection | the component's name gets a new token | a new process with a new token |
//! | shadows, secrets, deferral of updates, local shadows | no such operation | yes |
//!
//! Lite is measured, classic is read in its source (Greengrass nucleus: `MqttClient`, `Spool`, `UnixExec`, `Lifecycle`).

use std::str::FromStr;
use std::time::Duration;

/// Which runtime the stand-in plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// AWS IoT Greengrass nucleus lite 2.6.
    #[default]
    Lite,
    /// AWS IoT Greengrass nucleus (classic, Java).
    Classic,
}

/// What a runtime allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload that a component may publish to AWS IoT Core, octets.
    pub outbound: usize,
    /// Largest payload that comes from AWS IoT Core, octets.
    pub inbound: usize,
    /// QoS 1 publishes that wait for their PUBACK.
    pub in_flight: usize,
    /// Payload that waits in the spooler, octets; `None`: there is no spooler.
    pub spooler: Option<usize>,
    /// Subscriptions for all components on one connection.
    pub subscriptions: usize,
    /// Another connection is opened when those of one are in use.
    pub more_connections: bool,
    /// From SIGTERM to SIGKILL.
    pub stop: Duration,
    /// Largest IPC frame in either direction after its prelude, octets.
    pub frame: usize,
    /// IPC connections at a time; the classic nucleus names no number, this is the stand-in's.
    pub ipc_connections: usize,
}

impl Profile {
    /// Its limits.
    pub fn limits(self) -> Limits {
        match self {
            Self::Lite => Limits {
                outbound: 7_311,
                inbound: 4_980,
                in_flight: 10,
                spooler: None,
                subscriptions: 98,
                more_connections: false,
                stop: Duration::from_secs(90),
                frame: 10_000,
                ipc_connections: 50,
            },
            Self::Classic => Limits {
                outbound: 128 * 1024,
                inbound: 128 * 1024,
                in_flight: 5,
                spooler: Some(2_621_440),
                subscriptions: 50,
                more_connections: true,
                stop: Duration::from_secs(5),
                frame: 16 * 1024 * 1024,
                ipc_connections: 256,
            },
        }
    }

    /// Whether every scalar of the configuration is handed out as a string.
    pub fn scalars_are_strings(self) -> bool {
        self == Self::Lite
    }

    /// Whether a component may connect by its name alone, after its first token.
    pub fn reconnects_by_name(self) -> bool {
        self == Self::Lite
    }

    /// `GGC_VERSION`.
    pub fn version(self) -> &'static str {
        match self {
            Self::Lite => "2.6.0",
            Self::Classic => "2.15.0",
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lite => "lite",
            Self::Classic => "classic",
        })
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "lite" => Ok(Self::Lite),
            "classic" => Ok(Self::Classic),
            _ => Err(format!("`{text}` is no runtime: use lite or classic")),
        }
    }
}
