//! Rows of the table, as they are read and as they are bound.

use crate::store::{BucketId, Receipt, Row, Rows, StoreError};
use messages::{CommandId, Fingerprint, Outcome, Timestamp, Version};
use scylla::DeserializeRow;
use thiserror::Error;
use uuid::Uuid;

/// The `kind` of a record.
pub(super) const RECORD: i8 = 0;
/// The `kind` of a receipt.
pub(super) const RECEIPT: i8 = 1;

#[derive(DeserializeRow)]
pub(super) struct Cells<'a> {
    kind: i8,
    id: &'a str,
    version: Option<i64>,
    modified: Option<i64>,
    created: Option<i64>,
    owner: Option<&'a str>,
    deleted: Option<bool>,
    doc: Option<&'a str>,
    // Selected for the sake of read repair.
    #[expect(dead_code, reason = "selected for the sake of read repair")]
    schema_version: Option<i32>,
    record: Option<&'a str>,
    outcome: Option<&'a str>,
    fingerprint: Option<&'a [u8]>,
}

/// A row that no version of this program writes.
#[derive(Debug, Error)]
#[error("row {id:?} of kind {kind} in bucket {} of {} cannot be read: {fault}", bucket.bucket, bucket.collection)]
struct UnreadableRow {
    bucket: BucketId,
    kind: i8,
    id: String,
    fault: String,
}

impl Cells<'_> {
    /// Adds the row to what was found. Remains of expired rows are nothing.
    pub(super) fn collect(&self, bucket: BucketId, rows: &mut Rows) -> Result<(), StoreError> {
        let unreadable = |fault: String| {
            StoreError::Broken(Box::new(UnreadableRow {
                bucket,
                kind: self.kind,
                id: self.id.to_owned(),
                fault,
            }))
        };
        match self.kind {
            RECORD => rows.records.extend(self.record().map_err(unreadable)?),
            RECEIPT => rows.receipts.extend(self.receipt().map_err(unreadable)?),
            _ => return Err(unreadable("unknown kind".to_owned())),
        }
        Ok(())
    }

    fn record(&self) -> Result<Option<Row>, String> {
        let Some(version) = self.version else { return Ok(None) };
        let document = match (self.deleted, self.doc) {
            (Some(true), _) => None,
            (_, Some(text)) => Some(serde_json::from_str(text).map_err(|error| error.to_string())?),
            (_, None) => return Err("neither deleted nor a document".to_owned()),
        };
        Ok(Some(Row {
            id: self.id.parse().map_err(|error| format!("{error}"))?,
            version: Version::try_from(version)?,
            created: Timestamp::from_micros(self.created.ok_or("no time of creation")?),
            modified: Timestamp::from_micros(self.modified.ok_or("no time of change")?),
            owner: self.owner.ok_or("no owner")?.parse().map_err(|error| format!("{error}"))?,
            document,
        }))
    }

    fn receipt(&self) -> Result<Option<Receipt>, String> {
        let Some(outcome) = self.outcome else { return Ok(None) };
        let fingerprint = match self.fingerprint {
            None => None,
            Some(bytes) => {
                Some(Fingerprint::from_bytes(bytes.try_into().map_err(|_| "not 16 bytes of fingerprint")?))
            }
        };
        Ok(Some(Receipt {
            command: CommandId::new(self.id.parse::<Uuid>().map_err(|error| error.to_string())?),
            record: self.record.ok_or("no record")?.parse().map_err(|error| format!("{error}"))?,
            outcome: serde_json::from_str::<Outcome>(outcome).map_err(|error| error.to_string())?,
            fingerprint,
        }))
    }
}
