//! Lists of records, page by page.

use super::answer::{rfc3339, unwritable};
use crate::{
    cursor,
    error::{ApiError, RequestError},
    gate::{Gate, unexpected},
    request::{caller::Caller, path::InCollection},
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Uri, header};
use messages::{
    CollectionName, Command, Document, ETag, Outcome, RecordId, Version,
    outcome::{Listed, RecordsListed},
    record::ListRecords,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Records of a page unless the client says otherwise, and at most.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
/// Members that can be asked for.
const MAX_FIELDS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    limit: Option<String>,
    cursor: Option<String>,
    fields: Option<String>,
}

/// A page that was asked for.
pub(super) struct Page {
    limit: u32,
    after: Option<RecordId>,
    fields: Vec<String>,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    version: Version,
    etag: ETag,
    created: String,
    modified: String,
    document: Document,
}

/// `GET /v1/collections/{collection}/records`
pub(super) async fn list_records(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    InCollection(collection): InCollection,
    uri: Uri,
) -> Result<Response, ApiError> {
    let page = Page::parse(&uri, &gate, &collection)?;
    let listed = list(&gate, &caller, &collection, page).await?;
    answer("records", &gate, &collection, &listed, |listed| Shown {
        id: listed.record.id.to_string(),
        version: listed.etag.version,
        etag: listed.etag,
        created: rfc3339(listed.record.created),
        modified: rfc3339(listed.record.modified),
        document: listed.record.document.clone(),
    })
}

/// Asks for a page.
pub(super) async fn list(
    gate: &Gate,
    caller: &Caller,
    collection: &CollectionName,
    page: Page,
) -> Result<RecordsListed, ApiError> {
    let Page { limit, after, fields } = page;
    let command = ListRecords { collection: collection.clone(), limit, after, fields };
    match gate.look_up(caller, Command::ListRecords(command)).await? {
        Outcome::RecordsListed(listed) => Ok(listed),
        outcome => Err(unexpected(&outcome)),
    }
}

/// A page as it is answered: entries under a name, and where the next page begins.
pub(super) fn answer<T: Serialize>(
    name: &str,
    gate: &Gate,
    collection: &CollectionName,
    listed: &RecordsListed,
    show: impl Fn(&Listed) -> T,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Member<T> {
        Entries(Vec<T>),
        Cursor(String),
    }
    let entries: Vec<T> = listed.records.iter().map(show).collect();
    let mut body = std::collections::BTreeMap::from([(name, Member::Entries(entries))]);
    if let Some(after) = &listed.next {
        body.insert("next", Member::Cursor(cursor::issue(&gate.keys, collection, after)));
    }
    let body = serde_json::value::to_raw_value(&body).map_err(|error| unwritable(&error))?;
    Ok(([(header::CACHE_CONTROL, "private, no-cache")], Json(body)).into_response())
}

impl Page {
    /// The same records, whole.
    pub(super) fn whole(self) -> Self {
        Self { fields: Vec::new(), ..self }
    }

    /// From the query of a request for a list of this collection.
    pub(super) fn parse(uri: &Uri, gate: &Gate, collection: &CollectionName) -> Result<Self, RequestError> {
        let parameters: Parameters = super::query(uri)?;
        let after = parameters.cursor.map(|cursor| cursor::redeem(&gate.keys, collection, &cursor));
        Ok(Self {
            limit: parameters.limit.as_deref().map_or(Ok(DEFAULT_LIMIT), limit)?,
            after: after.transpose()?,
            fields: parameters.fields.as_deref().map_or(Ok(Vec::new()), fields)?,
        })
    }
}

fn limit(text: &str) -> Result<u32, RequestError> {
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| RequestError::InvalidQuery { detail: format!("limit is 1 to {MAX_LIMIT}") })
}

fn fields(text: &str) -> Result<Vec<String>, RequestError> {
    let mut fields: Vec<String> = Vec::new();
    for field in text.split(',') {
        if !fields.iter().any(|known| known == field) {
            fields.push(field.to_owned());
        }
    }
    if fields.len() <= MAX_FIELDS && fields.iter().all(|field| !field.is_empty()) {
        return Ok(fields);
    }
    let detail = format!("fields is 1 to {MAX_FIELDS} names of top-level members, separated by commas");
    Err(RequestError::InvalidQuery { detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_fields_are_checked() {
        assert_eq!(limit("1000").unwrap(), 1000);
        for bad in ["0", "1001", "-1", "ten", ""] {
            assert!(limit(bad).is_err(), "{bad}");
        }
        assert_eq!(fields("a,b,a").unwrap(), ["a", "b"]);
        for bad in ["", "a,,b", ","] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }
}
