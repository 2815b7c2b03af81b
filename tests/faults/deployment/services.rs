//! The clusters below a deployment.

use anyhow::{Result, anyhow, ensure};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};
use testbed::{Broker, Cassandra, RabbitMq, RedisGroup};

/// Gossip goes round once a second, but each look is a JVM that starts.
const UP_WITHIN: Duration = Duration::from_mins(3);

/// Three nodes of each.
pub(crate) struct Services {
    pub(crate) rabbitmq: Vec<RabbitMq>,
    pub(crate) cassandra: Vec<Cassandra>,
    pub(crate) redis: RedisGroup,
}

impl Services {
    /// Starts all of them at the same time.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        thread::scope(|scope| {
            let rabbitmq = scope.spawn(|| RabbitMq::start_cluster(directory, 3));
            let cassandra = scope.spawn(|| Cassandra::start_cluster_behind_fronts(directory, 3));
            let redis = RedisGroup::start_behind_fronts(directory);
            let died = |_| anyhow!("a start panicked");
            Ok(Self {
                rabbitmq: rabbitmq.join().map_err(died)??,
                cassandra: cassandra.join().map_err(died)??,
                redis: redis?,
            })
        })
    }

    /// Waits until all nodes of Cassandra see all as up.
    pub(crate) fn wait_for_cassandra(&self) -> Result<()> {
        let end = Instant::now() + UP_WITHIN;
        let all_up = || -> Result<bool> {
            let mut up = 0;
            for node in &self.cassandra {
                up += node.nodetool(&["status"])?.matches("UN  ").count();
            }
            Ok(up == self.cassandra.len() * self.cassandra.len())
        };
        while !all_up()? {
            ensure!(
                Instant::now() < end,
                "the nodes of Cassandra do not see each other within {UP_WITHIN:?}"
            );
        }
        Ok(())
    }

    /// The broker, through its first node.
    pub(crate) fn broker(&self) -> &Broker {
        self.rabbitmq[0].broker()
    }
}
