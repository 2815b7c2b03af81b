//! What became of a command.

use crate::{Document, ETag, Record, RecordId, Rejection, Timestamp, Version};
use serde::{Deserialize, Deserializer, Serialize};

/// What became of a command: a success, or a rejection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A record exists that did not before.
    RecordCreated(RecordWritten),
    /// A record was replaced.
    RecordReplaced(RecordWritten),
    /// A record was changed.
    RecordPatched(RecordWritten),
    /// A record is gone.
    RecordDeleted(RecordDeleted),
    /// A record was read.
    RecordRead(Record),
    /// Records were read.
    RecordsListed(RecordsListed),
    /// An operation has no receipt yet: it may take effect, now or later.
    OperationPending,
    /// The answer is no, and nothing has changed.
    Rejected(Rejection),
}

impl Outcome {
    /// Its name on the wire and in logs: a rejection has one of its own.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RecordCreated(_) => "record_created",
            Self::RecordReplaced(_) => "record_replaced",
            Self::RecordPatched(_) => "record_patched",
            Self::RecordDeleted(_) => "record_deleted",
            Self::RecordRead(_) => "record_read",
            Self::RecordsListed(_) => "records_listed",
            Self::OperationPending => "operation_pending",
            Self::Rejected(rejection) => rejection.name(),
        }
    }
}

/// A record as a change left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordWritten {
    /// The record.
    pub id: RecordId,
    /// Its entity tag, which holds its version.
    pub etag: ETag,
    /// When it was created.
    pub created: Timestamp,
    /// When this change was made.
    pub modified: Timestamp,
    /// The new document, where the command asked for it. Never part of a receipt.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
}

/// A record that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordDeleted {
    /// The record.
    pub id: RecordId,
    /// The version that its deletion counts as.
    pub version: Version,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsListed {
    /// In the order of their ids; fewer than asked for does not mean the end.
    pub records: Vec<Listed>,
    /// Where the next page begins; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<RecordId>,
}

/// One record of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The record; its document holds only the fields that were asked for.
    pub record: Record,
    /// The entity tag of the whole record.
    pub etag: ETag,
}

/// The document `null` is a document too, not the absence of one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Document>, D::Error> {
    Document::deserialize(deserializer).map(Some)
}
