//! Where records and receipts are kept, bucket by bucket. A bucket is one partition: what is committed to it together
//! is atomic, and nothing ever spans two.
//!
//! A store knows nothing of commands or permissions: rules stand in [`crate::decide`]. It promises, held by one
//! contract suite over both implementations:
//! - A group is applied whole or not at all, and only if every condition of it holds.
//! - What [`Store::commit`] or [`Store::create`] acknowledged survives any crash, and every later [`Store::load`]
//!   sees it.
//! - [`StoreError::Unknown`] is said whenever a write may have been, or may yet be, applied.

pub mod cassandra;
pub mod embedded;
mod group;

use async_trait::async_trait;
use messages::{
    CommandId, Consistency, Document, Fingerprint, Outcome, Record, RecordId, Timestamp, UserName, Version,
};
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;

/// How long a deleted record is remembered, so that its versions go on and nothing raises it.
pub const DELETED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// A partition: one share of one incarnation of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketId {
    /// Minted anew at each creation of a collection.
    pub collection: Uuid,
    /// From 0.
    pub bucket: u16,
}

/// A record as it is kept: like [`Record`], but a deleted one is remembered for [`DELETED_FOR`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: RecordId,
    /// Goes on counting through deletions.
    pub version: Version,
    /// When it was created; anew when it is created over a deleted one.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
    /// Who created it.
    pub owner: UserName,
    /// What it says; `None`: it is deleted.
    pub document: Option<Document>,
}

/// The outcome of a command, kept in the record's own bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whose outcome.
    pub command: CommandId,
    /// The record it was about.
    pub record: RecordId,
    /// The outcome, without any document.
    pub outcome: Outcome,
    /// Of the request, where an Idempotency-Key was given.
    pub fingerprint: Option<Fingerprint>,
}

/// A record's next state, and the state it may replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What the record is from now on.
    pub row: Row,
    /// The version that must be there now; `None`: there must be no row at all, not even a deleted one.
    pub replaces: Option<Version>,
}

/// What is written together. Holds every record at most once and every command at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Records, each on the condition [`Change::replaces`].
    pub changes: Vec<Change>,
    /// Receipts, each on the condition that the command has none yet, or only one that says it is dead.
    pub receipts: Vec<ReceiptChange>,
}

/// A receipt that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptChange {
    /// The receipt.
    pub receipt: Receipt,
    /// How long it is kept.
    pub kept: Duration,
    /// Whether it must replace one that says `dead`; otherwise there must be none.
    pub replaces_dead: bool,
}

impl ReceiptChange {
    /// The first receipt of a command.
    pub fn first(receipt: Receipt, kept: Duration) -> Self {
        Self { receipt, kept, replaces_dead: false }
    }
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// All of it is stored, durably.
    Applied,
    /// Some condition did not hold and nothing was stored: load again (with [`View::Latest`]) and decide again.
    Refused,
}

/// How fresh a view must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Every acknowledged write is seen.
    Acknowledged,
    /// The same as long as a majority of the copies answers. Where there are two and one does not, what the other has:
    /// [`Rows::consistency`] says so. For what is read, and for settings of collections: those are only ever written by
    /// commits, which two copies have both.
    Available,
    /// As well, writes in flight of which nobody knows the end are brought to an end first (Cassandra: SERIAL).
    Latest,
}

/// What a bucket holds of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Records that are there, deleted ones too, in no order.
    pub records: Vec<Row>,
    /// Receipts that are there.
    pub receipts: Vec<Receipt>,
    /// How many copies were asked.
    pub consistency: Consistency,
}

/// What a store can do just now; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capacity {
    /// Read, with [`View::Available`]: one of two copies is away.
    Reads,
    /// Also [`Store::create`], as the operator takes one copy for enough.
    Creates,
    /// Everything.
    All,
}

/// Keeps records and receipts.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads records and receipts by id, in one statement. Ids may repeat.
    async fn load(
        &self,
        bucket: BucketId,
        records: &[RecordId],
        receipts: &[CommandId],
        view: View,
    ) -> Result<Rows, StoreError>;

    /// Writes a group in one atomic conditional statement. Never retried in here.
    async fn commit(&self, bucket: BucketId, group: &Group) -> Result<Committed, StoreError>;

    /// Writes records that were never there before, under ids minted for them, without any condition, in one
    /// statement. May be repeated: it never changes or raises a record that a commit has touched since. Rows are
    /// of version 1 and alive.
    async fn create(&self, bucket: BucketId, records: &[Row]) -> Result<(), StoreError>;

    /// Reads up to `limit` records in the order of their ids, deleted ones too, beginning behind `after`; with
    /// [`View::Available`].
    async fn scan(&self, bucket: BucketId, after: Option<&RecordId>, limit: u32) -> Result<Rows, StoreError>;

    /// What the store can do just now.
    async fn probe(&self) -> Result<Capacity, StoreError>;

    /// The time by the store's clock, which tells what has ended.
    async fn clock(&self) -> Result<Timestamp, StoreError>;
}

/// Why a store did not do as it was told.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot serve just now. Of a write: certainly not applied, now or later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// No answer, or a connection lost on the way: the write may have been applied, or may be later.
    #[error("it is unknown whether the store applied the write")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The statement as a whole was refused and always will be: too large, or invalid.
    #[error("the store refuses the statement")]
    Invalid(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored cannot be read, or the store itself is broken.
    #[error("the store is broken")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unknown(_))
    }
}

impl Row {
    /// The record as readers see it; `None` if it is deleted.
    pub fn live(&self) -> Option<Record> {
        Some(Record {
            id: self.id.clone(),
            version: self.version,
            created: self.created,
            modified: self.modified,
            owner: self.owner.clone(),
            document: self.document.clone()?,
        })
    }
}

/// Loads receipts with the records that they tell of, so that both are on most copies before anybody is told: what is read is mended
/// where it is read, and nothing else. Of records that cannot be read only `needed` ones count: receipts are told without the rest.
pub(crate) async fn load_told(
    store: &dyn Store,
    bucket: BucketId,
    (told, needed): (&[RecordId], &[RecordId]),
    receipts: &[CommandId],
    view: View,
) -> Result<Rows, StoreError> {
    match store.load(bucket, told, receipts, view).await {
        Err(StoreError::Broken(_)) if needed.len() < told.len() => {
            store.load(bucket, needed, receipts, view).await
        }
        loaded => loaded,
    }
}
