//! A group is stored whole or not at all, and only if every condition of it holds.

use crate::fixture::{
    MINUTES, apply, bucket, command, deleted, find_receipt, get, id, receipt, refuse, row, step, version,
};
use std::sync::Arc;
use storage_worker::store::{Change, Committed, Group, ReceiptChange, Store, StoreError, View};

pub(crate) async fn a_create_over_an_existing_record_is_refused(store: Arc<dyn Store>) {
    let bucket = bucket();
    apply(&*store, bucket, step(row("a", 1, "1"))).await;
    refuse(&*store, bucket, step(row("a", 1, "2"))).await;
    assert_eq!(get(&*store, bucket, "a").await, Some(row("a", 1, "1")));
}

pub(crate) async fn a_change_of_another_version_is_refused(store: Arc<dyn Store>) {
    let bucket = bucket();
    apply(&*store, bucket, step(row("a", 1, "1"))).await;
    apply(&*store, bucket, step(row("a", 2, "2"))).await;
    for stale in [1, 3] {
        let change = Change { row: row("a", stale + 1, "3"), replaces: Some(version(stale)) };
        refuse(&*store, bucket, Group { changes: vec![change], receipts: Vec::new() }).await;
    }
    assert_eq!(get(&*store, bucket, "a").await, Some(row("a", 2, "2")));
}

pub(crate) async fn a_change_of_an_absent_record_is_refused(store: Arc<dyn Store>) {
    let bucket = bucket();
    refuse(&*store, bucket, step(row("a", 2, "2"))).await;
    refuse(&*store, bucket, step(deleted("a", 2))).await;
    assert_eq!(get(&*store, bucket, "a").await, None);
}

pub(crate) async fn a_second_receipt_of_a_command_is_refused(store: Arc<dyn Store>) {
    let (bucket, command) = (bucket(), command());
    let group = |number| Group {
        changes: step(row("a", number, "1")).changes,
        receipts: vec![ReceiptChange::first(receipt(command, "a", number), MINUTES)],
    };
    apply(&*store, bucket, group(1)).await;
    refuse(&*store, bucket, group(2)).await;
    let alone = Group { changes: Vec::new(), receipts: group(3).receipts };
    refuse(&*store, bucket, alone).await;
    assert_eq!(get(&*store, bucket, "a").await, Some(row("a", 1, "1")));
    assert_eq!(find_receipt(&*store, bucket, command).await, Some(receipt(command, "a", 1)));
}

pub(crate) async fn nothing_of_a_refused_group_is_stored(store: Arc<dyn Store>) {
    let bucket = bucket();
    apply(&*store, bucket, step(row("a", 1, "1"))).await;
    let (one, two) = (command(), command());
    let mut changes = Vec::new();
    for name in ["0", "a", "b", "c"] {
        // Only the one of `a` does not hold.
        changes.extend(step(row(name, 1, "\"group\"")).changes);
    }
    let receipts = vec![
        ReceiptChange::first(receipt(one, "b", 1), MINUTES),
        ReceiptChange::first(receipt(two, "c", 1), MINUTES),
    ];
    refuse(&*store, bucket, Group { changes, receipts }).await;
    assert_eq!(store.scan(bucket, None, 10).await.unwrap().records, [row("a", 1, "1")]);
    let found = store.load(bucket, &[id("b")], &[one, two], View::Latest).await.unwrap();
    assert!(found.records.is_empty() && found.receipts.is_empty(), "{found:?}");
}

pub(crate) async fn a_group_of_many_is_stored_whole(store: Arc<dyn Store>) {
    let bucket = bucket();
    apply(&*store, bucket, step(row("changed", 1, "1"))).await;
    apply(&*store, bucket, step(row("deleted", 1, "1"))).await;
    let commands = [command(), command(), command(), command()];
    let rows = [row("changed", 2, "2"), row("created", 1, "1"), deleted("deleted", 2)];
    let group = Group {
        changes: rows.iter().cloned().flat_map(|row| step(row).changes).collect(),
        receipts: commands
            .map(|command| ReceiptChange::first(receipt(command, "created", 1), MINUTES))
            .to_vec(),
    };
    apply(&*store, bucket, group).await;
    assert_eq!(store.scan(bucket, None, 10).await.unwrap().records, rows);
    let ids = rows.map(|row| row.id);
    let found = store.load(bucket, &ids, &commands, View::Acknowledged).await.unwrap();
    assert_eq!((found.records.len(), found.receipts.len()), (3, 4));
}

pub(crate) async fn an_empty_group_is_applied(store: Arc<dyn Store>) {
    assert_eq!(store.commit(bucket(), &Group::default()).await.unwrap(), Committed::Applied);
}

pub(crate) async fn a_group_that_names_a_row_twice_is_invalid(store: Arc<dyn Store>) {
    let (bucket, command) = (bucket(), command());
    let mut twice = step(row("a", 1, "1"));
    twice.changes.extend(step(row("a", 2, "2")).changes);
    let answer = store.commit(bucket, &twice).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    let receipts = vec![
        ReceiptChange::first(receipt(command, "a", 1), MINUTES),
        ReceiptChange::first(receipt(command, "b", 1), MINUTES),
    ];
    let answer = store.commit(bucket, &Group { changes: Vec::new(), receipts }).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    assert_eq!(get(&*store, bucket, "a").await, None);
}
