//! The classic nucleus's spooler, in memory (`Spool` and `MqttClient.publish` of its source).
//!
//! - The size is the payloads'. A message that does not fit pushes out the oldest QoS 0 messages that wait; when that
//!   is not enough it is refused.
//! - QoS 0 messages are kept only while the nucleus is online.
//! - What was sent and not acknowledged stays, and counts, until its PUBACK; when the connection goes or the PUBACK
//!   takes too long it goes back to the front and is sent again, 100 times, then it is dropped.
//! - First in, first out. Nothing outlives the nucleus.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// `mqtt.maxPublishRetry`.
const MAX_RETRIES: u32 = 100;
/// `mqtt.operationTimeoutMs`: the PUBACK comes within this time, or the publish is tried again.
pub(super) const OPERATION: Duration = Duration::from_secs(30);

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spooled {
    pub(super) id: u64,
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos1: bool,
    retries: u32,
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It alone is larger than the spooler.
    TooLarge,
    /// Even without the QoS 0 messages there is no room.
    Full,
}

#[derive(Debug)]
pub(super) struct Spooler {
    room: usize,
    in_flight_limit: usize,
    size: usize,
    next_id: u64,
    waiting: VecDeque<Spooled>,
    in_flight: BTreeMap<u64, (Spooled, Instant)>,
    dropped: u64,
}

impl Spooler {
    pub(super) fn new(room: usize, in_flight_limit: usize) -> Self {
        let (waiting, in_flight) = (VecDeque::new(), BTreeMap::new());
        Self { room, in_flight_limit, size: 0, next_id: 0, waiting, in_flight, dropped: 0 }
    }

    /// Takes a message.
    pub(super) fn add(&mut self, topic: &str, payload: Vec<u8>, qos1: bool) -> Result<(), Refused> {
        if payload.len() > self.room {
            return Err(Refused::TooLarge);
        }
        let mut at = 0;
        while self.size + payload.len() > self.room {
            let Some(oldest) = self.waiting.get(at) else { return Err(Refused::Full) };
            if oldest.qos1 {
                at += 1;
            } else if let Some(oldest) = self.waiting.remove(at) {
                self.size -= oldest.payload.len();
                self.dropped += 1;
            }
        }
        self.size += payload.len();
        self.next_id += 1;
        let id = self.next_id;
        self.waiting.push_back(Spooled { id, topic: topic.to_owned(), payload, qos1, retries: 0 });
        Ok(())
    }

