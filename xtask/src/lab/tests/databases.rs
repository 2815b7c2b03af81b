//! Nodes of Cassandra: one more, and one less.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Lab, WHOLE_WITHIN};
use crate::lab::node::{Node, wait_for};

/// It streams its share first.
pub(super) const JOINED_WITHIN: Duration = Duration::from_mins(10);

const REPAIRED_WITHIN: Duration = Duration::from_mins(5);
/// That of documents, and that of accounts.
const REPAIRED_KEYSPACES: usize = 2;

/// Three times as long as Cassandra believes what it has read about roles.
const AWAY: Duration = Duration::from_secs(30);

/// From two nodes and no failure tolerated to three and one, by the words of docs/operations.md. There is no way back.
pub(super) fn grown(lab: &Lab) -> Result<String> {
    lab.block("grow-label", &[])?;
    let joined = wait_for("three nodes of Cassandra are UN", JOINED_WITHIN, || Ok(up(&lab.node(1))? == 3))?;
    lab.settle(WHOLE_WITHIN)?;
    on_each(lab, "repair")?;
    lab.block("grow-copies", &[])?;
    on_each(lab, "repair")?;
    lab.block("grow-tolerance", &[])?;
    lab.settle(WHOLE_WITHIN)?;
    lab.block("doctor", &[])?;
    Ok(format!("joined after {} s, three copies, one failure tolerated", joined.as_secs()))
}

/// All nodes, by the service that does so once a week.
pub(super) fn repaired(lab: &Lab) -> Result<String> {
    let wanted = nodes(lab)?.len() * REPAIRED_KEYSPACES;
    lab.block("repair-now", &[])?;
    let took = wait_for("every node has been repaired", REPAIRED_WITHIN, || Ok(repairs(lab)? == wanted))?;
    roll_back(lab)?;
    lab.block("doctor", &[])?;
    Ok(format!("{wanted} repairs in {} s", took.as_secs()))
}

/// How many the running container of the service has come to the end of.
fn repairs(lab: &Lab) -> Result<usize> {
    repair_said(lab, "repaired ")
}

/// How many lines of the running container of the service, in the log of its machine, begin so.
fn repair_said(lab: &Lab, what: &str) -> Result<usize> {
    for node in lab.nodes() {
        let Some(container) = node.containers("repair")?.pop() else { continue };
        let log = node.logs().join("cassandra-repair.log");
        let lines = fs::read_to_string(&log).with_context(|| log.display().to_string())?;
        let lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let says = |line: &&Value| {
            line["host.hostname"].as_str().is_some_and(|host| container.starts_with(host))
                && line["message"].as_str().is_some_and(|message| message.starts_with(what))
        };
        return Ok(lines.iter().filter(says).count());
    }
    Ok(0)
}

fn roll_back(lab: &Lab) -> Result<()> {
    lab.node(1).docker(&["service", "rollback", "--quiet", "penstock_repair"]).map(drop)
}

/// One of three.
pub(super) fn killed(lab: &Lab) -> Result<String> {
    if up(&lab.node(1))? == 2 {
        grown(lab)?;
    }
    let node = lab.node(2);
    let container = only(&node)?;
    node.kill_container(&container)?;
    let back = wait_for("three nodes of Cassandra are UN again", JOINED_WITHIN, || {
        Ok(only(&node)? != container && up(&lab.node(1))? == 3)
    })?;
    Ok(format!("three nodes again after {} s", back.as_secs()))
}

/// One of two is away, for longer than anybody remembers what it was told, and than needs no repair.
pub(super) fn one_away(lab: &Lab) -> Result<String> {
    let (one, two) = (lab.node(1), lab.node(2));
    let hasty =
        ["REPAIR_AGAIN=1s", "REPAIR_LOOK=1", "REPAIR_ABSENCE=20"].map(|one| ["--env-add", one]).concat();
    one.docker(&[&["service", "update", "--quiet"], &hasty[..], &["penstock_repair"]].concat())?;
    let all = nodes(lab)?.len() * REPAIRED_KEYSPACES;
    wait_for("every node has been repaired", REPAIRED_WITHIN, || Ok(repairs(lab)? == all))?;
    let label = |change: &str, label: &str| one.docker(&["node", "update", change, label, "node2"]);
    label("--label-rm", "penstock.cassandra")?;
    let gone =
        wait_for("node 2 has no Cassandra", JOINED_WITHIN, || Ok(two.containers("cassandra")?.is_empty()));
    std::thread::sleep(AWAY);
    label("--label-add", "penstock.cassandra=true")?;
    gone?;
    let back = wait_for("two nodes of Cassandra are UN again", JOINED_WITHIN, || Ok(up(&one)? == 2))?;
    wait_for("every node is repaired again", REPAIRED_WITHIN, || {
        Ok(repair_said(lab, "a node was away for")? == 1 && repairs(lab)? == 2 * all)
    })?;
    roll_back(lab)?;
    Ok(format!("away for {} s, back after {} s", AWAY.as_secs(), back.as_secs()))
}

/// A snapshot of every node, as one would copy away.
pub(super) fn saved(lab: &Lab) -> Result<String> {
    on_each(lab, "snapshot")?;
    let mut files = 0;
    for node in nodes(lab)? {
        let listed = Command::new("tar").args(["-t", "-f"]).arg(lab.file(&backup(node))).output()?;
        let count =
            String::from_utf8(listed.stdout)?.lines().filter(|name| name.ends_with("-Data.db")).count();
        ensure!(count > 0, "node {node} has nothing in its snapshot");
        files += count;
    }
    Ok(format!("{files} data files in the snapshots"))
}

/// Everything is removed, and all that was acknowledged before comes back from snapshots.
pub(super) fn restored(lab: &Lab) -> Result<String> {
    lab.block("restore-stop", &[])?;
    on_each(lab, "snapshot")?;
    lab.block("restore-empty", &[])?;
    on_each(lab, "restore-load")?;
    on_each(lab, "repair")?;
    lab.block("restore-start", &[])?;
    Ok("no workers meanwhile".to_owned())
}

/// Runs a block on each node with Cassandra, one after the other.
pub(super) fn on_each(lab: &Lab, block: &str) -> Result<()> {
    nodes(lab)?.into_iter().try_for_each(|node| lab.block_on(node, block, &[("FILE", &backup(node))]))
}

/// The numbers of the nodes with Cassandra.
fn nodes(lab: &Lab) -> Result<Vec<u8>> {
    let mut numbers = Vec::new();
    for node in lab.nodes() {
        if !node.containers("cassandra")?.is_empty() {
            numbers.push(node.number);
        }
    }
    Ok(numbers)
}

/// The file with a node's snapshot.
fn backup(node: u8) -> String {
    format!("snapshot-{node}.tar")
}

fn only(node: &Node) -> Result<String> {
    node.containers("cassandra")?.pop().context("no Cassandra on this node")
}

pub(super) fn nodetool(node: &Node, arguments: &[&str]) -> Result<String> {
    let container = only(node)?;
    let said =
        ["exec", &container, "nodetool", "-u", "penstock", "-pwf", "/run/secrets/cassandra_jmx_password"];
    node.docker(&[&said, arguments].concat())
}

/// How many nodes are up, and have joined.
pub(super) fn up(node: &Node) -> Result<usize> {
    Ok(nodetool(node, &["status"])?.lines().filter(|line| line.starts_with("UN ")).count())
}
