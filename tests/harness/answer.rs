//! What the service said.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer, and what it answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    what: String,
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(what: String, status: u16, headers: HeaderMap, body: Vec<u8>) -> Self {
        Self { what, status, headers, body }
    }

    /// Asserts the status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.told());
        self
    }

    /// Asserts a problem document (RFC 9457) of this status, kind and outcome.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, kind: &str, outcome: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.told());
        let problem = answer.json();
        assert_eq!(problem["type"], format!("urn:penstock:problem:{kind}"), "{}", answer.told());
        assert_eq!(problem["outcome"], outcome, "{}", answer.told());
        assert_eq!(problem["status"], status, "{}", answer.told());
        for member in ["title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{}", answer.told());
        }
        answer
    }

    /// Whether this is a success.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.told()))
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// A header that must be there.
    #[track_caller]
    pub(crate) fn expect_header(&self, name: &str) -> String {
        self.header(name).unwrap_or_else(|| panic!("no {name}: {}", self.told())).to_owned()
    }

    #[track_caller]
    pub(crate) fn etag(&self) -> String {
        self.expect_header("etag")
    }

    /// The version that the header `Record-Version` says.
    #[track_caller]
    pub(crate) fn version(&self) -> i64 {
        self.expect_header("record-version").parse().unwrap()
    }

    /// The problem's kind, if this is one.
    pub(crate) fn kind(&self) -> Option<String> {
        let problem: Value = serde_json::from_slice(&self.body).ok()?;
        Some(problem["type"].as_str()?.strip_prefix("urn:penstock:problem:")?.to_owned())
    }

    /// Question and answer, for a human.
    pub(crate) fn told(&self) -> String {
        let Self { what, status, headers, body } = self;
        format!("{what}: {status} {headers:?}\n{}", String::from_utf8_lossy(body))
    }
}
