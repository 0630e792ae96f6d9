//! Faults of the way between component and cloud, on command: what is lost, late, twice or out of order.
//!
//! Requests, as the control socket and script files take them (JSON):
//!
//! | request | does |
//! |---|---|
//! | `{"fault": "black-hole", "direction": "out"}` | publishes are answered OK and go nowhere; `in`: nothing comes; `both` is the default. The link stays up. With `"acknowledged": false` no PUBACK comes either |
//! | `{"fault": "slow", "ms": 500}` | every delivery comes so much later |
//! | `{"fault": "duplicate", "every": 3}` | each third delivery comes twice; or `"probability": 0.2` |
//! | `{"fault": "reorder", "window": 4}` | deliveries are held until there are 4 (or for 1 s) and come in another order |
//! | `{"fault": "drop-echoes", "filter": "printers/#", "count": 3}` | the next 3 deliveries of messages that components published are lost |
//! | `{"fault": "drop-deliveries", "filter": "#", "count": 3}` | the same for any message (`#` covers `$` topics too) |
//! | `{"fault": "none"}` | ends all of these |
//!
//! A fault replaces an earlier one of its kind; dropped deliveries add up. `"seed"` (duplicate, reorder) begins the random numbers anew:
//! the same seed and the same deliveries give the same result. Everything takes effect with the next message.
//! Pure: no clock, no randomness but the seed.

use super::topic;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest delay of a delivery.
pub const MAX_SLOW: Duration = Duration::from_secs(60);
/// Largest window of reordering.
pub const MAX_WINDOW: usize = 64;
/// Drop rules at a time.
const MAX_DROPS: usize = 64;
/// Messages of components that are remembered, to know their echoes.
const REMEMBERED: usize = 4_096;

/// A fault, as it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Messages vanish while the link is up.
    BlackHole {
        /// Which ones.
        #[serde(default)]
        direction: Direction,
        /// Whether publishes get their PUBACK all the same.
        #[serde(default = "yes")]
        acknowledged: bool,
    },
    /// Deliveries are late.
    Slow {
        /// Milliseconds, at most 60,000.
        ms: u64,
    },
    /// Deliveries come twice.
    Duplicate {
        /// Each n-th.
        #[serde(default)]
        every: Option<u32>,
        /// With this probability, 0 to 1.
        #[serde(default)]
        probability: Option<f64>,
        /// Begins the random numbers.
        #[serde(default)]
        seed: Option<u64>,
    },
    /// Deliveries change places.
    Reorder {
        /// How many are held, 2 to 64.
        window: usize,
        /// Begins the random numbers.
        #[serde(default)]
        seed: Option<u64>,
    },
    /// Chosen messages of components do not come back.
    DropEchoes {
        /// Topic filter.
        filter: String,
        /// How many.
        count: u64,
    },
    /// Chosen messages do not come.
    DropDeliveries {
        /// Topic filter.
        filter: String,
        /// How many.
        count: u64,
    },
    /// No fault any more.
    None,
}

/// Seen from the component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the cloud.
    Out,
    /// From the cloud.
    In,
    /// Both ways.
    #[default]
    Both,
}

const fn yes() -> bool {
    true
}

/// What the faults did so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultStatus {
    /// Those in force.
    pub active: Vec<Fault>,
    /// Publishes that went nowhere.
    pub swallowed_out: u64,
    /// Deliveries that went nowhere.
    pub swallowed_in: u64,
    /// Deliveries dropped by choice.
    pub dropped: u64,
    /// Deliveries that came twice.
    pub duplicated: u64,
    /// Deliveries that came in another place.
    pub reordered: u64,
}

/// What becomes of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outbound {
    Pass,
    Swallow { acknowledged: bool },
}

/// The faults in force.
#[derive(Default)]
pub(super) struct Faults(Mutex<State>);

#[derive(Default)]
struct State {
    black_hole: Option<(Direction, bool)>,
    slow: Duration,
    every: Option<u32>,
    probability: Option<f64>,
    window: usize,
    drops: Vec<Drop>,
    random: SplitMix64,
    deliveries: u64,
    published: VecDeque<u64>,
    status: FaultStatus,
}

