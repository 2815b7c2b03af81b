//! What the store on Cassandra does when the node goes away, and what it refuses to send.

use crate::fixture::{
    MINUTES, apply, bucket, cassandra, command, eventually, find_receipt, get, receipt, row, step,
};
use messages::CommandId;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use storage_worker::store::{
    BucketId, Committed, Group, ReceiptChange, Store, StoreError, View,
    cassandra::{CassandraConfig, CassandraStore, Replication, migrate, truncate},
};
use tokio::task::JoinSet;

/// More than the time-out of a request: nothing hangs.
const PROMPTLY: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_too_large_is_invalid() {
    let store = cassandra().await;
    let bucket = bucket();
    let text = format!("\"{}\"", "x".repeat(1 << 20));
    let rows: Vec<_> = (10..26).map(|number| row(&number.to_string(), 1, &text)).collect();
    let group = Group {
        changes: rows.iter().cloned().flat_map(|row| step(row).changes).collect(),
        receipts: Vec::new(),
    };
    let answer = store.commit(bucket, &group).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    let answer = store.create(bucket, &rows).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    assert_eq!(store.scan(bucket, None, 100).await.unwrap().records, []);
    // Just as large as is allowed.
    let group = Group { changes: group.changes[..11].to_vec(), receipts: Vec::new() };
    apply(&store, bucket, group).await;
    store.create(bucket, &rows[11..]).await.unwrap();
    assert_eq!(store.scan(bucket, None, 100).await.unwrap().records, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_keyspace_has_neither_records_nor_receipts_and_takes_both() {
    let config = CassandraConfig::new(testbed::cassandra(), format!("t{}", uuid::Uuid::now_v7().simple()));
    migrate(&config, &Replication::default()).await.unwrap();
    let store = CassandraStore::connect(config.clone()).await.unwrap();
    let (bucket, command) = (bucket(), command());
    let group = Group {
        changes: step(row("a", 1, "1")).changes,
        receipts: vec![ReceiptChange::first(receipt(command, "a", 1), MINUTES)],
    };
    apply(&store, bucket, group.clone()).await;
    truncate(&config).await.unwrap();
    assert_eq!(get(&store, bucket, "a").await, None);
    assert_eq!(find_receipt(&store, bucket, command).await, None);
    apply(&store, bucket, group).await;
    assert_eq!(get(&store, bucket, "a").await, Some(row("a", 1, "1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_there_is_said_to_be_so_quickly() {
    let port = testbed::free_port().unwrap();
    let begun = Instant::now();
    let config = CassandraConfig::new(vec![format!("127.0.0.1:{port}")], "nowhere");
    match CassandraStore::connect(config).await {
        Err(error) => assert!(error.is_retryable(), "{error:?}"),
        Ok(store) => panic!("{store:?}"),
    }
    assert!(begun.elapsed() < PROMPTLY);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_killed_node_and_the_store_finds_it_again() {
    let scratch = testbed::Scratch::new().unwrap();
    let place = scratch.path().to_owned();
    let mut node = blocking(move || testbed::Cassandra::start(&place).unwrap()).await;
    let config = CassandraConfig::new(vec![node.address().to_string()], "killed");
    migrate(&config, &Replication::default()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(CassandraStore::connect(config).await.unwrap());

    let writers = Writers::start(&store);
    eventually("some commits", || async { writers.count.load(Ordering::Relaxed) > 400 }).await;
    let mut node = blocking(move || {
        node.kill();
        node
    })
    .await;
    let acknowledged = writers.finish().await;

    // Nothing hangs while it is away, and nothing is said that may be wrong.
    let (bucket, command) = (bucket(), command());
    let begun = Instant::now();
    let answer = store.load(bucket, &["a".parse().unwrap()], &[], View::Latest).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    let group = Group {
        changes: step(row("a", 1, "1")).changes,
        receipts: vec![ReceiptChange::first(receipt(command, "a", 1), MINUTES)],
    };
    let answer = store.commit(bucket, &group).await;
    assert!(answer.is_err_and(|error| error.is_retryable()));
    let answer = store.create(bucket, &[row("b", 1, "1")]).await;
    assert!(answer.is_err_and(|error| error.is_retryable()));
    assert!(store.probe().await.is_err());
    assert!(begun.elapsed() < PROMPTLY * 4, "{:?}", begun.elapsed());

    let node = blocking(move || {
        node.restart().unwrap();
        node
    })
    .await;
    eventually("the store serves again", || async { store.probe().await.is_ok() }).await;
    for (place, command, number) in acknowledged {
        let found = find_receipt(&*store, place, command).await;
        assert_eq!(found, Some(receipt(command, "a", number)));
        let version = get(&*store, place, "a").await.unwrap().version.as_i64();
        assert!(version >= number, "{version} < {number}");
    }
    apply(&*store, bucket, group).await;
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_a_frozen_node_does_not_answer_is_unknown_and_may_be_applied_later() {
    let scratch = testbed::Scratch::new().unwrap();
    let place = scratch.path().to_owned();
    let mut node = blocking(move || testbed::Cassandra::start(&place).unwrap()).await;
    let mut config = CassandraConfig::new(vec![node.address().to_string()], "frozen");
    migrate(&config, &Replication::default()).await.unwrap();
    // A node that has just started may take longer for its first write than one that stands still is waited for.
    let patient = CassandraStore::connect(config.clone()).await.unwrap();
    config.request_timeout = Duration::from_secs(1);
    let store = CassandraStore::connect(config).await.unwrap();
    let (bucket, command) = (bucket(), command());
    apply(&patient, bucket, step(row("a", 1, "1"))).await;

    node.freeze().unwrap();
    let begun = Instant::now();
    let group = Group {
        changes: step(row("a", 2, "2")).changes,
        receipts: vec![ReceiptChange::first(receipt(command, "a", 2), MINUTES)],
    };
    let answer = store.commit(bucket, &group).await;
    assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    let answer = store.load(bucket, &["a".parse().unwrap()], &[], View::Acknowledged).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(begun.elapsed() < PROMPTLY, "{:?}", begun.elapsed());

    node.thaw().unwrap();
    eventually("the store serves again", || async { store.probe().await.is_ok() }).await;
    // It was on its way all the time: long after its caller had given up, it takes effect.
    eventually("the write is applied", || async {
        find_receipt(&patient, bucket, command).await == Some(receipt(command, "a", 2))
    })
    .await;
    assert_eq!(get(&patient, bucket, "a").await, Some(row("a", 2, "2")));
}

/// Commits to a few buckets until one answer is an error.
struct Writers {
    tasks: JoinSet<Vec<(BucketId, CommandId, i64)>>,
    count: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Writers {
    fn start(store: &Arc<dyn Store>) -> Self {
        let (count, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let (store, count, stopped) = (Arc::clone(store), Arc::clone(&count), Arc::clone(&stopped));
            tasks.spawn(async move {
                let (bucket, mut acknowledged) = (bucket(), Vec::new());
                for number in 1.. {
                    let command = command();
                    let group = Group {
                        changes: step(row("a", number, "1")).changes,
                        receipts: vec![ReceiptChange::first(receipt(command, "a", number), MINUTES * 10)],
                    };
                    match store.commit(bucket, &group).await {
                        Ok(Committed::Applied) => acknowledged.push((bucket, command, number)),
                        Ok(Committed::Refused) => panic!("nobody else writes here"),
                        Err(error) => {
                            assert!(error.is_retryable(), "{error:?}");
                            break;
                        }
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                }
                acknowledged
            });
        }
        Self { tasks, count, stopped }
    }

    async fn finish(self) -> Vec<(BucketId, CommandId, i64)> {
        self.stopped.store(true, Ordering::Relaxed);
        tokio::time::timeout(PROMPTLY * 2, self.tasks.join_all()).await.unwrap().concat()
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
