//! What to do with a delivery that cannot be handed out as it is.

use super::{
    publish::{PublishError, publish},
    receiver::Unsettled,
    supervisor::Links,
};
use crate::{BusError, body, topology};
use backon::{ExponentialBuilder, Retryable};
use lapin::{BasicProperties, options::BasicPublishOptions, types::FieldTable};
use std::time::Duration;

const MAX_DELAY: Duration = Duration::from_secs(10);

/// Puts a message that nobody can read into the dead letters.
pub(super) async fn bury(message: lapin::message::Delivery, unsettled: Unsettled, links: Links) {
    let bodies = [message.data.into()];
    move_to(topology::DEAD, &bodies, &message.properties, unsettled, &links).await;
}

/// Puts each command of a message back into its queue alone.
pub(super) async fn split(message: lapin::message::Delivery, unsettled: Unsettled, links: Links) {
    let bodies = body::split(&message.data);
    // Counts of the message as it was would make its commands look as if they had come back.
    let properties = message.properties.clone().with_headers(FieldTable::default());
    move_to(message.routing_key.as_str(), &bodies, &properties, unsettled, &links).await;
}

/// Publishes bodies, then acks the message that they came from. Tries for as long as the message is ours: handing
/// it back meanwhile would only bring it again at once.
async fn move_to(
    queue: &str,
    bodies: &[bytes::Bytes],
    properties: &BasicProperties,
    unsettled: Unsettled,
    links: &Links,
) {
    let delays = ExponentialBuilder::new().with_max_delay(MAX_DELAY).with_jitter().without_max_times();
    let attempt = || publish_all(queue, bodies, properties, links);
    let moved = attempt.retry(delays).when(|_| unsettled.is_live()).notify(|error, _| {
        tracing::warn!(queue.name = queue, error.message = %BusError::from(error.clone()), "cannot move a message");
    });
    if moved.await.is_ok() {
        unsettled.ack().await;
    }
}

async fn publish_all(
    queue: &str,
    bodies: &[bytes::Bytes],
    properties: &BasicProperties,
    links: &Links,
) -> Result<(), PublishError> {
    let channel = links.wait().await.publishing_channel().await.map_err(PublishError::Broken)?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    for body in bodies {
        publish(&channel, queue, options, body, properties.clone()).await?;
    }
    Ok(())
}
