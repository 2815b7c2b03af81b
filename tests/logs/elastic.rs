//! The shared Elasticsearch, and a data stream of one's own in it.

use super::harness::unique;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

/// A data stream that the index template of the logs applies to.
pub(crate) struct Stream {
    http: Client,
    url: String,
    pub(crate) name: String,
}

impl Stream {
    /// A stream of its own, after the index template was loaded as the stack does it.
    pub(crate) fn new() -> Self {
        let url = testbed::elasticsearch();
        load(&url);
        let http = Client::builder().no_proxy().build().unwrap();
        Self { http, url, name: unique("logs-penstock-test") }
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}/{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Sends documents as Logstash does; returns what became of each.
    pub(crate) async fn ship(&self, documents: &[Value]) -> Vec<Value> {
        let lines = documents.iter().map(|document| format!("{{\"create\":{{}}}}\n{document}\n"));
        let body = lines.collect::<Vec<_>>().concat();
        let request = self.http.post(format!("{}/{}/_bulk?refresh=true", self.url, self.name));
        let response =
            request.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
        let answer: Value = response.json().await.unwrap();
        let items = answer["items"].as_array().unwrap_or_else(|| panic!("{answer}"));
        items.iter().map(|item| item["create"].clone()).collect()
    }

    /// The same for lines that all must be taken.
    pub(crate) async fn ship_all(&self, documents: &[Value]) {
        for (answer, document) in self.ship(documents).await.into_iter().zip(documents) {
            assert_eq!(answer["status"], 201, "{answer} for {document}");
        }
    }

    pub(crate) async fn search(&self, body: &Value) -> Value {
        let (status, found) = self.ask(Method::POST, &format!("{}/_search", self.name), Some(body)).await;
        assert_eq!(status, 200, "{body}: {found}");
        found
    }

    /// The lines of a trace, in the order of their times.
    pub(crate) async fn trace(&self, trace: &str) -> Vec<Value> {
        let query = json!({"query": {"term": {"trace.id": trace}}, "sort": ["@timestamp"], "size": 100});
        let found = self.search(&query).await;
        found["hits"]["hits"].as_array().unwrap().iter().map(|hit| hit["_source"].clone()).collect()
    }
}

/// Runs the one-shot service of the stack.
pub(crate) fn load(url: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../elasticsearch/load.sh");
    let output = Command::new("sh").arg(script).env("ELASTICSEARCH_URL", url).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
}
