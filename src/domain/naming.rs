//! How topics and shadows are named: two templates, checked where they enter.
//!
//! A topic root has the placeholder `{printer}` as one whole level, and may have `{gateway}` as another one before it.
//! What stands before `{printer}` is its *head*, what stands behind it its *tail*:
//!
//! | root | head | shared |
//! |---|---|---|
//! | `printers/{gateway}/{printer}` (default) | `printers/{gateway}/` | no: one wildcard filter covers all printers |
//! | `printers/{printer}` (flat) | `printers/` | yes: other gateways are under it too, so each printer has its own filter |
//!
//! Invariants: a [`TopicRoot`] with any valid gateway and printer name, and the longest suffix (`/print/control`), is a
//! topic that AWS IoT takes: at most 256 bytes and 7 slashes, no wildcard, no empty level, not reserved (`$`). A
//! [`ThingName`] template has one `{printer}` and only characters of thing names; whether a thing's name is short enough
//! is known only with the names themselves ([`ThingName::of`]).
//!
//! Not here: the topics themselves (`cloud::wire::topics`), which printers are subscribed to (`subscriptions`).

use super::ids::{GatewayName, PrinterId};
use std::fmt;
use std::str::FromStr;

/// AWS IoT's limit on the length of a topic, bytes.
pub const MAX_TOPIC_BYTES: usize = 256;
/// AWS IoT's limit on the slashes of a topic.
pub const MAX_SLASHES: usize = 7;
/// AWS IoT's limit on the length of a thing's name, characters.
pub const MAX_THING_NAME: usize = 128;

const GATEWAY: &str = "{gateway}";
const PRINTER: &str = "{printer}";
const LONGEST_GATEWAY: usize = 128;
const LONGEST_PRINTER: usize = 64;
const LONGEST_SUFFIX: &str = "/print/control";

/// How topics and shadows are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Naming {
    /// Where a printer's topics are.
    pub root: TopicRoot,
    /// Where a printer's shadow is.
    pub shadows: Shadows,
}

/// Where a printer's shadow is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shadows {
    /// A named shadow of the gateway's thing; nothing has to be made for it.
    #[default]
    Named,
    /// The classic shadow of the printer's own thing, which must exist.
    Thing(ThingName),
}

/// Why a template is refused; written for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTemplate(String);

/// A checked topic root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRoot {
    /// Levels before `{printer}`, each with its slash.
    head: String,
    /// Levels behind it, each with its slash before it.
    tail: String,
}

impl Default for TopicRoot {
    fn default() -> Self {
        Self { head: format!("printers/{GATEWAY}/"), tail: String::new() }
    }
}

impl TopicRoot {
    /// Whether printers of other gateways are under the same head.
    pub fn is_shared(&self) -> bool {
        !self.head.contains(GATEWAY)
    }

    /// The head with the gateway's name in it: empty, or with a slash at its end.
    pub fn head(&self, gateway: &GatewayName) -> String {
        self.head.replace(GATEWAY, gateway.as_str())
    }

    /// The tail: empty, or with a slash at its beginning.
    pub fn tail(&self) -> &str {
        &self.tail
    }
}

impl fmt::Display for TopicRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PRINTER}{}", self.head, self.tail)
    }
}

impl FromStr for TopicRoot {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let refuse = |why: &str| Err(InvalidTemplate(why.to_owned()));
        let levels: Vec<&str> = text.split('/').collect();
        let count = |placeholder: &str| levels.iter().filter(|level| **level == placeholder).count();
        let plain = |level: &&str| ![GATEWAY, PRINTER].contains(level);
        let taken = |c: char| c.is_ascii_graphic() && !matches!(c, '+' | '#' | '{' | '}');
        if count(PRINTER) != 1 || count(GATEWAY) > 1 {
            return refuse("must have {printer} as one of its levels, once, and {gateway} at most once");
        }
        if levels.iter().any(|level| level.is_empty()) {
            return refuse("must not begin or end with a slash, nor have two in a row");
        }
        if levels.iter().copied().filter(plain).any(|level| !level.chars().all(taken)) {
            return refuse(
                "may have {printer} and {gateway} as whole levels; else only printable ASCII without blanks, + and #",
            );
        }
        if text.starts_with('$') {
            return refuse("must not begin with $: those topics are reserved");
        }
        let at = |placeholder: &str| levels.iter().position(|level| *level == placeholder);
        if at(GATEWAY) > at(PRINTER) {
            return refuse("must have {gateway} before {printer}, so that one filter covers the gateway's printers");
        }
        if levels.len() - 1 + LONGEST_SUFFIX.matches('/').count() > MAX_SLASHES {
            return refuse("has too many levels: with /print/control behind it a topic may have 8");
        }
        let literal: usize = levels.iter().copied().filter(plain).map(str::len).sum();
        let names = LONGEST_PRINTER + count(GATEWAY) * LONGEST_GATEWAY;
        if literal + names + levels.len() - 1 + LONGEST_SUFFIX.len() > MAX_TOPIC_BYTES {
            return refuse("is too long: with the longest names and /print/control a topic may have 256 bytes");
        }
        let (head, tail) = text.split_once(PRINTER).unwrap_or_default();
        Ok(Self { head: head.to_owned(), tail: tail.to_owned() })
    }
}

/// A checked template for the names of printers' things; `{printer}` alone by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThingName {
    before: String,
    after: String,
}

