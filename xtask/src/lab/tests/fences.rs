//! Who can reach whom, and who may do what there.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};

use super::Lab;
use crate::{
    command::told_by,
    images,
    lab::node::{Node, answers, wait_for},
};

const REFUSED_WITHIN: Duration = Duration::from_mins(2);

/// What each service must reach, and what it must not, though it knows the address.
const WAYS: [(&str, &str, &str, u16, bool); 10] = [
    ("gate", "rabbitmq-1", "queue", 5672, true),
    ("gate", "redis-1", "sessions", 6379, true),
    ("gate", "cassandra", "storage", 9042, false),
    ("storage-worker", "cassandra", "storage", 9042, true),
    ("storage-worker", "rabbitmq-1", "queue", 5672, true),
    ("storage-worker", "redis-1", "sessions", 6379, false),
    ("gate", "elasticsearch", "logs", 9200, false),
    ("edge", "redis-1", "sessions", 6379, false),
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
    make_no_tables(lab)?;
    let node = lab.node(1);
    insist_on_tls(&node)?;
    let fenced = fence_pages(lab, &node);
    let unfenced = lab.script("lab.sh", &["unfence", "1"]);
    fenced.and(unfenced)?;
    Ok(format!(
        "{} ways tried, RabbitMQ's pages, the edge without TLS, and tables with the role of workers",
        WAYS.len()
    ))
}

/// Without TLS, clients are told where to go, and nothing else.
fn insist_on_tls(node: &Node) -> Result<()> {
    let plain = format!("http://{}/v1/session", node.address());
    let told = told_by(Command::new("curl").args(["-s", "-w", "%{http_code} %{redirect_url}", &plain]))?;
    ensure!(told == format!("308 {}/v1/session", node.edge()), "without TLS: {told}");
    Ok(())
}

/// RabbitMQ's pages are there for operators, and for nobody else.
fn fence_pages(lab: &Lab, node: &Node) -> Result<()> {
    let page = format!("http://{}:15672/", node.address());
    // First this machine is an operator's.
    lab.block_within(node, "fence-pages", &[("OPERATORS", "10.77.0.254/32")])?;
    ensure!(answers(&page)?, "{page} is not reached by an operator");
    lab.block_within(node, "fence-pages", &[])?;
    ensure!(!answers(&page)?, "{page} is reached by anybody");
    // Another network takes the place of the one before.
    lab.block_within(node, "fence-pages", &[("OPERATORS", "10.77.0.254/32")])?;
    ensure!(answers(&page)?, "{page} is not reached by an operator any more");
    Ok(())
}

/// Workers read and write records. Tables are made by another role: with theirs, `migrate` waits for ever to be let in.
fn make_no_tables(lab: &Lab) -> Result<()> {
    let node = lab.node(1);
    let secrets = format!("{}:/secrets:ro", lab.file("secrets").display());
    let image = format!("penstock/storage-worker:{}", images::crate_version());
    let run = ["run", "--detach", "--network", "penstock_storage", "--user", "0", "--volume", &secrets];
    let migrate = ["migrate", "--cassandra", "tasks.cassandra:9042", "--keyspace", "elsewhere"];
    let role = ["--cassandra-user", "penstock_worker"];
    let password = ["--cassandra-password-file", "/secrets/cassandra_worker_password"];
    let started = node.docker(&[&run[..], &[&image], &migrate, &role, &password].concat())?;
    let container = started.trim();
    let refused = wait_for("the role of workers is refused", REFUSED_WITHIN, || {
        Ok(node.docker(&["logs", container])?.contains("penstock_worker has no CREATE permission"))
    });
    node.docker(&["rm", "--force", container])?;
    refused.map(drop)
}

/// Of a service's container in a network of the stack.
fn address(lab: &Lab, service: &str, network: &str) -> Result<String> {
    let (node, container) = lab.container_of(service)?;
    let format = format!("{{{{(index .NetworkSettings.Networks \"penstock_{network}\").IPAddress}}}}");
    Ok(node.docker(&["inspect", "--format", &format, &container])?.trim().to_owned())
}
