//! Accounts. Their records hold a hash that is never shown.

use super::{
    answer, records,
    records::Fresh,
    session::{self, private},
};
use crate::{
    account::{Account, check_strength},
    error::{ApiError, RequestError, ServiceError},
    gate::{Gate, unexpected},
    request::{body::JsonBody, caller::Caller, conditions, fields, idempotency::Identity, path::Named},
    sessions::SessionId,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, header};
use messages::{
    CollectionName, Command, Outcome, Record, Rejection, Role, UserName,
    outcome::RecordWritten,
    precondition::{Precondition, Tags, Verdict},
    record::{DeleteRecord, ReplaceRecord},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How often an account that changes meanwhile is read again.
const ATTEMPTS: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    password: Option<String>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    groups: Vec<UserName>,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a UserName,
    roles: &'a [Role],
    groups: &'a [UserName],
}

/// `GET /v1/users/{name}`
pub(super) async fn read_user(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(name): Named<UserName>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let precondition = conditions::parse(&method, &headers)?;
    let record = records::read(&gate, &caller, CollectionName::users(), name.record_id(), &precondition);
    let record = record.await?;
    let account: Account =
        record.document.read().map_err(|error| ApiError::internal(format!("account {name}: {error}")))?;
    Ok(match records::judge(&precondition, &record)? {
        Fresh::Unchanged => answer::not_modified(&record),
        Fresh::New => {
            let shown = Shown { name: &name, roles: &account.roles, groups: &account.groups };
            answer::of_record(&record, Json(shown))
        }
    })
}

/// `PUT /v1/users/{name}`. Without a password, the account keeps the one it has.
pub(super) async fn replace_user(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(name): Named<UserName>,
    method: Method,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, ApiError> {
    caller.must_be_admin()?;
    let precondition = conditions::parse(&method, &headers)?;
    let wanted: Wanted = fields::read_object(&body.document)?;
    check_roles(&wanted.roles)?;
    let new_hash = match wanted.password {
        Some(password) => {
            check_strength(&password, "/password")?;
            Some(gate.passwords.hash(password).await?)
        }
        None => None,
    };
    for _ in 0..ATTEMPTS {
        let current = session::account(&gate, &caller.exchange, &name).await?;
        let record = current.as_ref().map(|(record, _)| record);
        if precondition.judge(record) != Verdict::Holds {
            return Err(Rejection::PreconditionFailed { current: record.map(Record::etag) }.into());
        }
        let unchanged = unchanged_since(record);
        let old_hash = current.map(|(_, account)| account.password_hash);
        let password_hash = new_hash.clone().or(old_hash).ok_or_else(no_password)?;
        let (roles, groups) = (wanted.roles.clone(), wanted.groups.clone());
        let account = Account { password_hash, roles, groups };
        match write(&gate, &caller, &name, &account, unchanged).await {
            Err(ApiError::Rejected(Rejection::PreconditionFailed { .. })) => {}
            Err(error) => return Err(error),
            Ok((status, written)) => {
                end_sessions(&gate, &name, None).await?;
                return Ok(changed(status, &name, &written));
            }
        }
    }
    Err(ServiceError::Overloaded.into())
}

/// `DELETE /v1/users/{name}`
pub(super) async fn delete_user(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(name): Named<UserName>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.must_be_admin()?;
    let precondition = conditions::parse(&method, &headers)?;
    let command =
        DeleteRecord { collection: CollectionName::users(), record: name.record_id(), precondition };
    match gate.carry_out(&caller, Identity::mint(), Command::DeleteRecord(command)).await? {
        Outcome::RecordDeleted(_) => {
            end_sessions(&gate, &name, None).await?;
            Ok(private(StatusCode::NO_CONTENT, ()))
        }
        outcome => Err(unexpected(&outcome)),
    }
}

/// Only if the account is still as it was read.
pub(super) fn unchanged_since(record: Option<&Record>) -> Precondition {
    match record {
        Some(record) => {
            Precondition { if_match: Some(Tags::These(vec![record.etag()])), ..Precondition::default() }
        }
        None => Precondition { if_none_match: Some(Tags::Any), ..Precondition::default() },
    }
}

/// Ends the sessions of an account that has changed, but for one that may be spared.
pub(super) async fn end_sessions(
    gate: &Gate,
    name: &UserName,
    spared: Option<&SessionId>,
) -> Result<(), ApiError> {
    let ended = gate.sessions.delete_all(name, spared, process::now()).await;
    ended.map_err(|error| ServiceError::SessionsNotEnded(error).into())
}

async fn write(
    gate: &Gate,
    caller: &Caller,
    name: &UserName,
    account: &Account,
    precondition: Precondition,
) -> Result<(StatusCode, RecordWritten), ApiError> {
    let document = account.document().map_err(|error| answer::unwritable(&error))?;
    let (collection, record) = (CollectionName::users(), name.record_id());
    let command = Command::ReplaceRecord(ReplaceRecord { collection, record, document, precondition });
    match gate.carry_out(caller, Identity::mint(), command).await? {
        Outcome::RecordCreated(written) => Ok((StatusCode::CREATED, written)),
        Outcome::RecordReplaced(written) => Ok((StatusCode::OK, written)),
        outcome => Err(unexpected(&outcome)),
    }
}

fn changed(status: StatusCode, name: &UserName, written: &RecordWritten) -> Response {
    let mut response = (status, Json(answer::Written::from(written))).into_response();
    let headers = response.headers_mut();
    answer::describe(headers, written.etag, written.modified);
    answer::set(headers, header::LOCATION, &format!("/v1/users/{name}"));
    response
}

fn check_roles(roles: &[Role]) -> Result<(), RequestError> {
    match roles.iter().position(|role| *role == Role::Unknown) {
        None => Ok(()),
        Some(index) => Err(RequestError::InvalidDocument {
            pointer: format!("/roles/{index}"),
            detail: "a role is \"admin\" or \"operator\"".to_owned(),
        }),
    }
}

fn no_password() -> ApiError {
    let detail = "a new account needs a password".to_owned();
    RequestError::InvalidDocument { pointer: "/password".to_owned(), detail }.into()
}