impl ThingName {
    /// The name of a printer's thing; nothing where it would be longer than a thing's name may be, or the gateway's own.
    pub fn of(&self, gateway: &GatewayName, printer: &PrinterId) -> Option<String> {
        let (before, after) = self.around(gateway);
        let name = format!("{before}{printer}{after}");
        (name.len() <= MAX_THING_NAME && name != gateway.as_str()).then_some(name)
    }

    /// What stands before and behind the printer's id, with the gateway's name in it.
    pub fn around(&self, gateway: &GatewayName) -> (String, String) {
        (self.before.replace(GATEWAY, gateway.as_str()), self.after.replace(GATEWAY, gateway.as_str()))
    }
}

impl fmt::Display for ThingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PRINTER}{}", self.before, self.after)
    }
}

impl FromStr for ThingName {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let refuse = |why: &str| Err(InvalidTemplate(why.to_owned()));
        if text.matches(PRINTER).count() != 1 || text.matches(GATEWAY).count() > 1 {
            return refuse("must contain {printer} once, and {gateway} at most once");
        }
        let literal = text.replace(PRINTER, "").replace(GATEWAY, "");
        if !literal.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-')) {
            return refuse("may have, besides {printer} and {gateway}, the characters A-Z a-z 0-9 : _ -");
        }
        // A gateway's name is rarely long; the longest printer's must fit all the same.
        if literal.len() + LONGEST_PRINTER + text.matches(GATEWAY).count() > MAX_THING_NAME {
            return refuse("is too long: the name of a thing may have 128 characters");
        }
        let (before, after) = text.split_once(PRINTER).unwrap_or_default();
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn root(text: &str) -> Result<TopicRoot, String> {
        text.parse().map_err(|error: InvalidTemplate| error.to_string())
    }

    #[test]
    fn roots_with_a_whole_level_for_each_name_are_taken_and_written_back() {
        for (text, shared) in [
            ("printers/{gateway}/{printer}", false),
            ("printers/{printer}", true),
            ("{printer}", true),
            ("{gateway}/{printer}", false),
            ("acme/eu/{gateway}/dev/{printer}/io", false),
        ] {
            let root = root(text).unwrap();
            assert_eq!((root.to_string().as_str(), root.is_shared()), (text, shared));
        }
        assert_eq!(TopicRoot::default(), root("printers/{gateway}/{printer}").unwrap());
    }

    #[test]
    fn what_no_topic_can_be_is_refused_with_its_reason() {
        for (text, word) in [
            ("", "{printer}"),
            ("printers", "{printer}"),
            ("printers/{printer}/{printer}", "once"),
            ("{gateway}/{gateway}/{printer}", "at most once"),
            ("printers/p-{printer}", "{printer}"),
            ("printers/{gateway}-x/{printer}", "whole levels"),
            ("printers/{site}/{printer}", "whole levels"),
            ("/printers/{printer}", "slash"),
            ("printers//{printer}", "slash"),
            ("printers/{printer}/", "slash"),
            ("printers/+/{printer}", "+"),
            ("printers/#/{printer}", "#"),
            ("printers/a b/{printer}", "ASCII"),
            ("drucker/ä/{printer}", "ASCII"),
            ("$aws/{printer}", "reserved"),
            ("{printer}/{gateway}", "before"),
            ("a/b/c/d/e/{printer}/f", "levels"),
        ] {
            let error = root(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(root(&format!("{}/{{printer}}", "x".repeat(178))).is_err());
        assert!(root(&format!("{}/{{printer}}", "x".repeat(177))).is_ok());
    }

    #[test]
    fn things_are_named_by_the_template_and_never_like_the_gateway() {
        let gateway = GatewayName::new("gw-1").unwrap();
        let printer = PrinterId::new("hp-1").unwrap();
        let name = |text: &str| text.parse::<ThingName>().unwrap().of(&gateway, &printer);
        assert_eq!(name("{printer}").as_deref(), Some("hp-1"));
        assert_eq!(name("prn:{gateway}_{printer}-x").as_deref(), Some("prn:gw-1_hp-1-x"));
        assert_eq!(ThingName::default().of(&GatewayName::new("hp-1").unwrap(), &printer), None);
        let long = GatewayName::new("g".repeat(125)).unwrap();
        assert_eq!("{gateway}{printer}".parse::<ThingName>().unwrap().of(&long, &printer), None);
        for bad in ["", "x", "{printer}{printer}", "{printer}/x", "{printer} ", "ä{printer}", &"{printer}".repeat(2)] {
            assert!(bad.parse::<ThingName>().is_err(), "{bad}");
        }
        assert!(format!("{}{{printer}}", "x".repeat(65)).parse::<ThingName>().is_err());
    }

    proptest! {
        /// Any text is taken or refused; what is taken makes topics within AWS IoT's limits.
        #[test]
        fn every_taken_root_makes_valid_topics(
            levels in proptest::collection::vec(r"\{gateway\}|\{printer\}|[a-z+$#{} ]{0,60}", 1..9),
            gateway in "[A-Za-z0-9:_-]{1,128}", printer in "[a-z0-9-]{1,64}",
        ) {
            let Ok(root) = levels.join("/").parse::<TopicRoot>() else { return Ok(()) };
            let gateway = GatewayName::new(gateway).unwrap();
            let topic = format!("{}{printer}{}{LONGEST_SUFFIX}", root.head(&gateway), root.tail());
            prop_assert!(topic.len() <= MAX_TOPIC_BYTES && topic.matches('/').count() <= MAX_SLASHES, "{topic}");
            prop_assert!(!topic.contains(['+', '#', ' ', '{']) && !topic.contains("//"), "{topic}");
            prop_assert!(!topic.starts_with(['$', '/']), "{topic}");
        }
    }
}
