//! When each printer is polled next. Pure: time and the seed of the jitter come as arguments.
//!
//! | after | next poll in |
//! |---|---|
//! | start, restored printer | anywhere within the idle interval, so that they do not all come at once |
//! | an answer, idle and without alerts | idle interval (60 s) |
//! | an answer, processing or with an error or warning | fast interval (5 s) |
//! | failure number n | fast × 2^(n−1), at most the back-off limit (10 min) |
//!
//! Every interval is multiplied by a factor between 0.9 and 1.1 made of the seed, the printer and the poll's number.
//!
//! Invariants: at most one poll of a printer is under way; a clock set back delays no poll by more than the back-off
//! limit (a time further ahead than that counts as due).

use super::ids::PrinterId;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;

/// The intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// Between polls of a quiet printer.
    pub idle: SignedDuration,
    /// Between polls of one that prints or has an alert.
    pub fast: SignedDuration,
    /// The longest wait for one that does not answer.
    pub back_off: SignedDuration,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            idle: SignedDuration::from_secs(60),
            fast: SignedDuration::from_secs(5),
            back_off: SignedDuration::from_secs(600),
        }
    }
}

/// How a poll went, as far as the next one is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, nothing going on.
    Quiet,
    /// Answered; prints or has an alert.
    Busy,
    /// Not answered, for the n-th time in a row (from 1).
    Silent(u32),
}

/// The schedule. See the module.
#[derive(Debug)]
pub struct Schedule {
    intervals: Intervals,
    seed: u64,
    entries: HashMap<PrinterId, Entry>,
}

#[derive(Debug)]
struct Entry {
    next: Timestamp,
    under_way: bool,
    /// A poll was asked for while one was under way.
    again: bool,
    polls: u64,
}

impl Schedule {
    /// An empty schedule; `seed` is any number, another one on each gateway.
    pub fn new(intervals: Intervals, seed: u64) -> Self {
        Self { intervals, seed, entries: HashMap::new() }
    }

    /// Takes in a printer that was known before the start: its first poll comes within the idle interval.
    pub fn restored(&mut self, id: &PrinterId, now: Timestamp) {
        let wait = scaled(self.intervals.idle, fraction(self.seed, id, 0));
        let entry = Entry { next: after(now, wait), under_way: false, again: false, polls: 1 };
        self.entries.insert(id.clone(), entry);
    }

    /// Takes note of how a poll went, and takes the printer in if it is new.
    pub fn polled(&mut self, id: &PrinterId, outcome: Outcome, now: Timestamp) {
        let Intervals { idle, fast, back_off } = self.intervals;
        let wait = match outcome {
            Outcome::Quiet => idle,
            Outcome::Busy => fast,
            Outcome::Silent(n) => {
                let doubled = 1i32.checked_shl(n.saturating_sub(1).min(30)).unwrap_or(i32::MAX);
                fast.checked_mul(doubled).unwrap_or(back_off).min(back_off)
            }
        };
        let polls = self.entries.get(id).map_or(0, |e| e.polls);
        let again = self.entries.get(id).is_some_and(|e| e.again);
        let wait = scaled(wait, 0.9 + 0.2 * fraction(self.seed, id, polls));
        let next = if again { now } else { after(now, wait) };
        let entry = Entry { next, under_way: false, again: false, polls: polls.wrapping_add(1) };
        self.entries.insert(id.clone(), entry);
    }

    /// Makes a printer due now; if a poll is under way, another one follows it.
    pub fn poll_now(&mut self, id: &PrinterId, now: Timestamp) {
        let new = Entry { next: now, under_way: false, again: false, polls: 1 };
        let entry = self.entries.entry(id.clone()).or_insert(new);
        entry.again = entry.under_way;
        entry.next = entry.next.min(now);
    }

    /// Whether a printer is polled.
    pub fn contains(&self, id: &PrinterId) -> bool {
        self.entries.contains_key(id)
    }

    /// Forgets a printer.
    pub fn remove(&mut self, id: &PrinterId) {
        self.entries.remove(id);
    }

    /// Up to `limit` printers that are due, longest due first; each counts as under way until `polled`.
    pub fn due(&mut self, now: Timestamp, limit: usize) -> Vec<PrinterId> {
        let horizon = after(now, scaled(self.intervals.back_off.max(self.intervals.idle), 1.2));
        let mut due: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, e)| !e.under_way && (e.next <= now || e.next > horizon))
            .map(|(id, e)| (e.next, id.clone()))
            .collect();
        due.sort();
        due.truncate(limit);
        for (_, id) in &due {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.under_way = true;
            }
        }
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// When the next printer is due, of those not under way.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.entries.values().filter(|e| !e.under_way).map(|e| e.next).min()
    }
}

fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

fn scaled(wait: SignedDuration, factor: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(wait)
}

/// A number from 0 to below 1, the same for the same arguments (SplitMix64 over FNV-1a of the id).
fn fraction(seed: u64, id: &PrinterId, count: u64) -> f64 {
    let fnv =
        id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mut z = (seed ^ fnv).wrapping_add(count.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: usize) -> PrinterId {
        PrinterId::new(format!("p-{n}")).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// Runs the schedule in virtual time and returns when each poll came, in seconds.
    fn simulate(schedule: &mut Schedule, end: i64, mut outcome: impl FnMut(&PrinterId, i64) -> Outcome) -> Vec<i64> {
        let mut polls = Vec::new();
        let mut now = at(0);
        while now < at(end) {
            for id in schedule.due(now, 100) {
                let second = now.as_second() - at(0).as_second();
                polls.push(second);
                let outcome = outcome(&id, second);
                schedule.polled(&id, outcome, now);
            }
            now = schedule.next_due().unwrap().max(now);
        }
        polls
    }

    #[test]
    fn three_hundred_printers_are_spread_after_a_start_and_stay_spread() {
        let mut schedule = Schedule::new(Intervals::default(), 7);
        (0..300).for_each(|n| schedule.restored(&id(n), at(0)));
        let polls = simulate(&mut schedule, 600, |_, _| Outcome::Quiet);
        // 300 printers a minute for ten minutes, jitter aside.
        assert!((2_700..=3_300).contains(&polls.len()), "{}", polls.len());
        for minute in polls.chunk_by(|a, b| a / 10 == b / 10) {
            assert!(minute.len() < 100, "{} polls in 10 s", minute.len());
        }
    }

    #[test]
    fn a_busy_printer_is_polled_often_and_a_silent_one_ever_less() {
        let mut schedule = Schedule::new(Intervals::default(), 1);
        schedule.poll_now(&id(1), at(0));
        let polls = simulate(&mut schedule, 100, |_, second| if second < 50 { Outcome::Busy } else { Outcome::Quiet });
        assert!((10..=14).contains(&polls.len()), "{polls:?}");

        let mut schedule = Schedule::new(Intervals::default(), 1);
        schedule.poll_now(&id(1), at(0));
        let mut failures = 0;
        let polls = simulate(&mut schedule, 3_600, |_, _| {
            failures += 1;
            Outcome::Silent(failures)
        });
        let gaps: Vec<i64> = polls.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(gaps.windows(2).all(|w| w[1] * 10 > w[0] * 8), "{gaps:?}");
        assert!(gaps[0] <= 6 && gaps.iter().all(|g| *g <= 661) && gaps.last().is_some_and(|g| *g >= 539), "{gaps:?}");
    }

    #[test]
    fn a_poll_under_way_is_not_started_again_and_a_wish_meanwhile_is_kept() {
        let mut schedule = Schedule::new(Intervals::default(), 1);
        schedule.poll_now(&id(1), at(0));
        assert_eq!(schedule.due(at(0), 10).len(), 1);
        schedule.poll_now(&id(1), at(1));
        assert_eq!(schedule.due(at(1_000), 10), []);
        schedule.polled(&id(1), Outcome::Quiet, at(2));
        assert_eq!(schedule.due(at(2), 10), [id(1)]);
    }

    #[test]
    fn a_clock_set_back_by_years_stops_no_poll() {
        let mut schedule = Schedule::new(Intervals::default(), 1);
        schedule.poll_now(&id(1), at(0));
        schedule.due(at(0), 1);
        schedule.polled(&id(1), Outcome::Quiet, at(0));
        assert_eq!(schedule.due(at(-100_000_000), 1), [id(1)]);
    }

    proptest! {
        #[test]
        fn the_next_poll_is_never_beyond_the_limit(seed: u64, n in 1u32.., polls in 0u64..5) {
            let mut schedule = Schedule::new(Intervals::default(), seed);
            for _ in 0..=polls {
                schedule.polled(&id(1), Outcome::Silent(n), at(0));
            }
            let wait = schedule.next_due().unwrap().duration_since(at(0));
            prop_assert!(wait > SignedDuration::from_secs(4) && wait <= SignedDuration::from_secs(660));
        }
    }
}
