//! Which slot, bucket and shard an id belongs to. Fixed for ever: stored records are found by it. A golden test
//! holds every value.

use crate::{CollectionName, RecordId};
use xxhash_rust::xxh3::xxh3_64;

/// Slots that ids fall into.
pub const SLOTS: u16 = 1024;
/// Queues of the write lane and of the deferred lane.
pub const WRITE_SHARDS: u16 = 16;
/// Queues of the read lane.
pub const READ_SHARDS: u16 = 4;

/// The slot of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a record.
    pub fn of(record: &RecordId) -> Self {
        Self(remainder(xxh3_64(record.as_str().as_bytes()), SLOTS))
    }

    /// The bucket of a collection with so many buckets (a power of two up to [`SLOTS`]).
    pub fn bucket(self, buckets: u16) -> u16 {
        self.0 % buckets
    }
}

/// The write shard of a record. As the number of buckets is a multiple of the number of shards, all of a bucket
/// lies within one shard, and the gate can route without knowing a collection's settings.
pub fn write_shard(collection: &CollectionName, record: &RecordId) -> u16 {
    (remainder(xxh3_64(collection.as_str().as_bytes()), WRITE_SHARDS) + Slot::of(record).0) % WRITE_SHARDS
}

/// The read shard of a record: fewer of them, for fuller deliveries.
pub fn read_shard(collection: &CollectionName, record: &RecordId) -> u16 {
    write_shard(collection, record) % READ_SHARDS
}

/// The read shard of what concerns a whole collection.
pub fn collection_shard(collection: &CollectionName) -> u16 {
    remainder(xxh3_64(collection.as_str().as_bytes()), READ_SHARDS)
}

fn remainder(hash: u64, modulus: u16) -> u16 {
    u16::try_from(hash % u64::from(modulus)).unwrap_or_else(|_| unreachable!("a remainder of a u16"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placement_never_changes() {
        let orders: CollectionName = "orders".parse().unwrap();
        let found = ["a", "order-1", "0190163d-8694-739b-aea5-966c26f8ad91"].map(|id| {
            let id: RecordId = id.parse().unwrap();
            (Slot::of(&id).0, Slot::of(&id).bucket(16), write_shard(&orders, &id), read_shard(&orders, &id))
        });
        assert_eq!(found, [(543, 15, 10, 2), (118, 6, 1, 1), (7, 7, 2, 2)]);
        assert_eq!(collection_shard(&orders), 3);
    }

    #[test]
    fn a_bucket_lies_within_one_shard_however_many_buckets_there_are() {
        let collection: CollectionName = "c".parse().unwrap();
        for buckets in [16, 64, 1024] {
            let mut shard_of_bucket = std::collections::HashMap::new();
            for n in 0..5_000 {
                let id: RecordId = format!("id-{n}").parse().unwrap();
                let shard = write_shard(&collection, &id);
                let known = shard_of_bucket.entry(Slot::of(&id).bucket(buckets)).or_insert(shard);
                assert_eq!(*known, shard);
            }
        }
    }
}
