//! A sweep: asking every address of some networks whether an SNMP agent is there. Pure: what is asked next and when, what
//! an answer changes, how long it still takes. The datagrams are sent elsewhere (`discovery::sweep`).
//!
//! A sweep has two lanes, each with its [`Plan`]: addresses behind routers, and those of directly connected networks,
//! which are asked slowly enough for the neighbour table ([`pace`]) and do not hold up the others. Both share one rate.
//!
//! ```text
//!            all asked, others silent      all asked, something missed
//!  Asking(1) ───────────────────────▶ Asking(2) ───────────────▶ Asking(3)
//!      │ all answered                     │ nothing missed          │ all asked
//!      └─────────────────────────▶ Listening ◀──────────────────────┘
//!                                      │ late answers had their time
//!                                      ▼
//!                                     Over
//! ```
//!
//! | state | ends when | next |
//! |---|---|---|
//! | Asking(n) | each address that has not answered was asked once, [`AGAIN`] after the last time at the soonest | Asking(n+1) or Listening |
//! | Listening | [`LATE`] passed since the last request | Over |
//!
//! There is a second pass if any address is silent: datagrams get lost, devices sleep, and the less usual questions are
//! asked only then. There is a third if the second one brought answers to what the first had asked already, or if the
//! system could not take all datagrams: where one was lost, more were.
//!
//! Invariants: an address is asked at most once in a pass, and never after it answered; [`PASSES`] at most; what answered
//! in earlier sweeps and neighbours that are alive come first.

pub mod pace;
pub mod plan;
pub mod witness;

pub use plan::{Plan, PlanError};

use pace::{Neighbours, Pace};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

/// Passes at most.
pub const PASSES: usize = 3;
/// An address is not asked again before.
pub const AGAIN: Duration = Duration::from_secs(2);
/// How long an answer to the last request may take.
pub const LATE: Duration = Duration::from_secs(2);
/// Addresses that come first.
pub const MAX_FIRST: usize = 8_192;

/// Parts of a pass for which the time of asking is kept.
const PARTS: u32 = 256;
/// Between two measurements of the real rate, and how many are looked at.
const SAMPLE: Duration = Duration::from_millis(500);
const SAMPLES: usize = 10;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask this address, in this pass (from 1).
    Ask {
        /// Whom.
        address: IpAddr,
        /// In which pass.
        pass: usize,
    },
    /// Nothing before then.
    Wait(Duration),
    /// It is done.
    Over,
}

/// What an answer was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The first from there.
    New,
    /// There was one.
    Again,
    /// Nobody was asked there.
    NotAsked,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// The pass of the lane that is behind (from 1), and how many there will be as far as is known.
    pub pass: usize,
    /// See there.
    pub passes: usize,
    /// Addresses asked in the pass of each lane, of [`Machine::count`]; those that had answered count as asked.
    pub asked: u32,
    /// Requests sent.
    pub sent: u64,
    /// Addresses that answered.
    pub answered: u32,
    /// Requests a second as they may go now.
    pub rate: f64,
    /// How long it still takes.
    pub remaining: Duration,
}

/// A sweep under way. Its clock is the time since it began.
#[derive(Debug, Clone)]
pub struct Machine {
    lanes: Vec<Lane>,
    pace: Pace,
    /// Requests for one address, by pass.
    costs: [u32; PASSES],
    sent: u64,
    samples: VecDeque<(Duration, u64)>,
}

#[derive(Debug, Clone)]
struct Lane {
    plan: Plan,
    /// Numbers of addresses that come first.
    first: Vec<u32>,
    is_first: Bits,
    answered: Bits,
    neighbours: Option<Neighbours>,
    state: State,
    /// Answers in all, in this pass, and of those to a question of an earlier pass.
    found: u32,
    found_in_pass: u32,
    missed: u32,
    /// The system refused a datagram.
    trouble: bool,
    began: Duration,
    /// When the addresses of each part of the turns were last asked, in this pass and in the one before.
    stamps: [Vec<Duration>; 2],
    /// Addresses that had not answered when the pass began, and how many of them were asked.
    open: u32,
    asked: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `turn` counts through `first`, then through the plan's order.
    Asking {
        pass: usize,
        turn: u32,
    },
    Listening {
        until: Duration,
    },
    Over,
}

