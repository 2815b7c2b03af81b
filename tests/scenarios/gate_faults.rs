//! Gates that die or are told to stop, under load: their clients go on at the other one.

use crate::harness::{Cluster, Ground, Load, Manner, Stage};
use testbed::Signal;

faults! {
    a_session_outlives_the_gate_that_opened_it
    a_gate_killed_mid_request_costs_a_persistent_client_nothing
    a_gate_told_to_stop_fails_no_request
    a_stopping_gate_says_so
}

async fn a_session_outlives_the_gate_that_opened_it(stage: Stage) {
    let mut cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let ann = service.user("ann").await;
    let records = service.collection("surviving").await;
    cluster.gates[0].kill();
    let there = ann.client.at(service.root(1));
    assert_eq!(there.get("/v1/session").await.is(200).json()["user"], ann.name);
    let created = there.post(&records).json(&serde_json::json!({})).await.is(201);
    cluster.gates[0].restart();
    ann.client.get(&created.expect_header("location")).await.is(200);
    there.delete("/v1/session").await.is(204);
    there.get("/v1/session").await.is(401);
    cluster.ground.assert_drained();
}

async fn a_gate_killed_mid_request_costs_a_persistent_client_nothing(stage: Stage) {
    let mut cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let mut load = Load::start(&service, Manner::Persistent).await;
    for gate in &mut cluster.gates {
        load.progress(100).await;
        gate.kill();
        load.progress(100).await;
        gate.restart();
    }
    let report = load.stop().await;
    report.assert_all_acknowledged();
    report.assert_agrees(&service.admin_at(1)).await;
    cluster.ground.assert_drained();
}

async fn a_gate_told_to_stop_fails_no_request(stage: Stage) {
    let mut cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let mut load = Load::start(&service, Manner::Polite).await;
    for gate in &mut cluster.gates {
        load.progress(100).await;
        gate.signal(Signal::TERM);
        let status = gate.wait_exit();
        assert_eq!(status.code(), Some(0), "{status}");
        load.progress(100).await;
        gate.restart();
    }
    let report = load.stop().await;
    report.assert_all_acknowledged();
    report.assert_agrees(&service.admin_at(1)).await;
    cluster.ground.assert_drained();
}

async fn a_stopping_gate_says_so(stage: Stage) {
    let variables = [("CASSANDRA_REPLICATION", "1"), ("SHUTDOWN_LINGER", "10s")];
    let mut cluster = Cluster::start_with(&stage, Ground::shared(), &variables);
    let service = cluster.service().await;
    service.stranger_at(0).get("/readyz").await.is(200);
    cluster.gates[0].signal(Signal::TERM);
    loop {
        let answer = service.stranger_at(0).get("/readyz").await;
        if answer.status == 503 {
            assert_eq!(answer.json()["status"], "stopping");
            assert_eq!(answer.header("connection"), Some("close"));
            break;
        }
    }
    // It serves on, for those who have not noticed yet.
    let answer = service.admin_at(0).apart().get("/v1/session").await.is(200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(cluster.gates[0].wait_exit().code(), Some(0));
    service.stranger_at(1).get("/readyz").await.is(200);
}
