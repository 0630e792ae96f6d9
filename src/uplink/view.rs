//! What others may read of the uplink: how it goes at the moment, replaced as a whole at each of its steps.

use super::Uplink;
use jiff::Timestamp;

/// The uplink at one moment. Counts are since the start of the present configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The nucleus is connected and every subscription was answered. Whether the cloud hears us only echoes tell.
    pub linked: bool,
    /// When the cloud's side was last heard: an echo, or an answer to a shadow update.
    pub heard: Option<Timestamp>,
    /// Messages on their way.
    pub on_their_way: usize,
    /// How many may be on their way at once.
    pub window: usize,
    /// Shadow updates on their way.
    pub shadows_on_their_way: usize,
    /// Messages a second at most.
    pub messages_per_second: u32,
    /// Messages confirmed by their echo.
    pub confirmed: u64,
    /// Messages sent again.
    pub resent: u64,
    /// Echoes that were none: another payload, another topic, an unknown id.
    pub forged: u64,
    /// Commands dropped because the job book did not keep up; their submitters send them again.
    pub dropped_commands: u64,
}

impl Uplink {
    pub(super) fn publish_view(&self) {
        let (confirmed, resent, forged) = self.window.counts();
        let limits = &self.parts.limits;
        let view = View {
            linked: self.up,
            heard: self.answered.then_some(self.heard),
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
            let news = *old != view;
            *old = view;
            news
        });
    }
}
