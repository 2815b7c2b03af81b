//! Collections come, change and go.

use crate::harness::{Service, unique};
use serde_json::{Value, json};

scenarios! {
    a_collection_is_created_with_settings_and_read_back
    an_unknown_collection_says_how_to_create_it
    a_dropped_collection_is_gone_and_comes_back_empty
    settings_are_changed_under_conditions
    settings_that_cannot_be_are_refused
    a_collection_can_be_spread_wide
    a_create_sent_again_makes_one_collection
}

async fn a_collection_is_created_with_settings_and_read_back(service: Service) {
    let name = unique("orders");
    let path = format!("/v1/collections/{name}");
    let created = service.admin().put(&path).json(&json!({"writers": ["user:ann"]})).await.is(201);
    assert_eq!((created.expect_header("location"), created.version()), (path.clone(), 1));
    assert_eq!(created.json(), json!({"name": name, "version": 1, "etag": created.etag()}));
    let settings =
        json!({"readers": ["authenticated"], "writers": ["user:ann"], "owners": [], "buckets": 16});
    for gate in 0..2 {
        let read = service.admin_at(gate).get(&path).await.is(200);
        assert_eq!((read.json(), read.etag()), (settings.clone(), created.etag()));
        service.admin_at(gate).get(&path).header("if-none-match", &created.etag()).await.is(304);
    }
}

async fn an_unknown_collection_says_how_to_create_it(service: Service) {
    let name = unique("unknown");
    let records = format!("/v1/collections/{name}/records");
    let (path, admin) = (format!("{records}/a"), service.admin());
    for call in [
        admin.post(&records).json(&json!({})),
        admin.get(&records),
        admin.get(&path),
        admin.put(&path).json(&json!({})),
        admin.patch(&path).merge(&json!({})),
        admin.delete(&path),
        admin.get(&format!("/v1/collections/{name}")),
        admin.delete(&format!("/v1/collections/{name}")),
    ] {
        let problem = call.await.problem(404, "collection-not-found", "rejected").json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("PUT /v1/collections/{name}")), "{detail}");
    }
    // What it says works, at once and everywhere, and nothing that was refused is there.
    admin.put(&format!("/v1/collections/{name}")).json(&json!({})).await.is(201);
    assert_eq!(service.admin_at(1).get(&records).await.is(200).json()["records"], json!([]));
    for gate in 0..4 {
        service.admin_at(gate).post(&records).json(&json!({})).await.is(201);
    }
}

async fn a_dropped_collection_is_gone_and_comes_back_empty(service: Service) {
    let records = service.collection("dropped").await;
    let (collection, path) = (records.trim_end_matches("/records"), format!("{records}/a"));
    for life in 0..2 {
        service.admin().put(&path).json(&json!({"life": life})).await.is(201);
        service.admin().post(&records).json(&json!({})).await.is(201);
        service.admin().delete(collection).await.is(204);
        for gate in 0..2 {
            let admin = service.admin_at(gate);
            admin.get(&path).await.problem(404, "collection-not-found", "rejected");
            admin.get(&records).await.problem(404, "collection-not-found", "rejected");
            admin.put(&path).json(&json!({})).await.problem(404, "collection-not-found", "rejected");
        }
        service.admin_at(1).put(collection).json(&json!({})).await.is(201);
        for gate in 0..2 {
            assert_eq!(service.admin_at(gate).get(&records).await.is(200).json()["records"], json!([]));
            service.admin_at(gate).get(&path).await.problem(404, "record-not-found", "rejected");
        }
    }
    assert_eq!(service.admin().put(&path).json(&json!({})).await.is(201).version(), 1);
}

async fn settings_are_changed_under_conditions(service: Service) {
    let records = service.collection("settings").await;
    let collection = records.trim_end_matches("/records");
    let put = |settings: &Value, header: &str, value: &str| {
        service.admin().put(collection).json(settings).header(header, value)
    };
    put(&json!({}), "if-none-match", "*").await.problem(412, "precondition-failed", "rejected");
    let tag = service.admin_at(1).get(collection).await.is(200).etag();
    let changed = put(&json!({"readers": []}), "if-match", &tag).await.is(200);
    assert_eq!(changed.version(), 2);
    let answer = put(&json!({}), "if-match", &tag).await.problem(412, "precondition-failed", "rejected");
    assert_eq!(answer.etag(), changed.etag());
    service.admin().delete(collection).header("if-match", &tag).await.is(412);
    assert_eq!(service.admin_at(1).get(collection).await.is(200).json()["readers"], json!([]));
}

async fn settings_that_cannot_be_are_refused(service: Service) {
    let path = format!("/v1/collections/{}", unique("odd"));
    for (settings, pointer) in [
        (json!({"redaers": []}), "/redaers"),
        (json!({"buckets": 17}), "/buckets"),
        (json!({"buckets": 8}), "/buckets"),
        (json!({"buckets": 2048}), "/buckets"),
        (json!({"buckets": "16"}), "/buckets"),
        (json!({"buckets": -1}), "/buckets"),
        (json!({"readers": "authenticated"}), "/readers"),
        (json!({"writers": ["authenticated", "everyone"]}), "/writers/1"),
        (json!({"owners": ["user:No Name"]}), "/owners/0"),
        (json!(null), ""),
        (json!("x"), ""),
        (json!([]), ""),
    ] {
        let answer = service.admin().put(&path).json(&settings).await;
        let problem = answer.problem(422, "invalid-document", "not_executed").json();
        assert_eq!(problem["pointer"], pointer, "{settings}: {problem}");
    }
    service.admin_at(1).get(&path).await.is(404);
    service.admin().put(&path).json(&json!({})).await.is(201);
    let answer = service.admin().put(&path).json(&json!({"buckets": 32})).await;
    assert_eq!(answer.problem(422, "invalid-document", "rejected").json()["pointer"], "/buckets");
}

async fn a_collection_can_be_spread_wide(service: Service) {
    let records = service.collection_with("wide", &json!({"buckets": 256})).await;
    for number in 0..40 {
        service.admin_at(number).put(&format!("{records}/{number:02}")).json(&json!(number)).await.is(201);
    }
    let listed = service.admin().get(&records).await.is(200).json();
    let seen: Vec<&Value> =
        listed["records"].as_array().unwrap().iter().map(|one| &one["document"]).collect();
    assert_eq!(json!(seen), json!((0..40).collect::<Vec<_>>()));
}

async fn a_create_sent_again_makes_one_collection(service: Service) {
    let (path, key) = (format!("/v1/collections/{}", unique("keyed")), unique("key"));
    let create = |gate| service.admin_at(gate).put(&path).json(&json!({})).idempotency_key(&key);
    let first = create(0).await.is(201);
    let again = create(1).await.is(201);
    assert_eq!((first.body(), first.version()), (again.body(), again.version()));
}
