//! Reaching Cassandra at start. That it is not up yet is no failure: wait, say so, try again.

use crate::{
    config::{Migrate, Options},
    patience::Patience,
    store::{
        StoreError,
        cassandra::{self, CassandraConfig, CassandraStore, Replication},
    },
};
use process::Stopper;
use std::sync::Arc;

/// Brings the schema up to date, however long Cassandra takes to answer.
///
/// # Errors
/// When it answers and the schema cannot be brought up to date.
pub async fn migrate(
    config: &CassandraConfig,
    replication: &Replication,
    stopper: &Stopper,
) -> anyhow::Result<()> {
    until_stopped(stopper, || cassandra::migrate(config, replication)).await?;
    Ok(())
}

/// The store, with its schema up to date; `None` if told to stop first.
///
/// # Errors
/// When Cassandra answers and cannot be used.
pub async fn store(
    options: &Options,
    config: &CassandraConfig,
    stopper: &Stopper,
) -> anyhow::Result<Option<Arc<CassandraStore>>> {
    if options.work.migrate == Migrate::AtStart {
        migrate(config, &options.cassandra.replication(), stopper).await?;
    }
    Ok(until_stopped(stopper, || CassandraStore::connect(config.clone())).await?.map(Arc::new))
}

async fn until_stopped<T, F>(
    stopper: &Stopper,
    mut attempt: impl FnMut() -> F,
) -> Result<Option<T>, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut patience = Patience::full();
    loop {
        let failure = tokio::select! {
            () = stopper.stopped() => return Ok(None),
            ended = attempt() => match ended {
                Err(failure) if failure.is_retryable() => failure,
                ended => return ended.map(Some),
            },
        };
        if let Err(failure) = patience.bear(failure).await {
            tracing::warn!(error.message = %failure, "waiting for Cassandra");
            patience = Patience::full();
        }
    }
}
