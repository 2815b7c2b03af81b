//! How records stand in answers.

use crate::{error::ApiError, request::prefer};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use messages::{Document, ETag, Record, Timestamp, Version, outcome::RecordWritten};
use serde::Serialize;

/// What became of a record.
#[derive(Serialize)]
pub(crate) struct Written<'a> {
    pub(crate) id: &'a str,
    pub(crate) version: Version,
    pub(crate) etag: ETag,
}

impl<'a> From<&'a RecordWritten> for Written<'a> {
    fn from(written: &'a RecordWritten) -> Self {
        Self { id: written.id.as_str(), version: written.etag.version, etag: written.etag }
    }
}

/// RFC 3339, UTC.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(time.as_micros());
    time.map_or_else(|_| String::new(), |time| format!("{time:.6}"))
}

/// The headers that describe one version of a record.
pub(crate) fn describe(headers: &mut HeaderMap, tag: ETag, modified: Timestamp) {
    set(headers, header::ETAG, &tag.to_string());
    set(headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(modified.into()));
    set(headers, header::HeaderName::from_static("record-version"), &tag.version.as_i64().to_string());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

/// Sets a header whose value is of our own making.
pub(crate) fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A record as its document, or `body` in its place.
pub(crate) fn of_record(record: &Record, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    describe(response.headers_mut(), record.etag(), record.modified);
    response
}

/// 304: the client has it already.
pub(crate) fn not_modified(record: &Record) -> Response {
    of_record(record, StatusCode::NOT_MODIFIED)
}

/// The answer to a change: where the record is, and its version or its document.
pub(crate) fn of_change(
    status: StatusCode,
    location: &str,
    written: &RecordWritten,
    document: Option<&Document>,
) -> Response {
    let mut response = match document {
        Some(document) => (status, [prefer::APPLIED], json(document)).into_response(),
        None => (status, Json(Written::from(written))).into_response(),
    };
    let headers = response.headers_mut();
    describe(headers, written.etag, written.modified);
    set(
        headers,
        if status == StatusCode::CREATED { header::LOCATION } else { header::CONTENT_LOCATION },
        location,
    );
    response
}

/// A document as a body, as it was written.
pub(crate) fn json(document: &Document) -> Response {
    let body = document.as_str().to_owned();
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// What serde refuses in values of our own making.
pub(crate) fn unwritable(error: &serde_json::Error) -> ApiError {
    ApiError::internal(format!("an answer cannot be written: {error}"))
}
