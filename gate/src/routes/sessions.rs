//! All sessions of the caller.

use super::session::{private, show};
use crate::{
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
    let mut sessions = gate.sessions.list(&caller.session.user.name, process::now()).await?;
    sessions.sort_by_key(|session| session.created);
    let shown: Vec<_> = sessions.iter().map(show).collect();
    Ok(private(StatusCode::OK, Json(json!({ "sessions": shown, "current": caller.session.id }))))
}

/// `DELETE /v1/sessions`
pub(super) async fn delete_sessions(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    gate.sessions.delete_all(&caller.session.user.name, None, process::now()).await?;
    Ok(private(StatusCode::NO_CONTENT, ()))
}

/// `DELETE /v1/sessions/{session}`
pub(super) async fn delete_session(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(id): Named<SessionId>,
) -> Result<Response, ApiError> {
    if gate.sessions.delete(&caller.session.user.name, &id).await? {
        Ok(private(StatusCode::NO_CONTENT, ()))
    } else {
        Err(RequestError::SessionNotFound.into())
    }
}