struct Drop {
    filter: String,
    left: u64,
    echoes: bool,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a fault in force, or says what is wrong with it.
    pub(super) fn set(&self, fault: &Fault) -> Result<(), String> {
        let mut state = self.lock();
        match fault {
            Fault::BlackHole { direction, acknowledged } => state.black_hole = Some((*direction, *acknowledged)),
            Fault::Slow { ms } => {
                let slow = Duration::from_millis(*ms);
                if slow > MAX_SLOW {
                    return Err(format!("slow: ms is at most {}", MAX_SLOW.as_millis()));
                }
                state.slow = slow;
            }
            Fault::Duplicate { every, probability, seed } => {
                match (every, probability) {
                    (Some(1..), None) => {}
                    (None, Some(p)) if (0.0..=1.0).contains(p) => {}
                    _ => return Err("duplicate: say either every (1 or more) or probability (0 to 1)".into()),
                }
                (state.every, state.probability) = (*every, *probability);
                state.deliveries = 0;
                state.random = SplitMix64(seed.unwrap_or_default());
            }
            Fault::Reorder { window, seed } => {
                if !(2..=MAX_WINDOW).contains(window) {
                    return Err(format!("reorder: window is 2 to {MAX_WINDOW}"));
                }
                state.window = *window;
                state.random = SplitMix64(seed.unwrap_or_default());
            }
            Fault::DropEchoes { filter, count } | Fault::DropDeliveries { filter, count } => {
                if !topic::valid_filter(filter) {
                    return Err(format!("`{filter:.80}` is no topic filter"));
                }
                if state.drops.len() >= MAX_DROPS {
                    return Err(format!("at most {MAX_DROPS} kinds of drops at a time"));
                }
                let echoes = matches!(fault, Fault::DropEchoes { .. });
                state.drops.push(Drop { filter: filter.clone(), left: *count, echoes });
            }
            Fault::None => {
                let status = std::mem::take(&mut state.status);
                let published = std::mem::take(&mut state.published);
                *state = State { status, published, ..State::default() };
            }
        }
        Ok(())
    }

    /// A component publishes.
    pub(super) fn outbound(&self, topic: &str, payload: &[u8]) -> Outbound {
        let mut state = self.lock();
        let digest = digest(topic, payload);
        if state.published.len() >= REMEMBERED {
            state.published.pop_front();
        }
        state.published.push_back(digest);
        match state.black_hole {
            Some((Direction::Out | Direction::Both, acknowledged)) => {
                state.status.swallowed_out += 1;
                Outbound::Swallow { acknowledged }
            }
            _ => Outbound::Pass,
        }
    }

    /// A message came: how many times it is delivered (0, 1 or 2).
    pub(super) fn inbound(&self, topic: &str, payload: &[u8]) -> usize {
        let mut state = self.lock();
        if matches!(state.black_hole, Some((Direction::In | Direction::Both, _))) {
            state.status.swallowed_in += 1;
            return 0;
        }
        if state.drop_by_choice(topic, payload) {
            state.status.dropped += 1;
            return 0;
        }
        state.deliveries += 1;
        let twice = match (state.every, state.probability) {
            (Some(every), _) => state.deliveries.is_multiple_of(u64::from(every)),
            (None, Some(p)) => state.random.below_one() < p,
            (None, None) => false,
        };
        state.status.duplicated += u64::from(twice);
        1 + usize::from(twice)
    }

    /// How late deliveries are.
    pub(super) fn slow(&self) -> Duration {
        self.lock().slow
    }

    /// How many deliveries are held, if they are reordered.
    pub(super) fn window(&self) -> Option<usize> {
        Some(self.lock().window).filter(|window| *window > 1)
    }

    /// Puts what was held into another order: never the one it had, unless there is only one.
    pub(super) fn shuffle<T>(&self, held: &mut [T]) {
        let mut state = self.lock();
        let mut order: Vec<usize> = (0..held.len()).collect();
        for last in (1..held.len()).rev() {
            let other = state.random.below(last + 1);
            held.swap(last, other);
            order.swap(last, other);
        }
        if order.iter().enumerate().all(|(at, was)| at == *was) && held.len() > 1 {
            held.rotate_left(1);
            order.rotate_left(1);
        }
        let moved = order.iter().enumerate().filter(|(at, was)| at != *was).count();
        state.status.reordered += moved as u64;
    }

    pub(super) fn status(&self) -> FaultStatus {
        let state = self.lock();
        let mut status = state.status.clone();
        status
            .active
            .extend(state.black_hole.map(|(direction, acknowledged)| Fault::BlackHole { direction, acknowledged }));
        if !state.slow.is_zero() {
            status.active.push(Fault::Slow { ms: u64::try_from(state.slow.as_millis()).unwrap_or(u64::MAX) });
        }
        if state.every.is_some() || state.probability.is_some() {
            let (every, probability) = (state.every, state.probability);
            status.active.push(Fault::Duplicate { every, probability, seed: None });
        }
        if state.window > 1 {
            status.active.push(Fault::Reorder { window: state.window, seed: None });
        }
        status.active.extend(state.drops.iter().map(|drop| {
            let (filter, count) = (drop.filter.clone(), drop.left);
            if drop.echoes { Fault::DropEchoes { filter, count } } else { Fault::DropDeliveries { filter, count } }
        }));
        status
    }
}

