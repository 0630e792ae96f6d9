//! What gets lost of a sweep's datagrams: some agents that answered are asked again now and then. Pure.
//!
//! - One question each [`EVERY`] at the soonest, [`AT_ONCE`] open at a time; an agent gets one each [`GAP`] at the soonest.
//!   The first [`MOST`] that answer are asked, no others.
//! - An agent that falls silent proves little: it may have been switched off, or told to answer no more. Of the questions
//!   that it did not answer within [`WAIT`], the first counts as lost at once, the others when it answers a later one.
//!   After [`GONE`] in a row it is not asked any more; they count only if nobody else answered meanwhile either, though
//!   others are asked.

use std::net::IpAddr;
use std::time::Duration;

/// Between two questions.
pub const EVERY: Duration = Duration::from_millis(100);
/// Between two questions to one agent.
pub const GAP: Duration = Duration::from_secs(2);
/// How long an answer may take.
pub const WAIT: Duration = Duration::from_millis(1_500);
/// Questions that are open at once.
pub const AT_ONCE: usize = 16;
/// Agents asked.
pub const MOST: usize = 64;
/// Questions in vain, in a row, after which an agent is not asked any more.
pub const GONE: u32 = 4;

/// The agents that are asked again; `K` is how.
#[derive(Debug, Clone)]
pub struct Witnesses<K> {
    all: Vec<Witness<K>>,
    /// When the next question may go.
    next: Duration,
    /// When one of them answered last.
    heard: Duration,
}

#[derive(Debug, Clone)]
struct Witness<K> {
    address: IpAddr,
    how: K,
    next: Duration,
    open: Option<Duration>,
    /// Questions in vain, in a row, and when the first of them went.
    missed: u32,
    since: Duration,
}

impl<K> Default for Witnesses<K> {
    fn default() -> Self {
        Self { all: Vec::new(), next: Duration::ZERO, heard: Duration::ZERO }
    }
}

impl<K: Copy> Witnesses<K> {
    /// One that has answered.
    pub fn add(&mut self, address: IpAddr, how: K, now: Duration) {
        if self.all.len() < MOST {
            self.all.push(Witness { address, how, next: now, open: None, missed: 0, since: now });
        }
    }

    /// Whom to ask now. Counts as asked.
    pub fn due(&mut self, now: Duration) -> Option<(IpAddr, K)> {
        if now < self.next || self.all.iter().filter(|one| one.open.is_some()).count() >= AT_ONCE {
            return None;
        }
        let waiting = self.all.iter_mut().filter(|one| one.open.is_none() && one.next <= now);
        let one = waiting.min_by_key(|one| one.next)?;
        if one.missed == 0 {
            one.since = now;
        }
        (one.open, one.next) = (Some(now), now.saturating_add(GAP));
        self.next = now.saturating_add(EVERY);
        Some((one.address, one.how))
    }

    /// The question could not be sent.
    pub fn unsent(&mut self, address: IpAddr) {
        if let Some(one) = self.all.iter_mut().find(|one| one.address == address) {
            one.open = None;
        }
    }

    /// One answered: how many more questions to it are known to be lost by that. None: it was not asked.
    pub fn answered(&mut self, address: IpAddr, now: Duration) -> Option<u32> {
        let one = self.all.iter_mut().find(|one| one.address == address)?;
        one.open.take()?;
        self.heard = now;
        Some(std::mem::take(&mut one.missed).saturating_sub(1))
    }

    /// Gives up what was not answered in time: how many questions are known to be lost by that.
    pub fn late(&mut self, now: Duration) -> u32 {
        let (heard, several) = (self.heard, self.all.len() > 1);
        let mut lost = 0;
        self.all.retain_mut(|one| {
            if one.open.is_none_or(|asked| now.saturating_sub(asked) <= WAIT) {
                return true;
            }
            one.open = None;
            one.missed += 1;
            lost += u32::from(one.missed == 1);
            if one.missed == GONE && several && heard < one.since {
                lost += one.missed - 1;
            }
            one.missed < GONE
        });
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sweep::pace::Pace;
    use std::collections::BTreeMap;

    const MS: Duration = Duration::from_millis(1);

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    /// What came of it.
    #[derive(Debug, Default)]
    struct Minute {
        /// Questions to each agent.
        asked: BTreeMap<u8, u32>,
        came: u32,
        lost: u32,
        /// The least rate, of 1,000.
        least: f64,
    }

    /// A minute with agents that answer as `answers(agent, its question, time)` says.
    fn minute(agents: u8, answers: impl Fn(u8, u32, Duration) -> bool) -> Minute {
        let (mut witnesses, mut pace) = (Witnesses::default(), Pace::new(1_000));
        let mut all = Minute { least: pace.rate(), ..Minute::default() };
        for n in 0..agents {
            witnesses.add(address(n), n, Duration::ZERO);
        }
        for now in (0..60_000).step_by(10).map(|ms| MS * ms) {
            let mut lost = witnesses.late(now);
            let mut came = false;
            if let Some((at, n)) = witnesses.due(now) {
                assert_eq!(at, address(n));
                let count = all.asked.entry(n).or_default();
                *count += 1;
                came = answers(n, *count, now);
                if came {
                    lost += witnesses.answered(at, now + MS).unwrap();
                    assert_eq!(witnesses.answered(at, now + MS), None, "once");
                }
            }
            (0..lost).for_each(|_| pace.told(false, now));
            if came {
                pace.told(true, now);
            }
            (all.lost, all.came) = (all.lost + lost, all.came + u32::from(came));
            all.least = all.least.min(pace.rate());
        }
        all
    }

    #[test]
    fn an_agent_is_not_asked_all_the_time() {
        let one = minute(1, |_, _, _| true);
        assert!((25..=30).contains(&one.asked[&0]), "{one:?}");
        assert_eq!((one.came, one.lost), (one.asked[&0], 0));
        // All of them together neither.
        let many = minute(MOST as u8 + 20, |_, _, _| true);
        assert!(many.asked.len() == MOST && (500..=600).contains(&many.came), "{many:?}");
    }

    #[test]
    fn one_that_goes_does_not_slow_it_down() {
        for agents in [1, 2, 3, 10] {
            for answered in [0, 5] {
                let all = minute(agents, |n, count, _| n > 0 || count <= answered);
                assert_eq!((all.asked[&0], all.lost, all.least), (answered + GONE, 1, 1_000.0), "{agents}");
            }
        }
    }

    #[test]
    fn what_gets_lost_is_told() {
        // Every second question.
        let half = minute(5, |_, count, _| count % 2 == 0);
        let all: u32 = half.asked.values().sum();
        assert!(half.came.abs_diff(half.lost) <= 5 && half.came + half.lost + 5 >= all, "{half:?}");
        assert!(half.least < 200.0, "{half:?}");
        // Nothing gets through any more.
        for (agents, least) in [(5, 701.0), (40, 300.0)] {
            let none = minute(agents, |_, _, now| now < Duration::from_secs(20));
            assert!(none.lost > (u32::from(agents) - 1) * (GONE - 1) && none.least < least, "{none:?}");
        }
    }

    #[test]
    fn what_was_not_sent_is_not_missed() {
        let mut witnesses = Witnesses::default();
        witnesses.add(address(1), (), Duration::ZERO);
        for n in 1..20 {
            assert!(witnesses.due(GAP * n).is_some());
            witnesses.unsent(address(1));
            assert_eq!(witnesses.late(GAP * n + WAIT * 2), 0, "{n}");
        }
    }
}
