//! Operations: what became of a command whose client got no answer.

use super::{answer::rfc3339, session::private};
use crate::{
    account::revocation,
    error::{ApiError, RequestError},
    gate::Gate,
    operation::Operation,
    request::{caller::Caller, idempotency::Identity, path::Named},
};
use axum::{Json, extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};
use messages::{Command, Outcome, Rejection, Role, outcome::RecordWritten};
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /v1/operations/{operation}`: before the deadline it is pending; after it, this settles it for good.
pub(super) async fn settle_operation(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Named(signed): Named<String>,
) -> Result<Response, ApiError> {
    let operation = Operation::redeem(&gate.keys, &signed).ok_or(RequestError::OperationNotFound)?;
    let user = &caller.session.user;
    if operation.owner != user.name && !user.roles.contains(&Role::Operator) && !caller.is_admin() {
        return Err(RequestError::OperationNotFound.into());
    }
    let now = process::now();
    if now > operation.gone {
        return Err(RequestError::OperationGone.into());
    }
    if now <= operation.deadline {
        revocation::own_account(&gate, &caller).await?;
        let wait = now.until(operation.deadline).as_secs() + 1;
        let body = json!({ "id": operation.id(), "status": "pending", "until": rfc3339(operation.deadline) });
        let mut response = private(StatusCode::ACCEPTED, Json(body));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        return Ok(response);
    }
    let command = Command::CloseOperation(operation.close.clone());
    let settled = gate.carry_out(&caller, Identity::mint(), command).await;
    Ok(private(StatusCode::OK, Json(report(&operation, settled)?)))
}

/// What a client is told of an operation that is settled.
fn report(operation: &Operation, settled: Result<Outcome, ApiError>) -> Result<Value, ApiError> {
    let id = operation.id();
    match settled {
        Ok(outcome) => Ok(json!({ "id": id, "status": "done", "outcome": done(&outcome) })),
        Err(ApiError::Rejected(Rejection::Expired)) => Ok(json!({ "id": id, "status": "expired" })),
        Err(ApiError::Rejected(rejection)) => {
            let problem = ApiError::Rejected(rejection).problem();
            Ok(json!({ "id": id, "status": "rejected", "problem": problem }))
        }
        Err(error) => Err(error),
    }
}

fn done(outcome: &Outcome) -> Value {
    let written = |what: &str, written: &RecordWritten| {
        let version = written.etag.version;
        json!({ "type": what, "record": written.id.as_str(), "version": version, "etag": written.etag })
    };
    match outcome {
        Outcome::RecordCreated(record) => written("record_created", record),
        Outcome::RecordReplaced(record) => written("record_replaced", record),
        Outcome::RecordPatched(record) => written("record_patched", record),
        Outcome::RecordDeleted(record) => {
            json!({ "type": "record_deleted", "record": record.id.as_str(), "version": record.version })
        }
        Outcome::RecordRead(_) | Outcome::RecordsListed(_) | Outcome::Rejected(_) => Value::Null,
    }
}
