//! When the time of a request began.

use http::HeaderMap;
use messages::{Timestamp, time::MAX_CLOCK_SKEW};
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// Set by the proxy that takes the request in, like the edge. A gate that stood still finds requests that have waited
/// for it unread, some of which their clients have given up: it cannot tell by itself.
const HEADER: &str = "x-request-start";
/// How often a proxy whose clock is ahead is complained of.
const COMPLAINS_EVERY: Duration = Duration::from_secs(60);
/// When it last was, in microseconds since the Unix epoch.
static COMPLAINED: AtomicI64 = AtomicI64::new(0);

/// When a request that is read now was taken in: as its proxy says, whose clock may be off by [`MAX_CLOCK_SKEW`], or now.
///
/// `X-Request-Start` has no standard. Proxies write seconds, milliseconds or microseconds since the Unix epoch, with or without a `t=` and a
/// fraction; which, tells the number's size (as New Relic has it: "Request queuing").
pub(super) fn began(headers: &HeaderMap, now: Timestamp) -> Timestamp {
    let text = headers.get(HEADER).and_then(|value| value.to_str().ok());
    let start = text.and_then(|text| micros(text.trim().strip_prefix("t=").unwrap_or(text.trim())));
    let Some(start) = start.map(Timestamp::from_micros) else { return now };
    let ahead = now.until(start);
    if ahead > MAX_CLOCK_SKEW && is_due(&COMPLAINED, now) {
        tracing::warn!(
            event.action = "clock-compared",
            "the clock of the proxy before this gate is {ahead:.1?} ahead: what waits unread is done so much too late (is NTP running there?)"
        );
    }
    start.after(MAX_CLOCK_SKEW).min(now)
}

/// Whether so much time has gone by since it last was.
fn is_due(last: &AtomicI64, now: Timestamp) -> bool {
    let before = last.load(Ordering::Relaxed);
    let is_due = Timestamp::from_micros(before).until(now) >= COMPLAINS_EVERY;
    is_due && last.compare_exchange(before, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

fn micros(text: &str) -> Option<i64> {
    let number: f64 = text.parse().ok()?;
    let micros = match number {
        1e8..1e11 => number * 1e6,
        1e11..1e14 => number * 1e3,
        1e14..1e17 => number,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "less than 1e17")]
    Some(micros as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_told_once_a_minute() {
        let (last, now) = (AtomicI64::new(0), Timestamp::from_micros(1_795_846_700_000_000));
        let due = [0, 1, 59, 60, 61].map(|seconds| is_due(&last, now.after(Duration::from_secs(seconds))));
        assert_eq!(due, [true, false, false, true, false]);
    }

    #[test]
    fn a_request_begins_when_its_proxy_took_it_in() {
        let now = Timestamp::from_micros(1_795_846_700_000_000);
        let began = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, text.parse().unwrap());
            super::began(&headers, now).until(now)
        };
        // Twenty seconds ago, of which one is forgiven.
        for text in ["t=1795846680000000", "1795846680000", "t=1795846680.000", " 1795846680 "] {
            assert_eq!(began(text), Duration::from_secs(19), "{text}");
        }
        assert_eq!(began("t=1795846699500000"), Duration::ZERO, "within what clocks may differ");
        for text in ["t=1795846999000000", "t=", "yesterday", "-1795846680", "NaN", "inf", "7", "1e300"] {
            assert_eq!(began(text), Duration::ZERO, "{text}");
        }
    }
}
