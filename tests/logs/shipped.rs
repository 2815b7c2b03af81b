//! What gates and storage workers really write, found again in Elasticsearch, and shown by every panel.

use super::{
    dashboard,
    elastic::Stream,
    fields,
    harness::{Cluster, Ground, Server, Service, Stage, lines},
};
use reqwest::Method;
use serde_json::{Value, json};
use testbed::Signal;
use tokio::task::block_in_place;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// How Logstash keeps a line that it cannot read.
const TORN: &str = "{\"@timestamp\":\"2026-11-25T13:33:2";

/// Two gates and two workers carry out some commands, get a message that nobody can read, and stop.
async fn work(stage: &Stage) -> Vec<String> {
    let directory = stage.path().join("files");
    let variables = [("LOG_DIR", directory.to_str().unwrap()), ("CASSANDRA_REPLICATION", "1")];
    let mut cluster = block_in_place(|| Cluster::start_with(stage, Ground::shared(), &variables));
    let service = cluster.service().await;
    give_commands(&service).await;
    block_in_place(|| bury_garbage(&mut cluster));
    block_in_place(|| {
        for process in cluster.gates.iter_mut().chain(&mut cluster.workers) {
            process.signal(Signal::TERM);
            assert!(process.wait_exit().success());
        }
    });
    lines(&directory)
}

async fn give_commands(service: &Service) {
    let records = service.collection("teas").await;
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let created =
        service.admin().post(&records).header("traceparent", &parent).json(&json!({"tea": 1})).await;
    let record = created.is(201).expect_header("location");
    service.admin_at(1).get(&record).await.is(200);
    service.admin_at(1).get(&format!("{records}/none")).await.is(404);
}

fn bury_garbage(cluster: &mut Cluster) {
    let message = json!({
        "routing_key": "penstock.write.0", "payload": "no delivery", "payload_encoding": "string", "properties": {},
    });
    let path = format!("/api/exchanges/{}/amq.default/publish", cluster.ground.vhost);
    cluster.ground.broker.post(&path, &message).unwrap();
    let (first, others) = cluster.workers.split_first_mut().unwrap();
    first.wait_until("the burial", |log| {
        others.iter().map(Server::log).chain([log]).any(|log| log.line_with("dead-letter").is_some())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gates_and_workers_write_is_found_by_trace_and_shown_by_every_panel() {
    let (stage, stream) = (Stage::new(), Stream::new());
    let lines = work(&stage).await;
    let mut documents: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    let known = fields::all();
    for document in &documents {
        let unknown: Vec<_> = fields::named_in(document)
            .into_iter()
            .filter(|name| !known.contains_key(name) && !name.starts_with("labels."))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?} in {document}");
    }
    let now = documents.last().unwrap()["@timestamp"].clone();
    documents.push(json!({
        "@timestamp": now, "message": TORN, "tags": ["_jsonparsefailure"], "service.name": "unknown",
        "log": {"file": {"path": "/var/log/penstock/gate-1-1-1.log"}},
    }));
    stream.ship_all(&documents).await;
    assert_trace(&stream.trace(TRACE).await);
    for (id, object) in dashboard::objects() {
        match object["type"].as_str() {
            Some("visualization") => assert_shows(&stream, &id, &object).await,
            Some("search") => {
                let found = stream.search(&json!({"query": dashboard::query(&object)})).await;
                assert!(found["hits"]["total"]["value"].as_u64() > Some(4), "{id}: {found}");
            }
            _ => {}
        }
    }
}

/// One line of the gate and one of the worker, which tell the same of the same command.
fn assert_trace(found: &[Value]) {
    let [worker, gate] = found else { panic!("{found:#?}") };
    assert_eq!((&gate["service.name"], &worker["service.name"]), (&json!("gate"), &json!("storage-worker")));
    for line in [gate, worker] {
        assert_eq!(line["command.id"], gate["command.id"]);
        assert_eq!(line["command.name"], "create_record");
        assert_eq!(line["command.outcome"], "record_created");
        assert_eq!(line["event.outcome"], "success");
        assert!(line["collection.name"].as_str().unwrap().starts_with("teas-"), "{line}");
        assert!(line["event.duration"].as_u64() > Some(0) && line["queue.duration"].is_u64(), "{line}");
    }
    assert_eq!(gate["http.response.status_code"], 201);
    assert!(gate["event.duration"].as_u64() > worker["event.duration"].as_u64(), "{gate} {worker}");
}

/// Runs what Kibana would, and looks whether there is something to show in the innermost buckets.
async fn assert_shows(stream: &Stream, id: &str, object: &Value) {
    let aggregations = dashboard::aggregations(object);
    let found =
        stream.search(&json!({"size": 0, "query": dashboard::query(object), "aggs": aggregations})).await;
    let mut bucket = &found["aggregations"];
    while let Some(inner) = bucket.get("bucket") {
        bucket = &inner["buckets"][0];
        assert!(bucket["doc_count"].as_u64() > Some(0), "{id}: {found}");
    }
    if let Some(metric) = bucket.get("metric") {
        let values = metric["values"].as_object().unwrap();
        assert!(
            values.values().all(|value| value.as_f64() > Some(0.0)) && values.len() == 3,
            "{id}: {found}"
        );
    }
}

#[tokio::test]
async fn the_data_view_and_all_that_is_shown_name_fields_that_are_there() {
    let stream = Stream::new();
    stream.ship_all(&[json!({"@timestamp": "2026-11-25T13:33:20Z"})]).await;
    let objects = dashboard::objects();
    let pattern = objects["penstock-logs"]["attributes"]["title"].as_str().unwrap();
    let (status, caps) = stream.ask(Method::GET, &format!("{pattern}/_field_caps?fields=*"), None).await;
    assert_eq!(status, 200, "{caps}");
    for (id, object) in &objects {
        for field in dashboard::fields(object) {
            let kinds = caps["fields"].get(&field).unwrap_or_else(|| panic!("{id}: {field}"));
            let aggregated = object["type"] == "visualization"
                && dashboard::nested(&object["attributes"]["visState"])["aggs"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|agg| agg["params"]["field"] == field.as_str());
            let able = kinds.as_object().unwrap().values().all(|kind| kind["aggregatable"] == true);
            assert!(able || !aggregated, "{id}: {field} cannot be counted by: {kinds}");
        }
    }
}
