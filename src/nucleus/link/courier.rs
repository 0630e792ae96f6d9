//! Brings what came from the cloud to the components, through the faults in force.
//!
//! Messages come in order and go in order, unless a fault says otherwise. A component that does not read holds up
//! everybody for a while, as on lite; then its messages are thrown away. What is under way when the link goes down
//! still arrives.

use super::{Inbound, Inner};
use crate::nucleus::topic;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long a component that does not read may hold up everybody, before its messages are thrown away.
const STALL: Duration = Duration::from_secs(5);
/// How long messages are held to be reordered.
const HOLD: Duration = Duration::from_secs(1);
/// Late messages that wait; more stay on the connection.
const WAITING: usize = 10_000;

/// Serves until dropped.
pub(super) async fn carry(inner: &Inner, mut arrivals: mpsc::Receiver<Inbound>) {
    let mut held: Vec<Inbound> = Vec::new();
    let mut held_until = Instant::now();
    let mut waiting: VecDeque<(Instant, Inbound)> = VecDeque::new();
    loop {
        let now = Instant::now();
        let window = inner.settings.faults.window();
        if !held.is_empty() && (window.is_none_or(|window| held.len() >= window) || held_until <= now) {
            inner.settings.faults.shuffle(&mut held);
            let due = now + inner.settings.faults.slow();
            waiting.extend(held.drain(..).map(|message| (due, message)));
        }
        let next =
            waiting.front().map(|(due, _)| *due).into_iter().chain((!held.is_empty()).then_some(held_until)).min();
        let arrived = tokio::select! {
            biased;
            () = until(next) => None,
            arrived = arrivals.recv(), if waiting.len() < WAITING => match arrived {
                Some(arrived) => Some(arrived),
                None => return,
            },
        };
        let now = Instant::now();
        if let Some(message) = arrived {
            // Asked for again: it may have changed while nothing came.
            let window = inner.settings.faults.window();
            let copies = inner.settings.faults.inbound(&message.topic, &message.payload);
            if held.is_empty() {
                held_until = now + HOLD;
            }
            for _ in 0..copies {
                if window.is_some() {
                    held.push(message.clone());
                } else {
                    waiting.push_back((now + inner.settings.faults.slow(), message.clone()));
                }
            }
        }
        while waiting.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, message)) = waiting.pop_front() {
                deliver(inner, message).await;
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Gives a message to every subscription it matches, each its own copy.
async fn deliver(inner: &Inner, message: Inbound) {
    let to: Vec<_> = {
        let state = inner.lock();
        let matching = state.subscriptions.values().filter(|s| topic::matches(&s.filter, &message.topic));
        matching.map(|s| s.to.clone()).collect()
    };
    for subscription in to {
        if let Err(mpsc::error::SendTimeoutError::Timeout(_)) = subscription.send_timeout(message.clone(), STALL).await
        {
            inner.lock().status.stalled += 1;
        }
    }
}
