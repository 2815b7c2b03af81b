//! What became of an operation, and closing it.

use crate::{
    decide::{
        Decision,
        group::{Asked, Target},
    },
    store::{Row, Rows},
};
use messages::{
    Closing, Command, Document, ETag, Handling, OperationKey, Outcome, Principal, RecordId, Rejection,
    Timestamp, Version,
    command::{LONG_RECEIPT_LIFETIME, RECEIPT_LIFETIME},
    operation::CloseOperation,
    outcome::RecordWritten,
};
use std::time::Duration;

/// How long a receipt is kept that alone keeps a copy of the command from taking effect: longer than the command may lie in a queue, or
/// a worker that has decided it may stand still before it writes.
const CLOSED_RECEIPT_LIFETIME: Duration = Duration::from_secs(48 * 3600);
/// As long as a letter may lie: ten years. It is what keeps a copy of the command from taking effect beside it.
const DEAD_RECEIPT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How long the receipt of a command is kept that is settled now: past its deadline in any case, and for long where
/// somebody may ask for long.
pub fn receipt_lifetime(Asked { envelope, target }: &Asked, outcome: &Outcome, now: Timestamp) -> Duration {
    if let Command::CloseOperation(command) = &envelope.command {
        return match command.closing {
            Closing::Expired | Closing::Cancelled => CLOSED_RECEIPT_LIFETIME,
            Closing::Dead => DEAD_RECEIPT_LIFETIME,
        };
    }
    let lifetime = match envelope.handling {
        // What a copy of it does to a collection that was dropped, nobody ever sees.
        _ if *target != Target::Missing && turns_on_more_than_the_record(outcome) => CLOSED_RECEIPT_LIFETIME,
        Handling::Direct if envelope.fingerprint.is_none() => RECEIPT_LIFETIME,
        _ => LONG_RECEIPT_LIFETIME,
    };
    lifetime + now.until(envelope.deadline)
}

/// Whether the same command may have been decided otherwise of the same version of the record: in time, before a session ended, or
/// with other rights. Every other refusal says that the record has changed since, and a condition on its version keeps a copy out.
fn turns_on_more_than_the_record(outcome: &Outcome) -> bool {
    let Outcome::Rejected(rejection) = outcome else { return false };
    match rejection {
        Rejection::Expired
        | Rejection::Cancelled
        | Rejection::Dead
        | Rejection::SessionRevoked
        | Rejection::Forbidden { .. }
        | Rejection::CollectionNotFound { .. }
        | Rejection::Unsupported => true,
        Rejection::RecordNotFound { .. }
        | Rejection::RecordExists { .. }
        | Rejection::PreconditionFailed { .. }
        | Rejection::PatchFailed { .. }
        | Rejection::DocumentInvalid { .. }
        | Rejection::DocumentTooLarge { .. }
        | Rejection::IdempotencyKeyReused => false,
    }
}

/// Closes an operation that has no receipt. `current`: the record that it is about.
pub fn close(command: &CloseOperation, current: Option<&Row>, now: Timestamp) -> Decision {
    let CloseOperation { operation, closing } = command;
    if let Some(outcome) = created(operation, current) {
        return Decision { next: current.and_then(confirmed), outcome };
    }
    let mark = || closing_mark(operation.record.clone(), now);
    Decision {
        next: (operation.creates && current.is_none()).then(mark),
        outcome: Outcome::Rejected((*closing).into()),
    }
}

/// What stored rows tell of an operation; `None`: nothing.
pub fn told_by(operation: &OperationKey, rows: &Rows) -> Option<Outcome> {
    let receipt = rows.receipts.iter().find(|receipt| receipt.command == operation.id);
    let current = rows.records.iter().find(|row| row.id == operation.record);
    receipt.map(|receipt| receipt.outcome.clone()).or_else(|| created(operation, current))
}

/// Where a record is the receipt of its creation, it says whether it was created.
fn created(operation: &OperationKey, current: Option<&Row>) -> Option<Outcome> {
    let row = current.filter(|_| operation.creates)?;
    if is_closing_mark(row) {
        return Some(Outcome::Rejected(Rejection::Expired));
    }
    let hash = row.document.as_ref().map_or(0, Document::hash);
    Some(Outcome::RecordCreated(RecordWritten {
        id: row.id.clone(),
        etag: ETag { version: row.version, hash },
        created: row.created,
        modified: row.modified,
        document: None,
    }))
}

/// What makes sure of a record that was created without a condition, and is said to be there: it may be on one copy only,
/// as conditional writes and the reads before them mend nothing. So it is written again, on the condition that it is.
pub fn confirmed(row: &Row) -> Option<Row> {
    (row.version == Version::FIRST && !is_closing_mark(row)).then(|| row.clone())
}

/// The row that keeps the place of a record whose creation was closed.
pub fn closing_mark(id: RecordId, now: Timestamp) -> Row {
    Row {
        id,
        version: Version::FIRST,
        created: now,
        modified: now,
        owner: Principal::Service.name(),
        document: None,
    }
}

/// Only closing makes a deleted row of the first version: deleting a record makes a later one.
pub fn is_closing_mark(row: &Row) -> bool {
    row.document.is_none() && row.version == Version::FIRST
}
