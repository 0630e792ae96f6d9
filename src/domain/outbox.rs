//! What is on its way to the cloud, and what is known to have arrived.
//!
//! A publish that "succeeded" proves nothing on either Greengrass runtime. A message is done only when its echo comes
//! back: same topic, same random id, same octets. Until then it is sent again, with growing pauses.
//!
//! ```text
//!  (waiting in the store) ──admit──▶ on its way ──echo──▶ done (the store deletes it)
//!                                     │    ▲ │
//!                              time-out │    │ └─ refused for what it is ─▶ wedged (the store sets it aside)
//!                                     └────┘ again, later
//! ```
//!
//! [`Window`] holds the messages on their way: at most `size` of them, at most one per job, within a rate. It decides
//! and counts; sending, storing and waiting are the owner's. A clock set back delays no message: a time further ahead
//! than the longest pause counts as past.

use super::retry::Backoff;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};

/// Limits of the way to the cloud.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Messages on their way at once. Lite allows 10 un-acknowledged for all components together.
    pub size: usize,
    /// Messages a second, resends included.
    pub per_second: u32,
    /// How long an echo may take before the message is sent again; also the first pause of the back-off.
    pub echo_timeout: SignedDuration,
    /// Longest pause between two sends of one message.
    pub longest_pause: SignedDuration,
    /// Silence after which a link whose publishes are taken is made anew.
    pub deaf_after: SignedDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size: 8,
            per_second: 40,
            echo_timeout: SignedDuration::from_secs(3),
            longest_pause: SignedDuration::from_secs(15),
            deaf_after: SignedDuration::from_secs(20),
        }
    }
}

impl Limits {
    fn is_due(&self, due: Timestamp, now: Timestamp) -> bool {
        let ahead = due.duration_since(now);
        ahead <= SignedDuration::ZERO || ahead > self.longest_pause.max(self.echo_timeout)
    }
}

/// What a message is made of, for the store and for the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The payload's `id`, or the shadow update's `clientToken`.
    pub id: String,
    /// Where it goes.
    pub topic: String,
    /// What is sent.
    pub payload: Vec<u8>,
    /// Rows of which file it stands for.
    pub rows: Rows,
    /// Which job it tells about.
    pub job: Option<String>,
}

/// What is deleted once a message is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// One row of the job book's outbox.
    Job(i64),
    /// Rows of the gateway's outbox.
    Gateway(Vec<i64>),
    /// Nothing stored: told again when it is needed.
    Volatile,
}

/// How a publish failed, as the sender classifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Not connected, busy, over a limit: the same again later.
    Later,
    /// It will never go as it is (too large): set aside.
    Never,
}

/// An entry of the window.
#[derive(Debug, Clone)]
struct OnItsWay {
    message: Message,
    hash: [u8; 32],
    tries: u32,
    /// When it is sent (again) unless its echo comes first.
    due: Timestamp,
}

/// The way to the cloud at one moment, as people and programs on the gateway see it. Counts are since the start of the
/// present configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The nucleus is connected and every subscription was answered. Whether the cloud hears us, only `heardAt` tells.
    pub linked: bool,
    /// When the cloud's side was last heard: an echo, or an answer to a shadow update.
    pub heard_at: Option<Timestamp>,
    /// Messages on their way.
    pub on_their_way: usize,
    /// How many may be on their way at once.
    pub window: usize,
    /// Shadow updates on their way.
    pub shadows_on_their_way: usize,
    /// Messages a second at most.
    pub messages_per_second: u32,
    /// Messages confirmed by their echo.
    pub confirmed: u64,
    /// Messages sent again.
    pub resent: u64,
    /// Echoes that were none: another payload, another topic, an unknown id.
    pub forged: u64,
    /// Commands dropped because the job book did not keep up; their submitters send them again.
    pub dropped_commands: u64,
}

/// The messages on their way.
#[derive(Debug)]
pub struct Window {
    limits: Limits,
    entries: BTreeMap<String, OnItsWay>,
    budget: Budget,
    confirmed: u64,
    resent: u64,
    forged: u64,
}

