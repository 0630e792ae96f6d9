//! The administrator's part of `printers`: who is taken in, who is who, what they are called.
//!
//! | key | value | meaning |
//! |---|---|---|
//! | `adopt` | `"auto"`, `"approve"` | whether new printers are taken in as soon as it is known who they are, or when approved |
//! | `approved` | selectors | approved beforehand |
//! | `ignore` | selectors | never taken in, and put away if they are in |
//! | `retired` | ids | gone for good |
//! | `pins` | `[{"what": selector, "printer": id}]` | whoever matches is this printer |
//! | `split` | `[{"what": selector, "printer": id}]` | whatever matches is not this printer |
//! | `merge` | `[[id, id, …], …]` | the ids of one device; the first one stays |
//! | `names` | `{id: name}` | what printers are called |
//!
//! A selector is `KIND:VALUE` (`serial:CN35T1M03Q`, `mac:d4:c9:ef:00:c3:a1`, `uuid:…`, `host:laser.local`, `name:Laser`,
//! `address:10.0.3.0/24`), an address or network, or a printer's id: see [`Selector`].
//!
//! What contradicts itself is an error, so that no two rules in force ask for opposite things: the same pinned and split,
//! pinned to two printers, approved and ignored, retired and still approved, pinned to, merged or not; an id merged with
//! itself or in two merges.

use super::{Reader, Section};
use crate::domain::ids::PrinterId;
use crate::domain::registry::{Adoption, Pinned, Rules, Selector, Split};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::str::FromStr;

/// Most entries of each list.
const ENTRIES_MAX: usize = 500;
/// Most ids of one device.
const MERGE_MAX: usize = 16;
/// The keys of `printers` that are read here.
pub(super) const KEYS: [&str; 8] = ["adopt", "approved", "ignore", "retired", "pins", "split", "merge", "names"];

/// A rule with the path where it stands.
type At<T> = (String, T);

impl Reader {
    pub(super) fn rules(&mut self, at: &Section<'_>, target: &mut Rules) {
        match self.text(at, "adopt") {
            None => {}
            Some("auto") => target.adoption = Adoption::Auto,
            Some("approve") => target.adoption = Adoption::Approve,
            Some(_) => self.error(at.path("adopt"), "must be \"auto\" or \"approve\""),
        }
        let approved: Vec<At<Selector>> = self.texts(at, "approved");
        let ignored: Vec<At<Selector>> = self.texts(at, "ignore");
        let retired: Vec<At<PrinterId>> = self.texts(at, "retired");
        let pins = self.pairs(at, "pins");
        let splits = self.pairs(at, "split");
        let merges = self.merges(at, "merge");
        let names = self.names(at, "names");

        self.apart(&approved, &ignored);
        self.pins_agree(&pins, &splits, &ignored);
        self.retired_stay_away(&retired, &approved, &pins, &merges);
        for (path, (what, printer)) in &splits {
            let Selector::Id(id) = what else { continue };
            let together = |ids: &[PrinterId]| ids.contains(id) && ids.contains(printer);
            if merges.iter().any(|(_, ids)| together(ids)) {
                self.error(path, format!("{id} and {printer} are one printer by printers.merge"));
            }
        }

        target.approved = values(approved);
        target.ignored = values(ignored);
        target.retired = values(retired);
        target.pins = pins.into_iter().map(|(_, (what, printer))| Pinned { what, printer }).collect();
        target.splits = splits.into_iter().map(|(_, (what, printer))| Split { what, printer }).collect();
        target.merges = values(merges);
        target.names = names;
    }

