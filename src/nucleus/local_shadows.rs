//! The classic nucleus's shadow manager: the local store of shadow documents that components reach through IPC.
//!
//! Documents, merges, versions, sizes and rejections are those of [`super::shadow::document`]: state of at most 8,192
//! bytes and 6 levels, a version that is named must be the stored one. What the manager says of each request is local
//! publish/subscribe: `$aws/things/T/shadow[/name/S]/{get,update,delete}/{accepted,rejected}` and
//! `update/{delta,documents}`. At most 20 requests a second for a thing and 200 for all are served, counted by the
//! clock's seconds.
//!
//! What it does not do: nothing is synchronized with the cloud, as with a real shadow manager whose configuration lists
//! no shadow; documents end with the nucleus, where the real ones are on disk.

use super::shadow::document::{Document, Rejection, Request};
use super::shadow::rejected;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Requests a second: `maxLocalRequestsPerSecondPerThing`, and `maxTotalLocalRequestsRate`.
const PER_THING: u32 = 20;
const IN_TOTAL: u32 = 200;
/// Shadows kept, deleted ones included.
const MAX_SHADOWS: usize = 10_000;

/// Which shadow: the thing and, unless it is the classic one, the shadow's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ShadowName {
    thing: String,
    /// Empty for the classic shadow.
    shadow: String,
}

impl ShadowName {
    /// Checks the names; the error is for the component.
    pub(super) fn new(thing: Option<&str>, shadow: Option<&str>) -> Result<Self, String> {
        let fits = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || ":_-".contains(c));
        let thing = thing.filter(|thing| !thing.is_empty()).ok_or("ThingName is missing")?;
        let shadow = shadow.unwrap_or_default();
        for (text, longest, what) in [(thing, 128, "ThingName"), (shadow, 64, "ShadowName")] {
            if text.len() > longest {
                return Err(format!("{what} has a maximum length of {longest}"));
            }
            if !fits(text) {
                return Err(format!("{what} must match pattern [a-zA-Z0-9:_-]+"));
            }
        }
        Ok(Self { thing: thing.to_owned(), shadow: shadow.to_owned() })
    }

    /// `$aws/things/T/shadow` or `$aws/things/T/shadow/name/S`.
    pub(super) fn prefix(&self) -> String {
        let Self { thing, shadow } = self;
        if shadow.is_empty() {
            format!("$aws/things/{thing}/shadow")
        } else {
            format!("$aws/things/{thing}/shadow/name/{shadow}")
        }
    }
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Get,
    Update,
    Delete,
}

