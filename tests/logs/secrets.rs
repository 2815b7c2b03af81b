//! Nothing that is a secret, and nothing of a document, stands in a log, at whatever level.

use super::harness::{Client, Ready, Server, Stage, binary, lines};
use serde_json::json;
use std::net::SocketAddr;
use testbed::{Port, Signal};
use tokio::task::block_in_place;

const ADMIN: &str = "canary-password-of-the-admin";
const USER: &str = "canary-password-of-a-user";
const WRONG: &str = "canary-password-that-is-wrong";
/// In documents, patches, and ids of records, which may be names of people.
const CANARY: &str = "canary-document";
const ID: &str = "canary-record";

fn serve(stage: &Stage, port: &Port, level: &'static str) -> Server {
    let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
    stage.secret("admin", ADMIN);
    let path = stage.path().to_owned();
    Server::launch(stage, "penstock", Ready::Readyz(address), move || {
        let mut command = binary("penstock");
        command.args(["serve", "--bind", &address.to_string()]).arg("--data").arg(path.join("data"));
        command.env("ADMIN_PASSWORD_FILE", path.join("admin"));
        command.env("LOG_DIR", path.join("files")).env("RUST_LOG", level);
        command
    })
}

/// What clients do, right and wrong; returns the tokens they were given.
async fn use_it(root: &str) -> Vec<String> {
    let stranger = Client::new(root);
    let admin = stranger.log_in("admin", ADMIN).await;
    admin.put("/v1/users/ann").json(&json!({"password": USER})).await.is(201);
    admin.put("/v1/collections/teas").json(&json!({})).await.is(201);
    let ann = stranger.log_in("ann", USER).await;
    stranger.post("/v1/session").json(&json!({"user": "ann", "password": WRONG})).await.is(401);
    stranger.with_token(WRONG).get("/v1/session").await.is(401);
    let records = "/v1/collections/teas/records";
    let record = format!("{records}/{ID}");
    let document = json!({CANARY: CANARY});
    ann.post(records).json(&document).idempotency_key("key").await.is(201);
    ann.put(&record).json(&document).await.is(201);
    ann.put(&record).json(&document).header("if-match", "\"1-0\"").await.is(412);
    ann.patch(&record)
        .merge(&json!({"more": CANARY}))
        .header("prefer", "return=representation")
        .await
        .is(200);
    ann.patch(&record).json_patch(&json!([{"op": "test", "path": "/more", "value": CANARY}])).await.is(200);
    ann.patch(&record).json_patch(&json!([{"op": "test", "path": "/none", "value": CANARY}])).await.is(409);
    ann.get(records).await.is(200);
    ann.get(&format!("{records}?fields={CANARY}")).await.is(200);
    ann.put(&record).body("application/json", format!("{{\"{CANARY}\":1,\"{CANARY}\":2}}")).await.is(422);
    ann.put(&record).body("application/json", format!("{{\"{CANARY}")).await.is(400);
    ann.put(&record).json(&document).header("prefer", "respond-async, wait=5").await;
    ann.put("/v1/users/ann/password").json(&json!({"current": WRONG, "new": USER})).await;
    ann.get(&record).await.is(200);
    ann.delete(&record).await.is(204);
    let tokens = [&admin, &ann].map(|client| client.token().to_owned()).to_vec();
    ann.delete("/v1/session").await.is(204);
    tokens
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_token_document_or_id_of_a_record_is_ever_logged() {
    let (stage, port) = (Stage::new(), Port::reserve().unwrap());
    let mut server = serve(&stage, &port, "debug");
    block_in_place(|| server.wait_for_line("Ctrl-C stops it."));
    let tokens = use_it(&format!("http://127.0.0.1:{}", port.number())).await;
    server.signal(Signal::TERM);
    assert!(block_in_place(|| server.wait_exit()).success());
    let (files, stream) = (lines(&stage.path().join("files")), server.log().text());
    let commands = files.iter().filter(|line| line.contains("\"event.action\":\"command\"")).count();
    assert!(commands > 15, "it is looked for where it would be: {commands}");
    let secrets = [ADMIN, USER, WRONG, CANARY, ID].into_iter().chain(tokens.iter().map(String::as_str));
    for secret in secrets {
        let told = files.iter().map(String::as_str).chain(stream.lines()).find(|line| line.contains(secret));
        assert_eq!(told, None, "{secret}");
    }
}