impl Machine {
    /// A sweep of what lies behind routers and, slowly enough for the neighbour table, of what is directly connected.
    /// `first` are addresses that are likely to answer; `costs` the requests that one address takes in each pass.
    pub fn new(
        routed: Plan,
        connected: Plan,
        neighbours: Neighbours,
        first: &[IpAddr],
        pace: Pace,
        costs: [u32; PASSES],
    ) -> Self {
        let lanes = [(routed, None), (connected, Some(neighbours))];
        let lanes = lanes.into_iter().filter(|(plan, _)| !plan.is_empty());
        let lanes = lanes.map(|(plan, neighbours)| Lane::new(plan, neighbours, first)).collect();
        Self { lanes, pace, costs: costs.map(|cost| cost.max(1)), sent: 0, samples: VecDeque::new() }
    }

    /// Addresses.
    pub fn count(&self) -> u32 {
        self.lanes.iter().map(|lane| lane.plan.count()).sum()
    }

    /// What to do now. An [`Step::Ask`] counts as done.
    pub fn next(&mut self, now: Duration) -> Step {
        let mut wait: Option<Duration> = None;
        let mut held_by_rate = false;
        let mut later = |at: Duration| wait = Some(wait.map_or(at, |wait| wait.min(at)));
        // The connected lane is last, and comes first: it can use the rate only in small pieces.
        for lane in self.lanes.iter_mut().rev() {
            let (number, pass) = match lane.turn(now) {
                Turn::Ask { number, pass } => (number, pass),
                Turn::Wait(at) => {
                    later(at);
                    continue;
                }
                Turn::Over => continue,
            };
            let cost = self.costs.get(pass.saturating_sub(1)).copied().unwrap_or(1);
            if let Err(at) = self.pace.take(cost, now) {
                later(at);
                held_by_rate = true;
                break;
            }
            let Some(address) = lane.plan.address(number) else { continue };
            lane.ask(now);
            self.sent += u64::from(cost);
            if self.samples.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= SAMPLE) {
                self.samples.push_back((now, self.sent));
                if self.samples.len() > SAMPLES {
                    self.samples.pop_front();
                }
            }
            return Step::Ask { address, pass };
        }
        if !held_by_rate {
            // The neighbour table or a pause holds it: this time says nothing of what the machine can do.
            self.samples.clear();
        }
        match wait {
            Some(at) => Step::Wait(at.max(now)),
            None if self.lanes.iter().all(|lane| lane.state == State::Over) => Step::Over,
            None => Step::Wait(now),
        }
    }

    /// Somebody answered; `usual`: to what is asked in every pass.
    pub fn answered(&mut self, address: IpAddr, usual: bool) -> Answer {
        for lane in &mut self.lanes {
            if let Some(number) = lane.plan.number(address) {
                return lane.answer(number, usual);
            }
        }
        Answer::NotAsked
    }

    /// Takes an answer back: there was no room for it. The address will be asked again.
    pub fn forget(&mut self, address: IpAddr) {
        for lane in &mut self.lanes {
            if let Some(number) = lane.plan.number(address)
                && lane.answered.clear(number)
            {
                lane.found = lane.found.saturating_sub(1);
                lane.found_in_pass = lane.found_in_pass.saturating_sub(1);
                lane.trouble = true;
            }
        }
    }

    /// Whether an address is part of it and has not answered.
    pub fn is_silent(&self, address: IpAddr) -> bool {
        self.lanes.iter().any(|lane| lane.plan.number(address).is_some_and(|number| !lane.answered.get(number)))
    }

    /// Whether an address is part of it.
    pub fn covers(&self, address: IpAddr) -> bool {
        self.lanes.iter().any(|lane| lane.plan.number(address).is_some())
    }

    /// Whether an agent that had answered did so again.
    pub fn told(&mut self, answered: bool, now: Duration) {
        self.pace.told(answered, now);
    }

    /// The system could not take a datagram.
    pub fn refused(&mut self, now: Duration) {
        self.pace.refused(now);
        for lane in &mut self.lanes {
            lane.trouble |= matches!(lane.state, State::Asking { .. });
        }
    }

    /// How far it is.
    pub fn measure(&self, now: Duration) -> Measure {
        let rate = self.real_rate();
        let (mut requests, mut longest) = (0.0, 0.0_f64);
        for lane in &self.lanes {
            let (of_lane, seconds) = lane.left(&self.costs, rate, now);
            requests += of_lane;
            longest = longest.max(seconds);
        }
        let over = self.lanes.iter().all(|lane| lane.state == State::Over);
        let seconds = longest.max(if over { 0.0 } else { requests / rate });
        let behind = self.lanes.iter().filter(|lane| lane.state != State::Over).map(Lane::pass).min();
        Measure {
            pass: behind.unwrap_or_else(|| self.lanes.iter().map(Lane::pass).max().unwrap_or(1)),
            passes: self.lanes.iter().map(Lane::passes).max().unwrap_or(1),
            asked: self.lanes.iter().map(|lane| lane.plan.count() - lane.open.saturating_sub(lane.asked)).sum(),
            sent: self.sent,
            answered: self.lanes.iter().map(|lane| lane.found).sum(),
            rate: self.pace.rate(),
            remaining: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        }
    }

    /// The rate that is allowed, or less where the machine does not get there.
    fn real_rate(&self) -> f64 {
        let allowed = self.pace.rate();
        match (self.samples.front(), self.samples.back()) {
            (Some((from, before)), Some((to, after))) if to.saturating_sub(*from) >= Duration::from_secs(1) => {
                let measured = (after - before) as f64 / to.saturating_sub(*from).as_secs_f64();
                measured.clamp(1.0, allowed.max(1.0))
            }
            _ => allowed,
        }
    }
}

