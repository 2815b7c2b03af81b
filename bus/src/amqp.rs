//! The bus over RabbitMQ.
//!
//! Layout, in reading order:
//! - [`config`]: which brokers, and by what name.
//! - [`link`]: one pair of connections to one broker: commands and replies leave by one, deliveries come by the
//!   other, because an alarm stops everything on a connection that publishes, acks included. [`heard`]: whether it answers;
//!   [`presence`]: whether its machine is there.
//! - [`supervisor`]: keeps a link up, for ever, over all the brokers. [`ways`]: by which link commands leave;
//!   [`majority`]: whether its broker has lost the others.
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
mod heard;
mod inbox;
mod link;
mod majority;
mod outbox;
mod presence;
mod publish;
mod publisher;
mod receiver;
mod rescue;
mod supervisor;
mod ways;

pub use config::{AmqpConfig, InvalidAmqpConfig};

use crate::{
    Bus, BusError, Clock, ConsumeOptions, Consumer, Deferral, Health,
    calls::{self, Attempt, Calls, Passage, Transport},
};
use async_trait::async_trait;
use futures_util::future::join_all;
use messages::{Envelope, Reply};
use outbox::Outbox;
use receiver::Returns;
use std::{sync::Arc, time::Duration};
use supervisor::{Links, Supervisor};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use ways::Ways;

/// A bus over RabbitMQ, for gates and workers alike: what a side does not use is not set up.
#[derive(Debug)]
pub struct AmqpBus {
    calls: Arc<Calls>,
    /// By which deliveries come, and replies leave.
    links: Links,
    ways: Ways,
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
        let taken = Arc::default();
        let supervisors = Supervisor::of(config, &calls, &tasks, &closing, &taken);
        let all: Vec<Links> = supervisors.iter().map(Supervisor::links).collect();
        let (links, ways) = (all[0].clone(), Ways::over(&all, taken, &tasks, &closing));
        let outbox = Outbox::open(&tasks, links.clone(), closing.clone());
        let returns = Returns::open(&tasks, closing.clone());
        let finished = closed.clone().drop_guard();
        tokio::spawn(async move {
            let _finished = finished;
            join_all(supervisors.into_iter().map(Supervisor::run)).await;
        });
        Self { calls, links, ways, outbox, returns, tasks, closing, closed }
    }
}

impl Drop for AmqpBus {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Transport for AmqpBus {
    fn send(&self, attempt: Attempt, by_another_way: bool) {
        self.ways.send(attempt, by_another_way);
    }

    fn passage(&self) -> watch::Receiver<Passage> {
        self.ways.passage()
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
        self.ways.health()
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
