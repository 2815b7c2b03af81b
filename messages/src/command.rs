//! Commands and the envelope they travel in.

use crate::{
    CollectionName, Document, Principal, RecordId, Timestamp,
    operation::{CloseOperation, ReadOperation},
    record::{CreateRecord, DeleteRecord, ListRecords, Patch, PatchRecord, ReadRecord, ReplaceRecord},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};
use uuid::Uuid;

/// How long a receipt answers after the command's deadline: longer than an outage may last, for its client to ask what became
/// of it when that is over; and by more than clocks may differ.
pub const RECEIPT_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The same where a client can ask again hours later: with an Idempotency-Key, deferred, or closed.
pub const LONG_RECEIPT_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Names a command for ever. UUIDv7 where the gate mints it, UUIDv5 where it is derived from an Idempotency-Key
/// (RFC 9562).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(Uuid);

impl CommandId {
    /// From a UUID.
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// As a UUID.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CommandId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// Tells two requests under one Idempotency-Key apart: a hash of all that the request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(Uuid);

impl Fingerprint {
    /// From 16 bytes of a cryptographic hash.
    pub const fn from_bytes(hash: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(hash))
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

/// A command with all that must be known to carry it out once, in time, for the right person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Names the command; the same for every delivery and every retry of it.
    pub id: CommandId,
    /// When the gate issued it.
    pub issued: Timestamp,
    /// After this it must not take effect any more.
    pub deadline: Timestamp,
    /// On whose behalf.
    pub principal: Principal,
    /// The trace it belongs to: a `traceparent` (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Set when the id was derived from an Idempotency-Key: the receipt is then kept for a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Who waits for the outcome.
    #[serde(default, skip_serializing_if = "Handling::is_direct")]
    pub handling: Handling,
    /// What is asked.
    pub command: Command,
}

/// Who waits for the outcome of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handling {
    /// Its client does.
    #[default]
    Direct,
    /// Nobody has to: its receipt tells, to whoever asks.
    Deferred,
    /// An operator, who sends a dead letter once more: the receipt that says so may be replaced.
    Replay,
}

impl Handling {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_direct(&self) -> bool {
        *self == Self::Direct
    }
}

/// One thing a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Create a record under an id of the service's making.
    CreateRecord(CreateRecord),
    /// Replace a record, or create it under the client's id.
    ReplaceRecord(ReplaceRecord),
    /// Change part of a record.
    PatchRecord(PatchRecord),
    /// Delete a record.
    DeleteRecord(DeleteRecord),
    /// Read a record.
    ReadRecord(ReadRecord),
    /// Read the records of a collection in the order of their ids.
    ListRecords(ListRecords),
    /// Tell what became of an operation so far.
    ReadOperation(ReadOperation),
    /// Settle an operation: tell its outcome, or see to it that it never has an effect.
    CloseOperation(CloseOperation),
}

impl Command {
    /// The collection it is about.
    pub fn collection(&self) -> &CollectionName {
        match self {
            Self::CreateRecord(command) => &command.collection,
            Self::ReplaceRecord(command) => &command.collection,
            Self::PatchRecord(command) => &command.collection,
            Self::DeleteRecord(command) => &command.collection,
            Self::ReadRecord(command) => &command.collection,
            Self::ListRecords(command) => &command.collection,
            Self::ReadOperation(command) => &command.operation.collection,
            Self::CloseOperation(command) => &command.operation.collection,
        }
    }

    /// The record that it names; none for a list, or where the id of the command is that of the record.
    pub fn record(&self) -> Option<&RecordId> {
        match self {
            Self::CreateRecord(_) | Self::ListRecords(_) => None,
            Self::ReplaceRecord(command) => Some(&command.record),
            Self::PatchRecord(command) => Some(&command.record),
            Self::DeleteRecord(command) => Some(&command.record),
            Self::ReadRecord(command) => Some(&command.record),
            Self::ReadOperation(command) => Some(&command.operation.record),
            Self::CloseOperation(command) => Some(&command.operation.record),
        }
    }

    /// The document or patch that it carries.
    pub fn document(&self) -> Option<&Document> {
        match self {
            Self::CreateRecord(command) => Some(&command.document),
            Self::ReplaceRecord(command) => Some(&command.document),
            Self::PatchRecord(PatchRecord { patch: Patch::Merge(patch) | Patch::Json(patch), .. }) => {
                Some(patch)
            }
            Self::DeleteRecord(_)
            | Self::ReadRecord(_)
            | Self::ListRecords(_)
            | Self::ReadOperation(_)
            | Self::CloseOperation(_) => None,
        }
    }

    /// Its name on the wire and in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateRecord(_) => "create_record",
            Self::ReplaceRecord(_) => "replace_record",
            Self::PatchRecord(_) => "patch_record",
            Self::DeleteRecord(_) => "delete_record",
            Self::ReadRecord(_) => "read_record",
            Self::ListRecords(_) => "list_records",
            Self::ReadOperation(_) => "read_operation",
            Self::CloseOperation(_) => "close_operation",
        }
    }

    /// Whether it changes nothing, so that any worker may carry it out, any number of times.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::ReadRecord(_) | Self::ListRecords(_) | Self::ReadOperation(_))
    }
}

impl Envelope {
    /// The record it is about; none for a list. A created record takes the id of the command that creates it.
    pub fn record(&self) -> Option<RecordId> {
        match &self.command {
            Command::CreateRecord(_) => Some(self.id.as_uuid().into()),
            command => command.record().cloned(),
        }
    }

    /// The trace it belongs to, by its id.
    pub fn trace_id(&self) -> Option<&str> {
        // `00-<trace>-<span>-<flags>` (W3C Trace Context §3.2).
        self.trace.as_deref()?.get(3..35)
    }
}
