//! Looks whether any worker consumes what a gate sends.

use super::link::Link;
use crate::{Lane, calls::Calls};
use lapin::{Channel, options::QueueDeclareOptions, types::FieldTable};
use std::{sync::Arc, time::Duration};
use tokio::time::{interval, timeout};

/// One shard of each lane is looked at so often, each time the next one.
const LOOKED_EVERY: Duration = Duration::from_secs(1);
/// A queue that does not answer within this tells nothing.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// Those that workers leave when they can do nothing at all.
const LANES: [Lane; 2] = [Lane::Write, Lane::Read];

/// Looks for as long as the link lasts.
pub(super) async fn watch(link: Arc<Link>, calls: Arc<Calls>) {
    let (mut every, mut channel) = (interval(LOOKED_EVERY), None);
    for shard in (0..u16::MAX).cycle() {
        every.tick().await;
        let open = match channel.take() {
            Some(open) => open,
            None => match link.consuming_channel().await {
                Ok(open) => open,
                Err(_) => continue,
            },
        };
        // A queue that is away closes the channel, and tells nothing either.
        let Ok(Ok(consumers)) = timeout(ANSWERED_WITHIN, count(&open, shard)).await else { continue };
        channel = Some(open);
        let before = calls.absence();
        calls.attended(consumers > 0);
        match (before, calls.absence()) {
            (None, Some(absence)) => {
                tracing::warn!("no storage worker has consumed for {absence:.0?}: commands are refused");
            }
            (Some(_), None) => tracing::info!("a storage worker consumes again"),
            _ => {}
        }
    }
}

/// Consumers of one shard of each lane, together.
async fn count(channel: &Channel, shard: u16) -> lapin::Result<u32> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    let mut consumers = 0;
    for lane in LANES {
        let queue = crate::Queue { lane, shard: shard % lane.shards() }.to_string();
        consumers +=
            channel.queue_declare(queue.into(), options, FieldTable::default()).await?.consumer_count();
    }
    Ok(consumers)
}
