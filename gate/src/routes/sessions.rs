//! All sessions of the caller.

use super::session::{private, show, to_the_end};
use crate::{
    account::revocation,
    error::{ApiError, RequestError},
    gate::Gate,
    request::{caller::Caller, path::Named},
    sessions::SessionId,
};
use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;

/// `GET /v1/sessions`
pub(super) async fn list_sessions(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let (record, account) = revocation::own_account(&gate, &caller).await?;
    let mut sessions = gate.sessions.list(&caller.session.user.name, process::now()).await?;
    sessions.retain(|session| account.sessions.allow(&session.claim(), record.created));
    sessions.sort_by_key(|session| session.created);
    let shown: Vec<_> = sessions.iter().map(show).collect();
    Ok(private(StatusCode::OK, Json(json!({ "sessions": shown, "current": caller.session.id }))))
}

/// `DELETE /v1/sessions`
pub(super) async fn delete_sessions(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    to_the_end(async move {
        revocation::end_sessions(&gate, &caller).await?;
        Ok(private(StatusCode::NO_CONTENT, ()))
    })
    .await
}

/// `DELETE /v1/sessions/{session}`
pub(super) async fn delete_session(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(id): Named<SessionId>,
) -> Result<Response, ApiError> {
    let sessions = gate.sessions.list(&caller.session.user.name, process::now()).await?;
    let session = sessions.into_iter().find(|session| session.id == id);
    let session = session.ok_or(RequestError::SessionNotFound)?;
    to_the_end(async move {
        revocation::end_session(&gate, &caller, &session.id, session.expires).await?;
        Ok(private(StatusCode::NO_CONTENT, ()))
    })
    .await
}
