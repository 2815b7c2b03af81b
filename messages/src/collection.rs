//! What a collection is set to. Settings are the documents of the system collection `_collections`.

use crate::principal::Grantee;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// How long a worker may go by settings it has read. Who changes settings or drops a collection is answered only
/// after that.
pub const SETTINGS_LIFETIME: Duration = Duration::from_secs(1);
/// How many buckets a collection has unless it is told otherwise at its creation.
pub const DEFAULT_BUCKETS: u16 = 16;
/// The most buckets a collection can have.
pub const MAX_BUCKETS: u16 = 1024;

/// The settings of a collection, as clients send and read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionSettings {
    /// Who may read records.
    #[serde(default = "everybody")]
    pub readers: Vec<Grantee>,
    /// Who may create, change and delete records; writers may read too.
    #[serde(default = "everybody")]
    pub writers: Vec<Grantee>,
    /// Who may change these settings and drop the collection; owners may do everything else too. Whoever created
    /// the collection is one of them without being named here.
    #[serde(default)]
    pub owners: Vec<Grantee>,
    /// How many partitions the records are spread over: 16, 32, … 1024. Fixed once the collection exists.
    #[serde(default = "default_buckets")]
    pub buckets: u16,
    /// Settings of a newer version, which this one cannot judge. Gates take none from clients.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

impl Default for CollectionSettings {
    fn default() -> Self {
        let (readers, writers) = (everybody(), everybody());
        Self { readers, writers, owners: Vec::new(), buckets: DEFAULT_BUCKETS, unknown: Map::new() }
    }
}

impl CollectionSettings {
    /// Why these settings cannot be used: a JSON pointer and a sentence.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let valid = self.buckets.is_power_of_two() && (DEFAULT_BUCKETS..=MAX_BUCKETS).contains(&self.buckets);
        (!valid).then_some(("/buckets", "buckets is one of 16, 32, 64, 128, 256, 512, 1024"))
    }
}

fn everybody() -> Vec<Grantee> {
    vec![Grantee::Authenticated]
}

fn default_buckets() -> u16 {
    DEFAULT_BUCKETS
}
