//! Many clients on one record.

use crate::harness::{Client, Entry, Ledger, Service, Told};
use futures_util::future::join_all;
use serde_json::json;
use std::time::Instant;

scenarios! {
    a_contended_record_loses_no_acknowledged_change
    conditional_loops_count_without_gaps
    tested_patches_count_without_gaps
    one_of_many_creates_under_one_id_wins
}

const CLIENTS: usize = 64;

async fn a_contended_record_loses_no_acknowledged_change(service: Service) {
    let ledger = Ledger::open(&service, &service.collection("appends").await).await;
    let clients = (0..CLIENTS).map(|client| {
        let (admin, ledger) = (service.admin_at(client), &ledger);
        async move {
            let mut entries = Vec::new();
            for number in 0..4 {
                let (mark, began) = (format!("{client}.{number}"), Instant::now());
                let version = ledger.append(&admin, &mark).await.is(200).version();
                entries.push(Entry { mark, told: Told::Acknowledged(version), took: began.elapsed() });
            }
            entries
        }
    });
    let entries: Vec<Entry> = join_all(clients).await.into_iter().flatten().collect();
    ledger.assert_agrees(&service.admin_at(1), &entries).await;
}

/// Runs one loop a client until each has succeeded once; then the counter and the versions tell the same.
async fn assert_counts(service: &Service, path: &str, increment: impl AsyncFn(Client) -> i64) {
    service.admin().put(path).json(&json!({"n": 0})).await.is(201);
    let mut versions = join_all((0..CLIENTS).map(|client| increment(service.admin_at(client)))).await;
    versions.sort_unstable();
    assert!(versions.iter().copied().eq(2..=65), "versions have no gaps and no doubles: {versions:?}");
    let read = service.admin_at(1).get(path).await.is(200);
    assert_eq!((read.json(), read.version()), (json!({"n": CLIENTS}), 65));
}

async fn conditional_loops_count_without_gaps(service: Service) {
    let path = format!("{}/n", service.collection("loops").await);
    assert_counts(&service, &path, async |client| {
        loop {
            let read = client.get(&path).await.is(200);
            let next = json!({"n": read.json()["n"].as_i64().unwrap() + 1});
            let answer = client.put(&path).json(&next).header("if-match", &read.etag()).await;
            if answer.status == 200 {
                return answer.version();
            }
            answer.problem(412, "precondition-failed", "rejected");
        }
    })
    .await;
}

async fn tested_patches_count_without_gaps(service: Service) {
    let path = format!("{}/n", service.collection("tested").await);
    assert_counts(&service, &path, async |client| {
        loop {
            let n = client.get(&path).await.is(200).json()["n"].as_i64().unwrap();
            let increment = json!([
                {"op": "test", "path": "/n", "value": n},
                {"op": "replace", "path": "/n", "value": n + 1},
            ]);
            let answer = client.patch(&path).json_patch(&increment).await;
            if answer.status == 200 {
                return answer.version();
            }
            answer.problem(409, "patch-failed", "rejected");
        }
    })
    .await;
}

async fn one_of_many_creates_under_one_id_wins(service: Service) {
    let path = format!("{}/only", service.collection("race").await);
    let creates = (0..CLIENTS).map(|client| {
        let admin = service.admin_at(client);
        let create = admin.put(&path).json(&json!({"by": client})).header("if-none-match", "*");
        async move { (client, create.await) }
    });
    let (won, lost): (Vec<_>, Vec<_>) =
        join_all(creates).await.into_iter().partition(|(_, answer)| answer.status == 201);
    let [(winner, first)] = &won[..] else { panic!("{} won", won.len()) };
    for (_, answer) in lost {
        let answer = answer.problem(412, "precondition-failed", "rejected");
        assert_eq!(answer.etag(), first.etag());
    }
    let read = service.admin_at(1).get(&path).await.is(200);
    assert_eq!((read.json(), read.version()), (json!({"by": winner}), 1));
}