    fn pins_agree(
        &mut self,
        pins: &[At<(Selector, PrinterId)>],
        splits: &[At<(Selector, PrinterId)>],
        ignored: &[At<Selector>],
    ) {
        for (n, (path, (what, printer))) in pins.iter().enumerate() {
            if let Selector::Id(_) = what {
                self.error(format!("{path}.what"), "names a printer by its id: two ids become one by printers.merge");
            }
            let before = pins.iter().take(n).find(|(_, (other, _))| other == what);
            if let Some((other, (_, elsewhere))) = before {
                let message = match elsewhere == printer {
                    true => format!("is pinned by {other} already"),
                    false => format!("is pinned to {elsewhere} by {other}: it can be one printer only"),
                };
                self.error(format!("{path}.what"), message);
            }
            if splits.iter().any(|(_, split)| split.0 == *what && split.1 == *printer) {
                self.error(path, format!("{what} is split from {printer} too: it can be one of the two"));
            }
            if let Some((other, _)) = ignored.iter().find(|(_, other)| other == what || is_id(other, printer)) {
                self.error(path, format!("is ignored by {other}: it can be one of the two"));
            }
        }
        for (n, (path, split)) in splits.iter().enumerate() {
            if is_id(&split.0, &split.1) {
                self.error(path, "splits a printer from itself: name what is not this printer, such as an address");
            }
            if splits.iter().take(n).any(|(_, other)| other == split) {
                self.error(path, "is in the list twice");
            }
        }
    }

    fn retired_stay_away(
        &mut self,
        retired: &[At<PrinterId>],
        approved: &[At<Selector>],
        pins: &[At<(Selector, PrinterId)>],
        merges: &[At<Vec<PrinterId>>],
    ) {
        for (path, id) in retired {
            let approved = approved.iter().find(|(_, selector)| is_id(selector, id)).map(|(path, _)| path);
            let pinned = pins.iter().find(|(_, (_, printer))| printer == id).map(|(path, _)| path);
            let merged = merges.iter().find(|(_, ids)| ids.contains(id)).map(|(path, _)| path);
            for (other, how) in [(approved, "approved"), (pinned, "pinned to"), (merged, "merged")] {
                if let Some(other) = other {
                    self.error(path, format!("{id} is {how} by {other}: it can be one of the two"));
                }
            }
        }
    }

    fn apart(&mut self, approved: &[At<Selector>], ignored: &[At<Selector>]) {
        for (path, selector) in ignored {
            if let Some((other, _)) = approved.iter().find(|(_, other)| other == selector) {
                self.error(path, format!("is approved by {other}: it can be one of the two"));
            }
        }
    }

    /// A list of texts, each once.
    fn texts<T: FromStr<Err: std::fmt::Display> + PartialEq>(&mut self, at: &Section<'_>, key: &str) -> Vec<At<T>> {
        let mut parsed: Vec<At<T>> = Vec::new();
        for (path, item) in self.members(at, key) {
            if let Some(value) = self.one(&path, Some(&item)) {
                if parsed.iter().any(|(_, other)| *other == value) {
                    self.error(&path, "is in the list twice");
                }
                parsed.push((path, value));
            }
        }
        parsed
    }

    /// A list of `{"what": selector, "printer": id}`.
    fn pairs(&mut self, at: &Section<'_>, key: &str) -> Vec<At<(Selector, PrinterId)>> {
        let mut pairs = Vec::new();
        for (path, fields) in self.entries(at, key, &["what", "printer"]) {
            let what = self.one(&format!("{path}.what"), fields.get("what"));
            let printer = self.one(&format!("{path}.printer"), fields.get("printer"));
            if let (Some(what), Some(printer)) = (what, printer) {
                pairs.push((path, (what, printer)));
            }
        }
        pairs
    }

