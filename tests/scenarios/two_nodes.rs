//! Two database nodes, each with a copy of everything: what goes on with one of them, what waits, and how a third one
//! comes, and a fourth.

use crate::harness::{Answer, Client, Cluster, Ground, Load, Manner, Service, Stage, binary};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    process::Output,
    time::{Duration, Instant},
};
use testbed::Cassandra;

const SOON: Duration = Duration::from_mins(4);
const INTERVAL: Duration = Duration::from_millis(50);

faults! {
    with_one_of_two_nodes_reads_go_on_marked_and_writes_wait
    one_copy_is_enough_for_creates_where_the_operator_says_so_and_more_nodes_join
}

async fn with_one_of_two_nodes_reads_go_on_marked_and_writes_wait(stage: Stage) {
    let mut nodes = Cassandra::start_cluster(stage.path(), 2).unwrap();
    let variables = [("REQUEST_DEADLINE", "15s"), ("TOLERATED_NODE_FAILURES", "1")];
    let cluster = Cluster::start_with(&stage, ground(&nodes), &variables);
    let service = cluster.service().await;
    let (admin, records) = (service.admin(), service.collection("two").await);
    let path = format!("{records}/a");
    admin.put(&path).json(&json!({"n": 1})).await.is(201);
    assert_eq!(consistency(&admin.get(&path).await.is(200)), None);
    let worker = cluster.admin_addresses[0];
    until_tolerance(worker, "2 replicas tolerate 0 failed nodes; add a node or declare 0").await;
    let (_, ready) = readiness(worker).await;
    let policies = ready["dependencies"]["policies"]["detail"].to_string();
    assert!(policies.contains("RABBITMQ_MANAGEMENT_PORT"), "who does not compare says so: {ready}");
    let examined = examine(&cluster.ground, &["--tolerated-node-failures", "1"]);
    assert_eq!(examined.status.code(), Some(1), "{examined:?}");
    let told = String::from_utf8_lossy(&examined.stdout).into_owned();
    assert!(told.contains("2 replicas tolerate 0 failed nodes; add a node or declare 0"), "{told}");

    nodes[1].kill();
    // The first reads find out; none fails.
    eventually("a read by one copy", async || {
        let read = admin.get(&path).await.is(200);
        assert_eq!(read.json(), json!({"n": 1}));
        consistency(&read) == Some("one")
    })
    .await;
    until_tolerance(worker, "reads are answered by one replica").await;
    let writing = tokio::spawn(write_until_done(admin.clone(), path.clone()));
    for absent in [format!("{records}/b"), records.replace("two", "none")] {
        assert_eq!(
            consistency(&admin.get(&absent).await.is(404)),
            Some("one"),
            "not being there is marked too"
        );
    }
    assert_eq!(consistency(&admin.get(&records).await.is(200)), Some("one"));
    eventually("the worker says that writes wait", async || {
        let (code, ready) = readiness(worker).await;
        assert_eq!(code, 200, "it serves all the same: {ready}");
        ready["dependencies"]["store"]["detail"].to_string().contains("writes wait")
    })
    .await;
    assert!(!writing.is_finished(), "a write is not acknowledged by one copy");
    nodes[1].restart().unwrap();
    let (written, doubts) = writing.await.unwrap();
    // What was in doubt when its deadline passed may have been done, but what waited last certainly was.
    let versions = 2..=2 + doubts;
    assert!(versions.contains(&written.version()), "{} of {versions:?}", written.version());
    eventually("a read by both copies", async || {
        let read = admin.get(&path).await.is(200);
        assert_eq!(read.json(), json!({"n": 2}));
        consistency(&read).is_none()
    })
    .await;
    until_tolerance(worker, "add a node or declare 0").await;
    cluster.ground.assert_drained();
}

/// Writes again whenever a deadline passes: a JVM may take longer to start than any request may wait. Also tells how many
/// attempts were left in doubt.
async fn write_until_done(admin: Client, path: String) -> (Answer, i64) {
    let mut doubts = 0;
    loop {
        let answer = admin.put(&path).json(&json!({"n": 2})).await;
        match answer.status {
            200 => return (answer, doubts),
            504 => doubts += 1,
            // It was too late when the node was back.
            503 => {}
            _ => panic!("{}", answer.told()),
        }
    }
}

