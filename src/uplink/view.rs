//! What others may read of the uplink: how it goes at the moment, replaced as a whole at each of its steps.

use super::Uplink;
use crate::domain::outbox::Progress;

impl Uplink {
    pub(super) fn publish_view(&self) {
        let (confirmed, resent, forged) = self.window.counts();
        let limits = &self.parts.limits;
        let progress = Progress {
            linked: self.up,
            heard_at: self.answered.then_some(self.heard),
            on_their_way: limits.size.saturating_sub(self.window.room()),
            window: limits.size,
            shadows_on_their_way: self.lane.len(),
            messages_per_second: limits.per_second,
            confirmed,
            resent,
            forged,
            dropped_commands: self.dropped_commands,
        };
        self.parts.view.send_if_modified(|old| {
            let news = *old != progress;
            *old = progress;
            news
        });
    }
}
