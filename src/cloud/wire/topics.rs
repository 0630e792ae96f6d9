//! Topics: the one place that builds and takes apart their text.
//!
//! ```text
//! printers/{gateway}/{printer}/print/submit        in
//! printers/{gateway}/{printer}/print/control       in
//! printers/{gateway}/{printer}/print/status        out, comes back as echo
//! printers/{gateway}/{printer}/status              out, echo
//! printers/{gateway}/{printer}/event               out, echo
//! printers/{gateway}/telemetry                     out, echo
//! printers/{gateway}/status                        out, echo
//! printers/{gateway}/echo                          out, echo: the probe that tells online from offline
//! $aws/things/{gateway}/shadow/name/{printer}/update                      out
//! $aws/things/{gateway}/shadow/name/{printer}/update/accepted|rejected|delta   in
//! ```
//!
//! Invariant: built topics are within AWS IoT's 256 bytes and 8 levels for any valid names (gateway ≤ 128, printer
//! ≤ 64); a topic that is none of these parses to nothing. The printer's part of an inbound command is handed on as
//! text: the sender of a ticket for a printer that cannot exist gets an answer too.

use crate::domain::ids::{GatewayName, PrinterId};

/// AWS IoT's limit on the length of a topic, in bytes.
const MAX_TOPIC_BYTES: usize = 256;

/// Builds and parses the topics of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    root: String,
    shadow: String,
}

/// What an inbound message is, by its topic. Printers are text as received, 1 to 256 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbound<'a> {
    /// A ticket.
    Submit {
        /// The printer it is for.
        printer: &'a str,
    },
    /// A control message.
    Control {
        /// The printer it is for.
        printer: &'a str,
    },
    /// Our own message, come back.
    Echo,
    /// `update/accepted` of a printer's shadow.
    ShadowAccepted {
        /// The shadow's name.
        printer: &'a str,
    },
    /// `update/rejected` of a printer's shadow.
    ShadowRejected {
        /// The shadow's name.
        printer: &'a str,
    },
    /// `update/delta` of a printer's shadow.
    ShadowDelta {
        /// The shadow's name.
        printer: &'a str,
    },
}

impl Topics {
    /// The topics of `gateway` under the default root `printers/{gateway}`.
    pub fn new(gateway: &GatewayName) -> Self {
        Self { root: format!("printers/{gateway}"), shadow: format!("$aws/things/{gateway}/shadow/name") }
    }

    /// The filters to subscribe to: disjoint, and their number does not depend on the printers.
    pub fn filters(&self) -> Vec<String> {
        let shadow = |leaf: &str| format!("{}/+/update/{leaf}", self.shadow);
        vec![self.command_filter(), shadow("accepted"), shadow("rejected"), shadow("delta")]
    }

    /// Commands of the cloud and the echo of what the gateway publishes.
    pub fn command_filter(&self) -> String {
        format!("{}/#", self.root)
    }

    /// Where tickets for `printer` arrive.
    pub fn submit(&self, printer: &PrinterId) -> String {
        format!("{}/{printer}/print/submit", self.root)
    }

    /// Where control messages for jobs of `printer` arrive.
    pub fn control(&self, printer: &PrinterId) -> String {
        format!("{}/{printer}/print/control", self.root)
    }

    /// Where transitions of jobs go. `printer` is text: a ticket for an unknown printer is answered where it was
    /// sent, or nowhere if that name cannot stand in a topic.
    pub fn print_status(&self, printer: &str) -> Option<String> {
        let plain = is_level(printer) && printer.bytes().all(|b| b.is_ascii_graphic());
        let topic = format!("{}/{printer}/print/status", self.root);
        (plain && topic.len() <= MAX_TOPIC_BYTES).then_some(topic)
    }

    /// Where the status of `printer` goes.
    pub fn printer_status(&self, printer: &PrinterId) -> String {
        format!("{}/{printer}/status", self.root)
    }

    /// Where alerts of `printer` go.
    pub fn event(&self, printer: &PrinterId) -> String {
        format!("{}/{printer}/event", self.root)
    }

    /// Where batches of telemetry go.
    pub fn telemetry(&self) -> String {
        format!("{}/telemetry", self.root)
    }

    /// Where the gateway's own status goes.
    pub fn gateway_status(&self) -> String {
        format!("{}/status", self.root)
    }

    /// Where the probe goes whose echo says that the way to the cloud and back is open.
    pub fn echo_probe(&self) -> String {
        format!("{}/echo", self.root)
    }

    /// Where updates of the shadow of `printer` go.
    pub fn shadow_update(&self, printer: &PrinterId) -> String {
        format!("{}/{printer}/update", self.shadow)
    }

    /// Where the shadow service says yes to an update.
    pub fn shadow_accepted(&self, printer: &PrinterId) -> String {
        format!("{}/{printer}/update/accepted", self.shadow)
    }

    /// Where the shadow service says no to an update.
    pub fn shadow_rejected(&self, printer: &PrinterId) -> String {
        format!("{}/{printer}/update/rejected", self.shadow)
    }

