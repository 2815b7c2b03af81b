//! What a worker tells those who run it: readiness, and the log when something changes.

use crate::{
    store::{Capacity, cassandra::CassandraStore},
    tolerance,
};
use bus::Health as Queue;
use process::{Condition, ConfigError, Health, Stopper, admin};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{sync::watch, time::interval};

/// How often the replication is compared with what is declared: it changes, and nodes come and go.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// What a worker depends on; told at `address`, if there is one, until the process stops.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(address: Option<SocketAddr>, stopper: &Stopper) -> Result<Health, ConfigError> {
    let health = Health::of(&["queue", "store", "tolerance"]);
    if let Some(address) = address {
        let serving = admin::serve(admin::listen(address).await?, health.clone(), stopper.clone());
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(error.message = %error, "the admin listener failed");
            }
        });
    }
    Ok(health)
}

/// Keeps `health` true, for ever.
pub async fn keep(
    health: Health,
    queue: watch::Receiver<Queue>,
    capacity: watch::Receiver<Option<Capacity>>,
    store: Arc<CassandraStore>,
    declared: Option<u8>,
) {
    let mut every = interval(COMPARE_EVERY);
    loop {
        // Each is looked at again so often anyway, so that one clock is enough.
        every.tick().await;
        health.note("queue", of_queue(&queue.borrow()));
        health.note("store", of_store(*capacity.borrow()));
        let verdict = tolerance::judge(&store.standing(), declared);
        let condition = if verdict.holds {
            Condition::Up(Some(verdict.sentence.clone()))
        } else {
            Condition::Impaired(verdict.sentence.clone())
        };
        if !health.note("tolerance", condition) {
            continue;
        }
        if verdict.holds {
            tracing::info!(event.action = "tolerance", "{}", verdict.sentence);
        } else {
            tracing::warn!(event.action = "tolerance", "{}", verdict.sentence);
        }
    }
}

fn of_queue(queue: &Queue) -> Condition {
    match queue {
        Queue::Up => Condition::Up(None),
        Queue::Down(why) => Condition::Down(why.clone()),
    }
}

fn of_store(capacity: Option<Capacity>) -> Condition {
    let impaired = |what: &str| Condition::Impaired(format!("one of two copies is away: {what}"));
    match capacity {
        Some(Capacity::All) => Condition::Up(None),
        Some(Capacity::Creates) => impaired("reads and creates go on at the other, all else waits"),
        Some(Capacity::Reads) => impaired("reads go on at the other, writes wait"),
        None => Condition::Down("it does not answer".to_owned()),
    }
}
