//! One task for each shard that sends commands.

use super::{
    publish::{CONFIRMED_WITHIN, PublishError, is_spent, publish},
    supervisor::Links,
};
use crate::{
    BusError, Lane, Queue,
    batch::{Gathering, Part},
    calls::Attempt,
    topology::{self, COMMANDS},
};
use lapin::{BasicProperties, Channel, options::BasicPublishOptions, types::ShortString};
use messages::delivery;
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// A channel of one link, for one shard.
struct Outlet {
    generation: u64,
    channel: Channel,
    reply_to: ShortString,
    lost: CancellationToken,
}

/// Sends what comes, message by message: while one awaits its confirm, the next one gathers. Reads await it too, as
/// lapin tells of a returned message only with the confirm; for a transient message to a classic queue it costs no
/// disk.
pub(super) async fn run(
    queue: Queue,
    attempts: mpsc::UnboundedReceiver<Attempt>,
    links: Links,
    closing: CancellationToken,
) {
    let mut attempts = Gathering::new(attempts);
    let mut outlet = None;
    loop {
        let batch = tokio::select! {
            biased;
            batch = attempts.next() => batch,
            () = closing.cancelled() => None,
        };
        let Some(batch) = batch else { return };
        // A queue that has lost its majority, or its leader, neither confirms nor refuses. What waits behind this batch
        // has its turn after a while, on a channel without the past; and so has the batch, as long as it is wanted.
        let wanted = batch.iter().map(|attempt| attempt.command.wanted).max().unwrap_or_else(Instant::now);
        let end = wanted.min(Instant::now() + CONFIRMED_WITHIN);
        let sent = timeout_at(end, send(queue, &batch, &links, &mut outlet)).await;
        let sent = sent.unwrap_or(Err(PublishError::Unconfirmed));
        outlet = outlet.filter(|outlet| !is_spent(&outlet.channel, &sent));
        for attempt in batch {
            attempt.report(sent.clone().map_err(BusError::from));
        }
    }
}

async fn send(
    queue: Queue,
    batch: &[Attempt],
    links: &Links,
    outlet: &mut Option<Outlet>,
) -> Result<(), PublishError> {
    let link = links.current().ok_or_else(|| PublishError::Unsent(links.reason()))?;
    let expected = queue.lane.is_replicated().then(|| link.majority.expect(Instant::now()));
    if outlet.as_ref().is_none_or(|outlet| outlet.generation != link.generation) {
        let unsent = |error: lapin::Error| PublishError::Unsent(error.to_string());
        *outlet = Some(Outlet {
            generation: link.generation,
            reply_to: link.reply_queue().await.map_err(unsent)?,
            channel: link.publishing_channel().await.map_err(unsent)?,
            lost: link.lost.clone(),
        });
    }
    let Some(Outlet { channel, reply_to, lost, .. }) = outlet else { return Ok(()) };
    let body = delivery::join_commands(batch.iter().map(Part::bytes));
    let options = BasicPublishOptions {
        mandatory: !failpoint::is_set("mutant-mandatory-off"),
        ..BasicPublishOptions::default()
    };
    let properties = properties(queue.lane, batch).with_reply_to(reply_to.clone());
    let sent = publish(lost, channel, COMMANDS, &queue.to_string(), options, &body, properties).await;
    let is_answer = matches!(sent, Ok(()) | Err(PublishError::Unroutable(_) | PublishError::Refused(_)));
    if is_answer && expected.is_some() {
        link.majority.heard(Instant::now());
    }
    sent
}

fn properties(lane: Lane, batch: &[Attempt]) -> BasicProperties {
    let id = ShortString::from(Uuid::now_v7().to_string());
    let properties = BasicProperties::default()
        .with_message_id(id.clone())
        .with_correlation_id(id)
        .with_type(lane.message_type().into())
        .with_content_type("application/json".into())
        .with_app_id("penstock".into());
    match lane {
        // Lives on after its deadline, as long as the queue's policy says: a worker is to close it.
        Lane::Write | Lane::Dead => properties.with_delivery_mode(PERSISTENT),
        Lane::Deferred => {
            let rest = rest(batch) + topology::DEFERRED_MARGIN;
            properties.with_delivery_mode(PERSISTENT).with_expiration(millis(rest))
        }
        Lane::Read => properties.with_delivery_mode(TRANSIENT).with_expiration(millis(rest(batch))),
    }
}

/// Until the last of the deadlines.
fn rest(batch: &[Attempt]) -> Duration {
    let last = batch.iter().map(|attempt| attempt.command.deadline).max();
    last.map(|last| last.duration_since(Instant::now())).unwrap_or_default()
}

fn millis(time: Duration) -> ShortString {
    time.as_micros().div_ceil(1000).to_string().into()
}
