//! Lists are in the order of ids, whole, page by page.

use crate::fixture::{MINUTES, apply, bucket, command, deleted, id, receipt, row, step};
use std::sync::Arc;
use storage_worker::store::{BucketId, Group, ReceiptChange, Store};

pub(crate) async fn a_list_is_in_the_order_of_the_bytes_of_ids(store: Arc<dyn Store>) {
    let bucket = bucket();
    let long = "~".repeat(128);
    let names = [
        "-", "--", "-.", ".a", "0", "00", "1", "10", "2", ":", "@", "A", "Z", "_", "a", "a-", "aa", "z", "~",
        &long,
    ];
    let mut shuffled = names;
    shuffled.reverse();
    shuffled.rotate_left(7);
    for name in shuffled {
        apply(&*store, bucket, step(row(name, 1, "1"))).await;
    }
    // A neighbour on either side does not show.
    for neighbour in [bucket.bucket - 1, bucket.bucket + 1] {
        apply(&*store, BucketId { bucket: neighbour, ..bucket }, step(row("m", 1, "1"))).await;
    }
    let listed = store.scan(bucket, None, 1000).await.unwrap().records;
    assert_eq!(listed.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), names);
    for (index, name) in names.iter().enumerate() {
        let behind = store.scan(bucket, Some(&id(name)), 1000).await.unwrap().records;
        assert_eq!(behind, listed[index + 1..]);
    }
    let behind_what_is_not_there = store.scan(bucket, Some(&id("b")), 1).await.unwrap().records;
    assert_eq!(behind_what_is_not_there[0].id, id("z"));
}

pub(crate) async fn a_list_is_read_page_by_page(store: Arc<dyn Store>) {
    let bucket = bucket();
    let rows: Vec<_> = (1000..1300).map(|number| row(&number.to_string(), 1, "{}")).collect();
    for part in rows.chunks(50) {
        store.create(bucket, part).await.unwrap();
    }
    for limit in [1, 7, 128, 300, 1000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.scan(bucket, after.as_ref(), limit).await.unwrap().records;
            let Some(last) = page.last() else { break };
            let expected = (rows.len() - found.len()).min(usize::try_from(limit).unwrap());
            assert_eq!(page.len(), expected);
            after = Some(last.id.clone());
            found.extend(page);
        }
        assert_eq!(found, rows);
    }
    assert_eq!(store.scan(bucket, None, 0).await.unwrap().records, []);
    assert_eq!(store.scan(bucket, None, u32::MAX).await.unwrap().records, rows);
}

pub(crate) async fn a_list_holds_deleted_records_and_no_receipts(store: Arc<dyn Store>) {
    let bucket = bucket();
    let rows = [row("a", 1, "1"), deleted("b", 2), row("c", 1, "1")];
    store.create(bucket, &[row("a", 1, "1"), row("b", 1, "1"), row("c", 1, "1")]).await.unwrap();
    let group = Group {
        changes: step(deleted("b", 2)).changes,
        receipts: vec![ReceiptChange::first(receipt(command(), "b", 2), MINUTES)],
    };
    apply(&*store, bucket, group).await;
    assert_eq!(store.scan(bucket, None, 10).await.unwrap().records, rows);
    assert_eq!(store.scan(bucket, Some(&id("a")), 1).await.unwrap().records, rows[1..2]);
}
