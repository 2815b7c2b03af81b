//! Containers that are killed, or started again one after the other.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Lab, WHOLE_WITHIN};
use crate::lab::node::{Node, wait_for};

pub(super) fn worker(lab: &Lab) -> Result<String> {
    kill_one(lab, "storage-worker")
}

pub(super) fn gate(lab: &Lab) -> Result<String> {
    kill_one(lab, "gate")
}

/// Each of the three nodes of RabbitMQ, by the words of docs/operations.md.
pub(super) fn brokers(lab: &Lab) -> Result<String> {
    lab.block("restart-brokers", &[])?;
    Ok(String::new())
}

/// Each node of Cassandra, by the words of docs/operations.md.
pub(super) fn databases(lab: &Lab) -> Result<String> {
    lab.block("restart-databases", &[])?;
    Ok(String::new())
}

fn kill_one(lab: &Lab, service: &str) -> Result<String> {
    let on = |node: Node| Ok::<_, anyhow::Error>((node.containers(service)?, node));
    // Not on the first, which is asked about everything.
    let found: Vec<_> = lab.nodes().into_iter().rev().map(on).collect::<Result<_>>()?;
    let (containers, node) =
        found.into_iter().find(|(containers, _)| !containers.is_empty()).context("none is there")?;
    let before = containers.first().context("none is there")?.clone();
    node.kill_container(&before)?;
    let noticed = wait_for("the killed container is gone", Duration::from_secs(30), || {
        Ok(!node.containers(service)?.contains(&before))
    })?;
    let whole = lab.settle(WHOLE_WITHIN)?;
    Ok(format!("all replicas again after {} s", (noticed + whole).as_secs()))
}
