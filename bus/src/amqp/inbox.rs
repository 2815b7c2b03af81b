//! The queue that brings a gate its outcomes.

use crate::calls::Calls;
use futures_util::StreamExt;
use lapin::{
    Channel,
    options::{BasicConsumeOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};
use messages::delivery;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Declares the queue and resolves calls by what it brings. Without it no outcome comes: its end is the end of the
/// link.
pub(super) async fn open(
    channel: Channel,
    queue: ShortString,
    calls: Arc<Calls>,
    lost: CancellationToken,
) -> lapin::Result<()> {
    let options = QueueDeclareOptions::exclusive().auto_delete();
    channel.queue_declare(queue.clone(), options, FieldTable::default()).await?;
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    let mut bodies =
        channel.basic_consume(queue.clone(), ShortString::default(), options, FieldTable::default()).await?;
    tokio::spawn(async move {
        // The last handle of a channel closes it.
        let _channel = channel;
        while let Some(Ok(body)) = bodies.next().await {
            match delivery::decode_replies(&body.data) {
                Ok(replies) => replies.into_iter().for_each(|reply| calls.resolve(reply)),
                Err(error) => {
                    tracing::error!(queue.name = %queue, error.message = %error, "replies that cannot be read");
                }
            }
        }
        lost.cancel();
    });
    Ok(())
}
