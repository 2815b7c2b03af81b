//! Deliveries of a worker.

mod idle;
mod shard;

use super::{outbox::Outbox, receiver::Returns, supervisor::Links};
use crate::{BusError, ConsumeOptions, Consumer, Delivery, Lane, Queue};
use futures_util::future::join_all;
pub(super) use idle::Hold;
use shard::Shard;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a new consumer may take until all its queues deliver.
const ESTABLISHING: Duration = Duration::from_secs(10);

/// What a consumer needs of its bus.
#[derive(Clone, Debug)]
pub(super) struct Wires {
    pub(super) links: Links,
    pub(super) outbox: Outbox,
    pub(super) returns: Returns,
    pub(super) closing: CancellationToken,
}

/// What one consumer's shards share.
#[derive(Clone, Debug)]
struct Consumption {
    wires: Wires,
    worker: String,
    prefetch: u16,
    deliveries: mpsc::Sender<Delivery>,
    /// Something is among them.
    delivered: Arc<Notify>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// Consumes all shards of some lanes; returns when all of them deliver, or something has come: it must not wait for queues whose
/// node does not answer. Such a one delivers later.
pub(super) async fn start(
    options: &ConsumeOptions,
    wires: &Wires,
    tasks: &TaskTracker,
) -> Result<Consumer, BusError> {
    if wires.closing.is_cancelled() {
        return Err(BusError::Closed);
    }
    if wires.links.current().is_none() {
        return Err(BusError::Unreachable(wires.links.reason()));
    }
    let queues: Vec<Queue> = options.lanes.iter().copied().flat_map(Lane::queues).collect();
    let prefetch = options.prefetch.max(1);
    let (sender, deliveries) = mpsc::channel(usize::from(prefetch) * queues.len().max(1));
    let cancel = wires.closing.child_token();
    let consumption = Consumption {
        wires: wires.clone(),
        worker: options.worker.clone(),
        prefetch,
        deliveries: sender,
        delivered: Arc::default(),
        cancel: cancel.clone(),
        tasks: tasks.clone(),
    };
    cancel_with_the_last_listener(&consumption);
    let tried = queues.into_iter().map(|queue| {
        let (sender, receiver) = oneshot::channel();
        tasks.spawn(Shard::new(queue, consumption.clone(), sender).run());
        receiver
    });
    let consumer = Consumer { deliveries, cancel };
    let established = async {
        tokio::select! {
            _ = join_all(tried) => {}
            () = consumption.delivered.notified() => {}
        }
    };
    if timeout(ESTABLISHING, established).await.is_err() {
        // Dropping the consumer cancels what was begun.
        return Err(BusError::Unreachable(format!("the queues do not deliver after {ESTABLISHING:?}")));
    }
    Ok(consumer)
}

fn cancel_with_the_last_listener(consumption: &Consumption) {
    let (deliveries, cancel) = (consumption.deliveries.clone(), consumption.cancel.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = deliveries.closed() => cancel.cancel(),
            () = cancel.cancelled() => {}
        }
    });
}
