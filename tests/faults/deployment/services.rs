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
            let cassandra = scope.spawn(|| Cassandra::start_cluster_behind_fronts(directory, 3));
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
}
