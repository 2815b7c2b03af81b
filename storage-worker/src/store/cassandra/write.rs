//! Groups and creates as batches of bound statements within one partition.

use super::statements::Statements;
use crate::store::{BucketId, Change, DELETED_FOR, Group, ReceiptChange, Row, StoreError};
use messages::{Document, Outcome, Rejection};
use scylla::{
    serialize::{
        SerializationError,
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::batch::Batch,
    value::MaybeUnset,
};
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

/// A CQL message is refused, and its connection closed, beyond 16 MiB; a mutation beyond half a segment of the
/// commit log, 16 MiB too. The Paxos tables hold the whole of it besides other things.
const MAX_BYTES: usize = 12 << 20;
/// What a bound statement takes besides its texts.
const STATEMENT_BYTES: usize = 512;
/// What a receipt says that a replay may replace.
const DEAD: Outcome = Outcome::Rejected(Rejection::Dead);
/// The longest time to live that Cassandra takes: 20 years, in seconds.
const MAX_TTL: u64 = 20 * 365 * 24 * 3600;

/// A batch with the values of its statements.
pub(super) struct Bound<'a> {
    pub(super) batch: Batch,
    pub(super) values: Vec<Values<'a>>,
    bytes: usize,
}

/// The values of one statement, in the order of its question marks.
pub(super) enum Values<'a> {
    Create((State<'a>, &'a str, Key<'a>)),
    Put((State<'a>, &'a str, Key<'a>, Option<i64>)),
    Delete((i32, State<'a>, Key<'a>, Option<i64>)),
    Receipt((i32, &'a str, String, Print<'a>, Key<'a>, Option<String>)),
}

type State<'a> = (i64, i64, i64, &'a str);
type Key<'a> = (Uuid, i32, &'a str);
type Print<'a> = MaybeUnset<Option<&'a [u8]>>;

#[derive(Debug, Error)]
#[error("{bytes} bytes in one statement; at most {MAX_BYTES}")]
struct TooLarge {
    bytes: usize,
}

/// The conditional batch of a group. The receipts' ids must outlive it.
pub(super) fn bind_group<'a>(
    statements: &Statements,
    bucket: BucketId,
    group: &'a Group,
    commands: &'a [String],
) -> Result<Bound<'a>, StoreError> {
    let mut bound = Bound { batch: statements.batch(), values: Vec::new(), bytes: 0 };
    for change in &group.changes {
        bound.push_change(statements, bucket, change);
    }
    for (change, command) in group.receipts.iter().zip(commands) {
        bound.push_receipt(statements, bucket, change, command)?;
    }
    bound.checked()
}

/// The unconditional batch of records that were never there; all are alive.
pub(super) fn bind_creates<'a>(
    statements: &Statements,
    bucket: BucketId,
    rows: &'a [Row],
) -> Result<Bound<'a>, StoreError> {
    let mut bound = Bound { batch: statements.batch(), values: Vec::new(), bytes: 0 };
    for row in rows {
        let text = row.document.as_ref().map_or("", Document::as_str);
        bound.batch.append_statement(statements.create.clone());
        bound.push(Values::Create((state(row), text, key(bucket, row.id.as_str()))), text.len());
    }
    bound.checked()
}

impl<'a> Bound<'a> {
    fn push_change(&mut self, statements: &Statements, bucket: BucketId, change: &'a Change) {
        let row = &change.row;
        let (state, key) = (state(row), key(bucket, row.id.as_str()));
        let replaces = change.replaces.map(i64::from);
        if let Some(document) = &row.document {
            if failpoint::is_set("mutant-plain-write") {
                self.batch.append_statement(statements.create.clone());
                return self.push(Values::Create((state, document.as_str(), key)), document.size());
            }
            self.batch.append_statement(statements.put.clone());
            self.push(Values::Put((state, document.as_str(), key, replaces)), document.size());
        } else {
            self.batch.append_statement(statements.delete.clone());
            self.push(Values::Delete((ttl(DELETED_FOR), state, key, replaces)), 0);
        }
    }

    fn push_receipt(
        &mut self,
        statements: &Statements,
        bucket: BucketId,
        change: &'a ReceiptChange,
        command: &'a str,
    ) -> Result<(), StoreError> {
        let ReceiptChange { receipt, kept, replaces_dead } = change;
        let replaces = replaces_dead.then(|| serde_json::to_string(&DEAD)).transpose().map_err(invalid)?;
        let outcome = serde_json::to_string(&receipt.outcome).map_err(invalid)?;
        let fingerprint = receipt.fingerprint.as_ref().map(|fingerprint| &fingerprint.as_bytes()[..]);
        // Where there was none, none is left out: a null would be stored, as a tombstone that every read meets.
        let left_out = fingerprint.is_none() && !replaces_dead;
        let fingerprint = if left_out { MaybeUnset::Unset } else { MaybeUnset::Set(fingerprint) };
        let bytes = outcome.len();
        let record = receipt.record.as_str();
        self.batch.append_statement(statements.receipt.clone());
        let key = key(bucket, command);
        self.push(Values::Receipt((ttl(*kept), record, outcome, fingerprint, key, replaces)), bytes);
        Ok(())
    }

    fn push(&mut self, values: Values<'a>, bytes: usize) {
        self.values.push(values);
        self.bytes += bytes + STATEMENT_BYTES;
    }

    fn checked(self) -> Result<Self, StoreError> {
        if self.bytes > MAX_BYTES { Err(invalid(TooLarge { bytes: self.bytes })) } else { Ok(self) }
    }
}

fn state(row: &Row) -> State<'_> {
    (row.version.as_i64(), row.modified.as_micros(), row.created.as_micros(), row.owner.as_str())
}

fn key(bucket: BucketId, id: &str) -> Key<'_> {
    (bucket.collection, i32::from(bucket.bucket), id)
}

/// In whole seconds, rounded up; never 0, which would mean for ever.
fn ttl(kept: Duration) -> i32 {
    let seconds = kept.as_secs().saturating_add(u64::from(kept.subsec_nanos() > 0));
    i32::try_from(seconds.clamp(1, MAX_TTL)).unwrap_or(i32::MAX)
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Invalid(Box::new(error))
}

impl SerializeRow for Values<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match self {
            Self::Create(((version, modified, created, owner), document, (collection, bucket, id))) => {
                (version, modified, created, owner, document, collection, bucket, id)
                    .serialize(context, writer)
            }
            Self::Put((
                (version, modified, created, owner),
                document,
                (collection, bucket, id),
                replaces,
            )) => (version, modified, created, owner, document, collection, bucket, id, replaces)
                .serialize(context, writer),
            Self::Delete((ttl, (version, modified, created, owner), (collection, bucket, id), replaces)) => {
                (ttl, version, modified, created, owner, collection, bucket, id, replaces)
                    .serialize(context, writer)
            }
            Self::Receipt((ttl, record, outcome, fingerprint, (collection, bucket, id), replaces)) => {
                (ttl, record, outcome, fingerprint, collection, bucket, id, replaces)
                    .serialize(context, writer)
            }
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_never_nothing_and_never_for_ever() {
        for (kept, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (86_400_000, 86_400)] {
            assert_eq!(ttl(Duration::from_millis(kept)), seconds);
        }
        assert_eq!(ttl(Duration::MAX), 630_720_000);
    }
}
