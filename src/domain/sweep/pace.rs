//! How fast a sweep asks: a rate that follows the losses, and a slower one where neighbours must be resolved.
//!
//! **Rate.** Requests a second, from a tenth to the whole of what is configured. What is lost is known from agents that
//! answered already and are asked again now and then ([`super::witness`], [`Pace::told`]), and from a system that cannot take a datagram
//! ([`Pace::refused`]). Each slows it down by 0.7, at most once in [`REACTION`]; without losses it grows by a twentieth of
//! the configured rate as often.
//!
//! **Neighbours.** The kernel resolves an address of a directly connected network before it sends there: for one that
//! nobody has, it asks three times in three seconds, keeps the datagram in the socket's send buffer, and an entry in a table
//! that holds 1,024 (`gc_thresh3`) for the whole machine. A full table loses datagrams for everybody, without an error to
//! the sender. So addresses of such networks are asked evenly, at most [`Neighbours::most`] within [`RESOLVING`]: about 128
//! a second with the usual table. Even, because each costs everybody on the network three broadcasts.

use std::time::Duration;

/// How long the kernel tries to resolve a neighbour (`mcast_solicit` times `retrans_time_ms`), and a little.
pub const RESOLVING: Duration = Duration::from_millis(3_200);
/// Between two changes of the rate.
pub const REACTION: Duration = Duration::from_secs(1);
/// Of the neighbour table, at most this share is filled: the rest of the machine talks too.
const TABLE_SHARE: (usize, usize) = (2, 5);

/// The rate.
#[derive(Debug, Clone)]
pub struct Pace {
    configured: f64,
    rate: f64,
    tokens: f64,
    filled: Duration,
    changed: Duration,
    asked: u32,
    lost: u32,
}

impl Pace {
    /// As configured: requests a second, at least 1.
    pub fn new(per_second: u32) -> Self {
        let configured = f64::from(per_second.max(1));
        let zero = Duration::ZERO;
        Self { configured, rate: configured, tokens: 0.0, filled: zero, changed: zero, asked: 0, lost: 0 }
    }

    /// Requests a second now.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes as many requests out, if they may go now; else tells when they may.
    pub fn take(&mut self, requests: u32, now: Duration) -> Result<(), Duration> {
        let wanted = f64::from(requests);
        // What may go in one burst, after a pause of the machine: a twentieth of a second's.
        let burst = (self.rate / 20.0).max(wanted);
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(burst);
        self.filled = self.filled.max(now);
        if self.tokens >= wanted {
            self.tokens -= wanted;
            return Ok(());
        }
        Err(now.saturating_add(Duration::from_secs_f64((wanted - self.tokens) / self.rate)))
    }

    /// An agent that had answered was asked again: did it answer?
    pub fn told(&mut self, answered: bool, now: Duration) {
        self.asked = self.asked.saturating_add(1);
        self.lost = self.lost.saturating_add(u32::from(!answered));
        if now.saturating_sub(self.changed) < REACTION || self.asked < 8 {
            return;
        }
        // One in eight may be a device that dozed off.
        if self.lost * 8 > self.asked {
            self.change(self.rate * 0.7, now);
        } else if self.lost * 50 <= self.asked {
            self.change(self.rate + self.configured / 20.0, now);
        } else {
            self.change(self.rate, now);
        }
    }

    /// The system could not take a datagram.
    pub fn refused(&mut self, now: Duration) {
        if now.saturating_sub(self.changed) >= REACTION {
            self.change(self.rate * 0.7, now);
        }
    }

    fn change(&mut self, rate: f64, now: Duration) {
        self.rate = rate.clamp(self.configured / 10.0, self.configured);
        (self.changed, self.asked, self.lost) = (now, 0, 0);
    }
}

/// When the next address of a directly connected network may be asked.
#[derive(Debug, Clone)]
pub struct Neighbours {
    most: u32,
    next: Duration,
}

/// Addresses that may catch up after a pause.
const CATCH_UP: u32 = 8;

impl Neighbours {
    /// For a neighbour table of `table` entries of which `used` are taken by others.
    pub fn new(table: usize, used: usize) -> Self {
        let (share, of) = TABLE_SHARE;
        let most = table.saturating_sub(used).saturating_mul(share) / of;
        Self { most: u32::try_from(most).unwrap_or(u32::MAX).clamp(16, 4_096), next: Duration::ZERO }
    }

    /// As many may be unresolved at once.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// Addresses a second.
    pub fn rate(&self) -> f64 {
        f64::from(self.most) / RESOLVING.as_secs_f64()
    }

    /// Whether one more may be asked, and else when.
    pub fn may(&self, now: Duration) -> Result<(), Duration> {
        if now >= self.next { Ok(()) } else { Err(self.next) }
    }

    /// One was asked.
    pub fn asked(&mut self, now: Duration) {
        let gap = RESOLVING / self.most;
        self.next = self.next.max(now.saturating_sub(gap * CATCH_UP)).saturating_add(gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_rate_is_kept() {
        for rate in [1, 10, 1_000, 100_000] {
            let mut pace = Pace::new(rate);
            let (mut now, mut sent) = (Duration::ZERO, 0_u32);
            while now < Duration::from_secs(5) {
                match pace.take(1, now) {
                    Ok(()) => sent += 1,
                    Err(at) => {
                        assert!(at > now);
                        now = at.max(now + MS);
                    }
                }
            }
            let wanted = f64::from(rate) * 5.0;
            assert!((f64::from(sent) - wanted).abs() <= wanted * 0.02 + 1.0, "{rate}: {sent}");
        }
    }

    #[test]
    fn losses_slow_it_down_and_their_end_speeds_it_up() {
        let mut pace = Pace::new(1_000);
        let mut now = Duration::ZERO;
        let mut tell = |pace: &mut Pace, lost: bool, times: u32| {
            for _ in 0..times {
                now += MS * 50;
                pace.told(!lost, now);
            }
        };
        tell(&mut pace, true, 200);
        assert!((99.0..150.0).contains(&pace.rate()), "{}", pace.rate());
        tell(&mut pace, false, 600);
        assert!(pace.rate() >= 999.0, "{}", pace.rate());
        tell(&mut pace, true, 1);
        assert!(pace.rate() >= 999.0, "one is none");
        pace.refused(now + REACTION * 2);
        assert!((699.0..701.0).contains(&pace.rate()));
    }

    proptest! {
        #[test]
        fn no_more_than_the_table_bears_are_unresolved(pauses in prop::collection::vec(0_u64..400, 1..2_000)) {
            let mut neighbours = Neighbours::new(100, 20);
            prop_assert_eq!(neighbours.most(), 32);
            let mut now = Duration::ZERO;
            let mut open: Vec<Duration> = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause / 4);
                if let Err(at) = neighbours.may(now) {
                    prop_assert!(at > now);
                    now = at;
                    prop_assert!(neighbours.may(now).is_ok());
                }
                neighbours.asked(now);
                open.retain(|at| now - *at < RESOLVING);
                open.push(now);
                prop_assert!(open.len() <= (32 + CATCH_UP) as usize);
            }
        }
    }
}
