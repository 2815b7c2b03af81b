//! Changing a password.

use super::session::{self, private, to_the_end};
use crate::{
    account::{
        Account, check_strength,
        revocation::{self, ATTEMPTS},
    },
    error::{AccessError, ApiError, RequestError},
    gate::Gate,
    request::{body::JsonBody, caller::Caller, fields, path::Named},
};
use axum::{extract::State, response::Response};
use http::StatusCode;
use messages::{CollectionName, Rejection, UserName};
use serde::Deserialize;
use std::{sync::Arc, time::Instant};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    current_password: Option<String>,
    password: String,
}

/// `PUT /v1/users/{name}/password`: one's own with the current one, anybody's for an admin. All other sessions of
/// the account end.
pub(super) async fn replace_password(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(name): Named<UserName>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let own = caller.session.user.name == name;
    if !own {
        caller.must_be_admin()?;
    }
    let change: Change = fields::read_object(&body.document)?;
    check_strength(&change.password, "/password")?;
    let (_, account) = revocation::own_account(&gate, &caller).await?;
    if own {
        let current = change.current_password.ok_or_else(no_current_password)?;
        check_current(&gate, &name, account, current).await?;
    }
    let password_hash = gate.passwords.hash(change.password).await?;
    to_the_end(async move {
        let replaced = replace(&gate, &caller, &name, &password_hash).await;
        revocation::then_in_store(&gate, &name, Some(&caller.session.id), replaced).await?;
        Ok(private(StatusCode::NO_CONTENT, ()))
    })
    .await
}

/// Writes the new hash into the account, however often that changes meanwhile.
async fn replace(gate: &Gate, caller: &Caller, name: &UserName, hash: &str) -> Result<(), ApiError> {
    for _ in 0..ATTEMPTS {
        let Some((record, account)) = session::account(gate, &caller.exchange, name).await? else {
            let (collection, record) = (CollectionName::users(), name.record_id());
            return Err(Rejection::RecordNotFound { collection, record }.into());
        };
        // In anybody else's account the caller's session is none, and spared by nothing.
        let sessions = account.sessions.raised(Some(caller.session.id.to_string()));
        let account = Account { password_hash: hash.to_owned(), sessions, ..account };
        match revocation::replace(gate, caller, &account, &record).await {
            Err(ApiError::Rejected(Rejection::PreconditionFailed { .. })) => {}
            done => return done,
        }
    }
    Err(gate.overloaded().into())
}

/// Guessed as slowly here as at log-in.
async fn check_current(
    gate: &Gate,
    name: &UserName,
    account: Account,
    current: String,
) -> Result<(), ApiError> {
    let taken = gate.throttle.take(name.as_str(), Instant::now());
    taken.map_err(|seconds| AccessError::TooManyAttempts { seconds })?;
    if !gate.passwords.verify(current, Some(account.password_hash)).await? {
        return Err(AccessError::Forbidden { detail: "the current password is another" }.into());
    }
    gate.throttle.succeeded(name.as_str());
    Ok(())
}

fn no_current_password() -> ApiError {
    let detail = "one's own password is changed with the current one".to_owned();
    RequestError::InvalidDocument { pointer: "/current_password".to_owned(), detail }.into()
}