/// Sends within a rate: up to one second's worth at once.
#[derive(Debug, Clone)]
pub struct Budget {
    per_second: u32,
    tokens: f64,
    at: Option<Timestamp>,
}

impl Budget {
    /// A full budget.
    pub fn new(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        Self { per_second, tokens: f64::from(per_second), at: None }
    }

    /// Takes one send if there is one.
    pub fn take(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return true;
        }
        false
    }

    /// When the next send is allowed.
    pub fn next(&mut self, now: Timestamp) -> Timestamp {
        self.refill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        let wait = SignedDuration::from_secs_f64(missing / f64::from(self.per_second));
        now.checked_add(wait).unwrap_or(now)
    }

    fn refill(&mut self, now: Timestamp) {
        if let Some(at) = self.at {
            // A clock that goes back gives nothing; one that jumps ahead gives at most one second's worth.
            let gone = now.duration_since(at).as_secs_f64().max(0.0);
            self.tokens = (self.tokens + gone * f64::from(self.per_second)).min(f64::from(self.per_second));
        }
        self.at = Some(now);
    }
}

/// How often something that may change all the time is told: a few times at once, each after a moment in which more
/// may change; then as many in each period.
#[derive(Debug, Clone)]
pub struct Allowance {
    at_once: usize,
    settle: SignedDuration,
    period: SignedDuration,
    told: VecDeque<Timestamp>,
}

impl Allowance {
    /// Nothing told yet.
    pub fn new(at_once: usize, settle: SignedDuration, period: SignedDuration) -> Self {
        Self { at_once, settle, period, told: VecDeque::new() }
    }

    /// When a change that happens now may be told.
    pub fn due(&self, now: Timestamp) -> Timestamp {
        let settled = now.checked_add(self.settle).unwrap_or(now);
        match self.told.front() {
            // A clock that was set back must not silence it for longer than a period.
            Some(first) if self.told.len() >= self.at_once => {
                settled.max(first.min(&now).checked_add(self.period).unwrap_or(now))
            }
            _ => settled,
        }
    }

    /// It was told.
    pub fn told(&mut self, now: Timestamp) {
        self.told.push_back(now);
        if self.told.len() > self.at_once {
            self.told.pop_front();
        }
    }
}

impl Window {
    /// An empty window.
    pub fn new(limits: Limits) -> Self {
        let budget = Budget::new(limits.per_second);
        Self { limits, entries: BTreeMap::new(), budget, confirmed: 0, resent: 0, forged: 0 }
    }

    /// How many more may be admitted.
    pub fn room(&self) -> usize {
        self.limits.size.saturating_sub(self.entries.len())
    }

    /// Is nothing on its way?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Rows of the job book that are on their way.
    pub fn job_rows(&self) -> Vec<i64> {
        self.entries
            .values()
            .filter_map(|e| if let Rows::Job(row) = e.message.rows { Some(row) } else { None })
            .collect()
    }

    /// Rows of the gateway's outbox that are on their way.
    pub fn gateway_rows(&self) -> Vec<i64> {
        self.entries
            .values()
            .filter_map(|e| if let Rows::Gateway(rows) = &e.message.rows { Some(rows.clone()) } else { None })
            .flatten()
            .collect()
    }

    /// Takes a message in, to be sent as soon as the rate allows. False: no room, its id is on its way already, or
    /// another message of its job is.
    pub fn admit(&mut self, message: Message, now: Timestamp) -> bool {
        let job_busy = message.job.is_some() && self.entries.values().any(|entry| entry.message.job == message.job);
        if self.room() == 0 || self.entries.contains_key(&message.id) || job_busy {
            return false;
        }
        let hash = Sha256::digest(&message.payload).into();
        self.entries.insert(message.id.clone(), OnItsWay { message, hash, tries: 0, due: now });
        true
    }

