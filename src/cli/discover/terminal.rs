//! How far a search is, for a person at a terminal: a bar on standard error, and above it what is found.

use crate::app::look::LookProgress;
use crate::cli::table::plain;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeSet;
use tokio::sync::watch;

/// The bar's length, in parts.
const PARTS: u64 = 1_000;

/// Tells until the search is over.
pub(super) async fn tell(mut progress: watch::Receiver<LookProgress>) {
    let bar = ProgressBar::with_draw_target(Some(PARTS), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {percent:>3} %  {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    let mut told = BTreeSet::new();
    while progress.changed().await.is_ok() {
        let now = progress.borrow_and_update().clone();
        for (id, line) in &now.found {
            if told.insert(id.clone()) {
                bar.println(format!("  {}", plain(line)));
            }
        }
        bar.set_position((now.done * PARTS as f64) as u64);
        let left = now.left.as_secs();
        let left = if left > 0 { format!(", about {left} s left") } else { String::new() };
        bar.set_message(format!("{} found, {}{left}", now.found.len(), plain(&now.doing)));
    }
    bar.finish_and_clear();
}
