//! Containers that are killed, or started again one after the other.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Lab, WHOLE_WITHIN};
use crate::lab::node::{Node, wait_for};

/// Longer than what its test allows a read with unoptimized binaries, too.
const FROZEN: Duration = Duration::from_secs(20);

pub(super) fn worker(lab: &Lab) -> Result<String> {
    kill_one(lab, "storage-worker")
}

pub(super) fn gate(lab: &Lab) -> Result<String> {
    kill_one(lab, "gate")
}

/// All gates but one at the same moment, so that an edge that chooses whom it asks least finds nobody else twice.
pub(super) fn all_gates_but_one(lab: &Lab) -> Result<String> {
    let mut gates = Vec::new();
    for node in lab.nodes() {
        gates.extend(node.containers("gate")?.into_iter().map(|container| (node.clone(), container)));
    }
    ensure!(gates.len() > 2, "there are only {} gates", gates.len());
    gates.pop();
    std::thread::scope(|scope| {
        let kill = |(node, container): &(Node, String)| node.kill_container(container);
        let killing: Vec<_> = gates.iter().map(|gate| scope.spawn(move || kill(gate))).collect();
        killing.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| bail!("a thread panicked")))
    })?;
    for (node, container) in &gates {
        wait_for("the killed container is gone", Duration::from_secs(30), || {
            Ok(!node.containers("gate")?.contains(container))
        })?;
    }
    let whole = lab.settle(WHOLE_WITHIN)?;
    Ok(format!("{} of {}, all there again after {} s", gates.len(), gates.len() + 1, whole.as_secs()))
}

/// A gate that stands still, with its kernel answering for it.
pub(super) fn gate_frozen(lab: &Lab) -> Result<String> {
    let (node, container) = last_of(lab, "gate")?;
    node.docker(&["pause", &container])?;
    std::thread::sleep(FROZEN);
    node.docker(&["unpause", &container])?;
    lab.settle(WHOLE_WITHIN)?;
    Ok(format!("for {} s", FROZEN.as_secs()))
}

/// Each of the three nodes of RabbitMQ to an image of another name, by the words of docs/operations.md, and back.
pub(super) fn brokers(lab: &Lab) -> Result<String> {
    let [now, next] = ["1", "next"].map(|tag| format!("penstock-lab/trixie:{tag}"));
    for node in lab.nodes() {
        node.docker(&["tag", &now, &next])?;
    }
    for image in [next, now] {
        lab.block("restart-brokers", &[("CHANGE", &format!("--image {image}"))])?;
    }
    lab.block("feature-flags", &[])?;
    Ok("there and back".to_owned())
}

/// Each node of Cassandra, by the words of docs/operations.md.
pub(super) fn databases(lab: &Lab) -> Result<String> {
    lab.block("restart-databases", &[])?;
    Ok(String::new())
}

fn kill_one(lab: &Lab, service: &str) -> Result<String> {
    let (node, before) = last_of(lab, service)?;
    node.kill_container(&before)?;
    let noticed = wait_for("the killed container is gone", Duration::from_secs(30), || {
        Ok(!node.containers(service)?.contains(&before))
    })?;
    let whole = lab.settle(WHOLE_WITHIN)?;
    Ok(format!("all replicas again after {} s", (noticed + whole).as_secs()))
}

/// A container of a service. Not on the first node, which is asked about everything.
fn last_of(lab: &Lab, service: &str) -> Result<(Node, String)> {
    let on = |node: Node| Ok::<_, anyhow::Error>((node.containers(service)?, node));
    let found: Vec<_> = lab.nodes().into_iter().rev().map(on).collect::<Result<_>>()?;
    let (containers, node) =
        found.into_iter().find(|(containers, _)| !containers.is_empty()).context("none is there")?;
    Ok((node, containers.first().context("none is there")?.clone()))
}
