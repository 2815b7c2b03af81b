//! Requests that make no sense: the exact answer, and nothing stored.

use crate::harness::{Service, raw, raw_head};
use reqwest::Method;
use serde_json::json;

scenarios! {
    a_name_that_is_none_is_refused
    a_cursor_is_good_for_its_own_list_only
    a_query_that_is_not_understood_is_refused
    a_header_that_is_not_understood_is_refused
    an_unknown_path_is_a_problem
    an_unknown_method_lists_the_known_ones
    head_answers_like_get_without_a_body
    every_answer_carries_a_request_id
    what_is_no_http_is_refused
}

async fn a_name_that_is_none_is_refused(service: Service) {
    let records = service.collection("names").await;
    let (root, admin) = (service.root(0), service.admin());
    let long = "x".repeat(129);
    for id in ["a%20b", "a%2Fb", "%C3%BC", "a%00b", "a*b", ".", "..", "%2e%2e", &long] {
        let line = format!("GET {records}/{id}");
        let request = raw_head(root, &line, admin.token(), "");
        raw(root, &request).await.problem(400, "invalid-name", "not_executed");
        let mut request = raw_head(
            root,
            &line.replace("GET", "PUT"),
            admin.token(),
            "content-type: application/json\r\ncontent-length: 2\r\n",
        );
        request.extend(b"{}");
        raw(root, &request).await.problem(400, "invalid-name", "not_executed");
    }
    for name in ["Upper", "-a", "a.b", "a%20b", &"x".repeat(65)] {
        let path = format!("/v1/collections/{name}");
        admin.put(&path).json(&json!({})).await.problem(400, "invalid-name", "not_executed");
        admin.get(&format!("{path}/records")).await.problem(400, "invalid-name", "not_executed");
    }
    let answer = admin.get(&format!("{records}/%FF")).await;
    assert!(matches!(answer.status, 400 | 404), "{}", answer.told());
    assert_eq!(service.admin_at(1).get(&records).await.json(), json!({"records": []}));
    admin.put(&format!("{records}/{}", "x".repeat(128))).json(&json!({})).await.is(201);
}

async fn a_cursor_is_good_for_its_own_list_only(service: Service) {
    let (records, others) = (service.collection("pages").await, service.collection("others").await);
    for number in 0..3 {
        service.admin().put(&format!("{records}/{number}")).json(&json!({})).await.is(201);
        service.admin().put(&format!("{others}/{number}")).json(&json!({})).await.is(201);
    }
    let first = service.admin().get(&format!("{records}?limit=1")).await.is(200).json();
    let cursor = first["next"].as_str().unwrap().to_owned();
    let changed = format!("{}{}", &cursor[..cursor.len() - 4], "AAAA");
    for path in [
        format!("{records}?cursor=garbage"),
        format!("{records}?cursor="),
        format!("{records}?cursor={changed}"),
        format!("{records}?cursor={}", &cursor[..cursor.len() / 2]),
        format!("{others}?cursor={cursor}"),
        format!("/v1/collections?cursor={cursor}"),
    ] {
        for gate in 0..2 {
            let answer = service.admin_at(gate).get(&path).await;
            answer.problem(400, "invalid-cursor", "not_executed");
        }
    }
    let second = service.admin_at(1).get(&format!("{records}?limit=1&cursor={cursor}")).await.is(200);
    assert_eq!(second.json()["records"][0]["id"], "1");
}

async fn a_query_that_is_not_understood_is_refused(service: Service) {
    let records = service.collection("queries").await;
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        "limit=",
        "limit=1&limit=2",
        "fields=",
        "fields=a,,b",
        "order=id",
    ] {
        for path in [format!("{records}?{query}"), format!("/v1/collections?{query}")] {
            let answer = service.admin().get(&path).await;
            answer.problem(400, "invalid-query", "not_executed");
        }
    }
    service.admin().get(&format!("{records}?limit=1000&fields=a")).await.is(200);
}

