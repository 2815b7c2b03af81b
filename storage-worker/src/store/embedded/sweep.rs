//! Which rows have ended and take up room: those before now in the table of expiries, a few at a time.

use super::tables::Tables;
use crate::store::StoreError;
use messages::Timestamp;
use std::time::Duration;

/// How many rows one gathering removes. More than one gathering brings, so that the sweep keeps up.
const MOST: usize = 512;
/// How long the sweep rests once there was little to do.
const REST: Duration = Duration::from_secs(1);

/// How far the table of expiries has been swept. What was removed stands there as tombstones until a compaction:
/// a walk from the start would pass them all each time.
#[derive(Default)]
pub(super) struct Sweep {
    swept: Vec<u8>,
    rests_until: Option<Timestamp>,
}

impl Sweep {
    /// The next entries whose time has come; they count as swept from now on.
    pub(super) fn due(&mut self, tables: &Tables, now: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
        if self.rests_until.is_some_and(|until| now < until && until <= now.after(REST)) {
            return Ok(Vec::new());
        }
        let entries = tables.ended(&self.swept, now, MOST)?;
        self.rests_until = (entries.len() < MOST).then(|| now.after(REST));
        if let Some(last) = entries.last() {
            self.swept.clone_from(last);
        }
        Ok(entries)
    }

    /// Makes sure that an entry that is about to be written is found, also one that ends in the past.
    pub(super) fn expect(&mut self, entry: &[u8]) {
        if entry <= self.swept.as_slice() {
            self.swept = entry[..entry.len() - 1].to_vec();
        }
    }
}
