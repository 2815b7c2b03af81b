//! Changes whose clients do not wait for them. The embedded service always answers with the outcome.

use crate::harness::{Answer, Client, Service, settled};
use serde_json::json;

scenarios! {
    a_change_that_is_not_waited_for_is_carried_out
    whoever_waits_long_enough_gets_the_outcome
    a_change_that_is_refused_later_says_why
    a_deferred_request_that_is_sent_again_has_one_effect
    an_operation_is_its_senders_business
}

async fn a_change_that_is_not_waited_for_is_carried_out(service: Service) {
    let records = service.collection("later").await;
    let (path, admin) = (format!("{records}/a"), service.admin());
    let later = |call: crate::harness::Call| call.header("prefer", "respond-async");
    done(&admin, later(admin.put(&path).json(&json!({"n": 1}))).await).await;
    assert_eq!(service.admin_at(1).get(&path).await.is(200).version(), 1);
    done(&admin, later(admin.patch(&path).merge(&json!({"m": 2}))).await).await;
    assert_eq!(service.admin_at(1).get(&path).await.is(200).json(), json!({"n": 1, "m": 2}));
    done(&admin, later(admin.delete(&path)).await).await;
    service.admin_at(1).get(&path).await.problem(404, "record-not-found", "rejected");
    let created = done(&admin, later(admin.post(&records).json(&json!({"n": 3}))).await).await;
    let list = admin.get(&records).await.is(200).json();
    assert_eq!(list["records"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["records"][0]["id"], created);
}

async fn whoever_waits_long_enough_gets_the_outcome(service: Service) {
    let records = service.collection("patient").await;
    let path = format!("{records}/a");
    let put = || service.admin().put(&path).header("prefer", "wait=20").json(&json!({"n": 1}));
    assert_eq!(put().await.is(201).version(), 1);
    assert_eq!(put().await.is(200).version(), 2);
    let stale = put().header("if-match", "\"1-0000000000000000\"").await;
    stale.problem(412, "precondition-failed", "rejected");
}

async fn a_change_that_is_refused_later_says_why(service: Service) {
    let records = service.collection("refused").await;
    let patch = service.admin().patch(&format!("{records}/none")).header("prefer", "respond-async");
    let answer = patch.merge(&json!({"n": 1})).await;
    if answer.status == 202 {
        let report = settled(&service.admin(), &answer.expect_header("location")).await;
        assert_eq!(report["status"], "rejected", "{report}");
        assert_eq!(report["problem"]["type"], "urn:penstock:problem:record-not-found", "{report}");
    } else {
        answer.problem(404, "record-not-found", "rejected");
    }
}

async fn a_deferred_request_that_is_sent_again_has_one_effect(service: Service) {
    let records = service.collection("twice").await;
    let post = |gate| {
        let call = service.admin_at(gate).post(&records).json(&json!({"n": 1}));
        call.header("prefer", "respond-async").idempotency_key("once")
    };
    let first = done(&service.admin(), post(0).await).await;
    let second = done(&service.admin(), post(1).await).await;
    assert_eq!(first, second);
    let list = service.admin().get(&records).await.is(200).json();
    assert_eq!(list["records"].as_array().unwrap().len(), 1, "{list}");
}

async fn an_operation_is_its_senders_business(service: Service) {
    let records = service.collection("private").await;
    let (ann, ben) = (service.user("ann").await, service.user("ben").await);
    let put = ann.client.put(&format!("{records}/a")).header("prefer", "respond-async");
    let answer = put.json(&json!({"n": 1})).await;
    if answer.status != 202 {
        answer.is(201);
        return;
    }
    let operation = answer.expect_header("location");
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    ben.client.get(&operation).await.problem(404, "operation-not-found", "not_executed");
    ben.client.delete(&operation).await.problem(404, "operation-not-found", "not_executed");
    assert_eq!(settled(&ann.client, &operation).await["status"], "done");
    let late = ann.client.delete(&operation).await;
    let late = late.problem(409, "operation-not-cancelled", "not_executed");
    assert_eq!(late.json()["operation_status"], "done");
}

/// The record that a deferred change has made or changed, once that is done.
async fn done(client: &Client, answer: Answer) -> serde_json::Value {
    if answer.status != 202 {
        assert!(answer.is_success(), "{}", answer.told());
        return serde_json::from_slice(answer.body())
            .map_or(json!(null), |body: serde_json::Value| body["id"].clone());
    }
    let report = settled(client, &answer.expect_header("location")).await;
    assert_eq!(report["status"], "done", "{report}");
    report["outcome"]["record"].clone()
}
