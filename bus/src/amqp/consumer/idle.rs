//! When a consumer to which nothing comes is replaced.
//!
//! After nodes of RabbitMQ have lost each other, a quorum queue can take messages for delivered that no channel knows of: the
//! delivery was lost between nodes, or what settled it was. Enough of them, and the queue never delivers to that consumer again,
//! though all is up (rabbitmq-server#11228 and #15473; seen on 4.0.5 after all nodes were killed at once). They return with the
//! end of its channel.

use crate::{Queue, amqp::link};
use lapin::Channel;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How often an idle consumer looks whether something waits in its queue.
const LOOKED_EVERY: Duration = Duration::from_secs(2);
/// A queue that does not answer within this tells nothing.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// So many looks in a row must find something waiting; twice as many after each consumer that was passed over, up to a limit, as
/// it may be another worker's turn.
const LOOKS: u32 = 2;
const MOST_DOUBLINGS: u32 = 4;
/// What a queue takes for delivered does not wait: so also a consumer that nothing waits for is replaced after this.
const RENEWED_AFTER: Duration = Duration::from_secs(60);

/// Counts what a consumer has had delivered and is not settled.
#[derive(Debug, Default)]
pub(super) struct Held(Arc<()>);

/// Of one message that is not settled.
#[derive(Clone, Debug)]
pub(in crate::amqp) struct Hold {
    _one: Arc<()>,
}

/// Why a consumer is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Messages wait, and none comes.
    PassedOver,
    /// It has been idle for long.
    Old,
}

impl Held {
    /// For one message more.
    pub(super) fn one_more(&self) -> Hold {
        Hold { _one: Arc::clone(&self.0) }
    }

    fn nothing(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

/// Returns when a consumer that holds nothing, and gets nothing, should be replaced. To be begun anew with each message.
pub(super) async fn ends(queue: Queue, channel: &Channel, held: &Held, passed_over: u32) -> Age {
    if !queue.lane.is_replicated() {
        return std::future::pending().await;
    }
    // Not all at the same time.
    let renewed_after = RENEWED_AFTER + Duration::from_secs(u64::from(queue.shard));
    let needed = LOOKS << passed_over.min(MOST_DOUBLINGS);
    let (mut idle_since, mut found) = (Instant::now(), 0);
    loop {
        sleep(LOOKED_EVERY).await;
        if !held.nothing() {
            (idle_since, found) = (Instant::now(), 0);
            continue;
        }
        if idle_since.elapsed() > renewed_after {
            return Age::Old;
        }
        let told = timeout(ANSWERED_WITHIN, link::look_at(channel, queue)).await;
        let waits = told.is_ok_and(|told| told.is_ok_and(|queue| queue.message_count() > 0));
        found = if waits { found + 1 } else { 0 };
        if found >= needed {
            return Age::PassedOver;
        }
    }
}
