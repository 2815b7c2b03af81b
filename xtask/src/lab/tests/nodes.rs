//! A whole node, and everything on it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{
    Lab,
    databases::{self, JOINED_WITHIN},
};
use crate::lab::{
    node::{Node, wait_for},
    rest::Rest,
};

/// From the loss of a node until all gates and workers run on the others.
const ELSEWHERE_WITHIN: Duration = Duration::from_mins(1);
const BACK_WITHIN: Duration = Duration::from_mins(8);
const KEPT_WITHIN: Duration = Duration::from_secs(30);
const LOGGED_WITHIN: Duration = Duration::from_secs(10);
/// At most. A third of them is answered by each node's gate.
const LOG_INS: u32 = 30;

/// All processes of node 3 at once, which has no Cassandra.
pub(super) fn killed(lab: &Lab) -> Result<String> {
    lose(lab, &lab.node(3), "kill", "start")
}

/// The same without a word: its link is cut, its processes go on.
pub(super) fn cut(lab: &Lab) -> Result<String> {
    lose(lab, &lab.node(3), "cut", "mend")
}

/// The node that leads the swarm: in a lab that is new, node 3.
pub(super) fn leader_killed(lab: &Lab) -> Result<String> {
    let three = lab.node(3);
    let format = "{{.ManagerStatus.Leader}}";
    let leads = three.docker(&["node", "inspect", "--format", format, &three.name()])?;
    ensure!(
        leads.trim() == "true",
        "node 3 does not lead the swarm any more: take the lab down, and up again"
    );
    lose(lab, &three, "kill", "start")
}

/// Node 2 never comes back, with its disk; node 4 does what it did, by the words of docs/operations.md.
pub(super) fn replaced(lab: &Lab) -> Result<String> {
    let (one, lost, left) = (lab.node(1), lab.node(2), [1, 3]);
    let (before, began) = (databases::up(&one)?, Instant::now());
    lab.script("lab.sh", &["remove", "2"])?;
    elsewhere(lab, &lost, began)?;
    lab.block("replace-machine", &[])?;
    lab.join(4)?;
    let joined = began.elapsed();
    lab.block("replace-broker", &[])?;
    left.iter().try_for_each(|node| lab.block_on(*node, "replace-sentinel", &[]))?;
    let status = databases::nodetool(&one, &["status"])?;
    let down = status.lines().find(|line| line.starts_with("DN ")).context("no node of Cassandra is down")?;
    let address = down.split_whitespace().nth(1).context("a node without an address")?;
    let image = ("CASSANDRA_IMAGE", "penstock-lab/services:1");
    // The lab has as many copies as nodes.
    let copies = before.to_string();
    lab.block_on(4, "replace-database", &[("ADDRESS", address), ("COPIES", &copies), image])?;
    one.docker(&["node", "update", "--label-add", "penstock.cassandra=true", "node4"])?;
    wait_for("all nodes of Cassandra are UN", JOINED_WITHIN, || Ok(databases::up(&one)? == before))?;
    let whole = began.elapsed();
    lab.settle(BACK_WITHIN)?;
    let status = databases::nodetool(&one, &["status"])?;
    ensure!(!status.contains(address), "the lost node of Cassandra is still known: {status}");
    databases::on_each(lab, "repair")?;
    lab.block("doctor", &[])?;
    members(&one)?;
    let (joined, whole) = (joined.as_secs(), whole.as_secs());
    Ok(format!("another machine after {joined} s, all its parts after {whole} s"))
}

/// Three nodes of RabbitMQ, and whatever is kept more than once on all of them.
fn members(node: &Node) -> Result<()> {
    let broker = node.containers("rabbitmq-1")?.pop().context("no RabbitMQ on this node")?;
    let listed = node.docker(&[
        "exec",
        &broker,
        "rabbitmqctl",
        "--quiet",
        "--formatter=json",
        "list_queues",
        "name",
        "type",
        "members",
    ])?;
    let queues: Vec<Value> = serde_json::from_str(&listed)?;
    let kept = ["quorum", "stream"];
    let kept: Vec<&Value> =
        queues.iter().filter(|queue| kept.iter().any(|kind| queue["type"] == *kind)).collect();
    ensure!(kept.iter().any(|queue| queue["type"] == "stream"), "no stream: {listed}");
    for queue in kept {
        let members = queue["members"].as_array().map_or(0, Vec::len);
        ensure!(members == 3, "a queue has {members} members: {queue}");
    }
    Ok(())
}

