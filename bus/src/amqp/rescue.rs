//! What to do with a delivery that cannot be handed out as it is.

use super::{
    death,
    publish::{CONFIRMED_WITHIN, PublishError, publish},
    receiver::Unsettled,
    supervisor::Links,
};
use crate::{BusError, Queue, body, topology::DEFAULT_EXCHANGE};
use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use lapin::{BasicProperties, options::BasicPublishOptions, types::FieldTable};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::timeout;

const MAX_DELAY: Duration = Duration::from_secs(10);

/// A message as it came.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) queue: Queue,
    /// How often it was delivered before.
    pub(super) returns: u32,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// Why a message is given up.
#[derive(Debug)]
pub(super) enum Cause {
    /// Nobody can read it.
    Unreadable(String),
    /// A worker cannot carry it out.
    Failed(String),
}

impl Delivered {
    /// From a queue.
    pub(super) fn new(queue: Queue, returns: u32, message: lapin::message::Delivery) -> Self {
        Self { queue, returns, properties: message.properties, body: message.data.into() }
    }
}

/// Puts a message among the dead, with what is known about its end.
pub(super) async fn bury(delivered: Delivered, cause: Cause, unsettled: Unsettled, links: Links) {
    let properties = forever(&delivered).with_headers(death::headers(&delivered, &cause));
    move_to(Queue::DEAD, &[delivered.body], &properties, unsettled, &links).await;
}

/// Puts each command of a message back into its queue alone.
pub(super) async fn split(delivered: Delivered, unsettled: Unsettled, links: Links) {
    let bodies = body::split(&delivered.body);
    // Counts of the message as it was would make its commands look as if they had come back.
    let properties = delivered.properties.clone().with_headers(FieldTable::default());
    move_to(delivered.queue, &bodies, &properties, unsettled, &links).await;
}

/// Publishes bodies, then acks the message that they came from. Tries for as long as the message is ours: handing
/// it back meanwhile would only bring it again at once.
async fn move_to(
    queue: Queue,
    bodies: &[Bytes],
    properties: &BasicProperties,
    unsettled: Unsettled,
    links: &Links,
) {
    let delays = ExponentialBuilder::new().with_max_delay(MAX_DELAY).with_jitter().without_max_times();
    let name = queue.to_string();
    let confirmed = AtomicUsize::new(0);
    let attempt = || publish_all(&name, bodies, &confirmed, properties, links);
    let moved = attempt.retry(delays).when(|_| unsettled.is_live()).notify(|error, _| {
        tracing::warn!(queue.name = name, error.message = %BusError::from(error.clone()), "cannot move a message");
    });
    if moved.await.is_ok() {
        unsettled.ack().await;
    }
}

/// Those that no attempt before has had confirmed.
async fn publish_all(
    queue: &str,
    bodies: &[Bytes],
    confirmed: &AtomicUsize,
    properties: &BasicProperties,
    links: &Links,
) -> Result<(), PublishError> {
    let link = links.wait().await;
    let opening = timeout(CONFIRMED_WITHIN, link.publishing_channel());
    let opened = link.lost.run_until_cancelled(opening).await.and_then(Result::ok);
    let channel = opened.ok_or(PublishError::Unconfirmed)?.map_err(PublishError::Broken)?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    for body in &bodies[confirmed.load(Ordering::Relaxed)..] {
        let published =
            publish(&link.lost, &channel, DEFAULT_EXCHANGE, queue, options, body, properties.clone());
        timeout(CONFIRMED_WITHIN, published).await.unwrap_or(Err(PublishError::Unconfirmed))?;
        confirmed.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Without the time that it had left as a command.
fn forever(delivered: &Delivered) -> BasicProperties {
    let kept = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_app_id("penstock".into());
    match delivered.properties.reply_to() {
        Some(gate) => kept.with_reply_to(gate.clone()),
        None => kept,
    }
}
