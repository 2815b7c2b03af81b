//! Who can reach whom.

use anyhow::{Result, ensure};

use super::Lab;

/// What each service must reach, and what it must not, though it knows the address.
const WAYS: [(&str, &str, &str, u16, bool); 8] = [
    ("gate", "rabbitmq-1", "queue", 5672, true),
    ("gate", "redis-1", "sessions", 6379, true),
    ("gate", "cassandra", "storage", 9042, false),
    ("storage-worker", "cassandra", "storage", 9042, true),
    ("storage-worker", "rabbitmq-1", "queue", 5672, true),
    ("storage-worker", "redis-1", "sessions", 6379, false),
    ("edge", "rabbitmq-1", "queue", 5672, false),
    ("edge", "cassandra", "storage", 9042, false),
];

/// Tries every way from within a container's network.
pub(super) fn hold(lab: &Lab) -> Result<String> {
    for (from, to, network, port, is_open) in WAYS {
        let address = address(lab, to, network)?;
        let (node, container) = lab.container_of(from)?;
        let knock = format!("exec 3<> /dev/tcp/{address}/{port}");
        let network = format!("container:{container}");
        let run =
            ["run", "--rm", "--network", &network, "penstock-lab/services:1", "timeout", "3", "bash", "-c"];
        let reached = node.docker(&[&run[..], &[&knock]].concat()).is_ok();
        ensure!(reached == is_open, "from {from} to {to} at {address}:{port}: reached: {reached}");
    }
    Ok(format!("{} ways tried", WAYS.len()))
}

/// Of a service's container in a network of the stack.
fn address(lab: &Lab, service: &str, network: &str) -> Result<String> {
    let (node, container) = lab.container_of(service)?;
    let format = format!("{{{{(index .NetworkSettings.Networks \"penstock_{network}\").IPAddress}}}}");
    Ok(node.docker(&["inspect", "--format", &format, &container])?.trim().to_owned())
}
