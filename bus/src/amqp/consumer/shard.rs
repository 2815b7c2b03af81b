//! One queue of a consumer.

use super::{
    Consumption,
    idle::{self, Age, Held},
};
use crate::{
    Delivery, Lane, Queue,
    amqp::{
        death,
        link::{self, Link, LinkError},
        receiver::{AmqpReceiver, Unsettled, Way},
        rescue::{self, Cause, Delivered},
    },
    topology::SPLIT_AFTER_RETURNS,
};
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::StreamExt;
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use messages::delivery;
use std::time::Duration;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// A queue that does not let itself be consumed within this is asked again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
const MIN_DELAY: Duration = Duration::from_millis(50);
const MAX_DELAY: Duration = Duration::from_secs(2);

/// One queue of a consumer, over all links.
pub(super) struct Shard {
    queue: Queue,
    consumption: Consumption,
    tried: Option<oneshot::Sender<()>>,
    /// Whether it was bound here once. Each link binds all queues besides.
    is_bound: bool,
    /// What is known to be wrong, so that it is logged once.
    fault: Option<String>,
    /// Consumers in a row that something waited for and nothing came to.
    passed_over: u32,
}

impl Shard {
    /// Tells when it delivers for the first time, or cannot because of its own queue alone.
    pub(super) fn new(queue: Queue, consumption: Consumption, tried: oneshot::Sender<()>) -> Self {
        Self { queue, consumption, tried: Some(tried), is_bound: false, fault: None, passed_over: 0 }
    }

