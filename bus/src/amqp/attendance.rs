//! Looks whether any worker consumes what a gate sends.

use super::link::{self, Link};
use crate::{
    Queue,
    calls::{
        Calls,
        attendance::{LANES, LOOKED_EVERY},
    },
};
use lapin::Channel;
use std::{sync::Arc, time::Duration};
use tokio::time::{interval, timeout};

/// A queue that does not answer within this tells nothing.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// Looks for as long as the link lasts: at one shard of each lane, each time the next one.
pub(super) async fn watch(link: Arc<Link>, calls: Arc<Calls>) {
    let (mut every, mut channel, mut refusing) = (interval(LOOKED_EVERY), None, false);
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
        let Ok(Ok(consumed)) = timeout(ANSWERED_WITHIN, is_consumed(&open, shard)).await else { continue };
        channel = Some(open);
        calls.attended(consumed);
        let absence = calls.absence();
        match absence {
            Some(absence) if !refusing => {
                tracing::warn!("no storage worker has consumed for {absence:.0?}: commands are refused");
            }
            None if refusing => tracing::info!("a storage worker consumes again"),
            _ => {}
        }
        refusing = absence.is_some();
    }
}

/// Whether the shard of this number has a consumer, in any lane. A queue of reads lives on one node, and is asked only where
/// that matters.
async fn is_consumed(channel: &Channel, shard: u16) -> lapin::Result<bool> {
    for lane in LANES {
        let queue = Queue { lane, shard: shard % lane.shards() };
        if link::look_at(channel, queue).await?.consumer_count() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
