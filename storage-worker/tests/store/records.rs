//! Records come back as they went in.

use crate::fixture::{apply, bucket, deleted, get, id, row, step};
use std::sync::Arc;
use storage_worker::store::{BucketId, Rows, Store, View};

pub(crate) async fn nothing_is_found_in_an_empty_bucket(store: Arc<dyn Store>) {
    let bucket = bucket();
    assert_eq!(get(&*store, bucket, "a").await, None);
    assert_eq!(store.load(bucket, &[], &[], View::Latest).await.unwrap(), Rows::default());
    assert_eq!(store.scan(bucket, None, 10).await.unwrap().records, []);
}

pub(crate) async fn a_stored_record_is_read_as_it_was_written(store: Arc<dyn Store>) {
    let bucket = bucket();
    for (number, text) in
        ["{\"a\":1, \"ü\":[\"\\u0000\"]}", "null", "0", "\"\"", "[ ]", "1e300"].into_iter().enumerate()
    {
        let row = row(&format!("A.b~c:d@e_f-{number}"), 1, text);
        apply(&*store, bucket, step(row.clone())).await;
        assert_eq!(get(&*store, bucket, row.id.as_str()).await, Some(row));
    }
}

pub(crate) async fn a_change_replaces_the_whole_record(store: Arc<dyn Store>) {
    let bucket = bucket();
    apply(&*store, bucket, step(row("a", 1, "{\"old\":true}"))).await;
    let mut next = row("a", 2, "{}");
    next.owner = "bob".parse().unwrap();
    next.created = next.modified;
    apply(&*store, bucket, step(next.clone())).await;
    assert_eq!(get(&*store, bucket, "a").await, Some(next));
}

pub(crate) async fn ids_may_repeat_in_a_load(store: Arc<dyn Store>) {
    let bucket = bucket();
    apply(&*store, bucket, step(row("a", 1, "1"))).await;
    apply(&*store, bucket, step(deleted("b", 1))).await;
    let ids = ["b", "a", "none", "a", "b"].map(id);
    let mut rows = store.load(bucket, &ids, &[], View::Acknowledged).await.unwrap().records;
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(rows, [row("a", 1, "1"), deleted("b", 1)]);
}

pub(crate) async fn buckets_and_collections_are_apart(store: Arc<dyn Store>) {
    let here = bucket();
    let next_door = BucketId { bucket: here.bucket + 1, ..here };
    let elsewhere = BucketId { bucket: here.bucket, ..bucket() };
    for (place, text) in [(here, "1"), (next_door, "2"), (elsewhere, "3")] {
        apply(&*store, place, step(row("a", 1, text))).await;
    }
    for (place, text) in [(here, "1"), (next_door, "2"), (elsewhere, "3")] {
        assert_eq!(get(&*store, place, "a").await, Some(row("a", 1, text)));
        assert_eq!(store.scan(place, None, 10).await.unwrap().records, [row("a", 1, text)]);
    }
}

pub(crate) async fn a_store_that_serves_passes_its_probe(store: Arc<dyn Store>) {
    store.probe().await.unwrap();
}