    fn merges(&mut self, at: &Section<'_>, key: &str) -> Vec<At<Vec<PrinterId>>> {
        let mut merges: Vec<At<Vec<PrinterId>>> = Vec::new();
        for (path, item) in self.members(at, key) {
            let Value::Array(items) = &item else {
                self.error(path, "must be a list of ids, the one that stays first");
                continue;
            };
            if !(2..=MERGE_MAX).contains(&items.len()) {
                self.error(&path, format!("must have 2 to {MERGE_MAX} ids"));
            }
            let mut ids: Vec<PrinterId> = Vec::new();
            for (place, item) in items.iter().enumerate().take(MERGE_MAX) {
                let here = format!("{path}[{place}]");
                let Some(id) = self.one::<PrinterId>(&here, Some(item)) else { continue };
                if ids.contains(&id) {
                    self.error(here, format!("merges {id} with itself"));
                } else if let Some((other, _)) = merges.iter().find(|(_, ids)| ids.contains(&id)) {
                    self.error(here, format!("{id} is merged by {other} already: put all ids of one device together"));
                }
                ids.push(id);
            }
            merges.push((path, ids));
        }
        merges
    }

    fn names(&mut self, at: &Section<'_>, key: &str) -> BTreeMap<PrinterId, String> {
        let empty = Map::new();
        let fields = match at.get(key) {
            None => &empty,
            Some(Value::Object(fields)) => fields,
            Some(_) => {
                self.error(at.path(key), "must be an object of ids and names");
                &empty
            }
        };
        if fields.len() > ENTRIES_MAX {
            self.error(at.path(key), format!("must have at most {ENTRIES_MAX} entries"));
        }
        let mut names = BTreeMap::new();
        for id in fields.keys().take(ENTRIES_MAX) {
            let shown: String = id.chars().filter(|c| !c.is_control()).take(80).collect();
            match PrinterId::new(id.clone()) {
                Ok(id) => {
                    if let Some(name) = self.entry_text(&at.path(key), fields, id.as_str()) {
                        names.insert(id, name);
                    }
                }
                Err(error) => self.error(format!("{}.{shown}", at.path(key)), format!("is no printer's id: {error}")),
            }
        }
        names
    }

    /// The members of a list, each with its path.
    pub(super) fn members(&mut self, at: &Section<'_>, key: &str) -> Vec<At<Value>> {
        let items = match at.get(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.error(at.path(key), "must be a list");
                return Vec::new();
            }
        };
        if items.len() > ENTRIES_MAX {
            self.error(at.path(key), format!("must have at most {ENTRIES_MAX} entries"));
        }
        let path = |place: usize| format!("{}[{place}]", at.path(key));
        items.iter().take(ENTRIES_MAX).enumerate().map(|(place, item)| (path(place), item.clone())).collect()
    }

    fn one<T: FromStr<Err: std::fmt::Display>>(&mut self, path: &str, value: Option<&Value>) -> Option<T> {
        match value {
            None | Some(Value::Null) => self.error(path, "is missing"),
            Some(Value::String(text)) if text.len() <= 300 => match text.trim().parse() {
                Ok(value) => return Some(value),
                Err(error) => self.error(path, error.to_string()),
            },
            Some(_) => self.error(path, "must be a text of at most 300 octets"),
        }
        None
    }
}

fn is_id(selector: &Selector, id: &PrinterId) -> bool {
    matches!(selector, Selector::Id(other) if other == id)
}

