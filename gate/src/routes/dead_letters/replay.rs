//! Replaying dead letters. The command keeps its id, and its receipt says `dead` until a replay has replaced it: so it
//! takes effect at most once, however often it is replayed.

use super::{discard, find};
use crate::{
    error::{ApiError, RequestError},
    gate::Gate,
    request::{caller::Caller, path::Named},
    routes::{operations, record_list, session::private},
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use messages::{CollectionName, Envelope, Handling, Letter, Precondition, Principal, RecordId, Rejection};
use serde_json::{Value, json};
use std::sync::Arc;

/// Letters that one request replays at most.
const AT_ONCE: u32 = 100;

/// `POST /v1/dead-letters/{letter}/replay`
pub(in crate::routes) async fn replay_letter(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(id): Named<RecordId>,
) -> Result<Response, ApiError> {
    let report = replay(&gate, &caller, id).await?;
    Ok(private(StatusCode::OK, Json(report)))
}

/// `POST /v1/dead-letters/replay`: the first letters there are, one after the other.
pub(in crate::routes) async fn replay_letters(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.must_be_operator()?;
    let page = record_list::Page::first(AT_ONCE);
    let listed = record_list::list(&gate, &caller, &CollectionName::dead_letters(), page).await?;
    let (mut replayed, mut failed) = (Vec::new(), Vec::new());
    for letter in listed.records {
        let id = letter.record.id;
        match replay(&gate, &caller, id.clone()).await {
            Ok(report) => replayed.push(report),
            Err(error) => failed.push(json!({ "id": id.as_str(), "problem": error.problem() })),
        }
    }
    let more = listed.next.is_some();
    Ok(private(StatusCode::OK, Json(json!({ "replayed": replayed, "failed": failed, "more": more }))))
}

/// Carries a letter's command out, tells what became of it, and takes the letter away.
async fn replay(gate: &Gate, caller: &Caller, id: RecordId) -> Result<Value, ApiError> {
    let (record, letter) = find(gate, caller, id).await?;
    let envelope = fresh(gate, letter)?;
    let command = envelope.id;
    let outcome = match gate.dispatch(&caller.exchange, envelope).await {
        // It died again: the letter stays.
        Err(ApiError::Rejected(rejection @ Rejection::Dead)) => return Err(rejection.into()),
        outcome => outcome,
    };
    let report = operations::report(command, outcome)?.unwrap_or_default();
    match discard(gate, caller, record.id, Precondition::default()).await {
        // Somebody else has replayed it too: there was one effect, and this is its report.
        Ok(()) | Err(ApiError::Rejected(Rejection::RecordNotFound { .. })) => Ok(report),
        Err(error) => Err(error),
    }
}

/// The command with a new deadline.
fn fresh(gate: &Gate, letter: Letter) -> Result<Envelope, RequestError> {
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
    let issued = process::now();
    let deadline = issued.after(gate.settings.request_deadline);
    Ok(Envelope { issued, deadline, handling: Handling::Replay, ..envelope })
}

pub(super) fn unreadable() -> RequestError {
    RequestError::NotReplayable { detail: "nobody can read what it says; discard it" }
}
