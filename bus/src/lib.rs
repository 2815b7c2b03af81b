//! How commands reach workers and outcomes reach gates. Both ends of every wire stand here side by side: names
//! and arguments of queues in [`topology`], RabbitMQ in [`amqp`], the same rules within one process in [`local`].
//!
//! What every bus promises, held by one contract suite over both:
//! - A call returns the outcome of its command, or an error that says whether the command may still take effect.
//!   Nothing hangs past the command's deadline.
//! - A command is delivered at least once to some consumer of its queue, until it is acked or too late. What a
//!   consumer held when it went away is delivered again.
//! - A command is refused where nobody has consumed for some seconds; one that is to be kept for later is not.
//! - At most one consumer at a time is active on a write shard; reads go to all consumers.

pub mod amqp;
mod batch;
mod body;
mod calls;
pub mod local;
pub mod policies;
pub mod topology;
pub mod users;

use async_trait::async_trait;
use bytes::Bytes;
use messages::{Delivered, Envelope, Reply};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

pub use amqp::{AmqpBus, AmqpConfig};
pub use calls::Clock;
pub use local::LocalBus;
pub use topology::{Lane, Queue};

/// A way from gates to workers and back.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Sends a command to the queue that [`Queue::of`] names and waits for its reply, at most until its deadline.
    ///
    /// # Errors
    /// See [`BusError`]; [`BusError::not_executed`] tells whether the command can still take effect.
    async fn call(&self, envelope: Envelope) -> Result<Reply, BusError>;

    /// Sends a command and returns once it is kept until a worker can carry it out, or its reply if that comes soon.
    ///
    /// # Errors
    /// As for [`Bus::call`]: until it is known to be kept, nothing is promised.
    async fn defer(&self, envelope: Envelope, deferral: Deferral) -> Result<Option<Reply>, BusError>;

    /// Consumes all shards of some lanes on behalf of one worker, until the consumer is dropped or cancelled.
    ///
    /// # Errors
    /// When the bus cannot be reached. Later losses are mended silently: deliveries resume by themselves.
    async fn consume(&self, options: ConsumeOptions) -> Result<Consumer, BusError>;

    /// Whether commands can pass just now; changes as connections come and go.
    fn health(&self) -> watch::Receiver<Health>;

    /// How this process's clock compares with those of the workers that have replied to it.
    fn clock(&self) -> watch::Receiver<Clock>;

    /// How long a command sent now may have to wait for a worker, as far as the last replies tell.
    fn backlog(&self) -> Duration;

    /// Flushes what is on its way out, and disconnects.
    async fn close(&self);
}

/// Whether commands can pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// They can.
    Up,
    /// They cannot, and why.
    Down(String),
}

/// How a command is deferred.
#[derive(Clone, Copy, Debug)]
pub struct Deferral {
    /// How long it may take until the command is known to be kept.
    pub kept_within: Duration,
    /// How long to wait for its reply after that.
    pub wait: Duration,
}

/// What a worker wants to consume.
#[derive(Clone, Debug)]
pub struct ConsumeOptions {
    /// The worker's name: unique, and the same for as long as it runs. Decides its share of the shards.
    pub worker: String,
    /// From which lanes.
    pub lanes: Vec<Lane>,
    /// Deliveries of one queue that may be unacked at once.
    pub prefetch: u16,
}

/// Deliveries as they come. Dropping it cancels the consumption.
#[derive(Debug)]
pub struct Consumer {
    /// Deliveries of all the lanes asked for.
    pub deliveries: mpsc::Receiver<Delivery>,
    /// Sending (or dropping) cancels: no new delivery comes after those that are already in `deliveries`, and the
    /// channel then ends. What was delivered can still be replied to and settled.
    pub cancel: tokio_util::sync::CancellationToken,
}

/// Commands that arrived in one message.
#[derive(Debug)]
pub struct Delivery {
    /// Where from.
    pub queue: Queue,
    /// How often it was delivered before: 0 the first time.
    pub returns: u32,
    /// What it carries; nothing if a dead body cannot be read. In other lanes such a body never gets this far.
    pub commands: Vec<Delivered>,
    /// Why it is dead; none but in [`Lane::Dead`].
    pub death: Option<Death>,
    /// Replies to the gate, and the fate of the message.
    pub receiver: Box<dyn Receiver>,
}

/// Why a delivery is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// `expired`, `delivery_limit` or `maxlen` (RabbitMQ's words), `unreadable`, or `failed`: a worker gave it up.
    pub reason: String,
    /// The queue it died in.
    pub queue: String,
    /// How often it had come back by then.
    pub returns: u32,
    /// What went wrong last, if anybody was left to say it.
    pub error: Option<String>,
    /// All that it carried, as it was sent.
    pub body: Bytes,
}

impl Death {
    /// The reason of what nobody took in time, in RabbitMQ's words.
    pub const EXPIRED: &str = "expired";
}

/// The way back of one delivery. Dropping it unsettled returns the delivery to its queue.
#[async_trait]
pub trait Receiver: Send + Sync + std::fmt::Debug {
    /// Sends the reply of one command to the gate that asked, and waits until it is on its way. A gate that is gone
    /// is no error: nobody waits for the reply any more.
    async fn reply(&self, reply: Reply) -> Result<(), BusError>;

    /// Whether the delivery is still this worker's; otherwise it comes again, to this one or another.
    fn is_live(&self) -> bool;

    /// Done: the delivery never comes again.
    async fn ack(self: Box<Self>) -> Result<(), BusError>;

    /// Returns the delivery to its queue, for this worker or another.
    async fn requeue(self: Box<Self>) -> Result<(), BusError>;

    /// Gives the delivery up: it goes to [`Lane::Dead`], with the error that says why.
    async fn bury(self: Box<Self>, error: String) -> Result<(), BusError>;
}

/// Why a call has no outcome, or a bus cannot be used.
#[derive(Debug, Error)]
pub enum BusError {
    /// No connection: the command was not sent.
    #[error("no connection to the message broker: {0}")]
    Unreachable(String),
    /// The broker has no such queue, or nothing leads to it: the command was not kept.
    #[error("the message broker has no queue {0}")]
    Unroutable(String),
    /// The broker refused the command: the queue is full, or an alarm blocks publishers.
    #[error("the message broker refused the command: {0}")]
    Refused(String),
    /// No worker has taken commands for so long: it was not sent, as it would only wait.
    #[error("no storage worker has consumed for {0:.0?}")]
    Unattended(Duration),
    /// The command was sent, and no outcome came before its deadline.
    #[error("no outcome within {0:?}")]
    TimedOut(Duration),
    /// A failure on the way that leaves open whether the command was kept.
    #[error("the message broker failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The bus is closing.
    #[error("shutting down")]
    Closed,
}

impl BusError {
    /// Whether it is certain that the command has no effect now or later.
    pub fn not_executed(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Unroutable(_)
            | Self::Refused(_)
            | Self::Unattended(_)
            | Self::Closed => true,
            Self::TimedOut(_) | Self::Broken(_) => false,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Unroutable(_) | Self::Closed)
    }
}
