//! Bodies that are no documents: the exact answer, and nothing stored.

use crate::harness::{Service, raw, raw_head};
use serde_json::json;

scenarios! {
    malformed_json_is_shown_by_line_and_column
    a_document_that_others_would_read_differently_is_pointed_at
    a_document_is_nested_at_most_64_levels
    another_content_type_is_refused
    a_body_that_is_too_large_is_refused_however_it_comes
    a_body_that_breaks_off_is_no_document
}

const LIMIT: usize = 256 * 1024;
const JSON: &str = "application/json";

async fn assert_nothing_stored(service: &Service, records: &str) {
    for gate in 0..2 {
        let listed = service.admin_at(gate).get(records).await.is(200).json();
        assert_eq!(listed["records"], json!([]));
    }
}

async fn malformed_json_is_shown_by_line_and_column(service: Service) {
    let records = service.collection("malformed").await;
    let bodies: [(&[u8], u64, u64); 9] = [
        (b"", 1, 0),
        (b"{", 1, 1),
        (b"{\"a\": nope}", 1, 8),
        (b"{\n  \"a\": 1,\n  }", 3, 3),
        (b"{} {}", 1, 4),
        (b"{'a': 1}", 1, 2),
        (b"[1,\n2,\n03]", 3, 2),
        (b"{\"a\": NaN}", 1, 7),
        (b"\"\xff\"", 1, 2),
    ];
    for (body, line, column) in bodies {
        for call in [
            service.admin().post(&records).body(JSON, body),
            service.admin().put(&format!("{records}/a")).body(JSON, body),
            service.admin().patch(&format!("{records}/a")).body("application/merge-patch+json", body),
        ] {
            let answer = call.await.problem(400, "malformed-json", "not_executed");
            let problem = answer.json();
            assert_eq!(
                (&problem["line"], &problem["column"]),
                (&json!(line), &json!(column)),
                "{}: {problem}",
                String::from_utf8_lossy(body)
            );
        }
    }
    assert_nothing_stored(&service, &records).await;
}

async fn a_document_that_others_would_read_differently_is_pointed_at(service: Service) {
    let records = service.collection("ijson").await;
    for (body, pointer) in [
        (r#"{"a": 1, "a": 2}"#, "/a"),
        (r#"{"a": 1, "\u0061": 2}"#, "/a"),
        (r#"[{"x/y": {"b": 1, "b": 1}}]"#, "/0/x~1y/b"),
        (r#"{"n": 18446744073709551616}"#, "/n"),
        (r#"{"n": -9223372036854775809}"#, "/n"),
        ("[1, 0.1234567890123456789]", "/1"),
        ("[1e400]", "/0"),
        (r#"{"s": "\ud800"}"#, "/s"),
    ] {
        let answer = service.admin().post(&records).body(JSON, body).await;
        let answer = answer.problem(422, "invalid-document", "not_executed");
        assert_eq!(answer.json()["pointer"], pointer, "{body}: {}", answer.told());
    }
    assert_nothing_stored(&service, &records).await;
    for body in
        ["18446744073709551615", "-9223372036854775808", "0.1", "1e308", "5e-324", r#""\ud83e\udd80""#]
    {
        service.admin().post(&records).body(JSON, body).await.is(201);
    }
}

async fn a_document_is_nested_at_most_64_levels(service: Service) {
    let records = service.collection("deep").await;
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for levels in [65, 200, 100_000] {
        let answer = service.admin().post(&records).body(JSON, nested(levels)).await;
        let answer = answer.problem(422, "invalid-document", "not_executed");
        assert_eq!(answer.json()["pointer"], "/0".repeat(64), "{}", answer.told());
    }
    let objects = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
    let answer = service.admin().put(&format!("{records}/a")).body(JSON, objects).await;
    assert_eq!(answer.problem(422, "invalid-document", "not_executed").json()["pointer"], "/a".repeat(64));
    assert_nothing_stored(&service, &records).await;
    service.admin().post(&records).body(JSON, nested(64)).await.is(201);
}

async fn another_content_type_is_refused(service: Service) {
    let records = service.collection("types").await;
    for kind in
        ["text/plain", "application/xml", "multipart/form-data", "application/x-www-form-urlencoded", ""]
    {
        for call in [service.admin().post(&records), service.admin().put(&format!("{records}/a"))] {
            let answer = call.body(kind, "{}").await;
            let answer = answer.problem(415, "unsupported-media-type", "not_executed");
            assert!(answer.expect_header("accept").contains(JSON));
        }
    }
    assert_nothing_stored(&service, &records).await;
    service.admin().post(&records).body("Application/JSON; charset=utf-8", "{}").await.is(201);
    service.admin().post(&records).body("application/geo+json", "{}").await.is(201);
}

async fn a_body_that_is_too_large_is_refused_however_it_comes(service: Service) {
    let records = service.collection("large").await;
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let (root, admin) = (service.root(0), service.admin());
    for bytes in [LIMIT + 1, 3 * LIMIT] {
        let answer = admin.post(&records).body(JSON, text(bytes)).await;
        let answer = answer.problem(413, "too-large", "not_executed");
        assert_eq!(answer.json()["limit"], LIMIT);
        // In chunks, which announce no length.
        let headers = format!("content-type: {JSON}\r\ntransfer-encoding: chunked\r\n");
        let mut request = raw_head(root, &format!("POST {records}"), admin.token(), &headers);
        for chunk in text(bytes).as_bytes().chunks(10_000) {
            request.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
            request.extend(chunk);
            request.extend(b"\r\n");
        }
        request.extend(b"0\r\n\r\n");
        assert_eq!(raw(root, &request).await.is(413).kind().as_deref(), Some("too-large"));
    }
    // Announced, and never sent.
    let headers =
        format!("content-type: {JSON}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n", 1_u64 << 40);
    let request = raw_head(root, &format!("POST {records}"), admin.token(), &headers);
    raw(root, &request).await.problem(413, "too-large", "not_executed");
    assert_nothing_stored(&service, &records).await;
    admin.post(&records).body(JSON, text(LIMIT)).await.is(201);
}

async fn a_body_that_breaks_off_is_no_document(service: Service) {
    let records = service.collection("broken").await;
    let root = service.root(0);
    for (headers, body) in [
        ("transfer-encoding: chunked", "zz\r\n{}\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked", "2\r\n{}XX0\r\n\r\n"),
    ] {
        let headers = format!("content-type: {JSON}\r\n{headers}\r\n");
        let mut request = raw_head(root, &format!("POST {records}"), service.admin().token(), &headers);
        request.extend(body.as_bytes());
        raw(root, &request).await.is(400);
    }
    assert_nothing_stored(&service, &records).await;
}
