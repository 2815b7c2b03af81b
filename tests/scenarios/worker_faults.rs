//! Storage workers that die, freeze or are told to stop, under load: their work is done by the other one.

use crate::harness::{Cluster, Ground, Load, Manner, Stage};
use serde_json::json;
use std::{future::IntoFuture, time::Duration};
use testbed::Signal;
use tokio::time::timeout;

faults! {
    a_worker_killed_mid_request_fails_no_request
    a_frozen_worker_leaves_no_request_without_an_answer
    a_worker_told_to_stop_fails_no_request
    where_no_worker_takes_requests_they_are_refused
}

/// How long a client waits that knows that it waits for nobody.
const IMPATIENCE: Duration = Duration::from_millis(300);
/// The deadline of a command, and a second.
const ANSWERED_WITHIN: Duration = Duration::from_secs(11);

async fn a_worker_killed_mid_request_fails_no_request(stage: Stage) {
    let mut cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let mut load = Load::start(&service, Manner::Polite).await;
    for worker in &mut cluster.workers {
        load.progress(100).await;
        worker.kill();
        load.progress(100).await;
        worker.restart();
    }
    let report = load.stop().await;
    report.assert_all_acknowledged();
    report.assert_agrees(&service.admin_at(1)).await;
    cluster.ground.assert_drained();
}

async fn a_frozen_worker_leaves_no_request_without_an_answer(stage: Stage) {
    let mut cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let mut load = Load::start(&service, Manner::Polite).await;
    cluster.ground.wait_for_consumers(2).await;
    load.progress(100).await;
    cluster.workers[0].freeze();
    // The broker gives it up, and its shards move.
    cluster.ground.wait_for_consumers(1).await;
    load.progress(200).await;
    cluster.workers[0].thaw();
    cluster.ground.wait_for_consumers(2).await;
    load.progress(200).await;
    let report = load.stop().await;
    report.assert_answered_within(ANSWERED_WITHIN);
    report.assert_agrees(&service.admin_at(1)).await;
    cluster.ground.assert_drained();
}

async fn a_worker_told_to_stop_fails_no_request(stage: Stage) {
    let mut cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let mut load = Load::start(&service, Manner::Polite).await;
    for worker in &mut cluster.workers {
        load.progress(100).await;
        worker.signal(Signal::TERM);
        let status = worker.wait_exit();
        assert_eq!(status.code(), Some(0), "{status}");
        load.progress(100).await;
        worker.restart();
    }
    let report = load.stop().await;
    report.assert_all_acknowledged();
    report.assert_agrees(&service.admin_at(1)).await;
    cluster.ground.assert_drained();
}

async fn where_no_worker_takes_requests_they_are_refused(stage: Stage) {
    let mut cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let records = service.collection("untaken").await;
    for worker in &mut cluster.workers {
        worker.kill();
    }
    let record = format!("{records}/one");
    // Until it is noticed, requests wait for the next worker.
    let refused = loop {
        if let Ok(answer) = timeout(IMPATIENCE, service.admin_at(0).get(&record).into_future()).await {
            break answer;
        }
    };
    refused.problem(503, "queue-unavailable", "not_executed").expect_header("retry-after");
    let put = service.admin_at(0).put(&record).json(&json!({"refused": true}));
    put.await.problem(503, "queue-unavailable", "not_executed");
    // This one is kept until there is a worker.
    let put = service.admin_at(0).put(&record).json(&json!({"kept": true}));
    put.header("prefer", "respond-async").await.is(202);
    for worker in &mut cluster.workers {
        worker.restart();
    }
    let kept = loop {
        match timeout(IMPATIENCE, service.admin_at(0).get(&record).into_future()).await {
            Ok(answer) if answer.status == 200 => break answer,
            _ => {}
        }
    };
    assert_eq!((kept.json(), kept.version()), (json!({"kept": true}), 1));
    cluster.ground.assert_drained();
}
