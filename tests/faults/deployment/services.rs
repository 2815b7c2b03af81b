//! The clusters below a deployment.

use anyhow::{Result, anyhow};
use std::{path::Path, thread};
use testbed::{Broker, Cassandra, Persistence, RabbitMq, Redis};

/// Three nodes of each.
pub(crate) struct Services {
    pub(crate) rabbitmq: Vec<RabbitMq>,
    pub(crate) cassandra: Vec<Cassandra>,
    pub(crate) redis: Redis,
}

impl Services {
    /// Starts all of them at the same time.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        thread::scope(|scope| {
            let rabbitmq = scope.spawn(|| RabbitMq::start_cluster(directory, 3));
            let cassandra = scope.spawn(|| Cassandra::start(directory).map(|node| vec![node]));
            let redis = Redis::start(directory, Persistence::AppendOnlyFile);
            let died = |_| anyhow!("a start panicked");
            Ok(Self {
                rabbitmq: rabbitmq.join().map_err(died)??,
                cassandra: cassandra.join().map_err(died)??,
                redis: redis?,
            })
        })
    }

    /// The broker, through its first node.
    pub(crate) fn broker(&self) -> &Broker {
        self.rabbitmq[0].broker()
    }

    /// Where workers find Cassandra.
    pub(crate) fn contact_points(&self) -> Vec<String> {
        self.cassandra.iter().map(|node| node.address().to_string()).collect()
    }
}
