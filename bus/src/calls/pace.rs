//! How fast replies come: what a client that is turned away is told to wait.

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// Replies are counted over this time.
const WINDOW: Duration = Duration::from_millis(500);
/// What was seen longer ago says nothing about now.
const STALE: Duration = Duration::from_secs(10);
/// So many reads tell how long they take.
const RECENT: usize = 32;
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
        if elapsed >= 2 * WINDOW {
            // Nothing was to be done for a while, or all of it is slow, which its age tells: neither is a rate.
            (self.rate, self.window, self.count) = (0.0, now, 0);
        } else if elapsed >= WINDOW {
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

/// How long reads took lately.
#[derive(Debug, Default)]
pub(super) struct Latency {
    recent: VecDeque<Duration>,
    last: Option<Instant>,
}

impl Latency {
    /// One was answered after so long.
    pub(super) fn took(&mut self, time: Duration, now: Instant) {
        self.recent.truncate(RECENT - 1);
        self.recent.push_front(time);
        self.last = Some(now);
    }

    /// The lower quartile: of what is lost and asked again, half does not make it longer, but where all wait, it is long. Nothing
    /// if nothing is known.
    pub(super) fn usual(&self, now: Instant) -> Duration {
        if self.last.is_none_or(|last| now.duration_since(last) > STALE) {
            return Duration::ZERO;
        }
        let mut recent: Vec<Duration> = self.recent.iter().copied().collect();
        let quarter = recent.len() / 4;
        *recent.select_nth_unstable(quarter).1
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

    #[test]
    fn a_time_in_which_nothing_was_asked_is_no_backlog() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        pace.replied(Duration::from_millis(5), began + Duration::from_mins(1));
        assert!(pace.backlog(1_000, began + Duration::from_mins(1)) < Duration::from_secs(1));
    }

    #[test]
    fn reads_are_slow_where_all_are_slow_and_not_where_half_are_lost() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        assert_eq!(latency.usual(now), Duration::ZERO);
        let [quick, slow] = [5, 2_000].map(Duration::from_millis);
        for number in 0..100 {
            latency.took(if number % 2 == 0 { quick } else { slow }, now);
        }
        assert_eq!(latency.usual(now), quick);
        for _ in 0..30 {
            latency.took(slow, now);
        }
        assert_eq!(latency.usual(now), slow);
        assert_eq!(latency.usual(now + STALE * 2), Duration::ZERO);
    }
}
