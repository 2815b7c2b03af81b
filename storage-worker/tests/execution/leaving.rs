//! A worker that has lost its store does not sit on its shards.

use crate::fixture::{Fixture, envelope, id};
use async_trait::async_trait;
use bus::{Bus, ConsumeOptions, Lane, LocalBus};
use futures_util::future::join_all;
use messages::{Command, CommandId, Outcome, RecordId, Timestamp, record::ReadRecord};
use process::Stopper;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use storage_worker::{
    consumer::Worker,
    store::{BucketId, Capacity, Committed, Group, Row, Rows, Store, StoreError, View},
};

/// A store behind a cable that can be pulled.
struct Cable {
    store: Arc<dyn Store>,
    pulled: AtomicBool,
}

impl Cable {
    fn reach(&self) -> Result<&dyn Store, StoreError> {
        if self.pulled.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the cable is pulled".to_owned()));
        }
        Ok(&*self.store)
    }
}

#[async_trait]
impl Store for Cable {
    async fn load(
        &self,
        bucket: BucketId,
        records: &[RecordId],
        receipts: &[CommandId],
        view: View,
    ) -> Result<Rows, StoreError> {
        self.reach()?.load(bucket, records, receipts, view).await
    }

    async fn commit(&self, bucket: BucketId, group: &Group) -> Result<Committed, StoreError> {
        self.reach()?.commit(bucket, group).await
    }

    async fn create(&self, bucket: BucketId, records: &[Row]) -> Result<(), StoreError> {
        self.reach()?.create(bucket, records).await
    }

    async fn scan(&self, bucket: BucketId, after: Option<&RecordId>, limit: u32) -> Result<Rows, StoreError> {
        self.reach()?.scan(bucket, after, limit).await
    }

    async fn probe(&self) -> Result<Capacity, StoreError> {
        self.reach()?.probe().await
    }

    async fn clock(&self) -> Result<Timestamp, StoreError> {
        self.reach()?.clock().await
    }
}

pub(crate) async fn a_worker_whose_store_fails_leaves_its_shards_to_others(store: Arc<dyn Store>) {
    let fixture = Fixture::new(Arc::clone(&store)).await;
    let cable = Arc::new(Cable { store: Arc::clone(&store), pulled: AtomicBool::new(false) });
    let (bus, stopper): (Arc<dyn Bus>, _) = (Arc::new(LocalBus::new()), Stopper::new());
    let work = |name: &str, store: Arc<dyn Store>| {
        let options = ConsumeOptions { worker: name.to_owned(), lanes: Lane::ALL.to_vec(), prefetch: 8 };
        let (worker, stopper) = (Worker::new(Arc::clone(&bus), store, options), stopper.clone());
        tokio::spawn(async move { worker.run(&stopper, Duration::from_secs(5)).await })
    };
    let workers = [work("sound", store), work("cut-off", Arc::clone(&cable) as Arc<dyn Store>)];
    let writes = || (0..64).map(|n| fixture.replace(&format!("r{n}"), "1")).collect::<Vec<_>>();
    for outcome in join_all(writes().into_iter().map(|write| bus.call(write))).await {
        let outcome = outcome.unwrap().outcome;
        assert!(matches!(outcome, Outcome::RecordCreated(_)), "{outcome:?}");
    }
    cable.pulled.store(true, Ordering::Relaxed);
    // Reads go on coming, many a second, so that neither worker is ever idle.
    let reading = async {
        loop {
            let read = ReadRecord { collection: fixture.collection.clone(), record: id("r0") };
            let mut read = envelope(Command::ReadRecord(read));
            read.deadline = read.issued.after(Duration::from_millis(300));
            let _ = bus.call(read).await;
        }
    };
    let written = join_all(writes().into_iter().map(|write| bus.call(write)));
    let written = tokio::select! {
        written = written => written,
        () = reading => unreachable!("reads never end"),
    };
    for outcome in written {
        let outcome = outcome.unwrap().outcome;
        assert!(matches!(outcome, Outcome::RecordReplaced(_)), "{outcome:?}");
    }
    stopper.stop();
    for worker in workers {
        worker.await.unwrap();
    }
}
