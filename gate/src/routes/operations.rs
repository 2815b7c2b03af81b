//! Operations: what became of a command whose client got no answer, or did not wait for one.

use super::{answer::rfc3339, session::private};
use crate::{
    account::revocation,
    error::{ApiError, RequestError},
    gate::{Gate, unexpected},
    operation::Operation,
    request::{caller::Caller, idempotency::Identity, path::Named},
};
use axum::{Json, extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};
use messages::{
    Closing, Command, CommandId, Outcome, Principal, Rejection, Role,
    operation::{CloseOperation, ReadOperation},
    outcome::RecordWritten,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// How long to wait before asking again for what is pending, in seconds.
const ASK_AGAIN: u64 = 2;

/// `GET /v1/operations/{operation}`: before the deadline it tells how things stand; after it, this settles it.
pub(super) async fn settle_operation(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(signed): Named<String>,
) -> Result<Response, ApiError> {
    let operation = redeem(&gate, &caller, &signed)?;
    let key = operation.key.clone();
    let command = if process::now() <= operation.deadline {
        Command::ReadOperation(ReadOperation { operation: key })
    } else {
        Command::CloseOperation(CloseOperation { operation: key, closing: Closing::Expired })
    };
    let told = ask(&gate, &caller, command).await?;
    Ok(match report(operation.id(), told)? {
        Some(report) => private(StatusCode::OK, Json(report)),
        None => pending(&operation),
    })
}

/// `DELETE /v1/operations/{operation}`: sees to it that it never takes effect, if it has not.
pub(super) async fn cancel_operation(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(signed): Named<String>,
) -> Result<Response, ApiError> {
    let operation = redeem(&gate, &caller, &signed)?;
    let in_time = process::now() <= operation.deadline;
    // A record that is its own receipt is written without a condition until its deadline.
    if operation.key.creates && in_time {
        return Err(RequestError::OperationNotCancelled { status: "pending".to_owned() }.into());
    }
    let closing = if in_time { Closing::Cancelled } else { Closing::Expired };
    let command = Command::CloseOperation(CloseOperation { operation: operation.key.clone(), closing });
    let settled = ask(&gate, &caller, command).await?;
    let report = report(operation.id(), settled)?.unwrap_or_default();
    match report["status"].as_str() {
        Some("cancelled" | "expired") => Ok(private(StatusCode::OK, Json(report))),
        status => {
            let status = status.unwrap_or("pending").to_owned();
            Err(RequestError::OperationNotCancelled { status }.into())
        }
    }
}

/// On behalf of the service: what became of an operation may be that its session had ended, and that must not be taken
/// for the end of the session that asks. So this one is judged first.
async fn ask(gate: &Gate, caller: &Caller, command: Command) -> Result<Result<Outcome, ApiError>, ApiError> {
    revocation::own_account(gate, caller).await?;
    Ok(gate.send(&caller.exchange, Principal::Service, Identity::mint(), command).await)
}

/// 202: it is kept, and this is where to ask.
pub(super) fn accepted(gate: &Gate, operation: &Operation) -> Response {
    let mut response = pending(operation);
    let headers = response.headers_mut();
    headers.insert("preference-applied", HeaderValue::from_static("respond-async"));
    super::answer::set(headers, header::LOCATION, &operation.address(&gate.keys));
    response
}

fn pending(operation: &Operation) -> Response {
    let body = json!({ "id": operation.id(), "status": "pending", "until": rfc3339(operation.deadline) });
    let mut response = private(StatusCode::ACCEPTED, Json(body));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ASK_AGAIN));
    response
}

fn redeem(gate: &Gate, caller: &Caller, signed: &str) -> Result<Operation, ApiError> {
    let operation = Operation::redeem(&gate.keys, signed).ok_or(RequestError::OperationNotFound)?;
    let user = &caller.session.user;
    if operation.owner != user.name && !user.roles.contains(&Role::Operator) && !caller.is_admin() {
        return Err(RequestError::OperationNotFound.into());
    }
    if process::now() > operation.gone {
        return Err(RequestError::OperationGone.into());
    }
    Ok(operation)
}

/// What a client is told of an operation; `None`: it is pending.
pub(super) fn report(id: CommandId, told: Result<Outcome, ApiError>) -> Result<Option<Value>, ApiError> {
    let status = |status: &str| Ok(Some(json!({ "id": id, "status": status })));
    match told {
        Ok(Outcome::OperationPending) => Ok(None),
        Ok(outcome) => {
            let outcome = done(&outcome).ok_or_else(|| unexpected(&outcome))?;
            Ok(Some(json!({ "id": id, "status": "done", "outcome": outcome })))
        }
        Err(ApiError::Rejected(Rejection::Expired)) => status("expired"),
        Err(ApiError::Rejected(Rejection::Cancelled)) => status("cancelled"),
        Err(ApiError::Rejected(Rejection::Dead)) => status("dead"),
        Err(ApiError::Rejected(rejection)) => {
            let problem = ApiError::Rejected(rejection).problem();
            Ok(Some(json!({ "id": id, "status": "rejected", "problem": problem })))
        }
        Err(error) => Err(error),
    }
}

fn done(outcome: &Outcome) -> Option<Value> {
    let written = |what: &str, written: &RecordWritten| {
        let version = written.etag.version;
        Some(json!({ "type": what, "record": written.id.as_str(), "version": version, "etag": written.etag }))
    };
    match outcome {
        Outcome::RecordCreated(record) => written("record_created", record),
        Outcome::RecordReplaced(record) => written("record_replaced", record),
        Outcome::RecordPatched(record) => written("record_patched", record),
        Outcome::RecordDeleted(record) => {
            Some(json!({ "type": "record_deleted", "record": record.id.as_str(), "version": record.version }))
        }
        Outcome::RecordRead(_)
        | Outcome::RecordsListed(_)
        | Outcome::OperationPending
        | Outcome::Rejected(_) => None,
    }
}