impl Operation {
    fn topic(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// A request's outcome: the answer's payload or the rejection, and what to publish locally, in order.
pub(super) struct Outcome {
    pub(super) answer: Result<Vec<u8>, Rejection>,
    pub(super) publish: Vec<(String, Value)>,
}

/// All documents.
#[derive(Default)]
pub(super) struct LocalShadows(Mutex<State>);

#[derive(Default)]
struct State {
    documents: BTreeMap<ShadowName, Document>,
    second: i64,
    requests: u32,
    requests_of: HashMap<String, u32>,
}

impl LocalShadows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request at `now` (epoch seconds); false: too many in this second.
    pub(super) fn admit(&self, thing: &str, now: i64) -> bool {
        let mut state = self.lock();
        if state.second != now {
            (state.second, state.requests) = (now, 0);
            state.requests_of.clear();
        }
        if state.requests >= IN_TOTAL || state.requests_of.get(thing).is_some_and(|count| *count >= PER_THING) {
            return false;
        }
        state.requests += 1;
        *state.requests_of.entry(thing.to_owned()).or_default() += 1;
        true
    }

    /// Serves one request at `now` (epoch seconds).
    pub(super) fn serve(&self, name: &ShadowName, operation: Operation, payload: &[u8], now: i64) -> Outcome {
        let prefix = name.prefix();
        let at = |suffix: &str| format!("{prefix}/{}/{suffix}", operation.topic());
        match self.lock().apply(name, operation, payload, now) {
            Ok((answer, publish)) => {
                let publish = publish.into_iter().map(|(suffix, body)| (at(suffix), body)).collect();
                Outcome { answer: Ok(answer), publish }
            }
            Err((rejection, token)) => {
                let publish = vec![(at("rejected"), rejected(&rejection, token, now))];
                Outcome { answer: Err(rejection), publish }
            }
        }
    }

    /// What is published about a request that was refused before it came to the store.
    pub(super) fn refused(name: &ShadowName, operation: Operation, rejection: &Rejection, now: i64) -> (String, Value) {
        (format!("{}/{}/rejected", name.prefix(), operation.topic()), rejected(rejection, None, now))
    }

    /// Up to `limit` names of a thing's named shadows in order, from the one at `offset`.
    pub(super) fn named(&self, thing: &str, offset: usize, limit: usize) -> Vec<String> {
        let state = self.lock();
        let of_thing = state.documents.iter().filter(|(name, document)| name.thing == thing && document.exists());
        let named = of_thing.map(|(name, _)| name.shadow.clone()).filter(|shadow| !shadow.is_empty());
        named.skip(offset).take(limit).collect()
    }
}

type Applied = (Vec<u8>, Vec<(&'static str, Value)>);

impl State {
    fn apply(
        &mut self,
        name: &ShadowName,
        operation: Operation,
        payload: &[u8],
        now: i64,
    ) -> Result<Applied, (Rejection, Option<String>)> {
        if operation == Operation::Update {
            let request = Request::parse_update(payload)?;
            let token = request.client_token.clone();
            if !self.documents.contains_key(name) && self.documents.len() >= MAX_SHADOWS {
                let message = "The stand-in keeps no more shadows".to_owned();
                return Err((Rejection { code: 429, message }, token));
            }
            let mut document = self.documents.get(name).cloned().unwrap_or_default();
            let accepted = document.update(&request, now).map_err(|rejection| (rejection, token))?;
            self.documents.insert(name.clone(), document);
            let answer = accepted.accepted.to_string().into_bytes();
            let mut publish: Vec<_> = accepted.delta.map(|delta| ("delta", delta)).into_iter().collect();
            publish.extend([("documents", accepted.documents), ("accepted", accepted.accepted)]);
            return Ok((answer, publish));
        }
        let request = Request::default();
        let document = self.documents.get_mut(name);
        let found = match operation {
            Operation::Delete => document.and_then(|d| d.delete(&request, now)),
            Operation::Get | Operation::Update => document.and_then(|d| d.get(&request, now)),
        };
        let found = found.ok_or_else(|| {
            let shown = if name.shadow.is_empty() { "Unnamed Shadow" } else { &name.shadow };
            (Rejection { code: 404, message: format!("No shadow exists with name: {shown}") }, None)
        })?;
        // As over HTTP, a delete answers nothing.
        let answer = if operation == Operation::Get { found.to_string().into_bytes() } else { Vec::new() };
        Ok((answer, vec![("accepted", found)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn name(thing: &str, shadow: &str) -> ShadowName {
        ShadowName::new(Some(thing), Some(shadow)).unwrap()
    }

    fn topics(outcome: &Outcome) -> Vec<&str> {
        outcome.publish.iter().map(|(topic, _)| topic.as_str()).collect()
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(name("gw", "").prefix(), "$aws/things/gw/shadow");
        assert_eq!(name("gw", "hp-1").prefix(), "$aws/things/gw/shadow/name/hp-1");
        let long = "x".repeat(129);
        for (thing, shadow) in [(None, None), (Some(""), None), (Some("a b"), None), (Some(&*long), None)] {
            assert!(ShadowName::new(thing, shadow).is_err(), "{thing:?}");
        }
        for shadow in ["a/b", "$x", &"x".repeat(65)] {
            assert!(ShadowName::new(Some("t"), Some(shadow)).is_err(), "{shadow}");
        }
    }

    #[test]
    fn every_outcome_is_published_locally() {
        let shadows = LocalShadows::default();
        let hp = name("gw", "hp");
        let missing = shadows.serve(&hp, Operation::Get, b"", 1);
        assert_eq!(topics(&missing), ["$aws/things/gw/shadow/name/hp/get/rejected"]);
        assert_eq!(missing.answer.unwrap_err().code, 404);
        let update = br#"{"state":{"desired":{"a":1},"reported":{"a":2}},"clientToken":"t"}"#;
        let updated = shadows.serve(&hp, Operation::Update, update, 2);
        let prefix = "$aws/things/gw/shadow/name/hp/update";
        let expected = ["delta", "documents", "accepted"].map(|suffix| format!("{prefix}/{suffix}"));
        assert_eq!(topics(&updated), expected);
        let answer: Value = serde_json::from_slice(&updated.answer.unwrap()).unwrap();
        assert_eq!((&answer["version"], &answer["clientToken"]), (&json!(1), &json!("t")));
        let conflict = br#"{"state":{},"version":7,"clientToken":"u"}"#;
        let conflict = shadows.serve(&hp, Operation::Update, conflict, 2);
        assert_eq!(conflict.answer.unwrap_err().code, 409);
        assert_eq!(conflict.publish[0].1["clientToken"], json!("u"));
        let got: Value = serde_json::from_slice(&shadows.serve(&hp, Operation::Get, b"", 3).answer.unwrap()).unwrap();
        assert_eq!(got["state"]["delta"], json!({"a": 1}));
        assert_eq!(shadows.named("gw", 0, 10), ["hp"]);
        assert_eq!(shadows.serve(&hp, Operation::Delete, b"", 4).answer.unwrap(), b"");
        assert!(shadows.named("gw", 0, 10).is_empty());
        assert_eq!(shadows.serve(&hp, Operation::Delete, b"", 4).answer.unwrap_err().code, 404);
    }

    #[test]
    fn names_are_listed_in_pages_without_the_classic_shadow() {
        let shadows = LocalShadows::default();
        for shadow in ["", "c", "a", "b"] {
            shadows.serve(&name("gw", shadow), Operation::Update, br#"{"state":{}}"#, 1).answer.unwrap();
        }
        assert_eq!(shadows.named("gw", 0, 2), ["a", "b"]);
        assert_eq!(shadows.named("gw", 2, 2), ["c"]);
        assert!(shadows.named("other", 0, 2).is_empty());
    }

    #[test]
    fn twenty_requests_a_second_for_a_thing() {
        let shadows = LocalShadows::default();
        assert!((0..20).all(|_| shadows.admit("a", 1)));
        assert!(!shadows.admit("a", 1) && shadows.admit("b", 1) && shadows.admit("a", 2));
        assert_eq!((0..300).filter(|n| shadows.admit(&n.to_string(), 3)).count(), 200);
    }
}
