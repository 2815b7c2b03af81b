//! The way back of one delivery.

use super::{outbox::Outbox, rescue, supervisor::Links};
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
    acker: Acker,
    channel: Channel,
    returns: Returns,
}

/// Returns to their queues what was dropped: a drop cannot wait.
#[derive(Clone, Debug)]
pub(super) struct Returns {
    dropped: mpsc::UnboundedSender<(Acker, Channel)>,
}

/// The way back of one delivery.
#[derive(Debug)]
pub(super) struct AmqpReceiver {
    pub(super) message: Unsettled,
    pub(super) delivered: rescue::Delivered,
    pub(super) outbox: Outbox,
    pub(super) links: Links,
}

impl Unsettled {
    /// A message that came by a channel.
    pub(super) fn new(acker: Acker, channel: Channel, returns: Returns) -> Self {
        Self { acker, channel, returns }
    }

    /// Whether the connection that it came by still stands; otherwise it comes again, and settling it does nothing.
    pub(super) fn is_live(&self) -> bool {
        self.acker.usable()
    }

    /// It never comes again.
    pub(super) async fn ack(self) {
        settled(self.acker.ack(BasicAckOptions::default()).await);
    }

    /// It comes again.
    pub(super) async fn requeue(self) {
        settled(requeue(&self.acker).await);
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if self.acker.usable() {
            let _ = self.returns.dropped.send((self.acker.clone(), self.channel.clone()));
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
        let (sender, mut dropped) = mpsc::unbounded_channel::<(Acker, Channel)>();
        tasks.spawn(async move {
            loop {
                let next = tokio::select! {
                    biased;
                    next = dropped.recv() => next,
                    () = closing.cancelled() => None,
                };
                let Some((acker, _channel)) = next else { return };
                // If this fails, the connection is gone, and with it the message is back in its queue.
                let _ = requeue(&acker).await;
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

async fn requeue(acker: &Acker) -> lapin::Result<bool> {
    acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await
}

/// After a loss of the connection the broker delivers the message again whatever is said: no error.
fn settled(result: lapin::Result<bool>) {
    if let Err(error) = result {
        tracing::debug!(error.message = %error, "a delivery was not settled: it will come again");
    }
}