    /// Consumes until cancelled; what breaks is mended.
    pub(super) async fn run(mut self) {
        let cancel = self.consumption.cancel.clone();
        let delays = ExponentialBuilder::new()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY)
            .with_jitter()
            .without_max_times();
        let mut backoff = delays.build();
        while !cancel.is_cancelled() {
            let Some(link) = cancel.run_until_cancelled(self.consumption.wires.links.wait()).await else {
                return;
            };
            // A driver that has just lost its connection may never answer.
            let established = link.lost.run_until_cancelled(self.establish(&link)).await;
            match established.unwrap_or(Err(LinkError::Silent)) {
                Ok((channel, consumer)) => {
                    backoff = delays.build();
                    self.fault = None;
                    self.tried.take().map(|tried| tried.send(()));
                    self.forward(&link, &channel, consumer).await;
                }
                // A lost link is the supervisor's to tell.
                Err(_) if link.lost.is_cancelled() => {}
                Err(error) => self.failed(&error),
            }
            cancel.run_until_cancelled(sleep(backoff.next().unwrap_or(MAX_DELAY))).await;
        }
    }

    fn failed(&mut self, error: &LinkError) {
        let fault = error.to_string();
        if self.fault.as_ref() != Some(&fault) {
            tracing::warn!(queue.name = %self.queue, error.message = fault, "cannot consume");
        }
        self.fault = Some(fault);
        self.tried.take().map(|tried| tried.send(()));
    }

    /// The link has declared the queue and its exchange, but they may have been deleted since.
    async fn establish(&mut self, link: &Link) -> Result<(Channel, lapin::Consumer), LinkError> {
        match self.consume(link).await {
            Err(LinkError::Lapin(error)) if error.is_amqp_soft_error() => {
                self.is_bound = false;
                let (channel, declaration) = (link.consuming_channel().await?, self.queue.declaration());
                let declaring = async {
                    link::declare_exchange(&channel).await?;
                    link::declare_one(&channel, &declaration).await
                };
                timeout(ANSWERED_WITHIN, declaring).await.map_err(|_| LinkError::Silent)??;
                self.consume(link).await
            }
            consumer => consumer,
        }
    }

    /// A queue without a leader may not answer. It may do so later, and give what it holds to a consumer that nobody
    /// waits for any more; and the driver keeps the channel of such a one open for ever. So it is closed here.
    async fn consume(&mut self, link: &Link) -> Result<(Channel, lapin::Consumer), LinkError> {
        let channel = link.consuming_channel().await?;
        let Ok(begun) = timeout(ANSWERED_WITHIN, self.begin(link, &channel)).await else {
            drop(self.close(link, channel, "no answer in time"));
            return Err(LinkError::Silent);
        };
        Ok((channel, begun?))
    }

    /// What was delivered by it and is not settled returns to the queue.
    fn close(&self, link: &Link, channel: Channel, why: &'static str) -> JoinHandle<()> {
        let closing = async move { drop(channel.close(200, why.into()).await) };
        let until_lost = link.lost.clone().run_until_cancelled_owned(closing);
        self.consumption.tasks.spawn(async move { _ = until_lost.await })
    }

    /// A queue that takes commands is bound before it is consumed: it may have been declared by one who got no further. But once
    /// only: each time, all nodes of RabbitMQ must agree.
    async fn begin(&mut self, link: &Link, channel: &Channel) -> lapin::Result<lapin::Consumer> {
        if !self.is_bound {
            link::bind(channel, &self.queue.declaration()).await?;
            self.is_bound = true;
        }
        channel.basic_qos(self.consumption.prefetch, BasicQosOptions::default()).await?;
        link.heard.count();
        let mut arguments = FieldTable::default();
        if self.queue.lane.is_exclusive() {
            let priority = self.queue.priority(&self.consumption.worker);
            arguments.insert("x-priority".into(), AMQPValue::LongInt(priority));
        }
        let tag = ShortString::from(format!("{} {}", self.consumption.worker, uuid::Uuid::now_v7()));
        let (queue, options) = (self.queue.to_string().into(), BasicConsumeOptions::default());
        channel.basic_consume(queue, tag, options, arguments).await
    }

    /// Hands out what comes, until the consumer ends, is cancelled, or should be another one.
    async fn forward(&mut self, link: &Link, channel: &Channel, mut consumer: lapin::Consumer) {
        let held = Held::default();
        loop {
            tokio::select! {
                biased;
                () = self.consumption.cancel.cancelled() => break,
                // The driver wakes nobody whose broker has fallen silent.
                () = link.lost.cancelled() => return,
                message = consumer.next() => match message {
                    Some(Ok(message)) => {
                        self.passed_over = 0;
                        self.deliver(link, channel, message, &held).await;
                    }
                    Some(Err(_)) | None => return,
                },
                age = idle::ends(self.queue, channel, &held, self.passed_over) => {
                    if age == Age::PassedOver {
                        tracing::info!(queue.name = %self.queue, "messages wait, and none comes: consuming anew");
                        self.passed_over += 1;
                    }
                    let closed = self.close(link, channel.clone(), "to consume anew");
                    _ = timeout(ANSWERED_WITHIN, closed).await;
                    return;
                }
            }
        }
        let cancelling = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
        let cancelled = link.lost.run_until_cancelled(timeout(ANSWERED_WITHIN, cancelling)).await;
        if !matches!(cancelled, Some(Ok(Ok(())))) {
            drop(self.close(link, channel.clone(), "a consumer could not be cancelled"));
            return;
        }
        // What came in between nobody has seen: dropped, it returns to the queue.
        while let Some(Ok(message)) = link.lost.run_until_cancelled(consumer.next()).await.flatten() {
            drop(self.unsettled(link, channel, &message, &held));
        }
    }

    async fn deliver(&self, link: &Link, channel: &Channel, message: lapin::message::Delivery, held: &Held) {
        link.heard.count();
        if self.queue.lane.is_replicated() {
            link.majority.heard(Instant::now());
        }
        if failpoint::is_set("mutant-ack-before-write") {
            let _ = message.acker.ack(BasicAckOptions::default()).await;
        }
        let unsettled = self.unsettled(link, channel, &message, held);
        let returns = death::returns(&message);
        let links = self.consumption.wires.links.clone();
        let delivered = Delivered::new(self.queue, returns, message);
        let is_dead = self.queue.lane == Lane::Dead;
        let commands = match delivery::decode_commands(&delivered.body) {
            Ok(commands) => commands,
            Err(_) if is_dead => Vec::new(),
            Err(error) => {
                tracing::error!(
                    queue.name = %self.queue,
                    error.message = %error,
                    "a message that this version cannot read goes to the dead letters"
                );
                self.rescue(rescue::bury(delivered, Cause::Unreadable(error.to_string()), unsettled, links));
                return;
            }
        };
        if returns >= SPLIT_AFTER_RETURNS && commands.len() > 1 && !is_dead {
            tracing::warn!(
                queue.name = %self.queue,
                delivery.returns = returns,
                "a delivery that came back too often is split into its commands"
            );
            self.rescue(rescue::split(delivered, unsettled, links));
            return;
        }
        let death = is_dead.then(|| death::of(&delivered));
        let outbox = self.consumption.wires.outbox.clone();
        let receiver = Box::new(AmqpReceiver { message: unsettled, delivered, outbox, links });
        // If nobody listens any more, it returns to the queue.
        let delivery = Delivery { queue: self.queue, returns, commands, death, receiver };
        let _ = self.consumption.deliveries.send(delivery).await;
        self.consumption.delivered.notify_one();
    }

    fn rescue(&self, rescue: impl Future<Output = ()> + Send + 'static) {
        let closing = self.consumption.wires.closing.clone();
        self.consumption.tasks.spawn(closing.run_until_cancelled_owned(rescue));
    }

    fn unsettled(
        &self,
        link: &Link,
        channel: &Channel,
        message: &lapin::message::Delivery,
        held: &Held,
    ) -> Unsettled {
        let way = Way::new(message.acker.clone(), channel.clone(), link.lost.clone(), held.one_more());
        Unsettled::new(way, self.consumption.wires.returns.clone())
    }
}
