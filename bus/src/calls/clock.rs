//! Whether this process's clock agrees with those of the workers that reply to it.
//!
//! A reply says when it was made. That lies between the sending of the command and the arrival of the reply, so a
//! clock that puts it outside of them, by more than clocks may differ, is certainly off; no latency is mistaken for
//! an offset.

use messages::{Timestamp, time::MAX_CLOCK_SKEW};
use std::{fmt, time::Duration};

/// So many replies in a row must say that the clock is off: one of them may come from a worker whose own is.
const WITNESSES: u32 = 3;

/// How the clock of this process compares with those of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// No reply has come yet.
    Unknown,
    /// They differ by less than [`MAX_CLOCK_SKEW`], as far as can be seen.
    Agrees,
    /// This one is ahead, by this much at least.
    Ahead(Duration),
    /// This one is behind, by this much at least.
    Behind(Duration),
}

impl Clock {
    /// Whether deadlines of this process's making cannot be trusted.
    pub fn is_off(self) -> bool {
        matches!(self, Self::Ahead(_) | Self::Behind(_))
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not compared with the clocks of storage workers yet"),
            Self::Agrees => f.write_str("agrees with the clocks of storage workers"),
            Self::Ahead(by) => write!(f, "{by:.1?} ahead of the clocks of storage workers"),
            Self::Behind(by) => write!(f, "{by:.1?} behind the clocks of storage workers"),
        }
    }
}

/// What replies have said so far.
#[derive(Debug)]
pub(super) struct Comparison {
    clock: Clock,
    witnesses: u32,
}

impl Default for Comparison {
    fn default() -> Self {
        Self { clock: Clock::Unknown, witnesses: 0 }
    }
}

impl Comparison {
    /// Judges a reply that was made at `done`, to a command of `sent`, received at `now`.
    pub(super) fn judge(&mut self, sent: Timestamp, done: Timestamp, now: Timestamp) -> Clock {
        let (earliest, latest) = (done.after(MAX_CLOCK_SKEW), now.after(MAX_CLOCK_SKEW));
        let found = if earliest < sent {
            Clock::Ahead(done.until(sent))
        } else if latest < done {
            Clock::Behind(now.until(done))
        } else {
            Clock::Agrees
        };
        self.witnesses = if found.is_off() { self.witnesses + 1 } else { 0 };
        if !found.is_off() || self.witnesses >= WITNESSES {
            self.clock = found;
        }
        self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000 + millis * 1000)
    }

    #[test]
    fn a_slow_reply_is_no_offset() {
        let mut comparison = Comparison::default();
        assert_eq!(comparison.judge(at(0), at(9_000), at(9_001)), Clock::Agrees);
        assert_eq!(comparison.judge(at(0), at(1), at(9_000)), Clock::Agrees);
        assert_eq!(comparison.judge(at(0), at(-900), at(10)), Clock::Agrees);
    }

    #[test]
    fn a_clock_that_is_off_is_found_out_by_several_replies_and_forgiven_by_one() {
        let mut comparison = Comparison::default();
        assert_eq!(comparison.judge(at(5_000), at(10), at(5_020)), Clock::Unknown);
        assert_eq!(comparison.judge(at(5_000), at(10), at(5_020)), Clock::Unknown);
        assert_eq!(
            comparison.judge(at(5_000), at(10), at(5_020)),
            Clock::Ahead(Duration::from_millis(4_990))
        );
        assert_eq!(comparison.judge(at(0), at(10), at(20)), Clock::Agrees);
        for _ in 0..2 {
            assert_eq!(comparison.judge(at(0), at(3_600_000), at(20)), Clock::Agrees);
        }
        assert_eq!(
            comparison.judge(at(0), at(3_600_000), at(20)),
            Clock::Behind(Duration::from_millis(3_599_980))
        );
    }
}
