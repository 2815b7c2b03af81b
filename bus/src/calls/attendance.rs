//! Whether anybody takes what is sent.

use std::time::Duration;
use tokio::time::Instant;

/// Workers may be away for so long without a command being refused: it waits for the next one.
const ABSENCE: Duration = Duration::from_secs(5);

/// Since when no worker has consumed any lane, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Attendance(Option<Instant>);

impl Attendance {
    /// Somebody consumes, or nobody does.
    pub(super) fn seen(&mut self, consumed: bool, now: Instant) {
        self.0 = if consumed { None } else { self.0.or(Some(now)) };
    }

    /// For how long nobody has, if that is long.
    pub(super) fn absence(&self, now: Instant) -> Option<Duration> {
        self.0.map(|since| now.duration_since(since)).filter(|absence| *absence >= ABSENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_counts_from_when_it_was_first_seen_and_ends_at_once() {
        let (mut attendance, start) = (Attendance::default(), Instant::now());
        assert_eq!(attendance.absence(start + ABSENCE), None, "nothing is known");
        attendance.seen(false, start);
        attendance.seen(false, start + ABSENCE / 2);
        assert_eq!(attendance.absence(start + ABSENCE / 2), None);
        assert_eq!(attendance.absence(start + ABSENCE), Some(ABSENCE));
        attendance.seen(true, start + ABSENCE);
        assert_eq!(attendance.absence(start + ABSENCE * 2), None);
    }
}
