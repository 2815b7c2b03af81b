//! What reaches the store: of many commands at once, from one worker and from two; and of asking and closing.

use crate::fixture::{Fixture, ask, close, document, envelope, id};
use async_trait::async_trait;
use futures_util::future::join_all;
use messages::{
    Command, CommandId, Document, Envelope, Outcome, Precondition, RecordId, Timestamp,
    record::{Answer, Patch, PatchRecord},
    time::MAX_CLOCK_SKEW,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use storage_worker::{
    accounts::Accounts,
    collections::Collections,
    committer::Committer,
    decide::group::{Asked, Target},
    executor::Executor,
    gathering::Together,
    store::{BucketId, Capacity, Committed, Group, Row, Rows, Store, StoreError, View},
};
use uuid::Uuid;

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
        executor.execute(command)
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
    /// Loads that bring writes in flight to an end.
    latest: AtomicUsize,
    /// Records that commits changed.
    changed: AtomicUsize,
    /// The most bytes of documents in one commit.
    heaviest: AtomicUsize,
    /// Records that were loaded together with receipts.
    told: Mutex<BTreeSet<RecordId>>,
}

impl Counted {
    fn of(store: Arc<dyn Store>) -> Arc<Self> {
        let [commits, loads, latest, changed, heaviest] = [const { AtomicUsize::new(0) }; 5];
        Arc::new(Self { store, commits, loads, latest, changed, heaviest, told: Mutex::default() })
    }
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
        self.latest.fetch_add(usize::from(view == View::Latest), Ordering::Relaxed);
        if !receipts.is_empty() {
            self.told.lock().unwrap().extend(records.iter().cloned());
        }
        self.store.load(bucket, records, receipts, view).await
    }

    async fn commit(&self, bucket: BucketId, group: &Group) -> Result<Committed, StoreError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.changed.fetch_add(group.changes.len(), Ordering::Relaxed);
        let documents = group.changes.iter().filter_map(|change| change.row.document.as_ref());
        self.heaviest.fetch_max(documents.map(Document::size).sum(), Ordering::Relaxed);
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
    let counted = Counted::of(store);
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

/// Reads that bring writes to an end push them aside. When the store is slow everybody asks, and it would stay slow.
pub(crate) async fn asking_after_operations_stands_in_no_ones_way(store: Arc<dyn Store>) {
    let counted = Counted::of(store);
    let fixture = Fixture::new(Arc::clone(&counted) as Arc<dyn Store>).await;
    for operation in [fixture.replace("a", "1"), fixture.create("1")] {
        for told in [false, true] {
            assert_eq!(fixture.run(&ask(&operation)).await != Outcome::OperationPending, told);
            fixture.run(&operation).await;
        }
    }
    assert_eq!(counted.latest.load(Ordering::Relaxed), 0);
}

/// A majority has what was read, and only that: who is told of a change must find it, wherever they look next.
pub(crate) async fn a_receipt_is_read_with_the_record_it_tells_of(store: Arc<dyn Store>) {
    let counted = Counted::of(store);
    let fixture = Fixture::new(Arc::clone(&counted) as Arc<dyn Store>).await;
    let (asked, closed) = (fixture.replace("asked", "1"), fixture.replace("closed", "1"));
    for (question, operation) in [(ask(&asked), asked), (close(&closed), closed)] {
        let outcome = fixture.run(&operation).await;
        counted.told.lock().unwrap().clear();
        assert_eq!(fixture.run(&question).await, outcome);
        assert_eq!(*counted.told.lock().unwrap(), BTreeSet::from([operation.record().unwrap()]));
    }
}

/// It was written without a condition, and whether that reached a majority is what its gate does not know.
pub(crate) async fn a_create_that_is_found_when_it_is_closed_is_made_sure_of(store: Arc<dyn Store>) {
    let counted = Counted::of(store);
    let fixture = Fixture::new(Arc::clone(&counted) as Arc<dyn Store>).await;
    let create = fixture.create("1");
    let outcome = fixture.run(&create).await;
    let before = counted.changed.load(Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(fixture.run(&close(&create)).await, outcome);
        assert_eq!(counted.changed.load(Ordering::Relaxed), before + 1, "once");
    }
    assert_eq!(fixture.read(create.record().unwrap().as_str()).await, Some((1, "1".to_owned())));
}

