//! A deleted record is remembered.

use crate::fixture::{apply, bucket, deleted, get, refuse, row, step};
use std::sync::Arc;
use storage_worker::store::{Change, Group, Store};

pub(crate) async fn a_deleted_record_is_remembered_with_its_version(store: Arc<dyn Store>) {
    let bucket = bucket();
    apply(&*store, bucket, step(row("a", 1, "1"))).await;
    apply(&*store, bucket, step(deleted("a", 2))).await;
    assert_eq!(get(&*store, bucket, "a").await, Some(deleted("a", 2)));
}

pub(crate) async fn a_deleted_record_is_not_absent(store: Arc<dyn Store>) {
    let bucket = bucket();
    apply(&*store, bucket, step(row("a", 1, "1"))).await;
    apply(&*store, bucket, step(deleted("a", 2))).await;
    let unaware = Change { row: row("a", 1, "2"), replaces: None };
    refuse(&*store, bucket, Group { changes: vec![unaware], receipts: Vec::new() }).await;
    assert_eq!(get(&*store, bucket, "a").await, Some(deleted("a", 2)));
}

pub(crate) async fn a_record_is_created_again_over_its_deletion(store: Arc<dyn Store>) {
    let bucket = bucket();
    apply(&*store, bucket, step(row("a", 1, "1"))).await;
    apply(&*store, bucket, step(deleted("a", 2))).await;
    let mut again = row("a", 3, "{\"again\":true}");
    again.created = again.modified;
    apply(&*store, bucket, step(again.clone())).await;
    assert_eq!(get(&*store, bucket, "a").await, Some(again));
    apply(&*store, bucket, step(deleted("a", 4))).await;
    assert_eq!(get(&*store, bucket, "a").await, Some(deleted("a", 4)));
}

pub(crate) async fn a_record_can_be_closed_before_it_exists(store: Arc<dyn Store>) {
    let bucket = bucket();
    apply(&*store, bucket, step(deleted("a", 1))).await;
    assert_eq!(get(&*store, bucket, "a").await, Some(deleted("a", 1)));
    store.create(bucket, &[row("a", 1, "\"late\"")]).await.unwrap();
    assert_eq!(get(&*store, bucket, "a").await, Some(deleted("a", 1)));
}