fn values<T>(list: Vec<At<T>>) -> Vec<T> {
    list.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check;
    use serde_json::json;

    fn id(text: &str) -> PrinterId {
        PrinterId::new(text).unwrap()
    }

    #[test]
    fn everything_an_administrator_may_decide_is_read() {
        let config = check(&json!({"printers": {
            "adopt": "approve",
            "approved": ["hp-a", "serial:CN35T1M03Q", "10.0.3.0/24"],
            "ignore": ["name:Lunch room", "10.0.0.66"],
            "retired": ["hp-old"],
            "pins": [{"what": "mac:d4:c9:ef:00:c3:a1", "printer": "hp-a"}],
            "split": [{"what": "10.0.0.8", "printer": "hp-b"}],
            "merge": [["hp-c", "hp-d", "hp-e"]],
            "names": {"hp-a": " Laser, 2nd floor "},
        }}));
        assert_eq!(config.warnings, vec![]);
        let rules = config.config.unwrap().rules;
        assert_eq!(rules.adoption, Adoption::Approve);
        assert_eq!(rules.approved[0], Selector::Id(id("hp-a")));
        assert_eq!(rules.ignored.len(), 2);
        assert_eq!(rules.retired, [id("hp-old")]);
        assert_eq!(rules.pins[0].printer, id("hp-a"));
        assert_eq!(rules.splits[0].what, "address:10.0.0.8".parse().unwrap());
        assert_eq!(rules.merges, [vec![id("hp-c"), id("hp-d"), id("hp-e")]]);
        assert_eq!(rules.names[&id("hp-a")], "Laser, 2nd floor");
        assert_eq!(check(&json!({})).config.unwrap().rules, Rules::default());
    }

    #[test]
    fn every_error_is_told_at_its_place() {
        let paths = paths(json!({
            "adopt": "maybe",
            "approved": ["colour:red", 3, "hp-a", "hp-a"],
            "ignore": "10.0.0.1",
            "retired": ["a b"],
            "pins": [{"what": "10.0.0.1"}, {"what": "serial:0", "printer": "hp-a"}, 1],
            "merge": [["hp-a"], "hp-b", ["hp-c", 1]],
            "names": {"hp-a": "", "a b": "x"},
        }));
        assert_eq!(
            paths,
            [
                "printers.adopt",
                "printers.approved[0]",
                "printers.approved[1]",
                "printers.approved[3]",
                "printers.ignore",
                "printers.retired[0]",
                "printers.pins[2]",
                "printers.pins[0].printer",
                "printers.pins[1].what",
                "printers.merge[0]",
                "printers.merge[1]",
                "printers.merge[2][1]",
                "printers.names.a b",
                "printers.names.hp-a",
            ]
        );
    }

    #[test]
    fn contradictions_are_errors() {
        for (rules, wanted) in [
            (
                json!({"pins": [{"what": "10.0.0.1", "printer": "hp-a"}], "split": [{"what": "10.0.0.1", "printer": "hp-a"}]}),
                "printers.pins[0]",
            ),
            (
                json!({"pins": [{"what": "10.0.0.1", "printer": "hp-a"}, {"what": "10.0.0.1", "printer": "hp-b"}]}),
                "printers.pins[1].what",
            ),
            (json!({"pins": [{"what": "id:hp-b", "printer": "hp-a"}]}), "printers.pins[0].what"),
            (json!({"pins": [{"what": "10.0.0.1", "printer": "hp-a"}], "ignore": ["hp-a"]}), "printers.pins[0]"),
            (json!({"merge": [["hp-a", "hp-a"]]}), "printers.merge[0][1]"),
            (json!({"merge": [["hp-a", "hp-b"], ["hp-c", "hp-b"]]}), "printers.merge[1][1]"),
            (json!({"merge": [["hp-a", "hp-b"]], "split": [{"what": "hp-b", "printer": "hp-a"}]}), "printers.split[0]"),
            (json!({"retired": ["hp-a"], "approved": ["hp-a"]}), "printers.retired[0]"),
            (json!({"retired": ["hp-a"], "pins": [{"what": "10.0.0.1", "printer": "hp-a"}]}), "printers.retired[0]"),
            (json!({"retired": ["hp-b"], "merge": [["hp-a", "hp-b"]]}), "printers.retired[0]"),
            (json!({"approved": ["10.0.0.1"], "ignore": ["address:10.0.0.1"]}), "printers.ignore[0]"),
            (json!({"split": [{"what": "hp-a", "printer": "hp-a"}]}), "printers.split[0]"),
        ] {
            assert_eq!(paths(rules.clone()), [wanted], "{rules}");
        }
        assert_eq!(paths(json!({"merge": [["hp-a", "hp-b"], ["hp-c", "hp-d"]], "retired": ["hp-e"]})), [""; 0]);
    }

    fn paths(printers: Value) -> Vec<String> {
        let errors = check(&json!({"printers": printers})).config.err().unwrap_or_default();
        errors.into_iter().map(|error| error.path).collect()
    }
}
