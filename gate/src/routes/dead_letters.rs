//! Dead letters: what no storage worker could carry out. Operators look, mend, replay or discard.

mod replay;
mod show;

use super::{
    answer,
    record_list::{self, Page},
    records,
    session::private,
};
use crate::{
    error::{ApiError, RequestError},
    gate::{Gate, unexpected},
    request::{body::PatchBody, caller::Caller, conditions, fields, idempotency::Identity, path::Named},
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, Uri};
use messages::{
    CollectionName, Command, Document, Letter, Outcome, Precondition, Record, RecordId,
    precondition::Tags,
    record::{DeleteRecord, Patch, ReplaceRecord},
};
use serde_json::Value;
use show::Shown;
use std::sync::Arc;

pub(super) use replay::{replay_letter, replay_letters};

/// `GET /v1/dead-letters`
pub(super) async fn list_letters(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, ApiError> {
    caller.must_be_operator()?;
    let system = CollectionName::dead_letters();
    let page = Page::parse(&uri, &gate, &system)?.whole();
    let listed = record_list::list(&gate, &caller, &system, page).await?;
    record_list::answer("dead_letters", &gate, &system, &listed, |listed| Shown::of(&listed.record))
}

/// `GET /v1/dead-letters/{letter}`
pub(super) async fn read_letter(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(id): Named<RecordId>,
) -> Result<Response, ApiError> {
    let (record, _) = find(&gate, &caller, id).await?;
    Ok(answer::of_record(&record, Json(Shown::of(&record))))
}

/// `PATCH /v1/dead-letters/{letter}`: a JSON Merge Patch of its member `command`. What it is about stays the same.
pub(super) async fn edit_letter(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(id): Named<RecordId>,
    method: Method,
    headers: HeaderMap,
    body: PatchBody,
) -> Result<Response, ApiError> {
    let (record, mut letter) = find(&gate, &caller, id).await?;
    records::judge(&conditions::parse(&method, &headers)?, &record)?;
    let Some(envelope) = &mut letter.envelope else { return Err(replay::unreadable().into()) };
    envelope.command = edited(&envelope.command, &body)?;
    let document = Document::from_value(&letter).map_err(|error| answer::unwritable(&error))?;
    let command = Command::ReplaceRecord(ReplaceRecord {
        collection: CollectionName::dead_letters(),
        record: record.id.clone(),
        document,
        precondition: unchanged(&record),
    });
    match gate.carry_out(&caller, Identity::mint(), command).await? {
        Outcome::RecordReplaced(written) => {
            let mut response = private(StatusCode::OK, Json(answer::Written::from(&written)));
            answer::describe(response.headers_mut(), written.etag, written.modified);
            Ok(response)
        }
        outcome => Err(unexpected(&outcome)),
    }
}

/// `DELETE /v1/dead-letters/{letter}`: its command never takes effect.
pub(super) async fn discard_letter(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(id): Named<RecordId>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.must_be_operator()?;
    discard(&gate, &caller, id, conditions::parse(&method, &headers)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn discard(
    gate: &Gate,
    caller: &Caller,
    record: RecordId,
    precondition: Precondition,
) -> Result<(), ApiError> {
    let command = DeleteRecord { collection: CollectionName::dead_letters(), record, precondition };
    match gate.carry_out(caller, Identity::mint(), Command::DeleteRecord(command)).await? {
        Outcome::RecordDeleted(_) => Ok(()),
        outcome => Err(unexpected(&outcome)),
    }
}

/// A letter and the record that holds it.
async fn find(gate: &Gate, caller: &Caller, id: RecordId) -> Result<(Record, Letter), ApiError> {
    caller.must_be_operator()?;
    let record = records::read(gate, caller, CollectionName::dead_letters(), id).await?;
    let letter = record.document.read();
    let letter = letter.map_err(|error| ApiError::internal(format!("dead letter {}: {error}", record.id)))?;
    Ok((record, letter))
}

/// Only as long as nobody else has changed or replayed it.
fn unchanged(record: &Record) -> Precondition {
    Precondition { if_match: Some(Tags::These(vec![record.etag()])), ..Precondition::default() }
}

fn edited(command: &Command, body: &PatchBody) -> Result<Command, ApiError> {
    let invalid = |pointer: &str, detail: String| {
        ApiError::from(RequestError::InvalidDocument { pointer: pointer.to_owned(), detail })
    };
    let Patch::Merge(patch) = &body.patch else {
        return Err(RequestError::UnsupportedMediaType { accepted: &["application/merge-patch+json"] }.into());
    };
    let patch: serde_json::Map<String, Value> = fields::read_object(patch)?;
    if let Some(other) = patch.keys().find(|member| *member != "command") {
        return Err(invalid(
            &fields::pointer([other]),
            "of a dead letter only `command` can be edited".to_owned(),
        ));
    }
    let mut value = serde_json::to_value(command).map_err(|error| answer::unwritable(&error))?;
    json_patch::merge(&mut value, patch.get("command").unwrap_or(&Value::Null));
    let edited: Command =
        serde_json::from_value(value).map_err(|error| invalid("/command", error.to_string()))?;
    let same = std::mem::discriminant(command) == std::mem::discriminant(&edited)
        && command.collection() == edited.collection()
        && command.record() == edited.record();
    if same {
        return Ok(edited);
    }
    Err(invalid("/command", "what the command does, and to which record, stays the same".to_owned()))
}
