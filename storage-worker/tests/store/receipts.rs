//! Outcomes are kept as they were, for as long as they should be.

use crate::fixture::{
    MINUTES, apply, bucket, command, eventually, find_receipt, id, receipt, refuse, row, step, version,
};
use messages::{
    Document, ETag, Fingerprint, Outcome, Record, Rejection, Timestamp, Version,
    outcome::{Listed, RecordDeleted, RecordsListed},
};
use std::{sync::Arc, time::Duration};
use storage_worker::store::{Group, Receipt, ReceiptChange, Store, View};

pub(crate) async fn every_outcome_comes_back_from_its_receipt(store: Arc<dyn Store>) {
    let bucket = bucket();
    let receipts: Vec<Receipt> = outcomes()
        .into_iter()
        .zip(0_u8..)
        .map(|(outcome, number)| Receipt {
            command: command(),
            record: id("a~b"),
            outcome,
            fingerprint: (number % 2 == 0).then(|| Fingerprint::from_bytes([number; 16])),
        })
        .collect();
    let group = Group {
        changes: Vec::new(),
        receipts: receipts.iter().map(|receipt| ReceiptChange::first(receipt.clone(), MINUTES)).collect(),
    };
    apply(&*store, bucket, group).await;
    for receipt in receipts {
        assert_eq!(find_receipt(&*store, bucket, receipt.command).await, Some(receipt));
    }
}

pub(crate) async fn a_receipt_ends_with_its_time(store: Arc<dyn Store>) {
    let (bucket, brief, lasting) = (bucket(), command(), command());
    let group = |command, kept| Group {
        changes: Vec::new(),
        receipts: vec![ReceiptChange::first(receipt(command, "a", 1), kept)],
    };
    apply(&*store, bucket, group(lasting, MINUTES)).await;
    apply(&*store, bucket, group(brief, Duration::from_secs(1))).await;
    eventually("the receipt ends", || async { find_receipt(&*store, bucket, brief).await.is_none() }).await;
    assert!(find_receipt(&*store, bucket, lasting).await.is_some());
    // It does not stand in the way of another.
    apply(&*store, bucket, group(brief, MINUTES)).await;
    assert!(find_receipt(&*store, bucket, brief).await.is_some());
}

pub(crate) async fn records_and_receipts_are_loaded_together(store: Arc<dyn Store>) {
    let (bucket, known, unknown) = (bucket(), command(), command());
    // A created record has the id of its command.
    let name = known.to_string();
    let group = Group {
        changes: step(row(&name, 1, "1")).changes,
        receipts: vec![ReceiptChange::first(receipt(known, &name, 1), MINUTES)],
    };
    apply(&*store, bucket, group).await;
    for view in [View::Acknowledged, View::Latest] {
        let found =
            store.load(bucket, &[id(&name), id("none")], &[unknown, known, known], view).await.unwrap();
        assert_eq!(found.records, [row(&name, 1, "1")]);
        assert_eq!(found.receipts, [receipt(known, &name, 1)]);
        let alone = store.load(bucket, &[id(&name)], &[], view).await.unwrap();
        assert_eq!((alone.records.len(), alone.receipts.len()), (1, 0));
        let alone = store.load(bucket, &[], &[known], view).await.unwrap();
        assert_eq!((alone.records.len(), alone.receipts.len()), (0, 1));
    }
}

fn outcomes() -> Vec<Outcome> {
    let written = |number| match receipt(command(), "a", number).outcome {
        Outcome::RecordReplaced(written) => written,
        other => panic!("{other:?}"),
    };
    let etag = ETag { version: version(3), hash: u64::MAX };
    let record = Record {
        id: id("a"),
        version: Version::FIRST,
        created: Timestamp::from_micros(1),
        modified: Timestamp::from_micros(2),
        owner: "ada".parse().unwrap(),
        document: Document::parse(b"[1, 2]").unwrap(),
    };
    let listed = Listed { record: record.clone(), etag };
    let collection: messages::CollectionName = "orders".parse().unwrap();
    let detail = "§ \"quoted\"\n".to_owned();
    let rejections = vec![
        Rejection::CollectionNotFound { collection: collection.clone() },
        Rejection::RecordNotFound { collection, record: id("a") },
        Rejection::RecordExists { record: id("a") },
        Rejection::PreconditionFailed { current: Some(etag) },
        Rejection::PreconditionFailed { current: None },
        Rejection::PatchFailed { detail: detail.clone() },
        Rejection::DocumentInvalid { pointer: "/a~1b".to_owned(), detail: detail.clone() },
        Rejection::DocumentTooLarge { limit: 262_144 },
        Rejection::Forbidden { detail },
        Rejection::IdempotencyKeyReused,
        Rejection::Expired,
        Rejection::Unsupported,
    ];
    let mut outcomes = vec![
        Outcome::RecordCreated(written(1)),
        Outcome::RecordReplaced(written(2)),
        Outcome::RecordPatched(written(3)),
        Outcome::RecordDeleted(RecordDeleted { id: id("a"), version: version(4) }),
        Outcome::RecordRead(record),
        Outcome::RecordsListed(RecordsListed { records: vec![listed], next: Some(id("a")) }),
    ];
    outcomes.extend(rejections.into_iter().map(Outcome::Rejected));
    outcomes
}

pub(crate) async fn a_receipt_that_says_dead_can_be_replaced_once(store: Arc<dyn Store>) {
    let (bucket, command) = (bucket(), command());
    let dead = Receipt { outcome: Outcome::Rejected(Rejection::Dead), ..receipt(command, "a", 1) };
    let over_dead = |number| ReceiptChange {
        replaces_dead: true,
        ..ReceiptChange::first(receipt(command, "a", number), MINUTES)
    };
    let group = |change| Group { changes: Vec::new(), receipts: vec![change] };
    refuse(&*store, bucket, group(over_dead(1))).await;
    apply(&*store, bucket, group(ReceiptChange::first(dead.clone(), MINUTES))).await;
    refuse(&*store, bucket, group(ReceiptChange::first(receipt(command, "a", 2), MINUTES))).await;
    assert_eq!(find_receipt(&*store, bucket, command).await, Some(dead));
    apply(&*store, bucket, group(over_dead(3))).await;
    refuse(&*store, bucket, group(over_dead(4))).await;
    assert_eq!(find_receipt(&*store, bucket, command).await, Some(receipt(command, "a", 3)));
}

pub(crate) async fn the_clock_of_the_store_is_the_clock(store: Arc<dyn Store>) {
    let (before, told, after) = (process::now(), store.clock().await.unwrap(), process::now());
    let margin = Duration::from_millis(5);
    assert!(before <= told.after(margin) && told <= after.after(margin), "{before:?} {told:?} {after:?}");
}
