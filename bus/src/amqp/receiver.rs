//! The way back of one delivery.

use super::{consumer::Hold, outbox::Outbox, rescue, supervisor::Links};
use crate::{BusError, Receiver};
use async_trait::async_trait;
use lapin::{
    Acker, Channel,
    options::{BasicAckOptions, BasicNackOptions},
};
use messages::Reply;
use std::fmt;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A message that is not settled yet. The channel it came by must stay open until then, and its last handle closes
/// it. Dropped unsettled, the message returns to its queue.
pub(super) struct Unsettled {
    way: Way,
    returns: Returns,
}

/// The way back to the queue. A driver that has just lost its connection may never say what became of an ack, so
/// nobody waits for that beyond the loss of the link.
#[derive(Clone)]
pub(super) struct Way {
    acker: Acker,
    _channel: Channel,
    _hold: Hold,
    lost: CancellationToken,
}

/// Returns to their queues what was dropped: a drop cannot wait.
#[derive(Clone, Debug)]
pub(super) struct Returns {
    dropped: mpsc::UnboundedSender<Way>,
}

/// The way back of one delivery.
#[derive(Debug)]
pub(super) struct AmqpReceiver {
    pub(super) message: Unsettled,
    pub(super) delivered: rescue::Delivered,
    pub(super) outbox: Outbox,
    pub(super) links: Links,
}

impl Way {
    /// Of a message that came by a channel of a link.
    pub(super) fn new(acker: Acker, channel: Channel, lost: CancellationToken, hold: Hold) -> Self {
        Self { acker, _channel: channel, _hold: hold, lost }
    }

    fn is_open(&self) -> bool {
        self.acker.usable() && !self.lost.is_cancelled()
    }

    async fn ack(&self) {
        let ack = self.acker.ack(BasicAckOptions::default());
        settled(self.lost.run_until_cancelled(ack).await);
    }

    async fn requeue(&self) {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        settled(self.lost.run_until_cancelled(self.acker.nack(options)).await);
    }
}

impl Unsettled {
    /// A message, and its way back.
    pub(super) fn new(way: Way, returns: Returns) -> Self {
        Self { way, returns }
    }

    /// Whether the connection that it came by still stands; otherwise it comes again, and settling it does nothing.
    pub(super) fn is_live(&self) -> bool {
        self.way.is_open()
    }

    /// It never comes again.
    pub(super) async fn ack(self) {
        self.way.ack().await;
    }

    /// It comes again.
    pub(super) async fn requeue(self) {
        self.way.requeue().await;
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if self.is_live() {
            let _ = self.returns.dropped.send(self.way.clone());
        }
    }
}

impl fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsettled").field("is_live", &self.is_live()).finish_non_exhaustive()
    }
}

impl Returns {
    /// Starts the task.
    pub(super) fn open(tasks: &TaskTracker, closing: CancellationToken) -> Self {
        let (sender, mut dropped) = mpsc::unbounded_channel::<Way>();
        tasks.spawn(async move {
            loop {
                let next = tokio::select! {
                    biased;
                    next = dropped.recv() => next,
                    () = closing.cancelled() => None,
                };
                let Some(way) = next else { return };
                way.requeue().await;
            }
        });
        Self { dropped: sender }
    }
}

#[async_trait]
impl Receiver for AmqpReceiver {
    async fn reply(&self, reply: Reply) -> Result<(), BusError> {
        match self.delivered.properties.reply_to() {
            Some(gate) => self.outbox.send(gate.clone(), &reply).await,
            None => Ok(()),
        }
    }

    fn is_live(&self) -> bool {
        self.message.is_live()
    }

    async fn ack(self: Box<Self>) -> Result<(), BusError> {
        self.message.ack().await;
        Ok(())
    }

    async fn requeue(self: Box<Self>) -> Result<(), BusError> {
        self.message.requeue().await;
        Ok(())
    }

    async fn bury(self: Box<Self>, error: String) -> Result<(), BusError> {
        let Self { message, delivered, links, .. } = *self;
        rescue::bury(delivered, rescue::Cause::Failed(error), message, links).await;
        Ok(())
    }
}

/// After a loss of the connection the broker delivers the message again whatever is said: no error.
fn settled(result: Option<lapin::Result<bool>>) {
    match result {
        Some(Ok(_)) => {}
        Some(Err(error)) => {
            tracing::debug!(error.message = %error, "a delivery was not settled: it will come again");
        }
        None => {
            tracing::debug!("a delivery was not settled before the connection was lost: it will come again");
        }
    }
}
