//! The store in one directory of this machine, on fjall.
//!
//! - `format`: whose the directory is, and of which format.
//! - `tables`, `key`, `value`: the database and what stands in it.
//! - `writer`, `gathering`, `sweep`: the one thread that writes, what it writes together, what it clears away.
//!
//! There is one copy of everything, in one process: what it acknowledged survives a kill and a power failure
//! (fsync), but not the loss of the disk.

mod format;
mod gathering;
mod key;
mod sweep;
mod tables;
mod value;
mod writer;

use super::{
    BucketId, Capacity, Committed, DELETED_FOR, Group, ReceiptChange, Row, Rows, Store, StoreError, View,
    group::check_creates,
};
use async_trait::async_trait;
use gathering::{Put, Rule, Work};
use key::Key;
use messages::{CommandId, RecordId, Timestamp, Version};
use std::{fmt, path::Path, sync::Arc};
use tables::{Tables, broken};
use writer::Writer;

/// Tells what has ended.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Records and receipts in a directory that no other process has open.
pub struct EmbeddedStore {
    tables: Tables,
    writer: Writer,
    clock: Clock,
}

impl EmbeddedStore {
    /// Opens the store in a directory, a new one if it is empty or absent. Blocks while the disk is read.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while another process has it open; [`StoreError::Broken`] if it cannot be used
    /// at all: not a store, of a newer format, not writable.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_at(path, Arc::new(process::clock::now))
    }

    /// As [`EmbeddedStore::open`], with another clock than this machine's.
    pub fn open_at(path: impl AsRef<Path>, clock: Clock) -> Result<Self, StoreError> {
        let tables = Tables::open(path.as_ref())?;
        let writer = Writer::start(tables.clone(), Arc::clone(&clock)).map_err(broken)?;
        Ok(Self { tables, writer, clock })
    }

    /// Reads where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Tables, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tables, now) = (self.tables.clone(), (self.clock)());
        tokio::task::spawn_blocking(move || read(&tables, now)).await.map_err(broken)?
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    /// Both views are the same here: nothing is ever in doubt.
    async fn load(
        &self,
        bucket: BucketId,
        records: &[RecordId],
        receipts: &[CommandId],
        _view: View,
    ) -> Result<Rows, StoreError> {
        let (records, receipts) = (records.to_vec(), receipts.to_vec());
        self.read(move |tables, now| tables.load(bucket, &records, &receipts, now)).await
    }

    async fn commit(&self, bucket: BucketId, group: &Group) -> Result<Committed, StoreError> {
        group.check()?;
        let now = (self.clock)();
        let mut puts = Vec::with_capacity(group.changes.len() + group.receipts.len());
        for change in &group.changes {
            let until = change.row.document.is_none().then(|| now.after(DELETED_FOR));
            puts.push(put_row(bucket, &change.row, until, change.replaces)?);
        }
        for ReceiptChange { receipt, kept, replaces_dead } in &group.receipts {
            let until = now.after(*kept);
            let value = value::encode_receipt(receipt, until).map_err(invalid)?;
            let key = Key::receipt(bucket, receipt.command);
            let replaces = replaces_dead.then_some(value::DEAD_RECEIPT);
            puts.push(Put { key, value, until: Some(until), replaces });
        }
        self.writer.write(Work { puts, rule: Rule::AllOrNothing }).await
    }

    async fn create(&self, bucket: BucketId, records: &[Row]) -> Result<(), StoreError> {
        check_creates(records)?;
        let puts = records.iter().map(|row| put_row(bucket, row, None, None)).collect::<Result<_, _>>()?;
        self.writer.write(Work { puts, rule: Rule::Each }).await.map(drop)
    }

    async fn scan(&self, bucket: BucketId, after: Option<&RecordId>, limit: u32) -> Result<Rows, StoreError> {
        let after = after.cloned();
        let records = self.read(move |tables, now| tables.scan(bucket, after.as_ref(), limit, now)).await?;
        Ok(Rows { records, ..Rows::default() })
    }

    /// Goes through the writer, so it fails where writes fail.
    async fn probe(&self) -> Result<Capacity, StoreError> {
        self.writer.write(Work { puts: Vec::new(), rule: Rule::Each }).await?;
        Ok(Capacity::All)
    }

    async fn clock(&self) -> Result<Timestamp, StoreError> {
        Ok((self.clock)())
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").finish_non_exhaustive()
    }
}

fn put_row(
    bucket: BucketId,
    row: &Row,
    until: Option<Timestamp>,
    replaces: Option<Version>,
) -> Result<Put, StoreError> {
    let value = value::encode_row(row, until).map_err(invalid)?;
    Ok(Put { key: Key::record(bucket, &row.id), value, until, replaces: replaces.map(Version::as_i64) })
}

fn invalid(error: serde_json::Error) -> StoreError {
    StoreError::Invalid(Box::new(error))
}
