//! Logs outlive the containers that wrote them, and clients do not notice when nobody keeps them.
//!
//! Logstash's image cannot be had here: rsyslog brings the lines of gates and workers to the stack's Elasticsearch.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Lab, WHOLE_WITHIN};
use crate::{
    command::told_by,
    lab::{
        node::{Node, wait_for},
        rest::Rest,
    },
};

const PIPELINE: &str = include_str!("../../../../logstash/pipeline/penstock.conf");
/// What the paths begin with that Logstash reads.
const LOGS: &str = "${LOG_DIR:/var/log/penstock}/";
const ELASTICSEARCH: &str = "elasticsearch";
/// What says how lines are kept, and for how long.
const TEMPLATE: &str = "http://127.0.0.1:9200/_index_template/penstock-logs";
const WRITERS: [&str; 2] = ["gate", "storage-worker"];
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);
/// Elasticsearch shows what it has taken after five seconds; and whoever brings it may be waiting to ask again.
const FOUND_WITHIN: Duration = Duration::from_mins(1);

/// Carries out a command, removes the containers of the gate and the worker that did, and looks for what they wrote.
pub(super) fn outlive(lab: &Lab) -> Result<String> {
    let trace = leave_a_trace(lab)?;
    let mut removed = Vec::new();
    for service in WRITERS {
        let (node, host) = writer(lab, service, &trace)?;
        // A container's host is called by the beginning of its id.
        node.docker(&["rm", "--force", &host])?;
        ensure!(node.docker(&["inspect", &host]).is_err(), "the container {host} is still there");
        removed.push((service, host));
    }
    find(lab, &trace, &removed)?;
    lab.settle(WHOLE_WITHIN)?;
    let files = all_are_read(lab)?;
    Ok(format!("gate and worker removed, both lines found by their trace; Logstash reads all {files} files"))
}

/// Every file on the log volumes is one that Logstash reads, and each of its paths leads to one: how many there are.
fn all_are_read(lab: &Lab) -> Result<usize> {
    let globs: Vec<&str> = PIPELINE.split('"').filter_map(|text| text.strip_prefix(LOGS)).collect();
    let files = |options: &[&str]| -> Result<Vec<String>> {
        let find =
            |node: Node| told_by(Command::new("find").arg(node.logs()).args(["-type", "f"]).args(options));
        let found = lab.nodes().into_iter().map(find).collect::<Result<Vec<_>>>()?.concat();
        Ok(found.lines().map(str::to_owned).collect())
    };
    let others: Vec<&str> = globs.iter().flat_map(|glob| ["!", "-name", glob]).collect();
    let unread = files(&others)?;
    ensure!(unread.is_empty(), "Logstash does not read {unread:?}");
    // Files that are full come later; `penstock serve` is not part of the stack.
    for glob in globs.iter().filter(|glob| !glob.ends_with(".log.*") && !glob.starts_with("penstock-")) {
        ensure!(!files(&["-name", glob])?.is_empty(), "no file is called {glob}");
    }
    Ok(files(&[])?.len())
}

/// Takes Elasticsearch away, and looks for what was written meanwhile when it is back.
pub(super) fn kept(lab: &Lab) -> Result<String> {
    let service = format!("penstock_{ELASTICSEARCH}");
    let scale = |replicas: u8| lab.node(1).docker(&["service", "scale", &format!("{service}={replicas}")]);
    scale(0)?;
    let written = trace_with_writers(lab);
    let away = lab.container_of(ELASTICSEARCH).is_err();
    scale(1)?;
    ensure!(away, "Elasticsearch was there all the time");
    let (trace, writers) = written?;
    find(lab, &trace, &writers)?;
    Ok("lines of gate and worker found that were written while Elasticsearch was away".to_owned())
}

