//! The bus over RabbitMQ.
//!
//! Layout, in reading order:
//! - [`config`]: which brokers, and by what name.
//! - [`link`]: one pair of connections to one broker: commands and replies leave by one, deliveries come by the
//!   other, because an alarm stops everything on a connection that publishes, acks included.
//! - [`supervisor`]: keeps a link up, for ever, over all the brokers.
//! - [`publish`]: one message, and what can become of it.
//! - [`publisher`]: one task for each shard that sends commands.
//! - [`inbox`]: the queue that brings a gate its outcomes. [`attendance`]: whether anybody takes its commands.
//! - [`consumer`], [`receiver`]: deliveries of a worker, and their way back.
//! - [`outbox`]: replies of a worker, gate by gate.
//! - [`rescue`], [`death`]: what to do with a delivery that cannot be handed out as it is, and why one is dead.

mod attendance;
mod config;
mod consumer;
mod death;
mod inbox;
mod link;
mod outbox;
mod publish;
mod publisher;
mod receiver;
mod rescue;
mod supervisor;

pub use config::{AmqpConfig, InvalidAmqpConfig};

use crate::{
    Bus, BusError, Clock, ConsumeOptions, Consumer, Deferral, Health, Lane, Queue,
    calls::{self, Attempt, Calls, Passage, Transport},
};
use async_trait::async_trait;
use messages::{Envelope, Reply};
use outbox::Outbox;
use receiver::Returns;
use std::{collections::HashMap, sync::Arc, time::Duration};
use supervisor::Links;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A bus over RabbitMQ, for gates and workers alike: what a side does not use is not set up.
#[derive(Debug)]
pub struct AmqpBus {
    calls: Arc<Calls>,
    links: Links,
    publishers: HashMap<Queue, mpsc::UnboundedSender<Attempt>>,
    outbox: Outbox,
    returns: Returns,
    /// Tasks that have something to finish when the bus closes.
    tasks: TaskTracker,
    closing: CancellationToken,
    closed: CancellationToken,
}

impl AmqpBus {
    /// Begins to connect, and goes on for ever; [`Bus::health`] says how it goes. To be called within a Tokio
    /// runtime.
    pub fn connect(config: AmqpConfig) -> Self {
        let (tasks, closing, closed) =
            (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let calls = Arc::new(Calls::default());
        let links = Links::new();
        let publish = |queue| {
            let (sender, attempts) = mpsc::unbounded_channel();
            tasks.spawn(publisher::run(queue, attempts, links.clone(), closing.clone()));
            (queue, sender)
        };
        let publishers = Lane::OF_GATES.into_iter().flat_map(Lane::queues).map(publish).collect();
        let outbox = Outbox::open(&tasks, links.clone(), closing.clone());
        let returns = Returns::open(&tasks, closing.clone());
        let supervisor = supervisor::Supervisor {
            config,
            calls: Arc::clone(&calls),
            links: links.clone(),
            tasks: tasks.clone(),
            closing: closing.clone(),
        };
        let finished = closed.clone().drop_guard();
        tokio::spawn(async move {
            let _finished = finished;
            supervisor.run().await;
        });
        Self { calls, links, publishers, outbox, returns, tasks, closing, closed }
    }
}

impl Drop for AmqpBus {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Transport for AmqpBus {
    fn send(&self, attempt: Attempt) {
        // Every queue that commands go to has a publisher. One that has closed drops the attempt; its call ends with the bus.
        if let Some(publisher) = self.publishers.get(&attempt.queue) {
            let _ = publisher.send(attempt);
        }
    }

    fn passage(&self) -> watch::Receiver<Passage> {
        self.links.passage()
    }
}

#[async_trait]
impl Bus for AmqpBus {
    async fn call(&self, envelope: Envelope) -> Result<Reply, BusError> {
        calls::call(&self.calls, self, envelope).await
    }

    async fn defer(&self, envelope: Envelope, deferral: Deferral) -> Result<Option<Reply>, BusError> {
        calls::defer(&self.calls, self, envelope, deferral).await
    }

    async fn consume(&self, options: ConsumeOptions) -> Result<Consumer, BusError> {
        let wires = consumer::Wires {
            links: self.links.clone(),
            outbox: self.outbox.clone(),
            returns: self.returns.clone(),
            closing: self.closing.clone(),
        };
        consumer::start(&options, &wires, &self.tasks).await
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.links.health()
    }

    fn clock(&self) -> watch::Receiver<Clock> {
        self.calls.clock()
    }

    fn backlog(&self) -> Duration {
        self.calls.backlog()
    }

    async fn close(&self) {
        self.closing.cancel();
        self.closed.cancelled().await;
    }
}
