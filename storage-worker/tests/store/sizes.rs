//! Large documents and large groups.

use crate::fixture::{MINUTES, apply, bucket, command, get, receipt, row, step};
use std::sync::Arc;
use storage_worker::store::{Group, ReceiptChange, Store};

fn text(bytes: usize) -> String {
    // Hard to compress.
    let mut state = 1_u64;
    let letters = (0..bytes - 2).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + u8::try_from(state >> 33 & 15).unwrap())
    });
    format!("\"{}\"", letters.collect::<String>())
}

pub(crate) async fn large_documents_are_kept(store: Arc<dyn Store>) {
    let (bucket, text) = (bucket(), text(1 << 20));
    store.create(bucket, &[row("created", 1, &text)]).await.unwrap();
    apply(&*store, bucket, step(row("put", 1, &text))).await;
    apply(&*store, bucket, step(row("put", 2, &text))).await;
    assert_eq!(get(&*store, bucket, "created").await, Some(row("created", 1, &text)));
    assert_eq!(get(&*store, bucket, "put").await, Some(row("put", 2, &text)));
}

pub(crate) async fn a_group_of_64_large_changes_is_stored(store: Arc<dyn Store>) {
    let (bucket, text) = (bucket(), text(128 << 10));
    let rows: Vec<_> = (10..74).map(|number| row(&number.to_string(), 1, &text)).collect();
    let group = Group {
        changes: rows.iter().cloned().flat_map(|row| step(row).changes).collect(),
        receipts: rows
            .iter()
            .map(|row| ReceiptChange::first(receipt(command(), row.id.as_str(), 1), MINUTES))
            .collect(),
    };
    apply(&*store, bucket, group).await;
    assert_eq!(store.scan(bucket, None, 100).await.unwrap().records, rows);
}
