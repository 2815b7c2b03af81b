//! Creating, reading, replacing and deleting one record.

use crate::harness::{Answer, Service};
use serde_json::{Value, json};

scenarios! {
    a_created_record_can_be_read_at_every_gate
    a_document_is_kept_byte_by_byte
    every_kind_of_json_is_a_document
    put_creates_and_then_replaces
    a_deleted_record_is_gone
    versions_go_on_when_a_deleted_record_is_created_again
    a_write_answers_with_the_document_if_asked
    a_record_that_never_was_is_not_found
}

/// What every answer about one version of a record says.
fn assert_describes(answer: &Answer, version: i64) {
    assert_eq!(answer.version(), version, "{}", answer.told());
    assert!(answer.etag().starts_with(&format!("\"{version}-")), "{}", answer.told());
    assert!(answer.expect_header("last-modified").ends_with(" GMT"), "{}", answer.told());
    assert!(answer.expect_header("cache-control").contains("no-cache"), "{}", answer.told());
}

fn assert_written(answer: &Answer, id: &str, version: i64) {
    assert_describes(answer, version);
    let written = json!({"id": id, "version": version, "etag": answer.etag()});
    assert_eq!(answer.json(), written);
}

async fn a_created_record_can_be_read_at_every_gate(service: Service) {
    let records = service.collection("orders").await;
    let document = json!({"customer": "Ann", "total": 12.5});
    let created = service.admin().post(&records).json(&document).await.is(201);
    let location = created.expect_header("location");
    let id = location.strip_prefix(&format!("{records}/")).unwrap();
    assert_written(&created, id, 1);
    for gate in 0..2 {
        let read = service.admin_at(gate).get(&location).await.is(200);
        assert_eq!(read.json(), document);
        assert_eq!(read.header("content-type"), Some("application/json"));
        assert_describes(&read, 1);
        assert_eq!(read.etag(), created.etag());
        assert_eq!(read.header("last-modified"), created.header("last-modified"));
    }
}

async fn a_document_is_kept_byte_by_byte(service: Service) {
    let path = format!("{}/a", service.collection("texts").await);
    let text = "{ \"z\":1.50,\n\"a\" : [ 1e2,\t-0.0, 18446744073709551615 ], \"\\u00fc\":\"\\/ü🦀\" }";
    service.admin().put(&path).body("application/json", text).await.is(201);
    let read = service.admin_at(1).get(&path).await.is(200);
    assert_eq!(String::from_utf8_lossy(read.body()), text);
}

async fn every_kind_of_json_is_a_document(service: Service) {
    let records = service.collection("kinds").await;
    for document in [json!(null), json!(true), json!(-7), json!("text"), json!([1, [2]]), json!({})] {
        let location = service.admin().post(&records).json(&document).await.is(201).expect_header("location");
        assert_eq!(service.admin_at(1).get(&location).await.is(200).json(), document);
    }
}

async fn put_creates_and_then_replaces(service: Service) {
    let path = format!("{}/A.b~c:d@e_f-9", service.collection("named").await);
    let created = service.admin().put(&path).json(&json!({"n": 1})).await.is(201);
    assert_eq!(created.expect_header("location"), path);
    assert_written(&created, "A.b~c:d@e_f-9", 1);
    let replaced = service.admin_at(1).put(&path).json(&json!({"m": 2})).await.is(200);
    assert_eq!(replaced.header("location"), None);
    assert_written(&replaced, "A.b~c:d@e_f-9", 2);
    assert_ne!(replaced.etag(), created.etag());
    let read = service.admin().get(&path).await.is(200);
    assert_eq!(read.json(), json!({"m": 2}));
    assert_eq!(read.etag(), replaced.etag());
}

async fn a_deleted_record_is_gone(service: Service) {
    let records = service.collection("shortlived").await;
    let created = service.admin().post(&records).json(&json!({})).await.is(201);
    let location = created.expect_header("location");
    let deleted = service.admin().delete(&location).await.is(204);
    assert_eq!(deleted.version(), 2);
    assert!(deleted.body().is_empty());
    for gate in 0..2 {
        let admin = service.admin_at(gate);
        admin.get(&location).await.problem(404, "record-not-found", "rejected");
        admin.delete(&location).await.problem(404, "record-not-found", "rejected");
        admin.patch(&location).merge(&json!({})).await.problem(404, "record-not-found", "rejected");
        assert_eq!(admin.get(&records).await.is(200).json()["records"], json!([]));
    }
}

async fn versions_go_on_when_a_deleted_record_is_created_again(service: Service) {
    let path = format!("{}/phoenix", service.collection("reborn").await);
    let first = service.admin().put(&path).json(&json!({"life": 1})).await.is(201);
    service.admin().delete(&path).await.is(204);
    let again = service.admin_at(1).put(&path).json(&json!({"life": 1})).await.is(201);
    assert_written(&again, "phoenix", 3);
    assert_ne!(first.etag(), again.etag());
    service.admin().delete(&path).header("if-match", &first.etag()).await.is(412);
    assert_eq!(service.admin().get(&path).await.is(200).version(), 3);
}

async fn a_write_answers_with_the_document_if_asked(service: Service) {
    let records = service.collection("echo").await;
    let prefer = ("prefer", "return=representation");
    let document = json!({"n": 1});
    let created = service.admin().post(&records).json(&document).header(prefer.0, prefer.1).await.is(201);
    let location = created.expect_header("location");
    let replaced = service.admin().put(&location).json(&document).header(prefer.0, prefer.1).await.is(200);
    let patched =
        service.admin().patch(&location).merge(&json!({"m": 2})).header(prefer.0, prefer.1).await.is(200);
    for (answer, version, expected) in
        [(created, 1, document.clone()), (replaced, 2, document), (patched, 3, json!({"n": 1, "m": 2}))]
    {
        assert_describes(&answer, version);
        assert_eq!(answer.json(), expected, "{}", answer.told());
        assert_eq!(answer.header("preference-applied"), Some(prefer.1));
    }
}

async fn a_record_that_never_was_is_not_found(service: Service) {
    let path = format!("{}/nobody", service.collection("empty").await);
    let problem = service.admin().get(&path).await.problem(404, "record-not-found", "rejected").json();
    assert_eq!(problem["record"], Value::from("nobody"));
    service.admin().delete(&path).await.problem(404, "record-not-found", "rejected");
    service.admin().patch(&path).merge(&json!({})).await.problem(404, "record-not-found", "rejected");
}
