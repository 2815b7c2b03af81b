//! What a client would like to be answered, and when (RFC 7240).

use http::{HeaderMap, HeaderValue};
use messages::record::Answer;
use std::time::Duration;

/// Says that a preference was honoured.
pub(crate) const APPLIED: (&str, HeaderValue) =
    ("preference-applied", HeaderValue::from_static("return=representation"));
/// The longest that a client may wait for what is deferred.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// When a client would like to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// When the outcome is there.
    Direct,
    /// Once the command is sure to be kept, and at best with its outcome, if that comes within this time.
    Deferred(Duration),
}

/// `return=representation`, or its absence. Preferences that are unknown are ignored, as the RFC wants it.
pub(crate) fn answer(headers: &HeaderMap) -> Answer {
    match find(headers, "return").as_deref() {
        Some("representation") => Answer::Document,
        _ => Answer::Minimal,
    }
}

/// `respond-async`, and `wait` in seconds, which implies it; a `wait` that is no number is ignored.
pub(crate) fn course(headers: &HeaderMap) -> Course {
    let wait = find(headers, "wait").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    match (wait, find(headers, "respond-async")) {
        (None, None) => Course::Direct,
        (wait, _) => Course::Deferred(wait.unwrap_or_default().min(LONGEST_WAIT)),
    }
}

/// The value of a preference; of repeated ones the first counts.
fn find(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(',')).map(|one| {
        let one = one.split(';').next().unwrap_or_default();
        let (name, value) = one.split_once('=').unwrap_or((one, ""));
        (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
    });
    preferences.find_map(|(name, value)| (name == wanted).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_return_preference_counts() {
        for (value, expected) in [
            ("return=representation", Answer::Document),
            ("wait=5, Return = \"representation\"; x=y", Answer::Document),
            ("return=minimal, return=representation", Answer::Minimal),
            ("respond-async", Answer::Minimal),
            ("", Answer::Minimal),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", value.parse().unwrap());
            assert_eq!(answer(&headers), expected, "{value}");
        }
    }
}
