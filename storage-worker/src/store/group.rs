//! What every group, and every set of records to create, must be, whoever stores it.

use super::{Group, Row, StoreError};
use messages::Version;
use std::{collections::HashSet, fmt::Display, hash::Hash};
use thiserror::Error;

/// What no store takes.
#[derive(Debug, Error)]
enum GroupError {
    /// It says two things about one row: their order would be lost.
    #[error("{0} stands twice in one statement")]
    Repeated(String),
    #[error("record {0} is not created alive and in version 1")]
    NotNew(String),
}

impl Group {
    /// That it holds every record and every command at most once.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        distinct(self.changes.iter().map(|change| &change.row.id))?;
        distinct(self.receipts.iter().map(|change| change.receipt.command))
    }
}

/// That they are new, and distinct.
pub(super) fn check_creates(records: &[Row]) -> Result<(), StoreError> {
    let is_new = |row: &Row| row.version == Version::FIRST && row.document.is_some();
    match records.iter().find(|row| !is_new(row)) {
        Some(row) => Err(invalid(GroupError::NotNew(row.id.to_string()))),
        None => distinct(records.iter().map(|row| &row.id)),
    }
}

fn distinct<T: Eq + Hash + Copy + Display>(ids: impl Iterator<Item = T>) -> Result<(), StoreError> {
    let mut known = HashSet::new();
    for id in ids {
        if !known.insert(id) {
            return Err(invalid(GroupError::Repeated(id.to_string())));
        }
    }
    Ok(())
}

fn invalid(error: GroupError) -> StoreError {
    StoreError::Invalid(Box::new(error))
}
