//! Topics: the one place that builds and takes apart their text.
//!
//! The topic root is a template (`domain::naming`): P is the root with the printer's id in it, G stands for the gateway.
//!
//! | root | P | G |
//! |---|---|---|
//! | `printers/{gateway}/{printer}` (default) | `printers/{gateway}/{printer}` | `printers/{gateway}` |
//! | `printers/{printer}` (flat) | `printers/{printer}` | `printers/{gateway}` |
//! | `acme/{gateway}/x/{printer}/io` | itself | `acme/{gateway}/x` |
//!
//! ```text
//! P/print/submit                       in
//! P/print/control                      in
//! P/print/status                       out, comes back as echo
//! P/status                             out, echo
//! P/event                              out, echo
//! P/echo                               out, echo: the probe of a printer's own subscription (shared roots only)
//! G/telemetry                          out, echo
//! G/status                             out, echo
//! G/echo                               out, echo: the probe that tells online from offline
//! S/update                             out
//! S/update/accepted|rejected|delta     in
//! ```
//! S is `$aws/things/{gateway}/shadow/name/{printer}` (mapping `named`) or `$aws/things/{thing}/shadow` (mapping `thing`).
//!
//! Under a root without `{gateway}` the gateway's own topics stand beside those of printers, under its name in the place
//! of a printer's id. There `{printer}` is never the gateway's name: a printer's id ends with ten characters of a hash,
//! and should a gateway be named like one of its printers all the same, that printer gets no subscription and says so
//! ([`Topics::printer_filters`]). A rule on `printers/+/status` sees the gateway's status too; it has no field `printer`.
//!
//! Subscriptions ([`Topics::filters`], [`Topics::printer_filters`]) are disjoint: one for all printers where one
//! wildcard can cover them and no other gateway's, else one for each printer; three for each thing.
//!
//! Invariant: built topics are within AWS IoT's 256 bytes and 8 levels for any valid names (gateway ≤ 128, printer
//! ≤ 64); a topic that is none of these parses to nothing. The printer's part of an inbound command is handed on as
//! text: the sender of a ticket for a printer that cannot exist gets an answer too.

use crate::domain::ids::{GatewayName, PrinterId};
use crate::domain::naming::{MAX_TOPIC_BYTES, Naming, Shadows, ThingName};

/// The last levels of what the shadow service says of an update, all that is subscribed to.
const ANSWERS: [&str; 3] = ["accepted", "rejected", "delta"];

/// Builds and parses the topics of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    gateway: GatewayName,
    /// What stands before a printer's id: empty, or with a slash at its end.
    head: String,
    /// What stands behind it: empty, or with a slash at its beginning.
    tail: String,
    /// The gateway's own topics, without a slash at the end.
    own: String,
    /// Each printer has its own filter.
    shared: bool,
    shadows: ShadowTopics,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ShadowTopics {
    Named { base: String },
    Thing { template: ThingName, before: String, after: String },
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
    Echo {
        /// Whose, where it is a printer's.
        printer: Option<&'a str>,
    },
    /// `update/accepted` of a printer's shadow.
    ShadowAccepted {
        /// The printer.
        printer: &'a str,
    },
    /// `update/rejected` of a printer's shadow.
    ShadowRejected {
        /// The printer.
        printer: &'a str,
    },
    /// `update/delta` of a printer's shadow.
    ShadowDelta {
        /// The printer.
        printer: &'a str,
    },
}

impl Topics {
    /// The topics of `gateway` under the default root, with named shadows.
    pub fn new(gateway: &GatewayName) -> Self {
        Self::with(gateway, &Naming::default())
    }

    /// The topics of `gateway` as `naming` says.
    pub fn with(gateway: &GatewayName, naming: &Naming) -> Self {
        let (head, shared) = (naming.root.head(gateway), naming.root.is_shared());
        let own = if shared { format!("{head}{gateway}") } else { head.trim_end_matches('/').to_owned() };
        let shadows = match &naming.shadows {
            Shadows::Named => ShadowTopics::Named { base: format!("$aws/things/{gateway}/shadow/name/") },
            Shadows::Thing(template) => {
                let (before, after) = template.around(gateway);
                ShadowTopics::Thing { template: template.clone(), before, after }
            }
        };
        Self { gateway: gateway.clone(), head, tail: naming.root.tail().to_owned(), own, shared, shadows }
    }