/// Another machine keeps the logs: it has nothing of those before, and takes those to come.
pub(super) fn moved(lab: &Lab) -> Result<String> {
    let one = lab.node(1);
    let (old, _) = lab.container_of(ELASTICSEARCH)?;
    let label = |node: &Node, change: &[&str]| {
        one.docker(&[&["node", "update"], change, &[node.name().as_str()]].concat()).map(drop)
    };
    let go = |from: &Node, to: &Node| {
        label(from, &["--label-rm", "penstock.logs"])?;
        label(to, &["--label-add", "penstock.logs=true"])?;
        wait_for("Elasticsearch is elsewhere", WHOLE_WITHIN, || {
            Ok(lab.container_of(ELASTICSEARCH)?.0.number == to.number)
        })?;
        lab.block("load-templates", &[])?;
        let elasticsearch = to.containers(ELASTICSEARCH)?.pop().context("Elasticsearch is gone again")?;
        let look = ["exec", elasticsearch.as_str(), "curl", "-sf", TEMPLATE];
        wait_for("Elasticsearch has the template", FOUND_WITHIN, || to.docker(&look).map(|_| true))?;
        lab.settle(WHOLE_WITHIN)
    };
    ensure!(old.number != one.number, "node 1 has them already: label another one");
    let found = || {
        let (trace, writers) = trace_with_writers(lab)?;
        find(lab, &trace, &writers)
    };
    let there = go(&old, &one).and_then(|_| found());
    let back = go(&one, &old).and_then(|_| found());
    there.and(back)?;
    Ok(format!("to {} and back to {}, lines found on both", one.name(), old.name()))
}

/// Leaves a trace, and waits until gate and worker have written it: the trace, and each service with its host.
fn trace_with_writers(lab: &Lab) -> Result<(String, Vec<(&'static str, String)>)> {
    let trace = leave_a_trace(lab)?;
    let write = |service| Ok((service, writer(lab, service, &trace)?.1));
    let writers = WRITERS.into_iter().map(write).collect::<Result<_>>()?;
    Ok((trace, writers))
}

/// Carries out a command under a trace of its own, which it gives.
fn leave_a_trace(lab: &Lab) -> Result<String> {
    let edge = lab.node(1).edge();
    let rest = Rest::log_in(&edge, &lab.secret("admin_password")?)?;
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let trace = format!("{stamp:032x}");
    let (parent, collection) =
        (format!("00-{trace}-00f067aa0ba902b7-01"), format!("{edge}/v1/collections/logs-{stamp}"));
    rest.insist(Method::PUT, &collection, &[], &json!({}))?;
    let record = format!("{collection}/records/one");
    rest.insist(Method::PUT, &record, &[("traceparent", &parent)], &json!({"tea": 1}))?;
    Ok(trace)
}

/// The node and the host's name of the process of a service that wrote about a trace.
fn writer(lab: &Lab, service: &str, trace: &str) -> Result<(Node, String)> {
    let mut found = None;
    wait_for(&format!("{service} has written the trace"), WRITTEN_WITHIN, || {
        found = look_for_writer(lab, service, trace)?;
        Ok(found.is_some())
    })?;
    found.context("just found")
}

fn look_for_writer(lab: &Lab, service: &str, trace: &str) -> Result<Option<(Node, String)>> {
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

/// Waits until Elasticsearch has a line about a trace of each of these services and hosts.
fn find(lab: &Lab, trace: &str, writers: &[(&str, String)]) -> Result<()> {
    let (node, _) = lab.container_of(ELASTICSEARCH)?;
    wait_for(&format!("lines of {writers:?} are found"), FOUND_WITHIN, || {
        let answer = lab.ask(node.number, "find-trace", &[("TRACE", trace)])?;
        let answer: Value = serde_json::from_str(&answer)?;
        let hits = answer["hits"]["hits"].as_array().with_context(|| format!("no hits: {answer}"))?;
        Ok(writers.iter().all(|(service, host)| {
            hits.iter()
                .map(|hit| &hit["_source"])
                .any(|line| line["service.name"] == *service && line["host.hostname"] == host.as_str())
        }))
    })
    .map(drop)
}
