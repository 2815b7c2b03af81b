//! Many commands at once, from one worker and from two.

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
use storage_worker::{
    executor::Executor,
    store::{BucketId, Capacity, Committed, Group, Row, Rows, Store, StoreError, View},
};

fn version(outcome: &Outcome) -> i64 {
    match outcome {
        Outcome::RecordCreated(written) | Outcome::RecordReplaced(written) => written.etag.version.as_i64(),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn two_workers_on_one_bucket_lose_nothing(store: Arc<dyn Store>) {
    let fixture = Fixture::new(Arc::clone(&store)).await;
    let second = Executor::new(store);
    let commands: Vec<_> = (0..100).map(|n| fixture.replace("contended", &n.to_string())).collect();
    let running = commands.iter().enumerate().map(|(n, command)| {
        let executor = if n % 2 == 0 { &fixture.executor } else { &second };
        executor.execute(command.clone())
    });
    let outcomes = join_all(running).await;
    let versions: BTreeSet<i64> =
        outcomes.iter().map(|outcome| version(&outcome.as_ref().unwrap().outcome)).collect();
    assert_eq!(versions, (1..=100).collect(), "each has a version of its own, without gaps");
    assert_eq!(fixture.read("contended").await.unwrap().0, 100);
}

/// A store that counts the statements that reach it.
struct Counted {
    store: Arc<dyn Store>,
    commits: AtomicUsize,
    loads: AtomicUsize,
}

#[async_trait]
impl Store for Counted {
    async fn load(
        &self,
        bucket: BucketId,
        records: &[RecordId],
        receipts: &[CommandId],
        view: View,
    ) -> Result<Rows, StoreError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.store.load(bucket, records, receipts, view).await
    }

    async fn commit(&self, bucket: BucketId, group: &Group) -> Result<Committed, StoreError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.store.commit(bucket, group).await
    }

    async fn create(&self, bucket: BucketId, records: &[Row]) -> Result<(), StoreError> {
        self.store.create(bucket, records).await
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

pub(crate) async fn contended_commands_share_their_statements(store: Arc<dyn Store>) {
    let counted = Arc::new(Counted { store, commits: AtomicUsize::new(0), loads: AtomicUsize::new(0) });
    let fixture = Fixture::new(Arc::clone(&counted) as Arc<dyn Store>).await;
    let commands: Vec<_> = (0..640).map(|n| fixture.replace("contended", &n.to_string())).collect();
    fixture.run(&fixture.replace("contended", "0")).await;
    let before = counted.commits.load(Ordering::Relaxed);
    let outcomes = join_all(commands.iter().map(|command| fixture.run(command))).await;
    assert_eq!(outcomes.iter().map(version).collect::<BTreeSet<_>>(), (2..=641).collect());
    let commits = counted.commits.load(Ordering::Relaxed) - before;
    // Eleven where the store is slower than the commands come; a fast store leaves less time to gather.
    assert!(commits < 320, "640 commands took {commits} commits");
    let loads = counted.loads.load(Ordering::Relaxed);
    let reads = join_all((0..640).map(|_| fixture.read("contended"))).await;
    assert!(reads.iter().all(|read| read.as_ref().is_some_and(|(version, _)| *version == 641)));
    let loads = counted.loads.load(Ordering::Relaxed) - loads;
    assert!(loads < 320, "640 reads took {loads} loads");
}
