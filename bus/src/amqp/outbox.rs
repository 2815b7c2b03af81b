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
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A reply, as long as most gates wait for an answer.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(10);

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

/// A channel, and the link that it belongs to.
type Outlet = (Arc<Link>, Channel);

/// What became of a message to one gate.
struct Sent {
    gate: ShortString,
    replies: Vec<Outgoing>,
    result: Result<(), PublishError>,
    /// The channel that it went by, if it can be used again.
    outlet: Option<Outlet>,
    /// Whether nothing confirmed it in time.
    is_given_up: bool,
}

/// The task behind an [`Outbox`].
struct Replies {
    links: Links,
    outlet: Option<Outlet>,
    /// Gates that a message is on its way to, and what waits for it. One for each gate, so bounded by their number.
    waiting: HashMap<ShortString, VecDeque<Outgoing>>,
    flying: FuturesUnordered<BoxFuture<'static, Sent>>,
}

impl Outbox {
    /// Starts the task.
    pub(super) fn open(tasks: &TaskTracker, links: Links, closing: CancellationToken) -> Self {
        let (replies, outgoing) = mpsc::unbounded_channel();
        let task = Replies { links, outlet: None, waiting: HashMap::new(), flying: FuturesUnordered::new() };
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
                Some(sent) = self.flying.next() => self.settle(sent),
                reply = outgoing.recv(), if !ended => match reply {
                    Some(reply) => self.take(reply),
                    None => ended = true,
                },
                () = closing.cancelled(), if !outgoing.is_closed() => outgoing.close(),
            }
        }
    }

    fn take(&mut self, reply: Outgoing) {
        if let Some(waiting) = self.waiting.get_mut(&reply.gate) {
            waiting.push_back(reply);
        } else {
            let gate = reply.gate.clone();
            self.waiting.insert(gate.clone(), VecDeque::from([reply]));
            self.publish_next(gate);
        }
    }

    fn settle(&mut self, Sent { gate, replies, result, outlet, is_given_up }: Sent) {
        // Others on their way by the one before have their own hold of it.
        self.outlet = outlet;
        // What waits behind a message that was given up would not fare better, and keeps deliveries of other gates waiting.
        let others = if is_given_up { self.waiting.remove(&gate) } else { None };
        for reply in replies.into_iter().chain(others.into_iter().flatten()) {
            let _ = reply.sent.send(result.clone());
        }
        self.publish_next(gate);
    }

    fn publish_next(&mut self, gate: ShortString) {
        let Some(waiting) = self.waiting.get_mut(&gate) else { return };
        let replies = batch::fill(|room| {
            let fits = waiting.front().is_some_and(|reply| reply.bytes.len() <= room);
            if fits { waiting.pop_front() } else { None }
        });
        if replies.is_empty() {
            self.waiting.remove(&gate);
            return;
        }
        self.flying.push(Box::pin(post(self.links.clone(), self.outlet.clone(), gate, replies)));
    }
}

/// Publishes a message, by this channel if it is the present link's.
///
/// A gate's queue that is gone with its node is no error, nor is a broker that confirms nothing, or blocks publishers. Effects are
/// stored with their receipts, for which a gate asks that waits still; to carry out the command once more would bring it nothing
/// sooner.
async fn post(links: Links, outlet: Option<Outlet>, gate: ShortString, replies: Vec<Outgoing>) -> Sent {
    let publishing = async {
        let (link, channel) = open(&links, outlet).await?;
        let result = publish_to(&link, &channel, &gate, &replies).await;
        let kept = (!is_spent(&channel, &result)).then_some((link, channel));
        match result {
            // Not where the broker closed the channel: what it finds fault with is not the queue.
            Err(PublishError::Refused(_)) if kept.is_some() => Ok(kept),
            result => result.map(|()| kept),
        }
    };
    let Ok(published) = timeout(GIVEN_UP_AFTER, publishing).await else {
        tracing::warn!(
            delivery.count = replies.len(),
            "the message broker takes no replies for a gate: they are given up"
        );
        return Sent { gate, replies, result: Ok(()), outlet: None, is_given_up: true };
    };
    let (result, outlet) = published.map_or_else(|error| (Err(error), None), |kept| (Ok(()), kept));
    Sent { gate, replies, result, outlet, is_given_up: false }
}

async fn open(links: &Links, outlet: Option<Outlet>) -> Result<Outlet, PublishError> {
    let unsent = || PublishError::Unsent(links.reason());
    let link = links.current().ok_or_else(unsent)?;
    match outlet {
        Some((of, channel)) if Arc::ptr_eq(&of, &link) => Ok((link, channel)),
        _ => {
            let opened = link.lost.run_until_cancelled(link.publishing_channel()).await.ok_or_else(unsent)?;
            let channel = opened.map_err(|error| PublishError::Unsent(error.to_string()))?;
            Ok((link, channel))
        }
    }
}

/// Not `mandatory`: nobody waits for what cannot reach its gate any more, and what is returned is of no use.
async fn publish_to(
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
