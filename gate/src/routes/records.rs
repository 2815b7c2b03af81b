//! Records: create, read, replace, patch, delete.

use super::{answer, operations};
use crate::{
    error::ApiError,
    gate::{Change, Gate, unexpected},
    request::{
        body::{JsonBody, PatchBody},
        caller::Caller,
        conditions,
        idempotency::Identity,
        path::{InCollection, OfRecord},
        prefer,
    },
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, Uri};
use messages::{
    CollectionName, Command, Document, Outcome, Record, RecordId, Rejection,
    outcome::RecordWritten,
    precondition::{Precondition, Verdict},
    record::{Answer, CreateRecord, DeleteRecord, PatchRecord, ReadRecord, ReplaceRecord},
};
use std::sync::Arc;

/// `POST /v1/collections/{collection}/records`
pub(super) async fn create_record(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    InCollection(collection): InCollection,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    // Nothing is there yet, so this can be judged here.
    if conditions::parse(&method, &headers)?.judge(None) != Verdict::Holds {
        return Err(Rejection::PreconditionFailed { current: None }.into());
    }
    let identity = Identity::of(&caller.principal(), &method, uri.path(), &headers, &body.bytes)?;
    let command = CreateRecord { collection: collection.clone(), document: body.document.clone() };
    let change = gate.change(&caller, identity, Command::CreateRecord(command), prefer::course(&headers));
    match change.await? {
        Change::Accepted(operation) => Ok(operations::accepted(&gate, &operation)),
        Change::Done(Outcome::RecordCreated(written)) => {
            Ok(changed(StatusCode::CREATED, &collection, &written, wanted(&headers, Some(&body.document))))
        }
        Change::Done(outcome) => Err(unexpected(&outcome)),
    }
}

/// `GET /v1/collections/{collection}/records/{id}`
pub(super) async fn read_record(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    OfRecord { collection, record }: OfRecord,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let precondition = conditions::parse(&method, &headers)?;
    let record = read(&gate, &caller, collection, record).await?;
    Ok(match judge(&precondition, &record)? {
        Fresh::Unchanged => answer::not_modified(&record),
        Fresh::New => answer::of_record(&record, answer::json(&record.document)),
    })
}

/// `PUT /v1/collections/{collection}/records/{id}`
pub(super) async fn replace_record(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    OfRecord { collection, record }: OfRecord,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let precondition = conditions::parse(&method, &headers)?;
    let identity = Identity::of(&caller.principal(), &method, uri.path(), &headers, &body.bytes)?;
    let document = body.document.clone();
    let command = ReplaceRecord { collection: collection.clone(), record, document, precondition };
    let document = wanted(&headers, Some(&body.document));
    let change = gate.change(&caller, identity, Command::ReplaceRecord(command), prefer::course(&headers));
    match change.await? {
        Change::Accepted(operation) => Ok(operations::accepted(&gate, &operation)),
        Change::Done(Outcome::RecordCreated(written)) => {
            Ok(changed(StatusCode::CREATED, &collection, &written, document))
        }
        Change::Done(Outcome::RecordReplaced(written)) => {
            Ok(changed(StatusCode::OK, &collection, &written, document))
        }
        Change::Done(outcome) => Err(unexpected(&outcome)),
    }
}

/// `PATCH /v1/collections/{collection}/records/{id}`
pub(super) async fn patch_record(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    OfRecord { collection, record }: OfRecord,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: PatchBody,
) -> Result<Response, ApiError> {
    let precondition = conditions::parse(&method, &headers)?;
    let identity = Identity::of(&caller.principal(), &method, uri.path(), &headers, &body.bytes)?;
    let answer = prefer::answer(&headers);
    let command =
        PatchRecord { collection: collection.clone(), record, patch: body.patch, precondition, answer };
    let change = gate.change(&caller, identity, Command::PatchRecord(command), prefer::course(&headers));
    match change.await? {
        Change::Accepted(operation) => Ok(operations::accepted(&gate, &operation)),
        Change::Done(Outcome::RecordPatched(written)) => {
            let document = wanted(&headers, written.document.as_ref());
            Ok(changed(StatusCode::OK, &collection, &written, document))
        }
        Change::Done(outcome) => Err(unexpected(&outcome)),
    }
}

/// `DELETE /v1/collections/{collection}/records/{id}`
pub(super) async fn delete_record(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    OfRecord { collection, record }: OfRecord,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let precondition = conditions::parse(&method, &headers)?;
    let identity = Identity::of(&caller.principal(), &method, uri.path(), &headers, b"")?;
    let command = DeleteRecord { collection, record, precondition };
    let change = gate.change(&caller, identity, Command::DeleteRecord(command), prefer::course(&headers));
    match change.await? {
        Change::Accepted(operation) => Ok(operations::accepted(&gate, &operation)),
        Change::Done(Outcome::RecordDeleted(deleted)) => {
            let version = deleted.version.as_i64().to_string();
            Ok((StatusCode::NO_CONTENT, [("record-version", version)]).into_response())
        }
        Change::Done(outcome) => Err(unexpected(&outcome)),
    }
}

/// Whether a client has what was read.
pub(super) enum Fresh {
    /// It has.
    Unchanged,
    /// It has not.
    New,
}

/// Reads a record for a caller. That there is none is told whatever the precondition (RFC 9110 §13.2.1).
pub(super) async fn read(
    gate: &Gate,
    caller: &Caller,
    collection: CollectionName,
    record: RecordId,
) -> Result<Record, ApiError> {
    match gate.look_up(caller, Command::ReadRecord(ReadRecord { collection, record })).await? {
        Outcome::RecordRead(record) => Ok(record),
        outcome => Err(unexpected(&outcome)),
    }
}

/// Judges a reader's precondition.
pub(super) fn judge(precondition: &Precondition, record: &Record) -> Result<Fresh, ApiError> {
    match precondition.judge(Some(record)) {
        Verdict::Holds => Ok(Fresh::New),
        Verdict::NotModified => Ok(Fresh::Unchanged),
        Verdict::Failed => Err(Rejection::PreconditionFailed { current: Some(record.etag()) }.into()),
    }
}

/// The document, if the client would like to have it.
fn wanted<'a>(headers: &HeaderMap, document: Option<&'a Document>) -> Option<&'a Document> {
    document.filter(|_| prefer::answer(headers) == Answer::Document)
}

fn changed(
    status: StatusCode,
    collection: &CollectionName,
    written: &RecordWritten,
    document: Option<&Document>,
) -> Response {
    let location = format!("/v1/collections/{collection}/records/{}", written.id);
    answer::of_change(status, &location, written, document)
}
