//! Requests that cannot be understood or accepted. None of them becomes a command.

use super::{Effect, Problem};
use http::{StatusCode, header};
use messages::{InvalidName, document::DocumentError};

/// Why a request is no command.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// No such path.
    UnknownPath,
    /// The path does not know the method. The router adds `Allow`.
    MethodNotAllowed,
    /// The target is longer than this many bytes.
    UriTooLong { limit: usize },
    /// A name or id in the path is not one.
    InvalidName(InvalidName),
    /// A query parameter is not understood.
    InvalidQuery { detail: String },
    /// A cursor is not one of ours, or belongs to another list.
    InvalidCursor,
    /// A header is not understood.
    InvalidHeader { header: &'static str, detail: String },
    /// The body is of another media type than these.
    UnsupportedMediaType { accepted: &'static [&'static str] },
    /// The body is not JSON.
    MalformedJson { line: usize, column: usize, detail: String },
    /// The body is JSON, but not what may stand here.
    InvalidDocument { pointer: String, detail: String },
    /// The body is longer than this many bytes.
    BodyTooLarge { limit: usize },
    /// The body did not arrive in time.
    BodyTimedOut,
    /// The body broke off.
    BodyBrokeOff,
    /// No such operation, or not one of this client.
    OperationNotFound,
    /// The operation is older than its receipt.
    OperationGone,
    /// The operation was settled before it could be cancelled, or cannot be cancelled yet.
    OperationNotCancelled { status: String },
    /// No such dead letter.
    LetterNotFound,
    /// A dead letter that cannot be carried out as it is.
    NotReplayable { detail: &'static str },
    /// No such session, or not one of this client.
    SessionNotFound,
}

impl From<DocumentError> for RequestError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Malformed { line, column, detail } => Self::MalformedJson { line, column, detail },
            DocumentError::TooDeep { pointer } => Self::InvalidDocument {
                pointer,
                detail: format!("nested deeper than {} levels", messages::document::MAX_DEPTH),
            },
            DocumentError::NotInterchangeable { pointer, detail } => {
                Self::InvalidDocument { pointer, detail }
            }
        }
    }
}

impl RequestError {
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::UnknownPath => refuse(
                StatusCode::NOT_FOUND,
                "unknown-path",
                "No such path",
                "/ lists the paths of this service",
            ),
            Self::MethodNotAllowed => refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "the Allow header lists the methods of this path",
            ),
            Self::UriTooLong { limit } => refuse(
                StatusCode::URI_TOO_LONG,
                "uri-too-long",
                "Request target too long",
                format!("path and query together are at most {limit} bytes"),
            )
            .member("limit", *limit),
            Self::InvalidName(error) => {
                refuse(StatusCode::BAD_REQUEST, "invalid-name", "Invalid name", error.to_string())
            }
            Self::InvalidQuery { detail } => {
                refuse(StatusCode::BAD_REQUEST, "invalid-query", "Invalid query parameter", detail)
            }
            Self::InvalidCursor => refuse(
                StatusCode::BAD_REQUEST,
                "invalid-cursor",
                "Invalid cursor",
                "a cursor is taken as it is from `next` of the same list; begin again without one",
            ),
            Self::InvalidHeader { header, detail } => {
                refuse(StatusCode::BAD_REQUEST, "invalid-header", "Invalid header", detail)
                    .member("header", *header)
            }
            _ => self.about_what_is_named(),
        }
    }

    /// What the path names is not there, or not so that this can be done to it.
    fn about_what_is_named(&self) -> Problem {
        match self {
            Self::OperationNotFound => refuse(
                StatusCode::NOT_FOUND,
                "operation-not-found",
                "No such operation",
                "an operation's address is taken as it is from Location, and only its own client may ask",
            ),
            Self::OperationGone => refuse(
                StatusCode::GONE,
                "operation-gone",
                "The operation is too old",
                "its receipt is no longer kept; read the record itself",
            ),
            Self::OperationNotCancelled { status } => refuse(
                StatusCode::CONFLICT,
                "operation-not-cancelled",
                "The operation is not cancelled",
                "it was settled before, or its deadline comes first; GET tells what became of it",
            )
            .member("operation_status", status.as_str()),
            Self::LetterNotFound => refuse(
                StatusCode::NOT_FOUND,
                "dead-letter-not-found",
                "No such dead letter",
                "it was replayed or discarded, or was never there",
            ),
            Self::NotReplayable { detail } => {
                refuse(StatusCode::CONFLICT, "not-replayable", "The letter cannot be replayed", *detail)
            }
            Self::SessionNotFound => refuse(
                StatusCode::NOT_FOUND,
                "session-not-found",
                "No such session",
                "it has ended, or it is not yours; GET /v1/sessions lists yours",
            ),
            _ => self.body_problem(),
        }
    }

    fn body_problem(&self) -> Problem {
        match self {
            Self::UnsupportedMediaType { accepted } => refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Unsupported media type",
                format!("Content-Type is {}", accepted.join(" or ")),
            )
            .header(
                if accepted.len() > 1 {
                    header::HeaderName::from_static("accept-patch")
                } else {
                    header::ACCEPT
                },
                &accepted.join(", "),
            ),
            Self::MalformedJson { line, column, detail } => {
                refuse(StatusCode::BAD_REQUEST, "malformed-json", "Malformed JSON", detail)
                    .member("line", *line)
                    .member("column", *column)
            }
            Self::InvalidDocument { pointer, detail } => {
                refuse(StatusCode::UNPROCESSABLE_ENTITY, "invalid-document", "Invalid document", detail)
                    .member("pointer", pointer.as_str())
            }
            Self::BodyTooLarge { limit } => refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "Too large",
                format!("a body is at most {limit} bytes here"),
            )
            .member("limit", *limit),
            Self::BodyTimedOut => refuse(
                StatusCode::REQUEST_TIMEOUT,
                "body-timed-out",
                "The body came too slowly",
                "the whole body must arrive within the service's time-out",
            )
            .header(header::CONNECTION, "close"),
            _ => refuse(
                StatusCode::BAD_REQUEST,
                "body-broke-off",
                "The body broke off",
                "the connection or its framing failed before the body was complete",
            )
            .header(header::CONNECTION, "close"),
        }
    }
}

fn refuse(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(status, kind, title, Effect::NotExecuted, detail)
}
