//! The session of this request: log in, who am I, log out.

use super::answer::{self, rfc3339};
use crate::{
    account::{self, Account, revocation},
    error::{AccessError, ApiError},
    gate::{Gate, unexpected},
    request::{
        body::SmallBody,
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
use messages::{Outcome, Principal, Record, Rejection, Role, UserName};
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
    body: SmallBody,
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
    let standing = account.standing(&record);
    let user = account.user(record.id.as_str().parse()?);
    let (token, session) = gate.sessions.create(user, standing, process::now()).await?;
    still_holds(&gate, &exchange, &session).await?;
    let body =
        Opened { token: token.expose(), user: &session.user.name, expires_at: rfc3339(session.expires) };
    let mut response = private(StatusCode::CREATED, Json(body));
    answer::set(response.headers_mut(), header::SET_COOKIE, &caller::cookie(&token, &session));
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/v1/session"));
    Ok(response)
}

/// `GET /v1/session`
pub(super) async fn read_session(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    revocation::own_account(&gate, &caller).await?;
    Ok(private(StatusCode::OK, Json(show(&caller.session))))
}

/// `DELETE /v1/session`
pub(super) async fn close_session(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    to_the_end(async move {
        revocation::end_session(&gate, &caller, &caller.session.id, caller.session.expires).await?;
        let mut response = private(StatusCode::NO_CONTENT, ());
        answer::set(response.headers_mut(), header::SET_COOKIE, &caller::no_cookie());
        Ok(response)
    })
    .await
}

/// An account that was changed meanwhile has ended the session that was just opened: better to say so now.
async fn still_holds(gate: &Gate, exchange: &Exchange, session: &Session) -> Result<(), ApiError> {
    let name = &session.user.name;
    let now = account(gate, exchange, name).await;
    if matches!(&now, Ok(Some((record, account))) if account.sessions.allow(&session.claim(), record.created))
    {
        return Ok(());
    }
    gate.sessions.end(name, &session.id).await;
    now.and(Err(AccessError::BadCredentials.into()))
}

/// Goes on even if the client hangs up: what ends sessions must not stop half-way.
pub(super) async fn to_the_end(
    work: impl Future<Output = Result<Response, ApiError>> + Send + 'static,
) -> Result<Response, ApiError> {
    let end = tokio::spawn(work).await;
    end.unwrap_or_else(|error| Err(ApiError::internal(format!("a change of an account: {error}"))))
}

/// An account and the record that holds it, looked up by the service itself.
pub(super) async fn account(
    gate: &Gate,
    exchange: &Exchange,
    name: &UserName,
) -> Result<Option<(Record, Account)>, ApiError> {
    match gate.send(exchange, Principal::Service, Identity::mint(), account::look_up(name)).await {
        Ok(Outcome::RecordRead(record)) => {
            let account = Account::of(&record)?;
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
