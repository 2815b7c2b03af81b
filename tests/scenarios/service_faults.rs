//! RabbitMQ and Redis that die under the processes, which go on by themselves afterwards.

use crate::harness::{Answer, Client, Cluster, Ground, Load, Manner, Stage};
use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use std::time::{Duration, Instant};
use testbed::{Persistence, RabbitMq, Redis};

faults! {
    work_resumes_after_the_broker_was_killed
    large_changes_fit_into_a_gate_while_the_broker_is_frozen
    while_the_session_store_is_silent_who_was_seen_is_served
    without_the_session_store_nobody_gets_in
}

/// The deadline of a command, and a second; and what a busy machine may take besides.
const ANSWERED_WITHIN: Duration = Duration::from_secs(16);
/// Long before a deadline: nobody waits for a session store that does not answer.
const AT_ONCE: Duration = Duration::from_secs(6);
/// How long a gate trusts what it has found, and within which a session that has ended is dead everywhere.
const TRUST: Duration = Duration::from_secs(1);
const NOTICED_WITHIN: Duration = Duration::from_mins(2);
/// As many as a gate takes at once, and the most memory it may have then, in bytes. The stack gives it 512 MB.
const LARGE: usize = 1000;
const MEMORY: u64 = 400 << 20;
/// How long a busy machine may take to carry a quarter of a gigabyte.
const CARRIED_WITHIN: (&str, Duration) = ("60s", Duration::from_secs(60));

/// Sends requests until one is answered with this status.
async fn until(status: u16, request: impl AsyncFn() -> Answer) -> Answer {
    let end = Instant::now() + NOTICED_WITHIN;
    loop {
        let answer = request().await;
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < end, "no {status} within {NOTICED_WITHIN:?}: {}", answer.told());
    }
}

async fn work_resumes_after_the_broker_was_killed(stage: Stage) {
    let mut rabbitmq = RabbitMq::start(stage.path()).unwrap();
    let ground = Ground::on(rabbitmq.broker().clone(), testbed::cassandra(), testbed::redis());
    let cluster = Cluster::start(&stage, ground);
    let service = cluster.service().await;
    let records = service.collection("outage").await;
    let mut load = Load::start(&service, Manner::Polite).await;
    load.progress(100).await;
    rabbitmq.settle().unwrap();
    rabbitmq.kill();
    for gate in 0..2 {
        let admin = service.admin_at(gate);
        let answer = until(503, async || admin.post(&records).json(&json!({})).await).await;
        let answer = answer.problem(503, "queue-unavailable", "not_executed");
        assert!(answer.expect_header("retry-after").parse::<u64>().unwrap() > 0);
        let ready = until(503, async || admin.get("/readyz").await).await.json();
        assert_eq!(ready["dependencies"]["queue"]["ok"], false, "{ready}");
        admin.get("/livez").await.is(200);
    }
    rabbitmq.restart().unwrap();
    load.progress(200).await;
    for gate in 0..2 {
        until(200, async || service.admin_at(gate).get("/readyz").await).await;
    }
    let report = load.stop().await;
    report.assert_answered_within(ANSWERED_WITHIN);
    report.assert_agrees(&service.admin_at(1)).await;
    cluster.ground.assert_drained();
}

async fn large_changes_fit_into_a_gate_while_the_broker_is_frozen(stage: Stage) {
    let mut rabbitmq = RabbitMq::start(stage.path()).unwrap();
    let ground = Ground::on(rabbitmq.broker().clone(), testbed::cassandra(), testbed::redis());
    let variables = [("CASSANDRA_REPLICATION", "1"), ("BODY_TIMEOUT", CARRIED_WITHIN.0)];
    let cluster = Cluster::start_with(&stage, ground, &variables);
    let service = cluster.service().await;
    let records = service.collection("large").await;
    let admin = service.admin_at(0);
    let document = json!({"text": "x".repeat(240_000)});
    let body = Bytes::from(document.to_string());
    rabbitmq.freeze().unwrap();
    let put = async |number| {
        let put = admin.put(&format!("{records}/{number}")).body("application/json", body.clone());
        put.within(CARRIED_WITHIN.1).await.status
    };
    let answers = join_all((0..LARGE).map(put)).await;
    rabbitmq.thaw().unwrap();
    let of = |status| answers.iter().filter(|answer| **answer == status).count();
    let most = cluster.gates[0].most_memory().unwrap();
    eprintln!("{} refused, {} unknown; a gate had {} MB at most", of(503), of(504), most >> 20);
    assert_eq!(of(503) + of(504), LARGE, "{answers:?}");
    assert!(most <= MEMORY, "{} MB", most >> 20);
    until(201, async || admin.post(&records).json(&document).await).await;
    until(200, async || admin.get("/readyz").await).await;
}