async fn one_copy_is_enough_for_creates_where_the_operator_says_so_and_more_nodes_join(stage: Stage) {
    let mut nodes = Cassandra::start_cluster(stage.path(), 2).unwrap();
    let cluster = Cluster::start_with(&stage, ground(&nodes), &[("ACKNOWLEDGE_WRITES_AT", "one")]);
    let service = cluster.service().await;
    let (admin, records) = (service.admin(), service.collection("one").await);
    nodes[1].kill();
    let mut created = Vec::new();
    eventually("creates with one copy", async || {
        let answer = admin.post(&records).json(&json!({"n": created.len()})).await;
        created.extend(answer.is_success().then(|| answer.expect_header("location")));
        created.len() >= 20
    })
    .await;
    nodes[1].restart().unwrap();
    eventually("changes with both copies", async || {
        admin.put(&format!("{records}/a")).json(&json!({})).await.is_success()
    })
    .await;
    for location in &created {
        // Whoever reads one copy, as one worker may longer than the other, may still meet the one that was away.
        eventually("a read by both copies", async || {
            let answer = admin.get(location).await;
            consistency(&answer).is_none() && answer.is(200).is_success()
        })
        .await;
    }
    grow(&cluster, &service, &mut nodes).await;
}

/// From two copies to three, and to four, while clients write.
async fn grow(cluster: &Cluster, service: &Service, nodes: &mut Vec<Cassandra>) {
    let mut load = Load::start(service, Manner::Persistent).await;
    load.progress(50).await;
    // The third brings its copy of accounts with it.
    let told = String::from_utf8_lossy(&examine(&cluster.ground, &[]).stdout).into_owned();
    assert!(told.contains("system_auth has 3 copies"), "{told}");
    assert!(
        told.contains(&format!("{} has its copies since less than 14 days", cluster.ground.keyspace)),
        "{told}"
    );
    let third = nodes[0].join().unwrap();
    nodes.push(third);
    load.progress(50).await;
    let assert_refused = || {
        let refused = replicate(&cluster.ground, &[]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains("nodetool repair --full"), "{told}");
    };
    assert_refused();
    nodes[0].nodetool(&["repair", "--full", "-pr", &cluster.ground.keyspace]).unwrap();
    assert_refused();
    repair(nodes, &cluster.ground.keyspace);
    let raised = replicate(&cluster.ground, &[]);
    let told = String::from_utf8_lossy(&raised.stdout).into_owned();
    assert!(raised.status.success() && told.contains("now has 3 copies"), "{raised:?}");
    repair(nodes, &cluster.ground.keyspace);
    let told = String::from_utf8_lossy(&examine(&cluster.ground, &[]).stdout).into_owned();
    assert!(
        told.contains(&format!("all of {} was repaired within 14 days", cluster.ground.keyspace)),
        "{told}"
    );
    load.progress(50).await;
    let worker = cluster.admin_addresses[0];
    until_tolerance(worker, "3 replicas tolerate 1 failed node").await;
    let fourth = nodes[1].join().unwrap();
    nodes.push(fourth);
    load.progress(50).await;
    let raised = replicate(&cluster.ground, &[]);
    let told = String::from_utf8_lossy(&raised.stdout).into_owned();
    assert!(raised.status.success() && told.contains("now has 4 copies"), "{raised:?}");
    repair(nodes, &cluster.ground.keyspace);
    until_tolerance(worker, "4 replicas tolerate 1 failed node").await;
    nodes[0].kill();
    load.progress(200).await;
    let report = load.stop().await;
    report.assert_agrees(&service.admin_at(1)).await;
    assert!(report.entries().count() > 400);
    let full = replicate(&cluster.ground, &["--repaired"]);
    let told = String::from_utf8_lossy(&full.stderr).into_owned();
    assert!(!full.status.success() && told.contains("add a node"), "{told}");
    cluster.ground.assert_drained();
}

fn ground(nodes: &[Cassandra]) -> Ground {
    let points = nodes.iter().map(|node| node.address().to_string()).collect();
    Ground::on(testbed::amqp(), points, testbed::redis())
}

fn repair(nodes: &[Cassandra], keyspace: &str) {
    for node in nodes {
        node.nodetool(&["repair", "--full", keyspace]).unwrap();
    }
}

fn consistency(answer: &Answer) -> Option<&str> {
    answer.header("penstock-consistency")
}

fn penstock(ground: &Ground, verb: &[&str], more: &[&str]) -> Output {
    let mut command = binary("penstock");
    command.args(verb).args(["--cassandra", &ground.cassandra.join(","), "--keyspace", &ground.keyspace]);
    command.args(more).output().unwrap()
}

fn examine(ground: &Ground, more: &[&str]) -> Output {
    penstock(ground, &["doctor"], more)
}

fn replicate(ground: &Ground, more: &[&str]) -> Output {
    penstock(ground, &["storage", "replicate"], more)
}

async fn readiness(worker: SocketAddr) -> (u16, Value) {
    let answer = Client::new(&format!("http://{worker}")).get("/readyz").await;
    (answer.status, answer.json())
}

async fn until_tolerance(worker: SocketAddr, sentence: &str) {
    eventually(sentence, async || {
        let (_, ready) = readiness(worker).await;
        ready["dependencies"]["tolerance"]["detail"].to_string().contains(sentence)
    })
    .await;
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}
