//! The queue that brings a gate its outcomes.

use super::heard::Heard;
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
    by: u64,
    heard: Heard,
    lost: CancellationToken,
) -> lapin::Result<()> {
    let options = QueueDeclareOptions::exclusive().auto_delete();
    channel.queue_declare(queue.clone(), options, FieldTable::default()).await?;
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    let mut bodies =
        channel.basic_consume(queue.clone(), ShortString::default(), options, FieldTable::default()).await?;
    let looking = watch(channel, queue.clone(), heard.clone(), lost.clone());
    tokio::spawn(lost.clone().run_until_cancelled_owned(looking));
    tokio::spawn(async move {
        while let Some(Ok(body)) = bodies.next().await {
            heard.count();
            match delivery::decode_replies(&body.data) {
                Ok(replies) => replies.into_iter().for_each(|reply| calls.resolve(reply, by)),
                Err(error) => {
                    tracing::error!(queue.name = %queue, error.message = %error, "replies that cannot be read");
                }
            }
        }
        lost.cancel();
    });
    Ok(())
}

/// Ends the link if the queue is gone. Brokers that take each other for dead may forget it without a word to its consumer, whose
/// connection is as good as before.
async fn watch(channel: Channel, queue: ShortString, heard: Heard, lost: CancellationToken) {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let look = || {
        let found = channel.queue_declare(queue.clone(), options, FieldTable::default());
        async { found.await.map(drop) }
    };
    // Of its machine the link tells.
    let reason = heard.until_silent(look, async || false).await;
    tracing::warn!(queue.name = %queue, error.message = reason, "the queue that brings outcomes is gone");
    lost.cancel();
}
