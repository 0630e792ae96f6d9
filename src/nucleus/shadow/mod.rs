//! The Device Shadow service behind the stand-in nucleus: an MQTT client of the same broker.
//!
//! Serves `$aws/things/{thing}/shadow` (classic) and `$aws/things/{thing}/shadow/name/{shadow}` (named) of any thing
//! with `get`, `update`, `delete` → `accepted`, `rejected`, and for updates `delta` and `documents`. The documents live
//! in memory; [`document`] has their rules. As on AWS a thing need not be registered to have shadows (aws-sdk-java issues
//! 626 and 1246, aws-sdk-js issue 4372). [`Things::Only`] is stricter: a request for another thing is rejected with 404
//! "Thing not found", an answer that AWS documents ("Device Shadow error messages") and that finds wrong names in tests.
//!
//! With quotas: a request takes a while, of a thing at most 10 are under way and 20 a second are begun; more are
//! rejected with 429. AWS counts those under way per thing and connection; here, behind the broker, per thing.
//!
//! Other than AWS IoT: answers go through the broker, so anyone may subscribe to them; the account's quota (400 or
//! 4,000 requests a second) is not held; a shadow that was deleted keeps its version for as long as the nucleus runs
//! (AWS: 48 hours).

pub mod document;
mod service;

pub(super) use self::service::serve;

use self::document::{Document, Rejection, Request};
use super::quota::{Bucket, Quotas};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Shadows kept, deleted ones included; the next new one is answered 429.
pub const MAX_SHADOWS: usize = 10_000;

/// Which things may have shadows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Things {
    /// All, as on AWS.
    #[default]
    Any,
    /// These only; for others the answer is 404.
    Only(BTreeSet<String>),
}

/// All shadows.
#[derive(Debug, Default)]
pub struct Shadows {
    documents: HashMap<String, Document>,
    things: Things,
    quotas: Option<Quotas>,
    load: HashMap<String, Load>,
}

/// The requests of one thing.
#[derive(Debug)]
struct Load {
    rate: Bucket,
    in_flight: usize,
}

/// What becomes of a message.
#[derive(Debug)]
pub(super) struct Answered {
    /// The thing asked for.
    pub(super) thing: String,
    /// What to publish, in order.
    pub(super) answers: Vec<(String, Value)>,
    /// After this time, which is when the request is no longer under way; `None`: at once, it never was.
    pub(super) after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Get,
    Update,
    Delete,
}

/// What to publish under a request's topic: the last level and the payload.
type Answers = Vec<(&'static str, Value)>;

/// A request's topic, taken apart.
struct Address<'a> {
    /// `$aws/things/T/shadow` or `$aws/things/T/shadow/name/S`.
    prefix: &'a str,
    thing: &'a str,
    /// As it stands in messages: `T` or `T~S`.
    name: String,
    operation: Operation,
}

impl<'a> Address<'a> {
    /// `None`: not a request to the service, or names that AWS IoT does not allow.
    fn parse(topic: &'a str) -> Option<Self> {
        let (prefix, operation) = topic.rsplit_once('/')?;
        let operation = match operation {
            "get" => Operation::Get,
            "update" => Operation::Update,
            "delete" => Operation::Delete,
            _ => return None,
        };
        let (thing, shadow) = prefix.strip_prefix("$aws/things/")?.split_once("/shadow")?;
        let valid = |text: &str, longest: usize, more: &str| {
            (1..=longest).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || ":_-".contains(c) || more.contains(c))
        };
        if !valid(thing, 128, "") {
            return None;
        }
        let name = match shadow.strip_prefix("/name/") {
            Some(shadow) if valid(shadow, 64, "$") => format!("{thing}~{shadow}"),
            None if shadow.is_empty() => thing.to_owned(),
            _ => return None,
        };
        Some(Self { prefix, thing, name, operation })
    }
}

impl Shadows {
    /// No shadows yet.
    pub fn new(things: Things, quotas: Option<Quotas>) -> Self {
        Self { things, quotas, ..Self::default() }
    }

