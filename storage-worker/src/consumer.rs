//! Deliveries: each is carried out, replied to, and only then acked, so that whatever dies on the way, somebody
//! carries it out again.

use crate::{
    executor::{Executor, ExecutorError},
    reader::Answered,
    store::{Capacity, Store},
    vigil,
};
use bus::{Bus, BusError, ConsumeOptions, Consumer, Delivery, Lane};
use futures_util::future::join_all;
use messages::{
    CollectionName, Command, CommandId, Delivered, Envelope, Outcome, Principal, RecordId, Rejection, Reply,
    command::CloseOperation,
};
use process::{Stopper, now};
use std::{pin::pin, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{sync::watch, time::timeout};
use tokio_util::task::TaskTracker;

/// How often to try again where the bus does not let a worker consume.
const AGAIN_EVERY: Duration = Duration::from_secs(1);
/// How long a delivery that could not be finished is held before it goes back.
const RETURN_AFTER: Duration = Duration::from_millis(500);

/// A worker at work.
pub struct Worker {
    bus: Arc<dyn Bus>,
    store: Arc<dyn Store>,
    executor: Arc<Executor>,
    options: ConsumeOptions,
    capacity: watch::Sender<Option<Capacity>>,
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
        Self { bus, store, executor, options, capacity: watch::Sender::new(None) }
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
                deliveries = tasks.len(),
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
        loop {
            tokio::select! {
                () = &mut until => break,
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
}

async fn carry_out(executor: &Executor, delivery: Delivery) {
    let Delivery { queue, returns, commands, receiver } = delivery;
    let finished = join_all(commands.into_iter().map(async |command| {
        let (id, answered) = match command {
            Delivered::Command(envelope) => (envelope.id, execute(executor, *envelope).await?),
            Delivered::Unsupported { id, target, error } => {
                tracing::warn!(command.id = %id, error.message = error, "a command that this version does not know");
                (id, close_unsupported(executor, id, target).await?)
            }
        };
        let Answered { outcome, consistency } = answered;
        receiver.reply(Reply { id, outcome, consistency }).await?;
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

async fn execute(executor: &Executor, envelope: Envelope) -> Result<Answered, ExecutorError> {
    let (id, trace) = (envelope.id, envelope.trace.clone());
    let began = std::time::Instant::now();
    let answered = executor.execute(envelope).await?;
    tracing::debug!(
        command.id = %id,
        trace.parent = trace,
        event.duration = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX),
        event.outcome = if matches!(answered.outcome, Outcome::Rejected(_)) { "failure" } else { "success" },
        "command carried out"
    );
    Ok(answered)
}

/// A command that this version does not know is closed before it is refused, so that no newer worker carries out a
/// copy of it. If one has already, that is the answer.
async fn close_unsupported(
    executor: &Executor,
    operation: CommandId,
    target: Option<(CollectionName, RecordId)>,
) -> Result<Answered, ExecutorError> {
    let unsupported = || Answered::from(Outcome::Rejected(Rejection::Unsupported));
    let Some((collection, record)) = target else { return Ok(unsupported()) };
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
    let settled = executor.execute(envelope).await?;
    Ok(if settled.outcome == Outcome::Rejected(Rejection::Expired) { unsupported() } else { settled })
}
