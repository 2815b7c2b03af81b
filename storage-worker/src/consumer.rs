//! Deliveries: each is carried out, replied to, and only then acked, so that whatever dies on the way, somebody
//! carries it out again.

mod carrier;

use crate::{executor::Executor, patience::Patience, store::Store};
use bus::{Bus, ConsumeOptions, Consumer};
use carrier::Carrier;
pub(crate) use carrier::{DeliveryError, close};
use messages::time::MAX_CLOCK_SKEW;
use process::{Stopper, now};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::time::{interval, timeout};
use tokio_util::task::TaskTracker;

/// How often the store is probed while commands are consumed.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A probe without an answer after this has failed.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// So many probes fail one after the other before a worker stops consuming and leaves its shards to others.
const PROBES_TO_LEAVE: u32 = 3;

/// A worker at work.
pub struct Worker {
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    carrier: Arc<Carrier>,
    options: ConsumeOptions,
}

impl Worker {
    /// A worker that takes commands from `bus` and keeps records in `store`.
    pub fn new(bus: Arc<dyn Bus>, store: Arc<dyn Store>, options: ConsumeOptions) -> Self {
        let carrier = Arc::new(Carrier::new(Executor::new(Arc::clone(&store))));
        Self { bus, store, carrier, options }
    }

    /// Works until told to stop; then finishes what it has begun, for at most `grace`, and leaves the rest in the
    /// queues. While the store cannot serve, it leaves its shards to others.
    pub async fn run(&self, stopper: &Stopper, grace: Duration) {
        let tasks = TaskTracker::new();
        while !stopper.is_stopped() {
            tokio::select! {
                () = stopper.stopped() => break,
                () = self.store_serves() => {}
            }
            match self.bus.consume(self.options.clone()).await {
                Ok(consumer) => self.consume(consumer, stopper, &tasks).await,
                Err(error) => {
                    tracing::warn!(error.message = %error, "cannot consume yet");
                    tokio::select! {
                        () = stopper.stopped() => break,
                        () = tokio::time::sleep(PROBE_EVERY) => {}
                    }
                }
            }
        }
        tasks.close();
        if timeout(grace, tasks.wait()).await.is_err() {
            tracing::warn!(
                deliveries = tasks.len(),
                "stopping with unfinished deliveries; others will finish them"
            );
        }
    }

    async fn consume(&self, mut consumer: Consumer, stopper: &Stopper, tasks: &TaskTracker) {
        tracing::info!(event.action = "consuming", worker.name = %self.options.worker, "consuming");
        // One watch for all deliveries: their coming must not begin it anew.
        let mut store_fails = pin!(self.store_fails());
        loop {
            tokio::select! {
                () = stopper.stopped() => break,
                () = &mut store_fails => {
                    tracing::error!("the store cannot be used: leaving the queues to other workers until it can");
                    break;
                }
                delivery = consumer.deliveries.recv() => match delivery {
                    Some(delivery) => {
                        let carrier = Arc::clone(&self.carrier);
                        tasks.spawn(async move { carrier.carry_out(delivery).await });
                    }
                    None => break,
                },
            }
        }
        // Ends the consumption; what was delivered and not begun goes back to its queue.
        consumer.cancel.cancel();
        while consumer.deliveries.recv().await.is_some() {}
    }

    async fn store_serves(&self) {
        let mut patience = Patience::full();
        while let Err(failure) = self.probe().await {
            if let Err(failure) = patience.bear(failure).await {
                tracing::warn!(error.message = failure, "waiting for the store");
                patience = Patience::full();
            }
        }
    }

    async fn store_fails(&self) {
        let (mut every, mut failures) = (interval(PROBE_EVERY), 0);
        while failures < PROBES_TO_LEAVE {
            every.tick().await;
            failures = if self.probe().await.is_ok() { 0 } else { failures + 1 };
        }
    }

    async fn probe(&self) -> Result<(), String> {
        let probe = async {
            self.store.probe().await.map_err(|error| error.to_string())?;
            self.compare_clocks().await
        };
        timeout(PROBE_WITHIN, probe)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {PROBE_WITHIN:?}")))
    }

    /// A worker whose clock is off would judge deadlines wrongly, so it refuses to work. The store answered at some
    /// time between the asking and the answer: what lies outside of that, by more than clocks may differ, is an
    /// offset, whatever the latency.
    async fn compare_clocks(&self) -> Result<(), String> {
        let asked = now();
        let told = self.store.clock().await.map_err(|error| error.to_string())?;
        let answered = now();
        if told.after(MAX_CLOCK_SKEW) < asked {
            return Err(format!("this worker's clock is {:.1?} ahead of the store's", told.until(asked)));
        }
        if answered.after(MAX_CLOCK_SKEW) < told {
            return Err(format!("this worker's clock is {:.1?} behind the store's", answered.until(told)));
        }
        Ok(())
    }
}
