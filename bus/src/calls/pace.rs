//! How fast replies come: what a client that is turned away is told to wait.

use std::time::Duration;
use tokio::time::Instant;

/// Replies are counted over this time.
const WINDOW: Duration = Duration::from_millis(500);
/// What was seen longer ago says nothing about now.
const STALE: Duration = Duration::from_secs(10);
/// How much of the age of a queue one reply changes.
const WEIGHT: f64 = 0.1;

/// How fast replies come, and how long their commands had waited.
#[derive(Debug)]
pub(super) struct Pace {
    window: Instant,
    count: u32,
    /// Replies a second, over the last full window.
    rate: f64,
    /// Seconds that commands spent in queues lately.
    age: f64,
    last: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        let now = Instant::now();
        Self { window: now, count: 0, rate: 0.0, age: 0.0, last: now }
    }
}

impl Pace {
    /// A reply came, to a command that had waited so long.
    pub(super) fn replied(&mut self, queued: Duration, now: Instant) {
        self.age += (queued.as_secs_f64() - self.age) * WEIGHT;
        self.count += 1;
        self.last = now;
        let elapsed = now.duration_since(self.window);
        if elapsed >= WINDOW {
            self.rate = f64::from(self.count) / elapsed.as_secs_f64();
            (self.window, self.count) = (now, 0);
        }
    }

    /// How long a command sent now may wait behind so many others: their number by the rate, or the age of the
    /// queue, whichever is more. Nothing if nothing is known.
    pub(super) fn backlog(&self, pending: usize, now: Instant) -> Duration {
        if now.duration_since(self.last) > STALE {
            return Duration::ZERO;
        }
        let pending = f64::from(u32::try_from(pending).unwrap_or(u32::MAX));
        let drained = if self.rate > 0.0 { pending / self.rate } else { 0.0 };
        Duration::try_from_secs_f64(self.age.max(drained)).unwrap_or(STALE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_as_long_as_it_takes_to_drain() {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        for _ in 0..200 {
            now += Duration::from_millis(10);
            pace.replied(Duration::from_millis(5), now);
        }
        let backlog = pace.backlog(500, now);
        assert!((4.5..5.5).contains(&backlog.as_secs_f64()), "500 at 100 a second: {backlog:?}");
        assert!(pace.backlog(0, now) < Duration::from_millis(6));
        for _ in 0..50 {
            pace.replied(Duration::from_secs(8), now);
        }
        assert!(pace.backlog(0, now) > Duration::from_secs(7), "an old queue");
        assert_eq!(pace.backlog(500, now + STALE * 2), Duration::ZERO);
    }
}
