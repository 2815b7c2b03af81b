//! The index template is taken by Elasticsearch, and does what it is for.

use super::{
    elastic::{Stream, load},
    fields,
    harness::unique,
};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn the_template_makes_a_data_stream_that_keeps_lines_for_two_weeks() {
    let stream = Stream::new();
    let (status, simulated) =
        stream.ask(Method::POST, &format!("_index_template/_simulate_index/{}", stream.name), None).await;
    assert_eq!(status, 200, "{simulated}");
    let template = &simulated["template"];
    assert_eq!(template["lifecycle"]["data_retention"], "14d", "{template}");
    assert_eq!(template["settings"]["index"]["auto_expand_replicas"], "0-1");
    stream.ship_all(&[json!({"@timestamp": "2026-11-25T13:33:20.123456Z", "message": "the first"})]).await;
    let (_, resolved) = stream.ask(Method::GET, &format!("_resolve/index/{}", stream.name), None).await;
    assert_eq!(resolved["data_streams"][0]["name"], stream.name.as_str(), "{resolved}");
    let (_, mapping) = stream.ask(Method::GET, &format!("{}/_field_caps?fields=*", stream.name), None).await;
    for (field, kind) in fields::all() {
        assert_eq!(
            mapping["fields"][&field][&kind]["type"],
            kind.as_str(),
            "{field}: {}",
            mapping["fields"][&field]
        );
    }
}

#[tokio::test]
async fn loading_again_changes_nothing_and_begins_no_index() {
    let stream = Stream::new();
    stream.ship_all(&[json!({"@timestamp": "2026-11-25T13:33:20Z"})]).await;
    let indices = async || stream.ask(Method::GET, &format!("_resolve/index/{}", stream.name), None).await.1;
    let known = async || stream.ask(Method::GET, "_index_template/penstock-logs", None).await.1;
    let (before, template) = (indices().await, known().await);
    load(&testbed::elasticsearch());
    assert_eq!((indices().await, known().await), (before, template));
}

#[tokio::test]
async fn a_line_is_kept_whatever_stands_in_it() {
    let stream = Stream::new();
    let odd = [
        json!({"@timestamp": "2026-11-25T13:33:20Z", "process.pid": "<0.216.0>", "event.duration": "long"}),
        json!({"@timestamp": "2026-11-25T13:33:21Z", "log.level": "ERROR", "log": {"file": {"path": "/x"}}}),
        json!({"@timestamp": "2026-11-25T13:33:22Z", "another": {"field": 1}, "command.id": "y".repeat(5000)}),
        json!({"@timestamp": "2026-11-25T13:33:23Z", "message": "no JSON", "tags": ["_jsonparsefailure"]}),
    ];
    stream.ship_all(&odd).await;
    let errors = stream.search(&json!({"query": {"term": {"log.level": "error"}}})).await;
    assert_eq!(errors["hits"]["total"]["value"], 1, "levels are compared in lower case");
    let paths = stream.search(&json!({"query": {"term": {"log.file.path": "/x"}}})).await;
    assert_eq!(paths["hits"]["total"]["value"], 1, "dotted and nested names are one");
    let (_, caps) =
        stream.ask(Method::GET, &format!("{}/_field_caps?fields=another*", stream.name), None).await;
    assert_eq!(caps["fields"], json!({}), "what nobody has mapped grows no mapping");
}

#[tokio::test]
async fn lines_of_one_millisecond_keep_their_order() {
    let stream = Stream::new();
    let trace = unique("trace");
    let line = |micros: u32| -> Value {
        json!({"@timestamp": format!("2026-11-25T13:33:20.{micros:06}Z"), "trace.id": trace, "message": micros.to_string()})
    };
    stream.ship_all(&[line(123_003), line(123_001), line(123_002)]).await;
    let found = stream.trace(&trace).await;
    let order: Vec<&str> = found.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(order, ["123001", "123002", "123003"]);
}
