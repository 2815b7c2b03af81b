//! Storage workers that die, freeze or are told to stop, under load: their work is done by the other one.

use crate::harness::{Call, Cluster, Ground, Load, Manner, Service, Stage, settled};
use futures_util::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};
use std::{
    future::IntoFuture,
    time::{Duration, Instant},
};
use testbed::Signal;
use tokio::time::timeout;

faults! {
    a_worker_killed_mid_request_fails_no_request
    a_frozen_worker_leaves_no_request_without_an_answer
    a_worker_told_to_stop_fails_no_request
    where_no_worker_takes_requests_they_are_refused
    what_the_broker_refuses_is_refused_at_once
    a_change_that_kills_workers_dies_alone
    large_documents_in_queues_and_lists_fit_into_a_worker
}

/// How long a client waits that knows that it waits for nobody.
const IMPATIENCE: Duration = Duration::from_millis(300);
/// Shards of a worker that stands still go to another one. 12 s are promised, and docs/faults.md has what was measured
/// (`worker-frozen`); a busy machine may take longer.
const MOVED_WITHIN: Duration = Duration::from_secs(30);
/// So many that hardly any shard has none of them.
const RECORDS: usize = 80;
/// Changes that stand beside one that kills workers.
const NEIGHBOURS: usize = 60;
const DEAD_WITHIN: Duration = Duration::from_mins(10);
const INTERVAL: Duration = Duration::from_millis(50);
/// More than twice as many as a worker is to take of all sixteen queues together.
const LARGE: usize = 600;
/// So much for those that it takes, 62 MB two and a half times, and for itself; for all of them it would need 400 MB. With both lanes full
/// that is what `swarm-stack.yml` gives a worker, 512 MB. In MB.
const MEMORY: u64 = 300;
/// Some in each bucket.
const DELETED: usize = 64;
const SMALL: usize = 300;
/// At once, of all documents that fit into a page.
const LISTS: usize = 8;
/// 100 ms are promised, by a machine that has nothing else to do.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// The deadline of a command, and a second; and what a busy machine may take besides.
const ANSWERED_WITHIN: Duration = Duration::from_secs(16);

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
    let records = service.collection("everywhere").await;
    cluster.workers[0].freeze();
    // The broker gives it up, and its shards move.
    let moved = timeout(MOVED_WITHIN, write_everywhere(&service, &records)).await;
    assert!(moved.is_ok(), "not all shards have moved within {MOVED_WITHIN:?}");
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

/// Writes records to all shards, each until it is acknowledged.
async fn write_everywhere(service: &Service, records: &str) {
    let writes = (0..RECORDS).map(async |number| {
        let put = || service.admin_at(number).put(&format!("{records}/{number}")).json(&json!({}));
        while !put().await.is_success() {}
    });
    join_all(writes).await;
}

