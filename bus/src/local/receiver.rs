//! The way back of one delivery within the process.

use super::queue::{LocalQueue, Message};
use crate::{BusError, Receiver};
use async_trait::async_trait;
use messages::{Reply, delivery};
use std::sync::Arc;

/// Returns its message to the queue when dropped unsettled.
#[derive(Debug)]
pub(super) struct LocalReceiver {
    queue: Arc<LocalQueue>,
    seat: u64,
    message: Option<Message>,
}

impl LocalReceiver {
    /// Of a message that a consumer gets.
    pub(super) fn new(queue: Arc<LocalQueue>, seat: u64, message: Message) -> Self {
        Self { queue, seat, message: Some(message) }
    }
}

#[async_trait]
impl Receiver for LocalReceiver {
    async fn reply(&self, reply: Reply) -> Result<(), BusError> {
        let part = delivery::encode_reply(&reply).map_err(|error| BusError::Broken(error.into()))?;
        let body = delivery::join_replies([&part[..]]);
        let replies = delivery::decode_replies(&body).map_err(|error| BusError::Broken(error.into()))?;
        for reply in replies {
            self.queue.calls.resolve(reply, super::ONLY);
        }
        Ok(())
    }

    fn is_live(&self) -> bool {
        true
    }

    async fn ack(mut self: Box<Self>) -> Result<(), BusError> {
        self.message = None;
        self.queue.acked(self.seat);
        Ok(())
    }

    async fn requeue(self: Box<Self>) -> Result<(), BusError> {
        drop(self);
        Ok(())
    }

    async fn bury(mut self: Box<Self>, error: String) -> Result<(), BusError> {
        if let Some(message) = self.message.take() {
            self.queue.bury(message, "failed", Some(error));
            self.queue.acked(self.seat);
        }
        Ok(())
    }
}

impl Drop for LocalReceiver {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.queue.returned(self.seat, message);
        }
    }
}
