//! Logs outlive the containers that wrote them.
//!
//! Logstash's image cannot be had here: a bulk request made of the files of the nodes' log volumes stands in for it.
//! Elasticsearch is a real one, on this machine.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use testbed::{Elasticsearch, Scratch};

use super::{Lab, WHOLE_WITHIN};
use crate::lab::{
    node::{Node, wait_for},
    rest::Rest,
};

const LOADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../elasticsearch/load.sh");
const STREAM: &str = "logs-penstock-default";
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);

/// Carries out a command, removes the containers of the gate and the worker that did, and looks for what they wrote.
pub(super) fn outlive(lab: &Lab) -> Result<String> {
    let edge = lab.node(1).edge();
    let rest = Rest::log_in(&edge, &lab.secret("admin_password")?)?;
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let trace = format!("{stamp:032x}");
    let (parent, collection) =
        (format!("00-{trace}-00f067aa0ba902b7-01"), format!("{edge}/v1/collections/logs-{stamp}"));
    rest.insist(Method::PUT, &collection, &[], &json!({}))?;
    let record = format!("{collection}/records/one");
    rest.insist(Method::PUT, &record, &[("traceparent", &parent)], &json!({"tea": 1}))?;
    let mut removed = Vec::new();
    for service in ["gate", "storage-worker"] {
        let mut found = None;
        wait_for(&format!("{service} has written the trace"), WRITTEN_WITHIN, || {
            found = writer(lab, service, &trace)?;
            Ok(found.is_some())
        })?;
        let (node, host) = found.context("just found")?;
        // A container's host is called by the beginning of its id.
        node.docker(&["rm", "--force", &host])?;
        ensure!(node.docker(&["inspect", &host]).is_err(), "the container {host} is still there");
        removed.push((service, host));
    }
    let found = search(&lab.nodes(), &trace)?;
    for (service, host) in &removed {
        let is_its =
            |line: &&Value| line["service.name"] == *service && line["host.hostname"] == host.as_str();
        ensure!(found.iter().any(|line| is_its(&line)), "no line of {service} on {host}: {found:?}");
    }
    lab.settle(WHOLE_WITHIN)?;
    Ok("gate and worker removed, both lines found by their trace".to_owned())
}

/// The node and the host's name of the process of a service that wrote about a trace.
fn writer(lab: &Lab, service: &str, trace: &str) -> Result<Option<(Node, String)>> {
    for node in lab.nodes() {
        for line in written(&node)? {
            if line.contains(trace) {
                let line: Value = serde_json::from_str(&line)?;
                if line["service.name"] == service {
                    let host = line["host.hostname"].as_str().context("a line without a host")?;
                    return Ok(Some((node, host.to_owned())));
                }
            }
        }
    }
    Ok(None)
}

/// Whether something on a node wrote this.
pub(super) fn mentions(node: &Node, word: &str) -> Result<bool> {
    Ok(written(node)?.iter().any(|line| line.contains(word)))
}

/// The lines of gates and workers on a node's log volume.
fn written(node: &Node) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(node.logs())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("gate-") || name.starts_with("storage-worker-") {
            lines.extend(fs::read_to_string(&path)?.lines().map(str::to_owned));
        }
    }
    Ok(lines)
}

/// Brings all lines of all nodes to an Elasticsearch, and asks it for a trace.
fn search(nodes: &[Node], trace: &str) -> Result<Vec<Value>> {
    let scratch = Scratch::new()?;
    let elasticsearch = Elasticsearch::start(scratch.path())?;
    let url = elasticsearch.url();
    load(&url)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build()?;
        for node in nodes {
            for lines in written(node)?.chunks(5000) {
                let lines = lines.iter().map(|line| format!("{{\"create\":{{}}}}\n{line}\n"));
                let body = lines.collect::<Vec<_>>().concat();
                let request = client.post(format!("{url}/{STREAM}/_bulk?refresh=true"));
                let answer = request.header("content-type", "application/x-ndjson").body(body).send().await?;
                let answer: Value = answer.error_for_status()?.json().await?;
                ensure!(answer["errors"] == false, "not all lines were taken: {answer}");
            }
        }
        let query = json!({"query": {"term": {"trace.id": trace}}, "size": 100});
        let answer = client.post(format!("{url}/{STREAM}/_search")).json(&query).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let hits = answer["hits"]["hits"].as_array().context("no hits")?;
        Ok(hits.iter().map(|hit| hit["_source"].clone()).collect())
    })
}

/// As the one-shot service of the stack does.
fn load(url: &str) -> Result<()> {
    let status = Command::new("sh").arg(LOADER).env("ELASTICSEARCH_URL", url).status()?;
    ensure!(status.success(), "{LOADER} failed");
    Ok(())
}
