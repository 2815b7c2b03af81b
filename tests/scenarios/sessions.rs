//! Logging in and out, at one gate and at the other.

use crate::harness::{Client, Service};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

scenarios! {
    a_session_opened_at_one_gate_is_good_at_every_gate
    a_session_that_was_closed_is_dead_everywhere_at_once
    somebody_sees_and_revokes_their_own_sessions
    all_sessions_of_somebody_can_be_ended
    a_crowd_with_one_session_is_served
    without_a_session_nothing_is_served
    a_wrong_password_lets_nobody_in
    a_cookie_serves_as_well_as_a_token
    a_cookie_changes_nothing_from_another_site
    passwords_cannot_be_guessed_without_end
}

const COOKIE: &str = "__Host-penstock";
const REVOKED_WITHIN: Duration = Duration::from_secs(1);

/// What a gate found is trusted for a second, unless it hears that the session has ended.
const HEARD_WITHIN: Duration = Duration::from_millis(500);

/// Asks until the session is dead; it must be as soon as its gate can have heard of its end.
async fn assert_dies_at_once(client: &Client, since: Instant) {
    loop {
        let asked = since.elapsed();
        let answer = client.get("/v1/session").await;
        if answer.status == 401 {
            return;
        }
        answer.is(200);
        assert!(asked <= HEARD_WITHIN, "let in {asked:?} after its end");
    }
}

/// Asks until the session is dead; it must be within a second after `since`.
async fn assert_dies(client: &Client, since: Instant) {
    loop {
        let answer = client.get("/v1/session").await;
        if answer.status == 401 {
            answer.problem(401, "unauthenticated", "not_executed");
            return;
        }
        answer.is(200);
        assert!(since.elapsed() <= REVOKED_WITHIN, "alive after {:?}", since.elapsed());
    }
}

async fn a_session_opened_at_one_gate_is_good_at_every_gate(service: Service) {
    let ann = service.user("ann").await;
    let credentials = json!({"user": ann.name, "password": ann.password});
    let opened = service.stranger_at(0).post("/v1/session").json(&credentials).await.is(201);
    assert_eq!(opened.header("cache-control"), Some("no-store"));
    let session = opened.json();
    assert_eq!(session["user"], ann.name);
    let client = service.stranger_at(0).with_token(session["token"].as_str().unwrap());
    for gate in 0..2 {
        let me = client.at(service.root(gate)).get("/v1/session").await.is(200).json();
        assert_eq!((&me["user"], &me["roles"]), (&json!(ann.name), &json!([])), "{me}");
        assert_eq!(me["expires_at"], session["expires_at"]);
    }
}

async fn a_session_that_was_closed_is_dead_everywhere_at_once(service: Service) {
    let ann = service.user("ann").await;
    let other = ann.client.at(service.root(1));
    other.get("/v1/session").await.is(200);
    ann.client.get("/v1/session").await.is(200);
    let closed = ann.client.delete("/v1/session").await.is(204);
    let since = Instant::now();
    assert!(closed.expect_header("set-cookie").contains("Max-Age=0"));
    ann.client.get("/v1/session").await.problem(401, "unauthenticated", "not_executed");
    assert_dies_at_once(&other, since).await;
    service.stranger_at(1).log_in(&ann.name, &ann.password).await;
}

