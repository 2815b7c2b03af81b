//! Many at once: conditions decide, and nothing is lost or done twice.

use crate::fixture::{MINUTES, bucket, command, get, receipt, row, step};
use messages::CommandId;
use std::sync::Arc;
use storage_worker::store::{BucketId, Committed, Group, ReceiptChange, Store, StoreError, View};
use tokio::task::JoinSet;

/// Carries out one command as a worker does: increments a record, once, whatever happens on the way. A group
/// whose end is unknown is tried again with the same command, which finds the receipt of the first.
async fn increment(store: &dyn Store, bucket: BucketId, name: &str, command: CommandId) {
    loop {
        let ids = [name.parse().unwrap()];
        let found = store.load(bucket, &ids, &[command], View::Latest).await.unwrap();
        if !found.receipts.is_empty() {
            return;
        }
        let number = found.records.first().map_or(1, |row| row.version.as_i64() + 1);
        let group = Group {
            changes: step(row(name, number, "1")).changes,
            receipts: vec![ReceiptChange::first(receipt(command, name, number), MINUTES)],
        };
        match store.commit(bucket, &group).await {
            Ok(Committed::Applied) => return,
            Ok(Committed::Refused) | Err(StoreError::Unknown(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

pub(crate) async fn one_of_two_competing_groups_wins(store: Arc<dyn Store>) {
    let bucket = bucket();
    for round in 1..=30 {
        let commands = [command(), command()];
        let [one, two] = commands.map(|command| Group {
            changes: step(row("a", round, &format!("\"{command}\""))).changes,
            receipts: vec![ReceiptChange::first(receipt(command, "a", round), MINUTES)],
        });
        let (first, second) = tokio::join!(store.commit(bucket, &one), store.commit(bucket, &two));
        let found = store.load(bucket, &[], &commands, View::Latest).await.unwrap().receipts;
        assert_eq!(found.len(), 1, "{found:?} {first:?} {second:?}");
        let winner = found[0].command;
        assert_eq!(get(&*store, bucket, "a").await, Some(row("a", round, &format!("\"{winner}\""))));
        for (command, answer) in commands.into_iter().zip([first, second]) {
            match answer {
                Ok(Committed::Applied) => assert_eq!(command, winner),
                Ok(Committed::Refused) => assert_ne!(command, winner),
                Err(error) => assert!(matches!(error, StoreError::Unknown(_)), "{error:?}"),
            }
        }
    }
}

pub(crate) async fn no_version_is_skipped_and_none_is_given_twice(store: Arc<dyn Store>) {
    const CLIENTS: i64 = 8;
    const EACH: i64 = 12;
    let bucket = bucket();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let store = Arc::clone(&store);
        clients.spawn(async move {
            let mut commands = Vec::new();
            for _ in 0..EACH {
                let command = command();
                increment(&*store, bucket, "counter", command).await;
                commands.push(command);
            }
            commands
        });
    }
    let commands: Vec<CommandId> = clients.join_all().await.concat();
    let receipts = store.load(bucket, &[], &commands, View::Acknowledged).await.unwrap().receipts;
    let mut versions: Vec<i64> = receipts
        .iter()
        .map(|receipt| match &receipt.outcome {
            messages::Outcome::RecordReplaced(written) => written.etag.version.as_i64(),
            other => panic!("{other:?}"),
        })
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=CLIENTS * EACH).collect::<Vec<_>>());
    assert_eq!(get(&*store, bucket, "counter").await, Some(row("counter", CLIENTS * EACH, "1")));
}

pub(crate) async fn commands_of_many_records_in_one_bucket_have_one_effect_each(store: Arc<dyn Store>) {
    let bucket = bucket();
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let store = Arc::clone(&store);
        clients.spawn(async move {
            for step in 0..8 {
                let name = format!("record-{}", (client + step) % 4);
                let command = command();
                // The same command twice, as after a redelivery to another worker.
                tokio::join!(
                    increment(&*store, bucket, &name, command),
                    increment(&*store, bucket, &name, command)
                );
            }
        });
    }
    clients.join_all().await;
    let rows = store.scan(bucket, None, 10).await.unwrap().records;
    let versions: Vec<i64> = rows.iter().map(|row| row.version.as_i64()).collect();
    assert_eq!(versions, [16, 16, 16, 16]);
}
