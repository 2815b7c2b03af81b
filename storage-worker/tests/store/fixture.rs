//! Stores to test, and records to put there.

use messages::{CommandId, Document, ETag, Outcome, RecordId, Timestamp, Version, outcome::RecordWritten};
use std::{
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};
use storage_worker::store::{
    BucketId, Change, Committed, Group, Receipt, Row, Store, View,
    cassandra::{CassandraConfig, CassandraStore, Replication, migrate},
};
use uuid::Uuid;

pub(crate) const MINUTES: Duration = Duration::from_secs(120);

/// A store on the shared node.
pub(crate) async fn cassandra() -> CassandraStore {
    let config = cassandra_config();
    migrate(&config, &Replication::default()).await.unwrap();
    CassandraStore::connect(config).await.unwrap()
}

/// All runs share a keyspace, each test has its own collections; a new text of the schema has a new keyspace.
pub(crate) fn cassandra_config() -> CassandraConfig {
    let mut hasher = DefaultHasher::new();
    include_str!("../../schema/0001_records.cql").hash(&mut hasher);
    CassandraConfig::new(testbed::cassandra(), format!("store_{:x}", hasher.finish()))
}

/// A bucket nobody has used.
pub(crate) fn bucket() -> BucketId {
    BucketId { collection: Uuid::now_v7(), bucket: 3 }
}

pub(crate) fn id(text: &str) -> RecordId {
    text.parse().unwrap()
}

pub(crate) fn command() -> CommandId {
    CommandId::new(Uuid::now_v7())
}

pub(crate) fn version(number: i64) -> Version {
    Version::try_from(number).unwrap()
}

/// A record in some version, alive.
pub(crate) fn row(name: &str, number: i64, text: &str) -> Row {
    Row {
        id: id(name),
        version: version(number),
        created: Timestamp::from_micros(1_700_000_000_000_000),
        modified: Timestamp::from_micros(1_700_000_000_000_000 + number),
        owner: "ada".parse().unwrap(),
        document: Some(Document::parse(text.as_bytes()).unwrap()),
    }
}

/// A record in some version, deleted.
pub(crate) fn deleted(name: &str, number: i64) -> Row {
    Row { document: None, ..row(name, number, "null") }
}

pub(crate) fn receipt(command: CommandId, record: &str, number: i64) -> Receipt {
    let at = Timestamp::from_micros(number);
    Receipt {
        command,
        record: id(record),
        outcome: Outcome::RecordReplaced(RecordWritten {
            id: id(record),
            etag: ETag { version: version(number), hash: 7 },
            created: at,
            modified: at,
            document: None,
        }),
        fingerprint: None,
    }
}

/// A group that brings one row from the version before, or from nothing.
pub(crate) fn step(row: Row) -> Group {
    let before = row.version.as_i64() - 1;
    Group { changes: vec![Change { row, replaces: Version::try_from(before).ok() }], receipts: Vec::new() }
}

pub(crate) async fn apply(store: &dyn Store, bucket: BucketId, group: Group) {
    assert_eq!(store.commit(bucket, &group).await.unwrap(), Committed::Applied);
}

pub(crate) async fn refuse(store: &dyn Store, bucket: BucketId, group: Group) {
    assert_eq!(store.commit(bucket, &group).await.unwrap(), Committed::Refused);
}

/// The record, deleted or not, the same in both views.
pub(crate) async fn get(store: &dyn Store, bucket: BucketId, name: &str) -> Option<Row> {
    let ids = [id(name)];
    let mut acknowledged = store.load(bucket, &ids, &[], View::Acknowledged).await.unwrap();
    let latest = store.load(bucket, &ids, &[], View::Latest).await.unwrap();
    assert_eq!(acknowledged, latest);
    assert!(acknowledged.records.len() <= 1 && acknowledged.receipts.is_empty());
    acknowledged.records.pop()
}

pub(crate) async fn find_receipt(store: &dyn Store, bucket: BucketId, command: CommandId) -> Option<Receipt> {
    let mut rows = store.load(bucket, &[], &[command], View::Latest).await.unwrap();
    assert!(rows.receipts.len() <= 1 && rows.records.is_empty());
    rows.receipts.pop()
}

/// Waits until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{what}: after {:?}", begun.elapsed());
}
