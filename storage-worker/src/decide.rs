//! The rules about records, as pure functions: what is there, what is asked and what time it is go in; what is there
//! next, and the outcome, come out. No I/O, no clock, no randomness, so that any grouping of commands decides alike.
//!
//! - [`record`]: creating, replacing, patching and deleting.
//! - [`access`]: who may do what.
//! - [`collection`]: what holds for the settings of collections besides.
//! - [`revocation`]: whose session has ended.
//! - [`patch`]: applying a patch within bounds.
//! - [`group`]: many commands of one bucket, as a fold of the above.
//! - [`operation`]: what became of a command, and closing it.
//! - [`list`]: one page out of many buckets.

pub mod access;
pub mod collection;
pub mod group;
pub mod list;
pub mod operation;
pub mod patch;
pub mod record;
pub mod revocation;

#[cfg(test)]
mod properties;

use crate::store::Row;
use messages::{Outcome, Rejection};

pub use collection::{Collection, Rules};

/// What a command does to the record it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The record's next state; `None` leaves it as it is.
    pub next: Option<Row>,
    /// What became of the command.
    pub outcome: Outcome,
}

impl Decision {
    /// The answer is no, and nothing changes.
    pub fn reject(rejection: Rejection) -> Self {
        Self { next: None, outcome: Outcome::Rejected(rejection) }
    }
}

impl From<Rejection> for Decision {
    fn from(rejection: Rejection) -> Self {
        Self::reject(rejection)
    }
}
