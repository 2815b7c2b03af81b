//! Collections, and what holds for their settings beyond what holds for any record.

use crate::store::{BucketId, Row};
use messages::{
    CollectionName, CollectionSettings, Document, RecordId, Rejection, Timestamp, UserName,
    collection::DEFAULT_BUCKETS, placement::Slot,
};
use uuid::Uuid;

/// Ids of collections are derived from their names and times of creation under this namespace (UUIDv5).
const NAMESPACE: Uuid = Uuid::from_u128(0x6b1e_7f0c_52a4_4d5e_9b0a_7c1d_2f3e_4a5b);

/// One incarnation of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Its name.
    pub name: CollectionName,
    /// Another for each time the collection is created, so that nothing of an old one is ever seen in a new one.
    pub id: Uuid,
    /// How many partitions its records are spread over.
    pub buckets: u16,
    /// When it was created.
    pub created: Timestamp,
    /// What holds for its records.
    pub rules: Rules,
}

/// What holds for the records of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// A client's collection.
    Records {
        /// What it is set to.
        settings: CollectionSettings,
        /// Who created it.
        creator: UserName,
    },
    /// The system collection of settings.
    Collections,
    /// The system collection of accounts.
    Users,
    /// The system collection of dead letters.
    DeadLetters,
}

impl Collection {
    /// The system collection of settings.
    pub fn collections() -> Self {
        Self::system(CollectionName::collections(), Rules::Collections)
    }

    /// The system collection of accounts.
    pub fn users() -> Self {
        Self::system(CollectionName::users(), Rules::Users)
    }

    /// The system collection of dead letters.
    pub fn dead_letters() -> Self {
        Self::system(CollectionName::dead_letters(), Rules::DeadLetters)
    }

    /// The collection that a row of [`Collection::collections`] describes; `None` if it is dropped or unreadable.
    pub fn described_by(row: &Row) -> Option<Self> {
        let record = row.live()?;
        let settings: CollectionSettings = record.document.read().ok()?;
        Some(Self {
            name: record.id.as_str().parse().ok()?,
            id: Uuid::new_v5(&NAMESPACE, format!("{}/{}", record.id, record.created.as_micros()).as_bytes()),
            buckets: settings.buckets,
            created: record.created,
            rules: Rules::Records { settings, creator: record.owner },
        })
    }

    /// The bucket of a record.
    pub fn bucket_of(&self, record: &RecordId) -> BucketId {
        BucketId { collection: self.id, bucket: Slot::of(record).bucket(self.buckets) }
    }

    /// All its buckets.
    pub fn all_buckets(&self) -> impl Iterator<Item = BucketId> + use<> {
        let collection = self.id;
        (0..self.buckets).map(move |bucket| BucketId { collection, bucket })
    }

    /// Why `document` cannot follow `current` as a record of this collection.
    pub fn fault(&self, document: &Document, current: Option<&Row>) -> Option<Rejection> {
        match self.rules {
            Rules::Collections => settings_fault(document, current),
            Rules::Records { .. } | Rules::Users | Rules::DeadLetters => None,
        }
    }

    fn system(name: CollectionName, rules: Rules) -> Self {
        let id = Uuid::new_v5(&NAMESPACE, name.as_str().as_bytes());
        Self { name, id, buckets: DEFAULT_BUCKETS, created: Timestamp::from_micros(0), rules }
    }
}

fn settings_fault(document: &Document, current: Option<&Row>) -> Option<Rejection> {
    let invalid = |pointer: &str, detail: &str| {
        Some(Rejection::DocumentInvalid { pointer: pointer.to_owned(), detail: detail.to_owned() })
    };
    let settings: CollectionSettings = match document.read() {
        Ok(settings) => settings,
        Err(error) => return invalid("", &error.to_string()),
    };
    if let Some((pointer, detail)) = settings.fault() {
        return invalid(pointer, detail);
    }
    let before: Option<CollectionSettings> =
        current.and_then(Row::live).and_then(|row| row.document.read().ok());
    match before {
        Some(before) if before.buckets != settings.buckets => {
            invalid("/buckets", "the number of buckets is fixed once a collection exists")
        }
        _ => None,
    }
}
