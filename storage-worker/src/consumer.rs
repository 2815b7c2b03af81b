//! Deliveries: each is carried out, replied to, and only then acked, so that whatever dies on the way, somebody
//! carries it out again.

mod carrier;

use crate::{
    executor::Executor,
    store::{Capacity, Store},
    vigil,
};
use bus::{Bus, ConsumeOptions, Consumer, Lane};
use carrier::Carrier;
pub(crate) use carrier::{DeliveryError, close};
use futures_util::future::join_all;
use process::Stopper;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often to try again where the bus does not let a worker consume.
const AGAIN_EVERY: Duration = Duration::from_secs(1);

/// A worker at work.
pub struct Worker {
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    carrier: Arc<Carrier>,
    options: ConsumeOptions,
    capacity: watch::Sender<Option<Capacity>>,
}

impl Worker {
    /// A worker that takes commands from `bus` and keeps records in `store`.
    pub fn new(bus: Arc<dyn Bus>, store: Arc<dyn Store>, options: ConsumeOptions) -> Self {
        let carrier = Arc::new(Carrier::new(Executor::new(Arc::clone(&store))));
        Self { bus, store, carrier, options, capacity: watch::Sender::new(None) }
    }

    /// Works until told to stop; then finishes what it has begun, for at most `grace`, and leaves the rest in the
    /// queues. It consumes only the lanes whose commands the store can serve, and leaves the others to other workers.
    pub async fn run(&self, stopper: &Stopper, grace: Duration) {
        let tasks = TaskTracker::new();
        let lanes = self.options.lanes.iter().map(|lane| self.serve(*lane, stopper, &tasks));
        tokio::select! {
            _ = join_all(lanes) => {}
            () = vigil::keep(&*self.store, &self.capacity) => {}
        }
        tasks.close();
        if timeout(grace, tasks.wait()).await.is_err() {
            tracing::warn!(
                delivery.count = tasks.len(),
                "stopping with unfinished deliveries; others will finish them"
            );
        }
    }

    /// What the store can do, as far as this worker has seen; `None`: nothing.
    pub fn capacity(&self) -> watch::Receiver<Option<Capacity>> {
        self.capacity.subscribe()
    }

    /// Consumes one lane whenever the store can serve its commands, until told to stop.
    async fn serve(&self, lane: Lane, stopper: &Stopper, tasks: &TaskTracker) {
        let needed = Some(vigil::needed_by(lane));
        let mut capacity = self.capacity.subscribe();
        while !stopper.is_stopped() {
            tokio::select! {
                () = stopper.stopped() => break,
                _ = capacity.wait_for(|capacity| *capacity >= needed) => {}
            }
            match self.bus.consume(ConsumeOptions { lanes: vec![lane], ..self.options.clone() }).await {
                Ok(consumer) => {
                    tracing::info!(
                        event.action = "consuming",
                        worker.name = %self.options.worker,
                        queue.lane = lane.name(),
                        "consuming"
                    );
                    let until = async {
                        tokio::select! {
                            () = stopper.stopped() => {}
                            _ = capacity.wait_for(|capacity| *capacity < needed) => {}
                        }
                    };
                    self.consume(consumer, until, tasks).await;
                }
                Err(error) => {
                    tracing::warn!(error.message = %error, "cannot consume yet");
                    tokio::select! {
                        () = stopper.stopped() => break,
                        () = tokio::time::sleep(AGAIN_EVERY) => {}
                    }
                }
            }
        }
    }

    async fn consume(&self, mut consumer: Consumer, until: impl Future<Output = ()>, tasks: &TaskTracker) {
        // One watch for all deliveries: their coming must not begin it anew.
        let mut until = pin!(until);
        // Whoever consumes no more gives back what it cannot finish.
        let leaving = CancellationToken::new();
        let _leaves = leaving.clone().drop_guard();
        loop {
            tokio::select! {
                () = &mut until => break,
                delivery = consumer.deliveries.recv() => match delivery {
                    Some(delivery) => {
                        let (carrier, leaving) = (Arc::clone(&self.carrier), leaving.clone());
                        tasks.spawn(async move { carrier.carry_out(delivery, &leaving).await });
                    }
                    None => break,
                },
            }
        }
        // Ends the consumption; what was delivered and not begun goes back to its queue.
        consumer.cancel.cancel();
        while consumer.deliveries.recv().await.is_some() {}
    }
}