    /// The next message to send at `now`, if there is one and a place in flight.
    pub(super) fn next(&mut self, now: Instant) -> Option<Spooled> {
        if self.in_flight.len() >= self.in_flight_limit {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.in_flight.insert(next.id, (next.clone(), now));
        Some(next)
    }

    /// Sent (QoS 0) or acknowledged (QoS 1).
    pub(super) fn done(&mut self, id: u64) {
        if let Some((spooled, _)) = self.in_flight.remove(&id) {
            self.size -= spooled.payload.len();
        }
    }

    /// It could not be sent now.
    pub(super) fn give_back(&mut self, id: u64) {
        if let Some((spooled, _)) = self.in_flight.remove(&id) {
            self.waiting.push_front(spooled);
        }
    }

    /// What is in flight goes back: the connection is gone. QoS 0 messages are dropped.
    pub(super) fn offline(&mut self) {
        let ids: Vec<u64> = self.in_flight.keys().copied().collect();
        self.retry(&ids);
        let before = self.waiting.len();
        let mut freed = 0;
        self.waiting.retain(|spooled| {
            freed += if spooled.qos1 { 0 } else { spooled.payload.len() };
            spooled.qos1
        });
        self.size -= freed;
        self.dropped += (before - self.waiting.len()) as u64;
    }

    /// What waits for its PUBACK for too long at `now` goes back.
    pub(super) fn overdue(&mut self, now: Instant) {
        let late = |(_, (_, since)): &(&u64, &(Spooled, Instant))| now.duration_since(*since) >= OPERATION;
        let ids: Vec<u64> = self.in_flight.iter().filter(late).map(|(id, _)| *id).collect();
        self.retry(&ids);
    }

    fn retry(&mut self, ids: &[u64]) {
        for id in ids.iter().rev() {
            let Some((mut spooled, _)) = self.in_flight.remove(id) else { continue };
            spooled.retries += 1;
            if spooled.retries > MAX_RETRIES {
                self.size -= spooled.payload.len();
                self.dropped += 1;
            } else {
                self.waiting.push_front(spooled);
            }
        }
    }

    /// The nucleus restarts.
    pub(super) fn clear(&mut self) {
        self.dropped += (self.waiting.len() + self.in_flight.len()) as u64;
        self.waiting.clear();
        self.in_flight.clear();
        self.size = 0;
    }

    /// Messages that wait or are in flight.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    /// Octets of payload that wait or are in flight.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// QoS 1 messages without PUBACK.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Messages that were never sent, though the component was told "published".
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topics(spooler: &Spooler) -> Vec<&str> {
        spooler.waiting.iter().map(|s| s.topic.as_str()).collect()
    }

    #[test]
    fn a_full_spooler_gives_up_its_oldest_qos_0_messages_and_no_others() {
        let mut spooler = Spooler::new(10, 5);
        for (topic, qos1) in [("a", true), ("b", false), ("c", false), ("d", true)] {
            spooler.add(topic, vec![0; 2], qos1).unwrap();
        }
        spooler.add("e", vec![0; 4], true).unwrap();
        assert_eq!((topics(&spooler), spooler.size()), (vec!["a", "c", "d", "e"], 10));
        spooler.add("f", vec![0; 2], false).unwrap();
        assert_eq!(topics(&spooler), ["a", "d", "e", "f"]);
        assert_eq!(spooler.add("g", vec![0; 3], true), Err(Refused::Full));
        assert_eq!(spooler.add("h", vec![0; 11], true), Err(Refused::TooLarge));
        assert_eq!(topics(&spooler), ["a", "d", "e"], "f made room, though not enough");
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_in_order_until_it_is_dropped() {
        let start = Instant::now();
        let mut spooler = Spooler::new(100, 2);
        for topic in ["a", "b", "c"] {
            spooler.add(topic, vec![0], true).unwrap();
        }
        let sent: Vec<_> = std::iter::from_fn(|| spooler.next(start)).map(|s| s.topic).collect();
        assert_eq!(sent, ["a", "b"], "two in flight");
        spooler.done(1);
        spooler.offline();
        assert_eq!((topics(&spooler), spooler.size()), (vec!["b", "c"], 2));
        for _ in 1..100 {
            spooler.next(start).unwrap();
            spooler.overdue(start + OPERATION);
            assert_eq!(spooler.len(), 2);
        }
        spooler.next(start).unwrap();
        spooler.overdue(start + OPERATION);
        assert_eq!((topics(&spooler), spooler.dropped()), (vec!["c"], 1));
    }

    proptest! {
        #[test]
        fn the_size_is_that_of_what_is_there(steps in proptest::collection::vec((0u8..6, 0usize..12, any::<bool>()), 0..200)) {
            let start = Instant::now();
            let mut spooler = Spooler::new(30, 3);
            for (step, size, qos1) in steps {
                match step {
                    0..3 => drop(spooler.add("t", vec![0; size], qos1)),
                    3 => drop(spooler.next(start)),
                    4 => {
                        let first = spooler.in_flight.keys().next().copied();
                        spooler.done(first.unwrap_or_default());
                    }
                    _ => spooler.offline(),
                }
                let waiting: usize = spooler.waiting.iter().map(|s| s.payload.len()).sum();
                let flying: usize = spooler.in_flight.values().map(|(s, _)| s.payload.len()).sum();
                prop_assert_eq!(spooler.size(), waiting + flying);
                prop_assert!(spooler.size() <= 30 && spooler.in_flight() <= 3);
            }
        }
    }
}
