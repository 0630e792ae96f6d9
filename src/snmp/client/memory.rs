//! What is remembered of an agent: how it is to be asked, and at what it falls silent. Pure: takes `now`.
//!
//! - After [`FORGET_AFTER`] questions in vain the way to ask is forgotten and found out anew; stalls stay.
//! - A part at which it fell silent [`LEFT_OUT_AFTER`] times, without an answer between, is left out, and tried again every
//!   [`TRIED_AGAIN`]: an agent may only have been busy, or restarted since. A try in vain is no failure.

use super::login::Version;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Polls and identifications in vain, in a row, after which the login is tried anew.
pub const FORGET_AFTER: u32 = 3;
/// Silences at one part after which it is left out.
const LEFT_OUT_AFTER: u32 = 2;
/// How often a part that is left out is tried.
const TRIED_AGAIN: Duration = Duration::from_secs(3600);

/// What is remembered of an agent.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    pub(super) attempt: Option<Attempt>,
    pub(super) context: Context,
    /// GetBulk is not answered.
    pub(super) next_only: bool,
    /// Questions in vain, in a row.
    failures: u32,
    /// Parts at which it fell silent, how often, and when last.
    stalls: HashMap<&'static str, (u32, Instant)>,
}

/// Whether the Printer-MIB is in the other context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Context {
    #[default]
    NotTried,
    Absent,
    Present,
}

/// A login with a version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) login: usize,
    pub(super) version: Version,
}

impl Memory {
    /// A whole poll or identification ended.
    pub(super) fn ended(&mut self, well: bool) {
        self.failures = if well { 0 } else { self.failures.saturating_add(1) };
        if self.failures >= FORGET_AFTER {
            *self = Self { stalls: std::mem::take(&mut self.stalls), ..Self::default() };
        }
    }

    /// Whether a part is left out now.
    pub(super) fn leaves_out(&self, part: &'static str, now: Instant) -> bool {
        let stalls = self.stalls.get(part);
        stalls.is_some_and(|(count, last)| *count >= LEFT_OUT_AFTER && now.duration_since(*last) < TRIED_AGAIN)
    }

    /// It answered at a part.
    pub(super) fn answered(&mut self, part: &'static str) {
        self.stalls.remove(part);
    }

    /// It fell silent at a part; true: that is borne, because it was only tried.
    pub(super) fn stalled(&mut self, part: &'static str, now: Instant) -> bool {
        let (count, last) = self.stalls.entry(part).or_insert((0, now));
        *last = now;
        *count = count.saturating_add(1);
        *count > LEFT_OUT_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_left_out_is_tried_again_now_and_then() {
        let (mut memory, begun) = (Memory::default(), Instant::now());
        assert!(!memory.stalled("x", begun) && !memory.leaves_out("x", begun));
        assert!(!memory.stalled("x", begun));
        assert!(memory.leaves_out("x", begun) && !memory.leaves_out("y", begun));
        let later = begun + TRIED_AGAIN;
        assert!(!memory.leaves_out("x", later));
        // In vain.
        assert!(memory.stalled("x", later) && memory.leaves_out("x", later + TRIED_AGAIN / 2));
        memory.answered("x");
        assert!(!memory.leaves_out("x", later) && !memory.stalled("x", later));
    }

    #[test]
    fn how_to_ask_is_forgotten_after_failures_in_a_row() {
        let attempt = Some(Attempt { login: 0, version: Version::V2c });
        let (mut memory, now) = (Memory { attempt, next_only: true, ..Memory::default() }, Instant::now());
        memory.stalled("x", now);
        memory.stalled("x", now);
        for _ in 0..4 {
            memory.ended(false);
            memory.ended(false);
            memory.ended(true);
        }
        assert_eq!(memory.attempt, attempt);
        for _ in 0..FORGET_AFTER {
            memory.ended(false);
        }
        assert!(memory.attempt.is_none() && !memory.next_only && memory.leaves_out("x", now));
        memory.attempt = attempt;
        memory.ended(false);
        assert_eq!(memory.attempt, attempt, "it is counted anew");
    }
}
