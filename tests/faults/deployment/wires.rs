//! A proxy on every wire between a process and a node, but for those of Redis, which stand before its servers.

use super::{GATES, Services, WORKERS};
use anyhow::{Context, Result};
use std::sync::Arc;
use testbed::{Batches, Proxy};

/// All proxies.
pub(crate) struct Wires {
    /// By gate and broker node.
    pub(crate) gate_broker: Vec<Vec<Proxy>>,
    /// By worker and broker node.
    pub(crate) worker_broker: Vec<Vec<Proxy>>,
    /// By node; nodes send the driver here, so all workers come this way.
    pub(crate) worker_cassandra: Vec<Proxy>,
    /// What workers have sent to Cassandra.
    pub(crate) batches: Arc<Batches>,
}

impl Wires {
    pub(crate) fn string(services: &Services) -> Result<Self> {
        let brokers: Vec<&str> =
            services.rabbitmq.iter().map(|node| authority(node.url())).collect::<Result<_>>()?;
        let to_brokers = |count: usize| -> Result<Vec<Vec<Proxy>>> {
            let one = || brokers.iter().map(|broker| Ok(Proxy::start(*broker)?)).collect();
            (0..count).map(|_| one()).collect()
        };
        let cassandra = services.cassandra.iter();
        let batches = Arc::new(Batches::default());
        let cassandra = cassandra
            .map(|node| Ok(Proxy::start_cql_on(node.front(), node.address(), Arc::clone(&batches))?));
        Ok(Self {
            gate_broker: to_brokers(GATES)?,
            worker_broker: to_brokers(WORKERS)?,
            worker_cassandra: cassandra.collect::<Result<_>>()?,
            batches,
        })
    }

    pub(crate) fn gate_urls(&self, gate: usize, vhost: &str) -> String {
        urls(&self.gate_broker[gate], vhost, gate)
    }

    pub(crate) fn worker_urls(&self, worker: usize, vhost: &str) -> String {
        urls(&self.worker_broker[worker], vhost, worker)
    }

    /// Every one.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Proxy> {
        let to_brokers = self.gate_broker.iter().chain(&self.worker_broker).flatten();
        to_brokers.chain(&self.worker_cassandra)
    }

    /// Where workers find Cassandra.
    pub(crate) fn contact_points(&self) -> String {
        let fronts: Vec<String> =
            self.worker_cassandra.iter().map(|proxy| proxy.address().to_string()).collect();
        fronts.join(",")
    }
}

/// Not all processes begin with the same node.
fn urls(proxies: &[Proxy], vhost: &str, first: usize) -> String {
    let mut urls: Vec<String> =
        proxies.iter().map(|proxy| format!("amqp://guest:guest@{}/{vhost}", proxy.address())).collect();
    let count = urls.len();
    urls.rotate_left(first % count);
    urls.join(",")
}

fn authority(url: &str) -> Result<&str> {
    url.rsplit_once('@').map(|(_, authority)| authority).context("a URL without a user")
}
