//! A command that no worker can carry out dies, and takes no neighbour with it. A replay carries it out once.

use crate::fixture::{Fixture, envelope, id};
use async_trait::async_trait;
use bus::{Bus, ConsumeOptions, Lane, LocalBus};
use futures_util::future::join_all;
use messages::{
    CollectionName, Command, CommandId, Envelope, Handling, Letter, Outcome, RecordId, Rejection, Timestamp,
    record::ReadRecord,
};
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
    gathering::Together,
    reader::GroupRead,
    store::{BucketId, Capacity, Committed, Group, Row, Rows, Store, StoreError, View},
};

const POISON: &str = "poison";

/// A store one of whose records cannot be read.
struct Damaged {
    store: Arc<dyn Store>,
    is_damaged: AtomicBool,
}

#[async_trait]
impl Store for Damaged {
    async fn load(
        &self,
        bucket: BucketId,
        records: &[RecordId],
        receipts: &[CommandId],
        view: View,
    ) -> Result<Rows, StoreError> {
        let touched = records.iter().any(|record| record.as_str() == POISON);
        if touched && self.is_damaged.load(Ordering::Relaxed) {
            return Err(StoreError::Broken("half a row".into()));
        }
        self.store.load(bucket, records, receipts, view).await
    }

    async fn commit(&self, bucket: BucketId, group: &Group) -> Result<Committed, StoreError> {
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

pub(crate) async fn a_command_that_cannot_be_carried_out_dies_alone(store: Arc<dyn Store>) {
    let fixture = Fixture::new(Arc::clone(&store)).await;
    let damaged = Arc::new(Damaged { store, is_damaged: AtomicBool::new(true) });
    let (bus, stopper): (Arc<dyn Bus>, _) = (Arc::new(LocalBus::new()), Stopper::new());
    let options = ConsumeOptions { worker: "worker".to_owned(), lanes: Lane::ALL.to_vec(), prefetch: 8 };
    let worker = Worker::new(Arc::clone(&bus), Arc::clone(&damaged) as Arc<dyn Store>, options);
    let working = tokio::spawn({
        let stopper = stopper.clone();
        async move { worker.run(&stopper, Duration::from_secs(5)).await }
    });
    // Of one bucket, and of one delivery.
    let shard = bus::Queue::of(&fixture.replace(POISON, "1")).shard;
    let neighbours = (0..).map(|n| fixture.replace(&format!("n{n}"), "1"));
    let neighbours: Vec<_> = neighbours.filter(|n| bus::Queue::of(n).shard == shard).take(10).collect();
    let poison = fixture.replace(POISON, "1");
    let calls = neighbours.iter().chain([&poison]).map(|command| bus.call(command.clone()));
    let mut outcomes: Vec<_> =
        join_all(calls).await.into_iter().map(|reply| reply.unwrap().outcome).collect();
    assert_eq!(outcomes.pop(), Some(Outcome::Rejected(Rejection::Dead)));
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::RecordCreated(_))), "{outcomes:?}");

    let letter = read_letter(&fixture, poison.id).await.unwrap();
    assert_eq!((&*letter.reason, letter.redacted), ("failed", false));
    assert!(letter.error.as_deref().is_some_and(|error| error.contains("half a row")), "{letter:?}");
    assert_eq!(letter.envelope.as_ref(), Some(&poison));
    assert_eq!(fixture.run(&poison).await, Outcome::Rejected(Rejection::Dead), "a copy of it is as dead");

    damaged.is_damaged.store(false, Ordering::Relaxed);
    let replay = Envelope { handling: Handling::Replay, ..poison.clone() };
    let replayed =
        [bus.call(replay.clone()).await, bus.call(replay).await].map(|reply| reply.unwrap().outcome);
    assert!(matches!(&replayed[0], Outcome::RecordCreated(_)), "{replayed:?}");
    assert_eq!(replayed[0], replayed[1]);
    assert_eq!(fixture.read(POISON).await, Some((1, "1".to_owned())));
    stopper.stop();
    working.await.unwrap();
}

pub(crate) async fn a_record_that_cannot_be_read_fails_no_other_read(store: Arc<dyn Store>) {
    let damaged = Damaged { store, is_damaged: AtomicBool::new(true) };
    let reads = GroupRead { store: Arc::new(damaged) };
    let bucket = BucketId { collection: uuid::Uuid::now_v7(), bucket: 0 };
    let together = ["a", POISON, "b", POISON, "a"];
    let answers = reads.run(bucket, together.map(id).to_vec()).await;
    let is_read: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(is_read, together.map(|id| id != POISON));
}

async fn read_letter(fixture: &Fixture, command: CommandId) -> Option<Letter> {
    let (collection, record) = (CollectionName::dead_letters(), id(&command.to_string()));
    let read = ReadRecord { collection, record };
    match fixture.run(&envelope(Command::ReadRecord(read))).await {
        Outcome::RecordRead(record) => Some(record.document.read().unwrap()),
        _ => None,
    }
}
