//! Reaching Cassandra at start. That it is not up yet is no failure: wait, say so, try again.

use crate::{
    config::{Migrate, Options},
    patience::Patience,
    store::{
        StoreError,
        cassandra::{self, CassandraConfig, CassandraStore, Credentials, Replication, roles},
    },
};
use messages::Consistency;
use process::Stopper;
use std::sync::Arc;

/// Brings the schema up to date, however long Cassandra takes to answer, and lets `worker` work with it, where there are
/// roles.
///
/// # Errors
/// When it answers and the schema cannot be brought up to date.
pub async fn migrate(
    config: &CassandraConfig,
    replication: &Replication,
    worker: Option<&Credentials>,
    stopper: &Stopper,
) -> anyhow::Result<()> {
    let attempt = async || {
        let roles = config.credentials.as_ref().zip(worker);
        if let Some((administrator, _)) = roles {
            roles::take_charge(config, administrator).await?;
        }
        cassandra::migrate(config, replication).await?;
        match roles {
            Some((_, worker)) => roles::admit(config, worker).await,
            None => Ok(()),
        }
    };
    until_stopped(stopper, attempt).await?;
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
    if config.acknowledge_writes_at == Consistency::One {
        tracing::warn!(
            "ACKNOWLEDGE_WRITES_AT=one: while one of two copies is away, creates are acknowledged by the other alone; \
             if that one is lost before the first is back, acknowledged records are lost"
        );
    }
    let replication = options.cassandra.replication();
    let attempt = || async {
        if options.work.migrate == Migrate::AtStart
            && let Err(failure) = cassandra::migrate(config, &replication).await
        {
            return without_migration(config, failure).await;
        }
        CassandraStore::connect(config.clone()).await
    };
    Ok(until_stopped(stopper, attempt).await?.map(Arc::new))
}

/// Where a majority of the copies is away, nobody can say which migrations were applied. If the tables are as this
/// version needs them, the store can serve what it can.
async fn without_migration(
    config: &CassandraConfig,
    failure: StoreError,
) -> Result<CassandraStore, StoreError> {
    if !failure.is_retryable() {
        return Err(failure);
    }
    let Ok(store) = CassandraStore::connect(config.clone()).await else { return Err(failure) };
    tracing::warn!(error.message = %failure, "working without having seen which migrations are applied");
    Ok(store)
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
