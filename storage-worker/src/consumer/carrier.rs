//! One delivery: each of its commands is carried out and replied to; only then it is acked.

mod places;

use self::places::Places;
use crate::{
    executor::{Executor, ExecutorError},
    reader::Answered,
    store::StoreError,
    undertaker,
};
use bus::{BusError, Delivery, Lane, Queue, topology::SPLIT_AFTER_RETURNS};
use futures_util::future::join_all;
use messages::{
    Closing, Command, Delivered, Envelope, Handling, OperationKey, Outcome, Principal, RecordId, Rejection,
    Reply, Timing, operation::CloseOperation,
};
use process::now;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use thiserror::Error;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long a delivery that could not be finished is held before it goes back, and a command before it is tried again.
const RETURN_AFTER: Duration = Duration::from_millis(500);
/// How long a deferred change is tried while the store lets it down; then it goes back. The broker counts all returns alike and
/// gives up what came back too often: so a change bears an outage of hours, in which only its bucket fails. Less than the half
/// hour in which RabbitMQ wants an ack. What a client waits for goes back at once, for its time in the queue to run out.
const HELD_FOR: Duration = Duration::from_secs(20 * 60);
/// In this time those that may have killed a worker are brought into another order.
const SHUFFLED_WITHIN: Duration = Duration::from_millis(300);
/// A command that failed for a reason of its own, and came back so often, is given up.
const GIVE_UP_AFTER_RETURNS: u32 = 5;

/// Carries out deliveries.
pub(super) struct Carrier {
    executor: Arc<Executor>,
    /// What has come back several times may be what kills workers: that goes one at a time, each time in another order, so
    /// that of what only stands beside the guilty one half gets through each time.
    suspects: Semaphore,
    places: Places,
}

/// Why a delivery was not finished.
#[derive(Debug, Error)]
pub(crate) enum DeliveryError {
    /// A command of it has no outcome.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// Whoever waits could not be told.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl DeliveryError {
    /// Whether it is the command's own fault, so that another try may end no better.
    fn is_its_own(&self) -> bool {
        let store = match self {
            Self::Executor(ExecutorError::Store(error)) => error,
            Self::Executor(ExecutorError::Group(error)) => &**error,
            Self::Executor(ExecutorError::Died(_)) => return true,
            Self::Bus(_) => return false,
        };
        matches!(store, StoreError::Invalid(_) | StoreError::Broken(_))
    }
}

impl Carrier {
    pub(super) fn new(executor: Executor) -> Self {
        Self { executor: Arc::new(executor), suspects: Semaphore::new(1), places: Places::default() }
    }

    /// `leaving`: the worker consumes the queue no more, so others may have what it cannot finish.
    pub(super) async fn carry_out(&self, mut delivery: Delivery, leaving: &CancellationToken) {
        let (queue, returns) = (delivery.queue, delivery.returns);
        let commands = std::mem::take(&mut delivery.commands);
        let count = commands.len();
        let unfinished = if queue.lane == Lane::Dead {
            let _alone = self.suspect(returns).await;
            undertaker::settle(&self.executor, &delivery, commands).await.err()
        } else {
            self.carry_out_all(&delivery, commands, leaving).await
        };
        failpoint::die_at("die-before-ack");
        let settled = match unfinished {
            None => delivery.receiver.ack().await,
            Some(error) => {
                let its_own = error.is_its_own();
                let chain = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(queue.name = %queue, delivery.returns = returns, error.message = chain, "delivery returned");
                // Returned at once, it would come back at once, and use up its returns while the store is away.
                tokio::time::sleep(RETURN_AFTER).await;
                if its_own && count == 1 && returns >= GIVE_UP_AFTER_RETURNS && queue.lane != Lane::Dead {
                    delivery.receiver.bury(chain).await
                } else {
                    delivery.receiver.requeue().await
                }
            }
        };
        if let Err(error) = settled {
            tracing::warn!(queue.name = %queue, error.message = %error, "delivery not settled; it will come again");
        }
    }

    /// All at once, each for itself; why one of them is not finished, if one is not.
    async fn carry_out_all(
        &self,
        delivery: &Delivery,
        commands: Vec<Delivered>,
        leaving: &CancellationToken,
    ) -> Option<DeliveryError> {
        let finished = join_all(commands.into_iter().map(async |command| {
            // Until the broker has the reply.
            let mut held = None;
            let reply = match command {
                Delivered::Command(envelope) => {
                    let Some(place) = self.places.enter(&envelope).await else {
                        let (id, name) = (envelope.id, envelope.command.name());
                        tracing::info!(
                            event.action = "command",
                            event.outcome = "failure",
                            queue.name = %delivery.queue,
                            command.id = %id,
                            command.name = name,
                            trace.id = envelope.trace_id(),
                            "{name}: there was no room for what it reads before nobody waited any more"
                        );
                        delivery.receiver.reply(Reply::of(id, Outcome::Rejected(Rejection::Expired))).await?;
                        return Ok(());
                    };
                    let attempt = || execute(&self.executor, delivery.queue, &envelope);
                    let reply = self.insist(delivery, leaving, attempt).await?;
                    self.places.saw(&envelope, &reply.outcome);
                    held = place;
                    reply
                }
                Delivered::Unsupported { id, operation, error } => {
                    tracing::warn!(command.id = %id, error.message = error, "a command that this version does not know");
                    // What only reads can be read again.
                    let operation = operation.filter(|_| delivery.queue.lane != Lane::Read);
                    let attempt = || close_unsupported(&self.executor, operation.clone());
                    Reply::of(id, self.insist(delivery, leaving, attempt).await?)
                }
            };
            delivery.receiver.reply(reply).await?;
            drop(held);
            failpoint::die_at("die-after-reply");
            Ok::<(), DeliveryError>(())
        }));
        finished.await.into_iter().find_map(Result::err)
    }

