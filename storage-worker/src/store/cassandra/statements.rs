//! Every statement on the table of records, prepared once.

use super::fault;
use crate::store::StoreError;
use scylla::{
    client::{
        execution_profile::{ExecutionProfile, ExecutionProfileHandle},
        session::Session,
    },
    errors::PrepareError,
    statement::{
        Consistency, Statement,
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
};

/// All of them, always: read repair mends only the cells that are selected.
const COLUMNS: &str = "kind, id, version, modified, created, owner, deleted, doc, schema_version, \
                       record, outcome, fingerprint";
const PARTITION: &str = "collection = ? AND bucket = ?";
/// Rows a response holds at most; a row may have a document of 1 MiB.
const PAGE: i32 = 128;

pub(super) struct Statements {
    /// Records by id.
    pub(super) records: Read,
    /// Records and receipts by kind and id.
    pub(super) rows: Read,
    /// Records in the order of their ids.
    pub(super) scan: Read,
    /// A record that was never there.
    pub(super) create: PreparedStatement,
    /// A record's next state, on a condition.
    pub(super) put: PreparedStatement,
    /// A record's next state where that is deleted, on a condition.
    pub(super) delete: PreparedStatement,
    /// A receipt, on a condition.
    pub(super) receipt: PreparedStatement,
    /// What time it is.
    pub(super) clock: PreparedStatement,
    writes: ExecutionProfileHandle,
}

pub(super) struct Read {
    /// From a majority of the copies.
    pub(super) acknowledged: PreparedStatement,
    /// From one copy.
    pub(super) single: PreparedStatement,
    /// After what is in flight was brought to an end.
    pub(super) latest: PreparedStatement,
}

impl Statements {
    /// `writes` is the profile of batches; all others take that of the session.
    pub(super) async fn prepare(
        session: &Session,
        keyspace: &str,
        writes: ExecutionProfile,
    ) -> Result<Self, StoreError> {
        let prepared = Self::prepare_all(session, keyspace, writes).await;
        prepared.map_err(|error| fault::of_prepare(keyspace, &error))
    }

    async fn prepare_all(
        session: &Session,
        keyspace: &str,
        writes: ExecutionProfile,
    ) -> Result<Self, PrepareError> {
        let table = format!("\"{keyspace}\".records");
        let select = format!("SELECT {COLUMNS} FROM {table} WHERE {PARTITION}");
        let record = format!("{PARTITION} AND kind = 0 AND id = ?");
        // No INSERT anywhere: its row marker would outlive the time to live of a deleted row. TTL 0: for ever.
        let states = "version = ?, modified = ?, created = ?, owner = ?";
        let read = |text| read(session, text);
        Ok(Self {
            records: read(format!("{select} AND kind = 0 AND id IN ?")).await?,
            rows: read(format!("{select} AND (kind, id) IN ?")).await?,
            scan: read(format!("{select} AND kind = 0 AND id > ? LIMIT ?")).await?,
            // Timestamp 1 loses against every conditional write, so this changes and raises nothing.
            create: session
                .prepare(format!(
                    "UPDATE {table} USING TIMESTAMP 1 SET {states}, deleted = false, doc = ? WHERE {record}"
                ))
                .await?,
            put: session
                .prepare(format!(
                    "UPDATE {table} USING TTL 0 SET {states}, deleted = false, doc = ? WHERE {record} IF version = ?"
                ))
                .await?,
            delete: session
                .prepare(format!(
                    "UPDATE {table} USING TTL ? SET {states}, deleted = true, doc = null, schema_version = null \
                     WHERE {record} IF version = ?"
                ))
                .await?,
            receipt: session
                .prepare(format!(
                    "UPDATE {table} USING TTL ? SET record = ?, outcome = ?, fingerprint = ? \
                     WHERE {PARTITION} AND kind = 1 AND id = ? IF outcome = ?"
                ))
                .await?,
            clock: read("SELECT toUnixTimestamp(now()) FROM system.local".to_owned()).await?.acknowledged,
            writes: writes.into_handle(),
        })
    }

    /// A batch within one partition: a single mutation, so it needs no log.
    pub(super) fn batch(&self) -> Batch {
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_execution_profile_handle(Some(self.writes.clone()));
        batch.set_is_idempotent(failpoint::is_set("mutant-cas-retried"));
        batch
    }
}

async fn read(session: &Session, text: String) -> Result<Read, PrepareError> {
    let mut acknowledged = session.prepare(Statement::new(text).with_page_size(PAGE)).await?;
    if failpoint::is_set("mutant-read-at-one") {
        acknowledged.set_consistency(Consistency::One);
    }
    acknowledged.set_is_idempotent(true);
    acknowledged.set_use_cached_result_metadata(true);
    let mut latest = acknowledged.clone();
    latest.set_consistency(Consistency::LocalSerial);
    let mut single = acknowledged.clone();
    single.set_consistency(Consistency::LocalOne);
    Ok(Read { acknowledged, single, latest })
}
