//! Which printers have subscriptions of their own, and which of these are known to work.
//!
//! Only where one wildcard filter cannot cover all printers (a flat topic root, classic shadows of things). A Greengrass
//! runtime has few subscriptions, so there is a number of *places*; each printer in a place has the same number of
//! filters. Printers come before other names that lead to them, and who has a place keeps it before a newcomer.
//!
//! ```text
//! surplus ──a place is free──▶ asked ──all filters in──▶ unproved ──own echo──▶ served
//!    ▲                          ▲ │                        │ ▲ │                  │
//!    │                          │ │            no echo for │ │ │ after a rest     │
//!    │                          │ │            PROBE_TIME  ▼ │ │                  │
//!    │                          │ │                        deaf                  │
//!    │                          └─┼──── a filter is missing ──┴──────────────────┤
//!    └────── place lost ──────────┴───────────────────────────────────────────────┘
//! ```
//! Where no topics of printers are covered (`needs_echo` false), who has all filters in is served at once: answers of
//! the shadow service carry their own proof.
//!
//! Invariants: never more places than given; a name that cannot be served says why ([`Subscriptions::unserved`]);
//! nothing is served on a filter that is not in.
//!
//! Not here: the filters' text (`cloud::wire::topics`), subscribing (`cloud::greengrass::link`), what is sent
//! (`uplink`).

use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// How long the echo of a probe may take before the next printer is tried.
pub const PROBE_TIME: SignedDuration = SignedDuration::from_secs(30);
/// How long a printer whose echo did not come is left alone.
pub const PROBE_REST: SignedDuration = SignedDuration::from_mins(5);

/// A name with the filters that it needs, or why it can have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The printer's id, or another name that leads to it.
    pub name: String,
    /// Its filters, at least one.
    pub filters: Result<Vec<String>, String>,
}

/// How a name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// What is sent for it comes back.
    Served,
    /// Not yet.
    Soon,
    /// Not until something changes, and why.
    Not(String),
}

