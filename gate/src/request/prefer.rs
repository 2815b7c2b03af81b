//! What a client would like to be answered (RFC 7240).

use http::{HeaderMap, HeaderValue};
use messages::record::Answer;

/// Says that a preference was honoured.
pub(crate) const APPLIED: (&str, HeaderValue) =
    ("preference-applied", HeaderValue::from_static("return=representation"));

/// `return=representation`, or its absence. Preferences that are unknown are ignored, as the RFC wants it.
pub(crate) fn answer(headers: &HeaderMap) -> Answer {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(',')).map(|one| {
        let (name, value) = one.split(';').next().unwrap_or_default().split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned()))
    });
    // Of repeated preferences the first counts.
    match preferences.find_map(|one| one.filter(|(name, _)| name == "return")) {
        Some((_, value)) if value == "representation" => Answer::Document,
        _ => Answer::Minimal,
    }
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
