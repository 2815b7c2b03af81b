//! What was accepted, and cannot be carried out for a while.

use crate::harness::{Cluster, Ground, Stage, settled};
use serde_json::json;
use std::time::{Duration, Instant};
use testbed::{Cassandra, RabbitMq};

faults! {
    what_was_accepted_without_a_database_is_carried_out_when_it_is_back
    without_workers_it_is_taken_back_or_done_but_never_both
    what_was_settled_stays_so_when_a_frozen_worker_wakes
    what_nobody_confirmed_is_settled_by_whoever_asks_first
}

const SERVES_WITHIN: Duration = Duration::from_secs(60);

async fn what_was_accepted_without_a_database_is_carried_out_when_it_is_back(stage: Stage) {
    let mut cassandra = Cassandra::start(stage.path()).unwrap();
    let contact = vec![cassandra.address().to_string()];
    let ground = Ground::on(testbed::amqp(), contact, testbed::redis());
    let cluster = Cluster::start(&stage, ground);
    let service = cluster.service().await;
    let records = service.collection("accepted").await;
    cassandra.kill();
    let mut operations = Vec::new();
    for number in 0..40 {
        let put = service.admin_at(number).put(&format!("{records}/{number}")).json(&json!({"n": number}));
        operations.push(put.header("prefer", "respond-async").await.is(202).expect_header("location"));
    }
    cassandra.restart().unwrap();
    for operation in &operations {
        let report = settled(&service.admin_at(1), operation).await;
        assert_eq!(report["status"], "done", "{report}");
    }
    for number in 0..40 {
        let read = service.admin_at(number).get(&format!("{records}/{number}")).await.is(200);
        assert_eq!((read.json(), read.version()), (json!({"n": number}), 1));
    }
    cluster.ground.assert_drained();
}

async fn without_workers_it_is_taken_back_or_done_but_never_both(stage: Stage) {
    let mut cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let records = service.collection("cancelled").await;
    for worker in &mut cluster.workers {
        worker.kill();
    }
    let mut operations = Vec::new();
    for number in 0..20 {
        let put = service.admin_at(number).put(&format!("{records}/{number}")).json(&json!({"n": number}));
        operations.push(put.header("prefer", "respond-async").await.is(202).expect_header("location"));
    }
    // Their cancellations wait for a worker as they do, and race with them.
    let cancelling = operations.iter().map(|operation| service.admin_at(1).delete(operation));
    let cancelling = cancelling.map(std::future::IntoFuture::into_future).collect::<Vec<_>>();
    let cancelling = tokio::spawn(futures_util::future::join_all(cancelling));
    cluster.workers[0].restart();
    for (number, answer) in cancelling.await.unwrap().into_iter().enumerate() {
        let report = settled(&service.admin(), &operations[number]).await;
        let found = service.admin().get(&format!("{records}/{number}")).await.status;
        let expected = if answer.status == 200 { ("cancelled", 404) } else { ("done", 200) };
        assert_eq!((report["status"].as_str().unwrap(), found), expected, "{}", answer.told());
    }
    cluster.ground.assert_drained();
}

/// Both workers stand still with the change in their hands; what a third one settles meanwhile is not undone.
async fn what_was_settled_stays_so_when_a_frozen_worker_wakes(stage: Stage) {
    let mut cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let records = service.collection("settled").await;
    let [first, second] = &mut cluster.workers[..] else { panic!("two workers") };
    first.freeze();
    second.freeze();
    let puts = (0..10).map(|number| {
        let put = service.admin_at(number).put(&format!("{records}/{number}"));
        std::future::IntoFuture::into_future(put.json(&json!({"n": number})))
    });
    let unknown: Vec<String> = futures_util::future::join_all(puts)
        .await
        .into_iter()
        .map(|answer| answer.problem(504, "outcome-unknown", "unknown").expect_header("location"))
        .collect();
    second.restart();
    let mut reports = Vec::new();
    for operation in &unknown {
        let report = settled(&service.admin_at(1), operation).await;
        assert_eq!(report["status"], "expired", "{report}");
        reports.push(report);
    }
    cluster.workers[0].thaw();
    cluster.ground.wait_for_consumers(2).await;
    cluster.ground.assert_drained();
    for (number, (operation, report)) in unknown.iter().zip(reports).enumerate() {
        service.admin().get(&format!("{records}/{number}")).await.is(404);
        assert_eq!(settled(&service.admin(), operation).await, report);
    }
}

/// A frozen broker confirms nothing; killed, it forgets what it had not read yet.
async fn what_nobody_confirmed_is_settled_by_whoever_asks_first(stage: Stage) {
    let mut rabbitmq = RabbitMq::start(stage.path()).unwrap();
    let ground = Ground::on(rabbitmq.broker().clone(), testbed::cassandra(), testbed::redis());
    let cluster = Cluster::start(&stage, ground);
    let service = cluster.service().await;
    let record = format!("{}/one", service.collection("unconfirmed").await);
    rabbitmq.settle().unwrap();
    rabbitmq.freeze().unwrap();
    let put = service.admin().put(&record).json(&json!({})).header("prefer", "respond-async").await;
    let operation = put.problem(504, "outcome-unknown", "unknown").expect_header("location");
    rabbitmq.restart().unwrap();
    let end = Instant::now() + SERVES_WITHIN;
    let answer = loop {
        let answer = service.admin_at(1).get(&operation).await;
        if answer.status < 500 {
            break answer;
        }
        assert!(Instant::now() < end, "{}", answer.told());
    };
    assert_eq!(answer.is(200).json()["status"], "expired");
    service.admin_at(1).get(&record).await.is(404);
    cluster.ground.assert_drained();
}
