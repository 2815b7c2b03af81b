//! A store that counts the statements that reach it.

use async_trait::async_trait;
use messages::{CommandId, RecordId, Timestamp};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use storage_worker::store::{BucketId, Capacity, Committed, Group, Row, Rows, Store, StoreError, View};

pub(crate) struct Counted<S> {
    store: S,
    statements: Arc<AtomicU64>,
}

impl<S> Counted<S> {
    pub(crate) fn new(store: S) -> (Self, Arc<AtomicU64>) {
        let statements = Arc::<AtomicU64>::default();
        (Self { store, statements: Arc::clone(&statements) }, statements)
    }

    fn one(&self) -> &S {
        self.statements.fetch_add(1, Ordering::Relaxed);
        &self.store
    }
}

#[async_trait]
impl<S: Store> Store for Counted<S> {
    async fn load(
        &self,
        bucket: BucketId,
        records: &[RecordId],
        receipts: &[CommandId],
        view: View,
    ) -> Result<Rows, StoreError> {
        self.one().load(bucket, records, receipts, view).await
    }

    async fn commit(&self, bucket: BucketId, group: &Group) -> Result<Committed, StoreError> {
        self.one().commit(bucket, group).await
    }

    async fn create(&self, bucket: BucketId, records: &[Row]) -> Result<(), StoreError> {
        self.one().create(bucket, records).await
    }

    async fn scan(&self, bucket: BucketId, after: Option<&RecordId>, limit: u32) -> Result<Rows, StoreError> {
        self.one().scan(bucket, after, limit).await
    }

    async fn probe(&self) -> Result<Capacity, StoreError> {
        self.store.probe().await
    }

    async fn clock(&self) -> Result<Timestamp, StoreError> {
        self.store.clock().await
    }
}
