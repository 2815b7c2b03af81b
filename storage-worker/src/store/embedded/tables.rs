//! The database with its three tables.

use super::{
    format::{self, FormatError},
    key::{self, Key, Table},
    value::{self, Head},
};
use crate::store::{BucketId, Row, Rows, StoreError};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use messages::{CommandId, RecordId, Timestamp};
use std::{collections::HashMap, ops::Bound, path::Path};

/// Handles; a clone is another handle.
#[derive(Clone)]
pub(super) struct Tables {
    database: Database,
    records: Keyspace,
    receipts: Keyspace,
    expiries: Keyspace,
}

impl Tables {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let place = format::prepare(path).map_err(broken)?;
        Self::open_database(&place).map_err(|error| match error {
            fjall::Error::Locked => {
                StoreError::Unavailable(format!("{} is in use by another process", path.display()))
            }
            source => broken(FormatError::Database { path: path.to_owned(), source }),
        })
    }

    fn open_database(place: &Path) -> Result<Self, fjall::Error> {
        let database = Database::builder(place).open()?;
        let table = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        let (records, receipts, expiries) = (table("records")?, table("receipts")?, table("expiries")?);
        Ok(Self { database, records, receipts, expiries })
    }

    /// Records and receipts as they were at one moment.
    pub(super) fn load(
        &self,
        bucket: BucketId,
        records: &[RecordId],
        receipts: &[CommandId],
        now: Timestamp,
    ) -> Result<Rows, StoreError> {
        let snapshot = self.database.snapshot();
        let mut rows = Rows::default();
        for key in distinct(records.iter().map(|id| Key::record(bucket, id))) {
            if let Some(value) = seen(snapshot.get(&self.records, &key.bytes), now)? {
                rows.records.push(value::decode_row(&key.bytes, &value).map_err(broken)?);
            }
        }
        let mut commands = receipts.to_vec();
        commands.sort_unstable();
        commands.dedup();
        for command in commands {
            let key = Key::receipt(bucket, command);
            if let Some(value) = seen(snapshot.get(&self.receipts, &key.bytes), now)? {
                rows.receipts.push(value::decode_receipt(command.as_uuid(), &value).map_err(broken)?);
            }
        }
        Ok(rows)
    }

    pub(super) fn scan(
        &self,
        bucket: BucketId,
        after: Option<&RecordId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Row>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut rows = Vec::new();
        for row in self.database.snapshot().range(&self.records, key::records_after(bucket, after)) {
            if rows.len() == limit {
                break;
            }
            let (key, value) = row.into_inner().map_err(broken)?;
            if Head::read(&value).map_err(broken)?.is_seen(now) {
                rows.push(value::decode_row(&key, &value).map_err(broken)?);
            }
        }
        Ok(rows)
    }

    /// What a row says before its JSON, whether it is still seen or not.
    pub(super) fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        let value = self.table(key.table).get(&key.bytes).map_err(broken)?;
        value.map(|value| Head::read(&value).map_err(broken)).transpose()
    }

    /// Entries of rows that have ended, oldest first, behind one of them.
    pub(super) fn ended(
        &self,
        after: &[u8],
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let range = key::expiries_until(after, now);
        if range.0 >= range.1 {
            return Ok(Vec::new());
        }
        let entries = self
            .database
            .snapshot()
            .range(&self.expiries, (Bound::Excluded(range.0), Bound::Excluded(range.1)));
        entries.take(most).map(|entry| Ok(entry.key().map_err(broken)?.to_vec())).collect()
    }

    /// Writes values, or removes them, all or none, and returns when they are on the disk. Readers see them
    /// only then.
    pub(super) fn write(&self, changes: HashMap<Key, Option<Vec<u8>>>) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(self.table(key.table), key.bytes, value),
                None => batch.remove(self.table(key.table), key.bytes),
            }
        }
        batch.commit()
    }

    fn table(&self, table: Table) -> &Keyspace {
        match table {
            Table::Records => &self.records,
            Table::Receipts => &self.receipts,
            Table::Expiries => &self.expiries,
        }
    }
}

fn seen(
    value: fjall::Result<Option<fjall::UserValue>>,
    now: Timestamp,
) -> Result<Option<fjall::UserValue>, StoreError> {
    let Some(value) = value.map_err(broken)? else { return Ok(None) };
    Ok(Head::read(&value).map_err(broken)?.is_seen(now).then_some(value))
}

fn distinct(keys: impl Iterator<Item = Key>) -> Vec<Key> {
    let mut keys: Vec<Key> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

pub(super) fn broken(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Broken(Box::new(error))
}