async fn while_the_session_store_is_silent_who_was_seen_is_served(stage: Stage) {
    let mut redis = Redis::start(stage.path(), Persistence::AppendOnlyFile).unwrap();
    let cluster = Cluster::start(&stage, Ground::on(testbed::amqp(), testbed::cassandra(), redis.url()));
    let service = cluster.service().await;
    let (ann, bob) = (service.user("ann").await, service.user("bob").await);
    let records = service.collection("known").await;
    let seen = [0, 1].map(|gate| ann.client.at(service.root(gate)));
    let leaving = [0, 1].map(|gate| bob.client.at(service.root(gate)));
    for client in seen.iter().chain(&leaving) {
        client.get(&records).await.is(200);
    }
    redis.freeze().unwrap();
    leaving[0].delete("/v1/session").await.is(204);
    let left = Instant::now();
    leaving[0].get(&records).await.is(401);
    // The other gate hears nothing of it, and has seen bob a moment ago.
    loop {
        let asked = left.elapsed();
        if leaving[1].get(&records).await.status == 401 {
            break;
        }
        assert!(asked < TRUST, "let in {asked:?} after its end");
    }
    while left.elapsed() < TRUST {
        seen[0].get(&records).await.is(200);
    }
    for client in &seen {
        client.get(&records).await.is(200);
        client.post(&records).json(&json!({})).await.is(201);
        client.get("/v1/session").await.is(200);
    }
    leaving[1].post(&records).json(&json!({})).await.is(401);
    // Whom no gate has seen lately is not let in.
    let unseen = service.stranger_at(0).with_token(&"A".repeat(43)).get(&records).await;
    unseen.problem(503, "sessions-unavailable", "not_executed");
    redis.thaw().unwrap();
    until(200, async || service.admin_at(1).get("/readyz").await).await;
    seen[1].get(&records).await.is(200);
    leaving[1].get(&records).await.is(401);
    cluster.ground.assert_drained();
}

async fn without_the_session_store_nobody_gets_in(stage: Stage) {
    let mut redis = Redis::start(stage.path(), Persistence::AppendOnlyFile).unwrap();
    let cluster = Cluster::start(&stage, Ground::on(testbed::amqp(), testbed::cassandra(), redis.url()));
    let service = cluster.service().await;
    let ann = service.user("ann").await;
    let records = service.collection("locked").await;
    redis.kill();
    for gate in 0..2 {
        // Another server could become primary: whoever was seen a moment ago is served meanwhile, also when nobody asks.
        service.stranger_at(gate).get("/readyz").await.is(200);
    }
    for gate in 0..2 {
        let stranger = service.stranger_at(gate).with_token(&"A".repeat(43));
        for client in [ann.client.at(service.root(gate)), service.admin_at(gate), stranger] {
            // A session that was seen a moment ago serves on for a while.
            until(503, async || client.get(&records).await).await;
            assert_locked_out(&client, &records).await;
        }
        let credentials = json!({"user": ann.name, "password": ann.password});
        let answer = service.stranger_at(gate).post("/v1/session").json(&credentials).await;
        answer.problem(503, "sessions-unavailable", "not_executed");
        let ready = until(503, async || service.stranger_at(gate).get("/readyz").await).await.json();
        assert_eq!(ready["dependencies"]["sessions"]["ok"], false, "{ready}");
    }
    redis.restart().unwrap();
    for gate in 0..2 {
        let listed = until(200, async || ann.client.at(service.root(gate)).get(&records).await).await.json();
        assert_eq!(listed["records"], json!([]), "nothing got in");
        until(200, async || service.stranger_at(gate).get("/readyz").await).await;
        service.stranger_at(gate).with_token(&"A".repeat(43)).get(&records).await.is(401);
    }
    cluster.ground.assert_drained();
}

async fn assert_locked_out(client: &Client, records: &str) {
    let path = format!("{records}/a");
    for call in [
        client.get(records),
        client.post(records).json(&json!({})),
        client.put(&path).json(&json!({})),
        client.delete(&path),
        client.get("/v1/session"),
        client.delete("/v1/session"),
    ] {
        let sent = Instant::now();
        let answer = call.await.problem(503, "sessions-unavailable", "not_executed");
        assert!(answer.expect_header("retry-after").parse::<u64>().unwrap() > 0);
        assert!(sent.elapsed() < AT_ONCE, "took {:?}: {}", sent.elapsed(), answer.told());
    }
}
