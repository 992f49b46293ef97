//! How fast somebody may send.

use std::time::{Duration, Instant};

use crate::options::Rates;

/// A token bucket: `burst` at once, refilled at the rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    rates: Rates,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(rates: Rates, now: Instant) -> Self {
        Self { rates, tokens: f64::from(rates.burst), filled: now }
    }

    /// Whether it is the same as a new one.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        let refill = now.saturating_duration_since(self.filled).as_secs_f64()
            * f64::from(self.rates.messages_per_second);
        self.is_free() || self.tokens + refill >= f64::from(self.rates.burst)
    }

    fn is_free(&self) -> bool {
        self.rates.messages_per_second == 0 || self.rates.burst == 0
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long to wait for one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.take_many(1, now)
    }

    /// Takes so many tokens, or none; never more than the burst.
    ///
    /// # Errors
    /// How long to wait for them.
    pub(crate) fn take_many(&mut self, count: u32, now: Instant) -> Result<(), Duration> {
        let count = f64::from(count.min(self.rates.burst));
        let rate = f64::from(self.rates.messages_per_second);
        if self.is_free() {
            return Ok(());
        }
        let refill = now.saturating_duration_since(self.filled).as_secs_f64() * rate;
        self.tokens = (self.tokens + refill).min(f64::from(self.rates.burst));
        self.filled = now;
        if self.tokens >= count {
            self.tokens -= count;
            return Ok(());
        }
        Err(Duration::from_secs_f64((count - self.tokens) / rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rates { messages_per_second: 10, burst: 3 }, start);
        assert!(bucket.is_full(start));
        assert!((0..3).all(|_| bucket.take(start).is_ok()));
        let refilled = |after| bucket.is_full(start + Duration::from_millis(after));
        assert!(!refilled(299) && refilled(300));
        let wait = bucket.take(start).unwrap_err();
        assert!(wait > Duration::from_millis(90) && wait <= Duration::from_millis(100), "{wait:?}");
        assert!(bucket.take(start + wait).is_ok());
        assert!(bucket.take(start + wait).is_err());
        let mut many = Bucket::new(Rates { messages_per_second: 10, burst: 5 }, start);
        assert!(many.take_many(4, start).is_ok());
        assert_eq!(many.take_many(4, start), Err(Duration::from_millis(300)));
        assert!(many.take(start).is_ok(), "what was refused has cost nothing");
        assert!(many.take_many(9, start + Duration::from_millis(500)).is_ok(), "nobody waits for ever");
        for (messages_per_second, burst) in [(0, 0), (0, 3), (10, 0)] {
            let mut free = Bucket::new(Rates { messages_per_second, burst }, start);
            assert!((0..1000).all(|_| free.take(start).is_ok()) && free.is_full(start));
        }
    }
}
