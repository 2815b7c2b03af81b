//! What is written together: the work of many callers, in the order it came, each judged by what is in the
//! database and by what came before it.

use super::{
    key::{Key, Table},
    sweep::Sweep,
    tables::{Tables, broken},
    value::Head,
};
use crate::store::{Committed, StoreError};
use messages::Timestamp;
use std::collections::HashMap;

/// What one caller wants written.
pub(super) struct Work {
    pub(super) puts: Vec<Put>,
    pub(super) rule: Rule,
}

/// What becomes of work whose conditions do not all hold.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Nothing of it is written.
    AllOrNothing,
    /// That whose condition holds is written.
    Each,
}

/// A row's next value, and what it may replace.
pub(super) struct Put {
    pub(super) key: Key,
    pub(super) value: Vec<u8>,
    /// When the row ends, if it does.
    pub(super) until: Option<Timestamp>,
    /// The version that must be there; `None`: nothing at all.
    pub(super) replaces: Option<i64>,
}

impl Work {
    /// Bytes of values.
    pub(super) fn bytes(&self) -> usize {
        self.puts.iter().map(|put| put.value.len()).sum()
    }
}

pub(super) struct Gathering<'a> {
    tables: &'a Tables,
    now: Timestamp,
    changes: HashMap<Key, Option<Vec<u8>>>,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(tables: &'a Tables, now: Timestamp) -> Self {
        Self { tables, now, changes: HashMap::new() }
    }

    /// Adds the work, if its conditions hold.
    pub(super) fn stage(&mut self, work: Work, sweep: &mut Sweep) -> Result<Committed, StoreError> {
        // All conditions first: work that fails on the way leaves nothing behind.
        let mut holds = Vec::with_capacity(work.puts.len());
        for put in &work.puts {
            let found = self.head(&put.key)?.filter(|head| head.is_seen(self.now));
            holds.push(found.map(Head::version) == put.replaces);
        }
        match work.rule {
            Rule::AllOrNothing if holds.contains(&false) => return Ok(Committed::Refused),
            Rule::AllOrNothing | Rule::Each => {}
        }
        for (put, holds) in work.puts.into_iter().zip(holds) {
            if holds {
                self.put(put, sweep);
            }
        }
        Ok(Committed::Applied)
    }

    /// Adds the removal of rows that have ended, as many as the sweep allows.
    pub(super) fn clean(&mut self, sweep: &mut Sweep) -> Result<(), StoreError> {
        for entry in sweep.due(self.tables, self.now)? {
            if let Some((until, row)) = Key::expiring(&entry) {
                // The row may have been written again since.
                if self.head(&row)?.is_some_and(|head| head.until() == Some(until)) {
                    self.changes.insert(row, None);
                }
            }
            self.changes.insert(Key { table: Table::Expiries, bytes: entry }, None);
        }
        Ok(())
    }

    /// Writes it all, durably.
    pub(super) fn write(self) -> Result<(), fjall::Error> {
        if self.changes.is_empty() { Ok(()) } else { self.tables.write(self.changes) }
    }

    fn put(&mut self, put: Put, sweep: &mut Sweep) {
        if let Some(until) = put.until {
            let entry = put.key.expiry(until);
            sweep.expect(&entry.bytes);
            self.changes.insert(entry, Some(Vec::new()));
        }
        self.changes.insert(put.key, Some(put.value));
    }

    fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        match self.changes.get(key) {
            Some(Some(value)) => Head::read(value).map(Some).map_err(broken),
            Some(None) => Ok(None),
            None => self.tables.head(key),
        }
    }
}