async fn somebody_sees_and_revokes_their_own_sessions(service: Service) {
    let (ann, bob) = (service.user("ann").await, service.user("bob").await);
    let second = service.stranger_at(1).log_in(&ann.name, &ann.password).await;
    let listed = ann.client.get("/v1/sessions").await.is(200).json();
    let ids: Vec<&Value> = listed["sessions"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!((ids.len(), ids[0]), (2, &listed["current"]), "{listed}");
    assert!(!listed.to_string().contains(second.token()), "an id lets nobody in");
    let path = format!("/v1/sessions/{}", ids[1].as_str().unwrap());
    bob.client.delete(&path).await.is(404);
    second.get("/v1/session").await.is(200);
    ann.client.delete(&path).await.is(204);
    assert_dies(&second, Instant::now()).await;
    ann.client.delete(&path).await.is(404);
    ann.client.get("/v1/session").await.is(200);
}

async fn all_sessions_of_somebody_can_be_ended(service: Service) {
    let (ann, bob) = (service.user("ann").await, service.user("bob").await);
    let second = service.stranger_at(1).log_in(&ann.name, &ann.password).await;
    second.delete("/v1/sessions").await.is(204);
    let since = Instant::now();
    assert_dies(&second, since).await;
    assert_dies(&ann.client, since).await;
    bob.client.get("/v1/session").await.is(200);
}

/// The moment a session's trust runs out, all its requests ask for it at once.
async fn a_crowd_with_one_session_is_served(service: Service) {
    let ann = service.user("ann").await;
    let requests = (0..200).map(|number| {
        let client = ann.client.at(service.root(number));
        async move {
            for _ in 0..10 {
                client.get("/v1/session").await.is(200);
            }
        }
    });
    join_all(requests).await;
}

async fn without_a_session_nothing_is_served(service: Service) {
    let records = service.collection("guarded").await;
    let stranger = service.stranger_at(0);
    let strangers = [
        stranger.clone(),
        stranger.with_token("short"),
        stranger.with_token(&"A".repeat(43)),
        stranger.with_token(""),
    ];
    for client in strangers {
        for call in [
            client.get(&records),
            client.post(&records).json(&json!({})),
            client.get(&format!("{records}/a")),
            client.put(&format!("{records}/a")).json(&json!({})),
            client.patch(&format!("{records}/a")).merge(&json!({})),
            client.delete(&format!("{records}/a")),
            client.get("/v1/collections"),
            client.put("/v1/collections/intruders").json(&json!({})),
            client.get("/v1/session"),
            client.get("/v1/sessions"),
            client.get("/v1/users/admin"),
            client.put("/v1/users/intruder").json(&json!({"password": "a long password"})),
        ] {
            let answer = call.await.problem(401, "unauthenticated", "not_executed");
            assert!(answer.expect_header("www-authenticate").starts_with("Bearer"), "{}", answer.told());
        }
    }
    assert_eq!(service.admin_at(1).get(&records).await.json()["records"], json!([]));
    for open in ["/", "/livez", "/readyz", "/openapi.json"] {
        service.stranger_at(1).get(open).await.is(200);
    }
}

async fn a_wrong_password_lets_nobody_in(service: Service) {
    let ann = service.user("ann").await;
    let try_in = |user: &str, password: &str| {
        service.stranger_at(0).post("/v1/session").json(&json!({"user": user, "password": password}))
    };
    let wrong = try_in(&ann.name, "not the password").await;
    let wrong = wrong.problem(401, "bad-credentials", "not_executed");
    let unknown = try_in("nobody-of-this-name", &ann.password).await;
    let unknown = unknown.problem(401, "bad-credentials", "not_executed");
    assert_eq!(wrong.body(), unknown.body(), "nobody learns which accounts there are");
    assert_eq!(wrong.header("set-cookie"), None);
    try_in("No Name!", "x").await.problem(401, "bad-credentials", "not_executed");
    try_in(&ann.name, &ann.password).await.is(201);
    let body = json!({"user": ann.name, "password": ann.password, "remember": true});
    let answer = service.stranger_at(0).post("/v1/session").json(&body).await;
    answer.problem(422, "invalid-document", "not_executed");
}

/// Somebody whose browser holds the cookie of their session.
async fn cookie(service: &Service) -> String {
    let ann = service.user("ann").await;
    let credentials = json!({"user": ann.name, "password": ann.password});
    let opened = service.stranger_at(0).post("/v1/session").json(&credentials).await.is(201);
    let set = opened.expect_header("set-cookie");
    for part in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = set.split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with(COOKIE), "{cookie}");
    cookie
}

async fn a_cookie_serves_as_well_as_a_token(service: Service) {
    let (records, cookie) = (service.collection("biscuits").await, cookie(&service).await);
    let browser = service.stranger_at(1);
    let create = browser.post(&records).json(&json!({})).header("cookie", &cookie);
    let created = create.header("sec-fetch-site", "same-origin").await.is(201);
    browser.get(&created.expect_header("location")).header("cookie", &cookie).await.is(200);
    let out = browser.delete("/v1/session").header("cookie", &cookie).header("sec-fetch-site", "same-origin");
    out.await.is(204);
    browser.get(&records).header("cookie", &cookie).await.is(401);
}

async fn a_cookie_changes_nothing_from_another_site(service: Service) {
    let (records, cookie) = (service.collection("forgery").await, cookie(&service).await);
    let browser = service.stranger_at(0);
    for (header, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let path = format!("{records}/a");
        for call in [
            browser.post(&records).json(&json!({})),
            browser.put(&path).json(&json!({})),
            browser.patch(&path).merge(&json!({})),
            browser.delete(&path),
            browser.delete("/v1/session"),
        ] {
            let answer = call.header("cookie", &cookie).header(header, value).await;
            answer.problem(403, "cross-site", "not_executed");
        }
        browser.get(&records).header("cookie", &cookie).header(header, value).await.is(200);
    }
    assert_eq!(service.admin_at(1).get(&records).await.json()["records"], json!([]));
}

async fn passwords_cannot_be_guessed_without_end(service: Service) {
    let (ann, bob) = (service.user("ann").await, service.user("bob").await);
    let guess =
        |user: &str| service.stranger_at(0).post("/v1/session").json(&json!({"user": user, "password": "?"}));
    for _ in 0..50 {
        let answer = guess(&ann.name).await;
        if answer.status == 429 {
            let answer = answer.problem(429, "too-many-attempts", "not_executed");
            assert!(answer.expect_header("retry-after").parse::<u64>().unwrap() > 0);
            service.stranger_at(0).log_in(&bob.name, &bob.password).await;
            return;
        }
        answer.problem(401, "bad-credentials", "not_executed");
    }
    panic!("50 guesses were let pass");
}
