//! Ending sessions for good: in the account's record, which no failover of the session store forgets. Storage workers
//! judge by it. After that they are ended in the session store too, so that nobody has to ask.

use super::Account;
use crate::{
    error::{AccessError, ApiError, ServiceError},
    gate::{Gate, unexpected},
    request::{caller::Caller, idempotency::Identity},
    sessions::SessionId,
};
use messages::{
    CollectionName, Command, Document, Outcome, Precondition, Principal, Record, Rejection, Timestamp,
    UserName,
    precondition::Tags,
    record::{Answer, Patch, PatchRecord, ReplaceRecord},
};
use serde_json::{Map, Value, json};

/// Sessions that are ended one by one within the longest life of one. Who ends more ends all, and begins anew.
const MOST_REVOKED: usize = 2048;
/// How often an account that changes meanwhile is read again.
pub(crate) const ATTEMPTS: usize = 5;

/// The caller's own account, read on the strength of the caller's session: a storage worker judges whether that still
/// lives. So each request that gives no other command gives this one.
pub(crate) async fn own_account(gate: &Gate, caller: &Caller) -> Result<(Record, Account), ApiError> {
    match gate.look_up(caller, super::look_up(&caller.session.user.name)).await {
        Ok(Outcome::RecordRead(record)) => Ok((record.clone(), Account::of(&record)?)),
        Ok(outcome) => Err(unexpected(&outcome)),
        Err(ApiError::Rejected(Rejection::RecordNotFound { .. })) => Err(AccessError::Unauthenticated.into()),
        Err(error) => Err(error),
    }
}

/// Ends one session of the caller's account, which would have ended at `expires`.
pub(crate) async fn end_session(
    gate: &Gate,
    caller: &Caller,
    id: &SessionId,
    expires: Timestamp,
) -> Result<(), ApiError> {
    let (_, account) = own_account(gate, caller).await?;
    let now = process::now();
    let ended: Vec<&String> =
        account.sessions.revoked.iter().filter(|(_, until)| **until < now).map(|(id, _)| id).collect();
    if account.sessions.revoked.len() - ended.len() >= MOST_REVOKED {
        return end_sessions(gate, caller).await;
    }
    // A merge patch, so that log-outs at the same time do not hinder each other. `null` takes what has ended away.
    let mut revoked: Map<String, Value> = ended.into_iter().map(|id| (id.clone(), Value::Null)).collect();
    revoked.insert(id.to_string(), json!(expires));
    let patch = Document::from_value(&json!({ "sessions": { "revoked": revoked } }));
    let name = &caller.session.user.name;
    let command = Command::PatchRecord(PatchRecord {
        collection: CollectionName::users(),
        record: name.record_id(),
        patch: Patch::Merge(patch.map_err(|error| ApiError::internal(error.to_string()))?),
        precondition: Precondition::default(),
        answer: Answer::Minimal,
    });
    // On behalf of the service: accounts are otherwise changed by admins only.
    let written = gate.send(&caller.exchange, Principal::Service, Identity::mint(), command).await;
    let ended = match written {
        Ok(Outcome::RecordPatched(_)) | Err(ApiError::Rejected(Rejection::RecordNotFound { .. })) => Ok(()),
        Ok(outcome) => Err(unexpected(&outcome)),
        Err(error) => Err(error),
    };
    if may_have_happened(&ended) {
        gate.sessions.end(name, id).await;
    }
    ended
}

/// Ends all sessions of the caller's account, that of the caller too.
pub(crate) async fn end_sessions(gate: &Gate, caller: &Caller) -> Result<(), ApiError> {
    for _ in 0..ATTEMPTS {
        let (record, account) = own_account(gate, caller).await?;
        let ended = Account { sessions: account.sessions.raised(None), ..account };
        match replace(gate, caller, &ended, &record).await {
            Err(ApiError::Rejected(Rejection::PreconditionFailed { .. })) => {}
            done => return then_in_store(gate, &caller.session.user.name, None, done).await,
        }
    }
    Err(gate.overloaded().into())
}

/// Writes an account over the one that was read, on behalf of the service: the right to it was checked before.
pub(crate) async fn replace(
    gate: &Gate,
    caller: &Caller,
    account: &Account,
    current: &Record,
) -> Result<(), ApiError> {
    let command = Command::ReplaceRecord(ReplaceRecord {
        collection: CollectionName::users(),
        record: current.id.clone(),
        document: account.document()?,
        precondition: unchanged_since(Some(current)),
    });
    match gate.send(&caller.exchange, Principal::Service, Identity::mint(), command).await? {
        Outcome::RecordReplaced(_) => Ok(()),
        outcome => Err(unexpected(&outcome)),
    }
}

/// Only if the account is still as it was read.
pub(crate) fn unchanged_since(record: Option<&Record>) -> Precondition {
    match record {
        Some(record) => {
            Precondition { if_match: Some(Tags::These(vec![record.etag()])), ..Precondition::default() }
        }
        None => Precondition { if_none_match: Some(Tags::Any), ..Precondition::default() },
    }
}

/// Ends the sessions of an account whose record has ended them, or may have, in the store as well, but for one that
/// may be spared. If the store does not answer, they are dead all the same.
pub(crate) async fn then_in_store<T>(
    gate: &Gate,
    name: &UserName,
    spared: Option<&SessionId>,
    changed: Result<T, ApiError>,
) -> Result<T, ApiError> {
    if may_have_happened(&changed) {
        gate.sessions.end_all(name, spared, process::now()).await;
    }
    changed
}

fn may_have_happened<T>(written: &Result<T, ApiError>) -> bool {
    matches!(written, Ok(_) | Err(ApiError::Service(ServiceError::OutcomeUnknown { .. })))
}