#[derive(Debug)]
struct Member {
    /// Why a filter is not in: nothing is known before the first answer.
    filters: BTreeMap<String, Filter>,
    proof: Proof,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Asked,
    In,
    Missing(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Proof {
    None,
    Probing { probe: String, since: Timestamp },
    Deaf { until: Timestamp },
    Heard,
}

impl Member {
    fn all_in(&self) -> bool {
        self.filters.values().all(|filter| *filter == Filter::In)
    }
}

/// The subscriptions of printers.
#[derive(Debug)]
pub struct Subscriptions {
    needs_echo: bool,
    places: usize,
    members: BTreeMap<String, Member>,
    /// Names without a place, and why.
    others: BTreeMap<String, String>,
}

impl Subscriptions {
    /// Nobody has a place. `needs_echo`: a printer is served only when its own echo was heard.
    pub fn new(needs_echo: bool) -> Self {
        Self { needs_echo, places: 0, members: BTreeMap::new(), others: BTreeMap::new() }
    }

    /// Gives out `places` anew: to printers first, then to other names that lead to them. Answers the probes that are
    /// not waited for any more.
    pub fn give_places(&mut self, printers: Vec<Wanted>, aliases: Vec<Wanted>, places: usize) -> Vec<String> {
        self.places = places;
        self.others.clear();
        let mut old = std::mem::take(&mut self.members);
        for group in [printers, aliases] {
            let (had, new): (Vec<_>, Vec<_>) = group.into_iter().partition(|wanted| old.contains_key(&wanted.name));
            for Wanted { name, filters } in had.into_iter().chain(new) {
                if self.members.contains_key(&name) {
                    continue;
                }
                match filters {
                    Err(why) => drop(self.others.insert(name, why)),
                    Ok(_) if self.members.len() >= places => {
                        let why = format!("more than {places} printers: this runtime has no subscription left for it");
                        self.others.insert(name, why);
                    }
                    Ok(filters) => {
                        let member = old.remove(&name).unwrap_or_else(|| Member {
                            filters: filters.into_iter().map(|filter| (filter, Filter::Asked)).collect(),
                            proof: Proof::None,
                        });
                        self.members.insert(name, member);
                    }
                }
            }
        }
        old.into_values().filter_map(|member| probe_of(&member)).collect()
    }

    /// Every filter of everybody in a place.
    pub fn filters(&self) -> BTreeSet<String> {
        self.members.values().flat_map(|member| member.filters.keys().cloned()).collect()
    }

    /// A filter is in, or missing for a reason. Answers a probe that is not waited for any more.
    pub fn filter(&mut self, filter: &str, missing: Option<String>) -> Option<String> {
        let member = self.members.values_mut().find(|member| member.filters.contains_key(filter))?;
        let state = missing.map_or(Filter::In, Filter::Missing);
        let lost = state != Filter::In;
        member.filters.insert(filter.to_owned(), state);
        if !lost {
            return None;
        }
        let probe = probe_of(member);
        member.proof = Proof::None;
        probe
    }

    /// An echo of this name's own topics came. True: it is served from now on.
    pub fn heard(&mut self, name: &str) -> bool {
        match self.members.get_mut(name) {
            // What comes without its filter came some other way.
            Some(member) if member.all_in() && member.proof != Proof::Heard => {
                member.proof = Proof::Heard;
                true
            }
            _ => false,
        }
    }

    /// Starts at most `most` probes at a time, each named by `id`. Answers the names to probe with their probes, and
    /// the probes that are not waited for any more.
    pub fn probe(
        &mut self,
        most: usize,
        now: Timestamp,
        mut id: impl FnMut() -> String,
    ) -> (Vec<(String, String)>, Vec<String>) {
        let (mut started, mut given_up) = (Vec::new(), Vec::new());
        if !self.needs_echo {
            return (started, given_up);
        }
        // A clock set back ends no wait late: further away than the limit counts as past.
        let over = |since: Timestamp, limit: SignedDuration| {
            let gone = now.duration_since(since);
            gone >= limit || gone < SignedDuration::ZERO
        };
        for member in self.members.values_mut() {
            match &member.proof {
                Proof::Probing { probe, since } if over(*since, PROBE_TIME) => {
                    given_up.push(probe.clone());
                    member.proof = Proof::Deaf { until: now.checked_add(PROBE_REST).unwrap_or(now) };
                }
                Proof::Deaf { until } if *until <= now || until.duration_since(now) > PROBE_REST => {
                    member.proof = Proof::None;
                }
                _ => {}
            }
        }
        let probing = |member: &Member| matches!(member.proof, Proof::Probing { .. });
        let mut room = most.saturating_sub(self.members.values().filter(|member| probing(member)).count());
        for (name, member) in &mut self.members {
            if room == 0 {
                break;
            }
            if member.all_in() && member.proof == Proof::None {
                room -= 1;
                let probe = id();
                member.proof = Proof::Probing { probe: probe.clone(), since: now };
                started.push((name.clone(), probe));
            }
        }
        (started, given_up)
    }

    /// When [`Subscriptions::probe`] is worth asking again, if time alone changes anything.
    pub fn next_due(&self) -> Option<Timestamp> {
        let due = |member: &Member| match &member.proof {
            Proof::Probing { since, .. } => since.checked_add(PROBE_TIME).ok(),
            Proof::Deaf { until } => Some(*until),
            Proof::None | Proof::Heard => None,
        };
        self.members.values().filter_map(due).min()
    }

    /// How a name's topics stand.
    pub fn topics(&self, name: &str) -> Standing {
        match self.filters_of(name) {
            Standing::Served if !self.needs_echo => Standing::Served,
            Standing::Served => match self.members.get(name).map(|member| &member.proof) {
                Some(Proof::Heard) => Standing::Served,
                Some(Proof::Deaf { .. }) => {
                    Standing::Not("its subscription is taken, but nothing comes back on it".to_owned())
                }
                _ => Standing::Soon,
            },
            standing => standing,
        }
    }

    /// Whether all filters of a name are in, whatever came on them so far.
    pub fn filters_of(&self, name: &str) -> Standing {
        let Some(member) = self.members.get(name) else {
            let why = self.others.get(name).cloned();
            return Standing::Not(why.unwrap_or_else(|| "no known printer has this name any more".to_owned()));
        };
        let missing = member.filters.values().find_map(|filter| match filter {
            Filter::Missing(why) => Some(Standing::Not(why.clone())),
            _ => None,
        });
        missing.unwrap_or(if member.all_in() { Standing::Served } else { Standing::Soon })
    }

    /// Everybody who is not served, and why; not those who will be soon.
    pub fn unserved(&self) -> Vec<(String, String)> {
        let names = self.members.keys().chain(self.others.keys());
        let why = |name: &String| match self.topics(name) {
            Standing::Not(why) => Some((name.clone(), why)),
            _ => None,
        };
        names.filter_map(why).collect()
    }

    /// How many names have a place, and how many there are.
    pub fn places(&self) -> (usize, usize) {
        (self.members.len(), self.places)
    }
}

fn probe_of(member: &Member) -> Option<String> {
    match &member.proof {
        Proof::Probing { probe, .. } => Some(probe.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn wanted(names: &[&str]) -> Vec<Wanted> {
        names.iter().map(|name| Wanted { name: (*name).into(), filters: Ok(vec![format!("{name}/#")]) }).collect()
    }

    fn start(names: &[&str], aliases: &[&str], places: usize) -> Subscriptions {
        let mut subscriptions = Subscriptions::new(true);
        subscriptions.give_places(wanted(names), wanted(aliases), places);
        subscriptions
    }

    #[test]
    fn a_printer_is_served_when_its_own_echo_came_and_not_before() {
        let mut s = start(&["a"], &[], 30);
        assert!(!s.heard("a"), "its filter is not in");
        assert_eq!(s.topics("a"), Standing::Soon);
        s.filter("a/#", None);
        assert_eq!((s.filters_of("a"), s.topics("a")), (Standing::Served, Standing::Soon));
        let (started, _) = s.probe(2, now(0), || "p1".into());
        assert_eq!(started, [("a".to_owned(), "p1".to_owned())]);
        assert_eq!(s.probe(2, now(1), || "p2".into()).0, [], "one probe at a time");
        assert!(s.heard("a"));
        assert_eq!(s.topics("a"), Standing::Served);
        // The connection is lost: nothing is trusted any more.
        s.filter("a/#", Some("away".into()));
        assert_eq!(s.topics("a"), Standing::Not("away".into()));
        s.filter("a/#", None);
        assert_eq!(s.topics("a"), Standing::Soon);
    }

    #[test]
    fn places_go_to_printers_first_and_stay_with_who_has_them() {
        let mut s = start(&["b", "c"], &["old"], 3);
        assert_eq!(s.filters().len(), 3);
        s.give_places(wanted(&["a", "b", "c"]), wanted(&["old"]), 3);
        assert_eq!(s.filters(), ["a/#", "b/#", "c/#"].map(str::to_owned).into(), "a printer before another's old name");
        s.give_places(wanted(&["0", "a", "b", "c"]), wanted(&["old"]), 3);
        assert_eq!(s.filters(), ["a/#", "b/#", "c/#"].map(str::to_owned).into(), "who has a place keeps it");
        let unserved: Vec<_> = s.unserved().into_iter().map(|(name, _)| name).collect();
        assert_eq!(unserved, ["0", "old"]);
        s.give_places(wanted(&["0", "b", "c"]), wanted(&["old"]), 3);
        assert_eq!(s.filters(), ["0/#", "b/#", "c/#"].map(str::to_owned).into(), "a free place goes to who waits");
    }

    #[test]
    fn an_echo_that_does_not_come_frees_the_way_for_others() {
        let mut s = start(&["a", "b", "c"], &[], 30);
        for filter in ["a/#", "b/#", "c/#"] {
            s.filter(filter, None);
        }
        let mut n = 0;
        let mut id = || {
            n += 1;
            format!("p{n}")
        };
        assert_eq!(s.probe(2, now(0), &mut id).0.len(), 2);
        let (started, given_up) = s.probe(2, s.next_due().unwrap(), &mut id);
        assert_eq!((started.len(), given_up), (1, vec!["p1".to_owned(), "p2".to_owned()]));
        assert!(matches!(s.topics("a"), Standing::Not(_)));
        assert_eq!(s.probe(2, now(30 + 300), &mut id).0.len(), 2, "after a rest they are tried again");
        assert!(s.heard("b"));
        assert_eq!(s.filter("c/#", Some("gone".into())), None);
        assert_eq!(s.filter("a/#", Some("gone".into())), Some("p4".to_owned()), "its probe is not waited for");
    }

    #[test]
    fn who_can_have_no_filter_says_why_and_takes_no_place() {
        let mut s = Subscriptions::new(false);
        let impossible = Wanted { name: "gw".into(), filters: Err("named like the gateway".into()) };
        s.give_places([vec![impossible], wanted(&["a"])].concat(), Vec::new(), 1);
        assert_eq!(s.topics("gw"), Standing::Not("named like the gateway".into()));
        s.filter("a/#", None);
        assert_eq!(s.topics("a"), Standing::Served, "no echo is needed");
        assert!(matches!(s.topics("stranger"), Standing::Not(_)));
    }

    proptest! {
        /// Never more places than given, and everybody is in a place or says why not.
        #[test]
        fn places_hold(steps in proptest::collection::vec(
            (proptest::collection::btree_set("[a-h]", 0..9), 0..9usize, "[a-h]", any::<bool>()), 1..40)) {
            let mut s = Subscriptions::new(true);
            for (n, (names, places, name, missing)) in steps.into_iter().enumerate() {
                let list: Vec<&str> = names.iter().map(String::as_str).collect();
                let (printers, aliases) = list.split_at(list.len() / 2);
                s.give_places(wanted(printers), wanted(aliases), places);
                prop_assert!(s.filters().len() <= places);
                s.filter(&format!("{name}/#"), missing.then(|| "gone".into()));
                s.probe(2, now(n as i64 * 20), || format!("p{n}"));
                if s.heard(&name) {
                    prop_assert_eq!(s.topics(&name), Standing::Served);
                }
                for name in &names {
                    let unserved = s.unserved().iter().any(|(unserved, _)| unserved == name);
                    prop_assert_eq!(unserved, matches!(s.topics(name), Standing::Not(_)));
                }
            }
        }
    }
}
