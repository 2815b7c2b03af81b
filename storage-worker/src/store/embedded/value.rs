//! Values: a head of fixed length, which conditions and expiry look at, and JSON behind it.
//!
//! `state (1) | version (8) | until (8) | length of the facts (4) | facts | document`

use super::key;
use crate::store::{Receipt, Row};
use messages::{
    CommandId, Document, Fingerprint, Outcome, RecordId, Rejection, Timestamp, UserName, Version,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// What stands for a version in the head of a receipt: one that says `dead`, or any other.
pub(super) const DEAD_RECEIPT: i64 = 1;
const RECEIPT: i64 = 0;
const HEAD_BYTES: usize = 17;
const LENGTH_BYTES: usize = 4;

/// A value that no version of this program writes.
#[derive(Debug, Error)]
#[error("a stored value cannot be read: {0}")]
pub(super) struct UnreadableValue(String);

/// What a value says before its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    state: State,
    version: i64,
    until: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live = 1,
    Deleted = 2,
    Receipt = 3,
}

/// What is known of a record besides its document, its version and its id.
#[derive(Serialize, Deserialize)]
struct Facts {
    created: Timestamp,
    modified: Timestamp,
    owner: UserName,
}

#[derive(Serialize, Deserialize)]
struct StoredReceipt {
    record: RecordId,
    outcome: Outcome,
    fingerprint: Option<Fingerprint>,
}

impl Head {
    pub(super) fn read(value: &[u8]) -> Result<Self, UnreadableValue> {
        let unreadable = || UnreadableValue("no head".to_owned());
        let (state, rest) = value.split_first().ok_or_else(unreadable)?;
        let (version, rest) = rest.split_first_chunk().ok_or_else(unreadable)?;
        let (until, _) = rest.split_first_chunk().ok_or_else(unreadable)?;
        let state = match state {
            1 => State::Live,
            2 => State::Deleted,
            3 => State::Receipt,
            other => return Err(UnreadableValue(format!("state {other}"))),
        };
        Ok(Self { state, version: i64::from_be_bytes(*version), until: i64::from_be_bytes(*until) })
    }

    /// The version of a record.
    pub(super) fn version(self) -> i64 {
        self.version
    }

    /// When the row ends, if it does.
    pub(super) fn until(self) -> Option<Timestamp> {
        (self.until != i64::MAX).then(|| Timestamp::from_micros(self.until))
    }

    /// Whether the row is still there.
    pub(super) fn is_seen(self, now: Timestamp) -> bool {
        self.until > now.as_micros()
    }

    fn write(self) -> Vec<u8> {
        [&[self.state as u8][..], &self.version.to_be_bytes(), &self.until.to_be_bytes()].concat()
    }
}

/// A record; one that ends is deleted.
pub(super) fn encode_row(row: &Row, until: Option<Timestamp>) -> Result<Vec<u8>, serde_json::Error> {
    let state = if row.document.is_some() { State::Live } else { State::Deleted };
    let until = until.map_or(i64::MAX, Timestamp::as_micros);
    let mut value = Head { state, version: row.version.as_i64(), until }.write();
    let facts = Facts { created: row.created, modified: row.modified, owner: row.owner.clone() };
    let facts = serde_json::to_vec(&facts)?;
    let length = u32::try_from(facts.len()).map_err(serde::ser::Error::custom)?;
    value.extend_from_slice(&length.to_be_bytes());
    value.extend_from_slice(&facts);
    value.extend_from_slice(row.document.as_ref().map_or("", Document::as_str).as_bytes());
    Ok(value)
}

/// The record of a key and a value.
pub(super) fn decode_row(key: &[u8], value: &[u8]) -> Result<Row, UnreadableValue> {
    let head = Head::read(value)?;
    let (length, rest) = value[HEAD_BYTES..]
        .split_first_chunk::<LENGTH_BYTES>()
        .ok_or_else(|| UnreadableValue("no facts".to_owned()))?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(unreadable)?;
    let (facts, document) =
        rest.split_at_checked(length).ok_or_else(|| UnreadableValue("facts are cut off".to_owned()))?;
    let facts: Facts = serde_json::from_slice(facts).map_err(unreadable)?;
    let document = match head.state {
        State::Live => Some(serde_json::from_slice(document).map_err(unreadable)?),
        State::Deleted => None,
        State::Receipt => return Err(UnreadableValue("a receipt among the records".to_owned())),
    };
    Ok(Row {
        id: str::from_utf8(key::record_id(key)).map_err(unreadable)?.parse().map_err(unreadable)?,
        version: Version::try_from(head.version).map_err(unreadable)?,
        created: facts.created,
        modified: facts.modified,
        owner: facts.owner,
        document,
    })
}

pub(super) fn encode_receipt(receipt: &Receipt, until: Timestamp) -> Result<Vec<u8>, serde_json::Error> {
    let dead = receipt.outcome == Outcome::Rejected(Rejection::Dead);
    let version = if dead { DEAD_RECEIPT } else { RECEIPT };
    let mut value = Head { state: State::Receipt, version, until: until.as_micros() }.write();
    let stored = StoredReceipt {
        record: receipt.record.clone(),
        outcome: receipt.outcome.clone(),
        fingerprint: receipt.fingerprint,
    };
    serde_json::to_writer(&mut value, &stored)?;
    Ok(value)
}

/// The receipt of a command and a value.
pub(super) fn decode_receipt(command: Uuid, value: &[u8]) -> Result<Receipt, UnreadableValue> {
    Head::read(value)?;
    let stored: StoredReceipt = serde_json::from_slice(&value[HEAD_BYTES..]).map_err(unreadable)?;
    Ok(Receipt {
        command: CommandId::new(command),
        record: stored.record,
        outcome: stored.outcome,
        fingerprint: stored.fingerprint,
    })
}

fn unreadable(error: impl std::fmt::Display) -> UnreadableValue {
    UnreadableValue(format!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_whose_document_is_null_is_not_deleted() {
        let row = Row {
            id: "a".parse().unwrap(),
            version: Version::FIRST,
            created: Timestamp::from_micros(1),
            modified: Timestamp::from_micros(2),
            owner: "o".parse().unwrap(),
            document: Some(Document::parse(b"null").unwrap()),
        };
        let key = [&[0; 18][..], b"a"].concat();
        assert_eq!(decode_row(&key, &encode_row(&row, None).unwrap()).unwrap(), row);
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        for value in [&b""[..], &[1; 16], &[9; 40], &[1; 17], &[1; 19], &[2; 40], &[3; 17]] {
            assert!(decode_row(&[0; 19], value).is_err());
        }
        assert!(decode_receipt(Uuid::nil(), &[3; 17]).is_err());
    }
}
