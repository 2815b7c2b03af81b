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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::{
        gathering::{Gathering, Put, Rule, Work},
        key::{Key, Table},
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(0).after(Duration::from_secs(seconds))
    }

    fn key(number: usize) -> Key {
        Key { table: Table::Receipts, bytes: format!("a bucket of 18 bytes, {number}").into_bytes() }
    }

    /// A row that ends then; only its head matters here.
    fn put(number: usize, until: Timestamp) -> Put {
        let value = [&[3][..], &0_i64.to_be_bytes(), &until.as_micros().to_be_bytes()].concat();
        Put { key: key(number), value, until: Some(until), replaces: None }
    }

    fn write(tables: &Tables, sweep: &mut Sweep, now: Timestamp, puts: Vec<Put>) {
        let mut gathering = Gathering::new(tables, now);
        gathering.clean(sweep).unwrap();
        gathering.stage(Work { puts, rule: Rule::AllOrNothing }, sweep).unwrap();
        gathering.write().unwrap();
    }

    #[test]
    fn what_has_ended_is_removed_a_few_at_a_time_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let tables = Tables::open(directory.path()).unwrap();
        let mut sweep = Sweep::default();
        write(&tables, &mut sweep, at(1), (0..MOST + 10).map(|number| put(number, at(10))).collect());
        // One begins again after its end, and stays.
        write(&tables, &mut sweep, at(10), vec![put(MOST + 5, at(30))]);
        let left = |now| tables.ended(&[], now, usize::MAX).unwrap().len();
        assert_eq!(left(at(20)), 10);
        write(&tables, &mut sweep, at(20), Vec::new());
        assert_eq!((left(at(20)), left(at(30))), (0, 1));
        for number in 0..MOST + 10 {
            assert_eq!(tables.head(&key(number)).unwrap().is_some(), number == MOST + 5, "{number}");
        }
        // What ends before what was swept last is found too, as after a clock has gone back.
        write(&tables, &mut sweep, at(12), vec![put(MOST + 20, at(5))]);
        write(&tables, &mut sweep, at(40), Vec::new());
        assert_eq!(left(at(40)), 0);
        assert_eq!(tables.head(&key(MOST + 20)).unwrap(), None);
    }
}