    /// A turn among what has come back often, where that is so. They come in the order in which they returned, and the guilty one
    /// would be the first again.
    async fn suspect(&self, returns: u32) -> Option<SemaphorePermit<'_>> {
        if returns < SPLIT_AFTER_RETURNS {
            return None;
        }
        tokio::time::sleep(rand::random_range(Duration::ZERO..SHUFFLED_WITHIN)).await;
        self.suspects.acquire().await.ok()
    }

    /// Carries out one command; a deferred one again and again while it is the store's fault that it fails.
    async fn insist<T, F>(
        &self,
        delivery: &Delivery,
        leaving: &CancellationToken,
        attempt: impl Fn() -> F,
    ) -> Result<T, DeliveryError>
    where
        F: Future<Output = Result<T, ExecutorError>>,
    {
        let began = Instant::now();
        loop {
            let alone = self.suspect(delivery.returns).await;
            let failed = match attempt().await {
                Ok(done) => return Ok(done),
                Err(failure) => DeliveryError::from(failure),
            };
            drop(alone);
            let held = delivery.queue.lane == Lane::Deferred && began.elapsed() < HELD_FOR;
            let ours = delivery.receiver.is_live() && !failed.is_its_own();
            if !(held && ours) || timeout(RETURN_AFTER, leaving.cancelled()).await.is_ok() {
                return Err(failed);
            }
        }
    }
}

async fn execute(executor: &Executor, queue: Queue, envelope: &Envelope) -> Result<Reply, ExecutorError> {
    let deadly = |record: RecordId| failpoint::says("die-on-record", record.as_str());
    if !envelope.command.is_read() && envelope.record().is_some_and(deadly) {
        std::process::abort();
    }
    let (id, trace) = (envelope.id, envelope.trace_id().map(str::to_owned));
    let (name, collection) = (envelope.command.name(), envelope.command.collection().clone());
    let (began, queued) = (Instant::now(), envelope.issued.until(now()));
    let executed = executor.execute(envelope).await;
    let worked = began.elapsed();
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    // One line a command, and for each time it is tried, with nothing of what it carries.
    macro_rules! line {
        ($level:ident, $outcome:expr, $($more:tt)*) => {
            tracing::$level!(
                event.action = "command",
                event.outcome = $outcome,
                event.duration = nanos(worked),
                queue.duration = nanos(queued),
                queue.name = %queue,
                queue.lane = queue.lane.name(),
                command.id = %id,
                command.name = name,
                collection.name = collection.as_str(),
                trace.id = trace,
                $($more)*
            )
        };
    }
    let Answered { outcome, consistency } = match executed {
        Ok(answered) => answered,
        Err(error) => {
            line!(warn, "unknown", error.message = %error, "{name} has no outcome yet");
            return Err(error);
        }
    };
    let verdict = if matches!(outcome, Outcome::Rejected(_)) { "failure" } else { "success" };
    line!(info, verdict, command.outcome = outcome.name(), "{name}: {}", outcome.name());
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let timing = Timing { done: now(), queued: micros(queued), worked: micros(worked) };
    Ok(Reply { id, outcome, consistency, timing: Some(timing) })
}

/// A command that this version does not know is closed before it is refused, so that no newer worker carries out a
/// copy of it. If one has already, that is the answer.
async fn close_unsupported(
    executor: &Executor,
    operation: Option<OperationKey>,
) -> Result<Outcome, ExecutorError> {
    let Some(operation) = operation else { return Ok(Outcome::Rejected(Rejection::Unsupported)) };
    Ok(match close(executor, operation, Closing::Expired).await? {
        Outcome::Rejected(Rejection::Expired) => Outcome::Rejected(Rejection::Unsupported),
        settled => settled,
    })
}

/// Closes an operation, or tells what became of it.
pub(crate) async fn close(
    executor: &Executor,
    operation: OperationKey,
    closing: Closing,
) -> Result<Outcome, ExecutorError> {
    let envelope = Envelope {
        id: operation.id,
        issued: now(),
        deadline: now(),
        principal: Principal::Service,
        trace: None,
        fingerprint: None,
        handling: Handling::Direct,
        command: Command::CloseOperation(CloseOperation { operation, closing }),
    };
    Ok(executor.execute(&envelope).await?.outcome)
}
