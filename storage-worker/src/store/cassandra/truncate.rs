//! Nothing, where records were: before a snapshot is loaded.

use super::{CassandraConfig, fault, migrate, session};
use crate::store::StoreError;
use scylla::statement::Statement;
use std::time::Duration;

/// Longer than Cassandra gives itself (`truncate_request_timeout`, 60 s).
const TIMEOUT: Duration = Duration::from_secs(70);

/// Removes every record and every receipt of the keyspace, and leaves its tables. What was deleted or changed in it
/// leaves no trace that would stand above older data which is loaded afterwards.
///
/// # Errors
/// When a node is away, or when Cassandra does not do it: perhaps a part is gone. It can be repeated.
pub async fn truncate(config: &CassandraConfig) -> Result<(), StoreError> {
    migrate::check_keyspace(&config.keyspace)?;
    let session = session::open(config).await?;
    let mut statement = Statement::new(format!("TRUNCATE TABLE {}.records", config.keyspace));
    statement.set_request_timeout(Some(TIMEOUT));
    session.query_unpaged(statement, ()).await.map(drop).map_err(fault::of_write)
}