    /// The next message to send now, if the rate allows one. It is due again after the echo time-out.
    pub fn next_send(&mut self, now: Timestamp, jitter: u64) -> Option<Message> {
        let id = self
            .entries
            .values()
            .filter(|entry| self.limits.is_due(entry.due, now))
            .min_by_key(|entry| (entry.tries, entry.due, entry.message.id.clone()))
            .map(|entry| entry.message.id.clone())?;
        if !self.budget.take(now) {
            return None;
        }
        let entry = self.entries.get_mut(&id)?;
        if entry.tries > 0 {
            self.resent += 1;
        }
        entry.due = now.checked_add(pause(&self.limits, entry.tries, jitter)).unwrap_or(now);
        entry.tries = entry.tries.saturating_add(1);
        Some(entry.message.clone())
    }

    /// When [`Window::next_send`] is worth asking again.
    pub fn next_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        let due = |entry: &OnItsWay| if self.limits.is_due(entry.due, now) { now } else { entry.due };
        let due = self.entries.values().map(due).min()?;
        Some(due.max(self.budget.next(now)))
    }

    /// A publish was refused. Answers the message if it has to be set aside.
    pub fn failed(&mut self, id: &str, failure: Failure) -> Option<Message> {
        match failure {
            Failure::Later => None,
            Failure::Never => self.entries.remove(id).map(|entry| entry.message),
        }
    }

    /// Something came back on a topic of ours. Answers the message if this is its echo.
    pub fn echo(&mut self, topic: &str, id: &str, payload: &[u8]) -> Option<Message> {
        let entry = self.entries.get(id)?;
        let hash: [u8; 32] = Sha256::digest(payload).into();
        if entry.message.topic != topic || entry.hash != hash {
            self.forged += 1;
            return None;
        }
        self.confirmed += 1;
        self.entries.remove(id).map(|entry| entry.message)
    }

    /// The link is new: everything on its way goes again at once, within the rate.
    pub fn link_up(&mut self, now: Timestamp) {
        for entry in self.entries.values_mut() {
            entry.due = entry.due.min(now);
            entry.tries = entry.tries.min(1);
        }
    }

    /// How often the most patient message of those that count was sent without an echo.
    pub fn most_tries(&self, counts: impl Fn(&Message) -> bool) -> u32 {
        let counted = self.entries.values().filter(|entry| counts(&entry.message));
        counted.map(|entry| entry.tries).max().unwrap_or(0)
    }

    /// Confirmed, sent again, and echoes that were none.
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.confirmed, self.resent, self.forged)
    }
}

