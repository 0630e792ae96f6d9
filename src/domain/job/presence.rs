//! Who is at a printer's address, before a job goes there. Addresses change hands between two polls, and over AppSocket
//! and LPD whoever is there prints what comes.
//!
//! A device says who it is over IPP, or its SNMP agent does. That is compared with everything the printer was ever known
//! by; the first line that applies decides.
//!
//! | what is said | who it is |
//! |---|---|
//! | the serial number, UUID or network card of this printer | this printer |
//! | other ones (the ladder of [`identity`](crate::domain::identity)) | another |
//! | nothing in common, and exactly one other printer is known by it | another |
//! | nothing in common with what the same agent said before | another |
//! | nothing against it | this printer |
//! | nothing, or nothing of a printer | away, while the agent is taken to answer; else as if it could not be asked |
//!
//! Where no agent ever spoke for a printer, nobody is asked. A model alone parts nothing but two words of one agent.
//! Whether the registry then takes the address from the printer is its own decision, after a poll.

use crate::domain::identity::{Facts, Key, Reason, Verdict, compare};
use crate::domain::ids::PrinterId;
use crate::domain::sighting::Evidence;

/// The SNMP agent that speaks for a printer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agent {
    /// It is taken to answer: it did, and fewer polls in a row failed since than make a printer offline.
    pub answers: bool,
    /// Who it last said it is.
    pub told: Evidence,
}

/// What a printer is known by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    facts: Facts,
    keys: Vec<Key>,
    agent: Option<Agent>,
}

impl Who {
    /// A printer with these facts, for which this agent speaks.
    pub fn new(facts: Facts, agent: Option<Agent>) -> Self {
        Self { keys: facts.keys(), facts, agent }
    }

    /// The agent that speaks for it.
    pub fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    /// Whether it is known by this key.
    pub fn has(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    /// The other device that says this, if it is another. `holders` names the printers that are known by a key, two at
    /// most.
    pub fn stranger(
        &self,
        id: &PrinterId,
        said: &Evidence,
        over_snmp: bool,
        holders: &dyn Fn(&Key) -> Vec<PrinterId>,
    ) -> Option<Stranger> {
        let heard = Facts::of(said);
        let only = |key: &Key| match holders(key).as_slice() {
            [only] if only != id => Some(only.clone()),
            _ => None,
        };
        let holder = heard.keys().iter().find_map(only);
        let agent = self.agent.as_ref().filter(|_| over_snmp);
        let is_another = match compare(&self.facts, &heard, &|key| holders(key).len() > 1) {
            Verdict::Same(_) | Verdict::Disputed(Reason::Serial) => false,
            Verdict::Open | Verdict::Different(Reason::Model) => {
                holder.is_some() || agent.is_some_and(|agent| is_unlike(&Facts::of(&agent.told), &heard))
            }
            Verdict::Disputed(_) | Verdict::Different(_) => true,
        };
        is_another.then(|| Stranger { known_as: holder, said: said.clone() })
    }

    /// Who is where this printer's agent was, by what was said there.
    pub fn presence(&self, id: &PrinterId, said: &Said, holders: &dyn Fn(&Key) -> Vec<PrinterId>) -> Presence {
        let answers = self.agent.as_ref().is_some_and(|agent| agent.answers);
        match said {
            Said::Identity(said) => match self.stranger(id, said, true, holders) {
                Some(stranger) => Presence::Another(Box::new(stranger)),
                None => Presence::Itself,
            },
            Said::NoPrinter(why) | Said::Nothing(why) if answers => Presence::Away(why.clone()),
            Said::NoPrinter(_) | Said::Nothing(_) => Presence::Untold,
        }
    }
}

/// What an agent says now differs from what the same one said before: it shows no key of those, or another model.
fn is_unlike(told: &Facts, said: &Facts) -> bool {
    let shown = told.keys();
    match compare(told, said, &|_| false) {
        // Under one key, models are spelled in many ways.
        _ if said.keys().iter().any(|key| shown.contains(key)) => false,
        Verdict::Same(_) | Verdict::Disputed(_) => false,
        Verdict::Different(_) => true,
        Verdict::Open => told.has_keys(),
    }
}

/// What the agent at an address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Who it is.
    Identity(Box<Evidence>),
    /// It answers, and speaks for no printer. Why, for a person.
    NoPrinter(String),
    /// Nothing. Why, for a person.
    Nothing(String),
}

