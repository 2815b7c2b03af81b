//! The store on Cassandra. A bucket is a partition; a group is one conditional batch in it (LWT, Paxos v2).
//!
//! - [`config`]: what must be known to reach it.
//! - [`migrate()`]: the keyspace and its tables, made by numbered migrations.
//! - [`examine()`]: what is not as it should be; [`replicate()`]: one more copy of everything.
//! - [`roles`]: who may do what; [`truncate()`]: nothing, before a snapshot is loaded.
//! - `session`, `statements`: the driver's session and every statement, prepared once; `elsewhere`: whom to ask after a refusal;
//!   `silence`: whom to ask last.
//! - `rows`, `write`: what is read, and what is bound.
//! - `fault`: what an error means.
//! - `majority`: whether most copies answer, and what to do when one of two does not.
//! - [`standing`]: how many copies there are, and which nodes can be reached.
//!
//! Cassandra's clocks order the writes of a row, and expire what has a time to live.

pub mod config;
mod elsewhere;
pub mod examine;
mod fault;
mod majority;
pub mod migrate;
mod repairs;
pub mod replicate;
pub mod roles;
mod rows;
mod session;
mod silence;
pub mod standing;
mod statements;
pub mod truncate;
mod write;

pub use config::{CassandraConfig, Credentials, Replication};
pub use examine::{Finding, examine};
pub use migrate::migrate;
pub use replicate::{Raised, Repaired, replicate};
pub use standing::Standing;
pub use truncate::truncate;

use super::{
    BucketId, Capacity, Committed, Group, ReceiptChange, Row, Rows, Store, StoreError, View,
    group::check_creates,
};
use async_trait::async_trait;
use majority::Majority;
use messages::{CommandId, Consistency, RecordId, Timestamp};
use rows::{Cells, RECEIPT, RECORD};
use scylla::{
    client::session::Session,
    errors::ExecutionError,
    response::{PagingState, query_result::QueryResult},
    serialize::row::SerializeRow,
    statement::prepared::PreparedStatement,
    value::{CqlValue, Row as DynamicRow},
};
use statements::{Read, Statements};
use std::{fmt, ops::ControlFlow};
use uuid::Uuid;

/// Records and receipts in Cassandra 5.
pub struct CassandraStore {
    session: Session,
    statements: Statements,
    keyspace: String,
    datacenter: Option<String>,
    acknowledge_writes_at: Consistency,
    majority: Majority,
}

impl CassandraStore {
    /// Connects to a keyspace that [`migrate()`] has made ready.
    ///
    /// # Errors
    /// Comes back within seconds with a retryable error if Cassandra or the tables are not there yet. Once it
    /// has connected, the store finds nodes again by itself.
    pub async fn connect(config: CassandraConfig) -> Result<Self, StoreError> {
        migrate::check_keyspace(&config.keyspace)?;
        let (session, writes) = session::open_for_writes(&config).await?;
        let prepared = Statements::prepare(&session, &config.keyspace, writes);
        let statements = tokio::time::timeout(config.request_timeout, prepared).await.map_err(|_| {
            StoreError::Unavailable("Cassandra did not prepare the statements in time".to_owned())
        })??;
        let CassandraConfig { keyspace, datacenter, acknowledge_writes_at, .. } = config;
        let majority = Majority::default();
        Ok(Self { session, statements, keyspace, datacenter, acknowledge_writes_at, majority })
    }

    /// Reads with all that a view asks for.
    async fn read(
        &self,
        bucket: BucketId,
        statement: &Read,
        values: impl SerializeRow + Sync,
        view: View,
    ) -> Result<Rows, StoreError> {
        match view {
            View::Acknowledged => self.pages(bucket, &statement.acknowledged, values).await,
            View::Latest => self.pages(bucket, &statement.latest, values).await,
            View::Available => {
                let single = async || self.pages(bucket, &statement.single, &values).await;
                self.majority
                    .or_single(
                        self.has_two_copies(),
                        self.pages(bucket, &statement.acknowledged, &values),
                        single,
                    )
                    .await
            }
        }
    }

    async fn pages(
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

    /// The keyspace's replication and the nodes, as the driver has last heard of them.
    pub fn standing(&self) -> Standing {
        Standing::of(&self.session.get_cluster_state(), &self.keyspace, self.datacenter.as_deref())
    }

    /// Where a majority of the copies is all of them, one may answer for both.
    fn has_two_copies(&self) -> bool {
        self.standing().copies == 2
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
            return self.read(bucket, &self.statements.records, (collection, number, ids), view).await;
        }
        let commands: Vec<String> = receipts.iter().map(ToString::to_string).collect();
        let keys: Vec<(i8, &str)> = records
            .iter()
            .map(|id| (RECORD, id.as_str()))
            .chain(commands.iter().map(|id| (RECEIPT, id.as_str())))
            .collect();
        self.read(bucket, &self.statements.rows, (collection, number, keys), view).await
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
        let mut bound = write::bind_creates(&self.statements, bucket, records)?;
        let one_is_enough = self.acknowledge_writes_at == Consistency::One && self.has_two_copies();
        if one_is_enough && self.majority.is_away() {
            bound.batch.set_consistency(scylla::statement::Consistency::LocalOne);
        }
        self.session.batch(&bound.batch, &bound.values).await.map_err(fault::of_write)?;
        Ok(())
    }

    async fn scan(&self, bucket: BucketId, after: Option<&RecordId>, limit: u32) -> Result<Rows, StoreError> {
        if limit == 0 {
            return Ok(Rows::default());
        }
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        // Every id is greater than the empty text.
        let after = after.map_or("", RecordId::as_str);
        let values = (bucket.collection, i32::from(bucket.bucket), after, limit);
        self.read(bucket, &self.statements.scan, values, View::Available).await
    }

    async fn probe(&self) -> Result<Capacity, StoreError> {
        let (nil, values) = (Uuid::nil(), (Uuid::nil(), 0, vec!["probe"]));
        let bucket = BucketId { collection: nil, bucket: 0 };
        let read = |statement| self.pages(bucket, statement, &values);
        let answered = self.majority.probe(read(&self.statements.records.acknowledged)).await;
        let Err(failure) = answered else { return Ok(Capacity::All) };
        if !self.has_two_copies() || !self.majority.is_away() {
            return Err(failure);
        }
        read(&self.statements.records.single).await?;
        Ok(match self.acknowledge_writes_at {
            Consistency::Quorum => Capacity::Reads,
            Consistency::One => Capacity::Creates,
        })
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
