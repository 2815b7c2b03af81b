//! What a cluster stands on: a vhost and a keyspace of its own, and a Redis.

use super::{cql, service::unique};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};
use testbed::{Broker, QueueInfo};

const DEAD: &str = "penstock.dead";
/// How often the broker counts the messages of quorum queues: what was empty for longer is empty.
const COUNTED_EVERY: Duration = Duration::from_millis(1200);
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

    /// Waits until no queue holds a message, and asserts that there is no dead letter.
    pub(crate) fn assert_drained(&self) {
        let end = Instant::now() + DRAINED_WITHIN;
        let mut empty_since = None;
        loop {
            let queues = self.queues();
            assert!(queues.iter().any(|queue| queue.name == DEAD), "no queues: {queues:?}");
            let full: Vec<_> = queues.into_iter().filter(|queue| queue.messages > 0).collect();
            if full.is_empty() {
                let since = *empty_since.get_or_insert_with(Instant::now);
                if since.elapsed() > COUNTED_EVERY {
                    break;
                }
            } else {
                empty_since = None;
            }
            assert!(Instant::now() < end, "messages are left behind: {full:?}");
            thread::sleep(INTERVAL);
        }
        let letters = self.dead_letters();
        assert_eq!(letters, json!([]), "dead letters");
    }

    /// Looks into the queue itself, which is never out of date as counts are. They stay in it.
    fn dead_letters(&self) -> Value {
        let look = json!({"count": 10, "ackmode": "ack_requeue_true", "encoding": "auto"});
        self.broker.post(&format!("/api/queues/{}/{DEAD}/get", self.vhost), &look).unwrap()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // A service that a scenario has killed cannot be tidied up, and need not be.
        let _ = self.broker.delete_vhost(&self.vhost);
        let _ = cql::execute(&self.cassandra, &format!("DROP KEYSPACE IF EXISTS {}", self.keyspace));
    }
}