fn lose(lab: &Lab, node: &Node, how: &str, back: &str) -> Result<String> {
    let number = node.number.to_string();
    let session = log_in_on(lab, node)?;
    let began = Instant::now();
    lab.script("lab.sh", &[how, &number])?;
    let kept = is_kept(lab, node, &session);
    let ended = elsewhere(lab, node, began);
    let elapsed = began.elapsed();
    lab.script("lab.sh", &[back, &number])?;
    ended?;
    let kept = kept?.as_secs_f64();
    lab.settle(BACK_WITHIN)?;
    let elapsed = elapsed.as_secs();
    Ok(format!(
        "session used elsewhere after {kept:.1} s; all gates and workers, on two nodes, after {elapsed} s"
    ))
}

/// A session that a gate on this node opened. A node that was away before has no gate until an update; the Swarm may pass it over in the first
/// minute.
fn log_in_on(lab: &Lab, node: &Node) -> Result<Rest> {
    wait_for(&format!("a gate on {}", node.name()), BACK_WITHIN, || {
        let has_gate = !node.containers("gate")?.is_empty();
        if !has_gate {
            lab.node(1).docker(&["service", "update", "--force", "--quiet", "penstock_gate"])?;
            lab.settle(BACK_WITHIN)?;
        }
        Ok(has_gate)
    })?;
    let password = lab.secret("admin_password")?;
    for _ in 0..LOG_INS {
        let mut session = None;
        wait_for("a session", LOGGED_WITHIN, || {
            session = Some(Rest::log_in(&node.edge(), &password)?);
            Ok(true)
        })?;
        let session = session.context("just opened")?;
        let mut is_here = false;
        // Its line is written a moment after its answer.
        let looked = wait_for("the log-in's line", LOGGED_WITHIN, || {
            let here = |node: &Node| super::logs::mentions(node, &session.logged_in_by);
            is_here = here(node)?;
            Ok(is_here || lab.nodes().iter().any(|node| here(node).unwrap_or(false)))
        });
        looked?;
        if is_here {
            return Ok(session);
        }
    }
    bail!("of {LOG_INS} sessions none was opened by a gate on {}", node.name())
}

/// How long it takes until another gate takes the session. It must not say that there is none.
fn is_kept(lab: &Lab, lost: &Node, session: &Rest) -> Result<Duration> {
    let other = lab.nodes().into_iter().find(|node| node.number != lost.number).context("no node is left")?;
    let mut refused = None;
    let kept = wait_for("the session is used at another gate", KEPT_WITHIN, || {
        let (status, answer) =
            session.ask(Method::GET, &format!("{}/v1/session", other.edge()), &[], &Value::Null)?;
        if status == StatusCode::UNAUTHORIZED {
            refused = Some(answer);
            return Ok(true);
        }
        Ok(status.is_success())
    })?;
    ensure!(refused.is_none(), "the session was lost with its gate: {refused:?}");
    Ok(kept)
}

/// Until gates and workers are all there, on the nodes that are left since then.
fn elsewhere(lab: &Lab, lost: &Node, since: Instant) -> Result<()> {
    let name = lost.name();
    let left = lab.nodes().into_iter().find(|node| node.number != lost.number).context("no node is left")?;
    for (service, replicas) in [("gate", 3), ("storage-worker", 2)] {
        let left_to_it = ELSEWHERE_WITHIN.saturating_sub(since.elapsed());
        wait_for(&format!("{replicas} of {service} on the other nodes"), left_to_it, || {
            let format = "{{.Node}} {{.CurrentState}}";
            let service = format!("penstock_{service}");
            let listed = left.docker(&[
                "service",
                "ps",
                "--filter",
                "desired-state=running",
                "--format",
                format,
                &service,
            ])?;
            let there = listed.lines().filter(|line| line.contains("Running") && !line.starts_with(&name));
            Ok(there.count() == replicas)
        })?;
    }
    Ok(())
}
