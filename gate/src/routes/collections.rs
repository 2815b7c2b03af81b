//! Collections: their settings are records of a system collection.

use super::{
    answer::{self, rfc3339},
    record_list::{self, Page},
    records::{self, Fresh},
};
use crate::{
    error::{ApiError, RequestError},
    gate::{Gate, unexpected},
    request::{
        body::JsonBody, caller::Caller, conditions, fields, idempotency::Identity, path::InCollection,
    },
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, Uri};
use messages::{
    CollectionName, CollectionSettings, Command, Document, ETag, Outcome, Version,
    collection::SETTINGS_LIFETIME,
    outcome::RecordWritten,
    record::{DeleteRecord, ReplaceRecord},
};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct Shown {
    name: String,
    version: Version,
    etag: ETag,
    created: String,
    modified: String,
    settings: Document,
}

/// `GET /v1/collections`
pub(super) async fn list_collections(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, ApiError> {
    let system = CollectionName::collections();
    let page = Page::parse(&uri, &gate, &system)?;
    let listed = record_list::list(&gate, &caller, &system, page).await?;
    record_list::answer("collections", &gate, &system, &listed, |listed| Shown {
        name: listed.record.id.to_string(),
        version: listed.etag.version,
        etag: listed.etag,
        created: rfc3339(listed.record.created),
        modified: rfc3339(listed.record.modified),
        settings: listed.record.document.clone(),
    })
}

/// `GET /v1/collections/{collection}`
pub(super) async fn read_collection(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    InCollection(collection): InCollection,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let precondition = conditions::parse(&method, &headers)?;
    let (system, id) = (CollectionName::collections(), collection.record_id());
    let record = records::read(&gate, &caller, system, id).await?;
    Ok(match records::judge(&precondition, &record)? {
        Fresh::Unchanged => answer::not_modified(&record),
        Fresh::New => answer::of_record(&record, answer::json(&record.document)),
    })
}

/// `PUT /v1/collections/{collection}`
pub(super) async fn replace_collection(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    InCollection(collection): InCollection,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let command = ReplaceRecord {
        collection: CollectionName::collections(),
        record: collection.record_id(),
        document: normalised(&body.document)?,
        precondition: conditions::parse(&method, &headers)?,
    };
    let identity = Identity::of(&caller.principal(), &method, uri.path(), &headers, &body.bytes)?;
    match gate.carry_out(&caller, identity, Command::ReplaceRecord(command)).await? {
        Outcome::RecordCreated(written) => {
            // Nobody remembers that a collection was not there, so the first of a name can be used at once. Another
            // may still be remembered as it was before it was dropped.
            if written.etag.version != Version::FIRST {
                tokio::time::sleep(SETTINGS_LIFETIME).await;
            }
            Ok(changed(StatusCode::CREATED, &collection, &written))
        }
        Outcome::RecordReplaced(written) => {
            tokio::time::sleep(SETTINGS_LIFETIME).await;
            Ok(changed(StatusCode::OK, &collection, &written))
        }
        outcome => Err(unexpected(&outcome)),
    }
}

/// `DELETE /v1/collections/{collection}`
pub(super) async fn delete_collection(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    InCollection(collection): InCollection,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let command = DeleteRecord {
        collection: CollectionName::collections(),
        record: collection.record_id(),
        precondition: conditions::parse(&method, &headers)?,
    };
    let identity = Identity::of(&caller.principal(), &method, uri.path(), &headers, b"")?;
    match gate.carry_out(&caller, identity, Command::DeleteRecord(command)).await? {
        Outcome::RecordDeleted(_) => {
            tokio::time::sleep(SETTINGS_LIFETIME).await;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        outcome => Err(unexpected(&outcome)),
    }
}

/// With every member that has a default.
fn normalised(document: &Document) -> Result<Document, ApiError> {
    let settings: CollectionSettings = fields::read_object(document)?;
    if let Some(unknown) = settings.unknown.keys().next() {
        let (pointer, detail) = (fields::pointer([unknown]), format!("there is no setting {unknown:?}"));
        return Err(RequestError::InvalidDocument { pointer, detail }.into());
    }
    if let Some((pointer, detail)) = settings.fault() {
        let (pointer, detail) = (pointer.to_owned(), detail.to_owned());
        return Err(RequestError::InvalidDocument { pointer, detail }.into());
    }
    Document::from_value(&settings).map_err(|error| answer::unwritable(&error))
}

fn changed(status: StatusCode, collection: &CollectionName, written: &RecordWritten) -> Response {
    #[derive(Serialize)]
    struct Changed<'a> {
        name: &'a str,
        version: Version,
        etag: ETag,
    }
    let body = Changed { name: collection.as_str(), version: written.etag.version, etag: written.etag };
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    answer::describe(headers, written.etag, written.modified);
    answer::set(headers, http::header::LOCATION, &format!("/v1/collections/{collection}"));
    response
}