    /// The filters to subscribe to whatever the printers: disjoint, and their number does not depend on them.
    pub fn filters(&self) -> Vec<String> {
        let mut filters = vec![format!("{}/#", self.own)];
        if let ShadowTopics::Named { base } = &self.shadows {
            filters.extend(ANSWERS.map(|answer| format!("{base}+/update/{answer}")));
        }
        filters
    }

    /// The filters to subscribe to for one printer besides: none where those of [`Topics::filters`] cover it.
    ///
    /// # Errors
    /// Why it can have none.
    pub fn printer_filters(&self, printer: &PrinterId) -> Result<Vec<String>, String> {
        let mut filters = Vec::new();
        if self.shared {
            if printer.as_str() == self.gateway.as_str() {
                return Err("it has the name of the gateway, whose own topics are there".to_owned());
            }
            filters.push(format!("{}{printer}{}/#", self.head, self.tail));
        }
        if let ShadowTopics::Thing { template, .. } = &self.shadows {
            let Some(thing) = template.of(&self.gateway, printer) else {
                return Err(format!("no thing can have the name that {template} makes of it"));
            };
            filters.extend(ANSWERS.map(|answer| format!("$aws/things/{thing}/shadow/update/{answer}")));
        }
        Ok(filters)
    }

    /// Whether printers need filters of their own at all, and if so how many each.
    pub fn filters_per_printer(&self) -> usize {
        let things = if self.has_things() { ANSWERS.len() } else { 0 };
        usize::from(self.shared) + things
    }

    /// Whether the topics of printers are covered by a filter of their own each.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether shadows are those of a thing for each printer.
    pub fn has_things(&self) -> bool {
        matches!(self.shadows, ShadowTopics::Thing { .. })
    }

    /// Where tickets for `printer` arrive.
    pub fn submit(&self, printer: &PrinterId) -> String {
        self.of(printer.as_str(), "print/submit")
    }

    /// Where control messages for jobs of `printer` arrive.
    pub fn control(&self, printer: &PrinterId) -> String {
        self.of(printer.as_str(), "print/control")
    }

    /// Where transitions of jobs go. `printer` is text: a ticket for an unknown printer is answered where it was
    /// sent, or nowhere if that name cannot stand in a topic.
    pub fn print_status(&self, printer: &str) -> Option<String> {
        let plain = is_level(printer) && printer.bytes().all(|b| b.is_ascii_graphic());
        let topic = self.of(printer, "print/status");
        (plain && topic.len() <= MAX_TOPIC_BYTES).then_some(topic)
    }

    /// Where the status of `printer` goes.
    pub fn printer_status(&self, printer: &PrinterId) -> String {
        self.of(printer.as_str(), "status")
    }

    /// Where alerts of `printer` go.
    pub fn event(&self, printer: &PrinterId) -> String {
        self.of(printer.as_str(), "event")
    }

    /// Where the probe of a printer's own subscription goes. `printer` is text that was a valid id.
    pub fn printer_probe(&self, printer: &str) -> String {
        self.of(printer, "echo")
    }

    /// Whether a topic is that of a printer's probe.
    pub fn is_printer_probe(&self, topic: &str) -> bool {
        let is_echo = matches!(self.parse(topic), Some(Inbound::Echo { printer: Some(_) }));
        self.shared && is_echo && topic.ends_with("/echo")
    }

    /// How every topic of a printer begins. `printer` is text that was a valid id.
    pub fn printer_prefix(&self, printer: &str) -> String {
        self.of(printer, "")
    }

    fn of(&self, printer: &str, leaf: &str) -> String {
        format!("{}{printer}{}/{leaf}", self.head, self.tail)
    }

    /// Where batches of telemetry go.
    pub fn telemetry(&self) -> String {
        format!("{}/telemetry", self.own)
    }

    /// Where the gateway's own status goes.
    pub fn gateway_status(&self) -> String {
        format!("{}/status", self.own)
    }

    /// Where the probe goes whose echo says that the way to the cloud and back is open.
    pub fn echo_probe(&self) -> String {
        format!("{}/echo", self.own)
    }

    /// Where updates of the shadow of `printer` go; nowhere where its thing can have no name.
    pub fn shadow_update(&self, printer: &PrinterId) -> Option<String> {
        match &self.shadows {
            ShadowTopics::Named { base } => Some(format!("{base}{printer}/update")),
            ShadowTopics::Thing { template, .. } => {
                let thing = template.of(&self.gateway, printer)?;
                Some(format!("$aws/things/{thing}/shadow/update"))
            }
        }
    }