impl State {
    fn drop_by_choice(&mut self, topic: &str, payload: &[u8]) -> bool {
        if self.drops.is_empty() {
            return false;
        }
        let echo = self.published.contains(&digest(topic, payload));
        let matching = self.drops.iter_mut().find(|drop| {
            drop.left > 0 && (echo || !drop.echoes) && (drop.filter == "#" || topic::matches(&drop.filter, topic))
        });
        let found = matching.map(|drop| drop.left -= 1).is_some();
        self.drops.retain(|drop| drop.left > 0);
        found
    }
}

/// Enough to know one's own among a few thousand; nobody here means ill.
fn digest(topic: &str, payload: &[u8]) -> u64 {
    let mut hash = DefaultHasher::new();
    (topic, payload).hash(&mut hash);
    hash.finish()
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
#[derive(Debug, Default)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `n` - 1; the bias of the remainder does not matter for so few.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// 0 to 1, without 1.
    fn below_one(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn faults(requests: &[Value]) -> Faults {
        let faults = Faults::default();
        for request in requests {
            faults.set(&serde_json::from_value(request.clone()).unwrap()).unwrap();
        }
        faults
    }

    #[test]
    fn a_black_hole_has_a_direction() {
        let out = faults(&[json!({"fault": "black-hole", "direction": "out"})]);
        assert_eq!(out.outbound("a", b""), Outbound::Swallow { acknowledged: true });
        assert_eq!(out.inbound("a", b""), 1);
        let both = faults(&[json!({"fault": "black-hole", "acknowledged": false})]);
        assert_eq!(both.outbound("a", b""), Outbound::Swallow { acknowledged: false });
        assert_eq!(both.inbound("a", b""), 0);
        both.set(&Fault::None).unwrap();
        assert_eq!((both.outbound("a", b""), both.inbound("a", b"")), (Outbound::Pass, 1));
        assert_eq!((both.status().swallowed_out, both.status().swallowed_in), (1, 1), "the counts stay");
    }

    #[test]
    fn only_chosen_echoes_are_dropped_and_only_so_many() {
        let faults = faults(&[json!({"fault": "drop-echoes", "filter": "p/+/status", "count": 2})]);
        faults.outbound("p/x/status", b"1");
        assert_eq!(faults.inbound("p/x/submit", b"1"), 1, "another topic");
        assert_eq!(faults.inbound("p/x/status", b"2"), 1, "nobody here published that");
        assert_eq!(faults.inbound("p/x/status", b"1"), 0);
        assert_eq!(faults.inbound("p/x/status", b"1"), 0);
        assert_eq!(faults.inbound("p/x/status", b"1"), 1);
        assert_eq!(faults.status().dropped, 2);
        assert_eq!(faults.status().active, []);
    }

    #[test]
    fn the_same_seed_gives_the_same_result() {
        let duplicates = |seed: u64| {
            let faults = faults(&[json!({"fault": "duplicate", "probability": 0.3, "seed": seed})]);
            (0..200).map(|_| faults.inbound("a", b"")).collect::<Vec<_>>()
        };
        assert_eq!(duplicates(7), duplicates(7));
        assert_ne!(duplicates(7), duplicates(8));
        let twice = duplicates(7).iter().filter(|n| **n == 2).count();
        assert!((30..90).contains(&twice), "{twice} of 200");
        let every = faults(&[json!({"fault": "duplicate", "every": 3})]);
        assert_eq!((0..6).map(|_| every.inbound("a", b"")).collect::<Vec<_>>(), [1, 1, 2, 1, 1, 2]);
    }

    #[test]
    fn reordering_changes_the_order_whatever_the_seed() {
        for seed in 0..50 {
            let faults = faults(&[json!({"fault": "reorder", "window": 2, "seed": seed})]);
            let mut held = [1, 2];
            faults.shuffle(&mut held);
            assert_eq!(held, [2, 1]);
            let mut held = [1, 2, 3, 4, 5];
            faults.shuffle(&mut held);
            assert_ne!(held, [1, 2, 3, 4, 5]);
            held.sort_unstable();
            assert_eq!(held, [1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let faults = Faults::default();
        for bad in [
            json!({"fault": "slow", "ms": 60_001}),
            json!({"fault": "duplicate"}),
            json!({"fault": "duplicate", "every": 0}),
            json!({"fault": "duplicate", "probability": 1.5}),
            json!({"fault": "reorder", "window": 1}),
            json!({"fault": "reorder", "window": 65}),
            json!({"fault": "drop-echoes", "filter": "a/#/b", "count": 1}),
            json!({"fault": "drop-echoes"}),
            json!({"fault": "slow", "ms": 1, "more": 2}),
            json!({"fault": "rain"}),
        ] {
            let result = serde_json::from_value::<Fault>(bad.clone()).map_err(|e| e.to_string());
            assert!(result.and_then(|fault| faults.set(&fault)).is_err(), "{bad}");
        }
    }
}
