//! Changing a password.

use super::{
    answer,
    session::{self, private},
    users::{then_end_sessions, to_the_end, unchanged_since},
};
use crate::{
    account::{Account, check_strength},
    error::{AccessError, ApiError, RequestError},
    gate::{Gate, unexpected},
    request::{body::JsonBody, caller::Caller, fields, idempotency::Identity, path::Named},
};
use axum::{extract::State, response::Response};
use http::StatusCode;
use messages::{
    CollectionName, Command, Outcome, Principal, Record, Rejection, UserName, record::ReplaceRecord,
};
use serde::Deserialize;
use std::{sync::Arc, time::Instant};

/// How often an account that changes meanwhile is read again.
const ATTEMPTS: usize = 5;

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
    if own {
        let current = change.current_password.ok_or_else(no_current_password)?;
        check_current(&gate, &caller, &name, current).await?;
    }
    let password_hash = gate.passwords.hash(change.password).await?;
    to_the_end(async move {
        let replaced = replace(&gate, &caller, &name, &password_hash).await;
        then_end_sessions(&gate, &name, Some(&caller.session.id), replaced).await?;
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
        let account = Account { password_hash: hash.to_owned(), ..account };
        match write(gate, caller, &account, &record).await {
            Err(ApiError::Rejected(Rejection::PreconditionFailed { .. })) => {}
            done => return done,
        }
    }
    Err(gate.overloaded().into())
}

/// Guessed as slowly here as at log-in.
async fn check_current(
    gate: &Gate,
    caller: &Caller,
    name: &UserName,
    current: String,
) -> Result<(), ApiError> {
    let taken = gate.throttle.take(name.as_str(), Instant::now());
    taken.map_err(|seconds| AccessError::TooManyAttempts { seconds })?;
    let account = session::account(gate, &caller.exchange, name).await?;
    let hash = account.map(|(_, account)| account.password_hash);
    if !gate.passwords.verify(current, hash).await? {
        return Err(AccessError::Forbidden { detail: "the current password is another" }.into());
    }
    gate.throttle.succeeded(name.as_str());
    Ok(())
}

/// On behalf of the service: accounts are otherwise changed by admins only, and the right to this was checked here.
async fn write(gate: &Gate, caller: &Caller, account: &Account, current: &Record) -> Result<(), ApiError> {
    let command = Command::ReplaceRecord(ReplaceRecord {
        collection: CollectionName::users(),
        record: current.id.clone(),
        document: account.document().map_err(|error| answer::unwritable(&error))?,
        precondition: unchanged_since(Some(current)),
    });
    match gate.send(&caller.exchange, Principal::Service, Identity::mint(), command).await? {
        Outcome::RecordReplaced(_) => Ok(()),
        outcome => Err(unexpected(&outcome)),
    }
}

fn no_current_password() -> ApiError {
    let detail = "one's own password is changed with the current one".to_owned();
    RequestError::InvalidDocument { pointer: "/current_password".to_owned(), detail }.into()
}