/// Who is at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// The printer, as far as can be told.
    Itself,
    /// Another device.
    Another(Box<Stranger>),
    /// Its agent, which answered of late, does not. Why, for a person.
    Away(String),
    /// Nobody can be asked.
    Untold,
}

/// Another device at a printer's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The printer that it is, if it is known.
    pub known_as: Option<PrinterId>,
    /// Who it says it is.
    pub said: Evidence,
}

impl Stranger {
    /// For a person: `Brother HL-5250DN, serial E6J1, known as brother-abc`.
    pub fn describe(&self) -> String {
        let e = &self.said;
        let mut name: Vec<&str> = [&e.make, &e.model].into_iter().flatten().map(String::as_str).collect();
        if name.is_empty() {
            name.push("it does not say its model");
        }
        let serial = e.serial.as_ref().map(|serial| format!(", serial {serial}"));
        let card = e.macs.first().filter(|_| e.serial.is_none()).map(|mac| format!(", network card {mac}"));
        let known = self.known_as.as_ref().map(|id| format!(", known as {id}"));
        let more = serial.into_iter().chain(card).chain(known);
        more.fold(name.join(" "), |text, more| text + &more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(model: &str, serial: &str, uuid: &str, mac: &str) -> Evidence {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Evidence {
            make: Some("HP".to_owned()),
            model: some(model),
            serial: some(serial),
            uuid: some(uuid),
            macs: some(mac).into_iter().collect(),
        }
    }

    const U1: &str = "1c852a4d-b800-4f08-abcd-a08cfd576b98";
    const U2: &str = "2c852a4d-b800-4f08-abcd-a08cfd576b99";
    const M1: &str = "a08cfd576b98";
    const M2: &str = "a08cfd576b99";

    fn id(text: &str) -> PrinterId {
        PrinterId::new(text).unwrap()
    }

    /// An office of two.
    struct Office {
        ours: Who,
        other: Who,
    }

    impl Office {
        /// The agent of ours said the same that is known of it.
        fn new(ours: &Evidence, other: &Evidence, answers: bool) -> Self {
            let agent = Agent { answers, told: ours.clone() };
            Self { ours: Who::new(Facts::of(ours), Some(agent)), other: Who::new(Facts::of(other), None) }
        }

        fn holders(&self, key: &Key) -> Vec<PrinterId> {
            let all = [(&self.ours, "hp-ours"), (&self.other, "hp-other")];
            all.into_iter().filter(|(who, _)| who.has(key)).map(|(_, name)| id(name)).collect()
        }

        /// `itself`, `away`, `untold`, `another` or the id of the other.
        fn met(&self, said: Said) -> String {
            match self.ours.presence(&id("hp-ours"), &said, &|key| self.holders(key)) {
                Presence::Itself => "itself".into(),
                Presence::Away(_) => "away".into(),
                Presence::Untold => "untold".into(),
                Presence::Another(stranger) => stranger.known_as.map_or("another".into(), |id| id.to_string()),
            }
        }

        fn over_snmp(&self, said: Evidence) -> String {
            self.met(Said::Identity(Box::new(said)))
        }

        fn over_ipp(&self, said: &Evidence) -> bool {
            self.ours.stranger(&id("hp-ours"), said, false, &|key| self.holders(key)).is_none()
        }
    }

    #[test]
    fn a_printer_is_known_by_any_key_of_its_own() {
        let office = Office::new(&evidence("M402", "SER111", U1, M1), &evidence("M402", "SER222", "", M2), true);
        for own in [
            evidence("M402", "SER111", "", M1),
            evidence("M402", "", "", M1),
            evidence("", "SER111", "", ""),
            // Another network card, an agent that spells the model otherwise.
            evidence("M402", "SER111", "", "a08cfd570000"),
            evidence("Laser 9", "", U1, ""),
        ] {
            assert_eq!(office.over_snmp(own.clone()), "itself", "{own:?}");
            assert!(office.over_ipp(&own), "{own:?}");
        }
    }

    #[test]
    fn another_device_is_told_by_what_it_says() {
        let office = Office::new(&evidence("M402", "SER111", U1, M1), &evidence("M402", "SER222", U2, M2), true);
        for (said, who) in [
            (evidence("M402", "SER222", "", M2), "hp-other"),
            (evidence("M402", "", U2, ""), "hp-other"),
            (evidence("M402", "", "", M2), "hp-other"),
            // One that nobody knows.
            (evidence("M402", "SER333", "", ""), "another"),
            (evidence("M402", "", "", "a08cfd570000"), "another"),
        ] {
            assert_eq!(office.over_snmp(said.clone()), who, "{said:?}");
            assert!(!office.over_ipp(&said), "{said:?}");
        }
    }

    #[test]
    fn the_key_of_another_printer_counts_where_nothing_is_in_common() {
        let office = Office::new(&evidence("M402", "SER111", "", ""), &evidence("M402", "", "", M2), true);
        assert_eq!(office.over_snmp(evidence("M402", "", "", M2)), "hp-other");
        assert!(!office.over_ipp(&evidence("M402", "", "", M2)));
        assert!(office.over_ipp(&evidence("M402", "", "", M1)), "nobody's: it may be its own");
    }

    #[test]
    fn an_agent_that_says_less_or_other_than_before_is_another() {
        let office = Office::new(&evidence("M402", "SER111", "", ""), &evidence("", "", "", ""), true);
        for said in [evidence("M402", "", "", M1), evidence("M402", "", "", ""), evidence("E50", "", "", "")] {
            assert_eq!(office.over_snmp(said.clone()), "another", "{said:?}");
            assert!(office.over_ipp(&said), "{said:?}");
        }
        let keyless = Office::new(&evidence("M402", "", "", ""), &evidence("", "", "", ""), true);
        assert_eq!(keyless.over_snmp(evidence("M402n", "", "", "")), "itself");
        assert_eq!(keyless.over_snmp(evidence("M402", "SER111", "", "")), "itself", "it says more than before");
        assert_eq!(keyless.over_snmp(evidence("E50", "", "", "")), "another");
    }

    #[test]
    fn a_cloned_key_proves_nothing() {
        let office = Office::new(&evidence("M402", "", U1, M1), &evidence("M402", "", U1, M2), true);
        assert_eq!(office.over_snmp(evidence("M402", "", U1, M2)), "hp-other");
        assert_eq!(office.over_snmp(evidence("M402", "", U1, M1)), "itself");
    }

    #[test]
    fn silence_counts_only_while_the_agent_is_taken_to_answer() {
        for (answers, who) in [(true, "away"), (false, "untold")] {
            let office = Office::new(&evidence("M402", "SER111", "", ""), &evidence("", "", "", ""), answers);
            assert_eq!(office.met(Said::Nothing("silent".into())), who);
            assert_eq!(office.met(Said::NoPrinter("a computer".into())), who);
            // What is said counts always.
            assert_eq!(office.over_snmp(evidence("M402", "SER333", "", "")), "another");
        }
    }

    #[test]
    fn a_stranger_is_described_for_a_person() {
        let known = Stranger { known_as: Some(id("hp-x")), said: evidence("M402", "SER222", "", M2) };
        assert_eq!(known.describe(), "HP M402, serial SER222, known as hp-x");
        let unknown = Stranger { known_as: None, said: Evidence { make: None, ..evidence("", "", "", M2) } };
        assert_eq!(unknown.describe(), format!("it does not say its model, network card {M2}"));
    }
}
