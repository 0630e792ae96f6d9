//! Updates wait for transfers: answers the nucleus' question before a deployment touches components.
//!
//! ```text
//! nucleus ──preUpdateEvent──▶ transfers under way, and not too long yet? ──yes──▶ DeferComponentUpdate, asked again
//!    ▲                                   │ no                                     after RECHECK
//!    │                                   └──▶ DeferComponentUpdate with 0: go on           │
//!    └────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! The nucleus takes one answer for each question and forgets the question after its `componentUpdatePolicy`'s time-out;
//! so each question is answered at once and the recheck is short. A deployment is held up for at most the configured
//! time in all; then it goes on, and the component's stop leaves transfers the time that the runtime gives.
//!
//! Nucleus classic only. Whether the runtime asks at all is found out by the link, once.

use super::error::clean;
use super::link::Link;
use super::operations::PreUpdate;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// When the nucleus asks again.
pub const RECHECK: Duration = Duration::from_secs(5);
/// Deployments remembered; the nucleus has one at a time.
const REMEMBERED: usize = 8;

/// Answers until the link has ended. `transfers` is the number of documents on their way to printers; `longest` bounds
/// how long one deployment is held up in all.
pub async fn run(
    link: Link,
    mut updates: mpsc::Receiver<PreUpdate>,
    transfers: watch::Receiver<usize>,
    longest: Duration,
) {
    let mut deferrals = Deferrals::new(longest);
    while let Some(update) = updates.recv().await {
        let transfers = *transfers.borrow();
        let pause = deferrals.answer(&update.deployment, transfers, Instant::now());
        let message = match (transfers, pause) {
            (0, _) => "no document is being sent".to_owned(),
            (_, Some(_)) => format!("documents on their way to printers: {transfers}"),
            (_, None) => format!("waited long enough; documents still on their way to printers: {transfers}"),
        };
        tracing::info!(
            deployment = clean(&update.deployment),
            deferred = pause.is_some(),
            message,
            "an update is announced"
        );
        let recheck = u64::try_from(pause.unwrap_or_default().as_millis()).unwrap_or_default();
        if let Err(error) = link.defer_component_update(&update.deployment, &message, recheck).await {
            // It goes on by itself after its time-out.
            tracing::warn!(%error, "the nucleus did not take the answer to an announced update");
        }
    }
}

/// How long which deployment has been held up.
#[derive(Debug)]
struct Deferrals {
    longest: Duration,
    since: VecDeque<(String, Instant)>,
}

impl Deferrals {
    fn new(longest: Duration) -> Self {
        Self { longest, since: VecDeque::new() }
    }

    /// How long to wait before the next question; nothing: go on.
    fn answer(&mut self, deployment: &str, transfers: usize, now: Instant) -> Option<Duration> {
        if transfers == 0 {
            return None;
        }
        let since = match self.since.iter().find(|(known, _)| known == deployment) {
            Some((_, since)) => *since,
            None => {
                self.since.push_back((deployment.to_owned(), now));
                if self.since.len() > REMEMBERED {
                    self.since.pop_front();
                }
                now
            }
        };
        let left = self.longest.saturating_sub(now.saturating_duration_since(since));
        (left >= Duration::from_millis(1)).then(|| left.min(RECHECK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_waits_for_transfers_and_not_for_ever() {
        let (start, mut deferrals) = (Instant::now(), Deferrals::new(Duration::from_secs(12)));
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(deferrals.answer("d1", 0, at(0)), None, "nothing is sent");
        assert_eq!(deferrals.answer("d1", 2, at(0)), Some(RECHECK));
        assert_eq!(deferrals.answer("d1", 2, at(5)), Some(RECHECK));
        assert_eq!(deferrals.answer("d1", 1, at(10)), Some(Duration::from_secs(2)));
        assert_eq!(deferrals.answer("d2", 1, at(11)), Some(RECHECK), "each deployment has its own time");
        assert_eq!(deferrals.answer("d1", 1, at(12)), None, "long enough");
        assert_eq!(Deferrals::new(Duration::ZERO).answer("d", 1, at(0)), None, "0 never defers");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut deferrals = Deferrals::new(Duration::from_secs(60));
        for n in 0..100 {
            deferrals.answer(&format!("d{n}"), 1, Instant::now());
        }
        assert_eq!(deferrals.since.len(), REMEMBERED);
    }
}
