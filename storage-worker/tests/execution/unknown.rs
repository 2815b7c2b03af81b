//! A store that does not know what became of a write: it was applied, or was not, and the answer is the same. Around
//! a real store, whose answers are lost.

use crate::fixture::Fixture;
use async_trait::async_trait;
use futures_util::future::join_all;
use messages::{CommandId, Outcome, RecordId, Timestamp};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use storage_worker::store::{BucketId, Capacity, Committed, Group, Row, Rows, Store, StoreError, View};

/// Loses the answer to two of three writes: the first is applied, the second is not.
struct Lossy {
    store: Arc<dyn Store>,
    writes: AtomicUsize,
}

impl Lossy {
    fn lost() -> StoreError {
        StoreError::Unknown("the answer is lost".into())
    }
}

#[async_trait]
impl Store for Lossy {
    async fn load(
        &self,
        bucket: BucketId,
        records: &[RecordId],
        receipts: &[CommandId],
        view: View,
    ) -> Result<Rows, StoreError> {
        self.store.load(bucket, records, receipts, view).await
    }

    async fn commit(&self, bucket: BucketId, group: &Group) -> Result<Committed, StoreError> {
        match self.writes.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => self.store.commit(bucket, group).await.and(Err(Self::lost())),
            1 => Err(Self::lost()),
            _ => self.store.commit(bucket, group).await,
        }
    }

    async fn create(&self, bucket: BucketId, records: &[Row]) -> Result<(), StoreError> {
        match self.writes.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => self.store.create(bucket, records).await.and(Err(Self::lost())),
            1 => Err(Self::lost()),
            _ => self.store.create(bucket, records).await,
        }
    }

    async fn scan(&self, bucket: BucketId, after: Option<&RecordId>, limit: u32) -> Result<Rows, StoreError> {
        self.store.scan(bucket, after, limit).await
    }

    async fn probe(&self) -> Result<Capacity, StoreError> {
        self.store.probe().await
    }

    async fn clock(&self) -> Result<Timestamp, StoreError> {
        self.store.clock().await
    }
}

pub(crate) async fn a_write_of_unknown_end_has_one_effect(store: Arc<dyn Store>) {
    let fixture = Fixture::new(Arc::new(Lossy { store, writes: AtomicUsize::new(0) })).await;
    for round in 0..6 {
        let replaces = (0..20).map(|n| fixture.replace("contended", &n.to_string())).collect::<Vec<_>>();
        let creates = (0..20).map(|n| fixture.create(&n.to_string())).collect::<Vec<_>>();
        let outcomes = join_all(replaces.iter().chain(&creates).map(|command| fixture.run(command))).await;
        let versions = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::RecordReplaced(written) => Some(written.etag.version.as_i64()),
            Outcome::RecordCreated(written) if written.id.as_str() == "contended" => Some(1),
            Outcome::RecordCreated(_) => None,
            other => panic!("{other:?}"),
        });
        let expected: BTreeSet<i64> = (round * 20 + 1..=round * 20 + 20).collect();
        assert_eq!(versions.collect::<BTreeSet<_>>(), expected, "one effect each, without gaps");
        for create in &creates {
            assert_eq!(fixture.read(create.record().unwrap().as_str()).await.unwrap().0, 1);
        }
    }
}
