//! What a cluster stands on: a vhost and a keyspace of its own, and a Redis.

use super::{cql, service::unique};
use std::{
    thread,
    time::{Duration, Instant},
};
use testbed::{Broker, QueueInfo};

/// The broker counts the messages of quorum queues anew every second, or every five.
const DRAINED_WITHIN: Duration = Duration::from_secs(20);
/// A worker that went silent is given up after two heartbeats; then the broker publishes its counts.
const CONSUMERS_WITHIN: Duration = Duration::from_secs(40);
const INTERVAL: Duration = Duration::from_millis(50);

/// A vhost, a keyspace and a Redis. Dropping it removes the first two; sessions time out by themselves.
pub(crate) struct Ground {
    pub(crate) broker: Broker,
    pub(crate) vhost: String,
    pub(crate) amqp_url: String,
    pub(crate) cassandra: Vec<String>,
    pub(crate) keyspace: String,
    pub(crate) redis_url: String,
}

impl Ground {
    /// On the services that all tests share.
    pub(crate) fn shared() -> Self {
        Self::on(testbed::amqp(), testbed::cassandra(), testbed::redis())
    }

    /// On services of one's own.
    pub(crate) fn on(broker: Broker, cassandra: Vec<String>, redis_url: String) -> Self {
        let vhost = unique("scenarios");
        let keyspace = vhost.replace('-', "_");
        let amqp_url = broker.create_vhost(&vhost).unwrap();
        Self { broker, vhost, amqp_url, cassandra, keyspace, redis_url }
    }

    pub(crate) fn queues(&self) -> Vec<QueueInfo> {
        self.broker.queues(&self.vhost).unwrap()
    }

    /// Waits until each write shard has so many consumers.
    pub(crate) async fn wait_for_consumers(&self, count: u64) {
        let end = Instant::now() + CONSUMERS_WITHIN;
        loop {
            let queues = self.queues();
            let mut writes = queues.iter().filter(|queue| queue.name.starts_with("penstock.write."));
            if writes.all(|queue| queue.consumers == count) {
                return;
            }
            assert!(Instant::now() < end, "not {count} consumers each: {queues:?}");
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Waits until no queue holds a message. A dead letter never goes, so it fails this.
    pub(crate) fn assert_drained(&self) {
        let end = Instant::now() + DRAINED_WITHIN;
        loop {
            let queues = self.queues();
            assert!(queues.iter().any(|queue| queue.name == "penstock.dead"), "no queues: {queues:?}");
            let full: Vec<_> = queues.into_iter().filter(|queue| queue.messages > 0).collect();
            if full.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "messages are left behind: {full:?}");
            thread::sleep(INTERVAL);
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // A service that a scenario has killed cannot be tidied up, and need not be.
        let _ = self.broker.delete_vhost(&self.vhost);
        let _ = cql::execute(&self.cassandra, &format!("DROP KEYSPACE IF EXISTS {}", self.keyspace));
    }
}