enum Turn {
    Ask { number: u32, pass: usize },
    Wait(Duration),
    Over,
}

impl Lane {
    fn new(plan: Plan, neighbours: Option<Neighbours>, likely: &[IpAddr]) -> Self {
        let mut is_first = Bits::new(plan.count());
        let mut first = Vec::new();
        for number in likely.iter().filter_map(|address| plan.number(*address)) {
            if first.len() < MAX_FIRST && is_first.set(number) {
                first.push(number);
            }
        }
        let open = plan.count();
        Self {
            answered: Bits::new(open),
            plan,
            first,
            is_first,
            neighbours,
            state: State::Asking { pass: 1, turn: 0 },
            found: 0,
            found_in_pass: 0,
            missed: 0,
            trouble: false,
            began: Duration::ZERO,
            stamps: [Vec::new(), Vec::new()],
            open,
            asked: 0,
        }
    }

    /// Whose turn it is; moves on to the next state where nobody's is.
    fn turn(&mut self, now: Duration) -> Turn {
        loop {
            match self.state {
                State::Over => return Turn::Over,
                State::Listening { until } if now < until => return Turn::Wait(until),
                State::Listening { .. } => self.state = State::Over,
                State::Asking { pass, turn } => match self.unanswered_from(turn) {
                    Some((turn, number)) => {
                        self.state = State::Asking { pass, turn };
                        let [_, before] = &self.stamps;
                        let again = before.get(self.part(turn)).map(|asked| asked.saturating_add(AGAIN));
                        if let Some(again) = again.filter(|again| *again > now) {
                            return Turn::Wait(again);
                        }
                        return match self.neighbours.as_ref().map_or(Ok(()), |neighbours| neighbours.may(now)) {
                            Ok(()) => Turn::Ask { number, pass },
                            Err(at) => Turn::Wait(at),
                        };
                    }
                    None if pass < self.passes() && self.found < self.plan.count() => self.begin(pass + 1, now),
                    None => self.state = State::Listening { until: now.saturating_add(LATE) },
                },
            }
        }
    }

    fn begin(&mut self, pass: usize, now: Duration) {
        self.state = State::Asking { pass, turn: 0 };
        self.began = now;
        self.open = self.plan.count().saturating_sub(self.found);
        (self.asked, self.found_in_pass) = (0, 0);
        let [this, before] = &mut self.stamps;
        *before = std::mem::take(this);
    }

    /// To which part of a pass a turn belongs.
    fn part(&self, turn: u32) -> usize {
        let turns = self.plan.count().saturating_add(u32::try_from(self.first.len()).unwrap_or(u32::MAX));
        (turn / (turns / PARTS + 1)) as usize
    }

    /// The next turn at which somebody is to be asked.
    fn unanswered_from(&self, turn: u32) -> Option<(u32, u32)> {
        let ahead = u32::try_from(self.first.len()).unwrap_or(u32::MAX);
        for turn in turn..ahead.saturating_add(self.plan.count()) {
            let number = match usize::try_from(turn).ok().and_then(|turn| self.first.get(turn)) {
                Some(number) => *number,
                None => {
                    let number = self.plan.nth(turn - ahead);
                    if self.is_first.get(number) {
                        continue;
                    }
                    number
                }
            };
            if !self.answered.get(number) {
                return Some((turn, number));
            }
        }
        None
    }

