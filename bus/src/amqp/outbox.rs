//! Replies of a worker, gate by gate.

use super::{
    link::Link,
    publish::{PublishError, is_spent, publish},
    supervisor::Links,
};
use crate::{
    BusError,
    batch::{self, Part},
    topology::DEFAULT_EXCHANGE,
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::{BasicProperties, Channel, options::BasicPublishOptions, types::ShortString};
use messages::{Reply, delivery};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Takes replies of all deliveries. One task publishes them: at once to a gate that none is on its way to; else they
/// gather until the broker has that one.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    replies: mpsc::UnboundedSender<Outgoing>,
}

/// A reply on its way to the broker.
#[derive(Debug)]
struct Outgoing {
    gate: ShortString,
    bytes: Vec<u8>,
    sent: oneshot::Sender<Result<(), PublishError>>,
}

type Sent = (ShortString, Vec<Outgoing>, Result<(), PublishError>);

/// The task behind an [`Outbox`].
struct Replies {
    links: Links,
    channel: Option<(Arc<Link>, Channel)>,
    /// Gates that a message is on its way to, and what waits for it. One for each gate, so bounded by their number.
    waiting: HashMap<ShortString, VecDeque<Outgoing>>,
    flying: FuturesUnordered<BoxFuture<'static, Sent>>,
}

impl Outbox {
    /// Starts the task.
    pub(super) fn open(tasks: &TaskTracker, links: Links, closing: CancellationToken) -> Self {
        let (replies, outgoing) = mpsc::unbounded_channel();
        let task = Replies { links, channel: None, waiting: HashMap::new(), flying: FuturesUnordered::new() };
        tasks.spawn(task.run(outgoing, closing));
        Self { replies }
    }

    /// Sends a reply to a gate and waits until the broker has it. A gate that is gone is no error.
    pub(super) async fn send(&self, gate: ShortString, reply: &Reply) -> Result<(), BusError> {
        let bytes = delivery::encode_reply(reply).map_err(|error| BusError::Broken(error.into()))?;
        let (sent, result) = oneshot::channel();
        self.replies.send(Outgoing { gate, bytes, sent }).map_err(|_| BusError::Closed)?;
        Ok(result.await.map_err(|_| BusError::Closed)??)
    }
}

impl Part for Outgoing {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn is_wanted(&self) -> bool {
        !self.sent.is_closed()
    }
}

impl Replies {
    async fn run(mut self, mut outgoing: mpsc::UnboundedReceiver<Outgoing>, closing: CancellationToken) {
        let mut ended = false;
        while !(ended && self.flying.is_empty()) {
            tokio::select! {
                biased;
                Some(sent) = self.flying.next() => self.settle(sent).await,
                reply = outgoing.recv(), if !ended => match reply {
                    Some(reply) => self.take(reply).await,
                    None => ended = true,
                },
                () = closing.cancelled(), if !outgoing.is_closed() => outgoing.close(),
            }
        }
    }

    async fn take(&mut self, reply: Outgoing) {
        if let Some(waiting) = self.waiting.get_mut(&reply.gate) {
            waiting.push_back(reply);
        } else {
            let gate = reply.gate.clone();
            self.waiting.insert(gate.clone(), VecDeque::from([reply]));
            self.publish_next(gate).await;
        }
    }

    async fn settle(&mut self, (gate, replies, result): Sent) {
        self.channel = self.channel.take().filter(|(_, channel)| !is_spent(channel, &result));
        for reply in replies {
            let _ = reply.sent.send(result.clone());
        }
        self.publish_next(gate).await;
    }

    async fn publish_next(&mut self, gate: ShortString) {
        let Some(waiting) = self.waiting.get_mut(&gate) else { return };
        let replies = batch::fill(|room| {
            let fits = waiting.front().is_some_and(|reply| reply.bytes.len() <= room);
            if fits { waiting.pop_front() } else { None }
        });
        if replies.is_empty() {
            self.waiting.remove(&gate);
            return;
        }
        let channel = self.channel().await;
        self.flying.push(Box::pin(async move {
            let result = match channel {
                Ok((link, channel)) => post(&link, &channel, &gate, &replies).await,
                Err(error) => Err(error),
            };
            (gate, replies, result)
        }));
    }

    async fn channel(&mut self) -> Result<(Arc<Link>, Channel), PublishError> {
        let link = self.links.current().ok_or_else(|| PublishError::Unsent(self.links.reason()))?;
        match &self.channel {
            Some((of, channel)) if Arc::ptr_eq(of, &link) => Ok((link, channel.clone())),
            _ => {
                let opened = link.lost.run_until_cancelled(link.publishing_channel()).await;
                let opened = opened.ok_or_else(|| PublishError::Unsent(self.links.reason()))?;
                let channel = opened.map_err(|error| PublishError::Unsent(error.to_string()))?;
                self.channel = Some((Arc::clone(&link), channel.clone()));
                Ok((link, channel))
            }
        }
    }
}

/// Not `mandatory`: nobody waits for what cannot reach its gate any more, and what is returned is of no use.
async fn post(
    link: &Link,
    channel: &Channel,
    gate: &ShortString,
    replies: &[Outgoing],
) -> Result<(), PublishError> {
    let body = delivery::join_replies(replies.iter().map(Part::bytes));
    let properties = BasicProperties::default()
        .with_type("penstock.reply.v1".into())
        .with_content_type("application/json".into())
        .with_app_id("penstock".into());
    let options = BasicPublishOptions::default();
    publish(&link.lost, channel, DEFAULT_EXCHANGE, gate.as_str(), options, &body, properties).await
}
