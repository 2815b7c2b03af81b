//! Nodes of Cassandra: one more, and one less.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Lab, WHOLE_WITHIN};
use crate::lab::node::{Node, wait_for};

/// It streams its share first.
const JOINED_WITHIN: Duration = Duration::from_mins(10);

/// From two nodes and no failure tolerated to three and one, by the words of docs/operations.md. There is no way back.
pub(super) fn grown(lab: &Lab) -> Result<String> {
    lab.block("grow-label", &[])?;
    let joined = wait_for("three nodes of Cassandra are UN", JOINED_WITHIN, || Ok(up(&lab.node(1))? == 3))?;
    lab.settle(WHOLE_WITHIN)?;
    repair(lab)?;
    lab.block("grow-copies", &[])?;
    repair(lab)?;
    lab.block("grow-tolerance", &[])?;
    lab.settle(WHOLE_WITHIN)?;
    lab.block("doctor", &[])?;
    Ok(format!("joined after {} s, three copies, one failure tolerated", joined.as_secs()))
}

fn repair(lab: &Lab) -> Result<()> {
    ["1", "2", "3"].iter().try_for_each(|node| lab.script("deploy.sh", &["block", "repair", node]))
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

/// A snapshot of every node, as one would copy away.
pub(super) fn saved(lab: &Lab) -> Result<String> {
    let mut files = 0;
    for number in 1..=3_u8 {
        let node = lab.node(number);
        if node.containers("cassandra")?.is_empty() {
            continue;
        }
        lab.script("deploy.sh", &["block", "snapshot", &number.to_string()])?;
        let container = only(&node)?;
        let find = "find /var/lib/cassandra/data/penstock/*/snapshots/monday -name '*-Data.db' | wc -l";
        let told = node.docker(&["exec", &container, "bash", "-c", find])?;
        let count: usize = told.trim().parse().context("a number of files")?;
        ensure!(count > 0, "node {number} has nothing in its snapshot");
        files += count;
        lab.script("deploy.sh", &["block", "clear-snapshot", &number.to_string()])?;
    }
    Ok(format!("{files} data files in the snapshots"))
}

fn only(node: &Node) -> Result<String> {
    node.containers("cassandra")?.pop().context("no Cassandra on this node")
}

fn nodetool(node: &Node, arguments: &[&str]) -> Result<String> {
    let container = only(node)?;
    let said =
        ["exec", &container, "nodetool", "-u", "penstock", "-pwf", "/run/secrets/cassandra_jmx_password"];
    node.docker(&[&said, arguments].concat())
}

/// How many nodes are up, and have joined.
fn up(node: &Node) -> Result<usize> {
    Ok(nodetool(node, &["status"])?.lines().filter(|line| line.starts_with("UN ")).count())
}
