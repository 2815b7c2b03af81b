//! Changes that no storage worker can carry out: here, because the row that they are about is damaged.

use crate::harness::{Answer, Client, Cluster, Connection, Consistency, Ground, Service, Stage};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

faults! {
    a_change_that_cannot_be_carried_out_becomes_a_letter_and_is_replayed_once
    all_letters_are_replayed_once_though_two_operators_ask
    what_nobody_can_read_becomes_a_letter_and_is_discarded
}

const FOUND_WITHIN: Duration = Duration::from_secs(30);

/// The row of a record, to be damaged and mended behind the service's back.
struct Row {
    ground: Vec<String>,
    keyspace: String,
    key: String,
}

impl Row {
    fn find(ground: &Ground, id: &str) -> Self {
        let keyspace = ground.keyspace.clone();
        let select = format!(
            "SELECT collection, bucket FROM {keyspace}.records WHERE kind = 0 AND id = '{id}' ALLOW FILTERING"
        );
        let mut connection = Connection::open(&ground.cassandra[0]).unwrap();
        let rows = connection.query(&select, Consistency::Quorum).unwrap();
        let [row] = &rows[..] else { panic!("one row: {rows:?}") };
        let collection = uuid::Uuid::from_slice(row[0].as_ref().unwrap()).unwrap();
        let bucket = i32::from_be_bytes(row[1].as_deref().unwrap().try_into().unwrap());
        let key = format!("collection = {collection} AND bucket = {bucket} AND kind = 0 AND id = '{id}'");
        Self { ground: ground.cassandra.clone(), keyspace, key }
    }

    fn write(&self, document: &str) {
        let update = format!("UPDATE {}.records SET doc = '{document}' WHERE {}", self.keyspace, self.key);
        Connection::open(&self.ground[0]).unwrap().query(&update, Consistency::Quorum).unwrap();
    }
}

async fn letters(client: &Client) -> Vec<Value> {
    let listed = client.get("/v1/dead-letters").await.is(200).json();
    listed["dead_letters"].as_array().unwrap().clone()
}

