//! Requests with an Idempotency-Key: sent again, they answer what the first attempt answered.

use crate::harness::{Answer, Client, Service, unique};
use futures_util::future::join_all;
use serde_json::json;
use std::future::IntoFuture;

scenarios! {
    a_create_sent_again_makes_one_record
    concurrent_copies_of_a_create_make_one_record
    changes_sent_again_have_one_effect
    a_rejection_sent_again_stays_a_rejection
    one_key_stands_for_one_request
    keys_of_two_users_do_not_collide
    a_key_that_is_none_is_refused
}

fn assert_same(first: &Answer, again: &Answer) {
    assert_eq!(first.status, again.status, "{}", again.told());
    for header in ["location", "etag", "record-version", "last-modified"] {
        assert_eq!(first.header(header), again.header(header), "{}", again.told());
    }
    assert_eq!(first.body(), again.body(), "{}", again.told());
}

async fn a_create_sent_again_makes_one_record(service: Service) {
    let (records, key) = (service.collection("once").await, unique("key"));
    let create = |gate| service.admin_at(gate).post(&records).json(&json!({"n": 1})).idempotency_key(&key);
    let first = create(0).await.is(201);
    assert_same(&first, &create(0).await);
    assert_same(&first, &create(1).await);
    let list = service.admin().get(&records).await.is(200).json();
    assert_eq!(list["records"].as_array().unwrap().len(), 1, "{list}");
    let other = create(1).idempotency_key(&unique("key")).await;
    other.problem(400, "invalid-header", "not_executed");
}

async fn concurrent_copies_of_a_create_make_one_record(service: Service) {
    let (records, key) = (service.collection("copies").await, unique("key"));
    let create = |gate| service.admin_at(gate).post(&records).json(&json!({"n": 1})).idempotency_key(&key);
    let answers = join_all((0..40).map(|gate| create(gate).into_future())).await;
    for answer in &answers {
        assert_eq!(answer.status, 201, "{}", answer.told());
        assert_same(&answers[0], answer);
    }
    let list = service.admin_at(1).get(&records).await.is(200).json();
    assert_eq!(list["records"].as_array().unwrap().len(), 1, "{list}");
}

async fn changes_sent_again_have_one_effect(service: Service) {
    let records = service.collection("changes").await;
    let (path, key) = (format!("{records}/a"), unique("key"));
    for (step, verb) in ["PUT", "PATCH", "DELETE", "DELETE"].into_iter().enumerate() {
        let send = |gate| {
            let admin = service.admin_at(gate);
            let call = match verb {
                "PUT" => admin.put(&path).json(&json!({"marks": []})),
                "PATCH" => {
                    admin.patch(&path).json_patch(&json!([{"op": "add", "path": "/marks/-", "value": 1}]))
                }
                _ => admin.delete(&path),
            };
            call.idempotency_key(&key)
        };
        let first = send(0).await;
        // The last is a copy of the one before: the record is gone, the receipt is not.
        let version = [1, 2, 3, 3][step];
        assert_eq!((first.is_success(), first.version()), (true, version), "{}", first.told());
        for copy in join_all((0..8).map(|gate| send(gate).into_future())).await {
            assert_same(&first, &copy);
        }
        if verb == "PATCH" {
            let read = service.admin_at(1).get(&path).await.is(200);
            assert_eq!((read.version(), read.json()), (2, json!({"marks": [1]})));
        }
    }
    service.admin().get(&path).await.is(404);
}

async fn a_rejection_sent_again_stays_a_rejection(service: Service) {
    let path = format!("{}/later", service.collection("rejections").await);
    let key = unique("key");
    let change = |gate| service.admin_at(gate).patch(&path).merge(&json!({"n": 2})).idempotency_key(&key);
    change(0).await.problem(404, "record-not-found", "rejected");
    service.admin().put(&path).json(&json!({"n": 1})).await.is(201);
    change(1).await.problem(404, "record-not-found", "rejected");
    assert_eq!(service.admin_at(1).get(&path).await.json(), json!({"n": 1}));
    service.admin().patch(&path).merge(&json!({"n": 2})).await.is(200);
}

async fn one_key_stands_for_one_request(service: Service) {
    let (records, key) = (service.collection("strict").await, unique("key"));
    let create = |gate, n| service.admin_at(gate).post(&records).json(&json!({"n": n})).idempotency_key(&key);
    let first = create(0, 1).await.is(201);
    let location = first.expect_header("location");
    for gate in 0..2 {
        create(gate, 2).await.problem(422, "idempotency-key-reused", "rejected");
    }
    assert_eq!(service.admin_at(1).get(&location).await.json(), json!({"n": 1}));
    assert_same(&first, &create(1, 1).await);
    let put = |gate, tag: &str| {
        let admin = service.admin_at(gate);
        admin.put(&location).json(&json!({"n": 3})).header("if-match", tag).idempotency_key(&key)
    };
    put(0, &first.etag()).await.is(200);
    put(1, "*").await.problem(422, "idempotency-key-reused", "rejected");
    assert_eq!(service.admin().get(&location).await.version(), 2);
}

async fn keys_of_two_users_do_not_collide(service: Service) {
    let (records, key) = (service.collection("shared").await, unique("key"));
    let (ann, bob) = (service.user("ann").await, service.user("bob").await);
    let create = |client: &Client, n| client.post(&records).json(&json!({"n": n})).idempotency_key(&key);
    let first = create(&ann.client, 1).await.is(201);
    let second = create(&bob.client, 2).await.is(201);
    assert_ne!(first.header("location"), second.header("location"));
    for (answer, n) in [(first, 1), (second, 2)] {
        let read = service.admin_at(1).get(&answer.expect_header("location")).await.is(200);
        assert_eq!(read.json(), json!({"n": n}));
    }
}

async fn a_key_that_is_none_is_refused(service: Service) {
    let records = service.collection("keys").await;
    for key in ["", &"k".repeat(256)] {
        let answer = service.admin().post(&records).json(&json!({})).idempotency_key(key).await;
        let problem = answer.problem(400, "invalid-header", "not_executed").json();
        assert_eq!(problem["header"], "Idempotency-Key");
    }
    service.admin().post(&records).json(&json!({})).idempotency_key(&"k".repeat(255)).await.is(201);
    assert_eq!(service.admin_at(1).get(&records).await.json()["records"].as_array().unwrap().len(), 1);
}