async fn a_header_that_is_not_understood_is_refused(service: Service) {
    let path = format!("{}/a", service.collection("headers").await);
    let admin = service.admin();
    for (header, name) in [("if-match", "If-Match"), ("if-none-match", "If-None-Match")] {
        for value in ["", "1-9ae16a3b2f90404f", "\"open", "*, \"a\"", "\"a\" \"b\"", "w/\"a\""] {
            for call in [
                admin.get(&path),
                admin.put(&path).json(&json!({})),
                admin.patch(&path).merge(&json!({})),
                admin.delete(&path),
            ] {
                let answer = call.header(header, value).await;
                let problem = answer.problem(400, "invalid-header", "not_executed").json();
                assert_eq!(problem["header"], name, "{value}");
            }
        }
    }
    service.admin_at(1).get(&path).await.is(404);
    // A date that is none is ignored (RFC 9110 §13.1.4).
    admin.put(&path).json(&json!({})).header("if-unmodified-since", "yesterday").await.is(201);
}

async fn an_unknown_path_is_a_problem(service: Service) {
    let records = service.collection("paths").await;
    for path in [
        "/v1",
        "/v2/collections",
        "/v1/records",
        &format!("{records}/"),
        &format!("{records}/a/b"),
        "/V1/session",
    ] {
        for call in [service.admin().get(path), service.stranger_at(1).post(path).json(&json!({}))] {
            call.await.problem(404, "unknown-path", "not_executed");
        }
    }
    let long = format!("{records}?fields={}", "x".repeat(20_000));
    service.admin().get(&long).await.problem(414, "uri-too-long", "not_executed");
}

async fn an_unknown_method_lists_the_known_ones(service: Service) {
    let records = service.collection("methods").await;
    let one = format!("{records}/a");
    for (path, method, known) in [
        (&*records, Method::PUT, &["GET", "POST"][..]),
        (&*records, Method::DELETE, &["GET", "POST"]),
        (&*one, Method::POST, &["GET", "PUT", "PATCH", "DELETE"]),
        (&*one, Method::TRACE, &["GET", "PUT", "PATCH", "DELETE"]),
        ("/v1/session", Method::PUT, &["GET", "POST", "DELETE"]),
        ("/v1/collections", Method::POST, &["GET"]),
    ] {
        let answer = service.admin().call(method, path).await;
        let answer = answer.problem(405, "method-not-allowed", "not_executed");
        let allow = answer.expect_header("allow");
        for method in known {
            assert!(allow.contains(method), "{}", answer.told());
        }
    }
    let answer = service.admin().call(Method::OPTIONS, &one).await;
    assert!(answer.expect_header("allow").contains("PATCH"), "{}", answer.told());
}

async fn head_answers_like_get_without_a_body(service: Service) {
    let records = service.collection("heads").await;
    let path = format!("{records}/a");
    service.admin().put(&path).json(&json!({"n": 1})).await.is(201);
    let (get, head) =
        (service.admin().get(&path).await.is(200), service.admin().call(Method::HEAD, &path).await.is(200));
    for header in ["etag", "last-modified", "record-version", "content-type", "content-length"] {
        assert_eq!(get.header(header), head.header(header), "{header}");
    }
    assert!(head.body().is_empty());
    let tagged = service.admin().call(Method::HEAD, &path).header("if-none-match", &get.etag());
    tagged.await.is(304);
    service.admin().call(Method::HEAD, &format!("{records}/b")).await.is(404);
    service.admin().call(Method::HEAD, &records).await.is(200);
}

async fn every_answer_carries_a_request_id(service: Service) {
    let records = service.collection("ids").await;
    let own = service.admin().get(&records).header("request-id", "mine-1").await.is(200);
    assert_eq!(own.header("request-id"), Some("mine-1"));
    let minted = service.stranger_at(1).get("/nowhere").await.is(404);
    assert!(!minted.expect_header("request-id").is_empty());
}

async fn what_is_no_http_is_refused(service: Service) {
    for nonsense in
        ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n"]
    {
        let answer = raw(service.root(0), nonsense.as_bytes()).await;
        assert!((400..500).contains(&answer.status), "{nonsense:?}: {}", answer.told());
    }
    service.stranger_at(0).get("/livez").await.is(200);
}
