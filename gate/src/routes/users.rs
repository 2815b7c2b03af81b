//! Accounts. Their records hold a hash that is never shown.

use super::{
    answer, records,
    records::Fresh,
    session::{self, private, to_the_end},
};
use crate::{
    account::{
        Account, check_strength,
        revocation::{self, ATTEMPTS, unchanged_since},
    },
    error::{ApiError, RequestError},
    gate::{Gate, unexpected},
    request::{body::JsonBody, caller::Caller, conditions, fields, idempotency::Identity, path::Named},
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, header};
use messages::{
    CollectionName, Command, Outcome, Principal, Record, Rejection, Role, UserName,
    outcome::RecordWritten,
    precondition::{Precondition, Verdict},
    record::{DeleteRecord, ReplaceRecord},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    let record = records::read(&gate, &caller, CollectionName::users(), name.record_id());
    let record = record.await?;
    let account = Account::of(&record)?;
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
    check(&name, &wanted)?;
    let hash = match &wanted.password {
        Some(password) => Some(gate.passwords.hash(password.clone()).await?),
        None => None,
    };
    to_the_end(async move {
        let replaced = replace(&gate, &caller, &name, &precondition, wanted, hash).await;
        let (status, written) = revocation::then_in_store(&gate, &name, None, replaced).await?;
        Ok(changed(status, &name, &written))
    })
    .await
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
    to_the_end(async move {
        let deleted = gate.carry_out(&caller, Identity::mint(), Command::DeleteRecord(command)).await;
        match revocation::then_in_store(&gate, &name, None, deleted).await? {
            Outcome::RecordDeleted(_) => Ok(private(StatusCode::NO_CONTENT, ())),
            outcome => Err(unexpected(&outcome)),
        }
    })
    .await
}

/// Writes an account over the one that is there, however often that changes meanwhile.
async fn replace(
    gate: &Gate,
    caller: &Caller,
    name: &UserName,
    precondition: &Precondition,
    wanted: Wanted,
    hash: Option<String>,
) -> Result<(StatusCode, RecordWritten), ApiError> {
    for _ in 0..ATTEMPTS {
        let current = session::account(gate, &caller.exchange, name).await?;
        let record = current.as_ref().map(|(record, _)| record);
        if precondition.judge(record) != Verdict::Holds {
            return Err(Rejection::PreconditionFailed { current: record.map(Record::etag) }.into());
        }
        let unchanged = unchanged_since(record);
        let (old_hash, sessions) =
            current.map(|(_, account)| (account.password_hash, account.sessions.raised(None))).unzip();
        let account = Account {
            password_hash: hash.clone().or(old_hash).ok_or_else(no_password)?,
            roles: wanted.roles.clone(),
            groups: wanted.groups.clone(),
            sessions: sessions.unwrap_or_default(),
        };
        match write(gate, caller, name, &account, unchanged).await {
            Err(ApiError::Rejected(Rejection::PreconditionFailed { .. })) => {}
            done => return done,
        }
    }
    Err(gate.overloaded().into())
}

async fn write(
    gate: &Gate,
    caller: &Caller,
    name: &UserName,
    account: &Account,
    precondition: Precondition,
) -> Result<(StatusCode, RecordWritten), ApiError> {
    let document = account.document()?;
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

fn check(name: &UserName, wanted: &Wanted) -> Result<(), RequestError> {
    let invalid = |pointer: String, detail: &str| {
        Err(RequestError::InvalidDocument { pointer, detail: detail.to_owned() })
    };
    if *name == Principal::Service.name() {
        return invalid(String::new(), "this name is the service's own");
    }
    if let Some(index) = wanted.roles.iter().position(|role| *role == Role::Unknown) {
        return invalid(format!("/roles/{index}"), "a role is \"admin\" or \"operator\"");
    }
    wanted.password.as_ref().map_or(Ok(()), |password| check_strength(password, "/password"))
}

fn no_password() -> ApiError {
    let detail = "a new account needs a password".to_owned();
    RequestError::InvalidDocument { pointer: "/password".to_owned(), detail }.into()
}
