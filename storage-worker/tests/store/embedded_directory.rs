//! What the embedded store promises about its directory: what was acknowledged is there, whatever ends the
//! process, and nobody else gets in.

use crate::fixture::{MINUTES, apply, bucket, command, deleted, find_receipt, get, receipt, row, step};
use messages::Timestamp;
use std::{
    collections::HashMap,
    env, fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use storage_worker::store::{
    BucketId, Committed, DELETED_FOR, Group, ReceiptChange, Store, StoreError, embedded::EmbeddedStore,
};
use uuid::Uuid;

/// Set in the process that is to be killed.
const DIRECTORY: &str = "PENSTOCK_TEST_KILLED_DIRECTORY";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let (bucket, command) = (bucket(), command());
    let group = Group {
        changes: [row("a", 1, "1"), deleted("b", 1)].into_iter().flat_map(|row| step(row).changes).collect(),
        receipts: vec![ReceiptChange::first(receipt(command, "a", 1), MINUTES)],
    };
    let store = EmbeddedStore::open(directory.path()).unwrap();
    apply(&store, bucket, group).await;
    store.create(bucket, &[row("c", 1, "1")]).await.unwrap();
    drop(store);
    for _ in 0..2 {
        let store = EmbeddedStore::open(directory.path()).unwrap();
        let rows = [row("a", 1, "1"), deleted("b", 1), row("c", 1, "1")];
        assert_eq!(store.scan(bucket, None, 10).await.unwrap().records, rows);
        assert_eq!(find_receipt(&store, bucket, command).await, Some(receipt(command, "a", 1)));
    }
}

/// This test is two processes: in the one it starts, it writes until it is killed.
#[test]
fn what_was_acknowledged_before_a_kill_is_there() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return write_until_killed(Path::new(&directory));
    }
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("store");
    for round in 1..=3 {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "embedded_directory::what_was_acknowledged_before_a_kill_is_there"]);
        command.arg("--nocapture").env(DIRECTORY, &directory);
        let log = scratch.path().join(format!("{round}.log"));
        let mut writer = testbed::Process::spawn(command, &log).unwrap();
        let acknowledged = |log: &Path| -> Vec<(String, i64)> {
            let text = fs::read_to_string(log).unwrap();
            let lines = text.lines().filter_map(|line| line.strip_prefix("acknowledged "));
            let mut found = Vec::new();
            for line in lines {
                // The last line may have been cut off by the kill.
                let Some((name, number)) = line.split_once(' ') else { continue };
                found.extend(
                    number.strip_suffix('.').map(|number| (name.to_owned(), number.parse().unwrap())),
                );
            }
            found
        };
        writer
            .wait_until("some commits", Duration::from_secs(60), |_| acknowledged(&log).len() > 300 * round)
            .unwrap();
        let error = EmbeddedStore::open(&directory).unwrap_err();
        assert!(error.to_string().ends_with("store is in use by another process"), "{error}");
        writer.kill();

        let mut newest = HashMap::new();
        for (name, number) in acknowledged(&log) {
            let newest = newest.entry(name).or_insert(0);
            *newest = number.max(*newest);
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = EmbeddedStore::open(&directory).unwrap();
        runtime.block_on(check_after_kill(&store, newest));
    }
}

async fn check_after_kill(store: &dyn Store, newest: HashMap<String, i64>) {
    for (name, number) in newest {
        let found = store.scan(killed_bucket(), None, 1000).await.unwrap().records;
        let row = found.iter().find(|row| row.id.as_str() == name).unwrap();
        // One more may have been stored than could be said.
        let version = row.version.as_i64();
        assert!(version == number || version == number + 1, "{name}: {version}, acknowledged {number}");
        for number in 1..=version {
            let found = find_receipt(store, killed_bucket(), step_command(&name, number)).await;
            assert_eq!(found, Some(receipt(step_command(&name, number), &name, number)));
        }
    }
}

fn write_until_killed(directory: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Arc::new(EmbeddedStore::open(directory).unwrap());
    runtime.block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..16 {
            let store = Arc::clone(&store);
            clients.spawn(async move {
                let name = format!("record-{client}");
                let mut number =
                    get(&*store, killed_bucket(), &name).await.map_or(0, |row| row.version.as_i64());
                loop {
                    number += 1;
                    let group = Group {
                        changes: step(row(&name, number, "{\"some\":\"text\"}")).changes,
                        receipts: vec![ReceiptChange::first(
                            receipt(step_command(&name, number), &name, number),
                            MINUTES,
                        )],
                    };
                    assert_eq!(store.commit(killed_bucket(), &group).await.unwrap(), Committed::Applied);
                    println!("\nacknowledged {name} {number}.");
                }
            });
        }
        clients.join_all().await;
    });
}

fn killed_bucket() -> BucketId {
    BucketId { collection: Uuid::from_u128(1), bucket: 0 }
}

fn step_command(name: &str, number: i64) -> messages::CommandId {
    messages::CommandId::new(Uuid::new_v5(&Uuid::nil(), format!("{name} {number}").as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_record_is_forgotten_after_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let (bucket, time) = (bucket(), Arc::new(AtomicI64::new(1_700_000_000_000_000)));
    let clock = Arc::clone(&time);
    let clock = Arc::new(move || Timestamp::from_micros(clock.load(Ordering::Relaxed)));
    let store = EmbeddedStore::open_at(directory.path(), clock).unwrap();
    let kept = i64::try_from(DELETED_FOR.as_micros()).unwrap();
    for name in ["a", "b"] {
        apply(&store, bucket, step(row(name, 1, "1"))).await;
        apply(&store, bucket, step(deleted(name, 2))).await;
    }
    time.fetch_add(kept - 1, Ordering::Relaxed);
    assert_eq!(get(&store, bucket, "a").await, Some(deleted("a", 2)));
    apply(&store, bucket, step(deleted("b", 3))).await;
    time.fetch_add(1, Ordering::Relaxed);
    assert_eq!(get(&store, bucket, "a").await, None);
    assert_eq!(store.scan(bucket, None, 10).await.unwrap().records, [deleted("b", 3)]);
    // Anybody's write clears it away, and a new one can begin.
    apply(&store, bucket, step(row("c", 1, "1"))).await;
    apply(&store, bucket, step(row("a", 1, "\"new\""))).await;
    let rows = [row("a", 1, "\"new\""), deleted("b", 3), row("c", 1, "1")];
    assert_eq!(store.scan(bucket, None, 10).await.unwrap().records, rows);
}

#[test]
fn a_directory_that_is_no_store_is_refused_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("thesis.txt"), "").unwrap();
    match EmbeddedStore::open(directory.path()) {
        Err(StoreError::Broken(error)) => {
            assert!(error.to_string().contains("holds files, but no store"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
