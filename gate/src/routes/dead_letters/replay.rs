//! Replaying dead letters. The command keeps its id, and its receipt says `dead` until a replay has replaced it: so it
//! takes effect at most once, however often it is replayed.

use super::{discard, find};
use crate::{
    cursor,
    error::{ApiError, RequestError},
    gate::Gate,
    request::{caller::Caller, path::Named},
    routes::{
        operations,
        record_list::{self, Page},
        session::private,
    },
};
use axum::{Json, extract::State, response::Response};
use http::{StatusCode, Uri};
use messages::{CollectionName, Envelope, Handling, Letter, Precondition, Principal, RecordId, Rejection};
use serde_json::{Value, json};
use std::sync::Arc;

/// `POST /v1/dead-letters/{letter}/replay`
pub(in crate::routes) async fn replay_letter(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(id): Named<RecordId>,
) -> Result<Response, ApiError> {
    let report = replay(&gate, &caller, id).await?;
    Ok(private(StatusCode::OK, Json(report)))
}

/// `POST /v1/dead-letters/replay`: a page of letters, one after the other, for half as long as a request may take.
pub(in crate::routes) async fn replay_letters(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, ApiError> {
    caller.must_be_operator()?;
    let system = CollectionName::dead_letters();
    let page = Page::parse(&uri, &gate, &system)?.whole();
    let listed = record_list::list(&gate, &caller, &system, page).await?;
    let (mut replayed, mut failed, mut next) = (Vec::new(), Vec::new(), listed.next);
    let mut letters = listed.records.into_iter().map(|letter| letter.record.id).peekable();
    while let Some(id) = letters.next() {
        match replay(&gate, &caller, id.clone()).await {
            Ok(report) => replayed.push(report),
            Err(error) => failed.push(json!({ "id": id.as_str(), "problem": error.problem() })),
        }
        let rest = process::now().until(gate.deadline(&caller.exchange));
        if letters.peek().is_some() && rest < gate.settings.request_deadline / 2 {
            next = Some(id);
            break;
        }
    }
    let mut report = json!({ "replayed": replayed, "failed": failed, "more": next.is_some() });
    if let Some(after) = next {
        report["next"] = json!(cursor::issue(&gate.keys, &system, &after));
    }
    Ok(private(StatusCode::OK, Json(report)))
}

/// Carries a letter's command out, tells what became of it, and takes the letter away.
async fn replay(gate: &Gate, caller: &Caller, id: RecordId) -> Result<Value, ApiError> {
    let (record, letter) = find(gate, caller, id).await?;
    let envelope = fresh(gate, caller, letter)?;
    let command = envelope.id;
    let outcome = match gate.dispatch(&caller.exchange, envelope).await {
        // It died again: the letter stays.
        Err(ApiError::Rejected(rejection @ Rejection::Dead)) => return Err(rejection.into()),
        outcome => outcome,
    };
    let report = operations::report(command, outcome)?.unwrap_or_default();
    // Whatever that says, there was one effect, and this is its report. Somebody else may have replayed it too; or the letter stays, as the
    // caller's session has ended meanwhile: another replay has no second effect, and takes it away.
    if let Err(error) = discard(gate, caller, record.id, Precondition::default()).await {
        tracing::debug!(error.message = ?error, "a replayed dead letter was not taken away");
    }
    Ok(report)
}

/// The command with a new deadline.
fn fresh(gate: &Gate, caller: &Caller, letter: Letter) -> Result<Envelope, RequestError> {
    if letter.redacted {
        let detail =
            "its document was taken out, as it held secrets; ask for the change again, and discard it";
        return Err(RequestError::NotReplayable { detail });
    }
    let mut envelope = letter.envelope.ok_or_else(unreadable)?;
    // The operator's session vouches for it now; its own may have ended long ago.
    if let Principal::User(user) = &mut envelope.principal {
        user.session = None;
    }
    let (issued, deadline) = (process::now(), gate.deadline(&caller.exchange));
    Ok(Envelope { issued, deadline, handling: Handling::Replay, ..envelope })
}

pub(super) fn unreadable() -> RequestError {
    RequestError::NotReplayable { detail: "nobody can read what it says; discard it" }
}