    /// What arrived under `topic`, if it is one of ours.
    pub fn parse<'t>(&self, topic: &'t str) -> Option<Inbound<'t>> {
        if topic.len() > MAX_TOPIC_BYTES {
            return None;
        }
        if let Some(rest) = below(topic, &self.shadow) {
            let (printer, leaf) = rest.split_once('/')?;
            if !is_level(printer) {
                return None;
            }
            return match leaf {
                "update/accepted" => Some(Inbound::ShadowAccepted { printer }),
                "update/rejected" => Some(Inbound::ShadowRejected { printer }),
                "update/delta" => Some(Inbound::ShadowDelta { printer }),
                _ => None,
            };
        }
        let rest = below(topic, &self.root)?;
        let Some((printer, leaf)) = rest.split_once('/') else {
            return matches!(rest, "telemetry" | "status" | "echo").then_some(Inbound::Echo);
        };
        if !is_level(printer) {
            return None;
        }
        match leaf {
            "print/submit" => Some(Inbound::Submit { printer }),
            "print/control" => Some(Inbound::Control { printer }),
            "print/status" | "status" | "event" => Some(Inbound::Echo),
            _ => None,
        }
    }
}

/// The part of `topic` below `root`.
fn below<'t>(topic: &'t str, root: &str) -> Option<&'t str> {
    topic.strip_prefix(root)?.strip_prefix('/')
}

/// One level of a concrete topic: not empty, no separator, no wildcard.
fn is_level(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '+', '#', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topics() -> Topics {
        Topics::new(&GatewayName::new("gw-1").unwrap())
    }

    fn printer() -> PrinterId {
        PrinterId::new("hp-7k2m9q4xwp").unwrap()
    }

    #[test]
    fn what_is_built_is_parsed_back() {
        let (t, p) = (topics(), printer());
        let text = p.as_str();
        assert_eq!(t.submit(&p), "printers/gw-1/hp-7k2m9q4xwp/print/submit");
        assert_eq!(t.shadow_update(&p), "$aws/things/gw-1/shadow/name/hp-7k2m9q4xwp/update");
        for (topic, want) in [
            (t.submit(&p), Some(Inbound::Submit { printer: text })),
            (t.control(&p), Some(Inbound::Control { printer: text })),
            (t.print_status(text).unwrap(), Some(Inbound::Echo)),
            (t.printer_status(&p), Some(Inbound::Echo)),
            (t.event(&p), Some(Inbound::Echo)),
            (t.telemetry(), Some(Inbound::Echo)),
            (t.gateway_status(), Some(Inbound::Echo)),
            (t.echo_probe(), Some(Inbound::Echo)),
            (t.shadow_accepted(&p), Some(Inbound::ShadowAccepted { printer: text })),
            (t.shadow_rejected(&p), Some(Inbound::ShadowRejected { printer: text })),
            (t.shadow_update(&p), None),
        ] {
            assert_eq!(t.parse(&topic), want, "{topic}");
        }
    }

    #[test]
    fn hostile_topics_are_nothing() {
        for topic in [
            "",
            "/",
            "printers/gw-1",
            "printers/gw-1/",
            "printers/gw-1//print/submit",
            "printers/gw-1/+/print/submit",
            "printers/gw-1/a/b/print/submit",
            "printers/gw-1/a/print/submit/",
            "printers/gw-10/a/print/submit",
            "printers/gw-2/a/print/submit",
            "$aws/things/gw-1/shadow/name//update/accepted",
            "$aws/things/gw-1/shadow/update/accepted",
            "$aws/things/gw-1/shadow/name/a/update/documents",
        ] {
            assert_eq!(topics().parse(topic), None, "{topic}");
        }
        assert_eq!(topics().parse(&format!("printers/gw-1/{}/print/submit", "x".repeat(300))), None);
    }

    #[test]
    fn the_longest_names_stay_within_the_brokers_limits() {
        let t = Topics::new(&GatewayName::new("g".repeat(128)).unwrap());
        let p = PrinterId::new("p".repeat(64)).unwrap();
        for topic in [t.submit(&p), t.print_status(p.as_str()).unwrap(), t.shadow_rejected(&p)] {
            assert!(topic.len() <= 256, "{}", topic.len());
            assert!(topic.matches('/').count() <= 7, "{topic}");
            assert!(t.parse(&topic).is_some());
        }
    }

    #[test]
    fn no_answer_goes_to_a_name_that_cannot_stand_in_a_topic() {
        assert_eq!(topics().print_status("a/b"), None);
        assert_eq!(topics().print_status("a b\n"), None);
        assert_eq!(topics().print_status(&"x".repeat(256)), None);
        assert!(topics().print_status("Unknown_1").is_some());
    }

    proptest! {
        #[test]
        fn total_on_any_text(rest in "\\PC{0,300}", tail in "(/print/submit|/status)?") {
            let topic = format!("printers/gw-1/{rest}{tail}");
            if let Some(Inbound::Submit { printer }) = topics().parse(&topic) {
                prop_assert!(!printer.is_empty() && !printer.contains('/'));
            }
            let _ = topics().parse(&rest);
        }
    }
}
