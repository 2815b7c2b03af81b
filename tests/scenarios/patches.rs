//! JSON Merge Patch (RFC 7396) and JSON Patch (RFC 6902).

use crate::harness::{Answer, Service};
use serde_json::{Value, json};

scenarios! {
    a_merge_patch_sets_and_removes_members
    a_merge_patch_that_is_no_object_replaces_the_document
    a_json_patch_applies_its_operations_in_order
    a_json_patch_applies_as_a_whole_or_not_at_all
    a_patch_that_is_none_is_pointed_at
    a_patch_cannot_make_a_document_too_large
    a_patch_is_no_document_and_a_document_no_patch
}

/// A record of this document: its path, and what a read of it says.
async fn record(service: &Service, document: &Value) -> (String, Answer) {
    let records = service.collection("patched").await;
    let location = service.admin().post(&records).json(document).await.is(201).expect_header("location");
    let read = service.admin_at(1).get(&location).await.is(200);
    (location, read)
}

async fn assert_unchanged(service: &Service, path: &str, before: &Answer) {
    for gate in 0..2 {
        let now = service.admin_at(gate).get(path).await.is(200);
        assert_eq!((now.etag(), now.body()), (before.etag(), before.body()));
    }
}

async fn a_merge_patch_sets_and_removes_members(service: Service) {
    let (path, _) =
        record(&service, &json!({"title": "a", "author": {"given": "B", "family": "C"}, "tags": [1]})).await;
    let changes =
        json!({"title": "z", "author": {"family": null}, "tags": [2, null], "new": {"x": null, "y": 1}});
    let patched = service.admin_at(1).patch(&path).merge(&changes).await.is(200);
    assert_eq!(patched.version(), 2);
    let read = service.admin().get(&path).await.is(200);
    let expected = json!({"title": "z", "author": {"given": "B"}, "tags": [2, null], "new": {"y": 1}});
    assert_eq!((read.json(), read.etag()), (expected, patched.etag()));
}

async fn a_merge_patch_that_is_no_object_replaces_the_document(service: Service) {
    let (path, _) = record(&service, &json!({"a": 1})).await;
    service.admin().patch(&path).merge(&json!([1])).await.is(200);
    assert_eq!(service.admin_at(1).get(&path).await.json(), json!([1]));
}

async fn a_json_patch_applies_its_operations_in_order(service: Service) {
    let (path, _) = record(&service, &json!({"list": [1, 2], "a": {"b/c~d": 1}, "old": 0})).await;
    let changes = json!([
        {"op": "test", "path": "/a/b~1c~0d", "value": 1},
        {"op": "add", "path": "/list/1", "value": "between"},
        {"op": "add", "path": "/list/-", "value": "last"},
        {"op": "replace", "path": "/list/0", "value": "first"},
        {"op": "move", "from": "/old", "path": "/new"},
        {"op": "copy", "from": "/list", "path": "/copy"},
        {"op": "remove", "path": "/a"},
    ]);
    assert_eq!(service.admin().patch(&path).json_patch(&changes).await.is(200).version(), 2);
    let list = json!(["first", "between", 2, "last"]);
    assert_eq!(service.admin_at(1).get(&path).await.json(), json!({"list": list, "new": 0, "copy": list}));
}

async fn a_json_patch_applies_as_a_whole_or_not_at_all(service: Service) {
    let (path, before) = record(&service, &json!({"n": 1, "list": []})).await;
    let change = json!({"op": "replace", "path": "/n", "value": 2});
    for failing in [
        json!({"op": "test", "path": "/n", "value": 1}),
        json!({"op": "remove", "path": "/absent"}),
        json!({"op": "replace", "path": "/absent", "value": 1}),
        json!({"op": "add", "path": "/list/7", "value": 1}),
        json!({"op": "move", "from": "/absent", "path": "/n"}),
    ] {
        let changes = json!([change, failing]);
        let answer = service.admin().patch(&path).json_patch(&changes).await;
        let problem = answer.problem(409, "patch-failed", "rejected").json();
        assert!(problem["detail"].as_str().unwrap().contains("operation 1"), "{problem}");
        assert_unchanged(&service, &path, &before).await;
    }
}

async fn a_patch_that_is_none_is_pointed_at(service: Service) {
    let (path, before) = record(&service, &json!({"n": 1})).await;
    for (changes, pointer) in [
        (json!({"op": "remove", "path": "/n"}), ""),
        (json!([{"op": "grow", "path": "/n"}]), "/0/op"),
        (json!([{"op": "remove", "path": "/n"}, {"op": "add", "path": "/n"}]), "/1"),
        (Value::Array(vec![json!({"op": "test", "path": "", "value": {"n": 1}}); 1001]), "/1000"),
    ] {
        let answer = service.admin().patch(&path).json_patch(&changes).await;
        let problem = answer.problem(422, "invalid-document", "not_executed").json();
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
    assert_unchanged(&service, &path, &before).await;
}

async fn a_patch_cannot_make_a_document_too_large(service: Service) {
    let (path, before) = record(&service, &json!({"text": "x".repeat(200_000)})).await;
    let copies = (0..6).map(|n| json!({"op": "copy", "from": "/text", "path": format!("/copy{n}")}));
    let answer = service.admin().patch(&path).json_patch(&copies.collect()).await;
    answer.problem(413, "too-large", "rejected");
    assert_unchanged(&service, &path, &before).await;
}

async fn a_patch_is_no_document_and_a_document_no_patch(service: Service) {
    let (path, before) = record(&service, &json!({"n": 1})).await;
    let admin = service.admin();
    let answer = admin.put(&path).merge(&json!({})).await;
    answer.problem(415, "unsupported-media-type", "not_executed");
    let answer = admin.patch(&path).json(&json!({})).await;
    let answer = answer.problem(415, "unsupported-media-type", "not_executed");
    assert!(answer.expect_header("accept-patch").contains("application/json-patch+json"));
    assert_unchanged(&service, &path, &before).await;
}
