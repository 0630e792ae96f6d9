//! How long to wait before trying again.
//!
//! Exponential back-off with "equal jitter": half of the step is certain, the other half is drawn from a seed that the
//! caller gives, so that many printers that failed together do not come back together, and nobody comes back at once.
//! No clock and no random source here.

use std::time::Duration;

/// A back-off rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The step of attempt 0.
    pub base: Duration,
    /// No step is longer.
    pub cap: Duration,
}

impl Backoff {
    /// A rule from `base`, doubling with each attempt, up to `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// The wait after `attempt` failures before this one (0 for the first failure): between half of
    /// `min(base × 2^attempt, cap)` and the whole of it. `seed` is any random number.
    pub fn delay(&self, attempt: u32, seed: u64) -> Duration {
        let factor = 1_u32.checked_shl(attempt.min(31)).unwrap_or(u32::MAX);
        let step = self.base.checked_mul(factor).unwrap_or(self.cap).min(self.cap);
        let half = step / 2;
        // The upper 32 bits of a mixed seed as a fraction of the other half: even a counter spreads well.
        let fraction = u32::try_from(mix(seed) >> 32).unwrap_or(u32::MAX);
        let nanos = (step - half).as_nanos().saturating_mul(u128::from(fraction)) >> 32;
        half + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The finalizer of SplitMix64.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_delay_lies_between_half_a_step_and_a_step(base in 1_u64..100_000, cap in 1_u64..10_000_000, attempt: u32, seed: u64) {
            let rule = Backoff::new(Duration::from_millis(base), Duration::from_millis(cap));
            let step = u128::from(base).saturating_mul(1 << attempt.min(31)).min(u128::from(cap));
            let delay = rule.delay(attempt, seed).as_micros();
            prop_assert!(delay <= step * 1000, "{delay} > {step}");
            prop_assert!(delay >= step * 1000 / 2, "{delay} < half of {step}");
        }
    }

    #[test]
    fn seeds_in_a_row_give_different_delays() {
        let rule = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let delays: std::collections::BTreeSet<_> = (0..100).map(|seed| rule.delay(3, seed)).collect();
        assert!(delays.len() > 95, "{}", delays.len());
    }
}
