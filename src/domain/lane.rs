//! Shadow updates on their way: at most one for each printer, a few together, within a rate.
//!
//! ```text
//!  (shadow differs) ──start──▶ on its way ──accepted──▶ done: the patch is what the cloud now has
//!                                 │ rejected, or no answer in time
//!                                 ▼
//!                              resting (longer each time) ──▶ may start again, with a fresh difference
//! ```
//!
//! An update that is refused for what it is (400, 401, 403, 404, 413, 415) rests the longest at once: only somebody who
//! changes something helps. The last refusal of each printer is kept for people ([`Lane::refusals`]) until an update of
//! it is accepted.
//!
//! A thing takes 20 requests a second and 10 in flight. With named shadows all printers share the gateway's thing, so
//! the limits are for all together; with a thing for each printer they are kept all the more, since of one printer only
//! one update is on its way.
//!
//! An update is known by its random `clientToken`; an answer with another token is somebody else's and changes
//! nothing. A clock set back keeps no printer waiting: a time further ahead than the limits allow counts as past.
//! Nothing of this is stored: after a restart the difference is still there and starts again.

use super::outbox::Budget;
use super::retry::Backoff;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Limits of shadow updates: a thing allows 20 requests/s and 10 in flight; half of it is ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Updates on their way at once.
    pub in_flight: usize,
    /// Updates a second.
    pub per_second: u32,
    /// How long an answer may take.
    pub answer_timeout: SignedDuration,
    /// Longest rest of a printer whose updates fail.
    pub longest_rest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 4,
            per_second: 10,
            answer_timeout: SignedDuration::from_secs(5),
            longest_rest: Duration::from_secs(300),
        }
    }
}

#[derive(Debug)]
struct Update {
    printer: String,
    patch: Value,
    deadline: Timestamp,
}

#[derive(Debug, Default)]
struct Rest {
    failures: u32,
    until: Option<Timestamp>,
    /// Why the service refuses the updates, in words.
    refused: Option<String>,
}

/// The updates on their way.
#[derive(Debug)]
pub struct Lane {
    limits: Limits,
    budget: Budget,
    /// By client token.
    updates: BTreeMap<String, Update>,
    /// Printers whose last update failed; forgotten at the first success.
    resting: BTreeMap<String, Rest>,
}

impl Lane {
    /// An empty lane.
    pub fn new(limits: Limits) -> Self {
        let budget = Budget::new(limits.per_second);
        Self { limits, budget, updates: BTreeMap::new(), resting: BTreeMap::new() }
    }

    /// How many are on their way.
    pub fn len(&self) -> usize {
        self.updates.len()
    }

    /// Is none on its way?
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// How many more may start.
    pub fn room(&self) -> usize {
        self.limits.in_flight.saturating_sub(self.updates.len())
    }

    /// Printers that may not start now.
    pub fn busy(&self, now: Timestamp) -> Vec<String> {
        let on_way = self.updates.values().map(|update| update.printer.clone());
        let longest = SignedDuration::try_from(self.limits.longest_rest).unwrap_or(SignedDuration::MAX);
        let rests = |until: Timestamp| until > now && until.duration_since(now) <= longest;
        let resting = self.resting.iter().filter(|(_, r)| r.until.is_some_and(rests));
        on_way.chain(resting.map(|(printer, _)| printer.clone())).collect()
    }

    /// Takes an update in. False: no room, no rate, or the printer is busy.
    pub fn start(&mut self, printer: &str, token: &str, patch: Value, now: Timestamp) -> bool {
        if self.room() == 0 || self.busy(now).iter().any(|busy| busy == printer) || !self.budget.take(now) {
            return false;
        }
        let deadline = now.checked_add(self.limits.answer_timeout).unwrap_or(now);
        self.updates.insert(token.to_owned(), Update { printer: printer.to_owned(), patch, deadline });
        true
    }

    /// `update/accepted` came. Answers the patch that the cloud now has, if the update was ours.
    pub fn accepted(&mut self, printer: &str, token: &str) -> Option<Value> {
        if self.updates.get(token)?.printer != printer {
            return None;
        }
        self.resting.remove(printer);
        self.updates.remove(token).map(|update| update.patch)
    }

    /// `update/rejected` came, or the publish failed. True if the update was ours.
    pub fn failed(&mut self, token: &str, now: Timestamp, jitter: u64) -> bool {
        let Some(update) = self.updates.remove(token) else { return false };
        self.rest(update.printer, now, jitter);
        true
    }

    /// `update/rejected` came with a code that the same update would bring again: the longest rest, and the reason for
    /// people. True if the update was ours.
    pub fn refused(&mut self, token: &str, why: String, now: Timestamp, jitter: u64) -> bool {
        let Some(update) = self.updates.remove(token) else { return false };
        let rest = self.resting.entry(update.printer).or_default();
        let longest = self.limits.longest_rest;
        // Up to a tenth earlier, so that not all ask again at once.
        let pause = longest.saturating_sub(longest / 10 * (jitter % 100) as u32 / 100);
        rest.failures = rest.failures.saturating_add(1);
        rest.until = Some(now.checked_add(SignedDuration::try_from(pause).unwrap_or_default()).unwrap_or(now));
        rest.refused = Some(why);
        true
    }

    /// Printers whose updates the service refuses, and why.
    pub fn refusals(&self) -> Vec<(String, String)> {
        let why = |(printer, rest): (&String, &Rest)| Some((printer.clone(), rest.refused.clone()?));
        self.resting.iter().filter_map(why).collect()
    }