fn pause(limits: &Limits, tries: u32, jitter: u64) -> SignedDuration {
    let base = limits.echo_timeout.unsigned_abs();
    let longest = limits.longest_pause.unsigned_abs().max(base);
    let pause = Backoff { base, cap: longest }.delay(tries, jitter).max(base);
    SignedDuration::try_from(pause).unwrap_or(limits.longest_pause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
    }

    fn message(id: &str, job: Option<&str>) -> Message {
        Message {
            id: id.into(),
            topic: "t".into(),
            payload: id.as_bytes().to_vec(),
            rows: Rows::Job(id.len() as i64),
            job: job.map(str::to_owned),
        }
    }

    #[test]
    fn a_clock_set_back_delays_no_resend_by_more_than_the_longest_pause() {
        let mut window = Window::new(Limits::default());
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let message =
            Message { id: "m".into(), topic: "t".into(), payload: b"{}".to_vec(), rows: Rows::Volatile, job: None };
        assert!(window.admit(message, now));
        assert!(window.next_send(now, 0).is_some());
        let day_before = now - SignedDuration::from_hours(24);
        assert!(window.next_due(day_before).unwrap() <= day_before);
        assert!(window.next_send(day_before, 0).is_some());
        assert!(window.next_send(day_before, 0).is_none());
    }

    #[test]
    fn only_the_true_echo_confirms() {
        let mut window = Window::new(Limits::default());
        assert!(window.admit(message("a", None), now(0)));
        assert!(window.next_send(now(0), 0).is_some());
        assert!(window.echo("t", "b", b"a").is_none(), "guessed id");
        assert!(window.echo("other", "a", b"a").is_none(), "other topic");
        assert!(window.echo("t", "a", b"x").is_none(), "other payload");
        assert_eq!(window.echo("t", "a", b"a").unwrap().id, "a");
        assert!(window.echo("t", "a", b"a").is_none(), "once");
        assert_eq!(window.counts(), (1, 0, 2));
    }

    #[test]
    fn one_message_a_job_and_never_more_than_the_window() {
        let mut window = Window::new(Limits { size: 2, ..Limits::default() });
        assert!(window.admit(message("a", Some("j")), now(0)));
        assert!(!window.admit(message("b", Some("j")), now(0)));
        assert!(window.admit(message("c", Some("k")), now(0)));
        assert!(!window.admit(message("d", None), now(0)));
        window.next_send(now(0), 0);
        window.echo("t", "a", b"a");
        assert!(window.admit(message("b", Some("j")), now(0)));
    }

    #[test]
    fn without_an_echo_it_is_sent_again_with_growing_pauses() {
        let mut window = Window::new(Limits::default());
        window.admit(message("a", None), now(0));
        assert!(window.next_send(now(0), 0).is_some());
        assert!(window.next_send(now(2_900), 0).is_none());
        let due = window.next_due(now(2_900)).unwrap();
        assert!(due >= now(3_000) && due <= now(3_100), "{due}");
        assert!(window.next_send(now(3_000), 0).is_some());
        let second = window.next_due(now(3_000)).unwrap();
        assert!(second >= now(6_000), "{second}");
        window.link_up(now(3_500));
        assert!(window.next_send(now(3_500), 0).is_some(), "a new link sends at once");
        assert_eq!(window.counts().1, 2);
    }

    #[test]
    fn a_message_that_never_goes_is_handed_back() {
        let mut window = Window::new(Limits::default());
        window.admit(message("a", None), now(0));
        assert!(window.failed("a", Failure::Later).is_none());
        assert_eq!(window.failed("a", Failure::Never).unwrap().id, "a");
        assert!(window.is_empty());
    }

    proptest! {
        /// In any period no more is told than the allowance, and each change is told sooner or later.
        #[test]
        fn the_allowance_holds(steps in proptest::collection::vec(0..600_000i64, 1..200), at_once in 1..4usize) {
            let (settle, period) = (SignedDuration::from_secs(2), SignedDuration::from_mins(30));
            let mut allowance = Allowance::new(at_once, settle, period);
            let (mut at, mut told) = (0, Vec::new());
            for step in steps {
                at += step;
                let due = allowance.due(now(at));
                prop_assert!(due >= now(at) + settle && due <= now(at) + period);
                allowance.told(due);
                told.push(due);
                at = due.duration_since(now(0)).as_millis() as i64;
            }
            for (i, first) in told.iter().enumerate() {
                prop_assert!(told[i..].iter().filter(|t| t.duration_since(*first) < period).count() <= at_once);
            }
        }

        /// In any second no more goes out than the rate, and whatever is admitted goes out sooner or later.
        #[test]
        fn the_rate_holds(steps in proptest::collection::vec(0..400i64, 1..300), rate in 1..60u32) {
            let limits = Limits { size: 1000, per_second: rate, ..Limits::default() };
            let mut window = Window::new(limits);
            for n in 0..200 {
                window.admit(message(&format!("m{n}"), None), now(0));
            }
            let mut at = 0;
            let mut sent: Vec<i64> = Vec::new();
            for step in steps {
                at += step;
                while window.next_send(now(at), 7).is_some() {
                    sent.push(at);
                }
            }
            for (i, start) in sent.iter().enumerate() {
                let in_second = sent[i..].iter().take_while(|t| **t < start + 1000).count();
                // A full bucket and what flows in during the second.
                prop_assert!(in_second <= 2 * rate as usize, "{in_second} in a second at rate {rate}");
            }
        }
    }
}
