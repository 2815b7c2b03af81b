//! What a gate answers by itself, over HTTP: real sessions and a real bus, at whose other end nobody works. Whole
//! journeys of documents are in the workspace's scenarios.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod slow;
mod time;
mod tls;

use bus::Bus;
use fixture::{Gate, problem, quick};
use gate::Settings;
use messages::{Command, Document, Outcome, Record, Rejection, Reply, Timing, Version};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn the_contract_and_the_routes_say_the_same() {
    let gate = Gate::start(quick()).await;
    let contract: Value =
        gate.anonymous(&Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
    let paths = contract["paths"].as_object().unwrap();
    for (path, methods) in paths {
        let path = path.replace(['{', '}'], "");
        let response = gate.request(&Method::TRACE, &path).send().await.unwrap();
        assert_eq!(response.status(), 405, "{path}");
        let allow = response.headers()["allow"].to_str().unwrap().to_ascii_lowercase();
        let mut allowed: Vec<_> = allow.split(',').filter(|method| *method != "head").collect();
        let mut described: Vec<_> = methods.as_object().unwrap().keys().map(String::as_str).collect();
        allowed.sort_unstable();
        described.sort_unstable();
        assert_eq!(allowed, described, "{path}");
    }
    let map: Value = gate.anonymous(&Method::GET, "/").send().await.unwrap().json().await.unwrap();
    for (name, path) in map.as_object().unwrap() {
        let path = path.as_str().unwrap();
        assert!(!path.starts_with('/') || paths.contains_key(path), "{name}: {path} is not described");
    }
    let docs = gate.anonymous(&Method::GET, "/docs").send().await.unwrap();
    assert!(docs.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(!docs.text().await.unwrap().contains("https://"), "the page needs nothing from elsewhere");
    gate.stop().await;
}

#[tokio::test]
async fn without_a_session_every_door_but_the_open_ones_is_closed() {
    let gate = Gate::start(quick()).await;
    let contract: Value =
        gate.anonymous(&Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
    for (path, methods) in contract["paths"].as_object().unwrap() {
        for (method, described) in methods.as_object().unwrap() {
            if described["security"] == json!([]) {
                continue;
            }
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            let path = path.replace(['{', '}'], "");
            for request in [
                gate.anonymous(&method, &path),
                gate.anonymous(&method, &path).bearer_auth("garbage"),
                gate.anonymous(&method, &path).bearer_auth("A".repeat(43)),
                gate.anonymous(&method, &path)
                    .header("cookie", format!("__Host-penstock={}", "A".repeat(43))),
            ] {
                let (response, _) = problem(request, 401, "unauthenticated", "not_executed").await;
                assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
            }
        }
    }
    gate.stop().await;
}

#[tokio::test]
async fn what_cannot_be_understood_is_a_problem_of_its_own() {
    let gate = Gate::start(quick()).await;
    let (get, put, patch) = (Method::GET, Method::PUT, Method::PATCH);
    let list = "/v1/collections/orders/records";
    let json = |request: RequestBuilder| request.header("content-type", "application/json");
    let patching = |body: &'static str| {
        let request = gate.request(&patch, "/v1/collections/orders/records/a");
        request.header("content-type", "application/json-patch+json").body(body)
    };
    for (request, status, kind) in [
        (gate.request(&get, "/v1/nothing"), 404, "unknown-path"),
        (gate.request(&get, "/v1/session/"), 404, "unknown-path"),
        (gate.request(&get, "/v1/collections/%FF/records"), 404, "unknown-path"),
        (gate.request(&Method::DELETE, list), 405, "method-not-allowed"),
        (gate.request(&get, &format!("{list}?fields={}", "x".repeat(9000))), 414, "uri-too-long"),
        (gate.request(&get, "/v1/collections/Orders/records"), 400, "invalid-name"),
        (gate.request(&get, "/v1/collections/orders/records/a%20b"), 400, "invalid-name"),
        (gate.request(&get, &format!("{list}/{}", "x".repeat(129))), 400, "invalid-name"),
        (gate.request(&get, &format!("{list}?limit=0")), 400, "invalid-query"),
        (gate.request(&get, &format!("{list}?limit=1&limit=2")), 400, "invalid-query"),
        (gate.request(&get, &format!("{list}?offset=2")), 400, "invalid-query"),
        (gate.request(&get, &format!("{list}?cursor=abc")), 400, "invalid-cursor"),
        (gate.request(&get, &format!("{list}/a")).header("if-match", "1"), 400, "invalid-header"),
        (gate.create("{}").header("idempotency-key", ""), 400, "invalid-header"),
        (gate.create("{\"a\":"), 400, "malformed-json"),
        (gate.create(""), 400, "malformed-json"),
        (gate.create("{\"a\":1,\"a\":2}"), 422, "invalid-document"),
        (gate.create("[".repeat(65) + &"]".repeat(65)), 422, "invalid-document"),
        (
            gate.request(&Method::POST, list).header("content-type", "text/plain"),
            415,
            "unsupported-media-type",
        ),
        (gate.request(&Method::POST, list).body("{}"), 415, "unsupported-media-type"),
        (
            gate.request(&Method::POST, list).json("{}").header("content-type", "x/y"),
            415,
            "unsupported-media-type",
        ),
        (json(gate.request(&patch, &format!("{list}/a"))).body("{}"), 415, "unsupported-media-type"),
        (patching("{}"), 422, "invalid-document"),
        (patching("[{\"op\":\"grow\",\"path\":\"/a\"}]"), 422, "invalid-document"),
        (json(gate.request(&put, "/v1/collections/a")).body("{\"x\":1}"), 422, "invalid-document"),
        (json(gate.request(&put, "/v1/collections/a")).body("{\"buckets\":17}"), 422, "invalid-document"),
        (json(gate.request(&put, "/v1/users/bob")).body("{\"password\":\"short\"}"), 422, "invalid-document"),
        (gate.request(&get, "/v1/operations/forged"), 404, "operation-not-found"),
        (gate.request(&Method::DELETE, "/v1/sessions/none"), 404, "session-not-found"),
    ] {
        problem(request, status, kind, "not_executed").await;
    }
    for path in
        ["/v1/collections/_users/records/ann", "/v1/collections/_collections", "/v1/collections/_users"]
    {
        problem(gate.request(&get, path), 404, "collection-not-found", "rejected").await;
    }
    let (_, place) = problem(gate.create("{\n \"a\":}"), 400, "malformed-json", "not_executed").await;
    assert_eq!((&place["line"], &place["column"]), (&json!(2), &json!(6)));
    gate.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_however_it_comes() {
    let gate = Gate::start(quick()).await;
    let large = format!("\"{}\"", "x".repeat(256 * 1024));
    let (_, body) = problem(gate.create(large.clone()), 413, "too-large", "not_executed").await;
    assert_eq!(body["limit"], 256 * 1024);
    let head = format!(
        "POST /v1/collections/orders/records HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        gate.token
    );
    let mut stream = TcpStream::connect(gate.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    stream.write_all(chunk.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("urn:penstock:problem:too-large"),
        "{answer}"
    );
    gate.stop().await;
}

/// A dead command may be replayed, and one of an ended session be sent again by another: what such a receipt says was said
/// of what came before.
#[tokio::test]
async fn the_receipt_of_an_earlier_attempt_settles_nothing_of_this_one() {
    let settings = Settings { request_deadline: Duration::from_secs(2), ..quick() };
    for (receipt, status, kind, outcome) in [
        (Rejection::Dead, 504, "outcome-unknown", "unknown"),
        (Rejection::SessionRevoked, 504, "outcome-unknown", "unknown"),
        (Rejection::Expired, 503, "expired", "not_executed"),
    ] {
        let gate = Gate::start(settings.clone()).await;
        let worker = gate
            .work(move |envelope| {
                let asked = matches!(envelope.command, Command::ReadOperation(_));
                asked.then(|| Reply::of(envelope.id, Outcome::Rejected(receipt.clone())))
            })
            .await;
        problem(gate.create("{}"), status, kind, outcome).await;
        gate.stop().await;
        worker.abort();
    }
}

#[tokio::test]
async fn more_requests_at_once_than_places_are_refused() {
    let settings =
        Settings { max_concurrent_requests: 1, request_deadline: Duration::from_secs(1), ..quick() };
    let gate = Gate::start(settings).await;
    let (first, second) = tokio::join!(gate.create("{}").send(), gate.create("{}").send());
    let mut statuses = [first.unwrap().status().as_u16(), second.unwrap().status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [503, 504]);
    let alive = gate.anonymous(&Method::GET, "/livez").send().await.unwrap();
    assert_eq!(alive.status(), StatusCode::OK);
    gate.stop().await;
}

/// The gate's own word is not enough: a session store may have forgotten a log-out.
#[tokio::test]
async fn a_session_that_no_worker_vouches_for_is_neither_shown_nor_of_use() {
    let gate = Gate::start(quick()).await;
    let (get, delete) = (Method::GET, Method::DELETE);
    for request in [
        gate.request(&get, "/v1/session"),
        gate.request(&get, "/v1/sessions"),
        gate.request(&delete, "/v1/session"),
        gate.request(&delete, "/v1/sessions"),
    ] {
        problem(request, 504, "read-timed-out", "not_executed").await;
    }
    let cookie = format!("a=b; __Host-penstock={}", gate.token);
    let foreign = gate.anonymous(&delete, "/v1/session").header("cookie", &cookie);
    problem(foreign.header("sec-fetch-site", "cross-site"), 403, "cross-site", "not_executed").await;
    gate.stop().await;
}

/// The command of an ended session is answered to all that wait for it; a session that lives is not ended for that.
#[tokio::test]
async fn a_key_that_an_ended_session_has_used_ends_no_other_session() {
    for (lives, status, kind, told) in
        [(true, 422, "idempotency-key-reused", "rejected"), (false, 401, "unauthenticated", "not_executed")]
    {
        let gate = Gate::start(Settings::default()).await;
        let worker = gate
            .work(move |envelope| {
                let outcome = match &envelope.command {
                    Command::ReadRecord(command) if lives => Outcome::RecordRead(Record {
                        id: command.record.clone(),
                        version: Version::FIRST,
                        created: envelope.issued,
                        modified: envelope.issued,
                        owner: "ann".parse().unwrap(),
                        document: Document::parse(b"{}").unwrap(),
                    }),
                    _ => Outcome::Rejected(Rejection::SessionRevoked),
                };
                Some(Reply::of(envelope.id, outcome))
            })
            .await;
        let create = || gate.create("{}").header("idempotency-key", "\"a\"");
        problem(create(), status, kind, told).await;
        let prefer = || create().header("prefer", "respond-async, wait=1");
        problem(prefer(), status, kind, told).await;
        let read = gate.request(&Method::GET, "/v1/collections/orders/records/a").send().await.unwrap();
        assert_eq!(read.status().as_u16(), if lives { 200 } else { 401 });
        gate.stop().await;
        worker.abort();
    }
}

#[tokio::test]
async fn a_request_keeps_its_names() {
    let gate = Gate::start(quick()).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = gate.anonymous(&Method::GET, "/livez").header("request-id", "r-1");
    let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["request-id"], "r-1");
    assert!(response.headers()["traceparent"].to_str().unwrap().contains(trace));
    gate.stop().await;
}

#[tokio::test]
async fn stopping_is_seen_before_it_happens_and_what_is_in_flight_finishes() {
    let settings = Settings {
        shutdown_linger: Duration::from_millis(300),
        request_deadline: Duration::from_secs(1),
        ..Settings::default()
    };
    let gate = Gate::start(settings).await;
    let in_flight = tokio::spawn(gate.create("{}").send());
    while gate.anonymous(&Method::GET, "/livez").send().await.unwrap().status() != 200 {}
    gate.stopper.stop();
    let ready = gate.anonymous(&Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.headers()["connection"], "close");
    let ready: Value = ready.json().await.unwrap();
    assert_eq!(ready["status"], "stopping");
    // Who asks so takes 503 for a gate that is gone, and breaks off what it has in its hands.
    let ready = gate.anonymous(&Method::GET, "/readyz?unready=404").send().await.unwrap();
    assert_eq!(ready.status(), 404);
    let (stopped, mut lately) = (Instant::now(), 0);
    while let Ok(ready) = gate.anonymous(&Method::GET, "/readyz?unready=404").send().await {
        assert_eq!(ready.status(), 404);
        // It lingers no more.
        lately += u32::from(stopped.elapsed() > Duration::from_millis(500));
    }
    assert!(lately > 0);
    // It is gone as soon as nothing is in flight, and not before.
    let answer = timeout(Duration::from_millis(100), in_flight).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status(), 504);
    gate.served.await.unwrap().unwrap();
    assert!(TcpStream::connect(gate.address).await.is_err());
}

#[tokio::test]
async fn whoever_is_connected_when_the_gate_is_told_to_stop_is_served() {
    let gate = Gate::start(Settings { shutdown_linger: Duration::from_secs(1), ..quick() }).await;
    let mut connected = Vec::new();
    for _ in 0..16 {
        connected.push(TcpStream::connect(gate.address).await.unwrap());
    }
    gate.stopper.stop();
    for mut stream in connected {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"), "{answer}");
    }
    gate.stop().await;
}