    /// Handles one message that came at `instant`, `now` (epoch seconds), within the quotas. `None`: not a request.
    pub(super) fn handle(&mut self, topic: &str, payload: &[u8], now: i64, instant: Instant) -> Option<Answered> {
        let thing = Address::parse(topic)?.thing.to_owned();
        let Some(quotas) = &self.quotas else {
            return Some(Answered { thing, answers: self.answer(topic, payload, now), after: None });
        };
        let after = quotas.shadow_time;
        // Whatever is idle has a full bucket: as good as forgotten.
        if self.load.len() > MAX_SHADOWS {
            self.load.retain(|_, load| load.in_flight > 0);
        }
        let per_second = quotas.shadow_requests_per_second;
        let most = quotas.shadow_in_flight;
        let new = || Load { rate: Bucket::new(per_second, instant), in_flight: 0 };
        let load = self.load.entry(thing.clone()).or_insert_with(new);
        if load.in_flight >= most || !load.rate.take(1, instant) {
            let token = Request::parse_bare(payload).ok().and_then(|request| request.client_token);
            let rejected = rejected(&Rejection::new(429, "Too many requests"), token, now);
            return Some(Answered { thing, answers: vec![(format!("{topic}/rejected"), rejected)], after: None });
        }
        load.in_flight += 1;
        Some(Answered { thing, answers: self.answer(topic, payload, now), after: Some(after) })
    }

    /// A request of `thing` is answered.
    pub(super) fn answered(&mut self, thing: &str) {
        if let Some(load) = self.load.get_mut(thing) {
            load.in_flight = load.in_flight.saturating_sub(1);
        }
    }

    /// The broker is lost, and with it every answer that was still due.
    pub(super) fn nothing_under_way(&mut self) {
        self.load.values_mut().for_each(|load| load.in_flight = 0);
    }

    /// Handles one message at `now` (epoch seconds) and returns what to publish, in order.
    pub fn answer(&mut self, topic: &str, payload: &[u8], now: i64) -> Vec<(String, Value)> {
        let Some(address) = Address::parse(topic) else { return Vec::new() };
        let at = |suffix: &str| format!("{topic}/{suffix}");
        match self.apply(&address, payload, now) {
            Ok(answers) => answers.into_iter().map(|(suffix, answer)| (at(suffix), answer)).collect(),
            Err((rejection, token)) => vec![(at("rejected"), rejected(&rejection, token, now))],
        }
    }

    fn apply(
        &mut self,
        address: &Address<'_>,
        payload: &[u8],
        now: i64,
    ) -> Result<Answers, (Rejection, Option<String>)> {
        if let Things::Only(things) = &self.things
            && !things.contains(address.thing)
        {
            let token = Request::parse_bare(payload).ok().and_then(|request| request.client_token);
            return Err((Rejection::new(404, "Thing not found"), token));
        }
        if address.operation == Operation::Update {
            let request = Request::parse_update(payload)?;
            let token = request.client_token.clone();
            if !self.documents.contains_key(address.prefix) && self.documents.len() >= MAX_SHADOWS {
                return Err((Rejection::new(429, "The stand-in keeps no more shadows"), token));
            }
            let mut document = self.documents.get(address.prefix).cloned().unwrap_or_default();
            let accepted = document.update(&request, now).map_err(|rejection| (rejection, token))?;
            self.documents.insert(address.prefix.to_owned(), document);
            let mut answers = vec![("accepted", accepted.accepted), ("documents", accepted.documents)];
            answers.extend(accepted.delta.map(|delta| ("delta", delta)));
            return Ok(answers);
        }
        let request = Request::parse_bare(payload)?;
        let document = self.documents.get_mut(address.prefix);
        let answer = match address.operation {
            Operation::Delete => document.and_then(|d| d.delete(&request, now)),
            Operation::Get | Operation::Update => document.and_then(|d| d.get(&request, now)),
        };
        match answer {
            Some(answer) => Ok(vec![("accepted", answer)]),
            None => {
                let message = format!("No shadow exists with name: '{}'", address.name);
                Err((Rejection::new(404, message), request.client_token))
            }
        }
    }
}