    /// Gives up updates whose answer is overdue. Answers their printers.
    pub fn overdue(&mut self, now: Timestamp, jitter: u64) -> Vec<String> {
        let timeout = self.limits.answer_timeout;
        let over = |deadline: Timestamp| deadline <= now || deadline.duration_since(now) > timeout;
        let tokens: Vec<String> =
            self.updates.iter().filter(|(_, u)| over(u.deadline)).map(|(token, _)| token.clone()).collect();
        let mut printers = Vec::new();
        for token in tokens {
            if let Some(update) = self.updates.remove(&token) {
                self.rest(update.printer.clone(), now, jitter);
                printers.push(update.printer);
            }
        }
        printers
    }

    /// The link is new: nobody rests any more, and what was on its way is forgotten (its answer may have been missed).
    pub fn link_up(&mut self) {
        self.updates.clear();
        self.resting.retain(|_, rest| rest.refused.is_some());
        self.resting.values_mut().for_each(|rest| rest.until = None);
    }

    /// When something changes by itself: an answer is overdue, a rest ends, or the rate allows another.
    pub fn next_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        let deadlines = self.updates.values().map(|update| update.deadline);
        let rests = self.resting.values().filter_map(|rest| rest.until).filter(|until| *until > now);
        deadlines.chain(rests).min()
    }

    /// When the rate allows the next start.
    pub fn next_start(&mut self, now: Timestamp) -> Timestamp {
        self.budget.next(now)
    }

    /// Starts no update of this printer for a while.
    pub fn rest(&mut self, printer: String, now: Timestamp, jitter: u64) {
        let rest = self.resting.entry(printer).or_default();
        let backoff = Backoff { base: Duration::from_secs(2), cap: self.limits.longest_rest };
        let pause = SignedDuration::try_from(backoff.delay(rest.failures, jitter)).unwrap_or_default();
        rest.failures = rest.failures.saturating_add(1);
        rest.until = Some(now.checked_add(pause).unwrap_or(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_clock_set_back_keeps_no_printer_waiting() {
        let mut lane = Lane::new(Limits::default());
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let day_before = now - SignedDuration::from_hours(24);
        assert!(lane.start("a", "1", Value::Null, now));
        assert_eq!(lane.overdue(day_before, 0), ["a"]);
        assert!(lane.start("b", "2", Value::Null, now));
        assert!(lane.failed("2", now, 0));
        assert!(!lane.busy(day_before).contains(&"b".to_owned()));
    }

    #[test]
    fn one_update_for_each_printer_and_four_together() {
        let mut lane = Lane::new(Limits::default());
        assert!(lane.start("a", "t1", json!({"x": 1}), now(0)));
        assert!(!lane.start("a", "t2", json!({"x": 2}), now(0)));
        for (printer, token) in [("b", "t3"), ("c", "t4"), ("d", "t5")] {
            assert!(lane.start(printer, token, json!({}), now(0)));
        }
        assert!(!lane.start("e", "t6", json!({}), now(0)));
        assert_eq!(lane.accepted("a", "t1"), Some(json!({"x": 1})));
        assert!(lane.start("e", "t6", json!({}), now(0)));
    }

    #[test]
    fn an_answer_that_is_not_ours_changes_nothing() {
        let mut lane = Lane::new(Limits::default());
        lane.start("a", "t1", json!({}), now(0));
        assert_eq!(lane.accepted("a", "guess"), None);
        assert_eq!(lane.accepted("b", "t1"), None, "the right token under another printer's topic");
        assert!(!lane.failed("guess", now(0), 0));
        assert_eq!(lane.len(), 1);
    }

    #[test]
    fn a_refused_update_rests_longest_and_says_why_until_one_is_accepted() {
        let mut lane = Lane::new(Limits::default());
        assert!(lane.start("a", "t1", json!({}), now(0)));
        assert!(lane.refused("t1", "no such thing".into(), now(0), 0));
        assert!(!lane.refused("t1", "twice".into(), now(0), 0));
        assert!(!lane.start("a", "t2", json!({}), now(299)));
        assert_eq!(lane.refusals(), [("a".to_owned(), "no such thing".to_owned())]);
        lane.link_up();
        assert_eq!(lane.refusals().len(), 1, "a new link proves nothing");
        assert!(lane.start("a", "t3", json!({}), now(1)), "but it is tried at once");
        assert_eq!(lane.accepted("a", "t3"), Some(json!({})));
        assert_eq!(lane.refusals(), []);
    }

    #[test]
    fn a_failing_printer_rests_longer_each_time_and_blocks_no_other() {
        let mut lane = Lane::new(Limits::default());
        let mut at = 0;
        let mut rests = Vec::new();
        for n in 0..4 {
            assert!(lane.start("a", &format!("t{n}"), json!({}), now(at)));
            assert_eq!(lane.overdue(now(at + 4), 0), Vec::<String>::new());
            assert_eq!(lane.overdue(now(at + 5), 0), ["a"]);
            at += 5;
            assert!(!lane.start("a", "early", json!({}), now(at)));
            let until = lane.next_due(now(at)).unwrap();
            rests.push(until.duration_since(now(at)).as_millis());
            at = until.as_second() - now(0).as_second() + 1;
        }
        assert!(rests.windows(2).all(|pair| pair[0] < pair[1]), "{rests:?}");
        assert!(lane.start("b", "other", json!({}), now(at)));
    }
}
