//! What a storage worker refused.

use super::{AccessError, Effect, Problem, RequestError};
use http::{StatusCode, header};
use messages::{CollectionName, RecordId, Rejection};

pub(super) fn problem(rejection: &Rejection) -> Problem {
    match rejection {
        Rejection::CollectionNotFound { collection } => no_collection(collection.as_str()),
        Rejection::RecordNotFound { collection, record } => no_record(collection, record),
        Rejection::RecordExists { record } => {
            refuse(StatusCode::CONFLICT, "record-exists", "The id is taken", "a record has this id already")
                .member("record", record.as_str())
        }
        Rejection::PreconditionFailed { current } => {
            let problem = refuse(
                StatusCode::PRECONDITION_FAILED,
                "precondition-failed",
                "A precondition does not hold",
                "the record is not as the conditional headers say; ETag names what is there, if anything is",
            );
            match current {
                Some(tag) => problem.member("etag", tag.to_string()).header(header::ETAG, &tag.to_string()),
                None => problem,
            }
        }
        Rejection::PatchFailed { detail } => {
            refuse(StatusCode::CONFLICT, "patch-failed", "The patch does not apply", detail)
        }
        Rejection::DocumentInvalid { pointer, detail } => {
            refuse(StatusCode::UNPROCESSABLE_ENTITY, "invalid-document", "Invalid document", detail)
                .member("pointer", pointer.as_str())
        }
        Rejection::DocumentTooLarge { limit } => refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "Too large",
            format!("the patched document would be longer than {limit} bytes"),
        )
        .member("limit", *limit),
        Rejection::Forbidden { detail } => refuse(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail),
        Rejection::SessionRevoked => AccessError::Unauthenticated.problem(),
        Rejection::IdempotencyKeyReused => refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "The Idempotency-Key was used for another request",
            "a key stands for one request: same method, path, body and conditions",
        ),
        Rejection::Expired | Rejection::Cancelled | Rejection::Dead | Rejection::Unsupported => {
            unexecuted(rejection)
        }
    }
}

/// What was never judged.
fn unexecuted(rejection: &Rejection) -> Problem {
    match rejection {
        Rejection::Expired => not_executed(
            "expired",
            "Not executed in time",
            "the command was not carried out before its deadline and never takes effect; another try takes \
             another Idempotency-Key, if this one had one",
        ),
        Rejection::Cancelled => Problem::new(
            StatusCode::CONFLICT,
            "cancelled",
            "Cancelled",
            Effect::NotExecuted,
            "the operation was cancelled before it took effect and never will",
        ),
        Rejection::Dead => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "dead",
            "Failed too often",
            Effect::NotExecuted,
            "no storage worker could carry the command out; it has no effect unless an operator replays it",
        ),
        _ => not_executed(
            "unsupported",
            "Not supported by the storage worker",
            "the storage worker is of a version that does not know the command; it never takes effect",
        ),
    }
}

/// A collection that is not there, or that the client may not know of.
fn no_collection(name: &str) -> Problem {
    refuse(
        StatusCode::NOT_FOUND,
        "collection-not-found",
        "No such collection",
        format!("create it first: PUT /v1/collections/{name} with {{}} as body"),
    )
    .member("collection", name)
}

/// Records of system collections are known to clients by other names.
fn no_record(collection: &CollectionName, record: &RecordId) -> Problem {
    if *collection == CollectionName::collections() {
        return no_collection(record.as_str());
    }
    if *collection == CollectionName::dead_letters() {
        return RequestError::LetterNotFound.problem();
    }
    if *collection == CollectionName::users() {
        return refuse(
            StatusCode::NOT_FOUND,
            "user-not-found",
            "No such account",
            "no account has this name",
        )
        .member("user", record.as_str());
    }
    refuse(StatusCode::NOT_FOUND, "record-not-found", "No such record", "the collection has no such record")
        .member("collection", collection.as_str())
        .member("record", record.as_str())
}

fn refuse(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(status, kind, title, Effect::Rejected, detail)
}

fn not_executed(kind: &'static str, title: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, Effect::NotExecuted, detail).retry_after(1)
}
