//! How long to wait before the next attempt: doubling from `base` to `cap`, the upper half of it random, so that
//! neither one component hammers a nucleus nor all of them come back in the same moment.

use std::time::Duration;

/// Bounds of the waiting time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first repetition.
    pub base: Duration,
    /// The most that is ever waited.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(200), cap: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait before repetition number `attempt` (from 0), between half and all of the doubled `base`, at most
    /// `cap`. `random` is any 64 random bits.
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let factor = 1u32.checked_shl(attempt.min(31)).unwrap_or(u32::MAX);
        let full = self.base.saturating_mul(factor).min(self.cap);
        let share = f64::from((random >> 32) as u32) / f64::from(u32::MAX);
        full / 2 + (full / 2).mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap_and_spreads_over_the_upper_half() {
        let b = Backoff::default();
        assert_eq!(b.delay(0, 0), Duration::from_millis(100));
        assert_eq!(b.delay(0, u64::MAX), Duration::from_millis(200));
        assert_eq!(b.delay(3, u64::MAX), Duration::from_millis(1600));
        for attempt in [8, 31, 32, 1000, u32::MAX] {
            assert_eq!(b.delay(attempt, u64::MAX), Duration::from_secs(30), "{attempt}");
            assert_eq!(b.delay(attempt, 0), Duration::from_secs(15), "{attempt}");
        }
    }
}