/// Another worker, whose clock is ahead, may take it for late and close it.
pub(crate) async fn a_create_close_to_its_deadline_is_settled_on_a_condition(store: Arc<dyn Store>) {
    let counted = Counted::of(store);
    let fixture = Fixture::new(Arc::clone(&counted) as Arc<dyn Store>).await;
    let create = fixture.create("1");
    let create = Envelope { deadline: process::now().after(MAX_CLOCK_SKEW), ..create };
    let commits = counted.commits.load(Ordering::Relaxed);
    let outcome = fixture.run(&create).await;
    assert!(matches!(outcome, Outcome::RecordCreated(_)), "{outcome:?}");
    assert_eq!(counted.commits.load(Ordering::Relaxed), commits + 1);
}

/// Nobody knows how large documents are before they are read, nor what comes of them before it is decided.
pub(crate) async fn what_turns_out_too_large_is_written_in_parts(store: Arc<dyn Store>) {
    const LARGE: usize = 24;
    let counted = Counted::of(store);
    let store = Arc::clone(&counted) as Arc<dyn Store>;
    let fixture = Fixture::new(Arc::clone(&store)).await;
    let (found, _) = Collections::of(Arc::clone(&store)).find(&fixture.collection).await.unwrap();
    let target = Target::Collection(found.unwrap());
    let committer = Committer::new(Arc::clone(&store), Accounts::of(store));
    let bucket = BucketId { collection: Uuid::now_v7(), bucket: 0 };
    let run = async |commands: Vec<Envelope>| {
        let asked = commands.into_iter().map(|envelope| Asked { envelope, target: target.clone() });
        let asked: Vec<_> = asked.collect();
        let together = committer.fitting(bucket, asked.iter());
        let settled = committer.run(bucket, asked).await.into_iter();
        (together, settled.map(|answer| answer.unwrap().unwrap()).collect::<Vec<_>>())
    };
    let large = json!({"text": "x".repeat(400_000)}).to_string();
    for number in 0..LARGE {
        run(vec![fixture.replace(&number.to_string(), &large)]).await;
    }
    let patch = |number: usize, patch| {
        let (collection, record) = (fixture.collection.clone(), id(&number.to_string()));
        let (precondition, answer) = (Precondition::default(), Answer::Minimal);
        envelope(Command::PatchRecord(PatchRecord { collection, record, patch, precondition, answer }))
    };
    // A megabyte is written together.
    let known = (0..LARGE).map(|number| patch(number, Patch::Merge(document("{}")))).collect();
    assert_eq!(run(known).await.0, 2);
    let marked = |number| patch(number, Patch::Merge(document(r#"{"n":1}"#)));
    let double = r#"[{"op":"copy","from":"/text","path":"/more"}]"#;
    let doubled = |number| patch(number, Patch::Json(document(double)));
    let deleted = |number: usize| fixture.delete(&number.to_string());
    // Too large when they are decided, or already when they are read.
    let cases: [(&dyn Fn(usize) -> Envelope, _, _); 3] =
        [(&doubled, 8, 2), (&marked, LARGE, 8), (&deleted, LARGE, 8)];
    for (change, count, parts) in cases {
        // By what they were lately, they are small.
        for _ in 0..100 {
            run(vec![fixture.replace("small", "{}")]).await;
        }
        let commits = counted.commits.load(Ordering::Relaxed);
        let (together, outcomes) = run((0..count).map(change).collect()).await;
        assert_eq!(together, count);
        assert!(!outcomes.iter().any(|outcome| matches!(outcome, Outcome::Rejected(_))), "{outcomes:?}");
        assert_eq!(counted.commits.load(Ordering::Relaxed) - commits, parts);
    }
    assert!(counted.heaviest.load(Ordering::Relaxed) <= 4 << 20);
}
