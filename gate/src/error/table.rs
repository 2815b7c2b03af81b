//! Every problem with its status, type and outcome, in one table.

use super::{AccessError, ApiError, Effect, RequestError, ServiceError, problem::TYPE_PREFIX};
use crate::sessions::SessionsError;
use axum::response::IntoResponse;
use bus::{BusError, Clock};
use messages::{CollectionName, Rejection};
use std::time::Duration;

const API_MD: &str = include_str!("../../../docs/api.md");
const OPENAPI: &str = include_str!("../../openapi.json");

type Row = (ApiError, u16, &'static str, Effect);

fn text() -> String {
    "why".to_owned()
}

fn requests() -> Vec<Row> {
    use Effect::NotExecuted;
    use RequestError as E;
    let name = "/".parse::<CollectionName>().unwrap_err();
    let rows = [
        (E::UnknownPath, 404, "unknown-path"),
        (E::MethodNotAllowed, 405, "method-not-allowed"),
        (E::UriTooLong { limit: 1 }, 414, "uri-too-long"),
        (E::InvalidName(name), 400, "invalid-name"),
        (E::InvalidQuery { detail: text() }, 400, "invalid-query"),
        (E::InvalidCursor, 400, "invalid-cursor"),
        (E::InvalidHeader { header: "If-Match", detail: text() }, 400, "invalid-header"),
        (E::UnsupportedMediaType { accepted: &["application/json"] }, 415, "unsupported-media-type"),
        (E::MalformedJson { line: 1, column: 2, detail: text() }, 400, "malformed-json"),
        (E::InvalidDocument { pointer: text(), detail: text() }, 422, "invalid-document"),
        (E::BodyTooLarge { limit: 1 }, 413, "too-large"),
        (E::BodyTimedOut, 408, "body-timed-out"),
        (E::BodyBrokeOff, 400, "body-broke-off"),
        (E::OperationNotFound, 404, "operation-not-found"),
        (E::OperationGone, 410, "operation-gone"),
        (E::OperationNotCancelled { status: text() }, 409, "operation-not-cancelled"),
        (E::LetterNotFound, 404, "dead-letter-not-found"),
        (E::NotReplayable { detail: "why" }, 409, "not-replayable"),
        (E::SessionNotFound, 404, "session-not-found"),
    ];
    rows.into_iter().map(|(error, status, kind)| (error.into(), status, kind, NotExecuted)).collect()
}

fn access() -> Vec<Row> {
    use AccessError as E;
    use Effect::NotExecuted;
    let rows = [
        (E::Unauthenticated, 401, "unauthenticated"),
        (E::BadCredentials, 401, "bad-credentials"),
        (E::CrossSite, 403, "cross-site"),
        (E::Forbidden { detail: "why" }, 403, "forbidden"),
        (E::TooManyAttempts { seconds: 7 }, 429, "too-many-attempts"),
    ];
    rows.into_iter().map(|(error, status, kind)| (error.into(), status, kind, NotExecuted)).collect()
}

fn service() -> Vec<Row> {
    use Effect::{NotExecuted, Unknown};
    use ServiceError as E;
    let down = || SessionsError::Unavailable(text());
    let bus = |error: BusError| ApiError::from(error);
    vec![
        (down().into(), 503, "sessions-unavailable", NotExecuted),
        (bus(BusError::Unreachable(text())), 503, "queue-unavailable", NotExecuted),
        (bus(BusError::Unroutable(text())), 503, "queue-unavailable", NotExecuted),
        (bus(BusError::Refused(text())), 503, "queue-unavailable", NotExecuted),
        (bus(BusError::Unattended(Duration::ZERO)), 503, "queue-unavailable", NotExecuted),
        (bus(BusError::Closed), 503, "queue-unavailable", NotExecuted),
        (bus(BusError::TimedOut(Duration::ZERO)), 504, "outcome-unknown", Unknown),
        (bus(BusError::Broken("why".into())), 504, "outcome-unknown", Unknown),
        (E::ReadTimedOut(BusError::Closed).into(), 504, "read-timed-out", NotExecuted),
        (E::Overloaded { seconds: 3 }.into(), 503, "overloaded", NotExecuted),
        (E::TooLate { by: Duration::ZERO }.into(), 503, "too-late", NotExecuted),
        (E::ClockOff(Clock::Ahead(Duration::from_secs(5))).into(), 503, "clock-off", NotExecuted),
        (ApiError::internal("secret"), 500, "internal", Unknown),
    ]
}

fn rejections() -> Vec<Row> {
    use Effect::{NotExecuted, Rejected};
    use Rejection as R;
    let (collection, record) = ("orders".parse().unwrap(), "a".parse().unwrap());
    let missing = |collection| R::RecordNotFound { collection, record: "a".parse().unwrap() };
    let rows = [
        (R::CollectionNotFound { collection }, 404, "collection-not-found", Rejected),
        (missing("orders".parse().unwrap()), 404, "record-not-found", Rejected),
        (missing(CollectionName::collections()), 404, "collection-not-found", Rejected),
        (missing(CollectionName::users()), 404, "user-not-found", Rejected),
        (R::RecordExists { record }, 409, "record-exists", Rejected),
        (R::PreconditionFailed { current: None }, 412, "precondition-failed", Rejected),
        (R::PatchFailed { detail: text() }, 409, "patch-failed", Rejected),
        (R::DocumentInvalid { pointer: text(), detail: text() }, 422, "invalid-document", Rejected),
        (R::DocumentTooLarge { limit: 1 }, 413, "too-large", Rejected),
        (R::Forbidden { detail: text() }, 403, "forbidden", Rejected),
        (R::SessionRevoked, 401, "unauthenticated", NotExecuted),
        (R::IdempotencyKeyReused, 422, "idempotency-key-reused", Rejected),
        (R::Expired, 503, "expired", NotExecuted),
        (R::Unsupported, 503, "unsupported", NotExecuted),
        (R::Cancelled, 409, "cancelled", NotExecuted),
        (R::Dead, 500, "dead", NotExecuted),
    ];
    rows.into_iter().map(|(error, status, kind, effect)| (error.into(), status, kind, effect)).collect()
}

#[test]
fn every_problem_has_its_status_type_and_outcome_and_is_documented() {
    for (error, status, kind, outcome) in
        [requests(), access(), service(), rejections()].into_iter().flatten()
    {
        let problem = error.problem();
        assert_eq!((problem.status.as_u16(), problem.kind, problem.outcome), (status, kind, outcome));
        let body = serde_json::to_value(&problem).unwrap();
        assert_eq!(body["type"], format!("{TYPE_PREFIX}{kind}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["outcome"], serde_json::to_value(outcome).unwrap());
        assert!(!body.to_string().contains("secret"));
        let retry = problem.headers.contains_key("retry-after");
        assert_eq!(retry, matches!(status, 429 | 503) || kind == "read-timed-out", "{kind}");
        assert_eq!(problem.headers.contains_key("www-authenticate"), status == 401, "{kind}");
        assert!(API_MD.contains(&format!("`{kind}`")), "docs/api.md does not tell of {kind}");
        assert!(
            OPENAPI.contains(&format!("`{kind}`")) || kind == "unknown-path",
            "{kind} is not in openapi.json"
        );
        let response = error.into_response();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}

#[test]
fn an_unknown_outcome_says_where_to_ask() {
    let (source, operation) = (BusError::TimedOut(Duration::ZERO), Some("/v1/operations/x".to_owned()));
    let error = ApiError::from(ServiceError::OutcomeUnknown { source, operation });
    let problem = error.problem();
    assert_eq!(problem.headers["location"], "/v1/operations/x");
    assert_eq!(problem.members["operation"], "/v1/operations/x");
}

#[test]
fn a_media_type_that_is_refused_is_answered_with_those_that_are_not() {
    let refused = |accepted| RequestError::UnsupportedMediaType { accepted }.problem().headers;
    assert_eq!(refused(&["application/json"])["accept"], "application/json");
    let patches = refused(&["application/merge-patch+json", "application/json-patch+json"]);
    assert_eq!(patches["accept-patch"], "application/merge-patch+json, application/json-patch+json");
}