    fn ask(&mut self, now: Duration) {
        if let State::Asking { turn, .. } = self.state {
            let part = self.part(turn);
            let [this, _] = &mut self.stamps;
            if this.len() <= part {
                this.resize(part + 1, now);
            }
            if let Some(stamp) = this.get_mut(part) {
                *stamp = now;
            }
        }
        if let State::Asking { turn, .. } = &mut self.state {
            *turn += 1;
        }
        self.asked += 1;
        if let Some(neighbours) = &mut self.neighbours {
            neighbours.asked(now);
        }
    }

    fn answer(&mut self, number: u32, usual: bool) -> Answer {
        if !self.answered.set(number) {
            return Answer::Again;
        }
        self.found += 1;
        self.found_in_pass += 1;
        self.missed += u32::from(usual && self.was_asked_again(number));
        Answer::New
    }

    /// Whether an address was asked in a later pass than the first, so far: what comes before may be a late answer to that.
    fn was_asked_again(&self, number: u32) -> bool {
        let State::Asking { pass, turn } = self.state else { return self.pass() > 1 };
        let own = match self.is_first.get(number) {
            true => self.first.iter().position(|first| *first == number).and_then(|turn| u32::try_from(turn).ok()),
            false => u32::try_from(self.first.len()).ok().map(|ahead| ahead.saturating_add(self.plan.turn(number))),
        };
        pass > 2 || pass == 2 && own.is_some_and(|own| own < turn)
    }

    /// The pass it is in, or was in last.
    fn pass(&self) -> usize {
        match self.state {
            State::Asking { pass, .. } => pass,
            State::Listening { .. } | State::Over => self.passes(),
        }
    }

    /// How many there will be, as far as is known.
    fn passes(&self) -> usize {
        if self.found >= self.plan.count() {
            1
        } else if self.missed > 0 || self.trouble {
            PASSES
        } else {
            PASSES - 1
        }
    }

    /// Requests to be sent, and seconds that they take at least.
    fn left(&self, costs: &[u32; PASSES], rate: f64, now: Duration) -> (f64, f64) {
        let late = LATE.as_secs_f64();
        let (pass, mut this) = match self.state {
            State::Over => return (0.0, 0.0),
            State::Listening { until } => return (0.0, until.saturating_sub(now).as_secs_f64()),
            State::Asking { pass, .. } => (pass, f64::from(self.open.saturating_sub(self.asked))),
        };
        // Of those asked in this pass, the share that stayed silent; before the first answers, all.
        let silent = 1.0 - f64::from(self.found_in_pass.min(self.asked)) / f64::from(self.asked.max(1));
        let mut next = f64::from(self.open) * silent;
        let mut since = now.saturating_sub(self.began).as_secs_f64();
        let (mut requests, mut seconds) = (0.0, 0.0);
        for (place, cost) in costs.iter().enumerate().take(self.passes()).skip(pass - 1) {
            let of_pass = this * f64::from(*cost);
            let mut takes = of_pass / rate;
            if let Some(neighbours) = &self.neighbours {
                takes = takes.max(this / neighbours.rate());
            }
            requests += of_pass;
            seconds += takes;
            if place + 1 < self.passes() {
                // The rest between this pass and the next.
                seconds += (AGAIN.as_secs_f64() - since - takes).max(0.0);
            }
            (this, since) = (next, 0.0);
            next = this;
        }
        (requests, seconds + late)
    }
}

/// One bit for each number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: u32) -> Self {
        Self(vec![0; count.div_ceil(64) as usize])
    }

    fn get(&self, number: u32) -> bool {
        self.0.get((number / 64) as usize).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// False: it was set.
    fn set(&mut self, number: u32) -> bool {
        let Some(word) = self.0.get_mut((number / 64) as usize) else { return false };
        let before = *word;
        *word |= 1 << (number % 64);
        before != *word
    }

    /// False: it was not set.
    fn clear(&mut self, number: u32) -> bool {
        let Some(word) = self.0.get_mut((number / 64) as usize) else { return false };
        let before = *word;
        *word &= !(1 << (number % 64));
        before != *word
    }
}

#[cfg(test)]
mod tests;
