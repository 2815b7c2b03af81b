//! Whether anybody takes what is sent.

use crate::Lane;
use std::time::Duration;
use tokio::time::Instant;

/// How often a bus looks.
pub(crate) const LOOKED_EVERY: Duration = Duration::from_secs(1);
/// Those that workers leave when they can do nothing at all.
pub(crate) const LANES: [Lane; 2] = [Lane::Write, Lane::Read];
/// Workers may be away for so long without a command being refused: it waits for the next one.
const ABSENCE: Duration = Duration::from_secs(5);
/// What was seen longer ago tells nothing about now.
const STALE: Duration = Duration::from_secs(4);

/// Since when no worker has consumed, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Attendance(Option<Absence>);

#[derive(Debug)]
struct Absence {
    since: Instant,
    seen: Instant,
}

impl Attendance {
    /// Somebody consumes, or nobody does.
    pub(super) fn seen(&mut self, consumed: bool, now: Instant) {
        let since = self.lately(now).map_or(now, |absence| absence.since);
        self.0 = (!consumed).then_some(Absence { since, seen: now });
    }

    /// For how long nobody has, if that is long, and was seen lately.
    pub(super) fn absence(&self, now: Instant) -> Option<Duration> {
        let absence = self.lately(now).map(|absence| now.duration_since(absence.since));
        absence.filter(|absence| *absence >= ABSENCE)
    }

    fn lately(&self, now: Instant) -> Option<&Absence> {
        self.0.as_ref().filter(|absence| now.duration_since(absence.seen) < STALE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_is_seen_again_and_again_and_ends_at_once() {
        let (mut attendance, start, second) = (Attendance::default(), Instant::now(), Duration::from_secs(1));
        assert_eq!(attendance.absence(start + ABSENCE), None, "nothing is known");
        for look in 0..5 {
            attendance.seen(false, start + second * look);
            assert_eq!(attendance.absence(start + second * look), None);
        }
        assert_eq!(attendance.absence(start + ABSENCE), Some(ABSENCE));
        assert_eq!(attendance.absence(start + ABSENCE + STALE), None, "nobody has looked since");
        attendance.seen(false, start + ABSENCE + STALE);
        assert_eq!(attendance.absence(start + ABSENCE * 2), None, "it begins anew");
        attendance.seen(true, start + ABSENCE * 2);
        attendance.seen(false, start + ABSENCE * 2);
        assert_eq!(attendance.absence(start + ABSENCE * 2 + second), None);
    }
}
