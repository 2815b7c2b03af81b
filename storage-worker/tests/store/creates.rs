//! Creates without a condition lose against everything that came in between.

use crate::fixture::{apply, bucket, deleted, get, refuse, row, step};
use std::sync::Arc;
use storage_worker::store::{Store, StoreError};

pub(crate) async fn created_records_are_there(store: Arc<dyn Store>) {
    let bucket = bucket();
    let rows: Vec<_> = (10..80).map(|number| row(&format!("{number}"), 1, "{\"n\":1}")).collect();
    store.create(bucket, &[]).await.unwrap();
    store.create(bucket, &rows[..1]).await.unwrap();
    store.create(bucket, &rows[1..]).await.unwrap();
    assert_eq!(store.scan(bucket, None, 100).await.unwrap().records, rows);
    // A create on a condition sees them.
    refuse(&*store, bucket, step(row("10", 1, "2"))).await;
}

pub(crate) async fn a_repeated_create_is_harmless(store: Arc<dyn Store>) {
    let bucket = bucket();
    let rows = [row("a", 1, "1"), row("b", 1, "2")];
    for _ in 0..3 {
        store.create(bucket, &rows).await.unwrap();
    }
    assert_eq!(store.scan(bucket, None, 10).await.unwrap().records, rows);
}

pub(crate) async fn a_late_create_changes_nothing_that_was_changed_since(store: Arc<dyn Store>) {
    let bucket = bucket();
    let rows = [row("a", 1, "1"), row("b", 1, "1")];
    store.create(bucket, &rows).await.unwrap();
    let mut changed = row("a", 2, "2");
    // The columns of an early row are all older than those of a change, whatever their values say.
    changed.owner = "abe".parse().unwrap();
    apply(&*store, bucket, step(changed.clone())).await;
    store.create(bucket, &rows).await.unwrap();
    assert_eq!(store.scan(bucket, None, 10).await.unwrap().records, [changed, row("b", 1, "1")]);
}

pub(crate) async fn a_late_create_raises_nothing(store: Arc<dyn Store>) {
    let bucket = bucket();
    store.create(bucket, &[row("a", 1, "1")]).await.unwrap();
    apply(&*store, bucket, step(deleted("a", 2))).await;
    store.create(bucket, &[row("a", 1, "1")]).await.unwrap();
    assert_eq!(get(&*store, bucket, "a").await, Some(deleted("a", 2)));
    apply(&*store, bucket, step(row("a", 3, "3"))).await;
    store.create(bucket, &[row("a", 1, "1")]).await.unwrap();
    assert_eq!(get(&*store, bucket, "a").await, Some(row("a", 3, "3")));
}

pub(crate) async fn a_create_of_what_is_not_new_is_invalid(store: Arc<dyn Store>) {
    let bucket = bucket();
    for rows in [vec![row("a", 2, "1")], vec![deleted("a", 1)], vec![row("a", 1, "1"), row("a", 1, "2")]] {
        let answer = store.create(bucket, &rows).await;
        assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    }
    assert_eq!(get(&*store, bucket, "a").await, None);
}
