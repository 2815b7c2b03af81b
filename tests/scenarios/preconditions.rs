//! Conditional requests (RFC 9110 §13), on every verb.

use crate::harness::{Answer, Client, Service};
use serde_json::json;

scenarios! {
    every_precondition_is_judged_by_every_verb
    a_failed_precondition_names_the_current_tag_and_changes_nothing
    a_record_that_is_not_there_meets_no_tag
    a_create_can_ask_for_absence_only
    all_conditions_must_hold
}

const LONG_AGO: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const VERBS: [&str; 4] = ["GET", "PUT", "PATCH", "DELETE"];

/// A record with a past: its version is 2.
struct Known {
    path: String,
    old: String,
    current: Answer,
}

impl Known {
    async fn create(service: &Service, records: &str, id: &str) -> Self {
        let path = format!("{records}/{id}");
        let old = service.admin().put(&path).json(&json!({"n": 1})).await.is(201).etag();
        let current = service.admin_at(1).put(&path).json(&json!({"n": 2})).await.is(200);
        Self { path, old, current }
    }
}

async fn send(client: &Client, verb: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let call = match verb {
        "GET" => client.get(path),
        "PUT" => client.put(path).json(&json!({"n": 3})),
        "PATCH" => client.patch(path).merge(&json!({"n": 3})),
        _ => client.delete(path),
    };
    headers.iter().fold(call, |call, (name, value)| call.header(name, value)).await
}

/// What a verb answers when its condition holds of a record that is there.
fn done(verb: &str) -> u16 {
    if verb == "DELETE" { 204 } else { 200 }
}

/// What it answers when the client has the record already.
fn unchanged(verb: &str) -> u16 {
    if verb == "GET" { 304 } else { 412 }
}

async fn every_precondition_is_judged_by_every_verb(service: Service) {
    let records = service.collection("conditions").await;
    for verb in VERBS {
        for row in 0..12 {
            let known = Known::create(&service, &records, &format!("{verb}-{row}")).await;
            let (old, tag) = (&*known.old, &*known.current.etag());
            let modified = &*known.current.expect_header("last-modified");
            let (weak, both) = (&*format!("W/{tag}"), &*format!("\"foreign\", {tag}"));
            let (header, value, expected) = [
                ("if-match", tag, done(verb)),
                ("if-match", both, done(verb)),
                ("if-match", "*", done(verb)),
                ("if-match", old, 412),
                ("if-match", weak, 412),
                ("if-none-match", old, done(verb)),
                ("if-none-match", tag, unchanged(verb)),
                ("if-none-match", weak, unchanged(verb)),
                ("if-none-match", "*", unchanged(verb)),
                ("if-unmodified-since", modified, done(verb)),
                ("if-unmodified-since", LONG_AGO, 412),
                ("if-modified-since", modified, if verb == "GET" { 304 } else { done(verb) }),
            ][row];
            let answer = send(&service.admin(), verb, &known.path, &[(header, value)]).await;
            assert_eq!(answer.status, expected, "{header}: {value}: {}", answer.told());
            if matches!(expected, 304 | 412) {
                assert_eq!(answer.etag(), tag, "{}", answer.told());
            }
            if expected == 304 {
                assert!(answer.body().is_empty());
                assert_eq!(answer.version(), 2);
            }
            let changed = verb != "GET" && expected != 412;
            let now = service.admin_at(1).get(&known.path).await;
            assert_eq!(now.header("etag") != Some(tag), changed, "{header}: {value}: {}", answer.told());
        }
    }
}

async fn a_failed_precondition_names_the_current_tag_and_changes_nothing(service: Service) {
    let records = service.collection("conditions").await;
    let known = Known::create(&service, &records, "a").await;
    for verb in VERBS {
        let answer = send(&service.admin(), verb, &known.path, &[("if-match", &known.old)]).await;
        let answer = answer.problem(412, "precondition-failed", "rejected");
        assert_eq!(answer.etag(), known.current.etag());
        assert_eq!(answer.json()["etag"], known.current.etag());
        let now = service.admin_at(1).get(&known.path).await.is(200);
        assert_eq!((now.etag(), now.json()), (known.current.etag(), json!({"n": 2})));
    }
}

async fn a_record_that_is_not_there_meets_no_tag(service: Service) {
    let records = service.collection("conditions").await;
    let tag = Known::create(&service, &records, "other").await.current.etag();
    for (row, verb) in VERBS.into_iter().enumerate() {
        let path = format!("{records}/absent-{row}");
        for (header, value) in [("if-match", "*"), ("if-match", &*tag), ("if-unmodified-since", LONG_AGO)] {
            let answer = send(&service.admin(), verb, &path, &[(header, value)]).await;
            // A read of what is not there is 404 whatever the condition (RFC 9110 §13.2.1).
            let (status, kind) =
                if verb == "GET" { (404, "record-not-found") } else { (412, "precondition-failed") };
            let answer = answer.problem(status, kind, "rejected");
            assert_eq!(answer.header("etag"), None, "{}", answer.told());
        }
        service.admin_at(1).get(&path).await.is(404);
        let expected = if verb == "PUT" { 201 } else { 404 };
        send(&service.admin(), verb, &path, &[("if-none-match", "*")]).await.is(expected);
    }
}

async fn a_create_can_ask_for_absence_only(service: Service) {
    let records = service.collection("conditions").await;
    let create = |header: &'static str, value: &'static str| {
        service.admin().post(&records).json(&json!({})).header(header, value)
    };
    create("if-match", "*").await.problem(412, "precondition-failed", "rejected");
    assert_eq!(service.admin().get(&records).await.json()["records"], json!([]));
    create("if-none-match", "*").await.is(201);
}

async fn all_conditions_must_hold(service: Service) {
    let records = service.collection("conditions").await;
    let known = Known::create(&service, &records, "a").await;
    let tag = known.current.etag();
    let both = [("if-match", &*tag), ("if-none-match", &*tag)];
    send(&service.admin(), "GET", &known.path, &both).await.is(304);
    send(&service.admin(), "PUT", &known.path, &both).await.is(412);
    // A tag decides alone where a date stands beside it (RFC 9110 §13.2.2).
    let beside = [("if-match", &*tag), ("if-unmodified-since", LONG_AGO)];
    send(&service.admin(), "PUT", &known.path, &beside).await.is(200);
}
