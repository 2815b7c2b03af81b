//! What a test stands on.

use bus::{AmqpBus, AmqpConfig, Bus, ConsumeOptions, Consumer, Delivery, Health, Lane, LocalBus, Queue};
use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};
use testbed::Broker;
use uuid::Uuid;

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(90);

/// Which bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Within the process.
    Local,
    /// Over RabbitMQ.
    Amqp,
}

/// A gate, two workers, and what is between them.
pub(crate) struct Ground {
    /// The gate's end.
    pub(crate) gate: Arc<dyn Bus>,
    /// The workers' ends.
    pub(crate) workers: [Arc<dyn Bus>; 2],
    vhost: Option<Vhost>,
}

/// A vhost of the shared broker for one test. It goes when dropped.
pub(crate) struct Vhost {
    broker: Broker,
    pub(crate) name: String,
    /// Its AMQP URL.
    pub(crate) url: String,
}

impl Ground {
    /// A bus with the usual policies.
    pub(crate) async fn open(kind: Kind) -> Self {
        match kind {
            Kind::Local => Self::around(Arc::new(LocalBus::new())),
            Kind::Amqp => Self::over(Vhost::create().await).await,
        }
    }

    /// The same kind of bus, with write queues that hold next to nothing.
    pub(crate) async fn with_short_queues(&self) -> Self {
        let Some(_) = self.vhost else { return Self::around(Arc::new(LocalBus::with_max_length(3))) };
        let vhost = Vhost::create().await;
        vhost.shorten_write_queues().await;
        Self::over(vhost).await
    }

    fn around(bus: Arc<LocalBus>) -> Self {
        Self { gate: bus.clone(), workers: [bus.clone(), bus], vhost: None }
    }

    async fn over(vhost: Vhost) -> Self {
        let gate = connect(&vhost.url, "gate").await;
        let workers = [connect(&vhost.url, "worker-1").await, connect(&vhost.url, "worker-2").await];
        Self { gate, workers, vhost: Some(vhost) }
    }

    /// Consumes as the first or the second worker.
    pub(crate) async fn consume(&self, worker: usize, lanes: &[Lane]) -> Consumer {
        self.consume_up_to(worker, lanes, 10).await
    }

    /// The same, with at most so many unacked of each queue.
    pub(crate) async fn consume_up_to(&self, worker: usize, lanes: &[Lane], prefetch: u16) -> Consumer {
        within(consume(&*self.workers[worker], &format!("worker-{worker}"), lanes, prefetch)).await
    }

    /// Nothing is left behind: no message in any queue, no dead letter.
    pub(crate) async fn end(self) {
        for bus in [&self.gate, &self.workers[0], &self.workers[1]] {
            within(bus.close()).await;
        }
        if let Some(vhost) = self.vhost {
            vhost.wait_until_empty().await;
        }
    }
}

impl Vhost {
    /// A fresh one.
    pub(crate) async fn create() -> Self {
        blocking(|| {
            let (broker, name) = (testbed::amqp(), format!("bus-{}", Uuid::now_v7()));
            let url = broker.create_vhost(&name).unwrap();
            Self { broker, name, url }
        })
        .await
    }

    pub(crate) async fn shorten_write_queues(&self) {
        let (broker, path) = (self.broker.clone(), format!("/api/policies/{}/penstock.write", self.name));
        let definition = serde_json::json!({"max-length": 3, "overflow": "reject-publish"});
        let policy = serde_json::json!({
            "pattern": "^penstock\\.write\\.", "apply-to": "quorum_queues", "priority": 20,
            "definition": definition,
        });
        blocking(move || broker.put(&path, &policy).unwrap()).await;
    }

    /// The names of its queues. Blocks.
    pub(crate) fn queues(&self) -> Vec<String> {
        self.broker.queues(&self.name).unwrap().into_iter().map(|queue| queue.name).collect()
    }

    /// The names of queues that somebody consumes. Blocks.
    pub(crate) fn consumed(&self) -> BTreeSet<String> {
        let queues = self.broker.queues(&self.name).unwrap();
        queues.into_iter().filter(|queue| queue.consumers > 0).map(|queue| queue.name).collect()
    }

    /// The tags of a queue's consumers, which begin with the worker's name.
    pub(crate) async fn consumers_of(&self, queue: Queue) -> BTreeSet<String> {
        let (broker, path) = (self.broker.clone(), format!("/api/consumers/{}", self.name));
        let listed = blocking(move || broker.get(&path).unwrap()).await;
        let of_queue =
            listed.as_array().unwrap().iter().filter(|one| one["queue"]["name"] == queue.to_string());
        of_queue.map(|one| one["consumer_tag"].as_str().unwrap().to_owned()).collect()
    }

    async fn wait_until_empty(&self) {
        let (broker, name) = (self.broker.clone(), self.name.clone());
        within(blocking(move || {
            // The broker counts with a delay, so it is asked until it has counted.
            while broker.queues(&name).unwrap().iter().any(|queue| queue.messages > 0) {}
        }))
        .await;
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let gone = self.broker.delete_vhost(&self.name);
        assert!(gone.is_ok() || std::thread::panicking(), "{gone:?}");
    }
}

/// A connected bus.
pub(crate) async fn connect(url: &str, name: &str) -> Arc<dyn Bus> {
    let bus = Arc::new(AmqpBus::connect(AmqpConfig::new([url], name).unwrap()));
    up(&*bus).await;
    bus
}

/// Waits until commands can pass.
pub(crate) async fn up(bus: &dyn Bus) {
    let mut health = bus.health();
    let up = tokio::time::timeout(PATIENCE, health.wait_for(|health| *health == Health::Up)).await.is_ok();
    assert!(up, "{:?}", *bus.health().borrow());
}

/// Waits until they cannot, and says why.
pub(crate) async fn down(bus: &dyn Bus, because: &str) -> String {
    let mut health = bus.health();
    let is_meant = |health: &Health| matches!(health, Health::Down(reason) if reason.contains(because));
    match within(health.wait_for(is_meant)).await.unwrap().clone() {
        Health::Down(reason) => reason,
        Health::Up => unreachable!(),
    }
}

/// Consumes on behalf of a worker.
pub(crate) async fn consume(bus: &dyn Bus, worker: &str, lanes: &[Lane], prefetch: u16) -> Consumer {
    let options = ConsumeOptions { worker: worker.to_owned(), lanes: lanes.to_vec(), prefetch };
    bus.consume(options).await.unwrap()
}

/// The next delivery.
pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    within(consumer.deliveries.recv()).await.expect("a delivery")
}

/// Fails the test if this takes too long.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("this took too long")
}

/// Does something that blocks.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
