//! Operations: commands whose clients ask later what became of them.

use crate::{CollectionName, Command, CommandId, Envelope, Handling, RecordId};
use serde::{Deserialize, Serialize};

/// Where the receipt of an operation is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationKey {
    /// The command.
    #[serde(rename = "operation")]
    pub id: CommandId,
    /// Its collection.
    pub collection: CollectionName,
    /// The record it is about.
    pub record: RecordId,
    /// Whether it creates that record under an id minted for it, so that the record itself is the receipt.
    #[serde(default)]
    pub creates: bool,
}

impl OperationKey {
    /// Of a command; none for what is about no one record.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        let minted = envelope.fingerprint.is_none() && envelope.handling == Handling::Direct;
        Some(Self {
            id: envelope.id,
            collection: envelope.command.collection().clone(),
            record: envelope.record()?,
            creates: matches!(envelope.command, Command::CreateRecord(_)) && minted,
        })
    }
}

/// Tell what became of an operation so far. Nothing is settled by it: no receipt does not mean no effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOperation {
    /// Which.
    #[serde(flatten)]
    pub operation: OperationKey,
}

/// Settle an operation: tell its outcome, or see to it that it never takes effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseOperation {
    /// Which.
    #[serde(flatten)]
    pub operation: OperationKey,
    /// What its receipt says from then on, if it has none.
    #[serde(default, skip_serializing_if = "Closing::is_expired")]
    pub closing: Closing,
}

/// Why an operation can never take effect any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// Its deadline has passed.
    #[default]
    Expired,
    /// Its client took it back.
    Cancelled,
    /// It failed too often, and lies among the dead letters. Only a replay can replace this.
    Dead,
}

impl Closing {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_expired(&self) -> bool {
        *self == Self::Expired
    }
}
