//! A worker that has lost its store does not sit on its shards.

use crate::fixture::{Fixture, envelope, id};
use async_trait::async_trait;
use bus::{Bus, BusError, Clock, ConsumeOptions, Consumer, Deferral, Health, Lane, LocalBus};
use futures_util::future::join_all;
use messages::{
    Command, CommandId, Envelope, Handling, Outcome, RecordId, Reply, Timestamp, record::ReadRecord,
};
use process::Stopper;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use storage_worker::{
    consumer::Worker,
    store::{BucketId, Capacity, Committed, Group, Row, Rows, Store, StoreError, View},
};
use tokio::sync::{mpsc, watch};

/// A store behind a cable that can be pulled.
struct Cable {
    store: Arc<dyn Store>,
    pulled: AtomicBool,
    /// So many commits from now on fail, while all else is in order.
    failing_commits: AtomicUsize,
}

impl Cable {
    fn to(store: &Arc<dyn Store>) -> Arc<Self> {
        let (pulled, failing_commits) = (AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Self { store: Arc::clone(store), pulled, failing_commits })
    }

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
        let fewer = |failing: usize| failing.checked_sub(1);
        if self.failing_commits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok() {
            return Err(StoreError::Unavailable("the disk is full".to_owned()));
        }
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
    let cable = Cable::to(&store);
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

/// A bus that counts deliveries of deferred changes.
struct Counted {
    bus: LocalBus,
    deliveries: Arc<AtomicUsize>,
}

#[async_trait]
impl Bus for Counted {
    async fn call(&self, envelope: Envelope) -> Result<Reply, BusError> {
        self.bus.call(envelope).await
    }

    async fn defer(&self, envelope: Envelope, deferral: Deferral) -> Result<Option<Reply>, BusError> {
        self.bus.defer(envelope, deferral).await
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<Consumer, BusError> {
        let mut consumer = self.bus.consume(options).await?;
        let (counted, deliveries) = mpsc::channel(1);
        let count = Arc::clone(&self.deliveries);
        tokio::spawn(async move {
            while let Some(delivery) = consumer.deliveries.recv().await {
                count.fetch_add(usize::from(delivery.queue.lane == Lane::Deferred), Ordering::Relaxed);
                if counted.send(delivery).await.is_err() {
                    break;
                }
            }
        });
        Ok(Consumer { deliveries, cancel: consumer.cancel })
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.bus.health()
    }

    fn clock(&self) -> watch::Receiver<Clock> {
        self.bus.clock()
    }

    fn backlog(&self) -> Duration {
        self.bus.backlog()
    }

    async fn close(&self) {
        self.bus.close().await;
    }
}

/// The broker gives up what came back too often, whoever is to blame. That a store cannot write is not seen by its probe.
pub(crate) async fn a_deferred_change_that_the_store_lets_down_is_not_returned(store: Arc<dyn Store>) {
    let fixture = Fixture::new(Arc::clone(&store)).await;
    let (cable, deliveries) = (Cable::to(&store), Arc::new(AtomicUsize::new(0)));
    let bus = Arc::new(Counted { bus: LocalBus::new(), deliveries: Arc::clone(&deliveries) });
    let options = ConsumeOptions { worker: "one".to_owned(), lanes: vec![Lane::Deferred], prefetch: 8 };
    let worker = Worker::new(Arc::clone(&bus) as Arc<dyn Bus>, Arc::clone(&cable) as Arc<dyn Store>, options);
    let stopper = Stopper::new();
    let working = tokio::spawn({
        let stopper = stopper.clone();
        async move { worker.run(&stopper, Duration::from_secs(5)).await }
    });
    // More often than the patience of one try.
    cable.failing_commits.store(15, Ordering::Relaxed);
    let deferred = Envelope { handling: Handling::Deferred, ..fixture.replace("a", "1") };
    let deferral = Deferral { kept_within: Duration::from_secs(60), wait: Duration::ZERO };
    let outcome = bus.defer(deferred, deferral).await.unwrap().unwrap().outcome;
    assert!(matches!(outcome, Outcome::RecordCreated(_)), "{outcome:?}");
    assert_eq!(cable.failing_commits.load(Ordering::Relaxed), 0);
    assert_eq!(deliveries.load(Ordering::Relaxed), 1);
    stopper.stop();
    working.await.unwrap();
}
