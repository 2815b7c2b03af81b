//! Deliveries: each is carried out, replied to, and only then acked, so that whatever dies on the way, somebody
//! carries it out again.

use crate::{
    executor::{Executor, ExecutorError},
    patience::Patience,
    store::Store,
};
use bus::{Bus, BusError, ConsumeOptions, Consumer, Delivery};
use futures_util::future::join_all;
use messages::{
    CollectionName, Command, CommandId, Delivered, Envelope, Outcome, Principal, RecordId, Rejection, Reply,
    command::CloseOperation,
};
use process::{Stopper, now};
use std::{pin::pin, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::time::{interval, timeout};
use tokio_util::task::TaskTracker;

/// How often the store is probed while commands are consumed.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A probe without an answer after this has failed.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// How long a delivery that could not be finished is held before it goes back.
const RETURN_AFTER: Duration = Duration::from_millis(500);
/// So many probes fail one after the other before a worker stops consuming and leaves its shards to others.
const PROBES_TO_LEAVE: u32 = 3;

/// A worker at work.
pub struct Worker {
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    executor: Arc<Executor>,
    options: ConsumeOptions,
}

/// Why a delivery was not finished; it goes back to its queue.
#[derive(Debug, Error)]
enum DeliveryError {
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Worker {
    /// A worker that takes commands from `bus` and keeps records in `store`.
    pub fn new(bus: Arc<dyn Bus>, store: Arc<dyn Store>, options: ConsumeOptions) -> Self {
        let executor = Arc::new(Executor::new(Arc::clone(&store)));
        Self { bus, store, executor, options }
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
                    tracing::error!("the store does not answer: leaving the queues to other workers until it does");
                    break;
                }
                delivery = consumer.deliveries.recv() => match delivery {
                    Some(delivery) => {
                        let executor = Arc::clone(&self.executor);
                        tasks.spawn(async move { carry_out(&executor, delivery).await });
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
        match timeout(PROBE_WITHIN, self.store.probe()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {PROBE_WITHIN:?}")),
        }
    }
}

async fn carry_out(executor: &Executor, delivery: Delivery) {
    let Delivery { queue, returns, commands, receiver } = delivery;
    let finished = join_all(commands.into_iter().map(async |command| {
        let (id, outcome) = match command {
            Delivered::Command(envelope) => (envelope.id, execute(executor, *envelope).await?),
            Delivered::Unsupported { id, target, error } => {
                tracing::warn!(command.id = %id, error.message = error, "a command that this version does not know");
                (id, close_unsupported(executor, id, target).await?)
            }
        };
        receiver.reply(Reply { id, outcome }).await?;
        Ok::<(), DeliveryError>(())
    }));
    let unfinished = finished.await.into_iter().find_map(Result::err);
    let settled = match unfinished {
        None => receiver.ack().await,
        Some(error) => {
            let chain = format!("{:#}", anyhow::Error::new(error));
            tracing::error!(queue.name = %queue, delivery.returns = returns, error.message = chain, "delivery returned");
            // Returned at once, it would come back at once, and use up its returns while the store is away.
            tokio::time::sleep(RETURN_AFTER).await;
            receiver.requeue().await
        }
    };
    if let Err(error) = settled {
        tracing::warn!(queue.name = %queue, error.message = %error, "delivery not settled; it will come again");
    }
}

async fn execute(executor: &Executor, envelope: Envelope) -> Result<Outcome, ExecutorError> {
    let (id, trace) = (envelope.id, envelope.trace.clone());
    let began = std::time::Instant::now();
    let outcome = executor.execute(envelope).await?;
    tracing::debug!(
        command.id = %id,
        trace.parent = trace,
        event.duration = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX),
        event.outcome = if matches!(outcome, Outcome::Rejected(_)) { "failure" } else { "success" },
        "command carried out"
    );
    Ok(outcome)
}

/// A command that this version does not know is closed before it is refused, so that no newer worker carries out a
/// copy of it. If one has already, that is the answer.
async fn close_unsupported(
    executor: &Executor,
    operation: CommandId,
    target: Option<(CollectionName, RecordId)>,
) -> Result<Outcome, ExecutorError> {
    let Some((collection, record)) = target else { return Ok(Outcome::Rejected(Rejection::Unsupported)) };
    let close = CloseOperation { operation, collection, record, creates: false };
    let envelope = Envelope {
        id: operation,
        issued: now(),
        deadline: now(),
        principal: Principal::Service,
        trace: None,
        fingerprint: None,
        command: Command::CloseOperation(close),
    };
    Ok(match executor.execute(envelope).await? {
        Outcome::Rejected(Rejection::Expired) => Outcome::Rejected(Rejection::Unsupported),
        settled => settled,
    })
}