/// Whoever carries it out aborts, and all that the worker had in its hands comes back with it, time and again.
async fn a_change_that_kills_workers_dies_alone(stage: Stage) {
    let ground = Ground::shared();
    let management = ground.broker.management_url().to_owned();
    let (_, management_port) = management.rsplit_once(':').unwrap();
    let variables = [
        ("CASSANDRA_REPLICATION", "1"),
        ("FAILPOINTS", "die-on-record=return(poison)"),
        ("RABBITMQ_MANAGEMENT_PORT", management_port),
    ];
    let mut cluster = Cluster::start_with(&stage, ground, &variables);
    let service = cluster.service().await;
    let records = service.collection("poisoned").await;
    cluster.workers[0].wait_for_line("queues and policies are as shipped");
    rule_deferred(&cluster.ground, "delivery-limit", 20);
    for worker in &mut cluster.workers {
        worker.kill();
    }
    let mut operations = Vec::new();
    let names = (0..NEIGHBOURS).map(|number| number.to_string());
    for name in ["poison".to_owned()].into_iter().chain(names) {
        let put = service.admin().put(&format!("{records}/{name}")).json(&json!({}));
        operations.push(put.header("prefer", "respond-async").await.is(202).expect_header("location"));
    }
    let (worker, mut deaths) = (&mut cluster.workers[0], 0);
    let reviving = async {
        loop {
            deaths += usize::from(worker.revive());
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let settling = async {
        let reasons = timeout(DEAD_WITHIN, reasons_of_letters(&service)).await.unwrap();
        let statuses =
            operations.iter().map(async |one| settled(&service.admin(), one).await["status"].clone());
        (reasons, join_all(statuses).await)
    };
    let (reasons, statuses) = tokio::select! {
        () = reviving => unreachable!(),
        settled = settling => settled,
    };
    assert_eq!(reasons, ["delivery_limit"], "after {deaths} deaths");
    cluster.workers[0].wait_for_line("delivery-limit is 20, shipped 50");
    assert_eq!(statuses[0], "dead", "after {deaths} deaths");
    assert!(statuses[1..].iter().all(|status| status == "done"), "after {deaths} deaths: {statuses:?}");
    cluster.ground.assert_drained();
}

/// Asks until there are some. While no worker lives, nobody answers.
async fn reasons_of_letters(service: &Service) -> Vec<Value> {
    loop {
        let asked = service.admin().get("/v1/dead-letters").into_future();
        if let Ok(answer) = timeout(IMPATIENCE, asked).await
            && answer.status == 200
            && let Some(letters @ [_, ..]) = answer.json()["dead_letters"].as_array().map(Vec::as_slice)
        {
            return letters.iter().map(|letter| letter["reason"].clone()).collect();
        }
    }
}

/// Deferred changes that nobody carries out fill their queue.
async fn what_the_broker_refuses_is_refused_at_once(stage: Stage) {
    let mut cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let records = service.collection("full").await;
    for worker in &mut cluster.workers {
        worker.kill();
    }
    rule_deferred(&cluster.ground, "max-length", 1);
    // All to one queue. The broker may take one more than it is to hold, and a moment to hear of the policy.
    let put = async || {
        let asked = Instant::now();
        let put = service.admin().put(&format!("{records}/one")).json(&json!({}));
        (put.header("prefer", "respond-async").await, asked.elapsed())
    };
    let (mut kept, end) = (Vec::new(), Instant::now() + MOVED_WITHIN);
    let (refused, took) = loop {
        let (answer, took) = put().await;
        if answer.status != 202 {
            break (answer, took);
        }
        kept.push(answer.expect_header("location"));
        assert!(Instant::now() < end, "{} changes are kept", kept.len());
    };
    let refused = refused.problem(503, "queue-unavailable", "not_executed");
    assert!(refused.expect_header("retry-after").parse::<u64>().unwrap() > 0);
    assert!(took < REFUSED_WITHIN, "{took:?}");
    for worker in &mut cluster.workers {
        worker.restart();
    }
    for operation in &kept {
        assert_eq!(settled(&service.admin(), operation).await["status"], "done");
    }
    let read = service.admin().get(&format!("{records}/one")).await.is(200);
    assert_eq!(usize::try_from(read.version()).unwrap(), kept.len(), "what was refused has no effect");
    cluster.ground.assert_drained();
}

/// As the policy of deferred changes, but for this.
fn rule_deferred(Ground { broker, vhost, .. }: &Ground, what: &str, value: u64) {
    let mut policy = broker.get(&format!("/api/policies/{vhost}/penstock.deferred")).unwrap();
    policy["definition"][what] = json!(value);
    policy["priority"] = json!(20);
    broker.put(&format!("/api/policies/{vhost}/impatient"), &policy).unwrap();
}

async fn large_documents_in_queues_and_lists_fit_into_a_worker(stage: Stage) {
    // As the stack starts them, but for the deadline: a busy machine takes longer for so much at once.
    let variables = [("CASSANDRA_REPLICATION", "1"), ("PREFETCH", "16"), ("REQUEST_DEADLINE", "30s")];
    let mut cluster = Cluster::start_with(&stage, Ground::shared(), &variables);
    let service = cluster.service().await;
    let records = service.collection("large").await;
    cluster.workers[1].kill();
    let document = json!({"text": "x".repeat(240_000)});
    let at = |number| format!("{records}/{number}");
    let replace = |number| service.admin_at(number).put(&at(number)).json(&document);
    all_kept_then_done(&mut cluster, &service, replace).await;
    // Small patches of all of them and reads, at once and, by another process, deferred.
    let patch = |number| service.admin_at(number).patch(&at(number)).merge(&json!({"n": number}));
    let answered = |number| patch(number).header("prefer", "return=representation");
    for answer in join_all((0..LARGE).map(async |number| answered(number).await.is(200).json())).await {
        assert_eq!(answer["text"], document["text"]);
    }
    service.admin().get(&at(LARGE)).await.is(404);
    join_all((0..LARGE).map(async |number| service.admin_at(number).get(&at(number)).await.is(200))).await;
    all_kept_then_done(&mut cluster, &service, patch).await;
    assert_fits(&cluster);
    // In front of them, what tells nothing of their size: many small ones, and then deleted ones.
    let small = (0..SMALL).map(|number| format!("{records}/-{number}"));
    let deleted: Vec<_> = (0..DELETED).map(|number| format!("{records}/.{number}")).collect();
    let put = async |path: String| service.admin().put(&path).json(&json!({})).await.is(201);
    few_at_once(small.chain(deleted.iter().cloned()).map(put)).await;
    few_at_once(deleted.iter().map(async |path| service.admin().delete(path).await.is(204))).await;
    let list = async || service.admin().get(&format!("{records}?limit=1000")).await.is(200).json();
    for page in join_all((0..LISTS).map(|_| list())).await {
        assert!(page["records"].as_array().is_some_and(|records| !records.is_empty()), "{page}");
    }
    let (mut listed, mut cursor) = (0, String::new());
    loop {
        let page = service.admin().get(&format!("{records}?limit=1000{cursor}")).await.is(200).json();
        listed += page["records"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed, SMALL + LARGE);
    assert_fits(&cluster);
    cluster.ground.assert_drained();
}

fn assert_fits(cluster: &Cluster) {
    let most = cluster.workers[0].most_memory().unwrap() >> 20;
    eprintln!("a worker had {most} MB at most");
    assert!(most <= MEMORY, "{most} MB");
}

/// Changes come all at once to a worker that starts.
async fn all_kept_then_done(cluster: &mut Cluster, service: &Service, change: impl Fn(usize) -> Call) {
    assert_fits(cluster);
    cluster.workers[0].kill();
    let keep = async |number| change(number).header("prefer", "respond-async").await.is(202);
    let kept = few_at_once((0..LARGE).map(keep)).await;
    cluster.workers[0].restart();
    for kept in kept {
        assert_eq!(settled(&service.admin(), &kept.expect_header("location")).await["status"], "done");
    }
}

async fn few_at_once<F: Future>(calls: impl Iterator<Item = F>) -> Vec<F::Output> {
    stream::iter(calls).buffered(8).collect().await
}