    /// The thing that the shadow of `printer` belongs to.
    pub fn thing(&self, printer: &PrinterId) -> Option<String> {
        match &self.shadows {
            ShadowTopics::Named { .. } => Some(self.gateway.to_string()),
            ShadowTopics::Thing { template, .. } => template.of(&self.gateway, printer),
        }
    }

    /// What arrived under `topic`, if it is one of ours.
    pub fn parse<'t>(&self, topic: &'t str) -> Option<Inbound<'t>> {
        if topic.len() > MAX_TOPIC_BYTES {
            return None;
        }
        if topic.starts_with('$') {
            return self.parse_shadow(topic);
        }
        let own = topic.strip_prefix(self.own.as_str()).and_then(|rest| rest.strip_prefix('/'));
        if let Some("telemetry" | "status" | "echo") = own {
            return Some(Inbound::Echo { printer: None });
        }
        let (printer, rest) = topic.strip_prefix(self.head.as_str())?.split_once('/')?;
        if !is_level(printer) || (self.shared && printer == self.gateway.as_str()) {
            return None;
        }
        let leaf = match self.tail.strip_prefix('/') {
            Some(tail) => rest.strip_prefix(tail)?.strip_prefix('/')?,
            None => rest,
        };
        match leaf {
            "print/submit" => Some(Inbound::Submit { printer }),
            "print/control" => Some(Inbound::Control { printer }),
            "print/status" | "status" | "event" => Some(Inbound::Echo { printer: Some(printer) }),
            "echo" if self.shared => Some(Inbound::Echo { printer: Some(printer) }),
            _ => None,
        }
    }

    fn parse_shadow<'t>(&self, topic: &'t str) -> Option<Inbound<'t>> {
        let (printer, answer) = match &self.shadows {
            ShadowTopics::Named { base } => topic.strip_prefix(base.as_str())?.split_once("/update/")?,
            ShadowTopics::Thing { before, after, .. } => {
                let (thing, answer) = topic.strip_prefix("$aws/things/")?.split_once("/shadow/update/")?;
                (thing.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?, answer)
            }
        };
        if !is_level(printer) {
            return None;
        }
        match answer {
            "accepted" => Some(Inbound::ShadowAccepted { printer }),
            "rejected" => Some(Inbound::ShadowRejected { printer }),
            "delta" => Some(Inbound::ShadowDelta { printer }),
            _ => None,
        }
    }

    /// The topic under other names of the same message: what `before` built is built anew. Nothing where the topic is
    /// none that `before` builds.
    pub fn renamed(&self, before: &Topics, topic: &str) -> Option<String> {
        let own = topic.strip_prefix(before.own.as_str()).and_then(|rest| rest.strip_prefix('/'));
        match before.parse(topic)? {
            Inbound::Echo { printer: None } => Some(format!("{}/{}", self.own, own?)),
            Inbound::Echo { printer: Some(printer) } => {
                let leaf = ["print/status", "status", "event", "echo"].into_iter();
                leaf.filter(|leaf| before.of(printer, leaf) == topic).map(|leaf| self.of(printer, leaf)).next()
            }
            _ => None,
        }
    }
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
        let update = t.shadow_update(&p).unwrap();
        assert_eq!(update, "$aws/things/gw-1/shadow/name/hp-7k2m9q4xwp/update");
        for (topic, want) in [
            (t.submit(&p), Some(Inbound::Submit { printer: text })),
            (t.control(&p), Some(Inbound::Control { printer: text })),
            (t.print_status(text).unwrap(), Some(Inbound::Echo { printer: Some(text) })),
            (t.printer_status(&p), Some(Inbound::Echo { printer: Some(text) })),
            (t.event(&p), Some(Inbound::Echo { printer: Some(text) })),
            (t.telemetry(), Some(Inbound::Echo { printer: None })),
            (t.gateway_status(), Some(Inbound::Echo { printer: None })),
            (t.echo_probe(), Some(Inbound::Echo { printer: None })),
            (format!("{update}/accepted"), Some(Inbound::ShadowAccepted { printer: text })),
            (format!("{update}/rejected"), Some(Inbound::ShadowRejected { printer: text })),
            (format!("{update}/delta"), Some(Inbound::ShadowDelta { printer: text })),
            (update.clone(), None),
        ] {
            assert_eq!(t.parse(&topic), want, "{topic}");
        }
    }

    fn named(root: &str, things: Option<&str>) -> Topics {
        let shadows = things.map_or(Shadows::Named, |template| Shadows::Thing(template.parse().unwrap()));
        Topics::with(&GatewayName::new("gw-1").unwrap(), &Naming { root: root.parse().unwrap(), shadows })
    }

    #[test]
    fn a_flat_root_with_things_has_filters_for_each_printer_and_keeps_the_gateways_apart() {
        let (t, p) = (named("printers/{printer}", Some("prn-{printer}")), printer());
        let text = p.as_str();
        assert_eq!(t.filters(), ["printers/gw-1/#"]);
        assert_eq!(
            t.printer_filters(&p).unwrap(),
            [
                "printers/hp-7k2m9q4xwp/#",
                "$aws/things/prn-hp-7k2m9q4xwp/shadow/update/accepted",
                "$aws/things/prn-hp-7k2m9q4xwp/shadow/update/rejected",
                "$aws/things/prn-hp-7k2m9q4xwp/shadow/update/delta",
            ]
        );
        assert_eq!(t.filters_per_printer(), 4);
        for (topic, want) in [
            (t.submit(&p), Some(Inbound::Submit { printer: text })),
            (t.printer_status(&p), Some(Inbound::Echo { printer: Some(text) })),
            (t.printer_probe(text), Some(Inbound::Echo { printer: Some(text) })),
            (t.gateway_status(), Some(Inbound::Echo { printer: None })),
            ("printers/gw-1/print/submit".into(), None),
            ("printers/gw-1/event".into(), None),
            (
                "$aws/things/prn-hp-7k2m9q4xwp/shadow/update/accepted".into(),
                Some(Inbound::ShadowAccepted { printer: text }),
            ),
            ("$aws/things/hp-7k2m9q4xwp/shadow/update/accepted".into(), None),
            ("$aws/things/prn-/shadow/update/accepted".into(), None),
            ("$aws/things/gw-1/shadow/name/hp-7k2m9q4xwp/update/accepted".into(), None),
        ] {
            assert_eq!(t.parse(&topic), want, "{topic}");
        }
        assert_eq!(t.gateway_status(), "printers/gw-1/status");
        let alike = PrinterId::new("gw-1").unwrap();
        assert!(t.printer_filters(&alike).unwrap_err().contains("name of the gateway"));
        assert!(named("printers/{gateway}/{printer}", Some("{printer}")).printer_filters(&alike).is_err());
        assert_eq!(named("printers/{gateway}/{printer}", None).printer_filters(&alike), Ok(vec![]));
    }

    #[test]
    fn other_roots_are_built_and_parsed_back() {
        let p = printer();
        for (root, own) in
            [("{printer}", "gw-1"), ("{gateway}/{printer}", "gw-1"), ("a/{gateway}/b/{printer}/c", "a/gw-1/b")]
        {
            let t = named(root, None);
            assert_eq!(t.telemetry(), format!("{own}/telemetry"));
            assert_eq!(t.filters()[0], format!("{own}/#"));
            assert_eq!(
                t.submit(&p),
                format!("{}/print/submit", root.replace("{gateway}", "gw-1").replace("{printer}", p.as_str()))
            );
            assert_eq!(t.parse(&t.submit(&p)), Some(Inbound::Submit { printer: p.as_str() }));
            assert_eq!(t.parse(&t.telemetry()), Some(Inbound::Echo { printer: None }));
            assert_eq!(t.parse("printers/gw-1/hp-1/print/submit"), None);
        }
    }

    #[test]
    fn what_waits_under_an_old_root_is_renamed_and_nothing_else() {
        let (old, new, p) = (topics(), named("printers/{printer}", None), printer());
        for (before, after) in [
            (old.printer_status(&p), new.printer_status(&p)),
            (old.print_status(p.as_str()).unwrap(), new.print_status(p.as_str()).unwrap()),
            (old.event(&p), new.event(&p)),
            (old.gateway_status(), new.gateway_status()),
        ] {
            assert_eq!(new.renamed(&old, &before).as_ref(), Some(&after));
            assert_eq!(old.renamed(&new, &after), Some(before));
        }
        assert_eq!(new.renamed(&old, &new.event(&p)), None, "renamed already");
        assert_eq!(new.renamed(&old, ""), None);
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
        let rejected = format!("{}/rejected", t.shadow_update(&p).unwrap());
        for topic in [t.submit(&p), t.print_status(p.as_str()).unwrap(), rejected] {
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
