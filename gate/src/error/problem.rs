//! A problem document (RFC 9457).

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

/// Before the last part of every problem's `type`.
pub(crate) const TYPE_PREFIX: &str = "urn:penstock:problem:";

/// What is certain about the command that the request stood for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    /// It had no effect and never will have one.
    NotExecuted,
    /// It was judged and refused.
    Rejected,
    /// It may have had an effect, or have one yet.
    Unknown,
}

/// What the log is told of a failure, in the extensions of its response.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: &'static str,
    pub(crate) effect: Effect,
    pub(crate) cause: Option<Cause>,
}

/// Why the service failed: not for clients.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) gravity: Gravity,
    pub(crate) text: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gravity {
    /// It passes by itself.
    Mishap,
    /// Somebody must see to it.
    Fault,
}

/// A problem document, and the headers that go with it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type", serialize_with = "with_prefix")]
    pub(crate) kind: &'static str,
    pub(crate) title: &'static str,
    #[serde(serialize_with = "as_number")]
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
    pub(crate) outcome: Effect,
    #[serde(flatten)]
    pub(crate) members: Map<String, Value>,
    #[serde(skip)]
    pub(crate) headers: HeaderMap,
}

impl Problem {
    /// A problem of a kind; `kind` is the last part of its `type`.
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        outcome: Effect,
        detail: impl Into<String>,
    ) -> Self {
        let (members, headers) = (Map::new(), HeaderMap::new());
        Self { kind, title, status, detail: detail.into(), outcome, members, headers }
    }

    /// With one more member.
    #[must_use]
    pub(crate) fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// With one more header; a value that cannot stand in a header is left out.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// With the number of seconds after which to try again.
    #[must_use]
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, &seconds.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let failure = Failure { kind: self.kind, effect: self.outcome, cause: None };
        response.extensions_mut().insert(failure);
        response
    }
}

fn with_prefix<S: serde::Serializer>(kind: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{TYPE_PREFIX}{kind}"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
