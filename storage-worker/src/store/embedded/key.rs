//! Keys: a bucket's rows lie side by side, in the order of their ids.

use crate::store::BucketId;
use messages::{CommandId, RecordId, Timestamp};
use std::ops::Bound;

const BUCKET_BYTES: usize = 18;
const TIME_BYTES: usize = 8;

/// Which of the three tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Table {
    Records,
    Receipts,
    /// What ends when: a key here is a time, a table and a key of that table.
    Expiries,
}

/// A row's place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) table: Table,
    pub(super) bytes: Vec<u8>,
}

impl Key {
    pub(super) fn record(bucket: BucketId, id: &RecordId) -> Self {
        Self { table: Table::Records, bytes: [&prefix(bucket)[..], id.as_str().as_bytes()].concat() }
    }

    pub(super) fn receipt(bucket: BucketId, command: CommandId) -> Self {
        Self { table: Table::Receipts, bytes: [&prefix(bucket)[..], command.as_uuid().as_bytes()].concat() }
    }

    /// The entry that says that this row ends then.
    pub(super) fn expiry(&self, until: Timestamp) -> Self {
        let table = match self.table {
            Table::Receipts => 1,
            Table::Records | Table::Expiries => 0,
        };
        Self { table: Table::Expiries, bytes: [&time(until)[..], &[table], &self.bytes].concat() }
    }

    /// The row that such an entry is about, and when it ends.
    pub(super) fn expiring(expiry: &[u8]) -> Option<(Timestamp, Self)> {
        let (until, rest) = expiry.split_first_chunk::<TIME_BYTES>()?;
        let (table, bytes) = match rest.split_first()? {
            (0, bytes) => (Table::Records, bytes),
            (1, bytes) => (Table::Receipts, bytes),
            _ => return None,
        };
        Some((Timestamp::from_micros(i64::from_be_bytes(*until)), Self { table, bytes: bytes.to_vec() }))
    }
}

/// The records of a bucket behind an id.
pub(super) fn records_after(bucket: BucketId, after: Option<&RecordId>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let from = after.map_or_else(|| prefix(bucket).to_vec(), |id| Key::record(bucket, id).bytes);
    // A tilde is the last character of an id; nothing of this bucket follows 0xff.
    let to = [&prefix(bucket)[..], &[0xff]].concat();
    (Bound::Excluded(from), Bound::Excluded(to))
}

/// The id in a record's key.
pub(super) fn record_id(key: &[u8]) -> &[u8] {
    key.get(BUCKET_BYTES..).unwrap_or_default()
}

/// Between which keys the expiries lie that come behind `after` and whose time has come.
pub(super) fn expiries_until(after: &[u8], now: Timestamp) -> (Vec<u8>, Vec<u8>) {
    (after.to_vec(), time(Timestamp::from_micros(now.as_micros().saturating_add(1))).to_vec())
}

fn prefix(bucket: BucketId) -> [u8; BUCKET_BYTES] {
    let mut prefix = [0; BUCKET_BYTES];
    prefix[..16].copy_from_slice(bucket.collection.as_bytes());
    prefix[16..].copy_from_slice(&bucket.bucket.to_be_bytes());
    prefix
}

/// Times before 1970, which no clock here shows, would sort last.
fn time(at: Timestamp) -> [u8; TIME_BYTES] {
    at.as_micros().max(0).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn an_expiry_leads_back_to_its_row() {
        let bucket = BucketId { collection: Uuid::from_u128(7), bucket: 1023 };
        let until = Timestamp::from_micros(1_700_000_000_000_000);
        for key in [
            Key::record(bucket, &"a~".parse().unwrap()),
            Key::receipt(bucket, CommandId::new(Uuid::from_u128(9))),
        ] {
            assert_eq!(Key::expiring(&key.expiry(until).bytes), Some((until, key)));
        }
        assert_eq!(Key::expiring(b"short"), None);
    }
}
