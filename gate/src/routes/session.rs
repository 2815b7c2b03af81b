//! The session of this request: log in, who am I, log out.

use super::answer::{self, rfc3339};
use crate::{
    account::Account,
    error::{AccessError, ApiError},
    gate::{Gate, unexpected},
    request::{
        body::JsonBody,
        caller::{self, Caller},
        exchange::Exchange,
        fields,
        idempotency::Identity,
    },
    sessions::Session,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use messages::{
    CollectionName, Command, Outcome, Principal, Record, Rejection, Role, UserName, record::ReadRecord,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Instant};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    user: String,
    password: String,
}

#[derive(Serialize)]
struct Opened<'a> {
    token: String,
    user: &'a UserName,
    expires_at: String,
}

#[derive(Serialize)]
struct Shown<'a> {
    id: String,
    user: &'a UserName,
    roles: &'a [Role],
    groups: &'a [UserName],
    created_at: String,
    idle_until: String,
    expires_at: String,
}

/// `POST /v1/session`
pub(super) async fn open_session(
    State(gate): State<Arc<Gate>>,
    exchange: Exchange,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let Credentials { user, password } = fields::read_object(&body.document)?;
    let seconds = |seconds| AccessError::TooManyAttempts { seconds };
    // What cannot be a name is no account's, and takes as long to find out. All such share their tries.
    let name = user.parse::<UserName>().ok();
    let tries = name.as_ref().map_or("", UserName::as_str);
    gate.throttle.take(tries, Instant::now()).map_err(seconds)?;
    let found = match &name {
        Some(name) => account(&gate, &exchange, name).await?,
        None => None,
    };
    let hash = found.as_ref().map(|(_, account)| account.password_hash.clone());
    let right = gate.passwords.verify(password, hash).await?;
    let Some((record, account)) = found.filter(|_| right) else {
        return Err(AccessError::BadCredentials.into());
    };
    gate.throttle.succeeded(tries);
    let user = account.user(record.id.as_str().parse()?);
    let (token, session) = gate.sessions.create(user, process::now()).await?;
    still_holds(&gate, &exchange, &session, &record).await?;
    let body =
        Opened { token: token.expose(), user: &session.user.name, expires_at: rfc3339(session.expires) };
    let mut response = private(StatusCode::CREATED, Json(body));
    answer::set(response.headers_mut(), header::SET_COOKIE, &caller::cookie(&token, &session));
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/v1/session"));
    Ok(response)
}

/// `GET /v1/session`
pub(super) async fn read_session(caller: Caller) -> Response {
    private(StatusCode::OK, Json(show(&caller.session)))
}

/// `DELETE /v1/session`
pub(super) async fn close_session(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    gate.sessions.delete(&caller.session.user.name, &caller.session.id).await?;
    let mut response = private(StatusCode::NO_CONTENT, ());
    answer::set(response.headers_mut(), header::SET_COOKIE, &caller::no_cookie());
    Ok(response)
}

/// Whoever changes an account ends its sessions after that. A session that was opened in between, by the account as
/// it was before, is ended here.
async fn still_holds(
    gate: &Gate,
    exchange: &Exchange,
    session: &Session,
    record: &Record,
) -> Result<(), ApiError> {
    let name = &session.user.name;
    let now = account(gate, exchange, name).await;
    if matches!(&now, Ok(Some((now, _))) if now.etag() == record.etag()) {
        return Ok(());
    }
    gate.sessions.delete(name, &session.id).await?;
    now.and(Err(AccessError::BadCredentials.into()))
}

/// An account and the record that holds it, looked up by the service itself.
pub(super) async fn account(
    gate: &Gate,
    exchange: &Exchange,
    name: &UserName,
) -> Result<Option<(Record, Account)>, ApiError> {
    let command = ReadRecord { collection: CollectionName::users(), record: name.record_id() };
    let command = Command::ReadRecord(command);
    match gate.send(exchange, Principal::Service, Identity::mint(), command).await {
        Ok(Outcome::RecordRead(record)) => {
            let account = record.document.read();
            let account = account.map_err(|error| ApiError::internal(format!("account {name}: {error}")))?;
            Ok(Some((record, account)))
        }
        Ok(outcome) => Err(unexpected(&outcome)),
        Err(ApiError::Rejected(Rejection::RecordNotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A session as its user sees it.
pub(super) fn show(session: &Session) -> impl Serialize + use<'_> {
    Shown {
        id: session.id.to_string(),
        user: &session.user.name,
        roles: &session.user.roles,
        groups: &session.user.groups,
        created_at: rfc3339(session.created),
        idle_until: rfc3339(session.idle_until),
        expires_at: rfc3339(session.expires),
    }
}

/// An answer that no cache may keep.
pub(super) fn private(status: StatusCode, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