async fn wait_for_letter(service: &Service) -> Value {
    let end = Instant::now() + FOUND_WITHIN;
    loop {
        if let Some(letter) = letters(&service.admin()).await.pop() {
            return letter;
        }
        assert!(Instant::now() < end, "no letter");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_change_that_cannot_be_carried_out_becomes_a_letter_and_is_replayed_once(stage: Stage) {
    let cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let records = service.collection("damaged").await;
    let (ann, path) = (service.user("ann").await, format!("{records}/poison"));
    ann.client.put(&path).json(&json!({"n": 1})).await.is(201);
    let row = Row::find(&cluster.ground, "poison");
    row.write("half a docu");

    let change = || ann.client.put(&path).json(&json!({"n": 2})).idempotency_key("once");
    let neighbours = (0..20).map(|number| {
        let put = ann.client.put(&format!("{records}/{number}")).json(&json!({"n": number}));
        std::future::IntoFuture::into_future(put)
    });
    let (dead, neighbours) = tokio::join!(change(), futures_util::future::join_all(neighbours));
    dead.problem(500, "dead", "not_executed");
    for neighbour in neighbours {
        neighbour.is(201);
    }

    ann.client.get("/v1/dead-letters").await.problem(403, "forbidden", "not_executed");
    let [letter] = &letters(&service.admin()).await[..] else { panic!("one letter") };
    assert_eq!((&letter["reason"], &letter["principal"]), (&json!("failed"), &json!(ann.name)));
    assert!(letter["error"].as_str().is_some_and(|error| error.contains("cannot be read")), "{letter}");
    assert!(letter["trace"].is_string() && letter["returns"].as_u64().is_some_and(|n| n > 0), "{letter}");
    assert_eq!(letter["command"]["replace_record"]["document"], json!({"n": 2}));
    let address = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    change().await.problem(500, "dead", "not_executed");

    let replay = || service.admin_at(1).post(&format!("{address}/replay"));
    replay().await.problem(500, "dead", "not_executed");
    edit(&service, &address).await;
    row.write("{}");
    let report = replay().await.is(200).json();
    assert_eq!((&report["status"], &report["outcome"]["version"]), (&json!("done"), &json!(2)), "{report}");
    let read = ann.client.get(&path).await.is(200);
    assert_eq!((read.json(), read.version()), (json!({"n": 3}), 2));
    replay().await.problem(404, "dead-letter-not-found", "not_executed");
    assert_eq!(change().await.is(200).version(), 2, "its client learns that it was done after all");
    assert!(letters(&service.admin()).await.is_empty());
    cluster.ground.assert_drained();
}

async fn all_letters_are_replayed_once_though_two_operators_ask(stage: Stage) {
    let cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let records = service.collection("mended").await;
    let mut rows = Vec::new();
    for id in ["one", "two"] {
        let path = format!("{records}/{id}");
        service.admin().put(&path).json(&json!({"n": 1})).await.is(201);
        let row = Row::find(&cluster.ground, id);
        row.write("half a docu");
        let patched = service.admin().patch(&path).merge(&json!({"m": 1})).await;
        patched.problem(500, "dead", "not_executed");
        rows.push((path, row));
    }
    for (_, row) in &rows {
        row.write(r#"{"n": 1}"#);
    }
    let letters_before = letters(&service.admin()).await;
    assert_eq!(letters_before.len(), 2, "{letters_before:?}");
    let replay = async |gate| service.admin_at(gate).post("/v1/dead-letters/replay").await.is(200).json();
    let (one, other) = tokio::join!(replay(0), replay(1));
    let mut replayed: Vec<&Value> =
        [&one, &other].iter().flat_map(|told| told["replayed"].as_array().unwrap()).collect();
    replayed.sort_by_key(|letter| letter["id"].as_str().unwrap().to_owned());
    replayed.dedup_by_key(|letter| letter["id"].clone());
    assert_eq!(replayed.len(), 2, "{one} {other}");
    for (path, _) in &rows {
        let read = service.admin().get(path).await.is(200);
        assert_eq!((read.json(), read.version()), (json!({"n": 1, "m": 1}), 2));
    }
    assert!(letters(&service.admin()).await.is_empty());
    cluster.ground.assert_drained();
}

/// What a command does may be mended, but not to which record it is done.
async fn edit(service: &Service, address: &str) {
    let patch = |patch: Value| {
        let call = service.admin().patch(address).merge(&patch);
        async move { call.await }
    };
    let refused = |answer: Answer| drop(answer.problem(422, "invalid-document", "not_executed"));
    refused(patch(json!({"reason": "none"})).await);
    refused(patch(json!({"command": {"replace_record": {"record": "another"}}})).await);
    refused(patch(json!({"command": {"replace_record": null}})).await);
    let replaced = json!({"command": {"replace_record": {"document": {"n": 3}}}});
    patch(replaced).await.is(200);
    let shown = service.admin().get(address).await.is(200);
    assert_eq!(shown.json()["command"]["replace_record"]["document"], json!({"n": 3}));
}

async fn what_nobody_can_read_becomes_a_letter_and_is_discarded(stage: Stage) {
    let cluster = Cluster::start(&stage, Ground::shared());
    let service = cluster.service().await;
    let Ground { broker, vhost, .. } = &cluster.ground;
    let publish = |payload: &str| {
        let message = json!({
            "properties": {"delivery_mode": 2}, "routing_key": "penstock.write.3", "payload": payload,
            "payload_encoding": "string",
        });
        broker.post(&format!("/api/exchanges/{vhost}/amq.default/publish"), &message).unwrap();
    };
    publish("not even JSON");
    let letter = wait_for_letter(&service).await;
    // They come whole, whatever is asked for.
    let asked = service.admin().get("/v1/dead-letters?fields=reason").await.is(200).json();
    assert_eq!(asked["dead_letters"], json!([letter]));
    assert_eq!((&letter["reason"], &letter["body"]), (&json!("unreadable"), &json!("not even JSON")));
    assert_eq!(letter["queue"], "penstock.write.3");
    let address = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    let replay = service.admin().post(&format!("{address}/replay")).await;
    replay.problem(409, "not-replayable", "not_executed");
    let all = service.admin().post("/v1/dead-letters/replay").await.is(200).json();
    assert_eq!((&all["replayed"], &all["failed"][0]["id"]), (&json!([]), &letter["id"]), "{all}");
    publish("nor is this");
    let end = Instant::now() + FOUND_WITHIN;
    while letters(&service.admin()).await.len() < 2 {
        assert!(Instant::now() < end, "no second letter");
    }
    // One a page, until there are no more.
    let (mut failed, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/dead-letters/replay?limit=1{cursor}");
        let page = service.admin().post(&path).await.is(200).json();
        failed.extend(page["failed"].as_array().unwrap().iter().map(|one| one["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.contains(&letter["id"]) && failed[0] != failed[1], "{failed:?}");
    for id in failed {
        service.admin().delete(&format!("/v1/dead-letters/{}", id.as_str().unwrap())).await.is(204);
    }
    service.admin_at(1).get(&address).await.problem(404, "dead-letter-not-found", "not_executed");
    cluster.ground.assert_drained();
}
