//! The store on Cassandra. A bucket is a partition; a group is one conditional batch in it (LWT, Paxos v2).
//!
//! - [`config`]: what must be known to reach it.
//! - [`migrate()`]: the keyspace and its tables, made by numbered migrations.
//! - `session`, `statements`: the driver's session and every statement, prepared once.
//! - `rows`, `write`: what is read, and what is bound.
//! - `fault`: what an error means.
//!
//! Cassandra's clocks order the writes of a row, and expire what has a time to live.

pub mod config;
mod fault;
pub mod migrate;
mod rows;
mod session;
mod statements;
mod write;

pub use config::{CassandraConfig, Credentials, Replication};
pub use migrate::migrate;

use super::{
    BucketId, Committed, Group, ReceiptChange, Row, Rows, Store, StoreError, View, group::check_creates,
};
use async_trait::async_trait;
use messages::{CommandId, RecordId, Timestamp};
use rows::{Cells, RECEIPT, RECORD};
use scylla::{
    client::session::Session,
    errors::ExecutionError,
    response::{PagingState, query_result::QueryResult},
    serialize::row::SerializeRow,
    statement::prepared::PreparedStatement,
    value::{CqlValue, Row as DynamicRow},
};
use statements::Statements;
use std::{fmt, ops::ControlFlow};
use uuid::Uuid;

/// Records and receipts in Cassandra 5.
pub struct CassandraStore {
    session: Session,
    statements: Statements,
    keyspace: String,
}

impl CassandraStore {
    /// Connects to a keyspace that [`migrate()`] has made ready.
    ///
    /// # Errors
    /// Comes back within seconds with a retryable error if Cassandra or the tables are not there yet. Once it
    /// has connected, the store finds nodes again by itself.
    pub async fn connect(config: CassandraConfig) -> Result<Self, StoreError> {
        migrate::check_keyspace(&config.keyspace)?;
        let session = session::open(&config).await?;
        let prepared = Statements::prepare(&session, &config);
        let statements = tokio::time::timeout(config.request_timeout, prepared).await.map_err(|_| {
            StoreError::Unavailable("Cassandra did not prepare the statements in time".to_owned())
        })??;
        Ok(Self { session, statements, keyspace: config.keyspace })
    }

    async fn read(
        &self,
        bucket: BucketId,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Rows, StoreError> {
        let mut rows = Rows::default();
        let mut position = PagingState::start();
        loop {
            let (page, next) = self
                .session
                .execute_single_page(statement, &values, position)
                .await
                .map_err(fault::of_read)?;
            collect(bucket, page, &mut rows)?;
            match next.into_paging_control_flow() {
                ControlFlow::Continue(next) => position = next,
                ControlFlow::Break(()) => return Ok(rows),
            }
        }
    }
}

#[async_trait]
impl Store for CassandraStore {
    async fn load(
        &self,
        bucket: BucketId,
        records: &[RecordId],
        receipts: &[CommandId],
        view: View,
    ) -> Result<Rows, StoreError> {
        let (collection, number) = (bucket.collection, i32::from(bucket.bucket));
        if records.is_empty() && receipts.is_empty() {
            return Ok(Rows::default());
        }
        if receipts.is_empty() || failpoint::is_set("mutant-receipts-ignored") {
            let ids: Vec<&str> = records.iter().map(RecordId::as_str).collect();
            return self.read(bucket, self.statements.records.at(view), (collection, number, ids)).await;
        }
        let commands: Vec<String> = receipts.iter().map(ToString::to_string).collect();
        let keys: Vec<(i8, &str)> = records
            .iter()
            .map(|id| (RECORD, id.as_str()))
            .chain(commands.iter().map(|id| (RECEIPT, id.as_str())))
            .collect();
        self.read(bucket, self.statements.rows.at(view), (collection, number, keys)).await
    }

    async fn commit(&self, bucket: BucketId, group: &Group) -> Result<Committed, StoreError> {
        group.check()?;
        if group.changes.is_empty() && group.receipts.is_empty() {
            return Ok(Committed::Applied);
        }
        let name = |change: &ReceiptChange| {
            // Under another name than its own it stands in nobody's way.
            let ignored = failpoint::is_set("mutant-receipts-ignored");
            if ignored { Uuid::now_v7() } else { change.receipt.command.as_uuid() }
        };
        let commands: Vec<String> = group.receipts.iter().map(|change| name(change).to_string()).collect();
        let bound = write::bind_group(&self.statements, bucket, group, &commands)?;
        let answer = self.session.batch(&bound.batch, &bound.values).await.map_err(fault::of_write)?;
        applied(answer)
    }

    async fn create(&self, bucket: BucketId, records: &[Row]) -> Result<(), StoreError> {
        check_creates(records)?;
        if records.is_empty() {
            return Ok(());
        }
        let bound = write::bind_creates(&self.statements, bucket, records)?;
        self.session.batch(&bound.batch, &bound.values).await.map_err(fault::of_write)?;
        Ok(())
    }

    async fn scan(
        &self,
        bucket: BucketId,
        after: Option<&RecordId>,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        // Every id is greater than the empty text.
        let after = after.map_or("", RecordId::as_str);
        let values = (bucket.collection, i32::from(bucket.bucket), after, limit);
        Ok(self.read(bucket, &self.statements.scan, values).await?.records)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let values = (Uuid::nil(), 0, vec!["probe"]);
        let bucket = BucketId { collection: Uuid::nil(), bucket: 0 };
        self.read(bucket, self.statements.records.at(View::Acknowledged), values).await.map(drop)
    }

    /// Of whichever node answers first: nodes keep each other's time, or nothing of theirs can be trusted.
    async fn clock(&self) -> Result<Timestamp, StoreError> {
        let answer =
            self.session.execute_unpaged(&self.statements.clock, ()).await.map_err(fault::of_read)?;
        let (millis,) = answer.into_rows_result().map_err(broken)?.single_row::<(i64,)>().map_err(broken)?;
        Ok(Timestamp::from_micros(millis.saturating_mul(1000)))
    }
}

impl fmt::Debug for CassandraStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraStore").field("keyspace", &self.keyspace).finish_non_exhaustive()
    }
}

fn collect(bucket: BucketId, page: QueryResult, rows: &mut Rows) -> Result<(), StoreError> {
    let page = page.into_rows_result().map_err(broken)?;
    for cells in page.rows::<Cells<'_>>().map_err(broken)? {
        cells.map_err(broken)?.collect(bucket, rows)?;
    }
    Ok(())
}

/// Whether a conditional batch was applied. A refused one answers with a row for each condition on a row that
/// is there, all beginning with the same `[applied]`.
fn applied(answer: QueryResult) -> Result<Committed, StoreError> {
    let unreadable = |what: String| StoreError::Unknown(what.into());
    let rows = answer.into_rows_result().map_err(|error| unreadable(error.to_string()))?;
    let row: DynamicRow = rows.first_row().map_err(|error| unreadable(error.to_string()))?;
    match row.columns.first() {
        Some(Some(CqlValue::Boolean(true))) => Ok(Committed::Applied),
        Some(Some(CqlValue::Boolean(false))) => Ok(Committed::Refused),
        other => Err(unreadable(format!("the answer to a conditional batch begins with {other:?}"))),
    }
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Broken(Box::new(error))
}

/// For migrations: Data Definition is repeatable here, so nothing about it is in doubt for long.
fn of_definition(error: ExecutionError) -> StoreError {
    match fault::of_write(error) {
        StoreError::Unknown(error) => StoreError::Unavailable(error.to_string()),
        other => other,
    }
}