/// The answer on `…/rejected`.
pub(super) fn rejected(rejection: &Rejection, token: Option<String>, now: i64) -> Value {
    let mut answer = json!({"code": rejection.code, "message": rejection.message, "timestamp": now});
    if let (Some(token), Value::Object(map)) = (token, &mut answer) {
        map.insert("clientToken".into(), token.into());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_with_names_that_aws_allows_are_answered() {
        for (topic, name) in [
            ("$aws/things/gw/shadow/get", Some("gw")),
            ("$aws/things/gw:1/shadow/name/hp-1/update", Some("gw:1~hp-1")),
            ("$aws/things/gw/shadow/name/$x/delete", Some("gw~$x")),
            ("$aws/things/gw/shadow/name//get", None),
            ("$aws/things/gw/shadow/name/a b/get", None),
            ("$aws/things//shadow/get", None),
            ("$aws/things/g\u{fc}/shadow/get", None),
            ("$aws/things/gw/shadow/update/accepted", None),
            ("$aws/things/gw/shadow/x/get", None),
            ("$aws/things/gw/jobs/get", None),
        ] {
            assert_eq!(Address::parse(topic).map(|a| a.name).as_deref(), name, "{topic}");
        }
        assert!(Address::parse(&format!("$aws/things/{}/shadow/get", "x".repeat(129))).is_none());
        assert!(Address::parse(&format!("$aws/things/x/shadow/name/{}/get", "x".repeat(65))).is_none());
    }

    #[test]
    fn classic_and_named_shadows_are_apart() {
        let mut shadows = Shadows::default();
        let update = br#"{"state":{"reported":{"a":1}}}"#;
        let topics: Vec<_> =
            shadows.answer("$aws/things/gw/shadow/update", update, 1).into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(topics, ["$aws/things/gw/shadow/update/accepted", "$aws/things/gw/shadow/update/documents"]);
        let answers = shadows.answer("$aws/things/gw/shadow/name/p/get", br#"{"clientToken":"t"}"#, 5);
        let expected =
            json!({"code": 404, "message": "No shadow exists with name: 'gw~p'", "timestamp": 5, "clientToken": "t"});
        assert_eq!(answers, [("$aws/things/gw/shadow/name/p/get/rejected".to_owned(), expected)]);
    }

    #[test]
    fn a_thing_has_its_rate_and_its_places_in_flight() {
        let start = Instant::now();
        let mut shadows = Shadows::new(Things::Any, Some(Quotas::default()));
        let ask = |shadows: &mut Shadows, thing: &str, at: Instant| {
            let topic = format!("$aws/things/{thing}/shadow/get");
            let answered = shadows.handle(&topic, br#"{"clientToken":"t"}"#, 1, at).unwrap();
            (answered.answers[0].1["code"].as_u64().unwrap(), answered.after.is_some())
        };
        for _ in 0..10 {
            assert_eq!(ask(&mut shadows, "a", start), (404, true));
        }
        assert_eq!(ask(&mut shadows, "a", start), (429, false), "ten in flight");
        assert_eq!(ask(&mut shadows, "b", start), (404, true), "another thing");
        for _ in 0..10 {
            shadows.answered("a");
            assert_eq!(ask(&mut shadows, "a", start), (404, true));
        }
        shadows.answered("a");
        assert_eq!(ask(&mut shadows, "a", start), (429, false), "twenty in one second");
        assert_eq!(ask(&mut shadows, "a", start + Duration::from_millis(60)), (404, true));
        let rejected = shadows.handle("$aws/things/a/shadow/get", br#"{"clientToken":"t"}"#, 1, start).unwrap();
        assert_eq!(rejected.answers[0].1["clientToken"], "t");
    }

    #[test]
    fn a_thing_that_is_not_registered_has_no_shadows() {
        let things = Things::Only(BTreeSet::from(["known".to_owned()]));
        let mut shadows = Shadows::new(things, None);
        let update = br#"{"state":{},"clientToken":"t"}"#;
        let answers = shadows.answer("$aws/things/other/shadow/name/p/update", update, 5);
        let expected = json!({"code": 404, "message": "Thing not found", "timestamp": 5, "clientToken": "t"});
        assert_eq!(answers, [("$aws/things/other/shadow/name/p/update/rejected".to_owned(), expected)]);
        let answers = shadows.answer("$aws/things/known/shadow/name/p/update", update, 5);
        assert_eq!(answers[0].0, "$aws/things/known/shadow/name/p/update/accepted");
    }

    #[test]
    fn the_number_of_shadows_is_bounded() {
        let mut shadows = Shadows::default();
        let update = br#"{"state":{}}"#;
        for n in 0..MAX_SHADOWS {
            shadows.answer(&format!("$aws/things/t{n}/shadow/update"), update, 1);
        }
        let answer = shadows.answer("$aws/things/more/shadow/update", update, 1);
        assert_eq!(answer.first().map(|(_, a)| a["code"].clone()), Some(json!(429)));
        let answer = shadows.answer("$aws/things/t0/shadow/update", update, 1);
        assert_eq!(answer.first().map(|(_, a)| a["version"].clone()), Some(json!(2)));
    }
}
