//! The quotas of AWS IoT Core and of its Device Shadow service, as data, and the token bucket that counts them.
//!
//! | quota | value | over it |
//! |---|---|---|
//! | publishes of a connection | 100/s | thrown away, no PUBACK; the connection stays |
//! | deliveries to a connection | 100/s | QoS 0 thrown away, QoS 1 later |
//! | octets from a connection | 512 KiB/s | read more slowly |
//! | payload | 128 KiB | the connection ends |
//! | topic, topic filter | 256 octets, 7 slashes (`$aws/rules/NAME/` not counted) | the connection ends |
//! | QoS | 1 | the connection ends |
//! | filters of one SUBSCRIBE | 8 | the connection ends |
//! | subscriptions of a connection | 50, raised on request | the connection ends |
//! | backlog of a persistent session | 10/s | comes that slowly |
//! | shadow requests of a thing | 20/s | rejected, 429 |
//! | shadow requests of a thing in flight | 10 | rejected, 429 |
//!
//! Sources: "AWS IoT Core endpoints and quotas" (AWS General Reference), "Device Shadow error messages" and "MQTT"
//! (AWS IoT developer guide). AWS does not say how it counts a second; here it is a bucket that holds one second.

use std::time::{Duration, Instant};

/// What AWS IoT allows. The default is AWS's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// Publishes of one connection, per second; deliveries to it likewise.
    pub messages_per_second: u32,
    /// Octets from one connection, per second.
    pub octets_per_second: u32,
    /// Largest payload, octets.
    pub payload: usize,
    /// Longest topic or topic filter, octets.
    pub topic: usize,
    /// Slashes in a topic or topic filter.
    pub slashes: usize,
    /// Topic filters in one SUBSCRIBE.
    pub filters: usize,
    /// Topic filters of one connection.
    pub subscriptions: usize,
    /// Messages that waited in a persistent session, per second.
    pub backlog_per_second: u32,
    /// Shadow requests of one thing, per second.
    pub shadow_requests_per_second: u32,
    /// Shadow requests of one thing that are not answered yet.
    pub shadow_in_flight: usize,
    /// How long the shadow service takes for a request; without it nothing would ever be in flight.
    pub shadow_time: Duration,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            messages_per_second: 100,
            octets_per_second: 512 * 1024,
            payload: 128 * 1024,
            topic: super::topic::MAX_TOPIC,
            slashes: 7,
            filters: 8,
            subscriptions: 50,
            backlog_per_second: 10,
            shadow_requests_per_second: 20,
            shadow_in_flight: 10,
            shadow_time: Duration::from_millis(10),
        }
    }
}

impl Quotas {
    /// Whether AWS IoT takes this topic or topic filter.
    pub(super) fn allows_topic(&self, topic: &str) -> bool {
        // Basic Ingest: `$aws/rules/NAME/` counts neither for the length nor for the depth.
        let counted = match topic.strip_prefix("$aws/rules/") {
            Some(rest) => rest.split_once('/').map_or("", |(_, rest)| rest),
            None => topic,
        };
        counted.len() <= self.topic && counted.bytes().filter(|b| *b == b'/').count() <= self.slashes
    }
}

/// A token bucket: holds one second's worth, full at first.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: f64::from(per_second), tokens: f64::from(per_second), at: now }
    }

    /// The same rate, with `tokens` in it at first.
    pub(super) fn holding(per_second: u32, tokens: u32, now: Instant) -> Self {
        Self { tokens: f64::from(tokens), ..Self::new(per_second, now) }
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.per_second);
        self.at = now;
    }

    /// Takes `n`; false when there is not so much.
    pub(super) fn take(&mut self, n: u32, now: Instant) -> bool {
        self.fill(now);
        let enough = self.tokens >= f64::from(n);
        if enough {
            self.tokens -= f64::from(n);
        }
        enough
    }

    /// Takes `n` even on credit, and says how long to wait until that is paid back.
    pub(super) fn borrow(&mut self, n: u32, now: Instant) -> Duration {
        self.fill(now);
        self.tokens -= f64::from(n);
        if self.tokens >= 0.0 || self.per_second <= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64((-self.tokens / self.per_second).min(60.0))
    }

    /// When there is one to take.
    pub(super) fn ready_at(&mut self, now: Instant) -> Instant {
        self.fill(now);
        if self.tokens >= 1.0 || self.per_second <= 0.0 {
            return now;
        }
        // A microsecond more, against rounding down.
        now + Duration::from_secs_f64((1.0 - self.tokens) / self.per_second) + Duration::from_micros(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_one_second_at_once_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(20, start);
        assert_eq!((0..30).filter(|_| bucket.take(1, start)).count(), 20);
        assert!(!bucket.take(1, start + Duration::from_millis(49)));
        assert!(bucket.take(1, start + Duration::from_millis(100)));
        let later = start + Duration::from_secs(60);
        assert_eq!((0..30).filter(|_| bucket.take(1, later)).count(), 20, "no more than a second is saved up");
        let at = bucket.ready_at(later);
        assert!(at > later && at <= later + Duration::from_millis(51));
        assert!(bucket.take(1, at));
        assert_eq!(Bucket::new(10, start).borrow(30, start), Duration::from_secs(2));
    }

    #[test]
    fn topics_have_seven_slashes_and_basic_ingest_is_not_counted() {
        let quotas = Quotas::default();
        assert!(quotas.allows_topic("$aws/things/t/shadow/name/s/update/accepted"));
        assert!(!quotas.allows_topic("1/2/3/4/5/6/7/8/9"));
        assert!(quotas.allows_topic("$aws/rules/r/1/2/3/4/5/6/7/8"));
        assert!(!quotas.allows_topic(&"x".repeat(257)) && quotas.allows_topic(&"x".repeat(256)));
    }
}
